/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-u8s8-c.c: depthwise convolution in portable C. */
#include "config.h"

#include "../kernels.h"

#include <qatkit/numeric.h>

/* One output pixel of one block; COLUMN are the pointers of its tap 0. */
static void
pixel (const struct q8_dwconv_row *w, const struct q8_dwconv_block *b,
       const uint8_t *const *column, const struct q8_output *o, uint8_t *out)
{
  const int16_t *weight = b->weight;
  uint32_t acc[Q8_NR];

  for (int i = 0; i < b->n; i++)
    acc[i] = (uint32_t) b->bias[i];
  for (int s = 0; s < w->kernel_w; s++, column += w->dilation * w->kernel_h)
    for (int r = 0; r < w->kernel_h; r++, weight += Q8_NR) {
      const uint8_t *a = column[r] + b->first;

      for (int i = 0; i < b->n; i++)
        acc[i] += (uint32_t) ((int16_t) a[i] * weight[i]);
    }
  for (int i = 0; i < b->n; i++)
    out[i] = (uint8_t) qk_requantize ((int32_t) acc[i], b->multiplier[i],
                                      o->zero_point, o->lo, o->hi);
}

QK_DWCONV_U8S8 (qk_dwconv_u8s8__c)
{
  for (int i = 0; i < w->blocks; i++)
    for (int64_t q = 0; q < w->q; q++)
      pixel (w, &w->block[i], w->column + q * w->stride * w->kernel_h, o,
             out + q * o->pitch + w->block[i].first);
}
