/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* analyze.c: the networks to be compared, and the order of the work. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "analyze/priv.h"
#include "run/run.h"
#include "quant/quantizer-priv.h"

/* The prepared network of a checkpoint. */
static int
open_checkpoint (struct qk_analyzer *z, const struct qk_graph *g)
{
  struct qk_settings *settings = z->opt->settings;
  struct qk_checkpoint *c;
  int phase, r;

  if ((r = qk_checkpoint_open (settings->ctx, z->opt->checkpoint, &c)) < 0)
    return r;
  if ((r = qk_checkpoint_run_phase (c, settings, &phase)) == 0
      && (r = qk_settings_prepare_phase (settings, g, phase, &z->g)) == 0)
    r = qk_restore_network (z->g, NULL, c);
  qk_checkpoint_close (c);
  return r;
}

/* What QAT began with, if it can still be had. */
static int
open_original (struct qk_analyzer *z)
{
  struct qk_settings *settings = z->opt->settings;
  const char *path = z->opt->weights;
  struct qk_graph *g = NULL;
  int r;

  if (path == NULL)
    path = qk_config_string (settings->model, "weights");
  if ((r = qk_settings_build (settings, &z->data->info, QK_WEIGHTS_NONE, &g))
      < 0)
    return r;
  if (*path == 0 && !g->filled)
    qk_log (settings->ctx, QK_LOG_INFO,
            "the float weights that QAT began with are "
            "not known: no batch-norm drift");
  else if (*path != 0 && qk_settings_load_weights (settings, g, path) < 0)
    qk_log (settings->ctx, QK_LOG_WARNING,
            "%s; going on without batch-norm drift", qk_error_message ());
  else
    r = qk_pass_fuse (g, &z->original_g);
  qk_graph_free (g);
  return r;
}

/* What the networks are judged by. */
static int
open_objective (struct qk_analyzer *z)
{
  struct qk_analysis *a = z->a;
  const int r = qk_settings_objective (z->opt->settings, z->g, &z->data->info,
                                       &z->session.objective);

  if (r < 0)
    return r;
  a->score = qk_objective_first_score (z->session.objective);
  a->score_spec = *qk_score_spec (z->session.objective, a->score);
  a->score_name = qk_score_name (z->session.objective, a->score);
  a->n_scores = z->session.objective->n_scores;
  a->scores = z->session.objective->score;
  return 0;
}

static int
open_networks (struct qk_analyzer *z)
{
  struct qk_settings *settings = z->opt->settings;
  const bool qat = z->opt->checkpoint != NULL;
  struct qk_graph *g = NULL;
  int r;

  if ((r = qk_settings_build (settings, &z->data->info,
                              qat ? QK_WEIGHTS_NONE : QK_WEIGHTS_ALL, &g))
      < 0)
    return r;
  if (!qat && !g->filled
      && *qk_config_string (settings->model, "weights") == 0)
    r = qk_error (-EINVAL,
                  "%s: [model] weights is not given, so there is "
                  "no network to analyze; name the folder of a finished "
                  "run instead",
                  z->opt->subject);
  else if ((r = qk_settings_check (settings, g, &z->data->info)) == 0)
    r = qat ? open_checkpoint (z, g)
            : qk_session_calibrate (&z->session, g, &z->g);
  qk_graph_free (g);
  if (r < 0 || (r = open_objective (z)) < 0)
    return r;
  qk_graph_set_observing (z->g, false, false);
  if ((r = qk_graph_copy (z->g, &z->float_g)) < 0
      || (r = qk_pass_convert (z->g, &z->int8_g)) < 0)
    return r;
  return qat ? open_original (z) : 0;
}

/* ---- the list of layers -----------------------------------------------------*/

static int
describe_layer (const struct qk_graph *g, int value,
                struct qk_analyze_layer *l)
{
  const struct qk_value *v = &g->value[value];
  const struct qk_node *n = v->producer < 0 ? NULL : &g->node[v->producer];

  l->value = value;
  l->node = v->producer;
  l->name = strdup (qk_value_name (g, value));
  l->kind = strdup (n == NULL ? "quantize" : n->layer_name);
  if (l->name == NULL || l->kind == NULL)
    return qk_oom ("analyze");
  l->int8 = n == NULL || n->int8;
  l->macs = n == NULL ? 0 : n->traits.macs;
  if (v->qz != NULL) {
    l->has_value = true;
    l->value_bits = qk_quantizer_info (v->qz)->bits;
    l->grid = *qk_quantizer_qparams (v->qz);
    l->grid_min = (double) l->grid.scale * (l->grid.qmin - l->grid.zero_point);
    l->grid_max = (double) l->grid.scale * (l->grid.qmax - l->grid.zero_point);
  }
  if (n != NULL && n->weight_qz != NULL) {
    l->has_weight = true;
    l->weight_bits = qk_quantizer_info (n->weight_qz)->bits;
    l->per_channel = qk_quantizer_channels (n->weight_qz) > 1;
  }
  return 0;
}

static int
list_layers (struct qk_analyzer *z)
{
  const struct qk_graph *g = z->g;
  struct qk_analysis *a = z->a;
  int i, r = 0;

  a->layer = calloc ((size_t) g->n_values + 1, sizeof *a->layer);
  if (a->layer == NULL)
    return qk_oom ("analyze");
  for (i = 0; r == 0 && i < g->n_values; i++) {
    const int node = g->value[i].producer;

    if (g->value[i].qz != NULL
        || (node >= 0 && g->node[node].weight_qz != NULL))
      r = describe_layer (g, i, &a->layer[a->n++]);
  }
  if (r == 0 && a->n == 0)
    return qk_error (-EINVAL, "%s: no layer of the network is quantized",
                     z->opt->subject);
  return r;
}

/* ---- all of it ----------------------------------------------------------------*/

static int
start (struct qk_analyzer *z)
{
  struct qk_settings *settings = z->opt->settings;
  struct qk_analysis *a = z->a;
  int r;

  a->qat = z->opt->checkpoint != NULL;
  a->model = settings->model_class->cls.name;
  a->dataset = settings->dataset_class->cls.name;
  a->backend = settings->backend_class->cls.name;
  a->freeze_bn_after = qk_config_int (settings->qat, "freeze_bn_after");
  a->freeze_observers_after
    = qk_config_int (settings->qat, "freeze_observers_after");
  if ((a->subject = strdup (z->opt->subject)) == NULL)
    return qk_oom ("analyze");
  if ((r = qk_ini_text (settings->ini, &a->config)) < 0
      || (r = qk_data_open (settings, QK_DATA_SUBSET, &z->data)) < 0)
    return r;
  return 0;
}

static int
measure (struct qk_analyzer *z)
{
  int r;

  if ((r = start (z)) < 0 || (r = open_networks (z)) < 0
      || (r = list_layers (z)) < 0 || (r = qk_switch_init (&z->sw, z->g)) < 0
      || (r = qk_analyze_subset (z)) < 0 || (r = qk_analyze_networks (z)) < 0
      || (r = qk_analyze_values (z)) < 0 || (r = qk_analyze_weights (z)) < 0
      || (r = qk_analyze_batchnorm (z)) < 0
      || (r = qk_analyze_sensitivity (z)) < 0)
    return r;
  return qk_analyze_verdict (z->a);
}

void
qk_analyzer_clear (struct qk_analyzer *z)
{
  int i;

  qk_switch_clear (&z->sw);
  qk_graph_free (z->g);
  qk_graph_free (z->float_g);
  qk_graph_free (z->original_g);
  qk_graph_free (z->int8_g);
  qk_data_close (z->data);
  qk_session_clear (&z->session);
  for (i = 0; i < QK_DATASET_MAX_TENSORS; i++) {
    qk_free (z->subset.input[i]);
    qk_free (z->subset.target[i]);
  }
  free (z->float_out);
  free (z->out);
  free (z->float_score);
}

int
qk_analyze (const struct qk_analyze_options *opt, struct qk_analysis **out)
{
  struct qk_analyzer z;
  int r;

  memset (&z, 0, sizeof z);
  z.opt = opt;
  z.session.settings = opt->settings;
  z.session.m = opt->m;
  z.a = calloc (1, sizeof *z.a);
  r = z.a == NULL ? qk_oom ("analyze") : measure (&z);
  if (z.a != NULL) { /* the scores' names live on */
    z.a->objective = z.session.objective;
    z.session.objective = NULL;
  }
  qk_analyzer_clear (&z);
  if (r < 0) {
    qk_analysis_free (z.a);
    return r;
  }
  *out = z.a;
  return 0;
}

void
qk_analysis_free (struct qk_analysis *a)
{
  int i;

  if (a == NULL)
    return;
  for (i = 0; i < a->n; i++) {
    free (a->layer[i].name);
    free (a->layer[i].kind);
  }
  for (i = 0; i < a->n_advice; i++)
    free (a->advice[i]);
  for (i = 0; i < QK_NETS; i++)
    json_decref (a->net[i].tables);
  qk_objective_free (a->objective);
  free (a->layer);
  free (a->advice);
  free (a->verdict);
  free (a->subject);
  free (a->config);
  free (a);
}
