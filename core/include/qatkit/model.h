/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* model.h: plugins that build a network architecture. */
#ifndef QATKIT_MODEL_H
#define QATKIT_MODEL_H

#include "graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the data look like; borrowed for the call.  n_inputs 0: there are no
 * data; a model that knows its inputs by itself declares those. */
struct qk_model_request {
  int n_inputs, n_targets;
  const struct qk_tensor_spec *input, *target;
};

struct qk_model_class {
  struct qk_class cls;

  /* Build the float network into the empty graph G: qk_graph_input, nodes
   * named as in torchvision's state dict, qk_graph_output.  -EINVAL, with a
   * sentence, where the data are none that this architecture is for. */
  int (*build) (const struct qk_config *cfg,
                const struct qk_model_request *req, struct qk_graph *g);

  /* Endings of the files that networks are read from, NULL-terminated, where
   * the option "file" names one: ".onnx".  Such a file can stand for a
   * configuration on the command line.
   * (optional; default: none) */
  const char *const *suffixes;

  /* Line I of what else 'qatkit plugins NAME' tells, such as the operators
   * that a file may contain; NULL behind the last.  Static text.
   * (optional; default: nothing) */
  const char *(*note) (int i);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_MODEL_H */
