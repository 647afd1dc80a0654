/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rounding.c: the weights of a block's layers, whose rounding is trained. */
#include "config.h"

#include <string.h>

#include "ptqlayer/ptqlayer.h"
#include "rounding.h"

static int64_t
count (const struct rounding *r)
{
  return r->channels * r->depth;
}

/* The weights at the integers Q. */
static void
at_integers (const struct rounding *r, const float *q, float *w)
{
  for (int64_t i = 0; i < count (r); i++)
    w[i] = q[i] * r->grid[i / r->depth].scale;
}

static void
take_grid (const struct qk_quantizer *qz, struct rounding *r)
{
  const struct qk_qparams *q = qk_quantizer_qparams (qz);
  const bool one = qk_quantizer_channels (qz) == 1;

  for (int64_t k = 0; k < r->channels; k++)
    r->grid[k]
      = (struct softround_grid){ q[one ? 0 : k].scale, (float) q[0].qmin,
                                 (float) q[0].qmax };
}

static void
nearest (const struct rounding *r, float *q)
{
  for (int64_t k = 0; k < r->channels; k++)
    softround_nearest (r->before + k * r->depth, r->depth, &r->grid[k],
                       q + k * r->depth);
}

/* Let the block compute with the weights that the quantized network has now. */
static int
show_present (const struct rounding *r, struct qk_ptq *p)
{
  const int64_t n = count (r);
  int8_t *i8 = qk_alloc ((size_t) n);
  int ret;

  if (i8 == NULL)
    return qk_oom ("reconstruct");
  ret = qk_quantizer_forward_i8 (qk_ptq_weight_quantizer (p, r->node),
                                 r->before, (size_t) n, i8);
  for (int64_t i = 0; ret == 0 && i < n; i++)
    r->soft.value[i] = (float) i8[i] * r->grid[i / r->depth].scale;
  qk_free (i8);
  return ret;
}

int
rounding_open (struct rounding *r, struct qk_ptq *p, struct qk_ptq_block *b,
               int node, bool *fits)
{
  struct qk_ptq_node info;
  size_t n, k;
  float *bias;
  int ret;

  memset (r, 0, sizeof *r);
  qk_ptq_node (p, node, &info);
  r->node = node;
  r->channels = info.channels;
  r->depth = info.per_channel;
  k = (size_t) r->channels;
  n = (size_t) count (r);
  if ((ret = qk_ptq_block_weight (b, node, &r->soft)) < 0)
    return ret;
  r->grid = qk_alloc (k * sizeof *r->grid);
  r->before = qk_alloc ((5 * n + k) * sizeof *r->before);
  if (r->grid == NULL || r->before == NULL) {
    rounding_close (r);
    return qk_oom ("node '%s'", info.name);
  }
  r->base = r->before + n;
  r->v = r->base + n;
  r->m1 = r->v + n;
  r->m2 = r->m1 + n;
  bias = r->m2 + n;
  take_grid (qk_ptq_weight_quantizer (p, node), r);
  if ((ret = qk_ptq_get_weight (p, node, r->before, bias)) == 0
      && (ret = show_present (r, p)) == 0) {
    nearest (r, r->m1);
    at_integers (r, r->m1, r->m2);
    ret = ptqlayer_fits (p, r->node, r->m2, r->m1, count (r), fits);
    memset (r->m1, 0, n * sizeof *r->m1);
    memset (r->m2, 0, n * sizeof *r->m2);
  }
  for (int64_t i = 0; ret == 0 && i < r->channels; i++)
    softround_start (r->before + i * r->depth, r->depth, &r->grid[i],
                     r->base + i * r->depth, r->v + i * r->depth);
  if (ret < 0 || !*fits)
    rounding_close (r);
  return ret;
}

void
rounding_close (struct rounding *r)
{
  qk_free (r->grid);
  qk_free (r->before);
  memset (r, 0, sizeof *r);
}

void
rounding_show (struct rounding *r, int threads)
{
  (void) threads; /* without OpenMP there is one */
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static)
#endif
  for (int64_t k = 0; k < r->channels; k++) {
    const int64_t at = k * r->depth;

    softround_weights (r->base + at, r->v + at, r->depth, &r->grid[k],
                       r->soft.value + at);
  }
}

void
rounding_move (struct rounding *r, const struct softround_step *step,
               int threads)
{
  (void) threads; /* without OpenMP there is one */
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static)
#endif
  for (int64_t k = 0; k < r->channels; k++) {
    const int64_t at = k * r->depth;

    softround_move (step, r->depth, &r->grid[k], r->base + at,
                    r->soft.gradient + at, r->v + at, r->m1 + at, r->m2 + at);
  }
}

int
rounding_store (const struct rounding *r, struct qk_ptq *p, int64_t *changed,
                bool *fits)
{
  float *q = r->m1, *w = r->m2; /* no longer needed */
  int ret;

  nearest (r, w);
  for (int64_t k = 0; k < r->channels; k++)
    softround_finish (r->base + k * r->depth, r->v + k * r->depth, r->depth,
                      &r->grid[k], q + k * r->depth);
  for (int64_t i = 0; i < count (r); i++)
    *changed += q[i] != w[i];
  at_integers (r, q, w);
  if ((ret = ptqlayer_fits (p, r->node, w, q, count (r), fits)) < 0)
    return ret;
  return qk_ptq_set_weight (p, r->node, w, NULL);
}

int
rounding_restore (const struct rounding *r, struct qk_ptq *p)
{
  return qk_ptq_set_weight (p, r->node, r->before, NULL);
}
