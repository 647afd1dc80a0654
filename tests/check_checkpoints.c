/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_checkpoints.c: the newest sound checkpoint is found after damage, a
 * kill while writing and a full disk. */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/checkpoints.h"
#include "io/checksum.h"

#define SIZE 1000 /* floats in a checkpoint */

static struct qk_context *ctx;
static char dir[] = "check_checkpoints-XXXXXX";
static char logged[4096];

static void
remember (void *cookie, enum qk_log_level level, const char *message)
{
  const size_t n = strlen (logged);

  (void) cookie;
  (void) level;
  snprintf (logged + n, sizeof logged - n, "%s\n", message);
}

static void
setup (void)
{
  strcpy (dir + strlen (dir) - 6, "XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  logged[0] = '\0';
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  qk_context_set_log (ctx, remember, NULL, QK_LOG_INFO);
}

/* Number of files in the folder; REMOVE them too. */
static int
count_files (bool remove_them)
{
  DIR *d = opendir (dir);
  struct dirent *e;
  int n = 0;

  ck_assert_ptr_nonnull (d);
  while ((e = readdir (d)) != NULL) {
    if (strcmp (e->d_name, ".") == 0 || strcmp (e->d_name, "..") == 0)
      continue;
    n++;
    if (remove_them)
      unlinkat (dirfd (d), e->d_name, 0);
  }
  closedir (d);
  return n;
}

static void
teardown (void)
{
  qk_context_free (ctx);
  count_files (true);
  rmdir (dir);
}

#define OK(call) ck_assert_msg ((call) == 0, "%s", qk_error_message ())
#define SAID(word)                                                            \
  ck_assert_msg (strstr (qk_error_message (), word) != NULL,                  \
                 "no '%s' in: %s", word, qk_error_message ())

static const char *
name_of (int number)
{
  static char buf[128];

  snprintf (buf, sizeof buf, "%s/checkpoint-%06d.safetensors", dir, number);
  return buf;
}

static struct qk_checkpoints *
open_store (int keep)
{
  struct qk_checkpoints *s = NULL;

  OK (qk_checkpoints_open (ctx, dir, keep, &s));
  return s;
}

/* All floats and the epoch are NUMBER. */
static int
save (struct qk_checkpoints *s, int number)
{
  static float w[SIZE];
  uint8_t byte = (uint8_t) number;
  char epoch[16];
  struct qk_format_entry e[]
    = { { "w", { QK_F32, { 1, { SIZE } }, w, { 0, 0, 0, 0 } } },
        { "byte", { QK_U8, { 1, { 1 } }, &byte, { 0, 0, 0, 0 } } } };
  const struct qk_format_meta meta[]
    = { { "epoch", epoch }, { "note", "a, b\n" } };
  int i;

  for (i = 0; i < SIZE; i++)
    w[i] = (float) number;
  snprintf (epoch, sizeof epoch, "%d", number);
  return qk_checkpoints_write (s, number, e, 2, meta, 2);
}

/* The number in a checkpoint's name. */
static int
number_of (const struct qk_checkpoint *c)
{
  int number = -1;

  ck_assert_int_eq (sscanf (strrchr (qk_checkpoint_path (c), '/'),
                            "/checkpoint-%d.safetensors", &number),
                    1);
  return number;
}

/* The data of array NAME, which must have this dtype and COUNT elements. */
static const void *
array_of (const struct qk_checkpoint *c, const char *name, enum qk_dtype dtype,
          int64_t count)
{
  const struct qk_tensorfile *f = qk_checkpoint_file (c);
  const int64_t i = qk_tensorfile_find (f, name);
  struct qk_format_entry e;

  ck_assert_int_ge (i, 0);
  OK (qk_tensorfile_entry (f, i, &e));
  ck_assert_int_eq (e.tensor.dtype, dtype);
  ck_assert_int_eq (qk_shape_count (&e.tensor.shape), count);
  return e.tensor.data;
}

/* The newest sound one must be NUMBER, in all its parts. */
static void
expect (struct qk_checkpoints *s, int number)
{
  struct qk_checkpoint *c = NULL;
  char epoch[16];
  float w[SIZE];
  int i;

  snprintf (epoch, sizeof epoch, "%d", number);
  OK (qk_checkpoints_newest (s, &c));
  ck_assert_str_eq (qk_checkpoint_path (c), name_of (number));
  ck_assert_str_eq (qk_checkpoint_text (c, "epoch"), epoch);
  ck_assert_str_eq (qk_checkpoint_text (c, "note"), "a, b\n");
  memcpy (w, array_of (c, "w", QK_F32, SIZE), sizeof w);
  for (i = 0; i < SIZE; i++)
    ck_assert (w[i] == (float) number);
  ck_assert_int_eq (*(const uint8_t *) array_of (c, "byte", QK_U8, 1), number);
  qk_checkpoint_close (c);
}

static void
flip (int number, long at)
{
  FILE *f = fopen (name_of (number), "r+b");
  int c;

  ck_assert_ptr_nonnull (f);
  ck_assert_int_eq (fseek (f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
  c = getc (f);
  ck_assert_int_ne (c, EOF);
  ck_assert_int_eq (fseek (f, -1, SEEK_CUR), 0);
  putc (c ^ 4, f);
  ck_assert_int_eq (fclose (f), 0);
}

/* ---- tests -----------------------------------------------------------*/

START_TEST (keeps_the_newest)
{
  struct qk_checkpoints *s = open_store (3);
  struct qk_checkpoint *c;
  int i;

  ck_assert_int_eq (qk_checkpoints_newest (s, &c), -ENOENT);
  SAID (dir);
  for (i = 1; i <= 12; i++)
    OK (save (s, i));
  ck_assert_int_eq (count_files (false), 3);
  ck_assert_int_eq (access (name_of (10), F_OK), 0);
  expect (s, 12);
  /* written again from the middle: the later ones are not touched */
  OK (save (s, 11));
  ck_assert_int_eq (count_files (false), 3);
  expect (s, 12);
  /* as after a kill between writing one and removing another */
  {
    struct qk_checkpoints *more;

    OK (qk_checkpoints_open (ctx, dir, 5, &more));
    OK (save (more, 13));
    qk_checkpoints_close (more);
  }
  ck_assert_int_eq (count_files (false), 4);
  qk_checkpoints_prune (s);
  ck_assert_int_eq (count_files (false), 3);
  expect (s, 13);
  OK (qk_checkpoints_keep_only (s, 11));
  expect (s, 11);
  ck_assert_int_eq (count_files (false), 1);
  ck_assert_int_eq (save (s, -1), -EINVAL);
  qk_checkpoints_close (s);
  ck_assert_int_eq (qk_checkpoints_open (ctx, dir, 0, &s), -EINVAL);
  ck_assert_int_lt (qk_checkpoints_open (ctx, "/nonexistent/folder", 1, &s),
                    0);
  SAID ("/nonexistent/folder");
}
END_TEST

START_TEST (same_bytes)
{
  struct qk_checkpoints *s = open_store (3);
  char a[16384], b[16384];
  size_t n, m;
  FILE *f;

  OK (save (s, 5));
  f = fopen (name_of (5), "rb");
  n = fread (a, 1, sizeof a, f);
  fclose (f);
  OK (save (s, 5));
  f = fopen (name_of (5), "rb");
  m = fread (b, 1, sizeof b, f);
  fclose (f);
  ck_assert_uint_eq (n, m);
  ck_assert_mem_eq (a, b, n);
  qk_checkpoints_close (s);
}
END_TEST

START_TEST (damaged_newest)
{
  struct qk_checkpoints *s = open_store (9);
  struct qk_checkpoint *c;
  int i;

  for (i = 1; i <= 4; i++)
    OK (save (s, i));
  flip (4, -700);
  ck_assert_int_eq (qk_checkpoint_open (ctx, name_of (4), &c), -EBADMSG);
  SAID ("damaged");
  SAID (name_of (4));
  SAID ("should be");
  expect (s, 3);
  expect (s, 3);
  ck_assert_ptr_nonnull (strstr (logged, name_of (4)));
  ck_assert_ptr_nonnull (strstr (logged, "before it"));
  /* once, however often it is looked for */
  ck_assert_ptr_null (strstr (strstr (logged, name_of (4)) + 1, name_of (4)));
  ck_assert_int_eq (truncate (name_of (3), 900), 0);
  expect (s, 2);
  ck_assert_int_eq (truncate (name_of (2), 0), 0);
  expect (s, 1);
  flip (1, 8);
  ck_assert_int_eq (qk_checkpoints_newest (s, &c), -EBADMSG);
  SAID ("none of the 4");
  qk_checkpoints_close (s);
}
END_TEST

/* No bent byte, wherever it is, goes unnoticed or looks like something other
 * than damage, like the number of a newer version: the one before serves. */
START_TEST (every_byte_counts)
{
  struct qk_checkpoints *s = open_store (1);
  struct qk_checkpoint *c;
  struct stat st;
  long at;

  OK (save (s, 7));
  ck_assert_int_eq (stat (name_of (7), &st), 0);
  for (at = 0; at < st.st_size; at += at < 800 ? 1 : 97) {
    int err;

    flip (7, at);
    err = qk_checkpoint_open (ctx, name_of (7), &c);
    ck_assert_msg (err == -EBADMSG, "changed byte %ld: %d, %s", at, err,
                   err < 0 ? qk_error_message () : "not noticed");
    SAID (name_of (7));
    flip (7, at);
  }
  expect (s, 7);
  qk_checkpoints_close (s);
}
END_TEST

/* Nor does any length but the whole one. */
START_TEST (every_length_counts)
{
  struct qk_checkpoints *s = open_store (1);
  struct qk_checkpoint *c;
  struct stat st;
  off_t n;

  OK (save (s, 7));
  ck_assert_int_eq (stat (name_of (7), &st), 0);
  ck_assert_int_eq (truncate (name_of (7), st.st_size + 1), 0);
  for (n = st.st_size + 1; n >= 0; n -= n < 800 ? 1 : 97) {
    int err;

    if (n == st.st_size)
      continue;
    ck_assert_int_eq (truncate (name_of (7), n), 0);
    err = qk_checkpoint_open (ctx, name_of (7), &c);
    ck_assert_msg (err == -EBADMSG, "%ld of %ld bytes: %d, %s", (long) n,
                   (long) st.st_size, err,
                   err < 0 ? qk_error_message () : "not noticed");
    SAID (name_of (7));
  }
  qk_checkpoints_close (s);
}
END_TEST

START_TEST (versions)
{
  static const struct {
    const char *version;
    int err;
  } cases[] = { { "1.0", 0 },         { "1.7", 0 },        { "2.0", -ENOTSUP },
                { "1", -EBADMSG },    { "1.x", -EBADMSG }, { "", -EBADMSG },
                { "-1.0", -EBADMSG }, { "1.0 ", -EBADMSG } };
  float v = 1;
  const struct qk_format_entry e
    = { "w", { QK_F32, { 1, { 1 } }, &v, { 0, 0, 0, 0 } } };
  struct qk_checkpoint *c;
  size_t i;

  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct qk_format_meta meta[3]
      = { { "checkpoint.keys", "checkpoint.version" },
          { "checkpoint.version", cases[i].version } };
    char sum[16];
    uint32_t crc;
    int err;

    OK (qk_checksum_entries (&e, 1, meta, 2, &crc));
    snprintf (sum, sizeof sum, "%08x", crc);
    meta[2] = (struct qk_format_meta){ "checkpoint.crc32", sum };
    OK (qk_tensorfile_write (ctx, name_of (1), NULL, &e, 1, meta, 3));
    err = qk_checkpoint_open (ctx, name_of (1), &c);
    ck_assert_msg (err == cases[i].err, "version \"%s\": %d, %s",
                   cases[i].version, err, qk_error_message ());
    if (err == 0)
      qk_checkpoint_close (c);
    if (err == -ENOTSUP) {
      SAID ("2.0");
      SAID ("1.x");
    }
  }
}
END_TEST

/* The newest was written by a program of the future, whose checksums may be
 * other ones: that is said, not skipped in favour of something older. */
START_TEST (newer_major_is_not_skipped)
{
  struct qk_checkpoints *s = open_store (3);
  float v = 1;
  const struct qk_format_entry e
    = { "w", { QK_F32, { 1, { 1 } }, &v, { 0, 0, 0, 0 } } };
  const struct qk_format_meta meta = { "checkpoint.version", "9.1" };
  struct qk_checkpoint *c;

  OK (save (s, 1));
  OK (qk_tensorfile_write (ctx, name_of (2), NULL, &e, 1, &meta, 1));
  ck_assert_int_eq (qk_checkpoints_newest (s, &c), -ENOTSUP);
  SAID ("9.1");
  qk_checkpoints_close (s);
}
END_TEST

/* Files made by another implementation of the checksum (fuzz/corpus.py). */
START_TEST (independent)
{
  const char *top = getenv ("abs_top_srcdir");
  struct qk_checkpoint *c;
  const uint8_t *w;
  char path[4096];
  int i;

  snprintf (path, sizeof path, "%s/tests/fuzz/corpus/checkpoint/good",
            top ? top : ".");
  OK (qk_checkpoint_open (ctx, path, &c));
  ck_assert_str_eq (qk_checkpoint_text (c, "epoch"), "3");
  w = array_of (c, "w", QK_F32, 4);
  for (i = 0; i < 16; i++)
    ck_assert_int_eq (w[i], i);
  qk_checkpoint_close (c);
  snprintf (path, sizeof path, "%s/tests/fuzz/corpus/checkpoint/damaged",
            top ? top : ".");
  ck_assert_int_eq (qk_checkpoint_open (ctx, path, &c), -EBADMSG);
  SAID ("should be");
}
END_TEST

/* What a kill leaves: files under temporary names. */
START_TEST (leftovers)
{
  static const char *const names[]
    = { ".checkpoint-000002.safetensors.0123456789abcdef.tmp",
        ".other.0123456789abcdef.tmp", "checkpoint-12.safetensors",
        "checkpoint-000009.other", "log.jsonl" };
  struct qk_checkpoints *s = open_store (2);
  char path[256];
  size_t i;

  OK (save (s, 1));
  qk_checkpoints_close (s);
  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    FILE *f;

    snprintf (path, sizeof path, "%s/%s", dir, names[i]);
    f = fopen (path, "wb");
    ck_assert_ptr_nonnull (f);
    fputs ("half a checkpoi", f);
    fclose (f);
  }
  s = open_store (2);
  expect (s, 1);
  /* only what certainly is ours has gone */
  ck_assert_int_eq (count_files (false), 5);
  snprintf (path, sizeof path, "%s/%s", dir, names[0]);
  ck_assert_int_eq (access (path, F_OK), -1);
  qk_checkpoints_close (s);
}
END_TEST

/* A file system that takes no more than LIMIT bytes. */
START_TEST (full_disk)
{
  struct qk_checkpoints *s = open_store (2);
  struct rlimit old, small;
  int i;

  OK (save (s, 1));
  signal (SIGXFSZ, SIG_IGN);
  ck_assert_int_eq (getrlimit (RLIMIT_FSIZE, &old), 0);
  small = old;
  for (i = 0; i < 4; i++) {
    int first, second;

    small.rlim_cur = (rlim_t[]){ 0, 100, 1000, 4000 }[i];
    ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &small), 0);
    first = save (s, 2);
    second = save (s, 1); /* would replace the good one */
    ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &old), 0);
    ck_assert_int_eq (first, -EFBIG);
    ck_assert_int_eq (second, -EFBIG);
    SAID (name_of (1));
    SAID ("File too large");
    ck_assert_int_eq (count_files (false), 1);
    expect (s, 1);
  }
  OK (save (s, 2));
  expect (s, 2);
  qk_checkpoints_close (s);
}
END_TEST

/* Killed at any moment of writing, the folder still has a sound one. */
START_TEST (killed)
{
  struct qk_checkpoints *s;
  struct qk_checkpoint *c;
  int i;

  for (i = 0; i < 20; i++) {
    int64_t number;
    pid_t pid = fork ();

    ck_assert_int_ge (pid, 0);
    if (pid == 0) {
      s = NULL;
      if (qk_checkpoints_open (ctx, dir, 3, &s) < 0)
        _exit (1);
      for (number = 1;; number++)
        if (save (s, (int) (number % 200)) < 0)
          _exit (1);
    }
    usleep ((useconds_t) (2000 + 1713 * i));
    kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
    s = open_store (3);
    if (qk_checkpoints_newest (s, &c) == 0) {
      number = number_of (c);
      qk_checkpoint_close (c);
      expect (s, (int) number);
    } else {
      SAID ("no checkpoint there"); /* killed before the first */
    }
    ck_assert_ptr_null (strstr (logged, "before it"));
    ck_assert_int_le (count_files (false), 200);
    qk_checkpoints_close (s);
  }
  ck_assert_int_gt (count_files (false), 0);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("checkpoints");
  TCase *t = tcase_create ("folder");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_test (t, keeps_the_newest);
  tcase_add_test (t, same_bytes);
  tcase_add_test (t, damaged_newest);
  tcase_add_test (t, every_byte_counts);
  tcase_add_test (t, every_length_counts);
  tcase_add_test (t, versions);
  tcase_add_test (t, newer_major_is_not_skipped);
  tcase_add_test (t, independent);
  tcase_add_test (t, leftovers);
  tcase_add_test (t, full_disk);
  tcase_add_test (t, killed);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed != 0;
}
