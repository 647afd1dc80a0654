/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_jpeg.c: JPEG files become the bytes that PIL and torchvision make of
 * them, and damaged ones an error. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/image.h"

struct golden_center {
  const char *name;
  int w, h, resize, crop;
  uint64_t bytes, floats;
};
struct golden_box {
  const char *name;
  int x, y, w, h, size, flip;
  uint64_t bytes;
};
/* Resized to (h,w) and cut to (crop_h,crop_w); PART: the box of (crop_h,crop_w)
 * at row h, column w resized to 23 x 41. */
#define PART 100
struct golden_size {
  const char *name;
  int filter, fit, h, w, crop_h, crop_w;
  uint64_t bytes;
};
#include "golden/jpeg/expected.h"
#include "lib/ok.h"

#define N_CENTERS ((int) (sizeof golden_centers / sizeof *golden_centers))
#define N_BOXES ((int) (sizeof golden_boxes / sizeof *golden_boxes))
#define N_SIZES ((int) (sizeof golden_sizes / sizeof *golden_sizes))
#define LARGEST 128 /* side of a delivered image */

static struct image_reader *reader;
static uint8_t *rgb;
static float *image;

static void
setup (void)
{
  ck_assert_int_eq (image_reader_new (image_options_default (), &reader), 0);
  rgb = calloc (LARGEST * LARGEST, 3);
  image = calloc (LARGEST * LARGEST, 3 * sizeof *image);
  ck_assert (rgb && image);
}

static void
teardown (void)
{
  image_reader_free (reader);
  free (rgb);
  free (image);
}

static uint64_t
fnv (const void *data, size_t size)
{
  const uint8_t *p = data;
  uint64_t h = UINT64_C (0xcbf29ce484222325);

  while (size--)
    h = (h ^ *p++) * UINT64_C (0x100000001b3);
  return h;
}

static const char *
golden_path (const char *name)
{
  static char path[4096];
  const char *top = getenv ("abs_top_srcdir");

  snprintf (path, sizeof path, "%s/tests/golden/jpeg/%s.jpg", top ? top : ".",
            name);
  return path;
}

/* The whole file; to be freed. */
static uint8_t *
load (const char *name, size_t *size)
{
  FILE *f = fopen (golden_path (name), "rb");
  uint8_t *data = malloc (1 << 16);

  ck_assert_msg (f != NULL, "%s is missing", golden_path (name));
  ck_assert_ptr_nonnull (data);
  *size = fread (data, 1, 1 << 16, f);
  ck_assert_uint_gt (*size, 100);
  fclose (f);
  return data;
}

START_TEST (test_center)
{
  const struct golden_center *g = &golden_centers[_i];
  const size_t n = (size_t) g->crop * (size_t) g->crop * 3;
  const float mean[3] = { 0.485f, 0.456f, 0.406f };
  const float std[3] = { 0.229f, 0.224f, 0.225f };
  struct image_norm norm;
  struct image_view view;
  int64_t w, h;

  ck_assert_int_eq (image_norm_set (&norm, 3, mean, std, "test"), 0);
  ck_assert_msg (image_open (reader, golden_path (g->name), &w, &h) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (w, g->w);
  ck_assert_int_eq (h, g->h);
  image_view_center (w, h, (struct image_size){ g->resize, g->resize },
                     IMAGE_COVER, (struct image_size){ g->crop, g->crop },
                     IMAGE_BILINEAR, &view);
  ck_assert_msg (image_render (reader, &view, &norm, rgb, image) == 0, "%s",
                 qk_error_message ());
  ck_assert_msg (fnv (rgb, n) == g->bytes, "%s %d %d: other bytes", g->name,
                 g->resize, g->crop);
  ck_assert_msg (fnv (image, n * sizeof *image) == g->floats,
                 "%s %d %d: other floats", g->name, g->resize, g->crop);
}
END_TEST

/* Every filter, to sizes and out of parts of any shape. */
START_TEST (test_size)
{
  const struct golden_size *g = &golden_sizes[_i];
  const struct image_size crop = { g->crop_h, g->crop_w };
  struct image_view view
    = { g->w, g->h, g->crop_w, g->crop_h, 41,    23,
        0,    0,    41,        23,        false, IMAGE_BILINEAR };
  int64_t w, h;

  ck_assert_int_eq (image_open (reader, golden_path (g->name), &w, &h), 0);
  view.filter = (enum image_filter) g->filter;
  if (g->fit != PART)
    image_view_center (w, h, (struct image_size){ g->h, g->w },
                       (enum image_fit) g->fit, crop, view.filter, &view);
  ck_assert_msg (image_render (reader, &view, NULL, rgb, NULL) == 0, "%s",
                 qk_error_message ());
  ck_assert_msg (fnv (rgb, (size_t) (view.win_w * view.win_h) * 3) == g->bytes,
                 "%s %s %d: %d x %d, %d x %d: other bytes", g->name,
                 image_filter_names[g->filter], g->fit, g->h, g->w, g->crop_h,
                 g->crop_w);
}
END_TEST

START_TEST (test_box)
{
  const struct golden_box *g = &golden_boxes[_i];
  const struct image_view view
    = { g->x, g->y, g->w,    g->h,    g->size,      g->size,
        0,    0,    g->size, g->size, g->flip != 0, IMAGE_BILINEAR };
  int64_t w, h;

  ck_assert_int_eq (image_open (reader, golden_path (g->name), &w, &h), 0);
  ck_assert_msg (image_render (reader, &view, NULL, rgb, NULL) == 0, "%s",
                 qk_error_message ());
  ck_assert_msg (fnv (rgb, (size_t) (g->size * g->size) * 3) == g->bytes,
                 "%s box %d %d %d %d: other bytes", g->name, g->x, g->y, g->w,
                 g->h);
}
END_TEST

/* Any part of an image equals that part of the whole image, however much
 * of the file is decoded for it. */
START_TEST (test_parts)
{
  static const char *const names[]
    = { "rgb420", "rgb422", "rgb444",      "gray",
        "cmyk",   "ycck",   "progressive", "large" };
  struct qk_rng rng;
  uint8_t *whole;
  int64_t w, h, y;
  int i;

  qk_rng_seed (&rng, 5, (uint64_t) _i);
  ck_assert_int_eq (image_open (reader, golden_path (names[_i]), &w, &h), 0);
  whole = malloc ((size_t) (w * h) * 3);
  {
    const struct image_view all
      = { 0, 0, w, h, w, h, 0, 0, w, h, false, IMAGE_BILINEAR };

    ck_assert_int_eq (image_render (reader, &all, NULL, whole, NULL), 0);
  }
  for (i = 0; i < 200; i++) {
    const int64_t most_w = w < LARGEST ? w : LARGEST;
    const int64_t most_h = h < LARGEST ? h : LARGEST;
    const int64_t bw = 1 + (int64_t) qk_rng_below (&rng, (uint64_t) most_w);
    const int64_t bh = 1 + (int64_t) qk_rng_below (&rng, (uint64_t) most_h);
    const int64_t x = (int64_t) qk_rng_below (&rng, (uint64_t) (w - bw + 1));
    const int64_t top = (int64_t) qk_rng_below (&rng, (uint64_t) (h - bh + 1));
    const struct image_view part
      = { x, top, bw, bh, bw, bh, 0, 0, bw, bh, false, IMAGE_BILINEAR };

    ck_assert_int_eq (image_open (reader, golden_path (names[_i]), &w, &h), 0);
    ck_assert_int_eq (image_render (reader, &part, NULL, rgb, NULL), 0);
    for (y = 0; y < bh; y++)
      HOLDS (memcmp (rgb + y * bw * 3, whole + ((top + y) * w + x) * 3,
                     (size_t) bw * 3)
               == 0,
             "%s: row %d of %dx%d at %d,%d differs", names[_i], (int) y,
             (int) bw, (int) bh, (int) x, (int) top);
  }
  free (whole);
}
END_TEST

/* ---- kernels ---------------------------------------------------------*/

START_TEST (test_kernels_agree)
{
  const struct image_kernels *plain = image_kernels_plain ();
  const struct image_kernels *best = image_kernels_best ();
  struct image_taps taps = { 0 };
  struct qk_rng rng;
  uint8_t *a = malloc (4 * 600 + 64), *b = malloc (4 * 600 + 64);
  int i, k;

  qk_rng_seed (&rng, 7, 0);
  for (i = 0; i < 600; i++) {
    const int64_t in
      = 1 + (int64_t) qk_rng_below (&rng, i % 3 == 0 ? 20 : 2000);
    const int64_t whole = 1 + (int64_t) qk_rng_below (&rng, 500);
    const int64_t first
      = i % 2 ? 0 : (int64_t) qk_rng_below (&rng, (uint64_t) whole);
    const int64_t out
      = i % 2 ? whole
              : 1 + (int64_t) qk_rng_below (&rng, (uint64_t) (whole - first));
    const bool white = i % 5 == 0;
    int64_t at, n;
    uint8_t *src;

    ck_assert_int_eq (image_taps_set (&taps,
                                      (enum image_filter) (i % IMAGE_FILTERS),
                                      in, whole, first, out),
                      0);
    /* nothing before or beyond the inputs used may be read */
    at = taps.first[0];
    n = image_taps_end (&taps) - at;
    for (k = 0; k < out; k++)
      taps.first[k] -= (int32_t) at;
    src = malloc ((size_t) (4 * n));
    for (k = 0; k < 4 * n; k++)
      src[k] = white ? 255 : (uint8_t) qk_rng_u64 (&rng);
    memset (a, 1, 4 * 600 + 64);
    memset (b, 1, 4 * 600 + 64);
    plain->horizontal (src, a, &taps);
    best->horizontal (src, b, &taps);
    for (k = 0; k < 4 * out; k++)
      HOLDS (a[k] == b[k], "%s horizontal, %s %d to %d, byte %d: %d, plain %d",
             best->name, image_filter_names[i % IMAGE_FILTERS], (int) in,
             (int) out, k, b[k], a[k]);
    for (; k < 4 * 600 + 64; k++)
      HOLDS (b[k] == 1, "byte %d is %d, expected 1", k, b[k]);
    free (src);
  }
  image_taps_free (&taps);
  free (a);
  free (b);
}
END_TEST

#define ROWS 204

START_TEST (test_kernels_vertical)
{
  const struct image_kernels *plain = image_kernels_plain ();
  const struct image_kernels *best = image_kernels_best ();
  struct image_taps taps = { 0 };
  struct qk_rng rng;
  uint8_t *src = malloc (ROWS * 320), *a = malloc (320 + 64),
          *b = malloc (320 + 64);
  const uint8_t *rows[ROWS];
  int64_t i;
  int k;

  qk_rng_seed (&rng, 8, 0);
  for (k = 0; k < ROWS * 320; k++)
    src[k] = k % 7 ? (uint8_t) qk_rng_u64 (&rng) : 255;
  ck_assert_int_eq (
    image_taps_set (&taps, (enum image_filter) _i, 997, 30, 0, 30), 0);
  ck_assert_int_le (taps.stride, ROWS);
  for (i = 0; i < taps.n; i++) {
    const int64_t n = 64 * (1 + i % 5);

    for (k = 0; k < taps.count[i]; k++)
      rows[k] = src + 320 * ((k + i) % ROWS);
    memset (a, 1, 320 + 64);
    memset (b, 1, 320 + 64);
    plain->vertical (rows, taps.weight + i * taps.stride, taps.count[i], a, n);
    best->vertical (rows, taps.weight + i * taps.stride, taps.count[i], b, n);
    ck_assert_mem_eq (a, b, 320 + 64);
  }
  image_taps_free (&taps);
  free (src);
  free (a);
  free (b);
}
END_TEST

/* ---- geometry --------------------------------------------------------*/

START_TEST (test_view_random)
{
  static const int sizes[][2] = { { 500, 375 }, { 375, 500 }, { 1, 1 },
                                  { 3, 900 },   { 900, 3 },   { 1, 65500 } };
  const struct image_size size = { 96, 224 };
  int s, i, flips = 0, total = 0;
  double smallest = 1, largest = 0;
  struct qk_rng rng;

  qk_rng_seed (&rng, 3, 3);
  for (s = 0; s < 6; s++)
    for (i = 0; i < 2000; i++) {
      struct image_view v;
      const int w = sizes[s][0], h = sizes[s][1];

      image_view_random (w, h, size, 0.08, true, IMAGE_BICUBIC, &rng, &v);
      HOLDS (v.x >= 0 && v.y >= 0 && v.w >= 1 && v.h >= 1 && v.x + v.w <= w
               && v.y + v.h <= h,
             "%d x %d: part %d x %d at %d,%d", w, h, (int) v.w, (int) v.h,
             (int) v.x, (int) v.y);
      HOLDS (v.out_w == 224 && v.win_h == 96 && v.win_x == 0
               && v.filter == IMAGE_BICUBIC,
             "window of height %d at %d, image of width %d", (int) v.win_h,
             (int) v.win_x, (int) v.out_w);
      flips += v.flip;
      total++;
      if (s == 0) {
        const double share = (double) (v.w * v.h) / (w * h);
        const double ratio = (double) v.w / (double) v.h;

        smallest = share < smallest ? share : smallest;
        largest = share > largest ? share : largest;
        HOLDS (ratio > 0.73 && ratio < 1.37, "ratio %g", ratio);
      }
    }
  ck_assert_msg (smallest > 0.075 && smallest < 0.1, "%g", smallest);
  ck_assert_msg (largest > 0.9 && largest <= 1.0, "%g", largest);
  ck_assert (abs (flips * 2 - total) < total / 20);
}
END_TEST

/* A window that reaches beyond the image is that of the image with black around
 * it. */
START_TEST (test_window_beyond)
{
  static const int at[][4] = { { -3, -2, 12, 9 },
                               { 5, 4, 60, 50 },
                               { -4, 3, 9, 11 },
                               { 2, -1, 70, 5 },
                               { -2, -2, 90, 90 } };
  static const float mean[3] = { 0.5f, 0.25f, 0 }, std[3] = { 1, 2, 0.5f };
  static uint8_t all[64 * 64 * 3], part[90 * 90 * 3];
  static float floats[90 * 90 * 3];
  struct image_norm norm;
  int64_t w, h, x, y;
  int i, c;

  ck_assert_int_eq (image_norm_set (&norm, 3, mean, std, "test"), 0);
  ck_assert_int_eq (image_open (reader, golden_path ("rgb444"), &w, &h), 0);
  {
    const struct image_view whole
      = { 0, 0, w, h, 40, 30, 0, 0, 40, 30, false, IMAGE_BILINEAR };

    ck_assert_int_eq (image_render (reader, &whole, NULL, all, NULL), 0);
  }
  for (i = 0; i < 10; i++) {
    const int *a = at[i % 5];
    const struct image_view v
      = { 0, 0, w, h, 40, 30, a[0], a[1], a[2], a[3], i > 4, IMAGE_BILINEAR };

    memset (part, 77, sizeof part);
    ck_assert_int_eq (image_open (reader, golden_path ("rgb444"), &w, &h), 0);
    ck_assert_int_eq (image_render (reader, &v, &norm, part, floats), 0);
    for (y = 0; y < a[3]; y++)
      for (x = 0; x < a[2]; x++)
        for (c = 0; c < 3; c++) {
          const int64_t u = a[0] + (v.flip ? a[2] - 1 - x : x), t = a[1] + y;
          const bool inside = u >= 0 && u < 40 && t >= 0 && t < 30;
          const uint8_t want = inside ? all[(t * 40 + u) * 3 + c] : 0;
          const int64_t k = (y * a[2] + x) * 3 + c;

          HOLDS (part[k] == want && floats[k] == norm.value[c][want],
                 "window %d, %d %d: %d and %g, expected %d and %g", i, (int) x,
                 (int) y, part[k], (double) floats[k], want,
                 (double) norm.value[c][want]);
        }
  }
}
END_TEST

/* torchvision's RandomCrop: every place with PAD pixels around, equally often. */
START_TEST (test_view_padded)
{
  const struct image_size size = { 32, 32 };
  int i, flips = 0, x[9] = { 0 }, y[9] = { 0 };
  struct qk_rng rng;

  qk_rng_seed (&rng, 3, 5);
  for (i = 0; i < 9000; i++) {
    struct image_view v;

    image_view_padded (32, 32, size, IMAGE_COVER, size, 4, true,
                       IMAGE_BILINEAR, &rng, &v);
    HOLDS (v.win_x >= -4 && v.win_x <= 4 && v.win_y >= -4 && v.win_y <= 4
             && v.win_w == 32 && v.win_h == 32 && v.out_w == 32 && v.w == 32,
           "window %d x %d at %d,%d", (int) v.win_w, (int) v.win_h,
           (int) v.win_x, (int) v.win_y);
    x[v.win_x + 4]++;
    y[v.win_y + 4]++;
    flips += v.flip;
  }
  for (i = 0; i < 9; i++)
    ck_assert_msg (abs (x[i] - 1000) < 150 && abs (y[i] - 1000) < 150,
                   "%d: %d and %d times", i, x[i], y[i]);
  ck_assert (abs (flips * 2 - 9000) < 450);
}
END_TEST

/* Where no random box fits, torchvision takes the middle. */
START_TEST (test_view_fallback)
{
  const struct image_size size = { 32, 32 };
  struct image_view v;
  struct qk_rng rng;

  qk_rng_seed (&rng, 3, 4);
  image_view_random (3, 900, size, 0.9, false, IMAGE_BILINEAR, &rng, &v);
  ck_assert_int_eq (v.w, 3);
  ck_assert_int_eq (v.h, 4);
  ck_assert_int_eq (v.y, 448);
  image_view_random (900, 3, size, 0.9, false, IMAGE_BILINEAR, &rng, &v);
  ck_assert_int_eq (v.w, 4);
  ck_assert_int_eq (v.x, 448);
  ck_assert (!v.flip);
}
END_TEST

/* ---- damage ----------------------------------------------------------*/

static int
render_memory (const uint8_t *data, size_t size)
{
  const struct image_size side = { 32, 32 };
  struct image_view view;
  int64_t w, h;
  int err = image_open_memory (reader, data, size, "some.jpg", &w, &h);

  if (err)
    return err;
  image_view_center (w, h, side, IMAGE_COVER, side, IMAGE_BILINEAR, &view);
  return image_render (reader, &view, NULL, rgb, NULL);
}

START_TEST (test_truncated)
{
  static const char *const names[] = { "rgb420", "progressive", "cmyk" };
  size_t size, keep;
  uint8_t *data = load (names[_i], &size);

  ck_assert_int_eq (render_memory (data, size), 0);
  for (keep = 0; keep < size - 8; keep += keep < size - 200 ? 13 : 1) {
    /* a copy of its own size: reading beyond it is noticed */
    uint8_t *part = malloc (keep ? keep : 1);

    memcpy (part, data, keep);
    ck_assert_int_eq (render_memory (part, keep), -EBADMSG);
    ck_assert_msg (strstr (qk_error_message (), "some.jpg") != NULL, "%s",
                   qk_error_message ());
    free (part);
  }
  ck_assert_int_eq (render_memory (data, size), 0);
  free (data);
}
END_TEST

/* Bytes turned over at random: any result, but no crash and no hang; the
 * decoder still works afterwards. */
START_TEST (test_noise)
{
  static const char *const names[] = { "rgb422", "progressive", "ycck" };
  size_t size;
  uint8_t *data = load (names[_i], &size), *copy = malloc (size);
  struct qk_rng rng;
  int i, k, bad = 0;

  qk_rng_seed (&rng, 11, (uint64_t) _i);
  for (i = 0; i < 400; i++) {
    memcpy (copy, data, size);
    for (k = 0; k < 1 + i % 10; k++)
      copy[qk_rng_below (&rng, i % 2 ? size : 700)]
        = (uint8_t) qk_rng_u64 (&rng);
    /* a size in the header may have become huge: not what is tested */
    if (render_memory (copy, size) == -EBADMSG)
      bad++;
  }
  ck_assert_int_gt (bad, 20);
  ck_assert_int_eq (render_memory (data, size), 0);
  free (data);
  free (copy);
}
END_TEST

START_TEST (test_not_jpeg)
{
  static const uint8_t text[] = "This is no image, only its name says so.";
  int64_t w, h;
  char name[] = "check_jpeg-XXXXXX";
  const int fd = mkstemp (name);

  ck_assert_int_ge (fd, 0);
  close (fd);
  ck_assert_int_eq (render_memory (text, sizeof text), -EBADMSG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "some.jpg"));
  ck_assert_int_eq (image_open (reader, name, &w, &h), -EBADMSG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "empty"));
  unlink (name);
  ck_assert_int_eq (image_open (reader, name, &w, &h), -ENOENT);
  ck_assert_int_eq (image_open (reader, ".", &w, &h), -EBADMSG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "regular"));
}
END_TEST

/* A header that promises more pixels than are accepted. */
START_TEST (test_bomb)
{
  size_t size, i;
  uint8_t *data = load ("rgb444", &size);
  int64_t w, h;

  for (i = 0; i + 9 < size; i++)
    if (data[i] == 0xff && data[i + 1] == 0xc0)
      break;
  ck_assert_uint_lt (i + 9, size);
  memcpy (data + i + 5, "\xff\x00\xff\x00", 4);
  ck_assert_int_eq (image_open_memory (reader, data, size, "bomb.jpg", &w, &h),
                    -EBADMSG);
  ck_assert_msg (strstr (qk_error_message (), "accepted") != NULL, "%s",
                 qk_error_message ());
  free (data);
}
END_TEST

START_TEST (test_misuse)
{
  const struct image_view outside
    = { 0, 0, 1000, 1, 8, 8, 0, 0, 8, 8, false, IMAGE_BILINEAR };
  const float good[3] = { 1, 1, 1 }, bad[3] = { 1, 0, 1 };
  struct image_norm norm;
  int64_t w, h;

  ck_assert_int_eq (image_render (reader, &outside, NULL, rgb, NULL), -EINVAL);
  ck_assert_int_eq (image_open (reader, golden_path ("odd"), &w, &h), 0);
  ck_assert_int_eq (image_render (reader, &outside, NULL, rgb, NULL), -EINVAL);
  ck_assert_int_eq (image_norm_set (&norm, 3, good, bad, "test"), -EINVAL);
}
END_TEST

START_TEST (test_write)
{
  uint8_t in[24 * 16 * 3];
  const struct image_view all
    = { 0, 0, 24, 16, 24, 16, 0, 0, 24, 16, false, IMAGE_BILINEAR };
  char name[] = "check_jpeg-XXXXXX";
  const int fd = mkstemp (name);
  int64_t w, h;
  int i;

  ck_assert_int_ge (fd, 0);
  close (fd);
  for (i = 0; i < 24 * 16 * 3; i++)
    in[i] = (uint8_t) (i % 3 == 0 ? 200 : i % 3 == 1 ? i / 5 : 30);
  ck_assert_int_eq (image_write (name, in, 24, 16, 95), 0);
  ck_assert_int_eq (image_open (reader, name, &w, &h), 0);
  ck_assert_int_eq (w, 24);
  ck_assert_int_eq (h, 16);
  ck_assert_int_eq (image_render (reader, &all, NULL, rgb, NULL), 0);
  for (i = 0; i < 24 * 16 * 3; i++)
    ck_assert_int_le (abs (in[i] - rgb[i]), 12);
  unlink (name);
  ck_assert_int_eq (image_write ("no/such/folder/x.jpg", in, 24, 16, 95),
                    -ENOENT);
  ck_assert_int_eq (image_write ("/dev/full", in, 24, 16, 95), -ENOSPC);
  ck_assert_int_eq (access ("/dev/full", F_OK), 0);
}
END_TEST

/* An image of W x H with slow waves in it, as JPEG; to be freed. */
static uint8_t *
waves (int w, int h, size_t *size)
{
  static const char path[] = "check_jpeg-waves.jpg";
  uint8_t *pixels = malloc ((size_t) w * (size_t) h * 3), *data;
  FILE *f;
  int x, y;

  ck_assert_ptr_nonnull (pixels);
  for (y = 0; y < h; y++)
    for (x = 0; x < w; x++) {
      uint8_t *p = pixels + 3 * ((size_t) y * (size_t) w + (size_t) x);

      p[0] = (uint8_t) (128 + 100 * sin (x * 0.02) * cos (y * 0.03));
      p[1] = (uint8_t) (255 * x / w);
      p[2] = (uint8_t) (255 * y / h);
    }
  ck_assert_int_eq (image_write (path, pixels, w, h, 95), 0);
  free (pixels);
  f = fopen (path, "rb");
  ck_assert_ptr_nonnull (f);
  data = malloc (1 << 22);
  ck_assert_ptr_nonnull (data);
  *size = fread (data, 1, 1 << 22, f);
  ck_assert_uint_gt (*size, 100);
  fclose (f);
  unlink (path);
  return data;
}

/* A reduced image is nearly the one that the whole gives, wherever the box
 * lies, and never smaller than what is asked for. */
START_TEST (test_reduce)
{
  static const struct {
    int w, h, box[4], out, divisor;
  } cases[] = {
    { 1024, 1024, { 0, 0, 1024, 1024 }, 128, 8 },
    { 1024, 1023, { 0, 0, 1024, 1023 }, 128, 4 },
    { 777, 1019, { 101, 203, 513, 600 }, 128, 4 },
    { 777, 1019, { 264, 419, 513, 600 }, 96, 4 },
    { 777, 1019, { 776, 1018, 1, 1 }, 8, 1 },
    { 500, 375, { 3, 7, 300, 257 }, 128, 2 },
    { 500, 375, { 245, 120, 255, 255 }, 128, 1 },
    { 333, 17, { 300, 0, 33, 17 }, 8, 2 },
    { 900, 800, { 837, 700, 63, 100 }, 7, 8 },
  };
  size_t size, i, n = (size_t) (cases[_i].out * cases[_i].out) * 3;
  uint8_t *data = waves (cases[_i].w, cases[_i].h, &size), *whole;
  const int *box = cases[_i].box, out = cases[_i].out;
  const struct image_view view
    = { box[0], box[1], box[2], box[3], out,   out,
        0,      0,      out,    out,    false, IMAGE_BILINEAR };
  struct image_view reduced = view;
  double sum = 0;
  int64_t w, h;

  whole = malloc (n);
  ck_assert_ptr_nonnull (whole);
  ck_assert_int_eq (image_open_memory (reader, data, size, "waves", &w, &h),
                    0);
  ck_assert_int_eq (image_render (reader, &view, NULL, whole, NULL), 0);
  ck_assert_int_eq (image_open_memory (reader, data, size, "waves", &w, &h),
                    0);
  ck_assert_int_eq (image_reduce (reader, &reduced), cases[_i].divisor);
  ck_assert_msg (image_render (reader, &reduced, NULL, rgb, NULL) == 0, "%s",
                 qk_error_message ());
  for (i = 0; i < n; i++)
    sum += abs (rgb[i] - whole[i]);
  ck_assert_msg (sum / (double) n < 4, "bytes differ by %g on average",
                 sum / (double) n);
  /* the next image is decoded whole again */
  ck_assert_int_eq (image_open_memory (reader, data, size, "waves", &w, &h),
                    0);
  ck_assert_int_eq (image_render (reader, &view, NULL, rgb, NULL), 0);
  ck_assert_mem_eq (rgb, whole, n);
  free (whole);
  free (data);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("jpeg");
  TCase *tc = tcase_create ("jpeg");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_center, 0, N_CENTERS);
  tcase_add_loop_test (tc, test_box, 0, N_BOXES);
  tcase_add_loop_test (tc, test_size, 0, N_SIZES);
  tcase_add_loop_test (tc, test_parts, 0, 8);
  tcase_add_test (tc, test_kernels_agree);
  tcase_add_loop_test (tc, test_kernels_vertical, 0, IMAGE_FILTERS);
  tcase_add_test (tc, test_view_random);
  tcase_add_test (tc, test_view_fallback);
  tcase_add_test (tc, test_view_padded);
  tcase_add_test (tc, test_window_beyond);
  tcase_add_loop_test (tc, test_truncated, 0, 3);
  tcase_add_loop_test (tc, test_noise, 0, 3);
  tcase_add_test (tc, test_not_jpeg);
  tcase_add_test (tc, test_bomb);
  tcase_add_test (tc, test_misuse);
  tcase_add_test (tc, test_write);
  tcase_add_loop_test (tc, test_reduce, 0, 9);
  suite_add_tcase (s, tc);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? 0 : 1;
}
