/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawset.c: small images, stored as bytes. */
#include "config.h"

#include "rawset.h"

/* One number for each of N channels, or one for all. */
static int
take (const struct qk_config *cfg, const char *who, const char *name,
      int64_t channels, float out[4])
{
  const int n = qk_config_floats (cfg, name, out, 4);
  int64_t c;

  if (n != 1 && n != channels)
    return qk_error (-EINVAL, "%s: %s (%s) must be one number or %lld, got %d",
                     who, name, qk_config_where (cfg, name),
                     (long long) channels, n);
  for (c = 1; n == 1 && c < channels; c++)
    out[c] = out[0];
  return 0;
}

int
rawset_configure (struct rawset *s, const char *name,
                  const struct qk_config *cfg, bool augment, int64_t h,
                  int64_t w, int64_t channels)
{
  float mean[4], std[4];
  int64_t c;
  int err, v;

  if (channels < 1 || channels > 4)
    return qk_error (-EINVAL, "%s: images of %lld channels, expected 1 to 4",
                     name, (long long) channels);
  s->h = h;
  s->w = w;
  s->channels = channels;
  s->pad = qk_config_int (cfg, "pad");
  s->flip = qk_config_bool (cfg, "flip");
  s->augment = augment;
  err = take (cfg, name, "mean", channels, mean);
  if (err == 0)
    err = take (cfg, name, "std", channels, std);
  for (c = 0; err == 0 && c < channels; c++)
    for (v = 0; v < 256; v++)
      s->value[c][v] = ((float) v / 255.0f - mean[c]) / std[c];
  return err < 0 ? err : augment_configure (&s->changes, name, cfg, channels);
}

int
rawset_worker_new (const struct rawset *s, void **worker)
{
  struct raster *r = NULL;
  int err = 0;

  if (s->augment && augment_wants_bytes (&s->changes))
    err = raster_new (s->h, s->w, (int) s->channels, &r);
  *worker = r;
  return err;
}

void
rawset_worker_free (void *worker)
{
  raster_free (worker);
}

/* How a training image is moved and mirrored. */
struct place {
  int64_t dx, dy;
  bool flip;
};

static struct place
random_place (const struct rawset *s, struct qk_rng *rng)
{
  const uint64_t places = (uint64_t) (2 * s->pad + 1);
  struct place p = { 0, 0, false };

  if (s->augment && s->pad > 0) {
    p.dy = (int64_t) qk_rng_below (rng, places) - s->pad;
    p.dx = (int64_t) qk_rng_below (rng, places) - s->pad;
  }
  if (s->augment && s->flip)
    p.flip = qk_rng_below (rng, 2) == 1;
  return p;
}

/* Pixel (x, y) of IMAGE moved to P; NULL outside. */
static inline const uint8_t *
pixel_at (const struct rawset *s, const struct rawset_image *image,
          const struct place *p, int64_t x, int64_t y)
{
  const int64_t v = y + p->dy, u = (p->flip ? s->w - 1 - x : x) + p->dx;

  if (v < 0 || v >= s->h || u < 0 || u >= s->w)
    return NULL;
  return image->pixels + v * image->row + u * image->column;
}

/* The same by way of bytes that are changed. */
static void
deliver_changed (const struct rawset *s, struct raster *r,
                 const struct rawset_image *image, const struct place *p,
                 struct qk_rng *rng, float *out)
{
  const int64_t n = s->h * s->w * s->channels;
  uint8_t *to = r->pixels;

  for (int64_t y = 0; y < s->h; y++)
    for (int64_t x = 0; x < s->w; x++) {
      const uint8_t *from = pixel_at (s, image, p, x, y);

      for (int64_t c = 0; c < s->channels; c++)
        *to++ = from ? from[c * image->channel] : 0;
    }
  augment_bytes (&s->changes, r, NULL, rng);
  for (int64_t i = 0; i < n; i++)
    out[i] = s->value[i % s->channels][r->pixels[i]];
}

static void
deliver_plain (const struct rawset *s, const struct rawset_image *image,
               const struct place *p, float *out)
{
  for (int64_t y = 0; y < s->h; y++)
    for (int64_t x = 0; x < s->w; x++) {
      const uint8_t *from = pixel_at (s, image, p, x, y);

      for (int64_t c = 0; c < s->channels; c++)
        *out++ = s->value[c][from ? from[c * image->channel] : 0];
    }
}

void
rawset_deliver (const struct rawset *s, void *worker,
                const struct rawset_image *image, struct qk_rng *rng,
                float *out)
{
  const struct place p = random_place (s, rng);

  if (worker)
    deliver_changed (s, worker, image, &p, rng, out);
  else
    deliver_plain (s, image, &p, out);
  if (s->augment)
    augment_floats (&s->changes, out, s->h, s->w, s->channels, rng);
}
