/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reduce: one number out of those along some axes; see common/reduce/reduce.h.
 *
 * y = mean, sum, largest or smallest of x along AXES, which have size 1 then
 * (keep=yes) or are gone.  dx = dy / count, dy, or dy at the elements that are
 * y, shared by those that are equal.  The mean, the largest and the smallest
 * stay on the input's grid; a sum has one of its own.
 *
 * Options: op (mean, sum, max, min), axes (as 1,2; none: all but the batch),
 * keep. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>

#include "reduce/reduce.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 16384
#define BLOCK 512 /* outputs a thread takes at once */

struct layer {
  int function; /* enum qk_reduction */
  int wanted;   /* bits of the axes; 0: all but the batch */
  bool keep;
  /* from infer */
  int axes;
  struct reduce plan;
  /* from setup */
  bool transforms; /* the output's fake-quantizer has a gradient of its own */
};

/* ---- options and shapes ------------------------------------------------ */

/* The axes of TEXT, "1,2", as bits. */
static int
read_axes (const char *text, int *out)
{
  const char *s = text;

  for (*out = 0; *s != '\0'; s += *s == ',') {
    char *end;
    const long axis = strtol (s, &end, 10);

    if (end == s || (*end != '\0' && *end != ',') || axis < 1
        || axis >= QK_MAX_DIMS)
      return qk_error (-EINVAL,
                       "reduce: axes are '%s', expected numbers of 1 to %d "
                       "with commas between",
                       text, QK_MAX_DIMS - 1);
    *out |= 1 << axis;
    s = end;
  }
  return 0;
}

static int
reduce_create (const struct qk_config *cfg, void **self)
{
  struct layer *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("reduce");
  while (strcmp (qk_reduction_name (l->function), qk_config_string (cfg, "op"))
         != 0)
    l->function++;
  l->keep = qk_config_bool (cfg, "keep");
  if ((r = read_axes (qk_config_string (cfg, "axes"), &l->wanted)) < 0) {
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static void
reduce_destroy (void *self)
{
  free (self);
}

static int
reduce_infer (void *self, const struct qk_shape *in, int n_in,
              struct qk_shape *out)
{
  struct layer *l = self;
  char buf[96];

  if (n_in != 1)
    return qk_error (-EINVAL, "reduce: takes 1 input, got %d", n_in);
  l->axes = l->wanted != 0 ? l->wanted : (1 << in->ndim) - 2;
  if (l->axes == 0 || l->axes >= 1 << in->ndim)
    return qk_error (-EINVAL, "reduce: an input of shape %s has no such axis",
                     qk_shape_print (in, buf, sizeof buf));
  memset (out, 0, sizeof *out);
  for (int i = 0; i < in->ndim; i++)
    if ((l->axes >> i & 1) == 0)
      out->dims[out->ndim++] = in->dims[i];
    else if (l->keep)
      out->dims[out->ndim++] = 1;
  reduce_plan (in, l->axes, &l->plan);
  return 0;
}

static void
reduce_describe (void *self, struct qk_layer_traits *out)
{
  const struct layer *l = self;

  out->role = l->function == QK_SUM ? QK_ROLE_OTHER : QK_ROLE_SAME_GRID;
  out->means = l->function == QK_MEAN;
}

static int
check_count (const struct layer *l)
{
  const int64_t most = l->function == QK_MEAN ? QK_MOST_MEAN : QK_MOST_SUM;

  if (l->plan.count <= most)
    return 0;
  return qk_error (-EINVAL,
                   "reduce: a quantized %s takes at most %lld elements, got "
                   "%lld",
                   qk_reduction_name (l->function), (long long) most,
                   (long long) l->plan.count);
}

/* workspace: of a sum that is quantized, the sums as floats and their
 * gradients */
static int
reduce_setup (void *self, struct qk_layer_setup *s)
{
  struct layer *l = self;
  const bool chooses = l->function == QK_LARGEST || l->function == QK_SMALLEST;
  const size_t n = (size_t) qk_shape_count (s->out);

  l->transforms
    = s->quantized_out && !(s->out_qz && qk_quantizer_is_ste (s->out_qz));
  s->keep_out = chooses;
  s->keep_in = chooses || (l->function == QK_SUM && s->quantized_out);
  if (l->function == QK_SUM && s->quantized_out)
    s->workspace = 2 * n * sizeof (float);
  return s->quantized_in && !chooses ? check_count (l) : 0;
}

/* ---- forward ----------------------------------------------------------- */

/* A call is cut into blocks of outputs of a sample. */
struct block {
  int64_t sample, first, count;
};

static int64_t
block_count (const struct layer *l, const struct qk_layer_io *io)
{
  return io->in[0].shape.dims[0] * ((l->plan.outputs + BLOCK - 1) / BLOCK);
}

static struct block
block_at (const struct layer *l, int64_t i)
{
  const int64_t per = (l->plan.outputs + BLOCK - 1) / BLOCK;
  const int64_t first = i % per * BLOCK, left = l->plan.outputs - first;

  return (struct block){ i / per, first, left < BLOCK ? left : BLOCK };
}

/* A block of results from floats. */
static void
block_f32 (const struct layer *l, const float *x, struct block b, float *y)
{
  double sum[BLOCK];

  reduce_f32 (&l->plan, l->function, x + b.sample * l->plan.in, b.first,
              b.count, sum);
  y += b.sample * l->plan.outputs + b.first;
  for (int64_t i = 0; i < b.count; i++)
    y[i] = (float) (l->function == QK_MEAN ? sum[i] / (double) l->plan.count
                                           : sum[i]);
}

/* A block of exact sums of (x - z), or of integers that were chosen. */
static void
block_i32 (const struct layer *l, const struct qk_tensor *in, struct block b,
           int32_t *y)
{
  const bool sums = l->function == QK_MEAN || l->function == QK_SUM;
  const int32_t base = sums ? in->q.zero_point * (int32_t) l->plan.count : 0;

  reduce_u8 (&l->plan, l->function,
             (const uint8_t *) in->data + b.sample * l->plan.in, b.first,
             b.count, y);
  for (int64_t i = 0; i < b.count; i++)
    y[i] -= base;
}

/* A block of results from bytes, on the same grid. */
static void
block_u8 (const struct layer *l, const struct qk_tensor *in, struct block b,
          uint8_t *y)
{
  const struct qk_qparams *q = &in->q;
  int32_t sum[BLOCK];

  block_i32 (l, in, b, sum);
  y += b.sample * l->plan.outputs + b.first;
  for (int64_t i = 0; i < b.count; i++)
    y[i] = (uint8_t) (l->function == QK_MEAN
                        ? qk_mean_quantized (sum[i], (int32_t) l->plan.count,
                                             q->zero_point, q->qmin, q->qmax)
                        : sum[i]);
}

/* Sums of bytes as floats. */
static void
block_sums (const struct layer *l, const struct qk_tensor *in, struct block b,
            float *y)
{
  int32_t sum[BLOCK];

  block_i32 (l, in, b, sum);
  y += b.sample * l->plan.outputs + b.first;
  for (int64_t i = 0; i < b.count; i++)
    y[i] = (float) sum[i] * in->q.scale;
}

/* Sums of bytes on the grid Q. */
static void
block_requantized (const struct layer *l, const struct qk_tensor *in,
                   struct block b, const struct qk_qparams *q, uint8_t *y)
{
  const float m = qk_multiplier (in->q.scale, 1.0f, q->scale);
  int32_t sum[BLOCK];

  block_i32 (l, in, b, sum);
  y += b.sample * l->plan.outputs + b.first;
  for (int64_t i = 0; i < b.count; i++)
    y[i]
      = (uint8_t) qk_requantize (sum[i], m, q->zero_point, q->qmin, q->qmax);
}

enum way { F32, U8, SUMS, REQUANTIZED };

static void
pass (const struct layer *l, const struct qk_layer_io *io, enum way way,
      void *y)
{
  const struct qk_tensor *in = &io->in[0];
  const int64_t blocks = block_count (l, io);
  const int threads = io->threads > 1 ? io->threads : 1;

  (void) threads;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (qk_shape_count(&in->shape) >= PARALLEL_MIN)
  for (int64_t i = 0; i < blocks; i++) {
    const struct block b = block_at (l, i);

    if (way == F32)
      block_f32 (l, in->data, b, y);
    else if (way == U8)
      block_u8 (l, in, b, y);
    else if (way == SUMS)
      block_sums (l, in, b, y);
    else
      block_requantized (l, in, b, &io->out->q, y);
  }
}

/* Sums to the grid of the output, which a quantizer may choose. */
static int
forward_sum (const struct layer *l, struct qk_layer_io *io)
{
  const bool bytes = io->in[0].dtype == QK_U8;
  const int64_t n = qk_shape_count (&io->out->shape);
  struct qk_qparams *q = &io->out->q;
  float *y = io->workspace;
  uint8_t *out = io->out->data;
  int r = 0;

  if (!bytes || (io->out_qz != NULL && qk_quantizer_observing (io->out_qz))) {
    pass (l, io, bytes ? SUMS : F32, y);
    if (io->out_qz != NULL)
      r = qk_quantizer_observe (io->out_qz, y, (size_t) n);
  }
  if (r < 0)
    return r;
  if (io->out_qz != NULL)
    *q = *qk_quantizer_qparams (io->out_qz);
  if (!(q->scale > 0.0f))
    return qk_error (-EINVAL, "reduce: the u8 output has no grid");
  if (bytes)
    pass (l, io, REQUANTIZED, out);
  else
    for (int64_t i = 0; i < n; i++)
      out[i] = (uint8_t) qk_quantize (y[i], 1.0f / q->scale, q->zero_point,
                                      q->qmin, q->qmax);
  return 0;
}

static int
reduce_forward (void *self, struct qk_layer_io *io)
{
  const struct layer *l = self;
  const enum qk_dtype in = io->in[0].dtype, out = io->out->dtype;

  if (l->function == QK_SUM && out == QK_U8)
    return forward_sum (l, io);
  if (in == QK_U8 && out == QK_F32 && l->function == QK_SUM)
    pass (l, io, SUMS, io->out->data);
  else if (in == QK_F32 && out == QK_F32)
    pass (l, io, F32, io->out->data);
  else if (in == QK_U8 && out == QK_U8) {
    io->out->q = io->in[0].q;
    pass (l, io, U8, io->out->data);
  } else
    return qk_error (-ENOTSUP, "reduce: cannot go from %s to %s",
                     qk_dtype_name (in), qk_dtype_name (out));
  return 0;
}

/* ---- backward ---------------------------------------------------------- */

static bool
same (const struct qk_tensor *x, int64_t i, const struct qk_tensor *y,
      int64_t j)
{
  if (x->dtype == QK_U8)
    return ((const uint8_t *) x->data)[i] == ((const uint8_t *) y->data)[j];
  return ((const float *) x->data)[i] == ((const float *) y->data)[j];
}

/* Gradients of the elements that output J of a sample, whose first one is AT,
 * was chosen from. */
static void
share_choice (const struct layer *l, const struct qk_layer_io *io, int64_t at,
              int64_t j, float g, float *dx)
{
  const struct reduce *p = &l->plan;
  const int64_t run = p->size[p->reduced - 1], step = p->step[p->reduced - 1];
  const struct qk_tensor *x = &io->in[0];
  int64_t equal = 0;

  for (int64_t r = 0; r < p->count; r++)
    equal += same (x, at + reduce_row_at (p, r / run) + r % run * step,
                   io->out, j);
  for (int64_t r = 0; r < p->count; r++) {
    const int64_t i = at + reduce_row_at (p, r / run) + r % run * step;

    dx[i] = same (x, i, io->out, j) ? g / (float) equal : 0.0f;
  }
}

/* The gradient G of output J to all its elements. */
static void
share_all (const struct layer *l, int64_t at, float g, float *dx)
{
  const struct reduce *p = &l->plan;
  const int64_t run = p->size[p->reduced - 1], step = p->step[p->reduced - 1];

  if (l->function == QK_MEAN)
    g /= (float) p->count;
  for (int64_t r = 0; r < p->count / run; r++) {
    float *to = dx + at + reduce_row_at (p, r);

    for (int64_t i = 0; i < run; i++)
      to[i * step] = g;
  }
}

/* *DY through the quantizer of a sum. */
static int
through_quantizer (const struct layer *l, const struct qk_layer_io *io,
                   const float **dy)
{
  const int64_t n = qk_shape_count (&io->out->shape);
  const struct qk_qparams *q = &io->out->q;
  float *y = io->workspace, *g = y + n;
  int r = 0;

  pass (l, io, io->in[0].dtype == QK_U8 ? SUMS : F32, y);
  if (io->out_qz != NULL && l->transforms)
    r = qk_quantizer_backward (io->out_qz, y, *dy, g, (size_t) n);
  else
    for (int64_t i = 0; i < n; i++)
      g[i] = (*dy)[i]
             * qk_ste_mask (y[i], 1.0f / q->scale, q->zero_point, q->qmin,
                            q->qmax);
  *dy = g;
  return r;
}

static int
reduce_backward (void *self, struct qk_layer_io *io)
{
  const struct layer *l = self;
  const struct reduce *p = &l->plan;
  const bool chooses = l->function == QK_LARGEST || l->function == QK_SMALLEST;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const float *dy = io->dout->data;
  float *dx = io->din[0].data;
  int r;

  (void) threads;
  if (l->function == QK_SUM && io->out->dtype == QK_U8
      && (r = through_quantizer (l, io, &dy)) < 0)
    return r;
  if (dx == NULL)
    return 0;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (n * p->count >= PARALLEL_MIN)
  for (int64_t j = 0; j < n; j++) {
    const int64_t at
      = j / p->outputs * p->in + reduce_kept_at (p, j % p->outputs);

    if (chooses)
      share_choice (l, io, at, j, dy[j], dx);
    else
      share_all (l, at, dy[j], dx);
  }
  return 0;
}

/* ---- int8 -------------------------------------------------------------- */

static int
reduce_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct layer *l = self;

  op->kind = QK_OP_REDUCE;
  op->function = l->function;
  op->along = l->axes;
  op->lo = io->out->q.qmin;
  op->hi = io->out->q.qmax;
  return 0;
}

static const char *const functions[] = { "mean", "sum", "max", "min", NULL };

static const struct qk_option options[]
  = { { .name = "op",
        .type = QK_OPT_CHOICE,
        .def = "mean",
        .choices = functions,
        .help = "What becomes of the numbers." },
      { .name = "axes",
        .type = QK_OPT_STRING,
        .def = "",
        .help = "Axes that are reduced, as 1,2; the batch, axis 0, is none "
                "of them; if not given, all the others." },
      { .name = "keep",
        .type = QK_OPT_BOOL,
        .def = "yes",
        .help = "Whether the axes stay, with size 1." },
      { .name = NULL } };

static const struct qk_layer_class reduce = {
  .cls
  = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "reduce",
              "Mean, sum, largest or smallest number along axes", options),
  .create = reduce_create,
  .destroy = reduce_destroy,
  .infer = reduce_infer,
  .describe = reduce_describe,
  .setup = reduce_setup,
  .forward = reduce_forward,
  .backward = reduce_backward,
  .quantized = true,
  .lower = reduce_lower,
  .geometry = reduce_lower,
};

QK_PLUGIN ("reduce", PACKAGE_VERSION, "LGPL-2.1-or-later", &reduce.cls);
