/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_npy.c: NumPy's files are read as NumPy wrote them, whatever type,
 * order and version, and refused where they lie; what is written, is read. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/tensorfile.h"
#include "npy/npy.h"

static struct qk_context *ctx;
static char dir[64];

static void
setup (void)
{
  strcpy (dir, "check_npy-XXXXXX");
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

static const char *
golden (const char *name)
{
  const char *src = getenv ("abs_top_srcdir");
  static char path[4096];

  snprintf (path, sizeof path, "%s/tests/golden/npy/%s", src ? src : ".",
            name);
  return path;
}

static const char *
at (const char *name)
{
  static char path[128];

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

/* The array of a file of one. */
static struct npy_file *
open_golden (const char *name, struct npy_array *a)
{
  struct npy_file *f;

  ck_assert_msg (npy_open (golden (name), true, &f) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (npy_count (f), 1);
  ck_assert_msg (npy_get (f, 0, a) == 0, "%s", qk_error_message ());
  return f;
}

static void
refused (const char *path, int err, const char *text)
{
  struct npy_file *f = NULL;
  struct npy_array a;
  int r = npy_open (path, true, &f);

  if (r == 0)
    r = npy_get (f, 0, &a);
  ck_assert_msg (r == err && strstr (qk_error_message (), text), "%s: %d: %s",
                 path, r, qk_error_message ());
  npy_close (f);
}

/* Element N as npy.py made it. */
static double
expected (char kind, int n)
{
  return kind == 'f'   ? (n - 12) / 8.0
         : kind == 'i' ? 5 * n - 60
         : kind == 'u' ? 10 * n
                       : n % 3 == 0;
}

static double
element (const struct qk_tensor *t, int n)
{
  const char *p
    = (const char *) t->data + (size_t) n * qk_dtype_size (t->dtype);
  union {
    float f;
    double d;
    int32_t i;
    int64_t l;
  } x;

  memcpy (&x, p, qk_dtype_size (t->dtype));
  switch (t->dtype) {
  case QK_F32:
    return (double) x.f;
  case QK_F64:
    return x.d;
  case QK_I32:
    return x.i;
  case QK_I64:
    return (double) x.l;
  case QK_I8:
    return *(const signed char *) p;
  default:
    return *(const unsigned char *) p;
  }
}

#ifdef WITH_LIBZIP

static void
check_array (struct npy_file *f, int64_t i)
{
  struct npy_array a;
  struct npy_box box;
  float x[24];
  int64_t v[24];
  int n;

  ck_assert_msg (npy_get (f, i, &a) == 0, "%s", qk_error_message ());
  ck_assert_int_eq (a.count, 24);
  ck_assert (qk_shape_equal (&a.shape, &(struct qk_shape){ 3, { 2, 3, 4 } }));
  npy_whole (&a, &box);
  npy_floats (&a, &box, x);
  for (n = 0; n < 24; n++)
    ck_assert_msg ((double) x[n] == expected (a.type.kind, n), "%s[%d] = %g",
                   npy_name (f, i), n, (double) x[n]);
  if (a.type.kind == 'f')
    return;
  npy_integers (&a, &box, v);
  for (n = 0; n < 24; n++)
    ck_assert_int_eq (v[n], (int64_t) expected (a.type.kind, n));
}

START_TEST (every_type)
{
  static const char *const files[] = { "every.npz", "deflated.npz" };
  struct npy_file *f;
  int64_t i;

  ck_assert_msg (npy_open (golden (files[_i]), _i == 0, &f) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (npy_count (f), 42);
  ck_assert_int_eq (npy_find (f, "none"), -ENOENT);
  ck_assert_int_ge (npy_find (f, "big-f2-fortran"), 0);
  for (i = 0; i < npy_count (f); i++)
    check_array (f, i);
  npy_close (f);
}
END_TEST

/* As tensors: the dtype holds every number. */
START_TEST (format_tensors)
{
  struct qk_tensorfile *f;
  struct qk_format_entry e;
  int64_t i;
  int n;

  ck_assert_msg (qk_tensorfile_open (ctx, golden ("every.npz"), NULL, &f) == 0,
                 "%s", qk_error_message ());
  ck_assert_int_eq (qk_tensorfile_count (f), 42);
  for (i = 0; i < 42; i++) {
    ck_assert_int_eq (qk_tensorfile_entry (f, i, &e), 0);
    for (n = 0; n < 24; n++) {
      const char *type = strrchr (e.name, '-') - 2;

      ck_assert_msg (element (&e.tensor, n) == expected (type[0], n),
                     "%s[%d] = %g", e.name, n, element (&e.tensor, n));
    }
  }
  qk_tensorfile_close (f);
}
END_TEST

START_TEST (damaged_archives)
{
  static unsigned char data[1 << 16];
  FILE *in = fopen (golden ("deflated.npz"), "rb");
  struct npy_file *f = NULL;
  struct npy_array a;
  size_t size, i;
  int64_t k;
  int bad = 0;

  ck_assert_ptr_nonnull (in);
  size = fread (data, 1, sizeof data, in);
  fclose (in);
  put ("cut.npz", data, size - 40);
  refused (at ("cut.npz"), -EBADMSG, "not a whole archive");
  /* a byte of compressed data: the checksum tells */
  for (i = 60; i < 400; i++)
    data[i] ^= 1;
  put ("bent.npz", data, size);
  ck_assert_int_eq (npy_open (at ("bent.npz"), true, &f), 0);
  for (k = 0; k < npy_count (f); k++)
    if (npy_get (f, k, &a) < 0) {
      ck_assert_ptr_nonnull (strstr (qk_error_message (), "array '"));
      bad++;
    }
  ck_assert_int_ge (bad, 1);
  npy_close (f);
}
END_TEST

#endif

/* Fortran order, a part of the axes, and axes in another order. */
START_TEST (boxes)
{
  const float numbers[] = { 0, 1, 2, 3, 4, 5 };
  struct npy_array a = { .type = { 'f', 4, false },
                         .shape = { 2, { 2, 3 } },
                         .stride = { 1, 2 },
                         .count = 6,
                         .data = (const unsigned char *) numbers };
  struct npy_box b;
  float out[6];

  ck_assert (!npy_direct (&a));
  npy_whole (&a, &b);
  npy_floats (&a, &b, out);
  ck_assert (out[0] == 0 && out[1] == 2 && out[2] == 4 && out[3] == 1);
  b = (struct npy_box){ 1, { 3 }, { 2 }, 1 }; /* row 1 */
  npy_floats (&a, &b, out);
  ck_assert (out[0] == 1 && out[1] == 3 && out[2] == 5);
  b = (struct npy_box){ 2, { 3, 2 }, { 2, 1 }, 0 }; /* transposed */
  npy_floats (&a, &b, out);
  ck_assert (memcmp (out, numbers, sizeof numbers) == 0);
}
END_TEST

START_TEST (versions_and_ranks)
{
  static const char *const files[]
    = { "version-1.npy", "version-2.npy", "version-3.npy" };
  struct npy_array a;
  struct npy_file *f;
  float x;
  size_t i;

  for (i = 0; i < 3; i++) {
    f = open_golden (files[i], &a);
    ck_assert (npy_direct (&a));
    memcpy (&x, a.data + 4 * 23, 4);
    ck_assert (a.count == 24 && x == 11.0f / 8.0f);
    npy_close (f);
  }
  f = open_golden ("number.npy", &a);
  memcpy (&x, a.data, 4);
  ck_assert (a.shape.ndim == 0 && a.count == 1 && x == 2.5f);
  ck_assert_str_eq (npy_name (f, 0), "number");
  npy_close (f);
  f = open_golden ("empty.npy", &a);
  ck_assert (a.count == 0 && a.shape.dims[1] == 7);
  npy_close (f);
  f = open_golden ("rank-8.npy", &a);
  ck_assert (a.shape.ndim == 8 && a.stride[1] == 2 && npy_direct (&a));
  npy_close (f);
}
END_TEST

START_TEST (unsupported)
{
  struct qk_tensorfile *t;
  struct qk_format_entry e;

  refused (golden ("rank-9.npy"), -ENOTSUP, "more than 8 dimensions");
  refused (golden ("objects.npy"), -ENOTSUP, "Python objects");
  refused (golden ("records.npy"), -ENOTSUP, "records");
  refused (golden ("complex.npy"), -ENOTSUP, "'<c8'");
  refused (golden ("text.npy"), -ENOTSUP, "'<U2'");
  ck_assert_int_eq (
    qk_tensorfile_open (ctx, golden ("huge-number.npy"), NULL, &t), 0);
  ck_assert_int_eq (qk_tensorfile_entry (t, 0, &e), -ENOTSUP);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "element 1"));
  qk_tensorfile_close (t);
}
END_TEST

/* A version 1 file with this dictionary and SIZE bytes of numbers. */
static const char *
lying (const char *dict, size_t size)
{
  static char data[4096];
  const size_t n = strlen (dict);

  memset (data, 0, sizeof data);
  memcpy (data, "\x93NUMPY\1\0", 8);
  data[8] = (char) n;
  data[9] = 0;
  memcpy (data + 10, dict, n);
  put ("lying.npy", data, 10 + n + size);
  return at ("lying.npy");
}

START_TEST (lies)
{
  refused (
    lying ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 8),
    -EBADMSG,
    "an array (3) of float32 has 12 bytes, but 8 follow its "
    "header (file cut short?)");
  refused (
    lying ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 8),
    -EBADMSG, "has 4 bytes, but 8 follow");
  refused (
    lying ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 8),
    -EBADMSG, "no list of whole numbers");
  refused (lying ("{'descr': '<f8', 'fortran_order': False, "
                  "'shape': (4294967296, 4294967296)}",
                  8),
           -EBADMSG, "fit 64 bits");
  refused (lying ("{'descr': '<f8', 'fortran_order': False, "
                  "'shape': (0, 9223372036854775807, 2)}",
                  8),
           -EBADMSG, "header");
  refused (lying ("{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}", 8),
           -EBADMSG, "neither True nor False");
  refused (lying ("{'descr': '<f4', 'shape': (2,)}", 8), -EBADMSG, "lacks");
  refused (lying ("{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}", 8),
           -EBADMSG, "twice");
  refused (lying ("{'descr': '<f4", 8), -EBADMSG, "descr");
  refused (lying ("", 8), -EBADMSG, "not a dictionary");
  put ("lying.npy", "\x93NUMPY\2\0\xff\xff\xff\xff", 12);
  refused (at ("lying.npy"), -EBADMSG, "claims 4294967295 bytes");
  put ("lying.npy", "\x93NUMPY\4\0\xff\xff\xff\xff", 12);
  refused (at ("lying.npy"), -ENOTSUP, "version 4.0");
  put ("lying.npy", "GIF89a......", 12);
  refused (at ("lying.npy"), -EBADMSG, "neither an array");
  refused (at ("none.npy"), -ENOENT, "cannot open");
}
END_TEST

/* ---- writing ---------------------------------------------------------*/

static const float f32[6] = { 1, 2, 3, 4, 5, -6.5f };
static const int64_t i64[1] = { INT64_MIN };
static const int8_t i8[3] = { -1, 0, 1 };

static const struct qk_format_entry entries[]
  = { { "x", { QK_F32, { 2, { 2, 3 } }, (void *) f32, { 0, 0, 0, 0 } } },
      { "a/b.c", { QK_I64, { 0, { 0 } }, (void *) i64, { 0, 0, 0, 0 } } },
      { "t", { QK_I8, { 1, { 3 } }, (void *) i8, { 0, 0, 0, 0 } } },
      { "none", { QK_U8, { 2, { 0, 4 } }, NULL, { 0, 0, 0, 0 } } } };

static void
read_back (const char *name, int64_t n)
{
  struct qk_tensorfile *f;
  struct qk_format_entry e;
  int64_t i;

  ck_assert_msg (qk_tensorfile_open (ctx, at (name), NULL, &f) == 0, "%s",
                 qk_error_message ());
  ck_assert_int_eq (qk_tensorfile_count (f), n);
  for (i = 0; i < n; i++) {
    const struct qk_tensor *t = &entries[i].tensor;

    ck_assert_int_eq (qk_tensorfile_entry (f, i, &e), 0);
    ck_assert_str_eq (e.name, entries[i].name);
    ck_assert (e.tensor.dtype == t->dtype
               && qk_shape_equal (&e.tensor.shape, &t->shape));
    if (t->data)
      ck_assert (
        memcmp (e.tensor.data, t->data,
                (size_t) qk_shape_count (&t->shape) * qk_dtype_size (t->dtype))
        == 0);
  }
  qk_tensorfile_close (f);
}

START_TEST (writes)
{
  ck_assert_msg (
    qk_tensorfile_write (ctx, at ("x.npy"), NULL, entries, 1, NULL, 0) == 0,
    "%s", qk_error_message ());
  read_back ("x.npy", 1);
  ck_assert_int_eq (
    qk_tensorfile_write (ctx, at ("y.npy"), NULL, entries, 2, NULL, 0),
    -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), ".npz"));
  ck_assert_int_ne (access (at ("y.npy"), F_OK), 0);
#ifdef WITH_LIBZIP
  ck_assert_msg (
    qk_tensorfile_write (ctx, at ("x.npz"), NULL, entries, 4, NULL, 0) == 0,
    "%s", qk_error_message ());
  read_back ("x.npz", 4);
#endif
}
END_TEST

/* What NumPy writes for the same numbers, byte for byte. */
START_TEST (writes_as_numpy)
{
  static char ours[1024], theirs[1024];
  struct qk_format_entry e
    = { "v", { QK_F32, { 3, { 2, 3, 4 } }, NULL, { 0, 0, 0, 0 } } };
  float x[24];
  size_t n, m;
  FILE *f;
  int i;

  for (i = 0; i < 24; i++)
    x[i] = (float) expected ('f', i);
  e.tensor.data = x;
  ck_assert_int_eq (
    qk_tensorfile_write (ctx, at ("v.npy"), NULL, &e, 1, NULL, 0), 0);
  f = fopen (at ("v.npy"), "rb");
  ck_assert_ptr_nonnull (f);
  n = fread (ours, 1, sizeof ours, f);
  fclose (f);
  f = fopen (golden ("version-1.npy"), "rb");
  ck_assert_ptr_nonnull (f);
  m = fread (theirs, 1, sizeof theirs, f);
  fclose (f);
  ck_assert_uint_eq (n, m);
  ck_assert (memcmp (ours, theirs, n) == 0);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("npy");
  TCase *t = tcase_create ("npy");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
#ifdef WITH_LIBZIP
  tcase_add_loop_test (t, every_type, 0, 2);
  tcase_add_test (t, format_tensors);
  tcase_add_test (t, damaged_archives);
#endif
  tcase_add_test (t, boxes);
  tcase_add_test (t, versions_and_ranks);
  tcase_add_test (t, unsupported);
  tcase_add_test (t, lies);
  tcase_add_test (t, writes);
  tcase_add_test (t, writes_as_numpy);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? 1 : 0;
}
