/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.h: settings at work on their data: samples, the network, what it is
 * trained for and measured by, and evaluating and calibrating with all that.
 * A run has a session; so have commands that only look. */
#ifndef QK_RUN_SESSION_H
#define QK_RUN_SESSION_H

#include "data/batches.h"
#include "exec/exec.h"
#include "passes/passes.h"
#include "settings/settings.h"
#include "train/stage.h"

/* Whether the float graph G can be prepared for PTQ and for QAT, losses and
 * metrics are for it and data like INFO, and no section, key or pattern of the
 * configuration is left that nobody knows. */
int qk_settings_check (struct qk_settings *settings, const struct qk_graph *g,
                       const struct qk_dataset_info *info);

/* What becomes of [model] weights, if that is given. */
enum qk_weights_use {
  QK_WEIGHTS_NONE, /* not read */
  QK_WEIGHTS_ALL,  /* every parameter but those of weights.skip */
  QK_WEIGHTS_TRAIN /* the same for a network that will be trained: its last
                      layer may have another number of outputs */
};

/* The float network for samples as INFO says, with its weights. */
int qk_settings_build (struct qk_settings *settings,
                       const struct qk_dataset_info *info,
                       enum qk_weights_use use, struct qk_graph **out);

/* ---- weights.c ------------------------------------------------------------ */

/* Fill the parameters of G from [model] weights, and mark those that start
 * anew: those of weights.skip and, if the network TRAINS, those of a last layer
 * that has other outputs.  One line says so. */
int qk_settings_start_weights (struct qk_settings *settings,
                               struct qk_graph *g, bool trains);

/* Fill all parameters of G from PATH, in [model] format. */
int qk_settings_load_weights (struct qk_settings *settings, struct qk_graph *g,
                              const char *path);

/* Fuse and prepare a float graph for QAT, or for PTQ; of lists of bits the last
 * numbers hold, those of the network that is deployed. */
int qk_settings_prepare (struct qk_settings *settings,
                         const struct qk_graph *g, bool ptq,
                         struct qk_graph **out);

/* The same for QAT, with the bits of PHASE, see settings.h. */
int qk_settings_prepare_phase (struct qk_settings *settings,
                               const struct qk_graph *g, int phase,
                               struct qk_graph **out);

/* Whether what products take shall be quantized apart from what other nodes take
 * of the same, as a preset of few bits says: the network is split where it is
 * built. */
bool qk_settings_splits (const struct qk_settings *settings);

/* Give the quantizers of G, prepared for QAT, the bits of PHASE, see settings.h;
 * what they have seen and learned stays, see qk_quantizer_set_bits. */
int qk_settings_change_bits (struct qk_settings *settings, struct qk_graph *g,
                             int phase);

/* One split of the dataset, opened and batched. */
struct qk_data {
  const struct qk_dataset_class *cls;
  void *self;
  struct qk_dataset_info info;
  struct qk_batches *batches;
  int64_t batch;
};

enum qk_data_use {
  QK_DATA_TRAIN,     /* train split, augmented, shuffled */
  QK_DATA_CALIBRATE, /* train split, shuffled, prepared as for evaluation */
  QK_DATA_EVAL,      /* val split, in order */
  QK_DATA_SUBSET /* val split, shuffled: its first samples are the subset */
};

int qk_data_open (struct qk_settings *settings, enum qk_data_use use,
                  struct qk_data **out);
void qk_data_close (struct qk_data *d); /* accepts NULL */

/* Let D speak of its targets as a model with the N targets TARGET (borrowed as
 * long as D) does: categories are found by name. */
int qk_data_match (struct qk_data *d, const struct qk_tensor_spec *target,
                   int n);

/* Whether training samples are mixed with one another. */
bool qk_settings_mixes (const struct qk_settings *settings);

/* What the network G is trained for and measured by on data like INFO.  G and
 * INFO's specs are borrowed and must outlive it.  Free with
 * qk_objective_free. */
int qk_settings_objective (struct qk_settings *settings,
                           const struct qk_graph *g,
                           const struct qk_dataset_info *info,
                           struct qk_objective **out);

/* Executor options for this settings. */
void qk_settings_exec_options (const struct qk_settings *settings,
                               int64_t batch, bool train,
                               struct qk_exec_options *out);

struct qk_session {
  struct qk_settings *settings; /* borrowed */
  struct qk_monitor *m;         /* borrowed */
  /* owned, as is all below; NULL until it is needed */
  struct qk_data *train, *calibrate, *eval;
  struct qk_objective *objective;
  struct qk_graph *teacher; /* the float network, where losses or metrics
                               compare with it */
  /* of struct qk_subject, for evaluations; borrowed */
  int (*take) (void *cookie, const struct qk_exec *ex, int64_t n);
  void *cookie;
  struct qk_tally *tally; /* gets the sums of the network evaluated last;
                             borrowed, NULL: nobody wants them */
};

/* What evaluating a network gave. */
struct qk_result {
  bool valid;
  struct qk_scores scores;
  int64_t bytes; /* size of the network's numbers */
};

void qk_session_clear (struct qk_session *s); /* accepts zeros */

/* Open the splits eval and train; both must mean the same by their targets.
 * What the dataset found in the training samples becomes part of the
 * configuration that models carry. */
int qk_session_open_splits (struct qk_session *s);

/* Keep a copy of the float network G, with the weights of [qat] teacher if that
 * names some, if the objective needs a teacher. */
int qk_session_keep_teacher (struct qk_session *s, const struct qk_graph *g);

/* Evaluate G (float, prepared or int8) on the split eval, and tell the
 * reporters; EPOCH of QAT, -1: none. */
int qk_session_evaluate (struct qk_session *s, struct qk_graph *g,
                         const char *label, int64_t epoch,
                         struct qk_result *out);

/* The float graph G, prepared and calibrated as [ptq] says, its methods
 * included.  Opens the split calibrate. */
int qk_session_calibrate (struct qk_session *s, const struct qk_graph *g,
                          struct qk_graph **out);
/* The float graph G with the weights that methods of [ptq] leave, changed before
 * calibration and after, for QAT to begin with; *CALIBRATED, its prepared form, has
 * the grids. */
int qk_session_improve (struct qk_session *s, const struct qk_graph *g,
                        struct qk_graph **calibrated, struct qk_graph **out);

/* Post-training quantization of the float graph G into an int8 one; where the
 * configuration quantizes weights only, which has no int8 form, *OUT is the
 * prepared graph and *ANALYSIS true. */
int qk_session_ptq (struct qk_session *s, const struct qk_graph *g,
                    struct qk_graph **out, bool *analysis);

#endif /* QK_RUN_SESSION_H */
