/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rows.c: rows of the matrix A where it is not the input itself.
 *
 * Either the bytes of some windows are copied to a panel, padding as zero
 * points, and multiplied while they are in the cache; or, where the channels
 * fill whole steps, a table says where the pixel under each tap of each row
 * is, and nothing is copied.  Windows of few channels are read line by line
 * where they lie inside the sample, see weighted.c. */
#include "config.h"

#include "fbgemm.h"

#include <string.h>

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
 * inside; X is the sample's row.  TO receives kernel_w * cg bytes. */
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
  const uint8_t *x;   /* its sample, from the group's first channel on */
  int64_t row0, col0; /* of tap (0,0), may be outside */
};

/* A row of A, k->line bytes for each line of the window; PLAIN: its taps are
 * one piece of memory. */
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
  for (int r = 0; r < op->kernel_h;
       r++, to += k->line, row += op->dilation_h) {
    if (row < 0 || row >= g->h || s0 == s1)
      memset (to, op->in_q[0].zero_point, (size_t) width);
    else if (plain)
      copy_bytes (to, from->x + row * line + col0 * g->c, width);
    else
      pack_taps (k, from->x + row * line, col0, s0, s1, cg, to);
    for (int64_t j = width; j < k->line; j++)
      to[j] = 0;
  }
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

void
fbgemm_pack_panel (const struct fbgemm_kernel *k, const uint8_t *in,
                   int64_t first, int64_t count, int64_t c0, uint8_t *panel)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const int64_t cg = g->c / op->groups;
  const bool whole = op->dilation_w == 1 && op->groups == 1;
  const int64_t reach = (int64_t) (op->kernel_h - 1) * op->dilation_h;
  int64_t image = first / (g->p * g->q);
  int64_t p = first / g->q % g->p, q = first % g->q;

  for (int64_t i = 0; i < count; i++) {
    const struct pixel from
      = { in + image * g->h * g->w * g->c + c0, p * op->stride_h - op->pad_top,
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

void
fbgemm_inside (const struct fbgemm_kernel *k, int64_t *from, int64_t *to)
{
  const struct qk_op *op = &k->op;
  const int64_t reach = (int64_t) (op->kernel_w - 1) * op->dilation_w;

  *from = first_inside (0, op->pad_left, op->stride_w);
  *to = first_inside (reach, op->pad_left + k->g.w, op->stride_w);
  *from = *from < k->g.q ? *from : k->g.q;
  *to = *to > k->g.q ? k->g.q : *to < *from ? *from : *to;
}

/* ---- windows by a table -------------------------------------------------*/

enum { MOST_KINDS = 8 }; /* of rows, and of columns */

/* Number the N outputs of one direction by which of the TAPS taps, DILATION
 * apart, lie inside SIZE pixels; WHOLE: those with all of them, or -1.
 * Returns how many kinds there are, more than MOST_KINDS if too many. */
static int
number_kinds (int64_t n, int taps, int64_t stride, int64_t dilation,
              int64_t pad, int64_t size, uint8_t *kind, int *whole)
{
  uint64_t seen[MOST_KINDS];
  int kinds = 0;

  *whole = -1;
  for (int64_t i = 0; i < n; i++) {
    uint64_t inside = 0;
    int j = 0;

    for (int t = 0; t < taps; t++) {
      const int64_t at = i * stride - pad + t * dilation;

      inside |= (uint64_t) (at >= 0 && at < size) << t;
    }
    while (j < kinds && seen[j] != inside)
      j++;
    if (j == MOST_KINDS)
      return MOST_KINDS + 1;
    if (j == kinds)
      seen[kinds++] = inside;
    if (inside == (UINT64_C (1) << taps) - 1)
      *whole = j;
    kind[i] = (uint8_t) j;
  }
  return kinds;
}

/* The group of outputs of row kind R and column kind C.  The middle is one;
 * each corner goes with the edge that follows it around the sample, whose
 * taps include its own. */
static int
group_of (const struct fbgemm_kernel *k, int r, int c)
{
  const bool row = r != k->whole_row, column = c != k->whole_column;

  if (row && (!column || (r < k->whole_row) == (c < k->whole_column)))
    return r;
  return k->row_kinds + c;
}

int
fbgemm_sort_rows (struct fbgemm_kernel *k)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const int64_t border = 2 * (g->p + g->q);

  /* padding is left out where it is 0; the border shall be a tenth at least */
  if (op->in_q[0].zero_point != 0 || border * 10 < g->p * g->q
      || g->p * g->q < 2)
    return 0;
  k->row_kind = qk_alloc ((size_t) (g->p + g->q));
  if (k->row_kind == NULL)
    return qk_oom ("fbgemm");
  k->column_kind = k->row_kind + g->p;
  k->row_kinds
    = number_kinds (g->p, op->kernel_h, op->stride_h, op->dilation_h,
                    op->pad_top, g->h, k->row_kind, &k->whole_row);
  k->column_kinds
    = number_kinds (g->q, op->kernel_w, op->stride_w, op->dilation_w,
                    op->pad_left, g->w, k->column_kind, &k->whole_column);
  if (k->row_kinds > MOST_KINDS || k->column_kinds > MOST_KINDS
      || k->row_kinds * k->column_kinds == 1) {
    qk_free (k->row_kind);
    k->row_kind = k->column_kind = NULL;
  }
  return 0;
}

/* POS[i]: where row FIRST + i comes in the order; PLACE the reverse; END: where
 * each group ends.  Returns how many there are. */
static int
sort_rows (const struct fbgemm_kernel *k, int64_t first, int64_t count,
           int32_t *pos, int32_t *place, int32_t *end)
{
  const int groups = k->row_kinds + k->column_kinds;
  int32_t start[FBGEMM_MOST_GROUPS + 1] = { 0 };
  uint8_t group[FBGEMM_MOST_ROWS];
  int64_t p = first / k->g.q % k->g.p, q = first % k->g.q;

  for (int64_t i = 0; i < count; i++) {
    group[i] = (uint8_t) group_of (k, k->row_kind[p], k->column_kind[q]);
    start[group[i] + 1]++;
    if (++q == k->g.q) {
      q = 0;
      p = p + 1 == k->g.p ? 0 : p + 1;
    }
  }
  for (int j = 0; j < groups; j++)
    start[j + 1] += start[j];
  for (int64_t i = 0; i < count; i++) {
    pos[i] = start[group[i]]++;
    place[pos[i]] = (int32_t) i;
  }
  memcpy (end, start, (size_t) groups * sizeof *end);
  return groups;
}

/* COUNT outputs from column Q of a row on: the pixels of line X, or PAD where
 * it is NULL, under the tap at COLUMN; output i to AT[POS[i]]. */
static void
point_row (const struct fbgemm_kernel *k, const uint8_t *x, int64_t column,
           int64_t q, int64_t count, const int32_t *pos, const uint8_t **at)
{
  const struct qk_op *op = &k->op;
  const int64_t w = k->g.w, c = k->g.c, s = op->stride_w;
  int64_t from = first_inside (column, op->pad_left, s);
  int64_t to = first_inside (column, op->pad_left + w, s);
  int64_t i = 0;

  from = x == NULL || from > q + count ? q + count : from < q ? q : from;
  to = x == NULL || to > q + count ? q + count : to < from ? from : to;
  for (; i < from - q; i++)
    at[pos[i]] = k->pad;
  for (; i < to - q; i++)
    at[pos[i]] = x + ((q + i) * s + column - op->pad_left) * c;
  for (; i < count; i++)
    at[pos[i]] = k->pad;
}

int
fbgemm_point_taps (const struct fbgemm_kernel *k, const uint8_t *in,
                   int64_t first, int64_t count, int64_t c0, int32_t *place,
                   const uint8_t **at, int32_t *end)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  int32_t pos[FBGEMM_MOST_ROWS];
  int groups = 1;

  if (k->row_kind != NULL)
    groups = sort_rows (k, first, count, pos, place, end);
  else
    for (end[0] = 0; end[0] < count; end[0]++)
      pos[end[0]] = place[end[0]] = end[0];
  for (int64_t i = 0, left; i < count; i += left) {
    const int64_t line = (first + i) / g->q, q = (first + i) % g->q;
    const uint8_t *x = in + line / g->p * g->h * g->w * g->c + c0;

    left = g->q - q < count - i ? g->q - q : count - i;
    for (int r = 0; r < op->kernel_h; r++) {
      const int64_t row = line % g->p * op->stride_h - op->pad_top
                          + (int64_t) r * op->dilation_h;
      const uint8_t *from
        = row < 0 || row >= g->h ? NULL : x + row * g->w * g->c;

      for (int s = 0; s < op->kernel_w; s++)
        point_row (k, from, (int64_t) s * op->dilation_w, q, left, pos + i,
                   at + (r * op->kernel_w + s) * count);
    }
  }
  return groups;
}
