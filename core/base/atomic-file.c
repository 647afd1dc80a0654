/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* atomic-file.c: files that are either completely new or still the old. */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic-file.h"

/* A file on its way; all strings belong to it. */
struct pending {
  const char *path; /* as the caller names it */
  char *target;     /* a copy of it */
  char *folder;
  char *temporary; /* NULL: not created yet */
  int fd;
  bool exists;
  mode_t mode; /* of the existing file */
};

static int
fail (const struct pending *p, int err, const char *what)
{
  return qk_error (-err, "%s: %s: %s", p->path, what, strerror (err));
}

/* Find out what PATH is now and where the new file has to go. */
static int
resolve (struct pending *p)
{
  struct stat st;
  const char *slash;

  p->target = strdup (p->path);
  if (!p->target)
    return fail (p, ENOMEM, "cannot write");
  if (lstat (p->target, &st) == 0) {
    if (S_ISLNK (st.st_mode))
      return qk_error (-ELOOP,
                       "%s: is a symbolic link, expected a file or nothing; "
                       "remove it",
                       p->path);
    if (S_ISDIR (st.st_mode))
      return fail (p, EISDIR, "cannot write");
    if (!S_ISREG (st.st_mode))
      return qk_error (-EINVAL, "%s: cannot write: not a regular file",
                       p->path);
    p->exists = true;
    p->mode = st.st_mode & 0777;
  }
  slash = strrchr (p->target, '/');
  if (!slash)
    p->folder = strdup (".");
  else
    p->folder = strndup (
      p->target, slash == p->target ? 1 : (size_t) (slash - p->target));
  return p->folder ? 0 : fail (p, ENOMEM, "cannot write");
}

static int
create_temporary (struct pending *p)
{
  const char *slash = strrchr (p->target, '/');
  const char *base = slash ? slash + 1 : p->target;

  if (!base[0])
    return fail (p, EISDIR, "cannot write");
  for (int attempt = 0; attempt < 100; attempt++) {
    uint64_t r;
    char *name;

    if (getrandom (&r, sizeof r, 0) != sizeof r)
      return fail (p, errno, "cannot get random bytes");
    /* The name is cut so that the suffix always fits into a file name. */
    if (asprintf (&name, "%s/.%.200s.%016" PRIx64 ".tmp", p->folder, base, r)
        < 0)
      return fail (p, ENOMEM, "cannot write");
    p->fd = open (name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (p->fd >= 0) {
      p->temporary = name;
      return 0;
    }
    free (name);
    if (errno != EEXIST)
      return fail (p, errno, "cannot create a file beside it");
  }
  return fail (p, EEXIST, "cannot create a file beside it");
}

/* After the rename nothing but power loss can lose the file; some file
 * systems cannot flush folders and say so with EINVAL. */
static int
sync_folder (const struct pending *p)
{
  const int fd = open (p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int err = 0;

  if (fd < 0)
    return errno == EACCES ? 0 : fail (p, errno, "cannot open its folder");
  if (fsync (fd) < 0 && errno != EINVAL && errno != ENOTSUP)
    err = fail (p, errno, "cannot flush its folder to disk");
  close (fd);
  return err;
}

static int
commit (struct pending *p)
{
  int fd = p->fd;

  if (p->exists && fchmod (fd, p->mode) < 0)
    return fail (p, errno, "cannot set its access mode");
  if (fsync (fd) < 0)
    return fail (p, errno, "cannot flush to disk");
  p->fd = -1;
  if (close (fd) < 0)
    return fail (p, errno, "cannot close");
  if (rename (p->temporary, p->target) < 0)
    return fail (p, errno, "cannot rename the new file to it");
  free (p->temporary);
  p->temporary = NULL;
  return sync_folder (p);
}

int
qk_atomic_write (const char *path, qk_atomic_fill fill, void *arg)
{
  struct pending p = { .path = path, .fd = -1 };
  int err = resolve (&p);

  if (err == 0)
    err = create_temporary (&p);
  if (err == 0) {
    err = fill (p.fd, arg);
    if (err < 0)
      qk_error_prefix (err, "%s: ", path);
    else
      err = commit (&p);
  }
  if (p.fd >= 0)
    close (p.fd);
  if (p.temporary)
    unlink (p.temporary);
  free (p.temporary);
  free (p.folder);
  free (p.target);
  return err < 0 ? err : 0;
}

/* Whether create_temporary made NAME for a file that ends in SUFFIX:
 * ".FILE.0123456789abcdef.tmp". */
static bool
is_leftover (const char *name, const char *suffix)
{
  const size_t n = strlen (name), k = strlen (suffix), tail = 1 + 16 + 4;
  const char *end;

  if (name[0] != '.' || n <= 1 + k + tail)
    return false;
  end = name + n - tail;
  return strncmp (end - k, suffix, k) == 0 && end[0] == '.'
         && strspn (end + 1, "0123456789abcdef") == 16
         && strcmp (end + 17, ".tmp") == 0;
}

int
qk_atomic_remove_leftovers (struct qk_context *ctx, const char *folder,
                            const char *suffix)
{
  struct dirent *entry;
  DIR *dir = opendir (folder);

  if (!dir) {
    const int err = -errno;

    return qk_error (err, "%s: cannot list: %s", folder, strerror (-err));
  }
  while ((entry = readdir (dir)) != NULL)
    if (is_leftover (entry->d_name, suffix)
        && unlinkat (dirfd (dir), entry->d_name, 0) == 0)
      qk_log (ctx, QK_LOG_INFO, "%s/%s: removed, its writing was cut off",
              folder, entry->d_name);
  closedir (dir);
  return 0;
}

int
qk_write_all (int fd, const void *data, size_t n)
{
  const char *bytes = data;

  while (n > 0) {
    const ssize_t done = write (fd, bytes, n < INT_MAX ? n : INT_MAX);

    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0)
      return qk_error (-errno, "cannot write: %s", strerror (errno));
    bytes += done;
    n -= (size_t) done;
  }
  return 0;
}

struct bytes {
  const void *data;
  size_t n;
};

static int
fill_bytes (int fd, void *arg)
{
  const struct bytes *b = arg;

  return qk_write_all (fd, b->data, b->n);
}

int
qk_atomic_write_data (const char *path, const void *data, size_t n)
{
  struct bytes b = { data, n };

  return qk_atomic_write (path, fill_bytes, &b);
}
