/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c: decides before the first call which buffers a graph needs, and
 * when each of them is in use. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "exec/exec-priv.h"
#include "graph/limits.h"
#include "passes/passes.h"
#include "plugin/loader-priv.h"
#include "quant/quantizer-priv.h"

/* Bytes of value V as it is carried, or with REAL in float. */
static size_t
value_bytes (const struct qk_exec *ex, int v, bool real)
{
  const struct qk_shape s = qk_value_shape (
    ex->g, v, ex->value[v].whole ? ex->opt.batch : ex->slice);
  const int64_t n = qk_shape_count (&s);

  return (size_t) n
         * qk_dtype_size (real ? QK_F32 : qk_value_dtype (ex->g, v));
}

/* Whether N reads or makes a value of more than 8 bits. */
static bool
touches_wide (const struct qk_graph *g, const struct qk_node *n)
{
  bool wide = g->value[n->out].on_grid && g->value[n->out].wide;

  for (int i = 0; i < n->n_in; i++)
    wide = wide || (g->value[n->in[i]].on_grid && g->value[n->in[i]].wide);
  return wide;
}

/* Whether N works on what is on grids as it is.  Values of more than 8 bits are
 * real numbers to all layers but those with weights, and those that keep the
 * grid need nothing around them.  Of a float network, some of whose values its
 * file puts on grids, those that only pass these on work on them. */
static bool
takes_grids (const struct qk_exec *ex, const struct qk_node *n)
{
  const struct qk_value *out = &ex->g->value[n->out];

  if (ex->g->stage != QK_STAGE_FLOAT)
    return n->lowered
           || (n->int8 && n->layer->quantized
               && (!touches_wide (ex->g, n)
                   || n->traits.role == QK_ROLE_WEIGHTED
                   || qk_node_keeps_grid (n)));
  return n->layer->quantized
         && (n->traits.role == QK_ROLE_GRID
             || (qk_node_keeps_grid (n) && out->on_grid && out->qz == NULL));
}

static bool
is_wrapped (const struct qk_exec *ex, const struct qk_node *n)
{
  int i;

  if (takes_grids (ex, n))
    return false;
  for (i = 0; i < n->n_in; i++)
    if (ex->g->value[n->in[i]].on_grid)
      return true;
  return ex->g->value[n->out].on_grid;
}

/* Ask the layer what it needs. */
static int
setup_node (struct qk_exec *ex, int index)
{
  struct qk_node *n = &ex->g->node[index];
  struct qk_exec_node *en = &ex->node[index];
  const struct qk_value *in0 = &ex->g->value[n->in[0]];
  const struct qk_value *result = &ex->g->value[n->out];
  struct qk_shape in[QK_OP_MAX_INPUTS], out;
  struct qk_layer_setup s;
  int i, r;

  for (i = 0; i < n->n_in; i++)
    in[i] = qk_value_shape (ex->g, n->in[i], qk_node_batch (ex, index));
  out = qk_value_shape (ex->g, n->out, qk_node_batch (ex, index));
  memset (&s, 0, sizeof s);
  s.in = in;
  s.out = &out;
  s.n_in = n->n_in;
  s.threads = ex->opt.threads;
  s.float_backend = qk_context_float (ex->g->ctx);
  s.train = ex->opt.train;
  s.quantized_in = !en->wrapped && in0->on_grid && !in0->wide;
  s.quantized_out = !en->wrapped && result->qz != NULL && !result->wide;
  s.wide_in = !en->wrapped && in0->on_grid && in0->wide;
  s.wide_out = !en->wrapped && result->qz != NULL && result->wide;
  s.quantized_weight = n->weight_qz != NULL;
  s.keep_in = s.keep_out = ex->opt.train;
  s.out_qz = en->wrapped ? NULL : result->qz;
  if (n->layer->setup != NULL && (r = n->layer->setup (n->self, &s)) < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  en->keep_in = ex->opt.train && s.keep_in;
  en->keep_out = ex->opt.train && s.keep_out;
  en->saved_size = ex->opt.train ? s.saved : 0;
  en->prepared_size = ex->opt.train ? s.prepared : 0;
  en->workspace_size = s.workspace;
  return 0;
}

/* Whether anything of node N itself learns. */
static bool
learns (const struct qk_graph *g, const struct qk_node *n)
{
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  int i;

  for (i = 0; i < n->n_params; i++)
    if ((g->param[n->param[i]].spec.flags & QK_PARAM_TRAINED)
        && !g->param[n->param[i]].frozen)
      return true;
  return (g->value[n->out].qz != NULL
          && qk_quantizer_params (g->value[n->out].qz, qp) > 0)
         || (n->n_params > 0 && n->weight_qz != NULL
             && qk_quantizer_params (n->weight_qz, qp) > 0);
}

/* Which values need a gradient: those behind a trained parameter, and an input
 * or constant whose quantizer learns. */
static void
mark_gradients (struct qk_exec *ex)
{
  const struct qk_graph *g = ex->g;
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  int i, j;

  for (i = 0; i < g->n_values; i++)
    ex->value[i].needs_grad = g->value[i].producer < 0
                              && g->value[i].qz != NULL
                              && qk_quantizer_params (g->value[i].qz, qp) > 0;
  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    bool need = learns (g, n);

    for (j = 0; j < n->n_in; j++)
      need = need || ex->value[n->in[j]].needs_grad;
    ex->value[n->out].needs_grad = need;
    if (!need) /* behind frozen parameters alone: no backward */
      ex->node[i].keep_in = ex->node[i].keep_out = false;
  }
}

static int
add_buffer (struct qk_exec *ex, int *where, size_t size, int first, int last)
{
  const int b = qk_arena_add (&ex->arena, size, first, last);

  if (b < 0)
    return b;
  *where = b;
  return 0;
}

/* Which values hold opt.batch samples: those that nodes from TAIL on make or
 * read, the outputs, and constants. */
static void
mark_whole (struct qk_exec *ex)
{
  const struct qk_graph *g = ex->g;
  int i, j;

  for (i = 0; i < g->n_values; i++)
    ex->value[i].whole = ex->tail == 0 || g->value[i].constant != NULL;
  for (i = 0; i < ex->n_outputs; i++)
    ex->value[ex->output[i].value].whole = true;
  for (i = ex->tail; i < g->n_nodes; i++) {
    ex->value[g->node[i].out].whole = true;
    for (j = 0; j < g->node[i].n_in; j++)
      ex->value[g->node[i].in[j]].whole = true;
  }
}

/* Data of the values: from their producer to their last reader.  One that
 * slices fill by and by must outlast what they all use in between, and so must
 * a constant, which is there before the first slice and read by each. */
static int
plan_values (struct qk_exec *ex)
{
  const struct qk_graph *g = ex->g;
  int i, j, last, r;

  for (i = 0; i < g->n_values; i++) {
    const bool early = g->value[i].producer < ex->tail && ex->value[i].whole;
    const int made
      = g->value[i].producer < 0 || early ? 0 : g->value[i].producer;

    if (g->value[i].producer < 0 && g->value[i].constant == NULL
        && !g->value[i].on_grid)
      continue; /* read where it is */
    last = g->value[i].constant != NULL && ex->tail > 0
             ? qk_time_forward (ex->tail - 1)
             : made;
    if ((r = add_buffer (ex, &ex->value[i].data, value_bytes (ex, i, false),
                         made, ex->opt.keep_values ? qk_time_end (ex) : last))
        < 0)
      return r;
  }
  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];

    for (j = 0; j < n->n_in; j++) {
      const int b = ex->value[n->in[j]].data;

      if (b < 0)
        continue;
      qk_arena_extend (&ex->arena, b,
                       qk_time_forward (ex->node[i].joined ? i + 1 : i));
      if (ex->node[i].keep_in)
        qk_arena_extend (&ex->arena, b, qk_time_backward (ex, i));
    }
    if (ex->node[i].keep_out && !ex->node[i].wrapped)
      qk_arena_extend (&ex->arena, ex->value[n->out].data,
                       qk_time_backward (ex, i));
  }
  for (i = 0; i < ex->n_outputs; i++)
    qk_arena_extend (&ex->arena, ex->value[ex->output[i].value].data,
                     qk_time_end (ex));
  return 0;
}

/* What one node needs besides its values. */
static int
plan_node (struct qk_exec *ex, int index)
{
  const struct qk_node *n = &ex->g->node[index];
  struct qk_exec_node *en = &ex->node[index];
  const struct qk_value *out = &ex->g->value[n->out];
  const int now = qk_time_forward (index), back = qk_time_backward (ex, index);
  int i, r;

  if ((r = add_buffer (ex, &en->saved, en->saved_size, now, back)) < 0
      || (r = add_buffer (ex, &en->prepared, en->prepared_size, 0, back)) < 0)
    return r;
  for (i = 0; i < n->n_in; i++) {
    const struct qk_value *in = &ex->g->value[n->in[i]];

    if (ex->opt.train && (in->n_consumers > 1 || ex->value[n->in[i]].inner)
        && ex->value[n->in[i]].needs_grad
        && (r = add_buffer (ex, &en->temp[i], value_bytes (ex, n->in[i], true),
                            back, back))
             < 0)
      return r;
    if (!en->wrapped || qk_value_dtype (ex->g, n->in[i]) == QK_F32)
      continue;
    if ((r = add_buffer (ex, &en->wide_in[i], value_bytes (ex, n->in[i], true),
                         now, now))
        < 0)
      return r;
    if (en->keep_in
        && (r = add_buffer (ex, &en->wide_in_back[i],
                            value_bytes (ex, n->in[i], true), back, back))
             < 0)
      return r;
  }
  if (!en->wrapped || !out->on_grid)
    return 0;
  if ((r = add_buffer (ex, &en->wide_out, value_bytes (ex, n->out, true), now,
                       now))
      < 0)
    return r;
  if (!ex->opt.train || out->qz == NULL)
    return 0;
  if (en->keep_out || !qk_quantizer_is_ste (out->qz))
    qk_arena_extend (&ex->arena, en->wide_out, back);
  if (qk_quantizer_is_ste (out->qz))
    return add_buffer (ex, &en->mask, value_bytes (ex, n->out, true) / 4, now,
                       back);
  return 0;
}

/* Gradients of the values: from their last reader (the first in backward) to
 * their producer. */
static int
plan_gradients (struct qk_exec *ex)
{
  const struct qk_graph *g = ex->g;
  int i, j, r;

  for (i = 0; i < g->n_values; i++) {
    const int producer = g->value[i].producer;
    const int end
      = producer < 0 ? qk_time_end (ex) : qk_time_backward (ex, producer);

    if (!ex->value[i].needs_grad)
      continue;
    if ((r = add_buffer (ex, &ex->value[i].grad, value_bytes (ex, i, true),
                         end, end))
        < 0)
      return r;
  }
  for (i = 0; i < g->n_nodes; i++)
    for (j = 0; j < g->node[i].n_in; j++)
      if (ex->value[g->node[i].in[j]].grad >= 0)
        qk_arena_extend (&ex->arena, ex->value[g->node[i].in[j]].grad,
                         qk_time_backward (ex, i));
  for (i = 0; i < ex->n_outputs; i++)
    if (ex->value[ex->output[i].value].grad >= 0)
      qk_arena_extend (&ex->arena, ex->value[ex->output[i].value].grad,
                       qk_time_loss (ex));
  return 0;
}

/* The outputs that loss L compares, as specs. */
static void
loss_specs (const struct qk_exec *ex, const struct qk_exec_loss *l,
            struct qk_tensor_spec *spec)
{
  int i;

  memset (spec, 0, sizeof *spec * (size_t) l->n_out);
  for (i = 0; i < l->n_out; i++) {
    const struct qk_exec_output *o = &ex->output[l->out[i]];

    spec[i].name = o->name;
    spec[i].dtype = QK_F32;
    spec[i].shape = ex->g->value[o->value].shape;
  }
}

/* Whether the value of output J of loss I has a gradient by then: an earlier
 * loss compares it too, or this one under another name. */
static bool
is_compared_before (const struct qk_exec *ex, int i, int j)
{
  const struct qk_exec_output *o = ex->output;
  const struct qk_exec_loss *l = ex->opt.loss;
  const int v = o[l[i].out[j]].value;
  int a, b;

  for (a = 0; a <= i; a++)
    for (b = 0; b < (a < i ? l[a].n_out : j); b++)
      if (o[l[a].out[b]].value == v)
        return true;
  return false;
}

/* What the losses keep, and room for the gradient by an output that is
 * compared before. */
static int
plan_losses (struct qk_exec *ex)
{
  const int now = qk_time_loss (ex), end = qk_time_end (ex);
  struct qk_tensor_spec spec[QK_GRAPH_MAX_INPUTS];
  int i, j, r;

  for (i = 0; i < ex->opt.n_losses; i++) {
    const struct qk_exec_loss *l = &ex->opt.loss[i];
    size_t saved = 0;

    if (l->n_out > QK_GRAPH_MAX_INPUTS)
      return qk_error (-E2BIG, "loss '%s': %d outputs, at most %d", l->name,
                       l->n_out, QK_GRAPH_MAX_INPUTS);
    loss_specs (ex, l, spec);
    if (l->cls->saved != NULL)
      saved = l->cls->saved (l->self, spec, l->n_out, ex->opt.batch);
    if ((r = add_buffer (ex, &ex->loss_saved[i], saved, now, end)) < 0)
      return r;
    for (j = 0; j < l->n_out; j++) {
      struct qk_exec_output *o = &ex->output[l->out[j]];
      const int v = o->value;

      if (ex->value[v].needs_grad && o->temp < 0
          && is_compared_before (ex, i, j)
          && (r
              = add_buffer (ex, &o->temp, value_bytes (ex, v, true), now, now))
               < 0)
        return r;
    }
  }
  return 0;
}

/* Outputs are given in float. */
static int
plan_outputs (struct qk_exec *ex)
{
  int i, r;

  for (i = 0; i < ex->n_outputs; i++) {
    const int v = ex->output[i].value;

    if (qk_value_dtype (ex->g, v) != QK_F32
        && (r = add_buffer (ex, &ex->output[i].wide, value_bytes (ex, v, true),
                            0, qk_time_end (ex)))
             < 0)
      return r;
  }
  return 0;
}

static int
check_trainable (const struct qk_exec *ex)
{
  int i;

  for (i = 0; i < ex->g->n_nodes; i++) {
    const struct qk_node *n = &ex->g->node[i];

    if (n->layer == NULL || n->layer->backward == NULL)
      return qk_error (-ENOTSUP,
                       "node '%s': layer '%s' has no backward, so the network "
                       "cannot be trained",
                       n->name, n->layer_name);
  }
  return 0;
}

static void
no_buffers (struct qk_exec *ex)
{
  int i, j;

  ex->workspace = -1;
  for (i = 0; i < ex->n_outputs; i++)
    ex->output[i].wide = ex->output[i].temp = -1;
  for (i = 0; i < ex->opt.n_losses; i++)
    ex->loss_saved[i] = -1;
  for (i = 0; i < ex->g->n_values; i++)
    ex->value[i].data = ex->value[i].grad = -1;
  for (i = 0; i < ex->g->n_nodes; i++) {
    struct qk_exec_node *en = &ex->node[i];

    en->saved = en->prepared = en->wide_out = en->mask = -1;
    for (j = 0; j < QK_OP_MAX_INPUTS; j++)
      en->wide_in[j] = en->wide_in_back[j] = en->temp[j] = -1;
  }
}

int
qk_plan (struct qk_exec *ex)
{
  const struct qk_graph *g = ex->g;
  size_t workspace = ex->input_scratch;
  int i, r;

  no_buffers (ex);
  mark_whole (ex);
  if (ex->opt.train && (r = check_trainable (ex)) < 0)
    return r;
  for (i = 0; i < g->n_nodes; i++) {
    ex->node[i].wrapped = is_wrapped (ex, &g->node[i]);
    if (!g->node[i].lowered && (r = setup_node (ex, i)) < 0)
      return r;
    if (ex->node[i].workspace_size > workspace)
      workspace = ex->node[i].workspace_size;
  }
  if (ex->opt.train)
    mark_gradients (ex);
  if ((r = plan_values (ex)) < 0)
    return r;
  for (i = 0; i < g->n_nodes; i++)
    if ((r = plan_node (ex, i)) < 0)
      return r;
  if (ex->opt.train && (r = plan_gradients (ex)) < 0)
    return r;
  if (ex->opt.train && (r = plan_losses (ex)) < 0)
    return r;
  if (!ex->opt.packed_only && (r = plan_outputs (ex)) < 0)
    return r;
  if ((r = add_buffer (ex, &ex->workspace, workspace, 0, qk_time_end (ex)))
      < 0)
    return r;
  ex->arena.middles
    = ex->opt.train ? ex->opt.threads > 1
                    : ex->g->stage == QK_STAGE_INT8 && ex->kernel_threads > 1;
  r = qk_arena_place (&ex->arena, qk_limit_memory (g), "activations");
  return r < 0 || ex->opt.packed_only
           ? r
           : qk_arena_allocate (&ex->arena, "activations");
}
