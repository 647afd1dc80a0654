/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* functions.c: functions of one tensor as operators of ONNX, known by their
 * layers' names. */
#include "config.h"

#include <string.h>

#include "build.h"
#include "onnx-priv.h"

static const char *
node1 (struct onnx_build *b, const char *op, const char *out, const char *in)
{
  onnx_node (b, op, out, 1, &in);
  return out;
}

/* OUT = IN (op) FACTOR */
static const char *
put_scalar (struct onnx_build *b, const struct qk_network_node *n,
            const char *op, const char *in, float factor, const char *what,
            const char *out)
{
  const char *both[2] = { in, "" };

  both[1]
    = onnx_scalar (b, onnx_name (b, "%s/%s", n->name, what), QK_F32, &factor);
  onnx_node (b, op, out, 2, both);
  return out;
}

static const char *
put_product (struct onnx_build *b, const char *x, const char *y,
             const char *out)
{
  const char *in[2] = { x, y };

  onnx_node (b, "Mul", out, 2, in);
  return out;
}

static const char *
put_hardsigmoid (struct onnx_build *b, const char *x, const char *out)
{
  Onnx__NodeProto *o = onnx_node (b, "HardSigmoid", out, 1, &x);

  onnx_attr_float (b, o, "alpha", 1.0f / 6.0f);
  onnx_attr_float (b, o, "beta", 0.5f);
  return out;
}

bool
onnx_gelu_by_tanh (const struct qk_network_node *n)
{
  return strcmp (n->layer, "gelu") == 0 && n->config != NULL
         && strcmp (qk_config_string (n->config, "approximate"), "tanh") == 0;
}

/* x / 2 (1 + erf (x / sqrt (2))), or with tanh (sqrt (2 / pi) (x + c x^3)) */
static void
put_gelu (struct onnx_build *b, const struct qk_network_node *n, const char *x,
          const char *raw)
{
  const bool by_tanh = onnx_gelu_by_tanh (n);
  const char *u = x, *half;

  if (by_tanh) { /* x (1 + c x^2) sqrt (2 / pi) */
    u = put_product (b, x, x, onnx_name (b, "%s/square", n->name));
    u = put_scalar (b, n, "Mul", u, 0.044715f, "cubic",
                    onnx_name (b, "%s/part", n->name));
    u = put_scalar (b, n, "Add", u, 1.0f, "linear",
                    onnx_name (b, "%s/polynomial", n->name));
    u = put_product (b, u, x, onnx_name (b, "%s/odd", n->name));
  }
  u = put_scalar (b, n, "Mul", u, by_tanh ? 0.79788456f : 0.70710678f,
                  "factor", onnx_name (b, "%s/scaled", n->name));
  u = node1 (b, by_tanh ? "Tanh" : "Erf", onnx_name (b, "%s/sigmoid", n->name),
             u);
  u = put_scalar (b, n, "Add", u, 1.0f, "one",
                  onnx_name (b, "%s/doubled", n->name));
  half = put_scalar (b, n, "Mul", x, 0.5f, "half",
                     onnx_name (b, "%s/halved", n->name));
  put_product (b, half, u, raw);
}

/* Attribute alpha from OPTION of N's layer. */
static void
put_alpha (struct onnx_build *b, const struct qk_network_node *n,
           const char *op, const char *option, const char *x, const char *raw)
{
  Onnx__NodeProto *o = onnx_node (b, op, raw, 1, &x);

  onnx_attr_float (b, o, "alpha", (float) qk_config_float (n->config, option));
}

/* Layers that are an ONNX operator without attributes. */
static const char *
plain_operator (const char *layer)
{
  static const char *const names[][2] = { { "sigmoid", "Sigmoid" },
                                          { "tanh", "Tanh" },
                                          { "exp", "Exp" },
                                          { "log", "Log" },
                                          { "sqrt", "Sqrt" },
                                          { "reciprocal", "Reciprocal" },
                                          { "neg", "Neg" },
                                          { "abs", "Abs" },
                                          { "softsign", "Softsign" },
                                          { "selu", "Selu" },
                                          { "sign", "Sign" },
                                          { "floor", "Floor" },
                                          { "ceil", "Ceil" },
                                          { "round", "Round" },
                                          { "erf", "Erf" },
                                          { "sin", "Sin" },
                                          { "cos", "Cos" } };

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp (layer, names[i][0]) == 0)
      return names[i][1];
  return NULL;
}

/* Layers with one option, which is the attribute alpha. */
static const char *
alpha_operator (const char *layer, const char **option)
{
  static const char *const names[][3]
    = { { "elu", "Elu", "alpha" },
        { "celu", "Celu", "alpha" },
        { "thresholded_relu", "ThresholdedRelu", "alpha" },
        { "leaky_relu", "LeakyRelu", "negative_slope" } };

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp (layer, names[i][0]) == 0) {
      *option = names[i][2];
      return names[i][1];
    }
  return NULL;
}

static const char *
put_sigmoid (struct onnx_build *b, const struct qk_network_node *n,
             const char *x, const char *out)
{
  const char *alpha = n->config == NULL ? NULL : "alpha";
  Onnx__NodeProto *o;

  if (strcmp (n->layer, "hardsigmoid") != 0 || alpha == NULL
      || !(qk_config_given (n->config, "alpha")
           || qk_config_given (n->config, "beta")))
    return put_hardsigmoid (b, x, out);
  o = onnx_node (b, "HardSigmoid", out, 1, &x);
  onnx_attr_float (b, o, "alpha", (float) qk_config_float (n->config, alpha));
  onnx_attr_float (b, o, "beta", (float) qk_config_float (n->config, "beta"));
  return out;
}

/* ln (1 + e^(beta x)) / beta; ONNX knows beta = 1. */
static void
put_softplus (struct onnx_build *b, const struct qk_network_node *n,
              const char *x, const char *raw)
{
  const float beta = (float) qk_config_float (n->config, "beta");
  const char *y;

  if (beta == 1.0f) {
    node1 (b, "Softplus", raw, x);
    return;
  }
  x = put_scalar (b, n, "Mul", x, beta, "beta",
                  onnx_name (b, "%s/scaled", n->name));
  y = node1 (b, "Softplus", onnx_name (b, "%s/softplus", n->name), x);
  put_scalar (b, n, "Div", y, beta, "divisor", raw);
}

/* Layers with options that become one or two operators; false: another. */
static bool
put_with_options (struct onnx_build *b, const struct qk_network_node *n,
                  const char *x, const char *raw)
{
  const char *option, *op = alpha_operator (n->layer, &option), *y;

  if (n->config == NULL)
    return false;
  if (op != NULL)
    put_alpha (b, n, op, option, x, raw);
  else if (strcmp (n->layer, "pow") == 0)
    put_scalar (b, n, "Pow", x,
                (float) qk_config_float (n->config, "exponent"), "exponent",
                raw);
  else if (strcmp (n->layer, "softplus") == 0)
    put_softplus (b, n, x, raw);
  else if (strcmp (n->layer, "affine") == 0
           && qk_config_float (n->config, "scale") == 1.0
           && qk_config_float (n->config, "offset") == 0.0)
    onnx_node (b, "Identity", raw, 1, &x);
  else if (strcmp (n->layer, "affine") == 0) {
    y = put_scalar (b, n, "Mul", x,
                    (float) qk_config_float (n->config, "scale"), "factor",
                    onnx_name (b, "%s/product", n->name));
    put_scalar (b, n, "Add", y, (float) qk_config_float (n->config, "offset"),
                "offset", raw);
  } else
    return false;
  return true;
}

/* Layers made of several operators; false: another. */
static bool
put_composed (struct onnx_build *b, const struct qk_network_node *n,
              const char *x, const char *raw)
{
  const char *part = onnx_name (b, "%s/part", n->name);
  const char *gate = onnx_name (b, "%s/sigmoid", n->name);

  if (strcmp (n->layer, "silu") == 0)
    put_product (b, x, node1 (b, "Sigmoid", gate, x), raw);
  else if (strcmp (n->layer, "hardsigmoid") == 0)
    put_sigmoid (b, n, x, raw);
  else if (strcmp (n->layer, "hardswish")
           == 0) /* an operator since opset 14 */
    put_product (b, x, put_sigmoid (b, n, x, gate), raw);
  else if (strcmp (n->layer, "gelu") == 0)
    put_gelu (b, n, x, raw);
  else if (strcmp (n->layer, "square") == 0)
    put_product (b, x, x, raw);
  else if (strcmp (n->layer, "rsqrt") == 0)
    node1 (b, "Reciprocal", raw, node1 (b, "Sqrt", part, x));
  else if (strcmp (n->layer, "mish") == 0) {
    node1 (b, "Softplus", part, x);
    put_product (b, x, node1 (b, "Tanh", gate, part), raw);
  } else
    return false;
  return true;
}

bool
onnx_put_function (struct onnx_build *b, const struct qk_network_node *n,
                   const char *x, const char *out)
{
  const char *op = plain_operator (n->layer);

  if (op == NULL)
    return put_with_options (b, n, x, out) || put_composed (b, n, x, out);
  node1 (b, op, out, x);
  return true;
}
