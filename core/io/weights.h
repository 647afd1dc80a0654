/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weights.h: a network's parameters from and to a file. */
#ifndef QK_IO_WEIGHTS_H
#define QK_IO_WEIGHTS_H

#include "io/tensorfile.h"

/* One parameter; all borrowed. */
struct qk_weight {
  const char *name;               /* "features.0.0.weight" */
  const struct qk_tensor *tensor; /* in our layout; read or filled */
  enum qk_param_layout layout;    /* how the file has it */
};

/* Fill all N parameters from PATH (FORMAT as for qk_format_find).  The file
 * must hold exactly these, except that *.num_batches_tracked is ignored and
 * so is what stands before all names of the one or the other ("module.",
 * "model.").  -EINVAL with one sentence that lists missing, superfluous and
 * wrongly shaped tensors, ten of each; then no parameter was changed. */
int qk_weights_load (struct qk_context *ctx, const char *path,
                     const char *format, const struct qk_weight *w, size_t n);
/* The same from a file that is already open. */
int qk_weights_read (const struct qk_tensorfile *f, const struct qk_weight *w,
                     size_t n);

/* Write them atomically, each in its file layout, so that PyTorch's
 * load_state_dict takes them. */
int qk_weights_save (struct qk_context *ctx, const char *path,
                     const char *format, const struct qk_weight *w, size_t n,
                     const struct qk_format_meta *meta, int n_meta);

#endif /* QK_IO_WEIGHTS_H */
