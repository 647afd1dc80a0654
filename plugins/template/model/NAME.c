/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: a multilayer perceptron for any data with one input and one target:
 * hidden linear layers with an activation behind each, then a linear one with
 * as many outputs as the target has categories, or numbers.
 *
 *   [model]
 *   arch = ./NAME.so
 *   width = 64
 *   activation = hardswish */
#include <math.h>
#include <stdio.h>

#include <qatkit/model.h>

static const struct qk_option NAME_options[]
  = { { "width", QK_OPT_INT, "32", 1, 65536, NULL,
        "Outputs of each hidden layer" },
      { "depth", QK_OPT_INT, "2", 0, 64, NULL, "Hidden layers" },
      { "activation", QK_OPT_STRING, "relu", 0, 0, NULL,
        "Layer behind each hidden one, a name or the path of a plugin" },
      { "activation_options", QK_OPT_STRING, "", 0, 0, NULL,
        "Options of that layer, as in \"negative_slope=0.1\"" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

/* A linear layer NAME<i> from value V, whose features are few enough for the
 * usual initialisation. */
static int
NAME_linear (struct qk_graph *g, const char *name, int v, int64_t out)
{
  const struct qk_shape *s = qk_graph_shape (g, v);

  if (s == NULL)
    return v; /* an error: qk_graph_node would pass it on as well */
  return qk_graph_node (g, name, "linear", &v, 1, "out=%lld init_std=%.9g",
                        (long long) out,
                        sqrt (2.0 / (double) s->dims[s->ndim - 1]));
}

/* Once: build the float network into the empty graph G from what the data are
 * like (REQ, borrowed).  -EINVAL, with a sentence, for data that it cannot be
 * built for.  Every qk_graph_ function returns the number of a value; an error
 * can be passed on as an input, so that only the last result is looked at.
 * Parameters are called after their node, "fc1.weight".  Batch-norm,
 * convolutions and so on are nodes like these; fusing, quantizing and int8 are
 * not the model's concern. */
static int
NAME_build (const struct qk_config *cfg, const struct qk_model_request *req,
            struct qk_graph *g)
{
  const int64_t depth = qk_config_int (cfg, "depth");
  const struct qk_tensor_spec *target = req->target;
  char name[32];
  int64_t out;
  int v;

  if (req->n_inputs != 1 || req->n_targets != 1)
    return qk_error (-EINVAL,
                     "NAME: the data have %d inputs and %d targets, expected "
                     "one of each",
                     req->n_inputs, req->n_targets);
  out = target->categories > 0 ? target->categories
                               : qk_shape_count (&target->shape);
  v = qk_graph_input (g, &req->input[0]);
  if (req->input[0].shape.ndim > 2)
    v = qk_graph_node (g, "flatten", "flatten", &v, 1, "%s", "");
  for (int64_t i = 1; i <= depth; i++) {
    snprintf (name, sizeof name, "fc%d", (int) i);
    v = NAME_linear (g, name, v, qk_config_int (cfg, "width"));
    snprintf (name, sizeof name, "act%d", (int) i);
    v = qk_graph_node (g, name, qk_config_string (cfg, "activation"), &v, 1,
                       "%s", qk_config_string (cfg, "activation_options"));
  }
  v = NAME_linear (g, "head", v, out);
  return qk_graph_output (g, target->name, v);
}

static const struct qk_model_class NAME_class = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "NAME",
                   "Multilayer perceptron", NAME_options),
  .build = NAME_build,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
