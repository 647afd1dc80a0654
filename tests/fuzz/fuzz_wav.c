/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_wav.c: any bytes as a file of sound, as it is and moved in time. */
#include "config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "replay.h"
#include "sound.h"

#define N 1000
#define GUARD 12345.0f

/* The rate that the header of a WAV file names, so that it fits. */
static int
rate_of (const uint8_t *data, size_t size)
{
  int32_t rate = 16000;

  if (size >= 28 && memcmp (data, "RIFF", 4) == 0)
    memcpy (&rate, data + 24, sizeof rate);
  return rate;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const int64_t shifts[] = { 0, 7, -7, N, -N, 2 * N };
  static float piece[SOUND_PIECE], out[N + 1];
  const int fd = memfd_create ("input", MFD_CLOEXEC);
  char path[40];

  if (fd < 0 || write (fd, data, size) != (ssize_t) size)
    abort ();
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++) {
    out[N] = GUARD;
    if (sound_read (path, rate_of (data, size), N, shifts[i], piece, out) < 0
        && strncmp (qk_error_message (), path, strlen (path)) != 0) {
      fprintf (stderr, "error without the file's name: %s\n",
               qk_error_message ());
      abort ();
    }
    if (out[N] != GUARD)
      abort ();
  }
  close (fd);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "wav");
}
#endif
