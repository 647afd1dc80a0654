/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* forward.c: making executors, and running a graph forward. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "exec/exec-priv.h"
#include "passes/passes.h"
#include "quant/quantizer-priv.h"

/* An instance of the loss layer NAME. */
static int
make_loss (struct qk_exec *ex, const char *name, const char *options,
           const struct qk_layer_class **cls, void **self)
{
  const struct qk_class *c;
  struct qk_config *cfg = NULL;
  int r;

  if ((r = qk_context_class (ex->g->ctx, QK_KIND_LAYER, name, &c)) < 0)
    return r;
  r = qk_config_parse (c->options, options ? options : "", name, &cfg);
  if (r < 0)
    return r;
  *cls = (const struct qk_layer_class *) (const void *) c;
  r = (*cls)->create (cfg, self);
  qk_config_free (cfg);
  return r;
}

/* Who observes values together. */
static void
share_quantizers (struct qk_exec *ex, struct qk_comm *comm)
{
  struct qk_quantizer *qz;
  int i;

  for (i = 0; (qz = qk_graph_next_quantizer (ex->g, &i)) != NULL;)
    qk_quantizer_set_comm (qz, comm);
}

static int
make_losses (struct qk_exec *ex)
{
  const struct qk_exec_options *o = &ex->opt;
  const int r
    = make_loss (ex, o->loss, o->loss_options, &ex->loss, &ex->loss_self);

  if (r < 0 || o->teacher_loss == NULL)
    return r;
  return make_loss (ex, o->teacher_loss, o->teacher_options, &ex->teacher,
                    &ex->teacher_self);
}

int
qk_exec_new (struct qk_graph *g, const struct qk_exec_options *opt,
             struct qk_exec **out)
{
  struct qk_exec *ex = calloc (1, sizeof *ex);
  int r;

  if (ex == NULL)
    return qk_oom ("executor");
  ex->g = g;
  ex->opt = *opt;
  if (ex->opt.threads < 1)
    ex->opt.threads = 1;
  ex->node = calloc ((size_t) g->n_nodes + 1, sizeof *ex->node);
  ex->value = calloc ((size_t) g->n_values + 1, sizeof *ex->value);
  r = -ENOMEM;
  if (ex->node == NULL || ex->value == NULL) {
    qk_error (r, "executor: out of memory");
    goto error;
  }
  ex->batch = ex->slice = opt->batch;
  if (g->stage == QK_STAGE_INT8 && (r = qk_int8_prepare (ex)) < 0)
    goto error;
  if (opt->train && (r = make_losses (ex)) < 0)
    goto error;
  if ((r = qk_plan (ex)) < 0)
    goto error;
  if (ex->opt.batch < ex->batch && (r = qk_slices_new (ex)) < 0)
    goto error;
  if (opt->train && (r = qk_graph_zero_grad (g)) < 0)
    goto error;
  ex->share = 1;
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
  qk_int8_release (ex);
  if (ex->loss_self != NULL)
    ex->loss->destroy (ex->loss_self);
  if (ex->teacher_self != NULL)
    ex->teacher->destroy (ex->teacher_self);
  qk_arena_clear (&ex->arena);
  free (ex->node);
  free (ex->value);
  free (ex);
}

int
qk_exec_check_data (const struct qk_exec *ex, int64_t height, int64_t width,
                    int64_t channels, int classes)
{
  const struct qk_shape data = { 4, { 1, height, width, channels } };
  const struct qk_shape *in = &ex->g->value[0].shape;
  const struct qk_shape *out = &ex->g->value[ex->g->output].shape;
  char a[80], b[80];

  if (!qk_shape_equal (in, &data))
    return qk_error (-EINVAL,
                     "the dataset's samples are %s, the network "
                     "takes %s",
                     qk_shape_print (&data, a, sizeof a),
                     qk_shape_print (in, b, sizeof b));
  if (qk_shape_count (out) != classes)
    return qk_error (-EINVAL, "the dataset has %d classes, the network %lld",
                     classes, (long long) qk_shape_count (out));
  return 0;
}

size_t
qk_exec_memory (const struct qk_exec *ex)
{
  return ex->arena.size * (size_t) (ex->worker != NULL ? ex->workers : 1);
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
qk_exec_set_teacher (struct qk_exec *ex, const float *logits)
{
  ex->teacher_logits = logits;
}

/* Where the samples of this slice are in value V. */
static void *
value_data (const struct qk_exec *ex, int v)
{
  const struct qk_value *value = &ex->g->value[v];
  const int64_t before = ex->value[v].whole ? ex->at : 0;
  char *data = qk_arena_at (&ex->arena, ex->value[v].data);

  return data == NULL ? NULL
                      : data
                          + before * qk_shape_count (&value->shape)
                              * (value->on_grid ? 1 : (int) sizeof (float));
}

/* The input of the network as its value is carried. */
static int
take_images (struct qk_exec *ex, const float *images)
{
  struct qk_value *v = &ex->g->value[0];
  struct qk_tensor *t = &ex->value[0].t;
  int64_t count;
  int r;

  t->shape = qk_batched (&v->shape, ex->n);
  count = qk_shape_count (&t->shape);
  if (!v->on_grid) {
    t->dtype = QK_F32;
    t->data = (void *) images;
    return 0;
  }
  t->dtype = QK_U8;
  t->data = value_data (ex, 0);
  if (ex->input_kernel != NULL) {
    const void *in = images;

    t->q = v->q;
    ex->backend[0].cls->run (ex->backend[0].self, ex->input_kernel, ex->n, &in,
                             t->data, qk_arena_at (&ex->arena, ex->workspace));
    return 0;
  }
  if (v->qz != NULL) {
    if ((r = qk_quantizer_observe (v->qz, images, (size_t) count)) < 0)
      return r;
    t->q = *qk_quantizer_qparams (v->qz);
    return qk_quantizer_forward_u8 (v->qz, images, (size_t) count, t->data);
  } else {
    const float inv = 1.0f / v->q.scale;
    uint8_t *q = t->data;
    int64_t i;

    t->q = v->q;
#pragma omp parallel for schedule(static) num_threads(ex->opt.threads)
    for (i = 0; i < count; i++)
      q[i] = (uint8_t) qk_quantize (images[i], inv, v->q.zero_point, v->q.qmin,
                                    v->q.qmax);
    return 0;
  }
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
    if (!en->wrapped || c->in[i].dtype != QK_U8)
      continue;
    c->in[i].data = qk_arena_at (&ex->arena, wide[i]);
    if (c->in[i].data != NULL)
      qk_widen (&ex->value[n->in[i]].t, c->in[i].data, ex->opt.threads);
    c->in[i].dtype = QK_F32;
    memset (&c->in[i].q, 0, sizeof c->in[i].q);
  }
  c->out.shape = qk_batched (&out->shape, ex->n);
  c->out.dtype = out->on_grid && !en->wrapped ? QK_U8 : QK_F32;
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
  c->io.flags = ex->flags | (en->is_prepared ? QK_PASS_PREPARED : 0);
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
  const int threads = ex->opt.threads;
  int r;

  if (v->qz == NULL) { /* int8 graph: a float node between int8 ones */
    const float inv = 1.0f / v->q.scale;
    uint8_t *q = t->data;
    int64_t i;

    t->q = v->q;
    for (i = 0; i < count; i++)
      q[i] = (uint8_t) qk_quantize (x[i], inv, v->q.zero_point, v->q.qmin,
                                    v->q.qmax);
    return 0;
  }
  if ((r = qk_quantizer_observe (v->qz, x, (size_t) count)) < 0)
    return r;
  t->q = *qk_quantizer_qparams (v->qz);
  if ((r = qk_quantizer_forward_u8 (v->qz, x, (size_t) count, t->data)) < 0)
    return r;
  if (ex->node[index].mask >= 0)
    qk_ste_bytes (&t->q, x, (size_t) count,
                  qk_arena_at (&ex->arena, ex->node[index].mask), threads);
  return 0;
}

static int
run_layer (struct qk_exec *ex, int index)
{
  struct qk_node *n = &ex->g->node[index];
  struct qk_tensor *t = &ex->value[n->out].t;
  struct qk_call c;
  int r;

  qk_call_fill (ex, index, false, &c);
  if ((r = n->layer->forward (n->self, &c.io)) < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  t->q = c.out.q;
  if (ex->node[index].wrapped && ex->g->value[n->out].on_grid)
    return quantize_output (ex, index, c.out.data);
  return 0;
}

/* The output of a node, before it is filled. */
static struct qk_tensor *
start_output (struct qk_exec *ex, int index)
{
  const int v = ex->g->node[index].out;
  struct qk_tensor *t = &ex->value[v].t;

  memset (t, 0, sizeof *t);
  t->dtype = ex->g->value[v].on_grid ? QK_U8 : QK_F32;
  t->shape = qk_batched (&ex->g->value[v].shape, ex->n);
  t->data = value_data (ex, v);
  return t;
}

static int
run_node (struct qk_exec *ex, int index)
{
  const struct qk_node *n = &ex->g->node[index];
  struct qk_tensor *t = start_output (ex, index);
  int r;

  r = n->lowered ? qk_int8_run (ex, index) : run_layer (ex, index);
  if (r < 0)
    return r;
  return ex->hook == NULL ? 0 : ex->hook (ex->cookie, index, t);
}

/* The slot prepare of layer INDEX. */
static void
prepare_layer (struct qk_exec *ex, int index)
{
  const struct qk_node *n = &ex->g->node[index];
  struct qk_exec_node *en = &ex->node[index];
  struct qk_tensor param[QK_LAYER_MAX_PARAMS];
  struct qk_layer_io io
    = { .flags = ex->flags,
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

static int
run_nodes (struct qk_exec *ex, int first, int last)
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
join_slices (struct qk_exec *ex, const float *images, int64_t n)
{
  int i;

  ex->n = n;
  ex->at = 0;
  for (i = 0; i < ex->g->n_values; i++) {
    const struct qk_value *v = &ex->g->value[i];
    struct qk_tensor *t = &ex->value[i].t;

    if (v->producer >= ex->tail || !ex->value[i].whole)
      continue;
    t->shape = qk_batched (&v->shape, n);
    t->data = i == 0 && !v->on_grid ? (void *) images : value_data (ex, i);
  }
}

int
qk_forward_all (struct qk_exec *ex, const float *images, const float **logits)
{
  const struct qk_tensor *t = &ex->value[ex->g->output].t;
  const int64_t pixels = qk_shape_count (&ex->g->value[0].shape), n = ex->n;
  const int64_t slice = ex->tail == 0 ? n : ex->slice;
  int r;

  if (ex->opt.train)
    prepare_layers (ex);
  for (ex->at = 0; ex->at < n; ex->at += slice) {
    ex->n = n - ex->at < slice ? n - ex->at : slice;
    if ((r = take_images (ex, images + ex->at * pixels)) < 0
        || (ex->hook != NULL
            && (r = ex->hook (ex->cookie, -1, &ex->value[0].t)) < 0)
        || (r = run_nodes (ex, 0, ex->tail)) < 0)
      return r;
  }
  join_slices (ex, images, n);
  if ((r = run_nodes (ex, ex->tail, ex->g->n_nodes)) < 0)
    return r;
  *logits = t->data;
  if (t->dtype == QK_U8) {
    float *wide = qk_arena_at (&ex->arena, ex->wide_logits);

    qk_widen (t, wide, ex->opt.threads);
    *logits = wide;
  }
  return 0;
}

int
qk_exec_forward (struct qk_exec *ex, const float *images, int64_t n,
                 unsigned flags, const float **logits)
{
  if (n < 1 || n > ex->batch)
    return qk_error (-EINVAL, "batch of %lld samples, planned for 1 to %lld",
                     (long long) n, (long long) ex->batch);
  ex->n = n;
  ex->flags = flags;
  ex->images = images;
  if (ex->worker != NULL)
    return qk_slices_forward (ex, images, logits);
  return qk_forward_all (ex, images, logits);
}

const struct qk_tensor *
qk_exec_output (const struct qk_exec *ex, int node)
{
  return node < 0 ? &ex->value[0].t : &ex->value[ex->g->node[node].out].t;
}
