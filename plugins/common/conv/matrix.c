/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matrix.c: products of float matrices, block by block, forward and backward.
 * 1x1: the rows of the input are the matrix; others through im2col. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "gemm/gemm.h"

/* ---- forward -----------------------------------------------------------*/

const float *
conv_block_input (const struct conv_run *run, const struct conv_thread *th,
                  const struct conv_unit *u, int64_t *ld)
{
  const struct qk_conv *cv = run->cv;

  *ld = cv->r * cv->s * cv->c;
  if (run->kind == CONV_GENERAL)
    conv_im2col (run, u, th->col);
  else if (run->u8_in)
    qk_rows_expand ((const uint8_t *) run->io->in->data + u->row0 * cv->c,
                    (size_t) (u->rows * cv->c), run->z, th->col);
  else
    return (const float *) run->io->in->data + u->row0 * cv->c;
  return th->col;
}

/* out = columns k0 .. k1 of the input's rows times the weight, all groups. */
static void
multiply (const struct conv_run *run, const float *a, int64_t ld, int64_t rows,
          int64_t k0, int64_t k1, float *out)
{
  const struct qk_conv *cv = run->cv;
  const int64_t depth = conv_depth (cv), kg = cv->k / cv->groups;

  for (int g = 0; g < cv->groups; g++) {
    const float *x = a + g * depth + k0;

    if (run->wt)
      qk_sgemm (cv->plan.float_backend, false, false, rows, kg, k1 - k0, x, ld,
                run->wt + (g * depth + k0) * kg, kg, 0.0f, out + g * kg,
                cv->k);
    else
      qk_sgemm (cv->plan.float_backend, false, true, rows, kg, k1 - k0, x, ld,
                run->wf + g * kg * depth + k0, depth, 0.0f, out + g * kg,
                cv->k);
  }
}

static void
matrix_block (const struct conv_run *run, const struct conv_thread *th,
              const struct conv_unit *u, float *acc)
{
  const int64_t depth = conv_depth (run->cv);
  const size_t n = (size_t) (u->rows * run->cv->k);
  int64_t ld;
  const float *a = conv_block_input (run, th, u, &ld);

  if (!run->saved->i32_acc) {
    multiply (run, a, ld, u->rows, 0, depth, acc);
    return;
  }
  memset (acc, 0, n * sizeof *acc);
  for (int64_t k0 = 0; k0 < depth; k0 += CONV_WIDE_CHUNK) {
    const int64_t k1
      = k0 + CONV_WIDE_CHUNK < depth ? k0 + CONV_WIDE_CHUNK : depth;

    multiply (run, a, ld, u->rows, k0, k1, th->tmp);
    qk_rows_add_i32 (th->tmp, n, (int32_t *) (void *) acc);
  }
}

static bool
matrix_usable (const struct qk_conv *cv, bool quantized)
{
  (void) quantized;
  return conv_kind (cv) != CONV_DEPTHWISE;
}

const struct conv_forward conv_forward_matrix
  = { "matrix", matrix_usable, NULL, matrix_block };

/* ---- backward ------------------------------------------------------------*/

static void
matrix_unit (const struct conv_backward *bw, const struct conv_thread *th,
             const float *wf, const struct conv_unit *u)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const int64_t depth = conv_depth (cv), kg = cv->k / cv->groups;
  const bool direct = run->kind == CONV_DIRECT;
  const float *d = conv_unit_grad (bw, th, u);
  int64_t ld;
  const float *a = conv_block_input (run, th, u, &ld);

  for (int g = 0; g < cv->groups; g++)
    qk_sgemm (cv->plan.float_backend, true, false, kg, depth, u->rows,
              d + g * kg, cv->k, a + g * depth, ld, 1.0f,
              th->dw + g * kg * depth, depth);
  if (!bw->dx)
    return;
  for (int g = 0; g < cv->groups; g++)
    qk_sgemm (cv->plan.float_backend, false, false, u->rows, depth, kg,
              d + g * kg, cv->k, wf + g * kg * depth, depth, 0.0f,
              direct ? bw->dx + u->row0 * cv->c : th->col + g * depth, ld);
  if (!direct)
    conv_block_scatter (run, u, th->col, bw->dx);
}

static void
matrix_thread (const struct conv_backward *bw, int t)
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

static int
matrix_pass (const struct conv_backward *bw, float *dw)
{
  (void) dw;
#pragma omp parallel for num_threads(bw->run.threads) schedule(static, 1)
  for (int t = 0; t < bw->run.threads; t++)
    matrix_thread (bw, t);
  return 0;
}

const struct conv_back conv_back_matrix
  = { .name = "matrix", .usable = matrix_usable, .pass = matrix_pass };
