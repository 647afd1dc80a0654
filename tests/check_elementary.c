/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_elementary.c: exp, ln, tanh, erf and what is made of them against the C
 * library's in double, over a dense sweep of the floats: the errors that
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
  double ulp;    /* allowed */
  bool positive; /* only of numbers above 0, up to the largest */
};

static double
sigmoid (double x)
{
  return 1 / (1 + exp (-x));
}

static const struct function functions[]
  = { { "exp", qk_exp, exp, 1, false },
      { "expm1", qk_expm1, expm1, 3.5, false },
      { "ln", qk_ln, log, 1, true },
      { "sigmoid", qk_sigmoid, sigmoid, 3, false },
      { "tanh", qk_tanh, tanh, 1.5, false },
      { "erf", qk_erf, erf, 1.5, false } };

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
  const uint32_t end = f->positive ? 0x7f800000 : 0x43000000; /* 128 */
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

START_TEST (ends)
{
  ck_assert (qk_exp (0) == 1 && qk_exp (-INFINITY) == 0);
  ck_assert (isinf (qk_exp (INFINITY)) && isinf (qk_exp (89)));
  ck_assert (qk_ln (0) == -INFINITY && isinf (qk_ln (INFINITY)));
  ck_assert (isnan (qk_ln (-1)) && qk_ln (1) == 0);
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
  tcase_add_test (t, ends);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
