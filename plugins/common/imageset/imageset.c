/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imageset.c: what datasets of image files have in common. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imagesize/imagesize.h"
#include "imageset.h"

const char *const imageset_exif[] = { "apply", "ignore", NULL };
const char *const imageset_fit[] = { "auto", "cover", "stretch", NULL };

#define MOST_SIDE 8192

/* One number for each channel; ALPHA for the fourth where three are given. */
static int
read_channels (const struct qk_config *cfg, const char *who, const char *name,
               int channels, float alpha, float out[4])
{
  const int n = qk_config_floats (cfg, name, out, 4);

  if (n == 3 && channels == 4)
    out[3] = alpha;
  else if (n == 3 && channels == 1)
    out[0] = (out[0] + out[1] + out[2]) / 3.0f;
  else if (n != channels)
    return qk_error (-EINVAL, "%s: %s (%s) must be %d numbers, got %d", who,
                     name, qk_config_where (cfg, name), channels, n);
  return 0;
}

/* What is made of the pixels of a file. */
static int
configure_pixels (struct imageset *s, const char *who,
                  const struct qk_config *cfg)
{
  const int channels = (int) qk_config_int (cfg, "channels");
  float background[3], mean[4], std[4];
  const int n = qk_config_floats (cfg, "background", background, 3);
  int i, err;

  if (channels == 2)
    return qk_error (-EINVAL, "%s: channels (%s) must be 1, 3 or 4, got 2",
                     who, qk_config_where (cfg, "channels"));
  if (n != 3)
    return qk_error (-EINVAL, "%s: background (%s) must be 3 numbers, got %d",
                     who, qk_config_where (cfg, "background"), n);
  s->pixels.channels = channels;
  s->pixels.exif = strcmp (qk_config_string (cfg, "exif"), "apply") == 0;
  for (i = 0; i < 3; i++)
    s->pixels.background[i] = (uint8_t) (background[i] + 0.5f);
  err = read_channels (cfg, who, "mean", channels, 0.0f, mean);
  if (err == 0)
    err = read_channels (cfg, who, "std", channels, 1.0f, std);
  return err < 0 ? err : image_norm_set (&s->norm, channels, mean, std, who);
}

/* What is resized to, where crop_pct says it. */
static int
resize_by_share (struct imageset *s, const char *who,
                 const struct qk_config *cfg)
{
  const double share = qk_config_float (cfg, "crop_pct");

  if (qk_config_given (cfg, "resize"))
    return qk_error (-EINVAL,
                     "%s: resize (%s) and crop_pct (%s) are both given, "
                     "expected one of them",
                     who, qk_config_where (cfg, "resize"),
                     qk_config_where (cfg, "crop_pct"));
  /* Python: math.floor (side / crop_pct) */
  s->resize.h = (int64_t) floor ((double) s->crop.h / share);
  s->resize.w = (int64_t) floor ((double) s->crop.w / share);
  if (s->resize.h > MOST_SIDE || s->resize.w > MOST_SIDE)
    return qk_error (-EINVAL,
                     "%s: crop_pct (%s) = %g makes images of %lld x %lld, "
                     "expected sides of %d at most",
                     who, qk_config_where (cfg, "crop_pct"), share,
                     (long long) s->resize.h, (long long) s->resize.w,
                     MOST_SIDE);
  return 0;
}

/* Sizes, and how images come to them. */
static int
configure_size (struct imageset *s, const char *who,
                const struct qk_config *cfg)
{
  const char *fit = qk_config_string (cfg, "fit");
  const bool by_share = qk_config_float (cfg, "crop_pct") > 0;
  int64_t crop[2], resize[2];
  bool alone = true;
  int err = image_size_read (who, cfg, "crop", 1, MOST_SIDE, crop, NULL);

  if (err == 0)
    err = image_size_read (who, cfg, "resize", 1, MOST_SIDE, resize, &alone);
  if (err < 0)
    return err;
  s->crop = (struct image_size){ crop[0], crop[1] };
  s->resize = (struct image_size){ resize[0], resize[1] };
  s->filter = (enum image_filter) image_filter_find (
    qk_config_string (cfg, "interpolation"));
  if (by_share && (err = resize_by_share (s, who, cfg)) < 0)
    return err;
  s->fit = IMAGE_COVER;
  if (strcmp (fit, "stretch") == 0
      || (strcmp (fit, "auto") == 0 && !alone && !by_share))
    s->fit = IMAGE_STRETCH;
  if (s->crop.h <= s->resize.h && s->crop.w <= s->resize.w)
    return 0;
  return qk_error (
    -EINVAL,
    "%s: crop (%s) must be <= resize (%s), got crop %lldx%lld and resize "
    "%lldx%lld",
    who, qk_config_where (cfg, "crop"), qk_config_where (cfg, "resize"),
    (long long) s->crop.h, (long long) s->crop.w, (long long) s->resize.h,
    (long long) s->resize.w);
}

int
imageset_configure (struct imageset *s, const char *name,
                    const struct qk_config *cfg, bool augment)
{
  int err = configure_size (s, name, cfg);

  s->augment = augment;
  s->min_scale = qk_config_float (cfg, "min_scale");
  s->flip = qk_config_bool (cfg, "flip");
  s->fast = qk_config_bool (cfg, "fast_decode");
  if (err == 0)
    err = configure_pixels (s, name, cfg);
  return err < 0
           ? err
           : augment_configure (&s->changes, name, cfg, s->pixels.channels);
}

/* ---- reading ------------------------------------------------------------- */

struct worker {
  struct image_reader *reader;
  struct raster *raster; /* NULL: images are not needed as bytes */
};

void
imageset_worker_free (void *worker)
{
  struct worker *w = worker;

  if (!w)
    return;
  image_reader_free (w->reader);
  raster_free (w->raster);
  free (w);
}

int
imageset_worker_new (const struct imageset *s, void **worker)
{
  struct worker *w = calloc (1, sizeof *w);
  int err;

  if (!w)
    return qk_oom ("an image decoder");
  err = image_reader_new (&s->pixels, &w->reader);
  if (err == 0 && s->augment && augment_wants_bytes (&s->changes))
    err = raster_new (s->crop.h, s->crop.w, s->pixels.channels, &w->raster);
  if (err == 0)
    *worker = w;
  else
    imageset_worker_free (w);
  return err;
}

/* A training image of the one that was opened, by way of its bytes. */
static int
render_changed (const struct imageset *s, struct worker *w,
                const struct image_view *view, struct qk_rng *rng, float *out)
{
  const int channels = s->pixels.channels;
  const int64_t row = s->crop.w * channels;
  struct raster *r = w->raster;
  const int err = image_render (w->reader, view, NULL, r->pixels, NULL);

  if (err)
    return err;
  augment_bytes (&s->changes, r, rng);
  for (int64_t y = 0; y < s->crop.h; y++)
    image_norm_row (&s->norm, r->pixels + y * row, channels, s->crop.w, false,
                    out + y * row);
  return 0;
}

static int
render_training (const struct imageset *s, struct worker *w, int64_t width,
                 int64_t height, struct qk_rng *rng, float *out)
{
  struct image_view view;
  int err;

  image_view_random (width, height, s->crop, s->min_scale, s->flip, s->filter,
                     rng, &view);
  if (s->fast)
    image_reduce (w->reader, &view);
  err = w->raster ? render_changed (s, w, &view, rng, out)
                  : image_render (w->reader, &view, &s->norm, NULL, out);
  if (err == 0)
    augment_floats (&s->changes, out, s->crop.h, s->crop.w, s->pixels.channels,
                    rng);
  return err;
}

/* Of the image that was opened. */
static int
render (const struct imageset *s, struct worker *w, int64_t width,
        int64_t height, struct qk_rng *rng, float *out)
{
  struct image_view view;

  if (s->augment && rng)
    return render_training (s, w, width, height, rng, out);
  image_view_center (width, height, s->resize, s->fit, s->crop, s->filter,
                     &view);
  return image_render (w->reader, &view, &s->norm, NULL, out);
}

int
imageset_read (const struct imageset *s, void *worker, const char *path,
               struct qk_rng *rng, float *out)
{
  struct worker *w = worker;
  int64_t width, height;
  const int err = image_open (w->reader, path, &width, &height);

  return err ? err : render (s, w, width, height, rng, out);
}

int
imageset_read_memory (const struct imageset *s, void *worker,
                      const uint8_t *data, size_t size, const char *name,
                      struct qk_rng *rng, float *out)
{
  struct worker *w = worker;
  int64_t width, height;
  const int err
    = image_open_memory (w->reader, data, size, name, &width, &height);

  return err ? err : render (s, w, width, height, rng, out);
}
