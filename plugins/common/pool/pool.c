/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pool.c: windows over samples and averages over windows. */
#include "config.h"

#include <string.h>

#include <qatkit/numeric.h>

#include "pool.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 4096

int
pool_read (const char *name, const struct qk_config *cfg,
           struct pool_window *out)
{
  struct window *w = &out->w;

  *out = (struct pool_window){ .ceil = qk_config_bool (cfg, "ceil") };
  window_read (cfg, w);
  if (w->kernel_h == 0 || w->kernel_w == 0)
    return qk_error (-EINVAL,
                     "%s: the window has no %s, expected kernel, or kernel_h "
                     "and kernel_w",
                     name, w->kernel_h == 0 ? "height" : "width");
  w->stride_h = w->stride_h > 0 ? w->stride_h : w->kernel_h;
  w->stride_w = w->stride_w > 0 ? w->stride_w : w->kernel_w;
  return 0;
}

void
pool_clip (int64_t start, int k, int dilation, int64_t size, int *r0, int *r1)
{
  const int64_t d = dilation;
  int64_t a = start < 0 ? (-start + d - 1) / d : 0;
  int64_t b = size > start ? (size - start + d - 1) / d : 0;

  if (b > k)
    b = k;
  if (a > b)
    a = b;
  *r0 = (int) a;
  *r1 = (int) b;
}

/* One direction of a window, with the padding before and after. */
struct axis {
  const char *name;
  int kernel, stride, dilation, before, after;
};

/* Output size along one axis. */
static int
axis_size (const char *name, const struct axis *a, bool ceil, int64_t size,
           int64_t *out)
{
  const int64_t extent = (int64_t) a->dilation * (a->kernel - 1) + 1;
  const int64_t room = size + a->before + a->after - extent;

  if (size < 1 || room < 0)
    return qk_error (-EINVAL,
                     "%s: the window is %lld pixels wide, the input's %s is "
                     "%lld with padding %d and %d",
                     name, (long long) extent, a->name, (long long) size,
                     a->before, a->after);
  *out = room / a->stride + 1;
  if (ceil && room % a->stride != 0 && *out * a->stride < size + a->before)
    ++*out;
  for (int64_t p = 0; p < *out; p++) {
    int r0, r1;

    pool_clip (p * a->stride - a->before, a->kernel, a->dilation, size, &r0,
               &r1);
    if (r0 == r1)
      return qk_error (-EINVAL,
                       "%s: window %lld along the %s sees only padding", name,
                       (long long) p, a->name);
  }
  return 0;
}

int
pool_infer (const char *name, const struct pool_window *pw,
            const struct qk_shape *in, int n_in, struct qk_shape *out)
{
  const struct window *w = &pw->w;
  const struct axis h
    = { "height", w->kernel_h, w->stride_h, w->dilation_h, w->top, w->bottom };
  const struct axis v
    = { "width", w->kernel_w, w->stride_w, w->dilation_w, w->left, w->right };
  char buf[80];
  int err;

  if (n_in != 1)
    return qk_error (-EINVAL, "%s: takes 1 input, got %d", name, n_in);
  if (in->ndim != 4)
    return qk_error (-EINVAL, "%s: input must be (N,H,W,C), got %s", name,
                     qk_shape_print (in, buf, sizeof buf));
  *out = *in;
  err = axis_size (name, &h, pw->ceil, in->dims[1], &out->dims[1]);
  if (err < 0)
    return err;
  return axis_size (name, &v, pw->ceil, in->dims[2], &out->dims[2]);
}

int
pool_average_check (const char *name, int64_t kh, int64_t kw)
{
  const int64_t limit = ((1 << 24) - 1) / 255;

  if (kh < 1 || kw < 1 || kh > limit || kw > limit || kh * kw > limit)
    return qk_error (-EINVAL,
                     "%s: a quantized average takes at most %lld pixels, "
                     "got %lld x %lld",
                     name, (long long) limit, (long long) kh, (long long) kw);
  return 0;
}

/* ---- average -----------------------------------------------------------
 * A call is cut into output pixels; i = (n P + p) Q + q. */

struct plane {
  int64_t h, w, c, p, q; /* input and output sizes */
};

struct tile {
  int r0, r1, s0, s1; /* rows and columns of the window in the sample */
  int64_t first;      /* input pixel of the window's (0,0); may lie outside */
  int count;          /* pixels that count */
};

/* The output may be (N,P,Q,C), or (N,C) for a single window a sample. */
static struct plane
plane_of (const struct qk_shape *in, const struct qk_shape *out)
{
  const int64_t *d = in->dims;
  const bool single = out->ndim != 4;

  return (struct plane){ d[1], d[2], d[3], single ? 1 : out->dims[1],
                         single ? 1 : out->dims[2] };
}

/* Elements of a window from START on that an average with count_pad divides
 * by: none beyond the padding, which ends at END. */
static int
padded_taps (int64_t start, int kernel, int64_t end)
{
  return start + kernel > end ? (int) (end - start) : kernel;
}

static struct tile
tile_of (const struct pool_window *pw, const struct plane *d, int64_t i)
{
  const struct window *w = &pw->w;
  const int64_t y = i / d->q % d->p * w->stride_h - w->top;
  const int64_t x = i % d->q * w->stride_w - w->left;
  struct tile t;

  pool_clip (y, w->kernel_h, 1, d->h, &t.r0, &t.r1);
  pool_clip (x, w->kernel_w, 1, d->w, &t.s0, &t.s1);
  t.first = (i / d->q / d->p * d->h + y) * d->w + x;
  t.count = (t.r1 - t.r0) * (t.s1 - t.s0);
  if (pw->count_pad)
    t.count = padded_taps (y, w->kernel_h, d->h + w->bottom)
              * padded_taps (x, w->kernel_w, d->w + w->right);
  return t;
}

static void
average_f32 (const float *x, float *y, const struct plane *d, struct tile t)
{
  const float n = (float) t.count;

  for (int64_t c = 0; c < d->c; c++)
    y[c] = 0.0f;
  for (int r = t.r0; r < t.r1; r++)
    for (int s = t.s0; s < t.s1; s++) {
      const float *p = x + (t.first + r * d->w + s) * d->c;

      for (int64_t c = 0; c < d->c; c++)
        y[c] += p[c];
    }
  for (int64_t c = 0; c < d->c; c++)
    y[c] /= n;
}

/* Channels summed at a time in integers. */
#define LANES 64

static void
average_u8 (const uint8_t *x, uint8_t *y, const struct plane *d, struct tile t,
            const struct qk_qparams *q)
{
  const int32_t zp = q->zero_point;
  const int32_t base = zp * (t.r1 - t.r0) * (t.s1 - t.s0);

  for (int64_t c0 = 0; c0 < d->c; c0 += LANES) {
    const int n = d->c - c0 < LANES ? (int) (d->c - c0) : LANES;
    int32_t sum[LANES] = { 0 };

    for (int r = t.r0; r < t.r1; r++)
      for (int s = t.s0; s < t.s1; s++) {
        const uint8_t *p = x + (t.first + r * d->w + s) * d->c + c0;

        for (int c = 0; c < n; c++)
          sum[c] += p[c];
      }
    for (int c = 0; c < n; c++)
      y[c0 + c] = (uint8_t) qk_mean_quantized (sum[c] - base, t.count, zp,
                                               q->qmin, q->qmax);
  }
}

int
pool_average_forward (const char *name, const struct pool_window *w,
                      struct qk_layer_io *io)
{
  const struct qk_tensor *in = &io->in[0];
  struct qk_tensor *out = io->out;
  const struct plane d = plane_of (&in->shape, &out->shape);
  const int64_t n = in->shape.dims[0] * d.p * d.q;
  const int threads = io->threads > 1 ? io->threads : 1;
  const bool u8 = in->dtype == QK_U8;

  (void) threads;
  if (in->dtype != out->dtype || (!u8 && in->dtype != QK_F32))
    return qk_error (-ENOTSUP, "%s: cannot go from %s to %s", name,
                     qk_dtype_name (in->dtype), qk_dtype_name (out->dtype));
  out->q = in->q;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (qk_shape_count(&in->shape) >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++) {
    const struct tile t = tile_of (w, &d, i);

    if (u8)
      average_u8 (in->data, (uint8_t *) out->data + i * d.c, &d, t, &in->q);
    else
      average_f32 (in->data, (float *) out->data + i * d.c, &d, t);
  }
  return 0;
}

/* One sample after the other in a thread: windows may overlap. */
void
pool_average_backward (const struct pool_window *w, struct qk_layer_io *io)
{
  const struct qk_shape *in = &io->din[0].shape;
  const struct plane d = plane_of (in, &io->dout->shape);
  const int64_t windows = d.p * d.q, size = d.h * d.w * d.c;
  const int threads = io->threads > 1 ? io->threads : 1;
  const float *dy = io->dout->data;
  float *dx = io->din[0].data;

  (void) threads;
  if (dx == NULL)
    return;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (qk_shape_count(in) >= PARALLEL_MIN)
  for (int64_t n = 0; n < in->dims[0]; n++) {
    memset (dx + n * size, 0, (size_t) size * sizeof *dx);
    for (int64_t i = n * windows; i < (n + 1) * windows; i++) {
      const struct tile t = tile_of (w, &d, i);
      const float share = 1.0f / (float) t.count;

      for (int r = t.r0; r < t.r1; r++)
        for (int s = t.s0; s < t.s1; s++) {
          float *p = dx + (t.first + r * d.w + s) * d.c;

          for (int64_t c = 0; c < d.c; c++)
            p[c] += dy[i * d.c + c] * share;
        }
    }
  }
}

void
pool_lower (const struct pool_window *pw, const struct qk_layer_io *io,
            struct qk_op *op)
{
  const struct qk_qparams *q = &io->in[0].q;
  const struct window *w = &pw->w;

  op->lo = q->qmin;
  op->hi = q->qmax;
  op->kernel_h = w->kernel_h;
  op->kernel_w = w->kernel_w;
  op->stride_h = w->stride_h;
  op->stride_w = w->stride_w;
  op->pad_top = w->top;
  op->pad_left = w->left;
  op->pad_bottom = w->bottom;
  op->pad_right = w->right;
  op->dilation_h = w->dilation_h;
  op->dilation_w = w->dilation_w;
  op->groups = 1;
  op->count_pad = pw->count_pad;
  op->in_channels = op->out_channels = io->in[0].shape.dims[3];
}
