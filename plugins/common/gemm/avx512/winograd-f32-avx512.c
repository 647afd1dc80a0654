/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd-f32-avx512.c: kernels of winograd.c for AVX-512. */
#include "config.h"

#include <immintrin.h>

#define KERNELS winograd_kernels__avx512
#define VEC __m512
#define LANES 16
#define LOAD(p) _mm512_loadu_ps (p)
#define LOAD_BYTES(p)                                                         \
  _mm512_cvtepi32_ps (                                                        \
    _mm512_cvtepu8_epi32 (_mm_loadu_si128 ((const __m128i *) (p))))
#define STORE(p, v) _mm512_storeu_ps (p, v)
#define SPLAT(x) _mm512_set1_ps (x)
#define MADD(a, b, c) _mm512_fmadd_ps (a, b, c)
#define NMADD(a, b, c) _mm512_fnmadd_ps (a, b, c)
#define ROWS_1 16
#define ROWS_2 8
#include "../tmpl/winograd-f32.h"
