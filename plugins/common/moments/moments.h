/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moments.h: steps scaled by running means of the gradient and of its square
 * (Kingma and Ba 2015), as Adam, AdamW and LAMB have them:
 *   d = g + coupled w
 *   m = beta1 m + (1 - beta1) d
 *   v = beta2 v + (1 - beta2) d d
 *   r = m / (1 - beta1^t) / (sqrt (v) / sqrt (1 - beta2^t) + eps)
 * at step t = 1, 2, …; arrays in float32, factors computed in double. */
#ifndef QATKIT_COMMON_MOMENTS_H
#define QATKIT_COMMON_MOMENTS_H

#include <qatkit/optimizer.h>

/* Rows of an option table. */
#define MOMENTS_OPTIONS(lr, eps)                                              \
  { "lr", QK_OPT_FLOAT, lr, 0.0, 1e6, NULL, "Learning rate." },               \
    { "beta1",                                                                \
      QK_OPT_FLOAT,                                                           \
      "0.9",                                                                  \
      0.0,                                                                    \
      0.999999,                                                               \
      NULL,                                                                   \
      "Part of the mean gradient that is kept at each step." },               \
    { "beta2",                                                                \
      QK_OPT_FLOAT,                                                           \
      "0.999",                                                                \
      0.0,                                                                    \
      0.999999,                                                               \
      NULL,                                                                   \
      "Part of the mean squared gradient that is kept at each step." },       \
  {                                                                           \
    "eps", QK_OPT_FLOAT, eps, 1e-30, 1.0, NULL,                               \
      "Added to the divisor, against division by 0."                          \
  }

struct moments {
  double beta1, beta2;
  float eps, weight_decay;
};

/* With the options above and weight_decay; NAME for errors.  To be freed with
 * moments_destroy. */
int moments_create (const struct qk_config *cfg, const char *name,
                    void **self);
void moments_destroy (void *self); /* accepts NULL */

/* Arrays m and v: always 2. */
int moments_slots (void *self);

/* The factors of one step. */
struct moments_step {
  float coupled, keep;
  float beta1, beta2, take1, take2, eps;
  float neg_step;  /* -lr / (1 - beta1^t) */
  float root_bias; /* sqrt (1 - beta2^t) */
};

/* Without weight decay: coupled 0, keep 1. */
struct moments_step moments_factors (const struct moments *a,
                                     const struct qk_optimizer_step *st);

/* Move N numbers: w <- keep w - lr r. */
void moments_move (const struct moments_step *f, float *restrict w,
                   const float *restrict g, float *restrict m,
                   float *restrict v, size_t n);

/* The means alone. */
void moments_update (const struct moments_step *f, const float *restrict g,
                     float *restrict m, float *restrict v, size_t n);

#endif /* QATKIT_COMMON_MOMENTS_H */
