/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* changes.h: random changes of training sounds, as torchaudio defines them:
 * functional.add_noise, transforms.TimeMasking and FrequencyMasking
 * (SpecAugment, arXiv 1904.08779, without its warping). */
#ifndef QK_AUDIO_CHANGES_H
#define QK_AUDIO_CHANGES_H

#include <qatkit/option.h>
#include <qatkit/rng.h>

/* Masks along one axis of features. */
struct audio_masks {
  int64_t count, most; /* masks, elements of one at most */
  double share;        /* of the axis that one covers at most */
};

struct audio_changes {
  double noise;  /* share of sounds that get some */
  double snr[2]; /* of them, dB */
  struct audio_masks time, frequency;
};

/* Rows of an option table. */
#define AUDIO_CHANGES_OPTIONS                                                 \
  { "noise",                                                                  \
    QK_OPT_FLOAT,                                                             \
    "0",                                                                      \
    0,                                                                        \
    1,                                                                        \
    NULL,                                                                     \
    "share of the training sounds that white noise is added to" },            \
    { "noise_snr",                                                            \
      QK_OPT_FLOATS,                                                          \
      "10,30",                                                                \
      -100,                                                                   \
      200,                                                                    \
      NULL,                                                                   \
      "smallest and largest ratio of a sound to that noise, dB" },            \
    { "time_mask",                                                            \
      QK_OPT_INT,                                                             \
      "0",                                                                    \
      0,                                                                      \
      1000000,                                                                \
      NULL,                                                                   \
      "frames that a mask in time covers at most, in training; 0 = none" },   \
    { "time_masks", QK_OPT_INT, "1", 1, 100, NULL, "masks in time" },         \
    { "time_mask_share",                                                      \
      QK_OPT_FLOAT,                                                           \
      "1",                                                                    \
      0,                                                                      \
      1,                                                                      \
      NULL,                                                                   \
      "share of the frames that a mask in time covers at most" },             \
    { "frequency_mask",                                                       \
      QK_OPT_INT,                                                             \
      "0",                                                                    \
      0,                                                                      \
      1000000,                                                                \
      NULL,                                                                   \
      "numbers of a frame that a mask in frequency covers at most, in "       \
      "training; 0 = none" },                                                 \
  {                                                                           \
    "frequency_masks", QK_OPT_INT, "1", 1, 100, NULL, "masks in frequency"    \
  }

/* Read those options for the dataset NAME. */
int audio_changes_configure (struct audio_changes *c, const char *name,
                             const struct qk_config *cfg);

/* The factor that noise of this energy (sum of squares) is multiplied by, so
 * that a sound of that energy is SNR dB above it. */
double audio_noise_factor (double sound, double noise, double snr);
/* Add white noise to some sounds of N samples; silence stays silent. */
void audio_add_noise (const struct audio_changes *c, float *x, int64_t n,
                      struct qk_rng *rng);

/* What a mask of MOST elements at most covers of an axis of SIZE, for U and V
 * in 0..1: *FIRST up to, without, *END. */
void audio_mask_range (int64_t most, int64_t size, double u, double v,
                       int64_t *first, int64_t *end);
/* Set what masks cover of FEATURES (frames, numbers) to 0. */
void audio_mask (const struct audio_changes *c, float *features,
                 int64_t frames, int64_t numbers, struct qk_rng *rng);

#endif /* QK_AUDIO_CHANGES_H */
