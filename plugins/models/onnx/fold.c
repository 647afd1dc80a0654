/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fold.c: evaluates nodes that depend on constants and static shapes alone:
 * the arithmetic with shapes that exporters leave in a file.
 * https://github.com/onnx/onnx/blob/main/docs/Operators.md */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"

/* Elements that folding may make; what is larger is left to the network. */
#define MAX_ELEMENTS ((int64_t) 1 << 24)

struct call {
  struct net *n;
  struct net_node *nd;
  const struct onnx_const *in[8]; /* NULL: left out */
  fold_shape shape;
  void *cookie;
  struct onnx_const *out[8];
};

/* 1: not now, leave the node to the network. */
#define LEAVE 1

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

static double
get (const struct onnx_const *c, int64_t i)
{
  return c->real ? (double) c->f[i] : (double) c->i[i];
}

static void
put (struct onnx_const *c, int64_t i, double x)
{
  if (c->real)
    c->f[i] = (float) x;
  else
    c->i[i] = (int64_t) x;
}

static int
make (struct call *c, bool real, const struct qk_shape *shape)
{
  const int64_t n = qk_shape_count (shape);

  return n < 0 || n > MAX_ELEMENTS ? LEAVE
                                   : onnx_const_new (real, shape, &c->out[0]);
}

/* Like IN but for the shape. */
static int
make_like (struct call *c, const struct onnx_const *in,
           const struct qk_shape *shape)
{
  const int r = make (c, in->real, shape);

  if (r == 0)
    c->out[0]->type = in->type;
  return r;
}

static void
move (struct onnx_const *to, int64_t i, const struct onnx_const *from,
      int64_t j)
{
  if (to->real)
    to->f[i] = from->f[j];
  else
    to->i[i] = from->i[j];
}

/* Copy all of IN to a new shape of as many elements. */
static int
reshape_to (struct call *c, const struct onnx_const *in,
            const struct qk_shape *shape)
{
  const int r
    = qk_shape_count (shape) == in->n ? make_like (c, in, shape) : LEAVE;

  if (r == 0)
    memcpy (c->out[0]->data, in->data,
            (size_t) in->n * (in->real ? sizeof (float) : sizeof (int64_t)));
  return r;
}

/* Integers of input I, or of attribute NAME in older opsets; -1: neither. */
static int
ints (struct call *c, int i, const char *name, int64_t *out)
{
  int64_t k;

  if (c->in[i] != NULL && !c->in[i]->real && c->in[i]->n <= QK_MAX_DIMS) {
    for (k = 0; k < c->in[i]->n; k++)
      out[k] = c->in[i]->i[k];
    return (int) c->in[i]->n;
  }
  return name != NULL ? net_attr_ints (c->nd, name, out, QK_MAX_DIMS) : -1;
}

/* ---- sources ------------------------------------------------------------------ */

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
    if ((n = make (c, true, &s)) == 0)
      c->out[0]->f[0] = net_attr_float (c->nd, "value_float", 0);
    return n;
  }
  if (net_attr_given (c->nd, "value_int")) {
    s = scalar_shape ();
    if ((n = make (c, false, &s)) == 0)
      c->out[0]->i[0] = net_attr_int (c->nd, "value_int", 0);
    return n;
  }
  if (net_attr_given (c->nd, "value_floats")) {
    const float *f = net_attr_floats (c->nd, "value_floats", &count);

    s = vector_shape ((int64_t) count);
    if ((n = make (c, true, &s)) == 0)
      for (k = 0; k < count; k++)
        c->out[0]->f[k] = f[k];
    return n;
  }
  if ((n = net_attr_ints (c->nd, "value_ints", list, 64)) >= 0) {
    s = vector_shape (n);
    if (make (c, false, &s) == 0)
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
  int r, n = ints (c, 0, NULL, s.dims);

  if (n < 0)
    return LEAVE;
  s.ndim = n;
  if (t != NULL && (r = onnx_const_read (c->n->file, t, &value)) < 0)
    return r;
  r = make (c, value == NULL || value->real, &s);
  if (r == 0 && value != NULL && value->n == 1) {
    c->out[0]->type = value->type;
    for (i = 0; i < c->out[0]->n; i++)
      move (c->out[0], i, value, 0);
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
  if ((r = make (c, false, &v)) == 0)
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
  if ((r = make (c, false, &v)) == 0)
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
  start = get (c->in[0], 0);
  step = get (c->in[2], 0);
  n = ceil ((get (c->in[1], 0) - start) / step);
  if (!(n <= (double) MAX_ELEMENTS))
    return LEAVE;
  s = vector_shape (n > 0 ? (int64_t) n : 0);
  if ((r = make_like (c, c->in[0], &s)) == 0)
    for (i = 0; i < c->out[0]->n; i++)
      put (c->out[0], i, start + (double) i * step);
  return r;
}

/* ---- moving ---------------------------------------------------------------------- */

static int
fold_identity (struct call *c)
{
  return onnx_const_copy (c->in[0], &c->out[0]);
}

static int
fold_cast (struct call *c)
{
  const int type = (int) net_attr_int (c->nd, "to", 1);
  const bool real = onnx_type_is_real (type);
  const struct onnx_const *in = c->in[0];
  int64_t i;
  int r = make (c, real, &in->shape);

  if (r != 0)
    return r;
  c->out[0]->type = type;
  for (i = 0; i < in->n; i++)
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL)
      c->out[0]->i[i] = get (in, i) != 0;
    else if (real)
      c->out[0]->f[i] = (float) get (in, i);
    else
      c->out[0]->i[i] = in->real ? (int64_t) in->f[i] : in->i[i];
  return 0;
}

static int
fold_reshape (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  struct qk_shape s = { 0, { 0 } };
  int64_t rest = in->n;
  int i, free_axis = -1;
  const int n = ints (c, 1, "shape", s.dims);

  if (n < 0)
    return LEAVE;
  s.ndim = n;
  for (i = 0; i < n; i++) {
    if (s.dims[i] == 0 && i < in->shape.ndim
        && net_attr_int (c->nd, "allowzero", 0) == 0)
      s.dims[i] = in->shape.dims[i];
    if (s.dims[i] == -1)
      free_axis = i;
    else if (s.dims[i] > 0)
      rest /= s.dims[i];
  }
  if (free_axis >= 0)
    s.dims[free_axis] = rest;
  return reshape_to (c, in, &s);
}

static int
fold_flatten (struct call *c)
{
  const struct qk_shape *in = &c->in[0]->shape;
  struct qk_shape s = { 2, { 1, 1 } };
  int64_t axis = net_attr_int (c->nd, "axis", 1);
  int i;

  axis = axis < 0 ? axis + in->ndim : axis;
  for (i = 0; i < in->ndim; i++)
    s.dims[i >= axis] *= in->dims[i];
  return reshape_to (c, c->in[0], &s);
}

static int
fold_unsqueeze (struct call *c)
{
  const struct qk_shape *in = &c->in[0]->shape;
  struct qk_shape s = { 0, { 0 } };
  bool added[QK_MAX_DIMS] = { false };
  int64_t axes[QK_MAX_DIMS];
  int i, k, at = 0;
  const int n = ints (c, 1, "axes", axes);

  if (n < 0 || in->ndim + n > QK_MAX_DIMS)
    return LEAVE;
  s.ndim = in->ndim + n;
  for (i = 0; i < n; i++) {
    if ((k = net_axis (axes[i], s.ndim)) < 0)
      return LEAVE;
    added[k] = true;
  }
  for (i = 0; i < s.ndim; i++)
    s.dims[i] = added[i] || at >= in->ndim ? 1 : in->dims[at++];
  return reshape_to (c, c->in[0], &s);
}

static int
fold_squeeze (struct call *c)
{
  const struct qk_shape *in = &c->in[0]->shape;
  struct qk_shape s = { 0, { 0 } };
  bool gone[QK_MAX_DIMS] = { false };
  int64_t axes[QK_MAX_DIMS];
  int i, k;
  const int n = ints (c, 1, "axes", axes);

  for (i = 0; i < in->ndim && n < 0; i++)
    gone[i] = in->dims[i] == 1;
  for (i = 0; i < n; i++) {
    if ((k = net_axis (axes[i], in->ndim)) < 0)
      return LEAVE;
    gone[k] = true;
  }
  for (i = 0; i < in->ndim; i++)
    if (!gone[i])
      s.dims[s.ndim++] = in->dims[i];
  return reshape_to (c, c->in[0], &s);
}

/* Where element AT of a tensor of SHAPE is in one that is read with STEP. */
static int64_t
index_of (const struct qk_shape *shape, const int64_t *step, int64_t at)
{
  int64_t sum = 0;
  int i;

  for (i = shape->ndim - 1; i >= 0; i--) {
    sum += at % shape->dims[i] * step[i];
    at /= shape->dims[i];
  }
  return sum;
}

static void
steps_of (const struct qk_shape *s, int64_t *step)
{
  int64_t k = 1;
  int i;

  for (i = s->ndim - 1; i >= 0; i--) {
    step[i] = k;
    k *= s->dims[i];
  }
}

static int
fold_transpose (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  int64_t perm[QK_MAX_DIMS], step[QK_MAX_DIMS], own[QK_MAX_DIMS], i;
  struct qk_shape s = in->shape;
  int k, r, n = net_attr_ints (c->nd, "perm", perm, QK_MAX_DIMS);

  if (n < 0)
    for (n = 0; n < s.ndim; n++)
      perm[n] = s.ndim - 1 - n;
  if (n != s.ndim)
    return LEAVE;
  steps_of (&in->shape, own);
  for (k = 0; k < n; k++) {
    if (perm[k] < 0 || perm[k] >= n)
      return LEAVE;
    s.dims[k] = in->shape.dims[perm[k]];
    step[k] = own[perm[k]];
  }
  if ((r = make_like (c, in, &s)) == 0)
    for (i = 0; i < in->n; i++)
      move (c->out[0], i, in, index_of (&s, step, i));
  return r;
}

static int
fold_concat (struct call *c)
{
  const struct onnx_const *first = c->in[0], *part;
  struct qk_shape s = first->shape;
  int64_t outer = 1, inner = 1, row, at = 0, o, k;
  const int axis = net_axis (net_attr_int (c->nd, "axis", 0), s.ndim);
  int i, r;

  if (axis < 0)
    return LEAVE;
  s.dims[axis] = 0;
  for (i = 0; i < c->nd->n_in; i++) {
    if (net_known (c->n, c->nd->in[i], &part) < 0 || part == NULL
        || part->shape.ndim != s.ndim || part->real != first->real)
      return LEAVE;
    s.dims[axis] += part->shape.dims[axis];
  }
  for (i = 0; i < s.ndim; i++)
    *(i < axis ? &outer : &inner) *= i == axis ? 1 : s.dims[i];
  if ((r = make_like (c, first, &s)) != 0)
    return r;
  row = s.dims[axis] * inner;
  for (i = 0; i < c->nd->n_in; i++) {
    int64_t n;

    net_known (c->n, c->nd->in[i], &part);
    n = part->shape.dims[axis] * inner;
    if (n * outer != part->n)
      return LEAVE;
    for (o = 0; o < outer; o++)
      for (k = 0; k < n; k++)
        move (c->out[0], o * row + at + k, part, o * n + k);
    at += n;
  }
  return 0;
}

static int
fold_gather (struct call *c)
{
  const struct onnx_const *in = c->in[0], *index = c->in[1];
  struct qk_shape s = { 0, { 0 } };
  int64_t outer = 1, inner = 1, o, k, j;
  const int axis = net_axis (net_attr_int (c->nd, "axis", 0), in->shape.ndim);
  int i, r;

  if (axis < 0 || index->real
      || in->shape.ndim + index->shape.ndim - 1 > QK_MAX_DIMS)
    return LEAVE;
  for (i = 0; i < in->shape.ndim; i++) {
    if (i == axis)
      for (k = 0; k < index->shape.ndim; k++)
        s.dims[s.ndim++] = index->shape.dims[k];
    else
      s.dims[s.ndim++] = in->shape.dims[i];
    *(i < axis ? &outer : &inner) *= i == axis ? 1 : in->shape.dims[i];
  }
  if ((r = make_like (c, in, &s)) != 0)
    return r;
  for (o = 0; o < outer; o++)
    for (j = 0; j < index->n; j++) {
      int64_t at = index->i[j];

      at += at < 0 ? in->shape.dims[axis] : 0;
      if (at < 0 || at >= in->shape.dims[axis])
        return LEAVE;
      for (k = 0; k < inner; k++)
        move (c->out[0], (o * index->n + j) * inner + k, in,
              (o * in->shape.dims[axis] + at) * inner + k);
    }
  return 0;
}

/* One axis of a Slice, NumPy's way: first element and how many. */
static int64_t
slice_axis (int64_t size, int64_t *start, int64_t end, int64_t step)
{
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;

  *start += *start < 0 ? size : 0;
  end += end < 0 && end >= -size ? size : 0;
  *start = *start < (step > 0 ? 0 : 0) ? (step > 0 ? 0 : low)
           : *start > high             ? high
                                       : *start;
  end = end < low ? low : end > size ? size : end;
  if (step > 0)
    return end > *start ? (end - *start + step - 1) / step : 0;
  return *start > end ? (*start - end - step - 1) / -step : 0;
}

static int
fold_slice (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  int64_t start[QK_MAX_DIMS], end[QK_MAX_DIMS], axes[QK_MAX_DIMS];
  int64_t step[QK_MAX_DIMS], own[QK_MAX_DIMS], first = 0, i;
  struct qk_shape s = in->shape;
  int n, k, r, given;

  n = ints (c, 1, "starts", start);
  if (n < 0 || ints (c, 2, "ends", end) != n)
    return LEAVE;
  given = ints (c, 3, "axes", axes);
  steps_of (&in->shape, own);
  for (k = 0; k < n; k++) {
    int64_t by = 1;
    const int a = net_axis (given < 0 ? k : axes[k], s.ndim);

    if (c->in[4] != NULL && c->in[4]->n == n && !c->in[4]->real)
      by = c->in[4]->i[k];
    if (a < 0 || by == 0 || (given >= 0 && given != n))
      return LEAVE;
    s.dims[a] = slice_axis (in->shape.dims[a], &start[k], end[k], by);
    first += start[k] * own[a];
    step[a] = own[a] * by;
    own[a] *= by;
  }
  for (k = 0; k < s.ndim; k++)
    step[k] = own[k];
  if ((r = make_like (c, in, &s)) == 0)
    for (i = 0; i < c->out[0]->n; i++)
      move (c->out[0], i, in, first + index_of (&s, step, i));
  return r;
}

/* Steps with which a tensor of shape IN is read as one of shape S. */
static bool
broadcast_steps (const struct qk_shape *in, const struct qk_shape *s,
                 int64_t *step)
{
  int64_t own[QK_MAX_DIMS];
  int i;

  steps_of (in, own);
  for (i = 0; i < s->ndim; i++) {
    const int k = i - (s->ndim - in->ndim);

    if (k >= 0 && in->dims[k] != s->dims[i] && in->dims[k] != 1)
      return false;
    step[i] = k < 0 || in->dims[k] == 1 ? 0 : own[k];
  }
  return in->ndim <= s->ndim;
}

static bool
broadcast_shape (const struct qk_shape *a, const struct qk_shape *b,
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

static int
fold_expand (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  struct qk_shape want = { 0, { 0 } }, s;
  int64_t step[QK_MAX_DIMS], i;
  const int n = ints (c, 1, NULL, want.dims);
  int r;

  if (n < 0)
    return LEAVE;
  want.ndim = n;
  if (!broadcast_shape (&in->shape, &want, &s)
      || !broadcast_steps (&in->shape, &s, step))
    return LEAVE;
  if ((r = make_like (c, in, &s)) == 0)
    for (i = 0; i < c->out[0]->n; i++)
      move (c->out[0], i, in, index_of (&s, step, i));
  return r;
}

static int
fold_tile (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  struct qk_shape s = in->shape;
  int64_t times[QK_MAX_DIMS], own[QK_MAX_DIMS], i;
  int k, r;

  if (ints (c, 1, NULL, times) != s.ndim)
    return LEAVE;
  for (k = 0; k < s.ndim; k++)
    s.dims[k] *= times[k];
  steps_of (&in->shape, own);
  if ((r = make_like (c, in, &s)) != 0)
    return r;
  for (i = 0; i < c->out[0]->n; i++) {
    int64_t at = i, from = 0;

    for (k = s.ndim - 1; k >= 0; k--) {
      from += at % s.dims[k] % in->shape.dims[k] * own[k];
      at /= s.dims[k];
    }
    move (c->out[0], i, in, from);
  }
  return 0;
}

static int
fold_scatter_nd (struct call *c)
{
  const struct onnx_const *in = c->in[0], *index = c->in[1], *upd = c->in[2];
  const int rank = index->shape.ndim;
  int64_t k, width, own[QK_MAX_DIMS], i, run;
  int r;

  if (rank < 1 || index->real || net_attr_given (c->nd, "reduction"))
    return LEAVE;
  width = index->shape.dims[rank - 1];
  if (width < 1 || width > in->shape.ndim)
    return LEAVE;
  steps_of (&in->shape, own);
  run = own[width - 1];
  if (index->n / width * run != upd->n || upd->real != in->real)
    return LEAVE;
  if ((r = onnx_const_copy (in, &c->out[0])) < 0)
    return r;
  for (i = 0; i < index->n / width; i++) {
    int64_t to = 0;

    for (k = 0; k < width; k++) {
      int64_t at = index->i[i * width + k];

      at += at < 0 ? in->shape.dims[k] : 0;
      if (at < 0 || at >= in->shape.dims[k])
        return LEAVE;
      to += at * own[k];
    }
    for (k = 0; k < run; k++)
      move (c->out[0], to + k, upd, i * run + k);
  }
  return 0;
}

static int
fold_split (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  int64_t part[QK_MAX_DIMS], own[QK_MAX_DIMS], first = 0, i;
  const int axis = net_axis (net_attr_int (c->nd, "axis", 0), in->shape.ndim);
  int k, r, n = ints (c, 1, "split", part);

  if (axis < 0 || c->nd->n_out > QK_MAX_DIMS)
    return LEAVE;
  if (n < 0)
    for (n = 0; n < c->nd->n_out; n++)
      part[n] = (in->shape.dims[axis] + c->nd->n_out - 1) / c->nd->n_out;
  if (n != c->nd->n_out)
    return LEAVE;
  steps_of (&in->shape, own);
  for (k = 0; k < n; k++) {
    struct qk_shape s = in->shape;

    s.dims[axis] = part[k] < in->shape.dims[axis] - first
                     ? part[k]
                     : in->shape.dims[axis] - first;
    if (s.dims[axis] < 0
        || (r = onnx_const_new (in->real, &s, &c->out[k])) < 0)
      return LEAVE;
    c->out[k]->type = in->type;
    for (i = 0; i < c->out[k]->n; i++)
      move (c->out[k], i, in, first * own[axis] + index_of (&s, own, i));
    first += s.dims[axis];
  }
  return 0;
}

/* ---- arithmetic --------------------------------------------------------------------- */

enum function {
  ADD,
  SUB,
  MUL,
  DIV,
  MOD,
  POW,
  MIN,
  MAX,
  EQUAL,
  LESS,
  GREATER,
  LESS_EQUAL,
  GREATER_EQUAL,
  AND,
  OR,
  XOR
};

static double
real_of (enum function f, double a, double b)
{
  switch (f) {
  case ADD:
    return a + b;
  case SUB:
    return a - b;
  case MUL:
    return a * b;
  case DIV:
    return a / b;
  case MOD:
    return a - floor (a / b) * b;
  case POW:
    return pow (a, b);
  case MIN:
    return a < b ? a : b;
  case MAX:
    return a > b ? a : b;
  case EQUAL:
    return a == b;
  case LESS:
    return a < b;
  case GREATER:
    return a > b;
  case LESS_EQUAL:
    return a <= b;
  case GREATER_EQUAL:
    return a >= b;
  case AND:
    return a != 0 && b != 0;
  case OR:
    return a != 0 || b != 0;
  case XOR:
    return (a != 0) != (b != 0);
  }
  return 0;
}

/* Of integers, wrapping as those of the file do. */
static int64_t
integer_of (enum function f, int64_t a, int64_t b)
{
  switch (f) {
  case ADD:
    return (int64_t) ((uint64_t) a + (uint64_t) b);
  case SUB:
    return (int64_t) ((uint64_t) a - (uint64_t) b);
  case MUL:
    return (int64_t) ((uint64_t) a * (uint64_t) b);
  case DIV:
    return b == 0 || (b == -1 && a == INT64_MIN) ? 0 : a / b;
  case MOD:
    return b == 0 || b == -1 ? 0 : (a % b + b) % b;
  default:
    return (int64_t) real_of (f, (double) a, (double) b);
  }
}

static int
binary (struct call *c, enum function f)
{
  const struct onnx_const *a = c->in[0], *b = c->in[1];
  const bool compares = f >= EQUAL;
  struct qk_shape s;
  int64_t sa[QK_MAX_DIMS], sb[QK_MAX_DIMS], i;
  int r;

  if (c->nd->n_in != 2 || a->real != b->real
      || net_attr_int (c->nd, "fmod", 0) != 0
      || !broadcast_shape (&a->shape, &b->shape, &s)
      || !broadcast_steps (&a->shape, &s, sa)
      || !broadcast_steps (&b->shape, &s, sb))
    return LEAVE;
  if ((r = make (c, a->real && !compares, &s)) != 0)
    return r;
  c->out[0]->type
    = compares ? (int) ONNX__TENSOR_PROTO__DATA_TYPE__BOOL : a->type;
  for (i = 0; i < c->out[0]->n; i++) {
    const int64_t x = index_of (&s, sa, i), y = index_of (&s, sb, i);

    if (c->out[0]->real)
      c->out[0]->f[i]
        = (float) real_of (f, (double) a->f[x], (double) b->f[y]);
    else if (a->real)
      c->out[0]->i[i] = real_of (f, (double) a->f[x], (double) b->f[y]) != 0;
    else
      c->out[0]->i[i] = integer_of (f, a->i[x], b->i[y]);
  }
  return 0;
}

#define BINARY(name, f)                                                       \
  static int fold_##name (struct call *c) { return binary (c, f); }
BINARY (add, ADD)
BINARY (sub, SUB)
BINARY (mul, MUL)
BINARY (div, DIV)
BINARY (mod, MOD)
BINARY (pow, POW)
BINARY (min, MIN)
BINARY (max, MAX)
BINARY (equal, EQUAL)
BINARY (less, LESS)
BINARY (greater, GREATER)
BINARY (less_equal, LESS_EQUAL)
BINARY (greater_equal, GREATER_EQUAL)
BINARY (and, AND)
BINARY (or, OR)
BINARY (xor, XOR)

static int
fold_where (struct call *c)
{
  const struct onnx_const *q = c->in[0], *a = c->in[1], *b = c->in[2];
  int64_t sq[QK_MAX_DIMS], sa[QK_MAX_DIMS], sb[QK_MAX_DIMS], i;
  struct qk_shape ab, s;
  int r;

  if (a->real != b->real || !broadcast_shape (&a->shape, &b->shape, &ab)
      || !broadcast_shape (&q->shape, &ab, &s)
      || !broadcast_steps (&q->shape, &s, sq)
      || !broadcast_steps (&a->shape, &s, sa)
      || !broadcast_steps (&b->shape, &s, sb))
    return LEAVE;
  r = make_like (c, a, &s);
  for (i = 0; r == 0 && i < c->out[0]->n; i++)
    if (get (q, index_of (&s, sq, i)) != 0)
      move (c->out[0], i, a, index_of (&s, sa, i));
    else
      move (c->out[0], i, b, index_of (&s, sb, i));
  return r;
}

static int
unary (struct call *c, double (*f) (double))
{
  const struct onnx_const *in = c->in[0];
  int64_t i;
  int r = make_like (c, in, &in->shape);

  for (i = 0; r == 0 && i < in->n; i++)
    put (c->out[0], i, f (get (in, i)));
  return r;
}

static double
negative (double x)
{
  return -x;
}

static double
reciprocal (double x)
{
  return 1 / x;
}

static double
sigmoid (double x)
{
  return 1 / (1 + exp (-x));
}

static double
negation (double x)
{
  return x == 0;
}

static double
rectified (double x)
{
  return x > 0 ? x : 0;
}

static double
sign_of (double x)
{
  return x > 0 ? 1 : x < 0 ? -1 : 0;
}

#define UNARY(name, f)                                                        \
  static int fold_##name (struct call *c) { return unary (c, f); }
UNARY (neg, negative)
UNARY (abs, fabs)
UNARY (sqrt, sqrt)
UNARY (exp, exp)
UNARY (log, log)
UNARY (floor, floor)
UNARY (ceil, ceil)
UNARY (round, rint)
UNARY (erf, erf)
UNARY (reciprocal, reciprocal)
UNARY (sigmoid, sigmoid)
UNARY (tanh, tanh)
UNARY (sin, sin)
UNARY (cos, cos)
UNARY (not, negation)
UNARY (relu, rectified)
UNARY (sign, sign_of)

/* ---- reductions ----------------------------------------------------------------------- */

static int
reduce (struct call *c, int kind)
{
  const struct onnx_const *in = c->in[0];
  struct qk_shape s = in->shape, kept;
  int64_t axes[QK_MAX_DIMS], own[QK_MAX_DIMS], count = 1, i;
  bool gone[QK_MAX_DIMS] = { false };
  const bool keep = net_attr_int (c->nd, "keepdims", 1) != 0;
  int k, r, n = ints (c, 1, "axes", axes);
  struct onnx_const *out;

  for (k = 0; k < (n < 0 ? s.ndim : n); k++) {
    const int a = n < 0 ? k : net_axis (axes[k], s.ndim);

    if (a < 0)
      return LEAVE;
    gone[a] = true;
    count *= s.dims[a];
    s.dims[a] = 1;
  }
  if ((r = make_like (c, in, &s)) != 0)
    return r;
  out = c->out[0];
  steps_of (&s, own);
  for (k = 0; k < s.ndim; k++)
    own[k] = gone[k] ? 0 : own[k];
  for (i = 0; i < out->n; i++)
    put (out, i,
         kind == 'p'   ? 1
         : kind == 'x' ? -HUGE_VAL
         : kind == 'n' ? HUGE_VAL
                       : 0);
  if (!in->real && (kind == 'x' || kind == 'n'))
    for (i = 0; i < out->n; i++)
      out->i[i] = kind == 'x' ? INT64_MIN : INT64_MAX;
  for (i = 0; i < in->n; i++) {
    const int64_t to = index_of (&in->shape, own, i);
    const double x = get (in, i), y = get (out, to);

    put (out, to,
         kind == 'p'   ? y * x
         : kind == 'x' ? (x > y ? x : y)
         : kind == 'n' ? (x < y ? x : y)
                       : y + x);
  }
  for (i = 0; kind == 'm' && i < out->n; i++)
    put (out, i, get (out, i) / (double) count);
  kept.ndim = 0;
  for (k = 0; k < s.ndim; k++)
    if (keep || !gone[k])
      kept.dims[kept.ndim++] = s.dims[k];
  out->shape = kept;
  return 0;
}

#define REDUCE(name, kind)                                                    \
  static int fold_reduce_##name (struct call *c) { return reduce (c, kind); }
REDUCE (prod, 'p')
REDUCE (sum, 's')
REDUCE (max, 'x')
REDUCE (min, 'n')
REDUCE (mean, 'm')

/* ---- foreign quantization -------------------------------------------------------------- */

static int
fold_dequantize (struct call *c)
{
  const struct onnx_const *in = c->in[0], *scale = c->in[1], *zero = c->in[2];
  int64_t inner = 1, size = 1, i;
  const int axis = net_axis (net_attr_int (c->nd, "axis", 1), in->shape.ndim);
  int k, r;

  if (in->real || !scale->real || net_attr_int (c->nd, "block_size", 0) != 0)
    return LEAVE;
  if (scale->n > 1) {
    if (axis < 0 || scale->n != in->shape.dims[axis])
      return LEAVE;
    size = scale->n;
    for (k = axis + 1; k < in->shape.ndim; k++)
      inner *= in->shape.dims[k];
  }
  if (zero != NULL && zero->n != scale->n)
    return LEAVE;
  r = make (c, true, &in->shape);
  for (i = 0; r == 0 && i < in->n; i++) {
    const int64_t s = scale->n > 1 ? i / inner % size : 0;

    c->out[0]->f[i]
      = (float) (in->i[i] - (zero != NULL ? zero->i[s] : 0)) * scale->f[s];
  }
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
  { "DequantizeLinear", 2, 3, fold_dequantize },
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
  if (r == 0)
    nd->gone = true;
  return r < 0 ? r : 0;
}
