/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* csv: rows of a table of numbers; some columns are targets, all others
 * together are the input.
 *
 * features f32 (1,K): (x - mean) / std of each column over the training
 * samples, std of the whole population; a column that never changes is only
 * centred.  Mean and std become options of the model's configuration. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/dataset.h>

#include "content/content.h"
#include "split/split.h"
#include "table/table.h"

#define MAX_FEATURES 4096
#define MAX_CELLS 200 /* bytes of a row in the list of samples */

static const struct qk_option options[]
  = { { "train", QK_OPT_PATH, "", 0, 0, NULL,
        "text file of the training samples, a line each, its first line the "
        "names of the columns" },
      { "val", QK_OPT_PATH, "", 0, 0, NULL,
        "the same for evaluation; empty = hold out val_share of the training "
        "samples" },
      { "val_share", QK_OPT_FLOAT, "0.1", 1e-6, 0.999999, NULL,
        "share of the samples held out for evaluation where val is empty, "
        "chosen by their number" },
      { "labels", QK_OPT_STRING, "", 0, 0, NULL,
        "columns that are targets and name a category, separated by commas" },
      { "numbers", QK_OPT_STRING, "", 0, 0, NULL,
        "columns that are numbers to be found, together one target" },
      { "ignore", QK_OPT_STRING, "", 0, 0, NULL, "columns that are left out" },
      { "features", QK_OPT_STRING, "", 0, 0, NULL,
        "columns of the input, in this order; empty = all that are left" },
      { "standardise", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "subtract the mean of each feature and divide by its standard "
        "deviation" },
      { "mean", QK_OPT_FLOATS, "", 0, 0, NULL,
        "of each feature; empty = of the training samples" },
      { "std", QK_OPT_FLOATS, "", 0, 0, NULL,
        "of each feature; empty = of the training samples" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

enum role { ROLE_FEATURE, ROLE_LABEL, ROLE_NUMBER, ROLE_NONE };

struct csv {
  struct table table[2]; /* train, val; the second may be empty */
  int which;             /* of the tables that samples are read from */
  int64_t count, *row;
  enum role *role; /* of each column */
  double share;    /* held out; 0: there is a table for evaluation */
  int n_features, n_numbers, n_labels;
  char *feature_name[MAX_FEATURES];                /* owned */
  int feature[MAX_FEATURES], number[MAX_FEATURES]; /* columns */
  struct table_labels label[QK_DATASET_MAX_TENSORS];
  float mean[MAX_FEATURES], std[MAX_FEATURES];
  bool found; /* mean and std come from the data */
  struct qk_tensor_spec features, target[QK_DATASET_MAX_TENSORS];
  int n_targets;
};

/* ---- columns -----------------------------------------------------------*/

static int
add_feature (void *cookie, int column)
{
  struct csv *c = cookie;
  if (c->n_features == MAX_FEATURES)
    return qk_error (-E2BIG, "csv: more than %d features", MAX_FEATURES);
  c->feature[c->n_features] = column;
  c->feature_name[c->n_features] = strdup (c->table[0].name[column]);
  if (!c->feature_name[c->n_features])
    return qk_oom ("csv");
  c->n_features++;
  return 0;
}

static int
add_number (void *cookie, int column)
{
  struct csv *c = cookie;
  if (c->n_numbers == MAX_FEATURES)
    return qk_error (-E2BIG, "csv: more than %d numbers", MAX_FEATURES);
  c->role[column] = ROLE_NUMBER;
  c->number[c->n_numbers++] = column;
  return 0;
}

static int
add_label (void *cookie, int column)
{
  struct csv *c = cookie;
  struct table_labels *l = &c->label[c->n_labels];
  struct qk_tensor_spec *s = &c->target[c->n_targets];
  int err;

  if (c->n_labels == QK_DATASET_MAX_TENSORS - 1)
    return qk_error (-E2BIG, "csv: more than %d labels",
                     QK_DATASET_MAX_TENSORS - 1);
  c->role[column] = ROLE_LABEL;
  c->n_labels++;
  c->n_targets++;
  err = table_labels_find (&c->table[0], &c->table[1], column, l);
  s->name = c->table[0].name[column];
  s->dtype = QK_I32;
  s->shape = (struct qk_shape){ 1, { 1 } };
  s->categories = l->n;
  s->category = (const char *const *) l->name;
  return err;
}

static int
add_nothing (void *cookie, int column)
{
  struct csv *c = cookie;
  c->role[column] = ROLE_NONE;
  return 0;
}

static int
find_columns (struct csv *c, const struct qk_config *cfg)
{
  int i, err;

  c->role = calloc ((size_t) c->table[0].columns, sizeof *c->role);
  if (!c->role)
    return qk_oom ("csv");
  err = table_each_column (&c->table[0], qk_config_string (cfg, "labels"),
                           "csv: labels", add_label, c);
  if (err == 0)
    err = table_each_column (&c->table[0], qk_config_string (cfg, "numbers"),
                             "csv: numbers", add_number, c);
  if (err == 0)
    err = table_each_column (&c->table[0], qk_config_string (cfg, "ignore"),
                             "csv: ignore", add_nothing, c);
  if (err == 0)
    err = table_each_column (&c->table[0], qk_config_string (cfg, "features"),
                             "csv: features", add_feature, c);
  for (i = 0; err == 0 && *qk_config_string (cfg, "features") == 0
              && i < c->table[0].columns;
       i++)
    if (c->role[i] == ROLE_FEATURE)
      err = add_feature (c, i);
  for (i = 0; err == 0 && i < c->n_features; i++)
    if (c->role[c->feature[i]] == ROLE_LABEL
        || c->role[c->feature[i]] == ROLE_NUMBER)
      err = qk_error (-EINVAL, "csv: column '%s' is a target and a feature",
                      c->feature_name[i]);
  if (err == 0 && c->n_features == 0)
    err = qk_error (-EINVAL, "csv: %s: no column is left to be a feature",
                    c->table[0].path);
  if (err == 0 && c->n_numbers > 0) {
    struct qk_tensor_spec *s = &c->target[c->n_targets++];

    s->name = c->n_numbers == 1 ? c->table[0].name[c->number[0]] : "numbers";
    s->dtype = QK_F32;
    s->shape = (struct qk_shape){ 2, { 1, c->n_numbers } };
  }
  return err;
}

/* ---- cells -------------------------------------------------------------*/

static int
read_cell (const struct table *t, int64_t row, int column, double *out)
{
  const char *cell = table_cell (t, row, column);

  if (table_number (cell, out) && isfinite (*out))
    return 0;
  return qk_error (-EBADMSG,
                   "%s:%lld: column '%s' is '%.60s', expected a "
                   "number",
                   t->path, (long long) t->line[row], t->name[column], cell);
}

/* ---- statistics --------------------------------------------------------*/

static bool
trains (const struct csv *c, int64_t row)
{
  return c->share == 0.0 || !split_held_out ((uint64_t) row, c->share);
}

/* Over the training samples; cells that are no numbers are left out, as their
 * samples will be. */
static void
find_statistics (struct csv *c)
{
  const struct table *t = &c->table[0];
  int64_t i, n;
  int k, pass;

  for (k = 0; k < c->n_features; k++) {
    double sum[2] = { 0, 0 }, mean = 0, x;

    for (pass = 0; pass < 2; pass++) {
      for (i = 0, n = 0; i < t->rows; i++)
        if (trains (c, i) && read_cell (t, i, c->feature[k], &x) == 0) {
          sum[pass] += pass == 0 ? x : (x - mean) * (x - mean);
          n++;
        }
      if (n > 0)
        sum[pass] /= (double) n;
      mean = sum[0];
    }
    c->mean[k] = (float) mean;
    c->std[k] = sum[1] > 0 ? (float) sqrt (sum[1]) : 1.0f;
  }
  c->found = true;
}

static int
take_statistics (struct csv *c, const struct qk_config *cfg)
{
  const int n_mean = qk_config_floats (cfg, "mean", c->mean, MAX_FEATURES);
  const int n_std = qk_config_floats (cfg, "std", c->std, MAX_FEATURES);
  int k;

  if (!qk_config_bool (cfg, "standardise")) {
    for (k = 0; k < c->n_features; k++) {
      c->mean[k] = 0;
      c->std[k] = 1;
    }
    return 0;
  }
  if (n_mean == 0 && n_std == 0 && c->table[0].path) {
    find_statistics (c);
    return 0;
  }
  if (n_mean != c->n_features || n_std != c->n_features)
    return qk_error (
      -EINVAL,
      "csv: mean (%s) has %d numbers, std (%s) %d, expected one "
      "for each of the %d features",
      qk_config_where (cfg, "mean"), n_mean, qk_config_where (cfg, "std"),
      n_std, c->n_features);
  for (k = 0; k < n_std; k++)
    if (!(c->std[k] > 0))
      return qk_error (-EINVAL, "csv: std (%s) of '%s' is %g, expected > 0",
                       qk_config_where (cfg, "std"), c->feature_name[k],
                       (double) c->std[k]);
  return 0;
}

/* ---- opening -----------------------------------------------------------*/

static int
read_tables (struct csv *c, const struct qk_config *cfg)
{
  static const char *const keys[] = { "train", "val" };
  int k, err = 0;

  for (k = 0; err == 0 && k < 2; k++) {
    const char *path = qk_config_string (cfg, keys[k]);

    if (*path == 0 && k == 1)
      return 0;
    if (*path == 0)
      return qk_error (-EINVAL, "csv: the option train is not given: which "
                                "table?");
    err = table_read (path, &c->table[k]);
    if (err == 0)
      err = table_take_header (&c->table[k]);
  }
  return err == 0 ? table_check_same (&c->table[0], &c->table[1]) : err;
}

static int
choose_rows (struct csv *c, int split)
{
  const struct table *t;
  int64_t i;

  c->which = split == 1 && c->share == 0.0;
  t = &c->table[c->which];
  c->row = malloc ((size_t) (t->rows + 1) * sizeof *c->row);
  if (!c->row)
    return qk_oom ("csv: %lld rows", (long long) t->rows);
  for (i = 0; split >= 0 && i < t->rows; i++)
    if (c->share == 0.0 || trains (c, i) == (split == 0))
      c->row[c->count++] = i;
  if (split >= 0 && c->count == 0)
    return qk_error (-EINVAL, "csv: %s leaves no samples for %s", t->path,
                     split == 1 ? "evaluation" : "training");
  return 0;
}

/* Without the tables, as where a model is used elsewhere: the options say what
 * the features are. */
static int
features_without_table (struct csv *c, const struct qk_config *cfg)
{
  char *copy = strdup (qk_config_string (cfg, "features")), *save = NULL;
  char *name = copy ? strtok_r (copy, ",", &save) : NULL;

  for (; name && c->n_features < MAX_FEATURES;
       name = strtok_r (NULL, ",", &save)) {
    size_t n;

    name += strspn (name, " \t");
    for (n = strlen (name); n > 0 && strchr (" \t", name[n - 1]); n--)
      name[n - 1] = 0;
    c->feature_name[c->n_features] = strdup (name);
    if (!c->feature_name[c->n_features])
      break;
    c->n_features++;
  }
  free (copy);
  return !copy || name ? qk_oom ("csv") : 0;
}

static void
csv_close (void *self)
{
  struct csv *c = self;
  int i;

  if (!c)
    return;
  for (i = 0; i < c->n_labels; i++)
    table_labels_clear (&c->label[i]);
  for (i = 0; i < c->n_features; i++)
    free (c->feature_name[i]);
  table_clear (&c->table[0]);
  table_clear (&c->table[1]);
  free (c->role);
  free (c->row);
  free (c);
}

static int
csv_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
          void **self)
{
  struct csv *c = calloc (1, sizeof *c);
  const int split = split_parse (req->split, "csv");
  int err = 0;

  if (!c)
    return qk_oom ("csv");
  if (split == -EINVAL)
    err = split;
  else if (split < 0 && *qk_config_string (cfg, "features"))
    err = features_without_table (c, cfg);
  else {
    c->share = *qk_config_string (cfg, "val")
                 ? 0.0
                 : qk_config_float (cfg, "val_share");
    err = read_tables (c, cfg);
    if (err == 0)
      err = find_columns (c, cfg);
    if (err == 0)
      err = choose_rows (c, split);
  }
  if (err == 0)
    err = take_statistics (c, cfg);
  if (err) {
    csv_close (c);
    return err;
  }
  c->features.name = "features";
  c->features.dtype = QK_F32;
  c->features.shape = (struct qk_shape){ 2, { 1, c->n_features } };
  *self = c;
  return 0;
}

static int
csv_info (void *self, struct qk_dataset_info *out)
{
  const struct csv *c = self;

  out->count = c->count;
  out->n_inputs = 1;
  out->input = &c->features;
  out->n_targets = c->n_targets;
  out->target = c->target;
  return 0;
}

/* ---- what the model keeps ----------------------------------------------*/

static int
tell_numbers (const float *x, int n, const char *key, qk_found_fn fn,
              void *cookie)
{
  char *text = NULL;
  size_t size = 0;
  FILE *f = open_memstream (&text, &size);
  int i, err;

  if (!f)
    return qk_oom ("csv");
  for (i = 0; i < n; i++)
    fprintf (f, "%s%.9g", i > 0 ? "," : "", (double) x[i]);
  err = fclose (f) == 0 && text != NULL ? fn (cookie, key, text)
                                        : qk_oom ("csv");
  free (text);
  return err;
}

static int
csv_found (void *self, qk_found_fn fn, void *cookie)
{
  const struct csv *c = self;
  char *text = NULL;
  size_t size = 0;
  FILE *f = open_memstream (&text, &size);
  int i, err;

  if (!f)
    return qk_oom ("csv");
  for (i = 0; i < c->n_features; i++)
    fprintf (f, "%s%s", i > 0 ? "," : "", c->feature_name[i]);
  err = fclose (f) == 0 && text != NULL ? fn (cookie, "features", text)
                                        : qk_oom ("csv");
  free (text);
  if (err == 0 && c->found)
    err = tell_numbers (c->mean, c->n_features, "mean", fn, cookie);
  if (err == 0 && c->found)
    err = tell_numbers (c->std, c->n_features, "std", fn, cookie);
  return err;
}

/* ---- reading -----------------------------------------------------------*/

static int
read_features (const struct csv *c, const struct table *t, int64_t row,
               const int *column, float *out)
{
  double x;
  int k, err;

  for (k = 0; k < c->n_features; k++) {
    err = read_cell (t, row, column[k], &x);
    if (err)
      return err;
    out[k] = ((float) x - c->mean[k]) / c->std[k];
  }
  return 0;
}

static int
csv_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
          void *const *input, void *const *target)
{
  const struct csv *c = self;
  const struct table *t = &c->table[c->which];
  int64_t row;
  double x;
  int i, err;

  (void) worker;
  (void) rng;
  if (index < 0 || index >= c->count)
    return qk_error (-EINVAL, "csv: no sample %lld, there are %lld",
                     (long long) index, (long long) c->count);
  row = c->row[index];
  err = read_features (c, t, row, c->feature, input[0]);
  for (i = 0; err == 0 && i < c->n_labels; i++)
    *(int32_t *) target[i] = table_labels_number (
      &c->label[i], table_cell (t, row, c->label[i].column));
  for (i = 0; err == 0 && i < c->n_numbers; i++) {
    err = read_cell (t, row, c->number[i], &x);
    ((float *) target[c->n_targets - 1])[i] = (float) x;
  }
  return err;
}

/* The one row of a table of the user's; targets may be missing in it. */
static int
csv_read_file (void *self, void *worker, const char *path, void *const *input)
{
  const struct csv *c = self;
  int column[MAX_FEATURES], k, err;
  struct table t;

  (void) worker;
  err = table_read (path, &t);
  if (err == 0)
    err = table_take_header (&t);
  for (k = 0; err == 0 && k < c->n_features; k++) {
    column[k] = table_column (&t, c->feature_name[k]);
    if (column[k] < 0)
      err = -EBADMSG;
  }
  if (err == 0 && t.rows != 1)
    err = qk_error (-EBADMSG, "%s: %lld rows below the names, expected one",
                    path, (long long) t.rows);
  if (err == 0)
    err = read_features (c, &t, 0, column, input[0]);
  table_clear (&t);
  return err;
}

/* The place and the cells: targets, then features. */
static int
csv_describe (void *self, int64_t index, char *name, size_t size,
              uint64_t *content)
{
  const struct csv *c = self;
  const struct table *t = &c->table[c->which];
  const int64_t row = c->row[index];
  const int n = c->n_labels + c->n_numbers + c->n_features;
  char cells[MAX_CELLS] = "";
  uint64_t h = CONTENT_START;
  size_t at = 0;
  int i;

  for (i = 0; i < n; i++) {
    const int k = i - c->n_labels;
    const int column = k < 0              ? c->label[i].column
                       : k < c->n_numbers ? c->number[k]
                                          : c->feature[k - c->n_numbers];
    const char *cell = table_cell (t, row, column);

    table_append_cell (t, row, column, cells, sizeof cells, &at);
    h = content_add (h, cell, strlen (cell) + 1);
  }
  snprintf (name, size, "line %lld: %s", (long long) t->line[row], cells);
  if (content)
    *content = h;
  return 0;
}

static int64_t
csv_category (void *self, int64_t index)
{
  const struct csv *c = self;

  return c->n_labels == 0
           ? QK_NO_CATEGORY
           : table_labels_number (
             &c->label[0], table_cell (&c->table[c->which], c->row[index],
                                       c->label[0].column));
}

static const struct qk_dataset_class csv = {
  .cls = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "csv",
                   "Rows of a table of numbers, standardised", options),
  .open = csv_open,
  .close = csv_close,
  .info = csv_info,
  .read = csv_read,
  .read_file = csv_read_file,
  .found = csv_found,
  .describe = csv_describe,
  .category = csv_category,
};

QK_PLUGIN ("csv", PACKAGE_VERSION, "LGPL-2.1-or-later", &csv.cls);
