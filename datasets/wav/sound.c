/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <sndfile.h>

#include "sound.h"

/* The mean of the channels of up to N frames into OUT; how many there were. */
static int64_t
read_mono (SNDFILE *f, int channels, int64_t n, float *piece, float *out)
{
  int64_t have = 0, got;

  while (have < n) {
    const int64_t want = n - have < SOUND_FRAMES ? n - have : SOUND_FRAMES;
    int64_t i;
    int c;

    got = sf_readf_float (f, piece, want);
    if (got <= 0)
      break;
    for (i = 0; i < got; i++) {
      float sum = 0;

      for (c = 0; c < channels; c++)
        sum += piece[i * channels + c];
      out[have + i] = sum / (float) channels;
    }
    have += got;
  }
  return have;
}

/* F, moved by SHIFT, into the N zeros of OUT; how many samples there were. */
static int64_t
read_moved (SNDFILE *f, int channels, int64_t n, int64_t shift, float *piece,
            float *out)
{
  const int64_t before = shift > 0 ? shift : 0;

  /* what is moved out at the start is read and forgotten */
  if (shift < 0) {
    read_mono (f, channels, -shift < n ? -shift : n, piece, out);
    memset (out, 0, (size_t) n * sizeof *out);
  }
  return before < n ? read_mono (f, channels, n - before, piece, out + before)
                    : 0;
}

int
sound_read (const char *path, int rate, int64_t n, int64_t shift, float *piece,
            float *out)
{
  SF_INFO info = { 0 };
  struct stat st;
  SNDFILE *f;
  int err = 0;

  if (stat (path, &st) < 0)
    return qk_error (-errno, "%s: %s", path, strerror (errno));
  if (!S_ISREG (st.st_mode))
    return qk_error (-EBADMSG, "%s: not a regular file", path);
  f = sf_open (path, SFM_READ, &info);
  if (!f)
    return qk_error (-EBADMSG, "%s: cannot be decoded as sound: %s", path,
                     sf_strerror (NULL));
  memset (out, 0, (size_t) n * sizeof *out);
  if (info.channels < 1 || info.channels > SOUND_MAX_CHANNELS)
    err = qk_error (-EBADMSG, "%s: %d channels, accepted are 1 to %d", path,
                    info.channels, SOUND_MAX_CHANNELS);
  else if (info.samplerate != rate)
    err = qk_error (-EBADMSG, "%s: %d samples a second, expected rate = %d",
                    path, info.samplerate, rate);
  else if (read_moved (f, info.channels, n, shift, piece, out) == 0
           && shift == 0)
    err = qk_error (-EBADMSG, "%s: no sound in it", path);
  sf_close (f);
  return err;
}
