/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* text.c: widths of UTF-8 text on a terminal. */
#include "config.h"

#include <string.h>

#include "base/utf8.h"
#include "report/text.h"

/* Ranges of code points; wcwidth would need the user's locale to be set. */
struct range {
  uint32_t first, last;
};

static const struct range zero_width[] = {
  { 0x300, 0x36f },   { 0x483, 0x489 },   { 0x591, 0x5bd },
  { 0x610, 0x61a },   { 0x64b, 0x65f },   { 0x1ab0, 0x1aff },
  { 0x1dc0, 0x1dff }, { 0x200b, 0x200f }, { 0x20d0, 0x20ff },
  { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff },
};
static const struct range double_width[] = {
  { 0x1100, 0x115f },   { 0x2e80, 0x303e },   { 0x3041, 0x33ff },
  { 0x3400, 0x4dbf },   { 0x4e00, 0x9fff },   { 0xa000, 0xa4cf },
  { 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },
  { 0xff00, 0xff60 },   { 0xffe0, 0xffe6 },   { 0x1f300, 0x1f64f },
  { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
};

static bool
within (const struct range *r, size_t n, uint32_t c)
{
  size_t i;

  for (i = 0; i < n; i++)
    if (c >= r[i].first && c <= r[i].last)
      return true;
  return false;
}

/* Bytes and columns of the character at S, and whether it may be shown. */
static size_t
next (const char *s, int *width, bool *shown)
{
  uint32_t c = 0;
  const size_t n = qk_utf8_decode (s, &c);

  *shown = n > 0 && c >= 0x20
           && !(c >= 0x7f && c <= 0x9f)
           /* marks that reverse the direction of what follows */
           && !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069);
  *width = 1;
  if (!*shown)
    return n > 0 ? n : 1;
  if (within (zero_width, sizeof zero_width / sizeof *zero_width, c))
    *width = 0;
  else if (within (double_width, sizeof double_width / sizeof *double_width,
                   c))
    *width = 2;
  return n;
}

int
qk_text_width (const char *text)
{
  int total = 0, width;
  bool shown;

  while (*text) {
    text += next (text, &width, &shown);
    total += width;
  }
  return total;
}

size_t
qk_text_cut (const char *text, int width, int *used)
{
  const char *s = text;
  int total = 0, w;
  bool shown;

  while (*s) {
    const size_t n = next (s, &w, &shown);

    if (total + w > width)
      break;
    total += w;
    s += n;
  }
  if (used)
    *used = total;
  return (size_t) (s - text);
}

char *
qk_text_clean (const char *text, char *buf, size_t size)
{
  size_t at = 0;
  int width;
  bool shown;

  while (*text) {
    const size_t n = next (text, &width, &shown);

    if (at + (shown ? n : 1) >= size)
      break;
    if (shown)
      memcpy (buf + at, text, n);
    else
      buf[at] = '?';
    at += shown ? n : 1;
    text += n;
  }
  buf[at] = '\0';
  return buf;
}
