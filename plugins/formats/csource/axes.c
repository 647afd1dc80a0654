/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* axes.c: tensors as sizes and steps. */
#include "config.h"

#include <stdio.h>

#include "csource.h"

void
axes_add (struct axes *a, int64_t size, int64_t step0, int64_t step1)
{
  const int32_t step[AXES_TENSORS] = { (int32_t) step0, (int32_t) step1 };
  bool joined = a->n > 0;

  if (size == 1)
    return;
  for (int t = 0; t < a->tensors; t++)
    joined = joined && a->step[t][a->n - 1] == step[t] * (int32_t) size;
  if (!joined)
    a->size[a->n++] = 1;
  a->size[a->n - 1] *= (int32_t) size;
  for (int t = 0; t < a->tensors; t++)
    a->step[t][a->n - 1] = step[t];
}

void
axes_finish (struct axes *a)
{
  if (a->n > 0)
    return;
  a->n = 1;
  a->size[0] = 1;
  for (int t = 0; t < a->tensors; t++)
    a->step[t][0] = 0;
}

int64_t
axes_count (const struct axes *a)
{
  int64_t n = 1;

  for (int i = 0; i < a->n; i++)
    n *= a->size[i];
  return n;
}

void
axes_arrays (struct writer *w, const char *kind, const struct axes *a)
{
  char name[32];

  snprintf (name, sizeof name, "%ssize", kind);
  array_int32 (w, name, a->size, a->n);
  for (int t = 0; t < a->tensors; t++) {
    snprintf (name, sizeof name, "%s%c", kind, 'a' + t);
    array_int32 (w, name, a->step[t], a->n);
  }
}
