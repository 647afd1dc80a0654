/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_split.c: values that products and others take, twice in the network. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/network.h"
#include "lib/ok.h"

#define SAMPLES 4

static struct qk_context *ctx;
static float *x;

static void
setup (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  x = network_samples (SAMPLES, 8);
  ck_assert_ptr_nonnull (x);
}

static void
teardown (void)
{
  qk_free (x);
  qk_context_free (ctx);
}

/* The name of what node NAME takes as its input number I. */
static const char *
taken (const struct qk_graph *g, const char *name, int i)
{
  int n = qk_graph_find_node (g, name);

  ck_assert_msg (n >= 0, "no node '%s'", name);
  ck_assert_int_lt (i, g->node[n].n_in);
  n = g->value[g->node[n].in[i]].producer;
  return n < 0 ? "input" : g->node[n].name;
}

/* Both give the same numbers, bit for bit. */
static void
check_same (struct qk_graph *a, struct qk_graph *b)
{
  const struct qk_exec_options opt = { .batch = SAMPLES, .threads = 1 };
  struct qk_graph *g[2] = { a, b };
  struct qk_exec *ex[2];
  const float *y[2];

  for (int i = 0; i < 2; i++) {
    OK (qk_exec_new (g[i], &opt, &ex[i]));
    OK (network_forward (ex[i], x, SAMPLES, 0, &y[i]));
  }
  ck_assert_mem_eq (
    y[0], y[1],
    sizeof *y[0] * SAMPLES
      * (size_t) qk_shape_count (&a->value[a->output[0].value].shape));
  for (int i = 0; i < 2; i++)
    qk_exec_free (ex[i]);
}

/* What goes round a block is read by the sum as it is, by the block's first
 * convolution anew; what it has alone is not. */
START_TEST (round_a_block)
{
  struct qk_graph *g, *s, *fused[2];
  int relu;

  OK (network_small (ctx, &g));
  OK (qk_pass_split (g, &s));
  ck_assert_int_eq (s->n_nodes, g->n_nodes + 1);
  ck_assert_ptr_nonnull (strstr (taken (s, "expand", 0), ".requantize"));
  ck_assert_str_eq (taken (s, "add", 0), taken (g, "add", 0));
  ck_assert_str_eq (taken (s, taken (s, "expand", 0), 0),
                    taken (g, "expand", 0));
  relu = qk_graph_find_node (s, taken (s, "add", 0));
  ck_assert_int_eq (s->value[s->node[relu].out].n_consumers, 2);
  check_same (g, s);
  OK (qk_pass_fuse (g, &fused[0]));
  OK (qk_pass_fuse (s, &fused[1]));
  ck_assert_int_eq (fused[1]->n_nodes, fused[0]->n_nodes + 1);
  check_same (fused[0], fused[1]);
  for (int i = 0; i < 2; i++)
    qk_graph_free (fused[i]);
  qk_graph_free (s);
  qk_graph_free (g);
}
END_TEST

/* Before a clamp that hands on what a product takes; what the user reads as well;
 * not what the last layer takes, through a mean. */
START_TEST (clamps_and_outputs)
{
  const struct qk_tensor_spec image = network_image (8);
  struct qk_graph *g, *s;
  int v, both[2];

  OK (qk_graph_new (ctx, 1, &g));
  v = qk_graph_input (g, &image);
  v = both[0] = qk_graph_node (g, "a", "conv2d", &v, 1, "out=4 kernel=1");
  v = qk_graph_node (g, "relu", "relu", &v, 1, "%s", "");
  both[1] = qk_graph_node (g, "b", "conv2d", &v, 1, "out=4 kernel=1");
  both[0] = qk_graph_node (g, "sum", "add", both, 2, "%s", "");
  both[1] = qk_graph_node (g, "c", "conv2d", both, 1, "out=4 kernel=1");
  v = qk_graph_node (g, "again", "add", both, 2, "%s", "");
  v = qk_graph_node (g, "mean", "global_avgpool", &v, 1, "%s", "");
  v = qk_graph_node (g, "fc", "linear", &v, 1, "out=5");
  OK (qk_graph_output (g, "logits", v));
  OK (qk_graph_output (g, "sum", both[0]));
  OK (qk_graph_finish (g));
  OK (network_fill (g));

  OK (qk_pass_split (g, &s));
  ck_assert_int_eq (s->n_nodes, g->n_nodes + 2);
  ck_assert_str_eq (taken (s, "relu", 0), "a.requantize");
  ck_assert_str_eq (taken (s, "b", 0), "relu");
  ck_assert_str_eq (taken (s, "sum", 0), "a");
  ck_assert_str_eq (taken (s, "c", 0), "sum.requantize");
  ck_assert_str_eq (taken (s, "again", 0), "sum");
  ck_assert_str_eq (taken (s, "mean", 0), "again");
  ck_assert_str_eq (taken (s, "fc", 0), "mean");
  ck_assert_str_eq (s->node[s->value[s->output[1].value].producer].name,
                    "sum");
  check_same (g, s);
  qk_graph_free (s);
  qk_graph_free (g);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("split");
  TCase *t = tcase_create ("split");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_test (t, round_a_block);
  tcase_add_test (t, clamps_and_outputs);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
