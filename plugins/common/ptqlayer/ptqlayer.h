/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptqlayer.h: a layer with weights by itself, as a method of post-training
 * quantization that goes layer by layer sees it: windows of its inputs in both
 * networks, its weights, and the outputs wanted. */
#ifndef QK_COMMON_PTQLAYER_H
#define QK_COMMON_PTQLAYER_H

#include <qatkit/ptq.h>

/* y (rows, channels) = clamp (x (rows, groups * depth) w (channels, depth)^T
 * + bias), group by group; a row is the window of one output position. */
struct ptqlayer {
  int64_t channels, depth, groups;
  float lo, hi; /* the clamp behind; +-INFINITY: none */
  int threads;
  const struct qk_backend_class *float_backend; /* or NULL */
  int64_t n;                                    /* windows */
  float *x;         /* n rows, inputs in the quantized network */
  float *target;    /* n x channels, outputs of the float network, clamped */
  float *w, *bias;  /* of the quantized network now */
  float *scale;     /* channels, of the weights' grid */
  float qmin, qmax; /* of the weights' grid */
  void *memory;
};

/* NODE, one with channels and a grid, after calibration, with WANTED output
 * positions drawn at random, with the run's seed, from the first BATCHES (0: 1)
 * calibration batches.  L is the caller's, to be closed. */
int ptqlayer_open (struct qk_ptq *p, int node, int64_t wanted, int64_t batches,
                   struct ptqlayer *l);
void ptqlayer_close (struct ptqlayer *l);

/* y of ROWS rows of X with weights W; not clamped unless CLAMP. */
void ptqlayer_product (const struct ptqlayer *l, const float *x, int64_t rows,
                       const float *w, bool clamp, float *y);

/* Whether the fake-quantizer of NODE makes the integers Q of the N weights W, Q
 * times their scale; one that reshapes weights does not. */
int ptqlayer_fits (struct qk_ptq *p, int node, const float *w, const float *q,
                   int64_t n, bool *fits);

#endif /* QK_COMMON_PTQLAYER_H */
