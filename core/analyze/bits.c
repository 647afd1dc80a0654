/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bits.c: the weights of each layer alone, with each number of bits. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/bits.h"
#include "analyze/hessian.h"
#include "analyze/priv.h"
#include "bench/infer.h"
#include "graph/op-priv.h"
#include "quant/quantizer-priv.h"
#include "train/folded.h"

/* Costs nearer to each other than this are one: what a clock says of the same
 * work twice. */
#define SAME_TIME 0.03
/* Of each network's measurement. */
#define SECONDS 0.5

/* The network with one number of bits in all its layers. */
struct variant {
  struct qk_settings *settings;
  struct qk_graph *prepared, *int8;
  int *form; /* of each layer, which has these bits */
};

struct measuring {
  const struct qk_bits_options *opt;
  struct qk_analyzer z;
  struct qk_analyze_options analyze;
  struct qk_analysis analysis;
  struct variant variant[QK_MOST_FORMS];
  int *node;         /* of each layer */
  double *curvature; /* by node; NULL: noise is measured */
  struct qk_bits_table *t;
};

/* ---- the variants --------------------------------------------------------- */

/* The configuration with BITS wherever it has no pattern of its own. */
static int
with_bits (const struct qk_settings *settings, int bits,
           struct qk_settings **out)
{
  struct qk_ini *ini = NULL;
  char *text = NULL, number[16];
  int r;

  snprintf (number, sizeof number, "%d", bits);
  if ((r = qk_ini_text (settings->ini, &text)) == 0
      && (r = qk_ini_parse (text, strlen (text), "tune", &ini)) == 0
      && ((r = qk_ini_set (ini, "qconfig", "weight.bits", number, "tune")) < 0
          || (r = qk_ini_set (ini, "ptq", "methods", "", "tune")) < 0))
    qk_ini_free (ini);
  free (text);
  return r < 0 ? r : qk_settings_new (settings->ctx, ini, out);
}

static int
make_variant (struct measuring *u, struct variant *v, int bits)
{
  struct qk_session s = u->z.session;
  int r = with_bits (u->opt->settings, bits, &v->settings);

  s.settings = v->settings;
  if (r == 0)
    r = qk_session_calibrate (&s, u->opt->g, &v->prepared);
  if (r < 0)
    return r;
  qk_graph_set_observing (v->prepared, false, false);
  return qk_pass_convert (v->prepared, &v->int8);
}

/* ---- the layers ------------------------------------------------------------ */

static int
weight_bits (const struct qk_graph *g, int node)
{
  return qk_quantizer_info (g->node[node].weight_qz)->bits;
}

static int
list_layers (struct measuring *u, const struct qk_graph *g)
{
  struct qk_bits_table *t = u->t;
  int i;

  t->layer = calloc ((size_t) g->n_nodes + 1, sizeof *t->layer);
  u->node = calloc ((size_t) g->n_nodes + 1, sizeof *u->node);
  if (t->layer == NULL || u->node == NULL)
    return qk_oom ("tune");
  for (i = 0; i < g->n_nodes; i++) {
    if (g->node[i].weight_qz == NULL)
      continue;
    if ((t->layer[t->n].name = strdup (g->node[i].name)) == NULL)
      return qk_oom ("tune");
    t->layer[t->n].macs = g->node[i].traits.macs;
    u->node[t->n++] = i;
  }
  return 0;
}

/* The form of layer L that has BITS; -1: none yet. */
static int
find_form (const struct qk_bits_layer *l, int bits)
{
  for (int k = 0; k < l->n; k++)
    if (l->bits[k] == bits)
      return k;
  return -1;
}

/* ---- noise ------------------------------------------------------------------- */

/* The noise in the outputs where only the weights of NODE are quantized. */
static int
noise_of (struct measuring *u, struct qk_switch *sw, int node, double *noise)
{
  struct qk_analyze_point p;
  int r;

  qk_switch_set (sw, QK_SWITCH_WEIGHTS, sw->g->node[node].out, false);
  if ((r = qk_analyze_point (&u->z, sw->g, &p)) == 0)
    *noise = isfinite (p.sqnr) ? pow (10, -p.sqnr / 10) : 0;
  return r;
}

/* ---- the Hessian --------------------------------------------------------------- */

/* The float network in training on the subset. */
struct trainer {
  struct measuring *u;
  struct qk_exec *ex;
  struct qk_exec_loss loss[QK_OBJECTIVE_AT_WORK];
  int64_t done; /* samples, for the progress */
};

/* Gradients of the mean loss over the subset. */
static int
add_gradients (void *cookie)
{
  struct trainer *t = cookie;
  const struct qk_analyzer *z = &t->u->z;
  const void *input[QK_DATASET_MAX_TENSORS], *target[QK_DATASET_MAX_TENSORS];
  struct qk_tensor ref[QK_MAX_REFERENCES];
  struct qk_batch b;
  double loss;
  int r = 0;

  for (int64_t i = 0, n; r == 0 && i < z->subset.n; i += n) {
    n = z->subset.n - i < z->subset.batch ? z->subset.n - i : z->subset.batch;
    qk_subset_batch (z, i, n, input, target, &b);
    qk_exec_set_weight (t->ex, (double) n / (double) z->subset.n);
    qk_exec_set_step (t->ex, t->u->opt->settings->seed, (uint64_t) i);
    if ((r = qk_exec_forward (t->ex, input, n, QK_PASS_TRAIN)) < 0)
      break;
    qk_objective_references (z->session.objective, &b, NULL, ref);
    r = qk_exec_backward (t->ex, ref, &loss);
    if (r == 0 && qk_monitor_stopped (t->u->opt->m))
      r = qk_error (-EINTR, "stopped");
    qk_progress_update (t->u->opt->m->progress, t->done += n, NAN);
  }
  return r;
}

/* The curvature of the loss in the weights of each node of the float network. */
static int
measure_curvature (struct measuring *u)
{
  const struct qk_objective *o = u->z.session.objective;
  struct qk_progress *progress = u->opt->m->progress;
  struct trainer t = { .u = u };
  struct qk_graph *g = u->z.float_g;
  const struct qk_hessian h = { .g = g,
                                .probes = u->opt->probes,
                                .seed = u->opt->settings->seed,
                                .gradients = add_gradients,
                                .cookie = &t };
  struct qk_exec_options opt;
  int r;

  u->curvature = calloc ((size_t) g->n_nodes + 1, sizeof *u->curvature);
  if (u->curvature == NULL)
    return qk_oom ("tune");
  qk_settings_exec_options (u->opt->settings, u->z.subset.batch, true, &opt);
  opt.n_losses = qk_objective_losses (o, QK_DURING_TRAIN, false, t.loss);
  opt.loss = t.loss;
  if (opt.n_losses == 0)
    return qk_settings_key_error (
      qk_error (-EINVAL,
                "hessian, but no loss counts in float training, whose "
                "curvature it would be"),
      u->opt->settings->tune, "tune", "sensitivity");
  if ((r = qk_exec_new (g, &opt, &t.ex)) < 0)
    return r;
  qk_progress_begin (progress, "curvature",
                     2 * u->opt->probes * u->z.subset.n);
  r = qk_hessian_traces (&h, u->curvature);
  qk_progress_end (progress);
  qk_exec_free (t.ex);
  return r;
}

/* How far the weights of NODE of the prepared G are from its parameters, squared:
 * in units of the parameters, where batch-norm is folded in. */
static int
squared_change (const struct qk_graph *g, int node, double *sum)
{
  const struct qk_node *n = &g->node[node];
  const struct qk_qparams *q = qk_quantizer_qparams (n->weight_qz);
  const bool channels = qk_quantizer_channels (n->weight_qz) > 1;
  struct qk_folded f;
  int8_t *integer = NULL;
  int r = qk_folded_init (g, n, &f);

  *sum = 0;
  if (r == 0)
    r = qk_error (-ENOTSUP, "node '%s': layer '%s' does not tell its weights",
                  n->name, n->layer_name);
  if (r > 0 && (r = qk_folded_take (g, &f)) == 0
      && (integer = qk_alloc ((size_t) (f.channels * f.depth))) == NULL)
    r = qk_oom ("node '%s'", n->name);
  if (r == 0)
    r = qk_quantizer_forward_i8 (n->weight_qz, f.weight,
                                 (size_t) (f.channels * f.depth), integer);
  for (int64_t i = 0; r == 0 && i < f.channels * f.depth; i++) {
    const int64_t c = i / f.depth;
    const double d = (double) integer[i] * (double) q[channels ? c : 0].scale
                     - (double) f.weight[i];

    if (f.k[c] < 0 || f.k[c] > 0)
      *sum += d / (double) f.k[c] * (d / (double) f.k[c]);
  }
  qk_free (integer);
  qk_folded_clear (&f);
  return r;
}

/* ---- forms ----------------------------------------------------------------------- */

/* What layer I loses in variant V, SW being of its network. */
static int
lost_by (struct measuring *u, struct qk_switch *sw, const struct variant *v,
         int i, double *lost)
{
  const double curvature = u->curvature != NULL ? u->curvature[u->node[i]] : 0;
  int r;

  if (u->curvature == NULL)
    return noise_of (u, sw, u->node[i], lost);
  if ((r = squared_change (v->prepared, u->node[i], lost)) == 0)
    *lost *= curvature > 0 ? curvature : 0; /* of a maximum: nothing is lost */
  return r;
}

/* Add the forms that variant V has and no earlier one had. */
static int
add_forms (struct measuring *u, struct variant *v)
{
  struct qk_progress *progress = u->opt->m->progress;
  struct qk_switch sw;
  int i, r = 0;

  memset (&sw, 0, sizeof sw);
  if (u->curvature == NULL)
    r = qk_switch_init (&sw, v->prepared);
  for (i = 0; r == 0 && i < u->t->n; i++) {
    struct qk_bits_layer *l = &u->t->layer[i];
    /* those of other layers are switched off */
    const int bits = u->curvature == NULL
                       ? qk_quantizer_info (sw.weight[u->node[i]])->bits
                       : weight_bits (v->prepared, u->node[i]);

    if ((v->form[i] = find_form (l, bits)) < 0) {
      v->form[i] = l->n++;
      l->bits[v->form[i]] = bits;
      r = lost_by (u, &sw, v, i, &l->noise[v->form[i]]);
    }
    qk_progress_update (progress, (i + 1) * u->z.subset.n, NAN);
  }
  qk_switch_clear (&sw);
  return r;
}

/* ---- cost ---------------------------------------------------------------------- */

/* Bits of the first input of NODE, as far as it is quantized. */
static int
input_bits (const struct qk_graph *g, int node)
{
  const struct qk_quantizer *qz = g->value[g->node[node].in[0]].qz;

  return qz != NULL ? qk_quantizer_info (qz)->bits : 8;
}

/* Cost of NODE in variant V, and of the whole network, but for seconds. */
static double
cost_of (const struct measuring *u, const struct variant *v, int node)
{
  const struct qk_node *n = &v->int8->node[node];
  const int bits = v->prepared->node[node].weight_qz != NULL
                     ? weight_bits (v->prepared, node)
                     : 8;

  if (u->opt->cost == QK_COST_BYTES)
    return n->lowered ? (double) qk_op_bytes (&n->op) : 0;
  return (double) n->traits.macs * bits * input_bits (v->prepared, node);
}

static double
whole_cost (const struct measuring *u, const struct variant *v)
{
  double sum = 0;

  if (u->opt->cost == QK_COST_BYTES)
    return (double) qk_graph_bytes (v->int8);
  for (int i = 0; i < v->int8->n_nodes; i++)
    sum += cost_of (u, v, i);
  return sum;
}

/* What the layers of variant V cost; of the FIRST also what is left. */
static void
count_costs (struct measuring *u, const struct variant *v, bool first)
{
  if (first)
    u->t->rest = whole_cost (u, v);
  for (int i = 0; i < u->t->n; i++) {
    const double cost = cost_of (u, v, u->node[i]);

    u->t->layer[i].cost[v->form[i]] = cost;
    if (first)
      u->t->rest -= cost;
  }
}

/* Seconds of layer I in the variants C, by form; those that are the same but
 * for the clock get the time of the most bits. */
static void
take_seconds (struct measuring *u, struct qk_bench_case *c, int i)
{
  struct qk_bits_layer *l = &u->t->layer[i];
  int k, most = 0;

  for (k = 0; k < u->opt->n_bits; k++)
    l->cost[u->variant[k].form[i]]
      = qk_timing_median (&c[k].node[u->node[i] + 1]);
  for (k = 1; k < l->n; k++)
    most = l->bits[k] > l->bits[most] ? k : most;
  for (k = 0; k < l->n; k++)
    if (fabs (l->cost[k] - l->cost[most]) < SAME_TIME * l->cost[most])
      l->cost[k] = l->cost[most];
}

static int
measure_seconds (struct measuring *u)
{
  const struct qk_bench_options opt
    = { .batch = 1, .seconds = SECONDS, .nodes = true };
  struct qk_bench_case c[QK_MOST_FORMS];
  const void *input[QK_DATASET_MAX_TENSORS], *target[QK_DATASET_MAX_TENSORS];
  struct qk_batch b;
  int i, r = 0;

  memset (c, 0, sizeof c);
  qk_subset_batch (&u->z, 0, 1, input, target, &b);
  for (i = 0; r == 0 && i < u->opt->n_bits; i++) {
    c[i].name = u->opt->settings->backend_class->cls.name;
    c[i].g = u->variant[i].int8;
    r = qk_bench_open (&c[i], u->opt->settings->threads, 1);
  }
  if (r == 0)
    r = qk_bench_measure (c, u->opt->n_bits, input, &opt, u->opt->m);
  if (r == 0) {
    u->t->rest = qk_timing_median (&c[0].whole);
    for (i = 0; i < u->t->n; i++) {
      u->t->rest -= qk_timing_median (&c[0].node[u->node[i] + 1]);
      take_seconds (u, c, i);
    }
    u->t->rest = u->t->rest > 0 ? u->t->rest : 0;
  }
  for (i = 0; i < u->opt->n_bits; i++)
    qk_bench_close (&c[i]);
  return r;
}

/* ---- the whole -------------------------------------------------------------------- */

static int
begin (struct measuring *u)
{
  struct qk_analyzer *z = &u->z;
  int r;

  u->analyze.settings = u->opt->settings;
  u->analyze.m = u->opt->m;
  u->analyze.subject = "tune";
  u->analyze.samples = u->opt->samples;
  z->opt = &u->analyze;
  z->a = &u->analysis;
  z->session.settings = u->opt->settings;
  z->session.m = u->opt->m;
  z->session.objective = u->opt->objective;
  z->a->score = qk_objective_first_score (u->opt->objective);
  if ((r = qk_data_open (u->opt->settings, QK_DATA_CALIBRATE,
                         &z->session.calibrate))
        < 0
      || (r = qk_data_open (u->opt->settings, QK_DATA_SUBSET, &z->data)) < 0
      || (r = qk_pass_fuse (u->opt->g, &z->float_g)) < 0)
    return r;
  return qk_analyze_subset (z);
}

/* Variant number K: what its layers lose and, unless it is to be timed with the
 * others, what they cost; what is not needed any more is freed. */
static int
measure_variant (struct measuring *u, int k)
{
  struct variant *v = &u->variant[k];
  char name[32];
  int r = make_variant (u, v, u->opt->bits[k]);

  if (r == 0 && k == 0)
    r = list_layers (u, v->prepared);
  if (r < 0)
    return r;
  if ((v->form = calloc ((size_t) u->t->n + 1, sizeof *v->form)) == NULL)
    return qk_oom ("tune");
  snprintf (name, sizeof name, "layers with %d bits", u->opt->bits[k]);
  qk_progress_begin (u->opt->m->progress, name, u->t->n * u->z.subset.n);
  r = add_forms (u, v);
  qk_progress_end (u->opt->m->progress);
  if (u->opt->cost != QK_COST_LATENCY) {
    if (r == 0)
      count_costs (u, v, k == 0);
    qk_graph_free (v->int8);
    v->int8 = NULL;
  }
  qk_graph_free (v->prepared);
  v->prepared = NULL;
  return r;
}

static void
end (struct measuring *u)
{
  int i;

  for (i = 0; i < u->opt->n_bits; i++) {
    qk_graph_free (u->variant[i].prepared);
    qk_graph_free (u->variant[i].int8);
    qk_settings_free (u->variant[i].settings);
    free (u->variant[i].form);
  }
  u->z.session.objective = NULL; /* borrowed */
  qk_analyzer_clear (&u->z);
  free (u->curvature);
  free (u->node);
}

int
qk_bits_measure (const struct qk_bits_options *opt, struct qk_bits_table **out)
{
  struct measuring u;
  int i, r;

  memset (&u, 0, sizeof u);
  u.opt = opt;
  if ((u.t = calloc (1, sizeof *u.t)) == NULL)
    return qk_oom ("tune");
  u.t->kind = opt->cost;
  r = begin (&u);
  if (r == 0 && opt->sensitivity == QK_SENSITIVITY_HESSIAN)
    r = measure_curvature (&u);
  for (i = 0; r == 0 && i < opt->n_bits; i++)
    r = measure_variant (&u, i);
  if (r == 0 && opt->cost == QK_COST_LATENCY)
    r = measure_seconds (&u);
  end (&u);
  if (r < 0) {
    qk_bits_free (u.t);
    return r;
  }
  *out = u.t;
  return 0;
}

void
qk_bits_free (struct qk_bits_table *t)
{
  int i;

  if (t == NULL)
    return;
  for (i = 0; i < t->n; i++)
    free (t->layer[i].name);
  free (t->layer);
  free (t);
}
