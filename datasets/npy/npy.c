/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* npy: samples in NumPy's arrays, .npy or .npz; the first axis counts them.
 *
 * Inputs become f32: (x * scale - mean) / std, in float.  Targets are f32, or
 * i32 where their numbers stand for categories.  Where no arrays are given
 * for evaluation, a share of the training samples is held out, chosen by
 * their number alone. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/content.h"
#include "fields.h"
#include "split/split.h"
#include "textfile/textfile.h"

#define MAX_CHANNELS 4096

static const struct qk_option options[] = {
  { "root", QK_OPT_PATH, "", 0, 0, NULL,
    "folder that the files are in, unless absolute" },
  { "inputs", QK_OPT_STRING, "", 0, 0, NULL,
    "arrays of the training inputs, separated by commas: FILE, NAME = "
    "FILE or NAME = FILE.npz:ARRAY" },
  { "targets", QK_OPT_STRING, "", 0, 0, NULL,
    "arrays of the training targets, in the same way; empty = no targets" },
  { "val_inputs", QK_OPT_STRING, "", 0, 0, NULL,
    "arrays of the inputs for evaluation; empty = hold out val_share of "
    "the training samples" },
  { "val_targets", QK_OPT_STRING, "", 0, 0, NULL,
    "arrays of the targets for evaluation" },
  { "val_share", QK_OPT_FLOAT, "0.1", 1e-6, 0.999999, NULL,
    "share of the samples held out for evaluation where val_inputs is "
    "empty" },
  { "layout", QK_OPT_STRING, "as-is", 0, 0, NULL,
    "axes of the inputs, one word for all or one each: as-is, nhwc, nchw "
    "(channels become the last axis) or nhw (one channel is added)" },
  { "scale", QK_OPT_FLOAT, "1", -1e30, 1e30, NULL,
    "inputs are multiplied by, before mean and std" },
  { "mean", QK_OPT_FLOATS, "0", -1e30, 1e30, NULL,
    "subtracted from the inputs: one number or one for each channel" },
  { "std", QK_OPT_FLOATS, "1", 1e-30, 1e30, NULL,
    "the inputs are then divided by: one number or one for each channel" },
  { "categories", QK_OPT_INT, "-1", -1, 1e9, NULL,
    "categories that targets of whole numbers stand for; -1 = as many as "
    "their largest number says, 0 = they are numbers" },
  { "names", QK_OPT_PATH, "", 0, 0, NULL,
    "text file with the names of the categories, one a line" },
  { "ignore", QK_OPT_INT, "-1", -2147483648., 2147483647, NULL,
    "number of a target that does not count" },
  { "mmap", QK_OPT_BOOL, "yes", 0, 0, NULL,
    "map .npy files instead of reading them into memory; they must not be "
    "changed while in use" },
  { "limit", QK_OPT_INT, "0", 0, 1e12, NULL,
    "use only so many samples of each split; 0 = all" },
  { NULL, 0, NULL, 0, 0, NULL, NULL }
};

struct npy_data {
  struct fields input, target;
  struct qk_tensor_spec input_spec[QK_DATASET_MAX_TENSORS];
  struct qk_tensor_spec target_spec[QK_DATASET_MAX_TENSORS];
  struct text_lines names;
  int64_t count, *row; /* rows of the split; NULL: all of them */
  float scale;
  float mean[MAX_CHANNELS], std[MAX_CHANNELS];
  int n_mean, n_std;
  int64_t ignore;
};

/* ---- opening ---------------------------------------------------------*/

static int
open_arrays (struct npy_data *d, const struct qk_config *cfg, bool val)
{
  const char *root = qk_config_string (cfg, "root");
  const char *in = val ? "val_inputs" : "inputs";
  const char *target = val ? "val_targets" : "targets";
  const bool mapped = qk_config_bool (cfg, "mmap");
  int err;

  if (*qk_config_string (cfg, in) == 0)
    return qk_error (-EINVAL,
                     "npy: the option %s is not given: where are the "
                     "arrays?",
                     in);
  err = fields_open (&d->input, qk_config_string (cfg, in), root, in, mapped);
  if (err == 0)
    err = fields_open (&d->target, qk_config_string (cfg, target), root,
                       target, mapped);
  if (err == 0)
    err = fields_arrange (&d->input, qk_config_string (cfg, "layout"));
  if (err == 0)
    err = fields_count (&d->input, &d->target, &d->count);
  return err;
}

/* Keep the rows of the split where both come from the same arrays. */
static int
choose_rows (struct npy_data *d, double share, bool val)
{
  int64_t i, n = 0;

  d->row = malloc (((size_t) d->count + 1) * sizeof *d->row);
  if (d->row == NULL)
    return qk_oom ("npy: %lld samples", (long long) d->count);
  for (i = 0; i < d->count; i++)
    if (split_held_out ((uint64_t) i, share) == val)
      d->row[n++] = i;
  if (n == 0)
    return qk_error (
      -EINVAL, "npy: val_share = %g of %lld samples leaves none for %s", share,
      (long long) d->count, val ? "evaluation" : "training");
  d->count = n;
  return 0;
}

static int
open_split (struct npy_data *d, const struct qk_config *cfg, const char *split)
{
  const int number = split_parse (split, "npy");
  const bool val = number == 1;
  const bool own = *qk_config_string (cfg, "val_inputs") != 0;
  const int64_t limit = qk_config_int (cfg, "limit");
  int err;

  if (number == -EINVAL)
    return number;
  if (!own && *qk_config_string (cfg, "val_targets") != 0)
    return qk_error (-EINVAL, "npy: val_targets (%s) without val_inputs",
                     qk_config_where (cfg, "val_targets"));
  err = open_arrays (d, cfg, val && own);
  if (err == 0 && split != NULL && !own)
    err = choose_rows (d, qk_config_float (cfg, "val_share"), val);
  if (limit > 0 && d->count > limit)
    d->count = limit;
  return err;
}

/* ---- targets ---------------------------------------------------------*/

/* One more than the largest number in F, which are 0 or more, or IGNORE. */
static int
count_categories (const struct field *f, int64_t ignore, int64_t *out)
{
  int64_t *x = malloc ((size_t) f->size * sizeof *x), row, i;
  int err = x == NULL ? qk_oom ("npy: %s", f->where) : 0;

  *out = 0;
  for (row = 0; err == 0 && row < f->array.shape.dims[0]; row++) {
    const struct npy_box box = field_box (f, row);

    npy_integers (&f->array, &box, x);
    for (i = 0; err == 0 && i < f->size; i++) {
      char what[120];

      if (x[i] == ignore || x[i] == QK_NO_CATEGORY)
        continue;
      if (x[i] >= *out)
        *out = x[i] + 1;
      if (x[i] >= 0 && x[i] < INT32_MAX)
        continue;
      snprintf (what, sizeof what,
                "is %lld, which is no category; set categories = 0 if the "
                "targets are numbers",
                (long long) x[i]);
      err = field_bad_element (f, row, i, what);
      err = qk_error_prefix (-EINVAL, "npy: ");
    }
  }
  free (x);
  return err;
}

/* Categories of target I as the numbers of both splits say, so that they
 * agree about them. */
static int
find_categories (struct npy_data *d, const struct qk_config *cfg, int i,
                 int64_t *out)
{
  static const char *const lists[] = { "targets", "val_targets" };
  struct fields f = { 0 };
  int64_t most = 0, n = 0;
  int k, err = 0;

  for (k = 0; err == 0 && k < 2; k++) {
    if (*qk_config_string (cfg, lists[k]) == 0)
      continue;
    err = fields_open (&f, qk_config_string (cfg, lists[k]),
                       qk_config_string (cfg, "root"), lists[k],
                       qk_config_bool (cfg, "mmap"));
    if (err == 0 && i < f.n && f.field[i].array.type.kind != 'f')
      err = count_categories (&f.field[i], d->ignore, &n);
    if (n > most)
      most = n;
    fields_clear (&f);
  }
  *out = most;
  return err;
}

static int
set_target (struct npy_data *d, const struct qk_config *cfg, int i)
{
  const struct field *f = &d->target.field[i];
  struct qk_tensor_spec *s = &d->target_spec[i];
  int64_t categories = qk_config_int (cfg, "categories");
  int err = 0;

  s->name = f->name;
  s->shape = field_shape (f);
  s->dtype = QK_F32;
  if (f->array.type.kind == 'f' || categories == 0)
    return 0;
  if (categories < 0)
    err = find_categories (d, cfg, i, &categories);
  s->dtype = QK_I32;
  s->categories = categories;
  return err;
}

/* The names of the categories of the first target that has any. */
static int
set_names (struct npy_data *d, const struct qk_config *cfg)
{
  char *path;
  int i = 0, err;

  if (*qk_config_string (cfg, "names") == 0)
    return 0;
  path = path_within (qk_config_string (cfg, "root"),
                      qk_config_string (cfg, "names"));
  if (path == NULL)
    return qk_oom ("npy");
  err = text_names_read (path, &d->names);
  while (i < d->target.n && d->target_spec[i].categories == 0)
    i++;
  if (err == 0 && i == d->target.n)
    err = qk_error (-EINVAL, "npy: names (%s): no target has categories",
                    qk_config_where (cfg, "names"));
  if (err == 0 && d->names.n < d->target_spec[i].categories)
    err = qk_error (-EINVAL,
                    "npy: %s: %lld names, target '%s' has %lld categories",
                    path, (long long) d->names.n, d->target_spec[i].name,
                    (long long) d->target_spec[i].categories);
  if (err == 0) {
    d->target_spec[i].categories = d->names.n;
    d->target_spec[i].category = (const char *const *) d->names.line;
  }
  free (path);
  return err;
}

/* ---- inputs ----------------------------------------------------------*/

static int
check_channels (const struct npy_data *d, const struct qk_config *cfg,
                const char *name, int n)
{
  int i;

  for (i = 0; i < d->input.n; i++) {
    const struct npy_box *b = &d->input.field[i].sample;
    const int64_t channels = b->dims[b->ndim - 1];

    if (n != 1 && n != channels)
      return qk_error (-EINVAL,
                       "npy: %s (%s) has %d numbers, expected one or one for "
                       "each of the %lld channels of input '%s'",
                       name, qk_config_where (cfg, name), n,
                       (long long) channels, d->input.field[i].name);
  }
  return 0;
}

static int
set_inputs (struct npy_data *d, const struct qk_config *cfg)
{
  int i, err;

  d->scale = (float) qk_config_float (cfg, "scale");
  d->n_mean = qk_config_floats (cfg, "mean", d->mean, MAX_CHANNELS);
  d->n_std = qk_config_floats (cfg, "std", d->std, MAX_CHANNELS);
  for (i = 0; i < d->input.n; i++) {
    d->input_spec[i].name = d->input.field[i].name;
    d->input_spec[i].dtype = QK_F32;
    d->input_spec[i].shape = field_shape (&d->input.field[i]);
  }
  err = check_channels (d, cfg, "mean", d->n_mean);
  return err < 0 ? err : check_channels (d, cfg, "std", d->n_std);
}

static void
npy_data_close (void *self)
{
  struct npy_data *d = self;

  if (d == NULL)
    return;
  fields_clear (&d->input);
  fields_clear (&d->target);
  text_lines_clear (&d->names);
  free (d->row);
  free (d);
}

static int
npy_data_open (const struct qk_config *cfg,
               const struct qk_dataset_request *req, void **self)
{
  struct npy_data *d = calloc (1, sizeof *d);
  int i, err;

  if (d == NULL)
    return qk_oom ("npy");
  d->ignore = qk_config_int (cfg, "ignore");
  err = open_split (d, cfg, req->split);
  if (err == 0)
    err = set_inputs (d, cfg);
  for (i = 0; err == 0 && i < d->target.n; i++)
    err = set_target (d, cfg, i);
  if (err == 0)
    err = set_names (d, cfg);
  if (err < 0)
    npy_data_close (d);
  else
    *self = d;
  return err;
}

static int
npy_data_info (void *self, struct qk_dataset_info *out)
{
  struct npy_data *d = self;

  out->count = d->count;
  out->n_inputs = d->input.n;
  out->n_targets = d->target.n;
  out->input = d->input_spec;
  out->target = d->target_spec;
  return 0;
}

/* ---- reading ---------------------------------------------------------*/

static int
check_finite (const struct field *f, int64_t row, const float *x)
{
  int64_t i;

  for (i = 0; i < f->size; i++)
    if (!isfinite (x[i])) {
      char what[40];

      snprintf (what, sizeof what, "is %g", (double) x[i]);
      return field_bad_element (f, row, i, what);
    }
  return 0;
}

static int
read_floats (const struct field *f, int64_t row, float *out)
{
  const struct npy_box box = field_box (f, row);

  npy_floats (&f->array, &box, out);
  return f->array.type.kind == 'f' ? check_finite (f, row, out) : 0;
}

static void
normalise (const struct npy_data *d, int64_t n, float *x)
{
  int64_t i;
  int m = 0, s = 0;

  if (d->scale == 1.0f && d->n_mean == 1 && d->n_std == 1 && d->mean[0] == 0.0f
      && d->std[0] == 1.0f)
    return;
  for (i = 0; i < n; i++) {
    x[i] = (x[i] * d->scale - d->mean[m]) / d->std[s];
    m = m + 1 < d->n_mean ? m + 1 : 0;
    s = s + 1 < d->n_std ? s + 1 : 0;
  }
}

/* Categories of a sample; BUF holds its numbers. */
static int
read_categories (const struct npy_data *d, int i, int64_t row, int64_t *buf,
                 int32_t *out)
{
  const struct field *f = &d->target.field[i];
  const struct npy_box box = field_box (f, row);
  const int64_t most = d->target_spec[i].categories;
  char what[120];
  int64_t k;

  npy_integers (&f->array, &box, buf);
  for (k = 0; k < f->size; k++) {
    if (buf[k] == d->ignore)
      buf[k] = QK_NO_CATEGORY;
    if (buf[k] != QK_NO_CATEGORY && (buf[k] < 0 || buf[k] >= most)) {
      snprintf (what, sizeof what,
                "is %lld, outside the %lld categories (0 to %lld)",
                (long long) buf[k], (long long) most, (long long) most - 1);
      return field_bad_element (f, row, k, what);
    }
    out[k] = (int32_t) buf[k];
  }
  return 0;
}

/* Room for the numbers of a sample of the largest target. */
static int
npy_data_worker_new (void *self, void **worker)
{
  const struct npy_data *d = self;
  int64_t most = 1;
  int i;

  for (i = 0; i < d->target.n; i++)
    if (d->target.field[i].size > most)
      most = d->target.field[i].size;
  *worker = malloc ((size_t) most * sizeof (int64_t));
  return *worker == NULL ? qk_oom ("npy") : 0;
}

static void
npy_data_worker_free (void *worker)
{
  free (worker);
}

static int
npy_data_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
               void *const *input, void *const *target)
{
  const struct npy_data *d = self;
  int64_t row;
  int i, err = 0;

  (void) rng;
  if (index < 0 || index >= d->count)
    return qk_error (-EINVAL, "npy: no sample %lld, there are %lld",
                     (long long) index, (long long) d->count);
  row = d->row != NULL ? d->row[index] : index;
  for (i = 0; err == 0 && i < d->input.n; i++) {
    err = read_floats (&d->input.field[i], row, input[i]);
    if (err == 0)
      normalise (d, d->input.field[i].size, input[i]);
  }
  for (i = 0; err == 0 && i < d->target.n; i++)
    err = d->target_spec[i].dtype == QK_I32
            ? read_categories (d, i, row, worker, target[i])
            : read_floats (&d->target.field[i], row, target[i]);
  return err;
}

static int64_t
npy_data_category (void *self, int64_t index)
{
  const struct npy_data *d = self;
  struct npy_box box;
  int64_t label;
  int i;

  for (i = 0; i < d->target.n && d->target_spec[i].categories == 0; i++)
    continue;
  if (i == d->target.n || d->target.field[i].size != 1)
    return QK_NO_CATEGORY;
  box
    = field_box (&d->target.field[i], d->row != NULL ? d->row[index] : index);
  npy_integers (&d->target.field[i].array, &box, &label);
  return label >= 0 && label < d->target_spec[i].categories
             && label != d->ignore
           ? label
           : QK_NO_CATEGORY;
}

/* ---- what a sample is ------------------------------------------------*/

/* The numbers of sample ROW in F, after H. */
static int
add_content (const struct field *f, int64_t row, uint64_t *h)
{
  const bool real = f->array.type.kind == 'f';
  const size_t n
    = (size_t) f->size * (real ? sizeof (float) : sizeof (int64_t));
  const struct npy_box box = field_box (f, row);
  void *x = malloc (n + 1);

  if (x == NULL)
    return qk_oom ("npy: %s", f->where);
  if (real)
    npy_floats (&f->array, &box, x);
  else
    npy_integers (&f->array, &box, x);
  *h = content_add (*h, x, n);
  free (x);
  return 0;
}

static int
npy_data_describe (void *self, int64_t index, char *name, size_t size,
                   uint64_t *content)
{
  const struct npy_data *d = self;
  const int64_t row = d->row != NULL ? d->row[index] : index;
  const int64_t category = npy_data_category (self, index);
  int i, r = 0;

  if (category == QK_NO_CATEGORY)
    snprintf (name, size, "sample %lld", (long long) row);
  else
    snprintf (name, size, "sample %lld of category %lld", (long long) row,
              (long long) category);
  if (content == NULL)
    return 0;
  *content = CONTENT_START;
  for (i = 0; r == 0 && i < d->input.n; i++)
    r = add_content (&d->input.field[i], row, content);
  for (i = 0; r == 0 && i < d->target.n; i++)
    r = add_content (&d->target.field[i], row, content);
  return r;
}

/* ---- files of the user's ---------------------------------------------*/

static int
npy_data_read_file (void *self, void *worker, const char *path,
                    void *const *input)
{
  const struct npy_data *d = self;
  struct npy_file *f = NULL;
  int i, err = npy_open (path, true, &f);

  (void) worker;
  for (i = 0; err == 0 && i < d->input.n; i++) {
    struct field one;

    err = field_single (&d->input.field[i], f, path, d->input.n == 1, &one);
    if (err == 0)
      err = read_floats (&one, 0, input[i]);
    if (err == 0)
      normalise (d, d->input.field[i].size, input[i]);
  }
  npy_close (f);
  return err;
}

static const struct qk_dataset_class npy_data = {
  .cls = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "npy",
                   "Samples in arrays of NumPy, .npy or .npz", options),
  .open = npy_data_open,
  .close = npy_data_close,
  .info = npy_data_info,
  .worker_new = npy_data_worker_new,
  .worker_free = npy_data_worker_free,
  .read = npy_data_read,
  .read_file = npy_data_read_file,
  .describe = npy_data_describe,
  .category = npy_data_category,
};

QK_PLUGIN ("npy", PACKAGE_VERSION, "LGPL-2.1-or-later", &npy_data.cls);
