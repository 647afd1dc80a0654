/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_sequential_mse.c: ranges of weights by the error of a layer's outputs,
 * against the same search written out. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "lib/calibrated.h"
#include "lib/ok.h"
#include "ptqlayer/ptqlayer.h"

#define OUTPUTS (CALIBRATED_BATCHES * CALIBRATED_BATCH * 5)
#define STEPS 20
#define SAMPLES 96

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

/* The squared errors of the outputs of channel C with scale S, summed in
 * double. */
static double
error_of (const struct ptqlayer *l, int64_t c, float s)
{
  const int64_t group = c / (l->channels / l->groups);
  double sum = 0;

  for (int64_t i = 0; i < l->n; i++) {
    const float *x = l->x + (i * l->groups + group) * l->depth;
    double y = (double) l->bias[c];

    for (int64_t j = 0; j < l->depth; j++) {
      const float q = rintf (l->w[c * l->depth + j] * (1.0f / s));

      y += (double) (fminf (fmaxf (q, l->qmin), l->qmax) * s) * (double) x[j];
    }
    y = fmin (fmax (y, (double) l->lo), (double) l->hi);
    y -= (double) l->target[i * l->channels + c];
    sum += y * y;
  }
  return sum;
}

/* Channels FROM to TO - 1, which share a scale, have the best one. */
static void
check_scale (const struct ptqlayer *l, int64_t from, int64_t to)
{
  float min, max;
  double least = INFINITY, chosen = 0;
  bool tried = false;

  qk_range_find (l->w + from * l->depth, (size_t) ((to - from) * l->depth),
                 &min, &max);
  for (int i = STEPS; i > 0; i--) {
    struct qk_qparams q
      = { .qmin = (int32_t) l->qmin, .qmax = (int32_t) l->qmax };
    const double g = (double) i / STEPS;
    double error = 0;

    OK (qk_calculate_qparams ((float) (g * (double) min),
                              (float) (g * (double) max), true, &q));
    for (int64_t c = from; c < to; c++)
      error += error_of (l, c, q.scale);
    least = error < least ? error : least;
    tried = tried || q.scale == l->scale[from];
  }
  for (int64_t c = from; c < to; c++)
    chosen += error_of (l, c, l->scale[c]);
  ck_assert (tried);
  ck_assert_msg (chosen <= least * 1.0001, "error %g, the least is %g", chosen,
                 least);
}

static void
quantize (int bits, bool per_channel)
{
  const struct network_quant how
    = { .weight_bits = bits, .per_channel = per_channel };
  char options[80];

  calibrated_quantize (&net, &how);
  snprintf (options, sizeof options, "steps=%d samples=%d batches=%d", STEPS,
            SAMPLES, CALIBRATED_BATCHES);
  calibrated_method (&net, "sequential_mse", options, true);
}

/* Layers of one group and of many, the last one among them, whose inputs come
 * from layers that have their grids. */
START_TEST (best_of_the_ranges)
{
  static const char *const name[] = { "depthwise", "fc" };

  calibrated_begin (&net);
  quantize (3, _i);
  for (int i = 0; i < 2; i++) {
    struct ptqlayer l;

    OK (ptqlayer_open (&net.p, calibrated_node (&net, name[i]), SAMPLES,
                       CALIBRATED_BATCHES, &l));
    ck_assert_int_eq (l.n, SAMPLES);
    for (int64_t c = 0; _i && c < l.channels; c++)
      check_scale (&l, c, c + 1);
    if (!_i)
      check_scale (&l, 0, l.channels);
    ptqlayer_close (&l);
  }
  calibrated_convert (&net);
}
END_TEST

static double
squared_error (const float *a, const float *b)
{
  double sum = 0;

  for (int i = 0; i < OUTPUTS; i++)
    sum += ((double) a[i] - (double) b[i]) * ((double) a[i] - (double) b[i]);
  return sum;
}

START_TEST (network_is_nearer)
{
  static float real[OUTPUTS], y[3][OUTPUTS];
  const struct network_quant how = { .weight_bits = 3, .per_channel = true };

  calibrated_begin (&net);
  calibrated_logits (&net, net.p.real, real);
  calibrated_quantize (&net, &how);
  calibrated_logits (&net, net.p.quantized, y[0]);
  for (int k = 1; k < 3; k++) {
    calibrated_forget (&net);
    quantize (3, true);
    calibrated_logits (&net, net.p.quantized, y[k]);
  }
  ck_assert_mem_eq (y[1], y[2], sizeof y[1]); /* repeats */
  ck_assert_double_lt (squared_error (y[1], real),
                       0.8 * squared_error (y[0], real));
}
END_TEST

/* Nothing is set before there are grids, nor where the network's file says
 * them. */
START_TEST (grids_that_stay)
{
  const struct network_quant how = { .weight_bits = 8 };
  const struct qk_qparams q = { 0.5f, 0, -128, 127 };
  const struct qk_node *n;
  struct qk_quantizer *qz;
  struct qk_param *w;
  int fc;

  calibrated_begin (&net);
  fc = calibrated_node (&net, "fc");
  ck_assert_int_eq (qk_ptq_set_weight_grid (&net.p, fc, &q), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "'fc'"));
  calibrated_quantize (&net, &how);
  fc = calibrated_node (&net, "fc");
  n = &net.p.quantized->node[fc];
  w = &net.p.quantized->param[n->param[0]];
  qz = qk_ptq_weight_quantizer (&net.p, fc);
  ck_assert (w->spec.flags & QK_PARAM_WEIGHT);
  w->n_scales = 1;
  ck_assert (qk_ptq_weight_grid_stays (&net.p, fc));
  ck_assert_int_eq (qk_ptq_set_weight_grid (&net.p, fc, &q), -EINVAL);
  w->n_scales = 0;
  ck_assert (!qk_ptq_weight_grid_stays (&net.p, fc));
  ck_assert_float_ne (qk_quantizer_qparams (qz)->scale, 0.5f);
  OK (qk_ptq_set_weight_grid (&net.p, fc, &q));
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, 0.5f);
  ck_assert_int_eq (qk_ptq_set_weight_grid (&net.p, -1, &q), -EINVAL);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("sequential_mse");
  TCase *t = tcase_create ("sequential_mse");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_loop_test (t, best_of_the_ranges, 0, 2);
  tcase_add_test (t, network_is_nearer);
  tcase_add_test (t, grids_that_stay);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
