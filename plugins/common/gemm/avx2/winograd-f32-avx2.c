/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd-f32-avx2.c: kernels of winograd.c for AVX2 with FMA. */
#include "config.h"

#include <immintrin.h>

#define KERNELS winograd_kernels__avx2
#define VEC __m256
#define LANES 8
#define LOAD(p) _mm256_loadu_ps (p)
#define LOAD_BYTES(p)                                                         \
  _mm256_cvtepi32_ps (                                                        \
    _mm256_cvtepu8_epi32 (_mm_loadl_epi64 ((const __m128i *) (p))))
#define STORE(p, v) _mm256_storeu_ps (p, v)
#define SPLAT(x) _mm256_set1_ps (x)
#define MADD(a, b, c) _mm256_fmadd_ps (a, b, c)
#define NMADD(a, b, c) _mm256_fnmadd_ps (a, b, c)
#define ROWS_1 8
#define ROWS_2 4
#include "../tmpl/winograd-f32.h"
