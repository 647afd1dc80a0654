/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quantizer.c: an observer and a fake-quantizer at work on one value or
 * parameter. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "base/called.h"
#include "quant/loops-priv.h"
#include "quant/quantizer-self.h"

/* ---- asking ------------------------------------------------------------*/

int
qk_quantizer_blame (const struct qk_quantizer *qz, int err,
                    const struct qk_class *cls)
{
  return qk_error_prefix (err, "%s '%s' of '%s': ", qk_kind_name (cls->kind),
                          cls->name, qz->info.name);
}

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

int
qk_quantizer_read_range (struct qk_quantizer *qz, float *min, float *max)
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
  r = qk_quantizer_read_range (qz, min, max);
  return r < 0 ? qk_quantizer_blame (qz, r, &qz->obs->cls) : 0;
}

bool
qk_quantizer_has_range (struct qk_quantizer *qz)
{
  return qz->obs != NULL
         && qk_quantizer_read_range (qz, qz->min, qz->max) >= 0;
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
    return qk_quantizer_blame (qz, r, &qz->fq->cls);
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
  return r < 0 ? qk_quantizer_blame (qz, r, &qz->obs->cls) : 0;
}

/* The range whose grid Q is: qk_calculate_qparams the other way round. */
static void
ends_of_grid (const struct qk_qparams *q, bool symmetric, float ends[2])
{
  const float half = q->scale * ((float) (q->qmax - q->qmin) / 2.0f);

  ends[0]
    = symmetric ? -half : qk_dequantize (q->qmin, q->scale, q->zero_point);
  ends[1]
    = symmetric ? half : qk_dequantize (q->qmax, q->scale, q->zero_point);
}

/* Let the observer see the ends of the grids Q. */
static int
quantizer_see_ends (struct qk_quantizer *qz, const struct qk_qparams *q)
{
  const size_t channels = (size_t) qz->info.channels;
  struct qk_comm *const comm = qz->comm;
  float *ends = qk_alloc (2 * channels * sizeof *ends);
  int r;

  if (ends == NULL)
    return qk_oom ("'%s'", qz->info.name);
  for (size_t c = 0; c < channels; c++)
    ends_of_grid (&q[c], qz->info.symmetric, ends + 2 * c);
  qz->comm = NULL; /* the same range everywhere */
  r = quantizer_see (qz, ends, 2 * channels, 2);
  qz->comm = comm;
  qk_free (ends);
  return r;
}

int
qk_quantizer_start (struct qk_quantizer *qz, const struct qk_qparams *q)
{
  int r = 0;

  if (qz->fixed || qk_quantizer_transforms (qz))
    return 0; /* given for good, or ranges of other numbers */
  if (qz->obs != NULL && (r = quantizer_see_ends (qz, q)) < 0)
    return r;
  if (qz->fq != NULL && qz->fq->start != NULL) {
    r = QK_CALLED (&qz->fq->cls, "start",
                   qz->fq->start (qz->fq_self, &qz->value, q));
    if (r < 0)
      return qk_quantizer_blame (qz, r, &qz->fq->cls);
    if (r == 0)
      qz->initialized = 1;
  }
  return qz->initialized ? qk_quantizer_refresh (qz) : 0;
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
      return qk_quantizer_blame (qz, r, &qz->fq->cls);
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
    return qk_quantizer_blame (qz, r, &qz->obs->cls);
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
  if (qz->info.qmax > QK_U8_MAX)
    return qk_error (-EINVAL, "'%s' has %d bits, expected 8 at most",
                     qz->info.name, qz->info.bits);
  qk_loop_quantize_u8 (x, n, qz->grid, q);
  return 0;
}

int
qk_quantizer_forward_f32 (struct qk_quantizer *qz, const float *x, size_t n,
                          float *y)
{
  if (qz->info.weight)
    return qk_error (-EINVAL, "'%s' is a weight, expected an activation",
                     qz->info.name);
  qk_loop_put_on_grid (x, n, qz->grid, y);
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
    return r < 0 ? qk_quantizer_blame (qz, r, &qz->fq->cls) : 0;
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
    r = qk_quantizer_read_range (qz, qz->kept, qz->kept + channels);
    if (r < 0 && r != -ENODATA)
      return qk_quantizer_blame (qz, r, &qz->obs->cls);
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
qk_quantizer_visit (struct qk_quantizer *qz, struct qk_state *st)
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
               < 0))
    return r;
  return 0;
}

int
qk_quantizer_state (struct qk_quantizer *qz, struct qk_state *st)
{
  int r = qk_quantizer_visit (qz, st);

  if (r < 0 || !st->loading)
    return r;
  if (qz->fq == NULL || qz->fq->init == NULL)
    qz->initialized = 1; /* nothing to wait for, whatever the file says */
  if (qz->derived == 0)
    return 0;        /* as made: what was saved had not derived one either */
  qz->warned = true; /* it was said when that happened */
  r = qk_quantizer_refresh (qz);
  return r < 0 ? r : qk_quantizer_check_factors (qz, qz->factor);
}
