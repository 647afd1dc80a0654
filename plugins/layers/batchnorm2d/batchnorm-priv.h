/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batchnorm-priv.h: shared by the files of batchnorm2d only. */
#ifndef QATKIT_BATCHNORM_PRIV_H
#define QATKIT_BATCHNORM_PRIV_H

#include <qatkit/layer.h>

#include "affine/affine.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 32768

struct batchnorm {
  float eps, momentum;
  bool clamped;
  float lo, hi; /* -INFINITY, INFINITY without clamp */
  int64_t channels;
  /* from setup */
  int slices;      /* most slices of rows the workspace has room for */
  int64_t floats;  /* elements of a buffer of floats; 0: there is none */
  bool transforms; /* the output's fake-quantizer has a gradient of its own */
};

/* saved: whether batch statistics were used, then mean and 1/sqrt(var+eps).
 * workspace: three rows of floats for the constants of a pass and those of
 * struct affine, then for each slice of rows two rows of doubles (its totals)
 * and two of floats (the totals of a block); then buffers of floats: the
 * input, the result and its gradient. */

struct saved {
  int64_t batch_stats;
  float stats[]; /* mean[channels], inv_std[channels] */
};

struct slice {
  double *a, *b;
  float *fa, *fb;
};

static inline size_t
bn_constants_bytes (int64_t channels)
{
  return ((size_t) channels * (3 + AFFINE_ROWS) * sizeof (float) + 63)
         & ~(size_t) 63;
}

static inline size_t
bn_slice_bytes (int64_t channels)
{
  /* whole cache lines, so that threads do not share one */
  return ((size_t) channels * 2 * (sizeof (double) + sizeof (float)) + 63)
         & ~(size_t) 63;
}

/* stats.c */
/* Slices of ROWS rows.  They depend on the number of threads asked for only,
 * so that results repeat whatever number OpenMP grants. */
int bn_slice_count (const struct batchnorm *l, const struct qk_layer_io *io,
                    int64_t rows);
/* First row of slice I of N. */
int64_t bn_slice_start (int64_t rows, int n, int i);
/* Mean and 1 / sqrt (var + eps) of the batch X, moving the running ones. */
int bn_batch_stats (const struct batchnorm *l, struct qk_layer_io *io,
                    const float *x, int64_t own_rows, float *mean,
                    float *inv_std);
/* The running ones. */
int bn_running_stats (const struct batchnorm *l, const struct qk_layer_io *io,
                      float *mean, float *inv_std);
/* Sum of dy (a) and of dy (x - mean) (b) of all rows, in slice 0. */
struct slice bn_gradient_sums (const struct batchnorm *l,
                               const struct qk_layer_io *io, const float *x,
                               const float *dy, int64_t rows,
                               const float *mean);

#endif /* QATKIT_BATCHNORM_PRIV_H */
