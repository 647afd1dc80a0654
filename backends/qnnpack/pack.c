/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pack.c: weights in the order the kernels read them. */
#include "config.h"

#include "qnnpack.h"

#include <math.h>

/* bias - (z_in - offset) * sum w, modulo 2^32; W are COUNT weights */
static int32_t
folded_bias (const struct qk_op *op, int64_t channel, const int8_t *w,
             int64_t count, int offset)
{
  int64_t sum = 0;

  for (int64_t i = 0; i < count; i++)
    sum += w[i];
  sum = (op->bias != NULL ? op->bias[channel] : 0)
        - sum * (op->in_q[0].zero_point - offset);
  return (int32_t) (uint32_t) (uint64_t) sum;
}

static size_t
round64 (size_t size)
{
  return (size + 63) / 64 * 64;
}

/* The next SIZE bytes at *P, which moves on to a multiple of 64. */
static void *
carve (uint8_t **p, size_t size)
{
  uint8_t *start = *p;

  *p += round64 (size);
  return start;
}

static bool
all_finite (const float multiplier[Q8_NR])
{
  for (int i = 0; i < Q8_NR; i++)
    if (!isfinite (multiplier[i]))
      return false;
  return true;
}

/* Channel FIRST + J into place J of a block. */
static void
fill_channel (const struct qnnpack_kernel *k, int64_t channel, int j,
              int8_t *weight)
{
  const int8_t *w = k->op.weight + channel * k->kc;
  const int nr = k->gemm.nr, kr = k->gemm.kr;

  weight += j / nr * nr * k->cells * Q8_CELL;
  for (int64_t i = 0; i < k->kc; i++)
    weight[(i / kr * nr + j % nr) * kr + i % kr] = w[i];
}

int
qnnpack_pack (struct qnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t kg = k->g.k / op->groups;
  const size_t bytes = (size_t) (k->cells * Q8_CELL * Q8_NR);
  const size_t each = round64 (bytes) + 2 * round64 (Q8_NR * 4);
  size_t count;
  uint8_t *at;

  k->blocks = (int) ((kg + Q8_NR - 1) / Q8_NR);
  count = (size_t) k->blocks * (size_t) op->groups;
  k->block = qk_alloc (count * sizeof *k->block);
  k->arrays = qk_alloc (count * each);
  if (k->block == NULL || k->arrays == NULL)
    return qk_oom ("qnnpack: packed weights");
  at = k->arrays;
  for (size_t i = 0; i < count; i++) {
    const int64_t within = (int64_t) (i % (size_t) k->blocks) * Q8_NR;
    const int64_t first = (int64_t) (i / (size_t) k->blocks) * kg + within;
    const int n = kg - within < Q8_NR ? (int) (kg - within) : Q8_NR;
    int8_t *weight = carve (&at, bytes);
    int32_t *bias = carve (&at, Q8_NR * 4);
    float *multiplier = carve (&at, Q8_NR * 4);

    for (int j = 0; j < n; j++) {
      fill_channel (k, first + j, j, weight);
      bias[j] = folded_bias (op, first + j, op->weight + (first + j) * k->kc,
                             k->kc, k->gemm.flip);
      multiplier[j] = op->multiplier[first + j];
    }
    k->block[i] = (struct q8_gemm_block){ weight, bias, multiplier, n,
                                          all_finite (multiplier) };
  }
  return 0;
}

/* The weights W of a channel into lane J of a block. */
static void
fill_lane (const struct qnnpack_kernel *k, const int8_t *w, int j,
           void *weight)
{
  const int rows = k->op.kernel_h, columns = k->op.kernel_w;

  for (int r = 0; r < rows; r++)
    for (int s = 0; s < columns; s++) {
      const int at = (s * rows + r) * Q8_NR + j;

      if (k->dwconv.wide)
        ((int16_t *) weight)[at] = w[r * columns + s];
      else
        ((int8_t *) weight)[at] = w[r * columns + s];
    }
}

int
qnnpack_pack_dwconv (struct qnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t taps = (int64_t) op->kernel_h * op->kernel_w;
  const size_t bytes = (size_t) taps * Q8_NR * (k->dwconv.wide ? 2 : 1);
  const size_t each = round64 (bytes) + 2 * round64 (Q8_NR * 4);
  uint8_t *at;

  k->blocks = (int) ((k->g.c + Q8_NR - 1) / Q8_NR);
  k->dw = qk_alloc ((size_t) k->blocks * sizeof *k->dw);
  k->arrays = qk_alloc ((size_t) k->blocks * each);
  if (k->dw == NULL || k->arrays == NULL)
    return qk_oom ("qnnpack: packed weights");
  at = k->arrays;
  for (int i = 0; i < k->blocks; i++) {
    const int n = k->g.c < Q8_NR ? (int) k->g.c : Q8_NR;
    const int64_t first = i < k->blocks - 1 ? (int64_t) i * Q8_NR : k->g.c - n;
    void *weight = carve (&at, bytes);
    int32_t *bias = carve (&at, Q8_NR * 4);
    float *multiplier = carve (&at, Q8_NR * 4);

    for (int j = 0; j < n; j++) {
      const int8_t *w = op->weight + (first + j) * taps;

      fill_lane (k, w, j, weight);
      bias[j] = folded_bias (op, first + j, w, taps, k->dwconv.offset);
      multiplier[j] = op->multiplier[first + j];
    }
    k->dw[i]
      = (struct q8_dwconv_block){ weight, bias, multiplier,
                                  first,  n,    all_finite (multiplier) };
  }
  return 0;
}
