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
  return err;
}

void
rawset_deliver (const struct rawset *s, const uint8_t *pixels, int64_t column,
                int64_t row, int64_t channel, struct qk_rng *rng, float *out)
{
  const uint64_t places = (uint64_t) (2 * s->pad + 1);
  int64_t dx = 0, dy = 0, x, y, c;
  bool flip = false;

  if (s->augment && s->pad > 0) {
    dy = (int64_t) qk_rng_below (rng, places) - s->pad;
    dx = (int64_t) qk_rng_below (rng, places) - s->pad;
  }
  if (s->augment && s->flip)
    flip = qk_rng_below (rng, 2) == 1;
  for (y = 0; y < s->h; y++)
    for (x = 0; x < s->w; x++, out += s->channels) {
      const int64_t v = y + dy, u = (flip ? s->w - 1 - x : x) + dx;
      const bool inside = v >= 0 && v < s->h && u >= 0 && u < s->w;

      for (c = 0; c < s->channels; c++)
        out[c]
          = s->value[c]
                    [inside ? pixels[v * row + u * column + c * channel] : 0];
    }
}
