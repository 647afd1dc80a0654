/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernels.c: which kernels without weights a CPU level gets. */
#include "config.h"

#include "kernels.h"

#if defined(__x86_64__) || defined(__i386__)
static const struct pointwise_kernels avx2 = POINTWISE_KERNELS (avx2);
static const struct pointwise_kernels avx512 = POINTWISE_KERNELS (avx512);
#endif

const struct pointwise_kernels *
fbgemm_pointwise_kernels (enum qk_cpu_level level)
{
#if defined(__x86_64__) || defined(__i386__)
  if (level >= QK_CPU_AVX512)
    return &avx512;
  if (level >= QK_CPU_AVX2)
    return &avx2;
#endif
  (void) level;
  return &pointwise_portable;
}
