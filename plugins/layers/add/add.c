/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* add: the sum of two tensors of one shape, with the clamp that follows it.
 *
 * y = a + b, or min (max (a + b, lo), hi) with an absorbed clamp;
 * da = db = dy, 0 where clamped.  Quantization is the library's matter: the
 * int8 formula (qk_add_quantized) is float addition of the dequantized
 * numbers and qk_quantize, and rounding is monotonous, so that clamping
 * before it or after it to qk_clamp_bounds is the same. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/layer.h>
#include <qatkit/numeric.h>

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 32768

struct add {
  bool clamped;
  float lo, hi;
};

static int
add_create (const struct qk_config *cfg, void **self)
{
  struct add *l = calloc (1, sizeof *l);

  (void) cfg;
  if (l == NULL)
    return qk_error (-ENOMEM, "add: out of memory");
  l->lo = -INFINITY;
  l->hi = INFINITY;
  *self = l;
  return 0;
}

static void
add_destroy (void *self)
{
  free (self);
}

static int
add_infer (void *self, const struct qk_shape *in, int n_in,
           struct qk_shape *out)
{
  char a[80], b[80];

  (void) self;
  if (n_in != 2)
    return qk_error (-EINVAL, "add: takes 2 inputs, got %d", n_in);
  if (!qk_shape_equal (&in[0], &in[1]))
    return qk_error (-EINVAL, "add: inputs must have one shape, got %s and %s",
                     qk_shape_print (&in[0], a, sizeof a),
                     qk_shape_print (&in[1], b, sizeof b));
  *out = in[0];
  return 0;
}

static int
add_absorb (void *self, const struct qk_layer_traits *next)
{
  struct add *l = self;

  if (next->role != QK_ROLE_CLAMP || l->clamped)
    return -ENOTSUP;
  l->clamped = true;
  l->lo = next->lo;
  l->hi = next->hi;
  return 0;
}

/* saved: one byte an element, 1 where the sum was not clamped */
static int
add_setup (void *self, struct qk_layer_setup *s)
{
  const struct add *l = self;

  s->keep_in = s->keep_out = false;
  if (s->train && l->clamped)
    s->saved = (size_t) qk_shape_count (s->out);
  return 0;
}

static int
add_forward (void *self, struct qk_layer_io *io)
{
  const struct add *l = self;
  const float *a = io->in[0].data, *b = io->in[1].data;
  const float lo = l->lo, hi = l->hi;
  const int64_t n = qk_shape_count (&io->out->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const bool train = (io->flags & QK_PASS_TRAIN) != 0;
  uint8_t *inside = l->clamped && train ? io->saved : NULL;
  float *y = io->out->data;

  (void) threads;
#pragma omp parallel for simd num_threads(threads) schedule(static)           \
  if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++)
    y[i] = a[i] + b[i];
  if (inside != NULL) {
#pragma omp parallel for simd num_threads(threads) schedule(static)           \
  if (n >= PARALLEL_MIN)
    for (int64_t i = 0; i < n; i++)
      inside[i] = y[i] > lo && y[i] < hi;
  }
  if (l->clamped) {
#pragma omp parallel for simd num_threads(threads) schedule(static)           \
  if (n >= PARALLEL_MIN)
    for (int64_t i = 0; i < n; i++) {
      const float v = y[i] < lo ? lo : y[i];

      y[i] = v > hi ? hi : v;
    }
  }
  return 0;
}

static int
add_backward (void *self, struct qk_layer_io *io)
{
  const struct add *l = self;
  const float *dy = io->dout->data;
  const uint8_t *inside = l->clamped ? io->saved : NULL;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const int threads = io->threads > 1 ? io->threads : 1;

  (void) threads;
  for (int k = 0; k < 2; k++) {
    float *dx = io->din[k].data;

    if (dx == NULL)
      continue;
#pragma omp parallel for simd num_threads(threads) schedule(static)           \
  if (n >= PARALLEL_MIN)
    for (int64_t i = 0; i < n; i++)
      dx[i] = inside == NULL || inside[i] ? dy[i] : 0.0f;
  }
  return 0;
}

static int
add_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct add *l = self;

  op->kind = QK_OP_ADD;
  qk_clamp_bounds (&io->out->q, l->lo, l->hi, &op->lo, &op->hi);
  return 0;
}

static const struct qk_layer_class add = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "add",
                   "Sum of two tensors of one shape", NULL),
  .create = add_create,
  .destroy = add_destroy,
  .infer = add_infer,
  .absorb = add_absorb,
  .setup = add_setup,
  .forward = add_forward,
  .backward = add_backward,
  .lower = add_lower,
};

QK_PLUGIN ("add", PACKAGE_VERSION, "LGPL-2.1-or-later", &add.cls);
