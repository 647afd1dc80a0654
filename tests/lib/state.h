/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* state.h: state of components kept in memory. */
#ifndef TESTS_LIB_STATE_H
#define TESTS_LIB_STATE_H

#include <errno.h>
#include <string.h>

#include "plugin/state-list.h"

/* The lookup of a struct qk_state_source that finds the arrays of a struct
 * qk_state_list, its COOKIE. */
static inline int
state_lookup (void *cookie, const char *name, struct qk_state_array *found)
{
  const struct qk_state_list *list = cookie;

  for (size_t i = 0; i < list->n; i++)
    if (strcmp (list->array[i].name, name) == 0) {
      *found = list->array[i];
      return 0;
    }
  return -ENOENT;
}

#endif /* TESTS_LIB_STATE_H */
