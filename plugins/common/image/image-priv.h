/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image-priv.h: what a decoder of a file format offers; render.c and file.c
 * know of formats nothing else. */
#ifndef QATKIT_IMAGE_PRIV_H
#define QATKIT_IMAGE_PRIV_H

#include "image.h"

/* A block of memory that grows and is used again. */
struct image_buffer {
  uint8_t *data;
  size_t size;
};

/* Room for SIZE bytes, zeroed where they are new: vector loads reach beyond
 * the pixels, and weigh them with 0.  -ENOMEM. */
int image_buffer_reserve (struct image_buffer *b, size_t size);
/* Give back what is larger than most images need. */
void image_buffer_trim (struct image_buffer *b);
void image_buffer_free (struct image_buffer *b);

/* A file in memory; borrowed until the image was decoded. */
struct image_source {
  const uint8_t *data;
  size_t size;
  const char *name; /* for messages */
  bool numbers;     /* of image_options */
};

/* What its header says. */
struct image_header {
  int64_t w, h;
  bool alpha;          /* pixels may be transparent */
  const uint8_t *exif; /* a TIFF structure within the file, or NULL */
  size_t exif_size;
};

/* Receives row Y of the image: the W pixels asked for, four bytes each, red,
 * green, blue and alpha; they may be changed. */
typedef void (*image_take_fn) (void *cookie, int64_t y, uint8_t *row);

/* Columns X .. X+W-1 and rows Y .. Y+H-1, in this order, of the image. */
struct image_want {
  int64_t x, y, w, h;
  image_take_fn take;
  void *cookie;
};

struct image_decoder {
  const char *name; /* "JPEG" */
  int (*create) (void **self);
  void (*destroy) (void *self);
  /* Read the header.  -EBADMSG, naming the file. */
  int (*open) (void *self, const struct image_source *source,
               struct image_header *out);
  /* Decode at 1/D of the size, D 2, 4 or 8; returns what was agreed on.
   * (optional; default: 1) */
  int (*reduce) (void *self, int d);
  /* Decode what was opened last, once; no more than is needed. */
  int (*decode) (void *self, const struct image_want *want);
};

/* Pixels instead of a file, rows STRIDE bytes apart; of the decoder only decode
 * is used. */
struct image_pixels {
  const uint8_t *data;
  size_t stride;
  int64_t w, h;
  int channels; /* 1, 3 or 4 */
  struct image_buffer row;
};

/* -EINVAL where A is no image. */
int image_pixels_set (struct image_pixels *p, const struct qk_sample_array *a);
extern const struct image_decoder image_decoder_pixels;

extern const struct image_decoder image_decoder_jpeg, image_decoder_png,
  image_decoder_webp;

/* -EBADMSG for a size that is nothing or more than is accepted. */
int image_check_size (const char *name, int64_t w, int64_t h);

/* ---- resize ----------------------------------------------------------*/

/* 32 - 8 - 2: a sum of bytes fits an int32. */
#define IMAGE_WEIGHT_BITS 22

/* Two numbers of 16 bits, either sign, in one of 32. */
static inline int32_t
image_pair (int32_t a, int32_t b)
{
  return (int32_t) ((uint32_t) b << 16 | ((uint32_t) a & 0xffff));
}

/* ---- orientation -----------------------------------------------------*/

/* How the image is to be turned, after EXIF: first axes are swapped, then
 * columns and rows counted from the other end of what the file has. */
struct image_turn {
  bool swap, mirror_x, mirror_y;
};

/* The turn that the EXIF data of a file ask for; none where they are missing
 * or damaged. */
struct image_turn image_turn_read (const struct image_header *h);
/* The TIFF structure in the EXIF marker of a JPEG file. */
void image_exif_of_jpeg (const uint8_t *data, size_t size,
                         struct image_header *h);

#endif /* QATKIT_IMAGE_PRIV_H */
