/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tensor.h: dense arrays, channels last, with their quantization. */
#ifndef QATKIT_TENSOR_H
#define QATKIT_TENSOR_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum qk_dtype {
  QK_NONE = 0,
  QK_F32 = 1,
  QK_U8 = 2,
  QK_I8 = 3,
  QK_I32 = 4,
  QK_I64 = 5,
  QK_F64 = 6,
  QK_U16 = 7
};

/* Bytes of one element; 0 for QK_NONE or an unknown value. */
QK_PUBLIC size_t qk_dtype_size (enum qk_dtype dtype);
/* "f32", "u8", … ; "?" for an unknown value. */
QK_PUBLIC const char *qk_dtype_name (enum qk_dtype dtype);

#define QK_MAX_DIMS 8

/* Activations begin with the batch axis: images are (N,H,W,C), vectors (N,C);
 * dims[0] is 1 where one sample is meant.  Conv weights are (K,R,S,C/groups)
 * with K output channels and an R x S window, linear weights (K,C). */
struct qk_shape {
  int ndim;
  int64_t dims[QK_MAX_DIMS];
};

/* Number of elements; 1 for ndim 0; -1 when a dimension is negative or the
 * product overflows. */
QK_PUBLIC int64_t qk_shape_count (const struct qk_shape *shape);
QK_PUBLIC bool qk_shape_equal (const struct qk_shape *a,
                               const struct qk_shape *b);
/* "(1,160,160,3)" into BUF; returns BUF. */
QK_PUBLIC const char *qk_shape_print (const struct qk_shape *shape, char *buf,
                                      size_t size);

/* What a named tensor of a network or a data set is like.  Borrowed from who
 * hands it out. */
struct qk_tensor_spec {
  const char *name; /* "image", "label" */
  enum qk_dtype dtype;
  struct qk_shape shape; /* of one sample: dims[0], the batch axis, is 1 */
  /* Integers that stand for categories: 0 <= x < categories; 0: any number. */
  int64_t categories;
  const char *const *category; /* their names; NULL: they have none */
};

/* The integer of a category that is not known, or does not count. */
#define QK_NO_CATEGORY (-1)

/* Bytes of one sample; 0 for a senseless shape. */
QK_PUBLIC size_t qk_spec_bytes (const struct qk_tensor_spec *spec);
/* "image f32 (1,160,160,3)" into BUF; returns BUF. */
QK_PUBLIC const char *qk_spec_print (const struct qk_tensor_spec *spec,
                                     char *buf, size_t size);

/* The shape that A and B are broadcast to: the batch axis, dims[0], is the
 * same in both; the other axes are matched from the last one on, where each
 * has one size or size 1, and an axis that is missing has size 1 (numpy's
 * rule for one sample).  -EINVAL with both shapes in a sentence. */
QK_PUBLIC int qk_shape_broadcast (const struct qk_shape *a,
                                  const struct qk_shape *b,
                                  struct qk_shape *out);

/* The shape of the products A B of matrices: A is (N,…,M,K), B (N,…,K,P), with
 * TA and TB the last two axes of A and B are the other way round; the axes
 * before them, the batch axis among them, are those of qk_shape_broadcast.
 * The result is (N,…,M,P).  -EINVAL with both shapes in a sentence. */
QK_PUBLIC int qk_shape_matmul (const struct qk_shape *a,
                               const struct qk_shape *b, bool ta, bool tb,
                               struct qk_shape *out);

/* Affine quantization of real numbers to integers:
 *   q = clamp (rne (x * (1.0f / scale)) + zero_point, qmin, qmax)
 *   x' = (float) (q - zero_point) * scale
 * Activations: 0 <= qmin < qmax, uint8 where qmax <= 255, else uint16.
 * Weights: int8, zero_point 0.  scale 0 means "no quantization". */
struct qk_qparams {
  float scale;
  int32_t zero_point;
  int32_t qmin;
  int32_t qmax;
};

/* Largest integers of activations. */
#define QK_U8_MAX 255
#define QK_U16_MAX 65535

/* Whether the integers of the grid Q need more than a byte. */
static inline bool
qk_grid_is_wide (const struct qk_qparams *q)
{
  return q->qmax > QK_U8_MAX;
}

/* The largest integer that the type of the grid Q has. */
static inline int
qk_grid_most (const struct qk_qparams *q)
{
  return qk_grid_is_wide (q) ? QK_U16_MAX : QK_U8_MAX;
}

/* The type of activations on the grid Q. */
static inline enum qk_dtype
qk_grid_dtype (const struct qk_qparams *q)
{
  return qk_grid_is_wide (q) ? QK_U16 : QK_U8;
}

/* A view; who owns the data is said where a tensor is passed.  Always dense,
 * row-major, aligned to 64 bytes when the library allocated it.  A QK_U8 or
 * QK_U16 tensor of activations carries its quantization in q; the real value
 * of an element is (float) (q - q.zero_point) * q.scale.  Training carries
 * activations of more than 8 bits as these real values: a QK_F32 tensor with
 * the grid they lie on in q (scale 0: on none). */
struct qk_tensor {
  enum qk_dtype dtype;
  struct qk_shape shape;
  void *data;
  struct qk_qparams q;
};

/* Zeroed memory aligned to 64 bytes; NULL when there is none or SIZE is
 * absurd.  Free with qk_free. */
QK_PUBLIC void *qk_alloc (size_t size);
QK_PUBLIC void qk_free (void *p);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_TENSOR_H */
