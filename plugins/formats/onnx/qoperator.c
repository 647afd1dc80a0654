/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qoperator.c: from QDQ to QOperator form, in which nodes take and give
 * integers:
 *
 *   Q (Conv (DQ (x), DQ (w), DQ (bias)))  ->  QLinearConv (x, w, bias)
 *   Q (Reshape (DQ (x)))                  ->  Reshape (x)
 *
 * The operators are those of ONNX where it has them, else those of
 * com.microsoft, which ONNX Runtime's own tools write too.  What has no such
 * operator stays in float between DequantizeLinear and QuantizeLinear.
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "edit.h"

/* ---- who makes a tensor -------------------------------------------------- */

struct made {
  const char *name;
  Onnx__NodeProto *by;
  const char *now; /* what is read instead; NULL: itself */
  bool rescaled;   /* integers that are read on another grid */
};

struct form {
  struct onnx_build *b;
  struct made *made; /* ordered by name */
  size_t n_made;
};

static int
by_name (const void *a, const void *b)
{
  return strcmp (((const struct made *) a)->name,
                 ((const struct made *) b)->name);
}

static struct made *
find (const struct form *f, const char *name)
{
  const struct made key = { .name = name };

  return bsearch (&key, f->made, f->n_made, sizeof key, by_name);
}

/* The node OP that makes NAME; NULL if another one does. */
static Onnx__NodeProto *
maker (const struct form *f, const char *name, const char *op)
{
  const struct made *m = find (f, name);

  return m != NULL && strcmp (m->by->op_type, op) == 0 ? m->by : NULL;
}

static Onnx__NodeProto *
dequantizer (const struct form *f, const char *name)
{
  return maker (f, name, "DequantizeLinear");
}

static bool
same_grid (const struct form *f, const Onnx__NodeProto *x,
           const Onnx__NodeProto *y)
{
  return onnx_equal_constants (f->b, x->input[1], y->input[1])
         && onnx_equal_constants (f->b, x->input[2], y->input[2]);
}

/* ---- operators on integers ----------------------------------------------- */

/* What follows what among the inputs; a tensor comes with scale and zero
 * point. */
enum order {
  TENSORS_RESULT,
  TENSORS_RESULT_BIAS,
  TENSORS_BIAS_RESULT,
  RESULT_TENSORS
};

struct integer_op {
  const char *from, *to;
  bool microsoft;
  enum order order;
};

static const struct integer_op *
integer_op (const char *op)
{
  static const struct integer_op all[]
    = { { "Conv", "QLinearConv", false, TENSORS_RESULT_BIAS },
        { "MatMul", "QLinearMatMul", false, TENSORS_RESULT },
        { "Gemm", "QGemm", true, TENSORS_BIAS_RESULT },
        { "Add", "QLinearAdd", true, TENSORS_RESULT },
        { "Mul", "QLinearMul", true, TENSORS_RESULT },
        { "Concat", "QLinearConcat", true, RESULT_TENSORS },
        { "Sigmoid", "QLinearSigmoid", true, TENSORS_RESULT },
        { "LeakyRelu", "QLinearLeakyRelu", true, TENSORS_RESULT } };

  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strcmp (op, all[i].from) == 0)
      return &all[i];
  return NULL;
}

/* Append the first COUNT inputs of NODE from its input FIRST on to ALL. */
static void
take (char **all, size_t *n, const Onnx__NodeProto *node, size_t first,
      size_t count)
{
  for (size_t i = 0; i < count; i++)
    all[(*n)++] = node->input[first + i];
}

/* RESULT becomes what NODE computes, on integers: scale and zero point of its
 * output are its inputs from 1 on, or it is NODE itself and its output is real.
 * False: there is no such operator. */
static bool
join (struct form *f, Onnx__NodeProto *result, const Onnx__NodeProto *node)
{
  const struct integer_op *op = integer_op (node->op_type);
  const bool real = result == node;
  const bool bias = op != NULL && node->n_input == 3
                    && (op->order == TENSORS_RESULT_BIAS
                        || op->order == TENSORS_BIAS_RESULT);
  const size_t tensors = node->n_input - (bias ? 1 : 0);
  size_t n = 0, i;
  char **all;

  if (op == NULL || (real && op->order != TENSORS_BIAS_RESULT))
    return false;
  for (i = 0; i < node->n_input; i++)
    if (dequantizer (f, node->input[i]) == NULL)
      return false;
  all = onnx_alloc (f->b, (3 * node->n_input + 3) * sizeof *all);
  if (all == NULL)
    return false;
  if (op->order == RESULT_TENSORS)
    take (all, &n, result, 1, 2);
  for (i = 0; i < tensors; i++)
    take (all, &n, dequantizer (f, node->input[i]), 0, 3);
  if (bias && op->order == TENSORS_BIAS_RESULT)
    take (all, &n, dequantizer (f, node->input[tensors]), 0, 1);
  else if (op->order == TENSORS_BIAS_RESULT)
    all[n++] = onnx_name (f->b, "%s", "");
  if (op->order != RESULT_TENSORS && !real)
    take (all, &n, result, 1, 2);
  if (bias && op->order == TENSORS_RESULT_BIAS)
    take (all, &n, dequantizer (f, node->input[tensors]), 0, 1);

  result->input = all;
  result->n_input = n;
  result->op_type = onnx_name (f->b, "%s", op->to);
  result->name = onnx_name (f->b, "%s.%s", result->output[0], op->to);
  result->attribute = node->attribute;
  result->n_attribute = node->n_attribute;
  if (op->microsoft)
    result->domain = onnx_name (f->b, "%s", ONNX_MICROSOFT);
  return true;
}

/* ---- moving --------------------------------------------------------------- */

/* Operators that hand on elements of their first input and make none. */
static bool
moves (const Onnx__NodeProto *node)
{
  static const char *const all[]
    = { "Reshape", "Transpose",    "Flatten",     "Squeeze", "Unsqueeze",
        "Slice",   "Gather",       "Identity",    "Expand",  "MaxPool",
        "Tile",    "DepthToSpace", "SpaceToDepth" };

  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strcmp (node->op_type, all[i]) == 0)
      return node->n_output == 1;
  return false;
}

/* NODE works on the integers that D made reals of, and D follows it. */
static void
swap (struct form *f, Onnx__NodeProto *node, const Onnx__NodeProto *d)
{
  const char *out = node->output[0];
  const char *in[3]
    = { onnx_name (f->b, "%s/integers", out), d->input[1], d->input[2] };
  struct made *m = find (f, out);

  node->input[0] = d->input[0];
  node->output[0] = onnx_name (f->b, "%s", in[0]);
  node->name = onnx_name (f->b, "%s.%s", in[0], node->op_type);
  onnx_append_node (f->b, node);
  m->by = onnx_node (f->b, "DequantizeLinear", out, 3, in);
}

/* A mean is rounded on a grid of its own (put_integers), which those who read
 * the file know by QuantizeLinear and DequantizeLinear around it. */
static bool
is_rescaled (const struct form *f, const char *name)
{
  const struct made *m = find (f, name);

  return m != NULL && m->rescaled;
}

static void
note_rescaled (struct form *f, const Onnx__NodeProto *node)
{
  struct made *m;

  if (strcmp (node->op_type, "DequantizeLinear") == 0
      && (m = find (f, node->input[0])) != NULL
      && strcmp (m->by->op_type, "QuantizeLinear") == 0)
    m->rescaled = !same_grid (f, m->by, node);
}

/* ---- the whole -------------------------------------------------------------- */

static void
put (struct form *f, Onnx__NodeProto *node)
{
  const Onnx__NodeProto *d;
  const struct made *m;

  for (size_t i = 0; i < node->n_input; i++)
    if ((m = find (f, node->input[i])) != NULL && m->now != NULL)
      node->input[i] = onnx_name (f->b, "%s", m->now);
  d = node->n_input > 0 ? dequantizer (f, node->input[0]) : NULL;
  if (strcmp (node->op_type, "QuantizeLinear") == 0) {
    if (d != NULL && same_grid (f, node, d) && !is_rescaled (f, d->input[0])
        && !is_rescaled (f, node->output[0])) {
      find (f, node->output[0])->now = d->input[0];
      return;
    }
    if ((m = find (f, node->input[0])) != NULL)
      join (f, node, m->by);
  } else if (d != NULL && moves (node)) {
    swap (f, node, d);
    return;
  }
  onnx_append_node (f->b, node);
}

/* Who makes what, of the N nodes OLD. */
static void
form_init (struct form *f, Onnx__NodeProto *const *old, size_t n)
{
  size_t outputs = 0, i, j;

  for (i = 0; i < n; i++)
    outputs += old[i]->n_output;
  f->made = onnx_alloc (f->b, (outputs + 1) * sizeof *f->made);
  for (i = 0; f->made != NULL && i < n; i++)
    for (j = 0; j < old[i]->n_output; j++) {
      f->made[f->n_made].name = old[i]->output[j];
      f->made[f->n_made++].by = old[i];
    }
  if (f->made == NULL)
    return;
  qsort (f->made, f->n_made, sizeof *f->made, by_name);
  for (i = 0; i < n; i++)
    note_rescaled (f, old[i]);
}

int
onnx_to_qoperator (struct onnx_build *b)
{
  const size_t n = b->graph.n_node;
  Onnx__NodeProto **old = onnx_alloc (b, (n + 1) * sizeof *old);
  struct form f = { .b = b };

  if (old == NULL)
    return b->error;
  if (n > 0)
    memcpy (old, b->graph.node, n * sizeof *old);
  form_init (&f, old, n);
  b->graph.n_node = 0;
  for (size_t i = 0; i < n && b->error == 0; i++)
    put (&f, old[i]);
  onnx_prune (b);
  /* those left are read as reals */
  for (size_t i = 0; i < b->graph.n_node && b->error == 0; i++)
    join (&f, b->graph.node[i], b->graph.node[i]);
  onnx_prune (b);
  return b->error;
}
