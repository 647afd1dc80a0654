/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imagefolder.c: a folder of class folders of images.
 * What is made of them, plugins/common/imageset says. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "content/content.h"
#include "imageset/imageset.h"
#include "imagespec/imagespec.h"
#include "index.h"
#include "scan.h"
#include "split/split.h"
#include "textfile/textfile.h"

static const struct qk_option options[]
  = { { "root", QK_OPT_PATH, "", 0, 0, NULL,
        "folder that holds the folders train and val" },
      { "train", QK_OPT_PATH, "train", 0, 0, NULL,
        "folder of the training images, within root unless absolute" },
      { "val", QK_OPT_PATH, "val", 0, 0, NULL,
        "folder of the evaluation images, within root unless absolute" },
      { "labels", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "whether images are in class folders; no = all images in the folders "
        "and below are samples without targets" },
      { "val_share", QK_OPT_FLOAT, "0", 0, 0.999999, NULL,
        "where there is no folder val: share of the training images held out "
        "for evaluation, chosen by their paths" },
      { "val_list", QK_OPT_PATH, "", 0, 0, NULL,
        "text file of the training images held out for evaluation instead, "
        "CLASS/FILE, one a line" },
      { "index", QK_OPT_PATH, "", 0, 0, NULL,
        "begin of the names of two files, with .train and .val, that keep the "
        "lists of images and are used while no folder has changed" },
      IMAGESET_OPTIONS,
      { "limit", QK_OPT_INT, "0", 0, 1e12, NULL,
        "use only so many images of each class; 0 = all" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

#define MAX_LIST (INT64_C (1) << 30) /* bytes of val_list */

struct imagefolder {
  struct imageset images;
  struct image_specs specs;
  struct scan scan;
  bool labels;
};

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

  if (!f->labels)
    return 0;
  for (i = 0; i < 2; i++) {
    char *path;
    int err;

    if (!*qk_config_string (cfg, "root") && !qk_config_given (cfg, splits[i]))
      continue;
    path = split_folder (cfg, splits[i]);
    if (!path)
      return -EINVAL;
    err = scan_folder (&f->scan, ctx, path, true, false, 0);
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

/* ---- images held out ---------------------------------------------------*/

/* How it is decided which training images are for evaluation. */
struct held {
  double share;
  struct text_lines list; /* sorted; none: by the share */
};

static int
compare_lines (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static bool
is_held (const struct held *h, const char *name)
{
  if (h->list.n == 0)
    return split_held_out (split_key (name), h->share);
  return bsearch (&name, h->list.line, (size_t) h->list.n,
                  sizeof *h->list.line, compare_lines)
         != NULL;
}

/* Whether the split has a folder of its own. */
static bool
has_val_folder (const struct qk_config *cfg)
{
  char *path = split_folder (cfg, "val");
  struct stat st;
  const bool there = path && stat (path, &st) == 0 && S_ISDIR (st.st_mode);

  free (path);
  return there;
}

/* Keep the images of F's that are held out, or the others. */
static int
divide (struct imagefolder *f, const struct held *h, bool val)
{
  int64_t i, n = 0, found = 0;

  for (i = 0; i < f->scan.count; i++) {
    struct scan_item *item = &f->scan.items[i];
    bool held;
    char *name;

    if (asprintf (&name, "%s/%s", f->scan.names[item->label], item->path)
        < 0) {
      for (; i < f->scan.count; i++)
        free (f->scan.items[i].path);
      f->scan.count = n; /* what is kept so far is still the scan's */
      return qk_oom ("imagefolder");
    }
    held = is_held (h, name);
    free (name);
    found += held;
    if (held == val)
      f->scan.items[n++] = *item;
    else
      free (item->path);
  }
  f->scan.count = n;
  if (n == 0)
    return qk_error (-EINVAL, "imagefolder: %s: no images are left for %s",
                     f->scan.root, val ? "evaluation" : "training");
  if (h->list.n > 0 && found < h->list.n)
    return qk_error (-EINVAL,
                     "imagefolder: val_list names %lld images, of which %lld "
                     "are below %s",
                     (long long) h->list.n, (long long) found, f->scan.root);
  return 0;
}

static bool
has_labels (const struct scan *s)
{
  return s->classes != 1 || strcmp (s->names[0], SCAN_NO_CLASS) != 0;
}

/* The images below PATH, from the index of that folder if it still holds, which
 * is written if not; that it cannot be is no reason to stop. */
static int
scan_images (struct imagefolder *f, const struct qk_config *cfg,
             struct qk_context *ctx, const char *path, const char *folder)
{
  const char *index = qk_config_string (cfg, "index");
  const int64_t limit = qk_config_int (cfg, "limit");
  char *name;
  int r;

  if (!*index)
    return scan_folder (&f->scan, ctx, path, f->labels, true, limit);
  if (asprintf (&name, "%s.%s", index, folder) < 0)
    return qk_oom ("imagefolder");
  r = index_load (&f->scan, name, path);
  if (r > 0 && has_labels (&f->scan) != f->labels) { /* another's index */
    scan_free (&f->scan);
    r = 0;
  }
  if (r > 0)
    scan_tell (&f->scan, ctx);
  else if (r == 0) {
    r = scan_folder (&f->scan, ctx, path, f->labels, true, 0);
    if (r == 0 && index_save (&f->scan, name) < 0)
      qk_log (ctx, QK_LOG_WARNING, "the list of images is not kept: %s",
              qk_error_message ());
  }
  free (name);
  scan_limit (&f->scan, limit);
  return r < 0 ? r : 0;
}

/* The images of SPLIT, out of the training folder. */
static int
scan_shared (struct imagefolder *f, const struct qk_config *cfg,
             struct qk_context *ctx, bool val)
{
  const char *list = qk_config_string (cfg, "val_list");
  struct held h = { qk_config_float (cfg, "val_share"), { NULL, NULL, 0 } };
  char *path = split_folder (cfg, "train");
  int err = path ? 0 : -EINVAL;

  if (err == 0 && *list) {
    err = text_names_read (list, &h.list);
    qsort (h.list.line, (size_t) h.list.n, sizeof *h.list.line, compare_lines);
  }
  if (err == 0)
    err = scan_images (f, cfg, ctx, path, "train");
  if (err == 0)
    err = divide (f, &h, val);
  text_lines_clear (&h.list);
  free (path);
  return err;
}

static int
scan_split (struct imagefolder *f, const struct qk_config *cfg,
            const struct qk_dataset_request *req, int split)
{
  char *path;
  int err;

  if (*qk_config_string (cfg, "val_list")
      || (qk_config_float (cfg, "val_share") > 0 && !has_val_folder (cfg)))
    return scan_shared (f, cfg, req->ctx, split == 1);
  path = split_folder (cfg, req->split);
  err = path ? scan_images (f, cfg, req->ctx, path, split ? "val" : "train")
             : -EINVAL;
  if (err == -ENOENT && split == 1)
    err = qk_error_prefix (err, "no folder for evaluation (val_share = 0.1 "
                                "would hold out a tenth of the training "
                                "images): ");
  free (path);
  return err;
}

static int
imagefolder_open (const struct qk_config *cfg,
                  const struct qk_dataset_request *req, void **self)
{
  struct imagefolder *f = calloc (1, sizeof *f);
  const int split = split_parse (req->split, "imagefolder");
  int err;

  if (!f)
    return qk_oom ("imagefolder");
  f->labels = qk_config_bool (cfg, "labels");
  err = split == -EINVAL
          ? split
          : imageset_configure (&f->images, "imagefolder", cfg, req->augment);
  if (err == 0)
    err = split < 0 ? scan_for_names (f, cfg, req->ctx)
                    : scan_split (f, cfg, req, split);
  if (err) {
    imagefolder_close (f);
    return err;
  }
  image_specs_set (&f->specs, f->images.crop.h, f->images.crop.w,
                   f->images.pixels.channels, f->scan.classes,
                   (const char *const *) f->scan.names);
  *self = f;
  return 0;
}

static int
imagefolder_info (void *self, struct qk_dataset_info *out)
{
  const struct imagefolder *f = self;

  image_specs_info (&f->specs, f->scan.count, out);
  if (!f->labels)
    out->n_targets = 0;
  return 0;
}

static int
imagefolder_worker_new (void *self, void **worker)
{
  const struct imagefolder *f = self;

  return imageset_worker_new (&f->images, worker);
}

static int
imagefolder_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
                  void *const *input, void *const *target)
{
  const struct imagefolder *f = self;
  const struct scan_item *item;
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
  if (f->labels)
    *(int32_t *) target[0] = item->label;
  err = imageset_read (&f->images, worker, path, rng, input[0]);
  free (path);
  return err;
}

static int
imagefolder_read_file (void *self, void *worker, const char *path,
                       void *const *input)
{
  const struct imagefolder *f = self;

  return imageset_read (&f->images, worker, path, NULL, input[0]);
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
  *content = content_of_file (path);
  free (path);
  return 0;
}

static int
imagefolder_read_array (void *self, void *worker,
                        const struct qk_sample_array *sample,
                        void *const *input)
{
  const struct imagefolder *f = self;

  return imageset_read_array (&f->images, worker, sample, input[0]);
}

static int64_t
imagefolder_category (void *self, int64_t index)
{
  const struct imagefolder *f = self;

  return f->labels ? f->scan.items[index].label : QK_NO_CATEGORY;
}

static const struct qk_dataset_class imagefolder = {
  .cls
  = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "imagefolder",
              "Images in class folders, or in one: JPEG, PNG, WebP", options),
  .open = imagefolder_open,
  .close = imagefolder_close,
  .info = imagefolder_info,
  .worker_new = imagefolder_worker_new,
  .worker_free = imageset_worker_free,
  .read = imagefolder_read,
  .read_file = imagefolder_read_file,
  .read_array = imagefolder_read_array,
  .describe = imagefolder_describe,
  .category = imagefolder_category,
};

QK_PLUGIN ("imagefolder", "1.0", "LGPL-2.1-or-later", &imagefolder.cls);
