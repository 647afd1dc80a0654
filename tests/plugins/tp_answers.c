/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_answers: a model of every normalisation, whose answers are logarithms of
 * probabilities: real numbers in the int8 network, too. */
#include "qatkit/model.h"

static int
one (struct qk_graph *g, const char *name, const char *layer, int in,
     const char *options)
{
  return qk_graph_node (g, name, layer, &in, 1, "%s", options);
}

static int
answers_build (const struct qk_config *cfg, const struct qk_model_request *req,
               struct qk_graph *g)
{
  int v = qk_graph_input (g, req->input), all[8];

  (void) cfg;
  v = one (g, "stem", "conv2d", v, "out=6 kernel=3 stride=2 padding=1");
  all[0] = v;
  all[1] = one (g, "places", "layer_norm", v, "");
  all[2] = one (g, "group_sets", "group_norm", v, "groups=2");
  all[3] = one (g, "planes", "instance_norm", v, "");
  all[4] = one (g, "roots", "rms_norm", v, "");
  all[5] = one (g, "response", "lrn", v, "size=3");
  all[6] = one (g, "shares", "softmax", v, "");
  all[7] = one (g, "logarithms", "log_softmax", v, "");
  v = qk_graph_node (g, "norms", "concat", all, 8, "%s", "");
  v = one (g, "flat", "flatten", v, "");
  v = qk_graph_node (g, "fc", "linear", &v, 1, "out=%d",
                     (int) req->target->categories);
  v = one (g, "answers", "log_softmax", v, "");
  return qk_graph_output (g, "logits", v);
}

static const struct qk_model_class answers = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "tp_answers",
                   "Every normalisation, logarithms of probabilities", NULL),
  .build = answers_build,
};

QK_PLUGIN ("tp_answers", "1.0", "LGPL-2.1-or-later", &answers.cls);
