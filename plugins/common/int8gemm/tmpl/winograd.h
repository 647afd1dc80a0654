/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.h: template of qk_winograd_input, _product and _output: include a
 * vector header and dot16.h, define WINOGRAD(what) as their names and the rows
 * of a tile of products for 1 to 4 vectors, WINOGRAD_ROWS_1 … (0 where the
 * level has no such tile), then include this.
 *
 * The transforms are linear maps of six numbers along columns, then along
 * rows; kernels.h has the matrices. */
#include "int8gemm/kernels.h"
#include "gemm-tile.h"

/* Numbers from one of the 36 sums of all tiles to the next: known here, they
 * become part of instructions. */
#define WINOGRAD_PITCH QK_WINOGRAD_PITCH (WINOGRAD_ROWS_4 ? 4 : 2, LANES)

/* B^T d, in int16: of sums of absolute values at most 10 times that of d. */
INLINE void
winograd_bt (const vi d[6], vi t[6])
{
  const vi a = v_sub16 (d[4], v_shl16 (d[2], 2));
  const vi b = v_sub16 (d[3], v_shl16 (d[1], 2));
  const vi c = v_sub16 (d[4], d[2]), e = v_sub16 (d[3], d[1]);
  const vi e2 = v_add16 (e, e);

  t[0] = v_add16 (v_shl16 (v_sub16 (d[0], d[2]), 2), c);
  t[1] = v_add16 (a, b);
  t[2] = v_sub16 (a, b);
  t[3] = v_add16 (c, e2);
  t[4] = v_sub16 (c, e2);
  t[5] = v_sub16 (v_sub16 (d[5], d[3]), v_shl16 (e, 2));
}

/* The same for two outputs: numbers 0, 1, 2 and 5, of the first four of D. */
INLINE void
winograd_bt_short (const vi d[6], vi t[6])
{
  const vi a = v_sub16 (d[0], d[2]), b = v_add16 (d[1], d[2]);
  const vi c = v_sub16 (d[1], d[2]), e = v_sub16 (d[3], d[1]);

  t[0] = v_shl16 (a, 2);
  t[1] = v_sub16 (b, v_shl16 (b, 2));
  t[2] = v_sub16 (v_shl16 (c, 2), c);
  t[3] = t[4] = v_zero ();
  t[5] = v_add16 (e, e);
}

/* Call NAME for tiles that are LOW or NARROW or not, which it then knows when it
 * is compiled. */
#define WINOGRAD_KIND(name, ...)                                              \
  (low      ? narrow ? name (true, true, __VA_ARGS__)                         \
                     : name (true, false, __VA_ARGS__)                        \
        : narrow ? name (false, true, __VA_ARGS__)                            \
            : name (false, false, __VA_ARGS__))

/* Whether number I of six is there, in a direction that is SHORT. */
INLINE bool
winograd_has (const bool is_short, const int i)
{
  return !is_short || (i != 3 && i != 4);
}

INLINE void
winograd_transform (const bool is_short, const vi d[6], vi t[6])
{
  if (is_short)
    winograd_bt_short (d, t);
  else
    winograd_bt (d, t);
}

INLINE void
winograd_input (const bool low, const bool narrow, const uint8_t *const *at,
                int64_t tiles, int64_t channels, int64_t lda, int64_t pitch,
                int16_t *v)
{
  for (int64_t i = 0; i < tiles; i++, at += 36, v += lda)
    for (int64_t c = 0; c < channels; c += 2 * LANES) {
      vi d[6], t[6][6];

      UNROLL
      for (int x = 0; x < 6; x++) {
        vi column[6];

        if (narrow && x > 3)
          break;
        UNROLL
        for (int y = 0; y < 6; y++)
          d[y] = low && y > 3 ? v_zero ()
                              : v_widen16 (at[y * 6 + x] + c, channels - c);
        winograd_transform (low, d, column);
        UNROLL
        for (int y = 0; y < 6; y++)
          t[y][x] = column[y];
      }
      UNROLL
      for (int y = 0; y < 6; y++) {
        if (!winograd_has (low, y))
          continue;
        winograd_transform (narrow, t[y], d);
        UNROLL
        for (int x = 0; x < 6; x++)
          if (winograd_has (narrow, x))
            v_store (v + (y * 6 + x) * pitch + c, d[x]);
      }
    }
}

QK_WINOGRAD_INPUT (WINOGRAD (input))
{
  WINOGRAD_KIND (winograd_input, at, tiles, channels, lda, pitch, v);
}

INLINE void
winograd_tile (const int rows, const int vectors, const int16_t *v,
               int64_t lda, int64_t steps, const int16_t *u, int32_t *out,
               struct gemm_ahead *ahead)
{
  struct gemm_rows r = { .lda = lda * 2 };
  vi acc[12][4];

  UNROLL
  for (int i = 0; i < rows; i++) {
    UNROLL
    for (int j = 0; j < vectors; j++)
      acc[i][j] = v_zero ();
    if (i % 3 == 0)
      r.p[i / 3] = (const uint8_t *) (v + i * lda);
  }
  gemm_steps (rows, vectors, acc, &r, false, steps, (const int8_t *) u, 1,
              NULL, ahead);
  UNROLL
  for (int i = 0; i < rows; i++) {
    UNROLL
    for (int j = 0; j < vectors; j++)
      v_store (out + (i * vectors + j) * LANES, acc[i][j]);
  }
}

#define WINOGRAD_TILES(rows, most, vectors)                                   \
  for (; (rows) <= (most) && m >= (rows); m -= (rows)) {                      \
    winograd_tile (rows, vectors, v, lda, steps, u, out, &ahead);             \
    v += (rows) *lda;                                                         \
    out += (rows) * (vectors) *LANES;                                         \
  }

/* Functions of their own, as in gemm-u8s8.h. */
#define WINOGRAD_COLUMNS(vectors, most)                                       \
  static void winograd_##vectors (const int16_t *v, int64_t lda, int64_t m,   \
                                  int64_t steps, const int16_t *u,            \
                                  int32_t *out)                               \
  {                                                                           \
    const int8_t *const w = (const int8_t *) u;                               \
    struct gemm_ahead ahead                                                   \
      = gemm_ahead (w, w + steps * (vectors) *BLOCK, vectors, m / (most));    \
                                                                              \
    WINOGRAD_TILES (12, most, vectors)                                        \
    WINOGRAD_TILES (8, most, vectors)                                         \
    WINOGRAD_TILES (6, most, vectors)                                         \
    WINOGRAD_TILES (4, most, vectors)                                         \
    WINOGRAD_TILES (2, most, vectors)                                         \
    WINOGRAD_TILES (1, most, vectors)                                         \
  }

WINOGRAD_COLUMNS (1, WINOGRAD_ROWS_1)
WINOGRAD_COLUMNS (2, WINOGRAD_ROWS_2)
#if WINOGRAD_ROWS_4
WINOGRAD_COLUMNS (3, WINOGRAD_ROWS_3)
WINOGRAD_COLUMNS (4, WINOGRAD_ROWS_4)
#endif

QK_WINOGRAD_PRODUCT (WINOGRAD (product))
{
#if WINOGRAD_ROWS_4
  if (vectors == 4) {
    winograd_4 (v, lda, m, steps, u, out);
    return;
  }
  if (vectors == 3) {
    winograd_3 (v, lda, m, steps, u, out);
    return;
  }
#endif
  if (vectors == 2)
    winograd_2 (v, lda, m, steps, u, out);
  else
    winograd_1 (v, lda, m, steps, u, out);
}

/* A^T m, modulo 2^32. */
INLINE void
winograd_at (const vi m[6], vi y[4])
{
  const vi s1 = v_add32 (m[1], m[2]), d1 = v_sub32 (m[1], m[2]);
  const vi s2 = v_add32 (m[3], m[4]), d2 = v_sub32 (m[3], m[4]);

  y[0] = v_add32 (v_add32 (m[0], s1), s2);
  y[1] = v_add32 (d1, v_add32 (d2, d2));
  y[2] = v_add32 (s1, v_shl32 (s2, 2));
  y[3] = v_add32 (v_add32 (d1, v_shl32 (d2, 3)), v_add32 (m[5], m[5]));
}

/* The same of numbers 0, 1, 2 and 5, for two outputs. */
INLINE void
winograd_at_short (const vi m[6], vi y[4])
{
  y[0] = v_add32 (m[0], v_add32 (m[1], m[2]));
  y[1] = v_add32 (m[5], v_sub32 (m[1], m[2]));
  y[2] = y[3] = v_zero ();
}

INLINE void
winograd_untransform (const bool is_short, const vi m[6], vi y[4])
{
  if (is_short)
    winograd_at_short (m, y);
  else
    winograd_at (m, y);
}

/* What all outputs share, in registers: bytes written could be anything. */
struct winograd_end {
  vi ninth, zp, lo, hi;
};

/* The sums of four pixels, 576 times too large, to N bytes each at the first
 * COUNT of TO. */
INLINE void
winograd_store (const int count, const vi sum[4], vi bias, vf m,
                const struct winograd_end *e, uint8_t *const *to, int64_t at,
                int64_t n)
{
  vi r[4], bytes;

  UNROLL
  for (int x = 0; x < 4; x++) {
    const vi y = v_sra32 (v_mul32 (sum[x < count ? x : 0], e->ninth), 6);

    r[x] = v_round (vf_mul (v_float (v_add32 (y, bias)), m));
  }
  bytes = v_narrow4_ordered (r[0], r[1], r[2], r[3], e->zp);
  bytes = v_min_u8 (v_max_u8 (bytes, e->lo), e->hi);
  UNROLL
  for (int x = 0; x < count; x++)
    v_store_quarter (to[x] + at, bytes, x, n);
}

/* LANES channels of a tile, of which N are in use. */
INLINE void
winograd_lanes (const bool low, const bool narrow, const int32_t *m, vi bias,
                vf multiplier, const struct winograd_end *e,
                uint8_t *const *to, int64_t at, int64_t n)
{
  vi t[4][6];

  UNROLL
  for (int x = 0; x < 6; x++) {
    vi d[6], column[4];

    UNROLL
    for (int y = 0; y < 6; y++)
      d[y] = winograd_has (low, y) && winograd_has (narrow, x)
               ? v_load (m + (y * 6 + x) * WINOGRAD_PITCH)
               : v_zero ();
    winograd_untransform (low, d, column);
    UNROLL
    for (int y = 0; y < 4; y++)
      t[y][x] = column[y];
  }
  UNROLL
  for (int y = 0; y < 4; y++) {
    vi sum[4];

    if (low && y > 1)
      break;
    winograd_untransform (narrow, t[y], sum);
    winograd_store (narrow ? 2 : 4, sum, bias, multiplier, e, to + 4 * y, at,
                    n);
  }
}

INLINE void
winograd_output (const bool low, const bool narrow, const int32_t *m,
                 int64_t tiles, const struct qk_winograd_block *b,
                 const struct qk_output *o, uint8_t *const *to,
                 int64_t channel)
{
  const struct winograd_end e
    = { v_set32 (QK_WINOGRAD_NINTH), v_set16 (o->zero_point), v_set8 (o->lo),
        v_set8 (o->hi) };
  const int vectors = b->vectors;
  const int64_t n = b->n;

  for (int64_t i = 0; i < tiles; i++, to += 16)
    for (int j = 0; j < vectors; j++, m += LANES) {
      const vi bias = v_load (b->bias + j * LANES);
      const vf multiplier = vf_load (b->multiplier + j * LANES);

      if (n >= (j + 1) * LANES)
        winograd_lanes (low, narrow, m, bias, multiplier, &e, to,
                        channel + j * LANES, LANES);
      else
        winograd_lanes (low, narrow, m, bias, multiplier, &e, to,
                        channel + j * LANES, n - j * LANES);
    }
}

QK_WINOGRAD_OUTPUT (WINOGRAD (output))
{
  WINOGRAD_KIND (winograd_output, m, tiles, b, o, to, channel);
}
