/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_gemm.c: the matrix products, of floats by library and plain C and of
 * bytes, against naive ones. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm.h"
#include "gemm/gradients.h"
#include "int8gemm/product.h"
#include "qatkit/cpu.h"
#include "qatkit/rng.h"
#include "lib/floats.h"
#include "lib/ok.h"

/* The installed backend with float products, if there is one. */
static const struct qk_backend_class *library;

enum { PAD = 3 }; /* columns beyond the matrices, which stay untouched */

struct matrix {
  int64_t rows, cols, ld;
  float *x;
};

static struct matrix
matrix (int64_t rows, int64_t cols, int integers, struct qk_rng *rng)
{
  struct matrix m = { rows, cols, cols + PAD, NULL };

  m.x = malloc ((size_t) (rows * m.ld + 1) * sizeof *m.x);
  for (int64_t i = 0; i < rows * m.ld; i++)
    m.x[i] = integers ? (float) ((int) qk_rng_below (rng, 256) - 128)
                      : qk_rng_float (rng) - 0.5f;
  return m;
}

static double
naive (const struct matrix *a, bool ta, const struct matrix *b, bool tb,
       int64_t i, int64_t j, int64_t k)
{
  double sum = 0.0;

  for (int64_t l = 0; l < k; l++)
    sum += (double) a->x[ta ? l * a->ld + i : i * a->ld + l]
           * (double) b->x[tb ? j * b->ld + l : l * b->ld + j];
  return sum;
}

enum which { LIBRARY, PLAIN, THREADED, OWN };

static void
check_one (enum which which, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
           float beta, int integers, struct qk_rng *rng)
{
  struct matrix a = matrix (ta ? k : m, ta ? m : k, integers, rng);
  struct matrix b = matrix (tb ? n : k, tb ? k : n, integers, rng);
  struct matrix c = matrix (m, n, integers, rng);
  const size_t size = (size_t) (m * c.ld) * sizeof *c.x;
  float *before = malloc (size + 1);
  const double tolerance = integers ? 0.0 : 1e-6 * (double) (k + 1);

  memcpy (before, c.x, size);
  for (int64_t i = 0; beta == 0.0f && i < m * c.ld; i++)
    if (i % c.ld < n)
      c.x[i] = NAN; /* must not be read */
  if (which == LIBRARY)
    qk_sgemm (library, ta, tb, m, n, k, a.x, a.ld, b.x, b.ld, beta, c.x, c.ld);
  else if (which == PLAIN)
    qk_sgemm_plain (ta, tb, m, n, k, a.x, a.ld, b.x, b.ld, beta, c.x, c.ld);
  else if (which == OWN)
    qk_sgemm (NULL, ta, tb, m, n, k, a.x, a.ld, b.x, b.ld, beta, c.x, c.ld);
  else
    qk_sgemm_threaded (library, 3, ta, tb, m, n, k, a.x, a.ld, b.x, b.ld, beta,
                       c.x, c.ld);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < c.ld; j++) {
      const double old = (double) before[i * c.ld + j];
      const double got = (double) c.x[i * c.ld + j];
      const double want
        = j >= n ? old : naive (&a, ta, &b, tb, i, j, k) + (double) beta * old;

      HOLDS (fabs (got - want) <= tolerance,
             "%d%d (%d,%d,%d) beta %g at (%d,%d): expected %.9g, got %.9g", ta,
             tb, (int) m, (int) n, (int) k, (double) beta, (int) i, (int) j,
             want, got);
    }
  free (before);
  free (a.x);
  free (b.x);
  free (c.x);
}

START_TEST (products)
{
  static const int64_t sizes[][3] = {
    { 1, 1, 1 },     { 3, 5, 7 },     { 4, 32, 16 },   { 17, 33, 65 },
    { 64, 10, 300 }, { 5, 130, 511 }, { 100, 24, 96 }, { 0, 4, 4 },
    { 4, 0, 4 },     { 6, 9, 0 },     { 2, 3, 1000 },
  };
  struct qk_rng rng;

  qk_rng_seed (&rng, 1, (uint64_t) _i);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int t = 0; t < 4; t++)
      for (int beta = 0; beta <= 1; beta++)
        for (int integers = 0; integers <= 1; integers++)
          check_one ((enum which) _i, t & 1, t >> 1, sizes[i][0], sizes[i][1],
                     sizes[i][2], (float) beta, integers, &rng);
}
END_TEST

/* In different threads at once, the same bits as alone. */
START_TEST (concurrent)
{
  struct qk_rng rng;
  struct matrix a, b, c[4], alone;

  qk_rng_seed (&rng, 2, 0);
  a = matrix (90, 200, 0, &rng);
  b = matrix (200, 70, 0, &rng);
  alone = matrix (90, 70, 0, &rng);
  for (int t = 0; t < 4; t++) {
    c[t] = matrix (90, 70, 0, &rng);
    for (int64_t i = 0; i < 90 * alone.ld; i++)
      c[t].x[i] = alone.x[i];
  }
  qk_sgemm (library, false, false, 90, 70, 200, a.x, a.ld, b.x, b.ld, 0.0f,
            alone.x, alone.ld);
#pragma omp parallel for num_threads(4) schedule(static, 1)
  for (int t = 0; t < 4; t++)
    qk_sgemm (library, false, false, 90, 70, 200, a.x, a.ld, b.x, b.ld, 0.0f,
              c[t].x, c[t].ld);
  for (int t = 0; t < 4; t++) {
    ck_assert_mem_eq (c[t].x, alone.x,
                      (size_t) (90 * alone.ld) * sizeof (float));
    free (c[t].x);
  }
  free (a.x);
  free (b.x);
  free (alone.x);
}
END_TEST

/* ---- bytes ------------------------------------------------------------*/

/* One product in bytes, of inputs up to MOST; with EXTREME everything is as
 * large as it can be, so that sums of pairs leave int16. */
static void
byte_product (const struct qk_kernels *kn, int64_t m, int64_t n, int64_t k,
              int most, bool extreme, struct qk_rng *rng)
{
  const int64_t lda = qk_product_depth (k) + PAD, ldc = n + PAD;
  const int32_t z = extreme ? 0 : most / 2 + 3;
  const struct qk_qparams q = { 0.5f, z, 0, most };
  uint8_t *a = malloc ((size_t) (m * lda));
  int8_t *w = malloc ((size_t) (n * k));
  double *sum = calloc ((size_t) n, sizeof *sum);
  int32_t *c = malloc ((size_t) (m * ldc) * sizeof *c);
  float *f = malloc ((size_t) (m * ldc) * sizeof *f);
  void *packed
    = aligned_alloc (64, (qk_product_size (kn, n, k) + 63) & ~(size_t) 63);

  for (int64_t i = 0; i < m * lda; i++)
    a[i] = extreme ? (uint8_t) most
                   : (uint8_t) qk_rng_below (rng, (uint64_t) most + 1);
  for (int64_t i = 0; i < n * k; i++)
    w[i] = extreme ? (int8_t) (i / k % 2 ? 127 : -128)
                   : (int8_t) ((int) qk_rng_below (rng, 256) - 128);
  for (int64_t i = 0; i < n * k; i++)
    sum[i / k] += w[i];
  for (int64_t i = 0; i < m * ldc; i++)
    f[i] = (float) (c[i] = 77);
  qk_product_pack (kn, n, k, w, k, packed);
  qk_product_range (kn, n, k, sum, &q, packed);
  qk_product (kn, m, n, k, a, lda, packed, false, c, ldc);
  qk_product (kn, m, n, k, a, lda, packed, true, f, ldc);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < ldc; j++) {
      int32_t want = j < n ? 0 : 77;

      for (int64_t l = 0; j < n && l < k; l++)
        want += (a[i * lda + l] - z) * w[j * k + l];
      ck_assert_int_eq (c[i * ldc + j], want);
      ck_assert (f[i * ldc + j] == (float) want);
    }
  free (packed);
  free (f);
  free (c);
  free (sum);
  free (w);
  free (a);
}

/* At every level of this CPU, which is LEVEL's turn. */
START_TEST (byte_products)
{
  const enum qk_cpu_level level = (enum qk_cpu_level) _i;
  struct qk_kernels kn;
  struct qk_rng rng;

  if (!qk_cpu_has (level))
    return;
  qk_kernels_init (&kn, level);
  for (int most = 127; most <= 255; most += 128) {
    qk_rng_seed (&rng, 5, 5);
    for (int64_t i = 1; i <= 45; i++)
      byte_product (&kn, i, i * 29 % 150 + 1, i * 13 % 71 + 1, most,
                    i % 9 == 0, &rng);
    byte_product (&kn, 15, 130, 1031, most, true, &rng);
  }
}
END_TEST

/* ---- gradients of a convolution -----------------------------------------*/

static float *
noise (size_t n, struct qk_rng *rng)
{
  float *x = malloc (n * sizeof *x);

  for (size_t i = 0; i < n; i++)
    x[i] = 2.0f * qk_rng_float (rng) - 1.0f;
  return x;
}

/* Element (K,R,S,C) of dw, C of the group's channels, and (N,H,W,C) of dx, by the
 * definition. */
static double
naive_dw (const struct qk_convback *cb, const float *d, const float *x,
          int64_t k, int64_t r, int64_t s, int64_t c)
{
  double sum = 0.0;

  for (int64_t i = 0; i < cb->n * cb->p * cb->q; i++) {
    const int64_t h = i / cb->q % cb->p * cb->stride_h + r - cb->pad_top;
    const int64_t w = i % cb->q * cb->stride_w + s - cb->pad_left;

    if (h >= 0 && h < cb->h && w >= 0 && w < cb->w)
      sum
        += (double) d[i * cb->k + k]
           * (double) x[((i / cb->q / cb->p * cb->h + h) * cb->w + w) * cb->c
                        + k / (cb->k / cb->groups) * (cb->c / cb->groups) + c];
  }
  return sum;
}

static double
naive_dx (const struct qk_convback *cb, const float *d, const float *w,
          int64_t pixel, int64_t c)
{
  const int64_t cg = cb->c / cb->groups, kg = cb->k / cb->groups;
  double sum = 0.0;

  for (int64_t r = 0; r < 3; r++)
    for (int64_t s = 0; s < 3; s++) {
      const int64_t h = pixel / cb->w % cb->h - r + cb->pad_top;
      const int64_t v = pixel % cb->w - s + cb->pad_left;
      const int64_t p = h / cb->stride_h, q = v / cb->stride_w;
      const int64_t at = (pixel / cb->w / cb->h * cb->p + p) * cb->q + q;

      if (h < 0 || v < 0 || h % cb->stride_h != 0 || v % cb->stride_w != 0
          || p >= cb->p || q >= cb->q)
        continue;
      for (int64_t k = c / cg * kg; k < (c / cg + 1) * kg; k++)
        sum += (double) d[at * cb->k + k]
               * (double) w[((k * 3 + r) * 3 + s) * cg + c % cg];
    }
  return sum;
}

static double
largest (const float *x, int64_t n)
{
  float most = 0;

  for (int64_t i = 0; i < n; i++)
    most = fmaxf (most, fabsf (x[i]));
  return (double) most;
}

/* Some thousand elements of DW and DX against the definition, within ERROR; with
 * RELATIVE, within as much of the largest one. */
static void
same_gradients (const struct qk_convback *cb, double error, bool relative,
                const float *d, const float *x, const float *w,
                const float *dw, const float *dx)
{
  const int64_t cg = cb->c / cb->groups;
  const int64_t weights = cb->k * 9 * cg, pixels = cb->n * cb->h * cb->w;
  double most = relative ? error * largest (dw, weights) : error;

  for (int64_t i = 0; i < weights; i += 7 + weights / 8000 * 2)
    ck_assert_double_eq_tol (
      dw[i],
      naive_dw (cb, d, x, i / (9 * cg), i / (3 * cg) % 3, i / cg % 3, i % cg),
      most);
  most = relative ? error * largest (dx, pixels * cb->c) : error;
  for (int64_t i = 0; i < pixels * cb->c; i += 7 + pixels * cb->c / 8000 * 2)
    ck_assert_double_eq_tol (dx[i], naive_dx (cb, d, w, i / cb->c, i % cb->c),
                             most);
}

/* 3x3 windows of stride 1, with padding as the field names. */
static struct qk_convback
window (int64_t n, int64_t h, int64_t w, int64_t c, int64_t k, int top,
        int left, int bottom, int right)
{
  return (struct qk_convback){ .n = n,
                               .h = h,
                               .w = w,
                               .c = c,
                               .p = h + top + bottom - 2,
                               .q = w + left + right - 2,
                               .k = k,
                               .r = 3,
                               .s = 3,
                               .groups = 1,
                               .stride_h = 1,
                               .stride_w = 1,
                               .dil_h = 1,
                               .dil_w = 1,
                               .pad_top = top,
                               .pad_left = left,
                               .pad_bottom = bottom,
                               .pad_right = right };
}

/* Random operands of CB, and room for the gradients, in which there is something. */
struct operands {
  float *d, *x, *w, *dx, *dw;
};

static struct operands
operands (const struct qk_convback *cb, uint64_t seed)
{
  const size_t weights = (size_t) (cb->k * 9 * cb->c / cb->groups);
  const size_t inputs = (size_t) (cb->n * cb->h * cb->w * cb->c);
  struct qk_rng rng;
  struct operands o;

  qk_rng_seed (&rng, 5, seed);
  o.d = noise ((size_t) (cb->n * cb->p * cb->q * cb->k), &rng);
  o.x = noise (inputs, &rng);
  o.w = noise (weights, &rng);
  o.dx = noise (inputs, &rng);
  o.dw = noise (weights, &rng);
  return o;
}

static void
operands_free (struct operands *o)
{
  free (o->dw);
  free (o->dx);
  free (o->w);
  free (o->x);
  free (o->d);
}

/* SIZE bytes of scratch memory, filled with what gives wrong results. */
static void *
scratch_new (size_t size)
{
  void *s = aligned_alloc (64, (size + 63) / 64 * 64 + 64);

  ck_assert_ptr_nonnull (s);
  memset (s, 0xff, size);
  return s;
}

/* The same inputs as bytes, and what they stand for in O->x. */
static uint8_t *
bytes_of (const struct qk_convback *cb, struct operands *o)
{
  const int64_t n = cb->n * cb->h * cb->w * cb->c;
  uint8_t *bytes = malloc ((size_t) n);

  ck_assert_ptr_nonnull (bytes);
  for (int64_t i = 0; i < n; i++) {
    bytes[i] = (uint8_t) (i * 37 % 256);
    o->x[i] = (float) bytes[i] - 113;
  }
  return bytes;
}

/* The gradients of CB with random operands, of floats and of bytes; false where the CPU
 * has none of G. */
static bool
check_gradients (const struct gradients *g, const struct qk_convback *cb,
                 int threads, double error, uint64_t seed)
{
  struct operands o;
  uint8_t *bytes;
  void *scratch;

  if (!g->suits (cb))
    return false;
  o = operands (cb, seed);
  scratch = scratch_new (g->scratch (cb, threads));
  g->weights (cb, threads, o.d, &(struct gradient_input){ .x = o.x }, o.dw,
              scratch);
  g->data (cb, threads, o.d, o.w, o.dx, scratch);
  same_gradients (cb, error, true, o.d, o.x, o.w, o.dw, o.dx);

  bytes = bytes_of (cb, &o);
  g->weights (cb, threads, o.d,
              &(struct gradient_input){ .bytes = bytes, .zero = 113 }, o.dw,
              scratch);
  same_gradients (cb, error, true, o.d, o.x, o.w, o.dw, o.dx);
  free (bytes);
  free (scratch);
  operands_free (&o);
  return true;
}

/* Sizes that tiles do not cover, paddings, several chunks of tiles, sums of each thread
 * and of all together, one and three threads. */
static const struct {
  int n, h, w, c, k, top, left, bottom, right, threads;
} winograd_cases[] = {
  { 1, 4, 4, 32, 32, 1, 1, 1, 1, 1 },    { 2, 9, 11, 48, 16, 1, 1, 1, 1, 3 },
  { 3, 7, 5, 16, 80, 0, 2, 1, 0, 1 },    { 5, 13, 13, 32, 48, 2, 0, 2, 1, 3 },
  { 40, 8, 8, 256, 80, 1, 1, 1, 1, 3 },  { 9, 32, 32, 16, 16, 1, 1, 1, 1, 1 },
  { 40, 8, 7, 272, 256, 1, 1, 1, 1, 2 },
};

START_TEST (winograd_by_definition)
{
  const int threads = winograd_cases[_i].threads;
  const struct qk_convback cb
    = window (winograd_cases[_i].n, winograd_cases[_i].h, winograd_cases[_i].w,
              winograd_cases[_i].c, winograd_cases[_i].k,
              winograd_cases[_i].top, winograd_cases[_i].left,
              winograd_cases[_i].bottom, winograd_cases[_i].right);

  ck_assert_msg (
    check_gradients (&winograd_gradients, &cb, threads, 4e-6, (uint64_t) _i)
      || qk_cpu_current () < QK_CPU_AVX2 || qk_cpu_current () >= QK_CPU_NEON,
    "case %d does not suit", _i);
}
END_TEST

/* Strides, paddings, lines of which no window is inside, one and three threads. */
static const struct {
  int n, h, w, c, group, stride, top, left, bottom, right, threads;
} grouped_cases[] = {
  { 2, 6, 9, 32, 4, 1, 1, 1, 1, 1, 1 }, { 3, 7, 8, 48, 8, 1, 1, 1, 1, 1, 3 },
  { 2, 9, 9, 16, 4, 2, 1, 1, 1, 1, 3 }, { 2, 8, 7, 32, 8, 2, 0, 2, 1, 0, 2 },
  { 1, 3, 1, 16, 8, 1, 1, 1, 1, 1, 1 }, { 1, 5, 11, 16, 4, 3, 2, 2, 2, 2, 2 },
};

START_TEST (grouped_by_definition)
{
  const int threads = grouped_cases[_i].threads;
  struct qk_convback cb = window (
    grouped_cases[_i].n, grouped_cases[_i].h, grouped_cases[_i].w,
    grouped_cases[_i].c, grouped_cases[_i].c, grouped_cases[_i].top,
    grouped_cases[_i].left, grouped_cases[_i].bottom, grouped_cases[_i].right);

  cb.groups = cb.c / grouped_cases[_i].group;
  cb.stride_h = cb.stride_w = grouped_cases[_i].stride;
  cb.p = (cb.p - 1) / cb.stride_h + 1;
  cb.q = (cb.q - 1) / cb.stride_w + 1;
  ck_assert_msg (
    check_gradients (&grouped_gradients, &cb, threads, 1e-6, (uint64_t) _i)
      || qk_cpu_current () < QK_CPU_AVX512 || qk_cpu_current () >= QK_CPU_NEON,
    "case %d does not suit", _i);
}
END_TEST

/* 3x3 windows of stride 1 by the library. */
START_TEST (library_gradients)
{
  const struct qk_convback cb = window (3, 9, 11, 32, 48, 1, 1, 1, 1);
  struct operands o = operands (&cb, 3);
  void *scratch;
  size_t size;

  if (library && library->convback_usable && library->convback_usable (&cb)) {
    size = library->convback_scratch (&cb, 2);
    scratch = scratch_new (size);
    ck_assert (
      library->convback_weights (&cb, 2, o.d, o.x, o.dw, scratch, size));
    ck_assert (library->convback_data (&cb, 2, o.d, o.w, o.dx, scratch, size));
    same_gradients (&cb, 1e-4, false, o.d, o.x, o.w, o.dw, o.dx);
    free (scratch);
  }
  operands_free (&o);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("gemm");
  struct qk_context *ctx = qk_context_new ();
  TCase *t;
  SRunner *r;
  int failed;

  library = test_float_backend (ctx);
  t = tcase_create (library ? library->cls.name : "plain");
  tcase_set_timeout (t, 60);
  tcase_add_loop_test (t, products, LIBRARY, OWN + 1);
  tcase_add_test (t, concurrent);
  tcase_add_loop_test (t, byte_products, 0, QK_CPU_NEON);
  tcase_add_test (t, library_gradients);
  tcase_add_loop_test (t, winograd_by_definition, 0,
                       (int) (sizeof winograd_cases / sizeof *winograd_cases));
  tcase_add_loop_test (t, grouped_by_definition, 0,
                       (int) (sizeof grouped_cases / sizeof *grouped_cases));
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_ENV);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  qk_context_free (ctx);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
