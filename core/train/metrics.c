/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metrics.c: top-1, top-5, ties and cross-entropy. */
#include "config.h"

#include <math.h>
#include <time.h>

#include "train/metrics.h"

int
qk_rank (const float *logits, int n, int label)
{
  const float x = logits[label];
  int i, rank = 0;

  for (i = 0; i < n; i++)
    rank += logits[i] > x || (logits[i] == x && i < label);
  return rank;
}

void
qk_top_k (const float *logits, int n, int k, int *index)
{
  int i, j, filled = 0;

  for (i = 0; i < n; i++) {
    if (filled == k && !(logits[i] > logits[index[k - 1]]))
      continue;
    j = filled < k ? filled++ : k - 1;
    for (; j > 0 && logits[i] > logits[index[j - 1]]; j--)
      index[j] = index[j - 1];
    index[j] = i;
  }
}

void
qk_softmax (const float *logits, int n, float *p)
{
  double sum = 0;
  float max = logits[0];
  int i;

  for (i = 1; i < n; i++)
    max = logits[i] > max ? logits[i] : max;
  for (i = 0; i < n; i++)
    sum += exp ((double) logits[i] - max);
  for (i = 0; i < n; i++)
    p[i] = (float) (exp ((double) logits[i] - max) / sum);
}

static double
cross_entropy (const float *logits, int n, int label)
{
  double sum = 0;
  float max = logits[0];
  int i;

  for (i = 1; i < n; i++)
    max = logits[i] > max ? logits[i] : max;
  for (i = 0; i < n; i++)
    sum += exp ((double) logits[i] - max);
  return log (sum) - ((double) logits[label] - max);
}

void
qk_metrics_add (struct qk_metrics *m, const float *logits, int64_t n,
                int classes, const int32_t *labels)
{
  const int k = classes < 6 ? classes : 6;
  int64_t i;

  for (i = 0; i < n; i++) {
    const float *x = logits + i * classes;
    const int rank = qk_rank (x, classes, labels[i]);
    int best[6];

    qk_top_k (x, classes, k, best);
    m->top1 += rank < 1;
    m->top5 += rank < 5;
    m->ties1 += k > 1 && x[best[0]] == x[best[1]];
    m->ties5 += k > 5 && x[best[4]] == x[best[5]];
    m->loss += cross_entropy (x, classes, labels[i]);
  }
  m->n += n;
}

static double
share (double sum, int64_t n)
{
  return n > 0 ? sum / (double) n : 0.0;
}

int
qk_metrics_join (struct qk_metrics *m, struct qk_comm *comm)
{
  double sum[6] = { (double) m->n,     (double) m->top1,  (double) m->top5,
                    (double) m->ties1, (double) m->ties5, m->loss };
  double most[2];
  int r;

  if (qk_comm_size (comm) == 1)
    return 0;
  r = qk_comm_reduce (comm, QK_COMM_SUM, QK_COMM_F64, sum, 6);
  if (r < 0)
    return r;
  m->n = (int64_t) sum[0];
  m->top1 = (int64_t) sum[1];
  m->top5 = (int64_t) sum[2];
  m->ties1 = (int64_t) sum[3];
  m->ties5 = (int64_t) sum[4];
  m->loss = sum[5];
  most[0] = m->seconds;
  most[1] = m->waited;
  r = qk_comm_reduce (comm, QK_COMM_MAX, QK_COMM_F64, most, 2);
  m->seconds = most[0];
  m->waited = most[1];
  return r;
}

double
qk_metrics_top1 (const struct qk_metrics *m)
{
  return share ((double) m->top1, m->n);
}

double
qk_metrics_top5 (const struct qk_metrics *m)
{
  return share ((double) m->top5, m->n);
}

double
qk_metrics_loss (const struct qk_metrics *m)
{
  return share (m->loss, m->n);
}

double
qk_metrics_speed (const struct qk_metrics *m)
{
  return m->seconds > 0 ? (double) m->n / m->seconds : 0.0;
}

double
qk_seconds (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}
