/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mapped.c: files mapped for reading. */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mapped.h"

int
mapped_open (const char *path, size_t min, const char *what, void **bytes,
             size_t *size)
{
  struct stat st;
  int fd, err = 0;
  void *map;

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
  } else if ((uint64_t) st.st_size > SIZE_MAX / 2) {
    err = qk_error (-EFBIG, "%s: too large for this machine: %lld bytes", path,
                    (long long) st.st_size);
  } else {
    map = mmap (NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
      err = -errno;
      qk_error (err, "%s: cannot map %lld bytes: %s", path,
                (long long) st.st_size, strerror (-err));
    } else {
      *bytes = map;
      *size = (size_t) st.st_size;
    }
  }
  close (fd);
  return err;
}
