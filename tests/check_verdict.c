/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_verdict.c: what analyze concludes from accuracies. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/priv.h"

/* Top-1 of 1000 samples, -1: not measured; and what is concluded. */
static const struct {
  bool qat;
  int before, bare, quantized;
  enum qk_analyze_limit limit;
  const char *verdict, *advice;
} cases[] = {
  /* few bits: the weights need their grid, and "float" is no measure */
  { true, 960, 113, 900, QK_LIMIT_TRAINING,
    "Training has not won back what quantization costs: the float network "
    "had 96.00 % top-1 before QAT, the quantized one has 90.00 %",
    "qat.distill" },
  { true, 960, 113, 955, QK_LIMIT_NOTHING,
    "Quantization costs no measurable accuracy: the float network had 96.00 %",
    "Nothing has to be done" },
  { true, -1, 113, 955, QK_LIMIT_NOTHING, "is not known", "" },
  /* as good without it: the measure it always was */
  { true, 960, 900, 899, QK_LIMIT_TRAINING,
    "Training, not quantization, limits the accuracy", "lower rate" },
  { true, 960, 961, 960, QK_LIMIT_NOTHING, "no measurable accuracy",
    "Nothing has to be done" },
  { true, 960, 960, 850, QK_LIMIT_BOTH, "Quantization costs 11.00 points",
    "Train longer" },
  { false, -1, 960, 850, QK_LIMIT_BOTH, "Quantization costs 11.00 points",
    "Train with quantization" },
};

static void
answers (struct qk_analysis *a, enum qk_analyze_net net, int right, int bare)
{
  struct qk_analyze_network *n = &a->net[net];

  n->valid = right >= 0;
  n->metrics.n = 1000;
  n->metrics.top1 = n->metrics.top5 = right;
  n->lost = bare > right ? bare - right : 0;
  n->won = right > bare ? right - bare : 0;
}

START_TEST (test_verdict)
{
  const int bare = cases[_i].bare;
  struct qk_analysis *a = calloc (1, sizeof *a);
  bool advised = cases[_i].advice[0] == '\0';

  ck_assert_ptr_nonnull (a);
  a->qat = cases[_i].qat;
  answers (a, QK_NET_ORIGINAL, cases[_i].before, bare);
  answers (a, QK_NET_FLOAT, bare, bare);
  answers (a, QK_NET_WEIGHTS, cases[_i].quantized, bare);
  answers (a, QK_NET_ACTIVATIONS, cases[_i].quantized, bare);
  answers (a, QK_NET_BOTH, cases[_i].quantized, bare);
  answers (a, QK_NET_INT8, cases[_i].quantized, bare);
  ck_assert_int_eq (qk_analyze_verdict (a), 0);
  ck_assert_str_eq (qk_analyze_limit_name (a->limit),
                    qk_analyze_limit_name (cases[_i].limit));
  ck_assert_msg (strstr (a->verdict, cases[_i].verdict) != NULL, "%s",
                 a->verdict);
  for (int i = 0; i < a->n_advice; i++)
    advised |= strstr (a->advice[i], cases[_i].advice) != NULL;
  ck_assert_msg (advised, "no advice has '%s'", cases[_i].advice);
  qk_analysis_free (a);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("verdict");
  TCase *tc = tcase_create ("verdict");
  SRunner *runner;
  int failed;

  tcase_add_loop_test (tc, test_verdict, 0,
                       (int) (sizeof cases / sizeof *cases));
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? 1 : 0;
}
