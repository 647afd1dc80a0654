/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.c: convolutions with windows of 3x3 by fewer products, exactly.
 *
 * Tiles of 4x4 outputs see 6x6 inputs.  Both the tiles' inputs and the weights
 * are transformed to 36 numbers a channel; for each of the 36 the product is a
 * small matrix product of its own, over channels; the 36 sums of a tile are
 * transformed to its 16 outputs.  Where one or two rows or columns are left,
 * their tiles have fewer numbers.  kernels.h has the arithmetic, which is in
 * whole numbers, and says why no bit is lost. */
#include "config.h"

#include "winograd.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

#define SCRATCH_BYTES 1048576 /* of transformed numbers that stay near */
#define TILE_ROWS 6           /* tiles that products take at once, … */
#define LEAST_TILES 12 /* … or twice as many with one vector; also the step */
#define TOGETHER 8     /* samples that use weights read once */
#define CACHED 524288  /* bytes: the second-level cache has room for them */
#define APART 64 /* bytes: arrays would compete for the same cache lines */

/* The part of the three taps of N outputs that lies inside SIZE pixels. */
static double
part_inside (int64_t n, int64_t pad, int64_t size)
{
  int64_t inside = 0;

  for (int64_t i = 0; i < n; i++) {
    int first, last;

    int8op_taps (i - pad, 3, 1, size, &first, &last);
    inside += last - first;
  }
  return (double) inside / (double) (3 * n);
}

/* Whether for LEFT rows or columns of outputs a smaller transform will do. */
static bool
is_short (int64_t left)
{
  return left == 1 || left == 2;
}

/* Tiles for N outputs in a direction; a short one is two thirds. */
static double
tiles_along (int64_t n)
{
  const double short_part = is_short (n % 4) ? 1.0 / 3 : 0;

  return (double) divide_up (n, 4) - short_part;
}

/* What tiles of fewer vectors than there can be cost more: each input that is
 * loaded meets fewer weights. */
static double
cost_of_few_channels (const struct fbgemm_kernel *k)
{
  const int64_t vectors = divide_up (k->g.k, k->kernels.lanes);
  const int64_t most = k->kernels.max_vectors;

  return vectors < most ? 0.8 + 0.2 * (double) most / (double) vectors : 1;
}

/* What the other way of making the products costs.  Without VNNI, steps that
 * sum in int16 cost twice as much; with it, padding of 0 costs nothing, and
 * vectors of eight lanes fall behind a little. */
static double
cost_of_windows (const struct fbgemm_kernel *k)
{
  const struct int8op_geometry *g = &k->g;
  double all = 9.0 / 4 * (double) (g->p * g->q);

  if (k->kernels.saturates)
    return 2 * all;
  all *= cost_of_few_channels (k) * (k->kernels.lanes == 8 ? 1.08 : 1);
  if (k->op.in_q[0].zero_point != 0)
    return all;
  return all * part_inside (g->p, k->op.pad_top, g->h)
         * part_inside (g->q, k->op.pad_left, g->w);
}

/* How many of the tiles reach beyond the sample. */
static double
share_of_edges (const struct int8op_geometry *g)
{
  const double whole = (double) (g->p / 4) * (double) (g->q / 4);

  return 1 - whole / (tiles_along (g->p) * tiles_along (g->q));
}

/* Whether fewer products outweigh transforms, tiles that reach beyond the
 * sample, which eight lanes put together slowly, and larger weights.  Costs are
 * in products of four bytes or two numbers, what a lane does at once, for a pair
 * of channels; they are fitted to measurements. */
static bool
is_worth (const struct fbgemm_kernel *k)
{
  const struct int8op_geometry *g = &k->g;
  const double tiles = tiles_along (g->p) * tiles_along (g->q);
  const double samples = (double) (g->batch < TOGETHER ? g->batch : TOGETHER);
  const double bytes = 36.0 * sizeof (int16_t) * (double) (g->c * g->k);
  const bool eight = k->kernels.lanes == 8;
  /* few weights come as fast as eight lanes want them */
  const double weights
    = (eight && bytes < CACHED ? 1.0 : 10.0) * k->kernels.lanes / samples;
  const double transforms = 80.0 / (double) g->k + 180.0 / (double) g->c;
  const double edges = eight ? 1 + share_of_edges (g) : 1;

  return tiles * (20 + edges * transforms) + weights < cost_of_windows (k);
}

bool
fbgemm_suits_winograd (const struct fbgemm_kernel *k)
{
  const struct qk_op *op = &k->op;

  if (op->kind != QK_OP_CONV2D || op->groups != 1 || op->kernel_h != 3
      || op->kernel_w != 3 || op->stride_h != 1 || op->stride_w != 1
      || op->dilation_h != 1 || op->dilation_w != 1 || op->out_q.scale == 0
      || !is_worth (k))
    return false;
  return fbgemm_fits_int32 (op, 9 * k->g.c)
         && fbgemm_winograd_is_exact (op, k->g.c);
}

/* ---- running ------------------------------------------------------------*/

/* TILES tiles from FIRST on, by the blocks BLOCK0 to BLOCK1 - 1. */
struct piece {
  int64_t first, tiles;
  int block0, block1;
};

/* Where the pixels of the tile at row Y, column X are: SIDE x SIDE of them in
 * a sample of H x W, C bytes each, and BEYOND outside. */
static void
point_pixels (const uint8_t *sample, int64_t y, int64_t x, const int side,
              int64_t h, int64_t w, int64_t c, const uint8_t *beyond,
              const uint8_t **at)
{
  const uint8_t *corner = sample + (y * w + x) * c;

  if (y >= 0 && x >= 0 && y + side <= h && x + side <= w) {
    for (int i = 0; i < side; i++)
      for (int j = 0; j < side; j++)
        at[i * side + j] = corner + (i * w + j) * c;
    return;
  }
  for (int i = 0; i < side; i++)
    for (int j = 0; j < side; j++)
      at[i * side + j] = y + i >= 0 && y + i < h && x + j >= 0 && x + j < w
                           ? sample + ((y + i) * w + x + j) * c
                           : beyond;
}

/* Kinds of tiles, in an order in which those that have one of the 36 numbers
 * come one after the other. */
enum kind { LOW, WHOLE, NARROW, CORNER, KINDS };

static enum kind
kind_of (int64_t rows_left, int64_t columns_left)
{
  if (is_short (rows_left))
    return is_short (columns_left) ? CORNER : LOW;
  return is_short (columns_left) ? NARROW : WHOLE;
}

/* Where the 36 inputs and 16 outputs of those of the piece's tiles are that are
 * of KIND; how many there are.  Beyond the sample there are zero points, and
 * for outputs NOWHERE. */
static int64_t
point_kind (const struct fbgemm_kernel *k, const uint8_t *in,
            const uint8_t *out, const struct piece *piece, enum kind kind,
            const uint8_t **at, const uint8_t **to, const uint8_t *nowhere)
{
  const struct fbgemm_winograd *w = k->winograd;
  const struct int8op_geometry *g = &k->g;
  const uint8_t **const first = to;
  int64_t x = piece->first % w->across * 4;
  int64_t y = piece->first / w->across % w->down * 4;
  int64_t image = piece->first / (w->across * w->down);

  for (int64_t t = 0; t < piece->tiles; t++) {
    if (kind_of (g->p - y, g->q - x) == kind) {
      point_pixels (in + image * g->h * g->w * g->c, y - k->op.pad_top,
                    x - k->op.pad_left, 6, g->h, g->w, g->c, k->pad, at);
      point_pixels (out + image * g->p * g->q * g->k, y, x, 4, g->p, g->q,
                    g->k, nowhere, to);
      at += 36;
      to += 16;
    }
    x += 4;
    if (x >= g->q)
      x = 0, y += 4;
    if (y >= g->p)
      y = 0, image++;
  }
  return (to - first) / 16;
}

/* The same for all kinds; START: where each begins. */
static void
point_tiles (const struct fbgemm_kernel *k, const uint8_t *in,
             const uint8_t *out, const struct piece *piece, const uint8_t **at,
             const uint8_t **to, const uint8_t *nowhere,
             int64_t start[KINDS + 1])
{
  const bool low = is_short (k->g.p % 4), narrow = is_short (k->g.q % 4);
  const bool has[KINDS] = { low, true, narrow, low && narrow };

  start[0] = 0;
  for (int i = 0; i < KINDS; i++) {
    const int64_t n = start[i];

    start[i + 1] = n
                   + (has[i] ? point_kind (k, in, out, piece, (enum kind) i,
                                           at + 36 * n, to + 16 * n, nowhere)
                             : 0);
  }
}

/* The products of number I of all tiles that have it, by block B. */
static void
multiply (const struct fbgemm_kernel *k, const int64_t start[KINDS + 1], int i,
          const struct qk_winograd_block *b, const int16_t *v, int32_t *sums)
{
  const struct fbgemm_winograd *w = k->winograd;
  const bool high = i / 6 == 3 || i / 6 == 4, wide = i % 6 == 3 || i % 6 == 4;
  const int64_t first = start[high ? WHOLE : LOW];
  const int64_t end = start[wide ? NARROW : high ? CORNER : KINDS];
  const int64_t nr = (int64_t) b->vectors * k->kernels.lanes;

  if (end > first)
    k->kernels.winograd.product (v + i * w->pitch + first * w->lda, w->lda,
                                 end - first, w->steps,
                                 b->u + i * w->steps * nr * 2, b->vectors,
                                 sums + i * w->sums_pitch + first * nr);
}

static void
run_piece (const struct fbgemm_kernel *k, const uint8_t *in, uint8_t *out,
           const struct piece *p, uint8_t *scratch)
{
  const struct fbgemm_winograd *w = k->winograd;
  const struct qk_winograd_kernels *f = &k->kernels.winograd;
  const struct qk_output o
    = { k->op.out_q.zero_point, k->op.lo, k->op.hi, false, k->g.k };
  int16_t *v = (int16_t *) (void *) scratch;
  int32_t *sums = (int32_t *) (void *) (scratch + w->input);
  const uint8_t **at
    = (const uint8_t **) (void *) (scratch + w->input + w->sums);
  const uint8_t **to = at + 36 * w->tiles;
  int64_t start[KINDS + 1];

  point_tiles (k, in, out, p, at, to, (const uint8_t *) (to + 16 * w->tiles),
               start);
  for (int i = 0; i < KINDS; i++)
    f->input (i == LOW || i == CORNER, i == NARROW || i == CORNER,
              at + 36 * start[i], start[i + 1] - start[i], k->g.c, w->lda,
              w->pitch, v + start[i] * w->lda);
  for (int j = p->block0; j < p->block1; j++) {
    const struct qk_winograd_block *b = &w->block[j];
    const int64_t nr = (int64_t) b->vectors * k->kernels.lanes;

    for (int i = 0; i < 36; i++)
      multiply (k, start, i, b, v, sums);
    for (int i = 0; i < KINDS; i++)
      f->output (i == LOW || i == CORNER, i == NARROW || i == CORNER,
                 sums + start[i] * nr, start[i + 1] - start[i], b, &o,
                 (uint8_t *const *) to + 16 * start[i],
                 (int64_t) j * k->kernels.lanes * k->kernels.max_vectors);
  }
}

static void
run_winograd (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
              void *out, void *scratch)
{
  const struct fbgemm_winograd *w = k->winograd;
  const int64_t tiles = n * w->across * w->down;
  const struct int8op_parts parts = int8op_divide (
    tiles, w->blocks, 72 * k->g.c * k->g.k, k->threads, LEAST_TILES / 2);
  const int count = parts.pixels * parts.channels;

#pragma omp parallel for num_threads(count) schedule(static)
  for (int i = 0; i < count; i++) {
    const int row = i / parts.channels, column = i % parts.channels;
    const int64_t end = int8op_begin (tiles, 1, row + 1, parts.pixels);
    struct piece p = {
      .first = int8op_begin (tiles, 1, row, parts.pixels),
      .block0 = (int) int8op_begin (w->blocks, 1, column, parts.channels),
      .block1 = (int) int8op_begin (w->blocks, 1, column + 1, parts.channels),
    };

    /* in equal pieces: each has to fetch the weights */
    for (int64_t left = divide_up (end - p.first, w->tiles); left > 0;
         left--, p.first += p.tiles) {
      p.tiles = divide_up (end - p.first, left * TILE_ROWS) * TILE_ROWS;
      p.tiles = end - p.first < p.tiles ? end - p.first : p.tiles;
      run_piece (k, in[0], out, &p,
                 (uint8_t *) scratch
                   + (size_t) omp_get_thread_num ()
                       * (w->input + w->sums + w->tables));
    }
  }
}

/* ---- planning -----------------------------------------------------------*/

static void
plan (struct fbgemm_kernel *k)
{
  struct fbgemm_winograd *w = k->winograd;
  const int64_t lanes = k->kernels.lanes;
  const int64_t vectors = divide_up (k->g.k, lanes);
  const int64_t nr
    = lanes
      * (vectors < k->kernels.max_vectors ? vectors : k->kernels.max_vectors);
  int64_t room;

  w->across = divide_up (k->g.q, 4);
  w->down = divide_up (k->g.p, 4);
  w->steps = divide_up (k->g.c, 2);
  w->lda = divide_up (k->g.c, 2 * lanes) * 2 * lanes;
  room = SCRATCH_BYTES / (36 * (w->lda * 2 + nr * 4));
  room = room / LEAST_TILES * LEAST_TILES;
  room = room < LEAST_TILES ? LEAST_TILES : room;
  w->tiles = room < QK_WINOGRAD_TILES ? room : QK_WINOGRAD_TILES;
  w->pitch = w->tiles * w->lda + APART / 2;
  w->sums_pitch = QK_WINOGRAD_PITCH (k->kernels.max_vectors, lanes);
  w->input = (size_t) round64 (36 * w->pitch * 2);
  w->sums = (size_t) round64 (36 * w->sums_pitch * 4);
  w->tables
    = (size_t) round64 (52 * w->tiles * (int64_t) sizeof (void *) + k->g.k);
}

int
fbgemm_prepare_winograd (struct fbgemm_kernel *k, size_t *scratch)
{
  struct fbgemm_winograd *w;

  k->winograd = qk_alloc (sizeof *k->winograd);
  k->pad = qk_alloc ((size_t) k->g.c);
  if (k->winograd == NULL || k->pad == NULL)
    return qk_oom ("fbgemm");
  memset (k->pad, k->op.in_q[0].zero_point, (size_t) k->g.c);
  w = k->winograd;
  plan (k);
  *scratch = (size_t) k->threads * (w->input + w->sums + w->tables);
  k->run = run_winograd;
  return fbgemm_pack_winograd (k);
}

void
fbgemm_release_winograd (struct fbgemm_winograd *w)
{
  if (w == NULL)
    return;
  qk_free (w->block);
  qk_free (w->arrays);
  qk_free (w);
}
