/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quant_golden.h: written by quant_golden.py (PyTorch 1.13.0a0); do not edit. */
#ifndef QUANT_GOLDEN_H
#define QUANT_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

struct golden_batch {
  size_t n;
  float scale, offset; /* for golden_fill */
};

/* Bits of floats: per batch and channel min, max, scale; and zero_points. */
struct golden_observer {
  const char *name, *options;
  int weight, symmetric, qmin, qmax, channels, batches;
  const struct golden_batch *batch;
  const uint32_t *min, *max, *scale;
  const int32_t *zero_point;
  const uint32_t *histogram; /* FNV-1a of each batch's, word by word */
};

static inline uint32_t
golden_hash (uint32_t v)
{
  v ^= v >> 16;
  v *= 0x7feb352du;
  v ^= v >> 15;
  v *= 0x846ca68bu;
  v ^= v >> 16;
  return v;
}

/* Bell-shaped numbers, the same in quant_golden.py. */
static inline void
golden_fill (float *x, size_t n, uint32_t seed, float scale, float offset)
{
  for (size_t i = 0; i < n; i++) {
    float u[4];

    for (uint32_t k = 0; k < 4; k++)
      u[k] = (float) (golden_hash ((uint32_t) i * 4 + k + seed * 1000003u)
                      >> 8)
             * 0x1p-24f;
    x[i] = (((u[0] + u[1]) + (u[2] + u[3])) - 2.0f) * scale + offset;
  }
}

static const struct golden_batch golden_0_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_0_min[4] = {
  0xbfb68ff4u, 0xc035a6eau, 0xc035a6eau, 0xc10473b6u,
};
static const uint32_t golden_0_max[4] = {
  0x400ab77fu, 0x40458bd3u, 0x40458bd3u, 0x414ab4e5u,
};
static const uint32_t golden_0_scale[4] = {
  0x3c66e65fu, 0x3cbe57b6u, 0x3cbe57b6u, 0x3da83c8bu,
};
static const int32_t golden_0_zp[4] = {
  101, 122, 122, 101,
};
static const struct golden_batch golden_1_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_1_min[3] = {
  0xbdbaf451u, 0xbde3773du, 0xbde3773du,
};
static const uint32_t golden_1_max[3] = {
  0x3d9499cbu, 0x3e071cdfu, 0x3e071cdfu,
};
static const uint32_t golden_1_scale[3] = {
  0x3aa91941u, 0x3aface1au, 0x3aface1au,
};
static const int32_t golden_1_zp[3] = {
  71, 58, 58,
};
static const struct golden_batch golden_2_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_2_min[4] = {
  0xbfc8faaeu, 0xc0497e90u, 0xc0497e90u, 0xc101fbf4u,
};
static const uint32_t golden_2_max[4] = {
  0x3ff71e2cu, 0x403b4ec2u, 0x403b4ec2u, 0x414d5da6u,
};
static const uint32_t golden_2_scale[4] = {
  0x3c781642u, 0x3cca48d9u, 0x3cca48d9u, 0x3dce2bd2u,
};
static const int32_t golden_2_zp[4] = {
  0, 0, 0, 0,
};
static const struct golden_batch golden_3_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_3_min[3] = {
  0xbd9dd5abu, 0xbde94429u, 0xbde94429u,
};
static const uint32_t golden_3_max[3] = {
  0x3da24d4au, 0x3df22233u, 0x3df22233u,
};
static const uint32_t golden_3_scale[3] = {
  0x3c2d1f3eu, 0x3c81234eu, 0x3c81234eu,
};
static const int32_t golden_3_zp[3] = {
  0, 0, 0,
};
static const struct golden_batch golden_4_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_4_min[4] = {
  0xbfb60e1eu, 0xbfb7c8f3u, 0xbfb8768au, 0xbfc13281u,
};
static const uint32_t golden_4_max[4] = {
  0x3ffee4a0u, 0x400022c5u, 0x3fff460fu, 0x4006bffeu,
};
static const uint32_t golden_4_scale[4] = {
  0x3cdc31c3u, 0x3cddc2c4u, 0x3cdd997fu, 0x3ce92b95u,
};
static const int32_t golden_4_zp[4] = {
  53, 53, 53, 53,
};
static const struct golden_batch golden_5_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_5_min[3] = {
  0xbd9da70au, 0xbdb914adu, 0xbd9596fbu,
};
static const uint32_t golden_5_max[3] = {
  0x3d9ddf9bu, 0x3dc43dc0u, 0x3d9b9e93u,
};
static const uint32_t golden_5_scale[3] = {
  0x3a1e7e19u, 0x3a4502c3u, 0x3a1c3aceu,
};
static const int32_t golden_5_zp[3] = {
  0, 0, 0,
};
static const struct golden_batch golden_6_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_6_min[18] = {
  0xbd8260b3u, 0xbd7ce275u, 0xbd858c6bu, 0xbd85e753u, 0xbd8e7103u, 0xbd926b4bu,
  0xbd9f0b74u, 0xbdc16c37u, 0xbdb53b08u, 0xbdbec561u, 0xbda05e8fu, 0xbdb9872bu,
  0xbd9f0b74u, 0xbdc16c37u, 0xbdb53b08u, 0xbdbec561u, 0xbda05e8fu, 0xbdb9872bu,
};
static const uint32_t golden_6_max[18] = {
  0x3d7ed59au, 0x3d8c2a1au, 0x3d968df7u, 0x3d709727u, 0x3d7fb2c0u, 0x3db172e0u,
  0x3dee9a28u, 0x3de9980cu, 0x3dfc3723u, 0x3e0219b2u, 0x3e0069edu, 0x3dce1694u,
  0x3dee9a28u, 0x3de9980cu, 0x3dfc3723u, 0x3e0219b2u, 0x3e0069edu, 0x3dce1694u,
};
static const uint32_t golden_6_scale[18] = {
  0x3a02e397u, 0x3a0cb6d1u, 0x3a17251cu, 0x3a066dc1u, 0x3a0f0003u, 0x3a322505u,
  0x3a6f89b2u, 0x3a6a828fu, 0x3a7d3457u, 0x3a829c4eu, 0x3a80ead8u, 0x3a4ee579u,
  0x3a6f89b2u, 0x3a6a828fu, 0x3a7d3457u, 0x3a829c4eu, 0x3a80ead8u, 0x3a4ee579u,
};
static const int32_t golden_6_zp[18] = {
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};
static const struct golden_batch golden_7_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_7_min[18] = {
  0xbd921855u, 0xbd84565au, 0xbd9d25d6u, 0xbd88d95fu, 0xbd5f7fe0u, 0xbd8fd57bu,
  0xbd931571u, 0xbd84dabbu, 0xbd9d7babu, 0xbd899690u, 0xbd62b393u, 0xbd904badu,
  0xbd921bfeu, 0xbd83ed45u, 0xbd9c8a98u, 0xbd88bcf9u, 0xbd61be51u, 0xbd8f703au,
};
static const uint32_t golden_7_max[18] = {
  0x3d98745du, 0x3da2e270u, 0x3d6d63bau, 0x3d901c53u, 0x3d8af4e0u, 0x3da71bdfu,
  0x3d997f3eu, 0x3da32df3u, 0x3d709c69u, 0x3d916736u, 0x3d8be240u, 0x3da7c318u,
  0x3d987ee1u, 0x3da22d1du, 0x3d6f35e9u, 0x3d9079ceu, 0x3d8b0b9au, 0x3da69c41u,
};
static const uint32_t golden_7_scale[18] = {
  0x3a190d6au, 0x3a2385f6u, 0x3a1dc39au, 0x3a10ad00u, 0x3a0b8060u, 0x3a27c3a3u,
  0x3a1a1957u, 0x3a23d1c5u, 0x3a1e19c5u, 0x3a11f92fu, 0x3a0c6eafu, 0x3a286b84u,
  0x3a1917f9u, 0x3a22cfedu, 0x3a1d27c0u, 0x3a110ad9u, 0x3a0b9731u, 0x3a274385u,
};
static const int32_t golden_7_zp[18] = {
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};
static const struct golden_batch golden_8_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_8_min[4] = {
  0xbfabb33au, 0xc03d022du, 0xc03d022du, 0xc110761cu,
};
static const uint32_t golden_8_max[4] = {
  0x4002ea24u, 0x404f43afu, 0x404f43afu, 0x4141c383u,
};
static const uint32_t golden_8_scale[4] = {
  0x3c533d42u, 0x3cc4f890u, 0x3cc2277fu, 0x3da87309u,
};
static const int32_t golden_8_zp[4] = {
  103, 123, 124, 108,
};
static const uint32_t golden_8_hist[4] = {
  0xb0863dc5u, 0x84d31dc5u, 0xbe0cfdc5u, 0x07c9e1c5u,
};
static const struct golden_batch golden_9_batch[] = {
  { 20000, 4.0f, 1.0f },
  { 20000, 4.0f, 1.5f },
  { 20000, 9.0f, 0.0f },
  { 20000, 8.0f, 0.0f },
  { 20000, 40.0f, 3.0f },
};
static const uint32_t golden_9_min[5] = {
  0xc0c993a0u, 0xc0c993a0u, 0xc184d41eu, 0xc184d41eu, 0xc2872b62u,
};
static const uint32_t golden_9_max[5] = {
  0x40fef698u, 0x410f8828u, 0x41838895u, 0x41838895u, 0x429e1b76u,
};
static const uint32_t golden_9_scale[5] = {
  0x3de461deu, 0x3df131adu, 0x3e81f828u, 0x3e7edd68u, 0x3f897935u,
};
static const int32_t golden_9_zp[5] = {
  56, 51, 64, 65, 59,
};
static const uint32_t golden_9_hist[5] = {
  0x0e463dc5u, 0x03b2adc5u, 0x93bdc449u, 0x1c46bec9u, 0x3799a538u,
};
static const struct golden_batch golden_10_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_10_min[3] = {
  0xbd95ae08u, 0xbe0294b0u, 0xbe0294b0u,
};
static const uint32_t golden_10_max[3] = {
  0x3da10ffdu, 0x3e122c8cu, 0x3e122c8cu,
};
static const uint32_t golden_10_scale[3] = {
  0x3a1be77du, 0x3a8ada2cu, 0x3a8ac8cfu,
};
static const int32_t golden_10_zp[3] = {
  123, 120, 120,
};
static const uint32_t golden_10_hist[3] = {
  0x6d863dc5u, 0x1a523dc5u, 0x0f003dc5u,
};
static const struct golden_batch golden_11_batch[] = {
  { 3000, 0.01f, 0.0f },
  { 3000, 3.0f, 0.0f },
  { 3000, 2.5f, 0.0f },
};
static const uint32_t golden_11_min[3] = {
  0xbc83f3d5u, 0xc09e6b95u, 0xc09e6b95u,
};
static const uint32_t golden_11_max[3] = {
  0x3c89047bu, 0x409f7cdau, 0x409f7cdau,
};
static const uint32_t golden_11_scale[3] = {
  0x3906aec9u, 0x3d1e7c8au, 0x3d1e7c8au,
};
static const int32_t golden_11_zp[3] = {
  125, 127, 127,
};
static const uint32_t golden_11_hist[3] = {
  0xd3f63dc5u, 0xf7335ac5u, 0x0b9d1ac5u,
};
static const struct golden_batch golden_12_batch[] = {
  { 3000, 0.25f, 0.75f },
  { 3000, 0.5f, 1.25f },
  { 3000, 0.25f, 0.75f },
};
static const uint32_t golden_12_min[3] = {
  0x3ea5e1dcu, 0x3ea5e1dcu, 0x3e9abadeu,
};
static const uint32_t golden_12_max[3] = {
  0x3f9970fbu, 0x3fffca24u, 0x40002cd6u,
};
static const uint32_t golden_12_scale[3] = {
  0x3b99e0dfu, 0x3c006577u, 0x3c0024f0u,
};
static const int32_t golden_12_zp[3] = {
  0, 0, 0,
};
static const uint32_t golden_12_hist[3] = {
  0x0cc63dc5u, 0x34d3ddc5u, 0xa3de4305u,
};
static const struct golden_batch golden_13_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_13_min[4] = {
  0xbfbe8c96u, 0xc02cc800u, 0xc02cc800u, 0xc1085952u,
};
static const uint32_t golden_13_max[4] = {
  0x4005881fu, 0x4048d10au, 0x4048d10au, 0x414d2491u,
};
static const uint32_t golden_13_scale[4] = {
  0x3c659767u, 0x3cba10fdu, 0x3cba10fdu, 0x3da5f99du,
};
static const int32_t golden_13_zp[4] = {
  106, 119, 119, 105,
};
static const uint32_t golden_13_hist[4] = {
  0xd6763dc5u, 0xf3068dc5u, 0xd996ddc5u, 0x70ba84a5u,
};
static const struct golden_batch golden_14_batch[] = {
  { 20000, 4.0f, 1.0f },
  { 20000, 4.0f, 1.5f },
  { 20000, 9.0f, 0.0f },
  { 20000, 8.0f, 0.0f },
  { 20000, 40.0f, 3.0f },
};
static const uint32_t golden_14_min[5] = {
  0xc0ccfb48u, 0xc0ccfb48u, 0xc1804d9cu, 0xc1804d9cu, 0xc289f9a6u,
};
static const uint32_t golden_14_max[5] = {
  0x4104c061u, 0x410c1a51u, 0x41844ba0u, 0x41844ba0u, 0x42939040u,
};
static const uint32_t golden_14_scale[5] = {
  0x3deae51cu, 0x3def21a1u, 0x3e806026u, 0x3e806026u, 0x3f8c975du,
};
static const int32_t golden_14_zp[5] = {
  56, 55, 64, 64, 63,
};
static const uint32_t golden_14_hist[5] = {
  0xcf063dc5u, 0xaa43fdc5u, 0x8887f885u, 0xd613cea5u, 0x83a49372u,
};
static const struct golden_batch golden_15_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_15_min[3] = {
  0xbdb444dfu, 0xbe023319u, 0xbe023319u,
};
static const uint32_t golden_15_max[3] = {
  0x3da1d9f2u, 0x3e13c5f0u, 0x3e13c5f0u,
};
static const uint32_t golden_15_scale[3] = {
  0x3a2ba5acu, 0x3a8aeb13u, 0x3a8aeb13u,
};
static const int32_t golden_15_zp[3] = {
  134, 120, 120,
};
static const uint32_t golden_15_hist[3] = {
  0xf7c63dc5u, 0x7f9d3dc5u, 0x23de3dc5u,
};
static const struct golden_batch golden_16_batch[] = {
  { 3000, 0.01f, 0.0f },
  { 3000, 3.0f, 0.0f },
  { 3000, 2.5f, 0.0f },
};
static const uint32_t golden_16_min[3] = {
  0xbc961f16u, 0xc0a52db2u, 0xc0a52db2u,
};
static const uint32_t golden_16_max[3] = {
  0x3c8b9cffu, 0x4099d07au, 0x4099d07au,
};
static const uint32_t golden_16_scale[3] = {
  0x39115d4bu, 0x3d200b31u, 0x3d200b31u,
};
static const int32_t golden_16_zp[3] = {
  132, 132, 132,
};
static const uint32_t golden_16_hist[3] = {
  0x37563dc5u, 0x9aa0bb45u, 0x52c17b45u,
};
static const struct golden_batch golden_17_batch[] = {
  { 3000, 0.25f, 0.75f },
  { 3000, 0.5f, 1.25f },
  { 3000, 0.25f, 0.75f },
};
static const uint32_t golden_17_min[3] = {
  0x3e99c10cu, 0x3e99c10cu, 0x3e99c10cu,
};
static const uint32_t golden_17_max[3] = {
  0x3f95b3e1u, 0x40066520u, 0x40066520u,
};
static const uint32_t golden_17_scale[3] = {
  0x3b963c34u, 0x3c0604cbu, 0x3c0604cbu,
};
static const int32_t golden_17_zp[3] = {
  0, 0, 0,
};
static const uint32_t golden_17_hist[3] = {
  0x2ef63dc5u, 0x7b570dc5u, 0x092c5dc5u,
};
static const struct golden_batch golden_18_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_18_min[3] = {
  0xbf333333u, 0xbf333333u, 0xbf333333u,
};
static const uint32_t golden_18_max[3] = {
  0x40133333u, 0x40133333u, 0x40133333u,
};
static const uint32_t golden_18_scale[3] = {
  0x3c40c0c1u, 0x3c40c0c1u, 0x3c40c0c1u,
};
static const int32_t golden_18_zp[3] = {
  59, 59, 59,
};
static const struct golden_batch golden_19_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_19_min[4] = {
  0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u,
};
static const uint32_t golden_19_max[4] = {
  0x40c00000u, 0x40c00000u, 0x40c00000u, 0x40c00000u,
};
static const uint32_t golden_19_scale[4] = {
  0x3d418306u, 0x3d418306u, 0x3d418306u, 0x3d418306u,
};
static const int32_t golden_19_zp[4] = {
  0, 0, 0, 0,
};
static const struct golden_batch golden_20_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_20_min[3] = {
  0x3f000000u, 0x3f000000u, 0x3f000000u,
};
static const uint32_t golden_20_max[3] = {
  0x40c00000u, 0x40c00000u, 0x40c00000u,
};
static const uint32_t golden_20_scale[3] = {
  0x3ecccccdu, 0x3ecccccdu, 0x3ecccccdu,
};
static const int32_t golden_20_zp[3] = {
  0, 0, 0,
};
static const struct golden_batch golden_21_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_21_min[3] = {
  0xbf333333u, 0xbf333333u, 0xbf333333u,
};
static const uint32_t golden_21_max[3] = {
  0x3e99999au, 0x3e99999au, 0x3e99999au,
};
static const uint32_t golden_21_scale[3] = {
  0x3bb3e71au, 0x3bb3e71au, 0x3bb3e71au,
};
static const int32_t golden_21_zp[3] = {
  0, 0, 0,
};
static const struct golden_batch golden_22_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_22_min[3] = {
  0xbf333333u, 0xbf333333u, 0xbf333333u,
};
static const uint32_t golden_22_max[3] = {
  0x3e99999au, 0x3e99999au, 0x3e99999au,
};
static const uint32_t golden_22_scale[3] = {
  0x3dbf258cu, 0x3dbf258cu, 0x3dbf258cu,
};
static const int32_t golden_22_zp[3] = {
  0, 0, 0,
};
static const struct golden_batch golden_23_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_23_min[4] = {
  0xbfbb5f14u, 0xc039d57du, 0xc039d57du, 0xc10da508u,
};
static const uint32_t golden_23_max[4] = {
  0x400c464cu, 0x40512f6fu, 0x40512f6fu, 0x414497ffu,
};
static const uint32_t golden_23_scale[4] = {
  0x3c8cd31fu, 0x3cd20170u, 0x3cd20170u, 0x3dc55d5cu,
};
static const int32_t golden_23_zp[4] = {
  128, 128, 128, 128,
};
static const struct golden_batch golden_24_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_24_min[4] = {
  0xbfc2c4cau, 0xc0378c16u, 0xc0378c16u, 0xc10d4abeu,
};
static const uint32_t golden_24_max[4] = {
  0x4004ff39u, 0x404b8518u, 0x404b8518u, 0x415313dau,
};
static const uint32_t golden_24_scale[4] = {
  0x3d060b50u, 0x3d4d1f57u, 0x3d4d1f57u, 0x3e54bd55u,
};
static const int32_t golden_24_zp[4] = {
  63, 63, 63, 63,
};
static const struct golden_batch golden_25_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_25_min[3] = {
  0xbda3b2d9u, 0xbe02a78eu, 0xbe02a78eu,
};
static const uint32_t golden_25_max[3] = {
  0x3da80fc0u, 0x3e0d0f5fu, 0x3e0d0f5fu,
};
static const uint32_t golden_25_scale[3] = {
  0x3d601500u, 0x3dbc147fu, 0x3dbc147fu,
};
static const int32_t golden_25_zp[3] = {
  1, 1, 1,
};
static const struct golden_batch golden_26_batch[] = {
  { 600, 0.05f, 0.0f },
  { 600, 0.08f, 0.01f },
  { 600, 0.02f, 0.0f },
};
static const uint32_t golden_26_min[3] = {
  0xbd96e925u, 0xbd97bc57u, 0xbd96e26eu,
};
static const uint32_t golden_26_max[3] = {
  0x3d97aaa7u, 0x3d9930f2u, 0x3d9851b9u,
};
static const uint32_t golden_26_scale[3] = {
  0x3a1842eau, 0x3a19cabdu, 0x3a18eaa4u,
};
static const int32_t golden_26_zp[3] = {
  128, 128, 128,
};
static const struct golden_batch golden_27_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_27_min[4] = {
  0xbfb9dc62u, 0xc0343724u, 0xc0343724u, 0xc10f00c5u,
};
static const uint32_t golden_27_max[4] = {
  0x40034ac8u, 0x4047e972u, 0x4047e972u, 0x414d3316u,
};
static const uint32_t golden_27_scale[4] = {
  0x3c83b273u, 0x3cc704d3u, 0x3cc3d9e2u, 0x3dc49dd1u,
};
static const int32_t golden_27_zp[4] = {
  128, 128, 128, 128,
};
static const uint32_t golden_27_hist[4] = {
  0x72a63dc5u, 0xe2593dc5u, 0x0eb14dc5u, 0xfef50005u,
};
static const struct golden_batch golden_28_batch[] = {
  { 4096, 1.0f, 0.3f },
  { 4096, 1.7f, 0.1f },
  { 4096, 0.9f, -0.4f },
  { 5000, 6.0f, 2.0f },
};
static const uint32_t golden_28_min[4] = {
  0xbfb61b9cu, 0xc029bffbu, 0xc029bffbu, 0xc10c0dc7u,
};
static const uint32_t golden_28_max[4] = {
  0x4005f255u, 0x4049263eu, 0x4049263eu, 0x4140739eu,
};
static const uint32_t golden_28_scale[4] = {
  0x3c8427ddu, 0x3cbf9328u, 0x3cc5c1a9u, 0x3dc134d2u,
};
static const int32_t golden_28_zp[4] = {
  128, 128, 128, 128,
};
static const uint32_t golden_28_hist[4] = {
  0x14863dc5u, 0x53c10dc5u, 0xd384ddc5u, 0x17a42c6du,
};

static const struct golden_observer golden_observers[] = {
  { "minmax", "", 0, 0, 0, 255, 1, 4, golden_0_batch,
    golden_0_min, golden_0_max, golden_0_scale, golden_0_zp, NULL },
  { "minmax", "", 0, 0, 0, 127, 1, 3, golden_1_batch,
    golden_1_min, golden_1_max, golden_1_scale, golden_1_zp, NULL },
  { "minmax", "", 1, 1, -128, 127, 1, 4, golden_2_batch,
    golden_2_min, golden_2_max, golden_2_scale, golden_2_zp, NULL },
  { "minmax", "", 1, 1, -8, 7, 1, 3, golden_3_batch,
    golden_3_min, golden_3_max, golden_3_scale, golden_3_zp, NULL },
  { "moving_average_minmax", "", 0, 0, 0, 127, 1, 4, golden_4_batch,
    golden_4_min, golden_4_max, golden_4_scale, golden_4_zp, NULL },
  { "moving_average_minmax", "averaging_constant=0.3", 1, 1, -128, 127, 1, 3, golden_5_batch,
    golden_5_min, golden_5_max, golden_5_scale, golden_5_zp, NULL },
  { "minmax", "", 1, 1, -128, 127, 6, 3, golden_6_batch,
    golden_6_min, golden_6_max, golden_6_scale, golden_6_zp, NULL },
  { "moving_average_minmax", "", 1, 1, -128, 127, 6, 3, golden_7_batch,
    golden_7_min, golden_7_max, golden_7_scale, golden_7_zp, NULL },
  { "histogram", "compat=torch1.13", 0, 0, 0, 255, 1, 4, golden_8_batch,
    golden_8_min, golden_8_max, golden_8_scale, golden_8_zp, golden_8_hist },
  { "histogram", "compat=torch1.13", 0, 0, 0, 127, 1, 5, golden_9_batch,
    golden_9_min, golden_9_max, golden_9_scale, golden_9_zp, golden_9_hist },
  { "histogram", "compat=torch1.13", 0, 0, 0, 255, 1, 3, golden_10_batch,
    golden_10_min, golden_10_max, golden_10_scale, golden_10_zp, golden_10_hist },
  { "histogram", "compat=torch1.13", 0, 0, 0, 255, 1, 3, golden_11_batch,
    golden_11_min, golden_11_max, golden_11_scale, golden_11_zp, golden_11_hist },
  { "histogram", "compat=torch1.13", 0, 0, 0, 255, 1, 3, golden_12_batch,
    golden_12_min, golden_12_max, golden_12_scale, golden_12_zp, golden_12_hist },
  { "histogram", "", 0, 0, 0, 255, 1, 4, golden_13_batch,
    golden_13_min, golden_13_max, golden_13_scale, golden_13_zp, golden_13_hist },
  { "histogram", "", 0, 0, 0, 127, 1, 5, golden_14_batch,
    golden_14_min, golden_14_max, golden_14_scale, golden_14_zp, golden_14_hist },
  { "histogram", "", 0, 0, 0, 255, 1, 3, golden_15_batch,
    golden_15_min, golden_15_max, golden_15_scale, golden_15_zp, golden_15_hist },
  { "histogram", "", 0, 0, 0, 255, 1, 3, golden_16_batch,
    golden_16_min, golden_16_max, golden_16_scale, golden_16_zp, golden_16_hist },
  { "histogram", "", 0, 0, 0, 255, 1, 3, golden_17_batch,
    golden_17_min, golden_17_max, golden_17_scale, golden_17_zp, golden_17_hist },
  { "fixed", "min=-0.7 max=2.3", 0, 0, 0, 255, 1, 3, golden_18_batch,
    golden_18_min, golden_18_max, golden_18_scale, golden_18_zp, NULL },
  { "fixed", "min=0 max=6", 0, 0, 0, 127, 1, 4, golden_19_batch,
    golden_19_min, golden_19_max, golden_19_scale, golden_19_zp, NULL },
  { "fixed", "min=0.5 max=6", 0, 0, 0, 15, 1, 3, golden_20_batch,
    golden_20_min, golden_20_max, golden_20_scale, golden_20_zp, NULL },
  { "fixed", "min=-0.7 max=0.3", 1, 1, -128, 127, 1, 3, golden_21_batch,
    golden_21_min, golden_21_max, golden_21_scale, golden_21_zp, NULL },
  { "fixed", "min=-0.7 max=0.3", 1, 1, -8, 7, 1, 3, golden_22_batch,
    golden_22_min, golden_22_max, golden_22_scale, golden_22_zp, NULL },
  { "minmax", "", 0, 1, 0, 255, 1, 4, golden_23_batch,
    golden_23_min, golden_23_max, golden_23_scale, golden_23_zp, NULL },
  { "minmax", "", 0, 1, 0, 127, 1, 4, golden_24_batch,
    golden_24_min, golden_24_max, golden_24_scale, golden_24_zp, NULL },
  { "minmax", "", 0, 1, 0, 3, 1, 3, golden_25_batch,
    golden_25_min, golden_25_max, golden_25_scale, golden_25_zp, NULL },
  { "moving_average_minmax", "", 0, 1, 0, 255, 1, 3, golden_26_batch,
    golden_26_min, golden_26_max, golden_26_scale, golden_26_zp, NULL },
  { "histogram", "", 0, 1, 0, 255, 1, 4, golden_27_batch,
    golden_27_min, golden_27_max, golden_27_scale, golden_27_zp, golden_27_hist },
  { "histogram", "compat=torch1.13", 0, 1, 0, 255, 1, 4, golden_28_batch,
    golden_28_min, golden_28_max, golden_28_scale, golden_28_zp, golden_28_hist },
};

/* y = fake_quantize (x), dx for dy: x = golden_fill (seed, fill, 0), its
 * first ties elements replaced by multiples of scale / 2; dy = golden_fill
 * (seed + 1, 1, 0). */
struct golden_fakequant {
  int weight, channels, per_channel, qmin, qmax, ties;
  uint32_t seed;
  float fill;
  const float *scale;
  const int32_t *zero_point;
  const uint32_t *y, *dx;
};

static const float golden_fq0_scale[1] = {
  2.129999921e-02f,
};
static const int32_t golden_fq0_zp[1] = {
  77,
};
static const uint32_t golden_fq0_y[200] = {
  0xbeae7d56u, 0xbeae7d56u, 0xbea39581u, 0xbea39581u, 0xbe98adabu, 0xbe98adabu,
  0xbe8dc5d6u, 0xbe82de00u, 0xbe82de00u, 0xbe82de00u, 0xbe6fec56u, 0xbe6fec56u,
  0xbe5a1cacu, 0xbe5a1cacu, 0xbe444d01u, 0xbe2e7d56u, 0xbe2e7d56u, 0xbe2e7d56u,
  0xbe18adabu, 0xbe18adabu, 0xbe02de00u, 0xbe02de00u, 0xbdda1cacu, 0xbdda1cacu,
  0xbdae7d56u, 0xbdae7d56u, 0xbd82de00u, 0xbd82de00u, 0xbd2e7d56u, 0xbd2e7d56u,
  0xbcae7d56u, 0x00000000u, 0x00000000u, 0x00000000u, 0x3cae7d56u, 0x3d2e7d56u,
  0x3d2e7d56u, 0x3d82de00u, 0x3d82de00u, 0x3dae7d56u, 0x3dae7d56u, 0x3dda1cacu,
  0x3dda1cacu, 0x3e02de00u, 0x3e02de00u, 0x3e18adabu, 0x3e18adabu, 0x3e2e7d56u,
  0x3e2e7d56u, 0x3e2e7d56u, 0x3e444d01u, 0x3e5a1cacu, 0x3e5a1cacu, 0x3e6fec56u,
  0x3e6fec56u, 0x3e82de00u, 0x3e82de00u, 0x3e82de00u, 0x3e8dc5d6u, 0x3e98adabu,
  0x3e98adabu, 0x3ea39581u, 0x3ea39581u, 0x3eae7d56u, 0x3fa9096bu, 0x405762b6u,
  0xbfd1eecbu, 0x3eb9652bu, 0xbfd1eecbu, 0x3f5a1cacu, 0xbf756041u, 0xbeae7d56u,
  0xbfd1eecbu, 0xbe2e7d56u, 0xbfd1eecbu, 0xbf2e7d56u, 0xbf3ed916u, 0x3fae7d56u,
  0x401750b1u, 0xbf95f3b6u, 0xbfb6ab36u, 0x3e98adabu, 0x3e82de00u, 0x3f6fec56u,
  0xbf54a8c1u, 0x3ec44d01u, 0xbfc706f6u, 0x3e18adabu, 0x403ac226u, 0xbf9339c1u,
  0xbd2e7d56u, 0x3fa0db8bu, 0xbfc44d01u, 0x4036ab36u, 0x3dda1cacu, 0x3f7ad42cu,
  0x3fa39581u, 0x3f0dc5d6u, 0xbfc706f6u, 0x400b0be1u, 0x4027ac71u, 0xbfd1eecbu,
  0x400851ebu, 0xbf2e7d56u, 0x402bc361u, 0x40107fcbu, 0x3f9b67a1u, 0xbfd1eecbu,
  0xbfd1eecbu, 0x3e82de00u, 0x3fed3261u, 0xbe6fec56u, 0xbf0851ebu, 0xbdae7d56u,
  0xbfd1eecbu, 0xbfd1eecbu, 0xbe6fec56u, 0x3ffd8e21u, 0x3f29096bu, 0xbf1339c1u,
  0x400dc5d6u, 0xbf33f141u, 0x40107fcbu, 0x4072a64cu, 0x3f3ed916u, 0x4039652bu,
  0x3f18adabu, 0x3f5a1cacu, 0x3f29096bu, 0x3e98adabu, 0x3d82de00u, 0x3fc44d01u,
  0x3dda1cacu, 0x3f02de00u, 0x3fe24a8cu, 0xbf1e2196u, 0x403d7c1bu, 0x3fe50481u,
  0x4072a64cu, 0x4067be76u, 0xbfcf34d6u, 0x3f756041u, 0x3f0851ebu, 0xbe444d01u,
  0x3dda1cacu, 0x3f02de00u, 0xbf4f34d6u, 0x40329446u, 0xbfae7d56u, 0xbf39652bu,
  0x403c1f21u, 0xbfd1eecbu, 0xbf8b0be1u, 0xbfd1eecbu, 0x4027ac71u, 0xbea39581u,
  0x3ff56041u, 0x3cae7d56u, 0x3dda1cacu, 0xbfd1eecbu, 0x3fb6ab36u, 0x3fb1374bu,
  0xbfd1eecbu, 0x3fa9096bu, 0x4049c0ebu, 0xbfd1eecbu, 0xbfb6ab36u, 0x3fdcd6a1u,
  0x4072a64cu, 0xbdda1cacu, 0xbfd1eecbu, 0xbfd1eecbu, 0xbfcf34d6u, 0x3f49c0ebu,
  0xbf82de00u, 0x3f18adabu, 0x3f39652bu, 0xbe98adabu, 0x4041930bu, 0x3fcc7ae1u,
  0x3f0dc5d6u, 0xbefad42cu, 0xbf9b67a1u, 0xbdae7d56u, 0x3fea786cu, 0xbf82de00u,
  0x3f0851ebu, 0x4009aee6u, 0xbfc706f6u, 0x3f444d01u, 0xbf6fec56u, 0x3ffd8e21u,
  0xbfd1eecbu, 0x3fdcd6a1u, 0xbe2e7d56u, 0xbfa64f76u, 0x40043afbu, 0x3e6fec56u,
  0xbfd1eecbu, 0x3fa9096bu,
};
static const uint32_t golden_fq0_dx[200] = {
  0x3e5326f0u, 0x3d08de40u, 0xbf2ea086u, 0xbf58f6bcu, 0xbf04c4ccu, 0xbe0b3670u,
  0xbeeb5d78u, 0xbf298658u, 0xbed96614u, 0xbf2252acu, 0xbe34ef20u, 0xbe5df160u,
  0x3eb630d8u, 0x3f0049b0u, 0xbec3cf18u, 0xbf0927ccu, 0xbe9ea798u, 0x3f039f3cu,
  0x3d8b2ce0u, 0x3e2a9fe0u, 0xbf031cf4u, 0x3eb36208u, 0x3ec19ac0u, 0xbc30f100u,
  0xbe637f00u, 0x3e45cea0u, 0x3f2ce888u, 0x3d99e740u, 0xbee98f38u, 0xbe8a19a0u,
  0x3eafd850u, 0xbe78c390u, 0x3eac6fa0u, 0xbe9daf60u, 0x3ef71fb0u, 0xbec3183cu,
  0xbf642b34u, 0xbe3e8b58u, 0xbdbaa440u, 0xbef00e38u, 0xbb49d400u, 0x3eb3ba68u,
  0x3e6263e0u, 0xbeee8e7cu, 0x3e7ae1e0u, 0xbf8c04b0u, 0xbe3b3f68u, 0x3f780db4u,
  0xbcbee880u, 0x3eeef050u, 0x3e1eb2e0u, 0x3e644950u, 0x3e9e1128u, 0x3fa394ceu,
  0x3bafc400u, 0xbf054098u, 0x3e9c7c18u, 0x3f3bb484u, 0x3e8612e0u, 0xbf7cb070u,
  0x3d836c20u, 0x3e044930u, 0x3fa0420cu, 0xbe5ffaa0u, 0xbf6d49dcu, 0x3ebe8ed0u,
  0x00000000u, 0xbe5d87a8u, 0x00000000u, 0x3f0ff9acu, 0xbee28388u, 0x3f110868u,
  0x00000000u, 0xbe5fe8b0u, 0x00000000u, 0x3e8e82e0u, 0xbec92e30u, 0xbee825d8u,
  0x3dd5fd40u, 0x3f19c6f8u, 0xbe9cc1b0u, 0xbf202b8cu, 0x3ebd2920u, 0xbdce4360u,
  0x3ee094a0u, 0x3e958f20u, 0x3f1b07b0u, 0x3f83c854u, 0xbe1cf3b0u, 0xbcf00d80u,
  0x3f807c1au, 0x3f396334u, 0xbf0092a2u, 0xbf2d83e4u, 0xbe8e7e6cu, 0xbd5cb1c0u,
  0xbf63ccaau, 0xbea36ae4u, 0x3eb37d50u, 0xbe9c1b80u, 0x3ddc2820u, 0x00000000u,
  0xbf3f5902u, 0x3f7dc7e8u, 0xbe3accf0u, 0x3f77607cu, 0xbd9e9a20u, 0xbedb6ed0u,
  0x00000000u, 0xbebd2f68u, 0x3f045b00u, 0x3f46ebf0u, 0x3f360378u, 0xbf3af9e4u,
  0x00000000u, 0x00000000u, 0xbee6df38u, 0xbf9a3c30u, 0x3efeeef0u, 0xbf5cee38u,
  0xbd146460u, 0x3f9b219eu, 0x3f52a1c4u, 0x00000000u, 0x3e990c60u, 0x3f3b4f1cu,
  0xbdbdc3e0u, 0xbbead600u, 0x3e9a9560u, 0xbeb32ba8u, 0xbf18d5d4u, 0x3e9dd128u,
  0xbe4c37b8u, 0xbecc5480u, 0x3e061380u, 0x3e9efbf0u, 0x3f97e0a0u, 0x3d682a00u,
  0x00000000u, 0xbf3fe9d4u, 0xbe969cf0u, 0x3d730600u, 0x3ec52210u, 0x3d38e500u,
  0x3f637fc0u, 0x3d865580u, 0x3d8d47e0u, 0xbf323378u, 0x3efb18c0u, 0x3e7bc780u,
  0xbf73d692u, 0x00000000u, 0x3f801546u, 0x00000000u, 0x3f35f988u, 0x3d7e18c0u,
  0x3f6234b8u, 0x3f6e6fccu, 0xbf4556f8u, 0x00000000u, 0xbe11f880u, 0xbde8cf00u,
  0x00000000u, 0x3dd10900u, 0xbe785530u, 0x00000000u, 0x3f3c17c8u, 0x3e8d78d8u,
  0x00000000u, 0xbebf51ccu, 0x00000000u, 0x00000000u, 0xbdcc00c0u, 0x3f039890u,
  0xbf37ff50u, 0xbd3a8cc0u, 0xbe5e16b0u, 0x3eb4bf80u, 0xbe7fd610u, 0xbea1a040u,
  0xbc268e00u, 0xbf2b705eu, 0x3f1b0188u, 0x3f008d68u, 0x3e329a40u, 0xbec26788u,
  0x3fae9d34u, 0x3c43f300u, 0x3ead1b08u, 0xbf0fcde0u, 0x3ccbd400u, 0x3f5449d0u,
  0x00000000u, 0x3f39c8c8u, 0xbf2c1110u, 0xbe0b79e0u, 0x3f2a5998u, 0xbf38890cu,
  0x00000000u, 0xbeafd8a4u,
};
static const float golden_fq1_scale[1] = {
  3.125000000e-02f,
};
static const int32_t golden_fq1_zp[1] = {
  13,
};
static const uint32_t golden_fq1_y[200] = {
  0xbed00000u, 0xbed00000u, 0xbed00000u, 0xbed00000u, 0xbed00000u, 0xbed00000u,
  0xbed00000u, 0xbec00000u, 0xbec00000u, 0xbec00000u, 0xbeb00000u, 0xbea00000u,
  0xbea00000u, 0xbea00000u, 0xbe900000u, 0xbe800000u, 0xbe800000u, 0xbe800000u,
  0xbe600000u, 0xbe400000u, 0xbe400000u, 0xbe400000u, 0xbe200000u, 0xbe000000u,
  0xbe000000u, 0xbe000000u, 0xbdc00000u, 0xbd800000u, 0xbd800000u, 0xbd800000u,
  0xbd000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x3d000000u, 0x3d800000u,
  0x3d800000u, 0x3d800000u, 0x3dc00000u, 0x3e000000u, 0x3e000000u, 0x3e000000u,
  0x3e200000u, 0x3e400000u, 0x3e400000u, 0x3e400000u, 0x3e600000u, 0x3e800000u,
  0x3e800000u, 0x3e800000u, 0x3e900000u, 0x3ea00000u, 0x3ea00000u, 0x3ea00000u,
  0x3eb00000u, 0x3ec00000u, 0x3ec00000u, 0x3ec00000u, 0x3ed00000u, 0x3ee00000u,
  0x3ee00000u, 0x3ee00000u, 0x3ef00000u, 0x3f000000u, 0xbed00000u, 0x3fe40000u,
  0x3ee00000u, 0xbed00000u, 0x3fd00000u, 0x40000000u, 0x3e000000u, 0xbed00000u,
  0xbed00000u, 0x3ef00000u, 0x3fa40000u, 0xbed00000u, 0x3e000000u, 0xbed00000u,
  0xbed00000u, 0x403c0000u, 0xbed00000u, 0x3fb00000u, 0xbed00000u, 0x3f580000u,
  0xbed00000u, 0xbe800000u, 0x3f100000u, 0xbed00000u, 0xbed00000u, 0xbed00000u,
  0x3e000000u, 0x3fc00000u, 0x3f180000u, 0x3e400000u, 0xbdc00000u, 0x401a0000u,
  0x3f080000u, 0xbed00000u, 0xbed00000u, 0x3e200000u, 0x40040000u, 0x40140000u,
  0x3ff40000u, 0xbed00000u, 0xbed00000u, 0x40000000u, 0x3fa40000u, 0x3f400000u,
  0x3ea00000u, 0x3ea00000u, 0xbed00000u, 0xbed00000u, 0x3e400000u, 0x400e0000u,
  0xbed00000u, 0x40000000u, 0x40640000u, 0x3f100000u, 0xbd800000u, 0x3fe80000u,
  0xbed00000u, 0xbed00000u, 0x3f940000u, 0xbed00000u, 0xbed00000u, 0xbed00000u,
  0x40640000u, 0x3f400000u, 0x3fe40000u, 0x3fb40000u, 0x3e600000u, 0xbed00000u,
  0x3ed00000u, 0xbed00000u, 0xbed00000u, 0xbed00000u, 0x3f380000u, 0x3fa40000u,
  0x3fa00000u, 0xbed00000u, 0x40460000u, 0xbed00000u, 0xbed00000u, 0xbed00000u,
  0x3ee00000u, 0x3fa40000u, 0xbed00000u, 0x3fe40000u, 0xbed00000u, 0x3e200000u,
  0xbed00000u, 0x40240000u, 0x3fe40000u, 0xbed00000u, 0xbed00000u, 0xbeb00000u,
  0xbed00000u, 0xbed00000u, 0x40200000u, 0xbed00000u, 0x3dc00000u, 0x3f200000u,
  0xbed00000u, 0x402a0000u, 0xbed00000u, 0x3d800000u, 0x00000000u, 0xbed00000u,
  0xbd000000u, 0xbed00000u, 0x3d000000u, 0x3f780000u, 0xbed00000u, 0xbed00000u,
  0xbed00000u, 0xbe900000u, 0x40640000u, 0xbed00000u, 0x3f280000u, 0x3f000000u,
  0xbe400000u, 0xbed00000u, 0xbed00000u, 0x3fcc0000u, 0x3ec00000u, 0x3ec00000u,
  0xbed00000u, 0xbed00000u, 0x401c0000u, 0x3f000000u, 0x3e800000u, 0x3e800000u,
  0x3f200000u, 0xbed00000u, 0x3ed00000u, 0x3fa00000u, 0xbed00000u, 0x3f000000u,
  0x3ee00000u, 0xbed00000u,
};
static const uint32_t golden_fq1_dx[200] = {
  0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u,
  0xbe546fe0u, 0xbf85dc6eu, 0x3f00de10u, 0xbe7492d0u, 0xbf2c1be2u, 0x3ef1c680u,
  0x3e9ed9a0u, 0xbd1c71c0u, 0x3da3c2a0u, 0xbf127dccu, 0x3f8de724u, 0x3df15300u,
  0x3bca8400u, 0xbe765280u, 0x3f2e85d4u, 0x3ed4f8b0u, 0xbde21d80u, 0x3fab5e88u,
  0xbf475aacu, 0x3d83a040u, 0xbe22d300u, 0x3f5fa394u, 0xbefa2388u, 0x3dc5e940u,
  0x3ef238a0u, 0xbf0a407eu, 0x3f7eb6b0u, 0x3cd52800u, 0xbf0cd662u, 0x3ef653f8u,
  0xbe0467f0u, 0x3f416800u, 0x3f11ca08u, 0xbf7623beu, 0x3ce64f80u, 0xbe2da030u,
  0xbe820ca4u, 0xbf2398bcu, 0xbf5b64b4u, 0xbecf7f18u, 0x3ed9e040u, 0x3f1b0974u,
  0xbf429e7au, 0xbd597ac0u, 0x3e91d978u, 0x3b92bc00u, 0xbd29a1c0u, 0xbf363bb4u,
  0xbf747414u, 0xbf6364beu, 0xbdcafe60u, 0xbe3df770u, 0x3e6e7860u, 0xbcbd8b00u,
  0x3d404b40u, 0xbe94faccu, 0x3f3e6ec8u, 0xbf15da46u, 0x00000000u, 0x3e0d5140u,
  0xbe371a70u, 0x00000000u, 0xbeedc6c0u, 0x3ed89390u, 0xbf729ba4u, 0x00000000u,
  0x00000000u, 0xbf41e750u, 0x3e756fe0u, 0x00000000u, 0xbf310becu, 0x00000000u,
  0x00000000u, 0xbe9a3ae8u, 0x00000000u, 0xbeb64540u, 0x00000000u, 0x3f42ee70u,
  0x00000000u, 0x3f5ad788u, 0xbf6e226cu, 0x00000000u, 0x00000000u, 0x00000000u,
  0xbf5aff94u, 0x3f0ebc18u, 0xbedca900u, 0x3f796c88u, 0xbe888efcu, 0x3f322870u,
  0xbed50140u, 0x00000000u, 0x00000000u, 0xbf73fe84u, 0xbbacc200u, 0xbf1fe6c4u,
  0xbf149804u, 0x00000000u, 0x00000000u, 0xbe04eff0u, 0xbe3c4bc0u, 0x3f886bfcu,
  0xbeda07c0u, 0xbebe7560u, 0x00000000u, 0x00000000u, 0x3bf26800u, 0xbecafd00u,
  0x00000000u, 0x3dc6e880u, 0x00000000u, 0x3edb62d0u, 0xbf2fe7a8u, 0x3e7588d0u,
  0x00000000u, 0x00000000u, 0xbc16b180u, 0x00000000u, 0x00000000u, 0x00000000u,
  0x00000000u, 0x3ef3eea0u, 0xbd8c1580u, 0x3ef0ec00u, 0xbe15cf20u, 0x00000000u,
  0x3f1c9648u, 0x00000000u, 0x00000000u, 0x00000000u, 0xbd214ec0u, 0x3e91d3f0u,
  0xbf1d5dbau, 0x00000000u, 0x3f25d8dcu, 0x00000000u, 0x00000000u, 0x00000000u,
  0xbe7102f0u, 0x3db26ca0u, 0x00000000u, 0x3e9b8c60u, 0x00000000u, 0x3e97b660u,
  0x00000000u, 0xbfee9b70u, 0xbe333c20u, 0x00000000u, 0x00000000u, 0x3efaf980u,
  0x00000000u, 0x00000000u, 0x3f2fe7b4u, 0x00000000u, 0x3f712c68u, 0x3f114e7cu,
  0x00000000u, 0x3d445480u, 0x00000000u, 0x3e714500u, 0xbd2f1700u, 0x00000000u,
  0x3f9fd02cu, 0x00000000u, 0x3d9e20e0u, 0xbd9fb240u, 0x00000000u, 0x00000000u,
  0x00000000u, 0x3f74956cu, 0x00000000u, 0x00000000u, 0xbf12b4f4u, 0x3f48cf28u,
  0xbeb2b668u, 0x00000000u, 0x00000000u, 0xbc9afe80u, 0x3e8233b0u, 0xbf88536bu,
  0x00000000u, 0x00000000u, 0x3ed6b758u, 0xbc98b600u, 0x3f363d08u, 0xbf2861aau,
  0x3f9de0e0u, 0x00000000u, 0x3fb53704u, 0x3f666d00u, 0x00000000u, 0x3f015bb4u,
  0xbd5e40c0u, 0x00000000u,
};
static const float golden_fq2_scale[1] = {
  1.000000015e-01f,
};
static const int32_t golden_fq2_zp[1] = {
  0,
};
static const uint32_t golden_fq2_y[100] = {
  0x00000000u, 0x00000000u, 0x41b9999au, 0x41cc0000u, 0x4184cccdu, 0x00000000u,
  0x00000000u, 0x417ccccdu, 0x3e4ccccdu, 0x41cc0000u, 0x00000000u, 0x40533333u,
  0x41366667u, 0x41cc0000u, 0x3ecccccdu, 0x41cc0000u, 0x4169999au, 0x4131999au,
  0x00000000u, 0x40f33333u, 0x00000000u, 0x40000000u, 0x40f66667u, 0x41cc0000u,
  0x41cc0000u, 0x00000000u, 0x41cc0000u, 0x41cc0000u, 0x00000000u, 0x400ccccdu,
  0x41333333u, 0x41cc0000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u,
  0x40466667u, 0x40600000u, 0x4101999au, 0x41cc0000u, 0x00000000u, 0x00000000u,
  0x41cc0000u, 0x00000000u, 0x41cc0000u, 0x00000000u, 0x00000000u, 0x41cc0000u,
  0x00000000u, 0x00000000u, 0x41cc0000u, 0x00000000u, 0x00000000u, 0x00000000u,
  0x41b4cccdu, 0x00000000u, 0x41cc0000u, 0x40e66667u, 0x00000000u, 0x41cc0000u,
  0x00000000u, 0x00000000u, 0x41800000u, 0x412b3333u, 0x40d33333u, 0x41180000u,
  0x41cc0000u, 0x00000000u, 0x40b33333u, 0x00000000u, 0x00000000u, 0x00000000u,
  0x41be6667u, 0x00000000u, 0x00000000u, 0x00000000u, 0x41bccccdu, 0x41133333u,
  0x41880000u, 0x41cc0000u, 0x00000000u, 0x00000000u, 0x41cc0000u, 0x4174cccdu,
  0x3f800000u, 0x41cc0000u, 0x00000000u, 0x414b3333u, 0x00000000u, 0x00000000u,
  0x41a40000u, 0x00000000u, 0x4101999au, 0x417ccccdu, 0x4199999au, 0x00000000u,
  0x00000000u, 0x00000000u, 0x4121999au, 0x41cc0000u,
};
static const uint32_t golden_fq2_dx[100] = {
  0x00000000u, 0x00000000u, 0x3d217180u, 0x00000000u, 0xbe63f230u, 0x00000000u,
  0x00000000u, 0x3dc19ac0u, 0xbd83a080u, 0x00000000u, 0x00000000u, 0x3d83b740u,
  0x3f01a6c8u, 0x00000000u, 0xbee73ee0u, 0x00000000u, 0xbec3b4b8u, 0xbf16e3ccu,
  0x00000000u, 0xbf521002u, 0x00000000u, 0x3efe1d38u, 0x3c29e000u, 0x00000000u,
  0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x3e195c60u,
  0x3f156ce8u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u,
  0xbea8aeb8u, 0x3ea57ed8u, 0x3e82eab0u, 0x00000000u, 0x00000000u, 0x00000000u,
  0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u,
  0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u,
  0xbca55d00u, 0x00000000u, 0x00000000u, 0x3f8afcb4u, 0x00000000u, 0x00000000u,
  0x00000000u, 0x00000000u, 0xbe743e38u, 0xbf24b89cu, 0xbe9d65fcu, 0xbe704770u,
  0x00000000u, 0x00000000u, 0xbf703a48u, 0x00000000u, 0x00000000u, 0x00000000u,
  0xbe87c724u, 0x00000000u, 0x00000000u, 0x00000000u, 0xbe11c448u, 0xbf4f3998u,
  0xbe296cd0u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0xbee53d6cu,
  0x3cc4d580u, 0x00000000u, 0x00000000u, 0xbee0d690u, 0x00000000u, 0x00000000u,
  0xbf4a9390u, 0x00000000u, 0x3e383420u, 0x3f149c5cu, 0xbf84d9b0u, 0x00000000u,
  0x00000000u, 0x00000000u, 0xbf3dea0cu, 0x00000000u,
};
static const float golden_fq3_scale[1] = {
  7.812500000e-03f,
};
static const int32_t golden_fq3_zp[1] = {
  0,
};
static const uint32_t golden_fq3_y[100] = {
  0xbdc00000u, 0xbdc00000u, 0xbdc00000u, 0xbdb00000u, 0xbda00000u, 0xbda00000u,
  0xbda00000u, 0xbd900000u, 0xbd800000u, 0xbd800000u, 0xbd800000u, 0xbd600000u,
  0xbd400000u, 0xbd400000u, 0xbd400000u, 0xbd200000u, 0xbd000000u, 0xbd000000u,
  0xbd000000u, 0xbcc00000u, 0xbc800000u, 0xbc800000u, 0xbc800000u, 0xbc000000u,
  0x00000000u, 0x00000000u, 0x00000000u, 0x3c000000u, 0x3c800000u, 0x3c800000u,
  0x3c800000u, 0x3cc00000u, 0x3d000000u, 0x3d000000u, 0x3d000000u, 0x3d200000u,
  0x3d400000u, 0x3d400000u, 0x3d400000u, 0x3d600000u, 0x3d800000u, 0x3d800000u,
  0x3d800000u, 0x3d900000u, 0x3da00000u, 0x3da00000u, 0x3da00000u, 0x3db00000u,
  0x3dc00000u, 0x3dc00000u, 0x3dd00000u, 0x3e200000u, 0xbf6c0000u, 0xbf000000u,
  0x3e180000u, 0xbe400000u, 0x3f140000u, 0x3e880000u, 0xbc000000u, 0xbeb00000u,
  0x3e840000u, 0xbf800000u, 0x3e400000u, 0x3ee40000u, 0xbe600000u, 0xbf240000u,
  0xbf080000u, 0xbf160000u, 0x3e680000u, 0xbd400000u, 0x3e200000u, 0x3f240000u,
  0x3e9c0000u, 0xbdf00000u, 0x3e900000u, 0x3f700000u, 0x3f300000u, 0x3f1c0000u,
  0x3e280000u, 0x3c000000u, 0xbcc00000u, 0x3f6e0000u, 0x3e980000u, 0xbda00000u,
  0xbecc0000u, 0xbe580000u, 0x3f440000u, 0x3f680000u, 0x3e680000u, 0x3f640000u,
  0xbf560000u, 0x3dd00000u, 0x3ee00000u, 0xbe880000u, 0x3dc00000u, 0x3e940000u,
  0xbf800000u, 0x3f680000u, 0xbe9c0000u, 0xbefc0000u,
};
static const uint32_t golden_fq3_dx[100] = {
  0x3ed17440u, 0x3e295760u, 0xbe9558d0u, 0x3ea9a198u, 0xbe10b5c8u, 0xbed67d30u,
  0xbe67b408u, 0xbe9da0c8u, 0x3f3d12c4u, 0xbe167880u, 0x3cc52a00u, 0x3f897bb4u,
  0xbd9e62c0u, 0xbe866020u, 0x3e3af2e0u, 0x3e96f4c8u, 0x3f3ebcd8u, 0x3e093900u,
  0xbdcac720u, 0xbf6a4568u, 0xbde14600u, 0xbe9e38acu, 0x3f341d50u, 0xbdc664a0u,
  0x3d864640u, 0x3f82aca6u, 0x3ede2e20u, 0x3eecb198u, 0xbea969dcu, 0x3f07e590u,
  0x3ecb4430u, 0xbd95b900u, 0x3df88160u, 0x3e942798u, 0x3f2d7a20u, 0x3f0afbe4u,
  0xbf411bdau, 0xbdf530c0u, 0xbea912f4u, 0xbfacdc18u, 0x3e851488u, 0xbf915494u,
  0x3dd887c0u, 0x3efa4cf0u, 0x3e7907a0u, 0xbdff4d60u, 0x3f9da9d0u, 0x3f85c634u,
  0x3e040580u, 0x3fa3f228u, 0x3f18cee0u, 0xbdf9cae0u, 0xbeb59ad8u, 0xbe0f6380u,
  0x3dd330e0u, 0xbeaa4d18u, 0xbe87a394u, 0x3f7fc64cu, 0xbe943b90u, 0xbdb12ac0u,
  0x3e5bf450u, 0x00000000u, 0xbea68698u, 0xbf8eaf82u, 0x3ce65380u, 0x3d9a4ca0u,
  0x3f25f6c4u, 0xbd83a190u, 0xbb06f200u, 0xbe6b90b8u, 0xbe8fe610u, 0xbf5d3bdcu,
  0xbec2a2d0u, 0xbf3e0ec8u, 0xbe52b370u, 0xbec3fde8u, 0x3f5b1c04u, 0xbca93900u,
  0x3d40c7c0u, 0x3dd9f7e0u, 0x3ec32520u, 0x3dc54e00u, 0x3fa551aau, 0x3f129158u,
  0x3e2d9280u, 0xbd843660u, 0x3f3057b8u, 0x3f25a1e0u, 0xbf74410eu, 0x3ea16cd0u,
  0x3d5cbc40u, 0x3dc58360u, 0xbebdcf20u, 0xbebf1e60u, 0xbeb633e4u, 0xbf70068eu,
  0x00000000u, 0x3eb06ef8u, 0x3ee54768u, 0x3f042b74u,
};
static const float golden_fq4_scale[4] = {
  7.812500000e-03f, 3.000000026e-03f, 1.099999994e-02f, 1.500000053e-07f,
};
static const int32_t golden_fq4_zp[4] = {
  0, 0, 0, 0,
};
static const uint32_t golden_fq4_y[160] = {
  0xbda00000u, 0xbda00000u, 0xbd900000u, 0xbd800000u, 0xbd800000u, 0xbd800000u,
  0xbd600000u, 0xbd400000u, 0xbd400000u, 0xbd400000u, 0xbd200000u, 0xbd000000u,
  0xbd000000u, 0xbd000000u, 0xbcc00000u, 0xbc800000u, 0xbc800000u, 0xbc800000u,
  0xbc000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x3c000000u, 0x3c800000u,
  0x3c800000u, 0x3c800000u, 0x3cc00000u, 0x3d000000u, 0x3d000000u, 0x3d000000u,
  0x3d200000u, 0x3d400000u, 0x3d400000u, 0x3d400000u, 0x3d600000u, 0x3d800000u,
  0x3d800000u, 0x3d800000u, 0x3d900000u, 0x3da00000u, 0xbcf5c290u, 0xbcf5c290u,
  0xbcdd2f1bu, 0xbcc49ba6u, 0xbcc49ba6u, 0xbcc49ba6u, 0xbcac0831u, 0xbcac0831u,
  0xbc9374bcu, 0xbc9374bcu, 0xbc75c290u, 0xbc75c290u, 0xbc449ba6u, 0xbc449ba6u,
  0xbc1374bcu, 0xbc1374bcu, 0xbbc49ba6u, 0xbbc49ba6u, 0xbb449ba6u, 0x00000000u,
  0x00000000u, 0x00000000u, 0x3b449ba6u, 0x3bc49ba6u, 0x3bc49ba6u, 0x3c1374bcu,
  0x3c1374bcu, 0x3c449ba6u, 0x3c449ba6u, 0x3c75c290u, 0x3c75c290u, 0x3c9374bcu,
  0x3c9374bcu, 0x3cac0831u, 0x3cac0831u, 0x3cc49ba6u, 0x3cc49ba6u, 0x3cc49ba6u,
  0x3cdd2f1bu, 0x3cf5c290u, 0xbde147aeu, 0xbdcac083u, 0xbdcac083u, 0xbdb43958u,
  0xbdb43958u, 0xbd9db22du, 0xbd9db22du, 0xbd872b02u, 0xbd872b02u, 0xbd872b02u,
  0xbd6147aeu, 0xbd343958u, 0xbd343958u, 0xbd072b02u, 0xbd072b02u, 0xbcb43958u,
  0xbcb43958u, 0xbcb43958u, 0xbc343958u, 0x00000000u, 0x00000000u, 0x00000000u,
  0x3c343958u, 0x3cb43958u, 0x3cb43958u, 0x3cb43958u, 0x3d072b02u, 0x3d072b02u,
  0x3d343958u, 0x3d343958u, 0x3d6147aeu, 0x3d872b02u, 0x3d872b02u, 0x3d872b02u,
  0x3d9db22du, 0x3d9db22du, 0x3db43958u, 0x3db43958u, 0x3dcac083u, 0x3dcac083u,
  0xb5c9539cu, 0xb5c9539cu, 0xb5b531a6u, 0xb5a10fb0u, 0xb5a10fb0u, 0xb5a10fb0u,
  0xb58cedbau, 0xb5719788u, 0xb5719788u, 0xb5719788u, 0xb549539cu, 0xb5210fb0u,
  0xb5210fb0u, 0xb5210fb0u, 0xb4f19788u, 0xb4a10fb0u, 0xb4a10fb0u, 0xb4a10fb0u,
  0xb4210fb0u, 0x00000000u, 0x00000000u, 0x00000000u, 0x34210fb0u, 0x34a10fb0u,
  0x34a10fb0u, 0x34a10fb0u, 0x34f19788u, 0x35210fb0u, 0x35210fb0u, 0x35210fb0u,
  0x3549539cu, 0x35719788u, 0x35719788u, 0x35719788u, 0x358cedbau, 0x35a10fb0u,
  0x35a10fb0u, 0x35a10fb0u, 0x35b531a6u, 0x35c9539cu,
};
static const uint32_t golden_fq4_dx[160] = {
  0x3e533e10u, 0xbf558680u, 0xbf62c05au, 0xbe951c88u, 0xbd19e940u, 0x3d918c40u,
  0x3ed79f80u, 0x3f3ef01cu, 0x3e2f1820u, 0x3f9bd49au, 0xbead6a78u, 0x3f8c35dcu,
  0x3ee6bd20u, 0xbf106b28u, 0x3c12d200u, 0xbeb562ecu, 0xbf65f15eu, 0x3ee6c6e8u,
  0xbca20ec0u, 0x3eb2e280u, 0xbf8d3a11u, 0xbe4c63a0u, 0x3f6ad524u, 0x3f4bf090u,
  0xbec60c74u, 0xbfaa98d3u, 0xbd97bd80u, 0x3f38f1acu, 0x3f098018u, 0xbf9d1c6fu,
  0x3dced8e0u, 0x3e2bc920u, 0xbe4a0180u, 0x3dc96f00u, 0xbdfea600u, 0x3e0f9190u,
  0x3f2c4f38u, 0x3f86aee8u, 0x3f36066cu, 0xbf0f726eu, 0xbe2846f0u, 0x3ec7c770u,
  0x3f8896b0u, 0xbf2bdb1cu, 0x3edcc348u, 0x3db6c880u, 0xbe869148u, 0x3f1a60b8u,
  0x3e3bdc00u, 0xbee06800u, 0x3efd2e78u, 0x3e9530a8u, 0xbe4c8b48u, 0x3ee52f00u,
  0x3ebd83f0u, 0x3f5ac424u, 0xbf1679b6u, 0xbeb1c0e8u, 0xbf844fc4u, 0x3ded2fc0u,
  0x3f53e8ecu, 0x3e71a810u, 0x3f0776c0u, 0xbcff2580u, 0xbe2555b0u, 0x3ee4e8a0u,
  0xbc3ab080u, 0x3f426cd8u, 0xbf0c7928u, 0xbc2fb280u, 0x3f038af8u, 0xbe97c848u,
  0xbe27b408u, 0xbf06c474u, 0xbead8e58u, 0x3f6210a8u, 0x3f27c9d4u, 0xbe69fb00u,
  0xbecaa0fcu, 0xbdeb03f0u, 0xbf8aa235u, 0x3eb588e0u, 0x3e1ff0c0u, 0x3f2dd914u,
  0xbe74e930u, 0xbf1bb6ecu, 0x3f7f4ea0u, 0xbd150340u, 0xbea5cb48u, 0xbf184980u,
  0xbec11048u, 0x3ea11b20u, 0x3f3f50b8u, 0xbe760360u, 0x3f59be08u, 0x3f64e2a0u,
  0xbe78fb10u, 0xbf0faf7cu, 0x3e1d65b0u, 0xbdc37d70u, 0x3eba0460u, 0x3d181600u,
  0xbe554d80u, 0xbe2cef10u, 0xbf868f87u, 0x3d194680u, 0xbda58a00u, 0x3ee036a8u,
  0x3f84fee6u, 0x3da619c0u, 0x3d274e00u, 0x3f11ccf8u, 0xbdb66040u, 0x3f41f118u,
  0x3ebfaff8u, 0xbf39bebcu, 0x3eb15b88u, 0xbf7e2784u, 0x3f89bd5cu, 0x3ef84258u,
  0xbd588900u, 0xbe903d30u, 0xbf16fc38u, 0xbe44c300u, 0x3df6a220u, 0x3e0c1d90u,
  0x3de06400u, 0xbe479780u, 0xbf13d81cu, 0xbeaea938u, 0x3f7cdaa8u, 0x3d983500u,
  0x3d2f1b80u, 0xbf399fbeu, 0xbedd6cc0u, 0xbf516c36u, 0x3eb1a520u, 0xbf753a30u,
  0xbf01ee9eu, 0x3eed13e0u, 0x3f1d9718u, 0x3e9ce710u, 0x3f7a9034u, 0xbe9a41a4u,
  0x3c136000u, 0x3eb3d1c0u, 0x3f9c8b28u, 0xbe452ff8u, 0xbedd4498u, 0xbdb03520u,
  0x3f591bb8u, 0xbe771e60u, 0x3e151e90u, 0xbf4c88bcu, 0x3f000188u, 0x3ed6d750u,
  0x3e9d3570u, 0x3e6550e0u, 0xbdc11de0u, 0xbe312e90u,
};
static const float golden_fq5_scale[4] = {
  1.000000015e-01f, 7.000000030e-02f, 1.099999994e-01f, 2.500000000e-01f,
};
static const int32_t golden_fq5_zp[4] = {
  0, 0, 0, 0,
};
static const uint32_t golden_fq5_y[160] = {
  0xbf4ccccdu, 0xbf4ccccdu, 0xbf4ccccdu, 0xbf4ccccdu, 0xbf4ccccdu, 0xbf4ccccdu,
  0xbf333333u, 0xbf333333u, 0xbf19999au, 0xbf19999au, 0xbf000000u, 0xbecccccdu,
  0xbecccccdu, 0xbecccccdu, 0xbe99999au, 0xbe4ccccdu, 0xbe4ccccdu, 0xbe4ccccdu,
  0xbdcccccdu, 0x00000000u, 0x00000000u, 0x00000000u, 0x3dcccccdu, 0x3e4ccccdu,
  0x3e4ccccdu, 0x3e4ccccdu, 0x3e99999au, 0x3ecccccdu, 0x3ecccccdu, 0x3ecccccdu,
  0x3f000000u, 0x3f19999au, 0x3f19999au, 0x3f333333u, 0x3f333333u, 0x3f333333u,
  0x3f333333u, 0x3f333333u, 0x3f333333u, 0x3f333333u, 0xbf0f5c29u, 0xbf0f5c29u,
  0xbf0f5c29u, 0xbf0f5c29u, 0xbf0f5c29u, 0xbefae148u, 0xbefae148u, 0xbed70a3eu,
  0xbed70a3eu, 0xbed70a3eu, 0xbeb33333u, 0xbe8f5c29u, 0xbe8f5c29u, 0xbe8f5c29u,
  0xbe570a3eu, 0xbe0f5c29u, 0xbe0f5c29u, 0xbe0f5c29u, 0xbd8f5c29u, 0x00000000u,
  0x00000000u, 0x00000000u, 0x3d8f5c29u, 0x3e0f5c29u, 0x3e0f5c29u, 0x3e0f5c29u,
  0x3e570a3eu, 0x3e8f5c29u, 0x3e8f5c29u, 0x3e8f5c29u, 0x3eb33333u, 0x3ed70a3eu,
  0x3ed70a3eu, 0x3ed70a3eu, 0x3efae148u, 0x3efae148u, 0x3efae148u, 0x3efae148u,
  0x3efae148u, 0x3efae148u, 0xbf6147aeu, 0xbf6147aeu, 0xbf6147aeu, 0xbf6147aeu,
  0xbf6147aeu, 0xbf6147aeu, 0xbf451eb8u, 0xbf28f5c2u, 0xbf28f5c2u, 0xbf28f5c2u,
  0xbf0ccccdu, 0xbee147aeu, 0xbee147aeu, 0xbea8f5c2u, 0xbea8f5c2u, 0xbe6147aeu,
  0xbe6147aeu, 0xbde147aeu, 0xbde147aeu, 0x00000000u, 0x00000000u, 0x00000000u,
  0x3de147aeu, 0x3de147aeu, 0x3e6147aeu, 0x3e6147aeu, 0x3ea8f5c2u, 0x3ea8f5c2u,
  0x3ee147aeu, 0x3ee147aeu, 0x3f0ccccdu, 0x3f28f5c2u, 0x3f28f5c2u, 0x3f28f5c2u,
  0x3f451eb8u, 0x3f451eb8u, 0x3f451eb8u, 0x3f451eb8u, 0x3f451eb8u, 0x3f451eb8u,
  0xc0000000u, 0xc0000000u, 0xc0000000u, 0xc0000000u, 0xc0000000u, 0xc0000000u,
  0xbfe00000u, 0xbfc00000u, 0xbfc00000u, 0xbfc00000u, 0xbfa00000u, 0xbf800000u,
  0xbf800000u, 0xbf800000u, 0xbf400000u, 0xbf000000u, 0xbf000000u, 0xbf000000u,
  0xbe800000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x3e800000u, 0x3f000000u,
  0x3f000000u, 0x3f000000u, 0x3f400000u, 0x3f800000u, 0x3f800000u, 0x3f800000u,
  0x3fa00000u, 0x3fc00000u, 0x3fc00000u, 0x3fc00000u, 0x3fe00000u, 0x3fe00000u,
  0x3fe00000u, 0x3fe00000u, 0x3fe00000u, 0x3fe00000u,
};
static const uint32_t golden_fq5_dx[160] = {
  0x00000000u, 0x00000000u, 0x00000000u, 0xbedd2d08u, 0x3e8bafd0u, 0xbdc61f80u,
  0xbf3d2a00u, 0x3f05c60cu, 0x3e180a80u, 0xbf1f121au, 0x3f969ce2u, 0x3e8b6800u,
  0xbf1e1decu, 0x3ed759a0u, 0x3b9d1c00u, 0x3f463674u, 0xbf1c857cu, 0xbe56adc0u,
  0x3e85d2a0u, 0xbdfed3e0u, 0x3e8e8310u, 0xbf03cb0cu, 0x3ea0c050u, 0xbf7e3116u,
  0xbf5ca3e4u, 0xbf3d50ccu, 0xbf50f3c4u, 0x3ece5d50u, 0xbefa7fa8u, 0x3e830140u,
  0x3eed9648u, 0x3d8118c0u, 0xbecc6034u, 0x3dbd9f80u, 0xbf067092u, 0x00000000u,
  0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u,
  0x00000000u, 0xbef864d8u, 0x3ebf2d78u, 0x3f0b1a80u, 0x3f338030u, 0x3e3ebb10u,
  0xbe1b5ac0u, 0xbfa93a69u, 0x3e5b7810u, 0xbe84d5b0u, 0xbf8c4dfau, 0xbfb2b59bu,
  0xbf1d7e08u, 0xbe13fb18u, 0xbf297a46u, 0xbef8ad78u, 0x3e412400u, 0xbf5b26bcu,
  0x3e9dc680u, 0x3f4f5620u, 0x3eb59288u, 0x3f4aee88u, 0x3e5dcbd0u, 0x3fa18a50u,
  0x3e6f8490u, 0x3d79fe00u, 0x3f4011c8u, 0x3f6b874cu, 0xbe37b630u, 0xbf3b8c04u,
  0xbf329874u, 0xbeb717acu, 0x3fb143d2u, 0x3e438790u, 0x00000000u, 0x00000000u,
  0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0xbee80938u,
  0x3df93fc0u, 0xbca00440u, 0x3e32fec0u, 0x3f791ce0u, 0x3f0bd08cu, 0x3f00ca5cu,
  0x3ecd0168u, 0xbf8ce552u, 0x3f3a31b0u, 0xbea866b8u, 0xbf0103c0u, 0xbdf4a380u,
  0x3fc89f00u, 0x3f50ce84u, 0xbf0c7e0cu, 0xbee5a670u, 0xbf766b68u, 0xbe7e9678u,
  0xbf8bc614u, 0xbe83e00cu, 0x3d8ef520u, 0xbf5cee98u, 0x3f4bd1c4u, 0xbfc0b843u,
  0x3ef1fd00u, 0xbe91b348u, 0x3e58aef0u, 0xbe812378u, 0xbe3a6008u, 0xbf14738eu,
  0xbe66ab00u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u,
  0x00000000u, 0x00000000u, 0x00000000u, 0x3e12ae00u, 0x3e1aadd0u, 0xbf906d37u,
  0xbfbe0683u, 0x3de36fe0u, 0x3ec2da48u, 0x3f788368u, 0x3eb3b470u, 0x3e4ba480u,
  0xbf561414u, 0xbec3f7b8u, 0xbd8fa050u, 0x3ef64038u, 0xbf16b37cu, 0x3ddad960u,
  0x3f7c5fb0u, 0x3f0e7638u, 0x3e2632c0u, 0xbf339978u, 0x3f79e7e0u, 0xbee76350u,
  0x3e97fa00u, 0x3f860e30u, 0x3c1e2800u, 0xbe101f68u, 0x3f3a7834u, 0x3e01ab00u,
  0xbedd71c0u, 0xbf0b6e50u, 0xbfc49488u, 0x3f28be78u, 0xbeeb1724u, 0x00000000u,
  0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u,
};

static const struct golden_fakequant golden_fakequants[] = {
  { 0, 1, 200, 0, 255, 64, 900, 3.0f, golden_fq0_scale, golden_fq0_zp,
    golden_fq0_y, golden_fq0_dx },
  { 0, 1, 200, 0, 127, 64, 902, 3.0f, golden_fq1_scale, golden_fq1_zp,
    golden_fq1_y, golden_fq1_dx },
  { 0, 1, 100, 0, 255, 0, 904, 50.0f, golden_fq2_scale, golden_fq2_zp,
    golden_fq2_y, golden_fq2_dx },
  { 1, 1, 100, -128, 127, 50, 906, 1.0f, golden_fq3_scale, golden_fq3_zp,
    golden_fq3_y, golden_fq3_dx },
  { 1, 4, 40, -128, 127, 40, 908, 1.0f, golden_fq4_scale, golden_fq4_zp,
    golden_fq4_y, golden_fq4_dx },
  { 1, 4, 40, -8, 7, 40, 910, 1.0f, golden_fq5_scale, golden_fq5_zp,
    golden_fq5_y, golden_fq5_dx },
};

/* Gradient of the step, x = golden_fill (seed, fill, 0), dy = golden_fill
 * (seed + 1, 1, 0), without the factor 1 / sqrt (n qmax). */
struct golden_lsq {
  int qmin, qmax, n;
  uint32_t seed;
  float fill, scale, dscale;
};

static const struct golden_lsq golden_lsqs[] = {
  { -128, 127, 500, 950, 1.0f, 7.000000216e-03f, 3.632483521e+02f },
  { -8, 7, 500, 952, 1.0f, 1.000000015e-01f, -4.123991013e+01f },
};

/* 41 weights golden_fill (1, 1, 0) after 6 steps with gradients
 * golden_fill (2 + step, 0.5, 0). */
#define GOLDEN_OPTIM_N 41
#define GOLDEN_OPTIM_STEPS 6
struct golden_optimizer {
  const char *name, *options;
  float lr;
  const uint32_t *w;
};

static const uint32_t golden_opt0[41] = {
  0x3d74794fu, 0x3dfa7ba6u, 0xbf1a0e13u, 0x3ef09e64u, 0xbe8e3bb8u, 0x3dfb5975u,
  0x3f0e12e5u, 0x3e6274c1u, 0xbf217deau, 0x3dc6229cu, 0x3f36890bu, 0xbea21132u,
  0x3ef134c4u, 0xbe0463b0u, 0x3e8fdff0u, 0x3e681f52u, 0x3ef30bbcu, 0xbf7bec6fu,
  0x3f36d139u, 0x3e9809f4u, 0xbdfee2f0u, 0xbe1a0dc1u, 0x3ebfc229u, 0xbe4fdd03u,
  0x3ef39ec0u, 0x3dfb4d12u, 0xbf626b34u, 0xbe6bb61eu, 0xbf048f1du, 0x3f6393ebu,
  0xbf917273u, 0xbec102b4u, 0x3f42d690u, 0xbf58efeau, 0x3e604b6eu, 0x3f3f4055u,
  0xbf24a711u, 0xbdd43180u, 0xbe3639f9u, 0x3ebbff86u, 0xbeb8e4afu,
};
static const uint32_t golden_opt1[41] = {
  0x3d743e33u, 0x3dfa3bcfu, 0xbf19e958u, 0x3ef06436u, 0xbe8e1972u, 0x3dfb1ee4u,
  0x3f0df1aau, 0x3e623ce0u, 0xbf2157e7u, 0x3dc5f174u, 0x3f365d1bu, 0xbea1ea15u,
  0x3ef0fa4cu, 0xbe04446cu, 0x3e8fbe47u, 0x3e67e9f0u, 0x3ef2d14du, 0xbf7baf6eu,
  0x3f36a594u, 0x3e97e58fu, 0xbdfea43fu, 0xbe19e606u, 0x3ebf93cfu, 0xbe4fa90cu,
  0x3ef36471u, 0x3dfb0c3cu, 0xbf623454u, 0xbe6b7de4u, 0xbf046f44u, 0x3f635d73u,
  0xbf914f56u, 0xbec0d61fu, 0x3f42a827u, 0xbf58bd1au, 0x3e601751u, 0x3f3f1270u,
  0xbf247fbcu, 0xbdd3fc5eu, 0xbe36100cu, 0x3ebbd18au, 0xbeb8b84bu,
};
static const uint32_t golden_opt2[41] = {
  0x3d756011u, 0x3db9b951u, 0xbf1957cbu, 0x3eec840au, 0xbe90770au, 0x3e06c87bu,
  0x3f186964u, 0x3e63cd8eu, 0xbf254e88u, 0x3dbc3e02u, 0x3f3d47f1u, 0xbe9805d2u,
  0x3ee0fe85u, 0xbdccd4ecu, 0x3ea1f5c2u, 0x3e84b528u, 0x3efc673bu, 0xbf736987u,
  0x3f44d195u, 0x3e9734fcu, 0xbdfffbd1u, 0xbde99ff1u, 0x3ece72b3u, 0xbe53b157u,
  0x3ef8e8dfu, 0x3de22b10u, 0xbf61ad84u, 0xbe6a3751u, 0xbf0a699eu, 0x3f68bae5u,
  0xbf8e71e2u, 0xbec8e5e1u, 0x3f4a3961u, 0xbf627137u, 0x3e55389eu, 0x3f3a8682u,
  0xbf1d1eb0u, 0xbd98e360u, 0xbe602f16u, 0x3e9aa55cu, 0xbeb7ccbcu,
};
static const uint32_t golden_opt3[41] = {
  0x3d68aadcu, 0x3dc87b6bu, 0xbf19eaa4u, 0x3ef18a7eu, 0xbe8eaf0au, 0x3e082530u,
  0x3f153988u, 0x3e6acea1u, 0xbf22e0ccu, 0x3dc22aedu, 0x3f3d8ce4u, 0xbe9b4578u,
  0x3ee06a9bu, 0xbdbfbe2fu, 0x3e9a5f18u, 0x3e817e96u, 0x3ef6c30fu, 0xbf759df1u,
  0x3f42769bu, 0x3e94bbb1u, 0xbe031557u, 0xbdf9e02du, 0x3eceea24u, 0xbe50b1cfu,
  0x3ef8eeb1u, 0x3df45fa5u, 0xbf630033u, 0xbe6bf90eu, 0xbf0b0d94u, 0x3f672c41u,
  0xbf8ec3feu, 0xbec50c39u, 0x3f46f5aau, 0xbf5daf9cu, 0x3e4f5dedu, 0x3f3c72d0u,
  0xbf1e5f60u, 0xbda44b46u, 0xbe54747au, 0x3ea00bd2u, 0xbeb997b6u,
};
static const uint32_t golden_opt4[41] = {
  0x3d752acbu, 0x3dbac7f0u, 0xbf1a3e59u, 0x3eeb6230u, 0xbe8f7c17u, 0x3e075dccu,
  0x3f1920ebu, 0x3e5dd40bu, 0xbf270a4fu, 0x3db96c38u, 0x3f3b08e7u, 0xbe994e57u,
  0x3ee27f55u, 0xbddf62f4u, 0x3ea1529au, 0x3e84dbfeu, 0x3efa37f1u, 0xbf730b00u,
  0x3f426769u, 0x3e97c52cu, 0xbdfa4c23u, 0xbde625c2u, 0x3ec97e22u, 0xbe4c080eu,
  0x3ef7cd71u, 0x3dd64228u, 0xbf5fc2c0u, 0xbe6b454au, 0xbf08d0f8u, 0x3f67fdc7u,
  0xbf8e56cfu, 0xbecd58ceu, 0x3f49c7e5u, 0xbf64d707u, 0x3e5e216au, 0x3f3b541bu,
  0xbf1f86bfu, 0xbd9db0bau, 0xbe5d2ae5u, 0x3e9f0009u, 0xbeb7b530u,
};
static const uint32_t golden_opt5[41] = {
  0x3d44adf6u, 0x3d9f480eu, 0xbf1c20edu, 0x3ef3c506u, 0xbe8af9bfu, 0x3e14ac54u,
  0x3f201ef8u, 0x3e6dad51u, 0xbf23dba1u, 0x3dc592b8u, 0x3f400b93u, 0xbe8a913fu,
  0x3ee3f009u, 0xbdd17b3fu, 0x3e966290u, 0x3e9433beu, 0x3ef52aa5u, 0xbf6e3726u,
  0x3f45c9cfu, 0x3e91f91du, 0xbe08eb28u, 0xbde37766u, 0x3ed57cf7u, 0xbe4c1ab4u,
  0x3f019e49u, 0x3e0df618u, 0xbf6815dfu, 0xbe753b4au, 0xbf0cf4e9u, 0x3f71f3fcu,
  0xbf8b216eu, 0xbecb89b3u, 0x3f45e154u, 0xbf5b7c7au, 0x3e3ec170u, 0x3f3c7132u,
  0xbf199e74u, 0xbd1adf96u, 0xbe7011deu, 0x3ea12768u, 0xbec45044u,
};
static const uint32_t golden_opt6[41] = {
  0x3d4f6d52u, 0x3da14a9du, 0xbf1b956bu, 0x3ef1e6c2u, 0xbe8aa0d2u, 0x3e126caeu,
  0x3f206078u, 0x3e682f54u, 0xbf245f51u, 0x3dc54755u, 0x3f3e2417u, 0xbe8a6735u,
  0x3ee4c401u, 0xbddb1188u, 0x3e96e3bbu, 0x3e92cc21u, 0x3ef50eecu, 0xbf6daf2au,
  0x3f449583u, 0x3e92f473u, 0xbe05635eu, 0xbde330d0u, 0x3ed17e20u, 0xbe4b84fbu,
  0x3f006e3eu, 0x3e096ad7u, 0xbf66877fu, 0xbe73e598u, 0xbf0b5877u, 0x3f714c57u,
  0xbf8b1486u, 0xbeccf96cu, 0x3f4597b0u, 0xbf5c67c2u, 0x3e430802u, 0x3f3bbfecu,
  0xbf1a8b35u, 0xbd223fdcu, 0xbe6e88b1u, 0x3ea31b1fu, 0xbec33b30u,
};

static const struct golden_optimizer golden_optimizers[] = {
  { "sgd", "", 0.015625f, golden_opt0 },
  { "sgd", "weight_decay=0.01", 0.015625f, golden_opt1 },
  { "sgd", "momentum=0.9", 0.015625f, golden_opt2 },
  { "sgd", "momentum=0.9 dampening=0.25 weight_decay=0.001", 0.015625f, golden_opt3 },
  { "sgd", "momentum=0.8 nesterov=yes weight_decay=0.001", 0.015625f, golden_opt4 },
  { "adam", "", 0.015625f, golden_opt5 },
  { "adam", "beta1=0.8 beta2=0.99 eps=1e-6 weight_decay=0.01", 0.015625f, golden_opt6 },
};

#endif /* QUANT_GOLDEN_H */
