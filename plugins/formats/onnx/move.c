/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* move.c: nodes that only move elements, as nodes of ONNX.
 *
 * Tensors of four axes are (N,C,H,W) there: what depends on the order of all
 * elements is done in the order of ours in between. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "writer.h"

/* Integers as a constant called WHAT of node N. */
static const char *
put_ints (struct writer *w, const struct qk_network_node *n, const char *what,
          const int64_t *v, int64_t count)
{
  return onnx_constant (&w->b, onnx_name (&w->b, "%s/%s", n->name, what),
                        QK_I64, 1, &count, v);
}

static const char *
put_transpose (struct writer *w, const char *in, const int64_t *perm, int n,
               const char *out)
{
  Onnx__NodeProto *o = onnx_node (&w->b, "Transpose", out, 1, &in);

  onnx_attr_ints (&w->b, o, "perm", perm, n);
  return out;
}

const char *
onnx_put_ours (struct writer *w, const char *in, const struct qk_shape *s,
               const char *out)
{
  static const int64_t to_nhwc[] = { 0, 2, 3, 1 };

  return s->ndim == 4 ? put_transpose (w, in, to_nhwc, 4, out) : in;
}

const char *
onnx_put_image (struct writer *w, const char *in, const struct qk_shape *s,
                const char *out)
{
  static const int64_t to_nchw[] = { 0, 3, 1, 2 };

  return s->ndim == 4 ? put_transpose (w, in, to_nchw, 4, out) : in;
}

const char *
onnx_put_sizes (struct writer *w, const struct qk_network_node *n,
                const char *like, const char *prefix, const struct qk_shape *s)
{
  const char *own = onnx_name (&w->b, "%s/%s", n->name, prefix);
  const int64_t bounds[2] = { 0, 1 };
  int64_t rest[QK_MAX_DIMS];
  const char *cut[3], *both[2];
  Onnx__NodeProto *o;

  for (int d = 1; d < s->ndim; d++)
    rest[onnx_axis (s->ndim, d) - 1] = s->dims[d];
  cut[0] = node1 (w, "Shape", onnx_name (&w->b, "%s/shape", own), like);
  for (int i = 0; i < 2; i++)
    cut[1 + i] = put_ints (
      w, n, onnx_name (&w->b, "%s/%s", prefix, i == 0 ? "from" : "to"),
      &bounds[i], 1);
  both[0] = onnx_name (&w->b, "%s/batch", own);
  onnx_node (&w->b, "Slice", both[0], 3, cut);
  both[1]
    = put_ints (w, n, onnx_name (&w->b, "%s/rest", prefix), rest, s->ndim - 1);
  o = onnx_node (&w->b, "Concat", own, 2, both);
  onnx_attr_int (&w->b, o, "axis", 0);
  return own;
}

/* OUT: IN as a tensor of COUNT dimensions DIMS after the batch, by a constant
 * called WHAT. */
static const char *
put_shape (struct writer *w, const struct qk_network_node *n, const char *in,
           const char *what, const int64_t *dims, int count, const char *out)
{
  int64_t all[2 * QK_MAX_DIMS] = { 0 }; /* as many samples as there are */
  const char *both[2] = { in, "" };

  memcpy (all + 1, dims, (size_t) count * sizeof *dims);
  both[1] = put_ints (w, n, what, all, count + 1);
  onnx_node (&w->b, "Reshape", out, 2, both);
  return out;
}

/* IN, whose elements are those of N's output in the order of ours, as N's
 * output. */
static int
put_theirs (struct writer *w, const struct qk_network_node *n, const char *in)
{
  const struct qk_shape *s = &value_of (w, n->out)->shape;
  const char *raw = raw_name (w, n);
  const char *shaped
    = s->ndim == 4 ? onnx_name (&w->b, "%s/reshaped", n->name) : raw;

  in = put_shape (w, n, in, "shape", s->dims + 1, s->ndim - 1, shaped);
  finish (w, n, onnx_put_image (w, in, s, raw));
  return 0;
}

const char *
onnx_put_axes (struct writer *w, const struct qk_network_node *n,
               const char *in, const char *prefix, const struct qk_shape *s,
               int ndim)
{
  const char *own = onnx_name (&w->b, "%s/%s", n->name, prefix);
  const struct qk_shape all = { .ndim = ndim };
  int64_t dims[QK_MAX_DIMS];

  for (int i = 0; i < ndim - 1; i++)
    dims[i] = i < ndim - s->ndim ? 1 : s->dims[i + 1 - (ndim - s->ndim)];
  in = onnx_put_ours (w, in, s, onnx_name (&w->b, "%s/nhwc", own));
  in = put_shape (w, n, in, onnx_name (&w->b, "%s/shape", prefix), dims,
                  ndim - 1, onnx_name (&w->b, "%s/axes", own));
  return onnx_put_image (w, in, &all, own);
}

/* Samples of another shape, in the order of ours; or nothing at all. */
int
onnx_put_reshape (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_shape *in = &value_of (w, n->in[0])->shape;
  const struct qk_shape *out = &value_of (w, n->out)->shape;
  const char *raw, *from = w->name[n->in[0]];

  if (!qk_shape_equal (in, out))
    return put_theirs (
      w, n,
      onnx_put_ours (w, from, in, onnx_name (&w->b, "%s/nhwc", n->name)));
  if (output_name (w, n->out) == NULL) {
    w->name[n->out] = from;
    return 0;
  }
  raw = raw_name (w, n);
  node1 (w, "Identity", raw, from);
  finish (w, n, raw);
  return 0;
}

/* Whether OP does nothing but permute the axes of IN. */
static bool
permutes_axes (const struct qk_op *op, const struct qk_shape *in,
               const struct qk_shape *out)
{
  if (op->axes != in->ndim - 1 || out->ndim != in->ndim)
    return false;
  for (int i = 0; i < op->axes; i++)
    if (op->order[2 * i] != in->dims[i + 1]
        || out->dims[i + 1] != in->dims[op->order[2 * i + 1] + 1])
      return false;
  return true;
}

static int
put_permuted (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int ndim = op->axes + 1;
  int64_t perm[QK_MAX_DIMS] = { 0 };
  const char *raw = raw_name (w, n);

  for (int i = 0; i < op->axes; i++)
    perm[onnx_axis (ndim, i + 1)] = onnx_axis (ndim, op->order[2 * i + 1] + 1);
  put_transpose (w, w->name[n->in[0]], perm, ndim, raw);
  finish (w, n, raw);
  return 0;
}

/* DepthToSpace, or the SpaceToDepth that ONNX has. */
static int
put_blocks (struct writer *w, const struct qk_network_node *n, const char *op)
{
  const char *raw = raw_name (w, n);
  Onnx__NodeProto *o = onnx_node (&w->b, op, raw, 1, &w->name[n->in[0]]);

  onnx_attr_int (&w->b, o, "blocksize", qk_config_int (n->config, "block"));
  if (strcmp (op, "DepthToSpace") == 0)
    onnx_attr_text (&w->b, o, "mode",
                    strcmp (qk_config_string (n->config, "mode"), "crd") == 0
                      ? "CRD"
                      : "DCR");
  finish (w, n, raw);
  return 0;
}

/* The sample with the axes of N's op, these in their order, and the shape of
 * the output. */
int
onnx_put_transpose (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *in = &value_of (w, n->in[0])->shape;
  int64_t dims[QK_MAX_DIMS], perm[QK_MAX_DIMS + 1] = { 0 };
  const char *x = w->name[n->in[0]];

  if (permutes_axes (op, in, &value_of (w, n->out)->shape))
    return put_permuted (w, n);
  if (n->config != NULL && strcmp (n->layer, "depth_to_space") == 0)
    return put_blocks (w, n, "DepthToSpace");
  if (n->config != NULL && strcmp (n->layer, "space_to_depth") == 0
      && strcmp (qk_config_string (n->config, "mode"), "dcr") == 0)
    return put_blocks (w, n, "SpaceToDepth");
  for (int i = 0; i < op->axes; i++) {
    dims[i] = op->order[2 * i];
    perm[i + 1] = op->order[2 * i + 1] + 1;
  }
  x = onnx_put_ours (w, x, in, onnx_name (&w->b, "%s/nhwc", n->name));
  x = put_shape (w, n, x, "axes", dims, op->axes,
                 onnx_name (&w->b, "%s/split", n->name));
  x = put_transpose (w, x, perm, op->axes + 1,
                     onnx_name (&w->b, "%s/turned", n->name));
  return put_theirs (w, n, x);
}

/* What stands for fill in N's result. */
static float
fill_value (const struct writer *w, const struct qk_network_node *n)
{
  const struct qk_qparams *q = &value_of (w, n->out)->q;

  if (n->quantized)
    return qk_dequantize (n->op->fill, q->scale, q->zero_point);
  if (n->config != NULL && strcmp (n->layer, "pad") == 0)
    return (float) qk_config_float (n->config, "value");
  if (n->config != NULL && strcmp (n->layer, "gather") == 0)
    return (float) qk_config_float (n->config, "fill");
  return 0;
}

/* IN with BEFORE and AFTER elements of fill around axis D of RANK. */
static const char *
put_pad (struct writer *w, const struct qk_network_node *n, const char *in,
         int rank, int d, int64_t before, int64_t after, const char *out)
{
  const float fill = fill_value (w, n);
  int64_t pads[2 * QK_MAX_DIMS] = { 0 };
  const char *all[3] = { in, "", "" };

  pads[onnx_axis (rank, d)] = before;
  pads[rank + onnx_axis (rank, d)] = after;
  all[1] = put_ints (w, n, onnx_name (&w->b, "pads%d", d), pads, 2 * rank);
  all[2] = onnx_scalar (&w->b, onnx_name (&w->b, "%s/fill%d", n->name, d),
                        QK_F32, &fill);
  onnx_node (&w->b, "Pad", out, 3, all);
  return out;
}

/* IN's places along axis D, none of them filled and STEP apart. */
static const char *
put_slice (struct writer *w, const struct qk_network_node *n, const char *in,
           int d, int64_t start, int64_t count, int64_t step, const char *out)
{
  const int64_t axis = onnx_axis (value_of (w, n->in[0])->shape.ndim, d);
  int64_t end = start + count * step;
  const char *all[5] = { in, "", "", "", "" };

  end = end < 0 ? INT64_MIN : end; /* -1 would be the last element */
  all[1] = put_ints (w, n, onnx_name (&w->b, "starts%d", d), &start, 1);
  all[2] = put_ints (w, n, onnx_name (&w->b, "ends%d", d), &end, 1);
  all[3] = put_ints (w, n, onnx_name (&w->b, "axes%d", d), &axis, 1);
  all[4] = put_ints (w, n, onnx_name (&w->b, "steps%d", d), &step, 1);
  onnx_node (&w->b, "Slice", out, 5, all);
  return out;
}

/* The COUNT places along axis D one by one; -1 is the element after the last,
 * where there is one then. */
static const char *
put_picks (struct writer *w, const struct qk_network_node *n, const char *in,
           int d, const int32_t *place, int64_t count, const char *out)
{
  const int rank = value_of (w, n->in[0])->shape.ndim;
  const int64_t size = value_of (w, n->in[0])->shape.dims[d];
  int64_t *index = onnx_alloc (&w->b, (size_t) count * sizeof *index);
  const char *both[2] = { in, "" };
  bool fills = false;
  Onnx__NodeProto *o;

  for (int64_t i = 0; index != NULL && i < count; i++) {
    fills |= place[i] < 0;
    index[i] = place[i] < 0 ? size : place[i];
  }
  if (index == NULL)
    return "";
  if (fills)
    both[0] = put_pad (w, n, in, rank, d, 0, 1,
                       onnx_name (&w->b, "%s/filled%d", n->name, d));
  both[1] = put_ints (w, n, onnx_name (&w->b, "indices%d", d), index, count);
  o = onnx_node (&w->b, "Gather", out, 2, both);
  onnx_attr_int (&w->b, o, "axis", onnx_axis (rank, d));
  return out;
}

/* The COUNT places along axis D, of SIZE in the input, as the operator of
 * ONNX that says them best. */
static const char *
put_places (struct writer *w, const struct qk_network_node *n, const char *in,
            int d, const int32_t *place, int64_t count, const char *out)
{
  const int rank = value_of (w, n->in[0])->shape.ndim;
  const int64_t size = value_of (w, n->in[0])->shape.dims[d];
  const int64_t step = count > 1 ? place[1] - place[0] : 1;
  int64_t before = 0, i;

  for (i = 1; i < count && place[0] >= 0 && place[i] - place[i - 1] == step;
       i++)
    ;
  if (i == count && place[0] >= 0 && step != 0 && place[count - 1] >= 0)
    return put_slice (w, n, in, d, place[0], count, step, out);
  while (before < count && place[before] < 0)
    before++;
  for (i = 0; i < size && before + i < count && place[before + i] == i; i++)
    ;
  if (i == size) {
    while (before + i < count && place[before + i] < 0)
      i++;
    if (before + i == count)
      return put_pad (w, n, in, rank, d, before, count - before - size, out);
  }
  return put_picks (w, n, in, d, place, count, out);
}

/* Whether all SIZE elements stay where they are. */
static bool
stays (const int32_t *place, int64_t count, int64_t size)
{
  int64_t i;

  for (i = 0; i < count && place[i] == i; i++)
    ;
  return i == count && count == size;
}

/* The scales of N's options as a node, as tensors of floats are taken for
 * weights; NULL where a runtime that rounds their products in single or in
 * double precision makes other sizes than N's of them. */
static const char *
put_scales (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_shape *in = &value_of (w, n->in[0])->shape;
  const struct qk_shape *out = &value_of (w, n->out)->shape;
  float given[2], scale[QK_MAX_DIMS];
  const int count = qk_config_floats (n->config, "scale", given, 2);
  const char *name = onnx_name (&w->b, "%s/scales", n->name);
  Onnx__NodeProto *o;

  if (count <= 0)
    return NULL;
  for (int d = 0; d < in->ndim; d++) {
    const float s = d > 0 && d <= count ? given[d - 1] : 1;

    if (floorf (s * (float) in->dims[d]) != (float) out->dims[d]
        || floor ((double) s * (double) in->dims[d]) != (double) out->dims[d])
      return NULL;
    scale[onnx_axis (in->ndim, d)] = s;
  }
  o = onnx_node (&w->b, "Constant", name, 0, NULL);
  onnx_attr_floats (&w->b, o, "value_floats", scale, in->ndim);
  return name;
}

/* Resize as N's options say: by their scales, else by its sizes, of which the
 * number of samples is the input's. */
int
onnx_put_resize (struct writer *w, const struct qk_network_node *n)
{
  const char *mode = qk_config_string (n->config, "mode");
  const char *at = qk_config_string (n->config, "coords");
  /* sums of integers are exact for whoever computes them; halves of reals on a
   * grid may fall on either side */
  const bool exact = n->quantized && strcmp (mode, "nearest") != 0;
  const char *raw
    = exact ? onnx_name (&w->b, "%s/resized", n->name) : raw_name (w, n);
  const char *all[4] = { w->name[n->in[0]], "", "" };
  Onnx__NodeProto *o;

  if (strcmp (at, "half_pixel_symmetric") == 0)
    return qk_error (-ENOTSUP,
                     "node '%s': coords=half_pixel_symmetric needs a later "
                     "version of ONNX than this file's",
                     n->name);
  if ((all[2] = put_scales (w, n)) == NULL) {
    all[2] = "";
    all[3]
      = onnx_put_sizes (w, n, all[0], "sizes", &value_of (w, n->out)->shape);
  }
  if (exact)
    all[0] = put_integers (w, n);
  o = onnx_node (&w->b, "Resize", raw, *all[2] ? 3 : 4, all);
  onnx_attr_text (&w->b, o, "mode", mode);
  onnx_attr_text (&w->b, o, "coordinate_transformation_mode", at);
  if (strcmp (mode, "nearest") == 0)
    onnx_attr_text (&w->b, o, "nearest_mode",
                    qk_config_string (n->config, "nearest"));
  if (exact)
    raw = put_rounded (w, n, raw);
  finish (w, n, raw);
  return 0;
}

/* One operator for each axis that is changed. */
int
onnx_put_gather (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_shape *in = &value_of (w, n->in[0])->shape;
  const struct qk_shape *out = &value_of (w, n->out)->shape;
  const int32_t *place = n->op->place;
  const char *x = w->name[n->in[0]], *raw = raw_name (w, n);

  if (n->config != NULL && strcmp (n->layer, "resize") == 0)
    return onnx_put_resize (w, n);
  for (int d = 1; d < out->ndim; place += out->dims[d++])
    if (!stays (place, out->dims[d], in->dims[d]))
      x = put_places (w, n, x, d, place, out->dims[d],
                      onnx_name (&w->b, "%s/axis%d", n->name, d));
  node1 (w, "Identity", raw, x);
  finish (w, n, raw);
  return 0;
}
