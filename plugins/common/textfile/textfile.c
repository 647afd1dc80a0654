/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* textfile.c: text files of the user's, line by line, and where they are. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "textfile.h"

#define MAX_NAMES_FILE (64 << 20)

char *
path_within (const char *root, const char *name)
{
  char *path;

  if (name[0] == '/' || *root == 0)
    return strdup (name);
  return asprintf (&path, "%s/%s", root, name) < 0 ? NULL : path;
}

/* ---- lines -----------------------------------------------------------*/

static int
read_all (int fd, const char *path, char *to, size_t size, size_t *got)
{
  for (*got = 0; *got < size;) {
    const ssize_t n = read (fd, to + *got, size - *got);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return qk_error (-errno, "%s: %s", path, strerror (errno));
    if (n == 0)
      break; /* it became shorter */
    *got += (size_t) n;
  }
  return 0;
}

/* The bytes of the regular file behind FD, with a NUL behind them. */
static int
load (int fd, const char *path, int64_t max, char **text, size_t *size)
{
  struct stat st;
  int err;

  if (fstat (fd, &st) < 0)
    return qk_error (-errno, "%s: %s", path, strerror (errno));
  if (!S_ISREG (st.st_mode))
    return qk_error (-EINVAL, "%s: not a regular file", path);
  if (st.st_size > max)
    return qk_error (-EFBIG, "%s: %lld bytes, at most %lld are accepted", path,
                     (long long) st.st_size, (long long) max);
  *text = malloc ((size_t) st.st_size + 1);
  if (*text == NULL)
    return qk_oom ("%s: %lld bytes", path, (long long) st.st_size);
  err = read_all (fd, path, *text, (size_t) st.st_size, size);
  if (err < 0)
    return err;
  (*text)[*size] = 0;
  if (strlen (*text) != *size)
    return qk_error (-EBADMSG, "%s: not a text file: byte %zu is 0", path,
                     strlen (*text));
  return 0;
}

/* Cut T's text into lines. */
static int
cut (struct text_lines *t, const char *path, size_t size)
{
  char *p = t->text, *end = t->text + size;
  int64_t room = 0;

  if (size >= 3 && memcmp (p, "\xef\xbb\xbf", 3) == 0)
    p += 3;
  while (p < end) {
    char *next = memchr (p, '\n', (size_t) (end - p));

    if (t->n == room) {
      char **line;

      room = room > 0 ? 2 * room : 64;
      line = realloc (t->line, (size_t) room * sizeof *line);
      if (line == NULL)
        return qk_oom ("%s: %lld lines", path, (long long) room);
      t->line = line;
    }
    t->line[t->n++] = p;
    next = next != NULL ? next : end;
    *next = 0;
    if (next > p && next[-1] == '\r')
      next[-1] = 0;
    p = next + 1;
  }
  return 0;
}

int
text_lines_read (const char *path, int64_t max, struct text_lines *out)
{
  size_t size = 0;
  int fd, err;

  memset (out, 0, sizeof *out);
  /* O_NONBLOCK: opening a FIFO must not hang */
  fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return qk_error (-errno, "%s: cannot open: %s", path, strerror (errno));
  err = load (fd, path, max, &out->text, &size);
  close (fd);
  return err < 0 ? err : cut (out, path, size);
}

void
text_lines_clear (struct text_lines *t)
{
  free (t->text);
  free (t->line);
  memset (t, 0, sizeof *t);
}

/* ---- names of categories ---------------------------------------------*/

static int
compare (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static int
check_unique (const char *path, const struct text_lines *t)
{
  char **sorted = malloc (((size_t) t->n + 1) * sizeof *sorted);
  int err = 0;
  int64_t i;

  if (sorted == NULL)
    return qk_oom ("%s", path);
  if (t->n > 0)
    memcpy (sorted, t->line, (size_t) t->n * sizeof *sorted);
  qsort (sorted, (size_t) t->n, sizeof *sorted, compare);
  for (i = 1; err == 0 && i < t->n; i++)
    if (strcmp (sorted[i - 1], sorted[i]) == 0)
      err = qk_error (-EINVAL, "%s: the name '%.100s' is there twice", path,
                      sorted[i]);
  free (sorted);
  return err;
}

int
text_names_read (const char *path, struct text_lines *out)
{
  int64_t i;
  int err = text_lines_read (path, MAX_NAMES_FILE, out);

  if (err < 0)
    return err;
  while (out->n > 0 && out->line[out->n - 1][0] == 0)
    out->n--;
  if (out->n == 0)
    return qk_error (-EINVAL, "%s: no names in it, expected one a line", path);
  for (i = 0; i < out->n; i++)
    if (out->line[i][0] == 0)
      return qk_error (-EINVAL, "%s:%lld: an empty line among names", path,
                       (long long) i + 1);
  return check_unique (path, out);
}
