/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checksum.c: CRC-32 over what a checkpoint keeps. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "io/checksum.h"

static bool
little_endian (void)
{
  const uint16_t one = 1;
  unsigned char first;

  memcpy (&first, &one, 1);
  return first == 1;
}

static uint32_t
add (uint32_t crc, const void *data, size_t size)
{
  return (uint32_t) crc32_z (crc, data, size);
}

/* COUNT numbers of SIZE bytes as a little endian machine has them. */
static uint32_t
add_numbers (uint32_t crc, const void *data, size_t count, size_t size)
{
  const unsigned char *p = data;
  unsigned char swapped[8];
  size_t i, k;

  if (size == 1 || little_endian ())
    return add (crc, data, count * size);
  for (i = 0; i < count; i++, p += size) {
    for (k = 0; k < size; k++)
      swapped[k] = p[size - 1 - k];
    crc = add (crc, swapped, size);
  }
  return crc;
}

uint32_t
qk_checksum_text (uint32_t crc, const char *text)
{
  return add (crc, text, strlen (text) + 1);
}

uint32_t
qk_checksum_entry (uint32_t crc, const struct qk_format_entry *e)
{
  const struct qk_tensor *t = &e->tensor;
  const int64_t count = qk_shape_count (&t->shape);

  crc = qk_checksum_text (crc, e->name);
  crc = qk_checksum_text (crc, qk_dtype_name (t->dtype));
  crc = add_numbers (crc, t->shape.dims, (size_t) t->shape.ndim,
                     sizeof t->shape.dims[0]);
  if (count > 0)
    crc = add_numbers (crc, t->data, (size_t) count, qk_dtype_size (t->dtype));
  return crc;
}

static int
compare_entries (const void *a, const void *b)
{
  const struct qk_format_entry *const *x = a, *const *y = b;

  return strcmp ((*x)->name, (*y)->name);
}

int
qk_checksum_entries (const struct qk_format_entry *entries, int64_t n,
                     const struct qk_format_meta *meta, int n_meta,
                     uint32_t *crc)
{
  const struct qk_format_entry **order;
  uint32_t sum = 0;
  int64_t i;

  order = calloc ((size_t) n + 1, sizeof (*order));
  if (!order)
    return qk_oom ("checksum");
  for (i = 0; i < n; i++)
    order[i] = &entries[i];
  qsort (order, (size_t) n, sizeof (*order), compare_entries);
  for (i = 0; i < n; i++)
    sum = qk_checksum_entry (sum, order[i]);
  free (order);
  for (i = 0; i < n_meta; i++) {
    sum = qk_checksum_text (sum, meta[i].key);
    sum = qk_checksum_text (sum, meta[i].value);
  }
  *crc = sum;
  return 0;
}
