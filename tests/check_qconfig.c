/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_qconfig.c: what the configuration quantizes, and how: the defaults
 * for a backend as PyTorch's get_default_qat_qconfig and get_default_qconfig,
 * presets, patterns, and the ledger that tells of it. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/session.h"
#include "run/coverage.h"
#include "lib/network.h"
#include "quant/quantizer-priv.h"
#include "lib/ok.h"

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))

/* What probe says of a backend on a machine; the tests must not depend on
 * the one they run on. */
static const struct qk_backend_caps fbgemm = { true, 7, true, "avx2", true };
static const struct qk_backend_caps qnnpack
  = { false, 8, true, "neon", false };

static struct qk_context *ctx;
static struct qk_graph *g;
static struct qk_settings *settings;
static struct qk_graph *p;

static void
setup (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  OK (network_small (ctx, &g));
}

static void
forget (void)
{
  qk_graph_free (p);
  qk_settings_free (settings);
  p = NULL;
  settings = NULL;
}

static void
teardown (void)
{
  forget ();
  qk_graph_free (g);
  qk_context_free (ctx);
}

/* p becomes g prepared as TEXT says. */
static int
try_prepare (const char *text, const struct qk_backend_caps *caps, bool ptq)
{
  static const char base[]
    = "[data]\ndataset = shapes\n[qat]\nbackend = reference\n";
  char all[1024];
  struct qk_ini *ini;
  bool settled;

  forget ();
  snprintf (all, sizeof all, "%s%s", base, text);
  OK (qk_ini_parse (all, strlen (all), "test.ini", &ini));
  settled = qk_ini_get (ini, "qconfig", "activation.bits") == NULL;
  OK (qk_settings_new (ctx, ini, &settings));
  /* as on another machine: its bits are not yet written down */
  settings->caps = *caps;
  if (settled)
    OK (qk_ini_set (ini, "qconfig", "activation.bits", "0", "test.ini"));
  return qk_settings_prepare (settings, g, ptq, &p);
}

static void
prepare (const char *text, const struct qk_backend_caps *caps, bool ptq)
{
  OK (try_prepare (text, caps, ptq));
}

static const struct qk_node *
node (const char *name)
{
  const int i = qk_graph_find_node (p, name);

  ck_assert_int_ge (i, 0);
  return &p->node[i];
}

/* A quantizer as PyTorch's table says it. */
static void
assert_quantizer (const struct qk_quantizer *qz, const char *observer,
                  int qmin, int qmax, int64_t channels)
{
  const struct qk_quant_info *info = qk_quantizer_info (qz);

  ck_assert_str_eq (qk_quantizer_observer_name (qz), observer);
  ck_assert_int_eq (info->qmin, qmin);
  ck_assert_int_eq (info->qmax, qmax);
  ck_assert_int_eq (info->channels, channels);
  ck_assert (info->symmetric == info->weight);
}

/* get_default_qat_qconfig and get_default_qconfig of "fbgemm" and
 * "qnnpack": reduce_range is 7 bits. */
START_TEST (defaults_by_backend)
{
  const bool ptq = _i & 1, fb = _i < 2;
  const char *value = ptq ? "histogram" : "moving_average_minmax";
  const char *weight = ptq ? "minmax" : "moving_average_minmax";
  const int most = fb ? 127 : 255;

  prepare ("", fb ? &fbgemm : &qnnpack, ptq);
  assert_quantizer (p->value[0].qz, value, 0, most, 1);
  assert_quantizer (p->value[node ("stem")->out].qz, value, 0, most, 1);
  assert_quantizer (p->value[node ("add")->out].qz, value, 0, most, 1);
  assert_quantizer (node ("stem")->weight_qz, weight, -128, 127, fb ? 8 : 1);
  assert_quantizer (node ("fc")->weight_qz, weight, -128, 127, fb ? 5 : 1);
  for (int i = 0; i < p->n_nodes; i++)
    ck_assert_int_eq (p->node[i].as, QK_AS_INT8);
}
END_TEST

START_TEST (presets)
{
  /* default_weight_only_qconfig: (Identity, weight) */
  prepare ("[qconfig]\npreset = weight_only\n", &qnnpack, _i);
  for (int i = 0; i < p->n_values; i++)
    ck_assert (p->value[i].qz == NULL && !p->value[i].on_grid);
  assert_quantizer (node ("stem")->weight_qz,
                    _i ? "minmax" : "moving_average_minmax", -128, 127, 1);
  ck_assert_int_eq (node ("stem")->as, QK_AS_WEIGHTS);
  ck_assert_int_eq (node ("add")->as, QK_AS_FLOAT);

  /* default_activation_only_qconfig: (values, Identity) */
  prepare ("[qconfig]\npreset = activation_only\n", &qnnpack, _i);
  ck_assert_ptr_null (node ("stem")->weight_qz);
  ck_assert_int_eq (node ("stem")->as, QK_AS_VALUES);
  assert_quantizer (p->value[node ("stem")->out].qz,
                    _i ? "histogram" : "moving_average_minmax", 0, 255, 1);
  ck_assert_int_eq (node ("add")->as, QK_AS_INT8);

  prepare ("[qconfig]\npreset = float\n", &qnnpack, _i);
  for (int i = 0; i < p->n_nodes; i++)
    ck_assert_int_eq (p->node[i].as, QK_AS_FLOAT);
  ck_assert_ptr_null (p->value[0].qz);

  /* by pattern, and back */
  prepare ("[qconfig]\npreset = float\n[qconfig d*]\npreset = default\n"
           "weight.bits = 3\n[qconfig head]\npreset = weight_only\n",
           &fbgemm, _i);
  ck_assert_int_eq (node ("stem")->as, QK_AS_FLOAT);
  ck_assert_int_eq (node ("depthwise")->as, QK_AS_INT8);
  ck_assert_int_eq (qk_quantizer_info (node ("depthwise")->weight_qz)->bits,
                    3);
  ck_assert_int_eq (node ("head")->as, QK_AS_WEIGHTS);
  /* what the int8 node takes lies on a grid, what the float one gives not */
  ck_assert (p->value[node ("expand")->out].on_grid);
  ck_assert (!p->value[node ("stem")->out].on_grid);
}
END_TEST

START_TEST (dynamic_mode)
{
  prepare ("[ptq]\nmode = dynamic\n", &fbgemm, true);
  ck_assert_int_eq (node ("fc")->as, QK_AS_DYNAMIC);
  ck_assert_int_eq (node ("fc")->dynamic_bits, 7);
  assert_quantizer (node ("fc")->weight_qz, "minmax", -128, 127, 1);
  ck_assert_int_eq (node ("stem")->as, QK_AS_FLOAT);
  /* QAT has none of it */
  prepare ("[ptq]\nmode = dynamic\n", &fbgemm, false);
  ck_assert_int_eq (node ("fc")->as, QK_AS_INT8);
  /* asked otherwise */
  prepare ("[ptq]\nmode = dynamic\n[qconfig]\nweight.per_channel = yes\n"
           "activation.bits = 8\n",
           &fbgemm, true);
  assert_quantizer (node ("fc")->weight_qz, "minmax", -128, 127, 5);
  ck_assert_int_eq (node ("fc")->dynamic_bits, 8);
  prepare ("[ptq]\nmode = dynamic\n[qconfig fc]\nquantize = no\n", &fbgemm,
           true);
  ck_assert_int_eq (node ("fc")->as, QK_AS_FLOAT);
}
END_TEST

/* ---- the ledger --------------------------------------------------------- */

START_TEST (ledger)
{
  double sum = 0;
  char *text;

  prepare ("", &fbgemm, false);
  text = qk_coverage_sentence (p);
  ck_assert_str_eq (text, "8 nodes int8, 100.0 % of MACs");
  free (text);
  for (int i = 0; i < p->n_nodes; i++)
    sum += qk_coverage_share (p, i);
  ck_assert_double_eq_tol (sum, 1.0, 1e-12);

  prepare ("[qconfig fc]\nquantize = no\n[qconfig e*]\npreset = weight_only\n"
           "[qconfig d*]\npreset = activation_only\n",
           &fbgemm, false);
  text = qk_coverage_sentence (p);
  ck_assert_ptr_nonnull (strstr (text, "5 nodes int8, "));
  ck_assert_ptr_nonnull (
    strstr (text, "; weights only: expand (only weights are quantized; "));
  ck_assert_ptr_nonnull (strstr (
    text, "; activations only: depthwise (only activations are quantized; "));
  ck_assert_ptr_nonnull (
    strstr (text, "; float: fc (left in float by its qconfig; "));
  free (text);

  prepare ("[qconfig]\npreset = float\n", &fbgemm, false);
  text = qk_coverage_sentence (p);
  ck_assert_str_eq (text, "0 nodes int8, 0.0 % of MACs; float: stem, expand, "
                          "depthwise and 5 more (left in float by its "
                          "qconfig; 100.0 %)");
  free (text);
}
END_TEST

START_TEST (strict)
{
  ck_assert_int_eq (
    try_prepare ("[qconfig fc]\npreset = weight_only\n", &fbgemm, false), 0);
  forget ();
  {
    const char text[] = "[data]\ndataset = shapes\n[qat]\nstrict = yes\n"
                        "backend = reference\n"
                        "[qconfig fc]\npreset = weight_only\n";
    struct qk_ini *ini;

    OK (qk_ini_parse (text, sizeof text - 1, "test.ini", &ini));
    OK (qk_settings_new (ctx, ini, &settings));
    ck_assert_int_eq (qk_settings_prepare (settings, g, false, &p), -EINVAL);
    ck_assert_ptr_nonnull (strstr (qk_error_message (), "'fc'"));
    p = NULL;
  }
}
END_TEST

/* ---- methods ------------------------------------------------------------- */

static int
try_job (const char *text)
{
  struct qk_ini *ini;

  forget ();
  OK (qk_ini_parse (text, strlen (text), "test.ini", &ini));
  return qk_settings_new (ctx, ini, &settings);
}

START_TEST (methods)
{
  ck_assert_int_eq (
    try_job ("[data]\ndataset = shapes\n[qat]\n"
             "backend = reference\n[ptq]\nmethods = equalize, "
             "bias_correction adaround\nequalize.relu6 = skip\n"
             "adaround.iterations = 7\n"),
    0);
  ck_assert_int_eq (settings->n_methods, 3);
  ck_assert_str_eq (settings->method[0].cls->cls.name, "equalize");
  ck_assert_str_eq (settings->method[2].cls->cls.name, "adaround");
  ck_assert_str_eq (qk_config_string (settings->method[0].cfg, "relu6"),
                    "skip");
  ck_assert_int_eq (qk_config_int (settings->method[2].cfg, "iterations"), 7);

  ck_assert_int_lt (try_job ("[ptq]\nmethods = equalise\n"), 0);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "test.ini:2"));
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "equalize"));
  ck_assert_int_lt (try_job ("[ptq]\nmethods = equalize equalize\n"), 0);
  ck_assert_int_lt (
    try_job ("[ptq]\nmethods = equalize\nequalize.sweeps = 0\n"), 0);
}
END_TEST

/* What differs from machine to machine is written into the configuration that
 * checkpoints and models carry. */
START_TEST (bits_are_settled)
{
  static const char *const given[] = { "", "[qconfig]\nactivation.bits = 0\n",
                                       "[qconfig]\nactivation.bits = 5\n"
                                       "[qconfig fc]\nactivation.bits = 0\n" };
  static const char *const settled[] = { "8", "8", "5" };
  char all[256];
  struct qk_ini *ini;

  snprintf (all, sizeof all,
            "[data]\ndataset = shapes\n[qat]\nbackend = reference\n%s",
            given[_i]);
  OK (qk_ini_parse (all, strlen (all), "test.ini", &ini));
  OK (qk_settings_new (ctx, ini, &settings));
  ck_assert_str_eq (qk_ini_get (ini, "qconfig", "activation.bits"),
                    settled[_i]);
  if (_i == 2)
    ck_assert_str_eq (qk_ini_get (ini, "qconfig fc", "activation.bits"), "8");
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("qconfig");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_loop_test (t, defaults_by_backend, 0, 4);
  tcase_add_loop_test (t, presets, 0, 2);
  tcase_add_test (t, dynamic_mode);
  tcase_add_test (t, ledger);
  tcase_add_test (t, strict);
  tcase_add_test (t, methods);
  tcase_add_loop_test (t, bits_are_settled, 0, 3);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
