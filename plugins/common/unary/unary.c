/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unary.c: layers that apply a function to each element; see unary.h. */
#include "config.h"

#include "unary.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/numeric.h>

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 16384
#define BLOCK 4096 /* elements, of which a few stay in the cache */

struct unary {
  const struct unary_function *f;
  float p[UNARY_PARAMS];
  bool floats; /* from setup: the quantizer wants to see all numbers */
};

int
unary_create (const struct unary_function *function, const float *p,
              void **self)
{
  struct unary *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("%s", function->name);
  l->f = function;
  if (p != NULL)
    memcpy (l->p, p, sizeof l->p);
  *self = l;
  return 0;
}

void
unary_destroy (void *self)
{
  free (self);
}

int
unary_infer (void *self, const struct qk_shape *in, int n_in,
             struct qk_shape *out)
{
  const struct unary *l = self;

  if (n_in != 1)
    return qk_error (-EINVAL, "%s: takes 1 input, got %d", l->f->name, n_in);
  *out = in[0];
  return 0;
}

/* workspace: where numbers of the whole output are needed, they and then
 * their gradients */
int
unary_setup (void *self, struct qk_layer_setup *s)
{
  struct unary *l = self;
  const size_t n = (size_t) qk_shape_count (s->out);
  const bool known = s->out_qz != NULL && qk_quantizer_is_ste (s->out_qz);

  s->keep_out = false;
  l->floats
    = s->quantized_out
      && !(s->quantized_in && known && qk_quantizer_wants_range (s->out_qz));
  if (l->floats)
    s->workspace = 2 * n * sizeof (float);
  return 0;
}

/* ---- tables ------------------------------------------------------------ */

/* What the function, or its slope, gives for each byte on grid Q. */
static void
table_f32 (const struct unary *l, unary_loop loop, const struct qk_qparams *q,
           float table[256])
{
  float x[256];

  for (int32_t i = 0; i < 256; i++)
    x[i] = qk_dequantize (i, q->scale, q->zero_point);
  loop (x, table, 256, l->p);
}

/* The numbers Y on grid Q. */
static void
quantize (const float *y, int64_t n, const struct qk_qparams *q, uint8_t *out)
{
  const float inv = 1.0f / q->scale;

  for (int64_t i = 0; i < n; i++)
    out[i]
      = (uint8_t) qk_quantize (y[i], inv, q->zero_point, q->qmin, q->qmax);
}

static void
look_up_f32 (const float table[256], const uint8_t *x, int64_t n, int threads,
             float *y)
{
  (void) threads;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++)
    y[i] = table[x[i]];
}

static void
look_up_u8 (const uint8_t table[256], const uint8_t *x, int64_t n, int threads,
            uint8_t *y)
{
  (void) threads;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++)
    y[i] = table[x[i]];
}

/* SEEN[b]: whether X holds the byte b. */
static void
mark_seen (const uint8_t *x, int64_t n, int threads, uint8_t seen[256])
{
  memset (seen, 0, 256);
  (void) threads;
#pragma omp parallel for num_threads(threads) schedule(static)                \
  reduction(|                                                                 \
            : seen[:256]) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++)
    seen[x[i]] = 1;
}

/* ---- forward ----------------------------------------------------------- */

static int
no_grid (const struct unary *l)
{
  return qk_error (-EINVAL, "%s: the u8 output has no grid", l->f->name);
}

/* The range of the table's numbers that X names. */
static int
observe_range (const float table[256], const uint8_t *x, int64_t n,
               int threads, struct qk_quantizer *qz)
{
  float min = INFINITY, max = -INFINITY;
  uint8_t seen[256];

  mark_seen (x, n, threads, seen);
  for (int i = 0; i < 256; i++)
    if (seen[i]) {
      const float y = table[i];

      min = !(y - y == 0.0f) ? NAN : y < min ? y : min;
      max = y > max ? y : max;
    }
  min += 0.0f; /* whether -0 or 0 came first must not matter */
  max += 0.0f;
  return qk_quantizer_observe_range (qz, &min, &max);
}

static int
forward_table (const struct unary *l, struct qk_layer_io *io, int threads)
{
  const struct qk_tensor *in = &io->in[0];
  struct qk_tensor *out = io->out;
  const int64_t n = qk_shape_count (&out->shape);
  uint8_t bytes[256];
  float table[256];
  int r = 0;

  table_f32 (l, l->f->value, &in->q, table);
  if (out->dtype == QK_F32) {
    look_up_f32 (table, in->data, n, threads, out->data);
    return 0;
  }
  if (io->out_qz != NULL) {
    if (l->floats) {
      look_up_f32 (table, in->data, n, threads, io->workspace);
      r = qk_quantizer_observe (io->out_qz, io->workspace, (size_t) n);
    } else if (qk_quantizer_observing (io->out_qz))
      r = observe_range (table, in->data, n, threads, io->out_qz);
    if (r < 0)
      return r;
    out->q = *qk_quantizer_qparams (io->out_qz);
  }
  if (!(out->q.scale > 0.0f))
    return no_grid (l);
  quantize (table, 256, &out->q, bytes);
  look_up_u8 (bytes, in->data, n, threads, out->data);
  return 0;
}

/* LOOP over N numbers. */
static void
run (const struct unary *l, unary_loop loop, const float *x, int64_t n,
     int threads, float *y)
{
  (void) threads;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i += BLOCK)
    loop (x + i, y + i, n - i < BLOCK ? n - i : BLOCK, l->p);
}

int
unary_forward (void *self, struct qk_layer_io *io)
{
  const struct unary *l = self;
  struct qk_tensor *out = io->out;
  const int64_t n = qk_shape_count (&out->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  int r;

  if (io->in[0].dtype == QK_U8)
    return forward_table (l, io, threads);
  if (out->dtype == QK_F32) {
    run (l, l->f->value, io->in[0].data, n, threads, out->data);
    return 0;
  }
  if (!l->floats)
    return no_grid (l);
  run (l, l->f->value, io->in[0].data, n, threads, io->workspace);
  if (io->out_qz != NULL) {
    r = qk_quantizer_observe (io->out_qz, io->workspace, (size_t) n);
    if (r < 0)
      return r;
    out->q = *qk_quantizer_qparams (io->out_qz);
  }
  quantize (io->workspace, n, &out->q, out->data);
  return 0;
}

/* ---- backward ---------------------------------------------------------- */

/* G = DY where Y lies within grid Q. */
static void
gate (const float *y, const float *dy, int64_t n, const struct qk_qparams *q,
      float *g)
{
  const float inv = 1.0f / q->scale;

  for (int64_t i = 0; i < n; i++)
    g[i] = dy[i] * qk_ste_mask (y[i], inv, q->zero_point, q->qmin, q->qmax);
}

/* *DY through the quantizer of the output; Y is what it saw. */
static int
through_quantizer (const struct qk_layer_io *io, const float *y, int64_t n,
                   float *g, const float **dy)
{
  int r = 0;

  if (io->out_qz != NULL)
    r = qk_quantizer_backward (io->out_qz, y, *dy, g, (size_t) n);
  else
    gate (y, *dy, n, &io->out->q, g);
  *dy = g;
  return r;
}

/* A root's slope at 0 is infinite, and 0 is on every grid, which all numbers
 * near it are rounded to: there the slope is that of the line to the next
 * number of the grid Q. */
static void
finite_slopes (const float value[256], const struct qk_qparams *q,
               float slope[256])
{
  for (int i = 0; i < 256; i++)
    if (!isfinite (slope[i])) {
      float s = (value[i < 255 ? i + 1 : i] - value[i]) / q->scale;

      if (!isfinite (s) || i == 255)
        s = i > 0 ? (value[i] - value[i - 1]) / q->scale : 0.0f;
      slope[i] = isfinite (s) ? s : 0.0f;
    }
}

static int
backward_table (const struct unary *l, const struct qk_layer_io *io,
                int threads)
{
  const struct qk_tensor *in = &io->in[0];
  const int64_t n = qk_shape_count (&in->shape);
  const uint8_t *x = in->data;
  const float *dy = io->dout->data;
  float slope[256], value[256], *dx = io->din[0].data, *y = io->workspace;
  int r;

  table_f32 (l, l->f->slope, &in->q, slope);
  table_f32 (l, l->f->value, &in->q, value);
  finite_slopes (value, &in->q, slope);
  if (io->out->dtype == QK_U8) {
    if (l->floats && io->out_qz != NULL && !qk_quantizer_is_ste (io->out_qz)) {
      look_up_f32 (value, x, n, threads, y);
      if ((r = through_quantizer (io, y, n, y + n, &dy)) < 0)
        return r;
    } else
      gate (value, slope, 256, &io->out->q, slope);
  }
  if (dx == NULL)
    return 0;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++)
    dx[i] = dy[i] * slope[x[i]];
  return 0;
}

int
unary_backward (void *self, struct qk_layer_io *io)
{
  const struct unary *l = self;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const float *dy = io->dout->data, *x = io->in[0].data;
  float *dx = io->din[0].data, *y = io->workspace;
  int r;

  if (io->in[0].dtype == QK_U8)
    return backward_table (l, io, threads);
  if (io->out->dtype == QK_U8) {
    run (l, l->f->value, x, n, threads, y);
    if ((r = through_quantizer (io, y, n, y + n, &dy)) < 0)
      return r;
  }
  if (dx == NULL)
    return 0;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i += BLOCK) {
    const int64_t some = n - i < BLOCK ? n - i : BLOCK;

    l->f->slope (x + i, dx + i, some, l->p);
    for (int64_t k = i; k < i + some; k++)
      dx[k] *= dy[k];
  }
  return 0;
}

/* ---- int8 -------------------------------------------------------------- */

int
unary_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct unary *l = self;
  const struct qk_qparams *q = &io->out->q;
  uint8_t *table = qk_alloc (256);
  float value[256];

  if (table == NULL)
    return qk_oom ("%s", l->f->name);
  table_f32 (l, l->f->value, &io->in[0].q, value);
  quantize (value, 256, q, table);
  op->kind = QK_OP_TABLE;
  op->lo = q->qmin;
  op->hi = q->qmax;
  op->table = table;
  return 0;
}

int
unary_geometry (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  (void) self;
  (void) io;
  op->kind = QK_OP_TABLE;
  return 0;
}
