/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peak.h: template of qk_peak: include a vector header and a header of v_dot,
 * define PEAK_NAME, then include this.
 *
 * Nothing but products, in the mix the gemm kernel uses, on registers: what
 * no kernel of this level can surpass. */
#include "int8gemm/kernels.h"

#define PEAK_SUMS 12 /* independent, to hide what a product takes */

/* A vector the compiler knows nothing about. */
INLINE vi
peak_unknown (vi x)
{
  __asm__ volatile("" : "+v"(x));
  return x;
}

#ifdef DOT_CHAINS
#define PEAK_STEPS QK_GEMM_CHAIN

INLINE vi
peak_step (vi acc, vi x, vi w)
{
  vi sum = v_pairs (peak_unknown (x), w);

  UNROLL
  for (int i = 1; i < PEAK_STEPS; i++)
    sum = v_add16 (sum, v_pairs (peak_unknown (x), w));
  return v_add_pairs (acc, sum);
}
#else
#define PEAK_STEPS 1

INLINE vi
peak_step (vi acc, vi x, vi w)
{
  return v_dot (acc, x, w);
}
#endif

static int64_t
peak_u8s8 (int64_t rounds)
{
  const vi x = peak_unknown (v_zero ()), w = peak_unknown (v_zero ());
  vi acc[PEAK_SUMS];

  UNROLL
  for (int i = 0; i < PEAK_SUMS; i++)
    acc[i] = v_zero ();
  for (int64_t n = 0; n < rounds; n++) {
    UNROLL
    for (int i = 0; i < PEAK_SUMS; i++)
      acc[i] = peak_step (acc[i], x, w);
  }
  UNROLL
  for (int i = 0; i < PEAK_SUMS; i++)
    peak_unknown (acc[i]);
  return rounds * PEAK_SUMS * PEAK_STEPS * 4 * LANES;
}

/* Assembler, for the level's flags need not have FMA. */
static int64_t
peak_f32 (int64_t rounds)
{
  vf acc[PEAK_SUMS];
  vf x = vf_set (0.0f);

  UNROLL
  for (int i = 0; i < PEAK_SUMS; i++)
    acc[i] = x;
  for (int64_t n = 0; n < rounds; n++) {
    UNROLL
    for (int i = 0; i < PEAK_SUMS; i++)
      __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(acc[i]) : "v"(x));
  }
  return rounds * PEAK_SUMS * LANES;
}

QK_PEAK (PEAK_NAME) { return f32 ? peak_f32 (rounds) : peak_u8s8 (rounds); }
