/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_network.c: whole networks against PyTorch; the golden values are made
 * by golden/mobilenet_forward.py, all numbers by a hash of their names.
 *
 * Tolerances.  MobileNetV2 is compared with PyTorch in float64, so that what
 * is measured is the error of float32 through 52 layers: PyTorch's own
 * float32 is off by 3e-6 (narrow) and 1.3e-5 (full width) of the largest
 * logit, 1e-7 in the loss, 1.7e-5 of an array's length in gradients and 1e-6
 * in statistics.  We sum in another order: measured here 4e-6, 1.7e-5, 1.4e-6,
 * 6e-5 and 1e-6, which depends on the library that multiplies matrices; the
 * tolerances are three to ten times that, 1e-3 being what a wrong factor or
 * a forgotten term would exceed.
 *
 * The quantized network is compared with PyTorch in float32.  Nothing but
 * the order of sums differs (measured: 3e-6 in the loss, 5e-7 in parameters
 * after three steps) until a number next to a rounding tie falls on the other
 * side; that moves a byte by one of 128 steps, and the loss by the order of
 * 1e-3.  Grids follow ranges and not single bytes, so they must agree closely
 * and zero points exactly. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden/network_golden.h"
#include "lib/network.h"
#include "lib/ok.h"
#include "quant/quantizer-priv.h"

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))

static struct qk_context *ctx;
static struct qk_exec_loss loss; /* softmax_cross_entropy */

static void
set_up (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  OK (network_loss (ctx, "softmax_cross_entropy", "", &loss));
}

static void
tear_down (void)
{
  network_loss_free (&loss);
  qk_context_free (ctx);
}

static int
threads (void)
{
  const char *t = getenv ("OMP_NUM_THREADS");

  return t != NULL && atoi (t) > 0 ? atoi (t) : 2;
}

static struct qk_exec *
executor (struct qk_graph *g, int64_t batch, bool train)
{
  const struct qk_exec_options opt = { .batch = batch,
                                       .threads = threads (),
                                       .train = train,
                                       .n_losses = 1,
                                       .loss = &loss };
  struct qk_exec *ex;

  OK (qk_exec_new (g, &opt, &ex));
  return ex;
}

static struct qk_graph *
mobilenet (const char *options, int side)
{
  struct qk_graph *g;

  OK (network_build (ctx, "mobilenet_v2", options, side, 10, &g));
  OK (network_fill (g));
  return g;
}

/* GOT and WANT agree to TOLERANCE of the largest number WANTed. */
static void
assert_close (const char *what, const float *got, const float *want, int n,
              double tolerance)
{
  double largest = 0, worst = 0;
  int at = 0;

  for (int i = 0; i < n; i++) {
    const double d = fabs ((double) got[i] - (double) want[i]);

    largest = fmax (largest, fabs ((double) want[i]));
    if (!(d <= worst)) {
      worst = d;
      at = i;
    }
  }
  if (getenv ("CHECK_NETWORK_SHOW") != NULL)
    fprintf (stderr, "%s: off by %.2g of the largest\n", what,
             worst / largest);
  ck_assert_msg (worst <= tolerance * largest,
                 "%s[%d] is %.9g, PyTorch has %.9g; tolerance %g", what, at,
                 (double) got[at], (double) want[at], tolerance * largest);
}

/* ---- digests ----------------------------------------*/

/* Where element I of PyTorch's tensor lies in ours. */
static int64_t
place (const struct qk_param *p, int64_t i)
{
  const int64_t *d = p->value.shape.dims;
  int64_t k, c, rs;

  if (p->spec.layout != QK_LAYOUT_OIHW)
    return i;
  rs = i % (d[1] * d[2]);
  c = i / (d[1] * d[2]) % d[3];
  k = i / (d[1] * d[2] * d[3]);
  return (k * d[1] * d[2] + rs) * d[3] + c;
}

/* How far X is from the digest. */
static double
digest_error (const struct golden_digest *d, const struct qk_param *p,
              const float *x, int64_t n)
{
  char name[160];
  float *probe = qk_alloc ((size_t) n * sizeof *probe);
  double norm = 0, sum = 0;

  ck_assert_ptr_nonnull (probe);
  snprintf (name, sizeof name, "%s/probe", d->name);
  network_between (name, n, -1.0f, 1.0f, probe);
  for (int64_t i = 0; i < n; i++) {
    const double v = (double) x[p != NULL ? place (p, i) : i];

    norm += v * v;
    sum += v * (double) probe[i];
  }
  qk_free (probe);
  return fmax (fabs (sqrt (norm) - (double) d->norm),
               fabs (sum - (double) d->probe));
}

/* All digests against the parameters (or their gradients) of G, to TOLERANCE
 * of each length.  Gradients that are 0 but for rounding (a shift in front of
 * a batch-norm) are held against the longest. */
static void
assert_digests (const char *what, const struct qk_graph *g, bool grad,
                const struct golden_digest *d, int n, double tolerance)
{
  double worst = 0, longest = 0;

  for (int i = 0; i < n; i++)
    longest = fmax (longest, (double) d[i].norm);
  for (int i = 0; i < n; i++) {
    const struct qk_param *p = qk_graph_find_param (g, d[i].name);
    double e;

    ck_assert_msg (p != NULL, "no parameter %s", d[i].name);
    e = digest_error (&d[i], p, grad ? p->grad.data : p->value.data,
                      qk_shape_count (&p->value.shape));
    e /= fmax ((double) d[i].norm, 1e-3 * longest);
    ck_assert_msg (e <= tolerance,
                   "%s of %s are off by %g of their length, "
                   "tolerance %g",
                   what, d[i].name, e, tolerance);
    worst = fmax (worst, e);
  }
  if (getenv ("CHECK_NETWORK_SHOW") != NULL)
    fprintf (stderr, "%s: off by %.2g of the length\n", what, worst);
}

/* ---- MobileNetV2, float ----------------------------------------*/

static void
check_logits (const char *options, int64_t n, int side, const float *want,
              double tolerance)
{
  struct qk_graph *g = mobilenet (options, side), *fused;
  float *x = network_samples (n, side);
  const float *y;
  struct qk_exec *ex = executor (g, n, false);

  OK (network_forward (ex, x, n, 0, &y));
  assert_close (options, y, want, (int) n * 10, tolerance);
  qk_exec_free (ex);
  /* and with batch-norm and clamp taken over by the convolutions */
  OK (qk_pass_fuse (g, &fused));
  ex = executor (fused, n, false);
  OK (network_forward (ex, x, n, 0, &y));
  assert_close (options, y, want, (int) n * 10, tolerance);
  qk_exec_free (ex);
  qk_graph_free (fused);
  qk_graph_free (g);
  qk_free (x);
}

START_TEST (logits_of_mobilenet)
{
  check_logits ("width=0.25 input=large", 4, 64, golden_narrow_logits, 3e-5);
  check_logits ("width=1.0 input=large", 2, 96, golden_full_logits, 1e-4);
}
END_TEST

static void
check_step (struct qk_graph *g)
{
  const int n = 8;
  float *x = network_samples (n, 64), mean;
  struct qk_exec *ex = executor (g, n, true);
  int32_t labels[8];
  const float *y;

  for (int i = 0; i < n; i++)
    labels[i] = i * 3 % 10;
  OK (network_forward (ex, x, n, QK_PASS_TRAIN | QK_PASS_BATCH_STATS, &y));
  OK (network_backward (ex, labels, &mean));
  assert_close ("loss", &mean, golden_narrow_loss, 1, 5e-6);
  assert_digests ("gradients", g, true, golden_narrow_grads,
                  COUNT (golden_narrow_grads), 2e-4);
  assert_digests ("statistics", g, false, golden_narrow_stats,
                  COUNT (golden_narrow_stats), 5e-6);
  qk_exec_free (ex);
  qk_free (x);
}

START_TEST (training_step_of_mobilenet)
{
  struct qk_graph *g = mobilenet ("width=0.25 input=large dropout=0", 64);
  struct qk_graph *fused;

  ck_assert_int_eq (g->n_params,
                    COUNT (golden_narrow_grads) + COUNT (golden_narrow_stats));
  OK (qk_pass_fuse (g, &fused));
  check_step (g);
  check_step (fused);
  qk_graph_free (fused);
  qk_graph_free (g);
}
END_TEST

/* ---- a small network with QAT ----------------------------------------*/

static int
conv_bn (struct qk_graph *g, int i, int in, int relu, const char *options)
{
  char name[16];
  int v;

  snprintf (name, sizeof name, "conv%d", i);
  v = qk_graph_node (g, name, "conv2d", &in, 1, "%s bias=no", options);
  snprintf (name, sizeof name, "bn%d", i);
  v = qk_graph_node (g, name, "batchnorm2d", &v, 1, "%s", "");
  snprintf (name, sizeof name, "relu%d", i);
  return relu ? qk_graph_node (g, name, "relu", &v, 1, "%s", "") : v;
}

/* The class Small of golden/mobilenet_forward.py. */
static struct qk_graph *
small_network (void)
{
  const struct qk_tensor_spec image = network_image (16);
  struct qk_graph *g;
  int v, both[2];

  OK (qk_graph_new (ctx, 1, &g));
  v = qk_graph_input (g, &image);
  v = conv_bn (g, 1, v, 1, "out=8 kernel=3 stride=2 padding=1");
  both[0] = v;
  v = conv_bn (g, 2, v, 1, "out=16 kernel=1");
  v = conv_bn (g, 3, v, 1, "out=16 kernel=3 padding=1 groups=16");
  both[1] = conv_bn (g, 4, v, 0, "out=8 kernel=1");
  v = qk_graph_node (g, "add", "add", both, 2, "%s", "");
  v = conv_bn (g, 5, v, 1, "out=12 kernel=3 stride=2 padding=1");
  v = qk_graph_node (g, "flatten", "flatten", &v, 1, "%s", "");
  v = qk_graph_node (g, "fc", "linear", &v, 1, "out=5");
  OK (qk_graph_output (g, "logits", v));
  OK (qk_graph_finish (g));
  OK (network_fill (g));
  return g;
}

/* Step STEP's grids: input, conv1 … conv4, add, conv5, fc. */
static void
assert_grids (const struct qk_graph *g, int step)
{
  static const char *const order[]
    = { NULL, "conv1", "conv2", "conv3", "conv4", "add", "conv5", "fc" };
  char what[64];

  for (int i = 0; i < COUNT (order); i++) {
    const int node = order[i] ? qk_graph_find_node (g, order[i]) : -1;
    const struct qk_quantizer *qz
      = g->value[order[i] ? g->node[node].out : 0].qz;
    const struct qk_qparams *q = qk_quantizer_qparams (qz);

    snprintf (what, sizeof what, "step %d: scale of %s", step,
              order[i] ? order[i] : "input");
    assert_close (what, &q->scale,
                  &golden_small_scales[step * COUNT (order) + i], 1, 1e-4);
    ck_assert_msg (q->zero_point
                     == golden_small_zeros[step * COUNT (order) + i],
                   "step %d: zero point of %s is %d, PyTorch has %d", step,
                   order[i] ? order[i] : "input", (int) q->zero_point,
                   golden_small_zeros[step * COUNT (order) + i]);
  }
}

static void
assert_weight_scales (const struct qk_graph *g)
{
  for (int i = 0; i < COUNT (golden_small_weight_scales); i++) {
    struct golden_digest d = golden_small_weight_scales[i];
    char name[32];
    float scale[16];
    int node, n;
    double e;

    snprintf (name, sizeof name, "%.*s", (int) strcspn (d.name, "."), d.name);
    node = qk_graph_find_node (g, name);
    n = (int) qk_quantizer_channels (g->node[node].weight_qz);
    ck_assert_int_le (n, COUNT (scale));
    for (int c = 0; c < n; c++)
      scale[c] = qk_quantizer_qparams (g->node[node].weight_qz)[c].scale;
    strcat (name, ".scales");
    d.name = name;
    e = digest_error (&d, NULL, scale, n) / (double) d.norm;
    ck_assert_msg (e <= 1e-4, "%s are off by %g", name, e);
  }
}

/* Logits lie on a grid: one step apart is next to a tie, more is wrong. */
static int
steps_apart (const float *got, const float *want, int n, float scale)
{
  int apart = 0;

  for (int i = 0; i < n; i++) {
    const double d
      = fabs ((double) got[i] - (double) want[i]) / (double) scale;

    ck_assert_msg (d < 1.5, "logit %d is %g, PyTorch has %g, %g steps away", i,
                   (double) got[i], (double) want[i], d);
    apart += d > 0.5;
  }
  return apart;
}

START_TEST (qat_steps_of_a_small_network)
{
  struct qk_graph *g = small_network (), *p;
  float *x = network_samples (8, 16), mean;
  struct qk_optimize *sgd;
  struct qk_exec *ex;
  int32_t labels[8];
  const float *y;
  int apart = 0;

  for (int i = 0; i < 8; i++)
    labels[i] = i * 3 % 5;
  OK (network_prepare (g, 7, &p));
  for (int i = 0; i < p->n_nodes; i++)
    ck_assert_msg (p->node[i].int8, "%s is not quantized", p->node[i].name);
  ex = executor (p, 8, true);
  OK (network_sgd (p, "lr=0.05 momentum=0.9", &sgd));
  qk_graph_set_observing (p, true, true);
  for (int step = 0; step < COUNT (golden_small_losses); step++) {
    OK (network_forward (ex, x, 8, QK_PASS_TRAIN | QK_PASS_BATCH_STATS, &y));
    assert_grids (p, step);
    apart += steps_apart (y, golden_small_logits + 40 * step, 40,
                          golden_small_scales[8 * step + 7]);
    OK (network_backward (ex, labels, &mean));
    assert_close ("loss", &mean, &golden_small_losses[step], 1, 2e-3);
    OK (qk_optimize_step (sgd, 3, 3));
  }
  if (getenv ("CHECK_NETWORK_SHOW") != NULL)
    fprintf (stderr, "%d of 120 logits a step away\n", apart);
  ck_assert_int_le (apart, 6);
  assert_digests ("parameters after three steps", p, false,
                  golden_small_params, COUNT (golden_small_params), 1e-3);
  assert_weight_scales (p);
  qk_optimize_free (sgd);
  qk_exec_free (ex);
  qk_graph_free (p);
  qk_graph_free (g);
  qk_free (x);
}
END_TEST

/* How many elements of P's gradient are other than 0. */
static int64_t
moving (const struct qk_param *p)
{
  const float *g = p->grad.data;
  int64_t n = 0;

  for (int64_t i = 0; i < qk_shape_count (&p->grad.shape); i++)
    n += g[i] != 0;
  return n;
}

/* All but the last layer frozen: no backward there, nor memory for it, and
 * nothing changes, statistics included. */
START_TEST (frozen_front)
{
  struct qk_graph *g = small_network (), *before;
  float *x = network_samples (8, 16), mean;
  const int own = g->n_params - 2;
  struct qk_optimize *sgd;
  struct qk_exec *ex = executor (g, 8, true);
  const size_t memory = qk_exec_memory (ex);
  int32_t labels[8];
  const float *y;

  for (int i = 0; i < 8; i++)
    labels[i] = i * 3 % 5;
  qk_exec_free (ex);
  OK (qk_graph_copy (g, &before));
  for (int i = 0; i < own; i++)
    g->param[i].frozen = true;
  ex = executor (g, 8, true);
  ck_assert_uint_lt (qk_exec_memory (ex), memory);
  OK (network_sgd (g, "lr=0.05 weight_decay=0.1", &sgd));
  ck_assert_int_eq (sgd->n, 2);
  OK (network_forward (ex, x, 8, QK_PASS_TRAIN | QK_PASS_BATCH_STATS, &y));
  OK (network_backward (ex, labels, &mean));
  for (int i = 0; i < g->n_params; i++)
    if (g->param[i].spec.flags & QK_PARAM_TRAINED)
      ck_assert_msg ((moving (&g->param[i]) > 0) == (i >= own),
                     "gradient of %s", g->param[i].name);
  OK (qk_optimize_step (sgd, 3, 3));
  for (int i = 0; i < g->n_params; i++) {
    const struct qk_tensor *t = &g->param[i].value;
    const size_t bytes = sizeof (float) * (size_t) qk_shape_count (&t->shape);

    ck_assert_msg ((memcmp (t->data, before->param[i].value.data, bytes) == 0)
                     == (i < own),
                   "%s", g->param[i].name);
  }
  qk_optimize_free (sgd);
  qk_exec_free (ex);
  qk_graph_free (before);
  qk_graph_free (g);
  qk_free (x);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("network");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_set_timeout (t, 300);
  tcase_add_test (t, logits_of_mobilenet);
  tcase_add_test (t, training_step_of_mobilenet);
  tcase_add_test (t, qat_steps_of_a_small_network);
  tcase_add_test (t, frozen_front);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
