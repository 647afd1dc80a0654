/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* names.c: the numbers of things by their names, in a tree of the C library,
 * whose time does not depend on how alike a stranger makes them. */
#include "config.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "qatkit/base.h"

struct named {
  const char *name; /* first: a key to look for is a pointer to a name */
  int index;
};

static int
compare (const void *a, const void *b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

int
qk_names_add (struct qk_names *n, const char *name, int index)
{
  struct named *one = malloc (sizeof *one), **found;

  if (one == NULL)
    return qk_oom ("names");
  one->name = name;
  one->index = index;
  found = tsearch (one, &n->tree, compare);
  if (found == NULL || *found != one) {
    free (one);
    return found == NULL ? qk_oom ("names") : -EEXIST;
  }
  return 0;
}

int
qk_names_find (const struct qk_names *n, const char *name)
{
  struct named *const *found = tfind (&name, &n->tree, compare);

  return found != NULL ? (*found)->index : -1;
}

void
qk_names_clear (struct qk_names *n)
{
  tdestroy (n->tree, free);
  n->tree = NULL;
}
