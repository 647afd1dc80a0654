/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job.c: from an INI document to checked options and loaded classes. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job/job.h"
#include "job/tables.h"

/* Class KIND named by option KEY of CFG. */
static int
named_class (struct qk_job *job, enum qk_kind kind,
             const struct qk_config *cfg, const char *key,
             const struct qk_class **out)
{
  const int r
    = qk_context_class (job->ctx, kind, qk_config_string (cfg, key), out);

  return r < 0 ? qk_error_prefix (r, "%s: ", qk_config_where (cfg, key)) : 0;
}

/* A section with a core table and the options of the plugin it names. */
static int
take_component (struct qk_job *job, const char *section,
                const struct qk_option *table, const char *key,
                enum qk_kind kind, struct qk_config **core,
                struct qk_config **own, const struct qk_class **cls)
{
  int r;

  if ((r = qk_ini_take (job->ini, section, table, "", core)) < 0
      || (r = named_class (job, kind, *core, key, cls)) < 0)
    return r;
  return qk_ini_take (job->ini, section, (*cls)->options, "", own);
}

static int
take_optimizer (struct qk_job *job, const char *section, const char *schedule,
                struct qk_job_optimizer *o)
{
  const struct qk_class *c;
  int r;

  r = take_component (job, section, qk_table_optimizer, "name",
                      QK_KIND_OPTIMIZER, &o->core, &o->optimizer_cfg, &c);
  if (r < 0)
    return r;
  o->optimizer = (const struct qk_optimizer_class *) (const void *) c;
  r = take_component (job, schedule, qk_table_schedule, "name",
                      QK_KIND_SCHEDULE, &o->schedule_core, &o->schedule_cfg,
                      &c);
  if (r < 0)
    return r;
  o->schedule = (const struct qk_schedule_class *) (const void *) c;
  return 0;
}

/* Write into the configuration which backend "auto" is here, so that all that
 * is made of it (checkpoints, models, tables) says for what a network was
 * quantized, and another kind of machine does not take it for its own. */
static int
settle_backend (struct qk_ini *ini)
{
  const char *given = qk_ini_get (ini, "qat", "backend");
  const char *name = qk_job_backend (given != NULL ? given : "auto");

  if (name == given)
    return 0;
  return qk_ini_set (ini, "qat", "backend", name, "qat.backend = auto");
}

/* Whether SECTION is [qconfig], or that of some nodes. */
static bool
is_qconfig (const char *section)
{
  return strncmp (section, "qconfig", 7) == 0
         && (section[7] == '\0' || section[7] == ' ');
}

/* The same for the bits of activations, which differ from CPU to CPU. */
static int
settle_bits (struct qk_job *job)
{
  static const char key[] = "activation.bits";
  const char *given = qk_ini_get (job->ini, "qconfig", key);
  char bits[16];
  int r = 0;

  if (job->caps.activation_bits == 0)
    return 0;
  snprintf (bits, sizeof bits, "%d", job->caps.activation_bits);
  if (given == NULL)
    r = qk_ini_set (job->ini, "qconfig", key, bits, "activation.bits = 0");
  for (size_t i = 0; r == 0 && i < qk_ini_sections (job->ini); i++) {
    const char *section = qk_ini_section (job->ini, i);

    given = is_qconfig (section) ? qk_ini_get (job->ini, section, key) : NULL;
    if (given != NULL && strcmp (given, "0") == 0)
      r = qk_ini_set (job->ini, section, key, bits, "activation.bits = 0");
  }
  return r;
}

static int
take_backend (struct qk_job *job)
{
  const struct qk_class *c;
  int r;

  if ((r = named_class (job, QK_KIND_BACKEND, job->qat, "backend", &c)) < 0)
    return r;
  job->backend_class = (const struct qk_backend_class *) (const void *) c;
  memset (&job->caps, 0, sizeof job->caps);
  if ((r = job->backend_class->probe (&job->caps)) < 0)
    return qk_error_prefix (
      r, "%s: backend '%s': ", qk_config_where (job->qat, "backend"), c->name);
  return settle_bits (job);
}

/* One of the names in [ptq] methods. */
static int
take_method (struct qk_job *job, const char *name)
{
  const char *where = qk_config_where (job->ptq, "methods");
  struct qk_job_method *m = &job->method[job->n_methods];
  const struct qk_class *c;
  char prefix[128];
  int i, r;

  if (job->n_methods == QK_JOB_MAX_METHODS)
    return qk_error (-EINVAL, "%s: more than %d methods", where,
                     QK_JOB_MAX_METHODS);
  if ((r = qk_context_class (job->ctx, QK_KIND_PTQ, name, &c)) < 0)
    return qk_error_prefix (r, "%s: ", where);
  for (i = 0; i < job->n_methods; i++)
    if (&job->method[i].cls->cls == c)
      return qk_error (-EINVAL, "%s: '%s' stands there twice", where, name);
  snprintf (prefix, sizeof prefix, "%s.", c->name);
  m->cls = (const struct qk_ptq_class *) (const void *) c;
  if ((r = qk_ini_take (job->ini, "ptq", c->options, prefix, &m->cfg)) < 0)
    return r;
  job->n_methods++;
  return 0;
}

static int
take_methods (struct qk_job *job)
{
  char *list = strdup (qk_config_string (job->ptq, "methods"));
  char *name, *save = NULL;
  int r = 0;

  if (list == NULL)
    return qk_error (-ENOMEM, "job: out of memory");
  for (name = strtok_r (list, ", \t", &save); r == 0 && name != NULL;
       name = strtok_r (NULL, ", \t", &save))
    r = take_method (job, name);
  free (list);
  return r;
}

int
qk_job_reporters (struct qk_job *job, int max,
                  const struct qk_reporter_class **out)
{
  const char *where = qk_config_where (job->run, "reporter");
  char *list = strdup (qk_config_string (job->run, "reporter"));
  char *name, *save = NULL;
  const struct qk_class *c;
  int n = 0, r = 0;

  if (list == NULL)
    return qk_error (-ENOMEM, "job: out of memory");
  for (name = strtok_r (list, ", ", &save); r == 0 && name != NULL;
       name = strtok_r (NULL, ", ", &save)) {
    if (n == max)
      r = qk_error (-EINVAL, "%s: more than %d reporters", where, max);
    else if ((r = qk_context_class (job->ctx, QK_KIND_REPORTER, name, &c)) < 0)
      qk_error_prefix (r, "%s: ", where);
    else
      out[n++] = (const struct qk_reporter_class *) (const void *) c;
  }
  free (list);
  return r < 0 ? r : n;
}

/* What is only needed later in a run must be there all the same. */
static int
check_later (struct qk_job *job)
{
  const struct qk_reporter_class *reporter[QK_MONITOR_MAX_REPORTERS];
  const struct qk_class *c;
  int r = named_class (job, QK_KIND_LAYER, job->train, "loss", &c);

  if (r == 0 && qk_config_float (job->qat, "distill") > 0)
    r = named_class (job, QK_KIND_LAYER, job->qat, "distill_loss", &c);
  if (r == 0)
    r = qk_job_reporters (job, QK_MONITOR_MAX_REPORTERS, reporter);
  return r < 0 ? r : 0;
}

static int
take_sections (struct qk_job *job)
{
  const struct qk_class *c;
  int r;

  if ((r = settle_backend (job->ini)) < 0
      || (r = qk_ini_take (job->ini, "run", qk_table_run, "", &job->run)) < 0
      || (r = qk_ini_take (job->ini, "train", qk_table_train, "", &job->train))
           < 0
      || (r = qk_ini_take (job->ini, "ptq", qk_table_ptq, "", &job->ptq)) < 0
      || (r = qk_ini_take (job->ini, "qat", qk_table_qat, "", &job->qat)) < 0
      || (r = check_later (job)) < 0 || (r = take_methods (job)) < 0)
    return r;
  r = take_component (job, "model", qk_table_model, "arch", QK_KIND_MODEL,
                      &job->model, &job->model_cfg, &c);
  if (r < 0)
    return r;
  job->model_class = (const struct qk_model_class *) (const void *) c;
  r = take_component (job, "data", qk_table_data, "dataset", QK_KIND_DATASET,
                      &job->data, &job->dataset_cfg, &c);
  if (r < 0)
    return r;
  job->dataset_class = (const struct qk_dataset_class *) (const void *) c;
  r = take_optimizer (job, "train optimizer", "train schedule",
                      &job->train_opt);
  if (r < 0)
    return r;
  if ((r = take_optimizer (job, "optimizer", "schedule", &job->qat_opt)) < 0)
    return r;
  return take_backend (job);
}

int
qk_job_new (struct qk_context *ctx, struct qk_ini *ini, struct qk_job **out)
{
  struct qk_job *job = calloc (1, sizeof *job);
  long cpus;
  int r;

  if (job == NULL) {
    qk_ini_free (ini);
    return qk_error (-ENOMEM, "job: out of memory");
  }
  job->ctx = ctx;
  job->ini = ini;
  if ((r = take_sections (job)) < 0) {
    qk_job_free (job);
    return r;
  }
  job->seed = (uint64_t) qk_config_int (job->run, "seed");
  job->threads = (int) qk_config_int (job->run, "threads");
  cpus = sysconf (_SC_NPROCESSORS_ONLN);
  if (job->threads == 0)
    job->threads = cpus > 0 ? (int) cpus : 1;
  *out = job;
  return 0;
}

int
qk_job_join (struct qk_job *job)
{
  const char *name = qk_config_string (job->run, "comm");
  struct qk_config *cfg = NULL;
  const struct qk_class *c;
  int r;

  if (strcmp (name, "auto") == 0)
    name = qk_comm_launched ();
  if ((r = qk_context_class (job->ctx, QK_KIND_COMM, name, &c)) < 0)
    return qk_error_prefix (r, "%s: ", qk_config_where (job->run, "comm"));
  if ((r = qk_config_parse (c->options, "", name, &cfg)) < 0)
    return r;
  r = qk_comm_open ((const struct qk_comm_class *) (const void *) c, cfg,
                    &job->comm);
  qk_config_free (cfg);
  return r;
}

static void
free_optimizer (struct qk_job_optimizer *o)
{
  qk_config_free (o->core);
  qk_config_free (o->optimizer_cfg);
  qk_config_free (o->schedule_core);
  qk_config_free (o->schedule_cfg);
}

void
qk_job_free (struct qk_job *job)
{
  size_t i;

  if (job == NULL)
    return;
  qk_comm_close (job->comm);
  for (i = 0; i < job->n_kept; i++)
    qk_config_free (job->kept[i]);
  free (job->kept);
  for (i = 0; i < (size_t) job->n_methods; i++)
    qk_config_free (job->method[i].cfg);
  free (job->bad[0].bits);
  free (job->bad[1].bits);
  qk_config_free (job->run);
  qk_config_free (job->model);
  qk_config_free (job->data);
  qk_config_free (job->train);
  qk_config_free (job->ptq);
  qk_config_free (job->qat);
  qk_config_free (job->model_cfg);
  qk_config_free (job->dataset_cfg);
  free_optimizer (&job->train_opt);
  free_optimizer (&job->qat_opt);
  qk_ini_free (job->ini);
  free (job);
}

int
qk_job_check (struct qk_job *job, const struct qk_graph *g)
{
  struct qk_graph *p;
  int i, r;

  for (i = 0; i < 2; i++) {
    if ((r = qk_job_prepare (job, g, i == 0, &p)) < 0)
      return r;
    qk_graph_free (p);
  }
  return qk_ini_check_unused (job->ini);
}

void
qk_job_exec_options (const struct qk_job *job, int64_t batch, bool train,
                     struct qk_exec_options *out)
{
  memset (out, 0, sizeof *out);
  out->batch = batch;
  out->threads = job->threads;
  out->train = train;
  out->comm = job->comm;
  out->loss = qk_config_string (job->train, "loss");
  out->backend = qk_config_string (job->qat, "backend");
}
