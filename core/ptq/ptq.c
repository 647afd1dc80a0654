/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptq.c: what methods of post-training quantization may do to a network. */
#include "config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op-priv.h"
#include "passes/passes.h"
#include "plugin/loader-priv.h"
#include "ptq/ptq-priv.h"
#include "quant/quantizer-priv.h"

int
qk_ptq_begin (struct qk_ptq *p, const struct qk_graph *g)
{
  return qk_pass_fuse (g, &p->real);
}

static void
drop_op (struct qk_ptq *p)
{
  qk_op_free_arrays (&p->op);
  memset (&p->op, 0, sizeof p->op);
}

void
qk_ptq_end (struct qk_ptq *p)
{
  int64_t i;
  int j;

  qk_exec_free (p->real_ex);
  qk_exec_free (p->quantized_ex);
  qk_graph_free (p->real);
  drop_op (p);
  for (i = 0; i < p->n_kept; i++)
    for (j = 0; j < QK_DATASET_MAX_TENSORS; j++)
      qk_free (p->kept[i].input[j]);
  free (p->kept);
}

/* The network whose weights are changed. */
static struct qk_graph *
at_hand (const struct qk_ptq *p)
{
  return p->quantized != NULL ? p->quantized : p->real;
}

static const struct qk_node *
node_at (const struct qk_ptq *p, int node)
{
  const struct qk_graph *g = at_hand (p);

  return node >= 0 && node < g->n_nodes ? &g->node[node] : NULL;
}

int
qk_ptq_count (const struct qk_ptq *p)
{
  return at_hand (p)->n_nodes;
}

static const struct qk_param *
weight_of (const struct qk_graph *g, const struct qk_node *n)
{
  int i;

  for (i = 0; i < n->n_params; i++)
    if (g->param[n->param[i]].spec.flags & QK_PARAM_WEIGHT)
      return &g->param[n->param[i]];
  return NULL;
}

void
qk_ptq_node (const struct qk_ptq *p, int node, struct qk_ptq_node *out)
{
  const struct qk_graph *g = at_hand (p);
  const struct qk_node *n = node_at (p, node);
  const struct qk_param *w;
  const struct qk_shape *in;
  int i;

  memset (out, 0, sizeof *out);
  if (n == NULL)
    return;
  out->name = n->name;
  out->layer = n->layer_name;
  out->role = n->traits.role;
  out->n_in = n->n_in;
  for (i = 0; i < n->n_in; i++)
    out->in[i] = g->value[n->in[i]].producer;
  out->consumers = g->value[n->out].n_consumers;
  out->lo = n->lo;
  out->hi = n->hi;
  out->quantized = n->weight_qz != NULL && n->int8;
  in = &g->value[n->out].shape;
  out->positions = qk_shape_count (in) / in->dims[in->ndim - 1];
  w = weight_of (g, n);
  if (out->role != QK_ROLE_WEIGHTED || w == NULL
      || n->layer->get_weight == NULL || n->layer->set_weight == NULL)
    return;
  in = &g->value[n->in[0]].shape;
  out->channels = w->value.shape.dims[0];
  out->per_channel = qk_shape_count (&w->value.shape) / out->channels;
  out->in_channels = in->dims[in->ndim - 1];
  /* both layouts end in the input channels of a group */
  out->groups
    = out->in_channels / w->value.shape.dims[w->value.shape.ndim - 1];
}

/* The parameters of a node of G, which is one of the two networks. */
static int
params_of (const struct qk_ptq *p, const struct qk_graph *g, int node,
           struct qk_tensor *param)
{
  struct qk_ptq_node info;
  int i;

  qk_ptq_node (p, node, &info);
  if (info.channels == 0)
    return qk_error (-EINVAL, "node '%s' has no weights that can be changed",
                     info.name != NULL ? info.name : "?");
  for (i = 0; i < g->node[node].n_params; i++)
    param[i] = g->param[g->node[node].param[i]].value;
  return 0;
}

static int
get_weight (const struct qk_ptq *p, const struct qk_graph *g, int node,
            float *weight, float *bias)
{
  struct qk_tensor param[QK_LAYER_MAX_PARAMS];
  const struct qk_node *n;
  int r;

  if ((r = params_of (p, g, node, param)) < 0)
    return r;
  n = &g->node[node];
  r = n->layer->get_weight (n->self, param, weight, bias);
  return r < 0 ? qk_error_prefix (r, "node '%s': ", n->name) : 0;
}

int
qk_ptq_get_weight (const struct qk_ptq *p, int node, float *weight,
                   float *bias)
{
  return get_weight (p, at_hand (p), node, weight, bias);
}

int
qk_ptq_real_weight (const struct qk_ptq *p, int node, float *weight,
                    float *bias)
{
  return get_weight (p, p->real, node, weight, bias);
}

/* It has read the weights, or the network, that now change. */
static void
forget_executor (struct qk_ptq *p)
{
  qk_exec_free (p->real_ex);
  p->real_ex = NULL;
}

int
qk_ptq_set_weight (struct qk_ptq *p, int node, const float *weight,
                   const float *bias)
{
  struct qk_tensor param[QK_LAYER_MAX_PARAMS];
  const struct qk_node *n = node_at (p, node);
  int r;

  if ((r = params_of (p, at_hand (p), node, param)) < 0)
    return r;
  if (p->quantized == NULL)
    forget_executor (p);
  r = n->layer->set_weight (n->self, param, weight, bias);
  return r < 0 ? qk_error_prefix (r, "node '%s': ", n->name) : 0;
}

int
qk_ptq_replace_clamp (struct qk_ptq *p, int node, const char *layer,
                      const char *options)
{
  struct qk_graph *g;
  int r;

  if (p->quantized != NULL || node_at (p, node) == NULL)
    return qk_error (-EINVAL, "a clamp can be replaced before calibration "
                              "only");
  if ((r = qk_graph_replace_clamp (p->real, node, layer, options, &g)) < 0)
    return r;
  forget_executor (p);
  qk_graph_free (p->real);
  p->real = g;
  return qk_grids_put (g);
}

/* ---- after calibration ---------------------------------------------------- */

struct qk_quantizer *
qk_ptq_weight_quantizer (const struct qk_ptq *p, int node)
{
  const struct qk_node *n = node_at (p, node);

  return n != NULL ? n->weight_qz : NULL;
}

bool
qk_ptq_weight_grid_stays (const struct qk_ptq *p, int node)
{
  const struct qk_node *n = node_at (p, node);
  const struct qk_param *w = n != NULL ? weight_of (at_hand (p), n) : NULL;

  return w != NULL && w->n_scales > 0;
}

int
qk_ptq_set_weight_grid (struct qk_ptq *p, int node, const struct qk_qparams *q)
{
  const struct qk_node *n = node_at (p, node);

  if (n == NULL || p->quantized == NULL || n->weight_qz == NULL
      || qk_ptq_weight_grid_stays (p, node))
    return qk_error (-EINVAL,
                     "node '%s' has no grid of weights that can be "
                     "changed",
                     n != NULL ? n->name : "?");
  return qk_quantizer_fix (n->weight_qz, q);
}

const struct qk_qparams *
qk_ptq_grid (const struct qk_ptq *p, int node, int *owner)
{
  const struct qk_graph *g = p->quantized;
  int v;

  *owner = -1;
  if (g == NULL || node_at (p, node) == NULL)
    return NULL;
  v = g->node[node].out;
  while (g->value[v].on_grid && g->value[v].qz == NULL
         && g->value[v].producer >= 0)
    v = g->node[g->value[v].producer].in[0];
  *owner = g->value[v].producer;
  return g->value[v].qz != NULL ? qk_quantizer_qparams (g->value[v].qz) : NULL;
}

bool
qk_ptq_grid_stays (const struct qk_ptq *p, int node)
{
  const struct qk_node *n = node_at (p, node);
  const struct qk_value *v = n != NULL ? &at_hand (p)->value[n->out] : NULL;

  return v != NULL && v->given.q.scale > 0 && v->given.keeps;
}

int
qk_ptq_set_grid (struct qk_ptq *p, int node, const struct qk_qparams *q)
{
  const struct qk_node *n = node_at (p, node);
  struct qk_quantizer *qz = n != NULL && p->quantized != NULL
                              ? p->quantized->value[n->out].qz
                              : NULL;

  if (qz == NULL || qk_ptq_grid_stays (p, node))
    return qk_error (-EINVAL, "node '%s' has no grid that can be changed",
                     n != NULL ? n->name : "?");
  return qk_quantizer_fix (qz, q);
}

int
qk_ptq_op (struct qk_ptq *p, int node, const struct qk_op **out)
{
  int r;

  if (p->quantized == NULL || node_at (p, node) == NULL)
    return qk_error (-EINVAL, "there are operations after calibration only");
  drop_op (p);
  r = qk_lower_node (p->quantized, node, &p->op);
  *out = &p->op;
  return r;
}

int
qk_ptq_keep (struct qk_ptq *p, int64_t wanted)
{
  const struct qk_dataset_info *d;
  struct qk_batch b;
  int i, r;

  if (p->n_kept >= wanted) /* who has enough needs no source */
    return 0;
  d = qk_batches_info (p->batches);
  if ((r = qk_batches_start (p->batches, 0, p->n_kept)) < 0)
    return r;
  while (p->n_kept < wanted && (r = qk_batches_next (p->batches, &b)) > 0) {
    struct qk_ptq_kept *k
      = realloc (p->kept, (size_t) (p->n_kept + 1) * sizeof *k);

    if (k == NULL)
      return qk_oom ("the calibration samples");
    p->kept = k;
    k = &k[p->n_kept++];
    memset (k, 0, sizeof *k);
    k->n = b.n;
    for (i = 0; i < d->n_inputs; i++) {
      const size_t size = (size_t) b.n * qk_spec_bytes (&d->input[i]);

      if ((k->input[i] = qk_alloc (size)) == NULL)
        return qk_oom ("the calibration samples");
      memcpy (k->input[i], b.input[i], size);
    }
  }
  return r < 0 ? r : 0;
}

int
qk_ptq_open (struct qk_ptq *p)
{
  const struct qk_exec_options opt
    = { .batch = p->batch, .threads = p->threads };
  int r;

  if (p->real_ex == NULL && (r = qk_exec_new (p->real, &opt, &p->real_ex)) < 0)
    return r;
  if (p->quantized_ex == NULL && p->quantized != NULL
      && (r = qk_exec_new (p->quantized, &opt, &p->quantized_ex)) < 0)
    return r;
  return 0;
}

/* Copies a value, as f32, and ends the pass there. */
struct tap {
  int value;
  struct qk_tensor copy; /* data owned; room for a full batch */
};

static int
take_value (void *cookie, int value, const struct qk_tensor *t)
{
  struct tap *tap = cookie;
  const int64_t n = qk_shape_count (&t->shape);
  float *x = tap->copy.data;
  int64_t i;

  if (value != tap->value)
    return 0;
  tap->copy.shape = t->shape;
  if (t->dtype == QK_F32)
    memcpy (x, t->data, (size_t) n * sizeof *x);
  else
    for (i = 0; i < n; i++)
      x[i] = (float) (((const uint8_t *) t->data)[i] - t->q.zero_point)
             * t->q.scale;
  return -ECANCELED;
}

static int
run_up_to (struct qk_exec *ex, struct tap *tap, const struct qk_ptq_kept *k)
{
  int r;

  qk_exec_set_hook (ex, take_value, tap);
  r = qk_exec_forward (ex, (const void *const *) k->input, k->n, 0);
  qk_exec_set_hook (ex, NULL, NULL);
  return r == -ECANCELED ? 0 : r;
}

int
qk_ptq_inputs (struct qk_ptq *p, int node, int64_t batches, qk_ptq_batch fn,
               void *cookie)
{
  const struct qk_node *n = node_at (p, node);
  struct tap real, quantized;
  const struct qk_value *v;
  size_t size;
  int64_t i;
  int r;

  if (n == NULL || n->n_in < 1)
    return qk_error (-EINVAL, "there is no node with such inputs");
  if (batches <= 0 || batches > p->limit)
    batches = p->limit;
  if ((r = qk_ptq_open (p)) < 0 || (r = qk_ptq_keep (p, batches)) < 0)
    return r;
  v = &at_hand (p)->value[n->in[0]];
  size = sizeof (float) * (size_t) (p->batch * qk_shape_count (&v->shape));
  memset (&real, 0, sizeof real);
  real.value = n->in[0];
  real.copy.dtype = QK_F32;
  quantized = real;
  real.copy.data = qk_alloc (size);
  quantized.copy.data = qk_alloc (size);
  r = real.copy.data == NULL || quantized.copy.data == NULL
        ? qk_oom ("node '%s': its input", n->name)
        : 0;
  for (i = 0; r == 0 && i < batches && i < p->n_kept; i++) {
    r = run_up_to (p->real_ex, &real, &p->kept[i]);
    if (r == 0 && p->quantized != NULL)
      r = run_up_to (p->quantized_ex, &quantized, &p->kept[i]);
    if (r == 0)
      r = fn (cookie, &real.copy,
              p->quantized != NULL ? &quantized.copy : NULL);
    if (r == 0 && qk_monitor_stopped (p->m))
      r = qk_error (-EINTR, "stopped");
  }
  qk_free (real.copy.data);
  qk_free (quantized.copy.data);
  return r;
}

/* ---- the surroundings ------------------------------------------------------ */

int
qk_ptq_threads (const struct qk_ptq *p)
{
  return p->threads;
}

const struct qk_backend_class *
qk_ptq_float_backend (const struct qk_ptq *p)
{
  return qk_context_float (p->real->ctx);
}

uint64_t
qk_ptq_seed (const struct qk_ptq *p)
{
  return p->seed;
}

int
qk_ptq_progress (struct qk_ptq *p, const char *what, int64_t done,
                 int64_t total)
{
  if (done == 0)
    qk_progress_begin (p->m->progress, what, total);
  qk_progress_update (p->m->progress, done, NAN);
  if (done >= total)
    qk_progress_end (p->m->progress);
  return qk_monitor_stopped (p->m) ? qk_error (-EINTR, "stopped") : 0;
}

void
qk_ptq_note (const struct qk_ptq *p, const char *fmt, ...)
{
  char text[512];
  va_list args;

  va_start (args, fmt);
  vsnprintf (text, sizeof text, fmt, args);
  va_end (args);
  qk_log (p->real->ctx, QK_LOG_INFO, "%s", text);
}

/* ---- the outputs --------------------------------------------------------- */

/* Add the signal of the outputs of A and the noise of those of B. */
static void
add_noise (const struct qk_exec *a, const struct qk_exec *b, int n,
           double *signal, double *noise)
{
  for (int i = 0; i < n; i++) {
    const struct qk_tensor *ta = qk_exec_output (a, i);
    const float *x = ta->data, *y = qk_exec_output (b, i)->data;
    const int64_t count = qk_shape_count (&ta->shape);

    for (int64_t j = 0; j < count; j++) {
      const double d = (double) y[j] - (double) x[j];

      *signal += (double) x[j] * (double) x[j];
      *noise += d * d;
    }
  }
}

int
qk_ptq_noise (struct qk_ptq *p, struct qk_graph *reference, int64_t batches,
              double *out)
{
  const struct qk_exec_options opt
    = { .batch = p->batch, .threads = p->threads };
  double signal = 0.0, noise = 0.0;
  struct qk_exec *ex = NULL;
  int64_t i;
  int r;

  if (p->limit > 0 && batches > p->limit)
    batches = p->limit;
  if ((r = qk_ptq_open (p)) < 0 || (r = qk_ptq_keep (p, batches)) < 0
      || (r = qk_exec_new (reference, &opt, &ex)) < 0)
    return r;
  for (i = 0; r == 0 && i < batches && i < p->n_kept; i++) {
    const void *const *input = (const void *const *) p->kept[i].input;

    r = qk_exec_forward (ex, input, p->kept[i].n, 0);
    if (r == 0)
      r = qk_exec_forward (p->quantized_ex, input, p->kept[i].n, 0);
    if (r == 0)
      add_noise (ex, p->quantized_ex, reference->n_outputs, &signal, &noise);
    if (r == 0 && qk_monitor_stopped (p->m))
      r = qk_error (-EINTR, "stopped");
  }
  qk_exec_free (ex);
  *out = signal > 0.0 ? noise / signal : noise;
  return r;
}
