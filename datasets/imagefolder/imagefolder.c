/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imagefolder.c: a folder of class folders of images.
 *
 * Evaluation: torchvision's Resize (resize) + CenterCrop (crop).  Training:
 * RandomResizedCrop (crop) + RandomHorizontalFlip.  Then
 * (x / 255 - mean) / std.  Resizing gives PIL's bytes.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imagespec/imagespec.h"
#include "image/image.h"
#include "scan.h"

static const char *const exif_choices[] = { "apply", "ignore", NULL };

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
      { "channels", QK_OPT_INT, "3", 1, 4, NULL,
        "1 = grey, 3 = red, green and blue, 4 = and alpha" },
      { "exif", QK_OPT_CHOICE, "apply", 0, 0, exif_choices,
        "turn images as their EXIF orientation says, or not" },
      { "background", QK_OPT_FLOATS, "255,255,255", 0, 255, NULL,
        "red, green and blue that transparent pixels are laid over, unless "
        "channels = 4" },
      { "mean", QK_OPT_FLOATS, "0.485,0.456,0.406", -10, 10, NULL,
        "subtracted from each channel (0 to 1); grey: their mean unless given "
        "as one number, alpha: 0 unless given as the fourth" },
      { "std", QK_OPT_FLOATS, "0.229,0.224,0.225", 1e-6, 100, NULL,
        "each channel is then divided by; grey: their mean unless given as "
        "one number, alpha: 1 unless given as the fourth" },
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
  struct image_options pixels;
  int64_t resize, crop;
  double min_scale;
  bool augment, flip, fast;
};

/* One number for each channel; ALPHA for the fourth where three are given. */
static int
read_channels (const struct qk_config *cfg, const char *name, int channels,
               float alpha, float out[4])
{
  const int n = qk_config_floats (cfg, name, out, 4);

  if (n == 3 && channels == 4)
    out[3] = alpha;
  else if (n == 3 && channels == 1)
    out[0] = (out[0] + out[1] + out[2]) / 3.0f;
  else if (n != channels)
    return qk_error (-EINVAL,
                     "imagefolder: %s (%s) must be %d numbers, got %d", name,
                     qk_config_where (cfg, name), channels, n);
  return 0;
}

/* What is made of the pixels of a file. */
static int
configure_pixels (struct imagefolder *f, const struct qk_config *cfg)
{
  const int channels = (int) qk_config_int (cfg, "channels");
  float background[3], mean[4], std[4];
  const int n = qk_config_floats (cfg, "background", background, 3);
  int i, err;

  if (channels == 2)
    return qk_error (-EINVAL,
                     "imagefolder: channels (%s) must be 1, 3 or 4, "
                     "got 2",
                     qk_config_where (cfg, "channels"));
  if (n != 3)
    return qk_error (-EINVAL,
                     "imagefolder: background (%s) must be 3 numbers, got %d",
                     qk_config_where (cfg, "background"), n);
  f->pixels.channels = channels;
  f->pixels.exif = strcmp (qk_config_string (cfg, "exif"), "apply") == 0;
  for (i = 0; i < 3; i++)
    f->pixels.background[i] = (uint8_t) (background[i] + 0.5f);
  err = read_channels (cfg, "mean", channels, 0.0f, mean);
  if (err == 0)
    err = read_channels (cfg, "std", channels, 1.0f, std);
  return err < 0
           ? err
           : image_norm_set (&f->norm, channels, mean, std, "imagefolder");
}

static int
configure (struct imagefolder *f, const struct qk_config *cfg)
{
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
  return configure_pixels (f, cfg);
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
  image_specs_set (&f->specs, f->crop, f->crop, f->pixels.channels,
                   f->scan.classes, (const char *const *) f->scan.names, out);
  return 0;
}

static int
imagefolder_worker_new (void *self, void **worker)
{
  const struct imagefolder *f = self;
  struct image_reader *r;
  const int err = image_reader_new (&f->pixels, &r);

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

/* The size of a file and its first bytes, in which a JPEG has its tables, as
 * one number (FNV-1a); 0 for who cannot be read, which is told when it is
 * needed. */
static uint64_t
look_into (const char *path)
{
  unsigned char head[4096];
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  uint64_t h = 14695981039346656037u;
  struct stat st;
  ssize_t i, n = -1;

  if (fd >= 0 && fstat (fd, &st) == 0)
    n = read (fd, head, sizeof head);
  if (fd >= 0)
    close (fd);
  if (n < 0)
    return 0;
  h ^= (uint64_t) st.st_size;
  for (i = 0; i < n; i++)
    h = (h ^ head[i]) * 1099511628211u;
  return h;
}

static int
imagefolder_describe (void *self, int64_t index, char *name, size_t size,
                      uint64_t *content)
{
  const struct imagefolder *f = self;
  const struct scan_item *item = &f->scan.items[index];
  char *path;

  snprintf (name, size, "%s/%s", f->scan.names[item->label], item->path);
  if (!content)
    return 0;
  if (asprintf (&path, "%s/%s", f->scan.root, name) < 0)
    return qk_oom ("imagefolder");
  *content = look_into (path);
  free (path);
  return 0;
}

static const struct qk_dataset_class imagefolder = {
  .cls
  = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "imagefolder",
              "A folder of class folders of images: JPEG, PNG, WebP", options),
  .open = imagefolder_open,
  .close = imagefolder_close,
  .info = imagefolder_info,
  .worker_new = imagefolder_worker_new,
  .worker_free = imagefolder_worker_free,
  .read = imagefolder_read,
  .read_file = imagefolder_read_file,
  .describe = imagefolder_describe,
};

QK_PLUGIN ("imagefolder", "1.0", "LGPL-2.1-or-later", &imagefolder.cls);
