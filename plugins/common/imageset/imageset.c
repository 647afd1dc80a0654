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

  s->masks = (struct imageset_masks){ 0, -1 };
  s->augment = augment;
  s->min_scale = qk_config_float (cfg, "min_scale");
  s->pad = qk_config_int (cfg, "pad");
  if (s->pad >= 0 && qk_config_given (cfg, "min_scale"))
    return qk_error (
      -EINVAL,
      "%s: pad (%s) and min_scale (%s) are both given, expected "
      "one of them",
      name, qk_config_where (cfg, "pad"), qk_config_where (cfg, "min_scale"));
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
  /* of masks; NULL where there are none */
  struct image_reader *mask_reader;
  struct raster *mask; /* one channel */
  uint8_t *mask_rgb;
};

void
imageset_worker_free (void *worker)
{
  struct worker *w = worker;

  if (!w)
    return;
  image_reader_free (w->reader);
  raster_free (w->raster);
  image_reader_free (w->mask_reader);
  raster_free (w->mask);
  free (w->mask_rgb);
  free (w);
}

static int
prepare_masks (const struct imageset *s, struct worker *w)
{
  struct image_options o = *image_options_default ();
  int err;

  o.numbers = true;
  o.exif = false; /* they are drawn over the image as it is seen */
  err = image_reader_new (&o, &w->mask_reader);
  if (err == 0)
    err = raster_new (s->crop.h, s->crop.w, 1, &w->mask);
  if (err)
    return err;
  w->mask_rgb = malloc ((size_t) (s->crop.h * s->crop.w) * 3);
  return w->mask_rgb ? 0 : qk_oom ("a mask");
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
  if (err == 0 && s->masks.categories > 0)
    err = prepare_masks (s, w);
  if (err == 0)
    *worker = w;
  else
    imageset_worker_free (w);
  return err;
}

/* An image that was opened, and what is made of it. */
struct job {
  const struct imageset *s;
  struct worker *w;
  int64_t width, height;
  struct image_view view;
  const char *mask; /* NULL: it has none */
  struct qk_rng *rng;
};

/* Whether pixel I of what VIEW delivers is none of the image, but padding. */
static bool
is_padding (const struct image_view *view, int64_t i)
{
  const int64_t x = i % view->win_w, y = view->win_y + i / view->win_w;
  const int64_t at = view->win_x + (view->flip ? view->win_w - 1 - x : x);

  return at < 0 || at >= view->out_w || y < 0 || y >= view->out_h;
}

/* The mask as bytes, cut and mirrored as the image, into w->mask. */
static int
render_mask (const struct job *j)
{
  const int64_t n = j->s->crop.h * j->s->crop.w;
  struct worker *w = j->w;
  struct image_view view = j->view;
  int64_t width, height;
  int err = image_open (w->mask_reader, j->mask, &width, &height);

  if (err)
    return err;
  if (width != j->width || height != j->height)
    return qk_error (-EBADMSG,
                     "%s: a mask of %lld x %lld, its image is %lld x %lld",
                     j->mask, (long long) width, (long long) height,
                     (long long) j->width, (long long) j->height);
  view.filter = IMAGE_NEAREST;
  err = image_render (w->mask_reader, &view, NULL, w->mask_rgb, NULL);
  for (int64_t i = 0; err == 0 && i < n; i++) {
    const uint8_t *p = w->mask_rgb + 3 * i;

    if (p[0] != p[1] || p[0] != p[2])
      return qk_error (-EBADMSG,
                       "%s: a pixel of the mask is %d,%d,%d, expected an "
                       "image in grey, or with a palette, of the "
                       "categories' numbers",
                       j->mask, p[0], p[1], p[2]);
    w->mask->pixels[i] = is_padding (&j->view, i) && j->s->masks.ignore >= 0
                           ? (uint8_t) j->s->masks.ignore
                           : p[0];
  }
  return err;
}

/* The bytes of the mask as categories. */
static int
take_labels (const struct job *j, int32_t *labels)
{
  const struct imageset_masks *m = &j->s->masks;
  const int64_t n = j->s->crop.h * j->s->crop.w;

  for (int64_t i = 0; i < n; i++) {
    const int v = j->w->mask->pixels[i];

    if (v != m->ignore && v >= m->categories)
      return qk_error (-EBADMSG,
                       "%s: a pixel of the mask is %d, expected 0 to %lld%s",
                       j->mask, v, (long long) m->categories - 1,
                       m->ignore >= 0 ? " or what is ignored" : "");
    labels[i] = v == m->ignore ? QK_NO_CATEGORY : v;
  }
  return 0;
}

/* A training image, by way of its bytes, with its mask. */
static int
render_changed (const struct job *j, float *out)
{
  const struct imageset *s = j->s;
  const int channels = s->pixels.channels;
  const int64_t row = s->crop.w * channels;
  struct raster *r = j->w->raster;
  const struct augment_mask mask
    = { j->w->mask, (uint8_t) (s->masks.ignore >= 0 ? s->masks.ignore : 0) };
  const int err = image_render (j->w->reader, &j->view, NULL, r->pixels, NULL);

  if (err)
    return err;
  augment_bytes (&s->changes, r, j->mask ? &mask : NULL, j->rng);
  for (int64_t y = 0; y < s->crop.h; y++)
    image_norm_row (&s->norm, r->pixels + y * row, channels, s->crop.w, false,
                    out + y * row);
  return 0;
}

static int
render_training (struct job *j, float *out)
{
  const struct imageset *s = j->s;
  int err = 0;

  if (s->pad >= 0)
    image_view_padded (j->width, j->height, s->resize, s->fit, s->crop, s->pad,
                       s->flip, s->filter, j->rng, &j->view);
  else
    image_view_random (j->width, j->height, s->crop, s->min_scale, s->flip,
                       s->filter, j->rng, &j->view);
  if (j->mask)
    err = render_mask (j);
  if (err)
    return err;
  if (s->fast)
    image_reduce (j->w->reader, &j->view);
  err = j->w->raster
          ? render_changed (j, out)
          : image_render (j->w->reader, &j->view, &s->norm, NULL, out);
  if (err == 0)
    augment_floats (&s->changes, out, s->crop.h, s->crop.w, s->pixels.channels,
                    j->rng);
  return err;
}

static int
render (struct job *j, float *out)
{
  const struct imageset *s = j->s;
  int err = 0;

  if (s->augment && j->rng)
    return render_training (j, out);
  image_view_center (j->width, j->height, s->resize, s->fit, s->crop,
                     s->filter, &j->view);
  if (j->mask)
    err = render_mask (j);
  return err ? err
             : image_render (j->w->reader, &j->view, &s->norm, NULL, out);
}

int
imageset_read (const struct imageset *s, void *worker, const char *path,
               struct qk_rng *rng, float *out)
{
  struct job j = { .s = s, .w = worker, .rng = rng };
  const int err = image_open (j.w->reader, path, &j.width, &j.height);

  return err ? err : render (&j, out);
}

int
imageset_read_memory (const struct imageset *s, void *worker,
                      const uint8_t *data, size_t size, const char *name,
                      struct qk_rng *rng, float *out)
{
  struct job j = { .s = s, .w = worker, .rng = rng };
  const int err
    = image_open_memory (j.w->reader, data, size, name, &j.width, &j.height);

  return err ? err : render (&j, out);
}

int
imageset_read_masked (const struct imageset *s, void *worker, const char *path,
                      const char *mask, struct qk_rng *rng, float *out,
                      int32_t *labels)
{
  struct job j = { .s = s, .w = worker, .mask = mask, .rng = rng };
  int err = image_open (j.w->reader, path, &j.width, &j.height);

  if (err == 0)
    err = render (&j, out);
  return err ? err : take_labels (&j, labels);
}

int
imageset_read_array (const struct imageset *s, void *worker,
                     const struct qk_sample_array *a, float *out)
{
  struct job j = { .s = s, .w = worker };
  int err;

  if (a->dtype == QK_F32)
    return image_norm_array (&s->norm, a, s->crop, out);
  err = image_open_pixels (j.w->reader, a, &j.width, &j.height);
  return err ? err : render (&j, out);
}
