/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* parse.c: finds the initializers of an ONNX file, of which nothing is
 * trusted.
 *
 * Only ModelProto.graph.initializer is looked at, three messages deep, in the
 * file's bytes and without copies: protobuf-c would unpack all of the model,
 * recursing as deep as a stranger's file tells it to.
 * https://protobuf.dev/programming-guides/encoding/ */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "onnx-priv.h"

#define NAME "%.200s"

/* Wire types. */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* Fields, as onnx.proto numbers them. */
enum { MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5 };
enum {
  TENSOR_DIMS = 1,
  TENSOR_DATA_TYPE = 2,
  TENSOR_SEGMENT = 3,
  TENSOR_FLOAT_DATA = 4,
  TENSOR_INT32_DATA = 5,
  TENSOR_INT64_DATA = 7,
  TENSOR_NAME = 8,
  TENSOR_RAW_DATA = 9,
  TENSOR_DOUBLE_DATA = 10,
  TENSOR_EXTERNAL_DATA = 13,
  TENSOR_DATA_LOCATION = 14
};

struct range {
  const unsigned char *p, *end;
};

struct field {
  uint64_t number;
  unsigned wire;
  uint64_t value;    /* VARINT */
  struct range data; /* BYTES */
};

/* ---- the wire format --------------------------------------------------------- */

static bool
varint (struct range *r, uint64_t *out)
{
  uint64_t v = 0;
  int shift;

  for (shift = 0; shift < 64 && r->p < r->end; shift += 7) {
    const unsigned char c = *r->p++;

    v |= (uint64_t) (c & 0x7f) << shift;
    if (!(c & 0x80)) {
      *out = v;
      return true;
    }
  }
  return false;
}

/* The next field of the message R; false at damage.  At the end of the
 * message f->number is 0. */
static bool
next (struct range *r, struct field *f)
{
  uint64_t key, n;

  memset (f, 0, sizeof *f);
  if (r->p == r->end)
    return true;
  if (!varint (r, &key) || key >> 3 == 0)
    return false;
  f->number = key >> 3;
  f->wire = (unsigned) (key & 7);
  switch (f->wire) {
  case VARINT:
    return varint (r, &f->value);
  case FIXED64:
    n = 8;
    break;
  case FIXED32:
    n = 4;
    break;
  case BYTES:
    if (!varint (r, &n))
      return false;
    break;
  default:
    return false;
  }
  if (n > (uint64_t) (r->end - r->p))
    return false;
  f->data.p = r->p;
  f->data.end = r->p += n;
  return true;
}

/* ---- one tensor --------------------------------------------------------------------- */

/* What the fields of a TensorProto say, before it is put together. */
struct raw_tensor {
  int ndim;
  int64_t dims[QK_MAX_DIMS];
  bool many_dims, external, has_data, has_segment;
  uint64_t type;
  struct range name, data;
  uint64_t data_field; /* that holds the numbers */
};

static enum qk_dtype
dtype_of (uint64_t type)
{
  switch (type) {
  case 1:
    return QK_F32;
  case 2:
  case 9:
    return QK_U8;
  case 3:
    return QK_I8;
  case 6:
    return QK_I32;
  case 7:
    return QK_I64;
  case 11:
    return QK_F64;
  default:
    return QK_NONE;
  }
}

static int
add_dim (struct raw_tensor *t, uint64_t v, const char *path)
{
  if (v > INT64_MAX)
    return qk_error (-EBADMSG, "%s: a tensor's dimension is negative", path);
  if (t->ndim == QK_MAX_DIMS)
    t->many_dims = true;
  else
    t->dims[t->ndim++] = (int64_t) v;
  return 0;
}

static int
damaged (const char *path, const char *what)
{
  return qk_error (-EBADMSG, "%s: not an ONNX file, or damaged: %s", path,
                   what);
}

/* Dimensions come one a field or packed into one. */
static int
take_dims (struct raw_tensor *t, struct field *f, const char *path)
{
  uint64_t v;
  int r;

  if (f->wire == VARINT)
    return add_dim (t, f->value, path);
  while (f->data.p < f->data.end) {
    if (!varint (&f->data, &v))
      return damaged (path, "dimensions of a tensor");
    if ((r = add_dim (t, v, path)) < 0)
      return r;
  }
  return 0;
}

static int
take_field (struct raw_tensor *t, struct field *f, const char *path)
{
  switch (f->number) {
  case TENSOR_DIMS:
    if (f->wire != VARINT && f->wire != BYTES)
      return damaged (path, "dimensions of a tensor");
    return take_dims (t, f, path);
  case TENSOR_DATA_TYPE:
    if (f->wire != VARINT)
      return damaged (path, "type of a tensor");
    t->type = f->value;
    return 0;
  case TENSOR_NAME:
    if (f->wire != BYTES)
      return damaged (path, "name of a tensor");
    t->name = f->data;
    return 0;
  case TENSOR_SEGMENT:
    t->has_segment = true;
    return 0;
  case TENSOR_FLOAT_DATA:
  case TENSOR_INT32_DATA:
  case TENSOR_INT64_DATA:
  case TENSOR_DOUBLE_DATA:
  case TENSOR_RAW_DATA:
    /* numbers one a field or in two parts nobody writes */
    if (t->has_data || f->wire != BYTES)
      t->has_segment = true;
    t->has_data = true;
    t->data = f->data;
    t->data_field = f->number;
    return 0;
  case TENSOR_EXTERNAL_DATA:
    t->external = true;
    return 0;
  case TENSOR_DATA_LOCATION:
    if (f->wire == VARINT && f->value == 1)
      t->external = true;
    return 0;
  default:
    return 0;
  }
}

/* Why the numbers cannot be taken as they are; NULL if they can. */
static const char *
trouble (const struct raw_tensor *t, enum qk_dtype dtype)
{
  if (t->many_dims)
    return "has more than 4 dimensions";
  if (t->external)
    return "is stored in another file (external data)";
  if (dtype == QK_NONE)
    return "has a type nothing here computes with";
  if (t->has_segment)
    return "is stored in parts";
  if (t->data_field == TENSOR_INT32_DATA || t->data_field == TENSOR_INT64_DATA)
    return "is stored number by number, not as raw data";
  return NULL;
}

static int
check_size (const struct raw_tensor *t, const struct onnx_tensor *o,
            const char *path)
{
  const bool right
    = t->data_field == TENSOR_RAW_DATA || !t->has_data
      || (t->data_field == TENSOR_FLOAT_DATA && o->dtype == QK_F32)
      || (t->data_field == TENSOR_DOUBLE_DATA && o->dtype == QK_F64);
  uint64_t bytes = qk_dtype_size (o->dtype);
  int i;

  for (i = 0; i < t->ndim; i++)
    if (__builtin_mul_overflow (bytes, (uint64_t) t->dims[i], &bytes))
      return qk_error (-EBADMSG,
                       "%s: tensor \"" NAME "\": the product of its "
                       "dimensions does not fit 64 bits",
                       path, o->name);
  if (!right || bytes != (uint64_t) (t->data.end - t->data.p))
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": %llu bytes of data, expected "
                     "%llu of %s",
                     path, o->name,
                     (unsigned long long) (t->data.end - t->data.p),
                     (unsigned long long) bytes, qk_dtype_name (o->dtype));
  return 0;
}

/* The name, if a terminal can be shown it. */
static int
copy_name (const struct raw_tensor *t, const char *path, char **out)
{
  const size_t n = (size_t) (t->name.end - t->name.p);
  size_t i;

  if (n == 0 || n > ONNX_MAX_NAME)
    return qk_error (-EBADMSG,
                     "%s: a tensor's name has %zu bytes, expected "
                     "1 to %d",
                     path, n, ONNX_MAX_NAME);
  for (i = 0; i < n; i++)
    if (t->name.p[i] < 0x20 || t->name.p[i] == 0x7f
        || (t->name.p[i] == 0xc2 && i + 1 < n && t->name.p[i + 1] >= 0x80
            && t->name.p[i + 1] <= 0x9f))
      return qk_error (
        -EBADMSG, "%s: a tensor's name contains a control character", path);
  if ((*out = strndup ((const char *) t->name.p, n)) == NULL)
    return qk_oom ("%s", path);
  return 0;
}

/* Constants that are no weights: the bounds of Clip, shapes of Reshape. */
static bool
is_weight (const struct raw_tensor *t)
{
  return t->many_dims || (t->ndim > 0 && t->type != 7);
}

static int
read_tensor (struct onnx_file *f, struct range r)
{
  struct raw_tensor t;
  struct onnx_tensor *o;
  struct field fd;
  int i, err;

  memset (&t, 0, sizeof t);
  for (;;) {
    if (!next (&r, &fd))
      return damaged (f->path, "a tensor is cut short");
    if (fd.number == 0)
      break;
    if ((err = take_field (&t, &fd, f->path)) < 0)
      return err;
  }
  if (!is_weight (&t))
    return 0;
  o = &f->tensor[f->n];
  if ((err = copy_name (&t, f->path, &o->name)) < 0)
    return err;
  f->n++;
  o->dtype = dtype_of (t.type);
  o->trouble = trouble (&t, o->dtype);
  o->shape.ndim = t.ndim;
  for (i = 0; i < t.ndim; i++)
    o->shape.dims[i] = t.dims[i];
  o->data = t.data.p;
  return o->trouble != NULL ? 0 : check_size (&t, o, f->path);
}

/* ---- the graph --------------------------------------------------------------------- */

/* The initializers of GRAPH; with COUNT only their number. */
static int
walk_graph (struct onnx_file *f, struct range graph, int64_t *count)
{
  struct field fd;
  int err;

  for (;;) {
    if (!next (&graph, &fd))
      return damaged (f->path, "the graph is cut short");
    if (fd.number == 0)
      return 0;
    if (fd.number != GRAPH_INITIALIZER)
      continue;
    if (fd.wire != BYTES)
      return damaged (f->path, "an initializer is no message");
    if (count != NULL) {
      if (++*count > ONNX_MAX_TENSORS)
        return qk_error (-EBADMSG, "%s: more than %d tensors", f->path,
                         ONNX_MAX_TENSORS);
    } else if ((err = read_tensor (f, fd.data)) < 0)
      return err;
  }
}

static int
find_graph (const char *path, struct range model, struct range *graph)
{
  struct field fd;

  graph->p = NULL;
  for (;;) {
    if (!next (&model, &fd))
      return damaged (path, "the model is cut short");
    if (fd.number == 0)
      break;
    if (fd.number != MODEL_GRAPH)
      continue;
    if (fd.wire != BYTES || graph->p != NULL)
      return damaged (path, "not one graph");
    *graph = fd.data;
  }
  return graph->p == NULL ? damaged (path, "no graph") : 0;
}

int
onnx_parse (const void *bytes, size_t size, const char *path,
            struct onnx_file **out)
{
  const struct range model = { bytes, (const unsigned char *) bytes + size };
  struct onnx_file *f = calloc (1, sizeof *f);
  struct range graph;
  int64_t count = 0;
  int err;

  if (f == NULL || (f->path = strdup (path)) == NULL) {
    err = qk_oom ("%s", path);
    goto error;
  }
  if ((err = find_graph (path, model, &graph)) < 0
      || (err = walk_graph (f, graph, &count)) < 0)
    goto error;
  f->tensor = calloc ((size_t) count + 1, sizeof *f->tensor);
  if (f->tensor == NULL) {
    err = qk_oom ("%s", path);
    goto error;
  }
  if ((err = walk_graph (f, graph, NULL)) < 0)
    goto error;
  *out = f;
  return 0;

error:
  onnx_free (f);
  return err;
}

void
onnx_free (struct onnx_file *f)
{
  int64_t i;

  if (f == NULL)
    return;
  for (i = 0; i < f->n; i++)
    free (f->tensor[i].name);
  free (f->tensor);
  if (f->map != NULL)
    munmap (f->map, f->map_size);
  free (f->path);
  free (f);
}

/* With -ENOTSUP out->name is set nevertheless. */
int
onnx_entry (void *self, int64_t i, struct qk_format_entry *out)
{
  struct onnx_file *f = self;
  const struct onnx_tensor *t;
  const uint16_t one = 1;

  memset (out, 0, sizeof *out);
  if (i < 0 || i >= f->n)
    return qk_error (-EINVAL, "%s: no tensor number %lld of %lld", f->path,
                     (long long) i, (long long) f->n);
  t = &f->tensor[i];
  out->name = t->name;
  if (t->trouble != NULL)
    return qk_error (-ENOTSUP, "%s: tensor \"" NAME "\" %s", f->path, t->name,
                     t->trouble);
  if (qk_dtype_size (t->dtype) > 1 && *(const unsigned char *) &one != 1)
    return qk_error (-ENOTSUP,
                     "%s: ONNX files cannot be read on a machine "
                     "of this byte order",
                     f->path);
  out->tensor.dtype = t->dtype;
  out->tensor.shape = t->shape;
  /* borrowed and only to be read; struct qk_tensor knows no const */
  out->tensor.data = (void *) (uintptr_t) t->data;
  return 0;
}
