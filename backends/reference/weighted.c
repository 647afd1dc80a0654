/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weighted.c: convolution and linear layers of the reference backend. */
#include "config.h"

#include "reference.h"

#include <qatkit/numeric.h>

/* sum (a[i] - z) * w[i].  Products are below 2^15.01, so 2^15 of them fit an
 * int32; the sums of such pieces are added in int64. */
static int64_t
dot (const uint8_t *a, int32_t z, const int8_t *w, int64_t n)
{
  int64_t sum = 0;

  while (n > 0) {
    const int piece = n < 32768 ? (int) n : 32768;
    int32_t s = 0;

    for (int i = 0; i < piece; i++)
      s += (a[i] - z) * w[i];
    sum += s;
    a += piece, w += piece, n -= piece;
  }
  return sum;
}

/* The same of inputs of more than 8 bits: products are below 2^23.01, so 2^7
 * of them fit an int32. */
static int64_t
dot_wide (const uint16_t *a, int32_t z, const int8_t *w, int64_t n)
{
  int64_t sum = 0;

  while (n > 0) {
    const int piece = n < 128 ? (int) n : 128;
    int32_t s = 0;

    for (int i = 0; i < piece; i++)
      s += (a[i] - z) * w[i];
    sum += s;
    a += piece, w += piece, n -= piece;
  }
  return sum;
}

/* sum (x[i] - z) * w[i] over N elements of the op's input from AT on. */
static int64_t
dot_at (const struct qk_op *op, const void *x, int64_t at, const int8_t *w,
        int64_t n)
{
  const struct qk_qparams *q = &op->in_q[0];

  return qk_grid_is_wide (q)
           ? dot_wide ((const uint16_t *) x + at, q->zero_point, w, n)
           : dot ((const uint8_t *) x + at, q->zero_point, w, n);
}

/* The accumulator of output channel K, 32 bits wide. */
static int32_t
with_bias (const struct qk_op *op, int64_t sum, int64_t k)
{
  return (int32_t) (uint32_t) (sum + (op->bias != NULL ? op->bias[k] : 0));
}

/* Element I of OUT, of channel K, from the sum of its products: an integer or,
 * where the output has no grid, f32. */
static void
put (const struct qk_op *op, int64_t sum, int64_t k, void *out, int64_t i)
{
  const bool wide = qk_grid_is_wide (&op->in_q[0]);
  const int64_t acc = wide && op->bias != NULL ? sum + op->bias[k]
                      : wide                   ? sum
                                               : with_bias (op, sum, k);
  const float m = op->multiplier[k];

  if (op->out_q.scale == 0)
    ((float *) out)[i] = (float) acc * m;
  else
    reference_put (
      &op->out_q, out, i,
      qk_requantize_wide (acc, m, op->out_q.zero_point, op->lo, op->hi));
}

/* One output pixel: x is the sample (H,W,C) from element FROM of X on, y the
 * pixel's K channels, from element AT of OUT on.
 * y[k] = sum over the taps (r,s) inside the sample and the channels c of
 * k's group of (x[.,.,c] - z) * w[k,r,s,c]; outside, x is z and adds 0. */
static void
conv2d_pixel (const struct reference_kernel *kn, const void *x, int64_t from,
              int64_t p, int64_t q, void *out, int64_t at)
{
  const struct qk_op *op = &kn->op;
  const struct int8op_geometry *g = &kn->g;
  const int64_t cg = g->c / op->groups, kg = g->k / op->groups;
  const int64_t row0 = p * op->stride_h - op->pad_top;
  const int64_t col0 = q * op->stride_w - op->pad_left;
  int r0, r1, s0, s1;

  int8op_taps (row0, op->kernel_h, op->dilation_h, g->h, &r0, &r1);
  int8op_taps (col0, op->kernel_w, op->dilation_w, g->w, &s0, &s1);
  for (int64_t k = 0; k < g->k; k++) {
    const int64_t c0 = k / kg * cg;
    int64_t sum = 0;

    for (int r = r0; r < r1; r++)
      for (int s = s0; s < s1; s++) {
        const int64_t row = row0 + (int64_t) r * op->dilation_h;
        const int64_t col = col0 + (int64_t) s * op->dilation_w;
        const int64_t tap = (k * op->kernel_h + r) * op->kernel_w + s;

        sum += dot_at (op, x, from + (row * g->w + col) * g->c + c0,
                       op->weight + tap * cg, cg);
      }
    put (op, sum, k, out, at + k);
  }
}

/* x (N,H,W,C), w (K,R,S,C/groups), y (N,P,Q,K), integers or f32 */
void
reference_conv2d (const struct reference_kernel *kn, int64_t n,
                  const void *const *in, void *out)
{
  const struct int8op_geometry *g = &kn->g;
  const int64_t rows = n * g->p;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < rows; i++)
    for (int64_t q = 0; q < g->q; q++)
      conv2d_pixel (kn, in[0], i / g->p * g->h * g->w * g->c, i % g->p, q, out,
                    (i * g->q + q) * g->k);
}

/* The input's row or column under tap T of output P of a transposed window; -1
 * where there is none. */
static int64_t
transposed_at (int64_t p, int t, int kernel, int stride, int dilation,
               int before, int64_t size)
{
  const int64_t at = p + (int64_t) t * dilation
                     - ((int64_t) dilation * (kernel - 1) - before);

  return at < 0 || at % stride != 0 || at / stride >= size ? -1 : at / stride;
}

/* One output pixel, as conv2d_pixel. */
static void
transposed_pixel (const struct reference_kernel *kn, const uint8_t *x,
                  int64_t p, int64_t q, void *out, int64_t at)
{
  const struct qk_op *op = &kn->op;
  const struct int8op_geometry *g = &kn->g;
  const int64_t cg = g->c / op->groups, kg = g->k / op->groups;

  for (int64_t k = 0; k < g->k; k++) {
    int64_t sum = 0;

    for (int r = 0; r < op->kernel_h; r++)
      for (int s = 0; s < op->kernel_w; s++) {
        const int64_t row = transposed_at (p, r, op->kernel_h, op->stride_h,
                                           op->dilation_h, op->pad_top, g->h);
        const int64_t col = transposed_at (q, s, op->kernel_w, op->stride_w,
                                           op->dilation_w, op->pad_left, g->w);
        const int64_t tap = (k * op->kernel_h + r) * op->kernel_w + s;

        if (row >= 0 && col >= 0)
          sum += dot (x + (row * g->w + col) * g->c + k / kg * cg,
                      op->in_q[0].zero_point, op->weight + tap * cg, cg);
      }
    put (op, sum, k, out, at + k);
  }
}

/* x (N,H,W,C), w (K,R,S,C/groups), y (N,P,Q,K), u8 or f32 */
void
reference_conv_transpose2d (const struct reference_kernel *kn, int64_t n,
                            const void *const *in, void *out)
{
  const struct int8op_geometry *g = &kn->g;
  const int64_t rows = n * g->p;
  const uint8_t *x = in[0];

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < rows; i++)
    for (int64_t q = 0; q < g->q; q++)
      transposed_pixel (kn, x + i / g->p * g->h * g->w * g->c, i % g->p, q,
                        out, (i * g->q + q) * g->k);
}

/* x (N,…,C), w (K,C), y (N,…,K), integers or, where the output has no grid,
 * f32 */
void
reference_linear (const struct reference_kernel *kn, int64_t n,
                  const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const struct int8op_geometry *g = &kn->g;
  const int64_t count = n * g->q * g->k;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < count; i++) {
    const int64_t k = i % g->k;

    put (op, dot_at (op, in[0], i / g->k * g->c, op->weight + k * g->c, g->c),
         k, out, i);
  }
}

/* x f32 (N,…,C), w (K,C), y f32 (N,…,K); the grid is that of all of x */
void
reference_linear_dynamic (const struct reference_kernel *kn, int64_t n,
                          const void *const *in, void *out, uint8_t *a)
{
  const struct qk_op *op = &kn->op;
  const int64_t c = kn->g.c, rows = n * kn->g.q, count = rows * kn->g.k;
  const float *x = in[0];
  float *y = out, min = 0.0f, max = 0.0f, inv;
  struct qk_qparams q;

  for (int64_t i = 0; i < rows * c; i++) {
    min = x[i] < min ? x[i] : min;
    max = x[i] > max ? x[i] : max;
  }
  q = qk_dynamic_grid (min, max, op->lo, op->hi);
  inv = 1.0f / q.scale;
  for (int64_t i = 0; i < rows * c; i++)
    a[i] = (uint8_t) qk_quantize (x[i], inv, q.zero_point, q.qmin, q.qmax);
#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < count; i++) {
    const int64_t k = i % kn->g.k;
    const int64_t acc
      = dot (a + i / kn->g.k * c, q.zero_point, op->weight + k * c, c);

    y[i] = (float) acc * (q.scale * op->multiplier[k]) + op->real_bias[k];
  }
}
