/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* warp.c: images turned, moved and sheared, with the arithmetic of PIL's
 * Image.transform: nearest pixels in fixed point where there is no more than
 * 2^15 of them, bilinear in double. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raster.h"

#define PI 3.14159265358979323846

/* ---- copying ---------------------------------------------------------- */

/* C is small: a call would cost more than the bytes. */
static inline void
copy_pixel (uint8_t *to, const uint8_t *from, int c)
{
  for (int i = 0; i < c; i++)
    to[i] = from[i];
}

/* Pixel (X, Y) of what is made comes from (FROM_X, FROM_Y), if that is within
 * the image. */
static inline void
take (const struct raster *r, int64_t x, int64_t y, int64_t from_x,
      int64_t from_y)
{
  const int c = r->channels;

  if (from_x >= 0 && from_x < r->w && from_y >= 0 && from_y < r->h)
    copy_pixel (r->spare + (y * r->w + x) * c,
                r->pixels + (from_y * r->w + from_x) * c, c);
}

static void
exchange (struct raster *r)
{
  uint8_t *was = r->pixels;

  r->pixels = r->spare;
  r->spare = was;
}

static void
fill_spare (const struct raster *r, const struct raster_move *how)
{
  const int64_t n = r->h * r->w;

  for (int64_t i = 0; i < n; i++)
    copy_pixel (r->spare + i * r->channels, how->fill, r->channels);
}

/* ---- nearest ---------------------------------------------------------- */

static bool
fits_fixed (const double m[6], double x, double y)
{
  return fabs (x * m[0] + y * m[1] + m[2]) < 32768.0
         && fabs (x * m[3] + y * m[4] + m[5]) < 32768.0;
}

static int64_t
to_fixed (double v)
{
  return (int64_t) floor (v * 65536.0 + 0.5);
}

/* A coordinate as an integer; -1 for one before the image. */
static int64_t
coordinate (double v)
{
  return v < 0.0 ? -1 : (int64_t) v;
}

static void
nearest_fixed (const struct raster *r, const double m[6])
{
  const int64_t a0 = to_fixed (m[0]), a1 = to_fixed (m[1]);
  const int64_t a3 = to_fixed (m[3]), a4 = to_fixed (m[4]);
  int64_t a2 = to_fixed (m[2] + m[0] * 0.5 + m[1] * 0.5);
  int64_t a5 = to_fixed (m[5] + m[3] * 0.5 + m[4] * 0.5);

  for (int64_t y = 0; y < r->h; y++, a2 += a1, a5 += a4) {
    int64_t u = a2, v = a5;

    for (int64_t x = 0; x < r->w; x++, u += a0, v += a3)
      take (r, x, y, u >> 16, v >> 16);
  }
}

/* Neither turned nor sheared: coordinates are sums of steps. */
static void
nearest_straight (const struct raster *r, const double m[6])
{
  double v = m[5] + m[4] * 0.5;

  for (int64_t y = 0; y < r->h; y++, v += m[4]) {
    double u = m[2] + m[0] * 0.5;

    for (int64_t x = 0; x < r->w; x++, u += m[0])
      take (r, x, y, coordinate (u), coordinate (v));
  }
}

static void
nearest_double (const struct raster *r, const double m[6])
{
  double a2 = m[2] + m[0] * 0.5 + m[1] * 0.5;
  double a5 = m[5] + m[3] * 0.5 + m[4] * 0.5;

  for (int64_t y = 0; y < r->h; y++, a2 += m[1], a5 += m[4]) {
    double u = a2, v = a5;

    for (int64_t x = 0; x < r->w; x++, u += m[0], v += m[3])
      take (r, x, y, coordinate (u), coordinate (v));
  }
}

static void
nearest (const struct raster *r, const double m[6])
{
  const double w = (double) r->w, h = (double) r->h;

  if (m[1] == 0 && m[3] == 0)
    nearest_straight (r, m);
  else if (fits_fixed (m, 0, 0) && fits_fixed (m, w, h) && fits_fixed (m, 0, h)
           && fits_fixed (m, w, 0))
    nearest_fixed (r, m);
  else
    nearest_double (r, m);
}

/* ---- bilinear --------------------------------------------------------- */

static int64_t
clip (int64_t v, int64_t n)
{
  return v < 0 ? 0 : v < n ? v : n - 1;
}

/* floor (v) of what is at least -1, without a call. */
static inline int64_t
below (double v)
{
  return v < 0.0 ? -1 : (int64_t) v;
}

/* The pixel of C channels at (U, V), the middle of the first one being
 * (0.5, 0.5), if that is within the image. */
static inline void
bilinear_pixel (const struct raster *r, double u, double v, int c,
                uint8_t *out)
{
  const uint8_t *row, *next;
  int64_t x, y, left, right;
  double dx, dy;

  if (u < 0.0 || u >= (double) r->w || v < 0.0 || v >= (double) r->h)
    return;
  x = below (u - 0.5);
  y = below (v - 0.5);
  dx = u - 0.5 - (double) x;
  dy = v - 0.5 - (double) y;
  row = r->pixels + clip (y, r->h) * r->w * c;
  next = r->pixels + clip (y + 1, r->h) * r->w * c;
  left = clip (x, r->w) * c;
  right = clip (x + 1, r->w) * c;
  for (int i = 0; i < c; i++) {
    const double a = row[left + i], b = row[right + i];
    const double d = next[left + i], e = next[right + i];
    const double upper = a + (b - a) * dx, lower = d + (e - d) * dx;

    out[i] = (uint8_t) (upper + (lower - upper) * dy);
  }
}

static inline void
bilinear_pixels (const struct raster *r, const double m[6], int c)
{
  uint8_t *out = r->spare;

  for (int64_t y = 0; y < r->h; y++)
    for (int64_t x = 0; x < r->w; x++, out += c) {
      const double u = (double) x + 0.5, v = (double) y + 0.5;

      bilinear_pixel (r, m[0] * u + m[1] * v + m[2],
                      m[3] * u + m[4] * v + m[5], c, out);
    }
}

static void
bilinear (const struct raster *r, const double m[6])
{
  if (r->channels == 3) /* so that the compiler knows */
    bilinear_pixels (r, m, 3);
  else
    bilinear_pixels (r, m, r->channels);
}

/* ---- what is asked for ------------------------------------------------ */

void
raster_affine (struct raster *r, const double matrix[6],
               const struct raster_move *how)
{
  fill_spare (r, how);
  if (how->filter == RASTER_NEAREST)
    nearest (r, matrix);
  else
    bilinear (r, matrix);
  exchange (r);
}

/* Whole quarters of a turn, counterclockwise. */
static void
quarters (struct raster *r, int n)
{
  for (int64_t y = 0; y < r->h; y++)
    for (int64_t x = 0; x < r->w; x++)
      if (n == 1)
        take (r, x, y, r->w - 1 - y, x);
      else if (n == 2)
        take (r, x, y, r->w - 1 - x, r->h - 1 - y);
      else
        take (r, x, y, y, r->h - 1 - x);
  exchange (r);
}

/* Python's round (v, 15): the shortest way to 15 decimals is to write them. */
static double
fifteen (double v)
{
  char text[40];

  snprintf (text, sizeof text, "%.15f", v);
  return strtod (text, NULL);
}

void
raster_rotate (struct raster *r, double degrees, const struct raster_move *how)
{
  const double cx = (double) r->w / 2.0, cy = (double) r->h / 2.0;
  double angle = fmod (degrees, 360.0), m[6];

  angle = angle < 0 ? angle + 360.0 : angle;
  if (angle == 0)
    return;
  if (angle == 180 || ((angle == 90 || angle == 270) && r->w == r->h)) {
    quarters (r, (int) angle / 90);
    return;
  }
  angle = -(angle * (PI / 180.0));
  m[0] = m[4] = fifteen (cos (angle));
  m[1] = fifteen (sin (angle));
  m[3] = fifteen (-sin (angle));
  m[2] = m[0] * -cx + m[1] * -cy + 0.0 + cx;
  m[5] = m[3] * -cx + m[4] * -cy + 0.0 + cy;
  raster_affine (r, m, how);
}

void
raster_warp (struct raster *r, const struct raster_warp *warp,
             const struct raster_move *how)
{
  const double turn = warp->degrees * (PI / 180.0);
  const double sx = warp->shear_x * (PI / 180.0);
  const double sy = warp->shear_y * (PI / 180.0);
  const double cx = warp->center_x, cy = warp->center_y;
  const double tx = (double) warp->move_x, ty = (double) warp->move_y;
  /* turn, then shear along y, then along x */
  const double a = cos (turn - sy) / cos (sy);
  const double b = -cos (turn - sy) * tan (sx) / cos (sy) - sin (turn);
  const double c = sin (turn - sy) / cos (sy);
  const double d = -sin (turn - sy) * tan (sx) / cos (sy) + cos (turn);
  double m[6] = { d / warp->scale,  -b / warp->scale, 0.0 / warp->scale,
                  -c / warp->scale, a / warp->scale,  0.0 / warp->scale };

  m[2] += m[0] * (-cx - tx) + m[1] * (-cy - ty);
  m[5] += m[3] * (-cx - tx) + m[4] * (-cy - ty);
  m[2] += cx;
  m[5] += cy;
  raster_affine (r, m, how);
}
