/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* exif.c: which way up a photograph is: tag 0x0112 of its EXIF data.
 *
 * EXIF 2.3, https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf: a TIFF
 * structure, "II" or "MM", 42, the offset of a list of twelve-byte entries. */
#include "config.h"

#include <string.h>

#include "image-priv.h"

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define TYPE_LONG 4

/* Bytes of either order; reading outside gives 0. */
struct tiff {
  const uint8_t *data;
  size_t size;
  bool big;
};

static uint32_t
read16 (const struct tiff *t, size_t at)
{
  if (at > t->size || t->size - at < 2)
    return 0;
  return t->big ? (uint32_t) t->data[at] << 8 | t->data[at + 1]
                : (uint32_t) t->data[at + 1] << 8 | t->data[at];
}

static uint32_t
read32 (const struct tiff *t, size_t at)
{
  return t->big ? read16 (t, at) << 16 | read16 (t, at + 2)
                : read16 (t, at + 2) << 16 | read16 (t, at);
}

/* The number of the orientation, 1 to 8; 1 where there is none. */
static int
find_orientation (const struct tiff *t)
{
  const size_t list = read32 (t, 4);
  const uint32_t n = read16 (t, list);
  uint32_t i, value;

  for (i = 0; i < n; i++) {
    const size_t at = list + 2 + 12 * (size_t) i;

    if (at >= t->size)
      break;
    if (read16 (t, at) != TAG_ORIENTATION)
      continue;
    value = read16 (t, at + 2) == TYPE_SHORT  ? read16 (t, at + 8)
            : read16 (t, at + 2) == TYPE_LONG ? read32 (t, at + 8)
                                              : 1;
    return value >= 1 && value <= 8 ? (int) value : 1;
  }
  return 1;
}

struct image_turn
image_turn_read (const struct image_header *h)
{
  static const struct image_turn turns[9] = {
    { false, false, false }, { false, false, false }, { false, true, false },
    { false, true, true },   { false, false, true },  { true, false, false },
    { true, false, true },   { true, true, true },    { true, true, false }
  };
  struct tiff t = { h->exif, h->exif_size, false };

  if (t.data != NULL && t.size >= 6 && memcmp (t.data, "Exif\0\0", 6) == 0) {
    t.data += 6;
    t.size -= 6;
  }
  if (t.data == NULL || t.size < 8
      || (memcmp (t.data, "II", 2) != 0 && memcmp (t.data, "MM", 2) != 0))
    return turns[1];
  t.big = t.data[0] == 'M';
  return turns[find_orientation (&t)];
}

void
image_exif_of_jpeg (const uint8_t *data, size_t size, struct image_header *h)
{
  size_t at = 2, length;

  while (size - at >= 4 && data[at] == 0xff) {
    const uint8_t marker = data[at + 1];

    if (marker == 0xff) { /* a byte to fill up */
      at++;
      continue;
    }
    if (marker == 0xda || marker == 0xd9) /* scans begin, the end */
      return;
    length = (size_t) data[at + 2] << 8 | data[at + 3];
    if (length < 2 || length > size - at - 2)
      return;
    if (marker == 0xe1 && length >= 8
        && memcmp (data + at + 4, "Exif\0\0", 6) == 0) {
      h->exif = data + at + 10;
      h->exif_size = length - 8;
      return;
    }
    at += 2 + length;
  }
}
