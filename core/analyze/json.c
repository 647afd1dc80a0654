/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json.c: an analysis as JSON. */
#include "config.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "analyze/priv.h"

static json_t *
point (const struct qk_analyze_point *p)
{
  json_t *o;

  if (!p->valid)
    return json_null ();
  o = json_object ();
  qk_json_set (&o, "output_sqnr_db", qk_json_real (p->sqnr));
  qk_json_set (&o, "loss", qk_json_real (p->loss));
  qk_json_set (&o, "score", qk_json_real (p->score));
  return o;
}

static json_t *
network (const struct qk_analysis *a, enum qk_analyze_net net,
         const struct qk_analyze_network *n)
{
  json_t *o = json_object (), *scores = json_object ();
  int i;

  for (i = 0; i < a->n_scores; i++)
    qk_json_set (&scores, a->scores[i].name,
                 qk_json_real (n->scores.value[i]));

  qk_json_set (&o, "network", json_string (qk_analyze_net_name (net)));
  qk_json_set (&o, "scores", scores);
  qk_json_set (&o, "loss", qk_json_real (n->scores.loss));
  qk_json_set (&o, "samples", json_integer (n->scores.n));
  qk_json_set (&o, "lost", json_integer (n->lost));
  qk_json_set (&o, "won", json_integer (n->won));
  qk_json_set (&o, "subset", point (&n->subset));
  qk_json_set (&o, "tables", json_incref (n->tables));
  return o;
}

static json_t *
reals (const double *x, int n)
{
  json_t *a = json_array ();
  int i;

  for (i = 0; i < n; i++)
    qk_json_append (&a, qk_json_real (x[i]));
  return a;
}

static json_t *
floats (const float *x, int n)
{
  json_t *a = json_array ();
  int i;

  for (i = 0; i < n; i++)
    qk_json_append (&a, qk_json_real ((double) x[i]));
  return a;
}

static json_t *
activation (const struct qk_analyze_layer *l)
{
  json_t *o = json_object (), *bins = json_array ();
  int i;

  for (i = 0; i < QK_ANALYZE_BINS; i++)
    qk_json_append (&bins, json_integer (l->bins[i]));
  qk_json_set (&o, "bits", json_integer (l->value_bits));
  qk_json_set (&o, "scale", qk_json_real ((double) l->grid.scale));
  qk_json_set (&o, "zero_point", json_integer (l->grid.zero_point));
  qk_json_set (&o, "grid_min", qk_json_real (l->grid_min));
  qk_json_set (&o, "grid_max", qk_json_real (l->grid_max));
  qk_json_set (&o, "sqnr_own_db", qk_json_real (l->sqnr_own));
  qk_json_set (&o, "clip_rate", qk_json_real (l->clip));
  qk_json_set (&o, "min", qk_json_real (l->min));
  qk_json_set (&o, "max", qk_json_real (l->max));
  qk_json_set (&o, "histogram", bins);
  return o;
}

static json_t *
weight (const struct qk_analyze_layer *l)
{
  json_t *o = json_object ();

  qk_json_set (&o, "bits", json_integer (l->weight_bits));
  qk_json_set (&o, "per_channel", json_boolean (l->per_channel));
  qk_json_set (&o, "channels", json_integer (l->channels));
  qk_json_set (&o, "sqnr_db", qk_json_real (l->weight_sqnr));
  qk_json_set (&o, "range_ratio", qk_json_real (l->range_ratio));
  qk_json_set (&o, "spare_bits", qk_json_real (l->spare_bits));
  qk_json_set (&o, "raised", json_integer (l->raised));
  qk_json_set (&o, "vanished", json_integer (l->vanished));
  qk_json_set (&o, "per_channel_would_help",
               json_boolean (!l->per_channel && l->spare_bits >= 1));
  qk_json_set (&o, "quartiles", reals (l->quartile, 5));
  qk_json_set (&o, "channel_min", floats (l->channel_min, l->shown));
  qk_json_set (&o, "channel_max", floats (l->channel_max, l->shown));
  qk_json_set (&o, "channel_grid", floats (l->channel_grid, l->shown));
  return o;
}

static json_t *
layer (const struct qk_analyze_layer *l)
{
  json_t *o = json_object (), *bn = json_object ();

  qk_json_set (&o, "name", qk_json_string (l->name));
  qk_json_set (&o, "layer", qk_json_string (l->kind));
  qk_json_set (&o, "order", json_integer (l->value));
  qk_json_set (&o, "int8", json_boolean (l->int8));
  qk_json_set (&o, "macs", json_integer (l->macs));
  qk_json_set (&o, "noise_share", qk_json_real (l->share));
  qk_json_set (&o, "sqnr_fake_db", qk_json_real (l->sqnr_fake));
  qk_json_set (&o, "sqnr_int8_db", qk_json_real (l->sqnr_int8));
  qk_json_set (&o, "alone", point (&l->alone));
  qk_json_set (&o, "all_but", point (&l->rest));
  qk_json_set (&o, "activation", l->has_value ? activation (l) : json_null ());
  qk_json_set (&o, "weight", l->has_weight ? weight (l) : json_null ());
  qk_json_set (&bn, "mean_drift", qk_json_real (l->bn_mean));
  qk_json_set (&bn, "log_var_drift", qk_json_real (l->bn_var));
  if (!l->has_bn) {
    json_decref (bn);
    bn = json_null ();
  }
  qk_json_set (&o, "batchnorm", bn);
  return o;
}

static json_t *
score_spec (const char *name, const struct qk_score_spec *s)
{
  json_t *o = json_object ();

  qk_json_set (&o, "name", qk_json_string (name));
  qk_json_set (&o, "title",
               s->title == NULL ? json_null () : qk_json_string (s->title));
  qk_json_set (&o, "larger_is_better", json_boolean (s->larger_is_better));
  qk_json_set (&o, "percent", json_boolean (s->percent));
  qk_json_set (&o, "digits", json_integer (s->digits));
  return o;
}

/* The lines of a log that are JSON objects, as an array.  One that was cut off,
 * or zeros that power loss has left, cost no other line. */
static json_t *
read_log (const char *path)
{
  json_t *a = json_array (), *line;
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  FILE *f = fd >= 0 ? fdopen (fd, "r") : NULL;
  char *text = NULL;
  size_t room = 0;
  ssize_t n;

  while (f != NULL && (n = getline (&text, &room, f)) > 0) {
    const char *s = text;

    while (n > 0 && *s == 0) {
      s++;
      n--;
    }
    if ((line = json_loadb (s, (size_t) n, 0, NULL)) != NULL)
      qk_json_append (&a, line);
  }
  free (text);
  if (f != NULL)
    fclose (f);
  else if (fd >= 0)
    close (fd);
  return a;
}

static json_t *
whole (const struct qk_analysis *a, const char *log)
{
  json_t *o = json_object (), *nets = json_array (), *layers = json_array ();
  json_t *advice = json_array (), *scores = json_array ();
  int i;

  for (i = 0; i < a->n_scores; i++)
    qk_json_append (&scores,
                    score_spec (a->scores[i].name, &a->scores[i].spec));

  for (i = 0; i < QK_NETS; i++)
    if (a->net[i].valid)
      qk_json_append (&nets, network (a, (enum qk_analyze_net) i, &a->net[i]));
  for (i = 0; i < a->n; i++)
    qk_json_append (&layers, layer (&a->layer[i]));
  for (i = 0; i < a->n_advice; i++)
    qk_json_append (&advice, qk_json_string (a->advice[i]));
  qk_json_set (&o, "qatkit", json_string (PACKAGE_VERSION));
  qk_json_set (&o, "subject", qk_json_string (a->subject));
  qk_json_set (&o, "kind", json_string (a->qat ? "QAT" : "PTQ"));
  qk_json_set (&o, "model", qk_json_string (a->model));
  qk_json_set (&o, "dataset", qk_json_string (a->dataset));
  qk_json_set (&o, "backend", qk_json_string (a->backend));
  qk_json_set (&o, "subset_samples", json_integer (a->subset));
  qk_json_set (&o, "limit", json_string (qk_analyze_limit_name (a->limit)));
  qk_json_set (&o, "verdict", qk_json_string (a->verdict));
  qk_json_set (&o, "advice", advice);
  qk_json_set (&o, "score", score_spec (a->score_name, &a->score_spec));
  qk_json_set (&o, "scores", scores);
  qk_json_set (&o, "networks", nets);
  qk_json_set (&o, "layers", layers);
  qk_json_set (&o, "freeze_bn_after", json_integer (a->freeze_bn_after));
  qk_json_set (&o, "freeze_observers_after",
               json_integer (a->freeze_observers_after));
  qk_json_set (&o, "log", log != NULL ? read_log (log) : json_array ());
  qk_json_set (&o, "config", qk_json_string (a->config));
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
