/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptq.c: post-training quantization: methods, calibration, conversion. */
#include "config.h"

#include <string.h>

#include "base/called.h"
#include "run/coverage.h"
#include "run/session.h"
#include "ptq/ptq-priv.h"

/* Let each method do what it does before or AFTER calibration. */
static int
run_methods (struct qk_session *s, struct qk_ptq *p, bool after)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < s->settings->n_methods; i++) {
    const struct qk_settings_method *m = &s->settings->method[i];
    void *self = NULL;

    if ((after ? m->cls->after : m->cls->before) == NULL)
      continue;
    if ((r
         = QK_CALLED (&m->cls->cls, "create", m->cls->create (m->cfg, &self)))
        == 0)
      r = after ? m->cls->after (self, p) : m->cls->before (self, p);
    m->cls->destroy (self);
    if (r < 0)
      qk_error_prefix (r, "method '%s': ", m->cls->cls.name);
  }
  return r;
}

static int
calibrate (struct qk_session *s, struct qk_graph *g, struct qk_graph *prepared)
{
  struct qk_exec_options opt;
  struct qk_exec *ex;
  int r;

  qk_settings_exec_options (s->settings, s->calibrate->batch, false, &opt);
  if ((r = qk_exec_new (g, &opt, &ex)) < 0)
    return r;
  r = qk_stage_calibrate (ex, prepared, s->calibrate->batches,
                          qk_config_int (s->settings->ptq, "batches"), s->m);
  qk_exec_free (ex);
  return r;
}

int
qk_session_calibrate (struct qk_session *s, const struct qk_graph *g,
                      struct qk_graph **out)
{
  struct qk_graph *prepared = NULL;
  struct qk_ptq p;
  int r;

  if (s->settings->n_methods > 0 && qk_comm_size (s->m->comm) > 1)
    return qk_error (-ENOTSUP, "%s: methods work in one process, not in %d",
                     qk_config_where (s->settings->ptq, "methods"),
                     qk_comm_size (s->m->comm));
  if (s->calibrate == NULL
      && (r = qk_data_open (s->settings, QK_DATA_CALIBRATE, &s->calibrate))
           < 0)
    return r;
  memset (&p, 0, sizeof p);
  p.batches = s->calibrate->batches;
  p.limit = qk_config_int (s->settings->ptq, "batches");
  p.batch = s->calibrate->batch;
  p.threads = s->settings->threads;
  p.seed = s->settings->seed;
  p.m = s->m;
  if ((r = qk_ptq_begin (&p, g)) == 0 && (r = run_methods (s, &p, false)) == 0
      && (r = qk_settings_prepare (s->settings, p.real, true, &prepared)) == 0
      && (r = calibrate (s, p.real, prepared)) == 0) {
    p.quantized = prepared;
    r = run_methods (s, &p, true);
  }
  qk_ptq_end (&p);
  if (r < 0)
    qk_graph_free (prepared);
  else
    *out = prepared;
  return r;
}

int
qk_session_ptq (struct qk_session *s, const struct qk_graph *g,
                struct qk_graph **out, bool *analysis)
{
  struct qk_graph *prepared;
  int r;

  if ((r = qk_session_calibrate (s, g, &prepared)) < 0)
    return r;
  *analysis = qk_graph_is_analysis (prepared);
  if (*analysis) {
    *out = prepared;
    return 0;
  }
  if ((r = qk_pass_convert (prepared, out)) == 0)
    qk_coverage_raised (prepared, "PTQ");
  qk_graph_free (prepared);
  return r;
}
