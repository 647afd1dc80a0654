/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* realout.c: real numbers on the grid of an output; see realout.h. */
#include "config.h"

#include "realout.h"

#include <qatkit/numeric.h>

#include "multiversion.h"

static size_t
take (size_t *total, size_t size)
{
  const size_t at = (*total + 63) & ~(size_t) 63;

  *total = (at + size + 63) & ~(size_t) 63;
  return at;
}

void
realout_setup (struct realout *r, struct qk_layer_setup *s)
{
  const size_t bytes = s->quantized_out || s->quantized_in
                         ? (size_t) qk_shape_count (s->out) * sizeof (float)
                         : 0;

  r->saved = take (&s->saved, s->train ? bytes : 0);
  r->workspace = take (&s->workspace, bytes);
}

float *
realout_numbers (const struct realout *r, const struct qk_layer_io *io)
{
  if (io->out->dtype == QK_F32)
    return io->out->data;
  return (float *) (void *) ((io->flags & QK_PASS_TRAIN)
                               ? (char *) io->saved + r->saved
                               : (char *) io->workspace + r->workspace);
}

QK_LOOP (static, to_grid,
         (const float *restrict x, int64_t n, const struct qk_qparams *q,
          uint8_t *restrict y),
         (x, n, q, y))
{
  const float inv = 1.0f / q->scale;
  const int32_t zp = q->zero_point, lo = q->qmin, hi = q->qmax;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = (uint8_t) qk_quantize (x[i], inv, zp, lo, hi);
}

int
realout_finish (const struct realout *r, const char *who,
                struct qk_layer_io *io)
{
  const int64_t n = qk_shape_count (&io->out->shape);
  const float *y = realout_numbers (r, io);
  int ret;

  if (io->out->dtype == QK_F32)
    return 0;
  if (io->out_qz != NULL) {
    if ((ret = qk_quantizer_observe (io->out_qz, y, (size_t) n)) < 0)
      return ret;
    io->out->q = *qk_quantizer_qparams (io->out_qz);
  }
  if (!(io->out->q.scale > 0.0f))
    return qk_error (-EINVAL, "%s: the u8 output has no grid", who);
  to_grid (y, n, &io->out->q, io->out->data);
  return 0;
}

QK_LOOP (static, gate,
         (const float *restrict y, const float *restrict dy, int64_t n,
          const struct qk_qparams *q, float *restrict g),
         (y, dy, n, q, g))
{
  const float inv = 1.0f / q->scale;
  const int32_t zp = q->zero_point, lo = q->qmin, hi = q->qmax;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    g[i] = dy[i] * qk_ste_mask (y[i], inv, zp, lo, hi);
}

int
realout_gradient (const struct realout *r, const struct qk_layer_io *io,
                  const float **dy)
{
  const int64_t n = qk_shape_count (&io->dout->shape);
  const float *y = realout_numbers (r, io);
  float *g = (float *) (void *) ((char *) io->workspace + r->workspace);

  *dy = io->dout->data;
  if (io->out->dtype == QK_F32)
    return 0;
  if (io->out_qz != NULL && !qk_quantizer_is_ste (io->out_qz)) {
    const int ret = qk_quantizer_backward (io->out_qz, y, *dy, g, (size_t) n);

    *dy = g;
    return ret;
  }
  gate (y, *dy, n, &io->out->q, g);
  *dy = g;
  return 0;
}
