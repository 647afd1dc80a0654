/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* portable.c: the kernels without weights in portable C. */
#include "config.h"

#include "pointwise.h"

#include <qatkit/numeric.h>

static int
clamp (int x, int lo, int hi)
{
  x = x > lo ? x : lo;
  return x < hi ? x : hi;
}

/* The loop of a function of two tensors. */
#define BINARY(name, function)                                                \
  QK_BINARY_U8 (name)                                                         \
  {                                                                           \
    const struct qk_qparams qa = { .scale = g->sa, .zero_point = g->za };     \
    const struct qk_qparams qb = { .scale = g->sb, .zero_point = g->zb };     \
                                                                              \
    for (int64_t i = 0; i < n; i++)                                           \
      out[i] = (uint8_t) qk_binary_quantized (function, a[i], &qa, b[i], &qb, \
                                              g->inv, g->zp, g->lo, g->hi);   \
  }

BINARY (qk_add_u8__c, QK_ADD)
BINARY (qk_sub_u8__c, QK_SUB)
BINARY (qk_mul_u8__c, QK_MUL)
BINARY (qk_div_u8__c, QK_DIV)
BINARY (qk_max_u8__c, QK_MAX)
BINARY (qk_min_u8__c, QK_MIN)

QK_REGRID_U8 (qk_regrid_u8__c)
{
  const struct qk_qparams qa = { .scale = g->sa, .zero_point = g->za };

  for (int64_t i = 0; i < n; i++)
    out[i] = (uint8_t) qk_regrid (a[i], &qa, g->inv, g->zp, g->lo, g->hi);
}

QK_QUANTIZE_F32 (qk_quantize_f32__c)
{
  for (int64_t i = 0; i < n; i++)
    out[i] = (uint8_t) qk_quantize (a[i], g->inv, g->zp, g->lo, g->hi);
}

QK_DEQUANTIZE_U8 (qk_dequantize_u8__c)
{
  for (int64_t i = 0; i < n; i++)
    out[i] = qk_dequantize (a[i], g->sa, g->za);
}

QK_CLAMP_U8 (qk_clamp_u8__c)
{
  for (int64_t i = 0; i < n; i++)
    out[i] = (uint8_t) clamp (a[i], lo, hi);
}

QK_TABLE_U8 (qk_table_u8__c)
{
  for (int64_t i = 0; i < n; i++)
    out[i] = table[a[i]];
}

QK_MAXPOOL_U8 (qk_maxpool_u8__c)
{
  for (int64_t c = 0; c < channels; c++) {
    int best = 0;

    for (int r = 0; r < w->rows; r++)
      for (int s = 0; s < w->cols; s++) {
        const int x = w->x[r * w->row_pitch + s * w->col_pitch + c];

        best = x > best ? x : best;
      }
    out[c] = (uint8_t) clamp (best, lo, hi);
  }
}

QK_AVGPOOL_U8 (qk_avgpool_u8__c)
{
  for (int64_t c = 0; c < channels; c++) {
    int32_t sum = 0;

    for (int r = 0; r < w->rows; r++)
      for (int s = 0; s < w->cols; s++)
        sum += w->x[r * w->row_pitch + s * w->col_pitch + c] - zp;
    out[c] = (uint8_t) qk_mean_quantized (sum, w->count, zp, lo, hi);
  }
}

const struct pointwise_extras pointwise_no_extras;
const struct pointwise_kernels pointwise_portable = POINTWISE_KERNELS (c);
