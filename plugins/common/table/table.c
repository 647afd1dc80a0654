/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* table.c: tables in text files. */
#include "config.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

#define MAX_FILE (INT64_C (4) << 30)
#define MAX_COLUMNS 65536

static char
separator_of (const char *line)
{
  static const char candidates[] = "\t,; ";
  const char *c;

  for (c = candidates; *c; c++)
    if (strchr (line, *c))
      return *c;
  return ',';
}

/* Cut the next cell off *P, in place; *P becomes NULL after the last.  NULL
 * for a quote without its end. */
static char *
cut_cell (char **p, char separator)
{
  char *start = *p, *from, *to;

  while (*start == ' ')
    start++;
  if (*start != '"') {
    char *end = strchr (start, separator), *last;

    *p = end ? end + 1 : NULL;
    last = end ? end : start + strlen (start);
    while (last > start && last[-1] == ' ')
      last--;
    *last = 0;
    return start;
  }
  for (from = to = start + 1; *from; from++) {
    if (*from == '"' && from[1] == '"')
      from++;
    else if (*from == '"')
      break;
    *to++ = *from;
  }
  if (*from != '"')
    return NULL;
  for (from++; *from == ' ' && separator != ' '; from++)
    ;
  if (*from && *from != separator)
    return NULL;
  *p = *from ? from + 1 : NULL;
  *to = 0;
  return start + 1;
}

/* The cells of LINE into CELL, at most MAX; how many there are, or -1. */
static int
cut_line (char *line, char separator, char **cell, int max)
{
  char *p = line;
  int n = 0;

  if (separator == ' ') /* none at the end */
    for (char *end = line + strlen (line); end > line && end[-1] == ' ';)
      *--end = 0;
  while (p) {
    char *c = cut_cell (&p, separator);

    if (!c)
      return -1;
    if (n < max)
      cell[n] = c;
    n++;
    while (p && separator == ' ' && *p == ' ')
      p++;
  }
  return n;
}

/* Room for one more row. */
static int
reserve_row (struct table *t, int64_t *room)
{
  const int64_t rows = *room ? 2 * *room : 64;
  char **cell;
  int64_t *line;

  if (t->rows < *room)
    return 0;
  cell = reallocarray (t->cell, (size_t) (rows * t->columns), sizeof *cell);
  if (cell)
    t->cell = cell;
  line = reallocarray (t->line, (size_t) rows, sizeof *line);
  if (line)
    t->line = line;
  if (!cell || !line)
    return qk_oom ("%s: %lld lines", t->path, (long long) rows);
  *room = rows;
  return 0;
}

static int
add_rows (struct table *t, char separator)
{
  int64_t room = 0, i;

  for (i = 0; i < t->text.n; i++) {
    char *line = t->text.line[i];
    int n;

    if (*line == 0)
      continue;
    if (reserve_row (t, &room) < 0)
      return -ENOMEM;
    n = cut_line (line, separator, t->cell + t->rows * t->columns, t->columns);
    if (n < 0)
      return qk_error (-EBADMSG, "%s:%lld: a quote without its end", t->path,
                       (long long) i + 1);
    if (n != t->columns)
      return qk_error (-EBADMSG, "%s:%lld: %d cells, the first line has %d",
                       t->path, (long long) i + 1, n, t->columns);
    t->line[t->rows++] = i + 1;
  }
  return 0;
}

/* Cells of the first line that is not empty. */
static int
count_columns (struct table *t, char *separator)
{
  int64_t i = 0;
  char *copy;

  while (i < t->text.n && t->text.line[i][0] == 0)
    i++;
  if (i == t->text.n)
    return qk_error (-EBADMSG, "%s: no lines in it", t->path);
  *separator = separator_of (t->text.line[i]);
  copy = strdup (t->text.line[i]);
  if (!copy)
    return qk_oom ("%s", t->path);
  t->columns = cut_line (copy, *separator, NULL, 0);
  free (copy);
  if (t->columns < 1 || t->columns > MAX_COLUMNS)
    return qk_error (-EBADMSG, "%s:%lld: %s", t->path, (long long) i + 1,
                     t->columns < 1 ? "a quote without its end"
                                    : "more than 65536 cells");
  return 0;
}

int
table_read (const char *path, struct table *t)
{
  char separator = ',';
  int err;

  memset (t, 0, sizeof *t);
  t->path = strdup (path);
  if (!t->path)
    return qk_oom ("%s", path);
  err = text_lines_read (path, MAX_FILE, &t->text);
  if (err == 0)
    err = count_columns (t, &separator);
  if (err)
    return err;
  return add_rows (t, separator);
}

void
table_clear (struct table *t)
{
  text_lines_clear (&t->text);
  free (t->path);
  free (t->name);
  free (t->cell);
  free (t->line);
  memset (t, 0, sizeof *t);
}

int
table_take_header (struct table *t)
{
  const size_t n = (size_t) t->columns;
  int i, k;

  t->name = calloc (n, sizeof *t->name);
  if (!t->name)
    return qk_oom ("%s", t->path);
  memcpy (t->name, t->cell, n * sizeof *t->name);
  t->rows--;
  memmove (t->cell, t->cell + n, (size_t) t->rows * n * sizeof *t->cell);
  memmove (t->line, t->line + 1, (size_t) t->rows * sizeof *t->line);
  for (i = 0; i < t->columns; i++)
    for (k = 0; k < i; k++)
      if (strcmp (t->name[i], t->name[k]) == 0)
        return qk_error (-EBADMSG, "%s: two columns are called '%s'", t->path,
                         t->name[i]);
  return 0;
}

int
table_column (const struct table *t, const char *name)
{
  char there[300] = "";
  size_t at = 0;
  int i;

  for (i = 0; t->name && i < t->columns; i++) {
    if (strcmp (t->name[i], name) == 0)
      return i;
    if (at < sizeof there)
      at += (size_t) snprintf (there + at, sizeof there - at, " %s",
                               t->name[i]);
  }
  return qk_error (-EINVAL, "%s: no column '%s'; there are:%s", t->path, name,
                   t->name ? there : " none with a name");
}

const char *
table_cell (const struct table *t, int64_t row, int column)
{
  return t->cell[row * t->columns + column];
}

bool
table_number (const char *text, double *out)
{
  /* decimal numbers, whatever the locale of the program */
  locale_t c = newlocale (LC_ALL_MASK, "C", (locale_t) 0);
  char *end = NULL;

  if (c == (locale_t) 0)
    return false;
  *out = strtod_l (text, &end, c);
  freelocale (c);
  return end > text && *end == 0;
}

int
table_each_column (const struct table *t, const char *list, const char *where,
                   int (*fn) (void *cookie, int column), void *cookie)
{
  char *copy = strdup (list), *save = NULL, *name;
  int err = copy ? 0 : qk_oom ("%s", where);

  for (name = copy ? strtok_r (copy, ",", &save) : NULL; err == 0 && name;
       name = strtok_r (NULL, ",", &save)) {
    size_t n;
    int column;

    name += strspn (name, " \t");
    for (n = strlen (name); n > 0 && strchr (" \t", name[n - 1]); n--)
      name[n - 1] = 0;
    column = table_column (t, name);
    err = column < 0 ? qk_error_prefix (column, "%s: ", where)
                     : fn (cookie, column);
  }
  free (copy);
  return err;
}

/* ---- labels ----------------------------------------------------------*/

static int
compare_labels (const void *a, const void *b)
{
  const char *x = *(char *const *) a, *y = *(char *const *) b;
  double p = 0, q = 0;
  const bool xn = table_number (x, &p), yn = table_number (y, &q);

  if (xn && yn && p < q)
    return -1;
  if (xn && yn && p > q)
    return 1;
  if (xn != yn)
    return xn ? -1 : 1;
  return strcmp (x, y);
}

int
table_labels_find (const struct table *a, const struct table *b, int column,
                   struct table_labels *out)
{
  const struct table *t[2] = { a, b };
  int64_t i, n = 0;
  int k;

  out->column = column;
  out->n = 0;
  out->name
    = malloc (((size_t) a->rows + (size_t) b->rows + 1) * sizeof *out->name);
  if (!out->name)
    return qk_oom ("%s: %lld labels", a->path, (long long) a->rows);
  for (k = 0; k < 2; k++)
    for (i = 0; i < t[k]->rows; i++)
      out->name[n++] = t[k]->cell[i * t[k]->columns + column];
  qsort (out->name, (size_t) n, sizeof *out->name, compare_labels);
  for (i = 0; i < n; i++)
    if (i == 0 || strcmp (out->name[out->n - 1], out->name[i]) != 0)
      out->name[out->n++] = out->name[i];
  return 0;
}

void
table_labels_clear (struct table_labels *l)
{
  free (l->name);
  l->name = NULL;
  l->n = 0;
}

int32_t
table_labels_number (const struct table_labels *l, const char *cell)
{
  char **found
    = bsearch (&cell, l->name, (size_t) l->n, sizeof *l->name, compare_labels);

  return found ? (int32_t) (found - l->name) : -1;
}

void
table_append_cell (const struct table *t, int64_t row, int column, char *out,
                   size_t size, size_t *at)
{
  const char *s = table_cell (t, row, column);

  if (*at > 0 && *at + 1 < size)
    out[(*at)++] = ',';
  for (; *s && *at + 1 < size; s++)
    out[(*at)++] = (unsigned char) *s < ' ' ? '?' : *s;
  out[*at] = 0;
}

int
table_check_same (const struct table *a, const struct table *b)
{
  int i;

  if (a->columns != b->columns)
    return qk_error (-EINVAL, "%s has %d columns, %s has %d", a->path,
                     a->columns, b->path, b->columns);
  for (i = 0; a->name && b->name && i < a->columns; i++)
    if (strcmp (a->name[i], b->name[i]) != 0)
      return qk_error (-EINVAL, "column %d is '%s' in %s, '%s' in %s", i + 1,
                       a->name[i], a->path, b->name[i], b->path);
  return 0;
}
