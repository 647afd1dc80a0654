/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* window.c: operators that slide a window over an image, or change its size. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lay.h"

/* ---- windows ------------------------------------------------------------------- */

/* Of one or two axes; with one, the first of ours is 1 high. */
struct window {
  int64_t kernel[2], stride[2], dilation[2], begin[2], end[2];
};

/* N numbers of attribute NAME, the last ones of TWO; DEF where not given. */
static int
pair (struct lay *l, struct net_node *nd, const char *name, int axes,
      int64_t def, int64_t *two)
{
  int64_t list[2 * QK_MAX_DIMS];
  const int n = net_attr_ints (nd, name, list, QK_MAX_DIMS);
  int i;

  two[0] = two[1] = def;
  if (n >= 0 && n != axes)
    return net_error (l->n, nd, -EBADMSG,
                      "attribute '%s' has %d numbers, expected %d", name, n,
                      axes);
  for (i = 0; i < n; i++)
    two[2 - n + i] = list[i];
  return 0;
}

static int
pads (struct lay *l, struct net_node *nd, int axes, struct window *w)
{
  int64_t list[2 * QK_MAX_DIMS];
  const int n = net_attr_ints (nd, "pads", list, 2 * QK_MAX_DIMS);
  int i;

  memset (w->begin, 0, sizeof w->begin);
  memset (w->end, 0, sizeof w->end);
  if (n >= 0 && n != 2 * axes)
    return net_error (l->n, nd, -EBADMSG,
                      "attribute 'pads' has %d numbers, expected %d", n,
                      2 * axes);
  for (i = 0; n >= 0 && i < axes; i++) {
    w->begin[2 - axes + i] = list[i];
    w->end[2 - axes + i] = list[axes + i];
  }
  return 0;
}

/* SAME_UPPER, SAME_LOWER, VALID in place of pads; IN: height and width. */
static int
auto_pad (struct lay *l, struct net_node *nd, const int64_t *in, int axes,
          struct window *w)
{
  char buf[NET_WORD];
  const char *how = net_attr_string (nd, "auto_pad", "NOTSET", buf);
  int i;

  if (strcmp (how, "NOTSET") == 0)
    return 0;
  if (strcmp (how, "VALID") != 0 && strcmp (how, "SAME_UPPER") != 0
      && strcmp (how, "SAME_LOWER") != 0)
    return net_error (l->n, nd, -EBADMSG,
                      "auto_pad is '%s', expected NOTSET, SAME_UPPER, "
                      "SAME_LOWER or VALID",
                      how);
  for (i = 2 - axes; i < 2; i++) {
    const int64_t out = (in[i] + w->stride[i] - 1) / w->stride[i];
    const int64_t sum = (out - 1) * w->stride[i]
                        + (w->kernel[i] - 1) * w->dilation[i] + 1 - in[i];
    const int64_t all = *how == 'V' || sum < 0 ? 0 : sum;

    w->begin[i] = how[5] == 'U' ? all / 2 : all - all / 2;
    w->end[i] = all - w->begin[i];
    if (*how == 'V')
      w->begin[i] = w->end[i] = 0;
  }
  return 0;
}

/* All of them but the kernel; IMAGE is ours. */
static int
read_window (struct lay *l, struct net_node *nd, int axes,
             const struct qk_shape *image, struct window *w)
{
  int i, r;

  if ((r = pair (l, nd, "strides", axes, 1, w->stride)) < 0
      || (r = pair (l, nd, "dilations", axes, 1, w->dilation)) < 0
      || (r = pads (l, nd, axes, w)) < 0)
    return r;
  for (i = 0; i < 2; i++)
    if (w->stride[i] < 1 || w->dilation[i] < 1 || w->begin[i] < 0
        || w->end[i] < 0 || w->kernel[i] < 1 || w->stride[i] > 4096
        || w->dilation[i] > 4096 || w->kernel[i] > 4096)
      return net_error (l->n, nd, -ENOTSUP,
                        "its window of %lld has stride %lld, dilation %lld "
                        "and pads %lld and %lld, expected positive ones of "
                        "4096 at most",
                        (long long) w->kernel[i], (long long) w->stride[i],
                        (long long) w->dilation[i], (long long) w->begin[i],
                        (long long) w->end[i]);
  return auto_pad (l, nd, image->dims + 1, axes, w);
}

/* The options NAME, or NAME_h and NAME_w where they differ. */
static void
both (FILE *f, const char *name, const int64_t *two, int64_t def)
{
  if (two[0] == two[1] && two[0] != def)
    fprintf (f, " %s=%lld", name, (long long) two[0]);
  else if (two[0] != two[1])
    fprintf (f, " %s_h=%lld %s_w=%lld", name, (long long) two[0], name,
             (long long) two[1]);
}

/* "kernel=3 stride=2 …" of W; to be freed. */
static char *
window_options (const struct window *w)
{
  const bool even = w->begin[0] == w->end[0] && w->begin[0] == w->begin[1]
                    && w->begin[0] == w->end[1];
  char *text = NULL;
  size_t size;
  FILE *f = open_memstream (&text, &size);

  if (f == NULL)
    return NULL;
  if (w->kernel[0] == w->kernel[1])
    fprintf (f, "kernel=%lld", (long long) w->kernel[0]);
  else
    fprintf (f, "kernel_h=%lld kernel_w=%lld", (long long) w->kernel[0],
             (long long) w->kernel[1]);
  both (f, "stride", w->stride, 0);
  both (f, "dilation", w->dilation, 1);
  if (even && w->begin[0] > 0)
    fprintf (f, " padding=%lld", (long long) w->begin[0]);
  else if (!even)
    fprintf (f,
             " padding_top=%lld padding_bottom=%lld padding_left=%lld "
             "padding_right=%lld",
             (long long) w->begin[0], (long long) w->end[0],
             (long long) w->begin[1], (long long) w->end[1]);
  return fclose (f) == 0 ? text : NULL;
}

/* ---- convolution ------------------------------------------------------------------ */

/* Weights (K,C,R,S), or (K,C,S), as (K,R,S,C). */
static void
channels_last (const struct onnx_const *c, float *to)
{
  const int64_t k = c->shape.dims[0], n = c->shape.dims[1];
  const int64_t window = n > 0 && k > 0 ? c->n / k / n : 0;
  int64_t i, j, p;

  for (i = 0; i < k; i++)
    for (p = 0; p < window; p++)
      for (j = 0; j < n; j++)
        to[(i * window + p) * n + j] = c->f[(i * n + j) * window + p];
}

static int
fill_kernel (struct lay *l, struct net_node *nd, int id,
             const struct onnx_const *c)
{
  float *to = malloc (sizeof *to * (size_t) (c->n + 1));
  int r;

  if (to == NULL)
    return qk_oom ("%s", nd->name);
  channels_last (c, to);
  r = lay_fill (l, id, "weight", nd->in[1], to);
  if (r == 0)
    r = lay_keep_grid (l, nd, id, "weight", nd->in[1], 0, to, c->shape.dims[0],
                       c->n / c->shape.dims[0]);
  free (to);
  return r;
}

/* The kernel of ND, checked against what its attributes and input say. */
static int
conv_kernel (struct lay *l, struct net_node *nd, const struct view *v,
             const struct onnx_const **out, struct window *w)
{
  const int axes = v->ndim - 2;
  const struct onnx_const *c;
  int64_t said[2];
  int i, r;

  if ((r = lay_known (l, nd, 1, false, &c)) < 0
      || (r = pair (l, nd, "kernel_shape", axes, 0, said)) < 0)
    return r;
  if (!c->real || c->shape.ndim != v->ndim || c->n == 0)
    return net_error (l->n, nd, -EBADMSG,
                      "its weights have %d axes and %lld elements, expected "
                      "%d axes of real numbers",
                      c->shape.ndim, (long long) c->n, v->ndim);
  w->kernel[0] = 1;
  for (i = 0; i < axes; i++)
    w->kernel[2 - axes + i] = c->shape.dims[2 + i];
  for (i = 2 - axes; i < 2; i++)
    if (said[i] > 0 && said[i] != w->kernel[i])
      return net_error (l->n, nd, -EBADMSG,
                        "kernel_shape says %lld, its weights %lld",
                        (long long) said[i], (long long) w->kernel[i]);
  *out = c;
  return 0;
}

static int
check_bias (struct lay *l, struct net_node *nd, int input, int64_t channels,
            const struct onnx_const **out)
{
  const int r = lay_known (l, nd, input, true, out);

  if (r < 0)
    return r;
  if (*out != NULL && (!(*out)->real || (*out)->n != channels))
    return net_error (l->n, nd, -EBADMSG,
                      "its bias has %lld elements, expected %lld",
                      (long long) (*out)->n, (long long) channels);
  return 0;
}

/* The end of both convolutions: the bias, and V is what ID gives. */
static int
conv_result (struct lay *l, struct net_node *nd, struct view *v, int id,
             const struct onnx_const *bias)
{
  const int r
    = bias == NULL ? 0 : lay_fill (l, id, "bias", nd->in[2], bias->f);

  if (r < 0)
    return r;
  view_of_image (v, id, v->ndim);
  return lay_result (l, nd, *v, id);
}

int
lay_conv (struct lay *l, struct net_node *nd)
{
  const struct onnx_const *kernel, *bias;
  const int64_t groups = net_attr_int (nd, "group", 1);
  struct view v, image;
  struct window w;
  char *options;
  int id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_image (l, nd, &v, &image)) < 0
      || (r = conv_kernel (l, nd, &v, &kernel, &w)) < 0
      || (r = check_bias (l, nd, 2, kernel->shape.dims[0], &bias)) < 0
      || (r = read_window (l, nd, v.ndim - 2, view_ours (l, &image), &w)) < 0)
    return r;
  if (groups < 1
      || kernel->shape.dims[1] * groups != view_ours (l, &image)->dims[3])
    return net_error (l->n, nd, -EBADMSG,
                      "%lld groups of %lld channels, but its input has %lld",
                      (long long) groups, (long long) kernel->shape.dims[1],
                      (long long) view_ours (l, &image)->dims[3]);
  if ((options = window_options (&w)) == NULL)
    return qk_oom ("%s", nd->name);
  id = lay_node (l, nd, "conv2d", &image.id, 1,
                 "out=%lld groups=%lld bias=%s %s",
                 (long long) kernel->shape.dims[0], (long long) groups,
                 bias != NULL ? "yes" : "no", options);
  free (options);
  if (id < 0 || (r = fill_kernel (l, nd, id, kernel)) < 0)
    return id < 0 ? id : r;
  return conv_result (l, nd, &v, id, bias);
}

/* Weights (C,K/groups,R,S) as (K,R,S,C/groups), the window turned around: those
 * of an ordinary convolution of the input with zeros between its elements. */
static void
turned_around (const struct onnx_const *c, int64_t groups, float *to)
{
  const int64_t channels = c->shape.dims[0] / groups, k = c->shape.dims[1];
  const int64_t window = c->n / c->shape.dims[0] / k;
  int64_t g, i, j, p;

  for (g = 0; g < groups; g++)
    for (i = 0; i < k; i++)
      for (p = 0; p < window; p++)
        for (j = 0; j < channels; j++)
          to[((g * k + i) * window + p) * channels + j]
            = c->f[((g * channels + j) * k + i) * window + window - 1 - p];
}

static int
fill_turned (struct lay *l, struct net_node *nd, int id,
             const struct onnx_const *c, int64_t groups)
{
  float *to = malloc (sizeof *to * (size_t) (c->n + 1));
  int r;

  if (to == NULL)
    return qk_oom ("%s", nd->name);
  turned_around (c, groups, to);
  r = lay_fill (l, id, "weight", nd->in[1], to);
  /* axis 1 is the channels of one group */
  if (r == 0)
    r = lay_keep_grid (l, nd, id, "weight", nd->in[1], groups > 1 ? -2 : 1, to,
                       c->shape.dims[1] * groups,
                       c->n / c->shape.dims[1] / groups);
  free (to);
  return r;
}

/* What of a transposed convolution is left over at the end: from
 * output_padding, or output_shape and auto_pad. */
static int
transposed_padding (struct lay *l, struct net_node *nd, int axes,
                    const int64_t *in, struct window *w, int64_t *extra)
{
  char buf[NET_WORD];
  const char *how = net_attr_string (nd, "auto_pad", "NOTSET", buf);
  int64_t shape[2];
  int i, r;

  if ((r = pair (l, nd, "output_padding", axes, 0, extra)) < 0
      || (r = pair (l, nd, "output_shape", axes, 0, shape)) < 0)
    return r;
  for (i = 2 - axes; i < 2; i++) {
    const int64_t full = (in[i] - 1) * w->stride[i] + extra[i]
                         + (w->kernel[i] - 1) * w->dilation[i] + 1;
    int64_t all;

    if (shape[i] == 0 && strncmp (how, "SAME", 4) == 0)
      shape[i] = in[i] * w->stride[i];
    if (shape[i] == 0)
      continue;
    all = full - shape[i];
    if (all < 0)
      return net_error (l->n, nd, -ENOTSUP,
                        "output_shape asks for %lld, at most %lld can be",
                        (long long) shape[i], (long long) full);
    w->begin[i] = strcmp (how, "SAME_UPPER") == 0 ? all / 2 : all - all / 2;
    w->end[i] = all - w->begin[i];
  }
  return 0;
}

int
lay_conv_transpose (struct lay *l, struct net_node *nd)
{
  const struct onnx_const *kernel, *bias;
  const int64_t groups = net_attr_int (nd, "group", 1);
  struct view v, image;
  struct window w;
  int64_t extra[2] = { 0, 0 }, out;
  char *options;
  int id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_image (l, nd, &v, &image)) < 0
      || (r = conv_kernel (l, nd, &v, &kernel, &w)) < 0)
    return r;
  if (groups < 1 || kernel->shape.dims[0] % groups != 0
      || kernel->shape.dims[0] != view_ours (l, &image)->dims[3])
    return net_error (
      l->n, nd, -EBADMSG,
      "weights for %lld channels in %lld groups, but its input "
      "has %lld",
      (long long) kernel->shape.dims[0], (long long) groups,
      (long long) view_ours (l, &image)->dims[3]);
  out = kernel->shape.dims[1] * groups;
  if ((r = check_bias (l, nd, 2, out, &bias)) < 0
      || (r = pair (l, nd, "strides", v.ndim - 2, 1, w.stride)) < 0
      || (r = pair (l, nd, "dilations", v.ndim - 2, 1, w.dilation)) < 0
      || (r = pads (l, nd, v.ndim - 2, &w)) < 0
      || (r = transposed_padding (l, nd, v.ndim - 2,
                                  view_ours (l, &image)->dims + 1, &w, extra))
           < 0)
    return r;
  if ((options = window_options (&w)) == NULL)
    return qk_oom ("%s", nd->name);
  id = lay_node (l, nd, "conv_transpose2d", &image.id, 1,
                 "out=%lld groups=%lld bias=%s output_padding_h=%lld "
                 "output_padding_w=%lld %s",
                 (long long) out, (long long) groups,
                 bias != NULL ? "yes" : "no", (long long) extra[0],
                 (long long) extra[1], options);
  free (options);
  if (id < 0 || (r = fill_turned (l, nd, id, kernel, groups)) < 0)
    return id < 0 ? id : r;
  return conv_result (l, nd, &v, id, bias);
}

/* ---- pooling --------------------------------------------------------------------------- */

/* The means of IMAGE in W as a convolution by one number, of each channel by
 * itself: where they have a grid of their own, which pooling has not, that
 * rounds them once.  IMAGE becomes them. */
static int
average_by_weights (struct lay *l, struct net_node *nd, struct view *image,
                    const struct window *w)
{
  const int64_t channels = view_ours (l, image)->dims[3];
  const int64_t per = w->kernel[0] * w->kernel[1];
  const float one = (float) (1.0 / (double) per);
  float *weight = malloc (sizeof *weight * (size_t) (channels * per));
  char *options = window_options (w);
  int64_t i;
  int id = -ENOMEM, r;

  if (weight == NULL || options == NULL)
    r = qk_oom ("%s", nd->name);
  else {
    for (i = 0; i < channels * per; i++)
      weight[i] = one;
    r = id = lay_node (l, nd, "conv2d", &image->id, 1,
                       "out=%lld groups=%lld bias=no %s", (long long) channels,
                       (long long) channels, options);
  }
  if (r >= 0)
    r = lay_fill (l, id, "weight", -1, weight);
  if (r >= 0)
    r = qk_graph_fill_grid (l->g, id, "weight", 1, &one);
  free (weight);
  free (options);
  image->id = id;
  return r;
}

/* COUNTS: elements of the padding too, in averages. */
static int
pool (struct lay *l, struct net_node *nd, const char *layer, bool counts)
{
  const char *more = strcmp (layer, "avgpool2d") != 0 ? ""
                     : counts                         ? " count_pad=yes"
                                                      : " count_pad=no";
  const bool ceil = net_attr_int (nd, "ceil_mode", 0) != 0;
  struct view v, image;
  struct window w;
  char *options;
  int id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_image (l, nd, &v, &image)) < 0
      || (r = pair (l, nd, "kernel_shape", v.ndim - 2, 1, w.kernel)) < 0
      || (r = read_window (l, nd, v.ndim - 2, view_ours (l, &image), &w)) < 0)
    return r;
  if (strcmp (layer, "avgpool2d") == 0 && !ceil
      && (counts || w.begin[0] + w.begin[1] + w.end[0] + w.end[1] == 0)
      && lay_changes_grid (l, nd)) {
    if ((r = average_by_weights (l, nd, &image, &w)) < 0)
      return r;
    view_of_image (&v, image.id, v.ndim);
    return lay_result (l, nd, v, image.id);
  }
  if ((options = window_options (&w)) == NULL)
    return qk_oom ("%s", nd->name);
  id = lay_node (l, nd, layer, &image.id, 1, "%s%s%s", options,
                 ceil ? " ceil=yes" : "", more);
  free (options);
  view_of_image (&v, id, v.ndim);
  return lay_result (l, nd, v, id);
}

int
lay_max_pool (struct lay *l, struct net_node *nd)
{
  if (nd->n_out > 1 && nd->out[1] >= 0 && l->n->value[nd->out[1]].uses > 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "its second output, where the largest element was, is "
                      "used");
  net_attr_int (nd, "storage_order", 0); /* of that output */
  return pool (l, nd, "maxpool2d", false);
}

int
lay_average_pool (struct lay *l, struct net_node *nd)
{
  return pool (l, nd, "avgpool2d",
               net_attr_int (nd, "count_include_pad", 0) != 0);
}

/* All of the image into one element a channel. */
static int
global (struct lay *l, struct net_node *nd, const char *layer,
        const char *options)
{
  struct view v, image;
  int id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_image (l, nd, &v, &image)) < 0)
    return r;
  if ((id = lay_node (l, nd, layer, &image.id, 1, "%s", options)) < 0)
    return id;
  image.axis[1].n = 1;
  image.axis[1].of[0] = 1;
  for (r = 2; r < v.ndim; r++)
    image.axis[r].n = 0;
  image.id = id;
  lay_output (l, nd, 0, &image);
  return 0;
}

int
lay_average_by_weights (struct lay *l, struct net_node *nd, int id)
{
  struct window w = { .stride = { 1, 1 }, .dilation = { 1, 1 } };
  struct view image;
  int i, r;

  view_of_image (&image, id, 4);
  for (i = 0; i < 2; i++)
    w.kernel[i] = view_ours (l, &image)->dims[1 + i];
  r = average_by_weights (l, nd, &image, &w);
  return r < 0 ? r : image.id;
}

static int
global_average_by_weights (struct lay *l, struct net_node *nd)
{
  struct view v, image;
  int id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_image (l, nd, &v, &image)) < 0
      || (id = r = lay_average_by_weights (l, nd, image.id)) < 0)
    return r;
  view_of_image (&v, id, v.ndim);
  return lay_result (l, nd, v, id);
}

int
lay_global_average_pool (struct lay *l, struct net_node *nd)
{
  if (lay_changes_grid (l, nd))
    return global_average_by_weights (l, nd);
  return global (l, nd, "global_avgpool", "");
}

int
lay_global_max_pool (struct lay *l, struct net_node *nd)
{
  return global (l, nd, "reduce", "op=max axes=1,2 keep=no");
}

/* ---- sizes ------------------------------------------------------------------------------- */

/* Scales or sizes, (N,C,H,W): those of height and width. */
static int
resize_to (struct lay *l, struct net_node *nd, const struct view *v,
           const struct view *image, const struct onnx_const *scales,
           const struct onnx_const *sizes, const char *coords, int64_t *size,
           double *scale)
{
  const struct onnx_const *c = sizes != NULL ? sizes : scales;
  const int64_t *in = view_ours (l, image)->dims + 1;
  const int axes = v->ndim - 2;
  int i;

  if (c == NULL || c->n != v->ndim)
    return net_error (l->n, nd, -ENOTSUP, "%lld scales or sizes, expected %d",
                      c == NULL ? 0LL : (long long) c->n, v->ndim);
  for (i = 0; i < v->ndim; i++) {
    const double x = c->real ? (double) c->f[i] : (double) c->i[i];
    const int at = i - axes; /* of ours, height 0 and width 1 */

    if (i < 2) {
      if (sizes != NULL ? x != (double) view_size (l, v, i) : x != 1)
        return net_error (l->n, nd, -ENOTSUP,
                          "changes the size of axis %d, expected height and "
                          "width only",
                          i);
      continue;
    }
    size[at] = sizes != NULL ? (int64_t) x : (int64_t) (x * (double) in[at]);
    scale[at] = sizes != NULL ? (double) size[at] / (double) in[at] : x;
    if (strcmp (coords, "align_corners") == 0
        && scale[at] * (double) in[at] != (double) size[at])
      return net_error (l->n, nd, -ENOTSUP,
                        "aligns corners of a size that is no whole number, %g",
                        scale[at] * (double) in[at]);
    if (size[at] < 1 || size[at] > 1 << 20)
      return net_error (l->n, nd, -EBADMSG, "makes %lld of %lld",
                        (long long) size[at], (long long) in[at]);
  }
  return 0;
}

static int
resize (struct lay *l, struct net_node *nd, const struct onnx_const *scales,
        const struct onnx_const *sizes, const char *mode, const char *coords,
        const char *nearest)
{
  struct view v, image;
  int64_t size[2] = { 1, 1 };
  double scale[2] = { 1, 1 };
  int id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_image (l, nd, &v, &image)) < 0
      || (r
          = resize_to (l, nd, &v, &image, scales, sizes, coords, size, scale))
           < 0)
    return r;
  id = lay_node (l, nd, "resize", &image.id, 1,
                 "size=%lld,%lld scale=%.9g,%.9g mode=%s coords=%s nearest=%s",
                 (long long) size[0], (long long) size[1], scale[0], scale[1],
                 mode, coords, nearest);
  view_of_image (&v, id, v.ndim);
  return lay_result (l, nd, v, id);
}

int
lay_resize (struct lay *l, struct net_node *nd)
{
  char a[NET_WORD], b[NET_WORD], c[NET_WORD], d[NET_WORD];
  const bool old = l->n->file->opset < 11;
  const struct onnx_const *scales, *sizes = NULL;
  const char *mode = net_attr_string (nd, "mode", "nearest", a);
  const char *coords = net_attr_string (nd, "coordinate_transformation_mode",
                                        old ? "asymmetric" : "half_pixel", b);
  const char *nearest = net_attr_string (
    nd, "nearest_mode", old ? "floor" : "round_prefer_floor", c);
  int r;

  if (net_attr_int (nd, "antialias", 0) != 0
      || net_attr_int (nd, "exclude_outside", 0) != 0
      || net_attr_given (nd, "axes")
      || strcmp (
           net_attr_string (nd, "keep_aspect_ratio_policy", "stretch", d),
           "stretch")
           != 0
      || strcmp (coords, "tf_crop_and_resize") == 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "antialias, exclude_outside, axes, "
                      "keep_aspect_ratio_policy and tf_crop_and_resize are "
                      "not known here");
  net_attr_float (nd, "cubic_coeff_a", -0.75f);
  net_attr_float (nd, "extrapolation_value", 0);
  if ((r = lay_known (l, nd, old ? 1 : 2, true, &scales)) < 0
      || (r = lay_known (l, nd, 3, true, &sizes)) < 0)
    return r;
  if (scales != NULL && scales->n == 0)
    scales = NULL;
  if (strcmp (coords, "pytorch_half_pixel") != 0
      && strcmp (coords, "half_pixel") != 0
      && strcmp (coords, "asymmetric") != 0
      && strcmp (coords, "align_corners") != 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "coordinate_transformation_mode is '%s', expected "
                      "half_pixel, pytorch_half_pixel, asymmetric or "
                      "align_corners",
                      coords);
  return resize (l, nd, scales, sizes, mode, coords, nearest);
}

int
lay_upsample (struct lay *l, struct net_node *nd)
{
  char a[NET_WORD];
  const char *mode = net_attr_string (nd, "mode", "nearest", a);
  const struct onnx_const *scales;
  struct onnx_const own = { .real = true };
  size_t n;
  int r;

  if ((r = lay_known (l, nd, 1, true, &scales)) < 0)
    return r;
  if (scales == NULL) {
    /* opset 7 has them as an attribute */
    own.f = (float *) (uintptr_t) net_attr_floats (nd, "scales", &n);
    own.n = (int64_t) n;
    scales = &own;
  }
  if (strcmp (mode, "bilinear") == 0)
    mode = "linear";
  return resize (l, nd, scales, NULL, mode, "asymmetric", "floor");
}

static int
block (struct lay *l, struct net_node *nd, const char *layer, const char *more)
{
  const int64_t size = net_attr_int (nd, "blocksize", 1);
  struct view v, image;
  int id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = view_image (l, nd, &v, &image)) < 0)
    return r;
  id = lay_node (l, nd, layer, &image.id, 1, "block=%lld%s", (long long) size,
                 more);
  view_of_image (&v, id, v.ndim);
  return lay_result (l, nd, v, id);
}

int
lay_depth_to_space (struct lay *l, struct net_node *nd)
{
  char a[NET_WORD];
  const bool crd = strcmp (net_attr_string (nd, "mode", "DCR", a), "CRD") == 0;

  return block (l, nd, "depth_to_space", crd ? " mode=crd" : " mode=dcr");
}

int
lay_space_to_depth (struct lay *l, struct net_node *nd)
{
  return block (l, nd, "space_to_depth", "");
}
