/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_onnx.c: any bytes as an ONNX file of weights. */
#include "config.h"

#include <stdio.h>

#include "onnx-priv.h"
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
  struct onnx_weights *f = NULL;
  struct onnxfile *file;
  volatile uint8_t sum = 0;
  int64_t i;

  if (onnxfile_read (data, size, "input", &file) < 0
      || onnx_weights_read (file, &f) < 0) {
    demand (strncmp (qk_error_message (), "input: ", 7) == 0,
            "error without the file's name");
    return 0;
  }
  for (i = 0; i < f->n; i++) {
    struct qk_format_entry e;
    size_t k, bytes;

    if (onnx_entry (f, i, &e) < 0) {
      demand (e.name != NULL, "an unreadable entry without its name");
      continue;
    }
    bytes = (size_t) qk_shape_count (&e.tensor.shape)
            * qk_dtype_size (e.tensor.dtype);
    demand (bytes <= 8 * size, "more numbers than the file has bytes");
    for (k = 0; k < bytes; k++)
      sum = (uint8_t) (sum + ((const uint8_t *) e.tensor.data)[k]);
  }
  onnx_weights_free (f);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "onnx");
}
#endif
