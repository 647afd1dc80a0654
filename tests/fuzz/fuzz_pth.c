/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_pth.c: any bytes as the pickle in a file of PyTorch (the archive
 * around it is libzip's affair, whose checksums would stop a fuzzer), or as a
 * whole file from before PyTorch 1.6. */
#include "config.h"

#include <stdio.h>

#include "legacy.h"
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
  const bool legacy = legacy_begins (data, size);
  struct pickle p;
  int64_t i;
  int r;

  r = legacy ? legacy_layout (data, size, size, "input", &p)
             : pickle_read (data, size, "input", &p);
  if (r < 0) {
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
  for (i = 0; i < p.n_storages; i++) {
    const struct pickle_storage *s = &p.storage[i];

    demand (pickle_find_storage (&p, s->key, strlen (s->key)) == s,
            "a storage that is not found");
    demand (s->at == 0
              || (legacy && s->at <= size
                  && (uint64_t) s->numel * s->type->size <= size - s->at),
            "a storage beyond the file");
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
