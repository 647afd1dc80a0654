/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quantizer.c: an observer and a fake-quantizer at work on one value or
 * parameter. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "base/called.h"
#include "quant/loops-priv.h"
#include "quant/quantizer-priv.h"

struct qk_quantizer {
  struct qk_context *ctx;
  struct qk_quant_info info; /* info.name points to name */
  char *name;
  bool observing;
  bool warned;          /* of a grid without data */
  bool range_only;      /* the observer is content with ranges */
  bool fixed;           /* NEXT is given and stays */
  struct qk_comm *comm; /* values: observe together; NULL: alone */
  double share;         /* of the whole batch, in this process */

  const struct qk_observer_class *obs; /* NULL: none */
  void *obs_self;
  const struct qk_fakequant_class *fq; /* NULL: the defaults */
  void *fq_self;

  struct qk_qparams *grid; /* in force; channels of each of these */
  struct qk_qparams *next; /* being computed; then grid before floor */
  float *floor;            /* weights: the smallest scales allowed */
  float *factor;           /* weights: of the scales that were computed */
  float *min, *max;

  /* The range of an observer that keeps no state, from a checkpoint: minima,
   * then maxima; in force until the observer has seen something itself. */
  float *kept;
  int32_t has_kept;

  struct qk_fq_params value; /* grad pointers NULL: outside backward */
  struct qk_fq_param param[QK_FQ_MAX_PARAMS];
  float *grad[QK_FQ_MAX_PARAMS];
  int32_t initialized; /* the fake-quantizer has seen its first batch */
  int32_t derived;     /* grid is from range and parameters, not the first */

  float *transformed; /* scratch, transformed_size floats */
  size_t transformed_size;
};

/* ---- making ------------------------------------------------------------*/

static int
quantizer_check_info (const struct qk_quant_info *info)
{
  const int32_t lowest = info->weight ? -128 : 0;
  const int32_t highest = info->weight ? 127 : 255;

  if (info->bits < 2 || info->bits > 8)
    return qk_error (-EINVAL, "'%s': bits must be 2 to 8, got %d", info->name,
                     info->bits);
  if (info->channels < 1 || (!info->weight && info->channels != 1))
    return qk_error (-EINVAL, "'%s': cannot have %lld ranges", info->name,
                     (long long) info->channels);
  if (info->per_channel < 0)
    return qk_error (-EINVAL, "'%s': negative number of elements", info->name);
  if (info->qmin >= info->qmax || info->qmin < lowest || info->qmax > highest)
    return qk_error (-EINVAL, "'%s': range %d..%d is not within %d..%d",
                     info->name, (int) info->qmin, (int) info->qmax,
                     (int) lowest, (int) highest);
  if (info->weight && !info->symmetric)
    return qk_error (-EINVAL, "'%s': weights must be symmetric", info->name);
  return 0;
}

/* An error in observer or fake-quantizer: say whose. */
static int
quantizer_blame (const struct qk_quantizer *qz, int err,
                 const struct qk_class *cls)
{
  return qk_error_prefix (err, "%s '%s' of '%s': ", qk_kind_name (cls->kind),
                          cls->name, qz->info.name);
}

/* The zeroed instance of a class that leaves its making to the library, in
 * *SELF; nothing where size is 0. */
static int
quantizer_new_self (const struct qk_quantizer *qz, size_t size,
                    size_t channel_size, void **self)
{
  const size_t channels = (size_t) qz->info.channels;

  if (size == 0)
    return 0;
  if (size < sizeof (void *) || channel_size > (SIZE_MAX - size) / channels)
    return qk_error (-ENOEXEC,
                     "an instance of %zu and %zu x %zu bytes is "
                     "impossible",
                     size, channels, channel_size);
  *self = qk_alloc (size + channels * channel_size);
  if (*self == NULL)
    return qk_oom ("quant");
  *(const struct qk_quant_info **) *self = &qz->info;
  return 0;
}

/* What quantizer_new_self or a class's create has made. */
static void
quantizer_free_self (void *self, void (*destroy) (void *), size_t size)
{
  if (self != NULL && destroy != NULL)
    destroy (self);
  if (size > 0)
    qk_free (self);
}

static int
quantizer_new_observer (struct qk_quantizer *qz, const struct qk_config *cfg)
{
  const struct qk_observer_class *obs = qz->obs;
  int r;

  if ((obs->create == NULL && obs->self_size == 0) || obs->range == NULL
      || (obs->update == NULL && obs->update_range == NULL))
    return qk_error (-ENOEXEC, "observer '%s' lacks create, range or update",
                     obs->cls.name);
  r = quantizer_new_self (qz, obs->self_size, obs->channel_size,
                          &qz->obs_self);
  if (r >= 0 && obs->create != NULL)
    r = QK_CALLED (&obs->cls, "create",
                   obs->create (cfg, &qz->info, &qz->obs_self));
  if (r < 0)
    return quantizer_blame (qz, r, &obs->cls);
  qz->range_only = obs->update == NULL;
  return 0;
}

static int
quantizer_new_params (struct qk_quantizer *qz)
{
  const struct qk_fakequant_class *fq = qz->fq;
  const int n = fq->params (qz->fq_self, qz->param);

  if (n < 0)
    return quantizer_blame (qz, n, &fq->cls);
  if (n > QK_FQ_MAX_PARAMS)
    return qk_error (-ENOEXEC,
                     "fake-quantizer '%s' declares %d parameters, at most %d "
                     "are allowed",
                     fq->cls.name, n, QK_FQ_MAX_PARAMS);
  for (int i = 0; i < n; i++) {
    const struct qk_fq_param *p = &qz->param[i];
    const size_t size = p->count * sizeof (float);

    if (p->name == NULL || p->count == 0
        || p->count > (size_t) qz->info.channels)
      return qk_error (-ENOEXEC,
                       "fake-quantizer '%s' declares parameter '%s' of %zu "
                       "elements for %lld channels",
                       fq->cls.name, p->name ? p->name : "", p->count,
                       (long long) qz->info.channels);
    qz->value.value[i] = qk_alloc (size);
    qz->grad[i] = qk_alloc (size);
    if (qz->value.value[i] == NULL || qz->grad[i] == NULL)
      return qk_oom ("'%s'", qz->info.name);
    for (size_t j = 0; j < p->count; j++)
      qz->value.value[i][j] = p->initial;
  }
  qz->value.n = n;
  return 0;
}

static int
quantizer_new_fakequant (struct qk_quantizer *qz, const struct qk_config *cfg)
{
  const struct qk_fakequant_class *fq = qz->fq;
  int r;

  if (fq->create == NULL && fq->self_size == 0)
    return qk_error (-ENOEXEC, "fake-quantizer '%s' lacks create",
                     fq->cls.name);
  if (fq->transform != NULL && !qz->info.weight)
    return qk_error (
      -EINVAL,
      "fake-quantizer '%s' changes weights before rounding, which works for "
      "weights only, not for '%s'",
      fq->cls.name, qz->info.name);
  r = quantizer_new_self (qz, fq->self_size, fq->channel_size, &qz->fq_self);
  if (r >= 0 && fq->create != NULL)
    r = QK_CALLED (&fq->cls, "create",
                   fq->create (cfg, &qz->info, &qz->fq_self));
  if (r < 0)
    return quantizer_blame (qz, r, &fq->cls);
  qz->initialized = fq->init == NULL;
  return fq->params != NULL ? quantizer_new_params (qz) : 0;
}

/* A grid before the first batch where there is one: from an observer that
 * knows its range beforehand or a fake-quantizer that needs none.  Training
 * may begin with frozen observers. */
static int
quantizer_first_grid (struct qk_quantizer *qz)
{
  const bool own
    = qz->fq != NULL && qz->fq->qparams != NULL && qz->fq->init == NULL;

  return own || qk_quantizer_has_range (qz) ? qk_quantizer_refresh (qz) : 0;
}

int
qk_quantizer_new (struct qk_context *ctx, const struct qk_quant_info *info,
                  const struct qk_observer_class *obs,
                  const struct qk_config *obs_cfg,
                  const struct qk_fakequant_class *fq,
                  const struct qk_config *fq_cfg, struct qk_quantizer **out)
{
  struct qk_quantizer *qz;
  const size_t channels = (size_t) info->channels;
  int r = quantizer_check_info (info);

  if (r < 0)
    return r;
  qz = qk_alloc (sizeof *qz);
  if (qz == NULL)
    return qk_oom ("'%s'", info->name);
  qz->ctx = ctx;
  qz->info = *info;
  qz->obs = obs;
  qz->fq = fq;
  qz->initialized = 1;
  qz->name = qk_alloc (strlen (info->name) + 1);
  qz->grid = qk_alloc (channels * sizeof *qz->grid);
  qz->next = qk_alloc (channels * sizeof *qz->next);
  qz->floor = qk_alloc (channels * sizeof (float));
  qz->factor = qk_alloc (channels * sizeof (float));
  qz->min = qk_alloc (channels * sizeof (float));
  qz->max = qk_alloc (channels * sizeof (float));
  if (obs != NULL && obs->state == NULL)
    qz->kept = qk_alloc (2 * channels * sizeof (float));
  if (qz->name == NULL || qz->grid == NULL || qz->next == NULL
      || qz->floor == NULL || qz->factor == NULL || qz->min == NULL
      || qz->max == NULL
      || (obs != NULL && obs->state == NULL && qz->kept == NULL)) {
    r = qk_oom ("'%s'", info->name);
    goto error;
  }
  strcpy (qz->name, info->name);
  qz->share = 1.0;
  qz->info.name = qz->name;
  for (size_t c = 0; c < channels; c++) {
    qz->grid[c].scale = 1.0f;
    qz->grid[c].qmin = info->qmin;
    qz->grid[c].qmax = info->qmax;
    qz->grid[c].zero_point = info->qmin > 0 ? info->qmin : 0;
    qz->next[c] = qz->grid[c];
    qz->factor[c] = 1.0f;
  }

  if (obs != NULL && (r = quantizer_new_observer (qz, obs_cfg)) < 0)
    goto error;
  if (fq != NULL && (r = quantizer_new_fakequant (qz, fq_cfg)) < 0)
    goto error;
  if ((r = quantizer_first_grid (qz)) < 0)
    goto error;
  *out = qz;
  return 0;

error:
  qk_quantizer_free (qz);
  return r;
}

void
qk_quantizer_free (struct qk_quantizer *qz)
{
  if (qz == NULL)
    return;
  if (qz->obs != NULL)
    quantizer_free_self (qz->obs_self, qz->obs->destroy, qz->obs->self_size);
  if (qz->fq != NULL)
    quantizer_free_self (qz->fq_self, qz->fq->destroy, qz->fq->self_size);
  for (int i = 0; i < QK_FQ_MAX_PARAMS; i++) {
    qk_free (qz->value.value[i]);
    qk_free (qz->grad[i]);
  }
  qk_free (qz->transformed);
  qk_free (qz->kept);
  qk_free (qz->max);
  qk_free (qz->min);
  qk_free (qz->factor);
  qk_free (qz->floor);
  qk_free (qz->next);
  qk_free (qz->grid);
  qk_free (qz->name);
  qk_free (qz);
}

/* ---- asking ------------------------------------------------------------*/

const struct qk_quant_info *
qk_quantizer_info (const struct qk_quantizer *qz)
{
  return &qz->info;
}

bool
qk_quantizer_transforms (const struct qk_quantizer *qz)
{
  return qz->fq != NULL && qz->fq->transform != NULL;
}

const char *
qk_quantizer_observer_name (const struct qk_quantizer *qz)
{
  return qz->obs != NULL ? qz->obs->cls.name : "none";
}

int64_t
qk_quantizer_channels (const struct qk_quantizer *qz)
{
  return qz->info.channels;
}

const struct qk_qparams *
qk_quantizer_qparams (const struct qk_quantizer *qz)
{
  return qz->grid;
}

void
qk_quantizer_set_observing (struct qk_quantizer *qz, bool on)
{
  qz->observing = on;
}

void
qk_quantizer_set_comm (struct qk_quantizer *qz, struct qk_comm *comm)
{
  qz->comm = qz->info.weight || qk_comm_size (comm) == 1 ? NULL : comm;
}

void
qk_quantizer_set_share (struct qk_quantizer *qz, double share)
{
  qz->share = share;
}

bool
qk_quantizer_observing (const struct qk_quantizer *qz)
{
  return qz->observing && !qz->fixed && (qz->obs != NULL || !qz->initialized);
}

bool
qk_quantizer_wants_range (const struct qk_quantizer *qz)
{
  return qz->range_only && qz->initialized
         && (qz->fq == NULL || qz->fq->transform == NULL);
}

bool
qk_quantizer_is_ste (const struct qk_quantizer *qz)
{
  return qz->fq == NULL
         || (qz->fq->backward == NULL && qz->fq->transform == NULL);
}

int
qk_quantizer_params (struct qk_quantizer *qz, struct qk_quantizer_param *out)
{
  for (int i = 0; i < qz->value.n; i++) {
    out[i].name = qz->param[i].name;
    out[i].count = qz->param[i].count;
    out[i].value = qz->value.value[i];
    out[i].grad = qz->grad[i];
  }
  return qz->value.n;
}

static int
quantizer_range (struct qk_quantizer *qz, float *min, float *max)
{
  const size_t channels = (size_t) qz->info.channels;
  const int r = qz->obs->range (qz->obs_self, min, max);

  if (r == -ENODATA && qz->has_kept) {
    memcpy (min, qz->kept, channels * sizeof *min);
    memcpy (max, qz->kept + channels, channels * sizeof *max);
    return 0;
  }
  for (size_t c = 0; r >= 0 && c < channels; c++)
    if (!isfinite (min[c]) || !isfinite (max[c]) || min[c] > max[c])
      return qk_error (-EDOM, "channel %zu: range %g..%g is no finite range",
                       c, (double) min[c], (double) max[c]);
  return r;
}

int
qk_quantizer_range (struct qk_quantizer *qz, float *min, float *max)
{
  int r;

  if (qz->obs == NULL)
    return qk_error (-ENODATA, "'%s' has no observer", qz->info.name);
  r = quantizer_range (qz, min, max);
  return r < 0 ? quantizer_blame (qz, r, &qz->obs->cls) : 0;
}

bool
qk_quantizer_has_range (struct qk_quantizer *qz)
{
  return qz->obs != NULL && quantizer_range (qz, qz->min, qz->max) >= 0;
}

/* ---- grids -------------------------------------------------------------*/

static void
quantizer_warn (struct qk_quantizer *qz)
{
  if (qz->warned)
    return;
  qz->warned = true;
  qk_log (qz->ctx, QK_LOG_WARNING,
          "'%s': nothing has been observed, using scale 1 and zero_point %d",
          qz->info.name, (int) qz->next[0].zero_point);
}

/* What a plugin returned must be a grid the int8 formulas can use. */
static int
quantizer_check_grid (const struct qk_quantizer *qz, int64_t c)
{
  const struct qk_qparams *q = &qz->next[c];

  if (!isfinite (q->scale) || q->scale <= 0.0f)
    return qk_error (-EDOM,
                     "channel %lld: scale must be positive and finite, "
                     "got %g",
                     (long long) c, (double) q->scale);
  /* the formulas multiply by 1 / scale */
  if (!isfinite (1.0f / q->scale))
    return qk_error (-EDOM, "channel %lld: scale %g is too small",
                     (long long) c, (double) q->scale);
  if (q->qmin < qz->info.qmin || q->qmax > qz->info.qmax || q->qmin >= q->qmax)
    return qk_error (-EDOM, "channel %lld: range %d..%d is not within %d..%d",
                     (long long) c, (int) q->qmin, (int) q->qmax,
                     (int) qz->info.qmin, (int) qz->info.qmax);
  if (q->zero_point < q->qmin || q->zero_point > q->qmax)
    return qk_error (-EDOM, "channel %lld: zero_point %d is not within %d..%d",
                     (long long) c, (int) q->zero_point, (int) q->qmin,
                     (int) q->qmax);
  if (qz->info.weight && q->zero_point != 0)
    return qk_error (-EDOM,
                     "channel %lld: zero_point of a weight must be 0, got %d",
                     (long long) c, (int) q->zero_point);
  return 0;
}

static int
quantizer_default_grids (struct qk_quantizer *qz, bool seen)
{
  int r;

  if (!seen) {
    quantizer_warn (qz);
    return 0;
  }
  for (int64_t c = 0; c < qz->info.channels; c++) {
    r = qk_calculate_qparams (qz->min[c], qz->max[c], qz->info.symmetric,
                              &qz->next[c]);
    if (r < 0)
      return qk_error_prefix (r, "observer '%s' of '%s', channel %lld: ",
                              qk_quantizer_observer_name (qz), qz->info.name,
                              (long long) c);
  }
  return 0;
}

/* The grids in force: those computed, times their factors, with no scale below
 * its floor.  Whether that changed one. */
static bool
quantizer_take_grids (struct qk_quantizer *qz)
{
  bool changed = false;

  for (int64_t c = 0; c < qz->info.channels; c++) {
    struct qk_qparams q = qz->next[c];

    q.scale *= qz->factor[c];
    if (qz->floor[c] > q.scale)
      q.scale = qz->floor[c];
    changed = changed || q.scale != qz->grid[c].scale;
    qz->grid[c] = q;
  }
  return changed;
}

int
qk_quantizer_refresh (struct qk_quantizer *qz)
{
  const int64_t channels = qz->info.channels;
  bool seen = false;
  int r;

  if (qz->fixed) {
    quantizer_take_grids (qz);
    return 0;
  }
  if (qz->obs != NULL) {
    r = quantizer_range (qz, qz->min, qz->max);
    if (r < 0 && r != -ENODATA)
      return quantizer_blame (qz, r, &qz->obs->cls);
    seen = r >= 0;
  }
  for (int64_t c = 0; c < channels; c++) {
    qz->next[c].scale = 1.0f;
    qz->next[c].qmin = qz->info.qmin;
    qz->next[c].qmax = qz->info.qmax;
    qz->next[c].zero_point = qz->info.qmin > 0 ? qz->info.qmin : 0;
  }
  if (qz->fq == NULL || qz->fq->qparams == NULL)
    r = quantizer_default_grids (qz, seen);
  else {
    r = qz->fq->qparams (qz->fq_self, &qz->value, seen ? qz->min : NULL,
                         seen ? qz->max : NULL, qz->next);
    for (int64_t c = 0; r >= 0 && c < channels; c++)
      r = quantizer_check_grid (qz, c);
    if (r < 0)
      r = quantizer_blame (qz, r, &qz->fq->cls);
  }
  if (r < 0)
    return r;
  quantizer_take_grids (qz);
  qz->derived = 1;
  return 0;
}

int
qk_quantizer_fix (struct qk_quantizer *qz, const struct qk_qparams *q)
{
  int r = 0;

  for (int64_t c = 0; r >= 0 && c < qz->info.channels; c++) {
    qz->next[c] = q[c];
    r = quantizer_check_grid (qz, c);
  }
  if (r < 0)
    return qk_error_prefix (r, "'%s': ", qz->info.name);
  quantizer_take_grids (qz);
  qz->fixed = true;
  qz->derived = 1;
  return 0;
}

bool
qk_quantizer_raise (struct qk_quantizer *qz, const float *floor)
{
  for (int64_t c = 0; c < qz->info.channels; c++)
    qz->floor[c] = floor != NULL && isfinite (floor[c]) ? floor[c] : 0.0f;
  return quantizer_take_grids (qz);
}

/* Whether scales times FACTOR, a result of qk_quantizer_rescale or of a file,
 * are such as the formulas can use. */
static int
quantizer_check_factors (const struct qk_quantizer *qz, const float *factor)
{
  for (int64_t c = 0; c < qz->info.channels; c++) {
    const float scale = qz->next[c].scale * factor[c];

    if (!(scale > 0.0f) || !isfinite (scale) || !isfinite (1.0f / scale))
      return qk_error (-EDOM,
                       "'%s': channel %lld has scale %g times %g, expected "
                       "a positive finite number",
                       qz->info.name, (long long) c,
                       (double) qz->next[c].scale, (double) factor[c]);
  }
  return 0;
}

int
qk_quantizer_rescale (struct qk_quantizer *qz, const float *factor)
{
  int r;

  if (qz->fixed || !qz->info.weight || qk_quantizer_transforms (qz))
    return 0;
  for (int64_t c = 0; c < qz->info.channels; c++)
    qz->min[c] = qz->factor[c] * factor[c];
  if ((r = quantizer_check_factors (qz, qz->min)) < 0)
    return r;
  memcpy (qz->factor, qz->min, (size_t) qz->info.channels * sizeof (float));
  quantizer_take_grids (qz);
  return 0;
}

int64_t
qk_quantizer_raised (const struct qk_quantizer *qz)
{
  int64_t raised = 0;

  for (int64_t c = 0; c < qz->info.channels; c++)
    raised += qz->floor[c] > qz->next[c].scale * qz->factor[c];
  return raised;
}

/* ---- observing ---------------------------------------------------------*/

/* Elements of one channel, 0 for an impossible size (recorded). */
static size_t
quantizer_block (const struct qk_quantizer *qz, size_t n)
{
  const size_t channels = (size_t) qz->info.channels;

  if (n == 0 || n % channels != 0
      || (qz->info.per_channel > 0
          && n / channels != (size_t) qz->info.per_channel)) {
    qk_error (-EINVAL, "'%s': %zu elements do not make %zu channels of %lld",
              qz->info.name, n, channels, (long long) qz->info.per_channel);
    return 0;
  }
  return n / channels;
}

/* Whether the channels of N elements shall be spread over the threads; the
 * loops over a single large channel do that themselves. */
static bool
quantizer_spread (const struct qk_quantizer *qz, size_t n)
{
  return qz->info.channels > 1 && n > 6144;
}

/* What is done to each channel. */
struct each {
  struct qk_quantizer *qz;
  const float *x, *dy;
  size_t block; /* elements of a channel */
  float *dx;
  int8_t *q;
};

/* ACTION on all channels of N elements.  What is not spread enters no region:
 * one of a single thread would make the regions within it nested ones, which
 * start threads of their own each time. */
static void
quantizer_each (const struct each *e, size_t n,
                void (*action) (const struct each *, size_t))
{
  const size_t channels = (size_t) e->qz->info.channels;

  if (!quantizer_spread (e->qz, n)) {
    for (size_t c = 0; c < channels; c++)
      action (e, c);
    return;
  }
#pragma omp parallel for schedule(static)
  for (size_t c = 0; c < channels; c++)
    action (e, c);
}

/* *X becomes t (*X), in scratch memory, where there is a transform. */
static int
quantizer_transform (struct qk_quantizer *qz, const float **x, size_t n)
{
  int r;

  if (qz->fq == NULL || qz->fq->transform == NULL)
    return 0;
  if (qz->transformed_size < n) {
    qk_free (qz->transformed);
    qz->transformed
      = n <= SIZE_MAX / sizeof (float) ? qk_alloc (n * sizeof (float)) : NULL;
    qz->transformed_size = qz->transformed != NULL ? n : 0;
    if (qz->transformed == NULL)
      return qk_oom ("'%s'", qz->info.name);
  }
  r = qz->fq->transform (qz->fq_self, *x, n, qz->transformed);
  if (r < 0)
    return quantizer_blame (qz, r, &qz->fq->cls);
  *x = qz->transformed;
  return 0;
}

static int
quantizer_saw (const struct qk_quantizer *qz, bool nan)
{
  return qk_error (-EDOM, "observer '%s' of '%s' saw %s",
                   qz->obs != NULL ? qz->obs->cls.name : "none", qz->info.name,
                   nan ? "NaN" : "infinity");
}

/* The range of all processes' values from that of this one's, in one
 * message; values have one channel. */
static int
quantizer_join_range (struct qk_quantizer *qz, float *min, float *max)
{
  float both[2] = { *min, -*max };
  int r;

  if (qz->comm == NULL)
    return 0;
  r = qk_comm_reduce (qz->comm, QK_COMM_MIN, QK_COMM_F32, both, 2);
  *min = both[0];
  *max = -both[1];
  return r;
}

static void
channel_range (const struct each *e, size_t c)
{
  struct qk_quantizer *qz = e->qz;

  qk_range_find (e->x + c * e->block, e->block, &qz->min[c], &qz->max[c]);
}

static int
quantizer_see (struct qk_quantizer *qz, const float *x, size_t n, size_t block)
{
  const struct each e = { .qz = qz, .x = x, .block = block };
  int r;

  quantizer_each (&e, n, channel_range);
  for (int64_t c = 0; c < qz->info.channels; c++)
    if (!isfinite (qz->min[c]) || !isfinite (qz->max[c]))
      return quantizer_saw (qz, isnan (qz->min[c]));
  if (qz->obs == NULL)
    return 0;
  if (qz->range_only && (r = quantizer_join_range (qz, qz->min, qz->max)) < 0)
    return r;
  if (qz->obs->update != NULL)
    r = QK_CALLED (&qz->obs->cls, "update",
                   qz->obs->update (qz->obs_self, x, n));
  else
    r = QK_CALLED (&qz->obs->cls, "update_range",
                   qz->obs->update_range (qz->obs_self, qz->min, qz->max));
  return r < 0 ? quantizer_blame (qz, r, &qz->obs->cls) : 0;
}

int
qk_quantizer_start (struct qk_quantizer *qz, const struct qk_qparams *q)
{
  const float ends[2] = { qk_dequantize (q->qmin, q->scale, q->zero_point),
                          qk_dequantize (q->qmax, q->scale, q->zero_point) };
  struct qk_comm *const comm = qz->comm;
  int r;

  if (qz->info.channels != 1 || qz->obs == NULL)
    return 0;      /* nothing that a range could tell */
  qz->comm = NULL; /* the same range everywhere */
  r = quantizer_see (qz, ends, 2, 2);
  qz->comm = comm;
  return r < 0 || !qz->initialized ? r : qk_quantizer_refresh (qz);
}

static int
quantizer_collect (struct qk_quantizer *qz, const float *x, size_t n)
{
  const float *raw = x;
  size_t block;
  int r;

  if (!qk_quantizer_observing (qz) || n == 0)
    return 0;
  block = quantizer_block (qz, n);
  if (block == 0)
    return -EINVAL;
  r = quantizer_transform (qz, &x, n);
  if (r < 0)
    return r;
  r = quantizer_see (qz, x, n, block);
  if (r < 0)
    return r;
  if (!qz->initialized) {
    r = qz->fq->init (qz->fq_self, &qz->value, raw, n);
    if (r < 0)
      return quantizer_blame (qz, r, &qz->fq->cls);
    qz->initialized = 1;
  }
  return 0;
}

int
qk_quantizer_collect (struct qk_quantizer *qz, const float *x, size_t n)
{
  float *all;
  int r;

  /* who needs more than the range needs everybody's values */
  if (qz->comm == NULL || !qk_quantizer_observing (qz)
      || qk_quantizer_wants_range (qz))
    return quantizer_collect (qz, x, n);
  if ((r = qk_comm_gather (qz->comm, x, n, &all, &n)) < 0)
    return r;
  r = quantizer_collect (qz, all, n);
  qk_free (all);
  return r;
}

int
qk_quantizer_observe (struct qk_quantizer *qz, const float *x, size_t n)
{
  int r;

  if (!qk_quantizer_observing (qz) || n == 0)
    return 0;
  r = qk_quantizer_collect (qz, x, n);
  return r < 0 ? r : qk_quantizer_refresh (qz);
}

int
qk_quantizer_observe_range (struct qk_quantizer *qz, const float *min,
                            const float *max)
{
  int r;

  if (!qk_quantizer_observing (qz))
    return 0;
  if (!qk_quantizer_wants_range (qz))
    return qk_error (-ENOTSUP, "'%s': a range is not enough for observer '%s'",
                     qz->info.name,
                     qz->obs != NULL ? qz->obs->cls.name : "none");
  for (int64_t c = 0; c < qz->info.channels; c++)
    if (!isfinite (min[c]) || !isfinite (max[c]))
      return quantizer_saw (qz, isnan (min[c]) || isnan (max[c]));
  memcpy (qz->min, min, (size_t) qz->info.channels * sizeof *min);
  memcpy (qz->max, max, (size_t) qz->info.channels * sizeof *max);
  if ((r = quantizer_join_range (qz, qz->min, qz->max)) < 0)
    return r;
  r = qz->obs->update_range (qz->obs_self, qz->min, qz->max);
  if (r < 0)
    return quantizer_blame (qz, r, &qz->obs->cls);
  return qk_quantizer_refresh (qz);
}

/* ---- forward and backward ----------------------------------------------*/

int
qk_quantizer_forward_u8 (struct qk_quantizer *qz, const float *x, size_t n,
                         uint8_t *q)
{
  if (qz->info.weight)
    return qk_error (-EINVAL, "'%s' is a weight, expected an activation",
                     qz->info.name);
  qk_loop_quantize_u8 (x, n, qz->grid, q);
  return 0;
}

static void
channel_i8 (const struct each *e, size_t c)
{
  qk_loop_quantize_i8 (e->x + c * e->block, e->block, &e->qz->grid[c],
                       e->q + c * e->block);
}

int
qk_quantizer_forward_i8 (struct qk_quantizer *qz, const float *x, size_t n,
                         int8_t *q)
{
  const size_t block = quantizer_block (qz, n);
  int r;

  if (block == 0)
    return -EINVAL;
  if (!qz->info.weight)
    return qk_error (-EINVAL, "'%s' is an activation, expected a weight",
                     qz->info.name);
  r = quantizer_transform (qz, &x, n);
  if (r < 0)
    return r;
  quantizer_each (&(struct each){ .qz = qz, .x = x, .block = block, .q = q },
                  n, channel_i8);
  return 0;
}

static void
channel_ste (const struct each *e, size_t c)
{
  const size_t at = c * e->block;

  qk_loop_ste (e->x + at, e->dy + at, e->block, &e->qz->grid[c], e->dx + at);
}

int
qk_quantizer_backward (struct qk_quantizer *qz, const float *x,
                       const float *dy, float *dx, size_t n)
{
  const size_t block = quantizer_block (qz, n);
  struct qk_fq_params p = qz->value;
  int r;

  if (block == 0)
    return -EINVAL;
  if (qz->fq != NULL && qz->fq->backward != NULL) {
    memcpy (p.grad, qz->grad, sizeof p.grad);
    p.whole = qz->comm == NULL ? n : (size_t) llround ((double) n / qz->share);
    r = qz->fq->backward (qz->fq_self, &p, qz->grid, x, dy, dx, n);
    return r < 0 ? quantizer_blame (qz, r, &qz->fq->cls) : 0;
  }
  r = quantizer_transform (qz, &x, n);
  if (r < 0)
    return r;
  quantizer_each (
    &(struct each){ .qz = qz, .x = x, .dy = dy, .block = block, .dx = dx }, n,
    channel_ste);
  return 0;
}

/* ---- state -------------------------------------------------------------*/

static int
quantizer_state_fakequant (struct qk_quantizer *qz, struct qk_state *st)
{
  int r;

  for (int i = 0; i < qz->value.n; i++) {
    r = qk_state_add (st, qz->param[i].name, QK_F32, qz->value.value[i],
                      qz->param[i].count);
    if (r < 0)
      return r;
  }
  return qz->fq->state != NULL ? qz->fq->state (qz->fq_self, st) : 0;
}

/* What is kept of an observer without a state: the range, so that a
 * checkpoint is the network that was trained. */
static int
quantizer_state_range (struct qk_quantizer *qz, struct qk_state *st)
{
  const size_t channels = (size_t) qz->info.channels;
  int r;

  if (!st->loading) {
    r = quantizer_range (qz, qz->kept, qz->kept + channels);
    if (r < 0 && r != -ENODATA)
      return quantizer_blame (qz, r, &qz->obs->cls);
    qz->has_kept = r >= 0;
  }
  if ((r = qk_state_add (st, "has_range", QK_I32, &qz->has_kept, 1)) < 0
      || (r = qk_state_add (st, "range", QK_F32, qz->kept, 2 * channels)) < 0)
    return r;
  for (size_t i = 0; qz->has_kept && i < 2 * channels; i++)
    if (!isfinite (qz->kept[i])) {
      qz->has_kept = 0;
      return qk_error (-EDOM, "'%s': a bound of the range is %g",
                       qz->info.name, (double) qz->kept[i]);
    }
  return 0;
}

int
qk_quantizer_state (struct qk_quantizer *qz, struct qk_state *st)
{
  size_t mark;
  int r = qk_state_add (st, "initialized", QK_I32, &qz->initialized, 1);

  if (r < 0)
    return r;
  if (qz->obs != NULL) {
    if ((r = qk_state_push (st, "observer.", &mark)) < 0)
      return r;
    r = qz->obs->state != NULL ? qz->obs->state (qz->obs_self, st)
                               : quantizer_state_range (qz, st);
    qk_state_pop (st, mark);
    if (r < 0)
      return r;
  }
  if (qz->fq != NULL) {
    if ((r = qk_state_push (st, "fakequant.", &mark)) < 0)
      return r;
    r = quantizer_state_fakequant (qz, st);
    qk_state_pop (st, mark);
    if (r < 0)
      return r;
  }
  if ((r = qk_state_add (st, "derived", QK_I32, &qz->derived, 1)) < 0
      || (qz->info.weight
          && (r = qk_state_add (st, "factor", QK_F32, qz->factor,
                                (size_t) qz->info.channels))
               < 0)
      || !st->loading)
    return r;
  if (qz->fq == NULL || qz->fq->init == NULL)
    qz->initialized = 1; /* nothing to wait for, whatever the file says */
  if (qz->derived == 0)
    return 0;        /* as made: what was saved had not derived one either */
  qz->warned = true; /* it was said when that happened */
  r = qk_quantizer_refresh (qz);
  return r < 0 ? r : quantizer_check_factors (qz, qz->factor);
}
