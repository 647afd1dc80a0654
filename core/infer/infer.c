/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* infer.c: opening models for qatkit/infer.h, and what they are like. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "infer/infer-priv.h"
#include "plugin/loader-priv.h"

void
qk_infer_take_options (void *to, size_t known, const void *from, size_t size)
{
  memcpy (to, from, size < known ? size : known);
}

/* ---- opening ---------------------------------------------------------------
 */

/* The names for the elements of OUTPUT: those of the only target that has as
 * many. */
static void
take_categories (const struct qk_model *model, struct qk_infer_tensor *output)
{
  const struct qk_shape *s = &output->spec.shape;
  const int64_t last = s->dims[s->ndim - 1];
  int i;

  if (model->n_targets != 1)
    return;
  for (i = 0; i < model->n_targets; i++)
    if (last > 0 && model->target[i].categories == last) {
      output->spec.categories = last;
      output->spec.category = model->target[i].category;
    }
}

static void
describe (const struct qk_graph *g, int value, const char *name,
          struct qk_infer_tensor *out)
{
  const struct qk_value *v = &g->value[value];

  out->spec.name = name;
  out->spec.dtype = qk_value_dtype (g, value);
  out->spec.shape = v->shape;
  if (v->on_grid)
    out->q = v->q;
}

static int
describe_all (struct qk_infer *m)
{
  const struct qk_graph *g = m->model->graph;
  int i;

  m->input = calloc ((size_t) g->n_inputs + 1, sizeof *m->input);
  m->output = calloc ((size_t) g->n_outputs + 1, sizeof *m->output);
  if (m->input == NULL || m->output == NULL)
    return qk_oom ("model");
  for (i = 0; i < g->n_inputs; i++)
    describe (g, g->input[i], g->value[g->input[i]].name, &m->input[i]);
  for (i = 0; i < g->n_outputs; i++) {
    describe (g, g->output[i].value, g->output[i].name, &m->output[i]);
    take_categories (m->model, &m->output[i]);
  }
  return 0;
}

static bool
has_layers (const struct qk_graph *g)
{
  int i;

  for (i = 0; i < g->n_nodes; i++)
    if (!g->node[i].lowered)
      return true;
  return false;
}

/* A context in which nothing is loaded that the caller did not name. */
static int
open_context (struct qk_infer *m, const struct qk_infer_open_options *o)
{
  if ((m->ctx = qk_context_new ()) == NULL)
    return qk_oom ("model");
  qk_context_set_log (m->ctx, o->log, o->cookie, QK_LOG_WARNING);
  qk_context_only_given (m->ctx);
  return o->plugin_dir == NULL
           ? 0
           : qk_context_add_plugin_dir (m->ctx, o->plugin_dir);
}

/* The model in FILE, which is closed unless sessions will read it again. */
static int
take_model (struct qk_infer *m)
{
  int r = qk_model_read (m->ctx, m->file, m->size, &m->model);

  if (r == 0)
    r = describe_all (m);
  if (r == 0 && has_layers (m->model->graph))
    return 0;
  qk_tensorfile_close (m->file);
  free (m->bytes);
  m->file = NULL;
  m->bytes = NULL;
  return r;
}

static int
check_size (const char *name, uint64_t size,
            const struct qk_infer_open_options *o)
{
  if (o->max_file == 0 || size <= o->max_file)
    return 0;
  return qk_error (-EFBIG, "%s: %llu bytes, expected at most %llu", name,
                   (unsigned long long) size,
                   (unsigned long long) o->max_file);
}

/* The file at PATH, or (DATA) a copy of the SIZE bytes there. */
static int
open_file (struct qk_infer *m, const char *path, const void *data, size_t size,
           const struct qk_infer_open_options *o)
{
  struct stat st;
  int r;

  if (data == NULL) {
    if (stat (path, &st) < 0)
      return qk_error (-errno, "%s: %s", path, strerror (errno));
    m->size = (int64_t) st.st_size;
    if ((r = check_size (path, (uint64_t) st.st_size, o)) < 0)
      return r;
    return qk_tensorfile_open (m->ctx, path, NULL, &m->file);
  }
  m->size = (int64_t) size;
  if ((r = check_size (path, size, o)) < 0)
    return r;
  if ((m->bytes = malloc (size + 1)) == NULL)
    return qk_oom ("%s", path);
  memcpy (m->bytes, data, size);
  return qk_tensorfile_open_memory (m->ctx, path, m->bytes, size, &m->file);
}

static int
open_model (const char *path, const void *data, size_t size,
            const struct qk_infer_open_options *options, struct qk_infer **out)
{
  struct qk_infer_open_options o = QK_INFER_OPEN_OPTIONS;
  struct qk_infer *m = calloc (1, sizeof *m);
  int r;

  if (m == NULL)
    return qk_oom ("%s", path);
  pthread_mutex_init (&m->lock, NULL);
  if (options != NULL)
    qk_infer_take_options (&o, sizeof o, options, options->struct_size);
  m->max_memory = o.max_memory;
  if ((r = open_context (m, &o)) < 0
      || (r = open_file (m, path, data, size, &o)) < 0
      || (r = take_model (m)) < 0) {
    qk_infer_close (m);
    return r;
  }
  *out = m;
  return 0;
}

int
qk_infer_open (const char *path, const struct qk_infer_open_options *options,
               struct qk_infer **out)
{
  return open_model (path, NULL, 0, options, out);
}

int
qk_infer_open_memory (const void *data, size_t size,
                      const struct qk_infer_open_options *options,
                      struct qk_infer **out)
{
  if (data == NULL)
    return qk_error (-EINVAL, "qk_infer_open_memory: no data");
  return open_model ("model in memory", data, size, options, out);
}

void
qk_infer_close (struct qk_infer *m)
{
  if (m == NULL)
    return;
  qk_packed_free (m->packed);
  qk_infer_close_dataset (m);
  free (m->preprocessing);
  free (m->input);
  free (m->output);
  qk_model_free (m->model);
  qk_tensorfile_close (m->file);
  free (m->bytes);
  qk_context_free (m->ctx);
  pthread_mutex_destroy (&m->lock);
  free (m);
}

/* ---- what it is like -------------------------------------------------------
 */

int
qk_infer_inputs (const struct qk_infer *m)
{
  return m->model->graph->n_inputs;
}

const struct qk_infer_tensor *
qk_infer_input (const struct qk_infer *m, int i)
{
  return i >= 0 && i < qk_infer_inputs (m) ? &m->input[i] : NULL;
}

int
qk_infer_outputs (const struct qk_infer *m)
{
  return m->model->graph->n_outputs;
}

const struct qk_infer_tensor *
qk_infer_output (const struct qk_infer *m, int i)
{
  return i >= 0 && i < qk_infer_outputs (m) ? &m->output[i] : NULL;
}

int
qk_infer_targets (const struct qk_infer *m)
{
  return m->model->n_targets;
}

const struct qk_tensor_spec *
qk_infer_target (const struct qk_infer *m, int i)
{
  return i >= 0 && i < m->model->n_targets ? &m->model->target[i] : NULL;
}
