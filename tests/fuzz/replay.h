/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* replay.h: the main of a fuzz target that is built without a fuzzer.  It
 * runs the target over the files and folders given, or over
 * tests/fuzz/corpus/NAME. */
#ifndef QATKIT_FUZZ_REPLAY_H
#define QATKIT_FUZZ_REPLAY_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Number of inputs run, or -1. */
static long
replay_file (const char *path, long size)
{
  FILE *f = fopen (path, "rb");
  /* of exactly this size, so that a sanitizer sees a byte too many */
  uint8_t *data = malloc (size > 0 ? (size_t) size : 1);
  long n = -1;

  if (f && data && fread (data, 1, (size_t) size, f) == (size_t) size) {
    LLVMFuzzerTestOneInput (data, (size_t) size);
    n = 1;
  } else {
    perror (path);
  }
  free (data);
  if (f)
    fclose (f);
  return n;
}

static long
replay_path (const char *path)
{
  struct stat st;
  struct dirent *e;
  char inner[4096];
  long total = 0;
  DIR *dir;

  if (stat (path, &st) < 0) {
    perror (path);
    return -1;
  }
  if (!S_ISDIR (st.st_mode))
    return replay_file (path, (long) st.st_size);
  dir = opendir (path);
  if (!dir) {
    perror (path);
    return -1;
  }
  while (total >= 0 && (e = readdir (dir)) != NULL) {
    long n;

    if (e->d_name[0] == '.')
      continue;
    snprintf (inner, sizeof inner, "%s/%s", path, e->d_name);
    n = replay_path (inner);
    total = n < 0 ? -1 : total + n;
  }
  closedir (dir);
  return total;
}

static int
replay_main (int argc, char **argv, const char *name)
{
  const char *top = getenv ("abs_top_srcdir");
  char corpus[4096];
  long total = 0, n;
  int i;

  if (argc < 2) {
    snprintf (corpus, sizeof corpus, "%s/tests/fuzz/corpus/%s",
              top ? top : ".", name);
    total = replay_path (corpus);
  }
  for (i = 1; i < argc && total >= 0; i++) {
    n = replay_path (argv[i]);
    total = n < 0 ? -1 : total + n;
  }
  printf ("%s: %ld inputs\n", name, total);
  /* an empty corpus tests nothing */
  return total > 0 ? 0 : 1;
}

#endif /* QATKIT_FUZZ_REPLAY_H */
