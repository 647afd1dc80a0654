/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peak.c: measures what a core can do at best at this CPU level. */
#include "config.h"

#include "fbgemm.h"

#include <time.h>

#define ROUNDS 20000 /* some hundred microseconds */
#define TRIES 40     /* the best counts: others may use the core */

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

int
fbgemm_peak (void *self, enum qk_dtype dtype, double *macs_per_second)
{
  const struct fbgemm *f = self;
  const bool f32 = dtype == QK_F32;

  *macs_per_second = 0;
  if (f->kernels.peak == NULL)
    return 0;
  for (int i = 0; i < TRIES; i++) {
    const double start = now ();
    const int64_t macs = f->kernels.peak (ROUNDS, f32);
    const double rate = (double) macs / (now () - start);

    if (rate > *macs_per_second)
      *macs_per_second = rate;
  }
  return 0;
}
