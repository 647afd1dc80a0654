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
#include "gemm/convback.h"
#include "gemm/gemm.h"
#include "multiversion.h"

/* Weights at a time that are gathered from the threads. */
enum { CHUNK = 512 };

struct backward {
  struct conv_run run;
  struct qk_conv_mask mask;
  const float *dout;
  float *dx;         /* NULL: not wanted */
  bool sums_in_pass; /* sums are taken together with d */
};

/* ---- the gradient by acc -------------------------------------------------*/

static void
sums_pass (const struct backward *bw, int t)
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
static void
rows_grad (const struct backward *bw, const struct conv_thread *th,
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
static const float *
unit_grad (const struct backward *bw, const struct conv_thread *th,
           const struct conv_unit *u)
{
  rows_grad (bw, th, u->row0, u->rows, th->blk);
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

/* ---- matrix products -----------------------------------------------------*/

static void
matrix_unit (const struct backward *bw, const struct conv_thread *th,
             const float *wf, const struct conv_unit *u)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const int64_t depth = conv_depth (cv), kg = cv->k / cv->groups;
  const bool direct = run->kind == CONV_DIRECT;
  const float *d = unit_grad (bw, th, u);
  int64_t ld;
  const float *a = conv_block_input (run, th, u, &ld);

  for (int g = 0; g < cv->groups; g++)
    qk_sgemm (true, false, kg, depth, u->rows, d + g * kg, cv->k,
              a + g * depth, ld, 1.0f, th->dw + g * kg * depth, depth);
  if (!bw->dx)
    return;
  for (int g = 0; g < cv->groups; g++)
    qk_sgemm (false, false, u->rows, depth, kg, d + g * kg, cv->k,
              wf + g * kg * depth, depth, 0.0f,
              direct ? bw->dx + u->row0 * cv->c : th->col + g * depth, ld);
  if (!direct)
    conv_block_scatter (run, u, th->col, bw->dx);
}

static void
matrix_pass (const struct backward *bw, int t)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const int64_t sample = cv->h * cv->w * cv->c;
  int64_t u0 = run->units * t / run->threads;
  int64_t u1 = run->units * (t + 1) / run->threads;
  struct conv_thread th;
  const float *wf;

  conv_thread_at (run, t, &th);
  wf = conv_own_weight (run, &th);
  memset (th.dw, 0, (size_t) (cv->k * conv_depth (cv)) * sizeof *th.dw);
  if (run->kind == CONV_GENERAL) {
    /* windows overlap within a sample: one thread each */
    const int64_t per = run->units / run->n;
    const int64_t n0 = run->n * t / run->threads;
    const int64_t n1 = run->n * (t + 1) / run->threads;

    u0 = n0 * per;
    u1 = n1 * per;
    if (bw->dx)
      memset (bw->dx + n0 * sample, 0,
              (size_t) ((n1 - n0) * sample) * sizeof *bw->dx);
  }
  for (int64_t i = u0; i < u1; i++) {
    struct conv_unit u;

    conv_unit_at (run, i, &u);
    matrix_unit (bw, &th, wf, &u);
  }
}

/* ---- whole tensors -------------------------------------------------------*/

/* Thread T's part of d, which may lie where acc is. */
static void
whole_d (const struct backward *bw, int t, float *d)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const int64_t step = cv->plan.rows, r1 = run->m * (t + 1) / run->threads;
  struct conv_thread th;

  conv_thread_at (run, t, &th);
  for (int64_t r = run->m * t / run->threads; r < r1; r += step) {
    const int64_t rows = r1 - r < step ? r1 - r : step;

    rows_grad (bw, &th, r, rows, th.blk);
    if (cv->plan.blocked)
      qk_convback_block (th.blk, r, rows, cv->p * cv->q, cv->k, d);
    else
      memcpy (d + r * cv->k, th.blk, (size_t) (rows * cv->k) * sizeof *d);
  }
}

/* Thread T's part of the input as floats, where it is not just that. */
static void
whole_x (const struct conv_run *run, int t, float *x)
{
  const struct qk_conv *cv = run->cv;
  const int64_t pixels = run->n * cv->h * cv->w, hw = cv->h * cv->w;
  const int64_t at = pixels * t / run->threads;
  const int64_t n = pixels * (t + 1) / run->threads - at;
  const uint8_t *in8 = run->io->in->data;
  const float *in = run->io->in->data;

  if (run->u8_in && cv->plan.blocked)
    qk_convback_block_u8 (in8 + at * cv->c, at, n, hw, cv->c, run->z, x);
  else if (cv->plan.blocked)
    qk_convback_block (in + at * cv->c, at, n, hw, cv->c, x);
  else if (run->u8_in)
    qk_rows_expand (in8 + at * cv->c, (size_t) (n * cv->c), run->z,
                    x + at * cv->c);
}

/* dx of thread T from the blocked order. */
static void
whole_dx (const struct backward *bw, int t, const float *blocked)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const int64_t pixels = run->n * cv->h * cv->w;
  const int64_t at = pixels * t / run->threads;

  qk_convback_unblock (blocked, at, pixels * (t + 1) / run->threads - at,
                       cv->h * cv->w, cv->c, bw->dx + at * cv->c);
}

/* Both gradients of a window larger than 1x1; X has room for dx after. */
static int
whole_library (const struct backward *bw, const float *d, const float *x,
               float *room, float *dw)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  void *scratch = (char *) run->io->workspace + cv->plan.ws_lib;
  float *dx = cv->plan.blocked ? room : bw->dx;
  struct qk_convback cb;

  conv_back_shape (run, &cb);
  if (!qk_convback_weights (&cb, run->threads, d, x, dw, scratch,
                            cv->plan.ws_lib_size)
      || (bw->dx
          && !qk_convback_data (&cb, run->threads, d, run->wf, dx, scratch,
                                cv->plan.ws_lib_size)))
    return qk_error (-EIO, "%s: the library's convolution failed", cv->who);
  if (!bw->dx || !cv->plan.blocked)
    return 0;
#pragma omp parallel for num_threads(run->threads) schedule(static, 1)
  for (int t = 0; t < run->threads; t++)
    whole_dx (bw, t, dx);
  return 0;
}

static int
whole_pass (const struct backward *bw, float *dw)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  char *ws = run->io->workspace;
  float *d
    = cv->plan.over_acc ? run->acc : (float *) (void *) (ws + cv->plan.ws_d);
  float *room = (float *) (void *) (ws + cv->plan.ws_x);
  const float *x = run->u8_in || cv->plan.blocked ? room : run->io->in->data;

#pragma omp parallel for num_threads(run->threads) schedule(static, 1)
  for (int t = 0; t < run->threads; t++) {
    whole_d (bw, t, d);
    whole_x (run, t, room);
  }
  if (run->kind != CONV_DIRECT)
    return whole_library (bw, d, x, room, dw);
  qk_sgemm_threaded (run->threads, true, false, cv->k, cv->c, run->m, d, cv->k,
                     x, cv->c, 0.0f, dw, cv->c);
  if (bw->dx)
    qk_sgemm_threaded (run->threads, false, false, run->m, cv->c, cv->k, d,
                       cv->k, run->wf, cv->c, 0.0f, bw->dx, cv->c);
  return 0;
}

/* ---- depthwise -----------------------------------------------------------*/

/* Lines of dx up to LIMIT are complete: move them out of the ring. */
static int64_t
flush_lines (const struct backward *bw, const struct conv_thread *th,
             int64_t img, int64_t next, int64_t limit)
{
  const struct qk_conv *cv = bw->run.cv;
  const int span = conv_ring_span (cv);
  const int64_t line = conv_ring_width (cv) * cv->c, size = cv->w * cv->c;
  const int64_t *tags = th->tags + span;

  for (; next < limit && next < cv->h; next++) {
    float *dx = bw->dx + (img * cv->h + next) * size;

    if (tags[next % span] == next)
      memcpy (dx, th->dring + next % span * line + cv->pad_left * cv->c,
              (size_t) size * sizeof *dx);
    else
      memset (dx, 0, (size_t) size * sizeof *dx);
  }
  return next;
}

/* Where output line P adds its gradients; a line outside the sample goes to
 * the extra line of the ring. */
static void
ring_lines (const struct backward *bw, const struct conv_thread *th, int64_t p,
            float **drow)
{
  const struct qk_conv *cv = bw->run.cv;
  const int span = conv_ring_span (cv);
  const int64_t line = conv_ring_width (cv) * cv->c;
  int64_t *tags = th->tags + span;

  for (int a = 0; a < cv->r; a++) {
    const int64_t ih = p * cv->stride_h - cv->pad_top + a * cv->dil_h;
    const bool outside = ih < 0 || ih >= cv->h;
    const int64_t at = outside ? span : ih % span;

    drow[a] = th->dring + at * line;
    if (outside || tags[at] != ih)
      memset (drow[a], 0, (size_t) line * sizeof **drow);
    if (!outside)
      tags[at] = ih;
  }
}

static void
depthwise_sample (const struct backward *bw, const struct conv_thread *th,
                  int64_t img)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const int64_t per = run->units / run->n;
  const int span = conv_ring_span (cv);
  const float *row[CONV_WIDE_CHUNK];
  float *drow[CONV_WIDE_CHUNK];
  int64_t next = 0;

  for (int i = 0; i < span; i++)
    th->tags[span + i] = -1;
  for (int64_t i = img * per; i < (img + 1) * per; i++) {
    struct conv_unit u;
    const float *d;

    conv_unit_at (run, i, &u);
    d = unit_grad (bw, th, &u);
    for (int64_t p = u.p0; p < u.p1; p++, d += cv->q * cv->k) {
      conv_ring_fill (run, th, img, p, row);
      if (bw->dx) {
        next = flush_lines (bw, th, img, next, p * cv->stride_h - cv->pad_top);
        ring_lines (bw, th, p, drow);
      }
      qk_rows_depthwise_grad (row, bw->dx ? drow : NULL, run->wf, th->dwi,
                              cv->r, cv->s, cv->c, cv->q, cv->stride_w,
                              cv->dil_w, d);
    }
  }
  if (bw->dx)
    flush_lines (bw, th, img, next, cv->h);
}

static void
depthwise_pass (const struct backward *bw, int t)
{
  const struct conv_run *run = &bw->run;
  const int64_t weight = run->cv->k * conv_depth (run->cv);
  const int64_t n1 = run->n * (t + 1) / run->threads;
  struct conv_thread th;

  conv_thread_at (run, t, &th);
  memset (th.dw, 0, (size_t) weight * sizeof *th.dw);
  conv_ring_reset (run, &th);
  for (int64_t n = run->n * t / run->threads; n < n1; n++) {
    /* a sum for each sample keeps the rounding of the whole small */
    memset (th.dwi, 0, (size_t) weight * sizeof *th.dwi);
    depthwise_sample (bw, &th, n);
    for (int64_t i = 0; i < weight; i++)
      th.dw[i] += th.dwi[i];
  }
}

static void
passes (const struct backward *bw)
{
  const struct conv_run *run = &bw->run;

#pragma omp parallel for num_threads(run->threads) schedule(static, 1)
  for (int t = 0; t < run->threads; t++)
    if (run->kind == CONV_DEPTHWISE)
      depthwise_pass (bw, t);
    else
      matrix_pass (bw, t);
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
  const bool depthwise = run->kind == CONV_DEPTHWISE;
  struct conv_thread th;

  conv_thread_at (run, 0, &th);
  s->dw = cv->plan.whole ? whole : th.dw;
  s->step = cv->plan.th_size;
  s->n = cv->plan.whole ? 1 : run->threads;
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
 * belongs to gamma.  D holds what whole_pass made, or is scratch. */
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
quantizer_gradient (struct backward *bw)
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
begin (struct backward *bw)
{
  struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const struct qk_layer_io *io = run->io;
  const struct qk_qparams *grid = &run->saved->grid;

  bw->dout = io->dout->data;
  bw->dx = io->din->data;
  bw->mask = (struct qk_conv_mask){ .a = run->ch.a, .b = run->ch.b };
  qk_conv_mask_bounds (&bw->mask, cv->lo, cv->hi, 0.0f, 0.0f, 0.0f);
  if (!run->u8_out)
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
  struct backward bw = { 0 };
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
  if (!cv->plan.whole)
    passes (&bw);
  else if ((ret = whole_pass (&bw, dw)) < 0)
    return ret;
  if (bw.sums_in_pass)
    conv_collect_sums (run);

  ret = weight_gradient (run, dw);
  if (ret < 0)
    return ret;
  channel_gradients (run);
  return 0;
}
