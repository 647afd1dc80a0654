/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tar: images and labels in tar archives, many of them, as WebDataset names
 * them: files that are called alike up to their ending are a sample, an image
 * (.jpg, .jpeg, .png, .webp) and its label (.cls: a number).
 * https://github.com/webdataset/webdataset
 *
 * The archives are mapped; opening reads their headers once. */
#include "config.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "archive.h"
#include "content/content.h"
#include "imageset/imageset.h"
#include "imagespec/imagespec.h"
#include "mapped/mapped.h"
#include "split/split.h"
#include "textfile/textfile.h"

#define MAX_SAMPLES INT64_C (1000000000)
#define BAD_LABEL (-2)

static const struct qk_option options[]
  = { { "train", QK_OPT_PATH, "", 0, 0, NULL,
        "archives of the training images, a shell pattern: train-*.tar" },
      { "val", QK_OPT_PATH, "", 0, 0, NULL,
        "the same for evaluation; empty = hold out val_share of the training "
        "images" },
      { "val_share", QK_OPT_FLOAT, "0.1", 1e-6, 0.999999, NULL,
        "share of the images held out for evaluation where val is empty, "
        "chosen by their names" },
      { "classes", QK_OPT_INT, "0", 0, 1e9, NULL,
        "number of classes; 0 = as many as names has" },
      { "names", QK_OPT_PATH, "", 0, 0, NULL,
        "text file with the names of the classes, one a line" },
      IMAGESET_OPTIONS,
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

struct shard {
  char *path;
  void *map;
  size_t size;
};

struct sample {
  int32_t shard, label; /* QK_NO_CATEGORY: there was no .cls */
  uint32_t length;      /* of the image */
  uint64_t at;          /* of it in the shard */
};

struct tar {
  struct imageset images;
  struct image_specs specs;
  struct text_lines names;
  int64_t classes;
  int n_shards;
  struct shard *shard;
  int64_t count, capacity;
  struct sample *sample;
};

/* ---- samples -----------------------------------------------------------*/

/* The sample whose files are being met. */
struct pending {
  char key[TAR_MAX_NAME];
  struct sample sample;
  bool image;
};

static bool
is_image (const char *ending)
{
  static const char *const endings[] = { "jpg", "jpeg", "png", "webp" };
  size_t i;

  for (i = 0; i < sizeof endings / sizeof endings[0]; i++)
    if (strcasecmp (ending, endings[i]) == 0)
      return true;
  return false;
}

/* Cut the ending off NAME, in place: the part behind the first point of its
 * last component.  NULL where there is none. */
static char *
cut_ending (char *name)
{
  char *slash = strrchr (name, '/');
  char *dot = strchr (slash ? slash + 1 : name, '.');

  if (!dot)
    return NULL;
  *dot = 0;
  return dot + 1;
}

/* The number in a .cls file, or BAD_LABEL. */
static int32_t
read_label (const struct tar *d, const struct tar_entry *e)
{
  char text[24];
  char *end;
  long v;

  snprintf (text, sizeof text, "%.*s", e->size < 20 ? (int) e->size : 20,
            (const char *) e->data);
  v = strtol (text, &end, 10);
  end += strspn (end, " \r\n\t");
  return end == text || *end || v < 0 || v >= d->classes ? BAD_LABEL
                                                         : (int32_t) v;
}

static int
add_sample (struct tar *d, const struct pending *p)
{
  if (d->count == d->capacity) {
    const int64_t capacity = d->capacity ? 2 * d->capacity : 1024;
    struct sample *s = realloc (d->sample, (size_t) capacity * sizeof *s);

    if (!s || capacity > MAX_SAMPLES)
      return qk_oom ("tar: %lld samples", (long long) capacity);
    d->sample = s;
    d->capacity = capacity;
  }
  d->sample[d->count++] = p->sample;
  return 0;
}

/* How the samples of a split are chosen. */
struct choice {
  double share; /* 0: all of them */
  bool held;
};

/* The files of P are complete. */
static int
finish (struct tar *d, const struct pending *p, const struct choice *c)
{
  if (!p->image
      || (c->share > 0
          && split_held_out (split_key (p->key), c->share) != c->held))
    return 0;
  return add_sample (d, p);
}

static int
read_shard (struct tar *d, int number, const struct choice *c)
{
  const struct shard *s = &d->shard[number];
  struct tar_walk w = { s->map, s->size, 0, s->path };
  struct tar_entry *e = malloc (sizeof *e);
  struct pending *p = calloc (1, sizeof *p);
  int r = e && p ? 0 : qk_oom ("tar");

  while (r == 0 && (r = tar_next (&w, e)) == 1) {
    char *ending = cut_ending (e->name);

    r = 0;
    if (!ending)
      continue;
    if (strcmp (e->name, p->key) != 0) {
      r = finish (d, p, c);
      memset (p, 0, sizeof *p);
      snprintf (p->key, sizeof p->key, "%s", e->name);
      p->sample.shard = number;
      p->sample.label = QK_NO_CATEGORY;
    }
    if (r == 0 && is_image (ending) && e->size <= IMAGE_MAX_FILE) {
      p->image = true;
      p->sample.at = (uint64_t) (e->data - (const uint8_t *) s->map);
      p->sample.length = (uint32_t) e->size;
    } else if (r == 0 && strcmp (ending, "cls") == 0) {
      p->sample.label = read_label (d, e);
    }
  }
  if (r == 0)
    r = finish (d, p, c);
  free (e);
  free (p);
  return r;
}

/* ---- opening -----------------------------------------------------------*/

static int
open_shards (struct tar *d, const char *pattern)
{
  glob_t g;
  size_t i;
  int err = glob (pattern, 0, NULL, &g);

  if (err == GLOB_NOSPACE)
    return qk_oom ("tar");
  if (err != 0)
    return qk_error (-ENOENT, "tar: there are no archives '%s'", pattern);
  d->shard = calloc (g.gl_pathc, sizeof *d->shard);
  err = d->shard ? 0 : qk_oom ("tar");
  for (i = 0; err == 0 && i < g.gl_pathc; i++) {
    struct shard *s = &d->shard[d->n_shards++];

    s->path = strdup (g.gl_pathv[i]);
    err = s->path
            ? mapped_open (s->path, 1024, "a tar archive", &s->map, &s->size)
            : qk_oom ("tar");
  }
  globfree (&g);
  return err;
}

static int
read_names (struct tar *d, const struct qk_config *cfg)
{
  const char *path = qk_config_string (cfg, "names");
  int err = 0;

  d->classes = qk_config_int (cfg, "classes");
  if (*path)
    err = text_names_read (path, &d->names);
  if (err == 0 && d->classes == 0)
    d->classes = d->names.n;
  if (err == 0 && d->classes == 0)
    err = qk_error (-EINVAL, "tar: neither names nor classes is given: how "
                             "many classes are there?");
  if (err == 0 && d->names.n > 0 && d->names.n != d->classes)
    err = qk_error (-EINVAL, "tar: %s: %lld names, classes = %lld", path,
                    (long long) d->names.n, (long long) d->classes);
  return err;
}

static int
read_split (struct tar *d, const struct qk_config *cfg, int split)
{
  const bool own = *qk_config_string (cfg, "val") != 0;
  const struct choice c
    = { own ? 0 : qk_config_float (cfg, "val_share"), split == 1 };
  const char *key = own && split == 1 ? "val" : "train";
  int i, err;

  if (*qk_config_string (cfg, key) == 0)
    return qk_error (-EINVAL, "tar: the option train is not given: which "
                              "archives?");
  err = open_shards (d, qk_config_string (cfg, key));
  for (i = 0; err == 0 && i < d->n_shards; i++)
    err = read_shard (d, i, &c);
  if (err == 0 && d->count == 0)
    err = qk_error (-EINVAL, "tar: '%s' leaves no images for %s",
                    qk_config_string (cfg, key),
                    split == 1 ? "evaluation" : "training");
  return err;
}

static void
tar_close (void *self)
{
  struct tar *d = self;
  int i;

  if (!d)
    return;
  for (i = 0; i < d->n_shards; i++) {
    if (d->shard[i].map)
      munmap (d->shard[i].map, d->shard[i].size);
    free (d->shard[i].path);
  }
  free (d->shard);
  free (d->sample);
  text_lines_clear (&d->names);
  free (d);
}

static int
tar_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
          void **self)
{
  struct tar *d = calloc (1, sizeof *d);
  const int split = split_parse (req->split, "tar");
  int err;

  if (!d)
    return qk_oom ("tar");
  err = split == -EINVAL
          ? split
          : imageset_configure (&d->images, "tar", cfg, req->augment);
  if (err == 0 && split >= 0)
    err = read_names (d, cfg);
  if (err == 0 && split >= 0)
    err = read_split (d, cfg, split);
  if (err) {
    tar_close (d);
    return err;
  }
  image_specs_set (&d->specs, d->images.crop.h, d->images.crop.w,
                   d->images.pixels.channels, d->classes,
                   (const char *const *) d->names.line);
  *self = d;
  return 0;
}

static int
tar_info (void *self, struct qk_dataset_info *out)
{
  const struct tar *d = self;

  image_specs_info (&d->specs, d->count, out);
  return 0;
}

/* ---- reading -----------------------------------------------------------*/

static int
tar_worker_new (void *self, void **worker)
{
  const struct tar *d = self;

  return imageset_worker_new (&d->images, worker);
}

static int
tar_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
          void *const *input, void *const *target)
{
  const struct tar *d = self;
  const struct sample *s;
  const struct shard *shard;
  char name[TAR_MAX_NAME];

  if (index < 0 || index >= d->count)
    return qk_error (-EINVAL, "tar: no image %lld, there are %lld",
                     (long long) index, (long long) d->count);
  s = &d->sample[index];
  shard = &d->shard[s->shard];
  snprintf (name, sizeof name, "%s: image at byte %llu", shard->path,
            (unsigned long long) s->at);
  if (s->label < 0)
    return qk_error (-EBADMSG, "%s: %s, expected a number from 0 to %lld",
                     name,
                     s->label == BAD_LABEL ? "its .cls is something else"
                                           : "there is no .cls beside it",
                     (long long) d->classes - 1);
  *(int32_t *) target[0] = s->label;
  return imageset_read_memory (&d->images, worker,
                               (const uint8_t *) shard->map + s->at, s->length,
                               name, rng, input[0]);
}

static int
tar_read_file (void *self, void *worker, const char *path, void *const *input)
{
  const struct tar *d = self;

  return imageset_read (&d->images, worker, path, NULL, input[0]);
}

static int
tar_read_array (void *self, void *worker, const struct qk_sample_array *sample,
                void *const *input)
{
  const struct tar *d = self;

  return imageset_read_array (&d->images, worker, sample, input[0]);
}

/* Archives may move to another folder. */
static int
tar_describe (void *self, int64_t index, char *name, size_t size,
              uint64_t *content)
{
  const struct tar *d = self;
  const struct sample *s = &d->sample[index];
  const struct shard *shard = &d->shard[s->shard];
  const char *slash = strrchr (shard->path, '/');

  snprintf (name, size, "%s: image at byte %llu, of class %d",
            slash ? slash + 1 : shard->path, (unsigned long long) s->at,
            (int) s->label);
  if (content)
    *content = content_add (CONTENT_START,
                            (const uint8_t *) shard->map + s->at, s->length);
  return 0;
}

static int64_t
tar_category (void *self, int64_t index)
{
  const struct tar *d = self;

  return d->sample[index].label < 0 ? QK_NO_CATEGORY : d->sample[index].label;
}

static const struct qk_dataset_class tar = {
  .cls
  = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "tar",
              "Images and labels in tar archives, as WebDataset's", options),
  .open = tar_open,
  .close = tar_close,
  .info = tar_info,
  .worker_new = tar_worker_new,
  .worker_free = imageset_worker_free,
  .read = tar_read,
  .read_file = tar_read_file,
  .read_array = tar_read_array,
  .describe = tar_describe,
  .category = tar_category,
};

QK_PLUGIN ("tar", PACKAGE_VERSION, "LGPL-2.1-or-later", &tar.cls);
