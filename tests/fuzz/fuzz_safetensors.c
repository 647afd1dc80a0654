/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_safetensors.c: any bytes as a safetensors file; what can be read can
 * be written and read again. */
#include "config.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay.h"
#include "safetensors-priv.h"

#define MAX_ENTRIES 64

static void
demand (int ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "%s: %s\n", what, qk_error_message ());
  abort ();
}

static size_t
entry_bytes (const struct qk_format_entry *e)
{
  return (size_t) qk_shape_count (&e->tensor.shape)
         * qk_dtype_size (e->tensor.dtype);
}

/* Whether F has an entry like E. */
static int
has (struct st_file *f, const struct qk_format_entry *e)
{
  struct qk_format_entry other;
  int64_t i;

  for (i = 0; i < f->n; i++) {
    demand (st_entry (f, i, &other) == 0, "what was written is not read");
    if (strcmp (other.name, e->name) == 0)
      return other.tensor.dtype == e->tensor.dtype
             && qk_shape_equal (&other.tensor.shape, &e->tensor.shape)
             && memcmp (other.tensor.data, e->tensor.data, entry_bytes (e))
                  == 0;
  }
  return 0;
}

static void
round_trip (const struct qk_format_entry *entries, int n)
{
  const int fd = memfd_create ("fuzz", MFD_CLOEXEC);
  struct st_file *f = NULL;
  off_t size;
  void *map;
  int i;

  if (fd < 0)
    return;
  demand (st_write (NULL, fd, entries, n, NULL, 0) == 0, "cannot write");
  size = lseek (fd, 0, SEEK_END);
  map = mmap (NULL, (size_t) size, PROT_READ, MAP_PRIVATE, fd, 0);
  demand (map != MAP_FAILED, "cannot map");
  demand (st_parse (map, (size_t) size, "again", &f) == 0, "cannot parse");
  demand (f->n == n, "another number of tensors");
  for (i = 0; i < n; i++)
    demand (has (f, &entries[i]), "a tensor is different");
  st_free (f);
  munmap (map, (size_t) size);
  close (fd);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct qk_format_entry entries[MAX_ENTRIES];
  struct st_file *f = NULL;
  volatile uint8_t sum = 0;
  int64_t i;
  size_t k;
  int n = 0;

  if (st_parse (data, size, "input", &f) < 0) {
    demand (strncmp (qk_error_message (), "input: ", 7) == 0,
            "error without the file's name");
    return 0;
  }
  st_metadata (f, "format");
  for (i = 0; i < f->n; i++) {
    struct qk_format_entry e;

    if (st_entry (f, i, &e) < 0)
      continue;
    for (k = 0; k < entry_bytes (&e); k++)
      sum = (uint8_t) (sum + ((const uint8_t *) e.tensor.data)[k]);
    if (n < MAX_ENTRIES)
      entries[n++] = e;
  }
  round_trip (entries, n);
  st_free (f);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "safetensors");
}
#endif
