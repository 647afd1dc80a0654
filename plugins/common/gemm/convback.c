/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convback.c: gradients of a float convolution through a backend, and the
 * order of activations that Winograd wants. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "gemm/convback.h"
#include "gemm/winograd.h"
#include "multiversion.h"

enum { BLOCK = QK_CONVBACK_BLOCK };

void
qk_convback_block (const float *x, int64_t row0, int64_t rows, int64_t hw,
                   int64_t c, float *blocked)
{
  for (int64_t r = row0; r < row0 + rows; r++, x += c)
    for (int64_t b = 0; b < c / BLOCK; b++)
      memcpy (blocked + ((r / hw * (c / BLOCK) + b) * hw + r % hw) * BLOCK,
              x + b * BLOCK, BLOCK * sizeof *x);
}

QK_LOOP (, qk_convback_block_u8,
         (const uint8_t *x, int64_t row0, int64_t rows, int64_t hw, int64_t c,
          float z, float *blocked),
         (x, row0, rows, hw, c, z, blocked))
{
  for (int64_t r = row0; r < row0 + rows; r++, x += c)
    for (int64_t b = 0; b < c / BLOCK; b++) {
      float *restrict out
        = blocked + ((r / hw * (c / BLOCK) + b) * hw + r % hw) * BLOCK;

      QK_SIMD
      for (int i = 0; i < BLOCK; i++)
        out[i] = (float) x[b * BLOCK + i] - z;
    }
}

void
qk_convback_unblock (const float *blocked, int64_t row0, int64_t rows,
                     int64_t hw, int64_t c, float *x)
{
  for (int64_t r = row0; r < row0 + rows; r++, x += c)
    for (int64_t b = 0; b < c / BLOCK; b++)
      memcpy (x + b * BLOCK,
              blocked + ((r / hw * (c / BLOCK) + b) * hw + r % hw) * BLOCK,
              BLOCK * sizeof *x);
}

bool
qk_convback_usable (const struct qk_backend_class *lib,
                    const struct qk_convback *cb)
{
  return winograd_suits (lib, cb)
         || (lib && lib->convback_usable && lib->convback_scratch
             && lib->convback_data && lib->convback_weights
             && lib->convback_usable (cb));
}

size_t
qk_convback_scratch (const struct qk_backend_class *lib,
                     const struct qk_convback *cb, int threads)
{
  return winograd_suits (lib, cb) ? winograd_scratch (cb, threads)
                                  : lib->convback_scratch (cb, threads);
}

/* SCRATCH, or as much as is needed in *MORE, for free. */
static void *
enough (const struct qk_convback *cb, int threads, void *scratch, size_t size,
        void **more)
{
  const size_t need = winograd_scratch (cb, threads);

  *more = need > size ? aligned_alloc (64, (need + 63) / 64 * 64) : NULL;
  return need > size ? *more : scratch;
}

bool
qk_convback_data (const struct qk_backend_class *lib,
                  const struct qk_convback *cb, int threads, const float *d,
                  const float *w, float *dx, void *scratch, size_t size)
{
  void *more, *room;
  bool ok;

  if (!winograd_suits (lib, cb))
    return lib->convback_data (cb, threads, d, w, dx, scratch, size);
  room = enough (cb, threads, scratch, size, &more);
  ok = room != NULL && winograd_data (lib, cb, threads, d, w, dx, room);
  free (more);
  return ok;
}

bool
qk_convback_weights (const struct qk_backend_class *lib,
                     const struct qk_convback *cb, int threads, const float *d,
                     const float *x, float *dw, void *scratch, size_t size)
{
  void *more, *room;
  bool ok;

  if (!winograd_suits (lib, cb))
    return lib->convback_weights (cb, threads, d, x, dw, scratch, size);
  room = enough (cb, threads, scratch, size, &more);
  ok = room != NULL && winograd_weights (lib, cb, threads, d, x, dw, room);
  free (more);
  return ok;
}
