/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list.c: what a dataset consists of, as lines of text to compare. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memtext.h"
#include "data/list.h"

/* Looking into a file on a file server takes milliseconds. */
#define MAX_CONTENTS 5000

#define MAX_NAME 4200 /* a path and what stands before it */

static void
list_target (FILE *f, const struct qk_tensor_spec *t)
{
  int64_t i;

  for (i = 0; t->category != NULL && i < t->categories; i++)
    fprintf (f, "%s %" PRId64 " is %s\n", t->name, i, t->category[i]);
  if (t->category == NULL && t->categories > 0)
    fprintf (f, "%s has %" PRId64 " categories\n", t->name, t->categories);
}

static int
list_sample (FILE *f, const struct qk_dataset_class *cls, void *self,
             int64_t index, bool contents)
{
  char name[MAX_NAME];
  uint64_t content = 0;
  int r = cls->describe (self, index, name, sizeof name,
                         contents ? &content : NULL);

  if (r < 0)
    return r;
  fprintf (f, "%s", name);
  if (content != 0)
    fprintf (f, "\t%016" PRIx64, content);
  fputc ('\n', f);
  return 0;
}

int
qk_samples_list (const struct qk_dataset_class *cls, void *self,
                 const struct qk_dataset_info *info, bool contents, char **out,
                 size_t *size)
{
  const int64_t step = (info->count + MAX_CONTENTS - 1) / MAX_CONTENTS;
  FILE *f;
  int64_t i;
  int r = 0;

  *out = NULL;
  if ((f = open_memstream (out, size)) == NULL)
    return qk_oom ("the list of samples");
  for (i = 0; i < info->n_targets; i++)
    list_target (f, &info->target[i]);
  for (i = 0; r == 0 && cls->describe != NULL && i < info->count; i++)
    r = list_sample (f, cls, self, i, contents && i % step == 0);
  fprintf (f, "%" PRId64 " samples\n", info->count);
  if (!qk_close_text (f, out) && r == 0)
    r = qk_oom ("the list of samples");
  if (r < 0) {
    free (*out);
    *out = NULL;
  }
  return r;
}
