/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* forward.c: making executors, and running a graph forward. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "base/called.h"
#include "base/threads.h"
#include "exec/exec-priv.h"
#include "passes/passes.h"
#include "quant/loops-priv.h"
#include "quant/quantizer-priv.h"

/* Who observes values together. */
static void
share_quantizers (struct qk_exec *ex, struct qk_comm *comm)
{
  struct qk_quantizer *qz;
  int i;

  for (i = 0; (qz = qk_graph_next_quantizer (ex->g, &i)) != NULL;)
    qk_quantizer_set_comm (qz, comm);
}

/* What the executor's outputs are. */
static int
name_outputs (struct qk_exec *ex, const struct qk_exec_options *opt)
{
  const struct qk_graph *g = ex->g;
  int i, node;

  for (i = 0; i < g->n_outputs; i++) {
    ex->output[i].name = g->output[i].name;
    ex->output[i].value = g->output[i].value;
  }
  for (i = 0; i < opt->n_inner; i++) {
    struct qk_exec_output *o = &ex->output[g->n_outputs + i];

    if ((node = qk_graph_find_node (g, opt->inner[i])) < 0)
      return qk_error (-EINVAL, "the network has no node '%s'", opt->inner[i]);
    o->name = g->node[node].name;
    o->value = g->node[node].out;
    ex->value[o->value].inner = true;
  }
  return 0;
}

int
qk_exec_new (struct qk_graph *g, const struct qk_exec_options *opt,
             struct qk_exec **out)
{
  struct qk_exec *ex = calloc (1, sizeof *ex);
  int i, r;

  if (ex == NULL)
    return qk_oom ("executor");
  ex->g = g;
  for (i = 0; i < QK_GRAPH_MAX_INPUTS; i++)
    ex->in_type[i] = QK_F32;
  ex->opt = *opt;
  if (ex->opt.threads < 1)
    ex->opt.threads = 1;
  ex->node = calloc ((size_t) g->n_nodes + 1, sizeof *ex->node);
  ex->value = calloc ((size_t) g->n_values + 1, sizeof *ex->value);
  ex->n_outputs = g->n_outputs + opt->n_inner;
  ex->output = calloc ((size_t) ex->n_outputs + 1, sizeof *ex->output);
  ex->loss_saved = calloc ((size_t) opt->n_losses + 1, sizeof *ex->loss_saved);
  r = -ENOMEM;
  if (ex->node == NULL || ex->value == NULL || ex->output == NULL
      || ex->loss_saved == NULL) {
    qk_error (r, "executor: out of memory");
    goto error;
  }
  if ((r = name_outputs (ex, opt)) < 0)
    goto error;
  ex->batch = ex->slice = opt->batch;
  if (g->stage == QK_STAGE_INT8 && (r = qk_int8_prepare (ex)) < 0)
    goto error;

  if ((r = qk_plan (ex)) < 0)
    goto error;
  if (ex->opt.batch < ex->batch && !opt->packed_only
      && (r = qk_slices_new (ex, NULL)) < 0)
    goto error;
  if (opt->train && (r = qk_graph_zero_grad (g)) < 0)
    goto error;
  ex->share = ex->weight = ex->own = 1;
  if (opt->train)
    share_quantizers (ex, opt->comm);
  *out = ex;
  return 0;

error:
  qk_exec_free (ex);
  return r;
}

void
qk_exec_free (struct qk_exec *ex)
{
  if (ex == NULL)
    return;
  if (ex->opt.train && ex->opt.comm != NULL)
    share_quantizers (ex, NULL);
  qk_slices_free (ex);
  if (ex->shares) {
    if (!ex->arena.lent)
      qk_free (ex->arena.base);
    free (ex->value);
    free (ex->output);
    free (ex);
    return;
  }
  qk_int8_release (ex);

  qk_arena_clear (&ex->arena);
  free (ex->node);
  free (ex->value);
  free (ex->output);
  free (ex->loss_saved);
  free (ex);
}

int
qk_exec_share (const struct qk_exec *of, void *memory, struct qk_exec **out)
{
  const size_t values = (size_t) of->g->n_values + 1;
  const size_t outputs = (size_t) of->n_outputs + 1;
  struct qk_exec *ex = malloc (sizeof *ex);
  int r = 0;

  if (ex == NULL)
    return qk_oom ("executor");
  *ex = *of;
  ex->shares = true;
  ex->value = malloc (values * sizeof *ex->value);
  ex->output = malloc (outputs * sizeof *ex->output);
  ex->arena.lent = memory != NULL;
  ex->arena.base = memory != NULL ? memory : qk_alloc (qk_exec_memory (of));
  if (ex->value == NULL || ex->output == NULL || ex->arena.base == NULL) {
    qk_exec_free (ex);
    return qk_oom ("activations: %zu MB", qk_exec_memory (of) >> 20);
  }
  memcpy (ex->value, of->value, values * sizeof *ex->value);
  memcpy (ex->output, of->output, outputs * sizeof *ex->output);
  if (qk_slices_workers (of) > 0
      && (r = qk_slices_new (ex, ex->arena.base)) < 0) {
    qk_exec_free (ex);
    return r;
  }
  *out = ex;
  return 0;
}

bool
qk_exec_is_shared (const struct qk_exec *of)
{
  int i;

  for (i = 0; i < of->g->n_nodes; i++)
    if (!of->g->node[i].lowered)
      return false; /* a layer's object serves one thread at a time */
  return of->kernel_threads == 1 && of->backend[0].cls->shared
         && (of->backend[1].cls == NULL || of->backend[1].cls->shared);
}

int
qk_exec_check_data (const struct qk_exec *ex,
                    const struct qk_tensor_spec *input, int n)
{
  const struct qk_graph *g = ex->g;
  char a[160], b[160];
  int i;

  if (n != g->n_inputs)
    return qk_error (-EINVAL, "the dataset has %d inputs, the network %d", n,
                     g->n_inputs);
  for (i = 0; i < n; i++) {
    const struct qk_value *v = &g->value[g->input[i]];

    if (input[i].dtype != QK_F32
        || !qk_shape_equal (&v->shape, &input[i].shape))
      return qk_error (-EINVAL,
                       "the dataset's input is %s, the network takes '%s' "
                       "f32 %s",
                       qk_spec_print (&input[i], a, sizeof a), v->name,
                       qk_shape_print (&v->shape, b, sizeof b));
  }
  return 0;
}

int
qk_exec_threads (const struct qk_exec *ex)
{
  return ex->opt.threads;
}

size_t
qk_exec_memory (const struct qk_exec *ex)
{
  const int workers = qk_slices_workers (ex);

  if (ex->opt.packed_only)
    return qk_arena_bytes (&ex->arena) * (size_t) (workers > 0 ? workers : 1);
  return ex->arena.size * (size_t) (workers > 0 ? workers : 1);
}

void
qk_exec_set_hook (struct qk_exec *ex, qk_exec_hook hook, void *cookie)
{
  ex->hook = hook;
  ex->cookie = cookie;
}

void
qk_exec_set_step (struct qk_exec *ex, uint64_t seed, uint64_t step)
{
  ex->seed = seed;
  ex->step = step;
}

void
qk_exec_set_part (struct qk_exec *ex, double share, int64_t first)
{
  struct qk_quantizer *qz;
  int i;

  ex->share = share;
  ex->first = first;
  for (i = 0; (qz = qk_graph_next_quantizer (ex->g, &i)) != NULL;)
    qk_quantizer_set_share (qz, share);
}

void
qk_exec_set_weight (struct qk_exec *ex, double weight)
{
  ex->weight = weight;
}

void
qk_exec_set_own (struct qk_exec *ex, double own)
{
  ex->own = own;
}

/* Where the samples of this slice are in value V. */
static void *
value_data (const struct qk_exec *ex, int v)
{
  const struct qk_value *value = &ex->g->value[v];
  const int64_t before
    = ex->value[v].whole && value->constant == NULL ? ex->at : 0;
  char *data = qk_arena_at (&ex->arena, ex->value[v].data);

  return data == NULL
           ? NULL
           : data
               + before * qk_shape_count (&value->shape)
                   * (int64_t) qk_dtype_size (qk_value_dtype (ex->g, v));
}

/* COUNT elements X onto the grid Q of a graph without quantizers: bytes, or
 * uint16 where the grid is wide. */
static void
put_on_grid (const struct qk_qparams *q, const float *x, int64_t count,
             void *out, int threads)
{
  const bool wide = qk_grid_is_wide (q);
  const float inv = 1.0f / q->scale;
  uint16_t *out16 = out;
  uint8_t *out8 = out;
  int64_t i;

  (void) threads; /* without OpenMP there is one */
#pragma omp parallel for schedule(static) num_threads(threads)
  for (i = 0; i < count; i++) {
    const int32_t k = qk_quantize (x[i], inv, q->zero_point, q->qmin, q->qmax);

    if (wide)
      out16[i] = (uint16_t) k;
    else
      out8[i] = (uint8_t) k;
  }
}

/* Let quantizer QZ see COUNT elements X, of which T becomes what they are on
 * its grid. */
static int
take_quantized (struct qk_quantizer *qz, const float *x, size_t count,
                struct qk_tensor *t)
{
  const int r = qk_quantizer_observe (qz, x, count);

  if (r < 0)
    return r;
  t->q = *qk_quantizer_qparams (qz);
  return t->dtype == QK_F32 ? qk_quantizer_forward_f32 (qz, x, count, t->data)
                            : qk_quantizer_forward_u8 (qz, x, count, t->data);
}

/* The samples X of input V, of TYPE, as they are carried.  KERNEL: of the
 * backend; may be NULL. */
static int
take_input (struct qk_exec *ex, int v, enum qk_dtype type, const void *x,
            void *kernel)
{
  const struct qk_value *value = &ex->g->value[v];
  struct qk_tensor *t = &ex->value[v].t;
  int64_t count;

  memset (t, 0, sizeof *t);
  t->shape = qk_value_shape (ex->g, v, ex->n);
  t->dtype = qk_value_dtype (ex->g, v);
  count = qk_shape_count (&t->shape);
  if (!value->on_grid) {
    t->data = (void *) x;
    return 0;
  }
  t->data = value_data (ex, v);
  if (value->qz != NULL)
    return take_quantized (value->qz, x, (size_t) count, t);
  t->q = value->q;
  if (type != QK_F32)
    qk_copy_integers (type, x, (size_t) count, t->data);
  else if (kernel != NULL)
    ex->backend[0].cls->run (ex->backend[0].self, kernel, ex->n, &x, t->data,
                             qk_arena_at (&ex->arena, ex->workspace));
  else
    put_on_grid (&value->q, x, count, t->data, ex->opt.threads);
  return 0;
}

/* The elements of constant V as they are carried: once for each sample, so
 * that who reads it need not know that it is one. */
static int
take_constant (struct qk_exec *ex, int v)
{
  const struct qk_value *value = &ex->g->value[v];
  const size_t count = (size_t) qk_shape_count (&value->shape);
  struct qk_tensor *t = &ex->value[v].t;
  size_t bytes;
  int64_t i;
  int r;

  memset (t, 0, sizeof *t);
  t->shape = qk_value_shape (ex->g, v, ex->n);
  t->dtype = qk_value_dtype (ex->g, v);
  t->data = value_data (ex, v);
  t->q = value->q;
  bytes = count * qk_dtype_size (t->dtype);
  if (value->qz != NULL) {
    if ((r = take_quantized (value->qz, value->constant, count, t)) < 0)
      return r;
  } else
    memcpy (t->data, value->constant, bytes);
  for (i = 1; i < ex->n; i++)
    memcpy ((char *) t->data + (size_t) i * bytes, t->data, bytes);
  return 0;
}

static int
tell (struct qk_exec *ex, int v)
{
  return ex->hook == NULL ? 0 : ex->hook (ex->cookie, v, &ex->value[v].t);
}

/* What the network begins with: the samples from ex->at on of its inputs. */
static int
take_inputs (struct qk_exec *ex, const void *const *input)
{
  const struct qk_graph *g = ex->g;
  int i, r = 0;

  for (i = 0; r == 0 && i < g->n_inputs; i++) {
    const int v = g->input[i];
    const int64_t size = qk_shape_count (&g->value[v].shape);

    const enum qk_dtype type = ex->in_type[i];

    r = take_input (ex, v, type,
                    (const char *) input[i]
                      + ex->at * size * (int64_t) qk_dtype_size (type),
                    ex->input_kernel[i]);
    if (r == 0)
      r = tell (ex, v);
  }
  return r;
}

/* The constants, once a call; one that a quantizer sees in training may have
 * another grid each time. */
int
qk_forward_constants (struct qk_exec *ex)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < ex->g->n_values; i++)
    if (ex->g->value[i].constant != NULL) {
      r = take_constant (ex, i);
      if (r == 0)
        r = tell (ex, i);
    }
  return r;
}

/* As many samples of the constants as the call has now. */
static void
trim_constants (struct qk_exec *ex)
{
  int i;

  for (i = 0; i < ex->g->n_values; i++)
    if (ex->g->value[i].constant != NULL)
      ex->value[i].t.shape.dims[0] = ex->n;
}

/* The flags of this call for node N: frozen statistics are used as they
 * are. */
static unsigned
layer_flags (const struct qk_exec *ex, const struct qk_node *n)
{
  int i;

  for (i = 0; i < n->n_params; i++) {
    const struct qk_param *p = &ex->g->param[n->param[i]];

    if (p->frozen && (p->spec.flags & QK_PARAM_BUFFER))
      return ex->flags & ~(unsigned) QK_PASS_BATCH_STATS;
  }
  return ex->flags;
}

void
qk_call_fill (struct qk_exec *ex, int index, bool backward, struct qk_call *c)
{
  const struct qk_node *n = &ex->g->node[index];
  const struct qk_exec_node *en = &ex->node[index];
  struct qk_value *out = &ex->g->value[n->out];
  int i;

  memset (c, 0, sizeof *c);
  for (i = 0; i < n->n_in; i++) {
    const int *wide = backward ? en->wide_in_back : en->wide_in;

    c->in[i] = ex->value[n->in[i]].t;
    if (!en->wrapped || c->in[i].q.scale == 0)
      continue;
    memset (&c->in[i].q, 0, sizeof c->in[i].q);
    if (c->in[i].dtype == QK_F32)
      continue;
    c->in[i].data = qk_arena_at (&ex->arena, wide[i]);
    if (c->in[i].data != NULL)
      qk_widen (&ex->value[n->in[i]].t, c->in[i].data, ex->opt.threads);
    c->in[i].dtype = QK_F32;
  }
  c->out.shape = qk_value_shape (ex->g, n->out, ex->n);
  c->out.dtype = en->wrapped ? QK_F32 : qk_value_dtype (ex->g, n->out);
  c->out.data = en->wrapped && out->on_grid
                  ? qk_arena_at (&ex->arena, en->wide_out)
                  : qk_arena_at (&ex->arena, ex->value[n->out].data);
  if (backward)
    c->out.q = ex->value[n->out].t.q;
  for (i = 0; i < n->n_params; i++) {
    c->param[i] = ex->g->param[n->param[i]].value;
    c->dparam[i] = ex->g->param[n->param[i]].grad;
  }
  qk_rng_seed (&c->rng, ex->seed * 1000003u + ex->step, (uint64_t) index);
  c->io.flags = layer_flags (ex, n) | (en->is_prepared ? QK_PASS_PREPARED : 0);
  c->io.threads = ex->opt.threads;
  c->io.n_in = n->n_in;
  c->io.in = c->in;
  c->io.out = &c->out;
  c->io.n_params = n->n_params;
  c->io.param = c->param;
  c->io.weight_qz = n->weight_qz;
  c->io.out_qz = en->wrapped ? NULL : out->qz;
  c->io.saved = qk_arena_at (&ex->arena, en->saved);
  c->io.prepared = qk_arena_at (&ex->arena, en->prepared);
  c->io.workspace = qk_arena_at (&ex->arena, ex->workspace);
  c->io.dout = &c->dout;
  c->io.din = c->din;
  c->io.dparam = c->dparam;
  c->io.rng = &c->rng;
  c->io.comm = ex->opt.train ? ex->opt.comm : NULL;
  c->io.first_sample = ex->first;
}

/* Put a wrapped node's f32 output on its grid. */
static int
quantize_output (struct qk_exec *ex, int index, const float *x)
{
  const struct qk_node *n = &ex->g->node[index];
  const struct qk_value *v = &ex->g->value[n->out];
  struct qk_tensor *t = &ex->value[n->out].t;
  const int64_t count = qk_shape_count (&t->shape);
  int r;

  if (v->qz == NULL) { /* int8 graph: a float node between int8 ones */
    t->q = v->q;
    put_on_grid (&v->q, x, count, t->data, 1);
    return 0;
  }
  if ((r = take_quantized (v->qz, x, (size_t) count, t)) < 0)
    return r;
  if (ex->node[index].mask >= 0)
    qk_ste_bytes (&t->q, x, (size_t) count,
                  qk_arena_at (&ex->arena, ex->node[index].mask),
                  ex->opt.threads);
  return 0;
}

/* The output T of a node that keeps the grid of its input IN, which is wide,
 * and computed with real numbers: bounds and constants of the layer need not
 * lie on it. */
static void
keep_wide_grid (const struct qk_tensor *in, struct qk_tensor *t)
{
  if (t->q.scale == 0)
    t->q = in->q;
  qk_loop_put_on_grid (t->data, (size_t) qk_shape_count (&t->shape), &t->q,
                       t->data);
}

static int
run_layer (struct qk_exec *ex, int index)
{
  struct qk_node *n = &ex->g->node[index];
  struct qk_tensor *t = &ex->value[n->out].t;
  struct qk_call c;
  int r;

  qk_call_fill (ex, index, false, &c);
  if ((r = QK_CALLED (&n->layer->cls, "forward",
                      n->layer->forward (n->self, &c.io)))
      < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  t->q = c.out.q;
  if (t->dtype == QK_F32 && ex->g->value[n->out].on_grid
      && ex->g->value[n->out].qz == NULL)
    keep_wide_grid (&ex->value[n->in[0]].t, t);
  else if (ex->node[index].wrapped && ex->g->value[n->out].on_grid)
    return quantize_output (ex, index, c.out.data);
  return 0;
}

/* The output of a node, before it is filled. */
static void
start_output (struct qk_exec *ex, int index)
{
  const int v = ex->g->node[index].out;
  struct qk_tensor *t = &ex->value[v].t;

  memset (t, 0, sizeof *t);
  t->dtype = qk_value_dtype (ex->g, v);
  t->shape = qk_value_shape (ex->g, v, ex->n);
  t->data = value_data (ex, v);
}

static int
run_node (struct qk_exec *ex, int index)
{
  const struct qk_node *n = &ex->g->node[index];
  int r;

  start_output (ex, index);
  r = n->lowered ? qk_int8_run (ex, index) : run_layer (ex, index);
  return r < 0 ? r : tell (ex, n->out);
}

/* The slot prepare of layer INDEX. */
static void
prepare_layer (struct qk_exec *ex, int index)
{
  const struct qk_node *n = &ex->g->node[index];
  struct qk_exec_node *en = &ex->node[index];
  struct qk_tensor param[QK_LAYER_MAX_PARAMS];
  struct qk_layer_io io
    = { .flags = layer_flags (ex, n),
        .threads = 1,
        .n_params = n->n_params,
        .param = param,
        .weight_qz = n->weight_qz,
        .prepared = qk_arena_at (&ex->arena, en->prepared) };
  int i;

  if (n->layer->prepare == NULL)
    return;
  for (i = 0; i < n->n_params; i++)
    param[i] = ex->g->param[n->param[i]].value;
  en->is_prepared = n->layer->prepare (n->self, &io) == 1;
}

/* What needs no input, of all layers side by side: whole layers keep threads
 * busy longer than parts of each layer's weight would, and meet only once.
 * From the end, where weights are large. */
static void
prepare_layers (struct qk_exec *ex)
{
  const int last = ex->g->n_nodes - 1;
  int i;

  if (ex->opt.threads == 1) { /* a region of one would make those within it
                                 nested ones */
    for (i = last; i >= 0; i--)
      prepare_layer (ex, i);
    return;
  }
#pragma omp parallel for schedule(dynamic) num_threads(ex->opt.threads)
  for (i = last; i >= 0; i--)
    prepare_layer (ex, i);
}

int
qk_forward_nodes (struct qk_exec *ex, int first, int last)
{
  int i, r;

  for (i = first; i < last; i++)
    if (ex->node[i].joined && ex->hook == NULL) {
      start_output (ex, i);
      start_output (ex, i + 1);
      qk_int8_run_joined (ex, i++);
    } else if ((r = run_node (ex, i)) < 0)
      return r;
  return 0;
}

/* All N samples of those values that slices have filled. */
static void
join_slices (struct qk_exec *ex, const void *const *input, int64_t n)
{
  const struct qk_graph *g = ex->g;
  int i;

  ex->n = n;
  ex->at = 0;
  for (i = 0; i < g->n_values; i++) {
    const struct qk_value *v = &g->value[i];
    struct qk_tensor *t = &ex->value[i].t;

    if (v->producer >= ex->tail || !ex->value[i].whole || v->constant != NULL)
      continue;
    t->shape = qk_value_shape (g, i, n);
    t->data = value_data (ex, i);
  }
  for (i = 0; i < g->n_inputs; i++)
    if (!g->value[g->input[i]].on_grid)
      ex->value[g->input[i]].t.data = (void *) input[i];
}

/* The outputs in float. */
static void
give_outputs (struct qk_exec *ex)
{
  int i;

  for (i = 0; i < ex->n_outputs; i++) {
    struct qk_exec_output *o = &ex->output[i];
    const struct qk_tensor *t = &ex->value[o->value].t;

    o->t = *t;
    memset (&o->t.q, 0, sizeof o->t.q);
    if (t->dtype == QK_F32)
      continue;
    o->t.dtype = QK_F32;
    o->t.data = qk_arena_at (&ex->arena, o->wide);
    qk_widen (t, o->t.data, ex->opt.threads);
  }
}

int
qk_forward_all (struct qk_exec *ex, const void *const *input)
{
  const int64_t n = ex->n, slice = ex->tail == 0 ? n : ex->slice;
  int r;

  if (ex->opt.train)
    prepare_layers (ex);
  if ((r = qk_forward_constants (ex)) < 0)
    return r;
  for (ex->at = 0; ex->at < n; ex->at += slice) {
    ex->n = n - ex->at < slice ? n - ex->at : slice;
    trim_constants (ex);
    if ((r = take_inputs (ex, input)) < 0
        || (r = qk_forward_nodes (ex, 0, ex->tail)) < 0)
      return r;
  }
  join_slices (ex, input, n);
  trim_constants (ex);
  if ((r = qk_forward_nodes (ex, ex->tail, ex->g->n_nodes)) < 0)
    return r;
  if (ex->out != NULL)
    qk_give_ports (ex);
  else
    give_outputs (ex);
  return 0;
}

int
qk_exec_forward (struct qk_exec *ex, const void *const *input, int64_t n,
                 unsigned flags)
{
  int before, r;

  if (n < 1 || n > ex->batch)
    return qk_error (-EINVAL, "batch of %lld samples, planned for 1 to %lld",
                     (long long) n, (long long) ex->batch);
  ex->n = n;
  ex->flags = flags;
  if (input != ex->input)
    memcpy (ex->input, input, sizeof *input * (size_t) ex->g->n_inputs);
  before = qk_threads_limit (ex->opt.threads);
  r = ex->worker != NULL ? qk_slices_forward (ex, input)
                         : qk_forward_all (ex, input);
  qk_threads_limit (before);
  return r;
}

const struct qk_tensor *
qk_exec_output (const struct qk_exec *ex, int i)
{
  return &ex->output[i].t;
}

const struct qk_tensor *
qk_exec_value (const struct qk_exec *ex, int value)
{
  return &ex->value[value].t;
}
