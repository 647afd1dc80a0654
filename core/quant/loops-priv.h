/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loops-priv.h: the loops over elements behind quantizers. */
#ifndef QK_QUANT_LOOPS_PRIV_H
#define QK_QUANT_LOOPS_PRIV_H

#include "qatkit/tensor.h"

/* qk_quantize of every element.  Any number of threads gives the same. */
void qk_loop_quantize_u8 (const float *x, size_t n, const struct qk_qparams *q,
                          uint8_t *out);
void qk_loop_quantize_i8 (const float *x, size_t n, const struct qk_qparams *q,
                          int8_t *out);

/* The real numbers that qk_quantize of every element stands for; OUT may be
 * X. */
void qk_loop_put_on_grid (const float *x, size_t n, const struct qk_qparams *q,
                          float *out);

/* dx = dy where x lies on the grid's range, 0 elsewhere; dx may be dy. */
void qk_loop_ste (const float *x, const float *dy, size_t n,
                  const struct qk_qparams *q, float *dx);

#endif /* QK_QUANT_LOOPS_PRIV_H */
