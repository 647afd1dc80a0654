/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* making.c: quantizers are made and freed. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "base/called.h"
#include "quant/quantizer-self.h"

static int
quantizer_check_info (const struct qk_quant_info *info)
{
  const int32_t lowest = info->weight ? -128 : 0;
  const int32_t highest = info->weight ? 127 : QK_U16_MAX;
  const int most = info->weight ? 8 : 16;

  if (info->bits < 2 || info->bits > most)
    return qk_error (-EINVAL, "'%s': bits must be 2 to %d, got %d", info->name,
                     most, info->bits);
  if (info->channels < 1 || (!info->weight && info->channels != 1))
    return qk_error (-EINVAL, "'%s': cannot have %lld ranges", info->name,
                     (long long) info->channels);
  if (info->per_channel < 0)
    return qk_error (-EINVAL, "'%s': negative number of elements", info->name);
  if (info->qmin >= info->qmax || info->qmin < lowest || info->qmax > highest)
    return qk_error (-EINVAL, "'%s': range %d..%d is not within %d..%d",
                     info->name, (int) info->qmin, (int) info->qmax,
                     (int) lowest, (int) highest);
  if ((info->bits > 8) != (info->qmax > QK_U8_MAX))
    return qk_error (-EINVAL, "'%s': %d bits do not go with the range %d..%d",
                     info->name, info->bits, (int) info->qmin,
                     (int) info->qmax);
  if (info->weight && !info->symmetric)
    return qk_error (-EINVAL, "'%s': weights must be symmetric", info->name);
  return 0;
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
free_self (void *self, void (*destroy) (void *), size_t size)
{
  if (self != NULL && destroy != NULL)
    destroy (self);
  if (size > 0)
    qk_free (self);
}

void
qk_quantizer_free_selves (const struct qk_quantizer *qz, void *obs_self,
                          void *fq_self)
{
  if (qz->obs != NULL)
    free_self (obs_self, qz->obs->destroy, qz->obs->self_size);
  if (qz->fq != NULL)
    free_self (fq_self, qz->fq->destroy, qz->fq->self_size);
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
    return qk_quantizer_blame (qz, r, &obs->cls);
  qz->range_only = obs->update == NULL;
  return 0;
}

static int
quantizer_new_params (struct qk_quantizer *qz)
{
  const struct qk_fakequant_class *fq = qz->fq;
  const int n = fq->params (qz->fq_self, qz->param);

  if (n < 0)
    return qk_quantizer_blame (qz, n, &fq->cls);
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
    return qk_quantizer_blame (qz, r, &fq->cls);
  qz->initialized = fq->init == NULL;
  return 0;
}

int
qk_quantizer_new_selves (struct qk_quantizer *qz,
                         const struct qk_config *obs_cfg,
                         const struct qk_config *fq_cfg)
{
  int r = 0;

  if (qz->obs != NULL)
    r = quantizer_new_observer (qz, obs_cfg);
  return r == 0 && qz->fq != NULL ? quantizer_new_fakequant (qz, fq_cfg) : r;
}

/* A grid before the first batch where there is one: from an observer that
 * knows its range beforehand or a fake-quantizer that needs none.  Training
 * may begin with frozen observers. */
int
qk_quantizer_first_grid (struct qk_quantizer *qz)
{
  const struct qk_qparams q
    = { .scale = 1.0f,
        .qmin = qz->info.qmin,
        .qmax = qz->info.qmax,
        .zero_point = qz->info.qmin > 0 ? qz->info.qmin : 0 };
  const bool own
    = qz->fq != NULL && qz->fq->qparams != NULL && qz->fq->init == NULL;

  for (int64_t c = 0; c < qz->info.channels; c++)
    qz->grid[c] = qz->next[c] = q;
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
  for (size_t c = 0; c < channels; c++)
    qz->factor[c] = 1.0f;

  if ((r = qk_quantizer_new_selves (qz, obs_cfg, fq_cfg)) < 0)
    goto error;
  if (fq != NULL && fq->params != NULL && (r = quantizer_new_params (qz)) < 0)
    goto error;
  if ((r = qk_quantizer_first_grid (qz)) < 0)
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
  qk_quantizer_free_selves (qz, qz->obs_self, qz->fq_self);
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
