/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pack.c: weights in the order the kernels read them, and the proof that
 * no pair of products saturates. */
#include "config.h"

#include "fbgemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What inputs can be. */
struct range {
  int lo, hi;
};

/* The inputs' range, zero point (padding) included. */
static struct range
input_range (const struct qk_op *op)
{
  const struct qk_qparams *q = &op->in_q[0];
  struct range r = { q->qmin, q->qmax };

  r.lo = q->zero_point < r.lo ? q->zero_point : r.lo;
  r.hi = q->zero_point > r.hi ? q->zero_point : r.hi;
  return r;
}

/* Whether a0 w0 + a1 w1 can leave int16 for lo <= a0, a1 <= hi. */
static bool
pair_saturates (struct range r, int w0, int w1)
{
  const int top = w0 * (w0 > 0 ? r.hi : r.lo) + w1 * (w1 > 0 ? r.hi : r.lo);
  const int low = w0 * (w0 > 0 ? r.lo : r.hi) + w1 * (w1 > 0 ? r.lo : r.hi);

  return top > INT16_MAX || low < INT16_MIN;
}

/* Split the pair at W into W and REST so that neither saturates: halves of
 * at most 64 give 2 * 64 * 255 < 2^15. */
static bool
halve_pair (struct range r, int8_t *w, int8_t *rest)
{
  if (!pair_saturates (r, w[0], w[1]))
    return false;
  for (int i = 0; i < 2; i++) {
    const int half = w[i] >= 0 ? w[i] / 2 : -(-w[i] / 2);

    rest[i] = (int8_t) (w[i] - half);
    w[i] = (int8_t) half;
  }
  return true;
}

bool
fbgemm_fits_int32 (const struct qk_op *op, int64_t k)
{
  const int z = op->in_q[0].zero_point;
  const int reach = z > 255 - z ? z : 255 - z;

  for (int64_t n = 0; n < op->out_channels; n++) {
    double sum = op->bias != NULL ? fabs ((double) op->bias[n]) : 0;

    for (int64_t i = 0; i < k; i++)
      sum += reach * abs (op->weight[n * k + i]);
    /* 2^30 leaves room for the rounding of the product */
    if (!(sum * fabs ((double) op->multiplier[n]) < 1073741824.0))
      return false;
  }
  return true;
}

/* bias - z_in * sum w, modulo 2^32 */
static int32_t
folded_bias (const struct qk_op *op, int64_t channel, const int8_t *w,
             int64_t k)
{
  int64_t sum = 0;

  for (int64_t i = 0; i < k; i++)
    sum += w[i];
  sum = (op->bias != NULL ? op->bias[channel] : 0)
        - sum * op->in_q[0].zero_point;
  return (int32_t) (uint32_t) (uint64_t) sum;
}

/* One block's weights: channels FIRST .. FIRST+n-1 of OP. */
static void
fill_block (const struct qk_op *op, int64_t first, int nr, int64_t k,
            const struct qk_gemm_block *b, int8_t *weight, int32_t *bias,
            float *multiplier)
{
  for (int j = 0; j < b->n; j++) {
    const int8_t *w = op->weight + (first + j) * k;

    for (int64_t i = 0; i < k; i++)
      weight[(i / 4 * nr + j) * 4 + i % 4] = w[i];
    bias[j] = folded_bias (op, first + j, w, k);
    multiplier[j] = op->multiplier[first + j];
  }
}

/* Halve what saturates in STEPS steps at WEIGHT.  The other halves go to
 * EXTRA and EXTRA_STEP if those are not NULL.  Returns the extra steps. */
static int
halve_block (struct range r, int8_t *weight, int64_t steps, int nr,
             int8_t *extra, int32_t *extra_step, int64_t *halved)
{
  int count = 0;

  for (int64_t s = 0; s < steps; s++) {
    int8_t *w = weight + s * nr * 4;
    int found = 0;

    for (int i = 0; i < nr * 4; i += 2)
      if (extra == NULL)
        found += pair_saturates (r, w[i], w[i + 1]);
      else
        found += halve_pair (r, w + i, extra + (int64_t) count * nr * 4 + i);
    if (found > 0) {
      if (extra_step != NULL)
        extra_step[count] = (int32_t) s;
      count++;
    }
    *halved += found;
  }
  return count;
}

/* Give block B the part of an array that starts at *P and ends SIZE bytes
 * later, aligned to 64. */
static void *
carve (uint8_t **p, int64_t size)
{
  uint8_t *start = *p;

  *p += (size + 63) / 64 * 64;
  return start;
}

static int64_t
round64 (int64_t size)
{
  return (size + 63) / 64 * 64;
}

/* Channels in blocks of the full width, then a narrower one. */
static int64_t
layout_blocks (const struct qk_kernels *kernels, int64_t count,
               struct fbgemm_product *p)
{
  const int most = kernels->lanes * kernels->max_vectors;
  int64_t bytes = 0;

  for (int i = 0; i < p->blocks; i++) {
    const int64_t left = count - (int64_t) i * most;
    struct qk_gemm_block *b = &p->block[i];
    int nr;

    b->n = (int) (left < most ? left : most);
    b->vectors = (b->n + kernels->lanes - 1) / kernels->lanes;
    nr = b->vectors * kernels->lanes;
    bytes += round64 (p->steps * nr * 4) + 2 * round64 (nr * 4);
  }
  return bytes;
}

/* Certify all blocks; those that need it get extra steps. */
static int
add_extras (const struct qk_kernels *kernels, struct range r,
            struct fbgemm_product *p)
{
  for (int i = 0; i < p->blocks; i++) {
    struct qk_gemm_block *b = &p->block[i];
    const int nr = b->vectors * kernels->lanes;
    int8_t *weight = (int8_t *) b->weight, *extra;
    int64_t halved = 0;
    int32_t *steps;
    int count;

    p->pairs += p->steps * b->n * 2;
    count = halve_block (r, weight, p->steps, nr, NULL, NULL, &p->halved);
    if (count == 0)
      continue;
    extra = qk_alloc ((size_t) count * (size_t) nr * 4);
    steps = qk_alloc ((size_t) count * sizeof *steps);
    b->extra = extra;
    b->extra_step = steps;
    if (extra == NULL || steps == NULL)
      return qk_error (-ENOMEM, "fbgemm: out of memory");
    b->extras = halve_block (r, weight, p->steps, nr, extra, steps, &halved);
  }
  return 0;
}

int
fbgemm_pack (const struct qk_kernels *kernels, const struct qk_op *op,
             int64_t first, int64_t count, int64_t k,
             struct fbgemm_product *out)
{
  const int most = kernels->lanes * kernels->max_vectors;
  struct fbgemm_product p = { .steps = (k + 3) / 4 };
  uint8_t *at;

  p.blocks = (int) ((count + most - 1) / most);
  *out = p;
  out->block = qk_alloc ((size_t) p.blocks * sizeof *p.block);
  if (out->block == NULL)
    return qk_error (-ENOMEM, "fbgemm: out of memory");
  out->arrays = qk_alloc ((size_t) layout_blocks (kernels, count, out));
  if (out->arrays == NULL)
    return qk_error (-ENOMEM, "fbgemm: out of memory for packed weights");

  at = out->arrays;
  for (int i = 0; i < p.blocks; i++) {
    struct qk_gemm_block *b = &out->block[i];
    const int nr = b->vectors * kernels->lanes;
    int8_t *weight = carve (&at, p.steps * nr * 4);
    int32_t *bias = carve (&at, nr * 4);
    float *multiplier = carve (&at, nr * 4);

    fill_block (op, first + (int64_t) i * most, nr, k, b, weight, bias,
                multiplier);
    b->weight = weight;
    b->bias = bias;
    b->multiplier = multiplier;
  }
  return kernels->saturates ? add_extras (kernels, input_range (op), out) : 0;
}

void
fbgemm_unpack (struct fbgemm_product *p)
{
  for (int i = 0; p->block != NULL && i < p->blocks; i++) {
    qk_free ((void *) p->block[i].extra);
    qk_free ((void *) p->block[i].extra_step);
  }
  qk_free (p->block);
  qk_free (p->arrays);
}

/* Where channel J of a depthwise block lies among its 4 * lanes. */
static int
dwconv_place (int lanes, int j)
{
  return j / 4 % 4 * lanes + j / 16 * 4 + j % 4;
}

int
fbgemm_pack_dwconv (struct fbgemm_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int lanes = k->kernels.lanes, width = 4 * lanes;
  const int groups = (op->kernel_h + 3) / 4;
  const int64_t taps = (int64_t) op->kernel_h * op->kernel_w;
  const int64_t steps = (int64_t) op->kernel_w * groups;
  const int64_t bytes = round64 (steps * 4 * width);
  const int64_t each = 2 * bytes + 2 * round64 (width * 4);
  uint8_t *at;

  k->dw_blocks = (int) ((k->g.c + width - 1) / width);
  k->dw = qk_alloc ((size_t) k->dw_blocks * sizeof *k->dw);
  k->dw_arrays = qk_alloc ((size_t) (each * k->dw_blocks));
  if (k->dw == NULL || k->dw_arrays == NULL)
    return qk_error (-ENOMEM, "fbgemm: out of memory for packed weights");
  at = k->dw_arrays;
  for (int i = 0; i < k->dw_blocks; i++) {
    struct qk_dwconv_block *b = &k->dw[i];
    const int n = k->g.c < width ? (int) k->g.c : width;
    const int64_t first
      = i < k->dw_blocks - 1 ? (int64_t) i * width : k->g.c - n;
    int8_t *w = carve (&at, bytes), *rest = carve (&at, bytes);
    int32_t *bias = carve (&at, width * 4);
    float *multiplier = carve (&at, width * 4);
    int halved = 0;

    for (int j = 0; j < n; j++) {
      const int8_t *from = op->weight + (first + j) * taps;
      const int place = dwconv_place (lanes, j);

      for (int64_t t = 0; t < taps; t++) {
        const int64_t r = t / op->kernel_w, s = t % op->kernel_w;

        w[(((s * groups + r / 4) * width) + place) * 4 + r % 4] = from[t];
      }
      bias[place] = folded_bias (op, first + j, from, taps);
      multiplier[place] = op->multiplier[first + j];
    }
    if (k->kernels.saturates)
      for (int64_t j = 0; j < steps * 4 * width; j += 2)
        halved += halve_pair (input_range (op), w + j, rest + j);
    *b = (struct qk_dwconv_block) { w, halved > 0 ? rest : NULL, bias,
                                    multiplier, first, n };
  }
  return 0;
}
