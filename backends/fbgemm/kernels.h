/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernels.h: the inner loops of the fbgemm backend: products from int8gemm,
 * and those without weights, in ISA/pointwise-ISA.c. */
#ifndef FBGEMM_KERNELS_H
#define FBGEMM_KERNELS_H

#include "int8gemm/kernels.h"
#include "pointwise/pointwise.h"

/* The best kernels without weights for a CPU of LEVEL. */
const struct pointwise_kernels *
fbgemm_pointwise_kernels (enum qk_cpu_level level);

POINTWISE_DECLARE (avx2);
POINTWISE_DECLARE (avx512);

#endif /* FBGEMM_KERNELS_H */
