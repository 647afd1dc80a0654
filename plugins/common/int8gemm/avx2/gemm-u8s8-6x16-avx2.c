/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-6x16-avx2.c: qk_gemm_u8s8 for avx2, 6 rows by 16 channels. */
#include "config.h"

#include "../tmpl/vec256.h"
#include "../tmpl/dot-maddubs.h"

#define GEMM_NAME qk_gemm_u8s8_6x16__avx2
#define GEMM_U8S4_NAME qk_gemm_u8s4_2x16__avx2
#define GEMM_ROWS_1 12
#define GEMM_ROWS_2 6
#define GEMM_ROWS_3 0
#define GEMM_ROWS_4 0
#define EXACT_ROWS_1 8
#define EXACT_ROWS_2 4
#define CHAIN_ROWS_1 8
#define CHAIN_ROWS_2 4
#define ABOUT_ROWS_1 6
#define ABOUT_ROWS_2 3
#include "../tmpl/gemm-u8s8.h"
