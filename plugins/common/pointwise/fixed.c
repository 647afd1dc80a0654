/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fixed.c: which fixed-point numbers give the bytes of numeric.h. */
#include "config.h"

#include "fixed.h"

#include <string.h>

#define BITS 28           /* of a factor's fraction: four digits of 7 */
#define STEP 128          /* what the summand is a multiple of */
#define MOST_DIFFERENT 64 /* pairs that a summand may put right */
#define ROW 256           /* values of an operand */
#define MOST_SUM 254      /* of first digits: 16 bits hold their plane */

/* ---- the sum of two products ------------------------------------------- */

/* a A + b B + C in units of 2^-BITS, of which the floor is the result before
 * clamping; b: 255 less the second operand where it is subtracted. */
struct line {
  int64_t a, b, c;
};

static int64_t
round_to (double x)
{
  return (int64_t) rint (x);
}

static bool
line_of (int function, const struct qk_grids *g, struct line *l)
{
  const double one = (double) (1 << BITS), inv = (double) g->inv;
  const double a = (double) g->sa * inv, b = (double) g->sb * inv;
  const double zb = function == QK_SUB ? 255 - g->zb : g->zb;

  if (!(a + b < 2)) /* nor is it NaN */
    return false;
  l->a = round_to (a * one);
  l->b = round_to (b * one);
  l->c = STEP * round_to ((g->zp + 0.5 - a * g->za - b * zb) * (one / STEP));
  return (l->a >> (BITS - 7)) + (l->b >> (BITS - 7)) <= MOST_SUM;
}

static void
write_digits (const struct line *l, struct qk_fixed *f)
{
  for (int i = 0; i < 4; i++) {
    const int shift = BITS - 7 * (i + 1), mask = i == 0 ? 255 : 127;

    f->a[i] = (uint8_t) (l->a >> shift & mask);
    f->b[i] = (uint8_t) (l->b >> shift & mask);
  }
  f->c[0] = (int32_t) (l->c >> (BITS - 7));
  f->c[1] = (int32_t) (l->c >> (BITS - 14) & 127);
  f->c[2] = (int32_t) (l->c >> (BITS - 21) & 127);
}

/* Bytes of a row of operand A where GOT differs from WANT.  *LEAST and *MOST: what
 * the summand has to grow by for them, at least and at most. */
static int
compare (int function, const struct line *l, int a, const uint8_t *want,
         const uint8_t *got, int64_t *least, int64_t *most)
{
  int different = 0;

  for (int b = 0; b < ROW; b++) {
    const int64_t y = function == QK_SUB ? 255 - b : b;
    const int64_t sum = a * l->a + y * l->b + l->c;
    const int64_t up = ((int64_t) want[b] << BITS) - sum;
    const int64_t down = up + (1 << BITS) - 1;

    if (want[b] > got[b] && up > *least)
      *least = up;
    if (want[b] < got[b] && down < *most)
      *most = down;
    different += want[b] != got[b];
  }
  return different;
}

/* ---- all pairs ---------------------------------------------------------- */

/* The bytes of operand A and every other. */
static void
row_of (qk_binary_u8_fn *fn, int a, const struct qk_grids *g, uint8_t out[ROW])
{
  uint8_t x[ROW], y[ROW];

  memset (x, a, sizeof x);
  for (int i = 0; i < ROW; i++)
    y[i] = (uint8_t) i;
  fn (x, y, ROW, g, out);
}

static bool
equal (qk_binary_u8_fn *exact, qk_binary_u8_fn *fixed,
       const struct qk_grids *g)
{
  for (int a = 0; a < ROW; a++) {
    uint8_t want[ROW], got[ROW];

    row_of (exact, a, g, want);
    row_of (fixed, a, g, got);
    if (memcmp (want, got, sizeof want) != 0)
      return false;
  }
  return true;
}

/* Pairs whose sum lies very near to the middle of two integers may be rounded
 * the other way: the summand moves so far that they are not, which most often
 * leaves all others as they are.  Where there are many such pairs, they lie in
 * the middle, and go to even integers. */
static bool
plan_sum (int function, qk_binary_u8_fn *exact, qk_binary_u8_fn *fixed,
          struct qk_grids *g)
{
  int64_t least = 0, most = 0;
  int different = 0;
  struct line l;

  if (!line_of (function, g, &l))
    return false;
  write_digits (&l, &g->fixed);
  for (int a = 0; a < ROW; a++) {
    uint8_t want[ROW], got[ROW];

    row_of (exact, a, g, want);
    row_of (fixed, a, g, got);
    if (memcmp (want, got, sizeof want) != 0)
      different += compare (function, &l, a, want, got, &least, &most);
    if ((least > 0 && most < 0) || different > MOST_DIFFERENT)
      return false;
  }
  if (different == 0)
    return true;
  l.c += least > 0 ? (least + STEP - 1) / STEP * STEP
                   : -((-most + STEP - 1) / STEP * STEP);
  write_digits (&l, &g->fixed);
  return equal (exact, fixed, g);
}

/* ---- the product -------------------------------------------------------- */

static bool
plan_product (qk_binary_u8_fn *exact, qk_binary_u8_fn *fixed,
              struct qk_grids *g)
{
  static const int nudge[] = { 0, 1, -1, 2, -2 };
  const double m
    = (double) g->sa * (double) g->sb * (double) g->inv * (1 << 30);

  if (!(m < INT32_MAX - 2))
    return false;
  for (size_t i = 0; i < sizeof nudge / sizeof nudge[0]; i++) {
    g->fixed.m = (int32_t) round_to (m) + nudge[i];
    if (equal (exact, fixed, g))
      return true;
  }
  return false;
}

bool
fixed_plan (int function, qk_binary_u8_fn *exact, qk_binary_u8_fn *fixed,
            struct qk_grids *g)
{
  return function == QK_MUL ? plan_product (exact, fixed, g)
                            : plan_sum (function, exact, fixed, g);
}
