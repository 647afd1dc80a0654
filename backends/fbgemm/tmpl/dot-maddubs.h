/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dot-maddubs.h: v_dot without VNNI: acc + a0 w0 + … + a3 w3 a lane, exact
 * where neither a0 w0 + a1 w1 nor a2 w2 + a3 w3 leaves int16. */
#if LANES == 8
INLINE vi
v_dot (vi acc, vi a, vi w)
{
  const vi pairs = _mm256_maddubs_epi16 (a, w);

  return v_add32 (acc, _mm256_madd_epi16 (pairs, _mm256_set1_epi16 (1)));
}
#else
INLINE vi
v_dot (vi acc, vi a, vi w)
{
  const vi pairs = _mm512_maddubs_epi16 (a, w);

  return v_add32 (acc, _mm512_madd_epi16 (pairs, _mm512_set1_epi16 (1)));
}
#endif
