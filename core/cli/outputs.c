/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* outputs.c: the outputs of a network for many samples, as arrays in files.
 *
 * Outside, tensors of four axes are (N,C,H,W), as in ONNX; ours are
 * (N,H,W,C).  All others are the same. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "cli/outputs.h"

struct qk_shape
qk_cli_outside (const struct qk_shape *shape)
{
  struct qk_shape s;
  int i;

  s.ndim = shape->ndim - 1;
  for (i = 0; i < s.ndim; i++)
    s.dims[i] = shape->dims[i + 1];
  if (s.ndim == 3) {
    s.dims[0] = shape->dims[3];
    s.dims[1] = shape->dims[1];
    s.dims[2] = shape->dims[2];
  }
  return s;
}

void
qk_cli_turn (const struct qk_shape *shape, const float *from, float *to,
             bool in)
{
  const int64_t n = qk_shape_count (shape) / shape->dims[0];
  int64_t c, pixels, i, k;

  if (shape->ndim != 4) {
    memcpy (to, from, sizeof *to * (size_t) n);
    return;
  }
  c = shape->dims[3];
  pixels = n / c;
  for (i = 0; i < pixels; i++)
    for (k = 0; k < c; k++)
      if (in)
        to[i * c + k] = from[k * pixels + i];
      else
        to[k * pixels + i] = from[i * c + k];
}

/* Elements of output I for one sample. */
static int64_t
output_size (const struct qk_cli_outputs *o, int i)
{
  return qk_shape_count (&o->g->value[o->g->output[i].value].shape);
}

/* Room for N more samples. */
static int
reserve (struct qk_cli_outputs *o, int64_t n)
{
  const int64_t room
    = o->samples + n > 2 * o->room ? o->samples + n : 2 * o->room;
  int i;

  if (o->samples + n <= o->room)
    return 0;
  if (o->data == NULL
      && (o->data = calloc ((size_t) o->g->n_outputs + 1, sizeof *o->data))
           == NULL)
    return qk_oom ("outputs");
  for (i = 0; i < o->g->n_outputs; i++) {
    float *grown = realloc (
      o->data[i], sizeof *grown * (size_t) (output_size (o, i) * room) + 1);

    if (grown == NULL)
      return qk_oom ("output '%s' of %lld samples", o->g->output[i].name,
                     (long long) room);
    o->data[i] = grown;
  }
  o->room = room;
  return 0;
}

int
qk_cli_outputs_add (void *cookie, const struct qk_exec *ex, int64_t n)
{
  struct qk_cli_outputs *o = cookie;
  int64_t k;
  int i, r;

  if ((r = reserve (o, n)) < 0)
    return r;
  for (i = 0; i < o->g->n_outputs; i++) {
    const struct qk_tensor *t = qk_exec_output (ex, i);
    const int64_t one = output_size (o, i);

    for (k = 0; k < n; k++)
      qk_cli_turn (&t->shape, (const float *) t->data + k * one,
                   o->data[i] + (o->samples + k) * one, false);
  }
  o->samples += n;
  return 0;
}

/* The samples of output I follow each other along an axis behind those of FRONT
 * elements in all. */
static int
spread (struct qk_cli_outputs *o, int i, int64_t front)
{
  const int64_t n = o->samples, inner = output_size (o, i) / front;
  float *to = malloc (sizeof *to * (size_t) (n * front * inner) + 1);

  if (to == NULL)
    return qk_oom ("output '%s'", o->g->output[i].name);
  for (int64_t k = 0; k < n; k++)
    for (int64_t f = 0; f < front; f++)
      memcpy (to + (f * n + k) * inner, o->data[i] + (k * front + f) * inner,
              sizeof *to * (size_t) inner);
  free (o->data[i]);
  o->data[i] = to;
  return 0;
}

int
qk_cli_outputs_end (struct qk_cli_outputs *o)
{
  int i, k, r = 0;

  for (i = 0; r == 0 && i < o->g->n_outputs; i++) {
    const struct qk_output *output = &o->g->output[i];
    const struct qk_shape one
      = qk_cli_outside (&o->g->value[output->value].shape);
    int64_t front = 1;

    for (k = 0; k < output->batch_axis; k++)
      front *= one.dims[k];
    if (front > 1 && o->samples > 0)
      r = spread (o, i, front);
  }
  return r;
}

void
qk_cli_outputs_entry (const struct qk_cli_outputs *o, int i,
                      struct qk_format_entry *e)
{
  const struct qk_output *output = &o->g->output[i];
  const struct qk_shape one
    = qk_cli_outside (&o->g->value[output->value].shape);
  struct qk_shape *s = &e->tensor.shape;
  int k;

  memset (e, 0, sizeof *e);
  e->name = output->name;
  e->tensor.dtype = QK_F32;
  e->tensor.data = o->data[i];
  for (k = 0; k < output->batch_axis; k++)
    s->dims[s->ndim++] = one.dims[k];
  if (!o->single || output->batch_axis > 0)
    s->dims[s->ndim++] = o->samples;
  for (; k < one.ndim; k++)
    s->dims[s->ndim++] = one.dims[k];
}

int
qk_cli_outputs_write (struct qk_cli *cli, const struct qk_cli_outputs *o,
                      const char *path)
{
  struct qk_format_entry *e = calloc ((size_t) o->g->n_outputs + 1, sizeof *e);
  int i, r;

  if (e == NULL)
    return qk_oom ("outputs");
  for (i = 0; i < o->g->n_outputs; i++)
    qk_cli_outputs_entry (o, i, &e[i]);
  r = qk_tensorfile_write (cli->ctx, path, NULL, e, o->g->n_outputs, NULL, 0);
  free (e);
  return r;
}

void
qk_cli_outputs_clear (struct qk_cli_outputs *o)
{
  int i;

  for (i = 0; o->data != NULL && i < o->g->n_outputs; i++)
    free (o->data[i]);
  free (o->data);
  o->data = NULL;
}
