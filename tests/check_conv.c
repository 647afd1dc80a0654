/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_conv.c: conv2d and linear give the bytes of the int8 network, and
 * what else is not a gradient. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conv-rig.h"
#include "lib/effort.h"
#include "lib/ok.h"
#include "quant/quantizer-priv.h"

static void
assert_int8_bytes (struct rig *b, const char *what)
{
  struct qk_op op = rig_lowered (b);
  int64_t distinct[256] = { 0 }, used = 0;

  for (int64_t i = 0; i < qk_shape_count (&b->out_shape); i++) {
    const int32_t want = qk_requantize_wide (
      rig_naive_sum (b, &op, i), op.multiplier[i % op.out_channels],
      op.out_q.zero_point, op.lo, op.hi);
    const float real
      = qk_dequantize (want, b->out.q.scale, b->out.q.zero_point);
    const float got = rig_out_real (b, i);

    HOLDS (real == got, "%s: element %lld: expected %.9g, got %.9g", what,
           (long long) i, (double) real, (double) got);
    used += distinct[want & 255]++ == 0;
  }
  ck_assert_msg (used > 3, "%s: only %d different bytes: proves nothing", what,
                 (int) used);
  rig_op_free (&op);
}

/* Logits: the output stays float. */
START_TEST (floats_of_int8)
{
  const struct rig_given *g = &rig_givens[_i];
  struct rig b;
  struct qk_op op;

  for (int how = 0; how < 4; how++) {
    const bool train = how & 1;

    rig_open (&b, g, FLOAT_OUT | (how & 2 ? IN16 : 0), 2, train, true, 9);
    rig_observing (&b, true, true);
    rig_forward (&b, train ? QK_PASS_TRAIN : 0);
    op = rig_lowered (&b);
    for (int64_t i = 0; i < qk_shape_count (&b.out_shape); i++) {
      const int64_t acc = rig_naive_sum (&b, &op, i);
      const int64_t k = i % op.out_channels;

      HOLDS (((float *) b.out.data)[i] == (float) acc * op.multiplier[k],
             "element %lld is %g, expected %g", (long long) i,
             (double) ((float *) b.out.data)[i],
             (double) ((float) acc * op.multiplier[k]));
    }
    rig_op_free (&op);
    rig_close (&b);
  }
}
END_TEST

/* Training, evaluation and conversion with frozen statistics agree. */
static void
check_bytes (const struct rig_given *g, int what, uint64_t seed)
{
  struct rig b;
  uint8_t *first = NULL;
  size_t n = 0;

  for (int threads = 1; threads <= effort (3, 2); threads++) {
    rig_open (&b, g, what, threads, true, true, seed);
    n = (size_t) qk_shape_count (&b.out_shape) * qk_dtype_size (b.out.dtype);
    rig_observing (&b, true, true);
    rig_forward (&b, QK_PASS_TRAIN);
    assert_int8_bytes (&b, "training, observing");
    rig_observing (&b, false, false);
    rig_fill (&b, &b.in, what & LARGE ? 190.0f : 0.0f, 255.0f);
    rig_forward (&b, QK_PASS_TRAIN);
    assert_int8_bytes (&b, "training, frozen");
    if (!first) {
      first = malloc (n);
      memcpy (first, b.out.data, n);
    }
    ck_assert_msg (!memcmp (first, b.out.data, n),
                   "%d threads give other bytes", threads);
    rig_close (&b);

    rig_open (&b, g, what, threads, false, true, seed);
    rig_observing (&b, true, true);
    rig_forward (&b, 0);
    rig_observing (&b, false, false);
    rig_fill (&b, &b.in, what & LARGE ? 190.0f : 0.0f, 255.0f);
    b.in.shape.dims[0] = b.out.shape.dims[0] = b.in_shape.dims[0];
    rig_forward (&b, 0);
    ck_assert_msg (!memcmp (first, b.out.data, n),
                   "evaluation gives other bytes");
    rig_close (&b);
  }
  free (first);
}

START_TEST (bytes_of_int8)
{
  const struct rig_given *g = &rig_givens[_i];

  check_bytes (g, 0, 1);
  check_bytes (g, RELU, 2);
  check_bytes (g, BN, 3);
  check_bytes (g, BN | RELU6, 4);
  check_bytes (g, BN | RELU | PER_TENSOR, 5);
  check_bytes (g, BN | BY_TENSOR, 6);
}
END_TEST

/* 16 bits of the input, of the output, of both. */
START_TEST (bytes_of_16_bits)
{
  const struct rig_given *g = &rig_givens[_i];

  check_bytes (g, IN16, 1);
  check_bytes (g, OUT16, 2);
  check_bytes (g, IN16 | OUT16 | RELU, 3);
  check_bytes (g, BN | IN16 | RELU6, 4);
  check_bytes (g, BN | OUT16 | RELU | PER_TENSOR, 5);
  check_bytes (g, BN | IN16 | OUT16 | BY_TENSOR, 6);
}
END_TEST

START_TEST (bytes_of_wide)
{
  struct rig b;
  struct qk_op op;
  int64_t most = 0;

  rig_open (&b, &rig_wide[_i], LARGE, 1, false, true, 1);
  rig_observing (&b, true, true);
  rig_forward (&b, 0);
  op = rig_lowered (&b);
  for (int64_t i = 0; i < op.in_channels * op.kernel_h * op.kernel_w; i++)
    most += op.weight[i];
  ck_assert_msg (most * 200 > 1 << 24, "sums stay below 2^24");
  rig_op_free (&op);
  rig_close (&b);
  check_bytes (&rig_wide[_i], LARGE, 1);
  check_bytes (&rig_wide[_i], LARGE | BN | RELU, 2);
  check_bytes (&rig_wide[_i], LARGE | IN16, 1);
  check_bytes (&rig_wide[_i], LARGE | OUT16, 1);
  check_bytes (&rig_wide[_i], LARGE | BN | RELU | IN16 | OUT16, 2);
}
END_TEST

START_TEST (bytes_of_large)
{
  check_bytes (&rig_large[_i], BN | RELU6, 1);
  check_bytes (&rig_large[_i], BN | RELU6 | IN16 | OUT16, 1);
}
END_TEST

/* The integers of lower are those of the formulas. */
START_TEST (lower_formulas)
{
  struct rig b;
  struct qk_op op;
  const struct qk_qparams *g;
  const float *w, *gamma, *beta, *mean, *var, *bias;
  int64_t per;

  rig_open (&b, &rig_givens[4], BN | RELU6, 1, true, true, 3);
  rig_observing (&b, true, true);
  rig_forward (&b, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  rig_observing (&b, false, false);
  op = rig_lowered (&b);
  g = qk_quantizer_qparams (b.io.weight_qz);
  w = b.param[0].data;
  bias = b.param[1].data;
  gamma = b.param[2].data;
  beta = b.param[3].data;
  mean = b.param[4].data;
  var = b.param[5].data;
  per = 3 * 3 * 2;
  ck_assert_int_eq (op.kind, QK_OP_CONV2D);
  ck_assert_int_eq (op.stride_h, 2);
  ck_assert_int_eq (op.pad_right, 1);
  ck_assert_int_eq (op.groups, 2);
  ck_assert_int_eq (op.in_channels, 4);
  ck_assert_int_eq (op.out_channels, 6);
  ck_assert_int_eq (op.lo, b.out.q.zero_point);
  for (int64_t k = 0; k < 6; k++) {
    const float f = gamma[k] / sqrtf (var[k] + 1e-3f);

    for (int64_t i = 0; i < per; i++)
      ck_assert_int_eq (
        op.weight[k * per + i],
        qk_quantize (w[k * per + i] * f, 1.0f / g[k].scale, 0, -128, 127));
    ck_assert_int_eq (op.bias[k],
                      qk_quantize_bias (beta[k] + (bias[k] - mean[k]) * f,
                                        b.in.q.scale, g[k].scale));
    ck_assert (op.multiplier[k]
               == qk_multiplier (b.in.q.scale, g[k].scale, b.out.q.scale));
  }
  rig_op_free (&op);
  rig_close (&b);
}
END_TEST

/* The same seed and threads: the same bits, in everything. */
START_TEST (repeatable)
{
  struct rig a, b;
  const struct rig_given *g = &rig_givens[_i];

  rig_open (&a, g, BN | RELU, 2, true, true, 5);
  rig_open (&b, g, BN | RELU, 2, true, true, 5);
  rig_observing (&a, true, true);
  rig_observing (&b, true, true);
  rig_forward (&a, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  rig_forward (&b, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  rig_checked (a.cls->backward (a.self, &a.io));
  rig_checked (b.cls->backward (b.self, &b.io));
  ck_assert_mem_eq (a.out.data, b.out.data,
                    (size_t) qk_shape_count (&a.out_shape));
  ck_assert_mem_eq (a.din.data, b.din.data,
                    4 * (size_t) qk_shape_count (&a.in_shape));
  for (int i = 0; i < a.io.n_params; i++)
    ck_assert_mem_eq (a.dparam[i].data, b.dparam[i].data,
                      4 * (size_t) qk_shape_count (&a.param[i].shape));
  rig_close (&a);
  rig_close (&b);
}
END_TEST

/* What of the forward is done ahead of it gives the same bytes, and is left
 * to the forward where the weight's quantizer has ways of its own. */
static void
prepared_with (const struct rig_given *g, unsigned what, bool observing)
{
  const unsigned flags = QK_PASS_TRAIN | QK_PASS_BATCH_STATS;
  struct rig a, b;
  struct qk_layer_io ahead = { .flags = flags, .threads = 1 };

  rig_open (&a, g, what, 2, true, true, 5);
  rig_open (&b, g, what, 2, true, true, 5);
  rig_observing (&a, observing, observing);
  rig_observing (&b, observing, observing);
  for (int step = 0; step < 2; step++) {
    ahead.n_params = b.io.n_params;
    ahead.param = b.io.param;
    ahead.weight_qz = b.io.weight_qz;
    ahead.prepared = b.io.prepared;
    ck_assert_int_eq (b.cls->prepare (b.self, &ahead), !(what & TWICE));
    rig_forward (&a, flags);
    rig_forward (&b, what & TWICE ? flags : flags | QK_PASS_PREPARED);
    ck_assert_mem_eq (a.out.data, b.out.data,
                      (size_t) qk_shape_count (&a.out_shape));
    rig_checked (a.cls->backward (a.self, &a.io));
    rig_checked (b.cls->backward (b.self, &b.io));
    ck_assert_mem_eq (a.din.data, b.din.data,
                      4 * (size_t) qk_shape_count (&a.in_shape));
    for (int i = 0; i < a.io.n_params; i++) {
      ck_assert_mem_eq (a.dparam[i].data, b.dparam[i].data,
                        4 * (size_t) qk_shape_count (&a.param[i].shape));
      /* the next step has other weights */
      for (int64_t j = 0; j < qk_shape_count (&a.param[i].shape); j++) {
        ((float *) a.param[i].data)[j] *= 1.25f;
        ((float *) b.param[i].data)[j] *= 1.25f;
      }
    }
  }
  rig_close (&a);
  rig_close (&b);
}

START_TEST (prepared)
{
  prepared_with (&rig_givens[_i], BN | RELU, true);
  prepared_with (&rig_givens[_i], PER_TENSOR, true);
  prepared_with (&rig_givens[_i], BN, false);
  prepared_with (&rig_givens[_i], BN | TWICE, true);
}
END_TEST

/* A channel with gamma 0 gives beta and finite gradients, where PyTorch's
 * formula divides by 0. */
START_TEST (gamma_zero)
{
  struct rig b;
  float *gamma;

  rig_open (&b, &rig_givens[3], BN, 2, true, true, 5);
  gamma = b.param[1 + QK_BN_GAMMA].data;
  gamma[1] = 0.0f;
  rig_observing (&b, true, true);
  rig_forward (&b, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  rig_checked (b.cls->backward (b.self, &b.io));
  for (int64_t i = 1; i < qk_shape_count (&b.out_shape); i += 4) {
    const float beta = ((float *) b.param[1 + QK_BN_BETA].data)[1];

    ck_assert_int_eq (
      ((uint8_t *) b.out.data)[i],
      qk_quantize (beta, 1.0f / b.out.q.scale, b.out.q.zero_point, 0, 255));
  }
  for (int i = 0; i < b.io.n_params; i++)
    for (int64_t j = 0; j < qk_shape_count (&b.dparam[i].shape); j++)
      ck_assert (isfinite (((float *) b.dparam[i].data)[j]));
  rig_close (&b);
}
END_TEST

/* Weights of every second channel (of all with PER_TENSOR) become SIZE times
 * what they are, and their mean goes into beta, which then is far beyond
 * 2^30 steps of the accumulator that the weights alone would give. */
static void
shrink_channels (struct rig *b, float size)
{
  const int64_t k = b->out_shape.dims[b->out_shape.ndim - 1];
  const int64_t depth = qk_shape_count (&b->param[0].shape) / k;
  const struct qk_tensor *bn = b->param + 1 + b->bias;

  for (int64_t i = 0; i < k; i += b->what & PER_TENSOR ? 1 : 2) {
    for (int64_t j = 0; j < depth; j++)
      ((float *) b->param[0].data)[i * depth + j] *= size;
    if (b->bias)
      ((float *) b->param[1].data)[i] = 0.0f;
    ((float *) bn[QK_BN_BETA].data)[i] = i % 4 == 0 ? 4.0f : -3.5f;
    ((float *) bn[QK_BN_MEAN].data)[i] = 0.0f;
  }
}

/* Those channels give beta and nothing else, to a step. */
static void
assert_betas (struct rig *b, float size, const char *what)
{
  const int64_t k = b->out_shape.dims[b->out_shape.ndim - 1];
  const float *beta = b->param[1 + b->bias + QK_BN_BETA].data;

  for (int64_t i = 0; i < qk_shape_count (&b->out_shape); i++) {
    const struct qk_qparams *q = &b->out.q;
    const float got
      = qk_dequantize (((uint8_t *) b->out.data)[i], q->scale, q->zero_point);

    HOLDS (i % k % 2 != 0 || fabsf (got - beta[i % k]) <= q->scale,
           "%s: weights times %g: channel %lld is %g, expected %g", what,
           (double) size, (long long) (i % k), (double) got,
           (double) beta[i % k]);
  }
}

static void
fits_with (const struct rig_given *g, int what, float size)
{
  struct rig b;

  rig_open (&b, g, what, 2, true, true, 7);
  shrink_channels (&b, size);
  rig_observing (&b, true, true);
  rig_forward (&b, QK_PASS_TRAIN);
  assert_betas (&b, size, "observing");
  assert_int8_bytes (&b, "observing");
  ck_assert_int_gt (qk_quantizer_raised (b.io.weight_qz), 0);
  rig_checked (b.cls->backward (b.self, &b.io));
  rig_observing (&b, false, false);
  if (!(what & TWICE)) { /* what is made ahead does not know the input */
    struct qk_layer_io ahead = { .flags = QK_PASS_TRAIN,
                                 .threads = 1,
                                 .n_params = b.io.n_params,
                                 .param = b.io.param,
                                 .weight_qz = b.io.weight_qz,
                                 .prepared = b.io.prepared };

    ck_assert_int_eq (b.cls->prepare (b.self, &ahead), 1);
    rig_forward (&b, QK_PASS_TRAIN | QK_PASS_PREPARED);
    assert_betas (&b, size, "prepared");
    assert_int8_bytes (&b, "prepared");
  }
  rig_close (&b);
}

/* A bias that is large beside its weights is not cut: the scale gives way,
 * in training, conversion and whoever asks the quantizer. */
START_TEST (bias_fits)
{
  const struct rig_given *g = &rig_givens[_i];

  fits_with (g, BN, 0.0f);
  fits_with (g, BN, 1e-9f);
  fits_with (g, BN | TWICE, 1e-9f);
  fits_with (g, BN | BY_TENSOR, 0.0f);
}
END_TEST

/* Batch statistics leave no bias; scales are the weights' own there. */
START_TEST (bias_does_not_matter)
{
  struct rig b;

  rig_open (&b, &rig_givens[3], BN, 1, true, true, 7);
  shrink_channels (&b, 1e-9f);
  rig_observing (&b, true, true);
  rig_forward (&b, QK_PASS_TRAIN);
  ck_assert_int_gt (qk_quantizer_raised (b.io.weight_qz), 0);
  rig_forward (&b, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  ck_assert_int_eq (qk_quantizer_raised (b.io.weight_qz), 0);
  rig_close (&b);
}
END_TEST

#define IMAGE(n, h, w, c)                                                     \
  {                                                                           \
    4, { n, h, w, c }                                                         \
  }

START_TEST (errors)
{
  static const struct {
    struct rig_given g;
    const char *says;
  } bad[] = {
    { { "conv2d", "out=4 groups=3", IMAGE (1, 4, 4, 6) }, "groups = 3" },
    { { "conv2d", "out=4 kernel=5", IMAGE (1, 4, 4, 6) }, "window of 5x5" },
    { { "conv2d", "out=4", { 2, { 4, 6 } } }, "(4,6)" },
    { { "linear", "out=4", { 1, { 6 } } }, "(6)" },
  };
  struct qk_context *ctx = qk_context_new ();

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const struct qk_class *cls;
    const struct qk_layer_class *layer;
    struct qk_config *cfg;
    struct qk_shape out;
    void *self;

    rig_checked (qk_context_class (ctx, QK_KIND_LAYER, bad[i].g.layer, &cls));
    layer = (const struct qk_layer_class *) cls;
    rig_checked (
      qk_config_parse (cls->options, bad[i].g.options, "test", &cfg));
    rig_checked (layer->create (cfg, &self));
    qk_config_free (cfg);
    ck_assert_int_lt (layer->infer (self, &bad[i].g.in, 1, &out), 0);
    ck_assert_msg (strstr (qk_error_message (), bad[i].says), "'%s'",
                   qk_error_message ());
    layer->destroy (self);
  }
  qk_context_free (ctx);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("conv");
  TCase *t = tcase_create ("conv");
  SRunner *r;
  int failed;

  tcase_add_loop_test (t, floats_of_int8, 0, RIG_GIVENS);
  tcase_add_loop_test (t, bytes_of_int8, 0, RIG_GIVENS);
  tcase_add_loop_test (t, bytes_of_16_bits, 0, RIG_GIVENS);
  tcase_add_loop_test (t, bytes_of_wide, 0, RIG_WIDE);
  tcase_add_loop_test (t, bytes_of_large, 0, RIG_LARGE);
  tcase_add_loop_test (t, repeatable, 0, RIG_GIVENS);
  tcase_add_loop_test (t, prepared, 0, RIG_GIVENS);
  tcase_add_test (t, lower_formulas);
  tcase_add_loop_test (t, bias_fits, 0, RIG_GIVENS);
  tcase_add_test (t, bias_does_not_matter);
  tcase_add_test (t, gamma_zero);
  tcase_add_test (t, errors);
  tcase_set_timeout (t, 300);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_ENV);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
