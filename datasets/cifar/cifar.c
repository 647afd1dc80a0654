/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cifar: CIFAR-10 and CIFAR-100 in their binary files and in those for Python.
 * https://www.cs.toronto.edu/~kriz/cifar.html
 *
 * In the former an image is one byte of label (CIFAR-100: coarse, then fine),
 * then 1024 bytes each of red, green and blue; of the latter batch.h tells. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch.h"
#include "content/content.h"
#include "imagespec/imagespec.h"
#include "mapped/mapped.h"
#include "rawset/rawset.h"
#include "split/split.h"
#include "textfile/textfile.h"

#define SIDE 32
#define PLANE (SIDE * SIDE)
#define MAX_FILES 5

static const char *const kinds[]
  = { "auto", "10", "100-fine", "100-coarse", NULL };

static const struct qk_option options[]
  = { { "root", QK_OPT_PATH, "", 0, 0, NULL,
        "folder of data_batch_1.bin to _5, test_batch.bin and "
        "batches.meta.txt, or of train.bin, test.bin and *_label_names.txt, "
        "or of the files for Python: data_batch_1 to _5, test_batch and "
        "batches.meta, or train, test and meta" },
      { "kind", QK_OPT_CHOICE, "auto", 0, 0, kinds,
        "CIFAR-10, or CIFAR-100 with its fine or coarse labels; auto = what "
        "is in the folder, fine" },
      { "limit", QK_OPT_INT, "0", 0, 1e12, NULL,
        "use only so many samples of each split; 0 = all" },
      RAWSET_OPTIONS ("0.4914,0.4822,0.4465", "0.2470,0.2435,0.2616", "4",
                      "yes"),
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

/* What the files of a kind are. */
struct layout {
  const char *kind;
  int64_t classes;
  int labels, label;           /* bytes before the pixels, and which of them */
  const char *key, *names_key; /* files for Python: of labels, of names */
  const char *names;
  const char *train[MAX_FILES + 1], *val[MAX_FILES + 1];
};

static const struct layout layouts[] = {
  { "10",
    10,
    1,
    0,
    NULL,
    NULL,
    "batches.meta.txt",
    { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
      "data_batch_4.bin", "data_batch_5.bin", NULL },
    { "test_batch.bin", NULL } },
  { "100-fine",
    100,
    2,
    1,
    NULL,
    NULL,
    "fine_label_names.txt",
    { "train.bin", NULL },
    { "test.bin", NULL } },
  { "100-coarse",
    20,
    2,
    0,
    NULL,
    NULL,
    "coarse_label_names.txt",
    { "train.bin", NULL },
    { "test.bin", NULL } },
  { "10",
    10,
    0,
    0,
    "labels",
    "label_names",
    "batches.meta",
    { "data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
      "data_batch_5", NULL },
    { "test_batch", NULL } },
  { "100-fine",
    100,
    0,
    0,
    "fine_labels",
    "fine_label_names",
    "meta",
    { "train", NULL },
    { "test", NULL } },
  { "100-coarse",
    20,
    0,
    0,
    "coarse_labels",
    "coarse_label_names",
    "meta",
    { "train", NULL },
    { "test", NULL } },
};
#define N_LAYOUTS (sizeof layouts / sizeof layouts[0])

struct file {
  char *path;
  void *map;
  size_t size;
  int64_t count;
  struct batch batch; /* of one for Python */
};

struct cifar {
  struct rawset raw;
  struct image_specs specs;
  const struct layout *layout;
  struct file file[MAX_FILES];
  int n_files;
  struct text_lines names;
  int64_t count;
};

static int64_t
record (const struct layout *l)
{
  return l->labels + 3 * PLANE;
}

/* Whether the first file of L is in the folder ROOT: "train" may also be a
 * folder. */
static bool
is_there (const struct layout *l, const char *root, bool val)
{
  char *path = path_within (root, val ? l->val[0] : l->train[0]);
  struct stat st;
  const bool there = path && stat (path, &st) == 0 && S_ISREG (st.st_mode);

  free (path);
  return there;
}

static int
find_layout (struct cifar *d, const struct qk_config *cfg, bool val)
{
  const char *kind = qk_config_string (cfg, "kind");
  const char *root = qk_config_string (cfg, "root");
  size_t i;

  for (i = 0; i < N_LAYOUTS && !d->layout; i++)
    if ((strcmp (kind, layouts[i].kind) == 0 || strcmp (kind, "auto") == 0)
        && is_there (&layouts[i], root, val))
      d->layout = &layouts[i];
  if (d->layout)
    return 0;
  if (strcmp (kind, "auto") == 0)
    return qk_error (-ENOENT,
                     "cifar: neither %s nor %s in the folder '%s', nor the "
                     "files for Python, which have no .bin",
                     val ? layouts[0].val[0] : layouts[0].train[0],
                     val ? layouts[1].val[0] : layouts[1].train[0], root);
  for (i = 0; strcmp (kind, layouts[i].kind) != 0; i++)
    continue;
  return qk_error (
    -ENOENT, "cifar: no %s, with or without its ending, in the folder '%s'",
    val ? layouts[i].val[0] : layouts[i].train[0], root);
}

static int
open_file (struct cifar *d, const char *root, const char *name)
{
  struct file *f = &d->file[d->n_files];
  const int64_t size = record (d->layout);
  const char *key = d->layout->key;
  int err;

  f->path = path_within (root, name);
  if (!f->path)
    return qk_oom ("cifar");
  d->n_files++;
  err = mapped_open (f->path, (size_t) size, "a file of CIFAR", &f->map,
                     &f->size);
  if (err)
    return err;
  if (key) {
    err = batch_read (f->map, f->size, f->path, key, 3 * PLANE, &f->batch);
    f->count = f->batch.count;
    d->count += f->count;
    return err;
  }
  if (f->size % (size_t) size != 0)
    return qk_error (-EBADMSG,
                     "%s: %zu bytes, expected a multiple of %lld (file cut "
                     "short, or another kind?)",
                     f->path, f->size, (long long) size);
  f->count = (int64_t) f->size / size;
  d->count += f->count;
  return 0;
}

/* The names in PATH, a file for Python. */
static int
unpickle_names (struct cifar *d, const char *path)
{
  void *map = NULL;
  size_t size = 0;
  int err = mapped_open (path, 1, "a file of CIFAR", &map, &size);

  if (err)
    return err;
  err = batch_names (map, size, path, d->layout->names_key, &d->names);
  munmap (map, size);
  return err;
}

/* Names of the classes, where the file of them is there. */
static int
read_names (struct cifar *d, const char *root)
{
  char *path = path_within (root, d->layout->names);
  int err = 0;

  if (!path)
    return qk_oom ("cifar");
  if (access (path, F_OK) == 0) {
    err = d->layout->key ? unpickle_names (d, path)
                         : text_names_read (path, &d->names);
    if (err == 0 && d->names.n != d->layout->classes)
      err = qk_error (-EINVAL, "%s: %lld names, expected %lld", path,
                      (long long) d->names.n, (long long) d->layout->classes);
  }
  free (path);
  return err;
}

static void
cifar_close (void *self)
{
  struct cifar *d = self;
  int i;

  if (!d)
    return;
  for (i = 0; i < d->n_files; i++) {
    if (d->file[i].map)
      munmap (d->file[i].map, d->file[i].size);
    free (d->file[i].path);
    free (d->file[i].batch.label);
  }
  text_lines_clear (&d->names);
  free (d);
}

static int
cifar_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
            void **self)
{
  struct cifar *d = calloc (1, sizeof *d);
  const char *root = qk_config_string (cfg, "root");
  const int64_t limit = qk_config_int (cfg, "limit");
  const int split = split_parse (req->split, "cifar");
  const char *const *name;
  int err;

  if (!d)
    return qk_oom ("cifar");
  err = split == -EINVAL ? split : find_layout (d, cfg, split == 1);
  if (err == 0)
    err = read_names (d, root);
  for (name = err || split < 0 ? NULL
              : split == 1     ? d->layout->val
                               : d->layout->train;
       name && *name && err == 0; name++)
    err = open_file (d, root, *name);
  if (err == 0)
    err
      = rawset_configure (&d->raw, "cifar", cfg, req->augment, SIDE, SIDE, 3);
  if (limit > 0 && d->count > limit)
    d->count = limit;
  if (err) {
    cifar_close (d);
    return err;
  }
  image_specs_set (&d->specs, SIDE, SIDE, 3, d->layout->classes,
                   (const char *const *) d->names.line);
  *self = d;
  return 0;
}

static int
cifar_info (void *self, struct qk_dataset_info *out)
{
  const struct cifar *d = self;

  image_specs_info (&d->specs, d->count, out);
  return 0;
}

/* Image INDEX of all files: its label, in *PIXELS where it begins; FILE and
 * *AT: where that is. */
static int
find_image (const struct cifar *d, int64_t index, const uint8_t **pixels,
            const struct file **file, int64_t *at)
{
  const struct file *f = d->file;
  const uint8_t *p;

  while (index >= f->count)
    index -= (f++)->count;
  *file = f;
  *at = index;
  if (d->layout->key) {
    *pixels = f->batch.pixels + index * 3 * PLANE;
    return f->batch.label[index];
  }
  p = (const uint8_t *) f->map + index * record (d->layout);
  *pixels = p + d->layout->labels;
  return p[d->layout->label];
}

static int
cifar_worker_new (void *self, void **worker)
{
  return rawset_worker_new (&((const struct cifar *) self)->raw, worker);
}

static int
cifar_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
            void *const *input, void *const *target)
{
  const struct cifar *d = self;
  const struct file *f;
  struct rawset_image image;
  const uint8_t *pixels;
  int64_t at;
  int label;

  if (index < 0 || index >= d->count)
    return qk_error (-EINVAL, "cifar: no image %lld, there are %lld",
                     (long long) index, (long long) d->count);
  label = find_image (d, index, &pixels, &f, &at);
  if (label >= d->layout->classes)
    return qk_error (
      -EBADMSG, "%s: label of image %lld is %d, outside the %lld classes",
      f->path, (long long) at, label, (long long) d->layout->classes);
  *(int32_t *) target[0] = label;
  image = (struct rawset_image){ pixels, 1, SIDE, PLANE };
  rawset_deliver (&d->raw, worker, &image, rng, input[0]);
  return 0;
}

static int
cifar_describe (void *self, int64_t index, char *name, size_t size,
                uint64_t *content)
{
  const struct cifar *d = self;
  const struct file *f;
  const uint8_t *pixels;
  int64_t at;
  const int label = find_image (d, index, &pixels, &f, &at);

  snprintf (name, size, "image %lld of class %d", (long long) index, label);
  if (content)
    *content = content_add (CONTENT_START, pixels, 3 * PLANE);
  return 0;
}

static int64_t
cifar_category (void *self, int64_t index)
{
  const struct cifar *d = self;
  const struct file *f;
  const uint8_t *pixels;
  int64_t at;
  const int label = find_image (d, index, &pixels, &f, &at);

  return label < d->layout->classes ? label : QK_NO_CATEGORY;
}

static const struct qk_dataset_class cifar = {
  .cls = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "cifar",
                   "CIFAR-10 and CIFAR-100, binary or for Python", options),
  .open = cifar_open,
  .close = cifar_close,
  .info = cifar_info,
  .worker_new = cifar_worker_new,
  .worker_free = rawset_worker_free,
  .read = cifar_read,
  .describe = cifar_describe,
  .category = cifar_category,
};

QK_PLUGIN ("cifar", PACKAGE_VERSION, "LGPL-2.1-or-later", &cifar.cls);
