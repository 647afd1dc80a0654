/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_oscillation.c: weights that flip between integers, counted by hand;
 * damping against the difference of its loss. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op-priv.h"
#include "lib/context.h"
#include "lib/network.h"
#include "lib/ok.h"
#include "quant/quantizer-priv.h"
#include "train/oscillation.h"

/* The small network with weights of 4 bits, seen once, and the gradients that
 * an executor in training makes. */
static struct qk_graph *
prepared (const char *fakequant, bool per_channel)
{
  const struct network_quant how = { .weight_bits = 4,
                                     .weight_fakequant = fakequant,
                                     .per_channel = per_channel };
  const struct qk_exec_options opt
    = { .batch = 4, .threads = 1, .train = true };
  float *x = network_samples (4, 8);
  struct qk_graph *plain, *g;
  struct qk_exec *ex;
  const float *y;

  OK (network_small (ctx, &plain));
  OK (network_prepare_as (plain, &how, &g));
  OK (qk_exec_new (g, &opt, &ex));
  qk_graph_set_observing (g, true, true);
  OK (network_forward (ex, x, 4, QK_PASS_TRAIN | QK_PASS_BATCH_STATS, &y));
  qk_graph_set_observing (g, false, false);
  qk_exec_free (ex);
  qk_graph_free (plain);
  qk_free (x);
  return g;
}

static struct qk_oscillation *
watched (struct qk_graph *g, const struct qk_oscillation_options *opt)
{
  struct qk_oscillation *o;

  OK (qk_oscillation_new (g, opt, &o));
  ck_assert_ptr_nonnull (o);
  ck_assert_int_gt (o->n, 3);
  return o;
}

/* Let weight I of tensor T become the integer K (and a little). */
static void
set (struct qk_oscillation *o, struct qk_graph *g, int t, int64_t i, int k)
{
  struct qk_folded *f = &o->weight[t].folded;
  const struct qk_quantizer *qz = f->node->weight_qz;
  const int64_t c = i / f->depth;
  const float scale
    = qk_quantizer_qparams (qz)[qk_quantizer_channels (qz) == 1 ? 0 : c].scale;

  OK (qk_folded_take (g, f));
  ((float *) f->param->value.data)[i] = ((float) k + 0.2f) * scale / f->k[c];
}

/* The integer of weight I of tensor T as it is deployed. */
static int
deployed (struct qk_oscillation *o, struct qk_graph *g, int t, int64_t i)
{
  struct qk_op op = { .name = NULL };
  int k;

  OK (qk_lower_node (g, (int) (o->weight[t].folded.node - g->node), &op));
  k = op.weight[i];
  qk_op_free_arrays (&op);
  return k;
}

static const int course[] = { 1, 2, 1, 1, 2, 3, 2, 3, 3, 2 };
/* whether the change to it is one back: up, down (back), none, up (back), up,
 * down (back), up (back), none, down (back) */
static const bool back[] = { 0, 0, 1, 0, 1, 0, 1, 1, 0, 1 };

START_TEST (frequencies)
{
  const struct qk_oscillation_options opt = { .watch = true, .momentum = 0.1 };
  struct qk_graph *g = prepared ("affine", _i == 0);
  struct qk_oscillation *o = watched (g, &opt);
  double f = 0, mean = 1, moving, frozen;
  int64_t all = 0;

  for (size_t n = 0; n < sizeof course / sizeof *course; n++) {
    set (o, g, 1, 5, course[n]);
    OK (qk_oscillation_step (o, g, 0.5));
    ck_assert_int_eq (deployed (o, g, 1, 5), course[n]);
    f = 0.1 * back[n] + 0.9 * f;
    mean = 0.1 * course[n] + 0.9 * mean;
    ck_assert_msg (fabs ((double) o->weight[1].frequency[5] - f) < 1e-6,
                   "step %zu: frequency %g, expected %g", n,
                   (double) o->weight[1].frequency[5], f);
    ck_assert (fabs ((double) o->weight[1].mean[5] - mean) < 1e-6);
  }
  for (int t = 0; t < o->n; t++)
    all += o->weight[t].count;
  qk_oscillation_shares (o, &moving, &frozen);
  ck_assert (fabs (moving * (double) all - 1) < 1e-9);
  ck_assert (frozen == 0);
  qk_oscillation_free (o);
  qk_graph_free (g);
}
END_TEST

/* With m = 0.5 the third change back makes 0.5 (0.5 0.5 + ...) > 0.6; the mean
 * decides the integer, which stays whatever the optimizer does. */
static void
check_freezing (const char *fakequant)
{
  const struct qk_oscillation_options opt
    = { .momentum = 0.5, .freeze = 0.6, .freeze_start = 0.6 };
  struct qk_graph *g = prepared (fakequant, true);
  struct qk_oscillation *o = watched (g, &opt);
  double moving, frozen;
  int last;

  for (int n = 0; n < 4; n++) {
    set (o, g, 2, 3, n % 2 ? 3 : 1);
    OK (qk_oscillation_step (o, g, 0.1));
    /* f = 0, 0, 0.5, 0.75 */
    ck_assert_int_eq (o->weight[2].frozen[3], n == 3);
  }
  last = deployed (o, g, 2, 3);
  if (strcmp (fakequant, "dorefa") != 0) {
    ck_assert_int_eq (o->weight[2].last[3], 2); /* mean 2.25 of 1, 3, 1, 3 */
    ck_assert_int_eq (last, 2);
  }
  for (int n = -7; n < 7; n++) {
    set (o, g, 2, 3, n);
    OK (qk_oscillation_step (o, g, 1));
    ck_assert_int_eq (deployed (o, g, 2, 3), last);
  }
  qk_oscillation_shares (o, &moving, &frozen);
  ck_assert (frozen > 0 && moving == 0);
  qk_oscillation_free (o);
  qk_graph_free (g);
}

START_TEST (freezing)
{
  check_freezing ("affine");
  check_freezing ("lsq");
  check_freezing ("dorefa");
}
END_TEST

/* The threshold falls from 0.6 to 0.2 as half a cosine: at 0.5 it is 0.4. */
START_TEST (threshold)
{
  const struct qk_oscillation_options opt
    = { .momentum = 0.5, .freeze = 0.2, .freeze_start = 0.6 };
  const double done[] = { 0, 0.49, 0.51, 1 };

  for (int i = 0; i < 4; i++) {
    struct qk_graph *g = prepared ("affine", true);
    struct qk_oscillation *o = watched (g, &opt);

    for (int n = 0; n < 3; n++) {
      set (o, g, 0, 3, n % 2);
      OK (qk_oscillation_step (o, g, 0));
    }
    /* unfrozen at 0.5, then none: 0.25 */
    o->weight[0].frequency[3] = 0.8f; /* 0.4 after the step */
    o->weight[0].frozen[3] = 0;
    OK (qk_oscillation_step (o, g, done[i]));
    ck_assert_int_eq (o->weight[0].frozen[3], i >= 2);
    qk_oscillation_free (o);
    qk_graph_free (g);
  }
}
END_TEST

/* lambda sum (w - s n)^2, the integers N as they were, over what is not
 * clipped. */
static double
loss_of (struct qk_oscillation *o, struct qk_graph *g, const int8_t *integer)
{
  struct qk_oscillating *w = &o->weight[0];
  double sum = 0;

  OK (qk_folded_take (g, &w->folded));
  for (int64_t i = 0; i < w->count; i++) {
    const struct qk_qparams *q
      = &qk_quantizer_qparams (w->folded.node->weight_qz)[i / w->folded.depth];
    const double v = (double) w->folded.weight[i], s = (double) q->scale;

    if (v >= q->qmin * s && v <= q->qmax * s)
      sum += (v - integer[i] * s) * (v - integer[i] * s);
  }
  return sum;
}

START_TEST (damping)
{
  const struct qk_oscillation_options opt
    = { .momentum = 0.01, .damping = 0.7 };
  struct qk_graph *g = prepared ("affine", true);
  struct qk_oscillation *o = watched (g, &opt);
  struct qk_oscillating *w = &o->weight[0];
  float *x = w->folded.param->value.data, *d = w->folded.param->grad.data;
  int8_t *integer = malloc ((size_t) w->count);
  double largest = 0;

  ck_assert_ptr_nonnull (integer);
  OK (qk_oscillation_step (o, g, 0));
  memcpy (integer, w->last, (size_t) w->count);
  memset (d, 0, sizeof *d * (size_t) w->count);
  OK (qk_oscillation_damp (o, g, 0));
  for (int64_t i = 0; i < w->count; i++)
    ck_assert (d[i] == 0); /* it begins with nothing */
  OK (qk_oscillation_damp (o, g, 1));
  for (int64_t i = 0; i < w->count; i++) {
    const float was = x[i], h = 1e-3f * (fabsf (was) + 0.01f);
    double up, down, want;

    x[i] = was + h;
    up = loss_of (o, g, integer);
    x[i] = was - h;
    down = loss_of (o, g, integer);
    want = 0.7 * (up - down) / ((double) (was + h) - (double) (was - h));
    x[i] = was;
    largest = fmax (largest, fabs (want));
    /* an element at the end of its range is the one that scales it */
    if (fabs (want - (double) d[i]) > 2e-3 * fmax (fabs (want), 0.1))
      ck_assert_msg (abs (integer[i]) >= 7, "weight %d: %g, expected %g",
                     (int) i, (double) d[i], want);
  }
  ck_assert (largest > 1e-3);
  free (integer);
  qk_oscillation_free (o);
  qk_graph_free (g);
}
END_TEST

START_TEST (refused)
{
  const struct qk_oscillation_options damped = { .damping = 1 }, none = { 0 };
  struct qk_graph *g = prepared ("dorefa", true);
  struct qk_oscillation *o;

  ck_assert_int_eq (qk_oscillation_new (g, &damped, &o), -EINVAL);
  ck_assert_ptr_nonnull (
    strstr (qk_error_message (), "changes weights before rounding"));
  OK (qk_oscillation_new (g, &none, &o));
  ck_assert_ptr_null (o);
  qk_graph_free (g);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("oscillation");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_set_timeout (t, 120);
  tcase_add_loop_test (t, frequencies, 0, 2);
  tcase_add_test (t, freezing);
  tcase_add_test (t, threshold);
  tcase_add_test (t, damping);
  tcase_add_test (t, refused);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
