/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dot-maddubs.h: products without VNNI.  v_pairs gives a0 w0 + a1 w1 and
 * a2 w2 + a3 w3 of a lane in int16, exact where neither leaves int16;
 * v_add_pairs adds both to int32.  v_dot does all of it. */
#define DOT_CHAINS 1

#if LANES == 8
INLINE vi
v_pairs (vi a, vi w)
{
  return _mm256_maddubs_epi16 (a, w);
}
#else
INLINE vi
v_pairs (vi a, vi w)
{
  return _mm512_maddubs_epi16 (a, w);
}
#endif

INLINE vi
v_add_pairs (vi acc, vi pairs)
{
  return v_add32 (acc, v_madd16 (pairs, v_set16 (1)));
}

/* X, computed here and not with others later: gcc would start many products
 * at once and run out of registers. */
INLINE vi
v_here (vi x)
{
  __asm__ volatile("" : "+v"(x));
  return x;
}

INLINE vi
v_dot (vi acc, vi a, vi w)
{
  return v_add_pairs (acc, v_pairs (a, w));
}
