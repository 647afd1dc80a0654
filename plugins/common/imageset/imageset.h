/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imageset.h: what datasets of image files have in common: the options that
 * say what is made of an image, and making it.
 *
 * Evaluation: torchvision's Resize (resize) + CenterCrop (crop), or what timm
 * makes of crop_pct.  Training: RandomResizedCrop (crop), or where pad is given
 * RandomCrop (crop, pad) of the resized image, + RandomHorizontalFlip, then
 * what augment.h says.  Then (x / 255 - mean) / std.  Resizing gives PIL's
 * bytes. */
#ifndef QK_IMAGESET_H
#define QK_IMAGESET_H

#include <qatkit/dataset.h>

#include "augment/augment.h"
#include "image/image.h"

/* Images that say which category each pixel of another one is of. */
struct imageset_masks {
  int64_t categories; /* 0: there are none */
  int ignore;         /* the byte that does not count; -1: none */
};

struct imageset {
  struct image_norm norm;
  struct image_options pixels;
  struct image_size resize, crop; /* crop is what is delivered */
  enum image_fit fit;
  enum image_filter filter;
  double min_scale;
  int64_t pad; /* < 0: random crops are resized */
  bool augment, flip, fast;
  struct augment changes;
  struct imageset_masks masks; /* zeros after imageset_configure */
};

extern const char *const imageset_exif[], *const imageset_fit[];

/* Rows of an option table. */
#define IMAGESET_OPTIONS                                                      \
  { "resize",                                                                 \
    QK_OPT_STRING,                                                            \
    "256",                                                                    \
    0,                                                                        \
    0,                                                                        \
    NULL,                                                                     \
    "size after resizing for evaluation, pixels: of the shorter side, or "    \
    "HEIGHTxWIDTH" },                                                         \
    { "crop",                                                                 \
      QK_OPT_STRING,                                                          \
      "224",                                                                  \
      0,                                                                      \
      0,                                                                      \
      NULL,                                                                   \
      "size of what is delivered, pixels: of both sides, or HEIGHTxWIDTH; "   \
      "for evaluation the middle" },                                          \
    { "crop_pct",                                                             \
      QK_OPT_FLOAT,                                                           \
      "0",                                                                    \
      0,                                                                      \
      1,                                                                      \
      NULL,                                                                   \
      "instead of resize, as timm has it: resize to crop divided by this "    \
      "share; 0 = by resize" },                                               \
    { "fit",                                                                  \
      QK_OPT_CHOICE,                                                          \
      "auto",                                                                 \
      0,                                                                      \
      0,                                                                      \
      imageset_fit,                                                           \
      "cover = keep the image's aspect ratio, no side smaller than resize "   \
      "says; stretch = change it; auto = stretch where resize is "            \
      "HEIGHTxWIDTH" },                                                       \
    { "interpolation",                                                        \
      QK_OPT_CHOICE,                                                          \
      "bilinear",                                                             \
      0,                                                                      \
      0,                                                                      \
      image_filter_names,                                                     \
      "filter for resizing, PIL's of this name" },                            \
    { "channels",                                                             \
      QK_OPT_INT,                                                             \
      "3",                                                                    \
      1,                                                                      \
      4,                                                                      \
      NULL,                                                                   \
      "1 = grey, 3 = red, green and blue, 4 = and alpha" },                   \
    { "exif",                                                                 \
      QK_OPT_CHOICE,                                                          \
      "apply",                                                                \
      0,                                                                      \
      0,                                                                      \
      imageset_exif,                                                          \
      "turn images as their EXIF orientation says, or not" },                 \
    { "background",                                                           \
      QK_OPT_FLOATS,                                                          \
      "255,255,255",                                                          \
      0,                                                                      \
      255,                                                                    \
      NULL,                                                                   \
      "red, green and blue that transparent pixels are laid over, unless "    \
      "channels = 4" },                                                       \
    { "mean",                                                                 \
      QK_OPT_FLOATS,                                                          \
      "0.485,0.456,0.406",                                                    \
      -10,                                                                    \
      10,                                                                     \
      NULL,                                                                   \
      "subtracted from each channel (0 to 1); grey: their mean unless given " \
      "as one number, alpha: 0 unless given as the fourth" },                 \
    { "std",                                                                  \
      QK_OPT_FLOATS,                                                          \
      "0.229,0.224,0.225",                                                    \
      1e-6,                                                                   \
      100,                                                                    \
      NULL,                                                                   \
      "each channel is then divided by; grey: their mean unless given as "    \
      "one number, alpha: 1 unless given as the fourth" },                    \
    { "min_scale",                                                            \
      QK_OPT_FLOAT,                                                           \
      "0.08",                                                                 \
      1e-6,                                                                   \
      1,                                                                      \
      NULL,                                                                   \
      "smallest share of an image's area that a training crop takes" },       \
    { "pad",                                                                  \
      QK_OPT_INT,                                                             \
      "-1",                                                                   \
      -1,                                                                     \
      1024,                                                                   \
      NULL,                                                                   \
      "instead of min_scale: training images are resized as for evaluation, " \
      "and a crop is taken at random with so many black pixels around them; " \
      "-1 = by min_scale" },                                                  \
    { "flip",                                                                 \
      QK_OPT_BOOL,                                                            \
      "yes",                                                                  \
      0,                                                                      \
      0,                                                                      \
      NULL,                                                                   \
      "mirror half of the training images" },                                 \
    AUGMENT_OPTIONS,                                                          \
  {                                                                           \
    "fast_decode", QK_OPT_BOOL, "no", 0, 0, NULL,                             \
      "decode large training images at a half, quarter or eighth of their "   \
      "size: much faster, not PIL's bytes"                                    \
  }

/* Read those options for the dataset NAME. */
int imageset_configure (struct imageset *s, const char *name,
                        const struct qk_config *cfg, bool augment);

/* What a thread needs to read samples, as a dataset's slots worker_new and
 * worker_free have it. */
int imageset_worker_new (const struct imageset *s, void **worker);
void imageset_worker_free (void *worker); /* accepts NULL */

/* The sample in the file PATH; RNG NULL: as for evaluation, also where
 * training samples are augmented. */
int imageset_read (const struct imageset *s, void *worker, const char *path,
                   struct qk_rng *rng, float *out);
/* The same of a file in memory, called NAME in messages. */
int imageset_read_memory (const struct imageset *s, void *worker,
                          const uint8_t *data, size_t size, const char *name,
                          struct qk_rng *rng, float *out);

/* The same of pixels in memory: bytes of any size, or floats from 0 to 1 of the
 * size that is delivered, which are normalised and nothing else. */
int imageset_read_array (const struct imageset *s, void *worker,
                         const struct qk_sample_array *a, float *out);

/* The sample in the file PATH and its mask, a grey image of the same size in
 * the file MASK: LABELS (h,w) of the crop.  -EBADMSG, naming the mask, if it is
 * not grey, of another size, or has a category that there is not. */
int imageset_read_masked (const struct imageset *s, void *worker,
                          const char *path, const char *mask,
                          struct qk_rng *rng, float *out, int32_t *labels);

#endif /* QK_IMAGESET_H */
