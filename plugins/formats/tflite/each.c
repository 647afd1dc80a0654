/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* each.c: what joins tensors, rectifiers with slopes, softmax and products of
 * activations. */
#include "config.h"

#include <math.h>

#include "writer.h"

static bool
same_grid (struct grid a, struct grid b)
{
  return a.scale == b.scale && a.zero_point == b.zero_point;
}

/* Input J of N with as many axes as its output: those it lacks have size 1. */
static int
put_broadcast (struct writer *w, const struct qk_network_node *n, int j)
{
  const struct qk_shape *s = &input_of (w, n, j)->shape;
  const int ndim = value_of (w, n->out)->shape.ndim;
  struct qk_shape all = { ndim, { s->dims[0] } };

  if (s->ndim == ndim)
    return tensor_of (w, n, j);
  for (int i = 1; i < ndim; i++) {
    const int from = i - (ndim - s->ndim);

    all.dims[i] = from > 0 ? s->dims[from] : 1;
  }
  return put_reshape (w, n, tfl_name (&w->m, "in%d", j), tensor_of (w, n, j),
                      &all, grid_of (w, n->in[j]));
}

/* Input J of N on the grid of its output. */
static int
put_same (struct writer *w, const struct qk_network_node *n, int j, int in,
          const struct qk_shape *s)
{
  return put_regrid (w, n, tfl_name (&w->m, "grid%d", j), in, s,
                     grid_of (w, n->in[j]), grid_of (w, n->out));
}

/* MAXIMUM and MINIMUM choose among integers of one grid. */
static int
put_extreme (struct writer *w, const struct qk_network_node *n)
{
  const enum tfl_operator op
    = n->op->function == QK_MAX ? TFL_MAXIMUM : TFL_MINIMUM;
  const struct result r = put_result (w, n, false);
  int in[2];

  for (int j = 0; j < 2; j++) {
    const int t = put_broadcast (w, n, j);
    struct qk_shape s = input_of (w, n, j)->shape;

    if (w->m.error < 0)
      return w->m.error;
    s.ndim = w->m.tensor[t].ndim;
    for (int i = 0; i < s.ndim; i++)
      s.dims[i] = w->m.tensor[t].dims[i];
    in[j] = put_same (w, n, j, t, &s);
  }
  tfl_add_node (&w->m, op, 2, 2, in, r.tensor, NULL);
  return finish_result (w, n, &r);
}

int
tflite_put_binary (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  struct tfl_options options = { .type = TFL_NO_OPTIONS };
  enum tfl_operator name = TFL_ADD;
  struct result r;
  int in[2], version = 2;

  if (value_of (w, n->out)->shape.ndim > 4)
    return tflite_refuse (n, "of more than 4 axes");
  if (op->function == QK_MAX || op->function == QK_MIN)
    return put_extreme (w, n);
  if (op->function == QK_DIV)
    return tflite_refuse (n, "it has no division of integers");
  options.type = TFL_ADD_OPTIONS;
  if (op->function == QK_SUB) {
    name = TFL_SUB;
    options.type = TFL_SUB_OPTIONS;
  } else if (op->function == QK_MUL) {
    name = TFL_MUL;
    options.type = TFL_MUL_OPTIONS;
    if (op->in_q[0].scale * op->in_q[1].scale / op->out_q.scale >= 1)
      version = 3;
  }
  for (int j = 0; j < 2; j++)
    in[j] = put_broadcast (w, n, j);
  r = put_result (w, n, true);
  options.field[0] = tfl_byte ((int) r.activation);
  tfl_add_node (&w->m, name, version, 2, in, r.tensor, &options);
  return finish_result (w, n, &r);
}

int
tflite_put_concat (struct writer *w, const struct qk_network_node *n)
{
  const int ndim = value_of (w, n->out)->shape.ndim;
  const struct result r = put_result (w, n, false);
  struct tfl_options options = { .type = TFL_CONCATENATION_OPTIONS };
  int in[TFL_MAX_INPUTS];

  for (int j = 0; j < n->n_in; j++)
    in[j]
      = put_same (w, n, j, tensor_of (w, n, j), &input_of (w, n, j)->shape);
  options.field[0] = tfl_int (n->op->axis > 0 ? n->op->axis : ndim - 1);
  options.field[1] = tfl_byte (TFL_NONE);
  tfl_add_node (&w->m, TFL_CONCATENATION, 2, n->n_in, in, r.tensor, &options);
  return finish_result (w, n, &r);
}

/* ---- a slope for each channel ---------------------------------------------- */

/* The slopes of N on a grid of their own, symmetric, one after the other along
 * the last of the axes of a sample. */
static int
put_slopes (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int k = (int) op->out_channels;
  const int axes = input_of (w, n, 0)->shape.ndim - 1;
  const float unit = op->out_q.scale / op->in_q[0].scale;
  struct grid q = { 0, TFL_SHIFT };
  int8_t *slope = tfl_alloc (&w->m, (size_t) k);
  float largest = 0;

  if (slope == NULL)
    return 0;
  for (int i = 0; i < k; i++)
    largest = fmaxf (largest, fabsf (op->multiplier[i] * unit));
  q.scale = largest > 0 ? largest / 127.0f : 1.0f;
  for (int i = 0; i < k; i++)
    slope[i] = (int8_t) qk_clamp_rounded (
      qk_rne (op->multiplier[i] * unit / q.scale), 0, -127, 127);
  return put_int8 (w, tfl_name (&w->m, "%s/slope", n->name), axes, slope, k,
                   q);
}

int
tflite_put_prelu (struct writer *w, const struct qk_network_node *n)
{
  const struct result r = put_result (w, n, false);
  int in[2] = { tensor_of (w, n, 0), 0 };

  in[1] = put_slopes (w, n);
  tfl_add_node (&w->m, TFL_PRELU, 1, 2, in, r.tensor, NULL);
  return finish_result (w, n, &r);
}

/* ---- softmax ----------------------------------------------------------------- */

/* From real numbers to real numbers, and onto the grid of N's output if it has
 * one. */
static int
put_real_softmax (struct writer *w, const struct qk_network_node *n,
                  enum tfl_operator op, const struct tfl_options *options)
{
  const struct qk_shape *s = &value_of (w, n->out)->shape;
  const struct grid none = { 0, 0 };
  const bool real = grid_of (w, n->out).scale == 0;
  const struct result r = put_result (w, n, false);
  int in = put_unary (w, TFL_DEQUANTIZE, 2, tensor_of (w, n, 0),
                      put_part (w, n, "real", s, none));
  int out = real ? r.tensor : put_part (w, n, "result", s, none);

  tfl_add_node (&w->m, op, 1, 1, &in, out, options);
  if (!real)
    put_unary (w, TFL_QUANTIZE, 1, out, r.tensor);
  return real ? 0 : finish_result (w, n, &r);
}

int
tflite_put_softmax (struct writer *w, const struct qk_network_node *n)
{
  static const struct grid fixed = { 1.0f / 256, 0 };
  const struct qk_shape *s = &value_of (w, n->out)->shape;
  const struct grid q = grid_of (w, n->out);
  struct tfl_options options = { TFL_SOFTMAX_OPTIONS, { tfl_float (1.0f) } };
  struct result r;
  int in = tensor_of (w, n, 0), raw;

  if (n->op->axis != s->ndim - 1)
    return tflite_refuse (n, "not along the last axis");
  if (n->op->function == QK_LOG_SOFTMAX)
    return put_real_softmax (w, n, TFL_LOG_SOFTMAX, NULL);
  if (q.scale == 0)
    return put_real_softmax (w, n, TFL_SOFTMAX, &options);
  r = put_result (w, n, false);
  raw = same_grid (q, fixed) ? r.tensor : put_part (w, n, "fixed", s, fixed);
  tfl_add_node (&w->m, TFL_SOFTMAX, 2, 1, &in, raw, &options);
  if (raw != r.tensor)
    put_unary (w, TFL_QUANTIZE, 1, raw, r.tensor);
  return finish_result (w, n, &r);
}

/* ---- products ------------------------------------------------------------------ */

/* FROM, which lies on a grid of N's output but for the factor, times the factor:
 * a product with a constant whose rescaling is by 1, which keeps each integer. */
static void
put_factor (struct writer *w, const struct qk_network_node *n, int from,
            int out)
{
  const int8_t most = 127;
  const struct grid q = { fabsf (n->op->factor) / 127.0f, TFL_SHIFT };
  const int8_t x = n->op->factor > 0 ? most : (int8_t) -most;
  struct tfl_options options = { TFL_MUL_OPTIONS, { tfl_byte (TFL_NONE) } };
  int both[2] = { from, 0 };

  both[1] = put_int8 (w, tfl_name (&w->m, "%s/factor", n->name), 1, &x, 1, q);
  tfl_add_node (&w->m, TFL_MUL, 2, 2, both, out, &options);
}

int
tflite_put_matmul (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *s = &value_of (w, n->out)->shape;
  struct grid q = grid_of (w, n->out);
  struct tfl_options options
    = { TFL_BATCH_MATMUL_OPTIONS,
        { tfl_byte (op->transpose_a), tfl_byte (op->transpose_b) } };
  const struct result r = put_result (w, n, false);
  int in[2], product = r.tensor;

  if (op->factor == 0)
    return tflite_refuse (n, "its factor is 0");
  for (int j = 0; j < 2; j++)
    in[j] = put_broadcast (w, n, j);
  if (op->factor != 1) {
    q.scale = q.scale / fabsf (op->factor);
    product = put_part (w, n, "product", s, q);
  }
  tfl_add_node (&w->m, TFL_BATCH_MATMUL, 2, 2, in, product, &options);
  if (op->factor != 1)
    put_factor (w, n, product, r.tensor);
  return finish_result (w, n, &r);
}
