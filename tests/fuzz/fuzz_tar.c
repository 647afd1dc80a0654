/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_tar.c: any bytes as a tar archive, whose files are all read. */
#include "config.h"

#include "archive.h"
#include "replay.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct tar_walk w = { data, size, 0, "input" };
  static struct tar_entry e;
  volatile uint8_t sum = 0;
  int r;

  while ((r = tar_next (&w, &e)) == 1) {
    size_t i;

    if (strlen (e.name) >= sizeof e.name || e.data < data
        || e.size > size - (size_t) (e.data - data))
      abort ();
    for (i = 0; i < e.size; i++)
      sum = (uint8_t) (sum + e.data[i]);
  }
  if (r < 0 && strncmp (qk_error_message (), "input: ", 7) != 0)
    abort ();
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "tar");
}
#endif
