/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_objective.c: the scores of several metrics of one network, and those of
 * a metric that has to see all samples at once. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/context.h"
#include "lib/network.h"
#include "lib/ok.h"
#include "train/objective.h"

static void
add (struct qk_objective *o, const char *metric, const char *name)
{
  const struct qk_comparison c
    = { 1, 1, { 0 }, { strcmp (metric, "accuracy") == 0 ? 0 : 1 } };
  const struct qk_class *cls;
  struct qk_config *cfg;

  OK (qk_context_class (ctx, QK_KIND_METRIC, metric, &cls));
  OK (qk_config_parse (cls->options, "", metric, &cfg));
  OK (qk_objective_add_metric (
    o, (const struct qk_metric_class *) (const void *) cls, cfg, name, &c));
  qk_config_free (cfg);
}

/* An objective of a network of logits, its label and a teacher. */
START_TEST (scores_have_names)
{
  const struct qk_tensor_spec label = {
    .name = "label", .dtype = QK_I32, .shape = { 1, { 1 } }, .categories = 5
  };
  const struct qk_comparison c = { 1, 1, { 0 }, { 0 } };
  const struct qk_class *cls;
  struct qk_config *cfg;
  struct qk_scores a, b;
  struct qk_objective *o;
  struct qk_graph *g;
  char text[32];

  OK (network_small (ctx, &g));
  OK (qk_objective_new (g, &label, 1, &o));
  ck_assert_int_eq (qk_objective_first_score (o), QK_SCORE_LOSS);
  add (o, "accuracy", "");
  add (o, "sqnr", "far");
  add (o, "agreement", "");
  ck_assert_int_eq (o->n_scores, 6);
  ck_assert_int_eq (qk_objective_first_score (o), 0);
  ck_assert_int_eq (qk_objective_score (o, "top5"), 1);
  ck_assert_int_eq (qk_objective_score (o, "far.sqnr"), 4);
  ck_assert_int_eq (qk_objective_score (o, "agreement"), 5);
  ck_assert_int_eq (qk_objective_score (o, "loss"), QK_SCORE_LOSS);
  ck_assert_int_eq (qk_objective_score (o, "top2"), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "far.sqnr"));
  ck_assert (!qk_objective_needs_teacher (o, QK_DURING_QAT));
  ck_assert (qk_objective_needs_teacher (o, 0));

  memset (&a, 0, sizeof a);
  memset (&b, 0, sizeof b);
  a.value[0] = 0.5;
  b.value[0] = 0.25;
  a.loss = 2;
  b.loss = 1;
  ck_assert (qk_score_better (o, 0, &a, &b));
  ck_assert (!qk_score_better (o, 0, &b, &a));
  ck_assert (!qk_score_better (o, 0, &a, &a));
  ck_assert (qk_score_better (o, QK_SCORE_LOSS, &b, &a));
  b.value[0] = (double) NAN;
  ck_assert (qk_score_better (o, 0, &a, &b));
  ck_assert (!qk_score_better (o, 0, &b, &a));
  ck_assert (!qk_score_better (o, 0, &b, &b));
  ck_assert_str_eq (
    qk_score_print (qk_score_spec (o, 0), 0.12345, text, sizeof text),
    "12.35");
  ck_assert_str_eq (
    qk_score_print (qk_score_spec (o, 0), (double) NAN, text, sizeof text),
    "-");
  ck_assert_str_eq (
    qk_score_print (qk_score_spec (o, QK_SCORE_LOSS), 1.5, text, sizeof text),
    "1.5000");

  /* the same names twice, and data that do not fit */
  OK (qk_context_class (ctx, QK_KIND_METRIC, "accuracy", &cls));
  OK (qk_config_parse (cls->options, "", "accuracy", &cfg));
  ck_assert_int_eq (
    qk_objective_add_metric (
      o, (const struct qk_metric_class *) (const void *) cls, cfg, "", &c),
    -EEXIST);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "'top1'"));
  qk_config_free (cfg);
  qk_objective_free (o);
  qk_graph_free (g);
}
END_TEST

/* |a - b|^2 of two outputs. */
static double
apart (const float *a, const float *b)
{
  double sum = 0;

  for (int k = 0; k < 5; k++)
    sum += ((double) a[k] - (double) b[k]) * ((double) a[k] - (double) b[k]);
  return sum;
}

/* The score of an objective knows all batches of an evaluation, and nothing of
 * an epoch of training. */
START_TEST (of_all_samples_at_once)
{
  const struct qk_tensor_spec label = {
    .name = "label", .dtype = QK_I32, .shape = { 1, { 1 } }, .categories = 5
  };
  const struct qk_comparison c = { 1, 1, { 0 }, { 0 } };
  const struct qk_exec_options opt = { .batch = 8, .threads = 2 };
  enum { SAMPLES = 24 };
  float *x = network_samples (SAMPLES, 8);
  int32_t labels[SAMPLES];
  float seen[SAMPLES][5];
  struct qk_scores scores;
  const struct qk_class *cls;
  struct qk_objective *o;
  struct qk_config *cfg;
  struct qk_tally t;
  struct qk_exec *ex;
  struct qk_graph *g;
  double right = 0;

  ck_assert_ptr_nonnull (x);
  OK (network_small (ctx, &g));
  OK (qk_exec_new (g, &opt, &ex));
  OK (qk_objective_new (g, &label, 1, &o));
  OK (qk_context_class (ctx, QK_KIND_METRIC, "recall", &cls));
  OK (qk_config_parse (cls->options, "distance=euclidean", "", &cfg));
  OK (qk_objective_add_metric (
    o, (const struct qk_metric_class *) (const void *) cls, cfg, "", &c));
  qk_config_free (cfg);
  for (int i = 0; i < SAMPLES; i++)
    labels[i] = i * i % 5;
  for (int whole = 0; whole < 2; whole++) {
    OK (qk_tally_init (&t, o, whole));
    for (int64_t i = 0; i < SAMPLES; i += 8) {
      const struct qk_tensor ref
        = { .dtype = QK_I32, .shape = { 1, { 8 } }, .data = labels + i };
      const float *y;

      OK (network_forward (ex, x + i * 8 * 8 * 3, 8, 0, &y));
      memcpy (seen[i], y, 8 * 5 * sizeof *y);
      OK (qk_tally_add (&t, o, ex, &ref, false, 8, 0));
    }
    OK (qk_tally_join (&t, o, NULL, 2));
    ck_assert_int_eq (qk_tally_knows (&t, o, 0), whole);
    qk_tally_scores (&t, o, &scores);
    if (!whole)
      ck_assert_double_nan (scores.value[0]);
    qk_tally_clear (&t);
  }
  for (int64_t i = 0; i < SAMPLES; i++) {
    int64_t best = i == 0;

    for (int64_t j = 0; j < SAMPLES; j++)
      if (j != i && apart (seen[i], seen[j]) < apart (seen[i], seen[best]))
        best = j;
    right += labels[best] == labels[i];
  }
  ck_assert_double_eq_tol (scores.value[0], right / SAMPLES, 1e-12);
  qk_exec_free (ex);
  qk_objective_free (o);
  qk_graph_free (g);
  qk_free (x);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("objective");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_add_test (t, scores_have_names);
  tcase_add_test (t, of_all_samples_at_once);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? 0 : 1;
}
