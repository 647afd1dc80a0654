/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_reconstruct.c: block reconstruction: parts of networks, the gradient of a
 * block's error, the formulas of rounding and dropping, the method. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/calibrated.h"
#include "lib/ok.h"
#include "ptq/walk-priv.h"
#include "qdrop/qdrop.h"
#include "quant/quantizer-priv.h"
#include "softround/softround.h"

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))
#define SAMPLES (CALIBRATED_BATCH * CALIBRATED_BATCHES)
#define LOGITS (SAMPLES * 5)

static struct calibrated net;

static void
setup (void)
{
  calibrated_open (&net);
}

static void
teardown (void)
{
  calibrated_close (&net);
}

static double
squared_error (const float *a, const float *b)
{
  double sum = 0;

  for (int i = 0; i < LOGITS; i++)
    sum += ((double) a[i] - (double) b[i]) * ((double) a[i] - (double) b[i]);
  return sum;
}

/* Branches that are concatenated, a layer of groups, means in two places, and
 * dropout. */
static struct qk_graph *
branches (void)
{
  const struct qk_tensor_spec image = network_image (8);
  struct qk_graph *g;
  int v, both[2];

  OK (qk_graph_new (net.ctx, 1, &g));
  v = qk_graph_input (g, &image);
  v = qk_graph_node (g, "stem", "conv2d", &v, 1, "out=8 kernel=3 padding=1");
  v = qk_graph_node (g, "relu", "relu", &v, 1, "%s", "");
  both[0] = qk_graph_node (g, "groups", "conv2d", &v, 1,
                           "out=8 kernel=3 padding=1 groups=4");
  both[1] = qk_graph_node (g, "point", "conv2d", &v, 1, "out=4 kernel=1");
  v = qk_graph_node (g, "concat", "concat", both, 2, "%s", "");
  v = qk_graph_node (g, "pool", "avgpool2d", &v, 1, "kernel=2");
  v = qk_graph_node (g, "head", "conv2d", &v, 1, "out=12 kernel=3");
  v = qk_graph_node (g, "mean", "global_avgpool", &v, 1, "%s", "");
  v = qk_graph_node (g, "dropout", "dropout", &v, 1, "p=0.5");
  v = qk_graph_node (g, "flatten", "flatten", &v, 1, "%s", "");
  v = qk_graph_node (g, "fc", "linear", &v, 1, "out=5");
  OK (qk_graph_output (g, "logits", v));
  OK (qk_graph_finish (g));
  OK (network_fill (g));
  return g;
}

/* ---- parts of networks ------------------------------------------------------ */

/* The outputs that a walk has arrived at. */
static void
held_logits (const struct qk_ptq_walk *w, const struct qk_held *held,
             float *out)
{
  const struct qk_held *h = &held[net.p.real->output[0].value];

  for (int i = 0; i < SAMPLES; i++)
    qk_held_read (h, qk_held_sample (w, h, i), 5, out + 5 * i);
}

/* Block by block both networks give what they give as a whole, wherever the
 * blocks end. */
START_TEST (walk_is_the_network)
{
  const struct network_quant how = { .value_bits = 5, .weight_bits = 4 };
  static float whole[LOGITS], parts[LOGITS];
  struct qk_ptq_walk *w;
  double error;
  int n;

  if (_i >= 4)
    calibrated_take (&net, branches ());
  calibrated_begin (&net);
  calibrated_quantize (&net, &how);
  OK (qk_ptq_walk_new (&net.p, 1000, &w));
  ck_assert_int_eq (qk_ptq_walk_samples (w), SAMPLES);
  n = qk_ptq_count (&net.p);
  for (int last = 0; last < n;) {
    last = last + 1 + _i % 4 < n ? last + 1 + _i % 4 : n;
    OK (qk_ptq_walk_next (w, last));
    OK (qk_ptq_walk_run (w, &error));
    ck_assert_double_gt (error, 0);
  }
  calibrated_logits (&net, net.p.real, whole);
  held_logits (w, w->real, parts);
  ck_assert_mem_eq (whole, parts, sizeof whole);
  ck_assert_double_gt (squared_error (whole, parts) + error, 0);
  calibrated_logits (&net, net.p.quantized, whole);
  held_logits (w, w->quantized, parts);
  ck_assert_mem_eq (whole, parts, sizeof whole);
  /* the last block's error is that of the logits */
  calibrated_logits (&net, net.p.real, parts);
  ck_assert_double_eq_tol (error * SAMPLES, squared_error (whole, parts),
                           1e-6 * error * SAMPLES);
  qk_ptq_walk_free (w);
}
END_TEST

START_TEST (walk_goes_forward)
{
  const struct network_quant how = { .value_bits = 8 };
  struct qk_ptq_walk *w;
  double error;

  calibrated_begin (&net);
  ck_assert_int_eq (qk_ptq_walk_new (&net.p, 5, &w), -EINVAL);
  calibrated_quantize (&net, &how);
  OK (qk_ptq_walk_new (&net.p, 5, &w));
  ck_assert_int_eq (qk_ptq_walk_samples (w), 5);
  /* the residual branch: two values cross */
  ck_assert_int_eq (qk_ptq_walk_width (w, 0), 1);
  ck_assert_int_eq (qk_ptq_walk_width (w, calibrated_node (&net, "depthwise")),
                    2);
  ck_assert_int_eq (qk_ptq_walk_width (w, calibrated_node (&net, "add") + 1),
                    1);
  ck_assert_int_eq (qk_ptq_walk_width (w, qk_ptq_count (&net.p)), 0);
  OK (qk_ptq_walk_next (w, 2));
  ck_assert_int_eq (qk_ptq_walk_next (w, 3), -EINVAL); /* it has not run */
  OK (qk_ptq_walk_run (w, &error));
  ck_assert_int_eq (qk_ptq_walk_next (w, 2), -EINVAL);
  ck_assert_int_eq (qk_ptq_walk_next (w, 1000), -EINVAL);
  qk_ptq_walk_free (w);
}
END_TEST

/* ---- the gradient of a block's error ------------------------------------------ */

static int
keep_forward (void *cookie, const struct qk_ptq_grid_call *call,
              struct qk_rng *rng, float *y)
{
  (void) cookie;
  (void) rng;
  memcpy (y, call->x, call->n * sizeof *y);
  return 0;
}

static int
keep_backward (void *cookie, const struct qk_ptq_grid_call *call,
               const float *dy, float *dx, double *dstep)
{
  (void) cookie;
  (void) dstep;
  if (dx != dy)
    memcpy (dx, dy, call->n * sizeof *dx);
  return 0;
}

/* Times the step. */
static int
times_forward (void *cookie, const struct qk_ptq_grid_call *call,
               struct qk_rng *rng, float *y)
{
  (void) cookie;
  (void) rng;
  for (size_t i = 0; i < call->n; i++)
    y[i] = call->step * call->x[i];
  return 0;
}

static int
times_backward (void *cookie, const struct qk_ptq_grid_call *call,
                const float *dy, float *dx, double *dstep)
{
  (void) cookie;
  for (size_t i = 0; i < call->n; i++) {
    *dstep += (double) dy[i] * (double) call->x[i];
    dx[i] = call->step * dy[i];
  }
  return 0;
}

static int64_t all_samples[SAMPLES];

static double
error_at (struct qk_ptq_block *b, float *x, float value)
{
  const float was = *x;
  double error;

  *x = value;
  OK (qk_ptq_block_gradient (b, all_samples, SAMPLES, 7, &error));
  *x = was;
  return error;
}

/* The gradient by element I of X is that of the error. */
static void
check_gradient (struct qk_ptq_block *b, const struct qk_ptq_trained *x, int i,
                float h)
{
  const float at = x->value[i];
  const double up = error_at (b, &x->value[i], at + h);
  const double down = error_at (b, &x->value[i], at - h);
  const double numeric = (up - down) / (double) ((at + h) - (at - h));
  double error;

  OK (qk_ptq_block_gradient (b, all_samples, SAMPLES, 7, &error));
  ck_assert_double_eq_tol ((double) x->gradient[i], numeric,
                           0.02 * fabs (numeric) + 2e-4 * error);
}

/* At the block NAME, the whole of it, of a network on 6 bits. */
static struct qk_ptq_walk *
walk_to (const char *first, const char *last)
{
  struct qk_ptq_walk *w;
  double error;

  for (int i = 0; i < SAMPLES; i++)
    all_samples[i] = i;
  OK (qk_ptq_walk_new (&net.p, SAMPLES, &w));
  if (calibrated_node (&net, first) > 0) {
    OK (qk_ptq_walk_next (w, calibrated_node (&net, first)));
    OK (qk_ptq_walk_run (w, &error));
  }
  OK (qk_ptq_walk_next (w, calibrated_node (&net, last) + 1));
  OK (qk_ptq_walk_run (w, &error));
  return w;
}

START_TEST (gradient_of_weights)
{
  static const char *const names[2][4]
    = { { "expand", "depthwise", "project" },
        { "groups", "point", "head", "fc" } };
  const struct network_quant how = { .value_bits = 4, .weight_bits = 4 };
  const struct qk_ptq_block_options opt
    = { .batch = SAMPLES, .forward = keep_forward, .backward = keep_backward };
  struct qk_ptq_trained t;
  struct qk_ptq_block *b;
  struct qk_ptq_walk *w;

  if (_i == 1)
    calibrated_take (&net, branches ());
  calibrated_begin (&net);
  calibrated_quantize (&net, &how);
  w = _i == 0 ? walk_to ("expand", "add") : walk_to ("groups", "fc");
  OK (qk_ptq_block_new (w, &opt, &b));
  for (int k = 0; k < 4 && names[_i][k] != NULL; k++) {
    OK (qk_ptq_block_weight (b, calibrated_node (&net, names[_i][k]), &t));
    for (int i = 0; i < 5; i++)
      check_gradient (b, &t, (int) (t.n - 1) * i / 4, 0.001f);
  }
  ck_assert_int_eq (
    qk_ptq_block_weight (b, calibrated_node (&net, "stem"), &t), -EINVAL);
  qk_ptq_block_free (b);
  qk_ptq_walk_free (w);
}
END_TEST

/* By the steps, also where several values lie on one grid and where nothing that
 * learns comes before; the same for any number of threads. */
START_TEST (gradient_of_steps)
{
  const struct network_quant how = { .value_bits = 4, .weight_bits = 4 };
  const struct qk_ptq_block_options opt = { .batch = SAMPLES,
                                            .real = 0.5,
                                            .forward = times_forward,
                                            .backward = times_backward };
  struct qk_ptq_trained t;
  struct qk_ptq_block *b;
  struct qk_ptq_walk *w;
  const struct qk_qparams *q;
  float kept[2];
  double error;
  int owner, node;

  calibrated_take (&net, branches ());
  calibrated_begin (&net);
  calibrated_quantize (&net, &how);
  w = walk_to ("groups", "fc");
  OK (qk_ptq_block_new (w, &opt, &b));
  node = calibrated_node (&net, "pool");
  q = qk_ptq_grid (&net.p, node, &owner);
  ck_assert_int_eq (owner, calibrated_node (&net, "concat"));
  OK (qk_ptq_block_step (b, owner, &t));
  ck_assert_float_eq (*t.value, q->scale);
  ck_assert_int_eq (qk_ptq_block_step (b, node, &t), -EINVAL);
  *t.value = 0.9f;
  check_gradient (b, &t, 0, 0.001f);
  OK (qk_ptq_block_step (b, calibrated_node (&net, "point"), &t));
  *t.value = 1.1f;
  for (int k = 0; k < 2; k++) {
    net.p.threads = 1 + k;
    check_gradient (b, &t, 0, 0.001f);
    OK (qk_ptq_block_gradient (b, all_samples, SAMPLES, 7, &error));
    kept[k] = *t.gradient;
  }
  ck_assert_mem_eq (&kept[0], &kept[1], sizeof kept[0]);
  qk_ptq_block_free (b);
  qk_ptq_walk_free (w);
}
END_TEST

static int
put_forward (void *cookie, const struct qk_ptq_grid_call *call,
             struct qk_rng *rng, float *y)
{
  (void) cookie;
  qdrop_forward (call->grid, 0, call->x, call->n, rng, call->saved, y);
  return 0;
}

/* With everything on its grid the block's error is that of the quantized
 * network, but for sums in float and the bias, which has no grid. */
START_TEST (error_is_that_of_the_network)
{
  const struct network_quant how
    = { .value_bits = 5, .weight_bits = 5, .per_channel = true };
  const struct qk_ptq_block_options opt
    = { .batch = SAMPLES, .forward = put_forward, .backward = keep_backward };
  const char *const name[] = { "expand", "depthwise", "project" };
  struct qk_ptq_trained t;
  struct qk_ptq_block *b;
  struct qk_ptq_walk *w;
  double error, there;
  int8_t i8[16 * 9];

  calibrated_begin (&net);
  calibrated_quantize (&net, &how);
  w = walk_to ("expand", "add");
  OK (qk_ptq_walk_run (w, &there));
  OK (qk_ptq_block_new (w, &opt, &b));
  for (int k = 0; k < COUNT (name); k++) {
    const int node = calibrated_node (&net, name[k]);
    struct qk_quantizer *qz = qk_ptq_weight_quantizer (&net.p, node);

    OK (qk_ptq_block_weight (b, node, &t));
    ck_assert_int_le (t.n, COUNT (i8));
    OK (qk_quantizer_forward_i8 (qz, t.value, (size_t) t.n, i8));
    for (int i = 0; i < t.n; i++)
      t.value[i]
        = (float) i8[i]
          * qk_quantizer_qparams (qz)[i / (t.n / qk_quantizer_channels (qz))]
              .scale;
  }
  OK (qk_ptq_block_gradient (b, all_samples, SAMPLES, 0, &error));
  ck_assert_double_eq_tol (error, there, 0.03 * there);
  /* a sample twice counts twice */
  all_samples[1] = all_samples[0];
  OK (qk_ptq_block_gradient (b, all_samples, 1, 0, &there));
  OK (qk_ptq_block_gradient (b, all_samples, 2, 0, &error));
  ck_assert_double_eq_tol (error, there, 1e-6 * there);
  ck_assert_int_eq (qk_ptq_block_gradient (b, all_samples, 0, 0, &error),
                    -EINVAL);
  qk_ptq_block_free (b);
  qk_ptq_walk_free (w);
}
END_TEST

/* ---- formulas --------------------------------------------------------------------- */

/* w~ and the pull of softround.h, in double. */
static double
rounded (double v, double base, const struct softround_grid *g, double *pull,
         double beta)
{
  const double h = fmin (fmax (1.2 / (1.0 + exp (-v)) - 0.1, 0.0), 1.0);

  *pull = 1.0 - pow (fabs (2.0 * h - 1.0), beta);
  return (double) g->scale
         * fmin (fmax (base + h, (double) g->qmin), (double) g->qmax);
}

START_TEST (rounding_is_the_formula)
{
  const struct softround_grid g = { 0.25f, -8, 7 };
  const struct softround_step by = { 0.01f, 0.3f, 5.0f };
  float w[64], base[64], v[64], soft[64], q[64], grad[64], m1[64], m2[64];

  network_between ("w", COUNT (w), -2.3f, 2.3f, w);
  network_between ("grad", COUNT (w), -3.0f, 3.0f, grad);
  softround_start (w, COUNT (w), &g, base, v);
  softround_weights (base, v, COUNT (w), &g, soft);
  softround_nearest (w, COUNT (w), &g, q);
  for (int i = 0; i < COUNT (w); i++) {
    ck_assert_float_eq_tol (soft[i], fminf (fmaxf (w[i], -2.0f), 1.75f),
                            1e-5f);
    ck_assert_float_eq (q[i],
                        fminf (fmaxf (rintf (w[i] / 0.25f), -8.0f), 7.0f));
  }
  network_between ("v", COUNT (v), -3.0f, 3.0f, v);
  softround_weights (base, v, COUNT (w), &g, soft);
  softround_finish (base, v, COUNT (w), &g, q);
  memset (m1, 0, sizeof m1);
  memset (m2, 0, sizeof m2);
  for (int i = 0; i < COUNT (w); i++) {
    double pull;

    ck_assert_double_eq_tol (
      (double) soft[i],
      rounded ((double) v[i], (double) base[i], &g, &pull, 5), 1e-6);
    ck_assert_float_eq (
      q[i],
      fminf (fmaxf (base[i] + (v[i] >= 0.0f ? 1.0f : 0.0f), -8.0f), 7.0f));
  }
  memcpy (soft, v, sizeof v);
  softround_move (&by, COUNT (w), &g, base, grad, v, m1, m2);
  for (int i = 0; i < COUNT (w); i++) {
    const double at = (double) soft[i], h = 1e-5;
    double pull[2], to[2], slope;

    to[0] = rounded (at - h, (double) base[i], &g, &pull[0], 5);
    to[1] = rounded (at + h, (double) base[i], &g, &pull[1], 5);
    slope = ((double) grad[i] * (to[1] - to[0]) + 0.3 * (pull[1] - pull[0]))
            / (2 * h);
    /* the first moment is a tenth of the gradient, the first step the rate */
    ck_assert_double_eq_tol ((double) m1[i], 0.1 * slope, 1e-4);
    ck_assert_double_eq_tol ((double) m2[i], 0.001 * slope * slope, 1e-4);
    if (fabs (slope) > 1e-3)
      ck_assert_double_eq_tol (
        (double) v[i], at - copysign (0.01 * 0.1 / sqrt (0.001), slope), 1e-4);
  }
}
END_TEST

START_TEST (schedule_is_the_papers)
{
  struct softround_step s = softround_schedule (0, 100, 0.2, 0.5, 0.01);

  /* Adam's correction makes the first step RATE long */
  ck_assert_double_eq_tol ((double) s.rate * 0.1 / sqrt (0.001), 0.5, 1e-5);
  ck_assert_float_eq (s.strength, 0.0f);
  s = softround_schedule (19, 100, 0.2, 0.5, 0.01);
  ck_assert_float_eq (s.strength, 0.0f);
  s = softround_schedule (20, 100, 0.2, 0.5, 0.01);
  ck_assert_float_eq (s.strength, 0.01f);
  ck_assert_float_eq (s.beta, 20.0f);
  s = softround_schedule (60, 100, 0.2, 0.5, 0.01);
  ck_assert_float_eq_tol (s.beta, 11.0f, 1e-4f);
  s = softround_schedule (99, 100, 0.2, 0.5, 0.01);
  ck_assert_float_eq_tol (s.beta, 2.0f, 0.01f);
}
END_TEST

/* More elements than a sum's piece, and a rest. */
#define ELEMENTS (2 * 4096 + 13)

START_TEST (drop_is_the_formula)
{
  static float x[ELEMENTS], y[ELEMENTS], dy[ELEMENTS], dx[ELEMENTS];
  static uint8_t on[ELEMENTS];
  const struct qk_qparams q = { 0.2f, 5, 0, 15 };
  const uint32_t dropped = _i == 0 ? 0 : 128;
  double ds = 0, got;
  struct qk_rng rng;
  int put = 0;

  network_between ("x", ELEMENTS, -2.0f, 3.0f, x);
  network_between ("dy", ELEMENTS, -1.0f, 1.0f, dy);
  qk_rng_seed (&rng, 3, 4);
  qdrop_forward (&q, dropped, x, ELEMENTS, &rng, on, y);
  got = qdrop_backward (&q, x, on, dy, ELEMENTS, dx);
  for (int i = 0; i < ELEMENTS; i++) {
    const float v = x[i] * (1.0f / 0.2f), r = rintf (v);
    const bool inside = r >= -5.0f && r <= 10.0f;

    put += on[i];
    if (!on[i]) {
      HOLDS (y[i] == x[i] && dx[i] == dy[i], "element %d stays", i);
      continue;
    }
    HOLDS (y[i] == fminf (fmaxf (r, -5.0f), 10.0f) * 0.2f, "y %d", i);
    HOLDS (dx[i] == (inside ? dy[i] : 0.0f), "dx %d", i);
    ds += (double) dy[i]
          * (inside      ? (double) (r - v)
             : r < -5.0f ? -5.0
                         : 10.0);
  }
  ck_assert_double_eq_tol (got, ds, 1e-3);
  if (dropped == 0)
    ck_assert_int_eq (put, ELEMENTS);
  else /* within four standard deviations */
    ck_assert_int_le (abs (2 * put - ELEMENTS), 4 * 91);
  qdrop_backward (&q, x, on, dy, ELEMENTS, dy); /* in place */
  ck_assert_mem_eq (dx, dy, sizeof dx);
}
END_TEST

START_TEST (bytes_are_those_of_the_numbers)
{
  struct qk_rng a, b;
  uint8_t x[21];

  qk_rng_seed (&a, 1, 2);
  b = a;
  qk_rng_bytes (&a, x, sizeof x);
  for (size_t i = 0; i < sizeof x; i += 8) {
    const uint64_t n = qk_rng_u64 (&b);

    for (size_t k = 0; k < 8 && i + k < sizeof x; k++)
      ck_assert_uint_eq (x[i + k], n >> 8 * k & 255);
  }
  ck_assert_uint_eq (qk_rng_u64 (&a), qk_rng_u64 (&b));
}
END_TEST

/* ---- the method ------------------------------------------------------------------- */

#define FAST "iterations=120 batch=16 lr=0.02 step_lr=0.005"

/* The largest distance of a weight of NODE from the float network's, in steps;
 * every weight lies on its grid. */
static double
moved (int node)
{
  const struct qk_quantizer *qz = qk_ptq_weight_quantizer (&net.p, node);
  const struct qk_qparams *q = qk_quantizer_qparams (qz);
  float w[16 * 144], v[16 * 144], b[64];
  struct qk_ptq_node info;
  double most = 0;

  qk_ptq_node (&net.p, node, &info);
  ck_assert_int_le (info.channels * info.per_channel, COUNT (w));
  OK (qk_ptq_get_weight (&net.p, node, w, b));
  OK (qk_ptq_real_weight (&net.p, node, v, b));
  for (int i = 0; i < info.channels * info.per_channel; i++) {
    const float s
      = q[qk_quantizer_channels (qz) > 1 ? i / info.per_channel : 0].scale;

    HOLDS (fabsf (w[i] / s - rintf (w[i] / s)) < 1e-4f,
           "%s: weight %d is %g, its step %g", info.name, i, (double) w[i],
           (double) s);
    most = fmax (most, fabs ((double) (w[i] - v[i]) / (double) s));
  }
  return most;
}

/* Errors decrease, weights stay within a step of where they were, scales move,
 * and what comes out is an integer network: the same with any number of
 * threads. */
START_TEST (reconstruct_improves)
{
  static float real[LOGITS], y[3][LOGITS];
  const struct network_quant how
    = { .value_bits = 4, .weight_bits = 4, .per_channel = _i % 2 };
  struct qk_ptq_node info;
  float scale[2];
  int owner, add = -1;

  if (_i >= 2)
    calibrated_take (&net, branches ());
  calibrated_begin (&net);
  calibrated_logits (&net, net.p.real, real);
  add = calibrated_node (&net, _i >= 2 ? "concat" : "add");
  for (int k = 0; k < 2; k++) {
    net.p.threads = 1 + k;
    calibrated_quantize (&net, &how);
    scale[0] = qk_ptq_grid (&net.p, add, &owner)->scale;
    calibrated_logits (&net, net.p.quantized, y[0]);
    calibrated_method (&net, "reconstruct", FAST, true);
    calibrated_logits (&net, net.p.quantized, y[1 + k]);
    scale[1] = qk_ptq_grid (&net.p, add, &owner)->scale;
    ck_assert_float_ne (scale[0], scale[1]);
    calibrated_convert (&net);
    if (k == 0)
      calibrated_forget (&net);
  }
  ck_assert_mem_eq (y[1], y[2], sizeof y[1]);
  ck_assert_msg (squared_error (y[1], real) < 0.7 * squared_error (y[0], real),
                 "squared error %g, was %g", squared_error (y[1], real),
                 squared_error (y[0], real));
  for (int i = 0; i < qk_ptq_count (&net.p); i++) {
    qk_ptq_node (&net.p, i, &info);
    if (info.channels > 0)
      ck_assert_double_lt (moved (i), 1.001);
  }
}
END_TEST

/* With one block the error of the outputs, which is the block's, only goes
 * down; where training makes it worse all stays as it was. */
START_TEST (reconstruct_keeps_the_better)
{
  static float real[LOGITS], y[2][LOGITS];
  const struct network_quant how = { .value_bits = 4, .weight_bits = 4 };

  calibrated_begin (&net);
  calibrated_logits (&net, net.p.real, real);
  calibrated_quantize (&net, &how);
  calibrated_logits (&net, net.p.quantized, y[0]);
  /* steps so long that nothing useful can come out */
  calibrated_method (&net, "reconstruct",
                     "iterations=3 batch=4 join=100 lr=10 step_lr=10", true);
  calibrated_logits (&net, net.p.quantized, y[1]);
  ck_assert_mem_eq (y[0], y[1], sizeof y[0]);
  calibrated_method (&net, "reconstruct", FAST " join=100", true);
  calibrated_logits (&net, net.p.quantized, y[1]);
  ck_assert_double_lt (squared_error (y[1], real), squared_error (y[0], real));
  calibrated_convert (&net);
}
END_TEST

/* The layers that the log says are left alone. */
struct left {
  int n;
  char name[8][32];
};

static void
note_left (void *cookie, enum qk_log_level level, const char *text)
{
  struct left *l = cookie;

  (void) level;
  if (strstr (text, "left alone") == NULL)
    return;
  ck_assert_int_lt (l->n, COUNT (l->name));
  ck_assert_int_eq (
    sscanf (text, "reconstruct: the weights of '%31[^']'", l->name[l->n++]),
    1);
}

/* A fake-quantizer that reshapes weights keeps those for which that matters. */
START_TEST (reconstruct_leaves_alone)
{
  static float before[16][1024];
  const struct network_quant how
    = { .value_bits = 4, .weight_bits = 8, .weight_fakequant = "dorefa" };
  float after[1024], b[16];
  struct left left = { 0 };
  struct qk_ptq_node info;

  calibrated_begin (&net);
  calibrated_quantize (&net, &how);
  ck_assert_int_le (qk_ptq_count (&net.p), COUNT (before));
  for (int i = 0; i < qk_ptq_count (&net.p); i++) {
    qk_ptq_node (&net.p, i, &info);
    ck_assert_int_le (info.channels * info.per_channel, COUNT (after));
    if (info.channels > 0)
      OK (qk_ptq_get_weight (&net.p, i, before[i], b));
  }
  qk_context_set_log (net.ctx, note_left, &left, QK_LOG_INFO);
  calibrated_method (&net, "reconstruct", FAST, true);
  qk_context_set_log (net.ctx, NULL, NULL, QK_LOG_INFO);
  ck_assert_int_gt (left.n, 0);
  for (int i = 0; i < left.n; i++) {
    const int node = calibrated_node (&net, left.name[i]);

    qk_ptq_node (&net.p, node, &info);
    OK (qk_ptq_get_weight (&net.p, node, after, b));
    ck_assert_mem_eq (before[node], after,
                      sizeof *after
                        * (size_t) (info.channels * info.per_channel));
  }
  calibrated_convert (&net);
}
END_TEST

/* Weights or values alone. */
START_TEST (reconstruct_one_of_both)
{
  static float real[LOGITS], y[2][LOGITS];
  const struct network_quant how
    = { .mode = QK_Q_WEIGHTS, .weight_bits = 3, .per_channel = true };

  calibrated_begin (&net);
  calibrated_logits (&net, net.p.real, real);
  calibrated_quantize (&net, &how);
  calibrated_logits (&net, net.p.quantized, y[0]);
  calibrated_method (&net, "reconstruct", FAST, true);
  calibrated_logits (&net, net.p.quantized, y[1]);
  ck_assert_double_lt (squared_error (y[1], real),
                       0.9 * squared_error (y[0], real));
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("reconstruct");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_set_timeout (t, 300);
  tcase_add_loop_test (t, walk_is_the_network, 0, 8);
  tcase_add_test (t, walk_goes_forward);
  tcase_add_loop_test (t, gradient_of_weights, 0, 2);
  tcase_add_test (t, gradient_of_steps);
  tcase_add_test (t, error_is_that_of_the_network);
  tcase_add_test (t, rounding_is_the_formula);
  tcase_add_test (t, schedule_is_the_papers);
  tcase_add_loop_test (t, drop_is_the_formula, 0, 2);
  tcase_add_test (t, bytes_are_those_of_the_numbers);
  tcase_add_loop_test (t, reconstruct_improves, 0, 4);
  tcase_add_test (t, reconstruct_keeps_the_better);
  tcase_add_test (t, reconstruct_leaves_alone);
  tcase_add_test (t, reconstruct_one_of_both);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
