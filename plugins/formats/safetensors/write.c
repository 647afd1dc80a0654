/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* write.c: writes safetensors files, the same bytes for the same input. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "safetensors-priv.h"

/* Larger writes are cut into pieces of this size, also for swapping. */
#define PIECE ((size_t) 1 << 20)

static int
write_all (int fd, const void *data, size_t size)
{
  const char *p = data;

  while (size > 0) {
    const ssize_t n = write (fd, p, size < PIECE ? size : PIECE);

    if (n < 0) {
      if (errno == EINTR)
        continue;
      return -errno;
    }
    p += n;
    size -= (size_t) n;
  }
  return 0;
}

static int
check_entry (const struct qk_format_entry *e)
{
  const struct qk_shape *shape = &e->tensor.shape;
  int64_t bytes = (int64_t) qk_dtype_size (e->tensor.dtype);
  int i;

  if (!e->name || !st_printable (e->name)
      || strcmp (e->name, "__metadata__") == 0)
    return qk_error (-EINVAL,
                     "safetensors: a tensor cannot be called \"%.200s\"",
                     e->name && st_printable (e->name) ? e->name : "?");
  if (!st_dtype_of (e->tensor.dtype))
    return qk_error (-EINVAL,
                     "safetensors: tensor \"%.200s\": dtype %s cannot be "
                     "written",
                     e->name, qk_dtype_name (e->tensor.dtype));
  if (shape->ndim < 0 || shape->ndim > QK_MAX_DIMS)
    return qk_error (-EINVAL, "safetensors: tensor \"%.200s\": %d dimensions",
                     e->name, shape->ndim);
  for (i = 0; i < shape->ndim; i++)
    if (shape->dims[i] < 0
        || __builtin_mul_overflow (bytes, shape->dims[i], &bytes))
      return qk_error (-EINVAL,
                       "safetensors: tensor \"%.200s\": dimension %d is "
                       "%lld",
                       e->name, i, (long long) shape->dims[i]);
  if (bytes > 0 && !e->tensor.data)
    return qk_error (-EINVAL, "safetensors: tensor \"%.200s\" has no data",
                     e->name);
  return 0;
}

static size_t
entry_bytes (const struct qk_format_entry *e)
{
  return (size_t) qk_shape_count (&e->tensor.shape)
         * qk_dtype_size (e->tensor.dtype);
}

/* Largest elements first, else as given: then every tensor lies on a
 * multiple of its element size, which torch demands of mapped files. */
static const struct qk_format_entry **
sort_entries (const struct qk_format_entry *entries, int64_t n)
{
  const struct qk_format_entry **order;
  size_t size;
  int64_t i, k = 0;

  order = calloc ((size_t) n + 1, sizeof (*order));
  if (!order)
    return NULL;
  for (size = 8; size > 0; size /= 2)
    for (i = 0; i < n; i++)
      if (qk_dtype_size (entries[i].tensor.dtype) == size)
        order[k++] = &entries[i];
  return order;
}

/* {"dtype": …, "shape": …, "data_offsets": [AT, AT + size]} */
static json_t *
describe (const struct qk_format_entry *e, int64_t at)
{
  json_t *shape = json_array ();
  int i;

  for (i = 0; shape && i < e->tensor.shape.ndim; i++)
    if (json_array_append_new (shape, json_integer (e->tensor.shape.dims[i]))
        < 0) {
      json_decref (shape);
      shape = NULL;
    }
  /* takes over SHAPE, and fails when it is NULL */
  return json_pack ("{s:s, s:o, s:[I,I]}", "dtype",
                    st_dtype_of (e->tensor.dtype)->name, "shape", shape,
                    "data_offsets", (json_int_t) at,
                    (json_int_t) (at + (int64_t) entry_bytes (e)));
}

static int
add_metadata (json_t *root, const struct qk_format_meta *meta, int n_meta)
{
  json_t *object, *value;
  int i;

  if (n_meta == 0)
    return 0;
  object = json_object ();
  if (!object || json_object_set_new (root, "__metadata__", object) < 0)
    return qk_oom ("safetensors");
  for (i = 0; i < n_meta; i++) {
    if (!meta[i].key || !st_printable (meta[i].key) || !meta[i].value)
      return qk_error (-EINVAL,
                       "safetensors: metadata %d has no proper key "
                       "or no value",
                       i);
    if (json_object_get (object, meta[i].key))
      return qk_error (-EINVAL,
                       "safetensors: metadata key \"%.200s\" given "
                       "twice",
                       meta[i].key);
    value = json_string (meta[i].value);
    if (!value || json_object_set_new (object, meta[i].key, value) < 0)
      return qk_error (
        -EINVAL, "safetensors: metadata \"%.200s\" is not UTF-8", meta[i].key);
  }
  return 0;
}

static int
add_tensors (json_t *root, const struct qk_format_entry **order, int64_t n)
{
  int64_t i, at = 0;

  for (i = 0; i < n; i++) {
    const struct qk_format_entry *e = order[i];
    json_t *desc;

    if (json_object_get (root, e->name))
      return qk_error (
        -EINVAL, "safetensors: two tensors are called \"%.200s\"", e->name);
    desc = describe (e, at);
    if (!desc)
      return qk_oom ("safetensors");
    if (json_object_set_new (root, e->name, desc) < 0)
      return qk_error (-EINVAL,
                       "safetensors: the name of tensor \"%.200s\" is not "
                       "UTF-8",
                       e->name);
    if (__builtin_add_overflow (at, (int64_t) entry_bytes (e), &at))
      return qk_error (-EFBIG, "safetensors: more than 2^63 bytes of data");
  }
  return 0;
}

/* The 8 bytes of length and the padded JSON; *OUT is freed by the caller. */
static int
make_header (const struct qk_format_entry **order, int64_t n,
             const struct qk_format_meta *meta, int n_meta, char **out,
             size_t *size)
{
  json_t *root = json_object ();
  size_t len, padded, i;
  char *h = NULL;
  int err;

  if (!root)
    return qk_oom ("safetensors");
  err = add_metadata (root, meta, n_meta);
  if (err == 0)
    err = add_tensors (root, order, n);
  if (err < 0)
    goto done;

  len = json_dumpb (root, NULL, 0, JSON_COMPACT);
  padded = (len + 7) & ~(size_t) 7;
  if (len == 0 || padded > ST_MAX_HEADER) {
    err = qk_error (-EFBIG,
                    "safetensors: a header of %zu bytes, %llu are possible",
                    padded, (unsigned long long) ST_MAX_HEADER);
    goto done;
  }
  h = malloc (8 + padded);
  if (!h) {
    err = qk_oom ("safetensors");
    goto done;
  }
  for (i = 0; i < 8; i++)
    h[i] = (char) ((uint64_t) padded >> (8 * i) & 0xff);
  if (json_dumpb (root, h + 8, padded, JSON_COMPACT) != len) {
    err = qk_oom ("safetensors");
    free (h);
    goto done;
  }
  memset (h + 8 + len, ' ', padded - len);
  *out = h;
  *size = 8 + padded;

done:
  json_decref (root);
  return err;
}

/* Write the numbers little endian. */
static int
write_data (int fd, const struct qk_tensor *t, size_t bytes)
{
  const size_t size = qk_dtype_size (t->dtype);
  const char *p = t->data;
  char *piece;
  int err = 0;

  if (size == 1 || st_little_endian ())
    return write_all (fd, p, bytes);
  piece = malloc (PIECE);
  if (!piece)
    return -ENOMEM;
  while (bytes > 0 && err == 0) {
    const size_t n = bytes < PIECE ? bytes : PIECE;

    st_swap (piece, p, n / size, size);
    err = write_all (fd, piece, n);
    p += n;
    bytes -= n;
  }
  free (piece);
  return err;
}

int
st_write (const struct qk_config *cfg, int fd,
          const struct qk_format_entry *entries, int64_t n,
          const struct qk_format_meta *meta, int n_meta)
{
  const struct qk_format_entry **order;
  char *header = NULL;
  size_t size = 0;
  int64_t i;
  int err;

  (void) cfg;
  if (n < 0 || n > ST_MAX_TENSORS)
    return qk_error (-EINVAL,
                     "safetensors: %lld tensors, 0 to %d are possible",
                     (long long) n, ST_MAX_TENSORS);
  for (i = 0; i < n; i++) {
    err = check_entry (&entries[i]);
    if (err < 0)
      return err;
  }
  order = sort_entries (entries, n);
  if (!order)
    return qk_oom ("safetensors");
  err = make_header (order, n, meta, n_meta, &header, &size);
  if (err < 0)
    goto done;
  err = write_all (fd, header, size);
  if (err < 0)
    qk_error (err, "cannot write the header of %zu bytes: %s", size,
              strerror (-err));
  for (i = 0; err == 0 && i < n; i++) {
    err = write_data (fd, &order[i]->tensor, entry_bytes (order[i]));
    if (err < 0)
      qk_error (err, "cannot write tensor \"%.200s\" of %zu bytes: %s",
                order[i]->name, entry_bytes (order[i]), strerror (-err));
  }

done:
  free (header);
  free (order);
  return err;
}
