/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmul.c: products of two activations, matrix by matrix:
 *
 *   y = scale * a b,  a (N,...,M,K), b (N,...,K,P), y (N,...,M,P)
 *   da = scale * dy b^T,  db = scale * a^T dy
 *
 * The axes between the batch and the last two are equal or broadcast, numpy's
 * rule for one sample.  On grids the sums are whole numbers, the same as those
 * of the int8 operation (numeric.h: qk_product_multiplier). */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>
#include <qatkit/numeric.h>

#include "gemm/gemm.h"
#include "int8gemm/kernels.h"
#include "matmul/matmul.h"
#include "matmulrows/matmulrows.h"
#include "multiversion.h"

/* Fewer multiplications than this are not worth starting threads for. */
#define PARALLEL_MIN 65536

struct layer {
  bool ta, tb;
  float scale;
  struct matmul mm; /* from infer */
  /* from setup */
  struct qk_kernels kernels;
  int threads;
  const struct qk_backend_class *float_backend; /* or NULL */
  size_t each;                                  /* scratch bytes of a thread */
  /* bytes from the start of the workspace: sums where they are not kept, the
   * gradient of the outputs and the outputs, real inputs */
  size_t ws_acc, ws_y, ws_in[2];
};

static const struct qk_option options[]
  = { { "transpose_a", QK_OPT_BOOL, "no", 0, 0, NULL,
        "Swap the last two axes of the first input" },
      { "transpose_b", QK_OPT_BOOL, "no", 0, 0, NULL,
        "Swap the last two axes of the second input" },
      { "scale", QK_OPT_FLOAT, "1", 1e-20, 1e20, NULL,
        "Factor of the product; attention has 1 / sqrt (K)" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
matmul_create (const struct qk_config *cfg, void **self)
{
  struct layer *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("matmul");
  l->ta = qk_config_bool (cfg, "transpose_a");
  l->tb = qk_config_bool (cfg, "transpose_b");
  l->scale = (float) qk_config_float (cfg, "scale");
  l->threads = 1;
  *self = l;
  return 0;
}

static void
matmul_destroy (void *self)
{
  free (self);
}

static int
matmul_infer (void *self, const struct qk_shape *in, int n_in,
              struct qk_shape *out)
{
  struct layer *l = self;
  int r;

  if (n_in != 2)
    return qk_error (-EINVAL, "matmul: takes 2 inputs, got %d", n_in);
  if ((r = qk_shape_matmul (&in[0], &in[1], l->ta, l->tb, out)) < 0)
    return qk_error_prefix (r, "matmul: ");
  matmul_plan (&in[0], &in[1], l->ta, l->tb, &l->mm);
  return 0;
}

static void
matmul_describe (void *self, struct qk_layer_traits *out)
{
  const struct matmul *mm = &((struct layer *) self)->mm;

  out->macs = mm->products * mm->m * mm->k * mm->p;
}

static size_t
take (size_t *total, size_t size)
{
  const size_t at = *total;

  *total += (size + 63) & ~(size_t) 63;
  return at;
}

static int
matmul_setup (void *self, struct qk_layer_setup *s)
{
  struct layer *l = self;
  const size_t n = (size_t) qk_shape_count (s->out);

  qk_kernels_init (&l->kernels, qk_cpu_current ());
  l->threads = s->threads > 1 ? s->threads : 1;
  l->float_backend = s->float_backend;
  l->each = matmul_scratch (&l->kernels, &l->mm);
  s->keep_out = false;
  take (&s->workspace, s->quantized_in ? (size_t) l->threads * l->each : 0);
  if (s->train && s->quantized_in)
    s->saved = n * sizeof (int32_t);
  l->ws_acc = take (&s->workspace,
                    s->quantized_in && !s->train ? n * sizeof (int32_t) : 0);
  l->ws_y = take (&s->workspace,
                  s->train || s->quantized_out ? 2 * n * sizeof (float) : 0);
  for (int j = 0; j < 2; j++)
    l->ws_in[j] = take (&s->workspace, s->train && s->quantized_in
                                         ? (size_t) qk_shape_count (&s->in[j])
                                             * sizeof (float)
                                         : 0);
  return 0;
}

static int
threads_of (const struct layer *l, const struct qk_layer_io *io)
{
  const int threads = io->threads < l->threads ? io->threads : l->threads;

  return threads > 1 ? threads : 1;
}

/* ---- whole numbers ----------------------------------------------------- */

QK_LOOP (static, reals,
         (const int32_t *restrict x, int64_t n, float f, float *restrict y),
         (x, n, f, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = (float) x[i] * f;
}

QK_LOOP (static, bytes,
         (const int32_t *restrict x, int64_t n, float m,
          const struct qk_qparams *q, uint8_t *restrict y),
         (x, n, m, q, y))
{
  const int32_t zp = q->zero_point, lo = q->qmin, hi = q->qmax;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = (uint8_t) qk_requantize (x[i], m, zp, lo, hi);
}

/* y = dy where the output was not clamped, else 0 */
QK_LOOP (static, gate,
         (const int32_t *restrict x, const float *restrict dy, int64_t n,
          float m, const struct qk_qparams *q, float f, float *restrict y),
         (x, dy, n, m, q, f, y))
{
  const int32_t zp = q->zero_point, lo = q->qmin, hi = q->qmax;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = dy[i] * f * qk_ste_mask ((float) x[i], m, zp, lo, hi);
}

/* Part I of PARTS of the rows of a product's y. */
static void
sum_part (const struct layer *l, const struct qk_layer_io *io, int64_t product,
          int64_t i, int64_t parts, void *scratch, int32_t *acc)
{
  const struct matmul *mm = &l->mm;
  const int64_t end = mm->m * (i + 1) / parts;
  int64_t from[2], rows;

  matmul_at (mm, product, from);
  matmul_take_b (&l->kernels, mm, &io->in[0].q,
                 (const uint8_t *) io->in[1].data + from[1] * mm->k * mm->p,
                 scratch);
  for (int64_t row = mm->m * i / parts; row < end; row += rows) {
    const int32_t *sum;

    rows = end - row < MATMUL_ROWS ? end - row : MATMUL_ROWS;
    sum = matmul_rows (&l->kernels, mm, &io->in[0].q, &io->in[1].q,
                       (const uint8_t *) io->in[0].data
                         + from[0] * mm->m * mm->k,
                       row, rows, scratch);
    memcpy (acc + (product * mm->m + row) * mm->p, sum,
            (size_t) (rows * mm->p) * sizeof *acc);
  }
}

static void
sum_all (const struct layer *l, struct qk_layer_io *io, int32_t *acc)
{
  const int64_t products = l->mm.products * io->in[0].shape.dims[0];
  const int64_t work = products * l->mm.m * l->mm.k * l->mm.p;
  const int threads = work < PARALLEL_MIN ? 1 : threads_of (l, io);
  const int64_t parts = products < threads ? threads : 1;

#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++) {
    void *scratch = (char *) io->workspace + (size_t) t * l->each;
    const int64_t end = products * parts * (t + 1) / threads;

    for (int64_t i = products * parts * t / threads; i < end; i++)
      sum_part (l, io, i / parts, i % parts, parts, scratch, acc);
  }
}

/* The real number that 1 of a sum is. */
static float
unit_of (const struct layer *l, const struct qk_layer_io *io)
{
  return qk_product_multiplier (io->in[0].q.scale, io->in[1].q.scale, l->scale,
                                1.0f);
}

static float
multiplier_of (const struct layer *l, const struct qk_layer_io *io,
               const struct qk_qparams *out)
{
  return qk_product_multiplier (io->in[0].q.scale, io->in[1].q.scale, l->scale,
                                out->scale);
}

static int
observe (const struct layer *l, struct qk_layer_io *io, const int32_t *acc,
         int64_t n)
{
  const float unit = unit_of (l, io);
  float *y = (float *) (void *) ((char *) io->workspace + l->ws_y);
  int32_t least = INT32_MAX, most = INT32_MIN;
  float min, max;

  if (!qk_quantizer_wants_range (io->out_qz)) {
    reals (acc, n, unit, y);
    return qk_quantizer_observe (io->out_qz, y, (size_t) n);
  }
  for (int64_t i = 0; i < n; i++) {
    least = acc[i] < least ? acc[i] : least;
    most = acc[i] > most ? acc[i] : most;
  }
  min = (float) least * unit;
  max = (float) most * unit;
  return qk_quantizer_observe_range (io->out_qz, &min, &max);
}

static int
forward_bytes (struct layer *l, struct qk_layer_io *io)
{
  const int64_t n = qk_shape_count (&io->out->shape);
  struct qk_qparams *q = &io->out->q;
  int32_t *acc = (io->flags & QK_PASS_TRAIN)
                   ? io->saved
                   : (int32_t *) (void *) ((char *) io->workspace + l->ws_acc);
  int r;

  sum_all (l, io, acc);
  if (io->out->dtype == QK_F32) {
    reals (acc, n, unit_of (l, io), io->out->data);
    return 0;
  }
  if (io->out_qz != NULL) {
    if (qk_quantizer_observing (io->out_qz)
        && (r = observe (l, io, acc, n)) < 0)
      return r;
    *q = *qk_quantizer_qparams (io->out_qz);
  }
  if (!(q->scale > 0.0f))
    return qk_error (-EINVAL, "matmul: the u8 output has no grid");
  bytes (acc, n, multiplier_of (l, io, q), q, io->out->data);
  return 0;
}

/* ---- real numbers ------------------------------------------------------ */

QK_LOOP (static, multiply_all, (float f, int64_t n, float *y), (f, n, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] *= f;
}

static void
forward_product (const struct layer *l, const struct qk_layer_io *io,
                 int64_t i, int threads)
{
  const struct matmul *mm = &l->mm;
  float *y = (float *) io->out->data + i * mm->m * mm->p;
  int64_t from[2];

  matmul_at (mm, i, from);
  qk_sgemm_threaded (l->float_backend, threads, mm->ta, mm->tb, mm->m, mm->p,
                     mm->k,
                     (const float *) io->in[0].data + from[0] * mm->m * mm->k,
                     mm->ta ? mm->m : mm->k,
                     (const float *) io->in[1].data + from[1] * mm->k * mm->p,
                     mm->tb ? mm->k : mm->p, 0.0f, y, mm->p);
  if (l->scale != 1.0f)
    multiply_all (l->scale, mm->m * mm->p, y);
}

/* da of product I from its dy, B being real numbers, added if ADD. */
static void
product_by_a (const struct layer *l, const float *dy, const float *b, bool add,
              int threads, float *da)
{
  const struct matmul *mm = &l->mm;
  const int64_t ldb = mm->tb ? mm->k : mm->p;

  if (mm->ta)
    qk_sgemm_threaded (l->float_backend, threads, mm->tb, true, mm->k, mm->m,
                       mm->p, b, ldb, dy, mm->p, add ? 1.0f : 0.0f, da, mm->m);
  else
    qk_sgemm_threaded (l->float_backend, threads, false, !mm->tb, mm->m, mm->k,
                       mm->p, dy, mm->p, b, ldb, add ? 1.0f : 0.0f, da, mm->k);
}

static void
product_by_b (const struct layer *l, const float *dy, const float *a, bool add,
              int threads, float *db)
{
  const struct matmul *mm = &l->mm;
  const int64_t lda = mm->ta ? mm->m : mm->k;

  if (mm->tb)
    qk_sgemm_threaded (l->float_backend, threads, true, mm->ta, mm->p, mm->k,
                       mm->m, dy, mm->p, a, lda, add ? 1.0f : 0.0f, db, mm->k);
  else
    qk_sgemm_threaded (l->float_backend, threads, !mm->ta, false, mm->k, mm->p,
                       mm->m, a, lda, dy, mm->p, add ? 1.0f : 0.0f, db, mm->p);
}

/* The gradient of input J that product I gives; X are the other's numbers. */
static void
backward_product (const struct layer *l, int j, int64_t i, const float *dy,
                  const float *x, bool add, int threads, float *dx)
{
  const struct matmul *mm = &l->mm;
  int64_t from[2];

  matmul_at (mm, i, from);
  dy += i * mm->m * mm->p;
  if (j == 0)
    product_by_a (l, dy, x + from[1] * mm->k * mm->p, add, threads,
                  dx + from[0] * mm->m * mm->k);
  else
    product_by_b (l, dy, x + from[0] * mm->m * mm->k, add, threads,
                  dx + from[1] * mm->k * mm->p);
}

/* How N pieces of work are divided: among OUTER threads, and each among
 * INNER. */
struct division {
  int outer, inner;
};

static struct division
divide (const struct layer *l, const struct qk_layer_io *io, int64_t n)
{
  const struct matmul *mm = &l->mm;
  const int64_t work
    = io->in[0].shape.dims[0] * mm->products * mm->m * mm->k * mm->p;
  const int threads = work < PARALLEL_MIN ? 1 : threads_of (l, io);

  return n < threads ? (struct division){ 1, threads }
                     : (struct division){ threads, 1 };
}

static void
forward_reals (const struct layer *l, const struct qk_layer_io *io)
{
  const int64_t n = l->mm.products * io->in[0].shape.dims[0];
  const struct division d = divide (l, io, n);

#pragma omp parallel for num_threads(d.outer) schedule(static)
  for (int64_t i = 0; i < n; i++)
    forward_product (l, io, i, d.inner);
}

static int
matmul_forward (void *self, struct qk_layer_io *io)
{
  struct layer *l = self;

  if (io->in[0].dtype != io->in[1].dtype)
    return qk_error (-EINVAL, "matmul: cannot multiply %s by %s",
                     qk_dtype_name (io->in[0].dtype),
                     qk_dtype_name (io->in[1].dtype));
  if (io->in[0].dtype == QK_U8)
    return forward_bytes (l, io);
  if (io->out->dtype != QK_F32)
    return qk_error (-ENOTSUP, "matmul: cannot go from f32 to %s",
                     qk_dtype_name (io->out->dtype));
  forward_reals (l, io);
  return 0;
}

/* ---- backward ---------------------------------------------------------- */

/* The gradient by input J; X: the other input.  Matrices that several products
 * of a sample are of take their sums in the order of these. */
static void
backward_input (const struct layer *l, const struct qk_layer_io *io, int j,
                const float *dy, const float *x)
{
  const struct matmul *mm = &l->mm;
  const bool add = mm->of[j] != mm->products;
  const int64_t n = io->in[0].shape.dims[0];
  const int64_t each = add ? mm->products : 1; /* in a row */
  const int64_t pieces = n * mm->products / each;
  const struct division d = divide (l, io, pieces);
  float *dx = io->din[j].data;

  if (dx == NULL)
    return;
  if (add)
    memset (dx, 0, (size_t) qk_shape_count (&io->din[j].shape) * sizeof *dx);
#pragma omp parallel for num_threads(d.outer) schedule(static)
  for (int64_t i = 0; i < pieces; i++)
    for (int64_t k = i * each; k < (i + 1) * each; k++)
      backward_product (l, j, k, dy, x, add, d.inner, dx);
}

/* dy times the scale, through the grid of the output; in the workspace or,
 * where nothing is to be done, dy itself.  NULL: an error. */
static const float *
gradient_of (const struct layer *l, const struct qk_layer_io *io)
{
  const int64_t n = qk_shape_count (&io->dout->shape);
  const float *dy = io->dout->data;
  float *g = (float *) (void *) ((char *) io->workspace + l->ws_y);

  if (io->out->dtype == QK_F32 && l->scale == 1.0f)
    return dy;
  if (io->out->dtype == QK_F32)
    memcpy (g, dy, (size_t) n * sizeof *g);
  else if (io->out_qz == NULL || qk_quantizer_is_ste (io->out_qz)) {
    gate (io->saved, dy, n, multiplier_of (l, io, &io->out->q), &io->out->q,
          l->scale, g);
    return g;
  } else {
    float *y = g + n;

    reals (io->saved, n, unit_of (l, io), y);
    if (qk_quantizer_backward (io->out_qz, y, dy, g, (size_t) n) < 0)
      return NULL;
  }
  if (l->scale != 1.0f)
    multiply_all (l->scale, n, g);
  return g;
}

QK_LOOP (static, dequantize,
         (const uint8_t *restrict q, int64_t n, int32_t zp, float scale,
          float *restrict x),
         (q, n, zp, scale, x))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    x[i] = qk_dequantize (q[i], scale, zp);
}

static int
matmul_backward (void *self, struct qk_layer_io *io)
{
  struct layer *l = self;
  const float *dy = gradient_of (l, io);

  if (dy == NULL)
    return -EINVAL;
  for (int j = 0; j < 2; j++) {
    const struct qk_tensor *other = &io->in[1 - j];
    const float *x = other->data;

    if (other->dtype == QK_U8 && io->din[j].data != NULL) {
      float *wide
        = (float *) (void *) ((char *) io->workspace + l->ws_in[1 - j]);

      dequantize (other->data, qk_shape_count (&other->shape),
                  other->q.zero_point, other->q.scale, wide);
      x = wide;
    }
    backward_input (l, io, j, dy, x);
  }
  return 0;
}

/* ---- int8 -------------------------------------------------------------- */

static int
matmul_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct layer *l = self;

  op->kind = QK_OP_MATMUL;
  op->transpose_a = l->ta;
  op->transpose_b = l->tb;
  op->factor = l->scale;
  op->lo = io->out->q.qmin;
  op->hi = io->out->q.qmax;
  return 0;
}

static const struct qk_layer_class matmul = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "matmul",
                   "Product of two tensors, matrix by matrix, y = scale a b",
                   options),
  .create = matmul_create,
  .destroy = matmul_destroy,
  .infer = matmul_infer,
  .describe = matmul_describe,
  .setup = matmul_setup,
  .forward = matmul_forward,
  .backward = matmul_backward,
  .quantized = true,
  .lower = matmul_lower,
  .geometry = matmul_lower,
};

QK_PLUGIN ("matmul", "1.0", "LGPL-2.1-or-later", &matmul.cls);
