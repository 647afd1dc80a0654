/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_jpeg.c: any bytes as a JPEG sample, prepared for evaluation and for
 * training. */
#include "config.h"

#include "jpeg/image.h"
#include "replay.h"

#define SIDE 40

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static struct image_reader *reader;
  static uint8_t rgb[SIDE * SIDE * 3];
  struct image_view view;
  struct qk_rng rng;
  int64_t w, h;
  int i;

  if (!reader && image_reader_new (&reader))
    abort ();
  qk_rng_seed (&rng, 1, size);
  for (i = 0; i < 3; i++) {
    if (image_open_memory (reader, data, size, "fuzz", &w, &h))
      continue;
    if (w * h > 1 << 22)
      return 0; /* slow, and no more to be seen than in small ones */
    if (i == 0)
      image_view_center (w, h, SIDE + 5, SIDE, &view);
    else
      image_view_random (w, h, SIDE, 0.05, true, &rng, &view);
    image_render (reader, &view, NULL, rgb, NULL);
  }
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "jpeg");
}
#endif
