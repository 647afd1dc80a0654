/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_metrics.c: what every metric gives for outputs and references, held
 * against numbers computed by hand; that sums over parts of the samples are
 * those of the whole. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/context.h"
#include "lib/network.h"
#include "lib/ok.h"
#include "train/objective.h"

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))
#define MOST 2 /* outputs */

/* ---- cases --------------------------------------------------------------- */

struct metric_case {
  const char *metric;
  int n_out;
  struct qk_shape out[MOST]; /* dims[0]: samples, even */
  bool labels;               /* i32 without the last axis, else as out */
  const float *y[MOST];
  const void *ref[MOST];
  const char *score[6];
  double want[6];
};

/* Label 2 is first, second because of a tie, third, sixth, fifth because of a
 * tie with the sixth, first. */
static const float logits[] = {
  1, 2,  3,  0,
  0, -1, -2, /* top-1; nothing is tied among the first six but
                            places 4 and 5 */
  5, 7,  7,  0,
  1, 2,  3, /* tie for the best: class 1 comes first */
  5, 9,  4,  3,
  2, 1,  0, /* top-5 */
  6, 5,  0,  4,
  3, 2,  1, /* last: not even top-5 */
  6, 5,  1,  4,
  3, 1,  0, /* places 5 and 6 are tied: label 2 comes first */
  0, 0,  9,  0,
  0, 0,  0, /* top-1; places 5 and 6 are tied */
};
static const int32_t twos[] = { 2, 2, 2, 2, 2, 2 };

/* The second and the last do not count. */
static const int32_t some[] = { 2, -1, 2, 2, 2, -1 };

/* Fewer than six classes: everything is among the first five. */
static const float three[] = { 1, 2, 3, 3, 2, 1, 2, 2, 2, 0, 1, 1 };
static const int32_t of_three[] = { 2, 2, 0, 1 };

static const float first[] = { 1, 2, 3, 4 }, first_want[] = { 2, 2, 5, 1 };
static const float second[] = { 0, 0 }, second_want[] = { 1, -2 };

/* A 2x2 image of two samples, 3 classes.  Answers 0 1 1 2, 2 2 0 0; labels
 * 0 1 2 2, 0 2 -1 0: confusion (label, answer) 00: 2, 11: 1, 21: 1, 22: 2,
 * 02: 1.  IoU of 0: 2 / 3, of 1: 1 / 2, of 2: 2 / 4; right: 5 of 7. */
static const float dense[]
  = { 9, 0, 0, 0, 5, 1, 1, 2, 0, 0, 0, 1, 0, 1, 3, 0, 0, 2, 1, 1, 1, 4, 0, 3 };
static const int32_t dense_labels[] = { 0, 1, 2, 2, 0, 2, -1, 0 };

/* Four classes, of which the last is never seen: the mean is over three. */
static const float four[] = { 9, 0, 0, 0, 0, 9, 0, 0, 0, 0, 9, 0, 9, 0, 0, 0 };
static const int32_t of_four[] = { 0, 1, 2, 1 };

static const float student[] = { 3, 0, 0, 4, 1, 1, 0, 0 };
static const float teacher[] = { 3, 1, 1, 4, 0, 1, 0, 0 };

/* Three labels, the last of which never occurs; the answers are 0 2, 0 1, 1 2,
 * 0, meant are 0, 1, 0 1, 1. */
static const float several[]
  = { 2, -1, 0.5f, 0.5f, 1.5f, -3, -2, 0, 1, 1, -0.5f, -1 };
static const float several_want[] = { 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0 };

/* Second less first: 1 -2 0.5 1 1 -0 with labels 1 0 0 0 1 1, of which the
 * fourth does not count in the second case. */
static const float two_way[] = { 0, 1, 2, 0, 0.5f, 1, 3, 4, -1, 0, 7, 7 };
static const int32_t two_way_labels[] = { 1, 0, 0, 0, 1, 1 };
static const int32_t two_way_some[] = { 1, 0, 0, -1, 1, 1 };

/* Probabilities of the answers, and whether they are right: 0.91 yes, 0.74
 * yes, 0.55 no, 0.96 yes. */
static const float sure[] = { 3, 0, 0, 0, 2, 0.5f, 1, 1.5f, 0, 0, 0, 4 };
static const int32_t sure_labels[] = { 0, 1, 0, 2 };

/* By cosine: the first and the last are the same, the second is as near to
 * both, the fifth nearest to the fourth. */
static const float directions[]
  = { 1, 0, 0, 2, 0.5f, 0, 0, 1, 0, 0, 3, 1, 0, 0, 1, 5, 0, 0 };
static const int32_t direction_labels[] = { 0, 0, 1, 1, 2, 2 };
static const int32_t direction_some[] = { 0, 0, 1, 1, 2, -1 };

#define VECTOR(n, c)                                                          \
  {                                                                           \
    2, { n, c }                                                               \
  }

static const struct metric_case cases[] = {
  { "accuracy",
    1,
    { VECTOR (6, 7) },
    true,
    { logits },
    { twos },
    { "top1", "top5", "ties1", "ties5" },
    { 2.0 / 6, 5.0 / 6, 1, 2 } },
  { "accuracy",
    1,
    { VECTOR (6, 7) },
    true,
    { logits },
    { some },
    { "top1", "top5", "ties1", "ties5" },
    { 1.0 / 4, 3.0 / 4, 0, 1 } },
  { "accuracy",
    1,
    { VECTOR (4, 3) },
    true,
    { three },
    { of_three },
    { "top1", "top5", "ties1", "ties5" },
    { 3.0 / 4, 1, 2, 0 } },
  /* mean of t = 2.5, sum of (t - mean)^2 = 9 */
  { "regression",
    1,
    { VECTOR (2, 2) },
    false,
    { first },
    { first_want },
    { "mae", "rmse", "r2" },
    { 6.0 / 4, 1.8708286933869707, 1 - 14.0 / 9 } },
  /* t of both: 2 2 5 1 1 -2, mean 1.5, sum of squares 39 - 13.5 */
  { "regression",
    2,
    { VECTOR (2, 2), { 1, { 2 } } },
    false,
    { first, second },
    { first_want, second_want },
    { "mae", "rmse", "r2" },
    { 9.0 / 6, 1.7795130420052185, 1 - 19.0 / 25.5 } },
  { "mean_iou",
    1,
    { { 4, { 2, 2, 2, 3 } } },
    true,
    { dense },
    { dense_labels },
    { "miou", "element_accuracy" },
    { (2.0 / 3 + 1.0 / 2 + 2.0 / 4) / 3, 5.0 / 7 } },
  { "mean_iou",
    1,
    { VECTOR (4, 4) },
    true,
    { four },
    { of_four },
    { "miou", "element_accuracy" },
    { (1.0 / 2 + 1.0 / 2 + 1.0) / 3, 3.0 / 4 } },
  /* signal 9 + 1 + 1 + 16 + 1 = 28, noise 1 + 1 + 1 = 3 */
  { "sqnr",
    1,
    { VECTOR (2, 4) },
    false,
    { student },
    { teacher },
    { "sqnr" },
    { 9.7003677662255827 } },
  { "sqnr",
    1,
    { VECTOR (2, 4) },
    false,
    { teacher },
    { teacher },
    { "sqnr" },
    { INFINITY } },
  /* rows (3 0 0 4)/(3 1 1 4): 3 and 3; (1 1 0 0)/(0 1 0 0): 0 and 1 */
  { "agreement",
    1,
    { VECTOR (2, 4) },
    false,
    { student },
    { teacher },
    { "agreement" },
    { 0.5 } },
  /* rows of two: (3 0)/(3 1), (0 4)/(1 4), (1 1)/(0 1), (0 0)/(0 0); and of
   * one, which always agree */
  { "agreement",
    2,
    { { 3, { 2, 2, 2 } }, { 2, { 2, 1 } } },
    false,
    { student, second },
    { teacher, second_want },
    { "agreement" },
    { 5.0 / 6 } },
  /* by the definitions, in Python */
  { "multilabel",
    1,
    { VECTOR (4, 3) },
    false,
    { several },
    { several_want },
    { "map", "f1", "precision", "recall", "exact" },
    { 0.875, 0.5, 0.42857142857142855, 0.59999999999999998, 0 } },
  /* of nine pairs 5 are right, two equal */
  { "auc",
    1,
    { VECTOR (6, 2) },
    true,
    { two_way },
    { two_way_labels },
    { "auc" },
    { 6.0 / 9 } },
  { "auc",
    1,
    { VECTOR (6, 2) },
    true,
    { two_way },
    { two_way_some },
    { "auc" },
    { 5.0 / 6 } },
  /* without labels: the errors of an autoencoder */
  { "auc",
    1,
    { VECTOR (2, 4) },
    false,
    { student },
    { teacher },
    { "error" },
    { (2.0 / 4 + 1.0 / 4) / 2 } },
  { "ece",
    1,
    { VECTOR (4, 3) },
    true,
    { sure },
    { sure_labels },
    { "ece", "nll" },
    { 0.23407962711723501, 0.38534639343375721 } },
  { "recall",
    1,
    { VECTOR (6, 3) },
    true,
    { directions },
    { direction_labels },
    { "recall_at_1" },
    { (0 + 0.5 + 1 + 1 + 0 + 0) / 6 } },
  { "recall",
    1,
    { VECTOR (6, 3) },
    true,
    { directions },
    { direction_some },
    { "recall_at_1" },
    { 4.0 / 5 } },
};

/* ---- a metric at work ------------------------------------------------------ */

struct rig {
  const struct metric_case *c;
  const struct qk_metric_class *cls;
  void *self;
  struct qk_tensor_spec out[MOST], ref[MOST];
  int64_t n_kept; /* samples */
  float kept[64];
};

static void
specs_of (const struct metric_case *c, struct rig *r)
{
  static const char *const names[] = { "one", "two" };

  for (int i = 0; i < c->n_out; i++) {
    r->out[i].name = r->ref[i].name = names[i];
    r->out[i].dtype = QK_F32;
    r->ref[i].dtype = c->labels ? QK_I32 : QK_F32;
    r->out[i].shape = c->out[i];
    r->out[i].shape.dims[0] = 1;
    r->ref[i].shape = r->out[i].shape;
    r->ref[i].shape.ndim -= c->labels;
    r->ref[i].categories = c->labels ? c->out[i].dims[c->out[i].ndim - 1] : 0;
  }
}

static void
make (const struct metric_case *c, struct rig *r)
{
  const struct qk_class *cls;
  struct qk_config *cfg;

  memset (r, 0, sizeof *r);
  r->c = c;
  OK (qk_context_class (ctx, QK_KIND_METRIC, c->metric, &cls));
  OK (qk_config_parse (cls->options, "", c->metric, &cfg));
  r->cls = (const struct qk_metric_class *) (const void *) cls;
  if (r->cls->create != NULL)
    OK (r->cls->create (cfg, &r->self));
  qk_config_free (cfg);
  specs_of (c, r);
  OK (r->cls->check (r->self, r->out, c->n_out, r->ref, c->n_out));
}

static void
unmake (const struct rig *r)
{
  if (r->cls->destroy != NULL)
    r->cls->destroy (r->self);
}

/* Add N samples from FROM on. */
static int
update (struct rig *r, int64_t from, int64_t n, double *sums)
{
  struct qk_tensor out[MOST], ref[MOST];
  const struct qk_metric_io io = { r->c->n_out, r->c->n_out, out, ref };

  memset (out, 0, sizeof out);
  memset (ref, 0, sizeof ref);
  for (int i = 0; i < r->c->n_out; i++) {
    out[i].dtype = QK_F32;
    out[i].shape = r->out[i].shape;
    out[i].shape.dims[0] = n;
    out[i].data
      = (void *) (uintptr_t) (r->c->y[i]
                              + from * qk_shape_count (&r->out[i].shape));
    ref[i].dtype = r->ref[i].dtype;
    ref[i].shape = r->ref[i].shape;
    ref[i].shape.dims[0] = n;
    ref[i].data = (char *) (uintptr_t) r->c->ref[i]
                  + (size_t) from * qk_spec_bytes (&r->ref[i]);
  }
  if (r->cls->kept != NULL) {
    const int64_t kept = (int64_t) r->cls->kept (r->self);

    ck_assert_int_le ((r->n_kept + n) * kept, COUNT (r->kept));
    OK (r->cls->keep (r->self, &io, r->kept + r->n_kept * kept));
    r->n_kept += n;
  }
  return r->cls->update (r->self, &io, sums);
}

static double *
no_sums (struct rig *r)
{
  double *sums = calloc (r->cls->sums (r->self) + 1, sizeof *sums);

  r->n_kept = 0;
  ck_assert_ptr_nonnull (sums);
  sums[r->cls->sums (r->self)] = 7;
  return sums;
}

static void
check_scores (const struct rig *r, double *sums, int64_t n)
{
  const struct qk_metric_whole whole = { r->n_kept, r->kept, 0, r->n_kept, 1 };
  double score[QK_METRIC_MAX_SCORES];
  const struct qk_score_spec *spec;
  int n_scores, given = 0;

  spec = r->cls->scores (r->self, &n_scores);
  ck_assert_int_ge (n_scores, 1);
  ck_assert_int_le (n_scores, QK_METRIC_MAX_SCORES);
  while (given < COUNT (r->c->score) && r->c->score[given] != NULL)
    given++;
  ck_assert_int_eq (n_scores, given);
  if (r->cls->kept != NULL)
    OK (r->cls->whole (r->self, &whole, sums));
  r->cls->result (r->self, sums, n, score);
  for (int i = 0; i < n_scores; i++) {
    ck_assert_str_eq (spec[i].name, r->c->score[i]);
    ck_assert_msg (isinf (r->c->want[i])
                     ? score[i] == r->c->want[i]
                     : fabs (score[i] - r->c->want[i]) < 1e-12,
                   "%s: %s is %.17g, expected %.17g", r->c->metric,
                   spec[i].name, score[i], r->c->want[i]);
  }
  ck_assert (sums[r->cls->sums (r->self)] == 7);
}

START_TEST (every_metric_has_a_case)
{
  char **names;
  int n = 0;

  ck_assert_int_ge (qk_context_list (ctx, QK_KIND_METRIC, &names), 0);
  for (; names[n] != NULL; n++) {
    int found = 0;

    for (int i = 0; i < COUNT (cases); i++)
      found += strcmp (cases[i].metric, names[n]) == 0;
    ck_assert_msg (found > 0, "metric %s has no case in check_metrics.c",
                   names[n]);
  }
  ck_assert_int_ge (n, 5);
  qk_names_free (names);
}
END_TEST

START_TEST (as_by_hand)
{
  const struct metric_case *c = &cases[_i];
  const int64_t n = c->out[0].dims[0];
  struct rig r;
  double *sums;

  make (c, &r);
  sums = no_sums (&r);
  OK (update (&r, 0, n, sums));
  check_scores (&r, sums, n);
  free (sums);
  unmake (&r);
}
END_TEST

/* Batches one after the other, and the sums of two processes. */
START_TEST (halves_are_the_whole)
{
  const struct metric_case *c = &cases[_i];
  const int64_t n = c->out[0].dims[0];
  struct rig r;
  double *sums, *other;

  make (c, &r);
  sums = no_sums (&r);
  for (int64_t i = 0; i < n; i++)
    OK (update (&r, i, 1, sums));
  check_scores (&r, sums, n);
  free (sums);
  sums = no_sums (&r);
  other = no_sums (&r);
  OK (update (&r, n / 2, n - n / 2, sums));
  OK (update (&r, 0, n / 2, other));
  for (size_t i = 0; i < r.cls->sums (r.self); i++)
    sums[i] += other[i];
  check_scores (&r, sums, n);
  free (other);
  free (sums);
  unmake (&r);
}
END_TEST

START_TEST (references_are_checked)
{
  const struct metric_case *c = &cases[_i];
  struct rig r;

  make (c, &r);
  ck_assert_int_eq (
    r.cls->check (r.self, r.out, c->n_out, r.ref, c->n_out - 1), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), c->metric));
  r.ref[0].dtype = c->labels ? QK_F32 : QK_I32;
  ck_assert_int_eq (r.cls->check (r.self, r.out, c->n_out, r.ref, c->n_out),
                    -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), c->metric));
  r.ref[0].dtype = c->labels ? QK_I32 : QK_F32;
  r.ref[0].shape.dims[r.ref[0].shape.ndim++] = 3;
  ck_assert_int_eq (r.cls->check (r.self, r.out, c->n_out, r.ref, c->n_out),
                    -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), c->metric));
  unmake (&r);
}
END_TEST

START_TEST (labels_out_of_range)
{
  struct metric_case c = cases[_i];
  struct rig r;
  double *sums;

  if (!c.labels)
    return;
  for (int i = 0; i < 2; i++) {
    const int32_t label[]
      = { i == 0 ? (int32_t) c.out[0].dims[c.out[0].ndim - 1] : -2,
          0,
          0,
          0,
          0,
          0,
          0,
          0 };

    c.ref[0] = label;
    make (&c, &r);
    sums = no_sums (&r);
    ck_assert_int_eq (update (&r, 0, c.out[0].dims[0], sums), -EINVAL);
    ck_assert_ptr_nonnull (strstr (qk_error_message (), c.metric));
    free (sums);
    unmake (&r);
  }
}
END_TEST

/* What is rebuilt worst is an anomaly: errors 0.25, 1, 4, 0.25, 9, 1 of the
 * categories 0 1 2 0 0 -: of six pairs four are right. */
START_TEST (auc_of_an_autoencoder)
{
  static const float y[] = { 0.5f, 1, 2, -0.5f, 3, 1 }, x[6] = { 0 };
  static const int32_t labels[] = { 0, 1, 2, 0, 0, -1 };
  const struct qk_shape numbers = { 2, { 1, 1 } }, one = { 1, { 1 } };
  const struct qk_tensor_spec out
    = { .name = "y", .dtype = QK_F32, .shape = numbers };
  struct qk_tensor_spec ref[2]
    = { { .name = "x", .dtype = QK_F32, .shape = numbers },
        { .name = "kind", .dtype = QK_I32, .shape = one, .categories = 3 } };
  struct qk_tensor yt = { .dtype = QK_F32,
                          .shape = { 2, { 6, 1 } },
                          .data = (void *) (uintptr_t) y },
                   rt[2] = { { .dtype = QK_F32,
                               .shape = { 2, { 6, 1 } },
                               .data = (void *) (uintptr_t) x },
                             { .dtype = QK_I32,
                               .shape = { 1, { 6 } },
                               .data = (void *) (uintptr_t) labels } };
  const struct qk_metric_io io = { 1, 2, &yt, rt };
  const struct metric_case *c = cases;
  const struct qk_score_spec *spec;
  double score[2], *sums;
  struct rig r;
  int n;

  while (strcmp (c->metric, "auc") != 0)
    c++;
  make (c, &r);
  OK (r.cls->check (r.self, &out, 1, ref, 2));
  sums = no_sums (&r);
  OK (r.cls->update (r.self, &io, sums));
  spec = r.cls->scores (r.self, &n);
  ck_assert_int_eq (n, 2);
  ck_assert_str_eq (spec[0].name, "auc");
  ck_assert_str_eq (spec[1].name, "error");
  r.cls->result (r.self, sums, 6, score);
  ck_assert_double_eq_tol (score[0], 4.0 / 6, 1e-12);
  ck_assert_double_eq_tol (score[1], 15.5 / 6, 1e-12);
  ref[1].shape = numbers;
  ref[1].shape.dims[1] = 2;
  ck_assert_int_eq (r.cls->check (r.self, &out, 1, ref, 2), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "expected a label"));
  free (sums);
  unmake (&r);
}
END_TEST

/* ---- answers ---------------------------------------------------------------- */

struct said {
  int n;
  char text[8][16];
  double score[8];
};

static int
listen (void *cookie, const char *text, double score)
{
  struct said *s = cookie;

  ck_assert_int_lt (s->n, 8);
  snprintf (s->text[s->n], sizeof s->text[0], "%s", text);
  s->score[s->n++] = score;
  return 0;
}

/* Classes with their probability, best first; of equal ones the lower. */
START_TEST (accuracy_says_classes)
{
  static const char *const names[] = { "a", "b", "c" };
  static float z[] = { 0, 1.0986123f, 0 }; /* 1 : 3 : 1 */
  const struct metric_case c
    = { "accuracy", 1,    { VECTOR (2, 3) }, true, { three }, { of_three },
        { "top1" }, { 0 } };
  const struct qk_tensor out = { QK_F32, VECTOR (1, 3), z, { 0, 0, 0, 0 } };
  struct said s = { 0 };
  struct rig r;

  make (&c, &r);
  r.ref[0].categories = 3;
  r.ref[0].category = names;
  OK (r.cls->answer (r.self, &out, r.ref, 2, listen, &s));
  ck_assert_int_eq (s.n, 2);
  ck_assert_str_eq (s.text[0], "b");
  ck_assert_str_eq (s.text[1], "a");
  ck_assert_double_eq_tol (s.score[0], 0.6, 1e-6);
  ck_assert_double_eq_tol (s.score[1], 0.2, 1e-6);
  s.n = 0;
  OK (r.cls->answer (r.self, &out, r.ref, 5, listen, &s));
  ck_assert_int_eq (s.n, 3);
  ck_assert_str_eq (s.text[2], "c");
  unmake (&r);
}
END_TEST

/* ---- tables ----------------------------------------------------------------- */

/* Row ROW of the table of R is WANT; NaN where nothing can be said. */
static void
check_row (const struct rig *r, const double *sums, int64_t row, int columns,
           const double *want)
{
  double cell[QK_METRIC_MAX_COLUMNS];
  int n;

  r->cls->table->columns (r->self, &n);
  ck_assert_int_eq (n, columns);
  r->cls->table->row (r->self, sums, row, cell);
  for (int i = 0; i < n; i++)
    ck_assert_msg (isnan (want[i]) ? isnan (cell[i])
                                   : fabs (cell[i] - want[i]) < 1e-12,
                   "%s: row %lld, column %d is %.17g, expected %.17g",
                   r->c->metric, (long long) row, i, cell[i], want[i]);
}

/* Count, precision, recall, F1, IoU and the matrix of the dense case above. */
START_TEST (mean_iou_has_table)
{
  static const double want[3][5] = { { 3, 1, 2.0 / 3, 4.0 / 5, 2.0 / 3 },
                                     { 1, 1.0 / 2, 1, 2.0 / 3, 1.0 / 2 },
                                     { 3, 2.0 / 3, 2.0 / 3, 2.0 / 3, 0.5 } };
  static const double matrix[3][3] = { { 2, 0, 1 }, { 0, 1, 0 }, { 0, 1, 2 } };
  const struct metric_case c
    = { "mean_iou", 1,         { { 4, { 2, 2, 2, 3 } } },
        true,       { dense }, { dense_labels },
        { "miou" }, { 0 } };
  struct rig r;
  double *sums;

  make (&c, &r);
  sums = no_sums (&r);
  OK (update (&r, 0, 2, sums));
  ck_assert_int_eq (r.cls->table->rows (r.self), 3);
  for (int i = 0; i < 3; i++) {
    check_row (&r, sums, i, 5, want[i]);
    for (int j = 0; j < 3; j++)
      ck_assert_double_eq (r.cls->table->taken (r.self, sums, i, j),
                           matrix[i][j]);
  }
  free (sums);
  unmake (&r);
}
END_TEST

/* Labels 2 2 0 1 of 3 classes, answered 2 0 0 1: with the matrix and, where
 * there are too many classes for it, without; labels of -1 do not count. */
START_TEST (accuracy_has_table)
{
  static const double want[3][4]
    = { { 1, 1.0 / 2, 1, 2.0 / 3 }, { 1, 1, 1, 1 }, { 2, 1, 0.5, 2.0 / 3 } };
  const struct metric_case c
    = { "accuracy", 1,    { VECTOR (4, 3) }, true, { three }, { of_three },
        { "top1" }, { 0 } };

  for (int most = 2; most <= 3; most++) {
    struct qk_config *cfg;
    struct rig r;
    double *sums;

    make (&c, &r);
    unmake (&r);
    OK (qk_config_parse (r.cls->cls.options,
                         most == 2 ? "confusion=2" : "confusion=3", "", &cfg));
    OK (r.cls->create (cfg, &r.self));
    qk_config_free (cfg);
    OK (r.cls->check (r.self, r.out, 1, r.ref, 1));
    sums = no_sums (&r);
    OK (update (&r, 0, 4, sums));
    for (int i = 0; i < 3; i++)
      check_row (&r, sums, i, 4, want[i]);
    if (most == 2)
      ck_assert_double_nan (r.cls->table->taken (r.self, sums, 2, 0));
    else
      ck_assert_double_eq (r.cls->table->taken (r.self, sums, 2, 0), 1);
    ck_assert (sums[r.cls->sums (r.self)] == 7);
    free (sums);
    unmake (&r);
  }
}
END_TEST

/* Of the first label the scores are 2 and -2 where it is there, 1 and 0.5 where
 * not; F1 is largest, 2 / 3, from 2 on and from -2 on.  The last never
 * occurs. */
START_TEST (multilabel_has_table)
{
  const double first_row[]
    = { 2, 0.75, 1.0 / 3, 0.5, 2.0 / 5, 3607.0 / 4096, 2.0 / 3 };
  const double last_row[]
    = { 0, (double) NAN, 0, (double) NAN, 0, (double) NAN, (double) NAN };
  const struct metric_case c = { "multilabel", 1,           { VECTOR (4, 3) },
                                 false,        { several }, { several_want },
                                 { "map" },    { 0 } };
  struct rig r;
  double *sums;

  make (&c, &r);
  sums = no_sums (&r);
  OK (update (&r, 0, 4, sums));
  check_row (&r, sums, 0, 7, first_row);
  check_row (&r, sums, 2, 7, last_row);
  free (sums);
  unmake (&r);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("metrics");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_add_test (t, every_metric_has_a_case);
  tcase_add_loop_test (t, as_by_hand, 0, COUNT (cases));
  tcase_add_loop_test (t, halves_are_the_whole, 0, COUNT (cases));
  tcase_add_loop_test (t, references_are_checked, 0, COUNT (cases));
  tcase_add_loop_test (t, labels_out_of_range, 0, COUNT (cases));
  tcase_add_test (t, auc_of_an_autoencoder);
  tcase_add_test (t, accuracy_says_classes);
  tcase_add_test (t, mean_iou_has_table);
  tcase_add_test (t, accuracy_has_table);
  tcase_add_test (t, multilabel_has_table);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
