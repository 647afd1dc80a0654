/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* png.c: decoding PNG files with libpng.
 *
 * Of 16-bit samples the upper byte is taken, as PIL takes it; grey levels of
 * fewer bits become the whole range 0 to 255; a colour key is alpha.  Gamma
 * and colour profiles are left alone, as they are by PIL. */
#include "config.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "image-priv.h"

#define SIGNATURE 8
#define MOST_INFLATED 1032 /* deflate's best ratio */

struct png {
  png_structp png;
  png_infop info;
  const uint8_t *data; /* the file, and how much of it was read */
  size_t size, at;
  int64_t w, h;
  int passes;
  bool numbers;             /* of image_source */
  int divisor;              /* of what libpng makes of them */
  int failure;              /* errno value */
  char what[200];           /* what libpng said */
  char name[512];           /* of the image, for messages */
  struct image_buffer rows; /* one row, or all of an interlaced image */
  png_bytep *row;
};

/* ---- libpng's calls --------------------------------------------------*/

static void
on_error (png_structp png, png_const_charp message)
{
  struct png *p = png_get_error_ptr (png);

  snprintf (p->what, sizeof p->what, "%s", message);
  png_longjmp (png, 1);
}

/* Odd text chunks and the like leave a usable image. */
static void
on_warning (png_structp png, png_const_charp message)
{
  (void) png;
  (void) message;
}

static void
on_read (png_structp png, png_bytep to, size_t n)
{
  struct png *p = png_get_io_ptr (png);

  if (n > p->size - p->at)
    png_error (png, "the file ends early");
  memcpy (to, p->data + p->at, n);
  p->at += n;
}

static void
png_close (struct png *p)
{
  if (p->png)
    png_destroy_read_struct (&p->png, &p->info, NULL);
  p->png = NULL;
  p->info = NULL;
}

static int
damaged (struct png *p)
{
  png_close (p);
  return qk_error (-EBADMSG, "%s: cannot be decoded as PNG: %s", p->name,
                   p->what);
}

static int
create (void **self)
{
  struct png *p = calloc (1, sizeof *p);

  if (!p)
    return qk_oom ("a PNG decoder");
  *self = p;
  return 0;
}

static void
destroy (void *self)
{
  struct png *p = self;

  png_close (p);
  image_buffer_free (&p->rows);
  free (p->row);
  free (p);
}

/* ---- header ----------------------------------------------------------*/

static uint32_t
big32 (const uint8_t *p)
{
  return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8
         | p[3];
}

/* Walk over the chunks: whether the last one, IEND, is there, and where the
 * EXIF data are. */
static bool
walk_chunks (const struct image_source *s, struct image_header *out)
{
  size_t at = SIGNATURE;

  while (s->size - at >= 12) {
    const uint32_t n = big32 (s->data + at);

    if (n > s->size - at - 12)
      return false;
    if (memcmp (s->data + at + 4, "IEND", 4) == 0)
      return true;
    if (memcmp (s->data + at + 4, "eXIf", 4) == 0 && !out->exif) {
      out->exif = s->data + at + 8;
      out->exif_size = n;
    }
    at += 12 + (size_t) n;
  }
  return false;
}

/* Entry I of a palette becomes the grey I. */
static void
show_indices (struct png *p)
{
  const int n = 1 << png_get_bit_depth (p->png, p->info);
  png_color grey[256];

  for (int i = 0; i < n; i++)
    grey[i].red = grey[i].green = grey[i].blue = (png_byte) i;
  png_set_PLTE (p->png, p->info, grey, n);
  png_set_palette_to_rgb (p->png);
}

/* Every image becomes rows of red, green, blue and alpha. */
static void
set_transforms (struct png *p, struct image_header *out)
{
  const int type = png_get_color_type (p->png, p->info);
  const int depth = png_get_bit_depth (p->png, p->info);
  const bool key
    = !p->numbers && png_get_valid (p->png, p->info, PNG_INFO_tRNS) != 0;

  if (p->numbers && depth == 16)
    png_error (p->png, "it has 16 bits, expected 8 at most for categories");
  if (type == PNG_COLOR_TYPE_PALETTE && p->numbers) {
    png_free_data (p->png, p->info, PNG_FREE_TRNS, 0);
    show_indices (p);
  } else if (type == PNG_COLOR_TYPE_PALETTE)
    png_set_palette_to_rgb (p->png);
  if (p->numbers && type == PNG_COLOR_TYPE_GRAY && depth == 1)
    p->divisor = 255;
  if (type == PNG_COLOR_TYPE_GRAY && depth < 8)
    png_set_expand_gray_1_2_4_to_8 (p->png);
  if (key)
    png_set_tRNS_to_alpha (p->png);
  if (depth == 16)
    png_set_strip_16 (p->png);
  if (type == PNG_COLOR_TYPE_GRAY || type == PNG_COLOR_TYPE_GRAY_ALPHA)
    png_set_gray_to_rgb (p->png);
  out->alpha = key || (type & PNG_COLOR_MASK_ALPHA) != 0;
  if (!out->alpha)
    png_set_add_alpha (p->png, 0xff, PNG_FILLER_AFTER);
  p->passes = png_set_interlace_handling (p->png);
}

/* In a function of its own, so that setjmp's caller keeps no locals. */
static void
read_info (struct png *p, struct image_header *out)
{
  png_set_user_limits (p->png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
  png_set_read_fn (p->png, p, on_read);
  png_read_info (p->png, p->info);
  out->w = p->w = png_get_image_width (p->png, p->info);
  out->h = p->h = png_get_image_height (p->png, p->info);
  if ((uint64_t) out->h * (png_get_rowbytes (p->png, p->info) + 1)
      > (uint64_t) p->size * MOST_INFLATED)
    png_error (p->png, "it has fewer bytes than its size could be packed in");
  set_transforms (p, out);
}

static int
open_png (void *self, const struct image_source *source,
          struct image_header *out)
{
  struct png *p = self;

  png_close (p);
  snprintf (p->name, sizeof p->name, "%s", source->name);
  p->data = source->data;
  p->size = source->size;
  p->at = 0;
  p->numbers = source->numbers;
  p->divisor = 1;
  if (!walk_chunks (source, out))
    return qk_error (-EBADMSG, "%s: truncated PNG: it has no end", p->name);
  p->png
    = png_create_read_struct (PNG_LIBPNG_VER_STRING, p, on_error, on_warning);
  p->info = p->png ? png_create_info_struct (p->png) : NULL;
  if (!p->info) {
    png_close (p);
    return qk_oom ("a PNG decoder");
  }
  if (setjmp (png_jmpbuf (p->png)))
    return damaged (p);
  read_info (p, out);
  return 0;
}

/* ---- decoding --------------------------------------------------------*/

static void
deliver (const struct png *p, const struct image_want *w, int64_t y,
         uint8_t *row)
{
  if (p->divisor > 1)
    for (int64_t i = 0; i < 4 * w->w; i++)
      if (i % 4 != 3)
        row[i] = (uint8_t) (row[i] / p->divisor);
  w->take (w->cookie, y, row);
}

static void
decode_rows (struct png *p, const struct image_want *w)
{
  int64_t y;

  png_read_update_info (p->png, p->info);
  for (y = 0; y < w->y + w->h; y++) {
    png_read_row (p->png, p->rows.data, NULL);
    if (y >= w->y)
      deliver (p, w, y, p->rows.data + 4 * w->x);
  }
}

static void
decode_interlaced (struct png *p, const struct image_want *w)
{
  int64_t y;

  png_read_update_info (p->png, p->info);
  for (y = 0; y < p->h; y++)
    p->row[y] = p->rows.data + (size_t) (4 * p->w * y);
  png_read_image (p->png, p->row);
  for (y = w->y; y < w->y + w->h; y++)
    deliver (p, w, y, p->row[y] + 4 * w->x);
}

static int
decode (void *self, const struct image_want *want)
{
  struct png *p = self;
  const bool interlaced = p->passes > 1;
  int err = image_buffer_reserve (
    &p->rows, (size_t) (4 * p->w * (interlaced ? p->h : 1)) + 64);

  if (err == 0 && interlaced) {
    free (p->row);
    p->row = calloc ((size_t) p->h, sizeof *p->row);
    if (!p->row)
      err = qk_oom ("%s: %lld rows", p->name, (long long) p->h);
  }
  if (err)
    return err;
  if (setjmp (png_jmpbuf (p->png)))
    return damaged (p);
  if (interlaced)
    decode_interlaced (p, want);
  else
    decode_rows (p, want);
  png_close (p);
  image_buffer_trim (&p->rows);
  return 0;
}

const struct image_decoder image_decoder_png = {
  .name = "PNG",
  .create = create,
  .destroy = destroy,
  .open = open_png,
  .decode = decode,
};
