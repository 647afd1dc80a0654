/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm.c: single-precision matrix product over a backend's, CBLAS or plain C.
 *
 * oneDNN comes before CBLAS: on the products of MobileNetV2 (10 to 1000 rows,
 * 16 to 1280 columns) it was measured at twice OpenBLAS 0.3.21 on AVX-512, and
 * it keeps to the calling thread inside an OpenMP region, which CBLAS does not
 * promise.  It is a choice of the run, CBLAS one of the build. */
#include "config.h"

#include <limits.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef HAVE_CBLAS
#include <cblas.h>
#endif

#include "gemm/gemm.h"
#include "multiversion.h"

/* ---- plain C: packed panels, a tile of MR x NR sums in registers -------*/

enum { MR = 4, NR = 32, KC = 256 };

/* P (kc,MR) from rows i0.. of op (A); missing rows are 0. */
static void
pack_a (bool ta, const float *a, int64_t lda, int64_t i0, int64_t mr,
        int64_t k0, int64_t kc, float *p)
{
  for (int64_t k = 0; k < kc; k++)
    for (int64_t i = 0; i < MR; i++)
      p[k * MR + i] = i >= mr ? 0.0f
                      : ta    ? a[(k0 + k) * lda + i0 + i]
                              : a[(i0 + i) * lda + k0 + k];
}

/* P (kc,NR) from columns j0.. of op (B); missing columns are 0. */
static void
pack_b (bool tb, const float *b, int64_t ldb, int64_t j0, int64_t nr,
        int64_t k0, int64_t kc, float *p)
{
  for (int64_t k = 0; k < kc; k++)
    for (int64_t j = 0; j < NR; j++)
      p[k * NR + j] = j >= nr ? 0.0f
                      : tb    ? b[(j0 + j) * ldb + k0 + k]
                              : b[(k0 + k) * ldb + j0 + j];
}

QK_LOOP (static, tile,
         (int64_t kc, const float *restrict a, const float *restrict b,
          float *restrict sum),
         (kc, a, b, sum))
{
  float s0[NR], s1[NR], s2[NR], s3[NR];

  memset (s0, 0, sizeof s0);
  memset (s1, 0, sizeof s1);
  memset (s2, 0, sizeof s2);
  memset (s3, 0, sizeof s3);
  for (int64_t k = 0; k < kc; k++, a += MR, b += NR)
    QK_SIMD
  for (int j = 0; j < NR; j++) {
    s0[j] += a[0] * b[j];
    s1[j] += a[1] * b[j];
    s2[j] += a[2] * b[j];
    s3[j] += a[3] * b[j];
  }
  memcpy (sum, s0, sizeof s0);
  memcpy (sum + NR, s1, sizeof s1);
  memcpy (sum + 2 * NR, s2, sizeof s2);
  memcpy (sum + 3 * NR, s3, sizeof s3);
}

void
qk_sgemm_plain (bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                const float *a, int64_t lda, const float *b, int64_t ldb,
                float beta, float *c, int64_t ldc)
{
  float pa[KC * MR], pb[KC * NR], sum[MR * NR];

  if (beta == 0.0f)
    for (int64_t i = 0; i < m; i++)
      memset (c + i * ldc, 0, (size_t) n * sizeof *c);
  for (int64_t k0 = 0; k0 < k; k0 += KC) {
    const int64_t kc = k - k0 < KC ? k - k0 : KC;

    for (int64_t j0 = 0; j0 < n; j0 += NR) {
      const int64_t nr = n - j0 < NR ? n - j0 : NR;

      pack_b (tb, b, ldb, j0, nr, k0, kc, pb);
      for (int64_t i0 = 0; i0 < m; i0 += MR) {
        const int64_t mr = m - i0 < MR ? m - i0 : MR;

        pack_a (ta, a, lda, i0, mr, k0, kc, pa);
        tile (kc, pa, pb, sum);
        for (int64_t i = 0; i < mr; i++)
          for (int64_t j = 0; j < nr; j++)
            c[(i0 + i) * ldc + j0 + j] += sum[i * NR + j];
      }
    }
  }
}

/* ---- the library of the build -------------------------------------------*/

#ifdef HAVE_CBLAS

/* OpenBLAS built on pthreads would start threads of its own below ours. */
extern void openblas_set_num_threads (int) __attribute__ ((weak));

static bool
cblas_product (bool ta, bool tb, int64_t m, int64_t n, int64_t k,
               const float *a, int64_t lda, const float *b, int64_t ldb,
               float beta, float *c, int64_t ldc)
{
  if (m > INT_MAX || n > INT_MAX || k > INT_MAX || lda > INT_MAX
      || ldb > INT_MAX || ldc > INT_MAX)
    return false;
  if (openblas_set_num_threads)
    openblas_set_num_threads (1);
  cblas_sgemm (CblasRowMajor, ta ? CblasTrans : CblasNoTrans,
               tb ? CblasTrans : CblasNoTrans, (int) m, (int) n, (int) k, 1.0f,
               a, (int) lda, b, (int) ldb, beta, c, (int) ldc);
  return true;
}

#else

static bool
cblas_product (bool ta, bool tb, int64_t m, int64_t n, int64_t k,
               const float *a, int64_t lda, const float *b, int64_t ldb,
               float beta, float *c, int64_t ldc)
{
  (void) ta, (void) tb, (void) m, (void) n, (void) k, (void) a, (void) lda;
  (void) b, (void) ldb, (void) beta, (void) c, (void) ldc;
  return false;
}

#endif

void
qk_sgemm (const struct qk_backend_class *lib, bool ta, bool tb, int64_t m,
          int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
          int64_t ldb, float beta, float *c, int64_t ldc)
{
  bool done;

  if (m <= 0 || n <= 0)
    return;
  if (k <= 0) {
    qk_sgemm_plain (ta, tb, m, n, 0, a, lda, b, ldb, beta, c, ldc);
    return;
  }
#ifdef _OPENMP
  /* A team of one is no parallel region to the library below; this setting
   * belongs to the calling task only. */
  const int threads = omp_get_max_threads ();

  if (threads > 1)
    omp_set_num_threads (1);
#endif
  done = lib && lib->sgemm
           ? lib->sgemm (ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc)
           : cblas_product (ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc);
#ifdef _OPENMP
  if (threads > 1)
    omp_set_num_threads (threads);
#endif
  if (!done)
    qk_sgemm_plain (ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

void
qk_sgemm_threaded (const struct qk_backend_class *lib, int threads, bool ta,
                   bool tb, int64_t m, int64_t n, int64_t k, const float *a,
                   int64_t lda, const float *b, int64_t ldb, float beta,
                   float *c, int64_t ldc)
{
  const int64_t parts = threads < 1 ? 1 : threads;

#pragma omp parallel for num_threads(parts) schedule(static, 1)
  for (int64_t t = 0; t < parts; t++) {
    const int64_t i0 = m * t / parts, i1 = m * (t + 1) / parts;

    qk_sgemm (lib, ta, tb, i1 - i0, n, k, ta ? a + i0 : a + i0 * lda, lda, b,
              ldb, beta, c + i0 * ldc, ldc);
  }
}
