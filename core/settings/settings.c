/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* settings.c: from an INI document to checked options and loaded plugins. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qatkit/observer.h>

#include "base/called.h"
#include "base/threads.h"
#include "plugin/loader-priv.h"
#include "settings/settings.h"
#include "settings/tables.h"

int
qk_settings_key_error (int err, const struct qk_config *cfg,
                       const char *section, const char *key)
{
  return qk_error_prefix (err, "%s: [%s] %s: ", qk_config_where (cfg, key),
                          section, key);
}

/* Class KIND named by option KEY of CFG, which is SECTION. */
static int
named_class (struct qk_settings *settings, enum qk_kind kind,
             const struct qk_config *cfg, const char *section, const char *key,
             const struct qk_class **out)
{
  const int r
    = qk_context_class (settings->ctx, kind, qk_config_string (cfg, key), out);

  return r < 0 ? qk_settings_key_error (r, cfg, section, key) : 0;
}

/* A section with a core table and the options of the plugin it names. */
static int
take_component (struct qk_settings *settings, const char *section,
                const struct qk_option *table, const char *key,
                enum qk_kind kind, struct qk_config **core,
                struct qk_config **own, const struct qk_class **cls)
{
  int r;

  if ((r = qk_ini_take (settings->ini, section, table, "", core)) < 0
      || (r = named_class (settings, kind, *core, section, key, cls)) < 0)
    return r;
  return qk_ini_take (settings->ini, section, (*cls)->options, "", own);
}

static int
take_optimizer (struct qk_settings *settings, const char *section,
                const char *schedule, struct qk_settings_optimizer *o)
{
  const struct qk_class *c;
  int r;

  r = take_component (settings, section, qk_table_optimizer, "name",
                      QK_KIND_OPTIMIZER, &o->core, &o->optimizer_cfg, &c);
  if (r < 0)
    return r;
  o->optimizer = (const struct qk_optimizer_class *) (const void *) c;
  r = take_component (settings, schedule, qk_table_schedule, "name",
                      QK_KIND_SCHEDULE, &o->schedule_core, &o->schedule_cfg,
                      &c);
  if (r < 0)
    return r;
  o->schedule = (const struct qk_schedule_class *) (const void *) c;
  return 0;
}

bool
qk_settings_is_qconfig (const char *section)
{
  return strncmp (section, "qconfig", 7) == 0
         && (section[7] == '\0' || section[7] == ' ');
}

/* Keys that name a plugin, and what it is needed for.  [run] comm is not
 * among them: a run may go on with more or fewer processes. */
static const struct {
  const char *section, *key;
  enum qk_kind kind;
  unsigned use;
} named[] = {
  { "run", "reporter", QK_KIND_REPORTER, 0 },
  { "model", "arch", QK_KIND_MODEL, 0 },
  { "data", "dataset", QK_KIND_DATASET, QK_FOR_TRAINING },
  { "train optimizer", "name", QK_KIND_OPTIMIZER, 0 },
  { "train schedule", "name", QK_KIND_SCHEDULE, 0 },
  { "optimizer", "name", QK_KIND_OPTIMIZER, 0 },
  { "schedule", "name", QK_KIND_SCHEDULE, 0 },
  { "qat", "backend", QK_KIND_BACKEND, QK_FOR_INFERENCE },
  { "ptq", "activation.observer", QK_KIND_OBSERVER, QK_FOR_PTQ_ACTIVATION },
  { "ptq", "weight.observer", QK_KIND_OBSERVER, QK_FOR_PTQ_WEIGHT },
  { "qconfig", "activation.observer", QK_KIND_OBSERVER,
    QK_FOR_QAT_ACTIVATION },
  { "qconfig", "weight.observer", QK_KIND_OBSERVER, QK_FOR_QAT_WEIGHT },
  { "qconfig", "activation.fakequant", QK_KIND_FAKEQUANT, 0 },
  { "qconfig", "weight.fakequant", QK_KIND_FAKEQUANT, 0 },
};

/* Set KEY to the default for row ROW of the table where it is not given, or
 * (ALWAYS false) only where it is "auto". */
static int
settle_key (struct qk_settings *settings, const char *section, size_t row,
            bool always)
{
  const char *key = named[row].key;
  const char *given = qk_ini_get (settings->ini, section, key);
  const struct qk_class *c;
  char where[64];
  int r;

  if (given != NULL ? strcmp (given, "auto") != 0 : !always)
    return 0;
  snprintf (where, sizeof where, "%s = auto", key);
  r = qk_context_default (settings->ctx, named[row].kind, named[row].use, &c);
  if (r < 0)
    return qk_error_prefix (r, "[%s] %s: ", section, where);
  return qk_ini_set (settings->ini, section, key, c->name, where);
}

/* Write into the configuration which plugins "auto" means here, so that all
 * that is made of it (checkpoints, models, tables) says what made a network
 * and for which backend it was quantized, and another machine or another
 * version does not take it for its own. */
static int
settle_names (struct qk_settings *settings)
{
  int r = 0;

  for (size_t i = 0; r == 0 && i < sizeof named / sizeof *named; i++)
    r = settle_key (settings, named[i].section, i, true);
  for (size_t s = 0; r == 0 && s < qk_ini_sections (settings->ini); s++) {
    const char *section = qk_ini_section (settings->ini, s);

    for (size_t i = 0; r == 0 && i < sizeof named / sizeof *named; i++)
      if (qk_settings_is_qconfig (section)
          && qk_settings_is_qconfig (named[i].section))
        r = settle_key (settings, section, i, false);
  }
  return r;
}

/* Where KEY of SECTION was given. */
static const char *
place_of (const struct qk_ini *ini, const char *section, const char *key)
{
  for (size_t i = 0; i < qk_ini_sections (ini); i++)
    for (size_t j = 0; strcmp (qk_ini_section (ini, i), section) == 0
                       && j < qk_ini_keys (ini, i);
         j++)
      if (strcmp (qk_ini_key (ini, i, j).key, key) == 0)
        return qk_ini_key (ini, i, j).where;
  return "default";
}

/* The same for the backend of float products, which there need not be. */
static int
settle_float (struct qk_settings *settings)
{
  static const char key[] = "float_backend";
  const char *given = qk_ini_get (settings->ini, "run", key), *used;
  const int r
    = qk_context_use_float (settings->ctx, given ? given : "auto", &used);

  if (r < 0)
    return qk_error_prefix (
      r, "%s: [run] %s: ", place_of (settings->ini, "run", key), key);
  return given != NULL && strcmp (given, used) == 0
           ? 0
           : qk_ini_set (settings->ini, "run", key, used,
                         "float_backend = auto");
}

int
qk_settings_backend (struct qk_context *ctx, const char *name,
                     const char **out)
{
  const struct qk_class *c;
  int r = 0;

  *out = name;
  if (strcmp (name, "auto") == 0
      && (r = qk_context_default (ctx, QK_KIND_BACKEND, QK_FOR_INFERENCE, &c))
           == 0)
    *out = c->name;
  return r;
}

/* The same for the bits of activations, which differ from CPU to CPU. */
static int
settle_bits (struct qk_settings *settings)
{
  static const char key[] = "activation.bits";
  const char *given = qk_ini_get (settings->ini, "qconfig", key);
  char bits[16];
  int r = 0;

  if (settings->caps.activation_bits == 0)
    return 0;
  snprintf (bits, sizeof bits, "%d", settings->caps.activation_bits);
  if (given == NULL)
    r = qk_ini_set (settings->ini, "qconfig", key, bits,
                    "activation.bits = 0");
  for (size_t i = 0; r == 0 && i < qk_ini_sections (settings->ini); i++) {
    const char *section = qk_ini_section (settings->ini, i);

    given = qk_settings_is_qconfig (section)
              ? qk_ini_get (settings->ini, section, key)
              : NULL;
    if (given != NULL && strcmp (given, "0") == 0)
      r = qk_ini_set (settings->ini, section, key, bits,
                      "activation.bits = 0");
  }
  return r;
}

static int
take_backend (struct qk_settings *settings)
{
  const struct qk_class *c;
  int r;

  if ((r = named_class (settings, QK_KIND_BACKEND, settings->qat, "qat",
                        "backend", &c))
      < 0)
    return r;
  settings->backend_class = (const struct qk_backend_class *) (const void *) c;
  memset (&settings->caps, 0, sizeof settings->caps);
  if ((r = QK_CALLED (&settings->backend_class->cls, "probe",
                      settings->backend_class->probe (&settings->caps)))
      < 0)
    return qk_settings_key_error (
      qk_error_prefix (r, "backend '%s': ", c->name), settings->qat, "qat",
      "backend");
  return settle_bits (settings);
}

/* One of the names in [ptq] methods. */
static int
take_method (struct qk_settings *settings, const char *name)
{
  const struct qk_config *ptq = settings->ptq;
  struct qk_settings_method *m = &settings->method[settings->n_methods];
  const struct qk_class *c;
  char prefix[128];
  int i, r;

  if (settings->n_methods == QK_SETTINGS_MAX_METHODS)
    return qk_settings_key_error (
      qk_error (-EINVAL, "'%s' is one too many, expected at most %d methods",
                name, QK_SETTINGS_MAX_METHODS),
      ptq, "ptq", "methods");
  if ((r = qk_context_class (settings->ctx, QK_KIND_PTQ, name, &c)) < 0)
    return qk_settings_key_error (r, ptq, "ptq", "methods");
  for (i = 0; i < settings->n_methods; i++)
    if (&settings->method[i].cls->cls == c)
      return qk_settings_key_error (
        qk_error (-EINVAL, "'%s' stands there twice, expected once", name),
        ptq, "ptq", "methods");
  snprintf (prefix, sizeof prefix, "%s.", c->name);
  m->cls = (const struct qk_ptq_class *) (const void *) c;
  if ((r = qk_ini_take (settings->ini, "ptq", c->options, prefix, &m->cfg))
      < 0)
    return r;
  settings->n_methods++;
  return 0;
}

static int
take_methods (struct qk_settings *settings)
{
  char *list = strdup (qk_config_string (settings->ptq, "methods"));
  char *name, *save = NULL;
  int r = 0;

  if (list == NULL)
    return qk_oom ("settings");
  for (name = strtok_r (list, ", \t", &save); r == 0 && name != NULL;
       name = strtok_r (NULL, ", \t", &save))
    r = take_method (settings, name);
  free (list);
  return r;
}

int
qk_settings_reporters (struct qk_settings *settings, int max,
                       const struct qk_reporter_class **out)
{
  char *list = strdup (qk_config_string (settings->run, "reporter"));
  char *name, *save = NULL;
  const struct qk_class *c;
  int n = 0, r = 0;

  if (list == NULL)
    return qk_oom ("settings");
  for (name = strtok_r (list, ", ", &save); r == 0 && name != NULL;
       name = strtok_r (NULL, ", ", &save)) {
    if (n == max)
      r = qk_error (-EINVAL,
                    "'%s' is one too many, expected at most %d reporters",
                    name, max);
    else if ((r = qk_context_class (settings->ctx, QK_KIND_REPORTER, name, &c))
             == 0)
      out[n++] = (const struct qk_reporter_class *) (const void *) c;
  }
  free (list);
  return r < 0 ? qk_settings_key_error (r, settings->run, "run", "reporter")
               : n;
}

/* ---- options of what the library opens by itself -------------------------- */

/* Kinds of which a run may use several, or one that is found on the spot:
 * the options of each stand in a section of its own, [KIND NAME]. */
static const enum qk_kind sectioned[]
  = { QK_KIND_REPORTER, QK_KIND_COMM, QK_KIND_BACKEND, QK_KIND_FORMAT,
      QK_KIND_SOLVER };

static int
take_options (void *cookie, const struct qk_class *cls, struct qk_config **out)
{
  struct qk_settings *settings = cookie;
  char *section;
  int r;

  if (asprintf (&section, "%s %s", qk_kind_name (cls->kind), cls->name) < 0)
    return qk_oom ("settings");
  r = qk_ini_take (settings->ini, section, cls->options, "", out);
  free (section);
  return r;
}

int
qk_settings_options (struct qk_settings *settings, const struct qk_class *cls,
                     struct qk_config **out)
{
  return take_options (settings, cls, out);
}

/* Check the options of CLS long before they are used. */
static int
check_options (struct qk_settings *settings, const struct qk_class *cls)
{
  struct qk_config *cfg;
  const int r = take_options (settings, cls, &cfg);

  if (r == 0)
    qk_config_free (cfg);
  return r;
}

/* The same for the plugin of KIND that option KEY of CFG names; one that is
 * not there is for whoever needs it to report. */
static int
check_named_options (struct qk_settings *settings, enum qk_kind kind,
                     const struct qk_config *cfg, const char *key)
{
  const char *name = qk_config_string (cfg, key);
  const struct qk_class *c;

  if (*name == '\0' || strcmp (name, "auto") == 0
      || qk_context_class (settings->ctx, kind, name, &c) < 0)
    return 0;
  return check_options (settings, c);
}

/* The same for SECTION, if it is [KIND NAME] of an installed plugin, in use or
 * not: which ones are differs from machine to machine. */
static int
check_section (struct qk_settings *settings, const char *section)
{
  for (size_t i = 0; i < sizeof sectioned / sizeof *sectioned; i++) {
    const char *kind = qk_kind_name (sectioned[i]);
    const size_t n = strlen (kind);
    const struct qk_class *c;

    if (strncmp (section, kind, n) == 0 && section[n] == ' '
        && strchr (section, '/') == NULL
        && qk_context_class (settings->ctx, sectioned[i], section + n + 1, &c)
             == 0)
      return check_options (settings, c);
  }
  return 0;
}

/* What is only needed later in a run must be there all the same, and its
 * options be right. */
static int
check_later (struct qk_settings *settings)
{
  const struct qk_reporter_class *reporter[QK_SETTINGS_MAX_REPORTERS];
  int n
    = qk_settings_reporters (settings, QK_SETTINGS_MAX_REPORTERS, reporter);
  int r = n < 0 ? n : 0;

  for (int i = 0; r == 0 && i < n; i++)
    r = check_options (settings, &reporter[i]->cls);
  if (r == 0)
    r = check_options (settings, &settings->backend_class->cls);
  if (r == 0)
    r = check_named_options (settings, QK_KIND_COMM, settings->run, "comm");
  if (r == 0)
    r = check_named_options (settings, QK_KIND_FORMAT, settings->model,
                             "format");
  if (r == 0)
    r = check_named_options (settings, QK_KIND_SOLVER, settings->tune,
                             "solver");
  for (size_t i = 0; r == 0 && i < qk_ini_sections (settings->ini); i++)
    r = check_section (settings, qk_ini_section (settings->ini, i));
  return r;
}

/* The sections that the core alone reads. */
static int
take_core_sections (struct qk_settings *settings)
{
  const struct {
    const char *section;
    const struct qk_option *table;
    struct qk_config **cfg;
  } row[] = {
    { "run", qk_table_run, &settings->run },
    { "checkpoint", qk_table_checkpoint, &settings->checkpoint },
    { "train", qk_table_train, &settings->train },
    { "ptq", qk_table_ptq, &settings->ptq },
    { "qat", qk_table_qat, &settings->qat },
    { "tune", qk_table_tune, &settings->tune },
  };
  int r = 0;

  for (size_t i = 0; r == 0 && i < sizeof row / sizeof *row; i++)
    r = qk_ini_take (settings->ini, row[i].section, row[i].table, "",
                     row[i].cfg);
  return r;
}

static int
take_sections (struct qk_settings *settings)
{
  const struct qk_class *c;
  int r;

  if ((r = settle_names (settings)) < 0 || (r = settle_float (settings)) < 0
      || (r = take_core_sections (settings)) < 0
      || (r = take_methods (settings)) < 0)
    return r;
  r = take_component (settings, "model", qk_table_model, "arch", QK_KIND_MODEL,
                      &settings->model, &settings->model_cfg, &c);
  if (r < 0)
    return r;
  settings->model_class = (const struct qk_model_class *) (const void *) c;
  r = take_component (settings, "data", qk_table_data, "dataset",
                      QK_KIND_DATASET, &settings->data, &settings->dataset_cfg,
                      &c);
  if (r < 0)
    return r;
  settings->dataset_class = (const struct qk_dataset_class *) (const void *) c;
  r = take_optimizer (settings, "train optimizer", "train schedule",
                      &settings->train_opt);
  if (r < 0)
    return r;
  if ((r = take_optimizer (settings, "optimizer", "schedule",
                           &settings->qat_opt))
      < 0)
    return r;
  if ((r = take_backend (settings)) < 0
      || (r = qk_settings_take_phases (settings)) < 0)
    return r;
  return check_later (settings);
}

int
qk_settings_new (struct qk_context *ctx, struct qk_ini *ini,
                 struct qk_settings **out)
{
  struct qk_settings *settings = calloc (1, sizeof *settings);
  long cpus;
  int r;

  if (settings == NULL) {
    qk_ini_free (ini);
    return qk_oom ("settings");
  }
  settings->ctx = ctx;
  settings->ini = ini;
  settings->source.take = take_options;
  settings->source.cookie = settings;
  qk_context_add_options (ctx, &settings->source);
  if ((r = take_sections (settings)) < 0) {
    qk_settings_free (settings);
    return r;
  }
  settings->seed = (uint64_t) qk_config_int (settings->run, "seed");
  settings->threads = (int) qk_config_int (settings->run, "threads");
  cpus = sysconf (_SC_NPROCESSORS_ONLN);
  if (settings->threads == 0)
    settings->threads = cpus > 0 ? (int) cpus : 1;
  if (settings->threads > cpus
      && (r = qk_threads_try (settings->threads)) < 0) {
    r = qk_settings_key_error (r, settings->run, "run", "threads");
    qk_settings_free (settings);
    return r;
  }
  *out = settings;
  return 0;
}

int
qk_settings_join (struct qk_settings *settings)
{
  const char *name = qk_config_string (settings->run, "comm");
  struct qk_config *cfg = NULL;
  const struct qk_class *c;
  int r;

  if (strcmp (name, "auto") == 0)
    r = qk_context_default (settings->ctx, QK_KIND_COMM, 0, &c);
  else
    r = qk_context_class (settings->ctx, QK_KIND_COMM, name, &c);
  if (r < 0)
    return qk_settings_key_error (r, settings->run, "run", "comm");
  if ((r = take_options (settings, c, &cfg)) < 0)
    return r;
  r = qk_comm_open ((const struct qk_comm_class *) (const void *) c, cfg,
                    &settings->comm);
  qk_config_free (cfg);
  return r;
}

static void
free_optimizer (struct qk_settings_optimizer *o)
{
  qk_config_free (o->core);
  qk_config_free (o->optimizer_cfg);
  qk_config_free (o->schedule_core);
  qk_config_free (o->schedule_cfg);
}

void
qk_settings_free (struct qk_settings *settings)
{
  size_t i;

  if (settings == NULL)
    return;
  qk_comm_close (settings->comm);
  qk_context_remove_options (settings->ctx, &settings->source);
  for (i = 0; i < settings->n_kept; i++)
    qk_config_free (settings->kept[i]);
  free (settings->kept);
  for (i = 0; i < (size_t) settings->n_methods; i++)
    qk_config_free (settings->method[i].cfg);
  free (settings->bad[0].bits);
  free (settings->bad[1].bits);
  qk_config_free (settings->run);
  qk_config_free (settings->checkpoint);
  qk_config_free (settings->model);
  qk_config_free (settings->data);
  qk_config_free (settings->train);
  qk_config_free (settings->ptq);
  qk_config_free (settings->qat);
  qk_config_free (settings->tune);
  qk_config_free (settings->model_cfg);
  qk_config_free (settings->dataset_cfg);
  free_optimizer (&settings->train_opt);
  free_optimizer (&settings->qat_opt);
  qk_ini_free (settings->ini);
  free (settings);
}
