/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place.h: places in one block of memory for buffers that live at different
 * times, or give way to another one. */
#ifndef CSOURCE_PLACE_H
#define CSOURCE_PLACE_H

#include <stdint.h>

#define PLACE_ALIGNMENT 4

/* A buffer of SIZE bytes used in the steps first..last. */
struct buffer {
  int64_t size;
  int first, last;
  int64_t offset; /* out */
};

/* Buffer OUT may overlap IN, which is read for the last time while OUT is
 * written, if it begins at least LEAD bytes before it: it is written from its
 * start on, and IN is no longer read where it has got to. */
struct overlap {
  int in, out;
  int64_t lead;
};

/* Give the N buffers places, multiples of PLACE_ALIGNMENT; returns the bytes of
 * the block, or a negative errno value.  The same input gives the same
 * places. */
int64_t place_buffers (struct buffer *b, int n, const struct overlap *o,
                       int n_overlaps);

#endif /* CSOURCE_PLACE_H */
