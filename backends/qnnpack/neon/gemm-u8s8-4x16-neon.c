/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-4x16-neon.c: qk_gemm_u8s8 for armv8.0, of four rows or of one: two
 * products of signed bytes are summed in 16 bits and such pairs in 32 (smull,
 * smlal, sadalp), sixteen k of a row by a channel at a time.
 *
 * Activations enter as a - 128, the bias brings 128 * sum w back.  No more than
 * one of the weights of two products is -128: their sum fits 16 bits. */
#include "config.h"

#include "vec128.h"

#define MOST_ROWS 4

/* The row X of a cell by the weights v4 to v7 of four channels, all of it or the
 * first half; to the sums A to D, which begin with SADDLP and go on with SADALP. */
#define FIRST_HALF(x)                                                         \
  "smull v8.8h, " x ".8b, v4.8b\n\t"                                          \
  "smull v9.8h, " x ".8b, v5.8b\n\t"                                          \
  "smull v10.8h, " x ".8b, v6.8b\n\t"                                         \
  "smull v11.8h, " x ".8b, v7.8b\n\t"
#define SECOND_HALF(x)                                                        \
  "smlal2 v8.8h, " x ".16b, v4.16b\n\t"                                       \
  "smlal2 v9.8h, " x ".16b, v5.16b\n\t"                                       \
  "smlal2 v10.8h, " x ".16b, v6.16b\n\t"                                      \
  "smlal2 v11.8h, " x ".16b, v7.16b\n\t"
/* clang-format off */
#define TO_SUMS(add, a, b, c, d)                                              \
  add " v" #a ".4s, v8.8h\n\t"                                                \
  add " v" #b ".4s, v9.8h\n\t"                                                \
  add " v" #c ".4s, v10.8h\n\t"                                               \
  add " v" #d ".4s, v11.8h\n\t"
/* clang-format on */
#define ROW(x, add, a, b, c, d)                                               \
  FIRST_HALF (x) SECOND_HALF (x) TO_SUMS (add, a, b, c, d)
#define HALF_ROW(x, add, a, b, c, d) FIRST_HALF (x) TO_SUMS (add, a, b, c, d)
/* clang-format off */
#define FOUR_ROWS(row, add)                                                   \
  "ld1 {v0.16b-v3.16b}, [%[x]], #64\n\t"                                      \
  "ld1 {v4.16b-v7.16b}, [%[w]], #64\n\t"                                      \
  row ("v0", add, 16, 17, 18, 19)                                             \
  row ("v1", add, 20, 21, 22, 23)                                             \
  row ("v2", add, 24, 25, 26, 27)                                             \
  row ("v3", add, 28, 29, 30, 31)
#define ONE_ROW(row, add)                                                     \
  "ldr q0, [%[x]], #16\n\t"                                                   \
  "ld1 {v4.16b-v7.16b}, [%[w]], #64\n\t"                                      \
  row ("v0", add, 16, 17, 18, 19)                                             \
  "ld1 {v4.16b-v7.16b}, [%[more]], #64\n\t"                                   \
  row ("v0", add, 20, 21, 22, 23)
/* clang-format on */
/* The sums over four lanes each of four sums, as one vector. */
#define ACROSS(to, a, b, c, d)                                                \
  "addp v" #a ".4s, v" #a ".4s, v" #b ".4s\n\t"                               \
  "addp v" #c ".4s, v" #c ".4s, v" #d ".4s\n\t"                               \
  "addp " to ".4s, v" #a ".4s, v" #c ".4s\n\t"
/* CELLS whole cells, the first of which the sums begin with, and half of one more
 * if HALF; or that one alone. */
/* clang-format off */
#define ALL_CELLS(rows)                                                       \
  "cbz %[n], 3f\n\t"                                                          \
  rows (ROW, "saddlp")                                                        \
  "subs %[n], %[n], #1\n\t"                                                   \
  "b.eq 2f\n\t"                                                               \
  "1:\n\t"                                                                    \
  rows (ROW, "sadalp")                                                        \
  "subs %[n], %[n], #1\n\t"                                                   \
  "b.ne 1b\n\t"                                                               \
  "2:\n\t"                                                                    \
  "cbz %w[half], 4f\n\t"                                                      \
  rows (HALF_ROW, "sadalp")                                                   \
  "b 4f\n\t"                                                                  \
  "3:\n\t"                                                                    \
  rows (HALF_ROW, "saddlp")                                                   \
  "4:\n\t"
/* clang-format on */

/* Four rows by the four channels whose first weights are WEIGHT, or one row by them
 * and by four more, whose weights are MORE: the sums of a row are those of the
 * channels in order.  Compilers have sums change registers in such loops, or keep
 * some of them in memory. */
INLINE void
four_rows (const int8_t *x, int64_t kc, const int8_t *weight, vi s[4])
{
  const int32_t half = (kc - 1) % Q8_CELL < 8;
  int64_t cells = (kc - 1) / Q8_CELL + 1 - half;

  __asm__ volatile(
    ALL_CELLS (FOUR_ROWS) ACROSS ("%[a]", 16, 17, 18, 19)
      ACROSS ("%[b]", 20, 21, 22, 23) ACROSS ("%[c]", 24, 25, 26, 27)
        ACROSS ("%[d]", 28, 29, 30, 31)
    : [a] "=&w"(s[0]), [b] "=&w"(s[1]), [c] "=&w"(s[2]), [d] "=&w"(s[3]),
      [n] "+r"(cells), [x] "+r"(x), [w] "+r"(weight)
    : [half] "r"(half)
    : "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8",
      "v9", "v10", "v11", "v16", "v17", "v18", "v19", "v20", "v21", "v22",
      "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

INLINE void
one_row (const int8_t *x, int64_t kc, const int8_t *weight, const int8_t *more,
         vi s[2])
{
  const int32_t half = (kc - 1) % Q8_CELL < 8;
  int64_t cells = (kc - 1) / Q8_CELL + 1 - half;

  __asm__ volatile(ALL_CELLS (ONE_ROW) ACROSS ("%[a]", 16, 17, 18, 19)
                     ACROSS ("%[b]", 20, 21, 22, 23)
                   : [a] "=&w"(s[0]), [b] "=&w"(s[1]), [n] "+r"(cells),
                     [x] "+r"(x), [w] "+r"(weight), [more] "+r"(more)
                   : [half] "r"(half)
                   : "cc", "memory", "v0", "v4", "v5", "v6", "v7", "v8", "v9",
                     "v10", "v11", "v16", "v17", "v18", "v19", "v20", "v21",
                     "v22", "v23");
}

/* A tile of MR rows by a block. */
INLINE void
tile (const uint8_t *panel, const struct v_gemm *t, vi sum[MOST_ROWS][4],
      const int mr)
{
  const int64_t next = 4 * ((t->kc + Q8_CELL - 1) / Q8_CELL * Q8_CELL);
  const int8_t *x = (const int8_t *) panel, *weight = t->b.weight;
  vi s[4];

  if (mr == 1)
    for (int v = 0; v * 4 < t->b.n; v += 2, weight += 2 * next) {
      one_row (x, t->kc, weight, weight + next, s);
      sum[0][v] = vaddq_s32 (s[0], vld1q_s32 (t->b.bias + v * LANES));
      sum[0][v + 1]
        = vaddq_s32 (s[1], vld1q_s32 (t->b.bias + (v + 1) * LANES));
    }
  else
    for (int v = 0; v * 4 < t->b.n; v++, weight += next) {
      const vi bias = vld1q_s32 (t->b.bias + v * LANES);

      four_rows (x, t->kc, weight, s);
      UNROLL
      for (int i = 0; i < 4; i++)
        sum[i][v] = vaddq_s32 (s[i], bias);
    }
}

/* All rows; WHOLE as in v_store_rows. */
INLINE void
gemm (const uint8_t *panel, int64_t kc, int64_t rows,
      const struct q8_gemm_block *b, const struct q8_output *o, uint8_t *out,
      const int mr, const bool whole)
{
  const struct v_gemm t = v_gemm_of (kc, b, o, mr);
  vi sum[MOST_ROWS][4];

  for (int i = 0; i < MOST_ROWS * 4; i++) /* of channels that are not in use */
    sum[i / 4][i % 4] = v_zero ();
  for (; rows >= mr; rows -= mr, panel += t.tile, out += mr * t.o.pitch) {
    tile (panel, &t, sum, mr);
    v_store_rows (sum, mr, &t.b, &t.o, &t.g, out, mr, whole, true);
  }
  if (rows > 0) {
    tile (panel, &t, sum, mr);
    v_store_rows (sum, rows, &t.b, &t.o, &t.g, out, mr, whole, false);
  }
}

QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__neon)
{
  if (!v_is_whole (b, o))
    gemm (panel, kc, rows, b, o, out, 4, false);
  else
    gemm (panel, kc, rows, b, o, out, 4, true);
}

QK_GEMM_U8S8 (qk_gemm_u8s8_1x16__neon)
{
  if (!v_is_whole (b, o))
    gemm (panel, kc, rows, b, o, out, 1, false);
  else
    gemm (panel, kc, rows, b, o, out, 1, true);
}
