/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert.c: from a prepared graph to the int8 network it stands for. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "graph/op-priv.h"
#include "passes/passes.h"
#include "quant/quantizer-priv.h"

void
qk_value_grids (const struct qk_graph *g, struct qk_qparams *q)
{
  int i;

  for (i = 0; i < g->n_values; i++) {
    const struct qk_value *v = &g->value[i];

    memset (&q[i], 0, sizeof q[i]);
    if (v->qz != NULL)
      q[i] = *qk_quantizer_qparams (v->qz);
    else if (v->on_grid && v->producer >= 0)
      q[i] = q[g->node[v->producer].in[0]];
    else
      q[i] = v->q;
  }
}

/* What V of a prepared graph is carried as in the int8 network. */
static enum qk_dtype
lowered_dtype (const struct qk_value *v)
{
  return !v->on_grid ? QK_F32 : v->wide ? QK_U16 : QK_U8;
}

static int
lower_node (const struct qk_graph *g, int index, const struct qk_qparams *q,
            struct qk_op *op)
{
  const struct qk_node *n = &g->node[index];
  struct qk_tensor in[QK_OP_MAX_INPUTS], out, param[QK_LAYER_MAX_PARAMS];
  struct qk_shape shape[QK_OP_MAX_INPUTS];
  struct qk_layer_io io;
  int i, r;

  memset (in, 0, sizeof in);
  memset (&out, 0, sizeof out);
  memset (&io, 0, sizeof io);
  qk_op_init (op);
  op->name = n->name;
  op->n_in = n->n_in;
  for (i = 0; i < n->n_in; i++) {
    in[i].dtype = lowered_dtype (&g->value[n->in[i]]);
    in[i].shape = shape[i] = g->value[n->in[i]].shape;
    in[i].q = op->in_q[i] = q[n->in[i]];
  }
  out.dtype = lowered_dtype (&g->value[n->out]);
  out.shape = g->value[n->out].shape;
  out.q = op->out_q = q[n->out];
  op->lo = out.q.qmin;
  op->hi = out.q.qmax;
  if (n->as == QK_AS_DYNAMIC)
    op->hi = (1 << n->dynamic_bits) - 1;
  for (i = 0; i < n->n_params; i++)
    param[i] = g->param[n->param[i]].value;
  io.threads = 1;
  io.n_in = n->n_in;
  io.in = in;
  io.out = &out;
  io.n_params = n->n_params;
  io.param = param;
  io.weight_qz = n->weight_qz;
  io.out_qz = g->value[n->out].qz;
  if ((r = n->layer->lower (n->self, &io, op)) < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  return qk_op_check_node (op, shape, &out.shape);
}

int
qk_lower_node (const struct qk_graph *g, int node, struct qk_op *op)
{
  struct qk_qparams *q;
  int r;

  qk_op_init (op);
  if (!g->node[node].int8)
    return qk_error (-EINVAL, "node '%s' stays in float: %s",
                     g->node[node].name, g->node[node].skip_reason);
  if ((q = calloc ((size_t) g->n_values + 1, sizeof *q)) == NULL)
    return qk_oom ("convert");
  qk_value_grids (g, q);
  r = lower_node (g, node, q, op);
  free (q);
  return r;
}

/* Forget the float parameters that only lowered nodes used. */
static void
drop_params (struct qk_graph *g)
{
  int *map = calloc ((size_t) g->n_params + 1, sizeof *map);
  int i, j, kept = 0;

  if (map == NULL)
    return; /* they only cost memory */
  for (i = 0; i < g->n_nodes; i++)
    for (j = 0; j < g->node[i].n_params; j++)
      map[g->node[i].param[j]] = g->node[i].lowered ? -1 : 1;
  for (i = 0; i < g->n_params; i++) {
    if (map[i] < 0) {
      free (g->param[i].name);
      free (g->param[i].alias);
      free (g->param[i].scale);
      qk_free (g->param[i].value.data);
      qk_free (g->param[i].grad.data);
      continue;
    }
    map[i] = kept;
    g->param[kept++] = g->param[i];
  }
  g->n_params = kept;
  for (i = 0; i < g->n_nodes; i++) {
    if (g->node[i].lowered)
      g->node[i].n_params = 0;
    for (j = 0; j < g->node[i].n_params; j++)
      g->node[i].param[j] = map[g->node[i].param[j]];
  }
  free (map);
}

/* Put the f32 elements of a constant on its grid. */
static int
quantize_constant (struct qk_value *v)
{
  const int64_t n = qk_shape_count (&v->shape);
  const float inv = 1.0f / v->q.scale, *x = v->constant;
  void *q = qk_alloc ((size_t) n * qk_dtype_size (lowered_dtype (v)));
  int64_t i;

  if (q == NULL)
    return qk_oom ("constant '%s'", v->name);
  for (i = 0; i < n; i++) {
    const int32_t k
      = qk_quantize (x[i], inv, v->q.zero_point, v->q.qmin, v->q.qmax);

    if (v->wide)
      ((uint16_t *) q)[i] = (uint16_t) k;
    else
      ((uint8_t *) q)[i] = (uint8_t) k;
  }
  qk_free (v->constant);
  v->constant = q;
  return 0;
}

int
qk_pass_convert (const struct qk_graph *g, struct qk_graph **out)
{
  struct qk_qparams *q = calloc ((size_t) g->n_values + 1, sizeof *q);
  struct qk_graph *c = NULL;
  int i, r;

  if (q == NULL)
    return qk_oom ("convert");
  if (g->stage != QK_STAGE_PREPARED) {
    r = qk_error (-EINVAL, "convert: expected a prepared graph");
    goto error;
  }
  qk_value_grids (g, q);
  if ((r = qk_graph_copy (g, &c)) < 0)
    goto error;
  c->stage = QK_STAGE_INT8;
  for (i = 0; i < g->n_values; i++) {
    c->value[i].on_grid = g->value[i].on_grid;
    c->value[i].wide = g->value[i].wide;
    c->value[i].q = q[i];
    if (c->value[i].constant != NULL && c->value[i].on_grid
        && (r = quantize_constant (&c->value[i])) < 0)
      goto error;
  }
  for (i = 0; i < g->n_nodes; i++) {
    struct qk_node *n = &c->node[i];

    n->skip_reason = g->node[i].skip_reason;
    n->int8 = g->node[i].int8;
    n->as = g->node[i].as;
    if (n->as == QK_AS_WEIGHTS) {
      r = qk_error (-ENOTSUP,
                    "convert: node '%s' has quantized weights on float "
                    "activations, which has no int8 form",
                    n->name);
      goto error;
    }
    if (!n->int8)
      continue;
    n->lowered = true;
    if ((r = lower_node (g, i, q, &n->op)) < 0)
      goto error;
    n->op.name = n->name;
  }
  drop_params (c);
  free (q);
  *out = c;
  return 0;

error:
  free (q);
  qk_graph_free (c);
  return r;
}
