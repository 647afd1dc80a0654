/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stats.c: mean and variance of a batch, a slice of its rows in each thread. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "batchnorm-priv.h"
#include "multiversion.h"

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
slice_stats (const struct pass *p, int i)
{
  const int64_t channels = p->l->channels;
  const int64_t first = bn_slice_start (p->rows, p->slices, i);
  const struct slice s = bn_slice_at (p, i);
  int64_t n, r = first;

  memset (s.a, 0, (size_t) channels * 2 * sizeof *s.a);
  for (; (n = bn_next_block (p, i, r)) > 0; r += n) {
    block_stats (bn_block_input (p, r, n, s.x), n, channels, s.fa, s.fb);
    merge_block (s, r - first, n, channels);
  }
}

/* Mean (a) and sum of squared deviations (b) of all rows, in slice 0. */
static struct slice
batch_stats (const struct pass *p)
{
  const struct slice all = bn_slice_at (p, 0);
  const int n = p->slices;

#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
  for (int i = 0; i < n; i++)
    slice_stats (p, i);
  for (int i = 1; i < n; i++) {
    const int64_t r = bn_slice_start (p->rows, n, i);

    merge_slice (all, r, bn_slice_at (p, i),
                 bn_slice_start (p->rows, n, i + 1) - r, p->l->channels);
  }
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
bn_batch_stats (const struct pass *p)
{
  const struct batchnorm *l = p->l;
  struct qk_layer_io *io = p->io;
  float *running_mean = io->param[QK_BN_MEAN].data;
  float *running_var = io->param[QK_BN_VAR].data;
  const float m = io->flags & QK_PASS_ANEW ? 1.0f : l->momentum;
  const struct slice s = batch_stats (p);
  double rows = (double) p->rows;
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

    p->mean[c] = (float) s.a[c];
    p->inv_std[c] = (float) (1.0 / sqrt (var + (double) l->eps));
    running_mean[c] = (1.0f - m) * running_mean[c] + m * p->mean[c];
    running_var[c]
      = (1.0f - m) * running_var[c] + m * (float) (s.b[c] / (rows - 1));
  }
  return 0;
}

int
bn_running_stats (const struct pass *p)
{
  const struct batchnorm *l = p->l;
  const float *running_mean = p->io->param[QK_BN_MEAN].data;
  const float *running_var = p->io->param[QK_BN_VAR].data;

  for (int64_t c = 0; c < l->channels; c++) {
    const float v = running_var[c] + l->eps;

    if (!(v > 0.0f))
      return qk_error (-EDOM,
                       "batchnorm2d: running_var[%lld] is %g, must be >= 0",
                       (long long) c, (double) running_var[c]);
    p->mean[c] = running_mean[c];
    p->inv_std[c] = 1.0f / sqrtf (v);
  }
  return 0;
}
