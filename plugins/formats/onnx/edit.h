/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* edit.h: changes to a graph that has been built. */
#ifndef ONNX_EDIT_H
#define ONNX_EDIT_H

#include "build.h"

/* Integers of type uint8 or int8 as what a graph takes and gives. */
enum onnx_io { ONNX_IO_FLOAT, ONNX_IO_UINT8, ONNX_IO_INT8 };

/* ---- edit.c ------------------------------------------------------------- */

/* The constant NAME; NULL if there is none. */
const Onnx__TensorProto *onnx_find_constant (const struct onnx_build *b,
                                             const char *name);
/* The node that makes NAME; NULL if there is none. */
const Onnx__NodeProto *onnx_find_maker (const struct onnx_build *b,
                                        const char *name);
/* Whether the constants of these names are equal. */
bool onnx_equal_constants (const struct onnx_build *b, const char *x,
                           const char *y);
/* All nodes read TO where they read FROM. */
void onnx_read_instead (struct onnx_build *b, const char *from,
                        const char *to);
/* What makes FROM makes TO, which is read instead. */
void onnx_write_instead (struct onnx_build *b, const char *from,
                         const char *to);
/* Take away the nodes and constants that no output depends on. */
void onnx_prune (struct onnx_build *b);
/* A graph of operator set 13 becomes one of set 21, which has integers of 4 and of
 * 16 bits. */
void onnx_raise (struct onnx_build *b);

/* ---- qoperator.c, io.c, int4.c: 0 or an error ---------------------------- */

/* From QDQ to QOperator form. */
int onnx_to_qoperator (struct onnx_build *b);
/* Inputs, and outputs that are on a grid, become integers of TYPE; *GRIDS,
 * which belongs to B, says which numbers they stand for, as JSON.  -EINVAL,
 * naming it, where an input is read in float. */
int onnx_integer_io (struct onnx_build *b, enum onnx_io type,
                     const char **grids);

/* Weights of QDQ form that fit 4 bits become int4, and the graph one of operator
 * set 21.  -EINVAL where there are none. */
int onnx_to_int4 (struct onnx_build *b);

#endif /* ONNX_EDIT_H */
