/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verdict.c: what limits the accuracy, and what to do about it. */
#include "config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/priv.h"

#define WIDE_SPREAD 1.0 /* bits lost by the middle channel worth a change */
#define MUCH_CLIPPED 0.01
#define FAR_DRIFT 0.5    /* standard deviations */
#define FULL_BITS 7      /* with fewer, most weights are 0 by right */
#define LARGE_SHARE 0.25 /* of the noise, by one layer */

const char *
qk_analyze_limit_name (enum qk_analyze_limit limit)
{
  static const char *const names[] = { "nothing", "weights", "activations",
                                       "weights and activations", "training" };

  return names[limit];
}

static int QK_PRINTF (2, 3)
  advise (struct qk_analysis *a, const char *fmt, ...)
{
  char **more = realloc (a->advice, (size_t) (a->n_advice + 1) * sizeof *more);
  va_list args;
  int n;

  if (more == NULL)
    return qk_oom ("analyze");
  a->advice = more;
  va_start (args, fmt);
  n = vasprintf (&more[a->n_advice], fmt, args);
  va_end (args);
  if (n < 0)
    return qk_oom ("analyze");
  a->n_advice++;
  return 0;
}

/* ---- what limits -------------------------------------------------------------*/

/* The score of a network as it is shown: in percent where it is a share. */
static double
shown (const struct qk_analysis *a, enum qk_analyze_net net)
{
  const double x = qk_scores_get (&a->net[net].scores, a->score);

  return a->score_spec.percent ? 100 * x : x;
}

/* "97.30 %", "0.1420" into BUF. */
static const char *
number (const struct qk_analysis *a, double value, char *buf, size_t size)
{
  snprintf (buf, size, "%.*f%s", a->score_spec.digits, value,
            a->score_spec.percent ? " %" : "");
  return buf;
}

/* "points of accuracy", "of mae": what a difference is in. */
static const char *
unit (const struct qk_analysis *a, char *buf, size_t size)
{
  snprintf (buf, size, "%s%s", a->score_spec.percent ? "points of " : "of ",
            a->score_name);
  return buf;
}

/* A difference of X points, or of X percent of FLOAT's score where that is no
 * share. */
static double
points (const struct qk_analysis *a, double x)
{
  return a->score_spec.percent ? x : x / 100 * fabs (shown (a, QK_NET_FLOAT));
}

/* By how much a network is worse than FLOAT. */
static double
drop (const struct qk_analysis *a, enum qk_analyze_net net)
{
  const double d = shown (a, QK_NET_FLOAT) - shown (a, net);

  return a->score_spec.larger_is_better ? d : -d;
}

/* Its standard error: the two answer the same samples, so only their
 * differences count.  One more sample, by a point of each, keeps the error of
 * few from being nothing. */
static double
drop_error (const struct qk_analysis *a, enum qk_analyze_net net)
{
  const struct qk_analyze_network *n = &a->net[net];
  const double one = a->score_spec.percent ? 1 : points (a, 1);

  return (a->score_spec.percent ? 100 : 1) * sqrt (n->squares + one * one)
         / (double) n->scores.n;
}

/* Whether QAT made weights that need their grid: rounded they are much better
 * than unrounded, as with few bits.  Then "float" is no measure. */
static bool
settled (const struct qk_analysis *a)
{
  return a->qat
         && -drop (a, QK_NET_BOTH)
              > points (a, 1) + 2 * drop_error (a, QK_NET_BOTH);
}

/* What is lost from before QAT to after, less two standard errors; 0 when it
 * is not known.  Of shares the error is that of two independent ones: both
 * networks differ far more from FLOAT than from each other. */
static double
sure_loss_of_training (const struct qk_analysis *a)
{
  const struct qk_scores *s = &a->net[QK_NET_ORIGINAL].scores;
  const double p = qk_scores_get (s, a->score);
  double error
    = hypot (drop_error (a, QK_NET_BOTH), drop_error (a, QK_NET_ORIGINAL));

  if (!a->net[QK_NET_ORIGINAL].valid)
    return 0;
  if (a->score_spec.percent)
    error = 100 * sqrt (2 * p * (1 - p) / (double) s->n);
  return drop (a, QK_NET_BOTH) - drop (a, QK_NET_ORIGINAL) - 2 * error;
}

static double
noise (const struct qk_analysis *a, enum qk_analyze_net net)
{
  const double db = a->net[net].subset.sqnr;

  return isfinite (db) ? pow (10, -db / 10) : 0;
}

/* Which half adds (much) more noise to the outputs. */
static enum qk_analyze_limit
louder (const struct qk_analysis *a)
{
  const double w = noise (a, QK_NET_WEIGHTS),
               v = noise (a, QK_NET_ACTIVATIONS);

  if (w > 2 * v)
    return QK_LIMIT_WEIGHTS;
  return v > 2 * w ? QK_LIMIT_ACTIVATIONS : QK_LIMIT_BOTH;
}

/* Whether the score compares with the float network itself, which is then
 * infinitely good: no difference from it can be taken. */
static bool
relative (const struct qk_analysis *a)
{
  return !isfinite (shown (a, QK_NET_FLOAT));
}

static enum qk_analyze_limit
find_limit (const struct qk_analysis *a)
{
  const double d = drop (a, QK_NET_BOTH), e = drop_error (a, QK_NET_BOTH);
  const double w = drop (a, QK_NET_WEIGHTS), v = drop (a, QK_NET_ACTIVATIONS);
  const double ew = drop_error (a, QK_NET_WEIGHTS);
  const double ev = drop_error (a, QK_NET_ACTIVATIONS);
  const double before
    = a->net[QK_NET_ORIGINAL].valid ? -drop (a, QK_NET_ORIGINAL) : 0;

  if (relative (a))
    return louder (a);
  if (settled (a))
    return sure_loss_of_training (a) > 0 ? QK_LIMIT_TRAINING
                                         : QK_LIMIT_NOTHING;
  if (before > 2 * drop_error (a, QK_NET_ORIGINAL) && before > d)
    return QK_LIMIT_TRAINING;
  if (d <= 2 * e || d < points (a, 0.1))
    return QK_LIMIT_NOTHING;
  /* accuracy decides where it can, else the noise */
  if (w - v > 2 * hypot (ew, ev))
    return QK_LIMIT_WEIGHTS;
  if (v - w > 2 * hypot (ew, ev))
    return QK_LIMIT_ACTIVATIONS;
  return louder (a);
}

/* Too much to be called nothing, too little to be sure. */
static bool
open_question (const struct qk_analysis *a)
{
  const double d = drop (a, QK_NET_BOTH);

  return !settled (a) && a->limit == QK_LIMIT_NOTHING && d >= points (a, 0.1)
         && d > drop_error (a, QK_NET_BOTH);
}

static const char *
limit_text (enum qk_analyze_limit limit)
{
  switch (limit) {
  case QK_LIMIT_WEIGHTS:
    return "the weights";
  case QK_LIMIT_ACTIVATIONS:
    return "the activations";
  default:
    return "weights and activations alike";
  }
}

/* The verdict on weights that need their grid. */
static int
settled_text (const struct qk_analysis *a, char **out)
{
  const char *name = a->score_name;
  char before[32], bare[32], to[32];

  number (a, shown (a, QK_NET_FLOAT), bare, sizeof bare);
  number (a, shown (a, QK_NET_BOTH), to, sizeof to);
  if (!a->net[QK_NET_ORIGINAL].valid)
    return asprintf (out,
                     "The weights have adapted to rounding: %s is %s with "
                     "it and %s without.  The float network that QAT began "
                     "with is not known, so neither is what quantization "
                     "costs.",
                     name, to, bare);
  number (a, shown (a, QK_NET_ORIGINAL), before, sizeof before);
  return asprintf (out,
                   "%s: the float network had %s %s before QAT, the quantized "
                   "one has %s.  Its weights have adapted to rounding (%s "
                   "without it), so that the noise below shows how much each "
                   "layer needs its rounding, not what rounding costs.",
                   a->limit == QK_LIMIT_TRAINING
                     ? "Training has not won back what quantization costs"
                     : "Quantization costs no measurable accuracy",
                   before, name, to, bare);
}

static int
training_text (const struct qk_analysis *a, const char *from, const char *to,
               char **out)
{
  char before[32];

  return asprintf (
    out,
    "Training, not quantization, limits the accuracy: the "
    "float network had %s %s before QAT and has %s with the "
    "weights of now, quantized or not (%s).",
    number (a, shown (a, QK_NET_ORIGINAL), before, sizeof before),
    a->score_name, from, to);
}

static int
nothing_text (const struct qk_analysis *a, const char *from, const char *to,
              char **out)
{
  return asprintf (
    out,
    "Quantization %s: %s %s in float, %s quantized (standard "
    "error %.*f%s).  Most of the noise left comes from %s.",
    open_question (a) ? "may cost accuracy, but the loss is "
                        "not beyond chance on these samples"
                      : "costs no measurable accuracy",
    a->score_name, from, to, a->score_spec.digits, drop_error (a, QK_NET_BOTH),
    a->score_spec.percent ? " points" : "", limit_text (louder (a)));
}

static int
cost_text (const struct qk_analysis *a, const char *from, const char *to,
           char **out)
{
  const int digits = a->score_spec.digits;
  char of[64];

  return asprintf (
    out,
    "Quantization costs %.*f %s (%s in float, %s quantized, standard error "
    "%.*f), and %s are the cause: weights alone lose %.*f (%.1f dB), "
    "activations alone %.*f (%.1f dB).",
    digits, drop (a, QK_NET_BOTH), unit (a, of, sizeof of), from, to, digits,
    drop_error (a, QK_NET_BOTH), limit_text (a->limit), digits,
    drop (a, QK_NET_WEIGHTS), a->net[QK_NET_WEIGHTS].subset.sqnr, digits,
    drop (a, QK_NET_ACTIVATIONS), a->net[QK_NET_ACTIVATIONS].subset.sqnr);
}

static int
relative_text (const struct qk_analysis *a, const char *to, char **out)
{
  return asprintf (out,
                   "Held against the float network of the same weights, %s of "
                   "the quantized one is %s.  Most of the noise comes from "
                   "%s.",
                   a->score_name, to, limit_text (a->limit));
}

static int
write_verdict (struct qk_analysis *a)
{
  char from[32], to[32];
  int n;

  number (a, shown (a, QK_NET_FLOAT), from, sizeof from);
  number (a, shown (a, QK_NET_BOTH), to, sizeof to);
  if (relative (a))
    n = relative_text (a, to, &a->verdict);
  else if (settled (a))
    n = settled_text (a, &a->verdict);
  else if (a->limit == QK_LIMIT_TRAINING)
    n = training_text (a, from, to, &a->verdict);
  else if (a->limit == QK_LIMIT_NOTHING)
    n = nothing_text (a, from, to, &a->verdict);
  else
    n = cost_text (a, from, to, &a->verdict);
  if (n < 0) {
    a->verdict = NULL;
    return qk_oom ("analyze");
  }
  return 0;
}

/* ---- what to do -------------------------------------------------------------*/

static int
advise_channels (struct qk_analysis *a)
{
  const struct qk_analyze_layer *worst = NULL;
  int i, n = 0, all = 0;

  for (i = 0; i < a->n; i++) {
    const struct qk_analyze_layer *l = &a->layer[i];

    if (!l->has_weight || l->per_channel)
      continue;
    all++;
    if (l->spare_bits < WIDE_SPREAD)
      continue;
    n++;
    if (worst == NULL || l->spare_bits > worst->spare_bits)
      worst = l;
  }
  if (worst == NULL)
    return 0;
  return advise (
    a,
    "Set weight.per_channel = yes in [qconfig]: in %d of %d "
    "layers with one scale for the whole weight, the middle "
    "channel uses less than half of the int8 range (in %s it loses "
    "%.1f bits).",
    n, all, worst->name, worst->spare_bits);
}

/* Channels with one huge weight and many tiny ones. */
static int
advise_vanished (struct qk_analysis *a)
{
  const struct qk_analyze_layer *worst = NULL;
  int i, n = 0;

  for (i = 0; i < a->n; i++) {
    const struct qk_analyze_layer *l = &a->layer[i];

    /* a scale chosen for the bias takes nothing from the sum */
    if (l->weight_bits < FULL_BITS || l->vanished <= l->raised)
      continue;
    n++;
    if (worst == NULL || l->vanished > worst->vanished)
      worst = l;
  }
  if (worst == NULL)
    return 0;
  return advise (a,
                 "In %d layer%s, channels have a few weights so large that "
                 "most others become 0 (%s: %lld of %lld channels): try the "
                 "observers mse or percentile for weights, the method "
                 "equalize, or leave %s in float.",
                 n, n == 1 ? "" : "s", worst->name,
                 (long long) worst->vanished, (long long) worst->channels,
                 n == 1 ? "it" : "them");
}

static int
advise_bits (struct qk_analysis *a, bool weights)
{
  double share = 0;
  int i, n = 0, low = 0;

  for (i = 0; i < a->n; i++) {
    const struct qk_analyze_layer *l = &a->layer[i];
    const int bits = weights ? l->weight_bits : l->value_bits;

    if (bits == 0 || bits >= 8)
      continue;
    low++;
    if (share < 0.5) {
      share += l->share;
      n++;
    }
  }
  if (low == 0)
    return 0;
  if (n == low || n > 8)
    return advise (a,
                   "Raise %s.bits in [qconfig]: %d layers have less than "
                   "8 bits.",
                   weights ? "weight" : "activation", low);
  return advise (a,
                 "Raise %s.bits to 8 in the first %d layers below that have "
                 "less (each in a section [qconfig NAME]): they make %.0f %% "
                 "of the noise.",
                 weights ? "weight" : "activation", n, 100 * share);
}

static int
advise_clipping (struct qk_analysis *a)
{
  const struct qk_analyze_layer *worst = NULL;
  int i, n = 0;

  for (i = 0; i < a->n; i++)
    if (a->layer[i].has_value && a->layer[i].clip > MUCH_CLIPPED) {
      n++;
      if (worst == NULL || a->layer[i].clip > worst->clip)
        worst = &a->layer[i];
    }
  if (worst == NULL)
    return advise (a,
                   "No range clips more than %.0f %% of its activations: if "
                   "outliers make the ranges too wide, try the observers "
                   "histogram, mse or percentile for activations.",
                   100 * MUCH_CLIPPED);
  return advise (a,
                 "%d range%s clip%s more than %.0f %% of the activations (%s: "
                 "%.1f %%): calibrate with more samples, or use the observer "
                 "minmax there.",
                 n, n == 1 ? "" : "s", n == 1 ? "s" : "", 100 * MUCH_CLIPPED,
                 worst->name, 100 * worst->clip);
}

static int
advise_float (struct qk_analysis *a)
{
  const struct qk_analyze_layer *l = &a->layer[0];
  int64_t macs = 0;
  int i;

  if (a->n == 0 || l->share < LARGE_SHARE || l->node < 0)
    return 0;
  for (i = 0; i < a->n; i++)
    macs += a->layer[i].macs;
  return advise (
    a,
    "Leave %s in float ([qconfig %s] quantize = no): it alone "
    "makes %.0f %% of the noise, for %.1f %% of the "
    "multiplications; without it the outputs have %.1f dB instead "
    "of %.1f.",
    l->name, l->name, 100 * l->share,
    macs > 0 ? 100 * (double) l->macs / (double) macs : 0, l->rest.sqnr,
    a->net[QK_NET_BOTH].subset.sqnr);
}

static int
advise_drift (struct qk_analysis *a)
{
  const struct qk_analyze_layer *worst = NULL;
  int i;

  for (i = 0; i < a->n; i++)
    if (a->layer[i].has_bn
        && (worst == NULL || a->layer[i].bn_mean > worst->bn_mean))
      worst = &a->layer[i];
  if (worst == NULL || worst->bn_mean < FAR_DRIFT)
    return 0;
  return advise (a,
                 "Batch-norm statistics of %s moved by %.2f standard "
                 "deviations since the float network: freeze them earlier "
                 "(qat.freeze_bn_after) or train with a lower rate.",
                 worst->name, worst->bn_mean);
}

static int
advise_int8 (struct qk_analysis *a)
{
  const struct qk_analyze_network *f = &a->net[QK_NET_BOTH];
  const struct qk_analyze_network *q = &a->net[QK_NET_INT8];
  bool same = true;
  int i;

  for (i = 0; i < a->n_scores; i++)
    same = same && !(f->scores.value[i] < q->scores.value[i])
           && !(f->scores.value[i] > q->scores.value[i]);
  if (same)
    return 0;
  return advise (a,
                 "The int8 network answers otherwise than the "
                 "fake-quantized one, which must not be: see qatkit verify.");
}

static int
advise_training (struct qk_analysis *a)
{
  if (a->limit == QK_LIMIT_TRAINING && settled (a))
    return advise (a, "Train longer, with a rate that ends near 0 (schedule "
                      "cosine) and the float network as teacher (a loss with "
                      "name = distillation), "
                      "or with more bits.");
  if (a->limit == QK_LIMIT_TRAINING)
    return advise (a, "Train with a lower rate, or for fewer epochs, or on "
                      "more samples.");
  if (!a->qat && a->limit != QK_LIMIT_NOTHING)
    return advise (a, "Train with quantization (qatkit qat): it mostly wins "
                      "back what post-training quantization loses.");
  if (a->qat && a->limit != QK_LIMIT_NOTHING)
    return advise (a, "Train longer, or with a learned step size "
                      "(weight.fakequant = lsq).");
  return 0;
}

/* What makes the noise of the halves that matter smaller. */
static int
advise_noise (struct qk_analysis *a, enum qk_analyze_limit cause)
{
  int r = 0;

  if (cause == QK_LIMIT_WEIGHTS || cause == QK_LIMIT_BOTH)
    if ((r = advise_channels (a)) == 0 && (r = advise_vanished (a)) == 0)
      r = advise_bits (a, true);
  if (r == 0 && (cause == QK_LIMIT_ACTIVATIONS || cause == QK_LIMIT_BOTH)
      && (r = advise_bits (a, false)) == 0)
    r = advise_clipping (a);
  return r < 0 ? r : advise_float (a);
}

int
qk_analyze_verdict (struct qk_analysis *a)
{
  int r;

  a->limit = find_limit (a);
  if ((r = write_verdict (a)) < 0 || (r = advise_int8 (a)) < 0)
    return r;
  if (open_question (a)) {
    r = advise (a, "Analyze more samples to be sure.  If the loss is real:");
    if (r == 0)
      r = advise_noise (a, louder (a));
  } else if (a->limit == QK_LIMIT_NOTHING)
    r = advise (a, "Nothing has to be done.");
  else if (a->limit != QK_LIMIT_TRAINING)
    r = advise_noise (a, a->limit);
  if (r < 0 || (r = advise_training (a)) < 0)
    return r;
  return advise_drift (a);
}
