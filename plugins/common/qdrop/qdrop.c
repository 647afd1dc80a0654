/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qdrop.c: activations of which some elements, by chance, are fake-quantized. */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "multiversion.h"
#include "qdrop/qdrop.h"

/* Elements of a block, and lanes of a sum, so that every CPU level adds in the
 * same order. */
#define BLOCK 4096
#define LANES 16

/* A grid without its zero point. */
struct grid {
  float step, inv, lo, hi;
};

static struct grid
grid_of (const struct qk_qparams *q)
{
  return (struct grid){ q->scale, 1.0f / q->scale,
                        (float) (q->qmin - q->zero_point),
                        (float) (q->qmax - q->zero_point) };
}

/* Random bytes become whether an element is put on the grid. */
QK_LOOP (static, decide, (uint8_t * on, size_t n, uint32_t dropped),
         (on, n, dropped))
{
  QK_SIMD
  for (size_t i = 0; i < n; i++)
    on[i] = on[i] >= dropped;
}

/* Which of N elements are, when DROPPED of 256 are not. */
static void
choose (struct qk_rng *rng, uint32_t dropped, size_t n, uint8_t *on)
{
  if (dropped == 0) {
    memset (on, 1, n);
    return;
  }
  qk_rng_bytes (rng, on, n);
  decide (on, n, dropped);
}

QK_LOOP (static, put,
         (const float *restrict x, const uint8_t *restrict on, size_t n,
          const struct grid *g, float *restrict y),
         (x, on, n, g, y))
{
  const struct grid q = *g;

  QK_SIMD
  for (size_t i = 0; i < n; i++) {
    float r = qk_rne (x[i] * q.inv);

    r = r > q.lo ? r : q.lo;
    r = r < q.hi ? r : q.hi;
    y[i] = on[i] ? r * q.step : x[i];
  }
}

void
qdrop_forward (const struct qk_qparams *q, uint32_t dropped, const float *x,
               size_t n, struct qk_rng *rng, uint8_t *on, float *y)
{
  const struct grid g = grid_of (q);

  choose (rng, dropped, n, on);
  put (x, on, n, &g, y);
}

/* dx of an element, and what it adds to ds. */
static inline float
back_element (const struct grid *q, float x, bool on, float dy, float *sum)
{
  const float v = x * q->inv, r = qk_rne (v);
  const float by = r < q->lo ? q->lo : r > q->hi ? q->hi : r - v;
  const bool inside = (r >= q->lo) & (r <= q->hi);

  *sum += on ? dy * by : 0.0f;
  return (!on | inside) ? dy : 0.0f;
}

/* dx of N elements, and the sum of what they add to ds. */
QK_LOOP_VALUE (static, double, back,
               (const float *x, const uint8_t *on, const float *dy, size_t n,
                const struct grid *g, float *dx),
               (x, on, dy, n, g, dx))
{
  const struct grid q = *g;
  float sum[LANES] = { 0 };
  double all = 0.0;
  size_t i = 0;

  for (; i + LANES <= n; i += LANES) {
    QK_SIMD
    for (size_t j = 0; j < LANES; j++)
      dx[i + j]
        = back_element (&q, x[i + j], on[i + j] != 0, dy[i + j], &sum[j]);
  }
  for (size_t j = 0; i < n; i++, j++)
    dx[i] = back_element (&q, x[i], on[i] != 0, dy[i], &sum[j]);
  for (int j = 0; j < LANES; j++)
    all += (double) sum[j];
  return all;
}

double
qdrop_backward (const struct qk_qparams *q, const float *x, const uint8_t *on,
                const float *dy, size_t n, float *dx)
{
  const struct grid g = grid_of (q);
  double ds = 0.0;

  for (size_t i = 0; i < n; i += BLOCK)
    ds += back (x + i, on + i, dy + i, n - i < BLOCK ? n - i : BLOCK, &g,
                dx + i);
  return ds;
}
