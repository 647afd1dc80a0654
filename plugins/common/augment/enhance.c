/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* enhance.c: between a degenerate image and the image, or beyond it, as PIL's
 * ImageEnhance: y = d + factor (x - d), in float, cut off to a byte. */
#include "config.h"

#include <string.h>

#include "raster.h"

static inline uint8_t
blend (uint8_t from, uint8_t to, float factor)
{
  const float y = (float) from + factor * (float) ((int) to - (int) from);

  return y <= 0.0f ? 0 : y >= 255.0f ? 255 : (uint8_t) y;
}

/* Luma of ITU-R 601-2 in 16 bits, as PIL rounds it. */
static inline uint8_t
luma (const uint8_t *p, int channels)
{
  if (channels == 1)
    return p[0];
  return (uint8_t) ((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u)
                    >> 16);
}

/* The degenerate image is of one brightness. */
static void
blend_with (struct raster *r, uint8_t level, double factor)
{
  const int64_t n = r->h * r->w * r->channels;
  uint8_t table[256];

  for (int v = 0; v < 256; v++)
    table[v] = blend (level, (uint8_t) v, (float) factor);
  for (int64_t i = 0; i < n; i++)
    r->pixels[i] = table[r->pixels[i]];
}

void
raster_brightness (struct raster *r, double factor)
{
  blend_with (r, 0, factor);
}

void
raster_contrast (struct raster *r, double factor)
{
  const int64_t n = r->h * r->w;
  int64_t sum = 0;

  for (int64_t i = 0; i < n; i++)
    sum += luma (r->pixels + i * r->channels, r->channels);
  blend_with (r, (uint8_t) ((double) sum / (double) n + 0.5), factor);
}

void
raster_saturation (struct raster *r, double factor)
{
  const int64_t n = r->h * r->w;
  uint8_t *p = r->pixels;

  if (r->channels != 3)
    return;
  for (int64_t i = 0; i < n; i++, p += 3) {
    const uint8_t grey = luma (p, 3);

    for (int c = 0; c < 3; c++)
      p[c] = blend (grey, p[c], (float) factor);
  }
}

/* ImageFilter.SMOOTH at an inner byte: neighbours once, itself five times, by
 * 13.  A thirteenth is never half way between integers, so that PIL's sum in
 * float rounds to the same. */
static inline uint8_t
smooth (const uint8_t *p, int64_t row, int64_t step)
{
  int sum = 4 * p[0];

  for (int dy = -1; dy <= 1; dy++)
    sum += p[dy * row - step] + p[dy * row] + p[dy * row + step];
  return (uint8_t) ((2 * sum + 13) / 26);
}

/* At the border the degenerate image is the image. */
void
raster_sharpness (struct raster *r, double factor)
{
  const int64_t row = r->w * r->channels;
  uint8_t *was = r->pixels;

  if (r->h < 3 || r->w < 3)
    return;
  memcpy (r->spare, was, (size_t) (r->h * row));
  for (int64_t y = 1; y + 1 < r->h; y++)
    for (int64_t x = r->channels; x < row - r->channels; x++) {
      const uint8_t *p = was + y * row + x;

      r->spare[y * row + x]
        = blend (smooth (p, row, r->channels), *p, (float) factor);
    }
  r->pixels = r->spare;
  r->spare = was;
}
