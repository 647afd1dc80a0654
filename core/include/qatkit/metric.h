/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metric.h: plugins that measure how good a network's outputs are. */
#ifndef QATKIT_METRIC_H
#define QATKIT_METRIC_H

#include "loss.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A number that a metric gives.  Goals, best-of, journal, tables, charts and
 * checkpoints know it by its name. */
struct qk_score_spec {
  const char *name;  /* "mae": letters, digits, '_' */
  const char *title; /* head of its column; NULL: not in tables */
  bool larger_is_better;
  bool percent; /* a share 0..1, shown and asked for in percent */
  int digits;   /* after the point, as shown */
};

#define QK_METRIC_MAX_SCORES 8

/* Outputs and references of a batch; borrowed for the call. */
struct qk_metric_io {
  int n_out, n_ref;
  const struct qk_tensor *out; /* f32, dims[0] samples */
  const struct qk_tensor *ref; /* targets, or f32 of the teacher */
};

/* Receives one line of an answer, best first: what is said (borrowed) and how
 * sure it is, 0..1 (NaN: not said). */
typedef int (*qk_answer_fn) (void *cookie, const char *text, double score);

#define QK_METRIC_MAX_COLUMNS 16

/* A table that a metric has besides its scores, out of the same sums.  Its rows
 * are the categories of the reference or, where that has none, what the last
 * axis of the output counts. */
struct qk_metric_table {
  int64_t (*rows) (void *self);
  /* *N <= QK_METRIC_MAX_COLUMNS; borrowed from self. */
  const struct qk_score_spec *(*columns) (void *self, int *n);
  /* A number for each column of ROW; NaN: not known. */
  void (*row) (void *self, const double *sums, int64_t row, double *cell);
  /* How often what is of ROW was taken for OTHER; NaN: not counted.
   * (optional; default: there is no such matrix) */
  double (*taken) (void *self, const double *sums, int64_t row, int64_t other);
};

/* What a metric has kept of all samples of an evaluation.  Borrowed. */
struct qk_metric_whole {
  int64_t n;            /* samples, of all processes together */
  const float *kept;    /* (n, kept), in the same order for all processes */
  int64_t first, count; /* those that this process adds to the sums for */
  int threads;          /* use up to so many (OpenMP) */
};

/* A metric is a sum over samples: it adds to an array of doubles, which the
 * library clears, keeps in checkpoints and adds up over processes.  One that
 * has to see all samples at once, as the nearest neighbour of each does, also
 * keeps numbers of each, and adds to the sums when it sees them together. */
struct qk_metric_class {
  struct qk_class cls;
  enum qk_reference reference;

  /* As in a loss; optional, both or none. */
  int (*create) (const struct qk_config *cfg, void **self);
  void (*destroy) (void *self); /* accepts NULL */

  /* As in a loss.  Called once, before the others. */
  int (*check) (void *self, const struct qk_tensor_spec *out, int n_out,
                const struct qk_tensor_spec *ref, int n_ref);

  /* The numbers it gives, best to be judged by first; borrowed from self.
   * *N <= QK_METRIC_MAX_SCORES. */
  const struct qk_score_spec *(*scores) (void *self, int *n);
  /* How many doubles it adds to. */
  size_t (*sums) (void *self);
  /* Add a batch.  One thread at a time for one array. */
  int (*update) (void *self, const struct qk_metric_io *io, double *sums);
  /* The scores of what was added for N > 0 samples. */
  void (*result) (void *self, const double *sums, int64_t n, double *score);

  /* Say in words what the outputs OUT of one sample mean; REF are the specs
   * given to check, for their categories.  At most MOST lines.
   * (optional; default: the outputs speak for themselves) */
  int (*answer) (void *self, const struct qk_tensor *out,
                 const struct qk_tensor_spec *ref, int most, qk_answer_fn fn,
                 void *cookie);

  /* Called after check.  (optional; default: it has none) */
  const struct qk_metric_table *table;

  /* For scores of all samples at once: how many floats are kept of each; KEEP
   * writes those of a batch, after update, to X (samples, kept); WHOLE adds to
   * the sums of this process, which are then added up, before result.  Only
   * evaluations keep anything: while a network changes from batch to batch
   * neither keep, whole nor result are called, and the scores are not known.
   * (optional, all or none; default: sums are enough) */
  size_t (*kept) (void *self);
  int (*keep) (void *self, const struct qk_metric_io *io, float *x);
  int (*whole) (void *self, const struct qk_metric_whole *all, double *sums);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_METRIC_H */
