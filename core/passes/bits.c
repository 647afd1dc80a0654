/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bits.c: the pass that gives quantizers other bits in the course of QAT. */
#include "config.h"

#include "passes/passes.h"
#include "quant/quantizer-priv.h"

static int
change (struct qk_quantizer *qz, const struct qk_qsetting *s)
{
  struct qk_quant_info info = *qk_quantizer_info (qz);

  qk_qsetting_integers (s, info.weight, &info);
  return qk_quantizer_set_bits (qz, &info, s->observer_cfg, s->fakequant_cfg);
}

int
qk_pass_change_bits (struct qk_graph *g, qk_qconfig_fn fn, void *cookie)
{
  struct qk_qconfig qc;
  int i, r = 0;

  if (g->stage != QK_STAGE_PREPARED)
    return qk_error (-EINVAL, "bits: expected a prepared graph");
  for (i = 0; r == 0 && i < g->n_values; i++)
    if (g->value[i].qz != NULL
        && (r = fn (cookie, qk_value_name (g, i), &qc)) == 0)
      r = change (g->value[i].qz, &qc.activation);
  for (i = 0; r == 0 && i < g->n_nodes; i++)
    if (g->node[i].weight_qz != NULL
        && (r = fn (cookie, g->node[i].name, &qc)) == 0)
      r = change (g->node[i].weight_qz, &qc.weight);
  return r;
}
