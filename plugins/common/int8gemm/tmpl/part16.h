/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* part16.h: sixteen bytes or fewer, by plain loads and stores of 1 to 16:
 * masked stores of bytes take tens of cycles on AMD's CPUs, and a load from a
 * buffer that was filled byte by byte waits for its stores. */
#ifndef PART16_H
#define PART16_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define PART_INLINE static inline __attribute__ ((always_inline, unused))

/* The first N bytes at P, the others are 0. */
PART_INLINE __m128i
part16_load (const void *p, int64_t n)
{
  const uint8_t *b = p;
  uint64_t tail = 0;
  uint32_t four;
  uint16_t two;
  int at = 0;
  __m128i low = _mm_setzero_si128 ();

  if (n >= 16)
    return _mm_loadu_si128 (p);
  if (n <= 0)
    return low;
  if (n & 8) {
    low = _mm_loadl_epi64 (p);
    b += 8;
  }
  if (n & 4) {
    memcpy (&four, b, 4);
    tail = four;
    b += 4;
    at = 32;
  }
  if (n & 2) {
    memcpy (&two, b, 2);
    tail |= (uint64_t) two << at;
    b += 2;
    at += 16;
  }
  if (n & 1)
    tail |= (uint64_t) *b << at;
  return n & 8
           ? _mm_unpacklo_epi64 (low, _mm_loadl_epi64 ((const void *) &tail))
           : _mm_loadl_epi64 ((const void *) &tail);
}

/* The first N bytes of V to P. */
PART_INLINE void
part16_store (void *p, __m128i v, int64_t n)
{
  uint8_t *b = p;
  uint32_t rest;

  if (n >= 16) {
    _mm_storeu_si128 (p, v);
    return;
  }
  if (n <= 0)
    return;
  if (n & 8) {
    _mm_storel_epi64 (p, v);
    v = _mm_srli_si128 (v, 8);
    b += 8;
  }
  if (n & 4) {
    rest = (uint32_t) _mm_cvtsi128_si32 (v);
    memcpy (b, &rest, 4);
    v = _mm_srli_si128 (v, 4);
    b += 4;
  }
  rest = (uint32_t) _mm_cvtsi128_si32 (v);
  if (n & 2) {
    memcpy (b, &rest, 2);
    rest >>= 16;
    b += 2;
  }
  if (n & 1)
    *b = (uint8_t) rest;
}

#endif /* PART16_H */
