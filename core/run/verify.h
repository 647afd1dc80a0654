/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify.h: the proof that what was trained is what is deployed, bit for
 * bit. */
#ifndef QK_RUN_VERIFY_H
#define QK_RUN_VERIFY_H

#include "run/session.h"
#include "train/stage.h"

/* What was compared at one value: an input, a constant, or what a node
 * computes. */
struct qk_verify_node {
  const char *name; /* borrowed from the prepared graph */
  const char *layer;
  bool int8;
  int64_t bytes, differing;
};

struct qk_verify {
  int n; /* values */
  struct qk_verify_node *node;
  int64_t samples, bytes, differing;
  /* Bytes of the outputs that differ where the int8 network runs as it does in
   * use: values share memory, and a batch may go in slices. */
  int64_t outputs_differing;
  int fallbacks; /* nodes the backend left to the fallback */
  bool exact;    /* the backend promises that nothing differs */
};

/* Run PREPARED (fake-quantized, evaluation) and INT8 (on BACKEND) side by
 * side over the samples of DATA (LIMIT batches, 0 = all) and count the
 * bytes in which the outputs of their nodes differ, and those of the network
 * from what INT8 gives where it need not keep every value.  The two graphs must
 * have the same nodes: -EINVAL.  Free with qk_verify_free. */
int qk_verify_run (struct qk_settings *settings, struct qk_graph *prepared,
                   struct qk_graph *int8, const char *backend,
                   struct qk_data *data, int64_t limit, struct qk_monitor *m,
                   struct qk_verify **out);
void qk_verify_free (struct qk_verify *v); /* accepts NULL */

#endif /* QK_RUN_VERIFY_H */
