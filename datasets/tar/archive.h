/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* archive.h: the files in a tar archive in memory: ustar, with GNU's and pax's
 * long names. */
#ifndef TAR_ARCHIVE_H
#define TAR_ARCHIVE_H

#include <qatkit/base.h>

#define TAR_MAX_NAME 4096

struct tar_entry {
  char name[TAR_MAX_NAME];
  const uint8_t *data; /* within the archive */
  size_t size;
};

/* A walk through SIZE bytes at DATA; PATH is for messages. */
struct tar_walk {
  const uint8_t *data;
  size_t size, at;
  const char *path;
};

/* The next regular file into OUT: 1, or 0 at the archive's end.  -EBADMSG,
 * with the place, for damage: a checksum that is wrong, a file that reaches
 * beyond the archive, an archive without an end. */
int tar_next (struct tar_walk *w, struct tar_entry *out);

#endif /* TAR_ARCHIVE_H */
