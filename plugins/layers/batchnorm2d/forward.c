/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* forward.c: the normalised rows, block by block, as floats or bytes. */
#include "config.h"

#include <string.h>

#include <qatkit/numeric.h>

#include "batchnorm-priv.h"
#include "extent/extent.h"
#include "multiversion.h"
#include "numbers/numbers.h"

/* ---- memory of a pass --------------------------------------------------*/

float *
bn_buffer_at (const struct batchnorm *l, void *workspace, int which)
{
  return (void *) ((char *) workspace + bn_constants_bytes (l->channels)
                   + bn_extents_bytes (l->slices)
                   + (size_t) l->slices * bn_slice_bytes (l->channels)
                   + (size_t) which * bn_buffer_bytes (l->floats));
}

struct slice
bn_slice_at (const struct pass *p, int i)
{
  const int64_t channels = p->l->channels;
  const size_t block
    = bn_buffer_bytes (bn_block_rows (channels) * channels) / sizeof (float);
  double *d
    = (void *) ((char *) p->io->workspace + bn_constants_bytes (channels)
                + bn_extents_bytes (p->l->slices)
                + (size_t) i * bn_slice_bytes (channels));
  float *f = (void *) (d + 2 * channels);
  float *x = (void *) ((char *) d + bn_buffer_bytes (channels * 6));

  return (struct slice){ d,         d + channels, f, f + channels, x,
                         x + block, x + 2 * block };
}

int64_t
bn_slice_start (int64_t rows, int n, int i)
{
  return rows / n * i + (rows % n < i ? rows % n : i);
}

int64_t
bn_next_block (const struct pass *p, int i, int64_t r)
{
  const int64_t end = bn_slice_start (p->rows, p->slices, i + 1);
  const int64_t block = bn_block_rows (p->l->channels);

  return end - r < block ? end - r : block;
}

/* Slices of ROWS rows.  They depend on the number of threads asked for only,
 * so that results repeat whatever number OpenMP grants. */
static int
slice_count (const struct batchnorm *l, const struct qk_layer_io *io,
             int64_t rows)
{
  int n = io->threads > 1 ? io->threads : 1;

  if (n > l->slices)
    n = l->slices;
  if (rows * l->channels < PARALLEL_MIN)
    n = 1;
  return rows < n ? (int) rows : n;
}

struct pass
bn_pass_begin (const struct batchnorm *l, struct qk_layer_io *io)
{
  const int64_t channels = l->channels;
  const int64_t rows = qk_shape_count (&io->in[0].shape) / channels;
  float *f = io->workspace;

  return (struct pass){ .l = l,
                        .io = io,
                        .rows = rows,
                        .slices = slice_count (l, io, rows),
                        .bytes = io->in[0].dtype == QK_U8,
                        .mean = f,
                        .inv_std = f + channels,
                        .k = f + 2 * channels,
                        .shift = f + 3 * channels,
                        .slope = f + 4 * channels,
                        .kdx = f + 5 * channels,
                        .affine
                        = affine_at (f + BN_CONSTANTS * channels, channels) };
}

void
bn_pass_fold (const struct pass *p)
{
  const float *gamma = p->io->param[QK_BN_GAMMA].data;

  for (int64_t c = 0; c < p->l->channels; c++)
    p->k[c] = gamma[c] * p->inv_std[c];
  if (p->bytes)
    affine_fold (&p->affine, p->l->channels, p->io->in[0].q.scale, gamma,
                 p->io->param[QK_BN_BETA].data, p->mean, p->inv_std);
}

/* ---- blocks ------------------------------------------------------------*/

const float *
bn_block_input (const struct pass *p, int64_t r, int64_t n, float *x)
{
  const struct qk_tensor *in = &p->io->in[0];
  const int64_t channels = p->l->channels;

  if (!p->bytes)
    return (const float *) in->data + r * channels;
  numbers_of_bytes ((const uint8_t *) in->data + r * channels, n * channels,
                    &in->q, x);
  return x;
}

QK_LOOP (static, normalise,
         (const float *x, float *y, int64_t rows, int64_t channels,
          const float *mean, const float *k, const float *bias),
         (x, y, rows, channels, mean, k, bias))
{
  for (int64_t r = 0; r < rows; r++)
    QK_SIMD
  for (int64_t c = 0; c < channels; c++)
    y[r * channels + c] = (x[r * channels + c] - mean[c]) * k[c] + bias[c];
}

QK_LOOP (static, clamp, (float *y, int64_t n, float lo, float hi),
         (y, n, lo, hi))
{
  for (int64_t i = 0; i < n; i++) {
    const float v = y[i] < lo ? lo : y[i];

    y[i] = v > hi ? hi : v;
  }
}

void
bn_block_real (const struct pass *p, int64_t r, int64_t n, float *y)
{
  const int64_t channels = p->l->channels, at = r * channels;
  const struct qk_tensor *in = &p->io->in[0];

  if (p->bytes)
    affine_to_real (&p->affine, (const uint8_t *) in->data + at,
                    in->q.zero_point, n, channels, y);
  else
    normalise ((const float *) in->data + at, y, n, channels, p->mean, p->k,
               p->io->param[QK_BN_BETA].data);
  if (p->l->clamped)
    clamp (y, n * channels, p->l->lo, p->l->hi);
}

/* Those rows of the output on its grid, clamped to LO..HI; S has a buffer. */
static void
block_bytes (const struct pass *p, int64_t r, int64_t n, int32_t lo,
             int32_t hi, struct slice *s)
{
  const int64_t channels = p->l->channels, at = r * channels;
  const struct qk_tensor *in = &p->io->in[0];
  const struct qk_qparams *q = &p->io->out->q;
  uint8_t *out = (uint8_t *) p->io->out->data + at;

  if (p->bytes) {
    affine_to_bytes (&p->affine, (const uint8_t *) in->data + at,
                     in->q.zero_point, n, channels, q, lo, hi, out);
    return;
  }
  bn_block_real (p, r, n, s->y);
  numbers_to_bytes (s->y, n * channels, q, lo, hi, out);
}

/* ---- passes ------------------------------------------------------------*/

void
bn_pass_real (const struct pass *p, float *y)
{
#pragma omp parallel for num_threads(p->slices)                               \
  schedule(static) if (p->slices > 1)
  for (int i = 0; i < p->slices; i++) {
    int64_t n, r = bn_slice_start (p->rows, p->slices, i);

    for (; (n = bn_next_block (p, i, r)) > 0; r += n)
      bn_block_real (p, r, n, y + r * p->l->channels);
  }
}

static void
pass_bytes (const struct pass *p)
{
  const struct qk_qparams *q = &p->io->out->q;
  int32_t lo, hi;

  qk_clamp_bounds (q, p->l->lo, p->l->hi, &lo, &hi);
  if (p->bytes)
    affine_multipliers (&p->affine, p->l->channels, p->io->in[0].q.scale, q);
#pragma omp parallel for num_threads(p->slices)                               \
  schedule(static) if (p->slices > 1)
  for (int i = 0; i < p->slices; i++) {
    int64_t n, r = bn_slice_start (p->rows, p->slices, i);
    struct slice s = bn_slice_at (p, i);

    for (; (n = bn_next_block (p, i, r)) > 0; r += n)
      block_bytes (p, r, n, lo, hi, &s);
  }
}

/* Show the output's quantizer the range of the results. */
static int
observe_range (const struct pass *p)
{
  struct extent *e = (void *) ((char *) p->io->workspace
                               + bn_constants_bytes (p->l->channels));

#pragma omp parallel for num_threads(p->slices)                               \
  schedule(static) if (p->slices > 1)
  for (int i = 0; i < p->slices; i++) {
    int64_t n, r = bn_slice_start (p->rows, p->slices, i);
    struct slice s = bn_slice_at (p, i);
    struct extent mine = EXTENT_EMPTY;

    for (; (n = bn_next_block (p, i, r)) > 0; r += n) {
      bn_block_real (p, r, n, s.y);
      extent_block (s.y, n * p->l->channels, &mine);
    }
    e[i] = mine;
  }
  return extent_observe (p->io->out_qz, e, p->slices);
}

static int
observe (const struct pass *p)
{
  float *y;

  /* without room for all results it refuses in words what it cannot use */
  if (p->l->floats == 0 || qk_quantizer_wants_range (p->io->out_qz))
    return observe_range (p);
  y = bn_buffer_at (p->l, p->io->workspace, BN_OUT);
  bn_pass_real (p, y);
  return qk_quantizer_observe (p->io->out_qz, y,
                               (size_t) (p->rows * p->l->channels));
}

static int
forward_quantized (const struct pass *p)
{
  struct qk_layer_io *io = p->io;
  int r = 0;

  if (io->out_qz != NULL && qk_quantizer_observing (io->out_qz))
    r = observe (p);
  if (r < 0)
    return r;
  if (io->out_qz != NULL)
    io->out->q = *qk_quantizer_qparams (io->out_qz);
  if (!(io->out->q.scale > 0.0f))
    return qk_error (-EINVAL, "batchnorm2d: the u8 output has no grid");
  pass_bytes (p);
  return 0;
}

int
bn_forward (void *self, struct qk_layer_io *io)
{
  const struct batchnorm *l = self;
  const struct pass p = bn_pass_begin (l, io);
  const bool batch = (io->flags & QK_PASS_BATCH_STATS) != 0;
  const int err = batch ? bn_batch_stats (&p) : bn_running_stats (&p);

  if (err < 0)
    return err;
  if (io->flags & QK_PASS_TRAIN) {
    struct saved *saved = io->saved;

    saved->batch_stats = batch;
    memcpy (saved->stats, p.mean, (size_t) l->channels * 2 * sizeof *p.mean);
  }
  bn_pass_fold (&p);
  if (io->out->dtype == QK_U8)
    return forward_quantized (&p);
  bn_pass_real (&p, io->out->data);
  return 0;
}
