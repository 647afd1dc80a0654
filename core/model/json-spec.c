/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-spec.c: tensor specs to JSON and back. */
#include "config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/json-spec.h"

#define MAX_SPECS 32
#define MAX_CATEGORIES 1000000

/* ---- writing ------------------------------------------------------------- */

static json_t *
shape_to_json (const struct qk_shape *s)
{
  json_t *a = json_array ();
  int i;

  for (i = 0; i < s->ndim; i++)
    if (json_array_append_new (a, json_integer (s->dims[i])) < 0) {
      json_decref (a);
      return NULL;
    }
  return a;
}

static json_t *
categories_to_json (const struct qk_tensor_spec *s)
{
  json_t *a = json_array ();
  int64_t i;

  for (i = 0; i < s->categories; i++)
    if (json_array_append_new (a, qk_json_string (s->category[i])) < 0) {
      json_decref (a);
      return NULL;
    }
  return a;
}

static json_t *
spec_to_json (const struct qk_tensor_spec *s)
{
  json_t *o = json_object ();

  if (json_object_set_new (o, "name", qk_json_string (s->name)) < 0
      || json_object_set_new (o, "dtype",
                              json_string (qk_dtype_name (s->dtype)))
           < 0
      || json_object_set_new (o, "shape", shape_to_json (&s->shape)) < 0
      || json_object_set_new (o, "categories", json_integer (s->categories))
           < 0
      || (s->category != NULL
          && json_object_set_new (o, "names", categories_to_json (s)) < 0)) {
    json_decref (o);
    return NULL;
  }
  return o;
}

int
qk_specs_to_json (const struct qk_tensor_spec *spec, int n, char **out)
{
  json_t *a = json_array ();
  bool failed = a == NULL;
  int i;

  for (i = 0; !failed && i < n; i++)
    failed = json_array_append_new (a, spec_to_json (&spec[i])) < 0;
  *out = failed ? NULL : qk_json_text (a, JSON_COMPACT);
  json_decref (a);
  return *out == NULL ? qk_oom ("specs of tensors") : 0;
}

/* ---- reading ------------------------------------------------------------- */

void
qk_specs_free (struct qk_tensor_spec *spec, int n)
{
  int i;

  for (i = 0; spec != NULL && i < n; i++) {
    int64_t j;

    for (j = 0; spec[i].category != NULL && j < spec[i].categories; j++)
      free ((char *) spec[i].category[j]);
    free ((void *) spec[i].category);
    free ((char *) spec[i].name);
  }
  free (spec);
}

static enum qk_dtype
dtype_from (const char *name)
{
  int d;

  for (d = QK_F32; name != NULL && d <= QK_F64; d++)
    if (strcmp (qk_dtype_name ((enum qk_dtype) d), name) == 0)
      return (enum qk_dtype) d;
  return QK_NONE;
}

static int
names_from_json (const json_t *a, struct qk_tensor_spec *s)
{
  const char **names = calloc ((size_t) s->categories + 1, sizeof *names);
  int64_t i;

  if (names == NULL)
    return qk_oom ("names of categories");
  s->category = names;
  for (i = 0; i < s->categories; i++) {
    const char *t = json_string_value (json_array_get (a, (size_t) i));

    if ((names[i] = strdup (t == NULL ? "" : t)) == NULL)
      return qk_oom ("names of categories");
  }
  return 0;
}

static int
spec_from_json (const json_t *o, struct qk_tensor_spec *s)
{
  const json_t *shape = json_object_get (o, "shape");
  const json_t *names = json_object_get (o, "names");
  const json_int_t categories
    = json_integer_value (json_object_get (o, "categories"));
  const char *name = json_string_value (json_object_get (o, "name"));
  const size_t ndim = json_array_size (shape);
  size_t i;

  s->dtype = dtype_from (json_string_value (json_object_get (o, "dtype")));
  if (name == NULL || s->dtype == QK_NONE || ndim < 1 || ndim > QK_MAX_DIMS
      || categories < 0 || categories > MAX_CATEGORIES
      || (names != NULL && json_array_size (names) != (size_t) categories))
    return qk_error (-EBADMSG,
                     "a tensor has no name, dtype and shape of 1 to "
                     "%d dimensions, or not as many names as "
                     "categories",
                     QK_MAX_DIMS);
  s->shape.ndim = (int) ndim;
  for (i = 0; i < ndim; i++) {
    s->shape.dims[i] = json_integer_value (json_array_get (shape, i));
    if (s->shape.dims[i] < 1 || s->shape.dims[i] > 1 << 24)
      return qk_error (-EBADMSG, "tensor '%s': dimension %zu is not 1 to 2^24",
                       name, i);
  }
  if ((s->name = strdup (name)) == NULL)
    return qk_oom ("specs of tensors");
  if (names == NULL) {
    s->categories = categories;
    return 0;
  }
  s->categories = categories;
  return names_from_json (names, s);
}

int
qk_specs_from_json (const char *path, const char *text,
                    struct qk_tensor_spec **out, int *n)
{
  json_t *a = text == NULL ? json_array () : json_loads (text, 0, NULL);
  const size_t count = json_array_size (a);
  struct qk_tensor_spec *spec = calloc (count + 1, sizeof *spec);
  size_t i;
  int r = 0;

  if (spec == NULL)
    r = qk_oom ("%s", path);
  else if (!json_is_array (a) || count > MAX_SPECS)
    r = qk_error (-EBADMSG,
                  "%s: the specs of tensors are not a list of at most %d",
                  path, MAX_SPECS);
  for (i = 0; r == 0 && i < count; i++)
    if ((r = spec_from_json (json_array_get (a, i), &spec[i])) < 0)
      qk_error_prefix (r, "%s: ", path);
  json_decref (a);
  if (r < 0) {
    qk_specs_free (spec, (int) i);
    return r;
  }
  *out = spec;
  *n = (int) count;
  return 0;
}
