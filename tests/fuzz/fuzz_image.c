/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_image.c: any bytes as an image, prepared for evaluation and for
 * training, with any number of channels, and as a mask. */
#include "config.h"

#include "image/image.h"
#include "replay.h"

#define SIDE 40

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static struct image_reader *readers[4];
  static const int channels[4] = { 3, 4, 1, 3 };
  static uint8_t bytes[SIDE * SIDE * 4];
  const enum image_filter filter = (enum image_filter) (size % IMAGE_FILTERS);
  const struct image_size crop = { SIDE, SIDE - (int) (size % 9) };
  struct image_view view;
  struct qk_rng rng;
  int64_t w, h;
  int i;

  qk_rng_seed (&rng, 1, size);
  for (i = 0; i < 4; i++) {
    struct image_options o = *image_options_default ();

    o.channels = channels[i];
    o.numbers = i == 3; /* as a mask */
    if (!readers[i] && image_reader_new (&o, &readers[i]))
      abort ();
    if (image_open_memory (readers[i], data, size, "fuzz", &w, &h))
      continue;
    if (w * h > 1 << 22)
      return 0; /* slow, and no more to be seen than in small ones */
    if (i == 0)
      image_view_center (w, h, (struct image_size){ SIDE + 5, SIDE + 30 },
                         size % 2 ? IMAGE_COVER : IMAGE_STRETCH, crop, filter,
                         &view);
    else
      image_view_random (w, h, crop, 0.05, true, filter, &rng, &view);
    image_render (readers[i], &view, NULL, bytes, NULL);
  }
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "image");
}
#endif
