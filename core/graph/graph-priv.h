/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* graph-priv.h: the one graph type, from float to int8. */
#ifndef QK_GRAPH_GRAPH_PRIV_H
#define QK_GRAPH_GRAPH_PRIV_H

#include <qatkit/context.h>
#include <qatkit/graph.h>

#include "base/names.h"
#include "options/patterns.h"

/* What the passes have made of a graph so far. */
enum qk_stage {
  QK_STAGE_FLOAT = 0,    /* as the model built it, or fused */
  QK_STAGE_PREPARED = 1, /* values and weights carry quantizers */
  QK_STAGE_INT8 = 2      /* nodes carry int8 ops */
};

struct qk_param {
  char *name;  /* "features.0.0.weight" */
  char *alias; /* what files of weights call it; NULL: the same; owned */
  struct qk_param_spec spec;
  struct qk_tensor value; /* f32, data owned */
  struct qk_tensor grad;  /* f32, data owned; NULL until training */
  /* the scales that it keeps, of the network's file; NULL: none; owned */
  float *scale;
  int64_t n_scales;
  bool anew;   /* not among the weights that the network began with */
  bool frozen; /* training leaves it as it is: see qk_graph_freeze */
};

/* A grid that a value has in the network's file. */
struct qk_given {
  struct qk_qparams q; /* scale 0: none */
  bool keeps;          /* it stays; else training begins with it */
};

struct qk_value {
  struct qk_shape shape; /* of one sample, dims[0] = 1 */
  int producer;          /* node index; -1 for inputs and constants */
  int n_consumers;       /* nodes that read it, and outputs that it is */
  char *name;            /* of inputs and constants, else NULL; owned */
  void *constant; /* elements, integers in an INT8 graph on a grid, else f32;
                     NULL: not a constant; owned */
  struct qk_given given;
  bool
    on_grid; /* carried as integers; in FLOAT graphs what has a given grid */
  bool wide; /* that grid has more than 8 bits */
  struct qk_quantizer *qz; /* owned; the quantizer put on this value */
  struct qk_qparams q;     /* INT8: its grid */
};

/* A layer that a node took over: enough to build the node again. */
struct qk_absorbed {
  char *name, *layer, *options;
};

#define QK_NODE_MAX_ABSORBED 2

/* How a node computes in a prepared graph. */
enum qk_node_as {
  QK_AS_FLOAT = 0,
  QK_AS_INT8,    /* weights and values on grids: convert makes it int8 */
  QK_AS_WEIGHTS, /* weights on a grid, values in float: for analysis */
  QK_AS_VALUES,  /* values on grids, weights in float: for analysis */
  QK_AS_DYNAMIC  /* int8 weights, values put on a grid of each call */
};

struct qk_node {
  char *name;
  char *layer_name;
  char *options; /* "stride=2 bias=no" */
  int n_in, in[QK_OP_MAX_INPUTS];
  int out;

  const struct qk_layer_class *layer; /* NULL in INT8 nodes read from a file */
  void *self;                         /* owned */
  struct qk_layer_traits traits;
  int n_params, param[QK_LAYER_MAX_PARAMS]; /* indices into graph->param */
  int n_absorbed;
  struct qk_absorbed absorbed[QK_NODE_MAX_ABSORBED];

  float lo, hi; /* the clamp it took over; +-INFINITY: none */

  /* PREPARED */
  enum qk_node_as as;
  bool int8;                      /* convert makes it an int8 op */
  int dynamic_bits;               /* QK_AS_DYNAMIC: of the values */
  const char *skip_reason;        /* static text, when int8 is false */
  struct qk_quantizer *weight_qz; /* owned */

  /* INT8 */
  bool lowered;
  struct qk_op op; /* arrays owned; op.name borrowed from name */
};

/* An output: a value and what it is called. */
struct qk_output {
  char *name; /* owned */
  int value;
  int batch_axis; /* outside, qk_graph_output_batch */
};

#define QK_GRAPH_MAX_INPUTS 32

struct qk_graph {
  struct qk_context *ctx;
  enum qk_stage stage;
  uint64_t seed; /* of the parameters' initial values */
  int n_nodes, n_values, n_params;
  struct qk_node *node; /* in an order that can be executed */
  struct qk_names node_name;
  struct qk_value *value;
  struct qk_param *param;
  int n_inputs, n_outputs;
  int input[QK_GRAPH_MAX_INPUTS]; /* values */
  struct qk_output *output;
  int error;   /* the first error of the builder calls */
  bool filled; /* the model gave its parameters numbers, qk_graph_fill */
  /* Bytes that all parameters together may take, where somebody unknown
   * wrote the model, to whom limits.h applies; 0: any number. */
  int64_t max_params;
  int64_t param_bytes;
  char **warning; /* of the model, to be told when it is complete; owned */
  int n_warnings;
  int64_t elements; /* of all values, counted where max_params is set */
};

int qk_graph_new (struct qk_context *ctx, uint64_t seed,
                  struct qk_graph **out);
void qk_graph_free (struct qk_graph *g); /* accepts NULL */

/* Take the next layer over into NODE, the producer of its only input.
 * -ENOTSUP if the node's layer cannot. */
int qk_graph_absorb (struct qk_graph *g, int node, const char *name,
                     const char *layer, const char *options);

/* A copy of the float graph G in which LAYER with OPTIONS stands in for the
 * clamp that node NODE took over.  -EINVAL if there is none. */
int qk_graph_replace_clamp (const struct qk_graph *g, int node,
                            const char *layer, const char *options,
                            struct qk_graph **out);

/* A deep copy of a graph without quantizers: nodes, absorbed layers and
 * parameter values. */
int qk_graph_copy (const struct qk_graph *g, struct qk_graph **out);

/* The same in steps, for passes that leave out nodes or put others in their
 * place.  MAP tells for each value of FROM which one of the copy stands for
 * it: copy_value sets it, in the order of the values.
 * copy_end, to be called also after an error ERR, which it returns, takes
 * over outputs and parameters, frees MAP and, after an error, the copy. */
int qk_graph_copy_begin (const struct qk_graph *from, struct qk_graph **out,
                         int **map);
int qk_graph_copy_value (const struct qk_graph *from, int value, int *map,
                         struct qk_graph *g);
int qk_graph_copy_end (const struct qk_graph *from, int *map, int err,
                       struct qk_graph **out);
/* What FROM's parameters of the same names have, into those of G; others stay
 * as they are. */
int qk_graph_copy_params (const struct qk_graph *from, struct qk_graph *g);

/* Tell the user what the model that built G had to say. */
void qk_graph_tell_warnings (const struct qk_graph *g);

/* Whether anything of G keeps the grid that it has in the network's file. */
bool qk_graph_keeps_grids (const struct qk_graph *g);

/* A node as qk_graph_node makes it, its options as text. */
int qk_graph_node_text (struct qk_graph *g, const char *name,
                        const char *layer, const char *options, const int *in,
                        int n_in);
/* A node of a class that no plugin offers, which must outlive the graph; SELF
 * is its instance, which the graph takes over also on failure. */
int qk_graph_node_of (struct qk_graph *g, const char *name,
                      const struct qk_layer_class *cls, void *self,
                      const int *in, int n_in);
/* An output of any value, which may share its name with none. */
int qk_graph_add_output (struct qk_graph *g, const char *name, int value);

/* A bare value and node, for readers of int8 models. */
int qk_graph_add_value (struct qk_graph *g, const struct qk_shape *shape,
                        int producer);
/* Declare the bare VALUE an input, or (DATA, which the graph takes over also
 * on failure) a constant. */
int qk_graph_name_input (struct qk_graph *g, int value, const char *name);
int qk_graph_name_constant (struct qk_graph *g, int value, const char *name,
                            void *data);
/* Add to G the input or constant VALUE of FROM; its number in G. */
int qk_graph_copy_source (const struct qk_graph *from, int value,
                          struct qk_graph *g);
/* Add to G the outputs of FROM, whose value I is MAP[I] in G. */
int qk_graph_copy_outputs (const struct qk_graph *from, const int *map,
                           struct qk_graph *g);
/* Whether VALUE is an input, or an output. */
bool qk_graph_is_input (const struct qk_graph *g, int value);
bool qk_graph_is_output (const struct qk_graph *g, int value);
/* The node that makes a value, or its own name: "features.0.0", "input". */
const char *qk_value_name (const struct qk_graph *g, int value);
/* The index of the only input, or an error that names WHAT needs it. */
int qk_graph_only_input (const struct qk_graph *g, const char *what);

/* How VALUE is carried.  One of more than 8 bits: as u16 in an INT8 graph, as
 * the real numbers that its integers stand for in a PREPARED one. */
enum qk_dtype qk_value_dtype (const struct qk_graph *g, int value);

/* Shape of VALUE for a batch of N samples, in which a constant is repeated. */
struct qk_shape qk_value_shape (const struct qk_graph *g, int value,
                                int64_t n);
int qk_graph_add_node (struct qk_graph *g, const char *name, const char *layer,
                       const char *options, const int *in, int n_in);

struct qk_param *qk_graph_find_param (const struct qk_graph *g,
                                      const char *name);
/* The name that files of weights have for P. */
const char *qk_param_file_name (const struct qk_param *p);
/* Index of the node of this name, or -1. */
int qk_graph_find_node (const struct qk_graph *g, const char *name);

/* Check that a build is complete: no error, an input, an output. */
int qk_graph_finish (struct qk_graph *g);

/* Kind and geometry of node N of a float graph into OP, which is zero before
 * and remains so where its layer tells nothing.  Free with qk_op_free_arrays,
 * also after an error. */
int qk_graph_geometry (const struct qk_graph *g, const struct qk_node *n,
                       struct qk_op *op);

/* Multiply-accumulates of one sample. */
int64_t qk_graph_macs (const struct qk_graph *g);
/* Bytes of the parameters (or int8 arrays) as stored. */
int64_t qk_graph_bytes (const struct qk_graph *g);

/* Freeze the parameters whose name, or name in files, one of P (NULL: none)
 * matches, and no others: the optimizer does not move them, and statistics
 * among them are used as they are. */
void qk_graph_freeze (struct qk_graph *g, struct qk_patterns *p);

/* Allocate (zeroed) or clear all gradients. */
int qk_graph_zero_grad (struct qk_graph *g);

#endif /* QK_GRAPH_GRAPH_PRIV_H */
