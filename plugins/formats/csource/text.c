/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* text.c: text that grows. */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static bool
make_room (struct text *t, size_t more)
{
  size_t room = t->room > 0 ? t->room : 4096;
  char *at;

  if (t->error < 0)
    return false;
  while (room < t->length + more + 1)
    room *= 2;
  if (room == t->room)
    return true;
  if ((at = realloc (t->at, room)) == NULL) {
    t->error = qk_oom ("csource");
    return false;
  }
  t->at = at;
  t->room = room;
  return true;
}

void
text_bytes (struct text *t, const char *from, size_t n)
{
  if (!make_room (t, n))
    return;
  memcpy (t->at + t->length, from, n);
  t->length += n;
  t->at[t->length] = 0;
}

void
text_add (struct text *t, const char *fmt, ...)
{
  va_list ap;
  int n;

  va_start (ap, fmt);
  n = vsnprintf (NULL, 0, fmt, ap);
  va_end (ap);
  if (n < 0 || !make_room (t, (size_t) n))
    return;
  va_start (ap, fmt);
  vsnprintf (t->at + t->length, (size_t) n + 1, fmt, ap);
  va_end (ap);
  t->length += (size_t) n;
}

void
text_join (struct text *t, const struct text *other)
{
  if (other->error < 0 && t->error == 0)
    t->error = other->error;
  if (other->length > 0)
    text_bytes (t, other->at, other->length);
}

void
text_replaced (struct text *t, const char *line, const char *const *from,
               const char *const *to, int n)
{
  while (*line != 0) {
    size_t length = 1;
    const char *put = line;
    int i;

    for (i = 0; i < n && strncmp (line, from[i], strlen (from[i])) != 0; i++)
      ;
    if (i < n) {
      length = strlen (from[i]);
      put = to[i];
    }
    text_bytes (t, put, i < n ? strlen (put) : 1);
    line += length;
  }
}

/* Elements in lines; *COLUMN is where the line is. */
static void
put_element (struct text *t, const char *element, int n, int *column)
{
  if (*column + n + 2 > 79 || *column == 0) {
    text_bytes (t, *column == 0 ? "  " : ",\n  ", *column == 0 ? 2 : 4);
    *column = 2;
  } else {
    text_bytes (t, ",", 1);
    *column += 1;
  }
  text_bytes (t, element, (size_t) n);
  *column += n;
}

#define ELEMENTS(name, type, format)                                          \
  void name (struct text *t, const type *x, int64_t n)                        \
  {                                                                           \
    char element[24];                                                         \
    int column = 0;                                                           \
                                                                              \
    for (int64_t i = 0; i < n; i++)                                           \
      put_element (t, element,                                                \
                   snprintf (element, sizeof element, "%" format, x[i]),      \
                   &column);                                                  \
    text_bytes (t, "\n", 1);                                                  \
  }

ELEMENTS (text_int8, int8_t, PRId8)
ELEMENTS (text_uint8, uint8_t, PRIu8)
ELEMENTS (text_bits, uint32_t, "#" PRIx32)

/* The smallest one has no constant of its own type. */
void
text_int32 (struct text *t, const int32_t *x, int64_t n)
{
  char element[24];
  int column = 0;

  for (int64_t i = 0; i < n; i++)
    put_element (t, element,
                 x[i] == INT32_MIN
                   ? snprintf (element, sizeof element, "-2147483647 - 1")
                   : snprintf (element, sizeof element, "%" PRId32, x[i]),
                 &column);
  text_bytes (t, "\n", 1);
}

void
text_clear (struct text *t)
{
  free (t->at);
  memset (t, 0, sizeof *t);
}
