/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reader.c: image files of any known format, recognised by their content,
 * turned the right way up and resized while they are decoded. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <qatkit/format.h>

#include "image-priv.h"

/* Buffers larger than this are not kept for the next image. */
#define KEEP ((size_t) 16 << 20)

/* What files begin with.  A format whose library is missing is recognised
 * all the same. */
struct format {
  const char *name, *library;
  const char *magic;
  size_t size, at; /* of the magic */
  const struct image_decoder *decoder;
};

static const struct format formats[] = {
  { "JPEG", "libjpeg", "\xff\xd8\xff", 3, 0, &image_decoder_jpeg },
#ifdef WITH_LIBPNG
  { "PNG", "libpng", "\x89PNG\r\n\x1a\n", 8, 0, &image_decoder_png },
#else
  { "PNG", "libpng", "\x89PNG\r\n\x1a\n", 8, 0, NULL },
#endif
#ifdef WITH_LIBWEBP
  { "WebP", "libwebp", "WEBP", 4, 8, &image_decoder_webp },
#else
  { "WebP", "libwebp", "WEBP", 4, 8, NULL },
#endif
};
#define N_FORMATS ((int) (sizeof formats / sizeof formats[0]))

struct image_reader {
  struct image_options options;
  void *state[N_FORMATS]; /* of each decoder, once it was needed */
  const struct image_decoder *decoder; /* of the image opened last; NULL:
                                          none, or it was rendered */
  void *self;
  struct image_header header;
  struct image_turn turn;
  int denominator; /* decoded at 1 / this of the size */
  char name[512];  /* of the image, for messages */

  struct image_pixels pixels; /* instead of a file */
  struct image_buffer file;
  struct image_buffer ring;  /* rows resized horizontally */
  struct image_buffer line;  /* a finished row */
  struct image_buffer whole; /* of an image that is turned */
  struct image_buffer row;   /* of it */
  const uint8_t **ring_rows;
  int ring_rows_size;
  struct image_taps across; /* its first[] start at column x_first */
  struct image_taps down;
  const struct image_kernels *kernels;
};

int
image_buffer_reserve (struct image_buffer *b, size_t size)
{
  uint8_t *data;

  if (size <= b->size)
    return 0;
  image_buffer_free (b);
  data = calloc (1, size);
  if (!data)
    return qk_oom ("an image (%zu bytes)", size);
  b->data = data;
  b->size = size;
  return 0;
}

void
image_buffer_trim (struct image_buffer *b)
{
  if (b->size > KEEP)
    image_buffer_free (b);
}

void
image_buffer_free (struct image_buffer *b)
{
  free (b->data);
  b->data = NULL;
  b->size = 0;
}

const struct image_options *
image_options_default (void)
{
  static const struct image_options options
    = { .channels = 3, .exif = true, .background = { 255, 255, 255 } };

  return &options;
}

int
image_reader_new (const struct image_options *options,
                  struct image_reader **out)
{
  struct image_reader *r = calloc (1, sizeof *r);

  if (!r)
    return qk_oom ("an image decoder");
  r->kernels = image_kernels_best ();
  r->options = *options;
  *out = r;
  return 0;
}

void
image_reader_free (struct image_reader *r)
{
  int i;

  if (!r)
    return;
  for (i = 0; i < N_FORMATS; i++)
    if (r->state[i])
      formats[i].decoder->destroy (r->state[i]);
  image_buffer_free (&r->pixels.row);
  image_buffer_free (&r->file);
  image_buffer_free (&r->ring);
  image_buffer_free (&r->line);
  image_buffer_free (&r->whole);
  image_buffer_free (&r->row);
  free (r->ring_rows);
  image_taps_free (&r->across);
  image_taps_free (&r->down);
  free (r);
}

/* ---- files -----------------------------------------------------------*/

static int
read_all (struct image_reader *r, int fd, const char *path, size_t size,
          size_t *read_size)
{
  size_t got = 0;
  int err = image_buffer_reserve (&r->file, size);

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
      break; /* it became shorter: the decoder will notice */
    got += (size_t) n;
  }
  *read_size = got;
  return 0;
}

static int
load (struct image_reader *r, const char *path, size_t *size)
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
    err = read_all (r, fd, path, (size_t) st.st_size, size);
  close (fd);
  return err;
}

int
image_check_size (const char *name, int64_t w, int64_t h)
{
  if (w < 1 || h < 1 || w > IMAGE_MAX_SIDE || h > IMAGE_MAX_SIDE
      || w * h > IMAGE_MAX_PIXELS)
    return qk_error (-EBADMSG,
                     "%s: %lld x %lld pixels, accepted are sides of 1 to %d "
                     "and %lld pixels in all",
                     name, (long long) w, (long long) h, IMAGE_MAX_SIDE,
                     (long long) IMAGE_MAX_PIXELS);
  return 0;
}

/* The number of the format that these bytes are in. */
static int
recognise (const struct image_source *s)
{
  const char *foreign;
  int i;

  for (i = 0; i < N_FORMATS; i++) {
    const struct format *f = &formats[i];

    if (s->size < f->at + f->size
        || memcmp (s->data + f->at, f->magic, f->size) != 0)
      continue;
    if (f->decoder)
      return i;
    return qk_error (-EBADMSG,
                     "%s: %s images need %s, which this qatkit was built "
                     "without",
                     s->name, f->name, f->library);
  }
  if ((foreign = qk_foreign (s->data, s->size)) != NULL)
    return qk_error (-EBADMSG, "%s: this is %s", s->name, foreign);
  return qk_error (-EBADMSG,
                   "%s: not an image of a known format (JPEG, PNG "
                   "or WebP)",
                   s->name);
}

/* Forget the image opened last, for one called NAME. */
static void
begin (struct image_reader *r, const char *name)
{
  r->decoder = NULL;
  snprintf (r->name, sizeof r->name, "%s", name);
  memset (&r->header, 0, sizeof r->header);
  r->turn = (struct image_turn){ false, false, false };
  r->denominator = 1;
}

int
image_open_pixels (struct image_reader *r, const struct qk_sample_array *a,
                   int64_t *w, int64_t *h)
{
  int err = image_pixels_set (&r->pixels, a);

  begin (r, "image");
  if (err == 0)
    err = image_check_size (r->name, r->pixels.w, r->pixels.h);
  if (err)
    return err;
  *w = r->header.w = r->pixels.w;
  *h = r->header.h = r->pixels.h;
  r->header.alpha = r->pixels.channels == 4;
  r->decoder = &image_decoder_pixels;
  r->self = &r->pixels;
  return 0;
}

int
image_open_memory (struct image_reader *r, const uint8_t *data, size_t size,
                   const char *name, int64_t *w, int64_t *h)
{
  const struct image_source source = { data, size, name, r->options.numbers };
  const int i = recognise (&source);
  int err = 0;

  r->decoder = NULL;
  if (i < 0)
    return i;
  begin (r, name);
  if (!r->state[i])
    err = formats[i].decoder->create (&r->state[i]);
  if (err == 0)
    err = formats[i].decoder->open (r->state[i], &source, &r->header);
  if (err == 0)
    err = image_check_size (name, r->header.w, r->header.h);
  if (err)
    return err;
  if (r->options.exif)
    r->turn = image_turn_read (&r->header);
  r->decoder = formats[i].decoder;
  r->self = r->state[i];
  *w = r->turn.swap ? r->header.h : r->header.w;
  *h = r->turn.swap ? r->header.w : r->header.h;
  return 0;
}

int
image_open (struct image_reader *r, const char *path, int64_t *w, int64_t *h)
{
  size_t size = 0;
  int err;

  image_buffer_trim (&r->file);
  r->decoder = NULL;
  err = load (r, path, &size);
  if (err)
    return err;
  return image_open_memory (r, r->file.data, size, path, w, h);
}

/* ---- geometry --------------------------------------------------------*/

/* A side of the image as it will be decoded. */
static int64_t
decoded (const struct image_reader *r, int64_t side)
{
  return (side + r->denominator - 1) / r->denominator;
}

/* The same of the image turned the right way up. */
static int64_t
turned_width (const struct image_reader *r)
{
  return decoded (r, r->turn.swap ? r->header.h : r->header.w);
}

static int64_t
turned_height (const struct image_reader *r)
{
  return decoded (r, r->turn.swap ? r->header.w : r->header.h);
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

  if (!r->decoder || !r->decoder->reduce)
    return 1;
  while (d < 8 && view->w >= 2 * d * view->out_w
         && view->h >= 2 * d * view->out_h)
    d *= 2;
  if (d > 1 || r->denominator > 1)
    d = r->decoder->reduce (r->self, d);
  r->denominator = d;
  reduce_side (d, turned_width (r), &view->x, &view->w);
  reduce_side (d, turned_height (r), &view->y, &view->h);
  return d;
}

/* ---- pixels before they are resized ----------------------------------*/

/* a * b / 255, rounded, for bytes */
static inline unsigned
mul_255 (unsigned a, unsigned b)
{
  const unsigned t = a * b + 128;

  return (t + (t >> 8)) >> 8;
}

/* Lay the pixels over the background B. */
static void
compose (uint8_t *row, int64_t n, const uint8_t b[3])
{
  int64_t i;
  int c;

  for (i = 0; i < n; i++, row += 4) {
    const unsigned a = row[3];

    if (a < 255)
      for (c = 0; c < 3; c++) {
        const unsigned t = row[c] * a + b[c] * (255 - a) + 128;

        row[c] = (uint8_t) ((t + (t >> 8)) >> 8);
      }
    row[3] = 255;
  }
}

/* Colours times alpha, so that what is transparent does not count. */
static void
premultiply (uint8_t *row, int64_t n)
{
  int64_t i;
  int c;

  for (i = 0; i < n; i++, row += 4)
    for (c = 0; c < 3; c++)
      row[c] = (uint8_t) mul_255 (row[c], row[3]);
}

static void
unpremultiply (uint8_t *row, int64_t n)
{
  int64_t i;
  int c;

  for (i = 0; i < n; i++, row += 4) {
    const unsigned a = row[3];

    for (c = 0; a > 0 && a < 255 && c < 3; c++) {
      const unsigned x = 255u * row[c] / a;

      row[c] = (uint8_t) (x > 255 ? 255 : x);
    }
  }
}

/* Luma of ITU-R 601-2 in 16 bits, as PIL rounds it. */
static void
to_grey (uint8_t *row, int64_t n)
{
  int64_t i;

  for (i = 0; i < n; i++, row += 4)
    row[0] = (uint8_t) ((row[0] * 19595u + row[1] * 38470u + row[2] * 7471u
                         + 0x8000u)
                        >> 16);
}

/* ---- rendering -------------------------------------------------------*/

/* What one call of image_render works on. */
struct job {
  struct image_reader *r;
  struct image_view view; /* its window is within the image */
  int64_t left, top;      /* where it lies in the one that is delivered, */
  int64_t width, height;  /* which is so large */
  const struct image_norm *norm;
  uint8_t *bytes;
  float *image;
  size_t ring_bytes; /* of a row in the ring, a multiple of 64 */
  int ring_count;
  int64_t x_first, x_end; /* columns of the image that are needed */
  int64_t y_first, y_end; /* rows */
  int64_t done;           /* rows of the window delivered */
  bool weigh;             /* pixels by their alpha while they are resized */
};

static int
job_prepare (struct image_reader *r, struct job *j)
{
  const struct image_view *v = &j->view;
  struct image_taps *a = &r->across, *d = &r->down;
  int64_t i;
  int err;

  err = image_taps_set (a, v->filter, v->w, v->out_w, v->win_x, v->win_w);
  if (err == 0)
    err = image_taps_set (d, v->filter, v->h, v->out_h, v->win_y, v->win_h);
  if (err)
    return err;
  j->x_first = v->x + a->first[0];
  j->x_end = v->x + image_taps_end (a);
  for (i = 0; i < a->n; i++)
    a->first[i] -= (int32_t) (j->x_first - v->x);
  j->y_first = v->y + d->first[0];
  j->y_end = v->y + image_taps_end (d);
  j->ring_bytes = ((size_t) v->win_w * 4 + 63) & ~(size_t) 63;
  j->ring_count = d->stride;
  err
    = image_buffer_reserve (&r->ring, j->ring_bytes * (size_t) j->ring_count);
  if (err == 0)
    err = image_buffer_reserve (&r->line, j->ring_bytes);
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
deliver (const struct job *j, uint8_t *line)
{
  const struct image_view *v = &j->view;
  const int channels = j->r->options.channels;
  const int64_t left = v->flip ? j->width - j->left - v->win_w : j->left;
  const int64_t at = (j->top + j->done) * j->width + left;
  int64_t i;

  if (j->weigh)
    unpremultiply (line, v->win_w);
  if (j->image)
    image_norm_row (j->norm, line, 4, v->win_w, v->flip,
                    j->image + at * channels);
  if (j->bytes)
    for (i = 0; i < v->win_w; i++) {
      const int64_t to = v->flip ? v->win_w - 1 - i : i;

      memcpy (j->bytes + (at + to) * channels, line + 4 * i,
              (size_t) channels);
    }
}

/* Row Y of the image the right way up, from column x_first on. */
static void
consume_row (struct job *j, int64_t y, uint8_t *row)
{
  struct image_reader *r = j->r;
  const struct image_taps *d = &r->down;
  const int64_t at = y - j->view.y; /* within the box */
  const int64_t n = j->x_end - j->x_first;
  int k;

  if (j->weigh)
    premultiply (row, n);
  else if (r->header.alpha && r->options.channels != 4)
    compose (row, n, r->options.background);
  if (r->options.channels == 1)
    to_grey (row, n);
  r->kernels->horizontal (row, ring_row (r, j, at), &r->across);
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

static void
take_row (void *cookie, int64_t y, uint8_t *row)
{
  consume_row (cookie, y, row);
}

/* ---- images that are turned ------------------------------------------*/

/* The part of the image that is kept to be turned. */
struct part {
  uint8_t *pixels;
  int64_t x, y, w, h; /* where it is in the file's image */
};

static void
keep_row (void *cookie, int64_t y, uint8_t *row)
{
  const struct part *p = cookie;

  memcpy (p->pixels + (y - p->y) * p->w * 4, row, (size_t) p->w * 4);
}

/* Row Y of the image the right way up, out of P. */
static void
turn_row (const struct job *j, const struct part *p, int64_t y, uint8_t *out)
{
  const struct image_reader *r = j->r;
  const int64_t width = decoded (r, r->header.w);
  const int64_t height = decoded (r, r->header.h);
  int64_t i;

  for (i = j->x_first; i < j->x_end; i++, out += 4) {
    int64_t u = r->turn.swap ? y : i, v = r->turn.swap ? i : y;

    u = r->turn.mirror_x ? width - 1 - u : u;
    v = r->turn.mirror_y ? height - 1 - v : v;
    memcpy (out, p->pixels + ((v - p->y) * p->w + u - p->x) * 4, 4);
  }
}

/* Where columns or rows FIRST .. END-1 of SIDE begin when counted from the
 * other end. */
static int64_t
mirrored (bool mirror, int64_t side, int64_t first, int64_t end)
{
  return mirror ? side - end : first;
}

static int
decode_turned (struct job *j)
{
  struct image_reader *r = j->r;
  const bool swap = r->turn.swap;
  struct part p;
  struct image_want want;
  int64_t y;
  int err;

  p.w = swap ? j->y_end - j->y_first : j->x_end - j->x_first;
  p.h = swap ? j->x_end - j->x_first : j->y_end - j->y_first;
  p.x = mirrored (r->turn.mirror_x, decoded (r, r->header.w),
                  swap ? j->y_first : j->x_first, swap ? j->y_end : j->x_end);
  p.y = mirrored (r->turn.mirror_y, decoded (r, r->header.h),
                  swap ? j->x_first : j->y_first, swap ? j->x_end : j->y_end);
  err = image_buffer_reserve (&r->whole, (size_t) (p.w * p.h) * 4);
  if (err == 0)
    err = image_buffer_reserve (&r->row,
                                (size_t) (j->x_end - j->x_first) * 4 + 64);
  if (err)
    return err;
  p.pixels = r->whole.data;
  want = (struct image_want){ p.x, p.y, p.w, p.h, keep_row, &p };
  err = r->decoder->decode (r->self, &want);
  for (y = j->y_first; err == 0 && y < j->y_end; y++) {
    turn_row (j, &p, y, r->row.data);
    consume_row (j, y, r->row.data);
  }
  image_buffer_trim (&r->whole);
  return err;
}

static int
decode (struct job *j)
{
  const struct image_reader *r = j->r;
  const struct image_want want
    = { j->x_first, j->y_first, j->x_end - j->x_first, j->y_end - j->y_first,
        take_row,   j };

  if (r->turn.swap || r->turn.mirror_x || r->turn.mirror_y)
    return decode_turned (j);
  return r->decoder->decode (r->self, &want);
}

/* One side of a window, FROM and LENGTH of END pixels, becomes the part of it
 * that is there; the number of pixels before that. */
static int64_t
part_of_side (int64_t end, int64_t *from, int64_t *length)
{
  const int64_t first = *from > 0 ? *from : 0;
  const int64_t last = *from + *length < end ? *from + *length : end;
  const int64_t before = first - *from;

  *from = first;
  *length = last - first;
  return before;
}

/* All that is delivered becomes 0, before norm. */
static void
blacken (const struct job *j)
{
  static const uint8_t black[4];
  const int channels = j->r->options.channels;
  const int64_t n = j->width * j->height;
  int64_t i;

  if (j->bytes)
    memset (j->bytes, 0, (size_t) (n * channels));
  for (i = 0; j->image && i < n; i++)
    image_norm_row (j->norm, black, channels, 1, false,
                    j->image + i * channels);
}

/* Whether V asks for what is there. */
static bool
view_fits (const struct image_reader *r, const struct image_view *v)
{
  return v->x >= 0 && v->y >= 0 && v->w >= 1 && v->h >= 1
         && v->x + v->w <= turned_width (r) && v->y + v->h <= turned_height (r)
         && v->win_w >= 1 && v->win_h >= 1 && v->win_x < v->out_w
         && v->win_y < v->out_h && v->win_x + v->win_w > 0
         && v->win_y + v->win_h > 0;
}

int
image_render (struct image_reader *r, const struct image_view *view,
              const struct image_norm *norm, uint8_t *bytes, float *image)
{
  struct job j = { .r = r,
                   .view = *view,
                   .width = view->win_w,
                   .height = view->win_h,
                   .norm = norm,
                   .bytes = bytes,
                   .image = image };
  int err;

  if (!r->decoder)
    return qk_error (-EINVAL, "no image is open");
  j.weigh = r->header.alpha && r->options.channels == 4
            && view->filter != IMAGE_NEAREST
            && (view->w != view->out_w || view->h != view->out_h);
  if (!view_fits (r, view))
    return qk_error (-EINVAL, "%s: view outside the image", r->name);
  j.left = part_of_side (view->out_w, &j.view.win_x, &j.view.win_w);
  j.top = part_of_side (view->out_h, &j.view.win_y, &j.view.win_h);
  if (j.view.win_w < j.width || j.view.win_h < j.height)
    blacken (&j);
  err = job_prepare (r, &j);
  if (err)
    return qk_error_prefix (err, "%s: ", r->name);
  err = decode (&j);
  r->decoder = NULL;
  image_buffer_trim (&r->ring);
  return err;
}
