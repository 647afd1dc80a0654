/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.c: gradients of 3x3 convolutions by Winograd's products, see winograd.h.
 *
 * Both are correlations of tiles of 6x6 numbers (A. Lavin, S. Gray: Fast Algorithms
 * for Convolutional Neural Networks, 2015), in points that lose less than 1, -1, 2, -2
 * do: F(4x4, 3x3) of the outputs' gradient with the weights turned round gives
 * the inputs' gradient; F(3x3, 4x4) of the inputs with tiles of 4x4 of the
 * outputs' gradient gives the weights'.  In each of the 36 places the products
 * over channels, or over tiles, are one of matrices. */
#include "config.h"

#include "gemm/winograd.h"

#include <string.h>

#include "multiversion.h"

#define TILE 4
#define SIDE 6 /* of what a tile sees */
#define PLACES (SIDE * SIDE)
#define CHUNK_FLOATS 393216    /* of what a thread has at hand: 1.5 MiB */
#define MOST_WEIGHTS (1 << 16) /* whose transforms are 36 / 9 as large */
#define LEAST_CHANNELS 32
#define MOST_OVERHANG 2 /* times as many pixels as there are */

#define UNROLL _Pragma ("GCC unroll 6")

/* ---- transforms of vectors of channels at each place ---------------------- */

#define PART static inline __attribute__ ((always_inline))
#define LANES 8

/* Channels side by side; compilers make what the CPU has of it. */
typedef float vec __attribute__ ((vector_size (LANES * sizeof (float))));

#define LOAD(v, from) memcpy (&(v), (from), sizeof (v))
#define STORE(to, v) memcpy ((to), &(v), sizeof (v))

/* The points are 0, A, -A, B, -B and infinity. */
#define A 0.625f
#define B 1.5f
#define AA (A * A)
#define BB (B * B)

/* What of the tile each point sees. */
PART void
see (const vec x[SIDE], vec o[SIDE])
{
  const vec even = x[4] - BB * x[2], odd = A * (x[3] - BB * x[1]);
  const vec even2 = x[4] - AA * x[2], odd2 = B * (x[3] - AA * x[1]);

  o[0] = AA * BB * x[0] - (AA + BB) * x[2] + x[4];
  o[1] = even + odd;
  o[2] = even - odd;
  o[3] = even2 + odd2;
  o[4] = even2 - odd2;
  o[5] = AA * BB * x[1] - (AA + BB) * x[3] + x[5];
}

/* The values of N taps, 3 or 4, in the points, over the products of the points'
 * distances. */
PART void
spread_taps (const vec *x, const int n, vec o[SIDE])
{
  const float one = 1.0f / (2.0f * AA * (AA - BB));
  const float two = 1.0f / (2.0f * BB * (BB - AA));
  const vec even = x[0] + AA * x[2], even2 = x[0] + BB * x[2];
  const vec odd = A * (n > 3 ? x[1] + AA * x[n - 1] : x[1]);
  const vec odd2 = B * (n > 3 ? x[1] + BB * x[n - 1] : x[1]);

  o[0] = x[0] * (1.0f / (AA * BB));
  o[1] = (even + odd) * one;
  o[2] = (even - odd) * one;
  o[3] = (even2 + odd2) * two;
  o[4] = (even2 - odd2) * two;
  o[5] = x[n - 1];
}

/* N outputs, 3 or 4, of the products in the points. */
PART void
gather_outputs (const vec x[SIDE], const int n, vec *o)
{
  const vec even = x[1] + x[2], odd = A * (x[1] - x[2]);
  const vec even2 = x[3] + x[4], odd2 = B * (x[3] - x[4]);

  o[0] = x[0] + even + even2;
  o[1] = odd + odd2;
  o[2] = AA * even + BB * even2;
  if (n > 3)
    o[3] = AA * odd + BB * odd2;
  o[n - 1] += x[5];
}

/* The places of the vectors P, of C channels each, to TO, STEP apart. */
QK_LOOP (static, transform_seen,
         (const float *const *p, int64_t c, float *to, int64_t step),
         (p, c, to, step))
{
  for (int64_t i = 0; i < c; i += LANES) {
    vec t[SIDE][SIDE], x[SIDE], o[SIDE];

    UNROLL
    for (int s = 0; s < SIDE; s++) {
      UNROLL
      for (int r = 0; r < SIDE; r++)
        LOAD (x[r], p[r * SIDE + s] + i);
      see (x, o);
      UNROLL
      for (int r = 0; r < SIDE; r++)
        t[r][s] = o[r];
    }
    UNROLL
    for (int r = 0; r < SIDE; r++) {
      see (t[r], o);
      UNROLL
      for (int s = 0; s < SIDE; s++)
        STORE (to + (r * SIDE + s) * step + i, o[s]);
    }
  }
}

/* The same of N x N taps, vectors P. */
PART void
transform_taps (const float *const *p, const int n, int64_t c, float *to,
                int64_t step)
{
  for (int64_t i = 0; i < c; i += LANES) {
    vec t[SIDE][TILE], x[TILE], o[SIDE];

    UNROLL
    for (int s = 0; s < n; s++) {
      UNROLL
      for (int r = 0; r < n; r++)
        LOAD (x[r], p[r * n + s] + i);
      spread_taps (x, n, o);
      UNROLL
      for (int r = 0; r < SIDE; r++)
        t[r][s] = o[r];
    }
    UNROLL
    for (int r = 0; r < SIDE; r++) {
      spread_taps (t[r], n, o);
      UNROLL
      for (int s = 0; s < SIDE; s++)
        STORE (to + (r * SIDE + s) * step + i, o[s]);
    }
  }
}

QK_LOOP (static, transform_3x3,
         (const float *const *p, int64_t c, float *to, int64_t step),
         (p, c, to, step))
{
  transform_taps (p, 3, c, to, step);
}

QK_LOOP (static, transform_4x4,
         (const float *const *p, int64_t c, float *to, int64_t step),
         (p, c, to, step))
{
  transform_taps (p, 4, c, to, step);
}

/* From the places at FROM, STEP apart, the N x N outputs, vectors P. */
PART void
transform_back (const float *from, int64_t step, const int n, int64_t c,
                float *const *p)
{
  for (int64_t i = 0; i < c; i += LANES) {
    vec t[TILE][SIDE], x[SIDE], o[TILE];

    UNROLL
    for (int s = 0; s < SIDE; s++) {
      UNROLL
      for (int r = 0; r < SIDE; r++)
        LOAD (x[r], from + (r * SIDE + s) * step + i);
      gather_outputs (x, n, o);
      UNROLL
      for (int r = 0; r < n; r++)
        t[r][s] = o[r];
    }
    UNROLL
    for (int r = 0; r < n; r++) {
      gather_outputs (t[r], n, o);
      UNROLL
      for (int s = 0; s < n; s++)
        STORE (p[r * n + s] + i, o[s]);
    }
  }
}

QK_LOOP (static, transform_to_4x4,
         (const float *from, int64_t step, int64_t c, float *const *p),
         (from, step, c, p))
{
  transform_back (from, step, 4, c, p);
}

QK_LOOP (static, transform_to_3x3,
         (const float *from, int64_t step, int64_t c, float *const *p),
         (from, step, c, p))
{
  transform_back (from, step, 3, c, p);
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

/* The SIDE x SIDE pixels from (ROW,COL) on of sample X, (H,W,C); outside of it
 * NOTHING. */
static void
point (const float *x, int64_t h, int64_t w, int64_t c, int64_t row,
       int64_t col, int side, const float *nothing, const float **p)
{
  for (int r = 0; r < side; r++)
    for (int s = 0; s < side; s++) {
      const int64_t i = row + r, j = col + s;

      *p++
        = i >= 0 && i < h && j >= 0 && j < w ? x + (i * w + j) * c : nothing;
    }
}

/* How many tiles a thread works at once. */
static int64_t
chunk_of (const struct qk_convback *cb)
{
  const int64_t n = CHUNK_FLOATS / (PLACES * (cb->c + cb->k)) / 8 * 8;

  return n < 16 ? 16 : n > 128 ? 128 : n;
}

bool
winograd_suits (const struct qk_backend_class *lib,
                const struct qk_convback *cb)
{
  const enum qk_cpu_level level = qk_cpu_current ();
  const struct tiles t = tiles_of (1, cb->h, cb->w);

  return lib != NULL && lib->sgemm != NULL && level >= QK_CPU_AVX2
         && level < QK_CPU_AVX512 && !cb->blocked && cb->r == 3 && cb->s == 3
         && cb->stride_h == 1 && cb->stride_w == 1 && cb->dil_h == 1
         && cb->dil_w == 1 && cb->groups == 1 && cb->c % LANES == 0
         && cb->k % LANES == 0 && cb->c >= LEAST_CHANNELS
         && cb->k >= LEAST_CHANNELS && cb->c * cb->k <= MOST_WEIGHTS
         && t.count * TILE * TILE <= MOST_OVERHANG * cb->h * cb->w;
}

/* Scratch memory, in floats: the weights' places, a vector of zeros, and for each
 * thread the places of a chunk of tiles and a vector that nobody reads. */
struct room {
  int64_t nothing, chunks; /* where they begin */
  int64_t chunk, each;     /* tiles and floats of a thread */
};

static struct room
room_of (const struct qk_convback *cb)
{
  const int64_t most = ((cb->c > cb->k ? cb->c : cb->k) + 15) / 16 * 16;
  struct room r;

  r.chunk = chunk_of (cb);
  r.each = PLACES * r.chunk * (cb->c + cb->k) + most;
  r.nothing = PLACES * cb->c * cb->k;
  r.chunks = r.nothing + most;
  return r;
}

size_t
winograd_scratch (const struct qk_convback *cb, int threads)
{
  const struct room r = room_of (cb);

  return (size_t) (r.chunks + threads * r.each) * sizeof (float);
}

/* The vector of zeros. */
static const float *
clear_nothing (const struct room *r, float *scratch)
{
  return memset (scratch + r->nothing, 0,
                 (size_t) (r->chunks - r->nothing) * sizeof *scratch);
}

/* ---- the gradient of the input ------------------------------------------------*/

/* The weights turned round: (36,K,C). */
static void
weights_to_places (const struct qk_convback *cb, int threads, const float *w,
                   float *to)
{
  const int64_t c = cb->c, step = cb->k * c;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t k = 0; k < cb->k; k++) {
    const float *p[9];

    for (int t = 0; t < 9; t++)
      p[t] = w + (k * 9 + 8 - t) * c;
    transform_3x3 (p, c, to + k * c, step);
  }
}

/* Tiles FIRST .. FIRST + N of dx. */
static bool
data_chunk (const struct qk_backend_class *lib, const struct qk_convback *cb,
            const struct room *r, const struct tiles *t, int64_t first,
            int64_t n, const float *d, float *dx, const float *weights,
            float *places)
{
  const int64_t c = cb->c, k = cb->k, of_d = r->chunk * k,
                of_dx = r->chunk * c;
  float *products = places + PLACES * of_d;
  float *unread = products + PLACES * of_dx;
  bool ok = true;

  for (int64_t i = 0; i < n; i++) {
    const struct place at = place_of (t, first + i);
    const float *p[PLACES];

    point (d + at.sample * cb->p * cb->q * k, cb->p, cb->q, k,
           at.row - (2 - cb->pad_top), at.col - (2 - cb->pad_left), SIDE,
           weights + r->nothing, p);
    transform_seen (p, k, places + i * k, of_d);
  }
  for (int e = 0; e < PLACES; e++)
    ok = lib->sgemm (false, false, n, c, k, places + e * of_d, k,
                     weights + e * k * c, c, 0.0f, products + e * of_dx, c)
         && ok;
  for (int64_t i = 0; i < n; i++) {
    const struct place at = place_of (t, first + i);
    float *y = dx + at.sample * cb->h * cb->w * c, *p[TILE * TILE];

    for (int j = 0; j < TILE * TILE; j++) {
      const int64_t h = at.row + j / TILE, w = at.col + j % TILE;

      p[j] = h < cb->h && w < cb->w ? y + (h * cb->w + w) * c : unread;
    }
    transform_to_4x4 (products + i * c, of_dx, c, p);
  }
  return ok;
}

bool
winograd_data (const struct qk_backend_class *lib,
               const struct qk_convback *cb, int threads, const float *d,
               const float *w, float *dx, float *scratch)
{
  const struct room r = room_of (cb);
  const struct tiles t = tiles_of (cb->n, cb->h, cb->w);
  const int64_t chunks = (t.count + r.chunk - 1) / r.chunk;
  int failed = 0;

  clear_nothing (&r, scratch);
  weights_to_places (cb, threads, w, scratch);
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : failed)
  for (int th = 0; th < threads; th++)
    for (int64_t i = chunks * th / threads; i < chunks * (th + 1) / threads;
         i++) {
      const int64_t first = i * r.chunk, left = t.count - first;

      failed += !data_chunk (lib, cb, &r, &t, first,
                             left < r.chunk ? left : r.chunk, d, dx, scratch,
                             scratch + r.chunks + th * r.each);
    }
  return failed == 0;
}

/* ---- the gradient of the weights ----------------------------------------------*/

/* Tile I as places of the input and of the outputs' gradient. */
static void
tile_to_places (const struct qk_convback *cb, const struct tiles *t, int64_t i,
                const float *d, const float *x, const float *nothing,
                float *of_x, float *of_d, int64_t chunk)
{
  const struct place at = place_of (t, i);
  const float *p[PLACES];

  point (x + at.sample * cb->h * cb->w * cb->c, cb->h, cb->w, cb->c,
         at.row - cb->pad_top, at.col - cb->pad_left, SIDE, nothing, p);
  transform_seen (p, cb->c, of_x, chunk * cb->c);
  point (d + at.sample * cb->p * cb->q * cb->k, cb->p, cb->q, cb->k, at.row,
         at.col, TILE, nothing, p);
  transform_4x4 (p, cb->k, of_d, chunk * cb->k);
}

bool
winograd_weights (const struct qk_backend_class *lib,
                  const struct qk_convback *cb, int threads, const float *d,
                  const float *x, float *dw, float *scratch)
{
  const struct room r = room_of (cb);
  const struct tiles t = tiles_of (cb->n, cb->p, cb->q);
  const int64_t c = cb->c, k = cb->k, chunk = r.chunk * threads;
  float *of_x = scratch + r.chunks, *of_d = of_x + PLACES * chunk * c;
  const float *nothing = clear_nothing (&r, scratch);
  int failed = 0;

#pragma omp parallel num_threads(threads) reduction(+ : failed)
  {
    for (int64_t first = 0; first < t.count; first += chunk) {
      const int64_t n = t.count - first < chunk ? t.count - first : chunk;

#pragma omp for schedule(static)
      for (int64_t i = 0; i < n; i++)
        tile_to_places (cb, &t, first + i, d, x, nothing, of_x + i * c,
                        of_d + i * k, chunk);
#pragma omp for schedule(static)
      for (int e = 0; e < PLACES; e++)
        failed += !lib->sgemm (
          true, false, k, c, n, of_d + e * chunk * k, k, of_x + e * chunk * c,
          c, first > 0 ? 1.0f : 0.0f, scratch + e * k * c, c);
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < k; i++) {
      float *p[9];

      for (int j = 0; j < 9; j++)
        p[j] = dw + (i * 9 + j) * c;
      transform_to_3x3 (scratch + i * c, k * c, c, p);
    }
  }
  return failed == 0;
}
