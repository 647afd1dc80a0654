/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* raster.c: room for an image and for what is made of it. */
#include "config.h"

#include <stdlib.h>

#include "raster.h"

int
raster_new (int64_t h, int64_t w, int channels, struct raster **out)
{
  struct raster *r = calloc (1, sizeof *r);
  const size_t size = (size_t) (h * w * channels);

  if (r) {
    r->pixels = malloc (size);
    r->spare = malloc (size);
  }
  if (!r || !r->pixels || !r->spare) {
    raster_free (r);
    return qk_oom ("an image");
  }
  r->h = h;
  r->w = w;
  r->channels = channels;
  *out = r;
  return 0;
}

void
raster_free (struct raster *r)
{
  if (!r)
    return;
  free (r->pixels);
  free (r->spare);
  free (r);
}
