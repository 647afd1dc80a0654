/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* slices.c: batches of int8 samples, a few samples at a time.
 *
 * Activations of a whole batch go through memory between any two nodes;
 * those of few samples stay in the cache.  Each thread takes groups of the
 * batch through the whole network by itself, with activation memory of its
 * own: one parallel region a batch instead of one a node.
 *
 * The first nodes of a network have large samples and small weights, the last
 * ones small samples and large weights, which few samples would have to
 * fetch again and again.  So the first nodes take a group slice by slice, and
 * the others, the tail, take it as a whole. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

#include "exec/exec-priv.h"
#include "graph/op-priv.h"

#define CACHE_BYTES (768 * 1024) /* of activations that should stay near */
#define MOST_GROUP 8             /* samples */

/* Bytes that node INDEX reads and writes for a sample, besides weights. */
static int64_t
node_bytes (const struct qk_graph *g, int index)
{
  const struct qk_node *n = &g->node[index];
  int64_t bytes = qk_shape_count (&g->value[n->out].shape);

  for (int j = 0; j < n->n_in; j++)
    bytes += qk_shape_count (&g->value[n->in[j]].shape);
  return bytes;
}

/* Where the tail begins: from there on the bytes of weights exceed a third of
 * those of a sample's activations by most; of a third, three fifths and all
 * of them a third was fastest for ResNet-50.  The number of nodes: nowhere. */
static int
find_tail (const struct qk_graph *g)
{
  int64_t excess = 0, most = 0;
  int tail = g->n_nodes;

  for (int i = g->n_nodes - 1; i > 0; i--) {
    excess += 3 * qk_op_weight_count (&g->node[i].op) - node_bytes (g, i);
    if (excess > most) {
      most = excess;
      tail = i;
    }
  }
  return tail;
}

/* How many samples of EACH the nodes before TAIL can take at a time. */
static int64_t
slice_size (const struct qk_graph *g, int tail, int64_t each)
{
  int64_t most = 1, size;

  for (int i = 0; i < tail; i++) {
    const int64_t bytes = node_bytes (g, i);

    most = bytes > most ? bytes : most;
  }
  size = CACHE_BYTES / most;
  return size < 1 ? 1 : size > each ? each : size;
}

bool
qk_slices_plan (struct qk_exec *ex, bool shared)
{
  const int64_t batch = ex->opt.batch;
  const int64_t each = (batch + ex->opt.threads - 1) / ex->opt.threads;
  const int64_t rounds = (each + MOST_GROUP - 1) / MOST_GROUP;
  int tail;

  if (batch < 2 || batch < ex->opt.threads || ex->opt.train
      || ex->opt.keep_values || ex->g->stage != QK_STAGE_INT8 || !shared)
    return false;
  for (int i = 0; i < ex->g->n_nodes; i++)
    if (!ex->g->node[i].lowered)
      return false; /* a layer's object serves one thread at a time */
  tail = find_tail (ex->g);
  ex->slice = slice_size (ex->g, tail, each);
  ex->opt.batch = (each + rounds - 1) / rounds;
  if (tail == ex->g->n_nodes || ex->slice >= ex->opt.batch)
    ex->opt.batch = ex->slice;
  else
    ex->tail = tail;
  return true;
}

/* Elements of output I for one sample. */
static int64_t
output_size (const struct qk_exec *ex, int i)
{
  return qk_shape_count (&ex->g->value[ex->output[i].value].shape);
}

int
qk_slices_workers (const struct qk_exec *ex)
{
  const int64_t groups = (ex->batch + ex->opt.batch - 1) / ex->opt.batch;

  if (ex->opt.batch >= ex->batch)
    return 0;
  return ex->opt.threads < groups ? ex->opt.threads : (int) groups;
}

/* Room for the outputs of the whole batch. */
static int
make_joined (struct qk_exec *ex)
{
  for (int i = 0; i < ex->n_outputs; i++) {
    ex->output[i].joined
      = qk_alloc ((size_t) (ex->batch * output_size (ex, i)) * sizeof (float));
    if (ex->output[i].joined == NULL)
      return qk_oom ("output '%s'", ex->output[i].name);
  }
  return 0;
}

int
qk_slices_new (struct qk_exec *ex, char *memory)
{
  const size_t values = (size_t) ex->g->n_values + 1;
  const size_t outputs = (size_t) ex->n_outputs + 1;
  const int count = qk_slices_workers (ex);
  int r;

  if (!ex->shares && (r = make_joined (ex)) < 0)
    return r;
  ex->worker = calloc ((size_t) count, sizeof *ex->worker);
  if (ex->worker == NULL)
    return qk_oom ("executor");
  for (int i = 0; i < count; i++) {
    struct qk_exec *w = &ex->worker[ex->workers++];

    *w = *ex;
    w->worker = NULL;
    w->hook = NULL;
    w->opt.threads = 1;
    if (memory != NULL) {
      w->arena.base = memory + (size_t) i * qk_arena_bytes (&ex->arena);
      w->arena.lent = true;
    } else if (i > 0) /* the first works in EX's own */
      w->arena.base = qk_alloc (qk_arena_bytes (&ex->arena));
    w->value = malloc (values * sizeof *w->value);
    w->output = malloc (outputs * sizeof *w->output);
    if (w->arena.base == NULL || w->value == NULL || w->output == NULL)
      return qk_oom ("activations: %zu MB", ex->arena.size >> 20);
    memcpy (w->value, ex->value, values * sizeof *w->value);
    memcpy (w->output, ex->output, outputs * sizeof *w->output);
  }
  return 0;
}

void
qk_slices_free (struct qk_exec *ex)
{
  for (int i = 0; i < ex->workers; i++) {
    if (i > 0 && !ex->worker[i].arena.lent)
      qk_free (ex->worker[i].arena.base);
    free (ex->worker[i].value);
    free (ex->worker[i].output);
  }
  free (ex->worker);
  for (int i = 0; ex->output != NULL && i < ex->n_outputs; i++)
    qk_free (ex->output[i].joined);
}

int
qk_exec_parallel (const struct qk_exec *ex)
{
  return ex->worker != NULL ? ex->workers : 1;
}

/* Samples FIRST .. of the batch on W, at most MOST. */
static int
run_group (const struct qk_exec *ex, struct qk_exec *w,
           const void *const *input, int64_t first, int64_t most)
{
  const void *own[QK_GRAPH_MAX_INPUTS];
  int r;

  for (int i = 0; i < ex->g->n_inputs; i++)
    own[i] = (const char *) input[i]
             + first * qk_shape_count (&ex->g->value[ex->g->input[i]].shape)
                 * (int64_t) qk_dtype_size (ex->in_type[i]);
  w->n = ex->n - first < most ? ex->n - first : most;
  w->before = first;
  if ((r = qk_forward_all (w, own)) < 0)
    return r;
  for (int i = 0; ex->out == NULL && i < ex->n_outputs; i++)
    memcpy (ex->output[i].joined + first * output_size (ex, i),
            w->output[i].t.data,
            (size_t) (w->n * output_size (ex, i)) * sizeof (float));
  return 0;
}

/* The outputs of the whole batch, as groups have left them. */
static void
join_outputs (struct qk_exec *ex)
{
  for (int i = 0; i < ex->n_outputs; i++) {
    struct qk_tensor *t = &ex->output[i].t;

    memset (t, 0, sizeof *t);
    t->dtype = QK_F32;
    t->shape = qk_value_shape (ex->g, ex->output[i].value, ex->n);
    t->data = ex->output[i].joined;
  }
}

int
qk_slices_forward (struct qk_exec *ex, const void *const *input)
{
  const int64_t each = (ex->n + ex->workers - 1) / ex->workers;
  const int64_t size = each < ex->opt.batch ? each : ex->opt.batch;
  const int64_t groups = (ex->n + size - 1) / size;
  const qk_exec_hook hook = ex->hook;
  int threads = groups < ex->workers ? (int) groups : ex->workers;
  int result = 0;

  for (int i = 0; i < ex->workers; i++) {
    memcpy (ex->worker[i].in_type, ex->in_type, sizeof ex->in_type);
    ex->worker[i].out = ex->out;
  }
  if (hook != NULL) { /* in order, and one at a time */
    ex->worker[0].hook = hook;
    ex->worker[0].cookie = ex->cookie;
    threads = 1;
  }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t i = 0; i < groups; i++) {
    const int r = run_group (ex, &ex->worker[omp_get_thread_num ()], input,
                             i * size, size);

    if (r < 0) {
#pragma omp atomic write
      result = r;
    }
  }
  ex->worker[0].hook = NULL;
  if (ex->out == NULL)
    join_outputs (ex);
  return result;
}
