/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batchnorm2d: normalise every channel (Ioffe and Szegedy 2015,
 * https://arxiv.org/abs/1502.03167), with PyTorch's conventions.
 *
 * x (N,H,W,C) or (N,C), seen as M rows of C channels.
 * y = weight (x - mean) / sqrt (var + eps) + bias
 * With batch statistics mean and var are those of the batch, var biased
 * (divided by M); the running ones move by momentum, with the unbiased
 * variance (divided by M - 1).  Without, they are constants.
 *
 * xh = (x - mean) / sqrt (var + eps)
 * dweight += sum dy xh, dbias += sum dy
 * dx = weight / sqrt (var + eps) (dy - mean (dy) - xh mean (dy xh)),
 * the two means only with batch statistics. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>

#include "multiversion.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 32768

struct batchnorm {
  float eps, momentum;
  int64_t channels;
  int slices; /* most slices of rows the workspace has room for */
};

static int
batchnorm2d_create (const struct qk_config *cfg, void **self)
{
  struct batchnorm *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("batchnorm2d");
  l->eps = (float) qk_config_float (cfg, "eps");
  l->momentum = (float) qk_config_float (cfg, "momentum");
  *self = l;
  return 0;
}

static void
batchnorm2d_destroy (void *self)
{
  free (self);
}

static int
batchnorm2d_infer (void *self, const struct qk_shape *in, int n_in,
                   struct qk_shape *out)
{
  struct batchnorm *l = self;
  char buf[80];

  if (n_in != 1)
    return qk_error (-EINVAL, "batchnorm2d: takes 1 input, got %d", n_in);
  if ((in->ndim != 2 && in->ndim != 4) || in->dims[in->ndim - 1] < 1)
    return qk_error (-EINVAL,
                     "batchnorm2d: input must be (N,H,W,C) or (N,C), got %s",
                     qk_shape_print (in, buf, sizeof buf));
  l->channels = in->dims[in->ndim - 1];
  *out = *in;
  return 0;
}

static int
batchnorm2d_params (void *self, struct qk_param_spec *out)
{
  const struct batchnorm *l = self;
  const struct qk_shape shape = { 1, { l->channels } };
  const unsigned trained = QK_PARAM_TRAINED | QK_PARAM_NO_DECAY;

  out[QK_BN_GAMMA] = (struct qk_param_spec){
    .name = "weight", .shape = shape, .flags = trained, .init = QK_INIT_ONE
  };
  out[QK_BN_BETA] = (struct qk_param_spec){
    .name = "bias", .shape = shape, .flags = trained, .init = QK_INIT_ZERO
  };
  out[QK_BN_MEAN] = (struct qk_param_spec){ .name = "running_mean",
                                            .shape = shape,
                                            .flags = QK_PARAM_BUFFER,
                                            .init = QK_INIT_ZERO };
  out[QK_BN_VAR] = (struct qk_param_spec){ .name = "running_var",
                                           .shape = shape,
                                           .flags = QK_PARAM_BUFFER,
                                           .init = QK_INIT_ONE };
  return QK_BN_PARAMS;
}

static void
batchnorm2d_describe (void *self, struct qk_layer_traits *out)
{
  const struct batchnorm *l = self;

  out->role = QK_ROLE_BATCHNORM;
  out->eps = l->eps;
  out->momentum = l->momentum;
}

/* ---- memory ------------------------------------------------------------
 * saved: whether batch statistics were used, then mean and 1/sqrt(var+eps).
 * workspace: three rows of floats for the constants of a pass, then for each
 * slice of rows two rows of doubles (its totals) and two of floats (the
 * totals of a block). */

struct saved {
  int64_t batch_stats;
  float stats[]; /* mean[channels], inv_std[channels] */
};

struct slice {
  double *a, *b;
  float *fa, *fb;
};

static size_t
constants_bytes (int64_t channels)
{
  return ((size_t) channels * 3 * sizeof (float) + 63) & ~(size_t) 63;
}

static size_t
slice_bytes (int64_t channels)
{
  /* whole cache lines, so that threads do not share one */
  return ((size_t) channels * 2 * (sizeof (double) + sizeof (float)) + 63)
         & ~(size_t) 63;
}

static struct slice
slice_at (void *workspace, int64_t channels, int i)
{
  double *d = (void *) ((char *) workspace + constants_bytes (channels)
                        + (size_t) i * slice_bytes (channels));
  float *f = (void *) (d + 2 * channels);

  return (struct slice){ d, d + channels, f, f + channels };
}

static int
batchnorm2d_setup (void *self, struct qk_layer_setup *s)
{
  struct batchnorm *l = self;

  l->slices = s->threads > 1 ? s->threads : 1;
  s->keep_out = false;
  s->workspace = constants_bytes (l->channels)
                 + (size_t) l->slices * slice_bytes (l->channels);
  if (s->train)
    s->saved
      = sizeof (struct saved) + (size_t) l->channels * 2 * sizeof (float);
  return 0;
}

/* Slices depend on the number of threads asked for only, so that results
 * repeat whatever number OpenMP grants. */
static int
slice_count (const struct batchnorm *l, const struct qk_layer_io *io,
             int64_t rows)
{
  int n = io->threads > 1 ? io->threads : 1;

  if (n > l->slices)
    n = l->slices;
  if (rows * l->channels < PARALLEL_MIN)
    n = 1;
  return rows < n ? (int) rows : n;
}

/* Rows in a block: few enough to stay in the cache between its two passes
 * and to be summed in float without harm. */
static int64_t
block_rows (int64_t channels)
{
  const int64_t n = 4096 / channels;

  return n < 8 ? 8 : n > 64 ? 64 : n;
}

/* ---- statistics --------------------------------------------------------*/

/* Mean of a block to fa, sum of squared deviations from it to fb. */
QK_LOOP (static, block_stats,
         (const float *x, int64_t rows, int64_t channels, float *fa,
          float *fb),
         (x, rows, channels, fa, fb))
{
  const float inv = 1.0f / (float) rows;

  for (int64_t c = 0; c < channels; c++)
    fa[c] = fb[c] = 0.0f;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++)
      fa[c] += x[r * channels + c];
  for (int64_t c = 0; c < channels; c++)
    fa[c] *= inv;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++) {
      const float d = x[r * channels + c] - fa[c];

      fb[c] += d * d;
    }
}

/* Join the mean (a) and sum of squared deviations (b) of NB more rows to
 * those of NA rows (Chan, Golub and LeVeque 1979). */
#define MERGE(a, b, na, mean, m2, nb)                                         \
  do {                                                                        \
    const double w_ = (double) (nb) / (double) ((na) + (nb));                 \
    const double delta_ = (mean) - (a);                                       \
    (a) += delta_ * w_;                                                       \
    (b) += (m2) + delta_ * delta_ * (double) (na) *w_;                        \
  } while (0)

QK_LOOP (static, merge_block,
         (struct slice s, int64_t na, int64_t nb, int64_t channels),
         (s, na, nb, channels))
{
  for (int64_t c = 0; c < channels; c++)
    MERGE (s.a[c], s.b[c], na, (double) s.fa[c], (double) s.fb[c], nb);
}

QK_LOOP (static, merge_slice,
         (struct slice s, int64_t na, struct slice t, int64_t nb,
          int64_t channels),
         (s, na, t, nb, channels))
{
  for (int64_t c = 0; c < channels; c++)
    MERGE (s.a[c], s.b[c], na, t.a[c], t.b[c], nb);
}

static void
slice_stats (const float *x, int64_t rows, int64_t channels, struct slice s)
{
  const int64_t block = block_rows (channels);

  memset (s.a, 0, (size_t) channels * 2 * sizeof *s.a);
  for (int64_t r = 0; r < rows; r += block) {
    const int64_t n = rows - r < block ? rows - r : block;

    block_stats (x + r * channels, n, channels, s.fa, s.fb);
    merge_block (s, r, n, channels);
  }
}

/* First row of slice I of N. */
static int64_t
slice_start (int64_t rows, int n, int i)
{
  return rows / n * i + (rows % n < i ? rows % n : i);
}

/* Mean (a) and sum of squared deviations (b) of all rows, in slice 0. */
static struct slice
batch_stats (const struct batchnorm *l, const struct qk_layer_io *io,
             int64_t rows)
{
  const int n = slice_count (l, io, rows);
  const float *x = io->in[0].data;
  const struct slice all = slice_at (io->workspace, l->channels, 0);

#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
  for (int i = 0; i < n; i++) {
    const int64_t r = slice_start (rows, n, i);

    slice_stats (x + r * l->channels, slice_start (rows, n, i + 1) - r,
                 l->channels, slice_at (io->workspace, l->channels, i));
  }
  for (int i = 1; i < n; i++)
    merge_slice (
      all, slice_start (rows, n, i), slice_at (io->workspace, l->channels, i),
      slice_start (rows, n, i + 1) - slice_start (rows, n, i), l->channels);
  return all;
}

/* Mean and sum of squared deviations of the whole batch from those of this
 * process's ROWS; *ROWS becomes the number of them all. */
static int
join_stats (struct qk_layer_io *io, struct slice s, int64_t channels,
            double *rows)
{
  const double mine = *rows;
  int err;

  if (qk_comm_size (io->comm) == 1)
    return 0;
  if ((err = qk_comm_reduce (io->comm, QK_COMM_SUM, QK_COMM_F64, rows, 1)) < 0)
    return err;
  /* sums of x and of x squared about 0 travel, in double */
  for (int64_t c = 0; c < channels; c++) {
    s.b[c] += s.a[c] * s.a[c] * mine;
    s.a[c] *= mine;
  }
  if ((err = qk_comm_reduce (io->comm, QK_COMM_SUM, QK_COMM_F64, s.a,
                             (size_t) channels))
        < 0
      || (err = qk_comm_reduce (io->comm, QK_COMM_SUM, QK_COMM_F64, s.b,
                                (size_t) channels))
           < 0)
    return err;
  for (int64_t c = 0; c < channels; c++) {
    s.a[c] /= *rows;
    s.b[c] -= s.a[c] * s.a[c] * *rows;
    s.b[c] = s.b[c] > 0.0 ? s.b[c] : 0.0;
  }
  return 0;
}

static int
use_batch_stats (const struct batchnorm *l, struct qk_layer_io *io,
                 int64_t own_rows, float *mean, float *inv_std)
{
  float *running_mean = io->param[QK_BN_MEAN].data;
  float *running_var = io->param[QK_BN_VAR].data;
  const float m = l->momentum;
  const struct slice s = batch_stats (l, io, own_rows);
  double rows = (double) own_rows;
  const int err = join_stats (io, s, l->channels, &rows);

  if (err < 0)
    return err;
  if (rows < 2)
    return qk_error (-EINVAL,
                     "batchnorm2d: batch statistics need more than 1 value "
                     "a channel, got %.0f",
                     rows);
  for (int64_t c = 0; c < l->channels; c++) {
    const double var = s.b[c] / rows;

    mean[c] = (float) s.a[c];
    inv_std[c] = (float) (1.0 / sqrt (var + (double) l->eps));
    running_mean[c] = (1.0f - m) * running_mean[c] + m * mean[c];
    running_var[c]
      = (1.0f - m) * running_var[c] + m * (float) (s.b[c] / (rows - 1));
  }
  return 0;
}

static int
use_running_stats (const struct batchnorm *l, const struct qk_layer_io *io,
                   float *mean, float *inv_std)
{
  const float *running_mean = io->param[QK_BN_MEAN].data;
  const float *running_var = io->param[QK_BN_VAR].data;

  for (int64_t c = 0; c < l->channels; c++) {
    const float v = running_var[c] + l->eps;

    if (!(v > 0.0f))
      return qk_error (-EDOM,
                       "batchnorm2d: running_var[%lld] is %g, must be >= 0",
                       (long long) c, (double) running_var[c]);
    mean[c] = running_mean[c];
    inv_std[c] = 1.0f / sqrtf (v);
  }
  return 0;
}

/* ---- forward -----------------------------------------------------------*/

QK_LOOP (static, normalise,
         (const float *x, float *y, int64_t rows, int64_t channels,
          const float *mean, const float *k, const float *bias),
         (x, y, rows, channels, mean, k, bias))
{
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++)
      y[r * channels + c] = (x[r * channels + c] - mean[c]) * k[c] + bias[c];
}

static int
batchnorm2d_forward (void *self, struct qk_layer_io *io)
{
  const struct batchnorm *l = self;
  const int64_t channels = l->channels;
  const int64_t rows = qk_shape_count (&io->in[0].shape) / channels;
  const int n = slice_count (l, io, rows);
  const float *x = io->in[0].data;
  const float *gamma = io->param[QK_BN_GAMMA].data;
  const float *bias = io->param[QK_BN_BETA].data;
  float *y = io->out->data;
  float *mean = io->workspace, *inv_std = mean + channels;
  float *k = inv_std + channels;
  const bool batch = (io->flags & QK_PASS_BATCH_STATS) != 0;
  const int err = batch ? use_batch_stats (l, io, rows, mean, inv_std)
                        : use_running_stats (l, io, mean, inv_std);

  if (err < 0)
    return err;
  if (io->flags & QK_PASS_TRAIN) {
    struct saved *saved = io->saved;

    saved->batch_stats = batch;
    memcpy (saved->stats, mean, (size_t) channels * 2 * sizeof *mean);
  }
  for (int64_t c = 0; c < channels; c++)
    k[c] = gamma[c] * inv_std[c];
#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
  for (int i = 0; i < n; i++) {
    const int64_t r = slice_start (rows, n, i);

    normalise (x + r * channels, y + r * channels,
               slice_start (rows, n, i + 1) - r, channels, mean, k, bias);
  }
  return 0;
}

/* ---- backward ----------------------------------------------------------*/

/* Sums of a block: dy to fa, dy (x - mean) to fb; added to a and b. */
QK_LOOP (static, block_sums,
         (const float *x, const float *dy, int64_t rows, int64_t channels,
          const float *mean, struct slice s),
         (x, dy, rows, channels, mean, s))
{
  for (int64_t c = 0; c < channels; c++)
    s.fa[c] = s.fb[c] = 0.0f;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++) {
      const float g = dy[r * channels + c];

      s.fa[c] += g;
      s.fb[c] += g * (x[r * channels + c] - mean[c]);
    }
  for (int64_t c = 0; c < channels; c++) {
    s.a[c] += (double) s.fa[c];
    s.b[c] += (double) s.fb[c];
  }
}

static void
slice_sums (const float *x, const float *dy, int64_t rows, int64_t channels,
            const float *mean, struct slice s)
{
  const int64_t block = block_rows (channels);

  memset (s.a, 0, (size_t) channels * 2 * sizeof *s.a);
  for (int64_t r = 0; r < rows; r += block)
    block_sums (x + r * channels, dy + r * channels,
                rows - r < block ? rows - r : block, channels, mean, s);
}

/* Sum of dy (a) and of dy (x - mean) (b) of all rows, in slice 0. */
static struct slice
gradient_sums (const struct batchnorm *l, const struct qk_layer_io *io,
               int64_t rows, const float *mean)
{
  const int n = slice_count (l, io, rows);
  const float *x = io->in[0].data, *dy = io->dout->data;
  const struct slice all = slice_at (io->workspace, l->channels, 0);

#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
  for (int i = 0; i < n; i++) {
    const int64_t r = slice_start (rows, n, i);

    slice_sums (x + r * l->channels, dy + r * l->channels,
                slice_start (rows, n, i + 1) - r, l->channels, mean,
                slice_at (io->workspace, l->channels, i));
  }
  for (int i = 1; i < n; i++) {
    const struct slice t = slice_at (io->workspace, l->channels, i);

    for (int64_t c = 0; c < l->channels; c++) {
      all.a[c] += t.a[c];
      all.b[c] += t.b[c];
    }
  }
  return all;
}

/* dx = k (dy - shift - (x - mean) slope) */
QK_LOOP (static, gradient_batch,
         (const float *x, const float *dy, float *dx, int64_t rows,
          int64_t channels, const float *mean, const float *k,
          const float *shift, const float *slope),
         (x, dy, dx, rows, channels, mean, k, shift, slope))
{
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++) {
      const int64_t i = r * channels + c;

      dx[i] = k[c] * (dy[i] - shift[c] - (x[i] - mean[c]) * slope[c]);
    }
}

/* dx = k dy */
QK_LOOP (static, gradient_frozen,
         (const float *dy, float *dx, int64_t rows, int64_t channels,
          const float *k),
         (dy, dx, rows, channels, k))
{
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++)
      dx[r * channels + c] = k[c] * dy[r * channels + c];
}

static void
input_gradient (const struct batchnorm *l, struct qk_layer_io *io,
                int64_t rows, bool batch, const float *mean)
{
  const int64_t channels = l->channels;
  const int n = slice_count (l, io, rows);
  const float *x = io->in[0].data, *dy = io->dout->data;
  const float *k = io->workspace;
  float *dx = io->din[0].data;

#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
  for (int i = 0; i < n; i++) {
    const int64_t r = slice_start (rows, n, i), o = r * channels;
    const int64_t m = slice_start (rows, n, i + 1) - r;

    if (batch)
      gradient_batch (x + o, dy + o, dx + o, m, channels, mean, k,
                      k + channels, k + 2 * channels);
    else
      gradient_frozen (dy + o, dx + o, m, channels, k);
  }
}

static int
batchnorm2d_backward (void *self, struct qk_layer_io *io)
{
  const struct batchnorm *l = self;
  const struct saved *saved = io->saved;
  const int64_t channels = l->channels;
  const int64_t rows = qk_shape_count (&io->dout->shape) / channels;
  const float *gamma = io->param[QK_BN_GAMMA].data;
  const float *mean = saved->stats, *inv_std = mean + channels;
  float *dgamma = io->dparam[QK_BN_GAMMA].data;
  float *dbeta = io->dparam[QK_BN_BETA].data;
  float *k = io->workspace, *shift = k + channels, *slope = shift + channels;
  const struct slice s = gradient_sums (l, io, rows, mean);
  double all = (double) rows;
  int err;

  for (int64_t c = 0; c < channels; c++) {

    if (dgamma != NULL)
      dgamma[c] += (float) (s.b[c] * (double) inv_std[c]);
    if (dbeta != NULL)
      dbeta[c] += (float) s.a[c];
  }
  if (saved->batch_stats
      && ((err = qk_comm_reduce (io->comm, QK_COMM_SUM, QK_COMM_F64, s.a,
                                 (size_t) channels))
            < 0
          || (err = qk_comm_reduce (io->comm, QK_COMM_SUM, QK_COMM_F64, s.b,
                                    (size_t) channels))
               < 0
          || (err
              = qk_comm_reduce (io->comm, QK_COMM_SUM, QK_COMM_F64, &all, 1))
               < 0))
    return err;
  for (int64_t c = 0; c < channels; c++) {
    const double inv = (double) inv_std[c];

    k[c] = gamma[c] * inv_std[c];
    shift[c] = (float) (s.a[c] / all);
    slope[c] = (float) (s.b[c] / all * inv * inv);
  }
  if (io->din[0].data != NULL)
    input_gradient (l, io, rows, saved->batch_stats != 0, mean);
  return 0;
}

static const struct qk_option options[]
  = { { .name = "eps",
        .type = QK_OPT_FLOAT,
        .def = "1e-5",
        .min = 1e-12,
        .max = 1,
        .help = "Added to the variance before the square root is taken." },
      { .name = "momentum",
        .type = QK_OPT_FLOAT,
        .def = "0.1",
        .min = 0,
        .max = 1,
        .help = "Share of the batch in the new running mean and variance." },
      { .name = NULL } };

static const struct qk_layer_class batchnorm2d = {
  .cls
  = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "batchnorm2d",
              "Batch normalisation over all axes but the channels", options),
  .create = batchnorm2d_create,
  .destroy = batchnorm2d_destroy,
  .infer = batchnorm2d_infer,
  .params = batchnorm2d_params,
  .describe = batchnorm2d_describe,
  .setup = batchnorm2d_setup,
  .forward = batchnorm2d_forward,
  .backward = batchnorm2d_backward,
};

QK_PLUGIN ("batchnorm2d", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &batchnorm2d.cls);
