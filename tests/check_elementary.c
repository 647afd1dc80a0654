/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_elementary.c: exp, log, tanh, erf, sin and what is made of them against
 * the C library's in double, over a dense sweep of the floats: the errors that
 * elementary.h states. */
#include "config.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/elementary.h>

#include "lib/effort.h"
#include "lib/ok.h"

struct function {
  const char *name;
  float (*ours) (float x);
  double (*exact) (double x);
  double ulp;   /* allowed */
  uint32_t end; /* bits of the largest number tried; 0: 128 */
  bool positive;
};

static double
sigmoid (double x)
{
  return 1 / (1 + exp (-x));
}

static double
softplus (double x)
{
  return x > 40 ? x : log1p (exp (x));
}

static const struct function functions[]
  = { { "exp", qk_exp, exp, 1, 0, false },
      { "expm1", qk_expm1, expm1, 3.5, 0, false },
      { "sigmoid", qk_sigmoid, sigmoid, 3, 0, false },
      { "tanh", qk_tanh, tanh, 1.5, 0, false },
      { "erf", qk_erf, erf, 1.5, 0, false },
      { "log", qk_ln, log, 0.51, 0x7f7fffff, true },
      { "softplus", qk_softplus, softplus, 0.51, 0x42b00000, false },
      { "sin", qk_sin, sin, 0.51, 0x49742400, false },
      { "cos", qk_cos, cos, 0.51, 0x49742400, false } };

#define N_FUNCTIONS ((int) (sizeof functions / sizeof functions[0]))

/* Distance of GOT from WANT in units of the last place of a float WANT. */
static double
ulps (float got, double want)
{
  int e;

  if ((double) got == want || (fabs (want) > (double) FLT_MAX && isinf (got)))
    return 0;
  frexp (want, &e);
  e = e < -125 ? -125 : e;
  return fabs ((double) got - want) / ldexp (1, e - 24);
}

static float
float_of (uint32_t bits)
{
  float x;

  memcpy (&x, &bits, sizeof x);
  return x;
}

START_TEST (errors_are_as_stated)
{
  const struct function *f = &functions[_i];
  const uint32_t step
    = (uint32_t) effort (257, 40009); /* primes: all low bits */
  const uint32_t end = f->end != 0 ? f->end : 0x43000000;
  double worst = 0;
  float at = 0;

  for (uint32_t bits = 0; bits < end; bits += step)
    for (int sign = 0; sign < (f->positive ? 1 : 2); sign++) {
      const float x = sign ? -float_of (bits) : float_of (bits);
      const double e = ulps (f->ours (x), f->exact ((double) x));

      if (!(e <= worst)) {
        worst = e;
        at = x;
      }
    }
  printf ("%s: %.3f ulp at %.9g\n", f->name, worst, (double) at);
  ck_assert_msg (worst <= f->ulp, "%s: %.3f ulp at %.9g, stated are %g",
                 f->name, worst, (double) at, f->ulp);
}
END_TEST

START_TEST (powers)
{
  static const float exponents[]
    = { 2, 3, -1, -2, 0.5f, 1.5f, -0.25f, 7, 0, 100 };
  const uint32_t step = (uint32_t) effort (4099, 400009);

  for (size_t i = 0; i < sizeof exponents / sizeof exponents[0]; i++)
    for (uint32_t bits = 1; bits < 0x7f800000; bits += step) {
      const float x = float_of (bits), y = exponents[i];
      const double want = pow ((double) x, (double) y);
      const double e = ulps (qk_pow (x, y), want);

      HOLDS (e <= 0.51, "%.9g ^ %g: %.3f ulp", (double) x, (double) y, e);
    }
  ck_assert (qk_pow (-2, 3) == -8 && qk_pow (-2, 2) == 4);
  ck_assert (isnan (qk_pow (-2, 0.5f)) && isnan (qk_pow (NAN, 2)));
  ck_assert (qk_pow (0, 2) == 0 && qk_pow (0, 0) == 1);
  ck_assert (isinf (qk_pow (0, -1)) && qk_pow (3, 2) == 9);
}
END_TEST

START_TEST (ends)
{
  ck_assert (isinf (qk_ln (0)) && qk_ln (0) < 0 && isnan (qk_ln (-1)));
  ck_assert (isinf (qk_ln (INFINITY)) && qk_ln (1) == 0);
  ck_assert (isnan (qk_sin (INFINITY)) && qk_sin (2e9f) == 0);
  ck_assert (qk_exp (0) == 1 && qk_exp (-INFINITY) == 0);
  ck_assert (isinf (qk_exp (INFINITY)) && isinf (qk_exp (89)));
  ck_assert (qk_expm1 (-INFINITY) == -1 && isinf (qk_expm1 (INFINITY)));
  ck_assert (qk_sigmoid (INFINITY) == 1 && qk_sigmoid (-INFINITY) == 0);
  ck_assert (qk_tanh (INFINITY) == 1 && qk_tanh (-INFINITY) == -1);
  ck_assert (qk_erf (INFINITY) == 1 && qk_erf (-INFINITY) == -1);
  for (int i = 0; i < N_FUNCTIONS; i++)
    ck_assert_msg (isnan (functions[i].ours (NAN)), "%s", functions[i].name);
  ck_assert (qk_tanh (-0.0f) == 0 && qk_erf (-0.0f) == 0);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("elementary");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_set_timeout (t, 120);
  tcase_add_loop_test (t, errors_are_as_stated, 0, N_FUNCTIONS);
  tcase_add_test (t, powers);
  tcase_add_test (t, ends);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
