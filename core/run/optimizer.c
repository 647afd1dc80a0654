/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimizer.c: which parameters training moves, and with which options: the
 * keys freeze, and the sections [optimizer], [optimizer quantizer] and
 * [optimizer PATTERN]. */
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
  const char *learned; /* [optimizer quantizer], if that is among them */
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

/* What [optimizer quantizer], the section LEARNED, says of optimizer and decay;
 * G has the optimizer of all others. */
static int
take_learned (struct groups *l, const char *learned,
              struct qk_optimize_group *g)
{
  const struct qk_class *cls = &g->optimizer->cls;
  struct qk_config *core;
  const char *name;
  int r = qk_ini_take (l->settings->ini, learned, qk_table_optimizer_learned,
                       "", &core);

  if (r < 0)
    return r;
  g->decay_learned = qk_config_bool (core, "decay_all");
  name = qk_config_string (core, "name");
  if (*name != '\0'
      && (r
          = qk_context_class (l->settings->ctx, QK_KIND_OPTIMIZER, name, &cls))
           < 0)
    r = qk_settings_key_error (r, core, learned, "name");
  g->optimizer = (const struct qk_optimizer_class *) (const void *) cls;
  qk_config_free (core);
  return r;
}

/* G as SECTIONS say; g->cfg NULL after an error. */
static int
take_group (struct groups *l, const struct sections *sections,
            struct qk_optimize_group *g)
{
  struct qk_config *core, *own;
  int from, r = 0;

  memset (g, 0, sizeof *g);
  g->optimizer = l->of->optimizer;
  if (sections->learned != NULL
      && (r = take_learned (l, sections->learned, g)) < 0)
    return r;
  /* what [optimizer] says is of its own optimizer */
  from = g->optimizer == l->of->optimizer ? 0 : 1;
  r = qk_ini_take_merged (l->settings->ini, sections->name + from,
                          (size_t) (sections->n - from),
                          g->optimizer->cls.options, "", &own);
  if (r < 0)
    return r;
  r = qk_ini_take_merged (l->settings->ini, sections->name,
                          (size_t) sections->n, qk_table_optimizer_group, "",
                          &core);
  if (r < 0) {
    qk_config_free (own);
    return r;
  }
  g->cfg = own;
  g->decay_all = qk_config_bool (core, "decay_all");
  qk_config_free (core);
  return 0;
}

/* A group as SECTIONS, which it takes over also on failure, say. */
static int
add_group (struct groups *l, struct sections *sections)
{
  struct sections *s = realloc (l->sections, ((size_t) l->n + 1) * sizeof *s);
  struct qk_optimize_group *g;
  int r;

  l->sections = s != NULL ? s : l->sections;
  g = realloc (l->group, ((size_t) l->n + 1) * sizeof *g);
  l->group = g != NULL ? g : l->group;
  r = s == NULL || g == NULL ? qk_oom ("optimizer")
                             : take_group (l, sections, &g[l->n]);
  if (r < 0) {
    free (sections->name);
    return r;
  }
  s[l->n++] = *sections;
  return 0;
}

static int
start_groups (struct qk_settings *settings, bool qat, struct groups *l)
{
  struct sections all = { calloc (1, sizeof *all.name), 1, NULL };

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

/* The sections of the parameter NAME, or FILE if no pattern matches that. */
static int
sections_of (const struct groups *l, const char *name, const char *file,
             struct sections *s)
{
  s->n = qk_ini_match (l->settings->ini, l->base, name, &s->name);
  if (s->n == 1 && strcmp (name, file) != 0) {
    free (s->name);
    s->n = qk_ini_match (l->settings->ini, l->base, file, &s->name);
  }
  return s->n < 0 ? s->n : 0;
}

/* The section [optimizer quantizer]; NULL: there is none. */
static const char *
learned_section (const struct groups *l)
{
  const struct qk_ini *ini = l->settings->ini;
  const size_t n = strlen (l->base);

  for (size_t i = 0; i < qk_ini_sections (ini); i++) {
    const char *s = qk_ini_section (ini, i);

    if (strncmp (s, l->base, n) == 0 && strcmp (s + n, " quantizer") == 0)
      return s;
  }
  return NULL;
}

/* The sections of what the quantizer NAME learns: [optimizer quantizer], where
 * there is one, stands before those with patterns. */
static int
sections_of_learned (const struct groups *l, const char *name,
                     struct sections *s)
{
  const char *learned = learned_section (l), **more;
  const int r = sections_of (l, name, name, s);

  if (r < 0 || learned == NULL)
    return r;
  more = realloc (s->name, (size_t) (s->n + 1) * sizeof *more);
  if (more == NULL) {
    free (s->name);
    return qk_oom ("optimizer");
  }
  memmove (more + 2, more + 1, (size_t) (s->n - 1) * sizeof *more);
  more[1] = learned;
  *s = (struct sections){ more, s->n + 1, learned };
  return 0;
}

/* The group of the parameter NAME or (FILE NULL) of what the quantizer NAME
 * learns; made where it is the first of its kind. */
static int
group_of (void *cookie, const char *name, const char *file)
{
  struct groups *l = cookie;
  struct sections s = { NULL, 0, NULL };
  int i, r;

  r = file != NULL ? sections_of (l, name, file, &s)
                   : sections_of_learned (l, name, &s);
  if (r < 0)
    return r;
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
    if (qk_quantizer_params (qz, qp) > 0)
      r = group_of (l, qk_quantizer_info (qz)->name, NULL);
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
  if (!qat)
    return;
  opt->oscillation = (struct qk_oscillation_options){
    .watch = qk_config_bool (stage, "oscillation.watch"),
    .momentum = qk_config_float (stage, "oscillation.momentum"),
    .damping = qk_config_float (stage, "oscillation.damping"),
    .freeze = qk_config_float (stage, "oscillation.freeze"),
    .freeze_start = qk_config_float (stage, "oscillation.freeze_start"),
  };
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
