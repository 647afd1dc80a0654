/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weights.c: weights as their quantizers see them, channel by
 * channel, and how far batch-norm statistics have moved. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/priv.h"
#include "plugin/state-list.h"
#include "quant/quantizer-priv.h"

/* ---- the tap --------------------------------------------------------------
 * An observer that keeps what it sees.  Only the layer knows the weight that
 * is quantized (with batch-norm folded in), so the tap takes the place of the
 * weight's quantizer in one forward pass; state hands the copy out. */

struct tap {
  size_t n;
  float *x;
};

static int
tap_create (const struct qk_config *cfg, const struct qk_quant_info *info,
            void **self)
{
  struct tap *t = calloc (1, sizeof *t);

  (void) cfg;
  if (t == NULL)
    return qk_oom ("analyze");
  t->n = (size_t) (info->channels * info->per_channel);
  t->x = qk_alloc ((t->n + 1) * sizeof *t->x);
  if (t->x == NULL) {
    free (t);
    return qk_oom ("analyze");
  }
  *self = t;
  return 0;
}

static void
tap_destroy (void *self)
{
  struct tap *t = self;

  if (t == NULL)
    return;
  qk_free (t->x);
  free (t);
}

static int
tap_update (void *self, const float *x, size_t n)
{
  struct tap *t = self;

  memcpy (t->x, x, (n < t->n ? n : t->n) * sizeof *x);
  return 0;
}

static int
tap_range (void *self, float *min, float *max)
{
  (void) self;
  *min = -1;
  *max = 1;
  return 0;
}

static int
tap_state (void *self, struct qk_state *st)
{
  struct tap *t = self;

  return qk_state_add (st, "x", QK_F32, t->x, t->n);
}

static const struct qk_observer_class tap_class = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "tap",
                   "Keeps what it sees", NULL),
  .create = tap_create,
  .destroy = tap_destroy,
  .update = tap_update,
  .range = tap_range,
  .state = tap_state,
};

static int
new_tap (struct qk_graph *g, const struct qk_quantizer *qz, int64_t count,
         struct qk_quantizer **out)
{
  struct qk_quant_info info = *qk_quantizer_info (qz);
  int r;

  info.channels = 1;
  info.per_channel = count;
  r = qk_quantizer_new (g->ctx, &info, &tap_class, NULL, NULL, NULL, out);
  if (r == 0)
    qk_quantizer_set_observing (*out, true);
  return r;
}

/* Taps on all weights, by node, after a forward pass of a black sample. */
static int
tap_weights (struct qk_analyzer *z, struct qk_quantizer **tap)
{
  struct qk_graph *g = z->g;
  struct qk_exec_options opt;
  struct qk_exec *ex = NULL;
  int i, j, r = 0;

  qk_switch_set (&z->sw, QK_SWITCH_VALUES | QK_SWITCH_WEIGHTS, QK_SWITCH_ALL,
                 false);
  for (i = 0; r == 0 && i < g->n_nodes; i++) {
    struct qk_node *n = &g->node[i];

    for (j = 0; n->weight_qz != NULL && j < n->n_params; j++) {
      const struct qk_param *p = &g->param[n->param[j]];

      if (p->spec.flags & QK_PARAM_WEIGHT) {
        r = new_tap (g, n->weight_qz, qk_shape_count (&p->value.shape),
                     &tap[i]);
        break;
      }
    }
    if (tap[i] != NULL)
      n->weight_qz = tap[i];
  }
  qk_settings_exec_options (z->opt->settings, 1, false, &opt);
  if (r == 0 && (r = qk_exec_new (g, &opt, &ex)) == 0)
    r = qk_exec_forward (ex, (const void *const *) z->subset.input, 1, 0);
  qk_exec_free (ex);
  qk_switch_set (&z->sw, QK_SWITCH_VALUES | QK_SWITCH_WEIGHTS, QK_SWITCH_ALL,
                 false);
  return r;
}

/* ---- channels -------------------------------------------------------------*/

/* One output channel of a weight. */
struct channel {
  float min, max, grid;
  double range; /* largest |w| */
};

static int
by_range (const void *a, const void *b)
{
  const struct channel *x = a, *y = b;

  return (x->range < y->range) - (x->range > y->range);
}

/* Noise that the grids add to channel C; returns the signal. */
static double
channel_noise (const float *x, const int8_t *q, int64_t n, float scale,
               double *noise)
{
  double signal = 0;

  for (int64_t i = 0; i < n; i++) {
    const double d = (double) scale * q[i] - x[i];

    signal += (double) x[i] * x[i];
    *noise += d * d;
  }
  return signal;
}

/* Whether most weights that are not 0 became 0: a few are far larger. */
static bool
channel_vanishes (const float *x, const int8_t *q, int64_t n)
{
  int64_t set = 0, lost = 0;

  for (int64_t i = 0; i < n; i++) {
    set += x[i] != 0.0f;
    lost += x[i] != 0.0f && q[i] == 0;
  }
  return 2 * lost > set;
}

/* What the sorted channels say, widest first. */
static void
describe_channels (const struct channel *c, int64_t n,
                   struct qk_analyze_layer *l)
{
  int64_t used = n, i;

  while (used > 0 && c[used - 1].range <= 0)
    used--;
  if (used > 0) {
    l->range_ratio = c[0].range / c[used - 1].range;
    l->spare_bits = log2 (c[0].range / c[used / 2].range);
  }
  for (i = 0; i < 5; i++)
    l->quartile[i] = c[(n - 1) * (4 - i) / 4].range;
  l->shown = n < QK_ANALYZE_SHOWN ? (int) n : QK_ANALYZE_SHOWN;
  for (i = 0; i < l->shown; i++) {
    const struct channel *s
      = &c[l->shown > 1 ? i * (n - 1) / (l->shown - 1) : 0];

    l->channel_min[i] = s->min;
    l->channel_max[i] = s->max;
    l->channel_grid[i] = s->grid;
  }
}

static int
one_weight (struct qk_quantizer *qz, const float *x, int64_t count,
            int64_t channels, struct qk_analyze_layer *l)
{
  const struct qk_qparams *grid = qk_quantizer_qparams (qz);
  const bool many = qk_quantizer_channels (qz) > 1;
  const int64_t depth = count / channels;
  struct channel *c = calloc ((size_t) channels, sizeof *c);
  int8_t *q = malloc ((size_t) count + 1);
  double signal = 0, noise = 0;
  int r = -ENOMEM;

  if (c == NULL || q == NULL)
    qk_error (r, "analyze: out of memory");
  else
    r = qk_quantizer_forward_i8 (qz, x, (size_t) count, q);
  for (int64_t i = 0; r == 0 && i < channels; i++) {
    const struct qk_qparams *g = &grid[many ? i : 0];
    const float *w = x + i * depth;

    qk_range_find (w, (size_t) depth, &c[i].min, &c[i].max);
    c[i].range = fmax (fabs ((double) c[i].min), fabs ((double) c[i].max));
    c[i].grid = (float) g->qmax * g->scale;
    signal += channel_noise (w, q + i * depth, depth, g->scale, &noise);
    l->vanished += channel_vanishes (w, q + i * depth, depth);
  }
  if (r == 0) {
    qsort (c, (size_t) channels, sizeof *c, by_range);
    describe_channels (c, channels, l);
    l->channels = channels;
    l->raised = qk_quantizer_raised (qz);
    l->weight_sqnr = qk_decibel (signal, noise);
  }
  free (c);
  free (q);
  return r;
}

/* The copy in a tap, and what the layer's own quantizer makes of it. */
static int
read_tap (struct qk_analyzer *z, struct qk_quantizer *tap,
          struct qk_analyze_layer *l)
{
  const struct qk_node *n = &z->g->node[l->node];
  struct qk_state_list list = { NULL, 0 };
  struct qk_state st;
  size_t i;
  int j, r;

  qk_state_start (&st, qk_state_list_save, &list, false);
  r = qk_quantizer_state (tap, &st);
  for (j = 0; r == 0 && j < n->n_params; j++) {
    const struct qk_param *p = &z->g->param[n->param[j]];

    if (!(p->spec.flags & QK_PARAM_WEIGHT))
      continue;
    for (i = 0; r == 0 && i < list.n; i++)
      if (strcmp (list.array[i].name, "observer.x") == 0)
        r = one_weight (n->weight_qz, list.array[i].data,
                        (int64_t) list.array[i].count, p->value.shape.dims[0],
                        l);
    break;
  }
  qk_state_list_clear (&list);
  return r;
}

int
qk_analyze_weights (struct qk_analyzer *z)
{
  const int nodes = z->g->n_nodes;
  struct qk_quantizer **tap = calloc ((size_t) nodes + 1, sizeof *tap);
  int i, r;

  if (tap == NULL)
    return qk_oom ("analyze");
  r = tap_weights (z, tap);
  for (i = 0; r == 0 && i < z->a->n; i++) {
    struct qk_analyze_layer *l = &z->a->layer[i];

    if (l->has_weight && tap[l->node] != NULL)
      r = read_tap (z, tap[l->node], l);
  }
  for (i = 0; i < nodes; i++)
    qk_quantizer_free (tap[i]);
  free (tap);
  return r;
}

/* ---- batch-norm -------------------------------------------------------------*/

/* The running statistics of a node: buffers, mean first (layer.h). */
static bool
find_buffers (const struct qk_graph *g, const struct qk_node *n,
              const struct qk_param *p[2])
{
  int i, k = 0;

  for (i = 0; i < n->n_params && k < 2; i++)
    if (g->param[n->param[i]].spec.flags & QK_PARAM_BUFFER)
      p[k++] = &g->param[n->param[i]];
  return k == 2;
}

static void
drift (const struct qk_param *const now[2],
       const struct qk_param *const was[2], struct qk_analyze_layer *l)
{
  const int64_t n = qk_shape_count (&now[0]->value.shape);
  const float *mean = now[0]->value.data, *var = now[1]->value.data;
  const float *mean0 = was[0]->value.data, *var0 = was[1]->value.data;
  double sm = 0, sv = 0;

  for (int64_t i = 0; i < n; i++) {
    const double eps = 1e-5, d = (double) mean[i] - mean0[i];
    const double e = log ((var[i] + eps) / (var0[i] + eps));

    sm += d * d / (var0[i] + eps);
    sv += e * e;
  }
  l->has_bn = n > 0;
  l->bn_mean = n > 0 ? sqrt (sm / (double) n) : 0;
  l->bn_var = n > 0 ? sqrt (sv / (double) n) : 0;
}

int
qk_analyze_batchnorm (struct qk_analyzer *z)
{
  const struct qk_graph *g = z->g;
  int i, j;

  for (i = 0; z->original_g != NULL && i < z->a->n; i++) {
    struct qk_analyze_layer *l = &z->a->layer[i];
    const struct qk_param *now[2], *was[2];

    if (l->node < 0 || !find_buffers (g, &g->node[l->node], now))
      continue;
    for (j = 0; j < 2; j++)
      was[j] = qk_graph_find_param (z->original_g, now[j]->name);
    if (was[0] != NULL && was[1] != NULL
        && qk_shape_equal (&was[0]->value.shape, &now[0]->value.shape))
      drift (now, was, l);
  }
  return 0;
}
