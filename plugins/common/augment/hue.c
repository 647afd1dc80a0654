/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hue.c: colours around the circle, through 8-bit hue, saturation and value
 * with the roundings that PIL's mode HSV has. */
#include "config.h"

#include <math.h>

#include "raster.h"

static inline uint8_t
to_byte (int v)
{
  return (uint8_t) (v < 0 ? 0 : v > 255 ? 255 : v);
}

static uint8_t
largest (const uint8_t *p)
{
  const uint8_t a = p[0] > p[1] ? p[0] : p[1];

  return a > p[2] ? a : p[2];
}

static uint8_t
smallest (const uint8_t *p)
{
  const uint8_t a = p[0] < p[1] ? p[0] : p[1];

  return a < p[2] ? a : p[2];
}

/* The hue of P, whose largest and smallest channel differ; 255 is a turn. */
static uint8_t
hue_of (const uint8_t *p, uint8_t most, uint8_t least)
{
  const float range = (float) (most - least);
  const float r = (float) (most - p[0]) / range;
  const float g = (float) (most - p[1]) / range;
  const float b = (float) (most - p[2]) / range;
  float h;

  if (p[0] == most)
    h = b - g;
  else if (p[1] == most)
    h = (float) (2.0 + (double) r - (double) b);
  else
    h = (float) (4.0 + (double) g - (double) r);
  h = (float) fmod ((double) h / 6.0 + 1.0, 1.0);
  return to_byte ((int) ((double) h * 255.0));
}

/* The colour of hue H, saturation S and value V into P. */
static void
set_colour (uint8_t *p, uint8_t h, uint8_t s, uint8_t v)
{
  const double sixths = (double) h * 6.0 / 255.0;
  const int i = (int) floor (sixths);
  const double f = (double) (float) (sixths - (double) i);
  const double fs = (double) (float) ((double) s / 255.0);
  const uint8_t a = to_byte ((int) round (v * (1.0 - fs)));
  const uint8_t q = to_byte ((int) round (v * (1.0 - fs * f)));
  const uint8_t t = to_byte ((int) round (v * (1.0 - fs * (1.0 - f))));
  const uint8_t rgb[6][3] = { { v, t, a }, { q, v, a }, { a, v, t },
                              { a, q, v }, { t, a, v }, { v, a, q } };

  for (int c = 0; c < 3; c++)
    p[c] = rgb[i % 6][c];
}

void
raster_hue (struct raster *r, double shift)
{
  const int64_t n = r->h * r->w;
  const uint8_t by = (uint8_t) ((int) (shift * 255) & 255);
  uint8_t *p = r->pixels;

  if (r->channels != 3)
    return;
  for (int64_t i = 0; i < n; i++, p += 3) {
    const uint8_t most = largest (p), least = smallest (p);
    float s;

    if (most == least) /* grey: no hue changes it */
      continue;
    s = (float) (most - least) / (float) most;
    set_colour (p, (uint8_t) (hue_of (p, most, least) + by),
                to_byte ((int) ((double) s * 255.0)), most);
  }
}
