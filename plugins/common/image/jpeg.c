/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jpeg.c: decoding JPEG files with libjpeg. */
#include "config.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "image-priv.h"

/* Rows asked of libjpeg at once: the most an iMCU row holds. */
#define ROWS 16

/* Rows do not start at a multiple of 16: libjpeg-turbo writes such rows past
 * the caches, and they are read at once. */
#define ROW_START 8
/* A progressive file with more scans is refused: each one walks the whole
 * image, so that a small file could keep a decoder busy for hours. */
#define MAX_SCANS 500
/* libjpeg's own memory: a progressive image of IMAGE_MAX_PIXELS. */
#define MAX_MEMORY (1536L << 20)
/* Columns decoded beside those needed, so that smooth chroma upsampling sees
 * the same neighbours as in the whole image. */
#define MARGIN 8
/* How far from its end a whole file has its end-of-image marker; some
 * cameras append padding. */
#define EOI_WINDOW 4096

struct jpeg {
  struct jpeg_decompress_struct cinfo;
  struct jpeg_error_mgr err;
  struct jpeg_progress_mgr progress;
  jmp_buf escape;
  bool created;   /* cinfo holds memory */
  bool truncated; /* libjpeg met the end of the data too early */
  int failure;    /* errno value of what ended in escape */
  char what[JMSG_LENGTH_MAX];
  char name[512];           /* of the image, for messages */
  bool whole;               /* it ends with an end-of-image marker */
  struct image_buffer rows; /* ROWS decoded rows of 4-byte pixels */
};

/* ---- libjpeg's errors ------------------------------------------------*/

static void
on_error (j_common_ptr c)
{
  struct jpeg *r = c->client_data;

  c->err->format_message (c, r->what);
  r->failure = c->err->msg_code == JERR_OUT_OF_MEMORY ? -ENOMEM : -EBADMSG;
  longjmp (r->escape, 1);
}

static void
on_message (j_common_ptr c, int level)
{
  struct jpeg *r = c->client_data;

  if (level >= 0)
    return; /* traces */
  c->err->num_warnings++;
  /* other warnings (stray bytes, odd codes) leave a usable image */
  if ((c->err->msg_code == JWRN_JPEG_EOF
       || c->err->msg_code == JWRN_HIT_MARKER)
      && !r->truncated) {
    r->truncated = true;
    c->err->format_message (c, r->what);
  }
}

static void
on_output (j_common_ptr c)
{
  (void) c;
}

static void
on_progress (j_common_ptr c)
{
  struct jpeg *r = c->client_data;

  if (r->cinfo.input_scan_number > MAX_SCANS) {
    snprintf (r->what, sizeof r->what, "more than %d scans", MAX_SCANS);
    r->failure = -EBADMSG;
    longjmp (r->escape, 1);
  }
}

static void
jpeg_destroy_self (void *self)
{
  struct jpeg *r = self;

  if (!r)
    return;
  if (r->created)
    jpeg_destroy_decompress (&r->cinfo);
  image_buffer_free (&r->rows);
  free (r);
}

static int
jpeg_create (void **self)
{
  struct jpeg *r = calloc (1, sizeof *r);

  if (!r)
    return qk_oom ("a JPEG decoder");
  r->cinfo.err = jpeg_std_error (&r->err);
  r->err.error_exit = on_error;
  r->err.emit_message = on_message;
  r->err.output_message = on_output;
  r->cinfo.client_data = r;
  if (setjmp (r->escape)) {
    free (r);
    return qk_oom ("a JPEG decoder");
  }
  jpeg_create_decompress (&r->cinfo);
  r->created = true;
  r->progress.progress_monitor = on_progress;
  r->cinfo.progress = &r->progress;
  r->cinfo.mem->max_memory_to_use = MAX_MEMORY;
  *self = r;
  return 0;
}

/* ---- header ----------------------------------------------------------*/

/* Whether the data end with an end-of-image marker. */
static bool
ends_whole (const uint8_t *data, size_t size)
{
  const size_t from = size > EOI_WINDOW ? size - EOI_WINDOW : 0;
  size_t i;

  for (i = size; i >= from + 2; i--)
    if (data[i - 2] == 0xff && data[i - 1] == 0xd9)
      return true;
  return false;
}

static int
damaged (struct jpeg *r)
{
  jpeg_abort_decompress (&r->cinfo);
  return qk_error (r->failure, "%s: cannot be decoded as JPEG: %s", r->name,
                   r->what);
}

static int
read_header (struct jpeg *r, const struct image_source *source)
{
  struct jpeg_decompress_struct *c = &r->cinfo;

  r->truncated = false;
  r->failure = -EBADMSG;
  if (setjmp (r->escape))
    return damaged (r);
  jpeg_abort_decompress (c); /* of an image never rendered */
  jpeg_mem_src (c, source->data, source->size);
  jpeg_read_header (c, TRUE);
  if (c->num_components == 4)
    c->out_color_space = JCS_CMYK; /* from CMYK and YCCK */
  else
    c->out_color_space = JCS_EXT_RGBX;
  return 0;
}

static int
jpeg_open (void *self, const struct image_source *source,
           struct image_header *out)
{
  struct jpeg *r = self;
  int err;

  snprintf (r->name, sizeof r->name, "%s", source->name);
  r->whole = ends_whole (source->data, source->size);
  err = read_header (r, source);
  if (err)
    return err;
  out->w = r->cinfo.image_width;
  out->h = r->cinfo.image_height;
  image_exif_of_jpeg (source->data, source->size, out);
  return 0;
}

static int
jpeg_reduce (void *self, int d)
{
  struct jpeg *r = self;

  r->cinfo.scale_num = 1;
  r->cinfo.scale_denom = (unsigned) d;
  r->cinfo.do_fancy_upsampling = FALSE;
  return d;
}

/* ---- decoding --------------------------------------------------------*/

/* a * b / 255, rounded, for bytes */
static inline unsigned
mul_255 (unsigned a, unsigned b)
{
  const unsigned t = a * b + 128;

  return (t + (t >> 8)) >> 8;
}

/* Adobe's CMYK is stored inverted (0 = full ink), and all CMYK files are
 * taken to be such, as PIL does: R = K - (1 - C) K with stored C and K. */
static void
cmyk_to_rgbx (uint8_t *row, size_t n)
{
  size_t i;

  for (i = 0; i < n; i++, row += 4) {
    const unsigned k = row[3];

    row[0] = (uint8_t) (k - mul_255 (255u - row[0], k));
    row[1] = (uint8_t) (k - mul_255 (255u - row[1], k));
    row[2] = (uint8_t) (k - mul_255 (255u - row[2], k));
  }
}

/* Leave out the columns and rows before and after what is needed, where
 * libjpeg can: they are still parsed, but not transformed.  Returns the
 * column that rows start with. */
static int64_t
narrow (struct jpeg *r, const struct image_want *w)
{
  struct jpeg_decompress_struct *c = &r->cinfo;
  const int64_t width = c->output_width;
  const int64_t end
    = w->x + w->w + MARGIN < width ? w->x + w->w + MARGIN : width;
  const int64_t start = w->x > MARGIN ? w->x - MARGIN : 0;
  JDIMENSION x = 0, n = (JDIMENSION) (end - start);

  if (start >= 16 || width - end >= 16) {
    x = (JDIMENSION) start;
    jpeg_crop_scanline (c, &x, &n);
  }
  if (w->y > 0)
    jpeg_skip_scanlines (c, (JDIMENSION) w->y);
  return x;
}

/* In a function of its own, so that setjmp's caller keeps no locals. */
static void
decode_rows (struct jpeg *r, const struct image_want *w, size_t row_bytes)
{
  struct jpeg_decompress_struct *c = &r->cinfo;
  JSAMPROW rows[ROWS];
  int64_t start, end;
  int i;

  for (i = 0; i < ROWS; i++)
    rows[i] = r->rows.data + row_bytes * (size_t) i + ROW_START;
  jpeg_start_decompress (c);
  /* a file without its end is read on, to see whether rows are missing */
  end = r->whole ? w->y + w->h : (int64_t) c->output_height;
  start = narrow (r, w);
  while ((int64_t) c->output_scanline < end) {
    const int64_t y = c->output_scanline;
    const int got = (int) jpeg_read_scanlines (c, rows, ROWS);

    for (i = 0; i < got && y + i < w->y + w->h; i++) {
      if (c->out_color_space == JCS_CMYK)
        cmyk_to_rgbx (rows[i], c->output_width);
      w->take (w->cookie, y + i, rows[i] + (w->x - start) * 4);
    }
  }
  jpeg_abort_decompress (c);
}

static int
jpeg_decode (void *self, const struct image_want *want)
{
  struct jpeg *r = self;
  const size_t row_bytes
    = ((size_t) r->cinfo.image_width * 4 + ROW_START + 63) & ~(size_t) 63;
  const int err = image_buffer_reserve (&r->rows, row_bytes * ROWS);

  if (err)
    return err;
  if (setjmp (r->escape))
    return damaged (r);
  decode_rows (r, want, row_bytes);
  image_buffer_trim (&r->rows);
  if (r->truncated)
    return qk_error (-EBADMSG, "%s: truncated JPEG: %s", r->name, r->what);
  return 0;
}

const struct image_decoder image_decoder_jpeg = {
  .name = "JPEG",
  .create = jpeg_create,
  .destroy = jpeg_destroy_self,
  .open = jpeg_open,
  .reduce = jpeg_reduce,
  .decode = jpeg_decode,
};
