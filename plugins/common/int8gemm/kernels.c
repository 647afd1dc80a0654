/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernels.c: which kernels a CPU level gets. */
#include "config.h"

#include "int8gemm/kernels.h"

/* Table of ISA's kernels for windows of 3x3. */
#define WINOGRAD(isa)                                                         \
  ((struct qk_winograd_kernels){ qk_winograd_input_u8s8__##isa,               \
                                 qk_winograd_product_u8s8__##isa,             \
                                 qk_winograd_output_u8s8__##isa })

void
qk_kernels_init (struct qk_kernels *k, enum qk_cpu_level level)
{
  k->level = level;
  k->lanes = 4;
  k->max_vectors = 4;
  k->saturates = false;
  k->gemm = qk_gemm_u8s8_1x16__c;
  k->gemm_u8s4 = qk_gemm_u8s4_1x16__c;
  k->u8s4_rows = INT64_MAX;
  k->gemm_taps = qk_gemm_taps_u8s8_1x16__c;
  k->gemm_lines = qk_gemm_lines_u8s8_1x16__c;
  k->winograd = WINOGRAD (c);
  k->dwconv = qk_dwconv_u8s8__c;
  k->dwconv_narrow = NULL;
  k->grouped = NULL;
  k->grouped_piece = 4;
  k->peak = NULL;

#if defined(__x86_64__) || defined(__i386__)
  if (level < QK_CPU_AVX2)
    return;
  k->lanes = 8;
  k->max_vectors = 2;
  k->saturates = true;
  k->gemm = qk_gemm_u8s8_6x16__avx2;
  k->gemm_u8s4 = qk_gemm_u8s4_2x16__avx2;
  k->gemm_taps = NULL;
  k->gemm_lines = NULL;
  k->winograd = WINOGRAD (avx2);
  k->dwconv = qk_dwconv_u8s8__avx2;
  k->grouped = qk_grouped_u8s8__avx2;
  k->grouped_piece = 2;
  k->peak = qk_peak__avx2;

  if (level < QK_CPU_AVXVNNI)
    return;
  if (level == QK_CPU_AVXVNNI) {
    k->saturates = false;
    k->gemm = qk_gemm_u8s8_6x16__avxvnni;
    k->gemm_u8s4 = qk_gemm_u8s4_2x16__avxvnni;
    k->u8s4_rows = 4; /* of its sixteen registers few are left */
    k->gemm_taps = qk_gemm_taps_u8s8_6x16__avxvnni;
    k->gemm_lines = qk_gemm_lines_u8s8_6x16__avxvnni;
    k->winograd = WINOGRAD (avxvnni);
    k->dwconv = qk_dwconv_u8s8__avxvnni;
    k->grouped = qk_grouped_u8s8__avxvnni;
    k->grouped_piece = 4;
    k->peak = qk_peak__avxvnni;
    return;
  }

  k->lanes = 16;
  k->max_vectors = 4;
  k->gemm = qk_gemm_u8s8_6x64__avx512;
  k->gemm_u8s4 = qk_gemm_u8s4_4x64__avx512;
  k->gemm_taps = NULL;
  k->gemm_lines = NULL;
  k->winograd = WINOGRAD (avx512);
  k->dwconv = qk_dwconv_u8s8__avx512;
  k->grouped = qk_grouped_u8s8__avx512;
  k->grouped_piece = 2;
  k->peak = qk_peak__avx512;

  if (level < QK_CPU_AVX512VNNI)
    return;
  k->saturates = false;
  k->gemm = qk_gemm_u8s8_6x64__avx512vnni;
  k->gemm_u8s4 = qk_gemm_u8s4_4x64__avx512vnni;
  k->gemm_taps = qk_gemm_taps_u8s8_6x64__avx512vnni;
  k->gemm_lines = qk_gemm_lines_u8s8_6x64__avx512vnni;
  k->winograd = WINOGRAD (avx512vnni);
  k->dwconv = qk_dwconv_u8s8__avx512vnni;
  k->dwconv_narrow = qk_dwconv_u8s8_narrow__avx512vnni;
  k->grouped = qk_grouped_u8s8__avx512vnni;
  k->grouped_piece = 4;
  k->peak = qk_peak__avx512vnni;
#endif
}
