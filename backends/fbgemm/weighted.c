/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weighted.c: convolution and linear layers as matrix products.
 *
 * A row of the matrix A is what one output pixel sees: the window's bytes.
 * For 1x1 windows without stride or padding that is the input itself; else
 * rows.c gathers some rows at a time.
 *
 * Windows of few channels, like a network's first, are read in place line by
 * line, with weights of 0 for the bytes that fill a line's last step; only
 * those that reach beyond the sample are gathered. */
#include "config.h"

#include "fbgemm.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

#define DIRECT_BYTES 65536  /* of A that should stay in the cache */
#define WEIGHT_BYTES 262144 /* that stay near; more come from far away, … */
#define FAR_DIRECT_BYTES 262144 /* … and are worth more of A each time */
#define PANEL_BYTES 131072
#define LEAST_ROWS 24 /* also the step: a multiple of 12, 8 and 6 */
#define TILE_ROWS 6
#define LEAST_PART_ROWS 12 /* of A for a thread; below, channels are divided */
#define MOST_TAPS 49
#define LEAST_TAP 16 /* bytes of a piece that are worth a loop; fewer: lines */
/* Multiply-accumulates for each lane that are not worth a thread: about two
 * microseconds, which meeting takes where cores share no cache. */
#define SMALL_WORK 32768

/* Weights of a layer of one row a sample that are worth being packed to four
 * bits. */
#define HALVES_WEIGHTS 65536

/* One piece of work: ROWS rows of A from FIRST on, which go to rows of the
 * output from TO on, by some blocks of channels. */
struct piece {
  int64_t first, rows, to;
  int group, block0, block1;
};

/* What a product does with its sums. */
static struct qk_output
output_of (const struct fbgemm_kernel *k)
{
  const bool f32 = k->op.out_q.scale == 0;

  return (struct qk_output){ k->op.out_q.zero_point, k->op.lo, k->op.hi,
                             f32 ? QK_STORE_F32 : QK_STORE_U8,
                             k->g.k * (f32 ? 4 : 1) };
}

/* Where row ROW of block J of GROUP's channels goes. */
static uint8_t *
output_at (const struct fbgemm_kernel *k, void *out, int64_t row, int group,
           int j)
{
  const int groups = k->op.kind == QK_OP_CONV2D ? k->op.groups : 1;
  const int64_t channel
    = group * (k->g.k / groups)
      + (int64_t) j * k->kernels.lanes * k->kernels.max_vectors;

  return (uint8_t *) out
         + (row * k->g.k + channel) * (k->op.out_q.scale == 0 ? 4 : 1);
}

/* Product to float, then to the grid: (float) acc * M is exact there, and
 * multiplying it by 1 changes nothing. */
static void
multiply_wide (const struct fbgemm_kernel *k, const uint8_t *a, int64_t lda,
               const struct piece *w, const struct qk_gemm_block *b,
               uint8_t *y, float *tile)
{
  const struct fbgemm_product *p = &k->product[w->group];
  const int64_t pitch = (int64_t) k->kernels.lanes * k->kernels.max_vectors;
  const struct qk_output o = { .store = QK_STORE_F32, .pitch = pitch * 4 };
  const struct qk_grids g = {
    .inv = 1.0f, .zp = k->op.out_q.zero_point, .lo = k->op.lo, .hi = k->op.hi
  };

  k->kernels.gemm (a, lda, w->rows, p->steps, b, &o, tile);
  for (int64_t i = 0; i < w->rows; i++)
    k->pointwise->quantize (tile + i * pitch, b->n, &g, y + i * k->g.k);
}

/* A piece by weights that are two to a byte. */
static void
multiply_halves (const struct fbgemm_kernel *k, const uint8_t *a, void *out,
                 const struct piece *w)
{
  const struct fbgemm_product *p = k->halves;
  const struct qk_output o = output_of (k);

  for (int j = w->block0; j < w->block1; j++)
    k->kernels.gemm_u8s4 (a, k->pitch, w->rows, p->steps, &p->block[j], &o,
                          output_at (k, out, w->to, 0, j));
}

static void
multiply_piece (const struct fbgemm_kernel *k, const uint8_t *in, void *out,
                const struct piece *w, uint8_t *panel)
{
  const struct fbgemm_product *p = &k->product[w->group];
  const int groups = k->op.kind == QK_OP_CONV2D ? k->op.groups : 1;
  const struct qk_output o = output_of (k);
  const uint8_t *a = panel;

  if (k->direct)
    a = in + w->first * k->pitch;
  else
    fbgemm_pack_panel (k, in, w->first, w->rows, w->group * (k->g.c / groups),
                       panel);
  if (k->halves != NULL && w->rows <= k->kernels.u8s4_rows) {
    multiply_halves (k, a, out, w);
    return;
  }
  for (int j = w->block0; j < w->block1; j++) {
    const struct qk_gemm_block *b = &p->block[j];
    uint8_t *y = output_at (k, out, w->to, w->group, j);

    if (k->wide && o.store == QK_STORE_U8)
      multiply_wide (k, a, k->pitch, w, b, y,
                     (float *) (void *) (panel + k->panel));
    else
      k->kernels.gemm (a, k->pitch, w->rows, p->steps, b, &o, y);
  }
}

/* A piece whose rows are pixels by a table. */
static void
multiply_taps (const struct fbgemm_kernel *k, const uint8_t *in, void *out,
               const struct piece *w, uint8_t *panel)
{
  const struct fbgemm_product *p = &k->product[w->group];
  const int64_t cg = k->g.c / k->op.groups;
  const struct qk_output o = output_of (k);
  const uint8_t **at = (const uint8_t **) (void *) panel;
  int32_t *place = (int32_t *) (void *) (at + FBGEMM_MOST_ROWS * k->taps);
  int32_t end[FBGEMM_MOST_GROUPS];
  const int groups = fbgemm_point_taps (k, in, w->first, w->rows,
                                        w->group * cg, place, at, end);

  for (int j = w->block0; j < w->block1; j++) {
    uint8_t *y = output_at (k, out, w->to, w->group, j);

    for (int i = 0; i < groups; i++) {
      const int32_t start = i == 0 ? 0 : end[i - 1];
      const struct qk_gemm_taps taps
        = { at + start, place + start, w->rows, k->taps,
            k->op.in_q[0].zero_point == 0 ? k->pad : NULL };

      k->kernels.gemm_taps (&taps, end[i] - start, p->steps / k->taps,
                            &p->block[j], &o, y);
    }
  }
}

/* COUNT rows of A from FIRST on, in place or gathered, by all channels of the
 * piece W. */
static void
multiply_segment (const struct fbgemm_kernel *k, const struct qk_gemm_lines *l,
                  const struct piece *w, int64_t first, int64_t count,
                  void *out)
{
  const struct fbgemm_product *p = &k->product[0];
  const struct qk_output o = output_of (k);

  for (int j = w->block0; j < w->block1; j++)
    k->kernels.gemm_lines (l, count, p->steps / k->lines, &p->block[j], &o,
                           output_at (k, out, first - w->first + w->to, 0, j));
}

/* The same, gathered; COUNT may be 0. */
static void
gather_segment (const struct fbgemm_kernel *k, const uint8_t *in,
                const struct piece *w, int64_t first, int64_t count, void *out,
                uint8_t *panel)
{
  const struct qk_gemm_lines l = { panel, k->pitch, k->line, k->lines };

  if (count == 0)
    return;
  fbgemm_pack_panel (k, in, first, count, 0, panel);
  multiply_segment (k, &l, w, first, count, out);
}

/* A piece line by line; the input has N samples. */
static void
multiply_lines (const struct fbgemm_kernel *k, int64_t n, const uint8_t *in,
                void *out, const struct piece *w, uint8_t *panel)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const int64_t pitch = g->w * g->c;
  const int64_t reach = (int64_t) (op->kernel_h - 1) * op->dilation_h;
  int64_t inside, beyond;

  fbgemm_inside (k, &inside, &beyond);
  for (int64_t i = w->first, left; i < w->first + w->rows; i += left) {
    const int64_t line = i / g->q, q = i % g->q;
    const int64_t row = line % g->p * op->stride_h - op->pad_top;
    int64_t from = inside < q ? q : inside, to = beyond, at;

    left
      = g->q - q < w->first + w->rows - i ? g->q - q : w->first + w->rows - i;
    from = from > q + left ? q + left : from;
    to = to > q + left ? q + left : to;
    if (row < 0 || row + reach >= g->h)
      to = from;
    /* where the first of them starts, and the last ones' bytes end */
    at = (line / g->p * g->h + row) * pitch
         + (from * op->stride_w - op->pad_left) * g->c;
    while (to > from
           && at + (to - 1 - from) * op->stride_w * g->c + reach * pitch
                  + k->line
                > n * g->h * pitch)
      to--;
    to = to < from ? from : to;
    gather_segment (k, in, w, i, from - q, out, panel);
    if (to > from)
      multiply_segment (k,
                        &(struct qk_gemm_lines){ in + at, op->stride_w * g->c,
                                                 op->dilation_h * pitch,
                                                 k->lines },
                        w, i + from - q, to - from, out);
    gather_segment (k, in, w, i + to - q, q + left - to, out, panel);
  }
}

/* An addition that follows: its terms, of which MIDDLE is the product's
 * output. */
struct joined {
  const struct pointwise *add;
  const uint8_t *term[2];
  uint8_t *middle, *out;
};

/* Add the rows of the piece W, which lie at MIDDLE. */
static void
add_piece (const struct fbgemm_kernel *k, const struct joined *j,
           const struct piece *w, const uint8_t *middle)
{
  const int64_t width = (int64_t) k->kernels.lanes * k->kernels.max_vectors;
  const int64_t c0 = w->block0 * width;
  const int64_t c1 = w->block1 * width < k->g.k ? w->block1 * width : k->g.k;
  const bool whole = c1 - c0 == k->g.k;
  const int64_t rows = whole ? 1 : w->rows;
  const int64_t count = whole ? w->rows * k->g.k : c1 - c0;

  for (int64_t i = 0; i < rows; i++) {
    const int64_t at = (w->first + i) * k->g.k + c0;
    const uint8_t *x[2];

    for (int t = 0; t < 2; t++)
      x[t]
        = j->term[t] == j->middle ? middle + i * k->g.k + c0 : j->term[t] + at;
    k->pointwise->binary[j->add->op.function](x[0], x[1], count,
                                              &j->add->grids[0], j->out + at);
  }
}

/* Part I of PARTS; JOINED may be NULL. */
static void
run_part (const struct fbgemm_kernel *k, int64_t n, struct int8op_parts parts,
          int i, const uint8_t *in, void *out, const struct joined *joined,
          uint8_t *panel)
{
  const int64_t m = n * k->g.p * k->g.q;
  const int groups = k->op.kind == QK_OP_CONV2D ? k->op.groups : 1;
  const int blocks = k->product[0].blocks;
  const int row = i / parts.channels, column = i % parts.channels;
  const int64_t begin = int8op_begin (m, TILE_ROWS, row, parts.pixels);
  const int64_t end = int8op_begin (m, TILE_ROWS, row + 1, parts.pixels);
  struct piece w = {
    .block0 = (int) int8op_begin (blocks, 1, column, parts.channels),
    .block1 = (int) int8op_begin (blocks, 1, column + 1, parts.channels),
  };

  /* in equal pieces: each has to fetch the weights */
  w.first = begin;
  for (int64_t left = divide_up (end - w.first, k->rows); left > 0;
       left--, w.first += w.rows) {
    w.rows = divide_up (end - w.first, left * TILE_ROWS) * TILE_ROWS;
    w.rows = end - w.first < w.rows ? end - w.first : w.rows;
    w.to = joined == NULL ? w.first : begin; /* all to where the first goes */
    if (k->lines > 0)
      multiply_lines (k, n, in, out, &w, panel);
    else
      for (w.group = 0; w.group < groups; w.group++)
        (k->taps > 0 ? multiply_taps : multiply_piece) (k, in, out, &w, panel);
    if (joined != NULL)
      add_piece (k, joined, &w, joined->middle + begin * k->g.k);
  }
}

static void
run_parts (const struct fbgemm_kernel *k, int64_t n, const void *in, void *out,
           const struct joined *joined, void *scratch)
{
  const int64_t m = n * k->g.p * k->g.q;
  const int64_t weight = k->g.k * k->product[0].steps * 4;
  const struct int8op_parts parts = int8op_divide (
    m, k->product[0].blocks, weight,
    m * weight < SMALL_WORK * k->kernels.lanes ? 1 : k->threads,
    LEAST_PART_ROWS);
  const int count = parts.pixels * parts.channels;

#pragma omp parallel for num_threads(count) schedule(static)
  for (int i = 0; i < count; i++)
    run_part (k, n, parts, i, in, out, joined,
              (uint8_t *) scratch
                + (size_t) omp_get_thread_num () * (k->panel + k->tile));
}

static void
run_weighted (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
              void *out, void *scratch)
{
  run_parts (k, n, in[0], out, NULL, scratch);
}

void
fbgemm_run_joined (const struct fbgemm_kernel *k, const struct pointwise *add,
                   int64_t n, const void *in, void *middle,
                   const void *const *term, void *out, void *scratch)
{
  const struct joined j = { add, { term[0], term[1] }, middle, out };

  run_parts (k, n, in, middle, &j, scratch);
}

/* Whether rows of A can stay where they are: whole steps at each tap.  Without
 * VNNI a tile has few registers for addresses, and copying is faster. */
static bool
has_taps (const struct fbgemm_kernel *k)
{
  const int64_t cg = k->g.c / k->op.groups;

  return k->kernels.gemm_taps != NULL && !k->direct && !k->wide
         && k->op.out_q.scale != 0 && cg % 4 == 0 && cg >= LEAST_TAP
         && k->op.kernel_h <= MOST_TAPS
         && k->op.kernel_h * k->op.kernel_w <= MOST_TAPS;
}

/* Rows of A by a table of pixels. */
static int
plan_taps (struct fbgemm_kernel *k)
{
  k->taps = k->op.kernel_h * k->op.kernel_w;
  k->rows = FBGEMM_MOST_ROWS;
  k->panel = FBGEMM_MOST_ROWS
             * ((size_t) k->taps * sizeof (uint8_t *) + sizeof (int32_t));
  k->pad = qk_alloc ((size_t) k->g.c);
  if (k->pad == NULL)
    return qk_oom ("fbgemm");
  memset (k->pad, k->op.in_q[0].zero_point, (size_t) k->g.c);
  return fbgemm_sort_rows (k);
}

/* Whether windows inside the sample are read line by line.  Not where sums
 * are made in int16, whose chains go over the whole row. */
static bool
has_lines (const struct fbgemm_kernel *k)
{
  return k->kernels.gemm_lines != NULL && !k->direct && !k->wide
         && k->op.out_q.scale != 0 && k->op.groups == 1
         && k->op.dilation_w == 1 && k->g.c < LEAST_TAP
         && k->op.kernel_h <= MOST_TAPS;
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
  room = !k->direct                          ? PANEL_BYTES
         : k->g.k * row_bytes > WEIGHT_BYTES ? FAR_DIRECT_BYTES
                                             : DIRECT_BYTES;
  room /= k->pitch;
  room = room < FBGEMM_MOST_ROWS ? room : FBGEMM_MOST_ROWS;
  k->rows = room > LEAST_ROWS ? room / LEAST_ROWS * LEAST_ROWS : LEAST_ROWS;
}

/* Weights whose lines are filled up to whole steps with 0. */
static int
pack_lines (struct fbgemm_kernel *k)
{
  struct qk_op op = k->op;
  const int64_t width = op.kernel_w * k->g.c, lines = k->g.k * k->lines;
  int8_t *filled = qk_alloc ((size_t) (lines * k->line));
  int r;

  if (filled == NULL)
    return qk_oom ("fbgemm");
  for (int64_t i = 0; i < lines; i++)
    memcpy (filled + i * k->line, op.weight + i * width, (size_t) width);
  op.weight = filled;
  r = fbgemm_pack (&k->kernels, &op, 0, k->g.k, k->lines * k->line,
                   &k->product[0]);
  qk_free (filled);
  return r;
}

/* Whether the weights are packed to four bits: where each is used for few rows
 * only, so that fetching them takes the time. */
static bool
suits_halves (const struct fbgemm_kernel *k, int64_t row_bytes)
{
  const int64_t count = k->g.k * row_bytes;

  if (k->g.p * k->g.q != 1 || k->op.groups != 1 || k->wide || k->lines > 0
      || k->taps > 0 || count < HALVES_WEIGHTS)
    return false;
  for (int64_t i = 0; i < count; i++)
    if (k->op.weight[i] < -8 || k->op.weight[i] > 7)
      return false;
  return true;
}

/* Weights two to a byte; where many rows are better off with whole ones, those
 * as well. */
static int
pack_halves (struct fbgemm_kernel *k, int64_t row_bytes)
{
  const bool both = k->kernels.u8s4_rows < k->rows;
  int r;

  if (!both) {
    k->halves = k->product;
    return fbgemm_pack_halves (&k->kernels, &k->op, row_bytes, k->product);
  }
  if ((k->halves = qk_alloc (sizeof *k->halves)) == NULL)
    return qk_oom ("fbgemm");
  if ((r = fbgemm_pack_halves (&k->kernels, &k->op, row_bytes, k->halves)) < 0)
    return r;
  return fbgemm_pack (&k->kernels, &k->op, 0, k->g.k, row_bytes, k->product);
}

int
fbgemm_prepare_weighted (struct fbgemm_kernel *k, size_t *scratch)
{
  struct qk_op *op = &k->op;
  int64_t row_bytes, kg;

  if (op->kind == QK_OP_LINEAR)
    int8op_as_conv2d (op);
  kg = k->g.k / op->groups;
  row_bytes = (int64_t) op->kernel_h * op->kernel_w * (k->g.c / op->groups);
  plan_rows (k, row_bytes);
  k->wide = !fbgemm_fits_int32 (op, row_bytes);
  k->line = op->kernel_w * (k->g.c / op->groups);
  if (has_lines (k)) {
    k->line = (k->line + 3) / 4 * 4;
    k->lines = op->kernel_h;
    plan_rows (k, k->lines * k->line);
  }
  k->short_rows = op->groups == 1 && op->dilation_w == 1 && k->lines == 0
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
  k->joins = op->groups == 1 && op->out_q.scale != 0;

  k->product = qk_alloc ((size_t) op->groups * sizeof *k->product);
  if (k->product == NULL)
    return qk_oom ("fbgemm");
  if (k->lines > 0)
    return pack_lines (k);
  if (suits_halves (k, row_bytes))
    return pack_halves (k, row_bytes);
  for (int i = 0; i < op->groups; i++) {
    const int r
      = fbgemm_pack (&k->kernels, op, i * kg, kg, row_bytes, &k->product[i]);
    if (r < 0)
      return r;
  }
  return 0;
}
