/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* write.c: writes an array as numpy.save does. */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "npy-priv.h"

#define ALIGN 64 /* the numbers begin on a multiple of this many bytes */
#define PIECE ((size_t) 1 << 20)

int
npy_write_all (int fd, const void *data, size_t size)
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

static const char *
descr (enum qk_dtype dtype)
{
  const uint16_t one = 1;
  const bool little = *(const unsigned char *) &one == 1;

  switch (dtype) {
  case QK_F32:
    return little ? "<f4" : ">f4";
  case QK_F64:
    return little ? "<f8" : ">f8";
  case QK_I32:
    return little ? "<i4" : ">i4";
  case QK_I64:
    return little ? "<i8" : ">i8";
  case QK_U8:
    return "|u1";
  case QK_I8:
    return "|i1";
  case QK_U16:
    return little ? "<u2" : ">u2";
  case QK_NONE:
    break;
  }
  return NULL;
}

int
npy_check_entry (const struct qk_format_entry *e)
{
  const struct qk_shape *s = &e->tensor.shape;
  char text[160];

  if (e->name == NULL || *e->name == 0)
    return qk_error (-EINVAL, "npy: an array without a name");
  if (descr (e->tensor.dtype) == NULL)
    return qk_error (-EINVAL, "npy: array '%.200s': no type '%s' is known",
                     e->name, qk_dtype_name (e->tensor.dtype));
  if (s->ndim < 0 || s->ndim > QK_MAX_DIMS || qk_shape_count (s) < 0)
    return qk_error (-EINVAL, "npy: array '%.200s' has the shape %s", e->name,
                     qk_shape_print (s, text, sizeof text));
  if (qk_shape_count (s) > 0 && e->tensor.data == NULL)
    return qk_error (-EINVAL, "npy: array '%.200s' has no data", e->name);
  return 0;
}

size_t
npy_header (const struct qk_tensor *t, char *buf, size_t size)
{
  char dict[400];
  size_t n, total;
  int i, at;

  at = snprintf (dict, sizeof dict,
                 "{'descr': '%s', 'fortran_order': False, 'shape': (",
                 descr (t->dtype));
  for (i = 0; i < t->shape.ndim; i++)
    at += snprintf (dict + at, sizeof dict - (size_t) at, "%s%lld",
                    i > 0 ? ", " : "", (long long) t->shape.dims[i]);
  at += snprintf (dict + at, sizeof dict - (size_t) at, "%s), }",
                  t->shape.ndim == 1 ? "," : "");
  n = (size_t) at;
  total = (10 + n + 1 + ALIGN - 1) / ALIGN * ALIGN;
  if (total > size)
    return 0;
  memcpy (buf, NPY_MAGIC "\1", NPY_MAGIC_SIZE + 2); /* version 1.0 */
  buf[8] = (char) ((total - 10) & 0xff);
  buf[9] = (char) ((total - 10) >> 8);
  memcpy (buf + 10, dict, n);
  memset (buf + 10 + n, ' ', total - 10 - n - 1);
  buf[total - 1] = '\n';
  return total;
}

int
npy_write (int fd, const struct qk_format_entry *entries, int64_t n)
{
  char header[512];
  size_t bytes;
  int err;

  if (n != 1)
    return qk_error (-EINVAL,
                     "npy: a file holds one tensor, got %lld; name it .npz "
                     "for several",
                     (long long) n);
  err = npy_check_entry (&entries[0]);
  if (err < 0)
    return err;
  bytes = (size_t) qk_shape_count (&entries[0].tensor.shape)
          * qk_dtype_size (entries[0].tensor.dtype);
  err = npy_write_all (fd, header,
                       npy_header (&entries[0].tensor, header, sizeof header));
  if (err == 0)
    err = npy_write_all (fd, entries[0].tensor.data, bytes);
  return err < 0 ? qk_error (err, "cannot write array '%.200s': %s",
                             entries[0].name, strerror (-err))
                 : 0;
}
