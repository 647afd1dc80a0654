/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* draw.h: generated images of geometric figures. */
#ifndef QK_DRAW_H
#define QK_DRAW_H

#include <qatkit/rng.h>

#define DRAW_CLASSES 10
#define DRAW_MAX_SIZE 256

/* In byte order, so that folders of these names give the same numbers. */
extern const char *const draw_names[DRAW_CLASSES];

/* Draw figure LABEL, 0 <= LABEL < DRAW_CLASSES, into RGB (SIZE,SIZE,3).
 * DIFFICULTY 0..1 sets contrast, noise, clutter and what hides the figure.
 * CANVAS is scratch of SIZE * SIZE * 3 floats. */
void draw_image (struct qk_rng *rng, int label, int size, double difficulty,
                 float *canvas, uint8_t *rgb);

/* Figures of draw_names. */
enum draw_kind {
  DRAW_BARS,
  DRAW_CHECKER,
  DRAW_CRESCENT,
  DRAW_CROSS,
  DRAW_DISC,
  DRAW_RING,
  DRAW_SPIRAL,
  DRAW_SQUARE,
  DRAW_STAR,
  DRAW_TRIANGLE
};

/* A figure in a scene: where its centre is and its radius, as shares of the
 * image's side, and how far it is turned, in radians. */
struct draw_figure {
  enum draw_kind kind;
  double x, y, radius, angle;
  int32_t label;       /* of its pixels */
  const double *paint; /* red, green, blue, 0..255; NULL: any that differs
                          from the background */
};

/* Pixels of a mask that lie on the edge of a figure. */
#define DRAW_EDGE (-1)

/* N FIGURES, later ones in front, on a noisy background, into CANVAS
 * (SIZE,SIZE,3), 0..255.  MASK (SIZE,SIZE; may be NULL) receives the label of
 * the figure that is seen in each pixel, 0 for the background, DRAW_EDGE where
 * a figure covers between a quarter and three quarters. */
void draw_scene (struct qk_rng *rng, const struct draw_figure *figure, int n,
                 int size, double difficulty, float *canvas, int32_t *mask);

/* CANVAS as networks get it: (v / 255 - 0.5) / 0.25 into IMAGE (SIZE,SIZE,3),
 * mirrored left to right if MIRROR. */
void draw_normalise (const float *canvas, int size, bool mirror, float *image);

#endif /* QK_DRAW_H */
