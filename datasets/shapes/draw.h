/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* draw.h: one generated image of a geometric figure. */
#ifndef QATKIT_SHAPES_DRAW_H
#define QATKIT_SHAPES_DRAW_H

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

#endif /* QATKIT_SHAPES_DRAW_H */
