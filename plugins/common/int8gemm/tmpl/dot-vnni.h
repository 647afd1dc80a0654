/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dot-vnni.h: v_dot with vpdpbusd: acc + a0 w0 + … + a3 w3 a lane, modulo
 * 2^32 and never saturating.
 *
 * Written in assembler because gcc 12 keeps a copy of every accumulator in
 * memory around its own builtin, which costs more than half of the speed.
 * For vectors of 256 bits AVX-VNNI and AVX-512 VNNI encode it differently;
 * DOT_EVEX asks for the latter.  The former has registers 0 to 15 only, which
 * is "x": under -march=x86-64-v4 gcc takes any of 32 for "v". */
#if LANES == 8 && !defined DOT_EVEX
#define VPDPBUSD "%{vex%} vpdpbusd %2, %1, %0"
#define VPDPBUSD_REGISTER "x"
#else
#define VPDPBUSD "vpdpbusd %2, %1, %0"
#define VPDPBUSD_REGISTER "v"
#endif

INLINE vi
v_dot (vi acc, vi a, vi w)
{
  __asm__(VPDPBUSD
          : "+" VPDPBUSD_REGISTER (acc)
          : VPDPBUSD_REGISTER (a), VPDPBUSD_REGISTER (w));
  return acc;
}
