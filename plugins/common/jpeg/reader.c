/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reader.c: decoding JPEG files with libjpeg, resized on the way. */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jpeglib.h>
#include <jerror.h>

#include "image.h"

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
/* Buffers larger than this are not kept for the next image. */
#define KEEP ((size_t) 16 << 20)
/* Columns decoded beside those needed, so that smooth chroma upsampling sees
 * the same neighbours as in the whole image. */
#define MARGIN 8
/* How far from its end a whole file has its end-of-image marker; some
 * cameras append padding. */
#define EOI_WINDOW 4096

struct buffer {
  uint8_t *data;
  size_t size;
};

struct image_reader {
  struct jpeg_decompress_struct cinfo;
  struct jpeg_error_mgr err;
  struct jpeg_progress_mgr progress;
  jmp_buf escape;
  bool created;   /* cinfo holds memory */
  bool opened;    /* a header was read, nothing rendered yet */
  bool truncated; /* libjpeg met the end of the data too early */
  int failure;    /* errno value of what ended in escape */
  char what[JMSG_LENGTH_MAX];
  char name[512]; /* of the image, for messages */

  const uint8_t *data; /* the file */
  size_t size;
  bool whole; /* it ends with an end-of-image marker */
  struct buffer file;
  struct buffer rows; /* ROWS decoded rows of 4-byte pixels */
  struct buffer ring; /* rows resized horizontally */
  struct buffer line; /* a finished row */
  const uint8_t **ring_rows;
  int ring_rows_size;
  struct image_taps across; /* its first[] start at column x_first */
  struct image_taps down;
  const struct image_kernels *kernels;
};

static int
buffer_reserve (struct buffer *b, size_t size)
{
  uint8_t *data;

  if (size <= b->size)
    return 0;
  free (b->data);
  b->data = NULL;
  b->size = 0;
  /* zeroed: vector loads reach beyond the pixels, and weigh them with 0 */
  data = calloc (1, size);
  if (!data)
    return qk_oom ("an image (%zu bytes)", size);
  b->data = data;
  b->size = size;
  return 0;
}

static void
buffer_trim (struct buffer *b)
{
  if (b->size > KEEP) {
    free (b->data);
    b->data = NULL;
    b->size = 0;
  }
}

/* ---- libjpeg's errors ------------------------------------------------*/

static void
on_error (j_common_ptr c)
{
  struct image_reader *r = c->client_data;

  c->err->format_message (c, r->what);
  r->failure = c->err->msg_code == JERR_OUT_OF_MEMORY ? -ENOMEM : -EBADMSG;
  longjmp (r->escape, 1);
}

static void
on_message (j_common_ptr c, int level)
{
  struct image_reader *r = c->client_data;

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
  struct image_reader *r = c->client_data;

  if (r->cinfo.input_scan_number > MAX_SCANS) {
    snprintf (r->what, sizeof r->what, "more than %d scans", MAX_SCANS);
    r->failure = -EBADMSG;
    longjmp (r->escape, 1);
  }
}

int
image_reader_new (struct image_reader **out)
{
  struct image_reader *r = calloc (1, sizeof *r);

  if (!r)
    return qk_oom ("a JPEG decoder");
  r->kernels = image_kernels_best ();
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
  *out = r;
  return 0;
}

void
image_reader_free (struct image_reader *r)
{
  if (!r)
    return;
  if (r->created)
    jpeg_destroy_decompress (&r->cinfo);
  free (r->file.data);
  free (r->rows.data);
  free (r->ring.data);
  free (r->line.data);
  free (r->ring_rows);
  image_taps_free (&r->across);
  image_taps_free (&r->down);
  free (r);
}

/* ---- files -----------------------------------------------------------*/

static int
read_all (struct image_reader *r, int fd, const char *path, size_t size)
{
  size_t got = 0;
  int err = buffer_reserve (&r->file, size);

  if (err)
    return qk_error_prefix (err, "%s: ", path);
  while (got < size) {
    const ssize_t n = read (fd, r->file.data + got, size - got);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      err = errno;
      return qk_error (-err, "%s: %s", path, strerror (err));
    }
    if (n == 0)
      break; /* it became shorter: libjpeg will notice */
    got += (size_t) n;
  }
  r->size = got;
  return 0;
}

static int
load (struct image_reader *r, const char *path)
{
  struct stat st;
  int err = 0;
  /* O_NONBLOCK: opening a FIFO must not hang */
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

  if (fd < 0) {
    err = errno;
    return qk_error (-err, "%s: %s", path, strerror (err));
  }
  if (fstat (fd, &st)) {
    err = errno;
    err = qk_error (-err, "%s: %s", path, strerror (err));
  } else if (!S_ISREG (st.st_mode))
    err = qk_error (-EBADMSG, "%s: not a regular file", path);
  else if (st.st_size == 0)
    err = qk_error (-EBADMSG, "%s: empty file", path);
  else if (st.st_size > IMAGE_MAX_FILE)
    err = qk_error (-EBADMSG, "%s: file of %lld bytes, at most %lld accepted",
                    path, (long long) st.st_size, (long long) IMAGE_MAX_FILE);
  else
    err = read_all (r, fd, path, (size_t) st.st_size);
  close (fd);
  return err;
}

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
damaged (struct image_reader *r)
{
  jpeg_abort_decompress (&r->cinfo);
  r->opened = false;
  return qk_error (r->failure, "%s: cannot be decoded as JPEG: %s", r->name,
                   r->what);
}

static int
read_header (struct image_reader *r)
{
  struct jpeg_decompress_struct *c = &r->cinfo;

  r->truncated = false;
  r->opened = false;
  r->failure = -EBADMSG;
  if (setjmp (r->escape))
    return damaged (r);
  jpeg_abort_decompress (c); /* of an image never rendered */
  jpeg_mem_src (c, r->data, r->size);
  jpeg_read_header (c, TRUE);
  if (c->image_width > IMAGE_MAX_SIDE || c->image_height > IMAGE_MAX_SIDE
      || (int64_t) c->image_width * c->image_height > IMAGE_MAX_PIXELS) {
    snprintf (r->what, sizeof r->what,
              "%u x %u pixels are more than the %lld accepted", c->image_width,
              c->image_height, (long long) IMAGE_MAX_PIXELS);
    return damaged (r);
  }
  if (c->num_components == 4)
    c->out_color_space = JCS_CMYK; /* from CMYK and YCCK */
  else
    c->out_color_space = JCS_EXT_RGBX;
  r->opened = true;
  return 0;
}

int
image_open_memory (struct image_reader *r, const uint8_t *data, size_t size,
                   const char *name, int64_t *w, int64_t *h)
{
  int err;

  snprintf (r->name, sizeof r->name, "%s", name);
  r->data = data;
  r->size = size;
  r->whole = ends_whole (data, size);
  err = read_header (r);
  if (err)
    return err;
  *w = r->cinfo.image_width;
  *h = r->cinfo.image_height;
  return 0;
}

int
image_open (struct image_reader *r, const char *path, int64_t *w, int64_t *h)
{
  int err;

  buffer_trim (&r->file);
  err = load (r, path);
  if (err)
    return err;
  return image_open_memory (r, r->file.data, r->size, path, w, h);
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

/* Size of the image as it will be decoded. */
static int64_t
decoded_width (const struct image_reader *r)
{
  const int64_t d = r->cinfo.scale_denom;

  return ((int64_t) r->cinfo.image_width + d - 1) / d;
}

static int64_t
decoded_height (const struct image_reader *r)
{
  const int64_t d = r->cinfo.scale_denom;

  return ((int64_t) r->cinfo.image_height + d - 1) / d;
}

/* The part of a side of END pixels that FROM, LENGTH becomes at 1/D. */
static void
reduce_side (int64_t d, int64_t end, int64_t *from, int64_t *length)
{
  const int64_t first = *from / d;
  const int64_t last = (*from + *length + d / 2) / d;

  *from = first < end ? first : end - 1;
  *length = last < end ? last - *from : end - *from;
  *length = *length > 0 ? *length : 1;
}

int
image_reduce (struct image_reader *r, struct image_view *view)
{
  int d = 1;

  if (!r->opened)
    return 1;
  while (d < 8 && view->w >= 2 * d * view->out_w
         && view->h >= 2 * d * view->out_h)
    d *= 2;
  r->cinfo.scale_num = 1;
  r->cinfo.scale_denom = (unsigned) d;
  r->cinfo.do_fancy_upsampling = FALSE;
  reduce_side (d, decoded_width (r), &view->x, &view->w);
  reduce_side (d, decoded_height (r), &view->y, &view->h);
  return d;
}

/* What one call of image_render works on. */
struct job {
  const struct image_view *view;
  const struct image_norm *norm;
  uint8_t *rgb;
  float *image;
  size_t row_bytes;  /* of a decoded row, ROW_START included */
  size_t ring_bytes; /* of a row in the ring, a multiple of 64 */
  int ring_count;
  int64_t x_first, x_end; /* columns of the image that are needed */
  int64_t y_first, y_end; /* rows */
  int64_t x_start;        /* column that a decoded row starts with */
  int64_t done;           /* rows of the window delivered */
};

static int
job_prepare (struct image_reader *r, struct job *j)
{
  const struct image_view *v = j->view;
  const struct image_taps *a = &r->across, *d = &r->down;
  int64_t i;
  int err;

  err = image_taps_set (&r->across, v->w, v->out_w, v->win_x, v->win_w);
  if (err == 0)
    err = image_taps_set (&r->down, v->h, v->out_h, v->win_y, v->win_h);
  if (err)
    return err;
  j->x_first = v->x + a->first[0];
  j->x_end = v->x + a->first[a->n - 1] + a->count[a->n - 1];
  for (i = 0; i < a->n; i++)
    a->first[i] -= (int32_t) (j->x_first - v->x);
  j->y_first = v->y + d->first[0];
  j->y_end = v->y + d->first[d->n - 1] + d->count[d->n - 1];
  j->row_bytes
    = ((size_t) decoded_width (r) * 4 + ROW_START + 63) & ~(size_t) 63;
  j->ring_bytes = ((size_t) v->win_w * 4 + 63) & ~(size_t) 63;
  j->ring_count = d->stride;
  err = buffer_reserve (&r->rows, j->row_bytes * ROWS);
  if (err == 0)
    err = buffer_reserve (&r->ring, j->ring_bytes * (size_t) j->ring_count);
  if (err == 0)
    err = buffer_reserve (&r->line, j->ring_bytes);
  if (err)
    return err;
  if (j->ring_count > r->ring_rows_size) {
    free (r->ring_rows);
    r->ring_rows_size = 0;
    r->ring_rows = calloc ((size_t) j->ring_count, sizeof *r->ring_rows);
    if (!r->ring_rows)
      return qk_oom ("an image");
    r->ring_rows_size = j->ring_count;
  }
  return 0;
}

static uint8_t *
ring_row (struct image_reader *r, const struct job *j, int64_t y)
{
  return r->ring.data + (size_t) (y % j->ring_count) * j->ring_bytes;
}

/* Row LINE (4-byte pixels) of the window is finished. */
static void
deliver (const struct job *j, const uint8_t *line)
{
  const struct image_view *v = j->view;
  int64_t i;

  if (j->image)
    image_norm_row (j->norm, line, 4, v->win_w, v->flip,
                    j->image + j->done * v->win_w * 3);
  if (j->rgb)
    for (i = 0; i < v->win_w; i++) {
      const int64_t to = v->flip ? v->win_w - 1 - i : i;

      memcpy (j->rgb + (j->done * v->win_w + to) * 3, line + 4 * i, 3);
    }
}

/* Row Y of the image, decoded. */
static void
consume_row (struct image_reader *r, struct job *j, int64_t y,
             const uint8_t *row)
{
  const struct image_taps *d = &r->down;
  const int64_t at = y - j->view->y; /* within the box */
  int k;

  r->kernels->horizontal (row + (j->x_first - j->x_start) * 4,
                          ring_row (r, j, at), &r->across);
  while (j->done < d->n && d->first[j->done] + d->count[j->done] - 1 <= at) {
    for (k = 0; k < d->count[j->done]; k++)
      r->ring_rows[k] = ring_row (r, j, d->first[j->done] + k);
    r->kernels->vertical (r->ring_rows, d->weight + j->done * d->stride,
                          d->count[j->done], r->line.data,
                          (int64_t) j->ring_bytes);
    deliver (j, r->line.data);
    j->done++;
  }
}

/* Leave out the columns and rows before and after what is needed, where
 * libjpeg can: they are still parsed, but not transformed. */
static void
narrow (struct image_reader *r, struct job *j)
{
  struct jpeg_decompress_struct *c = &r->cinfo;
  const int64_t width = c->output_width;
  const int64_t end = j->x_end + MARGIN < width ? j->x_end + MARGIN : width;
  const int64_t start = j->x_first > MARGIN ? j->x_first - MARGIN : 0;

  if (start >= 16 || width - end >= 16) {
    JDIMENSION x = (JDIMENSION) start, n = (JDIMENSION) (end - start);

    jpeg_crop_scanline (c, &x, &n);
    j->x_start = x;
  }
  if (j->y_first > 0)
    jpeg_skip_scanlines (c, (JDIMENSION) j->y_first);
}

/* In a function of its own, so that setjmp's caller keeps no locals. */
static void
decode_rows (struct image_reader *r, struct job *j)
{
  struct jpeg_decompress_struct *c = &r->cinfo;
  /* a file without its end is read on, to see whether rows are missing */
  const int64_t end = r->whole ? j->y_end : decoded_height (r);
  JSAMPROW rows[ROWS];
  int i;

  for (i = 0; i < ROWS; i++)
    rows[i] = r->rows.data + j->row_bytes * (size_t) i + ROW_START;
  jpeg_start_decompress (c);
  narrow (r, j);
  while ((int64_t) c->output_scanline < end) {
    const int64_t y = c->output_scanline;
    const int got = (int) jpeg_read_scanlines (c, rows, ROWS);

    for (i = 0; i < got && y + i < j->y_end; i++) {
      if (c->out_color_space == JCS_CMYK)
        cmyk_to_rgbx (rows[i], c->output_width);
      consume_row (r, j, y + i, rows[i]);
    }
  }
  jpeg_abort_decompress (c);
}

static int
decode (struct image_reader *r, struct job *j)
{
  if (setjmp (r->escape))
    return damaged (r);
  decode_rows (r, j);
  if (r->truncated)
    return qk_error (-EBADMSG, "%s: truncated JPEG: %s", r->name, r->what);
  return 0;
}

int
image_render (struct image_reader *r, const struct image_view *view,
              const struct image_norm *norm, uint8_t *rgb, float *image)
{
  struct job j = { 0 };
  int err;

  if (!r->opened)
    return qk_error (-EINVAL, "no image is open");
  r->opened = false;
  if (view->x < 0 || view->y < 0 || view->w < 1 || view->h < 1
      || view->x + view->w > decoded_width (r)
      || view->y + view->h > decoded_height (r) || view->win_x < 0
      || view->win_y < 0 || view->win_w < 1 || view->win_h < 1
      || view->win_x + view->win_w > view->out_w
      || view->win_y + view->win_h > view->out_h)
    return qk_error (-EINVAL, "%s: view outside the image", r->name);
  j.view = view;
  j.norm = norm;
  j.rgb = rgb;
  j.image = image;
  err = job_prepare (r, &j);
  if (err)
    return qk_error_prefix (err, "%s: ", r->name);
  err = decode (r, &j);
  buffer_trim (&r->rows);
  buffer_trim (&r->ring);
  return err;
}
