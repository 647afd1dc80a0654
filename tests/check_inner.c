/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_inner.c: values of inner nodes as outputs of executors: the numbers, in
 * float, on grids and in int8, and gradients that begin there. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "lib/network.h"
#include "lib/ok.h"
#include "quant/quantizer-priv.h"

#define SAMPLES 12
#define INNER 3
#define LOGITS 5

/* One that two others read, one that an addition alone does, which int8 kernels
 * compute in the same call, and one that nobody rounds by itself. */
static const char *const inner[INNER] = { "stem", "project", "flatten" };

static struct qk_context *ctx;
static struct qk_graph *g; /* fused */
static float *x;

static void
setup (void)
{
  struct qk_graph *plain;

  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  OK (network_small (ctx, &plain));
  OK (qk_pass_fuse (plain, &g));
  qk_graph_free (plain);
  x = network_samples (SAMPLES, 8);
  ck_assert_ptr_nonnull (x);
}

static void
teardown (void)
{
  qk_free (x);
  qk_graph_free (g);
  qk_context_free (ctx);
}

/* A prepared network that has seen the samples. */
static struct qk_graph *
prepared (void)
{
  const struct network_quant how = { .value_fakequant = "lsq",
                                     .weight_fakequant = "lsq",
                                     .value_bits = 6,
                                     .weight_bits = 5,
                                     .per_channel = true };
  const struct qk_exec_options opt = { .batch = SAMPLES, .threads = 2 };
  struct qk_graph *p;
  struct qk_exec *ex;
  const float *y;

  OK (network_prepare_as (g, &how, &p));
  OK (qk_exec_new (p, &opt, &ex));
  qk_graph_set_observing (p, true, true);
  OK (network_forward (ex, x, SAMPLES, 0, &y));
  qk_graph_set_observing (p, false, false);
  qk_exec_free (ex);
  return p;
}

static int
value_of (const struct qk_graph *of, const char *node)
{
  return of->node[qk_graph_find_node (of, node)].out;
}

/* ---- numbers ---------------------------------------------------------------*/

/* Output I of EX is value V of KEPT, dequantized where it is on a grid. */
static void
same_numbers (const struct qk_exec *ex, int i, const struct qk_exec *kept,
              int v)
{
  const struct qk_tensor *a = qk_exec_output (ex, i);
  const struct qk_tensor *b = qk_exec_value (kept, v);
  const float *got = a->data;

  ck_assert_int_eq (a->dtype, QK_F32);
  ck_assert (qk_shape_equal (&a->shape, &b->shape));
  for (int64_t k = 0; k < qk_shape_count (&a->shape); k++) {
    const float want = b->dtype == QK_F32
                         ? ((const float *) b->data)[k]
                         : qk_dequantize (((const uint8_t *) b->data)[k],
                                          b->q.scale, b->q.zero_point);

    ck_assert_mem_eq (&got[k], &want, sizeof want);
  }
}

static void
compare (struct qk_graph *net)
{
  const struct qk_exec_options opt
    = { .batch = SAMPLES, .threads = 2, .n_inner = INNER, .inner = inner };
  const struct qk_exec_options all
    = { .batch = SAMPLES, .threads = 1, .keep_values = true };
  struct qk_exec *ex, *kept;
  const float *y;

  OK (qk_exec_new (net, &opt, &ex));
  OK (qk_exec_new (net, &all, &kept));
  for (int n = SAMPLES; n > 0; n -= 7) {
    OK (network_forward (ex, x, n, 0, &y));
    OK (network_forward (kept, x, n, 0, &y));
    same_numbers (ex, 0, kept, net->output[0].value);
    for (int i = 0; i < INNER; i++)
      same_numbers (ex, 1 + i, kept, value_of (net, inner[i]));
  }
  qk_exec_free (ex);
  qk_exec_free (kept);
}

START_TEST (test_numbers)
{
  struct qk_graph *p = prepared (), *int8;

  OK (qk_pass_convert (p, &int8));
  compare (g);
  compare (p);
  compare (int8);
  qk_graph_free (int8);
  qk_graph_free (p);
}
END_TEST

START_TEST (test_unknown)
{
  static const char *const none[] = { "stems" };
  const struct qk_exec_options opt
    = { .batch = 1, .threads = 1, .n_inner = 1, .inner = none };
  struct qk_exec *ex;

  ck_assert_int_eq (qk_exec_new (g, &opt, &ex), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "'stems'"));
}
END_TEST

/* ---- gradients -------------------------------------------------------------*/

/* Losses on the logits and on the inner values, on one of them twice; REF are
 * those of a teacher. */
static void
losses (struct qk_exec_loss *l, bool inner_alone)
{
  static const int out[][INNER] = { { 0 }, { 1, 2 }, { 2, 3, 1 }, { 1 } };
  static const int n[] = { 1, 2, 3, 1 };
  static const char *const measure[]
    = { "measure=mse", "measure=relative_mse", "measure=cosine",
        "measure=attention" };

  for (int i = 0; i < 4; i++) {
    OK (network_loss (ctx, "distillation", measure[i], &l[i]));
    l[i].weight = inner_alone && i == 0 ? 0 : 1 + i;
    l[i].n_out = l[i].n_ref = n[i];
    l[i].out = l[i].ref = out[i];
  }
}

/* What a network with other weights gives: the references. */
struct teacher {
  struct qk_exec *ex;
  struct qk_graph *g;
  struct qk_tensor ref[1 + INNER];
};

static void
open_teacher (struct teacher *t)
{
  const struct qk_exec_options opt
    = { .batch = SAMPLES, .threads = 1, .n_inner = INNER, .inner = inner };
  const float *y;

  OK (qk_graph_copy (g, &t->g));
  for (int i = 0; i < t->g->n_params; i++) {
    float *w = t->g->param[i].value.data;

    for (int64_t k = 0; k < qk_shape_count (&t->g->param[i].value.shape); k++)
      w[k] *= 0.9f + 0.02f * (float) (k % 11);
  }
  OK (qk_exec_new (t->g, &opt, &t->ex));
  OK (network_forward (t->ex, x, SAMPLES, 0, &y));
  for (int i = 0; i <= INNER; i++)
    t->ref[i] = *qk_exec_output (t->ex, i);
}

static void
close_teacher (struct teacher *t)
{
  qk_exec_free (t->ex);
  qk_graph_free (t->g);
}

/* The loss of NET, whose gradients are those of it alone. */
static double
train (struct qk_graph *net, const struct qk_exec_options *opt,
       const struct teacher *t)
{
  struct qk_exec *ex;
  const float *y;
  double loss;

  OK (qk_exec_new (net, opt, &ex));
  OK (network_forward (ex, x, SAMPLES, QK_PASS_TRAIN, &y));
  OK (qk_exec_backward (ex, t->ref, &loss));
  qk_exec_free (ex);
  return loss;
}

/* The same bits as where these values are declared outputs of the graph, which is
 * tested elsewhere; also of what quantizers learn. */
START_TEST (test_as_outputs)
{
  struct qk_exec_loss l[4];
  struct qk_exec_options opt = {
    .batch = SAMPLES, .threads = 2, .train = true, .n_losses = 4, .loss = l
  };
  struct qk_graph *a, *b;
  struct qk_quantizer_param pa[QK_FQ_MAX_PARAMS], pb[QK_FQ_MAX_PARAMS];
  struct qk_quantizer *qa, *qb;
  struct teacher t;
  int at_a = 0, at_b = 0, learned = 0;

  open_teacher (&t);
  losses (l, false);
  if (_i) {
    a = prepared ();
    b = prepared ();
  } else {
    OK (qk_graph_copy (g, &a));
    OK (qk_graph_copy (g, &b));
  }
  for (int i = 0; i < INNER; i++)
    OK (qk_graph_add_output (b, inner[i], value_of (b, inner[i])));
  ck_assert (train (b, &opt, &t) > 0);
  opt.n_inner = INNER;
  opt.inner = inner;
  ck_assert (train (a, &opt, &t) > 0);
  for (int i = 0; i < a->n_params; i++)
    if (a->param[i].spec.flags & QK_PARAM_TRAINED)
      ck_assert_mem_eq (
        a->param[i].grad.data, b->param[i].grad.data,
        sizeof (float) * (size_t) qk_shape_count (&a->param[i].value.shape));
  while ((qa = qk_graph_next_quantizer (a, &at_a)) != NULL
         && (qb = qk_graph_next_quantizer (b, &at_b)) != NULL)
    for (int i = 0; i < qk_quantizer_params (qa, pa); i++, learned++) {
      qk_quantizer_params (qb, pb);
      ck_assert_mem_eq (pa[i].grad, pb[i].grad, pa[i].count * sizeof (float));
    }
  ck_assert_int_ge (learned, _i ? 8 : 0);
  for (int i = 0; i < 4; i++)
    network_loss_free (&l[i]);
  qk_graph_free (a);
  qk_graph_free (b);
  close_teacher (&t);
}
END_TEST

/* Against differences of the loss along the gradient of each weight, which only
 * losses on inner values make. */
START_TEST (test_differences)
{
  struct qk_exec_loss l[4];
  const struct qk_exec_options opt = { .batch = SAMPLES,
                                       .threads = 1,
                                       .train = true,
                                       .n_losses = 4,
                                       .loss = l,
                                       .n_inner = INNER,
                                       .inner = inner };
  struct teacher t;
  int reached = 0;

  open_teacher (&t);
  losses (l, true);
  train (g, &opt, &t);
  for (int i = 0; i < g->n_params; i++) {
    const struct qk_param *p = &g->param[i];
    const size_t n = (size_t) qk_shape_count (&p->value.shape);
    float *w = p->value.data, *was, *d;
    double length = 0, up, down;
    float step;

    if (!(p->spec.flags & QK_PARAM_TRAINED))
      continue;
    was = malloc (2 * n * sizeof *was);
    ck_assert_ptr_nonnull (was);
    d = was + n;
    OK (qk_graph_zero_grad (g));
    train (g, &opt, &t);
    memcpy (was, w, n * sizeof *w);
    memcpy (d, p->grad.data, n * sizeof *d);
    for (size_t k = 0; k < n; k++)
      length += (double) d[k] * (double) d[k];
    length = sqrt (length);
    step = length > 0 ? (float) (2e-3 / length) : 0;
    for (size_t k = 0; k < n; k++)
      w[k] = was[k] + step * d[k];
    up = train (g, &opt, &t);
    for (size_t k = 0; k < n; k++)
      w[k] = was[k] - step * d[k];
    down = train (g, &opt, &t);
    memcpy (w, was, n * sizeof *w);
    reached += length > 0;
    ck_assert_msg (fabs ((up - down) / 4e-3 - length) <= 0.02 * length,
                   "%s: %g along the gradient, expected %g", p->name,
                   (up - down) / 4e-3, length);
    free (was);
  }
  ck_assert_int_ge (reached, 12); /* all but the last layer's */
  for (int i = 0; i < 4; i++)
    network_loss_free (&l[i]);
  close_teacher (&t);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("inner");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_set_timeout (t, 120);
  tcase_add_test (t, test_numbers);
  tcase_add_test (t, test_unknown);
  tcase_add_loop_test (t, test_as_outputs, 0, 2);
  tcase_add_test (t, test_differences);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
