/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* shapes.c: images of ten geometric figures, drawn when they are read.
 *
 * An image depends on (seed, split, index) alone; its class is index modulo
 * 10.  Training mirrors images at random, which no figure minds.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "draw/draw.h"
#include "generated/generated.h"
#include "imagespec/imagespec.h"
#include "image/image.h"

#define JPEG_QUALITY 95

static const struct qk_option options[]
  = { { "size", QK_OPT_INT, "32", 16, DRAW_MAX_SIZE, NULL,
        "height and width, pixels" },
      GENERATED_OPTIONS ("6000", "1000"),
      { "difficulty", QK_OPT_FLOAT, "0.35", 0, 1, NULL,
        "0 = clear figures, 1 = faint, noisy and half hidden ones" },
      { "mean", QK_OPT_FLOATS, "0.5,0.5,0.5", -10, 10, NULL,
        "subtracted from red, green and blue (0 to 1)" },
      { "std", QK_OPT_FLOATS, "0.25,0.25,0.25", 1e-6, 100, NULL,
        "red, green and blue are then divided by" },
      { "flip", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "mirror training images at random, both ways" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

struct shapes {
  struct image_norm norm;
  struct image_specs specs;
  struct generated g;
  int size;
  double difficulty;
  bool flip;
};

struct shapes_worker {
  struct image_reader *reader; /* NULL until a file is read */
  float *canvas;
  uint8_t *rgb;
};

static int
configure (struct shapes *s, const struct qk_config *cfg)
{
  float mean[3], std[3];

  s->size = (int) qk_config_int (cfg, "size");
  s->difficulty = qk_config_float (cfg, "difficulty");
  if (qk_config_floats (cfg, "mean", mean, 3) != 3
      || qk_config_floats (cfg, "std", std, 3) != 3)
    return qk_error (
      -EINVAL, "shapes: mean (%s) and std (%s) must be 3 numbers each",
      qk_config_where (cfg, "mean"), qk_config_where (cfg, "std"));
  return image_norm_set (&s->norm, 3, mean, std, "shapes");
}

static void
shapes_close (void *self)
{
  free (self);
}

static int
shapes_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
             void **self)
{
  struct shapes *s = calloc (1, sizeof *s);
  int err;

  if (!s)
    return qk_oom ("shapes");
  s->flip = req->augment && qk_config_bool (cfg, "flip");
  err = generated_open (&s->g, "shapes", cfg, req);
  if (err == 0)
    err = configure (s, cfg);
  if (err) {
    shapes_close (s);
    return err;
  }
  image_specs_set (&s->specs, s->size, s->size, 3, DRAW_CLASSES, draw_names);
  *self = s;
  return 0;
}

static int
shapes_info (void *self, struct qk_dataset_info *out)
{
  const struct shapes *s = self;

  image_specs_info (&s->specs, s->g.count, out);
  return 0;
}

static void
shapes_worker_free (void *worker)
{
  struct shapes_worker *w = worker;

  if (!w)
    return;
  image_reader_free (w->reader);
  free (w->canvas);
  free (w->rgb);
  free (w);
}

static int
shapes_worker_new (void *self, void **worker)
{
  const struct shapes *s = self;
  const size_t n = (size_t) s->size * (size_t) s->size * 3;
  struct shapes_worker *w = calloc (1, sizeof *w);

  if (w) {
    w->canvas = malloc (n * sizeof *w->canvas);
    w->rgb = malloc (n);
  }
  if (!w || !w->canvas || !w->rgb) {
    shapes_worker_free (w);
    return qk_oom ("shapes");
  }
  *worker = w;
  return 0;
}

/* Image INDEX into w->rgb; returns its class, or a negative errno value. */
static int
draw (const struct shapes *s, struct shapes_worker *w, int64_t index)
{
  const int label = (int) (index % DRAW_CLASSES);
  struct qk_rng rng;
  const int err = generated_begin (&s->g, "shapes", index, &rng);

  if (err)
    return err;
  draw_image (&rng, label, s->size, s->difficulty, w->canvas, w->rgb);
  return label;
}

static int
shapes_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
             void *const *input, void *const *target)
{
  const struct shapes *s = self;
  struct shapes_worker *w = worker;
  const int64_t n = s->size;
  float *image = input[0];
  bool mirror = false, upside_down = false;
  const int label = draw (s, w, index);
  int64_t y;

  if (label < 0)
    return label;
  *(int32_t *) target[0] = label;
  if (s->flip) {
    const uint64_t bits = qk_rng_below (rng, 4);

    mirror = bits & 1;
    upside_down = bits & 2;
  }
  for (y = 0; y < n; y++)
    image_norm_row (&s->norm, w->rgb + y * n * 3, 3, n, mirror,
                    image + (upside_down ? n - 1 - y : y) * n * 3);
  return 0;
}

/* The file at PATH, or (NULL) the pixels A. */
static int
read_image (const struct shapes *s, struct shapes_worker *w, const char *path,
            const struct qk_sample_array *a, float *out)
{
  const struct image_size size = { s->size, s->size };
  struct image_view view;
  int64_t width, height;
  int err
    = w->reader ? 0 : image_reader_new (image_options_default (), &w->reader);

  if (err == 0)
    err = path ? image_open (w->reader, path, &width, &height)
               : image_open_pixels (w->reader, a, &width, &height);
  if (err)
    return err;
  image_view_center (width, height, size, IMAGE_COVER, size, IMAGE_BILINEAR,
                     &view);
  return image_render (w->reader, &view, &s->norm, NULL, out);
}

static int
shapes_read_file (void *self, void *worker, const char *path,
                  void *const *input)
{
  return read_image (self, worker, path, NULL, input[0]);
}

static int
shapes_read_array (void *self, void *worker,
                   const struct qk_sample_array *sample, void *const *input)
{
  const struct shapes *s = self;

  if (sample->dtype == QK_F32)
    return image_norm_array (
      &s->norm, sample, (struct image_size){ s->size, s->size }, input[0]);
  return read_image (s, worker, NULL, sample, input[0]);
}

/* ---- writing ---------------------------------------------------------*/

static int
make_folder (const char *path)
{
  int err;

  if (mkdir (path, 0777) == 0 || errno == EEXIST)
    return 0;
  err = errno;
  return qk_error (-err, "folder %s cannot be made: %s", path, strerror (err));
}

/* DIR/SPLIT and a folder for each class in it. */
static int
make_folders (const char *dir, const char *split)
{
  char path[4096];
  int err = make_folder (dir), i;

  if (err)
    return err;
  for (i = -1; i < DRAW_CLASSES; i++) {
    const int n = i < 0 ? snprintf (path, sizeof path, "%s/%s", dir, split)
                        : snprintf (path, sizeof path, "%s/%s/%s", dir, split,
                                    draw_names[i]);

    /* room for the file names as well */
    if (n < 0 || (size_t) n >= sizeof path - 32)
      return qk_error (-ENAMETOOLONG, "shapes: folder name too long: %s", dir);
    err = make_folder (path);
    if (err)
      return err;
  }
  return 0;
}

static int
shapes_export_files (void *self, const char *dir)
{
  const struct shapes *s = self;
  const char *split = s->g.split == GENERATED_TRAIN ? "train" : "val";
  void *worker = NULL;
  struct shapes_worker *w;
  int64_t i;
  int err;

  if (s->g.split == GENERATED_NONE)
    return qk_error (-EINVAL, "shapes: no split to export");
  err = make_folders (dir, split);
  if (err == 0)
    err = shapes_worker_new (self, &worker);
  w = worker;
  for (i = 0; err == 0 && i < s->g.count; i++) {
    const int label = draw (s, w, i);
    char path[4096];

    snprintf (path, sizeof path, "%s/%s/%s/%09lld.jpg", dir, split,
              draw_names[label], (long long) i);
    err = image_write (path, w->rgb, s->size, s->size, JPEG_QUALITY);
  }
  shapes_worker_free (worker);
  return err;
}

static const struct qk_dataset_class shapes = {
  .cls = QK_CLASS_DEFAULT (struct qk_dataset_class, QK_KIND_DATASET, "shapes",
                           "Generated images of ten geometric figures",
                           options, 100, QK_FOR_TRAINING, ""),
  .open = shapes_open,
  .close = shapes_close,
  .info = shapes_info,
  .worker_new = shapes_worker_new,
  .worker_free = shapes_worker_free,
  .read = shapes_read,
  .read_file = shapes_read_file,
  .read_array = shapes_read_array,
  .export_files = shapes_export_files,
};

QK_PLUGIN ("shapes", "1.0", "LGPL-2.1-or-later", &shapes.cls);
