/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* linear.c: products of matrices. */
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
