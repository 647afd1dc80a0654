/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_index.c: any bytes as the list of images that imagefolder keeps. */
#include "config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "index.h"
#include "replay.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const int fd = memfd_create ("input", MFD_CLOEXEC);
  struct scan s;
  char path[40];
  int r;

  if (fd < 0 || write (fd, data, size) != (ssize_t) size)
    abort ();
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  memset (&s, 0, sizeof s);
  r = index_load (&s, path, "/proc/self");
  if (r < 0 && strstr (qk_error_message (), path) == NULL) {
    fprintf (stderr, "error without the file's name: %s\n",
             qk_error_message ());
    abort ();
  }
  for (int64_t i = 0; r > 0 && i < s.count; i++)
    if (s.items[i].label < 0 || s.items[i].label >= s.classes
        || *s.items[i].path == 0)
      abort ();
  scan_free (&s);
  close (fd);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "index");
}
#endif
