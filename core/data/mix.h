/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mix.h: each sample of a training batch mixed with the one before it, the
 * first with the last, as torchvision's references mix them:
 *
 * blend (mixup, arXiv 1710.09412): x = own x + (1 - own) x', own of the
 *   distribution Beta (alpha, alpha);
 * paste (cutmix, arXiv 1905.04899): a box of x' replaces that of x, of axes 1
 *   and 2 of the input; its share of the area is 1 - own, before what is
 *   outside is cut off. */
#ifndef QK_DATA_MIX_H
#define QK_DATA_MIX_H

#include "qatkit/rng.h"
#include "qatkit/tensor.h"

struct qk_mix_options {
  double blend, paste; /* alpha of each; 0: not.  With both one of them by
                          chance */
  double share;        /* of the batches that are mixed */
};

/* What is done with one batch. */
struct qk_mix {
  bool mixed, paste;
  double own;  /* drawn */
  double x, y; /* middle of the box, 0..1 */
};

bool qk_mix_wanted (const struct qk_mix_options *o);
void qk_mix_draw (const struct qk_mix_options *o, struct qk_rng *rng,
                  struct qk_mix *out);

/* The box in sides H and W: rows top .. bottom - 1. */
struct qk_mix_box {
  int64_t top, left, bottom, right;
};
void qk_mix_find_box (const struct qk_mix *m, int64_t h, int64_t w,
                      struct qk_mix_box *box);

/* How much of a sample like SPEC is its own: what its targets weigh. */
double qk_mix_own (const struct qk_mix *m, const struct qk_tensor_spec *spec);
/* Mix OTHER into X, one sample each like SPEC. */
void qk_mix_sample (const struct qk_mix *m, const struct qk_tensor_spec *spec,
                    float *x, const float *other);

#endif /* QK_DATA_MIX_H */
