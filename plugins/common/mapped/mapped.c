/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mapped.c: whole files in memory. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mapped.h"

/* All SIZE bytes of FD into OUT. */
static int
read_all (int fd, const char *path, char *out, size_t size)
{
  size_t done = 0;

  while (done < size) {
    const ssize_t n = pread (fd, out + done, size - done, (off_t) done);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return qk_error (-errno, "%s: cannot read: %s", path, strerror (errno));
    if (n == 0)
      return qk_error (-EBADMSG,
                       "%s: became shorter while it was read: %zu bytes, "
                       "before %zu",
                       path, done, size);
    done += (size_t) n;
  }
  return 0;
}

/* The file's contents in pages of our own. */
static int
take (int fd, const char *path, size_t size, void **bytes)
{
  void *map = mmap (NULL, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int err;

  if (map == MAP_FAILED)
    return qk_error (-errno, "%s: no memory for its %zu bytes: %s", path, size,
                     strerror (errno));
  err = read_all (fd, path, map, size);
  if (err == 0 && mprotect (map, size, PROT_READ) < 0)
    err = qk_error (-errno, "%s: %s", path, strerror (errno));
  if (err < 0)
    munmap (map, size);
  else
    *bytes = map;
  return err;
}

/* A file with holes may claim any size. */
static bool
fits_memory (uint64_t size)
{
  const long pages = sysconf (_SC_PHYS_PAGES), page = sysconf (_SC_PAGESIZE);

  return size <= SIZE_MAX / 2
         && (pages <= 0 || page <= 0
             || size <= (uint64_t) pages * (uint64_t) page);
}

int
mapped_open (const char *path, size_t min, const char *what, void **bytes,
             size_t *size)
{
  struct stat st;
  int fd, err = 0;

  /* O_NONBLOCK: a fifo must not hang us before fstat refuses it */
  fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    err = -errno;
    return qk_error (err, "%s: cannot open: %s", path, strerror (-err));
  }
  if (fstat (fd, &st) < 0) {
    err = -errno;
    qk_error (err, "%s: cannot stat: %s", path, strerror (-err));
  } else if (!S_ISREG (st.st_mode)) {
    err = qk_error (-EINVAL, "%s: not a regular file", path);
  } else if ((uint64_t) st.st_size < min) {
    err = qk_error (-EBADMSG,
                    "%s: too short for %s: %lld bytes, expected at least %zu",
                    path, what, (long long) st.st_size, min);
  } else if (!fits_memory ((uint64_t) st.st_size)) {
    err = qk_error (-EFBIG, "%s: too large for this machine: %lld bytes", path,
                    (long long) st.st_size);
  } else if ((err = take (fd, path, (size_t) st.st_size, bytes)) == 0) {
    *size = (size_t) st.st_size;
  }
  close (fd);
  return err;
}
