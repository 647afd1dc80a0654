/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net.c: reads the graph of an ONNX file. */
#include "config.h"

#include <math.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define NAME "%.200s"

#define NET_MORE 3 /* constants that may be added for each node */

/* A graph is read in two steps, names first, with a tree of values by name:
 * the hash of hsearch takes the ends of names alone, which are often equal. */
struct reader {
  struct net *n;
  const char *outputs; /* see net_new */
  void *tree;          /* of tsearch; its keys are the values */
};

int
net_error (const struct net *n, const struct net_node *nd, int code,
           const char *fmt, ...)
{
  char text[600];
  va_list args;

  va_start (args, fmt);
  vsnprintf (text, sizeof text, fmt, args);
  va_end (args);
  return qk_error (code, "%s: node '" NAME "' (%s): %s", n->file->path,
                   nd->name, nd->op[0] == '.' ? nd->op + 1 : nd->op, text);
}

/* ---- values ---------------------------------------------------------------- */

static int
compare_values (const void *a, const void *b)
{
  return strcmp (((const struct net_value *) a)->name,
                 ((const struct net_value *) b)->name);
}

static void
keep_value (void *value)
{
  (void) value; /* it is the net's */
}

static int
find_value (struct reader *rd, const char *name)
{
  const struct net_value key = { .name = name };
  struct net_value *const *found = tfind (&key, &rd->tree, compare_values);

  return found != NULL ? (int) (*found - rd->n->value) : -1;
}

static int
add_value (struct reader *rd, const char *name, int producer)
{
  struct net *n = rd->n;
  struct net_value *v = &n->value[n->n_values];

  if (!onnxfile_good_name (name))
    return qk_error (-EBADMSG,
                     "%s: a tensor's name is longer than %d bytes or contains "
                     "a control character",
                     n->file->path, ONNXFILE_MAX_NAME);
  if (find_value (rd, name) >= 0)
    return qk_error (-EBADMSG, "%s: tensor '" NAME "' is made twice",
                     n->file->path, name);
  v->name = name;
  if (tsearch (v, &rd->tree, compare_values) == NULL)
    return qk_oom ("%s", n->file->path);
  v->producer = producer;
  v->view.id = v->scale = v->zero = -1;
  return n->n_values++;
}

/* Room for all names there can be, and weights and a bias for each node that
 * net_add_constant may add. */
static int
make_room (struct reader *rd)
{
  const Onnx__GraphProto *g = rd->n->file->model->graph;
  const size_t outputs = g->n_output + strlen (rd->outputs) + 2;
  size_t values = g->n_initializer + g->n_input, i;

  for (i = 0; i < g->n_node; i++)
    values += g->node[i]->n_output;
  rd->n->value
    = calloc (values + NET_MORE * g->n_node + 1, sizeof *rd->n->value);
  rd->n->node = calloc (g->n_node + 1, sizeof *rd->n->node);
  rd->n->input = calloc (g->n_input + 1, sizeof *rd->n->input);
  rd->n->output = calloc (outputs, sizeof *rd->n->output);
  return rd->n->value == NULL || rd->n->node == NULL || rd->n->input == NULL
             || rd->n->output == NULL
           ? qk_oom ("%s", rd->n->file->path)
           : 0;
}

static int
read_sources (struct reader *rd)
{
  struct net *n = rd->n;
  const Onnx__GraphProto *g = n->file->model->graph;
  size_t i;
  int v;

  if (g->n_sparse_initializer > 0)
    return qk_error (-ENOTSUP,
                     "%s: has sparse initializers, expected dense ones",
                     n->file->path);
  for (i = 0; i < g->n_initializer; i++) {
    const Onnx__TensorProto *t = g->initializer[i];

    if ((v = add_value (rd, t->name != NULL ? t->name : "", -1)) < 0)
      return v;
    n->value[v].init = t;
  }
  for (i = 0; i < g->n_input; i++) {
    const char *name = g->input[i]->name != NULL ? g->input[i]->name : "";

    /* old files list initializers among the inputs too */
    if ((v = find_value (rd, name)) >= 0 && n->value[v].init != NULL)
      continue;
    if ((v = add_value (rd, name, -1)) < 0)
      return v;
    n->input[n->n_inputs++] = v;
  }
  return 0;
}

/* ---- nodes ------------------------------------------------------------------- */

static int
name_node (struct net *n, struct net_node *nd, size_t number)
{
  const Onnx__NodeProto *p = nd->proto;
  int r;

  if (p->name != NULL && *p->name != '\0') {
    if (!onnxfile_good_name (p->name))
      return qk_error (-EBADMSG,
                       "%s: the name of node %zu is longer than %d bytes or "
                       "contains a control character",
                       n->file->path, number, ONNXFILE_MAX_NAME);
    nd->name = strdup (p->name);
  } else {
    r = asprintf (&nd->name, "%s_%zu", nd->op, number);
    if (r < 0)
      nd->name = NULL;
  }
  return nd->name == NULL ? qk_oom ("%s", n->file->path) : 0;
}

static int
read_node (struct reader *rd, size_t number)
{
  struct net *n = rd->n;
  const Onnx__NodeProto *p = n->file->model->graph->node[number];
  struct net_node *nd = &n->node[n->n_nodes++];
  size_t i;
  int v, r;

  nd->proto = p;
  nd->y_scale = nd->y_zero = -1;
  nd->op = p->op_type != NULL ? p->op_type : "";
  nd->n_in = (int) p->n_input;
  nd->n_out = (int) p->n_output;
  nd->in = calloc (p->n_input + 3, sizeof *nd->in);
  nd->out = calloc (p->n_output + 1, sizeof *nd->out);
  if (nd->in == NULL || nd->out == NULL)
    return qk_oom ("%s", n->file->path);
  if (!onnxfile_good_name (nd->op))
    return qk_error (-EBADMSG, "%s: node %zu has no operator's name",
                     n->file->path, number);
  if ((r = name_node (n, nd, number)) < 0)
    return r;
  for (i = 0; i < p->n_output; i++) {
    nd->out[i] = -1;
    if (*p->output[i] == '\0')
      continue;
    if ((v = add_value (rd, p->output[i], n->n_nodes - 1)) < 0)
      return v;
    nd->out[i] = v;
  }
  return 0;
}

static int
connect_node (struct reader *rd, struct net_node *nd)
{
  const Onnx__NodeProto *p = nd->proto;
  size_t i;

  for (i = 0; i < p->n_input; i++) {
    nd->in[i] = -1;
    if (*p->input[i] == '\0')
      continue;
    if ((nd->in[i] = find_value (rd, p->input[i])) < 0)
      return net_error (rd->n, nd, -EBADMSG,
                        "input '" NAME "' is made by no node", p->input[i]);
    rd->n->value[nd->in[i]].uses++;
  }
  return 0;
}

/* The tensor NAME, or the first that the node NAME makes; -1: neither. */
static int
find_output (struct reader *rd, const char *name)
{
  const struct net *n = rd->n;
  const int v = find_value (rd, name);
  int i;

  for (i = 0; v < 0 && i < n->n_nodes; i++)
    if (strcmp (n->node[i].name, name) == 0 && n->node[i].n_out > 0)
      return n->node[i].out[0];
  return v;
}

/* The outputs that the user names instead of the file's, between commas. */
static int
read_chosen (struct reader *rd)
{
  struct net *n = rd->n;
  char *list = strdup (rd->outputs), *rest = list, *name;
  int r = 0;

  if (list == NULL)
    return qk_oom ("%s", n->file->path);
  while (r == 0 && (name = strsep (&rest, ",")) != NULL) {
    char *end;
    int v;

    name += strspn (name, " \t");
    for (end = name + strlen (name); end > name && end[-1] == ' ';)
      *--end = '\0';
    if ((v = find_output (rd, name)) < 0)
      r = qk_error (-EINVAL,
                    "%s: there is no tensor and no node '" NAME
                    "', expected names of the file's",
                    n->file->path, name);
    else {
      n->value[v].uses++;
      n->output[n->n_outputs++] = v;
    }
  }
  free (list);
  return r;
}

static int
read_outputs (struct reader *rd)
{
  struct net *n = rd->n;
  const Onnx__GraphProto *g = n->file->model->graph;
  size_t i;

  if (*rd->outputs)
    return read_chosen (rd);

  for (i = 0; i < g->n_output; i++) {
    const char *name = g->output[i]->name != NULL ? g->output[i]->name : "";
    const int v = find_value (rd, name);

    if (v < 0)
      return qk_error (-EBADMSG, "%s: output '" NAME "' is made by no node",
                       n->file->path, name);
    n->value[v].uses++;
    n->output[n->n_outputs++] = v;
  }
  return g->n_output > 0
           ? 0
           : qk_error (-EBADMSG, "%s: the graph has no output", n->file->path);
}

/* ---- order -------------------------------------------------------------------- */

/* Whether each node comes after those it reads. */
static bool
is_sorted (const struct net *n)
{
  int i, k;

  for (i = 0; i < n->n_nodes; i++)
    for (k = 0; k < n->node[i].n_in; k++) {
      const int v = n->node[i].in[k];

      if (v >= 0 && n->value[v].producer >= i)
        return false;
    }
  return true;
}

/* Put NODE after all it reads: a walk in depth with a stack of its own.
 * MARK: 0 not seen, 1 on the stack, 2 placed in ORDER. */
static int
visit (const struct net *n, int node, char *mark, int *stack, int *order,
       int *placed)
{
  int top = 0, k;

  stack[top++] = node;
  while (top > 0) {
    const struct net_node *nd = &n->node[stack[top - 1]];
    int before = -1;

    mark[stack[top - 1]] = 1;
    for (k = 0; k < nd->n_in && before < 0; k++)
      if (nd->in[k] >= 0 && n->value[nd->in[k]].producer >= 0
          && mark[n->value[nd->in[k]].producer] != 2)
        before = n->value[nd->in[k]].producer;
    if (before >= 0 && mark[before] == 1)
      return net_error (n, nd, -EBADMSG, "is part of a circle");
    if (before >= 0) {
      stack[top++] = before;
      continue;
    }
    mark[stack[top - 1]] = 2;
    order[(*placed)++] = stack[--top];
  }
  return 0;
}

static int
sort (struct net *n)
{
  const size_t count = (size_t) n->n_nodes + 1;
  char *mark = calloc (count, 1);
  int *stack = calloc (count, sizeof *stack);
  int *order = calloc (count, sizeof *order);
  struct net_node *sorted = calloc (count, sizeof *sorted);
  int i, k, placed = 0, r = 0;

  if (mark == NULL || stack == NULL || order == NULL || sorted == NULL)
    r = qk_oom ("%s", n->file->path);
  for (i = 0; r == 0 && i < n->n_nodes; i++)
    if (mark[i] == 0)
      r = visit (n, i, mark, stack, order, &placed);
  for (i = 0; r == 0 && i < n->n_nodes; i++) {
    sorted[i] = n->node[order[i]];
    for (k = 0; k < sorted[i].n_out; k++)
      if (sorted[i].out[k] >= 0)
        n->value[sorted[i].out[k]].producer = i;
  }
  if (r == 0)
    memcpy (n->node, sorted, sizeof *sorted * (size_t) n->n_nodes);
  free (mark);
  free (stack);
  free (order);
  free (sorted);
  return r;
}

/* ---- names of nodes, each once -------------------------------------------------- */

static int
by_name (const void *a, const void *b)
{
  const struct net_node *const *x = a, *const *y = b;
  const int c = strcmp ((*x)->name, (*y)->name);

  return c != 0 ? c : *x < *y ? -1 : *x > *y;
}

/* A second node of the same name gets its number behind it. */
static int
make_unique (struct net *n)
{
  struct net_node **list = calloc ((size_t) n->n_nodes + 1, sizeof *list);
  int i, r = 0;

  if (list == NULL)
    return qk_oom ("%s", n->file->path);
  for (i = 0; i < n->n_nodes; i++)
    list[i] = &n->node[i];
  qsort (list, (size_t) n->n_nodes, sizeof *list, by_name);
  for (i = n->n_nodes - 1; r == 0 && i > 0; i--) {
    char *name;

    if (strcmp (list[i]->name, list[i - 1]->name) != 0)
      continue;
    if (asprintf (&name, "%s#%d", list[i]->name, (int) (list[i] - n->node))
        < 0)
      r = qk_oom ("%s", n->file->path);
    else {
      free (list[i]->name);
      list[i]->name = name;
    }
  }
  free (list);
  return r;
}

static int
read_graph (struct reader *rd)
{
  struct net *n = rd->n;
  const Onnx__GraphProto *g = n->file->model->graph;
  size_t i;
  int r;

  if ((r = make_room (rd)) < 0 || (r = read_sources (rd)) < 0)
    return r;
  for (i = 0; i < g->n_node; i++)
    if ((r = read_node (rd, i)) < 0)
      return r;
  for (i = 0; i < g->n_node; i++)
    if ((r = connect_node (rd, &n->node[i])) < 0)
      return r;
  if ((r = read_outputs (rd)) < 0 || (r = make_unique (n)) < 0)
    return r;
  return is_sorted (n) ? 0 : sort (n);
}

int
net_new (struct onnxfile *file, const char *outputs, struct net **out)
{
  struct reader rd;
  int r;

  memset (&rd, 0, sizeof rd);
  rd.outputs = outputs;
  *out = NULL;
  if ((rd.n = calloc (1, sizeof *rd.n)) == NULL)
    return qk_oom ("%s", file->path);
  rd.n->file = file;
  rd.n->batch = 1;
  r = read_graph (&rd);
  tdestroy (rd.tree, keep_value);
  if (r < 0) {
    net_free (rd.n);
    return r;
  }
  *out = rd.n;
  return 0;
}

void
net_free (struct net *n)
{
  int i;

  if (n == NULL)
    return;
  for (i = 0; n->node != NULL && i < n->n_nodes; i++) {
    free (n->node[i].name);
    free (n->node[i].in);
    free (n->node[i].out);
  }
  for (i = 0; n->value != NULL && i < n->n_values; i++)
    onnx_const_free (n->value[i].known);
  free (n->node);
  free (n->value);
  free (n->input);
  free (n->output);
  free (n);
}

/* ---- constants --------------------------------------------------------------------- */

int
net_known (struct net *n, int value, const struct onnx_const **out)
{
  struct net_value *v;
  int r;

  *out = NULL;
  if (value < 0)
    return 0;
  v = &n->value[value];
  if (v->known == NULL && v->init != NULL
      && (r = onnx_const_read (n->file, v->init, &v->known)) < 0)
    return r;
  *out = v->known;
  return 0;
}

void
net_set_known (struct net *n, int value, struct onnx_const *c)
{
  onnx_const_free (n->value[value].known);
  n->value[value].known = c;
}

struct net_node *
net_made_by (struct net *n, int value, const char *op)
{
  const int p = value < 0 ? -1 : n->value[value].producer;

  return p >= 0 && !n->node[p].gone && strcmp (n->node[p].op, op) == 0
           ? &n->node[p]
           : NULL;
}

void
net_set_inputs (struct net *n, struct net_node *nd, const int *in, int n_in)
{
  int i;

  for (i = 0; i < n_in; i++)
    n->value[in[i]].uses++;
  for (i = 0; i < nd->n_in; i++)
    if (nd->in[i] >= 0)
      n->value[nd->in[i]].uses--;
  memcpy (nd->in, in, sizeof *in * (size_t) n_in);
  nd->n_in = n_in;
}

int
net_add_constant (struct net *n, int value, struct onnx_const *c)
{
  struct net_value *v = &n->value[n->n_values];

  v->name = n->value[value].name;
  v->known = c;
  v->producer = v->view.id = v->scale = v->zero = -1;
  return n->n_values++;
}

bool
net_same_scale (double s, double t)
{
  return fabs (s - t) <= 0x1p-16 * fabs (s);
}

bool
net_moves (const struct net_node *nd)
{
  static const char *const ops[]
    = { "DepthToSpace", "Expand",    "Flatten",      "Gather", "Identity",
        "Reshape",      "Slice",     "SpaceToDepth", "Split",  "Squeeze",
        "Tile",         "Transpose", "Unsqueeze" };

  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (strcmp (nd->op, ops[i]) == 0)
      return true;
  return false;
}

bool
net_scalar (struct net *n, int value, double *x)
{
  const struct onnx_const *c;

  if (net_known (n, value, &c) < 0 || c == NULL || c->n != 1)
    return false;
  *x = c->real ? (double) c->f[0] : (double) c->i[0];
  return true;
}

int
net_ints (struct net *n, const struct net_node *nd, int i, int64_t *out,
          int max)
{
  const struct onnx_const *c;
  int64_t k;
  int r;

  if (i >= nd->n_in || nd->in[i] < 0)
    return 0;
  if ((r = net_known (n, nd->in[i], &c)) < 0)
    return r;
  if (c == NULL || c->real)
    return net_error (n, nd, -ENOTSUP,
                      "input '" NAME "' is %s, expected integers that are "
                      "known before the network runs",
                      n->value[nd->in[i]].name,
                      c == NULL ? "computed from the data" : "real");
  if (c->n > max)
    return net_error (n, nd, -ENOTSUP,
                      "input '" NAME "' has %lld elements, at most %d can be",
                      n->value[nd->in[i]].name, (long long) c->n, max);
  for (k = 0; k < c->n; k++)
    out[k] = c->i[k];
  return (int) c->n;
}

/* ---- attributes ---------------------------------------------------------------------- */

static const Onnx__AttributeProto *
find_attr (struct net_node *nd, const char *name)
{
  size_t i;

  if (nd->proto == NULL)
    return NULL;
  for (i = 0; i < nd->proto->n_attribute; i++) {
    const Onnx__AttributeProto *a = nd->proto->attribute[i];

    if (a->name == NULL || strcmp (a->name, name) != 0)
      continue;
    nd->used |= (uint64_t) 1 << (i < 63 ? i : 63);
    return a;
  }
  return NULL;
}

bool
net_attr_given (struct net_node *nd, const char *name)
{
  return find_attr (nd, name) != NULL;
}

int64_t
net_attr_int (struct net_node *nd, const char *name, int64_t def)
{
  const Onnx__AttributeProto *a = find_attr (nd, name);

  return a != NULL ? a->i : def;
}

float
net_attr_float (struct net_node *nd, const char *name, float def)
{
  const Onnx__AttributeProto *a = find_attr (nd, name);

  return a != NULL ? a->f : def;
}

const char *
net_attr_string (struct net_node *nd, const char *name, const char *def,
                 char buf[NET_WORD])
{
  const Onnx__AttributeProto *a = find_attr (nd, name);
  size_t n;

  if (a == NULL || !a->has_s)
    return def;
  n = a->s.len < NET_WORD - 1 ? a->s.len : NET_WORD - 1;
  if (n > 0)
    memcpy (buf, a->s.data, n);
  buf[n] = '\0';
  return buf;
}

int
net_attr_ints (struct net_node *nd, const char *name, int64_t *out, int max)
{
  const Onnx__AttributeProto *a = find_attr (nd, name);
  size_t i;

  if (a == NULL)
    return -1;
  for (i = 0; i < a->n_ints && i < (size_t) max; i++)
    out[i] = a->ints[i];
  return (int) (a->n_ints < (size_t) max ? a->n_ints : (size_t) max);
}

const float *
net_attr_floats (struct net_node *nd, const char *name, size_t *count)
{
  const Onnx__AttributeProto *a = find_attr (nd, name);

  *count = a != NULL ? a->n_floats : 0;
  return a != NULL ? a->floats : NULL;
}

const Onnx__TensorProto *
net_attr_tensor (struct net_node *nd, const char *name)
{
  const Onnx__AttributeProto *a = find_attr (nd, name);

  return a != NULL ? a->t : NULL;
}

const char *
net_attr_unused (const struct net_node *nd)
{
  size_t i;

  if (nd->proto == NULL)
    return NULL;
  for (i = 0; i < nd->proto->n_attribute; i++)
    if (!(nd->used & (uint64_t) 1 << (i < 63 ? i : 63)))
      return nd->proto->attribute[i]->name != NULL
               ? nd->proto->attribute[i]->name
               : "";
  return NULL;
}

int
net_axis (int64_t a, int ndim)
{
  if (a < 0)
    a += ndim;
  return a >= 0 && a < ndim ? (int) a : -1;
}
