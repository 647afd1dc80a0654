/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reference.h: what the files of the reference backend share. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "int8op/int8op.h"

/* One prepared operation. */
struct reference_kernel {
  struct qk_op op; /* its arrays are the model's */
  struct int8op_geometry g;
  struct qk_shape in[QK_OP_MAX_INPUTS], out;
  int64_t channels[QK_OP_MAX_INPUTS]; /* int8op_row of every input */
  int threads;
};

/* Integer I of X, which lies on the grid Q. */
static inline int32_t
reference_get (const struct qk_qparams *q, const void *x, int64_t i)
{
  return qk_grid_is_wide (q) ? ((const uint16_t *) x)[i]
                             : ((const uint8_t *) x)[i];
}

static inline void
reference_put (const struct qk_qparams *q, void *x, int64_t i, int32_t v)
{
  if (qk_grid_is_wide (q))
    ((uint16_t *) x)[i] = (uint16_t) v;
  else
    ((uint8_t *) x)[i] = (uint8_t) v;
}

/* Each runs N samples; IN and OUT are dense arrays of the types that
 * enum qk_op_kind gives. */
void reference_conv2d (const struct reference_kernel *k, int64_t n,
                       const void *const *in, void *out);
void reference_conv_transpose2d (const struct reference_kernel *k, int64_t n,
                                 const void *const *in, void *out);
void reference_linear (const struct reference_kernel *k, int64_t n,
                       const void *const *in, void *out);
/* SCRATCH: a byte for each element of the input. */
void reference_linear_dynamic (const struct reference_kernel *k, int64_t n,
                               const void *const *in, void *out,
                               uint8_t *scratch);
void reference_binary (const struct reference_kernel *k, int64_t n,
                       const void *const *in, void *out);
void reference_table (const struct reference_kernel *k, int64_t n,
                      const void *const *in, void *out);
void reference_matmul (const struct reference_kernel *k, int64_t n,
                       const void *const *in, void *out);
void reference_softmax (const struct reference_kernel *k, int64_t n,
                        const void *const *in, void *out);
void reference_norm (const struct reference_kernel *k, int64_t n,
                     const void *const *in, void *out);
void reference_lrn (const struct reference_kernel *k, int64_t n,
                    const void *const *in, void *out);
void reference_concat (const struct reference_kernel *k, int64_t n,
                       const void *const *in, void *out);
void reference_transpose (const struct reference_kernel *k, int64_t n,
                          const void *const *in, void *out);
void reference_resize (const struct reference_kernel *k, int64_t n,
                       const void *const *in, void *out);
void reference_gather (const struct reference_kernel *k, int64_t n,
                       const void *const *in, void *out);
void reference_maxpool2d (const struct reference_kernel *k, int64_t n,
                          const void *const *in, void *out);
void reference_avgpool2d (const struct reference_kernel *k, int64_t n,
                          const void *const *in, void *out);
void reference_clamp (const struct reference_kernel *k, int64_t n,
                      const void *const *in, void *out);
void reference_reshape (const struct reference_kernel *k, int64_t n,
                        const void *const *in, void *out);
void reference_quantize (const struct reference_kernel *k, int64_t n,
                         const void *const *in, void *out);
void reference_dequantize (const struct reference_kernel *k, int64_t n,
                           const void *const *in, void *out);
void reference_requantize (const struct reference_kernel *k, int64_t n,
                           const void *const *in, void *out);
void reference_prelu (const struct reference_kernel *k, int64_t n,
                      const void *const *in, void *out);
void reference_reduce (const struct reference_kernel *k, int64_t n,
                       const void *const *in, void *out);

/* The element of a sample of S that element I of a sample of OUT, which S is
 * broadcast to, is made of. */
int64_t reference_source (const struct qk_shape *s, const struct qk_shape *out,
                          int64_t i);

#endif /* REFERENCE_H */
