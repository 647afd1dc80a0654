/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_safetensors.c: the safetensors plugin reads and writes what the
 * format says, and refuses files that lie. */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qatkit/context.h"
#include "qatkit/format.h"

static struct qk_context *ctx;
static const struct qk_format_class *fmt;
static char dir[] = "check_safetensors-XXXXXX";
static char path[64];

static void
setup (void)
{
  const struct qk_class *cls;

  strcpy (dir + strlen (dir) - 6, "XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  snprintf (path, sizeof path, "%s/x.safetensors", dir);
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  ck_assert_msg (qk_context_class (ctx, QK_KIND_FORMAT, "safetensors", &cls)
                   == 0,
                 "%s", qk_error_message ());
  fmt = (const struct qk_format_class *) cls;
}

static void
teardown (void)
{
  unlink (path);
  rmdir (dir);
  qk_context_free (ctx);
}

/* ---- helpers ---------------------------------------------------------*/

static void
put (const void *data, size_t size)
{
  FILE *f = fopen (path, "wb");

  ck_assert_ptr_nonnull (f);
  ck_assert_uint_eq (fwrite (data, 1, size, f), size);
  ck_assert_int_eq (fclose (f), 0);
}

/* A file with this header and DATA_SIZE zero bytes of data. */
static void
put_header (const char *header, size_t data_size)
{
  const size_t n = strlen (header);
  unsigned char *bytes = calloc (1, 8 + n + data_size);
  int i;

  ck_assert_ptr_nonnull (bytes);
  for (i = 0; i < 8; i++)
    bytes[i] = (unsigned char) ((uint64_t) n >> (8 * i));
  memcpy (bytes + 8, header, n);
  put (bytes, 8 + n + data_size);
  free (bytes);
}

/* Opening must fail with ERR and a sentence with the file's name and WORD. */
static void
refused (int err, const char *word)
{
  void *self = NULL;
  const int got = fmt->open (NULL, path, &self);

  if (got == 0)
    fmt->close (self);
  ck_assert_msg (got == err, "open gave %d instead of %d: %s", got, err,
                 qk_error_message ());
  ck_assert_msg (strstr (qk_error_message (), path) != NULL,
                 "no file name in: %s", qk_error_message ());
  ck_assert_msg (strstr (qk_error_message (), word) != NULL, "no '%s' in: %s",
                 word, qk_error_message ());
}

static void
lie (const char *header, size_t data_size, const char *word)
{
  put_header (header, data_size);
  refused (-EBADMSG, word);
}

static int
find (void *self, const char *name, struct qk_format_entry *e)
{
  int64_t i;

  for (i = 0; i < fmt->count (self); i++) {
    const int err = fmt->entry (self, i, e);

    if (strcmp (e->name, name) == 0)
      return err;
  }
  ck_abort_msg ("no tensor %s", name);
  return -ENOENT;
}

static void
must_open (const char *name, void **self)
{
  ck_assert_msg (fmt->open (NULL, name, self) == 0, "%s", qk_error_message ());
}

static uint32_t
bits_at (const struct qk_format_entry *e, int i)
{
  uint32_t bits;

  memcpy (&bits, (const char *) e->tensor.data + 4 * i, 4);
  return bits;
}

/* ---- the golden file -------------------------------------------------*/

static void
check_shape (const struct qk_format_entry *e, enum qk_dtype dtype,
             const char *shape)
{
  char text[128];

  ck_assert_str_eq (qk_dtype_name (e->tensor.dtype), qk_dtype_name (dtype));
  ck_assert_str_eq (qk_shape_print (&e->tensor.shape, text, sizeof text),
                    shape);
}

static void
check_direct (void *self)
{
  static const double f64[] = { 1.0 / 3, -1e300 };
  static const int64_t i64 = INT64_MIN;
  static const int32_t i32[] = { INT32_MIN, 0, INT32_MAX };
  static const uint8_t u8[] = { 0, 1, 254, 255 };
  static const int8_t i8[] = { -128, 0, 127 };
  static const float f32[] = { 0, 1, -2.5f, 3e38f, 1e-45f, INFINITY };
  struct qk_format_entry e;

  ck_assert_int_eq (find (self, "f64", &e), 0);
  check_shape (&e, QK_F64, "(2)");
  ck_assert_mem_eq (e.tensor.data, f64, sizeof f64);
  ck_assert_int_eq (find (self, "i64", &e), 0);
  check_shape (&e, QK_I64, "()");
  ck_assert_mem_eq (e.tensor.data, &i64, sizeof i64);
  ck_assert_int_eq (find (self, "f32", &e), 0);
  check_shape (&e, QK_F32, "(2,1,3)");
  ck_assert_mem_eq (e.tensor.data, f32, sizeof f32);
  ck_assert_int_eq (find (self, "i32", &e), 0);
  check_shape (&e, QK_I32, "(3)");
  ck_assert_mem_eq (e.tensor.data, i32, sizeof i32);
  ck_assert_int_eq (find (self, "u8", &e), 0);
  check_shape (&e, QK_U8, "(2,2)");
  ck_assert_mem_eq (e.tensor.data, u8, sizeof u8);
  ck_assert_int_eq (find (self, "i8", &e), 0);
  check_shape (&e, QK_I8, "(3)");
  ck_assert_mem_eq (e.tensor.data, i8, sizeof i8);
  ck_assert_int_eq (find (self, "bool", &e), 0);
  check_shape (&e, QK_U8, "(2)");
  ck_assert_mem_eq (e.tensor.data, "\1\0", 2);
  ck_assert_int_eq (find (self, "empty", &e), 0);
  check_shape (&e, QK_F32, "(3,0,2)");
  ck_assert_int_eq (find (self, "gr\303\266\303\237e", &e), 0);
  ck_assert_mem_eq (e.tensor.data, "*", 1);
}

static void
check_converted (void *self)
{
  static const float f16[]
    = { 1, -2, 65504, 0x1p-14f, 0x1p-24f, 1023 * 0x1p-24f, -0.0f, INFINITY };
  static const uint32_t bf16[] = { 0x3f800000, 0xc0490000, 0x00010000 };
  struct qk_format_entry e, again;
  uint32_t bits;
  int i;

  ck_assert_int_eq (find (self, "f16", &e), 0);
  check_shape (&e, QK_F32, "(8)");
  for (i = 0; i < 8; i++) {
    memcpy (&bits, &f16[i], 4);
    ck_assert_uint_eq (bits_at (&e, i), bits);
  }
  ck_assert_int_eq (find (self, "f16", &again), 0);
  ck_assert_ptr_eq (e.tensor.data, again.tensor.data);
  ck_assert_int_eq (find (self, "bf16", &e), 0);
  check_shape (&e, QK_F32, "(3)");
  for (i = 0; i < 3; i++)
    ck_assert_uint_eq (bits_at (&e, i), bf16[i]);
}

START_TEST (golden)
{
  const char *top = getenv ("abs_top_srcdir");
  struct qk_format_entry e;
  char golden_path[4096];
  void *self;

  snprintf (golden_path, sizeof golden_path,
            "%s/tests/golden/safetensors.safetensors", top ? top : ".");
  must_open (golden_path, &self);
  ck_assert_int_eq (fmt->count (self), 13);
  check_direct (self);
  check_converted (self);

  ck_assert_int_eq (find (self, "five", &e), 0);
  ck_assert_int_eq (e.tensor.shape.ndim, 5);
  ck_assert_int_eq (find (self, "i16", &e), -ENOTSUP);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "I16"));
  ck_assert_int_eq (fmt->entry (self, 13, &e), -EINVAL);
  ck_assert_int_eq (fmt->entry (self, -1, &e), -EINVAL);

  ck_assert_str_eq (fmt->metadata (self, "format"), "pt");
  ck_assert_str_eq (fmt->metadata (self, "note"), "na\303\257ve\n\"x\"");
  ck_assert_ptr_null (fmt->metadata (self, "absent"));
  fmt->close (self);
}
END_TEST

/* ---- writing ---------------------------------------------------------*/

static int
write_file (const struct qk_format_entry *e, int64_t n,
            const struct qk_format_meta *meta, int n_meta)
{
  const int fd = open (path, O_RDWR | O_CREAT | O_TRUNC, 0666);
  int err;

  ck_assert_int_ge (fd, 0);
  err = fmt->write (NULL, fd, e, n, meta, n_meta);
  close (fd);
  return err;
}

static char *
contents (size_t *size)
{
  struct stat st;
  char *bytes;
  FILE *f = fopen (path, "rb");

  ck_assert_ptr_nonnull (f);
  ck_assert_int_eq (fstat (fileno (f), &st), 0);
  *size = (size_t) st.st_size;
  bytes = malloc (*size + 1);
  ck_assert_ptr_nonnull (bytes);
  ck_assert_uint_eq (fread (bytes, 1, *size, f), *size);
  bytes[*size] = '\0';
  fclose (f);
  return bytes;
}

static float w_data[2 * 3 * 2 * 2];
static uint8_t u8_data[] = { 3, 2, 1 };
static int8_t i8_data[] = { -1, 0, 1, 2, 3 };
static int32_t i32_data[] = { -7, 9 };
static int64_t i64_data[] = { 1234567890123456789 };
static double f64_data[] = { M_PI };

static const struct qk_format_entry all[] = {
  { "u8", { QK_U8, { 1, { 3 } }, u8_data, { 0, 0, 0, 0 } } },
  { "w", { QK_F32, { 4, { 2, 3, 2, 2 } }, w_data, { 0, 0, 0, 0 } } },
  { "i8", { QK_I8, { 2, { 5, 1 } }, i8_data, { 0, 0, 0, 0 } } },
  { "i32", { QK_I32, { 1, { 2 } }, i32_data, { 0, 0, 0, 0 } } },
  { "i64", { QK_I64, { 0, { 0 } }, i64_data, { 0, 0, 0, 0 } } },
  { "f64", { QK_F64, { 1, { 1 } }, f64_data, { 0, 0, 0, 0 } } },
  { "none", { QK_F32, { 1, { 0 } }, NULL, { 0, 0, 0, 0 } } },
};
#define N_ALL ((int64_t) (sizeof all / sizeof all[0]))

static const struct qk_format_meta pairs[] = {
  { "b", "two\nlines, \"quoted\" \\ \303\244" },
  { "a", "" },
};

START_TEST (round_trip)
{
  struct qk_format_entry e;
  size_t size, size2, i;
  char *first, *second;
  uint64_t header;
  void *self;
  int64_t k;

  for (i = 0; i < sizeof w_data / sizeof w_data[0]; i++)
    w_data[i] = (float) i / 3.0f;
  ck_assert_msg (write_file (all, N_ALL, pairs, 2) == 0, "%s",
                 qk_error_message ());
  first = contents (&size);
  must_open (path, &self);
  ck_assert_int_eq (fmt->count (self), N_ALL);
  for (k = 0; k < N_ALL; k++) {
    const size_t bytes = (size_t) qk_shape_count (&all[k].tensor.shape)
                         * qk_dtype_size (all[k].tensor.dtype);

    ck_assert_int_eq (find (self, all[k].name, &e), 0);
    ck_assert_int_eq (e.tensor.dtype, all[k].tensor.dtype);
    ck_assert (qk_shape_equal (&e.tensor.shape, &all[k].tensor.shape));
    if (bytes > 0)
      ck_assert_mem_eq (e.tensor.data, all[k].tensor.data, bytes);
    /* each on a multiple of its element size */
    ck_assert_uint_eq (
      (uintptr_t) e.tensor.data % qk_dtype_size (e.tensor.dtype), 0);
  }
  ck_assert_str_eq (fmt->metadata (self, "b"), pairs[0].value);
  ck_assert_str_eq (fmt->metadata (self, "a"), "");
  fmt->close (self);

  memcpy (&header, first, 8);
  ck_assert_uint_eq (header % 8, 0);
  ck_assert_int_eq (write_file (all, N_ALL, pairs, 2), 0);
  second = contents (&size2);
  ck_assert_uint_eq (size, size2);
  ck_assert_mem_eq (first, second, size);
  free (first);
  free (second);
}
END_TEST

/* Whoever copies another model over an open one changes nothing, and cutting it
 * ends nobody. */
START_TEST (overwritten_while_open)
{
  struct qk_format_entry e;
  void *self;

  ck_assert_int_eq (write_file (all, N_ALL, pairs, 2), 0);
  must_open (path, &self);
  ck_assert_int_eq (truncate (path, 0), 0);
  ck_assert_int_eq (find (self, all[0].name, &e), 0);
  ck_assert_mem_eq (e.tensor.data, all[0].tensor.data,
                    (size_t) qk_shape_count (&all[0].tensor.shape)
                      * qk_dtype_size (all[0].tensor.dtype));
  fmt->close (self);
}
END_TEST

START_TEST (empty_file)
{
  void *self;

  ck_assert_int_eq (write_file (NULL, 0, NULL, 0), 0);
  must_open (path, &self);
  ck_assert_int_eq (fmt->count (self), 0);
  ck_assert_ptr_null (fmt->metadata (self, "x"));
  fmt->close (self);
  put_header ("{}", 0);
  must_open (path, &self);
  fmt->close (self);
}
END_TEST

START_TEST (write_refuses)
{
  struct qk_format_entry e[2] = { all[0], all[0] };
  const struct qk_format_meta twice[] = { { "k", "1" }, { "k", "2" } };
  const struct qk_format_meta binary = { "k", "\377" };

  ck_assert_int_eq (write_file (e, 2, NULL, 0), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "\"u8\""));
  e[0].name = "__metadata__";
  ck_assert_int_eq (write_file (e, 1, NULL, 0), -EINVAL);
  e[0].name = "esc\033[2J";
  ck_assert_int_eq (write_file (e, 1, NULL, 0), -EINVAL);
  e[0].name = "latin1 \344";
  ck_assert_int_eq (write_file (e, 1, NULL, 0), -EINVAL);
  e[0] = all[0];
  e[0].tensor.dtype = QK_NONE;
  ck_assert_int_eq (write_file (e, 1, NULL, 0), -EINVAL);
  e[0] = all[0];
  e[0].tensor.shape.ndim = QK_MAX_DIMS + 1;
  ck_assert_int_eq (write_file (e, 1, NULL, 0), -EINVAL);
  e[0] = all[0];
  e[0].tensor.shape.dims[0] = -1;
  ck_assert_int_eq (write_file (e, 1, NULL, 0), -EINVAL);
  e[0] = all[0];
  e[0].tensor.data = NULL;
  ck_assert_int_eq (write_file (e, 1, NULL, 0), -EINVAL);
  ck_assert_int_eq (write_file (all, 1, twice, 2), -EINVAL);
  ck_assert_int_eq (write_file (all, 1, &binary, 1), -EINVAL);
}
END_TEST

START_TEST (write_to_full_disk)
{
  const int fd = open ("/dev/full", O_WRONLY);

  if (fd < 0)
    return; /* a system without this device */
  ck_assert_int_eq (fmt->write (NULL, fd, all, N_ALL, NULL, 0), -ENOSPC);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "No space left"));
  close (fd);
}
END_TEST

/* ---- lies ------------------------------------------------------------*/

#define T(dtype, shape, offsets)                                              \
  "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

START_TEST (lies_length)
{
  static const unsigned char huge[16]
    = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}' };
  static const unsigned char longer[10] = { 3, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
  static const unsigned char nothing[10] = { 0 };

  put ("", 0);
  refused (-EBADMSG, "too short");
  put ("abc", 3);
  refused (-EBADMSG, "too short");
  put (huge, sizeof huge);
  refused (-EBADMSG, "18446744073709551615");
  put (longer, sizeof longer);
  refused (-EBADMSG, "header length 3");
  put (nothing, sizeof nothing);
  refused (-EBADMSG, "'{'");
}
END_TEST

START_TEST (lies_too_long_header)
{
  const size_t n = ((size_t) 16 << 20) + 8;
  char *header = malloc (n + 1);

  ck_assert_ptr_nonnull (header);
  memset (header, ' ', n);
  memcpy (header, "{}", 2);
  header[n] = '\0';
  lie (header, 0, "allowed");
  free (header);
}
END_TEST

START_TEST (lies_json)
{
  lie ("[]", 0, "'{'");
  lie ("{", 0, "too short");
  lie ("{\"a\"}", 0, "JSON");
  lie ("{}x", 0, "JSON");
  lie ("{\"a\":" T ("U8", "[1]", "[0,1]"), 1, "JSON");
  lie ("{\"\\u0000\":" T ("U8", "[1]", "[0,1]") "}", 1, "JSON");
  lie ("{\"\377\":" T ("U8", "[1]", "[0,1]") "}", 1, "JSON");
  lie (
    "{\"a\":" T ("U8", "[1]", "[0,1]") ",\"a\":" T ("U8", "[1]", "[1,2]") "}",
    2, "JSON");
  lie ("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],"
       "\"data_offsets\":[0,1]}}",
       1, "JSON");
  lie ("{\"a\":" T ("U8", "[1]", "[0,99999999999999999999]") "}", 1, "JSON");
  lie ("{\"a\\u001b\":" T ("U8", "[1]", "[0,1]") "}", 1, "control");
}
END_TEST

START_TEST (lies_nesting)
{
  char *header = malloc (200001);
  int i;

  ck_assert_ptr_nonnull (header);
  header[0] = '{';
  memset (header + 1, '[', 199999);
  header[200000] = '\0';
  lie (header, 0, "nested");
  for (i = 1; i < 199995; i += 5)
    memcpy (header + i, "\"a\":{", 5);
  lie (header, 0, "nested");
  free (header);
  lie ("{\"a\":" T ("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1,
       "more than 8");
  lie ("{\"a\":" T ("U8", "[[1]]", "[0,1]") "}", 1, "nested");
}
END_TEST

START_TEST (lies_many_tensors)
{
  const int n = 100003;
  char *header = malloc ((size_t) n * 20 + 3), *p = header;
  int i;

  ck_assert_ptr_nonnull (header);
  *p++ = '{';
  for (i = 0; i < n; i++)
    p += sprintf (p, "%s\"%d\":{}", i ? "," : "", i);
  strcpy (p, "}");
  lie (header, 0, "more than 100000 tensors");
  free (header);
}
END_TEST

START_TEST (lies_description)
{
  lie ("{\"a\":1}", 0, "not an object");
  lie ("{\"a\":{}}", 0, "exactly");
  lie ("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "exactly");
  lie ("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],"
       "\"more\":1}}",
       1, "exactly");
  lie ("{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
       "dtype");
  lie ("{\"a\":" T ("F4", "[1]", "[0,1]") "}", 1, "unknown dtype \"F4\"");
  lie ("{\"a\":" T ("U8", "1", "[0,1]") "}", 1, "shape");
  lie ("{\"a\":" T ("U8", "[-1]", "[0,1]") "}", 1, "dimension 0");
  lie ("{\"a\":" T ("U8", "[1,1.0]", "[0,1]") "}", 1, "dimension 1");
  lie ("{\"a\":" T ("U8", "[\"1\"]", "[0,1]") "}", 1, "dimension 0");
  lie ("{\"__metadata__\":[]}", 0, "__metadata__");
  lie ("{\"__metadata__\":{\"a\":1}}", 0, "\"a\"");
}
END_TEST

START_TEST (lies_products)
{
  lie ("{\"a\":" T ("U8", "[4294967296,4294967296]", "[0,0]") "}", 0,
       "64 bits");
  lie ("{\"a\":" T ("U8", "[9223372036854775807,3]", "[0,1]") "}", 1,
       "64 bits");
  lie ("{\"a\":" T ("F64", "[2305843009213693952]", "[0,0]") "}", 0,
       "do not fill");
  lie ("{\"a\":" T ("F32", "[2]", "[0,4]") "}", 4, "do not fill");
  lie ("{\"a\":" T ("F32", "[1]", "[0,8]") "}", 8, "do not fill");
  lie ("{\"a\":" T ("BF16", "[4611686018427387904]", "[0,0]") "}", 0,
       "do not fill");
}
END_TEST

START_TEST (lies_offsets)
{
  lie ("{\"a\":" T ("U8", "[4]", "[0]") "}", 4, "two whole numbers");
  lie ("{\"a\":" T ("U8", "[4]", "[0,1,4]") "}", 4, "two whole numbers");
  lie ("{\"a\":" T ("U8", "[4]", "[0,4.0]") "}", 4, "two whole numbers");
  lie ("{\"a\":" T ("U8", "[4]", "\"0,4\"") "}", 4, "two whole numbers");
  lie ("{\"a\":" T ("U8", "[4]", "[-4,0]") "}", 4, "-4..0");
  lie ("{\"a\":" T ("U8", "[4]", "[4,0]") "}", 4, "4..0");
  lie ("{\"a\":" T ("U8", "[4]", "[0,4]") "}", 3, "beyond");
  lie ("{\"a\":" T ("U8", "[4]",
                    "[9223372036854775803,"
                    "9223372036854775807]") "}",
       4, "beyond");
  lie (
    "{\"a\":" T ("U8", "[4]", "[0,4]") ",\"b\":" T ("U8", "[4]", "[2,6]") "}",
    6, "overlap");
  lie (
    "{\"b\":" T ("U8", "[4]", "[0,4]") ",\"a\":" T ("U8", "[4]", "[0,4]") "}",
    4, "overlap");
  lie ("{\"a\":" T ("U8", "[4]", "[1,5]") "}", 5, "belong to no tensor");
  lie (
    "{\"a\":" T ("U8", "[1]", "[0,1]") ",\"b\":" T ("U8", "[1]", "[2,3]") "}",
    3, "1..2");
  lie ("{\"a\":" T ("U8", "[4]", "[0,4]") "}", 5, "there are 5");
  lie ("{}", 1, "there are 1");
}
END_TEST

/* Cut off anywhere, or with any byte changed, a file is refused or read
 * without touching memory that is not its own (sanitizers see to that). */
START_TEST (truncated_and_bent)
{
  size_t size, n;
  char *bytes;
  void *self;

  ck_assert_int_eq (write_file (all, N_ALL, pairs, 2), 0);
  bytes = contents (&size);
  for (n = 0; n < size; n++) {
    put (bytes, n);
    ck_assert_int_eq (fmt->open (NULL, path, &self), -EBADMSG);
  }
  for (n = 0; n < size; n += 3) {
    struct qk_format_entry e;
    int64_t i;

    bytes[n] ^= 0x15;
    put (bytes, size);
    bytes[n] ^= 0x15;
    if (fmt->open (NULL, path, &self) < 0)
      continue;
    for (i = 0; i < fmt->count (self); i++)
      fmt->entry (self, i, &e);
    fmt->close (self);
  }
  free (bytes);
}
END_TEST

START_TEST (not_a_file)
{
  void *self;

  ck_assert_int_eq (fmt->open (NULL, "/nonexistent/x", &self), -ENOENT);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "/nonexistent/x"));
  ck_assert_int_eq (fmt->open (NULL, dir, &self), -EINVAL);
  ck_assert_int_eq (mkfifo (path, 0600), 0);
  ck_assert_int_eq (fmt->open (NULL, path, &self), -EINVAL);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("safetensors");
  TCase *t = tcase_create ("files");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_test (t, golden);
  tcase_add_test (t, round_trip);
  tcase_add_test (t, overwritten_while_open);
  tcase_add_test (t, empty_file);
  tcase_add_test (t, write_refuses);
  tcase_add_test (t, write_to_full_disk);
  tcase_add_test (t, lies_length);
  tcase_add_test (t, lies_too_long_header);
  tcase_add_test (t, lies_json);
  tcase_add_test (t, lies_nesting);
  tcase_add_test (t, lies_many_tensors);
  tcase_add_test (t, lies_description);
  tcase_add_test (t, lies_products);
  tcase_add_test (t, lies_offsets);
  tcase_add_test (t, truncated_and_bent);
  tcase_add_test (t, not_a_file);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed != 0;
}
