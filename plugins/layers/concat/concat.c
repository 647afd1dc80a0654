/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* concat: tensors side by side along an axis, the last one unless another is
 * given.
 *
 * x_i (N,…,C_i,…) -> y (N,…,sum C_i,…); dx_i is its part of dy, where the
 * output is quantized only that of values which lie on its grid.
 * Inputs and output may be bytes: each is dequantized and put on the output's
 * grid (qk_quantize), as the int8 formula (qk_regrid) does. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>
#include <qatkit/numeric.h>

#include "extent/extent.h"
#include "multiversion.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 32768

struct concat {
  int given; /* axis; -1: the last one */
  int axis;  /* from infer on */
  /* from setup */
  bool transforms; /* the output's fake-quantizer has a gradient of its own */
  size_t floats;   /* of a buffer like the output; 0: there is none */
};

static int
concat_create (const struct qk_config *cfg, void **self)
{
  struct concat *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("concat");
  l->given = (int) qk_config_int (cfg, "axis");
  *self = l;
  return 0;
}

static void
concat_destroy (void *self)
{
  free (self);
}

static int
concat_infer (void *self, const struct qk_shape *in, int n_in,
              struct qk_shape *out)
{
  struct concat *l = self;
  const int axis = l->given < 0 ? in[0].ndim - 1 : l->given;
  char a[80], b[80];

  if (n_in < 2 || n_in > QK_OP_MAX_INPUTS)
    return qk_error (-EINVAL, "concat: takes 2 to %d inputs, got %d",
                     QK_OP_MAX_INPUTS, n_in);
  if (axis < 1 || axis >= in[0].ndim)
    return qk_error (
      -EINVAL, "concat: axis %d of inputs like %s, expected 1 to %d", axis,
      qk_shape_print (&in[0], a, sizeof a), in[0].ndim - 1);
  *out = in[0];
  for (int i = 1; i < n_in; i++) {
    struct qk_shape same = in[i];

    if (same.ndim == in[0].ndim)
      same.dims[axis] = in[0].dims[axis];
    if (!qk_shape_equal (&same, &in[0]))
      return qk_error (-EINVAL,
                       "concat: input %d must be like input 0 but for axis "
                       "%d, got %s and %s",
                       i, axis, qk_shape_print (&in[i], a, sizeof a),
                       qk_shape_print (&in[0], b, sizeof b));
    out->dims[axis] += in[i].dims[axis];
  }
  l->axis = axis;
  return 0;
}

static void
concat_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->wide = true;
}

static int
concat_setup (void *self, struct qk_layer_setup *s)
{
  struct concat *l = self;
  const bool ste = s->out_qz != NULL && qk_quantizer_is_ste (s->out_qz);

  l->transforms = s->out_qz != NULL && !ste;
  l->floats = l->transforms || (ste && !qk_quantizer_wants_range (s->out_qz))
                ? (size_t) qk_shape_count (s->out)
                : 0;
  s->keep_in = s->quantized_out;
  s->keep_out = false;
  s->workspace = (l->transforms ? 2 : 1) * l->floats * sizeof (float);
  return 0;
}

/* ---- one input and its columns of the whole ----------------------------*/

/* ROWS rows of N numbers each, and where they lie in rows of WIDTH. */
struct part {
  int64_t rows, n, width, first;
  int threads;
};

/* The first row of thread T. */
static int64_t
first_row (const struct part *p, int t)
{
  return p->rows * t / p->threads;
}

/* Elements from axis AXIS on. */
static int64_t
row_of (const struct qk_shape *s, int axis)
{
  int64_t n = 1;

  for (int d = axis; d < s->ndim; d++)
    n *= s->dims[d];
  return n;
}

/* Where input T, whose columns begin at FIRST, lies in ALL. */
static struct part
part_of (const struct concat *l, const struct qk_layer_io *io, int64_t first,
         const struct qk_tensor *t, const struct qk_tensor *all)
{
  struct part p = { .n = row_of (&t->shape, l->axis),
                    .width = row_of (&all->shape, l->axis),
                    .first = first,
                    .threads = io->threads > 1 ? io->threads : 1 };

  p.rows = qk_shape_count (&all->shape) / p.width;
  if (p.rows * p.n < PARALLEL_MIN || p.rows < p.threads)
    p.threads = 1;
  return p;
}

QK_LOOP (static, widen_rows,
         (const struct part *p, int64_t i, int64_t end, const uint8_t *q,
          const struct qk_qparams *from, float *whole),
         (p, i, end, q, from, whole))
{
  const int64_t n = p->n;
  const float scale = from->scale;
  const int32_t zp = from->zero_point;

  for (; i < end; i++) {
    const uint8_t *restrict x = q + i * n;
    float *restrict y = whole + i * p->width + p->first;

    QK_SIMD
    for (int64_t c = 0; c < n; c++)
      y[c] = qk_dequantize (x[c], scale, zp);
  }
}

/* The part X to its columns of the floats WHOLE. */
static void
put_floats (const struct part *p, const struct qk_tensor *x, float *whole)
{
#pragma omp parallel for num_threads(p->threads)                              \
  schedule(static) if (p->threads > 1)
  for (int t = 0; t < p->threads; t++) {
    const int64_t i = first_row (p, t), end = first_row (p, t + 1);

    if (x->dtype == QK_U8)
      widen_rows (p, i, end, x->data, &x->q, whole);
    else
      for (int64_t r = i; r < end; r++)
        memcpy (whole + r * p->width + p->first,
                (const float *) x->data + r * p->n,
                (size_t) p->n * sizeof (float));
  }
}

QK_LOOP (static, regrid_rows,
         (const struct part *p, int64_t i, int64_t end, const uint8_t *q,
          const struct qk_qparams *from, const struct qk_qparams *to,
          uint8_t *whole),
         (p, i, end, q, from, to, whole))
{
  const int64_t n = p->n;
  const float scale = from->scale, inv = 1.0f / to->scale;
  const int32_t zp = from->zero_point, to_zp = to->zero_point;
  const int32_t lo = to->qmin, hi = to->qmax;

  for (; i < end; i++) {
    const uint8_t *restrict x = q + i * n;
    uint8_t *restrict y = whole + i * p->width + p->first;

    QK_SIMD
    for (int64_t c = 0; c < n; c++)
      y[c] = (uint8_t) qk_quantize (qk_dequantize (x[c], scale, zp), inv,
                                    to_zp, lo, hi);
  }
}

QK_LOOP (static, quantize_rows,
         (const struct part *p, int64_t i, int64_t end, const float *in,
          const struct qk_qparams *to, uint8_t *whole),
         (p, i, end, in, to, whole))
{
  const int64_t n = p->n;
  const float inv = 1.0f / to->scale;
  const int32_t zp = to->zero_point, lo = to->qmin, hi = to->qmax;

  for (; i < end; i++) {
    const float *restrict x = in + i * n;
    uint8_t *restrict y = whole + i * p->width + p->first;

    QK_SIMD
    for (int64_t c = 0; c < n; c++)
      y[c] = (uint8_t) qk_quantize (x[c], inv, zp, lo, hi);
  }
}

/* The part X to its columns of the bytes WHOLE on the grid TO. */
static void
put_bytes (const struct part *p, const struct qk_tensor *x,
           const struct qk_qparams *to, uint8_t *whole)
{
  const bool same = x->dtype == QK_U8 && x->q.scale == to->scale
                    && x->q.zero_point == to->zero_point
                    && x->q.qmin >= to->qmin && x->q.qmax <= to->qmax;

#pragma omp parallel for num_threads(p->threads)                              \
  schedule(static) if (p->threads > 1)
  for (int t = 0; t < p->threads; t++) {
    const int64_t i = first_row (p, t), end = first_row (p, t + 1);

    if (same)
      for (int64_t r = i; r < end; r++)
        memcpy (whole + r * p->width + p->first,
                (const uint8_t *) x->data + r * p->n, (size_t) p->n);
    else if (x->dtype == QK_U8)
      regrid_rows (p, i, end, x->data, &x->q, to, whole);
    else
      quantize_rows (p, i, end, x->data, to, whole);
  }
}

/* ---- forward -----------------------------------------------------------*/

QK_LOOP (static, byte_range,
         (const uint8_t *restrict q, int64_t n, uint8_t *min, uint8_t *max),
         (q, n, min, max))
{
  uint8_t lo = 255, hi = 0;

#pragma omp simd reduction(min : lo) reduction(max : hi)
  for (int64_t i = 0; i < n; i++) {
    lo = q[i] < lo ? q[i] : lo;
    hi = q[i] > hi ? q[i] : hi;
  }
  *min = lo;
  *max = hi;
}

/* The smallest and largest number of T. */
static struct extent
extent_of (const struct qk_tensor *t)
{
  struct extent e = EXTENT_EMPTY;
  const int64_t n = qk_shape_count (&t->shape);
  uint8_t lo, hi;

  if (t->dtype != QK_U8) {
    extent_block (t->data, n, &e);
    return e;
  }
  byte_range (t->data, n, &lo, &hi);
  e.min = qk_dequantize (lo, t->q.scale, t->q.zero_point);
  e.max = qk_dequantize (hi, t->q.scale, t->q.zero_point);
  return e;
}

/* All inputs side by side as floats. */
static void
gather (const struct concat *l, const struct qk_layer_io *io, float *y)
{
  int64_t first = 0;

  for (int i = 0; i < io->n_in; i++) {
    const struct part p = part_of (l, io, first, &io->in[i], io->out);

    put_floats (&p, &io->in[i], y);
    first += p.n;
  }
}

static int
observe (const struct concat *l, struct qk_layer_io *io)
{
  struct extent e[QK_OP_MAX_INPUTS];
  float *y = io->workspace;

  /* without room for all numbers it refuses in words what it cannot use */
  if (l->floats == 0 || qk_quantizer_wants_range (io->out_qz)) {
#pragma omp parallel for num_threads(io->threads)                             \
  schedule(dynamic) if (io->threads > 1                                       \
                        && qk_shape_count(&io->out->shape) >= PARALLEL_MIN)
    for (int i = 0; i < io->n_in; i++)
      e[i] = extent_of (&io->in[i]);
    return extent_observe (io->out_qz, e, io->n_in);
  }
  gather (l, io, y);
  return qk_quantizer_observe (io->out_qz, y,
                               (size_t) qk_shape_count (&io->out->shape));
}

static int
concat_forward (void *self, struct qk_layer_io *io)
{
  const struct concat *l = self;
  int64_t first = 0;
  int r = 0;

  if (io->out->dtype != QK_U8) {
    gather (l, io, io->out->data);
    return 0;
  }
  if (io->out_qz != NULL && qk_quantizer_observing (io->out_qz))
    r = observe (l, io);
  if (r < 0)
    return r;
  if (io->out_qz != NULL)
    io->out->q = *qk_quantizer_qparams (io->out_qz);
  if (!(io->out->q.scale > 0.0f))
    return qk_error (-EINVAL, "concat: the u8 output has no grid");
  for (int i = 0; i < io->n_in; i++) {
    const struct part p = part_of (l, io, first, &io->in[i], io->out);

    put_bytes (&p, &io->in[i], &io->out->q, io->out->data);
    first += p.n;
  }
  return 0;
}

/* ---- backward ----------------------------------------------------------*/

/* DX, the columns of DY of the part X, where X lies on the grid TO. */
QK_LOOP (static, gate_bytes,
         (const struct part *p, int64_t i, int64_t end, const uint8_t *q,
          const struct qk_qparams *from, const struct qk_qparams *to,
          const float *all, float *dx),
         (p, i, end, q, from, to, all, dx))
{
  const int64_t n = p->n;
  const float scale = from->scale, inv = 1.0f / to->scale;
  const int32_t zp = from->zero_point, to_zp = to->zero_point;
  const int32_t lo = to->qmin, hi = to->qmax;

  for (; i < end; i++) {
    const uint8_t *restrict x = q + i * n;
    const float *restrict dy = all + i * p->width + p->first;
    float *restrict d = dx + i * n;

    QK_SIMD
    for (int64_t c = 0; c < n; c++)
      d[c] = qk_ste_mask (qk_dequantize (x[c], scale, zp), inv, to_zp, lo, hi)
                 != 0.0f
               ? dy[c]
               : 0.0f;
  }
}

QK_LOOP (static, gate_floats,
         (const struct part *p, int64_t i, int64_t end, const float *in,
          const struct qk_qparams *to, const float *all, float *dx),
         (p, i, end, in, to, all, dx))
{
  const int64_t n = p->n;
  const float inv = 1.0f / to->scale;
  const int32_t zp = to->zero_point, lo = to->qmin, hi = to->qmax;

  for (; i < end; i++) {
    const float *restrict x = in + i * n;
    const float *restrict dy = all + i * p->width + p->first;
    float *restrict d = dx + i * n;

    QK_SIMD
    for (int64_t c = 0; c < n; c++)
      d[c] = qk_ste_mask (x[c], inv, zp, lo, hi) != 0.0f ? dy[c] : 0.0f;
  }
}

/* The columns of DY of the part X to DX; with GRID only where X is on it. */
static void
take_part (const struct part *p, const struct qk_tensor *x,
           const struct qk_qparams *grid, const float *dy, float *dx)
{
#pragma omp parallel for num_threads(p->threads)                              \
  schedule(static) if (p->threads > 1)
  for (int t = 0; t < p->threads; t++) {
    const int64_t i = first_row (p, t), end = first_row (p, t + 1);

    if (grid == NULL)
      for (int64_t r = i; r < end; r++)
        memcpy (dx + r * p->n, dy + r * p->width + p->first,
                (size_t) p->n * sizeof *dx);
    else if (x->dtype == QK_U8)
      gate_bytes (p, i, end, x->data, &x->q, grid, dy, dx);
    else
      gate_floats (p, i, end, x->data, grid, dy, dx);
  }
}

static int
concat_backward (void *self, struct qk_layer_io *io)
{
  const struct concat *l = self;
  const struct qk_qparams *grid = io->out->dtype == QK_U8 ? &io->out->q : NULL;
  const float *dy = io->dout->data;
  int64_t first = 0;

  if (grid != NULL && l->transforms) {
    float *y = io->workspace, *g = y + l->floats;
    const int64_t n = qk_shape_count (&io->dout->shape);
    int r;

    gather (l, io, y);
    r = qk_quantizer_backward (io->out_qz, y, dy, g, (size_t) n);
    if (r < 0)
      return r;
    dy = g;
    grid = NULL;
  }
  for (int i = 0; i < io->n_in; i++) {
    const struct part p = part_of (l, io, first, &io->din[i], io->dout);

    if (io->din[i].data != NULL)
      take_part (&p, &io->in[i], grid, dy, io->din[i].data);
    first += p.n;
  }
  return 0;
}

/* ---- int8 --------------------------------------------------------------*/

static int
concat_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct concat *l = self;

  op->kind = QK_OP_CONCAT;
  op->axis = l->axis;
  op->lo = io->out->q.qmin;
  op->hi = io->out->q.qmax;
  return 0;
}

static const struct qk_option options[]
  = { { .name = "axis",
        .type = QK_OPT_INT,
        .def = "-1",
        .min = -1,
        .max = QK_MAX_DIMS - 1,
        .help = "Axis along which the inputs are joined, counted with the "
                "batch, which is 0; -1: the last one." },
      { .name = NULL } };

static const struct qk_layer_class concat = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "concat",
                   "Tensors side by side along an axis", options),
  .create = concat_create,
  .destroy = concat_destroy,
  .infer = concat_infer,
  .describe = concat_describe,
  .setup = concat_setup,
  .forward = concat_forward,
  .backward = concat_backward,
  .quantized = true,
  .lower = concat_lower,
  .geometry = concat_lower,
};

QK_PLUGIN ("concat", PACKAGE_VERSION, "LGPL-2.1-or-later", &concat.cls);
