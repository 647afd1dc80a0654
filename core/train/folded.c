/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* folded.c: the weights that nodes quantize: batch-norm folded in. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "train/folded.h"

int
qk_folded_init (const struct qk_graph *g, const struct qk_node *n,
                struct qk_folded *out)
{
  bool statistics = false;

  memset (out, 0, sizeof *out);
  if (n->weight_qz == NULL)
    return 0;
  out->node = n;
  for (int i = 0; i < n->n_params; i++) {
    struct qk_param *p = &g->param[n->param[i]];

    if (p->spec.flags & QK_PARAM_WEIGHT)
      out->param = p;
    statistics = statistics || (p->spec.flags & QK_PARAM_BUFFER);
  }
  if (out->param == NULL || (statistics && n->layer->get_weight == NULL))
    return 0;
  out->channels = out->param->value.shape.dims[0];
  out->depth = qk_shape_count (&out->param->value.shape) / out->channels;
  out->weight
    = qk_alloc (sizeof (float) * (size_t) (out->channels * out->depth));
  out->k = qk_alloc (sizeof (float) * (size_t) out->channels);
  return out->weight == NULL || out->k == NULL ? qk_oom ("node '%s'", n->name)
                                               : 1;
}

void
qk_folded_clear (struct qk_folded *f)
{
  qk_free (f->weight);
  qk_free (f->k);
  memset (f, 0, sizeof *f);
}

/* By the largest element, which is the most exact. */
static float
factor_of (const float *param, const float *folded, int64_t n)
{
  int64_t at = 0;

  for (int64_t i = 1; i < n; i++)
    at = fabsf (param[i]) > fabsf (param[at]) ? i : at;
  return param[at] != 0.0f ? folded[at] / param[at] : 1.0f;
}

int
qk_folded_take (const struct qk_graph *g, struct qk_folded *f)
{
  const struct qk_node *n = f->node;
  const float *w = f->param->value.data;
  struct qk_tensor param[QK_LAYER_MAX_PARAMS];
  int r;

  for (int i = 0; i < n->n_params; i++)
    param[i] = g->param[n->param[i]].value;
  if (n->layer->get_weight == NULL)
    memcpy (f->weight, w, sizeof (float) * (size_t) (f->channels * f->depth));
  else if ((r = n->layer->get_weight (n->self, param, f->weight, f->k)) < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  for (int64_t c = 0; c < f->channels; c++)
    f->k[c] = factor_of (w + c * f->depth, f->weight + c * f->depth, f->depth);
  return 0;
}
