/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_base.c: errors, log, tensors, random numbers, near names, files. */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic-file.h"
#include "base/difference.h"
#include "base/nearest.h"
#include "qatkit/context.h"
#include "qatkit/rng.h"
#include "qatkit/tensor.h"
#include "lib/ok.h"

/* ---- errors ----------------------------------------------------------- */

START_TEST (error_sentence)
{
  ck_assert_int_eq (qk_error (-EINVAL, "stride must be > 0, got %d", -1),
                    -EINVAL);
  ck_assert_str_eq (qk_error_message (), "stride must be > 0, got -1");
  ck_assert_int_eq (qk_error_prefix (-ENOENT, "%s:%d: ", "a.ini", 3), -ENOENT);
  ck_assert_str_eq (qk_error_message (),
                    "a.ini:3: stride must be > 0, got -1");
  /* the old sentence may be an argument of the new one */
  qk_error (-EINVAL, "<%s>", qk_error_message ());
  ck_assert_str_eq (qk_error_message (),
                    "<a.ini:3: stride must be > 0, got -1>");
}
END_TEST

START_TEST (error_harmless)
{
  qk_error (-EINVAL, "name '\x1b[2J\x7f'\n\tnext");
  ck_assert_str_eq (qk_error_message (), "name '?[2J?'\n\tnext");
}
END_TEST

START_TEST (error_too_long)
{
  char *text = malloc (100001);
  size_t n;

  memset (text, 'x', 100000);
  text[100000] = '\0';
  qk_error (-EINVAL, "%s", text);
  n = strlen (qk_error_message ());
  ck_assert_uint_lt (n, 100000);
  ck_assert_str_eq (qk_error_message () + n - 4, "x...");
  qk_error_prefix (-EINVAL, "where: ");
  ck_assert_uint_eq (strlen (qk_error_message ()), n);
  ck_assert (strncmp (qk_error_message (), "where: xx", 9) == 0);
  free (text);
}
END_TEST

static void *
other_thread (void *arg)
{
  (void) arg;
  ck_assert_str_eq (qk_error_message (), "");
  qk_error (-EINVAL, "theirs");
  return NULL;
}

START_TEST (error_per_thread)
{
  pthread_t t;

  qk_error (-EINVAL, "mine");
  ck_assert_int_eq (pthread_create (&t, NULL, other_thread, NULL), 0);
  pthread_join (t, NULL);
  ck_assert_str_eq (qk_error_message (), "mine");
}
END_TEST

/* ---- log --------------------------------------------------------------- */

static void
keep_line (void *cookie, enum qk_log_level level, const char *message)
{
  char *all = cookie;

  sprintf (all + strlen (all), "%d:%s|", (int) level, message);
}

START_TEST (log_lines)
{
  struct qk_context *ctx = qk_context_new ();
  char all[200] = "";

  qk_log (NULL, QK_LOG_ERROR, "dropped");
  qk_log (ctx, QK_LOG_ERROR, "nobody listens");
  qk_context_set_log (ctx, keep_line, all, QK_LOG_INFO);
  qk_log (ctx, QK_LOG_ERROR, "a %d", 1);
  qk_log (ctx, QK_LOG_DEBUG, "b");
  qk_log (ctx, QK_LOG_INFO, "c\nd\n");
  qk_log (ctx, QK_LOG_WARNING, "%s", "");
  ck_assert_str_eq (all, "0:a 1|2:c|2:d|1:|");
  qk_context_set_log (ctx, NULL, NULL, QK_LOG_INFO);
  qk_log (ctx, QK_LOG_ERROR, "e");
  ck_assert_str_eq (all, "0:a 1|2:c|2:d|1:|");
  qk_context_free (ctx);
  qk_context_free (NULL);
}
END_TEST

/* ---- tensors ------------------------------------------------------------ */

START_TEST (dtypes)
{
  static const struct {
    enum qk_dtype dtype;
    size_t size;
    const char *name;
  } all[] = { { QK_NONE, 0, "none" }, { QK_F32, 4, "f32" },
              { QK_U8, 1, "u8" },     { QK_I8, 1, "i8" },
              { QK_I32, 4, "i32" },   { QK_I64, 8, "i64" },
              { QK_F64, 8, "f64" },   { (enum qk_dtype) 99, 0, "?" } };

  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    ck_assert_uint_eq (qk_dtype_size (all[i].dtype), all[i].size);
    ck_assert_str_eq (qk_dtype_name (all[i].dtype), all[i].name);
  }
}
END_TEST

START_TEST (shapes)
{
  const struct qk_shape scalar = { 0, { 0 } }, a = { 4, { 1, 160, 160, 3 } };
  struct qk_shape b = a;
  const struct qk_shape negative = { 2, { 3, -1 } };
  const struct qk_shape huge = { 3, { INT64_MAX / 2, 2, 2 } };
  char buf[100], tiny[6];

  ck_assert_int_eq (qk_shape_count (&scalar), 1);
  ck_assert_int_eq (qk_shape_count (&a), 76800);
  ck_assert_int_eq (qk_shape_count (&negative), -1);
  ck_assert_int_eq (qk_shape_count (&huge), -1);
  ck_assert (qk_shape_equal (&a, &b));
  b.dims[3] = 4;
  ck_assert (!qk_shape_equal (&a, &b));
  ck_assert (!qk_shape_equal (&a, &scalar));
  ck_assert_str_eq (qk_shape_print (&a, buf, sizeof buf), "(1,160,160,3)");
  ck_assert_str_eq (qk_shape_print (&scalar, buf, sizeof buf), "()");
  ck_assert_str_eq (qk_shape_print (&a, tiny, sizeof tiny), "(1,16");
}
END_TEST

START_TEST (memory)
{
  for (size_t n = 0; n < 300; n += 7) {
    unsigned char *p = qk_alloc (n);

    ck_assert_ptr_nonnull (p);
    ck_assert_uint_eq ((uintptr_t) p % 64, 0);
    for (size_t i = 0; i < n; i++)
      ck_assert_uint_eq (p[i], 0);
    memset (p, 0xff, n);
    qk_free (p);
  }
  ck_assert_ptr_null (qk_alloc (SIZE_MAX));
  ck_assert_ptr_null (qk_alloc ((size_t) -4));
  ck_assert_ptr_null (qk_alloc ((size_t) 1 << 55));
  qk_free (NULL);
}
END_TEST

/* ---- random numbers ------------------------------------------------------ */

START_TEST (rng_reference)
{
  /* First outputs of the reference implementation from state 1, 2, 3, 4. */
  static const uint64_t expected[] = { UINT64_C (11520),
                                       UINT64_C (0),
                                       UINT64_C (1509978240),
                                       UINT64_C (1215971899390074240),
                                       UINT64_C (1216172134540287360),
                                       UINT64_C (607988272756665600),
                                       UINT64_C (16172922978634559625),
                                       UINT64_C (8476171486693032832),
                                       UINT64_C (10595114339597558777),
                                       UINT64_C (2904607092377533576) };
  struct qk_rng rng = { { 1, 2, 3, 4 } };

  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
    ck_assert_uint_eq (qk_rng_u64 (&rng), expected[i]);
}
END_TEST

START_TEST (rng_streams)
{
  enum { N = 24 };
  uint64_t first[N * N];
  struct qk_rng rng;

  for (uint64_t s = 0; s < N; s++)
    for (uint64_t t = 0; t < N; t++) {
      qk_rng_seed (&rng, s, t);
      first[s * N + t] = qk_rng_u64 (&rng);
    }
  for (int i = 0; i < N * N; i++)
    for (int j = 0; j < i; j++)
      HOLDS (first[i] != first[j], "streams %d and %d begin alike", i, j);
  qk_rng_seed (&rng, 3, 5);
  ck_assert_uint_eq (qk_rng_u64 (&rng), first[3 * N + 5]);
}
END_TEST

/* Many at once are the same as one by one. */
START_TEST (rng_many)
{
  enum { N = 1000 };
  struct qk_rng one, many;
  float x[N + 1];

  qk_rng_seed (&one, 4, 9);
  many = one;
  x[N] = -1.0f;
  qk_rng_floats (&many, x, 0);
  qk_rng_floats (&many, x, N);
  for (int i = 0; i < N; i++)
    ck_assert (x[i] == qk_rng_float (&one));
  ck_assert (x[N] == -1.0f);
  ck_assert_uint_eq (qk_rng_u64 (&many), qk_rng_u64 (&one));
}
END_TEST

START_TEST (rng_distributions)
{
  enum { N = 200000 };
  struct qk_rng rng;
  double sum = 0, normal = 0, square = 0;
  int count[7] = { 0 };

  qk_rng_seed (&rng, 1, 2);
  for (int i = 0; i < N; i++) {
    const float f = qk_rng_float (&rng);
    const double d = qk_rng_double (&rng), g = qk_rng_normal (&rng);

    HOLDS (f >= 0 && f < 1 && d >= 0 && d < 1, "%g and %g", (double) f, d);
    sum += f + d;
    normal += g;
    square += g * g;
    count[qk_rng_below (&rng, 7)]++;
  }
  ck_assert_double_eq_tol (sum / (2.0 * N), 0.5, 0.003);
  ck_assert_double_eq_tol (normal / N, 0, 0.01);
  ck_assert_double_eq_tol (square / N, 1, 0.02);
  for (int i = 0; i < 7; i++)
    ck_assert_double_eq_tol (count[i] * 7.0 / N, 1, 0.03);
  ck_assert_uint_eq (qk_rng_below (&rng, 1), 0);
  ck_assert_uint_eq (qk_rng_below (&rng, 0), 0);
}
END_TEST

/* ---- near names ----------------------------------------------------------- */

static const char *
nearest (const char *name)
{
  static const char *const known[]
    = { "epochs",    "batches", "lr",
        "histogram", "minmax",  "moving_average_minmax",
        "relu",      "relu6",   NULL };
  struct qk_nearest near;

  qk_nearest_init (&near, name);
  for (size_t i = 0; known[i]; i++)
    qk_nearest_offer (&near, known[i]);
  return near.best ? near.best : "";
}

START_TEST (near_names)
{
  char hint[QK_HINT_SIZE], *long_name = malloc (5001);
  struct qk_nearest near;

  ck_assert_str_eq (nearest ("epoch"), "epochs");
  ck_assert_str_eq (nearest ("epcohs"), "epochs");
  ck_assert_str_eq (nearest ("Histogramm"), "histogram");
  ck_assert_str_eq (nearest ("moving-average-minmax"),
                    "moving_average_minmax");
  ck_assert_str_eq (nearest ("moving_average"), "moving_average_minmax");
  ck_assert_str_eq (nearest ("min_max"), "minmax");
  ck_assert_str_eq (nearest ("relu7"), "relu");
  ck_assert_str_eq (nearest ("xr"), "lr");
  ck_assert_str_eq (nearest ("zz"), "");
  ck_assert_str_eq (nearest (""), "");
  ck_assert_str_eq (nearest ("banana"), "");
  memset (long_name, 'e', 5000);
  long_name[5000] = '\0';
  ck_assert_str_eq (nearest (long_name), "");
  free (long_name);
  ck_assert_int_eq (qk_edit_distance ("kitten", "sitting"), 3);
  ck_assert_int_eq (qk_edit_distance ("ab", "ba"), 1);
  qk_nearest_init (&near, "epoch");
  ck_assert_str_eq (qk_nearest_hint (&near, hint), "");
  qk_nearest_offer (&near, "epochs");
  ck_assert_str_eq (qk_nearest_hint (&near, hint),
                    " (did you mean 'epochs'?)");
}
END_TEST

/* ---- files ------------------------------------------------------------------ */

static char folder[64], file[96];

static void
make_folder (void)
{
  strcpy (folder, "/tmp/check_base.XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (folder));
  snprintf (file, sizeof file, "%s/model", folder);
}

/* Number of files in the folder; removes them if asked. */
static int
files (bool remove)
{
  DIR *d = opendir (folder);
  struct dirent *e;
  int n = 0;

  while ((e = readdir (d)))
    if (strcmp (e->d_name, ".") != 0 && strcmp (e->d_name, "..") != 0) {
      n++;
      if (remove)
        unlinkat (dirfd (d), e->d_name, 0);
    }
  closedir (d);
  return n;
}

static void
remove_folder (void)
{
  files (true);
  rmdir (folder);
}

static const char *
content (const char *path)
{
  static char text[100];
  FILE *f = fopen (path, "r");

  if (!f)
    return "(none)";
  text[fread (text, 1, sizeof text - 1, f)] = '\0';
  fclose (f);
  return text;
}

static int
write_then_fail (int fd, void *arg)
{
  ck_assert_int_eq (qk_write_all (fd, "half", 4), 0);
  return qk_error (-EIO, "%s", (const char *) arg);
}

START_TEST (atomic_success)
{
  struct stat st;

  ck_assert_int_eq (qk_atomic_write_data (file, "one", 3), 0);
  ck_assert_str_eq (content (file), "one");
  ck_assert_int_eq (chmod (file, 0640), 0);
  ck_assert_int_eq (qk_atomic_write_data (file, "second", 6), 0);
  ck_assert_str_eq (content (file), "second");
  ck_assert_int_eq (stat (file, &st), 0);
  ck_assert_uint_eq (st.st_mode & 0777, 0640);
  ck_assert_int_eq (files (false), 1);
}
END_TEST

/* What DIFFERENCE says of two lists. */
static const char *
told (const char *a, const char *b)
{
  static char said[200];

  qk_difference (a, strlen (a), b, strlen (b), said, sizeof said);
  return said;
}

START_TEST (difference)
{
  ck_assert_str_eq (told ("a\nb\nc\n", "a\nc\n"), "'b' is missing");
  ck_assert_str_eq (told ("a\nb\nc\n", "a\nb\n"), "'c' is missing");
  ck_assert_str_eq (told ("a\nc\n", "a\nb\nc\n"), "'b' is new");
  ck_assert_str_eq (told ("a\n", "a\nb\n"), "'b' is new");
  ck_assert_str_eq (told ("", "b\n"), "'b' is new");
  ck_assert_str_eq (told ("a\t1\nb\t2\n", "a\t1\nb\t3\n"),
                    "'b' has other contents");
  ck_assert_str_eq (told ("a\nb\nc\n", "a\nx\nc\n"), "'x' instead of 'b'");
  /* a name is not the beginning of another */
  ck_assert_str_eq (told ("a\nb\n", "bb\na\n"), "'bb' is new");
  ck_assert_str_eq (told ("a\nb", "a\nc"), "'c' instead of 'b'");
}
END_TEST

START_TEST (atomic_symlink)
{
  char link[128];
  struct stat st;

  snprintf (link, sizeof link, "%s/link", folder);
  ck_assert_int_eq (qk_atomic_write_data (file, "one", 3), 0);
  ck_assert_int_eq (symlink ("model", link), 0);
  ck_assert_int_eq (qk_atomic_write_data (link, "two", 3), -ELOOP);
  ck_assert (strstr (qk_error_message (), "link: is a symbolic link") != NULL);
  ck_assert_str_eq (content (file), "one");
  ck_assert_int_eq (lstat (link, &st), 0);
  ck_assert (S_ISLNK (st.st_mode));
  ck_assert_int_eq (files (false), 2);
}
END_TEST

START_TEST (atomic_failing_fill)
{
  char expected[200];

  ck_assert_int_eq (qk_atomic_write_data (file, "old", 3), 0);
  ck_assert_int_eq (qk_atomic_write (file, write_then_fail, "no idea"), -EIO);
  snprintf (expected, sizeof expected, "%s: no idea", file);
  ck_assert_str_eq (qk_error_message (), expected);
  ck_assert_str_eq (content (file), "old");
  ck_assert_int_eq (files (false), 1);
}
END_TEST

/* A limit on the size of files fails like a full disk. */
START_TEST (atomic_full_disk)
{
  const struct rlimit limit = { 10000, 10000 };
  char *data = calloc (1, 50000);

  ck_assert_int_eq (qk_atomic_write_data (file, "old", 3), 0);
  signal (SIGXFSZ, SIG_IGN);
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  ck_assert_int_eq (qk_atomic_write_data (file, data, 50000), -EFBIG);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), file));
  ck_assert_ptr_nonnull (strstr (qk_error_message (), strerror (EFBIG)));
  ck_assert_str_eq (content (file), "old");
  ck_assert_int_eq (files (false), 1);
  free (data);
}
END_TEST

START_TEST (atomic_bad_targets)
{
  char path[400];

  snprintf (path, sizeof path, "%s/none/x", folder);
  ck_assert_int_eq (qk_atomic_write_data (path, "x", 1), -ENOENT);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), path));
  ck_assert_int_eq (qk_atomic_write_data (folder, "x", 1), -EISDIR);
  ck_assert_int_eq (qk_atomic_write_data ("/dev/full", "x", 1), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "not a regular file"));
  ck_assert_int_eq (qk_atomic_write_data ("", "x", 1), -EISDIR);
  /* the longest possible name leaves no room for the temporary's suffix */
  snprintf (path, sizeof path, "%s/", folder);
  memset (path + strlen (folder) + 1, 'n', 255);
  path[strlen (folder) + 256] = '\0';
  ck_assert_int_eq (qk_atomic_write_data (path, "x", 1), 0);
  ck_assert_int_eq (files (false), 1);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("base");
  TCase *plain = tcase_create ("plain"), *disk = tcase_create ("files");
  SRunner *runner;
  int failed;

  tcase_add_test (plain, error_sentence);
  tcase_add_test (plain, error_harmless);
  tcase_add_test (plain, error_too_long);
  tcase_add_test (plain, error_per_thread);
  tcase_add_test (plain, log_lines);
  tcase_add_test (plain, dtypes);
  tcase_add_test (plain, shapes);
  tcase_add_test (plain, memory);
  tcase_add_test (plain, rng_reference);
  tcase_add_test (plain, rng_streams);
  tcase_add_test (plain, rng_many);
  tcase_add_test (plain, rng_distributions);
  tcase_add_test (plain, near_names);
  suite_add_tcase (s, plain);
  tcase_add_checked_fixture (disk, make_folder, remove_folder);
  tcase_add_test (disk, atomic_success);
  tcase_add_test (disk, atomic_symlink);
  tcase_add_test (disk, difference);
  tcase_add_test (disk, atomic_failing_fill);
  tcase_add_test (disk, atomic_bad_targets);
  tcase_add_test (disk, atomic_full_disk); /* last: keeps the limit */
  suite_add_tcase (s, disk);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
