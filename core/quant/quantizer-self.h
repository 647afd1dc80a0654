/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quantizer-self.h: what a quantizer is made of, for the files that make it and
 * let it work. */
#ifndef QK_QUANTIZER_SELF_H
#define QK_QUANTIZER_SELF_H

#include "quant/quantizer-priv.h"

struct qk_quantizer {
  struct qk_context *ctx;
  struct qk_quant_info info; /* info.name points to name */
  char *name;
  bool observing;
  bool warned;          /* of a grid without data */
  bool range_only;      /* the observer is content with ranges */
  bool fixed;           /* NEXT is given and stays */
  struct qk_comm *comm; /* values: observe together; NULL: alone */
  double share;         /* of the whole batch, in this process */

  const struct qk_observer_class *obs; /* NULL: none */
  void *obs_self;
  const struct qk_fakequant_class *fq; /* NULL: the defaults */
  void *fq_self;

  struct qk_qparams *grid; /* in force; channels of each of these */
  struct qk_qparams *next; /* being computed; then grid before floor */
  float *floor;            /* weights: the smallest scales allowed */
  float *factor;           /* weights: of the scales that were computed */
  float *min, *max;

  /* The range of an observer that keeps no state, from a checkpoint: minima,
   * then maxima; in force until the observer has seen something itself. */
  float *kept;
  int32_t has_kept;

  struct qk_fq_params value; /* grad pointers NULL: outside backward */
  struct qk_fq_param param[QK_FQ_MAX_PARAMS];
  float *grad[QK_FQ_MAX_PARAMS];
  int32_t initialized; /* the fake-quantizer has seen its first batch */
  int32_t derived;     /* grid is from range and parameters, not the first */

  float *transformed; /* scratch, transformed_size floats */
  size_t transformed_size;
};

/* ---- making.c --------------------------------------------------------------- */

/* Make the instances of observer and fake-quantizer for info as it is. */
int qk_quantizer_new_selves (struct qk_quantizer *qz,
                             const struct qk_config *obs_cfg,
                             const struct qk_config *fq_cfg);
void qk_quantizer_free_selves (const struct qk_quantizer *qz, void *obs_self,
                               void *fq_self);

/* The grid before the first batch. */
int qk_quantizer_first_grid (struct qk_quantizer *qz);

/* ---- quantizer.c ------------------------------------------------------------ */

/* All that qk_quantizer_state names; after loading nothing follows from it
 * yet. */
int qk_quantizer_visit (struct qk_quantizer *qz, struct qk_state *st);

/* An error ERR of observer or fake-quantizer: say whose. */
int qk_quantizer_blame (const struct qk_quantizer *qz, int err,
                        const struct qk_class *cls);

/* As qk_quantizer_range, of a quantizer with an observer, which is not blamed. */
int qk_quantizer_read_range (struct qk_quantizer *qz, float *min, float *max);

/* Whether scales times FACTOR, a result of qk_quantizer_rescale or of a file,
 * are such as the formulas can use. */
int qk_quantizer_check_factors (const struct qk_quantizer *qz,
                                const float *factor);

#endif /* QK_QUANTIZER_SELF_H */
