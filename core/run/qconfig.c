/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qconfig.c: how each node is quantized, from the sections [qconfig] and
 * [qconfig PATTERN], and [ptq] for the observers of post-training
 * quantization. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/optimizer.h"
#include "run/session.h"
#include "settings/tables.h"

/* Keep a configuration until the settings is freed. */
static int
keep (struct qk_settings *settings, struct qk_config *cfg)
{
  struct qk_config **k
    = realloc (settings->kept, (settings->n_kept + 1) * sizeof *k);

  if (k == NULL) {
    qk_config_free (cfg);
    return qk_oom ("qconfig");
  }
  settings->kept = k;
  k[settings->n_kept++] = cfg;
  return 0;
}

/* The plugin that option KEY of CORE names, with its own options KEY.* from
 * the N sections. */
static int
take_plugin (struct qk_settings *settings, const struct qk_config *core,
             const char *key, enum qk_kind kind, const char *const *sections,
             size_t n, const struct qk_class **cls, struct qk_config **cfg)
{
  char prefix[64];
  int r;

  r = qk_context_class (settings->ctx, kind, qk_config_string (core, key),
                        cls);
  if (r < 0) /* the last section is the one that says most about a node */
    return qk_settings_key_error (r, core, sections[n - 1], key);
  snprintf (prefix, sizeof prefix, "%s.", key);
  r = qk_ini_take_merged (settings->ini, sections, n, (*cls)->options, prefix,
                          cfg);
  return r < 0 ? r : keep (settings, *cfg);
}

/* The observer and fake-quantizer of one of "activation" and "weight". */
static int
take_setting (struct qk_settings *settings, const char *which, bool ptq,
              const struct qk_config *core, const char *const *sections,
              size_t n, struct qk_qsetting *s)
{
  static const char *const ptq_section = "ptq";
  struct qk_config *observers = NULL;
  const struct qk_class *c;
  struct qk_config *cfg;
  char key[64];
  int r;

  snprintf (key, sizeof key, "%s.observer", which);
  if (ptq) {
    r = qk_ini_take (settings->ini, "ptq", qk_table_ptq_observers, "",
                     &observers);
    if (r < 0 || (r = keep (settings, observers)) < 0)
      return r;
    r = take_plugin (settings, observers, key, QK_KIND_OBSERVER, &ptq_section,
                     1, &c, &cfg);
  } else
    r = take_plugin (settings, core, key, QK_KIND_OBSERVER, sections, n, &c,
                     &cfg);
  if (r < 0)
    return r;
  s->observer = (const struct qk_observer_class *) (const void *) c;
  s->observer_cfg = cfg;
  snprintf (key, sizeof key, "%s.fakequant", which);
  r = take_plugin (settings, core, key, QK_KIND_FAKEQUANT, sections, n, &c,
                   &cfg);
  if (r < 0)
    return r;
  s->fakequant = (const struct qk_fakequant_class *) (const void *) c;
  s->fakequant_cfg = cfg;
  snprintf (key, sizeof key, "%s.symmetric", which);
  s->symmetric = qk_config_bool (core, key);
  return 0;
}

/* What the keys quantize, preset and [ptq] mode make of a node. */
static void
take_mode (const struct qk_settings *settings, const struct qk_config *core,
           bool ptq, struct qk_qconfig *out)
{
  const char *preset = qk_config_string (core, "preset");
  const bool dynamic
    = ptq && strcmp (qk_config_string (settings->ptq, "mode"), "dynamic") == 0;

  out->quantize
    = qk_config_bool (core, "quantize") && strcmp (preset, "float") != 0;
  if (strcmp (preset, "weight_only") == 0)
    out->mode = QK_Q_WEIGHTS;
  else if (strcmp (preset, "activation_only") == 0)
    out->mode = QK_Q_VALUES;
  else
    out->mode = dynamic ? QK_Q_DYNAMIC : QK_Q_BOTH;
}

/* What the integer formulas, and those of dynamic layers, have not. */
static int
check_symmetric (const struct qk_config *core, const struct qk_qconfig *qc)
{
  if (!qc->weight.symmetric)
    return qk_error (-EINVAL,
                     "%s: weight.symmetric is no, expected yes: "
                     "int8 weights have no zero_point here",
                     qk_config_where (core, "weight.symmetric"));
  if (qc->activation.symmetric && qc->mode == QK_Q_DYNAMIC)
    return qk_error (-EINVAL,
                     "%s: activation.symmetric is yes, expected no "
                     "with [ptq] mode = dynamic",
                     qk_config_where (core, "activation.symmetric"));
  if (qc->activation.bits > 8 && qc->mode == QK_Q_DYNAMIC)
    return qk_error (-EINVAL,
                     "%s: activation.bits is %d, expected 8 or fewer "
                     "with [ptq] mode = dynamic",
                     qk_config_where (core, "activation.bits"),
                     qc->activation.bits);
  return 0;
}

struct lookup {
  struct qk_settings *settings;
  bool ptq;
  int phase; /* of QAT, see settings.h: which numbers of bits hold */
  const struct qk_graph *g;
  /* for presets of bits */
  int first, last; /* nodes with weights; -1: none */
  bool *inner; /* values that products take, but the last one with weights */
};

/* ---- bits ------------------------------------------------------------------*/

/* Bits of one key, a number for each phase; the last holds for the rest. */
struct bits {
  const char *key;
  int n, at[QK_MOST_PHASES];
};

/* Of 2 to MOST; 0, by itself, leaves them to the backend. */
static int
take_bits (const struct qk_settings *settings, const struct qk_config *core,
           const char *key, int most, struct bits *out)
{
  float x[QK_MOST_PHASES];

  out->key = key;
  out->n = qk_config_floats (core, key, x, QK_MOST_PHASES);
  if (out->n > 1) /* values do not change their type on the way */
    most = 8;
  if (out->n < 1 || out->n > QK_MOST_PHASES)
    return qk_error (-EINVAL, "%s: %s has %d numbers, expected 1 to %d",
                     qk_config_where (core, key), key, out->n, QK_MOST_PHASES);
  for (int i = 0; i < out->n; i++) {
    out->at[i] = (int) x[i];
    if (out->at[i] == 0 && out->n == 1)
      out->at[i] = settings->caps.activation_bits;
    if (out->at[i] < 2 || out->at[i] > most || x[i] > (float) (int) x[i])
      return qk_error (-EINVAL,
                       "%s: %s is %g, expected a whole number, 2 to %d%s",
                       qk_config_where (core, key), key, (double) x[i], most,
                       out->n > 1 ? " in a list" : "");
  }
  return 0;
}

static int
bits_in (const struct bits *b, int phase)
{
  return b->at[phase < b->n ? phase : b->n - 1];
}

/* ---- presets of bits -------------------------------------------------------*/

/* The outer layers, and which values go into products: of those a preset has the
 * bits; what is only added, joined or averaged need not be as coarse. */
static int
find_inner (struct lookup *l)
{
  const struct qk_graph *g = l->g;

  l->last = qk_last_weighted (g);
  for (l->first = 0;
       l->first < l->last && g->node[l->first].traits.role != QK_ROLE_WEIGHTED;
       l->first++)
    ;
  l->inner = calloc ((size_t) g->n_values + 1, sizeof *l->inner);
  if (l->inner == NULL)
    return qk_oom ("qconfig");
  for (int i = g->n_nodes - 1; i >= 0; i--)
    for (int j = 0;
         j < g->node[i].n_in && qk_feeds_products (g, i, l->last, l->inner);
         j++)
      l->inner[g->node[i].in[j]] = true;
  return 0;
}

/* Bits that preset "wNaN-papers" gives; 0: another preset. */
static int
preset_bits (const char *preset)
{
  return preset[0] == 'w' && preset[1] >= '2' && preset[1] <= '4'
           ? preset[1] - '0'
           : 0;
}

bool
qk_settings_splits (const struct qk_settings *settings)
{
  const char *preset = qk_ini_get (settings->ini, "qconfig", "preset");

  return preset != NULL && preset_bits (preset) > 0;
}

/* Bits of B in PHASE: of an OUTER layer the first number, of others the preset's
 * BITS, which the list must end with if it is one. */
static int
preset_setting (const struct qk_config *core, const struct bits *b, int bits,
                bool outer, int phase, int *out)
{
  if (b->n > 1 && b->at[b->n - 1] != bits)
    return qk_error (-EINVAL,
                     "%s: %s ends with %d, expected %d, which preset = %s "
                     "gives the inner layers",
                     qk_config_where (core, b->key), b->key, b->at[b->n - 1],
                     bits, qk_config_string (core, "preset"));
  *out = outer ? b->at[0] : b->n > 1 ? bits_in (b, phase) : bits;
  return 0;
}

/* The bits for NODE, a node, input or constant.  With a preset of bits the outer
 * layers keep those of the keys. */
static int
set_bits (const struct lookup *l, const struct qk_config *core,
          const char *node, struct qk_qconfig *out)
{
  const int bits = preset_bits (qk_config_string (core, "preset"));
  const int at = qk_graph_find_node (l->g, node);
  const bool outer_value = at < 0 || !l->inner[l->g->node[at].out];
  struct bits weight, value;
  int r;

  if ((r = take_bits (l->settings, core, "weight.bits", 8, &weight)) < 0
      || (r = take_bits (l->settings, core, "activation.bits", 16, &value))
           < 0)
    return r;
  if (bits == 0) {
    out->weight.bits = bits_in (&weight, l->phase);
    out->activation.bits = bits_in (&value, l->phase);
    return 0;
  }
  r = preset_setting (core, &weight, bits, at == l->first || at == l->last,
                      l->phase, &out->weight.bits);
  return r < 0 ? r
               : preset_setting (core, &value, bits, outer_value, l->phase,
                                 &out->activation.bits);
}

/* ---- all of it -------------------------------------------------------------*/

static int
node_qconfig (void *cookie, const char *node, struct qk_qconfig *out)
{
  const struct lookup *l = cookie;
  struct qk_settings *settings = l->settings;
  const char **sections = NULL, *per_channel;
  struct qk_config *core = NULL;
  const int n = qk_ini_match (settings->ini, "qconfig", node, &sections);
  int r = n;

  memset (out, 0, sizeof *out);
  if (r < 0)
    return r;
  r = qk_ini_take_merged (settings->ini, sections, (size_t) n,
                          qk_table_qconfig, "", &core);
  if (r < 0 || (r = keep (settings, core)) < 0)
    goto end;
  if ((r = take_setting (settings, "activation", l->ptq, core, sections,
                         (size_t) n, &out->activation))
        < 0
      || (r = take_setting (settings, "weight", l->ptq, core, sections,
                            (size_t) n, &out->weight))
           < 0)
    goto end;
  take_mode (settings, core, l->ptq, out);
  if ((r = set_bits (l, core, node, out)) < 0
      || (r = check_symmetric (core, out)) < 0)
    goto end;
  out->weight.narrow = qk_config_bool (core, "weight.narrow");
  per_channel = qk_config_string (core, "weight.per_channel");
  /* PyTorch's dynamic layers have one scale unless asked otherwise */
  out->weight.per_channel
    = strcmp (per_channel, "auto") == 0
        ? settings->caps.per_channel && out->mode != QK_Q_DYNAMIC
        : strcmp (per_channel, "yes") == 0;
end:
  free (sections);
  return r;
}

/* A node that stays in float though nobody asked for it. */
static int
check_strict (struct qk_settings *settings, const struct qk_graph *g)
{
  int i;

  if (!qk_config_bool (settings->qat, "strict"))
    return 0;
  for (i = 0; i < g->n_nodes; i++)
    if (!g->node[i].int8)
      return qk_error (-EINVAL,
                       "%s: strict = yes, but node '%s' (%s) stays in float: "
                       "%s",
                       qk_config_where (settings->qat, "strict"),
                       g->node[i].name, g->node[i].layer_name,
                       g->node[i].skip_reason);
  return 0;
}

/* Prepare G as L says. */
static int
prepare (struct lookup *l, const struct qk_graph *g, struct qk_graph **out)
{
  struct qk_settings *settings = l->settings;
  struct qk_graph *p;
  int r;

  if ((r = qk_pass_fuse (g, &p)) < 0)
    return r;
  l->g = p;
  if ((r = find_inner (l)) == 0)
    r = qk_pass_prepare (p, node_qconfig, l,
                         qk_config_bool (settings->qat, "quantize_outputs"));
  free (l->inner);
  l->inner = NULL;
  if (r == 0)
    r = check_strict (settings, p);
  if (r < 0) {
    qk_graph_free (p);
    return r;
  }
  *out = p;
  return 0;
}

int
qk_settings_prepare (struct qk_settings *settings, const struct qk_graph *g,
                     bool ptq, struct qk_graph **out)
{
  struct lookup l
    = { .settings = settings, .ptq = ptq, .phase = settings->n_phases - 1 };

  return prepare (&l, g, out);
}

int
qk_settings_prepare_phase (struct qk_settings *settings,
                           const struct qk_graph *g, int phase,
                           struct qk_graph **out)
{
  struct lookup l = { .settings = settings, .phase = phase };

  return prepare (&l, g, out);
}

int
qk_settings_change_bits (struct qk_settings *settings, struct qk_graph *g,
                         int phase)
{
  struct lookup l = { .settings = settings, .g = g, .phase = phase };
  int r;

  if (settings->n_phases == 1)
    return 0;
  if ((r = find_inner (&l)) == 0)
    r = qk_pass_change_bits (g, node_qconfig, &l);
  free (l.inner);
  return r;
}

/* Whether every phase can be prepared, and come to from the one before. */
static int
check_phases (struct qk_settings *settings, struct qk_graph *prepared)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < settings->n_phases; i++)
    r = qk_settings_change_bits (settings, prepared, i);
  return r;
}

int
qk_settings_check (struct qk_settings *settings, const struct qk_graph *g,
                   const struct qk_dataset_info *info)
{
  struct qk_objective *o;
  struct qk_graph *p;
  int i, r;

  if ((r = qk_settings_objective (settings, g, info, &o)) < 0)
    return r;
  qk_objective_free (o);
  for (i = 0; i < 2; i++) {
    if ((r = qk_settings_prepare (settings, g, i == 0, &p)) < 0)
      return r;
    /* prepared, for both have the names of all that training moves */
    r = qk_settings_check_optimizer (settings, p, i == 1);
    if (r == 0 && i == 1)
      r = check_phases (settings, p);
    qk_graph_free (p);
    if (r < 0)
      return r;
  }
  r = qk_settings_note_idle (settings);
  return r < 0 ? r : qk_ini_check_unused (settings->ini);
}
