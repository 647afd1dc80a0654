/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scenes: images of several figures on a noisy background, and for each pixel
 * what is seen there: labels for segmentation.
 *
 * image f32 (1,S,S,3); mask i32 (1,S,S): a category, or -1 on the edge of a
 * figure, which does not count.  A sample depends on (seed, split, index)
 * alone.  Training mirrors images and masks at random, left to right. */
#include "config.h"

#include <stdlib.h>

#include "draw/draw.h"
#include "generated/generated.h"

#define TAU 6.283185307179586
#define MOST_FIGURES 8

static const char *const categories[]
  = { "background", "cross", "disc", "square" };
#define CATEGORIES ((int) (sizeof categories / sizeof categories[0]))

/* What the categories after the background are drawn as. */
static const enum draw_kind kinds[CATEGORIES - 1]
  = { DRAW_CROSS, DRAW_DISC, DRAW_SQUARE };

/* Their usual colours: red, green, blue; three quarters of what is seen of a
 * figure. */
static const double usual[CATEGORIES - 1][3]
  = { { 220, 60, 60 }, { 60, 200, 80 }, { 70, 80, 220 } };

static const struct qk_option options[]
  = { { .name = "size",
        .type = QK_OPT_INT,
        .def = "32",
        .min = 16,
        .max = DRAW_MAX_SIZE,
        .help = "Height and width, pixels" },
      GENERATED_OPTIONS ("2000", "300"),
      { .name = "difficulty",
        .type = QK_OPT_FLOAT,
        .def = "0",
        .min = 0,
        .max = 1,
        .help = "0 = clear figures, 1 = faint and noisy ones" },
      { .name = "figures",
        .type = QK_OPT_INT,
        .def = "2",
        .min = 1,
        .max = MOST_FIGURES,
        .help = "Figures of an image" },
      { .name = "flip",
        .type = QK_OPT_BOOL,
        .def = "yes",
        .help = "Mirror training images at random, left to right" },
      { .name = NULL } };

struct scenes {
  struct generated g;
  struct qk_tensor_spec image, mask;
  int size, figures;
  double difficulty;
  bool flip;
};

static int
scenes_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
             void **self)
{
  struct scenes *s = calloc (1, sizeof *s);
  int r;

  if (s == NULL)
    return qk_oom ("scenes");
  if ((r = generated_open (&s->g, "scenes", cfg, req)) < 0) {
    free (s);
    return r;
  }
  s->size = (int) qk_config_int (cfg, "size");
  s->figures = (int) qk_config_int (cfg, "figures");
  s->difficulty = qk_config_float (cfg, "difficulty");
  s->flip = req->augment && qk_config_bool (cfg, "flip");
  s->image.name = "image";
  s->image.dtype = QK_F32;
  s->image.shape = (struct qk_shape){ 4, { 1, s->size, s->size, 3 } };
  s->mask.name = "mask";
  s->mask.dtype = QK_I32;
  s->mask.shape = (struct qk_shape){ 3, { 1, s->size, s->size } };
  s->mask.categories = CATEGORIES;
  s->mask.category = categories;
  *self = s;
  return 0;
}

static void
scenes_close (void *self)
{
  free (self);
}

static int
scenes_info (void *self, struct qk_dataset_info *out)
{
  struct scenes *s = self;

  out->count = s->g.count;
  out->n_inputs = out->n_targets = 1;
  out->input = &s->image;
  out->target = &s->mask;
  return 0;
}

/* The canvas that a thread draws on. */
static int
scenes_worker_new (void *self, void **worker)
{
  const struct scenes *s = self;

  *worker = malloc (sizeof (float) * 3 * (size_t) s->size * (size_t) s->size);
  return *worker == NULL ? qk_oom ("scenes") : 0;
}

static void
scenes_worker_free (void *worker)
{
  free (worker);
}

/* Rows of MASK (SIZE,SIZE) the other way round. */
static void
mirror_mask (int32_t *mask, int size)
{
  int x, y;

  for (y = 0; y < size; y++, mask += size)
    for (x = 0; x < size / 2; x++) {
      const int32_t left = mask[x];

      mask[x] = mask[size - 1 - x];
      mask[size - 1 - x] = left;
    }
}

static int
scenes_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
             void *const *input, void *const *target)
{
  const struct scenes *s = self;
  const bool mirror = s->flip && qk_rng_below (rng, 2) == 1;
  struct draw_figure f[MOST_FIGURES];
  double paint[MOST_FIGURES][3];
  struct qk_rng own;
  const int r = generated_begin (&s->g, "scenes", index, &own);
  int i, c;

  if (r < 0)
    return r;
  for (i = 0; i < s->figures; i++) {
    const uint64_t kind = qk_rng_below (&own, CATEGORIES - 1);

    for (c = 0; c < 3; c++)
      paint[i][c]
        = 0.75 * usual[kind][c] + 0.25 * (20 + 215 * qk_rng_double (&own));
    f[i].paint = paint[i];
    f[i].kind = kinds[kind];
    f[i].label = (int32_t) kind + 1;
    /* at least half of it is within the image */
    f[i].x = 0.1 + 0.8 * qk_rng_double (&own);
    f[i].y = 0.1 + 0.8 * qk_rng_double (&own);
    f[i].radius = 0.22 + 0.12 * qk_rng_double (&own);
    f[i].angle = TAU * qk_rng_double (&own);
  }
  draw_scene (&own, f, s->figures, s->size, s->difficulty, worker, target[0]);
  draw_normalise (worker, s->size, mirror, input[0]);
  if (mirror)
    mirror_mask (target[0], s->size);
  return 0;
}

static const struct qk_dataset_class scenes = {
  .cls = QK_CLASS (
    struct qk_dataset_class, QK_KIND_DATASET, "scenes",
    "Generated images of several figures with a label for each pixel",
    options),
  .open = scenes_open,
  .close = scenes_close,
  .info = scenes_info,
  .worker_new = scenes_worker_new,
  .worker_free = scenes_worker_free,
  .read = scenes_read,
};

QK_PLUGIN ("scenes", PACKAGE_VERSION, "LGPL-2.1-or-later", &scenes.cls);
