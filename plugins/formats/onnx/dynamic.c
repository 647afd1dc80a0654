/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dynamic.c: layers that choose the grid of their input in each call.
 *
 *   q, s, z = DynamicQuantizeLinear (x)
 *   y = Cast (MatMulInteger (q, w, z)) * (s * scale_w) + bias
 *
 * DynamicQuantizeLinear has 8 bits.  A grid of fewer, for products that
 * saturate in 16 bits, is made of its pieces. */
#include "config.h"

#include <qatkit/numeric.h>

#include "writer.h"

/* The integers of a tensor and their grid. */
struct quantized {
  const char *q, *scale, *zero_point;
};

/* OUT = OP (X, Y), a value of node N. */
static const char *
two (struct writer *w, const struct qk_network_node *n, const char *op,
     const char *x, const char *y, const char *out)
{
  const char *in[2] = { x, y };

  out = onnx_name (&w->b, "%s/%s", n->name, out);
  onnx_node (&w->b, op, out, 2, in);
  return out;
}

static const char *
number (struct writer *w, const struct qk_network_node *n, const char *name,
        float x)
{
  return onnx_scalar (&w->b, onnx_name (&w->b, "%s/%s", n->name, name), QK_F32,
                      &x);
}

static const char *
one (struct writer *w, const struct qk_network_node *n, const char *op,
     const char *x, const char *out)
{
  return node1 (w, op, onnx_name (&w->b, "%s/%s", n->name, out), x);
}

static const char *
cast (struct writer *w, const struct qk_network_node *n, const char *x,
      Onnx__TensorProto__DataType type, const char *out)
{
  Onnx__NodeProto *o;

  out = onnx_name (&w->b, "%s/%s", n->name, out);
  o = onnx_node (&w->b, "Cast", out, 1, &x);
  onnx_attr_int (&w->b, o, "to", type);
  return out;
}

/* An end of the range of all of X, with 0 in it. */
static const char *
put_end (struct writer *w, const struct qk_network_node *n, const char *x,
         const char *zero, bool upper)
{
  const char *name
    = onnx_name (&w->b, "%s/%s", n->name, upper ? "largest" : "smallest");
  Onnx__NodeProto *o
    = onnx_node (&w->b, upper ? "ReduceMax" : "ReduceMin", name, 1, &x);

  onnx_attr_int (&w->b, o, "keepdims", 0);
  return two (w, n, upper ? "Max" : "Min", name, zero,
              upper ? "upper" : "lower");
}

/* qk_dynamic_grid, but for its care for numbers near 0. */
static struct quantized
put_pieces (struct writer *w, const struct qk_network_node *n, const char *x)
{
  const uint8_t low = (uint8_t) n->op->lo, high = (uint8_t) n->op->hi;
  const char *zero = number (w, n, "zero", 0.0f), *in[3], *ends[3];
  const char *steps = number (w, n, "steps", (float) (n->op->hi - n->op->lo));
  const char *lower = put_end (w, n, x, zero, false);
  const char *upper = put_end (w, n, x, zero, true);
  struct quantized r;

  r.scale = two (w, n, "Div", two (w, n, "Sub", upper, lower, "range"), steps,
                 "step");
  r.scale = two (w, n, "Max", r.scale, number (w, n, "least", 6.1e-5f),
                 "input_scale");
  in[0] = two (w, n, "Div", lower, r.scale, "below");
  in[0] = one (w, n, "Neg", in[0], "above");
  in[0] = two (w, n, "Add", in[0], number (w, n, "first", (float) n->op->lo),
               "place");
  in[0] = one (w, n, "Round", in[0], "rounded");
  r.zero_point = cast (w, n, in[0], ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
                       "input_zero_point");
  in[0] = x;
  in[1] = r.scale;
  in[2] = r.zero_point;
  r.q = onnx_name (&w->b, "%s/quantized", n->name);
  onnx_node (&w->b, "QuantizeLinear", r.q, 3, in);
  ends[0] = r.q;
  ends[1]
    = onnx_scalar (&w->b, onnx_name (&w->b, "%s/lo", n->name), QK_U8, &low);
  ends[2]
    = onnx_scalar (&w->b, onnx_name (&w->b, "%s/hi", n->name), QK_U8, &high);
  r.q = onnx_name (&w->b, "%s/clipped", n->name);
  onnx_node (&w->b, "Clip", r.q, 3, ends);
  return r;
}

static struct quantized
put_quantized (struct writer *w, const struct qk_network_node *n,
               const char *x)
{
  const struct quantized r
    = { onnx_name (&w->b, "%s/quantized", n->name),
        onnx_name (&w->b, "%s/input_scale", n->name),
        onnx_name (&w->b, "%s/input_zero_point", n->name) };
  const char *const more[2] = { r.scale, r.zero_point };

  if (n->op->lo != 0 || n->op->hi != 255)
    return put_pieces (w, n, x);
  onnx_more_outputs (
    &w->b, onnx_node (&w->b, "DynamicQuantizeLinear", r.q, 1, &x), 2, more);
  return r;
}

/* x (N,…,C), w (K,C), y (N,…,K), all but w in float; images have their
 * channels last in between. */
int
onnx_put_dynamic (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int64_t k = op->out_channels, dims[2] = { k, op->in_channels };
  const struct qk_shape *s = &value_of (w, n->out)->shape;
  const char *raw = raw_name (w, n), *x = w->name[n->in[0]], *in[3], *factor;
  struct quantized r;

  x = onnx_put_ours (w, x, &value_of (w, n->in[0])->shape,
                     onnx_name (&w->b, "%s/nhwc", n->name));
  r = put_quantized (w, n, x);
  in[0] = r.q;
  in[1] = onnx_put_columns (w, onnx_name (&w->b, "%s.weight", n->name), QK_I8,
                            dims, op->weight);
  in[2] = r.zero_point;
  x = onnx_name (&w->b, "%s/sum", n->name);
  onnx_node (&w->b, "MatMulInteger", x, 3, in);
  x = cast (w, n, x, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, "float");
  factor = onnx_constant (&w->b, onnx_name (&w->b, "%s.weight/scale", n->name),
                          QK_F32, 1, &k, op->multiplier);
  factor = two (w, n, "Mul", r.scale, factor, "scale");
  in[0] = two (w, n, "Mul", x, factor, "product");
  in[1] = onnx_constant (&w->b, onnx_name (&w->b, "%s.bias", n->name), QK_F32,
                         1, &k, op->real_bias);
  x = s->ndim == 4 ? onnx_name (&w->b, "%s/biased", n->name) : raw;
  onnx_node (&w->b, "Add", x, 2, in);
  onnx_put_image (w, x, s, raw);
  finish (w, n, raw);
  return 0;
}
