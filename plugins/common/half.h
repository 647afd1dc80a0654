/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* half.h: IEEE 754 binary16, as files hold it. */
#ifndef QK_COMMON_HALF_H
#define QK_COMMON_HALF_H

#include <stdint.h>

/* Bits of the float equal to the binary16 H; NaNs keep their payload. */
static inline uint32_t
half_bits (uint16_t h)
{
  const uint32_t sign = (uint32_t) (h & 0x8000) << 16;
  uint32_t exponent = h >> 10 & 0x1f;
  uint32_t fraction = h & 0x3ff;

  if (exponent == 0x1f)
    return sign | 0x7f800000 | fraction << 13;
  if (exponent == 0) {
    if (fraction == 0)
      return sign;
    /* subnormal: shift the leading one up to its hidden place */
    exponent = 1;
    while (!(fraction & 0x400)) {
      fraction <<= 1;
      exponent--;
    }
    fraction &= 0x3ff;
  }
  return sign | (exponent + 112) << 23 | fraction << 13;
}

#endif /* QK_COMMON_HALF_H */
