/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-6x64-avx512.c: qk_gemm_u8s8 for avx512, 6 rows by 64 channels. */
#include "config.h"

#include "../tmpl/vec512.h"
#include "../tmpl/dot-maddubs.h"

#define GEMM_NAME qk_gemm_u8s8_6x64__avx512
#define GEMM_U8S4_NAME qk_gemm_u8s4_4x64__avx512
#define GEMM_ROWS_1 12
#define GEMM_ROWS_2 12
#define GEMM_ROWS_3 8
#define GEMM_ROWS_4 6
#define EXACT_ROWS_1 12
#define EXACT_ROWS_2 8
#define EXACT_ROWS_3 6
#define EXACT_ROWS_4 4
#define CHAIN_ROWS_1 12
#define CHAIN_ROWS_2 8
#define CHAIN_ROWS_3 6
#define CHAIN_ROWS_4 4
#define ABOUT_ROWS_1 12
#define ABOUT_ROWS_2 6
#define ABOUT_ROWS_3 4
#define ABOUT_ROWS_4 3
#include "../tmpl/gemm-u8s8.h"
