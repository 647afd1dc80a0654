/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metrics.h: accuracy of a network, added up batch by batch. */
#ifndef QK_TRAIN_METRICS_H
#define QK_TRAIN_METRICS_H

#include <stdint.h>

#include <qatkit/comm.h>

struct qk_metrics {
  int64_t n;          /* samples */
  int64_t top1, top5; /* correct ones */
  int64_t ties1;      /* samples whose best logit two classes share */
  int64_t ties5;      /* … whose fifth and sixth logits are equal */
  double loss;        /* sum of the cross-entropies */
  double seconds;     /* in the network, without reading samples */
  double waited;      /* seconds for samples that were not yet there */
};

/* Rank of class LABEL among the N logits, 0 = best.  Of equal logits the
 * one with the lower number comes first. */
int qk_rank (const float *logits, int n, int label);

/* Add N samples of CLASSES logits each.  With fewer than 6 classes top-5
 * counts every sample. */
void qk_metrics_add (struct qk_metrics *m, const float *logits, int64_t n,
                     int classes, const int32_t *labels);

/* What the processes of COMM have seen together. */
int qk_metrics_join (struct qk_metrics *m, struct qk_comm *comm);

/* Fractions 0..1, and means; 0 when there are no samples. */
double qk_metrics_top1 (const struct qk_metrics *m);
double qk_metrics_top5 (const struct qk_metrics *m);
double qk_metrics_loss (const struct qk_metrics *m);
double qk_metrics_speed (const struct qk_metrics *m); /* samples a second */

/* Numbers of the K largest of N logits, best first, into INDEX. */
void qk_top_k (const float *logits, int n, int k, int *index);

/* Probabilities from N logits. */
void qk_softmax (const float *logits, int n, float *p);

/* Seconds of a clock that only goes forward. */
double qk_seconds (void);

#endif /* QK_TRAIN_METRICS_H */
