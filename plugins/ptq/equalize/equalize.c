/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* equalize.c: cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721,
 * section 4.1): channels between two layers are scaled so that the weights
 * on both sides have equal ranges, which suits one scale for all of them.
 *
 * Where layer 2 alone takes what layer 1 gives, with nothing between them or
 * a function with f (s x) = s f (x) for s > 0, as ReLU is:
 *   s_i = sqrt (r1_i r2_i) / r2_i,   r1_i = max |W1[i,…]|, r2_i = max |W2[…,i]|
 *   W1[i,…] /= s_i,  b1[i] /= s_i,  W2[…,i] *= s_i
 * over all such pairs, again and again until nothing moves.  ReLU6 is not
 * such a function: it is replaced by ReLU before, as the paper does, or its
 * pairs are left alone.
 *
 * That is for one scale for all of a weight.  Where each output channel has its
 * own, a row of W1 may have any size, and with it a channel between the layers,
 * as all of these share a scale.  With a_i the largest magnitude of channel i
 * over some samples, a = max a_i:
 *   s_i = a_i / a         where layer 2 is depthwise, whose rows scale alike
 *   s_i = sqrt (a_i / a)  elsewhere, where columns of W2 share scales */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/ptq.h>

struct equalize {
  bool replace, by_activations;
  int sweeps, batches;
};

/* Weights of one layer. */
struct layer {
  struct qk_ptq_node info;
  float *weight, *bias;
  int next; /* the layer that takes its output and is equalized with it, or
               -1 */
};

static const char *const relu6_choices[] = { "replace", "skip", NULL };

static const char *const by_choices[] = { "weights", "activations", NULL };

static const struct qk_option options[]
  = { { "by", QK_OPT_CHOICE, "weights", 0, 0, by_choices,
        "What gets equal ranges: weights, which suits one scale for all of a "
        "weight, or the activations between two layers, which suits weights "
        "with a scale per channel." },
      { "batches", QK_OPT_INT, "2", 1, 1e6, NULL,
        "Calibration batches that tell ranges of activations." },
      { "relu6", QK_OPT_CHOICE, "replace", 0, 0, relu6_choices,
        "What to do where ReLU6 stands between two layers: make it ReLU, or "
        "leave the two alone." },
      { "sweeps", QK_OPT_INT, "40", 1, 10000, NULL,
        "Times to go over all pairs at most." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
equalize_create (const struct qk_config *cfg, void **self)
{
  struct equalize *e = qk_alloc (sizeof *e);

  if (e == NULL)
    return qk_oom ("equalize");
  e->replace = qk_config_string (cfg, "relu6")[0] == 'r';
  e->sweeps = (int) qk_config_int (cfg, "sweeps");
  e->by_activations = qk_config_string (cfg, "by")[0] == 'a';
  e->batches = (int) qk_config_int (cfg, "batches");
  *self = e;
  return 0;
}

static void
equalize_destroy (void *self)
{
  qk_free (self);
}

/* The layer that alone takes what node I gives, directly; -1: there is
 * none. */
static int
partner (const struct layer *l, int n, int i)
{
  if (l[i].info.channels == 0 || l[i].info.consumers != 1)
    return -1;
  for (int j = i + 1; j < n; j++)
    if (l[j].info.channels > 0 && l[j].info.n_in == 1 && l[j].info.in[0] == i
        && l[j].info.in_channels == l[i].info.channels)
      return j;
  return -1;
}

static int
find_pairs (const struct equalize *e, struct qk_ptq *p, struct layer *l, int n,
            int *skipped)
{
  int r;

  for (int i = 0; i < n; i++)
    qk_ptq_node (p, i, &l[i].info);
  for (int i = 0; i < n; i++) {
    const struct qk_ptq_node *a = &l[i].info;

    l[i].next = partner (l, n, i);
    if (l[i].next < 0 || (isinf (a->hi) && (isinf (a->lo) || a->lo == 0.0f)))
      continue;
    if (e->replace && a->lo == 0.0f) {
      if ((r = qk_ptq_replace_clamp (p, i, "relu", "")) < 0)
        return r;
      /* names belonged to the network before */
      for (int j = 0; j < n; j++)
        qk_ptq_node (p, j, &l[j].info);
      continue;
    }
    l[i].next = -1;
    ++*skipped;
  }
  return 0;
}

static int
load (struct qk_ptq *p, struct layer *l, int n)
{
  int r;

  for (int i = 0; i < n; i++) {
    const int64_t k = l[i].info.channels;
    const int64_t weights = k * l[i].info.per_channel;

    if (k == 0)
      continue;
    l[i].weight = qk_alloc ((size_t) (weights + k) * sizeof (float));
    if (l[i].weight == NULL)
      return qk_oom ("node '%s'", l[i].info.name);
    l[i].bias = l[i].weight + weights;
    if ((r = qk_ptq_get_weight (p, i, l[i].weight, l[i].bias)) < 0)
      return r;
  }
  return 0;
}

/* Multiply by S what B multiplies input channel C with; returns the largest
 * magnitude of it. */
static float
scale_input (const struct layer *b, int64_t c, float s)
{
  const int64_t depth = b->info.per_channel;
  const int64_t cg = b->info.in_channels / b->info.groups;
  const int64_t kg = b->info.channels / b->info.groups, group = c / cg;
  float most = 0.0f;

  for (int64_t i = group * kg; i < (group + 1) * kg; i++)
    for (int64_t j = c % cg; j < depth; j += cg) {
      float *w = &b->weight[i * depth + j];

      *w *= s;
      most = fabsf (*w) > most ? fabsf (*w) : most;
    }
  return most;
}

static float
scale_output (const struct layer *a, int64_t i, float s)
{
  const int64_t depth = a->info.per_channel;
  float most = 0.0f;

  for (int64_t j = 0; j < depth; j++) {
    float *w = &a->weight[i * depth + j];

    *w *= s;
    most = fabsf (*w) > most ? fabsf (*w) : most;
  }
  a->bias[i] *= s;
  return most;
}

/* Equalize a pair; returns the largest |log s|. */
static double
equalize_pair (const struct layer *a, const struct layer *b)
{
  double moved = 0.0;

  for (int64_t c = 0; c < a->info.channels; c++) {
    const double r1 = (double) scale_output (a, c, 1.0f);
    const double r2 = (double) scale_input (b, c, 1.0f);
    float s;

    /* a channel that is not used or is always 0 stays */
    if (!(r1 > 1e-30) || !(r2 > 1e-30))
      continue;
    s = (float) (sqrt (r1 * r2) / r2);
    scale_output (a, c, 1.0f / s);
    scale_input (b, c, s);
    moved = fmax (moved, fabs (log ((double) s)));
  }
  return moved;
}

/* The largest magnitude of each channel so far. */
struct ranges {
  int64_t channels;
  float *most;
};

static int
add_ranges (void *cookie, const struct qk_tensor *real,
            const struct qk_tensor *quantized)
{
  const struct ranges *r = cookie;
  const int64_t n = qk_shape_count (&real->shape);
  const float *x = real->data;

  (void) quantized;
  for (int64_t i = 0; i < n; i += r->channels)
    for (int64_t c = 0; c < r->channels; c++)
      r->most[c] = fmaxf (r->most[c], fabsf (x[i + c]));
  return 0;
}

/* Channels that are smaller than this share of the largest are scaled no
 * further: they are noise, or nearly never there. */
#define LEAST_SHARE 1e-4

/* Equalize the activations between A and B, which have the ranges MOST. */
static void
equalize_activations (const struct layer *a, const struct layer *b,
                      const float *most)
{
  const bool depthwise = b->info.groups == b->info.in_channels;
  float largest = 0.0f;

  for (int64_t c = 0; c < a->info.channels; c++)
    largest = fmaxf (largest, most[c]);
  for (int64_t c = 0; c < a->info.channels; c++) {
    double share = (double) most[c] / (double) largest;

    if (!(share > 0.0))
      continue;
    share = fmax (share, LEAST_SHARE);
    if (!depthwise)
      share = sqrt (share);
    scale_output (a, c, (float) (1.0 / share));
    scale_input (b, c, (float) share);
  }
}

/* Pairs do not change each other's ranges, as what goes out of the second
 * layer stays. */
static int
balance_activations (const struct equalize *e, struct qk_ptq *p,
                     const struct layer *l, int n, int *pairs)
{
  int r = 0;

  for (int i = 0; r == 0 && i < n; i++) {
    struct ranges m = { l[i].info.channels, NULL };

    if (l[i].next < 0)
      continue;
    m.most = calloc ((size_t) m.channels, sizeof *m.most);
    if (m.most == NULL)
      return qk_oom ("node '%s'", l[i].info.name);
    r = qk_ptq_inputs (p, l[i].next, e->batches, add_ranges, &m);
    if (r == 0)
      equalize_activations (&l[i], &l[l[i].next], m.most);
    free (m.most);
    ++*pairs;
  }
  return r;
}

/* Returns the number of sweeps it took. */
static int
balance_weights (const struct equalize *e, const struct layer *l, int n,
                 int *pairs)
{
  double moved = 1.0;
  int sweep;

  for (sweep = 0; sweep < e->sweeps && moved > 1e-4; sweep++) {
    moved = 0.0;
    for (int i = 0; i < n; i++)
      if (l[i].next >= 0) {
        *pairs += sweep == 0;
        moved = fmax (moved, equalize_pair (&l[i], &l[l[i].next]));
      }
  }
  return sweep;
}

static int
store (struct qk_ptq *p, const struct layer *l, int n)
{
  int r;

  for (int i = 0; i < n; i++) {
    if (l[i].weight == NULL)
      continue;
    if ((r = qk_ptq_set_weight (p, i, l[i].weight, l[i].bias)) < 0)
      return r;
  }
  return 0;
}

static int
equalize_before (void *self, struct qk_ptq *p)
{
  const struct equalize *e = self;
  const int n = qk_ptq_count (p);
  struct layer *l = calloc ((size_t) n + 1, sizeof *l);
  int pairs = 0, skipped = 0, sweeps = 1, r;

  if (l == NULL)
    return qk_oom ("equalize");
  if ((r = find_pairs (e, p, l, n, &skipped)) < 0 || (r = load (p, l, n)) < 0)
    goto end;
  if (e->by_activations)
    r = balance_activations (e, p, l, n, &pairs);
  else
    sweeps = balance_weights (e, l, n, &pairs);
  if (r == 0)
    r = store (p, l, n);
  if (r == 0)
    qk_ptq_note (p,
                 "equalize: %d pairs of layers in %d sweeps; %d left alone "
                 "because a clamp stands between them",
                 pairs, sweeps, skipped);
end:
  for (int i = 0; i < n; i++)
    qk_free (l[i].weight);
  free (l);
  return r;
}

static const struct qk_ptq_class equalize = {
  .cls = QK_CLASS (struct qk_ptq_class, QK_KIND_PTQ, "equalize",
                   "Equal ranges of the weights on both sides of a channel",
                   options),
  .create = equalize_create,
  .destroy = equalize_destroy,
  .before = equalize_before,
};

QK_PLUGIN ("equalize", "1.0", "LGPL-2.1-or-later", &equalize.cls);
