/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/folder.h"

struct folder folder;

const char *
folder_at (const char *name)
{
  static char path[256];

  snprintf (path, sizeof path, "%s/%s", folder.dir, name);
  return path;
}

void
folder_put (const char *name, const void *data, size_t size)
{
  FILE *f = fopen (folder_at (name), "wb");

  ck_assert_ptr_nonnull (f);
  ck_assert_uint_eq (fwrite (data, 1, size, f), size);
  ck_assert_int_eq (fclose (f), 0);
}

void
folder_put_text (const char *name, const char *text)
{
  folder_put (name, text, strlen (text));
}

void
folder_setup (void)
{
  strcpy (folder.dir, "check-data-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (folder.dir));
  folder.ctx = qk_context_new ();
  ck_assert_ptr_nonnull (folder.ctx);
}

void
folder_teardown (void)
{
  char command[128];

  qk_context_free (folder.ctx);
  snprintf (command, sizeof command, "rm -rf %s", folder.dir);
  ck_assert_int_eq (system (command), 0);
}

int
folder_open (const char *dataset, const char *split, const char *options,
             void **self)
{
  const struct qk_dataset_request req
    = { folder.ctx, split, folder.augment, 1 };
  const struct qk_class *cls;
  struct qk_config *cfg;
  char text[2048] = "";
  const char *p;
  int err;

  ck_assert_msg (qk_context_class (folder.ctx, QK_KIND_DATASET, dataset, &cls)
                   == 0,
                 "%s", qk_error_message ());
  folder.ds = (const struct qk_dataset_class *) cls;
  for (p = options; *p; p++) {
    const size_t n = strlen (text);

    if (strncmp (p, "DIR", 3) == 0) {
      snprintf (text + n, sizeof text - n, "%s", folder.dir);
      p += 2;
    } else
      snprintf (text + n, sizeof text - n, "%c", *p);
  }
  err = qk_config_parse (folder.ds->cls.options, text, "test", &cfg);
  ck_assert_msg (err == 0, "%s", qk_error_message ());
  *self = NULL;
  err = folder.ds->open (cfg, &req, self);
  qk_config_free (cfg);
  return err;
}

void *
folder_opened (const char *dataset, const char *split, const char *options,
               struct qk_dataset_info *info)
{
  void *self;

  ck_assert_msg (folder_open (dataset, split, options, &self) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (folder.ds->info (self, info), 0);
  return self;
}

int
folder_read (void *self, int64_t index, void *x, void *y, void *y2)
{
  void *const input[] = { x }, *const target[] = { y, y2 };
  void *worker = NULL;
  struct qk_rng rng;
  int err;

  qk_rng_seed (&rng, 1, folder.seed);
  if (folder.ds->worker_new)
    ck_assert_int_eq (folder.ds->worker_new (self, &worker), 0);
  err = folder.ds->read (self, worker, index, &rng, input, target);
  if (folder.ds->worker_free)
    folder.ds->worker_free (worker);
  return err;
}

void
folder_says (const char *word)
{
  ck_assert_msg (strstr (qk_error_message (), word) != NULL,
                 "expected '%s' in: %s", word, qk_error_message ());
}

void
folder_refuse (const char *dataset, const char *split, const char *options,
               int expected, const char *word)
{
  void *self;
  const int err = folder_open (dataset, split, options, &self);

  ck_assert_msg (err == expected, "%d: %s", err, qk_error_message ());
  folder_says (word);
}
