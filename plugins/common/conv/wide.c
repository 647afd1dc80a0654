/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wide.c: forward for an input of more than 8 bits where it has to give what
 * the int8 network gives.
 *
 * The input are the real numbers x = (q - z) s_in; their integers q are taken
 * back from them, and the sums are those of wideconv.h.  Backward is that of
 * real numbers: what is kept for it is the sum times s_in, in float.  Under
 * batch statistics forward is, too, for that is no network of integers. */
#include "config.h"

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "wideconv/wideconv.h"

/* A call at work. */
struct wide {
  const struct conv_run *run;
  struct wideconv wc;
  struct wideconv_planes x;
  float s_in;
  int64_t rows; /* of a block */
  char *thread; /* memory of each, THREAD_SIZE bytes */
  size_t thread_size, acc;
};

static size_t
round_up (size_t size)
{
  return (size + 63) & ~(size_t) 63;
}

static struct wideconv_shape
shape_of (const struct qk_conv *cv)
{
  return (struct wideconv_shape){ .h = cv->h,
                                  .w = cv->w,
                                  .c = cv->c,
                                  .p = cv->p,
                                  .q = cv->q,
                                  .k = cv->k,
                                  .r = cv->r,
                                  .s = cv->s,
                                  .stride_h = cv->stride_h,
                                  .stride_w = cv->stride_w,
                                  .pad_top = cv->pad_top,
                                  .pad_left = cv->pad_left,
                                  .dil_h = cv->dil_h,
                                  .dil_w = cv->dil_w,
                                  .groups = cv->groups };
}

/* Bytes of a plane of the largest batch. */
static size_t
plane_size (const struct qk_conv *cv)
{
  return round_up ((size_t) (cv->plan.batch * cv->h * cv->w * cv->c));
}

/* What a thread works in: scratch memory, and sums from *ACC on. */
static size_t
thread_size (const struct wideconv_shape *s, size_t *acc)
{
  const int64_t rows = wideconv_rows (s);

  *acc = round_up (wideconv_scratch (s, rows));
  return *acc + round_up ((size_t) (rows * s->k) * sizeof (double));
}

size_t
conv_wide_size (const struct qk_conv *cv)
{
  const struct wideconv_shape s = shape_of (cv);
  const struct qk_conv_plan *pl = &cv->plan;
  size_t acc;

  return 2 * plane_size (cv) + wideconv_size (&s, &pl->kernels)
         + (size_t) pl->threads * thread_size (&s, &acc);
}

/* The planes of the input, by all threads. */
static void
split_input (const struct wide *w, uint8_t *lo, uint8_t *hi)
{
  const struct conv_run *run = w->run;
  const struct qk_tensor *in = run->io->in;
  const int64_t count = qk_shape_count (&in->shape);

#pragma omp parallel for num_threads(run->threads) schedule(static, 1)
  for (int t = 0; t < run->threads; t++) {
    const int64_t at = count * t / run->threads;

    wideconv_split_real ((const float *) in->data + at,
                         count * (t + 1) / run->threads - at, &in->q, lo + at,
                         hi + at);
  }
}

static void
begin (struct conv_run *run, struct wide *w)
{
  const struct qk_conv *cv = run->cv;
  const struct wideconv_shape s = shape_of (cv);
  char *at = (char *) run->io->workspace + cv->plan.ws_wide;
  uint8_t *lo = (uint8_t *) at, *hi = lo + plane_size (cv);

  w->run = run;
  w->s_in = run->io->in->q.scale;
  w->x = (struct wideconv_planes){ lo, hi };
  split_input (w, lo, hi);
  at += 2 * plane_size (cv);
  wideconv_pack (&s, &cv->plan.kernels, run->weight.wq, &run->io->in->q, at,
                 &w->wc);
  w->thread = at + wideconv_size (&s, &cv->plan.kernels);
  w->thread_size = thread_size (&s, &w->acc);
  w->rows = wideconv_rows (&s);
}

/* y = acc a + b for backward, acc being what is kept there. */
static void
set_affine (struct conv_run *run, float s_in)
{
  const int64_t k = run->cv->k, period = run->cv->plan.period;

  for (int64_t i = 0; i < k; i++) {
    run->ch.a[i] = run->weight.sw[i];
    run->ch.b[i] = (float) run->sc.bias[i] * (s_in * run->weight.sw[i]);
    run->sc.m[i] = s_in * run->weight.sw[i];
  }
  conv_repeat (run->ch.a, k, period);
  conv_repeat (run->ch.b, k, period);
}

/* COUNT numbers from AT on of the output on its grid. */
static void
finish (const struct conv_run *run, const double *acc, size_t count,
        int64_t at)
{
  const struct qk_qparams *q = &run->saved->grid;
  const size_t k = (size_t) run->cv->k;
  struct qk_conv_grid g = { .zp = q->zero_point };

  qk_clamp_bounds (q, run->cv->lo, run->cv->hi, &g.lo, &g.hi);
  if (run->wide_out)
    qk_rows_regrid_f64 (acc, count, k, run->sc.bias, run->sc.m, &g, q->scale,
                        (float *) run->io->out->data + at);
  else
    qk_rows_requantize_f64 (acc, count, k, run->sc.bias, run->sc.m, &g,
                            (uint8_t *) run->io->out->data + at);
}

/* The rows of thread T: as real numbers to Y, or, NULL, on the output's grid;
 * with KEEP what backward wants as well. */
static void
pass_thread (const struct wide *w, int t, float *y, bool keep)
{
  const struct conv_run *run = w->run;
  const int64_t k = run->cv->k, end = run->m * (t + 1) / run->threads;
  char *scratch = w->thread + (size_t) t * w->thread_size;
  double *acc = (double *) (void *) (scratch + w->acc);

  for (int64_t r = run->m * t / run->threads; r < end; r += w->rows) {
    const int64_t rows = end - r < w->rows ? end - r : w->rows;
    const size_t n = (size_t) (rows * k);

    wideconv_sums (&w->wc, &w->x, r, rows, scratch, acc);
    if (keep)
      qk_rows_scale_f64 (acc, n, w->s_in, (float *) run->acc + r * k);
    if (y != NULL)
      qk_rows_dequantize_f64 (acc, n, (size_t) k, run->sc.bias, run->sc.m,
                              run->cv->lo, run->cv->hi, y + r * k);
    else
      finish (run, acc, n, r * k);
  }
}

static void
pass (const struct wide *w, float *y, bool keep)
{
#pragma omp parallel for num_threads(w->run->threads) schedule(static, 1)
  for (int t = 0; t < w->run->threads; t++)
    pass_thread (w, t, y, keep);
}

int
conv_wide_forward (struct conv_run *run)
{
  const struct qk_conv *cv = run->cv;
  float *y = (float *) (void *) ((char *) run->io->workspace + cv->plan.ws_y);
  const bool keep = run->acc != NULL;
  struct wide w;

  begin (run, &w);
  set_affine (run, w.s_in);
  if (!run->grid_out) {
    pass (&w, run->io->out->data, keep);
    return 0;
  }
  if (qk_quantizer_observing (run->io->out_qz)) {
    int ret;

    pass (&w, y, false);
    ret = qk_quantizer_observe (run->io->out_qz, y, (size_t) (run->m * cv->k));
    if (ret < 0)
      return ret;
  }
  conv_set_grid (run, w.s_in);
  pass (&w, NULL, keep);
  return 0;
}
