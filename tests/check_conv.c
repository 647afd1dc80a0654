/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_conv.c: conv2d and linear against a naive double-precision and a
 * naive integer implementation. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qatkit/qatkit.h"
#include "quant/quantizer-priv.h"

/* ---- an observer of the test: widest range seen --------------------------*/

struct seen {
  int64_t channels;
  float *min, *max;
};

static int
seen_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct seen *s = calloc (1, sizeof *s);

  (void) cfg;
  s->channels = info->channels;
  s->min = calloc ((size_t) info->channels, sizeof (float));
  s->max = calloc ((size_t) info->channels, sizeof (float));
  *self = s;
  return 0;
}

static void
seen_destroy (void *self)
{
  struct seen *s = self;

  if (s) {
    free (s->min);
    free (s->max);
  }
  free (s);
}

static int
seen_update_range (void *self, const float *min, const float *max)
{
  struct seen *s = self;

  for (int64_t i = 0; i < s->channels; i++) {
    s->min[i] = min[i] < s->min[i] ? min[i] : s->min[i];
    s->max[i] = max[i] > s->max[i] ? max[i] : s->max[i];
  }
  return 0;
}

static int
seen_update (void *self, const float *x, size_t n)
{
  struct seen *s = self;
  const size_t per = n / (size_t) s->channels;

  for (size_t i = 0; i < n; i++) {
    const size_t c = i / per;

    s->min[c] = x[i] < s->min[c] ? x[i] : s->min[c];
    s->max[c] = x[i] > s->max[c] ? x[i] : s->max[c];
  }
  return 0;
}

static int
seen_range (void *self, float *min, float *max)
{
  struct seen *s = self;

  memcpy (min, s->min, (size_t) s->channels * sizeof *min);
  memcpy (max, s->max, (size_t) s->channels * sizeof *max);
  return 0;
}

static const struct qk_observer_class by_range = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "by_range",
                   "test", NULL),
  .create = seen_create, .destroy = seen_destroy,
  .update_range = seen_update_range, .range = seen_range,
};

/* Needs the whole tensor. */
static const struct qk_observer_class by_tensor = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "by_tensor",
                   "test", NULL),
  .create = seen_create, .destroy = seen_destroy,
  .update = seen_update, .range = seen_range,
};

/* A fake-quantizer with a gradient of its own: twice the usual one. */
static int
twice_create (const struct qk_config *cfg, const struct qk_quant_info *info,
              void **self)
{
  int64_t *channels = malloc (sizeof *channels);

  (void) cfg;
  *channels = info->channels;
  *self = channels;
  return 0;
}

static void
twice_destroy (void *self)
{
  free (self);
}

static int
twice_backward (void *self, const struct qk_fq_params *p,
                const struct qk_qparams *q, const float *x, const float *dy,
                float *dx, size_t n)
{
  const size_t per = n / (size_t) *(int64_t *) self;

  (void) p;
  for (size_t i = 0; i < n; i++) {
    const struct qk_qparams *g = q + i / per;

    dx[i] = 2.0f * dy[i]
            * qk_ste_mask (x[i], 1.0f / g->scale, g->zero_point, g->qmin,
                           g->qmax);
  }
  return 0;
}

static const struct qk_fakequant_class twice = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "twice",
                   "test", NULL),
  .create = twice_create, .destroy = twice_destroy,
  .backward = twice_backward,
};

/* ---- a layer and all it works on -----------------------------------------*/

struct given {
  const char *layer, *options;
  struct qk_shape in;
};

enum { BN = 1, RELU = 2, RELU6 = 4, PER_TENSOR = 8, BY_TENSOR = 16,
       TWICE = 32, LARGE = 64 };

struct bench {
  struct qk_context *ctx;
  const struct qk_layer_class *cls;
  void *self;
  struct qk_rng rng;
  struct qk_layer_io io;
  struct qk_tensor in, out, dout, din, param[8], dparam[8];
  struct qk_shape in_shape, out_shape;
  int what;
  bool bias;
  float lo, hi;
};

static void *
checked (int ret, void *p)
{
  ck_assert_msg (ret >= 0, "%s", qk_error_message ());
  return p;
}

static float
uniform (struct bench *b, float lo, float hi)
{
  return lo + (hi - lo) * qk_rng_float (&b->rng);
}

static struct qk_tensor
tensor (enum qk_dtype dtype, struct qk_shape shape)
{
  struct qk_tensor t = { .dtype = dtype, .shape = shape };

  t.data = qk_alloc ((size_t) qk_shape_count (&shape) * qk_dtype_size (dtype));
  return t;
}

static void
fill (struct bench *b, struct qk_tensor *t, float lo, float hi)
{
  for (int64_t i = 0; i < qk_shape_count (&t->shape); i++)
    if (t->dtype == QK_U8)
      ((uint8_t *) t->data)[i] = (uint8_t) uniform (b, lo, hi + 0.999f);
    else
      ((float *) t->data)[i] = uniform (b, lo, hi);
}

static struct qk_quantizer *
quantizer (struct bench *b, bool weight, int64_t channels)
{
  const struct qk_quant_info info
    = { .name = weight ? "weight" : "out", .weight = weight,
        .symmetric = weight, .bits = 8, .qmin = weight ? -128 : 0,
        .qmax = weight ? 127 : 255, .channels = channels };
  struct qk_quantizer *qz;

  checked (qk_quantizer_new (b->ctx, &info,
                             b->what & BY_TENSOR && !weight ? &by_tensor
                                                            : &by_range,
                             NULL, b->what & TWICE ? &twice : NULL, NULL,
                             &qz),
           NULL);
  return qz;
}

static void
absorb (struct bench *b)
{
  struct qk_layer_traits t = { .role = QK_ROLE_BATCHNORM, .eps = 1e-3f,
                               .momentum = 0.1f };

  if (b->what & BN)
    ck_assert_int_eq (b->cls->absorb (b->self, &t), 0);
  b->lo = -INFINITY;
  b->hi = INFINITY;
  if (b->what & (RELU | RELU6)) {
    t.role = QK_ROLE_CLAMP;
    t.lo = b->lo = 0.0f;
    t.hi = b->hi = b->what & RELU ? INFINITY : 1.5f;
    ck_assert_int_eq (b->cls->absorb (b->self, &t), 0);
  }
}

static void
make_params (struct bench *b)
{
  struct qk_param_spec spec[8];
  const struct qk_shape channel
    = { 1, { b->out_shape.dims[b->out_shape.ndim - 1] } };
  int n = b->cls->params (b->self, spec);

  b->bias = n == 2;
  for (int i = 0; i < n; i++)
    b->param[i] = tensor (QK_F32, spec[i].shape);
  for (int i = 0; b->what & BN && i < QK_BN_PARAMS; i++)
    b->param[n++] = tensor (QK_F32, channel);
  b->io.n_params = n;
  for (int i = 0; i < n; i++) {
    fill (b, &b->param[i], -0.6f, 0.6f);
    b->dparam[i] = tensor (QK_F32, b->param[i].shape);
  }
  if (b->what & LARGE)
    fill (b, &b->param[0], 0.3f, 0.6f);
  if (b->what & BN) {
    fill (b, &b->param[1 + b->bias + QK_BN_GAMMA], 0.4f, 1.2f);
    fill (b, &b->param[1 + b->bias + QK_BN_VAR], 0.3f, 2.0f);
    for (int64_t i = 0; i < channel.dims[0]; i += 3)
      ((float *) b->param[1 + b->bias + QK_BN_GAMMA].data)[i] *= -1.0f;
  }
}

/* QUANTIZED: weight and output have quantizers, the input a grid. */
static void
bench_open (struct bench *b, const struct given *g, int what, int threads,
            bool train, bool quantized, uint64_t seed)
{
  const struct qk_class *cls;
  struct qk_config *cfg;
  struct qk_layer_setup s = { 0 };
  int64_t k;

  memset (b, 0, sizeof *b);
  b->what = what;
  qk_rng_seed (&b->rng, seed, 1);
  b->ctx = qk_context_new ();
  checked (qk_context_class (b->ctx, QK_KIND_LAYER, g->layer, &cls), NULL);
  b->cls = (const struct qk_layer_class *) cls;
  checked (qk_config_parse (cls->options, g->options, "test", &cfg), NULL);
  checked (b->cls->create (cfg, &b->self), NULL);
  qk_config_free (cfg);
  b->in_shape = g->in;
  checked (b->cls->infer (b->self, &g->in, 1, &b->out_shape), NULL);
  absorb (b);
  make_params (b);
  k = b->out_shape.dims[b->out_shape.ndim - 1];

  b->in = tensor (quantized ? QK_U8 : QK_F32, g->in);
  if (quantized) {
    b->in.q = (struct qk_qparams){ 0.02f, 93, 0, 255 };
    if (what & LARGE)
      b->in.q.zero_point = 3;
    fill (b, &b->in, what & LARGE ? 200.0f : 0.0f, 255.0f);
    b->io.weight_qz = quantizer (b, true, what & PER_TENSOR ? 1 : k);
    b->io.out_qz = quantizer (b, false, 1);
  } else
    fill (b, &b->in, -1.0f, 1.0f);
  b->out = tensor (quantized ? QK_U8 : QK_F32, b->out_shape);
  b->dout = tensor (QK_F32, b->out_shape);
  b->din = tensor (QK_F32, g->in);
  fill (b, &b->dout, -1.0f, 1.0f);

  s.in = &b->in_shape;
  s.out = &b->out_shape;
  s.n_in = 1;
  s.threads = threads;
  s.train = train;
  s.quantized_in = s.quantized_out = s.quantized_weight = quantized;
  s.keep_in = s.keep_out = true;
  checked (b->cls->setup (b->self, &s), NULL);
  b->io.threads = threads;
  b->io.n_in = 1;
  b->io.in = &b->in;
  b->io.out = &b->out;
  b->io.param = b->param;
  b->io.saved = qk_alloc (s.saved);
  b->io.workspace = qk_alloc (s.workspace);
  b->io.dout = &b->dout;
  b->io.din = &b->din;
  b->io.dparam = b->dparam;
}

static void
bench_close (struct bench *b)
{
  b->cls->destroy (b->self);
  for (int i = 0; i < b->io.n_params; i++) {
    qk_free (b->param[i].data);
    qk_free (b->dparam[i].data);
  }
  qk_free (b->in.data);
  qk_free (b->out.data);
  qk_free (b->dout.data);
  qk_free (b->din.data);
  qk_free (b->io.saved);
  qk_free (b->io.workspace);
  qk_quantizer_free (b->io.weight_qz);
  qk_quantizer_free (b->io.out_qz);
  qk_context_free (b->ctx);
}

static void
observing (struct bench *b, bool weight, bool out)
{
  qk_quantizer_set_observing (b->io.weight_qz, weight);
  qk_quantizer_set_observing (b->io.out_qz, out);
}

static void
forward (struct bench *b, unsigned flags)
{
  b->io.flags = flags;
  checked (b->cls->forward (b->self, &b->io), NULL);
}

/* ---- the op as lower tells it, and its naive evaluation -------------------*/

static struct qk_op
lowered (struct bench *b)
{
  struct qk_op op = { .name = "test", .n_in = 1, .in_q = { b->in.q },
                      .out_q = b->out.q };

  checked (b->cls->lower (b->self, &b->io, &op), NULL);
  return op;
}

static void
op_free (struct qk_op *op)
{
  qk_free ((void *) op->weight);
  qk_free ((void *) op->bias);
  qk_free ((void *) op->multiplier);
}

/* Sizes in one place for both naive evaluations. */
struct sizes {
  int64_t n, h, w, c, p, q, k, cg;
};

static struct sizes
sizes_of (const struct bench *b, const struct qk_op *op)
{
  const int64_t *i = b->in_shape.dims, *o = b->out_shape.dims;
  struct sizes z;

  if (b->in_shape.ndim == 2)
    z = (struct sizes){ i[0], 1, 1, i[1], 1, 1, o[1], i[1] };
  else
    z = (struct sizes){ i[0], i[1], i[2],
                        i[3], o[1], o[2], o[3], i[3] / op->groups };
  return z;
}

/* Calls for the elements below one output: element of x (-1: padding) and of
 * the weight. */
#define FOR_WINDOW(op, z, n_, p_, q_, k_, xi, wi)                             \
  for (int r_ = 0; r_ < (op)->kernel_h; r_++)                                 \
    for (int s_ = 0; s_ < (op)->kernel_w; s_++)                               \
      for (int64_t c_ = 0,                                                    \
                   ih_ = p_ * (op)->stride_h - (op)->pad_top                  \
                         + r_ * (op)->dilation_h,                             \
                   iw_ = q_ * (op)->stride_w - (op)->pad_left                 \
                         + s_ * (op)->dilation_w,                             \
                   xi, wi;                                                    \
           c_ < (z).cg                                                        \
           && (xi = ih_ < 0 || ih_ >= (z).h || iw_ < 0 || iw_ >= (z).w        \
                      ? -1                                                    \
                      : ((n_ * (z).h + ih_) * (z).w + iw_) * (z).c            \
                          + k_ / ((z).k / (op)->groups) * (z).cg + c_,        \
               wi = ((k_ * (op)->kernel_h + r_) * (op)->kernel_w + s_)        \
                      * (z).cg                                                \
                    + c_,                                                     \
               true);                                                         \
           c_++)

static int32_t
naive_int8 (const struct bench *b, const struct qk_op *op, int64_t i)
{
  const struct sizes z = sizes_of (b, op);
  const int64_t k = i % z.k, q = i / z.k % z.q, p = i / z.k / z.q % z.p,
                n = i / z.k / z.q / z.p;
  int64_t acc = op->bias[k];

  FOR_WINDOW (op, z, n, p, q, k, xi, wi)
    if (xi >= 0)
      acc += (((const uint8_t *) b->in.data)[xi] - op->in_q[0].zero_point)
             * op->weight[wi];
  ck_assert_msg (llabs (acc) < 2147483648LL, "accumulator overflows");
  return qk_requantize ((int32_t) acc, op->multiplier[k],
                        op->out_q.zero_point, op->lo, op->hi);
}

static void
assert_int8_bytes (struct bench *b, const char *what)
{
  struct qk_op op = lowered (b);
  int64_t distinct[256] = { 0 }, used = 0;

  for (int64_t i = 0; i < qk_shape_count (&b->out_shape); i++) {
    const int32_t want = naive_int8 (b, &op, i);
    const int32_t got = ((uint8_t *) b->out.data)[i];

    ck_assert_msg (want == got, "%s: element %lld: expected %d, got %d", what,
                   (long long) i, want, got);
    used += distinct[got]++ == 0;
  }
  ck_assert_msg (used > 3, "%s: only %d different bytes: proves nothing",
                 what, (int) used);
  op_free (&op);
}

/* ---- shapes ---------------------------------------------------------------*/

#define IMAGE(n, h, w, c)                                                     \
  {                                                                           \
    4, { n, h, w, c }                                                         \
  }

static const struct given givens[] = {
  { "conv2d", "out=5 kernel=1 bias=no", IMAGE (2, 4, 5, 7) },
  { "conv2d", "out=16 kernel=1", IMAGE (3, 3, 3, 9) },
  { "conv2d", "out=6 kernel=1 stride=2", IMAGE (2, 5, 4, 3) },
  { "conv2d", "out=4 kernel=3 padding=1 bias=no", IMAGE (2, 5, 6, 3) },
  { "conv2d", "out=6 kernel=3 stride=2 padding=1 groups=2",
    IMAGE (2, 7, 6, 4) },
  { "conv2d",
    "out=3 kernel_h=2 kernel_w=3 stride_h=1 stride_w=2 pad_top=1 "
    "pad_left=0 pad_bottom=0 pad_right=2 dilation_h=2 dilation_w=1",
    IMAGE (2, 6, 7, 2) },
  { "conv2d", "out=4 kernel=3 padding=2 dilation=2 groups=2",
    IMAGE (2, 6, 5, 4) },
  { "conv2d", "out=6 kernel=3 padding=1 groups=6 bias=no",
    IMAGE (2, 6, 5, 6) },
  { "conv2d", "out=5 kernel=3 stride=2 padding=1 groups=5",
    IMAGE (3, 7, 6, 5) },
  { "conv2d", "out=3 kernel=5 stride=1 padding=2 groups=3",
    IMAGE (2, 6, 7, 3) },
  { "conv2d", "out=3 kernel=3 stride=3 pad_bottom=1 dilation=2 groups=3",
    IMAGE (2, 9, 11, 3) },
  { "conv2d", "out=4 kernel=2 stride=4 groups=4", IMAGE (2, 10, 9, 4) },
  { "conv2d", "out=6 kernel=3 padding=1 groups=3", IMAGE (2, 4, 4, 3) },
  { "linear", "out=6", { 2, { 5, 9 } } },
  { "linear", "out=3 bias=no", { 2, { 4, 11 } } },
};

enum { GIVENS = sizeof givens / sizeof *givens };

/* ---- gradients --------------------------------------------------------------
 * The reference is a double-precision function that equals the layer to first
 * order at the present values: rounding to a grid is replaced by its value
 * here plus (where the straight-through estimator passes) the change of its
 * argument, clamps by their open or closed state here.  Its finite
 * differences are the gradients the layer must give. */

struct reference {
  struct bench *b;
  struct qk_op op; /* geometry only */
  struct sizes z;
  bool batch, folded;
  double *x, *param[8];
  double *w_base, *w_mask; /* grid value less w k here; 0 or 1 */
  double *y;               /* before the clamp */
  double *open;            /* by output element */
  double *rvar;            /* stored variance before the call */
  double *rmean;
};

static double *
doubles (const float *x, int64_t n)
{
  double *d = malloc ((size_t) n * sizeof *d);

  for (int64_t i = 0; i < n; i++)
    d[i] = x ? (double) x[i] : 0.0;
  return d;
}

static double
reference_k (const struct reference *f, int64_t k)
{
  const int bn = 1 + f->b->bias;

  if (!f->folded)
    return 1.0;
  return f->param[bn + QK_BN_GAMMA][k] / sqrt (f->rvar[k] + 1e-3f);
}

static float
float_k (const struct reference *f, int64_t k)
{
  const int bn = 1 + f->b->bias;

  if (!f->folded)
    return 1.0f;
  return (float) f->param[bn + QK_BN_GAMMA][k]
         / sqrtf ((float) f->rvar[k] + 1e-3f);
}

static void
reference_conv (struct reference *f)
{
  const struct sizes z = f->z;

  for (int64_t i = 0; i < qk_shape_count (&f->b->out_shape); i++) {
    const int64_t k = i % z.k, q = i / z.k % z.q, p = i / z.k / z.q % z.p,
                  n = i / z.k / z.q / z.p;
    const double scale = reference_k (f, k);
    double y = 0.0;

    FOR_WINDOW (&f->op, z, n, p, q, k, xi, wi)
      if (xi >= 0)
        y += f->x[xi]
             * (f->w_base[wi] + f->w_mask[wi] * f->param[0][wi] * scale);
    f->y[i] = y / scale + (f->b->bias ? f->param[1][k] : 0.0);
  }
}

/* Batch-norm of f->y in place. */
static void
reference_norm (struct reference *f)
{
  const int64_t k = f->z.k, n = qk_shape_count (&f->b->out_shape);
  const int bn = 1 + f->b->bias;

  for (int64_t c = 0; c < k; c++) {
    double mean = 0.0, var = 0.0;

    for (int64_t i = c; f->batch && i < n; i += k)
      mean += f->y[i] * (double) k / (double) n;
    for (int64_t i = c; f->batch && i < n; i += k)
      var += (f->y[i] - mean) * (f->y[i] - mean) * (double) k / (double) n;
    if (!f->batch) {
      mean = f->rmean[c];
      var = f->rvar[c];
    }
    for (int64_t i = c; i < n; i += k)
      f->y[i] = f->param[bn + QK_BN_GAMMA][c] * (f->y[i] - mean)
                  / sqrt (var + 1e-3f)
                + f->param[bn + QK_BN_BETA][c];
  }
}

static double
reference_loss (struct reference *f)
{
  const float *dout = f->b->dout.data;
  double loss = 0.0;

  reference_conv (f);
  if (f->b->what & BN)
    reference_norm (f);
  for (int64_t i = 0; i < qk_shape_count (&f->b->out_shape); i++)
    loss += f->y[i] * f->open[i] * (double) dout[i];
  return loss;
}

/* lower knows the window; on grids made up where there are none. */
static void
reference_geometry (struct reference *f)
{
  struct qk_layer_io io = f->b->io;
  struct qk_tensor in = f->b->in, out = f->b->out;
  struct bench tmp = *f->b;

  in.q = out.q = (struct qk_qparams){ 0.02f, 10, 0, 255 };
  tmp.io.in = &in;
  tmp.io.out = &out;
  if (!tmp.io.weight_qz)
    tmp.io.weight_qz
      = quantizer (f->b, true, f->b->out_shape.dims[f->b->out_shape.ndim - 1]);
  tmp.in.q = in.q;
  tmp.out.q = out.q;
  checked (tmp.cls->lower (tmp.self, &tmp.io, &f->op), NULL);
  if (!io.weight_qz)
    qk_quantizer_free (tmp.io.weight_qz);
  qk_free ((void *) f->op.weight);
  qk_free ((void *) f->op.bias);
  qk_free ((void *) f->op.multiplier);
}

/* Before forward: forward may move the running statistics. */
static void
reference_open (struct reference *f, struct bench *b, bool batch)
{
  const int64_t nw = qk_shape_count (&b->param[0].shape);

  memset (f, 0, sizeof *f);
  f->b = b;
  f->batch = batch;
  f->folded = b->io.weight_qz && b->what & BN;
  reference_geometry (f);
  f->z = sizes_of (b, &f->op);
  f->x = doubles (NULL, qk_shape_count (&b->in_shape));
  for (int64_t i = 0; i < qk_shape_count (&b->in_shape); i++)
    f->x[i] = b->in.dtype == QK_U8
                ? (double) ((((uint8_t *) b->in.data)[i]
                             - b->in.q.zero_point))
                    * (double) b->in.q.scale
                : (double) ((float *) b->in.data)[i];
  for (int i = 0; i < b->io.n_params; i++)
    f->param[i] = doubles (b->param[i].data,
                           qk_shape_count (&b->param[i].shape));
  f->w_base = doubles (NULL, nw);
  f->w_mask = doubles (NULL, nw);
  f->y = doubles (NULL, qk_shape_count (&b->out_shape));
  f->open = doubles (NULL, qk_shape_count (&b->out_shape));
  for (int64_t i = 0; i < nw; i++)
    f->w_mask[i] = 1.0;
  if (b->what & BN) {
    f->rmean = doubles (b->param[1 + b->bias + QK_BN_MEAN].data, f->z.k);
    f->rvar = doubles (b->param[1 + b->bias + QK_BN_VAR].data, f->z.k);
  }
}

/* After forward, when the grids are known. */
static void
reference_grids (struct reference *f)
{
  struct bench *b = f->b;
  const int64_t nw = qk_shape_count (&b->param[0].shape), per = nw / f->z.k;
  float *dout = b->dout.data;
  const struct qk_qparams *g
    = b->io.weight_qz ? qk_quantizer_qparams (b->io.weight_qz) : NULL;

  for (int64_t i = 0; g && i < nw; i++) {
    const struct qk_qparams *q = g + (b->what & PER_TENSOR ? 0 : i / per);
    const double wk = f->param[0][i] * reference_k (f, i / per);
    /* the extreme weight lies on a tie, so float arithmetic decides */
    const float x = (float) f->param[0][i] * float_k (f, i / per);
    const int32_t n = qk_quantize (x, 1.0f / q->scale, 0, -128, 127);

    f->w_mask[i] = (double) qk_ste_mask (x, 1.0f / q->scale, 0, -128, 127);
    f->w_base[i] = (double) n * (double) q->scale - f->w_mask[i] * wk;
  }
  reference_loss (f);
  for (int64_t i = 0; i < qk_shape_count (&b->out_shape); i++) {
    const double y = f->y[i];
    const double glo = b->out.dtype != QK_U8
                         ? -INFINITY
                         : (b->out.q.qmin - b->out.q.zero_point - 0.5)
                             * (double) b->out.q.scale;
    const double ghi = b->out.dtype != QK_U8
                         ? INFINITY
                         : (b->out.q.qmax - b->out.q.zero_point + 0.5)
                             * (double) b->out.q.scale;

    f->open[i] = y > b->lo && y < b->hi && y > glo && y < ghi;
    /* too near an edge to say on which side float is */
    if (fabs (y - (double) b->lo) < 2e-3 || fabs (y - (double) b->hi) < 2e-3
        || fabs (y - glo) < 2e-3 || fabs (y - ghi) < 2e-3)
      dout[i] = 0.0f;
  }
}

static void
assert_gradient (struct reference *f, double *at, int64_t n,
                 const float *got, double factor, const char *what)
{
  const double h = 1e-4;
  const int64_t step = n / 40 + 1; /* a sample of large tensors */
  double scale = 1e-3;

  for (int64_t i = 0; i < n; i++)
    scale = fmax (scale, fabs ((double) got[i]));
  for (int64_t i = 0; i < n; i += step) {
    const double x = at[i];
    double up, want;

    at[i] = x + h;
    up = reference_loss (f);
    at[i] = x - h;
    want = factor * (up - reference_loss (f)) / (2.0 * h);
    at[i] = x;
    ck_assert_msg (fabs ((double) got[i] - want) < 2e-5 * scale + 1e-5,
                   "%s[%lld]: expected %g, got %g", what, (long long) i, want,
                   (double) got[i]);
  }
}

static void
reference_close (struct reference *f)
{
  free (f->x);
  for (int i = 0; i < 8; i++)
    free (f->param[i]);
  free (f->w_base);
  free (f->w_mask);
  free (f->y);
  free (f->open);
  free (f->rvar);
  free (f->rmean);
}

/* ---- tests --------------------------------------------------------------*/

static void
assert_outputs (struct reference *f)
{
  struct bench *b = f->b;

  for (int64_t i = 0; i < qk_shape_count (&b->out_shape); i++) {
    const double y = fmin (fmax (f->y[i], b->lo), b->hi);
    const double tolerance
      = b->out.dtype == QK_U8 ? 0.502 * (double) b->out.q.scale + 3e-4 : 1e-5 * (1.0 + fabs (y));
    const double got
      = b->out.dtype == QK_U8
          ? (double) qk_dequantize (((uint8_t *) b->out.data)[i],
                                    b->out.q.scale, b->out.q.zero_point)
          : (double) ((float *) b->out.data)[i];

    ck_assert_msg (fabs (got - y) < tolerance,
                   "output %lld: expected %g, got %g", (long long) i, y, got);
  }
}

static void
assert_running (struct reference *f)
{
  struct bench *b = f->b;
  const int64_t n = qk_shape_count (&b->out_shape), k = f->z.k;
  const float *mean = b->param[1 + b->bias + QK_BN_MEAN].data;
  const float *var = b->param[1 + b->bias + QK_BN_VAR].data;

  reference_conv (f);
  for (int64_t c = 0; c < k; c++) {
    const double m = (double) (n / k);
    double mu = 0.0, v = 0.0;

    for (int64_t i = c; i < n; i += k)
      mu += f->y[i] / m;
    for (int64_t i = c; i < n; i += k)
      v += (f->y[i] - mu) * (f->y[i] - mu) / (m - 1.0);
    ck_assert_double_eq_tol ((double) mean[c], 0.9 * f->rmean[c] + 0.1 * mu,
                             1e-5);
    ck_assert_double_eq_tol ((double) var[c], 0.9 * f->rvar[c] + 0.1 * v,
                             1e-5 * (1.0 + v));
  }
}

/* Forward and all gradients of one case against the reference. */
static void
check_gradients (const struct given *g, int what, bool quantized, bool batch,
                 int threads)
{
  struct bench b;
  struct reference f;
  const unsigned flags
    = QK_PASS_TRAIN | (batch ? (unsigned) QK_PASS_BATCH_STATS : 0);
  const bool bn = what & BN;

  bench_open (&b, g, what, threads, true, quantized, 7);
  if (quantized)
    observing (&b, true, true);
  reference_open (&f, &b, batch);
  forward (&b, flags);
  reference_grids (&f);
  reference_loss (&f);
  assert_outputs (&f);
  if (bn && batch)
    assert_running (&f);
  checked (b.cls->backward (b.self, &b.io), NULL);
  assert_gradient (&f, f.x, qk_shape_count (&b.in_shape), b.din.data,
                   what & TWICE ? 2 : 1, "input");
  for (int i = 0; i < b.io.n_params; i++) {
    const int which = i - 1 - b.bias;

    if (bn && (which >= QK_BN_MEAN || (which == QK_BN_GAMMA && what & TWICE)))
      continue;
    assert_gradient (&f, f.param[i], qk_shape_count (&b.param[i].shape),
                     b.dparam[i].data,
                     !(what & TWICE) ? 1 : i == 0 ? 4 : 2, "parameter");
  }
  reference_close (&f);
  bench_close (&b);
}

START_TEST (gradients_float)
{
  const struct given *g = &givens[_i];

  check_gradients (g, 0, false, false, 1);
  check_gradients (g, RELU, false, false, 2);
  check_gradients (g, BN, false, true, 2);
  check_gradients (g, BN | RELU6, false, true, 3);
  check_gradients (g, BN, false, false, 2);
  check_gradients (g, BN | RELU, false, false, 1);
}
END_TEST

START_TEST (gradients_quantized)
{
  const struct given *g = &givens[_i];

  check_gradients (g, 0, true, false, 1);
  check_gradients (g, RELU, true, false, 2);
  check_gradients (g, BN, true, true, 2);
  check_gradients (g, BN | RELU6, true, true, 1);
  check_gradients (g, BN | RELU | PER_TENSOR, true, true, 2);
  check_gradients (g, BN | BY_TENSOR, true, true, 2);
  check_gradients (g, BN | RELU, true, false, 2);
  check_gradients (g, BN | RELU6 | TWICE, true, true, 2);
  check_gradients (g, TWICE | PER_TENSOR, true, false, 2);
}
END_TEST

/* Training, evaluation and conversion with frozen statistics agree. */
static void
check_bytes (const struct given *g, int what, uint64_t seed)
{
  struct bench b;
  uint8_t *first = NULL;
  size_t n = 0;

  for (int threads = 1; threads <= 3; threads++) {
    bench_open (&b, g, what, threads, true, true, seed);
    n = (size_t) qk_shape_count (&b.out_shape);
    observing (&b, true, true);
    forward (&b, QK_PASS_TRAIN);
    assert_int8_bytes (&b, "training, observing");
    observing (&b, false, false);
    fill (&b, &b.in, what & LARGE ? 190.0f : 0.0f, 255.0f);
    forward (&b, QK_PASS_TRAIN);
    assert_int8_bytes (&b, "training, frozen");
    if (!first) {
      first = malloc (n);
      memcpy (first, b.out.data, n);
    }
    ck_assert_msg (!memcmp (first, b.out.data, n),
                   "%d threads give other bytes", threads);
    bench_close (&b);

    bench_open (&b, g, what, threads, false, true, seed);
    observing (&b, true, true);
    forward (&b, 0);
    observing (&b, false, false);
    fill (&b, &b.in, what & LARGE ? 190.0f : 0.0f, 255.0f);
    b.in.shape.dims[0] = b.out.shape.dims[0] = b.in_shape.dims[0];
    forward (&b, 0);
    ck_assert_msg (!memcmp (first, b.out.data, n),
                   "evaluation gives other bytes");
    bench_close (&b);
  }
  free (first);
}

START_TEST (bytes_of_int8)
{
  const struct given *g = &givens[_i];

  check_bytes (g, 0, 1);
  check_bytes (g, RELU, 2);
  check_bytes (g, BN, 3);
  check_bytes (g, BN | RELU6, 4);
  check_bytes (g, BN | RELU | PER_TENSOR, 5);
  check_bytes (g, BN | BY_TENSOR, 6);
}
END_TEST

/* Sums beyond 2^24, which float32 cannot hold. */
static const struct given wide[] = {
  { "conv2d", "out=3 kernel=1", IMAGE (2, 3, 2, 1100) },
  { "conv2d", "out=3 kernel=3 padding=1", IMAGE (1, 3, 4, 130) },
  { "linear", "out=4", { 2, { 4, 1500 } } },
};

START_TEST (bytes_of_wide)
{
  struct bench b;
  struct qk_op op;
  int64_t most = 0;

  bench_open (&b, &wide[_i], LARGE, 1, false, true, 1);
  observing (&b, true, true);
  forward (&b, 0);
  op = lowered (&b);
  for (int64_t i = 0; i < op.in_channels * op.kernel_h * op.kernel_w; i++)
    most += op.weight[i];
  ck_assert_msg (most * 200 > 1 << 24, "sums stay below 2^24");
  op_free (&op);
  bench_close (&b);
  check_bytes (&wide[_i], LARGE, 1);
  check_bytes (&wide[_i], LARGE | BN | RELU, 2);
  check_gradients (&wide[_i], LARGE, true, false, 2);
}
END_TEST

/* Several blocks a thread, and enough rows for the transposed weight. */
static const struct given large[] = {
  { "conv2d", "out=5 kernel=1", IMAGE (3, 16, 17, 7) },
  { "conv2d", "out=4 kernel=1 bias=no", IMAGE (2, 10, 10, 1500) },
  { "conv2d", "out=6 kernel=3 padding=1 groups=2", IMAGE (2, 20, 20, 4) },
  { "conv2d", "out=4 kernel=3 padding=1 bias=no", IMAGE (2, 14, 13, 100) },
  { "conv2d", "out=600 kernel=3 padding=1 groups=600 bias=no",
    IMAGE (2, 12, 13, 600) },
  { "conv2d", "out=500 kernel=3 stride=2 padding=1 groups=500 bias=no",
    IMAGE (3, 27, 26, 500) },
};

START_TEST (large_blocks)
{
  check_bytes (&large[_i], BN | RELU6, 1);
  check_gradients (&large[_i], BN | RELU, _i % 2, true, 2);
}
END_TEST

/* The integers of lower are those of the formulas. */
START_TEST (lower_formulas)
{
  struct bench b;
  struct qk_op op;
  const struct qk_qparams *g;
  const float *w, *gamma, *beta, *mean, *var, *bias;
  int64_t per;

  bench_open (&b, &givens[4], BN | RELU6, 1, true, true, 3);
  observing (&b, true, true);
  forward (&b, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  observing (&b, false, false);
  op = lowered (&b);
  g = qk_quantizer_qparams (b.io.weight_qz);
  w = b.param[0].data;
  bias = b.param[1].data;
  gamma = b.param[2].data;
  beta = b.param[3].data;
  mean = b.param[4].data;
  var = b.param[5].data;
  per = 3 * 3 * 2;
  ck_assert_int_eq (op.kind, QK_OP_CONV2D);
  ck_assert_int_eq (op.stride_h, 2);
  ck_assert_int_eq (op.pad_right, 1);
  ck_assert_int_eq (op.groups, 2);
  ck_assert_int_eq (op.in_channels, 4);
  ck_assert_int_eq (op.out_channels, 6);
  ck_assert_int_eq (op.lo, b.out.q.zero_point);
  for (int64_t k = 0; k < 6; k++) {
    const float f = gamma[k] / sqrtf (var[k] + 1e-3f);

    for (int64_t i = 0; i < per; i++)
      ck_assert_int_eq (op.weight[k * per + i],
                        qk_quantize (w[k * per + i] * f, 1.0f / g[k].scale, 0,
                                     -128, 127));
    ck_assert_int_eq (op.bias[k],
                      qk_quantize_bias (beta[k] + (bias[k] - mean[k]) * f,
                                        b.in.q.scale, g[k].scale));
    ck_assert (op.multiplier[k]
               == qk_multiplier (b.in.q.scale, g[k].scale, b.out.q.scale));
  }
  op_free (&op);
  bench_close (&b);
}
END_TEST

/* The same seed and threads: the same bits, in everything. */
START_TEST (repeatable)
{
  struct bench a, b;
  const struct given *g = &givens[_i];

  bench_open (&a, g, BN | RELU, 2, true, true, 5);
  bench_open (&b, g, BN | RELU, 2, true, true, 5);
  observing (&a, true, true);
  observing (&b, true, true);
  forward (&a, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  forward (&b, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  checked (a.cls->backward (a.self, &a.io), NULL);
  checked (b.cls->backward (b.self, &b.io), NULL);
  ck_assert_mem_eq (a.out.data, b.out.data,
                    (size_t) qk_shape_count (&a.out_shape));
  ck_assert_mem_eq (a.din.data, b.din.data,
                    4 * (size_t) qk_shape_count (&a.in_shape));
  for (int i = 0; i < a.io.n_params; i++)
    ck_assert_mem_eq (a.dparam[i].data, b.dparam[i].data,
                      4 * (size_t) qk_shape_count (&a.param[i].shape));
  bench_close (&a);
  bench_close (&b);
}
END_TEST

/* A channel with gamma 0 gives beta and finite gradients, where PyTorch's
 * formula divides by 0. */
START_TEST (gamma_zero)
{
  struct bench b;
  float *gamma;

  bench_open (&b, &givens[3], BN, 2, true, true, 5);
  gamma = b.param[1 + QK_BN_GAMMA].data;
  gamma[1] = 0.0f;
  observing (&b, true, true);
  forward (&b, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  checked (b.cls->backward (b.self, &b.io), NULL);
  for (int64_t i = 1; i < qk_shape_count (&b.out_shape); i += 4) {
    const float beta = ((float *) b.param[1 + QK_BN_BETA].data)[1];

    ck_assert_int_eq (((uint8_t *) b.out.data)[i],
                      qk_quantize (beta, 1.0f / b.out.q.scale,
                                   b.out.q.zero_point, 0, 255));
  }
  for (int i = 0; i < b.io.n_params; i++)
    for (int64_t j = 0; j < qk_shape_count (&b.dparam[i].shape); j++)
      ck_assert (isfinite (((float *) b.dparam[i].data)[j]));
  bench_close (&b);
}
END_TEST

START_TEST (errors)
{
  static const struct {
    struct given g;
    const char *says;
  } bad[] = {
    { { "conv2d", "out=4 groups=3", IMAGE (1, 4, 4, 6) }, "groups = 3" },
    { { "conv2d", "out=4 kernel=5", IMAGE (1, 4, 4, 6) }, "window of 5x5" },
    { { "conv2d", "out=4", { 2, { 4, 6 } } }, "(4,6)" },
    { { "linear", "out=4", IMAGE (1, 4, 4, 6) }, "(1,4,4,6)" },
  };
  struct qk_context *ctx = qk_context_new ();

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const struct qk_class *cls;
    const struct qk_layer_class *layer;
    struct qk_config *cfg;
    struct qk_shape out;
    void *self;

    checked (qk_context_class (ctx, QK_KIND_LAYER, bad[i].g.layer, &cls),
             NULL);
    layer = (const struct qk_layer_class *) cls;
    checked (qk_config_parse (cls->options, bad[i].g.options, "test", &cfg),
             NULL);
    checked (layer->create (cfg, &self), NULL);
    qk_config_free (cfg);
    ck_assert_int_lt (layer->infer (self, &bad[i].g.in, 1, &out), 0);
    ck_assert_msg (strstr (qk_error_message (), bad[i].says), "'%s'",
                   qk_error_message ());
    layer->destroy (self);
  }
  qk_context_free (ctx);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("conv");
  TCase *t = tcase_create ("conv");
  SRunner *r;
  int failed;

  tcase_add_loop_test (t, gradients_float, 0, GIVENS);
  tcase_add_loop_test (t, gradients_quantized, 0, GIVENS);
  tcase_add_loop_test (t, bytes_of_int8, 0, GIVENS);
  tcase_add_loop_test (t, bytes_of_wide, 0,
                       (int) (sizeof wide / sizeof *wide));
  tcase_add_loop_test (t, large_blocks, 0,
                       (int) (sizeof large / sizeof *large));
  tcase_add_loop_test (t, repeatable, 0, GIVENS);
  tcase_add_test (t, lower_formulas);
  tcase_add_test (t, gamma_zero);
  tcase_add_test (t, errors);
  tcase_set_timeout (t, 120);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_ENV);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
