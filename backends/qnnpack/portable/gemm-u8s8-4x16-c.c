/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-4x16-c.c: qk_gemm_u8s8 in portable C; compilers make vectors of
 * the inner loop. */
#include "config.h"

#include "../kernels.h"

#include <qatkit/numeric.h>

#define MR 4

/* acc += sum over the KC bytes of a row, whose first cell is A, of A * W */
static void
add_row (uint32_t *restrict acc, const uint8_t *restrict a, int64_t kc,
         const int8_t *restrict w)
{
  for (int64_t i = 0; i < kc; i++, w += Q8_NR) {
    const int16_t x = a[i / Q8_CELL * MR * Q8_CELL + i % Q8_CELL];

    for (int j = 0; j < Q8_NR; j++)
      acc[j] += (uint32_t) (x * (int16_t) w[j]);
  }
}

QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__c)
{
  const int64_t tile = (kc + Q8_CELL - 1) / Q8_CELL * MR * Q8_CELL;

  for (int64_t i = 0; i < rows; i++, out += o->pitch) {
    uint32_t acc[Q8_NR];

    for (int j = 0; j < Q8_NR; j++)
      acc[j] = (uint32_t) b->bias[j];
    add_row (acc, panel + i / MR * tile + i % MR * Q8_CELL, kc, b->weight);
    for (int j = 0; j < b->n; j++)
      if (o->f32)
        ((float *) (void *) out)[j]
          = (float) (int32_t) acc[j] * b->multiplier[j];
      else
        out[j] = (uint8_t) qk_requantize ((int32_t) acc[j], b->multiplier[j],
                                          o->zero_point, o->lo, o->hi);
  }
}
