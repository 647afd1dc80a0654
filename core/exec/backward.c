/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backward.c: the loss, and gradients back through the graph. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "exec/exec-priv.h"
#include "passes/passes.h"
#include "quant/quantizer-priv.h"

static void
fill_loss (struct qk_exec *ex, const int32_t *labels, float *loss,
           struct qk_call *c)
{
  const struct qk_tensor *t = &ex->value[ex->g->output].t;

  memset (c, 0, sizeof *c);
  c->in[0] = *t;
  if (t->dtype == QK_U8) {
    c->in[0].dtype = QK_F32;
    c->in[0].data = qk_arena_at (&ex->arena, ex->wide_logits);
  }
  c->in[1].dtype = QK_I32;
  c->in[1].shape.ndim = 1;
  c->in[1].shape.dims[0] = ex->n;
  c->in[1].data = (void *) labels;
  c->out.dtype = QK_F32;
  c->out.shape.ndim = 1;
  c->out.shape.dims[0] = 1;
  c->out.data = loss;
  c->io.flags = ex->flags;
  c->io.threads = ex->opt.threads;
  c->io.n_in = 2;
  c->io.in = c->in;
  c->io.out = &c->out;
  c->io.saved = qk_arena_at (&ex->arena, ex->loss_saved);
  c->io.workspace = qk_arena_at (&ex->arena, ex->workspace);
  c->io.dout = &c->dout;
  c->io.din = c->din;
}

/* The mean over this process's samples counts as its share of the batch. */
static void
weigh_gradient (const struct qk_exec *ex, float *g)
{
  const int64_t n = qk_shape_count (&ex->value[ex->g->output].t.shape);
  const float share = (float) ex->share;
  int64_t i;

  for (i = 0; share != 1.0f && i < n; i++)
    g[i] *= share;
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

    if (p->spec.flags & QK_PARAM_TRAINED)
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

/* The same for the loss that compares with the teacher. */
static void
fill_teacher (struct qk_exec *ex, float *loss, struct qk_call *c)
{
  fill_loss (ex, NULL, loss, c);
  c->in[1] = c->in[0];
  c->in[1].data = (void *) ex->teacher_logits;
  c->io.saved = qk_arena_at (&ex->arena, ex->teacher_saved);
}

static int
find_bad (void *cookie, int node, const struct qk_tensor *t)
{
  const int64_t n = qk_shape_count (&t->shape);
  const float *x = t->data;
  int64_t i;

  if (t->dtype != QK_F32)
    return 0;
  for (i = 0; i < n; i++)
    if (!isfinite (x[i])) {
      *(int *) cookie = node;
      return -EDOM;
    }
  return 0;
}

/* The first layer whose output is not finite, named in the error. */
static int
name_bad_layer (struct qk_exec *ex, const char *what)
{
  const float *logits;
  int bad = -2;
  const qk_exec_hook hook = ex->hook;
  void *const cookie = ex->cookie;

  qk_exec_set_hook (ex, find_bad, &bad);
  qk_exec_forward (ex, ex->images, ex->n, ex->flags, &logits);
  qk_exec_set_hook (ex, hook, cookie);
  if (bad == -1)
    return qk_error (-EDOM, "the input samples hold NaN or infinity");
  if (bad >= 0)
    return qk_error (-EDOM,
                     "%s not finite; the first layer to give NaN or "
                     "infinity is '%s' (%s)",
                     what, ex->g->node[bad].name, ex->g->node[bad].layer_name);
  return qk_error (-EDOM, "%s not finite, though every layer is", what);
}

int
qk_exec_check_finite (struct qk_exec *ex)
{
  const struct qk_tensor *t = &ex->value[ex->g->output].t;
  int bad;

  return find_bad (&bad, 0, t) == 0 ? 0 : name_bad_layer (ex, "outputs are");
}

int
qk_exec_loss (struct qk_exec *ex, const int32_t *labels, float *loss)
{
  const double share = ex->opt.teacher_share;
  float far = 0.0f;
  struct qk_call c;
  int r;

  fill_loss (ex, labels, loss, &c);
  *loss = 0;
  r = ex->loss->forward (ex->loss_self, &c.io);
  if (r == 0 && ex->teacher != NULL) {
    if (ex->teacher_logits == NULL)
      return qk_error (-EINVAL, "loss '%s': no logits of a teacher",
                       ex->opt.teacher_loss);
    fill_teacher (ex, &far, &c);
    r = ex->teacher->forward (ex->teacher_self, &c.io);
    *loss = (float) ((1.0 - share) * (double) *loss + share * (double) far);
  }
  if (r == -EDOM || (r == 0 && !isfinite (*loss)))
    return name_bad_layer (ex, "the loss is");
  return r;
}

/* Gradient of the whole loss by the logits, into GRAD. */
static int
loss_gradient (struct qk_exec *ex, const int32_t *labels, float *loss,
               float *grad)
{
  float own = (float) (1.0 - ex->opt.teacher_share);
  float share = (float) ex->opt.teacher_share;
  struct qk_call c;
  int r;

  fill_loss (ex, labels, loss, &c);
  c.dout = c.out;
  c.dout.data = &own;
  c.din[0] = c.in[0];
  c.din[0].data = grad;
  if ((r = ex->loss->backward (ex->loss_self, &c.io)) < 0)
    return qk_error_prefix (r, "loss '%s': ", ex->opt.loss);
  if (ex->teacher == NULL)
    return 0;
  fill_teacher (ex, loss, &c);
  c.dout = c.out;
  c.dout.data = &share;
  c.din[0] = c.in[0];
  c.din[0].data = qk_arena_at (&ex->arena, ex->teacher_grad);
  if ((r = ex->teacher->backward (ex->teacher_self, &c.io)) < 0)
    return qk_error_prefix (r, "loss '%s': ", ex->opt.teacher_loss);
  qk_add_into (grad, c.din[0].data, (size_t) qk_shape_count (&c.in[0].shape),
               ex->opt.threads);
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
  if ((r = n->layer->backward (n->self, &c.io)) < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  for (i = 0; i < n->n_in; i++)
    if (temporary[i])
      qk_add_into (qk_arena_at (&ex->arena, ex->value[n->in[i]].grad),
                   c.din[i].data, (size_t) qk_shape_count (&c.din[i].shape),
                   ex->opt.threads);
  return 0;
}

int
qk_exec_backward (struct qk_exec *ex, const int32_t *labels, float *loss)
{
  struct qk_exec_value *logits = &ex->value[ex->g->output];
  int i, r;

  if ((r = qk_exec_loss (ex, labels, loss)) < 0)
    return r;
  for (i = 0; i < ex->g->n_values; i++)
    ex->value[i].grad_written = false;
  r = loss_gradient (ex, labels, loss, qk_arena_at (&ex->arena, logits->grad));
  if (r < 0)
    return r;
  logits->grad_written = true;
  weigh_gradient (ex, qk_arena_at (&ex->arena, logits->grad));
  for (i = ex->g->n_nodes - 1; i >= 0; i--)
    if ((r = backward_node (ex, i)) < 0 || (r = send_gradients (ex, i)) < 0)
      return r;
  if (ex->value[0].needs_grad && ex->value[0].grad_written) {
    float *g = qk_arena_at (&ex->arena, ex->value[0].grad);

    r = qk_quantizer_backward (
      ex->g->value[0].qz, ex->images, g, g,
      (size_t) qk_shape_count (&ex->value[0].t.shape));
    if (r < 0)
      return r;
  }
  return finish_gradients (ex);
}
