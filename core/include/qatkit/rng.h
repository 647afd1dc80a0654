/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rng.h: our own seeded random numbers, the same on every machine.
 * xoshiro256** seeded through splitmix64 (Blackman and Vigna, public
 * domain algorithms). */
#ifndef QATKIT_RNG_H
#define QATKIT_RNG_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qk_rng {
  uint64_t s[4];
};

/* Start a stream; (seed, stream) pairs give independent sequences. */
QK_PUBLIC void qk_rng_seed (struct qk_rng *rng, uint64_t seed,
                            uint64_t stream);
QK_PUBLIC uint64_t qk_rng_u64 (struct qk_rng *rng);
/* Uniform in 0 .. n-1 without bias; n > 0. */
QK_PUBLIC uint64_t qk_rng_below (struct qk_rng *rng, uint64_t n);
/* Uniform in [0, 1), 24 random bits. */
QK_PUBLIC float qk_rng_float (struct qk_rng *rng);
/* N of them at once, the same as one by one. */
QK_PUBLIC void qk_rng_floats (struct qk_rng *rng, float *x, size_t n);
/* N random bytes, eight from each of qk_rng_u64's numbers, the low ones first. */
QK_PUBLIC void qk_rng_bytes (struct qk_rng *rng, uint8_t *x, size_t n);
/* Uniform in [0, 1), 53 random bits. */
QK_PUBLIC double qk_rng_double (struct qk_rng *rng);
/* Standard normal (Box-Muller, in double). */
QK_PUBLIC double qk_rng_normal (struct qk_rng *rng);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_RNG_H */
