/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimizer.h: plugins that move parameters, and learning-rate schedules. */
#ifndef QATKIT_OPTIMIZER_H
#define QATKIT_OPTIMIZER_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define QK_OPTIMIZER_MAX_SLOTS 4

/* The facts of one step of one parameter. */
struct qk_optimizer_step {
  int64_t t;  /* steps taken before this one; 0 for the first */
  float lr;   /* learning rate now: option lr times the schedule's factor */
  bool decay; /* weight decay applies to this parameter */
};

/* Every optimizer has an option "lr" of type FLOAT. */
struct qk_optimizer_class {
  struct qk_class cls;
  int (*create) (const struct qk_config *cfg, void **self);
  void (*destroy) (void *self); /* accepts NULL */
  /* Arrays of n floats to keep for every parameter (momentum, …), zero at
   * first, owned by the library and kept in checkpoints. */
  int (*slots) (void *self);
  /* Move the N numbers W along the gradient G. */
  void (*step) (void *self, const struct qk_optimizer_step *s, float *w,
                const float *g, float *const *slot, size_t n);

  /* Each number moves by its own gradient and slots alone, and step changes
   * nothing else: then several threads call step at once with the same self,
   * each for its part of a parameter.  (optional; default: one call) */
  bool elementwise;
};

struct qk_schedule_class {
  struct qk_class cls;
  int (*create) (const struct qk_config *cfg, void **self);
  void (*destroy) (void *self); /* accepts NULL */
  /* Factor on the learning rate at STEP of TOTAL steps, PER_EPOCH steps an
   * epoch; 0 <= step < total. */
  double (*factor) (void *self, int64_t step, int64_t total,
                    int64_t per_epoch);

  /* After each epoch: the score that the network trained so far got in
   * evaluation, which counts from the next step on.  With this slot the library
   * evaluates after every epoch, also of float training.  (optional; default:
   * factor depends on its arguments alone) */
  void (*epoch) (void *self, double score, bool larger_is_better);
  /* What epoch has changed, for checkpoints.  (optional; default: nothing) */
  int (*state) (void *self, struct qk_state *st);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_OPTIMIZER_H */
