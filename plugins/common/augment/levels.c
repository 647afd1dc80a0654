/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* levels.c: a table of 256 bytes for each channel, as PIL's ImageOps make
 * them. */
#include "config.h"

#include <string.h>

#include "raster.h"

/* How often each byte occurs in channel C. */
static void
count (const struct raster *r, int c, int64_t histogram[256])
{
  const int64_t n = r->h * r->w;
  const uint8_t *p = r->pixels + c;

  memset (histogram, 0, 256 * sizeof *histogram);
  for (int64_t i = 0; i < n; i++, p += r->channels)
    histogram[*p]++;
}

static void
replace (struct raster *r, int c, const uint8_t table[256])
{
  const int64_t n = r->h * r->w;
  uint8_t *p = r->pixels + c;

  for (int64_t i = 0; i < n; i++, p += r->channels)
    *p = table[*p];
}

/* The darkest becomes black, the brightest white. */
void
raster_autocontrast (struct raster *r)
{
  for (int c = 0; c < r->channels; c++) {
    int64_t histogram[256];
    uint8_t table[256];
    int lo = 0, hi = 255;
    double scale, offset;

    count (r, c, histogram);
    while (lo < 255 && histogram[lo] == 0)
      lo++;
    while (hi > 0 && histogram[hi] == 0)
      hi--;
    if (hi <= lo)
      continue;
    scale = 255.0 / (hi - lo);
    offset = -lo * scale;
    for (int v = 0; v < 256; v++) {
      const int to = (int) (v * scale + offset);

      table[v] = (uint8_t) (to < 0 ? 0 : to > 255 ? 255 : to);
    }
    replace (r, c, table);
  }
}

/* All brightnesses as often as each other. */
void
raster_equalize (struct raster *r)
{
  for (int c = 0; c < r->channels; c++) {
    int64_t histogram[256], sum = 0, step;
    uint8_t table[256];
    int used = 0, last = 0;

    count (r, c, histogram);
    for (int v = 0; v < 256; v++)
      if (histogram[v] > 0) {
        used++;
        last = v;
        sum += histogram[v];
      }
    step = (sum - histogram[last]) / 255;
    if (used <= 1 || step == 0)
      continue;
    sum = step / 2;
    for (int v = 0; v < 256; v++) {
      table[v] = (uint8_t) (sum / step > 255 ? 255 : sum / step);
      sum += histogram[v];
    }
    replace (r, c, table);
  }
}

/* One table for all channels. */
static void
replace_all (struct raster *r, const uint8_t table[256])
{
  for (int c = 0; c < r->channels; c++)
    replace (r, c, table);
}

void
raster_posterize (struct raster *r, int bits)
{
  uint8_t table[256];

  for (int v = 0; v < 256; v++)
    table[v] = (uint8_t) (v & ~((1 << (8 - bits)) - 1));
  replace_all (r, table);
}

void
raster_solarize (struct raster *r, double threshold)
{
  uint8_t table[256];

  for (int v = 0; v < 256; v++)
    table[v] = (uint8_t) (v < threshold ? v : 255 - v);
  replace_all (r, table);
}
