/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checks.c: what would end a run after hours is found before it begins. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "run/run.h"

/* Whether some epoch of training with batch statistics goes to its end. */
static bool
sees_last_batch (const struct qk_run *run)
{
  const struct qk_settings *s = run->s.settings;
  const int64_t count = qk_batches_count (run->s.train->batches);
  const int64_t train = qk_config_int (s->train, "batches");
  const int64_t qat = qk_config_int (s->qat, "batches");

  return (qk_config_int (s->train, "epochs") > 0
          && (train == 0 || train >= count))
         || (qk_config_int (s->qat, "epochs") > 0 && (qat == 0 || qat >= count)
             && qk_config_int (s->qat, "freeze_bn_after") >= 0);
}

static void
free_inputs (void **input, int n)
{
  int i;

  for (i = 0; input != NULL && i < n; i++)
    qk_free (input[i]);
  free (input);
}

/* A step forward on one sample of zeros, in a copy of G. */
static int
try_one_sample (const struct qk_graph *g)
{
  const struct qk_exec_options opt
    = { .batch = 1, .threads = 1, .train = true };
  void **input = calloc ((size_t) g->n_inputs + 1, sizeof *input);
  struct qk_graph *copy = NULL;
  struct qk_exec *ex = NULL;
  int i, r;

  if (input == NULL)
    return qk_oom ("run");
  r = qk_pass_fuse (g, &copy);
  for (i = 0; r == 0 && i < copy->n_inputs; i++) {
    const struct qk_value *v = &copy->value[copy->input[i]];

    input[i] = qk_alloc (sizeof (float) * (size_t) qk_shape_count (&v->shape));
    if (input[i] == NULL)
      r = qk_oom ("run");
  }
  if (r == 0 && (r = qk_exec_new (copy, &opt, &ex)) == 0)
    r = qk_exec_forward (ex, (const void *const *) input, 1,
                         QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  qk_exec_free (ex);
  free_inputs (input, g->n_inputs);
  qk_graph_free (copy);
  return r;
}

int
qk_run_check_last_batch (const struct qk_run *run, const struct qk_graph *g)
{
  int r;

  if (qk_comm_size (run->s.m->comm) > 1
      || qk_batches_last (run->s.train->batches) != 1
      || !sees_last_batch (run))
    return 0;
  r = try_one_sample (g);
  return r < 0 ? qk_error_prefix (
           r, "the last batch of an epoch has one sample, on which "
              "this network cannot be trained; set data.last_batch to "
              "drop or merge, or another data.batch: ")
               : 0;
}
