/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* taps.c: the weights of PIL's antialiased resize.
 *
 * Output pixel i of a resize from IN to OUT pixels has its centre at
 * (i + 0.5) * scale with scale = IN / OUT, and is a mean of the input pixels
 * around it weighted by a filter that is stretched by max (scale, 1),
 * normalised to sum 1 and rounded to 22 bits.  "Nearest" is the one input
 * pixel that the centre lies in.
 */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image-priv.h"

/* ---- filters ---------------------------------------------------------*/

/* Each is a function of the distance from the centre, in input pixels where
 * the image grows and in output pixels where it shrinks, and 0 from SUPPORT
 * on. */
struct filter {
  const char *name;
  double support;
  double (*weight) (double d);
};

static double
box (double d)
{
  return d > -0.5 && d <= 0.5 ? 1.0 : 0.0;
}

static double
triangle (double d)
{
  d = fabs (d);
  return d < 1.0 ? 1.0 - d : 0.0;
}

static double
sinc (double d)
{
  if (d == 0.0)
    return 1.0;
  d *= M_PI;
  return sin (d) / d;
}

static double
hamming (double d)
{
  d = fabs (d);
  if (d == 0.0)
    return 1.0;
  if (d >= 1.0)
    return 0.0;
  d *= M_PI;
  return sin (d) / d * (0.54 + 0.46 * cos (d));
}

/* Keys 1981, "Cubic convolution interpolation for digital image processing",
 * with a = -1/2. */
static double
cubic (double d)
{
  const double a = -0.5;

  d = fabs (d);
  if (d < 1.0)
    return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
  if (d < 2.0)
    return (((d - 5.0) * d + 8.0) * d - 4.0) * a;
  return 0.0;
}

static double
lanczos (double d)
{
  return d >= -3.0 && d < 3.0 ? sinc (d) * sinc (d / 3.0) : 0.0;
}

static const struct filter filters[] = {
  [IMAGE_BILINEAR] = { "bilinear", 1.0, triangle },
  [IMAGE_BICUBIC] = { "bicubic", 2.0, cubic },
  [IMAGE_LANCZOS] = { "lanczos", 3.0, lanczos },
  [IMAGE_BOX] = { "box", 0.5, box },
  [IMAGE_HAMMING] = { "hamming", 1.0, hamming },
  [IMAGE_NEAREST] = { "nearest", 0.0, NULL },
};

const char *const image_filter_names[]
  = { "bilinear", "bicubic", "lanczos", "box", "hamming", "nearest", NULL };

int
image_filter_find (const char *name)
{
  int i;

  for (i = 0; i < IMAGE_FILTERS; i++)
    if (strcmp (filters[i].name, name) == 0)
      return i;
  return -EINVAL;
}

/* ---- memory ----------------------------------------------------------*/

/* Room for N numbers at *P. */
static int
reserve (int32_t **p, int64_t n)
{
  int32_t *grown = realloc (*p, (size_t) n * sizeof *grown);

  if (!grown)
    return qk_oom ("resize an image");
  *p = grown;
  return 0;
}

static int
taps_reserve (struct image_taps *t, int64_t n, int stride)
{
  int err = 0;

  if (n > t->cap_n) {
    if ((err = reserve (&t->first, n)) < 0
        || (err = reserve (&t->count, n)) < 0
        || (err = reserve (&t->back, n)) < 0)
      return err;
    t->cap_n = n;
  }
  if (n * stride > t->cap_w) {
    if ((err = reserve (&t->weight, n * stride)) < 0)
      return err;
    t->cap_w = n * stride;
  }
  return 0;
}

int64_t
image_taps_end (const struct image_taps *t)
{
  int64_t end = 0, i;

  for (i = 0; i < t->n; i++)
    if (t->first[i] + t->count[i] > end)
      end = t->first[i] + t->count[i];
  return end;
}

/* The weights in pairs, see image_taps.  None is beyond 2^23. */
static int
taps_in_pairs (struct image_taps *t)
{
  const int64_t end = image_taps_end (t);
  int64_t i;
  int most = 0, err;

  for (i = 0; i < t->n; i++)
    most = t->count[i] > most ? t->count[i] : most;
  t->pairs = (most + 1) / 2;
  if (end - t->first[0] < 2 * t->pairs) {
    t->pairs = 0;
    return 0;
  }
  if (2 * t->n * t->pairs > t->cap_part) {
    if ((err = reserve (&t->part, 2 * t->n * t->pairs)) < 0)
      return err;
    t->cap_part = 2 * t->n * t->pairs;
  }
  for (i = 0; i < t->n; i++) {
    const int64_t beyond = t->first[i] + 2 * t->pairs - end;
    const int back = beyond > 0 ? (int) beyond : 0;
    const int32_t *w = t->weight + i * t->stride;
    int32_t *part = t->part + 2 * i * t->pairs;
    int k;

    t->back[i] = back;
    for (k = 0; k < 2 * t->pairs; k += 2, part += 2) {
      const int a = k - back, b = a + 1;
      const int32_t w0 = a >= 0 && a < t->count[i] ? w[a] : 0;
      const int32_t w1 = b >= 0 && b < t->count[i] ? w[b] : 0;

      part[0] = image_pair (w0 >> 12, w1 >> 12);
      part[1] = image_pair (w0 & 4095, w1 & 4095);
    }
  }
  return 0;
}

/* ---- weights ---------------------------------------------------------*/

/* The weights W of output I, which is at CENTRE of the IN inputs; sets
 * first[I] and count[I]. */
static void
weigh_one (struct image_taps *t, const struct filter *f, double stretch,
           int64_t in, double centre, int64_t i)
{
  const double support = f->support * stretch, inverse = 1.0 / stretch;
  int64_t lo = (int64_t) (centre - support + 0.5);
  int64_t hi = (int64_t) (centre + support + 0.5);
  int32_t *weight = t->weight + i * t->stride;
  double sum = 0.0;
  int k, count;

  lo = lo < 0 ? 0 : lo;
  hi = hi > in ? in : hi;
  count = (int) (hi - lo);
  for (k = 0; k < count; k++)
    sum += f->weight (((double) (k + lo) - centre + 0.5) * inverse);
  for (k = 0; k < count; k++) {
    double w = f->weight (((double) (k + lo) - centre + 0.5) * inverse);

    if (sum != 0.0)
      w /= sum;
    w *= 1 << IMAGE_WEIGHT_BITS;
    weight[k] = (int32_t) (w < 0.0 ? w - 0.5 : w + 0.5);
  }
  for (; k < t->stride; k++)
    weight[k] = 0;
  /* the filter's ends may round to nothing: fewer pixels to add */
  while (count > 1 && weight[count - 1] == 0)
    count--;
  t->first[i] = (int32_t) lo;
  t->count[i] = count;
}

/* One input each.  PIL adds the scale up from output to output, so that its
 * rounding is that of the sum. */
static void
take_nearest (struct image_taps *t, int64_t in, double scale, int64_t first)
{
  double centre = scale * 0.5;
  int64_t i;

  for (i = 0; i < first; i++)
    centre += scale;
  for (i = 0; i < t->n; i++, centre += scale) {
    const int64_t at = (int64_t) centre;

    t->first[i] = (int32_t) (at < in ? at : in - 1);
    t->count[i] = 1;
    t->weight[i * t->stride] = 1 << IMAGE_WEIGHT_BITS;
    t->weight[i * t->stride + 1] = 0;
  }
}

int
image_taps_set (struct image_taps *t, enum image_filter filter, int64_t in,
                int64_t out, int64_t first, int64_t n)
{
  const struct filter *f = &filters[filter];
  const double scale = (double) in / (double) out;
  const double stretch = scale < 1.0 ? 1.0 : scale;
  const int stride = ((int) ceil (f->support * stretch) * 2 + 2) & ~1;
  int64_t i;
  int err = taps_reserve (t, n, stride);

  if (err)
    return err;
  t->n = n;
  t->stride = stride;
  if (filter == IMAGE_NEAREST)
    take_nearest (t, in, scale, first);
  else
    for (i = 0; i < n; i++)
      weigh_one (t, f, stretch, in, ((double) (first + i) + 0.5) * scale, i);
  return taps_in_pairs (t);
}

void
image_taps_free (struct image_taps *t)
{
  free (t->first);
  free (t->count);
  free (t->weight);
  free (t->back);
  free (t->part);
  memset (t, 0, sizeof *t);
}
