/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptq-priv.h: the network that methods of post-training quantization see. */
#ifndef QK_PTQ_PTQ_PRIV_H
#define QK_PTQ_PTQ_PRIV_H

#include <qatkit/ptq.h>

#include "exec/exec.h"
#include "train/stage.h"

/* The inputs of a batch of n samples. */
struct qk_ptq_kept {
  int64_t n;
  void *input[QK_DATASET_MAX_TENSORS]; /* owned */
};

struct qk_ptq {
  struct qk_graph *real;      /* float, fused; owned */
  struct qk_graph *quantized; /* prepared; borrowed; NULL before calibration */
  struct qk_batches *batches; /* of calibration; borrowed */
  int64_t limit;              /* of them that may be used */
  int64_t batch;              /* samples of one */
  int threads;
  uint64_t seed;
  struct qk_monitor *m; /* borrowed */

  struct qk_exec *real_ex, *quantized_ex; /* owned; made when needed */
  struct qk_op op;                        /* of qk_ptq_op; arrays owned */
  struct qk_ptq_kept *kept;               /* owned: n_kept batches */
  int64_t n_kept;
  const char *shown; /* what the progress bar shows */
};

/* A copy of the float graph G to work on.  The other members are the
 * caller's to fill. */
int qk_ptq_begin (struct qk_ptq *p, const struct qk_graph *g);
void qk_ptq_end (struct qk_ptq *p);

/* Make the executors that there can be. */
int qk_ptq_open (struct qk_ptq *p);
/* Keep the inputs of the first WANTED batches, or as many as there are. */
int qk_ptq_keep (struct qk_ptq *p, int64_t wanted);

/* After calibration: the noise in the outputs of the quantized network, as a
 * share of what the float network REFERENCE gives on at most BATCHES of the
 * calibration batches. */
int qk_ptq_noise (struct qk_ptq *p, struct qk_graph *reference,
                  int64_t batches, double *out);

#endif /* QK_PTQ_PTQ_PRIV_H */
