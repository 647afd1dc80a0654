/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawset.h: what datasets of small images, stored as bytes, have in common.
 *
 * Training: torchvision's RandomCrop of the image's own size with padding of
 * zeros, then RandomHorizontalFlip, then what augment.h says.  Then
 * (x / 255 - mean) / std. */
#ifndef QK_RAWSET_H
#define QK_RAWSET_H

#include <qatkit/dataset.h>

#include "augment/augment.h"

struct rawset {
  int64_t h, w, channels;
  int64_t pad;
  bool augment, flip;
  struct augment changes;
  float value[4][256]; /* of every byte, per channel */
};

/* Rows of an option table; the defaults are texts. */
#define RAWSET_OPTIONS(mean_, std_, pad_, flip_)                              \
  { "mean",                                                                   \
    QK_OPT_FLOATS,                                                            \
    mean_,                                                                    \
    -10,                                                                      \
    10,                                                                       \
    NULL,                                                                     \
    "subtracted from the channels (0 to 1): one number or one for each" },    \
    { "std",                                                                  \
      QK_OPT_FLOATS,                                                          \
      std_,                                                                   \
      1e-6,                                                                   \
      100,                                                                    \
      NULL,                                                                   \
      "the channels are then divided by: one number or one for each" },       \
    { "pad",                                                                  \
      QK_OPT_INT,                                                             \
      pad_,                                                                   \
      0,                                                                      \
      1024,                                                                   \
      NULL,                                                                   \
      "training images are moved at random by up to so many pixels, zeros "   \
      "around them" },                                                        \
    AUGMENT_OPTIONS,                                                          \
  {                                                                           \
    "flip", QK_OPT_BOOL, flip_, 0, 0, NULL,                                   \
      "mirror half of the training images"                                    \
  }

/* Read those options for the dataset NAME, whose images are H x W x CHANNELS;
 * at most 4 channels. */
int rawset_configure (struct rawset *s, const char *name,
                      const struct qk_config *cfg, bool augment, int64_t h,
                      int64_t w, int64_t channels);

/* What a thread needs for that, as a dataset's slots worker_new and worker_free
 * have it; NULL where it needs nothing. */
int rawset_worker_new (const struct rawset *s, void **worker);
void rawset_worker_free (void *worker); /* accepts NULL */

/* Bytes of an image; the next column, row and channel are so many bytes
 * away. */
struct rawset_image {
  const uint8_t *pixels;
  int64_t column, row, channel;
};

/* Deliver IMAGE as (h, w, channels). */
void rawset_deliver (const struct rawset *s, void *worker,
                     const struct rawset_image *image, struct qk_rng *rng,
                     float *out);

#endif /* QK_RAWSET_H */
