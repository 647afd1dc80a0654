/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* whole.c: backward over whole tensors instead of blocks: the library's
 * gradients of windows, and 1x1 weights that are too large to have their
 * gradient added up block by block. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "gemm/convback.h"
#include "gemm/gemm.h"

/* Whether rows of C numbers lie as they do without blocks. */
static bool
in_order (const struct qk_conv *cv, int64_t c)
{
  return !cv->plan.blocked || c == QK_CONVBACK_BLOCK;
}

/* Thread T's part of d, which may lie where acc is. */
static void
whole_d (const struct conv_backward *bw, int t, float *d)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const int64_t step = cv->plan.rows, r1 = run->m * (t + 1) / run->threads;
  struct conv_thread th;

  conv_thread_at (run, t, &th);
  for (int64_t r = run->m * t / run->threads; r < r1; r += step) {
    const int64_t rows = r1 - r < step ? r1 - r : step;

    if (in_order (cv, cv->k) && !cv->plan.over_acc) {
      conv_rows_grad (bw, &th, r, rows, d + r * cv->k);
      continue;
    }
    conv_rows_grad (bw, &th, r, rows, th.blk);
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
whole_dx (const struct conv_backward *bw, int t, const float *blocked)
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
whole_library (const struct conv_backward *bw, const float *d, const float *x,
               float *room, float *dw)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  void *scratch = (char *) run->io->workspace + cv->plan.ws_lib;
  float *dx = in_order (cv, cv->c) ? bw->dx : room;
  const struct qk_backend_class *lib = cv->plan.float_backend;
  struct qk_convback cb;

  conv_back_shape (cv, run->n, &cb);
  if (!qk_convback_weights (lib, &cb, run->threads, d, x, dw, scratch,
                            cv->plan.ws_lib_size)
      || (bw->dx
          && !qk_convback_data (lib, &cb, run->threads, d, run->wf, dx,
                                scratch, cv->plan.ws_lib_size)))
    return qk_error (-EIO, "%s: the library's convolution failed", cv->who);
  if (!bw->dx || in_order (cv, cv->c))
    return 0;
#pragma omp parallel for num_threads(run->threads) schedule(static, 1)
  for (int t = 0; t < run->threads; t++)
    whole_dx (bw, t, dx);
  return 0;
}

static int
whole_pass (const struct conv_backward *bw, float *dw)
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
  struct qk_convback cb;

  (void) quantized;
  if (conv_kind (cv) == CONV_DEPTHWISE)
    return false;
  if (conv_kind (cv) == CONV_DIRECT)
    return cv->k * cv->c >= WHOLE_WEIGHT;
  conv_back_shape (cv, cv->plan.batch, &cb);
  return qk_convback_usable (cv->plan.float_backend, &cb);
}

const struct conv_back conv_back_whole = { "whole", whole_usable, whole_pass };
