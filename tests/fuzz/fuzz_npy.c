/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_npy.c: any bytes as arrays of NumPy, whose numbers are all read. */
#include "config.h"

#include "npy/npy.h"
#include "replay.h"

#define MOST 4096 /* elements to look at */

static void
demand (int ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "%s: %s\n", what, qk_error_message ());
  abort ();
}

static void
read_array (struct npy_file *f, int64_t i)
{
  static float x[MOST];
  struct npy_array a;
  struct npy_box box;
  void *all = NULL;

  if (npy_get (f, i, &a) < 0) {
    demand (strncmp (qk_error_message (), "input", 5) == 0,
            "error without the file's name");
    return;
  }
  if (npy_convert (&a, "input", &all) == 0)
    qk_free (all);
  npy_whole (&a, &box);
  if (a.count <= MOST)
    npy_floats (&a, &box, x);
  if (a.shape.ndim > 0 && a.count > 0) { /* the last row */
    box.first = (a.shape.dims[0] - 1) * a.stride[0];
    box.dims[0] = 1;
    if (a.count / a.shape.dims[0] <= MOST)
      npy_floats (&a, &box, x);
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct npy_file *f = NULL;
  int64_t i;

  if (npy_open_memory (data, size, "input", &f) < 0) {
    demand (strncmp (qk_error_message (), "input: ", 7) == 0,
            "error without the file's name");
    return 0;
  }
  for (i = 0; i < npy_count (f) && i < 64; i++)
    read_array (f, i);
  npy_close (f);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "npy");
}
#endif
