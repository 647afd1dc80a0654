/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bits.h: small integers, several to a byte: number I takes the bits I * BITS
 * and on of a stream that begins with the lowest bit of the first byte, as two's
 * complement. */
#ifndef QK_BASE_BITS_H
#define QK_BASE_BITS_H

#include <stdint.h>

/* The fewest bits, 2 to 8, that each of the N numbers X fits. */
int qk_bits_of (const int8_t *x, int64_t n);

/* Bytes of N numbers. */
int64_t qk_bits_bytes (int64_t n, int bits);

void qk_bits_pack (const int8_t *x, int64_t n, int bits, uint8_t *out);
void qk_bits_unpack (const uint8_t *in, int64_t n, int bits, int8_t *x);

#endif /* QK_BASE_BITS_H */
