/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* draw.c: generated images of geometric figures.
 *
 * draw_image: a background of two colours mixed by waves, lines and blobs of clutter,
 * the figure (any place, size, rotation, stretch and colour), more clutter
 * that hides parts of it, and noise.  Colours are floats 0..255.
 */
#include "config.h"

#include <math.h>
#include <string.h>

#include "draw.h"

#define TAU 6.283185307179586
#define GRID 3 /* points per pixel and direction, for smooth edges */

const char *const draw_names[DRAW_CLASSES]
  = { "bars", "checker", "crescent", "cross", "disc",
      "ring", "spiral",  "square",   "star",  "triangle" };

static double
uniform (struct qk_rng *rng, double lo, double hi)
{
  return lo + (hi - lo) * qk_rng_double (rng);
}

/* ---- figures: is (u, v) inside?  All lie within the unit disc's square. */

static bool
inside_bars (double u, double v)
{
  return fabs (u) < 0.9 && fabs (v) < 0.9
         && ((int) floor ((u + 0.9) / 0.36) & 1) == 0;
}

static bool
inside_checker (double u, double v)
{
  return fabs (u) < 0.9 && fabs (v) < 0.9
         && (((int) floor ((u + 0.9) / 0.6) + (int) floor ((v + 0.9) / 0.6))
             & 1)
              == 0;
}

static bool
inside_crescent (double u, double v)
{
  const double d = u - 0.45;

  return u * u + v * v < 0.9 && d * d + v * v > 0.6;
}

static bool
inside_cross (double u, double v)
{
  return (fabs (u) < 0.3 && fabs (v) < 0.95)
         || (fabs (v) < 0.3 && fabs (u) < 0.95);
}

static bool
inside_disc (double u, double v)
{
  return u * u + v * v < 0.8;
}

static bool
inside_ring (double u, double v)
{
  const double r = u * u + v * v;

  return r < 0.9 && r > 0.3;
}

static bool
inside_spiral (double u, double v)
{
  const double r = sqrt (u * u + v * v);
  const double turn = 1.7 * r - atan2 (v, u) / TAU;

  return r < 0.95 && turn - floor (turn) < 0.5;
}

static bool
inside_square (double u, double v)
{
  return fabs (u) < 0.78 && fabs (v) < 0.78;
}

static bool
inside_star (double u, double v)
{
  /* One fifth folded in half: an edge from the tip at radius 1, angle 0, to
   * the notch at radius 0.42, angle pi/5. */
  const double fifth = TAU / 5, notch = 0.42;
  const double r = sqrt (u * u + v * v);
  double a = atan2 (v, u) / fifth;
  double x, y, nx, ny;

  a = fabs (a - floor (a + 0.5)) * fifth;
  x = r * cos (a);
  y = r * sin (a);
  nx = notch * cos (fifth / 2);
  ny = notch * sin (fifth / 2);
  return (nx - 1) * y - ny * (x - 1) > 0;
}

static bool
inside_triangle (double u, double v)
{
  return v < 0.5 && 0.8660254 * u - 0.5 * v < 0.5
         && -0.8660254 * u - 0.5 * v < 0.5;
}

static bool (*const inside[DRAW_CLASSES]) (double u, double v)
  = { inside_bars, inside_checker, inside_crescent, inside_cross,
      inside_disc, inside_ring,    inside_spiral,   inside_square,
      inside_star, inside_triangle };

/* ---- painting --------------------------------------------------------*/

static void
random_colour (struct qk_rng *rng, double c[3])
{
  int i;

  for (i = 0; i < 3; i++)
    c[i] = uniform (rng, 20, 235);
}

static double
distance (const double a[3], const double b[3])
{
  const double x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];

  return sqrt (x * x + y * y + z * z);
}

/* A colour at least CONTRAST away from A and B, if a few tries find one. */
static void
contrasting_colour (struct qk_rng *rng, const double a[3], const double b[3],
                    double contrast, double c[3])
{
  int i;

  for (i = 0; i < 12; i++) {
    random_colour (rng, c);
    if (distance (a, c) >= contrast && distance (b, c) >= contrast)
      return;
  }
}

static void
blend (float *pixel, const double c[3], double share)
{
  int i;

  for (i = 0; i < 3; i++)
    pixel[i] += (float) (share * (c[i] - (double) pixel[i]));
}

static void
paint_background (struct qk_rng *rng, int size, const double a[3],
                  const double b[3], float *canvas)
{
  const double angle = uniform (rng, 0, TAU);
  const double wave = uniform (rng, 0.3, 3.0) * TAU / size;
  const double kx = wave * cos (angle), ky = wave * sin (angle);
  const double phase = uniform (rng, 0, TAU);
  const double bend = uniform (rng, 0, 1.5);
  int x, y, i;

  for (y = 0; y < size; y++)
    for (x = 0; x < size; x++, canvas += 3) {
      const double t
        = 0.5
          + 0.5 * sin (kx * x + ky * y + phase + bend * sin (ky * x - kx * y));

      for (i = 0; i < 3; i++)
        canvas[i] = (float) (a[i] + t * (b[i] - a[i]));
    }
}

/* A straight stroke, WIDTH pixels wide. */
static void
paint_line (struct qk_rng *rng, int size, double width, double strength,
            float *canvas)
{
  const double ax = uniform (rng, 0, size), ay = uniform (rng, 0, size);
  const double angle = uniform (rng, 0, TAU);
  const double length = uniform (rng, 0.2, 0.8) * size;
  const double dx = cos (angle), dy = sin (angle);
  double c[3];
  int x, y;

  random_colour (rng, c);
  for (y = 0; y < size; y++)
    for (x = 0; x < size; x++, canvas += 3) {
      const double px = x + 0.5 - ax, py = y + 0.5 - ay;
      const double along = px * dx + py * dy;
      const double off = fabs (px * dy - py * dx);

      if (along > 0 && along < length && off < width / 2 + 0.5) {
        const double cover = width / 2 + 0.5 - off;

        blend (canvas, c, strength * (cover < 1 ? cover : 1));
      }
    }
}

/* An ellipse. */
static void
paint_blob (struct qk_rng *rng, int size, double radius, double strength,
            float *canvas)
{
  const double cx = uniform (rng, 0, size), cy = uniform (rng, 0, size);
  const double rx = radius * uniform (rng, 0.6, 1.4);
  const double ry = radius * uniform (rng, 0.6, 1.4);
  double c[3];
  int x, y;

  random_colour (rng, c);
  for (y = 0; y < size; y++)
    for (x = 0; x < size; x++, canvas += 3) {
      const double u = (x + 0.5 - cx) / rx, v = (y + 0.5 - cy) / ry;

      if (u * u + v * v < 1)
        blend (canvas, c, strength);
    }
}

/* Figure coordinates are (u, v) = m (x - cx, y - cy). */
struct placement {
  double cx, cy;
  double m[4];
  double reach; /* no pixel whose centre is further away is covered */
};

static void
random_placement (struct qk_rng *rng, int size, double difficulty,
                  struct placement *p)
{
  const double radius = uniform (rng, 0.36 - 0.14 * difficulty, 0.44) * size;
  const double reach = 0.5 * size - 0.85 * radius;
  const double angle = uniform (rng, 0, TAU);
  const double stretch = exp (uniform (rng, -0.22, 0.22));
  const double c = cos (angle), s = sin (angle);

  p->cx = 0.5 * size + uniform (rng, -reach, reach);
  p->cy = 0.5 * size + uniform (rng, -reach, reach);
  p->m[0] = c / (radius * stretch);
  p->m[1] = s / (radius * stretch);
  p->m[2] = -s * stretch / radius;
  p->m[3] = c * stretch / radius;
  p->reach = 1.5 * radius * (stretch > 1 ? stretch : 1 / stretch) + 1;
}

/* How much of pixel (X, Y) the figure covers, 0..1. */
static double
coverage (const struct placement *p, int label, int x, int y)
{
  const double far_x = x + 0.5 - p->cx, far_y = y + 0.5 - p->cy;
  int i, hits = 0;

  if (far_x * far_x + far_y * far_y > p->reach * p->reach)
    return 0;
  for (i = 0; i < GRID * GRID; i++) {
    const double dx = x + (i % GRID + 0.5) / GRID - p->cx;
    const double dy = y + (i / GRID + 0.5) / GRID - p->cy;
    const double u = p->m[0] * dx + p->m[1] * dy;
    const double v = p->m[2] * dx + p->m[3] * dy;

    hits += u * u + v * v < 2 && inside[label](u, v);
  }
  return (double) hits / (GRID * GRID);
}

static void
paint_figure (const struct placement *p, int label, int size,
              const double c[3], double strength, float *canvas)
{
  int x, y;

  for (y = 0; y < size; y++)
    for (x = 0; x < size; x++, canvas += 3) {
      const double share = coverage (p, label, x, y);

      if (share > 0)
        blend (canvas, c, share * strength);
    }
}

/* The sum of four 16-bit numbers, near enough to a normal distribution;
 * mean 0, standard deviation 1. */
static double
noise (struct qk_rng *rng)
{
  const uint64_t r = qk_rng_u64 (rng);
  const double sum = (double) (r & 0xffff) + (double) (r >> 16 & 0xffff)
                     + (double) (r >> 32 & 0xffff) + (double) (r >> 48);

  /* variance of the sum: 4 * 65536^2 / 12 */
  return (sum - 2.0 * 65535.0) / (65536.0 * 0.5773502691896258);
}

static void
clutter (struct qk_rng *rng, int size, double difficulty, double strength,
         float *canvas)
{
  const int lines = (int) qk_rng_below (rng, 1 + (uint64_t) (6 * difficulty));
  const int blobs = (int) qk_rng_below (rng, 1 + (uint64_t) (4 * difficulty));
  int i;

  for (i = 0; i < lines; i++)
    paint_line (rng, size, uniform (rng, 0.02, 0.08) * size, strength, canvas);
  for (i = 0; i < blobs; i++)
    paint_blob (rng, size, uniform (rng, 0.04, 0.14) * size, strength, canvas);
}

void
draw_image (struct qk_rng *rng, int label, int size, double difficulty,
            float *canvas, uint8_t *rgb)
{
  const double sigma = uniform (rng, 2, 6 + 40 * difficulty);
  struct placement place;
  double a[3], b[3], c[3];
  int i;

  random_colour (rng, a);
  random_colour (rng, b);
  /* the background's two colours differ less in easy images */
  for (i = 0; i < 3; i++)
    b[i] = a[i] + (0.2 + 0.8 * difficulty) * (b[i] - a[i]);
  paint_background (rng, size, a, b, canvas);
  clutter (rng, size, difficulty, 0.8, canvas);
  contrasting_colour (rng, a, b, 130 - 90 * difficulty, c);
  random_placement (rng, size, difficulty, &place);
  paint_figure (&place, label, size, c, uniform (rng, 1 - 0.4 * difficulty, 1),
                canvas);
  clutter (rng, size, difficulty, 1.0, canvas);
  for (i = 0; i < size * size * 3; i++) {
    const double v = (double) canvas[i] + sigma * noise (rng) + 0.5;

    rgb[i] = (uint8_t) (v < 0 ? 0 : v > 255 ? 255 : v);
  }
}

/* ---- scenes ------------------------------------------------------------ */

void
draw_scene (struct qk_rng *rng, const struct draw_figure *figure, int n,
            int size, double difficulty, float *canvas, int32_t *mask)
{
  const double sigma = uniform (rng, 2, 4 + 40 * difficulty);
  double a[3], b[3], c[3];
  int i, k;

  random_colour (rng, a);
  random_colour (rng, b);
  for (i = 0; i < 3; i++)
    b[i] = a[i] + (0.2 + 0.8 * difficulty) * (b[i] - a[i]);
  paint_background (rng, size, a, b, canvas);
  clutter (rng, size, difficulty, 0.8, canvas);
  if (mask != NULL)
    memset (mask, 0, sizeof *mask * (size_t) size * (size_t) size);
  for (k = 0; k < n; k++) {
    const struct draw_figure *f = &figure[k];
    const double radius = f->radius * size;
    const double co = cos (f->angle) / radius, si = sin (f->angle) / radius;
    const struct placement place
      = { f->x * size, f->y * size, { co, si, -si, co }, 1.5 * radius + 1 };

    contrasting_colour (rng, a, b, 130 - 90 * difficulty, c);
    for (i = 0; f->paint != NULL && i < 3; i++)
      c[i] = f->paint[i];
    paint_figure (&place, f->kind, size, c, 1, canvas);
    for (i = 0; mask != NULL && i < size * size; i++) {
      const double share = coverage (&place, f->kind, i % size, i / size);

      if (share >= 0.25)
        mask[i] = share > 0.75 ? f->label : DRAW_EDGE;
    }
  }
  for (i = 0; i < size * size * 3; i++) {
    const double v = (double) canvas[i] + sigma * noise (rng);

    canvas[i] = (float) (v < 0 ? 0 : v > 255 ? 255 : v);
  }
}

void
draw_normalise (const float *canvas, int size, bool mirror, float *image)
{
  int x, y, i;

  for (y = 0; y < size; y++)
    for (x = 0; x < size; x++)
      for (i = 0; i < 3; i++)
        image[(y * size + x) * 3 + i]
          = (canvas[(y * size + (mirror ? size - 1 - x : x)) * 3 + i] / 255.0f
             - 0.5f)
            / 0.25f;
}
