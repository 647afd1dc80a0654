/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mlp: fully connected layers with ReLU between them, for vectors; for
 * classes, or for numbers. */
#include "config.h"

#include <math.h>
#include <stdio.h>

#include "answer/answer.h"

#define MAX_LAYERS 32

/* A fully connected layer, normal weights of variance GAIN / inputs. */
static int
linear (struct qk_graph *g, const char *name, int v, int64_t out, double gain)
{
  const struct qk_shape *s = qk_graph_shape (g, v);

  return qk_graph_node (g, name, "linear", &v, 1, "out=%lld init_std=%.9g",
                        (long long) out,
                        s == NULL ? 0 : sqrt (gain / (double) s->dims[1]));
}

/* fc1, relu1, fc2, … of the WIDTHS; the last value. */
static int
hidden (struct qk_graph *g, int v, const float *width, int n)
{
  char name[24];

  for (int i = 0; i < n; i++) {
    snprintf (name, sizeof name, "fc%d", i + 1);
    v = linear (g, name, v, (int64_t) width[i], 2);
    snprintf (name, sizeof name, "relu%d", i + 1);
    v = qk_graph_node (g, name, "relu", &v, 1, "%s", "");
  }
  return v;
}

static int
mlp_build (const struct qk_config *cfg, const struct qk_model_request *req,
           struct qk_graph *g)
{
  float width[MAX_LAYERS];
  const int n = qk_config_floats (cfg, "hidden", width, MAX_LAYERS);
  struct answer answer;
  char text[160];
  int v, r;

  if (req->n_inputs != 1 || req->input->shape.ndim < 2)
    return qk_error (
      -EINVAL,
      "mlp: the data have %d inputs, the first %s, expected one "
      "of two axes or more",
      req->n_inputs, qk_spec_print (req->input, text, sizeof text));
  for (int i = 0; i < n && i < MAX_LAYERS; i++)
    if (width[i] != floorf (width[i]))
      return qk_error (-EINVAL,
                       "mlp: hidden (%s) must be whole numbers, got "
                       "%g",
                       qk_config_where (cfg, "hidden"), (double) width[i]);
  if (n > MAX_LAYERS)
    return qk_error (-EINVAL, "mlp: hidden (%s) has %d layers, at most %d",
                     qk_config_where (cfg, "hidden"), n, MAX_LAYERS);
  if ((r = answer_find ("mlp", qk_config_int (cfg, "outputs"), req, &answer))
      < 0)
    return r;
  v = qk_graph_input (g, req->input);
  if (req->input->shape.ndim > 2)
    v = qk_graph_node (g, "flatten", "flatten", &v, 1, "%s", "");
  v = hidden (g, v, width, n);
  v = linear (g, "fc", v, answer.numbers, 1);
  return qk_graph_output (g, answer.name, v);
}

static const struct qk_option options[]
  = { { .name = "hidden",
        .type = QK_OPT_FLOATS,
        .def = "64,64",
        .min = 1,
        .max = 65536,
        .help = "Widths of the hidden layers; empty = none" },
      { .name = "outputs",
        .type = QK_OPT_INT,
        .def = "0",
        .min = 0,
        .max = 1000000,
        .help = "Numbers that the network gives; 0 = the categories or "
                "numbers of the data's first target" },
      { .name = NULL } };

static const struct qk_model_class mlp = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "mlp",
                   "Fully connected layers, for vectors", options),
  .build = mlp_build,
};

QK_PLUGIN ("mlp", PACKAGE_VERSION, "LGPL-2.1-or-later", &mlp.cls);
