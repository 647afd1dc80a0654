/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_datasets.c: lists, tables, IDX files and CIFAR as datasets: what is
 * delivered of small files made here, and what is said of bad ones. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/ok.h"
#include "qatkit/context.h"
#include "qatkit/dataset.h"

static struct qk_context *ctx;
static const struct qk_dataset_class *ds;
static char dir[64];
static float image[32 * 32 * 3];
static bool augment; /* of splits that are opened */
static uint64_t seed;

static const char *
at (const char *name)
{
  static char path[256];

  snprintf (path, sizeof path, "%s/%s", dir, name);
  return path;
}

static void
put (const char *name, const void *data, size_t size)
{
  FILE *f = fopen (at (name), "wb");

  ck_assert_ptr_nonnull (f);
  ck_assert_uint_eq (fwrite (data, 1, size, f), size);
  ck_assert_int_eq (fclose (f), 0);
}

static void
put_text (const char *name, const char *text)
{
  put (name, text, strlen (text));
}

static void
setup (void)
{
  strcpy (dir, "check_datasets-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
}

static void
teardown (void)
{
  char command[128];

  qk_context_free (ctx);
  snprintf (command, sizeof command, "rm -rf %s", dir);
  ck_assert_int_eq (system (command), 0);
}

/* The options may have DIR for the folder. */
static int
open_split (const char *dataset, const char *split, const char *options,
            void **self)
{
  const struct qk_dataset_request req = { ctx, split, augment, 1 };
  const struct qk_class *cls;
  struct qk_config *cfg;
  char text[2048] = "";
  const char *p;
  int err;

  ck_assert_msg (qk_context_class (ctx, QK_KIND_DATASET, dataset, &cls) == 0,
                 "%s", qk_error_message ());
  ds = (const struct qk_dataset_class *) cls;
  for (p = options; *p; p++) {
    const size_t n = strlen (text);

    if (strncmp (p, "DIR", 3) == 0) {
      snprintf (text + n, sizeof text - n, "%s", dir);
      p += 2;
    } else
      snprintf (text + n, sizeof text - n, "%c", *p);
  }
  err = qk_config_parse (ds->cls.options, text, "test", &cfg);
  ck_assert_msg (err == 0, "%s", qk_error_message ());
  *self = NULL;
  err = ds->open (cfg, &req, self);
  qk_config_free (cfg);
  return err;
}

static void *
opened (const char *dataset, const char *split, const char *options,
        struct qk_dataset_info *info)
{
  void *self;

  ck_assert_msg (open_split (dataset, split, options, &self) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (ds->info (self, info), 0);
  return self;
}

static int
read_one (void *self, int64_t index, void *x, void *y, void *y2)
{
  void *const input[] = { x }, *const target[] = { y, y2 };
  void *worker = NULL;
  struct qk_rng rng;
  int err;

  qk_rng_seed (&rng, 1, seed);
  if (ds->worker_new)
    ck_assert_int_eq (ds->worker_new (self, &worker), 0);
  err = ds->read (self, worker, index, &rng, input, target);
  if (ds->worker_free)
    ds->worker_free (worker);
  return err;
}

static void
says (const char *word)
{
  ck_assert_msg (strstr (qk_error_message (), word) != NULL,
                 "expected '%s' in: %s", word, qk_error_message ());
}

static void
refuse (const char *dataset, const char *split, const char *options,
        int expected, const char *word)
{
  void *self;
  const int err = open_split (dataset, split, options, &self);

  ck_assert_msg (err == expected, "%d: %s", err, qk_error_message ());
  says (word);
}

/* ---- list --------------------------------------------------------------*/

/* The golden image FROM as NAME. */
static void
copy_of (const char *from, const char *name)
{
  const char *src = getenv ("abs_top_srcdir");
  char command[512];

  snprintf (command, sizeof command, "cp '%s/tests/golden/%s' '%s/%s'",
            src ? src : ".", from, dir, name);
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

  ck_assert_int_eq (mkdir (at ("i"), 0777), 0);
  copy ("i/a b.jpg");
  copy ("i/b.jpg");
  put_text ("t.csv", "file,width,kind,age\r\n"
                     "\"i/a b.jpg\",1.5,cat,7\r\n"
                     "\r\n"
                     "i/b.jpg,-2.5e1,dog,10\r\n"
                     "i/none.jpg,3.0,ape,9\r\n");
  put_text ("v.csv", "file,width,kind,age\ni/b.jpg,nan,emu,8\n");
  self = opened ("list", "train",
                 SMALL "train=DIR/t.csv val=DIR/v.csv numbers=age", &info);
  ck_assert_int_eq (info.count, 3);
  ck_assert_int_eq (info.n_targets, 2);
  ck_assert_str_eq (info.target[0].name, "kind");
  ck_assert_int_eq (info.target[0].categories, 4); /* of both lists */
  ck_assert_str_eq (info.target[0].category[3], "emu");
  ck_assert_str_eq (info.target[1].name, "numbers");
  ck_assert_int_eq (info.target[1].shape.dims[1], 2);
  ck_assert_msg (read_one (self, 1, image, &label, numbers) == 0, "%s",
                 qk_error_message ());
  ck_assert (label == 2 && numbers[0] == -25 && numbers[1] == 10);
  ck_assert_int_eq (read_one (self, 2, image, &label, numbers), -EBADMSG);
  says ("t.csv:5: ");
  says ("i/none.jpg: No such file");
  ds->close (self);
  self = opened ("list", "val",
                 SMALL "train=DIR/t.csv val=DIR/v.csv numbers=age", &info);
  ck_assert_int_eq (read_one (self, 0, image, &label, numbers), -EBADMSG);
  says ("v.csv:2: column 2 is 'nan'");
  ds->close (self);
  self = opened ("list", "train",
                 SMALL "train=DIR/t.csv labels=age ignore=width,kind "
                       "val_share=0.000001",
                 &info);
  ck_assert_int_eq (info.n_targets, 1);
  ck_assert_int_eq (info.target[0].categories, 3);
  ck_assert_str_eq (info.target[0].category[2], "10"); /* by size */
  ds->close (self);
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
  put_text ("t.txt", "b.jpg  1\nb.jpg 0\nx/../b.jpg 2 \n");
  self = opened ("list", "train",
                 SMALL "train=DIR/t.txt val=DIR/t.txt header=no", &info);
  ck_assert_int_eq (info.count, 3);
  ck_assert_str_eq (info.target[0].name, "label");
  ck_assert_int_eq (read_one (self, 0, image, &label, NULL), 0);
  ck_assert_int_eq (label, 1);
  ds->close (self);
  for (int split = 0; split < 2; split++) {
    if (open_split ("list", split ? "val" : "train",
                    SMALL "train=DIR/t.txt header=no val_share=0.5", &self)
        < 0)
      continue;
    ck_assert_int_eq (ds->info (self, &info), 0);
    total += (int) info.count;
    ds->close (self);
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
  put_text ("t.csv", "file,kind\na.png,1\n");
  self
    = opened ("list", "train", SMALL "train=DIR/t.csv val=DIR/t.csv", &info);
  has = read_one (self, 0, image, &label, NULL) == 0;
  ds->close (self);
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
  put_text ("t.csv", "file,mask\na.png,a.png\n");
  for (int k = 0; k < 3; k++) {
    char options[400];
    int outside = 0;

    snprintf (options, sizeof options, GREY "mask_categories=255 %s",
              changes[k]);
    augment = true;
    self = opened ("list", "train", options, &info);
    augment = false;
    ck_assert_int_eq (info.n_targets, 1);
    ck_assert_str_eq (info.target[0].name, "mask");
    ck_assert_int_eq (info.target[0].categories, 255);
    ck_assert_int_eq (info.target[0].shape.ndim, 3);
    ck_assert_int_eq (info.target[0].shape.dims[2], 16);
    for (seed = 0; seed < 20; seed++) {
      ck_assert_msg (read_one (self, 0, image, labels, NULL) == 0, "%s",
                     qk_error_message ());
      for (int i = 0; i < 16 * 16; i++) {
        const int v = (int) lroundf (image[i] * 255);

        HOLDS (labels[i] == (v == 255 ? QK_NO_CATEGORY : v),
               "change %d: pixel %d is %d, its label %d", k, i, v,
               (int) labels[i]);
        outside += v == 255;
      }
    }
    seed = 0;
    ck_assert (k == 0 || outside > 100);
    ds->close (self);
  }
  self = opened ("list", "val", GREY "mask_categories=255", &info);
  ck_assert_int_eq (read_one (self, 0, image, labels, NULL), 0);
  for (int i = 0; i < 16 * 16; i++)
    ck_assert_int_eq (labels[i], image[i] < 1 ? lroundf (image[i] * 255)
                                              : QK_NO_CATEGORY);
  ds->close (self);
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
  put_text ("t.csv", "file,mask\na.png,one.png\na.png,colour.png\n"
                     "a.png,none.png\na.png,a.png\n");
  self
    = opened ("list", "train", GREY "mask_categories=9 mask_ignore=-1", &info);
  ck_assert_int_eq (read_one (self, 0, image, labels, NULL), -EBADMSG);
  says ("t.csv:2: ");
  says ("one.png: a mask of 1 x 1, its image is 37 x 29");
  ck_assert_int_eq (read_one (self, 1, image, labels, NULL), -EBADMSG);
  says ("colour.png: a pixel of the mask is ");
  ck_assert_int_eq (read_one (self, 2, image, labels, NULL), -EBADMSG);
  says ("none.png: No such file");
  ck_assert_int_eq (read_one (self, 3, image, labels, NULL), -EBADMSG);
  says ("expected 0 to 8");
  ds->close (self);
  refuse ("list", "train", SMALL "train=DIR/t.csv mask=masks", -EINVAL,
          "no column 'masks'");
  refuse ("list", "train", SMALL "train=DIR/t.csv mask=mask", -EINVAL,
          "mask_categories");
  refuse ("list", "train", SMALL "train=DIR/t.csv mask=file mask_categories=2",
          -EINVAL, "column of the paths");
  refuse ("list", "train",
          SMALL "train=DIR/t.csv mask=mask mask_categories=2 labels=mask",
          -EINVAL, "that of the masks");
  refuse ("list", "train", GREY "mask_categories=255 auto_augment=randaugment",
          -EINVAL, "auto_augment (test)");
}
END_TEST

START_TEST (bad_lists)
{
  put_text ("t.csv", "file,kind\na.jpg,1\n");
  refuse ("list", "train", SMALL, -EINVAL, "which images");
  refuse ("list", "train", SMALL "train=DIR/none", -ENOENT, "none");
  refuse ("list", "test", SMALL "train=DIR/t.csv", -EINVAL, "'test'");
  refuse ("list", "train", SMALL "train=DIR/t.csv labels=kin", -EINVAL,
          "no column 'kin'; there are: file kind");
  refuse ("list", "train", SMALL "train=DIR/t.csv labels=file", -EINVAL,
          "that of the paths");
  put_text ("v.csv", "file,sort\na.jpg,1\n");
  refuse ("list", "train", SMALL "train=DIR/t.csv val=DIR/v.csv", -EINVAL,
          "column 2 is 'kind'");
  put_text ("v.csv", "file,kind\na.jpg\n");
  refuse ("list", "train", SMALL "train=DIR/t.csv val=DIR/v.csv", -EBADMSG,
          "v.csv:2: 1 cells, the first line has 2");
  put_text ("v.csv", "file,kind\n\"a.jpg,1\n");
  refuse ("list", "train", SMALL "train=DIR/v.csv", -EBADMSG,
          "a quote without its end");
  put_text ("v.csv", "\n\n");
  refuse ("list", "train", SMALL "train=DIR/v.csv", -EBADMSG, "no lines");
  put ("v.csv", "a\0b", 3);
  refuse ("list", "train", SMALL "train=DIR/v.csv", -EBADMSG,
          "not a text file");
}
END_TEST

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

  put_text ("t.csv", "a,kind,b\n1,x,5\n3,y,5\n5,x,5\n");
  put_text ("v.csv", "a,kind,b\n3,y,7\n,y,7\n3,y,inf\n");
  self = opened ("csv", "train", TABLE, &info);
  ck_assert_int_eq (info.count, 3);
  ck_assert_int_eq (info.input->shape.dims[1], 2);
  ck_assert_str_eq (info.target->category[1], "y");
  for (i = 0; i < 3; i++) {
    ck_assert_int_eq (read_one (self, i, x, &label, NULL), 0);
    /* mean 3, std sqrt (8/3); b never changes */
    ck_assert_float_eq_tol (x[0], (float) (i - 1) * 2 / sqrtf (8.0f / 3),
                            1e-6f);
    ck_assert (x[1] == 0 && label == i % 2);
  }
  told[0] = 0;
  ck_assert_int_eq (ds->found (self, on_found, NULL), 0);
  ck_assert_str_eq (told, "features=a,b mean=3,5 std=1.63299322,1 ");
  ds->close (self);
  self = opened ("csv", "val", TABLE, &info);
  ck_assert_int_eq (read_one (self, 0, x, &label, NULL), 0);
  ck_assert (x[0] == 0 && x[1] == 2 && label == 1);
  ck_assert_int_eq (read_one (self, 1, x, &label, NULL), -EBADMSG);
  says ("v.csv:3: column 'a' is ''");
  ck_assert_int_eq (read_one (self, 2, x, &label, NULL), -EBADMSG);
  says ("v.csv:4: column 'b' is 'inf'");
  ds->close (self);

  /* elsewhere, without the tables */
  put_text ("one.csv", "b;other;a\n6;z;4.5\n");
  self = opened ("csv", NULL,
                 "features=a,b mean=3,5 std=1.5,2 labels=kind "
                 "train=DIR/gone.csv",
                 &info);
  ck_assert_msg (ds->read_file (self, NULL, at ("one.csv"), input) == 0, "%s",
                 qk_error_message ());
  ck_assert (file[0] == 1.0f && file[1] == 0.5f);
  ck_assert_int_eq (ds->read_file (self, NULL, at ("t.csv"), input), -EBADMSG);
  says ("3 rows below the names, expected one");
  put_text ("one.csv", "b;c\n6;7\n");
  ck_assert_int_eq (ds->read_file (self, NULL, at ("one.csv"), input),
                    -EBADMSG);
  says ("no column 'a'");
  ds->close (self);
}
END_TEST

START_TEST (bad_tables)
{
  put_text ("t.csv", "a,kind,b\n1,x,5\n");
  put_text ("v.csv", "a,kind,a\n3,y,7\n");
  refuse ("csv", "train", "", -EINVAL, "which table");
  refuse ("csv", "train", TABLE, -EBADMSG, "two columns are called 'a'");
  refuse ("csv", "train",
          "train=DIR/t.csv val=DIR/t.csv features=a,kind "
          "labels=kind",
          -EINVAL, "'kind' is a target and a feature");
  refuse ("csv", "train", "train=DIR/t.csv val=DIR/t.csv ignore=a,kind,b",
          -EINVAL, "no column is left");
  refuse ("csv", "train", "train=DIR/t.csv val=DIR/t.csv labels=kind mean=1",
          -EINVAL, "each of the 2 features");
  refuse ("csv", "val", "train=DIR/t.csv labels=kind val_share=0.000001",
          -EINVAL, "no samples for evaluation");
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

  put ("i", two_images, sizeof two_images);
  put ("l", two_labels, sizeof two_labels);
  self = opened ("idx", "train", IDX "mean=0.2 std=0.5", &info);
  ck_assert_int_eq (info.count, 2);
  ck_assert_int_eq (info.input->shape.dims[1], 2);
  ck_assert_int_eq (info.input->shape.dims[2], 3);
  ck_assert_int_eq (info.input->shape.dims[3], 1);
  ck_assert_int_eq (read_one (self, 0, image, &label, NULL), 0);
  ck_assert (label == 1 && image[0] == (0.0f - 0.2f) / 0.5f);
  ck_assert (image[5] == (5.0f / 255.0f - 0.2f) / 0.5f);
  ck_assert_int_eq (read_one (self, 1, image, &label, NULL), -EBADMSG);
  says ("label 1 is 12, outside the 10 classes");
  ds->close (self);

  /* compressed */
  snprintf (command, sizeof command, "gzip %s/i", dir);
  if (system (command) == 0) {
    self = opened ("idx", "val", IDX "classes=13", &info);
    ck_assert_int_eq (read_one (self, 1, image, &label, NULL), 0);
    ck_assert_int_eq (label, 12);
    ds->close (self);
  }
}
END_TEST

START_TEST (bad_idx)
{
  static const uint8_t huge[]
    = { 0, 0, 8, 3, 255, 255, 255, 255, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2 };

  refuse ("idx", "train", IDX, -ENOENT, "nor with .gz");
  put ("i", two_images, sizeof two_images - 1);
  put ("l", two_labels, sizeof two_labels);
  refuse ("idx", "train", IDX, -EBADMSG, "cut short");
  put ("i", huge, sizeof huge);
  refuse ("idx", "train", IDX, -EBADMSG, "claims (4294967295,65536,65536)");
  put ("i", "JUNKJUNKJUNK", 12);
  refuse ("idx", "train", IDX, -EBADMSG, "begins with 4a 55 4e 4b");
  put ("i", two_labels, sizeof two_labels);
  refuse ("idx", "train", IDX, -EINVAL, "expected images");
  put ("i", two_images, sizeof two_images);
  put ("l", "\0\0\10\1\0\0\0\3abc", 11);
  refuse ("idx", "train", IDX, -EINVAL, "has 2 images");
  put ("l", "\0\0\10\1\0\0\0\2abc", 11);
  refuse ("idx", "train", IDX, -EBADMSG, "more than the 2 bytes");
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

  refuse ("cifar", "train", "root=DIR", -ENOENT, "neither data_batch_1.bin");
  batch[0] = 7;
  batch[1] = 255;           /* red of the first pixel */
  batch[1 + 1024 + 1] = 51; /* green of the second */
  batch[3073] = 10;         /* no class */
  for (i = 1; i <= 5; i++) {
    snprintf (name, sizeof name, "data_batch_%d.bin", i);
    put (name, batch, 2 * 3073);
  }
  put_text ("batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  self = opened ("cifar", "train", "root=DIR mean=0 std=1", &info);
  ck_assert_int_eq (info.count, 10);
  ck_assert_str_eq (info.target->category[7], "h");
  ck_assert_int_eq (read_one (self, 4, image, &label, NULL), 0);
  ck_assert (label == 7 && image[0] == 1.0f && image[1] == 0.0f);
  ck_assert (image[4] == 0.2f && image[3] == 0.0f);
  ck_assert_int_eq (read_one (self, 5, image, &label, NULL), -EBADMSG);
  says ("data_batch_3.bin: label of image 1 is 10");
  ds->close (self);
  put ("test_batch.bin", batch, 3074);
  refuse ("cifar", "val", "root=DIR", -EBADMSG, "multiple of 3073");

  memset (batch, 0, sizeof batch);
  batch[0] = 19;
  batch[1] = 99;
  put ("train.bin", batch, 2 * 3074);
  self = opened ("cifar", "train", "root=DIR kind=100-fine", &info);
  ck_assert_int_eq (info.target->categories, 100);
  ck_assert_int_eq (read_one (self, 0, image, &label, NULL), 0);
  ck_assert_int_eq (label, 99);
  ds->close (self);
  self = opened ("cifar", "train", "root=DIR kind=100-coarse", &info);
  ck_assert_int_eq (read_one (self, 0, image, &label, NULL), 0);
  ck_assert_int_eq (label, 19);
  ds->close (self);
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
    put (name, file, pickled (file, labels, i == 1 ? 3 : 1));
  }
  put ("batches.meta", meta, sizeof meta - 1);
  self = opened ("cifar", "train", "root=DIR mean=0 std=1", &info);
  ck_assert_int_eq (info.count, 7);
  ck_assert_str_eq (info.target->category[9], "jj");
  ck_assert_int_eq (read_one (self, 1, image, &label, NULL), 0);
  ck_assert (label == 3 && image[0] == 2.0f / 255.0f && image[3] == 0.0f);
  ck_assert_int_eq (read_one (self, 6, image, &label, NULL), 0);
  ck_assert_int_eq (label, 7);
  ck_assert_int_eq (read_one (self, 2, image, &label, NULL), -EBADMSG);
  says ("data_batch_1: label of image 2 is 10");
  ds->close (self);

  /* one label less than images, cut short, another key, and no pickle */
  n = pickled (file, labels, 2);
  file[44] = 'q'; /* a number for the memo instead of a label */
  put ("test_batch", file, n);
  refuse ("cifar", "val", "root=DIR", -EBADMSG, "2 images and 1 labels");
  n = pickled (file, labels, 2);
  put ("test_batch", file, n - 30);
  refuse ("cifar", "val", "root=DIR", -EBADMSG, "cut short");
  put ("train", file, n);
  refuse ("cifar", "train", "root=DIR kind=100-fine", -EBADMSG,
          "there is no \"fine_labels\"");
  memset (file, 'P', 4000);
  put ("test_batch", file, 4000);
  refuse ("cifar", "val", "root=DIR", -EBADMSG, "not a pickled file of CIFAR");
  refuse ("cifar", "val", "root=DIR kind=100-fine", -ENOENT,
          "no test.bin, with or without its ending");
}
END_TEST

/* Moved and mirrored training images: every pixel is one of the image's, or a
 * zero around it. */
START_TEST (augmentation)
{
  static uint8_t batch[3073];
  const struct qk_dataset_request req = { ctx, "train", true, 1 };
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
    put (text, batch, sizeof batch);
  }
  ck_assert_int_eq (qk_context_class (ctx, QK_KIND_DATASET, "cifar", &cls), 0);
  ds = (const struct qk_dataset_class *) cls;
  snprintf (text, sizeof text, "root=%s mean=0 std=1", dir);
  ck_assert_int_eq (qk_config_parse (cls->options, text, "test", &cfg), 0);
  ck_assert_int_eq (ds->open (cfg, &req, &self), 0);
  qk_config_free (cfg);
  for (k = 0; k < 200; k++) {
    int first, second;

    qk_rng_seed (&rng, 1, (uint64_t) k);
    ck_assert_int_eq (ds->read (self, NULL, 0, &rng, input, target), 0);
    /* a row of the middle, whose rows are there wherever it moved */
    first = (int) lroundf (image[(16 * 32 + 10) * 3] * 255);
    second = (int) lroundf (image[(16 * 32 + 11) * 3] * 255);
    ck_assert_int_eq (abs (first - second), 1);
    mirrored += second < first;
    moved += first != 11 && first != 22;
    ck_assert (first >= 11 - 4 && first <= 22 + 4);
  }
  ck_assert (mirrored > 60 && mirrored < 140 && moved > 150);
  ds->close (self);
}
END_TEST

/* ---- tar ---------------------------------------------------------------*/

static void
run (const char *command)
{
  char text[512];

  snprintf (text, sizeof text, "cd %s && %s", dir, command);
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
  self = opened ("tar", "train",
                 SMALL "train=DIR/*.tar val=DIR/0.tar names=DIR/names", &info);
  ck_assert_int_eq (info.count, 12);
  ck_assert_str_eq (info.target->category[2], "c");
  for (int i = 0; i < 3; i++) {
    ck_assert_msg (read_one (self, 4 * i, image, &label, NULL) == 0, "%s",
                   qk_error_message ());
    ck_assert_int_eq (label, 1);
    ck_assert_int_eq (read_one (self, 4 * i + 1, image, &label, NULL), 0);
    ck_assert_int_eq (label, 2); /* of the folder */
    ck_assert_int_eq (read_one (self, 4 * i + 2, image, &label, NULL),
                      -EBADMSG);
    says ("its .cls is something else, expected a number from 0 to 2");
    ck_assert_int_eq (read_one (self, 4 * i + 3, image, &label, NULL),
                      -EBADMSG);
    says ("no .cls beside it");
  }
  ds->close (self);
  refuse ("tar", "train", SMALL "train=DIR/none*.tar classes=3", -ENOENT,
          "no archives");
  refuse ("tar", "train", SMALL "train=DIR/*.tar", -EINVAL,
          "how many classes");
  run ("head -c 2000 0.tar > cut.tar");
  refuse ("tar", "train", SMALL "train=DIR/cut.tar classes=3", -EBADMSG,
          "cut.tar: byte");
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("datasets");
  TCase *t = tcase_create ("datasets");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_test (t, lists);
  tcase_add_test (t, bare_lists);
  tcase_add_test (t, bad_lists);
  tcase_add_test (t, masks);
  tcase_add_test (t, bad_masks);
  tcase_add_test (t, tables);
  tcase_add_test (t, bad_tables);
  tcase_add_test (t, idx);
  tcase_add_test (t, bad_idx);
  tcase_add_test (t, cifar);
  tcase_add_test (t, cifar_for_python);
  tcase_add_test (t, augmentation);
  tcase_add_test (t, tars);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? 1 : 0;
}
