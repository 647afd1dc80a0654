/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimizer.c: which parameters training moves, and with which options: the
 * keys freeze, and the sections [optimizer] and [optimizer PATTERN]. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "quant/quantizer-priv.h"
#include "passes/passes.h"
#include "run/optimizer.h"
#include "settings/tables.h"

/* ---- freeze ------------------------------------------------------------------*/

int
qk_settings_freeze (struct qk_settings *settings, struct qk_graph *g, bool qat)
{
  const struct qk_config *cfg = qat ? settings->qat : settings->train;
  const char *where = qk_config_where (cfg, "freeze"), *idle;
  struct qk_patterns p;
  int r = qk_patterns_parse (qk_config_string (cfg, "freeze"), where, &p);

  if (r < 0)
    return r;
  qk_graph_freeze (g, &p);
  if ((idle = qk_patterns_idle (&p)) != NULL)
    r = qk_settings_key_error (
      qk_error (-EINVAL,
                "the pattern '%s' matches no parameter, expected names such "
                "as '%s'",
                idle, g->n_params > 0 ? g->param[0].name : "none"),
      cfg, qat ? "qat" : "train", "freeze");
  qk_patterns_clear (&p);
  return r;
}

/* ---- groups ------------------------------------------------------------------*/

/* The sections that speak of one group of parameters. */
struct sections {
  const char **name; /* owned, the names borrowed from the configuration */
  int n;
};

/* The groups found so far, each with what its sections say. */
struct groups {
  struct qk_settings *settings;
  const struct qk_settings_optimizer *of;
  const char *base; /* "train optimizer" */
  int n;
  struct sections *sections;
  struct qk_optimize_group *group; /* its configurations owned */
};

static void
clear_groups (struct groups *l)
{
  for (int i = 0; i < l->n; i++) {
    free (l->sections[i].name);
    qk_config_free ((struct qk_config *) l->group[i].cfg);
  }
  free (l->sections);
  free (l->group);
}

/* A group as SECTIONS, which it takes over also on failure, say. */
static int
add_group (struct groups *l, struct sections *sections)
{
  struct sections *s = realloc (l->sections, ((size_t) l->n + 1) * sizeof *s);
  struct qk_optimize_group *g;
  struct qk_config *core = NULL, *own = NULL;
  int r;

  l->sections = s != NULL ? s : l->sections;
  g = realloc (l->group, ((size_t) l->n + 1) * sizeof *g);
  l->group = g != NULL ? g : l->group;
  r = s == NULL || g == NULL
        ? qk_oom ("optimizer")
        : qk_ini_take_merged (l->settings->ini, sections->name,
                              (size_t) sections->n, qk_table_optimizer_group,
                              "", &core);
  if (r == 0)
    r = qk_ini_take_merged (l->settings->ini, sections->name,
                            (size_t) sections->n,
                            l->of->optimizer->cls.options, "", &own);
  if (r < 0) {
    qk_config_free (core);
    free (sections->name);
    return r;
  }
  g[l->n].cfg = own;
  g[l->n].decay_all = qk_config_bool (core, "decay_all");
  qk_config_free (core);
  s[l->n++] = *sections;
  return 0;
}

static int
start_groups (struct qk_settings *settings, bool qat, struct groups *l)
{
  struct sections all = { calloc (1, sizeof *all.name), 1 };

  memset (l, 0, sizeof *l);
  l->settings = settings;
  l->of = qat ? &settings->qat_opt : &settings->train_opt;
  l->base = qat ? "optimizer" : "train optimizer";
  if (all.name == NULL)
    return qk_oom ("optimizer");
  all.name[0] = l->base;
  return add_group (l, &all);
}

static bool
same_sections (const struct sections *a, const struct sections *b)
{
  int i = 0;

  while (i < a->n && i < b->n && strcmp (a->name[i], b->name[i]) == 0)
    i++;
  return i == a->n && i == b->n;
}

/* The group of the parameter NAME, or FILE if no pattern matches that; made
 * where it is the first of its kind. */
static int
group_of (void *cookie, const char *name, const char *file)
{
  struct groups *l = cookie;
  struct sections s = { NULL, 0 };
  int i, r;

  if ((s.n = qk_ini_match (l->settings->ini, l->base, name, &s.name)) < 0)
    return s.n;
  if (s.n == 1 && strcmp (name, file) != 0) {
    free (s.name);
    s.n = qk_ini_match (l->settings->ini, l->base, file, &s.name);
    if (s.n < 0)
      return s.n;
  }
  for (i = 0; i < l->n; i++)
    if (same_sections (&s, &l->sections[i])) {
      free (s.name);
      return i;
    }
  r = add_group (l, &s);
  return r < 0 ? r : i;
}

/* The groups of all that training moves in G. */
static int
find_groups (struct groups *l, const struct qk_graph *g)
{
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  struct qk_quantizer *qz;
  int i, r = 0;

  for (i = 0; r >= 0 && i < g->n_params; i++)
    if (g->param[i].spec.flags & QK_PARAM_TRAINED)
      r = group_of (l, g->param[i].name, qk_param_file_name (&g->param[i]));
  for (i = 0; r >= 0 && (qz = qk_graph_next_quantizer (g, &i)) != NULL;)
    if (qk_quantizer_params (qz, qp) > 0) {
      const char *name = qk_quantizer_info (qz)->name;

      r = group_of (l, name, name);
    }
  return r < 0 ? r : 0;
}

/* Whether schedule S has an option of its own that is called warmup: then it is
 * the one that is meant. */
static bool
own_warmup (const struct qk_schedule_class *s)
{
  const struct qk_option *o = s->cls.options;

  while (o != NULL && o->name != NULL && strcmp (o->name, "warmup") != 0)
    o++;
  return o != NULL && o->name != NULL;
}

/* What is the same for all groups. */
static void
take_rest (const struct qk_settings *settings, bool qat,
           struct qk_optimize_options *opt)
{
  const struct qk_settings_optimizer *of
    = qat ? &settings->qat_opt : &settings->train_opt;
  const struct qk_config *stage = qat ? settings->qat : settings->train;

  opt->schedule = of->schedule;
  opt->schedule_cfg = of->schedule_cfg;
  if (!own_warmup (of->schedule))
    opt->warmup = qk_config_float (of->schedule_core, "warmup");
  opt->gradients.accumulate = qk_config_int (of->core, "accumulate");
  opt->gradients.batch = qk_config_int (settings->data, "batch");
  opt->gradients.clip_norm = qk_config_float (of->core, "clip_norm");
  opt->gradients.clip_value = (float) qk_config_float (of->core, "clip_value");
  opt->ema = qk_config_float (stage, "ema");
}

/* ---- both --------------------------------------------------------------------*/

int
qk_settings_optimizer (struct qk_settings *settings, struct qk_graph *g,
                       bool qat, struct qk_optimize **out)
{
  struct groups l;
  int r = start_groups (settings, qat, &l);

  if (r == 0)
    r = find_groups (&l, g);
  if (r == 0) {
    struct qk_optimize_options opt = { .optimizer = l.of->optimizer,
                                       .n_groups = l.n,
                                       .group = l.group,
                                       .group_of = group_of,
                                       .cookie = &l };

    take_rest (settings, qat, &opt);
    r = qk_optimize_new (g, &opt, out);
  }
  clear_groups (&l);
  return r;
}

int
qk_settings_check_optimizer (struct qk_settings *settings, struct qk_graph *g,
                             bool qat)
{
  struct groups l;
  int r = start_groups (settings, qat, &l);

  if (r == 0)
    r = find_groups (&l, g);
  clear_groups (&l);
  return r < 0 ? r : qk_settings_freeze (settings, g, qat);
}
