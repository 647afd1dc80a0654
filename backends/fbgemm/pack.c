/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pack.c: weights in the order the kernels read them. */
#include "config.h"

#include "fbgemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 65536 /* weights whose sum surely fits int32 */

bool
fbgemm_fits_int32 (const struct qk_op *op, int64_t k)
{
  const int z = op->in_q[0].zero_point;
  const int reach = z > 255 - z ? z : 255 - z;

  for (int64_t n = 0; n < op->out_channels; n++) {
    const int8_t *w = op->weight + n * k;
    double sum = op->bias != NULL ? fabs ((double) op->bias[n]) : 0;

    for (int64_t i = 0; i < k; i += PIECE) {
      const int count = (int) (k - i < PIECE ? k - i : PIECE);
      int32_t part = 0;

      for (int j = 0; j < count; j++)
        part += abs (w[i + j]);
      sum += (double) reach * part;
    }
    /* 2^30 leaves room for the rounding of the product */
    if (!(sum * fabs ((double) op->multiplier[n]) < 1073741824.0))
      return false;
  }
  return true;
}

int32_t
fbgemm_folded_bias (const struct qk_op *op, int64_t channel, const int8_t *w,
                    int64_t k)
{
  int64_t sum = 0;

  for (int64_t i = 0; i < k; i += PIECE) {
    const int count = (int) (k - i < PIECE ? k - i : PIECE);
    int32_t part = 0;

    for (int j = 0; j < count; j++)
      part += w[i + j];
    sum += part;
  }
  sum = (op->bias != NULL ? op->bias[channel] : 0)
        - sum * op->in_q[0].zero_point;
  return (int32_t) (uint32_t) (uint64_t) sum;
}

/* One block's weights: channels FIRST .. FIRST+n-1 of OP. */
static void
fill_whole (const struct qk_op *op, int64_t first, int nr, int64_t k, int n,
            int8_t *weight)
{
  for (int j = 0; j < n; j++) {
    const int8_t *w = op->weight + (first + j) * k;
    int8_t *to = weight + (int64_t) j * 4;

    for (int64_t i = 0; i + 4 <= k; i += 4, to += (int64_t) nr * 4)
      memcpy (to, w + i, 4);
    memcpy (to, w + k / 4 * 4, (size_t) (k % 4));
  }
}

/* The same, two steps to a byte and plus 8 each; channels that are not in use
 * have 0. */
static void
fill_halves (const struct qk_op *op, int64_t first, int nr, int64_t k, int n,
             int8_t *weight)
{
  uint8_t *to = (uint8_t *) weight;

  for (int64_t s = 0; s < (k + 3) / 4; s += 2)
    for (int j = 0; j < nr; j++)
      for (int i = 0; i < 4; i++, to++) {
        const int64_t even = 4 * s + i, odd = even + 4;
        const int8_t *w = op->weight + (first + j) * k;
        const int low = j < n && even < k ? w[even] : 0;
        const int high = j < n && odd < k ? w[odd] : 0;

        *to = (uint8_t) ((low + 8) | (high + 8) << 4);
      }
}

/* The next SIZE bytes of an array, at *P, which moves on to a multiple of
 * 64. */
static void *
carve (uint8_t **p, int64_t size)
{
  uint8_t *start = *p;

  *p += round64 (size);
  return start;
}

/* Channels in blocks of the full width, then a narrower one; ROWS: of weights of
 * four bytes a channel that each block has. */
static int64_t
layout_blocks (const struct qk_kernels *kernels, int64_t count, int64_t rows,
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
    bytes += round64 (rows * nr * 4) + 2 * round64 (nr * 4);
  }
  return bytes;
}

/* Certify all blocks. */
static int
certify (const struct qk_kernels *kernels, struct fbgemm_range r,
         struct fbgemm_product *p)
{
  for (int i = 0; i < p->blocks; i++) {
    struct qk_gemm_block *b = &p->block[i];
    const int64_t unsafe = fbgemm_unsafe_pairs (
      r, b->weight, p->steps * b->vectors * kernels->lanes * 2);
    const int64_t moved
      = fbgemm_certify (r, b, (int8_t *) b->weight, (int32_t *) b->bias,
                        p->steps, b->vectors * kernels->lanes);

    if (moved < 0)
      return (int) moved;
    p->pairs += p->steps * b->n * 2;
    p->unsafe += unsafe;
    p->moved += moved;
    p->runs += (p->steps + b->chain - 1) / b->chain;
    p->extras += b->extras;
  }
  return 0;
}

/* Blocks of COUNT channels from FIRST on, of K weights each, HALVES: two to a
 * byte. */
static int
pack_blocks (const struct qk_kernels *kernels, const struct qk_op *op,
             int64_t first, int64_t count, int64_t k, bool halves,
             struct fbgemm_product *out)
{
  const int most = kernels->lanes * kernels->max_vectors;
  struct fbgemm_product p = { .steps = (k + 3) / 4 };
  const int64_t rows = halves ? (p.steps + 1) / 2 : p.steps;
  uint8_t *at;

  p.blocks = (int) ((count + most - 1) / most);
  *out = p;
  out->block = qk_alloc ((size_t) p.blocks * sizeof *p.block);
  if (out->block == NULL)
    return qk_oom ("fbgemm");
  out->arrays = qk_alloc ((size_t) layout_blocks (kernels, count, rows, out));
  if (out->arrays == NULL)
    return qk_oom ("fbgemm: packed weights");

  at = out->arrays;
  for (int i = 0; i < p.blocks; i++, first += most) {
    struct qk_gemm_block *b = &out->block[i];
    const int nr = b->vectors * kernels->lanes;
    int8_t *weight = carve (&at, rows * nr * 4);
    int32_t *bias = carve (&at, nr * 4);
    float *multiplier = carve (&at, nr * 4);

    (halves ? fill_halves : fill_whole) (op, first, nr, k, b->n, weight);
    for (int j = 0; j < b->n; j++) {
      bias[j]
        = fbgemm_folded_bias (op, first + j, op->weight + (first + j) * k, k);
      multiplier[j] = op->multiplier[first + j];
    }
    b->weight = weight;
    b->bias = bias;
    b->multiplier = multiplier;
    b->chain = 1;
    b->next = weight;
    if (i > 0)
      out->block[i - 1].next = weight;
  }
  return 0;
}

int
fbgemm_pack (const struct qk_kernels *kernels, const struct qk_op *op,
             int64_t first, int64_t count, int64_t k,
             struct fbgemm_product *out)
{
  const int r = pack_blocks (kernels, op, first, count, k, false, out);

  return r == 0 && kernels->saturates
           ? certify (kernels, fbgemm_input_range (op), out)
           : r;
}

int
fbgemm_pack_halves (const struct qk_kernels *kernels, const struct qk_op *op,
                    int64_t k, struct fbgemm_product *out)
{
  return pack_blocks (kernels, op, 0, op->out_channels, k, true, out);
}

void
fbgemm_unpack (struct fbgemm_product *p)
{
  for (int i = 0; p->block != NULL && i < p->blocks; i++) {
    free ((void *) p->block[i].middle);
    free ((void *) p->block[i].extra);
    free ((void *) p->block[i].extra_index);
    free ((void *) p->block[i].extra_at);
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

/* Make a block's weights safe; REST receives halves, and HALF of each step which
 * vectors have some.  Returns how many. */
static int
certify_dwconv (struct fbgemm_kernel *k, int8_t *w, int8_t *rest,
                uint8_t *half, int n)
{
  const struct fbgemm_range r = fbgemm_input_range (&k->op);
  const int height = k->op.kernel_h, bytes = 16 * k->dw_lanes;
  const int64_t steps = qk_dwconv_steps (height, k->op.kernel_w);
  /* of those with four rows */
  const int64_t whole = (int64_t) (height / 4) * k->op.kernel_w;
  int halved = 0;

  k->dw_pairs += n * steps * 2;
  k->dw_unsafe += fbgemm_unsafe_pairs (r, w, steps * bytes / 2);
  for (int64_t s = 0; s < steps; s++)
    for (int j = 0; j < bytes; j += 4) {
      int8_t *four = w + s * bytes + j;
      const int before = halved;

      if (s >= whole && height % 4 == 3)
        fbgemm_split_middle (r, four);
      halved += fbgemm_halve_pair (r, four, rest + (four - w))
                + fbgemm_halve_pair (r, four + 2, rest + (four - w) + 2);
      if (halved > before)
        half[s] |= (uint8_t) (1 << j / (bytes / 4));
    }
  k->dw_halved += halved;
  return halved;
}

int
fbgemm_pack_dwconv (struct fbgemm_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int lanes = k->dw_lanes, width = 4 * lanes;
  const int64_t taps = (int64_t) op->kernel_h * op->kernel_w;
  const int64_t steps = qk_dwconv_steps (op->kernel_h, op->kernel_w);
  const int64_t bytes = round64 (steps * 4 * width);
  const int64_t each = 2 * bytes + round64 (steps) + 2 * round64 (width * 4);
  uint8_t *at;

  k->dw_blocks = (int) ((k->g.c + width - 1) / width);
  k->dw = qk_alloc ((size_t) k->dw_blocks * sizeof *k->dw);
  k->dw_arrays = qk_alloc ((size_t) (each * k->dw_blocks));
  if (k->dw == NULL || k->dw_arrays == NULL)
    return qk_oom ("fbgemm: packed weights");
  at = k->dw_arrays;
  for (int i = 0; i < k->dw_blocks; i++) {
    struct qk_dwconv_block *b = &k->dw[i];
    const int n = k->g.c < width ? (int) k->g.c : width;
    const int64_t first
      = i < k->dw_blocks - 1 ? (int64_t) i * width : k->g.c - n;
    int8_t *w = carve (&at, bytes), *rest = carve (&at, bytes);
    uint8_t *half = carve (&at, steps);
    int32_t *bias = carve (&at, width * 4);
    float *multiplier = carve (&at, width * 4);
    int halved = 0;

    for (int j = 0; j < n; j++) {
      const int8_t *from = op->weight + (first + j) * taps;
      const int place = dwconv_place (lanes, j);

      for (int64_t t = 0; t < taps; t++) {
        int of_four;
        const int64_t step = qk_dwconv_step (
          op->kernel_h, op->kernel_w, (int) (t / op->kernel_w),
          (int) (t % op->kernel_w), &of_four);

        w[(step * width + place) * 4 + of_four] = from[t];
      }
      bias[place] = fbgemm_folded_bias (op, first + j, from, taps);
      multiplier[place] = op->multiplier[first + j];
    }
    if (k->kernels.saturates)
      halved = certify_dwconv (k, w, rest, half, n);
    *b = (struct qk_dwconv_block){
      w, halved > 0 ? rest : NULL, half, bias, multiplier, first, n
    };
  }
  return 0;
}
