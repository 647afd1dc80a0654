/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lay.h: lays a network of a file out as a graph of ours, node by node.
 *
 * Ours are channels last and begin with the batch; the file's axes come in any
 * order.  A value's view says which axes of ours, one after the other, make
 * each axis of the file's.  A Transpose, and a Reshape that splits or merges
 * axes, only changes the view; arranging a value, which costs a node, is left
 * to those operators that need certain axes in certain places. */
#ifndef MODEL_ONNX_LAY_H
#define MODEL_ONNX_LAY_H

#include "net.h"

/* What becomes of grids that a file has. */
enum grids { GRIDS_KEEP, GRIDS_TRAIN, GRIDS_IGNORE };

struct lay {
  struct net *n;
  struct qk_graph *g;
  enum grids grids;
  int helpers; /* nodes made for the node at work, besides its own */
  bool own;    /* whether that one has been made */
};

/* An operator of ONNX. */
struct net_op {
  const char *name;
  int (*lay) (struct lay *l, struct net_node *nd);
  const char *text; /* of the list of operators */
};

/* Lay out every node that the outputs depend on, and declare the outputs.
 * The views of the inputs are set. */
int lay_out (struct lay *l);
/* Whether all operators are known; the sentence names those that are not. */
int lay_check (struct net *n);
/* Row I of the list of operators; NULL behind the last. */
const struct net_op *lay_operator (int i);

/* ---- nodes ----------------------------------------------------------------- */

/* Append LAYER with its options to the graph.  The first one for ND has its
 * name, the others NAME.LAYER.  Returns the value, or an error. */
int lay_node (struct lay *l, const struct net_node *nd, const char *layer,
              const int *in, int n_in, const char *fmt, ...) QK_PRINTF (6, 7);
/* The same for a node that only arranges. */
int lay_helper (struct lay *l, const struct net_node *nd, const char *layer,
                int in, const char *fmt, ...) QK_PRINTF (5, 6);
/* Give parameter PARAM of the node that made ID the numbers DATA; VALUE: the
 * file's tensor they come from (-1: none), whose name it gets. */
int lay_fill (struct lay *l, int id, const char *param, int value,
              const float *data);

/* "1,2,3" of N numbers into BUF; returns BUF. */
#define LAY_LIST 512
const char *lay_list (const int64_t *x, int n, char buf[LAY_LIST]);

/* Axes of input 1, or in older opsets of attribute "axes"; -1: none given. */
int lay_axes (struct lay *l, struct net_node *nd, int64_t *axes);

/* ---- views: view.c ---------------------------------------------------------- */

/* The view of input I of ND, which is to be computed from the data. */
int lay_input (struct lay *l, const struct net_node *nd, int i,
               struct view *out);
/* Constant input I of ND; *OUT NULL where it is left out and MAY_MISS. */
int lay_known (struct lay *l, const struct net_node *nd, int i, bool may_miss,
               const struct onnx_const **out);
/* Say how output I of ND lies. */
void lay_output (struct lay *l, const struct net_node *nd, int i,
                 const struct view *v);
/* The last step of most operators: output 0 of ND is the value ID, whose axes
 * are as V says.  Passes on ID where it is an error, else 0. */
int lay_result (struct lay *l, const struct net_node *nd, struct view v,
                int id);

const struct qk_shape *view_ours (const struct lay *l, const struct view *v);
/* Elements along the file's axis A; the batch counts as in the file. */
int64_t view_size (const struct lay *l, const struct view *v, int a);
void view_shape (const struct lay *l, const struct view *v,
                 struct qk_shape *out);
/* One of our axes for each of the file's, in the file's order, the batch
 * first: axis I of ours is axis I of the file's. */
void view_plain (struct view *v, int id, int ndim);
/* Whether the file's axis A is the batch and nothing else. */
bool view_is_batch (const struct view *v, int a);
/* Whether the file's axis A has the batch in it. */
bool view_has_batch (const struct view *v, int a);
/* The one axis of ours that makes the file's axis A; -1: none, or several. */
int view_axis (const struct view *v, int a);

/* The file's axes of V in the order in which they lie in memory. */
void view_order (const struct view *v, int *order);
/* Make the file's axes ORDER (all of them; -1: an axis of size 1 more) the
 * axes of ours, one each, behind the batch. */
int view_arrange (struct lay *l, const struct net_node *nd,
                  const struct view *v, int n, const int *order,
                  struct view *out);
/* Make the file's axis A the last of ours. */
int view_last (struct lay *l, const struct net_node *nd, const struct view *v,
               int a, struct view *out);
/* Make each axis of the file's one of ours, wherever. */
int view_single (struct lay *l, const struct net_node *nd,
                 const struct view *v, struct view *out);
/* View V as SHAPE, in the file's order of elements. */
int view_reshape (struct lay *l, const struct net_node *nd,
                  const struct view *v, const struct qk_shape *shape,
                  struct view *out);
/* Constant C as a value of the graph that lies as axes ORDER of a view V of
 * N axes does after view_arrange; C's axes are matched from the last. */
int view_constant (struct lay *l, struct net_node *nd, int value,
                   const struct view *v, int n, const int *order);
/* (N,C,H,W) or (N,C,L) as (N,H,W,C), H being 1. */
int view_image (struct lay *l, const struct net_node *nd, const struct view *v,
                struct view *out);
/* The view of an image ID that has NDIM axes in the file. */
void view_of_image (struct view *v, int id, int ndim);

/* ---- products: linear.c ---------------------------------------------------------- */

/* V becomes its product with the matrix (K,N) that WEIGHT is, K being V's last
 * axis, plus the constant BIAS (-1: none). */
int lay_by_matrix (struct lay *l, struct net_node *nd, struct view *v,
                   int weight, int bias);
/* The product, as MatMul has it, of V[0] and V[1]; of one of them CONSTANT may
 * say which constant it is (-1: none), its view having no more than ndim. */
int lay_product (struct lay *l, struct net_node *nd, struct view *v,
                 const int *constant, struct view *out);

/* ---- grids: grid.c -------------------------------------------------------------- */

/* Round output 0 of ND, in real numbers now, to the grid that its y_scale and
 * y_zero say. */
int lay_round (struct lay *l, struct net_node *nd);
/* Lay ND, some input of which are integers. */
int lay_integers (struct lay *l, struct net_node *nd, const struct net_op *op);
/* Whether some input of ND are integers that stand for reals. */
bool lay_reads_integers (const struct lay *l, const struct net_node *nd);
/* Whether ND takes its input, which is on one grid, to another one that stays. */
bool lay_changes_grid (struct lay *l, struct net_node *nd);
/* The means of each channel of the image ID, (N,1,1,C), as a convolution, which
 * puts them on a grid of their own.  Returns the value, or an error. */
int lay_average_by_weights (struct lay *l, struct net_node *nd, int id);
/* Let parameter PARAM of ID, whose numbers in our order are DATA, CHANNELS times
 * PER, keep the grid of the file's VALUE, whose axis AXIS is the channels. */
int lay_keep_grid (struct lay *l, const struct net_node *nd, int id,
                   const char *param, int value, int axis, const float *data,
                   int64_t channels, int64_t per);
/* Constant VALUE, which ID of the graph is, on the grid it has in the file. */
int lay_constant_grid (struct lay *l, struct net_node *nd, int value, int id);

/* ---- the operators ------------------------------------------------------------ */

#define LAY(name) int lay_##name (struct lay *l, struct net_node *nd)
/* window.c */
LAY (conv);
LAY (conv_transpose);
LAY (max_pool);
LAY (average_pool);
LAY (global_average_pool);
LAY (global_max_pool);
LAY (resize);
LAY (upsample);
LAY (depth_to_space);
LAY (space_to_depth);
/* linear.c */
LAY (gemm);
LAY (matmul);
/* norm.c */
LAY (batch_norm);
LAY (scale);
LAY (layer_norm);
LAY (rms_norm);
LAY (instance_norm);
LAY (group_norm);
LAY (softmax);
LAY (log_softmax);
LAY (lrn);
/* each.c */
LAY (unary);
LAY (clip);
LAY (add);
LAY (sub);
LAY (mul);
LAY (div);
LAY (pow);
LAY (maximum);
LAY (minimum);
LAY (sum);
LAY (mean);
LAY (prelu);
LAY (where);
LAY (pass);
LAY (cast);
LAY (cast_like);
LAY (dropout);
/* shape.c */
LAY (reshape);
LAY (flatten);
LAY (transpose);
LAY (squeeze);
LAY (unsqueeze);
LAY (concat);
LAY (slice);
LAY (split);
LAY (gather);
LAY (pad);
LAY (expand);
LAY (tile);
/* reduce.c */
LAY (reduce);
/* einsum.c */
LAY (einsum);
/* grid.c */
LAY (quantize);
LAY (dequantize);
LAY (fake_quantize);

#endif /* MODEL_ONNX_LAY_H */
