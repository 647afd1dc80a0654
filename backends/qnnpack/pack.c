/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pack.c: weights in the order the kernels read them. */
#include "config.h"

#include "qnnpack.h"

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

/* Channel FIRST + J into place J of a block. */
static void
fill_channel (const struct qnnpack_kernel *k, int64_t channel, int j,
              int8_t *weight)
{
  const int kr = k->kernels.kr;
  const int64_t steps = (k->kc + kr - 1) / kr;
  const int8_t *w = k->op.weight + channel * k->taps * k->kc;

  for (int t = 0; t < k->taps; t++)
    for (int64_t i = 0; i < k->kc; i++)
      weight[((t * steps + i / kr) * Q8_NR + j) * kr + i % kr]
        = w[t * k->kc + i];
}

int
qnnpack_pack (struct qnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t kg = k->g.k / op->groups;
  const int64_t steps = (k->kc + k->kernels.kr - 1) / k->kernels.kr;
  const size_t bytes = (size_t) (k->taps * steps * Q8_NR * k->kernels.kr);
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
      bias[j] = folded_bias (op, first + j,
                             op->weight + (first + j) * k->taps * k->kc,
                             k->taps * k->kc, k->kernels.offset);
      multiplier[j] = op->multiplier[first + j];
    }
    k->block[i] = (struct q8_gemm_block){ weight, bias, multiplier, n };
  }
  return 0;
}

int
qnnpack_pack_dwconv (struct qnnpack_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t taps = (int64_t) op->kernel_h * op->kernel_w;
  const size_t bytes = (size_t) taps * Q8_NR * sizeof (int16_t);
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
    int16_t *weight = carve (&at, bytes);
    int32_t *bias = carve (&at, Q8_NR * 4);
    float *multiplier = carve (&at, Q8_NR * 4);

    for (int j = 0; j < n; j++) {
      const int8_t *w = op->weight + (first + j) * taps;

      for (int r = 0; r < op->kernel_h; r++)
        for (int s = 0; s < op->kernel_w; s++)
          weight[(s * op->kernel_h + r) * Q8_NR + j] = w[r * op->kernel_w + s];
      bias[j] = folded_bias (op, first + j, w, taps, 0);
      multiplier[j] = op->multiplier[first + j];
    }
    k->dw[i] = (struct q8_dwconv_block){ weight, bias, multiplier, first, n };
  }
  return 0;
}
