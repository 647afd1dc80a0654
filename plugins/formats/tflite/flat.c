/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* flat.c: writes a FlatBuffer from its end to its begin. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/plugin.h>

#include "flat.h"

/* The file's begin lies at a multiple of this in memory. */
#define FILE_ALIGN 16
/* Offsets are of 32 bits, some of them signed. */
#define MOST_BYTES ((size_t) INT32_MAX - FILE_ALIGN)

void
flat_clear (struct flat *f)
{
  free (f->data);
  *f = (struct flat){ 0 };
}

/* Room for N more bytes before what there is. */
static bool
make_room (struct flat *f, size_t n)
{
  size_t room = f->room < 4096 ? 4096 : f->room;
  uint8_t *data;

  if (f->error < 0)
    return false;
  if (n > MOST_BYTES - f->used) {
    f->error
      = qk_error (-EFBIG, "tflite: the file would have more than 2 GiB");
    return false;
  }
  if (f->used + n <= f->room)
    return true;
  while (room < f->used + n)
    room *= 2;
  if ((data = malloc (room)) == NULL) {
    f->error = qk_oom ("tflite");
    return false;
  }
  if (f->used > 0)
    memcpy (data + room - f->used, f->data + f->room - f->used, f->used);
  free (f->data);
  f->data = data;
  f->room = room;
  return true;
}

/* N more bytes, to be filled; NULL after an error. */
static uint8_t *
push (struct flat *f, size_t n)
{
  if (!make_room (f, n))
    return NULL;
  f->used += n;
  return f->data + f->room - f->used;
}

/* Zeros, so that SIZE more bytes begin at a multiple of ALIGN. */
static void
align_for (struct flat *f, size_t size, size_t align)
{
  const size_t over = (f->used + size) % align;
  uint8_t *p = over > 0 ? push (f, align - over) : NULL;

  if (p != NULL)
    memset (p, 0, align - over);
}

/* The N low bytes of VALUE, the lowest first. */
static void
put_bytes (uint8_t *to, uint64_t value, size_t n)
{
  for (size_t i = 0; i < n; i++)
    to[i] = (uint8_t) (value >> 8 * i);
}

static void
push_number (struct flat *f, uint32_t value, size_t n)
{
  uint8_t *p = push (f, n);

  if (p != NULL)
    put_bytes (p, value, n);
}

/* Element I of DATA, of SIZE bytes, as a number. */
static uint64_t
element (const void *data, size_t i, size_t size)
{
  uint64_t wide;
  uint32_t narrow;

  if (size == 8) {
    memcpy (&wide, (const char *) data + i * size, sizeof wide);
    return wide;
  }
  memcpy (&narrow, (const char *) data + i * size, sizeof narrow);
  return narrow;
}

/* A vector of N elements of SIZE bytes that says that it has COUNT. */
static flat_ref
put_vector (struct flat *f, const void *data, size_t n, size_t size,
            size_t align, size_t count)
{
  uint8_t *p;

  if (n > MOST_BYTES / size) {
    make_room (f, MOST_BYTES + 1);
    return 0;
  }
  align_for (f, n * size, align < 4 ? 4 : align);
  if ((p = push (f, n * size)) == NULL)
    return 0;
  if (size == 1 && n > 0)
    memcpy (p, data, n);
  for (size_t i = 0; size > 1 && i < n; i++)
    put_bytes (p + i * size, element (data, i, size), size);
  push_number (f, (uint32_t) count, 4);
  return (flat_ref) f->used;
}

flat_ref
flat_vector (struct flat *f, const void *data, size_t n, size_t size,
             size_t align)
{
  return put_vector (f, data, n, size, align, n);
}

flat_ref
flat_bytes (struct flat *f, const void *data, size_t n, size_t size,
            size_t align)
{
  return put_vector (f, data, n, size, align, n * size);
}

flat_ref
flat_refs (struct flat *f, const flat_ref *ref, size_t n)
{
  align_for (f, 4 * n, 4);
  for (size_t i = n; i > 0; i--)
    push_number (f, (uint32_t) f->used + 4 - ref[i - 1], 4);
  push_number (f, (uint32_t) n, 4);
  return (flat_ref) f->used;
}

flat_ref
flat_string (struct flat *f, const char *text)
{
  const size_t n = strlen (text);
  uint8_t *p;

  align_for (f, n + 1, 4);
  if ((p = push (f, n + 1)) == NULL)
    return 0;
  memcpy (p, text, n + 1);
  push_number (f, (uint32_t) n, 4);
  return (flat_ref) f->used;
}

/* Where in the table its fields are, those of 4 bytes first; returns the
 * table's bytes. */
static size_t
lay_out (const struct flat_field *field, int n, size_t *at)
{
  size_t bytes = 4; /* how far it is to where the fields are told of */

  for (int size = 4; size > 0; size -= 3)
    for (int i = 0; i < n; i++)
      if (field[i].size == size) {
        at[i] = bytes;
        bytes += (size_t) size;
      }
  return bytes;
}

flat_ref
flat_table (struct flat *f, const struct flat_field *field, int n)
{
  uint8_t *p;
  size_t at[FLAT_MAX_FIELDS], bytes, table;

  while (n > 0 && field[n - 1].size == 0)
    n--;
  bytes = lay_out (field, n, at);
  align_for (f, bytes, 4);
  if ((p = push (f, bytes)) == NULL)
    return 0;
  table = f->used;
  for (int i = 0; i < n; i++)
    if (field[i].size > 0)
      put_bytes (p + at[i],
                 field[i].refers ? (uint32_t) (table - at[i]) - field[i].value
                                 : field[i].value,
                 (size_t) field[i].size);
  put_bytes (p, 4 + 2 * (uint64_t) n + (n % 2 > 0 ? 2 : 0), 4);
  /* at a multiple of 4, with what tells of it right before it */
  if (n % 2 > 0)
    push_number (f, 0, 2);
  for (int i = n; i > 0; i--)
    push_number (f, field[i - 1].size > 0 ? (uint32_t) at[i - 1] : 0, 2);
  push_number (f, (uint32_t) bytes, 2);
  push_number (f, 4 + 2 * (uint32_t) n, 2);
  return (flat_ref) table;
}

void
flat_finish (struct flat *f, flat_ref root, const char *name)
{
  uint8_t *p;

  align_for (f, 8, FILE_ALIGN);
  if ((p = push (f, 8)) == NULL)
    return;
  memcpy (p + 4, name, 4);
  put_bytes (p, (uint64_t) f->used - root, 4);
}
