/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* task.h: one layer whose weights shall be rounded well. */
#ifndef ADAROUND_TASK_H
#define ADAROUND_TASK_H

#include <stdint.h>

#include "ptqlayer/ptqlayer.h"

struct adaround_options {
  int64_t samples, batches;
  int iterations, rows;
  double rate, strength, warm;
};

/* Choose for every weight w of L between floor (w / s) and the next integer, into
 * Q (channels x depth).  *BEFORE and *AFTER: mean squared errors of the
 * outputs with the nearest integers and with the chosen ones; where these are
 * not better, the nearest are chosen.  Returns how many are not the nearest,
 * or a negative errno value. */
int64_t adaround_solve (const struct ptqlayer *l,
                        const struct adaround_options *opt, uint64_t seed,
                        float *q, double *before, double *after);

#endif /* ADAROUND_TASK_H */
