/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list: images named in a text file, line by line, with any number of
 * targets: a path relative to the list's folder, then labels or numbers.
 *
 * Columns whose cells are all numbers, at least one with a point, are numbers
 * (together one target, f32); every other one is a label (i32), its categories
 * the different cells in the lists of both splits, in order.  A column of masks
 * names images of dense labels. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/content.h"
#include "imageset/imageset.h"
#include "split/split.h"
#include "table/table.h"

#define MAX_NUMBERS 4096

static const struct qk_option options[]
  = { { "train", QK_OPT_PATH, "", 0, 0, NULL,
        "text file that names the training images, a line each: path, then "
        "targets, separated by tabs, commas, semicolons or spaces" },
      { "val", QK_OPT_PATH, "", 0, 0, NULL,
        "the same for evaluation; empty = hold out val_share of the training "
        "images" },
      { "val_share", QK_OPT_FLOAT, "0.1", 1e-6, 0.999999, NULL,
        "share of the images held out for evaluation where val is empty, "
        "chosen by their paths" },
      { "root", QK_OPT_PATH, "", 0, 0, NULL,
        "folder that paths are relative to; empty = that of the list" },
      { "header", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "the first line names the columns" },
      { "path", QK_OPT_STRING, "", 0, 0, NULL,
        "name of the column of paths; empty = the first" },
      { "labels", QK_OPT_STRING, "", 0, 0, NULL,
        "columns that are labels although their cells are numbers" },
      { "numbers", QK_OPT_STRING, "", 0, 0, NULL,
        "columns that are numbers although none has a point" },
      { "ignore", QK_OPT_STRING, "", 0, 0, NULL,
        "columns that are no targets" },
      { "mask", QK_OPT_STRING, "", 0, 0, NULL,
        "column that names the image of each image's dense labels: grey, or "
        "with a palette, each pixel the number of its category" },
      { "mask_categories", QK_OPT_INT, "0", 0, 255, NULL,
        "categories that masks have" },
      { "mask_ignore", QK_OPT_INT, "255", -1, 255, NULL,
        "number in masks that does not count; -1 = none" },
      IMAGESET_OPTIONS,
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

enum role { ROLE_PATH, ROLE_LABEL, ROLE_NUMBER, ROLE_MASK, ROLE_NONE };

struct list {
  struct imageset images;
  struct table table[2]; /* train, val; the second may be empty */
  int which;             /* of the tables that samples are read from */
  enum role *role;       /* of each column */
  char *folder;          /* that paths are relative to */
  int path;              /* its column */
  int mask;              /* that of the masks; -1: none */
  int64_t count, *row;
  int n_labels, n_numbers;
  struct table_labels label[QK_DATASET_MAX_TENSORS];
  int number[MAX_NUMBERS]; /* columns */
  int n_targets;
  struct qk_tensor_spec image, target[QK_DATASET_MAX_TENSORS];
  char names[QK_DATASET_MAX_TENSORS][24]; /* of columns without a header */
};

/* ---- columns -----------------------------------------------------------*/

/* Whether every cell of the column is a number, and one has a point; MISSING
 * numbers are nan. */
static bool
has_numbers (const struct list *l, int column)
{
  bool point = false;
  double x;
  int64_t i;
  int k;

  for (k = 0; k < 2; k++)
    for (i = 0; i < l->table[k].rows; i++) {
      const char *cell = table_cell (&l->table[k], i, column);

      if (!table_number (cell, &x))
        return false;
      point = point || strpbrk (cell, ".eE");
    }
  return point;
}

/* A column that an option names, and what it makes of it. */
struct taking {
  struct list *l;
  enum role role;
};

static int
take_column (void *cookie, int column)
{
  const struct taking *t = cookie;

  if (column == t->l->path || column == t->l->mask)
    return qk_error (-EINVAL, "list: column %d is that of the %s", column + 1,
                     column == t->l->path ? "paths" : "masks");
  t->l->role[column] = t->role;
  return 0;
}

static int
take_roles (struct list *l, const struct qk_config *cfg)
{
  static const char *const keys[] = { "labels", "numbers", "ignore" };
  static const enum role roles[] = { ROLE_LABEL, ROLE_NUMBER, ROLE_NONE };
  char where[32];
  int i, err = 0;

  for (i = 0; err == 0 && i < 3; i++) {
    struct taking t = { l, roles[i] };

    snprintf (where, sizeof where, "list: %s", keys[i]);
    err = table_each_column (&l->table[0], qk_config_string (cfg, keys[i]),
                             where, take_column, &t);
  }
  return err;
}

static int
find_roles (struct list *l, const struct qk_config *cfg)
{
  const char *path = qk_config_string (cfg, "path");
  const char *mask = qk_config_string (cfg, "mask");
  const struct table *t = &l->table[0];
  int i;

  if (*path && (l->path = table_column (t, path)) < 0)
    return qk_error_prefix (l->path, "list: path: ");
  l->mask = -1;
  if (*mask && (l->mask = table_column (t, mask)) < 0)
    return qk_error_prefix (l->mask, "list: mask: ");
  l->role = calloc ((size_t) t->columns, sizeof *l->role);
  if (!l->role)
    return qk_oom ("list");
  for (i = 0; i < t->columns; i++)
    l->role[i] = i == l->path         ? ROLE_PATH
                 : i == l->mask       ? ROLE_MASK
                 : has_numbers (l, i) ? ROLE_NUMBER
                                      : ROLE_LABEL;
  return take_roles (l, cfg);
}

/* ---- opening -----------------------------------------------------------*/

/* What a column is called. */
static const char *
column_name (struct list *l, int column, int target)
{
  if (l->table[0].name)
    return l->table[0].name[column];
  if (l->role[column] == ROLE_MASK)
    return "mask";
  if (l->table[0].columns == 2)
    return l->role[column] == ROLE_LABEL ? "label" : "number";
  snprintf (l->names[target], sizeof l->names[target], "column%d", column + 1);
  return l->names[target];
}

/* The masks are the last target. */
static int
set_masks (struct list *l, const struct qk_config *cfg)
{
  struct qk_tensor_spec *s = &l->target[l->n_targets];

  if (l->mask < 0)
    return 0;
  if (l->mask == l->path)
    return qk_error (-EINVAL, "list: mask (%s) is the column of the paths",
                     qk_config_where (cfg, "mask"));
  if (qk_config_int (cfg, "mask_categories") < 1)
    return qk_error (-EINVAL,
                     "list: mask (%s) is given and mask_categories is "
                     "not: how many are there?",
                     qk_config_where (cfg, "mask"));
  if (l->images.changes.policy != AUGMENT_NONE)
    return qk_error (-EINVAL,
                     "list: auto_augment (%s) does not work with masks, which "
                     "it would not move",
                     qk_config_where (cfg, "auto_augment"));
  if (l->n_targets == QK_DATASET_MAX_TENSORS)
    return qk_error (-E2BIG, "list: more than %d targets",
                     QK_DATASET_MAX_TENSORS);
  l->images.masks.categories = qk_config_int (cfg, "mask_categories");
  l->images.masks.ignore = (int) qk_config_int (cfg, "mask_ignore");
  s->name = column_name (l, l->mask, l->n_targets++);
  s->dtype = QK_I32;
  s->shape = (struct qk_shape){ 3, { 1, l->images.crop.h, l->images.crop.w } };
  s->categories = l->images.masks.categories;
  return 0;
}

/* A target for each column of labels, and one for all numbers. */
static int
set_targets (struct list *l)
{
  const struct table *t = &l->table[0];
  int i, err = 0;

  for (i = 0; err == 0 && i < t->columns; i++) {
    struct qk_tensor_spec *s = &l->target[l->n_targets];

    if (l->role[i] == ROLE_NUMBER && l->n_numbers == MAX_NUMBERS)
      return qk_error (-E2BIG, "list: more than %d columns of numbers",
                       MAX_NUMBERS);
    if (l->role[i] == ROLE_NUMBER)
      l->number[l->n_numbers++] = i;
    if (l->role[i] != ROLE_LABEL)
      continue;
    if (l->n_targets == QK_DATASET_MAX_TENSORS - 1)
      return qk_error (-E2BIG, "list: more than %d columns of labels",
                       QK_DATASET_MAX_TENSORS - 1);
    err = table_labels_find (t, &l->table[1], i, &l->label[l->n_labels]);
    s->name = column_name (l, i, l->n_targets);
    s->dtype = QK_I32;
    s->shape = (struct qk_shape){ 1, { 1 } };
    s->categories = l->label[l->n_labels].n;
    s->category = (const char *const *) l->label[l->n_labels].name;
    l->n_labels++;
    l->n_targets++;
  }
  if (err == 0 && l->n_numbers > 0) {
    struct qk_tensor_spec *s = &l->target[l->n_targets];

    s->name = l->n_numbers == 1 ? column_name (l, l->number[0], l->n_targets)
                                : "numbers";
    s->dtype = QK_F32;
    s->shape = (struct qk_shape){ 2, { 1, l->n_numbers } };
    l->n_targets++;
  }
  return err;
}

static int
read_tables (struct list *l, const struct qk_config *cfg)
{
  static const char *const keys[] = { "train", "val" };
  int k, err = 0;

  for (k = 0; err == 0 && k < 2; k++) {
    const char *path = qk_config_string (cfg, keys[k]);

    if (*path == 0 && k == 1)
      break;
    if (*path == 0)
      return qk_error (-EINVAL, "list: the option train is not given: which "
                                "images?");
    err = table_read (path, &l->table[k]);
    if (err == 0 && qk_config_bool (cfg, "header"))
      err = table_take_header (&l->table[k]);
  }
  if (err == 0 && l->table[1].path)
    err = table_check_same (&l->table[0], &l->table[1]);
  return err;
}

/* The folder of the list that is read, or root. */
static int
find_folder (struct list *l, const struct qk_config *cfg)
{
  const char *root = qk_config_string (cfg, "root");
  const char *list = l->table[l->which].path;
  const char *slash = strrchr (list, '/');

  l->folder = *root ? strdup (root)
              : slash
                ? strndup (list, slash == list ? 1 : (size_t) (slash - list))
                : strdup ("");
  return l->folder ? 0 : qk_oom ("list");
}

static int
choose_rows (struct list *l, const struct qk_config *cfg, int split)
{
  const bool own = l->table[1].path != NULL;
  const double share = qk_config_float (cfg, "val_share");
  const struct table *t;
  int64_t i;

  l->which = own && split == 1;
  t = &l->table[l->which];
  l->row = malloc ((size_t) (t->rows + 1) * sizeof *l->row);
  if (!l->row)
    return qk_oom ("list: %lld images", (long long) t->rows);
  for (i = 0; split >= 0 && i < t->rows; i++)
    if (own
        || split_held_out (split_key (table_cell (t, i, l->path)), share)
             == (split == 1))
      l->row[l->count++] = i;
  if (split >= 0 && l->count == 0)
    return qk_error (-EINVAL, "list: %s leaves no images for %s", t->path,
                     split == 1 ? "evaluation" : "training");
  return 0;
}

static void
list_close (void *self)
{
  struct list *l = self;
  int i;

  if (!l)
    return;
  for (i = 0; i < l->n_labels; i++)
    table_labels_clear (&l->label[i]);
  table_clear (&l->table[0]);
  table_clear (&l->table[1]);
  free (l->role);
  free (l->folder);
  free (l->row);
  free (l);
}

static int
list_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
           void **self)
{
  struct list *l = calloc (1, sizeof *l);
  const int split = split_parse (req->split, "list");
  int err;

  if (!l)
    return qk_oom ("list");
  err = split == -EINVAL
          ? split
          : imageset_configure (&l->images, "list", cfg, req->augment);
  /* to read a file of the user's no list is needed */
  if (err == 0 && (split >= 0 || *qk_config_string (cfg, "train"))) {
    err = read_tables (l, cfg);
    if (err == 0)
      err = find_roles (l, cfg);
    if (err == 0)
      err = set_targets (l);
    if (err == 0)
      err = set_masks (l, cfg);
    if (err == 0)
      err = choose_rows (l, cfg, split);
    if (err == 0)
      err = find_folder (l, cfg);
    if (err == -ENOENT && split < 0) {
      for (int i = 0; i < l->n_labels; i++)
        table_labels_clear (&l->label[i]);
      l->n_labels = l->n_targets = l->n_numbers = 0;
      l->images.masks.categories = 0;
      err = 0;
    }
  }
  if (err) {
    list_close (l);
    return err;
  }
  l->image.name = "image";
  l->image.dtype = QK_F32;
  l->image.shape = (struct qk_shape){
    4, { 1, l->images.crop.h, l->images.crop.w, l->images.pixels.channels }
  };
  *self = l;
  return 0;
}

static int
list_info (void *self, struct qk_dataset_info *out)
{
  const struct list *l = self;

  out->count = l->count;
  out->n_inputs = 1;
  out->input = &l->image;
  out->n_targets = l->n_targets;
  out->target = l->target;
  return 0;
}

/* ---- reading -----------------------------------------------------------*/

static int
list_worker_new (void *self, void **worker)
{
  const struct list *l = self;

  return imageset_worker_new (&l->images, worker);
}

static int
read_targets (const struct list *l, int64_t row, void *const *target)
{
  const struct table *t = &l->table[l->which];
  float *numbers = l->n_numbers > 0 ? target[l->n_labels] : NULL;
  double x;
  int i;

  for (i = 0; i < l->n_labels; i++)
    *(int32_t *) target[i] = table_labels_number (
      &l->label[i], table_cell (t, row, l->label[i].column));
  for (i = 0; i < l->n_numbers; i++) {
    const char *cell = table_cell (t, row, l->number[i]);

    if (!table_number (cell, &x) || !isfinite (x))
      return qk_error (-EBADMSG,
                       "%s:%lld: column %d is '%.60s', expected a "
                       "number",
                       t->path, (long long) t->line[row], l->number[i] + 1,
                       cell);
    numbers[i] = (float) x;
  }
  return 0;
}

static int
list_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
           void *const *input, void *const *target)
{
  const struct list *l = self;
  const struct table *t = &l->table[l->which];
  int64_t row;
  char *path, *mask = NULL;
  int err;

  if (index < 0 || index >= l->count)
    return qk_error (-EINVAL, "list: no image %lld, there are %lld",
                     (long long) index, (long long) l->count);
  row = l->row[index];
  err = read_targets (l, row, target);
  if (err)
    return err;
  path = path_within (l->folder, table_cell (t, row, l->path));
  if (l->images.masks.categories > 0)
    mask = path_within (l->folder, table_cell (t, row, l->mask));
  if (!path || (!mask && l->images.masks.categories > 0))
    err = qk_oom ("list");
  else if (mask)
    err = imageset_read_masked (&l->images, worker, path, mask, rng, input[0],
                                target[l->n_targets - 1]);
  else
    err = imageset_read (&l->images, worker, path, rng, input[0]);
  free (path);
  free (mask);
  if (err && err != -ENOMEM) /* also for a missing file: it is counted */
    return qk_error_prefix (-EBADMSG, "%s:%lld: ", t->path,
                            (long long) t->line[row]);
  return err;
}

static int
list_read_file (void *self, void *worker, const char *path, void *const *input)
{
  const struct list *l = self;

  return imageset_read (&l->images, worker, path, NULL, input[0]);
}

static int
list_read_array (void *self, void *worker,
                 const struct qk_sample_array *sample, void *const *input)
{
  const struct list *l = self;

  return imageset_read_array (&l->images, worker, sample, input[0]);
}

/* The number of the file that a cell names, after H. */
static int
add_content (const struct list *l, int64_t row, int column, uint64_t *h)
{
  char *path
    = path_within (l->folder, table_cell (&l->table[l->which], row, column));
  uint64_t content;

  if (!path)
    return qk_oom ("list");
  content = content_of_file (path);
  *h = content_add (*h, &content, sizeof content);
  free (path);
  return 0;
}

/* The path and the targets. */
static int
list_describe (void *self, int64_t index, char *name, size_t size,
               uint64_t *content)
{
  const struct list *l = self;
  const struct table *t = &l->table[l->which];
  const int64_t row = l->row[index];
  size_t at = 0;
  int i, r;

  table_append_cell (t, row, l->path, name, size, &at);
  for (i = 0; i < t->columns; i++)
    if (l->role[i] != ROLE_PATH && l->role[i] != ROLE_NONE)
      table_append_cell (t, row, i, name, size, &at);
  if (!content)
    return 0;
  *content = CONTENT_START;
  r = add_content (l, row, l->path, content);
  if (r == 0 && l->mask >= 0)
    r = add_content (l, row, l->mask, content);
  return r;
}

static int64_t
list_category (void *self, int64_t index)
{
  const struct list *l = self;

  return l->n_labels == 0
           ? QK_NO_CATEGORY
           : table_labels_number (
             &l->label[0], table_cell (&l->table[l->which], l->row[index],
                                       l->label[0].column));
}

static const struct qk_dataset_class list = {
  .cls
  = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "list",
              "Images named in a text file, with labels and numbers", options),
  .open = list_open,
  .close = list_close,
  .info = list_info,
  .worker_new = list_worker_new,
  .worker_free = imageset_worker_free,
  .read = list_read,
  .read_file = list_read_file,
  .read_array = list_read_array,
  .describe = list_describe,
  .category = list_category,
};

QK_PLUGIN ("list", PACKAGE_VERSION, "LGPL-2.1-or-later", &list.cls);
