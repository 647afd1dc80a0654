/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* view.c: where the axes of the file's tensors are in ours. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lay.h"

/* ---- looking at views --------------------------------------------------------- */

const struct qk_shape *
view_ours (const struct lay *l, const struct view *v)
{
  return qk_graph_shape (l->g, v->id);
}

/* Elements along our axis A, the batch as in the file. */
static int64_t
our_size (const struct lay *l, const struct view *v, int a)
{
  return a == 0 ? l->n->batch : view_ours (l, v)->dims[a];
}

int64_t
view_size (const struct lay *l, const struct view *v, int a)
{
  int64_t n = 1;
  int i;

  for (i = 0; i < v->axis[a].n; i++)
    n *= our_size (l, v, v->axis[a].of[i]);
  return n;
}

void
view_shape (const struct lay *l, const struct view *v, struct qk_shape *out)
{
  int i;

  out->ndim = v->ndim;
  for (i = 0; i < v->ndim; i++)
    out->dims[i] = view_size (l, v, i);
}

void
view_plain (struct view *v, int id, int ndim)
{
  int i;

  memset (v, 0, sizeof *v);
  v->id = id;
  v->ndim = ndim;
  for (i = 0; i < ndim; i++) {
    v->axis[i].n = 1;
    v->axis[i].of[0] = i;
  }
}

bool
view_has_batch (const struct view *v, int a)
{
  int i;

  for (i = 0; i < v->axis[a].n; i++)
    if (v->axis[a].of[i] == 0)
      return true;
  return false;
}

bool
view_is_batch (const struct view *v, int a)
{
  return v->axis[a].n == 1 && v->axis[a].of[0] == 0;
}

int
view_axis (const struct view *v, int a)
{
  return v->axis[a].n == 1 && v->axis[a].of[0] != 0 ? v->axis[a].of[0] : -1;
}

int
lay_input (struct lay *l, const struct net_node *nd, int i, struct view *out)
{
  const struct onnx_const *c;
  const struct net_value *v;
  int r;

  if (i >= nd->n_in || nd->in[i] < 0)
    return net_error (l->n, nd, -EBADMSG, "input %d is missing", i);
  v = &l->n->value[nd->in[i]];
  if ((r = net_known (l->n, nd->in[i], &c)) < 0)
    return r; /* a constant that cannot be read */
  if (v->view.id < 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "input '%.100s' does not depend on the data, expected "
                      "one that does",
                      v->name);
  *out = v->view;
  return 0;
}

int
lay_known (struct lay *l, const struct net_node *nd, int i, bool may_miss,
           const struct onnx_const **out)
{
  int r;

  *out = NULL;
  if (i >= nd->n_in || nd->in[i] < 0)
    return may_miss ? 0
                    : net_error (l->n, nd, -EBADMSG, "input %d is missing", i);
  if ((r = net_known (l->n, nd->in[i], out)) < 0)
    return r;
  if (*out == NULL)
    return net_error (l->n, nd, -ENOTSUP,
                      "input '%.100s' is computed from the data, expected a "
                      "constant",
                      l->n->value[nd->in[i]].name);
  return 0;
}

void
lay_output (struct lay *l, const struct net_node *nd, int i,
            const struct view *v)
{
  if (i < nd->n_out && nd->out[i] >= 0)
    l->n->value[nd->out[i]].view = *v;
}

int
lay_result (struct lay *l, const struct net_node *nd, struct view v, int id)
{
  if (id < 0)
    return id;
  v.id = id;
  lay_output (l, nd, 0, &v);
  return 0;
}

/* ---- arranging ------------------------------------------------------------------ */

void
view_order (const struct view *v, int *order)
{
  int first[QK_MAX_DIMS], i, k;

  for (i = 0; i < v->ndim; i++) {
    first[i] = v->axis[i].n > 0 ? v->axis[i].of[0] : QK_MAX_DIMS + i;
    for (k = i; k > 0 && first[order[k - 1]] > first[i]; k--)
      order[k] = order[k - 1];
    order[k] = i;
  }
}

/* Our axes in the order of the file's axes ORDER, the batch first and those
 * that are in no axis of the file's last. */
static int
sequence (const struct lay *l, const struct view *v, int n, const int *order,
          int *seq)
{
  const int ndim = view_ours (l, v)->ndim;
  bool seen[QK_MAX_DIMS] = { true };
  int i, k, count = 0;

  seq[count++] = 0;
  for (i = 0; i < n; i++)
    for (k = 0; order[i] >= 0 && k < v->axis[order[i]].n; k++) {
      const int a = v->axis[order[i]].of[k];

      if (a == 0 || count == QK_MAX_DIMS)
        continue;
      seen[a] = true;
      seq[count++] = a;
    }
  for (i = 0; i < ndim && count < ndim; i++)
    if (!seen[i])
      seq[count++] = i;
  return count;
}

/* Whether only axes of size 1 change their places. */
static bool
keeps_order (const struct qk_shape *s, int n, const int *seq)
{
  int i, last = -1;

  for (i = 0; i < n; i++) {
    if (i > 0 && s->dims[seq[i]] == 1)
      continue;
    if (seq[i] < last)
      return false;
    last = seq[i];
  }
  return true;
}

/* The value ID with its axes in the order SEQ. */
static int
permute (struct lay *l, const struct net_node *nd, int id, int n,
         const int *seq)
{
  int64_t axes[QK_MAX_DIMS];
  char text[LAY_LIST];
  int i;

  if (keeps_order (qk_graph_shape (l->g, id), n, seq))
    return id;
  for (i = 0; i < n; i++)
    axes[i] = seq[i];
  return lay_helper (l, nd, "permute", id, "axes=%s",
                     lay_list (axes, n, text));
}

/* The value ID, one sample of which has dimensions SHAPE from the second on. */
static int
reshape (struct lay *l, const struct net_node *nd, int id,
         const struct qk_shape *shape)
{
  char text[LAY_LIST];

  if (qk_shape_equal (qk_graph_shape (l->g, id), shape))
    return id;
  return lay_helper (l, nd, "reshape", id, "shape=%s",
                     lay_list (shape->dims + 1, shape->ndim - 1, text));
}

int
view_arrange (struct lay *l, const struct net_node *nd, const struct view *v,
              int n, const int *order, struct view *out)
{
  struct qk_shape shape = { 1, { 1 } };
  struct view to;
  int seq[QK_MAX_DIMS], i, k, id;
  const int count = sequence (l, v, n, order, seq);

  memset (&to, 0, sizeof to);
  to.ndim = v->ndim;
  for (i = 0; i < n; i++) {
    const int a = order[i];
    int64_t size = 1;

    for (k = 0; a >= 0 && k < v->axis[a].n; k++) {
      if (v->axis[a].of[k] == 0 && k > 0 && l->n->batch > 1)
        return net_error (l->n, nd, -ENOTSUP,
                          "mixes samples: the batch is inside axis %d", a);
      size *= v->axis[a].of[k] == 0 ? 1 : our_size (l, v, v->axis[a].of[k]);
    }
    if (a >= 0 && view_has_batch (v, a))
      to.axis[a].of[to.axis[a].n++] = 0;
    if (a >= 0 && view_is_batch (v, a))
      continue;
    if (shape.ndim == QK_MAX_DIMS)
      return net_error (l->n, nd, -ENOTSUP, "needs more than %d axes",
                        QK_MAX_DIMS);
    if (a >= 0)
      to.axis[a].of[to.axis[a].n++] = shape.ndim;
    shape.dims[shape.ndim++] = size;
  }
  if ((id = permute (l, nd, v->id, count, seq)) < 0
      || (id = reshape (l, nd, id, &shape)) < 0)
    return id;
  to.id = id;
  *out = to;
  return 0;
}

/* Whether V has the batch inside an axis, behind another axis of ours. */
static bool
batch_inside (const struct lay *l, const struct view *v)
{
  int i, k;

  for (i = 0; i < v->ndim; i++)
    for (k = 1; k < v->axis[i].n; k++)
      if (v->axis[i].of[k] == 0 && l->n->batch > 1)
        return true;
  return false;
}

/* view_last where the other axes stay apart as they are. */
static int
tail (struct lay *l, const struct net_node *nd, const struct view *v, int a,
      struct view *out)
{
  const struct qk_shape *s = view_ours (l, v);
  const struct group *g = &v->axis[a];
  struct qk_shape merged = { 0, { 0 } };
  struct view to = *v;
  int seq[QK_MAX_DIMS], place[QK_MAX_DIMS], i, k, n = 0, id;
  bool last[QK_MAX_DIMS] = { false };

  for (k = 0; k < g->n; k++)
    last[g->of[k]] = true;
  for (i = 0; i < s->ndim; i++)
    if (!last[i]) {
      place[i] = n;
      merged.dims[n] = s->dims[i];
      seq[n++] = i;
    }
  if (n == QK_MAX_DIMS)
    return net_error (l->n, nd, -ENOTSUP, "needs more than %d axes",
                      QK_MAX_DIMS);
  merged.ndim = n + 1;
  merged.dims[n] = view_size (l, v, a);
  for (k = 0; k < g->n; k++)
    seq[n + k] = g->of[k];
  for (i = 0; i < v->ndim; i++)
    for (k = 0; i != a && k < v->axis[i].n; k++)
      to.axis[i].of[k] = place[v->axis[i].of[k]];
  to.axis[a].n = 1;
  to.axis[a].of[0] = n;
  if ((id = permute (l, nd, v->id, s->ndim, seq)) < 0
      || (id = reshape (l, nd, id, &merged)) < 0)
    return id;
  to.id = id;
  *out = to;
  return 0;
}

int
view_last (struct lay *l, const struct net_node *nd, const struct view *v,
           int a, struct view *out)
{
  int order[QK_MAX_DIMS], i, n = 0;
  int all[QK_MAX_DIMS];

  if (view_has_batch (v, a))
    return net_error (l->n, nd, -ENOTSUP, "goes along the batch, axis %d", a);
  if (view_axis (v, a) == view_ours (l, v)->ndim - 1) {
    *out = *v;
    return 0;
  }
  if (batch_inside (l, v))
    return tail (l, nd, v, a, out);
  view_order (v, all);
  for (i = 0; i < v->ndim; i++)
    if (all[i] != a)
      order[n++] = all[i];
  order[n++] = a;
  return view_arrange (l, nd, v, n, order, out);
}

int
view_single (struct lay *l, const struct net_node *nd, const struct view *v,
             struct view *out)
{
  int order[QK_MAX_DIMS], i;
  bool single = true;

  for (i = 0; i < v->ndim; i++)
    single = single && v->axis[i].n == 1;
  *out = *v;
  if (single)
    return 0;
  view_order (v, order);
  return view_arrange (l, nd, v, v->ndim, order, out);
}

/* ---- reshaping ------------------------------------------------------------------- */

/* An axis of ours, or a factor of one, in the file's order of elements. */
struct atom {
  int axis;     /* of ours before */
  int64_t size; /* what is left of it */
};

struct splitter {
  const struct lay *l;
  const struct view *v;
  struct atom atom[2 * QK_MAX_DIMS];
  int n, at;
  /* our axes after, and for each which one before it is a factor of */
  int parts;
  int of[QK_MAX_DIMS];
  int64_t size[QK_MAX_DIMS];
};

static void
list_atoms (struct splitter *s)
{
  int i, k;

  for (i = 0; i < s->v->ndim; i++)
    for (k = 0; k < s->v->axis[i].n; k++) {
      const int a = s->v->axis[i].of[k];

      s->atom[s->n].axis = a;
      s->atom[s->n++].size = our_size (s->l, s->v, a);
    }
}

/* Take SIZE of the next atom into the group G. */
static bool
take (struct splitter *s, int64_t size, struct group *g)
{
  struct atom *a = &s->atom[s->at];

  if (s->parts == QK_MAX_DIMS || g->n == QK_MAX_DIMS)
    return false;
  s->of[s->parts] = a->axis;
  s->size[s->parts] = size;
  g->of[g->n++] = s->parts++; /* renumbered later */
  a->size /= size;
  if (a->size == 1)
    s->at++;
  return true;
}

/* One axis of the new shape out of the next atoms. */
static bool
gather_axis (struct splitter *s, int64_t want, struct group *g)
{
  while (s->at < s->n) {
    const struct atom *a = &s->atom[s->at];
    int64_t size;

    if (a->axis == 0) {
      if (want % a->size != 0 || (want == 1 && g->n > 0))
        return want == 1;
      size = a->size;
      if (!take (s, size, g))
        return false;
      want /= size;
      if (want == 1)
        return true;
      continue;
    }
    if (want == 1)
      return true;
    if (want % a->size == 0)
      size = a->size;
    else if (a->size % want == 0)
      size = want;
    else
      return false;
    if (a->size == 1) {
      s->at++; /* an axis of size 1 is left out */
      continue;
    }
    if (!take (s, size, g))
      return false;
    want /= size;
  }
  return want == 1;
}

/* Number the parts as they lie in memory: by the axis before, then in the
 * order in which they were taken. */
static void
number_parts (const struct splitter *s, int *number, struct qk_shape *shape)
{
  const int ndim = view_ours (s->l, s->v)->ndim;
  int a, i;
  bool batch = false;

  for (i = 0; i < s->parts; i++)
    batch = batch || s->of[i] == 0;
  shape->ndim = 0;
  if (!batch)
    shape->dims[shape->ndim++] = 1;
  for (a = 0; a < ndim; a++)
    for (i = 0; i < s->parts; i++)
      if (s->of[i] == a) {
        number[i] = shape->ndim;
        shape->dims[shape->ndim++] = a == 0 ? 1 : s->size[i];
      }
}

/* Whether V can be viewed as SHAPE with nothing but axes of ours split. */
static int
split_view (struct lay *l, const struct net_node *nd, const struct view *v,
            const struct qk_shape *shape, struct view *out, bool *done)
{
  struct splitter s;
  struct qk_shape ours;
  int number[QK_MAX_DIMS], i, k, id;

  *done = false;
  memset (&s, 0, sizeof s);
  memset (out, 0, sizeof *out);
  s.l = l;
  s.v = v;
  list_atoms (&s);
  out->ndim = shape->ndim;
  for (i = 0; i < shape->ndim; i++)
    if (!gather_axis (&s, shape->dims[i], &out->axis[i]))
      return 0;
  for (; s.at < s.n; s.at++) {
    if (s.atom[s.at].size != 1)
      return 0;
    if (s.atom[s.at].axis == 0) {
      if (shape->ndim == 0 || !take (&s, 1, &out->axis[shape->ndim - 1]))
        return 0;
      s.at--; /* take stepped on */
    }
  }
  if (s.parts + 1 > QK_MAX_DIMS)
    return 0;
  number_parts (&s, number, &ours);
  for (i = 0; i < out->ndim; i++)
    for (k = 0; k < out->axis[i].n; k++)
      out->axis[i].of[k] = number[out->axis[i].of[k]];
  if ((id = reshape (l, nd, v->id, &ours)) < 0)
    return id;
  out->id = id;
  *done = true;
  return 0;
}

int
view_reshape (struct lay *l, const struct net_node *nd, const struct view *v,
              const struct qk_shape *shape, struct view *out)
{
  const struct view from = *v; /* which OUT may be */
  int order[QK_MAX_DIMS] = { 0 }, i, r;
  struct qk_shape ours = { 1, { 1 } };
  struct view plain;
  bool done, batch = false;

  if ((r = split_view (l, nd, &from, shape, out, &done)) < 0 || done)
    return r;
  for (i = 0; i < from.ndim; i++) {
    order[i] = i;
    batch = batch || view_has_batch (&from, i);
    if (i > 0 && view_has_batch (&from, i) && l->n->batch > 1)
      return net_error (l->n, nd, -ENOTSUP,
                        "mixes samples: the batch is axis %d", i);
  }
  if ((r = view_arrange (l, nd, &from, from.ndim, order, &plain)) < 0)
    return r;
  memset (out, 0, sizeof *out);
  out->ndim = shape->ndim;
  if (batch && (shape->ndim == 0 || shape->dims[0] % l->n->batch != 0))
    return net_error (l->n, nd, -ENOTSUP,
                      "mixes samples: axis 0 becomes %lld of a batch of %lld",
                      shape->ndim > 0 ? (long long) shape->dims[0] : 0LL,
                      (long long) l->n->batch);
  for (i = 0; i < shape->ndim; i++) {
    int64_t size = shape->dims[i];

    if (i == 0 && batch) {
      out->axis[0].of[out->axis[0].n++] = 0;
      if ((size /= l->n->batch) == 1)
        continue;
    }
    if (ours.ndim == QK_MAX_DIMS)
      return net_error (l->n, nd, -ENOTSUP, "needs more than %d axes",
                        QK_MAX_DIMS);
    out->axis[i].of[out->axis[i].n++] = ours.ndim;
    ours.dims[ours.ndim++] = size;
  }
  if ((r = reshape (l, nd, plain.id, &ours)) < 0)
    return r;
  out->id = r;
  return 0;
}

/* ---- images ------------------------------------------------------------------------ */

int
view_image (struct lay *l, const struct net_node *nd, const struct view *v,
            struct view *out)
{
  static const int two[] = { 0, 2, 3, 1 }, one[] = { 0, -1, 2, 1 };

  if (v->ndim != 3 && v->ndim != 4)
    return net_error (l->n, nd, -ENOTSUP,
                      "input has %d axes, expected 3 (N,C,L) or 4 (N,C,H,W)",
                      v->ndim);
  if (!view_is_batch (v, 0))
    return net_error (l->n, nd, -ENOTSUP,
                      "the first axis of its input is not the batch");
  return view_arrange (l, nd, v, 4, v->ndim == 4 ? two : one, out);
}

void
view_of_image (struct view *v, int id, int ndim)
{
  static const int two[] = { 0, 3, 1, 2 }, one[] = { 0, 3, 2 };
  int i;

  view_plain (v, id, ndim);
  for (i = 0; i < ndim; i++)
    v->axis[i].of[0] = ndim == 4 ? two[i] : one[i];
}

/* ---- constants ----------------------------------------------------------------------- */

/* Step in C for the file's axis A of NDIM, matched from the last; 0 where C
 * is repeated. */
static int64_t
step_of (const struct onnx_const *c, int a, int ndim, int64_t *size)
{
  const int k = a - (ndim - c->shape.ndim);
  int64_t step = 1;
  int i;

  *size = 1;
  if (a < 0 || k < 0)
    return 0;
  for (i = k + 1; i < c->shape.ndim; i++)
    step *= c->shape.dims[i];
  *size = c->shape.dims[k];
  return *size == 1 ? 0 : step;
}

/* Copy C into TO, whose axes have SIZE and are STEP apart in C. */
static void
copy_arranged (const struct onnx_const *c, const struct qk_shape *shape,
               const int64_t *step, float *to)
{
  const int64_t n = qk_shape_count (shape);
  int64_t i;

  for (i = 0; i < n; i++) {
    int64_t at = i, from = 0;
    int k;

    for (k = shape->ndim - 1; k > 0; k--) {
      from += at % shape->dims[k] * step[k];
      at /= shape->dims[k];
    }
    to[i] = c->real ? c->f[from] : (float) c->i[from];
  }
}

/* A constant of the graph needs a name that no other has. */
static int
add_constant (struct lay *l, const struct net_node *nd,
              const struct qk_shape *shape, const float *data)
{
  char *name;
  int id;

  if (asprintf (&name, "%s.constant%d", nd->name, ++l->helpers) < 0)
    return qk_oom ("%s", nd->name);
  id = qk_graph_constant (l->g, name, shape, data);
  free (name);
  return id < 0 ? qk_error_prefix (id, "%s: ", l->n->file->path) : id;
}

/* Whether C is the same along an axis of SIZE with STEP: what a constant is
 * that the file repeats for each sample. */
static bool
repeats (const struct onnx_const *c, int64_t step, int64_t size)
{
  int64_t i;

  for (i = 0; c->real && i < c->n; i++)
    if (memcmp (&c->f[i], &c->f[i - i / step % size * step], sizeof *c->f)
        != 0)
      return false;
  return c->real;
}

int
view_constant (struct lay *l, struct net_node *nd, int value,
               const struct view *v, int n, const int *order)
{
  const struct onnx_const *c;
  struct qk_shape shape = { 1, { 1 } };
  int64_t step[QK_MAX_DIMS] = { 0 }, size;
  float *data;
  int i, id;

  if ((id = net_known (l->n, value, &c)) < 0)
    return id;
  for (i = 0; i < n; i++) {
    const int64_t s = step_of (c, order[i], v->ndim, &size);

    if (order[i] >= 0 && view_has_batch (v, order[i]) && size > 1) {
      const int64_t rest = size / l->n->batch;

      if (size % l->n->batch != 0 || !repeats (c, s * rest, l->n->batch))
        return net_error (l->n, nd, -ENOTSUP,
                          "constant '%.100s' has numbers for each of %lld "
                          "samples",
                          l->n->value[value].name, (long long) size);
      size = rest;
    }
    if (order[i] >= 0 && view_is_batch (v, order[i]))
      continue;
    step[shape.ndim] = s;
    shape.dims[shape.ndim++] = size;
  }
  data = malloc (sizeof *data * (size_t) (qk_shape_count (&shape) + 1));
  if (data == NULL)
    return qk_oom ("%s", nd->name);
  copy_arranged (c, &shape, step, data);
  id = add_constant (l, nd, &shape, data);
  free (data);
  return id < 0 ? id : lay_constant_grid (l, nd, value, id);
}
