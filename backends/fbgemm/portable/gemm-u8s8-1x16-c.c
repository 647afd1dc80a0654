/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-1x16-c.c: qk_gemm_u8s8 in portable C, a row at a time. */
#include "config.h"

#include "../kernels.h"

#include <qatkit/numeric.h>

#define NR 16

/* One step: four bytes of a row by the weights of N channels. */
static void
step (uint32_t *acc, const uint8_t *a, const int8_t *w, int n)
{
  for (int i = 0; i < n; i++, w += 4)
    acc[i] += (uint32_t) (a[0] * w[0] + a[1] * w[1] + a[2] * w[2]
                          + a[3] * w[3]);
}

QK_GEMM_U8S8 (qk_gemm_u8s8_1x16__c)
{
  const int nr = b->vectors * 4;
  uint8_t *y = out;

  for (int64_t i = 0; i < m; i++, a += lda, y += o->pitch) {
    uint32_t acc[NR];

    for (int j = 0; j < nr; j++)
      acc[j] = (uint32_t) b->bias[j];
    for (int64_t k = 0; k < steps; k++)
      step (acc, a + 4 * k, b->weight + 4 * k * nr, nr);
    for (int j = 0; j < b->n; j++)
      if (o->f32)
        ((float *) (void *) y)[j]
          = (float) (int32_t) acc[j] * b->multiplier[j];
      else
        y[j] = (uint8_t) qk_requantize ((int32_t) acc[j], b->multiplier[j],
                                        o->zero_point, o->lo, o->hi);
  }
}
