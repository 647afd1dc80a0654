/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptq.c: post-training quantization: methods, calibration, conversion. */
#include "config.h"

#include <math.h>
#include <stdio.h>
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

/* A network as methods see it, and its prepared form. */
struct attempt {
  struct qk_ptq p;
  struct qk_graph *prepared;
};

static void
give_up (struct attempt *a)
{
  qk_ptq_end (&a->p);
  qk_graph_free (a->prepared);
}

/* Prepare and calibrate the float network G, after what METHODS do to it
 * before. */
static int
make_attempt (struct qk_session *s, const struct qk_graph *g, bool methods,
              struct attempt *a)
{
  int r;

  memset (a, 0, sizeof *a);
  a->p.batches = s->calibrate->batches;
  a->p.limit = qk_config_int (s->settings->ptq, "batches");
  a->p.batch = s->calibrate->batch;
  a->p.threads = s->settings->threads;
  a->p.seed = s->settings->seed;
  a->p.m = s->m;
  if ((r = qk_ptq_begin (&a->p, g)) == 0
      && (!methods || (r = run_methods (s, &a->p, false)) == 0)
      && (r = qk_settings_prepare (s->settings, a->p.real, true, &a->prepared))
           == 0
      && (r = calibrate (s, a->p.real, a->prepared)) == 0)
    a->p.quantized = a->prepared;
  return r;
}

/* The names of the methods that work before calibration; false: none. */
static bool
name_early_methods (const struct qk_session *s, char *text, size_t size)
{
  size_t used = 0;

  text[0] = 0;
  for (int i = 0; i < s->settings->n_methods && used < size; i++)
    if (s->settings->method[i].cls->before != NULL)
      used += (size_t) snprintf (text + used, size - used, "%s%s",
                                 used > 0 ? ", " : "",
                                 s->settings->method[i].cls->cls.name);
  return used > 0;
}

/* Batches that two attempts are compared on. */
#define COMPARED 4

/* A is what methods made of the float network: put the network without them
 * in its place if its outputs have less noise, by more than chance makes. */
static int
keep_better (struct qk_session *s, const struct qk_graph *g,
             const char *methods, struct attempt *a)
{
  double with = 0.0, without = 0.0;
  struct attempt plain;
  int r = make_attempt (s, g, false, &plain);

  if (r == 0 && (r = qk_ptq_noise (&a->p, plain.p.real, COMPARED, &with)) == 0)
    r = qk_ptq_noise (&plain.p, plain.p.real, COMPARED, &without);
  if (r == 0 && without < 0.9 * with) {
    struct attempt worse = *a;

    qk_log (s->settings->ctx, QK_LOG_WARNING,
            "PTQ: %s makes this network worse and is left out: the noise in "
            "its outputs is %.1f dB below the signal with it, %.1f dB without",
            methods, -10.0 * log10 (with), -10.0 * log10 (without));
    *a = plain;
    plain = worse;
  }
  give_up (&plain);
  return r;
}

/* The float network G, prepared and calibrated after what methods do to it
 * before, and with what they do after; A is to be given up in any case. */
static int
attempt (struct qk_session *s, const struct qk_graph *g, struct attempt *a)
{
  const bool kept = qk_graph_keeps_grids (g);
  char methods[160];
  int r;

  memset (a, 0, sizeof *a);
  if (s->settings->n_methods > 0 && qk_comm_size (s->m->comm) > 1)
    return qk_error (-ENOTSUP, "%s: methods work in one process, not in %d",
                     qk_config_where (s->settings->ptq, "methods"),
                     qk_comm_size (s->m->comm));
  if (s->calibrate == NULL
      && (r = qk_data_open (s->settings, QK_DATA_CALIBRATE, &s->calibrate))
           < 0)
    return r;
  if (kept && name_early_methods (s, methods, sizeof methods))
    qk_log (s->settings->ctx, QK_LOG_WARNING,
            "PTQ: %s is left out: it would change weights and activations "
            "that keep the grids of the network's file",
            methods);
  r = make_attempt (s, g, !kept, a);
  if (r == 0 && !kept && name_early_methods (s, methods, sizeof methods)
      && !qk_graph_is_analysis (a->prepared))
    r = keep_better (s, g, methods, a);
  return r == 0 ? run_methods (s, &a->p, true) : r;
}

int
qk_session_calibrate (struct qk_session *s, const struct qk_graph *g,
                      struct qk_graph **out)
{
  struct attempt a;
  const int r = attempt (s, g, &a);

  if (r == 0) {
    *out = a.prepared;
    a.prepared = NULL;
  }
  give_up (&a);
  return r;
}

/* Whether methods have put another layer in the place of one; networks in
 * checkpoints have those of the model. */
static int
check_layers (const struct qk_settings *settings, const struct qk_graph *was,
              const struct qk_graph *g)
{
  for (int i = 0; i < g->n_nodes; i++)
    if (i >= was->n_nodes
        || strcmp (was->node[i].layer_name, g->node[i].layer_name) != 0
        || was->node[i].lo != g->node[i].lo
        || was->node[i].hi != g->node[i].hi)
      return qk_error (
        -ENOTSUP,
        "[qat] from_ptq (%s): a method of [ptq] has changed what node '%s' "
        "computes, not only "
        "its weights; QAT cannot begin with that (ptq.equalize.relu6 = skip "
        "leaves clamps alone)",
        qk_config_where (settings->qat, "from_ptq"), g->node[i].name);
  return 0;
}

/* The parameters of FROM, by name, into G. */
static void
copy_params (const struct qk_graph *from, struct qk_graph *g)
{
  for (int i = 0; i < g->n_params; i++) {
    struct qk_tensor *to = &g->param[i].value;
    const struct qk_param *p = qk_graph_find_param (from, g->param[i].name);

    if (p != NULL)
      memcpy (to->data, p->value.data,
              (size_t) qk_shape_count (&to->shape)
                * qk_dtype_size (to->dtype));
  }
}

int
qk_session_improve (struct qk_session *s, const struct qk_graph *g,
                    struct qk_graph **calibrated, struct qk_graph **out)
{
  struct qk_graph *was = NULL;
  struct attempt a;
  int r = attempt (s, g, &a);

  if (r == 0)
    r = qk_pass_fuse (g, &was);
  if (r == 0)
    r = check_layers (s->settings, was, a.p.real);
  if (r == 0) {
    copy_params (a.prepared, a.p.real);
    *out = a.p.real;
    *calibrated = a.prepared;
    a.p.real = a.prepared = NULL;
  }
  qk_graph_free (was);
  give_up (&a);
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
