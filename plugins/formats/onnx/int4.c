/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* int4.c: weights of 4 bits as ONNX has them since operator set 21, two in a
 * byte. */
#include "config.h"

#include <string.h>

#include "edit.h"

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
