/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_image_lists.c: images named in lists, their masks, and shards: what is
 * delivered of small files made here, and what is said of bad ones. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/folder.h"
#include "lib/ok.h"

static float image[32 * 32 * 3];

/* ---- list --------------------------------------------------------------*/

/* The golden image FROM as NAME. */
static void
copy_of (const char *from, const char *name)
{
  const char *src = getenv ("abs_top_srcdir");
  char command[512];

  snprintf (command, sizeof command, "cp '%s/tests/golden/%s' '%s/%s'",
            src ? src : ".", from, folder.dir, name);
  ck_assert_int_eq (system (command), 0);
}

static void
copy (const char *name)
{
  copy_of ("jpeg/odd.jpg", name);
}

#define SMALL "resize=16 crop=16 "

START_TEST (lists)
{
  struct qk_dataset_info info;
  int32_t label;
  float numbers[2];
  void *self;

  ck_assert_int_eq (mkdir (folder_at ("i"), 0777), 0);
  copy ("i/a b.jpg");
  copy ("i/b.jpg");
  folder_put_text ("t.csv", "file,width,kind,age\r\n"
                            "\"i/a b.jpg\",1.5,cat,7\r\n"
                            "\r\n"
                            "i/b.jpg,-2.5e1,dog,10\r\n"
                            "i/none.jpg,3.0,ape,9\r\n");
  folder_put_text ("v.csv", "file,width,kind,age\ni/b.jpg,nan,emu,8\n");
  self = folder_opened (
    "list", "train", SMALL "train=DIR/t.csv val=DIR/v.csv numbers=age", &info);
  ck_assert_int_eq (info.count, 3);
  ck_assert_int_eq (info.n_targets, 2);
  ck_assert_str_eq (info.target[0].name, "kind");
  ck_assert_int_eq (info.target[0].categories, 4); /* of both lists */
  ck_assert_str_eq (info.target[0].category[3], "emu");
  ck_assert_str_eq (info.target[1].name, "numbers");
  ck_assert_int_eq (info.target[1].shape.dims[1], 2);
  ck_assert_msg (folder_read (self, 1, image, &label, numbers) == 0, "%s",
                 qk_error_message ());
  ck_assert (label == 2 && numbers[0] == -25 && numbers[1] == 10);
  ck_assert_int_eq (folder_read (self, 2, image, &label, numbers), -EBADMSG);
  folder_says ("t.csv:5: ");
  folder_says ("i/none.jpg: No such file");
  folder.ds->close (self);
  self = folder_opened (
    "list", "val", SMALL "train=DIR/t.csv val=DIR/v.csv numbers=age", &info);
  ck_assert_int_eq (folder_read (self, 0, image, &label, numbers), -EBADMSG);
  folder_says ("v.csv:2: column 2 is 'nan'");
  folder.ds->close (self);
  self = folder_opened ("list", "train",
                        SMALL "train=DIR/t.csv labels=age ignore=width,kind "
                              "val_share=0.000001",
                        &info);
  ck_assert_int_eq (info.n_targets, 1);
  ck_assert_int_eq (info.target[0].categories, 3);
  ck_assert_str_eq (info.target[0].category[2], "10"); /* by size */
  folder.ds->close (self);
}
END_TEST

/* Lists as darknet's: no header, spaces. */
START_TEST (bare_lists)
{
  struct qk_dataset_info info;
  int32_t label;
  void *self;
  int total = 0;

  copy ("b.jpg");
  folder_put_text ("t.txt", "b.jpg  1\nb.jpg 0\nx/../b.jpg 2 \n");
  self = folder_opened (
    "list", "train", SMALL "train=DIR/t.txt val=DIR/t.txt header=no", &info);
  ck_assert_int_eq (info.count, 3);
  ck_assert_str_eq (info.target[0].name, "label");
  ck_assert_int_eq (folder_read (self, 0, image, &label, NULL), 0);
  ck_assert_int_eq (label, 1);
  folder.ds->close (self);
  for (int split = 0; split < 2; split++) {
    if (folder_open ("list", split ? "val" : "train",
                     SMALL "train=DIR/t.txt header=no val_share=0.5", &self)
        < 0)
      continue;
    ck_assert_int_eq (folder.ds->info (self, &info), 0);
    total += (int) info.count;
    folder.ds->close (self);
  }
  ck_assert_int_eq (total, 3);
}
END_TEST

#define GREY                                                                  \
  "resize=24 crop=16 channels=1 mean=0 std=1 interpolation=nearest "          \
  "train=DIR/t.csv val=DIR/t.csv mask=mask fill=255 "

/* Whether a.png, which is made here, can be read: libpng may be missing. */
static bool
has_png (void)
{
  struct qk_dataset_info info;
  int32_t label;
  void *self;
  bool has;

  copy_of ("image/grey8.png", "a.png");
  folder_put_text ("t.csv", "file,kind\na.png,1\n");
  self = folder_opened ("list", "train", SMALL "train=DIR/t.csv val=DIR/t.csv",
                        &info);
  has = folder_read (self, 0, image, &label, NULL) == 0;
  folder.ds->close (self);
  return has;
}

/* An image that is its own mask: every pixel is its label over 255, wherever it
 * is cut, mirrored and moved to; what comes from outside does not count. */
START_TEST (masks)
{
  static const char *const changes[]
    = { "", "rotate=30", "scale=0.5,1.5 shear=20 translate=0.3 erase=0" };
  static int32_t labels[16 * 16];
  struct qk_dataset_info info;
  void *self;

  if (!has_png ())
    return;
  folder_put_text ("t.csv", "file,mask\na.png,a.png\n");
  for (int k = 0; k < 3; k++) {
    char options[400];
    int outside = 0;

    snprintf (options, sizeof options, GREY "mask_categories=255 %s",
              changes[k]);
    folder.augment = true;
    self = folder_opened ("list", "train", options, &info);
    folder.augment = false;
    ck_assert_int_eq (info.n_targets, 1);
    ck_assert_str_eq (info.target[0].name, "mask");
    ck_assert_int_eq (info.target[0].categories, 255);
    ck_assert_int_eq (info.target[0].shape.ndim, 3);
    ck_assert_int_eq (info.target[0].shape.dims[2], 16);
    for (folder.seed = 0; folder.seed < 20; folder.seed++) {
      ck_assert_msg (folder_read (self, 0, image, labels, NULL) == 0, "%s",
                     qk_error_message ());
      for (int i = 0; i < 16 * 16; i++) {
        const int v = (int) lroundf (image[i] * 255);

        HOLDS (labels[i] == (v == 255 ? QK_NO_CATEGORY : v),
               "change %d: pixel %d is %d, its label %d", k, i, v,
               (int) labels[i]);
        outside += v == 255;
      }
    }
    folder.seed = 0;
    ck_assert (k == 0 || outside > 100);
    folder.ds->close (self);
  }
  self = folder_opened ("list", "val", GREY "mask_categories=255", &info);
  ck_assert_int_eq (folder_read (self, 0, image, labels, NULL), 0);
  for (int i = 0; i < 16 * 16; i++)
    ck_assert_int_eq (labels[i], image[i] < 1 ? lroundf (image[i] * 255)
                                              : QK_NO_CATEGORY);
  folder.ds->close (self);
}
END_TEST

START_TEST (bad_masks)
{
  static int32_t labels[16 * 16];
  struct qk_dataset_info info;
  void *self;

  if (!has_png ())
    return;
  copy_of ("image/one.png", "one.png");
  copy_of ("image/rgb8.png", "colour.png");
  folder_put_text ("t.csv", "file,mask\na.png,one.png\na.png,colour.png\n"
                            "a.png,none.png\na.png,a.png\n");
  self = folder_opened ("list", "train",
                        GREY "mask_categories=9 mask_ignore=-1", &info);
  ck_assert_int_eq (folder_read (self, 0, image, labels, NULL), -EBADMSG);
  folder_says ("t.csv:2: ");
  folder_says ("one.png: a mask of 1 x 1, its image is 37 x 29");
  ck_assert_int_eq (folder_read (self, 1, image, labels, NULL), -EBADMSG);
  folder_says ("colour.png: a pixel of the mask is ");
  ck_assert_int_eq (folder_read (self, 2, image, labels, NULL), -EBADMSG);
  folder_says ("none.png: No such file");
  ck_assert_int_eq (folder_read (self, 3, image, labels, NULL), -EBADMSG);
  folder_says ("expected 0 to 8");
  folder.ds->close (self);
  folder_refuse ("list", "train", SMALL "train=DIR/t.csv mask=masks", -EINVAL,
                 "no column 'masks'");
  folder_refuse ("list", "train", SMALL "train=DIR/t.csv mask=mask", -EINVAL,
                 "mask_categories");
  folder_refuse ("list", "train",
                 SMALL "train=DIR/t.csv mask=file mask_categories=2", -EINVAL,
                 "column of the paths");
  folder_refuse ("list", "train",
                 SMALL
                 "train=DIR/t.csv mask=mask mask_categories=2 labels=mask",
                 -EINVAL, "that of the masks");
  folder_refuse ("list", "train",
                 GREY "mask_categories=255 auto_augment=randaugment", -EINVAL,
                 "auto_augment (test)");
}
END_TEST

START_TEST (bad_lists)
{
  folder_put_text ("t.csv", "file,kind\na.jpg,1\n");
  folder_refuse ("list", "train", SMALL, -EINVAL, "which images");
  folder_refuse ("list", "train", SMALL "train=DIR/none", -ENOENT, "none");
  folder_refuse ("list", "test", SMALL "train=DIR/t.csv", -EINVAL, "'test'");
  folder_refuse ("list", "train", SMALL "train=DIR/t.csv labels=kin", -EINVAL,
                 "no column 'kin'; there are: file kind");
  folder_refuse ("list", "train", SMALL "train=DIR/t.csv labels=file", -EINVAL,
                 "that of the paths");
  folder_put_text ("v.csv", "file,sort\na.jpg,1\n");
  folder_refuse ("list", "train", SMALL "train=DIR/t.csv val=DIR/v.csv",
                 -EINVAL, "column 2 is 'kind'");
  folder_put_text ("v.csv", "file,kind\na.jpg\n");
  folder_refuse ("list", "train", SMALL "train=DIR/t.csv val=DIR/v.csv",
                 -EBADMSG, "v.csv:2: 1 cells, the first line has 2");
  folder_put_text ("v.csv", "file,kind\n\"a.jpg,1\n");
  folder_refuse ("list", "train", SMALL "train=DIR/v.csv", -EBADMSG,
                 "a quote without its end");
  folder_put_text ("v.csv", "\n\n");
  folder_refuse ("list", "train", SMALL "train=DIR/v.csv", -EBADMSG,
                 "no lines");
  folder_put ("v.csv", "a\0b", 3);
  folder_refuse ("list", "train", SMALL "train=DIR/v.csv", -EBADMSG,
                 "not a text file");
}
END_TEST

/* ---- tar ---------------------------------------------------------------*/

static void
run (const char *command)
{
  char text[512];

  snprintf (text, sizeof text, "cd %s && %s", folder.dir, command);
  ck_assert_msg (system (text) == 0, "%s", text);
}

/* Archives in each format, with a name too long for the oldest. */
START_TEST (tars)
{
  static const char *const formats[] = { "ustar", "gnu", "pax" };
  struct qk_dataset_info info;
  char command[300];
  int32_t label;
  void *self;

  run ("mkdir -p s/$(printf %060d/%060d 7 7)");
  copy ("s/0.jpg");
  run ("cp s/0.jpg s/1.jpg && cp s/0.jpg s/2.jpg && cp s/0.jpg "
       "s/$(printf %060d/%060d 7 7)/3.jpg");
  run ("echo 1 > s/0.cls && echo 12 > s/1.cls && printf 2 > s/$(printf "
       "%060d/%060d "
       "7 7)/3.cls && echo > s/notes && printf 'a\\nb\\nc\\n' > names");
  for (int i = 0; i < 3; i++) {
    snprintf (command, sizeof command,
              "tar --sort=name --format=%s -cf %d.tar s", formats[i], i);
    run (command);
  }
  self = folder_opened ("tar", "train",
                        SMALL "train=DIR/*.tar val=DIR/0.tar names=DIR/names",
                        &info);
  ck_assert_int_eq (info.count, 12);
  ck_assert_str_eq (info.target->category[2], "c");
  for (int i = 0; i < 3; i++) {
    ck_assert_msg (folder_read (self, 4 * i, image, &label, NULL) == 0, "%s",
                   qk_error_message ());
    ck_assert_int_eq (label, 1);
    ck_assert_int_eq (folder_read (self, 4 * i + 1, image, &label, NULL), 0);
    ck_assert_int_eq (label, 2); /* of the folder */
    ck_assert_int_eq (folder_read (self, 4 * i + 2, image, &label, NULL),
                      -EBADMSG);
    folder_says ("its .cls is something else, expected a number from 0 to 2");
    ck_assert_int_eq (folder_read (self, 4 * i + 3, image, &label, NULL),
                      -EBADMSG);
    folder_says ("no .cls beside it");
  }
  folder.ds->close (self);
  folder_refuse ("tar", "train", SMALL "train=DIR/none*.tar classes=3",
                 -ENOENT, "no archives");
  folder_refuse ("tar", "train", SMALL "train=DIR/*.tar", -EINVAL,
                 "how many classes");
  run ("head -c 2000 0.tar > cut.tar");
  folder_refuse ("tar", "train", SMALL "train=DIR/cut.tar classes=3", -EBADMSG,
                 "cut.tar: byte");
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("image lists");
  TCase *t = tcase_create ("image lists");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, folder_setup, folder_teardown);
  tcase_add_test (t, lists);
  tcase_add_test (t, bare_lists);
  tcase_add_test (t, bad_lists);
  tcase_add_test (t, masks);
  tcase_add_test (t, bad_masks);
  tcase_add_test (t, tars);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? 1 : 0;
}
