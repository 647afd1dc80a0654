/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* maxpool2d: the largest number under a sliding window.
 *
 * x (N,H,W,C) -> y (N,P,Q,C); y = max over the window of x, padding does not
 * count; NaN wins, as in PyTorch.  dx: the first largest element of each
 * window gets its dy.  On u8 the order of the integers is that of the real
 * numbers, so the grid stays.
 *
 * Options: kernel, kernel_h, kernel_w, stride, stride_h, stride_w, padding,
 * padding_top, padding_left, padding_bottom, padding_right, ceil, dilation,
 * dilation_h, dilation_w. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>

#include "pool/pool.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 32768

struct maxpool {
  struct pool_window window;
};

static int
maxpool2d_create (const struct qk_config *cfg, void **self)
{
  struct pool_window w;
  struct maxpool *l;
  const int err = pool_read ("maxpool2d", cfg, &w);

  if (err < 0)
    return err;
  if (w.w.kernel_h * w.w.kernel_w > UINT16_MAX)
    return qk_error (-EINVAL,
                     "maxpool2d: a window of %d x %d, expected at most %d "
                     "elements",
                     w.w.kernel_h, w.w.kernel_w, UINT16_MAX);
  window_read_dilation (cfg, &w.w);
  l = calloc (1, sizeof *l);
  if (l == NULL)
    return qk_oom ("maxpool2d");
  l->window = w;
  *self = l;
  return 0;
}

static void
maxpool2d_destroy (void *self)
{
  free (self);
}

static int
maxpool2d_infer (void *self, const struct qk_shape *in, int n_in,
                 struct qk_shape *out)
{
  const struct maxpool *l = self;

  return pool_infer ("maxpool2d", &l->window, in, n_in, out);
}

static void
maxpool2d_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_SAME_GRID;
  out->wide = true;
}

/* saved: for each output element the window's element that won, r K + s */
static int
maxpool2d_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_in = s->keep_out = false;
  if (s->train)
    s->saved = (size_t) qk_shape_count (s->out) * sizeof (uint16_t);
  return 0;
}

/* ---- forward -----------------------------------------------------------*/

struct maxpool_tile {
  int r0, r1, s0, s1; /* rows and columns of the window in the sample */
  int64_t first;      /* input pixel of the window's (0,0); may lie outside */
};

static struct maxpool_tile
maxpool2d_tile (const struct window *w, const struct qk_shape *in,
                const struct qk_shape *out, int64_t i)
{
  const int64_t p = out->dims[1], q = out->dims[2];
  const int64_t y = i / q % p * w->stride_h - w->top;
  const int64_t x = i % q * w->stride_w - w->left;
  struct maxpool_tile t;

  pool_clip (y, w->kernel_h, w->dilation_h, in->dims[1], &t.r0, &t.r1);
  pool_clip (x, w->kernel_w, w->dilation_w, in->dims[2], &t.s0, &t.s1);
  t.first = (i / q / p * in->dims[1] + y) * in->dims[2] + x;
  return t;
}

/* One output pixel from its first input pixel on, then the others; the same
 * text serves float and bytes (for which x != x never holds). */
#define DEFINE_KERNELS(type, suffix)                                          \
  static void start_##suffix (const type *x, type *y, uint16_t *win,          \
                              int64_t channels, int tap)                      \
  {                                                                           \
    memcpy (y, x, (size_t) channels * sizeof *y);                             \
    for (int64_t c = 0; win != NULL && c < channels; c++)                     \
      win[c] = (uint16_t) tap;                                                \
  }                                                                           \
  static void more_##suffix (const type *x, type *y, uint16_t *win,           \
                             int64_t channels, int tap)                       \
  {                                                                           \
    if (win == NULL)                                                          \
      for (int64_t c = 0; c < channels; c++)                                  \
        y[c] = x[c] > y[c] || !(x[c] == x[c]) ? x[c] : y[c];                  \
    else                                                                      \
      for (int64_t c = 0; c < channels; c++) {                                \
        const bool wins = x[c] > y[c] || !(x[c] == x[c]);                     \
                                                                              \
        y[c] = wins ? x[c] : y[c];                                            \
        win[c] = wins ? (uint16_t) tap : win[c];                              \
      }                                                                       \
  }                                                                           \
  static void pixel_##suffix (                                                \
    const struct window *w, const struct maxpool_tile *t, const type *x,      \
    type *y, uint16_t *win, int64_t width, int64_t channels)                  \
  {                                                                           \
    for (int r = t->r0; r < t->r1; r++)                                       \
      for (int s = t->s0; s < t->s1; s++) {                                   \
        const int64_t pixel                                                   \
          = t->first + r * w->dilation_h * width + s * w->dilation_w;         \
        const int tap = r * w->kernel_w + s;                                  \
                                                                              \
        if (r == t->r0 && s == t->s0)                                         \
          start_##suffix (x + pixel * channels, y, win, channels, tap);       \
        else                                                                  \
          more_##suffix (x + pixel * channels, y, win, channels, tap);        \
      }                                                                       \
  }                                                                           \
  struct maxpool_tile

DEFINE_KERNELS (float, f32);
DEFINE_KERNELS (uint8_t, u8);

static int
maxpool2d_forward (void *self, struct qk_layer_io *io)
{
  const struct maxpool *l = self;
  const struct window *w = &l->window.w;
  const struct qk_tensor *in = &io->in[0];
  struct qk_tensor *out = io->out;
  const int64_t channels = in->shape.dims[3], width = in->shape.dims[2];
  const int64_t n = qk_shape_count (&out->shape) / channels;
  uint16_t *win = io->flags & QK_PASS_TRAIN ? io->saved : NULL;
  const int threads = io->threads > 1 ? io->threads : 1;
  const bool u8 = in->dtype == QK_U8;

  (void) threads;
  if (in->dtype != out->dtype || (!u8 && in->dtype != QK_F32))
    return qk_error (-ENOTSUP, "maxpool2d: cannot go from %s to %s",
                     qk_dtype_name (in->dtype), qk_dtype_name (out->dtype));
  out->q = in->q;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (qk_shape_count(&in->shape) >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++) {
    const struct maxpool_tile t
      = maxpool2d_tile (w, &in->shape, &out->shape, i);
    uint16_t *iwin = win != NULL ? win + i * channels : NULL;

    if (u8)
      pixel_u8 (w, &t, in->data, (uint8_t *) out->data + i * channels, iwin,
                width, channels);
    else
      pixel_f32 (w, &t, in->data, (float *) out->data + i * channels, iwin,
                 width, channels);
  }
  return 0;
}

/* One sample after the other in a thread: windows may overlap. */
static int
maxpool2d_backward (void *self, struct qk_layer_io *io)
{
  const struct maxpool *l = self;
  const struct window *w = &l->window.w;
  const struct qk_shape *in = &io->din[0].shape, *out = &io->dout->shape;
  const int64_t channels = in->dims[3], width = in->dims[2];
  const int64_t windows = out->dims[1] * out->dims[2];
  const int64_t size = in->dims[1] * width * channels;
  const int threads = io->threads > 1 ? io->threads : 1;
  const uint16_t *win = io->saved;
  const float *dy = io->dout->data;
  float *dx = io->din[0].data;

  (void) threads;
  if (dx == NULL)
    return 0;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (qk_shape_count(in) >= PARALLEL_MIN)
  for (int64_t n = 0; n < in->dims[0]; n++) {
    memset (dx + n * size, 0, (size_t) size * sizeof *dx);
    for (int64_t i = n * windows; i < (n + 1) * windows; i++) {
      const struct maxpool_tile t = maxpool2d_tile (w, in, out, i);

      for (int64_t c = 0; c < channels; c++) {
        const int tap = win[i * channels + c];
        const int64_t r = tap / w->kernel_w, s = tap % w->kernel_w;

        dx[(t.first + r * w->dilation_h * width + s * w->dilation_w) * channels
           + c]
          += dy[i * channels + c];
      }
    }
  }
  return 0;
}

static int
maxpool2d_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct maxpool *l = self;

  op->kind = QK_OP_MAXPOOL2D;
  pool_lower (&l->window, io, op);
  return 0;
}

static const struct qk_option options[]
  = { POOL_OPTIONS, WINDOW_DILATION, { .name = NULL } };

static const struct qk_layer_class maxpool2d = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "maxpool2d",
                   "Largest number under a sliding window", options),
  .create = maxpool2d_create,
  .destroy = maxpool2d_destroy,
  .infer = maxpool2d_infer,
  .describe = maxpool2d_describe,
  .setup = maxpool2d_setup,
  .forward = maxpool2d_forward,
  .backward = maxpool2d_backward,
  .quantized = true,
  .lower = maxpool2d_lower,
  .geometry = maxpool2d_lower,
};

QK_PLUGIN ("maxpool2d", PACKAGE_VERSION, "LGPL-2.1-or-later", &maxpool2d.cls);
