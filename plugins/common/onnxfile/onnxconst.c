/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnxconst.c: constant tensors of ONNX files. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnxfile.h"

#define T(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name
#define NAME "%.200s"

/* The types that are numbers: how wide they are as raw data. */
static const struct type {
  int type;
  const char *name;
  bool real;
  size_t size;
} types[] = {
  { T (FLOAT), "float", true, 4 },       { T (UINT8), "uint8", false, 1 },
  { T (INT8), "int8", false, 1 },        { T (UINT16), "uint16", false, 2 },
  { T (INT16), "int16", false, 2 },      { T (INT32), "int32", false, 4 },
  { T (INT64), "int64", false, 8 },      { T (BOOL), "bool", false, 1 },
  { T (FLOAT16), "float16", true, 2 },   { T (DOUBLE), "double", true, 8 },
  { T (UINT32), "uint32", false, 4 },    { T (UINT64), "uint64", false, 8 },
  { T (BFLOAT16), "bfloat16", true, 2 },
};

static const struct type *
find_type (int type)
{
  size_t i;

  for (i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].type == type)
      return &types[i];
  return NULL;
}

const char *
onnx_type_name (int type)
{
  const struct type *t = find_type (type);

  return t != NULL ? t->name : type == T (STRING) ? "string" : "?";
}

bool
onnx_type_is_real (int type)
{
  const struct type *t = find_type (type);

  return t != NULL && t->real;
}

int
onnx_const_new (bool real, const struct qk_shape *shape,
                struct onnx_const **out)
{
  const int64_t n = qk_shape_count (shape);
  struct onnx_const *c = calloc (1, sizeof *c);

  *out = NULL;
  if (c == NULL)
    return qk_oom ("a constant");
  c->real = real;
  c->type = real ? T (FLOAT) : T (INT64);
  c->shape = *shape;
  c->n = n;
  c->data = n < 0 ? NULL
                  : calloc ((size_t) n + 1,
                            real ? sizeof (float) : sizeof (int64_t));
  if (c->data == NULL) {
    free (c);
    return qk_oom ("a constant");
  }
  *out = c;
  return 0;
}

void
onnx_const_free (struct onnx_const *c)
{
  if (c == NULL)
    return;
  free (c->data);
  free (c);
}

int
onnx_const_copy (const struct onnx_const *c, struct onnx_const **out)
{
  const int r = onnx_const_new (c->real, &c->shape, out);

  if (r < 0)
    return r;
  (*out)->type = c->type;
  memcpy ((*out)->data, c->data,
          (size_t) c->n * (c->real ? sizeof (float) : sizeof (int64_t)));
  return 0;
}

/* ---- half-wide floating point ---------------------------------------------- */

static float
float_of_bits (uint32_t bits)
{
  float f;

  memcpy (&f, &bits, sizeof f);
  return f;
}

/* IEEE 754 binary16; subnormal numbers are multiples of 2^-24. */
static float
float_of_half (uint16_t h)
{
  const uint32_t sign = (uint32_t) (h & 0x8000) << 16;
  const uint32_t exponent = (h >> 10) & 0x1f, fraction = h & 0x3ff;

  if (exponent == 0)
    return float_of_bits (sign | 0x3f800000) * (float) fraction * 0x1p-24f;
  if (exponent == 31)
    return float_of_bits (sign | 0x7f800000 | fraction << 13);
  return float_of_bits (sign | (exponent + 112) << 23 | fraction << 13);
}

/* ---- raw data ---------------------------------------------------------------- */

/* Element I of little-endian data of WIDTH bytes. */
static uint64_t
bits_at (const unsigned char *p, int64_t i, size_t width)
{
  uint64_t v = 0;
  size_t k;

  p += (size_t) i * width;
  for (k = 0; k < width; k++)
    v |= (uint64_t) p[k] << (8 * k);
  return v;
}

static float
real_of_bits (int type, uint64_t bits)
{
  double d;

  switch (type) {
  case T (FLOAT16):
    return float_of_half ((uint16_t) bits);
  case T (BFLOAT16):
    return float_of_bits ((uint32_t) bits << 16);
  case T (DOUBLE):
    memcpy (&d, &bits, sizeof d);
    return (float) d;
  default:
    return float_of_bits ((uint32_t) bits);
  }
}

static int64_t
integer_of_bits (int type, uint64_t bits)
{
  switch (type) {
  case T (INT8):
    return (int8_t) bits;
  case T (INT16):
    return (int16_t) bits;
  case T (INT32):
    return (int32_t) bits;
  case T (BOOL):
    return bits != 0;
  default:
    return (int64_t) bits;
  }
}

static void
take_raw (struct onnx_const *c, const struct type *t, const unsigned char *p)
{
  int64_t i;

  for (i = 0; i < c->n; i++)
    if (t->real)
      c->f[i] = real_of_bits (t->type, bits_at (p, i, t->size));
    else
      c->i[i] = integer_of_bits (t->type, bits_at (p, i, t->size));
}

static int
wrong_size (const struct onnxfile *f, const Onnx__TensorProto *t, size_t found,
            const struct onnx_const *c, const char *of)
{
  return qk_error (-EBADMSG,
                   "%s: tensor \"" NAME "\": %zu %s of data, expected those "
                   "of %lld elements of type %s",
                   f->path, t->name != NULL ? t->name : "", found, of,
                   (long long) c->n, onnx_type_name (t->data_type));
}

/* ---- data outside the file --------------------------------------------------- */

static const char *
external_key (const Onnx__TensorProto *t, const char *key)
{
  size_t i;

  for (i = 0; i < t->n_external_data; i++)
    if (t->external_data[i]->key != NULL && t->external_data[i]->value != NULL
        && strcmp (t->external_data[i]->key, key) == 0)
      return t->external_data[i]->value;
  return NULL;
}

static bool
number_of (const char *text, uint64_t *out)
{
  char *end;

  if (text == NULL)
    return true;
  errno = 0;
  *out = strtoull (text, &end, 10);
  return errno == 0 && end != text && *end == '\0' && *text != '-';
}

/* A file beside ours, and nowhere else. */
static bool
is_beside (const char *location)
{
  return *location != '\0' && *location != '/' && strcmp (location, "..") != 0
         && strncmp (location, "../", 3) != 0
         && strstr (location, "/../") == NULL && onnxfile_good_name (location);
}

/* Where the data of T are: DESCRIPTOR, open at *OFFSET with WANT bytes behind
 * it. */
static int
open_external (const struct onnxfile *f, const Onnx__TensorProto *t,
               uint64_t want, int *descriptor, uint64_t *offset)
{
  const char *location = external_key (t, "location");
  uint64_t length = want;
  struct stat st;
  char *path;
  int fd;

  *offset = 0;
  if (location == NULL || !is_beside (location)
      || !number_of (external_key (t, "offset"), offset)
      || !number_of (external_key (t, "length"), &length))
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": its data are said to be in "
                     "\"%.200s\", expected a file beside this one, with "
                     "offset and length",
                     f->path, t->name, location != NULL ? location : "");
  if (asprintf (&path, "%s/%s", f->folder, location) < 0)
    return qk_oom ("%s", f->path);
  fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  free (path);
  if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode)) {
    const int e = fd < 0 ? -errno : -EINVAL;

    if (fd >= 0)
      close (fd);
    return qk_error (
      e, "%s: tensor \"" NAME "\": its data are in \"%.200s\": %s", f->path,
      t->name, location, e == -EINVAL ? "not a regular file" : strerror (-e));
  }
  if (length != want || *offset > (uint64_t) st.st_size
      || want > (uint64_t) st.st_size - *offset) {
    close (fd);
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": %llu bytes at %llu of "
                     "\"%.200s\", which has %lld; expected %llu bytes",
                     f->path, t->name, (unsigned long long) length,
                     (unsigned long long) *offset, location,
                     (long long) st.st_size, (unsigned long long) want);
  }
  *descriptor = fd;
  return 0;
}

/* WANT bytes from OFFSET on; to be freed. */
static unsigned char *
read_at (int fd, uint64_t offset, uint64_t want)
{
  unsigned char *bytes = malloc (want + 1);
  uint64_t at = 0;

  while (bytes != NULL && at < want) {
    const ssize_t n = pread (fd, bytes + at, want - at, (off_t) (offset + at));

    if (n > 0) {
      at += (uint64_t) n;
    } else if (n == 0 || errno != EINTR) {
      free (bytes);
      return NULL;
    }
  }
  return bytes;
}

/* The file's size is checked before memory is spent on what T claims. */
static int
read_external (const struct onnxfile *f, const Onnx__TensorProto *t,
               const struct type *type, const struct qk_shape *shape,
               struct onnx_const **out)
{
  const uint64_t want = (uint64_t) qk_shape_count (shape) * type->size;
  unsigned char *bytes;
  uint64_t offset;
  int fd = -1, r;

  if ((r = open_external (f, t, want, &fd, &offset)) < 0)
    return r;
  bytes = read_at (fd, offset, want);
  close (fd);
  if (bytes == NULL)
    return qk_error (-EIO, "%s: tensor \"" NAME "\": its data cannot be read",
                     f->path, t->name);
  if ((r = onnx_const_new (type->real, shape, out)) == 0)
    take_raw (*out, type, bytes);
  free (bytes);
  return r;
}

/* ---- typed fields ------------------------------------------------------------- */

static int
take_typed (const struct onnxfile *f, const Onnx__TensorProto *t,
            const struct type *type, struct onnx_const *c)
{
  const size_t n = (size_t) c->n;
  size_t i, found;

  switch (type->type) {
  case T (FLOAT):
    if ((found = t->n_float_data) == n && n > 0)
      memcpy (c->f, t->float_data, n * sizeof *c->f);
    break;
  case T (DOUBLE):
    for (i = 0, found = t->n_double_data; found == n && i < n; i++)
      c->f[i] = (float) t->double_data[i];
    break;
  case T (INT64):
    if ((found = t->n_int64_data) == n && n > 0)
      memcpy (c->i, t->int64_data, n * sizeof *c->i);
    break;
  case T (UINT32):
  case T (UINT64):
    for (i = 0, found = t->n_uint64_data; found == n && i < n; i++)
      c->i[i] = (int64_t) t->uint64_data[i];
    break;
  default: /* the narrow ones, a number of 32 bits each */
    for (i = 0, found = t->n_int32_data; found == n && i < n; i++)
      if (type->real)
        c->f[i] = real_of_bits (type->type, (uint16_t) t->int32_data[i]);
      else
        c->i[i] = integer_of_bits (type->type,
                                   (uint64_t) (int64_t) t->int32_data[i]);
  }
  return found == n ? 0 : wrong_size (f, t, found, c, "numbers");
}

static int
shape_of (const struct onnxfile *f, const Onnx__TensorProto *t,
          struct qk_shape *s)
{
  size_t i;

  memset (s, 0, sizeof *s);
  if (t->n_dims > QK_MAX_DIMS)
    return qk_error (-ENOTSUP,
                     "%s: tensor \"" NAME "\" has %zu dimensions, at most %d "
                     "can be",
                     f->path, t->name, t->n_dims, QK_MAX_DIMS);
  for (i = 0; i < t->n_dims; i++)
    s->dims[s->ndim++] = t->dims[i];
  if (qk_shape_count (s) < 0 || qk_shape_count (s) > (int64_t) 1 << 40)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": its dimensions are absurd",
                     f->path, t->name);
  return 0;
}

int
onnx_const_read (const struct onnxfile *f, const Onnx__TensorProto *t,
                 struct onnx_const **out)
{
  const struct type *type = find_type (t->data_type);
  const bool outside
    = t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  struct onnx_const *c;
  struct qk_shape shape;
  int r;

  *out = NULL;
  if (type == NULL)
    return qk_error (-ENOTSUP,
                     "%s: tensor \"" NAME "\" has type %s (%d), expected "
                     "numbers",
                     f->path, t->name, onnx_type_name (t->data_type),
                     t->data_type);
  if ((r = shape_of (f, t, &shape)) < 0)
    return r;
  /* what is in the file bounds what is allocated for it */
  if (!outside && t->has_raw_data
      && t->raw_data.len != (uint64_t) qk_shape_count (&shape) * type->size) {
    struct onnx_const claim = { .n = qk_shape_count (&shape) };

    return wrong_size (f, t, t->raw_data.len, &claim, "bytes");
  }
  if (!outside && !t->has_raw_data
      && qk_shape_count (&shape)
           > (int64_t) (t->n_float_data + t->n_int32_data + t->n_int64_data
                        + t->n_double_data + t->n_uint64_data)) {
    struct onnx_const claim = { .n = qk_shape_count (&shape) };

    return wrong_size (f, t, 0, &claim, "numbers");
  }
  r = outside ? read_external (f, t, type, &shape, &c)
              : onnx_const_new (type->real, &shape, &c);
  if (r < 0)
    return r;
  c->type = t->data_type;
  if (outside)
    r = 0;
  else if (t->has_raw_data)
    take_raw (c, type, t->raw_data.data);
  else
    r = take_typed (f, t, type, c);
  if (r < 0) {
    onnx_const_free (c);
    return r;
  }
  *out = c;
  return 0;
}
