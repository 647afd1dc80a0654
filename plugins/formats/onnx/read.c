/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* read.c: the initializers of an ONNX file as weights. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx-priv.h"

#define NAME "%.200s"

static bool
ends_with (const char *name, const char *end)
{
  const size_t n = strlen (name), k = strlen (end);

  return n >= k && strcmp (name + n - k, end) == 0;
}

/* Constants that are no weights: the bounds of Clip, shapes of Reshape, what our
 * files of groups that are normalised have in place of factors (norms.c). */
static bool
is_weight (const Onnx__TensorProto *t)
{
  return t->n_dims > 0 && t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT64
         && !(t->name != NULL
              && (ends_with (t->name, ONNX_ONES)
                  || ends_with (t->name, ONNX_ZEROS)));
}

/* Take T; what is no tensor of numbers is told when it is asked for. */
static int
take (struct onnx_weights *f, const Onnx__TensorProto *t)
{
  struct onnx_weight *w = &f->weight[f->n];
  int r;

  if (t->name == NULL || *t->name == '\0' || !onnxfile_good_name (t->name))
    return qk_error (-EBADMSG,
                     "%s: a tensor has no name, one of more than %d bytes, or "
                     "one that contains a control character",
                     f->file->path, ONNXFILE_MAX_NAME);
  if ((r = onnx_const_read (f->file, t, &w->value)) < 0 && r != -ENOTSUP)
    return r;
  w->proto = t;
  f->n++;
  return 0;
}

/* ---- what nodes say of weights ---------------------------------------------- */

/* What a number of a node is for its input of that number, and what every layer
 * of weights has if it says nothing. */
static const struct {
  const char *op, *attribute, *option;
  float usual;
  size_t input;
} told[] = {
  { "BatchNormalization", "epsilon", "eps", 1e-5f, 4 },
  { "Gemm", "alpha", "alpha", 1, 1 },
  { "Gemm", "beta", "beta", 1, 2 },
};

static float
number_of (const Onnx__NodeProto *node, const char *name, float usual)
{
  for (size_t i = 0; i < node->n_attribute; i++)
    if (node->attribute[i]->name != NULL
        && strcmp (node->attribute[i]->name, name) == 0)
      return node->attribute[i]->f;
  return usual;
}

static int
by_name (const void *a, const void *b)
{
  const struct onnx_weight *const *x = a, *const *y = b;

  return strcmp ((*x)->proto->name, (*y)->proto->name);
}

static int
is_name (const void *name, const void *b)
{
  const struct onnx_weight *const *y = b;

  return strcmp (name, (*y)->proto->name);
}

static void
sort (struct onnx_weights *f)
{
  for (int64_t i = 0; i < f->n; i++)
    f->sorted[i] = &f->weight[i];
  qsort (f->sorted, (size_t) f->n, sizeof *f->sorted, by_name);
}

static struct onnx_weight *
find_weight (struct onnx_weights *f, const char *name)
{
  struct onnx_weight **w
    = bsearch (name, f->sorted, (size_t) f->n, sizeof *f->sorted, is_name);

  return w != NULL ? *w : NULL;
}

/* A layer's numbers are wrong where it computes with another number than the
 * node does that the file has them for. */
static void
take_told (struct onnx_weights *f, const Onnx__NodeProto *node)
{
  for (size_t k = 0; node->op_type != NULL && k < sizeof told / sizeof *told;
       k++) {
    struct onnx_weight *w;
    float x;

    if (strcmp (node->op_type, told[k].op) != 0
        || node->n_input <= told[k].input
        || (w = find_weight (f, node->input[told[k].input])) == NULL)
      continue;
    x = number_of (node, told[k].attribute, told[k].usual);
    if (x != 1 || told[k].usual != 1)
      snprintf (w->option, sizeof w->option, "%s=%.7g", told[k].option,
                (double) x);
  }
}

const char *
onnx_metadata (void *self, const char *key)
{
  static const char option[] = "option ";
  const struct onnx_weight *w;

  if (strncmp (key, option, sizeof option - 1) != 0)
    return NULL; /* it is never one of our models or checkpoints */
  w = find_weight (self, key + sizeof option - 1);
  return w != NULL && *w->option ? w->option : NULL;
}

/* ---- all of them -------------------------------------------------------------- */

int
onnx_weights_read (struct onnxfile *file, struct onnx_weights **out)
{
  const Onnx__GraphProto *g = file->model->graph;
  struct onnx_weights *f = calloc (1, sizeof *f);
  size_t i;
  int r = 0;

  if (f != NULL) {
    f->weight = calloc (g->n_initializer + 1, sizeof *f->weight);
    f->sorted = calloc (g->n_initializer + 1, sizeof *f->sorted);
  }
  if (f == NULL || f->weight == NULL || f->sorted == NULL) {
    r = qk_oom ("%s", file->path);
    onnxfile_close (file);
    free (f != NULL ? f->weight : NULL);
    free (f != NULL ? f->sorted : NULL);
    free (f);
    return r;
  }
  f->file = file;
  for (i = 0; i < g->n_initializer && r == 0; i++)
    if (is_weight (g->initializer[i]))
      r = take (f, g->initializer[i]);
  if (r == 0)
    sort (f);
  for (i = 0; i < g->n_node && r == 0; i++)
    take_told (f, g->node[i]);
  if (r < 0)
    onnx_weights_free (f);
  else
    *out = f;
  return r;
}

void
onnx_weights_free (struct onnx_weights *f)
{
  int64_t i;

  if (f == NULL)
    return;
  for (i = 0; i < f->n; i++)
    onnx_const_free (f->weight[i].value);
  free (f->weight);
  free (f->sorted);
  onnxfile_close (f->file);
  free (f);
}

int
onnx_entry (void *self, int64_t i, struct qk_format_entry *out)
{
  struct onnx_weights *f = self;
  const struct onnx_weight *w;
  struct onnx_const *c;

  memset (out, 0, sizeof *out);
  if (i < 0 || i >= f->n)
    return qk_error (-EINVAL, "%s: no tensor number %lld of %lld",
                     f->file->path, (long long) i, (long long) f->n);
  w = &f->weight[i];
  out->name = w->proto->name;
  if (w->value == NULL) /* the sentence again */
    return onnx_const_read (f->file, w->proto, &c);
  out->tensor.dtype = w->value->real ? QK_F32 : QK_I64;
  out->tensor.shape = w->value->shape;
  out->tensor.data = w->value->data;
  return 0;
}
