/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cifar: CIFAR-10 and CIFAR-100 in their binary files.
 * https://www.cs.toronto.edu/~kriz/cifar.html
 *
 * An image is one byte of label (CIFAR-100: coarse, then fine), then 1024
 * bytes each of red, green and blue. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
        "batches.meta.txt, or of train.bin, test.bin and *_label_names.txt" },
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
  int labels, label; /* bytes before the pixels, and which of them */
  const char *names;
  const char *train[MAX_FILES + 1], *val[MAX_FILES + 1];
};

static const struct layout layouts[] = {
  { "10",
    10,
    1,
    0,
    "batches.meta.txt",
    { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
      "data_batch_4.bin", "data_batch_5.bin", NULL },
    { "test_batch.bin", NULL } },
  { "100-fine",
    100,
    2,
    1,
    "fine_label_names.txt",
    { "train.bin", NULL },
    { "test.bin", NULL } },
  { "100-coarse",
    20,
    2,
    0,
    "coarse_label_names.txt",
    { "train.bin", NULL },
    { "test.bin", NULL } },
};
#define N_LAYOUTS (sizeof layouts / sizeof layouts[0])

struct file {
  char *path;
  void *map;
  size_t size;
  int64_t count;
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

/* Whether the first file of L is in the folder ROOT. */
static bool
is_there (const struct layout *l, const char *root, bool val)
{
  char *path = path_within (root, val ? l->val[0] : l->train[0]);
  const bool there = path && access (path, F_OK) == 0;

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
    if (strcmp (kind, layouts[i].kind) == 0
        || (strcmp (kind, "auto") == 0 && is_there (&layouts[i], root, val)))
      d->layout = &layouts[i];
  if (!d->layout)
    return qk_error (-ENOENT, "cifar: neither %s nor %s in the folder '%s'",
                     val ? layouts[0].val[0] : layouts[0].train[0],
                     val ? layouts[1].val[0] : layouts[1].train[0], root);
  return 0;
}

static int
open_file (struct cifar *d, const char *root, const char *name)
{
  struct file *f = &d->file[d->n_files];
  const int64_t size = record (d->layout);
  int err;

  f->path = path_within (root, name);
  if (!f->path)
    return qk_oom ("cifar");
  d->n_files++;
  err = mapped_open (f->path, (size_t) size, "a file of CIFAR", &f->map,
                     &f->size);
  if (err)
    return err;
  if (f->size % (size_t) size != 0)
    return qk_error (-EBADMSG,
                     "%s: %zu bytes, expected a multiple of %lld (file cut "
                     "short, or another kind?)",
                     f->path, f->size, (long long) size);
  f->count = (int64_t) f->size / size;
  d->count += f->count;
  return 0;
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
    err = text_names_read (path, &d->names);
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
  if (err == 0)
    *self = d;
  else
    cifar_close (d);
  return err;
}

static int
cifar_info (void *self, struct qk_dataset_info *out)
{
  struct cifar *d = self;

  out->count = d->count;
  image_specs_set (&d->specs, SIDE, SIDE, 3, d->layout->classes,
                   (const char *const *) d->names.line, out);
  return 0;
}

/* Record *INDEX of all files, in which it becomes that of its own file; K, the
 * file. */
static const uint8_t *
record_of (const struct cifar *d, int64_t *index, int *k)
{
  *k = 0;
  while (*index >= d->file[*k].count)
    *index -= d->file[(*k)++].count;
  return (const uint8_t *) d->file[*k].map + *index * record (d->layout);
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
  struct rawset_image image;
  const uint8_t *p;
  int64_t i = index;
  int k;

  if (index < 0 || index >= d->count)
    return qk_error (-EINVAL, "cifar: no image %lld, there are %lld",
                     (long long) index, (long long) d->count);
  p = record_of (d, &i, &k);
  if (p[d->layout->label] >= d->layout->classes)
    return qk_error (-EBADMSG,
                     "%s: label of image %lld is %d, outside the %lld classes",
                     d->file[k].path, (long long) i, p[d->layout->label],
                     (long long) d->layout->classes);
  *(int32_t *) target[0] = p[d->layout->label];
  image = (struct rawset_image){ p + d->layout->labels, 1, SIDE, PLANE };
  rawset_deliver (&d->raw, worker, &image, rng, input[0]);
  return 0;
}

static int64_t
cifar_category (void *self, int64_t index)
{
  const struct cifar *d = self;
  int k;
  const int label = record_of (d, &index, &k)[d->layout->label];

  return label < d->layout->classes ? label : QK_NO_CATEGORY;
}

static const struct qk_dataset_class cifar = {
  .cls = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "cifar",
                   "CIFAR-10 and CIFAR-100 in their binary files", options),
  .open = cifar_open,
  .close = cifar_close,
  .info = cifar_info,
  .worker_new = cifar_worker_new,
  .worker_free = rawset_worker_free,
  .read = cifar_read,
  .category = cifar_category,
};

QK_PLUGIN ("cifar", PACKAGE_VERSION, "LGPL-2.1-or-later", &cifar.cls);
