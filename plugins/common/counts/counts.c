/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* counts.c: an exact histogram that grows with the values it sees. */
#include "config.h"

#include <math.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "counts/counts.h"

/* The smallest width: the product of a float and 2^-exponent stays finite. */
#define COUNTS_LEAST (-120)
#define COUNTS_MOST 128

int
counts_init (struct counts *c, int bins)
{
  if (bins < 4 || bins % 4 != 0)
    return qk_error (-EINVAL, "bins must be a multiple of 4, got %d", bins);
  c->bins = bins;
  c->count = qk_alloc ((size_t) bins * sizeof *c->count);
  if (c->count == NULL)
    return qk_oom ("%d bins", bins);
  counts_reset (c);
  return 0;
}

void
counts_clear (struct counts *c)
{
  qk_free (c->count);
  c->count = NULL;
}

void
counts_reset (struct counts *c)
{
  memset (c->count, 0, (size_t) c->bins * sizeof *c->count);
  c->exponent = COUNTS_LEAST;
  c->zeros = c->nonzero = 0;
}

double
counts_edge (const struct counts *c, int i)
{
  return ldexp (i - c->bins / 2, c->exponent);
}

/* Twice the width: bins 2j and 2j + 1, counted from the middle, become j. */
static void
counts_double (struct counts *c)
{
  const int half = c->bins / 2;
  int64_t *const middle = c->count + half;

  for (int j = 0; j < half / 2; j++)
    middle[j] = middle[2 * j] + middle[2 * j + 1];
  for (int j = 1; j <= half / 2; j++)
    middle[-j] = middle[1 - 2 * j] + middle[-2 * j];
  memset (middle + half / 2, 0, (size_t) (half / 2) * sizeof *middle);
  memset (c->count, 0, (size_t) (half / 2) * sizeof *middle);
  c->exponent++;
}

/* Make the bins reach MOST, the largest magnitude. */
static void
counts_reach (struct counts *c, float most)
{
  while (ldexp (c->bins / 2, c->exponent) <= (double) most)
    if (c->nonzero == 0)
      c->exponent++;
    else
      counts_double (c);
}

static float
counts_largest (const float *x, size_t n)
{
  float most = 0.0f;

#ifdef _OPENMP
#pragma omp parallel for schedule(static) reduction(max : most) if (n > 65536)
#endif
  for (size_t i = 0; i < n; i++) {
    const float a = fabsf (x[i]);

    most = a > most ? a : most;
  }
  return most;
}

/* Count N numbers into TABLE; returns how many are zeros. */
static int64_t
counts_part (const float *x, size_t n, float inverse, int half, int64_t *table)
{
  int64_t zeros = 0;

  for (size_t i = 0; i < n; i++)
    if (x[i] == 0.0f)
      zeros++;
    else
      table[half + (int) floorf (x[i] * inverse)]++;
  return zeros;
}

int
counts_add (struct counts *c, const float *x, size_t n)
{
  const size_t bins = (size_t) c->bins;
  int64_t *table = c->count, zeros = 0;
  float inverse;
  int parts = 1;

  counts_reach (c, counts_largest (x, n));
  inverse = ldexpf (1.0f, -c->exponent);
#ifdef _OPENMP
  if (n > 65536)
    parts = omp_get_max_threads ();
#endif
  if (parts > 1) {
    table = qk_alloc ((size_t) parts * bins * sizeof *table);
    if (table == NULL)
      return qk_oom ("%d histograms", parts);
  }
#ifdef _OPENMP
#pragma omp parallel for schedule(static, 1) num_threads(parts)               \
  reduction(+ : zeros) if (parts > 1)
#endif
  for (int p = 0; p < parts; p++) {
    const size_t from = n / (size_t) parts * (size_t) p;
    const size_t to
      = p + 1 < parts ? n / (size_t) parts * (size_t) (p + 1) : n;

    zeros += counts_part (x + from, to - from, inverse, c->bins / 2,
                          table + (size_t) p * bins);
  }
  if (parts > 1) {
    for (size_t i = 0; i < (size_t) parts * bins; i++)
      c->count[i % bins] += table[i];
    qk_free (table);
  }
  c->zeros += zeros;
  c->nonzero += (int64_t) n - zeros;
  return 0;
}

int
counts_check (const struct counts *c)
{
  int64_t sum = 0;
  bool sound = c->exponent >= COUNTS_LEAST && c->exponent <= COUNTS_MOST
               && c->zeros >= 0 && c->zeros <= INT64_MAX / 2 && c->nonzero >= 0
               && c->nonzero <= INT64_MAX / 2;

  for (int i = 0; i < c->bins && sound; i++) {
    sound = c->count[i] >= 0 && c->count[i] <= c->nonzero - sum;
    sum += sound ? c->count[i] : 0;
  }
  if (!sound || sum != c->nonzero)
    return qk_error (-EDOM, "impossible counts in the histogram");
  return 0;
}

int
counts_state (struct counts *c, struct qk_state *st)
{
  int e = qk_state_add (st, "count", QK_I64, c->count, (size_t) c->bins);

  if (e >= 0)
    e = qk_state_add (st, "count_zero", QK_I64, &c->zeros, 1);
  if (e >= 0)
    e = qk_state_add (st, "count_nonzero", QK_I64, &c->nonzero, 1);
  return e < 0 ? e : qk_state_add (st, "exponent", QK_I32, &c->exponent, 1);
}
