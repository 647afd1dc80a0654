/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json.c: an analysis as JSON. */
#include "config.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json-text.h"
#include "analyze/priv.h"

/* JSON knows neither infinity nor NaN. */
static json_t *
real (double x)
{
  return isfinite (x) ? json_real (x) : json_null ();
}

/* Set KEY; without memory for VALUE the key is left out. */
static void
set (json_t *o, const char *key, json_t *value)
{
  json_object_set_new (o, key, value);
}

static json_t *
text (const char *s)
{
  json_t *t = json_string (s);

  return t != NULL ? t : json_string ("?"); /* not UTF-8 */
}

static json_t *
point (const struct qk_analyze_point *p)
{
  json_t *o;

  if (!p->valid)
    return json_null ();
  o = json_object ();
  set (o, "logit_sqnr_db", real (p->sqnr));
  set (o, "loss", real (p->loss));
  set (o, "top1", real (p->top1));
  set (o, "agreement", real (p->agree));
  return o;
}

static json_t *
network (enum qk_analyze_net net, const struct qk_analyze_network *n)
{
  json_t *o = json_object ();

  set (o, "network", json_string (qk_analyze_net_name (net)));
  set (o, "top1", real (qk_metrics_top1 (&n->metrics)));
  set (o, "top5", real (qk_metrics_top5 (&n->metrics)));
  set (o, "loss", real (qk_metrics_loss (&n->metrics)));
  set (o, "samples", json_integer (n->metrics.n));
  set (o, "lost", json_integer (n->lost));
  set (o, "won", json_integer (n->won));
  set (o, "subset", point (&n->subset));
  return o;
}

static json_t *
reals (const double *x, int n)
{
  json_t *a = json_array ();
  int i;

  for (i = 0; i < n; i++)
    json_array_append_new (a, real (x[i]));
  return a;
}

static json_t *
floats (const float *x, int n)
{
  json_t *a = json_array ();
  int i;

  for (i = 0; i < n; i++)
    json_array_append_new (a, real ((double) x[i]));
  return a;
}

static json_t *
activation (const struct qk_analyze_layer *l)
{
  json_t *o = json_object (), *bins = json_array ();
  int i;

  for (i = 0; i < QK_ANALYZE_BINS; i++)
    json_array_append_new (bins, json_integer (l->bins[i]));
  set (o, "bits", json_integer (l->value_bits));
  set (o, "scale", real ((double) l->grid.scale));
  set (o, "zero_point", json_integer (l->grid.zero_point));
  set (o, "grid_min", real (l->grid_min));
  set (o, "grid_max", real (l->grid_max));
  set (o, "sqnr_own_db", real (l->sqnr_own));
  set (o, "clip_rate", real (l->clip));
  set (o, "min", real (l->min));
  set (o, "max", real (l->max));
  set (o, "histogram", bins);
  return o;
}

static json_t *
weight (const struct qk_analyze_layer *l)
{
  json_t *o = json_object ();

  set (o, "bits", json_integer (l->weight_bits));
  set (o, "per_channel", json_boolean (l->per_channel));
  set (o, "channels", json_integer (l->channels));
  set (o, "sqnr_db", real (l->weight_sqnr));
  set (o, "range_ratio", real (l->range_ratio));
  set (o, "spare_bits", real (l->spare_bits));
  set (o, "per_channel_would_help",
       json_boolean (!l->per_channel && l->spare_bits >= 1));
  set (o, "quartiles", reals (l->quartile, 5));
  set (o, "channel_min", floats (l->channel_min, l->shown));
  set (o, "channel_max", floats (l->channel_max, l->shown));
  set (o, "channel_grid", floats (l->channel_grid, l->shown));
  return o;
}

static json_t *
layer (const struct qk_analyze_layer *l)
{
  json_t *o = json_object (), *bn = json_object ();

  set (o, "name", text (l->name));
  set (o, "layer", text (l->kind));
  set (o, "order", json_integer (l->node + 1));
  set (o, "int8", json_boolean (l->int8));
  set (o, "macs", json_integer (l->macs));
  set (o, "noise_share", real (l->share));
  set (o, "sqnr_fake_db", real (l->sqnr_fake));
  set (o, "sqnr_int8_db", real (l->sqnr_int8));
  set (o, "alone", point (&l->alone));
  set (o, "all_but", point (&l->rest));
  set (o, "activation", l->has_value ? activation (l) : json_null ());
  set (o, "weight", l->has_weight ? weight (l) : json_null ());
  set (bn, "mean_drift", real (l->bn_mean));
  set (bn, "log_var_drift", real (l->bn_var));
  if (!l->has_bn) {
    json_decref (bn);
    bn = json_null ();
  }
  set (o, "batchnorm", bn);
  return o;
}

/* The lines of a log that are JSON objects, as an array. */
static json_t *
read_log (const char *path)
{
  json_t *a = json_array (), *line;
  FILE *f = fopen (path, "r");

  while (f != NULL
         && ((line = json_loadf (f, JSON_DISABLE_EOF_CHECK, NULL)) != NULL))
    json_array_append_new (a, line);
  if (f != NULL)
    fclose (f);
  return a;
}

static json_t *
whole (const struct qk_analysis *a, const char *log)
{
  json_t *o = json_object (), *nets = json_array (), *layers = json_array ();
  json_t *advice = json_array ();
  int i;

  for (i = 0; i < QK_NETS; i++)
    if (a->net[i].valid)
      json_array_append_new (nets,
                             network ((enum qk_analyze_net) i, &a->net[i]));
  for (i = 0; i < a->n; i++)
    json_array_append_new (layers, layer (&a->layer[i]));
  for (i = 0; i < a->n_advice; i++)
    json_array_append_new (advice, text (a->advice[i]));
  set (o, "qatkit", json_string (PACKAGE_VERSION));
  set (o, "subject", text (a->subject));
  set (o, "kind", json_string (a->qat ? "QAT" : "PTQ"));
  set (o, "model", text (a->model));
  set (o, "dataset", text (a->dataset));
  set (o, "backend", text (a->backend));
  set (o, "subset_samples", json_integer (a->subset));
  set (o, "limit", json_string (qk_analyze_limit_name (a->limit)));
  set (o, "verdict", text (a->verdict));
  set (o, "advice", advice);
  set (o, "networks", nets);
  set (o, "layers", layers);
  set (o, "freeze_bn_after", json_integer (a->freeze_bn_after));
  set (o, "freeze_observers_after", json_integer (a->freeze_observers_after));
  set (o, "log", log != NULL ? read_log (log) : json_array ());
  set (o, "config", text (a->config));
  return o;
}

int
qk_analysis_json (const struct qk_analysis *a, const char *log, char **out)
{
  json_t *o = whole (a, log);
  char *text = qk_json_text (o, JSON_COMPACT | JSON_REAL_PRECISION (7));
  const int n = text == NULL ? -1 : asprintf (out, "%s\n", text);

  json_decref (o);
  free (text);
  return n >= 0 ? 0 : qk_oom ("analyze");
}
