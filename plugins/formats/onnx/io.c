/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.c: integers as inputs and outputs of a graph that had reals there. */
#include "config.h"

#include <jansson.h>
#include <string.h>

#include "edit.h"

/* NAME's type is TYPE's. */
static void
set_type (Onnx__ValueInfoProto *v, enum onnx_io type)
{
  v->type->tensor_type->elem_type = type == ONNX_IO_INT8
                                      ? ONNX__TENSOR_PROTO__DATA_TYPE__INT8
                                      : ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
}

/* The zero point of uint8 NAME. */
static int
zero_point (const struct onnx_build *b, const char *name)
{
  return onnx_find_constant (b, name)->raw_data.data[0];
}

/* That of NODE as int8, a constant called after TENSOR. */
static const char *
put_signed_zero (struct onnx_build *b, const Onnx__NodeProto *node,
                 const char *tensor)
{
  const int8_t zp = (int8_t) (zero_point (b, node->input[2]) - 128);

  return onnx_scalar (b, onnx_name (b, "%s/int8_zero_point", tensor), QK_I8,
                      &zp);
}

/* GRIDS gets the grid of NODE, which quantizes or dequantizes NAME. */
static void
note (struct onnx_build *b, json_t *grids, const char *name,
      const Onnx__NodeProto *node, enum onnx_io type)
{
  const Onnx__TensorProto *s = onnx_find_constant (b, node->input[1]);
  const int zp
    = zero_point (b, node->input[2]) - (type == ONNX_IO_INT8 ? 128 : 0);
  json_t *grid = json_object ();
  float scale;

  memcpy (&scale, s->raw_data.data, sizeof scale);
  json_object_set_new (grid, "scale", json_real ((double) scale));
  json_object_set_new (grid, "zero_point", json_integer (zp));
  if (json_object_set_new (grids, name, grid) < 0)
    b->error = qk_oom ("onnx: '%s'", name);
}

/* ---- inputs --------------------------------------------------------------- */

/* The node that quantizes the input NAME; NULL if another node reads it. */
static Onnx__NodeProto *
only_quantizer (const struct onnx_build *b, const char *name)
{
  Onnx__NodeProto *found = NULL;

  for (size_t i = 0; i < b->graph.n_node; i++) {
    Onnx__NodeProto *n = b->graph.node[i];

    for (size_t j = 0; j < n->n_input; j++)
      if (strcmp (n->input[j], name) == 0) {
        if (found != NULL || strcmp (n->op_type, "QuantizeLinear") != 0)
          return NULL;
        found = n;
      }
  }
  return found;
}

static int
integer_input (struct onnx_build *b, Onnx__ValueInfoProto *v,
               enum onnx_io type, json_t *grids)
{
  Onnx__NodeProto *q = only_quantizer (b, v->name), *d;
  const char *in[3];

  if (q == NULL)
    return qk_error (-EINVAL,
                     "input '%s' is read in float: the file cannot take "
                     "integers there",
                     v->name);
  note (b, grids, v->name, q, type);
  set_type (v, type);
  if (type == ONNX_IO_UINT8) { /* Q becomes needless */
    onnx_read_instead (b, q->output[0], v->name);
    return b->error;
  }
  in[0] = v->name;
  in[1] = q->input[1];
  in[2] = put_signed_zero (b, q, v->name);
  q->input[0] = onnx_name (b, "%s/real", v->name);
  d = onnx_node (b, "DequantizeLinear", q->input[0], 3, in);
  if (d == NULL)
    return b->error;
  /* before all that read it */
  memmove (b->graph.node + 1, b->graph.node,
           (b->graph.n_node - 1) * sizeof *b->graph.node);
  b->graph.node[0] = d;
  return 0;
}

/* ---- outputs -------------------------------------------------------------- */

static Onnx__NodeProto *
maker (const struct onnx_build *b, const char *name)
{
  for (size_t i = 0; i < b->graph.n_node; i++)
    for (size_t j = 0; j < b->graph.node[i]->n_output; j++)
      if (strcmp (b->graph.node[i]->output[j], name) == 0)
        return b->graph.node[i];
  return NULL;
}

static int
integer_output (struct onnx_build *b, Onnx__ValueInfoProto *v,
                enum onnx_io type, json_t *grids)
{
  Onnx__NodeProto *d = maker (b, v->name);
  const char *in[3];

  /* one that is computed as reals has no grid to be put on */
  if (d == NULL || strcmp (d->op_type, "DequantizeLinear") != 0)
    return 0;
  note (b, grids, v->name, d, type);
  set_type (v, type);
  d->output[0] = onnx_name (b, "%s/real", v->name);
  onnx_read_instead (b, v->name, d->output[0]);
  if (type == ONNX_IO_UINT8) {
    in[0] = d->input[0];
    onnx_node (b, "Identity", v->name, 1, in);
    return b->error;
  }
  in[0] = d->output[0];
  in[1] = d->input[1];
  in[2] = put_signed_zero (b, d, v->name);
  onnx_node (b, "QuantizeLinear", v->name, 3, in);
  return b->error;
}

int
onnx_integer_io (struct onnx_build *b, enum onnx_io type, const char **grids)
{
  json_t *all = json_object ();
  char *text;
  size_t i;
  int r = 0;

  for (i = 0; i < b->graph.n_input && r == 0; i++)
    r = integer_input (b, b->graph.input[i], type, all);
  for (i = 0; i < b->graph.n_output && r == 0; i++)
    r = integer_output (b, b->graph.output[i], type, all);
  if (r == 0) {
    onnx_prune (b);
    text = json_dumps (all, JSON_COMPACT | JSON_REAL_PRECISION (9));
    *grids = text == NULL ? "" : onnx_name (b, "%s", text);
    r = text == NULL ? qk_oom ("onnx") : b->error;
    free (text);
  }
  json_decref (all);
  return r;
}
