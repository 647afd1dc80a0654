/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tap.c: the place in a block's graph where a method puts a value on its grid, a
 * layer of its own behind the node that computes the value. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ptq/block-priv.h"

struct tap {
  const struct qk_ptq_block_options *opt;
  const struct qk_qparams *grid;
  int owner;
};

static void
tap_destroy (void *self)
{
  free (self);
}

static int
tap_infer (void *self, const struct qk_shape *in, int n_in,
           struct qk_shape *out)
{
  (void) self;
  (void) n_in;
  *out = *in;
  return 0;
}

static int
tap_params (void *self, struct qk_param_spec *out)
{
  const struct tap *t = self;

  out[0] = (struct qk_param_spec){ .name = "scale",
                                   .shape = { 1, { 1 } },
                                   .flags = QK_PARAM_TRAINED,
                                   .init = QK_INIT_CONSTANT,
                                   .init_value = t->grid->scale };
  return 1;
}

static int
tap_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->saved = (size_t) qk_shape_count (s->in);
  s->keep_out = false;
  return 0;
}

static struct qk_ptq_grid_call
call_of (const struct tap *t, const struct qk_layer_io *io)
{
  return (struct qk_ptq_grid_call){
    .grid = t->grid,
    .step = *(const float *) io->param->data,
    .n = (size_t) qk_shape_count (&io->in->shape),
    .x = io->in->data,
    .saved = io->saved,
  };
}

static int
tap_forward (void *self, struct qk_layer_io *io)
{
  const struct tap *t = self;
  const struct qk_ptq_grid_call call = call_of (t, io);

  return t->opt->forward (t->opt->cookie, &call, io->rng, io->out->data);
}

static int
tap_backward (void *self, struct qk_layer_io *io)
{
  const struct tap *t = self;
  const struct qk_ptq_grid_call call = call_of (t, io);
  /* where nobody wants dx, dy is read no more */
  float *dx = io->din->data != NULL ? io->din->data : io->dout->data;
  double dstep = 0.0;
  const int r
    = t->opt->backward (t->opt->cookie, &call, io->dout->data, dx, &dstep);

  *(float *) io->dparam->data += (float) dstep;
  return r;
}

static const struct qk_layer_class tap_class = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "tap",
                   "What a method makes of a value in training", NULL),
  .destroy = tap_destroy,
  .infer = tap_infer,
  .params = tap_params,
  .setup = tap_setup,
  .forward = tap_forward,
  .backward = tap_backward,
};

bool
qk_ptq_is_tap (const struct qk_node *n, int *owner)
{
  if (n->layer != &tap_class)
    return false;
  *owner = ((const struct tap *) n->self)->owner;
  return true;
}

/* Let the last node of G have the step of an earlier tap of the same owner, which
 * is a node. */
static void
share_step (struct qk_graph *g, int owner)
{
  struct qk_node *last = &g->node[g->n_nodes - 1];
  int i, other;

  for (i = 0; owner >= 0 && i < g->n_nodes - 1; i++)
    if (qk_ptq_is_tap (&g->node[i], &other) && other == owner) {
      last->param[0] = g->node[i].param[0];
      return;
    }
}

int
qk_ptq_tap (struct qk_graph *g, int value, int owner,
            const struct qk_qparams *grid,
            const struct qk_ptq_block_options *opt)
{
  struct tap *t = malloc (sizeof *t);
  char *name;
  int r;

  if (t == NULL)
    return qk_oom ("block");
  *t = (struct tap){ opt, grid, owner };
  if (asprintf (&name, "%s:grid", qk_value_name (g, value)) < 0) {
    free (t);
    return qk_oom ("block");
  }
  r = qk_graph_node_of (g, name, &tap_class, t, &value, 1);
  free (name);
  if (r >= 0)
    share_step (g, owner);
  return r;
}
