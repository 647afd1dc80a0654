/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ties.h: scales with which a sum or a product of two grids, or a function of
 * one, has no ties. */
#ifndef ONNX_TIES_H
#define ONNX_TIES_H

#include <qatkit/backend.h>

enum onnx_ties { ONNX_NO_TIES, ONNX_TIES_STAY };

/* SCALE: those of the two inputs of OP, or others a few units in the last place
 * away, with which no pair of integers has a real result within rounding errors
 * of a tie.  ONNX_TIES_STAY: there are none such; then only the very operations
 * of numeric.h give its integers.  Of operators that are neither sum nor
 * product nothing is known: ONNX_NO_TIES. */
enum onnx_ties onnx_scales_off_ties (const struct qk_op *op, float scale[2]);

/* The scale of the input of OP, a table that LAYER made, or another a few units
 * in the last place away, with which the real function's values are clearly on
 * that side of each tie on which the table has them. */
float onnx_table_scale_off_ties (const struct qk_op *op, const char *layer);

#endif /* ONNX_TIES_H */
