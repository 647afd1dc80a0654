/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* export-vectors.c: what an int8 model computes of samples of its data set, for
 * who exports it. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "model/network.h"

/* Samples of the validation set: of each, the network's inputs. */
struct samples {
  int n, n_inputs;
  const void **input; /* sample after sample; owned */
  const void *const **at;
};

static void
samples_free (struct samples *s)
{
  for (int i = 0; s->input != NULL && i < s->n * s->n_inputs; i++)
    free ((void *) s->input[i]);
  free (s->input);
  free (s->at);
}

/* Copy sample I of BATCH to be sample TO. */
static int
take_sample (const struct qk_graph *g, const struct qk_batch *batch, int64_t i,
             int to, struct samples *s)
{
  for (int j = 0; j < s->n_inputs; j++) {
    const size_t size
      = sizeof (float)
        * (size_t) qk_shape_count (&g->value[g->input[j]].shape);
    void *copy = malloc (size);

    if (copy == NULL)
      return qk_oom ("export");
    memcpy (copy, (const char *) batch->input[j] + (size_t) i * size, size);
    s->input[to * s->n_inputs + j] = copy;
  }
  s->at[to] = s->input + to * s->n_inputs;
  return 0;
}

/* The first s->n samples of D, or as many as there are. */
static int
take_samples (const struct qk_graph *g, struct qk_data *d, struct samples *s)
{
  struct qk_batch batch;
  int taken = 0, r;

  s->n_inputs = g->n_inputs;
  s->input = calloc ((size_t) s->n * (size_t) s->n_inputs, sizeof *s->input);
  s->at = calloc ((size_t) s->n, sizeof *s->at);
  if (s->input == NULL || s->at == NULL)
    return qk_oom ("export");
  r = qk_batches_start (d->batches, 0, 0);
  while (r >= 0 && taken < s->n
         && (r = qk_batches_next (d->batches, &batch)) > 0)
    for (int64_t i = 0; r >= 0 && i < batch.n && taken < s->n; i++)
      r = take_sample (g, &batch, i, taken++, s);
  if (r >= 0 && taken == 0)
    r = qk_error (-EINVAL, "the validation set has no sample to test with");
  s->n = taken;
  return r < 0 ? r : 0;
}

int
qk_cli_vectors (struct qk_settings *settings, struct qk_model *m, long n,
                struct qk_vectors *out)
{
  struct samples s = { .n = (int) n };
  struct qk_exec_options opt;
  struct qk_exec *ex = NULL;
  struct qk_data *d;
  int r;

  if ((r = qk_data_open (settings, QK_DATA_EVAL, &d)) < 0)
    return r;
  qk_settings_exec_options (settings, 1, false, &opt);
  if ((r = qk_cli_check_keys (settings, &d->info)) == 0
      && (r = qk_exec_new (m->graph, &opt, &ex)) == 0
      && (r = qk_exec_check_data (ex, d->info.input, d->info.n_inputs)) == 0
      && (r = take_samples (m->graph, d, &s)) == 0)
    r = qk_vectors_run (m->graph, s.at, s.n, out);
  qk_exec_free (ex);
  samples_free (&s);
  qk_data_close (d);
  return r;
}
