/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* walk-priv.h: what a walk through both networks holds. */
#ifndef QK_PTQ_WALK_PRIV_H
#define QK_PTQ_WALK_PRIV_H

#include "ptq/ptq-priv.h"

/* A value of one network, for all samples. */
struct qk_held {
  struct qk_tensor t; /* type, shape of a sample or batch, grid; no data */
  void **data;        /* by batch; NULL: not held */
  bool borrowed;      /* what the elements of data point to */
};

struct qk_ptq_walk {
  struct qk_ptq *p; /* borrowed */
  int64_t samples, batches;
  int first, last;                  /* the block: first .. last - 1 */
  bool ran;                         /* in the quantized network */
  int *reader;                      /* owned; by value: the last node */
  struct qk_held *real, *quantized; /* owned; by value */
};

/* Whether value V is an input of the block, or an output. */
bool qk_walk_takes (const struct qk_ptq_walk *w, int v);
bool qk_walk_gives (const struct qk_ptq_walk *w, int v);

/* Where sample SAMPLE is in H. */
const void *qk_held_sample (const struct qk_ptq_walk *w,
                            const struct qk_held *h, int64_t sample);
/* N elements FROM there in float. */
void qk_held_read (const struct qk_held *h, const void *from, size_t n,
                   float *x);

#endif /* QK_PTQ_WALK_PRIV_H */
