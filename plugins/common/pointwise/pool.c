/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pool.c: pooling by rows first, then columns.
 *
 * A row of outputs comes from a band of rows of the input.  Its maxima or sums
 * along height are made once for each column, in memory that stays in the
 * cache, and serve all windows that have the column. */
#include "config.h"

#include "pool.h"

#define BAND 12288    /* elements of a band that are held */
#define SPARE 64      /* that kernels may read beyond them */
#define MOST_TAPS 257 /* bytes whose sum fits 16 bits */

/* Taps of outputs I along an axis. */
struct axis {
  int kernel, stride, dilation, pad, after;
  int64_t size;
};

/* What all rows share. */
struct plan {
  const struct pointwise *k;
  struct axis rows, cols;
  bool mean;
  int64_t tile;        /* outputs whose columns are held */
  int64_t first, last; /* outputs with all columns */
};

/* A band and the columns of it that are held. */
struct band {
  const uint8_t *x; /* its first row inside */
  int rows;
  int32_t rows_count; /* that an average counts */
  int64_t pitch;      /* between them */
  int64_t from, to;   /* columns */
};

static struct axis
rows_axis (const struct pointwise *k)
{
  const struct qk_op *op = &k->op;

  return (struct axis){ op->kernel_h, op->stride_h,   op->dilation_h,
                        op->pad_top,  op->pad_bottom, k->g.h };
}

static struct axis
cols_axis (const struct pointwise *k)
{
  const struct qk_op *op = &k->op;

  return (struct axis){ op->kernel_w, op->stride_w,  op->dilation_w,
                        op->pad_left, op->pad_right, k->g.w };
}

/* Columns that OUTPUTS side by side reach over. */
static int64_t
span (const struct axis *a, int64_t outputs)
{
  return (outputs - 1) * a->stride + (int64_t) (a->kernel - 1) * a->dilation
         + 1;
}

bool
pool_has_rows (const struct pointwise *k)
{
  const struct axis cols = cols_axis (k);
  const bool mean = k->op.kind == QK_OP_AVGPOOL2D;

  if (k->kernels.extras->max_rows == NULL || k->g.q == 1)
    return false;
  if (mean && k->op.kernel_h * (int64_t) k->op.kernel_w > MOST_TAPS)
    return false;
  return cols.stride <= cols.kernel && span (&cols, 1) * k->g.c <= BAND;
}

/* The first output of which all taps lie inside, and what follows the last. */
static void
inside (const struct axis *a, int64_t outputs, int64_t *first, int64_t *last)
{
  const int64_t room = a->size + a->pad - span (a, 1);

  *first = (a->pad + a->stride - 1) / a->stride;
  *last = room < 0 ? 0 : room / a->stride + 1;
  *last = *last < outputs ? *last : outputs;
  *first = *first < *last ? *first : *last;
}

static struct plan
plan_of (const struct pointwise *k)
{
  struct plan p = { .k = k,
                    .rows = rows_axis (k),
                    .cols = cols_axis (k),
                    .mean = k->op.kind == QK_OP_AVGPOOL2D };
  const int64_t more = (BAND / k->g.c - span (&p.cols, 1)) / p.cols.stride;

  p.tile = 1 + more;
  inside (&p.cols, k->g.q, &p.first, &p.last);
  return p;
}

/* What an average counts of output I: as int8op_taps, but with the padding. */
static int32_t
padded_taps (const struct axis *a, int64_t i)
{
  int first, last;

  int8op_taps (i * a->stride, a->kernel, a->dilation,
               a->pad + a->size + a->after, &first, &last);
  return last - first;
}

/* Outputs FIRST to END - 1, which all have taps S0 to S1 - 1 of their columns,
 * from the columns held in HELD. */
static void
run_columns (const struct plan *p, const struct band *b, const void *held,
             int64_t first, int64_t end, int s0, int s1, uint8_t *y)
{
  const struct pointwise *k = p->k;
  const struct qk_op *op = &k->op;
  const struct axis *a = &p->cols;
  const int64_t c = k->g.c;
  const struct qk_columns columns = { .cols = s1 - s0,
                                      .pitch = a->dilation * c,
                                      .step = a->stride * c,
                                      .outputs = end - first,
                                      .channels = c };
  const int64_t at
    = first * a->stride - a->pad + (int64_t) s0 * a->dilation - b->from;
  const int32_t wide = op->count_pad ? padded_taps (a, first) : columns.cols;

  if (p->mean)
    k->kernels.extras->mean_cols (&columns, (const uint16_t *) held + at * c,
                                  b->rows * columns.cols, b->rows_count * wide,
                                  op->in_q[0].zero_point, op->lo, op->hi,
                                  y + first * c);
  else
    k->kernels.extras->max_cols (&columns, (const uint8_t *) held + at * c,
                                 op->lo, op->hi, y + first * c);
}

/* Outputs BEGIN to END - 1 of the row Y. */
static void
run_tile (const struct plan *p, struct band *b, int64_t begin, int64_t end,
          uint8_t *y)
{
  const struct pointwise *k = p->k;
  const struct axis *a = &p->cols;
  const int64_t c = k->g.c,
                to = (begin * a->stride - a->pad) + span (a, end - begin);
  uint16_t held[BAND + SPARE];

  b->from = begin * a->stride - a->pad;
  b->from = b->from > 0 ? b->from : 0;
  b->to = to < a->size ? to : a->size;
  if (p->mean)
    k->kernels.extras->sum_rows (b->x + b->from * c, b->rows, b->pitch,
                                 (b->to - b->from) * c, held);
  else
    k->kernels.extras->max_rows (b->x + b->from * c, b->rows, b->pitch,
                                 (b->to - b->from) * c, (uint8_t *) held);
  for (int64_t q = begin, next; q < end; q = next) {
    const bool whole = q >= p->first && q < p->last;
    int s0 = 0, s1 = a->kernel;

    next = !whole ? q + 1 : p->last < end ? p->last : end;
    if (!whole)
      int8op_taps (q * a->stride - a->pad, a->kernel, a->dilation, a->size,
                   &s0, &s1);
    run_columns (p, b, held, q, next, s0, s1, y);
  }
}

static void
run_row (const struct plan *p, int64_t i, const uint8_t *x, uint8_t *y)
{
  const struct int8op_geometry *g = &p->k->g;
  const struct axis *a = &p->rows;
  const int64_t line = g->w * g->c, at = i % g->p;
  const int64_t start = at * a->stride - a->pad;
  struct band b;
  int r0, r1;

  int8op_taps (start, a->kernel, a->dilation, a->size, &r0, &r1);
  b.rows = r1 - r0;
  b.rows_count = p->k->op.count_pad ? padded_taps (a, at) : b.rows;
  b.pitch = a->dilation * line;
  b.x = x + (i / g->p * g->h + start + (int64_t) r0 * a->dilation) * line;
  for (int64_t q = 0; q < g->q; q += p->tile)
    run_tile (p, &b, q, q + p->tile < g->q ? q + p->tile : g->q,
              y + i * g->q * g->c);
}

void
pool_rows (const struct pointwise *k, int64_t n, const uint8_t *x, uint8_t *y)
{
  const struct plan p = plan_of (k);
  const int64_t rows = n * k->g.p;
  const int64_t work
    = rows * k->g.q * k->g.c * k->op.kernel_h * k->op.kernel_w;
  const int threads = work < POINTWISE_CHUNK ? 1 : k->threads;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < rows; i++)
    run_row (&p, i, x, y);
}
