/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped.c: convolution in groups of few channels, an output row at a time.
 * Vectors hold the output channels of whole groups, or a part of one group's:
 * as products of matrices, one a group, most of their lanes would be empty. */
#include "config.h"

#include "fbgemm.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

/* Multiply-accumulates for each lane that are not worth a thread: about two
 * microseconds, which meeting takes where cores share no cache. */
#define SMALL_WORK 6144
#define WINDOW 16    /* channels of a pixel that a block can see */
#define NOTHING 0x80 /* index of no channel */

struct fbgemm_grouped {
  struct qk_grouped_block *block;
  int blocks, pieces;
  int64_t columns; /* that the windows of an output row lie over */
  void *arrays;
};

/* Input and output channels of a group. */
struct group {
  int64_t in, out;
};

static struct group
group_of (const struct fbgemm_kernel *k)
{
  return (struct group){ k->g.c / k->op.groups, k->g.k / k->op.groups };
}

bool
fbgemm_suits_grouped (const struct fbgemm_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t lanes = k->kernels.lanes;
  struct group g;

  if (op->kind != QK_OP_CONV2D || op->groups == 1 || op->out_q.scale == 0
      || k->kernels.grouped == NULL || k->g.c < WINDOW)
    return false;
  g = group_of (k);
  if (g.in > WINDOW || (lanes % g.out != 0 && g.out % lanes != 0)
      || (g.out < lanes && lanes / g.out * g.in > WINDOW))
    return false;
  return fbgemm_fits_int32 (op, op->kernel_h * op->kernel_w * g.in);
}

/* ---- running -----------------------------------------------------------*/

static size_t
rows_bytes (const struct fbgemm_kernel *k)
{
  return (size_t) round64 (k->op.kernel_h * k->grouped->columns
                           * (int64_t) sizeof (uint8_t *));
}

/* Point AT to the pixels of the sample X under the windows of output row P. */
static void
point_rows (const struct fbgemm_kernel *k, const uint8_t *x, int64_t p,
            const uint8_t **at)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;

  for (int r = 0; r < op->kernel_h; r++) {
    const int64_t row
      = p * op->stride_h - op->pad_top + (int64_t) r * op->dilation_h;
    const uint8_t *line
      = row >= 0 && row < g->h ? x + row * g->w * g->c : NULL;

    for (int64_t i = 0; i < k->grouped->columns; i++, at++) {
      const int64_t column = i - op->pad_left;

      *at = line != NULL && column >= 0 && column < g->w ? line + column * g->c
                                                         : k->pad;
    }
  }
}

static void
run_grouped (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
             void *out, void *scratch)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const struct fbgemm_grouped *f = k->grouped;
  const struct qk_output o
    = { op->out_q.zero_point, op->lo, op->hi, QK_STORE_U8, g->k };
  const int64_t rows = n * g->p;
  const int64_t macs
    = rows * g->q * g->k * group_of (k).in * op->kernel_h * op->kernel_w;
  const int threads = macs < SMALL_WORK * k->kernels.lanes ? 1 : k->threads;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < rows; i++) {
    uint8_t *own
      = (uint8_t *) scratch + (size_t) omp_get_thread_num () * rows_bytes (k);
    const struct qk_grouped_row w = { .at = (void *) own,
                                      .columns = f->columns,
                                      .kernel_h = op->kernel_h,
                                      .kernel_w = op->kernel_w,
                                      .stride = op->stride_w,
                                      .dilation = op->dilation_w,
                                      .pieces = f->pieces,
                                      .q = g->q,
                                      .block = f->block,
                                      .blocks = f->blocks };

    point_rows (k, (const uint8_t *) in[0] + i / g->p * g->h * g->w * g->c,
                i % g->p, (void *) own);
    k->kernels.grouped (&w, &o, (uint8_t *) out + i * g->q * g->k);
  }
}

/* ---- packing -----------------------------------------------------------*/

/* Where a block's arrays lie, and how large they are; all in bytes. */
struct layout {
  int64_t weight, index, numbers, all;
};

static struct layout
layout_of (const struct fbgemm_kernel *k)
{
  const int64_t vector = 4 * k->kernels.lanes;
  const int64_t taps = (int64_t) k->op.kernel_h * k->op.kernel_w;
  struct layout l = { .weight = round64 (taps * k->grouped->pieces * vector),
                      .index = round64 (k->grouped->pieces * vector),
                      .numbers = round64 (vector) };

  l.all = l.weight + l.index + 2 * l.numbers;
  return l;
}

/* Bytes that lane LANE of a block picks, for the channels of its group that
 * lie AT bytes from the block's first. */
static void
fill_index (const struct fbgemm_kernel *k, int64_t lane, int64_t at,
            uint8_t *index)
{
  const int64_t in = group_of (k).in;
  const int piece = k->kernels.grouped_piece, step = 4 / piece;

  for (int j = 0; j < k->grouped->pieces; j++)
    for (int i = 0; i < 4; i++) {
      const int64_t c = (int64_t) j * piece + i / step;

      index[(j * k->kernels.lanes + lane) * 4 + i]
        = i % step == 0 && c < in ? (uint8_t) (at + c) : NOTHING;
    }
}

/* The weights of output channel CHANNEL, which is lane LANE. */
static void
fill_weights (const struct fbgemm_kernel *k, int64_t channel, int64_t lane,
              int8_t *weight)
{
  const int64_t in = group_of (k).in;
  const int64_t taps = (int64_t) k->op.kernel_h * k->op.kernel_w;
  const int8_t *w = k->op.weight + channel * taps * in;
  const int piece = k->kernels.grouped_piece;

  for (int64_t t = 0; t < taps; t++)
    for (int64_t c = 0; c < in; c++) {
      int8_t *to
        = weight
          + ((t * k->grouped->pieces + c / piece) * k->kernels.lanes + lane)
              * 4;
      const int16_t wide = w[t * in + c];

      if (piece == 4)
        to[c % 4] = w[t * in + c];
      else
        memcpy (to + c % 2 * 2, &wide, sizeof wide);
    }
}

/* Block B of the output channels from b->first on; its arrays at AT. */
static void
pack_block (const struct fbgemm_kernel *k, struct qk_grouped_block *b,
            uint8_t *at)
{
  const struct layout l = layout_of (k);
  const struct group g = group_of (k);
  const int64_t taps = (int64_t) k->op.kernel_h * k->op.kernel_w;
  const int64_t start = b->first / g.out * g.in;
  int8_t *weight = (int8_t *) at;
  uint8_t *index = at + l.weight;
  int32_t *bias = (void *) (index + l.index);
  float *multiplier = (void *) ((uint8_t *) bias + l.numbers);

  /* sixteen bytes from there on belong to the pixel */
  b->from = start + WINDOW <= k->g.c ? start : k->g.c - WINDOW;
  memset (index, NOTHING, (size_t) l.index);
  for (int64_t i = 0; i < b->n; i++) {
    const int64_t channel = b->first + i;

    fill_index (k, i, channel / g.out * g.in - b->from, index);
    fill_weights (k, channel, i, weight);
    bias[i] = fbgemm_folded_bias (
      &k->op, channel, k->op.weight + channel * taps * g.in, taps * g.in);
    multiplier[i] = k->op.multiplier[channel];
  }
  b->weight = weight;
  b->index = index;
  b->bias = bias;
  b->multiplier = multiplier;
}

int
fbgemm_prepare_grouped (struct fbgemm_kernel *k, size_t *scratch)
{
  const struct qk_op *op = &k->op;
  const int64_t lanes = k->kernels.lanes;
  struct fbgemm_grouped *f = qk_alloc (sizeof *f);
  struct layout l;

  k->grouped = f;
  k->pad = qk_alloc ((size_t) k->g.c);
  if (f == NULL || k->pad == NULL)
    return qk_oom ("fbgemm");
  memset (k->pad, op->in_q[0].zero_point, (size_t) k->g.c);
  f->blocks = (int) divide_up (k->g.k, lanes);
  f->pieces
    = (int) divide_up (group_of (k).in, (int64_t) k->kernels.grouped_piece);
  f->columns = (k->g.q - 1) * op->stride_w
               + (int64_t) (op->kernel_w - 1) * op->dilation_w + 1;
  l = layout_of (k);
  f->block = qk_alloc ((size_t) f->blocks * sizeof *f->block);
  f->arrays = qk_alloc ((size_t) (f->blocks * l.all));
  if (f->block == NULL || f->arrays == NULL)
    return qk_oom ("fbgemm: packed weights");
  for (int i = 0; i < f->blocks; i++) {
    const int64_t left = k->g.k - i * lanes;

    f->block[i].first = i * lanes;
    f->block[i].n = (int) (left < lanes ? left : lanes);
    pack_block (k, &f->block[i], (uint8_t *) f->arrays + i * l.all);
  }
  *scratch = (size_t) k->threads * rows_bytes (k);
  k->run = run_grouped;
  return 0;
}

void
fbgemm_release_grouped (struct fbgemm_grouped *f)
{
  if (f == NULL)
    return;
  qk_free (f->block);
  qk_free (f->arrays);
  qk_free (f);
}
