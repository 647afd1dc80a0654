/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: the mean of all batches' ranges, times a factor.
 *
 *   [qconfig]
 *   activation.observer = ./NAME.so
 *   activation.observer.factor = 0.8 */
#include <qatkit/observer.h>

/* Everything an instance knows; the library makes one, zeroed, for each value
 * or weight. */
struct NAME {
  const struct qk_quant_info *info; /* what is quantized, set by the library */
  int64_t batches;                  /* seen so far */
  float factor;
  struct {
    double min, max;
  } sum[]; /* of the batches' ranges, for each of info->channels */
};

/* What the INI may say: name, type, default, smallest and largest, choices,
 * help.  The library checks it and tells file and line of a fault. */
static const struct qk_option NAME_options[]
  = { { "factor", QK_OPT_FLOAT, "0.9", 0.01, 10.0, NULL,
        "The range found is multiplied by this." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

/* When the network is prepared, once for each value and weight, which INFO
 * describes: take the options; refuse what makes no sense with
 * qk_error (-EINVAL, …).  CFG is borrowed for the call.
 * (optional where self_size is given, and so is destroy) */
static int
NAME_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct NAME *o = *self;

  (void) info; /* o->info */
  o->factor = (float) qk_config_float (cfg, "factor");
  return 0;
}

/* Each training batch while observers are enabled, and the calibration batches
 * of PTQ: the smallest and the largest value of each channel, arrays of
 * info->channels floats, finite.  An observer that needs the numbers themselves
 * has update (self, x, n) instead.  Several instances work at the same time,
 * each in a thread of its own. */
static int
NAME_update_range (void *self, const float *min, const float *max)
{
  struct NAME *o = self;

  for (int64_t c = 0; c < o->info->channels; c++) {
    o->sum[c].min += (double) min[c];
    o->sum[c].max += (double) max[c];
  }
  o->batches++;
  return 0;
}

/* After any batch: what the quantizer shall cover.  -ENODATA, without a
 * sentence, says that nothing has been seen. */
static int
NAME_range (void *self, float *min, float *max)
{
  const struct NAME *o = self;
  const double n = (double) o->batches / (double) o->factor;

  if (o->batches == 0)
    return -ENODATA;
  for (int64_t c = 0; c < o->info->channels; c++) {
    min[c] = (float) (o->sum[c].min / n);
    max[c] = (float) (o->sum[c].max / n);
  }
  return 0;
}

/* When a checkpoint is written and when it is read: name each array, whose size
 * must not depend on what was seen, so that a resumed run goes on as one that
 * was never stopped.  (optional; default: the range is kept) */
static int
NAME_state (void *self, struct qk_state *st)
{
  struct NAME *o = self;
  const int e = qk_state_add (st, "batches", QK_I64, &o->batches, 1);

  return e < 0 ? e
               : qk_state_add (st, "sum", QK_F64, o->sum,
                               2 * (size_t) o->info->channels);
}

QK_OBSERVER (NAME, "1.0", "LGPL-2.1-or-later",
             "Mean of the batches' ranges, times a factor", NAME_options,
             .self_size = sizeof (struct NAME),
             .channel_size = sizeof (((struct NAME *) 0)->sum[0]),
             .create = NAME_create, .update_range = NAME_update_range,
             .range = NAME_range, .state = NAME_state);
