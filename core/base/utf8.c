/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* utf8.c: characters of UTF-8 text. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define REPLACEMENT "\357\277\275" /* U+FFFD */

size_t
qk_utf8_decode (const char *text, uint32_t *c)
{
  static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
  const unsigned char *s = (const unsigned char *) text;
  size_t n, i;

  if (s[0] < 0x80) {
    *c = s[0];
    return 1;
  }
  n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
  if (s[0] < 0xc2 || s[0] > 0xf4)
    return 0;
  *c = s[0] & (0xffu >> (n + 1));
  for (i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80)
      return 0;
    *c = *c << 6 | (s[i] & 0x3f);
  }
  if (*c < smallest[n] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff))
    return 0;
  return n;
}

char *
qk_utf8 (const char *text)
{
  const size_t width = strlen (REPLACEMENT);
  char *copy = malloc (width * strlen (text) + 1), *to = copy;
  uint32_t c;

  if (copy == NULL)
    return NULL;
  while (*text != '\0') {
    const size_t n = qk_utf8_decode (text, &c);

    memcpy (to, n > 0 ? text : REPLACEMENT, n > 0 ? n : width);
    to += n > 0 ? n : width;
    text += n > 0 ? n : 1;
  }
  *to = '\0';
  return copy;
}
