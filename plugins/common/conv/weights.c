/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weights.c: the weight as the products want it: integers, and their order. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "int8gemm/product.h"
#include "multiversion.h"

static void
transpose (const float *x, int64_t rows, int64_t cols, float *y)
{
  for (int64_t i0 = 0; i0 < rows; i0 += 16)
    for (int64_t j = 0; j < cols; j++)
      for (int64_t i = i0; i < i0 + 16 && i < rows; i++)
        y[j * rows + i] = x[i * cols + j];
}

void
conv_place_depthwise (const struct qk_conv *cv, const float *weight,
                      const struct conv_weight *w)
{
  const int64_t k = cv->k, depth = conv_depth (cv);

  for (int64_t i = 0; i < k; i++)
    for (int64_t j = 0; j < depth; j++)
      w->wf[j * k + i]
        = weight ? weight[i * depth + j] : (float) w->wq[i * depth + j];
}

QK_LOOP (static, widen_some,
         (const int8_t *restrict w8, int64_t n, float *restrict wf),
         (w8, n, wf))
{
  QK_SIMD
  for (int64_t j = 0; j < n; j++)
    wf[j] = (float) w8[j];
}

static void
widen (const struct conv_run *run, const int8_t *w8, float *wf)
{
  const int64_t k = run->cv->k, depth = conv_depth (run->cv);

#pragma omp parallel for num_threads(run->threads)                            \
  schedule(static) if (k * depth > CONV_PARALLEL_MIN)
  for (int64_t i = 0; i < k; i++)
    widen_some (w8 + i * depth, depth, wf + i * depth);
}

const float *
conv_own_weight (const struct conv_run *run, const struct conv_thread *th)
{
  if (run->wf)
    return run->wf;
  widen_some (run->weight.wq, run->cv->k * conv_depth (run->cv), th->wf);
  return th->wf;
}

/* w->pack from the integers, in pieces of whole panels. */
static void
pack (const struct qk_conv *cv, int threads, const struct conv_weight *w)
{
  const int64_t kg = cv->k / cv->groups, depth = conv_depth (cv);
  const struct qk_kernels *kn = &cv->plan.kernels;
  const int64_t block = qk_product_block (kn);
  const int64_t pieces = (kg + block - 1) / block;
  const size_t size = conv_pack_size (cv);

#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (threads > 1 && cv->k * depth > CONV_PARALLEL_MIN)
  for (int64_t i = 0; i < cv->groups * pieces; i++) {
    const int64_t g = i / pieces, j0 = i % pieces * block;

    qk_product_pack (kn, kg - j0 < block ? kg - j0 : block, depth,
                     w->wq + (g * kg + j0) * depth, depth,
                     (char *) w->pack + (size_t) g * size
                       + qk_product_size (kn, j0, depth));
  }
}

int
conv_make_weight (const struct qk_conv *cv, const struct qk_layer_io *io,
                  const struct qk_qparams *in_q, bool observe, int threads,
                  float *wk, struct conv_weight *w)
{
  const int ret = conv_fold_weight (cv, io->param, io->weight_qz, in_q,
                                    observe, threads, wk, w);

  if (ret < 0)
    return ret;
  if (w->pack)
    pack (cv, threads, w);
  if (conv_kind (cv) == CONV_DEPTHWISE)
    conv_place_depthwise (cv, NULL, w);
  return 0;
}

int
qk_conv_prepare (struct qk_conv *cv, struct qk_layer_io *io)
{
  struct conv_weight w;
  int ret;

  if (!cv->plan.ahead || !conv_weight_simple (io->weight_qz))
    return 0;
  conv_weight_at (cv, cv->plan.i8_weight, cv->plan.own_pack, io->prepared, &w);
  ret = conv_make_weight (cv, io, NULL, true, 1, NULL, &w);
  return ret < 0 ? ret : 1;
}

void
conv_place_weight (struct conv_run *run, const int8_t *w8, bool forward)
{
  const struct qk_conv *cv = run->cv;
  const int64_t depth = conv_depth (cv), kg = cv->k / cv->groups;
  const float *w = run->io->param[0].data;
  char *ws = run->io->workspace;
  float *wf = (float *) (void *) (ws + cv->plan.ws_wf);
  float *wt = (float *) (void *) (ws + cv->plan.ws_wt);

  if (run->kind == CONV_DEPTHWISE) {
    run->wf = run->weight.wf;
    return;
  }
  if (forward && conv_in_bytes (&cv->plan)) {
    for (int64_t g = 0; g < cv->groups; g++)
      qk_product_range (&cv->plan.kernels, kg, depth, run->weight.sum + g * kg,
                        &run->io->in->q,
                        (char *) run->weight.pack
                          + (size_t) g * conv_pack_size (cv));
    return;
  }
  if (w8 && !forward && !cv->plan.back->whole) {
    run->wf = NULL;
    return;
  }
  run->wf = w8 ? wf : w;
  if (w8)
    widen (run, w8, wf);
  /* the product with the transposed weight is faster, transposing is not */
  if (!forward || run->m < 512)
    return;
  for (int g = 0; g < cv->groups; g++)
    transpose (run->wf + g * kg * depth, kg, depth, wt + g * kg * depth);
  run->wt = wt;
}
