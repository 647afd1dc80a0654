/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench_input.c: samples a second of the input pipeline, on one thread.
 *
 *   bench_input dir=FOLDER [crop=224] [resize=256] [pad=-1] [rotate=0]
 *               [translate=0] [rounds=3]
 *
 * FOLDER holds class folders of images.  "train" is a random crop, mirrored
 * half of the time and normalised; "train, fast_decode" the same from
 * samples decoded at a half or less; "val" the whole, resized, and its
 * middle.  pad = N: "train" is a crop of the resized image with N pixels around,
 * as for CIFAR, and there is no fast_decode.  rotate, translate: random changes of training
 * images, with bilinear pixels.  Prints one line of JSON each, best
 * of the rounds, by CPU time. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <qatkit/context.h>
#include <qatkit/dataset.h>

#include "train/objective.h"

static const char *
argument (int argc, char **argv, const char *key, const char *def)
{
  const size_t n = strlen (key);
  int i;

  for (i = 1; i < argc; i++)
    if (strncmp (argv[i], key, n) == 0 && argv[i][n] == '=')
      return argv[i] + n + 1;
  return def;
}

struct kind {
  const char *name, *options;
  bool augment;
};

/* Seconds of this CPU's time, whoever else has the rest of it. */
static double
seconds (void)
{
  return (double) clock () / CLOCKS_PER_SEC;
}

/* Seconds to read all samples once; negative after an error. */
static double
round_of (const struct qk_dataset_class *d, void *self, void *worker,
          const struct qk_dataset_info *info, float *image)
{
  const double t = seconds ();
  struct qk_rng rng;
  int32_t label;
  void *const input[] = { image }, *const target[] = { &label };
  int64_t i;

  for (i = 0; i < info->count; i++) {
    qk_rng_seed (&rng, 1, (uint64_t) i);
    if (d->read (self, worker, i, &rng, input, target) < 0)
      return -1;
  }
  return seconds () - t;
}

static int
measure (struct qk_context *ctx, const struct qk_dataset_class *d,
         const struct kind *k, const char *options, int rounds)
{
  const struct qk_dataset_request req = { ctx, "train", k->augment, 1 };
  struct qk_dataset_info info;
  struct qk_config *cfg = NULL;
  void *self = NULL, *worker = NULL;
  double best = 0, t;
  float *image;
  char text[4400];
  int i, r;

  snprintf (text, sizeof text, "%s %s", options, k->options);
  if ((r = qk_config_parse (d->cls.options, text, "bench", &cfg)) < 0
      || (r = d->open (cfg, &req, &self)) < 0
      || (r = d->info (self, &info)) < 0
      || (r = d->worker_new (self, &worker)) < 0)
    return r;
  image = malloc (qk_spec_bytes (info.input));
  if (image == NULL)
    return -ENOMEM;
  for (i = 0; i < rounds; i++) {
    if ((t = round_of (d, self, worker, &info, image)) < 0)
      return -EIO;
    best = i == 0 || t < best ? t : best;
  }
  printf ("{\"who\": \"qatkit\", \"what\": \"%s\", \"threads\": 1, "
          "\"samples\": %lld, \"samples_per_second\": %.1f}\n",
          k->name, (long long) info.count, (double) info.count / best);
  fflush (stdout);
  free (image);
  d->worker_free (worker);
  d->close (self);
  qk_config_free (cfg);
  return 0;
}

int
main (int argc, char **argv)
{
  static const struct kind kinds[] = {
    { "train", "", true },
    { "train, fast_decode", "fast_decode=yes", true },
    { "val", "", false },
  };
  const char *dir = argument (argc, argv, "dir", "");
  const int pad = atoi (argument (argc, argv, "pad", "-1"));
  struct qk_context *ctx = qk_context_new ();
  const struct qk_class *c;
  char options[4300];
  size_t i;

  if (*dir == 0) {
    fprintf (stderr, "usage: bench_input dir=FOLDER [crop=224] [resize=256] "
                     "[pad=-1] [rounds=3]\n");
    return 77;
  }
  snprintf (options, sizeof options,
            "train=%.4000s crop=%d resize=%d pad=%d rotate=%.20s "
            "translate=%.20s affine_filter=bilinear",
            dir, atoi (argument (argc, argv, "crop", "224")),
            atoi (argument (argc, argv, "resize", "256")), pad,
            argument (argc, argv, "rotate", "0"),
            argument (argc, argv, "translate", "0"));
  if (ctx == NULL
      || qk_context_class (ctx, QK_KIND_DATASET, "imagefolder", &c) < 0)
    goto error;
  for (i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!(pad >= 0 && *kinds[i].options != 0)
        && measure (ctx, (const struct qk_dataset_class *) (const void *) c,
                    &kinds[i], options,
                    atoi (argument (argc, argv, "rounds", "3")))
             < 0)
      goto error;
  qk_context_free (ctx);
  return 0;

error:
  fprintf (stderr, "bench_input: %s\n", qk_error_message ());
  return 1;
}
