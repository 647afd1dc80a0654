/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-u8s8-c.c: depthwise convolution in portable C, 16 channels at
 * once. */
#include "config.h"

#include "int8gemm/kernels.h"

#include <qatkit/numeric.h>

#define CHANNELS 16

/* One output pixel of one block; X is the input column of tap 0.  With four
 * lanes the packed order of channels is their own. */
static void
pixel (const struct qk_dwconv_row *w, const struct qk_dwconv_block *b,
       int64_t x, int64_t c, const struct qk_output *o, uint8_t *out)
{
  uint32_t acc[CHANNELS];

  for (int i = 0; i < b->n; i++)
    acc[i] = (uint32_t) b->bias[i];
  for (int s = 0; s < w->kernel_w; s++, x += w->dilation)
    for (int r = 0; r < w->kernel_h; r++) {
      const bool inside = x >= 0 && x < w->width;
      const uint8_t *a = (inside ? w->row[r] + x * w->step[r] : w->pad) + c;
      int place;
      const int64_t step
        = qk_dwconv_step (w->kernel_h, w->kernel_w, r, s, &place);
      const int8_t *weight = b->weight + step * 4 * CHANNELS + place;

      for (int i = 0; i < b->n; i++)
        acc[i] += (uint32_t) (a[i] * weight[4 * i]);
    }
  for (int i = 0; i < b->n; i++)
    out[i] = (uint8_t) qk_requantize ((int32_t) acc[i], b->multiplier[i],
                                      o->zero_point, o->lo, o->hi);
}

QK_DWCONV_U8S8 (qk_dwconv_u8s8__c)
{
  for (int i = 0; i < w->blocks; i++) {
    const int64_t c = w->block[i].first;

    for (int64_t q = 0; q < w->q; q++)
      pixel (w, &w->block[i], q * w->stride - w->pad_left, c, o,
             out + q * o->pitch + c);
  }
}
