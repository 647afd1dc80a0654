/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.h: a read-only view of a whole network, for formats that write
 * one.  All of it is borrowed for the call it is passed to. */
#ifndef QATKIT_NETWORK_H
#define QATKIT_NETWORK_H

#include "layer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An edge: what a node computes, an input of the network, or a constant. */
struct qk_network_value {
  struct qk_shape shape; /* of one sample, dims[0] = 1 */
  struct qk_qparams q;   /* the grid of a uint8 value; scale 0: float */
  const char *name;      /* of inputs and constants, else NULL */
  const void *constant;  /* its elements, uint8 on a grid, else f32; NULL: not
                            a constant */
  const void *vectors;   /* its elements for each of n_vectors samples, of the
                            type of constants; NULL: there are none */
};

/* A value that the network gives out under a name. */
struct qk_network_output {
  const char *name;
  int value;
  int batch_axis; /* outside the network; within it is axis 0 */
};

/* A parameter of a node left in float. */
struct qk_network_param {
  const char *name;                 /* "features.0.0.weight" */
  const struct qk_param_spec *spec; /* name "weight", layout, flags */
  const struct qk_tensor *tensor;   /* f32, in our layout */
};

/* A node.  In a quantized one OP is complete and its inputs are on a grid.
 * In one left in float
 *  - OP has kind and geometry, and no grids, bounds and arrays; kind 0 where
 *    TRAITS say it all (QK_ROLE_BATCHNORM, QK_ROLE_CLAMP) or where the layer
 *    does not tell what it computes;
 *  - PARAM are its parameters in the order the layer declares them: weight
 *    and, if it has one, bias; those of batch-norm as in QK_BN_PARAMS. */
struct qk_network_node {
  const char *name;  /* unique: "features.0.0" */
  const char *layer; /* the layer plugin's name, for messages */
  int n_in;
  const int *in; /* values */
  int out;       /* the value it computes; no other node computes it */
  bool quantized;
  const struct qk_op *op;
  /* the options its layer was made with; NULL where the layer is not
   * installed, as may be for quantized nodes */
  const struct qk_config *config;
  struct qk_layer_traits traits; /* float nodes */
  int n_params;
  const struct qk_network_param *param;
};

/* Nodes come in an order in which they can be computed; layers that training
 * had fused are apart again in float nodes. */
struct qk_network {
  int n_values;
  const struct qk_network_value *const *value;
  int n_nodes;
  const struct qk_network_node *const *node;
  int n_inputs;
  const int *input; /* values */
  int n_outputs;
  const struct qk_network_output *output;
  int n_targets; /* of the data it was made for; 0: not known */
  const struct qk_tensor_spec *target;
  const char *config; /* INI text it was made with; "" if there is none */
  int n_vectors; /* samples that were run: what an int8 network computes of
                    them, for who checks another program; 0: none */
  /* of the model file it comes from, in hexadecimal; "" if there is none */
  const char *checksum;
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_NETWORK_H */
