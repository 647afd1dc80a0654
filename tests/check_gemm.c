/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_gemm.c: the matrix product, library and plain C, against a naive
 * one. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm.h"
#include "qatkit/rng.h"

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

enum which { LIBRARY, PLAIN, THREADED };

static void
check_one (enum which which, bool ta, bool tb, int64_t m, int64_t n,
           int64_t k, float beta, int integers, struct qk_rng *rng)
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
    qk_sgemm (ta, tb, m, n, k, a.x, a.ld, b.x, b.ld, beta, c.x, c.ld);
  else if (which == PLAIN)
    qk_sgemm_plain (ta, tb, m, n, k, a.x, a.ld, b.x, b.ld, beta, c.x, c.ld);
  else
    qk_sgemm_threaded (3, ta, tb, m, n, k, a.x, a.ld, b.x, b.ld, beta, c.x,
                       c.ld);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < c.ld; j++) {
      const double old = (double) before[i * c.ld + j];
      const double got = (double) c.x[i * c.ld + j];
      const double want = j >= n ? old
                                 : naive (&a, ta, &b, tb, i, j, k)
                                     + (double) beta * old;

      ck_assert_msg (fabs (got - want) <= tolerance,
                     "%d%d (%d,%d,%d) beta %g at (%d,%d): expected %.9g, got "
                     "%.9g",
                     ta, tb, (int) m, (int) n, (int) k, (double) beta,
                     (int) i, (int) j, want, got);
    }
  free (before);
  free (a.x);
  free (b.x);
  free (c.x);
}

START_TEST (products)
{
  static const int64_t sizes[][3] = {
    { 1, 1, 1 }, { 3, 5, 7 }, { 4, 32, 16 }, { 17, 33, 65 }, { 64, 10, 300 },
    { 5, 130, 511 }, { 100, 24, 96 }, { 0, 4, 4 }, { 4, 0, 4 }, { 6, 9, 0 },
    { 2, 3, 1000 },
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
  qk_sgemm (false, false, 90, 70, 200, a.x, a.ld, b.x, b.ld, 0.0f, alone.x,
            alone.ld);
#pragma omp parallel for num_threads(4) schedule(static, 1)
  for (int t = 0; t < 4; t++)
    qk_sgemm (false, false, 90, 70, 200, a.x, a.ld, b.x, b.ld, 0.0f, c[t].x,
              c[t].ld);
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

int
main (void)
{
  Suite *s = suite_create ("gemm");
  TCase *t = tcase_create (qk_sgemm_library ());
  SRunner *r;
  int failed;

  tcase_add_loop_test (t, products, LIBRARY, THREADED + 1);
  tcase_add_test (t, concurrent);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_ENV);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
