/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* block.c: gradients of a block's distance from the float network.
 *
 * The samples of a step go through copies of the block, a share through each,
 * whose gradients are added up in their order: as many copies at a time as there
 * are threads, and the same result with any number of them. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/cpu.h>

#include "ptq/block-priv.h"

/* Copies of a block. */
#define COPIES 4

/* Partial sums. */
#define LANES 8

struct copy {
  struct qk_graph *g;
  struct qk_exec *ex;
  float *input[QK_GRAPH_MAX_INPUTS]; /* owned */
  /* room for a sample of the largest input, and a byte an element; owned */
  float *spare;
  uint8_t *random;
  struct qk_tensor wanted[QK_GRAPH_MAX_INPUTS]; /* of outputs; data owned */
  double error;
  int err; /* of the last step */
  char message[512];
};

struct qk_ptq_block {
  struct qk_ptq_walk *w; /* borrowed */
  struct qk_ptq_block_options opt;
  struct qk_exec_loss loss;
  int output[QK_GRAPH_MAX_INPUTS]; /* 0, 1, 2 …: those of the loss */
  int64_t share;                   /* the most samples of a copy */
  struct copy copy[COPIES];
};

/* ---- the distance as a loss -------------------------------------------------*/

static int64_t
positions (const struct qk_tensor *t)
{
  return qk_shape_count (&t->shape) / t->shape.dims[t->shape.ndim - 1];
}

/* The squared distance of N numbers, in lanes, so that every CPU level adds in the
 * same order. */
QK_LOOP_VALUE (static, double, squares,
               (const float *y, const float *t, int64_t n), (y, t, n))
{
  double lane[LANES] = { 0 }, sum = 0.0;
  int64_t i = 0;

  for (; i + LANES <= n; i += LANES) {
#pragma omp simd
    for (int j = 0; j < LANES; j++) {
      const double d = (double) y[i + j] - (double) t[i + j];

      lane[j] += d * d;
    }
  }
  for (int j = 0; i < n; i++, j++) {
    const double d = (double) y[i] - (double) t[i];

    lane[j] += d * d;
  }
  for (int j = 0; j < LANES; j++)
    sum += lane[j];
  return sum;
}

static int
distance_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  (void) self;
  *loss = 0.0;
  for (int k = 0; k < io->n_out; k++)
    *loss += squares (io->out[k].data, io->ref[k].data,
                      qk_shape_count (&io->out[k].shape))
             / (double) positions (&io->out[k]);
  return 0;
}

static int
distance_backward (void *self, const struct qk_loss_io *io)
{
  (void) self;
  for (int k = 0; k < io->n_out; k++) {
    const int64_t n = qk_shape_count (&io->out[k].shape);
    const float f
      = (float) (2.0 * io->scale / (double) positions (&io->out[k]));
    const float *y = io->out[k].data, *t = io->ref[k].data;
    float *dy = io->dout[k].data;

    for (int64_t i = 0; dy != NULL && i < n; i++)
      dy[i] = f * (y[i] - t[i]);
  }
  return 0;
}

static const struct qk_loss_class distance = {
  .cls = QK_CLASS (struct qk_loss_class, QK_KIND_LOSS, "distance",
                   "Squared distance in a position", NULL),
  .forward = distance_forward,
  .backward = distance_backward,
};

/* ---- making and freeing ------------------------------------------------------*/

/* Parameters of all copies are those of the first. */
static void
share_params (struct qk_ptq_block *b, struct copy *c)
{
  for (int i = 0; i < c->g->n_params; i++) {
    qk_free (c->g->param[i].value.data);
    c->g->param[i].value.data = b->copy[0].g->param[i].value.data;
  }
}

static int
make_room (const struct qk_ptq_block *b, struct copy *c)
{
  const struct qk_graph *g = c->g;
  int64_t most = 0;
  int i;

  for (i = 0; i < g->n_inputs; i++) {
    const int64_t n = qk_shape_count (&g->value[g->input[i]].shape);

    most = n > most ? n : most;
    c->input[i] = qk_alloc ((size_t) (n * b->share) * sizeof (float));
    if (c->input[i] == NULL)
      return qk_oom ("block");
  }
  c->spare = qk_alloc ((size_t) most * sizeof (float) + 1);
  c->random = qk_alloc ((size_t) most + 1);
  if (c->spare == NULL || c->random == NULL)
    return qk_oom ("block");
  for (i = 0; i < g->n_outputs; i++) {
    struct qk_tensor *t = &c->wanted[i];

    t->dtype = QK_F32;
    t->shape = qk_value_shape (g, g->output[i].value, b->share);
    t->data = qk_alloc ((size_t) qk_shape_count (&t->shape) * sizeof (float));
    if (t->data == NULL)
      return qk_oom ("block");
  }
  return 0;
}

static int
make_copy (struct qk_ptq_block *b, struct copy *c)
{
  const struct qk_exec_options opt = { .batch = b->share,
                                       .threads = 1,
                                       .train = true,
                                       .n_losses = 1,
                                       .loss = &b->loss };
  int r = qk_ptq_block_graph (b->w, &b->opt, &c->g);

  if (r < 0)
    return r;
  if (c != b->copy)
    share_params (b, c);
  b->loss.n_out = b->loss.n_ref = c->g->n_outputs;
  if ((r = qk_exec_new (c->g, &opt, &c->ex)) < 0)
    return r;
  return make_room (b, c);
}

int
qk_ptq_block_new (struct qk_ptq_walk *w,
                  const struct qk_ptq_block_options *opt,
                  struct qk_ptq_block **out)
{
  struct qk_ptq_block *b = calloc (1, sizeof *b);
  int i, r = 0;

  if (b == NULL)
    return qk_oom ("block");
  b->w = w;
  b->opt = *opt;
  b->share = (opt->batch + COPIES - 1) / COPIES;
  for (i = 0; i < QK_GRAPH_MAX_INPUTS; i++)
    b->output[i] = i;
  b->loss = (struct qk_exec_loss){ .name = "distance",
                                   .cls = &distance,
                                   .weight = 1.0,
                                   .out = b->output,
                                   .ref = b->output };
  for (i = 0; r == 0 && i < COPIES; i++)
    r = make_copy (b, &b->copy[i]);
  if (r < 0) {
    qk_ptq_block_free (b);
    return r;
  }
  *out = b;
  return 0;
}

void
qk_ptq_block_free (struct qk_ptq_block *b)
{
  int i, j;

  if (b == NULL)
    return;
  for (i = COPIES - 1; i >= 0; i--) {
    struct copy *c = &b->copy[i];

    qk_exec_free (c->ex);
    for (j = 0; i > 0 && c->g != NULL && j < c->g->n_params; j++)
      c->g->param[j].value.data = NULL; /* the first one's */
    qk_graph_free (c->g);
    qk_free (c->spare);
    qk_free (c->random);
    for (j = 0; j < QK_GRAPH_MAX_INPUTS; j++) {
      qk_free (c->input[j]);
      qk_free (c->wanted[j].data);
    }
  }
  free (b);
}

/* ---- what is trained ---------------------------------------------------------*/

static void
tell (const struct qk_param *p, struct qk_ptq_trained *out)
{
  out->n = qk_shape_count (&p->value.shape);
  out->value = p->value.data;
  out->gradient = p->grad.data;
}

int
qk_ptq_block_weight (struct qk_ptq_block *b, int node,
                     struct qk_ptq_trained *out)
{
  const struct qk_graph *g = b->copy[0].g;
  struct qk_ptq_node info;
  int i, at;

  qk_ptq_node (b->w->p, node, &info);
  at = info.channels > 0 ? qk_graph_find_node (g, info.name) : -1;
  for (i = 0; at >= 0 && i < g->node[at].n_params; i++) {
    const struct qk_param *p = &g->param[g->node[at].param[i]];

    if (p->spec.flags & QK_PARAM_WEIGHT) {
      tell (p, out);
      return 0;
    }
  }
  return qk_error (-EINVAL, "node '%s' has no weights in this block",
                   info.name != NULL ? info.name : "?");
}

int
qk_ptq_block_step (struct qk_ptq_block *b, int node,
                   struct qk_ptq_trained *out)
{
  const struct qk_graph *g = b->copy[0].g;
  int i, owner;

  for (i = 0; i < g->n_nodes; i++)
    if (qk_ptq_is_tap (&g->node[i], &owner) && owner == node) {
      tell (&g->param[g->node[i].param[0]], out);
      return 0;
    }
  return qk_error (-EINVAL, "node %d owns no grid in this block", node);
}

/* ---- a step ------------------------------------------------------------------*/

/* OUT becomes X where the random byte is below REAL. */
QK_LOOP (static, mix,
         (const uint8_t *restrict random, uint32_t real,
          const float *restrict x, size_t n, float *restrict out),
         (random, real, x, n, out))
{
#pragma omp simd
  for (size_t i = 0; i < n; i++)
    out[i] = random[i] < real ? x[i] : out[i];
}

/* Samples SAMPLE of block input V to OUT, the spare room of C in use. */
static void
take_input (const struct qk_ptq_block *b, struct copy *c, int v,
            const int64_t *sample, int64_t n, struct qk_rng *rng, float *out)
{
  const struct qk_ptq_walk *w = b->w;
  const struct qk_held *real = &w->real[v], *quantized = &w->quantized[v];
  const size_t size = (size_t) qk_shape_count (&w->p->real->value[v].shape);
  const uint32_t share = (uint32_t) lrint (b->opt.real * 256.0);

  for (int64_t i = 0; i < n; i++, out += size) {
    qk_held_read (quantized, qk_held_sample (w, quantized, sample[i]), size,
                  out);
    if (share == 0)
      continue;
    qk_held_read (real, qk_held_sample (w, real, sample[i]), size, c->spare);
    qk_rng_bytes (rng, c->random, size);
    mix (c->random, share, c->spare, size, out);
  }
}

/* What goes into copy C and what shall come out of it. */
static void
take_samples (const struct qk_ptq_block *b, struct copy *c,
              const int64_t *sample, int64_t n, uint64_t number)
{
  const struct qk_ptq_walk *w = b->w;
  int v, in = 0, out = 0;

  for (v = 0; v < w->p->real->n_values; v++) {
    const size_t size = (size_t) qk_shape_count (&w->p->real->value[v].shape);

    if (qk_walk_takes (w, v)) {
      struct qk_rng rng;

      /* apart from those of the nodes, see qk_call_fill */
      qk_rng_seed (&rng, w->p->seed * 1000003u + number,
                   UINT64_C (1) << 32 | (uint64_t) v);
      take_input (b, c, v, sample, n, &rng, c->input[in++]);
    }
    if (!qk_walk_gives (w, v))
      continue;
    for (int64_t i = 0; i < n; i++)
      qk_held_read (&w->real[v], qk_held_sample (w, &w->real[v], sample[i]),
                    size, (float *) c->wanted[out].data + (size_t) i * size);
    c->wanted[out++].shape.dims[0] = n;
  }
}

/* The gradients of copy C, whose samples are PART of the step's. */
static int
run_copy (const struct qk_ptq_block *b, struct copy *c, const int64_t *sample,
          int64_t n, double part, uint64_t number)
{
  int r;

  c->error = 0.0;
  if ((r = qk_graph_zero_grad (c->g)) < 0 || n == 0)
    return r;
  take_samples (b, c, sample, n, number);
  qk_exec_set_step (c->ex, b->w->p->seed, number);
  qk_exec_set_weight (c->ex, part);
  r = qk_exec_forward (c->ex, (const void *const *) c->input, n,
                       QK_PASS_TRAIN);
  if (r == 0)
    r = qk_exec_backward (c->ex, c->wanted, &c->error);
  c->error *= part;
  return r;
}

/* Add the gradients of all copies to those of the first. */
static void
add_gradients (struct qk_ptq_block *b)
{
  const struct qk_graph *g = b->copy[0].g;

  for (int i = 0; i < g->n_params; i++) {
    float *sum = g->param[i].grad.data;
    const int64_t n = qk_shape_count (&g->param[i].value.shape);

    for (int k = 1; sum != NULL && k < COPIES; k++) {
      const float *x = b->copy[k].g->param[i].grad.data;

      for (int64_t j = 0; j < n; j++)
        sum[j] += x[j];
    }
  }
}

int
qk_ptq_block_gradient (struct qk_ptq_block *b, const int64_t *samples,
                       int64_t n, uint64_t number, double *error)
{
  const int64_t share = (n + COPIES - 1) / COPIES;
  const int threads = b->w->p->threads;
  int i;

  if (n < 1 || share > b->share)
    return qk_error (-EINVAL, "a step of %lld samples, planned for 1 to %lld",
                     (long long) n, (long long) b->opt.batch);
  (void) threads; /* without OpenMP there is one */
#pragma omp parallel for num_threads(threads)                                 \
  schedule(dynamic, 1) if (threads > 1)
  for (i = 0; i < COPIES; i++) {
    struct copy *c = &b->copy[i];
    const int64_t from = share * i < n ? share * i : n;
    const int64_t some = n - from < share ? n - from : share;

    c->err = run_copy (b, c, samples + from, some, (double) some / (double) n,
                       number * COPIES + (uint64_t) i);
    if (c->err < 0) /* errors belong to threads */
      snprintf (c->message, sizeof c->message, "%s", qk_error_message ());
  }
  *error = 0.0;
  for (i = 0; i < COPIES; i++) {
    if (b->copy[i].err < 0)
      return qk_error (b->copy[i].err, "%s", b->copy[i].message);
    *error += b->copy[i].error;
  }
  add_gradients (b);
  return 0;
}
