/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loss.h: plugins that say how far a network's outputs are from what they
 * should be, and in which direction. */
#ifndef QATKIT_LOSS_H
#define QATKIT_LOSS_H

#include "plugin.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What outputs are compared with. */
enum qk_reference {
  QK_REFERENCE_TARGETS = 0, /* the dataset's targets */
  QK_REFERENCE_TEACHER = 1  /* the same outputs of another network, the
                               teacher: the float one */
};

/* Everything a loss works on.  All borrowed for the call; tensors have the
 * batch's size in dims[0]. */
struct qk_loss_io {
  int threads; /* use up to so many (OpenMP) */
  int n_out, n_ref;
  const struct qk_tensor *out; /* f32, outputs of the network */
  const struct qk_tensor *ref; /* targets, or f32 of the teacher */
  void *saved; /* forward writes, backward reads; size from setup; NULL where
                  no backward follows */
  /* backward only */
  double scale;                 /* what the gradients are multiplied by */
  const struct qk_tensor *dout; /* f32, scale * d loss / d out[i], to be
                                   overwritten; data NULL where not wanted */
};

struct qk_loss_class {
  struct qk_class cls;
  enum qk_reference reference;

  /* Make an instance; *self belongs to the library: destroy.  (optional, both
   * or none; without them self is NULL) */
  int (*create) (const struct qk_config *cfg, void **self);
  void (*destroy) (void *self); /* accepts NULL */

  /* Whether it can compare such outputs with such references; -EINVAL and a
   * sentence naming found and expected shapes if not.  Called once, before
   * forward. */
  int (*check) (void *self, const struct qk_tensor_spec *out, int n_out,
                const struct qk_tensor_spec *ref, int n_ref);

  /* Bytes kept from forward to backward for a batch of N samples of outputs
   * like OUT.  (optional; default: none) */
  size_t (*saved) (void *self, const struct qk_tensor_spec *out, int n_out,
                   int64_t n);

  /* *LOSS: the mean over the samples.  -EDOM for outputs that are not
   * finite; -EINVAL for a reference out of range. */
  int (*forward) (void *self, const struct qk_loss_io *io, double *loss);
  int (*backward) (void *self, const struct qk_loss_io *io);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_LOSS_H */
