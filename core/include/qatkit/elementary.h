/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* elementary.h: exp, log, powers, tanh, erf, sin and cos of the numeric
 * contract.
 *
 * A C library's differ by version and CPU; these are IEEE binary32 (binary64
 * where they say double) in the order written, like numeric.h, and so the same
 * everywhere.  None of them
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

/* The logarithm of a positive, finite X that is not subnormal, in double
 * within 1e-15 (relative to 1 near 1): x = 2^n m with m around 1,
 * ln m = 2 artanh ((m - 1) / (m + 1)). */
static inline double
qk_log_double (double x)
{
  uint64_t bits;
  double m, n, s, z, p;

  memcpy (&bits, &x, sizeof bits);
  n = (double) ((int32_t) (bits >> 52 & 0x7ff) - 1022);
  bits = (bits & 0xfffffffffffffu) | (uint64_t) 1022 << 52;
  memcpy (&m, &bits, sizeof m);
  n = m < 0.70710678118654752 ? n - 1.0 : n;
  m = m < 0.70710678118654752 ? m + m : m;
  s = (m - 1.0) / (m + 1.0);
  z = s * s;
  p = 1.0 / 19.0;
  p = p * z + 1.0 / 17.0;
  p = p * z + 1.0 / 15.0;
  p = p * z + 1.0 / 13.0;
  p = p * z + 1.0 / 11.0;
  p = p * z + 1.0 / 9.0;
  p = p * z + 1.0 / 7.0;
  p = p * z + 1.0 / 5.0;
  p = p * z + 1.0 / 3.0;
  p = p * z;
  return n * 0.69314718055994531 + 2.0 * (s + s * p);
}

/* e^X in double within 1e-15 of the result, for X between -160 and 160, which
 * is more than results in float need. */
static inline double
qk_exp_double (double x)
{
  const double n = rint (x * 1.4426950408889634);
  const double r
    = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  const uint64_t bits = (uint64_t) ((int64_t) n + 1023) << 52;
  double p = 1.0 / 6227020800.0, scale;

  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  memcpy (&scale, &bits, sizeof scale);
  return p * scale;
}

/* The natural logarithm within 0.51 ulp; minus infinity for 0, NaN below. */
static inline float
qk_ln (float x)
{
  const float y = (float) qk_log_double ((double) x);

  return x > 0.0f ? (x - x == 0.0f ? y : x) : x == 0.0f ? -INFINITY : NAN;
}

/* ln (1 + e^x) within 0.51 ulp, for x up to 88. */
static inline float
qk_softplus (float x)
{
  const double t = x > -104.0f ? (double) x : -104.0;
  const double e = qk_exp_double (t < 100.0 ? t : 100.0);
  const float y
    = (float) (e < 1e-6 ? e - 0.5 * e * e : qk_log_double (1.0 + e));

  return x == x ? y : x;
}

/* x^y within 0.51 ulp, results below 2^-126 within 2^-149: NaN where x is
 * negative and y not whole. */
static inline float
qk_pow (float x, float y)
{
  const bool whole = rintf (y) == y,
             odd = whole && rintf (y * 0.5f) != y * 0.5f;
  const double a = x == 0.0f ? 1.0 : (double) fabsf (x);
  const double t = (double) y * qk_log_double (a);
  float r = (float) qk_exp_double (t > 160.0    ? 160.0
                                   : t < -160.0 ? -160.0
                                                : t);

  r = x == 0.0f && y != 0.0f ? (y > 0.0f ? 0.0f : INFINITY) : r;
  r = x < 0.0f && odd ? -r : r;
  return !(x == x && y == y) || (x < 0.0f && !whole) ? NAN : r;
}

/* The sine of r + n pi / 2 for |r| <= pi / 4, in double. */
static inline float
qk_sine_of (double r, int64_t n)
{
  const double z = r * r;
  double s = 1.0 / 6227020800.0, c = 1.0 / 479001600.0, y;

  s = s * z - 1.0 / 39916800.0;
  s = s * z + 1.0 / 362880.0;
  s = s * z - 1.0 / 5040.0;
  s = s * z + 1.0 / 120.0;
  s = s * z - 1.0 / 6.0;
  s = s * z * r + r;
  c = c * z - 1.0 / 3628800.0;
  c = c * z + 1.0 / 40320.0;
  c = c * z - 1.0 / 720.0;
  c = c * z + 1.0 / 24.0;
  c = c * z - 0.5;
  c = c * z + 1.0;
  y = n & 1 ? c : s;
  return (float) (n & 2 ? -y : y);
}

/* The sine of X + ADD pi / 2. */
static inline float
qk_sine_at (float x, int64_t add)
{
  const double t = fabsf (x) < 1073741824.0f ? (double) x : 0.0;
  const double n = rint (t * 0.63661977236758134);
  const double r
    = (t - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
  const float y = qk_sine_of (r, (int64_t) n + add);

  return x - x == 0.0f ? y : NAN;
}

/* Sine and cosine within 0.51 ulp for |x| < 10^6; beyond, the error grows with
 * x, and from 2^30 on x counts as 0. */
static inline float
qk_sin (float x)
{
  return qk_sine_at (x, 0);
}

static inline float
qk_cos (float x)
{
  return qk_sine_at (x, 1);
}

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_ELEMENTARY_H */
