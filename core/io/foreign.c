/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* foreign.c: what people take for a network by mistake, by its first bytes. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "io/foreign.h"

/* Byte sequences with N bytes at AT. */
static const struct {
  size_t at, n;
  const char *bytes, *what;
} known[] = {
  { 0, 42, "version https://git-lfs.github.com/spec/v1",
    "a pointer of Git LFS, not the file: fetch it with \"git lfs pull\"" },
  { 0, 2, "\x1f\x8b", "compressed with gzip: unpack it first" },
  { 0, 6,
    "\xfd"
    "7zXZ",
    "compressed with xz: unpack it first" },
  { 0, 3, "BZh", "compressed with bzip2: unpack it first" },
  { 0, 4, "\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first" },
  { 0, 6, "7z\xbc\xaf\x27\x1c", "compressed with 7-Zip: unpack it first" },
  { 257, 5, "ustar", "an archive of tar: unpack it first" },
  { 0, 8, "\x89HDF\r\n\x1a\n",
    "HDF5, as Keras writes it: export the network as ONNX" },
};

/* What texts begin with, after blanks, in any case of letters. */
static const struct {
  const char *text, *what;
} texts[] = {
  { "<!doctype html",
    "a web page, not the file: the download went to a page about it" },
  { "<html", "a web page, not the file: the download went to a page about "
             "it" },
  { "<?xml", "a text in XML, as failed downloads are" },
  { "{", "a text in JSON, as failed downloads and lists of parts are" },
};

const char *
qk_foreign (const void *head, size_t n)
{
  const char *p = head;
  size_t i, at = 0;

  for (i = 0; i < sizeof known / sizeof *known; i++)
    if (n >= known[i].at + known[i].n
        && memcmp (p + known[i].at, known[i].bytes, known[i].n) == 0)
      return known[i].what;
  if (n >= 3 && memcmp (p, "\xef\xbb\xbf", 3) == 0)
    at = 3; /* a byte order mark */
  while (at < n && memchr (" \t\r\n", p[at], 4) != NULL)
    at++;
  for (i = 0; i < sizeof texts / sizeof *texts; i++)
    if (n - at >= strlen (texts[i].text)
        && strncasecmp (p + at, texts[i].text, strlen (texts[i].text)) == 0)
      return texts[i].what;
  return NULL;
}

size_t
qk_read_head (const char *path, void *head)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  ssize_t n;

  if (fd < 0)
    return 0;
  do
    n = pread (fd, head, QK_HEAD_SIZE, 0);
  while (n < 0 && errno == EINTR);
  close (fd);
  return n > 0 ? (size_t) n : 0;
}
