/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* archive.c: the files in a tar archive in memory.
 *
 * POSIX pax, https://pubs.opengroup.org/onlinepubs/9699919799/utilities/
 * pax.html: blocks of 512 bytes, a header and then the file's bytes, filled up
 * with zeros; two blocks of zeros at the end. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "archive.h"

#define BLOCK 512

/* Places in a header. */
enum {
  NAME = 0,
  NAME_SIZE = 100,
  SIZE = 124,
  SIZE_SIZE = 12,
  CHECKSUM = 148,
  CHECKSUM_SIZE = 8,
  TYPE = 156,
  MAGIC = 257,
  PREFIX = 345,
  PREFIX_SIZE = 155
};

static int
damaged (const struct tar_walk *w, const char *what)
{
  return qk_error (-EBADMSG, "%s: byte %zu of the archive: %s", w->path, w->at,
                   what);
}

/* Octal digits, or (first bit set) a binary number; -1 for neither. */
static int64_t
number (const uint8_t *p, int n)
{
  int64_t v = 0;
  int i = 0;

  if (p[0] & 0x80) {
    for (i = n - 8; i < n; i++)
      v = (int64_t) ((uint64_t) v << 8 | p[i]);
    for (i = 1; i < n - 8; i++)
      if (p[i] != 0)
        return -1;
    return v;
  }
  while (i < n && p[i] == ' ')
    i++;
  if (i == n || p[i] < '0' || p[i] > '7')
    return -1;
  for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
    v = v * 8 + p[i] - '0';
  return v;
}

static bool
is_zero (const uint8_t *h)
{
  int i;

  for (i = 0; i < BLOCK; i++)
    if (h[i] != 0)
      return false;
  return true;
}

static bool
checksum_holds (const uint8_t *h)
{
  int64_t sum = 0;
  int i;

  for (i = 0; i < BLOCK; i++)
    sum += i >= CHECKSUM && i < CHECKSUM + CHECKSUM_SIZE ? ' ' : h[i];
  return number (h + CHECKSUM, CHECKSUM_SIZE) == sum;
}

/* The name in the header, with its prefix. */
static void
plain_name (const uint8_t *h, char *out)
{
  const char *name = (const char *) h + NAME;
  const char *prefix = (const char *) h + PREFIX;
  const bool posix = memcmp (h + MAGIC, "ustar\0", 6) == 0;

  if (posix && *prefix)
    snprintf (out, TAR_MAX_NAME, "%.*s/%.*s", PREFIX_SIZE, prefix, NAME_SIZE,
              name);
  else
    snprintf (out, TAR_MAX_NAME, "%.*s", NAME_SIZE, name);
}

/* The path in the records of a pax header: "30 path=some/name\n". */
static void
pax_name (const char *p, size_t size, char *out)
{
  size_t at = 0;

  while (at < size) {
    size_t length = 0, i = at;

    for (; i < size && p[i] >= '0' && p[i] <= '9' && length < size; i++)
      length = 10 * length + (size_t) (p[i] - '0');
    if (length == 0 || length > size - at || i >= at + length)
      return;
    if (at + length - i > 6 && memcmp (p + i, " path=", 6) == 0)
      snprintf (out, TAR_MAX_NAME, "%.*s", (int) (at + length - i - 7),
                p + i + 6);
    at += length;
  }
}

int
tar_next (struct tar_walk *w, struct tar_entry *out)
{
  char longer[TAR_MAX_NAME] = "";

  for (;;) {
    const uint8_t *h = w->data + w->at, *data;
    int64_t size;

    if (w->size - w->at < BLOCK)
      return damaged (w, "it ends without its mark (cut short?)");
    if (is_zero (h))
      return 0;
    if (!checksum_holds (h))
      return damaged (w, "no header of a file, or its checksum is wrong");
    size = number (h + SIZE, SIZE_SIZE);
    if (size < 0 || (uint64_t) size > w->size - w->at - BLOCK)
      return damaged (w, "a file that reaches beyond the archive");
    data = h + BLOCK;
    w->at += BLOCK + ((size_t) size + BLOCK - 1) / BLOCK * BLOCK;
    if (w->at > w->size)
      w->at = w->size;
    if (h[TYPE] == 'L') {
      snprintf (longer, sizeof longer, "%.*s",
                size < TAR_MAX_NAME ? (int) size : TAR_MAX_NAME - 1,
                (const char *) data);
    } else if (h[TYPE] == 'x') {
      pax_name ((const char *) data, (size_t) size, longer);
    } else if (h[TYPE] == '0' || h[TYPE] == 0) {
      if (*longer)
        memcpy (out->name, longer, sizeof longer);
      else
        plain_name (h, out->name);
      out->data = data;
      out->size = (size_t) size;
      return 1;
    } else
      longer[0] = 0;
  }
}
