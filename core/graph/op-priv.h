/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* op-priv.h: the table of int8 operations, which everything that has to know
 * them all goes through. */
#ifndef QK_GRAPH_OP_PRIV_H
#define QK_GRAPH_OP_PRIV_H

#include <qatkit/backend.h>

#define QK_OP_KINDS 24 /* one more than the largest enum qk_op_kind */

/* What messages call OP. */
static inline const char *
qk_op_named (const struct qk_op *op)
{
  return op->name != NULL ? op->name : "int8 operation";
}

/* A number of struct qk_op that model files keep, by name. */
struct qk_op_field {
  const char *name; /* NULL ends a list */
  enum { QK_KEPT_INT, QK_KEPT_INT64, QK_KEPT_BOOL, QK_KEPT_FLOAT } type;
  size_t offset;
  int64_t max; /* of whole numbers; the smallest is 0 */
};

/* An array of struct qk_op, which belongs to whoever made the op. */
struct qk_op_array {
  const char *name; /* NULL ends a list; tensor NODE.name of a model file */
  enum qk_dtype dtype;
  size_t offset;
  void (*shape) (const struct qk_op *op, struct qk_shape *out);
};

enum qk_op_flags {
  QK_OPF_WEIGHTED = 1,   /* has a weight, its output may be f32 */
  QK_OPF_WINDOW = 2,     /* a window slides over (N,H,W,C) */
  QK_OPF_POOL = 4,       /* … and may reach beyond the padding: ceil mode */
  QK_OPF_SAME_GRID = 8,  /* the output is on the grid of the input */
  QK_OPF_REAL_IN = 16,   /* the input is f32 */
  QK_OPF_REAL_OUT = 32,  /* the output is f32 */
  QK_OPF_NO_GRIDS = 64,  /* bytes of whatever grid */
  QK_OPF_AROUND = 128,   /* only around a network, never a node of one */
  QK_OPF_REAL_TOO = 256, /* the output may be f32 */
  QK_OPF_WIDE = 512      /* grids may have more than 8 bits: uint16 */
};

struct qk_op_row {
  const char *name; /* NULL: there is no such kind */
  int least, most;  /* inputs */
  unsigned flags;   /* enum qk_op_flags */
  /* up to four lists of what model files keep, and the arrays */
  const struct qk_op_field *field[4];
  const struct qk_op_array *array;
  /* Shapes against each other and against the geometry, and whether the
   * arrays are there; the shapes by themselves were checked. */
  int (*check) (const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out);
  /* What the arrays hold (optional; default: nothing to check). */
  int (*numbers) (const struct qk_op *op);
  /* Multiply-accumulates of a sample (optional; default: none). */
  int64_t (*macs) (const struct qk_op *op, const struct qk_shape *in,
                   const struct qk_shape *out);
};

/* The row of KIND; one without a name for an unknown value. */
const struct qk_op_row *qk_op_row (enum qk_op_kind kind);
/* The kind called NAME; 0 if there is none. */
enum qk_op_kind qk_op_kind_find (const char *name);
/* What tables and reports call OP: its kind, "conv2d", or the function that
 * a binary one computes, "add". */
const char *qk_op_label (const struct qk_op *op);

/* Elements of op->weight; 0 for ops without one. */
int64_t qk_op_weight_count (const struct qk_op *op);
/* Bytes of all arrays, as model files have them. */
int64_t qk_op_bytes (const struct qk_op *op);
/* Multiplications of a sample, or for pooling the numbers looked at. */
int64_t qk_op_work (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out);

/* Where op->ARRAY is. */
const void **qk_op_array_at (struct qk_op *op,
                             const struct qk_op_array *array);
/* Free all arrays of an op that owns them. */
void qk_op_free_arrays (struct qk_op *op);

/* qk_op_check, and everything else that a node of a network must be: grids
 * with their zero point in range, bounds within the grid, numbers that no
 * input can make overflow.  For ops that a layer or a stranger's file made.
 * -EINVAL, -ERANGE or -EDOM with a sentence. */
int qk_op_check_node (const struct qk_op *op, const struct qk_shape *in,
                      const struct qk_shape *out);

/* The checks of the table's rows, in op-check.c. */
int qk_op_check_conv2d (const struct qk_op *op, const struct qk_shape *in,
                        const struct qk_shape *out);
int qk_op_check_linear (const struct qk_op *op, const struct qk_shape *in,
                        const struct qk_shape *out);
int qk_op_check_binary (const struct qk_op *op, const struct qk_shape *in,
                        const struct qk_shape *out);
int qk_op_check_concat (const struct qk_op *op, const struct qk_shape *in,
                        const struct qk_shape *out);
int qk_op_check_pool (const struct qk_op *op, const struct qk_shape *in,
                      const struct qk_shape *out);
int qk_op_check_each (const struct qk_op *op, const struct qk_shape *in,
                      const struct qk_shape *out);
int qk_op_check_reshape (const struct qk_op *op, const struct qk_shape *in,
                         const struct qk_shape *out);
int qk_op_check_table (const struct qk_op *op, const struct qk_shape *in,
                       const struct qk_shape *out);
int qk_op_check_transpose (const struct qk_op *op, const struct qk_shape *in,
                           const struct qk_shape *out);
int qk_op_check_gather (const struct qk_op *op, const struct qk_shape *in,
                        const struct qk_shape *out);
int qk_op_check_resize (const struct qk_op *op, const struct qk_shape *in,
                        const struct qk_shape *out);
int qk_op_numbers_resize (const struct qk_op *op);
int qk_op_check_prelu (const struct qk_op *op, const struct qk_shape *in,
                       const struct qk_shape *out);
int qk_op_check_transposed (const struct qk_op *op, const struct qk_shape *in,
                            const struct qk_shape *out);
int qk_op_check_reduce (const struct qk_op *op, const struct qk_shape *in,
                        const struct qk_shape *out);
int qk_op_numbers_prelu (const struct qk_op *op);
int qk_op_check_matmul (const struct qk_op *op, const struct qk_shape *in,
                        const struct qk_shape *out);
int qk_op_check_softmax (const struct qk_op *op, const struct qk_shape *in,
                         const struct qk_shape *out);
int qk_op_check_norm (const struct qk_op *op, const struct qk_shape *in,
                      const struct qk_shape *out);
int qk_op_check_lrn (const struct qk_op *op, const struct qk_shape *in,
                     const struct qk_shape *out);
int qk_op_numbers_weighted (const struct qk_op *op);
int qk_op_numbers_dynamic (const struct qk_op *op);
int qk_op_numbers_pool (const struct qk_op *op);
int qk_op_numbers_table (const struct qk_op *op);
int qk_op_numbers_matmul (const struct qk_op *op);
int qk_op_numbers_norm (const struct qk_op *op);
int qk_op_numbers_lrn (const struct qk_op *op);

#endif /* QK_GRAPH_OP_PRIV_H */
