/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-1x16-c.c: qk_gemm_u8s8 in portable C, a row at a time. */
#include "config.h"

#include "int8gemm/kernels.h"

#include <qatkit/numeric.h>

#define NR 16

/* One step: four bytes of a row by the weights of N channels. */
static void
step (uint32_t *acc, const uint8_t *a, const int8_t *w, int n)
{
  for (int i = 0; i < n; i++, w += 4)
    acc[i]
      += (uint32_t) (a[0] * w[0] + a[1] * w[1] + a[2] * w[2] + a[3] * w[3]);
}

static void
start (uint32_t *acc, const struct qk_gemm_block *b)
{
  for (int j = 0; j < b->vectors * 4; j++)
    acc[j] = (uint32_t) b->bias[j];
}

static void
add_steps (uint32_t *acc, const uint8_t *a, int64_t steps, const int8_t *w,
           int nr)
{
  for (int64_t k = 0; k < steps; k++)
    step (acc, a + 4 * k, w + 4 * k * nr, nr);
}

static void
store (const uint32_t *acc, const struct qk_gemm_block *b,
       const struct qk_output *o, uint8_t *y)
{
  for (int j = 0; j < b->n; j++)
    if (o->store == QK_STORE_I32)
      ((int32_t *) (void *) y)[j] = (int32_t) acc[j];
    else if (o->store == QK_STORE_F32)
      ((float *) (void *) y)[j] = (float) (int32_t) acc[j] * b->multiplier[j];
    else
      y[j] = (uint8_t) qk_requantize ((int32_t) acc[j], b->multiplier[j],
                                      o->zero_point, o->lo, o->hi);
}

QK_GEMM_U8S8 (qk_gemm_u8s8_1x16__c)
{
  uint8_t *y = out;

  for (int64_t i = 0; i < m; i++, a += lda, y += o->pitch) {
    uint32_t acc[NR];

    start (acc, b);
    add_steps (acc, a, steps, b->weight, b->vectors * 4);
    store (acc, b, o, y);
  }
}

/* Two steps of a row by weights of N channels that share bytes; LAST: of the
 * first of them alone. */
static void
halves (uint32_t *acc, const uint8_t *a, const int8_t *w, int n, bool last)
{
  for (int i = 0; i < 4 * n; i++) {
    const int both = (uint8_t) w[i];

    acc[i / 4] += (uint32_t) (a[i % 4] * ((both & 15) - 8));
    if (!last)
      acc[i / 4] += (uint32_t) (a[4 + i % 4] * ((both >> 4) - 8));
  }
}

QK_GEMM_U8S8 (qk_gemm_u8s4_1x16__c)
{
  const int nr = b->vectors * 4;
  uint8_t *y = out;

  for (int64_t i = 0; i < m; i++, a += lda, y += o->pitch) {
    uint32_t acc[NR];

    start (acc, b);
    for (int64_t k = 0; k < steps; k += 2)
      halves (acc, a + 4 * k, b->weight + 2 * k * nr, nr, k + 1 == steps);
    store (acc, b, o, y);
  }
}

QK_GEMM_TAPS_U8S8 (qk_gemm_taps_u8s8_1x16__c)
{
  const int nr = b->vectors * 4;

  for (int64_t i = 0; i < m; i++) {
    uint8_t *y = (uint8_t *) out + t->place[i] * o->pitch;
    uint32_t acc[NR];

    start (acc, b);
    for (int j = 0; j < t->taps; j++)
      add_steps (acc, t->at[j * t->pitch + i], steps,
                 b->weight + j * steps * 4 * nr, nr);
    store (acc, b, o, y);
  }
}

QK_GEMM_LINES_U8S8 (qk_gemm_lines_u8s8_1x16__c)
{
  const int nr = b->vectors * 4;
  uint8_t *y = out;

  for (int64_t i = 0; i < m; i++, y += o->pitch) {
    uint32_t acc[NR];

    start (acc, b);
    for (int j = 0; j < l->lines; j++)
      add_steps (acc, l->a + i * l->lda + j * l->pitch, steps,
                 b->weight + j * steps * 4 * nr, nr);
    store (acc, b, o, y);
  }
}
