/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_state.c: any numbers in a checkpoint whose checksum is right.
 *
 * The input is a list of changes to the arrays of a real checkpoint, of ten
 * bytes each: which array, which element (the rest of its number by the number
 * of elements) and eight bytes for it.  What is changed is written with its
 * checksum, and the run resumed from it. */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay.h"
#include "run/run.h"

#define CHANGE 10 /* bytes */

static const char text[] = "[run]\noutput = fuzz_state-run\nreporter =\n"
                           "threads = 1\n"
                           "[model]\narch = cnn\nchannels = 1\ndepth = 2\n"
                           "[data]\ndataset = shapes\nsize = 16\n"
                           "train_count = 8\nval_count = 4\nbatch = 4\n"
                           "eval_batch = 4\n"
                           "[train]\nepochs = 1\n"
                           "[ptq]\nbatches = 1\n"
                           "[qat]\nepochs = 2\nbatches = 1\n";

static struct qk_context *ctx;
static struct qk_settings *settings;
static struct qk_checkpoint *sound;
static int64_t number; /* of the newest checkpoint there is */
static volatile sig_atomic_t stop;

/* Nothing would be tested. */
static void
need (int r)
{
  if (r >= 0)
    return;
  fprintf (stderr, "fuzz_state: %s\n", qk_error_message ());
  abort ();
}

/* A run to its end, and its last checkpoint. */
static void
prepare (void)
{
  struct qk_monitor m = { .progress = NULL };
  struct qk_run *run = NULL;
  struct qk_ini *ini;

  if ((ctx = qk_context_new ()) == NULL)
    abort ();
  need (qk_ini_parse (text, strlen (text), "fuzz_state", &ini));
  need (qk_settings_new (ctx, ini, &settings));
  need (qk_run_new (settings, &m, QK_RUN_OVERWRITE, &run));
  need (qk_run_go (run, QK_PART_TRAIN | QK_PART_PTQ | QK_PART_QAT));
  need (qk_checkpoints_newest (run->checkpoints, &sound));
  number = run->steps;
  qk_run_free (run);
}

/* E with the changes of DATA that are for it; its numbers for qk_free. */
static void
bend (struct qk_format_entry *e, int64_t index, int64_t n, const uint8_t *data,
      size_t size)
{
  const size_t one = qk_dtype_size (e->tensor.dtype);
  const size_t count = (size_t) qk_shape_count (&e->tensor.shape);
  uint8_t *copy = qk_alloc (count * one + 1);

  if (copy == NULL)
    abort ();
  memcpy (copy, e->tensor.data, count * one);
  for (; size >= CHANGE; data += CHANGE, size -= CHANGE)
    if (data[0] % n == index && count > 0)
      memcpy (copy + data[1] % count * one, data + 2, one < 8 ? one : 8);
  e->tensor.data = copy;
}

/* The checkpoint with the changes becomes the newest. */
static void
write_bent (struct qk_run *run, const uint8_t *data, size_t size)
{
  const struct qk_tensorfile *f = qk_checkpoint_file (sound);
  const int64_t n = qk_tensorfile_count (f);
  const struct qk_format_meta meta
    = { "qatkit.config", qk_checkpoint_text (sound, "qatkit.config") };
  struct qk_format_entry *e = calloc ((size_t) n, sizeof *e);
  int64_t i;

  if (e == NULL)
    abort ();
  for (i = 0; i < n; i++) {
    need (qk_tensorfile_entry (f, i, &e[i]));
    bend (&e[i], i, n, data, size);
  }
  need (qk_checkpoints_write (run->checkpoints, number + 1, e, n, &meta, 1));
  for (i = 0; i < n; i++)
    qk_free (e[i].tensor.data);
  free (e);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct qk_monitor m = { .progress = NULL, .stop = &stop, .stop_after = 1 };
  struct qk_run *run = NULL;

  if (settings == NULL)
    prepare ();
  need (qk_run_new (settings, &m, QK_RUN_OVERWRITE | QK_RUN_LOOK, &run));
  write_bent (run, data, size);
  qk_run_free (run);
  run = NULL;
  if (qk_run_new (settings, &m, QK_RUN_RESUME, &run) == 0)
    qk_run_go (run, QK_PART_TRAIN | QK_PART_PTQ | QK_PART_QAT);
  qk_run_free (run);
  return 0;
}

#ifndef QK_FUZZING
/* Numbers that conversions and sums stumble over, as doubles, floats and
 * integers. */
static void
awkward (uint8_t out[8])
{
  static const double d[]
    = { 0.0 / 1, -1.0, 1e306, -1e306, 9007199254740993.0, 4294967296.0, 0.5 };
  static const uint64_t u[] = { 0x7ff8000000000000u, 0x7ff0000000000000u,
                                0xfff0000000000000u, 0x7fffffffffffffffu,
                                0x8000000000000000u, 0xffffffffffffffffu,
                                0x7fc000007fc00000u, 0x7f8000007f800000u,
                                0x4000000000000000u, 77u };
  const size_t n_d = sizeof d / sizeof *d, n_u = sizeof u / sizeof *u;
  const size_t i = (size_t) rand () % (n_d + n_u);

  if (i < n_d)
    memcpy (out, &d[i], 8);
  else
    memcpy (out, &u[i - n_d], 8);
}

/* Besides the corpus: every array in turn gets awkward numbers, and some
 * together. */
int
main (int argc, char **argv)
{
  const char *seed = getenv ("QATKIT_SEED"), *cases = getenv ("QATKIT_CASES");
  const long n = cases != NULL ? atol (cases) : 300;
  uint8_t data[8 * CHANGE];
  long i, j;

  srand (seed != NULL ? (unsigned) atoi (seed) : 1);
  for (i = 0; i < n; i++) {
    const long changes = i % 4 != 0 ? 1 : 1 + rand () % 8;

    for (j = 0; j < changes; j++) {
      data[j * CHANGE] = (uint8_t) (i < 200 ? i : rand ());
      data[j * CHANGE + 1] = (uint8_t) rand ();
      awkward (data + j * CHANGE + 2);
    }
    LLVMFuzzerTestOneInput (data, (size_t) changes * CHANGE);
  }
  printf ("state: %ld checkpoints\n", n);
  qk_checkpoint_close (sound);
  qk_settings_free (settings);
  qk_context_free (ctx);
  if (argc > 1)
    return replay_main (argc, argv, "state");
  return system ("rm -rf fuzz_state-run") == 0 ? 0 : 1;
}
#endif
