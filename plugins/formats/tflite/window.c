/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* window.c: windows over images: how they are padded, and pooling.
 *
 * TFLite knows two ways: VALID, without any padding, and SAME, with ceil (H /
 * stride) rows of output and the padding that this takes, the smaller half of it
 * before the first row.  Where a network has another one, its input is padded by
 * an operator of its own. */
#include "config.h"

#include "writer.h"

struct axis {
  int64_t in, out;
  int kernel, stride, dilation, before;
};

/* Elements beside IN that the windows reach to. */
static int64_t
reach (const struct axis *a)
{
  return (a->out - 1) * a->stride + (int64_t) a->dilation * (a->kernel - 1) + 1
         - a->in;
}

static bool
is_same (const struct axis *a)
{
  const int64_t padding = reach (a) > 0 ? reach (a) : 0;

  return a->out == (a->in + a->stride - 1) / a->stride
         && a->before == padding / 2;
}

static void
window_axes (const struct writer *w, const struct qk_network_node *n,
             struct axis a[2])
{
  const struct qk_op *op = n->op;
  const int64_t *in = input_of (w, n, 0)->shape.dims;
  const int64_t *out = value_of (w, n->out)->shape.dims;

  a[0] = (struct axis){ in[1],        out[1],         op->kernel_h,
                        op->stride_h, op->dilation_h, op->pad_top };
  a[1] = (struct axis){ in[2],        out[2],         op->kernel_w,
                        op->stride_w, op->dilation_w, op->pad_left };
}

/* OUT: VALID, after the padding that the windows reach to. */
static void
explicit_window (const struct axis a[2], struct window *out)
{
  *out = (struct window){ .padding = TFL_VALID };
  for (int i = 0; i < 2; i++) {
    const int64_t after = reach (&a[i]) - a[i].before;

    out->before[i] = a[i].before;
    out->after[i] = after > 0 ? (int32_t) after : 0;
  }
}

static bool
is_padded (const struct window *w)
{
  return w->before[0] > 0 || w->before[1] > 0 || w->after[0] > 0
         || w->after[1] > 0;
}

void
tflite_window (const struct writer *w, const struct qk_network_node *n,
               struct window *out)
{
  struct axis a[2];

  window_axes (w, n, a);
  explicit_window (a, out);
  if (is_padded (out) && is_same (&a[0]) && is_same (&a[1]))
    *out = (struct window){ .padding = TFL_SAME };
}

void
tflite_put_pad (struct writer *w, const struct qk_network_node *n, int in,
                int ndim, const int32_t *before, const int32_t *after,
                struct grid q, int fill, int out)
{
  struct tfl_tensor t = { .type = TFL_INT32, .ndim = 2, .dims = { ndim, 2 } };
  const int8_t value = (int8_t) (fill - TFL_SHIFT);
  int32_t *x = tfl_alloc (&w->m, (size_t) ndim * 2 * sizeof *x);
  int all[3] = { in, 0, 0 };

  if (x == NULL)
    return;
  for (int i = 0; i < ndim; i++) {
    x[2 * i] = before[i];
    x[2 * i + 1] = after[i];
  }
  t.name = tfl_name (&w->m, "%s/paddings", n->name);
  t.data = x;
  t.elements = (size_t) ndim * 2;
  all[1] = tfl_add_tensor (&w->m, &t);
  /* PAD puts the integer that stands for 0 there, PADV2 any */
  if (fill != q.zero_point)
    all[2]
      = put_int8 (w, tfl_name (&w->m, "%s/fill", n->name), 1, &value, 1, q);
  tfl_add_node (&w->m, fill != q.zero_point ? TFL_PADV2 : TFL_PAD,
                ndim > 4 ? 4 : 2, fill != q.zero_point ? 3 : 2, all, out,
                NULL);
}

int
tflite_put_padded (struct writer *w, const struct qk_network_node *n, int in,
                   const struct window *window, int fill)
{
  const struct qk_shape *s = &input_of (w, n, 0)->shape;
  int32_t before[4] = { 0 }, after[4] = { 0 };
  struct qk_shape padded = *s;
  int out;

  for (int i = 0; i < 2; i++) {
    before[1 + i] = window->before[i];
    after[1 + i] = window->after[i];
    padded.dims[1 + i] += window->before[i] + window->after[i];
  }
  if (qk_shape_equal (s, &padded))
    return in;
  out = put_part (w, n, "padded", &padded, grid_of (w, n->in[0]));
  tflite_put_pad (w, n, in, 4, before, after, grid_of (w, n->in[0]), fill,
                  out);
  return out;
}

/* ---- pooling --------------------------------------------------------------- */

/* What fills the places beside the input: what is never the largest, or 0. */
static int
fill_of (const struct qk_network_node *n)
{
  return n->op->kind == QK_OP_MAXPOOL2D ? 0 : n->op->in_q[0].zero_point;
}

/* The window of means.  Those of SAME are of the places within the input; where
 * others count too, they are there before. */
static int
mean_window (const struct writer *w, const struct qk_network_node *n,
             struct window *out)
{
  const struct qk_op *op = n->op;
  struct axis a[2];

  window_axes (w, n, a);
  explicit_window (a, out);
  if (!is_padded (out))
    return 0;
  if (!op->count_pad && (!is_same (&a[0]) || !is_same (&a[1])))
    return tflite_refuse (n, "means that do not count the padding, which is "
                             "not that of SAME");
  if (!op->count_pad)
    *out = (struct window){ .padding = TFL_SAME };
  else if (out->after[0] > op->pad_bottom || out->after[1] > op->pad_right)
    return tflite_refuse (n, "means of fewer elements beyond the padding");
  return 0;
}

static int
pool_window (const struct writer *w, const struct qk_network_node *n,
             struct window *out)
{
  if (n->op->dilation_h > 1 || n->op->dilation_w > 1)
    return tflite_refuse (n, "its window is dilated");
  if (n->op->kind == QK_OP_AVGPOOL2D)
    return mean_window (w, n, out);
  tflite_window (w, n, out);
  return 0;
}

/* Whether N has one window, the image. */
static bool
is_whole (const struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int64_t *in = input_of (w, n, 0)->shape.dims;

  return op->kernel_h == in[1] && op->kernel_w == in[2] && op->pad_top == 0
         && op->pad_left == 0 && op->pad_bottom == 0 && op->pad_right == 0;
}

/* Pooling of N with WINDOW, of SIZE rows and columns, from IN to OUT. */
static void
put_pooling (struct writer *w, const struct qk_network_node *n, int in,
             const struct window *window, const int64_t size[2],
             const int stride[2], const struct result *out, int to)
{
  const bool largest = n->op->kind == QK_OP_MAXPOOL2D;
  struct tfl_options options = { .type = TFL_POOL_OPTIONS };

  options.field[0] = tfl_byte ((int) window->padding);
  options.field[1] = tfl_int (stride[1]);
  options.field[2] = tfl_int (stride[0]);
  options.field[3] = tfl_int ((int) size[1]);
  options.field[4] = tfl_int ((int) size[0]);
  options.field[5] = tfl_byte ((int) out->activation);
  tfl_add_node (&w->m, largest ? TFL_MAX_POOL_2D : TFL_AVERAGE_POOL_2D, 2, 1,
                &in, to, &options);
}

int
tflite_put_whole (struct writer *w, const struct qk_network_node *n)
{
  static const struct window window = { .padding = TFL_VALID };
  static const int stride[2] = { 1, 1 };
  const struct qk_shape *s = &input_of (w, n, 0)->shape;
  const struct qk_shape *to = &value_of (w, n->out)->shape;
  const struct qk_shape pixel = { 4, { s->dims[0], 1, 1, s->dims[3] } };
  const struct result out = put_result (w, n, true);
  const bool direct = to->ndim == 4;
  const int pooled
    = direct ? out.tensor
             : put_part (w, n, "pooled", &pixel, grid_of (w, n->out));

  put_pooling (w, n, tensor_of (w, n, 0), &window, s->dims + 1, stride, &out,
               pooled);
  if (!direct)
    put_reshape_to (w, pooled, to, out.tensor);
  return finish_result (w, n, &out);
}

int
tflite_put_pool (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int64_t size[2] = { op->kernel_h, op->kernel_w };
  const int stride[2] = { op->stride_h, op->stride_w };
  struct window window;
  struct result out;
  int in, r;

  if (input_of (w, n, 0)->shape.ndim != 4)
    return tflite_refuse (n, "its input is no image");
  if (op->kind == QK_OP_AVGPOOL2D && is_whole (w, n))
    return tflite_put_whole (w, n);
  if ((r = pool_window (w, n, &window)) < 0)
    return r;
  in = tflite_put_padded (w, n, tensor_of (w, n, 0), &window, fill_of (n));
  out = put_result (w, n, true);
  put_pooling (w, n, in, &window, size, stride, &out, out.tensor);
  return finish_result (w, n, &out);
}
