/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* prepare.c: the pass that puts quantizers on values and weights. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"
#include "quant/quantizer-priv.h"

void
qk_qsetting_integers (const struct qk_qsetting *s, bool weight,
                      struct qk_quant_info *info)
{
  info->bits = s->bits;
  info->qmin = weight ? -(1 << (s->bits - 1)) + s->narrow : 0;
  info->qmax = weight ? (1 << (s->bits - 1)) - 1 : (1 << s->bits) - 1;
}

static int
new_quantizer (struct qk_graph *g, const char *name,
               const struct qk_qsetting *s, bool weight, int64_t channels,
               int64_t per_channel, struct qk_quantizer **out)
{
  const int most = weight ? 8 : 16;
  struct qk_quant_info info;

  if (s->bits < 2 || s->bits > most)
    return qk_error (-EINVAL, "%s: %d bits, expected 2 to %d", name, s->bits,
                     most);
  memset (&info, 0, sizeof info);
  info.name = name;
  info.weight = weight;
  info.symmetric = weight || s->symmetric;
  qk_qsetting_integers (s, weight, &info);
  info.channels = channels;
  info.per_channel = per_channel;
  return qk_quantizer_new (g->ctx, &info, s->observer, s->observer_cfg,
                           s->fakequant, s->fakequant_cfg, out);
}

/* The settings of what keeps the grid of its file. */
static struct qk_qsetting
of_the_file (void)
{
  return (struct qk_qsetting){ .bits = 8 };
}

static int
quantize_value (struct qk_graph *g, int v, const char *node,
                const struct qk_qsetting *s)
{
  const struct qk_given *given = &g->value[v].given;
  const bool keeps = given->q.scale > 0 && given->keeps;
  const struct qk_qsetting own = of_the_file ();
  struct qk_quantizer **qz = &g->value[v].qz;
  char *name;
  int r;

  if (asprintf (&name, "%s:out", node) < 0)
    return qk_oom ("prepare");
  r = new_quantizer (g, name, keeps ? &own : s, false, 1, 0, qz);
  free (name);
  if (r == 0 && given->q.scale > 0)
    r = keeps ? qk_quantizer_fix (*qz, &given->q)
              : qk_quantizer_start (*qz, &given->q);
  g->value[v].on_grid = r == 0;
  g->value[v].wide = !keeps && s->bits > 8;
  return r;
}

/* The scales that parameter P keeps, as grids. */
static int
fix_weight (const struct qk_param *p, struct qk_quantizer *qz)
{
  struct qk_qparams *q = calloc ((size_t) p->n_scales, sizeof *q);
  int64_t i;
  int r;

  if (q == NULL)
    return qk_oom ("prepare");
  for (i = 0; i < p->n_scales; i++)
    q[i] = (struct qk_qparams){ p->scale[i], 0, -128, 127 };
  r = qk_quantizer_fix (qz, q);
  free (q);
  return r;
}

static int
quantize_weight (struct qk_graph *g, struct qk_node *n,
                 const struct qk_qsetting *s)
{
  const struct qk_qsetting own = of_the_file ();
  const struct qk_param *p;
  int i, r;

  for (i = 0; i < n->n_params; i++) {
    int64_t count, channels;

    p = &g->param[n->param[i]];
    if (!(p->spec.flags & QK_PARAM_WEIGHT))
      continue;
    count = qk_shape_count (&p->value.shape);
    channels = p->scale != NULL ? p->n_scales
               : s->per_channel ? p->value.shape.dims[0]
                                : 1;
    r = new_quantizer (g, p->name, p->scale != NULL ? &own : s, true, channels,
                       count / channels, &n->weight_qz);
    return r < 0 || p->scale == NULL ? r : fix_weight (p, n->weight_qz);
  }
  return qk_error (-EINVAL, "node '%s': layer '%s' declares no weight",
                   n->name, n->layer_name);
}

/* Why a node cannot be int8; NULL if it can. */
static const char *
reason_for_float (const struct qk_node *n, const struct qk_qconfig *qc)
{
  if (!qc->quantize)
    return "left in float by its qconfig";
  if (n->traits.role == QK_ROLE_BATCHNORM && n->layer->lower == NULL)
    return "batch-norm that could not be fused";
  if (qc->mode == QK_Q_DYNAMIC && !n->traits.dynamic)
    return n->traits.role == QK_ROLE_WEIGHTED
             ? "its layer does not support dynamic quantization"
             : "dynamic quantization is for layers with weights";
  if (qc->mode == QK_Q_DYNAMIC && (!isinf (n->lo) || !isinf (n->hi)))
    return "it is followed by an activation function, which dynamic "
           "quantization does not support";
  if (n->layer->lower == NULL)
    return "its layer has no int8 operation";
  if ((n->traits.role == QK_ROLE_WEIGHTED
       || n->traits.role == QK_ROLE_BATCHNORM
       || n->traits.role == QK_ROLE_SAME_GRID
       || n->traits.role == QK_ROLE_CLAMP)
      && !n->layer->quantized)
    return "its layer cannot work on quantized tensors";
  if (qc->mode == QK_Q_WEIGHTS)
    return "only weights are quantized";
  if (qc->mode == QK_Q_VALUES && n->traits.role == QK_ROLE_WEIGHTED)
    return "only activations are quantized";
  return NULL;
}

/* How the node computes, given what reason_for_float said. */
static enum qk_node_as
computes_as (const struct qk_node *n, const struct qk_qconfig *qc)
{
  const bool weighted = n->traits.role == QK_ROLE_WEIGHTED;

  if (n->skip_reason == NULL)
    return qc->mode == QK_Q_DYNAMIC ? QK_AS_DYNAMIC : QK_AS_INT8;
  if (!weighted || !qc->quantize || n->layer->lower == NULL
      || !n->layer->quantized)
    return QK_AS_FLOAT;
  return qc->mode == QK_Q_WEIGHTS  ? QK_AS_WEIGHTS
         : qc->mode == QK_Q_VALUES ? QK_AS_VALUES
                                   : QK_AS_FLOAT;
}

/* Whether the node takes and gives quantized values. */
static bool
on_grids (const struct qk_node *n)
{
  return n->as == QK_AS_INT8 || n->as == QK_AS_VALUES;
}

static bool
keeps_grid (const struct qk_node *n)
{
  return n->int8 && qk_node_keeps_grid (n);
}

/* Whether V lies on a grid of its network's file that it keeps. */
static bool
keeps_given (const struct qk_graph *g, int v, const struct qk_qconfig *qc)
{
  return qc->mode == QK_Q_BOTH && g->value[v].given.q.scale > 0
         && g->value[v].given.keeps;
}

static bool
wanted_on_grid (const struct qk_graph *g, int v)
{
  int i, j;

  for (i = 0; i < g->n_nodes; i++)
    for (j = 0; j < g->node[i].n_in; j++)
      if (g->node[i].in[j] == v && on_grids (&g->node[i]))
        return true;
  return false;
}

/* Whether the node computes with integers and can leave its result as reals:
 * not where it has taken a clamp over, whose bounds are those of a grid. */
static bool
leaves_reals (const struct qk_node *n)
{
  return (n->traits.role == QK_ROLE_WEIGHTED || n->traits.real_out)
         && !(n->lo > -INFINITY) && !(n->hi < INFINITY);
}

static int
prepare_node (struct qk_graph *g, int index, const struct qk_qconfig *qc,
              bool quantize_outputs)
{
  struct qk_node *n = &g->node[index];
  int r;

  if (n->traits.role == QK_ROLE_WEIGHTED && n->as != QK_AS_FLOAT
      && n->as != QK_AS_VALUES
      && (r = quantize_weight (g, n, &qc->weight)) < 0)
    return r;
  if (keeps_grid (n)) {
    g->value[n->out].on_grid = true;
    g->value[n->out].wide = g->value[n->in[0]].wide;
    return 0;
  }
  if (keeps_given (g, n->out, qc))
    return quantize_value (g, n->out, n->name, &qc->activation);
  if (qk_graph_is_output (g, n->out) && !quantize_outputs
      && !wanted_on_grid (g, n->out) && (!n->int8 || leaves_reals (n)))
    return 0;
  if (on_grids (n) || wanted_on_grid (g, n->out))
    return quantize_value (g, n->out, n->name, &qc->activation);
  return 0;
}

/* Whether the output of N will have more than 8 bits, should it lie on a grid.
 * What only the network's user reads may be left as real numbers. */
static bool
makes_wide (const struct qk_graph *g, const struct qk_node *n,
            const struct qk_qconfig *qc, bool quantize_outputs)
{
  if (n->skip_reason == NULL && qk_node_keeps_grid (n))
    return g->value[n->in[0]].wide;
  if (keeps_given (g, n->out, qc)
      || (qk_graph_is_output (g, n->out) && !quantize_outputs
          && g->value[n->out].n_consumers == 1 && leaves_reals (n)))
    return false;
  return qc->activation.bits > 8;
}

/* Let N be in float where it would have values of more than 8 bits around it
 * that its layer knows nothing of; its output is wide or not from here on. */
static void
choose_width (struct qk_graph *g, struct qk_node *n,
              const struct qk_qconfig *qc, bool quantize_outputs)
{
  bool wide = makes_wide (g, n, qc, quantize_outputs);
  int i;

  for (i = 0; i < n->n_in; i++)
    wide = wide || g->value[n->in[i]].wide;
  if (wide && n->skip_reason == NULL && qc->mode != QK_Q_DYNAMIC
      && !n->traits.wide)
    n->skip_reason = "its int8 operation is of 8 bits at most";
  g->value[n->out].wide = makes_wide (g, n, qc, quantize_outputs);
}

/* An input or a constant. */
static int
prepare_source (struct qk_graph *g, int v, qk_qconfig_fn fn, void *cookie)
{
  struct qk_qconfig qc;
  int r;

  if ((r = fn (cookie, g->value[v].name, &qc)) < 0)
    return r;
  if (!wanted_on_grid (g, v) && !keeps_given (g, v, &qc))
    return 0;
  return quantize_value (g, v, g->value[v].name, &qc.activation);
}

/* Values that some readers put on a grid which stays, and others take as they
 * are, lie on that grid for all: being rounded twice costs more. */
static void
take_from_readers (struct qk_graph *g)
{
  int i;

  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    struct qk_value *v = &g->value[n->in[0]];

    if (n->traits.role == QK_ROLE_GRID && n->traits.keeps
        && v->given.q.scale == 0 && !qk_graph_is_output (g, n->in[0]))
      v->given = (struct qk_given){ n->traits.grid, true };
  }
}

int
qk_pass_prepare (struct qk_graph *g, qk_qconfig_fn fn, void *cookie,
                 bool quantize_outputs)
{
  struct qk_qconfig qc;
  int i, r;

  if (g->stage != QK_STAGE_FLOAT)
    return qk_error (-EINVAL, "prepare: expected a float graph");
  for (i = 0; i < g->n_values; i++) { /* of computing in float */
    qk_quantizer_free (g->value[i].qz);
    g->value[i].qz = NULL;
    g->value[i].on_grid = g->value[i].wide = false;
    memset (&g->value[i].q, 0, sizeof g->value[i].q);
  }
  take_from_readers (g);
  for (i = 0; i < g->n_values; i++)
    if (g->value[i].producer < 0) {
      if ((r = fn (cookie, g->value[i].name, &qc)) < 0)
        return r;
      g->value[i].wide = qc.activation.bits > 8 && !keeps_given (g, i, &qc);
    }
  for (i = 0; i < g->n_nodes; i++) {
    struct qk_node *n = &g->node[i];

    if ((r = fn (cookie, n->name, &qc)) < 0)
      return r;
    n->skip_reason = reason_for_float (n, &qc);
    choose_width (g, n, &qc, quantize_outputs);
    n->int8 = n->skip_reason == NULL;
    n->as = computes_as (n, &qc);
    n->dynamic_bits = qc.activation.bits;
  }
  for (i = 0; i < g->n_values; i++)
    if (g->value[i].producer < 0
        && (r = prepare_source (g, i, fn, cookie)) < 0)
      return r;
  for (i = 0; i < g->n_nodes; i++) {
    if ((r = fn (cookie, g->node[i].name, &qc)) < 0)
      return r;
    if ((r = prepare_node (g, i, &qc, quantize_outputs)) < 0)
      return r;
  }
  g->stage = QK_STAGE_PREPARED;
  return 0;
}

bool
qk_graph_is_analysis (const struct qk_graph *g)
{
  int i;

  for (i = 0; i < g->n_nodes; i++)
    if (g->node[i].as == QK_AS_WEIGHTS)
      return true;
  return false;
}

void
qk_graph_set_observing (struct qk_graph *g, bool activations, bool weights)
{
  int i;

  for (i = 0; i < g->n_values; i++)
    if (g->value[i].qz != NULL)
      qk_quantizer_set_observing (g->value[i].qz, activations);
  for (i = 0; i < g->n_nodes; i++)
    if (g->node[i].weight_qz != NULL)
      qk_quantizer_set_observing (g->node[i].weight_qz, weights);
}

int
qk_graph_check_params (const struct qk_graph *g)
{
  int i;

  for (i = 0; i < g->n_params; i++) {
    const struct qk_tensor *t = &g->param[i].value;
    const int64_t n = qk_shape_count (&t->shape);
    const float *x = t->data;
    int64_t j;

    for (j = 0; j < n; j++)
      if (!isfinite (x[j]))
        return qk_error (-EDOM, "parameter '%s' holds NaN or infinity",
                         g->param[i].name);
  }
  return 0;
}

struct qk_quantizer *
qk_graph_next_quantizer (const struct qk_graph *g, int *at)
{
  while (*at < g->n_values + g->n_nodes) {
    const int i = (*at)++;
    struct qk_quantizer *qz
      = i < g->n_values ? g->value[i].qz : g->node[i - g->n_values].weight_qz;

    if (qz != NULL)
      return qz;
  }
  return NULL;
}
