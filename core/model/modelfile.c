/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* modelfile.c: int8 networks to files and back. */
#include "config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "base/json.h"
#include "graph/limits.h"
#include "graph/op-priv.h"
#include "io/checksum.h"
#include "io/tensorfile.h"
#include "model/json-graph.h"
#include "model/json-spec.h"
#include "model/modelfile.h"

/* ---- the arrays of a graph, for both directions -------------------------- */

struct arrays {
  struct qk_format_entry *entry;
  int64_t n;
  void **packed; /* those that are no views; owned */
  int n_packed;
};

static void
arrays_free (struct arrays *a)
{
  int64_t i;

  for (i = 0; i < a->n; i++)
    free ((char *) a->entry[i].name);
  free (a->entry);
  for (i = 0; i < a->n_packed; i++)
    free (a->packed[i]);
  free (a->packed);
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

/* ---- what packed files leave out --------------------------------------------
 */

/* The multiplier of output channel K, by the scales; 0 where OP has none. */
static float
multiplier_of (const struct qk_op *op, int64_t k)
{
  const float s_in = op->in_q[0].scale;
  float s_w;

  if (op->weight_scale == NULL)
    return 0;
  s_w = op->weight_scale[op->weight_scales == 1 ? 0 : k];
  return op->out_q.scale == 0 ? s_in * s_w
                              : qk_multiplier (s_in, s_w, op->out_q.scale);
}

/* Whether all multipliers of OP are these, to the bit. */
static bool
follows_from_scales (const struct qk_op *op)
{
  int64_t k;

  if (op->multiplier == NULL || op->weight_scale == NULL
      || (op->weight_scales != 1 && op->weight_scales != op->out_channels))
    return false;
  for (k = 0; k < op->out_channels; k++)
    if (op->multiplier[k] != multiplier_of (op, k))
      return false;
  return true;
}

/* Fill in the multipliers of NODE, which the file does not have. */
static int
make_multipliers (struct qk_node *n)
{
  float *m;
  int64_t k;

  if (n->op.weight_scale == NULL
      || (n->op.weight_scales != 1
          && n->op.weight_scales != n->op.out_channels))
    return qk_error (-EBADMSG, "tensor '%s.multiplier' is missing", n->name);
  m = qk_alloc ((size_t) n->op.out_channels * sizeof *m);
  if (m == NULL)
    return qk_oom ("tensor '%s.multiplier'", n->name);
  for (k = 0; k < n->op.out_channels; k++)
    m[k] = multiplier_of (&n->op, k);
  n->op.multiplier = m;
  return 0;
}

/* Whether ARRAY of OP is among those of a file. */
static bool
is_kept (const struct qk_op *op, const struct qk_op_array *array)
{
  return strcmp (array->name, "multiplier") != 0 || op->weight == NULL
         || qk_bits_of (op->weight, qk_op_weight_count (op)) == 8
         || !follows_from_scales (op);
}

/* The weight T of NODE, packed to BITS. */
static int
arrays_add_packed (struct arrays *a, const char *node, const char *suffix,
                   const struct qk_tensor *t, int bits)
{
  const int64_t count = qk_shape_count (&t->shape);
  struct qk_tensor p
    = { .dtype = QK_U8, .shape = { 1, { qk_bits_bytes (count, bits) } } };
  void **grown
    = realloc (a->packed, ((size_t) a->n_packed + 1) * sizeof *grown);
  char name[32];

  if (grown != NULL)
    a->packed = grown;
  if (grown == NULL
      || (p.data = malloc ((size_t) p.shape.dims[0] + 1)) == NULL)
    return qk_oom ("model");
  a->packed[a->n_packed++] = p.data;
  qk_bits_pack (t->data, count, bits, p.data);
  snprintf (name, sizeof name, "%s.i%d", suffix, bits);
  return arrays_add (a, node, name, &p);
}

/* An array of an op. */
static int
arrays_add_op (struct arrays *a, const char *node, const char *suffix,
               const struct qk_tensor *t)
{
  const int bits
    = t->dtype == QK_I8 ? qk_bits_of (t->data, qk_shape_count (&t->shape)) : 8;

  return bits < 8 ? arrays_add_packed (a, node, suffix, t, bits)
                  : arrays_add (a, node, suffix, t);
}

/* A constant with its elements DATA. */
static struct qk_tensor
constant_tensor (const struct qk_graph *g, int value, void *data)
{
  struct qk_tensor t;

  memset (&t, 0, sizeof t);
  t.dtype = qk_value_dtype (g, value);
  t.shape = g->value[value].shape;
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
      if (!is_kept (&op, own))
        continue;
      t.dtype = own->dtype;
      own->shape (&op, &t.shape);
      t.data = (void *) *qk_op_array_at (&op, own);
      if ((r = arrays_add_op (a, n->name, own->name, &t)) < 0)
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
    t = constant_tensor (g, i, v->constant);
    if ((r = arrays_add (a, "constant", v->name, &t)) < 0)
      return r;
  }
  return 0;
}

/* ---- writing --------------------------------------------------------------- */

/* The least format that has what G and its ARRAYS need: older programs read
 * the older ones. */
static int
minor_of (const struct qk_graph *g, const struct arrays *a)
{
  int i;

  for (i = 0; i < g->n_values; i++)
    if (qk_value_dtype (g, i) == QK_U16)
      return QK_MODEL_MINOR;
  return a->n_packed > 0 ? 1 : 0;
}

/* What the checksum covers besides the arrays, in this order. */
static const char *const keys[]
  = { "qatkit.model", "qatkit.graph", "qatkit.targets", "qatkit.config" };
#define N_KEYS ((int) (sizeof keys / sizeof keys[0]))
#define KEY_CHECKSUM "qatkit.checksum"

static void
print_checksum (uint32_t crc, char text[16])
{
  snprintf (text, 16, "%08" PRIx32, crc);
}

int
qk_model_save (const struct qk_graph *g, const struct qk_model_info *info,
               const char *path)
{
  struct arrays a = { NULL, 0, NULL, 0 };
  struct qk_format_meta meta[N_KEYS + 1];
  char *graph = NULL, *targets = NULL, version[32], sum[16];
  const char *value[N_KEYS];
  uint32_t crc;
  int i, r;

  if (g->stage != QK_STAGE_INT8)
    return qk_error (-EINVAL, "%s: only int8 graphs are saved", path);
  if ((r = qk_specs_to_json (info->target, info->n_targets, &targets)) < 0
      || (r = qk_graph_to_json (g, &graph)) < 0 || (r = collect (g, &a)) < 0) {
    qk_error_prefix (r, "%s: ", path);
    goto end;
  }
  snprintf (version, sizeof version, "%d.%d", QK_MODEL_MAJOR,
            minor_of (g, &a));
  value[0] = version;
  value[1] = graph;
  value[2] = targets;
  value[3] = info->config;
  for (i = 0; i < N_KEYS; i++)
    meta[i] = (struct qk_format_meta){ keys[i], value[i] };
  if ((r = qk_checksum_entries (a.entry, a.n, meta, N_KEYS, &crc)) < 0)
    goto end;
  print_checksum (crc, sum);
  meta[N_KEYS] = (struct qk_format_meta){ KEY_CHECKSUM, sum };
  r = qk_tensorfile_write (g->ctx, path, NULL, a.entry, a.n, meta, N_KEYS + 1);
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

/* The weight NAME, T without data yet, from where it is packed; -ENOENT
 * (without a sentence) if it is not. */
static int
read_packed (const struct qk_tensorfile *f, const char *name,
             struct qk_tensor *t)
{
  const int64_t count = qk_shape_count (&t->shape);
  struct qk_format_entry e;
  int64_t at = -1;
  char *packed;
  int bits, r;

  for (bits = 2; at < 0 && bits < 8; bits++) {
    if (asprintf (&packed, "%s.i%d", name, bits) < 0)
      return qk_oom ("model");
    at = qk_tensorfile_find (f, packed);
    free (packed);
  }
  if (at < 0)
    return -ENOENT;
  bits--;
  if ((r = qk_tensorfile_entry (f, at, &e)) < 0)
    return r;
  if (count < 0 || e.tensor.dtype != QK_U8 || e.tensor.shape.ndim != 1
      || e.tensor.shape.dims[0] != qk_bits_bytes (count, bits)) {
    char found[96];

    return qk_error (-EBADMSG, "tensor '%s' is %s %s, expected u8 (%lld)",
                     e.name, qk_dtype_name (e.tensor.dtype),
                     qk_shape_print (&e.tensor.shape, found, sizeof found),
                     (long long) qk_bits_bytes (count, bits));
  }
  if ((t->data = qk_alloc ((size_t) count)) == NULL)
    return qk_oom ("tensor '%s'", name);
  qk_bits_unpack (e.tensor.data, count, bits, t->data);
  return 0;
}

/* A copy of ARRAY of node N from the file; -ENOENT (without a sentence) if it
 * is not there. */
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
  if ((at = qk_tensorfile_find (f, name)) < 0) {
    r = t.dtype == QK_I8 ? read_packed (f, name, &t) : -ENOENT;
    *qk_op_array_at (&n->op, array) = t.data;
    free (name);
    return r;
  } else /* the file's own size bounds what is allocated */
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
  bool left_out = false;
  int r = 0;

  for (; array != NULL && array->name != NULL && r == 0; array++) {
    r = read_array (f, n, array);
    if (r == -ENOENT && strcmp (array->name, "multiplier") == 0) {
      left_out = true; /* the scales come after it */
      r = 0;
    }
  }
  if (r == -ENOENT) {
    array--;
    return qk_error (-EBADMSG, "tensor '%s.%s' is missing", n->name,
                     array->name);
  }
  return r == 0 && left_out ? make_multipliers (n) : r;
}

/* The elements of a constant, for which there is room already. */
static int
read_constant (const struct qk_tensorfile *f, struct qk_graph *g, int value)
{
  struct qk_value *v = &g->value[value];
  struct qk_tensor t = constant_tensor (g, value, NULL);
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
        && (r = read_constant (f, g, i)) < 0)
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

/* Compare the checksum of F with the one that it should have, and leave it in
 * M. */
static int
check_sum (struct qk_context *ctx, const struct qk_tensorfile *f,
           struct qk_model *m)
{
  const char *path = qk_tensorfile_path (f);
  const char *want = qk_tensorfile_metadata (f, KEY_CHECKSUM);
  const int64_t n = qk_tensorfile_count (f);
  struct qk_format_meta meta[N_KEYS];
  struct qk_format_entry *entry;
  uint32_t crc = 0;
  int64_t i;
  int r = 0;

  if (want == NULL) {
    qk_log (ctx, QK_LOG_WARNING,
            "%s: has no checksum, as models of older versions: damage is not "
            "noticed",
            path);
    return 0;
  }
  if ((entry = calloc ((size_t) n + 1, sizeof *entry)) == NULL)
    return qk_oom ("%s", path);
  for (i = 0; r == 0 && i < n; i++)
    r = qk_tensorfile_entry (f, i, &entry[i]);
  for (i = 0; i < N_KEYS; i++) {
    const char *value = qk_tensorfile_metadata (f, keys[i]);

    meta[i] = (struct qk_format_meta){ keys[i], value ? value : "" };
  }
  if (r == 0)
    r = qk_checksum_entries (entry, n, meta, N_KEYS, &crc);
  free (entry);
  if (r < 0)
    return r;
  print_checksum (crc, m->checksum);
  return strcmp (want, m->checksum) == 0
           ? 0
           : qk_error (-EBADMSG,
                       "%s: damaged: the checksum of its contents is %s, it "
                       "should be %.40s",
                       path, m->checksum, want);
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
  if ((r = check_sum (ctx, f, m)) < 0)
    goto error;
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
