/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stats.c: sums over the rows of a batch, a slice of them in each thread. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "batchnorm-priv.h"
#include "multiversion.h"

static struct slice
slice_at (void *workspace, int64_t channels, int i)
{
  double *d = (void *) ((char *) workspace + bn_constants_bytes (channels)
                        + (size_t) i * bn_slice_bytes (channels));
  float *f = (void *) (d + 2 * channels);

  return (struct slice){ d, d + channels, f, f + channels };
}

int
bn_slice_count (const struct batchnorm *l, const struct qk_layer_io *io,
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

int64_t
bn_slice_start (int64_t rows, int n, int i)
{
  return rows / n * i + (rows % n < i ? rows % n : i);
}

/* Mean (a) and sum of squared deviations (b) of all rows, in slice 0. */
static struct slice
batch_stats (const struct batchnorm *l, const struct qk_layer_io *io,
             const float *x, int64_t rows)
{
  const int n = bn_slice_count (l, io, rows);
  const struct slice all = slice_at (io->workspace, l->channels, 0);

#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
  for (int i = 0; i < n; i++) {
    const int64_t r = bn_slice_start (rows, n, i);

    slice_stats (x + r * l->channels, bn_slice_start (rows, n, i + 1) - r,
                 l->channels, slice_at (io->workspace, l->channels, i));
  }
  for (int i = 1; i < n; i++)
    merge_slice (all, bn_slice_start (rows, n, i),
                 slice_at (io->workspace, l->channels, i),
                 bn_slice_start (rows, n, i + 1) - bn_slice_start (rows, n, i),
                 l->channels);
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

int
bn_batch_stats (const struct batchnorm *l, struct qk_layer_io *io,
                const float *x, int64_t own_rows, float *mean, float *inv_std)
{
  float *running_mean = io->param[QK_BN_MEAN].data;
  float *running_var = io->param[QK_BN_VAR].data;
  const float m = io->flags & QK_PASS_ANEW ? 1.0f : l->momentum;
  const struct slice s = batch_stats (l, io, x, own_rows);
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

int
bn_running_stats (const struct batchnorm *l, const struct qk_layer_io *io,
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

struct slice
bn_gradient_sums (const struct batchnorm *l, const struct qk_layer_io *io,
                  const float *x, const float *dy, int64_t rows,
                  const float *mean)
{
  const int n = bn_slice_count (l, io, rows);
  const struct slice all = slice_at (io->workspace, l->channels, 0);

#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
  for (int i = 0; i < n; i++) {
    const int64_t r = bn_slice_start (rows, n, i);

    slice_sums (x + r * l->channels, dy + r * l->channels,
                bn_slice_start (rows, n, i + 1) - r, l->channels, mean,
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
