/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* depthwise.c: one input channel for each output channel, forward and backward,
 * over a ring of padded, expanded input lines. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "multiversion.h"

/* ---- the ring of padded lines ------------------------------------------*/

void
conv_ring_reset (const struct conv_run *run, const struct conv_thread *th)
{
  const int span = conv_ring_span (run->cv);
  const size_t line
    = (size_t) (conv_ring_width (run->cv) * run->cv->c) * sizeof (float);

  /* the padding stays 0 from here on, and so does the extra line */
  memset (th->ring, 0, line * (size_t) (span + 1));
  for (int i = 0; i < span; i++)
    th->tags[i] = -1;
}

void
conv_ring_fill (const struct conv_run *run, const struct conv_thread *th,
                int64_t img, int64_t p, const float **row)
{
  const struct qk_conv *cv = run->cv;
  const int span = conv_ring_span (cv);
  const int64_t line = conv_ring_width (cv) * cv->c, size = cv->w * cv->c;

  for (int a = 0; a < cv->r; a++) {
    const int64_t ih = p * cv->stride_h - cv->pad_top + a * cv->dil_h;
    const int64_t id = img * cv->h + ih;
    float *out;

    if (ih < 0 || ih >= cv->h) {
      row[a] = th->ring + span * line;
      continue;
    }
    out = th->ring + ih % span * line;
    row[a] = out;
    if (th->tags[ih % span] == id)
      continue;
    th->tags[ih % span] = id;
    out += cv->pad_left * cv->c;
    if (run->u8_in)
      qk_rows_expand ((const uint8_t *) run->io->in->data + id * size,
                      (size_t) size, run->z, out);
    else
      memcpy (out, (const float *) run->io->in->data + id * size,
              (size_t) size * sizeof *out);
  }
}

/* ---- forward ----------------------------------------------------------*/

static void
depthwise_block (const struct conv_run *run, const struct conv_thread *th,
                 const struct conv_unit *u, float *acc)
{
  const struct qk_conv *cv = run->cv;
  const float *row[CONV_WIDE_CHUNK];

  for (int64_t p = u->p0; p < u->p1; p++, acc += cv->q * cv->c) {
    conv_ring_fill (run, th, u->img, p, row);
    qk_rows_depthwise (row, run->wf, cv->r, cv->s, cv->c, cv->q, cv->stride_w,
                       cv->dil_w, acc);
  }
}

static bool
depthwise_usable (const struct qk_conv *cv, bool quantized)
{
  (void) quantized;
  return conv_kind (cv) == CONV_DEPTHWISE;
}

const struct conv_forward conv_forward_depthwise
  = { "depthwise", depthwise_usable, conv_ring_reset, depthwise_block };

/* ---- backward ------------------------------------------------------------*/

/* Lines of dx up to LIMIT are complete: move them out of the ring. */
static int64_t
flush_lines (const struct conv_backward *bw, const struct conv_thread *th,
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
ring_lines (const struct conv_backward *bw, const struct conv_thread *th,
            int64_t p, float **drow)
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
depthwise_sample (const struct conv_backward *bw, const struct conv_thread *th,
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
    d = conv_unit_grad (bw, th, &u);
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
depthwise_thread (const struct conv_backward *bw, int t)
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

static int
depthwise_pass (const struct conv_backward *bw, float *dw)
{
  (void) dw;
#pragma omp parallel for num_threads(bw->run.threads) schedule(static, 1)
  for (int t = 0; t < bw->run.threads; t++)
    depthwise_thread (bw, t);
  return 0;
}

const struct conv_back conv_back_depthwise = { .name = "depthwise",
                                               .usable = depthwise_usable,
                                               .pass = depthwise_pass };
