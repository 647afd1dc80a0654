/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_csource.c: real numbers in integers, as generated C has them for
 * machines without a unit for reals: the bits of numeric.h and of the
 * processor. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "lib/effort.h"

#include "../plugins/formats/csource/kernels/base.c.in"
#include "../plugins/formats/csource/kernels/real-integer.c.in"
#include "../plugins/formats/csource/kernels/wide.c.in"
#include "../plugins/formats/csource/kernels/logarithm.c.in"
#include "../plugins/formats/csource/kernels/exponential.c.in"

static float
number (uint32_t b)
{
  float x;

  memcpy (&x, &b, sizeof x);
  return x;
}

static uint32_t
bits (float x)
{
  uint32_t b;

  memcpy (&b, &x, sizeof b);
  return b;
}

static uint64_t state = 88172645463325252ull;

static uint32_t
drawn (void)
{
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t) (state >> 16);
}

/* ---- the multiplier of a layer --------------------------------------------- */

/* Sums of more than 24 bits are of a layer that is wide. */
static int32_t
output (int32_t acc, float m, int32_t zp)
{
  const bool wide = acc <= -(1 << 24) || acc >= 1 << 24;
  const struct scale s = scale_of (bits (m), zp, wide);

  return within (scaled (acc, &s), 0, 255);
}

static void
same_output (int32_t acc, float m, int32_t zp)
{
  const int32_t want = qk_requantize (acc, m, zp, 0, 255);
  const int32_t got = output (acc, m, zp);

  if (want != got)
    ck_abort_msg ("%d * %.9g + %d: %d, expected %d", (int) acc, (double) m,
                  (int) zp, (int) got, (int) want);
}

/* Multipliers as layers have them, and at the ends of what the fast way takes:
 * powers of two, whose products are often halves, and numbers that are not. */
static const float multiplier[]
  = { 1.2345678e-3f, 0.0078125f, 0.5f,           7.7e-5f,  0.0312345f,
      0.99999994f,   3.0e-6f,    0x1.fffffep-9f, 1.0f / 3, 0x1p-24f,
      1.5e-8f,       3.25f,      0x1.000002p-7f, 1e-12f,   0.124999f };
#define MULTIPLIERS ((int) (sizeof multiplier / sizeof *multiplier))

/* Every accumulator up to the largest that float still tells from its
 * neighbours, and as far again, of the first three multipliers, a sixteenth of
 * that of the others; all of int32 with QATKIT_TEST_LONG=1. */
START_TEST (every_accumulator)
{
  const float m = multiplier[_i];
  const int64_t most = getenv ("QATKIT_TEST_LONG") != NULL
                         ? INT32_MAX
                         : effort (_i < 3 ? 1 << 25 : 1 << 21, 1 << 16);

  for (int64_t acc = -most - 1; acc <= most; acc++) {
    const int32_t a = (int32_t) acc;

    if (output (a, m, 0) != qk_requantize (a, m, 0, 0, 255)
        || output (a, m, 255) != qk_requantize (a, m, 255, 0, 255))
      same_output (a, m, 0), same_output (a, m, 255);
  }
}
END_TEST

/* Any multiplier, near the middle between two integers and elsewhere. */
START_TEST (any_multiplier)
{
  for (int i = 0; i < effort (5000000, 100000); i++) {
    const float m = ldexpf (1.0f + (float) (drawn () & 0x7fffff) / 8388608.0f,
                            -(int) (drawn () % 34))
                    * (i % 5 == 0 ? -1.0f : 1.0f);
    const double middle = ((int) (drawn () % 512) - 256 + 0.5) / (double) m;
    int32_t acc = (int32_t) drawn () >> (drawn () % 20);

    if (i % 2 == 1 && fabs (middle) < 2e9)
      acc = (int32_t) middle + (int32_t) (drawn () % 3) - 1;
    same_output (acc, m, 0);
    same_output (acc, m, 255);
  }
}
END_TEST

/* ---- the operations ----------------------------------------------------------- */

static void
same_bits (const char *what, uint32_t a, uint32_t b, uint32_t got, float want)
{
  if (no_number (got) && no_number (bits (want)))
    return;
  if (got != bits (want))
    ck_abort_msg ("%s of %#x and %#x: %#x, expected %#x", what, a, b, got,
                  bits (want));
}

/* A layer whose sums could be wide has small ones, too. */
START_TEST (small_sums_of_a_wide_layer)
{
  const struct scale s = scale_of (bits (multiplier[_i]), 3, 1);

  for (int32_t acc = -(1 << 16); acc < 1 << 16; acc++)
    ck_assert_int_eq (within (scaled (acc, &s), 0, 255),
                      qk_requantize (acc, multiplier[_i], 3, 0, 255));
}
END_TEST

/* Any bits, numbers close to each other, small ones without a leading bit, and
 * such whose products have few digits. */
START_TEST (operations)
{
  for (int i = 0; i < effort (5000000, 200000); i++) {
    uint32_t a = drawn (), b = drawn ();
    int32_t r;

    if (i % 4 == 1)
      b = (a & 0xff800000u) + (drawn () & 0x9fffffu);
    if (i % 4 == 2)
      a &= 0x80ffffffu;
    if (i % 16 == 3)
      a &= 0xffff0000u, b &= 0xfff00000u;
    same_bits ("product", a, b, real_mul (a, b), number (a) * number (b));
    same_bits ("sum", a, b, real_add (a, b), number (a) + number (b));
    same_bits ("quotient", a, b, real_div (a, b), number (a) / number (b));
    same_bits ("number", a, 0, real_int ((int32_t) a), (float) (int32_t) a);
    ck_assert_int_eq (real_above (a, b), number (a) > number (b));
    r = qk_clamp_rounded (qk_rne (number (a)), 0, -255, 255);
    ck_assert_int_eq (rounded (a) < -255  ? -255
                      : rounded (a) > 255 ? 255
                                          : rounded (a),
                      r);
  }
}
END_TEST

START_TEST (large_sums)
{
  for (int i = 0; i < effort (5000000, 50000); i++) {
    const uint64_t x
      = ((uint64_t) drawn () << 32 | drawn ()) >> (2 + drawn () % 62);

    same_bits ("large number", (uint32_t) x, 0, real_sum ((int64_t) x),
               (float) x);
  }
}
END_TEST

/* ---- wide numbers, functions of reals -------------------------------------------- */

static double
wide_number (real64 b)
{
  double x;

  memcpy (&x, &b, sizeof x);
  return x;
}

static void
same_wide (const char *what, real64 a, real64 b, real64 got, double want)
{
  if (wide_number (got) != want
      || signbit (wide_number (got)) != signbit (want))
    ck_abort_msg ("%s of %.17g and %.17g: %.17g, expected %.17g", what,
                  wide_number (a), wide_number (b), wide_number (got), want);
}

/* A number between 2^-150 and 2^150, of few or all digits. */
static real64
drawn_wide (void)
{
  const real64 digits = (real64) drawn () << 32 | drawn ();
  const real64 exponent = 1023 - 150 + drawn () % 300;
  const int few = (int) (drawn () % 53);

  return (digits & WIDE_SIGN) | exponent << 52
         | (digits & 0xfffffffffffff & ~((((real64) 1 << few) - 1)));
}

START_TEST (wide_operations)
{
  for (int i = 0; i < effort (3000000, 100000); i++) {
    real64 a = drawn_wide (), b = drawn_wide ();
    const int64_t n
      = (int64_t) ((uint64_t) drawn () << 32 | drawn ()) >> drawn () % 60;
    double x, y;

    if (i % 3 == 1) /* close to each other */
      b = (a ^ WIDE_SIGN) + drawn () % 5 - 2;
    if (i % 3 == 2) /* a few digits apart */
      b = (b & 0x800fffffffffffff)
          | ((a >> 52 & 0x7ff) - 30 + drawn () % 60) << 52;
    x = wide_number (a), y = wide_number (b);
    same_wide ("product", a, b, wide_mul (a, b), x * y);
    same_wide ("quotient", a, b, wide_div (a, b), x / y);
    same_wide ("sum", a, b, wide_add (a, b), x + y);
    same_wide ("root", a, 0, wide_sqrt (a & ~WIDE_SIGN), sqrt (fabs (x)));
    same_wide ("integer", 0, 0, wide_int (n), (double) n);
    same_bits ("wide number", (uint32_t) (a >> 32), (uint32_t) a,
               real_of_wide (a), (float) x);
    if (!isinf ((float) x))
      same_wide ("real", a, 0, wide_of (bits ((float) x)), (double) (float) x);
  }
}
END_TEST

START_TEST (functions)
{
  static const uint32_t ends[]
    = { 0,          0x80000000, 1,          0x807fffff, 0x7f7fffff,
        0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x42b20000,
        0x42b17218, 0xc2d00000, 0xc2ce8ed0, 0x3f3504f3, 0x3f800000 };
  const int n = effort (3000000, 100000);

  for (int i = 0; i < n; i++) {
    const uint32_t a
      = i < (int) (sizeof ends / sizeof *ends) ? ends[i] : drawn ();

    if ((a & 0x7f800000) != 0) /* qk_log_double takes no others */
      same_bits ("logarithm", a, 0, real_ln (a), qk_ln (number (a)));
    same_bits ("exponential", a, 0, real_exp (a), qk_exp (number (a)));
  }
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("csource");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_set_timeout (t, 1800);
  tcase_add_loop_test (t, every_accumulator, 0, MULTIPLIERS);
  tcase_add_loop_test (t, small_sums_of_a_wide_layer, 0, MULTIPLIERS);
  tcase_add_test (t, any_multiplier);
  tcase_add_test (t, operations);
  tcase_add_test (t, large_sums);
  tcase_add_test (t, wide_operations);
  tcase_add_test (t, functions);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
