/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softlayer.c: the layers softmax and log_softmax; see softlayer.h. */
#include "config.h"

#include "softlayer.h"

#include <stdlib.h>

#include <qatkit/numeric.h>

#include "multiversion.h"
#include "realout/realout.h"
#include "softmax/softmax.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 4096

struct softlayer {
  const char *name;
  int given; /* the axis as it was asked for */
  int axis, function;
  struct softmax rows;    /* from infer */
  struct realout realout; /* from setup */
};

int
softlayer_create (const struct qk_config *cfg, const char *name, int function,
                  void **self)
{
  struct softlayer *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("%s", name);
  l->name = name;
  l->function = function;
  l->given = (int) qk_config_int (cfg, "axis");
  *self = l;
  return 0;
}

void
softlayer_destroy (void *self)
{
  free (self);
}

int
softlayer_infer (void *self, const struct qk_shape *in, int n_in,
                 struct qk_shape *out)
{
  struct softlayer *l = self;
  char buf[96];

  if (n_in != 1)
    return qk_error (-EINVAL, "%s: takes 1 input, got %d", l->name, n_in);
  l->axis = l->given < 0 ? l->given + in->ndim : l->given;
  if (l->axis < 1 || l->axis >= in->ndim)
    return qk_error (-EINVAL,
                     "%s: axis = %d of an input %s, expected 1 to %d or -%d "
                     "to -1",
                     l->name, l->given, qk_shape_print (in, buf, sizeof buf),
                     in->ndim - 1, in->ndim - 1);
  softmax_plan (in, l->axis, l->function, &l->rows);
  *out = *in;
  return 0;
}

void
softlayer_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->real_out = true;
}

int
softlayer_setup (void *self, struct qk_layer_setup *s)
{
  struct softlayer *l = self;

  realout_setup (&l->realout, s);
  s->keep_in = false;
  s->keep_out = s->train && !s->quantized_out;
  return 0;
}

/* ---- forward ----------------------------------------------------------- */

QK_LOOP (static, exponentials,
         (const float *restrict x, int64_t n, float most, float *restrict y),
         (x, n, most, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = qk_exp (x[i] - most);
}

/* Row I of real numbers. */
static void
forward_row (const struct softmax *s, const float *x, int64_t i, float *y)
{
  const int64_t at = softmax_row (s, i), end = at + s->length * s->step;
  float most = x[at], log;
  double sum = 0;

  for (int64_t k = at; k < end; k += s->step)
    most = x[k] > most ? x[k] : most;
  if (s->step == 1)
    exponentials (x + at, s->length, most, y + at);
  else
    for (int64_t k = at; k < end; k += s->step)
      y[k] = qk_exp (x[k] - most);
  for (int64_t k = at; k < end; k += s->step)
    sum += (double) y[k];
  log = qk_ln ((float) sum);
  for (int64_t k = at; k < end; k += s->step)
    y[k] = s->function == QK_LOG_SOFTMAX ? (x[k] - most) - log
                                         : y[k] / (float) sum;
}

int
softlayer_forward (void *self, struct qk_layer_io *io)
{
  struct softlayer *l = self;
  const int64_t n = qk_shape_count (&io->out->shape);
  const int64_t rows = n / l->rows.length;
  const int threads = io->threads > 1 ? io->threads : 1;
  const bool bytes = io->in[0].dtype == QK_U8;
  float *y = realout_numbers (&l->realout, io);

  if (bytes)
    softmax_set_scale (&l->rows, io->in[0].q.scale);
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static, 1) if (n >= PARALLEL_MIN)
  for (int t = 0; t < threads; t++) {
    const int64_t first = rows * t / threads, end = rows * (t + 1) / threads;

    if (bytes)
      softmax_real_rows (&l->rows, io->in[0].data, first, end, y);
    else
      for (int64_t i = first; i < end; i++)
        forward_row (&l->rows, io->in[0].data, i, y);
  }
  return realout_finish (&l->realout, l->name, io);
}

/* ---- backward ---------------------------------------------------------- */

static void
backward_row (const struct softmax *s, const float *y, const float *dy,
              int64_t i, float *dx)
{
  const int64_t at = softmax_row (s, i), end = at + s->length * s->step;
  const bool log = s->function == QK_LOG_SOFTMAX;
  double sum = 0;

  for (int64_t k = at; k < end; k += s->step)
    sum += log ? (double) dy[k] : (double) dy[k] * (double) y[k];
  for (int64_t k = at; k < end; k += s->step)
    dx[k] = log ? dy[k] - qk_exp (y[k]) * (float) sum
                : y[k] * (dy[k] - (float) sum);
}

int
softlayer_backward (void *self, struct qk_layer_io *io)
{
  struct softlayer *l = self;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const float *y = realout_numbers (&l->realout, io), *dy;
  float *dx = io->din[0].data;
  int r;

  if ((r = realout_gradient (&l->realout, io, &dy)) < 0 || dx == NULL)
    return r;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n / l->rows.length; i++)
    backward_row (&l->rows, y, dy, i, dx);
  return 0;
}

/* ---- int8 -------------------------------------------------------------- */

int
softlayer_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct softlayer *l = self;

  op->kind = QK_OP_SOFTMAX;
  op->function = l->function;
  op->axis = l->axis;
  op->lo = io->out->q.qmin;
  op->hi = io->out->q.qmax;
  return 0;
}
