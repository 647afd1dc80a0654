/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: the mean of all batches' ranges, times a factor. */
#include <qatkit/observer.h>

/* Everything an instance knows; there is one for each value or weight. */
struct NAME {
  int64_t channels; /* ranges to find; 1 = per tensor */
  int64_t batches;  /* seen so far */
  float factor;
  double *sum;      /* of the minima, then of the maxima */
};

/* What the INI may say: weight.observer.factor = 0.8 */
static const struct qk_option NAME_options[]
  = { { "factor", QK_OPT_FLOAT, "0.9", 0.01, 10.0, NULL,
        "The range found is multiplied by this." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static void
NAME_destroy (void *self)
{
  struct NAME *o = self;

  if (o != NULL)
    qk_free (o->sum);
  qk_free (o);
}

static int
NAME_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct NAME *o = qk_alloc (sizeof *o); /* zeroed */

  if (o != NULL)
    o->sum = qk_alloc (2 * (size_t) info->channels * sizeof *o->sum);
  if (o == NULL || o->sum == NULL) {
    NAME_destroy (o);
    return qk_error (-ENOMEM, "no memory");
  }
  o->channels = info->channels;
  o->factor = (float) qk_config_float (cfg, "factor");
  *self = o;
  return 0;
}

/* One training batch: the smallest and the largest value of each channel. */
static int
NAME_update_range (void *self, const float *min, const float *max)
{
  struct NAME *o = self;

  for (int64_t c = 0; c < o->channels; c++) {
    o->sum[c] += (double) min[c];
    o->sum[o->channels + c] += (double) max[c];
  }
  o->batches++;
  return 0;
}

/* What the quantizer shall cover. */
static int
NAME_range (void *self, float *min, float *max)
{
  const struct NAME *o = self;
  const double n = (double) o->batches / (double) o->factor;

  if (o->batches == 0)
    return -ENODATA;
  for (int64_t c = 0; c < o->channels; c++) {
    min[c] = (float) (o->sum[c] / n);
    max[c] = (float) (o->sum[o->channels + c] / n);
  }
  return 0;
}

/* What a checkpoint keeps, so that a run can be resumed. */
static int
NAME_state (void *self, struct qk_state *st)
{
  struct NAME *o = self;
  const int e = qk_state_add (st, "batches", QK_I64, &o->batches, 1);

  return e < 0 ? e : qk_state_add (st, "sum", QK_F64, o->sum,
                                   2 * (size_t) o->channels);
}

static const struct qk_observer_class NAME_class = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "NAME",
                   "Mean of the batches' ranges, times a factor",
                   NAME_options),
  .create = NAME_create,
  .destroy = NAME_destroy,
  .update_range = NAME_update_range,
  .range = NAME_range,
  .state = NAME_state,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
