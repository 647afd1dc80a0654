/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bias_correction.c: makes the mean of every output channel what it is in
 * the float network, as PyTorch's bias_correction and Nagel et al. 2019
 * (arXiv:1906.04721, section 4.2) do with samples at hand.
 *
 * With W, b the float weights, W' the quantized ones, x and x' what the layer
 * gets in the float and in the quantized network:
 *   b' = W E[x] + b - W' E[x']
 * where E is the mean over samples and output positions of each element of
 * the window.  From the first layer to the last, so that x' has the
 * corrections before it. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/ptq.h>

#include "patches/patches.h"

struct correction {
  int64_t batches;
};

/* Of one layer. */
struct layer {
  const struct qk_op *op;
  int64_t size, channels, depth;
  double *real, *quantized; /* size: sums of patches */
  int64_t n;                /* patches in them */
  float *weight, *current;  /* channels x depth */
  float *bias, *scratch;    /* channels */
};

static const struct qk_option options[]
  = { { "batches", QK_OPT_INT, "4", 0, 1e6, NULL,
        "Calibration batches to take means of; 0 = all of them." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
bias_correction_create (const struct qk_config *cfg, void **self)
{
  struct correction *c = qk_alloc (sizeof *c);

  if (c == NULL)
    return qk_oom ("bias_correction");
  c->batches = qk_config_int (cfg, "batches");
  *self = c;
  return 0;
}

static void
bias_correction_destroy (void *self)
{
  qk_free (self);
}

static int
add_batch (void *cookie, const struct qk_tensor *real,
           const struct qk_tensor *quantized)
{
  struct layer *l = cookie;

  patches_sum (l->op, real, l->real);
  l->n += patches_sum (l->op, quantized, l->quantized);
  return 0;
}

/* W E for channel K, whose group's part of the patch it is. */
static double
mean_of (const struct layer *l, const double *sum, int64_t k,
         double (*weight) (const struct layer *l, int64_t i))
{
  const int64_t groups = l->size / l->depth;
  const double *m = sum + k / (l->channels / groups) * l->depth;
  double y = 0.0;

  for (int64_t j = 0; j < l->depth; j++)
    y += weight (l, k * l->depth + j) * m[j];
  return y / (double) l->n;
}

static double
real_weight (const struct layer *l, int64_t i)
{
  return (double) l->weight[i];
}

static double
integer_weight (const struct layer *l, int64_t i)
{
  return (double) l->op->weight[i];
}

static int
correct (struct qk_ptq *p, int node, struct layer *l)
{
  struct qk_quantizer *qz = qk_ptq_weight_quantizer (p, node);
  const struct qk_qparams *grid = qk_quantizer_qparams (qz);
  const bool one = qk_quantizer_channels (qz) == 1;
  int r;

  if ((r = qk_ptq_real_weight (p, node, l->weight, l->bias)) < 0
      || (r = qk_ptq_get_weight (p, node, l->current, l->scratch)) < 0)
    return r;
  for (int64_t k = 0; k < l->channels; k++)
    l->bias[k]
      = (float) ((double) l->bias[k] + mean_of (l, l->real, k, real_weight)
                 - mean_of (l, l->quantized, k, integer_weight)
                     * (double) grid[one ? 0 : k].scale);
  return qk_ptq_set_weight (p, node, l->current, l->bias);
}

static int
correct_node (const struct correction *c, struct qk_ptq *p, int node,
              const struct qk_ptq_node *info)
{
  struct layer l = { .channels = info->channels, .depth = info->per_channel };
  const size_t weights = (size_t) (l.channels * l.depth);
  int r = qk_ptq_op (p, node, &l.op);

  if (r < 0)
    return r;
  l.size = patches_size (l.op);
  l.real = qk_alloc (2 * (size_t) l.size * sizeof *l.real);
  l.weight = qk_alloc (2 * (weights + (size_t) l.channels) * sizeof *l.weight);
  if (l.real == NULL || l.weight == NULL) {
    r = qk_oom ("node '%s'", info->name);
    goto end;
  }
  l.quantized = l.real + l.size;
  l.current = l.weight + weights;
  l.bias = l.current + weights;
  l.scratch = l.bias + l.channels;
  r = qk_ptq_inputs (p, node, c->batches, add_batch, &l);
  if (r == 0 && l.n > 0)
    r = correct (p, node, &l);
end:
  qk_free (l.real);
  qk_free (l.weight);
  return r;
}

static int
bias_correction_after (void *self, struct qk_ptq *p)
{
  const struct correction *c = self;
  const int n = qk_ptq_count (p);
  struct qk_ptq_node info;
  int done = 0, without = 0, r = 0;

  for (int i = 0; r == 0 && i < n; i++) {
    qk_ptq_node (p, i, &info);
    r = qk_ptq_progress (p, "bias correction", i, n);
    if (r < 0 || info.channels == 0 || !info.quantized)
      continue;
    r = correct_node (c, p, i, &info);
    done += r == 0;
    if (r == -ENOTSUP) { /* no bias to correct */
      without++;
      r = 0;
    }
  }
  qk_ptq_progress (p, "bias correction", n, n);
  if (r == 0)
    qk_ptq_note (p, "bias correction: %d layers corrected, %d have no bias",
                 done, without);
  return r;
}

static const struct qk_ptq_class bias_correction = {
  .cls = QK_CLASS (struct qk_ptq_class, QK_KIND_PTQ, "bias_correction",
                   "Means of the outputs as in the float network", options),
  .create = bias_correction_create,
  .destroy = bias_correction_destroy,
  .after = bias_correction_after,
};

QK_PLUGIN ("bias_correction", "1.0", "LGPL-2.1-or-later",
           &bias_correction.cls);
