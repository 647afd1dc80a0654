/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_stats.c: batch-norm statistics estimated anew, against the definition:
 * each batch alone, with the network as it was. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op-priv.h"
#include "lib/context.h"
#include "lib/network.h"
#include "lib/ok.h"
#include "quant/quantizer-priv.h"
#include "train/normstats.h"

#define BATCHES 3
#define BATCH 8
#define SIDE 8
#define SAMPLE (SIDE * SIDE * 3)
#define TRAINING (QK_PASS_TRAIN | QK_PASS_BATCH_STATS)

/* ---- samples, in order ------------------------------------------------------*/

static int
samples_info (void *self, struct qk_dataset_info *out)
{
  static const struct qk_tensor_spec input[]
    = { { "image", QK_F32, { 4, { 1, SIDE, SIDE, 3 } }, 0, NULL } };

  (void) self;
  memset (out, 0, sizeof *out);
  out->count = BATCHES * BATCH;
  out->n_inputs = 1;
  out->input = input;
  return 0;
}

static int
samples_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
              void *const *input, void *const *target)
{
  (void) worker;
  (void) rng;
  (void) target;
  memcpy (input[0], (const float *) self + index * SAMPLE,
          SAMPLE * sizeof (float));
  return 0;
}

static const struct qk_dataset_class samples_class = {
  .cls = { sizeof (struct qk_dataset_class), QK_KIND_DATASET, "samples",
           "for tests", NULL, 0, 0, NULL },
  .info = samples_info,
  .read = samples_read,
};

/* ---- a network at work ------------------------------------------------------*/

struct rig {
  struct qk_graph *plain, *g;
  struct qk_exec *ex;
  float *x;
  struct qk_batches *batches;
  struct qk_monitor monitor;
};

/* The small network, its quantizers calibrated on two steps. */
static void
open_rig (struct rig *b, bool quantized, bool per_channel)
{
  const struct network_quant how
    = { .weight_bits = 3, .value_bits = 8, .per_channel = per_channel };
  const struct qk_exec_options opt
    = { .batch = BATCH, .threads = 2, .train = true };
  const float *y;

  memset (b, 0, sizeof *b);
  OK (network_small (ctx, &b->plain));
  if (quantized)
    OK (network_prepare_as (b->plain, &how, &b->g));
  else
    OK (qk_graph_copy (b->plain, &b->g));
  b->x = network_samples (BATCHES * BATCH, SIDE);
  ck_assert_ptr_nonnull (b->x);
  OK (qk_exec_new (b->g, &opt, &b->ex));
  if (quantized)
    qk_graph_set_observing (b->g, true, true);
  for (int i = 0; i < 2; i++)
    OK (network_forward (b->ex, b->x, BATCH, TRAINING, &y));
  if (quantized)
    qk_graph_set_observing (b->g, false, false);
  OK (qk_batches_new (&(struct qk_batches_options){ .ctx = ctx,
                                                    .dataset = &samples_class,
                                                    .self = b->x,
                                                    .batch = BATCH,
                                                    .threads = 1 },
                      &b->batches));
}

static void
close_rig (struct rig *b)
{
  qk_batches_free (b->batches);
  qk_exec_free (b->ex);
  qk_graph_free (b->g);
  qk_graph_free (b->plain);
  qk_free (b->x);
}

static void
renew (struct rig *b, int64_t limit)
{
  const struct qk_anew_options opt = { .label = "test", .limit = limit };

  OK (qk_stats_anew (b->g, b->ex, b->batches, &opt, &b->monitor));
}

static size_t
count_of (const struct qk_param *p)
{
  return (size_t) qk_shape_count (&p->value.shape);
}

/* All parameters of G one after the other; for free. */
static float *
all_params (const struct qk_graph *g, size_t *n)
{
  float *x;
  size_t at = 0;

  for (int i = 0; i < g->n_params; i++)
    at += count_of (&g->param[i]);
  ck_assert_ptr_nonnull (x = malloc (at * sizeof *x));
  *n = at;
  for (int i = at = 0; i < g->n_params; i++) {
    memcpy (x + at, g->param[i].value.data,
            count_of (&g->param[i]) * sizeof *x);
    at += count_of (&g->param[i]);
  }
  return x;
}

/* Whether number I of all_params is of statistics that move. */
static bool
is_statistic (const struct qk_graph *g, size_t i)
{
  const struct qk_param *p = g->param;

  for (; i >= count_of (p); p++)
    i -= count_of (p);
  return (p->spec.flags & QK_PARAM_BUFFER) && !p->frozen;
}

/* What the statistics must become: those of each batch by one step of training,
 * new = 0.9 old + 0.1 batch solved for batch, always from the same old. */
static double *
expected (struct rig *b, const float *old, size_t n, int batches)
{
  double *sum = calloc (n, sizeof *sum);
  const float *y;

  ck_assert_ptr_nonnull (sum);
  for (int i = 0; i < batches; i++) {
    size_t at = 0;
    float *now;

    OK (
      network_forward (b->ex, b->x + i * BATCH * SAMPLE, BATCH, TRAINING, &y));
    now = all_params (b->g, &at);
    for (size_t k = 0; k < n; k++)
      sum[k]
        += ((double) now[k] - 0.9 * (double) old[k]) / 0.1 / (double) batches;
    free (now);
    at = 0;
    for (int k = 0; k < b->g->n_params; k++) {
      memcpy (b->g->param[k].value.data, old + at,
              count_of (&b->g->param[k]) * sizeof *old);
      at += count_of (&b->g->param[k]);
    }
  }
  return sum;
}

static void
check_renewed (struct rig *b, int batches)
{
  size_t n, moved = 0;
  float *old = all_params (b->g, &n), *now;
  double *want = expected (b, old, n, batches);

  renew (b, batches);
  now = all_params (b->g, &n);
  for (size_t i = 0; i < n; i++) {
    if (!is_statistic (b->g, i)) {
      ck_assert (now[i] == old[i]);
      continue;
    }
    /* rounding of the running ones, ten times as large in what is solved */
    ck_assert_msg (fabs ((double) now[i] - want[i])
                     <= 3e-6 * (fabs (want[i]) + fabs ((double) old[i]) + 0.1),
                   "number %zu is %.9g, expected %.9g", i, (double) now[i],
                   want[i]);
    moved += now[i] != old[i];
  }
  ck_assert_uint_gt (moved, 0);
  free (old);
  free (want);
  free (now);
}

START_TEST (means_of_batches)
{
  struct rig b;

  for (int i = 0; i < 4; i++) {
    open_rig (&b, i > 0, i > 1);
    if (i == 3)
      for (int k = 0; k < b.g->n_params / 2; k++)
        b.g->param[k].frozen = true;
    check_renewed (&b, i == 1 ? 1 : BATCHES);
    close_rig (&b);
  }
}
END_TEST

/* The integers that the weights of all nodes become; for free. */
static int8_t *
integers (struct rig *b, size_t *n)
{
  int8_t *all = NULL;

  *n = 0;
  for (int i = 0; i < b->g->n_nodes; i++) {
    struct qk_op op = { .name = NULL };
    size_t count;

    if (b->g->node[i].weight_qz == NULL)
      continue;
    OK (qk_lower_node (b->g, i, &op));
    count = (size_t) qk_shape_count (
      &b->g->param[b->g->node[i].param[0]].value.shape);
    ck_assert_ptr_nonnull (all = realloc (all, *n + count));
    memcpy (all + *n, op.weight, count);
    *n += count;
    qk_op_free_arrays (&op);
  }
  return all;
}

/* With a scale for each channel the integers stay, so that estimating twice is
 * estimating once; the state has the scales. */
START_TEST (integers_stay)
{
  struct rig b;
  size_t n, m;
  int8_t *before, *after;
  float *once, *twice;
  size_t apart = 0;

  open_rig (&b, true, true);
  before = integers (&b, &n);
  renew (&b, BATCHES);
  after = integers (&b, &n);
  for (size_t i = 0; i < n; i++)
    apart += before[i] != after[i];
  ck_assert_uint_gt (n, 500);
  ck_assert_uint_eq (apart, 0);
  once = all_params (b.g, &n);
  renew (&b, BATCHES);
  twice = all_params (b.g, &m);
  for (size_t i = 0; i < n; i++)
    ck_assert_msg (fabsf (once[i] - twice[i]) <= 1e-5f * (1 + fabsf (once[i])),
                   "number %zu: %.9g, then %.9g", i, (double) once[i],
                   (double) twice[i]);
  free (before);
  free (after);
  free (once);
  free (twice);
  close_rig (&b);
}
END_TEST

/* What is evaluated afterwards is what is converted. */
START_TEST (same_in_int8)
{
  struct qk_graph *int8;
  struct rig b;

  for (int i = 0; i < 2; i++) {
    open_rig (&b, true, i == 0);
    renew (&b, BATCHES);
    qk_exec_free (b.ex);
    b.ex = NULL;
    OK (qk_pass_convert (b.g, &int8));
    ck_assert_int_eq (network_differing (b.g, int8, b.x, BATCH), 0);
    qk_graph_free (int8);
    close_rig (&b);
  }
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("stats");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_set_timeout (t, 300);
  tcase_add_test (t, means_of_batches);
  tcase_add_test (t, integers_stay);
  tcase_add_test (t, same_in_int8);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
