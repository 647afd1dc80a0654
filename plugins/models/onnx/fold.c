/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fold.c: evaluates nodes that depend on constants and static shapes alone:
 * the arithmetic with shapes that exporters leave in a file.
 * https://github.com/onnx/onnx/blob/main/docs/Operators.md */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "fold-priv.h"

/* Elements that folding may make; what is larger is left to the network. */
#define MAX_ELEMENTS ((int64_t) 1 << 24)

double
fold_get (const struct onnx_const *c, int64_t i)
{
  return c->real ? (double) c->f[i] : (double) c->i[i];
}

void
fold_put (struct onnx_const *c, int64_t i, double x)
{
  if (c->real)
    c->f[i] = (float) x;
  else if (x > -0x1p63 && x < 0x1p63)
    c->i[i] = (int64_t) x;
  else /* also NaN, which is no integer */
    c->i[i] = x > 0 ? INT64_MAX : INT64_MIN;
}

int
fold_make (struct call *c, bool real, const struct qk_shape *shape)
{
  const int64_t n = qk_shape_count (shape);

  return n < 0 || n > MAX_ELEMENTS ? LEAVE
                                   : onnx_const_new (real, shape, &c->out[0]);
}

int
fold_make_like (struct call *c, const struct onnx_const *in,
                const struct qk_shape *shape)
{
  const int r = fold_make (c, in->real, shape);

  if (r == 0)
    c->out[0]->type = in->type;
  return r;
}

void
fold_copy_one (struct onnx_const *to, int64_t i, const struct onnx_const *from,
               int64_t j)
{
  if (to->real)
    to->f[i] = from->f[j];
  else
    to->i[i] = from->i[j];
}

int
fold_reshape_to (struct call *c, const struct onnx_const *in,
                 const struct qk_shape *shape)
{
  const int r
    = qk_shape_count (shape) == in->n ? fold_make_like (c, in, shape) : LEAVE;

  if (r == 0)
    memcpy (c->out[0]->data, in->data,
            (size_t) in->n * (in->real ? sizeof (float) : sizeof (int64_t)));
  return r;
}

int
fold_ints (struct call *c, int i, const char *name, int64_t *out)
{
  int64_t k;

  if (c->in[i] != NULL && !c->in[i]->real && c->in[i]->n <= QK_MAX_DIMS) {
    for (k = 0; k < c->in[i]->n; k++)
      out[k] = c->in[i]->i[k];
    return (int) c->in[i]->n;
  }
  return name != NULL ? net_attr_ints (c->nd, name, out, QK_MAX_DIMS) : -1;
}

int64_t
fold_index (const struct qk_shape *shape, const int64_t *step, int64_t at)
{
  int64_t sum = 0;
  int i;

  for (i = shape->ndim - 1; i >= 0; i--) {
    sum += at % shape->dims[i] * step[i];
    at /= shape->dims[i];
  }
  return sum;
}

void
fold_steps (const struct qk_shape *s, int64_t *step)
{
  int64_t k = 1;
  int i;

  for (i = s->ndim - 1; i >= 0; i--) {
    step[i] = k;
    k *= s->dims[i];
  }
}

bool
fold_broadcast_steps (const struct qk_shape *in, const struct qk_shape *s,
                      int64_t *step)
{
  int64_t own[QK_MAX_DIMS];
  int i;

  fold_steps (in, own);
  for (i = 0; i < s->ndim; i++) {
    const int k = i - (s->ndim - in->ndim);

    if (k >= 0 && in->dims[k] != s->dims[i] && in->dims[k] != 1)
      return false;
    step[i] = k < 0 || in->dims[k] == 1 ? 0 : own[k];
  }
  return in->ndim <= s->ndim;
}

bool
fold_broadcast_shape (const struct qk_shape *a, const struct qk_shape *b,
                      struct qk_shape *s)
{
  const struct qk_shape *longer = a->ndim >= b->ndim ? a : b;
  const struct qk_shape *shorter = longer == a ? b : a;
  int i;

  *s = *longer;
  for (i = 0; i < shorter->ndim; i++) {
    int64_t *to = &s->dims[i + longer->ndim - shorter->ndim];

    if (*to == 1)
      *to = shorter->dims[i];
    else if (shorter->dims[i] != 1 && shorter->dims[i] != *to)
      return false;
  }
  return true;
}

/* ---- sources ------------------------------------------------------------------ */

static struct qk_shape
scalar_shape (void)
{
  struct qk_shape s = { 0, { 0 } };

  return s;
}

static struct qk_shape
vector_shape (int64_t n)
{
  struct qk_shape s = { 1, { n } };

  return s;
}

static int
fold_constant (struct call *c)
{
  const Onnx__TensorProto *t = net_attr_tensor (c->nd, "value");
  struct qk_shape s;
  int64_t list[64];
  size_t count, k;
  int n;

  if (t != NULL)
    return onnx_const_read (c->n->file, t, &c->out[0]);
  if (net_attr_given (c->nd, "value_float")) {
    s = scalar_shape ();
    if ((n = fold_make (c, true, &s)) == 0)
      c->out[0]->f[0] = net_attr_float (c->nd, "value_float", 0);
    return n;
  }
  if (net_attr_given (c->nd, "value_int")) {
    s = scalar_shape ();
    if ((n = fold_make (c, false, &s)) == 0)
      c->out[0]->i[0] = net_attr_int (c->nd, "value_int", 0);
    return n;
  }
  if (net_attr_given (c->nd, "value_floats")) {
    const float *f = net_attr_floats (c->nd, "value_floats", &count);

    s = vector_shape ((int64_t) count);
    if ((n = fold_make (c, true, &s)) == 0)
      for (k = 0; k < count; k++)
        c->out[0]->f[k] = f[k];
    return n;
  }
  if ((n = net_attr_ints (c->nd, "value_ints", list, 64)) >= 0) {
    s = vector_shape (n);
    if (fold_make (c, false, &s) == 0)
      memcpy (c->out[0]->i, list, (size_t) n * sizeof *list);
    return 0;
  }
  return LEAVE;
}

static int
fold_constant_of_shape (struct call *c)
{
  const Onnx__TensorProto *t = net_attr_tensor (c->nd, "value");
  struct onnx_const *value = NULL;
  struct qk_shape s = { 0, { 0 } };
  int64_t i;
  int r, n = fold_ints (c, 0, NULL, s.dims);

  if (n < 0)
    return LEAVE;
  s.ndim = n;
  if (t != NULL && (r = onnx_const_read (c->n->file, t, &value)) < 0)
    return r;
  r = fold_make (c, value == NULL || value->real, &s);
  if (r == 0 && value != NULL && value->n == 1) {
    c->out[0]->type = value->type;
    for (i = 0; i < c->out[0]->n; i++)
      fold_copy_one (c->out[0], i, value, 0);
  }
  onnx_const_free (value);
  return r;
}

static bool
shape_of (struct call *c, struct qk_shape *s)
{
  const struct onnx_const *k;

  if (c->nd->n_in < 1 || c->nd->in[0] < 0)
    return false;
  if (net_known (c->n, c->nd->in[0], &k) == 0 && k != NULL) {
    *s = k->shape;
    return true;
  }
  return c->shape != NULL && c->shape (c->cookie, c->nd->in[0], s);
}

static int
fold_shape_of (struct call *c)
{
  struct qk_shape s, v;
  int64_t start = net_attr_int (c->nd, "start", 0), end, k;
  int r;

  if (!shape_of (c, &s))
    return LEAVE;
  end = net_attr_int (c->nd, "end", s.ndim);
  start = start < 0 ? start + s.ndim : start;
  end = end < 0 ? end + s.ndim : end;
  start = start < 0 ? 0 : start > s.ndim ? s.ndim : start;
  end = end < start ? start : end > s.ndim ? s.ndim : end;
  v = vector_shape (end - start);
  if ((r = fold_make (c, false, &v)) == 0)
    for (k = start; k < end; k++)
      c->out[0]->i[k - start] = s.dims[k];
  return r;
}

static int
fold_size (struct call *c)
{
  struct qk_shape s, v = scalar_shape ();
  int r;

  if (!shape_of (c, &s))
    return LEAVE;
  if ((r = fold_make (c, false, &v)) == 0)
    c->out[0]->i[0] = qk_shape_count (&s);
  return r;
}

static int
fold_range (struct call *c)
{
  double start, step, n;
  struct qk_shape s;
  int64_t i;
  int r;

  if (c->in[0]->n != 1 || c->in[1]->n != 1 || c->in[2]->n != 1)
    return LEAVE;
  start = fold_get (c->in[0], 0);
  step = fold_get (c->in[2], 0);
  n = ceil ((fold_get (c->in[1], 0) - start) / step);
  if (!(n <= (double) MAX_ELEMENTS))
    return LEAVE;
  s = vector_shape (n > 0 ? (int64_t) n : 0);
  if ((r = fold_make_like (c, c->in[0], &s)) == 0)
    for (i = 0; i < c->out[0]->n; i++)
      fold_put (c->out[0], i, start + (double) i * step);
  return r;
}

/* ---- the table --------------------------------------------------------------------------- */

static const struct rule {
  const char *op;
  int least, most; /* inputs that must be known; most 0: any number */
  int (*fold) (struct call *c);
} rules[] = {
  { "Constant", 0, 0, fold_constant },
  { "ConstantOfShape", 1, 1, fold_constant_of_shape },
  { "Shape", 0, 1, fold_shape_of },
  { "Size", 0, 1, fold_size },
  { "Range", 3, 3, fold_range },
  { "Identity", 1, 1, fold_identity },
  { "Cast", 1, 1, fold_cast },
  { "Reshape", 1, 2, fold_reshape },
  { "Flatten", 1, 1, fold_flatten },
  { "Unsqueeze", 1, 2, fold_unsqueeze },
  { "Squeeze", 1, 2, fold_squeeze },
  { "Transpose", 1, 1, fold_transpose },
  { "Concat", 1, 0, fold_concat },
  { "Gather", 2, 2, fold_gather },
  { "Slice", 1, 5, fold_slice },
  { "Expand", 2, 2, fold_expand },
  { "Tile", 2, 2, fold_tile },
  { "ScatterND", 3, 3, fold_scatter_nd },
  { "Split", 1, 2, fold_split },
  { "Add", 2, 2, fold_add },
  { "Sub", 2, 2, fold_sub },
  { "Mul", 2, 2, fold_mul },
  { "Div", 2, 2, fold_div },
  { "Mod", 2, 2, fold_mod },
  { "Pow", 2, 2, fold_pow },
  { "Min", 2, 2, fold_min },
  { "Max", 2, 2, fold_max },
  { "Equal", 2, 2, fold_equal },
  { "Less", 2, 2, fold_less },
  { "Greater", 2, 2, fold_greater },
  { "LessOrEqual", 2, 2, fold_less_equal },
  { "GreaterOrEqual", 2, 2, fold_greater_equal },
  { "And", 2, 2, fold_and },
  { "Or", 2, 2, fold_or },
  { "Xor", 2, 2, fold_xor },
  { "Where", 3, 3, fold_where },
  { "MatMul", 2, 2, fold_matmul },
  { "Gemm", 2, 3, fold_gemm },
  { "Neg", 1, 1, fold_neg },
  { "Abs", 1, 1, fold_abs },
  { "Sqrt", 1, 1, fold_sqrt },
  { "Exp", 1, 1, fold_exp },
  { "Log", 1, 1, fold_log },
  { "Floor", 1, 1, fold_floor },
  { "Ceil", 1, 1, fold_ceil },
  { "Round", 1, 1, fold_round },
  { "Erf", 1, 1, fold_erf },
  { "Reciprocal", 1, 1, fold_reciprocal },
  { "Sigmoid", 1, 1, fold_sigmoid },
  { "Tanh", 1, 1, fold_tanh },
  { "Sin", 1, 1, fold_sin },
  { "Cos", 1, 1, fold_cos },
  { "Not", 1, 1, fold_not },
  { "Relu", 1, 1, fold_relu },
  { "Sign", 1, 1, fold_sign },
  { "ReduceProd", 1, 2, fold_reduce_prod },
  { "ReduceSum", 1, 2, fold_reduce_sum },
  { "ReduceMax", 1, 2, fold_reduce_max },
  { "ReduceMin", 1, 2, fold_reduce_min },
  { "ReduceMean", 1, 2, fold_reduce_mean },
  { "ReduceL1", 1, 2, fold_reduce_l1 },
  { "ReduceL2", 1, 2, fold_reduce_l2 },
  { "DequantizeLinear", 2, 3, fold_dequantize },
  { "QuantizeLinear", 2, 3, fold_quantize },
};
#define N_RULES ((int) (sizeof rules / sizeof *rules))

const char *
fold_operator (int i)
{
  return i < N_RULES ? rules[i].op : NULL;
}

/* Fill in the inputs of C; false where one that must be known is not. */
static bool
take_inputs (struct call *c, const struct rule *rule, int *err)
{
  const struct net_node *nd = c->nd;
  int i;

  *err = 0;
  if (nd->n_in < rule->least || (rule->most > 0 && nd->n_in > rule->most))
    return false;
  for (i = 0; i < nd->n_in && rule->least > 0; i++) {
    const struct onnx_const *k = NULL;

    if (nd->in[i] >= 0 && (*err = net_known (c->n, nd->in[i], &k)) < 0)
      return false;
    if (k == NULL && (nd->in[i] >= 0 || i < rule->least))
      return false;
    if (i < 8)
      c->in[i] = k;
  }
  return true;
}

/* ND only moved the elements of a dequantized constant, which has one scale:
 * so has what it gave. */
static void
hand_on_scale (struct net *n, const struct net_node *nd)
{
  const struct net_value *v
    = nd->n_in > 0 && nd->in[0] >= 0 ? &n->value[nd->in[0]] : NULL;
  double x;

  if (v == NULL || v->scale < 0 || !net_moves (nd)
      || !net_scalar (n, v->scale, &x))
    return;
  for (int k = 0; k < nd->n_out; k++)
    if (nd->out[k] >= 0) {
      n->value[nd->out[k]].scale = v->scale;
      n->value[nd->out[k]].zero = v->zero;
      n->value[nd->out[k]].type = v->type;
    }
}

/* ND transposed a tensor of the file that nothing else reads, as PyTorch writes
 * a linear layer: the weight keeps its name. */
static void
hand_on_name (struct net *n, const struct net_node *nd)
{
  const struct net_value *v;

  if (strcmp (nd->op, "Transpose") != 0 || nd->in[0] < 0 || nd->out[0] < 0)
    return;
  v = &n->value[nd->in[0]];
  for (int i = 0; i < n->n_outputs; i++)
    if (n->output[i] == nd->out[0])
      return;
  if (v->init != NULL && v->uses == 1)
    n->value[nd->out[0]].name = v->name;
}

int
fold_node (struct net *n, struct net_node *nd, fold_shape shape, void *cookie)
{
  struct call c = { .n = n, .nd = nd, .shape = shape, .cookie = cookie };
  int i, k, r;

  if (nd->gone || nd->n_out > 8 || nd->n_out < 1)
    return 0;
  for (i = 0; i < N_RULES && strcmp (rules[i].op, nd->op) != 0; i++)
    continue;
  if (i == N_RULES || !take_inputs (&c, &rules[i], &r))
    return i == N_RULES ? 0 : r;
  r = rules[i].fold (&c);
  for (k = 0; k < 8; k++)
    if (r == 0 && c.out[k] != NULL && k < nd->n_out && nd->out[k] >= 0)
      net_set_known (n, nd->out[k], c.out[k]);
    else
      onnx_const_free (c.out[k]);
  if (r == 0) {
    hand_on_scale (n, nd);
    hand_on_name (n, nd);
    nd->gone = true;
  }
  return r < 0 ? r : 0;
}
