/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* index.c: the list of images in a file. */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "index.h"
#include "textfile/textfile.h"

#define MAGIC "qatkit images 1"
#define MAX_INDEX (INT64_C (4) << 30) /* bytes */
#define TOO_NEW 2 /* seconds: file systems count times in steps */

/* ---- loading ------------------------------------------------------------ */

/* The number that *P begins with, and the blank behind it. */
static bool
take_number (const char **p, int64_t *out)
{
  char *end;

  errno = 0;
  *out = strtoll (*p, &end, 10);
  if (end == *p || errno != 0 || *end != ' ')
    return false;
  *p = end + 1;
  return true;
}

static bool
begins (const char **p, const char *word)
{
  const size_t n = strlen (word);

  if (strncmp (*p, word, n) != 0)
    return false;
  *p += n;
  return true;
}

/* Whether the folder PATH of ROOT was last changed then. */
static bool
unchanged (const char *root, const char *path, int64_t seconds,
           int64_t nanoseconds)
{
  char *full = *path ? path_within (root, path) : strdup (root);
  struct stat st;
  const bool same = full && stat (full, &st) == 0 && S_ISDIR (st.st_mode)
                    && st.st_mtim.tv_sec == seconds
                    && st.st_mtim.tv_nsec == nanoseconds;

  free (full);
  return same;
}

/* Take one line; 0 if the index is of no use, -EBADMSG without a sentence if
 * the line is none of an index. */
static int
take_line (struct scan *s, const char *p)
{
  int64_t a, b;

  if (begins (&p, "folder "))
    return !take_number (&p, &a) || !take_number (&p, &b) ? -EBADMSG
           : unchanged (s->root, p, a, b)                 ? 1
                                                          : 0;
  if (begins (&p, "class "))
    return scan_add_class (s, p);
  if (begins (&p, "image "))
    return !take_number (&p, &a) || a < 0 || a >= s->classes || !*p
             ? -EBADMSG
             : scan_add_image (s, p, (int32_t) a);
  if (begins (&p, "left "))
    return sscanf (p, "%" SCNd64, &s->left_out) == 1 ? 1 : -EBADMSG;
  if (begins (&p, "ending "))
    return !take_number (&p, &a) ? -EBADMSG : scan_add_ending (s, p, a);
  return -EBADMSG;
}

static int
take_lines (struct scan *s, const char *path, const struct text_lines *t)
{
  int64_t i;
  int r = 1;

  if (t->n < 2 || strcmp (t->line[0], MAGIC) != 0)
    return qk_error (-EBADMSG,
                     "%s: not a list of images as imagefolder keeps it; "
                     "remove it, or give index another name",
                     path);
  if (strcmp (t->line[1], s->root) != 0)
    return 0;
  for (i = 2; r > 0 && i < t->n; i++)
    if (*t->line[i])
      r = take_line (s, t->line[i]);
  return r == -EBADMSG ? qk_error (-EBADMSG, "%s:%lld: damaged; remove it",
                                   path, (long long) i)
                       : r;
}

int
index_load (struct scan *s, const char *path, const char *root)
{
  struct text_lines t = { NULL, NULL, 0 };
  int r = text_lines_read (path, MAX_INDEX, &t);

  if (r == -ENOENT)
    r = 0;
  else if (r == 0) {
    s->root = strdup (root);
    r = s->root ? take_lines (s, path, &t) : qk_oom ("the list of images");
    if (r > 0 && (s->classes == 0 || s->count == 0))
      r = 0;
  }
  text_lines_clear (&t);
  if (r <= 0)
    scan_free (s);
  return r;
}

/* ---- saving ------------------------------------------------------------- */

static bool
has_line_end (const char *text)
{
  return strpbrk (text, "\r\n") != NULL;
}

/* Whether S can be told apart from what may come. */
static bool
can_keep (const struct scan *s)
{
  const time_t now = time (NULL);

  if (has_line_end (s->root))
    return false;
  for (int64_t i = 0; i < s->n_folders; i++)
    if (s->folder[i].changed.tv_sec > now - TOO_NEW
        || has_line_end (s->folder[i].path))
      return false;
  for (int i = 0; i < s->classes; i++)
    if (has_line_end (s->names[i]))
      return false;
  for (int64_t i = 0; i < s->count; i++)
    if (has_line_end (s->items[i].path))
      return false;
  return true;
}

static void
put (const struct scan *s, FILE *f)
{
  fprintf (f, "%s\n%s\n", MAGIC, s->root);
  for (int64_t i = 0; i < s->n_folders; i++)
    fprintf (f, "folder %lld %ld %s\n",
             (long long) s->folder[i].changed.tv_sec,
             s->folder[i].changed.tv_nsec, s->folder[i].path);
  for (int i = 0; i < s->classes; i++)
    fprintf (f, "class %s\n", s->names[i]);
  for (int64_t i = 0; i < s->count; i++)
    fprintf (f, "image %d %s\n", (int) s->items[i].label, s->items[i].path);
  fprintf (f, "left %lld\n", (long long) s->left_out);
  for (int i = 0; i < SCAN_ENDINGS && s->ending[i].count > 0; i++)
    fprintf (f, "ending %lld %s\n", (long long) s->ending[i].count,
             s->ending[i].text);
}

/* The new file TEMPORARY, which others that do the same do not share. */
static int
write_new (const struct scan *s, const char *temporary)
{
  const int fd = open (
    temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  FILE *f = fd >= 0 ? fdopen (fd, "w") : NULL;
  bool bad;

  if (!f) {
    const int err = errno;

    if (fd >= 0)
      close (fd);
    return qk_error (-err, "%s: %s", temporary, strerror (err));
  }
  put (s, f);
  bad = ferror (f) != 0;
  bad = fclose (f) != 0 || bad;
  return bad ? qk_error (-EIO, "%s: cannot be written", temporary) : 0;
}

int
index_save (const struct scan *s, const char *path)
{
  char *temporary;
  int r;

  if (!can_keep (s))
    return 0;
  if (asprintf (&temporary, "%s.%ld.tmp", path, (long) getpid ()) < 0)
    return qk_oom ("the list of images");
  r = write_new (s, temporary);
  if (r == 0 && rename (temporary, path) < 0)
    r = qk_error (-errno, "%s: %s", path, strerror (errno));
  if (r < 0 && r != -EEXIST)
    unlink (temporary);
  free (temporary);
  return r;
}
