/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* linear.c: operators that combine the elements of an axis: products of
 * matrices, normalisation, softmax. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lay.h"

/* ---- products with weights ---------------------------------------------------------- */

/* A matrix of weights (OUT,IN) out of the file's. */
struct matrix {
  float *data; /* owned */
  int64_t in, out;
  int axis; /* of the file's that is OUT */
};

/* C (K,N), or (N,K) where TRANSPOSED, times ALPHA.  COLUMN: which of the K
 * the layer has at a place; NULL: the same. */
static int
matrix_of (struct lay *l, struct net_node *nd, const struct onnx_const *c,
           bool transposed, float alpha, const int64_t *column,
           struct matrix *m)
{
  int64_t i, k;

  if (!c->real || c->shape.ndim != 2 || c->n == 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "its weights have %d axes, expected a matrix of real "
                      "numbers",
                      c->shape.ndim);
  m->axis = !transposed;
  m->in = c->shape.dims[transposed];
  m->out = c->shape.dims[!transposed];
  m->data = malloc (sizeof *m->data * (size_t) c->n);
  if (m->data == NULL)
    return qk_oom ("%s", nd->name);
  for (i = 0; i < m->out; i++)
    for (k = 0; k < m->in; k++) {
      const int64_t from = column != NULL ? column[k] : k;

      m->data[i * m->in + k]
        = alpha * c->f[transposed ? i * m->in + from : from * m->out + i];
    }
  return 0;
}

/* Where in the file's axis A, made of several of ours, each element is when
 * they are taken in the order of ours; to be freed. */
static int64_t *
columns_of (const struct lay *l, const struct view *v, int a)
{
  const struct qk_shape *s = view_ours (l, v);
  const struct group *g = &v->axis[a];
  const int64_t n = view_size (l, v, a);
  int64_t *column = malloc (sizeof *column * (size_t) (n + 1)), i;
  int64_t step[QK_MAX_DIMS] = { 0 }, k = 1;
  int j;

  if (column == NULL)
    return NULL;
  for (j = g->n - 1; j >= 0; j--) {
    step[g->of[j]] = k;
    k *= s->dims[g->of[j]];
  }
  for (i = 0; i < n; i++) {
    int64_t at = i, from = 0;

    for (j = s->ndim - 1; j > 0; j--)
      if (step[j] > 0) {
        from += at % s->dims[j] * step[j];
        at /= s->dims[j];
      }
    column[i] = from;
  }
  return column;
}

/* V (batch, …) whose file axis 1 is made of all our axes: as (batch, C) in
 * our order, with the columns' places in the file.  *COLUMN NULL: the same. */
static int
flat (struct lay *l, struct net_node *nd, const struct view *v,
      struct view *out, int64_t **column)
{
  static const int order[] = { 0, 1 };
  struct view sorted = *v;
  struct group *g = &sorted.axis[1];
  int i, k;

  *column = NULL;
  if (g->n > 1 && !view_has_batch (v, 1)) {
    for (i = 1; i < g->n; i++)
      for (k = i; k > 0 && g->of[k - 1] > g->of[k]; k--) {
        const int t = g->of[k];

        g->of[k] = g->of[k - 1];
        g->of[k - 1] = t;
      }
    if (memcmp (g->of, v->axis[1].of, sizeof *g->of * (size_t) g->n) != 0
        && (*column = columns_of (l, v, 1)) == NULL)
      return qk_oom ("%s", nd->name);
  }
  return view_arrange (l, nd, &sorted, 2, order, out);
}

/* The last axis of V as our last one: what a product with a matrix needs. */
static int
rows (struct lay *l, struct net_node *nd, struct view *v, int64_t **column)
{
  *column = NULL;
  return v->ndim == 2 && view_is_batch (v, 0)
           ? flat (l, nd, v, v, column)
           : view_last (l, nd, v, v->ndim - 1, v);
}

/* The linear layer of V, whose last axis is our last one. */
static int
linear (struct lay *l, struct net_node *nd, struct view *v,
        const struct matrix *m, int weight, int bias, const float *numbers)
{
  const struct qk_shape *s = view_ours (l, v);
  int id, r;

  if (s->dims[s->ndim - 1] != m->in)
    return net_error (l->n, nd, -EBADMSG,
                      "its weights are for %lld features, its input has %lld",
                      (long long) m->in, (long long) s->dims[s->ndim - 1]);
  id = lay_node (l, nd, "linear", &v->id, 1, "out=%lld bias=%s",
                 (long long) m->out, numbers != NULL ? "yes" : "no");
  if (id < 0 || (r = lay_fill (l, id, "weight", weight, m->data)) < 0
      || (r = lay_keep_grid (l, nd, id, "weight", weight, m->axis, m->data,
                             m->out, m->in))
           < 0
      || (numbers != NULL
          && (r = lay_fill (l, id, "bias", bias, numbers)) < 0))
    return id < 0 ? id : r;
  v->id = id;
  return 0;
}

/* BETA times the bias C, one number for each of N or one for all; to be
 * freed.  NULL without one. */
static int
bias_of (struct lay *l, struct net_node *nd, const struct onnx_const *c,
         float beta, int64_t n, float **out)
{
  int64_t i;

  *out = NULL;
  if (c == NULL)
    return 0;
  if (!c->real || (c->n != 1 && c->n != n)
      || (c->n > 1 && c->shape.dims[c->shape.ndim - 1] != n))
    return net_error (l->n, nd, -ENOTSUP,
                      "its bias has %lld elements, expected %lld",
                      (long long) c->n, (long long) n);
  if ((*out = malloc (sizeof **out * (size_t) n)) == NULL)
    return qk_oom ("%s", nd->name);
  for (i = 0; i < n; i++)
    (*out)[i] = beta * c->f[c->n == 1 ? 0 : i];
  return 0;
}

/* How Gemm differs from MatMul by constants. */
struct product {
  bool transposed; /* the weights */
  float alpha, beta;
};

/* lay_by_matrix with the factors and the order of P. */
static int
by_matrix (struct lay *l, struct net_node *nd, struct view *v, int weight,
           int bias, const struct product *p)
{
  const struct onnx_const *b, *c;
  struct matrix m = { NULL, 0, 0, 0 };
  int64_t *column = NULL;
  float *numbers = NULL;
  int r;

  if ((r = net_known (l->n, weight, &b)) < 0
      || (r = net_known (l->n, bias, &c)) < 0)
    return r;
  if ((r = rows (l, nd, v, &column)) == 0
      && (r = matrix_of (l, nd, b, p->transposed, p->alpha, column, &m)) == 0
      && (r = bias_of (l, nd, c, p->beta, m.out, &numbers)) == 0)
    r = linear (l, nd, v, &m, weight, bias, numbers);
  free (m.data);
  free (numbers);
  free (column);
  return r;
}

int
lay_by_matrix (struct lay *l, struct net_node *nd, struct view *v, int weight,
               int bias)
{
  static const struct product plain = { false, 1, 1 };

  return by_matrix (l, nd, v, weight, bias, &plain);
}

int
lay_gemm (struct lay *l, struct net_node *nd)
{
  const struct product p = { .transposed = net_attr_int (nd, "transB", 0) != 0,
                             .alpha = net_attr_float (nd, "alpha", 1),
                             .beta = net_attr_float (nd, "beta", 1) };
  const bool trans_a = net_attr_int (nd, "transA", 0) != 0;
  const struct onnx_const *b, *c;
  struct view v;
  int r;

  net_attr_int (nd, "broadcast", 0);
  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = lay_known (l, nd, 1, false, &b)) < 0
      || (r = lay_known (l, nd, 2, true, &c)) < 0)
    return r;
  if (trans_a) {
    const struct group first = v.axis[0];

    v.axis[0] = v.axis[1];
    v.axis[1] = first;
  }
  if (v.ndim != 2 || view_has_batch (&v, 1))
    return net_error (l->n, nd, -ENOTSUP,
                      "its input has %d axes, expected the batch and one more",
                      v.ndim);
  r = by_matrix (l, nd, &v, nd->in[1], c != NULL ? nd->in[2] : -1, &p);
  if (r < 0)
    return r;
  lay_output (l, nd, 0, &v);
  return 0;
}

/* MatMul by a matrix, with a bias as third input where recognise.c found
 * one. */
static int
matmul_weights (struct lay *l, struct net_node *nd)
{
  const struct onnx_const *c;
  struct view v;
  int r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = lay_known (l, nd, 2, true, &c)) < 0
      || (r = lay_by_matrix (l, nd, &v, nd->in[1], c != NULL ? nd->in[2] : -1))
           < 0)
    return r;
  lay_output (l, nd, 0, &v);
  return 0;
}

/* ---- products of two activations --------------------------------------------------------- */

/* Axes of a factor: the leading ones in the order LEAD, then rows and
 * columns as they lie. */
static int
factor (struct lay *l, struct net_node *nd, struct view *v, const int *lead,
        int n_lead, int ndim, bool *transposed)
{
  const int less = ndim - v->ndim, m = v->ndim - 2, k = v->ndim - 1;
  int order[QK_MAX_DIMS], i, n = 0;

  for (i = 0; i < n_lead; i++)
    order[n++] = lead[i] < less ? -1 : lead[i] - less;
  *transposed = v->axis[m].n > 0 && v->axis[k].n > 0
                && v->axis[k].of[0] < v->axis[m].of[0];
  order[n++] = *transposed ? k : m;
  order[n++] = *transposed ? m : k;
  return view_arrange (l, nd, v, n, order, v);
}

/* The leading axes of V in the order in which they lie. */
static int
leading (const struct view *v, int *lead)
{
  int all[QK_MAX_DIMS], i, n = 0;

  view_order (v, all);
  for (i = 0; i < v->ndim; i++)
    if (all[i] < v->ndim - 2)
      lead[n++] = all[i];
  return n;
}

/* Constant VALUE as a factor whose leading axes are in the order LEAD of the
 * view LIKE. */
static int
constant_factor (struct lay *l, struct net_node *nd, int value,
                 const struct view *like, const int *lead, int n_lead)
{
  struct view v = *like; /* says which of the leading axes is the batch */
  int order[QK_MAX_DIMS], k;

  for (k = 0; k < n_lead; k++)
    order[k] = lead[k];
  order[k++] = v.ndim - 2;
  order[k++] = v.ndim - 1;
  v.axis[v.ndim - 2].n = v.axis[v.ndim - 1].n = 0;
  return view_constant (l, nd, value, &v, k, order);
}

int
lay_product (struct lay *l, struct net_node *nd, struct view *v,
             const int *constant, struct view *out)
{
  bool turned[2] = { false, false };
  int lead[QK_MAX_DIMS], in[2], i, k, n, id, r = 0;

  k = constant[0] < 0 && (constant[1] >= 0 || v[0].ndim >= v[1].ndim) ? 0 : 1;
  if (v[0].ndim < 2 || v[1].ndim < 2 || v[k].ndim < v[!k].ndim)
    return net_error (l->n, nd, -ENOTSUP,
                      "its inputs have %d and %d axes, expected two or more, "
                      "and as many in what is computed from the data",
                      v[0].ndim, v[1].ndim);
  n = leading (&v[k], lead);
  for (i = 0; i < 2 && r >= 0; i++)
    if (constant[i] >= 0)
      r = in[i] = constant_factor (l, nd, constant[i], &v[k], lead, n);
    else if ((r = factor (l, nd, &v[i], lead, n, v[k].ndim, &turned[i])) == 0)
      in[i] = v[i].id;
  if (r < 0)
    return r;
  id = lay_node (l, nd, "matmul", in, 2, "transpose_a=%s transpose_b=%s",
                 turned[0] ? "yes" : "no", turned[1] ? "yes" : "no");
  if (id < 0)
    return id;
  *out = v[k];
  out->id = id;
  for (i = 0; i < 2; i++) {
    out->axis[out->ndim - 2 + i].n = 1;
    out->axis[out->ndim - 2 + i].of[0]
      = qk_graph_shape (l->g, id)->ndim - 2 + i;
  }
  return 0;
}

static int
matmul_pair (struct lay *l, struct net_node *nd)
{
  const struct onnx_const *c;
  int constant[2], i, r;
  struct view v[2], out;

  for (i = 0; i < 2; i++) {
    if ((r = net_known (l->n, nd->in[i], &c)) < 0)
      return r;
    constant[i] = c != NULL ? nd->in[i] : -1;
    if (c != NULL)
      v[i].ndim = c->shape.ndim;
    else if ((r = lay_input (l, nd, i, &v[i])) < 0)
      return r;
  }
  if ((r = lay_product (l, nd, v, constant, &out)) < 0)
    return r;
  lay_output (l, nd, 0, &out);
  return 0;
}

int
lay_matmul (struct lay *l, struct net_node *nd)
{
  const struct onnx_const *b = NULL;
  int r;

  if (nd->n_in < 2 || nd->in[0] < 0 || nd->in[1] < 0)
    return net_error (l->n, nd, -EBADMSG, "%d inputs, expected 2", nd->n_in);
  if ((r = net_known (l->n, nd->in[1], &b)) < 0)
    return r;
  return b != NULL && b->shape.ndim == 2 ? matmul_weights (l, nd)
                                         : matmul_pair (l, nd);
}

/* ---- normalisation ------------------------------------------------------------------------- */

/* Fill parameter PARAM of ID from input I, which has N elements. */
static int
fill_vector (struct lay *l, struct net_node *nd, int id, const char *param,
             int i, int64_t n)
{
  const struct onnx_const *c;
  const int r = lay_known (l, nd, i, false, &c);

  if (r < 0)
    return r;
  if (!c->real || c->n != n)
    return net_error (
      l->n, nd, -EBADMSG, "input '%.100s' has %lld elements, expected %lld",
      l->n->value[nd->in[i]].name, (long long) c->n, (long long) n);
  return lay_fill (l, id, param, nd->in[i], c->f);
}

int
lay_batch_norm (struct lay *l, struct net_node *nd)
{
  static const char *const params[]
    = { "weight", "bias", "running_mean", "running_var" };
  const float eps = net_attr_float (nd, "epsilon", 1e-5f);
  const float momentum = net_attr_float (nd, "momentum", 0.9f);
  struct view v;
  int64_t channels;
  int i, id, r;

  net_attr_int (nd, "training_mode", 0);
  net_attr_int (nd, "is_test", 0);
  net_attr_given (nd, "consumed_inputs");
  if (net_attr_int (nd, "spatial", 1) != 1)
    return net_error (l->n, nd, -ENOTSUP, "spatial is 0, expected 1");
  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  if (v.ndim < 2)
    return net_error (l->n, nd, -ENOTSUP, "its input has %d axes", v.ndim);
  channels = view_size (l, &v, 1);
  if ((r = view_last (l, nd, &v, 1, &v)) < 0)
    return r;
  id = lay_node (l, nd, "batchnorm2d", &v.id, 1, "eps=%.9g momentum=%.9g",
                 (double) eps, 1.0 - (double) momentum);
  for (i = 0, r = id; i < 4 && r >= 0; i++)
    r = fill_vector (l, nd, id, params[i], i + 1, channels);
  if (r < 0)
    return r;
  v.id = id;
  lay_output (l, nd, 0, &v);
  return 0;
}

/* Fill the parameters of ID, whose input's last axis of ours has N elements:
 * scale and bias (BIAS: there is such a parameter) are inputs 1 and 2. */
static int
fill_affine (struct lay *l, struct net_node *nd, int id, int64_t n, bool bias)
{
  float *zero;
  int r = fill_vector (l, nd, id, "weight", 1, n);

  if (r < 0 || !bias)
    return r;
  if (nd->n_in > 2 && nd->in[2] >= 0)
    return fill_vector (l, nd, id, "bias", 2, n);
  if ((zero = calloc ((size_t) n, sizeof *zero)) == NULL)
    return qk_oom ("%s", nd->name);
  r = lay_fill (l, id, "bias", -1, zero);
  free (zero);
  return r;
}

/* LAYER over V, whose last axis of ours has N elements. */
static int
affine_norm (struct lay *l, struct net_node *nd, struct view *v,
             const char *layer, int64_t n, const char *options)
{
  const bool affine = nd->n_in > 1 && nd->in[1] >= 0;
  const int id = lay_node (l, nd, layer, &v->id, 1, "affine=%s %s",
                           affine ? "yes" : "no", options);

  v->id = id;
  return id < 0 || !affine
           ? id
           : fill_affine (l, nd, id, n, strcmp (layer, "rms_norm") != 0);
}

static const char *
eps_option (struct net_node *nd, char buf[LAY_LIST], const char *more)
{
  const float eps
    = net_attr_float (nd, "epsilon", nd->op[0] == '.' ? nd->eps : 1e-5f);

  snprintf (buf, LAY_LIST, "eps=%.9g%s", (double) eps, more);
  return buf;
}

/* Where a recognised normalisation over axis AXIS has a scale or a bias, these
 * must be along the same axis, as they are broadcast. */
static int
check_along (struct lay *l, struct net_node *nd, const struct view *v,
             int axis)
{
  const struct onnx_const *c;
  int i, k, r;

  for (i = 1; i < nd->n_in && i < 3; i++) {
    if ((r = lay_known (l, nd, i, false, &c)) < 0)
      return r;
    for (k = 0; k < c->shape.ndim && c->shape.dims[k] == 1; k++)
      ;
    if (c->shape.ndim - k != v->ndim - axis)
      return net_error (l->n, nd, -ENOTSUP,
                        "normalises axis %d of %d, and input '%.100s' is not "
                        "along that",
                        axis, v->ndim, l->n->value[nd->in[i]].name);
  }
  return 0;
}

/* LAYER over the axes from AXIS on, or, recognised, over that alone. */
static int
lay_norm (struct lay *l, struct net_node *nd, const char *layer)
{
  const bool alone = nd->op[0] == '.';
  char buf[LAY_LIST];
  struct qk_shape own, merged;
  struct view v;
  int axis, i, r;

  net_attr_int (nd, "stash_type", 1);
  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  axis = net_axis (alone ? nd->axis : net_attr_int (nd, "axis", -1), v.ndim);
  if (axis < 0)
    return net_error (l->n, nd, -EBADMSG, "its axis is not one of %d", v.ndim);
  if (axis == 0)
    return net_error (l->n, nd, -ENOTSUP, "its axis is the batch's");
  for (i = 1; i < nd->n_out; i++)
    if (nd->out[i] >= 0 && l->n->value[nd->out[i]].uses > 0)
      return net_error (l->n, nd, -ENOTSUP, "its output %d is used", i + 1);
  if (alone && (r = check_along (l, nd, &v, axis)) < 0)
    return r;
  view_shape (l, &v, &own);
  merged = own;
  merged.ndim = axis + 1;
  for (i = axis + 1; i < own.ndim; i++)
    merged.dims[axis] *= own.dims[i];
  if (!alone && axis < v.ndim - 1
      && (r = view_reshape (l, nd, &v, &merged, &v)) < 0)
    return r;
  if ((r = view_last (l, nd, &v, axis, &v)) < 0
      || (r = affine_norm (l, nd, &v, layer, view_size (l, &v, axis),
                           eps_option (nd, buf, "")))
           < 0
      || (!alone && (r = view_reshape (l, nd, &v, &own, &v)) < 0))
    return r;
  lay_output (l, nd, 0, &v);
  return 0;
}

int
lay_layer_norm (struct lay *l, struct net_node *nd)
{
  return lay_norm (l, nd, "layer_norm");
}

int
lay_rms_norm (struct lay *l, struct net_node *nd)
{
  return lay_norm (l, nd, "rms_norm");
}

int
lay_instance_norm (struct lay *l, struct net_node *nd)
{
  char buf[LAY_LIST];
  struct view v, image;
  int r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_image (l, nd, &v, &image)) < 0
      || (r = affine_norm (l, nd, &image, "instance_norm",
                           view_size (l, &v, 1), eps_option (nd, buf, "")))
           < 0)
    return r;
  view_of_image (&v, image.id, v.ndim);
  lay_output (l, nd, 0, &v);
  return 0;
}

/* Whether the shape that a recognised group norm ends with, its input 3, is
 * that of V. */
static int
check_same_shape (struct lay *l, struct net_node *nd, const struct view *v)
{
  int64_t dims[QK_MAX_DIMS];
  const struct onnx_const *c;
  int i, count, r = net_known (l->n, nd->in[3], &c);

  if (r < 0 || c == NULL) /* the node Shape of the input */
    return r;
  count = net_ints (l->n, nd, 3, dims, QK_MAX_DIMS);
  for (i = 1; count == v->ndim && i < count; i++)
    if (dims[i] > 0 && dims[i] != view_size (l, v, i))
      break;
  return count == v->ndim && i == count
           ? 0
           : net_error (l->n, nd, -ENOTSUP,
                        "the group norm's result gets another shape");
}

int
lay_group_norm (struct lay *l, struct net_node *nd)
{
  const bool found = nd->op[0] == '.';
  const int64_t groups
    = found ? nd->groups : net_attr_int (nd, "num_groups", 1);
  char buf[LAY_LIST], more[NET_WORD];
  struct view v, image;
  int r;

  net_attr_int (nd, "stash_type", 1);
  snprintf (more, sizeof more, " groups=%lld", (long long) groups);
  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (found
          && ((r = check_same_shape (l, nd, &v)) < 0
              || (r = check_along (l, nd, &v, 1)) < 0))
      || (r = view_image (l, nd, &v, &image)) < 0
      || (r = affine_norm (l, nd, &image, "group_norm", view_size (l, &v, 1),
                           eps_option (nd, buf, more)))
           < 0)
    return r;
  view_of_image (&v, image.id, v.ndim);
  lay_output (l, nd, 0, &v);
  return 0;
}

int
lay_lrn (struct lay *l, struct net_node *nd)
{
  const float alpha = net_attr_float (nd, "alpha", 1e-4f);
  const float beta = net_attr_float (nd, "beta", 0.75f);
  const float bias = net_attr_float (nd, "bias", 1);
  const int64_t size = net_attr_int (nd, "size", 1);
  struct view v;
  int id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_last (l, nd, &v, 1, &v)) < 0)
    return r;
  id = lay_node (l, nd, "lrn", &v.id, 1,
                 "size=%lld alpha=%.9g beta=%.9g bias=%.9g", (long long) size,
                 (double) alpha, (double) beta, (double) bias);
  return lay_result (l, nd, v, id);
}

/* ---- softmax ----------------------------------------------------------------------------------- */

/* Before opset 13 all axes from AXIS on are one. */
static int
old_softmax (struct lay *l, struct net_node *nd, const struct view *v,
             int axis, const char *layer)
{
  struct qk_shape two = { 2, { 1, 1 } }, own;
  struct view flat_view;
  int i, id, r;

  view_shape (l, v, &own);
  for (i = 0; i < own.ndim; i++)
    two.dims[i >= axis] *= own.dims[i];
  if ((r = view_reshape (l, nd, v, &two, &flat_view)) < 0
      || (r = view_last (l, nd, &flat_view, 1, &flat_view)) < 0)
    return r;
  if ((id = lay_node (l, nd, layer, &flat_view.id, 1, "%s", "")) < 0)
    return id;
  flat_view.id = id;
  if ((r = view_reshape (l, nd, &flat_view, &own, &flat_view)) < 0)
    return r;
  lay_output (l, nd, 0, &flat_view);
  return 0;
}

static int
softmax (struct lay *l, struct net_node *nd, const char *layer)
{
  const bool found = nd->op[0] == '.';
  const bool old = l->n->file->opset < 13 && !found;
  struct view v;
  int axis, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  axis = net_axis (found ? nd->axis : net_attr_int (nd, "axis", old ? 1 : -1),
                   v.ndim);
  if (axis < 0)
    return net_error (l->n, nd, -EBADMSG, "its axis is not one of %d", v.ndim);
  if (old && axis < v.ndim - 1)
    return old_softmax (l, nd, &v, axis, layer);
  if ((r = view_last (l, nd, &v, axis, &v)) < 0)
    return r;
  return lay_result (l, nd, v, lay_node (l, nd, layer, &v.id, 1, "%s", ""));
}

int
lay_softmax (struct lay *l, struct net_node *nd)
{
  return softmax (l, nd, "softmax");
}

int
lay_log_softmax (struct lay *l, struct net_node *nd)
{
  return softmax (l, nd, "log_softmax");
}
