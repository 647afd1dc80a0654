/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pixels.c: images that are in memory as pixels already. */
#include "config.h"

#include <stdio.h>

#include "image-priv.h"

static bool
has_channels (const struct qk_shape *s)
{
  return s->ndim == 2
         || (s->ndim == 3
             && (s->dims[2] == 1 || s->dims[2] == 3 || s->dims[2] == 4));
}

int
image_pixels_set (struct image_pixels *p, const struct qk_sample_array *a)
{
  char shape[120];
  int64_t row;

  if (a->dtype != QK_U8 || !has_channels (&a->shape))
    return qk_error (-EINVAL,
                     "image: %s %s, expected bytes of the shape (height,width,"
                     "channels) with 1, 3 or 4 channels",
                     qk_dtype_name (a->dtype),
                     qk_shape_print (&a->shape, shape, sizeof shape));
  p->h = a->shape.dims[0];
  p->w = a->shape.dims[1];
  p->channels = a->shape.ndim == 3 ? (int) a->shape.dims[2] : 1;
  row = p->w * p->channels;
  p->data = a->data;
  p->stride = a->stride > 0 ? a->stride : (size_t) row;
  if (p->data == NULL || p->stride < (size_t) row)
    return qk_error (-EINVAL,
                     "image: rows of %lld bytes are %zu apart, expected no "
                     "less, and data",
                     (long long) row, p->stride);
  return 0;
}

/* N pixels to red, green, blue and alpha. */
static void
widen (const uint8_t *from, int channels, int64_t n, uint8_t *to)
{
  const int green = channels < 3 ? 0 : 1, blue = channels < 3 ? 0 : 2;
  int64_t i;

  for (i = 0; i < n; i++, from += channels, to += 4) {
    to[0] = from[0];
    to[1] = from[green];
    to[2] = from[blue];
    to[3] = channels == 4 ? from[3] : 255;
  }
}

static int
decode (void *self, const struct image_want *want)
{
  struct image_pixels *p = self;
  int64_t y;
  int err = image_buffer_reserve (&p->row, (size_t) want->w * 4 + 64);

  for (y = want->y; err == 0 && y < want->y + want->h; y++) {
    widen (p->data + (size_t) y * p->stride + want->x * p->channels,
           p->channels, want->w, p->row.data);
    want->take (want->cookie, y, p->row.data);
  }
  return err;
}

const struct image_decoder image_decoder_pixels
  = { .name = "pixels", .decode = decode };

int
image_norm_array (const struct image_norm *norm,
                  const struct qk_sample_array *a, struct image_size size,
                  float *out)
{
  const int64_t row = size.w * norm->channels;
  const struct qk_shape want = { 3, { size.h, size.w, norm->channels } };
  const char *data = a->data;
  const size_t stride = a->stride > 0 ? a->stride : (size_t) row * sizeof *out;
  char found[120], text[120];
  int64_t y, i;
  int c = 0;

  if (!qk_shape_equal (&a->shape, &want) || data == NULL
      || stride % sizeof *out != 0 || stride < (size_t) row * sizeof *out)
    return qk_error (
      -EINVAL,
      "image: floats of the shape %s with rows %zu bytes apart, "
      "expected %s, from 0 to 1: bytes can have any size",
      qk_shape_print (&a->shape, found, sizeof found), stride,
      qk_shape_print (&want, text, sizeof text));
  for (y = 0; y < size.h; y++, data += stride)
    for (i = 0; i < row; i++, out++, c = c + 1 == norm->channels ? 0 : c + 1)
      *out = (((const float *) (const void *) data)[i] - norm->mean[c])
             / norm->std[c];
  return 0;
}
