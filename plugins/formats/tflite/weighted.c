/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weighted.c: convolutions and linear layers.
 *
 *   q_out = clamp (round (M[k] (sum (q - z_in) w + bias[k])) + z_out)
 *
 * in TFLite as here, with M[k] as a number of 31 bits and a shift there.  A
 * linear layer with a scale for each output is a convolution of one pixel:
 * FULLY_CONNECTED got several scales later than convolutions, and older runtimes
 * compute it with none.  One whose output stays real is computed in real
 * numbers, from weights that are int8 in the file. */
#include "config.h"

#include <math.h>

#include "writer.h"

/* ---- weights and biases ---------------------------------------------------- */

/* The scale of the weights of output K. */
static float
scale_of (const struct qk_op *op, int64_t k)
{
  return op->weight_scale[op->weight_scales > 1 ? k : 0];
}

/* The weights of N as a constant of NDIM axes DIMS, of which AXIS is that of the
 * outputs. */
static int
put_weight (struct writer *w, const struct qk_network_node *n, int ndim,
            const int64_t *dims, int axis, const int8_t *data)
{
  const struct qk_op *op = n->op;
  struct tfl_tensor t = { .type = TFL_INT8, .ndim = ndim, .elements = 1 };

  for (int i = 0; i < ndim; i++) {
    t.dims[i] = (int32_t) dims[i];
    t.elements *= (size_t) dims[i];
  }
  t.name = tfl_name (&w->m, "%s/weight", n->name);
  t.data = data;
  t.scale = op->weight_scale;
  t.scales = (int) op->weight_scales;
  t.axis = t.scales > 1 ? axis : 0;
  return tfl_add_tensor (&w->m, &t);
}

static int
put_bias (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const bool real = op->out_q.scale == 0;
  const int64_t k = op->out_channels, scales = op->weight_scales;
  float *scale = tfl_alloc (&w->m, (size_t) scales * sizeof *scale);
  float *value = tfl_alloc (&w->m, (size_t) k * sizeof *value);
  struct tfl_tensor t = { .ndim = 1, .dims = { (int32_t) k } };

  if (scale == NULL || value == NULL)
    return 0;
  for (int64_t i = 0; i < scales; i++)
    scale[i] = op->in_q[0].scale * op->weight_scale[i];
  for (int64_t i = 0; i < k; i++)
    value[i] = (float) op->bias[i] * (op->in_q[0].scale * scale_of (op, i));
  t.name = tfl_name (&w->m, "%s/bias", n->name);
  t.type = real ? TFL_FLOAT32 : TFL_INT32;
  t.data = real ? (const void *) value : op->bias;
  t.elements = (size_t) k;
  if (!real) {
    t.scale = scale;
    t.scales = (int) scales;
  }
  return tfl_add_tensor (&w->m, &t);
}

/* T, a constant of N's weights, as real numbers. */
static int
put_real_weight (struct writer *w, const struct qk_network_node *n, int t)
{
  struct tfl_tensor real;

  if (w->m.error < 0)
    return 0;
  real = w->m.tensor[t];
  real.name = tfl_name (&w->m, "%s/weight/real", n->name);
  real.type = TFL_FLOAT32;
  real.scales = 0;
  real.data = NULL;
  real.elements = 0;
  return put_unary (w, TFL_DEQUANTIZE, n->op->weight_scales > 1 ? 5 : 2, t,
                    tfl_add_tensor (&w->m, &real));
}

/* The inputs of the operator that N becomes: IN, weights and biases, all of
 * them real where the output is. */
static void
put_inputs (struct writer *w, const struct qk_network_node *n, int in,
            const struct qk_shape *s, int weight, int all[3])
{
  all[0] = in;
  all[1] = weight;
  if (n->op->out_q.scale == 0) {
    all[0] = put_unary (w, TFL_DEQUANTIZE, 2, in,
                        put_part (w, n, "real", s, (struct grid){ 0, 0 }));
    all[1] = put_real_weight (w, n, weight);
  }
  all[2] = put_bias (w, n);
}

/* ---- convolution ------------------------------------------------------------ */

static bool
is_depthwise (const struct qk_op *op)
{
  return op->groups > 1 && op->groups == op->in_channels;
}

/* (K,R,S,1) as (1,R,S,K) */
static const int8_t *
depthwise_weight (struct writer *w, const struct qk_op *op)
{
  const int64_t window = (int64_t) op->kernel_h * op->kernel_w;
  const int64_t k = op->out_channels;
  int8_t *to = tfl_alloc (&w->m, (size_t) (window * k));

  for (int64_t i = 0; to != NULL && i < k; i++)
    for (int64_t j = 0; j < window; j++)
      to[j * k + i] = op->weight[i * window + j];
  return to;
}

/* The operator itself, from IN, of shape S, to OUT. */
static void
put_convolution (struct writer *w, const struct qk_network_node *n, int in,
                 const struct qk_shape *s, enum tfl_padding padding, int out,
                 enum tfl_activation activation)
{
  const struct qk_op *op = n->op;
  const bool depthwise = is_depthwise (op), real = op->out_q.scale == 0;
  const bool window = op->kind == QK_OP_CONV2D;
  const int more = depthwise ? 1 : 0; /* a field before the activation */
  const int64_t c = depthwise ? op->out_channels
                              : op->in_channels / (window ? op->groups : 1);
  int64_t dims[4]
    = { depthwise ? 1 : op->out_channels, window ? op->kernel_h : 1,
        window ? op->kernel_w : 1, c };
  struct tfl_options options
    = { depthwise ? TFL_DEPTHWISE_OPTIONS : TFL_CONV_OPTIONS,
        { tfl_byte ((int) padding), tfl_int (window ? op->stride_w : 1),
          tfl_int (window ? op->stride_h : 1) } };
  int all[3], version = depthwise ? (real ? 2 : 3) : real ? 1 : 3;

  put_inputs (w, n, in, s,
              put_weight (w, n, 4, dims, depthwise ? 3 : 0,
                          depthwise ? depthwise_weight (w, op) : op->weight),
              all);
  if (depthwise) /* outputs an input */
    options.field[3] = tfl_int ((int) (op->out_channels / op->in_channels));
  else if (window && op->groups > 1)
    version = 6;
  options.field[3 + more] = tfl_byte ((int) activation);
  options.field[4 + more] = tfl_int (window ? op->dilation_w : 1);
  options.field[5 + more] = tfl_int (window ? op->dilation_h : 1);
  tfl_add_node (&w->m, depthwise ? TFL_DEPTHWISE_CONV_2D : TFL_CONV_2D,
                version, 3, all, out, &options);
}

/* A convolution of an image. */
static int
put_image (struct writer *w, const struct qk_network_node *n)
{
  struct qk_shape s = input_of (w, n, 0)->shape;
  struct window window;
  struct result out;
  int in;

  tflite_window (w, n, &window);
  in = tflite_put_padded (w, n, tensor_of (w, n, 0), &window,
                          n->op->in_q[0].zero_point);
  for (int i = 0; i < 2; i++)
    s.dims[1 + i] += window.before[i] + window.after[i];
  out = put_result (w, n, true);
  put_convolution (w, n, in, &s, window.padding, out.tensor, out.activation);
  return finish_result (w, n, &out);
}

/* A convolution of one pixel of a tensor of any axes. */
static int
put_rows (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_shape *s = &input_of (w, n, 0)->shape;
  const struct qk_shape *to = &value_of (w, n->out)->shape;
  const struct qk_shape row = row_shape (s), out_row = row_shape (to);
  const int in = put_reshape (w, n, "row", tensor_of (w, n, 0), &row,
                              grid_of (w, n->in[0]));
  const int product
    = put_part (w, n, "product", &out_row, grid_of (w, n->out));
  const struct result out = put_result (w, n, true);

  put_convolution (w, n, in, &row, TFL_VALID, product, out.activation);
  put_reshape_to (w, product, to, out.tensor);
  return finish_result (w, n, &out);
}

/* ---- linear layers ---------------------------------------------------------- */

static int
put_fully_connected (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *s = &input_of (w, n, 0)->shape;
  const struct result out = put_result (w, n, true);
  const int64_t dims[2] = { op->out_channels, op->in_channels };
  const bool keeps = s->ndim > 2, real = op->out_q.scale == 0;
  struct tfl_options options = { .type = TFL_FULLY_CONNECTED_OPTIONS };
  int all[3];

  put_inputs (w, n, tensor_of (w, n, 0), s,
              put_weight (w, n, 2, dims, 0, op->weight), all);
  options.field[0] = tfl_byte ((int) out.activation);
  options.field[2] = tfl_byte (keeps);
  tfl_add_node (&w->m, TFL_FULLY_CONNECTED,
                keeps  ? 5
                : real ? 1
                       : 4,
                3, all, out.tensor, &options);
  return finish_result (w, n, &out);
}

int
tflite_put_weighted (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const bool image = input_of (w, n, 0)->shape.ndim == 4;

  if (op->weight_scale == NULL)
    return tflite_refuse (n, "the scales of its weights are not known");
  if (op->kind == QK_OP_LINEAR
      && (op->weight_scales == 1 || op->out_q.scale == 0))
    return put_fully_connected (w, n);
  return op->kind == QK_OP_CONV2D && image ? put_image (w, n)
                                           : put_rows (w, n);
}

/* ---- a line ------------------------------------------------------------------ */

int
tflite_put_affine (struct writer *w, const struct qk_network_node *n, float a,
                   float b)
{
  enum { FACTOR = 127 };
  const struct qk_shape *s = &input_of (w, n, 0)->shape;
  const int64_t k = s->dims[s->ndim - 1];
  const float s_in = n->op->in_q[0].scale;
  /* where B would not fit its integers otherwise, the slope is next to none */
  const float scale
    = fmaxf (fabsf (a) / (float) FACTOR, qk_least_weight_scale (b, s_in));
  struct qk_op line;
  struct qk_network_node as = *n;
  int8_t *weight = tfl_alloc (&w->m, (size_t) k);
  int32_t *bias = tfl_alloc (&w->m, (size_t) k * sizeof *bias);
  float *scales = tfl_alloc (&w->m, sizeof *scales);

  if (weight == NULL || bias == NULL || scales == NULL)
    return w->m.error;
  if (!(scale > 0) || !isfinite (scale))
    return tflite_refuse (n, "its slope has no scale");
  for (int64_t i = 0; i < k; i++) {
    weight[i]
      = (int8_t) qk_clamp_rounded (qk_rne (a / scale), 0, -FACTOR, FACTOR);
    bias[i] = qk_quantize_bias (b, s_in, scale);
  }
  *scales = scale;
  qk_op_copy (&line, n->op);
  line.kind = QK_OP_CONV2D;
  line.in_channels = line.out_channels = k;
  line.groups = (int) k;
  line.kernel_h = line.kernel_w = line.stride_h = line.stride_w = 1;
  line.dilation_h = line.dilation_w = 1;
  line.pad_top = line.pad_left = line.pad_bottom = line.pad_right = 0;
  line.weight = weight;
  line.bias = bias;
  line.weight_scale = scales;
  line.weight_scales = 1;
  as.op = &line;
  return s->ndim == 4 ? put_image (w, &as) : put_rows (w, &as);
}
