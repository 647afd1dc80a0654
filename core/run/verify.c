/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify.c: fake-quantized against int8, node by node, byte by byte. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/verify.h"

static int
check_same_nodes (const struct qk_graph *a, const struct qk_graph *b)
{
  int i;

  if (a->n_nodes != b->n_nodes || a->n_values != b->n_values
      || a->n_inputs != b->n_inputs)
    return qk_error (-EINVAL, "the checkpoint has %d nodes, the int8 model %d",
                     a->n_nodes, b->n_nodes);
  for (i = 0; i < a->n_nodes; i++) {
    const struct qk_node *x = &a->node[i], *y = &b->node[i];

    if (strcmp (x->name, y->name) != 0
        || !qk_shape_equal (&a->value[x->out].shape, &b->value[y->out].shape)
        || a->value[x->out].on_grid != b->value[y->out].on_grid
        || (a->value[x->out].on_grid
            && a->value[x->out].wide != b->value[y->out].wide))
      return qk_error (-EINVAL,
                       "node %d is '%s' in the checkpoint and '%s' in the "
                       "int8 model, or differs in shape or type",
                       i, x->name, y->name);
  }
  return 0;
}

static void
compare (struct qk_verify *v, const struct qk_exec *fake,
         const struct qk_exec *int8)
{
  int i;

  for (i = 0; i < v->n; i++) {
    const struct qk_tensor *a = qk_exec_value (fake, i);
    const struct qk_tensor *b = qk_exec_value (int8, i);
    int64_t bytes;
    const int64_t d = qk_values_differing (a, b, &bytes);

    v->node[i].bytes += bytes;
    v->node[i].differing += d;
    v->bytes += bytes;
    v->differing += d;
  }
}

static void
compare_outputs (struct qk_verify *v, const struct qk_graph *g,
                 const struct qk_exec *kept, const struct qk_exec *used)
{
  int i;

  for (i = 0; i < g->n_outputs; i++) {
    int64_t bytes;

    v->outputs_differing += qk_values_differing (
      qk_exec_output (kept, i), qk_exec_output (used, i), &bytes);
  }
}

static int
new_result (const struct qk_graph *g, struct qk_verify **out)
{
  struct qk_verify *v = calloc (1, sizeof *v);
  int i;

  if (v != NULL)
    v->node = calloc ((size_t) g->n_values + 1, sizeof *v->node);
  if (v == NULL || v->node == NULL) {
    free (v);
    return qk_oom ("verify");
  }
  v->n = g->n_values;
  for (i = 0; i < g->n_values; i++) {
    const struct qk_value *value = &g->value[i];
    const struct qk_node *n
      = value->producer < 0 ? NULL : &g->node[value->producer];

    v->node[i].name = qk_value_name (g, i);
    v->node[i].layer = n != NULL ? n->layer_name : "quantize";
    v->node[i].int8 = n != NULL ? n->int8 : value->on_grid;
  }

  *out = v;
  return 0;
}

/* The executors of one comparison: all values are kept in the first two. */
struct runs {
  const struct qk_graph *g; /* the int8 network */
  struct qk_exec *fake, *int8, *used;
};

static int
compare_all (struct qk_verify *v, const struct runs *p, struct qk_data *data,
             int64_t limit, struct qk_monitor *m, const char *label)
{
  struct qk_batch batch;
  int r;
  memset (&batch, 0, sizeof batch);
  if ((r = qk_batches_start (data->batches, 0, 0)) < 0)
    return r;
  qk_progress_begin (m->progress, label,
                     limit > 0 ? limit * data->batch : data->info.count);
  while ((limit == 0 || v->samples == 0 || batch.index + 1 < limit)
         && (r = qk_batches_next (data->batches, &batch)) > 0) {
    if ((r = qk_exec_forward (p->fake, batch.input, batch.n, 0)) < 0
        || (r = qk_exec_forward (p->int8, batch.input, batch.n, 0)) < 0
        || (r = qk_exec_forward (p->used, batch.input, batch.n, 0)) < 0)
      break;
    compare (v, p->fake, p->int8);
    compare_outputs (v, p->g, p->int8, p->used);
    v->samples += batch.n;
    qk_progress_update (m->progress, v->samples, NAN);
    if (qk_monitor_stopped (m)) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
  }
  qk_progress_end (m->progress);

  return r < 0 ? r : 0;
}

/* Whether BACKEND promises numeric.h's bytes. */
static int
take_promise (struct qk_context *ctx, const char *backend, bool *exact)
{
  const struct qk_class *c;
  struct qk_backend_caps caps;
  int r;

  memset (&caps, 0, sizeof caps);
  if ((r = qk_context_class (ctx, QK_KIND_BACKEND, backend, &c)) < 0)
    return r;
  r = ((const struct qk_backend_class *) (const void *) c)->probe (&caps);
  *exact = caps.exact;
  return r;
}

int
qk_verify_run (struct qk_settings *settings, struct qk_graph *prepared,
               struct qk_graph *int8, const char *backend,
               struct qk_data *data, int64_t limit, struct qk_monitor *m,
               struct qk_verify **out)
{
  struct runs p = { .g = int8 };
  struct qk_exec_options opt;
  struct qk_verify *v = NULL;
  char label[64];
  int r;

  if ((r = check_same_nodes (prepared, int8)) < 0
      || (r = new_result (prepared, &v)) < 0)
    return r;
  qk_graph_set_observing (prepared, false, false);
  qk_settings_exec_options (settings, data->batch, false, &opt);
  opt.keep_values = true;
  opt.backend = backend;
  snprintf (label, sizeof label, "verify %s", backend);
  if ((r = qk_exec_new (prepared, &opt, &p.fake)) < 0
      || (r = qk_exec_new (int8, &opt, &p.int8)) < 0)
    goto end;
  opt.keep_values = false;
  if ((r = qk_exec_new (int8, &opt, &p.used)) < 0
      || (r
          = qk_exec_check_data (p.fake, data->info.input, data->info.n_inputs))
           < 0
      || (r
          = qk_exec_check_data (p.int8, data->info.input, data->info.n_inputs))
           < 0)
    goto end;
  v->fallbacks = qk_exec_fallbacks (p.int8, NULL);
  if ((r = take_promise (int8->ctx, backend, &v->exact)) < 0)
    goto end;
  r = compare_all (v, &p, data, limit, m, label);
end:
  qk_exec_free (p.fake);
  qk_exec_free (p.int8);
  qk_exec_free (p.used);
  if (r < 0) {
    qk_verify_free (v);
    return r;
  }
  *out = v;
  return 0;
}

void
qk_verify_free (struct qk_verify *v)
{
  if (v == NULL)
    return;
  free (v->node);
  free (v);
}
