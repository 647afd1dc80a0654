/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* task.h: one layer whose weights shall be rounded well. */
#ifndef ADAROUND_TASK_H
#define ADAROUND_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include <qatkit/backend.h>

struct adaround_options {
  int64_t samples, batches;
  int iterations, rows;
  double rate, strength, warm;
};

/* y (rows,K) = x (rows, groups * depth) w (K, depth)^T + bias, group by
 * group; all arrays are owned. */
struct adaround_task {
  int64_t channels, depth, groups, n; /* n samples */
  float lo, hi;                       /* the clamp behind, of y */
  int threads;
  const struct qk_backend_class *float_backend; /* or NULL */
  uint64_t seed;
  float *x;      /* n x (groups * depth), of the quantized network */
  float *target; /* n x channels, of the float one, clamped */
  float *bias;   /* channels */
  float *w;      /* channels x depth, to be rounded */
  float *scale;  /* channels */
  float qmin, qmax;
};

/* Choose for every weight w between floor (w / s) and the next integer, into
 * Q (channels x depth).  *BEFORE and *AFTER: mean squared errors of the
 * outputs with the nearest integers and with the chosen ones; where these are
 * not better, the nearest are chosen.  Returns how many are not the nearest,
 * or a negative errno value. */
int64_t adaround_solve (const struct adaround_task *t,
                        const struct adaround_options *opt, float *q,
                        double *before, double *after);

/* y as above for ROWS rows, clamped if CLAMP. */
void adaround_product (const struct adaround_task *t, const float *x,
                       int64_t rows, const float *w, bool clamp, float *y);

#endif /* ADAROUND_TASK_H */
