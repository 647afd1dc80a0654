/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_ptq.c: post-training quantization: methods that change weights,
 * weights or values alone, dynamic layers against PyTorch. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qatkit/numeric.h>

#include "golden/dynamic_golden.h"
#include "lib/calibrated.h"
#include "model/modelfile.h"
#include "quant/quantizer-priv.h"
#include "lib/ok.h"

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))
#define BATCH CALIBRATED_BATCH
#define BATCHES CALIBRATED_BATCHES

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

static void
begin (void)
{
  calibrated_begin (&net);
}

static void
calibrate (const struct network_quant *how)
{
  calibrated_quantize (&net, how);
}

static void
method (const char *name, const char *options, bool after)
{
  calibrated_method (&net, name, options, after);
}

static void
logits_of (struct qk_graph *of, float out[BATCHES * BATCH * 5])
{
  calibrated_logits (&net, of, out);
}

static int
node_of (const char *name)
{
  return calibrated_node (&net, name);
}

static double
squared_error (const float *a, const float *b)
{
  double sum = 0;

  for (int i = 0; i < BATCHES * BATCH * 5; i++)
    sum += ((double) a[i] - (double) b[i]) * ((double) a[i] - (double) b[i]);
  return sum;
}

static void
convert_exactly (void)
{
  calibrated_convert (&net);
}

/* ---- weights ------------------------------------------------------------ */

START_TEST (weights_come_back)
{
  static float before[BATCHES * BATCH * 5], after[BATCHES * BATCH * 5];
  float w[16 * 144], b[64], v[16 * 144], c[64];
  struct qk_ptq_node info;

  begin ();
  logits_of (net.p.real, before);
  for (int i = 0; i < qk_ptq_count (&net.p); i++) {
    qk_ptq_node (&net.p, i, &info);
    if (info.channels == 0)
      continue;
    ck_assert_int_le (info.channels * info.per_channel, COUNT (w));
    OK (qk_ptq_get_weight (&net.p, i, w, b));
    w[0] += 0.25f;
    b[1] -= 0.5f;
    OK (qk_ptq_set_weight (&net.p, i, w, b));
    OK (qk_ptq_get_weight (&net.p, i, v, c));
    ck_assert_mem_eq (w, v,
                      sizeof *w * (size_t) (info.channels * info.per_channel));
    ck_assert_mem_eq (b, c, sizeof *b * (size_t) info.channels);
    w[0] -= 0.25f;
    b[1] += 0.5f;
    OK (qk_ptq_set_weight (&net.p, i, w, NULL)); /* the bias stays */
    OK (qk_ptq_get_weight (&net.p, i, v, c));
    ck_assert_float_eq (c[1], b[1] - 0.5f);
    OK (qk_ptq_set_weight (&net.p, i, w, b));
  }
  logits_of (net.p.real, after);
  for (int i = 0; i < COUNT (after); i++)
    ck_assert_float_eq_tol (after[i], before[i], 1e-4f);
  qk_ptq_node (&net.p, node_of ("depthwise"), &info);
  ck_assert_int_eq (info.groups, 16);
  ck_assert_int_eq (info.per_channel, 9);
  ck_assert_float_eq (info.lo, 0.0f);
  ck_assert (isinf (info.hi));
  ck_assert_int_eq (qk_ptq_get_weight (&net.p, node_of ("add"), w, b),
                    -EINVAL);
}
END_TEST

/* ---- equalize ------------------------------------------------------------ */

static float
largest (const float *w, int n, int stride)
{
  float most = 0;

  for (int i = 0; i < n; i++)
    most = fmaxf (most, fabsf (w[i * stride]));
  return most;
}

START_TEST (equalize_keeps_the_function)
{
  static float before[BATCHES * BATCH * 5], after[BATCHES * BATCH * 5];
  float dw[16 * 9], project[8 * 16], expand[16 * 8], b[16];
  struct qk_ptq_node info;

  begin ();
  /* no sample reaches 6 */
  OK (qk_ptq_get_weight (&net.p, node_of ("expand"), expand, b));
  for (int i = 0; i < COUNT (expand); i++)
    expand[i] *= 0.02f;
  for (int i = 0; i < 8; i++) /* very different channels */
    expand[8 * 3 + i] *= 20.0f;
  OK (qk_ptq_set_weight (&net.p, node_of ("expand"), expand, b));
  logits_of (net.p.real, before);
  method ("equalize", "", false);
  logits_of (net.p.real, after);
  for (int i = 0; i < COUNT (after); i++)
    ck_assert_float_eq_tol (after[i], before[i], 2e-4f);
  qk_ptq_node (&net.p, node_of ("expand"), &info);
  ck_assert (isinf (info.hi) && info.lo == 0.0f);
  OK (qk_ptq_get_weight (&net.p, node_of ("expand"), expand, b));
  OK (qk_ptq_get_weight (&net.p, node_of ("depthwise"), dw, b));
  OK (qk_ptq_get_weight (&net.p, node_of ("project"), project, b));
  for (int c = 0; c < 16; c++) {
    const float r = largest (dw + 9 * c, 9, 1);

    ck_assert_float_eq_tol (largest (expand + 8 * c, 8, 1) / r, 1.0f, 1e-3f);
    ck_assert_float_eq_tol (largest (project + c, 8, 16) / r, 1.0f, 1e-3f);
  }
}
END_TEST

START_TEST (equalize_leaves_relu6)
{
  float before[16 * 8], after[16 * 8], dw[2][16 * 9], b[16];
  struct qk_ptq_node info;

  begin ();
  OK (qk_ptq_get_weight (&net.p, node_of ("expand"), before, b));
  OK (qk_ptq_get_weight (&net.p, node_of ("depthwise"), dw[0], b));
  method ("equalize", "relu6=skip", false);
  OK (qk_ptq_get_weight (&net.p, node_of ("expand"), after, b));
  OK (qk_ptq_get_weight (&net.p, node_of ("depthwise"), dw[1], b));
  ck_assert_mem_eq (before, after, sizeof after);
  ck_assert (memcmp (dw[0], dw[1], sizeof dw[0]) != 0); /* with project */
  qk_ptq_node (&net.p, node_of ("expand"), &info);
  ck_assert_float_eq (info.hi, 6.0f);
}
END_TEST

static float size_of_channel[16];

static int
take_sizes (void *cookie, const struct qk_tensor *real,
            const struct qk_tensor *quantized)
{
  const float *x = real->data;
  const int64_t n = qk_shape_count (&real->shape);

  ck_assert_ptr_null (cookie);
  ck_assert_ptr_null (quantized);
  for (int64_t i = 0; i < n; i++)
    size_of_channel[i % 16] = fmaxf (size_of_channel[i % 16], fabsf (x[i]));
  return 0;
}

/* Before a depthwise layer all channels that are there become equally large. */
START_TEST (equalize_by_activations)
{
  static float before[BATCHES * BATCH * 5], after[BATCHES * BATCH * 5];
  float expand[16 * 8], b[16], largest_channel = 0;
  int there = 0;

  begin ();
  OK (qk_ptq_get_weight (&net.p, node_of ("expand"), expand, b));
  for (int i = 0; i < COUNT (expand); i++)
    expand[i] *= 0.02f;
  for (int i = 0; i < 8; i++)
    expand[8 * 3 + i] *= 20.0f;
  OK (qk_ptq_set_weight (&net.p, node_of ("expand"), expand, b));
  logits_of (net.p.real, before);
  method ("equalize", "by=activations batches=100", false);
  logits_of (net.p.real, after);
  for (int i = 0; i < COUNT (after); i++)
    ck_assert_float_eq_tol (after[i], before[i], 2e-4f);
  memset (size_of_channel, 0, sizeof size_of_channel);
  OK (qk_ptq_inputs (&net.p, node_of ("depthwise"), 0, take_sizes, NULL));
  for (int c = 0; c < 16; c++)
    largest_channel = fmaxf (largest_channel, size_of_channel[c]);
  for (int c = 0; c < 16; c++)
    if (size_of_channel[c] > 0) {
      ck_assert_float_eq_tol (size_of_channel[c] / largest_channel, 1.0f,
                              1e-3f);
      there++;
    }
  ck_assert_int_gt (there, 4);
}
END_TEST

/* ---- bias correction ------------------------------------------------------ */

START_TEST (bias_correction_corrects_means)
{
  static float real[BATCHES * BATCH * 5], y[BATCHES * BATCH * 5];
  const struct network_quant how
    = { .value_bits = 5, .weight_bits = 3, .per_channel = _i };
  double off[2] = { 0, 0 };

  begin ();
  calibrate (&how);
  logits_of (net.p.real, real);
  for (int k = 0; k < 2; k++) {
    double worst = 0;

    logits_of (net.p.quantized, y);
    for (int c = 0; c < 5; c++) {
      double mean = 0;

      for (int i = c; i < COUNT (y); i += 5)
        mean += ((double) y[i] - (double) real[i]) / (BATCHES * BATCH);
      worst = fmax (worst, fabs (mean));
    }
    off[k] = worst;
    if (k == 0)
      method ("bias_correction", "batches=0", true);
  }
  /* what is left is the rounding of the biases, s_in s_w / 2 */
  ck_assert_double_gt (off[0], 0.02);
  ck_assert_double_lt (off[1], 0.02 * off[0] + 2e-3);
  convert_exactly ();
}
END_TEST

/* ---- adaround --------------------------------------------------------------- */

START_TEST (adaround_rounds_better)
{
  static float real[BATCHES * BATCH * 5], y[3][BATCHES * BATCH * 5];
  const struct network_quant how = { .weight_bits = 3, .per_channel = _i };
  float w[16 * 9], v[16 * 9], b[16], c[16];
  const struct qk_qparams *q;
  double before, after;
  int node;

  begin ();
  logits_of (net.p.real, real);
  for (int k = 0; k < 2; k++) {
    calibrate (&how);
    logits_of (net.p.quantized, y[0]);
    method ("adaround", "iterations=400 samples=384 batch=32", true);
    logits_of (net.p.quantized, y[1 + k]);
    if (k == 0)
      calibrated_forget (&net);
  }
  ck_assert_mem_eq (y[1], y[2], sizeof y[1]); /* repeats */
  before = squared_error (y[0], real);
  after = squared_error (y[1], real);
  ck_assert_msg (after < 0.7 * before, "squared error %g, was %g", after,
                 before);

  /* on the grid, at most one step from where they were */
  node = node_of ("depthwise");
  OK (qk_ptq_get_weight (&net.p, node, w, b));
  OK (qk_ptq_real_weight (&net.p, node, v, c));
  q = qk_quantizer_qparams (qk_ptq_weight_quantizer (&net.p, node));
  for (int i = 0; i < COUNT (w); i++) {
    const float s = q[_i ? i / 9 : 0].scale, u = w[i] / s;

    ck_assert_float_eq_tol (u, rintf (u), 1e-4f);
    ck_assert_float_lt (fabsf (w[i] - v[i]), 1.001f * s);
  }
  convert_exactly ();
}
END_TEST

/* All of them, one after the other; what comes out is an int8 network. */
START_TEST (methods_together)
{
  const struct network_quant how = { .weight_bits = 4, .value_bits = 7 };

  begin ();
  method ("equalize", "", false);
  calibrate (&how);
  method ("adaround", "iterations=50 samples=64", true);
  method ("bias_correction", "", true);
  convert_exactly ();
}
END_TEST

/* ---- weights or values alone --------------------------------------------- */

START_TEST (weights_alone)
{
  static float y[BATCHES * BATCH * 5], want[BATCHES * BATCH * 5];
  const struct network_quant how
    = { .mode = QK_Q_WEIGHTS, .weight_bits = 4, .per_channel = true };
  struct qk_graph *int8 = NULL;
  float w[16 * 144], b[16];
  int8_t q[16 * 144];
  struct qk_ptq_node info;

  begin ();
  calibrate (&how);
  ck_assert (qk_graph_is_analysis (net.p.quantized));
  for (int i = 0; i < net.p.quantized->n_values; i++)
    ck_assert (!net.p.quantized->value[i].on_grid);
  logits_of (net.p.quantized, y);
  ck_assert_int_eq (qk_pass_convert (net.p.quantized, &int8), -ENOTSUP);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "'stem'"));

  /* the same by hand: the float network with weights from the grid */
  for (int i = 0; i < qk_ptq_count (&net.p); i++) {
    struct qk_quantizer *qz = qk_ptq_weight_quantizer (&net.p, i);

    qk_ptq_node (&net.p, i, &info);
    if (info.channels == 0)
      continue;
    OK (qk_ptq_real_weight (&net.p, i, w, b));
    OK (qk_quantizer_forward_i8 (
      qz, w, (size_t) (info.channels * info.per_channel), q));
    for (int j = 0; j < info.channels * info.per_channel; j++)
      w[j]
        = (float) q[j] * qk_quantizer_qparams (qz)[j / info.per_channel].scale;
    {
      struct qk_graph *const quantized = net.p.quantized;

      net.p.quantized = NULL;
      OK (qk_ptq_set_weight (&net.p, i, w, b));
      net.p.quantized = quantized;
    }
  }
  logits_of (net.p.real, want);
  for (int i = 0; i < COUNT (y); i++)
    ck_assert_float_eq_tol (y[i], want[i], 2e-4f);
}
END_TEST

START_TEST (values_alone)
{
  static float real[BATCHES * BATCH * 5], y[BATCHES * BATCH * 5];
  const struct network_quant how
    = { .mode = QK_Q_VALUES, .value_bits = 8, .value_observer = "minmax" };
  static const float zeros[BATCHES * BATCH * 5];

  begin ();
  calibrate (&how);
  ck_assert (!qk_graph_is_analysis (net.p.quantized));
  for (int i = 0; i < net.p.quantized->n_nodes; i++) {
    const struct qk_node *n = &net.p.quantized->node[i];

    ck_assert_ptr_null (n->weight_qz);
    ck_assert_int_eq (n->as, n->traits.role == QK_ROLE_WEIGHTED ? QK_AS_VALUES
                                                                : QK_AS_INT8);
    ck_assert_int_eq (net.p.quantized->value[n->out].on_grid,
                      n->out != net.p.quantized->output[0].value);
  }
  logits_of (net.p.real, real);
  logits_of (net.p.quantized, y);
  ck_assert_double_gt (squared_error (y, real), 0);
  ck_assert_double_lt (squared_error (y, real),
                       0.01 * squared_error (real, zeros));
  convert_exactly ();
}
END_TEST

/* ---- dynamic ----------------------------------------------------------------- */

/* numbers of golden/dynamic_golden.py */
static float
dynamic_number (uint32_t seed, uint32_t i)
{
  uint32_t h = (i + 1000 * seed) * 2654435761u;

  h ^= h >> 15;
  h *= 2246822519u;
  return ((float) ((h >> 16) % 1025) - 512.0f) / 512.0f;
}

/* The network of one linear layer with the numbers of the script. */
static struct qk_graph *
linear_network (void)
{
  const struct qk_tensor_spec in = { .name = "image",
                                     .dtype = QK_F32,
                                     .shape = { 4, { 1, 1, 1, DYNAMIC_C } } };
  struct qk_graph *n;
  float *w, *b;
  int v;

  OK (qk_graph_new (net.ctx, 1, &n));
  v = qk_graph_input (n, &in);
  v = qk_graph_node (n, "flatten", "flatten", &v, 1, "%s", "");
  v = qk_graph_node (n, "fc", "linear", &v, 1, "out=%d", (int) DYNAMIC_K);
  OK (qk_graph_output (n, "logits", v));
  OK (qk_graph_finish (n));
  w = qk_graph_find_param (n, "fc.weight")->value.data;
  b = qk_graph_find_param (n, "fc.bias")->value.data;
  for (uint32_t i = 0; i < DYNAMIC_K * DYNAMIC_C; i++)
    w[i] = dynamic_number (1, i) * 0.25f;
  for (uint32_t i = 0; i < DYNAMIC_K; i++)
    b[i] = dynamic_number (2, i);
  return n;
}

/* Observe the weights; there is nothing else to observe. */
static void
observe_weights (struct qk_graph *n)
{
  const struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  const float x[DYNAMIC_C] = { 0 };
  struct qk_exec *ex;
  const float *y;

  qk_graph_set_observing (n, false, true);
  OK (qk_exec_new (n, &opt, &ex));
  OK (network_forward (ex, x, 1, 0, &y));
  qk_graph_set_observing (n, false, false);
  qk_exec_free (ex);
}

static void
check_dynamic (struct qk_graph *int8, const char *backend)
{
  const struct qk_exec_options opt
    = { .batch = DYNAMIC_N, .threads = 2, .backend = backend };
  float x[DYNAMIC_N * DYNAMIC_C];
  struct qk_exec *ex;
  const float *y;

  OK (qk_exec_new (int8, &opt, &ex));
  for (uint32_t c = 0; c < DYNAMIC_CASES; c++) {
    for (uint32_t i = 0; i < DYNAMIC_N * DYNAMIC_C; i++)
      x[i]
        = dynamic_number (3 + c, i) * dynamic_case[c][0] + dynamic_case[c][1];
    OK (network_forward (ex, x, DYNAMIC_N, 0, &y));
    ck_assert_mem_eq (y, dynamic_bits + c * DYNAMIC_N * DYNAMIC_K,
                      DYNAMIC_N * DYNAMIC_K * sizeof *y);
  }
  qk_exec_free (ex);
}

START_TEST (dynamic_as_pytorch)
{
  const struct network_quant how
    = { .mode = QK_Q_DYNAMIC, .weight_observer = "minmax" };
  const char *const names[] = { "a", "b", "c", "d", "e", "f", "g" };
  const struct qk_tensor_spec label = { .name = "label",
                                        .dtype = QK_I32,
                                        .shape = { 1, { 1 } },
                                        .categories = DYNAMIC_K,
                                        .category = names };
  const struct qk_model_info info = { 1, &label, "", NULL };
  struct qk_graph *n = linear_network (), *prepared, *int8;
  struct qk_model *m;
  char path[] = "dynamic-XXXXXX";
  const int fd = mkstemp (path);

  ck_assert_int_ge (fd, 0);
  close (fd);
  OK (network_prepare_as (n, &how, &prepared));
  ck_assert_int_eq (prepared->node[0].as, QK_AS_FLOAT);
  ck_assert_int_eq (prepared->node[1].as, QK_AS_DYNAMIC);
  observe_weights (prepared);
  OK (qk_pass_convert (prepared, &int8));
  ck_assert_int_eq (int8->node[1].op.kind, QK_OP_LINEAR_DYNAMIC);
  check_dynamic (int8, "reference");
  OK (qk_model_save (int8, &info, path));
  OK (qk_model_load (net.ctx, path, &m));
  check_dynamic (m->graph, "reference");
  check_dynamic (m->graph, NULL);
  /* a file that lies about the values' range */
  m->graph->node[1].op.hi = 1000;
  OK (qk_model_save (m->graph, &info, path));
  qk_model_free (m);
  ck_assert_int_eq (qk_model_load (net.ctx, path, &m), -EINVAL);
  unlink (path);
  qk_graph_free (int8);
  qk_graph_free (prepared);
  qk_graph_free (n);
}
END_TEST

/* Only the linear layer; the others stay as they are. */
START_TEST (dynamic_in_a_network)
{
  static float real[BATCHES * BATCH * 5], y[BATCHES * BATCH * 5];
  const struct network_quant how
    = { .mode = QK_Q_DYNAMIC, .weight_observer = "minmax", .value_bits = 7 };
  static const float zeros[BATCHES * BATCH * 5];
  struct qk_graph *int8;
  int dynamic = 0;

  begin ();
  logits_of (net.p.real, real);
  calibrate (&how);
  for (int i = 0; i < net.p.quantized->n_nodes; i++) {
    const struct qk_node *n = &net.p.quantized->node[i];

    dynamic += n->as == QK_AS_DYNAMIC;
    ck_assert (n->int8 == (strcmp (n->layer_name, "linear") == 0));
    ck_assert (n->int8 || n->skip_reason != NULL);
  }
  ck_assert_int_eq (dynamic, 1);
  OK (qk_pass_convert (net.p.quantized, &int8));
  ck_assert_int_eq (int8->node[int8->n_nodes - 1].op.hi, 127);
  logits_of (int8, y);
  ck_assert_double_gt (squared_error (y, real), 0);
  ck_assert_double_lt (squared_error (y, real),
                       0.002 * squared_error (real, zeros));
  qk_graph_free (int8);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("ptq");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_set_timeout (t, 300);
  tcase_add_test (t, weights_come_back);
  tcase_add_test (t, equalize_keeps_the_function);
  tcase_add_test (t, equalize_leaves_relu6);
  tcase_add_test (t, equalize_by_activations);
  tcase_add_loop_test (t, bias_correction_corrects_means, 0, 2);
  tcase_add_loop_test (t, adaround_rounds_better, 0, 2);
  tcase_add_test (t, methods_together);
  tcase_add_test (t, weights_alone);
  tcase_add_test (t, values_alone);
  tcase_add_test (t, dynamic_as_pytorch);
  tcase_add_test (t, dynamic_in_a_network);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
