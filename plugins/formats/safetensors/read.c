/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* read.c: checks a safetensors file, of which nothing is trusted. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "half.h"
#include "safetensors-priv.h"

/* Names in messages are cut to this many bytes. */
#define NAME "%.200s"

static const struct st_dtype dtypes[] = {
  { "F32", 4, QK_F32, ST_DIRECT },
  { "U8", 1, QK_U8, ST_DIRECT },
  { "I8", 1, QK_I8, ST_DIRECT },
  { "I32", 4, QK_I32, ST_DIRECT },
  { "I64", 8, QK_I64, ST_DIRECT },
  { "F64", 8, QK_F64, ST_DIRECT },
  { "BOOL", 1, QK_U8, ST_DIRECT },
  { "F16", 2, QK_F32, ST_HALF },
  { "BF16", 2, QK_F32, ST_BFLOAT },
  { "I16", 2, QK_NONE, ST_UNSUPPORTED },
  { "U16", 2, QK_U16, ST_DIRECT },
  { "U32", 4, QK_NONE, ST_UNSUPPORTED },
  { "U64", 8, QK_NONE, ST_UNSUPPORTED },
  { "C64", 8, QK_NONE, ST_UNSUPPORTED },
  { "F8_E4M3", 1, QK_NONE, ST_UNSUPPORTED },
  { "F8_E5M2", 1, QK_NONE, ST_UNSUPPORTED },
  { "F8_E8M0", 1, QK_NONE, ST_UNSUPPORTED },
};
#define N_DTYPES (sizeof dtypes / sizeof dtypes[0])

const struct st_dtype *
st_dtype_by_name (const char *name)
{
  size_t i;

  for (i = 0; i < N_DTYPES; i++)
    if (strcmp (dtypes[i].name, name) == 0)
      return &dtypes[i];
  return NULL;
}

const struct st_dtype *
st_dtype_of (enum qk_dtype dtype)
{
  size_t i;

  for (i = 0; i < N_DTYPES; i++)
    if (dtypes[i].conversion == ST_DIRECT && dtypes[i].dtype == dtype)
      return &dtypes[i];
  return NULL;
}

bool
st_little_endian (void)
{
  const uint16_t one = 1;
  unsigned char first;

  memcpy (&first, &one, 1);
  return first == 1;
}

void
st_swap (void *to, const void *from, size_t count, size_t size)
{
  const unsigned char *s = from;
  unsigned char *d = to;
  size_t i, k;

  for (i = 0; i < count; i++, s += size, d += size)
    for (k = 0; k < size; k++)
      d[k] = s[size - 1 - k];
}

bool
st_printable (const char *text)
{
  const unsigned char *s = (const unsigned char *) text;

  for (; *s; s++) {
    if (*s < 0x20 || *s == 0x7f)
      return false;
    if (*s == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f) /* U+0080 .. U+009F */
      return false;
  }
  return true;
}

static uint64_t
load_le (const unsigned char *p, int bytes)
{
  uint64_t v = 0;

  while (bytes-- > 0)
    v = v << 8 | p[bytes];
  return v;
}

/* ---- the header's text -----------------------------------------------*/

/* Check the shape of the JSON before memory is spent on parsing it: objects
 * nested two deep at most, a bounded number of them, and lists of at most
 * ST_MAX_DIMS with nothing nested in them.  Whether it is JSON at all, the
 * parser says. */
static int
check_nesting (const char *s, size_t n, const char *path)
{
  bool in_string = false, in_list = false;
  int depth = 0, commas = 0;
  long objects = 0;
  size_t i;

  for (i = 0; i < n; i++) {
    if (in_string) {
      if (s[i] == '\\')
        i++;
      else if (s[i] == '"')
        in_string = false;
      continue;
    }
    if (s[i] == '"') {
      in_string = true;
    } else if (s[i] == '{' || s[i] == '[') {
      if (in_list || (s[i] == '{' && ++depth > 2))
        return qk_error (-EBADMSG, "%s: header nested too deeply at byte %zu",
                         path, i);
      in_list = s[i] == '[';
      commas = 0;
      if (s[i] == '{' && ++objects > ST_MAX_TENSORS + 2)
        return qk_error (-EBADMSG, "%s: header describes more than %d tensors",
                         path, ST_MAX_TENSORS);
    } else if (s[i] == '}') {
      depth--;
    } else if (s[i] == ']') {
      in_list = false;
    } else if (s[i] == ',' && in_list && ++commas >= ST_MAX_DIMS) {
      return qk_error (-EBADMSG,
                       "%s: header has a list of more than %d numbers at "
                       "byte %zu",
                       path, ST_MAX_DIMS, i);
    }
  }
  return 0;
}

/* Replace what should not reach a terminal. */
static void
clean (char *text)
{
  for (; *text; text++)
    if ((unsigned char) *text < 0x20 || (unsigned char) *text >= 0x7f)
      *text = '?';
}

static int
parse_header (struct st_file *f, const unsigned char *bytes, size_t size)
{
  json_error_t jerr;
  uint64_t len;
  int err;

  if (size < 10)
    return qk_error (-EBADMSG,
                     "%s: too short for a safetensors file: %zu bytes, "
                     "expected at least 10",
                     f->path, size);
  len = load_le (bytes, 8);
  if (len > size - 8)
    return qk_error (-EBADMSG,
                     "%s: header length %llu is more than the %zu bytes that "
                     "follow",
                     f->path, (unsigned long long) len, size - 8);
  if (len > ST_MAX_HEADER)
    return qk_error (
      -EBADMSG, "%s: header length %llu is more than the %llu allowed",
      f->path, (unsigned long long) len, (unsigned long long) ST_MAX_HEADER);
  bytes += 8;
  if (len < 2 || bytes[0] != '{')
    return qk_error (-EBADMSG,
                     "%s: not a safetensors file: the header does not start "
                     "with '{'",
                     f->path);
  f->data = bytes + len;
  f->data_size = size - 8 - len;

  err = check_nesting ((const char *) bytes, len, f->path);
  if (err < 0)
    return err;
  f->root
    = json_loadb ((const char *) bytes, len, JSON_REJECT_DUPLICATES, &jerr);
  if (!f->root) {
    if (json_error_code (&jerr) == json_error_out_of_memory)
      return qk_oom ("%s", f->path);
    clean (jerr.text);
    return qk_error (-EBADMSG, "%s: header is not valid JSON: %s (byte %d)",
                     f->path, jerr.text, jerr.position);
  }
  if (!json_is_object (f->root))
    return qk_error (-EBADMSG, "%s: header is not a JSON object", f->path);
  return 0;
}

/* ---- its meaning -----------------------------------------------------*/

static int
check_metadata (const struct st_file *f, json_t *meta)
{
  const char *key;
  json_t *value;

  if (!json_is_object (meta))
    return qk_error (-EBADMSG, "%s: __metadata__ is not an object", f->path);
  json_object_foreach (meta, key, value)
  {
    if (!st_printable (key))
      return qk_error (
        -EBADMSG, "%s: a metadata key contains a control character", f->path);
    if (!json_is_string (value))
      return qk_error (-EBADMSG, "%s: metadata \"" NAME "\" is not a string",
                       f->path, key);
  }
  return 0;
}

static int
read_shape (const struct st_file *f, struct st_tensor *t, json_t *shape)
{
  size_t i, n = json_array_size (shape);

  if (!json_is_array (shape))
    return qk_error (-EBADMSG, "%s: tensor \"" NAME "\": shape is not a list",
                     f->path, t->name);
  if (n > ST_MAX_DIMS)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": %zu dimensions, at most %d "
                     "are possible",
                     f->path, t->name, n, ST_MAX_DIMS);
  t->ndim = (int) n;
  t->count = 1;
  for (i = 0; i < n; i++) {
    const json_t *dim = json_array_get (shape, i);
    long long v = json_integer_value (dim);

    if (!json_is_integer (dim) || v < 0)
      return qk_error (-EBADMSG,
                       "%s: tensor \"" NAME "\": dimension %zu is not a "
                       "whole number >= 0",
                       f->path, t->name, i);
    t->dims[i] = v;
    if (__builtin_mul_overflow (t->count, (int64_t) v, &t->count))
      return qk_error (-EBADMSG,
                       "%s: tensor \"" NAME "\": the product of its "
                       "dimensions does not fit 64 bits",
                       f->path, t->name);
  }
  return 0;
}

static int
read_offsets (const struct st_file *f, struct st_tensor *t, json_t *offsets)
{
  const json_t *b = json_array_get (offsets, 0);
  const json_t *e = json_array_get (offsets, 1);
  long long begin, end;
  int64_t size;

  if (!json_is_array (offsets) || json_array_size (offsets) != 2
      || !json_is_integer (b) || !json_is_integer (e))
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": data_offsets is not a list of "
                     "two whole numbers",
                     f->path, t->name);
  begin = json_integer_value (b);
  end = json_integer_value (e);
  if (begin < 0 || end < begin)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": data_offsets %lld..%lld are "
                     "not a range",
                     f->path, t->name, begin, end);
  if ((uint64_t) end > f->data_size)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": data_offsets %lld..%lld reach "
                     "beyond the %llu bytes of data (file cut short?)",
                     f->path, t->name, begin, end,
                     (unsigned long long) f->data_size);
  if (__builtin_mul_overflow (t->count, (int64_t) t->dtype->size, &size)
      || size != end - begin)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": %lld elements of %s do not "
                     "fill data_offsets %lld..%lld",
                     f->path, t->name, (long long) t->count, t->dtype->name,
                     begin, end);
  t->begin = (uint64_t) begin;
  t->end = (uint64_t) end;
  return 0;
}

static int
read_tensor (const struct st_file *f, struct st_tensor *t, const char *name,
             json_t *desc)
{
  const char *dtype;
  int err;

  if (!st_printable (name))
    return qk_error (
      -EBADMSG, "%s: a tensor's name contains a control character", f->path);
  t->name = name;
  if (!json_is_object (desc))
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": description is not an object",
                     f->path, name);
  if (json_object_size (desc) != 3 || !json_object_get (desc, "dtype")
      || !json_object_get (desc, "shape")
      || !json_object_get (desc, "data_offsets"))
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": description must have exactly "
                     "dtype, shape and data_offsets",
                     f->path, name);
  dtype = json_string_value (json_object_get (desc, "dtype"));
  if (!dtype || !st_printable (dtype))
    return qk_error (-EBADMSG, "%s: tensor \"" NAME "\": dtype is not a name",
                     f->path, name);
  t->dtype = st_dtype_by_name (dtype);
  if (!t->dtype)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": unknown dtype \"%.40s\"",
                     f->path, name, dtype);
  err = read_shape (f, t, json_object_get (desc, "shape"));
  if (err < 0)
    return err;
  return read_offsets (f, t, json_object_get (desc, "data_offsets"));
}

static int
compare_offsets (const void *a, const void *b)
{
  const struct st_tensor *x = a, *y = b;

  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end)
    return x->end < y->end ? -1 : 1;
  return strcmp (x->name, y->name);
}

/* The format demands that tensors lie one after the other without a hole,
 * and that nothing is left over. */
static int
check_cover (const struct st_file *f)
{
  uint64_t at = 0;
  int64_t i;

  for (i = 0; i < f->n; i++) {
    const struct st_tensor *t = &f->tensor[i];

    if (t->begin < at)
      return qk_error (-EBADMSG,
                       "%s: tensors \"" NAME "\" (%llu..%llu) and \"" NAME
                       "\" (%llu..%llu) overlap",
                       f->path, t[-1].name, (unsigned long long) t[-1].begin,
                       (unsigned long long) t[-1].end, t->name,
                       (unsigned long long) t->begin,
                       (unsigned long long) t->end);
    if (t->begin > at)
      return qk_error (-EBADMSG,
                       "%s: bytes %llu..%llu of the data belong to no "
                       "tensor; \"" NAME "\" comes next",
                       f->path, (unsigned long long) at,
                       (unsigned long long) t->begin, t->name);
    at = t->end;
  }
  if (at != f->data_size)
    return qk_error (-EBADMSG,
                     "%s: the last tensor ends at byte %llu of the data, but "
                     "there are %llu",
                     f->path, (unsigned long long) at,
                     (unsigned long long) f->data_size);
  return 0;
}

static int
read_header (struct st_file *f)
{
  const char *key;
  json_t *value;
  int err;

  f->tensor = calloc (json_object_size (f->root) + 1, sizeof *f->tensor);
  if (!f->tensor)
    return qk_oom ("%s", f->path);
  json_object_foreach (f->root, key, value)
  {
    if (strcmp (key, "__metadata__") == 0)
      err = check_metadata (f, value);
    else
      err = read_tensor (f, &f->tensor[f->n++], key, value);
    if (err < 0)
      return err;
  }
  qsort (f->tensor, (size_t) f->n, sizeof *f->tensor, compare_offsets);
  return check_cover (f);
}

int
st_parse (const void *bytes, size_t size, const char *path,
          struct st_file **out)
{
  struct st_file *f;
  int err;

  f = calloc (1, sizeof *f);
  if (!f || !(f->path = strdup (path))) {
    err = qk_oom ("%s", path);
    goto error;
  }
  err = parse_header (f, bytes, size);
  if (err < 0)
    goto error;
  err = read_header (f);
  if (err < 0)
    goto error;
  *out = f;
  return 0;

error:
  st_free (f);
  return err;
}

void
st_free (struct st_file *f)
{
  int64_t i;

  if (!f)
    return;
  for (i = 0; f->tensor && i < f->n; i++)
    qk_free (f->tensor[i].converted);
  free (f->tensor);
  json_decref (f->root);
  if (f->map)
    munmap (f->map, f->map_size);
  free (f->path);
  free (f);
}

/* ---- entries ---------------------------------------------------------*/

/* Make T's copy that this machine can compute with. */
static int
convert (const struct st_file *f, struct st_tensor *t)
{
  const unsigned char *s = f->data + t->begin;
  const size_t size = qk_dtype_size (t->dtype->dtype);
  unsigned char *d;
  int64_t i;

  d = qk_alloc ((size_t) t->count * size + 1);
  if (!d)
    return qk_oom ("%s: tensor \"" NAME "\": %lld elements", f->path, t->name,
                   (long long) t->count);
  if (t->dtype->conversion == ST_DIRECT)
    st_swap (d, s, (size_t) t->count, size);
  else
    for (i = 0; i < t->count; i++) {
      const uint16_t h = (uint16_t) load_le (s + 2 * i, 2);
      const uint32_t bits
        = t->dtype->conversion == ST_HALF ? half_bits (h) : (uint32_t) h << 16;

      memcpy (d + 4 * i, &bits, 4);
    }
  t->converted = d;
  return 0;
}

/* With -ENOTSUP (too many dimensions, a dtype nothing here computes with)
 * out->name is set nevertheless. */
int
st_entry (void *self, int64_t i, struct qk_format_entry *out)
{
  struct st_file *f = self;
  struct st_tensor *t;
  bool direct;
  int err;

  memset (out, 0, sizeof *out);
  if (i < 0 || i >= f->n)
    return qk_error (-EINVAL, "%s: no tensor number %lld of %lld", f->path,
                     (long long) i, (long long) f->n);
  t = &f->tensor[i];
  out->name = t->name;
  if (t->ndim > QK_MAX_DIMS)
    return qk_error (-ENOTSUP,
                     "%s: tensor \"" NAME "\": has %d dimensions, at most %d "
                     "are supported",
                     f->path, t->name, t->ndim, QK_MAX_DIMS);
  if (t->dtype->conversion == ST_UNSUPPORTED)
    return qk_error (-ENOTSUP,
                     "%s: tensor \"" NAME "\": dtype %s is not supported",
                     f->path, t->name, t->dtype->name);
  direct = t->dtype->conversion == ST_DIRECT
           && (t->dtype->size == 1 || st_little_endian ());
  if (!direct && !t->converted) {
    err = convert (f, t);
    if (err < 0)
      return err;
  }
  out->tensor.dtype = t->dtype->dtype;
  out->tensor.shape.ndim = t->ndim;
  memcpy (out->tensor.shape.dims, t->dims,
          (size_t) t->ndim * sizeof t->dims[0]);
  /* The data are borrowed and only to be read; struct qk_tensor knows no
   * const, the mapping does. */
  out->tensor.data
    = direct ? (void *) (uintptr_t) (f->data + t->begin) : t->converted;
  return 0;
}

const char *
st_metadata (void *self, const char *key)
{
  const struct st_file *f = self;

  return json_string_value (
    json_object_get (json_object_get (f->root, "__metadata__"), key));
}
