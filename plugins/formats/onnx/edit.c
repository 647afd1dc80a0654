/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* edit.c: changes to a graph that has been built. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "edit.h"

const Onnx__TensorProto *
onnx_find_constant (const struct onnx_build *b, const char *name)
{
  for (size_t i = 0; i < b->graph.n_initializer; i++)
    if (strcmp (b->graph.initializer[i]->name, name) == 0)
      return b->graph.initializer[i];
  return NULL;
}

const Onnx__NodeProto *
onnx_find_maker (const struct onnx_build *b, const char *name)
{
  for (size_t i = b->graph.n_node; i-- > 0;)
    for (size_t j = 0; j < b->graph.node[i]->n_output; j++)
      if (strcmp (b->graph.node[i]->output[j], name) == 0)
        return b->graph.node[i];
  return NULL;
}

bool
onnx_equal_constants (const struct onnx_build *b, const char *x, const char *y)
{
  const Onnx__TensorProto *s = onnx_find_constant (b, x);
  const Onnx__TensorProto *t = onnx_find_constant (b, y);

  return s != NULL && t != NULL && s->data_type == t->data_type
         && s->n_dims == t->n_dims && s->raw_data.len == t->raw_data.len
         && (s->n_dims == 0
             || memcmp (s->dims, t->dims, s->n_dims * sizeof *s->dims) == 0)
         && memcmp (s->raw_data.data, t->raw_data.data, s->raw_data.len) == 0;
}

void
onnx_read_instead (struct onnx_build *b, const char *from, const char *to)
{
  for (size_t i = 0; i < b->graph.n_node; i++) {
    Onnx__NodeProto *n = b->graph.node[i];

    for (size_t j = 0; j < n->n_input; j++)
      if (strcmp (n->input[j], from) == 0)
        n->input[j] = onnx_name (b, "%s", to);
  }
}

void
onnx_write_instead (struct onnx_build *b, const char *from, const char *to)
{
  onnx_read_instead (b, from, to);
  for (size_t i = 0; i < b->graph.n_node; i++) {
    Onnx__NodeProto *n = b->graph.node[i];

    for (size_t j = 0; j < n->n_output; j++)
      if (strcmp (n->output[j], from) == 0)
        n->output[j] = onnx_name (b, "%s", to);
  }
}

/* ---- what nothing depends on -------------------------------------------- */

static int
by_text (const void *a, const void *b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static bool
is_read (const char *name, const char *const *read, size_t n)
{
  return bsearch (&name, read, n, sizeof *read, by_text) != NULL;
}

/* The names that the nodes and the graph's outputs read, in order, in *READ,
 * to be freed; returns their number. */
static size_t
all_read (struct onnx_build *b, const char ***read)
{
  const Onnx__GraphProto *g = &b->graph;
  size_t n = g->n_output, i, j;

  for (i = 0; i < g->n_node; i++)
    n += g->node[i]->n_input;
  if ((*read = malloc ((n + 1) * sizeof **read)) == NULL) {
    b->error = qk_oom ("onnx");
    return 0;
  }
  n = 0;
  for (i = 0; i < g->n_node; i++)
    for (j = 0; j < g->node[i]->n_input; j++)
      (*read)[n++] = g->node[i]->input[j];
  for (i = 0; i < g->n_output; i++)
    (*read)[n++] = g->output[i]->name;
  qsort (*read, n, sizeof **read, by_text);
  return n;
}

static bool
node_is_read (const Onnx__NodeProto *node, const char *const *read, size_t n)
{
  for (size_t i = 0; i < node->n_output; i++)
    if (is_read (node->output[i], read, n))
      return true;
  return false;
}

void
onnx_prune (struct onnx_build *b)
{
  Onnx__GraphProto *g = &b->graph;
  size_t before = g->n_node + 1, i, k, n;
  const char **read;

  /* a node that is gone reads nothing: again, until none goes */
  while (before > g->n_node) {
    before = g->n_node;
    n = all_read (b, &read);
    if (b->error < 0)
      return;
    for (i = k = 0; i < g->n_node; i++)
      if (node_is_read (g->node[i], read, n))
        g->node[k++] = g->node[i];
    g->n_node = k;
    for (i = k = 0; i < g->n_initializer; i++)
      if (is_read (g->initializer[i]->name, read, n))
        g->initializer[k++] = g->initializer[i];
    g->n_initializer = k;
    free (read);
  }
}

/* ---- operator set 21 --------------------------------------------------- */

#define OPSET 21
#define IR_VERSION 10

/* Axes are an input since set 18; of ReduceSum they were before. */
static void
move_axes (struct onnx_build *b, Onnx__NodeProto *n)
{
  const char *both[2] = { n->input[0], "" };
  char **input = onnx_alloc (b, 2 * sizeof *input);

  for (size_t i = 0; input != NULL && i < n->n_attribute; i++) {
    const Onnx__AttributeProto *a = n->attribute[i];
    const int64_t count = (int64_t) a->n_ints;

    if (strcmp (a->name, "axes") != 0)
      continue;
    both[1] = onnx_constant (b, onnx_name (b, "%s/axes", n->output[0]), QK_I64,
                             1, &count, a->ints);
    input[0] = (char *) both[0];
    input[1] = onnx_name (b, "%s", both[1]);
    n->input = input;
    n->n_input = 2;
    n->attribute[i] = n->attribute[--n->n_attribute];
    return;
  }
}

void
onnx_raise (struct onnx_build *b)
{
  for (size_t i = 0; i < b->graph.n_node && b->error == 0; i++) {
    Onnx__NodeProto *n = b->graph.node[i];

    if (strncmp (n->op_type, "Reduce", 6) == 0 && n->n_input == 1)
      move_axes (b, n);
  }
  b->opset = OPSET;
  b->ir_version = IR_VERSION;
}
