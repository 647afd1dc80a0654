/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batchnorm-priv.h: shared by the files of batchnorm2d only. */
#ifndef QATKIT_BATCHNORM_PRIV_H
#define QATKIT_BATCHNORM_PRIV_H

#include <qatkit/layer.h>

#include "affine/affine.h"
#include "extent/extent.h"

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
 * workspace: rows of floats for the constants of a pass and those of struct
 * affine; an extent for each slice of rows; what each slice has for itself,
 * see struct slice; then
 * buffers of floats as large as the output, only where a quantizer has to see
 * all of it at once. */

struct saved {
  int64_t batch_stats;
  float stats[]; /* mean[channels], inv_std[channels] */
};

enum { BN_OUT, BN_GRADIENT, BN_BUFFERS };

/* A thread's own: two rows of totals, two of a block's, and the input, result
 * and gradient of a block of rows as floats. */
struct slice {
  double *a, *b;
  float *fa, *fb;
  float *x, *y, *g;
};

/* Rows in a block: few enough to stay in the cache from one loop to the next
 * and to be summed in float without harm. */
static inline int64_t
bn_block_rows (int64_t channels)
{
  const int64_t n = 4096 / channels;

  return n < 8 ? 8 : n > 64 ? 64 : n;
}

/* Whole cache lines, so that threads do not share one. */
static inline size_t
bn_buffer_bytes (int64_t floats)
{
  return ((size_t) floats * sizeof (float) + 63) & ~(size_t) 63;
}

#define BN_CONSTANTS 6 /* rows of struct pass */

static inline size_t
bn_constants_bytes (int64_t channels)
{
  return bn_buffer_bytes (channels * (BN_CONSTANTS + AFFINE_ROWS));
}

static inline size_t
bn_slice_bytes (int64_t channels)
{
  return bn_buffer_bytes (channels * 6)
         + 3 * bn_buffer_bytes (bn_block_rows (channels) * channels);
}

/* An extent for each slice. */
static inline size_t
bn_extents_bytes (int slices)
{
  return ((size_t) slices * sizeof (struct extent) + 63) & ~(size_t) 63;
}

/* What a pass over the rows needs: the constants of each channel. */
struct pass {
  const struct batchnorm *l;
  struct qk_layer_io *io;
  int64_t rows;
  int slices;
  bool bytes; /* the input is, and AFFINE holds */
  float *mean, *inv_std, *k;
  float *shift, *slope, *kdx; /* of the gradient by the input */
  struct affine affine;
};

/* forward.c */
struct pass bn_pass_begin (const struct batchnorm *l, struct qk_layer_io *io);
/* MEAN and INV_STD to the constants of the chosen arithmetic. */
void bn_pass_fold (const struct pass *p);
/* N rows of the input from row R on, as floats: in X if they are bytes. */
const float *bn_block_input (const struct pass *p, int64_t r, int64_t n,
                             float *x);
/* The results of those rows, clamped, to Y. */
void bn_block_real (const struct pass *p, int64_t r, int64_t n, float *y);
/* All results as floats. */
void bn_pass_real (const struct pass *p, float *y);
float *bn_buffer_at (const struct batchnorm *l, void *workspace, int which);
/* First row of slice I of N, of ROWS. */
int64_t bn_slice_start (int64_t rows, int n, int i);
/* How many rows from row R of slice I on are a block; 0: there are none left. */
int64_t bn_next_block (const struct pass *p, int i, int64_t r);
struct slice bn_slice_at (const struct pass *p, int i);
int bn_forward (void *self, struct qk_layer_io *io);

/* gradient.c */
int bn_backward (void *self, struct qk_layer_io *io);

/* stats.c */
/* Mean and 1 / sqrt (var + eps) of the batch, moving the running ones. */
int bn_batch_stats (const struct pass *p);
/* The running ones. */
int bn_running_stats (const struct pass *p);

#endif /* QATKIT_BATCHNORM_PRIV_H */
