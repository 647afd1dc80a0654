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
               const struct qk_qparams *in_q, void *memory,
               struct wideconv *out)
{
  /* that of two planes is seen to when both products are put together; of one
   * plane the product may fit int32 only without it */
  const struct qk_qparams bytes
    = { 1.0f, qk_grid_is_wide (in_q) ? 0 : in_q->zero_point, 0, QK_U8_MAX };
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
  *out = (struct wideconv){ .shape = *s,
                            .kernels = *kernels,
                            .z = in_q->zero_point,
                            .sum = sum,
                            .pack = pack };
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
static inline int64_t
pixel_at (const struct wideconv_shape *sh, int64_t p, int64_t q, int r, int s)
{
  const int64_t ih = p * sh->stride_h - sh->pad_top + (int64_t) r * sh->dil_h;
  const int64_t iw = q * sh->stride_w - sh->pad_left + (int64_t) s * sh->dil_w;

  return ih < 0 || ih >= sh->h || iw < 0 || iw >= sh->w ? -1 : ih * sh->w + iw;
}

/* The S pixels from X on, of which the first is column COLUMN of a line, group by
 * group to TO; FILL stands for what lies outside, which the whole line does
 * where X is NULL. */
static void
gather_line (const struct wideconv_shape *sh, const uint8_t *x, int64_t column,
             uint8_t fill, uint8_t *to)
{
  const int64_t cg = sh->c / sh->groups, depth = depth_of (sh);

  if (x != NULL && sh->groups == 1 && sh->dil_w == 1 && column >= 0
      && column + sh->s <= sh->w) {
    memcpy (to, x + column * sh->c, (size_t) (sh->s * sh->c));
    return;
  }
  for (int s = 0; s < sh->s; s++, column += sh->dil_w)
    for (int64_t g = 0; g < sh->groups; g++) {
      uint8_t *out = to + g * depth + s * cg;

      if (x == NULL || column < 0 || column >= sh->w)
        memset (out, fill, (size_t) cg);
      else
        memcpy (out, x + column * sh->c + g * cg, (size_t) cg);
    }
}

/* What ROWS output pixels from ROW on see of the plane X to COL, PITCH bytes
 * each. */
static void
gather_rows (const struct wideconv_shape *sh, const uint8_t *x, int64_t row,
             int64_t rows, uint8_t fill, int64_t pitch, uint8_t *col)
{
  const int64_t cg = sh->c / sh->groups;

  for (int64_t end = row + rows; row < end; row++, col += pitch) {
    const int64_t line = row / sh->q;
    const int64_t column = row % sh->q * sh->stride_w - sh->pad_left;
    const uint8_t *sample = x + line / sh->p * sh->h * sh->w * sh->c;
    int64_t ih = line % sh->p * sh->stride_h - sh->pad_top;

    for (int r = 0; r < sh->r; r++, ih += sh->dil_h)
      gather_line (sh,
                   ih >= 0 && ih < sh->h ? sample + ih * sh->w * sh->c : NULL,
                   column, fill, col + (int64_t) r * sh->s * cg);
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
    gather_rows (s, x, row0, rows, fill, pitch, col);
  for (int64_t g = 0; g < s->groups; g++)
    qk_product (&wc->kernels, rows, kg, depth, a + g * depth, pitch,
                wc->pack + (size_t) g * size, false, sum + g * kg, s->k);
}

/* Part of the loop below, for each level of CPU that it is compiled for. */
#define INLINE static inline __attribute__ ((always_inline))

/* Channels side by side, and taps whose products' sum fits int32. */
enum { LANES = 16, MOST_TAPS = 128 };

/* N channels, LANES at most, from C0 on of the output pixel (P,Q) of the sample
 * that begins at element FROM. */
INLINE void
depthwise_piece (const struct wideconv *wc, const struct wideconv_planes *x,
                 int64_t from, int64_t p, int64_t q, int64_t c0, int n,
                 double *restrict acc)
{
  const struct wideconv_shape *sh = &wc->shape;
  const int8_t *restrict w = wc->by_tap + c0;
  int32_t sum[LANES] = { 0 };
  int taps = 0;

  for (int i = 0; i < n; i++)
    acc[i] = 0;
  for (int r = 0; r < sh->r; r++)
    for (int s = 0; s < sh->s; s++, w += sh->c) {
      const int64_t pixel = pixel_at (sh, p, q, r, s);
      const int64_t at = from + pixel * sh->c + c0;
      const uint8_t *restrict lo, *restrict hi;

      if (pixel < 0)
        continue;
      lo = x->lo + at;
      hi = x->hi != NULL ? x->hi + at : NULL;
      if (hi != NULL) {
        QK_SIMD
        for (int i = 0; i < n; i++)
          sum[i] += (((int32_t) hi[i] << 8 | lo[i]) - wc->z) * w[i];
      } else {
        QK_SIMD
        for (int i = 0; i < n; i++)
          sum[i] += (lo[i] - wc->z) * w[i];
      }
      if (++taps % MOST_TAPS != 0)
        continue;
      for (int i = 0; i < n; i++) {
        acc[i] += (double) sum[i];
        sum[i] = 0;
      }
    }
  QK_SIMD
  for (int i = 0; i < n; i++)
    acc[i] += (double) sum[i];
}

/* ROWS output pixels of one channel a group, from pixel ROW on. */
QK_LOOP (static, depthwise_sums,
         (const struct wideconv *wc, const struct wideconv_planes *x,
          int64_t row, int64_t rows, double *acc),
         (wc, x, row, rows, acc))
{
  const struct wideconv_shape *sh = &wc->shape;

  for (int64_t end = row + rows; row < end; row++, acc += sh->c) {
    const int64_t line = row / sh->q, q = row % sh->q, p = line % sh->p;
    const int64_t from = line / sh->p * sh->h * sh->w * sh->c;
    int64_t c = 0;

    for (; c + LANES <= sh->c; c += LANES)
      depthwise_piece (wc, x, from, p, q, c, LANES, acc + c);
    if (c < sh->c)
      depthwise_piece (wc, x, from, p, q, c, (int) (sh->c - c), acc + c);
  }
}

/* ROWS rows of the sums of both planes; HI is NULL where there is one.  All of
 * it is exact in double, which vectors turn to float faster than int64. */
QK_LOOP (static, put_together,
         (const struct wideconv *wc, const int32_t *restrict lo,
          const int32_t *restrict hi, int64_t rows, double *restrict acc),
         (wc, lo, hi, rows, acc))
{
  const double *restrict sum = wc->sum;
  const int64_t k = wc->shape.k;
  const double z = wc->z;

  for (int64_t at = 0; at < rows * k; at += k)
    if (hi == NULL) {
      for (int64_t i = 0; i < k; i++)
        acc[at + i] = (double) lo[at + i];
    } else {
      QK_SIMD
      for (int64_t i = 0; i < k; i++)
        acc[at + i]
          = (double) hi[at + i] * 256.0 + (double) lo[at + i] - z * sum[i];
    }
}

void
wideconv_sums (const struct wideconv *wc, const struct wideconv_planes *x,
               int64_t row0, int64_t rows, void *scratch, double *acc)
{
  const struct wideconv_shape *s = &wc->shape;
  uint8_t *col = scratch;
  int32_t *lo, *hi;
  size_t at_lo, at_hi;

  if (wc->by_tap != NULL) {
    depthwise_sums (wc, x, row0, rows, acc);
    return;
  }
  scratch_layout (s, rows, &at_lo, &at_hi);
  lo = (int32_t *) (void *) (col + at_lo);
  hi = (int32_t *) (void *) (col + at_hi);
  plane_sums (wc, x->lo, (uint8_t) (wc->z & 255), row0, rows, col, lo);
  if (x->hi != NULL)
    plane_sums (wc, x->hi, (uint8_t) (wc->z >> 8), row0, rows, col, hi);
  put_together (wc, lo, x->hi != NULL ? hi : NULL, rows, acc);
}
