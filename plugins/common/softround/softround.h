/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softround.h: rounding of weights as a variable (AdaRound, Nagel et al. 2020,
 * arXiv:2004.10568).
 *
 * A weight w of scale s becomes
 *   w~ = s clip (floor (w / s) + h (v), qmin, qmax)
 *   h (v) = clip (1.2 sigmoid (v) - 0.1, 0, 1)
 * v moves by Adam along the gradient of a loss plus
 *   strength sum (1 - |2 h (v) - 1|^beta),
 * which pulls h to 0 or 1, the more sharply the smaller beta; in the end h is
 * rounded.  Functions work on the weights of a channel. */
#ifndef QATKIT_COMMON_SOFTROUND_H
#define QATKIT_COMMON_SOFTROUND_H

#include <stdint.h>

/* A channel's scale, and its smallest and largest integer. */
struct softround_grid {
  float scale, qmin, qmax;
};

/* BASE = floor (w / s), and the V with which w~ is w where w is in range. */
void softround_start (const float *w, int64_t n,
                      const struct softround_grid *g, float *base, float *v);

/* w~ to SOFT. */
void softround_weights (const float *base, const float *v, int64_t n,
                        const struct softround_grid *g, float *soft);

/* What a step needs besides gradients. */
struct softround_step {
  float rate;     /* with Adam's bias correction in it */
  float strength; /* of the pull; 0: none */
  float beta;
};

/* Step STEP of STEPS, from 0 on, with the learning rate RATE: in the first share
 * WARM of them there is no pull, then beta goes from 20 to 2 (a cosine, as in the
 * paper's code). */
struct softround_step softround_schedule (int64_t step, int64_t steps,
                                          double warm, double rate,
                                          double strength);

/* Move V along GRAD, the gradient by w~.  M1 and M2 are Adam's moments, 0 in the
 * beginning. */
void softround_move (const struct softround_step *step, int64_t n,
                     const struct softround_grid *g, const float *base,
                     const float *grad, float *v, float *m1, float *m2);

/* The integers in the end to Q. */
void softround_finish (const float *base, const float *v, int64_t n,
                       const struct softround_grid *g, float *q);
/* The nearest ones. */
void softround_nearest (const float *w, int64_t n,
                        const struct softround_grid *g, float *q);

#endif /* QATKIT_COMMON_SOFTROUND_H */
