/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv-rig.c: a conv2d or linear layer with everything it works on, and the
 * naive integer sum, for the tests of both. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conv/conv.h"
#include "lib/conv-rig.h"
#include "lib/ok.h"
#include "quant/quantizer-priv.h"
#include "lib/floats.h"

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
  .create = seen_create,
  .destroy = seen_destroy,
  .update_range = seen_update_range,
  .range = seen_range,
};

/* Needs the whole tensor. */
static const struct qk_observer_class by_tensor = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "by_tensor",
                   "test", NULL),
  .create = seen_create,
  .destroy = seen_destroy,
  .update = seen_update,
  .range = seen_range,
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
  const size_t per = n / (size_t) * (int64_t *) self;

  (void) p;
  for (size_t i = 0; i < n; i++) {
    const struct qk_qparams *g = q + i / per;

    dx[i]
      = 2.0f * dy[i]
        * qk_ste_mask (x[i], 1.0f / g->scale, g->zero_point, g->qmin, g->qmax);
  }
  return 0;
}

static const struct qk_fakequant_class twice = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "twice",
                   "test", NULL),
  .create = twice_create,
  .destroy = twice_destroy,
  .backward = twice_backward,
};

/* ---- a layer and all it works on -----------------------------------------*/

void
rig_checked (int ret)
{
  ck_assert_msg (ret >= 0, "%s", qk_error_message ());
}

static float
rig_uniform (struct rig *b, float lo, float hi)
{
  return lo + (hi - lo) * qk_rng_float (&b->rng);
}

static struct qk_tensor
rig_tensor (enum qk_dtype dtype, struct qk_shape shape)
{
  struct qk_tensor t = { .dtype = dtype, .shape = shape };

  t.data = qk_alloc ((size_t) qk_shape_count (&shape) * qk_dtype_size (dtype));
  return t;
}

void
rig_fill (struct rig *b, struct qk_tensor *t, float lo, float hi)
{
  for (int64_t i = 0; i < qk_shape_count (&t->shape); i++)
    if (t->q.qmax == QK_U16_MAX)
      ((float *) t->data)[i]
        = qk_dequantize ((int32_t) rig_uniform (b, 0.0f, QK_U16_MAX + 0.999f),
                         t->q.scale, t->q.zero_point);
    else if (t->dtype == QK_U8)
      ((uint8_t *) t->data)[i] = (uint8_t) rig_uniform (b, lo, hi + 0.999f);
    else
      ((float *) t->data)[i] = rig_uniform (b, lo, hi);
}

struct qk_quantizer *
rig_quantizer (struct rig *b, bool weight, int64_t channels)
{
  const bool wide = !weight && (b->what & OUT16);
  const struct qk_quant_info info = { .name = weight ? "weight" : "out",
                                      .weight = weight,
                                      .symmetric = weight,
                                      .bits = wide ? 16 : 8,
                                      .qmin = weight ? -128 : 0,
                                      .qmax = weight ? 127
                                              : wide ? QK_U16_MAX
                                                     : 255,
                                      .channels = channels };
  struct qk_quantizer *qz;

  rig_checked (qk_quantizer_new (
    b->ctx, &info, b->what & BY_TENSOR && !weight ? &by_tensor : &by_range,
    NULL, b->what & TWICE ? &twice : NULL, NULL, &qz));
  return qz;
}

static void
rig_absorb (struct rig *b)
{
  struct qk_layer_traits t
    = { .role = QK_ROLE_BATCHNORM, .eps = 1e-3f, .momentum = 0.1f };

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
rig_make_params (struct rig *b)
{
  struct qk_param_spec spec[8];
  const struct qk_shape channel
    = { 1, { b->out_shape.dims[b->out_shape.ndim - 1] } };
  int n = b->cls->params (b->self, spec);

  b->bias = n == 2;
  for (int i = 0; i < n; i++)
    b->param[i] = rig_tensor (QK_F32, spec[i].shape);
  for (int i = 0; b->what & BN && i < QK_BN_PARAMS; i++)
    b->param[n++] = rig_tensor (QK_F32, channel);
  b->io.n_params = n;
  for (int i = 0; i < n; i++) {
    rig_fill (b, &b->param[i], -0.6f, 0.6f);
    b->dparam[i] = rig_tensor (QK_F32, b->param[i].shape);
  }
  if (b->what & LARGE)
    rig_fill (b, &b->param[0], 0.3f, 0.6f);
  if (b->what & BN) {
    rig_fill (b, &b->param[1 + b->bias + QK_BN_GAMMA], 0.4f, 1.2f);
    rig_fill (b, &b->param[1 + b->bias + QK_BN_VAR], 0.3f, 2.0f);
    for (int64_t i = 0; i < channel.dims[0]; i += 3)
      ((float *) b->param[1 + b->bias + QK_BN_GAMMA].data)[i] *= -1.0f;
  }
}

/* QUANTIZED: weight and output have quantizers, the input a grid. */
void
rig_open_with (struct rig *b, const struct rig_given *g, const char *forward,
               const char *backward, int what, int threads, bool train,
               bool quantized, uint64_t seed)
{
  const bool u8_in = quantized && !(what & (FLOAT_IN | IN16));
  const bool grid_out = quantized && !(what & FLOAT_OUT);
  const bool u8_out = grid_out && !(what & OUT16);
  const bool i8_weight = quantized && !(what & FLOAT_WEIGHT);
  const struct qk_class *cls;
  struct qk_config *cfg;
  struct qk_layer_setup s = { 0 };
  int64_t k;
  int ret;

  memset (b, 0, sizeof *b);
  b->what = what;
  qk_rng_seed (&b->rng, seed, 1);
  b->ctx = qk_context_new ();
  rig_checked (qk_context_class (b->ctx, QK_KIND_LAYER, g->layer, &cls));
  b->cls = (const struct qk_layer_class *) cls;
  rig_checked (qk_config_parse (cls->options, g->options, "test", &cfg));
  rig_checked (b->cls->create (cfg, &b->self));
  qk_config_free (cfg);
  b->in_shape = g->in;
  rig_checked (b->cls->infer (b->self, &g->in, 1, &b->out_shape));
  rig_absorb (b);
  rig_make_params (b);
  k = b->out_shape.dims[b->out_shape.ndim - 1];
  s.float_backend = test_float_backend (b->ctx);

  b->in = rig_tensor (u8_in ? QK_U8 : QK_F32, g->in);
  if (u8_in) {
    b->in.q = (struct qk_qparams){ 0.02f, 93, 0, 255 };
    if (what & LARGE)
      b->in.q.zero_point = 3;
    rig_fill (b, &b->in, what & LARGE ? 200.0f : 0.0f, 255.0f);
  } else {
    if (what & IN16)
      b->in.q = (struct qk_qparams){ 0x1.9p-15f, what & LARGE ? 3 : 23456, 0,
                                     QK_U16_MAX };
    rig_fill (b, &b->in, -1.0f, 1.0f);
  }
  if (i8_weight)
    b->io.weight_qz = rig_quantizer (b, true, what & PER_TENSOR ? 1 : k);
  if (grid_out)
    b->io.out_qz = rig_quantizer (b, false, 1);
  b->out = rig_tensor (u8_out ? QK_U8 : QK_F32, b->out_shape);
  b->dout = rig_tensor (QK_F32, b->out_shape);
  b->din = rig_tensor (QK_F32, g->in);
  rig_fill (b, &b->dout, -1.0f, 1.0f);

  s.in = &b->in_shape;
  s.out = &b->out_shape;
  s.n_in = 1;
  s.threads = threads;
  s.train = train;
  s.quantized_in = u8_in;
  s.quantized_out = u8_out;
  s.quantized_weight = i8_weight;
  s.wide_in = what & IN16;
  s.wide_out = grid_out && !u8_out;
  s.out_qz = b->io.out_qz;
  s.keep_in = s.keep_out = true;
  ((struct qk_conv *) b->self)->use_forward = forward;
  ((struct qk_conv *) b->self)->use_backward = backward;
  ret = b->cls->setup (b->self, &s);
  b->unusable = ret == -ENOTSUP && (forward || backward);
  if (b->unusable)
    return;
  rig_checked (ret);
  b->io.threads = threads;
  b->io.n_in = 1;
  b->io.in = &b->in;
  b->io.out = &b->out;
  b->io.param = b->param;
  b->io.saved = qk_alloc (s.saved);
  b->io.prepared = qk_alloc (s.prepared);
  b->io.workspace = qk_alloc (s.workspace);
  b->io.dout = &b->dout;
  b->io.din = &b->din;
  b->io.dparam = b->dparam;
}

void
rig_open (struct rig *b, const struct rig_given *g, int what, int threads,
          bool train, bool quantized, uint64_t seed)
{
  rig_open_with (b, g, NULL, NULL, what, threads, train, quantized, seed);
}

void
rig_close (struct rig *b)
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
  qk_free (b->io.prepared);
  qk_free (b->io.workspace);
  qk_quantizer_free (b->io.weight_qz);
  qk_quantizer_free (b->io.out_qz);
  qk_context_free (b->ctx);
}

void
rig_observing (struct rig *b, bool weight, bool out)
{
  if (b->io.weight_qz)
    qk_quantizer_set_observing (b->io.weight_qz, weight);
  if (b->io.out_qz)
    qk_quantizer_set_observing (b->io.out_qz, out);
}

void
rig_forward (struct rig *b, unsigned flags)
{
  b->io.flags = flags;
  rig_checked (b->cls->forward (b->self, &b->io));
}

/* ---- the op as lower tells it, and its naive evaluation ------------------*/

struct qk_op
rig_lowered (struct rig *b)
{
  struct qk_op op = { .struct_size = sizeof op,
                      .name = "test",
                      .n_in = 1,
                      .in_q = { b->in.q },
                      .out_q = b->out.q };

  const enum qk_dtype dtype = b->in.dtype;

  /* geometry and integers are those of an input on a grid, also where the
   * layer is tried with a float one */
  b->in.dtype = QK_U8;
  rig_checked (b->cls->lower (b->self, &b->io, &op));
  b->in.dtype = dtype;
  return op;
}

void
rig_op_free (struct qk_op *op)
{
  qk_free ((void *) op->weight);
  qk_free ((void *) op->bias);
  qk_free ((void *) op->multiplier);
  qk_free ((void *) op->weight_scale);
}

struct rig_sizes
rig_sizes_of (const struct rig *b, const struct qk_op *op)
{
  const int64_t *i = b->in_shape.dims, *o = b->out_shape.dims;
  struct rig_sizes z;

  if (op->kind == QK_OP_LINEAR) {
    const int64_t c = i[b->in_shape.ndim - 1];
    const int64_t rows = qk_shape_count (&b->in_shape) / i[0] / c;

    z = (struct rig_sizes){
      i[0], 1, rows, c, 1, rows, o[b->out_shape.ndim - 1], c
    };
  } else
    z = (struct rig_sizes){ i[0], i[1], i[2], i[3],
                            o[1], o[2], o[3], i[3] / op->groups };
  return z;
}

int32_t
rig_in_integer (const struct rig *b, int64_t i)
{
  const struct qk_qparams *q = &b->in.q;

  return b->in.dtype == QK_U8
           ? ((const uint8_t *) b->in.data)[i]
           : qk_quantize (((const float *) b->in.data)[i], 1.0f / q->scale,
                          q->zero_point, q->qmin, q->qmax);
}

float
rig_out_real (const struct rig *b, int64_t i)
{
  return b->out.dtype == QK_U8
           ? qk_dequantize (((const uint8_t *) b->out.data)[i], b->out.q.scale,
                            b->out.q.zero_point)
           : ((const float *) b->out.data)[i];
}

int64_t
rig_naive_sum (const struct rig *b, const struct qk_op *op, int64_t i)
{
  const struct rig_sizes z = rig_sizes_of (b, op);
  const int64_t k = i % z.k, q = i / z.k % z.q, p = i / z.k / z.q % z.p,
                n = i / z.k / z.q / z.p;
  int64_t acc = op->bias[k];

  FOR_WINDOW (op, z, n, p, q, k, xi, wi)
  if (xi >= 0)
    acc += (int64_t) (rig_in_integer (b, xi) - op->in_q[0].zero_point)
           * op->weight[wi];
  HOLDS ((b->what & IN16) || llabs (acc) < 2147483648LL,
         "accumulator overflows");
  return acc;
}

/* ---- shapes --------------------------------------------------------------*/

#define IMAGE(n, h, w, c)                                                     \
  {                                                                           \
    4, { n, h, w, c }                                                         \
  }

const struct rig_given rig_givens[RIG_GIVENS] = {
  { "conv2d", "out=5 kernel=1 bias=no", IMAGE (2, 4, 5, 7) },
  { "conv2d", "out=16 kernel=1", IMAGE (3, 3, 3, 9) },
  { "conv2d", "out=6 kernel=1 stride=2", IMAGE (2, 5, 4, 3) },
  { "conv2d", "out=4 kernel=3 padding=1 bias=no", IMAGE (2, 5, 6, 3) },
  { "conv2d", "out=6 kernel=3 stride=2 padding=1 groups=2",
    IMAGE (2, 7, 6, 4) },
  { "conv2d",
    "out=3 kernel_h=2 kernel_w=3 stride_h=1 stride_w=2 padding_top=1 "
    "padding_left=0 padding_bottom=0 padding_right=2 dilation_h=2 "
    "dilation_w=1",
    IMAGE (2, 6, 7, 2) },
  { "conv2d", "out=4 kernel=3 padding=2 dilation=2 groups=2",
    IMAGE (2, 6, 5, 4) },
  { "conv2d", "out=6 kernel=3 padding=1 groups=6 bias=no",
    IMAGE (2, 6, 5, 6) },
  { "conv2d", "out=5 kernel=3 stride=2 padding=1 groups=5",
    IMAGE (3, 7, 6, 5) },
  { "conv2d", "out=3 kernel=5 stride=1 padding=2 groups=3",
    IMAGE (2, 6, 7, 3) },
  { "conv2d", "out=3 kernel=3 stride=3 padding_bottom=1 dilation=2 groups=3",
    IMAGE (2, 9, 11, 3) },
  { "conv2d", "out=4 kernel=2 stride=4 groups=4", IMAGE (2, 10, 9, 4) },
  { "conv2d", "out=6 kernel=3 padding=1 groups=3", IMAGE (2, 4, 4, 3) },
  { "linear", "out=6", { 2, { 5, 9 } } },
  { "linear", "out=3 bias=no", { 2, { 4, 11 } } },
  { "linear", "out=5", { 3, { 3, 6, 9 } } },
  { "linear", "out=4 bias=no", { 5, { 2, 3, 1, 5, 8 } } },
};

const struct rig_given rig_wide[RIG_WIDE] = {
  { "conv2d", "out=3 kernel=1", IMAGE (2, 3, 2, 1100) },
  { "conv2d", "out=3 kernel=3 padding=1", IMAGE (1, 3, 4, 130) },
  { "linear", "out=4", { 2, { 4, 1500 } } },
};

const struct rig_given rig_large[RIG_LARGE] = {
  { "conv2d", "out=5 kernel=1", IMAGE (3, 16, 17, 7) },
  { "conv2d", "out=4 kernel=1 bias=no", IMAGE (2, 10, 10, 1500) },
  { "conv2d", "out=6 kernel=3 padding=1 groups=2", IMAGE (2, 20, 20, 4) },
  { "conv2d", "out=4 kernel=3 padding=1 bias=no", IMAGE (2, 14, 13, 100) },
  { "conv2d", "out=600 kernel=3 padding=1 groups=600 bias=no",
    IMAGE (2, 12, 13, 600) },
  { "conv2d", "out=500 kernel=3 stride=2 padding=1 groups=500 bias=no",
    IMAGE (3, 27, 26, 500) },
};
