/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sound.h: the samples of a file of sound. */
#ifndef WAV_SOUND_H
#define WAV_SOUND_H

#include <qatkit/base.h>

#define SOUND_MAX_CHANNELS 64
#define SOUND_FRAMES 4096 /* read at once */
#define SOUND_PIECE (SOUND_FRAMES * SOUND_MAX_CHANNELS)

/* N samples of the sound in PATH, the mean of its channels, moved by SHIFT
 * samples, into OUT; zeros where there is none.  PIECE has room for SOUND_PIECE
 * numbers.  -EBADMSG for what is no sound of RATE samples a second. */
int sound_read (const char *path, int rate, int64_t n, int64_t shift,
                float *piece, float *out);

#endif /* WAV_SOUND_H */
