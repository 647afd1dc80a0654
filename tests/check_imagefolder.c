/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_imagefolder.c: folders of images as a dataset: order, faults,
 * augmentation, and through the batch loader. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/batches.h"
#include "qatkit/context.h"

#define CROP 24
#define FLOATS (CROP * CROP * 3)

static struct qk_context *ctx;
static const struct qk_dataset_class *ds;
static char top[64];
static char warning[512];
static int warnings;

static void
on_log (void *cookie, enum qk_log_level level, const char *message)
{
  (void) cookie;
  if (level != QK_LOG_WARNING)
    return;
  snprintf (warning, sizeof warning, "%s", message);
  warnings++;
}

/* ---- a folder to play in ---------------------------------------------*/

static const char *
at (const char *name)
{
  static char path[512];

  snprintf (path, sizeof path, "%s/%s", top, name);
  return path;
}

static void
folder (const char *name)
{
  ck_assert_int_eq (mkdir (at (name), 0777), 0);
}

static void
put (const char *name, const void *data, size_t size)
{
  FILE *f = fopen (at (name), "wb");

  ck_assert_ptr_nonnull (f);
  ck_assert_uint_eq (fwrite (data, 1, size, f), size);
  ck_assert_int_eq (fclose (f), 0);
}

/* Copy the first KEEP bytes (0: all) of a golden image. */
static void
copy (const char *golden, const char *name, size_t keep)
{
  static uint8_t data[1 << 16];
  char path[4096];
  const char *src = getenv ("abs_top_srcdir");
  FILE *f;
  size_t size;

  snprintf (path, sizeof path, "%s/tests/golden/%s%s.jpg", src ? src : ".",
            strchr (golden, '/') ? "" : "jpeg/", golden);
  f = fopen (path, "rb");
  ck_assert_msg (f != NULL, "%s is missing", path);
  size = fread (data, 1, sizeof data, f);
  fclose (f);
  put (name, data, keep ? keep : size);
}

static void
setup (void)
{
  const struct qk_class *cls;

  strcpy (top, "check_imagefolder-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (top));
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  qk_context_set_log (ctx, on_log, NULL, QK_LOG_INFO);
  warnings = 0;
  ck_assert_msg (qk_context_class (ctx, QK_KIND_DATASET, "imagefolder", &cls)
                   == 0,
                 "%s", qk_error_message ());
  ds = (const struct qk_dataset_class *) cls;

  folder ("train");
  folder ("train/b");
  folder ("train/B");
  folder ("train/a");
  folder ("train/a/sub");
  folder ("train/a/sub-x");
  folder ("train/.hidden");
  copy ("gray", "train/b/2.jpg", 0);
  copy ("rgb420", "train/b/10.JPEG", 0);
  copy ("rgb444", "train/b/.x.jpg", 0);
  copy ("cmyk", "train/B/z.Jpg", 0);
  copy ("ycck", "train/a/q.jpeg", 0);
  copy ("wide", "train/a/sub/c.jpg", 0);
  copy ("tall", "train/a/sub/a.jpg", 0);
  copy ("odd", "train/a/sub-x/a.jpg", 0);
  put ("train/b/notes.txt", "x", 1);
  put ("train/README.jpg", "x", 1);
}

static void
teardown (void)
{
  char command[128];

  qk_context_free (ctx);
  snprintf (command, sizeof command, "rm -rf %s", top);
  ck_assert_int_eq (system (command), 0);
}

/* Open a split of the folder with OPTIONS; the error or 0. */
static int
open_split (const char *split, bool augment, const char *options, void **self)
{
  const struct qk_dataset_request req = { ctx, split, augment, 1 };
  char text[1024];
  struct qk_config *cfg;
  int err;

  snprintf (text, sizeof text, "%s%s resize=32 %s %s",
            strstr (options, "root=") ? "" : "root=",
            strstr (options, "root=") ? "" : top,
            strstr (options, "crop=") ? "" : "crop=24", options);
  err = qk_config_parse (ds->cls.options, text, "test", &cfg);
  ck_assert_msg (err == 0, "%s", qk_error_message ());
  *self = NULL;
  err = ds->open (cfg, &req, self);
  qk_config_free (cfg);
  return err;
}

static void *
open_train (bool augment)
{
  void *self;

  ck_assert_msg (open_split ("train", augment, "", &self) == 0, "%s",
                 qk_error_message ());
  return self;
}

/* Read one image with a worker of its own. */
static int
read_one (void *self, int64_t index, uint64_t seed, float *image,
          int32_t *label)
{
  void *const input[] = { image }, *const target[] = { label };
  struct qk_rng rng;
  void *worker = NULL;
  int err;

  qk_rng_seed (&rng, seed, 0);
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  err = ds->read (self, worker, index, &rng, input, target);
  ds->worker_free (worker);
  return err;
}

/* ---- order -----------------------------------------------------------*/

START_TEST (test_order)
{
  /* classes by bytes: B, a, b; within a: files, then sub, then sub-x */
  static const char *const files[]
    = { "train/B/z.Jpg",     "train/a/q.jpeg",      "train/a/sub/a.jpg",
        "train/a/sub/c.jpg", "train/a/sub-x/a.jpg", "train/b/10.JPEG",
        "train/b/2.jpg" };
  static const int32_t labels[] = { 0, 1, 1, 1, 1, 2, 2 };
  static float image[FLOATS], expected[FLOATS];
  void *self = open_train (false), *worker = NULL;
  void *const input[] = { expected };
  struct qk_dataset_info info;
  char text[80];
  int32_t label;
  int i;

  ck_assert_int_eq (warnings, 1);
  ck_assert_msg (strstr (warning, "/train: 1 file beside 7 images left out "
                                  "(1 .txt): images are .jpg"),
                 "%s", warning);
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_eq (info.count, 7);
  ck_assert_int_eq (info.n_inputs, 1);
  ck_assert_int_eq (info.n_targets, 1);
  ck_assert_str_eq (qk_spec_print (info.target, text, sizeof text),
                    "label i32 (1)");
  ck_assert_int_eq (info.target->categories, 3);
  ck_assert_str_eq (info.target->category[0], "B");
  ck_assert_str_eq (info.target->category[1], "a");
  ck_assert_str_eq (info.target->category[2], "b");
  ck_assert_str_eq (qk_spec_print (info.input, text, sizeof text),
                    "image f32 (1,24,24,3)");
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  for (i = 0; i < 7; i++) {
    ck_assert_msg (read_one (self, i, 0, image, &label) == 0, "%s",
                   qk_error_message ());
    ck_assert_int_eq (label, labels[i]);
    ck_assert_msg (ds->read_file (self, worker, at (files[i]), input) == 0,
                   "%s", qk_error_message ());
    ck_assert_msg (memcmp (image, expected, sizeof image) == 0,
                   "image %d is not %s", i, files[i]);
  }
  ck_assert_int_eq (read_one (self, 7, 0, image, &label), -EINVAL);
  ds->worker_free (worker);
  ds->close (self);
}
END_TEST

/* A file is what its content says; channels and orientation by the options. */
START_TEST (test_pixels)
{
  static float turned[FLOATS], lying[FLOATS], expected[FLOATS];
  void *const input[] = { expected };
  struct qk_dataset_info info;
  char text[80];
  int32_t label;
  void *self, *worker = NULL;
  int i, same = 0;

  copy ("image/exif6", "train/B/a.png", 0);
  ck_assert_int_eq (open_split ("train", false, "channels=1", &self), 0);
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_eq (info.count, 8);
  ck_assert_str_eq (qk_spec_print (info.input, text, sizeof text),
                    "image f32 (1,24,24,1)");
  ck_assert_msg (read_one (self, 0, 0, turned, &label) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  ck_assert_int_eq (ds->read_file (self, worker, at ("train/B/a.png"), input),
                    0);
  ck_assert (memcmp (turned, expected, CROP * CROP * sizeof *turned) == 0);
  ds->worker_free (worker);
  ds->close (self);
  ck_assert_int_eq (
    open_split ("train", false, "channels=1 exif=ignore mean=0 std=1", &self),
    0);
  ck_assert_int_eq (read_one (self, 0, 0, lying, &label), 0);
  ds->close (self);
  for (i = 0; i < CROP * CROP; i++) {
    ck_assert (lying[i] >= 0 && lying[i] <= 1);
    /* the means of three */
    same += fabsf (turned[i] - (lying[i] - 0.449f) / 0.226f) < 1e-4f;
  }
  ck_assert_int_lt (same, CROP * CROP / 2);
  ck_assert_int_eq (open_split ("train", false, "channels=4", &self), 0);
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_eq (info.input->shape.dims[3], 4);
  ds->close (self);
}
END_TEST

/* Without a folder for evaluation: a share of the training images, or those of
 * a list; both splits together are all of them, each once. */
START_TEST (test_share)
{
  static const char *const options[]
    = { "val_share=0.5", "val_list=check_imagefolder-list" };
  static float image[FLOATS];
  struct qk_dataset_info info;
  int64_t count[2], k, i;
  int32_t label;
  void *self;
  FILE *f = fopen ("check_imagefolder-list", "w");

  ck_assert_ptr_nonnull (f);
  fputs ("b/2.jpg\na/sub/c.jpg\n", f);
  fclose (f);
  for (i = 0; i < 2; i++) {
    for (k = 0; k < 2; k++) {
      ck_assert_msg (open_split (k ? "val" : "train", false, options[i], &self)
                       == 0,
                     "%s", qk_error_message ());
      ck_assert_int_eq (ds->info (self, &info), 0);
      ck_assert_int_eq (info.target->categories, 3);
      count[k] = info.count;
      if (i == 1 && k == 1) {
        ck_assert_int_eq (read_one (self, 0, 0, image, &label), 0);
        ck_assert_int_eq (label, 1);
        ck_assert_int_eq (read_one (self, 1, 0, image, &label), 0);
        ck_assert_int_eq (label, 2);
      }
      ds->close (self);
    }
    ck_assert_int_eq (count[0] + count[1], 7);
    ck_assert (count[1] > 0 && count[1] < 7);
  }
  f = fopen ("check_imagefolder-list", "a");
  fputs ("b/none.jpg\n", f);
  fclose (f);
  ck_assert_int_eq (open_split ("val", false, options[1], &self), -EINVAL);
  ck_assert_ptr_nonnull (
    strstr (qk_error_message (), "names 3 images, of which 2"));
  unlink ("check_imagefolder-list");
  ck_assert_int_eq (open_split ("val", false, "", &self), -ENOENT);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "val_share"));
}
END_TEST

/* Make everything look as if it was made SECONDS ago. */
static void
age (int seconds)
{
  char command[256];

  snprintf (command, sizeof command,
            "find %s -type d -exec touch -d '%d seconds ago' {} +", top,
            seconds);
  ck_assert_int_eq (system (command), 0);
}

static int64_t
count_with (const char *options)
{
  struct qk_dataset_info info;
  void *self;

  ck_assert_msg (open_split ("train", false, options, &self) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (ds->info (self, &info), 0);
  ds->close (self);
  return info.count;
}

/* The list of images is taken from the file as long as folders are as old as
 * they were: a file that is put there without its folder's time changing is not
 * seen, which shows that nobody looked. */
START_TEST (test_index)
{
  static const char option[] = "index=check_imagefolder-index";
  static const char file[] = "check_imagefolder-index.train";
  FILE *f;
  void *self;

  unlink (file);
  ck_assert_int_eq (count_with (option), 7);
  ck_assert_int_ne (access (file, F_OK), 0); /* the folders are too new */
  age (100);
  ck_assert_int_eq (count_with (option), 7);
  ck_assert_int_eq (access (file, F_OK), 0);
  copy ("jpeg/odd", "train/b/new.jpg", 0);
  age (100); /* another time, as 100 seconds ago is later now */
  ck_assert_int_eq (count_with (option), 8);
  ck_assert_int_eq (count_with ("index=check_imagefolder-index limit=2"),
                    count_with ("limit=2"));
  {
    struct stat st;
    struct timespec times[2];

    ck_assert_int_eq (stat (at ("train/b"), &st), 0);
    unlink (at ("train/b/new.jpg"));
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    ck_assert_int_eq (utimensat (AT_FDCWD, at ("train/b"), times, 0), 0);
  }
  ck_assert_int_eq (count_with (option), 8);
  age (50);
  ck_assert_int_eq (count_with (option), 7);
  /* somebody else's file stays */
  f = fopen (file, "w");
  ck_assert_ptr_nonnull (f);
  fputs ("my notes\n", f);
  fclose (f);
  ck_assert_int_eq (open_split ("train", false, option, &self), -EBADMSG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), file));
  unlink (file);
}
END_TEST

/* All images below the folder, in no class. */
START_TEST (test_no_labels)
{
  static const char index[] = "labels=no index=check_imagefolder-flat";
  struct qk_dataset_info info;
  static float image[FLOATS];
  char name[200];
  void *self;

  unlink (at ("train/README.jpg"));
  ck_assert_int_eq (open_split ("train", false, "labels=no", &self), 0);
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_eq (info.count, 7);
  ck_assert_int_eq (info.n_targets, 0);
  ck_assert_int_eq (ds->category (self, 0), QK_NO_CATEGORY);
  ck_assert_int_eq (ds->describe (self, 0, name, sizeof name, NULL), 0);
  ck_assert_str_eq (name, "./B/z.Jpg");
  ck_assert_int_eq (read_one (self, 0, 0, image, NULL), 0);
  ds->close (self);
  ck_assert_int_eq (open_split (NULL, false, "labels=no", &self), 0);
  ds->close (self);
  /* an index of the one kind is none for the other */
  age (100);
  ck_assert_int_eq (count_with (index), 7);
  ck_assert_int_eq (access ("check_imagefolder-flat.train", F_OK), 0);
  ck_assert_int_eq (count_with (index), 7);
  ck_assert_int_eq (
    open_split ("train", false, index + strlen ("labels=no "), &self), 0);
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_eq (info.target->categories, 3);
  ds->close (self);
  unlink ("check_imagefolder-flat.train");
  folder ("none");
  ck_assert_int_eq (open_split ("train", false, "labels=no train=none", &self),
                    -ENODATA);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "none has no .jpg"));
}
END_TEST

START_TEST (test_limit)
{
  struct qk_dataset_info info;
  static float image[FLOATS];
  int32_t label;
  void *self;

  ck_assert_int_eq (open_split ("train", false, "limit=1", &self), 0);
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_eq (info.count, 3);
  ck_assert_int_eq (read_one (self, 2, 0, image, &label), 0);
  ck_assert_int_eq (label, 2);
  ds->close (self);
}
END_TEST

START_TEST (test_links)
{
  struct qk_dataset_info info;
  void *self;

  folder ("elsewhere");
  copy ("odd", "elsewhere/l.jpg", 0);
  ck_assert_int_eq (symlink ("../../elsewhere", at ("train/B/linked")), 0);
  ck_assert_int_eq (symlink ("..", at ("train/B/up")), 0);
  ck_assert_int_eq (symlink (".", at ("train/B/self")), 0);
  ck_assert_int_eq (symlink ("nothing", at ("train/B/broken.jpg")), 0);
  ck_assert_int_eq (symlink ("../a/q.jpeg", at ("train/B/q.jpg")), 0);
  self = open_train (false);
  ck_assert_int_eq (ds->info (self, &info), 0);
  /* "up" leads to all classes (7 images), but not around in circles: its
   * own class is above it */
  ck_assert_int_ge (info.count, 9);
  ck_assert_int_le (info.count, 32);
  ck_assert_int_ge (warnings, 2);
  ds->close (self);
}
END_TEST

/* ---- faults ----------------------------------------------------------*/

static void
refuse (const char *split, const char *options, int expected, const char *word)
{
  void *self;
  const int err = open_split (split, false, options, &self);

  ck_assert_int_eq (err, expected);
  ck_assert_msg (strstr (qk_error_message (), word) != NULL, "%s",
                 qk_error_message ());
}

START_TEST (test_refused)
{
  refuse ("val", "", -ENOENT, "/val");
  refuse ("train", "train=missing", -ENOENT, "/missing");
  refuse ("train", "train=train/README.jpg", -ENOTDIR, "README.jpg");
  refuse ("train", "train=train/b", -ENODATA, "class folders");
  refuse ("test", "", -EINVAL, "'test'");
  refuse ("train", "crop=64", -EINVAL, "crop 64");
  refuse ("train", "mean=0.5", -EINVAL, "mean");
  refuse ("train", "channels=2", -EINVAL, "1, 3 or 4");
  refuse ("train", "background=1,2", -EINVAL, "background");
  folder ("train/empty");
  put ("train/empty/image.gif", "x", 1);
  refuse ("train", "", -ENODATA, "train/empty has no");
  if (geteuid () != 0) {
    ck_assert_int_eq (chmod (at ("train/empty"), 0), 0);
    refuse ("train", "", -EACCES, "train/empty");
    ck_assert_int_eq (chmod (at ("train/empty"), 0777), 0);
  }
}
END_TEST

START_TEST (test_no_root)
{
  const struct qk_dataset_request req = { ctx, "train", false, 1 };
  struct qk_config *cfg;
  void *self;

  ck_assert_int_eq (qk_config_parse (ds->cls.options, "", "test", &cfg), 0);
  ck_assert_int_eq (ds->open (cfg, &req, &self), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "root"));
  qk_config_free (cfg);
}
END_TEST

/* For predict: no split; class names where they can be had. */
START_TEST (test_no_split)
{
  static float image[FLOATS];
  void *const input[] = { image };
  struct qk_dataset_info info;
  void *self, *worker = NULL;

  ck_assert_int_eq (open_split (NULL, false, "", &self), 0);
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_eq (info.count, 0);
  ck_assert_int_eq (info.target->categories, 3);
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  ck_assert_int_eq (ds->read_file (self, worker, at ("train/b/2.jpg"), input),
                    0);
  ck_assert_int_eq (ds->read_file (self, worker, at ("none.jpg"), input),
                    -ENOENT);
  ck_assert_int_eq (
    ds->read_file (self, worker, at ("train/b/notes.txt"), input), -EBADMSG);
  ds->worker_free (worker);
  ds->close (self);
  ck_assert_int_eq (open_split (NULL, false, "root=nowhere", &self), 0);
  ck_assert_int_eq (ds->info (self, &info), 0);
  ck_assert_int_eq (info.target->categories, 0);
  ds->close (self);
}
END_TEST

/* ---- training --------------------------------------------------------*/

START_TEST (test_augment)
{
  static float a[FLOATS], b[FLOATS], c[FLOATS];
  void *self = open_train (true);
  int32_t label;
  int i, differ = 0;

  for (i = 0; i < 7; i++) {
    ck_assert_int_eq (read_one (self, i, 5, a, &label), 0);
    ck_assert_int_eq (read_one (self, i, 5, b, &label), 0);
    ck_assert_int_eq (read_one (self, i, 6, c, &label), 0);
    ck_assert_mem_eq (a, b, sizeof a);
    differ += memcmp (a, c, sizeof a) != 0;
  }
  /* the three narrow images have few boxes to choose from */
  ck_assert_int_ge (differ, 4);
  ds->close (self);
}
END_TEST

START_TEST (test_loader)
{
  struct qk_batches_options o = { .ctx = ctx,
                                  .dataset = ds,
                                  .batch = 3,
                                  .seed = 9,
                                  .shuffle = true,
                                  .max_bad = 0.5 };
  static float images[2][16][FLOATS];
  static int64_t indices[2][16];
  int64_t n[2] = { 0, 0 };
  int k;

  copy ("rgb420", "train/b/cut.jpg", 1500);
  put ("train/b/empty.jpg", "", 0);
  put ("train/b/text.jpg", "text", 4);
  for (k = 0; k < 2; k++) {
    struct qk_batches *b;
    struct qk_batch batch;
    int got;

    o.self = open_train (true);
    o.threads = k ? 5 : 1;
    ck_assert_int_eq (qk_batches_new (&o, &b), 0);
    ck_assert_int_eq (qk_batches_start (b, 4, 0), 0);
    while ((got = qk_batches_next (b, &batch)) == 1) {
      memcpy (images[k][n[k]], batch.input[0],
              (size_t) batch.n * sizeof images[k][0]);
      memcpy (indices[k] + n[k], batch.indices,
              (size_t) batch.n * sizeof *batch.indices);
      n[k] += batch.n;
    }
    ck_assert_msg (got == 0, "%s", qk_error_message ());
    ck_assert_int_eq (qk_batches_bad (b), 3);
    ck_assert_int_eq (n[k], 7);
    qk_batches_free (b);
    ds->close (o.self);
  }
  /* in each: three bad images, a file that is none */
  ck_assert_int_eq (warnings, 8);
  ck_assert_mem_eq (indices[0], indices[1], sizeof indices[0]);
  ck_assert_mem_eq (images[0], images[1], sizeof images[0]);
}
END_TEST

/* A file that cannot be read (not one that cannot be decoded) ends the run
 * and is named. */
START_TEST (test_vanished)
{
  static float image[FLOATS];
  void *self = open_train (false);
  int32_t label;

  ck_assert_int_eq (unlink (at ("train/B/z.Jpg")), 0);
  ck_assert_int_eq (read_one (self, 0, 0, image, &label), -ENOENT);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "train/B/z.Jpg"));
  ds->close (self);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("imagefolder");
  TCase *tc = tcase_create ("imagefolder");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_order);
  tcase_add_test (tc, test_pixels);
  tcase_add_test (tc, test_share);
  tcase_add_test (tc, test_no_labels);
  tcase_add_test (tc, test_limit);
  tcase_add_test (tc, test_index);
  tcase_add_test (tc, test_links);
  tcase_add_test (tc, test_refused);
  tcase_add_test (tc, test_no_root);
  tcase_add_test (tc, test_no_split);
  tcase_add_test (tc, test_augment);
  tcase_add_test (tc, test_loader);
  tcase_add_test (tc, test_vanished);
  suite_add_tcase (s, tc);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? 0 : 1;
}
