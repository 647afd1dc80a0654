/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernels.c: which kernels a CPU level gets. */
#include "config.h"

#include "kernels.h"

void
q8_kernels_init (struct q8_kernels *k, enum qk_cpu_level level)
{
  *k = (struct q8_kernels){ .level = level, .mr = 4, .kr = 1 };
  k->gemm = qk_gemm_u8s8_4x16__c;
  k->dwconv = qk_dwconv_u8s8__c;
  k->point = pointwise_portable;

#if defined(__aarch64__)
  if (level < QK_CPU_NEON)
    return;
  k->gemm = qk_gemm_u8s8_4x16__neon;
  k->dwconv = qk_dwconv_u8s8__neon;
  k->point = (struct pointwise_kernels) POINTWISE_KERNELS (neon);

  if (level < QK_CPU_DOTPROD)
    return;
  k->kr = 4;
  k->offset = 128;
  k->gemm = qk_gemm_u8s8_4x16__dotprod;

  if (level < QK_CPU_I8MM)
    return;
  k->kr = 8;
  k->offset = 0;
  k->gemm = qk_gemm_u8s8_4x16__i8mm;
#endif
}
