/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* folder.h: a folder of small files for a test, and datasets that are opened on
 * it. */
#ifndef TESTS_LIB_FOLDER_H
#define TESTS_LIB_FOLDER_H

#include <qatkit/context.h>
#include <qatkit/dataset.h>

extern struct folder {
  struct qk_context *ctx;
  char dir[64];
  const struct qk_dataset_class *ds; /* opened last */
  bool augment;                      /* of splits that are opened */
  uint64_t seed;                     /* of samples that are read */
} folder;

/* Around each test. */
void folder_setup (void);
void folder_teardown (void);

/* The path of NAME in it, until the next call. */
const char *folder_at (const char *name);
void folder_put (const char *name, const void *data, size_t size);
void folder_put_text (const char *name, const char *text);

/* Open a SPLIT of DATASET, which becomes folder.ds; "DIR" in OPTIONS is the
 * folder.  The second expects it to be well. */
int folder_open (const char *dataset, const char *split, const char *options,
                 void **self);
void *folder_opened (const char *dataset, const char *split,
                     const char *options, struct qk_dataset_info *info);
/* Sample INDEX of one input and up to two targets. */
int folder_read (void *self, int64_t index, void *x, void *y, void *y2);

/* The last error has WORD in it. */
void folder_says (const char *word);
/* Opening gives the error EXPECTED, which has WORD in it. */
void folder_refuse (const char *dataset, const char *split,
                    const char *options, int expected, const char *word);

#endif /* TESTS_LIB_FOLDER_H */
