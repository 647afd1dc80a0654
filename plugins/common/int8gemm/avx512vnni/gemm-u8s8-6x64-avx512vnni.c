/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-6x64-avx512vnni.c: qk_gemm_u8s8 for avx512vnni, 6 rows by 64
 * channels. */
#include "config.h"

#include "../tmpl/vec512.h"
#include "../tmpl/dot-vnni.h"

#define GEMM_NAME qk_gemm_u8s8_6x64__avx512vnni
#define GEMM_TAPS_NAME qk_gemm_taps_u8s8_6x64__avx512vnni
#define GEMM_LINES_NAME qk_gemm_lines_u8s8_6x64__avx512vnni
#define GEMM_U8S4_NAME qk_gemm_u8s4_4x64__avx512vnni
#define GEMM_ROWS_1 12
#define GEMM_ROWS_2 12
#define GEMM_ROWS_3 8
#define GEMM_ROWS_4 6
#include "../tmpl/gemm-u8s8.h"
