/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* state-list.c: the two ends of qk_state_add. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "plugin/state-list.h"

static void
clear_array (struct qk_state_array *a)
{
  free (a->name);
  qk_free (a->data);
}

void
qk_state_list_clear (struct qk_state_list *list)
{
  for (size_t i = 0; i < list->n; i++)
    clear_array (&list->array[i]);
  free (list->array);
  list->array = NULL;
  list->n = 0;
}

static const struct qk_state_array *
find (const struct qk_state_list *list, const char *name)
{
  for (size_t i = 0; i < list->n; i++)
    if (strcmp (list->array[i].name, name) == 0)
      return &list->array[i];
  return NULL;
}

int
qk_state_list_save (void *cookie, const char *name, enum qk_dtype dtype,
                    void *data, size_t count)
{
  struct qk_state_list *list = cookie;
  struct qk_state_array *grown, a = { .dtype = dtype, .count = count };
  size_t bytes;

  if (find (list, name))
    return qk_error (-EEXIST, "state array '%s' is named twice", name);
  if (__builtin_mul_overflow (count, qk_dtype_size (dtype), &bytes))
    return qk_error (-EINVAL, "state array '%s': %zu elements are absurd",
                     name, count);
  a.name = strdup (name);
  a.data = qk_alloc (bytes);
  grown = realloc (list->array, (list->n + 1) * sizeof *grown);
  if (grown)
    list->array = grown;
  if (!grown || !a.name || !a.data) {
    clear_array (&a);
    return qk_oom ("state array '%s'", name);
  }
  if (bytes > 0)
    memcpy (a.data, data, bytes);
  grown[list->n++] = a;
  return 0;
}

int
qk_state_source_load (void *cookie, const char *name, enum qk_dtype dtype,
                      void *data, size_t count)
{
  const struct qk_state_source *source = cookie;
  struct qk_state_array found = { 0 };
  const int err = source->lookup (source->cookie, name, &found);

  if (err == -ENOENT)
    return qk_error (err, "state array '%s' is missing", name);
  if (err < 0)
    return err;
  if (found.dtype != dtype || found.count != count)
    return qk_error (-EBADMSG,
                     "state array '%s': expected %zu elements of "
                     "type %s, found %zu of type %s",
                     name, count, qk_dtype_name (dtype), found.count,
                     qk_dtype_name (found.dtype));
  if (count > 0)
    memcpy (data, found.data, count * qk_dtype_size (dtype));
  return 0;
}

int
qk_state_list_lookup (void *cookie, const char *name,
                      struct qk_state_array *found)
{
  const struct qk_state_list *list = cookie;

  for (size_t i = 0; i < list->n; i++)
    if (strcmp (list->array[i].name, name) == 0) {
      *found = list->array[i];
      return 0;
    }
  return -ENOENT;
}
