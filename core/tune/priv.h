/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* priv.h: between the files of this folder. */
#ifndef QK_TUNE_PRIV_H
#define QK_TUNE_PRIV_H

#include "tune/journal.h"
#include "tune/tune.h"

struct qk_tuner {
  const struct qk_tune_options *opt;
  struct qk_run *run;       /* float network and data of the configuration */
  struct qk_graph *float_g; /* the float network, as trained or loaded */
  struct qk_journal *journal;
  char *text;    /* of the configuration, as INI */
  char *weights; /* the float weights, if this run trained them */
  struct qk_tuning *t;
};

/* ---- trial.c ---------------------------------------------------------------- */

/* A trial with the settings of FROM (may be NULL) and one more, as printf
 * makes it from FMT (NULL: none), which takes the place of another of the same
 * key. */
int qk_trial_make (struct qk_trial *t, const struct qk_trial *from,
                   const char *fmt, ...) QK_PRINTF (3, 4);
/* One setting more, in place of another of the same key. */
int qk_trial_add (struct qk_trial *t, const char *text);
void qk_trial_clear (struct qk_trial *t);

/* Whether A is better than B, the goal in mind. */
bool qk_trial_better (const struct qk_tuning *all, const struct qk_trial *a,
                      const struct qk_trial *b);

/* The configuration with a trial's settings; *OUT belongs to the caller. */
int qk_trial_ini (struct qk_tuner *u, const struct qk_trial *t,
                  struct qk_ini **out);
/* The same, checked; OUTPUT (may be NULL) is the folder of its run. */
int qk_trial_settings (struct qk_tuner *u, const struct qk_trial *t,
                       const char *output, struct qk_settings **out);

/* Make the trial T, which the tuning takes over, unless it was made before or
 * there were enough.
 * *REACHED: whether it reaches the goal. */
int qk_tune_try (struct qk_tuner *u, struct qk_trial *t, bool *reached);

/* ---- search.c, bits.c --------------------------------------------------------- */

/* Settings that reach the goal. */
int qk_tune_settings (struct qk_tuner *u);
/* Bits for each layer, as cheap as reaches the goal. */
int qk_tune_bits (struct qk_tuner *u);
/* Whether what is said of that search is right, before anything is trained. */
int qk_tune_check_bits (struct qk_tuner *u);

#endif /* QK_TUNE_PRIV_H */
