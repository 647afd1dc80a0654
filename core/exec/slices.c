/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* slices.c: batches of int8 pictures, a few pictures at a time.
 *
 * Activations of a whole batch go through memory between any two nodes;
 * those of few pictures stay in the cache.  Each thread takes slices of the
 * batch through the whole network by itself, with activation memory of its
 * own: one parallel region a batch instead of one a node. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

#include "exec/exec-priv.h"

#define CACHE_BYTES (768 * 1024) /* of activations that should stay near */

/* Bytes a picture has in use at once, at the worst node. */
static int64_t
picture_bytes (const struct qk_graph *g)
{
  int64_t most = 1;

  for (int i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    int64_t bytes = qk_shape_count (&g->value[n->out].shape);

    for (int j = 0; j < n->n_in; j++)
      bytes += qk_shape_count (&g->value[n->in[j]].shape);
    most = bytes > most ? bytes : most;
  }
  return most;
}

int64_t
qk_slice_size (const struct qk_exec *ex, bool shared)
{
  const int64_t batch = ex->opt.batch;
  const int64_t each = (batch + ex->opt.threads - 1) / ex->opt.threads;
  int64_t size;

  if (batch < 2 || batch < ex->opt.threads || ex->opt.train
      || ex->opt.keep_values || ex->g->stage != QK_STAGE_INT8 || !shared)
    return 0;
  for (int i = 0; i < ex->g->n_nodes; i++)
    if (!ex->g->node[i].lowered)
      return 0; /* a layer's object serves one thread at a time */
  size = CACHE_BYTES / picture_bytes (ex->g);
  size = size < 1 ? 1 : size > each ? each : size;
  return size;
}

int
qk_slices_new (struct qk_exec *ex)
{
  const int64_t slices = (ex->batch + ex->opt.batch - 1) / ex->opt.batch;
  const size_t values = (size_t) ex->g->n_values + 1;
  const int64_t classes
    = qk_shape_count (&ex->g->value[ex->g->output].shape);
  int count = ex->opt.threads < slices ? ex->opt.threads : (int) slices;

  ex->logits = qk_alloc ((size_t) (ex->batch * classes) * sizeof (float));
  ex->worker = calloc ((size_t) count, sizeof *ex->worker);
  if (ex->logits == NULL || ex->worker == NULL)
    return qk_error (-ENOMEM, "executor: out of memory");
  for (int i = 0; i < count; i++) {
    struct qk_exec *w = &ex->worker[ex->workers++];

    *w = *ex;
    w->worker = NULL;
    w->hook = NULL;
    w->opt.threads = 1;
    if (i > 0) /* the first works in EX's own */
      w->arena.base = qk_alloc (ex->arena.size + 64);
    w->value = malloc (values * sizeof *w->value);
    if (w->arena.base == NULL || w->value == NULL)
      return qk_error (-ENOMEM, "activations: no memory for %zu MB",
                       ex->arena.size >> 20);
    memcpy (w->value, ex->value, values * sizeof *w->value);
  }
  return 0;
}

void
qk_slices_free (struct qk_exec *ex)
{
  for (int i = 0; i < ex->workers; i++) {
    if (i > 0)
      qk_free (ex->worker[i].arena.base);
    free (ex->worker[i].value);
  }
  free (ex->worker);
  qk_free (ex->logits);
}

int
qk_exec_parallel (const struct qk_exec *ex)
{
  return ex->worker != NULL ? ex->workers : 1;
}

/* Pictures FIRST .. of the batch on W, as many as a slice has. */
static int
run_slice (const struct qk_exec *ex, struct qk_exec *w, const float *images,
           int64_t first)
{
  const int64_t pixels = qk_shape_count (&ex->g->value[0].shape);
  const int64_t classes
    = qk_shape_count (&ex->g->value[ex->g->output].shape);
  const int64_t left = ex->n - first;
  const float *logits;
  int r;

  w->n = left < ex->opt.batch ? left : ex->opt.batch;
  r = qk_forward_all (w, images + first * pixels, &logits);
  if (r >= 0)
    memcpy (ex->logits + first * classes, logits,
            (size_t) (w->n * classes) * sizeof *logits);
  return r;
}

int
qk_slices_forward (struct qk_exec *ex, const float *images,
                   const float **logits)
{
  const int64_t size = ex->opt.batch, slices = (ex->n + size - 1) / size;
  struct qk_tensor *t = &ex->value[ex->g->output].t;
  const qk_exec_hook hook = ex->hook;
  int threads = slices < ex->workers ? (int) slices : ex->workers;
  int result = 0;

  if (hook != NULL) { /* in order, and one at a time */
    ex->worker[0].hook = hook;
    ex->worker[0].cookie = ex->cookie;
    threads = 1;
  }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t i = 0; i < slices; i++) {
    const int r = run_slice (ex, &ex->worker[omp_get_thread_num ()], images,
                             i * size);

    if (r < 0) {
#pragma omp atomic write
      result = r;
    }
  }
  ex->worker[0].hook = NULL;
  memset (t, 0, sizeof *t);
  t->dtype = QK_F32;
  t->shape = qk_batched (&ex->g->value[ex->g->output].shape, ex->n);
  t->data = ex->logits;
  *logits = ex->logits;
  return result;
}
