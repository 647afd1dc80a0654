/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* graph.c: nodes, values and parameters: building, copying, freeing. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/rng.h>

#include "base/called.h"
#include "graph/limits.h"
#include "graph/op-priv.h"
#include "quant/quantizer-priv.h"

int
qk_graph_new (struct qk_context *ctx, uint64_t seed, struct qk_graph **out)
{
  struct qk_graph *g = calloc (1, sizeof *g);

  if (g == NULL)
    return qk_oom ("graph");
  g->ctx = ctx;
  g->seed = seed;
  *out = g;
  return 0;
}

static void
node_clear (struct qk_node *n)
{
  int i;

  if (n->layer != NULL && n->self != NULL)
    n->layer->destroy (n->self);
  qk_quantizer_free (n->weight_qz);
  if (n->lowered)
    qk_op_free_arrays (&n->op);
  for (i = 0; i < n->n_absorbed; i++) {
    free (n->absorbed[i].name);
    free (n->absorbed[i].layer);
    free (n->absorbed[i].options);
  }
  free (n->name);
  free (n->layer_name);
  free (n->options);
}

void
qk_graph_clear (struct qk_graph *g)
{
  const struct qk_graph empty = { .ctx = g->ctx,
                                  .stage = g->stage,
                                  .seed = g->seed,
                                  .max_params = g->max_params };
  int i;

  for (i = 0; i < g->n_nodes; i++)
    node_clear (&g->node[i]);
  for (i = 0; i < g->n_values; i++) {
    qk_quantizer_free (g->value[i].qz);
    free (g->value[i].name);
    qk_free (g->value[i].constant);
  }
  for (i = 0; i < g->n_outputs; i++)
    free (g->output[i].name);
  free (g->output);
  for (i = 0; i < g->n_warnings; i++)
    free (g->warning[i]);
  free (g->warning);
  for (i = 0; i < g->n_params; i++) {
    free (g->param[i].name);
    free (g->param[i].alias);
    free (g->param[i].scale);
    qk_free (g->param[i].value.data);
    qk_free (g->param[i].grad.data);
  }
  qk_names_clear (&g->node_name);
  free (g->node);
  free (g->value);
  free (g->param);
  *g = empty;
}

void
qk_graph_free (struct qk_graph *g)
{
  if (g == NULL)
    return;
  qk_graph_clear (g);
  free (g);
}

/* Room for one more element in an array that grows by doubling. */
static int
grow (void **array, int n, size_t size)
{
  void *p;

  if (n != 0 && (n < 8 || (n & (n - 1)) != 0))
    return 0;
  p = realloc (*array, (n == 0 ? 8 : (size_t) n * 2) * size);
  if (p == NULL)
    return qk_oom ("graph");
  *array = p;
  return 0;
}

int
qk_graph_add_value (struct qk_graph *g, const struct qk_shape *shape,
                    int producer)
{
  int r = grow ((void **) &g->value, g->n_values, sizeof *g->value);

  if (r < 0)
    return r;
  memset (&g->value[g->n_values], 0, sizeof *g->value);
  g->value[g->n_values].shape = *shape;
  g->value[g->n_values].producer = producer;
  return g->n_values++;
}

/* Check SPEC, of the input or constant WHAT. */
static int
check_spec (const struct qk_graph *g, const char *what, const char *name,
            const struct qk_shape *s)
{
  char text[120];
  bool good = s->ndim >= 1 && s->ndim <= QK_MAX_DIMS && s->dims[0] == 1
              && qk_shape_count (s) > 0;
  int i;

  for (i = 0; good && i < s->ndim; i++)
    good = s->dims[i] <= 1 << 24;
  if (!good)
    return qk_error (-EINVAL,
                     "graph: %s '%s' has shape %s, expected 1 to %d positive "
                     "dimensions, the first of them, the batch, 1",
                     what, name, qk_shape_print (s, text, sizeof text),
                     QK_MAX_DIMS);
  for (i = 0; i < g->n_values; i++)
    if (g->value[i].name != NULL && strcmp (g->value[i].name, name) == 0)
      return qk_error (-EEXIST, "graph: %s '%s': name used twice", what, name);
  return 0;
}

int
qk_graph_name_input (struct qk_graph *g, int value, const char *name)
{
  if (g->n_inputs == QK_GRAPH_MAX_INPUTS)
    return qk_error (-E2BIG, "graph: more than %d inputs",
                     QK_GRAPH_MAX_INPUTS);
  if ((g->value[value].name = strdup (name)) == NULL)
    return qk_oom ("graph");
  g->input[g->n_inputs++] = value;
  return 0;
}

int
qk_graph_name_constant (struct qk_graph *g, int value, const char *name,
                        void *data)
{
  g->value[value].constant = data;
  if ((g->value[value].name = strdup (name)) == NULL)
    return qk_oom ("graph");
  return 0;
}

int
qk_graph_input (struct qk_graph *g, const struct qk_tensor_spec *spec)
{
  int v, r;

  if (g->error < 0)
    return g->error;
  if (g->n_nodes > 0)
    return g->error = qk_error (
             -EINVAL, "graph: input '%s' comes after a node", spec->name);
  if (spec->dtype != QK_F32)
    return g->error
           = qk_error (-ENOTSUP, "graph: input '%s' is %s, expected f32",
                       spec->name, qk_dtype_name (spec->dtype));
  if ((r = check_spec (g, "input", spec->name, &spec->shape)) < 0
      || (r = qk_limit_value (g, spec->name, &spec->shape)) < 0
      || (r = v = qk_graph_add_value (g, &spec->shape, -1)) < 0
      || (r = qk_graph_name_input (g, v, spec->name)) < 0)
    return g->error = r;
  return v;
}

int
qk_graph_constant (struct qk_graph *g, const char *name,
                   const struct qk_shape *shape, const float *data)
{
  const struct qk_shape own = *shape; /* which may be that of a value, moved */
  size_t bytes;
  void *copy;
  int v, r;

  if (g->error < 0)
    return g->error;
  if ((r = check_spec (g, "constant", name, &own)) < 0
      || (r = qk_limit_value (g, name, &own)) < 0
      || (r = v = qk_graph_add_value (g, &own, -1)) < 0)
    return g->error = r;
  bytes = sizeof (float) * (size_t) qk_shape_count (&own);
  if ((copy = qk_alloc (bytes)) == NULL)
    return g->error = qk_oom ("constant '%s'", name);
  memcpy (copy, data, bytes);
  if ((r = qk_graph_name_constant (g, v, name, copy)) < 0)
    return g->error = r;
  return v;
}

bool
qk_graph_is_input (const struct qk_graph *g, int value)
{
  int i;

  for (i = 0; i < g->n_inputs; i++)
    if (g->input[i] == value)
      return true;
  return false;
}

bool
qk_graph_is_output (const struct qk_graph *g, int value)
{
  int i;

  for (i = 0; i < g->n_outputs; i++)
    if (g->output[i].value == value)
      return true;
  return false;
}

const char *
qk_value_name (const struct qk_graph *g, int value)
{
  const struct qk_value *v = &g->value[value];

  return v->producer >= 0  ? g->node[v->producer].name
         : v->name != NULL ? v->name
                           : "?";
}

int
qk_graph_only_input (const struct qk_graph *g, const char *what)
{
  return g->n_inputs == 1
           ? 0
           : qk_error (-ENOTSUP, "%s: the network has %d inputs, expected one",
                       what, g->n_inputs);
}

enum qk_dtype
qk_value_dtype (const struct qk_graph *g, int value)
{
  const struct qk_value *v = &g->value[value];

  if (!v->on_grid)
    return QK_F32;
  if (!v->wide)
    return QK_U8;
  return g->stage == QK_STAGE_INT8 ? QK_U16 : QK_F32;
}

struct qk_shape
qk_value_shape (const struct qk_graph *g, int value, int64_t n)
{
  struct qk_shape s = g->value[value].shape;

  s.dims[0] = n;
  return s;
}

struct qk_param *
qk_graph_find_param (const struct qk_graph *g, const char *name)
{
  int i;

  for (i = 0; i < g->n_params; i++)
    if (strcmp (g->param[i].name, name) == 0)
      return &g->param[i];
  return NULL;
}

int
qk_graph_find_node (const struct qk_graph *g, const char *name)
{
  return qk_names_find (&g->node_name, name);
}

/* A stream number from a name, so that a parameter's initial value does not
 * depend on the order in which a model adds its nodes (FNV-1a). */
static uint64_t
name_stream (const char *name)
{
  uint64_t h = 14695981039346656037u;

  for (; *name != 0; name++)
    h = (h ^ (unsigned char) *name) * 1099511628211u;
  return h;
}

static void
param_init (struct qk_param *p, uint64_t seed)
{
  const int64_t n = qk_shape_count (&p->value.shape);
  const double v = p->spec.init_value;
  float *x = p->value.data;
  struct qk_rng rng;
  int64_t i;

  qk_rng_seed (&rng, seed, name_stream (p->name));
  for (i = 0; i < n; i++)
    switch (p->spec.init) {
    case QK_INIT_ZERO:
      x[i] = 0.0f;
      break;
    case QK_INIT_ONE:
      x[i] = 1.0f;
      break;
    case QK_INIT_KAIMING_NORMAL:
      x[i] = (float) (qk_rng_normal (&rng) * sqrt (2.0 / v));
      break;
    case QK_INIT_NORMAL:
      x[i] = (float) (qk_rng_normal (&rng) * v);
      break;
    case QK_INIT_UNIFORM:
      x[i] = (float) ((qk_rng_double (&rng) * 2 - 1) * v);
      break;
    case QK_INIT_CONSTANT:
      x[i] = p->spec.init_value;
      break;
    }
}

static int
count_bytes (struct qk_graph *g, const struct qk_param *p)
{
  const int64_t n = qk_shape_count (&p->value.shape);
  int64_t bytes;

  if (n <= 0 || __builtin_mul_overflow (n, (int64_t) sizeof (float), &bytes)
      || __builtin_add_overflow (g->param_bytes, bytes, &g->param_bytes))
    return qk_error (-EINVAL, "parameter '%s': its size is absurd", p->name);
  if (g->max_params > 0 && g->param_bytes > g->max_params)
    return qk_error (-EBADMSG,
                     "parameter '%s': with it the network needs "
                     "%lld bytes, its file cannot have more than %lld",
                     p->name, (long long) g->param_bytes,
                     (long long) g->max_params);
  return 0;
}

/* Add the parameters that a layer called NAME declares; their indices go to
 * the node. */
static int
add_params (struct qk_graph *g, struct qk_node *n, const char *name,
            const struct qk_param_spec *spec, int count)
{
  int i, r;

  if (count < 0)
    return count;
  if (n->n_params + count > QK_LAYER_MAX_PARAMS)
    return qk_error (-E2BIG, "layer '%s': %d parameters, at most %d", name,
                     n->n_params + count, QK_LAYER_MAX_PARAMS);
  for (i = 0; i < count; i++) {
    struct qk_param *p;

    if ((r = grow ((void **) &g->param, g->n_params, sizeof *g->param)) < 0)
      return r;
    p = &g->param[g->n_params];
    memset (p, 0, sizeof *p);
    if (asprintf (&p->name, "%s.%s", name, spec[i].name) < 0) {
      p->name = NULL;
      return qk_oom ("graph");
    }
    g->n_params++;
    p->spec = spec[i];
    p->value.dtype = QK_F32;
    p->value.shape = spec[i].shape;
    if ((r = count_bytes (g, p)) < 0)
      return r;
    p->value.data
      = qk_alloc (sizeof (float) * (size_t) qk_shape_count (&spec[i].shape));
    if (p->value.data == NULL)
      return qk_oom ("graph: parameter '%s'", p->name);
    param_init (p, g->seed);
    n->param[n->n_params++] = g->n_params - 1;
  }
  return 0;
}

static char *
copy_string (const char *s)
{
  return strdup (s == NULL ? "" : s);
}

int
qk_graph_add_node (struct qk_graph *g, const char *name, const char *layer,
                   const char *options, const int *in, int n_in)
{
  struct qk_node *n;
  int i, r;

  if (n_in < 1 || n_in > QK_OP_MAX_INPUTS)
    return qk_error (-EINVAL, "node '%s': %d inputs, expected 1 to %d", name,
                     n_in, QK_OP_MAX_INPUTS);
  for (i = 0; i < n_in; i++)
    if (in[i] < 0 || in[i] >= g->n_values)
      return qk_error (
        -EINVAL, "node '%s': input %d is %d, which is no tensor of the graph",
        name, i, in[i]);
  if ((r = grow ((void **) &g->node, g->n_nodes, sizeof *g->node)) < 0)
    return r;
  n = &g->node[g->n_nodes];
  memset (n, 0, sizeof *n);
  n->name = copy_string (name);
  n->layer_name = copy_string (layer);
  n->options = copy_string (options);
  n->n_in = n_in;
  memcpy (n->in, in, sizeof *in * (size_t) n_in);
  n->out = -1;
  n->lo = -INFINITY;
  n->hi = INFINITY;
  g->n_nodes++;
  if (n->name == NULL || n->layer_name == NULL || n->options == NULL)
    return qk_oom ("graph");
  r = qk_names_add (&g->node_name, n->name, g->n_nodes - 1);
  if (r == -EEXIST)
    return qk_error (r, "node '%s': name used twice", name);
  if (r < 0)
    return r;
  for (i = 0; i < n_in; i++)
    g->value[in[i]].n_consumers++;
  return g->n_nodes - 1;
}

/* An instance of LAYER with OPTIONS; *cls tells its class. */
static int
make_layer (struct qk_graph *g, const char *name, const char *layer,
            const char *options, const struct qk_layer_class **cls,
            void **self)
{
  const struct qk_class *c;
  struct qk_config *cfg = NULL;
  int r;

  if ((r = qk_context_class (g->ctx, QK_KIND_LAYER, layer, &c)) < 0)
    return qk_error_prefix (r, "node '%s': ", name);
  *cls = (const struct qk_layer_class *) (const void *) c;
  if ((r = qk_config_parse (c->options, options, name, &cfg)) < 0)
    return r;
  *self = NULL;
  r = QK_CALLED (&(*cls)->cls, "create", (*cls)->create (cfg, self));
  qk_config_free (cfg);
  if (r < 0)
    return qk_error_prefix (r, "node '%s': ", name);
  return 0;
}

static void
describe_layer (const struct qk_layer_class *cls, void *self,
                struct qk_layer_traits *t)
{
  memset (t, 0, sizeof *t);
  if (cls->describe != NULL)
    cls->describe (self, t);
}

/* Shape check, parameters and output value of a node just added. */
static int
complete_node (struct qk_graph *g, int index)
{
  struct qk_node *n = &g->node[index];
  struct qk_param_spec spec[QK_LAYER_MAX_PARAMS];
  struct qk_shape in[QK_OP_MAX_INPUTS], out;
  int i, r;

  for (i = 0; i < n->n_in; i++)
    in[i] = g->value[n->in[i]].shape;
  memset (&out, 0, sizeof out);
  if ((r = QK_CALLED (&n->layer->cls, "infer",
                      n->layer->infer (n->self, in, n->n_in, &out)))
      < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  if (out.ndim < 1 || out.ndim > QK_MAX_DIMS || qk_shape_count (&out) <= 0)
    return qk_error (-EINVAL, "node '%s': layer '%s' gives an empty shape",
                     n->name, n->layer_name);
  if ((r = qk_limit_value (g, n->name, &out)) < 0)
    return r;
  if (n->layer->params != NULL) {
    memset (spec, 0, sizeof spec);
    r = add_params (g, n, n->name, spec, n->layer->params (n->self, spec));
    if (r < 0)
      return r;
  }
  describe_layer (n->layer, n->self, &n->traits);
  r = qk_graph_add_value (g, &out, index);
  if (r >= 0)
    g->node[index].out = r;
  return r;
}

int
qk_graph_node_text (struct qk_graph *g, const char *name, const char *layer,
                    const char *options, const int *in, int n_in)
{
  const int index = qk_graph_add_node (g, name, layer, options, in, n_in);
  struct qk_node *n;
  int r;

  if (index < 0)
    return index;
  n = &g->node[index];
  if ((r = make_layer (g, name, layer, options, &n->layer, &n->self)) < 0)
    return r;
  return complete_node (g, index);
}

int
qk_graph_node_of (struct qk_graph *g, const char *name,
                  const struct qk_layer_class *cls, void *self, const int *in,
                  int n_in)
{
  const int index = qk_graph_add_node (g, name, cls->cls.name, "", in, n_in);

  if (index < 0) {
    cls->destroy (self);
    return index;
  }
  g->node[index].layer = cls;
  g->node[index].self = self;
  return complete_node (g, index);
}

int
qk_graph_node (struct qk_graph *g, const char *name, const char *layer,
               const int *in, int n_in, const char *fmt, ...)
{
  char *options = NULL;
  va_list args;
  int r;

  if (g->error < 0)
    return g->error;
  va_start (args, fmt);
  r = vasprintf (&options, fmt, args);
  va_end (args);
  if (r < 0)
    return g->error = qk_oom ("graph");
  r = qk_graph_node_text (g, name, layer, options, in, n_in);
  free (options);
  if (r < 0)
    g->error = r;
  return r;
}

const char *
qk_param_file_name (const struct qk_param *p)
{
  return p->alias != NULL ? p->alias : p->name;
}

const struct qk_shape *
qk_graph_shape (const struct qk_graph *g, int value)
{
  return value >= 0 && value < g->n_values ? &g->value[value].shape : NULL;
}

int
qk_graph_add_output (struct qk_graph *g, const char *name, int value)
{
  int i, r;

  for (i = 0; i < g->n_outputs; i++)
    if (strcmp (g->output[i].name, name) == 0)
      return qk_error (-EEXIST, "graph: output '%s': name used twice", name);
  r = grow ((void **) &g->output, g->n_outputs, sizeof *g->output);
  if (r < 0)
    return r;
  if ((g->output[g->n_outputs].name = strdup (name)) == NULL)
    return qk_oom ("graph");
  g->output[g->n_outputs].batch_axis = 0;
  g->output[g->n_outputs++].value = value;
  g->value[value].n_consumers++;
  return 0;
}

int
qk_graph_output (struct qk_graph *g, const char *name, int value)
{
  int r = 0;

  if (g->error < 0)
    return g->error;
  if (value < 0 || value >= g->n_values)
    r = qk_error (-EINVAL,
                  "graph: output '%s' is %d, which is no tensor of the graph",
                  name, value);
  else if (g->value[value].producer < 0)
    r = qk_error (-EINVAL,
                  "graph: output '%s' is %s, expected what a node "
                  "computes",
                  name, qk_value_name (g, value));
  else
    r = qk_graph_add_output (g, name, value);
  return r < 0 ? (g->error = r) : 0;
}

int
qk_graph_output_batch (struct qk_graph *g, int axis)
{
  struct qk_output *o;

  if (g->error < 0)
    return g->error;
  if (g->n_outputs == 0)
    return g->error = qk_error (-EINVAL, "graph: there is no output yet");
  o = &g->output[g->n_outputs - 1];
  if (axis < 0 || axis >= g->value[o->value].shape.ndim)
    return g->error = qk_error (
             -EINVAL, "graph: output '%s': batch axis %d, expected 0 to %d",
             o->name, axis, g->value[o->value].shape.ndim - 1);
  o->batch_axis = axis;
  return 0;
}

int
qk_graph_finish (struct qk_graph *g)
{
  if (g->error < 0)
    return g->error;
  if (g->n_inputs == 0)
    return qk_error (-EINVAL, "graph: the model declares no input");
  if (g->n_outputs == 0)
    return qk_error (-EINVAL, "graph: the model declares no output");
  return 0;
}

int
qk_graph_absorb (struct qk_graph *g, int node, const char *name,
                 const char *layer, const char *options)
{
  struct qk_node *n = &g->node[node];
  const struct qk_layer_class *cls;
  struct qk_param_spec spec[QK_LAYER_MAX_PARAMS];
  struct qk_layer_traits traits;
  struct qk_absorbed *a;
  struct qk_shape out;
  void *self = NULL;
  int r;

  if (n->layer->absorb == NULL || n->n_absorbed == QK_NODE_MAX_ABSORBED)
    return -ENOTSUP;
  if ((r = make_layer (g, name, layer, options, &cls, &self)) < 0)
    return r;
  if ((r = cls->infer (self, &g->value[n->out].shape, 1, &out)) < 0)
    goto end;
  describe_layer (cls, self, &traits);
  if ((r = n->layer->absorb (n->self, &traits)) < 0)
    goto end;
  if (cls->params != NULL) {
    memset (spec, 0, sizeof spec);
    r = add_params (g, n, name, spec, cls->params (self, spec));
    if (r < 0)
      goto end;
  }
  if (traits.role == QK_ROLE_CLAMP) {
    n->lo = traits.lo;
    n->hi = traits.hi;
  }
  a = &n->absorbed[n->n_absorbed++];
  a->name = copy_string (name);
  a->layer = copy_string (layer);
  a->options = copy_string (options);
  if (a->name == NULL || a->layer == NULL || a->options == NULL)
    r = qk_oom ("graph");
end:
  cls->destroy (self);
  return r;
}

int
qk_graph_geometry (const struct qk_graph *g, const struct qk_node *n,
                   struct qk_op *op)
{
  const struct qk_qparams any = { 1, 0, 0, 255 };
  struct qk_tensor in[QK_OP_MAX_INPUTS], out;
  struct qk_layer_io io;
  int i, r;

  if (n->layer->geometry == NULL)
    return 0;
  memset (in, 0, sizeof in);
  memset (&out, 0, sizeof out);
  memset (&io, 0, sizeof io);
  for (i = 0; i < n->n_in; i++) {
    in[i].dtype = QK_F32;
    in[i].shape = g->value[n->in[i]].shape;
    in[i].q = any;
  }
  out.dtype = QK_F32;
  out.shape = g->value[n->out].shape;
  out.q = any;
  io.threads = 1;
  io.n_in = n->n_in;
  io.in = in;
  io.out = &out;
  if ((r = n->layer->geometry (n->self, &io, op)) < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  return 0;
}

int64_t
qk_graph_macs (const struct qk_graph *g)
{
  int64_t sum = 0;
  int i;

  for (i = 0; i < g->n_nodes; i++)
    sum += g->node[i].traits.macs;
  return sum;
}

int64_t
qk_graph_bytes (const struct qk_graph *g)
{
  int64_t sum = 0;
  int i;

  for (i = 0; i < g->n_params; i++)
    sum += 4 * qk_shape_count (&g->param[i].value.shape);
  for (i = 0; i < g->n_nodes; i++)
    if (g->node[i].lowered)
      sum += qk_op_bytes (&g->node[i].op);
  return sum;
}

void
qk_graph_freeze (struct qk_graph *g, struct qk_patterns *p)
{
  int i;

  for (i = 0; i < g->n_params; i++) {
    const char *file = qk_param_file_name (&g->param[i]);
    const bool own = p != NULL && qk_patterns_match (p, g->param[i].name);

    g->param[i].frozen = own || (p != NULL && qk_patterns_match (p, file));
  }
}

int
qk_graph_zero_grad (struct qk_graph *g)
{
  int i;

  for (i = 0; i < g->n_params; i++) {
    struct qk_param *p = &g->param[i];
    const size_t bytes
      = sizeof (float) * (size_t) qk_shape_count (&p->value.shape);

    if (!(p->spec.flags & QK_PARAM_TRAINED))
      continue;
    if (p->grad.data == NULL) {
      p->grad = p->value;
      p->grad.data = qk_alloc (bytes);
      if (p->grad.data == NULL)
        return qk_oom ("the gradient of '%s'", p->name);
    } else
      memset (p->grad.data, 0, bytes);
  }
  return 0;
}
