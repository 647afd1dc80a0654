/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backward.c: gradients of convolution, batch-norm, clamp and grid.
 *
 * With g the gradient by y where grid and clamp let it pass, xhat the
 * normalised y1 and the sums over the batch:
 *   batch statistics: dy1 = gamma / sigma_B
 *                           (g - mean (g) - xhat mean (g xhat))
 *   stored ones:      dy1 = g gamma / sigma
 *   d = dy1 s_w / k;  dx = d w;  dw' = (s_in / s_w) d^T (a - z)
 * where k = gamma / sigma of the stored statistics with a quantized weight
 * and 1 without.  dw' goes through the weight's fake-quantizer to d(w k),
 * from there to w by the factor k and to gamma by w / sigma.  The division
 * by k adds -sum (dy1 y1) / k to the gradient of k; sum (dy1) = 0 and
 * sum (dy1 xhat) = gamma / sigma_B sum (g xhat) eps / sigma_B^2 make that
 * -sum (g xhat) eps / sigma_B^2 for gamma.  With stored statistics it
 * cancels all of batch-norm's own gradient of gamma but
 * (bias - running_mean) / sigma sum (g). */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "multiversion.h"

/* Weights at a time that are gathered from the threads. */
enum { CHUNK = 512 };

/* ---- the gradient by acc -------------------------------------------------*/

static void
sums_pass (const struct conv_backward *bw, int t)
{
  const struct conv_run *run = &bw->run;
  const int64_t k = run->cv->k, step = run->cv->plan.rows;
  const int64_t r1 = run->m * (t + 1) / run->threads;
  struct conv_thread th;

  conv_thread_at (run, t, &th);
  for (int64_t r = run->m * t / run->threads; r < r1; r += step) {
    const int64_t rows = r1 - r < step ? r1 - r : step;

    qk_rows_grad_sums (bw->dout + r * k,
                       conv_acc_rows (run, &th, r, rows, th.tmp),
                       (size_t) (rows * k), (size_t) run->cv->plan.period,
                       &bw->mask, th.sum, th.sq);
  }
}

/* d of rows to D. */
void
conv_rows_grad (const struct conv_backward *bw, const struct conv_thread *th,
                int64_t row0, int64_t rows, float *d)
{
  const struct conv_run *run = &bw->run;
  const int64_t k = run->cv->k;
  const size_t n = (size_t) (rows * k);
  const size_t period = (size_t) run->cv->plan.period;
  const float *acc = conv_acc_rows (run, th, row0, rows, th->tmp);
  const float *dout = bw->dout + row0 * k;

  if (bw->sums_in_pass)
    qk_rows_grad_sums (dout, acc, n, period, &bw->mask, th->sum, th->sq);
  qk_rows_grad (dout, acc, n, period, &bw->mask, run->sc.a1, run->sc.a2,
                run->sc.a3, d);
}

/* d of a unit into th->blk. */
const float *
conv_unit_grad (const struct conv_backward *bw, const struct conv_thread *th,
                const struct conv_unit *u)
{
  conv_rows_grad (bw, th, u->row0, u->rows, th->blk);
  return th->blk;
}

static void
clear_sums (const struct conv_run *run, int t)
{
  struct conv_thread th;

  conv_thread_at (run, t, &th);
  memset (th.sum, 0, 2 * (size_t) run->cv->plan.period * sizeof *th.sum);
}

/* The sums over the whole batch from those over this process's part; sg and
 * sgu lie one after the other. */
static int
join_sums (struct conv_run *run)
{
  return qk_comm_reduce (run->io->comm, QK_COMM_SUM, QK_COMM_F64, run->sc.sg,
                         2 * (size_t) run->cv->k);
}

/* sum (g xhat) under batch statistics. */
static double
sum_g_xhat (const struct conv_run *run, int64_t i)
{
  const struct conv_channels *ch = &run->ch;

  return ch->c[i] * ch->invstd[i]
         * (run->sc.sgu[i] - ch->mean[i] * run->sc.sg[i]);
}

/* a1, a2, a3 under batch statistics; FACTOR: sigma or gamma. */
QK_LOOP (static, batch_gradient_affine,
         (const struct conv_run *run, const float *factor), (run, factor))
{
  const struct conv_channels *ch = &run->ch;
  const struct conv_scratch_channels *sc = &run->sc;
  const double m = run->saved->rows;
  const double *c = ch->c, *invstd = ch->invstd, *mean = ch->mean;
  const double *sg = sc->sg, *sgu = sc->sgu;
  const float *sw = run->weight.sw;
  const int64_t k = run->cv->k;
  float *a1 = sc->a1, *a2 = sc->a2, *a3 = sc->a3;

  QK_SIMD
  for (int64_t i = 0; i < k; i++) {
    const double xhat = c[i] * invstd[i]; /* xhat by acc */
    const double slope = xhat * (sgu[i] - mean[i] * sg[i]) / m;
    const double d = sw[i] * (invstd[i] * (double) factor[i]);

    a1[i] = (float) d;
    a2[i] = (float) (-d * slope * xhat);
    a3[i] = (float) (-d * (sg[i] / m - slope * xhat * mean[i]));
  }
}

/* d = a1 g + (a2 acc + a3) */
static void
gradient_affine (struct conv_run *run)
{
  const struct qk_conv *cv = run->cv;
  struct conv_scratch_channels *sc = &run->sc;
  const struct conv_weight *w = &run->weight;
  const bool folded = run->saved->folded;

  if (run->saved->batch) /* gamma / k is sigma, and never a division by 0 */
    batch_gradient_affine (
      run,
      folded ? w->sigma : run->io->param[1 + cv->bias + QK_BN_GAMMA].data);
  else
    for (int64_t i = 0; i < cv->k; i++) {
      sc->a1[i] = cv->bn && !folded ? w->sw[i] * w->k[i] : w->sw[i];
      sc->a2[i] = sc->a3[i] = 0.0f;
    }
  conv_repeat (sc->a1, cv->k, cv->plan.period);
  conv_repeat (sc->a2, cv->k, cv->plan.period);
  conv_repeat (sc->a3, cv->k, cv->plan.period);
}

/* ---- parameters ----------------------------------------------------------*/

/* Where dw' is after the passes: with each thread, or in one place. */
struct weight_source {
  const float *dw;
  size_t step; /* bytes from one thread's to the next one's */
  int n;
  int64_t channel, element; /* distances in floats */
};

static void
find_dw (const struct conv_run *run, const float *whole,
         struct weight_source *s)
{
  const struct qk_conv *cv = run->cv;
  const bool depthwise = cv->plan.back == &conv_back_depthwise;
  const bool one = cv->plan.back->one_dw;
  struct conv_thread th;

  conv_thread_at (run, 0, &th);
  s->dw = one ? whole : th.dw;
  s->step = cv->plan.th_size;
  s->n = one ? 1 : run->threads;
  s->channel = depthwise ? 1 : conv_depth (cv);
  s->element = depthwise ? cv->k : 1;
}

QK_LOOP (static, scaled, (const float *x, int64_t n, float scale, float *out),
         (x, n, scale, out))
{
  QK_SIMD
  for (int64_t j = 0; j < n; j++)
    out[j] = x[j] * scale;
}

QK_LOOP (static, add_scaled,
         (const float *restrict x, const float *restrict y, int64_t n,
          float scale, float *restrict out),
         (x, y, n, scale, out))
{
  QK_SIMD
  for (int64_t j = 0; j < n; j++)
    out[j] = (x[j] + y[j]) * scale;
}

/* N elements from AT of channel I, the sum of the threads in their order,
 * times SCALE.  OUT may be where they come from. */
static void
gather_dw (const struct weight_source *s, int64_t i, int64_t at, int64_t n,
           float scale, float *out)
{
  const float *x = s->dw + i * s->channel + at * s->element;

  if (s->element == 1 && s->n == 1)
    scaled (x, n, scale, out);
  else if (s->element == 1 && s->n == 2)
    add_scaled (x, (const float *) (const void *) ((const char *) x + s->step),
                n, scale, out);
  else
    for (int64_t j = 0; j < n; j++, x += s->element) {
      float sum = *x;

      for (int t = 1; t < s->n; t++)
        sum += *(const float *) (const void *) ((const char *) x
                                                + (size_t) t * s->step);
      out[j] = sum * scale;
    }
}

/* d = 0 where w k was clamped to the grid. */
QK_LOOP (static, mask_dw,
         (const float *restrict w, int64_t n, float k, float inv, float lo,
          float hi, float *restrict d),
         (w, n, k, inv, lo, hi, d))
{
  QK_SIMD
  for (int64_t j = 0; j < n; j++) {
    const float r = qk_rne (w[j] * k * inv);

    d[j] = ((r >= lo) & (r <= hi)) ? d[j] : 0.0f;
  }
}

/* dw += d k where DW is given; returns sum (d w). */
QK_LOOP_VALUE (static, double, channel_dw,
               (const float *restrict d, const float *restrict w, int64_t n,
                float k, float *restrict dw),
               (d, w, n, k, dw))
{
  double s = 0.0;

#pragma omp simd reduction(+ : s)
  for (int64_t j = 0; j < n; j++)
    s += (double) d[j] * (double) w[j];
  if (dw)
    QK_SIMD
  for (int64_t j = 0; j < n; j++)
    dw[j] += d[j] * k;
  return s;
}

/* All of weight_gradient for channel I, when the weight's gradient is the
 * plain one; Q is its grid, NULL without. */
static void
channel_gradient (const struct conv_run *run, const struct weight_source *s,
                  const struct qk_qparams *q, int64_t i)
{
  const int64_t depth = conv_depth (run->cv);
  const float *w = (const float *) run->io->param[0].data + i * depth;
  float *dw = run->io->dparam[0].data;
  const float k = run->weight.k[i], scale = run->s_in / run->weight.sw[i];
  double sum = 0.0;
  float d[CHUNK];

  for (int64_t j = 0; j < depth; j += CHUNK) {
    const int64_t n = depth - j < CHUNK ? depth - j : CHUNK;

    gather_dw (s, i, j, n, scale, d);
    if (q)
      mask_dw (w + j, n, k, 1.0f / q->scale, (float) (q->qmin - q->zero_point),
               (float) (q->qmax - q->zero_point), d);
    sum += channel_dw (d, w + j, n, run->saved->folded ? k : 1.0f,
                       dw ? dw + i * depth + j : NULL);
  }
  run->sc.min[i] = (float) (sum / (double) run->weight.sigma[i]);
}

/* The same through a fake-quantizer of its own kind, all channels. */
static int
quantizer_dw (const struct conv_run *run, const struct weight_source *s,
              float *d)
{
  const struct qk_conv *cv = run->cv;
  const struct qk_layer_io *io = run->io;
  const int64_t depth = conv_depth (cv), n = cv->k * depth;
  const float *w = io->param[0].data;
  float *wk = (float *) (void *) ((char *) io->workspace + cv->plan.ws_wk);
  float *dw = io->dparam[0].data;
  int ret;

#pragma omp parallel for num_threads(run->threads)                            \
  schedule(static) if (n > CONV_PARALLEL_MIN)
  for (int64_t i = 0; i < cv->k; i++) {
    gather_dw (s, i, 0, depth, run->s_in / run->weight.sw[i], d + i * depth);
    scaled (w + i * depth, depth, run->weight.k[i], wk + i * depth);
  }
  ret = qk_quantizer_backward (io->weight_qz, wk, d, d, (size_t) n);
  if (ret < 0)
    return ret;
#pragma omp parallel for num_threads(run->threads)                            \
  schedule(static) if (n > CONV_PARALLEL_MIN)
  for (int64_t i = 0; i < cv->k; i++) {
    const double sum
      = channel_dw (d + i * depth, w + i * depth, depth,
                    run->saved->folded ? run->weight.k[i] : 1.0f,
                    dw ? dw + i * depth : NULL);

    run->sc.min[i] = (float) (sum / (double) run->weight.sigma[i]);
  }
  return 0;
}

/* dw += d(w k) k; leaves in sc.min[] the part sum (d(w k) w) / sigma that
 * belongs to gamma.  D holds dw' where the strategy has one_dw, else it is
 * scratch. */
static int
weight_gradient (const struct conv_run *run, float *d)
{
  const struct qk_conv *cv = run->cv;
  struct qk_quantizer *qz = run->io->weight_qz;
  const struct qk_qparams *q = qz ? qk_quantizer_qparams (qz) : NULL;
  struct weight_source s;

  find_dw (run, d, &s);
  if (qz && !qk_quantizer_is_ste (qz))
    return quantizer_dw (run, &s, d);
#pragma omp parallel for num_threads(run->threads)                            \
  schedule(static) if (cv->k * conv_depth(cv) > CONV_PARALLEL_MIN)
  for (int64_t i = 0; i < cv->k; i++)
    channel_gradient (run, &s, q && qk_quantizer_channels (qz) > 1 ? q + i : q,
                      i);
  return 0;
}

static void
add_to (const struct qk_tensor *t, int64_t i, double x)
{
  float *d = t->data;

  if (d)
    d[i] += (float) x;
}

static void
channel_gradients (const struct conv_run *run)
{
  const struct qk_conv *cv = run->cv;
  const struct qk_layer_io *io = run->io;
  const struct qk_tensor *bn = io->param + 1 + cv->bias;
  const struct qk_tensor *dbn = io->dparam + 1 + cv->bias;
  const struct conv_channels *ch = &run->ch;
  const bool folded = run->saved->folded;
  /* sums that all processes have count once when gradients are added up */
  const double once
    = !run->saved->batch || qk_comm_rank (io->comm) == 0 ? 1.0 : 0.0;

  for (int64_t i = 0; i < cv->k; i++) {
    const double sg = run->sc.sg[i] * once;
    const double bias
      = cv->bias ? (double) ((const float *) io->param[1].data)[i] : 0.0;
    double dgamma = folded ? (double) run->sc.min[i] : 0.0;

    if (!cv->bn) {
      if (cv->bias)
        add_to (io->dparam + 1, i, sg);
      continue;
    }
    if (run->saved->batch) { /* the bias has no influence */
      const double s = sum_g_xhat (run, i) * once, inv = ch->invstd[i];

      dgamma += s;
      if (folded)
        dgamma -= s * (double) cv->eps * inv * inv;
    } else {
      const double mean = ((const float *) bn[QK_BN_MEAN].data)[i];

      dgamma += (bias - mean) / (double) run->weight.sigma[i] * sg;
      if (!folded)
        dgamma += (double) run->s_in * run->sc.sgu[i]
                  / (double) run->weight.sigma[i];
      if (cv->bias)
        add_to (io->dparam + 1, i, sg * (double) run->weight.k[i]);
    }
    add_to (dbn + QK_BN_GAMMA, i, dgamma);
    add_to (dbn + QK_BN_BETA, i, sg);
  }
}

/* ---- the whole -----------------------------------------------------------*/

/* Let a fake-quantizer of its own kind turn the gradient, on all of y. */
static int
quantizer_gradient (struct conv_backward *bw)
{
  struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  char *ws = run->io->workspace;
  float *y = (float *) (void *) (ws + cv->plan.ws_y);
  float *g = (float *) (void *) (ws + cv->plan.ws_g);
  const int64_t step = cv->plan.rows, k = cv->k;
  struct conv_thread th;
  int ret;

  conv_thread_at (run, 0, &th);
  for (int64_t r = 0; r < run->m; r += step) {
    const int64_t rows = run->m - r < step ? run->m - r : step;

    qk_rows_affine (conv_acc_rows (run, &th, r, rows, th.tmp),
                    (size_t) (rows * k), (size_t) cv->plan.period, run->ch.a,
                    run->ch.b, cv->lo, cv->hi, y + r * k);
  }
  ret = qk_quantizer_backward (run->io->out_qz, y, bw->dout, g,
                               (size_t) (run->m * k));
  bw->dout = g;
  return ret;
}

static int
begin (struct conv_backward *bw)
{
  struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const struct qk_layer_io *io = run->io;
  const struct qk_qparams *grid = &run->saved->grid;

  bw->dout = io->dout->data;
  bw->dx = io->din->data;
  bw->mask = (struct qk_conv_mask){ .a = run->ch.a, .b = run->ch.b };
  qk_conv_mask_bounds (&bw->mask, cv->lo, cv->hi, 0.0f, 0.0f, 0.0f);
  if (!run->grid_out)
    return 0;
  if (!qk_quantizer_is_ste (io->out_qz)) {
    if (!cv->plan.own_y)
      return qk_error (-EINVAL, "%s: set up for a straight-through gradient",
                       cv->who);
    return quantizer_gradient (bw);
  }
  qk_conv_mask_bounds (&bw->mask, cv->lo, cv->hi, 1.0f / grid->scale,
                       (float) (grid->qmin - grid->zero_point),
                       (float) (grid->qmax - grid->zero_point));
  return 0;
}

int
qk_conv_backward (struct qk_conv *cv, struct qk_layer_io *io)
{
  struct conv_backward bw = { 0 };
  struct conv_run *run = &bw.run;
  float *dw;
  int ret;

  if (!cv->plan.train)
    return qk_error (-EINVAL, "%s: not set up for training", cv->who);
  ret = conv_run_begin (cv, io, run);
  if (ret < 0)
    return ret;
  conv_place_weight (run, io->weight_qz ? run->weight.wq : NULL, false);
  ret = begin (&bw);
  if (ret < 0)
    return ret;

  for (int t = 0; t < run->threads; t++)
    clear_sums (run, t);
  bw.sums_in_pass = !run->saved->batch && (cv->bn || cv->bias);
  if (run->saved->batch) {
#pragma omp parallel for num_threads(run->threads) schedule(static, 1)
    for (int t = 0; t < run->threads; t++)
      sums_pass (&bw, t);
    conv_collect_sums (run);
    if ((ret = join_sums (run)) < 0)
      return ret;
  }
  gradient_affine (run);
  dw = (float *) (void *) ((char *) io->workspace + cv->plan.ws_wt);
  if ((ret = cv->plan.back->pass (&bw, dw)) < 0)
    return ret;
  if (bw.sums_in_pass)
    conv_collect_sums (run);

  ret = weight_gradient (run, dw);
  if (ret < 0)
    return ret;
  channel_gradients (run);
  return 0;
}
