/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* functions.c: functions of one tensor, tables of 256 bytes here, as TFLite's
 * operators, known by their layers' names. */
#include "config.h"

#include <math.h>

#include "writer.h"

/* Grids that TFLite's kernels demand, on our integers. */
static const struct grid logistic_grid = { 1.0f / 256, 0 };
static const struct grid tanh_grid = { 1.0f / 128, 128 };

/* OP, whose results lie on the grid FIXED, from there to N's. */
static int
put_on_fixed (struct writer *w, const struct qk_network_node *n,
              enum tfl_operator op, const struct tfl_options *options,
              struct grid fixed)
{
  const struct qk_shape *s = &value_of (w, n->out)->shape;
  const struct grid q = grid_of (w, n->out);
  const struct result r = put_result (w, n, false);
  const bool direct
    = q.scale == fixed.scale && q.zero_point == fixed.zero_point;
  const int in = tensor_of (w, n, 0);
  const int raw = direct ? r.tensor : put_part (w, n, "fixed", s, fixed);

  tfl_add_node (&w->m, op, 2, 1, &in, raw, options);
  if (!direct)
    put_unary (w, TFL_QUANTIZE, 1, raw, r.tensor);
  return finish_result (w, n, &r);
}

/* x times the sigmoid of x */
static int
put_silu (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_shape *s = &value_of (w, n->out)->shape;
  const struct result r = put_result (w, n, true);
  struct tfl_options options = { TFL_MUL_OPTIONS, { { 0, false, 0 } } };
  int both[2] = { tensor_of (w, n, 0), 0 };

  both[1] = put_unary (w, TFL_LOGISTIC, 2, both[0],
                       put_part (w, n, "sigmoid", s, logistic_grid));
  options.field[0] = tfl_byte ((int) r.activation);
  tfl_add_node (&w->m, TFL_MUL, 2, 2, both, r.tensor, &options);
  return finish_result (w, n, &r);
}

static int
put_square (struct writer *w, const struct qk_network_node *n)
{
  const struct result r = put_result (w, n, true);
  const float s = n->op->in_q[0].scale;
  const int both[2] = { tensor_of (w, n, 0), tensor_of (w, n, 0) };
  struct tfl_options options = { TFL_MUL_OPTIONS, { { 0, false, 0 } } };

  options.field[0] = tfl_byte ((int) r.activation);
  tfl_add_node (&w->m, TFL_MUL, s * s / n->op->out_q.scale < 1 ? 2 : 3, 2,
                both, r.tensor, &options);
  return finish_result (w, n, &r);
}

static int
put_with_options (struct writer *w, const struct qk_network_node *n,
                  enum tfl_operator op, int version,
                  const struct tfl_options *options)
{
  const struct result r = put_result (w, n, false);
  const int in = tensor_of (w, n, 0);

  tfl_add_node (&w->m, op, version, 1, &in, r.tensor, options);
  return finish_result (w, n, &r);
}

static int
put_leaky (struct writer *w, const struct qk_network_node *n)
{
  const struct tfl_options options = {
    TFL_LEAKY_RELU_OPTIONS,
    { tfl_float ((float) qk_config_float (n->config, "negative_slope")) }
  };

  return put_with_options (w, n, TFL_LEAKY_RELU, 1, &options);
}

static int
put_gelu (struct writer *w, const struct qk_network_node *n)
{
  const char *how = qk_config_string (n->config, "approximate");
  const struct tfl_options options
    = { TFL_GELU_OPTIONS, { tfl_byte (strcmp (how, "tanh") == 0) } };

  return put_with_options (w, n, TFL_GELU, 2, &options);
}

static int
put_line (struct writer *w, const struct qk_network_node *n, const char *slope,
          const char *offset)
{
  return tflite_put_affine (w, n, (float) qk_config_float (n->config, slope),
                            (float) qk_config_float (n->config, offset));
}

/* A straight line from 0 to 1: a line, whose ends are those of the output's
 * grid or bounds at 0 and 1. */
static int
put_hardsigmoid (struct writer *w, const struct qk_network_node *n)
{
  struct qk_network_node as = *n;
  struct qk_op bounded;
  int32_t lo, hi;

  qk_op_copy (&bounded, n->op);
  qk_clamp_bounds (&n->op->out_q, 0.0f, 1.0f, &lo, &hi);
  bounded.lo = lo > bounded.lo ? lo : bounded.lo;
  bounded.hi = hi < bounded.hi ? hi : bounded.hi;
  as.op = &bounded;
  return put_line (w, &as, "alpha", "beta");
}

/* Functions with options; 1: another one. */
static int
put_configured (struct writer *w, const struct qk_network_node *n)
{
  if (n->config == NULL)
    return 1;
  if (strcmp (n->layer, "leaky_relu") == 0)
    return put_leaky (w, n);
  if (strcmp (n->layer, "gelu") == 0)
    return put_gelu (w, n);
  if (strcmp (n->layer, "hardsigmoid") == 0)
    return put_hardsigmoid (w, n);
  if (strcmp (n->layer, "affine") == 0)
    return put_line (w, n, "scale", "offset");
  if (strcmp (n->layer, "elu") == 0
      && qk_config_float (n->config, "alpha") == 1.0)
    return put_simple (w, n, TFL_ELU, 1, tensor_of (w, n, 0));
  return 1;
}

int
tflite_put_function (struct writer *w, const struct qk_network_node *n)
{
  int r = put_configured (w, n);

  if (r <= 0)
    return r;
  if (strcmp (n->layer, "sigmoid") == 0)
    return put_on_fixed (w, n, TFL_LOGISTIC, NULL, logistic_grid);
  if (strcmp (n->layer, "tanh") == 0)
    return put_on_fixed (w, n, TFL_TANH, NULL, tanh_grid);
  if (strcmp (n->layer, "silu") == 0)
    return put_silu (w, n);
  if (strcmp (n->layer, "square") == 0)
    return put_square (w, n);
  if (strcmp (n->layer, "hardswish") == 0)
    return put_simple (w, n, TFL_HARD_SWISH, 1, tensor_of (w, n, 0));
  if (strcmp (n->layer, "exp") == 0)
    return put_simple (w, n, TFL_EXP, 2, tensor_of (w, n, 0));
  if (strcmp (n->layer, "abs") == 0)
    return put_simple (w, n, TFL_ABS, 2, tensor_of (w, n, 0));
  return tflite_refuse (n, NULL);
}
