/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dot-vnni.h: v_dot with vpdpbusd: acc + a0 w0 + … + a3 w3 a lane, modulo
 * 2^32 and never saturating. */
INLINE vi
v_dot (vi acc, vi a, vi w)
{
#if LANES == 8
  return _mm256_dpbusd_avx_epi32 (acc, a, w);
#else
  return _mm512_dpbusd_epi32 (acc, a, w);
#endif
}
