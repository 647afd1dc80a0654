/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lrn.c: local response normalisation across channels, x (N,...,C):
 *
 *   d_i = bias + alpha / size * sum_{|j - i| <= size / 2} x_j^2
 *   y_i = x_i d_i^-beta
 *   dx_j = dy_j d_j^-beta
 *          - 2 alpha beta / size * x_j sum_{|i - j| <= size / 2} dy_i y_i / d_i
 *
 * Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
 * convolutional neural networks", 2012, with PyTorch's alpha / size. */
#include "config.h"

#include <stdlib.h>

#include <qatkit/layer.h>
#include <qatkit/numeric.h>

#include "lrn/lrn.h"
#include "multiversion.h"
#include "realout/realout.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 4096

struct layer {
  int size;
  float alpha, beta, bias;
  struct lrn lrn; /* from infer */
  /* from setup */
  int threads;
  struct realout realout;
  size_t ws_thread, each;
};

static const struct qk_option options[]
  = { { "size", QK_OPT_INT, NULL, 1, QK_LRN_SIZE, NULL,
        "Channels that are summed, an odd number" },
      { "alpha", QK_OPT_FLOAT, "1e-4", 0, 1e6, NULL,
        "Share of the mean of their squares" },
      { "beta", QK_OPT_FLOAT, "0.75", 0, 100, NULL, "Exponent" },
      { "bias", QK_OPT_FLOAT, "1", 1e-6, 1e6, NULL,
        "Added to the share before the exponent" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
lrn_create (const struct qk_config *cfg, void **self)
{
  const int size = (int) qk_config_int (cfg, "size");
  struct layer *l;

  if (size % 2 == 0)
    return qk_error (-EINVAL, "lrn: size = %d, expected an odd number", size);
  if ((l = calloc (1, sizeof *l)) == NULL)
    return qk_oom ("lrn");
  l->size = size;
  l->alpha = (float) qk_config_float (cfg, "alpha");
  l->beta = (float) qk_config_float (cfg, "beta");
  l->bias = (float) qk_config_float (cfg, "bias");
  l->threads = 1;
  *self = l;
  return 0;
}

static void
lrn_destroy (void *self)
{
  free (self);
}

static int
lrn_infer (void *self, const struct qk_shape *in, int n_in,
           struct qk_shape *out)
{
  struct layer *l = self;
  char buf[96];

  if (n_in != 1)
    return qk_error (-EINVAL, "lrn: takes 1 input, got %d", n_in);
  if (in->ndim < 2)
    return qk_error (-EINVAL, "lrn: input is %s, expected (N,...,C)",
                     qk_shape_print (in, buf, sizeof buf));
  l->lrn = (struct lrn){ in->dims[in->ndim - 1], l->size,
                         l->alpha / (float) l->size, l->beta, l->bias };
  *out = *in;
  return 0;
}

/* What a thread works in: arrays of a row. */
struct room {
  float *x, *sum, *part;
  int32_t *whole;
};

static struct room
thread_room (const struct layer *l, const struct qk_layer_io *io, int t)
{
  const int64_t c = l->lrn.channels;
  float *at = (float *) (void *) ((char *) io->workspace + l->ws_thread
                                  + (size_t) t * l->each);

  return (struct room){ at, at + c, at + 2 * c,
                        (int32_t *) (void *) (at + 3 * c) };
}

static int
lrn_setup (void *self, struct qk_layer_setup *s)
{
  struct layer *l = self;

  realout_setup (&l->realout, s);
  l->threads = s->threads > 1 ? s->threads : 1;
  l->each = ((size_t) l->lrn.channels * 16 + 63) & ~(size_t) 63;
  l->ws_thread = s->workspace;
  s->workspace += (size_t) l->threads * l->each;
  s->keep_out = false;
  return 0;
}

/* ---- rows -------------------------------------------------------------- */

/* Row I of the input: real numbers are borrowed, those of bytes put in R. */
static const float *
real_row (const struct layer *l, const struct qk_layer_io *io, int64_t i,
          const struct room *r)
{
  const int64_t c = l->lrn.channels;
  const struct qk_tensor *in = &io->in[0];
  const uint8_t *q = (const uint8_t *) in->data + i * c;

  if (in->dtype == QK_F32)
    return (const float *) in->data + i * c;
  for (int64_t k = 0; k < c; k++)
    r->x[k] = qk_dequantize (q[k], in->q.scale, in->q.zero_point);
  return r->x;
}

/* SUM: of X, or with SQUARE of its squares, around each. */
static void
sum_around (const struct lrn *l, const float *x, bool square, float *sum)
{
  const int64_t half = l->size / 2, c = l->channels;

  for (int64_t i = 0; i < c; i++) {
    const int64_t first = i < half ? 0 : i - half;
    const int64_t end = i + half < c ? i + half + 1 : c;
    float s = 0.0f;

    for (int64_t j = first; j < end; j++)
      s += square ? x[j] * x[j] : x[j];
    sum[i] = s;
  }
}

QK_LOOP (static, responses,
         (const float *restrict x, const float *restrict sum, int64_t n,
          const struct lrn *l, float *restrict y),
         (x, sum, n, l, y))
{
  const float share = l->share, power = l->power, offset = l->offset;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = qk_lrn_real (x[i], sum[i], share, power, offset);
}

static void
forward_row (const struct layer *l, const struct qk_layer_io *io, int64_t i,
             const struct room *r, float *y)
{
  const struct qk_tensor *in = &io->in[0];
  const int64_t c = l->lrn.channels;
  const uint8_t *q = (const uint8_t *) in->data + i * c;
  const float *x = (const float *) in->data + i * c;

  if (in->dtype == QK_U8) {
    lrn_sums (&l->lrn, q, &in->q, r->whole);
    lrn_real_row (&l->lrn, q, &in->q, r->whole, y + i * c);
  } else {
    sum_around (&l->lrn, x, true, r->sum);
    responses (x, r->sum, c, &l->lrn, y + i * c);
  }
}

static void
backward_row (const struct layer *l, const struct qk_layer_io *io, int64_t i,
              const struct room *r, const float *dy, float *dx)
{
  const struct lrn *p = &l->lrn;
  const int64_t c = p->channels;
  const float *x = real_row (l, io, i, r);

  dy += i * c;
  dx += i * c;
  sum_around (p, x, true, r->sum);
  for (int64_t k = 0; k < c; k++) {
    const float d = p->offset + p->share * r->sum[k];
    const float power = qk_exp (-p->power * qk_ln (d));

    r->part[k] = dy[k] * x[k] * power / d;
    dx[k] = dy[k] * power;
  }
  sum_around (p, r->part, false, r->sum);
  for (int64_t k = 0; k < c; k++)
    dx[k] -= 2.0f * p->share * p->power * x[k] * r->sum[k];
}

/* ---- calls ------------------------------------------------------------- */

static int
threads_of (const struct layer *l, const struct qk_layer_io *io)
{
  const int threads = io->threads < l->threads ? io->threads : l->threads;

  return threads > 1 && qk_shape_count (&io->in[0].shape) >= PARALLEL_MIN
           ? threads
           : 1;
}

static int
lrn_forward (void *self, struct qk_layer_io *io)
{
  const struct layer *l = self;
  const int64_t rows = qk_shape_count (&io->out->shape) / l->lrn.channels;
  const int threads = threads_of (l, io);
  float *y = realout_numbers (&l->realout, io);

#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++) {
    const struct room r = thread_room (l, io, t);

    for (int64_t i = rows * t / threads; i < rows * (t + 1) / threads; i++)
      forward_row (l, io, i, &r, y);
  }
  return realout_finish (&l->realout, "lrn", io);
}

static int
lrn_backward (void *self, struct qk_layer_io *io)
{
  const struct layer *l = self;
  const int64_t rows = qk_shape_count (&io->dout->shape) / l->lrn.channels;
  const int threads = threads_of (l, io);
  float *dx = io->din[0].data;
  const float *dy;
  int ret;

  if ((ret = realout_gradient (&l->realout, io, &dy)) < 0 || dx == NULL)
    return ret;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++) {
    const struct room r = thread_room (l, io, t);

    for (int64_t i = rows * t / threads; i < rows * (t + 1) / threads; i++)
      backward_row (l, io, i, &r, dy, dx);
  }
  return 0;
}

static int
lrn_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct layer *l = self;

  op->kind = QK_OP_LRN;
  op->size = l->size;
  op->alpha = l->alpha;
  op->power = l->beta;
  op->offset = l->bias;
  op->lo = io->out->q.qmin;
  op->hi = io->out->q.qmax;
  return 0;
}

static const struct qk_layer_class lrn = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "lrn",
                   "Local response normalisation across channels", options),
  .create = lrn_create,
  .destroy = lrn_destroy,
  .infer = lrn_infer,
  .setup = lrn_setup,
  .forward = lrn_forward,
  .backward = lrn_backward,
  .quantized = true,
  .lower = lrn_lower,
  .geometry = lrn_lower,
};

QK_PLUGIN ("lrn", "1.0", "LGPL-2.1-or-later", &lrn.cls);
