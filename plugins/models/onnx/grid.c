/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grid.c: networks that are quantized in their file.
 *
 * QuantizeLinear rounds a value to a grid, DequantizeLinear reads the integers
 * again as the reals they stand for.  Here there are only these reals: the
 * first becomes a layer that rounds, the second nothing, and what is between
 * the two has to be an operator that only moves or limits integers. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lay.h"

#define T(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name
#define NAME "%.100s"

/* ---- reading a grid ---------------------------------------------------------- */

/* The grid that values SCALE and ZERO (-1: 0 of uint8) say into S; 1 where it
 * is none of 8 bits with one scale, WHY telling what it is. */
static int
read_steps (struct lay *l, struct net_node *nd, int scale, int zero,
            struct steps *s, char why[80])
{
  const struct onnx_const *c, *z;
  int r;

  if ((r = net_known (l->n, scale, &c)) < 0
      || (r = net_known (l->n, zero, &z)) < 0)
    return r;
  if (c == NULL || !c->real || (zero >= 0 && z == NULL))
    return net_error (l->n, nd, -ENOTSUP,
                      "its scale and zero point depend on the data, expected "
                      "constants");
  s->type
    = z != NULL ? z->type : (int) net_attr_int (nd, "output_dtype", T (UINT8));
  if (s->type == 0)
    s->type = T (UINT8);
  if (c->n != 1 || (z != NULL && z->n != 1)) {
    snprintf (why, 80, "has %lld scales, expected one", (long long) c->n);
    return 1;
  }
  if (s->type != T (UINT8) && s->type != T (INT8)) {
    snprintf (why, 80, "is of type %s, expected uint8 or int8",
              onnx_type_name (s->type));
    return 1;
  }
  s->scale = c->f[0];
  s->zero_point = z != NULL && !z->real ? (int) z->i[0] : 0;
  if (!(s->scale > 0) || !isfinite (s->scale) || !isfinite (1 / s->scale))
    return net_error (l->n, nd, -EBADMSG,
                      "its scale is %g, expected a positive number",
                      (double) s->scale);
  return 0;
}

/* Least integer of a type. */
static int
least (const struct steps *s)
{
  return s->type == T (INT8) ? -128 : 0;
}

/* ---- rounding ------------------------------------------------------------------- */

/* Whether the operator that makes V computes sums, whose activation function
 * the maker of the file may have left to the grid. */
static bool
makes_sums (const struct lay *l, int value)
{
  static const char *const sums[] = { "Conv", "ConvTranspose",      "Gemm",
                                      "Add",  "BatchNormalization", "MatMul" };
  const int p = l->n->value[value].producer;
  size_t i;

  for (i = 0; p >= 0 && i < sizeof sums / sizeof *sums; i++)
    if (strcmp (l->n->node[p].op, sums[i]) == 0)
      return true;
  return false;
}

/* A grid from 0 on, behind a sum, is also that sum's ReLU, and one that ends
 * at 6 its ReLU6: there to stay when the grid moves or goes. */
static int
put_activation (struct lay *l, struct net_node *nd, struct view *v,
                const struct steps *s)
{
  const float end = (float) (least (s) + 255 - s->zero_point) * s->scale;
  int id;

  if (s->zero_point != least (s))
    return 0;
  id = lay_helper (l, nd, fabsf (end - 6) < 0.5f * s->scale ? "relu6" : "relu",
                   v->id, "%s", "");
  if (id < 0)
    return id;
  v->id = id;
  return 0;
}

/* V on the grid S; SUM: a sum, or it may be one. */
static int
put_grid (struct lay *l, struct net_node *nd, struct view *v,
          const struct steps *s, bool sum)
{
  int id, r;

  if (sum && (r = put_activation (l, nd, v, s)) < 0)
    return r;
  if (l->grids == GRIDS_IGNORE)
    return 0;
  id = lay_node (l, nd, "fake_quantize", &v->id, 1,
                 "scale=%.9g zero_point=%d keep=%s", (double) s->scale,
                 s->zero_point - least (s),
                 l->grids == GRIDS_KEEP ? "yes" : "no");
  if (id < 0)
    return id;
  v->id = id;
  return 0;
}

/* V on the grid that SCALE and ZERO say, where it is one of ours. */
static int
round_to (struct lay *l, struct net_node *nd, struct view *v, int scale,
          int zero, bool sum, struct steps *s)
{
  char why[80];
  int r = read_steps (l, nd, scale, zero, s, why);

  if (r == 0)
    return put_grid (l, nd, v, s, sum);
  if (r == 1) {
    qk_graph_warn (l->g,
                   "%s: node '" NAME "' (%s): its grid %s: the tensor stays "
                   "float, its grid is derived anew",
                   l->n->file->path, nd->name, nd->op, why);
    s->scale = 1; /* of integers, whatever they are */
    s->zero_point = 0;
    r = 0;
  }
  return r;
}

/* Attributes that QuantizeLinear and DequantizeLinear share, and that the first
 * output and two inputs are there. */
static int
check_node (struct lay *l, struct net_node *nd)
{
  net_attr_int (nd, "axis", 1); /* of several scales */
  net_attr_int (nd, "output_dtype", 0);
  if (net_attr_int (nd, "block_size", 0) != 0)
    return net_error (l->n, nd, -ENOTSUP, "block_size is given");
  if (nd->n_in < 2 || nd->in[0] < 0 || nd->in[1] < 0 || nd->out[0] < 0)
    return net_error (l->n, nd, -EBADMSG, "%d inputs, expected 2 or 3",
                      nd->n_in);
  return 0;
}

int
lay_quantize (struct lay *l, struct net_node *nd)
{
  const int zero = nd->n_in > 2 ? nd->in[2] : -1;
  struct view v;
  int r;

  net_attr_int (nd, "saturate", 1);
  net_attr_int (nd, "precision", 0);
  if ((r = check_node (l, nd)) < 0 || (r = lay_input (l, nd, 0, &v)) < 0
      || (r = round_to (l, nd, &v, nd->in[1], zero, makes_sums (l, nd->in[0]),
                        &l->n->value[nd->out[0]].steps))
           < 0)
    return r;
  lay_output (l, nd, 0, &v);
  return 0;
}

/* QuantizeLinear and DequantizeLinear in one. */
int
lay_fake_quantize (struct lay *l, struct net_node *nd)
{
  struct steps s = { 0 };
  struct view v;
  int r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = round_to (l, nd, &v, nd->in[1], nd->n_in > 2 ? nd->in[2] : -1,
                        false, &s))
           < 0)
    return r;
  lay_output (l, nd, 0, &v);
  return 0;
}

int
lay_round (struct lay *l, struct net_node *nd)
{
  struct net_value *out = &l->n->value[nd->out[0]];
  struct view v = out->view;
  const int r = round_to (l, nd, &v, nd->y_scale, nd->y_zero,
                          makes_sums (l, nd->out[0]), &out->steps);

  if (r == 0)
    out->view = v;
  return r;
}

/* ---- integers -------------------------------------------------------------------- */

bool
lay_reads_integers (const struct lay *l, const struct net_node *nd)
{
  int i;

  if (nd->on_integers)
    return false; /* seen to by qlinear.c */
  for (i = 0; i < nd->n_in; i++)
    if (nd->in[i] >= 0 && l->n->value[nd->in[i]].steps.scale > 0)
      return true;
  return false;
}

static bool
same_steps (const struct steps *a, const struct steps *b)
{
  return net_same_scale (a->scale, b->scale) && a->zero_point == b->zero_point
         && a->type == b->type;
}

/* Bounds of integers as bounds of the reals they stand for. */
static int
clip_integers (struct lay *l, struct net_node *nd, const struct steps *s)
{
  double lo = -INFINITY, hi = INFINITY;
  char text[96] = "";
  struct view v;
  int id, r;

  if ((nd->n_in > 1 && nd->in[1] >= 0 && !net_scalar (l->n, nd->in[1], &lo))
      || (nd->n_in > 2 && nd->in[2] >= 0 && !net_scalar (l->n, nd->in[2], &hi))
      || lo > hi)
    return net_error (l->n, nd, -ENOTSUP, "its bounds are no constants");
  if ((r = lay_input (l, nd, 0, &v)) < 0)
    return r;
  if (lo > least (s))
    snprintf (text, sizeof text, "min=%.9g ",
              (double) ((float) (lo - s->zero_point) * s->scale));
  if (hi < least (s) + 255)
    snprintf (text + strlen (text), sizeof text - strlen (text), "max=%.9g",
              (double) ((float) (hi - s->zero_point) * s->scale));
  id = *text == '\0' ? v.id : lay_node (l, nd, "clip", &v.id, 1, "%s", text);
  return lay_result (l, nd, v, id);
}

int
lay_integers (struct lay *l, struct net_node *nd, const struct net_op *op)
{
  const struct steps *s = NULL;
  int i, r;

  for (i = 0; i < nd->n_in; i++) {
    const struct net_value *v = nd->in[i] < 0 ? NULL : &l->n->value[nd->in[i]];

    if (v == NULL || (v->view.id < 0 && i > 0))
      continue;
    if (s != NULL && !same_steps (s, &v->steps))
      return net_error (l->n, nd, -ENOTSUP,
                        "its inputs are integers of different grids");
    s = &v->steps;
  }
  if (strcmp (nd->op, "DequantizeLinear") == 0)
    return op->lay (l, nd);
  if (s != NULL && strcmp (nd->op, "Clip") == 0)
    r = clip_integers (l, nd, s);
  else {
    if (s == NULL
        || !(net_moves (nd) || strcmp (nd->op, "MaxPool") == 0
             || strcmp (nd->op, "Concat") == 0))
      return net_error (l->n, nd, -ENOTSUP,
                        "computes on integers, expected DequantizeLinear "
                        "before it");
    r = op->lay (l, nd);
  }
  for (i = 0; r == 0 && i < nd->n_out; i++)
    if (nd->out[i] >= 0)
      l->n->value[nd->out[i]].steps = *s;
  return r;
}

int
lay_dequantize (struct lay *l, struct net_node *nd)
{
  const struct steps *in;
  struct steps s;
  struct view v;
  char why[80];
  int r;

  if ((r = check_node (l, nd)) < 0 || (r = lay_input (l, nd, 0, &v)) < 0
      || (r = read_steps (l, nd, nd->in[1], nd->n_in > 2 ? nd->in[2] : -1, &s,
                          why))
           < 0)
    return r;
  in = &l->n->value[nd->in[0]].steps;
  if (in->scale == 0)
    return net_error (l->n, nd, -ENOTSUP,
                      "its input is made by no QuantizeLinear");
  if (r == 0
      && (!net_same_scale (s.scale, in->scale)
          || s.zero_point != in->zero_point))
    return net_error (l->n, nd, -ENOTSUP,
                      "reads with scale %g and zero point %d what was made "
                      "with %g and %d",
                      (double) s.scale, s.zero_point, (double) in->scale,
                      in->zero_point);
  lay_output (l, nd, 0, &v);
  l->n->value[nd->out[0]].grid = r == 0 ? *in : (struct steps){ 0 };
  return 0;
}

/* The grid that output 0 of ND is put on, by what reads it or by ND itself;
 * false: none, or not by all. */
static bool
grid_behind (struct lay *l, struct net_node *nd, struct steps *s)
{
  const struct net *n = l->n;
  char why[80];
  int i;

  if (nd->y_scale >= 0)
    return read_steps (l, nd, nd->y_scale, nd->y_zero, s, why) == 0;
  if (n->value[nd->out[0]].uses != 1)
    return false;
  for (i = (int) (nd - n->node) + 1; i < n->n_nodes; i++) {
    struct net_node *q = &n->node[i];

    if (!q->gone && q->n_in > 1 && q->in[0] == nd->out[0]
        && strcmp (q->op, "QuantizeLinear") == 0)
      return read_steps (l, q, q->in[1], q->n_in > 2 ? q->in[2] : -1, s, why)
             == 0;
  }
  return false;
}

bool
lay_changes_grid (struct lay *l, struct net_node *nd)
{
  const struct net_value *in;
  const struct steps *from;
  struct steps to;

  if (l->grids != GRIDS_KEEP || nd->n_in < 1 || nd->in[0] < 0
      || nd->out[0] < 0)
    return false;
  in = &l->n->value[nd->in[0]];
  from = nd->on_integers ? &in->steps : &in->grid;
  return from->scale > 0 && grid_behind (l, nd, &to)
         && !same_steps (from, &to);
}

/* ---- constants -------------------------------------------------------------------- */

/* Transpose nodes that are looked through. */
#define MOST_TURNS 8

/* Before node ND, a Transpose, each axis of what is behind it is FROM's. */
static bool
turn_back (struct net_node *nd, int ndim, int *from)
{
  int64_t perm[QK_MAX_DIMS];
  const int count = net_attr_ints (nd, "perm", perm, QK_MAX_DIMS);
  int i;

  for (i = 0; i < ndim; i++) {
    const int64_t to = count < 0         ? ndim - 1 - from[i]
                       : from[i] < count ? perm[from[i]]
                                         : -1;

    if (to < 0 || to >= ndim)
      return false;
    from[i] = (int) to;
  }
  return true;
}

/* The scales of constant VALUE, *AXIS being along which of its axes; NULL: it
 * was not dequantized, or something was computed with it since. */
static const struct onnx_const *
scales_of (struct lay *l, int value, int *axis)
{
  struct net *n = l->n;
  const struct onnx_const *c;
  int from[QK_MAX_DIMS], ndim, i, turns;

  *axis = -1;
  if (net_known (n, value, &c) < 0 || c == NULL)
    return NULL;
  ndim = c->shape.ndim;
  for (i = 0; i < ndim; i++)
    from[i] = i;
  for (turns = 0; n->value[value].scale < 0; turns++) {
    const int p = n->value[value].producer;

    if (p < 0 || turns == MOST_TURNS || n->node[p].n_in < 1
        || n->node[p].in[0] < 0
        || (strcmp (n->node[p].op, "Transpose") == 0
              ? !turn_back (&n->node[p], ndim, from)
              : strcmp (n->node[p].op, "Identity") != 0))
      return NULL;
    value = n->node[p].in[0];
  }
  for (i = 0; i < ndim; i++)
    if (from[i] == n->value[value].axis)
      *axis = i;
  return net_known (n, n->value[value].scale, &c) < 0 ? NULL : c;
}

/* Whether all of DATA are integers of int8 times SCALE. */
static bool
lies_on (const float *data, int64_t n, float scale)
{
  int64_t i;

  if (!(scale > 0) || !isfinite (1 / scale))
    return false;
  for (i = 0; i < n; i++) {
    const float x = data[i] / scale, k = rintf (x);

    if (!(k >= -128 && k <= 127 && fabsf (x - k) < 1e-3f))
      return false;
  }
  return true;
}

int
lay_keep_grid (struct lay *l, const struct net_node *nd, int id,
               const char *param, int value, int axis, const float *data,
               int64_t channels, int64_t per)
{
  const char *why = NULL;
  int along;
  const struct onnx_const *s = scales_of (l, value, &along);
  int64_t k;
  int r;

  if (s == NULL || !s->real || l->grids != GRIDS_KEEP)
    return 0;
  if (s->n != 1 && (s->n != channels || along != axis))
    why = "have scales along another axis than the outputs'";
  for (k = 0; why == NULL && k < channels; k++)
    if (!lies_on (data + k * per, per, s->f[s->n > 1 ? k : 0]))
      why = "have a zero point, or are of more than 8 bits";
  if (why != NULL) {
    qk_graph_warn (l->g,
                   "%s: node '" NAME "' (%s): its weights %s, which int8 "
                   "weights have not here: their grid is derived anew",
                   l->n->file->path, nd->name, nd->op, why);
    return 0;
  }
  r = qk_graph_fill_grid (l->g, id, param, s->n, s->f);
  return r < 0 ? qk_error_prefix (r, "%s: ", l->n->file->path) : 0;
}

int
lay_constant_grid (struct lay *l, struct net_node *nd, int value, int id)
{
  const struct net_value *v = &l->n->value[value];
  struct steps s;
  char why[80];

  if (l->grids == GRIDS_IGNORE || v->scale < 0
      || read_steps (l, nd, v->scale, v->zero, &s, why) != 0)
    return id;
  if (v->zero < 0)
    s.type = v->type;
  return lay_helper (l, nd, "fake_quantize", id,
                     "scale=%.9g zero_point=%d keep=%s", (double) s.scale,
                     s.zero_point - least (&s),
                     l->grids == GRIDS_KEEP ? "yes" : "no");
}
