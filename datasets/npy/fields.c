/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fields.c: the arrays that inputs and targets are taken from. */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "textfile/textfile.h"

/* TEXT without the space around it, in place. */
static char *
trim (char *text)
{
  size_t n;

  while (isspace ((unsigned char) *text))
    text++;
  for (n = strlen (text); n > 0 && isspace ((unsigned char) text[n - 1]); n--)
    text[n - 1] = 0;
  return text;
}

/* The number of the array ARRAY (NULL: the only one) of F's file. */
static int64_t
find_array (const struct field *f, const char *path, const char *array)
{
  const int64_t n = npy_count (f->file);
  char names[300] = "";
  size_t at = 0;
  int64_t i = array != NULL ? npy_find (f->file, array) : 0;

  if (i >= 0 && (array != NULL || n == 1))
    return i;
  for (i = 0; i < n && at < sizeof names; i++)
    at += (size_t) snprintf (names + at, sizeof names - at, " %s",
                             npy_name (f->file, i));
  if (array != NULL)
    return qk_error (-EINVAL, "%s: no array '%s'; there are:%s", path, array,
                     names);
  return qk_error (-EINVAL, "%s: %lld arrays; name one of them as %s:NAME:%s",
                   path, (long long) n, path, names);
}

/* Open what SOURCE names: FILE, or FILE.npz:ARRAY. */
static int
open_array (struct field *f, char *source, const char *root, bool mapped)
{
  char *colon = strstr (source, ".npz:"), *path;
  const char *array = NULL;
  int64_t i = 0;
  int err;

  if (colon != NULL) {
    colon[4] = 0;
    array = colon + 5;
  }
  path = path_within (root, source);
  if (path == NULL)
    return qk_oom ("npy");
  err = npy_open (path, mapped, &f->file);
  if (err == 0 && (i = find_array (f, path, array)) < 0)
    err = (int) i;
  if (err == 0)
    err = npy_get (f->file, i, &f->array);
  if (err == 0 && f->name == NULL)
    f->name = strdup (npy_name (f->file, i));
  if (err == 0
      && (f->name == NULL
          || asprintf (&f->where, "%s%s%s", path, array != NULL ? ":" : "",
                       array != NULL ? array : "")
               < 0)) {
    f->where = NULL;
    err = qk_oom ("npy");
  }
  free (path);
  return err;
}

/* Sample 0 of F by its axes; BEFORE is the number of axes before those that
 * they are counted from: 1 where the array has none for the samples. */
static void
set_sample (struct field *f, int before)
{
  int i;

  f->size = 1;
  for (i = 0; i < f->sample.ndim; i++) {
    const int axis = f->axis[i] - before;

    f->sample.dims[i] = f->axis[i] < 0 ? 1 : f->array.shape.dims[axis];
    f->sample.step[i] = f->axis[i] < 0 ? 1 : f->array.stride[axis];
    f->size *= f->sample.dims[i];
  }
}

/* The axes of a sample: those of the array but the first. */
static int
set_axes (struct field *f)
{
  int i;

  if (f->array.shape.ndim < 1)
    return qk_error (-EINVAL,
                     "%s: a single number, expected an array whose first axis "
                     "counts the samples",
                     f->where);
  f->sample.ndim = f->array.shape.ndim - 1;
  for (i = 0; i < f->sample.ndim; i++)
    f->axis[i] = i + 1;
  set_sample (f, 0);
  return 0;
}

/* "NAME = SOURCE" or "SOURCE" */
static int
add_field (struct fields *f, char *text, const char *root, const char *key,
           bool mapped)
{
  struct field *field = &f->field[f->n];
  char *equals = strchr (text, '='), *source = trim (text);
  int i, err;

  if (f->n == QK_DATASET_MAX_TENSORS)
    return qk_error (-E2BIG, "npy: %s: more than %d arrays", key,
                     QK_DATASET_MAX_TENSORS);
  f->n++;
  if (equals != NULL) {
    *equals = 0;
    source = trim (equals + 1);
    field->name = strdup (trim (text));
    if (field->name == NULL)
      return qk_oom ("npy");
  }
  if (*source == 0 || (field->name != NULL && *field->name == 0))
    return qk_error (-EINVAL,
                     "npy: %s: expected FILE or NAME = FILE, got '%s'", key,
                     equals != NULL ? text : source);
  err = open_array (field, source, root, mapped);
  if (err < 0)
    return qk_error_prefix (err, "npy: %s: ", key);
  for (i = 0; i < f->n - 1; i++)
    if (strcmp (f->field[i].name, field->name) == 0)
      return qk_error (-EINVAL, "npy: %s: two arrays are called '%s'", key,
                       field->name);
  return set_axes (field);
}

int
fields_open (struct fields *f, const char *list, const char *root,
             const char *key, bool mapped)
{
  char *copy = strdup (list), *save = NULL, *text;
  int err = copy == NULL ? qk_oom ("npy") : 0;

  for (text = copy != NULL ? strtok_r (copy, ",", &save) : NULL;
       err == 0 && text != NULL; text = strtok_r (NULL, ",", &save))
    err = add_field (f, text, root, key, mapped);
  free (copy);
  return err;
}

void
fields_clear (struct fields *f)
{
  int i;

  for (i = 0; i < f->n; i++) {
    npy_close (f->field[i].file);
    free (f->field[i].name);
    free (f->field[i].where);
  }
  memset (f, 0, sizeof *f);
}

/* ---- axes ------------------------------------------------------------*/

static int
wrong_rank (const struct field *f, const char *layout, const char *expected)
{
  char shape[160];

  return qk_error (-EINVAL, "npy: %s is %s, layout %s expects %s", f->where,
                   qk_shape_print (&f->array.shape, shape, sizeof shape),
                   layout, expected);
}

static int
arrange (struct field *f, const char *layout)
{
  const int n = f->sample.ndim;

  if (strcmp (layout, "as-is") == 0) {
    if (n == 0) /* networks take vectors, not numbers */
      f->axis[f->sample.ndim++] = -1;
  } else if (strcmp (layout, "nhwc") == 0) {
    if (n != 3)
      return wrong_rank (f, layout, "4 axes");
  } else if (strcmp (layout, "nhw") == 0) {
    if (n != 2)
      return wrong_rank (f, layout, "3 axes");
    f->axis[f->sample.ndim++] = -1;
  } else if (strcmp (layout, "nchw") == 0) {
    if (n < 2)
      return wrong_rank (f, layout, "3 axes or more");
    memmove (f->axis, f->axis + 1, (size_t) (n - 1) * sizeof f->axis[0]);
    f->axis[n - 1] = 1;
  } else
    return qk_error (-EINVAL,
                     "npy: layout must be as-is, nhwc, nchw or nhw, got '%s'",
                     layout);
  set_sample (f, 0);
  return 0;
}

int
fields_arrange (struct fields *f, const char *layouts)
{
  char *copy = strdup (layouts), *save = NULL, *word;
  const char *last = "as-is";
  int i, n = 0, err = copy == NULL ? qk_oom ("npy") : 0;

  word = copy != NULL ? strtok_r (copy, ", \t", &save) : NULL;
  for (i = 0; err == 0 && i < f->n; i++) {
    if (word != NULL) {
      last = word;
      n++;
      word = strtok_r (NULL, ", \t", &save);
    }
    err = arrange (&f->field[i], last);
  }
  if (err == 0 && (word != NULL || (n > 1 && n < f->n)))
    err = qk_error (-EINVAL,
                    "npy: layout names %s layouts than the %d inputs, "
                    "expected one for all or one each: '%s'",
                    word != NULL ? "more" : "fewer", f->n, layouts);
  free (copy);
  return err;
}

/* ---- samples ---------------------------------------------------------*/

int
fields_count (const struct fields *a, const struct fields *b, int64_t *count)
{
  const struct field *first = &a->field[0];
  int i;

  *count = first->array.shape.dims[0];
  for (i = 0; i < a->n + b->n; i++) {
    const struct field *f = i < a->n ? &a->field[i] : &b->field[i - a->n];

    if (f->array.shape.dims[0] != *count)
      return qk_error (-EINVAL, "npy: %s has %lld samples, %s has %lld",
                       first->where, (long long) *count, f->where,
                       (long long) f->array.shape.dims[0]);
    if (f->size < 1)
      return qk_error (-EINVAL, "npy: %s: a sample has no elements", f->where);
  }
  return 0;
}

struct npy_box
field_box (const struct field *f, int64_t row)
{
  struct npy_box b = f->sample;

  b.first = row * f->array.stride[0];
  return b;
}

struct qk_shape
field_shape (const struct field *f)
{
  struct qk_shape s = { f->sample.ndim + 1, { 1 } };

  memcpy (s.dims + 1, f->sample.dims,
          (size_t) f->sample.ndim * sizeof s.dims[0]);
  return s;
}

int
field_single (const struct field *like, struct npy_file *f, const char *path,
              bool any, struct field *out)
{
  struct qk_shape want = like->array.shape, less = want;
  const int64_t i = any && npy_count (f) == 1 ? 0 : npy_find (f, like->name);
  char a[160], b[160], c[160];
  int err;

  if (i < 0)
    return qk_error (-EBADMSG, "%s: no array '%s'", path, like->name);
  *out = *like;
  out->where = (char *) (uintptr_t) path; /* never freed: OUT only borrows */
  err = npy_get (f, i, &out->array);
  if (err < 0)
    return err;
  want.dims[0] = 1;
  less.ndim--;
  memmove (less.dims, less.dims + 1, (size_t) less.ndim * sizeof *less.dims);
  if (!qk_shape_equal (&out->array.shape, &want)
      && !qk_shape_equal (&out->array.shape, &less))
    return qk_error (-EBADMSG,
                     "%s: an array %s, expected one sample, %s or %s", path,
                     qk_shape_print (&out->array.shape, a, sizeof a),
                     qk_shape_print (&want, b, sizeof b),
                     qk_shape_print (&less, c, sizeof c));
  set_sample (out, out->array.shape.ndim == less.ndim);
  return 0;
}

int
field_bad_element (const struct field *f, int64_t row, int64_t at,
                   const char *what)
{
  const struct npy_box *b = &f->sample;
  struct qk_shape place = { b->ndim, { 0 } };
  char text[160];
  int i;

  if (b->ndim == 0)
    return qk_error (-EBADMSG, "%s: row %lld %s", f->where, (long long) row,
                     what);
  if (b->ndim == 1)
    return qk_error (-EBADMSG, "%s: row %lld, column %lld %s", f->where,
                     (long long) row, (long long) at, what);
  for (i = b->ndim - 1; i >= 0; i--) {
    place.dims[i] = at % b->dims[i];
    at /= b->dims[i];
  }
  return qk_error (-EBADMSG, "%s: row %lld, element %s %s", f->where,
                   (long long) row, qk_shape_print (&place, text, sizeof text),
                   what);
}
