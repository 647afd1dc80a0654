/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* objective.h: what a network is trained for (losses) and measured by
 * (metrics), and the sums and numbers that come of it.
 *
 * Losses and metrics compare outputs of the network with references: first
 * the targets of the data, then the outputs of a teacher.  Losses with a teacher
 * may compare values of inner nodes too, which are outputs of executors then. */
#ifndef QK_OBJECTIVE_H
#define QK_OBJECTIVE_H

#include <qatkit/metric.h>

#include "comm/comm.h"
#include "data/batches.h"
#include "exec/exec.h"

#define QK_OBJECTIVE_LOSSES 16
#define QK_OBJECTIVE_METRICS 16
#define QK_MAX_SCORES 32
#define QK_OBJECTIVE_INNER 64
#define QK_OBJECTIVE_OUTPUTS (QK_GRAPH_MAX_INPUTS + QK_OBJECTIVE_INNER)
#define QK_MAX_REFERENCES (2 * QK_DATASET_MAX_TENSORS + QK_OBJECTIVE_OUTPUTS)
/* Of an executor: those with targets twice where samples are mixed. */
#define QK_OBJECTIVE_AT_WORK (2 * QK_OBJECTIVE_LOSSES)

/* The stages of training in which a loss counts. */
enum qk_during { QK_DURING_TRAIN = 1, QK_DURING_QAT = 2 };

/* Which outputs and references are compared. */
struct qk_comparison {
  int n_out, n_ref;
  int out[QK_GRAPH_MAX_INPUTS], ref[QK_GRAPH_MAX_INPUTS];
};

struct qk_objective_loss {
  char *name; /* owned; for messages */
  const struct qk_loss_class *cls;
  void *self; /* owned */
  double weight;
  unsigned during; /* enum qk_during */
  struct qk_comparison c;
  int other[QK_GRAPH_MAX_INPUTS]; /* references of samples mixed in */
};

struct qk_objective_metric {
  const struct qk_metric_class *cls;
  void *self; /* owned */
  struct qk_comparison c;
  int first, n_scores; /* among the objective's */
  size_t at, n_sums;   /* among a tally's sums */
  size_t kept;         /* floats it keeps of each sample, 0: none */
};

/* A number that networks are judged by. */
struct qk_score {
  char *name;  /* "mae", "boxes.mae"; owned */
  char *title; /* "boxes mae"; NULL: not in tables; owned */
  struct qk_score_spec spec;
};

struct qk_objective {
  int n_outputs, n_targets; /* outputs of the graph */
  int n_inner;              /* values of inner nodes, after these */
  /* names borrowed from the graph, those of inner nodes owned */
  struct qk_tensor_spec output[QK_OBJECTIVE_OUTPUTS];
  const char *inner[QK_OBJECTIVE_INNER]; /* the names of these */
  const struct qk_tensor_spec *target;   /* borrowed from the dataset */
  int n_losses, n_metrics, n_scores;
  struct qk_objective_loss loss[QK_OBJECTIVE_LOSSES];
  struct qk_objective_metric metric[QK_OBJECTIVE_METRICS];
  struct qk_score score[QK_MAX_SCORES];
  size_t n_sums;
};

/* Without losses and metrics; G and TARGET are borrowed and must outlive it.
 * Free with qk_objective_free. */
int qk_objective_new (const struct qk_graph *g,
                      const struct qk_tensor_spec *target, int n_targets,
                      struct qk_objective **out);
void qk_objective_free (struct qk_objective *o); /* accepts NULL */

/* The number among the outputs of the value of node NAME, of SHAPE; added where it
 * is not there yet. */
int qk_objective_inner (struct qk_objective *o, const char *name,
                        const struct qk_shape *shape);

/* Let an executor of the network, or of its teacher, give all outputs that O
 * compares; OPT borrows from O. */
void qk_objective_give (const struct qk_objective *o,
                        struct qk_exec_options *opt);

/* Add a loss or metric.  C names outputs and references; the class must accept
 * them.  NAME: of a loss in messages; in front of a metric's scores, "": as
 * they are. */
int qk_objective_add_loss (struct qk_objective *o,
                           const struct qk_loss_class *cls,
                           const struct qk_config *cfg, const char *name,
                           double weight, unsigned during,
                           const struct qk_comparison *c);
int qk_objective_add_metric (struct qk_objective *o,
                             const struct qk_metric_class *cls,
                             const struct qk_config *cfg, const char *name,
                             const struct qk_comparison *c);

/* The spec of a reference. */
const struct qk_tensor_spec *
qk_objective_reference (const struct qk_objective *o, int ref);

/* Whether a loss of DURING needs the outputs of a teacher, or (0) a metric. */
bool qk_objective_needs_teacher (const struct qk_objective *o,
                                 unsigned during);

/* The losses that count during DURING, for an executor; as long as O.  MIXED:
 * those with targets once for a sample's own and once for those of what is
 * mixed in.  Returns how many; OUT has room for QK_OBJECTIVE_AT_WORK. */
int qk_objective_losses (const struct qk_objective *o, unsigned during,
                         bool mixed, struct qk_exec_loss *out);

/* The references of a batch: its targets, and the outputs that TEACHER (may be
 * NULL) gave last.  REF has room for QK_MAX_REFERENCES. */
void qk_objective_references (const struct qk_objective *o,
                              const struct qk_batch *batch,
                              const struct qk_exec *teacher,
                              struct qk_tensor *ref);
/* Add those of a training batch that may be mixed: the targets of what was
 * mixed in, or its own again. */
void qk_objective_others (const struct qk_objective *o,
                          const struct qk_batch *batch, struct qk_tensor *ref);

/* ---- sums over samples ------------------------------------------------ */

/* What a metric has kept of the samples so far. */
struct qk_kept {
  float *x;       /* (n, kept); owned */
  size_t n, room; /* samples */
};

struct qk_tally {
  int64_t n;            /* samples */
  double loss;          /* sum over samples; NaN: nobody could tell */
  double *sums;         /* of the metrics; owned */
  struct qk_kept *kept; /* by metric; NULL: nothing is kept; owned */
  bool teacher;         /* metrics that need one were added to */
  double seconds;       /* in the network, without reading samples */
  double waited;        /* seconds for samples that were not yet there */
};

/* WHOLE: of the samples of an evaluation, so that metrics may keep what they
 * have to see of all at once. */
int qk_tally_init (struct qk_tally *t, const struct qk_objective *o,
                   bool whole);
void qk_tally_reset (struct qk_tally *t, const struct qk_objective *o);
void qk_tally_clear (struct qk_tally *t); /* accepts zeros */

/* Add the N samples that EX gave last; REF as from qk_objective_references,
 * TEACHER: whether it has those of a teacher.  LOSS is their mean. */
int qk_tally_add (struct qk_tally *t, const struct qk_objective *o,
                  const struct qk_exec *ex, const struct qk_tensor *ref,
                  bool teacher, int64_t n, double loss);

/* The weighted mean of the losses that count DURING, those that need a
 * teacher only with one; NaN if there are none.  Also of int8 networks. */
int qk_objective_loss_of (const struct qk_objective *o, unsigned during,
                          const struct qk_exec *ex,
                          const struct qk_tensor *ref, bool teacher,
                          int threads, double *loss);

/* What the processes of COMM have seen together.  Of an evaluation once, at its
 * end, also where there is one process; THREADS for what was kept. */
int qk_tally_join (struct qk_tally *t, const struct qk_objective *o,
                   struct qk_comm *comm, int threads);

/* Whether T knows what metric M of O has to say. */
bool qk_tally_knows (const struct qk_tally *t, const struct qk_objective *o,
                     int m);

/* ---- numbers ------------------------------------------------------------ */

struct qk_scores {
  int64_t n; /* samples */
  double loss;
  double value[QK_MAX_SCORES]; /* by the objective's scores; NaN: not known */
  double seconds, waited;
};

void qk_tally_scores (const struct qk_tally *t, const struct qk_objective *o,
                      struct qk_scores *out);
double qk_scores_speed (const struct qk_scores *s); /* samples a second */

/* The number of the score NAME, QK_SCORE_LOSS for "loss"; -EINVAL naming those
 * there are. */
#define QK_SCORE_LOSS QK_MAX_SCORES
int qk_objective_score (const struct qk_objective *o, const char *name);
/* The score to judge by where nobody says: the first, else the loss. */
int qk_objective_first_score (const struct qk_objective *o);
const char *qk_score_name (const struct qk_objective *o, int score);
const struct qk_score_spec *qk_score_spec (const struct qk_objective *o,
                                           int score);
double qk_scores_get (const struct qk_scores *s, int score);
/* "97.30" into BUF as tables show VALUE, in percent where it is one. */
const char *qk_score_print (const struct qk_score_spec *spec, double value,
                            char *buf, size_t size);
/* The heads of the columns that scores have in tables, in their order: the loss
 * where there are no scores.  TITLE has room for QK_MAX_SCORES + 1. */
int qk_score_titles (const struct qk_objective *o, const char **title);
/* Whether A is better than B by SCORE; whatever is known is better than what
 * is not. */
bool qk_score_better (const struct qk_objective *o, int score,
                      const struct qk_scores *a, const struct qk_scores *b);

/* Seconds of a clock that only goes forward. */
double qk_seconds (void);

#endif /* QK_OBJECTIVE_H */
