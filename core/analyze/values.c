/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* values.c: what flows through the network, on the subset: float
 * against fake-quantized and int8. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "analyze/priv.h"
#include "quant/quantizer-priv.h"

/* Samples at once: the outputs of all layers of three networks are kept. */
#define AT_ONCE 4

enum { FLOAT, FAKE, INT8, KINDS };

/* Sums over one value. */
struct sums {
  double signal, noise[KINDS], own;
  int64_t n, clipped;
};

struct values {
  struct qk_analyzer *z;
  struct qk_exec *ex[KINDS];
  struct sums *sums; /* by layer */
};

/* Element I; of a float network too there are values on grids, those that
 * its file has put there. */
static double
number (const struct qk_tensor *t, int64_t i)
{
  if (t->dtype == QK_F32)
    return ((const float *) t->data)[i];
  if (t->dtype == QK_U16)
    return (double) qk_dequantize (((const uint16_t *) t->data)[i], t->q.scale,
                                   t->q.zero_point);
  return (double) qk_dequantize (((const uint8_t *) t->data)[i], t->q.scale,
                                 t->q.zero_point);
}

/* Noise of OTHER against the float values X. */
static double
noise_of (const struct qk_tensor *x, const struct qk_tensor *other)
{
  const int64_t n = qk_shape_count (&x->shape);
  double sum = 0;

  for (int64_t i = 0; i < n; i++) {
    const double d = number (other, i) - number (x, i);

    sum += d * d;
  }
  return sum;
}

/* The grid alone on the values X. */
static void
add_grid (const struct qk_tensor *x, const struct qk_qparams *q,
          struct sums *s)
{
  const int64_t n = qk_shape_count (&x->shape);
  const float inv = 1.0f / q->scale;
  const float lo = (float) (q->qmin - q->zero_point) - 0.5f;
  const float hi = (float) (q->qmax - q->zero_point) + 0.5f;

  for (int64_t i = 0; i < n; i++) {
    const float f = (float) number (x, i), y = f * inv;
    const int32_t k = qk_quantize (f, inv, q->zero_point, q->qmin, q->qmax);
    const double d = (double) qk_dequantize (k, q->scale, q->zero_point) - f;

    s->own += d * d;
    s->clipped += y < lo || y > hi;
  }
}

static void
add_range (const struct qk_tensor *x, struct qk_analyze_layer *l,
           struct sums *s)
{
  const int64_t n = qk_shape_count (&x->shape);

  for (int64_t i = 0; i < n; i++) {
    const double f = number (x, i);

    s->signal += f * f;
    if (s->n + i == 0 || f < l->min)
      l->min = f;
    if (s->n + i == 0 || f > l->max)
      l->max = f;
  }
  s->n += n;
}

static void
add_bins (const struct qk_tensor *x, struct qk_analyze_layer *l)
{
  const int64_t n = qk_shape_count (&x->shape);
  const double width = (l->max - l->min) / QK_ANALYZE_BINS;

  for (int64_t i = 0; i < n; i++) {
    const double at = width > 0 ? (number (x, i) - l->min) / width : 0;

    l->bins[at < QK_ANALYZE_BINS - 1 ? (int) at : QK_ANALYZE_BINS - 1]++;
  }
}

static void
add_batch (struct values *v, bool second)
{
  struct qk_analysis *a = v->z->a;
  int i;

  for (i = 0; i < a->n; i++) {
    struct qk_analyze_layer *l = &a->layer[i];
    const struct qk_tensor *x = qk_exec_value (v->ex[FLOAT], l->value);

    if (second) {
      add_bins (x, l);
      continue;
    }
    add_range (x, l, &v->sums[i]);
    v->sums[i].noise[FAKE]
      += noise_of (x, qk_exec_value (v->ex[FAKE], l->value));
    v->sums[i].noise[INT8]
      += noise_of (x, qk_exec_value (v->ex[INT8], l->value));
    if (l->has_value)
      add_grid (x, &l->grid, &v->sums[i]);
  }
}

static int
pass (struct values *v, bool second)
{
  struct qk_analyzer *z = v->z;
  const void *input[QK_DATASET_MAX_TENSORS], *target[QK_DATASET_MAX_TENSORS];
  const struct qk_subset *s = &z->subset;
  struct qk_batch b;
  int64_t i;
  int k, r = 0;

  qk_progress_begin (z->opt->m->progress, second ? "histograms" : "layers",
                     s->n);
  for (i = 0; i < s->n; i += AT_ONCE) {
    const int64_t n = s->n - i < AT_ONCE ? s->n - i : AT_ONCE;

    qk_subset_batch (z, i, n, input, target, &b);
    for (k = 0; k < (second ? 1 : KINDS); k++)
      if ((r = qk_exec_forward (v->ex[k], b.input, n, 0)) < 0)
        goto end;
    add_batch (v, second);
    qk_progress_update (z->opt->m->progress, i + n, NAN);
    if (qk_monitor_stopped (z->opt->m)) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
  }
end:
  qk_progress_end (z->opt->m->progress);
  return r;
}

static void
finish (struct values *v)
{
  struct qk_analysis *a = v->z->a;
  int i;

  for (i = 0; i < a->n; i++) {
    struct qk_analyze_layer *l = &a->layer[i];
    const struct sums *s = &v->sums[i];

    l->sqnr_fake = qk_decibel (s->signal, s->noise[FAKE]);
    l->sqnr_int8 = qk_decibel (s->signal, s->noise[INT8]);
    if (!l->has_value)
      continue;
    l->sqnr_own = qk_decibel (s->signal, s->own);
    l->clip = s->n > 0 ? (double) s->clipped / (double) s->n : 0;
  }
}

int
qk_analyze_values (struct qk_analyzer *z)
{
  struct qk_graph *const g[KINDS] = { z->float_g, z->g, z->int8_g };
  struct values v = { z, { NULL, NULL, NULL }, NULL };
  struct qk_exec_options opt;
  int k, r = 0;

  v.sums = calloc ((size_t) z->a->n + 1, sizeof *v.sums);
  if (v.sums == NULL)
    return qk_oom ("analyze");
  qk_switch_set (&z->sw, QK_SWITCH_VALUES | QK_SWITCH_WEIGHTS, QK_SWITCH_ALL,
                 false);
  qk_settings_exec_options (z->opt->settings, AT_ONCE, false, &opt);
  opt.keep_values = true;
  for (k = 0; k < KINDS && r == 0; k++)
    r = qk_exec_new (g[k], &opt, &v.ex[k]);
  if (r == 0 && (r = pass (&v, false)) == 0)
    r = pass (&v, true);
  if (r == 0)
    finish (&v);
  for (k = 0; k < KINDS; k++)
    qk_exec_free (v.ex[k]);
  free (v.sums);
  return r;
}
