/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weights.h: a network's parameters from and to a file. */
#ifndef QK_IO_WEIGHTS_H
#define QK_IO_WEIGHTS_H

#include "io/tensorfile.h"
#include "options/patterns.h"

/* One parameter; all borrowed. */
struct qk_weight {
  const char *name;               /* "features.0.0.weight" */
  const struct qk_tensor *tensor; /* in our layout; read or filled */
  enum qk_param_layout layout;    /* how the file has it */
  /* read: the options that its layer knows, and those it has; NULL: none */
  const struct qk_option *known;
  const char *options;
};

/* Which parameters need not come from the file: they stay as they are. */
struct qk_weights_anew {
  /* Those whose name in files matches, be the tensor there or not; the same
   * tensors of the file belong to nobody.  None of them: NULL. */
  struct qk_patterns *skip;
  /* By parameter: whether it is of the last layer.  Where all else fits, such
   * tensors may differ in the number of outputs, their first axis in the file.
   * NULL: they may not. */
  const bool *last;
  bool *anew; /* out, by parameter: it stayed as it was */
};

/* Fill all N parameters from PATH (FORMAT as for qk_format_find).  The file
 * must hold exactly these, except that *.num_batches_tracked is ignored and
 * so is what stands before all names of the one or the other ("module.",
 * "model."), and except for what ANEW (NULL: nothing) says.  -EINVAL with one
 * sentence that lists missing, superfluous and wrongly shaped tensors, ten of
 * each; then no parameter was changed. */
int qk_weights_load (struct qk_context *ctx, const char *path,
                     const char *format, const struct qk_weight *w, size_t n,
                     const struct qk_weights_anew *anew);
/* The same from a file that is already open. */
int qk_weights_read (const struct qk_tensorfile *f, const struct qk_weight *w,
                     size_t n, const struct qk_weights_anew *anew);

/* Write them atomically, each in its file layout, so that PyTorch's
 * load_state_dict takes them. */
int qk_weights_save (struct qk_context *ctx, const char *path,
                     const char *format, const struct qk_weight *w, size_t n,
                     const struct qk_format_meta *meta, int n_meta);

#endif /* QK_IO_WEIGHTS_H */
