/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* oscillation.c: weights that flip between two integers. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "quant/quantizer-priv.h"
#include "train/oscillation.h"

static int
add_weight (struct qk_oscillation *o, const struct qk_graph *g,
            const struct qk_node *n)
{
  struct qk_oscillating *w = &o->weight[o->n];
  size_t count;
  int r = qk_folded_init (g, n, &w->folded);

  if (r <= 0 || w->folded.param->frozen) {
    qk_folded_clear (&w->folded);
    return r < 0 ? r : 0;
  }
  if (o->opt.damping > 0 && qk_quantizer_transforms (n->weight_qz)) {
    qk_folded_clear (&w->folded);
    return qk_error (-EINVAL,
                     "[qat] oscillation.damping: the fake-quantizer of '%s' "
                     "changes weights before rounding, expected one that does "
                     "not, or oscillation.freeze",
                     qk_quantizer_info (n->weight_qz)->name);
  }
  o->n++;
  w->count = w->folded.channels * w->folded.depth;
  count = (size_t) w->count;
  w->now = qk_alloc (count);
  w->last = qk_alloc (count);
  w->turn = qk_alloc (count);
  w->frozen = qk_alloc (count);
  w->frequency = qk_alloc (count * sizeof *w->frequency);
  w->mean = qk_alloc (count * sizeof *w->mean);
  return w->now == NULL || w->last == NULL || w->turn == NULL
             || w->frozen == NULL || w->frequency == NULL || w->mean == NULL
           ? qk_oom ("oscillations of '%s'", w->folded.param->name)
           : 0;
}

int
qk_oscillation_new (struct qk_graph *g,
                    const struct qk_oscillation_options *opt,
                    struct qk_oscillation **out)
{
  struct qk_oscillation *o;
  int i, r = 0;

  *out = NULL;
  if (!opt->watch && !(opt->damping > 0) && !(opt->freeze > 0))
    return 0;
  if ((o = calloc (1, sizeof *o)) == NULL)
    return qk_oom ("oscillations");
  o->opt = *opt;
  o->weight = calloc ((size_t) g->n_nodes + 1, sizeof *o->weight);
  if (o->weight == NULL)
    r = qk_oom ("oscillations");
  for (i = 0; r == 0 && i < g->n_nodes; i++)
    r = add_weight (o, g, &g->node[i]);
  if (r < 0) {
    qk_oscillation_free (o);
    return r;
  }
  *out = o;
  return 0;
}

void
qk_oscillation_free (struct qk_oscillation *o)
{
  if (o == NULL)
    return;
  for (int i = 0; i < o->n; i++) {
    struct qk_oscillating *w = &o->weight[i];

    qk_folded_clear (&w->folded);
    qk_free (w->now);
    qk_free (w->last);
    qk_free (w->turn);
    qk_free (w->frozen);
    qk_free (w->frequency);
    qk_free (w->mean);
  }
  free (o->weight);
  free (o);
}

/* From FIRST to LAST as half a cosine. */
static double
between (double first, double last, double done)
{
  const double half_turn = 3.14159265358979323846;

  return last + (first - last) * 0.5 * (1.0 + cos (half_turn * done));
}

/* The grid of channel C of W. */
static const struct qk_qparams *
grid_of (const struct qk_oscillating *w, int64_t c)
{
  const struct qk_quantizer *qz = w->folded.node->weight_qz;

  return &qk_quantizer_qparams (qz)[qk_quantizer_channels (qz) == 1 ? 0 : c];
}

/* ---- damping ----------------------------------------------------------------*/

/* To the gradients D of N weights, W folded, on the grid Q. */
static void
damp_channel (const float *w, int64_t n, const struct qk_qparams *q, float by,
              float *d)
{
  const float inv = 1.0f / q->scale;
  const float lo = (float) q->qmin * q->scale, hi = (float) q->qmax * q->scale;

  for (int64_t i = 0; i < n; i++)
    if (w[i] >= lo && w[i] <= hi)
      d[i] += by * (w[i] - qk_rne (w[i] * inv) * q->scale);
}

int
qk_oscillation_damp (struct qk_oscillation *o, struct qk_graph *g, double done)
{
  const double lambda = between (0, o->opt.damping, done);
  int r = 0;

  for (int i = 0; r == 0 && lambda > 0 && i < o->n; i++) {
    const struct qk_oscillating *w = &o->weight[i];
    const struct qk_folded *f = &w->folded;

    if ((r = qk_folded_take (g, &o->weight[i].folded)) < 0)
      return r;
    for (int64_t c = 0; c < f->channels; c++)
      damp_channel (f->weight + c * f->depth, f->depth, grid_of (w, c),
                    (float) (2.0 * lambda * (double) f->k[c]),
                    (float *) f->param->grad.data + c * f->depth);
  }
  return r;
}

/* ---- after a step -----------------------------------------------------------*/

/* Weight I has come to NOW: whether it has changed back. */
static void
count_change (struct qk_oscillating *w, int64_t i, float m)
{
  const int change = w->now[i] - w->last[i];
  const int sign = (change > 0) - (change < 0);
  const bool back = sign != 0 && w->turn[i] == -sign;

  w->frequency[i] = (back ? m : 0.0f) + (1.0f - m) * w->frequency[i];
  w->mean[i] = m * (float) w->now[i] + (1.0f - m) * w->mean[i];
  if (sign != 0)
    w->turn[i] = (int8_t) sign;
  w->last[i] = w->now[i];
}

/* Weight I of channel C, frozen at the integer w->last[i]: the parameter that
 * gives it.  Where weights are transformed before, it stays where it was. */
static void
put (struct qk_oscillating *w, int64_t c, int64_t i)
{
  const struct qk_folded *f = &w->folded;
  float *x = (float *) f->param->value.data + i;

  if (qk_quantizer_transforms (f->node->weight_qz))
    *x = w->mean[i];
  else if (f->k[c] != 0.0f)
    *x = (float) w->last[i] * grid_of (w, c)->scale / f->k[c];
}

/* Freeze it at the integer nearest to its mean; one that is transformed where it
 * is, in the place of a mean that nobody needs any more. */
static void
freeze (struct qk_oscillating *w, int64_t c, int64_t i)
{
  const struct qk_qparams *q = grid_of (w, c);

  w->frozen[i] = 1;
  if (qk_quantizer_transforms (w->folded.node->weight_qz))
    w->mean[i] = ((const float *) w->folded.param->value.data)[i];
  else
    w->last[i] = (int8_t) qk_quantize (w->mean[i], 1.0f, 0, q->qmin, q->qmax);
}

static void
step_channel (struct qk_oscillation *o, struct qk_oscillating *w, int64_t c,
              float threshold)
{
  const float m = (float) o->opt.momentum;

  for (int64_t i = c * w->folded.depth; i < (c + 1) * w->folded.depth; i++) {
    if (!o->begun) {
      w->last[i] = w->now[i];
      w->mean[i] = (float) w->now[i];
      continue;
    }
    if (!w->frozen[i]) {
      count_change (w, i, m);
      if (!(threshold > 0.0f) || !(w->frequency[i] > threshold))
        continue;
      freeze (w, c, i);
    }
    put (w, c, i);
  }
}

int
qk_oscillation_step (struct qk_oscillation *o, struct qk_graph *g, double done)
{
  const double threshold = o->opt.freeze > 0 ? between (o->opt.freeze_start > 0
                                                          ? o->opt.freeze_start
                                                          : o->opt.freeze,
                                                        o->opt.freeze, done)
                                             : 0;
  int r;

  for (int i = 0; i < o->n; i++) {
    struct qk_oscillating *w = &o->weight[i];

    if ((r = qk_folded_take (g, &w->folded)) < 0
        || (r = qk_quantizer_forward_i8 (w->folded.node->weight_qz,
                                         w->folded.weight, (size_t) w->count,
                                         w->now))
             < 0)
      return r;
    for (int64_t c = 0; c < w->folded.channels; c++)
      step_channel (o, w, c, (float) threshold);
  }
  o->begun = 1;
  return 0;
}

void
qk_oscillation_restart (struct qk_oscillation *o)
{
  for (int i = 0; i < o->n; i++) {
    struct qk_oscillating *w = &o->weight[i];
    const size_t n = (size_t) w->count;

    memset (w->last, 0, n);
    memset (w->turn, 0, n);
    memset (w->frozen, 0, n);
    memset (w->frequency, 0, n * sizeof *w->frequency);
    memset (w->mean, 0, n * sizeof *w->mean);
  }
  o->begun = 0;
}

void
qk_oscillation_shares (const struct qk_oscillation *o, double *oscillating,
                       double *frozen)
{
  int64_t all = 0, moving = 0, still = 0;

  for (int i = 0; i < o->n; i++) {
    const struct qk_oscillating *w = &o->weight[i];

    all += w->count;
    for (int64_t k = 0; k < w->count; k++) {
      still += w->frozen[k] != 0;
      moving += w->frozen[k] == 0 && w->frequency[k] > QK_OSCILLATES;
    }
  }
  *oscillating = all > 0 ? (double) moving / (double) all : 0;
  *frozen = all > 0 ? (double) still / (double) all : 0;
}
