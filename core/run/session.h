/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.h: a configuration at work on its data: what networks are evaluated
 * and calibrated with.  A run has one; so have commands that only look. */
#ifndef QK_SESSION_H
#define QK_SESSION_H

#include "settings/settings.h"

struct qk_session {
  struct qk_settings *settings; /* borrowed */
  struct qk_monitor *m;         /* borrowed */
  /* owned, as is all below; NULL until it is needed */
  struct qk_data *train, *calibrate, *eval;
  struct qk_objective *objective;
  struct qk_graph *teacher; /* the float network, where losses or metrics
                               compare with it */
};

/* What evaluating a network gave. */
struct qk_result {
  bool valid;
  struct qk_scores scores;
  int64_t bytes; /* size of the network's numbers */
};

void qk_session_clear (struct qk_session *s); /* accepts zeros */

/* Open the splits eval and train; both must mean the same by their targets. */
int qk_session_open_splits (struct qk_session *s);

/* Keep a copy of the float network G if the objective needs a teacher. */
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

/* Post-training quantization of the float graph G into an int8 one; where the
 * configuration quantizes weights only, which has no int8 form, *OUT is the
 * prepared graph and *ANALYSIS true. */
int qk_session_ptq (struct qk_session *s, const struct qk_graph *g,
                    struct qk_graph **out, bool *analysis);

#endif /* QK_SESSION_H */
