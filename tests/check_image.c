/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_image.c: PNG and WebP files of every kind, and turned photographs,
 * become the bytes that PIL makes of them; damaged ones an error. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/image.h"

struct golden_image {
  const char *name;
  int w, h;
  uint64_t whole[3], small[3];       /* of 1, 3 and 4 channels */
  uint64_t other[IMAGE_FILTERS * 3]; /* with every filter to 13 x 22 */
};
#include "golden/image/expected.h"
#include "lib/ok.h"

#define N_IMAGES ((int) (sizeof golden_images / sizeof *golden_images))
#define LARGEST 64
#define RESIZE 20
#define CROP 16

static const int channels[3] = { 1, 3, 4 };
static uint8_t bytes[LARGEST * LARGEST * 4];

static uint64_t
fnv (const void *data, size_t size)
{
  const uint8_t *p = data;
  uint64_t h = UINT64_C (0xcbf29ce484222325);

  while (size--)
    h = (h ^ *p++) * UINT64_C (0x100000001b3);
  return h;
}

static bool
built_in (const char *name)
{
#ifndef WITH_LIBPNG
  if (strstr (name, ".png"))
    return false;
#endif
#ifndef WITH_LIBWEBP
  if (strstr (name, ".webp"))
    return false;
#endif
  return strstr (name, ".") != NULL;
}

/* The whole file; to be freed. */
static uint8_t *
load (const char *name, size_t *size)
{
  const char *top = getenv ("abs_top_srcdir");
  uint8_t *data = malloc (1 << 16);
  char path[4096];
  FILE *f;

  snprintf (path, sizeof path, "%s/tests/golden/image/%s", top ? top : ".",
            name);
  f = fopen (path, "rb");
  ck_assert_msg (f != NULL, "%s is missing", path);
  ck_assert_ptr_nonnull (data);
  *size = fread (data, 1, 1 << 16, f);
  fclose (f);
  return data;
}

static struct image_reader *
new_reader (int c)
{
  struct image_options o = *image_options_default ();
  struct image_reader *r;

  o.channels = c;
  ck_assert_int_eq (image_reader_new (&o, &r), 0);
  return r;
}

/* ---- PIL's bytes -------------------------------------------------------*/

START_TEST (golden)
{
  const struct golden_image *g = &golden_images[_i];
  struct image_view view;
  size_t size;
  uint8_t *data;
  int64_t w, h;
  int k;

  if (!built_in (g->name))
    return;
  data = load (g->name, &size);
  for (k = 0; k < 3; k++) {
    struct image_reader *r = new_reader (channels[k]);

    ck_assert_msg (image_open_memory (r, data, size, g->name, &w, &h) == 0,
                   "%s", qk_error_message ());
    ck_assert_msg (w == g->w && h == g->h, "%s is %d x %d", g->name, (int) w,
                   (int) h);
    view = (struct image_view){ 0, 0, w, h, w,     h,
                                0, 0, w, h, false, IMAGE_BILINEAR };
    ck_assert_msg (image_render (r, &view, NULL, bytes, NULL) == 0, "%s",
                   qk_error_message ());
    HOLDS (fnv (bytes, (size_t) (w * h * channels[k])) == g->whole[k],
           "%s, %d channels: other bytes", g->name, channels[k]);
    ck_assert_int_eq (image_open_memory (r, data, size, g->name, &w, &h), 0);
    image_view_center (w, h, (struct image_size){ RESIZE, RESIZE },
                       IMAGE_COVER, (struct image_size){ CROP, CROP },
                       IMAGE_BILINEAR, &view);
    ck_assert_int_eq (image_render (r, &view, NULL, bytes, NULL), 0);
    HOLDS (fnv (bytes, (size_t) (CROP * CROP * channels[k])) == g->small[k],
           "%s, %d channels: other bytes when resized", g->name, channels[k]);
    image_reader_free (r);
  }
  free (data);
}
END_TEST

START_TEST (filters)
{
  const struct golden_image *g = &golden_images[_i];
  struct image_view view;
  size_t size;
  uint8_t *data;
  int64_t w, h;
  int k;

  if (!built_in (g->name))
    return;
  data = load (g->name, &size);
  for (k = 0; k < 3 * IMAGE_FILTERS; k++) {
    const int c = channels[k % 3];
    struct image_reader *r = new_reader (c);

    ck_assert_int_eq (image_open_memory (r, data, size, g->name, &w, &h), 0);
    image_view_center (w, h, (struct image_size){ 13, 22 }, IMAGE_STRETCH,
                       (struct image_size){ 13, 22 },
                       (enum image_filter) (k / 3), &view);
    ck_assert_int_eq (image_render (r, &view, NULL, bytes, NULL), 0);
    HOLDS (fnv (bytes, (size_t) (13 * 22 * c)) == g->other[k],
           "%s, %d channels, %s: other bytes", g->name, c,
           image_filter_names[k / 3]);
    image_reader_free (r);
  }
  free (data);
}
END_TEST

/* Any part of an image equals that part of the whole image. */
START_TEST (parts)
{
  const struct golden_image *g = &golden_images[_i];
  static uint8_t whole[LARGEST * LARGEST * 4];
  struct image_view view;
  struct image_reader *r;
  struct qk_rng rng;
  size_t size;
  uint8_t *data;
  int64_t w, h, y;
  int i;

  if (!built_in (g->name))
    return;
  r = new_reader (4);
  data = load (g->name, &size);
  ck_assert_int_eq (image_open_memory (r, data, size, g->name, &w, &h), 0);
  view = (struct image_view){ 0, 0, w, h, w,     h,
                              0, 0, w, h, false, IMAGE_BILINEAR };
  ck_assert_int_eq (image_render (r, &view, NULL, whole, NULL), 0);
  qk_rng_seed (&rng, 5, (uint64_t) _i);
  for (i = 0; i < 40; i++) {
    const int64_t bw = 1 + (int64_t) qk_rng_below (&rng, (uint64_t) w);
    const int64_t bh = 1 + (int64_t) qk_rng_below (&rng, (uint64_t) h);
    const int64_t x = (int64_t) qk_rng_below (&rng, (uint64_t) (w - bw + 1));
    const int64_t top = (int64_t) qk_rng_below (&rng, (uint64_t) (h - bh + 1));

    view = (struct image_view){ x, top, bw, bh, bw,    bh,
                                0, 0,   bw, bh, false, IMAGE_BILINEAR };
    ck_assert_int_eq (image_open_memory (r, data, size, g->name, &w, &h), 0);
    ck_assert_int_eq (image_render (r, &view, NULL, bytes, NULL), 0);
    for (y = 0; y < bh; y++)
      HOLDS (memcmp (bytes + y * bw * 4, whole + ((top + y) * w + x) * 4,
                     (size_t) bw * 4)
               == 0,
             "%s: row %d of %dx%d at %d,%d differs", g->name, (int) y,
             (int) bw, (int) bh, (int) x, (int) top);
  }
  free (data);
  image_reader_free (r);
}
END_TEST

/* ---- options -----------------------------------------------------------*/

START_TEST (ignored_exif)
{
  struct image_options o = *image_options_default ();
  struct image_reader *r;
  int64_t w, h;
  size_t size;
  uint8_t *data = load ("exif6.jpg", &size);

  o.exif = false;
  ck_assert_int_eq (image_reader_new (&o, &r), 0);
  ck_assert_int_eq (image_open_memory (r, data, size, "x", &w, &h), 0);
  ck_assert (w == 37 && h == 29);
  image_reader_free (r);
  free (data);
}
END_TEST

/* A turned JPEG decoded at a half is near the whole one. */
START_TEST (reduced)
{
  static uint8_t whole[CROP * CROP * 3], half[CROP * CROP * 3];
  struct image_reader *r = new_reader (3);
  struct image_view view;
  char name[16];
  int64_t w, h, sum = 0;
  size_t size;
  uint8_t *data;
  int i;

  snprintf (name, sizeof name, "exif%d.jpg", _i);
  data = load (name, &size);
  for (i = 0; i < 2; i++) {
    ck_assert_int_eq (image_open_memory (r, data, size, name, &w, &h), 0);
    view = (struct image_view){ 0, 0, w,    h,        CROP,  CROP / 2,
                                0, 0, CROP, CROP / 2, false, IMAGE_BILINEAR };
    if (i == 1)
      ck_assert_int_eq (image_reduce (r, &view), w > h ? 2 : 1);
    ck_assert_int_eq (image_render (r, &view, NULL, i ? half : whole, NULL),
                      0);
  }
  for (i = 0; i < CROP * CROP / 2 * 3; i++)
    sum += abs (whole[i] - half[i]);
  ck_assert_msg (sum < 12 * CROP * CROP, "%d", (int) sum);
  image_reader_free (r);
  free (data);
}
END_TEST

#ifdef WITH_LIBPNG

/* Masks: indices of a palette, whatever colours it has. */
START_TEST (numbers)
{
  static const struct {
    const char *name;
    uint64_t hash; /* of numpy.array (PIL.Image.open (name)) as bytes */
  } all[] = { { "grey1.png", UINT64_C (0xa0456a69c7ccde78) },
              { "grey1i.png", UINT64_C (0xa0456a69c7ccde78) },
              { "grey8.png", UINT64_C (0xf72552e3203ce45f) },
              { "palette1.png", UINT64_C (0xa0456a69c7ccde78) },
              { "palette2.png", UINT64_C (0x4484fdc4d3ae4c0b) },
              { "palette4.png", UINT64_C (0x1a074ca69c70193c) },
              { "palette8.png", UINT64_C (0xf72552e3203ce45f) },
              { "palette8i-alpha.png", UINT64_C (0xf72552e3203ce45f) } };
  const struct image_view view
    = { 0, 0, 37, 29, 37, 29, 0, 0, 37, 29, false, IMAGE_NEAREST };
  struct image_options o = *image_options_default ();
  struct image_reader *r;
  int64_t w, h;
  uint8_t *data;
  size_t size;

  o.channels = 1;
  o.numbers = true;
  ck_assert_int_eq (image_reader_new (&o, &r), 0);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    data = load (all[i].name, &size);
    ck_assert_int_eq (image_open_memory (r, data, size, all[i].name, &w, &h),
                      0);
    ck_assert_int_eq (image_render (r, &view, NULL, bytes, NULL), 0);
    HOLDS (fnv (bytes, 37 * 29) == all[i].hash, "%s: other numbers",
           all[i].name);
    free (data);
  }
  data = load ("grey16.png", &size);
  ck_assert_int_eq (image_open_memory (r, data, size, "g16", &w, &h),
                    -EBADMSG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (),
                                 "g16: cannot be decoded as PNG: it has 16 "
                                 "bits"));
  free (data);
  image_reader_free (r);
}
END_TEST

START_TEST (background)
{
  struct image_options o = *image_options_default ();
  const struct image_view one
    = { 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, false, IMAGE_BILINEAR };
  struct image_reader *r;
  size_t size;
  uint8_t *data = load ("rgba8.png", &size);
  int64_t w, h, x, y;
  int found = 0;

  /* somewhere a pixel is clear */
  o.background[0] = 11;
  o.background[1] = 22;
  o.background[2] = 33;
  ck_assert_int_eq (image_reader_new (&o, &r), 0);
  for (y = 0; y < 29; y++)
    for (x = 0; x < 37; x++) {
      struct image_view v = one;

      v.x = x;
      v.y = y;
      ck_assert_int_eq (image_open_memory (r, data, size, "x", &w, &h), 0);
      ck_assert_int_eq (image_render (r, &v, NULL, bytes, NULL), 0);
      found += bytes[0] == 11 && bytes[1] == 22 && bytes[2] == 33;
    }
  ck_assert_int_ge (found, 5);
  image_reader_free (r);
  free (data);
}
END_TEST

#endif

START_TEST (norm)
{
  const float mean[4] = { 0.5f, 0.25f, 0, 0 }, std[4] = { 0.5f, 1, 2, 1 };
  const uint8_t px[8] = { 255, 0, 51, 255, 0, 255, 0, 0 };
  struct image_norm n;
  float out[8];

  ck_assert_int_eq (image_norm_set (&n, 4, mean, std, "test"), 0);
  image_norm_row (&n, px, 4, 2, true, out);
  ck_assert (out[4] == 1.0f && out[5] == -0.25f && out[7] == 1.0f);
  ck_assert (out[0] == -1.0f && out[1] == 0.75f && out[3] == 0.0f);
  ck_assert_int_eq (image_norm_set (&n, 1, mean, std, "test"), 0);
  image_norm_row (&n, px, 4, 2, false, out);
  ck_assert (out[0] == 1.0f && out[1] == -1.0f);
}
END_TEST

/* ---- damage ------------------------------------------------------------*/

static int
render (struct image_reader *r, const uint8_t *data, size_t size)
{
  struct image_view view;
  int64_t w, h;
  int err = image_open_memory (r, data, size, "some.file", &w, &h);

  if (err)
    return err;
  image_view_center (w, h, (struct image_size){ 16, 16 }, IMAGE_COVER,
                     (struct image_size){ 16, 16 }, IMAGE_BICUBIC, &view);
  return image_render (r, &view, NULL, bytes, NULL);
}

START_TEST (truncated)
{
  const struct golden_image *g = &golden_images[_i];
  struct image_reader *r;
  size_t size, keep;
  uint8_t *data;

  if (!built_in (g->name))
    return;
  r = new_reader (3);
  data = load (g->name, &size);
  for (keep = 0; keep < size - 8; keep += 1 + size / 150) {
    /* a copy of its own size: reading beyond it is noticed */
    uint8_t *part = malloc (keep ? keep : 1);

    memcpy (part, data, keep);
    HOLDS (render (r, part, keep) == -EBADMSG, "%s: %zu of %zu bytes: %s",
           g->name, keep, size, qk_error_message ());
    HOLDS (strstr (qk_error_message (), "some.file"), "%s",
           qk_error_message ());
    free (part);
  }
  ck_assert_int_eq (render (r, data, size), 0);
  free (data);
  image_reader_free (r);
}
END_TEST

/* Bytes turned over at random: any result, but no crash. */
START_TEST (noise)
{
  const struct golden_image *g = &golden_images[_i];
  struct image_reader *r;
  struct qk_rng rng;
  size_t size;
  uint8_t *data, *copy;
  int i, k;

  if (!built_in (g->name))
    return;
  r = new_reader (3);
  data = load (g->name, &size);
  copy = malloc (size);
  qk_rng_seed (&rng, 11, (uint64_t) _i);
  for (i = 0; i < 60; i++) {
    memcpy (copy, data, size);
    for (k = 0; k < 1 + i % 10; k++)
      copy[qk_rng_below (&rng, i % 2 || size < 200 ? size : 200)]
        = (uint8_t) qk_rng_u64 (&rng);
    render (r, copy, size);
  }
  ck_assert_int_eq (render (r, data, size), 0);
  free (copy);
  free (data);
  image_reader_free (r);
}
END_TEST

START_TEST (refused)
{
  /* 60000 x 2000 pixels in a file of a few bytes */
  static const uint8_t huge[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0"
                                "\x07\xd0\x08\x02\0\0\0\x3f\x5e\xcb\x9e"
                                "\0\0\0\0IEND\xae\x42\x60\x82";
  struct image_reader *r = new_reader (3);

  ck_assert_int_eq (render (r, (const uint8_t *) "GIF89a..........", 16),
                    -EBADMSG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "known format"));
  ck_assert_int_eq (render (r, huge, sizeof huge - 1), -EBADMSG);
  image_reader_free (r);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("image");
  TCase *t = tcase_create ("image");
  SRunner *runner;
  int failed;

  tcase_set_timeout (t, 60);
  tcase_add_loop_test (t, golden, 0, N_IMAGES);
  tcase_add_loop_test (t, filters, 0, N_IMAGES);
  tcase_add_loop_test (t, parts, 0, N_IMAGES);
  tcase_add_test (t, ignored_exif);
  tcase_add_loop_test (t, reduced, 1, 9);
#ifdef WITH_LIBPNG
  tcase_add_test (t, numbers);
  tcase_add_test (t, background);
#endif
  tcase_add_test (t, norm);
  tcase_add_loop_test (t, truncated, 0, N_IMAGES);
  tcase_add_loop_test (t, noise, 0, N_IMAGES);
  tcase_add_test (t, refused);
  suite_add_tcase (s, t);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_NORMAL);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? 1 : 0;
}
