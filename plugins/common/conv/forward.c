/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* forward.c: convolution, batch-norm, clamp and grid in one or two passes.
 *
 * With acc = sum (a - z_in) w, in integers where input and weight are on
 * grids, everything that follows is y = acc * a + b for each channel:
 *   stored statistics, quantized: the integer formula of numeric.h, byte for
 *     byte that of the int8 network;
 *   batch statistics: y1 = acc * c with c = s_in s_w / k, batch-norm of y1.
 * One pass does when a, b and the output's grid are known before; else acc
 * is kept, its moments or range are taken while a block is hot, and a second
 * pass finishes. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "multiversion.h"

/* Channels at a time whose numbers are computed side by side. */
enum { CHUNK = 64 };

/* ---- weights ------------------------------------------------------------*/

/* The weight's integers.  Batch statistics leave no bias whose size they could
 * depend on; what was prepared did not know the input. */
static int
make_weight (struct conv_run *run)
{
  const struct qk_layer_io *io = run->io;
  const struct qk_conv *cv = run->cv;
  const struct qk_qparams *in_q = run->exact ? &io->in->q : NULL;
  const bool prepared = io->flags & QK_PASS_PREPARED;
  float *wk = (float *) (void *) ((char *) io->workspace + cv->plan.ws_wk);

  if (prepared
      && !conv_fit_scale (cv, io->param, io->weight_qz, in_q, run->weight.k,
                          run->sc.real_bias))
    return 0;
  return conv_make_weight (cv, io, in_q, !prepared, run->threads, wk,
                           &run->weight);
}

static int
begin_weight (struct conv_run *run)
{
  const struct qk_layer_io *io = run->io;
  const struct qk_conv *cv = run->cv;
  struct conv_saved *sv = run->saved;
  int ret;

  memset (sv, 0, sizeof *sv);
  sv->s_in = run->s_in;
  sv->z = run->z;
  sv->batch = cv->bn && (io->flags & QK_PASS_BATCH_STATS);
  sv->folded = cv->bn && io->weight_qz;
  run->exact = io->weight_qz && (run->u8_in || run->wide_in) && !sv->batch;
  if (!io->weight_qz) {
    conv_norm_factors (cv, io->param, run->weight.k, run->weight.sigma);
    for (int64_t i = 0; i < cv->k; i++) {
      run->weight.sw[i] = 1.0f;
      run->sc.real_bias[i]
        = cv->bias ? ((const float *) io->param[1].data)[i] : 0.0f;
    }
    if (run->kind == CONV_DEPTHWISE)
      conv_place_depthwise (cv, io->param[0].data, &run->weight);
    conv_place_weight (run, NULL, true);
    return 0;
  }
  if ((ret = make_weight (run)) < 0)
    return ret;
  ret = conv_fold_bias (
    cv, io->param, run->u8_in || run->exact ? &io->in->q : NULL, sv->batch,
    &run->weight, run->sc.real_bias, run->sc.bias, &sv->i32_acc);
  if (ret < 0)
    return ret;
  if (run->exact && run->wide_in) {
    sv->i32_acc = false; /* what is kept for backward are floats */
    return 0;
  }
  conv_place_weight (run, run->weight.wq, true);
  return 0;
}

/* ---- y = acc * a + b ----------------------------------------------------*/

/* With stored statistics, or without batch-norm. */
static void
stored_affine (struct conv_run *run)
{
  const struct qk_conv *cv = run->cv;
  const struct qk_tensor *bn = run->io->param + 1 + cv->bias;
  struct conv_channels *ch = &run->ch;

  for (int64_t i = 0; i < cv->k; i++) {
    const float bias = run->sc.real_bias[i];

    if (run->exact) {
      ch->a[i] = run->s_in * run->weight.sw[i];
      ch->b[i] = (float) run->sc.bias[i] * ch->a[i];
      run->sc.m[i] = ch->a[i];
    } else if (run->io->weight_qz) { /* bias has batch-norm in it */
      ch->a[i] = run->s_in * run->weight.sw[i];
      ch->b[i] = bias;
    } else if (cv->bn) {
      const float mean = ((const float *) bn[QK_BN_MEAN].data)[i];

      ch->a[i] = run->s_in * run->weight.k[i];
      ch->b[i] = ((const float *) bn[QK_BN_BETA].data)[i]
                 + (bias - mean) * run->weight.k[i];
    } else {
      ch->a[i] = run->s_in;
      ch->b[i] = bias;
    }
  }
}

/* Channels that batch_channels works on, all at the first of them. */
struct batch_channels {
  const double *sg, *sgu;
  const float *k, *sw, *gamma, *beta; /* K is NULL where it counts as 1 */
  const float *bias;                  /* NULL: 0 */
  float *rmean, *rvar;
  struct conv_channels ch;
  double m, momentum, eps, s_in;
};

/* N <= CHUNK of them; returns whether all numbers are finite. */
QK_LOOP_VALUE (static, bool, batch_chunk,
               (const struct batch_channels *b, int64_t at, int64_t n),
               (b, at, n))
{
  const double m = b->m, momentum = b->momentum, eps = b->eps, s_in = b->s_in;
  const double *sg = b->sg + at, *sgu = b->sgu + at;
  const float *sw = b->sw + at, *gamma = b->gamma + at, *beta = b->beta + at;
  float *rmean = b->rmean + at, *rvar = b->rvar + at;
  float *a = b->ch.a + at, *shift = b->ch.b + at;
  double *cc = b->ch.c + at, *mean = b->ch.mean + at;
  double *invstd = b->ch.invstd + at;
  double k[CHUNK], bias[CHUNK];
  double check = 0.0; /* NaN once something is not finite */

  for (int64_t i = 0; i < n; i++) {
    k[i] = b->k ? (double) b->k[at + i] : 1.0;
    bias[i] = b->bias ? (double) b->bias[at + i] : 0.0;
  }
#pragma omp simd reduction(+ : check)
  for (int64_t i = 0; i < n; i++) {
    /* gamma 0: the weight vanished from acc, y1 counts as 0 */
    const double c = k[i] != 0.0 ? s_in * (double) sw[i] / k[i] : 0.0;
    const double mu = sg[i] / m;
    const double raw = sgu[i] / m - mu * mu;
    const double var = raw < 0.0 ? 0.0 : raw * c * c;
    const double inv = 1.0 / sqrt (var + eps);
    const double newmean
      = (1.0 - momentum) * (double) rmean[i] + momentum * (mu * c + bias[i]);
    const double newvar
      = (1.0 - momentum) * (double) rvar[i] + momentum * (var * m / (m - 1.0));
    const double zero = (mu + var + c) * 0.0; /* where all are finite */
    /* what is not moves nothing either */
    const double moves = zero == 0.0 ? c : 0.0;

    check += zero;
    cc[i] = c;
    mean[i] = mu;
    invstd[i] = inv;
    a[i] = (float) ((double) gamma[i] * inv * c);
    shift[i] = (float) ((double) beta[i] - (double) gamma[i] * inv * c * mu);
    rmean[i] = (float) (moves != 0.0 ? newmean : (double) rmean[i]);
    rvar[i] = (float) (moves != 0.0 ? newvar : (double) rvar[i]);
  }
  return check == 0.0;
}

/* The error for the first channel from I on that is not finite. */
static int
batch_blame (const struct qk_conv *cv, const struct conv_channels *ch,
             int64_t i)
{
  /* an infinite variance has an invstd of 0 */
  while (i + 1 < cv->k && isfinite (ch->c[i]) && isfinite (ch->mean[i])
         && ch->invstd[i] > 0.0)
    i++;
  return qk_error (-EDOM,
                   "%s: batch statistics of channel %lld are not "
                   "finite",
                   cv->who, (long long) i);
}

/* From the moments of acc in sc.sg, sc.sgu; moves the running statistics. */
static int
batch_affine (struct conv_run *run)
{
  const struct qk_conv *cv = run->cv;
  const struct qk_tensor *bn = run->io->param + 1 + cv->bias;
  const struct batch_channels b = {
    .sg = run->sc.sg,
    .sgu = run->sc.sgu,
    .k = run->saved->folded ? run->weight.k : NULL,
    .sw = run->weight.sw,
    .gamma = bn[QK_BN_GAMMA].data,
    .beta = bn[QK_BN_BETA].data,
    .bias = cv->bias ? run->io->param[1].data : NULL,
    .rmean = bn[QK_BN_MEAN].data,
    .rvar = bn[QK_BN_VAR].data,
    .ch = run->ch,
    .m = run->saved->rows,
    .momentum = run->io->flags & QK_PASS_ANEW ? 1.0f : cv->momentum,
    .eps = (double) cv->eps,
    .s_in = (double) run->s_in,
  };

  if (b.m < 2)
    return qk_error (-EINVAL,
                     "%s: batch statistics need more than 1 value a channel",
                     cv->who);
  for (int64_t i = 0; i < cv->k; i += CHUNK)
    if (!batch_chunk (&b, i, cv->k - i < CHUNK ? cv->k - i : CHUNK))
      return batch_blame (cv, &run->ch, i);
  return 0;
}

static void
spread_channels (struct conv_run *run)
{
  const int64_t k = run->cv->k, period = run->cv->plan.period;

  conv_repeat (run->ch.a, k, period);
  conv_repeat (run->ch.b, k, period);
  conv_repeat (run->sc.m, k, period);
  for (int64_t i = k; i < period; i++)
    run->sc.bias[i] = run->sc.bias[i - k];
}

/* ---- finishing blocks ----------------------------------------------------*/

void
conv_set_grid (struct conv_run *run, float s_in)
{
  const struct qk_qparams *q = qk_quantizer_qparams (run->io->out_qz);

  run->saved->grid = *q;
  run->io->out->q = *q;
  if (!run->exact)
    return;
  for (int64_t i = 0; i < run->cv->k; i++)
    run->sc.m[i] = qk_multiplier (s_in, run->weight.sw[i], q->scale);
  conv_repeat (run->sc.m, run->cv->k, run->cv->plan.period);
}

/* Rows of acc as real numbers. */
static void
finish_real (const struct conv_run *run, const void *acc, int64_t rows,
             float *tmp, float *y)
{
  const size_t n = (size_t) (rows * run->cv->k);
  const size_t period = (size_t) run->cv->plan.period;
  const float lo = run->cv->lo, hi = run->cv->hi;

  if (run->exact && run->saved->i32_acc)
    qk_rows_dequantize_i32 (acc, n, period, run->sc.bias, run->ch.a, lo, hi,
                            y);
  else if (run->exact)
    qk_rows_dequantize (acc, n, period, run->sc.bias, run->ch.a, lo, hi, y);
  else {
    if (run->saved->i32_acc) {
      qk_rows_to_float (acc, n, tmp);
      acc = tmp;
    }
    qk_rows_affine (acc, n, period, run->ch.a, run->ch.b, lo, hi, y);
  }
}

/* The grid of the output, clamp included where forward is exact. */
static struct qk_conv_grid
output_grid (const struct conv_run *run)
{
  const struct qk_qparams *out_q = &run->saved->grid;
  struct qk_conv_grid g = { .ylo = run->cv->lo,
                            .yhi = run->cv->hi,
                            .inv = 1.0f / out_q->scale,
                            .zp = out_q->zero_point,
                            .lo = out_q->qmin,
                            .hi = out_q->qmax };

  if (run->exact)
    qk_clamp_bounds (out_q, run->cv->lo, run->cv->hi, &g.lo, &g.hi);
  return g;
}

/* Rows of acc as real numbers on a grid of more than 8 bits. */
static void
finish_wide (const struct conv_run *run, const void *acc, int64_t rows,
             float *tmp, float *y)
{
  const size_t n = (size_t) (rows * run->cv->k);
  const size_t period = (size_t) run->cv->plan.period;
  const struct qk_conv_grid g = output_grid (run);
  const float scale = run->saved->grid.scale;

  if (run->exact && run->saved->i32_acc)
    qk_rows_regrid_i32 (acc, n, period, run->sc.bias, run->sc.m, &g, scale, y);
  else if (run->exact)
    qk_rows_regrid (acc, n, period, run->sc.bias, run->sc.m, &g, scale, y);
  else {
    finish_real (run, acc, rows, tmp, y);
    qk_rows_put_on_grid (y, n, &g, scale);
  }
}

static void
finish_u8 (const struct conv_run *run, const void *acc, int64_t rows,
           float *tmp, uint8_t *q)
{
  const size_t n = (size_t) (rows * run->cv->k);
  const size_t period = (size_t) run->cv->plan.period;
  const struct qk_conv_grid g = output_grid (run);

  if (run->exact) {
    if (run->saved->i32_acc)
      qk_rows_requantize_i32 (acc, n, period, run->sc.bias, run->sc.m, &g, q);
    else
      qk_rows_requantize (acc, n, period, run->sc.bias, run->sc.m, &g, q);
    return;
  }
  if (run->saved->i32_acc) {
    qk_rows_to_float (acc, n, tmp);
    acc = tmp;
  }
  qk_rows_affine_u8 (acc, n, period, run->ch.a, run->ch.b, &g, q);
}

static void
finish (const struct conv_run *run, const void *acc, int64_t row0,
        int64_t rows, float *tmp)
{
  const int64_t at = row0 * run->cv->k;

  if (run->u8_out)
    finish_u8 (run, acc, rows, tmp, (uint8_t *) run->io->out->data + at);
  else if (run->wide_out)
    finish_wide (run, acc, rows, tmp, (float *) run->io->out->data + at);
  else
    finish_real (run, acc, rows, tmp, (float *) run->io->out->data + at);
}

/* ---- the passes ----------------------------------------------------------*/

enum stats { NO_STATS, MOMENTS = 1, RANGE = 2 };

/* First pass of thread T: accumulators, and what STATS asks for; finished at
 * once when ONE_PASS. */
static void
first_pass (const struct conv_run *run, int t, int stats, bool one_pass)
{
  const size_t period = (size_t) run->cv->plan.period;
  const int64_t u0 = run->units * t / run->threads;
  const int64_t u1 = run->units * (t + 1) / run->threads;
  struct conv_thread th;

  conv_thread_at (run, t, &th);
  memset (th.sum, 0, 2 * period * sizeof *th.sum);
  for (size_t i = 0; i < period; i++) {
    th.min[i] = INFINITY;
    th.max[i] = -INFINITY;
  }
  if (run->cv->plan.forward->begin)
    run->cv->plan.forward->begin (run, &th);
  for (int64_t i = u0; i < u1; i++) {
    struct conv_unit u;
    float *acc = th.blk;
    const float *x;
    size_t n;

    conv_unit_at (run, i, &u);
    n = (size_t) (u.rows * run->cv->k);
    if (run->acc)
      acc = (float *) run->acc + u.row0 * run->cv->k;
    conv_block (run, &th, &u, acc);
    x = acc;
    if (stats && run->saved->i32_acc) {
      qk_rows_to_float ((const int32_t *) (void *) acc, n, th.tmp);
      x = th.tmp;
    }
    if (stats & MOMENTS)
      qk_rows_moments (x, n, period, th.sum, th.sq);
    if (stats & RANGE)
      qk_rows_minmax (x, n, period, th.min, th.max);
    if (one_pass)
      finish (run, acc, u.row0, u.rows, th.tmp);
  }
}

/* Second pass over the rows of thread T: real numbers to Y, or out. */
static void
second_pass (const struct conv_run *run, int t, float *y)
{
  const int64_t k = run->cv->k, step = run->cv->plan.rows;
  const int64_t r1 = run->m * (t + 1) / run->threads;
  struct conv_thread th;

  conv_thread_at (run, t, &th);
  for (int64_t r = run->m * t / run->threads; r < r1; r += step) {
    const int64_t rows = r1 - r < step ? r1 - r : step;
    const struct conv_unit u = { .row0 = r, .rows = rows };
    const float *acc = run->acc ? (const float *) run->acc + r * k : th.blk;

    if (!run->acc)
      conv_block (run, &th, &u, th.blk);
    if (y)
      finish_real (run, acc, rows, th.tmp, y + r * k);
    else
      finish (run, acc, r, rows, th.tmp);
  }
}

QK_LOOP (static, join_ranges,
         (const float *restrict lo, const float *restrict hi, int64_t n,
          float *restrict min, float *restrict max),
         (lo, hi, n, min, max))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++) {
    min[i] = lo[i] < min[i] ? lo[i] : min[i];
    max[i] = hi[i] > max[i] ? hi[i] : max[i];
  }
}

/* The threads' ranges into sc. */
static void
collect_ranges (struct conv_run *run)
{
  const int64_t k = run->cv->k;
  struct conv_scratch_channels *sc = &run->sc;

  for (int64_t i = 0; i < k; i++) {
    sc->min[i] = INFINITY;
    sc->max[i] = -INFINITY;
  }
  for (int t = 0; t < run->threads; t++) {
    struct conv_thread th;

    conv_thread_at (run, t, &th);
    for (int64_t at = 0; at < run->cv->plan.period; at += k)
      join_ranges (th.min + at, th.max + at, k, sc->min, sc->max);
  }
}

/* The moments of the whole batch from those of this process's part, in one
 * message: sg, sgu and the number of rows lie one after the other. */
static int
join_moments (struct conv_run *run)
{
  double *rows = run->sc.sgu + run->cv->k;
  const size_t n = 2 * (size_t) run->cv->k + 1;
  int ret;

  *rows = (double) run->m;
  ret
    = qk_comm_reduce (run->io->comm, QK_COMM_SUM, QK_COMM_F64, run->sc.sg, n);
  run->saved->rows = *rows;
  return ret;
}

/* The real number of an accumulator, in the arithmetic of finish_real. */
static float
real_value (const struct conv_run *run, int64_t i, float acc)
{
  float y;

  if (run->exact)
    y = (float) ((int32_t) acc + run->sc.bias[i]) * run->ch.a[i];
  else
    y = acc * run->ch.a[i] + run->ch.b[i];
  y = y < run->cv->lo ? run->cv->lo : y;
  return y > run->cv->hi ? run->cv->hi : y;
}

static int
observe_range (struct conv_run *run)
{
  float min = INFINITY, max = -INFINITY;

  for (int64_t i = 0; i < run->cv->k; i++) {
    const float a = real_value (run, i, run->sc.min[i]);
    const float b = real_value (run, i, run->sc.max[i]);

    if (!isfinite (a) || !isfinite (b))
      min = max = NAN; /* the observer's error names it */
    min = a < min ? a : min;
    min = b < min ? b : min;
    max = a > max ? a : max;
    max = b > max ? b : max;
  }
  return qk_quantizer_observe_range (run->io->out_qz, &min, &max);
}

static int
observe_all (struct conv_run *run)
{
  float *y
    = (float *) (void *) ((char *) run->io->workspace + run->cv->plan.ws_y);

  if (!run->cv->plan.own_y)
    return qk_error (-EINVAL, "%s: set up for an observer of ranges",
                     run->cv->who);
#pragma omp parallel for num_threads(run->threads) schedule(static, 1)
  for (int t = 0; t < run->threads; t++)
    second_pass (run, t, y);
  return qk_quantizer_observe (run->io->out_qz, y,
                               (size_t) (run->m * run->cv->k));
}

int
qk_conv_forward (struct qk_conv *cv, struct qk_layer_io *io)
{
  struct conv_run run;
  bool observe, range, two_pass;
  int stats = NO_STATS, ret;

  ret = conv_run_begin (cv, io, &run);
  if (ret < 0)
    return ret;
  ret = begin_weight (&run);
  if (ret < 0)
    return ret;
  if (run.wide_in && run.exact)
    return conv_wide_forward (&run);
  observe = run.grid_out && qk_quantizer_observing (io->out_qz);
  range = observe && qk_quantizer_wants_range (io->out_qz);
  two_pass = run.saved->batch || observe;
  stats |= run.saved->batch ? MOMENTS : NO_STATS;
  stats |= range ? RANGE : NO_STATS;
  if (!cv->plan.train && two_pass)
    run.acc = !run.grid_out ? io->out->data
              : run.again   ? NULL
                            : (char *) io->workspace + cv->plan.ws_acc;
  else if (!cv->plan.train && !run.grid_out)
    run.acc = io->out->data;
  if (!run.saved->batch) {
    stored_affine (&run);
    spread_channels (&run);
    if (run.grid_out && !observe)
      conv_set_grid (&run, run.s_in);
  }

#pragma omp parallel for num_threads(run.threads) schedule(static, 1)
  for (int t = 0; t < run.threads; t++)
    first_pass (&run, t, stats, !two_pass);
  if (!two_pass)
    return 0;

  if (range)
    collect_ranges (&run);
  if (run.saved->batch) {
    conv_collect_sums (&run);
    if ((ret = join_moments (&run)) < 0 || (ret = batch_affine (&run)) < 0)
      return ret;
    spread_channels (&run);
  }
  if (observe) {
    ret = range ? observe_range (&run) : observe_all (&run);
    if (ret < 0)
      return ret;
  }
  if (run.grid_out)
    conv_set_grid (&run, run.s_in);
#pragma omp parallel for num_threads(run.threads) schedule(static, 1)
  for (int t = 0; t < run.threads; t++)
    second_pass (&run, t, NULL);
  return 0;
}
