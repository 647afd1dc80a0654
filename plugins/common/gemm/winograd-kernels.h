/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd-kernels.h: what winograd.c does for each CPU level: transforms and
 * products.
 *
 * Numbers of the 36 places lie in panels of LANES channels: place e, row t, channel i
 * are at e * step + i / LANES * panel + t * LANES + i % LANES, so that both operands of
 * a product and its result are read and written from one end to the other. */
#ifndef QATKIT_COMMON_WINOGRAD_KERNELS_H
#define QATKIT_COMMON_WINOGRAD_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

struct winograd_kernels {
  int lanes;
  int rows; /* M of rows_product is a multiple of this */

  /* 6x6 pixels P of C channels, a multiple of lanes, to the places of a row, whose
   * first number is TO; and pixels of bytes, which stand for byte - ZERO. */
  void (*seen) (const void *const *p, int64_t c, float *to, int64_t step,
                int64_t panel);
  void (*seen_bytes) (const void *const *p, float zero, int64_t c, float *to,
                      int64_t step, int64_t panel);
  /* The same of taps. */
  void (*taps_3x3) (const void *const *p, int64_t c, float *to, int64_t step,
                    int64_t panel);
  void (*taps_4x4) (const void *const *p, int64_t c, float *to, int64_t step,
                    int64_t panel);
  /* And back: outputs P from the places of a row at FROM. */
  void (*outputs_3x3) (const float *from, int64_t step, int64_t panel,
                       int64_t c, float *const *p);
  void (*outputs_4x4) (const float *from, int64_t step, int64_t panel,
                       int64_t c, float *const *p);

  /* In one place, c = a b: a (M,K) and c (M,N) with panels of PANEL floats, b (K,N)
   * with panels of K rows.  K and N are multiples of lanes. */
  void (*rows_product) (int64_t m, int64_t n, int64_t k, const float *a,
                        const float *b, float *c, int64_t panel);
  /* c += a^T b: a (K,M) and b (K,N) with panels of PANEL floats, c (M,N) with panels
   * of M rows.  M and N are multiples of lanes. */
  void (*sum_product) (int64_t m, int64_t n, int64_t k, const float *a,
                       const float *b, int64_t panel, float *c);
};

extern const struct winograd_kernels winograd_kernels__avx2;
extern const struct winograd_kernels winograd_kernels__avx512;

#endif /* QATKIT_COMMON_WINOGRAD_KERNELS_H */
