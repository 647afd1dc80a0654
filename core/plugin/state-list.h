/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* state-list.h: the two ends of qk_state_add: arrays kept for a file, and
 * arrays filled from one. */
#ifndef QK_PLUGIN_STATE_LIST_H
#define QK_PLUGIN_STATE_LIST_H

#include "qatkit/plugin.h"
#include "qatkit/tensor.h"

/* One named array.  count is the number of elements. */
struct qk_state_array {
  char *name;
  enum qk_dtype dtype;
  void *data;
  size_t count;
};

/* Arrays collected so far, zero-initialised at first; names and data are
 * copies that belong to the list: qk_state_list_clear. */
struct qk_state_list {
  struct qk_state_array *array;
  size_t n;
};

void qk_state_list_clear (struct qk_state_list *list);

/* A qk_state_fn for saving; COOKIE is a struct qk_state_list, which gets a
 * copy of the array.  A name that is there already is an error. */
int qk_state_list_save (void *cookie, const char *name, enum qk_dtype dtype,
                        void *data, size_t count);

/* Where arrays come from when loading. */
struct qk_state_source {
  /* Find NAME: 0 with dtype, data and count of *FOUND set (borrowed until
   * the next call, data need not be aligned), -ENOENT if there is none, or
   * another error with a sentence. */
  int (*lookup) (void *cookie, const char *name, struct qk_state_array *found);
  void *cookie;
};

/* A lookup in a list that was saved; COOKIE is a struct qk_state_list. */
int qk_state_list_lookup (void *cookie, const char *name,
                          struct qk_state_array *found);

/* A qk_state_fn for loading; COOKIE is a struct qk_state_source.  An array
 * that is missing or of another type or size is an error naming it. */
int qk_state_source_load (void *cookie, const char *name, enum qk_dtype dtype,
                          void *data, size_t count);

#endif /* QK_PLUGIN_STATE_LIST_H */
