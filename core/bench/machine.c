/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* machine.c: what the machine could do at best. */
#include "config.h"

#include <string.h>

#include "bench/infer.h"
#include "plugin/loader-priv.h"

double
qk_bench_float_peak (struct qk_context *ctx, const char *name)
{
  const struct qk_backend_class *b;
  const struct qk_class *c;
  struct qk_backend_caps caps;
  struct qk_config *cfg = NULL;
  double peak = 0;
  void *self;

  if (qk_context_class (ctx, QK_KIND_BACKEND, name, &c) < 0)
    return 0;
  b = (const struct qk_backend_class *) (const void *) c;
  if (b->peak == NULL || b->probe (&caps) < 0
      || qk_context_options (ctx, c, &cfg) < 0)
    return 0;
  if (b->create (cfg, 1, &self) == 0) {
    if (b->peak (self, QK_F32, &peak) < 0)
      peak = 0;
    b->destroy (self);
  }
  qk_config_free (cfg);
  return peak;
}

/* 128 MB are more than the last cache of most machines holds. */
#define PIECE ((size_t) 1 << 20)
#define PIECES 128
#define TRIES 5

double
qk_bench_bandwidth (int threads)
{
  const size_t size = PIECE * PIECES;
  char *from = qk_alloc (size), *to = qk_alloc (size);
  double best = 0, t;
  int i;

  (void) threads; /* without OpenMP there is one */
  if (from != NULL && to != NULL)
    for (int k = 0; k <= TRIES; k++) { /* the first touches the memory */
      t = qk_seconds ();
#pragma omp parallel for schedule(static) num_threads(threads)
      for (i = 0; i < PIECES; i++)
        memcpy (to + (size_t) i * PIECE, from + (size_t) i * PIECE, PIECE);
      t = qk_seconds () - t;
      if (k > 0 && 2 * (double) size / t > best)
        best = 2 * (double) size / t;
    }
  qk_free (from);
  qk_free (to);
  return best;
}
