/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_pth.c: any bytes as the pickle in a file of PyTorch (the archive
 * around it is libzip's affair, whose checksums would stop a fuzzer). */
#include "config.h"

#include <stdio.h>

#include "pickle.h"
#include "replay.h"

static void
demand (int ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "%s: %s\n", what, qk_error_message ());
  abort ();
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct pickle p;
  int64_t i;

  if (pickle_read (data, size, "input", &p) < 0) {
    demand (strncmp (qk_error_message (), "input: ", 7) == 0,
            "error without the file's name");
    return 0;
  }
  for (i = 0; i < p.n; i++) {
    const struct pickle_tensor *t = &p.tensor[i];
    int64_t last = t->offset;
    int d;

    demand (t->name != NULL && t->storage != NULL, "no name");
    demand (t->count <= t->numel, "more elements than the storage has");
    for (d = 0; d < t->ndim; d++)
      last += t->count > 0 ? (t->dims[d] - 1) * t->stride[d] : 0;
    demand (t->count == 0 || last < t->numel, "beyond the storage");
  }
  pickle_clear (&p);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "pth");
}
#endif
