/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* each.c: operators that work on each element, or on pairs of them. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lay.h"

/* ---- one input ------------------------------------------------------------------- */

/* An operator whose layer takes up to two of its attributes as options. */
static const struct each {
  const char *op, *layer;
  struct {
    const char *theirs, *ours;
    float def;  /* of ONNX */
    float same; /* the layer's own: the option can be left out */
  } option[2];
} each[] = {
  { "Abs", "abs", { { NULL, NULL, 0, 0 } } },
  { "Ceil", "ceil", { { NULL, NULL, 0, 0 } } },
  { "Celu", "celu", { { "alpha", "alpha", 1, 1 } } },
  { "Cos", "cos", { { NULL, NULL, 0, 0 } } },
  { "Elu", "elu", { { "alpha", "alpha", 1, 1 } } },
  { "Erf", "erf", { { NULL, NULL, 0, 0 } } },
  { "Exp", "exp", { { NULL, NULL, 0, 0 } } },
  { "Floor", "floor", { { NULL, NULL, 0, 0 } } },
  { "HardSigmoid",
    "hardsigmoid",
    { { "alpha", "alpha", 0.2f, 1.0f / 6.0f },
      { "beta", "beta", 0.5f, 0.5f } } },
  { "HardSwish", "hardswish", { { NULL, NULL, 0, 0 } } },
  { "LeakyRelu",
    "leaky_relu",
    { { "alpha", "negative_slope", 0.01f, 0.01f } } },
  { "Log", "log", { { NULL, NULL, 0, 0 } } },
  { "Mish", "mish", { { NULL, NULL, 0, 0 } } },
  { "Neg", "neg", { { NULL, NULL, 0, 0 } } },
  { "Reciprocal", "reciprocal", { { NULL, NULL, 0, 0 } } },
  { "Relu", "relu", { { NULL, NULL, 0, 0 } } },
  { "Round", "round", { { NULL, NULL, 0, 0 } } },
  { "Sigmoid", "sigmoid", { { NULL, NULL, 0, 0 } } },
  { "Sign", "sign", { { NULL, NULL, 0, 0 } } },
  { "Sin", "sin", { { NULL, NULL, 0, 0 } } },
  { "Softplus", "softplus", { { NULL, NULL, 0, 0 } } },
  { "Softsign", "softsign", { { NULL, NULL, 0, 0 } } },
  { "Sqrt", "sqrt", { { NULL, NULL, 0, 0 } } },
  { "Tanh", "tanh", { { NULL, NULL, 0, 0 } } },
  { "ThresholdedRelu", "thresholded_relu", { { "alpha", "alpha", 1, -1 } } },
  { ".hardsigmoid", "hardsigmoid", { { NULL, NULL, 0, 0 } } },
  { ".hardswish", "hardswish", { { NULL, NULL, 0, 0 } } },
  { ".mish", "mish", { { NULL, NULL, 0, 0 } } },
  { ".silu", "silu", { { NULL, NULL, 0, 0 } } },
};

static int
one (struct lay *l, struct net_node *nd, const char *layer,
     const char *options)
{
  struct view v;
  int r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = lay_node (l, nd, layer, &v.id, 1, "%s", options)) < 0)
    return r;
  v.id = r;
  lay_output (l, nd, 0, &v);
  return 0;
}

/* The same, of a view V. */
static int
one_of (struct lay *l, struct net_node *nd, struct view v, const char *layer,
        const char *options)
{
  const int id = lay_node (l, nd, layer, &v.id, 1, "%s", options);

  return lay_result (l, nd, v, id);
}

static int
gelu (struct lay *l, struct net_node *nd)
{
  char buf[NET_WORD];
  const bool tanh
    = strcmp (net_attr_string (nd, "approximate", "none", buf), "tanh") == 0;

  return one (l, nd, "gelu", tanh ? "approximate=tanh" : "");
}

static int
selu (struct lay *l, struct net_node *nd)
{
  const float alpha = net_attr_float (nd, "alpha", 1.67326324f);
  const float gamma = net_attr_float (nd, "gamma", 1.05070102f);

  if (fabsf (alpha - 1.67326324f) > 1e-4f
      || fabsf (gamma - 1.05070102f) > 1e-4f)
    return net_error (l->n, nd, -ENOTSUP,
                      "alpha is %g and gamma %g, expected 1.67326 and 1.0507",
                      (double) alpha, (double) gamma);
  return one (l, nd, "selu", "");
}

int
lay_unary (struct lay *l, struct net_node *nd)
{
  const struct each *e = each;
  char text[128] = "";
  size_t at = 0;
  int i;

  if (strcmp (nd->op, "Gelu") == 0 || strcmp (nd->op, ".gelu") == 0)
    return gelu (l, nd);
  if (strcmp (nd->op, "Selu") == 0)
    return selu (l, nd);
  while (strcmp (e->op, nd->op) != 0)
    e++;
  for (i = 0; i < 2 && e->option[i].theirs != NULL; i++) {
    const float x = net_attr_float (nd, e->option[i].theirs, e->option[i].def);

    if (fabsf (x - e->option[i].same) > 1e-6f)
      at += (size_t) snprintf (text + at, sizeof text - at, "%s%s=%.9g",
                               at > 0 ? " " : "", e->option[i].ours,
                               (double) x);
  }
  return one (l, nd, e->layer, text);
}

int
lay_pass (struct lay *l, struct net_node *nd)
{
  struct view v;
  const int r = lay_input (l, nd, 0, &v);

  if (r == 0)
    lay_output (l, nd, 0, &v);
  return r;
}

int
lay_cast (struct lay *l, struct net_node *nd)
{
  const int type = (int) net_attr_int (nd, "to", 1);

  net_attr_int (nd, "saturate", 1);
  if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
    return net_error (l->n, nd, -ENOTSUP,
                      "rounds to bfloat16, expected float or half");
  if (!onnx_type_is_real (type))
    return net_error (l->n, nd, -ENOTSUP,
                      "makes %s of what is computed from the data, expected "
                      "a real type",
                      onnx_type_name (type));
  return lay_pass (l, nd);
}

int
lay_cast_like (struct lay *l, struct net_node *nd)
{
  const struct onnx_const *c;
  int r;

  net_attr_int (nd, "saturate", 1);
  if ((r = lay_known (l, nd, 1, false, &c)) < 0)
    return r;
  if (!c->real || c->type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
    return net_error (l->n, nd, -ENOTSUP,
                      "makes %s of what is computed from the data, expected "
                      "float or half",
                      onnx_type_name (c->type));
  return lay_pass (l, nd);
}

int
lay_dropout (struct lay *l, struct net_node *nd)
{
  double ratio = (double) net_attr_float (nd, "ratio", 0.5f), training = 0;
  char text[64];

  net_attr_int (nd, "is_test", 0);
  /* the mask of training is drawn from our own random numbers */
  if (net_attr_given (nd, "seed") && nd->n_in > 2 && nd->in[2] >= 0
      && net_scalar (l->n, nd->in[2], &training) && training != 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "leaves out the elements that its seed chooses");
  if (nd->n_out > 1 && nd->out[1] >= 0 && l->n->value[nd->out[1]].uses > 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "its second output, the mask, is "
                      "used");
  if (nd->n_in > 1 && nd->in[1] >= 0 && !net_scalar (l->n, nd->in[1], &ratio))
    return net_error (l->n, nd, -ENOTSUP, "its ratio is no constant");
  if (!(ratio > 0 && ratio < 1))
    return lay_pass (l, nd);
  snprintf (text, sizeof text, "p=%.9g", ratio);
  return one (l, nd, "dropout", text);
}

/* ---- bounds --------------------------------------------------------------------------- */

static int
clip (struct lay *l, struct net_node *nd, struct view v, double lo, double hi)
{
  char text[96];

  if (lo == 0 && hi == 6)
    return one_of (l, nd, v, "relu6", "");
  if (lo == 0 && !(hi < 3e38))
    return one_of (l, nd, v, "relu", "");
  if (lo > hi)
    return net_error (l->n, nd, -ENOTSUP, "its bounds are %g and %g", lo, hi);
  if (lo > -3e38 && hi < 3e38)
    snprintf (text, sizeof text, "min=%.9g max=%.9g", lo, hi);
  else if (lo > -3e38)
    snprintf (text, sizeof text, "min=%.9g", lo);
  else if (hi < 3e38)
    snprintf (text, sizeof text, "max=%.9g", hi);
  else {
    lay_output (l, nd, 0, &v);
    return 0;
  }
  return one_of (l, nd, v, "clip", text);
}

int
lay_clip (struct lay *l, struct net_node *nd)
{
  double lo = (double) net_attr_float (nd, "min", -INFINITY);
  double hi = (double) net_attr_float (nd, "max", INFINITY);
  struct view v;
  int r;

  if ((nd->n_in > 1 && nd->in[1] >= 0 && !net_scalar (l->n, nd->in[1], &lo))
      || (nd->n_in > 2 && nd->in[2] >= 0
          && !net_scalar (l->n, nd->in[2], &hi)))
    return net_error (l->n, nd, -ENOTSUP, "its bounds are no constants");
  r = lay_input (l, nd, 0, &v);
  return r < 0 ? r : clip (l, nd, v, lo, hi);
}

/* ---- two inputs ------------------------------------------------------------------------- */

static bool
same_view (const struct lay *l, const struct view *a, const struct view *b)
{
  int i, k;

  if (a->ndim != b->ndim
      || !qk_shape_equal (view_ours (l, a), view_ours (l, b)))
    return false;
  for (i = 0; i < a->ndim; i++) {
    if (a->axis[i].n != b->axis[i].n)
      return false;
    for (k = 0; k < a->axis[i].n; k++)
      if (a->axis[i].of[k] != b->axis[i].of[k])
        return false;
  }
  return true;
}

/* LEADER and FOLLOWER with their axes in the same places. */
static int
align (struct lay *l, struct net_node *nd, struct view *leader,
       struct view *follower)
{
  const int less = leader->ndim - follower->ndim;
  int order[QK_MAX_DIMS], own[QK_MAX_DIMS], i, r;

  if (same_view (l, leader, follower))
    return 0;
  if (less < 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "its inputs have %d and %d axes, expected the larger "
                      "one to have more",
                      leader->ndim, follower->ndim);
  view_order (leader, order);
  for (i = 0; i < leader->ndim; i++) {
    own[i] = order[i] < less ? -1 : order[i] - less;
    if (view_is_batch (leader, order[i])
        != (own[i] >= 0 && view_is_batch (follower, own[i])))
      return net_error (l->n, nd, -ENOTSUP,
                        "axis %d is the batch in one of its inputs only",
                        order[i]);
  }
  if ((r = view_arrange (l, nd, leader, leader->ndim, order, leader)) < 0)
    return r;
  return view_arrange (l, nd, follower, leader->ndim, own, follower);
}

static int64_t
count (const struct lay *l, const struct view *v)
{
  return qk_shape_count (view_ours (l, v));
}

/* LAYER of A and B, both computed from the data. */
static int
pair (struct lay *l, struct net_node *nd, const char *layer, struct view *a,
      struct view *b)
{
  const bool swap
    = b->ndim > a->ndim || (b->ndim == a->ndim && count (l, b) > count (l, a));
  int in[2], id, r;

  if ((r = align (l, nd, swap ? b : a, swap ? a : b)) < 0)
    return r;
  in[0] = a->id;
  in[1] = b->id;
  if ((id = lay_node (l, nd, layer, in, 2, "%s", "")) < 0)
    return id;
  *a = swap ? *b : *a;
  a->id = id;
  return 0;
}

/* LAYER of A and the constant VALUE, in this order or (SWAP) the other. */
static int
with_constant (struct lay *l, struct net_node *nd, const char *layer,
               struct view *a, int value, bool swap)
{
  const struct onnx_const *c;
  int order[QK_MAX_DIMS], in[2], id, r;

  if ((r = net_known (l->n, value, &c)) < 0)
    return r;
  if (c->shape.ndim > a->ndim) {
    struct qk_shape s;

    memset (&s, 0, sizeof s);
    for (s.ndim = 0; s.ndim < c->shape.ndim; s.ndim++) {
      const int k = s.ndim - (c->shape.ndim - a->ndim);

      s.dims[s.ndim] = k < 0 ? 1 : view_size (l, a, k);
    }
    if ((r = view_reshape (l, nd, a, &s, a)) < 0)
      return r;
  }
  view_order (a, order);
  if ((r = view_arrange (l, nd, a, a->ndim, order, a)) < 0)
    return r;
  id = view_constant (l, nd, value, a, a->ndim, order);
  if (id < 0)
    return id;
  in[swap] = a->id;
  in[!swap] = id;
  id = lay_node (l, nd, layer, in, 2, "%s", "");
  a->id = id;
  return id < 0 ? id : 0;
}

/* y = SCALE x + OFFSET */
static int
affine (struct lay *l, struct net_node *nd, struct view *v, double scale,
        double offset)
{
  int id;

  if (scale == 1 && offset == 0)
    return 0;
  if (scale == -1 && offset == 0)
    id = lay_node (l, nd, "neg", &v->id, 1, "%s", "");
  else
    id = lay_node (l, nd, "affine", &v->id, 1, "scale=%.9g offset=%.9g", scale,
                   offset);
  v->id = id;
  return id < 0 ? id : 0;
}

/* LAYER of A and the number X, in this order or (SWAP) the other. */
static int
with_number (struct lay *l, struct net_node *nd, const char *layer,
             struct view *a, double x, bool swap)
{
  int id;

  if (strcmp (layer, "add") == 0)
    return affine (l, nd, a, 1, x);
  if (strcmp (layer, "sub") == 0)
    return affine (l, nd, a, swap ? -1 : 1, swap ? x : -x);
  if (strcmp (layer, "mul") == 0)
    return affine (l, nd, a, x, 0);
  if (!swap)
    return affine (l, nd, a, 1 / x, 0);
  if ((id = lay_node (l, nd, "reciprocal", &a->id, 1, "%s", "")) < 0)
    return id;
  a->id = id;
  return affine (l, nd, a, x, 0);
}

static bool
is_known (struct lay *l, int value)
{
  const struct onnx_const *c;

  return net_known (l->n, value, &c) == 0 && c != NULL;
}

/* LAYER of what *A holds, or (A NULL) input 0, and input I. */
static int
fold_in (struct lay *l, struct net_node *nd, const char *layer, struct view *a,
         int i, bool numbers)
{
  const int value = nd->in[i];
  struct view b;
  double x;
  int r;

  if (is_known (l, value)) {
    const struct onnx_const *c;

    if ((r = net_known (l->n, value, &c)) < 0)
      return r;
    if (numbers && c->shape.ndim <= a->ndim && net_scalar (l->n, value, &x))
      return with_number (l, nd, layer, a, x, false);
    return with_constant (l, nd, layer, a, value, false);
  }
  if ((r = lay_input (l, nd, i, &b)) < 0)
    return r;
  return pair (l, nd, layer, a, &b);
}

static int
binary (struct lay *l, struct net_node *nd, const char *layer)
{
  const struct onnx_const *c;
  struct view v;
  double x;
  int r;

  net_attr_int (nd, "axis", 0); /* of opset 6 and before */
  net_attr_int (nd, "broadcast", 0);
  net_attr_given (nd, "consumed_inputs");
  if (nd->n_in != 2 || nd->in[0] < 0 || nd->in[1] < 0)
    return net_error (l->n, nd, -EBADMSG, "%d inputs, expected 2", nd->n_in);
  if (l->n->file->opset < 7 && net_attr_int (nd, "broadcast", 0) != 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "broadcasts as before opset 7; convert the file to a "
                      "newer opset");
  if (!is_known (l, nd->in[0])) {
    if ((r = lay_input (l, nd, 0, &v)) < 0
        || (r = fold_in (l, nd, layer, &v, 1, true)) < 0)
      return r;
  } else {
    if ((r = lay_input (l, nd, 1, &v)) < 0
        || (r = net_known (l->n, nd->in[0], &c)) < 0)
      return r;
    if (c->shape.ndim <= v.ndim && net_scalar (l->n, nd->in[0], &x))
      r = with_number (l, nd, layer, &v, x, true);
    else
      r = with_constant (l, nd, layer, &v, nd->in[0], true);
    if (r < 0)
      return r;
  }
  lay_output (l, nd, 0, &v);
  return 0;
}

int
lay_add (struct lay *l, struct net_node *nd)
{
  return binary (l, nd, "add");
}

int
lay_sub (struct lay *l, struct net_node *nd)
{
  return binary (l, nd, "sub");
}

int
lay_mul (struct lay *l, struct net_node *nd)
{
  return binary (l, nd, "mul");
}

int
lay_div (struct lay *l, struct net_node *nd)
{
  return binary (l, nd, "div");
}

int
lay_pow (struct lay *l, struct net_node *nd)
{
  struct view v;
  char text[64];
  double x;
  int r;

  if (nd->n_in != 2 || nd->in[1] < 0 || !net_scalar (l->n, nd->in[1], &x))
    return net_error (l->n, nd, -ENOTSUP,
                      "its exponent is no constant of one element");
  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  if (x == 1) {
    lay_output (l, nd, 0, &v);
    return 0;
  }
  if (x == 2)
    return one_of (l, nd, v, "square", "");
  if (x == 0.5)
    return one_of (l, nd, v, "sqrt", "");
  snprintf (text, sizeof text, "exponent=%.9g", x);
  return one_of (l, nd, v, "pow", text);
}

/* ---- any number of inputs ------------------------------------------------------------------ */

/* The first input that is computed from the data. */
static int
first_of (struct lay *l, struct net_node *nd, struct view *v)
{
  int i;

  for (i = 0; i < nd->n_in; i++)
    if (nd->in[i] >= 0 && !is_known (l, nd->in[i]))
      return lay_input (l, nd, i, v) < 0 ? -ENOTSUP : i;
  return net_error (l->n, nd, -ENOTSUP, "no input depends on the data");
}

static int
chain (struct lay *l, struct net_node *nd, const char *layer, struct view *v)
{
  const int first = first_of (l, nd, v);
  int i, r;

  for (i = 0; first >= 0 && i < nd->n_in; i++)
    if (i != first
        && (r = fold_in (l, nd, layer, v, i, strcmp (layer, "add") == 0)) < 0)
      return r;
  return first < 0 ? first : 0;
}

int
lay_sum (struct lay *l, struct net_node *nd)
{
  struct view v;
  const int r = chain (l, nd, "add", &v);

  if (r == 0)
    lay_output (l, nd, 0, &v);
  return r;
}

int
lay_mean (struct lay *l, struct net_node *nd)
{
  struct view v;
  int r;

  if ((r = chain (l, nd, "add", &v)) < 0
      || (r = affine (l, nd, &v, 1.0 / nd->n_in, 0)) < 0)
    return r;
  lay_output (l, nd, 0, &v);
  return 0;
}

static int
extreme (struct lay *l, struct net_node *nd, bool max)
{
  struct view v;
  double x;
  int r;

  if (nd->n_in == 2 && nd->in[1] >= 0 && net_scalar (l->n, nd->in[1], &x)) {
    if ((r = lay_input (l, nd, 0, &v)) < 0)
      return r;
    return clip (l, nd, v, max ? x : -HUGE_VAL, max ? HUGE_VAL : x);
  }
  if ((r = chain (l, nd, max ? "max" : "min", &v)) == 0)
    lay_output (l, nd, 0, &v);
  return r;
}

int
lay_maximum (struct lay *l, struct net_node *nd)
{
  return extreme (l, nd, true);
}

int
lay_minimum (struct lay *l, struct net_node *nd)
{
  return extreme (l, nd, false);
}

/* ---- others ----------------------------------------------------------------------------------- */

int
lay_prelu (struct lay *l, struct net_node *nd)
{
  const struct onnx_const *c;
  struct view v;
  int axis = -1, i, id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = lay_known (l, nd, 1, false, &c)) < 0)
    return r;
  for (i = 0; i < c->shape.ndim; i++)
    if (c->shape.dims[i] > 1) {
      if (axis >= 0 || c->shape.ndim > v.ndim)
        return net_error (l->n, nd, -ENOTSUP,
                          "its slope has several axes, expected one number "
                          "or one a channel");
      axis = i + v.ndim - c->shape.ndim;
    }
  if (!c->real || c->n < 1 || (axis >= 0 && c->n != view_size (l, &v, axis)))
    return net_error (l->n, nd, -EBADMSG, "its slope has %lld elements",
                      (long long) c->n);
  if (axis >= 0 && (r = view_last (l, nd, &v, axis, &v)) < 0)
    return r;
  if ((id = lay_node (l, nd, "prelu", &v.id, 1, "channels=%s",
                      axis >= 0 ? "yes" : "no"))
        < 0
      || (r = lay_fill (l, id, "weight", nd->in[1], c->f)) < 0)
    return id < 0 ? id : r;
  v.id = id;
  lay_output (l, nd, 0, &v);
  return 0;
}

/* ---- where ------------------------------------------------------------------- */

/* C's elements where COND is (or, INVERSE, is not) true, else 0; C NULL: 1.
 * Both have the same shape, or C has one element. */
static int
masked (const struct onnx_const *cond, const struct onnx_const *c,
        bool inverse, struct onnx_const **out)
{
  const int r = onnx_const_new (true, &cond->shape, out);
  int64_t i;

  for (i = 0; r == 0 && i < cond->n; i++) {
    const float x = c == NULL ? 1 : c->n == 1 ? c->f[0] : c->f[i];

    (*out)->f[i] = (cond->i[i] != 0) != inverse ? x : 0;
  }
  return r;
}

/* LAYER of A and the numbers C, which become a value of their own. */
static int
with_numbers (struct lay *l, struct net_node *nd, const char *layer,
              struct view *a, struct onnx_const *c)
{
  /* the condition's own value is of no more use */
  net_set_known (l->n, nd->in[0], c);
  return with_constant (l, nd, layer, a, nd->in[0], false);
}

/* A condition that is known: x where it holds (or does not), a constant
 * elsewhere: x times 1 or 0, plus 0 or the constant. */
int
lay_where (struct lay *l, struct net_node *nd)
{
  const bool second = nd->n_in == 3 && is_known (l, nd->in[1]);
  const struct onnx_const *cond, *other;
  struct onnx_const *keep = NULL, *add = NULL;
  struct view v;
  int r;

  if (nd->n_in != 3 || nd->in[0] < 0
      || (r = net_known (l->n, nd->in[0], &cond)) < 0 || cond == NULL
      || cond->real
      || (r = net_known (l->n, nd->in[second ? 1 : 2], &other)) < 0
      || other == NULL || !other->real
      || (other->n != 1 && !qk_shape_equal (&other->shape, &cond->shape)))
    return net_error (l->n, nd, -ENOTSUP,
                      "its condition, and one of its values in the shape of "
                      "that, are to be known beforehand");
  if ((r = lay_input (l, nd, second ? 2 : 1, &v)) < 0
      || (r = masked (cond, NULL, second, &keep)) < 0
      || (r = masked (cond, other, !second, &add)) < 0) {
    onnx_const_free (keep);
    return r;
  }
  if ((r = with_numbers (l, nd, "mul", &v, keep)) < 0) {
    onnx_const_free (add);
    return r;
  }
  if ((r = with_numbers (l, nd, "add", &v, add)) == 0)
    lay_output (l, nd, 0, &v);
  return r;
}
