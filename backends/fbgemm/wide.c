/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wide.c: convolution and linear layers whose input or output has more than 8
 * bits: the sums of wideconv.h, put on the output's grid. */
#include "config.h"

#include "fbgemm.h"

#include <qatkit/numeric.h>

#include "multiversion.h"
#include "wideconv/wideconv.h"

struct fbgemm_wide {
  struct wideconv wc;
  int64_t rows; /* of a piece of work */
  /* bytes: of a plane (0: the input is one), of a thread, before its sums */
  size_t plane, part, sums;
  char memory[] __attribute__ ((aligned (64)));
};

static struct wideconv_shape
shape_of (const struct fbgemm_kernel *k)
{
  return (struct wideconv_shape){ .h = k->g.h,
                                  .w = k->g.w,
                                  .c = k->g.c,
                                  .p = k->g.p,
                                  .q = k->g.q,
                                  .k = k->g.k,
                                  .r = k->op.kernel_h,
                                  .s = k->op.kernel_w,
                                  .stride_h = k->op.stride_h,
                                  .stride_w = k->op.stride_w,
                                  .pad_top = k->op.pad_top,
                                  .pad_left = k->op.pad_left,
                                  .dil_h = k->op.dilation_h,
                                  .dil_w = k->op.dilation_w,
                                  .groups = k->op.groups };
}

/* Numbers at a time. */
enum { PIECE = 64 };

/* Part of the loop below, for each level of CPU that it is compiled for. */
#define INLINE static inline __attribute__ ((always_inline))

/* N numbers of a row of sums, of channels whose BIAS (or NULL) and M these are,
 * as float. */
INLINE void
scale_piece (const double *restrict sum, const int32_t *restrict bias,
             const float *restrict m, int64_t n, float *restrict x)
{
  if (bias != NULL) {
    QK_SIMD
    for (int64_t i = 0; i < n; i++)
      x[i] = (float) (sum[i] + (double) bias[i]) * m[i];
  } else {
    QK_SIMD
    for (int64_t i = 0; i < n; i++)
      x[i] = (float) sum[i] * m[i];
  }
}

/* The same onto the output's grid: uint8, or uint16 where WIDE. */
INLINE void
store_piece (const struct qk_op *op, const float *restrict x, int64_t n,
             bool wide, void *y)
{
  const int32_t zp = op->out_q.zero_point, lo = op->lo, hi = op->hi;
  uint16_t *restrict y16 = y;
  uint8_t *restrict y8 = y;

  if (wide) {
    QK_SIMD
    for (int64_t i = 0; i < n; i++)
      y16[i] = (uint16_t) qk_clamp_rounded (qk_rne (x[i]), zp, lo, hi);
  } else {
    QK_SIMD
    for (int64_t i = 0; i < n; i++)
      y8[i] = (uint8_t) qk_clamp_rounded (qk_rne (x[i]), zp, lo, hi);
  }
}

/* ROWS rows of sums to Y: integers or, where the output has no grid, f32. */
QK_LOOP (static, put_rows,
         (const struct qk_op *op, const double *sum, int64_t rows, int64_t k,
          void *y),
         (op, sum, rows, k, y))
{
  const bool real = op->out_q.scale == 0, wide = qk_grid_is_wide (&op->out_q);
  float x[PIECE];

  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < k; j += PIECE) {
      const int64_t n = k - j < PIECE ? k - j : PIECE, at = i * k + j;

      scale_piece (sum + at, op->bias != NULL ? op->bias + j : NULL,
                   op->multiplier + j, n, real ? (float *) y + at : x);
      if (!real)
        store_piece (op, x, n, wide,
                     wide ? (void *) ((uint16_t *) y + at)
                          : (void *) ((uint8_t *) y + at));
    }
}

/* Bytes of an element of the output. */
static int64_t
out_size (const struct qk_op *op)
{
  return (int64_t) qk_dtype_size (
    op->out_q.scale == 0 ? QK_F32 : qk_grid_dtype (&op->out_q));
}

/* The planes of COUNT numbers X in SCRATCH, or X itself. */
static struct wideconv_planes
planes_of (const struct fbgemm_kernel *k, const void *x, int64_t count,
           void *scratch)
{
  uint8_t *lo = scratch, *hi = lo + k->wide16->plane;
  const int threads = k->threads;

  if (!qk_grid_is_wide (&k->op.in_q[0]))
    return (struct wideconv_planes){ x, NULL };
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int t = 0; t < threads; t++) {
    const int64_t at = count * t / threads;

    wideconv_split ((const uint16_t *) x + at, count * (t + 1) / threads - at,
                    lo + at, hi + at);
  }
  return (struct wideconv_planes){ lo, hi };
}

static void
run_wide (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
          void *out, void *scratch)
{
  const struct fbgemm_wide *w = k->wide16;
  const struct wideconv_planes x
    = planes_of (k, in[0], n * k->g.h * k->g.w * k->g.c, scratch);
  const int64_t m = n * k->g.p * k->g.q, size = out_size (&k->op);

#pragma omp parallel for num_threads(k->threads) schedule(static)
  for (int t = 0; t < k->threads; t++) {
    char *part = (char *) scratch + 2 * w->plane + (size_t) t * w->part;
    double *sum = (double *) (void *) (part + w->sums);
    const int64_t end = m * (t + 1) / k->threads;

    for (int64_t r = m * t / k->threads; r < end; r += w->rows) {
      const int64_t rows = end - r < w->rows ? end - r : w->rows;

      wideconv_sums (&w->wc, &x, r, rows, part, sum);
      put_rows (&k->op, sum, rows, k->g.k, (char *) out + r * k->g.k * size);
    }
  }
}

bool
fbgemm_suits_wide (const struct qk_op *op)
{
  return qk_op_is_wide (op)
         && (op->kind == QK_OP_CONV2D || op->kind == QK_OP_LINEAR);
}

int
fbgemm_prepare_wide (struct fbgemm_kernel *k, size_t *scratch)
{
  struct wideconv_shape s;
  struct fbgemm_wide *w;

  if (k->op.kind == QK_OP_LINEAR)
    int8op_as_conv2d (&k->op);
  s = shape_of (k);
  w = qk_alloc (sizeof *w + wideconv_size (&s, &k->kernels));
  if (w == NULL)
    return qk_oom ("fbgemm");
  k->wide16 = w;
  wideconv_pack (&s, &k->kernels, k->op.weight, &k->op.in_q[0], w->memory,
                 &w->wc);
  w->rows = wideconv_rows (&s);
  w->plane = qk_grid_is_wide (&k->op.in_q[0])
               ? (size_t) round64 (k->g.batch * s.h * s.w * s.c)
               : 0;
  w->sums = (size_t) round64 ((int64_t) wideconv_scratch (&s, w->rows));
  w->part = w->sums + (size_t) round64 (w->rows * s.k * 8);
  *scratch = 2 * w->plane + (size_t) k->threads * w->part;
  k->run = run_wide;
  return 0;
}
