/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* add: the sum of two tensors of one shape, with the clamp that follows it.
 *
 * y = a + b, or min (max (a + b, lo), hi) with an absorbed clamp;
 * da = db = dy, 0 where clamped.  The int8 formula (qk_add_quantized) is
 * float addition of the dequantized numbers and qk_quantize, and rounding is
 * monotonous, so that clamping before it or after it to qk_clamp_bounds is
 * the same.  Between quantized tensors all of it happens in blocks that stay
 * in the cache, and the sums themselves are not kept. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>
#include <qatkit/numeric.h>

#include "multiversion.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 4096

struct add {
  bool clamped;
  float lo, hi;
  /* from setup */
  int threads;
  bool sums; /* the sums are kept as floats */
};

/* Of one thread's sums; BAD: one is not finite. */
struct range {
  float min, max;
  bool bad;
};

static int
add_create (const struct qk_config *cfg, void **self)
{
  struct add *l = calloc (1, sizeof *l);

  (void) cfg;
  if (l == NULL)
    return qk_oom ("add");
  l->threads = 1;
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

/* What is kept from forward to backward: one byte an element, 1 where the
 * gradient passes, in front of the sums where a fake-quantizer of its own kind
 * wants them. */
static size_t
kept_bytes (size_t n)
{
  return (n + 63) & ~(size_t) 63;
}

/* Elements of a block: a few per thread's first-level cache. */
#define BLOCK 4096

static int
add_setup (void *self, struct qk_layer_setup *s)
{
  struct add *l = self;
  const size_t n = (size_t) qk_shape_count (s->out);
  const bool known = s->out_qz && qk_quantizer_is_ste (s->out_qz);

  l->threads = s->threads > 1 ? s->threads : 1;
  l->sums
    = s->quantized_out && !(known && qk_quantizer_wants_range (s->out_qz));
  s->keep_in = s->keep_out = false;
  if (s->train && (l->clamped || s->quantized_out))
    s->saved = kept_bytes (n);
  if (s->train && l->sums)
    s->saved += n * sizeof (float);
  s->workspace = (size_t) l->threads * sizeof (struct range);
  if (l->sums)
    s->workspace = kept_bytes (s->workspace) + n * sizeof (float);
  return 0;
}

/* ---- forward -----------------------------------------------------------*/

/* x = the real numbers of elements AT on; borrowed from a float tensor, in
 * BUF from a quantized one. */
QK_LOOP_VALUE (static, const float *, real_block,
               (const struct qk_tensor *t, int64_t at, int64_t n,
                float *restrict buf),
               (t, at, n, buf))
{
  const uint8_t *restrict q = (const uint8_t *) t->data + at;
  const int32_t zp = t->q.zero_point;
  const float scale = t->q.scale;

  if (t->dtype == QK_F32)
    return (const float *) t->data + at;
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    buf[i] = qk_dequantize (q[i], scale, zp);
  return buf;
}

QK_LOOP (static, sum_block,
         (const float *restrict a, const float *restrict b, int64_t n,
          float *y),
         (a, b, n, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = a[i] + b[i];
}

/* inside = lo < y < hi, and y clamped. */
QK_LOOP (static, clamp_block,
         (float *restrict y, int64_t n, float lo, float hi,
          uint8_t *restrict inside),
         (y, n, lo, hi, inside))
{
  if (inside != NULL)
    QK_SIMD
  for (int64_t i = 0; i < n; i++)
    inside[i] = (y[i] > lo) & (y[i] < hi);
  QK_SIMD
  for (int64_t i = 0; i < n; i++) {
    const float v = y[i] < lo ? lo : y[i];

    y[i] = v > hi ? hi : v;
  }
}

QK_LOOP (static, range_block,
         (const float *restrict y, int64_t n, struct range *r), (y, n, r))
{
  float lo = r->min, hi = r->max;
  int bad = 0;

#pragma omp simd reduction(min : lo) reduction(max : hi) reduction(| : bad)
  for (int64_t i = 0; i < n; i++) {
    lo = y[i] < lo ? y[i] : lo;
    hi = y[i] > hi ? y[i] : hi;
    bad |= !(y[i] - y[i] == 0.0f);
  }
  r->min = lo;
  r->max = hi;
  r->bad |= bad != 0;
}

/* Y on the grid, and where it was not clamped by it. */
QK_LOOP (static, grid_block,
         (const float *restrict y, int64_t n, const struct qk_qparams *q,
          uint8_t *restrict out, uint8_t *restrict inside),
         (y, n, q, out, inside))
{
  const float inv = 1.0f / q->scale;
  const int32_t zp = q->zero_point, lo = q->qmin, hi = q->qmax;
  const float flo = (float) (lo - zp), fhi = (float) (hi - zp);

  if (inside != NULL)
    QK_SIMD
  for (int64_t i = 0; i < n; i++) {
    const float r = qk_rne (y[i] * inv);

    inside[i] &= (r >= flo) & (r <= fhi);
  }
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    out[i] = (uint8_t) qk_quantize (y[i], inv, zp, lo, hi);
}

/* The sums of elements AT on, clamped, to Y. */
static void
block (const struct add *l, const struct qk_layer_io *io, int64_t at,
       int64_t n, float *y, uint8_t *inside)
{
  float buf[2][BLOCK];

  sum_block (real_block (&io->in[0], at, n, buf[0]),
             real_block (&io->in[1], at, n, buf[1]), n, y);
  if (l->clamped)
    clamp_block (y, n, l->lo, l->hi, inside);
  else if (inside != NULL)
    memset (inside, 1, (size_t) n);
}

/* All sums to Y, and their range where RANGES (one a thread) are given. */
static void
pass_real (const struct add *l, const struct qk_layer_io *io, int threads,
           float *y, uint8_t *inside, struct range *ranges)
{
  const int64_t n = qk_shape_count (&io->out->shape);

#pragma omp parallel for num_threads(threads)                                 \
  schedule(static, 1) if (n >= PARALLEL_MIN)
  for (int t = 0; t < threads; t++) {
    const int64_t end = n * (t + 1) / threads;
    struct range r = { INFINITY, -INFINITY, false };
    float buf[BLOCK];

    for (int64_t i = n * t / threads; i < end; i += BLOCK) {
      const int64_t len = end - i < BLOCK ? end - i : BLOCK;
      float *to = y != NULL ? y + i : buf;

      block (l, io, i, len, to, inside != NULL ? inside + i : NULL);
      if (ranges != NULL)
        range_block (to, len, &r);
    }
    if (ranges != NULL)
      ranges[t] = r;
  }
}

/* All of out on its grid, from Y or from the inputs again. */
static void
pass_grid (const struct add *l, const struct qk_layer_io *io, int threads,
           const float *y, uint8_t *inside)
{
  const int64_t n = qk_shape_count (&io->out->shape);
  uint8_t *out = io->out->data;

#pragma omp parallel for num_threads(threads)                                 \
  schedule(static, 1) if (n >= PARALLEL_MIN)
  for (int t = 0; t < threads; t++) {
    const int64_t end = n * (t + 1) / threads;
    float buf[BLOCK];

    for (int64_t i = n * t / threads; i < end; i += BLOCK) {
      const int64_t len = end - i < BLOCK ? end - i : BLOCK;
      uint8_t *in = inside != NULL ? inside + i : NULL;

      if (y == NULL)
        block (l, io, i, len, buf, in);
      grid_block (y != NULL ? y + i : buf, len, &io->out->q, out + i, in);
    }
  }
}

static int
observe_range (const struct add *l, struct qk_layer_io *io, int threads)
{
  struct range *ranges = io->workspace;
  float min = INFINITY, max = -INFINITY;

  pass_real (l, io, threads, NULL, NULL, ranges);
  for (int t = 0; t < threads; t++) {
    min = ranges[t].bad ? NAN : ranges[t].min < min ? ranges[t].min : min;
    max = ranges[t].max > max ? ranges[t].max : max;
  }
  /* -0 or 0 as the smallest would depend on the order */
  min += 0.0f;
  max += 0.0f;
  return qk_quantizer_observe_range (io->out_qz, &min, &max);
}

static int
forward_quantized (struct add *l, struct qk_layer_io *io, int threads)
{
  const int64_t n = qk_shape_count (&io->out->shape);
  const bool train = (io->flags & QK_PASS_TRAIN) != 0;
  uint8_t *inside = train ? io->saved : NULL;
  float *y = NULL;
  int r = 0;

  if (io->out_qz == NULL) { /* on a grid that is given */
    if (!(io->out->q.scale > 0.0f))
      return qk_error (-EINVAL, "add: the u8 output has no grid");
    pass_grid (l, io, threads, NULL, inside);
    return 0;
  }
  if (l->sums) {
    y = train ? (float *) (void *) (inside + kept_bytes ((size_t) n))
              : (float *) (void *) ((char *) io->workspace
                                    + kept_bytes ((size_t) l->threads
                                                  * sizeof (struct range)));
    pass_real (l, io, threads, y, inside, NULL);
    r = qk_quantizer_observe (io->out_qz, y, (size_t) n);
  } else if (qk_quantizer_observing (io->out_qz))
    r = observe_range (l, io, threads);
  if (r < 0)
    return r;
  io->out->q = *qk_quantizer_qparams (io->out_qz);
  pass_grid (l, io, threads, y, inside);
  return 0;
}

static int
add_forward (void *self, struct qk_layer_io *io)
{
  struct add *l = self;
  const bool keep = l->clamped && (io->flags & QK_PASS_TRAIN) != 0;
  int threads = io->threads < l->threads ? io->threads : l->threads;

  threads = threads > 1 ? threads : 1;
  if (io->out->dtype == QK_U8)
    return forward_quantized (l, io, threads);
  pass_real (l, io, threads, io->out->data, keep ? io->saved : NULL, NULL);
  return 0;
}

/* ---- backward ----------------------------------------------------------*/

QK_LOOP (static, gate_block,
         (const float *dy, const uint8_t *restrict inside, int64_t n,
          float *restrict da, float *restrict db),
         (dy, inside, n, da, db))
{
  if (db == NULL)
    QK_SIMD
  for (int64_t i = 0; i < n; i++)
    da[i] = inside[i] ? dy[i] : 0.0f;
  else QK_SIMD for (int64_t i = 0; i < n; i++) da[i] = db[i]
    = inside[i] ? dy[i] : 0.0f;
}

/* dy, where INSIDE lets it pass, to both inputs. */
static void
pass_gradient (const float *dy, const uint8_t *inside, int64_t n, int threads,
               float *da, float *db)
{
  if (da == NULL) {
    da = db;
    db = NULL;
  }
  if (da == NULL)
    return;
  (void) threads;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i += BLOCK) {
    const int64_t len = n - i < BLOCK ? n - i : BLOCK;

    if (inside != NULL)
      gate_block (dy + i, inside + i, len, da + i, db != NULL ? db + i : NULL);
    else {
      memcpy (da + i, dy + i, (size_t) len * sizeof *da);
      if (db != NULL)
        memcpy (db + i, dy + i, (size_t) len * sizeof *db);
    }
  }
}

static int
add_backward (void *self, struct qk_layer_io *io)
{
  const struct add *l = self;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const bool quantized = io->out->dtype == QK_U8;
  const uint8_t *inside = l->clamped || quantized ? io->saved : NULL;
  const float *dy = io->dout->data;

  if (quantized && io->out_qz != NULL && !qk_quantizer_is_ste (io->out_qz)) {
    float *g = (float *) (void *) ((char *) io->workspace
                                   + kept_bytes ((size_t) l->threads
                                                 * sizeof (struct range)));
    const float *y
      = (const float *) (const void *) (inside + kept_bytes ((size_t) n));
    int r;

    if (!l->sums)
      return qk_error (-EINVAL, "add: set up for a straight-through gradient");
    r = qk_quantizer_backward (io->out_qz, y, dy, g, (size_t) n);
    if (r < 0)
      return r;
    dy = g;
  }
  pass_gradient (dy, inside, n, threads, io->din[0].data, io->din[1].data);
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
  .quantized = true,
  .lower = add_lower,
  .geometry = add_lower,
};

QK_PLUGIN ("add", PACKAGE_VERSION, "LGPL-2.1-or-later", &add.cls);
