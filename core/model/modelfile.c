/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* modelfile.c: int8 networks to files and back. */
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "graph/limits.h"
#include "graph/op-priv.h"
#include "io/tensorfile.h"
#include "model/json-graph.h"
#include "model/json-spec.h"
#include "model/modelfile.h"

/* ---- the arrays of a graph, for both directions -------------------------- */

struct arrays {
  struct qk_format_entry *entry;
  int64_t n;
};

static void
arrays_free (struct arrays *a)
{
  int64_t i;

  for (i = 0; i < a->n; i++)
    free ((char *) a->entry[i].name);
  free (a->entry);
}

static int
arrays_add (struct arrays *a, const char *node, const char *suffix,
            const struct qk_tensor *t)
{
  struct qk_format_entry *e
    = realloc (a->entry, ((size_t) a->n + 1) * sizeof *e);
  char *name;

  if (e == NULL)
    return qk_oom ("model");
  a->entry = e;
  if (asprintf (&name, "%s%s%s", node, *suffix ? "." : "", suffix) < 0)
    return qk_oom ("model");
  e[a->n].name = name;
  e[a->n++].tensor = *t;
  return 0;
}

/* A constant with its elements DATA. */
static struct qk_tensor
constant_tensor (const struct qk_value *v, void *data)
{
  struct qk_tensor t;

  memset (&t, 0, sizeof t);
  t.dtype = v->on_grid ? QK_U8 : QK_F32;
  t.shape = v->shape;
  t.data = data;
  return t;
}

/* Every array the graph consists of, as views. */
static int
collect (const struct qk_graph *g, struct arrays *a)
{
  struct qk_tensor t;
  int i, r;

  memset (&t, 0, sizeof t);
  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    const struct qk_op_array *own
      = n->lowered ? qk_op_row (n->op.kind)->array : NULL;
    struct qk_op op = n->op;

    for (; own != NULL && own->name != NULL; own++) {
      t.dtype = own->dtype;
      own->shape (&op, &t.shape);
      t.data = (void *) *qk_op_array_at (&op, own);
      if ((r = arrays_add (a, n->name, own->name, &t)) < 0)
        return r;
    }
  }
  for (i = 0; i < g->n_params; i++)
    if ((r = arrays_add (a, g->param[i].name, "", &g->param[i].value)) < 0)
      return r;
  for (i = 0; i < g->n_values; i++) {
    const struct qk_value *v = &g->value[i];

    if (v->constant == NULL)
      continue;
    t = constant_tensor (v, v->constant);
    if ((r = arrays_add (a, "constant", v->name, &t)) < 0)
      return r;
  }
  return 0;
}

/* ---- writing --------------------------------------------------------------- */

int
qk_model_save (const struct qk_graph *g, const struct qk_model_info *info,
               const char *path)
{
  struct arrays a = { NULL, 0 };
  struct qk_format_meta meta[4];
  char *graph = NULL, *targets = NULL, version[32];
  int r;

  if (g->stage != QK_STAGE_INT8)
    return qk_error (-EINVAL, "%s: only int8 graphs are saved", path);
  if ((r = qk_specs_to_json (info->target, info->n_targets, &targets)) < 0
      || (r = qk_graph_to_json (g, &graph)) < 0 || (r = collect (g, &a)) < 0) {
    qk_error_prefix (r, "%s: ", path);
    goto end;
  }
  snprintf (version, sizeof version, "%d.%d", QK_MODEL_MAJOR, QK_MODEL_MINOR);
  meta[0].key = "qatkit.model";
  meta[0].value = version;
  meta[1].key = "qatkit.graph";
  meta[1].value = graph;
  meta[2].key = "qatkit.targets";
  meta[2].value = targets;
  meta[3].key = "qatkit.config";
  meta[3].value = info->config;
  r = qk_tensorfile_write (g->ctx, path, NULL, a.entry, a.n, meta, 4);
end:
  arrays_free (&a);
  free (graph);
  free (targets);
  return r;
}

/* ---- reading --------------------------------------------------------------- */

static int
check_version (const char *path, const char *version)
{
  int major = -1, minor = -1, end = -1;

  if (version != NULL && strlen (version) < 20)
    sscanf (version, "%5d.%5d%n", &major, &minor, &end);
  if (end < 0 || version[end] != 0 || major < 0 || minor < 0)
    return qk_error (-EBADMSG,
                     "%s: not an int8 model of qatkit: 'qatkit.model' in its "
                     "metadata is %.40s, expected a version like %d.%d",
                     path, version ? version : "missing", QK_MODEL_MAJOR,
                     QK_MODEL_MINOR);
  if (major != QK_MODEL_MAJOR)
    return qk_error (-ENOTSUP, "%s: model format %s, this program reads %d.x",
                     path, version, QK_MODEL_MAJOR);
  return 0;
}

/* A copy of ARRAY of node N from the file. */
static int
read_array (const struct qk_tensorfile *f, struct qk_node *n,
            const struct qk_op_array *array)
{
  struct qk_format_entry e;
  struct qk_tensor t;
  int64_t at;
  char *name;
  int r;

  memset (&t, 0, sizeof t);
  t.dtype = array->dtype;
  array->shape (&n->op, &t.shape);
  if (asprintf (&name, "%s.%s", n->name, array->name) < 0)
    return qk_oom ("model");
  if ((at = qk_tensorfile_find (f, name)) < 0)
    r = qk_error (-EBADMSG, "tensor '%s' is missing", name);
  else /* the file's own size bounds what is allocated */
    r = qk_tensorfile_entry (f, at, &e);
  if (r == 0 && !qk_shape_equal (&e.tensor.shape, &t.shape)) {
    char found[96], want[96];

    r = qk_error (-EBADMSG, "tensor '%s' is %s, expected %s", name,
                  qk_shape_print (&e.tensor.shape, found, sizeof found),
                  qk_shape_print (&t.shape, want, sizeof want));
  }
  if (r == 0) {
    t.data = qk_alloc ((size_t) qk_shape_count (&t.shape)
                       * qk_dtype_size (t.dtype));
    if (t.data == NULL)
      r = qk_oom ("tensor '%s'", name);
  }
  *qk_op_array_at (&n->op, array) = t.data;
  if (r == 0)
    r = qk_tensorfile_read (f, at, &t, QK_LAYOUT_SAME);
  free (name);
  return r;
}

/* Copies of the arrays of an op from the file. */
static int
read_op (const struct qk_tensorfile *f, struct qk_node *n)
{
  const struct qk_op_array *array = qk_op_row (n->op.kind)->array;
  int r = 0;

  for (; array != NULL && array->name != NULL && r == 0; array++)
    r = read_array (f, n, array);
  return r;
}

/* The elements of a constant, for which there is room already. */
static int
read_constant (const struct qk_tensorfile *f, struct qk_value *v)
{
  struct qk_tensor t = constant_tensor (v, NULL);
  struct qk_format_entry e;
  char *name;
  int64_t at;
  int r;

  if (asprintf (&name, "constant.%s", v->name) < 0)
    return qk_oom ("model");
  at = qk_tensorfile_find (f, name);
  if (at < 0)
    r = qk_error (-EBADMSG, "tensor '%s' is missing", name);
  else if ((r = qk_tensorfile_entry (f, at, &e)) == 0
           && !qk_shape_equal (&e.tensor.shape, &t.shape))
    r = qk_error (-EBADMSG,
                  "tensor '%s' does not have the shape of its constant", name);
  if (r == 0) {
    v->constant = t.data = qk_alloc ((size_t) qk_shape_count (&t.shape)
                                     * qk_dtype_size (t.dtype));
    r = t.data == NULL ? qk_oom ("tensor '%s'", name)
                       : qk_tensorfile_read (f, at, &t, QK_LAYOUT_SAME);
  }
  free (name);
  return r;
}

static int
read_arrays (const struct qk_tensorfile *f, struct qk_graph *g)
{
  int i, j, r;

  for (i = 0; i < g->n_values; i++)
    if (g->value[i].producer < 0 && !qk_graph_is_input (g, i)
        && (r = read_constant (f, &g->value[i])) < 0)
      return r;

  for (i = 0; i < g->n_nodes; i++) {
    struct qk_node *n = &g->node[i];
    struct qk_shape in[QK_OP_MAX_INPUTS];
    const struct qk_shape *out = &g->value[n->out].shape;

    if (!n->lowered)
      continue;
    if ((r = read_op (f, n)) < 0)
      return r;
    for (j = 0; j < n->n_in; j++)
      in[j] = g->value[n->in[j]].shape;
    if ((r = qk_op_check_node (&n->op, in, out)) < 0)
      return r;
    n->traits.macs = qk_op_macs (&n->op, in, out);
  }
  for (i = 0; i < g->n_params; i++) {
    const int64_t at = qk_tensorfile_find (f, g->param[i].name);

    if (at < 0)
      return qk_error (-EBADMSG, "tensor '%s' is missing", g->param[i].name);
    r = qk_tensorfile_read (f, at, &g->param[i].value, QK_LAYOUT_SAME);
    if (r < 0)
      return r;
  }
  return qk_limit_work (g);
}

int
qk_model_read (struct qk_context *ctx, const struct qk_tensorfile *f,
               int64_t size, struct qk_model **out)
{
  const char *path = qk_tensorfile_path (f), *text;
  struct qk_model *m = calloc (1, sizeof *m);
  int r;

  if (m == NULL)
    return qk_oom ("%s", path);
  r = check_version (path, qk_tensorfile_metadata (f, "qatkit.model"));
  if (r < 0)
    goto error;
  text = qk_tensorfile_metadata (f, "qatkit.graph");
  if (text == NULL) {
    r = qk_error (-EBADMSG, "%s: no 'qatkit.graph' in its metadata", path);
    goto error;
  }
  if ((r = qk_graph_from_json (ctx, path, text, size, &m->graph)) < 0)
    goto error;
  if ((r = read_arrays (f, m->graph)) < 0) {
    qk_error_prefix (r, "%s: ", path);
    goto error;
  }
  r = qk_specs_from_json (path, qk_tensorfile_metadata (f, "qatkit.targets"),
                          &m->target, &m->n_targets);
  if (r < 0)
    goto error;
  text = qk_tensorfile_metadata (f, "qatkit.config");
  m->config = strdup (text == NULL ? "" : text);
  if (m->config == NULL) {
    r = qk_oom ("%s", path);
    goto error;
  }
  *out = m;
  return 0;

error:
  qk_model_free (m);
  return r;
}

int
qk_model_load (struct qk_context *ctx, const char *path, struct qk_model **out)
{
  struct qk_tensorfile *f;
  struct stat st;
  int r;

  if (stat (path, &st) < 0)
    return qk_error (-errno, "%s: %s", path, strerror (errno));
  if ((r = qk_tensorfile_open (ctx, path, NULL, &f)) < 0)
    return r;
  r = qk_model_read (ctx, f, (int64_t) st.st_size, out);
  qk_tensorfile_close (f);
  return r;
}

void
qk_model_free (struct qk_model *m)
{
  if (m == NULL)
    return;
  qk_graph_free (m->graph);
  qk_specs_free (m->target, m->n_targets);
  free (m->config);
  free (m);
}
