/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_checkpoint.c: any bytes as a checkpoint file. */
#include "config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "io/checkpoints.h"
#include "replay.h"

static struct qk_context *
open_context (void)
{
  struct qk_context *ctx = qk_context_new ();
  const struct qk_class *c;

  if (ctx && qk_context_class (ctx, QK_KIND_FORMAT, "safetensors", &c) == 0)
    return ctx;
  fprintf (stderr, "%s\n", qk_error_message ());
  abort (); /* nothing would be tested */
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static struct qk_context *ctx;
  struct qk_checkpoint *c = NULL;
  const int fd = memfd_create ("fuzz", MFD_CLOEXEC);
  const uint8_t *p = data;
  char path[64];
  struct qk_format_entry e;
  int64_t i;

  if (!ctx)
    ctx = open_context ();
  if (fd < 0)
    abort ();
  while (p < data + size) {
    const ssize_t n = write (fd, p, (size_t) (data + size - p));

    if (n < 0)
      abort ();
    p += n;
  }
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  if (qk_checkpoint_open (ctx, path, &c) == 0) {
    for (i = 0; i < qk_tensorfile_count (qk_checkpoint_file (c)); i++)
      qk_tensorfile_entry (qk_checkpoint_file (c), i, &e);
    qk_checkpoint_text (c, "epoch");
    qk_checkpoint_close (c);
  }
  close (fd);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "checkpoint");
}
#endif
