/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped.c: gradients of 3x3 convolutions with small groups, see gradients.h.  Libraries
 * fill vectors with the channels of one group, and with nothing where there are fewer;
 * here a vector has several groups. */
#include "config.h"

#include "gemm/gradients.h"

#include <string.h>

#include <qatkit/cpu.h>

#include "gemm/grouped-kernels.h"

enum { LANES = GROUPED_LANES, TAPS = GROUPED_TAPS };

static int
group_of (const struct qk_convback *cb)
{
  return (int) (cb->c / cb->groups);
}

static const struct grouped_kernels *
kernels_here (void)
{
#if defined __x86_64__ || defined __i386__
  if (qk_cpu_current () >= QK_CPU_AVX512)
    return &grouped_kernels__avx512;
#endif
  return NULL;
}

static bool
grouped_suits (const struct qk_convback *cb)
{
  return kernels_here () != NULL && cb->c == cb->k && cb->c % LANES == 0
         && (group_of (cb) == 4 || group_of (cb) == 8) && cb->r == TAPS
         && cb->s == TAPS && cb->dil_h == 1 && cb->dil_w == 1;
}

/* Floats of the vectors of all taps and channels. */
static int64_t
taps_size (const struct qk_convback *cb)
{
  return cb->c * TAPS * TAPS * group_of (cb);
}

static size_t
grouped_scratch (const struct qk_convback *cb, int threads)
{
  return (size_t) (threads * taps_size (cb)) * sizeof (float);
}

/* Where the numbers of line R of the windows begin, for the LANES channels from C on. */
static int64_t
taps_at (const struct qk_convback *cb, int64_t c, int r)
{
  return (c * TAPS + r * LANES) * TAPS * group_of (cb);
}

/* Between the order of the weights (K,R,S,C/groups) and that of the taps: where number
 * I of the weights is among the taps. */
static int64_t
tap_of (const struct qk_convback *cb, int64_t i)
{
  const int group = group_of (cb);
  const int64_t k = i / group / (TAPS * TAPS);
  const int64_t c = k / group * group + i % group; /* of the input */
  const int t = (int) (i / group % (TAPS * TAPS));

  return taps_at (cb, c / LANES * LANES, t / TAPS)
         + ((t % TAPS) * group + k % group) * LANES + c % LANES;
}

/* Line ROW of dx, rows of all samples counted one after the other. */
static void
data_line (const struct qk_convback *cb, const struct grouped_kernels *kn,
           int64_t row, const float *d, const float *taps, float *dx)
{
  const int64_t sample = row / cb->h, h = row % cb->h;
  float *to = dx + row * cb->w * cb->c;

  memset (to, 0, (size_t) (cb->w * cb->c) * sizeof *to);
  for (int64_t c = 0; c < cb->c; c += LANES)
    for (int r = 0; r < TAPS; r++) {
      const int64_t at = h + cb->pad_top - r, p = at / cb->stride_h;

      if (at >= 0 && at % cb->stride_h == 0 && p < cb->p) {
        const struct grouped_line l
          = { .d = d + (sample * cb->p + p) * cb->q * cb->c + c,
              .n = cb->q,
              .width = cb->w,
              .step = cb->c,
              .stride = (int) cb->stride_w,
              .pad = (int) cb->pad_left };

        kn->data (group_of (cb), &l, taps + taps_at (cb, c, r), to + c);
      }
    }
}

/* What line ROW of d gives, added to SUM. */
static void
weights_line (const struct qk_convback *cb, const struct grouped_kernels *kn,
              int64_t row, const float *d, const struct gradient_input *in,
              float *sum)
{
  const int64_t sample = row / cb->p, p = row % cb->p;

  for (int64_t c = 0; c < cb->c; c += LANES)
    for (int r = 0; r < TAPS; r++) {
      const int64_t h = p * cb->stride_h - cb->pad_top + r;
      const int64_t at = (sample * cb->h + h) * cb->w * cb->c + c;
      const struct grouped_line l = { .d = d + row * cb->q * cb->c + c,
                                      .n = cb->q,
                                      .width = cb->w,
                                      .step = cb->c,
                                      .stride = (int) cb->stride_w,
                                      .pad = (int) cb->pad_left };

      if (h >= 0 && h < cb->h)
        kn->weights (group_of (cb), &l, in->x ? in->x + at : NULL,
                     in->x ? NULL : in->bytes + at, in->zero,
                     sum + taps_at (cb, c, r));
    }
}

static void
grouped_data (const struct qk_convback *cb, int threads, const float *d,
              const float *w, float *dx, float *scratch)
{
  const struct grouped_kernels *kn = kernels_here ();
  const int64_t rows = cb->n * cb->h, size = taps_size (cb);

#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int64_t i = 0; i < size; i++)
      scratch[tap_of (cb, i)] = w[i];
#pragma omp for schedule(static)
    for (int64_t i = 0; i < rows; i++)
      data_line (cb, kn, i, d, scratch, dx);
  }
}

static void
grouped_weights (const struct qk_convback *cb, int threads, const float *d,
                 const struct gradient_input *in, float *dw, float *scratch)
{
  const struct grouped_kernels *kn = kernels_here ();
  const int64_t rows = cb->n * cb->p, size = taps_size (cb);

#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static, 1)
    for (int th = 0; th < threads; th++) {
      float *sum = scratch + th * size;

      memset (sum, 0, (size_t) size * sizeof *sum);
      for (int64_t i = rows * th / threads; i < rows * (th + 1) / threads; i++)
        weights_line (cb, kn, i, d, in, sum);
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < size; i++) {
      const float *sum = scratch + tap_of (cb, i);
      float total = sum[0];

      for (int th = 1; th < threads; th++)
        total += sum[th * size];
      dw[i] = total;
    }
  }
}

const struct gradients grouped_gradients
  = { grouped_suits, grouped_scratch, grouped_data, grouped_weights };
