/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idx: MNIST and its kin: images and labels in files of the format IDX,
 * compressed with gzip or not.  http://yann.lecun.com/exdb/mnist/
 *
 * A file is: two zero bytes, the type (8: bytes), the number of dimensions,
 * each dimension in four bytes, highest first, and the elements. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zlib.h>

#include "content/content.h"
#include "imagespec/imagespec.h"
#include "rawset/rawset.h"
#include "split/split.h"
#include "textfile/textfile.h"

#define MAX_DIMS 4
#define MAX_BYTES (INT64_C (1) << 36)
#define MAX_SIDE 16384
#define MOST_INFLATED 1032 /* deflate's best ratio */
#define FIRST_PIECE ((size_t) 1 << 20)

static const struct qk_option options[]
  = { { "root", QK_OPT_PATH, "", 0, 0, NULL,
        "folder that the files are in, unless absolute" },
      { "train_images", QK_OPT_PATH, "train-images-idx3-ubyte", 0, 0, NULL,
        "file of the training images, or the same with .gz" },
      { "train_labels", QK_OPT_PATH, "train-labels-idx1-ubyte", 0, 0, NULL,
        "file of their labels" },
      { "val_images", QK_OPT_PATH, "t10k-images-idx3-ubyte", 0, 0, NULL,
        "file of the images for evaluation" },
      { "val_labels", QK_OPT_PATH, "t10k-labels-idx1-ubyte", 0, 0, NULL,
        "file of their labels" },
      { "names", QK_OPT_PATH, "", 0, 0, NULL,
        "text file with the names of the classes, one a line" },
      { "classes", QK_OPT_INT, "10", 1, 256, NULL,
        "number of classes, where names is empty" },
      { "limit", QK_OPT_INT, "0", 0, 1e12, NULL,
        "use only so many samples of each split; 0 = all" },
      RAWSET_OPTIONS ("0.1307", "0.3081", "0", "no"),
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

/* A file in memory. */
struct idx_file {
  char *path;
  int ndim;
  int64_t dims[MAX_DIMS], count; /* count of elements */
  uint8_t *data;
};

struct idx {
  struct rawset raw;
  struct image_specs specs;
  struct idx_file images, labels;
  struct text_lines names;
  int64_t count, classes;
};

/* ---- files -------------------------------------------------------------*/

static int
damaged (const char *path, gzFile z)
{
  int code = 0;
  const char *text = gzerror (z, &code);

  return qk_error (-EBADMSG, "%s: %s", path,
                   code == Z_OK || code == Z_BUF_ERROR ? "cut short" : text);
}

static int
read_bytes (const char *path, gzFile z, uint8_t *to, size_t n)
{
  while (n > 0) {
    const unsigned piece = n < 1u << 30 ? (unsigned) n : 1u << 30;
    const int got = gzread (z, to, piece);

    if (got <= 0)
      return damaged (path, z);
    to += got;
    n -= (size_t) got;
  }
  return 0;
}

/* Type and dimensions; FILE_SIZE bounds what they may claim. */
static int
read_header (struct idx_file *f, gzFile z, int64_t file_size)
{
  uint8_t b[4 + 4 * MAX_DIMS];
  char shape[160];
  struct qk_shape s = { 0, { 0 } };
  int i, err = read_bytes (f->path, z, b, 4);

  if (err)
    return err;
  if (b[0] || b[1] || b[2] != 8 || b[3] < 1 || b[3] > MAX_DIMS)
    return qk_error (-EBADMSG,
                     "%s: not a file of bytes in the format IDX: it begins "
                     "with %02x %02x %02x %02x, expected 00 00 08 01 to 04",
                     f->path, b[0], b[1], b[2], b[3]);
  f->ndim = b[3];
  err = read_bytes (f->path, z, b + 4, 4 * (size_t) f->ndim);
  if (err)
    return err;
  f->count = 1;
  s.ndim = f->ndim;
  for (i = 0; i < f->ndim; i++) {
    const uint8_t *p = b + 4 + 4 * i;

    s.dims[i] = f->dims[i]
      = (int64_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
    if (__builtin_mul_overflow (f->count, f->dims[i], &f->count))
      f->count = INT64_MAX;
  }
  if (f->count < 1 || f->count > MAX_BYTES
      || f->count / MOST_INFLATED > file_size)
    return qk_error (-EBADMSG, "%s: claims %s bytes in a file of %lld",
                     f->path, qk_shape_print (&s, shape, sizeof shape),
                     (long long) file_size);
  return 0;
}

/* The elements; memory grows with what is there. */
static int
read_elements (struct idx_file *f, gzFile z)
{
  size_t have = 0, room = 0;
  uint8_t end;

  while (have < (size_t) f->count) {
    const size_t left = (size_t) f->count - have;
    const size_t more = have > FIRST_PIECE ? have : FIRST_PIECE;
    uint8_t *data;
    int err;

    room = have + (more < left ? more : left);
    data = realloc (f->data, room);
    if (!data)
      return qk_oom ("%s: %zu bytes", f->path, room);
    f->data = data;
    err = read_bytes (f->path, z, f->data + have, room - have);
    if (err)
      return err;
    have = room;
  }
  if (gzread (z, &end, 1) > 0)
    return qk_error (-EBADMSG, "%s: more than the %lld bytes it claims",
                     f->path, (long long) f->count);
  return 0;
}

/* Open NAME within ROOT, or NAME.gz. */
static gzFile
open_either (struct idx_file *f, const char *root, const char *name,
             int64_t *size)
{
  struct stat st;
  gzFile z;
  int k;

  for (k = 0; k < 2; k++) {
    char *plain = path_within (root, name);

    free (f->path);
    f->path = plain;
    if (plain && k == 1 && asprintf (&f->path, "%s.gz", plain) < 0)
      f->path = NULL;
    if (k == 1)
      free (plain);
    if (!f->path) {
      qk_oom ("idx");
      return NULL;
    }
    if (stat (f->path, &st) == 0 && !S_ISREG (st.st_mode)) {
      qk_error (-EINVAL, "%s: not a regular file", f->path);
      return NULL;
    }
    z = gzopen (f->path, "rbe");
    if (z) {
      *size = st.st_size;
      return z;
    }
  }
  qk_error (-ENOENT, "%.*s: cannot open, nor with .gz: %s",
            (int) (strlen (f->path) - strlen (".gz")), f->path,
            strerror (errno));
  return NULL;
}

static int
idx_file_read (struct idx_file *f, const char *root, const char *name)
{
  int64_t size = 0;
  gzFile z = open_either (f, root, name, &size);
  int err;

  if (!z)
    return -ENOENT;
  err = read_header (f, z, size);
  if (err == 0)
    err = read_elements (f, z);
  gzclose (z);
  return err;
}

static void
idx_file_clear (struct idx_file *f)
{
  free (f->path);
  free (f->data);
}

/* ---- the dataset -------------------------------------------------------*/

static int
check_files (const struct idx *d)
{
  const struct idx_file *i = &d->images, *l = &d->labels;

  if (i->ndim < 3 || i->dims[1] > MAX_SIDE || i->dims[2] > MAX_SIDE)
    return qk_error (-EINVAL,
                     "%s: %d dimensions, expected images: 3, or 4 with "
                     "channels, of sides up to %d",
                     i->path, i->ndim, MAX_SIDE);
  if (l->ndim != 1)
    return qk_error (-EINVAL, "%s: %d dimensions, expected labels: 1", l->path,
                     l->ndim);
  if (i->dims[0] != l->dims[0])
    return qk_error (-EINVAL, "%s has %lld images, %s %lld labels", i->path,
                     (long long) i->dims[0], l->path, (long long) l->dims[0]);
  return 0;
}

static int
read_names (struct idx *d, const struct qk_config *cfg)
{
  char *path;
  int err;

  d->classes = qk_config_int (cfg, "classes");
  if (*qk_config_string (cfg, "names") == 0)
    return 0;
  path = path_within (qk_config_string (cfg, "root"),
                      qk_config_string (cfg, "names"));
  if (!path)
    return qk_oom ("idx");
  err = text_names_read (path, &d->names);
  free (path);
  d->classes = d->names.n;
  return err;
}

static int
read_files (struct idx *d, const struct qk_config *cfg, bool val)
{
  const char *root = qk_config_string (cfg, "root");
  int err;

  err = idx_file_read (
    &d->images, root,
    qk_config_string (cfg, val ? "val_images" : "train_images"));
  if (err == 0)
    err = idx_file_read (
      &d->labels, root,
      qk_config_string (cfg, val ? "val_labels" : "train_labels"));
  return err == 0 ? check_files (d) : err;
}

static void
idx_close (void *self)
{
  struct idx *d = self;

  if (!d)
    return;
  idx_file_clear (&d->images);
  idx_file_clear (&d->labels);
  text_lines_clear (&d->names);
  free (d);
}

static int
idx_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
          void **self)
{
  struct idx *d = calloc (1, sizeof *d);
  const int64_t limit = qk_config_int (cfg, "limit");
  const int split = split_parse (req->split, "idx");
  int err;

  if (!d)
    return qk_oom ("idx");
  err = split == -EINVAL ? split : read_names (d, cfg);
  if (err == 0)
    err = read_files (d, cfg, split == 1);
  if (err == 0) {
    d->count = split < 0 ? 0 : d->images.dims[0];
    if (limit > 0 && d->count > limit)
      d->count = limit;
    err = rawset_configure (&d->raw, "idx", cfg, req->augment,
                            d->images.dims[1], d->images.dims[2],
                            d->images.ndim == 4 ? d->images.dims[3] : 1);
  }
  if (err) {
    idx_close (d);
    return err;
  }
  image_specs_set (&d->specs, d->raw.h, d->raw.w, d->raw.channels, d->classes,
                   (const char *const *) d->names.line);
  *self = d;
  return 0;
}

static int
idx_info (void *self, struct qk_dataset_info *out)
{
  const struct idx *d = self;

  image_specs_info (&d->specs, d->count, out);
  return 0;
}

static int
idx_worker_new (void *self, void **worker)
{
  return rawset_worker_new (&((const struct idx *) self)->raw, worker);
}

static int
idx_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
          void *const *input, void *const *target)
{
  const struct idx *d = self;
  const int64_t c = d->raw.channels, row = d->raw.w * c;
  struct rawset_image image;

  if (index < 0 || index >= d->count)
    return qk_error (-EINVAL, "idx: no image %lld, there are %lld",
                     (long long) index, (long long) d->count);
  if (d->labels.data[index] >= d->classes)
    return qk_error (-EBADMSG,
                     "%s: label %lld is %d, outside the %lld classes",
                     d->labels.path, (long long) index, d->labels.data[index],
                     (long long) d->classes);
  *(int32_t *) target[0] = d->labels.data[index];
  image = (struct rawset_image){ d->images.data + index * d->raw.h * row, c,
                                 row, 1 };
  rawset_deliver (&d->raw, worker, &image, rng, input[0]);
  return 0;
}

static int
idx_describe (void *self, int64_t index, char *name, size_t size,
              uint64_t *content)
{
  const struct idx *d = self;
  const size_t n = (size_t) (d->raw.h * d->raw.w * d->raw.channels);

  snprintf (name, size, "image %lld of class %d", (long long) index,
            d->labels.data[index]);
  if (content)
    *content
      = content_add (CONTENT_START, d->images.data + (size_t) index * n, n);
  return 0;
}

static int64_t
idx_category (void *self, int64_t index)
{
  const struct idx *d = self;
  const int label = d->labels.data[index];

  return label < d->classes ? label : QK_NO_CATEGORY;
}

static const struct qk_dataset_class idx = {
  .cls
  = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "idx",
              "MNIST and its kin: images and labels in IDX files", options),
  .open = idx_open,
  .close = idx_close,
  .info = idx_info,
  .worker_new = idx_worker_new,
  .worker_free = rawset_worker_free,
  .read = idx_read,
  .describe = idx_describe,
  .category = idx_category,
};

QK_PLUGIN ("idx", PACKAGE_VERSION, "LGPL-2.1-or-later", &idx.cls);
