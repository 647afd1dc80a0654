/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernels.c: which kernels a CPU level gets. */
#include "config.h"

#include "kernels.h"

#if defined(__aarch64__)
static const struct pointwise_extras neon_extras
  = { .fixed = { [QK_ADD] = qk_add_fixed_u8__neon,
                 [QK_SUB] = qk_sub_fixed_u8__neon,
                 [QK_MUL] = qk_mul_fixed_u8__neon },
      .max_rows = qk_max_rows_u8__neon,
      .max_cols = qk_max_cols_u8__neon,
      .sum_rows = qk_sum_rows_u8__neon,
      .mean_cols = qk_mean_cols_u8__neon,
      .add_rows = qk_add_rows_u8__neon,
      .blend_cols = qk_blend_cols_f32__neon,
      .blend_rows = qk_blend_rows_u8__neon };
#endif

void
q8_kernels_init (struct q8_kernels *k, enum qk_cpu_level level)
{
  *k = (struct q8_kernels){ .level = level };
  k->point = pointwise_portable;

#if defined(__aarch64__)
  if (level >= QK_CPU_NEON) {
    k->point = (struct pointwise_kernels) POINTWISE_KERNELS (neon);
    k->point.extras = &neon_extras;
  }
#endif
}

struct q8_gemm
q8_gemm_for (enum qk_cpu_level level, int64_t rows, bool lowest)
{
  static const struct q8_gemm c = { 4, 16, 1, 0, qk_gemm_u8s8_4x16__c };
#if defined(__aarch64__)
  static const struct q8_gemm lane
    = { 4, 16, 1, 0, qk_gemm_u8s8_4x16__neon_lane };
  static const struct q8_gemm neon[]
    = { { 4, 4, 16, 128, qk_gemm_u8s8_4x16__neon },
        { 1, 4, 16, 128, qk_gemm_u8s8_1x16__neon } };
  static const struct q8_gemm dot[]
    = { { 4, 16, 4, 128, qk_gemm_u8s8_4x16__dotprod },
        { 1, 16, 4, 128, qk_gemm_u8s8_1x16__dotprod } };
  static const struct q8_gemm i8mm = { 4, 16, 8, 0, qk_gemm_u8s8_4x16__i8mm };

  if (level >= QK_CPU_I8MM && rows > 1)
    return i8mm;
  if (level >= QK_CPU_DOTPROD)
    return dot[rows == 1];
  if (level >= QK_CPU_NEON)
    return lowest ? lane : neon[rows == 1];
#else
  (void) level, (void) rows, (void) lowest;
#endif
  return c;
}

struct q8_dwconv
q8_dwconv_for (enum qk_cpu_level level, bool lowest)
{
  static const struct q8_dwconv c = { true, 0, qk_dwconv_u8s8__c };
#if defined(__aarch64__)
  static const struct q8_dwconv wide = { true, 0, qk_dwconv_u8s8__neon_wide };
  static const struct q8_dwconv neon = { false, 128, qk_dwconv_u8s8__neon };

  if (level >= QK_CPU_NEON)
    return lowest ? wide : neon;
#else
  (void) level, (void) lowest;
#endif
  return c;
}
