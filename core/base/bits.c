/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bits.c: small integers, several to a byte. */
#include "config.h"

#include <string.h>

#include "base/bits.h"

int
qk_bits_of (const int8_t *x, int64_t n)
{
  int low = 0, high = 0, bits;
  int64_t i;

  for (i = 0; i < n; i++) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  for (bits = 2; bits < 8; bits++)
    if (low >= -(1 << (bits - 1)) && high < 1 << (bits - 1))
      break;
  return bits;
}

int64_t
qk_bits_bytes (int64_t n, int bits)
{
  return n / 8 * bits + (n % 8 * bits + 7) / 8;
}

void
qk_bits_pack (const int8_t *x, int64_t n, int bits, uint8_t *out)
{
  const unsigned mask = (1u << bits) - 1;
  unsigned held = 0;
  int count = 0; /* of the bits held */
  int64_t i;

  for (i = 0; i < n; i++) {
    held |= ((unsigned) x[i] & mask) << count;
    for (count += bits; count >= 8; count -= 8, held >>= 8)
      *out++ = (uint8_t) held;
  }
  if (count > 0)
    *out = (uint8_t) held;
}

void
qk_bits_unpack (const uint8_t *in, int64_t n, int bits, int8_t *x)
{
  const int mask = (1 << bits) - 1, sign = 1 << (bits - 1);
  unsigned held = 0;
  int count = 0;
  int64_t i;

  for (i = 0; i < n; i++) {
    if (count < bits) {
      held |= (unsigned) *in++ << count;
      count += 8;
    }
    x[i] = (int8_t) ((((int) held & mask) ^ sign) - sign);
    held >>= bits;
    count -= bits;
  }
}
