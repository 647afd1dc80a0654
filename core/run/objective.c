/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* objective.c: the sections [loss], [loss NAME], [metric] and [metric NAME]. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "options/option-priv.h"
#include "run/session.h"
#include "settings/tables.h"

/* What is being built, and from what. */
struct builder {
  struct qk_settings *settings;
  struct qk_objective *o;
  enum qk_kind kind;
  const struct qk_graph *g;
  struct qk_graph *fused; /* whose nodes have names; NULL: not needed so far */
};

/* One section at work. */
struct part {
  const char *section; /* "loss boxes" */
  const char *suffix;  /* "boxes"; "" of the plain section */
  struct qk_config *core;
};

/* What a component may be: both kinds begin alike here. */
struct candidate {
  const struct qk_class *cls;
  enum qk_reference reference;
};

static struct candidate
candidate_of (const struct qk_class *c)
{
  struct candidate x = { c, QK_REFERENCE_TARGETS };

  x.reference
    = c->kind == QK_KIND_LOSS
        ? ((const struct qk_loss_class *) (const void *) c)->reference
        : ((const struct qk_metric_class *) (const void *) c)->reference;
  return x;
}

/* The number of NAME among the N specs; WHERE and WHAT name it in errors. */
static int
find_spec (const struct qk_tensor_spec *spec, int n, const char *name,
           const char *where, const char *what)
{
  struct qk_nearest near;
  char hint[QK_HINT_SIZE];
  int i;

  qk_nearest_init (&near, name);
  for (i = 0; i < n; i++) {
    if (strcmp (spec[i].name, name) == 0)
      return i;
    qk_nearest_offer (&near, spec[i].name);
  }
  return qk_error (-EINVAL, "%s: there is no %s '%s' among %d%s", where, what,
                   name, n, qk_nearest_hint (&near, hint));
}

/* The numbers of the names in option KEY; none where it is empty. */
static int
take_list (const struct qk_config *core, const char *key,
           const struct qk_tensor_spec *spec, int n, int *out, int *count)
{
  char *list = strdup (qk_config_string (core, key));
  char *name, *save = NULL;
  int r = 0;

  *count = 0;
  if (list == NULL)
    return qk_oom ("%s", key);
  for (name = strtok_r (list, ", \t", &save); r >= 0 && name != NULL;
       name = strtok_r (NULL, ", \t", &save)) {
    if (*count == QK_GRAPH_MAX_INPUTS)
      r = qk_error (-E2BIG, "%s: more than %d names",
                    qk_config_where (core, key), QK_GRAPH_MAX_INPUTS);
    else if ((r = find_spec (spec, n, name, qk_config_where (core, key), key))
             >= 0)
      out[(*count)++] = r;
  }
  free (list);
  return r < 0 ? r : 0;
}

/* Add to C the values of the nodes of G that P matches. */
static int
add_inner (struct qk_objective *o, const struct qk_graph *g, const char *where,
           struct qk_patterns *p, struct qk_comparison *c)
{
  int i, r;

  for (i = 0; i < g->n_nodes; i++) {
    if (!qk_patterns_match (p, g->node[i].name))
      continue;
    if (c->n_out == QK_GRAPH_MAX_INPUTS)
      return qk_error (-E2BIG, "%s: tensors: more than %d tensors", where,
                       QK_GRAPH_MAX_INPUTS);
    r = qk_objective_inner (o, g->node[i].name,
                            &g->value[g->node[i].out].shape);
    if (r < 0)
      return r;
    c->out[c->n_out++] = r;
  }
  return 0;
}

/* No node has a name like PATTERN: say which there are. */
static int
no_such_node (const struct qk_graph *g, const char *where, const char *pattern)
{
  struct qk_nearest near;
  char hint[QK_HINT_SIZE];
  int i;

  qk_nearest_init (&near, pattern);
  for (i = 0; i < g->n_nodes; i++)
    qk_nearest_offer (&near, g->node[i].name);
  return qk_error (
    -EINVAL,
    "%s: tensors: the pattern '%s' matches none of the %d nodes "
    "'%s' to '%s'%s",
    where, pattern, g->n_nodes, g->node[0].name, g->node[g->n_nodes - 1].name,
    qk_nearest_hint (&near, hint));
}

/* The inner tensors that the section names, of the network with batch-norm and
 * clamps merged, as inspect shows it. */
static int
take_tensors (struct builder *b, const struct qk_config *core,
              struct qk_comparison *c)
{
  const char *list = qk_config_string (core, "tensors");
  const char *where = qk_config_where (core, "tensors"), *idle;
  const struct qk_graph *g = b->g;
  struct qk_patterns p;
  int r;

  if (*list == '\0')
    return 0;
  if (g->stage == QK_STAGE_FLOAT) {
    if (b->fused == NULL && (r = qk_pass_fuse (g, &b->fused)) < 0)
      return r;
    g = b->fused;
  }
  if ((r = qk_patterns_parse (list, where, &p)) < 0)
    return r;
  if ((r = add_inner (b->o, g, where, &p, c)) == 0
      && (idle = qk_patterns_idle (&p)) != NULL)
    r = no_such_node (g, where, idle);
  qk_patterns_clear (&p);
  return r;
}

/* What a component with REFERENCE compares in this section: what it names,
 * else the first output with the first target, or all outputs with the
 * teacher's. */
static int
take_comparison (struct builder *b, const struct qk_config *core,
                 enum qk_reference reference, struct qk_comparison *c)
{
  const struct qk_objective *o = b->o;
  const bool inner
    = b->kind == QK_KIND_LOSS && *qk_config_string (core, "tensors") != '\0';
  int i, r;

  memset (c, 0, sizeof *c);
  if ((r = take_list (core, "output", o->output, o->n_outputs, c->out,
                      &c->n_out))
        < 0
      || (r = take_list (core, "target", o->target, o->n_targets, c->ref,
                         &c->n_ref))
           < 0)
    return r;
  if (reference == QK_REFERENCE_TEACHER) {
    if (c->n_ref > 0)
      return qk_error (-EINVAL,
                       "%s: it compares with a teacher, which has outputs and "
                       "no targets",
                       qk_config_where (core, "target"));
    for (i = 0; !inner && c->n_out == 0 && i < o->n_outputs; i++)
      c->out[i] = i;
    c->n_out = !inner && c->n_out == 0 ? o->n_outputs : c->n_out;
    if (inner && (r = take_tensors (b, core, c)) < 0)
      return r;
    for (i = 0; i < c->n_out; i++)
      c->ref[i] = o->n_targets + c->out[i];
    c->n_ref = c->n_out;
    return 0;
  }
  if (inner)
    return qk_error (-EINVAL,
                     "%s: it compares with targets, expected a loss with a "
                     "teacher, such as distillation",
                     qk_config_where (core, "tensors"));
  if (o->n_targets == 0)
    return qk_error (-EINVAL, "it compares with targets, the data have none");
  c->n_out = c->n_out == 0 ? 1 : c->n_out;
  c->n_ref = c->n_ref == 0 ? 1 : c->n_ref;
  return 0;
}

static unsigned
take_during (const struct qk_config *core, enum qk_reference reference)
{
  const char *during = qk_config_string (core, "during");

  if (reference == QK_REFERENCE_TEACHER) /* there is none before */
    return QK_DURING_QAT;
  return strcmp (during, "train") == 0 ? QK_DURING_TRAIN
         : strcmp (during, "qat") == 0 ? QK_DURING_QAT
                                       : QK_DURING_TRAIN | QK_DURING_QAT;
}

/* Add a component of class X with the options CFG. */
static int
add (struct builder *b, const struct part *p, const struct candidate *x,
     const struct qk_config *cfg)
{
  struct qk_comparison c;
  int r = take_comparison (b, p->core, x->reference, &c);

  if (r < 0)
    return r;
  if (b->kind == QK_KIND_METRIC)
    return qk_objective_add_metric (
      b->o, (const struct qk_metric_class *) (const void *) x->cls, cfg,
      strcmp (p->suffix, x->cls->name) == 0 ? "" : p->suffix, &c);
  return qk_objective_add_loss (
    b->o, (const struct qk_loss_class *) (const void *) x->cls, cfg,
    *p->suffix == '\0' ? x->cls->name : p->suffix,
    qk_config_float (p->core, "weight"), take_during (p->core, x->reference),
    &c);
}

/* Nobody names the component: the one of highest rank that accepts outputs
 * and references is taken, with its options as they are by default.  Where the
 * data have targets, a loss that looks at none of them is nobody's wish.
 * *CHOSEN NULL: there is none, and the error says what the one of highest rank
 * has against them. */
static int
choose (struct builder *b, const struct part *p, const char **chosen)
{
  struct qk_context *ctx = b->settings->ctx;
  int best = 0, refused = 0, r;
  char **names, why[400] = "no plugin is for the use at hand";

  *chosen = NULL;
  if ((r = qk_context_list (ctx, b->kind, &names)) < 0)
    return r;
  for (char **name = names; *name != NULL; name++) {
    const struct qk_class *c;
    struct qk_config *cfg = NULL;
    struct builder trial = *b;
    struct candidate x;

    if ((r = qk_context_class (ctx, b->kind, *name, &c)) == -ENOMEM)
      break; /* another time it would be there */
    if (r < 0 || c->default_rank <= best
        || (r = qk_config_parse (c->options, "", *name, &cfg)) < 0) {
      if (r == -ENOMEM)
        break;
      continue;
    }
    x = candidate_of (c);
    trial.o = NULL;
    if ((b->kind != QK_KIND_LOSS || b->o->n_targets == 0
         || x.reference != QK_REFERENCE_TEACHER)
        && (trial.o = calloc (1, sizeof *trial.o)) == NULL)
      r = qk_oom ("%s", c->name);
    if (trial.o != NULL) {
      trial.o->n_outputs = b->o->n_outputs;
      memcpy (trial.o->output, b->o->output,
              (size_t) b->o->n_outputs * sizeof *b->o->output);
      trial.o->n_targets = b->o->n_targets;
      trial.o->target = b->o->target;
      if ((r = add (&trial, p, &x, cfg)) == 0) {
        best = c->default_rank;
        *chosen = c->name;
      } else if (c->default_rank > refused) {
        refused = c->default_rank;
        snprintf (why, sizeof why, "%s", qk_error_message ());
      }
    }
    b->fused = trial.fused;
    qk_objective_free (trial.o);
    qk_config_free (cfg);
    if (r == -ENOMEM)
      break;
  }
  qk_names_free (names);
  if (r == -ENOMEM)
    return r;
  if (*chosen == NULL)
    qk_error (-EINVAL, "%s", why);
  return 0;
}

/* The component that the section names, or that fits. */
static int
take_part (struct builder *b, const char *section, bool needed)
{
  const char *space = strchr (section, ' ');
  struct part p = { section, space != NULL ? space + 1 : "", NULL };
  struct qk_config *cfg = NULL;
  const struct qk_class *c;
  const char *name;
  int r = qk_ini_take (
    b->settings->ini, section,
    b->kind == QK_KIND_LOSS ? qk_table_loss : qk_table_metric, "", &p.core);

  if (r < 0)
    return r;
  name = qk_config_string (p.core, "name");
  if (strcmp (name, "auto") == 0 && *p.suffix != '\0')
    name = p.suffix;
  if (strcmp (name, "auto") == 0 && (r = choose (b, &p, &name)) < 0)
    goto end;
  if (name == NULL) {
    if (needed)
      r = qk_error_prefix (
        -EINVAL, "[%s] name is not given, and no %s plugin fits: ", section,
        qk_kind_name (b->kind));
    goto end;
  }
  if ((r = qk_context_class (b->settings->ctx, b->kind, name, &c)) < 0)
    qk_settings_key_error (r, p.core, section, "name");
  else if ((r = qk_ini_take (b->settings->ini, section, c->options, "", &cfg))
           == 0) {
    const struct candidate x = candidate_of (c);

    if ((r = add (b, &p, &x, cfg)) < 0)
      qk_error_prefix (qk_config_blame (cfg, section, r), "[%s] ", section);
  }
end:
  qk_config_free (cfg);
  qk_config_free (p.core);
  return r;
}

/* All sections of the kind, or what fits if there is none. */
static int
take_parts (struct builder *b, const char *base, bool needed)
{
  const struct qk_ini *ini = b->settings->ini;
  const size_t len = strlen (base);
  bool any = false;
  int r = 0;

  for (size_t i = 0; r == 0 && i < qk_ini_sections (ini); i++) {
    const char *section = qk_ini_section (ini, i);

    if (strncmp (section, base, len) != 0
        || (section[len] != '\0' && section[len] != ' '))
      continue;
    any = true;
    r = take_part (b, section, true);
  }
  return r < 0 || any ? r : take_part (b, base, needed);
}

int
qk_settings_objective (struct qk_settings *settings, const struct qk_graph *g,
                       const struct qk_dataset_info *info,
                       struct qk_objective **out)
{
  struct builder b = { .settings = settings, .kind = QK_KIND_LOSS, .g = g };
  int r = qk_objective_new (g, info->target, info->n_targets, &b.o);

  if (r < 0)
    return r;
  if ((r = take_parts (&b, "loss", true)) == 0) {
    b.kind = QK_KIND_METRIC;
    r = take_parts (&b, "metric", false);
  }
  qk_graph_free (b.fused);
  if (r < 0) {
    qk_objective_free (b.o);
    return r;
  }
  *out = b.o;
  return 0;
}
