/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* webp.c: decoding WebP files with libwebp, each as a whole. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>

#include "image-priv.h"

#define FIRST_CHUNK 12

struct webp {
  const uint8_t *data;
  size_t size;
  int64_t w, h;
  char name[512]; /* of the image, for messages */
  struct image_buffer pixels;
};

static int
create (void **self)
{
  struct webp *p = calloc (1, sizeof *p);

  if (!p)
    return qk_oom ("a WebP decoder");
  *self = p;
  return 0;
}

static void
destroy (void *self)
{
  struct webp *p = self;

  image_buffer_free (&p->pixels);
  free (p);
}

static const char *
reason (VP8StatusCode status)
{
  switch (status) {
  case VP8_STATUS_NOT_ENOUGH_DATA:
    return "the file ends early";
  case VP8_STATUS_UNSUPPORTED_FEATURE:
    return "it uses a feature that libwebp does not support";
  case VP8_STATUS_OUT_OF_MEMORY:
    return "out of memory";
  default:
    return "damaged data";
  }
}

static int
damaged (const struct webp *p, VP8StatusCode status)
{
  if (status == VP8_STATUS_OUT_OF_MEMORY)
    return qk_oom ("%s", p->name);
  return qk_error (-EBADMSG, "%s: cannot be decoded as WebP: %s", p->name,
                   reason (status));
}

static uint32_t
little32 (const uint8_t *p)
{
  return (uint32_t) p[3] << 24 | (uint32_t) p[2] << 16 | (uint32_t) p[1] << 8
         | p[0];
}

/* Where the EXIF data are. */
static void
find_exif (const struct image_source *s, struct image_header *out)
{
  size_t at = FIRST_CHUNK;

  while (s->size - at >= 8) {
    const size_t n = little32 (s->data + at + 4);

    if (n > s->size - at - 8)
      return;
    if (memcmp (s->data + at, "EXIF", 4) == 0) {
      out->exif = s->data + at + 8;
      out->exif_size = n;
      return;
    }
    at += 8 + n + (n & 1);
    if (at > s->size)
      return;
  }
}

static int
open_webp (void *self, const struct image_source *source,
           struct image_header *out)
{
  struct webp *p = self;
  WebPBitstreamFeatures f;
  VP8StatusCode status;

  snprintf (p->name, sizeof p->name, "%s", source->name);
  p->data = source->data;
  p->size = source->size;
  if (source->size < FIRST_CHUNK + 8
      || little32 (source->data + 4) > source->size - 8)
    return damaged (p, VP8_STATUS_NOT_ENOUGH_DATA);
  status = WebPGetFeatures (source->data, source->size, &f);
  if (status != VP8_STATUS_OK)
    return damaged (p, status);
  if (f.has_animation)
    return qk_error (-EBADMSG,
                     "%s: an animated WebP image, expected a still "
                     "one",
                     p->name);
  out->w = p->w = f.width;
  out->h = p->h = f.height;
  out->alpha = f.has_alpha != 0;
  find_exif (source, out);
  return 0;
}

static int
decode (void *self, const struct image_want *want)
{
  struct webp *p = self;
  const size_t size = (size_t) (p->w * p->h) * 4;
  WebPDecoderConfig c;
  VP8StatusCode status;
  int64_t y;
  int err = image_buffer_reserve (&p->pixels, size + 64);

  if (err)
    return err;
  if (!WebPInitDecoderConfig (&c))
    return qk_error (-ENOSYS,
                     "%s: libwebp is of another version than its "
                     "headers",
                     p->name);
  c.output.colorspace = MODE_RGBA;
  c.output.u.RGBA.rgba = p->pixels.data;
  c.output.u.RGBA.stride = (int) (4 * p->w);
  c.output.u.RGBA.size = size;
  c.output.is_external_memory = 1;
  status = WebPDecode (p->data, p->size, &c);
  WebPFreeDecBuffer (&c.output);
  if (status != VP8_STATUS_OK)
    return damaged (p, status);
  for (y = want->y; y < want->y + want->h; y++)
    want->take (want->cookie, y, p->pixels.data + (y * p->w + want->x) * 4);
  image_buffer_trim (&p->pixels);
  return 0;
}

const struct image_decoder image_decoder_webp = {
  .name = "WebP",
  .create = create,
  .destroy = destroy,
  .open = open_webp,
  .decode = decode,
};
