/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_npy_data.c: arrays as a dataset: which array is what, axes, splits,
 * categories, and all that can be wrong with them. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/tensorfile.h"
#include "qatkit/dataset.h"

#define N 20 /* samples */

static struct qk_context *ctx;
static const struct qk_dataset_class *ds;
static char dir[64];

/* Write NAME as an array (N or DIMS[0], …) of X. */
static void
put (const char *name, enum qk_dtype dtype, const struct qk_shape *shape,
     const void *x)
{
  char path[128];
  struct qk_format_entry e
    = { "x", { dtype, *shape, (void *) (uintptr_t) x, { 0, 0, 0, 0 } } };

  snprintf (path, sizeof path, "%s/%s", dir, name);
  ck_assert_msg (qk_tensorfile_write (ctx, path, NULL, &e, 1, NULL, 0) == 0,
                 "%s", qk_error_message ());
}

static float image[N][2][3][4];
static int64_t label[N];

static void
put_images (void)
{
  put ("x.npy", QK_F32, &(struct qk_shape){ 4, { N, 2, 3, 4 } }, image);
}

static void
put_labels (int64_t n)
{
  put ("y.npy", QK_I64, &(struct qk_shape){ 1, { n } }, label);
}

static void
setup (void)
{
  const struct qk_class *cls;
  int i;

  strcpy (dir, "check_npy_data-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  ck_assert_msg (qk_context_class (ctx, QK_KIND_DATASET, "npy", &cls) == 0,
                 "%s", qk_error_message ());
  ds = (const struct qk_dataset_class *) cls;
  for (i = 0; i < N * 24; i++)
    (&image[0][0][0][0])[i] = (float) i;
  for (i = 0; i < N; i++)
    label[i] = i % 5;
  put_images ();
  put_labels (N);
}

static void
teardown (void)
{
  char command[128];

  qk_context_free (ctx);
  snprintf (command, sizeof command, "rm -rf %s", dir);
  ck_assert_int_eq (system (command), 0);
}

static int
open_split (const char *split, const char *options, void **self)
{
  const struct qk_dataset_request req = { ctx, split, false, 1 };
  char text[1024];
  struct qk_config *cfg;
  int err;

  snprintf (text, sizeof text, "root=%s %s", dir, options);
  err = qk_config_parse (ds->cls.options, text, "test", &cfg);
  ck_assert_msg (err == 0, "%s", qk_error_message ());
  *self = NULL;
  err = ds->open (cfg, &req, self);
  qk_config_free (cfg);
  return err;
}

static void *
opened (const char *split, const char *options, struct qk_dataset_info *info)
{
  void *self;

  ck_assert_msg (open_split (split, options, &self) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (ds->info (self, info), 0);
  return self;
}

static int
read_one (void *self, int64_t index, void *x, void *y)
{
  void *const input[] = { x }, *const target[] = { y };
  void *worker = NULL;
  struct qk_rng rng;
  int err;

  qk_rng_seed (&rng, 1, 0);
  ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  err = ds->read (self, worker, index, &rng, input, target);
  ds->worker_free (worker);
  return err;
}

static void
refuse (const char *split, const char *options, int expected, const char *word)
{
  void *self;
  const int err = open_split (split, options, &self);

  ck_assert_msg (err == expected && strstr (qk_error_message (), word),
                 "%d: %s", err, qk_error_message ());
}

#define XY "inputs=x.npy targets=y.npy "

/* ---- what is delivered -------------------------------------------------*/

START_TEST (specs)
{
  struct qk_dataset_info info;
  char text[80];
  void *self
    = opened ("train", XY "val_inputs=x.npy val_targets=y.npy", &info);

  ck_assert_int_eq (info.count, N);
  ck_assert_str_eq (qk_spec_print (info.input, text, sizeof text),
                    "x f32 (1,2,3,4)");
  ck_assert_str_eq (qk_spec_print (info.target, text, sizeof text),
                    "y i32 (1)");
  ck_assert_int_eq (info.target->categories, 5);
  for (int64_t i = 0; i < N; i++)
    ck_assert_int_eq (ds->category (self, i), label[i]);
  ds->close (self);

  self = opened ("val",
                 "inputs=\"image = x.npy\" targets=\"class=y.npy\" "
                 "categories=0 layout=nchw val_share=0.5",
                 &info);
  ck_assert_int_gt (info.count, 0);
  ck_assert_int_lt (info.count, N);
  ck_assert_str_eq (qk_spec_print (info.input, text, sizeof text),
                    "image f32 (1,3,4,2)");
  ck_assert_str_eq (qk_spec_print (info.target, text, sizeof text),
                    "class f32 (1)");
  ds->close (self);
}
END_TEST

START_TEST (layouts)
{
  struct qk_dataset_info info;
  float x[3][4][2];
  int32_t y;
  int c, h, w;
  void *self = opened (
    NULL, XY "layout=nchw scale=0.5 mean=1,2 std=4,0.25 mmap=no", &info);

  ck_assert_int_eq (read_one (self, 7, x, &y), 0);
  ck_assert_int_eq (y, 2);
  for (h = 0; h < 3; h++)
    for (w = 0; w < 4; w++)
      for (c = 0; c < 2; c++) {
        const float mean = c ? 2 : 1, std = c ? 0.25f : 4;

        ck_assert (x[h][w][c] == (image[7][c][h][w] * 0.5f - mean) / std);
      }
  ds->close (self);

  put ("g.npy", QK_F32, &(struct qk_shape){ 3, { N, 4, 6 } }, image);
  self = opened ("train", "inputs=g.npy layout=nhw", &info);
  ck_assert_int_eq (info.input->shape.ndim, 4);
  ck_assert_int_eq (info.input->shape.dims[3], 1);
  ck_assert_int_eq (info.n_targets, 0);
  ds->close (self);
  self = opened ("train", "inputs=y.npy", &info);
  ck_assert_int_eq (info.input->shape.ndim, 2);
  ck_assert_int_eq (info.input->shape.dims[1], 1);
  ds->close (self);
}
END_TEST

/* Both splits together are all samples, each once. */
START_TEST (share)
{
  bool seen[N] = { false };
  struct qk_dataset_info info;
  float x[24];
  int32_t y;
  int split, i, total = 0;

  for (split = 0; split < 2; split++) {
    void *self = opened (split ? "val" : "train", XY "val_share=0.3", &info);

    total += (int) info.count;
    for (i = 0; i < info.count; i++) {
      int row;

      ck_assert_int_eq (read_one (self, i, x, &y), 0);
      row = (int) x[0] / 24;
      ck_assert (!seen[row] && y == label[row]);
      seen[row] = true;
    }
    ds->close (self);
  }
  ck_assert_int_eq (total, N);
  ds->close (opened ("train", XY "limit=3", &info));
  ck_assert_int_eq (info.count, 3);
}
END_TEST

START_TEST (names_and_masks)
{
  struct qk_dataset_info info;
  uint8_t mask[N][2][3];
  int32_t y[6];
  float x[24];
  char path[128];
  void *self;
  FILE *f;

  memset (mask, 0, sizeof mask);
  mask[1][1][2] = 255;
  mask[4][0][1] = 2;
  put ("m.npy", QK_U8, &(struct qk_shape){ 3, { N, 2, 3 } }, mask);
  snprintf (path, sizeof path, "%s/names", dir);
  f = fopen (path, "w");
  ck_assert_ptr_nonnull (f);
  fputs ("\xef\xbb\xbf"
         "sky\r\nsea\nland\n\n",
         f);
  fclose (f);
  self = opened (NULL, "inputs=x.npy targets=m.npy ignore=255 names=names",
                 &info);
  ck_assert_int_eq (info.target->categories, 3);
  ck_assert_str_eq (info.target->category[0], "sky");
  ck_assert_str_eq (info.target->category[2], "land");
  ck_assert_int_eq (read_one (self, 1, x, y), 0);
  ck_assert (y[0] == 0 && y[5] == QK_NO_CATEGORY);
  ck_assert_int_eq (read_one (self, 4, x, y), 0);
  ck_assert_int_eq (y[1], 2);
  ds->close (self);
  refuse ("train", "inputs=x.npy targets=m.npy names=names", -EINVAL,
          "3 names, target 'm' has 256 categories");
  refuse ("train", "inputs=x.npy names=names", -EINVAL, "no target");
  refuse ("train", "inputs=x.npy targets=m.npy names=x.npy", -EBADMSG,
          "not a text file");
}
END_TEST

/* ---- what is refused ---------------------------------------------------*/

START_TEST (refused)
{
  put_labels (N - 1);
  refuse ("train", XY, -EINVAL, "x.npy has 20 samples,");
  refuse ("train", XY, -EINVAL, "y.npy has 19");
  put_labels (N);
  refuse ("train", "targets=y.npy", -EINVAL, "where are the arrays");
  refuse ("test", XY, -EINVAL, "'test'");
  refuse ("train", "inputs=none.npy", -ENOENT, "none.npy");
  refuse ("train", "inputs=x.npy,x.npy", -EINVAL, "two arrays are called 'x'");
  refuse ("train", "inputs==x.npy", -EINVAL, "expected FILE or NAME");
  refuse ("train", XY "val_targets=y.npy", -EINVAL, "without val_inputs");
  refuse ("train", XY "layout=chw", -EINVAL, "got 'chw'");
  refuse ("train", XY "layout=nhw", -EINVAL, "x.npy is (20,2,3,4)");
  refuse ("train", XY "layout=nchw,nhwc", -EINVAL, "more layouts");
  refuse ("train", XY "mean=1,2", -EINVAL, "4 channels of input 'x'");
  refuse ("val", XY "val_share=0.000001", -EINVAL, "none for evaluation");
  label[3] = -7;
  put_labels (N);
  refuse ("train", XY, -EINVAL, "row 3");
  refuse ("train", XY, -EINVAL, "is -7, which is no category");
}
END_TEST

START_TEST (bad_samples)
{
  struct qk_dataset_info info;
  float x[24];
  int32_t y;
  void *self;

  image[2][1][0][3] = NAN;
  label[5] = 77;
  put_images ();
  put_labels (N);
  self = opened (NULL, XY "categories=5", &info);
  ck_assert_int_eq (ds->category (self, 5), QK_NO_CATEGORY);
  ck_assert_int_eq (read_one (self, 0, x, &y), 0);
  ck_assert_int_eq (read_one (self, 2, x, &y), -EBADMSG);
  ck_assert_ptr_nonnull (
    strstr (qk_error_message (), "x.npy: row 2, element (1,0,3) is nan"));
  ck_assert_int_eq (read_one (self, 5, x, &y), -EBADMSG);
  ck_assert_ptr_nonnull (strstr (
    qk_error_message (), "y.npy: row 5 is 77, outside the 5 categories"));
  ck_assert_int_eq (read_one (self, N, x, &y), -EINVAL);
  ds->close (self);
}
END_TEST

/* ---- files of the user's -----------------------------------------------*/

static int
read_file (void *self, const char *name, float *x)
{
  void *const input[] = { x };
  char path[128];

  snprintf (path, sizeof path, "%s/%s", dir, name);
  return ds->read_file (self, NULL, path, input);
}

START_TEST (single)
{
  struct qk_dataset_info info;
  float expected[24], x[24];
  int32_t y;
  void *self = opened (NULL, XY "layout=nchw mean=3", &info);

  ck_assert_int_eq (read_one (self, 4, expected, &y), 0);
  put ("one.npy", QK_F32, &(struct qk_shape){ 3, { 2, 3, 4 } }, image[4]);
  ck_assert_msg (read_file (self, "one.npy", x) == 0, "%s",
                 qk_error_message ());
  ck_assert (memcmp (x, expected, sizeof x) == 0);
  put ("one.npy", QK_F32, &(struct qk_shape){ 4, { 1, 2, 3, 4 } }, image[4]);
  memset (x, 0, sizeof x);
  ck_assert_int_eq (read_file (self, "one.npy", x), 0);
  ck_assert (memcmp (x, expected, sizeof x) == 0);
  ck_assert_int_eq (read_file (self, "x.npy", x), -EBADMSG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "(20,2,3,4)"));
  ck_assert_int_eq (read_file (self, "none.npy", x), -ENOENT);
  ds->close (self);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("npy dataset");
  TCase *t = tcase_create ("npy dataset");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_test (t, specs);
  tcase_add_test (t, layouts);
  tcase_add_test (t, share);
  tcase_add_test (t, names_and_masks);
  tcase_add_test (t, refused);
  tcase_add_test (t, bad_samples);
  tcase_add_test (t, single);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? 1 : 0;
}
