/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_datasets.c: tables, IDX files and CIFAR as datasets: what is delivered
 * of small files made here, and what is said of bad ones. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/folder.h"

static float image[32 * 32 * 3];

/* ---- csv ---------------------------------------------------------------*/

static char told[512];

static int
on_found (void *cookie, const char *key, const char *value)
{
  const size_t n = strlen (told);

  (void) cookie;
  snprintf (told + n, sizeof told - n, "%s=%s ", key, value);
  return 0;
}

#define TABLE "train=DIR/t.csv val=DIR/v.csv labels=kind "

START_TEST (tables)
{
  struct qk_dataset_info info;
  float x[2], file[2];
  void *const input[] = { file };
  int32_t label;
  void *self;
  int i;

  folder_put_text ("t.csv", "a,kind,b\n1,x,5\n3,y,5\n5,x,5\n");
  folder_put_text ("v.csv", "a,kind,b\n3,y,7\n,y,7\n3,y,inf\n");
  self = folder_opened ("csv", "train", TABLE, &info);
  ck_assert_int_eq (info.count, 3);
  ck_assert_int_eq (info.input->shape.dims[1], 2);
  ck_assert_str_eq (info.target->category[1], "y");
  for (i = 0; i < 3; i++) {
    ck_assert_int_eq (folder_read (self, i, x, &label, NULL), 0);
    /* mean 3, std sqrt (8/3); b never changes */
    ck_assert_float_eq_tol (x[0], (float) (i - 1) * 2 / sqrtf (8.0f / 3),
                            1e-6f);
    ck_assert (x[1] == 0 && label == i % 2);
  }
  told[0] = 0;
  ck_assert_int_eq (folder.ds->found (self, on_found, NULL), 0);
  ck_assert_str_eq (told, "features=a,b mean=3,5 std=1.63299322,1 ");
  folder.ds->close (self);
  self = folder_opened ("csv", "val", TABLE, &info);
  ck_assert_int_eq (folder_read (self, 0, x, &label, NULL), 0);
  ck_assert (x[0] == 0 && x[1] == 2 && label == 1);
  ck_assert_int_eq (folder_read (self, 1, x, &label, NULL), -EBADMSG);
  folder_says ("v.csv:3: column 'a' is ''");
  ck_assert_int_eq (folder_read (self, 2, x, &label, NULL), -EBADMSG);
  folder_says ("v.csv:4: column 'b' is 'inf'");
  folder.ds->close (self);

  /* elsewhere, without the tables */
  folder_put_text ("one.csv", "b;other;a\n6;z;4.5\n");
  self = folder_opened ("csv", NULL,
                        "features=a,b mean=3,5 std=1.5,2 labels=kind "
                        "train=DIR/gone.csv",
                        &info);
  ck_assert_msg (
    folder.ds->read_file (self, NULL, folder_at ("one.csv"), input) == 0, "%s",
    qk_error_message ());
  ck_assert (file[0] == 1.0f && file[1] == 0.5f);
  ck_assert_int_eq (
    folder.ds->read_file (self, NULL, folder_at ("t.csv"), input), -EBADMSG);
  folder_says ("3 rows below the names, expected one");
  folder_put_text ("one.csv", "b;c\n6;7\n");
  ck_assert_int_eq (
    folder.ds->read_file (self, NULL, folder_at ("one.csv"), input), -EBADMSG);
  folder_says ("no column 'a'");
  folder.ds->close (self);
}
END_TEST

START_TEST (bad_tables)
{
  folder_put_text ("t.csv", "a,kind,b\n1,x,5\n");
  folder_put_text ("v.csv", "a,kind,a\n3,y,7\n");
  folder_refuse ("csv", "train", "", -EINVAL, "which table");
  folder_refuse ("csv", "train", TABLE, -EBADMSG,
                 "two columns are called 'a'");
  folder_refuse ("csv", "train",
                 "train=DIR/t.csv val=DIR/t.csv features=a,kind "
                 "labels=kind",
                 -EINVAL, "'kind' is a target and a feature");
  folder_refuse ("csv", "train",
                 "train=DIR/t.csv val=DIR/t.csv ignore=a,kind,b", -EINVAL,
                 "no column is left");
  folder_refuse ("csv", "train",
                 "train=DIR/t.csv val=DIR/t.csv labels=kind mean=1", -EINVAL,
                 "each of the 2 features");
  folder_refuse ("csv", "val",
                 "train=DIR/t.csv labels=kind val_share=0.000001", -EINVAL,
                 "no samples for evaluation");
}
END_TEST

/* ---- idx ---------------------------------------------------------------*/

static const uint8_t two_images[]
  = { 0, 0, 8, 3, 0, 0, 0, 2, 0,   0, 0, 2, 0, 0,
      0, 3, 0, 1, 2, 3, 4, 5, 255, 0, 0, 0, 0, 51 };
static const uint8_t two_labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 1, 12 };

#define IDX "root=DIR train_images=i train_labels=l val_images=i val_labels=l "

START_TEST (idx)
{
  struct qk_dataset_info info;
  char command[256];
  int32_t label;
  void *self;

  folder_put ("i", two_images, sizeof two_images);
  folder_put ("l", two_labels, sizeof two_labels);
  self = folder_opened ("idx", "train", IDX "mean=0.2 std=0.5", &info);
  ck_assert_int_eq (info.count, 2);
  ck_assert_int_eq (info.input->shape.dims[1], 2);
  ck_assert_int_eq (info.input->shape.dims[2], 3);
  ck_assert_int_eq (info.input->shape.dims[3], 1);
  ck_assert_int_eq (folder_read (self, 0, image, &label, NULL), 0);
  ck_assert (label == 1 && image[0] == (0.0f - 0.2f) / 0.5f);
  ck_assert (image[5] == (5.0f / 255.0f - 0.2f) / 0.5f);
  ck_assert_int_eq (folder_read (self, 1, image, &label, NULL), -EBADMSG);
  folder_says ("label 1 is 12, outside the 10 classes");
  folder.ds->close (self);

  /* compressed */
  snprintf (command, sizeof command, "gzip %s/i", folder.dir);
  if (system (command) == 0) {
    self = folder_opened ("idx", "val", IDX "classes=13", &info);
    ck_assert_int_eq (folder_read (self, 1, image, &label, NULL), 0);
    ck_assert_int_eq (label, 12);
    folder.ds->close (self);
  }
}
END_TEST

START_TEST (bad_idx)
{
  static const uint8_t huge[]
    = { 0, 0, 8, 3, 255, 255, 255, 255, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2 };

  folder_refuse ("idx", "train", IDX, -ENOENT, "nor with .gz");
  folder_put ("i", two_images, sizeof two_images - 1);
  folder_put ("l", two_labels, sizeof two_labels);
  folder_refuse ("idx", "train", IDX, -EBADMSG, "cut short");
  folder_put ("i", huge, sizeof huge);
  folder_refuse ("idx", "train", IDX, -EBADMSG,
                 "claims (4294967295,65536,65536)");
  folder_put ("i", "JUNKJUNKJUNK", 12);
  folder_refuse ("idx", "train", IDX, -EBADMSG, "begins with 4a 55 4e 4b");
  folder_put ("i", two_labels, sizeof two_labels);
  folder_refuse ("idx", "train", IDX, -EINVAL, "expected images");
  folder_put ("i", two_images, sizeof two_images);
  folder_put ("l", "\0\0\10\1\0\0\0\3abc", 11);
  folder_refuse ("idx", "train", IDX, -EINVAL, "has 2 images");
  folder_put ("l", "\0\0\10\1\0\0\0\2abc", 11);
  folder_refuse ("idx", "train", IDX, -EBADMSG, "more than the 2 bytes");
}
END_TEST

/* ---- cifar -------------------------------------------------------------*/

START_TEST (cifar)
{
  static uint8_t batch[2 * 3074];
  struct qk_dataset_info info;
  int32_t label;
  void *self;
  char name[32];
  int i;

  folder_refuse ("cifar", "train", "root=DIR", -ENOENT,
                 "neither data_batch_1.bin");
  batch[0] = 7;
  batch[1] = 255;           /* red of the first pixel */
  batch[1 + 1024 + 1] = 51; /* green of the second */
  batch[3073] = 10;         /* no class */
  for (i = 1; i <= 5; i++) {
    snprintf (name, sizeof name, "data_batch_%d.bin", i);
    folder_put (name, batch, 2 * 3073);
  }
  folder_put_text ("batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  self = folder_opened ("cifar", "train", "root=DIR mean=0 std=1", &info);
  ck_assert_int_eq (info.count, 10);
  ck_assert_str_eq (info.target->category[7], "h");
  ck_assert_int_eq (folder_read (self, 4, image, &label, NULL), 0);
  ck_assert (label == 7 && image[0] == 1.0f && image[1] == 0.0f);
  ck_assert (image[4] == 0.2f && image[3] == 0.0f);
  ck_assert_int_eq (folder_read (self, 5, image, &label, NULL), -EBADMSG);
  folder_says ("data_batch_3.bin: label of image 1 is 10");
  folder.ds->close (self);
  folder_put ("test_batch.bin", batch, 3074);
  folder_refuse ("cifar", "val", "root=DIR", -EBADMSG, "multiple of 3073");

  memset (batch, 0, sizeof batch);
  batch[0] = 19;
  batch[1] = 99;
  folder_put ("train.bin", batch, 2 * 3074);
  self = folder_opened ("cifar", "train", "root=DIR kind=100-fine", &info);
  ck_assert_int_eq (info.target->categories, 100);
  ck_assert_int_eq (folder_read (self, 0, image, &label, NULL), 0);
  ck_assert_int_eq (label, 99);
  folder.ds->close (self);
  self = folder_opened ("cifar", "train", "root=DIR kind=100-coarse", &info);
  ck_assert_int_eq (folder_read (self, 0, image, &label, NULL), 0);
  ck_assert_int_eq (label, 19);
  folder.ds->close (self);
}
END_TEST

/* A file for Python as Python 2 wrote them (protocol 2): N images, the first
 * byte of number I being I + 1, with LABEL. */
static size_t
pickled (uint8_t *to, const uint8_t *label, int n)
{
  static const char head[]
    = "\200\2}q\1(U\13batch_labelq\2U\5datumq\3U\6labelsq\4]q\5";
  static const char tail[] = "q\24tq\25bU\11filenamesq\26]q\27u.";
  static const char array[] = "U\4dataq\6cnumpy.core.multiarray\n_"
                              "reconstruct\nq\7cnumpy\nndarray\nq\10"
                              "K\0\205q\tU\1bq\n\207q\13Rq\14("
                              "K\1M\2\0M\0\14\206q\15cnumpy\ndtype\nq\16"
                              "U\2u1q\17K\0K\1\207q\20Rq\21(K\3U\1|"
                              "q\22NNNJ\377\377\377\377J\377\377\377"
                              "\377K\0tq\23b\211T";
  uint8_t *p = to;
  int i;

  p = (uint8_t *) mempcpy (p, head, sizeof head - 1);
  if (n > 1)
    *p++ = '(';
  for (i = 0; i < n; i++) {
    *p++ = 'K';
    *p++ = label[i];
  }
  *p++ = n > 1 ? 'e' : 'a';
  p = (uint8_t *) mempcpy (p, array, sizeof array - 1);
  for (i = 0; i < 4; i++)
    *p++ = (uint8_t) (n * 3072 >> (8 * i));
  for (i = 0; i < n; i++, p += 3072) {
    memset (p, 0, 3072);
    p[0] = (uint8_t) (i + 1);
  }
  p = (uint8_t *) mempcpy (p, tail, sizeof tail - 1);
  return (size_t) (p - to);
}

START_TEST (cifar_for_python)
{
  static const uint8_t labels[] = { 7, 3, 10 };
  static const char meta[] = "\200\2}q\1(U\13label_namesq\4]q\5(U\1aU\1bU\1c"
                             "U\1dU\1eU\1fU\1gU\1hU\1iU\2jjeu.";
  static uint8_t file[3 * 3072 + 400];
  struct qk_dataset_info info;
  char name[32];
  int32_t label;
  void *self;
  size_t n;
  int i;

  for (i = 1; i <= 5; i++) {
    snprintf (name, sizeof name, "data_batch_%d", i);
    folder_put (name, file, pickled (file, labels, i == 1 ? 3 : 1));
  }
  folder_put ("batches.meta", meta, sizeof meta - 1);
  self = folder_opened ("cifar", "train", "root=DIR mean=0 std=1", &info);
  ck_assert_int_eq (info.count, 7);
  ck_assert_str_eq (info.target->category[9], "jj");
  ck_assert_int_eq (folder_read (self, 1, image, &label, NULL), 0);
  ck_assert (label == 3 && image[0] == 2.0f / 255.0f && image[3] == 0.0f);
  ck_assert_int_eq (folder_read (self, 6, image, &label, NULL), 0);
  ck_assert_int_eq (label, 7);
  ck_assert_int_eq (folder_read (self, 2, image, &label, NULL), -EBADMSG);
  folder_says ("data_batch_1: label of image 2 is 10");
  folder.ds->close (self);

  /* one label less than images, cut short, another key, and no pickle */
  n = pickled (file, labels, 2);
  file[44] = 'q'; /* a number for the memo instead of a label */
  folder_put ("test_batch", file, n);
  folder_refuse ("cifar", "val", "root=DIR", -EBADMSG,
                 "2 images and 1 labels");
  n = pickled (file, labels, 2);
  folder_put ("test_batch", file, n - 30);
  folder_refuse ("cifar", "val", "root=DIR", -EBADMSG, "cut short");
  folder_put ("train", file, n);
  folder_refuse ("cifar", "train", "root=DIR kind=100-fine", -EBADMSG,
                 "there is no \"fine_labels\"");
  memset (file, 'P', 4000);
  folder_put ("test_batch", file, 4000);
  folder_refuse ("cifar", "val", "root=DIR", -EBADMSG,
                 "not a pickled file of CIFAR");
  folder_refuse ("cifar", "val", "root=DIR kind=100-fine", -ENOENT,
                 "no test.bin, with or without its ending");
}
END_TEST

/* Moved and mirrored training images: every pixel is one of the image's, or a
 * zero around it. */
START_TEST (augmentation)
{
  static uint8_t batch[3073];
  const struct qk_dataset_request req = { folder.ctx, "train", true, 1 };
  const struct qk_class *cls;
  struct qk_config *cfg;
  struct qk_rng rng;
  char text[200];
  int32_t label;
  void *self, *const input[] = { image }, *const target[] = { &label };
  int i, k, moved = 0, mirrored = 0;

  for (i = 0; i < 1024; i++) /* the column's number, from 1 */
    batch[1 + i] = (uint8_t) (1 + i % 32);
  for (i = 1; i <= 5; i++) {
    snprintf (text, sizeof text, "data_batch_%d.bin", i);
    folder_put (text, batch, sizeof batch);
  }
  ck_assert_int_eq (
    qk_context_class (folder.ctx, QK_KIND_DATASET, "cifar", &cls), 0);
  folder.ds = (const struct qk_dataset_class *) cls;
  snprintf (text, sizeof text, "root=%s mean=0 std=1", folder.dir);
  ck_assert_int_eq (qk_config_parse (cls->options, text, "test", &cfg), 0);
  ck_assert_int_eq (folder.ds->open (cfg, &req, &self), 0);
  qk_config_free (cfg);
  for (k = 0; k < 200; k++) {
    int first, second;

    qk_rng_seed (&rng, 1, (uint64_t) k);
    ck_assert_int_eq (folder.ds->read (self, NULL, 0, &rng, input, target), 0);
    /* a row of the middle, whose rows are there wherever it moved */
    first = (int) lroundf (image[(16 * 32 + 10) * 3] * 255);
    second = (int) lroundf (image[(16 * 32 + 11) * 3] * 255);
    ck_assert_int_eq (abs (first - second), 1);
    mirrored += second < first;
    moved += first != 11 && first != 22;
    ck_assert (first >= 11 - 4 && first <= 22 + 4);
  }
  ck_assert (mirrored > 60 && mirrored < 140 && moved > 150);
  folder.ds->close (self);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("datasets");
  TCase *t = tcase_create ("datasets");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, folder_setup, folder_teardown);
  tcase_add_test (t, tables);
  tcase_add_test (t, bad_tables);
  tcase_add_test (t, idx);
  tcase_add_test (t, bad_idx);
  tcase_add_test (t, cifar);
  tcase_add_test (t, cifar_for_python);
  tcase_add_test (t, augmentation);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? 1 : 0;
}
