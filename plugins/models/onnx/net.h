/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net.h: the network of an ONNX file as nodes and values, before it becomes a
 * graph of ours.  Axes and shapes here are the file's. */
#ifndef MODEL_ONNX_NET_H
#define MODEL_ONNX_NET_H

#include <qatkit/graph.h>

#include "onnxfile/onnxfile.h"

/* How a value lies in our graph: view.h. */
struct view {
  int id;   /* of the graph's value; -1: not there yet */
  int ndim; /* axes in the file */
  struct group {
    int n; /* axes of ours that make one of the file's; 0: that */
    int of[QK_MAX_DIMS]; /* axis has size 1 and is not there */
  } axis[QK_MAX_DIMS];
};

/* Of integers that the network computes: the real numbers they stand for,
 * scale (q - zero_point).  The view of such a value is that of these. */
struct steps {
  float scale; /* 0: it is no such value */
  int zero_point, type;
};

struct net_value {
  const char *name; /* of the file */
  const Onnx__TensorProto *init;
  struct onnx_const *known; /* owned; NULL: not a constant, or not yet read */
  int producer;             /* node; -1: input or initializer */
  int uses;                 /* inputs of nodes, and outputs of the network */
  struct view view;
  /* a constant that was dequantized: the values its scales and zero points
   * (-1: 0) are, along which axis, and the type of the integers; SCALE -1:
   * it was not */
  int scale, zero, axis, type;
  struct steps steps;
  struct steps grid; /* of reals that DequantizeLinear made of integers */
};

struct net_op;

struct net_node {
  char *name;     /* owned; unique, never empty */
  const char *op; /* "Conv"; those made by recognise.c begin with a '.' */
  const Onnx__NodeProto *proto; /* NULL in those */
  int n_in, n_out;
  int *in, *out;    /* values; -1: left out */
  bool gone;        /* folded, or part of another */
  uint64_t used;    /* attributes that were asked for */
  float eps;        /* of a normalisation that was recognised */
  int64_t axis;     /* the one that it, or a softmax, is over */
  int64_t groups;   /* of its channels */
  bool on_integers; /* in the file; qlinear.c has made it one of reals */
  /* scale and zero point of its result, which is to be rounded to that grid;
   * -1: none */
  int y_scale, y_zero;
};

struct net {
  struct onnxfile *file;
  int n_nodes, n_values;
  struct net_node *node; /* in an order that can be executed */
  struct net_value *value;
  int n_inputs, *input, n_outputs, *output; /* values */
  int64_t batch; /* what the file's batch axis has for size */
};

/* Nodes and values of FILE (borrowed).  Every name is defined, once, and
 * before it is used; -EBADMSG otherwise.  OUTPUTS: names of tensors, or of
 * the nodes that make them, between commas, which are the network's outputs
 * instead of the file's; "": the file's. */
int net_new (struct onnxfile *file, const char *outputs, struct net **out);
void net_free (struct net *n); /* accepts NULL */

/* "FILE: node 'NAME' (OP): " before the sentence. */
int net_error (const struct net *n, const struct net_node *nd, int code,
               const char *fmt, ...) QK_PRINTF (4, 5);

/* ---- constants --------------------------------------------------------- */

/* The numbers of VALUE, read when first asked for; *OUT NULL where it is not
 * a constant.  Borrowed. */
int net_known (struct net *n, int value, const struct onnx_const **out);
/* Make VALUE a constant; C belongs to it then. */
void net_set_known (struct net *n, int value, struct onnx_const *c);
/* Whether VALUE is a constant of one element; *X. */
bool net_scalar (struct net *n, int value, double *x);
/* Whether these are scales of the same grid.  Files that we write read a grid
 * with a scale that is a few units in the last place away where that spares a
 * sum its ties. */
bool net_same_scale (double s, double t);
/* Input I of ND as integers, MAX at most: how many; 0: left out.  -ENOTSUP
 * where they are not known beforehand. */
int net_ints (struct net *n, const struct net_node *nd, int i, int64_t *out,
              int max);

/* Whether ND only moves elements of its first input, or repeats them. */
bool net_moves (const struct net_node *nd);
/* The node of operator OP that makes VALUE (-1: none); NULL: another one does,
 * or none. */
struct net_node *net_made_by (struct net *n, int value, const char *op);
/* The N_IN values IN, no more than three where ND had fewer inputs, become the
 * inputs of ND. */
void net_set_inputs (struct net *n, struct net_node *nd, const int *in,
                     int n_in);

/* A constant more, which belongs to N, called as VALUE is; its number. */
int net_add_constant (struct net *n, int value, struct onnx_const *c);

/* ---- attributes: asking for one marks it as used ------------------------- */

int64_t net_attr_int (struct net_node *nd, const char *name, int64_t def);
float net_attr_float (struct net_node *nd, const char *name, float def);
/* Into BUF, cut to NET_WORD bytes; returns BUF, or DEF. */
#define NET_WORD 48
const char *net_attr_string (struct net_node *nd, const char *name,
                             const char *def, char buf[NET_WORD]);
/* How many; -1: not given. */
int net_attr_ints (struct net_node *nd, const char *name, int64_t *out,
                   int max);
const Onnx__TensorProto *net_attr_tensor (struct net_node *nd,
                                          const char *name);
bool net_attr_given (struct net_node *nd, const char *name);
/* Floats; borrowed, *COUNT of them. */
const float *net_attr_floats (struct net_node *nd, const char *name,
                              size_t *count);
/* An attribute nobody asked for; NULL if there is none. */
const char *net_attr_unused (const struct net_node *nd);

/* Axis A of NDIM, counted from the end where negative; -1 if there is none
 * such. */
int net_axis (int64_t a, int ndim);

#endif /* MODEL_ONNX_NET_H */
