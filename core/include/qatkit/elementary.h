/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* elementary.h: exp, ln, tanh and erf of the numeric contract.
 *
 * A C library's differ by version and CPU; these are IEEE binary32 in the
 * order written, like numeric.h, and so the same everywhere.  None of them
 * branches, so that compilers can make vector code of a loop over them.
 * Errors, in units in the last place (ulp) of the exact result, are checked
 * over a dense sweep by tests/check_elementary.c. */
#ifndef QATKIT_ELEMENTARY_H
#define QATKIT_ELEMENTARY_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 2^n for -126 <= n <= 127. */
static inline float
qk_power_of_two (int32_t n)
{
  const uint32_t bits = (uint32_t) (n + 127) << 23;
  float x;

  memcpy (&x, &bits, sizeof x);
  return x;
}

/* e^x - 1 for |x| <= ln (2) / 2: S. L. Moshier's polynomial (Cephes, expf). */
static inline float
qk_expm1_near_zero (float x)
{
  float p = 1.9875691500e-4f;

  p = p * x + 1.3981999507e-3f;
  p = p * x + 8.3334519073e-3f;
  p = p * x + 4.1665795894e-2f;
  p = p * x + 1.6666665459e-1f;
  p = p * x + 5.0000001201e-1f;
  return p * (x * x) + x;
}

/* e^x within 1 ulp, results below 2^-126 within 2^-149; infinity above
 * 88.72, 0 below -104, NaN for NaN.  x = n ln 2 + r; e^x = 2^n e^r. */
static inline float
qk_exp (float x)
{
  const float t = x > 89.0f ? 89.0f : x < -104.0f ? -104.0f : x;
  const float n = rintf (t * 1.44269504f);
  const float r = (t - n * 0.693359375f) - n * -2.12194440e-4f;
  const int32_t i = n == n ? (int32_t) n : 0;
  const float y = qk_expm1_near_zero (r) + 1.0f;

  return y * qk_power_of_two (i / 2) * qk_power_of_two (i - i / 2);
}

/* The natural logarithm within 1 ulp; -infinity for 0, NaN below it and for
 * NaN.  x = 2^n m with m about 1; S. L. Moshier's polynomial (Cephes, logf)
 * for log (m). */
static inline float
qk_ln (float x)
{
  const bool tiny = x < 1.17549435e-38f;
  const float t = tiny ? x * 8388608.0f : x; /* 2^23 */
  uint32_t bits;
  float m, z, y, n;
  int32_t e;

  memcpy (&bits, &t, sizeof bits);
  e = (int32_t) (bits >> 23) - 126;
  bits = (bits & 0x007fffffu) | 0x3f000000u;
  memcpy (&m, &bits, sizeof m);
  e -= m < 0.707106781f;
  m = m < 0.707106781f ? m + m - 1.0f : m - 1.0f;
  n = (float) (tiny ? e - 23 : e);
  z = m * m;
  y = 7.0376836292e-2f;
  y = y * m - 1.1514610310e-1f;
  y = y * m + 1.1676998740e-1f;
  y = y * m - 1.2420140846e-1f;
  y = y * m + 1.4249322787e-1f;
  y = y * m - 1.6668057665e-1f;
  y = y * m + 2.0000714765e-1f;
  y = y * m - 2.4999993993e-1f;
  y = y * m + 3.3333331174e-1f;
  y = y * m * z;
  y = y + n * -2.12194440e-4f;
  y = y - 0.5f * z;
  y = (m + y) + n * 0.693359375f;
  y = x == INFINITY ? INFINITY : y;
  y = x == 0.0f ? -INFINITY : y;
  return x >= 0.0f ? y : NAN;
}

/* e^x - 1 within 3.5 ulp. */
static inline float
qk_expm1 (float x)
{
  const float small = qk_expm1_near_zero (x), large = qk_exp (x) - 1.0f;

  return fabsf (x) < 0.34f ? small : large;
}

/* 1 / (1 + e^-x) within 3 ulp. */
static inline float
qk_sigmoid (float x)
{
  const float e = qk_exp (-fabsf (x));
  const float y = 1.0f / (1.0f + e);

  return x < 0.0f ? e * y : y;
}

/* The hyperbolic tangent within 1.5 ulp: Cephes (tanhf) near 0. */
static inline float
qk_tanh (float x)
{
  const float t = fabsf (x), z = x * x;
  const float large = 1.0f - 2.0f / (qk_exp (2.0f * t) + 1.0f);
  float p = -5.70498872745e-3f;

  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  p = p * z * x + x;
  return t < 0.625f ? p : copysignf (large, x);
}

/* The error function within 1.5 ulp.  Beyond 0.93 it is 1 - e^q (|x|) with a
 * polynomial q; both are N. Juffa's minimax approximations. */
static inline float
qk_erf (float x)
{
  const float s = x * x, t = fabsf (x) < 4.0f ? fabsf (x) : 4.0f;
  const float v = t * t;
  float p = -5.96761703e-4f, q = -1.72853470e-5f, u;

  p = p * s + 4.99119423e-3f;
  p = p * s - 2.67681349e-2f;
  p = p * s + 1.12819925e-1f;
  p = p * s - 3.76125336e-1f;
  p = p * s + 1.28379166e-1f;
  p = p * x + x;
  q = q * t + 3.83197126e-4f;
  u = -3.88396438e-3f * t + 2.42546219e-2f;
  q = q * v + u;
  q = q * t - 1.06777877e-1f;
  q = q * t - 6.34846687e-1f;
  q = q * t - 1.28717512e-1f;
  q = q * t - t;
  return !(fabsf (x) > 0.927734375f) ? p : copysignf (1.0f - qk_exp (q), x);
}

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_ELEMENTARY_H */
