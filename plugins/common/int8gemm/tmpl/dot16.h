/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dot16.h: v_dot on numbers of 16 bits: acc + a0 w0 + a1 w1 a lane, modulo
 * 2^32.  With DOT_VNNI by vpdpwssd, in assembler for the reason that dot-vnni.h
 * gives. */
#ifdef DOT_VNNI
#if LANES == 8 /* the short encoding has registers 0 to 15 only: "x" */
#define VPDPWSSD "%{vex%} vpdpwssd %2, %1, %0"
#define VPDPWSSD_REGISTER "x"
#else
#define VPDPWSSD "vpdpwssd %2, %1, %0"
#define VPDPWSSD_REGISTER "v"
#endif

INLINE vi
v_dot (vi acc, vi a, vi w)
{
  __asm__(VPDPWSSD
          : "+" VPDPWSSD_REGISTER (acc)
          : VPDPWSSD_REGISTER (a), VPDPWSSD_REGISTER (w));
  return acc;
}
#else
INLINE vi
v_dot (vi acc, vi a, vi w)
{
  return v_add32 (acc, v_madd16 (a, w));
}
#endif
