/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* read.c: the initializers of an ONNX file as weights. */
#include "config.h"

#include <stdlib.h>

#include "onnx-priv.h"

#define NAME "%.200s"

/* Constants that are no weights: the bounds of Clip, shapes of Reshape. */
static bool
is_weight (const Onnx__TensorProto *t)
{
  return t->n_dims > 0 && t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
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

int
onnx_weights_read (struct onnxfile *file, struct onnx_weights **out)
{
  const Onnx__GraphProto *g = file->model->graph;
  struct onnx_weights *f = calloc (1, sizeof *f);
  size_t i;
  int r = 0;

  if (f != NULL)
    f->weight = calloc (g->n_initializer + 1, sizeof *f->weight);
  if (f == NULL || f->weight == NULL) {
    r = qk_oom ("%s", file->path);
    onnxfile_close (file);
    free (f);
    return r;
  }
  f->file = file;
  for (i = 0; i < g->n_initializer && r == 0; i++)
    if (is_weight (g->initializer[i]))
      r = take (f, g->initializer[i]);
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
