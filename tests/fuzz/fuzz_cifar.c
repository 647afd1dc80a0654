/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_cifar.c: any bytes as files of CIFAR for Python: images and labels, and
 * the names of the classes. */
#include "config.h"

#include <stdlib.h>

#include "../../datasets/cifar/batch.h"
#include "replay.h"

#define IMAGE 4 /* bytes; 3072 would leave little to find */

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct text_lines names;
  struct batch b;
  uint64_t sum = 0;

  if (batch_read (data, size, "fuzz", "labels", IMAGE, &b) == 0)
    for (int64_t i = 0; i < b.count; i++)
      sum += b.label[i] + (uint64_t) b.pixels[i * IMAGE + IMAGE - 1];
  free (b.label);
  if (batch_names (data, size, "fuzz", "label_names", &names) == 0)
    for (int64_t i = 0; i < names.n; i++)
      sum += strlen (names.line[i]);
  text_lines_clear (&names);
  return sum == 1; /* so that all of it is read */
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "cifar");
}
#endif
