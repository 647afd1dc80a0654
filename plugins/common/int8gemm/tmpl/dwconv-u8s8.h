/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-u8s8.h: template of qk_dwconv_u8s8: include a vector header, define
 * v_dot and DWCONV_NAME, then include this.
 *
 * Up to four rows of a column of the window are interleaved channel by
 * channel, so that v_dot sums them.  For 3x3 windows a column serves up to
 * three outputs and stays in registers; for others the columns under some
 * outputs are interleaved once, to a buffer. */
#include "int8gemm/kernels.h"

INLINE void
dwconv_start (vi acc[4], const struct qk_dwconv_block *b)
{
  UNROLL
  for (int i = 0; i < 4; i++)
    acc[i] = v_load (b->bias + i * LANES);
}

INLINE void
dwconv_add (vi acc[4], vi column[4], const int8_t *weight)
{
  UNROLL
  for (int i = 0; i < 4; i++)
    acc[i] = v_dot (acc[i], column[i], v_load (weight + i * BLOCK));
}

/* Products are below 2^31, as in gemm_store_u8. */
INLINE vi
dwconv_pack (vi acc[4], const struct qk_dwconv_block *b, vi zp)
{
  UNROLL
  for (int i = 0; i < 4; i++)
    acc[i] = v_round (
      vf_mul (v_float (acc[i]), vf_load (b->multiplier + i * LANES)));
  return v_narrow4 (acc[0], acc[1], acc[2], acc[3], zp);
}

INLINE void
dwconv_store (vi acc[4], const struct qk_dwconv_block *b,
              const struct qk_output *o, uint8_t *out)
{
  vi r = dwconv_pack (acc, b, v_set16 (o->zero_point));

  r = v_min_u8 (v_max_u8 (r, v_set8 (o->lo)), v_set8 (o->hi));
  v_store_part (out, r, b->n);
}

/* ---- any window --------------------------------------------------------*/

/* Outputs whose sums are in registers together. */
#define DWCONV_MANY (LANES / 4)

/* Row ROW of column X, N channels from C on. */
INLINE vi
dwconv_pixel (const struct qk_dwconv_row *w, int row, int64_t x, int64_t c,
              int64_t n)
{
  const bool inside = x >= 0 && x < w->width;

  return v_load_part ((inside ? w->row[row] + x * w->step[row] : w->pad) + c,
                      n);
}

/* Rows 4 * GROUP .. of column X interleaved; where there is only one, its
 * columns X, X + dilation, … */
INLINE void
dwconv_column (const struct qk_dwconv_row *w, int64_t x, int group, int64_t c,
               int64_t n, vi out[4])
{
  const int first = 4 * group, rows = w->kernel_h - first;
  vi r[4];

  UNROLL
  for (int i = 0; i < 4; i++)
    if (rows == 1)
      r[i] = dwconv_pixel (w, first, x + (int64_t) i * w->dilation, c, n);
    else
      r[i] = i < rows ? dwconv_pixel (w, first + i, x, c, n) : v_zero ();
  if (rows == 3)
    r[3] = r[1];
  v_interleave4 (r[0], r[1], r[2], r[3], out);
}

/* Sums of the outputs whose columns begin at FROM, COLUMN bytes of the buffer
 * apart. */
INLINE void
dwconv_sums (const struct qk_dwconv_row *w, const struct qk_dwconv_block *b,
             const uint8_t *from, int64_t column, const int many,
             vi acc[4 * DWCONV_MANY])
{
  const int groups = (w->kernel_h + 3) / 4;
  const int8_t *weight = b->weight, *weight2 = b->weight2;
  const uint8_t *halved = b->halved;

  UNROLL
  for (int k = 0; k < many; k++)
    dwconv_start (acc + 4 * k, b);
  for (int g = 0; g < groups; g++) {
    const bool across = w->kernel_h - 4 * g == 1;
    const int64_t next
      = (across ? 4 : 1) * w->dilation * (int64_t) groups * 4 * BLOCK;
    const int steps = across ? (w->kernel_w + 3) / 4 : w->kernel_w;
    const uint8_t *at = from + (int64_t) g * 4 * BLOCK;

    for (int s = 0; s < steps; s++, at += next, weight += 4 * BLOCK) {
      UNROLL
      for (int i = 0; i < 4; i++) {
        const vi own = v_load (weight + i * BLOCK);

        UNROLL
        for (int k = 0; k < many; k++)
          acc[4 * k + i] = v_dot (acc[4 * k + i],
                                  v_load (at + k * column + i * BLOCK), own);
      }
      if (weight2 == NULL)
        continue;
      UNROLL
      for (int i = 0; i < 4; i++)
        if ((*halved >> i & 1) != 0) {
          const vi rest = v_load (weight2 + i * BLOCK);

          UNROLL
          for (int k = 0; k < many; k++)
            acc[4 * k + i] = v_dot (
              acc[4 * k + i], v_load (at + k * column + i * BLOCK), rest);
        }
      weight2 += 4 * BLOCK;
      halved++;
    }
  }
}

/* Windows of one tap, as batch-norm by itself has: no column serves twice. */
static void
dwconv_1x1 (const struct qk_dwconv_row *w, const struct qk_dwconv_block *b,
            int64_t c, const struct qk_output *o, uint8_t *out)
{
  int64_t x = -(int64_t) w->pad_left;

  for (int64_t q = 0; q < w->q; q++, x += w->stride, out += o->pitch) {
    vi acc[4], column[4];

    v_widen4 (dwconv_pixel (w, 0, x, c, b->n), column);
    dwconv_start (acc, b);
    dwconv_add (acc, column, b->weight);
    if (b->weight2 != NULL)
      dwconv_add (acc, column, b->weight2);
    dwconv_store (acc, b, o, out);
  }
}

static void
dwconv_any (const struct qk_dwconv_row *w, const struct qk_dwconv_block *b,
            int64_t c, const struct qk_output *o, uint8_t *out)
{
  const int groups = (w->kernel_h + 3) / 4;
  const int64_t column = (int64_t) w->stride * groups * 4 * BLOCK;
  vi acc[4 * DWCONV_MANY];

  for (int64_t q = 0, n; q < w->q; q += n) {
    const int64_t x = q * w->stride - w->pad_left;
    int64_t columns, i = 0;
    uint8_t *to = w->buffer;

    n = w->q - q < QK_DWCONV_CHUNK ? w->q - q : QK_DWCONV_CHUNK;
    columns = qk_dwconv_columns (w->kernel_w, w->dilation, w->stride, n);
    for (int64_t k = 0; k < columns; k++)
      for (int g = 0; g < groups; g++) {
        vi four[4];

        dwconv_column (w, x + k, g, c, b->n, four);
        UNROLL
        for (int j = 0; j < 4; j++, to += BLOCK)
          v_store (to, four[j]);
      }
    for (; i + DWCONV_MANY <= n; i += DWCONV_MANY) {
      dwconv_sums (w, b, w->buffer + i * column, column, DWCONV_MANY, acc);
      UNROLL
      for (int k = 0; k < DWCONV_MANY; k++)
        dwconv_store (acc + 4 * k, b, o, out + (q + i + k) * o->pitch);
    }
    for (; i < n; i++) {
      dwconv_sums (w, b, w->buffer + i * column, column, 1, acc);
      dwconv_store (acc, b, o, out + (q + i) * o->pitch);
    }
  }
}

/* ---- windows of 3x3 ----------------------------------------------------*/

/* What the loop over a row needs, out of reach of its stores. */
struct dwconv3 {
  const uint8_t *p0, *p1, *p2, *pad; /* from the block's first channel on */
  int64_t s0, s1, s2;                /* steps */
  int64_t width, n;
};

/* Column X of a window of three rows; N is BLOCK where FULL. */
INLINE void
dwconv_column3 (const struct dwconv3 *w, int64_t x, const bool full, vi out[4])
{
  const bool inside = x >= 0 && x < w->width;
  const uint8_t *p0 = inside ? w->p0 + x * w->s0 : w->pad;
  const uint8_t *p1 = inside ? w->p1 + x * w->s1 : w->pad;
  const uint8_t *p2 = inside ? w->p2 + x * w->s2 : w->pad;

  const vi middle = full ? v_load (p1) : v_load_part (p1, w->n);

  if (full)
    v_interleave4 (v_load (p0), middle, v_load (p2), middle, out);
  else
    v_interleave4 (v_load_part (p0, w->n), middle, v_load_part (p2, w->n),
                   middle, out);
}

INLINE void
dwconv_copy (vi to[4], vi from[4])
{
  UNROLL
  for (int i = 0; i < 4; i++)
    to[i] = from[i];
}

/* Add the other halves of those of a column's weights that have some. */
INLINE void
dwconv_add_halves (vi acc[4], vi column[4], const int8_t *weight2,
                   const int halved)
{
  UNROLL
  for (int i = 0; i < 4; i++)
    if ((halved >> i & 1) != 0)
      acc[i] = v_dot (acc[i], column[i], v_load (weight2 + i * BLOCK));
}

INLINE void
dwconv_3x3 (const struct qk_dwconv_row *row, const struct qk_dwconv_block *b,
            int64_t c, const struct qk_output *o, uint8_t *out,
            const int stride, const bool full, const bool halves)
{
  const struct dwconv3 w = { row->row[0] + c, row->row[1] + c, row->row[2] + c,
                             row->pad + c,    row->step[0],    row->step[1],
                             row->step[2],    row->width,      b->n };
  const int64_t columns = row->q, pitch = o->pitch;
  const vi zp = v_set16 (o->zero_point);
  const vi lo = v_set8 (o->lo), hi = v_set8 (o->hi);
  const int halved
    = halves ? b->halved[0] | b->halved[1] << 4 | b->halved[2] << 8 : 0;
  int64_t x = -(int64_t) row->pad_left;
  vi c0[4], c1[4], c2[4], acc[4], weight[12], r;

  UNROLL
  for (int i = 0; i < 12; i++)
    weight[i] = v_load (b->weight + i * BLOCK);
  dwconv_column3 (&w, x, full, c0);
  if (stride == 1)
    dwconv_column3 (&w, x + 1, full, c1);
  for (int64_t q = 0; q < columns; q++, x += stride, out += pitch) {
    if (stride == 2)
      dwconv_column3 (&w, x + 1, full, c1);
    dwconv_column3 (&w, x + 2, full, c2);
    dwconv_start (acc, b);
    UNROLL
    for (int i = 0; i < 4; i++) {
      acc[i] = v_dot (acc[i], c0[i], weight[i]);
      acc[i] = v_dot (acc[i], c1[i], weight[4 + i]);
      acc[i] = v_dot (acc[i], c2[i], weight[8 + i]);
    }
    if (halves) {
      dwconv_add_halves (acc, c0, b->weight2, halved);
      dwconv_add_halves (acc, c1, b->weight2 + 4 * BLOCK, halved >> 4);
      dwconv_add_halves (acc, c2, b->weight2 + 8 * BLOCK, halved >> 8);
    }
    r = dwconv_pack (acc, b, zp);
    r = v_min_u8 (v_max_u8 (r, lo), hi);
    if (full)
      v_store (out, r);
    else
      v_store_part (out, r, w.n);
    dwconv_copy (c0, stride == 1 ? c1 : c2);
    if (stride == 1)
      dwconv_copy (c1, c2);
  }
}

/* Whole blocks and narrower ones, with halves and without. */
INLINE void
dwconv_small (const struct qk_dwconv_row *w, const struct qk_dwconv_block *b,
              const struct qk_output *o, uint8_t *out, const int stride)
{
  const bool full = b->n == BLOCK, halves = b->weight2 != NULL;

  if (full && !halves)
    dwconv_3x3 (w, b, b->first, o, out, stride, true, false);
  else if (full)
    dwconv_3x3 (w, b, b->first, o, out, stride, true, true);
  else if (!halves)
    dwconv_3x3 (w, b, b->first, o, out, stride, false, false);
  else
    dwconv_3x3 (w, b, b->first, o, out, stride, false, true);
}

QK_DWCONV_U8S8 (DWCONV_NAME)
{
  const bool small = w->kernel_h == 3 && w->kernel_w == 3 && w->dilation == 1;

  for (int i = 0; i < w->blocks; i++) {
    const struct qk_dwconv_block *b = &w->block[i];
    uint8_t *to = out + b->first;

    if (small && w->stride == 1)
      dwconv_small (w, b, o, to, 1);
    else if (small && w->stride == 2)
      dwconv_small (w, b, o, to, 2);
    else if (w->kernel_h == 1 && w->kernel_w == 1)
      dwconv_1x1 (w, b, b->first, o, to);
    else
      dwconv_any (w, b, b->first, o, to);
  }
}
