/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* whole.c: backward over whole tensors instead of blocks: the library's
 * gradients of windows, and 1x1 weights that are too large to have their
 * gradient added up block by block. */
#include "config.h"

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "gemm/gemm.h"

/* Thread T's part of d. */
static void
part_of_d (const struct conv_backward *bw, int t, float *d)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const int64_t step = cv->plan.rows, r1 = run->m * (t + 1) / run->threads;
  struct conv_thread th;

  conv_thread_at (run, t, &th);
  for (int64_t r = run->m * t / run->threads; r < r1; r += step)
    conv_rows_grad (bw, &th, r, r1 - r < step ? r1 - r : step, d + r * cv->k);
}

const float *
conv_whole_d (const struct conv_backward *bw)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv_plan *pl = &run->cv->plan;
  float *d = pl->over_acc
               ? run->acc
               : (float *) (void *) ((char *) run->io->workspace + pl->ws_d);

#pragma omp parallel for num_threads(run->threads) schedule(static, 1)
  for (int t = 0; t < run->threads; t++)
    part_of_d (bw, t, d);
  return d;
}

/* The input as floats. */
static const float *
whole_x (const struct conv_run *run)
{
  const struct qk_conv *cv = run->cv;
  const int64_t n = run->n * cv->h * cv->w * cv->c;
  const uint8_t *in = run->io->in->data;
  float *x = (float *) (void *) ((char *) run->io->workspace + cv->plan.ws_x);

  if (!run->u8_in)
    return run->io->in->data;
#pragma omp parallel for num_threads(run->threads) schedule(static, 1)
  for (int t = 0; t < run->threads; t++) {
    const int64_t at = n * t / run->threads;

    qk_rows_expand (in + at, (size_t) (n * (t + 1) / run->threads - at),
                    run->z, x + at);
  }
  return x;
}

/* Both gradients of a window larger than 1x1. */
static int
library_gradients (const struct conv_backward *bw, const float *d,
                   const float *x, float *dw)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv_plan *pl = &run->cv->plan;
  const struct qk_backend_class *lib = pl->float_backend;
  void *scratch = (char *) run->io->workspace + pl->ws_back;
  struct qk_convback cb;

  conv_back_shape (run->cv, run->n, &cb);
  if (!lib->convback_weights (&cb, run->threads, d, x, dw, scratch,
                              pl->ws_back_size)
      || (bw->dx
          && !lib->convback_data (&cb, run->threads, d, run->wf, bw->dx,
                                  scratch, pl->ws_back_size)))
    return qk_error (-EIO, "%s: the library's convolution failed",
                     run->cv->who);
  return 0;
}

static int
whole_pass (const struct conv_backward *bw, float *dw)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const float *d = conv_whole_d (bw), *x = whole_x (run);

  if (run->kind != CONV_DIRECT)
    return library_gradients (bw, d, x, dw);
  qk_sgemm_threaded (cv->plan.float_backend, run->threads, true, false, cv->k,
                     cv->c, run->m, d, cv->k, x, cv->c, 0.0f, dw, cv->c);
  if (bw->dx)
    qk_sgemm_threaded (cv->plan.float_backend, run->threads, false, false,
                       run->m, cv->c, cv->k, d, cv->k, run->wf, cv->c, 0.0f,
                       bw->dx, cv->c);
  return 0;
}

/* Weights from this size on: each time a gradient is added to, all of it goes
 * through the cache. */
enum { WHOLE_WEIGHT = 131072 };

static bool
whole_usable (const struct qk_conv *cv, bool quantized)
{
  const struct qk_backend_class *lib = cv->plan.float_backend;
  struct qk_convback cb;

  (void) quantized;
  if (conv_kind (cv) == CONV_DEPTHWISE)
    return false;
  if (conv_kind (cv) == CONV_DIRECT)
    return cv->k * cv->c >= WHOLE_WEIGHT;
  conv_back_shape (cv, cv->plan.batch, &cb);
  return lib && lib->convback_usable && lib->convback_scratch
         && lib->convback_data && lib->convback_weights
         && lib->convback_usable (&cb);
}

static size_t
whole_room (const struct qk_conv *cv)
{
  struct qk_convback cb;

  if (conv_kind (cv) == CONV_DIRECT)
    return 0;
  conv_back_shape (cv, cv->plan.batch, &cb);
  return cv->plan.float_backend->convback_scratch (&cb, cv->plan.threads);
}

const struct conv_back conv_back_whole = {
  .name = "whole",
  .usable = whole_usable,
  .whole = true,
  .one_dw = true,
  .expands = true,
  .scratch = whole_room,
  .pass = whole_pass,
};
