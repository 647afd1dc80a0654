/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fakequant.h: turns a range into a grid, and gradients through it. */
#ifndef QATKIT_FAKEQUANT_H
#define QATKIT_FAKEQUANT_H

#include "observer.h"

#ifdef __cplusplus
extern "C" {
#endif

#define QK_FQ_MAX_PARAMS 4

/* A learnable parameter of a fake-quantizer (the step size of LSQ, the
 * clipping level of PACT); the library owns its value and gradient, trains
 * it with the optimizer and keeps it in checkpoints. */
struct qk_fq_param {
  const char *name; /* static */
  size_t count;     /* elements */
  float initial;    /* value before init, if there is one */
};

/* Learnable parameters during a call: value[i] and grad[i] in the order
 * params declared them; grad is NULL outside backward. */
struct qk_fq_params {
  int n;
  float *value[QK_FQ_MAX_PARAMS];
  float *grad[QK_FQ_MAX_PARAMS];
  /* backward: the elements of the whole batch, of which a process that
   * trains together with others sees a part; a weight's are all its own */
  size_t whole;
};

/* Forward is always the affine grid of numeric.h (so that what is trained
 * converts to int8 without a difference):
 *   q = clamp (rne (t (x) / scale) + zero_point, qmin, qmax)
 * A class chooses scale and zero_point (qparams), may reshape the numbers
 * first (transform) and may replace the gradient (backward).
 * x is seen as channels blocks of n/channels contiguous elements. */
struct qk_fakequant_class {
  struct qk_class cls;

  /* Make an instance; *self belongs to the library: destroy.
   * (optional with self_size, see there) */
  int (*create) (const struct qk_config *cfg, const struct qk_quant_info *info,
                 void **self);
  /* Accepts NULL.  (optional with self_size) */
  void (*destroy) (void *self);

  /* Declare learnable parameters; returns how many (<= QK_FQ_MAX_PARAMS).
   * (optional; default: none) */
  int (*params) (void *self, struct qk_fq_param *out);

  /* Set the parameters from the first batch seen in training (LSQ:
   * 2 mean |x| / sqrt (qmax)).  (optional; default: values stay initial) */
  int (*init) (void *self, struct qk_fq_params *p, const float *x, size_t n);

  /* Scale and zero_point of each channel, from the observer's range (arrays
   * of channels floats; NULL when there is no observer or it has seen
   * nothing) or from the parameters.  out[i].qmin and qmax are preset.
   * Called after every change of either.  The library refuses scales that
   * are not positive and finite, and zero_points outside qmin..qmax.
   * (optional; default: qk_calculate_qparams) */
  int (*qparams) (void *self, const struct qk_fq_params *p, const float *min,
                  const float *max, struct qk_qparams *out);

  /* y = t (x), before the grid; weights only.
   * (optional; default: y = x) */
  int (*transform) (void *self, const float *x, size_t n, float *y);

  /* dx = gradient of the loss by x, from dy by the fake-quantized value;
   * adds to p->grad.  dx may be dy.  Runs on the whole tensor at once; in
   * several processes on each one's part, their gradients are added up, so
   * that factors that depend on the number of elements want p->whole.
   * (optional; default: the clipped straight-through estimator,
   * dx = dy where qmin <= rne (x / scale) + zero_point <= qmax, else 0; layers
   * then fuse it into their own loops) */
  int (*backward) (void *self, const struct qk_fq_params *p,
                   const struct qk_qparams *q, const float *x, const float *dy,
                   float *dx, size_t n);

  /* (optional; default: no state)  See qk_state_add. */
  int (*state) (void *self, struct qk_state *st);

  /* An instance that the library makes and frees, as that of an observer:
   * self_size bytes and channel_size more for each channel, beginning with a
   * const struct qk_quant_info *.
   * (optional; default: create makes it, destroy frees it) */
  size_t self_size, channel_size;

  /* Set the parameters to those of given grids, Q one a channel, instead of init:
   * QAT that begins with what post-training quantization or the network's file
   * has found.  qmin and qmax are the instance's own.  1, with nothing changed, where
   * it rather sees the first batch.
   * (optional; default: init sees the first batch) */
  int (*start) (void *self, struct qk_fq_params *p,
                const struct qk_qparams *q);

  /* Training goes on with other bits: this instance is new, for its own info,
   * and state has filled it with what one for OLD had; P has the values learned
   * with OLD, to be changed to what they are worth now.  Where an instance is
   * still to be initialized, it is not called.
   * (optional; default: the values stay, as clipping levels do) */
  int (*change_bits) (void *self, struct qk_fq_params *p,
                      const struct qk_quant_info *old);
};

/* A plugin that is one fake-quantizer, as QK_OBSERVER. */
#define QK_FAKEQUANT(name_, version_, licence_, description_, options_, ...)  \
  static const struct qk_fakequant_class name_##_class                        \
    = { .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT,        \
                         #name_, description_, options_),                     \
        __VA_ARGS__ };                                                        \
  QK_PLUGIN (#name_, version_, licence_, &name_##_class.cls)

/* PyTorch's observer._calculate_qparams for one channel, all in float32,
 * eps = 2^-23, min and max first widened to include 0:
 *   affine:    scale = max ((max - min) / (qmax - qmin), eps)
 *              zero_point = clamp (qmin - rne (min / scale), qmin, qmax)
 *   symmetric: scale = max (max (-min, max) / ((qmax - qmin) / 2), eps)
 *              zero_point = 0 where qmin < 0, 128 for 0..255, else
 *              (qmin + qmax) / 2 rounded down
 * out->qmin and out->qmax are given by the caller.  -EDOM when a bound is not
 * finite, min > max, or the range is too wide for a float32 scale. */
QK_PUBLIC int qk_calculate_qparams (float min, float max, bool symmetric,
                                    struct qk_qparams *out);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_FAKEQUANT_H */
