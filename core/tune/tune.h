/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tune.h: searches settings with which an int8 network reaches an accuracy
 * goal. */
#ifndef QK_TUNE_TUNE_H
#define QK_TUNE_TUNE_H

#include "analyze/bits.h"
#include "tune/goal.h"
#include "run/run.h"

/* One way to quantize, and what came of it. */
struct qk_trial {
  char **set; /* "qconfig:weight.bits=4"; owned */
  int n_set;
  char *label;     /* in short, where the settings are long; NULL: they are
                      not; owned */
  bool qat;        /* trained with these settings, not only calibrated */
  int weight_bits; /* of the layers that are quantized */
  int n_float;     /* layers left in float to keep accuracy */
  struct qk_scores scores; /* of the int8 network */
  int64_t bytes;
  double cost; /* what is minimized, as solvers count it; else 0 */
  bool done, reached;
  bool remembered; /* from the journal of an earlier call */
};

struct qk_tuning {
  struct qk_objective *objective; /* of the float network's run; owned */
  struct qk_goal goal;            /* bound to it */
  const char *minimize; /* name of the cost; NULL: bits of single layers were
                           not searched */
  struct qk_bits_table *bits; /* what that was chosen from; NULL, or owned */
  struct qk_scores float_scores;
  struct qk_trial *trial; /* in the order they were made; owned */
  int n;
  int best;     /* index; the goal is reached if that trial reached it */
  char *config; /* INI text that repeats the best one; owned */
};

struct qk_tune_options {
  struct qk_settings *settings; /* what is given */
  struct qk_monitor *m;
  const char *goal; /* as the user writes it; NULL: the first score within half
                       a percent (point) of the float network's */
  int max_trials;
  const char *minimize; /* "bytes", "bitops" or "latency": give each layer its
                           bits, as cheap as the goal allows; NULL: search
                           settings for the whole network */
  bool overwrite;       /* even an unfinished run's files */
  bool resume; /* what the journal in the output folder has is not repeated */
};

/* Without minimize, in this order: the configuration as it is; weights per
 * channel and per tensor with each observer; with the best of these fewer bits
 * while the goal is reached, or, if it is not, training, then more and more of
 * the most sensitive layers in float.  Of the trials that reach the goal the best has the
 * fewest float layers, then the fewest bits, then the highest accuracy; if
 * none does it is the most accurate.  With minimize see bits.c; the best is then
 * the cheapest that reaches the goal.  Writes tune.jsonl (a line a trial) and
 * tuned.ini into the output folder.  *OUT belongs to the caller:
 * qk_tuning_free. */
int qk_tune (const struct qk_tune_options *opt, struct qk_tuning **out);
void qk_tuning_free (struct qk_tuning *t); /* accepts NULL */

/* The layers of T as an array of JSON; NULL when out of memory. */
struct json_t *qk_bits_to_json (const struct qk_bits_table *t);

/* The settings of a trial as one line, "qat" first if it was trained; to be
 * freed.  "as configured" without any. */
char *qk_trial_text (const struct qk_trial *t);

#endif /* QK_TUNE_TUNE_H */
