/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.c: gradients of 3x3 convolutions by Winograd's products, see gradients.h.
 *
 * Both are correlations of tiles of 6x6 numbers (A. Lavin, S. Gray: Fast Algorithms
 * for Convolutional Neural Networks, arXiv 1509.09308): F(4x4, 3x3) of the outputs'
 * gradient with the weights turned round gives the inputs' gradient; F(3x3, 4x4)
 * of the inputs with tiles of 4x4 of the outputs' gradient gives the weights'.  In
 * each of the 36 places the products over channels, or over tiles, are one of
 * matrices.  winograd-kernels.h has the transforms and the products. */
#include "config.h"

#include "gemm/gradients.h"

#include <string.h>

#include <qatkit/cpu.h>

#include "gemm/winograd-kernels.h"
#include "multiversion.h"

#define TILE 4
#define SIDE 6 /* of what a tile sees */
#define PLACES (SIDE * SIDE)
#define LINE 16 /* floats: not all places begin in the same set of a cache */

/* Floats of a chunk of tiles, which stays in the cache: 1 MiB.  Large weights are
 * fetched once a chunk, which has to have more tiles then. */
#define CHUNK_FLOATS 262144
enum { CHUNK_LEAST = 32, CHUNK_MOST = 128, CHUNK_LARGE = 64 };
#define LARGE_WEIGHT (1 << 16)

/* Up to this number of weights each thread has sums of its own: it costs less to add
 * them up than to fetch the tiles that another thread has transformed. */
#define OWN_WEIGHT (1 << 14)

/* Transforming this number of weights takes as long as the products of a tile save. */
#define WEIGHTS_A_TILE 4096
#define MOST_OVERHANG 2 /* times as many pixels as there are */

static const struct winograd_kernels *
kernels_here (void)
{
#if defined __x86_64__ || defined __i386__
  const enum qk_cpu_level level = qk_cpu_current ();

  if (level >= QK_CPU_AVX2)
    return level >= QK_CPU_AVX512 ? &winograd_kernels__avx512
                                  : &winograd_kernels__avx2;
#endif
  return NULL;
}

/* ---- tiles ------------------------------------------------------------------*/

/* Tiles of 4x4 over tensors of N samples. */
struct tiles {
  int64_t rows, columns, count;
};

static struct tiles
tiles_of (int64_t n, int64_t h, int64_t w)
{
  const int64_t rows = (h + TILE - 1) / TILE, columns = (w + TILE - 1) / TILE;

  return (struct tiles){ rows, columns, n * rows * columns };
}

/* A tile's sample and its first pixel. */
struct place {
  int64_t sample, row, col;
};

static struct place
place_of (const struct tiles *t, int64_t at)
{
  return (struct place){ at / (t->rows * t->columns),
                         at / t->columns % t->rows * TILE,
                         at % t->columns * TILE };
}

/* Tiles that a thread works at once. */
struct chunk {
  int64_t first, n;
};

/* Chunk I, of up to SIZE tiles, of thread TH; n is 0 after its last one. */
static struct chunk
chunk_of (const struct tiles *t, int th, int threads, int64_t size, int64_t i)
{
  const int64_t end = t->count * (th + 1) / threads;
  const int64_t first = t->count * th / threads + i * size;
  const int64_t n = end - first < size ? end - first : size;

  return (struct chunk){ first, n < 0 ? 0 : n };
}

/* Pixels side by side, SIZE bytes each; those outside of (H,W) are NOTHING. */
struct pixels {
  const void *x, *nothing;
  int64_t size, h, w;
};

/* The SIDE x SIDE pixels from (ROW,COL) of sample SAMPLE on. */
static void
point (const struct pixels *x, int64_t sample, int64_t row, int64_t col,
       int side, const void **p)
{
  const char *first = (const char *) x->x + sample * x->h * x->w * x->size;

  for (int64_t i = row; i < row + side; i++)
    for (int64_t j = col; j < col + side; j++)
      *p++ = i >= 0 && i < x->h && j >= 0 && j < x->w
               ? first + (i * x->w + j) * x->size
               : x->nothing;
}

/* ---- memory -----------------------------------------------------------------*/

/* Scratch memory, in floats: a pixel of zeros, one of bytes for zero, one that nobody
 * reads; the weights' places, or the threads' sums of them; and for each thread the
 * places of a chunk. */
struct room {
  const struct winograd_kernels *kn;
  int64_t zeros, zero_bytes, unread, weights, chunks; /* where they begin */
  int64_t size, panel; /* of a chunk: tiles, floats of a panel */
  int64_t weight_step, c_step, k_step; /* from place to place */
  int64_t each;                        /* floats of a thread's chunk */
  bool own;                            /* each thread has sums of its own */
};

static struct room
room_of (const struct qk_convback *cb, int threads)
{
  const int64_t pixel = (cb->c > cb->k ? cb->c : cb->k) + LINE;
  const int64_t weight = cb->c * cb->k;
  struct room r = { .kn = kernels_here (), .own = weight <= OWN_WEIGHT };

  r.size = CHUNK_FLOATS / (PLACES * (cb->c + cb->k));
  r.size = weight > LARGE_WEIGHT  ? CHUNK_LARGE
           : r.size < CHUNK_LEAST ? CHUNK_LEAST
           : r.size > CHUNK_MOST  ? CHUNK_MOST
                                  : r.size / r.kn->rows * r.kn->rows;
  r.panel = r.size * r.kn->lanes;
  r.zero_bytes = pixel / LINE * LINE;
  r.unread = 2 * r.zero_bytes;
  r.weights = 3 * r.zero_bytes;
  r.weight_step = weight + LINE;
  r.c_step = r.size * cb->c + LINE;
  r.k_step = r.size * cb->k + LINE;
  r.each = PLACES * (r.c_step + r.k_step);
  r.chunks = r.weights + PLACES * r.weight_step * (r.own ? threads : 1);
  return r;
}

static size_t
winograd_scratch (const struct qk_convback *cb, int threads)
{
  const struct room r = room_of (cb, threads);

  return (size_t) (r.chunks + threads * r.each) * sizeof (float);
}

static bool
winograd_suits (const struct qk_convback *cb)
{
  const struct winograd_kernels *kn = kernels_here ();
  const struct tiles t = tiles_of (cb->n, cb->h, cb->w);

  return kn != NULL && cb->r == 3 && cb->s == 3 && cb->stride_h == 1
         && cb->stride_w == 1 && cb->dil_h == 1 && cb->dil_w == 1
         && cb->groups == 1 && cb->c % kn->lanes == 0 && cb->k % kn->lanes == 0
         && cb->c * cb->k <= t.count * WEIGHTS_A_TILE
         && t.count * TILE * TILE <= MOST_OVERHANG * cb->n * cb->h * cb->w;
}

/* ---- the gradient of the input ------------------------------------------------*/

/* The weights turned round: (36,K,C). */
static void
weights_to_places (const struct qk_convback *cb, const struct room *r,
                   int threads, const float *w, float *to)
{
  const struct winograd_kernels *kn = r->kn;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t k = 0; k < cb->k; k++) {
    const void *p[9];

    for (int t = 0; t < 9; t++)
      p[t] = w + (k * 9 + 8 - t) * cb->c;
    kn->taps_3x3 (p, cb->c, to + k * kn->lanes, r->weight_step,
                  cb->k * kn->lanes);
  }
}

/* The tiles CH of dx; PLACES has room for those of d and of the products. */
static void
data_chunk (const struct qk_convback *cb, const struct room *r,
            const struct tiles *t, struct chunk ch, const float *d, float *dx,
            float *scratch, float *places)
{
  const struct winograd_kernels *kn = r->kn;
  const struct pixels of_d
    = { d, scratch + r->zeros, cb->k * (int64_t) sizeof *d, cb->p, cb->q };
  const int64_t c = cb->c, rows = (ch.n + kn->rows - 1) / kn->rows * kn->rows;
  float *products = places + PLACES * r->k_step;

  for (int64_t i = 0; i < ch.n; i++) {
    const struct place at = place_of (t, ch.first + i);
    const void *p[PLACES];

    point (&of_d, at.sample, at.row + cb->pad_top - 2,
           at.col + cb->pad_left - 2, SIDE, p);
    kn->seen (p, cb->k, places + i * kn->lanes, r->k_step, r->panel);
  }
  for (int e = 0; e < PLACES; e++)
    kn->rows_product (rows, c, cb->k, places + e * r->k_step,
                      scratch + r->weights + e * r->weight_step,
                      products + e * r->c_step, r->panel);
  for (int64_t i = 0; i < ch.n; i++) {
    const struct place at = place_of (t, ch.first + i);
    float *y = dx + at.sample * cb->h * cb->w * c, *p[TILE * TILE];

    for (int j = 0; j < TILE * TILE; j++) {
      const int64_t h = at.row + j / TILE, w = at.col + j % TILE;

      p[j] = h < cb->h && w < cb->w ? y + (h * cb->w + w) * c
                                    : scratch + r->unread;
    }
    kn->outputs_4x4 (products + i * kn->lanes, r->c_step, r->panel, c, p);
  }
}

static void
winograd_data (const struct qk_convback *cb, int threads, const float *d,
               const float *w, float *dx, float *scratch)
{
  const struct room r = room_of (cb, threads);
  const struct tiles t = tiles_of (cb->n, cb->h, cb->w);

  memset (scratch + r.zeros, 0, (size_t) r.zero_bytes * sizeof *scratch);
  weights_to_places (cb, &r, threads, w, scratch + r.weights);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int th = 0; th < threads; th++) {
    struct chunk ch;

    for (int64_t i = 0; (ch = chunk_of (&t, th, threads, r.size, i)).n > 0;
         i++)
      data_chunk (cb, &r, &t, ch, d, dx, scratch,
                  scratch + r.chunks + th * r.each);
  }
}

/* ---- the gradient of the weights ----------------------------------------------*/

/* The tiles CH of the input and of the outputs' gradient to PLACES. */
static void
weights_chunk (const struct qk_convback *cb, const struct room *r,
               const struct tiles *t, struct chunk ch, const float *d,
               const struct gradient_input *in, const float *scratch,
               float *places)
{
  const struct winograd_kernels *kn = r->kn;
  const struct pixels of_d
    = { d, scratch + r->zeros, cb->k * (int64_t) sizeof *d, cb->p, cb->q };
  const struct pixels floats
    = { in->x, scratch + r->zeros, cb->c * (int64_t) sizeof *in->x, cb->h,
        cb->w };
  const struct pixels bytes
    = { in->bytes, scratch + r->zero_bytes, cb->c, cb->h, cb->w };

  for (int64_t i = 0; i < ch.n; i++) {
    const struct place at = place_of (t, ch.first + i);
    float *to = places + i * kn->lanes;
    const void *p[PLACES];

    point (in->x ? &floats : &bytes, at.sample, at.row - cb->pad_top,
           at.col - cb->pad_left, SIDE, p);
    if (in->x)
      kn->seen (p, cb->c, to, r->c_step, r->panel);
    else
      kn->seen_bytes (p, in->zero, cb->c, to, r->c_step, r->panel);
    point (&of_d, at.sample, at.row, at.col, TILE, p);
    kn->taps_4x4 (p, cb->k, to + PLACES * r->c_step, r->k_step, r->panel);
  }
}

/* The products of N tiles at PLACES, in place E, are added to SUM. */
static void
weights_place (const struct qk_convback *cb, const struct room *r, int e,
               int64_t n, const float *places, float *sum)
{
  r->kn->sum_product (
    cb->k, cb->c, n, places + PLACES * r->c_step + e * r->k_step,
    places + e * r->c_step, r->panel, sum + e * r->weight_step);
}

/* What the threads have in place E is added to what the first one has. */
static void
join_sums (const struct room *r, int threads, int e, float *sum)
{
  float *x = sum + e * r->weight_step;

  for (int th = 1; th < threads; th++) {
    const float *y = x + th * PLACES * r->weight_step;

    QK_SIMD
    for (int64_t i = 0; i < r->weight_step; i++)
      x[i] += y[i];
  }
}

static void
winograd_weights (const struct qk_convback *cb, int threads, const float *d,
                  const struct gradient_input *in, float *dw, float *scratch)
{
  const struct room r = room_of (cb, threads);
  const struct tiles t = tiles_of (cb->n, cb->p, cb->q);
  const int64_t most = (t.count + threads - 1) / threads; /* of a thread */
  const int64_t rounds = (most + r.size - 1) / r.size;
  float *sum = scratch + r.weights, *places = scratch + r.chunks;

  memset (scratch + r.zeros, 0, (size_t) r.zero_bytes * sizeof *scratch);
  memset (scratch + r.zero_bytes, (int) in->zero, (size_t) cb->c);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int e = 0; e < (r.own ? threads : 1) * PLACES; e++)
      memset (sum + e * r.weight_step, 0,
              (size_t) r.weight_step * sizeof *sum);
    for (int64_t i = 0; i < rounds; i++) {
#pragma omp for schedule(static, 1) nowait
      for (int th = 0; th < threads; th++) {
        const struct chunk ch = chunk_of (&t, th, threads, r.size, i);

        weights_chunk (cb, &r, &t, ch, d, in, scratch, places + th * r.each);
        for (int e = 0; r.own && e < PLACES; e++)
          weights_place (cb, &r, e, ch.n, places + th * r.each,
                         sum + th * PLACES * r.weight_step);
      }
      if (r.own)
        continue;
#pragma omp barrier
#pragma omp for schedule(static)
      for (int e = 0; e < PLACES; e++)
        for (int th = 0; th < threads; th++)
          weights_place (cb, &r, e, chunk_of (&t, th, threads, r.size, i).n,
                         places + th * r.each, sum);
    }
#pragma omp barrier
#pragma omp for schedule(static)
    for (int e = 0; e < PLACES; e++)
      join_sums (&r, r.own ? threads : 1, e, sum);
#pragma omp for schedule(static)
    for (int64_t k = 0; k < cb->k; k++) {
      float *p[9];

      for (int j = 0; j < 9; j++)
        p[j] = dw + (k * 9 + j) * cb->c;
      r.kn->outputs_3x3 (sum + k * r.kn->lanes, r.weight_step,
                         cb->k * r.kn->lanes, cb->c, p);
    }
  }
}

const struct gradients winograd_gradients
  = { winograd_suits, winograd_scratch, winograd_data, winograd_weights };
