/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* raster.h: changes of images of bytes, each the bytes that PIL 9 gives for
 * modes L and RGB. */
#ifndef QK_AUGMENT_RASTER_H
#define QK_AUGMENT_RASTER_H

#include <qatkit/base.h>

/* An image (h,w,channels), channels 1 or 3.  SPARE is as large; changes that
 * cannot be made in place exchange the two. */
struct raster {
  uint8_t *pixels, *spare;
  int64_t h, w;
  int channels;
};

/* The bytes are not set.  -ENOMEM; free with raster_free. */
int raster_new (int64_t h, int64_t w, int channels, struct raster **out);
void raster_free (struct raster *r); /* accepts NULL */

/* ---- enhance.c: ImageEnhance.NAME (image).enhance (factor) ---------------- */

void raster_brightness (struct raster *r, double factor);
void raster_contrast (struct raster *r, double factor);
/* ImageEnhance.Color; grey images stay as they are. */
void raster_saturation (struct raster *r, double factor);
void raster_sharpness (struct raster *r, double factor);

/* ---- hue.c ---------------------------------------------------------------- */

/* torchvision's adjust_hue, by image.convert ("HSV"): SHIFT -0.5 .. 0.5 of the
 * circle; grey images stay as they are. */
void raster_hue (struct raster *r, double shift);

/* ---- levels.c: ImageOps.NAME (image), byte by byte ------------------------ */

void raster_autocontrast (struct raster *r);
void raster_equalize (struct raster *r);
void raster_posterize (struct raster *r, int bits); /* 1 .. 8 */
void raster_solarize (struct raster *r, double threshold);

/* ---- warp.c ---------------------------------------------------------------- */

enum raster_filter { RASTER_NEAREST, RASTER_BILINEAR };

/* How pixels that move are made, and what those from outside the image are. */
struct raster_move {
  enum raster_filter filter;
  uint8_t fill[3];
};

/* image.transform (image.size, AFFINE, MATRIX, filter, fillcolor=fill): pixel
 * (x, y) comes from (m0 x + m1 y + m2, m3 x + m4 y + m5). */
void raster_affine (struct raster *r, const double matrix[6],
                    const struct raster_move *how);
/* image.rotate (degrees, filter, fillcolor=fill), counterclockwise. */
void raster_rotate (struct raster *r, double degrees,
                    const struct raster_move *how);

/* torchvision's affine: degrees clockwise, then shears in degrees, all around
 * the centre, moved by pixels. */
struct raster_warp {
  double degrees, scale;
  int64_t move_x, move_y;
  double shear_x, shear_y;
  double center_x,
    center_y; /* pixels; (w / 2, h / 2) unless meant otherwise */
};
void raster_warp (struct raster *r, const struct raster_warp *warp,
                  const struct raster_move *how);

#endif /* QK_AUGMENT_RASTER_H */
