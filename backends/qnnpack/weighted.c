/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weighted.c: convolution and linear layers, tile by tile.
 *
 * A tile is MR output pixels by 16 channels.  What a pixel sees is not copied:
 * the kernel gets a pointer for every pixel and tap of the window, to the
 * input or to a pixel of zero points.  Only where a tap has few channels, as
 * in first layers, windows are copied together, a piece of rows at a time. */
#include "config.h"

#include "qnnpack.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

#define PIECE_BYTES 24576 /* of activations, of a first cache of 32 KB */
#define MOST_ROWS 96
#define FEW_CHANNELS 16  /* a tap with fewer is copied */
#define SMALL_WORK 65536 /* multiply-accumulates not worth a thread */

/* An output pixel's window: its sample and where tap (0,0) lies. */
struct pixel {
  const uint8_t *x; /* from the group's first channel on */
  int64_t row0, col0;
};

static struct pixel
pixel_at (const struct qnnpack_kernel *k, const uint8_t *in, int64_t index,
          int64_t channel)
{
  const struct int8op_geometry *g = &k->g;
  const int64_t image = index / (g->p * g->q);

  return (struct pixel){
    .x = in + image * g->h * g->w * g->c + channel,
    .row0 = index / g->q % g->p * k->op.stride_h - k->op.pad_top,
    .col0 = index % g->q * k->op.stride_w - k->op.pad_left,
  };
}

/* Tap (R,S) of a pixel, of which padding is a part. */
static const uint8_t *
tap_at (const struct qnnpack_kernel *k, const struct pixel *p, int r, int s)
{
  const int64_t row = p->row0 + (int64_t) r * k->op.dilation_h;
  const int64_t col = p->col0 + (int64_t) s * k->op.dilation_w;

  if (row < 0 || row >= k->g.h || col < 0 || col >= k->g.w)
    return k->pad;
  return p->x + (row * k->g.w + col) * k->g.c;
}

/* Pointers to the taps of a pixel, MR apart. */
static void
point_at_taps (const struct qnnpack_kernel *k, const struct pixel *p,
               const uint8_t **to)
{
  for (int r = 0; r < k->op.kernel_h; r++)
    for (int s = 0; s < k->op.kernel_w; s++, to += k->kernels.mr)
      *to = tap_at (k, p, r, s);
}

/* The same window as one piece of memory. */
static void
copy_taps (const struct qnnpack_kernel *k, const struct pixel *p, uint8_t *to)
{
  const int64_t cg = k->g.c / k->op.groups;

  for (int r = 0; r < k->op.kernel_h; r++)
    for (int s = 0; s < k->op.kernel_w; s++) {
      const uint8_t *from = tap_at (k, p, r, s);

      for (int64_t c = 0; c < cg; c++)
        *to++ = from[c];
    }
}

/* One piece of work: ROWS pixels from FIRST on by some blocks of a group. */
struct piece {
  int64_t first, rows;
  int group, block0, block1;
};

/* Pointers for all tiles of a piece; the last tile's missing rows repeat its
 * last one. */
static void
point_at_rows (const struct qnnpack_kernel *k, const uint8_t *in,
               const struct piece *w, const uint8_t **pointers, uint8_t *panel)
{
  const int mr = k->kernels.mr;
  const int64_t tile = (int64_t) mr * k->taps;
  const int64_t full = (w->rows + mr - 1) / mr * mr;

  for (int64_t i = 0; i < full; i++) {
    const uint8_t **to = pointers + i / mr * tile + i % mr;
    const struct pixel p
      = pixel_at (k, in, w->first + (i < w->rows ? i : w->rows - 1),
                  w->group * (k->g.c / k->op.groups));

    if (k->panel) {
      *to = panel + i * k->kc;
      copy_taps (k, &p, panel + i * k->kc);
    } else {
      point_at_taps (k, &p, to);
    }
  }
}

static void
multiply_piece (const struct qnnpack_kernel *k, const uint8_t *in,
                uint8_t *out, const struct piece *w, uint8_t *scratch)
{
  const struct qk_op *op = &k->op;
  const int mr = k->kernels.mr;
  const bool f32 = op->out_q.scale == 0;
  const int64_t size = f32 ? 4 : 1, kg = k->g.k / op->groups;
  const struct q8_output o
    = { op->out_q.zero_point, op->lo, op->hi, f32, k->g.k * size };
  const uint8_t **pointers = (void *) scratch;

  point_at_rows (k, in, w, pointers, scratch + k->pointers);
  for (int j = w->block0; j < w->block1; j++) {
    const struct q8_gemm_block *b = &k->block[w->group * k->blocks + j];
    uint8_t *y = out + (w->first * k->g.k + w->group * kg + j * Q8_NR) * size;

    for (int64_t i = 0; i < w->rows; i += mr) {
      const int64_t left = w->rows - i;

      k->kernels.gemm (pointers + i * k->taps, k->taps, k->kc,
                       left < mr ? (int) left : mr, b, &o, y + i * o.pitch);
    }
  }
}

static void
run_part (const struct qnnpack_kernel *k, int64_t m, struct int8op_parts parts,
          int i, const uint8_t *in, uint8_t *out, uint8_t *scratch)
{
  const int row = i / parts.channels, column = i % parts.channels;
  const int mr = k->kernels.mr;
  const int64_t end = int8op_begin (m, mr, row + 1, parts.pixels);
  struct piece w = {
    .block0 = (int) int8op_begin (k->blocks, 1, column, parts.channels),
    .block1 = (int) int8op_begin (k->blocks, 1, column + 1, parts.channels),
  };

  for (w.first = int8op_begin (m, mr, row, parts.pixels); w.first < end;
       w.first += w.rows) {
    w.rows = end - w.first < k->rows ? end - w.first : k->rows;
    for (w.group = 0; w.group < k->op.groups; w.group++)
      multiply_piece (k, in, out, &w, scratch);
  }
}

static void
run_weighted (const struct qnnpack_kernel *k, int64_t n, const void *const *in,
              void *out, void *scratch)
{
  const int64_t m = n * k->g.p * k->g.q;
  const int64_t weight = k->g.k * k->taps * k->kc;
  const struct int8op_parts parts = int8op_divide (
    m, k->blocks, weight, m * weight < SMALL_WORK ? 1 : k->threads,
    2 * k->kernels.mr);
  const int count = parts.pixels * parts.channels;

#pragma omp parallel for num_threads(count) schedule(static)
  for (int i = 0; i < count; i++)
    run_part (k, m, parts, i, in[0], out,
              (uint8_t *) scratch
                + (size_t) omp_get_thread_num () * (k->pointers + k->bytes));
}

int
qnnpack_prepare_weighted (struct qnnpack_kernel *k, size_t *scratch)
{
  const struct qk_op *op = &k->op;
  const int64_t cg = k->g.c / op->groups;
  const int window = op->kernel_h * op->kernel_w, mr = k->kernels.mr;

  k->panel = window > 1 && cg < FEW_CHANNELS;
  k->taps = k->panel ? 1 : window;
  k->kc = k->panel ? window * cg : cg;
  k->rows = PIECE_BYTES / (window * cg);
  k->rows = k->rows < MOST_ROWS ? k->rows / mr * mr : MOST_ROWS / mr * mr;
  if (k->rows < mr)
    k->rows = mr;
  k->pointers
    = ((size_t) (k->rows * k->taps) * sizeof (uint8_t *) + 63) / 64 * 64;
  k->bytes = k->panel ? ((size_t) (k->rows * k->kc) + 63) / 64 * 64 : 0;
  *scratch = (size_t) k->threads * (k->pointers + k->bytes);
  k->run = run_weighted;
  return qnnpack_pack (k);
}
