/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_optim.c: optimizers against PyTorch bit for bit, and schedules. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/context.h>
#include <qatkit/optimizer.h>
#include <qatkit/tensor.h>

#include "golden/quant_golden.h"
/* after the struct that it fills */
#include "golden/optim.h"
#include "lib/ok.h"
#include "train/clip.h"

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))

static struct qk_context *ctx;

static void
setup (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
}

static void
teardown (void)
{
  qk_context_free (ctx);
}

static const struct qk_optimizer_class *
optimizer (const char *name, const char *options, void **self)
{
  const struct qk_class *cls;
  const struct qk_optimizer_class *opt;
  struct qk_config *cfg;

  OK (qk_context_class (ctx, QK_KIND_OPTIMIZER, name, &cls));
  OK (qk_config_parse (cls->options, options, "test", &cfg));
  opt = (const struct qk_optimizer_class *) cls;
  OK (opt->create (cfg, self));
  qk_config_free (cfg);
  return opt;
}

/* 6 steps of OPT on W. */
static void
six_steps (const struct qk_optimizer_class *opt, void *self, float lr,
           float *w)
{
  float grad[GOLDEN_OPTIM_N];
  float slots[QK_OPTIMIZER_MAX_SLOTS][GOLDEN_OPTIM_N] = { { 0 } };
  float *slot[QK_OPTIMIZER_MAX_SLOTS];

  ck_assert_int_le (opt->slots (self), QK_OPTIMIZER_MAX_SLOTS);
  for (int k = 0; k < QK_OPTIMIZER_MAX_SLOTS; k++)
    slot[k] = k < opt->slots (self) ? slots[k] : NULL;
  golden_fill (w, GOLDEN_OPTIM_N, 1, 1.0f, 0.0f);
  for (int t = 0; t < GOLDEN_OPTIM_STEPS; t++) {
    const struct qk_optimizer_step st = { t, lr, true };

    golden_fill (grad, GOLDEN_OPTIM_N, (uint32_t) (2 + t), 0.5f, 0.0f);
    opt->step (self, &st, w, grad, slot, GOLDEN_OPTIM_N);
  }
}

static void
golden_is (const struct golden_optimizer *g)
{
  void *self;
  const struct qk_optimizer_class *opt
    = optimizer (g->name, g->options, &self);
  float w[GOLDEN_OPTIM_N];
  uint32_t bits[GOLDEN_OPTIM_N];

  six_steps (opt, self, g->lr, w);
  memcpy (bits, w, sizeof bits);
  for (size_t i = 0; i < GOLDEN_OPTIM_N; i++)
    ck_assert_msg (bits[i] == g->w[i], "%s %s: w[%zu] is %08x, not %08x",
                   g->name, g->options, i, bits[i], g->w[i]);
  opt->destroy (self);
  opt->destroy (NULL);
}

START_TEST (test_optimizer_golden) { golden_is (&golden_optimizers[_i]); }
END_TEST

START_TEST (test_more_golden) { golden_is (&golden_more_optimizers[_i]); }
END_TEST

/* LAMB, which PyTorch does not have, by the formula of the paper. */
START_TEST (test_lamb)
{
  const struct golden_lamb *g = &golden_lambs[_i];
  void *self;
  const struct qk_optimizer_class *opt = optimizer ("lamb", g->options, &self);
  float w[GOLDEN_OPTIM_N];

  ck_assert (!opt->elementwise);
  six_steps (opt, self, 0.015625f, w);
  for (int i = 0; i < GOLDEN_OPTIM_N; i++)
    ck_assert_msg (fabs ((double) w[i] - g->w[i]) < 2e-6,
                   "%s: w[%d] is %.9g, not %.9g", g->options, i, (double) w[i],
                   g->w[i]);
  opt->destroy (self);
}
END_TEST

/* With a weight or a step of zeros the ratio is 1. */
START_TEST (test_lamb_zeros)
{
  const struct qk_optimizer_step st = { 0, 0.5f, true };
  float w[2] = { 0, 0 }, g[2] = { 3, -3 }, m[2] = { 0 }, v[2] = { 0 };
  float *const slot[] = { m, v };
  void *self;
  const struct qk_optimizer_class *opt = optimizer ("lamb", "", &self);

  opt->step (self, &st, w, g, slot, 2);
  ck_assert_float_eq_tol (w[0], -0.5f, 1e-5f);
  ck_assert_float_eq_tol (w[1], 0.5f, 1e-5f);
  memset (w, 0, sizeof w);
  memset (m, 0, sizeof m);
  memset (g, 0, sizeof g);
  opt->step (self, &st, w, g, slot, 2);
  ck_assert_float_eq (w[0], 0);
  opt->destroy (self);
}
END_TEST

/* decay = false leaves weight decay out; large tensors go through threads. */
START_TEST (test_no_decay)
{
  const char *const names[] = { "sgd", "adam", "adamw", "rmsprop", "lamb" };
  const size_t n = 100003;
  void *with, *without;
  const struct qk_optimizer_class *opt
    = optimizer (names[_i], "weight_decay=0.1", &with);
  float *buf = calloc (n * 8, sizeof *buf), *g = buf + 6 * n;

  optimizer (names[_i], "weight_decay=0", &without);
  for (int64_t t = 0; t < 3; t++) {
    const struct qk_optimizer_step st = { t, 0.01f, false };
    const struct qk_optimizer_step st2 = { t, 0.01f, true };
    float *const a[2] = { buf + n, buf + 2 * n };
    float *const b[2] = { buf + 4 * n, buf + 5 * n };

    golden_fill (g, n, (uint32_t) t, 1.0f, 0.0f);
    opt->step (with, &st, buf, g, a, n);
    opt->step (without, &st2, buf + 3 * n, g, b, n);
  }
  ck_assert_mem_eq (buf, buf + 3 * n, 3 * n * sizeof *buf);
  for (size_t i = 0; i < n; i++)
    if (!(fabsf (buf[i]) > 0.0f))
      ck_abort_msg ("weight %zu did not move", i);
  free (buf);
  opt->destroy (with);
  opt->destroy (without);
}
END_TEST

START_TEST (test_bad_options)
{
  const struct {
    const char *name, *options, *text;
  } bad[] = {
    { "sgd", "nesterov=yes", "momentum > 0" },
    { "sgd", "nesterov=yes momentum=0.9 dampening=0.1", "dampening 0.1" },
  };
  const struct qk_class *cls;
  struct qk_config *cfg;
  void *self;

  for (int i = 0; i < COUNT (bad); i++) {
    OK (qk_context_class (ctx, QK_KIND_OPTIMIZER, bad[i].name, &cls));
    OK (qk_config_parse (cls->options, bad[i].options, "test", &cfg));
    ck_assert_int_eq (
      ((const struct qk_optimizer_class *) cls)->create (cfg, &self), -EINVAL);
    ck_assert_ptr_nonnull (strstr (qk_error_message (), bad[i].text));
    qk_config_free (cfg);
  }
  OK (qk_context_class (ctx, QK_KIND_OPTIMIZER, "sgd", &cls));
  ck_assert_int_eq (qk_config_parse (cls->options, "lr=-1", "test", &cfg),
                    -EINVAL);
  ck_assert_int_eq (qk_config_parse (cls->options, "momentun=0", "test", &cfg),
                    -EINVAL);
}
END_TEST

/* ---- schedules ----------------------------------------------------------*/

static void
schedule_is (const char *name, const char *options, int64_t total,
             int64_t per_epoch, const int64_t *step, const double *factor,
             int n)
{
  const struct qk_class *cls;
  const struct qk_schedule_class *sched;
  struct qk_config *cfg;
  void *self;

  OK (qk_context_class (ctx, QK_KIND_SCHEDULE, name, &cls));
  OK (qk_config_parse (cls->options, options, "test", &cfg));
  sched = (const struct qk_schedule_class *) cls;
  OK (sched->create (cfg, &self));
  qk_config_free (cfg);
  for (int i = 0; i < n; i++)
    ck_assert_double_eq_tol (sched->factor (self, step[i], total, per_epoch),
                             factor[i], 1e-12);
  for (int64_t s = 0; s < total; s++) {
    const double f = sched->factor (self, s, total, per_epoch);

    ck_assert_msg (f >= 0.0 && f <= 1.0, "%s: factor %g", name, f);
  }
  sched->destroy (self);
  sched->destroy (NULL);
}

START_TEST (test_schedules)
{
  const int64_t s[] = { 0, 9, 10, 25, 39 };
  const double constant[] = { 1, 1, 1, 1, 1 };
  const double step[] = { 1, 1, 1, 0.5, 0.5 };
  const double miles[] = { 1, 1, 0.1, 0.1, 0.01 };
  const double half = 0.5 * sqrt (0.5);
  const int64_t c[] = { 0, 10, 20, 30, 39 };
  const double cosine[]
    = { 1, 0.5 + half, 0.5, 0.5 - half, 0.5 + 0.5 * cos (M_PI * 39 / 40) };

  schedule_is ("constant", "", 40, 10, s, constant, 5);
  schedule_is ("step", "step_size=2 gamma=0.5", 40, 10, s, step, 5);
  schedule_is ("step", "milestones=1,3", 40, 10, s, miles, 5);
  schedule_is ("cosine", "", 40, 10, c, cosine, 5);
}
END_TEST

START_TEST (test_cycles)
{
  const struct golden_cycle *g = &golden_cycles[_i];
  int64_t step[64];

  ck_assert_int_le (g->steps, COUNT (step));
  for (int i = 0; i < g->steps; i++)
    step[i] = i;
  schedule_is ("onecycle", g->options, g->steps, 5, step, g->factor, g->steps);
}
END_TEST

static const struct qk_schedule_class *
schedule (const char *name, const char *options, void **self)
{
  const struct qk_class *cls;
  const struct qk_schedule_class *s;
  struct qk_config *cfg;

  OK (qk_context_class (ctx, QK_KIND_SCHEDULE, name, &cls));
  OK (qk_config_parse (cls->options, options, "test", &cfg));
  s = (const struct qk_schedule_class *) cls;
  OK (s->create (cfg, self));
  qk_config_free (cfg);
  return s;
}

START_TEST (test_plateaus)
{
  const struct golden_plateau *g = &golden_plateaus[_i];
  void *self;
  const struct qk_schedule_class *s = schedule ("plateau", g->options, &self);

  for (int i = 0; i < COUNT (golden_scores); i++) {
    ck_assert_msg (fabs (s->factor (self, i, 100, 1) - g->factor[i]) < 1e-12,
                   "%s: epoch %d has %g, not %g", g->options, i,
                   s->factor (self, i, 100, 1), g->factor[i]);
    s->epoch (self, golden_scores[i], g->larger);
  }
  s->destroy (self);
  s->destroy (NULL);
}
END_TEST

/* Warm-up in front of schedules: they begin where it ends. */
static void
warm_up_is (const char *name, const char *options, double warmup,
            const int64_t *step, const double *factor, int n)
{
  struct qk_optimize_group all = { .decay_all = true };
  struct qk_optimize_options opt = { .n_groups = 1, .group = &all };
  struct qk_config *cfg = NULL, *sgd = NULL;
  const struct qk_class *oc, *sc;
  struct qk_optimize *o;
  struct qk_graph *g;

  OK (qk_graph_new (ctx, 1, &g));
  OK (qk_context_class (ctx, QK_KIND_OPTIMIZER, "sgd", &oc));
  OK (qk_context_class (ctx, QK_KIND_SCHEDULE, name, &sc));
  OK (qk_config_parse (oc->options, "lr=1", "test", &sgd));
  OK (qk_config_parse (sc->options, options, "test", &cfg));
  all.cfg = sgd;
  opt.optimizer = (const struct qk_optimizer_class *) oc;
  opt.schedule = (const struct qk_schedule_class *) sc;
  opt.schedule_cfg = cfg;
  opt.warmup = warmup;
  OK (qk_optimize_new (g, &opt, &o));
  qk_config_free (sgd);
  qk_config_free (cfg);
  for (int i = 0; i < n; i++) {
    o->t = step[i];
    ck_assert_float_eq_tol (qk_optimize_lr (o, 40, 10), (float) factor[i],
                            1e-6f);
  }
  qk_optimize_free (o);
  qk_graph_free (g);
}

START_TEST (test_warm_up)
{
  const int64_t w[] = { 0, 4, 9, 10, 25, 39 };
  const int64_t two[] = { 0, 9, 19, 20, 39 };
  const double cosine[]
    = { 0.1, 0.5, 1, 1, 0.6, 0.2 + 0.4 * (1 + cos (M_PI * 29 / 30)) };
  const double step[] = { 0.1, 0.5, 1, 1, 0.5, 0.25 };
  const double constant[] = { 0.05, 0.5, 1, 1, 1 };
  const int64_t all[] = { 0, 19, 39 };
  const double rise[] = { 1.0 / 60, 20.0 / 60, 40.0 / 60 };

  warm_up_is ("cosine", "min_factor=0.2", 1, w, cosine, 6);
  warm_up_is ("step", "step_size=1 gamma=0.5", 1, w, step, 6);
  warm_up_is ("constant", "", 2, two, constant, 5);
  warm_up_is ("cosine", "", 6, all, rise, 3);
}
END_TEST

/* ---- gradients ----------------------------------------------------------*/

/* Two gradients: 0 by norm, 1 by a norm they have not, 2 by value. */
START_TEST (test_clip)
{
  const float *const golden[]
    = { golden_clip_norm, golden_clip_wide, golden_clip_value };
  float grad[5 + GOLDEN_OPTIM_N];
  struct qk_trained trained[2]
    = { { .name = "a", .count = 5, .grad = grad },
        { .name = "b", .count = GOLDEN_OPTIM_N, .grad = grad + 5 } };
  struct qk_optimize o = { .n = 2, .trained = trained };

  golden_fill (grad, 5, 3, 1.0f, 0.0f);
  golden_fill (grad + 5, GOLDEN_OPTIM_N, 4, 1.0f, 0.5f);
  if (_i == 2)
    qk_clip_value (&o, 0.25f, 2);
  else
    OK (qk_clip_norm (&o, _i == 0 ? 2.5 : 1000, 2));
  for (int i = 0; i < COUNT (grad); i++)
    ck_assert_msg (fabsf (grad[i] - golden[_i][i])
                     <= (_i == 0 ? 2e-7f * fabsf (golden[0][i]) : 0.0f),
                   "gradient %d is %.9g, not %.9g", i, (double) grad[i],
                   (double) golden[_i][i]);
}
END_TEST

START_TEST (test_clip_bad)
{
  float grad[3] = { 1, INFINITY, 2 };
  struct qk_trained trained[1]
    = { { .name = "conv.weight", .count = 3, .grad = grad } };
  struct qk_optimize o = { .n = 1, .trained = trained };

  ck_assert_int_eq (qk_clip_norm (&o, 1, 1), -EDOM);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "'conv.weight'"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("optim");
  TCase *tc = tcase_create ("optim");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_optimizer_golden, 0,
                       COUNT (golden_optimizers));
  tcase_add_loop_test (tc, test_more_golden, 0,
                       COUNT (golden_more_optimizers));
  tcase_add_loop_test (tc, test_lamb, 0, COUNT (golden_lambs));
  tcase_add_test (tc, test_lamb_zeros);
  tcase_add_loop_test (tc, test_no_decay, 0, 5);
  tcase_add_loop_test (tc, test_cycles, 0, COUNT (golden_cycles));
  tcase_add_loop_test (tc, test_plateaus, 0, COUNT (golden_plateaus));
  tcase_add_test (tc, test_warm_up);
  tcase_add_loop_test (tc, test_clip, 0, 3);
  tcase_add_test (tc, test_clip_bad);
  tcase_add_test (tc, test_bad_options);
  tcase_add_test (tc, test_schedules);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? 1 : 0;
}
