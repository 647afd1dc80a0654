/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weighted.c: convolution and linear layers as matrix products.
 *
 * A row of the matrix A is what one output pixel sees: the window's bytes.
 * For 1x1 windows without stride or padding that is the input itself; else
 * pieces of some rows are copied to a panel in scratch memory, padding as
 * zero points, and multiplied while they are in the cache.  Where the channels
 * fill whole steps, nothing is copied: a table says where the pixel under each
 * tap of each row is. */
#include "config.h"

#include "fbgemm.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

#define DIRECT_BYTES 65536 /* of A that should stay in the cache */
#define PANEL_BYTES 131072
#define MOST_ROWS 264
#define LEAST_ROWS 24 /* also the step: a multiple of 12, 8 and 6 */
#define TILE_ROWS 6
#define LEAST_PART_ROWS 12 /* of A for a thread; below, channels are divided */
#define HEAVY_BYTES 8192 /* of weights for a row of A */
#define MOST_TAPS 49
#define LEAST_TAP 16 /* bytes of a piece that are worth a loop */
#define SMALL_WORK 65536 /* multiply-accumulates not worth a thread */

/* Copies of a few bytes to a few kilobytes, inline. */
static inline void
copy_bytes (uint8_t *to, const uint8_t *from, int64_t n)
{
  if (n >= 16) {
    int64_t i = 0;

    for (; i + 16 <= n; i += 16)
      memcpy (to + i, from + i, 16);
    memcpy (to + n - 16, from + n - 16, 16);
  } else if (n >= 8) {
    memcpy (to, from, 8);
    memcpy (to + n - 8, from + n - 8, 8);
  } else if (n >= 4) {
    memcpy (to, from, 4);
    memcpy (to + n - 4, from + n - 4, 4);
  } else {
    for (int64_t i = 0; i < n; i++)
      to[i] = from[i];
  }
}

/* One row of a window whose column 0 is COL0 and whose taps S0 to S1 - 1 are
 * inside; X is the picture's row.  TO receives kernel_w * cg bytes. */
static inline void
pack_taps (const struct fbgemm_kernel *k, const uint8_t *x, int64_t col0,
           int s0, int s1, int64_t cg, uint8_t *to)
{
  const struct qk_op *op = &k->op;
  const int z = op->in_q[0].zero_point;

  if (s0 > 0)
    memset (to, z, (size_t) (s0 * cg));
  if (op->dilation_w == 1 && cg == k->g.c) {
    copy_bytes (to + s0 * cg, x + (col0 + s0) * k->g.c, (s1 - s0) * cg);
  } else {
    for (int s = s0; s < s1; s++)
      copy_bytes (to + s * cg,
                  x + (col0 + (int64_t) s * op->dilation_w) * k->g.c, cg);
  }
  if (s1 < op->kernel_w)
    memset (to + s1 * cg, z, (size_t) ((op->kernel_w - s1) * cg));
}

/* Where a row of A comes from. */
struct pixel {
  const uint8_t *x; /* its picture, from the group's first channel on */
  int64_t row0, col0; /* of tap (0,0), may be outside */
};

/* A row of A; PLAIN: the taps of a window row are one piece of memory. */
static inline void
pack_row (const struct fbgemm_kernel *k, const struct pixel *from, int64_t cg,
          const bool plain, uint8_t *to)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const int64_t width = op->kernel_w * cg, line = g->w * g->c;
  const int64_t col0 = from->col0;
  uint8_t *const end = to + k->product[0].steps * 4;
  int64_t row = from->row0;
  int s0 = 0, s1 = op->kernel_w;

  if (!plain)
    int8op_taps (col0, op->kernel_w, op->dilation_w, g->w, &s0, &s1);
  for (int r = 0; r < op->kernel_h; r++, to += width, row += op->dilation_h)
    if (row < 0 || row >= g->h || s0 == s1)
      memset (to, op->in_q[0].zero_point, (size_t) width);
    else if (plain)
      copy_bytes (to, from->x + row * line + col0 * g->c, width);
    else
      pack_taps (k, from->x + row * line, col0, s0, s1, cg, to);
  while (to < end)
    *to++ = 0;
}

/* The same for windows whose rows are at most 16 bytes and start inside:
 * whole pieces of 16, of which the next overwrites what is too much.  Reads
 * up to 16 bytes from the last row of the window on, and the panel has that
 * much room behind it.  Weights beyond a row of A are 0. */
static inline void
pack_short_row (const struct fbgemm_kernel *k, const uint8_t *x, uint8_t *to)
{
  const int64_t width = k->op.kernel_w * k->g.c;
  const int64_t line = k->g.w * k->g.c * k->op.dilation_h;

  for (int r = 0; r < k->op.kernel_h; r++, to += width, x += line)
    memcpy (to, x, 16);
}

/* Rows FIRST .. FIRST+COUNT-1 of A for the channels from C0 on. */
static void
pack_panel (const struct fbgemm_kernel *k, const uint8_t *in, int64_t first,
            int64_t count, int64_t c0, uint8_t *panel)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const int64_t cg = g->c / op->groups;
  const bool whole = op->dilation_w == 1 && op->groups == 1;
  const int64_t reach = (int64_t) (op->kernel_h - 1) * op->dilation_h;
  int64_t image = first / (g->p * g->q);
  int64_t p = first / g->q % g->p, q = first % g->q;

  for (int64_t i = 0; i < count; i++) {
    const struct pixel from = { in + image * g->h * g->w * g->c + c0,
                                p * op->stride_h - op->pad_top,
                                q * op->stride_w - op->pad_left };

    if (k->short_rows && from.row0 >= 0 && from.row0 + reach < g->h
        && from.col0 >= 0 && from.col0 * g->c + 16 <= g->w * g->c)
      pack_short_row (k, from.x + (from.row0 * g->w + from.col0) * g->c,
                      panel + i * k->pitch);
    else if (whole && from.col0 >= 0 && from.col0 + op->kernel_w <= g->w)
      pack_row (k, &from, cg, true, panel + i * k->pitch);
    else
      pack_row (k, &from, cg, false, panel + i * k->pitch);
    if (++q == g->q) {
      q = 0;
      if (++p == g->p)
        p = 0, image++;
    }
  }
}

/* The first of the outputs, S apart, whose tap at T - PAD is not below 0. */
static int64_t
first_inside (int64_t t, int64_t pad, int64_t s)
{
  return t >= pad ? 0 : (pad - t + s - 1) / s;
}

/* COUNT outputs from column Q of a row on: the pixels of line X, or PAD where
 * it is NULL, under the tap at COLUMN. */
static void
point_row (const struct fbgemm_kernel *k, const uint8_t *x, int64_t column,
           int64_t q, int64_t count, const uint8_t **at)
{
  const struct qk_op *op = &k->op;
  const int64_t w = k->g.w, c = k->g.c, s = op->stride_w;
  int64_t from = first_inside (column, op->pad_left, s);
  int64_t to = first_inside (column, op->pad_left + w, s);
  int64_t i = 0;

  from = x == NULL || from > q + count ? q + count : from < q ? q : from;
  to = x == NULL || to > q + count ? q + count : to < from ? from : to;
  for (; i < from - q; i++)
    at[i] = k->pad;
  for (; i < to - q; i++)
    at[i] = x + ((q + i) * s + column - op->pad_left) * c;
  for (; i < count; i++)
    at[i] = k->pad;
}

/* The table for rows FIRST .. FIRST+COUNT-1 of A, channels from C0 on. */
static void
point_taps (const struct fbgemm_kernel *k, const uint8_t *in, int64_t first,
            int64_t count, int64_t c0, const uint8_t **at)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;

  for (int64_t i = 0, left; i < count; i += left) {
    const int64_t line = (first + i) / g->q, q = (first + i) % g->q;
    const uint8_t *x = in + line / g->p * g->h * g->w * g->c + c0;

    left = g->q - q < count - i ? g->q - q : count - i;
    for (int r = 0; r < op->kernel_h; r++) {
      const int64_t row = line % g->p * op->stride_h - op->pad_top
                          + (int64_t) r * op->dilation_h;
      const uint8_t *from = row < 0 || row >= g->h ? NULL
                                                   : x + row * g->w * g->c;

      for (int s = 0; s < op->kernel_w; s++)
        point_row (k, from, (int64_t) s * op->dilation_w, q, left,
                   at + (r * op->kernel_w + s) * count + i);
    }
  }
}

/* One piece of work: ROWS rows of A from FIRST on by some blocks of
 * channels. */
struct piece {
  int64_t first, rows;
  int group, block0, block1;
};

/* Product to float, then to the grid: (float) acc * M is exact there, and
 * multiplying it by 1 changes nothing. */
static void
multiply_wide (const struct fbgemm_kernel *k, const uint8_t *a, int64_t lda,
               const struct piece *w, const struct qk_gemm_block *b,
               uint8_t *y, float *tile)
{
  const struct fbgemm_product *p = &k->product[w->group];
  const int64_t pitch = (int64_t) k->kernels.lanes * k->kernels.max_vectors;
  const struct qk_output o = { .f32 = true, .pitch = pitch * 4 };
  const struct qk_grids g = { .inv = 1.0f, .zp = k->op.out_q.zero_point,
                              .lo = k->op.lo, .hi = k->op.hi };

  k->kernels.gemm (a, lda, w->rows, p->steps, b, &o, tile);
  for (int64_t i = 0; i < w->rows; i++)
    k->kernels.point.quantize (tile + i * pitch, b->n, &g, y + i * k->g.k);
}

static void
multiply_piece (const struct fbgemm_kernel *k, const uint8_t *in, void *out,
                const struct piece *w, uint8_t *panel)
{
  const struct fbgemm_product *p = &k->product[w->group];
  const int groups = k->op.kind == QK_OP_CONV2D ? k->op.groups : 1;
  const int64_t kg = k->g.k / groups;
  const int most = k->kernels.lanes * k->kernels.max_vectors;
  const bool f32 = k->op.out_q.scale == 0;
  const int64_t size = f32 ? 4 : 1;
  const struct qk_output o = { k->op.out_q.zero_point, k->op.lo, k->op.hi,
                               f32, k->g.k * size };
  const uint8_t *a = panel;
  const struct qk_gemm_taps taps = {
    (const uint8_t *const *) (const void *) panel, w->rows, k->taps,
    k->op.in_q[0].zero_point == 0 ? k->pad : NULL
  };

  if (k->direct)
    a = in + w->first * k->pitch;
  else if (k->taps > 0)
    point_taps (k, in, w->first, w->rows, w->group * (k->g.c / groups),
                (const uint8_t **) (void *) panel);
  else
    pack_panel (k, in, w->first, w->rows, w->group * (k->g.c / groups),
                panel);
  for (int j = w->block0; j < w->block1; j++) {
    const struct qk_gemm_block *b = &p->block[j];
    uint8_t *y = (uint8_t *) out
                 + (w->first * k->g.k + w->group * kg + (int64_t) j * most)
                     * size;

    if (k->taps > 0)
      k->kernels.gemm_taps (&taps, w->rows, p->steps / k->taps, b, &o, y);
    else if (k->wide && !f32)
      multiply_wide (k, a, k->pitch, w, b, y,
                     (float *) (void *) (panel + k->panel));
    else
      k->kernels.gemm (a, k->pitch, w->rows, p->steps, b, &o, y);
  }
}

/* Parts of the work of one run, a thread each. */
struct parts {
  int rows, blocks; /* how often the rows of A, the channels are divided */
};

/* Where one of N equal parts of COUNT begins, at a multiple of STEP. */
static int64_t
part_begin (int64_t count, int64_t step, int i, int n)
{
  return i == n ? count : count * i / n / step * step;
}

/* Each thread has the same part of a picture in every layer, whose bytes are
 * in its core's cache then; with too few rows for that, a part of the
 * channels. */
static struct parts
plan_parts (const struct fbgemm_kernel *k, int64_t m)
{
  const int64_t macs = m * k->g.k * k->product[0].steps * 4;
  const int threads = macs < SMALL_WORK ? 1 : k->threads;
  /* large weights are better read by one thread than by each */
  const bool heavy = (int64_t) k->product[0].blocks >= threads
                     && k->g.k * k->product[0].steps * 4 > HEAVY_BYTES * m;
  const int64_t most = heavy ? 1 : m / LEAST_PART_ROWS;
  const int rows = most < 1 ? 1 : most < threads ? (int) most : threads;

  return (struct parts) { rows, threads / rows };
}

static void
run_part (const struct fbgemm_kernel *k, int64_t m, struct parts parts,
          int i, const uint8_t *in, void *out, uint8_t *panel)
{
  const int groups = k->op.kind == QK_OP_CONV2D ? k->op.groups : 1;
  const int blocks = k->product[0].blocks;
  const int row = i / parts.blocks, column = i % parts.blocks;
  const int64_t end = part_begin (m, TILE_ROWS, row + 1, parts.rows);
  struct piece w = {
    .block0 = (int) part_begin (blocks, 1, column, parts.blocks),
    .block1 = (int) part_begin (blocks, 1, column + 1, parts.blocks),
  };

  for (w.first = part_begin (m, TILE_ROWS, row, parts.rows); w.first < end;
       w.first += w.rows) {
    w.rows = end - w.first < k->rows ? end - w.first : k->rows;
    for (w.group = 0; w.group < groups; w.group++)
      multiply_piece (k, in, out, &w, panel);
  }
}

static void
run_weighted (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
              void *out, void *scratch)
{
  const int64_t m = n * k->g.p * k->g.q;
  const struct parts parts = plan_parts (k, m);
  const int count = parts.rows * parts.blocks;

#pragma omp parallel for num_threads(count) schedule(static)
  for (int i = 0; i < count; i++)
    run_part (k, m, parts, i, in[0], out,
              (uint8_t *) scratch
                + (size_t) omp_get_thread_num () * (k->panel + k->tile));
}

/* Whether rows of A can stay where they are: whole steps at each tap.  Without
 * VNNI a tile has few registers for addresses, and copying is faster. */
static bool
has_taps (const struct fbgemm_kernel *k)
{
  const int64_t cg = k->g.c / k->op.groups;

  return k->kernels.gemm_taps != NULL && !k->direct && !k->wide
         && cg % 4 == 0 && cg >= LEAST_TAP && k->op.kernel_h <= MOST_TAPS
         && k->op.kernel_h * k->op.kernel_w <= MOST_TAPS;
}

/* Rows of A by a table of pixels. */
static int
plan_taps (struct fbgemm_kernel *k)
{
  k->taps = k->op.kernel_h * k->op.kernel_w;
  k->rows = MOST_ROWS;
  k->panel = (size_t) (MOST_ROWS * k->taps) * sizeof (uint8_t *);
  k->pad = qk_alloc ((size_t) k->g.c);
  if (k->pad == NULL)
    return qk_error (-ENOMEM, "fbgemm: out of memory");
  memset (k->pad, k->op.in_q[0].zero_point, (size_t) k->g.c);
  return 0;
}

/* Bytes of a row of A, and how many rows make a piece. */
static void
plan_rows (struct fbgemm_kernel *k, int64_t row_bytes)
{
  const struct qk_op *op = &k->op;
  const bool plain
    = op->kind == QK_OP_LINEAR
      || (op->groups == 1 && op->kernel_h == 1 && op->kernel_w == 1
          && op->stride_h == 1 && op->stride_w == 1
          && (op->pad_top | op->pad_left | op->pad_bottom | op->pad_right)
               == 0);
  int64_t room;

  k->direct = plain && k->g.c % 4 == 0
              && (!k->kernels.saturates || k->g.c >= QK_GEMM_WINDOW);
  k->pitch = (row_bytes + 3) / 4 * 4;
  if (k->kernels.saturates && k->pitch < QK_GEMM_WINDOW)
    k->pitch = QK_GEMM_WINDOW;
  if (!k->direct && k->pitch % 1024 == 0)
    k->pitch += 64; /* rows would compete for the same cache lines */
  room = (k->direct ? DIRECT_BYTES : PANEL_BYTES) / k->pitch;
  room = room < MOST_ROWS ? room : MOST_ROWS;
  k->rows = room > LEAST_ROWS ? room / LEAST_ROWS * LEAST_ROWS : LEAST_ROWS;
}

/* A linear layer is a convolution of one pixel. */
static void
as_conv2d (struct qk_op *op)
{
  op->kernel_h = op->kernel_w = 1;
  op->stride_h = op->stride_w = 1;
  op->dilation_h = op->dilation_w = 1;
  op->pad_top = op->pad_left = op->pad_bottom = op->pad_right = 0;
  op->groups = 1;
}

int
fbgemm_prepare_weighted (struct fbgemm_kernel *k, size_t *scratch)
{
  struct qk_op *op = &k->op;
  int64_t row_bytes, kg;

  if (op->kind == QK_OP_LINEAR)
    as_conv2d (op);
  kg = k->g.k / op->groups;
  row_bytes = (int64_t) op->kernel_h * op->kernel_w * (k->g.c / op->groups);
  plan_rows (k, row_bytes);
  k->wide = !fbgemm_fits_int32 (op, row_bytes);
  k->short_rows = op->groups == 1 && op->dilation_w == 1
                  && op->kernel_w * k->g.c <= 16;
  if (has_taps (k)) {
    const int r = plan_taps (k);

    if (r < 0)
      return r;
  } else if (!k->direct)
    k->panel = ((size_t) (k->rows * k->pitch) + 16 + 63) / 64 * 64;
  if (k->wide && op->out_q.scale != 0)
    k->tile = (size_t) k->rows * (size_t) k->kernels.lanes
              * (size_t) k->kernels.max_vectors * 4;
  *scratch = (size_t) k->threads * (k->panel + k->tile);
  k->run = run_weighted;

  k->product = qk_alloc ((size_t) op->groups * sizeof *k->product);
  if (k->product == NULL)
    return qk_error (-ENOMEM, "fbgemm: out of memory");
  for (int i = 0; i < op->groups; i++) {
    const int r = fbgemm_pack (&k->kernels, op, i * kg, kg, row_bytes,
                               &k->product[i]);
    if (r < 0)
      return r;
  }
  return 0;
}
