/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* shape.c: operators that move elements, or put tensors together. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lay.h"

/* ---- views only ---------------------------------------------------------------------- */

/* View input 0 as SHAPE. */
static int
view_as (struct lay *l, struct net_node *nd, const struct view *v,
         const struct qk_shape *shape)
{
  struct qk_shape own;
  struct view out;
  int r;

  view_shape (l, v, &own);
  if (qk_shape_count (&own) != qk_shape_count (shape)) {
    char a[120], b[120];

    return net_error (l->n, nd, -EBADMSG, "cannot make %s of %s",
                      qk_shape_print (shape, b, sizeof b),
                      qk_shape_print (&own, a, sizeof a));
  }
  if ((r = view_reshape (l, nd, v, shape, &out)) == 0)
    lay_output (l, nd, 0, &out);
  return r;
}

int
lay_reshape (struct lay *l, struct net_node *nd)
{
  const bool zero = net_attr_int (nd, "allowzero", 0) != 0;
  struct qk_shape s = { 0, { 0 } }, own;
  struct view v;
  int64_t rest;
  int i, n, open = -1, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  if (nd->n_in > 1)
    n = net_ints (l->n, nd, 1, s.dims, QK_MAX_DIMS);
  else
    n = net_attr_ints (nd, "shape", s.dims, QK_MAX_DIMS);
  if (n < 0)
    return nd->n_in > 1 ? n : net_error (l->n, nd, -EBADMSG, "has no shape");
  view_shape (l, &v, &own);
  rest = qk_shape_count (&own);
  for (i = 0; i < n; i++) {
    if (s.dims[i] == 0 && !zero && i < own.ndim)
      s.dims[i] = own.dims[i];
    if (s.dims[i] == -1 && open < 0)
      open = i;
    else if (s.dims[i] > 0)
      rest /= s.dims[i];
    else
      return net_error (l->n, nd, -EBADMSG, "axis %d of its shape is %lld", i,
                        (long long) s.dims[i]);
  }
  if (open >= 0)
    s.dims[open] = rest;
  s.ndim = n;
  return view_as (l, nd, &v, &s);
}

int
lay_flatten (struct lay *l, struct net_node *nd)
{
  struct qk_shape s = { 2, { 1, 1 } }, own;
  struct view v;
  int64_t axis;
  int i, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  view_shape (l, &v, &own);
  axis = net_attr_int (nd, "axis", 1);
  axis += axis < 0 ? own.ndim : 0;
  for (i = 0; i < own.ndim; i++)
    s.dims[i >= axis] *= own.dims[i];
  return view_as (l, nd, &v, &s);
}

int
lay_transpose (struct lay *l, struct net_node *nd)
{
  int64_t perm[QK_MAX_DIMS];
  struct view v, out;
  unsigned seen = 0;
  int i, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  r = net_attr_ints (nd, "perm", perm, QK_MAX_DIMS);
  for (i = 0; r < 0 && i < v.ndim; i++)
    perm[i] = v.ndim - 1 - i;
  out = v;
  for (i = 0; i < v.ndim; i++) {
    if ((r >= 0 && r != v.ndim) || perm[i] < 0 || perm[i] >= v.ndim
        || (seen & 1u << perm[i]))
      return net_error (l->n, nd, -EBADMSG,
                        "attribute 'perm' is no order of %d axes", v.ndim);
    seen |= 1u << perm[i];
    out.axis[i] = v.axis[perm[i]];
  }
  lay_output (l, nd, 0, &out);
  return 0;
}

int
lay_axes (struct lay *l, struct net_node *nd, int64_t *axes)
{
  int n = net_attr_ints (nd, "axes", axes, QK_MAX_DIMS);

  if (n < 0 && nd->n_in > 1 && nd->in[1] >= 0)
    n = net_ints (l->n, nd, 1, axes, QK_MAX_DIMS);
  else if (n < 0)
    n = -1;
  return n;
}

int
lay_unsqueeze (struct lay *l, struct net_node *nd)
{
  bool added[QK_MAX_DIMS] = { false };
  int64_t axes[QK_MAX_DIMS];
  struct view v, out;
  int i, k, n, at = 0, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  n = lay_axes (l, nd, axes);
  if (n < 0 || v.ndim + n > QK_MAX_DIMS)
    return net_error (l->n, nd, -ENOTSUP,
                      "its axes are not known, or more "
                      "than %d",
                      QK_MAX_DIMS);
  memset (&out, 0, sizeof out);
  out.id = v.id;
  out.ndim = v.ndim + n;
  for (i = 0; i < n; i++) {
    if ((k = net_axis (axes[i], out.ndim)) < 0 || added[k])
      return net_error (l->n, nd, -EBADMSG, "axis %lld of %d",
                        (long long) axes[i], out.ndim);
    added[k] = true;
  }
  for (i = 0; i < out.ndim; i++)
    if (!added[i])
      out.axis[i] = v.axis[at++];
  lay_output (l, nd, 0, &out);
  return 0;
}

/* Leave out the file's axis A, whose size is 1: what of ours it had goes to
 * no axis, but for the batch. */
static int
drop_axis (struct lay *l, struct net_node *nd, struct view *v, int a)
{
  int i;

  if (view_size (l, v, a) != 1)
    return net_error (l->n, nd, -EBADMSG, "axis %d has size %lld, expected 1",
                      a, (long long) view_size (l, v, a));
  if (view_has_batch (v, a) && v->ndim > 1) {
    struct group *g = &v->axis[a > 0 ? a - 1 : 1];

    if (g->n == QK_MAX_DIMS)
      return net_error (l->n, nd, -ENOTSUP, "needs too many axes");
    memmove (g->of + 1, g->of, sizeof *g->of * (size_t) g->n);
    g->of[0] = 0;
    g->n++;
  }
  for (i = a; i + 1 < v->ndim; i++)
    v->axis[i] = v->axis[i + 1];
  v->ndim--;
  return 0;
}

int
lay_squeeze (struct lay *l, struct net_node *nd)
{
  bool gone[QK_MAX_DIMS] = { false };
  int64_t axes[QK_MAX_DIMS];
  struct view v;
  int i, k, n, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  n = lay_axes (l, nd, axes);
  for (i = 0; i < v.ndim && n == -1; i++)
    gone[i] = view_size (l, &v, i) == 1 && !view_is_batch (&v, i);
  for (i = 0; i < n; i++) {
    if ((k = net_axis (axes[i], v.ndim)) < 0)
      return net_error (l->n, nd, -EBADMSG, "axis %lld of %d",
                        (long long) axes[i], v.ndim);
    gone[k] = true;
  }
  for (i = v.ndim - 1; i >= 0; i--)
    if (gone[i] && (r = drop_axis (l, nd, &v, i)) < 0)
      return r;
  lay_output (l, nd, 0, &v);
  return 0;
}

/* ---- concat ------------------------------------------------------------------------------- */

#define PARTS 16 /* that a node takes */

/* Put the N values ID side by side along our axis A, in several steps where
 * they are many. */
static int
concat (struct lay *l, struct net_node *nd, int *id, int n, int a, int ndim)
{
  while (n > 1) {
    int made = 0, at;

    for (at = 0; at < n; at += PARTS) {
      const int part = n - at < PARTS ? n - at : PARTS;
      int r = id[at];

      if (part > 1)
        r = a == ndim - 1
              ? lay_node (l, nd, "concat", id + at, part, "%s", "")
              : lay_node (l, nd, "concat", id + at, part, "axis=%d", a);
      if (r < 0)
        return r;
      id[made++] = r;
    }
    n = made;
  }
  return id[0];
}

/* The input with the most elements, whose order of axes all get. */
static int
concat_leader (struct lay *l, struct net_node *nd, struct view *leader)
{
  int i, found = -1;
  int64_t most = -1;

  for (i = 0; i < nd->n_in; i++) {
    const struct view *v
      = nd->in[i] >= 0 ? &l->n->value[nd->in[i]].view : NULL;

    if (v == NULL || v->id < 0 || qk_shape_count (view_ours (l, v)) <= most)
      continue;
    most = qk_shape_count (view_ours (l, v));
    *leader = *v;
    found = i;
  }
  return found >= 0
           ? found
           : net_error (l->n, nd, -ENOTSUP, "no input depends on the data");
}

int
lay_concat (struct lay *l, struct net_node *nd)
{
  struct view leader, v;
  int order[QK_MAX_DIMS], *id, axis, ours, i, r;

  if ((r = concat_leader (l, nd, &leader)) < 0)
    return r;
  axis = net_axis (net_attr_int (nd, "axis", 1), leader.ndim);
  if (axis < 0)
    return net_error (l->n, nd, -EBADMSG, "its axis is not one of %d",
                      leader.ndim);
  if (view_has_batch (&leader, axis))
    return net_error (l->n, nd, -ENOTSUP,
                      "puts samples of the batch together");
  view_order (&leader, order);
  if ((id = calloc ((size_t) nd->n_in + 1, sizeof *id)) == NULL)
    return qk_oom ("%s", nd->name);
  if ((r = view_arrange (l, nd, &leader, leader.ndim, order, &leader)) < 0)
    goto end;
  ours = view_axis (&leader, axis);
  for (i = 0; i < nd->n_in; i++) {
    const struct net_value *in;

    if (nd->in[i] < 0) {
      r = net_error (l->n, nd, -EBADMSG, "input %d is missing", i);
      goto end;
    }
    in = &l->n->value[nd->in[i]];
    if (in->view.id < 0)
      r = id[i]
        = view_constant (l, nd, nd->in[i], &leader, leader.ndim, order);
    else if ((r = view_arrange (l, nd, &in->view, leader.ndim, order, &v))
             == 0)
      id[i] = v.id;
    if (r < 0)
      goto end;
  }
  r = leader.id
    = concat (l, nd, id, nd->n_in, ours, view_ours (l, &leader)->ndim);
  if (r >= 0)
    lay_output (l, nd, 0, &leader);
end:
  free (id);
  return r < 0 ? r : 0;
}

/* ---- slice ---------------------------------------------------------------------------------- */

struct cut {
  int64_t start[QK_MAX_DIMS], end[QK_MAX_DIMS], step[QK_MAX_DIMS];
};

/* Nothing of V, whose axes of the file are one of ours each, cut away. */
static void
no_cut (const struct lay *l, const struct view *v, struct cut *c)
{
  const struct qk_shape *s = view_ours (l, v);
  int i;

  for (i = 0; i < s->ndim; i++) {
    c->start[i] = 0;
    c->end[i] = s->dims[i];
    c->step[i] = 1;
  }
}

static int
cut (struct lay *l, struct net_node *nd, struct view *v, const struct cut *c)
{
  const int n = view_ours (l, v)->ndim - 1;
  char a[LAY_LIST], b[LAY_LIST], s[LAY_LIST];
  const int id
    = lay_node (l, nd, "slice", &v->id, 1, "starts=%s ends=%s steps=%s",
                lay_list (c->start + 1, n, a), lay_list (c->end + 1, n, b),
                lay_list (c->step + 1, n, s));

  v->id = id;
  return id < 0 ? id : 0;
}

/* starts, ends, axes, steps: inputs since opset 10, attributes before. */
static int
read_cut (struct lay *l, struct net_node *nd, int ndim, int64_t *start,
          int64_t *end, int64_t *axes, int64_t *step)
{
  int n, i, given, steps = 0;

  if (nd->n_in > 1) {
    n = net_ints (l->n, nd, 1, start, QK_MAX_DIMS);
    if (n < 0 || net_ints (l->n, nd, 2, end, QK_MAX_DIMS) != n)
      return n < 0 ? n
                   : net_error (l->n, nd, -ENOTSUP,
                                "its ends are not "
                                "known");
    if ((given = net_ints (l->n, nd, 3, axes, QK_MAX_DIMS)) < 0
        || (steps = net_ints (l->n, nd, 4, step, QK_MAX_DIMS)) < 0)
      return given < 0 ? given : steps;
  } else {
    n = net_attr_ints (nd, "starts", start, QK_MAX_DIMS);
    if (net_attr_ints (nd, "ends", end, QK_MAX_DIMS) != n || n < 0)
      return net_error (l->n, nd, -EBADMSG, "starts and ends differ");
    given = net_attr_ints (nd, "axes", axes, QK_MAX_DIMS);
    given = given < 0 ? 0 : given;
  }
  if ((given != 0 && given != n) || (steps != 0 && steps != n) || n > ndim)
    return net_error (l->n, nd, -EBADMSG,
                      "%d starts, but %d axes and %d steps", n, given, steps);
  for (i = 0; i < n; i++) {
    axes[i] = net_axis (given > 0 ? axes[i] : i, ndim);
    step[i] = steps > 0 ? step[i] : 1;
    if (axes[i] < 0 || step[i] == 0)
      return net_error (l->n, nd, -EBADMSG, "axis or step of start %d", i);
  }
  return n;
}

int
lay_slice (struct lay *l, struct net_node *nd)
{
  int64_t start[QK_MAX_DIMS], end[QK_MAX_DIMS], axes[QK_MAX_DIMS];
  int64_t step[QK_MAX_DIMS];
  bool whole = true;
  struct view v;
  struct cut c;
  int i, n, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (n = read_cut (l, nd, v.ndim, start, end, axes, step)) < 0)
    return r < 0 ? r : n;
  if ((r = view_single (l, nd, &v, &v)) < 0)
    return r;
  no_cut (l, &v, &c);
  for (i = 0; i < n; i++) {
    const int a = (int) axes[i], ours = view_axis (&v, a);
    const int64_t size = view_size (l, &v, a);

    if (step[i] == 1 && (start[i] == 0 || start[i] <= -size) && end[i] >= size)
      continue;
    if (ours < 0)
      return net_error (l->n, nd, -ENOTSUP, "cuts samples out of the batch");
    whole = false;
    c.start[ours] = start[i];
    c.end[ours] = end[i];
    c.step[ours] = step[i];
  }
  if (!whole && (r = cut (l, nd, &v, &c)) < 0)
    return r;
  lay_output (l, nd, 0, &v);
  return 0;
}

int
lay_split (struct lay *l, struct net_node *nd)
{
  int64_t part[64], first = 0, size;
  struct view v;
  int axis, ours, i, n, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  axis = net_axis (net_attr_int (nd, "axis", 0), v.ndim);
  net_attr_int (nd, "num_outputs", 0);
  if (axis < 0 || (r = view_single (l, nd, &v, &v)) < 0
      || (ours = view_axis (&v, axis)) < 0 || nd->n_out > 64)
    return r < 0 ? r
                 : net_error (l->n, nd, -ENOTSUP,
                              "splits axis %d, expected one that is not the "
                              "batch",
                              axis);
  size = view_size (l, &v, axis);
  n = net_attr_ints (nd, "split", part, 64);
  if (n < 0 && nd->n_in > 1 && nd->in[1] >= 0
      && (n = net_ints (l->n, nd, 1, part, 64)) < 0)
    return n;
  for (i = 0; n < 0 && i < nd->n_out; i++)
    part[i] = (size + nd->n_out - 1) / nd->n_out;
  if (n >= 0 && n != nd->n_out)
    return net_error (l->n, nd, -EBADMSG, "%d sizes for %d outputs", n,
                      nd->n_out);
  for (i = 0; i < nd->n_out; i++) {
    struct view out = v;
    struct cut c;

    if (part[i] > size - first)
      part[i] = size - first;
    no_cut (l, &v, &c);
    c.start[ours] = first;
    c.end[ours] = first += part[i];
    if (nd->out[i] < 0 || l->n->value[nd->out[i]].uses == 0)
      continue;
    if ((r = cut (l, nd, &out, &c)) < 0)
      return r;
    lay_output (l, nd, i, &out);
  }
  return 0;
}

/* ---- gather ------------------------------------------------------------------------------------ */

/* "3,1,2" of any length; to be freed. */
static char *
long_list (const int64_t *x, int64_t n)
{
  char *text = malloc ((size_t) n * 21 + 1);
  size_t at = 0;
  int64_t i;

  for (i = 0; text != NULL && i < n; i++)
    at += (size_t) sprintf (text + at, "%s%lld", i > 0 ? "," : "",
                            (long long) x[i]);
  return text;
}

static int
gather (struct lay *l, struct net_node *nd, struct view *v, int ours,
        const int64_t *index, int64_t n)
{
  char *text;
  int64_t i;
  int id;

  for (i = 1; i < n && index[i] == index[0] + i; i++)
    continue;
  if (i == n) { /* neighbours */
    struct cut c;

    no_cut (l, v, &c);
    c.start[ours] = index[0];
    c.end[ours] = index[0] + n;
    return cut (l, nd, v, &c);
  }
  if ((text = long_list (index, n)) == NULL)
    return qk_oom ("%s", nd->name);
  id = lay_node (l, nd, "gather", &v->id, 1, "axis=%d indices=%s", ours, text);
  free (text);
  v->id = id;
  return id < 0 ? id : 0;
}

int
lay_gather (struct lay *l, struct net_node *nd)
{
  const struct onnx_const *c;
  struct view v;
  int64_t *index, i, size;
  int axis, ours, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = lay_known (l, nd, 1, false, &c)) < 0
      || (r = view_single (l, nd, &v, &v)) < 0)
    return r;
  axis = net_axis (net_attr_int (nd, "axis", 0), v.ndim);
  if (axis < 0 || c->real || c->n < 1 || c->shape.ndim > 1
      || (ours = view_axis (&v, axis)) < 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "its indices have %d axes, and axis %d is not one of "
                      "%d behind the batch",
                      c->shape.ndim, axis, v.ndim);
  size = view_size (l, &v, axis);
  if ((index = malloc (sizeof *index * (size_t) c->n)) == NULL)
    return qk_oom ("%s", nd->name);
  for (i = 0, r = 0; i < c->n && r == 0; i++) {
    index[i] = c->i[i] < 0 ? c->i[i] + size : c->i[i];
    if (index[i] < 0 || index[i] >= size)
      r = net_error (l->n, nd, -EBADMSG, "index %lld of %lld",
                     (long long) c->i[i], (long long) size);
  }
  if (r == 0)
    r = gather (l, nd, &v, ours, index, c->n);
  free (index);
  if (r == 0 && c->shape.ndim == 0)
    r = drop_axis (l, nd, &v, axis);
  if (r == 0)
    lay_output (l, nd, 0, &v);
  return r;
}

/* ---- pad, expand, tile ---------------------------------------------------------------------------- */

int
lay_pad (struct lay *l, struct net_node *nd)
{
  char buf[NET_WORD], a[LAY_LIST], b[LAY_LIST];
  const char *mode = net_attr_string (nd, "mode", "constant", buf);
  int64_t pads[2 * QK_MAX_DIMS], axes[QK_MAX_DIMS];
  int64_t before[QK_MAX_DIMS] = { 0 }, after[QK_MAX_DIMS] = { 0 };
  double value = (double) net_attr_float (nd, "value", 0);
  struct view v;
  bool any = false;
  int i, n, given = 0, id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_single (l, nd, &v, &v)) < 0)
    return r;
  n = net_attr_ints (nd, "pads", pads, 2 * QK_MAX_DIMS);
  if (n < 0) {
    if ((n = net_ints (l->n, nd, 1, pads, 2 * QK_MAX_DIMS)) < 0
        || (given = net_ints (l->n, nd, 3, axes, QK_MAX_DIMS)) < 0)
      return n < 0 ? n : given;
    if (nd->n_in > 2 && nd->in[2] >= 0
        && !net_scalar (l->n, nd->in[2], &value))
      return net_error (l->n, nd, -ENOTSUP, "its value is no constant");
  }
  if (n != 2 * (given > 0 ? given : v.ndim))
    return net_error (l->n, nd, -EBADMSG, "%d pads for %d axes", n, v.ndim);
  for (i = 0; i < n / 2; i++) {
    const int axis = given > 0 ? net_axis (axes[i], v.ndim) : i;
    const int ours = axis < 0 ? -1 : view_axis (&v, axis);

    if (pads[i] == 0 && pads[n / 2 + i] == 0)
      continue;
    if (ours < 0)
      return net_error (l->n, nd, -ENOTSUP, "pads the batch");
    before[ours] = pads[i];
    after[ours] = pads[n / 2 + i];
    any = true;
  }
  if (any) {
    n = view_ours (l, &v)->ndim - 1;
    id = lay_node (
      l, nd, "pad", &v.id, 1, "before=%s after=%s mode=%s value=%.9g",
      lay_list (before + 1, n, a), lay_list (after + 1, n, b), mode, value);
    if (id < 0)
      return id;
    v.id = id;
  }
  lay_output (l, nd, 0, &v);
  return 0;
}

/* Input 0 with as many axes as N, and one of ours for each. */
static int
with_axes (struct lay *l, struct net_node *nd, int n, struct view *v)
{
  int order[QK_MAX_DIMS], r;

  if ((r = lay_input (l, nd, 0, v)) < 0)
    return r;
  if (n > v->ndim) {
    struct qk_shape s = { n, { 0 } };
    int i;

    for (i = 0; i < n; i++)
      s.dims[i] = i < n - v->ndim ? 1 : view_size (l, v, i - n + v->ndim);
    if ((r = view_reshape (l, nd, v, &s, v)) < 0)
      return r;
  }
  view_order (v, order);
  return view_arrange (l, nd, v, v->ndim, order, v);
}

int
lay_expand (struct lay *l, struct net_node *nd)
{
  int64_t want[QK_MAX_DIMS];
  struct qk_shape ours;
  char text[LAY_LIST];
  struct view v;
  bool grows = false;
  int i, n, id, r;

  if ((n = net_ints (l->n, nd, 1, want, QK_MAX_DIMS)) < 0
      || (r = with_axes (l, nd, n, &v)) < 0)
    return n < 0 ? n : r;
  ours = *view_ours (l, &v);
  for (i = 0; i < n; i++) {
    const int a = v.ndim - n + i;
    const int64_t size = view_size (l, &v, a);

    if (want[i] == size || want[i] == 1)
      continue;
    if (size != 1 || view_axis (&v, a) < 0)
      return net_error (l->n, nd, -ENOTSUP,
                        "axis %d of size %lld becomes %lld", a,
                        (long long) size, (long long) want[i]);
    ours.dims[view_axis (&v, a)] = want[i];
    grows = true;
  }
  if (grows) {
    id = lay_node (l, nd, "expand", &v.id, 1, "shape=%s",
                   lay_list (ours.dims + 1, ours.ndim - 1, text));
    if (id < 0)
      return id;
    v.id = id;
  }
  lay_output (l, nd, 0, &v);
  return 0;
}

int
lay_tile (struct lay *l, struct net_node *nd)
{
  int64_t times[QK_MAX_DIMS], ours[QK_MAX_DIMS];
  char text[LAY_LIST];
  struct view v;
  bool grows = false;
  int i, n, id, r;

  if ((n = net_ints (l->n, nd, 1, times, QK_MAX_DIMS)) < 0
      || (r = with_axes (l, nd, n, &v)) < 0)
    return n < 0 ? n : r;
  if (n != v.ndim)
    return net_error (l->n, nd, -EBADMSG, "%d repeats of %d axes", n, v.ndim);
  for (i = 0; i < QK_MAX_DIMS; i++)
    ours[i] = 1;
  for (i = 0; i < n; i++) {
    if (times[i] == 1)
      continue;
    if (view_axis (&v, i) < 0 || times[i] < 1)
      return net_error (l->n, nd, -ENOTSUP, "repeats axis %d %lld times", i,
                        (long long) times[i]);
    ours[view_axis (&v, i)] = times[i];
    grows = true;
  }
  if (grows) {
    id = lay_node (l, nd, "tile", &v.id, 1, "repeats=%s",
                   lay_list (ours + 1, view_ours (l, &v)->ndim - 1, text));
    if (id < 0)
      return id;
    v.id = id;
  }
  lay_output (l, nd, 0, &v);
  return 0;
}
