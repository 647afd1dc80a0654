/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-graph.c: int8 graphs to JSON and back. */
#include "config.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "graph/limits.h"
#include "graph/op-priv.h"
#include "model/json-graph.h"
#include "plugin/loader-priv.h"

/* No network of people's has more nodes. */
#define MAX_NODES 10000

/* ---- writing ----------------------------------------------------------- */

/* jansson's functions take NULL, what failed before, and fail in turn; a
 * failure must not leave something out, so each is looked at. */
static void
append (json_t *array, json_t *v, bool *failed)
{
  *failed = json_array_append_new (array, v) < 0 || *failed;
}

static void
set (json_t *object, const char *key, json_t *v, bool *failed)
{
  *failed = json_object_set_new (object, key, v) < 0 || *failed;
}

/* O, or NULL (and O freed) when one of its parts failed. */
static json_t *
whole (json_t *o, bool failed)
{
  if (!failed)
    return o;
  json_decref (o);
  return NULL;
}

static json_t *
shape_to_json (const struct qk_shape *s)
{
  json_t *a = json_array ();
  bool failed = false;
  int i;

  for (i = 0; i < s->ndim; i++)
    append (a, json_integer (s->dims[i]), &failed);
  return whole (a, failed);
}

static json_t *
value_to_json (const struct qk_value *v)
{
  json_t *o = json_object ();
  bool failed = false;

  if (v->producer < 0) {
    set (o, "name", json_string (v->name), &failed);
    set (o, "constant", json_boolean (v->constant != NULL), &failed);
  }

  set (o, "shape", shape_to_json (&v->shape), &failed);
  if (v->on_grid)
    set (o, "grid",
         json_pack ("[f,i,i,i]", (double) v->q.scale, v->q.zero_point,
                    v->q.qmin, v->q.qmax),
         &failed);
  return whole (o, failed);
}

/* The whole number that FIELD is of OP. */
static int64_t
field_value (const struct qk_op *op, const struct qk_op_field *f)
{
  const char *at = (const char *) op + f->offset;

  switch (f->type) {
  case QK_KEPT_INT64:
    return *(const int64_t *) (const void *) at;
  case QK_KEPT_BOOL:
    return *(const bool *) (const void *) at;
  default:
    return *(const int *) (const void *) at;
  }
}

static void
field_set (struct qk_op *op, const struct qk_op_field *f, int64_t v)
{
  char *at = (char *) op + f->offset;

  switch (f->type) {
  case QK_KEPT_INT64:
    *(int64_t *) (void *) at = v;
    break;
  case QK_KEPT_BOOL:
    *(bool *) (void *) at = v != 0;
    break;
  default:
    *(int *) (void *) at = (int) v;
  }
}

static json_t *
field_to_json (const struct qk_op *op, const struct qk_op_field *f)
{
  const char *at = (const char *) op + f->offset;

  return f->type == QK_KEPT_FLOAT
           ? json_real ((double) *(const float *) (const void *) at)
           : json_integer (field_value (op, f));
}

/* Field I of those that files keep of the operation of ROW; NULL: no more. */
static const struct qk_op_field *
field_at (const struct qk_op_row *row, int i)
{
  const struct qk_op_field *f;
  size_t list;

  for (list = 0; list < 4 && row->field[list] != NULL; list++)
    for (f = row->field[list]; f->name != NULL; f++)
      if (i-- == 0)
        return f;
  return NULL;
}

static json_t *
op_to_json (const struct qk_op *op)
{
  const struct qk_op_row *row = qk_op_row (op->kind);
  const struct qk_op_field *f;
  json_t *o = json_object ();
  bool failed = false;
  int i;

  set (o, "kind", json_string (row->name), &failed);
  for (i = 0; (f = field_at (row, i)) != NULL; i++)
    set (o, f->name, field_to_json (op, f), &failed);
  return whole (o, failed);
}

static json_t *
inputs_to_json (const struct qk_node *n)
{
  json_t *a = json_array ();
  bool failed = false;
  int i;

  for (i = 0; i < n->n_in; i++)
    append (a, json_integer (n->in[i]), &failed);
  return whole (a, failed);
}

static json_t *
absorbed_to_json (const struct qk_node *n)
{
  json_t *a = json_array ();
  bool failed = false;
  int i;

  for (i = 0; i < n->n_absorbed; i++)
    append (a,
            json_pack ("[s,s,s]", n->absorbed[i].name, n->absorbed[i].layer,
                       n->absorbed[i].options),
            &failed);
  return whole (a, failed);
}

static json_t *
node_to_json (const struct qk_node *n)
{
  json_t *o = json_object ();
  bool failed = false;

  set (o, "name", json_string (n->name), &failed);
  set (o, "layer", json_string (n->layer_name), &failed);
  set (o, "options", json_string (n->options), &failed);
  set (o, "in", inputs_to_json (n), &failed);
  set (o, "out", json_integer (n->out), &failed);
  if (n->lowered)
    set (o, "op", op_to_json (&n->op), &failed);
  else
    set (o, "absorbed", absorbed_to_json (n), &failed);
  return whole (o, failed);
}

static json_t *
output_to_json (const struct qk_output *o)
{
  return o->batch_axis == 0
           ? json_pack ("{s:s,s:i}", "name", o->name, "value", o->value)
           : json_pack ("{s:s,s:i,s:i}", "name", o->name, "value", o->value,
                        "batch_axis", o->batch_axis);
}

int
qk_graph_to_json (const struct qk_graph *g, char **out)
{
  json_t *values = json_array (), *nodes = json_array ();
  json_t *outputs = json_array ();
  json_t *root = json_object ();
  bool failed = false;
  int i;

  for (i = 0; i < g->n_values; i++)
    append (values, value_to_json (&g->value[i]), &failed);
  for (i = 0; i < g->n_nodes; i++)
    append (nodes, node_to_json (&g->node[i]), &failed);
  set (root, "values", values, &failed);
  set (root, "nodes", nodes, &failed);
  for (i = 0; i < g->n_outputs; i++)
    append (outputs, output_to_json (&g->output[i]), &failed);
  set (root, "outputs", outputs, &failed);
  root = whole (root, failed);
  *out = root == NULL
           ? NULL
           : qk_json_text (root, JSON_COMPACT | JSON_REAL_PRECISION (17));
  json_decref (root);
  return *out == NULL ? qk_oom ("graph") : 0;
}

/* ---- reading ------------------------------------------------------------ */

/* What stands where WHAT was expected. */
static int
not_an_integer (const json_t *j, int64_t min, int64_t max, const char *what)
{
  static const char *const types[]
    = { [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",
        [JSON_STRING] = "text",      [JSON_REAL] = "a fraction",
        [JSON_TRUE] = "true",        [JSON_FALSE] = "false",
        [JSON_NULL] = "null" };
  char found[24];

  snprintf (found, sizeof found, "%lld", (long long) json_integer_value (j));
  return qk_error (-EBADMSG,
                   "graph: '%s' is not an integer in %lld..%lld but %s", what,
                   (long long) min, (long long) max,
                   j == NULL             ? "missing"
                   : json_is_integer (j) ? found
                                         : types[json_typeof (j)]);
}

/* Integer KEY of an object (or element I of an array), min <= v <= max. */
static int
get_int (const json_t *j, int64_t min, int64_t max, const char *what,
         int64_t *out)
{
  if (!json_is_integer (j) || json_integer_value (j) < min
      || json_integer_value (j) > max)
    return not_an_integer (j, min, max, what);
  *out = json_integer_value (j);
  return 0;
}

static int
get_string (const json_t *o, const char *key, const char **out)
{
  *out = json_string_value (json_object_get (o, key));
  if (*out == NULL)
    return qk_error (-EBADMSG, "graph: a node's '%s' is not text", key);
  return 0;
}

static int
shape_from_json (const json_t *j, struct qk_shape *s)
{
  const size_t n = json_array_size (j);
  int64_t count = 1;
  size_t i;
  int r;

  memset (s, 0, sizeof *s);
  if (n < 1 || n > QK_MAX_DIMS)
    return qk_error (-EBADMSG,
                     "graph: a shape of %zu dimensions, expected 1 "
                     "to %d",
                     n, QK_MAX_DIMS);
  s->ndim = (int) n;
  for (i = 0; i < n; i++) {
    r = get_int (json_array_get (j, i), 1, 1 << 24, "shape", &s->dims[i]);
    if (r < 0)
      return r;
    count *= s->dims[i];
    if (count > QK_LIMIT_VALUE)
      return qk_error (-EBADMSG, "graph: a tensor of more than %lld elements",
                       (long long) QK_LIMIT_VALUE);
  }
  if (s->dims[0] != 1)
    return qk_error (
      -EBADMSG, "graph: a shape whose first dimension, the batch, is not 1");
  return 0;
}

static int
grid_from_json (const json_t *j, struct qk_qparams *q)
{
  int64_t zp, qmin, qmax;
  int r;

  if (json_array_size (j) != 4 || !json_is_number (json_array_get (j, 0)))
    return qk_error (
      -EBADMSG,
      "graph: the quantization of a tensor is not [scale, zero_point, "
      "qmin, qmax]");
  if ((r = get_int (json_array_get (j, 1), 0, QK_U16_MAX, "zero_point", &zp))
        < 0
      || (r = get_int (json_array_get (j, 2), 0, QK_U16_MAX, "qmin", &qmin))
           < 0
      || (r = get_int (json_array_get (j, 3), 0, QK_U16_MAX, "qmax", &qmax))
           < 0)
    return r;
  q->scale = (float) json_number_value (json_array_get (j, 0));
  q->zero_point = (int32_t) zp;
  q->qmin = (int32_t) qmin;
  q->qmax = (int32_t) qmax;
  if (!isfinite (q->scale) || q->scale <= 0)
    return qk_error (-EBADMSG, "graph: scale %g is not positive",
                     (double) q->scale);
  return 0;
}

static int
field_from_json (const json_t *o, const struct qk_op_field *f,
                 struct qk_op *op)
{
  const json_t *j = json_object_get (o, f->name);
  int64_t v;
  int r;

  if (f->type == QK_KEPT_FLOAT) {
    if (!json_is_number (j))
      return qk_error (-EBADMSG, "graph: '%s' is no number", f->name);
    *(float *) (void *) ((char *) op + f->offset)
      = (float) json_number_value (j);
    return 0;
  }
  if ((r = get_int (j, 0, f->max, f->name, &v)) == 0)
    field_set (op, f, v);
  return r;
}

static int
op_from_json (const json_t *o, struct qk_op *op)
{
  const struct qk_op_field *f;
  const char *kind;
  int i, r;

  if ((r = get_string (o, "kind", &kind)) < 0)
    return r;
  if ((op->kind = qk_op_kind_find (kind)) == 0)
    return qk_error (-EBADMSG, "graph: unknown op '%s'", kind);
  for (i = 0; (f = field_at (qk_op_row (op->kind), i)) != NULL; i++)
    if ((r = field_from_json (o, f, op)) < 0)
      return r;
  return 0;
}

static int
lowered_node (struct qk_graph *g, struct qk_node *n, const json_t *o,
              const json_t *value)
{
  struct qk_shape shape;
  int i, r;

  n->lowered = n->int8 = true;
  qk_op_init (&n->op);
  n->op.name = n->name;
  n->op.n_in = n->n_in;
  for (i = 0; i < n->n_in; i++)
    n->op.in_q[i] = g->value[n->in[i]].q;
  if ((r = op_from_json (o, &n->op)) < 0)
    return r;
  if ((r = shape_from_json (json_object_get (value, "shape"), &shape)) < 0
      || (r = qk_limit_value (g, n->name, &shape)) < 0)
    return r;
  return qk_graph_add_value (g, &shape, g->n_nodes - 1);
}

/* LAYER, or the path that the user gave for the one that it is: a file must
 * not choose what code is run. */
static int
allowed_layer (struct qk_graph *g, const char *node, const char **layer)
{
  const char *given;

  if (strchr (*layer, '/') == NULL)
    return 0;
  if ((given = qk_context_given (g->ctx, *layer)) == NULL)
    return qk_error (-EPERM,
                     "graph: node '%s': layer '%s' is a path, which a model "
                     "must not choose; give it with --plugin %s if you trust "
                     "it",
                     node, *layer, *layer);
  *layer = given;
  return 0;
}

/* A node left in float: made by its layer, which gives the shape. */
static int
float_node (struct qk_graph *g, const json_t *o, const char *name,
            const char *layer, const char *options, const int *in, int n_in)
{
  const json_t *a = json_object_get (o, "absorbed");
  size_t i;
  int r;

  if ((r = allowed_layer (g, name, &layer)) < 0)
    return r;
  r = qk_graph_node (g, name, layer, in, n_in, "%s", options);
  if (r < 0)
    return r;
  for (i = 0; i < json_array_size (a); i++) {
    const json_t *e = json_array_get (a, i);
    const char *t[3];
    size_t j;

    for (j = 0; j < 3; j++)
      if ((t[j] = json_string_value (json_array_get (e, j))) == NULL)
        return qk_error (-EBADMSG,
                         "graph: node '%s': 'absorbed' is not a "
                         "list of three texts",
                         name);
    if ((r = allowed_layer (g, name, &t[1])) < 0)
      return r;
    r = qk_graph_absorb (g, g->n_nodes - 1, t[0], t[1], t[2]);
    if (r < 0)
      return qk_error_prefix (r, "graph: node '%s': ", name);
  }
  return 0;
}

static int
node_from_json (struct qk_graph *g, const json_t *o, const json_t *values)
{
  const json_t *j = json_object_get (o, "in"), *op, *value, *grid;
  const char *name, *layer, *options;
  const size_t n_in = json_array_size (j);
  int in[QK_OP_MAX_INPUTS], r, index;
  struct qk_value *v;
  int64_t x;
  size_t i;

  if ((r = get_string (o, "name", &name)) < 0
      || (r = get_string (o, "layer", &layer)) < 0
      || (r = get_string (o, "options", &options)) < 0)
    return r;
  if (n_in < 1 || n_in > QK_OP_MAX_INPUTS)
    return qk_error (-EBADMSG, "graph: node '%s' has %zu inputs", name, n_in);
  for (i = 0; i < n_in; i++) {
    r = get_int (json_array_get (j, i), 0, g->n_values - 1, "in", &x);
    if (r < 0)
      return r;
    in[i] = (int) x;
  }
  r = get_int (json_object_get (o, "out"), g->n_values, g->n_values, "out",
               &x);
  if (r < 0)
    return r;
  value = json_array_get (values, (size_t) x);
  grid = json_object_get (value, "grid");
  op = json_object_get (o, "op");
  if (op == NULL)
    r = float_node (g, o, name, layer, options, in, (int) n_in);
  else {
    const char *kind = json_string_value (json_object_get (op, "kind"));
    const bool dynamic
      = kind != NULL && qk_op_kind_find (kind) == QK_OP_LINEAR_DYNAMIC;

    for (i = 0; i < n_in; i++)
      if (g->value[in[i]].on_grid == dynamic)
        return qk_error (-EBADMSG, "graph: int8 node '%s' has %s input", name,
                         dynamic ? "a quantized" : "a float");
    if (dynamic && grid != NULL)
      return qk_error (-EBADMSG, "graph: node '%s' has a quantized output",
                       name);
    index = qk_graph_add_node (g, name, layer, options, in, (int) n_in);
    if (index < 0)
      return index;
    r = lowered_node (g, &g->node[index], op, value);
    g->node[index].out = g->n_values - 1;
  }
  if (r < 0)
    return r;
  v = &g->value[g->n_values - 1];
  if (grid != NULL) {
    if ((r = grid_from_json (grid, &v->q)) < 0)
      return r;
    v->on_grid = true;
    v->wide = qk_grid_is_wide (&v->q);
  }
  if (op != NULL)
    g->node[g->n_nodes - 1].op.out_q = v->q;
  return 0;
}

/* An input or constant; the elements of constants come later. */
static int
source_from_json (struct qk_graph *g, const json_t *o)
{
  const char *name = json_string_value (json_object_get (o, "name"));
  const json_t *grid = json_object_get (o, "grid");
  struct qk_shape shape;
  int i, v, r;

  for (i = 0; i < g->n_values; i++)
    if (g->value[i].name != NULL && strcmp (g->value[i].name, name) == 0)
      return qk_error (-EBADMSG, "graph: two inputs or constants '%s'", name);
  if ((r = shape_from_json (json_object_get (o, "shape"), &shape)) < 0
      || (r = qk_limit_value (g, name, &shape)) < 0
      || (r = v = qk_graph_add_value (g, &shape, -1)) < 0)
    return r;
  if (grid != NULL && (r = grid_from_json (grid, &g->value[v].q)) < 0)
    return r;
  g->value[v].on_grid = grid != NULL;
  g->value[v].wide = grid != NULL && qk_grid_is_wide (&g->value[v].q);
  if (json_is_true (json_object_get (o, "constant")))
    return qk_graph_name_constant (g, v, name, NULL);
  return qk_graph_name_input (g, v, name);
}

static int
outputs_from_json (struct qk_graph *g, const json_t *a)
{
  size_t i;
  int r;

  if (json_array_size (a) < 1 || json_array_size (a) > QK_GRAPH_MAX_INPUTS)
    return qk_error (-EBADMSG, "graph: %zu outputs, expected 1 to %d",
                     json_array_size (a), QK_GRAPH_MAX_INPUTS);
  for (i = 0; i < json_array_size (a); i++) {
    const json_t *o = json_array_get (a, i);
    const json_t *batch = json_object_get (o, "batch_axis");
    int64_t value, axis = 0;
    const char *name;

    if ((r = get_string (o, "name", &name)) < 0
        || (r = get_int (json_object_get (o, "value"), 0, g->n_values - 1,
                         "value", &value))
             < 0
        || (batch != NULL
            && (r = get_int (batch, 0, QK_MAX_DIMS - 1, "batch_axis", &axis))
                 < 0)
        || (r = qk_graph_output (g, name, (int) value)) < 0
        || (r = qk_graph_output_batch (g, (int) axis)) < 0)
      return r;
  }
  return 0;
}

/* Values in their order: sources, and what nodes compute. */
static int
values_from_json (struct qk_graph *g, const json_t *values,
                  const json_t *nodes)
{
  size_t i, node = 0;
  int r;

  for (i = 0; i < json_array_size (values); i++) {
    const json_t *v = json_array_get (values, i);

    if (json_object_get (v, "name") != NULL) {
      if (json_string_value (json_object_get (v, "name")) == NULL)
        return qk_error (-EBADMSG, "graph: the name of a tensor is not text");
      r = source_from_json (g, v);
    } else if (node < json_array_size (nodes))
      r = node_from_json (g, json_array_get (nodes, node++), values);
    else
      r = qk_error (-EBADMSG, "graph: more tensors than nodes and inputs");
    if (r < 0)
      return r;
  }
  return node == json_array_size (nodes)
           ? 0
           : qk_error (-EBADMSG,
                       "graph: %zu tensors are too few for %zu nodes",
                       json_array_size (values), json_array_size (nodes));
}

int
qk_graph_from_json (struct qk_context *ctx, const char *path, const char *text,
                    int64_t max_params, struct qk_graph **out)
{
  json_error_t error;
  json_t *root = json_loads (text, 0, &error);
  const json_t *nodes = json_object_get (root, "nodes");
  struct qk_graph *g = NULL;
  int r = -EBADMSG;

  if (root == NULL)
    return qk_error (-EBADMSG, "%s: graph is not JSON: %s", path, error.text);
  if (json_array_size (nodes) < 1 || json_array_size (nodes) > MAX_NODES) {
    qk_error (r, "graph: %zu nodes, expected 1 to %d", json_array_size (nodes),
              MAX_NODES);
    goto error;
  }
  if ((r = qk_graph_new (ctx, 0, &g)) < 0)
    goto error;
  g->stage = QK_STAGE_INT8;
  g->max_params = max_params;
  if ((r = values_from_json (g, json_object_get (root, "values"), nodes)) < 0
      || (r = outputs_from_json (g, json_object_get (root, "outputs"))) < 0
      || (r = qk_graph_finish (g)) < 0)
    goto error;
  json_decref (root);
  *out = g;
  return 0;

error:
  json_decref (root);
  qk_graph_free (g);
  return qk_error_prefix (r, "%s: ", path);
}
