/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_quantizers.c: the observers percentile, mse, kl and fixed and the
 * fake-quantizers pact, dorefa, normalized and fixed, against their definitions computed
 * the long way in double precision. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "golden/quant_golden.h"
#include "quant/quantizer-priv.h"
#include "lib/ok.h"
#include "lib/state.h"

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))
#define N 5000

static struct qk_context *ctx;
static float x[N], dy[N], dx[N];

static void
setup (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
}

static void
teardown (void)
{
  qk_context_free (ctx);
}

#define FAILS(err, text, call)                                                \
  do {                                                                        \
    ck_assert_int_eq (call, err);                                             \
    ck_assert_msg (strstr (qk_error_message (), text) != NULL,                \
                   "'%s' does not contain '%s'", qk_error_message (), text);  \
  } while (0)

static struct qk_quant_info
info_of (bool weight, int bits, int64_t channels)
{
  struct qk_quant_info info
    = { .name = weight ? "conv.weight" : "conv:out",
        .weight = weight,
        .symmetric = weight,
        .bits = bits,
        .qmin = weight ? -(1 << (bits - 1)) : 0,
        .qmax = weight ? (1 << (bits - 1)) - 1 : (1 << bits) - 1,
        .channels = channels };

  return info;
}

static int
make (const struct qk_quant_info *info, const char *obs, const char *obs_text,
      const char *fq, const char *fq_text, struct qk_quantizer **out)
{
  const struct qk_class *oc, *fc;
  struct qk_config *obs_cfg = NULL, *fq_cfg = NULL;
  int r;

  OK (qk_context_class (ctx, QK_KIND_OBSERVER, obs, &oc));
  OK (qk_context_class (ctx, QK_KIND_FAKEQUANT, fq, &fc));
  r = qk_config_parse (oc->options, obs_text, "test", &obs_cfg);
  if (r >= 0)
    r = qk_config_parse (fc->options, fq_text, "test", &fq_cfg);
  if (r >= 0)
    r = qk_quantizer_new (ctx, info, (const struct qk_observer_class *) oc,
                          obs_cfg, (const struct qk_fakequant_class *) fc,
                          fq_cfg, out);
  qk_config_free (obs_cfg);
  qk_config_free (fq_cfg);
  if (r >= 0)
    qk_quantizer_set_observing (*out, true);
  return r;
}

static struct qk_quantizer *
quantizer (const struct qk_quant_info *info, const char *obs,
           const char *obs_text, const char *fq, const char *fq_text)
{
  struct qk_quantizer *qz = NULL;

  OK (make (info, obs, obs_text, fq, fq_text, &qz));
  return qz;
}

static int
ascending (const void *a, const void *b)
{
  const float f = *(const float *) a, g = *(const float *) b;

  return (f > g) - (f < g);
}

/* ---- percentile ---------------------------------------------------------*/

START_TEST (test_percentile)
{
  const char *const text[] = { "percentile=99", "percentile=90", "" };
  const double share[] = { 0.99, 0.90, 0.9999 };
  struct qk_quant_info info = info_of (false, 8, 1);
  struct qk_quantizer *a
    = quantizer (&info, "percentile", text[_i], "affine", "");
  struct qk_quantizer *b
    = quantizer (&info, "percentile", text[_i], "affine", "");
  float min, max, sorted[N];

  /* five batches, each wider than the last; once backwards */
  for (int k = 0; k < 5; k++)
    golden_fill (x + 1000 * k, 1000, (uint32_t) k, ldexpf (0.3f, k), 0.1f);
  for (int k = 0; k < 5; k++) {
    OK (qk_quantizer_observe (a, x + 1000 * k, 1000));
    OK (qk_quantizer_observe (b, x + 4000 - 1000 * k, 1000));
  }
  ck_assert_mem_eq (qk_quantizer_qparams (a), qk_quantizer_qparams (b),
                    sizeof (struct qk_qparams));
  memcpy (sorted, x, sizeof x);
  qsort (sorted, N, sizeof *sorted, ascending);
  OK (qk_quantizer_range (a, &min, &max));
  /* between the neighbours, give or take a bin: 2 * 16 / 8192 */
  ck_assert_float_ge (max, sorted[(int) (share[_i] * N) - 1] - 0.004f);
  ck_assert_float_le (max, sorted[N - 1]);
  if (share[_i] < 0.999)
    ck_assert_float_le (max, sorted[(int) (share[_i] * N) + 1] + 0.004f);
  ck_assert_float_le (min, sorted[(int) ((1 - share[_i]) * N) + 1] + 0.004f);
  ck_assert_float_ge (min, sorted[0]);
  if (share[_i] < 0.999)
    ck_assert_float_ge (min, sorted[(int) ((1 - share[_i]) * N) - 1] - 0.004f);
  qk_quantizer_free (a);
  qk_quantizer_free (b);
}
END_TEST

START_TEST (test_percentile_special)
{
  struct qk_quant_info info = info_of (false, 8, 1);
  struct qk_quantizer *qz
    = quantizer (&info, "percentile", "percentile=100", "affine", "");
  float min[2], max[2];

  golden_fill (x, N, 1, 1.0f, 0.2f);
  memcpy (dy, x, sizeof x);
  qsort (dy, N, sizeof *dy, ascending);
  OK (qk_quantizer_observe (qz, x, N));
  OK (qk_quantizer_range (qz, min, max));
  ck_assert_float_eq (min[0], dy[0]);
  ck_assert_float_eq (max[0], dy[N - 1]);
  qk_quantizer_free (qz);

  /* 1..1000: 95 % of them lie below 950 */
  qz = quantizer (&info, "percentile", "percentile=95 bins=65536", "affine",
                  "");
  for (int i = 0; i < 1000; i++)
    x[i] = (float) (i + 1);
  OK (qk_quantizer_observe (qz, x, 1000));
  OK (qk_quantizer_range (qz, min, max));
  ck_assert_float_eq_tol (max[0], 950.0f, 0.04f);
  ck_assert_float_eq_tol (min[0], 50.0f, 0.04f);
  /* zeros are values: now 95 % of them are not above 0 */
  memset (x, 0, sizeof x);
  for (int k = 0; k < 4; k++)
    OK (qk_quantizer_observe (qz, x, N));
  OK (qk_quantizer_range (qz, min, max));
  ck_assert_float_eq (min[0], 0.0f);
  ck_assert_float_eq (max[0], 0.0f);
  qk_quantizer_free (qz);

  /* weights: each channel, and only as it is now */
  info = info_of (true, 8, 2);
  qz = quantizer (&info, "percentile", "percentile=99 bins=65536", "affine",
                  "");
  for (int k = 9; k > 0; k -= 8) {
    for (int i = 0; i < 2000; i++)
      x[i] = (float) (k * (i % 1000 + 1)) * (i < 1000 ? 1.0f : -0.001f);
    OK (qk_quantizer_observe (qz, x, 2000));
  }
  OK (qk_quantizer_range (qz, min, max));
  ck_assert_float_eq_tol (max[0], 990.0f, 0.04f);
  ck_assert_float_eq_tol (min[0], 10.0f, 0.04f);
  ck_assert_float_eq_tol (min[1], -0.991f, 1e-6f); /* the tenth */
  qk_quantizer_free (qz);
  FAILS (-EINVAL, "multiple of 4",
         make (&info, "percentile", "bins=1001", "affine", "", &qz));
}
END_TEST

/* ---- mse -----------------------------------------------------------------*/

/* The mean squared error of N numbers V on the grid of LO..HI. */
static double
error_of (const float *v, int n, const struct qk_quant_info *info, float lo,
          float hi)
{
  struct qk_qparams q = { 1.0f, 0, info->qmin, info->qmax };
  double sum = 0.0;

  OK (qk_calculate_qparams (lo, hi, info->symmetric, &q));
  for (int i = 0; i < n; i++) {
    const int k
      = qk_quantize (v[i], 1.0f / q.scale, q.zero_point, q.qmin, q.qmax);
    const double d = (double) v[i] - (double) q.scale * (k - q.zero_point);

    sum += d * d;
  }
  return sum / n;
}

static double
least_error (const float *v, int n, const struct qk_quant_info *info,
             int steps)
{
  double best = INFINITY;
  float lo = 0.0f, hi = 0.0f;

  for (int i = 0; i < n; i++) {
    lo = v[i] < lo || i == 0 ? v[i] : lo;
    hi = v[i] > hi || i == 0 ? v[i] : hi;
  }
  for (int s = 1; s <= steps; s++) {
    const double e = error_of (v, n, info, lo * (float) s / (float) steps,
                               hi * (float) s / (float) steps);

    best = e < best ? e : best;
  }
  return best;
}

START_TEST (test_mse_weight)
{
  const int bits = _i;
  struct qk_quant_info info = info_of (true, bits, 5);
  struct qk_quantizer *qz = quantizer (&info, "mse", "steps=50", "affine", "");
  float min[5], max[5];

  golden_fill (x, N, 3, 1.0f, 0.0f);
  OK (qk_quantizer_observe (qz, x, N)); /* forgotten */
  for (int c = 0; c < 5; c++) {
    golden_fill (x + 1000 * c, 1000, (uint32_t) c, 0.1f, 0.01f);
    x[1000 * c + 7 * c] = 1.0f; /* an outlier */
  }
  OK (qk_quantizer_observe (qz, x, N));
  OK (qk_quantizer_range (qz, min, max));
  for (int c = 0; c < 5; c++) {
    const double best = least_error (x + 1000 * c, 1000, &info, 50);

    ck_assert_double_eq_tol (
      error_of (x + 1000 * c, 1000, &info, min[c], max[c]), best, 1e-4 * best);
    if (bits <= 4)
      ck_assert_float_lt (max[c], 0.9f);
  }
  qk_quantizer_free (qz);
}
END_TEST

START_TEST (test_mse_value)
{
  const int bits = _i;
  struct qk_quant_info info = info_of (false, bits, 1);
  struct qk_quantizer *qz = quantizer (&info, "mse", "", "affine", "");
  float min, max;
  double best;

  golden_fill (x, N, 5, 1.0f, 0.3f);
  for (int i = 0; i < N; i++)
    x[i] = x[i] > 0.0f ? x[i] * x[i] * x[i] : 0.0f;
  for (int k = 0; k < 5; k++)
    OK (qk_quantizer_observe (qz, x + 1000 * k, 1000));
  OK (qk_quantizer_range (qz, &min, &max));
  best = least_error (x, N, &info, 64);
  ck_assert_double_le (error_of (x, N, &info, min, max), 1.01 * best);
  ck_assert_float_eq (min, 0.0f);
  qk_quantizer_free (qz);
}
END_TEST

/* ---- kl ------------------------------------------------------------------*/

/* The divergence of the bins FIRST..LAST of H, the definition word by word. */
static double
divergence (const double *h, int bins, int first, int last, int levels)
{
  const int n = last - first + 1;
  double *p = calloc ((size_t) n, sizeof *p),
         *q = calloc ((size_t) n, sizeof *q);
  double all = 0.0, inside = 0.0, sum = 0.0;

  for (int i = 0; i < bins; i++) {
    const int j = i < first ? 0 : i > last ? n - 1 : i - first;

    p[j] += h[i];
    all += h[i];
    inside += i >= first && i <= last ? h[i] : 0.0;
  }
  for (int l = 0; l < levels; l++) {
    double mass = 0.0;
    int used = 0;

    for (int i = l * n / levels; i < (l + 1) * n / levels; i++) {
      mass += h[first + i];
      used += p[i] > 0.0;
    }
    for (int i = l * n / levels; i < (l + 1) * n / levels; i++)
      q[i] = p[i] > 0.0 ? mass / used / inside : 0.0;
  }
  for (int i = 0; i < n; i++)
    if (p[i] > 0.0)
      sum += p[i] / all * log (p[i] / all / fmax (q[i], 1e-4 / n));
  free (p);
  free (q);
  return 2.0 * inside < all ? INFINITY : sum;
}

START_TEST (test_kl)
{
  const int bins = 4096, levels = _i < 2 ? 16 : 256;
  const bool two_sided = _i & 1;
  struct qk_quant_info info = info_of (false, levels == 16 ? 4 : 8, 1);
  struct qk_quantizer *qz
    = quantizer (&info, "kl", "bins=4096 steps=40", "affine", "");
  double *h = calloc ((size_t) bins, sizeof *h);
  double best = INFINITY, width = 0x1p-40;
  float lo = 0.0f, hi = 0.0f, most, want_lo = 0.0f, want_hi = 0.0f, min, max;

  golden_fill (x, N, 7, 1.0f, 0.1f);
  for (int i = 0; i < N; i++)
    if (!two_sided && x[i] < 0.0f)
      x[i] = 0.0f;
  x[77] = 6.0f; /* outliers */
  x[4077] = 7.0f;
  for (int i = 0; i < N; i++) {
    lo = x[i] < lo ? x[i] : lo;
    hi = x[i] > hi ? x[i] : hi;
  }
  most = -lo > hi ? -lo : hi;
  while (width * bins / 2 <= (double) most)
    width *= 2.0;
  for (int i = 0; i < N; i++)
    if (x[i] != 0.0f)
      h[(int) floor ((double) x[i] / width) + bins / 2] += 1.0;
  for (int s = 40; s > 0; s--) {
    const float a = (float) (s / 40.0 * (double) lo);
    const float b = (float) (s / 40.0 * (double) hi);
    const int first = (int) floor ((double) a / width) + bins / 2;
    const int last = (int) floor ((double) b / width) + bins / 2;
    double d;

    if (last - first + 1 < levels)
      break;
    d = divergence (h, bins, first, last, levels);
    if (d < best) {
      best = d;
      want_lo = a;
      want_hi = b;
    }
  }
  for (int k = 0; k < 5; k++)
    OK (qk_quantizer_observe (qz, x + 1000 * k, 1000));
  OK (qk_quantizer_range (qz, &min, &max));
  ck_assert_float_eq (min, want_lo);
  ck_assert_float_eq (max, want_hi);
  if (!two_sided)
    ck_assert_float_lt (max, 6.0f); /* 5000 against 2 */
  free (h);
  qk_quantizer_free (qz);
}
END_TEST

START_TEST (test_kl_special)
{
  struct qk_quant_info info = info_of (false, 8, 1);
  struct qk_quantizer *qz = quantizer (&info, "kl", "", "affine", "");
  float min, max;

  /* nothing but zeros; then values of one sign */
  memset (x, 0, sizeof x);
  OK (qk_quantizer_observe (qz, x, N));
  OK (qk_quantizer_range (qz, &min, &max));
  ck_assert_float_eq (max, 0.0f);
  for (int i = 0; i < N; i++)
    x[i] = -0.5f - (float) i * (0.5f / N);
  OK (qk_quantizer_observe (qz, x, N));
  OK (qk_quantizer_range (qz, &min, &max));
  ck_assert_float_eq (max, 0.0f);
  ck_assert_float_lt (min, -0.9f); /* evenly spread: nothing to cut off */
  qk_quantizer_free (qz);
  info = info_of (true, 8, 3);
  FAILS (-EINVAL, "per tensor", make (&info, "kl", "", "affine", "", &qz));
}
END_TEST

/* ---- fixed ---------------------------------------------------------------*/

START_TEST (test_fixed)
{
  struct qk_quant_info info = info_of (false, 8, 1);
  struct qk_quantizer *qz
    = quantizer (&info, "fixed", "min=-1 max=4", "affine", "");
  const float v[3] = { -9.0f, 0.0f, 9.0f };
  uint8_t u[3];
  int8_t s[3];

  ck_assert (qk_quantizer_wants_range (qz));
  OK (qk_quantizer_observe (qz, v, 3));
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, 5.0f / 255.0f);
  ck_assert_int_eq (qk_quantizer_qparams (qz)->zero_point, 51);
  qk_quantizer_free (qz);
  FAILS (-EINVAL, "above min",
         make (&info, "fixed", "min=1 max=1", "affine", "", &qz));
  FAILS (-EINVAL, "max", make (&info, "fixed", "min=1", "affine", "", &qz));

  qz = quantizer (&info, "minmax", "", "fixed", "scale=0.25 zero_point=7");
  OK (qk_quantizer_observe (qz, v, 3));
  ck_assert (qk_quantizer_is_ste (qz));
  OK (qk_quantizer_forward_u8 (qz, v, 3, u));
  ck_assert_int_eq (u[0], 0);
  ck_assert_int_eq (u[1], 7);
  ck_assert_int_eq (u[2], 7 + 36);
  qk_quantizer_free (qz);
  FAILS (-EINVAL, "0 to 255",
         make (&info, "minmax", "", "fixed", "scale=1 zero_point=-1", &qz));
  FAILS (-EINVAL, "scale", make (&info, "minmax", "", "fixed", "", &qz));

  info = info_of (true, 4, 3);
  qz = quantizer (&info, "minmax", "", "fixed", "scale=2");
  OK (qk_quantizer_observe (qz, v, 3));
  OK (qk_quantizer_forward_i8 (qz, v, 3, s));
  ck_assert_int_eq (s[0], -4); /* -4.5 to even */
  ck_assert_int_eq (s[2], 4);
  qk_quantizer_free (qz);
  FAILS (-EINVAL, "0 to 0",
         make (&info, "minmax", "", "fixed", "scale=1 zero_point=1", &qz));
}
END_TEST

/* ---- pact ----------------------------------------------------------------*/

START_TEST (test_pact)
{
  const bool two_sided = _i;
  struct qk_quant_info info = info_of (false, 4, 1);
  struct qk_quantizer *qz
    = quantizer (&info, "minmax", "", "pact", "decay=0.5");
  struct qk_quantizer_param p[QK_FQ_MAX_PARAMS];
  const struct qk_qparams *q = qk_quantizer_qparams (qz);
  const int zero = two_sided ? 8 : 0;
  const double alpha = 0.75;
  double sum = 0.0;
  int above = 0;

  golden_fill (x, N, 11, 1.0f, 0.1f);
  golden_fill (dy, N, 12, 1.0f, 0.1f);
  for (int i = 0; i < N; i++)
    if (!two_sided && x[i] < 0.0f)
      x[i] = 0.0f;
  x[9] = 2.5f; /* the largest */
  OK (qk_quantizer_observe (qz, x, N));
  ck_assert_int_eq (qk_quantizer_params (qz, p), 1);
  ck_assert_str_eq (p[0].name, "alpha");
  ck_assert_float_eq (p[0].value[0], 2.5f);
  ck_assert_float_eq (q->scale, 2.5f / (float) (15 - zero));
  ck_assert_int_eq (q->zero_point, zero);

  p[0].value[0] = (float) alpha;
  OK (qk_quantizer_refresh (qz));
  OK (qk_quantizer_backward (qz, x, dy, dx, N));
  for (int i = 0; i < N; i++) {
    /* up to half a step beyond the level rounds onto the grid */
    const double step = alpha / (15 - zero);
    const bool over = (double) x[i] > alpha + 0.5 * step;
    const bool under
      = (double) x[i] < (two_sided ? -8 * step : 0.0) - 0.5 * step;

    above += over;
    sum += over ? (double) dy[i] : 0.0;
    sum -= under && two_sided ? (double) dy[i] : 0.0;
    ck_assert_float_eq (dx[i], over || under ? 0.0f : dy[i]);
  }
  ck_assert_int_gt (above, 100);
  ck_assert_double_eq_tol (p[0].grad[0], sum + 0.5 * alpha,
                           1e-5 * (1 + fabs (sum)));
  OK (qk_quantizer_backward (qz, x, dy, dy, N)); /* in place; adds up */
  ck_assert_mem_eq (dx, dy, sizeof dx);
  ck_assert_double_eq_tol (p[0].grad[0], 2 * (sum + 0.5 * alpha),
                           1e-5 * (1 + fabs (sum)));
  p[0].value[0] = -1.0f; /* kept positive */
  OK (qk_quantizer_refresh (qz));
  ck_assert_float_gt (q->scale, 0.0f);
  p[0].value[0] = NAN;
  FAILS (-EDOM, "'pact' of 'conv:out'", qk_quantizer_refresh (qz));
  qk_quantizer_free (qz);
}
END_TEST

START_TEST (test_pact_alpha)
{
  struct qk_quant_info info = info_of (false, 8, 1);
  struct qk_quantizer *qz = quantizer (&info, "minmax", "", "pact", "alpha=6");
  const float v[2] = { 0.0f, 100.0f };

  OK (qk_quantizer_observe (qz, v, 2));
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, 6.0f / 255.0f);
  qk_quantizer_free (qz);
  info = info_of (true, 8, 1);
  FAILS (-EINVAL, "not weights", make (&info, "minmax", "", "pact", "", &qz));
}
END_TEST

/* Both ends learned: the grid, the gradients of both, and ends on the wrong side
 * of 0. */
START_TEST (test_pact_lower)
{
  struct qk_quant_info info = info_of (false, 4, 1);
  struct qk_quantizer *qz
    = quantizer (&info, "minmax", "", "pact", "lower=yes decay=0.5");
  struct qk_quantizer_param p[QK_FQ_MAX_PARAMS];
  const struct qk_qparams *q = qk_quantizer_qparams (qz);
  const float alpha = 0.75f, beta = -0.35f;
  double above = 0.0, below = 0.0;
  struct qk_qparams want = { 1.0f, 0, 0, 15 };
  int n[2] = { 0, 0 };

  golden_fill (x, N, 11, 1.0f, 0.1f);
  golden_fill (dy, N, 12, 1.0f, 0.1f);
  x[9] = 2.5f; /* the largest */
  x[7] = -2.0f;
  OK (qk_quantizer_observe (qz, x, N));
  ck_assert_int_eq (qk_quantizer_params (qz, p), 2);
  ck_assert_str_eq (p[1].name, "beta");
  ck_assert_float_eq (p[0].value[0], 2.5f);
  ck_assert_float_eq (p[1].value[0], -2.0f);
  OK (qk_calculate_qparams (-2.0f, 2.5f, false, &want));
  ck_assert_mem_eq (q, &want, sizeof want);

  p[0].value[0] = alpha;
  p[1].value[0] = beta;
  OK (qk_quantizer_refresh (qz));
  ck_assert_float_eq (q->scale, (alpha - beta) / 15.0f);
  ck_assert_int_eq (q->zero_point, 5); /* 0.35 / 1.1 of 15 */
  OK (qk_quantizer_backward (qz, x, dy, dx, N));
  for (int i = 0; i < N; i++) {
    const double v = nearbyint ((double) (x[i] * (1.0f / q->scale))) + 5;

    above += v > 15 ? (double) dy[i] : 0.0;
    below += v < 0 ? (double) dy[i] : 0.0;
    n[0] += v > 15;
    n[1] += v < 0;
    ck_assert_float_eq (dx[i], v < 0 || v > 15 ? 0.0f : dy[i]);
  }
  ck_assert (n[0] > 100 && n[1] > 100);
  ck_assert_double_eq_tol (p[0].grad[0], above + 0.5 * (double) alpha,
                           1e-5 * (1 + fabs (above)));
  ck_assert_double_eq_tol (p[1].grad[0], below + 0.5 * (double) beta,
                           1e-5 * (1 + fabs (below)));
  p[1].value[0] = 0.5f; /* counts as 0 */
  OK (qk_quantizer_refresh (qz));
  ck_assert_float_eq (q->scale, alpha / 15.0f);
  ck_assert_int_eq (q->zero_point, 0);
  p[0].value[0] = -1.0f;
  OK (qk_quantizer_refresh (qz));
  ck_assert_float_gt (q->scale, 0.0f);
  p[1].value[0] = NAN;
  FAILS (-EDOM, "'pact' of 'conv:out'", qk_quantizer_refresh (qz));
  qk_quantizer_free (qz);
  info.symmetric = true; /* has one level */
  qz = quantizer (&info, "minmax", "", "pact", "lower=yes");
  ck_assert_int_eq (qk_quantizer_params (qz, p), 1);
  qk_quantizer_free (qz);
}
END_TEST

/* ---- dorefa --------------------------------------------------------------*/

START_TEST (test_dorefa)
{
  const bool unit = _i & 1;
  const int bits = _i < 2 ? 8 : 3;
  struct qk_quant_info info = info_of (true, bits, 2);
  struct qk_quantizer *qz
    = quantizer (&info, "minmax", "", "dorefa", unit ? "normalize=unit" : "");
  const int block = N / 2;
  int8_t s[N];

  golden_fill (x, N, 21, 0.8f, 0.0f);
  golden_fill (x + block, (size_t) block, 22, 0.05f, 0.02f);
  golden_fill (dy, N, 23, 1.0f, 0.0f);
  OK (qk_quantizer_observe (qz, x, N));
  OK (qk_quantizer_forward_i8 (qz, x, N, s));
  OK (qk_quantizer_backward (qz, x, dy, dx, N));
  for (int c = 0; c < 2; c++) {
    const struct qk_qparams *q = &qk_quantizer_qparams (qz)[c];
    double most = 0.0, size, factor;

    for (int i = c * block; i < (c + 1) * block; i++)
      most = fmax (most, fabs ((double) x[i]));
    size = unit ? 1.0 : most;
    factor = size / tanh (most);
    ck_assert_double_eq_tol (q->scale, size / info.qmax, 1e-6 * size);
    for (int i = c * block; i < (c + 1) * block; i++) {
      const double w = (double) x[i], h = 1e-5;
      const double t = factor * tanh (w);
      const double slope = factor * (tanh (w + h) - tanh (w - h)) / (2.0 * h);

      /* half a step, and float's rounding */
      ck_assert_double_le (fabs (s[i] * (double) q->scale - t),
                           0.5001 * (double) q->scale);
      ck_assert_double_eq_tol (dx[i], (double) dy[i] * slope,
                               1e-4 * (1.0 + fabs (slope)));
    }
  }
  OK (qk_quantizer_backward (qz, x, dy, dy, N)); /* in place */
  ck_assert_mem_eq (dx, dy, sizeof dx);

  /* frozen: what grows beyond the grid is clipped and rests */
  qk_quantizer_set_observing (qz, false);
  x[5] = 40.0f;
  OK (qk_quantizer_forward_i8 (qz, x, N, s));
  OK (qk_quantizer_backward (qz, x, dy, dx, N));
  ck_assert_int_eq (s[5], info.qmax);
  ck_assert_float_eq (dx[5], 0.0f);

  /* zeros stay */
  memset (x, 0, sizeof x);
  OK (qk_quantizer_forward_i8 (qz, x, N, s));
  ck_assert_int_eq (s[0], 0);
  qk_quantizer_free (qz);
  info = info_of (false, 8, 1);
  FAILS (-EINVAL, "weights only",
         make (&info, "minmax", "", "dorefa", "", &qz));
}
END_TEST

/* ---- normalized ----------------------------------------------------------*/

static bool centered;

/* The definition: t of all N weights V, of size SIZE. */
static void
normalize (const double *v, int n, double size, double *t)
{
  double mean = 0.0, square = 0.0;

  for (int i = 0; centered && i < n; i++)
    mean += v[i] / n;
  for (int i = 0; i < n; i++)
    square += (v[i] - mean) * (v[i] - mean) / n;
  for (int i = 0; i < n; i++)
    t[i] = size * (v[i] - mean) / sqrt (square);
}

/* The squared error of the N numbers T on the grid of scale S. */
static double
grid_error (const double *t, int n, const struct qk_quant_info *info, double s)
{
  double sum = 0.0;

  for (int i = 0; i < n; i++) {
    const double k
      = fmin (fmax (nearbyint (t[i] / s), info->qmin), info->qmax);

    sum += (t[i] - k * s) * (t[i] - k * s);
  }
  return sum;
}

/* The sum of dy times t, clipped to LO..HI of two channels. */
static double
clipped_sum (const double *v, int n, double size, const double *lo,
             const double *hi)
{
  static double t[N];
  double sum = 0.0;

  normalize (v, n, size, t);
  for (int i = 0; i < n; i++)
    sum += (double) dy[i] * fmin (fmax (t[i], lo[i >= n / 2]), hi[i >= n / 2]);
  return sum;
}

START_TEST (test_normalized)
{
  static const char *const text[] = { "alpha=3", "size=unit alpha=2",
                                      "gradient=plain", "alpha=3 center=no" };
  const int bits = _i % 2 ? 3 : 4, n = 400, block = n / 2;
  struct qk_quant_info info = info_of (true, bits, 2);
  struct qk_quantizer *qz
    = quantizer (&info, "minmax", "", "normalized", text[_i]);
  struct qk_quantizer_param p[QK_FQ_MAX_PARAMS];
  const struct qk_qparams *q = qk_quantizer_qparams (qz);
  double v[N], t[N], size = 0.0, mean = 0.0, lo[2], hi[2];
  int clipped = 0;
  int8_t k[N];

  centered = _i < 3;
  golden_fill (x, (size_t) block, 31, 0.8f, 0.1f);
  golden_fill (x + block, (size_t) block, 32, 0.3f, 0.2f);
  golden_fill (dy, (size_t) n, 33, 1.0f, 0.0f);
  for (int i = 0; centered && i < n; i++)
    mean += (double) x[i] / n;
  for (int i = 0; i < n; i++)
    size += ((double) x[i] - mean) * ((double) x[i] - mean) / n;
  size = _i == 1 ? 1.0 : sqrt (size);
  OK (qk_quantizer_observe (qz, x, (size_t) n));
  ck_assert_int_eq (qk_quantizer_params (qz, p), 1);
  ck_assert_uint_eq (p[0].count, 2);
  for (int i = 0; i < n; i++)
    v[i] = (double) x[i];
  normalize (v, n, size, t);
  for (int c = 0; c < 2; c++) {
    const double s = (double) q[c].scale;

    if (_i != 2)
      ck_assert_double_eq_tol (s * info.qmax, _i == 1 ? 2.0 : 3.0 * size,
                               1e-5);
    for (double f = 0.05; _i == 2 && f < 4; f *= 1.1) /* none is better */
      ck_assert_double_le (grid_error (t + c * block, block, &info, s),
                           grid_error (t + c * block, block, &info, s * f)
                             * 1.02);
    ck_assert_int_eq (q[c].zero_point, 0);
  }

  /* weights have moved since, S has not; and some are clipped */
  for (int i = 0; i < n; i++)
    v[i] = (double) (x[i] = 1.5f * x[i] + (i % 7 == 0 ? 0.3f : 0.05f));
  for (int c = 0; c < 2; c++)
    p[0].value[c] *= 0.5f;
  OK (qk_quantizer_refresh (qz));
  normalize (v, n, size, t);
  OK (qk_quantizer_forward_i8 (qz, x, (size_t) n, k));
  for (int i = 0; i < n; i++) {
    const double s = (double) q[i >= block].scale;
    const double r = fmin (fmax (t[i] / s, info.qmin), info.qmax);

    ck_assert_double_le (fabs (k[i] - r), 0.5001);
    clipped += t[i] / s > info.qmax + 0.5 || t[i] / s < info.qmin - 0.5;
  }
  ck_assert_int_gt (clipped, 10);

  /* dw against differences of the clipped sum: the straight-through estimator
   * knows no rounding, and lets through what rounds onto the grid */
  OK (qk_quantizer_backward (qz, x, dy, dx, (size_t) n));
  for (int c = 0; c < 2; c++) {
    lo[c] = (info.qmin - 0.5) * (double) q[c].scale;
    hi[c] = (info.qmax + 0.5) * (double) q[c].scale;
  }
  for (int i = 0; i < n; i++) {
    const double was = v[i], h = 1e-6;
    double up, down;

    v[i] = was + h;
    up = clipped_sum (v, n, size, lo, hi);
    v[i] = was - h;
    down = clipped_sum (v, n, size, lo, hi);
    v[i] = was;
    ck_assert_double_eq_tol ((double) dx[i], (up - down) / (2 * h), 1e-4);
  }
  /* by the scale, from the formula */
  for (int c = 0; c < 2; c++) {
    const double s = (double) q[c].scale;
    double want = 0.0;

    for (int i = c * block; i < (c + 1) * block; i++) {
      const double u = t[i] / s, r = nearbyint (u);

      want += (double) dy[i]
              * (r < info.qmin   ? info.qmin
                 : r > info.qmax ? info.qmax
                                 : r - u);
    }
    want *= _i == 2 ? 1.0 : 1.0 / sqrt ((double) block * info.qmax);
    ck_assert_double_eq_tol ((double) p[0].grad[c], want,
                             1e-4 * (1.0 + fabs (want)));
  }
  memcpy (dx + n, dy, (size_t) n * sizeof *dy); /* in place */
  OK (qk_quantizer_backward (qz, x, dx + n, dx + n, (size_t) n));
  ck_assert_mem_eq (dx, dx + n, (size_t) n * sizeof *dx);
  qk_quantizer_free (qz);
}
END_TEST

/* Weights that are all equal are 0 and get no gradient; of other bits the clip
 * level stays. */
START_TEST (test_normalized_special)
{
  struct qk_quant_info info = info_of (true, 8, 2);
  struct qk_quantizer *qz = quantizer (&info, "minmax", "", "normalized", "");
  struct qk_quantizer_param p[QK_FQ_MAX_PARAMS];
  const struct qk_class *fc, *oc;
  struct qk_config *cfg, *obs;
  float was;
  int8_t k[N];

  for (int i = 0; i < N; i++)
    x[i] = 0.25f;
  golden_fill (dy, N, 33, 1.0f, 0.0f);
  OK (qk_quantizer_observe (qz, x, N));
  OK (qk_quantizer_forward_i8 (qz, x, N, k));
  OK (qk_quantizer_backward (qz, x, dy, dx, N));
  for (int i = 0; i < N; i++)
    ck_assert (k[i] == 0 && dx[i] >= 0 && dx[i] <= 0);
  qk_quantizer_params (qz, p);
  was = p[0].value[1];
  info = info_of (true, 3, 2);
  OK (qk_context_class (ctx, QK_KIND_OBSERVER, "minmax", &oc));
  OK (qk_context_class (ctx, QK_KIND_FAKEQUANT, "normalized", &fc));
  OK (qk_config_parse (oc->options, "", "test", &obs));
  OK (qk_config_parse (fc->options, "", "test", &cfg));
  OK (qk_quantizer_set_bits (qz, &info, obs, cfg));
  ck_assert_float_eq_tol (p[0].value[1], was * 127 / 3, 1e-5f);
  p[0].value[1] = NAN;
  FAILS (-EDOM, "'normalized' of 'conv.weight'", qk_quantizer_refresh (qz));
  qk_config_free (cfg);
  qk_config_free (obs);
  qk_quantizer_free (qz);
  info = info_of (false, 8, 1);
  FAILS (-EINVAL, "weights only",
         make (&info, "minmax", "", "normalized", "", &qz));
}
END_TEST

/* ---- state ---------------------------------------------------------------*/

START_TEST (test_state)
{
  const struct {
    int64_t channels; /* 0: a value */
    const char *obs, *obs_text, *fq, *fq_text, *broken;
  } kinds[] = {
    { 0, "percentile", "", "affine", "", "observer.count" },
    { 0, "mse", "", "affine", "", "observer.count_nonzero" },
    { 0, "kl", "", "affine", "", "observer.exponent" },
    { 0, "minmax", "", "pact", "", "fakequant.alpha" },
    { 0, "minmax", "", "pact", "lower=yes", "fakequant.beta" },
    { 4, "minmax", "", "normalized", "", "fakequant.scale" },
    { 0, "fixed", "min=-1 max=1", "affine", "", NULL },
    { 4, "percentile", "", "dorefa", "", "observer.min_val" },
    { 4, "mse", "", "dorefa", "normalize=unit", NULL },
    { 4, "minmax", "", "fixed", "scale=0.1", NULL },
  };
  struct qk_quant_info info
    = info_of (kinds[_i].channels > 0, 8,
               kinds[_i].channels > 0 ? kinds[_i].channels : 1);
  const size_t size = (size_t) info.channels * sizeof (struct qk_qparams);
  struct qk_quantizer *qz[2];
  struct qk_state_list list = { NULL, 0 };
  struct qk_state_source source = { state_lookup, &list };
  struct qk_state st;
  int broken = 0;

  for (int k = 0; k < 2; k++)
    qz[k] = quantizer (&info, kinds[_i].obs, kinds[_i].obs_text, kinds[_i].fq,
                       kinds[_i].fq_text);
  golden_fill (x, 4000, 31, 1.0f, 0.3f);
  OK (qk_quantizer_observe (qz[0], x, 4000));
  qk_state_start (&st, qk_state_list_save, &list, false);
  OK (qk_quantizer_state (qz[0], &st));
  qk_state_start (&st, qk_state_source_load, &source, true);
  OK (qk_quantizer_state (qz[1], &st));
  ck_assert_mem_eq (qk_quantizer_qparams (qz[0]), qk_quantizer_qparams (qz[1]),
                    size);
  golden_fill (x, 4000, 32, 2.0f, 0.0f);
  for (int k = 0; k < 2; k++)
    OK (qk_quantizer_observe (qz[k], x, 4000));
  ck_assert_mem_eq (qk_quantizer_qparams (qz[0]), qk_quantizer_qparams (qz[1]),
                    size);

  for (size_t k = 0; k < list.n; k++)
    if (kinds[_i].broken != NULL
        && strcmp (list.array[k].name, kinds[_i].broken) == 0) {
      memset (list.array[k].data, 0xff, 4); /* NaN, -1 or much */
      broken = 1;
    }
  ck_assert_int_eq (broken, kinds[_i].broken != NULL);
  if (broken && strcmp (kinds[_i].broken, "observer.exponent") == 0) {
    for (size_t k = 0; k < list.n; k++)
      if (strcmp (list.array[k].name, "observer.exponent") == 0)
        *(int32_t *) list.array[k].data = 1 << 30;
  }
  if (broken && strcmp (kinds[_i].fq, "dorefa") != 0)
    ck_assert_int_eq (qk_quantizer_state (qz[1], &st), -EDOM);
  qk_state_list_clear (&list);
  qk_quantizer_free (qz[0]);
  qk_quantizer_free (qz[1]);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("quantizers");
  TCase *tc = tcase_create ("quantizers");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_percentile, 0, 3);
  tcase_add_test (tc, test_percentile_special);
  tcase_add_loop_test (tc, test_mse_weight, 2, 9);
  tcase_add_loop_test (tc, test_mse_value, 2, 9);
  tcase_add_loop_test (tc, test_kl, 0, 4);
  tcase_add_test (tc, test_kl_special);
  tcase_add_test (tc, test_fixed);
  tcase_add_loop_test (tc, test_pact, 0, 2);
  tcase_add_test (tc, test_pact_alpha);
  tcase_add_test (tc, test_pact_lower);
  tcase_add_loop_test (tc, test_normalized, 0, 4);
  tcase_add_test (tc, test_normalized_special);
  tcase_add_loop_test (tc, test_dorefa, 0, 4);
  tcase_add_loop_test (tc, test_state, 0, 10);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
