/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* search.c: which settings are tried to reach the goal, and in which order. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/observer.h>

#include "analyze/analyze.h"
#include "plugin/loader-priv.h"
#include "tune/priv.h"

/* The most layers that are left in float. */
#define MOST_FLOAT 16

/* Layers that may be, most sensitive first. */
struct ranking {
  char *name[MOST_FLOAT]; /* owned */
  int n;
};

static int
try_observers (struct qk_tuner *u)
{
  static const char *const per_channel[] = { "yes", "no" };
  const struct qk_class **observer;
  struct qk_trial t, base;
  bool reached;
  size_t i, j;
  int r = qk_context_ranked (u->opt->settings->ctx, QK_KIND_OBSERVER,
                             QK_FOR_PTQ_ACTIVATION, &observer);

  if (r < 0)
    return r;

  for (i = 0; r == 0 && i < 2; i++) {
    r = qk_trial_make (&base, NULL, "qconfig:weight.per_channel=%s",
                       per_channel[i]);
    base.weight_bits = u->t->trial[0].weight_bits;
    for (j = 0; r == 0 && observer[j] != NULL; j++)
      if ((r = qk_trial_make (&t, &base, "ptq:activation.observer=%s",
                              observer[j]->name))
          == 0)
        r = qk_tune_try (u, &t, &reached);
    qk_trial_clear (&base);
  }
  free (observer);
  return r;
}

/* While the goal is reached, with fewer bits. */
static int
try_bits (struct qk_tuner *u)
{
  static const int bits[] = { 7, 6, 5, 4 };
  bool reached = true;
  struct qk_trial t;
  size_t i;
  int r;

  for (i = 0; reached && i < sizeof bits / sizeof *bits; i++) {
    const struct qk_trial *best = &u->t->trial[u->t->best];

    if (bits[i] >= best->weight_bits)
      continue;
    if ((r = qk_trial_make (&t, best, "qconfig:weight.bits=%d", bits[i])) < 0)
      return r;
    t.weight_bits = bits[i];
    if ((r = qk_tune_try (u, &t, &reached)) < 0)
      return r;
  }
  return 0;
}

/* The layers by what they cost, in the network of the best trial. */
static int
rank_layers (struct qk_tuner *u, struct ranking *rank)
{
  struct qk_analyze_options opt = {
    .m = u->opt->m,
    .subject = "tune",
    .samples = qk_config_int (u->opt->settings->tune, "samples"),
    .batches = 1,
  };
  struct qk_analysis *a = NULL;
  struct qk_settings *settings;
  int i, r;

  if ((r = qk_trial_settings (u, &u->t->trial[u->t->best], NULL, &settings))
      < 0)
    return r;
  opt.settings = settings;
  r = qk_analyze (&opt, &a);
  for (i = 0; r == 0 && i < a->n && rank->n < MOST_FLOAT; i++)
    if (a->layer[i].node >= 0
        && (rank->name[rank->n++] = strdup (a->layer[i].name)) == NULL)
      r = qk_oom ("tune");
  qk_analysis_free (a);
  qk_settings_free (settings);
  return r;
}

/* The K most sensitive layers in float. */
static int
try_fallback (struct qk_tuner *u, const struct ranking *rank,
              const struct qk_trial *base, int k, bool *reached)
{
  struct qk_trial t;
  char *text;
  int i, r = qk_trial_make (&t, base, NULL);

  for (i = 0; r == 0 && i < k; i++) {
    if (asprintf (&text, "qconfig %s:quantize=no", rank->name[i]) < 0) {
      r = qk_oom ("tune");
      break;
    }
    r = qk_trial_add (&t, text);
    free (text);
  }
  if (r < 0) {
    qk_trial_clear (&t);
    return r;
  }
  t.n_float = k;
  return qk_tune_try (u, &t, reached);
}

/* As few layers in float as reach the goal: double their number until it is,
 * then halve the gap. */
static int
try_ranked (struct qk_tuner *u, struct ranking *rank)
{
  struct qk_trial base;
  bool reached = false;
  int low = 0, high = 0, k, r;

  if ((r = rank_layers (u, rank)) < 0
      || (r = qk_trial_make (&base, &u->t->trial[u->t->best], NULL)) < 0)
    return r;
  for (k = 1; r == 0 && !reached && k <= rank->n; k *= 2) {
    low = high;
    high = k;
    r = try_fallback (u, rank, &base, k, &reached);
  }
  while (r == 0 && reached && high - low > 1) {
    const int middle = (low + high) / 2;
    bool enough;

    if ((r = try_fallback (u, rank, &base, middle, &enough)) == 0) {
      high = enough ? middle : high;
      low = enough ? low : middle;
    }
  }
  qk_trial_clear (&base);
  return r;
}

static int
try_fallbacks (struct qk_tuner *u)
{
  struct ranking rank = { .n = 0 };
  const int r = try_ranked (u, &rank);

  for (int i = 0; i < rank.n; i++)
    free (rank.name[i]);
  return r;
}

/* Train with the settings that lost least. */
static int
try_training (struct qk_tuner *u)
{
  struct qk_trial t;
  bool reached;
  int i, best = 0, r;

  for (i = 1; i < u->t->n; i++)
    if (u->t->trial[i].n_float == 0
        && qk_trial_better (u->t, &u->t->trial[i], &u->t->trial[best]))
      best = i;
  if ((r = qk_trial_make (&t, &u->t->trial[best], NULL)) < 0)
    return r;
  t.qat = true;
  return qk_tune_try (u, &t, &reached);
}

static bool
goal_reached (const struct qk_tuner *u)
{
  return u->t->n > 0 && u->t->trial[u->t->best].reached;
}

int
qk_tune_settings (struct qk_tuner *u)
{
  const char *bits;
  struct qk_trial t;
  bool reached;
  int r;

  if ((r = qk_trial_make (&t, NULL, NULL)) < 0)
    return r;
  bits = qk_ini_get (u->opt->settings->ini, "qconfig", "weight.bits");
  t.weight_bits = bits != NULL ? atoi (bits) : 8;
  if ((r = qk_tune_try (u, &t, &reached)) < 0 || (r = try_observers (u)) < 0)
    return r;
  if (goal_reached (u))
    return try_bits (u);
  if (qk_config_int (u->opt->settings->qat, "epochs") > 0
      && (r = try_training (u)) < 0)
    return r;
  return goal_reached (u) ? 0 : try_fallbacks (u);
}
