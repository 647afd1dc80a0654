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
    "had 96.00 % top1 before QAT, the quantized one has 90.00 %",
    "distillation" },
  { true, 960, 113, 955, QK_LIMIT_NOTHING,
    "Quantization costs no measurable accuracy: the float network had 96.00 %",
    "Nothing has to be done" },
  { true, -1, 113, 955, QK_LIMIT_NOTHING, "is not known", "" },
  /* as good without it: the measure it always was */
  { true, 960, 900, 899, QK_LIMIT_TRAINING,
    "Training, not quantization, limits the accuracy", "lower rate" },
  { true, 960, 961, 960, QK_LIMIT_NOTHING, "no measurable accuracy",
    "Nothing has to be done" },
  { true, 960, 960, 850, QK_LIMIT_BOTH,
    "Quantization costs 11.00 points of top1", "Train longer" },
  { false, -1, 960, 850, QK_LIMIT_BOTH, "Quantization costs 11.00 points",
    "Train with quantization" },
};

static void
answers (struct qk_analysis *a, enum qk_analyze_net net, int right, int bare)
{
  struct qk_analyze_network *n = &a->net[net];

  n->valid = right >= 0;
  n->scores.n = 1000;
  n->scores.value[0] = right / 1000.0;
  n->lost = bare > right ? bare - right : 0;
  n->won = right > bare ? right - bare : 0;
  n->squares = (double) (n->lost + n->won);
}

/* An analysis of networks judged by top1, a share, or by mae, which is not,
 * and better when smaller. */
static struct qk_analysis *
analysis (bool qat, bool share)
{
  static const struct qk_score_spec top1 = { "top1", "top-1", true, true, 2 };
  static const struct qk_score_spec mae = { "mae", "mae", false, false, 4 };
  struct qk_analysis *a = calloc (1, sizeof *a);

  ck_assert_ptr_nonnull (a);
  a->qat = qat;
  a->score_spec = share ? top1 : mae;
  a->score_name = a->score_spec.name;
  a->n_scores = 1;
  return a;
}

START_TEST (test_verdict)
{
  const int bare = cases[_i].bare;
  struct qk_analysis *a = analysis (cases[_i].qat, true);
  bool advised = cases[_i].advice[0] == '\0';

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

/* Errors of numbers: before QAT, the float network's, the quantized one's, and
 * by how much the samples' errors differ. */
static const struct {
  double before, bare, quantized, each;
  enum qk_analyze_limit limit;
  const char *verdict;
} errors[] = {
  { 0.1, 0.1, 0.15, 0.05, QK_LIMIT_BOTH,
    "Quantization costs 0.0500 of mae (0.1000 in float, 0.1500 quantized" },
  { 0.1, 0.1, 0.15, 1.0, QK_LIMIT_NOTHING, "not beyond chance" },
  { 0.1, 0.2, 0.15, 0.05, QK_LIMIT_TRAINING, "had 0.1000 mae before QAT" },
  { 0.1, 0.1, 0.1, 0.001, QK_LIMIT_NOTHING, "no measurable accuracy" },
  { 0.1, 0.2, 0.2, 0.1, QK_LIMIT_TRAINING,
    "Training, not quantization, limits the accuracy" },
};

START_TEST (test_errors)
{
  struct qk_analysis *a = analysis (true, false);

  for (int net = 0; net < QK_NETS; net++) {
    struct qk_analyze_network *n = &a->net[net];

    n->valid = true;
    n->scores.n = 1000;
    n->scores.value[0] = net == QK_NET_ORIGINAL ? errors[_i].before
                         : net == QK_NET_FLOAT  ? errors[_i].bare
                                                : errors[_i].quantized;
    n->squares = 1000 * errors[_i].each * errors[_i].each;
  }
  ck_assert_int_eq (qk_analyze_verdict (a), 0);
  ck_assert_msg (strstr (a->verdict, errors[_i].verdict) != NULL, "%s",
                 a->verdict);
  ck_assert_str_eq (qk_analyze_limit_name (a->limit),
                    qk_analyze_limit_name (errors[_i].limit));
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
  tcase_add_loop_test (tc, test_errors, 0,
                       (int) (sizeof errors / sizeof *errors));
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? 1 : 0;
}
