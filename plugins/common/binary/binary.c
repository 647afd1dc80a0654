/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* binary.c: layers that join two tensors element by element; see binary.h. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "binary.h"
#include "broadcast/broadcast.h"
#include "extent/extent.h"
#include "multiversion.h"
#include "numbers/numbers.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 4096

struct binary {
  int function; /* enum qk_function */
  bool clamped;
  float lo, hi;
  /* from setup */
  int threads;
  bool sums; /* the results are kept as floats */
  /* from infer */
  bool repeated[2]; /* the input is smaller than the output */
  struct broadcast broadcast;
};

static const char *
name_of (const struct binary *l)
{
  return qk_function_name (l->function);
}

int
binary_create (int function, void **self)
{
  struct binary *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("%s", qk_function_name (function));
  l->function = function;
  l->threads = 1;
  l->lo = -INFINITY;
  l->hi = INFINITY;
  *self = l;
  return 0;
}

void
binary_destroy (void *self)
{
  free (self);
}

int
binary_infer (void *self, const struct qk_shape *in, int n_in,
              struct qk_shape *out)
{
  struct binary *l = self;
  int r;

  if (n_in != 2)
    return qk_error (-EINVAL, "%s: takes 2 inputs, got %d", name_of (l), n_in);
  if ((r = qk_shape_broadcast (&in[0], &in[1], out)) < 0)
    return qk_error_prefix (r, "%s: ", name_of (l));
  broadcast_plan (&in[0], &in[1], &l->broadcast);
  for (int j = 0; j < 2; j++)
    l->repeated[j] = l->broadcast.of[j] != l->broadcast.count;
  return 0;
}

void
binary_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->wide = true;
}

int
binary_absorb (void *self, const struct qk_layer_traits *next)
{
  struct binary *l = self;

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

int
binary_setup (void *self, struct qk_layer_setup *s)
{
  struct binary *l = self;
  const size_t n = (size_t) qk_shape_count (s->out);
  const bool known = s->out_qz && qk_quantizer_is_ste (s->out_qz);

  l->threads = s->threads > 1 ? s->threads : 1;
  l->sums
    = s->quantized_out && !(known && qk_quantizer_wants_range (s->out_qz));
  s->keep_in = l->function != QK_ADD && l->function != QK_SUB;
  s->keep_out = false;
  if (s->train && (l->clamped || s->quantized_out))
    s->saved = kept_bytes (n);
  if (s->train && l->sums)
    s->saved += n * sizeof (float);
  s->workspace = (size_t) l->threads * sizeof (struct extent);
  if (l->sums)
    s->workspace = kept_bytes (s->workspace) + n * sizeof (float);
  return 0;
}

/* ---- forward -----------------------------------------------------------*/

/* N real numbers of T from element AT on. */
static void
real_numbers (const struct qk_tensor *t, int64_t at, int64_t n, float *out)
{
  if (t->dtype == QK_F32)
    memcpy (out, (const float *) t->data + at, (size_t) n * sizeof *out);
  else
    numbers_of_bytes ((const uint8_t *) t->data + at, n, &t->q, out);
}

/* The real numbers of input J under the output's elements AT on, repeated as
 * need be. */
static void
repeat_block (const struct binary *l, const struct qk_tensor *t, int j,
              int64_t at, int64_t n, float *buf)
{
  const struct broadcast *p = &l->broadcast;
  const bool same = p->step[j][p->axes - 1] == 0;
  int64_t from[2], run;

  for (; n > 0; at += run, n -= run, buf += run) {
    broadcast_at (p, at % p->count, from, &run);
    run = run < n ? run : n;
    from[j] += at / p->count * p->of[j];
    real_numbers (t, from[j], same ? 1 : run, buf);
    for (int64_t i = 1; same && i < run; i++)
      buf[i] = buf[0];
  }
}

/* The real numbers of input J under the output's elements AT on; borrowed
 * from a float tensor, in BUF from another. */
static const float *
real_block (const struct binary *l, const struct qk_layer_io *io, int j,
            int64_t at, int64_t n, float *buf)
{
  const struct qk_tensor *t = &io->in[j];

  if (l->repeated[j])
    repeat_block (l, t, j, at, n, buf);
  else if (t->dtype == QK_F32)
    return (const float *) t->data + at;
  else
    real_numbers (t, at, n, buf);
  return buf;
}

#define FUNCTION_CASE(f)                                                      \
  case f:                                                                     \
    QK_SIMD                                                                   \
    for (int64_t i = 0; i < n; i++)                                           \
      y[i] = qk_function_real (f, a[i], b[i]);                                \
    break

QK_LOOP (static, function_block,
         (int function, const float *restrict a, const float *restrict b,
          int64_t n, float *y),
         (function, a, b, n, y))
{
  switch (function) {
    FUNCTION_CASE (QK_ADD);
    FUNCTION_CASE (QK_SUB);
    FUNCTION_CASE (QK_MUL);
    FUNCTION_CASE (QK_DIV);
    FUNCTION_CASE (QK_MAX);
    FUNCTION_CASE (QK_MIN);
  }
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

/* The results of elements AT on, clamped, to Y. */
static void
block (const struct binary *l, const struct qk_layer_io *io, int64_t at,
       int64_t n, float *y, uint8_t *inside)
{
  float buf[2][BLOCK];

  function_block (l->function, real_block (l, io, 0, at, n, buf[0]),
                  real_block (l, io, 1, at, n, buf[1]), n, y);
  if (l->clamped)
    clamp_block (y, n, l->lo, l->hi, inside);
  else if (inside != NULL)
    memset (inside, 1, (size_t) n);
}

/* All results to Y, and their range where RANGES (one a thread) are given. */
static void
pass_real (const struct binary *l, const struct qk_layer_io *io, int threads,
           float *y, uint8_t *inside, struct extent *ranges)
{
  const int64_t n = qk_shape_count (&io->out->shape);

#pragma omp parallel for num_threads(threads)                                 \
  schedule(static, 1) if (n >= PARALLEL_MIN)
  for (int t = 0; t < threads; t++) {
    const int64_t end = n * (t + 1) / threads;
    struct extent r = EXTENT_EMPTY;
    float buf[BLOCK];

    for (int64_t i = n * t / threads; i < end; i += BLOCK) {
      const int64_t len = end - i < BLOCK ? end - i : BLOCK;
      float *to = y != NULL ? y + i : buf;

      block (l, io, i, len, to, inside != NULL ? inside + i : NULL);
      if (ranges != NULL)
        extent_block (to, len, &r);
    }
    if (ranges != NULL)
      ranges[t] = r;
  }
}

/* All of out on its grid, from Y or from the inputs again. */
static void
pass_grid (const struct binary *l, const struct qk_layer_io *io, int threads,
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
observe_range (const struct binary *l, struct qk_layer_io *io, int threads)
{
  struct extent *ranges = io->workspace;

  pass_real (l, io, threads, NULL, NULL, ranges);
  return extent_observe (io->out_qz, ranges, threads);
}

static int
forward_quantized (struct binary *l, struct qk_layer_io *io, int threads)
{
  const int64_t n = qk_shape_count (&io->out->shape);
  const bool train = (io->flags & QK_PASS_TRAIN) != 0;
  uint8_t *inside = train ? io->saved : NULL;
  float *y = NULL;
  int r = 0;

  if (io->out_qz == NULL) { /* on a grid that is given */
    if (!(io->out->q.scale > 0.0f))
      return qk_error (-EINVAL, "%s: the u8 output has no grid", name_of (l));
    pass_grid (l, io, threads, NULL, inside);
    return 0;
  }
  if (l->sums) {
    y = train ? (float *) (void *) (inside + kept_bytes ((size_t) n))
              : (float *) (void *) ((char *) io->workspace
                                    + kept_bytes ((size_t) l->threads
                                                  * sizeof (struct extent)));
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

int
binary_forward (void *self, struct qk_layer_io *io)
{
  struct binary *l = self;
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
          float *restrict g),
         (dy, inside, n, g))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    g[i] = inside[i] ? dy[i] : 0.0f;
}

/* The same to two places. */
QK_LOOP (static, gate_both,
         (const float *dy, const uint8_t *restrict inside, int64_t n,
          float *restrict da, float *restrict db),
         (dy, inside, n, da, db))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    da[i] = db[i] = inside[i] ? dy[i] : 0.0f;
}

QK_LOOP (static, multiply_block,
         (const float *restrict g, const float *restrict x, int64_t n,
          float *restrict out),
         (g, x, n, out))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    out[i] = g[i] * x[i];
}

QK_LOOP (static, negate_block,
         (const float *restrict g, int64_t n, float *restrict out),
         (g, n, out))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    out[i] = -g[i];
}

/* Gradients of a / b by A (OF_A) or by B. */
QK_LOOP (static, quotient_block,
         (const float *restrict g, const float *restrict a,
          const float *restrict b, bool of_a, int64_t n, float *restrict out),
         (g, a, b, of_a, n, out))
{
  if (of_a)
    QK_SIMD
  for (int64_t i = 0; i < n; i++)
    out[i] = g[i] / b[i];
  else QK_SIMD for (int64_t i = 0; i < n; i++) out[i]
    = -g[i] * (a[i] / b[i]) / b[i];
}

/* Gradients by the OWN of two numbers of which the larger counts (SIGN 1) or
 * the smaller (SIGN -1); half where they are equal. */
QK_LOOP (static, choice_block,
         (const float *restrict g, const float *restrict own,
          const float *restrict other, float sign, int64_t n,
          float *restrict out),
         (g, own, other, sign, n, out))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++) {
    const float d = (own[i] - other[i]) * sign;

    out[i] = d > 0.0f ? g[i] : d < 0.0f ? 0.0f : 0.5f * g[i];
  }
}

QK_LOOP (static, add_block,
         (const float *restrict x, int64_t n, float *restrict sum),
         (x, n, sum))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    sum[i] += x[i];
}

static float
sum_of (const float *x, int64_t n)
{
  float sum = 0.0f;

  for (int64_t i = 0; i < n; i++)
    sum += x[i];
  return sum;
}

/* The gradient by input J under the output's elements AT on, from G: G
 * itself, or in BUF. */
static const float *
gradient_block (const struct binary *l, const struct qk_layer_io *io, int j,
                int64_t at, int64_t n, const float *g, float *buf)
{
  float other[BLOCK], own[BLOCK];
  const float *a, *b;

  if (l->function == QK_ADD || (l->function == QK_SUB && j == 0))
    return g;
  if (l->function == QK_SUB) {
    negate_block (g, n, buf);
    return buf;
  }
  a = real_block (l, io, j, at, n, own);
  b = real_block (l, io, 1 - j, at, n, other);
  if (l->function == QK_MUL)
    multiply_block (g, b, n, buf);
  else if (l->function == QK_DIV)
    quotient_block (g, j == 0 ? a : b, j == 0 ? b : a, j == 0, n, buf);
  else
    choice_block (g, a, b, l->function == QK_MAX ? 1.0f : -1.0f, n, buf);
  return buf;
}

/* Add the gradient G of the output's elements AT on to repeated input J's. */
static void
reduce_block (const struct binary *l, int j, int64_t at, int64_t n,
              const float *g, float *dx)
{
  const struct broadcast *p = &l->broadcast;
  const bool same = p->step[j][p->axes - 1] == 0;
  int64_t from[2], run;

  for (; n > 0; at += run, n -= run, g += run) {
    broadcast_at (p, at % p->count, from, &run);
    run = run < n ? run : n;
    from[j] += at / p->count * p->of[j];
    if (same)
      dx[from[j]] += sum_of (g, run);
    else
      add_block (g, run, dx + from[j]);
  }
}

/* DY, where INSIDE (NULL: everywhere) lets it pass, of elements AT on to both
 * inputs. */
static void
pass_block (const struct binary *l, const struct qk_layer_io *io,
            const float *dy, const uint8_t *inside, int64_t at, int64_t n)
{
  float gated[BLOCK], buf[BLOCK];
  float *da = io->din[0].data, *db = io->din[1].data;
  const float *g = dy + at;

  if (l->function == QK_ADD && inside != NULL && !l->repeated[0]
      && !l->repeated[1]) { /* residual connections: no copies */
    if (da != NULL && db != NULL)
      gate_both (dy + at, inside + at, n, da + at, db + at);
    else if (da != NULL || db != NULL)
      gate_block (dy + at, inside + at, n, (da != NULL ? da : db) + at);
    return;
  }
  if (inside != NULL) {
    gate_block (dy + at, inside + at, n, gated);
    g = gated;
  }
  for (int j = 0; j < 2; j++) {
    float *dx = io->din[j].data;
    const float *d;

    if (dx == NULL)
      continue;
    d = gradient_block (l, io, j, at, n, g,
                        l->repeated[j] || l->function == QK_ADD ? buf
                                                                : dx + at);
    if (l->repeated[j])
      reduce_block (l, j, at, n, d, dx);
    else if (d != dx + at)
      memcpy (dx + at, d, (size_t) n * sizeof *dx);
  }
}

/* The same of all elements.  Repeated inputs take their sums in the order of
 * the elements, a sample in one thread. */
static void
pass_gradient (const struct binary *l, const struct qk_layer_io *io,
               const float *dy, const uint8_t *inside, int threads)
{
  const bool repeated = l->repeated[0] || l->repeated[1];
  const int64_t n = qk_shape_count (&io->dout->shape);
  const int64_t part = repeated ? l->broadcast.count : BLOCK;

  for (int j = 0; j < 2; j++)
    if (l->repeated[j] && io->din[j].data != NULL)
      memset (io->din[j].data, 0,
              (size_t) qk_shape_count (&io->din[j].shape) * sizeof (float));
  (void) threads;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i += part) {
    const int64_t end = n - i < part ? n : i + part;

    for (int64_t k = i; k < end; k += BLOCK)
      pass_block (l, io, dy, inside, k, end - k < BLOCK ? end - k : BLOCK);
  }
}

int
binary_backward (void *self, struct qk_layer_io *io)
{
  const struct binary *l = self;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const bool quantized = io->out->dtype == QK_U8;
  const uint8_t *inside = l->clamped || quantized ? io->saved : NULL;
  const float *dy = io->dout->data;

  if (quantized && io->out_qz != NULL && !qk_quantizer_is_ste (io->out_qz)) {
    float *g = (float *) (void *) ((char *) io->workspace
                                   + kept_bytes ((size_t) l->threads
                                                 * sizeof (struct extent)));
    const float *y
      = (const float *) (const void *) (inside + kept_bytes ((size_t) n));
    int r;

    if (!l->sums)
      return qk_error (-EINVAL, "%s: set up for a straight-through gradient",
                       name_of (l));
    r = qk_quantizer_backward (io->out_qz, y, dy, g, (size_t) n);
    if (r < 0)
      return r;
    dy = g;
  }
  pass_gradient (l, io, dy, inside, threads);
  return 0;
}

int
binary_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct binary *l = self;

  op->kind = QK_OP_BINARY;
  op->function = l->function;
  qk_clamp_bounds (&io->out->q, l->lo, l->hi, &op->lo, &op->hi);
  return 0;
}
