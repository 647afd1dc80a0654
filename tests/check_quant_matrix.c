/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_quant_matrix.c: every fake-quantizer at 2 to 8 bits, values also at 9 to
 * 16, affine and symmetric, weights per tensor and per channel, and every observer, trains a
 * small network, converts, and computes in int8 what was trained, byte for
 * byte. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/effort.h"
#include "lib/network.h"
#include "quant/quantizer-priv.h"
#include "lib/ok.h"

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))
#define SAMPLES 4

struct component {
  const char *name, *options;
};

static const struct component weight_fakequants[] = {
  { "affine", "" },  { "lsq", "" },
  { "dorefa", "" },  { "dorefa", "normalize=unit" },
  { "fixed", NULL }, /* see fixed_scale */
};
static const struct component value_fakequants[] = {
  { "affine", "" },
  { "lsq", "" },
  { "pact", "" },
  { "fixed", "scale=0.1 zero_point=1" },
};
/* What differs from those above in its gradient or its beginning alone: each one
 * with the next, not with all. */
static const struct component of_both[] = {
  { "lsq", "start=mse offset=yes" },
  { "ewgs", "" },
};
/* Those of one kind alone, a weight's and a value's.  Taking means away changes
 * what the network computes before batch-norm has followed, which three steps are
 * too few for: on the coarsest grids of pact, 2 bits around 0, all is 0 then. */
static const struct component of_one[][2] = {
  { { "normalized", "" }, { "lsq", "" } },
  { { "normalized", "alpha=2" }, { "affine", "" } },
  { { "normalized", "size=unit alpha=2" }, { "pact", "lower=yes" } },
};
static const struct component observers[] = {
  { "minmax", "" },
  { "moving_average_minmax", "" },
  { "histogram", "" },
  { "histogram", "compat=torch1.13" },
  { "percentile", "percentile=99" },
  { "mse", "" },
  { "kl", "" },
  { "fixed", "min=-1 max=3" },
};
static const int widths[] = { 2, 3, 4, 5, 6, 7, 8 };
static const char *const fixed_scale[]
  = { "scale=0.15",  "scale=0.1",   "scale=0.06", "scale=0.03",
      "scale=0.016", "scale=0.008", "scale=0.004" };

static struct qk_context *ctx;
static struct qk_graph *g;
static struct qk_exec_loss loss;
static float *x;

static void
setup (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  OK (network_small (ctx, &g));
  OK (network_loss (ctx, "softmax_cross_entropy", "", &loss));
  x = network_samples (SAMPLES, 8);
}

static void
teardown (void)
{
  qk_free (x);
  network_loss_free (&loss);
  qk_graph_free (g);
  qk_context_free (ctx);
}

/* Three steps of training, the last one frozen. */
static void
train (struct qk_graph *p, bool observe)
{
  const struct qk_exec_options opt = {
    .batch = SAMPLES, .threads = 1, .train = true, .n_losses = 1, .loss = &loss
  };
  const int32_t labels[SAMPLES] = { 0, 3, 1, 4 };
  struct qk_optimize *sgd;
  struct qk_exec *ex;
  const float *y;
  float mean;

  OK (qk_exec_new (p, &opt, &ex));
  OK (network_sgd (p, "lr=0.002 momentum=0.9", &sgd));
  for (int step = 0; step < 3; step++) {
    const bool frozen = step == 2;

    qk_graph_set_observing (p, observe && !frozen, observe && !frozen);
    OK (network_forward (
      ex, x, SAMPLES, QK_PASS_TRAIN | (frozen ? 0 : QK_PASS_BATCH_STATS), &y));
    OK (network_backward (ex, labels, &mean));
    OK (qk_optimize_step (sgd, 3, 3));
  }
  OK (qk_graph_check_params (p));
  qk_optimize_free (sgd);
  qk_exec_free (ex);
}

/* How many nodes give more than one value: the network is alive. */
static int
alive (struct qk_graph *p)
{
  const struct qk_exec_options opt
    = { .batch = SAMPLES, .threads = 1, .keep_values = true };
  struct qk_exec *ex;
  const float *y;
  int n = 0;

  OK (qk_exec_new (p, &opt, &ex));
  OK (network_forward (ex, x, SAMPLES, 0, &y));
  for (int i = 0; i < p->n_nodes; i++) {
    const struct qk_tensor *t = qk_exec_value (ex, p->node[i].out);
    const unsigned char *b = t->data;
    const size_t size
      = (size_t) qk_shape_count (&t->shape) * qk_dtype_size (t->dtype);

    for (size_t j = 1; j < size; j++)
      if (b[j] != b[0]) {
        n++;
        break;
      }
  }
  qk_exec_free (ex);
  return n;
}

static void
prove (const struct network_quant *how, bool observe)
{
  struct qk_graph *p, *int8;

  OK (network_prepare_as (g, how, &p));
  for (int i = 0; i < p->n_nodes; i++)
    ck_assert_msg (p->node[i].int8, "%s stays in float", p->node[i].name);
  train (p, observe);
  OK (qk_pass_convert (p, &int8));
  OK (network_differing (p, int8, x, SAMPLES));
  ck_assert_int_eq (network_differing (p, int8, x, SAMPLES), 0);
  ck_assert_int_ge (alive (p), p->n_nodes / 2);
  qk_graph_free (int8);
  qk_graph_free (p);
}

static void
train_and_convert (const struct component *w, const struct component *v)
{
  for (int b = 0; b < COUNT (widths); b += effort (1, COUNT (widths) - 1))
    for (int i = 0; i < 4; i++) {
      const struct network_quant how = {
        .value_fakequant = v->name,
        .value_fakequant_options = v->options,
        .weight_fakequant = w->name,
        .weight_fakequant_options
        = w->options != NULL ? w->options : fixed_scale[b],
        .value_bits = widths[b],
        .weight_bits = widths[b],
        .symmetric = i & 1,
        .per_channel = i & 2,
        .quantize_outputs = b == 0,
      };

      prove (&how, true);
    }
}

START_TEST (fakequants_train_and_convert)
{
  train_and_convert (&weight_fakequants[_i / COUNT (value_fakequants)],
                     &value_fakequants[_i % COUNT (value_fakequants)]);
}
END_TEST

START_TEST (pairs_train_and_convert)
{
  train_and_convert (&of_one[_i][0], &of_one[_i][1]);
}
END_TEST

START_TEST (others_train_and_convert)
{
  train_and_convert (&of_both[_i], &of_both[(_i + 1) % COUNT (of_both)]);
}
END_TEST

static int
configuration (const struct qk_class *c, const char *options,
               struct qk_config **out)
{
  return qk_config_parse (c->options, options != NULL ? options : "", "test",
                          out);
}

/* The quantizer QZ of P gets BITS, its options being those of how it was made. */
static void
change (struct qk_quantizer *qz, const struct component *fq,
        const struct component *observer, int bits)
{
  struct qk_quant_info info = *qk_quantizer_info (qz);
  struct qk_config *obs_cfg, *fq_cfg;
  const struct qk_class *oc, *fc;

  info.bits = bits;
  info.qmin = info.weight ? -(1 << (bits - 1)) : 0;
  info.qmax = (1 << (bits - info.weight)) - 1;
  OK (qk_context_class (ctx, QK_KIND_OBSERVER, observer->name, &oc));
  OK (qk_context_class (ctx, QK_KIND_FAKEQUANT, fq->name, &fc));
  OK (configuration (oc, observer->options, &obs_cfg));
  OK (configuration (fc, fq->options, &fq_cfg));
  OK (qk_quantizer_set_bits (qz, &info, obs_cfg, fq_cfg));
  qk_config_free (obs_cfg);
  qk_config_free (fq_cfg);
}

/* Trained at 8 bits, then with fewer, frozen or not, it still computes what it
 * becomes. */
static void
change_and_convert (const struct component *w, const struct component *v,
                    const struct component *observer, bool observe)
{
  for (int b = 0; b < COUNT (widths) - 1; b += effort (1, 3))
    for (int i = 0; i < 4; i++) {
      const bool channel = i & 2;
      const struct network_quant how
        = { .value_fakequant = v->name,
            .value_fakequant_options = v->options,
            .value_observer = observer->name,
            .value_observer_options = observer->options,
            .weight_fakequant = w->name,
            .weight_fakequant_options = w->options,
            .symmetric = i & 1,
            .per_channel = channel };
      static const struct component minmax = { "moving_average_minmax", "" };
      struct qk_quantizer *qz;
      struct qk_graph *p, *int8;
      int at = 0;

      OK (network_prepare_as (g, &how, &p));
      train (p, true);
      while ((qz = qk_graph_next_quantizer (p, &at)) != NULL)
        change (qz, qk_quantizer_info (qz)->weight ? w : v,
                qk_quantizer_info (qz)->weight ? &minmax : observer,
                widths[b]);
      train (p, observe);
      at = 0;
      while ((qz = qk_graph_next_quantizer (p, &at)) != NULL)
        ck_assert_int_eq (qk_quantizer_qparams (qz)->qmax,
                          qk_quantizer_info (qz)->qmax);
      OK (qk_pass_convert (p, &int8));
      ck_assert_int_eq (network_differing (p, int8, x, SAMPLES), 0);
      ck_assert_int_ge (alive (p), p->n_nodes / 2);
      qk_graph_free (int8);
      qk_graph_free (p);
    }
}

static const struct component changing[][2] = {
  { { "affine", "" }, { "affine", "" } },
  { { "lsq", "start=mse" }, { "lsq", "start=mse" } },
  { { "lsq", "" }, { "lsq", "offset=yes" } },
  { { "dorefa", "" }, { "pact", "" } },
  { { "normalized", "" }, { "pact", "lower=yes" } },
  { { "ewgs", "" }, { "ewgs", "" } },
};

START_TEST (bits_change_and_convert)
{
  change_and_convert (&changing[_i / 2][0], &changing[_i / 2][1],
                      &observers[_i % (COUNT (observers) - 1)], _i % 2);
}
END_TEST

/* Values of more than 8 bits: of all nodes, or of some, with each observer and
 * fake-quantizer in turn. */
START_TEST (wide_values_train_and_convert)
{
  static const int bits[] = { 9, 12, 16 };
  const struct component *v = &value_fakequants[_i % COUNT (value_fakequants)];
  const struct component *o = &observers[_i % COUNT (observers)];

  for (int i = 0; i < COUNT (bits); i += effort (1, COUNT (bits) - 1))
    for (int every = 1; every <= 3; every++) {
      const struct network_quant how = {
        .value_fakequant = v->name,
        .value_fakequant_options = v->options,
        .value_observer = o->name,
        .value_observer_options = o->options,
        .value_bits = bits[i],
        .weight_bits = i == 1 ? 4 : 8,
        .wide_every = every,
        .symmetric = i == 2,
        .per_channel = every == 1,
        .quantize_outputs = i == 0,
      };

      prove (&how, true);
    }
}
END_TEST

START_TEST (observers_train_and_convert)
{
  const struct component *o = &observers[_i];

  for (int b = 0; b < COUNT (widths); b += COUNT (widths) - 1)
    for (int i = 0; i < 4; i++) {
      const bool channel = i & 2;
      /* per tensor by their nature */
      const bool other = channel
                         && (strcmp (o->name, "kl") == 0
                             || strcmp (o->name, "histogram") == 0);
      const struct network_quant how = {
        .value_observer = o->name,
        .value_observer_options = o->options,
        .weight_observer = other ? "mse" : o->name,
        .weight_observer_options = other ? ""
                                   : strcmp (o->name, "fixed") == 0
                                     ? "min=-0.4 max=0.4"
                                     : o->options,
        .value_bits = widths[b],
        .weight_bits = widths[b],
        .symmetric = i & 1,
        .per_channel = channel,
      };

      prove (&how, true);
    }
}
END_TEST

/* Frozen before the first batch, fixed grids are in force all the same. */
START_TEST (fixed_needs_no_batch)
{
  const struct network_quant grid = {
    .value_fakequant = "fixed",
    .value_fakequant_options = "scale=0.1 zero_point=1",
    .weight_fakequant = "fixed",
    .weight_fakequant_options = "scale=0.05",
  };
  const struct network_quant range = {
    .value_observer = "fixed",
    .value_observer_options = "min=-1 max=3",
    .weight_observer = "fixed",
    .weight_observer_options = "min=-1 max=1",
    .per_channel = true,
  };
  struct qk_graph *p;

  OK (network_prepare_as (g, _i ? &range : &grid, &p));
  ck_assert_float_eq (qk_quantizer_qparams (p->value[0].qz)->scale,
                      _i ? 4.0f / 255.0f : 0.1f);
  ck_assert_float_eq (qk_quantizer_qparams (p->node[0].weight_qz)->scale,
                      _i ? 2.0f / 255.0f : 0.05f);
  qk_graph_free (p);
  prove (_i ? &range : &grid, false);
}
END_TEST

/* Evaluation of other samples moves no range. */
START_TEST (evaluation_moves_nothing)
{
  const struct network_quant how
    = { .value_observer = observers[_i].name,
        .value_observer_options = observers[_i].options,
        .per_channel = true };
  const struct qk_exec_options opt = { .batch = SAMPLES, .threads = 1 };
  struct qk_qparams before[64];
  struct qk_quantizer *qz;
  struct qk_graph *p;
  struct qk_exec *ex;
  const float *y;
  int n, at = 0;

  OK (network_prepare_as (g, &how, &p));
  train (p, true);
  qk_graph_set_observing (p, false, false);
  for (n = 0; (qz = qk_graph_next_quantizer (p, &at)) != NULL; n++) {
    ck_assert_int_lt (n, COUNT (before));
    before[n] = *qk_quantizer_qparams (qz);
    ck_assert (!qk_quantizer_observing (qz));
  }
  ck_assert_int_gt (n, 8);
  for (int i = 0; i < SAMPLES * 8 * 8 * 3; i++)
    x[i] *= 100.0f;
  OK (qk_exec_new (p, &opt, &ex));
  OK (network_forward (ex, x, SAMPLES, 0, &y));
  at = 0;
  for (n = 0; (qz = qk_graph_next_quantizer (p, &at)) != NULL; n++) {
    OK (qk_quantizer_refresh (qz)); /* from the observer's own state */
    ck_assert_mem_eq (&before[n], qk_quantizer_qparams (qz), sizeof before[n]);
  }
  qk_exec_free (ex);
  qk_graph_free (p);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("quant_matrix");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_set_timeout (t, 300);
  tcase_add_loop_test (t, fakequants_train_and_convert, 0,
                       COUNT (weight_fakequants) * COUNT (value_fakequants));
  tcase_add_loop_test (t, pairs_train_and_convert, 0, COUNT (of_one));
  tcase_add_loop_test (t, others_train_and_convert, 0, COUNT (of_both));
  tcase_add_loop_test (t, bits_change_and_convert, 0, 2 * COUNT (changing));
  tcase_add_loop_test (t, wide_values_train_and_convert, 0, COUNT (observers));
  tcase_add_loop_test (t, observers_train_and_convert, 0, COUNT (observers));
  tcase_add_loop_test (t, fixed_needs_no_batch, 0, 2);
  tcase_add_loop_test (t, evaluation_moves_nothing, 0, COUNT (observers));
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
