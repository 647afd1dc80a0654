/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rng.c: xoshiro256** seeded through splitmix64.
 * D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators",
 * ACM TOMS 47 (2021); https://prng.di.unimi.it */
#include "config.h"

#include <math.h>

#include "qatkit/rng.h"

static uint64_t
rotl (uint64_t x, int k)
{
  return (x << k) | (x >> (64 - k));
}

static uint64_t
splitmix64 (uint64_t *x)
{
  uint64_t z = *x += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

void
qk_rng_seed (struct qk_rng *rng, uint64_t seed, uint64_t stream)
{
  /* Both numbers are hashed before they meet, so that neighbouring pairs do
   * not give overlapping sequences; the rotation keeps seed == stream from
   * cancelling. */
  const uint64_t a = splitmix64 (&seed), b = splitmix64 (&stream);
  uint64_t x = a ^ rotl (b, 32);

  for (int i = 0; i < 4; i++)
    rng->s[i] = splitmix64 (&x);
}

static inline uint64_t
next (uint64_t *s)
{
  const uint64_t result = rotl (s[1] * 5, 7) * 9;
  const uint64_t t = s[1] << 17;

  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotl (s[3], 45);
  return result;
}

uint64_t
qk_rng_u64 (struct qk_rng *rng)
{
  return next (rng->s);
}

uint64_t
qk_rng_below (struct qk_rng *rng, uint64_t n)
{
  uint64_t r, surplus;

  if (n == 0)
    return 0;
  /* 2^64 mod n values at the bottom would be drawn once too often. */
  surplus = -n % n;
  do
    r = qk_rng_u64 (rng);
  while (r < surplus);
  return r % n;
}

static inline float
next_float (uint64_t *s)
{
  return (float) (next (s) >> 40) * 0x1p-24f;
}

float
qk_rng_float (struct qk_rng *rng)
{
  return next_float (rng->s);
}

void
qk_rng_floats (struct qk_rng *rng, float *x, size_t n)
{
  struct qk_rng own = *rng; /* in registers: X cannot point into it */

  for (size_t i = 0; i < n; i++)
    x[i] = next_float (own.s);
  *rng = own;
}

void
qk_rng_bytes (struct qk_rng *rng, uint8_t *x, size_t n)
{
  struct qk_rng own = *rng; /* in registers: X may not point into it */
  size_t i, k;

  for (i = 0; i + 8 <= n; i += 8) {
    const uint64_t r = next (own.s);

    for (k = 0; k < 8; k++)
      x[i + k] = (uint8_t) (r >> 8 * k);
  }
  if (i < n) {
    const uint64_t r = next (own.s);

    for (k = 0; i + k < n; k++)
      x[i + k] = (uint8_t) (r >> 8 * k);
  }
  *rng = own;
}

double
qk_rng_double (struct qk_rng *rng)
{
  return (double) (qk_rng_u64 (rng) >> 11) * 0x1p-53;
}

double
qk_rng_normal (struct qk_rng *rng)
{
  const double two_pi = 6.283185307179586476925;
  const double u = 1.0 - qk_rng_double (rng); /* in (0, 1]: log is finite */
  const double v = qk_rng_double (rng);

  return sqrt (-2.0 * log (u)) * cos (two_pi * v);
}
