/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* poses: images of a crescent, and where it is, how large, and how far it is
 * turned: numbers to be regressed.
 *
 * image f32 (1,S,S,3); pose f32 (1,5):
 *   x, y     its centre, -1..1 across the image (right, down)
 *   radius   4 (r / S - 0.27), about -0.5..0.5
 *   cos, sin of the angle it is turned by
 * A sample depends on (seed, split, index) alone.  Training mirrors images at
 * random, and their poses with them. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "draw/draw.h"
#include "generated/generated.h"

#define TAU 6.283185307179586
#define LEAST_RADIUS 0.16 /* shares of the side */
#define MOST_RADIUS 0.38

enum { POSE_X, POSE_Y, POSE_RADIUS, POSE_COS, POSE_SIN, POSE_NUMBERS };

static const struct qk_option options[]
  = { { .name = "size",
        .type = QK_OPT_INT,
        .def = "32",
        .min = 16,
        .max = DRAW_MAX_SIZE,
        .help = "Height and width, pixels" },
      GENERATED_OPTIONS ("4000", "500"),
      { .name = "difficulty",
        .type = QK_OPT_FLOAT,
        .def = "0.05",
        .min = 0,
        .max = 1,
        .help = "0 = a clear figure, 1 = a faint, noisy and half hidden one" },
      { .name = "flip",
        .type = QK_OPT_BOOL,
        .def = "yes",
        .help = "Mirror training images at random, left to right" },
      { .name = NULL } };

struct poses {
  struct generated g;
  struct qk_tensor_spec image, pose;
  int size;
  double difficulty;
  bool flip;
};

static int
poses_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
            void **self)
{
  struct poses *s = calloc (1, sizeof *s);
  int r;

  if (s == NULL)
    return qk_oom ("poses");
  if ((r = generated_open (&s->g, "poses", cfg, req)) < 0) {
    free (s);
    return r;
  }
  s->size = (int) qk_config_int (cfg, "size");
  s->difficulty = qk_config_float (cfg, "difficulty");
  s->flip = req->augment && qk_config_bool (cfg, "flip");
  s->image.name = "image";
  s->image.dtype = QK_F32;
  s->image.shape = (struct qk_shape){ 4, { 1, s->size, s->size, 3 } };
  s->pose.name = "pose";
  s->pose.dtype = QK_F32;
  s->pose.shape = (struct qk_shape){ 2, { 1, POSE_NUMBERS } };
  *self = s;
  return 0;
}

static void
poses_close (void *self)
{
  free (self);
}

static int
poses_info (void *self, struct qk_dataset_info *out)
{
  struct poses *s = self;

  out->count = s->g.count;
  out->n_inputs = out->n_targets = 1;
  out->input = &s->image;
  out->target = &s->pose;
  return 0;
}

/* The canvas that a thread draws on. */
static int
poses_worker_new (void *self, void **worker)
{
  const struct poses *s = self;

  *worker = malloc (sizeof (float) * 3 * (size_t) s->size * (size_t) s->size);
  return *worker == NULL ? qk_oom ("poses") : 0;
}

static void
poses_worker_free (void *worker)
{
  free (worker);
}

static int
poses_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
            void *const *input, void *const *target)
{
  const struct poses *s = self;
  const bool mirror = s->flip && qk_rng_below (rng, 2) == 1;
  struct draw_figure f = { .kind = DRAW_CRESCENT };
  float *pose = target[0];
  struct qk_rng own;
  const int r = generated_begin (&s->g, "poses", index, &own);

  if (r < 0)
    return r;
  f.radius
    = LEAST_RADIUS + (MOST_RADIUS - LEAST_RADIUS) * qk_rng_double (&own);
  /* nearly all of it can be seen */
  f.x = 0.9 * f.radius + (1 - 1.8 * f.radius) * qk_rng_double (&own);
  f.y = 0.9 * f.radius + (1 - 1.8 * f.radius) * qk_rng_double (&own);
  f.angle = TAU * qk_rng_double (&own);
  draw_scene (&own, &f, 1, s->size, s->difficulty, worker, NULL);
  draw_normalise (worker, s->size, mirror, input[0]);
  pose[POSE_X] = (float) (mirror ? 1 - 2 * f.x : 2 * f.x - 1);
  pose[POSE_Y] = (float) (2 * f.y - 1);
  pose[POSE_RADIUS]
    = (float) (4 * (f.radius - 0.5 * (LEAST_RADIUS + MOST_RADIUS)));
  pose[POSE_COS] = (float) (mirror ? -cos (f.angle) : cos (f.angle));
  pose[POSE_SIN] = (float) sin (f.angle);
  return 0;
}

static const struct qk_dataset_class poses = {
  .cls = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "poses",
                   "Generated images of a crescent whose pose is to be found",
                   options),
  .open = poses_open,
  .close = poses_close,
  .info = poses_info,
  .worker_new = poses_worker_new,
  .worker_free = poses_worker_free,
  .read = poses_read,
};

QK_PLUGIN ("poses", PACKAGE_VERSION, "LGPL-2.1-or-later", &poses.cls);
