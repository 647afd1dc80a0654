/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wideconv.c: sums of products of uint16 and int8; see wideconv.h. */
#include "config.h"

#include <string.h>

#include "int8gemm/product.h"
#include "multiversion.h"
#include "wideconv.h"

enum {
  BLOCK_BYTES = 131072, /* of gathered rows: half of a second-level cache */
  LEAST_ROWS = 12,
  MOST_ROWS = 264,
  ALIGN = 64
};

static size_t
round_up (size_t size)
{
  return (size + ALIGN - 1) & ~(size_t) (ALIGN - 1);
}

/* Weights of an output channel. */
static int64_t
depth_of (const struct wideconv_shape *s)
{
  return s->r * s->s * (s->c / s->groups);
}

/* Bytes from one gathered row to the next. */
static int64_t
pitch_of (const struct wideconv_shape *s)
{
  return qk_product_depth (s->r * s->s * s->c);
}

static bool
is_depthwise (const struct wideconv_shape *s)
{
  return s->groups == s->c && s->k == s->c && s->c > 1;
}

/* Whether rows of pixels are the rows of the product as they are. */
static bool
is_direct (const struct wideconv_shape *s)
{
  return s->r == 1 && s->s == 1 && s->stride_h == 1 && s->stride_w == 1
         && s->groups == 1 && s->pad_top == 0 && s->pad_left == 0
         && s->p == s->h && s->q == s->w && s->c % 4 == 0;
}

static size_t
pack_size (const struct wideconv_shape *s, const struct qk_kernels *kernels)
{
  return round_up (qk_product_size (kernels, s->k / s->groups, depth_of (s)));
}

/* ---- weights -------------------------------------------------------------*/

size_t
wideconv_size (const struct wideconv_shape *s,
               const struct qk_kernels *kernels)
{
  return round_up ((size_t) s->k * sizeof (double))
         + (is_depthwise (s) ? round_up ((size_t) (s->k * depth_of (s)))
                             : (size_t) s->groups * pack_size (s, kernels));
}

/* The order for the loop over channels. */
static void
pack_depthwise (const struct wideconv_shape *s, const int8_t *weight,
                int8_t *by_tap)
{
  const int64_t taps = depth_of (s);

  for (int64_t i = 0; i < s->c; i++)
    for (int64_t t = 0; t < taps; t++)
      by_tap[t * s->c + i] = weight[i * taps + t];
}

void
wideconv_pack (const struct wideconv_shape *s,
               const struct qk_kernels *kernels, const int8_t *weight,
               int32_t z, void *memory, struct wideconv *out)
{
  /* the zero point is seen to when both products are put together */
  const struct qk_qparams bytes = { 1.0f, 0, 0, QK_U8_MAX };
  const int64_t depth = depth_of (s), kg = s->k / s->groups;
  const size_t size = pack_size (s, kernels);
  char *pack = (char *) memory + round_up ((size_t) s->k * sizeof (double));
  double *sum = memory;

  for (int64_t i = 0; i < s->k; i++) {
    int64_t all = 0;

    for (int64_t j = 0; j < depth; j++)
      all += weight[i * depth + j];
    sum[i] = (double) all;
  }
  *out = (struct wideconv){
    .shape = *s, .kernels = *kernels, .z = z, .sum = sum, .pack = pack
  };
  if (is_depthwise (s)) {
    pack_depthwise (s, weight, (int8_t *) pack);
    out->by_tap = (const int8_t *) pack;
    return;
  }
  for (int64_t g = 0; g < s->groups; g++) {
    qk_product_pack (kernels, kg, depth, weight + g * kg * depth, depth,
                     pack + (size_t) g * size);
    qk_product_range (kernels, kg, depth, sum + g * kg, &bytes,
                      pack + (size_t) g * size);
  }
}

/* ---- bytes ---------------------------------------------------------------*/

QK_LOOP (, wideconv_split,
         (const uint16_t *restrict x, int64_t n, uint8_t *restrict lo,
          uint8_t *restrict hi),
         (x, n, lo, hi))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++) {
    lo[i] = (uint8_t) (x[i] & 255);
    hi[i] = (uint8_t) (x[i] >> 8);
  }
}

QK_LOOP (, wideconv_split_real,
         (const float *restrict x, int64_t n, const struct qk_qparams *q,
          uint8_t *restrict lo, uint8_t *restrict hi),
         (x, n, q, lo, hi))
{
  const float inv = 1.0f / q->scale;
  const int32_t zp = q->zero_point, least = q->qmin, most = q->qmax;

  QK_SIMD
  for (int64_t i = 0; i < n; i++) {
    const int32_t v = qk_quantize (x[i], inv, zp, least, most);

    lo[i] = (uint8_t) (v & 255);
    hi[i] = (uint8_t) (v >> 8);
  }
}

/* ---- rows of the product -------------------------------------------------*/

int64_t
wideconv_rows (const struct wideconv_shape *s)
{
  const int64_t rows = BLOCK_BYTES / (2 * pitch_of (s) + 8 * s->k);

  return rows < LEAST_ROWS ? LEAST_ROWS : rows > MOST_ROWS ? MOST_ROWS : rows;
}

/* Where the parts of the scratch memory lie: rows of one plane, and the sums of
 * both. */
static size_t
scratch_layout (const struct wideconv_shape *s, int64_t rows, size_t *lo,
                size_t *hi)
{
  const size_t sums = round_up ((size_t) (rows * s->k) * sizeof (int32_t));

  *lo = round_up ((size_t) (rows * pitch_of (s)) + ALIGN);
  *hi = *lo + sums;
  return *hi + sums;
}

size_t
wideconv_scratch (const struct wideconv_shape *s, int64_t rows)
{
  size_t lo, hi;

  return is_depthwise (s) ? ALIGN : scratch_layout (s, rows, &lo, &hi);
}

/* The input pixel under tap (R,S) of output pixel (P,Q): its place in the
 * sample; -1: outside. */
static int64_t
pixel_at (const struct wideconv_shape *sh, int64_t p, int64_t q, int r, int s)
{
  const int64_t ih = p * sh->stride_h - sh->pad_top + (int64_t) r * sh->dil_h;
  const int64_t iw = q * sh->stride_w - sh->pad_left + (int64_t) s * sh->dil_w;

  return ih < 0 || ih >= sh->h || iw < 0 || iw >= sh->w ? -1 : ih * sh->w + iw;
}

/* What output pixel ROW sees of the plane X, group by group, to COL; FILL stands
 * for what lies outside. */
static void
gather_row (const struct wideconv_shape *sh, const uint8_t *x, int64_t row,
            uint8_t fill, uint8_t *col)
{
  const int64_t n = row / (sh->p * sh->q), p = row / sh->q % sh->p;
  const int64_t cg = sh->c / sh->groups, depth = depth_of (sh);

  x += n * sh->h * sh->w * sh->c;
  for (int r = 0; r < sh->r; r++)
    for (int s = 0; s < sh->s; s++) {
      const int64_t at = pixel_at (sh, p, row % sh->q, r, s);
      uint8_t *to = col + (r * sh->s + s) * cg;

      for (int64_t g = 0; g < sh->groups; g++, to += depth)
        if (at < 0)
          memset (to, fill, (size_t) cg);
        else
          memcpy (to, x + at * sh->c + g * cg, (size_t) cg);
    }
}

/* sum (ROWS,K) of the plane X, whose padding is FILL. */
static void
plane_sums (const struct wideconv *wc, const uint8_t *x, uint8_t fill,
            int64_t row0, int64_t rows, uint8_t *col, int32_t *sum)
{
  const struct wideconv_shape *s = &wc->shape;
  const int64_t depth = depth_of (s), kg = s->k / s->groups;
  const size_t size = pack_size (s, &wc->kernels);
  const int64_t pitch = is_direct (s) ? s->c : pitch_of (s);
  const uint8_t *a = col;

  if (is_direct (s))
    a = x + row0 * s->c;
  else
    for (int64_t i = 0; i < rows; i++)
      gather_row (s, x, row0 + i, fill, col + i * pitch);
  for (int64_t g = 0; g < s->groups; g++)
    qk_product (&wc->kernels, rows, kg, depth, a + g * depth, pitch,
                wc->pack + (size_t) g * size, false, sum + g * kg, s->k);
}

/* One channel a group: LO and HI are the pixel under a tap, W its weights. */
QK_LOOP (static, add_tap,
         (const uint8_t *restrict lo, const uint8_t *restrict hi, int64_t c,
          int32_t z, const int8_t *restrict w, int64_t *restrict acc),
         (lo, hi, c, z, w, acc))
{
  QK_SIMD
  for (int64_t i = 0; i < c; i++)
    acc[i] += (int64_t) ((((int32_t) hi[i] << 8 | lo[i]) - z) * w[i]);
}

QK_LOOP (static, add_tap_of_bytes,
         (const uint8_t *restrict x, int64_t c, int32_t z,
          const int8_t *restrict w, int64_t *restrict acc),
         (x, c, z, w, acc))
{
  QK_SIMD
  for (int64_t i = 0; i < c; i++)
    acc[i] += (int64_t) ((x[i] - z) * w[i]);
}

static void
depthwise_row (const struct wideconv *wc, const struct wideconv_planes *x,
               int64_t row, int64_t *acc)
{
  const struct wideconv_shape *sh = &wc->shape;
  const int64_t n = row / (sh->p * sh->q), p = row / sh->q % sh->p;

  memset (acc, 0, (size_t) sh->k * sizeof *acc);
  for (int r = 0; r < sh->r; r++)
    for (int s = 0; s < sh->s; s++) {
      const int64_t at = pixel_at (sh, p, row % sh->q, r, s);
      const int64_t from = (n * sh->h * sh->w + at) * sh->c;
      const int8_t *w = wc->by_tap + (r * sh->s + s) * sh->c;

      if (at < 0)
        continue;
      if (x->hi != NULL)
        add_tap (x->lo + from, x->hi + from, sh->c, wc->z, w, acc);
      else
        add_tap_of_bytes (x->lo + from, sh->c, wc->z, w, acc);
    }
}

QK_LOOP (static, put_together,
         (const int32_t *restrict lo, const int32_t *restrict hi,
          const double *restrict sum, int32_t z, int64_t k,
          int64_t *restrict acc),
         (lo, hi, sum, z, k, acc))
{
  if (hi == NULL)
    for (int64_t i = 0; i < k; i++)
      acc[i] = lo[i] - z * (int64_t) sum[i];
  else
    for (int64_t i = 0; i < k; i++)
      acc[i] = (int64_t) hi[i] * 256 + lo[i] - z * (int64_t) sum[i];
}

void
wideconv_sums (const struct wideconv *wc, const struct wideconv_planes *x,
               int64_t row0, int64_t rows, void *scratch, int64_t *acc)
{
  const struct wideconv_shape *s = &wc->shape;
  uint8_t *col = scratch;
  int32_t *lo, *hi;
  size_t at_lo, at_hi;

  if (wc->by_tap != NULL) {
    for (int64_t i = 0; i < rows; i++)
      depthwise_row (wc, x, row0 + i, acc + i * s->k);
    return;
  }
  scratch_layout (s, rows, &at_lo, &at_hi);
  lo = (int32_t *) (void *) (col + at_lo);
  hi = (int32_t *) (void *) (col + at_hi);
  plane_sums (wc, x->lo, (uint8_t) (wc->z & 255), row0, rows, col, lo);
  if (x->hi != NULL)
    plane_sums (wc, x->hi, (uint8_t) (wc->z >> 8), row0, rows, col, hi);
  for (int64_t i = 0; i < rows; i++)
    put_together (lo + i * s->k, x->hi != NULL ? hi + i * s->k : NULL, wc->sum,
                  wc->z, s->k, acc + i * s->k);
}
