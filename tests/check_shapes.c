/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_shapes.c: the generated dataset repeats itself, is balanced, and
 * comes back from JPEG files. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qatkit/context.h"
#include "qatkit/dataset.h"

#include "lib/effort.h"
#include "lib/ok.h"

#define SIZE 32
#define FLOATS (SIZE * SIZE * 3)

static struct qk_context *ctx;
static const struct qk_dataset_class *shapes, *folder;
static char top[64];

static const struct qk_dataset_class *
dataset (const char *name)
{
  const struct qk_class *cls;

  ck_assert_msg (qk_context_class (ctx, QK_KIND_DATASET, name, &cls) == 0,
                 "%s", qk_error_message ());
  return (const struct qk_dataset_class *) cls;
}

static void
setup (void)
{
  strcpy (top, "check_shapes-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (top));
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  shapes = dataset ("shapes");
  folder = dataset ("imagefolder");
}

static void
teardown (void)
{
  char command[128];

  qk_context_free (ctx);
  snprintf (command, sizeof command, "rm -rf %s", top);
  ck_assert_int_eq (system (command), 0);
}

static void *
open_with (const struct qk_dataset_class *ds, const char *split, bool augment,
           uint64_t seed, const char *options)
{
  const struct qk_dataset_request req = { ctx, split, augment, seed };
  struct qk_config *cfg;
  void *self = NULL;

  ck_assert_msg (qk_config_parse (ds->cls.options, options, "test", &cfg) == 0,
                 "%s", qk_error_message ());
  ck_assert_msg (ds->open (cfg, &req, &self) == 0, "%s", qk_error_message ());
  qk_config_free (cfg);
  return self;
}

static int32_t
read_one (const struct qk_dataset_class *ds, void *self, int64_t index,
          uint64_t seed, float *image)
{
  int32_t label = -1;
  void *const input[] = { image }, *const target[] = { &label };
  struct qk_rng rng;
  void *worker = NULL;

  qk_rng_seed (&rng, seed, 0);
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  ck_assert_msg (ds->read (self, worker, index, &rng, input, target) == 0,
                 "%s", qk_error_message ());
  ds->worker_free (worker);
  return label;
}

START_TEST (test_info)
{
  void *train = open_with (shapes, "train", true, 1, "");
  void *val = open_with (shapes, "val", false, 1, "size=48 val_count=77");
  void *none = open_with (shapes, NULL, false, 1, "");
  struct qk_dataset_info info;
  char text[80];
  int i;

  ck_assert_int_eq (shapes->info (train, &info), 0);
  ck_assert_int_eq (info.count, 6000);
  ck_assert_int_eq (info.n_inputs, 1);
  ck_assert_int_eq (info.n_targets, 1);
  ck_assert_str_eq (qk_spec_print (info.input, text, sizeof text),
                    "image f32 (1,32,32,3)");
  ck_assert_str_eq (qk_spec_print (info.target, text, sizeof text),
                    "label i32 (1)");
  ck_assert_int_eq (info.target->categories, 10);
  for (i = 1; i < 10; i++)
    ck_assert_int_lt (
      strcmp (info.target->category[i - 1], info.target->category[i]), 0);
  ck_assert_int_eq (shapes->info (val, &info), 0);
  ck_assert_int_eq (info.count, 77);
  ck_assert_str_eq (qk_spec_print (info.input, text, sizeof text),
                    "image f32 (1,48,48,3)");
  ck_assert_int_eq (shapes->info (none, &info), 0);
  ck_assert_int_eq (info.count, 0);
  shapes->close (train);
  shapes->close (val);
  shapes->close (none);
}
END_TEST

START_TEST (test_repeats)
{
  static float a[FLOATS], b[FLOATS];
  void *one = open_with (shapes, "train", false, 1, "");
  void *again = open_with (shapes, "train", false, 1, "train_count=50");
  void *other = open_with (shapes, "train", false, 2, "");
  void *val = open_with (shapes, "val", false, 1, "");
  int i;

  for (i = 0; i < 40; i++) {
    ck_assert_int_eq (read_one (shapes, one, i, 0, a), i % 10);
    ck_assert_int_eq (read_one (shapes, again, i, 7, b), i % 10);
    ck_assert_mem_eq (a, b, sizeof a);
    read_one (shapes, other, i, 0, b);
    ck_assert (memcmp (a, b, sizeof a));
    read_one (shapes, val, i, 0, b);
    ck_assert (memcmp (a, b, sizeof a));
  }
  shapes->close (one);
  shapes->close (again);
  shapes->close (other);
  shapes->close (val);
}
END_TEST

START_TEST (test_balance_and_range)
{
  static float image[FLOATS];
  void *self = open_with (shapes, "val", false, 3, "difficulty=1");
  int count[10] = { 0 };
  double sum = 0, squares = 0;
  const int n = effort (1000, 100);
  int i, k;

  for (i = 0; i < n; i++) {
    count[read_one (shapes, self, i, 0, image)]++;
    for (k = 0; k < FLOATS; k++) {
      HOLDS (image[k] >= -2.0f && image[k] <= 2.0f, "%g", (double) image[k]);
      sum += (double) image[k];
      squares += (double) image[k] * (double) image[k];
    }
  }
  for (i = 0; i < 10; i++)
    ck_assert_int_eq (count[i], n / 10);
  sum /= (double) n * FLOATS;
  squares /= (double) n * FLOATS;
  ck_assert_msg (fabs (sum) < 0.2, "mean %g", sum);
  ck_assert_msg (squares > 0.5 && squares < 1.5, "variance %g", squares);
  shapes->close (self);
}
END_TEST

/* Training mirrors: each sample is one of four, and all four turn up. */
START_TEST (test_flips)
{
  static float plain[FLOATS], image[FLOATS];
  void *still = open_with (shapes, "train", false, 1, "");
  void *self = open_with (shapes, "train", true, 1, "");
  int seen[4] = { 0 };
  int seed, kind, y, x, c;

  read_one (shapes, still, 6, 0, plain);
  for (seed = 0; seed < 40; seed++) {
    bool fits[4] = { true, true, true, true };

    read_one (shapes, self, 6, (uint64_t) seed, image);
    for (y = 0; y < SIZE; y++)
      for (x = 0; x < SIZE; x++)
        for (c = 0; c < 3; c++)
          for (kind = 0; kind < 4; kind++) {
            const int fy = kind & 2 ? SIZE - 1 - y : y;
            const int fx = kind & 1 ? SIZE - 1 - x : x;

            if (image[(y * SIZE + x) * 3 + c]
                != plain[(fy * SIZE + fx) * 3 + c])
              fits[kind] = false;
          }
    for (kind = 0; kind < 4 && !fits[kind]; kind++)
      ;
    ck_assert_int_lt (kind, 4);
    seen[kind]++;
  }
  for (kind = 0; kind < 4; kind++)
    ck_assert_int_gt (seen[kind], 0);
  shapes->close (still);
  shapes->close (self);
}
END_TEST

START_TEST (test_export)
{
  static const char *const splits[] = { "train", "val" };
  static float image[FLOATS], back[FLOATS], file[FLOATS];
  char options[256], path[256];
  int s, i, k;

  snprintf (options, sizeof options,
            "root=%s resize=32 crop=32 mean=0.5,0.5,0.5 std=0.25,0.25,0.25",
            top);
  for (s = 0; s < 2; s++) {
    void *self
      = open_with (shapes, splits[s], false, 1, "train_count=40 val_count=20");
    struct qk_dataset_info mine, theirs;
    void *read, *worker = NULL, *const input[] = { file };

    ck_assert_msg (shapes->export_files (self, top) == 0, "%s",
                   qk_error_message ());
    read = open_with (folder, splits[s], false, 1, options);
    ck_assert_int_eq (shapes->info (self, &mine), 0);
    ck_assert_int_eq (folder->info (read, &theirs), 0);
    ck_assert_int_eq (mine.count, theirs.count);
    ck_assert_int_eq (mine.target->categories, theirs.target->categories);
    ck_assert_int_eq (shapes->worker_new (self, &worker), 0);
    for (i = 0; i < mine.count; i++) {
      const int64_t per_class = mine.count / 10;
      const int64_t there = i % 10 * per_class + i / 10;
      const int32_t label = read_one (shapes, self, i, 0, image);
      double error = 0;

      ck_assert_str_eq (mine.target->category[label],
                        theirs.target->category[label]);
      ck_assert_int_eq (read_one (folder, read, there, 0, back), label);
      for (k = 0; k < FLOATS; k++)
        error += fabs ((double) (image[k] - back[k])) / FLOATS;
      /* quality 95 on noisy samples: a few levels of 255 */
      ck_assert_msg (error < 6.0 / 255.0 / 0.25, "%d: %g", i, error);
      snprintf (path, sizeof path, "%s/%s/%s/%09d.jpg", top, splits[s],
                mine.target->category[label], i);
      ck_assert_msg (shapes->read_file (self, worker, path, input) == 0, "%s",
                     qk_error_message ());
      ck_assert_mem_eq (file, back, sizeof file);
    }
    shapes->worker_free (worker);
    shapes->close (self);
    folder->close (read);
  }
}
END_TEST

START_TEST (test_export_faults)
{
  void *self = open_with (shapes, "val", false, 1, "val_count=1");
  void *none = open_with (shapes, NULL, false, 1, "");

  ck_assert_int_eq (shapes->export_files (self, "no/such/folder"), -ENOENT);
  ck_assert_int_eq (shapes->export_files (none, top), -EINVAL);
  shapes->close (self);
  shapes->close (none);
}
END_TEST

START_TEST (test_refused)
{
  const struct qk_dataset_request req = { ctx, "test", false, 1 };
  struct qk_config *cfg;
  void *self;

  ck_assert_int_eq (
    qk_config_parse (shapes->cls.options, "size=4", "test", &cfg), -EINVAL);
  ck_assert_int_eq (qk_config_parse (shapes->cls.options, "", "test", &cfg),
                    0);
  ck_assert_int_eq (shapes->open (cfg, &req, &self), -EINVAL);
  qk_config_free (cfg);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("shapes");
  TCase *tc = tcase_create ("shapes");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_info);
  tcase_add_test (tc, test_repeats);
  tcase_add_test (tc, test_balance_and_range);
  tcase_add_test (tc, test_flips);
  tcase_add_test (tc, test_export);
  tcase_add_test (tc, test_export_faults);
  tcase_add_test (tc, test_refused);
  suite_add_tcase (s, tc);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? 0 : 1;
}
