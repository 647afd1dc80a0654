/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* igemm.c: exact product of uint8 and int8 matrices with AVX-512 VNNI.
 *
 * The columns of C are cut into panels of 64, the last one narrower.  A panel
 * is packed as: 16 int32 for each 16 columns, -z times the column's sum; then
 * for each 4 of K, 4 weights of every column side by side, which is what
 * vpdpbusd multiplies with 4 bytes of A. */
#include "config.h"

#include <string.h>

#include "gemm/igemm.h"
#include "multiversion.h"

enum { VEC = 16, PANEL = 4 * VEC };

int64_t
qk_igemm_depth (int64_t k)
{
  return (k + 3) & ~(int64_t) 3;
}

static int64_t
columns (int64_t n)
{
  return (n + VEC - 1) / VEC * VEC;
}

size_t
qk_igemm_size (int64_t n, int64_t k)
{
  return (size_t) (columns (n) * (qk_igemm_depth (k) + 4));
}

void
qk_igemm_pack (int64_t n, int64_t k, const int8_t *w, int64_t ldw,
               void *packed)
{
  const int64_t depth = qk_igemm_depth (k);
  char *at = packed;

  memset (packed, 0, qk_igemm_size (n, k));
  for (int64_t j0 = 0; j0 < n; j0 += PANEL) {
    const int64_t width = columns (n - j0 < PANEL ? n - j0 : PANEL);
    int8_t *out = (int8_t *) (at + width * 4);

    for (int64_t i = 0; i + 4 <= k; i += 4)
      for (int64_t j = 0; j < width && j0 + j < n; j++)
        memcpy (out + i * width + j * 4, w + (j0 + j) * ldw + i, 4);
    for (int64_t i = k & ~(int64_t) 3; i < k; i++)
      for (int64_t j = 0; j < width && j0 + j < n; j++)
        out[i / 4 * 4 * width + j * 4 + i % 4] = w[(j0 + j) * ldw + i];
    at += width * (4 + depth);
  }
}

void
qk_igemm_zero_point (int64_t n, int64_t k, const double *sum, int32_t z,
                     void *packed)
{
  char *at = packed;

  for (int64_t j0 = 0; j0 < n; j0 += PANEL) {
    const int64_t some = n - j0 < PANEL ? n - j0 : PANEL;
    int32_t *start = (int32_t *) (void *) at;

    for (int64_t j = 0; j < some; j++)
      start[j] = (int32_t) (-z * sum[j0 + j]);
    at += columns (some) * (4 + qk_igemm_depth (k));
  }
}

#if defined HAVE_TARGET_CLONES && defined __x86_64__

#include <immintrin.h>

#define LEVEL __attribute__ ((target ("avx512f,avx512bw,avx512vl,avx512vnni")))

bool
qk_igemm_usable (void)
{
  return __builtin_cpu_supports ("avx512vnni")
         && __builtin_cpu_supports ("avx512bw")
         && __builtin_cpu_supports ("avx512vl");
}

/* One panel of at most PANEL columns, N of them real. */
struct panel {
  const char *w; /* packed */
  int64_t depth; /* a multiple of 4 */
  int n;
  bool to_float;
};

LEVEL static inline void
store (const struct panel *p, __m512i sum, __mmask16 mask, char *c)
{
  if (p->to_float)
    _mm512_mask_storeu_ps (c, mask, _mm512_cvtepi32_ps (sum));
  else
    _mm512_mask_storeu_epi32 (c, mask, sum);
}

/* MR rows and NV vectors of columns; the first ROWS rows are real, the
 * others read the last one again.  MR and NV are constants where this is
 * inlined. */
LEVEL static inline __attribute__ ((always_inline)) void
tile (const struct panel *p, const int mr, const int nv, int64_t rows,
      const uint8_t *a, int64_t lda, char *c, int64_t ldc)
{
  const char *w = p->w;
  const uint8_t *row[16];
  __m512i sum[16][4];

#pragma GCC unroll 16
  for (int i = 0; i < mr; i++) {
    row[i] = a + (i < rows ? i : rows - 1) * lda;
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++)
      sum[i][j] = _mm512_loadu_si512 (w + 64 * j);
  }
  w += 64 * nv;
  for (int64_t k = 0; k < p->depth; k += 4, w += 64 * nv) {
    __m512i b[4];

#pragma GCC unroll 4
    for (int j = 0; j < nv; j++)
      b[j] = _mm512_loadu_si512 (w + 64 * j);
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
      int32_t four;
      __m512i x;

      memcpy (&four, row[i] + k, sizeof four);
      x = _mm512_set1_epi32 (four);
#pragma GCC unroll 4
      for (int j = 0; j < nv; j++)
        sum[i][j] = _mm512_dpbusd_epi32 (sum[i][j], x, b[j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < mr; i++)
    if (i < rows)
#pragma GCC unroll 4
      for (int j = 0; j < nv; j++) {
        const int left = p->n - 16 * j;

        store (p, sum[i][j],
               (__mmask16) (left >= 16 ? 0xffff : (1 << left) - 1),
               c + i * ldc + 64 * j);
      }
}

#define DEFINE_PANEL(mr, nv)                                                  \
  LEVEL static void panel_##nv (const struct panel *p, int64_t m,             \
                                const uint8_t *a, int64_t lda, char *c,       \
                                int64_t ldc)                                  \
  {                                                                           \
    for (int64_t i = 0; i < m; i += mr)                                       \
      tile (p, mr, nv, m - i < mr ? m - i : mr, a + i * lda, lda,             \
            c + i * ldc, ldc);                                                \
  }                                                                           \
  struct panel

DEFINE_PANEL (14, 1);
DEFINE_PANEL (12, 2);
DEFINE_PANEL (8, 3);
DEFINE_PANEL (6, 4);

void
qk_igemm (int64_t m, int64_t n, int64_t k, const uint8_t *a, int64_t lda,
          const void *packed, bool to_float, void *c, int64_t ldc)
{
  static void (*const panels[]) (const struct panel *, int64_t,
                                 const uint8_t *, int64_t, char *, int64_t)
    = { panel_1, panel_2, panel_3, panel_4 };
  struct panel p
    = { .w = packed, .depth = qk_igemm_depth (k), .to_float = to_float };

  for (int64_t j0 = 0; j0 < n; j0 += PANEL) {
    const int64_t left = n - j0 < PANEL ? n - j0 : PANEL;
    const int64_t width = columns (left);

    p.n = (int) left;
    panels[width / VEC - 1](&p, m, a, lda, (char *) c + 4 * j0, 4 * ldc);
    p.w += width * (4 + p.depth);
  }
}

#else

bool
qk_igemm_usable (void)
{
  return false;
}

void
qk_igemm (int64_t m, int64_t n, int64_t k, const uint8_t *a, int64_t lda,
          const void *packed, bool to_float, void *c, int64_t ldc)
{
  (void) m, (void) n, (void) k, (void) a, (void) lda, (void) packed;
  (void) to_float, (void) c, (void) ldc;
}

#endif
