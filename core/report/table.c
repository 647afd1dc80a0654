/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* table.c: collects cells and prints them in aligned columns. */
#include "config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "report/table.h"
#include "report/text.h"

#define GAP 2 /* columns between two columns */

struct qk_table {
  int columns;
  char **cell; /* titles first, then row by row; own */
  size_t n, room;
  int failed; /* the first error */
};

static int
append (struct qk_table *t, char *text)
{
  if (t->n == t->room) {
    const size_t room = t->room ? 2 * t->room : 32;
    char **more = realloc (t->cell, room * sizeof *more);

    if (!more) {
      t->failed = -ENOMEM;
      return qk_oom ("table");
    }
    t->cell = more;
    t->room = room;
  }
  t->cell[t->n++] = text;
  return 0;
}

int
qk_table_cell (struct qk_table *t, const char *fmt, ...)
{
  char *text, *shown;
  va_list args;
  size_t size;
  int n;

  va_start (args, fmt);
  n = vasprintf (&text, fmt, args);
  va_end (args);
  if (n < 0) {
    t->failed = -ENOMEM;
    return qk_oom ("table");
  }
  size = (size_t) n + 1;
  shown = malloc (size);
  if (!shown) {
    free (text);
    t->failed = -ENOMEM;
    return qk_oom ("table");
  }
  qk_text_clean (text, shown, size);
  free (text);
  n = append (t, shown);
  if (n < 0)
    free (shown);
  return n;
}

int
qk_table_new (const char *const *titles, int n, struct qk_table **out)
{
  struct qk_table *t;
  int i, err = 0;

  if (n < 1)
    return qk_error (-EINVAL, "table: %d columns", n);
  t = calloc (1, sizeof *t);
  if (!t)
    return qk_oom ("table");
  t->columns = n;
  for (i = 0; err == 0 && i < n; i++)
    err = qk_table_cell (t, "%s", titles[i]);
  if (err < 0) {
    qk_table_free (t);
    return err;
  }
  *out = t;
  return 0;
}

void
qk_table_free (struct qk_table *t)
{
  size_t i;

  if (!t)
    return;
  for (i = 0; i < t->n; i++)
    free (t->cell[i]);
  free (t->cell);
  free (t);
}

/* A number, perhaps followed by a unit, or a stand-in for a number. */
static bool
is_numeric (const char *s)
{
  bool digits = false;

  if (strcmp (s, "") == 0 || strcmp (s, "-") == 0 || strcmp (s, "nan") == 0)
    return true;
  if (*s == '+' || *s == '-')
    s++;
  if (strcmp (s, "inf") == 0)
    return true;
  for (; isdigit ((unsigned char) *s) || *s == '.' || *s == ','; s++)
    digits |= isdigit ((unsigned char) *s) != 0;
  if (!digits)
    return false;
  if ((*s == 'e' || *s == 'E')
      && (s[1] == '-' || s[1] == '+' || isdigit ((unsigned char) s[1]))) {
    s += 2;
    while (isdigit ((unsigned char) *s))
      s++;
  }
  return *s == '\0' || *s == ' ' || *s == '%';
}

static void
pad (FILE *out, int n)
{
  while (n-- > 0)
    putc (' ', out);
}

static void
print_row (const struct qk_table *t, size_t row, const int *width,
           const bool *right, FILE *out)
{
  int c, owed = 0; /* spaces, printed only when something follows */

  for (c = 0; c < t->columns; c++) {
    const size_t i = row * (size_t) t->columns + (size_t) c;
    const char *text = i < t->n ? t->cell[i] : "";
    const int free_columns = width[c] - qk_text_width (text);

    if (*text) {
      pad (out, owed + (right[c] ? free_columns : 0));
      fputs (text, out);
      owed = right[c] ? 0 : free_columns;
    } else
      owed += width[c];
    owed += GAP;
  }
  putc ('\n', out);
}

int
qk_table_print (const struct qk_table *t, FILE *out)
{
  const size_t columns = (size_t) t->columns;
  const size_t rows = (t->n + columns - 1) / columns;
  bool *right;
  int *width;
  size_t i;

  if (t->failed)
    return qk_error (t->failed, "table: out of memory");
  right = malloc (columns * sizeof *right);
  width = calloc (columns, sizeof *width);
  if (!right || !width) {
    free (right);
    free (width);
    return qk_oom ("table");
  }
  for (i = 0; i < columns; i++)
    right[i] = rows > 1;
  for (i = 0; i < t->n; i++) {
    const int w = qk_text_width (t->cell[i]);

    if (w > width[i % columns])
      width[i % columns] = w;
    if (i >= columns && !is_numeric (t->cell[i]))
      right[i % columns] = false;
  }
  for (i = 0; i < rows; i++)
    print_row (t, i, width, right, out);
  free (right);
  free (width);
  if (fflush (out) != 0 || ferror (out))
    return qk_error (-EIO, "table: cannot write: %s", strerror (errno));
  return 0;
}
