/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* queries: images of several figures, each with the question for one kind of
 * figure, and no answers: samples without labels, for networks of two inputs
 * that are trained by a teacher.
 *
 * image f32 (1,S,S,3); query f32 (1,10): 1 for the kind that is asked for, 0
 * for the others.  A sample depends on (seed, split, index) alone. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "draw/draw.h"
#include "generated/generated.h"

#define TAU 6.283185307179586
#define MOST_FIGURES 8

enum { IMAGE, QUERY, INPUTS };

static const struct qk_option options[]
  = { { .name = "size",
        .type = QK_OPT_INT,
        .def = "32",
        .min = 16,
        .max = DRAW_MAX_SIZE,
        .help = "Height and width, pixels" },
      GENERATED_OPTIONS ("1000", "200"),
      { .name = "difficulty",
        .type = QK_OPT_FLOAT,
        .def = "0.1",
        .min = 0,
        .max = 1,
        .help = "0 = clear figures, 1 = faint and noisy ones" },
      { .name = "figures",
        .type = QK_OPT_INT,
        .def = "3",
        .min = 1,
        .max = MOST_FIGURES,
        .help = "Figures of an image" },
      { .name = NULL } };

struct queries {
  struct generated g;
  struct qk_tensor_spec input[INPUTS];
  int size, figures;
  double difficulty;
};

static int
queries_open (const struct qk_config *cfg,
              const struct qk_dataset_request *req, void **self)
{
  struct queries *s = calloc (1, sizeof *s);
  int r;

  if (s == NULL)
    return qk_oom ("queries");
  if ((r = generated_open (&s->g, "queries", cfg, req)) < 0) {
    free (s);
    return r;
  }
  s->size = (int) qk_config_int (cfg, "size");
  s->figures = (int) qk_config_int (cfg, "figures");
  s->difficulty = qk_config_float (cfg, "difficulty");
  s->input[IMAGE].name = "image";
  s->input[IMAGE].dtype = QK_F32;
  s->input[IMAGE].shape = (struct qk_shape){ 4, { 1, s->size, s->size, 3 } };
  s->input[QUERY].name = "query";
  s->input[QUERY].dtype = QK_F32;
  s->input[QUERY].shape = (struct qk_shape){ 2, { 1, DRAW_CLASSES } };
  *self = s;
  return 0;
}

static void
queries_close (void *self)
{
  free (self);
}

static int
queries_info (void *self, struct qk_dataset_info *out)
{
  struct queries *s = self;

  out->count = s->g.count;
  out->n_inputs = INPUTS;
  out->input = s->input;
  out->n_targets = 0;
  out->target = NULL;
  return 0;
}

/* The canvas that a thread draws on. */
static int
queries_worker_new (void *self, void **worker)
{
  const struct queries *s = self;

  *worker = malloc (sizeof (float) * 3 * (size_t) s->size * (size_t) s->size);
  return *worker == NULL ? qk_oom ("queries") : 0;
}

static void
queries_worker_free (void *worker)
{
  free (worker);
}

static int
queries_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
              void *const *input, void *const *target)
{
  const struct queries *s = self;
  struct draw_figure f[MOST_FIGURES];
  float *query = input[QUERY];
  struct qk_rng own;
  const int r = generated_begin (&s->g, "queries", index, &own);
  int i;

  (void) rng;
  (void) target;
  if (r < 0)
    return r;
  for (i = 0; i < s->figures; i++) {
    f[i].kind = (enum draw_kind) qk_rng_below (&own, DRAW_CLASSES);
    f[i].label = 0;
    f[i].paint = NULL;
    f[i].x = qk_rng_double (&own);
    f[i].y = qk_rng_double (&own);
    f[i].radius = 0.15 + 0.15 * qk_rng_double (&own);
    f[i].angle = TAU * qk_rng_double (&own);
  }
  draw_scene (&own, f, s->figures, s->size, s->difficulty, worker, NULL);
  draw_normalise (worker, s->size, false, input[IMAGE]);
  memset (query, 0, DRAW_CLASSES * sizeof *query);
  query[f[0].kind] = 1;
  return 0;
}

static const struct qk_dataset_class queries = {
  .cls = QK_CLASS (
    struct qk_dataset_class, QK_KIND_DATASET, "queries",
    "Generated images with a question for one figure, without answers",
    options),
  .open = queries_open,
  .close = queries_close,
  .info = queries_info,
  .worker_new = queries_worker_new,
  .worker_free = queries_worker_free,
  .read = queries_read,
};

QK_PLUGIN ("queries", PACKAGE_VERSION, "LGPL-2.1-or-later", &queries.cls);
