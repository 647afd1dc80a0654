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
#include "lib/ok.h"

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

START_TEST (test_optimizer_golden)
{
  const struct golden_optimizer *g = &golden_optimizers[_i];
  void *self;
  const struct qk_optimizer_class *opt
    = optimizer (g->name, g->options, &self);
  const size_t n = GOLDEN_OPTIM_N;
  float w[GOLDEN_OPTIM_N], grad[GOLDEN_OPTIM_N];
  float slots[QK_OPTIMIZER_MAX_SLOTS][GOLDEN_OPTIM_N] = { { 0 } };
  float *slot[QK_OPTIMIZER_MAX_SLOTS];
  uint32_t bits[GOLDEN_OPTIM_N];

  ck_assert_int_le (opt->slots (self), QK_OPTIMIZER_MAX_SLOTS);
  for (int k = 0; k < QK_OPTIMIZER_MAX_SLOTS; k++)
    slot[k] = k < opt->slots (self) ? slots[k] : NULL;
  golden_fill (w, n, 1, 1.0f, 0.0f);
  for (int t = 0; t < GOLDEN_OPTIM_STEPS; t++) {
    const struct qk_optimizer_step st = { t, g->lr, true };

    golden_fill (grad, n, (uint32_t) (2 + t), 0.5f, 0.0f);
    opt->step (self, &st, w, grad, slot, n);
  }
  memcpy (bits, w, sizeof bits);
  for (size_t i = 0; i < n; i++)
    ck_assert_msg (bits[i] == g->w[i], "%s %s: w[%zu] is %08x, not %08x",
                   g->name, g->options, i, bits[i], g->w[i]);
  opt->destroy (self);
  opt->destroy (NULL);
}
END_TEST

/* decay = false leaves weight decay out; large tensors go through threads. */
START_TEST (test_no_decay)
{
  const char *const names[] = { "sgd", "adam" };
  const size_t n = 100003;
  void *with, *without;
  const struct qk_optimizer_class *opt
    = optimizer (names[_i], "weight_decay=0.1", &with);
  float *buf = calloc (n * 8, sizeof *buf), *g = buf + 6 * n;

  optimizer (names[_i], "", &without);
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
  const int64_t w[] = { 0, 4, 9, 10, 25, 39 };
  const double warm[]
    = { 0.1, 0.5, 1, 1, 0.6, 0.2 + 0.4 * (1 + cos (M_PI * 29 / 30)) };
  const int64_t all[] = { 0, 19, 39 };
  const double rise[] = { 1.0 / 60, 20.0 / 60, 40.0 / 60 };

  schedule_is ("constant", "", 40, 10, s, constant, 5);
  schedule_is ("step", "step_size=2 gamma=0.5", 40, 10, s, step, 5);
  schedule_is ("step", "milestones=1,3", 40, 10, s, miles, 5);
  schedule_is ("cosine", "", 40, 10, c, cosine, 5);
  schedule_is ("cosine", "warmup=1 min_factor=0.2", 40, 10, w, warm, 6);
  schedule_is ("cosine", "warmup=6", 40, 10, all, rise, 3);
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
  tcase_add_loop_test (tc, test_no_decay, 0, 2);
  tcase_add_test (tc, test_bad_options);
  tcase_add_test (tc, test_schedules);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? 1 : 0;
}
