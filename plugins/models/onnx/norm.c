/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* norm.c: operators that put elements in relation to others of an axis:
 * normalisations and softmax. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lay.h"

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

/* x by one constant for each element of the last axis, plus another: the int8
 * form of a batch-norm. */
int
lay_scale (struct lay *l, struct net_node *nd)
{
  struct view v;
  int64_t n, i;
  float *set;
  int id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  n = view_size (l, &v, v.ndim - 1);
  if ((r = view_last (l, nd, &v, v.ndim - 1, &v)) < 0)
    return r;
  id = lay_node (l, nd, "batchnorm2d", &v.id, 1, "eps=1e-12");
  if (id < 0 || (r = fill_vector (l, nd, id, "weight", 1, n)) < 0
      || (r = fill_vector (l, nd, id, "bias", 2, n)) < 0)
    return id < 0 ? id : r;
  if ((set = calloc ((size_t) n, sizeof *set)) == NULL)
    return qk_oom ("%s", nd->name);
  r = lay_fill (l, id, "running_mean", -1, set);
  for (i = 0; i < n; i++)
    set[i] = 1;
  if (r == 0)
    r = lay_fill (l, id, "running_var", -1, set);
  free (set);
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
