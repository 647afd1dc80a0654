/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gradient.c: backward, in two passes over blocks of rows: the sums, then the
 * gradient by the input.  What a block needs is computed again in the second
 * pass, which costs less than writing it to memory and reading it. */
#include "config.h"

#include <string.h>

#include <qatkit/numeric.h>

#include "batchnorm-priv.h"
#include "multiversion.h"

/* ---- through the output's quantizer and the clamp ----------------------*/

/* G, which may be DY, = DY where LO < Y < HI, else 0. */
QK_LOOP (static, gate_clamp,
         (const float *y, const float *dy, float *g, int64_t n, float lo,
          float hi),
         (y, dy, g, n, lo, hi))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    g[i] = ((y[i] > lo) & (y[i] < hi)) ? dy[i] : 0.0f;
}

/* G, which may be DY, = DY where Y lies on the grid Q, else 0. */
QK_LOOP (static, gate_grid,
         (const float *y, const float *dy, float *g, int64_t n,
          const struct qk_qparams *q),
         (y, dy, g, n, q))
{
  const float inv = 1.0f / q->scale;
  const int32_t zp = q->zero_point, qmin = q->qmin, qmax = q->qmax;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    g[i] = qk_ste_mask (y[i], inv, zp, qmin, qmax) != 0.0f ? dy[i] : 0.0f;
}

/* Gradient by what leaves the layer: DY, or all of it in WHOLE, where the
 * quantizer has turned it into one by its input. */
struct gradient {
  const float *dy, *whole;
};

/* That of N rows from row R on by what is normalised. */
static const float *
block_gradient (const struct pass *p, const struct gradient *from, int64_t r,
                int64_t n, const struct slice *s)
{
  const struct batchnorm *l = p->l;
  const int64_t channels = l->channels, at = r * channels;
  const struct qk_tensor *in = &p->io->in[0];
  const struct qk_qparams *q = &p->io->out->q;
  const bool quantized = p->io->out->dtype == QK_U8 && from->whole == NULL;
  const float *dy = from->whole != NULL ? from->whole + at : from->dy + at;
  const bool real = l->clamped || (quantized && !p->bytes);

  if (real)
    bn_block_real (p, r, n, s->y);
  if (l->clamped) {
    gate_clamp (s->y, dy, s->g, n * channels, l->lo, l->hi);
    dy = s->g;
  }
  if (!quantized)
    return dy;
  if (p->bytes)
    affine_gate (&p->affine, (const uint8_t *) in->data + at, in->q.zero_point,
                 n, channels, q, dy, s->g);
  else
    gate_grid (s->y, dy, s->g, n * channels, q);
  return s->g;
}

/* Prepare it for all rows. */
static int
begin_gradient (const struct pass *p, struct gradient *g)
{
  struct qk_layer_io *io = p->io;
  float *y, *whole;

  *g = (struct gradient){ io->dout->data, NULL };
  if (io->out->dtype == QK_U8 || p->l->clamped)
    bn_pass_fold (p);
  if (io->out->dtype == QK_U8 && p->bytes)
    affine_multipliers (&p->affine, p->l->channels, io->in[0].q.scale,
                        &io->out->q);
  if (io->out->dtype != QK_U8 || !p->l->transforms)
    return 0;
  y = bn_buffer_at (p->l, io->workspace, BN_OUT);
  whole = bn_buffer_at (p->l, io->workspace, BN_GRADIENT);
  bn_pass_real (p, y);
  g->whole = whole;
  return qk_quantizer_backward (io->out_qz, y, g->dy, whole,
                                (size_t) (p->rows * p->l->channels));
}

/* ---- sums --------------------------------------------------------------*/

/* Sums of a block: dy to fa, dy (x - mean) to fb; added to a and b. */
QK_LOOP (static, block_sums,
         (const float *x, const float *dy, int64_t rows, int64_t channels,
          const float *mean, struct slice s),
         (x, dy, rows, channels, mean, s))
{
  for (int64_t c = 0; c < channels; c++)
    s.fa[c] = s.fb[c] = 0.0f;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++) {
      const float g = dy[r * channels + c];

      s.fa[c] += g;
      s.fb[c] += g * (x[r * channels + c] - mean[c]);
    }
  for (int64_t c = 0; c < channels; c++) {
    s.a[c] += (double) s.fa[c];
    s.b[c] += (double) s.fb[c];
  }
}

/* Sum of dy (a) and of dy (x - mean) (b) of all rows, in slice 0. */
static struct slice
gradient_sums (const struct pass *p, const struct gradient *g)
{
  const int64_t channels = p->l->channels;
  const struct slice all = bn_slice_at (p, 0);

#pragma omp parallel for num_threads(p->slices)                               \
  schedule(static) if (p->slices > 1)
  for (int i = 0; i < p->slices; i++) {
    const struct slice s = bn_slice_at (p, i);
    int64_t n, r = bn_slice_start (p->rows, p->slices, i);

    memset (s.a, 0, (size_t) channels * 2 * sizeof *s.a);
    for (; (n = bn_next_block (p, i, r)) > 0; r += n)
      block_sums (bn_block_input (p, r, n, s.x),
                  block_gradient (p, g, r, n, &s), n, channels, p->mean, s);
  }
  for (int i = 1; i < p->slices; i++) {
    const struct slice t = bn_slice_at (p, i);

    for (int64_t c = 0; c < channels; c++) {
      all.a[c] += t.a[c];
      all.b[c] += t.b[c];
    }
  }
  return all;
}

/* The sums of all processes, and how many rows they are of. */
static int
join_sums (const struct pass *p, struct slice s, double *rows)
{
  struct qk_comm *comm = p->io->comm;
  const size_t channels = (size_t) p->l->channels;
  int r = qk_comm_reduce (comm, QK_COMM_SUM, QK_COMM_F64, s.a, channels);

  if (r == 0)
    r = qk_comm_reduce (comm, QK_COMM_SUM, QK_COMM_F64, s.b, channels);
  if (r == 0)
    r = qk_comm_reduce (comm, QK_COMM_SUM, QK_COMM_F64, rows, 1);
  return r;
}

/* ---- gradients ---------------------------------------------------------*/

/* dx = k (dy - shift - (x - mean) slope) */
QK_LOOP (static, gradient_batch,
         (const float *x, const float *dy, float *dx, int64_t rows,
          int64_t channels, const struct pass *p),
         (x, dy, dx, rows, channels, p))
{
  const float *mean = p->mean, *k = p->kdx;
  const float *shift = p->shift, *slope = p->slope;

  for (int64_t r = 0; r < rows; r++)
    QK_SIMD
  for (int64_t c = 0; c < channels; c++) {
    const int64_t i = r * channels + c;

    dx[i] = k[c] * (dy[i] - shift[c] - (x[i] - mean[c]) * slope[c]);
  }
}

/* dx = k dy */
QK_LOOP (static, gradient_frozen,
         (const float *dy, float *dx, int64_t rows, int64_t channels,
          const float *k),
         (dy, dx, rows, channels, k))
{
  for (int64_t r = 0; r < rows; r++)
    QK_SIMD
  for (int64_t c = 0; c < channels; c++)
    dx[r * channels + c] = k[c] * dy[r * channels + c];
}

static void
input_gradient (const struct pass *p, const struct gradient *g, bool batch)
{
  const int64_t channels = p->l->channels;
  float *dx = p->io->din[0].data;

#pragma omp parallel for num_threads(p->slices)                               \
  schedule(static) if (p->slices > 1)
  for (int i = 0; i < p->slices; i++) {
    const struct slice s = bn_slice_at (p, i);
    int64_t n, r = bn_slice_start (p->rows, p->slices, i);

    for (; (n = bn_next_block (p, i, r)) > 0; r += n) {
      const float *dy = block_gradient (p, g, r, n, &s);

      if (batch)
        gradient_batch (bn_block_input (p, r, n, s.x), dy, dx + r * channels,
                        n, channels, p);
      else
        gradient_frozen (dy, dx + r * channels, n, channels, p->kdx);
    }
  }
}

int
bn_backward (void *self, struct qk_layer_io *io)
{
  const struct batchnorm *l = self;
  const struct saved *saved = io->saved;
  const struct pass p = bn_pass_begin (l, io);
  const float *gamma = io->param[QK_BN_GAMMA].data;
  float *dgamma = io->dparam[QK_BN_GAMMA].data;
  float *dbeta = io->dparam[QK_BN_BETA].data;
  double all = (double) p.rows;
  struct gradient g;
  struct slice s;
  int err;

  memcpy (p.mean, saved->stats, (size_t) l->channels * 2 * sizeof *p.mean);
  if ((err = begin_gradient (&p, &g)) < 0)
    return err;
  s = gradient_sums (&p, &g);
  for (int64_t c = 0; c < l->channels; c++) {
    if (dgamma != NULL)
      dgamma[c] += (float) (s.b[c] * (double) p.inv_std[c]);
    if (dbeta != NULL)
      dbeta[c] += (float) s.a[c];
  }
  if (saved->batch_stats && (err = join_sums (&p, s, &all)) < 0)
    return err;
  for (int64_t c = 0; c < l->channels; c++) {
    const double inv = (double) p.inv_std[c];

    p.kdx[c] = gamma[c] * p.inv_std[c];
    p.shift[c] = (float) (s.a[c] / all);
    p.slope[c] = (float) (s.b[c] / all * inv * inv);
  }
  if (io->din[0].data != NULL)
    input_gradient (&p, &g, saved->batch_stats != 0);
  return 0;
}
