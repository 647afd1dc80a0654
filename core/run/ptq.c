/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptq.c: post-training quantization: methods, calibration, conversion. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/called.h"
#include "quant/quantizer-priv.h"
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

/* How far from its integer, in steps, a weight may lie and safely round to it. */
#define WITHIN 0.49f

/* WEIGHT, N of them, as near to REAL as rounds on the grid Q to the same integers;
 * beyond the ends of the grid there is no bound. */
static void
loosen_channel (const struct qk_qparams *q, const float *real, int64_t n,
                float *weight)
{
  const float inv = 1.0f / q->scale;

  for (int64_t i = 0; i < n; i++) {
    const int32_t k = qk_quantize (weight[i], inv, 0, q->qmin, q->qmax);
    const float lo = ((float) k - WITHIN) * q->scale;
    const float hi = ((float) k + WITHIN) * q->scale;

    weight[i] = real[i] < lo && k > q->qmin   ? lo
                : real[i] > hi && k < q->qmax ? hi
                                              : real[i];
  }
}

/* Weights of NODE, which a method may have put on the integers themselves: there
 * training would have half a step to go before it changes anything.  They go back
 * towards the float network's as far as the integers stay. */
static int
loosen_weights (struct qk_ptq *p, int node, const struct qk_ptq_node *info)
{
  const struct qk_quantizer *qz = qk_ptq_weight_quantizer (p, node);
  const int64_t channels = info->channels, n = info->per_channel;
  float *weight, *real, *bias;
  int r = -ENOMEM;

  if (qz == NULL || qk_quantizer_transforms (qz))
    return 0;
  weight = qk_alloc ((size_t) (channels * n) * sizeof *weight);
  real = qk_alloc ((size_t) (channels * n) * sizeof *real);
  bias = qk_alloc ((size_t) channels * sizeof *bias);
  if (weight == NULL || real == NULL || bias == NULL)
    r = qk_oom ("node '%s'", info->name);
  else if ((r = qk_ptq_real_weight (p, node, real, bias)) == 0
           && (r = qk_ptq_get_weight (p, node, weight, bias)) == 0) {
    const struct qk_qparams *q = qk_quantizer_qparams (qz);
    const bool one = qk_quantizer_channels (qz) == 1;

    for (int64_t c = 0; c < channels; c++)
      loosen_channel (&q[one ? 0 : c], real + c * n, n, weight + c * n);
    r = qk_ptq_set_weight (p, node, weight, NULL);
  }
  qk_free (bias);
  qk_free (real);
  qk_free (weight);
  return r;
}

static int
loosen_all (struct qk_ptq *p)
{
  struct qk_ptq_node info;
  int i, r = 0;

  for (i = 0; r == 0 && i < qk_ptq_count (p); i++) {
    qk_ptq_node (p, i, &info);
    if (info.quantized && info.channels > 0)
      r = loosen_weights (p, i, &info);
  }
  return r;
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
  if (r == 0)
    r = loosen_all (&a.p);
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
