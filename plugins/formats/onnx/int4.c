/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* int4.c: operator set 21, which has uint16, and weights of 4 bits, two in a byte;
 * what a graph of set 13 has to become for that. */
#include "config.h"

#include <string.h>

#include "edit.h"

#define OPSET 21
#define IR_VERSION 10
/* A number of TensorProto.DataType that onnx.proto may be too old for. */
#define TYPE_INT4 22

static Onnx__TensorProto *
constant (struct onnx_build *b, const char *name)
{
  return (Onnx__TensorProto *) onnx_find_constant (b, name);
}

/* Whether T is of int8, and all of it within 4 bits. */
static bool
fits (const Onnx__TensorProto *t)
{
  if (t == NULL || t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT8)
    return false;
  for (size_t i = 0; i < t->raw_data.len; i++) {
    const int x = (int8_t) t->raw_data.data[i];

    if (x < -8 || x > 7)
      return false;
  }
  return true;
}

/* T with two elements in a byte, the first one in the lower half. */
static void
pack (Onnx__TensorProto *t)
{
  uint8_t *x = t->raw_data.data;
  const size_t n = t->raw_data.len;

  for (size_t i = 0; i < n; i += 2)
    x[i / 2] = (uint8_t) ((x[i] & 15) | (i + 1 < n ? x[i + 1] & 15 : 0) << 4);
  t->raw_data.len = (n + 1) / 2;
  t->data_type = TYPE_INT4;
}

/* Axes are an input since set 18; of ReduceSum they were before. */
static void
move_axes (struct onnx_build *b, Onnx__NodeProto *n)
{
  const char *both[2] = { n->input[0], "" };
  char **input = onnx_alloc (b, 2 * sizeof *input);

  for (size_t i = 0; input != NULL && i < n->n_attribute; i++) {
    const Onnx__AttributeProto *a = n->attribute[i];
    const int64_t count = (int64_t) a->n_ints;

    if (strcmp (a->name, "axes") != 0)
      continue;
    both[1] = onnx_constant (b, onnx_name (b, "%s/axes", n->output[0]), QK_I64,
                             1, &count, a->ints);
    input[0] = (char *) both[0];
    input[1] = onnx_name (b, "%s", both[1]);
    n->input = input;
    n->n_input = 2;
    n->attribute[i] = n->attribute[--n->n_attribute];
    return;
  }
}

void
onnx_raise (struct onnx_build *b)
{
  for (size_t i = 0; i < b->graph.n_node && b->error == 0; i++) {
    Onnx__NodeProto *n = b->graph.node[i];

    if (strncmp (n->op_type, "Reduce", 6) == 0 && n->n_input == 1)
      move_axes (b, n);
  }
  b->opset = OPSET;
  b->ir_version = IR_VERSION;
}

int
onnx_to_int4 (struct onnx_build *b)
{
  int packed = 0;

  for (size_t i = 0; i < b->graph.n_node && b->error == 0; i++) {
    Onnx__NodeProto *n = b->graph.node[i];
    const bool dequantizes = strcmp (n->op_type, "DequantizeLinear") == 0;
    Onnx__TensorProto *t = dequantizes ? constant (b, n->input[0]) : NULL;

    if (fits (t) && fits (constant (b, n->input[2]))) {
      pack (t);
      pack (constant (b, n->input[2]));
      packed++;
    }
  }
  if (packed == 0 && b->error == 0)
    return qk_error (-EINVAL, "onnx: no layer has weights of 4 bits, expected "
                              "some for weights of int4");
  onnx_raise (b);
  return b->error;
}
