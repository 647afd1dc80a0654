/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c: where the numbers of a convolution lie: decided once in setup, found
 * again in each call. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "int8gemm/product.h"
#include "multiversion.h"

/* Floats of one block: half of a common second-level cache. */
enum { BLOCK_FLOATS = 131072 };

/* Up to this depth a product of bytes costs less than writing its result to
 * memory and reading it back three times; without VNNI products take longer. */
enum { AGAIN_DEPTH = 192, AGAIN_DEPTH_NO_VNNI = 48 };

/* Weights up to this size are prepared ahead of the step.  Larger ones keep
 * all threads busy by themselves, and their order for the products would have
 * to be kept for each layer. */
enum { AHEAD_WEIGHT = 524288 };

/* A thread's part of the workspace is a multiple of this, so that it lies at
 * the same place in nearly all layers: memory that another core wrote last is
 * slow to write, most of all where cores share no cache. */
enum { THREAD_STEP = 2 << 20 };

/* ---- memory ------------------------------------------------------------*/

size_t
conv_pack_size (const struct qk_conv *cv)
{
  return (qk_product_size (&cv->plan.kernels, cv->k / cv->groups,
                           conv_depth (cv))
          + 63)
         & ~(size_t) 63;
}

int64_t
conv_ring_width (const struct qk_conv *cv)
{
  const int64_t touched
    = (cv->q - 1) * cv->stride_w + (int64_t) (cv->s - 1) * cv->dil_w + 1;
  const int64_t padded = cv->pad_left + cv->w;

  return touched > padded ? touched : padded;
}

int
conv_ring_span (const struct qk_conv *cv)
{
  return (cv->r - 1) * cv->dil_h + 1;
}

/* Take SIZE bytes at the end of *TOTAL, whole cache lines. */
static size_t
take (size_t *total, size_t size)
{
  const size_t at = *total;

  *total += (size + 63) & ~(size_t) 63;
  return at;
}

/* Where the arrays of a conv_weight lie behind its numbers. */
static size_t
weight_layout (const struct qk_conv *cv, bool quantized, bool packed,
               size_t *wq, size_t *pack, size_t *wf)
{
  const size_t k = (size_t) cv->k, depth = (size_t) conv_depth (cv);
  size_t total = 0;

  take (&total, k * (2 * sizeof (double) + 3 * sizeof (float)));
  *wq = take (&total, quantized ? k * depth : 0);
  *pack
    = take (&total, packed ? (size_t) cv->groups * conv_pack_size (cv) : 0);
  *wf = take (
    &total, conv_kind (cv) == CONV_DEPTHWISE ? k * depth * sizeof (float) : 0);
  return total;
}

size_t
conv_weight_size (const struct qk_conv *cv, bool quantized, bool packed)
{
  size_t wq, pack, wf;

  return weight_layout (cv, quantized, packed, &wq, &pack, &wf);
}

void
conv_weight_at (const struct qk_conv *cv, bool quantized, bool packed,
                void *base, struct conv_weight *w)
{
  size_t wq, pack, wf;
  double *d = base;
  float *f = (float *) (d + 2 * cv->k);

  weight_layout (cv, quantized, packed, &wq, &pack, &wf);
  w->sum = d;
  w->size = d + cv->k;
  w->k = f;
  w->sigma = f + cv->k;
  w->sw = f + 2 * cv->k;
  w->wq = quantized ? (int8_t *) base + wq : NULL;
  w->pack = packed ? (char *) base + pack : NULL;
  w->wf = (float *) (void *) ((char *) base + wf);
}

static size_t
channels_size (const struct qk_conv *cv, int64_t period)
{
  return 2 * (size_t) period * sizeof (float)
         + 3 * (size_t) cv->k * sizeof (double);
}

static size_t
scratch_channels_size (const struct qk_conv *cv, int64_t period)
{
  return 5 * (size_t) period * sizeof (float)
         + (size_t) cv->k * (3 * sizeof (float) + 2 * sizeof (double))
         + sizeof (double);
}

static void
channels_at (const struct conv_run *run, void *base)
{
  struct conv_channels *ch = (struct conv_channels *) &run->ch;
  const int64_t k = run->cv->k, period = run->cv->plan.period;
  double *d = base;
  float *f;

  ch->c = d;
  ch->mean = d + k;
  ch->invstd = d + 2 * k;
  f = (float *) (d + 3 * k);
  ch->a = f;
  ch->b = f + period;
}

static void
scratch_channels_at (struct conv_run *run, void *base)
{
  struct conv_scratch_channels *sc = &run->sc;
  const int64_t k = run->cv->k, period = run->cv->plan.period;
  double *d = base;
  float *f;

  sc->sg = d;
  sc->sgu = d + k;
  f = (float *) (d + 2 * k + 1);
  sc->bias = (int32_t *) f;
  sc->m = f + period;
  sc->a1 = f + 2 * period;
  sc->a2 = f + 3 * period;
  sc->a3 = f + 4 * period;
  f += 5 * period;
  sc->real_bias = f;
  sc->min = f + k;
  sc->max = f + 2 * k;
}

/* Whether the input of a block is expanded to floats somewhere. */
static bool
expands (const struct qk_conv *cv, const struct qk_conv_plan *pl)
{
  return conv_kind (cv) != CONV_DEPTHWISE
         && (!conv_in_bytes (pl) || (pl->train && !pl->back->whole));
}

/* How large blocks are; see BLOCK_FLOATS. */
static void
choose_blocks (const struct qk_conv *cv, struct qk_conv_plan *pl)
{
  const int64_t depth = cv->r * cv->s * cv->c;
  const int64_t in = conv_kind (cv) == CONV_DEPTHWISE ? cv->k
                     : expands (cv, pl)               ? depth
                                                      : depth / 4;
  int64_t rows = BLOCK_FLOATS / (in + cv->k);

  rows = rows < 32 ? 32 : rows > 2048 ? 2048 : rows & ~(int64_t) 7;
  if (conv_kind (cv) == CONV_DIRECT) {
    pl->rows = rows;
    pl->p_block = 0;
    return;
  }
  pl->p_block = rows / cv->q;
  pl->p_block = pl->p_block < 1       ? 1
                : pl->p_block > cv->p ? cv->p
                                      : pl->p_block;
  pl->rows = pl->p_block * cv->q;
}

static void
plan_thread (const struct qk_conv *cv, bool quantized_weight,
             struct qk_conv_plan *pl)
{
  const bool dw = conv_kind (cv) == CONV_DEPTHWISE;
  const bool one_dw = pl->back->one_dw;
  const size_t out = (size_t) (pl->rows * cv->k) * sizeof (float);
  const size_t weight = (size_t) (cv->k * conv_depth (cv)) * sizeof (float);
  const size_t line = (size_t) (conv_ring_width (cv) * cv->c) * sizeof (float);
  const size_t ring = dw ? (size_t) (conv_ring_span (cv) + 1) * line : 0;
  const int64_t depth = cv->r * cv->s * cv->c;
  const size_t bytes = (size_t) (pl->rows * qk_product_depth (depth)) + 64;
  const size_t floats = (size_t) (pl->rows * depth) * sizeof (float);
  size_t *total = &pl->th_size;

  *total = 0;
  pl->th_col = take (total, dw                                   ? 0
                            : expands (cv, pl) && floats > bytes ? floats
                                                                 : bytes);
  pl->th_blk = take (total, out);
  pl->th_tmp = take (total, out);
  pl->th_sum = take (total, (size_t) pl->period
                              * (2 * sizeof (double) + 2 * sizeof (float)));
  pl->th_dw = take (total, pl->train && !one_dw ? weight : 0);
  pl->th_dwi = take (total, pl->train && dw ? weight : 0);
  pl->th_wf = take (
    total, quantized_weight && pl->train && !one_dw && !dw ? weight : 0);
  pl->th_ring = take (total, ring);
  pl->th_dring = take (total, pl->train ? ring : 0);
  pl->th_tags = take (
    total, dw ? 2 * (size_t) conv_ring_span (cv) * sizeof (int64_t) : 0);
  if (pl->threads > 1)
    *total = (*total + THREAD_STEP - 1) / THREAD_STEP * THREAD_STEP;
}

void
conv_back_shape (const struct qk_conv *cv, int64_t n, struct qk_convback *cb)
{
  *cb = (struct qk_convback){
    .n = n,
    .h = cv->h,
    .w = cv->w,
    .c = cv->c,
    .p = cv->p,
    .q = cv->q,
    .k = cv->k,
    .r = cv->r,
    .s = cv->s,
    .groups = cv->groups,
    .stride_h = cv->stride_h,
    .stride_w = cv->stride_w,
    .dil_h = cv->dil_h,
    .dil_w = cv->dil_w,
    .pad_top = cv->pad_top,
    .pad_left = cv->pad_left,
    .pad_bottom = cv->pad_bottom,
    .pad_right = cv->pad_right,
  };
}

static int
choose_ways (const struct qk_conv *cv, const struct qk_layer_setup *s,
             struct qk_conv_plan *pl)
{
  const bool quantized = s->quantized_in && s->quantized_weight;
  int ret;

  if ((ret = conv_choose (cv, quantized, pl)) < 0)
    return ret;
  pl->again
    = conv_in_bytes (pl) && conv_kind (cv) == CONV_DIRECT
      && conv_depth (cv)
           <= (pl->kernels.saturates ? AGAIN_DEPTH_NO_VNNI : AGAIN_DEPTH);
  if (s->train && pl->back->scratch)
    pl->ws_back_size = pl->back->scratch (cv);
  return 0;
}

/* Memory kept from forward to backward. */
static void
plan_saved (const struct qk_conv *cv, size_t weight, size_t acc,
            struct qk_conv_plan *pl)
{
  take (&pl->sv_size, sizeof (struct conv_saved));
  pl->sv_chan = take (&pl->sv_size, channels_size (cv, pl->period));
  pl->sv_weight = take (&pl->sv_size, weight);
  pl->sv_acc = take (&pl->sv_size, pl->again ? 0 : acc);
}

int
qk_conv_setup (struct qk_conv *cv, struct qk_layer_setup *s)
{
  struct qk_conv_plan *pl = &cv->plan;
  const int64_t batch = s->in[0].dims[0];
  const size_t weight = (size_t) (cv->k * conv_depth (cv)) * sizeof (float);
  const bool known = s->out_qz && qk_quantizer_is_ste (s->out_qz);
  const enum qk_cpu_level level = qk_cpu_current ();
  size_t acc, numbers;
  bool whole;
  int ret;

  if (batch < 1
      || (double) batch * (double) (cv->p * cv->q) * (double) cv->k > 1e12)
    return qk_error (-EOVERFLOW, "%s: cannot work on a batch of %lld", cv->who,
                     (long long) batch);
  memset (pl, 0, sizeof *pl);
  qk_kernels_init (&pl->kernels, level);
  pl->threads = s->threads < 1 ? 1 : s->threads;
  pl->float_backend = s->float_backend;
  pl->train = s->train;
  pl->grid_out = s->quantized_out || s->wide_out;
  pl->wide_in = s->wide_in && s->quantized_weight;
  pl->wide_out = s->wide_out;
  pl->i8_weight = s->quantized_weight;
  pl->batch = batch;
  pl->period = cv->k >= 128 ? cv->k : cv->k * ((127 + cv->k) / cv->k);
  pl->own_y
    = pl->grid_out
      && (pl->wide_in || !(known && qk_quantizer_wants_range (s->out_qz)));
  if ((ret = choose_ways (cv, s, pl)) < 0)
    return ret;
  choose_blocks (cv, pl);
  whole = s->train && pl->back->whole;
  acc = (size_t) (batch * cv->p * cv->q * cv->k) * sizeof (float);
  pl->over_acc = whole && !pl->again;
  pl->ahead
    = s->train && pl->i8_weight && cv->k * conv_depth (cv) <= AHEAD_WEIGHT;
  pl->own_pack = conv_in_bytes (pl) && (pl->ahead || pl->again);
  numbers = conv_weight_size (cv, pl->i8_weight, pl->own_pack);

  plan_thread (cv, s->quantized_weight, pl);
  pl->ws_thread = take (&pl->ws_size, pl->th_size * (size_t) pl->threads);
  if (s->train)
    plan_saved (cv, pl->ahead ? 0 : numbers, acc, pl);
  else {
    pl->ws_saved = pl->ws_size;
    take (&pl->ws_size, sizeof (struct conv_saved));
    pl->ws_weight = take (&pl->ws_size, numbers);
    pl->ws_acc = take (&pl->ws_size, pl->grid_out && !pl->again ? acc : 0);
  }
  pl->ws_chan = take (&pl->ws_size, channels_size (cv, pl->period));
  take (&pl->ws_size, scratch_channels_size (cv, pl->period));
  pl->ws_wf = take (&pl->ws_size, weight);
  pl->ws_wk = take (&pl->ws_size, weight);
  pl->ws_wt = take (&pl->ws_size, weight);
  pl->ws_pack
    = take (&pl->ws_size, conv_in_bytes (pl) && !pl->own_pack
                            ? (size_t) cv->groups * conv_pack_size (cv)
                            : 0);
  pl->ws_y = take (&pl->ws_size, pl->own_y ? acc : 0);
  pl->ws_g = take (&pl->ws_size, s->train && pl->grid_out && !known ? acc : 0);
  pl->ws_d = take (&pl->ws_size, whole && !pl->over_acc ? acc : 0);
  pl->ws_x = take (
    &pl->ws_size, s->train && s->quantized_in && pl->back->expands
                    ? (size_t) (batch * cv->h * cv->w * cv->c) * sizeof (float)
                    : 0);
  pl->ws_back = take (&pl->ws_size, pl->ws_back_size);
  pl->ws_wide = take (&pl->ws_size, pl->wide_in ? conv_wide_size (cv) : 0);
  s->saved = pl->sv_size;
  s->prepared = pl->ahead ? numbers : 0;
  s->workspace = pl->ws_size;
  s->keep_in = s->train;
  s->keep_out = false;
  return 0;
}

/* ---- one call ----------------------------------------------------------*/

static int
check_call (const struct qk_conv *cv, const struct qk_layer_io *io)
{
  const struct qk_tensor *in = io->in, *out = io->out;
  const int params = 1 + cv->bias + (cv->bn ? QK_BN_PARAMS : 0);

  if (io->n_in != 1 || io->n_params != params)
    return qk_error (-EINVAL,
                     "%s: expected 1 input and %d parameters, got "
                     "%d and %d",
                     cv->who, params, io->n_in, io->n_params);
  if (in->shape.dims[0] < 1 || in->shape.dims[0] > cv->plan.batch)
    return qk_error (-EINVAL, "%s: batch of %lld, set up for 1 to %lld",
                     cv->who, (long long) in->shape.dims[0],
                     (long long) cv->plan.batch);
  if ((in->dtype != QK_F32 && in->dtype != QK_U8)
      || (out->dtype != QK_F32 && out->dtype != QK_U8))
    return qk_error (-EINVAL, "%s: cannot go from %s to %s", cv->who,
                     qk_dtype_name (in->dtype), qk_dtype_name (out->dtype));
  if (in->dtype == QK_U8 && !(in->q.scale > 0.0f))
    return qk_error (-EINVAL, "%s: the u8 input has no grid", cv->who);
  if (out->dtype == QK_U8 && (!io->out_qz || !cv->plan.grid_out))
    return qk_error (-EINVAL, "%s: a u8 output needs a quantizer%s", cv->who,
                     cv->plan.grid_out ? "" : " at setup");
  if (cv->plan.wide_in && (in->dtype != QK_F32 || !(in->q.scale > 0.0f)))
    return qk_error (-EINVAL,
                     "%s: set up for an input on a grid of more than "
                     "8 bits",
                     cv->who);
  if (cv->plan.wide_out && (out->dtype != QK_F32 || !io->out_qz))
    return qk_error (-EINVAL,
                     "%s: set up for an output on a grid of more "
                     "than 8 bits",
                     cv->who);
  if ((io->flags & QK_PASS_TRAIN) && !cv->plan.train)
    return qk_error (-EINVAL, "%s: not set up for training", cv->who);
  if (conv_in_bytes (&cv->plan) && (in->dtype != QK_U8 || !io->weight_qz))
    return qk_error (-EINVAL, "%s: set up for a quantized input and weight",
                     cv->who);
  return 0;
}

int
conv_run_begin (const struct qk_conv *cv, const struct qk_layer_io *io,
                struct conv_run *run)
{
  const struct qk_conv_plan *pl = &cv->plan;
  char *ws = io->workspace;
  char *saved = pl->train ? io->saved : ws + pl->ws_saved;
  int64_t blocks;
  int ret = check_call (cv, io);

  if (ret < 0)
    return ret;
  memset (run, 0, sizeof *run);
  run->cv = cv;
  run->io = io;
  run->kind = conv_kind (cv);
  run->threads = io->threads < 1             ? 1
                 : io->threads > pl->threads ? pl->threads
                                             : io->threads;
  run->n = io->in->shape.dims[0];
  run->m = run->n * cv->p * cv->q;
  run->u8_in = io->in->dtype == QK_U8;
  run->u8_out = io->out->dtype == QK_U8;
  run->wide_in = pl->wide_in;
  run->wide_out = pl->wide_out;
  run->grid_out = run->u8_out || run->wide_out;
  run->s_in = run->u8_in ? io->in->q.scale : 1.0f;
  run->z = run->u8_in ? (float) io->in->q.zero_point : 0.0f;
  run->saved = (struct conv_saved *) saved;
  run->again = pl->again;
  conv_weight_at (cv, pl->i8_weight, pl->own_pack,
                  pl->ahead   ? io->prepared
                  : pl->train ? saved + pl->sv_weight
                              : ws + pl->ws_weight,
                  &run->weight);
  if (conv_in_bytes (pl) && !pl->own_pack)
    run->weight.pack = ws + pl->ws_pack;
  if (pl->train)
    run->acc = pl->again ? NULL : saved + pl->sv_acc;
  channels_at (run, pl->train ? saved + pl->sv_chan : ws + pl->ws_chan);
  scratch_channels_at (
    run,
    ws + pl->ws_chan + ((channels_size (cv, pl->period) + 63) & ~(size_t) 63));
  /* equal shares for the threads */
  blocks = (run->m + pl->rows - 1) / pl->rows;
  blocks = (blocks + run->threads - 1) / run->threads * run->threads;
  run->row_block = (run->m + blocks - 1) / blocks;
  run->units = run->kind == CONV_DIRECT
                 ? (run->m + run->row_block - 1) / run->row_block
                 : run->n * ((cv->p + pl->p_block - 1) / pl->p_block);
  return 0;
}

void
conv_thread_at (const struct conv_run *run, int t, struct conv_thread *th)
{
  const struct qk_conv_plan *pl = &run->cv->plan;
  char *base
    = (char *) run->io->workspace + pl->ws_thread + (size_t) t * pl->th_size;

  th->col = (float *) (base + pl->th_col);
  th->blk = (float *) (base + pl->th_blk);
  th->tmp = (float *) (base + pl->th_tmp);
  th->sum = (double *) (base + pl->th_sum);
  th->sq = th->sum + pl->period;
  th->min = (float *) (th->sq + pl->period);
  th->max = th->min + pl->period;
  th->dw = (float *) (base + pl->th_dw);
  th->dwi = (float *) (base + pl->th_dwi);
  th->wf = (float *) (base + pl->th_wf);
  th->ring = (float *) (base + pl->th_ring);
  th->dring = (float *) (base + pl->th_dring);
  th->tags = (int64_t *) (base + pl->th_tags);
}

void
conv_unit_at (const struct conv_run *run, int64_t i, struct conv_unit *u)
{
  const struct qk_conv *cv = run->cv;

  memset (u, 0, sizeof *u);
  if (run->kind == CONV_DIRECT) {
    u->row0 = i * run->row_block;
    u->rows
      = run->m - u->row0 < run->row_block ? run->m - u->row0 : run->row_block;
  } else {
    const int64_t per = (cv->p + cv->plan.p_block - 1) / cv->plan.p_block;

    u->img = i / per;
    u->p0 = i % per * cv->plan.p_block;
    u->p1 = u->p0 + cv->plan.p_block;
    u->p1 = u->p1 < cv->p ? u->p1 : cv->p;
    u->row0 = (u->img * cv->p + u->p0) * cv->q;
    u->rows = (u->p1 - u->p0) * cv->q;
  }
}

QK_LOOP (static, add_doubles,
         (const double *restrict x, int64_t n, double *restrict sum),
         (x, n, sum))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    sum[i] += x[i];
}

void
conv_collect_sums (struct conv_run *run)
{
  const int64_t k = run->cv->k;

  memset (run->sc.sg, 0, (size_t) k * sizeof *run->sc.sg);
  memset (run->sc.sgu, 0, (size_t) k * sizeof *run->sc.sgu);
  for (int t = 0; t < run->threads; t++) {
    struct conv_thread th;

    conv_thread_at (run, t, &th);
    for (int64_t at = 0; at < run->cv->plan.period; at += k) {
      add_doubles (th.sum + at, k, run->sc.sg);
      add_doubles (th.sq + at, k, run->sc.sgu);
    }
  }
}

void
conv_repeat (float *x, int64_t k, int64_t period)
{
  for (int64_t i = k; i < period; i++)
    x[i] = x[i - k];
}
