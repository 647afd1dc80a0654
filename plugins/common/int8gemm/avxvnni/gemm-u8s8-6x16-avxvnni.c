/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-6x16-avxvnni.c: qk_gemm_u8s8 for avxvnni, 6 rows by 16
 * channels. */
#include "config.h"

#include "../tmpl/vec256.h"
#include "../tmpl/dot-vnni.h"

#define GEMM_NAME qk_gemm_u8s8_6x16__avxvnni
#define GEMM_TAPS_NAME qk_gemm_taps_u8s8_6x16__avxvnni
#define GEMM_LINES_NAME qk_gemm_lines_u8s8_6x16__avxvnni
#define GEMM_U8S4_NAME qk_gemm_u8s4_2x16__avxvnni
#define GEMM_ROWS_1 12
#define GEMM_ROWS_2 6
#define GEMM_ROWS_3 0
#define GEMM_ROWS_4 0
#include "../tmpl/gemm-u8s8.h"
