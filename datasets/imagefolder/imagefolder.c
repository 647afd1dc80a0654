/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imagefolder.c: a folder of class folders of JPEG files.
 *
 * Evaluation: torchvision's Resize (resize) + CenterCrop (crop).  Training:
 * RandomResizedCrop (crop) + RandomHorizontalFlip.  Then
 * (x / 255 - mean) / std.  Resizing gives PIL's bytes.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imagespec/imagespec.h"
#include "jpeg/image.h"
#include "scan.h"

static const struct qk_option options[]
  = { { "root", QK_OPT_PATH, "", 0, 0, NULL,
        "folder that holds the folders train and val" },
      { "train", QK_OPT_PATH, "train", 0, 0, NULL,
        "folder of the training images, within root unless absolute" },
      { "val", QK_OPT_PATH, "val", 0, 0, NULL,
        "folder of the evaluation images, within root unless absolute" },
      { "resize", QK_OPT_INT, "256", 1, 8192, NULL,
        "shorter side after resizing for evaluation, pixels" },
      { "crop", QK_OPT_INT, "224", 1, 8192, NULL,
        "height and width of what is delivered, pixels" },
      { "mean", QK_OPT_FLOATS, "0.485,0.456,0.406", -10, 10, NULL,
        "subtracted from red, green and blue (0 to 1)" },
      { "std", QK_OPT_FLOATS, "0.229,0.224,0.225", 1e-6, 100, NULL,
        "red, green and blue are then divided by" },
      { "min_scale", QK_OPT_FLOAT, "0.08", 1e-6, 1, NULL,
        "smallest share of an image's area that a training crop takes" },
      { "flip", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "mirror half of the training images" },
      { "fast_decode", QK_OPT_BOOL, "no", 0, 0, NULL,
        "decode large training images at a half, quarter or eighth of their "
        "size: much faster, not PIL's bytes" },
      { "limit", QK_OPT_INT, "0", 0, 1e12, NULL,
        "use only so many images of each class; 0 = all" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

struct imagefolder {
  struct image_specs specs;
  struct scan scan;
  struct image_norm norm;
  int64_t resize, crop;
  double min_scale;
  bool augment, flip, fast;
};

static int
read_three (const struct qk_config *cfg, const char *name, float out[3])
{
  const int n = qk_config_floats (cfg, name, out, 3);

  if (n != 3)
    return qk_error (-EINVAL, "imagefolder: %s (%s) must be 3 numbers, got %d",
                     name, qk_config_where (cfg, name), n);
  return 0;
}

static int
configure (struct imagefolder *f, const struct qk_config *cfg)
{
  float mean[3], std[3];
  int err;

  f->resize = qk_config_int (cfg, "resize");
  f->crop = qk_config_int (cfg, "crop");
  f->min_scale = qk_config_float (cfg, "min_scale");
  f->flip = qk_config_bool (cfg, "flip");
  f->fast = qk_config_bool (cfg, "fast_decode");
  if (f->crop > f->resize)
    return qk_error (-EINVAL,
                     "imagefolder: crop (%s) must be <= resize (%s), got "
                     "crop %lld and resize %lld",
                     qk_config_where (cfg, "crop"),
                     qk_config_where (cfg, "resize"), (long long) f->crop,
                     (long long) f->resize);
  err = read_three (cfg, "mean", mean);
  if (err == 0)
    err = read_three (cfg, "std", std);
  if (err == 0)
    err = image_norm_set (&f->norm, mean, std, "imagefolder");
  return err;
}

/* The folder of SPLIT, to be freed; NULL with an error recorded. */
static char *
split_folder (const struct qk_config *cfg, const char *split)
{
  const char *root = qk_config_string (cfg, "root");
  const char *sub = qk_config_string (cfg, split);
  char *path;

  if (sub[0] == '/' || (!*root && qk_config_given (cfg, split)))
    root = "";
  else if (!*root) {
    qk_error (-EINVAL,
              "imagefolder: neither root nor %s is given: where "
              "are the images?",
              split);
    return NULL;
  }
  if (asprintf (&path, "%s%s%s", root, *root && *sub ? "/" : "", sub) < 0) {
    qk_oom ("imagefolder");
    return NULL;
  }
  return path;
}

/* Without a split only the class names are wanted, where there are any. */
static int
scan_for_names (struct imagefolder *f, const struct qk_config *cfg,
                struct qk_context *ctx)
{
  static const char *const splits[] = { "val", "train" };
  int i;

  for (i = 0; i < 2; i++) {
    char *path;
    int err;

    if (!*qk_config_string (cfg, "root") && !qk_config_given (cfg, splits[i]))
      continue;
    path = split_folder (cfg, splits[i]);
    if (!path)
      return -EINVAL;
    err = scan_folder (&f->scan, ctx, path, false, 0);
    free (path);
    if (err == 0 || err == -ENOMEM)
      return err;
    scan_free (&f->scan);
  }
  return 0;
}

static void
imagefolder_close (void *self)
{
  struct imagefolder *f = self;

  if (!f)
    return;
  scan_free (&f->scan);
  free (f);
}

static int
imagefolder_open (const struct qk_config *cfg,
                  const struct qk_dataset_request *req, void **self)
{
  struct imagefolder *f = calloc (1, sizeof *f);
  int err;

  if (!f)
    return qk_oom ("imagefolder");
  f->augment = req->augment;
  err = configure (f, cfg);
  if (err)
    goto error;
  if (!req->split)
    err = scan_for_names (f, cfg, req->ctx);
  else if (strcmp (req->split, "train") && strcmp (req->split, "val"))
    err = qk_error (-EINVAL, "imagefolder: no split '%s', only train and val",
                    req->split);
  else {
    char *path = split_folder (cfg, req->split);

    err = path ? scan_folder (&f->scan, req->ctx, path, true,
                              qk_config_int (cfg, "limit"))
               : -EINVAL;
    free (path);
  }
  if (err)
    goto error;
  *self = f;
  return 0;

error:
  imagefolder_close (f);
  return err;
}

static int
imagefolder_info (void *self, struct qk_dataset_info *out)
{
  struct imagefolder *f = self;

  out->count = f->scan.count;
  image_specs_set (&f->specs, f->crop, f->crop, 3, f->scan.classes,
                   (const char *const *) f->scan.names, out);
  return 0;
}

static int
imagefolder_worker_new (void *self, void **worker)
{
  struct image_reader *r;
  const int err = image_reader_new (&r);

  (void) self;
  if (err == 0)
    *worker = r;
  return err;
}

static void
imagefolder_worker_free (void *worker)
{
  image_reader_free (worker);
}

static int
imagefolder_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
                  void *const *input, void *const *target)
{
  const struct imagefolder *f = self;
  const struct scan_item *item;
  struct image_view view;
  int64_t w, h;
  char *path;
  int err;

  if (index < 0 || index >= f->scan.count)
    return qk_error (-EINVAL, "imagefolder: no image %lld, there are %lld",
                     (long long) index, (long long) f->scan.count);
  item = &f->scan.items[index];
  if (asprintf (&path, "%s/%s/%s", f->scan.root, f->scan.names[item->label],
                item->path)
      < 0)
    return qk_oom ("imagefolder");
  err = image_open (worker, path, &w, &h);
  free (path);
  if (err)
    return err;
  if (f->augment)
    image_view_random (w, h, f->crop, f->min_scale, f->flip, rng, &view);
  else
    image_view_center (w, h, f->resize, f->crop, &view);
  if (f->augment && f->fast)
    image_reduce (worker, &view);
  *(int32_t *) target[0] = item->label;
  return image_render (worker, &view, &f->norm, NULL, input[0]);
}

static int
imagefolder_read_file (void *self, void *worker, const char *path,
                       void *const *input)
{
  const struct imagefolder *f = self;
  struct image_view view;
  int64_t w, h;
  int err = image_open (worker, path, &w, &h);

  if (err)
    return err;
  image_view_center (w, h, f->resize, f->crop, &view);
  return image_render (worker, &view, &f->norm, NULL, input[0]);
}

static const struct qk_dataset_class imagefolder = {
  .cls = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "imagefolder",
                   "A folder of class folders of JPEG files", options),
  .open = imagefolder_open,
  .close = imagefolder_close,
  .info = imagefolder_info,
  .worker_new = imagefolder_worker_new,
  .worker_free = imagefolder_worker_free,
  .read = imagefolder_read,
  .read_file = imagefolder_read_file,
};

QK_PLUGIN ("imagefolder", "1.0", "LGPL-2.1-or-later", &imagefolder.cls);
