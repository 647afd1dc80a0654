/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hessian.c: Hutchinson's estimator of traces, one vector for all layers:
 *   E [v_i H_ii v_i + sum over j != i of v_i H_ij v_j] = trace (H_ii)
 * for independent 1 and -1.  Each layer moves by a part of the size its weights
 * have, e r_i v_i with r_i the root of their mean square, so that
 *   (grad_i (w + e r v) - grad_i (w - e r v)) / (2 e) = sum over j of H_ij r_j v_j
 * and v_i times that by r_i has the same mean. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/rng.h>

#include "analyze/hessian.h"

/* e: far above what float32 rounds, and small beside the weights. */
#define STEP 0.01

/* The weights of a node. */
struct layer {
  int node;
  struct qk_param *param;
  size_t n;
  double size;       /* r */
  float *was, *grad; /* the weights, the gradient on one side; owned */
  int8_t *v;         /* owned */
  double sum;        /* of the probes so far */
};

struct layers {
  const struct qk_hessian *h;
  int n;
  struct layer *layer; /* owned */
};

static void
clear (struct layers *l)
{
  for (int i = 0; i < l->n; i++) {
    qk_free (l->layer[i].was);
    qk_free (l->layer[i].grad);
    qk_free (l->layer[i].v);
  }
  free (l->layer);
}

static int
add_layer (struct layers *l, int node, struct qk_param *p)
{
  struct layer *y = &l->layer[l->n++];
  const float *w = p->value.data;
  double square = 0;

  y->node = node;
  y->param = p;
  y->n = (size_t) qk_shape_count (&p->value.shape);
  y->was = qk_alloc (y->n * sizeof *y->was);
  y->grad = qk_alloc (y->n * sizeof *y->grad);
  y->v = qk_alloc (y->n);
  if (y->was == NULL || y->grad == NULL || y->v == NULL)
    return qk_oom ("hessian of '%s'", p->name);
  memcpy (y->was, w, y->n * sizeof *w);
  for (size_t k = 0; k < y->n; k++)
    square += (double) w[k] * (double) w[k];
  y->size = sqrt (square / (double) y->n);
  return 0;
}

static int
find_layers (struct layers *l)
{
  const struct qk_graph *g = l->h->g;
  int r = 0;

  l->layer = calloc ((size_t) g->n_nodes + 1, sizeof *l->layer);
  if (l->layer == NULL)
    return qk_oom ("hessian");
  for (int i = 0; r == 0 && i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    struct qk_param *weight = NULL;

    for (int j = 0; j < n->n_params; j++)
      if (g->param[n->param[j]].spec.flags & QK_PARAM_WEIGHT)
        weight = &g->param[n->param[j]];
    if (n->traits.role == QK_ROLE_WEIGHTED && weight != NULL)
      r = add_layer (l, i, weight);
  }
  return r;
}

/* Another v of all layers. */
static void
draw (struct layers *l, int probe)
{
  struct qk_rng rng;

  qk_rng_seed (&rng, l->h->seed, (uint64_t) probe);
  for (int i = 0; i < l->n; i++) {
    uint64_t bits = 0;

    for (size_t k = 0; k < l->layer[i].n; k++, bits >>= 1) {
      if (k % 64 == 0)
        bits = qk_rng_u64 (&rng);
      l->layer[i].v[k] = bits & 1 ? 1 : -1;
    }
  }
}

/* All weights moved by BY times their sizes along v. */
static void
move (struct layers *l, double by)
{
  for (int i = 0; i < l->n; i++) {
    const struct layer *y = &l->layer[i];
    float *w = y->param->value.data;

    for (size_t k = 0; k < y->n; k++)
      w[k] = (float) ((double) y->was[k] + by * y->size * y->v[k]);
  }
}

static void
put_back (struct layers *l)
{
  for (int i = 0; i < l->n; i++)
    memcpy (l->layer[i].param->value.data, l->layer[i].was,
            l->layer[i].n * sizeof (float));
}

static int
gradients_at (struct layers *l, double by)
{
  int r;

  move (l, by);
  if ((r = qk_graph_zero_grad (l->h->g)) < 0)
    return r;
  return l->h->gradients (l->h->cookie);
}

static int
probe (struct layers *l, int number)
{
  int r;

  draw (l, number);
  if ((r = gradients_at (l, STEP)) < 0)
    return r;
  for (int i = 0; i < l->n; i++)
    memcpy (l->layer[i].grad, l->layer[i].param->grad.data,
            l->layer[i].n * sizeof (float));
  if ((r = gradients_at (l, -STEP)) < 0)
    return r;
  for (int i = 0; i < l->n; i++) {
    struct layer *y = &l->layer[i];
    const float *down = y->param->grad.data;
    double sum = 0;

    for (size_t k = 0; k < y->n; k++)
      sum += y->v[k] * ((double) y->grad[k] - (double) down[k]);
    if (y->size > 0)
      y->sum += sum / (2 * STEP * y->size);
  }
  return 0;
}

int
qk_hessian_traces (const struct qk_hessian *h, double *mean)
{
  struct layers l = { .h = h };
  int r = find_layers (&l);

  if (r == 0) {
    for (int i = 0; r == 0 && i < h->probes; i++)
      r = probe (&l, i);
    put_back (&l);
  }
  for (int i = 0; i < h->g->n_nodes; i++)
    mean[i] = 0;
  for (int i = 0; i < l.n; i++)
    mean[l.layer[i].node]
      = l.layer[i].sum / ((double) h->probes * (double) l.layer[i].n);
  clear (&l);
  return r;
}
