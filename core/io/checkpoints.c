/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checkpoints.c: a folder of numbered checkpoint files. */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic-file.h"
#include "io/checkpoints.h"

#define WHOLE "checkpoint-"
#define PART "part-"

struct qk_checkpoints {
  struct qk_context *ctx;
  char *dir;
  int keep;
  const char *suffix; /* of the format, ".safetensors"; static */
  int64_t named;      /* damaged ones from this number on have been named */
};

/* ---- names -----------------------------------------------------------*/

/* Checkpoints in the order of their age: by number, a part before the whole
 * one of its number. */
static int64_t
age_of (int64_t number, bool whole)
{
  return 2 * number + (whole ? 1 : 0);
}

static bool
is_whole (int64_t age)
{
  return age % 2 == 1;
}

/* The age that "checkpoint-NNNNNN.suffix" or "part-NNNNNN.suffix" tells; -1
 * for any other name. */
static int64_t
age_in (const struct qk_checkpoints *s, const char *name)
{
  const bool whole = strncmp (name, WHOLE, strlen (WHOLE)) == 0;
  int64_t v = 0;
  size_t digits;

  if (!whole && strncmp (name, PART, strlen (PART)) != 0)
    return -1;
  name += strlen (whole ? WHOLE : PART);
  digits = strspn (name, "0123456789");
  if (digits < 6 || digits > 9 || strcmp (name + digits, s->suffix) != 0)
    return -1;
  while (digits-- > 0)
    v = 10 * v + (*name++ - '0');
  return age_of (v, whole);
}

/* To be freed. */
static char *
path_of (const struct qk_checkpoints *s, int64_t age)
{
  char *path;

  if (asprintf (&path, "%s/%s%06lld%s", s->dir, is_whole (age) ? WHOLE : PART,
                (long long) age / 2, s->suffix)
      < 0) {
    qk_oom ("%s", s->dir);
    return NULL;
  }
  return path;
}

static int
descending (const void *a, const void *b)
{
  const int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

  return x < y ? 1 : x > y ? -1 : 0;
}

/* The ages of the checkpoints there are, newest first; *OUT to be freed.
 * Returns how many. */
static int64_t
list_ages (const struct qk_checkpoints *s, int64_t **out)
{
  int64_t *ages = NULL;
  size_t n = 0, room = 0;
  struct dirent *entry;
  DIR *dir = opendir (s->dir);

  if (!dir) {
    const int err = -errno;

    return qk_error (err, "%s: cannot list: %s", s->dir, strerror (-err));
  }
  while ((entry = readdir (dir)) != NULL) {
    const int64_t age = age_in (s, entry->d_name);
    struct stat st;

    if (age < 0
        || fstatat (dirfd (dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0
        || !S_ISREG (st.st_mode))
      continue;
    if (n == room) {
      int64_t *more;

      room = room ? 2 * room : 16;
      more = realloc (ages, room * sizeof *more);
      if (!more) {
        free (ages);
        closedir (dir);
        return qk_oom ("%s", s->dir);
      }
      ages = more;
    }
    ages[n++] = age;
  }
  closedir (dir);
  if (n > 0)
    qsort (ages, n, sizeof *ages, descending);
  *out = ages;
  return (int64_t) n;
}

static int
remove_one (const struct qk_checkpoints *s, int64_t age)
{
  char *path = path_of (s, age);
  int err = 0;

  if (!path)
    return -ENOMEM;
  if (unlink (path) < 0 && errno != ENOENT) {
    err = -errno;
    qk_error (err, "%s: cannot remove: %s", path, strerror (-err));
  }
  free (path);
  return err;
}

/* ---- the folder ------------------------------------------------------*/

int
qk_checkpoints_open (struct qk_context *ctx, const char *dir, int keep,
                     struct qk_checkpoints **out)
{
  const struct qk_format_class *format;
  struct qk_checkpoints *s;
  struct stat st;
  int err;

  if (keep < 1)
    return qk_error (-EINVAL,
                     "%s: at least 1 checkpoint must be kept, not "
                     "%d",
                     dir, keep);
  s = calloc (1, sizeof *s);
  if (!s || !(s->dir = strdup (dir))) {
    err = qk_oom ("%s", dir);
    goto error;
  }
  s->ctx = ctx;
  s->keep = keep;
  s->named = INT64_MAX;
  err = qk_format_find (ctx, dir, QK_FORMAT_DEFAULT, &format);
  if (err < 0)
    goto error;
  s->suffix
    = format->suffixes && format->suffixes[0] ? format->suffixes[0] : "";
  if (mkdir (dir, 0777) < 0 && errno != EEXIST) {
    err = -errno;
    qk_error (err, "%s: cannot make folder: %s", dir, strerror (-err));
    goto error;
  }
  if (lstat (dir, &st) == 0 && S_ISLNK (st.st_mode)) {
    err = qk_error (-ELOOP,
                    "%s: is a symbolic link, expected a folder or nothing; "
                    "remove it",
                    dir);
    goto error;
  }
  err = qk_atomic_remove_leftovers (ctx, dir, s->suffix);
  if (err < 0)
    goto error;
  *out = s;
  return 0;

error:
  qk_checkpoints_close (s);
  return err;
}

void
qk_checkpoints_close (struct qk_checkpoints *s)
{
  if (!s)
    return;
  free (s->dir);
  free (s);
}

/* Of those up to NEWEST keep as many as asked for, of parts only what came
 * after the last whole one; that one cannot be removed harms nobody, so it is
 * only logged. */
static void
prune (struct qk_checkpoints *s, int64_t newest)
{
  int64_t *ages = NULL;
  const int64_t n = list_ages (s, &ages);
  int64_t i, whole = 0, parts = 0;

  if (n < 0)
    qk_log (s->ctx, QK_LOG_WARNING, "%s", qk_error_message ());
  for (i = 0; i < n; i++) {
    if (ages[i] > newest)
      continue;
    if (is_whole (ages[i]) ? ++whole <= s->keep
                           : whole == 0 && ++parts <= s->keep)
      continue;
    if (remove_one (s, ages[i]) < 0)
      qk_log (s->ctx, QK_LOG_WARNING, "%s", qk_error_message ());
  }
  free (ages);
}

static int
write_one (struct qk_checkpoints *s, int64_t number, bool whole,
           const struct qk_format_entry *entries, int64_t n,
           const struct qk_format_meta *meta, int n_meta)
{
  const int64_t age = age_of (number, whole);
  char *path;
  int err;

  if (number < 0 || number > QK_CHECKPOINT_MAX_NUMBER)
    return qk_error (-EINVAL, "%s: no checkpoint can have number %lld", s->dir,
                     (long long) number);
  path = path_of (s, age);
  if (!path)
    return -ENOMEM;
  err = qk_checkpoint_write (s->ctx, path, entries, n, meta, n_meta);
  if (err == 0) {
    s->named = INT64_MAX;
    prune (s, age);
  }
  free (path);
  return err;
}

int
qk_checkpoints_write (struct qk_checkpoints *s, int64_t number,
                      const struct qk_format_entry *entries, int64_t n,
                      const struct qk_format_meta *meta, int n_meta)
{
  return write_one (s, number, true, entries, n, meta, n_meta);
}

int
qk_checkpoints_write_part (struct qk_checkpoints *s, int64_t number,
                           const struct qk_format_entry *entries, int64_t n,
                           const struct qk_format_meta *meta, int n_meta)
{
  return write_one (s, number, false, entries, n, meta, n_meta);
}

int
qk_checkpoints_newest (struct qk_checkpoints *s, struct qk_checkpoint **out)
{
  int64_t *ages = NULL;
  const int64_t n = list_ages (s, &ages);
  int64_t i;
  int err;

  if (n < 0)
    return (int) n;
  err = qk_error (-ENOENT, "%s: no checkpoint there", s->dir);
  for (i = 0; i < n; i++) {
    char *path = path_of (s, ages[i]);

    if (!path) {
      err = -ENOMEM;
      break;
    }
    err = qk_checkpoint_open (s->ctx, path, out);
    free (path);
    if (err != -EBADMSG && err != -EIO)
      break;
    if (ages[i] < s->named)
      qk_log (s->ctx, QK_LOG_WARNING, "%s; trying the checkpoint before it",
              qk_error_message ());
    s->named = ages[i] < s->named ? ages[i] : s->named;
  }
  if (i == n && n > 0)
    err = qk_error (-EBADMSG, "%s: none of the %lld checkpoints is usable",
                    s->dir, (long long) n);
  free (ages);
  return err;
}

void
qk_checkpoints_prune (struct qk_checkpoints *s)
{
  prune (s, age_of (QK_CHECKPOINT_MAX_NUMBER, true));
}

int
qk_checkpoints_keep_only (struct qk_checkpoints *s, int64_t number)
{
  int64_t *ages = NULL;
  const int64_t n = list_ages (s, &ages);
  int64_t i;
  int err = n < 0 ? (int) n : 0;

  for (i = 0; err == 0 && i < n; i++)
    if (ages[i] / 2 != number)
      err = remove_one (s, ages[i]);
  free (ages);
  return err;
}
