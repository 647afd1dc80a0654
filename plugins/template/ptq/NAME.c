/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: weights that lie far outside are clipped before calibration, so that
 * the others get a finer scale: in each output channel to
 *   mean +- sigmas * standard deviation
 *
 *   [ptq]
 *   methods = ./NAME.so
 *   NAME.sigmas = 3 */
#include <math.h>
#include <stdlib.h>

#include <qatkit/ptq.h>

struct NAME {
  double sigmas;
};

static const struct qk_option NAME_options[]
  = { { "sigmas", QK_OPT_FLOAT, "4", 0.1, 1e3, NULL,
        "Standard deviations from the mean beyond which weights are clipped" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

/* When post-training quantization begins. */
static int
NAME_create (const struct qk_config *cfg, void **self)
{
  struct NAME *m = malloc (sizeof *m);

  if (m == NULL)
    return qk_oom ("NAME");
  m->sigmas = qk_config_float (cfg, "sigmas");
  *self = m;
  return 0;
}

static void
NAME_destroy (void *self)
{
  free (self);
}

/* Clip the N weights of a channel; returns how many were outside. */
static int64_t
NAME_clip (const struct NAME *m, float *w, int64_t n)
{
  double sum = 0, square = 0, reach, mean;
  int64_t clipped = 0;

  for (int64_t i = 0; i < n; i++) {
    sum += (double) w[i];
    square += (double) w[i] * (double) w[i];
  }
  mean = sum / (double) n;
  reach = m->sigmas * sqrt (fmax (square / (double) n - mean * mean, 0));
  for (int64_t i = 0; i < n; i++) {
    const double d = (double) w[i] - mean;

    if (fabs (d) > reach) {
      w[i] = (float) (mean + copysign (reach, d));
      clipped++;
    }
  }
  return clipped;
}

static int
NAME_node (const struct NAME *m, struct qk_ptq *p, int node,
           const struct qk_ptq_node *info, int64_t *clipped)
{
  const size_t n = (size_t) (info->channels * info->per_channel);
  float *w = malloc ((n + (size_t) info->channels) * sizeof *w);
  int r;

  if (w == NULL)
    return qk_oom ("node '%s'", info->name);
  /* batch-norm is folded into what one gets, and taken out of what one sets */
  r = qk_ptq_get_weight (p, node, w, w + n);
  for (int64_t k = 0; r == 0 && k < info->channels; k++)
    *clipped += NAME_clip (m, w + k * info->per_channel, info->per_channel);
  if (r == 0)
    r = qk_ptq_set_weight (p, node, w, NULL); /* the bias as it is */
  free (w);
  return r;
}

/* Once, before calibration: change the float network.  The other slot, after,
 * is called behind calibration and changes weights whose scales stay; it can
 * look at what each node gets in the float and the quantized network
 * (qk_ptq_inputs).  One of the two is required. */
static int
NAME_before (void *self, struct qk_ptq *p)
{
  const int n = qk_ptq_count (p);
  struct qk_ptq_node info;
  int64_t clipped = 0, weights = 0;
  int r = 0;

  for (int i = 0; r == 0 && i < n; i++) {
    qk_ptq_node (p, i, &info);
    if (info.channels == 0) /* no weights, or none that can be changed */
      continue;
    weights += info.channels * info.per_channel;
    r = NAME_node (self, p, i, &info, &clipped);
  }
  if (r == 0)
    qk_ptq_note (p, "NAME: %lld of %lld weights clipped", (long long) clipped,
                 (long long) weights);
  return r;
}

static const struct qk_ptq_class NAME_class = {
  .cls = QK_CLASS (struct qk_ptq_class, QK_KIND_PTQ, "NAME",
                   "Clips weights that lie far outside", NAME_options),
  .create = NAME_create,
  .destroy = NAME_destroy,
  .before = NAME_before,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
