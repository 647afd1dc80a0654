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
#include "model/modelfile.h"

#define MAX_CLASSES 1000000

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

static void
op_shapes (const struct qk_op *op, struct qk_shape *weight,
           struct qk_shape *channel)
{
  memset (weight, 0, sizeof *weight);
  memset (channel, 0, sizeof *channel);
  weight->dims[0] = channel->dims[0] = op->out_channels;
  channel->ndim = 1;
  if (op->kind != QK_OP_CONV2D) {
    weight->ndim = 2;
    weight->dims[1] = op->in_channels;
    return;
  }
  weight->ndim = 4;
  weight->dims[1] = op->kernel_h;
  weight->dims[2] = op->kernel_w;
  weight->dims[3] = op->in_channels / (op->groups > 0 ? op->groups : 1);
}

static bool
has_arrays (const struct qk_node *n)
{
  return n->lowered
         && (n->op.kind == QK_OP_CONV2D || n->op.kind == QK_OP_LINEAR
             || n->op.kind == QK_OP_LINEAR_DYNAMIC);
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
    struct qk_shape weight, channel;

    if (!has_arrays (n))
      continue;
    op_shapes (&n->op, &weight, &channel);
    t.dtype = QK_I8;
    t.shape = weight;
    t.data = (void *) n->op.weight;
    if ((r = arrays_add (a, n->name, "weight", &t)) < 0)
      return r;
    t.shape = channel;
    t.dtype = n->op.kind == QK_OP_LINEAR_DYNAMIC ? QK_F32 : QK_I32;
    t.data = n->op.kind == QK_OP_LINEAR_DYNAMIC ? (void *) n->op.real_bias
                                                : (void *) n->op.bias;
    if ((r = arrays_add (a, n->name, "bias", &t)) < 0)
      return r;
    t.dtype = QK_F32;
    t.data = (void *) n->op.multiplier;
    if ((r = arrays_add (a, n->name, "multiplier", &t)) < 0)
      return r;
  }
  for (i = 0; i < g->n_params; i++)
    if ((r = arrays_add (a, g->param[i].name, "", &g->param[i].value)) < 0)
      return r;
  return 0;
}

static int
classes_to_text (const struct qk_model_info *info, char **out)
{
  json_t *names = json_array ();
  int i;

  *out = NULL;
  for (i = 0; i < info->classes; i++)
    if (json_array_append_new (names, qk_json_string (info->class_names[i]))
        < 0)
      break;
  if (i == info->classes)
    *out = qk_json_text (names, JSON_COMPACT);
  json_decref (names);
  return *out == NULL ? qk_oom ("model") : 0;
}

/* ---- writing --------------------------------------------------------------- */

int
qk_model_save (const struct qk_graph *g, const struct qk_model_info *info,
               const char *path)
{
  struct arrays a = { NULL, 0 };
  struct qk_format_meta meta[4];
  char *graph = NULL, *classes = NULL, version[32];
  int r;

  if (g->stage != QK_STAGE_INT8)
    return qk_error (-EINVAL, "%s: only int8 graphs are saved", path);
  if ((r = classes_to_text (info, &classes)) < 0
      || (r = qk_graph_to_json (g, &graph)) < 0 || (r = collect (g, &a)) < 0) {
    qk_error_prefix (r, "%s: ", path);
    goto end;
  }
  snprintf (version, sizeof version, "%d.%d", QK_MODEL_MAJOR, QK_MODEL_MINOR);
  meta[0].key = "qatkit.model";
  meta[0].value = version;
  meta[1].key = "qatkit.graph";
  meta[1].value = graph;
  meta[2].key = "qatkit.classes";
  meta[2].value = classes;
  meta[3].key = "qatkit.config";
  meta[3].value = info->config;
  r = qk_tensorfile_write (g->ctx, path, NULL, a.entry, a.n, meta, 4);
end:
  arrays_free (&a);
  free (graph);
  free (classes);
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

/* Copies of the arrays of an op from the file. */
static int
read_op (const struct qk_tensorfile *f, struct qk_node *n)
{
  struct qk_shape weight, channel;
  struct qk_tensor t[3];
  const char *suffix[3] = { "weight", "bias", "multiplier" };
  const bool dynamic = n->op.kind == QK_OP_LINEAR_DYNAMIC;
  const enum qk_dtype dtype[3] = { QK_I8, dynamic ? QK_F32 : QK_I32, QK_F32 };
  const void **where[3] = { (const void **) &n->op.weight,
                            dynamic ? (const void **) &n->op.real_bias
                                    : (const void **) &n->op.bias,
                            (const void **) &n->op.multiplier };
  int64_t at;
  int i, r = 0;

  op_shapes (&n->op, &weight, &channel);
  memset (t, 0, sizeof t);
  for (i = 0; i < 3 && r == 0; i++) {
    char *name;

    t[i].dtype = dtype[i];
    t[i].shape = i == 0 ? weight : channel;
    if (asprintf (&name, "%s.%s", n->name, suffix[i]) < 0)
      return qk_oom ("model");
    if ((at = qk_tensorfile_find (f, name)) < 0)
      r = qk_error (-EBADMSG, "tensor '%s' is missing", name);
    else {
      struct qk_format_entry e;

      /* the file's own size bounds what is allocated */
      r = qk_tensorfile_entry (f, at, &e);
      if (r == 0 && !qk_shape_equal (&e.tensor.shape, &t[i].shape))
        r = qk_error (-EBADMSG, "tensor '%s' has not the shape of its node",
                      name);
      if (r == 0) {
        t[i].data = qk_alloc ((size_t) qk_shape_count (&t[i].shape)
                              * qk_dtype_size (t[i].dtype));
        if (t[i].data == NULL)
          r = qk_oom ("tensor '%s'", name);
      }
      *where[i] = t[i].data;
      if (r == 0)
        r = qk_tensorfile_read (f, at, &t[i], QK_LAYOUT_SAME);
    }
    free (name);
  }
  return r;
}

static int
read_arrays (const struct qk_tensorfile *f, struct qk_graph *g)
{
  int i, j, r;

  for (i = 0; i < g->n_nodes; i++) {
    struct qk_node *n = &g->node[i];
    struct qk_shape in[QK_OP_MAX_INPUTS];
    const struct qk_shape *out = &g->value[n->out].shape;

    if (!n->lowered)
      continue;
    if (has_arrays (n) && (r = read_op (f, n)) < 0)
      return r;
    for (j = 0; j < n->n_in; j++)
      in[j] = g->value[n->in[j]].shape;
    if ((r = qk_op_check (&n->op, in, out)) < 0)
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

static int
read_classes (struct qk_model *m, const char *path, const char *text)
{
  json_t *a = text == NULL ? NULL : json_loads (text, 0, NULL);
  const size_t n = json_array_size (a);
  size_t i;
  int r = 0;

  if (!json_is_array (a) || n > MAX_CLASSES)
    r = qk_error (-EBADMSG, "%s: 'qatkit.classes' is not a list", path);
  else if ((m->class_names = calloc (n + 1, sizeof *m->class_names)) == NULL)
    r = qk_oom ("%s", path);
  for (i = 0; r == 0 && i < n; i++) {
    const char *s = json_string_value (json_array_get (a, i));

    m->class_names[i] = strdup (s == NULL ? "" : s);
    if (m->class_names[i] == NULL)
      r = qk_oom ("%s", path);
    else
      m->classes++;
  }
  json_decref (a);
  return r;
}

int
qk_model_load (struct qk_context *ctx, const char *path, struct qk_model **out)
{
  struct qk_model *m = calloc (1, sizeof *m);
  struct qk_tensorfile *f = NULL;
  const char *text;
  struct stat st;
  int r;

  if (m == NULL)
    return qk_oom ("%s", path);
  if (stat (path, &st) < 0) {
    r = qk_error (-errno, "%s: %s", path, strerror (errno));
    goto error;
  }
  if ((r = qk_tensorfile_open (ctx, path, NULL, &f)) < 0)
    goto error;
  r = check_version (path, qk_tensorfile_metadata (f, "qatkit.model"));
  if (r < 0)
    goto error;
  text = qk_tensorfile_metadata (f, "qatkit.graph");
  if (text == NULL) {
    r = qk_error (-EBADMSG, "%s: no 'qatkit.graph' in its metadata", path);
    goto error;
  }
  if ((r
       = qk_graph_from_json (ctx, path, text, (int64_t) st.st_size, &m->graph))
      < 0)
    goto error;
  if ((r = read_arrays (f, m->graph)) < 0) {
    qk_error_prefix (r, "%s: ", path);
    goto error;
  }
  r = read_classes (m, path, qk_tensorfile_metadata (f, "qatkit.classes"));
  if (r < 0)
    goto error;
  text = qk_tensorfile_metadata (f, "qatkit.config");
  m->config = strdup (text == NULL ? "" : text);
  if (m->config == NULL) {
    r = qk_oom ("%s", path);
    goto error;
  }
  qk_tensorfile_close (f);
  *out = m;
  return 0;

error:
  qk_tensorfile_close (f);
  qk_model_free (m);
  return r;
}

void
qk_model_free (struct qk_model *m)
{
  int i;

  if (m == NULL)
    return;
  qk_graph_free (m->graph);
  for (i = 0; i < m->classes; i++)
    free (m->class_names[i]);
  free (m->class_names);
  free (m->config);
  free (m);
}
