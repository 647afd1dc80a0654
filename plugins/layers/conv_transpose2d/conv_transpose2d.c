/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv_transpose2d: transposed convolution, the gradient of a convolution by
 * its input as a layer; Zeiler et al. 2010.
 *
 * x (N,H,W,C), y (N,P,Q,K), v (K,R,S,C/groups), b (K):
 *   P = (H - 1) stride - top - bottom + dilation (R - 1) + 1 + output_padding
 *   y[n,p,q,k] = b[k] + sum v[k,r,s,c] u[n, p + r dilation, q + s dilation, c]
 * where u is x with stride - 1 zeros between its elements and
 * dilation (R - 1) - top zeros before them (or that many elements less), and v
 * PyTorch's weight with its window turned around: an ordinary convolution of
 * u, as which it is computed, with the batch-norm and clamp that it absorbs.
 *
 * Options: out, kernel, kernel_h, kernel_w, stride, stride_h, stride_w,
 * padding, padding_top, padding_left, padding_bottom, padding_right,
 * output_padding_h, output_padding_w, dilation, dilation_h, dilation_w,
 * groups, bias. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv.h"
#include "window/window.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 16384

struct upconv {
  struct qk_conv cv; /* of u */
  struct window w;
  int more_h, more_w; /* output padding */
  /* from infer */
  int64_t h, wide, c; /* x */
  int64_t up_h, up_w; /* u */
  /* from setup */
  size_t workspace; /* of the convolution; u follows, and its gradient */
  size_t up_bytes;
};

static const struct qk_option options[]
  = { { "out", QK_OPT_INT, NULL, 1, 1 << 20, NULL, "Output channels" },
      WINDOW_KERNEL ("1", 1),
      WINDOW_STRIDE ("1", 1, "Step of the output for a pixel of the input."),
      WINDOW_PADDING ("Pixels left out on each side of the output."),
      WINDOW_INT ("output_padding_h", 0, "0",
                  "Rows added below, fewer than stride or dilation."),
      WINDOW_INT ("output_padding_w", 0, "0",
                  "Columns added on the right, likewise."),
      WINDOW_DILATION,
      { "groups", QK_OPT_INT, "1", 1, 1 << 20, NULL,
        "Groups of channels that are convolved on their own" },
      { "bias", QK_OPT_BOOL, "yes", 0, 0, NULL, "Add a trained bias" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
check_more (const char *name, int more, int stride, int dilation)
{
  if (more < stride || more < dilation)
    return 0;
  return qk_error (-EINVAL,
                   "conv_transpose2d: %s is %d, expected less than the stride "
                   "%d or the dilation %d",
                   name, more, stride, dilation);
}

static int
conv_transpose2d_create (const struct qk_config *cfg, void **self)
{
  struct upconv *l = calloc (1, sizeof *l);
  struct qk_conv *cv;
  int r;

  if (l == NULL)
    return qk_oom ("conv_transpose2d");
  cv = &l->cv;
  window_read (cfg, &l->w);
  window_read_dilation (cfg, &l->w);
  l->more_h = (int) qk_config_int (cfg, "output_padding_h");
  l->more_w = (int) qk_config_int (cfg, "output_padding_w");
  qk_conv_init (cv, "conv_transpose2d");
  cv->k = qk_config_int (cfg, "out");
  cv->r = l->w.kernel_h;
  cv->s = l->w.kernel_w;
  cv->dil_h = l->w.dilation_h;
  cv->dil_w = l->w.dilation_w;
  cv->groups = (int) qk_config_int (cfg, "groups");
  cv->bias = qk_config_bool (cfg, "bias");
  if ((r = check_more ("output_padding_h", l->more_h, l->w.stride_h,
                       l->w.dilation_h))
        < 0
      || (r = check_more ("output_padding_w", l->more_w, l->w.stride_w,
                          l->w.dilation_w))
           < 0) {
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static void
conv_transpose2d_destroy (void *self)
{
  free (self);
}

/* The output's size along an axis. */
static int64_t
extent (int64_t size, int kernel, int stride, int dilation, int before,
        int after, int more)
{
  return (size - 1) * stride - before - after
         + (int64_t) dilation * (kernel - 1) + 1 + more;
}

static int
conv_transpose2d_infer (void *self, const struct qk_shape *in, int n_in,
                        struct qk_shape *out)
{
  struct upconv *l = self;
  const struct window *w = &l->w;
  struct qk_shape up;
  int64_t p, q;
  char buf[96];

  if (n_in != 1)
    return qk_error (-EINVAL, "conv_transpose2d: takes 1 input, got %d", n_in);
  if (in->ndim != 4)
    return qk_error (-EINVAL,
                     "conv_transpose2d: input must be (N,H,W,C), got %s",
                     qk_shape_print (in, buf, sizeof buf));
  p = extent (in->dims[1], w->kernel_h, w->stride_h, w->dilation_h, w->top,
              w->bottom, l->more_h);
  q = extent (in->dims[2], w->kernel_w, w->stride_w, w->dilation_w, w->left,
              w->right, l->more_w);
  if (p < 1 || q < 1)
    return qk_error (-EINVAL,
                     "conv_transpose2d: the padding leaves nothing of the "
                     "output of input %s",
                     qk_shape_print (in, buf, sizeof buf));
  up = *in;
  l->h = in->dims[1];
  l->wide = in->dims[2];
  l->c = in->dims[3];
  up.dims[1] = l->up_h = p + (int64_t) w->dilation_h * (w->kernel_h - 1);
  up.dims[2] = l->up_w = q + (int64_t) w->dilation_w * (w->kernel_w - 1);
  return qk_conv_infer (&l->cv, &up, 1, out);
}

static int
conv_transpose2d_params (void *self, struct qk_param_spec *out)
{
  struct upconv *l = self;
  const int n = qk_conv_params (&l->cv, out);

  out[0].layout = QK_LAYOUT_GROUPED (QK_LAYOUT_IOHW_TURNED, l->cv.groups);
  return n;
}

static void
conv_transpose2d_describe (void *self, struct qk_layer_traits *out)
{
  struct upconv *l = self;

  qk_conv_describe (&l->cv, out);
  out->wide = false;
  out->macs
    = l->h * l->wide * l->c * (l->cv.k / l->cv.groups) * l->cv.r * l->cv.s;
}

static int
conv_transpose2d_absorb (void *self, const struct qk_layer_traits *next)
{
  struct upconv *l = self;

  return qk_conv_absorb (&l->cv, next);
}

/* ---- u ------------------------------------------------------------------ */

static size_t
whole_lines (size_t size)
{
  return (size + 63) & ~(size_t) 63;
}

static struct qk_shape
up_shape (const struct upconv *l, int64_t n)
{
  return (struct qk_shape){ 4, { n, l->up_h, l->up_w, l->c } };
}

static int
conv_transpose2d_setup (void *self, struct qk_layer_setup *s)
{
  struct upconv *l = self;
  const struct qk_shape up = up_shape (l, s->in[0].dims[0]);
  struct qk_layer_setup own = *s;
  size_t count;
  int r;

  own.in = &up;
  if ((r = qk_conv_setup (&l->cv, &own)) < 0)
    return r;
  own.in = s->in;
  *s = own;
  s->keep_in = true; /* u is made again in backward */
  count = (size_t) qk_shape_count (&up);
  l->workspace = whole_lines (s->workspace);
  l->up_bytes = whole_lines (count * (s->quantized_in ? 1 : sizeof (float)));
  s->workspace = l->workspace + l->up_bytes;
  if (s->train)
    s->workspace += count * sizeof (float);
  return 0;
}

/* Where element I of x is along an axis of u; outside if it was cut off. */
static int64_t
up_at (int64_t i, int kernel, int stride, int dilation, int before)
{
  return i * stride + (int64_t) dilation * (kernel - 1) - before;
}

/* Call for each line of x and u that meet: N samples of lines of SIZE-byte
 * elements; to u, or from it. */
static void
copy_lines (const struct upconv *l, int64_t n, size_t size, bool to_up,
            int threads, void *x, void *up)
{
  const struct window *w = &l->w;
  const size_t pixel = (size_t) l->c * size;

  (void) threads;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n * l->h; i++) {
    const int64_t row
      = up_at (i % l->h, w->kernel_h, w->stride_h, w->dilation_h, w->top);
    char *px = (char *) x + (size_t) (i * l->wide) * pixel;
    char *line
      = (char *) up + (size_t) ((i / l->h * l->up_h + row) * l->up_w) * pixel;

    for (int64_t j = 0; j < l->wide; j++, px += pixel) {
      const int64_t col
        = up_at (j, w->kernel_w, w->stride_w, w->dilation_w, w->left);
      const bool inside
        = row >= 0 && row < l->up_h && col >= 0 && col < l->up_w;

      if (inside && to_up)
        memcpy (line + (size_t) col * pixel, px, pixel);
      else if (inside)
        memcpy (px, line + (size_t) col * pixel, pixel);
      else if (!to_up)
        memset (px, 0, pixel);
    }
  }
}

/* u in the workspace, as the input of the convolution. */
static struct qk_tensor
make_up (const struct upconv *l, const struct qk_layer_io *io)
{
  const struct qk_tensor *in = &io->in[0];
  const int64_t n = in->shape.dims[0];
  struct qk_tensor up = *in;
  size_t size;

  up.shape = up_shape (l, n);
  up.data = (char *) io->workspace + l->workspace;
  size = qk_dtype_size (up.dtype);
  memset (up.data, up.dtype == QK_U8 ? in->q.zero_point : 0,
          (size_t) qk_shape_count (&up.shape) * size);
  copy_lines (l, n, size, true, io->threads > 1 ? io->threads : 1, in->data,
              up.data);
  return up;
}

/* ---- passes ------------------------------------------------------------- */

static int
conv_transpose2d_prepare (void *self, struct qk_layer_io *io)
{
  struct upconv *l = self;

  return qk_conv_prepare (&l->cv, io);
}

static int
conv_transpose2d_forward (void *self, struct qk_layer_io *io)
{
  struct upconv *l = self;
  const struct qk_tensor up = make_up (l, io);
  struct qk_layer_io own = *io;

  own.in = &up;
  return qk_conv_forward (&l->cv, &own);
}

static int
conv_transpose2d_backward (void *self, struct qk_layer_io *io)
{
  struct upconv *l = self;
  const struct qk_tensor up = make_up (l, io);
  struct qk_tensor dup = { .dtype = QK_F32, .shape = up.shape };
  struct qk_layer_io own = *io;
  int r;

  if (io->din[0].data != NULL)
    dup.data = (char *) io->workspace + l->workspace + l->up_bytes;
  own.in = &up;
  own.din = &dup;
  if ((r = qk_conv_backward (&l->cv, &own)) < 0 || dup.data == NULL)
    return r;
  copy_lines (l, up.shape.dims[0], sizeof (float), false,
              io->threads > 1 ? io->threads : 1, io->din[0].data, dup.data);
  return 0;
}

/* ---- int8 --------------------------------------------------------------- */

static int
conv_transpose2d_geometry (void *self, const struct qk_layer_io *io,
                           struct qk_op *op)
{
  const struct upconv *l = self;

  (void) io;
  qk_conv_geometry (&l->cv, op);
  op->kind = QK_OP_CONV_TRANSPOSE2D;
  op->stride_h = l->w.stride_h;
  op->stride_w = l->w.stride_w;
  op->pad_top = l->w.top;
  op->pad_left = l->w.left;
  op->pad_bottom = l->w.bottom;
  op->pad_right = l->w.right;
  return 0;
}

static int
conv_transpose2d_lower (void *self, const struct qk_layer_io *io,
                        struct qk_op *op)
{
  struct upconv *l = self;
  const int r = qk_conv_lower (&l->cv, io, op);

  return r < 0 ? r : conv_transpose2d_geometry (self, io, op);
}

static const struct qk_layer_class conv_transpose2d = {
  .cls
  = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "conv_transpose2d",
              "Two-dimensional transposed convolution, also grouped", options),
  .create = conv_transpose2d_create,
  .destroy = conv_transpose2d_destroy,
  .infer = conv_transpose2d_infer,
  .params = conv_transpose2d_params,
  .describe = conv_transpose2d_describe,
  .absorb = conv_transpose2d_absorb,
  .setup = conv_transpose2d_setup,
  .forward = conv_transpose2d_forward,
  .backward = conv_transpose2d_backward,
  .quantized = true,
  .lower = conv_transpose2d_lower,
  .geometry = conv_transpose2d_geometry,
  .prepare = conv_transpose2d_prepare,
};

QK_PLUGIN ("conv_transpose2d", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &conv_transpose2d.cls);
