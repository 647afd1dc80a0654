/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd-u8s8-c.c: qk_winograd_u8s8 in portable C. */
#include "config.h"

#include "int8gemm/kernels.h"

#include <string.h>

#include <qatkit/numeric.h>

#define LANES 4
#define PITCH QK_WINOGRAD_PITCH (4, LANES)

/* B^T, whole and SHORT. */
static const int bt[2][6][6] = {
  { { 4, 0, -5, 0, 1, 0 },
    { 0, -4, -4, 1, 1, 0 },
    { 0, 4, -4, -1, 1, 0 },
    { 0, -2, -1, 2, 1, 0 },
    { 0, 2, -1, -2, 1, 0 },
    { 0, 4, 0, -5, 0, 1 } },
  { { 4, 0, -4, 0 },
    { 0, -3, -3, 0 },
    { 0, 3, -3, 0 },
    { 0 },
    { 0 },
    { 0, -2, 0, 2 } },
};

/* A^T, likewise; without a sign, for sums are modulo 2^32. */
static const uint32_t back[2][4][6] = {
  { { 1, 1, 1, 1, 1, 0 },
    { 0, 1, -1u, 2, -2u, 0 },
    { 0, 1, 1, 4, 4, 0 },
    { 0, 1, -1u, 8, -8u, 2 } },
  { { 1, 1, 1, 0, 0, 0 }, { 0, 1, -1u, 0, 0, 1 } },
};

/* All numbers of a tile's channel. */
static void
transform_input (bool low, bool narrow, const int d[6][6], int out[6][6])
{
  int t[6][6] = { 0 };

  for (int i = 0; i < 6; i++)
    for (int j = 0; j < 6; j++)
      for (int k = 0; k < 6; k++)
        t[i][j] += bt[low][i][k] * d[k][j];
  memset (out, 0, sizeof t);
  for (int i = 0; i < 6; i++)
    for (int j = 0; j < 6; j++)
      for (int k = 0; k < 6; k++)
        out[i][j] += t[i][k] * bt[narrow][j][k];
}

QK_WINOGRAD_INPUT (qk_winograd_input_u8s8__c)
{
  const int64_t whole = (channels + 2 * LANES - 1) / (2 * LANES) * 2 * LANES;

  for (int64_t t = 0; t < tiles; t++, at += 36, v += lda)
    for (int64_t c = 0; c < whole; c++) {
      int d[6][6], out[6][6];

      for (int i = 0; i < 36; i++)
        d[i / 6][i % 6] = c < channels ? at[i][c] : 0;
      transform_input (low, narrow, d, out);
      for (int i = 0; i < 36; i++)
        v[i * pitch + c] = (int16_t) out[i / 6][i % 6];
    }
}

QK_WINOGRAD_PRODUCT (qk_winograd_product_u8s8__c)
{
  const int nr = vectors * LANES;

  for (int64_t t = 0; t < m; t++, v += lda, out += nr) {
    memset (out, 0, (size_t) nr * sizeof *out);
    for (int64_t s = 0; s < steps; s++)
      for (int n = 0; n < nr; n++) {
        const int16_t *w = u + (s * nr + n) * 2;

        out[n] = (int32_t) ((uint32_t) out[n] + (uint32_t) (v[2 * s] * w[0])
                            + (uint32_t) (v[2 * s + 1] * w[1]));
      }
  }
}

/* 576 times the sums of a tile's channel. */
static void
transform_output (bool low, bool narrow, const uint32_t m[6][6],
                  uint32_t out[4][4])
{
  uint32_t t[4][6] = { 0 };

  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 6; j++)
      for (int k = 0; k < 6; k++)
        t[i][j] += back[low][i][k] * m[k][j];
  memset (out, 0, 16 * sizeof (uint32_t));
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++)
      for (int k = 0; k < 6; k++)
        out[i][j] += t[i][k] * back[narrow][j][k];
}

QK_WINOGRAD_OUTPUT (qk_winograd_output_u8s8__c)
{
  for (int64_t t = 0; t < tiles; t++, to += 16, m += b->vectors * LANES)
    for (int n = 0; n < b->n; n++) {
      uint32_t d[6][6], out[4][4];

      for (int i = 0; i < 36; i++)
        d[i / 6][i % 6] = (uint32_t) m[i * PITCH + n];
      transform_output (low, narrow, d, out);
      for (int i = 0; i < (low ? 8 : 16); i++) {
        const int32_t y
          = (int32_t) (out[i / 4][i % 4] * QK_WINOGRAD_NINTH) >> 6;

        if (narrow && i % 4 > 1)
          continue;
        to[i][channel + n] = (uint8_t) qk_requantize (
          (int32_t) ((uint32_t) y + (uint32_t) b->bias[n]), b->multiplier[n],
          o->zero_point, o->lo, o->hi);
      }
    }
}
