/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptq.c: post-training quantization: methods, calibration, conversion. */
#include "config.h"

#include <string.h>

#include "run/run.h"
#include "ptq/ptq-priv.h"

/* Let each method do what it does before or AFTER calibration. */
static int
run_methods (struct qk_run *run, struct qk_ptq *p, bool after)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < run->settings->n_methods; i++) {
    const struct qk_settings_method *m = &run->settings->method[i];
    void *self = NULL;

    if ((after ? m->cls->after : m->cls->before) == NULL)
      continue;
    if ((r = m->cls->create (m->cfg, &self)) == 0)
      r = after ? m->cls->after (self, p) : m->cls->before (self, p);
    m->cls->destroy (self);
    if (r < 0)
      qk_error_prefix (r, "method '%s': ", m->cls->cls.name);
  }
  return r;
}

static int
calibrate (struct qk_run *run, struct qk_graph *g, struct qk_graph *prepared)
{
  struct qk_exec_options opt;
  struct qk_exec *ex;
  int r;

  qk_settings_exec_options (run->settings, run->calibrate->batch, false, &opt);
  if ((r = qk_exec_new (g, &opt, &ex)) < 0)
    return r;
  r = qk_stage_calibrate (ex, prepared, run->calibrate->batches,
                          qk_config_int (run->settings->ptq, "batches"),
                          run->m);
  qk_exec_free (ex);
  return r;
}

int
qk_run_calibrate (struct qk_run *run, const struct qk_graph *g,
                  struct qk_graph **out)
{
  struct qk_graph *prepared = NULL;
  struct qk_ptq p;
  int r;

  if (run->settings->n_methods > 0 && qk_comm_size (run->m->comm) > 1)
    return qk_error (-ENOTSUP, "%s: methods work in one process, not in %d",
                     qk_config_where (run->settings->ptq, "methods"),
                     qk_comm_size (run->m->comm));
  if (run->calibrate == NULL
      && (r = qk_data_open (run->settings, QK_DATA_CALIBRATE, &run->calibrate))
           < 0)
    return r;
  memset (&p, 0, sizeof p);
  p.batches = run->calibrate->batches;
  p.limit = qk_config_int (run->settings->ptq, "batches");
  p.batch = run->calibrate->batch;
  p.threads = run->settings->threads;
  p.seed = run->settings->seed;
  p.m = run->m;
  if ((r = qk_ptq_begin (&p, g)) == 0
      && (r = run_methods (run, &p, false)) == 0
      && (r = qk_settings_prepare (run->settings, p.real, true, &prepared))
           == 0
      && (r = calibrate (run, p.real, prepared)) == 0) {
    p.quantized = prepared;
    r = run_methods (run, &p, true);
  }
  qk_ptq_end (&p);
  if (r < 0)
    qk_graph_free (prepared);
  else
    *out = prepared;
  return r;
}

int
qk_run_ptq (struct qk_run *run, const struct qk_graph *g,
            struct qk_graph **out)
{
  struct qk_graph *prepared;
  int r;

  if ((r = qk_run_calibrate (run, g, &prepared)) < 0)
    return r;
  run->analysis = qk_graph_is_analysis (prepared);
  if (run->analysis) {
    *out = prepared;
    return 0;
  }
  r = qk_pass_convert (prepared, out);
  qk_graph_free (prepared);
  return r;
}
