/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* random.c: images of random numbers, of any size and in any number of
 * classes: to measure with, where no images are at hand.
 *
 * An image depends on (seed, split, index) alone; its class is index modulo
 * the number of classes.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imagesize/imagesize.h"
#include "imagespec/imagespec.h"

#define MAX_CLASSES 100000
#define MOST_SIDE 4096
#define NAME_SIZE 16

static const struct qk_option options[]
  = { { "size", QK_OPT_STRING, "224", 0, 0, NULL,
        "height and width, pixels: one number for both, or HEIGHTxWIDTH" },
      { "channels", QK_OPT_INT, "3", 1, 1024, NULL, "channels of an image" },
      { "classes", QK_OPT_INT, "1000", 2, MAX_CLASSES, NULL, "classes" },
      { "count", QK_OPT_INT, "1000", 1, 1e9, NULL, "images of each split" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

struct random_set {
  int64_t count, side[2], channels; /* side: height, width */
  int classes;
  uint64_t seed;
  bool val;
  struct image_specs specs;
  char (*name)[NAME_SIZE];
  const char **names;
};

static void
random_close (void *self)
{
  struct random_set *s = self;

  if (s == NULL)
    return;
  free (s->name);
  free (s->names);
  free (s);
}

static int
random_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
             void **self)
{
  struct random_set *s = calloc (1, sizeof *s);
  int err;

  if (s == NULL)
    return qk_oom ("random");
  err = image_size_read ("random", cfg, "size", 1, MOST_SIDE, s->side, NULL);
  if (err < 0) {
    random_close (s);
    return err;
  }
  s->channels = qk_config_int (cfg, "channels");
  s->classes = (int) qk_config_int (cfg, "classes");
  s->count = req->split != NULL ? qk_config_int (cfg, "count") : 0;
  s->seed = req->seed;
  s->val = req->split != NULL && strcmp (req->split, "val") == 0;
  s->name = calloc ((size_t) s->classes, sizeof *s->name);
  s->names = calloc ((size_t) s->classes, sizeof *s->names);
  if (s->name == NULL || s->names == NULL) {
    random_close (s);
    return qk_oom ("random");
  }
  for (int i = 0; i < s->classes; i++) {
    snprintf (s->name[i], NAME_SIZE, "class%d", i);
    s->names[i] = s->name[i];
  }
  image_specs_set (&s->specs, s->side[0], s->side[1], s->channels, s->classes,
                   s->names);
  *self = s;
  return 0;
}

static int
random_info (void *self, struct qk_dataset_info *out)
{
  const struct random_set *s = self;

  image_specs_info (&s->specs, s->count, out);
  return 0;
}

/* Uniform in -2 .. 2, about what normalised photographs hold. */
static int
random_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
             void *const *input, void *const *target)
{
  const struct random_set *s = self;
  const int64_t n = s->side[0] * s->side[1] * s->channels;
  float *image = input[0];
  struct qk_rng own;

  (void) worker;
  (void) rng;
  if (index < 0 || index >= s->count)
    return qk_error (-EINVAL, "random: no image %lld, there are %lld",
                     (long long) index, (long long) s->count);
  qk_rng_seed (&own, s->seed, ((uint64_t) s->val << 40) + (uint64_t) index);
  for (int64_t i = 0; i < n; i++)
    image[i] = 4.0f * qk_rng_float (&own) - 2.0f;
  *(int32_t *) target[0] = (int32_t) (index % s->classes);
  return 0;
}

static const struct qk_dataset_class random_set = {
  .cls = QK_CLASS_DEFAULT (struct qk_dataset_class, QK_KIND_DATASET, "random",
                           "Images of random numbers, for measuring", options,
                           100, QK_FOR_TIMING, ""),
  .open = random_open,
  .close = random_close,
  .info = random_info,
  .read = random_read,
};

QK_PLUGIN ("random", "1.0", "LGPL-2.1-or-later", &random_set.cls);
