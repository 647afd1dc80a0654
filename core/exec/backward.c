/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backward.c: the loss, and gradients back through the graph. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "base/called.h"
#include "base/threads.h"
#include "exec/exec-priv.h"
#include "passes/passes.h"
#include "quant/quantizer-priv.h"

/* What loss I compares; OUT and DOUT have room for its outputs, REF for its
 * references. */
static void
fill_loss (const struct qk_exec *ex, int i, const struct qk_tensor *all_ref,
           struct qk_tensor *out, struct qk_tensor *ref, struct qk_loss_io *io)
{
  const struct qk_exec_loss *l = &ex->opt.loss[i];
  int j;

  memset (io, 0, sizeof *io);
  for (j = 0; j < l->n_out; j++)
    out[j] = ex->output[l->out[j]].t;
  for (j = 0; j < l->n_ref; j++)
    ref[j] = all_ref[l->ref[j]];
  io->threads = ex->opt.threads;
  io->n_out = l->n_out;
  io->n_ref = l->n_ref;
  io->out = out;
  io->ref = ref;
  io->saved = qk_arena_at (&ex->arena, ex->loss_saved[i]);
}

/* Node INDEX's gradients are complete: sum them over the processes. */
static int
send_gradients (struct qk_exec *ex, int index)
{
  const struct qk_node *n = &ex->g->node[index];
  int i, r = 0;

  if (qk_comm_size (ex->opt.comm) == 1)
    return 0;
  for (i = 0; r == 0 && i < n->n_params; i++) {
    const struct qk_param *p = &ex->g->param[n->param[i]];

    if ((p->spec.flags & QK_PARAM_TRAINED) && !p->frozen)
      r = qk_comm_sum_begin (ex->opt.comm, p->grad.data,
                             (size_t) qk_shape_count (&p->value.shape));
  }
  return r;
}

/* Those of the quantizers' parameters, and the end of all sums. */
static int
finish_gradients (struct qk_exec *ex)
{
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  struct qk_quantizer *qz;
  int i, j, n, r;

  if (qk_comm_size (ex->opt.comm) == 1)
    return 0;
  for (i = 0; (qz = qk_graph_next_quantizer (ex->g, &i)) != NULL;) {
    n = qk_quantizer_params (qz, qp);
    for (j = 0; j < n; j++)
      if ((r = qk_comm_sum_begin (ex->opt.comm, qp[j].grad, qp[j].count)) < 0)
        return r;
  }
  return qk_comm_sum_end (ex->opt.comm);
}

static int
find_bad (void *cookie, int value, const struct qk_tensor *t)
{
  const int64_t n = qk_shape_count (&t->shape);
  const float *x = t->data;
  int64_t i;

  if (t->dtype != QK_F32)
    return 0;
  for (i = 0; i < n; i++)
    if (!isfinite (x[i])) {
      *(int *) cookie = value;
      return -EDOM;
    }
  return 0;
}

/* The first layer whose output is not finite, named in the error. */
static int
name_bad_layer (struct qk_exec *ex, const char *what)
{
  const struct qk_value *v;
  int bad = -1;
  const qk_exec_hook hook = ex->hook;
  void *const cookie = ex->cookie;

  qk_exec_set_hook (ex, find_bad, &bad);
  qk_exec_forward (ex, ex->input, ex->n, ex->flags);
  qk_exec_set_hook (ex, hook, cookie);
  if (bad < 0)
    return qk_error (-EDOM, "%s not finite, though every layer is", what);
  v = &ex->g->value[bad];
  if (v->producer < 0)
    return qk_error (-EDOM, "the input samples hold NaN or infinity: '%s'",
                     v->name);
  return qk_error (-EDOM,
                   "%s not finite; the first layer to give NaN or "
                   "infinity is '%s' (%s)",
                   what, ex->g->node[v->producer].name,
                   ex->g->node[v->producer].layer_name);
}

int
qk_exec_check_finite (struct qk_exec *ex)
{
  int i, bad;

  for (i = 0; i < ex->g->n_outputs; i++)
    if (find_bad (&bad, 0, &ex->output[i].t) < 0)
      return name_bad_layer (ex, "outputs are");
  return 0;
}

/* What the mean of L counts in the sum. */
static double
weight_of (const struct qk_exec *ex, const struct qk_exec_loss *l)
{
  switch (l->part) {
  case QK_PART_OWN:
    return l->weight * ex->own;
  case QK_PART_OTHER:
    return l->weight * (1 - ex->own);
  case QK_PART_WHOLE:
    break;
  }
  return l->weight;
}

int
qk_exec_loss (struct qk_exec *ex, const struct qk_tensor *all_ref,
              double *loss)
{
  struct qk_tensor out[QK_GRAPH_MAX_INPUTS], ref[QK_GRAPH_MAX_INPUTS];
  int i, r;

  *loss = 0;
  for (i = 0; i < ex->opt.n_losses; i++) {
    const struct qk_exec_loss *l = &ex->opt.loss[i];
    struct qk_loss_io io;
    double mean = 0;

    fill_loss (ex, i, all_ref, out, ref, &io);
    r = QK_CALLED (&l->cls->cls, "forward",
                   l->cls->forward (l->self, &io, &mean));
    if (r == -EDOM || (r == 0 && !isfinite (mean)))
      return name_bad_layer (ex, "the loss is");
    if (r < 0)
      return qk_error_prefix (r, "loss '%s': ", l->name);
    *loss += weight_of (ex, l) * mean;
  }
  return 0;
}

/* Where loss L shall write its gradients: an output's own buffer if it is the
 * first to do so, else a temporary one. */
static void
place_loss (struct qk_exec *ex, const struct qk_exec_loss *l,
            struct qk_tensor *dout, bool *temporary)
{
  int j;

  for (j = 0; j < l->n_out; j++) {
    const int v = ex->output[l->out[j]].value;
    struct qk_exec_value *ev = &ex->value[v];

    dout[j] = ex->output[l->out[j]].t;
    temporary[j] = ev->needs_grad && ev->grad_written;
    dout[j].data = !ev->needs_grad ? NULL
                   : temporary[j]
                     ? qk_arena_at (&ex->arena, ex->output[l->out[j]].temp)
                     : qk_arena_at (&ex->arena, ev->grad);
    ev->grad_written = ev->needs_grad;
  }
}

/* Gradients of all losses by the outputs. */
static int
loss_gradients (struct qk_exec *ex, const struct qk_tensor *all_ref)
{
  struct qk_tensor out[QK_GRAPH_MAX_INPUTS], ref[QK_GRAPH_MAX_INPUTS];
  struct qk_tensor dout[QK_GRAPH_MAX_INPUTS];
  bool temporary[QK_GRAPH_MAX_INPUTS];
  int i, j, r;

  for (i = 0; i < ex->opt.n_losses; i++) {
    const struct qk_exec_loss *l = &ex->opt.loss[i];
    struct qk_loss_io io;

    fill_loss (ex, i, all_ref, out, ref, &io);
    place_loss (ex, l, dout, temporary);
    io.dout = dout;
    /* the mean is over this process's samples */
    io.scale = weight_of (ex, l) * ex->share * ex->weight;
    if ((r = QK_CALLED (&l->cls->cls, "backward",
                        l->cls->backward (l->self, &io)))
        < 0)
      return qk_error_prefix (r, "loss '%s': ", l->name);
    for (j = 0; j < l->n_out; j++)
      if (temporary[j])
        qk_add_into (qk_arena_at (&ex->arena,
                                  ex->value[ex->output[l->out[j]].value].grad),
                     dout[j].data, (size_t) qk_shape_count (&dout[j].shape),
                     ex->opt.threads);
  }
  return 0;
}

/* Where layer INDEX shall write the gradient by its input I: the value's own
 * buffer if it is the first to do so, else a temporary one. */
static void
place_gradient (struct qk_exec *ex, int index, int i, struct qk_call *c,
                bool *temporary)
{
  const int v = ex->g->node[index].in[i];
  struct qk_exec_value *ev = &ex->value[v];

  c->din[i].dtype = QK_F32;
  c->din[i].shape = ev->t.shape;
  *temporary = false;
  if (!ev->needs_grad)
    return;
  if (ev->grad_written) {
    *temporary = true;
    c->din[i].data = qk_arena_at (&ex->arena, ex->node[index].temp[i]);
  } else {
    ev->grad_written = true;
    c->din[i].data = qk_arena_at (&ex->arena, ev->grad);
  }
}

/* Gradient through the quantizer after a wrapped node, in place. */
static int
unquantize_gradient (struct qk_exec *ex, int index, float *g)
{
  const struct qk_node *n = &ex->g->node[index];
  const struct qk_exec_node *en = &ex->node[index];
  const size_t count = (size_t) qk_shape_count (&ex->value[n->out].t.shape);

  if (en->mask >= 0) {
    qk_apply_mask (qk_arena_at (&ex->arena, en->mask), g, g, count,
                   ex->opt.threads);
    return 0;
  }
  return qk_quantizer_backward (ex->g->value[n->out].qz,
                                qk_arena_at (&ex->arena, en->wide_out), g, g,
                                count);
}

static int
backward_node (struct qk_exec *ex, int index)
{
  struct qk_node *n = &ex->g->node[index];
  bool temporary[QK_OP_MAX_INPUTS];
  struct qk_call c;
  int i, r;

  if (!ex->value[n->out].grad_written)
    return 0; /* does not reach the loss */
  qk_call_fill (ex, index, true, &c);
  c.dout.dtype = QK_F32;
  c.dout.shape = ex->value[n->out].t.shape;
  c.dout.data = qk_arena_at (&ex->arena, ex->value[n->out].grad);
  if (ex->node[index].wrapped && ex->g->value[n->out].qz != NULL
      && (r = unquantize_gradient (ex, index, c.dout.data)) < 0)
    return r;
  for (i = 0; i < n->n_in; i++)
    place_gradient (ex, index, i, &c, &temporary[i]);
  if ((r = QK_CALLED (&n->layer->cls, "backward",
                      n->layer->backward (n->self, &c.io)))
      < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  for (i = 0; i < n->n_in; i++)
    if (temporary[i])
      qk_add_into (qk_arena_at (&ex->arena, ex->value[n->in[i]].grad),
                   c.din[i].data, (size_t) qk_shape_count (&c.din[i].shape),
                   ex->opt.threads);
  return 0;
}

/* Gradients of quantizers that inputs and constants have. */
static int
backward_sources (struct qk_exec *ex)
{
  const struct qk_graph *g = ex->g;
  int i, j, r;

  for (i = 0; i < g->n_values; i++) {
    const struct qk_value *v = &g->value[i];
    const void *x = v->constant;
    size_t count, k;
    float *grad;

    if (v->producer >= 0 || !ex->value[i].needs_grad
        || !ex->value[i].grad_written)
      continue;
    for (j = 0; j < g->n_inputs; j++)
      if (g->input[j] == i)
        x = ex->input[j];
    grad = qk_arena_at (&ex->arena, ex->value[i].grad);
    count = (size_t) qk_shape_count (&ex->value[i].t.shape);
    if (v->constant != NULL) { /* the same for all samples */
      const size_t one = count / (size_t) ex->n;

      for (k = one; k < count; k++)
        grad[k % one] += grad[k];
      count = one;
    }
    r = qk_quantizer_backward (v->qz, x, grad, grad, count);
    if (r < 0)
      return r;
  }
  return 0;
}

static int
all_gradients (struct qk_exec *ex, const struct qk_tensor *ref)
{
  int i, r;

  for (i = 0; i < ex->g->n_values; i++)
    ex->value[i].grad_written = false;
  if ((r = loss_gradients (ex, ref)) < 0)
    return r;
  for (i = ex->g->n_nodes - 1; i >= 0; i--)
    if ((r = backward_node (ex, i)) < 0 || (r = send_gradients (ex, i)) < 0)
      return r;
  if ((r = backward_sources (ex)) < 0)
    return r;
  return finish_gradients (ex);
}

int
qk_exec_backward (struct qk_exec *ex, const struct qk_tensor *ref,
                  double *loss)
{
  const int before = qk_threads_limit (ex->opt.threads);
  int r = qk_exec_loss (ex, ref, loss);

  if (r == 0)
    r = all_gradients (ex, ref);
  qk_threads_limit (before);
  return r;
}
