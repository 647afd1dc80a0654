/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pointwise.c: operations without weights: chunks for threads, windows. */
#include "config.h"

#include "pointwise.h"

#include <string.h>

#include <qatkit/numeric.h>

#include "fixed.h"
#include "multiversion.h"
#include "pool.h"
#include "resize.h"

#define CHUNK POINTWISE_CHUNK

/* Elementwise operations run a chunk of elements [FIRST, FIRST + COUNT). */
typedef void (*chunk_fn) (const struct pointwise *k, const void *const *in,
                          void *out, int64_t first, int64_t count);

static void
run_chunks (const struct pointwise *k, int64_t n, const void *const *in,
            void *out, chunk_fn fn)
{
  const int64_t count = n * k->g.k;
  const int64_t chunks = (count + CHUNK - 1) / CHUNK;
  const int threads = chunks < k->threads ? (int) chunks : k->threads;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < chunks; i++) {
    const int64_t left = count - i * CHUNK;

    fn (k, in, out, i * CHUNK, left < CHUNK ? left : CHUNK);
  }
}

static void
binary_chunk (const struct pointwise *k, const void *const *in, void *out,
              int64_t first, int64_t count)
{
  k->binary ((const uint8_t *) in[0] + first, (const uint8_t *) in[1] + first,
             count, &k->grids[0], (uint8_t *) out + first);
}

#define REPEAT_BYTES 4096 /* of a repeated row, to have long loops */

/* The fastest axes of a broadcast: ROWS rows of WIDTH elements, which both
 * inputs have one after the other but for those that REPEAT one row. */
struct inner {
  int64_t rows, width;
  bool repeat[2];
  int outer; /* axes before them */
};

static struct inner
inner_of (const struct broadcast *p)
{
  const int last = p->axes - 1;
  struct inner n = { .rows = 1, .width = p->size[last], .outer = last };

  if (p->step[0][last] == 0 || p->step[1][last] == 0) {
    n.rows = p->size[last]; /* of one element */
    n.width = 1;
  } else if (last > 0) {
    n.rows = p->size[last - 1];
    n.outer = last - 1;
  } else
    return n;
  for (int j = 0; j < 2; j++)
    n.repeat[j] = p->step[j][n.outer] == 0;
  return n;
}

/* COUNT rows from FIRST on of what starts at X[0], X[1] and OUT. */
static void
binary_rows (const struct pointwise *k, const struct inner *n,
             const uint8_t *const x[2], int64_t first, int64_t count,
             uint8_t *out)
{
  uint8_t row[REPEAT_BYTES];
  const bool few = n->width <= REPEAT_BYTES / 2;
  const int64_t most = few ? REPEAT_BYTES / n->width : 1;

  for (int j = 0; j < 2 && few; j++)
    for (int64_t i = 0; n->repeat[j] && i < most && i < count; i++)
      memcpy (row + i * n->width, x[j], (size_t) n->width);
  for (int64_t i = first, some; i < first + count; i += some) {
    const uint8_t *at[2];

    some = first + count - i < most ? first + count - i : most;
    for (int j = 0; j < 2; j++)
      at[j] = !n->repeat[j] ? x[j] + i * n->width : few ? row : x[j];
    k->binary (at[0], at[1], some * n->width, &k->grids[0],
               out + i * n->width);
  }
}

static void
run_broadcast (const struct pointwise *k, int64_t n, const void *const *in,
               void *out)
{
  const struct broadcast *p = &k->broadcast;
  const struct inner inner = inner_of (p);
  const int64_t size = inner.rows * inner.width;
  const int64_t blocks = p->count / size; /* of a sample */
  const int64_t pieces = (size + CHUNK - 1) / CHUNK;
  const int threads = n * p->count < CHUNK ? 1 : k->threads;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n * blocks * pieces; i++) {
    const int64_t sample = i / pieces / blocks, block = i / pieces % blocks;
    const int64_t begin = inner.rows * (i % pieces) / pieces;
    const int64_t end = inner.rows * (i % pieces + 1) / pieces;
    const uint8_t *x[2];
    int64_t from[2], run;

    broadcast_at (p, block * size, from, &run);
    for (int j = 0; j < 2; j++)
      x[j] = (const uint8_t *) in[j] + sample * p->of[j] + from[j];
    binary_rows (k, &inner, x, begin, end - begin,
                 (uint8_t *) out + sample * p->count + block * size);
  }
}

static void
run_binary (const struct pointwise *k, int64_t n, const void *const *in,
            void *out)
{
  if (k->broadcast.of[0] == k->broadcast.count
      && k->broadcast.of[1] == k->broadcast.count)
    run_chunks (k, n, in, out, binary_chunk);
  else
    run_broadcast (k, n, in, out);
}

static void
table_chunk (const struct pointwise *k, const void *const *in, void *out,
             int64_t first, int64_t count)
{
  k->kernels.table ((const uint8_t *) in[0] + first, count, k->op.table,
                    (uint8_t *) out + first);
}

static void
run_table (const struct pointwise *k, int64_t n, const void *const *in,
           void *out)
{
  run_chunks (k, n, in, out, table_chunk);
}

static void
clamp_chunk (const struct pointwise *k, const void *const *in, void *out,
             int64_t first, int64_t count)
{
  k->kernels.clamp ((const uint8_t *) in[0] + first, count, k->op.lo, k->op.hi,
                    (uint8_t *) out + first);
}

static void
run_clamp (const struct pointwise *k, int64_t n, const void *const *in,
           void *out)
{
  run_chunks (k, n, in, out, clamp_chunk);
}

static void
quantize_chunk (const struct pointwise *k, const void *const *in, void *out,
                int64_t first, int64_t count)
{
  k->kernels.quantize ((const float *) in[0] + first, count, &k->grids[0],
                       (uint8_t *) out + first);
}

static void
run_quantize (const struct pointwise *k, int64_t n, const void *const *in,
              void *out)
{
  run_chunks (k, n, in, out, quantize_chunk);
}

static void
dequantize_chunk (const struct pointwise *k, const void *const *in, void *out,
                  int64_t first, int64_t count)
{
  k->kernels.dequantize ((const uint8_t *) in[0] + first, count, &k->grids[0],
                         (float *) out + first);
}

static void
run_dequantize (const struct pointwise *k, int64_t n, const void *const *in,
                void *out)
{
  run_chunks (k, n, in, out, dequantize_chunk);
}

static void
requantize_chunk (const struct pointwise *k, const void *const *in, void *out,
                  int64_t first, int64_t count)
{
  k->kernels.regrid ((const uint8_t *) in[0] + first, count, &k->grids[0],
                     (uint8_t *) out + first);
}

static void
run_requantize (const struct pointwise *k, int64_t n, const void *const *in,
                void *out)
{
  run_chunks (k, n, in, out, requantize_chunk);
}

static void
reshape_chunk (const struct pointwise *k, const void *const *in, void *out,
               int64_t first, int64_t count)
{
  (void) k;
  memcpy ((uint8_t *) out + first, (const uint8_t *) in[0] + first,
          (size_t) count);
}

static void
run_reshape (const struct pointwise *k, int64_t n, const void *const *in,
             void *out)
{
  if (in[0] != out)
    run_chunks (k, n, in, out, reshape_chunk);
}

/* Input I's part of COUNT rows of the output, which are PITCH apart.  Where the
 * grids are the same it is copied. */
static void
concat_rows (const struct pointwise *k, int i, const uint8_t *x, int64_t count,
             uint8_t *y, int64_t pitch)
{
  const int64_t c = k->channels[i];

  if (k->identity[i])
    for (; count > 0; count--, x += c, y += pitch)
      memcpy (y, x, (size_t) c);
  else
    for (; count > 0; count--, x += c, y += pitch)
      k->kernels.regrid (x, c, &k->grids[i], y);
}

static void
run_concat (const struct pointwise *k, int64_t n, const void *const *in,
            void *out)
{
  const int threads = n * k->g.k < CHUNK ? 1 : k->threads;
  int64_t width = 0, rows, piece, pieces;

  for (int i = 0; i < k->op.n_in; i++)
    width += k->channels[i];
  rows = n * k->g.k / width;
  piece = width < CHUNK ? CHUNK / width : 1;
  pieces = (rows + piece - 1) / piece;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t j = 0; j < pieces; j++) {
    const int64_t first = j * piece, left = rows - first;
    uint8_t *y = (uint8_t *) out + first * width;

    for (int i = 0; i < k->op.n_in; i++) {
      const int64_t c = k->channels[i];

      concat_rows (k, i, (const uint8_t *) in[i] + first * c,
                   left < piece ? left : piece, y, width);
      y += c;
    }
  }
}

static void
run_transpose (const struct pointwise *k, int64_t n, const void *const *in,
               void *out)
{
  transpose_run (&k->transpose, n, in[0], out, 1, k->threads);
}

static void
run_gather (const struct pointwise *k, int64_t n, const void *const *in,
            void *out)
{
  const uint8_t fill = (uint8_t) k->op.fill;

  gather_copy (&k->gather, n, in[0], out, 1, &fill, k->threads);
}

static void
run_resize (const struct pointwise *k, int64_t n, const void *const *in,
            void *out)
{
  if (resize_has_rows (k))
    resize_rows (k, n, in[0], out);
  else
    resample_u8 (&k->resample, n, in[0], out, k->op.in_q[0].zero_point,
                 k->op.lo, k->op.hi, k->threads);
}

/* What numeric.h's mean divides by: with count_pad positions in the padding
 * count too, but not those beyond it, which ceil mode makes. */
static int32_t
padded_taps (int64_t start, int kernel, int dilation, int before, int64_t size,
             int after)
{
  int first, last;

  int8op_taps (start + before, kernel, dilation, before + size + after, &first,
               &last);
  return last - first;
}

static struct qk_window
pool_window (const struct pointwise *k, const uint8_t *x, int64_t p, int64_t q)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const int64_t row0 = p * op->stride_h - op->pad_top;
  const int64_t col0 = q * op->stride_w - op->pad_left;
  struct qk_window w;
  int r0, r1, s0, s1;

  int8op_taps (row0, op->kernel_h, op->dilation_h, g->h, &r0, &r1);
  int8op_taps (col0, op->kernel_w, op->dilation_w, g->w, &s0, &s1);
  w.x = x
        + ((row0 + (int64_t) r0 * op->dilation_h) * g->w + col0
           + (int64_t) s0 * op->dilation_w)
            * g->c;
  w.rows = r1 - r0;
  w.cols = s1 - s0;
  w.row_pitch = op->dilation_h * g->w * g->c;
  w.col_pitch = op->dilation_w * g->c;
  w.count = w.rows * w.cols;
  if (op->count_pad)
    w.count = padded_taps (row0, op->kernel_h, op->dilation_h, op->pad_top,
                           g->h, op->pad_bottom)
              * padded_taps (col0, op->kernel_w, op->dilation_w, op->pad_left,
                             g->w, op->pad_right);
  return w;
}

static void
run_pool (const struct pointwise *k, int64_t n, const void *const *in,
          void *out)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const int64_t pixels = n * g->p * g->q;
  const int64_t work = pixels * g->c * op->kernel_h * op->kernel_w;
  const int threads = work < CHUNK ? 1 : k->threads;

  if (pool_has_rows (k)) {
    pool_rows (k, n, in[0], out);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < pixels; i++) {
    const int64_t image = i / (g->p * g->q);
    const struct qk_window w
      = pool_window (k, (const uint8_t *) in[0] + image * g->h * g->w * g->c,
                     i / g->q % g->p, i % g->q);
    uint8_t *y = (uint8_t *) out + i * g->c;

    if (op->kind == QK_OP_MAXPOOL2D)
      k->kernels.maxpool (&w, g->c, op->lo, op->hi, y);
    else
      k->kernels.avgpool (&w, g->c, op->in_q[0].zero_point, op->lo, op->hi, y);
  }
}

/* ---- along axes --------------------------------------------------------- */

#define REDUCE_BLOCK 1024 /* outputs a thread takes at once */

/* COUNT of reduce_u8's results from FIRST on. */
static void
reduce_some (const struct pointwise *k, const uint8_t *x, int64_t first,
             int64_t count, int32_t *sum)
{
  const struct reduce *p = &k->reduce;
  const bool adds = k->op.function == QK_MEAN || k->op.function == QK_SUM;

  if (adds && k->kernels.extras->add_rows != NULL && p->reduced == 1
      && p->inner == p->outputs) {
    memset (sum, 0, (size_t) count * sizeof *sum);
    k->kernels.extras->add_rows (x + first, p->count, p->step[0], count, sum);
  } else
    reduce_u8 (p, k->op.function, x, first, count, sum);
}

/* COUNT results of reduce_some to the output's grid. */
static void
finish_reduce (const struct pointwise *k, const int32_t *sum, int64_t count,
               uint8_t *out)
{
  const struct qk_op *op = &k->op;
  const int32_t of = (int32_t) k->reduce.count, z = op->in_q[0].zero_point;
  const float m = qk_multiplier (op->in_q[0].scale, 1.0f, op->out_q.scale);
  const int32_t zp = op->out_q.zero_point, lo = op->lo, hi = op->hi;

  if (op->function == QK_MEAN)
    for (int64_t i = 0; i < count; i++)
      out[i] = (uint8_t) qk_mean_quantized (sum[i] - z * of, of, zp, lo, hi);
  else if (op->function == QK_SUM)
    for (int64_t i = 0; i < count; i++)
      out[i] = (uint8_t) qk_requantize (sum[i] - z * of, m, zp, lo, hi);
  else
    for (int64_t i = 0; i < count; i++)
      out[i] = (uint8_t) (sum[i] < lo ? lo : sum[i] > hi ? hi : sum[i]);
}

static void
run_reduce (const struct pointwise *k, int64_t n, const void *const *in,
            void *out)
{
  const struct reduce *p = &k->reduce;
  const int64_t per = (p->outputs + REDUCE_BLOCK - 1) / REDUCE_BLOCK;
  const int threads = n * p->in < CHUNK ? 1 : k->threads;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n * per; i++) {
    const int64_t sample = i / per, first = i % per * REDUCE_BLOCK;
    const int64_t left = p->outputs - first;
    const int64_t count = left < REDUCE_BLOCK ? left : REDUCE_BLOCK;
    int32_t sum[REDUCE_BLOCK];

    reduce_some (k, (const uint8_t *) in[0] + sample * p->in, first, count,
                 sum);
    finish_reduce (k, sum, count,
                   (uint8_t *) out + sample * p->outputs + first);
  }
}

/* ---- a slope for each channel -------------------------------------------- */

QK_LOOP (static, prelu_row,
         (const uint8_t *restrict x, int64_t n, int32_t z, float above,
          const float *restrict below, int32_t zp, int32_t lo, int32_t hi,
          uint8_t *restrict y),
         (x, n, z, above, below, zp, lo, hi, y))
{
  QK_SIMD
  for (int64_t c = 0; c < n; c++)
    y[c] = (uint8_t) qk_prelu_quantized (x[c], z, above, below[c], zp, lo, hi);
}

static void
run_prelu (const struct pointwise *k, int64_t n, const void *const *in,
           void *out)
{
  const struct qk_op *op = &k->op;
  const int64_t channels = op->out_channels, rows = n * k->g.k / channels;
  const float above = qk_multiplier (op->in_q[0].scale, 1.0f, op->out_q.scale);
  const int threads = n * k->g.k < CHUNK ? 1 : k->threads;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < rows; i++)
    prelu_row ((const uint8_t *) in[0] + i * channels, channels,
               op->in_q[0].zero_point, above, op->multiplier,
               op->out_q.zero_point, op->lo, op->hi,
               (uint8_t *) out + i * channels);
}

/* Grids of input I (and, for functions of two, input 1) and of the output. */
static struct qk_grids
grids_of (const struct qk_op *op, int i)
{
  const bool binary = op->kind == QK_OP_BINARY;
  const int other = binary ? 1 : i;
  const double a = 256.0 * (double) op->in_q[i].scale;
  const double b = 256.0 * (double) op->in_q[other].scale;
  const double most = !binary || op->function != QK_MUL ? a + b : a * b;
  const bool divides = binary && op->function == QK_DIV;

  return (struct qk_grids){
    .za = op->in_q[i].zero_point,
    .sa = op->in_q[i].scale,
    .zb = op->in_q[other].zero_point,
    .sb = op->in_q[other].scale,
    .inv = 1.0f / op->out_q.scale,
    .zp = op->out_q.zero_point,
    .lo = op->lo,
    .hi = op->hi,
    /* in float as well, where numbers on the way may become infinite */
    .bounded = !divides && a < 1e38 && b < 1e38 && most < 1e38
               && most * (double) (1.0f / op->out_q.scale) < 1073741824.0,
  };
}

/* Whether moving from input I's grid to the output's changes no value. */
static bool
is_identity (const struct qk_op *op, int i, const struct qk_grids *g)
{
  for (int32_t q = 0; q < 256; q++)
    if (qk_regrid (q, &op->in_q[i], g->inv, g->zp, g->lo, g->hi) != q)
      return false;
  return true;
}

/* NULL for operations with weights. */
static pointwise_fn *
runner (enum qk_op_kind kind)
{
  switch (kind) {
  case QK_OP_BINARY:
    return run_binary;
  case QK_OP_TABLE:
    return run_table;
  case QK_OP_CONCAT:
    return run_concat;
  case QK_OP_MAXPOOL2D:
  case QK_OP_AVGPOOL2D:
    return run_pool;
  case QK_OP_CLAMP:
    return run_clamp;
  case QK_OP_RESHAPE:
    return run_reshape;
  case QK_OP_QUANTIZE:
    return run_quantize;
  case QK_OP_DEQUANTIZE:
    return run_dequantize;
  case QK_OP_REQUANTIZE:
    return run_requantize;
  case QK_OP_TRANSPOSE:
    return run_transpose;
  case QK_OP_GATHER:
    return run_gather;
  case QK_OP_RESIZE:
    return run_resize;
  case QK_OP_REDUCE:
    return run_reduce;
  case QK_OP_PRELU:
    return run_prelu;
  default:
    return NULL;
  }
}

static void
choose_binary (struct pointwise *k)
{
  const int f = k->op.function;
  qk_binary_u8_fn *exact = k->kernels.binary[f],
                  *fixed = k->kernels.extras->fixed[f];

  k->binary = exact;
  if (fixed != NULL && fixed_plan (f, exact, fixed, &k->grids[0]))
    k->binary = fixed;
}

int
pointwise_new (const struct pointwise_kernels *kernels, int threads,
               const struct qk_op *op, const struct int8op_geometry *g,
               const struct qk_shape *in, const struct qk_shape *out,
               struct pointwise **made)
{
  struct pointwise *k;
  int r;

  if (runner (op->kind) == NULL)
    return qk_error (-ENOTSUP, "%s: operation %d has weights or is unknown",
                     op->name, (int) op->kind);
  k = qk_alloc (sizeof *k);
  if (k == NULL)
    return qk_oom ("%s", op->name);
  qk_op_copy (&k->op, op);
  k->g = *g;
  k->threads = threads;
  k->kernels = *kernels;
  k->run = runner (op->kind);
  for (int i = 0; i < op->n_in; i++) {
    k->channels[i] = int8op_row (op, &in[i]);
    k->grids[i] = grids_of (op, i);
    if (op->kind == QK_OP_CONCAT)
      k->identity[i] = is_identity (op, i, &k->grids[i]);
  }
  if (op->kind == QK_OP_REDUCE)
    reduce_plan (&in[0], op->along, &k->reduce);
  if (op->kind == QK_OP_BINARY) {
    broadcast_plan (&in[0], &in[1], &k->broadcast);
    choose_binary (k);
  }
  if (op->kind == QK_OP_TRANSPOSE)
    transpose_plan (op->order, op->axes, false, &k->transpose);
  if (op->kind == QK_OP_RESIZE)
    resample_plan (op->taps, op->place, op->share, in, out, &k->resample);
  if (op->kind == QK_OP_GATHER
      && (r = gather_plan (op->name, op->place, in, out, &k->gather)) < 0) {
    qk_free (k);
    return r;
  }
  *made = k;
  return 0;
}

void
pointwise_free (struct pointwise *k)
{
  if (k != NULL)
    gather_clear (&k->gather);
  qk_free (k);
}

void
pointwise_run (const struct pointwise *k, int64_t n, const void *const *in,
               void *out)
{
  k->run (k, n, in, out);
}
