/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_int8exec.c: int8 networks in the executor: batches in slices give
 * the bytes of whole ones for any number of threads, what activations need,
 * what packing tells. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/backend.h>

#include "lib/effort.h"
#include "lib/network.h"
#include "lib/ok.h"

#define CLASSES 10
#define BATCH 7

/* MobileNetV2 in int8, its grids from one random sample. */
static struct qk_graph *
network (struct qk_context *ctx, int side)
{
  const struct qk_exec_options opt = { .batch = 1, .threads = 2 };
  struct qk_graph *g, *prepared, *int8;
  float *x = network_samples (1, side);
  const float *logits;
  struct qk_exec *ex;

  ck_assert_ptr_nonnull (x);
  OK (network_build (ctx, "mobilenet_v2", effort (1, 0) ? "" : "width=0.25",
                     side, CLASSES, &g));
  OK (network_fill (g));
  OK (network_prepare (g, 8, &prepared));
  qk_graph_set_observing (prepared, true, true);
  OK (qk_exec_new (prepared, &opt, &ex));
  OK (network_forward (ex, x, 1, QK_PASS_BATCH_STATS, &logits));
  qk_exec_free (ex);
  OK (qk_pass_convert (prepared, &int8));
  qk_graph_free (prepared);
  qk_graph_free (g);
  qk_free (x);
  return int8;
}

static struct qk_exec *
executor (struct qk_graph *g, const char *backend, int64_t batch, int threads,
          bool keep)
{
  const struct qk_exec_options opt = {
    .batch = batch, .threads = threads, .keep_values = keep, .backend = backend
  };
  struct qk_exec *ex;

  OK (qk_exec_new (g, &opt, &ex));
  return ex;
}

#define MOST_VALUES 100

/* Calls of a hook for each value, and their samples. */
struct seen {
  int64_t calls[MOST_VALUES], samples[MOST_VALUES];
};

static int
see (void *cookie, int value, const struct qk_tensor *t)
{
  struct seen *s = cookie;

  s->calls[value]++;
  s->samples[value] += t->shape.dims[0];
  return 0;
}

/* The first N of samples X give WANT; HAS_TAIL: the last nodes take more of
 * them at a time than the first. */
static void
compare (struct qk_graph *g, const char *backend, int threads, int64_t n,
         const float *x, const float *want, bool has_tail)
{
  struct qk_exec *ex = executor (g, backend, BATCH, threads, false);
  struct seen s = { { 0 }, { 0 } };
  const float *got;

  for (int i = 0; i < 3; i++) {
    OK (network_forward (ex, x, n, 0, &got));
    ck_assert_mem_eq (got, want, (size_t) n * CLASSES * sizeof *got);
  }
  qk_exec_set_hook (ex, see, &s);
  OK (network_forward (ex, x, n, 0, &got));
  ck_assert_mem_eq (got, want, (size_t) n * CLASSES * sizeof *got);
  for (int i = 0; i < g->n_values; i++)
    ck_assert_int_eq (s.samples[i], n);
  if (has_tail)
    ck_assert_int_gt (s.calls[g->input[0]], s.calls[g->output[0].value]);
  ck_assert_int_eq (network_forward (ex, x, BATCH + 1, 0, &got), -EINVAL);
  qk_exec_free (ex);
}

static const int sides[] = { 32, 96 };

START_TEST (slices)
{
  const int side = sides[_i];
  struct qk_context *ctx = qk_context_new ();
  struct qk_graph *g = network (ctx, side);
  float *x = network_samples (BATCH, side);
  /* keep_values: the batch goes as a whole */
  struct qk_exec *ex = executor (g, "reference", BATCH, 2, true);
  const float *want;

  ck_assert_ptr_nonnull (x);
  ck_assert_int_le (g->n_values, MOST_VALUES);
  OK (network_forward (ex, x, BATCH, 0, &want));
  for (int threads = 1; threads <= 3; threads++)
    for (int64_t n = 1; n <= BATCH; n += effort (3, 6))
      compare (g, "fbgemm", threads, n, x, want,
               side == 96 && n == BATCH && threads == 1 && effort (1, 0));
  compare (g, "reference", 2, BATCH, x, want, false);
  qk_exec_free (ex);
  qk_free (x);
  qk_graph_free (g);
  qk_context_free (ctx);
}
END_TEST

/* The first nodes, which take slices of a batch, read a constant; after that
 * there are more of them, so that other values could have its place. */
static struct qk_graph *
network_with_constant (struct qk_context *ctx, int side)
{
  const struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  const struct qk_tensor_spec image = network_image (side);
  const struct qk_shape s = { 4, { 1, side / 2, side / 2, 16 } };
  float *x = network_samples (1, side), *constant;
  struct qk_graph *g, *prepared, *int8;
  struct qk_exec *ex;
  const float *y;
  int v;

  constant = qk_alloc ((size_t) qk_shape_count (&s) * sizeof *constant);
  ck_assert_ptr_nonnull (x);
  ck_assert_ptr_nonnull (constant);
  network_between ("constant", qk_shape_count (&s), -1, 1, constant);
  OK (qk_graph_new (ctx, CLASSES, &g));
  v = qk_graph_input (g, &image);
  v = qk_graph_node (g, "first", "conv2d", &v, 1,
                     "out=16 kernel=3 stride=2 padding=1");
  v = qk_graph_node (
    g, "sum", "add",
    (int[]){ v, qk_graph_constant (g, "constant", &s, constant) }, 2, "%s",
    "");
  for (int i = 0; i < 4; i++)
    v = qk_graph_node (g, (const char *[]){ "a", "b", "c", "d" }[i], "conv2d",
                       &v, 1, "out=16 kernel=3 padding=1");
  v = qk_graph_node (g, "small", "conv2d", &v, 1, "out=64 kernel=8 stride=8");
  v = qk_graph_node (g, "large", "conv2d", &v, 1,
                     "out=512 kernel=3 padding=1");
  v = qk_graph_node (g, "pool", "global_avgpool", &v, 1, "%s", "");
  v = qk_graph_node (g, "end", "linear", &v, 1, "out=%d", CLASSES);
  OK (qk_graph_output (g, "logits", v));
  OK (qk_graph_finish (g));
  OK (network_fill (g));
  OK (network_prepare (g, 8, &prepared));
  qk_graph_set_observing (prepared, true, true);
  OK (qk_exec_new (prepared, &opt, &ex));
  OK (network_forward (ex, x, 1, 0, &y));
  qk_exec_free (ex);
  OK (qk_pass_convert (prepared, &int8));
  qk_graph_free (prepared);
  qk_graph_free (g);
  qk_free (constant);
  qk_free (x);
  return int8;
}

START_TEST (slices_with_constant)
{
  const int side = 128;
  struct qk_context *ctx = qk_context_new ();
  struct qk_graph *g = network_with_constant (ctx, side);
  float *x = network_samples (BATCH, side);
  struct qk_exec *ex = executor (g, "reference", BATCH, 1, true);
  const float *want;

  ck_assert_ptr_nonnull (x);
  OK (network_forward (ex, x, BATCH, 0, &want));
  for (int threads = 1; threads <= 2; threads++)
    compare (g, "fbgemm", threads, BATCH, x, want, threads == 1);
  qk_exec_free (ex);
  qk_free (x);
  qk_graph_free (g);
  qk_context_free (ctx);
}
END_TEST

START_TEST (memory)
{
  struct qk_context *ctx = qk_context_new ();
  struct qk_graph *g = network (ctx, 224);
  struct qk_exec *ex = executor (g, "fbgemm", 1, 1, false);

  ck_assert_uint_lt (qk_exec_memory (ex), 3000000);
  qk_exec_free (ex);
  qk_graph_free (g);
  qk_context_free (ctx);
}
END_TEST

/* The number behind KEY= in a backend's facts. */
static double
fact (const char *facts, const char *key)
{
  const char *at = strstr (facts, key);

  ck_assert_msg (at != NULL, "no %s in '%s'", key, facts);
  return atof (at + strlen (key));
}

/* Whether fbgemm runs at LEVEL now. */
static bool
is_level (struct qk_context *ctx, const char *level)
{
  const struct qk_class *c;
  struct qk_backend_caps caps;

  OK (qk_context_class (ctx, QK_KIND_BACKEND, "fbgemm", &c));
  OK (((const struct qk_backend_class *) (const void *) c)->probe (&caps));
  return strcmp (caps.cpu_level, level) == 0;
}

START_TEST (facts)
{
  struct qk_context *ctx = qk_context_new ();
  struct qk_graph *g = network (ctx, 32);
  struct qk_exec *ex;
  char text[256];
  int told = 0;

  setenv ("QATKIT_CPU", "avx2", 1);
  ex = executor (g, "fbgemm", 1, 1, false);
  for (int i = 0; i < g->n_nodes; i++) {
    OK (qk_exec_facts (ex, i, text, sizeof text));
    if (text[0] == '\0')
      continue;
    told++;
    ck_assert (fact (text, "safe=") > 0.3 && fact (text, "safe=") <= 1);
    if (g->node[i].op.groups == 1 && strstr (text, "chain=") != NULL)
      ck_assert (fact (text, "chain=") >= 1 && fact (text, "extra=") >= 0);
  }
  qk_exec_free (ex);
  /* each of the 53 layers with weights, where the CPU has the level */
  ck_assert_int_eq (told, is_level (ctx, "avx2") ? 53 : 0);
  setenv ("QATKIT_CPU", "portable", 1);
  ex = executor (g, "fbgemm", 1, 1, false);
  for (int i = 0; i < g->n_nodes; i++) {
    OK (qk_exec_facts (ex, i, text, sizeof text));
    ck_assert_str_eq (text, "");
  }
  qk_exec_free (ex);
  unsetenv ("QATKIT_CPU");
  qk_graph_free (g);
  qk_context_free (ctx);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("int8exec");
  TCase *t = tcase_create ("int8exec");
  SRunner *r;
  int failed;

  tcase_set_timeout (t, 120);
  tcase_add_loop_test (t, slices, 0, 2);
  tcase_add_test (t, slices_with_constant);
  tcase_add_test (t, memory);
  tcase_add_test (t, facts);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
