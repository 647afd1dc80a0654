/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fold-move.c: constants cut, put together, and in another order. */
#include "config.h"

#include <string.h>

#include "fold-priv.h"

int
fold_identity (struct call *c)
{
  return onnx_const_copy (c->in[0], &c->out[0]);
}

int
fold_cast (struct call *c)
{
  const int type = (int) net_attr_int (c->nd, "to", 1);
  const bool real = onnx_type_is_real (type);
  const struct onnx_const *in = c->in[0];
  int64_t i;
  int r = fold_make (c, real, &in->shape);

  if (r != 0)
    return r;
  c->out[0]->type = type;
  for (i = 0; i < in->n; i++)
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL)
      c->out[0]->i[i] = fold_get (in, i) != 0;
    else if (real)
      c->out[0]->f[i] = (float) fold_get (in, i);
    else if (in->real)
      fold_put (c->out[0], i, (double) in->f[i]);
    else
      c->out[0]->i[i] = in->i[i];
  return 0;
}

int
fold_reshape (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  struct qk_shape s = { 0, { 0 } };
  int64_t rest = in->n;
  int i, free_axis = -1;
  const int n = fold_ints (c, 1, "shape", s.dims);

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
  return fold_reshape_to (c, in, &s);
}

int
fold_flatten (struct call *c)
{
  const struct qk_shape *in = &c->in[0]->shape;
  struct qk_shape s = { 2, { 1, 1 } };
  int64_t axis = net_attr_int (c->nd, "axis", 1);
  int i;

  axis = axis < 0 ? axis + in->ndim : axis;
  for (i = 0; i < in->ndim; i++)
    s.dims[i >= axis] *= in->dims[i];
  return fold_reshape_to (c, c->in[0], &s);
}

int
fold_unsqueeze (struct call *c)
{
  const struct qk_shape *in = &c->in[0]->shape;
  struct qk_shape s = { 0, { 0 } };
  bool added[QK_MAX_DIMS] = { false };
  int64_t axes[QK_MAX_DIMS];
  int i, k, at = 0;
  const int n = fold_ints (c, 1, "axes", axes);

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
  return fold_reshape_to (c, c->in[0], &s);
}

int
fold_squeeze (struct call *c)
{
  const struct qk_shape *in = &c->in[0]->shape;
  struct qk_shape s = { 0, { 0 } };
  bool gone[QK_MAX_DIMS] = { false };
  int64_t axes[QK_MAX_DIMS];
  int i, k;
  const int n = fold_ints (c, 1, "axes", axes);

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
  return fold_reshape_to (c, c->in[0], &s);
}

int
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
  fold_steps (&in->shape, own);
  for (k = 0; k < n; k++) {
    if (perm[k] < 0 || perm[k] >= n)
      return LEAVE;
    s.dims[k] = in->shape.dims[perm[k]];
    step[k] = own[perm[k]];
  }
  if ((r = fold_make_like (c, in, &s)) == 0)
    for (i = 0; i < in->n; i++)
      fold_copy_one (c->out[0], i, in, fold_index (&s, step, i));
  return r;
}

int
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
  if ((r = fold_make_like (c, first, &s)) != 0)
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
        fold_copy_one (c->out[0], o * row + at + k, part, o * n + k);
    at += n;
  }
  return 0;
}

int
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
  if ((r = fold_make_like (c, in, &s)) != 0)
    return r;
  for (o = 0; o < outer; o++)
    for (j = 0; j < index->n; j++) {
      int64_t at = index->i[j];

      at += at < 0 ? in->shape.dims[axis] : 0;
      if (at < 0 || at >= in->shape.dims[axis])
        return LEAVE;
      for (k = 0; k < inner; k++)
        fold_copy_one (c->out[0], (o * index->n + j) * inner + k, in,
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
  *start = *start < 0 ? low : *start > high ? high : *start;
  end = end < low ? low : end > size ? size : end;
  if (step > 0)
    return end > *start ? (end - *start + step - 1) / step : 0;
  return *start > end ? (*start - end - step - 1) / -step : 0;
}

int
fold_slice (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  int64_t start[QK_MAX_DIMS], end[QK_MAX_DIMS], axes[QK_MAX_DIMS];
  int64_t step[QK_MAX_DIMS], own[QK_MAX_DIMS], first = 0, i;
  struct qk_shape s = in->shape;
  int n, k, r, given;

  n = fold_ints (c, 1, "starts", start);
  if (n < 0 || fold_ints (c, 2, "ends", end) != n)
    return LEAVE;
  given = fold_ints (c, 3, "axes", axes);
  fold_steps (&in->shape, own);
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
  if ((r = fold_make_like (c, in, &s)) == 0)
    for (i = 0; i < c->out[0]->n; i++)
      fold_copy_one (c->out[0], i, in, first + fold_index (&s, step, i));
  return r;
}

int
fold_expand (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  struct qk_shape want = { 0, { 0 } }, s;
  int64_t step[QK_MAX_DIMS], i;
  const int n = fold_ints (c, 1, NULL, want.dims);
  int r;

  if (n < 0)
    return LEAVE;
  want.ndim = n;
  if (!fold_broadcast_shape (&in->shape, &want, &s)
      || !fold_broadcast_steps (&in->shape, &s, step))
    return LEAVE;
  if ((r = fold_make_like (c, in, &s)) == 0)
    for (i = 0; i < c->out[0]->n; i++)
      fold_copy_one (c->out[0], i, in, fold_index (&s, step, i));
  return r;
}

int
fold_tile (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  struct qk_shape s = in->shape;
  int64_t times[QK_MAX_DIMS], own[QK_MAX_DIMS], i;
  int k, r;

  if (fold_ints (c, 1, NULL, times) != s.ndim)
    return LEAVE;
  for (k = 0; k < s.ndim; k++)
    if (times[k] < 0
        || __builtin_mul_overflow (s.dims[k], times[k], &s.dims[k]))
      return LEAVE;
  fold_steps (&in->shape, own);
  if ((r = fold_make_like (c, in, &s)) != 0)
    return r;
  for (i = 0; i < c->out[0]->n; i++) {
    int64_t at = i, from = 0;

    for (k = s.ndim - 1; k >= 0; k--) {
      from += at % s.dims[k] % in->shape.dims[k] * own[k];
      at /= s.dims[k];
    }
    fold_copy_one (c->out[0], i, in, from);
  }
  return 0;
}

int
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
  fold_steps (&in->shape, own);
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
      fold_copy_one (c->out[0], to + k, upd, i * run + k);
  }
  return 0;
}

int
fold_split (struct call *c)
{
  const struct onnx_const *in = c->in[0];
  int64_t part[QK_MAX_DIMS], own[QK_MAX_DIMS], first = 0, i;
  const int axis = net_axis (net_attr_int (c->nd, "axis", 0), in->shape.ndim);
  int k, r, n = fold_ints (c, 1, "split", part);

  if (axis < 0 || c->nd->n_out > QK_MAX_DIMS)
    return LEAVE;
  if (n < 0)
    for (n = 0; n < c->nd->n_out; n++)
      part[n] = (in->shape.dims[axis] + c->nd->n_out - 1) / c->nd->n_out;
  if (n != c->nd->n_out)
    return LEAVE;
  fold_steps (&in->shape, own);
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
      fold_copy_one (c->out[k], i, in,
                     first * own[axis] + fold_index (&s, own, i));
    first += s.dims[axis];
  }
  return 0;
}
