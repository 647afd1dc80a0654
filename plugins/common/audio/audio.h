/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* audio.h: features of sound, as torchaudio's transforms MelSpectrogram and
 * MFCC define them (mel_scale "htk", norm None, power 2, Hann window,
 * dct_type 2, norm "ortho", log_mels True).
 *
 *   S[k, m] = |sum_n w[n] x[m hop + n] exp (-2 pi i k n / fft)|^2
 *   M[b, m] = sum_k F[k, b] S[k, m],  triangles F between equal steps of
 *             mel (f) = 2595 log10 (1 + f / 700)
 *   L[b, m] = log (M[b, m] + 1e-6)
 *   C[c, m] = sum_b L[b, m] D[b, c],  D of the orthonormal DCT-II
 *
 * All sums are in double. */
#ifndef QK_AUDIO_H
#define QK_AUDIO_H

#include <qatkit/base.h>

struct audio_options {
  double rate;          /* of the samples, Hz */
  int fft, window, hop; /* samples; window <= fft */
  bool center;          /* frames are centred on multiples of hop, the sound
                           reflected at its ends */
  int mels;             /* triangles */
  int mfcc;             /* coefficients kept; 0: the logarithms themselves */
  double low, high;     /* Hz; high 0: half the rate */
};

/* What is computed once. */
struct audio;

/* -EINVAL, WHO beginning the sentence, for senseless options.  *OUT is for
 * audio_free. */
int audio_new (const struct audio_options *o, const char *who,
               struct audio **out);
void audio_free (struct audio *a); /* accepts NULL */

/* Frames of N samples, and numbers of a frame. */
int64_t audio_frames (const struct audio *a, int64_t n);
int audio_numbers (const struct audio *a);

/* Room that audio_features needs, doubles. */
size_t audio_scratch (const struct audio *a);
/* The features of N samples into OUT (frames, numbers). */
void audio_features (const struct audio *a, const float *x, int64_t n,
                     double *scratch, float *out);

#endif /* QK_AUDIO_H */
