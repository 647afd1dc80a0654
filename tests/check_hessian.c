/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_hessian.c: the estimate of traces against Hessians that are known. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/hessian.h"
#include "lib/network.h"
#include "lib/ok.h"

#define SAMPLES 6
#define IN 5
#define OUT 3

static struct qk_context *ctx;
static float x[SAMPLES * IN];

static void
setup (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  network_between ("x", SAMPLES * IN, -1, 2, x);
}

static void
teardown (void)
{
  qk_context_free (ctx);
}

/* Linear layers one after the other, so that the loss is a polynomial in their
 * weights; of the squared differences it is quadratic in those of each one. */
static struct qk_graph *
network (int layers)
{
  const struct qk_tensor_spec in
    = { .name = "in", .dtype = QK_F32, .shape = { 2, { 1, IN } } };
  struct qk_graph *g;
  char name[16];
  int v;

  OK (qk_graph_new (ctx, 1, &g));
  v = qk_graph_input (g, &in);
  for (int i = 0; i < layers; i++) {
    snprintf (name, sizeof name, "l%d", i);
    v = qk_graph_node (g, name, "linear", &v, 1, "out=%d",
                       i == layers - 1 ? OUT : 4);
  }
  OK (qk_graph_output (g, "out", v));
  OK (qk_graph_finish (g));
  OK (network_fill (g));
  return g;
}

struct trainer {
  struct qk_exec *ex;
  struct qk_tensor ref;
  double loss;
};

static int
gradients (void *cookie)
{
  struct trainer *t = cookie;
  const void *const input[] = { x };

  OK (qk_exec_forward (t->ex, input, SAMPLES, QK_PASS_TRAIN));
  return qk_exec_backward (t->ex, &t->ref, &t->loss);
}

/* The trace by the weights of layer L, from second differences of the loss. */
static double
by_differences (struct qk_graph *g, struct trainer *t, int l)
{
  struct qk_param *p = &g->param[g->node[l].param[0]];
  const int64_t n = qk_shape_count (&p->value.shape);
  const double h = 0.125; /* exact, where the loss is quadratic */
  float *w = p->value.data;
  double middle, sum = 0;

  OK (gradients (t));
  middle = t->loss;
  for (int64_t i = 0; i < n; i++) {
    const float was = w[i];
    double up;

    w[i] = was + (float) h;
    OK (gradients (t));
    up = t->loss;
    w[i] = was - (float) h;
    OK (gradients (t));
    sum += (up - 2 * middle + t->loss) / (h * h);
    w[i] = was;
  }
  return sum;
}

START_TEST (test_traces)
{
  const int layers = 1 + _i;
  static const int first[] = { 0 };
  struct qk_graph *g = network (layers);
  struct qk_exec_loss loss;
  const struct qk_exec_options opt = {
    .batch = SAMPLES, .threads = 1, .train = true, .n_losses = 1, .loss = &loss
  };
  float target[SAMPLES * OUT], was[IN * 4];
  struct trainer t = { .ref = { .dtype = QK_F32,
                                .shape = { 2, { SAMPLES, OUT } },
                                .data = target } };
  const struct qk_hessian h = {
    .g = g, .probes = 4000, .seed = 7, .gradients = gradients, .cookie = &t
  };
  double mean[8];

  network_between ("target", SAMPLES * OUT, -1, 1, target);
  OK (network_loss (ctx, "mse", "", &loss));
  loss.out = loss.ref = first;
  OK (qk_exec_new (g, &opt, &t.ex));
  memcpy (was, g->param[0].value.data, IN * OUT * sizeof *was);
  OK (qk_hessian_traces (&h, mean));
  ck_assert_mem_eq (was, g->param[0].value.data, IN * OUT * sizeof *was);
  for (int l = 0; l < layers; l++) {
    const struct qk_param *p = &g->param[g->node[l].param[0]];
    const double n = (double) qk_shape_count (&p->value.shape);
    const double want = by_differences (g, &t, l);

    ck_assert_double_gt (want, 0);
    ck_assert_msg (fabs (mean[l] * n - want) <= 0.06 * want,
                   "layer %d of %d: trace %g, expected %g", l, layers,
                   mean[l] * n, want);
  }
  if (layers == 1) { /* 2 / N times the sum of squares of the inputs */
    double want = 0;

    for (int i = 0; i < SAMPLES * IN; i++)
      want += 2.0 / SAMPLES * (double) x[i] * (double) x[i];
    ck_assert_double_eq_tol (by_differences (g, &t, 0), want, 1e-4 * want);
  }
  qk_exec_free (t.ex);
  network_loss_free (&loss);
  qk_graph_free (g);
}
END_TEST

static int
refuse (void *cookie)
{
  (void) cookie;
  return qk_error (-EIO, "no gradients");
}

/* Weights come back, whatever happens. */
START_TEST (test_failure)
{
  struct qk_graph *g = network (1);
  const struct qk_hessian h
    = { .g = g, .probes = 3, .seed = 1, .gradients = refuse };
  float was[IN * OUT];
  double mean[8];

  memcpy (was, g->param[0].value.data, sizeof was);
  ck_assert_int_eq (qk_hessian_traces (&h, mean), -EIO);
  ck_assert_mem_eq (was, g->param[0].value.data, sizeof was);
  qk_graph_free (g);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("hessian");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_set_timeout (t, 120);
  tcase_add_loop_test (t, test_traces, 0, 3);
  tcase_add_test (t, test_failure);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
