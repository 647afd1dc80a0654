/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* augment.h: random changes of training images, as torchvision 0.14 defines
 * them for PIL images, and the options that say which.
 *
 * In this order, on the image as it is delivered (cropped and mirrored):
 *   RandomAffine, or RandomRotation where only rotate is given
 *   ColorJitter
 *   RandAugment or TrivialAugmentWide
 * and on the normalised floats
 *   RandomErasing
 * The bytes are those of torchvision for the same random numbers; which
 * numbers there are comes from the sample's generator. */
#ifndef QK_AUGMENT_H
#define QK_AUGMENT_H

#include <qatkit/option.h>
#include <qatkit/rng.h>

#include "raster.h"

enum augment_policy { AUGMENT_NONE, AUGMENT_RAND, AUGMENT_TRIVIAL };

struct augment {
  bool moves;  /* any of rotate, translate, scale, shear */
  bool affine; /* more than rotate */
  double rotate, translate[2], scale[2], shear[2];
  struct raster_move how;
  double brightness, contrast, saturation, hue;
  enum augment_policy policy;
  int ops, magnitude, bins;
  double erase, erase_scale[2], erase_ratio[2];
  bool erase_random;
};

extern const char *const augment_filters[], *const augment_policies[],
                                              *const augment_values[];

/* Rows of an option table. */
#define AUGMENT_OPTIONS                                                           \
  { "rotate",                                                                     \
    QK_OPT_FLOAT,                                                                 \
    "0",                                                                          \
    0,                                                                            \
    180,                                                                          \
    NULL,                                                                         \
    "training images are turned by up to so many degrees either way" },           \
    { "translate",                                                                \
      QK_OPT_FLOATS,                                                              \
      "0",                                                                        \
      0,                                                                          \
      1,                                                                          \
      NULL,                                                                       \
      "training images are moved by up to this share of their width and of "      \
      "their height: one number or two" },                                        \
    { "scale",                                                                    \
      QK_OPT_FLOATS,                                                              \
      "1,1",                                                                      \
      0.01,                                                                       \
      100,                                                                        \
      NULL,                                                                       \
      "smallest and largest factor that training images are enlarged by" },       \
    { "shear",                                                                    \
      QK_OPT_FLOATS,                                                              \
      "0",                                                                        \
      0,                                                                          \
      89,                                                                         \
      NULL,                                                                       \
      "training images are sheared along x, and along y where there is a "        \
      "second number, by up to so many degrees either way" },                     \
    { "affine_filter",                                                            \
      QK_OPT_CHOICE,                                                              \
      "nearest",                                                                  \
      0,                                                                          \
      0,                                                                          \
      augment_filters,                                                            \
      "how pixels of images turned, moved or sheared are made, those of "         \
      "auto_augment too" },                                                       \
    { "fill",                                                                     \
      QK_OPT_FLOATS,                                                              \
      "0",                                                                        \
      0,                                                                          \
      255,                                                                        \
      NULL,                                                                       \
      "what is outside of such images, 0 to 255: one number or one for each "     \
      "channel" },                                                                \
    { "brightness",                                                               \
      QK_OPT_FLOAT,                                                               \
      "0",                                                                        \
      0,                                                                          \
      100,                                                                        \
      NULL,                                                                       \
      "the brightness of training images is multiplied by 1 plus or minus "       \
      "up to so much" },                                                          \
    { "contrast",                                                                 \
      QK_OPT_FLOAT,                                                               \
      "0",                                                                        \
      0,                                                                          \
      100,                                                                        \
      NULL,                                                                       \
      "their contrast is multiplied likewise" },                                  \
    { "saturation",                                                               \
      QK_OPT_FLOAT,                                                               \
      "0",                                                                        \
      0,                                                                          \
      100,                                                                        \
      NULL,                                                                       \
      "their saturation is multiplied likewise; grey images have none" },         \
    { "hue",                                                                      \
      QK_OPT_FLOAT,                                                               \
      "0",                                                                        \
      0,                                                                          \
      0.5,                                                                        \
      NULL,                                                                       \
      "their hue is moved by up to this share of the circle either way" },        \
    { "auto_augment",                                                             \
      QK_OPT_CHOICE,                                                              \
      "none",                                                                     \
      0,                                                                          \
      0,                                                                          \
      augment_policies,                                                           \
      "randaugment = some operations out of 14 at one magnitude; "                \
      "trivial_wide = one at a random magnitude, wider ranges" },                 \
    { "auto_ops",                                                                 \
      QK_OPT_INT,                                                                 \
      "2",                                                                        \
      1,                                                                          \
      14,                                                                         \
      NULL,                                                                       \
      "operations that randaugment applies" },                                    \
    { "auto_magnitude",                                                           \
      QK_OPT_INT,                                                                 \
      "9",                                                                        \
      0,                                                                          \
      255,                                                                        \
      NULL,                                                                       \
      "magnitude of randaugment's operations, below auto_bins" },                 \
    { "auto_bins", QK_OPT_INT, "31", 2, 256, NULL, "magnitudes that there are" }, \
    { "erase",                                                                    \
      QK_OPT_FLOAT,                                                               \
      "0",                                                                        \
      0,                                                                          \
      1,                                                                          \
      NULL,                                                                       \
      "share of the training images of which a rectangle is erased" },            \
    { "erase_scale",                                                              \
      QK_OPT_FLOATS,                                                              \
      "0.02,0.33",                                                                \
      0,                                                                          \
      1,                                                                          \
      NULL,                                                                       \
      "smallest and largest share of the area that is erased" },                  \
    { "erase_ratio",                                                              \
      QK_OPT_FLOATS,                                                              \
      "0.3,3.3",                                                                  \
      0.001,                                                                      \
      1000,                                                                       \
      NULL,                                                                       \
      "smallest and largest height divided by width of the rectangle" },          \
  {                                                                               \
    "erase_with", QK_OPT_CHOICE, "zero", 0, 0, augment_values,                    \
      "zero = the mean colour, 0 after normalisation; normal = a normally "       \
      "distributed random number for each element"                                \
  }

/* Read those options for the dataset NAME, whose images have CHANNELS. */
int augment_configure (struct augment *a, const char *name,
                       const struct qk_config *cfg, int64_t channels);

/* Whether augment_bytes does anything, so that images are needed as bytes. */
bool augment_wants_bytes (const struct augment *a);

/* All but RandomErasing.  MASK (may be NULL) is one channel of the same size,
 * which says something of each pixel: it moves with the image, by nearest
 * pixels, FILL coming in from outside. */
struct augment_mask {
  struct raster *raster;
  uint8_t fill;
};
void augment_bytes (const struct augment *a, struct raster *r,
                    const struct augment_mask *mask, struct qk_rng *rng);
/* RandomErasing, of a normalised image (H,W,CHANNELS). */
void augment_floats (const struct augment *a, float *image, int64_t h,
                     int64_t w, int64_t channels, struct qk_rng *rng);

/* ---- policy.c --------------------------------------------------------------- */

/* The operations of RandAugment and TrivialAugmentWide, in torchvision's
 * order. */
enum policy_op {
  POLICY_IDENTITY,
  POLICY_SHEAR_X,
  POLICY_SHEAR_Y,
  POLICY_TRANSLATE_X,
  POLICY_TRANSLATE_Y,
  POLICY_ROTATE,
  POLICY_BRIGHTNESS,
  POLICY_COLOR,
  POLICY_CONTRAST,
  POLICY_SHARPNESS,
  POLICY_POSTERIZE,
  POLICY_SOLARIZE,
  POLICY_AUTOCONTRAST,
  POLICY_EQUALIZE,
  POLICY_OPS
};

/* Magnitude BIN of BINS of an operation on images H x W; *IS_SIGNED: it may be
 * negative as well.  Numbers are float, as torch.linspace makes them but for
 * the last bit, which there depends on the CPU. */
double policy_magnitude (enum augment_policy policy, enum policy_op op,
                         int bin, int bins, int64_t h, int64_t w,
                         bool *is_signed);
void policy_apply (struct raster *r, enum policy_op op, double magnitude,
                   const struct raster_move *how);
/* The random operations of A's policy. */
void policy_run (const struct augment *a, struct raster *r,
                 struct qk_rng *rng);

#endif /* QK_AUGMENT_H */
