/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_conv_golden.c: training steps of quantized conv2d with batch-norm
 * against PyTorch's ConvBn2d and ConvBnReLU2d; see golden/conv_golden.py.
 *
 * Tolerances: floats 2e-4 of the largest of their array, 2e-5 for grids and
 * running statistics.  PyTorch sums in another order and, with frozen
 * statistics, keeps the bias in float where we use its integer, so that a
 * value near a rounding tie may come out one step away: such bytes are
 * counted, more than 1 in 100 fail, as does any larger difference. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden/conv_golden.h"
#include "lib/ok.h"
#include "qatkit/qatkit.h"
#include "quant/quantizer-priv.h"
#include "lib/floats.h"

/* Everything of one step follows that of the step before. */
struct golden {
  const char *options;
  uint32_t seed;
  bool relu;
  struct qk_shape in;
  const int16_t *q, *zp;
  const float *scale, *dx, *dw, *dgamma, *dbeta, *mean, *var;
};

#define GOLDEN(name)                                                          \
  .seed = sizeof #name - 1, .q = golden_##name##_q, .zp = golden_##name##_zp, \
  .scale = golden_##name##_scale, .dx = golden_##name##_dx,                   \
  .dw = golden_##name##_dw, .dgamma = golden_##name##_dgamma,                 \
  .dbeta = golden_##name##_dbeta, .mean = golden_##name##_mean,               \
  .var = golden_##name##_var

static const struct golden goldens[] = {
  { .options = "out=4 kernel=3 padding=1 bias=no",
    .in = { 4, { 2, 5, 4, 3 } },
    GOLDEN (conv3x3) },
  { .options = "out=5 kernel=1 bias=no",
    .relu = true,
    .in = { 4, { 2, 4, 4, 6 } },
    GOLDEN (pointwise) },
  { .options = "out=4 kernel=3 stride=2 padding=1 groups=4 bias=no",
    .relu = true,
    .in = { 4, { 2, 6, 5, 4 } },
    GOLDEN (depthwise) },
};

static uint32_t
golden_word (uint32_t *s)
{
  *s = *s * 1664525u + 1013904223u;
  return *s >> 8;
}

static void
golden_floats (uint32_t *s, struct qk_tensor *t, float lo, float hi)
{
  for (int64_t i = 0; i < qk_shape_count (&t->shape); i++)
    ((float *) t->data)[i]
      = lo + (hi - lo) * ((float) golden_word (s) * 0x1p-24f);
}

static struct qk_tensor
tensor (enum qk_dtype dtype, struct qk_shape shape)
{
  struct qk_tensor t = { .dtype = dtype, .shape = shape };

  t.data = qk_alloc ((size_t) qk_shape_count (&shape) * qk_dtype_size (dtype));
  return t;
}

static struct qk_quantizer *
quantizer (struct qk_context *ctx, bool weight, int64_t channels)
{
  const struct qk_quant_info info = { .name = weight ? "weight" : "out",
                                      .weight = weight,
                                      .symmetric = weight,
                                      .bits = 8,
                                      .qmin = weight ? -128 : 0,
                                      .qmax = weight ? 127 : 127,
                                      .channels = channels };
  const struct qk_class *obs;
  struct qk_config *cfg;
  struct qk_quantizer *qz;

  OK (qk_context_class (ctx, QK_KIND_OBSERVER, "moving_average_minmax", &obs));
  OK (qk_config_parse (obs->options, "", "test", &cfg));
  OK (qk_quantizer_new (ctx, &info, (const struct qk_observer_class *) obs,
                        cfg, NULL, NULL, &qz));
  qk_config_free (cfg);
  return qz;
}

static void
assert_floats (const struct qk_tensor *t, const float *all, int step,
               double tolerance, const char *what)
{
  const int64_t n = qk_shape_count (&t->shape);
  const float *want = all + step * n, *got = t->data;
  double largest = 0.0;

  for (int64_t i = 0; i < n; i++)
    largest = fmax (largest, fabs ((double) want[i]));
  for (int64_t i = 0; i < n; i++)
    ck_assert_msg (fabs ((double) got[i] - (double) want[i])
                     <= tolerance * largest + 1e-6,
                   "step %d: %s[%d]: expected %g, got %g", step, what, (int) i,
                   (double) want[i], (double) got[i]);
}

/* Returns how many bytes are one step away. */
static int
assert_bytes (const struct qk_tensor *t, const int16_t *all, int step)
{
  const int64_t n = qk_shape_count (&t->shape);
  int near = 0;

  for (int64_t i = 0; i < n; i++) {
    const int want = all[step * n + i], got = ((uint8_t *) t->data)[i];

    ck_assert_msg (abs (want - got) <= 1,
                   "step %d: output %d: expected %d, got %d", step, (int) i,
                   want, got);
    near += want != got;
  }
  return near;
}

static void
descend (struct qk_tensor *p, struct qk_tensor *d)
{
  const int64_t n = qk_shape_count (&p->shape);

  for (int64_t i = 0; i < n; i++)
    ((float *) p->data)[i] -= GOLDEN_LR * ((float *) d->data)[i];
  memset (d->data, 0, (size_t) n * sizeof (float));
}

struct layer {
  struct qk_context *ctx;
  const struct qk_layer_class *cls;
  void *self;
  struct qk_tensor in, out, dout, din, param[8], dparam[8];
  struct qk_layer_io io;
};

static void
layer_open (struct layer *l, const struct golden *g, int threads)
{
  const struct qk_class *cls;
  struct qk_config *cfg;
  struct qk_shape out, channel = { .ndim = 1 };
  struct qk_param_spec spec[8];
  struct qk_layer_traits next
    = { .role = QK_ROLE_BATCHNORM, .eps = 1e-5f, .momentum = 0.1f };
  struct qk_layer_setup s = { .in = &g->in,
                              .out = &out,
                              .n_in = 1,
                              .threads = threads,
                              .train = true,
                              .quantized_in = true,
                              .quantized_out = true,
                              .quantized_weight = true };

  memset (l, 0, sizeof *l);
  l->ctx = qk_context_new ();
  s.float_backend = test_float_backend (l->ctx);
  OK (qk_context_class (l->ctx, QK_KIND_LAYER, "conv2d", &cls));
  l->cls = (const struct qk_layer_class *) cls;
  OK (qk_config_parse (cls->options, g->options, "test", &cfg));
  OK (l->cls->create (cfg, &l->self));
  qk_config_free (cfg);
  OK (l->cls->infer (l->self, &g->in, 1, &out));
  ck_assert_int_eq (l->cls->params (l->self, spec), 1);
  OK (l->cls->absorb (l->self, &next));
  next = (struct qk_layer_traits){ .role = QK_ROLE_CLAMP, .hi = INFINITY };
  if (g->relu)
    OK (l->cls->absorb (l->self, &next));
  OK (l->cls->setup (l->self, &s));

  channel.dims[0] = out.dims[3];
  for (int i = 0; i < 1 + QK_BN_PARAMS; i++) {
    l->param[i] = tensor (QK_F32, i ? channel : spec[0].shape);
    l->dparam[i] = tensor (QK_F32, i ? channel : spec[0].shape);
  }
  l->in = tensor (QK_U8, g->in);
  l->in.q
    = (struct qk_qparams){ GOLDEN_X_SCALE, GOLDEN_X_ZERO, 0, GOLDEN_X_MAX };
  l->out = tensor (QK_U8, out);
  l->dout = tensor (QK_F32, out);
  l->din = tensor (QK_F32, g->in);
  l->io
    = (struct qk_layer_io){ .threads = threads,
                            .n_in = 1,
                            .in = &l->in,
                            .out = &l->out,
                            .n_params = 1 + QK_BN_PARAMS,
                            .param = l->param,
                            .weight_qz = quantizer (l->ctx, true, out.dims[3]),
                            .out_qz = quantizer (l->ctx, false, 1),
                            .saved = qk_alloc (s.saved),
                            .workspace = qk_alloc (s.workspace),
                            .dout = &l->dout,
                            .din = &l->din,
                            .dparam = l->dparam,
                            .prepared = qk_alloc (s.prepared) };
}

static void
layer_close (struct layer *l)
{
  for (int i = 0; i < 1 + QK_BN_PARAMS; i++) {
    qk_free (l->param[i].data);
    qk_free (l->dparam[i].data);
  }
  qk_free (l->in.data);
  qk_free (l->out.data);
  qk_free (l->dout.data);
  qk_free (l->din.data);
  qk_free (l->io.saved);
  qk_free (l->io.prepared);
  qk_free (l->io.workspace);
  qk_quantizer_free (l->io.weight_qz);
  qk_quantizer_free (l->io.out_qz);
  l->cls->destroy (l->self);
  qk_context_free (l->ctx);
}

/* One step; returns how many bytes are one step of the grid away. */
static int
golden_step (struct layer *l, const struct golden *g, int step, uint32_t *s)
{
  struct qk_tensor *p = l->param, *d = l->dparam;
  int near;

  qk_quantizer_set_observing (l->io.weight_qz, step < GOLDEN_FREEZE_OBS);
  qk_quantizer_set_observing (l->io.out_qz, step < GOLDEN_FREEZE_OBS);
  for (int64_t i = 0; i < qk_shape_count (&l->in.shape); i++)
    ((uint8_t *) l->in.data)[i]
      = (uint8_t) (golden_word (s) % (GOLDEN_X_MAX + 1));
  golden_floats (s, &l->dout, -1.0f, 1.0f);
  l->io.flags = QK_PASS_TRAIN;
  if (step < GOLDEN_FREEZE_BN)
    l->io.flags |= QK_PASS_BATCH_STATS;
  OK (l->cls->forward (l->self, &l->io));
  ck_assert_double_eq_tol ((double) l->out.q.scale, (double) g->scale[step],
                           2e-5 * (double) g->scale[step]);
  ck_assert_int_eq (l->out.q.zero_point, g->zp[step]);
  near = assert_bytes (&l->out, g->q, step);
  OK (l->cls->backward (l->self, &l->io));
  assert_floats (&l->din, g->dx, step, 2e-4, "dx");
  assert_floats (&d[0], g->dw, step, 2e-4, "dw");
  assert_floats (&d[1 + QK_BN_GAMMA], g->dgamma, step, 2e-4, "dgamma");
  assert_floats (&d[1 + QK_BN_BETA], g->dbeta, step, 2e-4, "dbeta");
  assert_floats (&p[1 + QK_BN_MEAN], g->mean, step, 2e-5, "running mean");
  assert_floats (&p[1 + QK_BN_VAR], g->var, step, 2e-5, "running var");
  for (int i = 0; i <= 1 + QK_BN_BETA; i++)
    descend (&p[i], &d[i]);
  return near;
}

START_TEST (steps)
{
  const struct golden *g = &goldens[_i / 2];
  struct layer l;
  uint32_t s = g->seed;
  int near = 0;
  int64_t bytes;

  layer_open (&l, g, 1 + _i % 2);
  golden_floats (&s, &l.param[0], -0.5f, 0.5f);
  golden_floats (&s, &l.param[1 + QK_BN_GAMMA], 0.5f, 1.5f);
  golden_floats (&s, &l.param[1 + QK_BN_BETA], -0.5f, 0.5f);
  golden_floats (&s, &l.param[1 + QK_BN_MEAN], -0.5f, 0.5f);
  golden_floats (&s, &l.param[1 + QK_BN_VAR], 0.5f, 2.0f);
  for (int step = 0; step < GOLDEN_STEPS; step++)
    near += golden_step (&l, g, step, &s);
  bytes = GOLDEN_STEPS * qk_shape_count (&l.out.shape);
  printf ("%s: %d of %d bytes are one step from PyTorch's\n", g->options, near,
          (int) bytes);
  ck_assert_int_le (near, bytes / 100);
  layer_close (&l);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("conv golden");
  TCase *t = tcase_create ("steps");
  SRunner *r;
  int failed;

  tcase_add_loop_test (t, steps, 0,
                       2 * (int) (sizeof goldens / sizeof *goldens));
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_ENV);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
