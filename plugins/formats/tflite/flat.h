/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* flat.h: writes a FlatBuffer.
 *
 * The file grows from its end to its begin: what is referred to is made before
 * what refers to it.  https://flatbuffers.dev/internals/ */
#ifndef TFLITE_FLAT_H
#define TFLITE_FLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What was made, by the bytes from its begin to the end of the file; 0: none. */
typedef uint32_t flat_ref;

struct flat {
  uint8_t *data; /* its last USED bytes are the file's so far; owned */
  size_t used, room;
  int error; /* the first one sticks, and nothing is added any more */
};

/* A field of a table. */
struct flat_field {
  int size;       /* bytes: 0 (absent), 1 or 4 */
  bool refers;    /* VALUE is a flat_ref; size is 4 */
  uint32_t value; /* the bits */
};

#define FLAT_MAX_FIELDS 12

/* All zero is an empty one. */
void flat_clear (struct flat *f);

/* A vector of N elements of SIZE bytes (1, 4 or 8), the first of which lies at
 * a multiple of ALIGN. */
flat_ref flat_vector (struct flat *f, const void *data, size_t n, size_t size,
                      size_t align);
/* The same as a vector of bytes, in the order of the file. */
flat_ref flat_bytes (struct flat *f, const void *data, size_t n, size_t size,
                     size_t align);
flat_ref flat_refs (struct flat *f, const flat_ref *ref, size_t n);
flat_ref flat_string (struct flat *f, const char *text);
/* A table of N fields at most, FIELD[i] being that of number I. */
flat_ref flat_table (struct flat *f, const struct flat_field *field, int n);
/* Begin the file: the table ROOT, and what the four bytes NAME say that it
 * is. */
void flat_finish (struct flat *f, flat_ref root, const char *name);

#endif /* TFLITE_FLAT_H */
