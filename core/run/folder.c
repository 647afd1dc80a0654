/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* folder.c: the folder of a run, which one program at a time writes into.
 *
 * The file "lock" is locked while a program is at work there and names it; it
 * is empty after a run that came to its end, so that what is left of one that
 * was killed tells of it. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic-file.h"
#include "run/folder.h"

#define LOCK "lock"
#define MAX_NOTE 120 /* "process 123 on HOST" */

struct qk_folder {
  char *lock; /* path of the lock's file */
  int fd;
  bool unfinished;
};

int
qk_folder_make (const char *path)
{
  char *p = strdup (path), *s;
  int r = 0;

  if (p == NULL)
    return qk_oom ("%s", path);
  for (s = p + 1; r == 0; s++) {
    const char c = *s;

    if (c != '/' && c != 0)
      continue;
    *s = 0;
    if (mkdir (p, 0777) < 0 && errno != EEXIST)
      r = qk_error (-errno, "cannot make folder '%s': %s", p,
                    strerror (errno));
    *s = c;
    if (c == 0)
      break;
  }
  free (p);
  return r;
}

/* The owner of a folder can change whatever is written there. */
static int
check_owner (struct qk_context *ctx, const char *path)
{
  char name[64], buffer[1024];
  struct passwd entry, *found = NULL;
  struct stat st;

  if (stat (path, &st) < 0)
    return qk_error (-errno, "folder '%s': %s", path, strerror (errno));
  if (!S_ISDIR (st.st_mode))
    return qk_error (-ENOTDIR,
                     "'%s' is no folder, expected one for what a "
                     "run writes",
                     path);
  if (st.st_uid == geteuid ())
    return 0;
  if (getpwuid_r (st.st_uid, &entry, buffer, sizeof buffer, &found) == 0
      && found != NULL)
    snprintf (name, sizeof name, "'%s'", entry.pw_name);
  else
    snprintf (name, sizeof name, "%lu", (unsigned long) st.st_uid);
  if (access (path, W_OK | X_OK) < 0)
    return qk_error (-errno,
                     "folder '%s' belongs to user %s and cannot be "
                     "written to: %s; give another --output",
                     path, name, strerror (errno));
  qk_log (ctx, QK_LOG_WARNING,
          "folder '%s' belongs to user %s, who can "
          "change whatever is written there",
          path, name);
  return 0;
}

/* What the lock's file says, cleaned of what no note has. */
static void
read_note (int fd, char note[MAX_NOTE])
{
  const ssize_t n = pread (fd, note, MAX_NOTE - 1, 0);
  ssize_t i;

  note[n > 0 ? n : 0] = 0;
  for (i = 0; i < n; i++)
    if (note[i] < ' ' || note[i] > '~')
      note[i] = 0;
}

static int
take_lock (struct qk_folder *f, struct qk_context *ctx, const char *path)
{
  char note[MAX_NOTE];

  /* a lock asks some file servers for a file opened for writing */
  f->fd = open (f->lock,
                O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (f->fd < 0 && errno == ELOOP)
    return qk_error (-ELOOP,
                     "%s: is a symbolic link, expected a file of a "
                     "run or nothing",
                     f->lock);
  if (f->fd < 0)
    return qk_error (-errno, "%s: cannot open: %s", f->lock, strerror (errno));
  if (flock (f->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
    read_note (f->fd, note);
    return qk_error (-EBUSY,
                     "folder '%s' is in use by %s; wait for it, or "
                     "give another --output",
                     path, note[0] ? note : "another process");
  } else if (errno == ENOLCK || errno == EOPNOTSUPP)
    qk_log (ctx, QK_LOG_WARNING,
            "%s: this file system has no locks (%s); no "
            "other program must use the folder",
            f->lock, strerror (errno));
  read_note (f->fd, note);
  f->unfinished = note[0] != 0;
  return 0;
}

int
qk_folder_open (struct qk_context *ctx, const char *path,
                struct qk_folder **out)
{
  struct qk_folder *f;
  int r;

  if ((r = qk_folder_make (path)) < 0 || (r = check_owner (ctx, path)) < 0)
    return r;
  f = calloc (1, sizeof *f);
  if (f == NULL)
    return qk_oom ("%s", path);
  f->fd = -1;
  if (asprintf (&f->lock, "%s/" LOCK, path) < 0) {
    f->lock = NULL;
    r = qk_oom ("%s", path);
  } else
    r = take_lock (f, ctx, path);
  if (r < 0) {
    qk_folder_close (f);
    return r;
  }
  *out = f;
  return 0;
}

void
qk_folder_close (struct qk_folder *f)
{
  if (f == NULL)
    return;
  if (f->fd >= 0)
    close (f->fd); /* and unlock */
  free (f->lock);
  free (f);
}

bool
qk_folder_unfinished (const struct qk_folder *f)
{
  return f->unfinished;
}

static int
write_note (struct qk_folder *f, const char *note)
{
  int r;

  if (ftruncate (f->fd, 0) < 0 || lseek (f->fd, 0, SEEK_SET) < 0)
    return qk_error (-errno, "%s: %s", f->lock, strerror (errno));
  if ((r = qk_write_all (f->fd, note, strlen (note))) < 0)
    return qk_error_prefix (r, "%s: ", f->lock);
  f->unfinished = note[0] != 0;
  return 0;
}

int
qk_folder_begin (struct qk_folder *f)
{
  char host[65] = "", note[MAX_NOTE];

  gethostname (host, sizeof host - 1);
  snprintf (note, sizeof note, "process %ld on %s\n", (long) getpid (), host);
  return write_note (f, note);
}

int
qk_folder_end (struct qk_folder *f)
{
  return write_note (f, "");
}
