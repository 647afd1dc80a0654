/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* build.c: makes an ONNX graph out of protobuf-c's structures. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blocks/blocks.h"
#include "build.h"

/* Versions that have per-channel DequantizeLinear and Clip of uint8, and that
 * every runtime of the last years reads. */
#define OPSET 13
#define IR_VERSION 7

/* Protocol buffers end at 2 GB. */
#define MAX_BYTES (((size_t) 1 << 31) - ((size_t) 1 << 20))

/* ---- memory ------------------------------------------------------------------ */

void
onnx_build_init (struct onnx_build *b)
{
  memset (b, 0, sizeof *b);
  onnx__graph_proto__init (&b->graph);
  b->opset = OPSET;
  b->ir_version = IR_VERSION;
}

void
onnx_build_clear (struct onnx_build *b)
{
  blocks_free (&b->blocks);
  free (b->graph.node);
  free (b->graph.initializer);
  memset (b, 0, sizeof *b);
}

void *
onnx_alloc (struct onnx_build *b, size_t size)
{
  void *p = b->error < 0 ? NULL : blocks_alloc (&b->blocks, size);

  if (p == NULL && b->error == 0)
    b->error = qk_oom ("onnx");
  return p;
}

char *
onnx_name (struct onnx_build *b, const char *fmt, ...)
{
  static char none[] = "";
  char *s = NULL;
  va_list args;

  va_start (args, fmt);
  if (b->error == 0 && (s = blocks_text (&b->blocks, fmt, args)) == NULL)
    b->error = qk_oom ("onnx");
  va_end (args);
  return s != NULL ? s : none;
}

/* Append ITEM to an array of pointers that grows by doubling. */
static void
append (struct onnx_build *b, void ***array, size_t *n, void *item)
{
  void **p;

  if (b->error < 0)
    return;
  if (*n == 0 || (*n >= 16 && (*n & (*n - 1)) == 0)) {
    p = realloc (*array, (*n == 0 ? 16 : *n * 2) * sizeof *p);
    if (p == NULL) {
      b->error = qk_oom ("onnx");
      return;
    }
    *array = p;
  }
  (*array)[(*n)++] = item;
}

/* ---- nodes --------------------------------------------------------------------- */

void
onnx_append_node (struct onnx_build *b, Onnx__NodeProto *n)
{
  append (b, (void ***) &b->graph.node, &b->graph.n_node, n);
}

Onnx__NodeProto *
onnx_node (struct onnx_build *b, const char *op, const char *out, int n_in,
           const char *const *in)
{
  Onnx__NodeProto *n = onnx_alloc (b, sizeof *n);
  int i;

  if (n == NULL)
    return NULL;
  onnx__node_proto__init (n);
  n->op_type = onnx_name (b, "%s", op);
  n->name = onnx_name (b, "%s.%s", out, op);
  n->input = onnx_alloc (b, (size_t) n_in * sizeof *n->input);
  n->output = onnx_alloc (b, sizeof *n->output);
  if (b->error < 0)
    return NULL;
  for (i = 0; i < n_in; i++)
    n->input[i] = onnx_name (b, "%s", in[i]);
  n->n_input = (size_t) n_in;
  n->output[0] = onnx_name (b, "%s", out);
  n->n_output = 1;
  onnx_append_node (b, n);
  return b->error < 0 ? NULL : n;
}

void
onnx_more_outputs (struct onnx_build *b, Onnx__NodeProto *n, int count,
                   const char *const *out)
{
  char **all;

  if (n == NULL
      || (all = onnx_alloc (b, (n->n_output + (size_t) count) * sizeof *all))
           == NULL)
    return;
  memcpy (all, n->output, n->n_output * sizeof *all);
  for (int i = 0; i < count; i++)
    all[n->n_output++] = onnx_name (b, "%s", out[i]);
  n->output = all;
}

/* One more attribute; a node has few. */
static Onnx__AttributeProto *
attribute (struct onnx_build *b, Onnx__NodeProto *n, const char *name,
           Onnx__AttributeProto__AttributeType type)
{
  Onnx__AttributeProto *a = onnx_alloc (b, sizeof *a), **all;

  if (n == NULL || a == NULL)
    return NULL;
  onnx__attribute_proto__init (a);
  a->name = onnx_name (b, "%s", name);
  a->has_type = 1;
  a->type = type;
  all = onnx_alloc (b, (n->n_attribute + 1) * sizeof *all);
  if (all == NULL)
    return NULL;
  if (n->n_attribute > 0)
    memcpy (all, n->attribute, n->n_attribute * sizeof *all);
  all[n->n_attribute++] = a;
  n->attribute = all;
  return a;
}

void
onnx_attr_int (struct onnx_build *b, Onnx__NodeProto *n, const char *name,
               int64_t v)
{
  Onnx__AttributeProto *a
    = attribute (b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);

  if (a == NULL)
    return;
  a->has_i = 1;
  a->i = v;
}

void
onnx_attr_ints (struct onnx_build *b, Onnx__NodeProto *n, const char *name,
                const int64_t *v, int count)
{
  Onnx__AttributeProto *a
    = attribute (b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);

  if (a == NULL)
    return;
  a->ints = onnx_alloc (b, (size_t) count * sizeof *v);
  if (a->ints == NULL)
    return;
  memcpy (a->ints, v, (size_t) count * sizeof *v);
  a->n_ints = (size_t) count;
}

void
onnx_attr_text (struct onnx_build *b, Onnx__NodeProto *n, const char *name,
                const char *v)
{
  Onnx__AttributeProto *a
    = attribute (b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);

  if (a == NULL)
    return;
  a->has_s = 1;
  a->s.data = (uint8_t *) onnx_name (b, "%s", v);
  a->s.len = strlen (v);
}

void
onnx_attr_floats (struct onnx_build *b, Onnx__NodeProto *n, const char *name,
                  const float *v, int count)
{
  Onnx__AttributeProto *a
    = attribute (b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);

  if (a == NULL)
    return;
  a->floats = onnx_alloc (b, (size_t) count * sizeof *v);
  if (a->floats == NULL)
    return;
  memcpy (a->floats, v, (size_t) count * sizeof *v);
  a->n_floats = (size_t) count;
}

void
onnx_attr_float (struct onnx_build *b, Onnx__NodeProto *n, const char *name,
                 float v)
{
  Onnx__AttributeProto *a
    = attribute (b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);

  if (a == NULL)
    return;
  a->has_f = 1;
  a->f = v;
}

/* ---- constants -------------------------------------------------------------------- */

static Onnx__TensorProto__DataType
data_type (enum qk_dtype dtype)
{
  switch (dtype) {
  case QK_F32:
    return ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
  case QK_U8:
    return ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
  case QK_I8:
    return ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
  case QK_I32:
    return ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
  case QK_I64:
    return ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
  case QK_F64:
    return ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
  case QK_U16:
    return ONNX__TENSOR_PROTO__DATA_TYPE__UINT16;
  default:
    return ONNX__TENSOR_PROTO__DATA_TYPE__UNDEFINED;
  }
}

/* The file's numbers are little endian. */
static void
copy_little (unsigned char *to, const unsigned char *from, size_t count,
             size_t size)
{
  const uint16_t one = 1;
  size_t i, k;

  if (size == 1 || *(const unsigned char *) &one == 1) {
    memcpy (to, from, count * size);
    return;
  }
  for (i = 0; i < count; i++)
    for (k = 0; k < size; k++)
      to[i * size + k] = from[i * size + size - 1 - k];
}

const char *
onnx_constant (struct onnx_build *b, const char *name, enum qk_dtype dtype,
               int ndim, const int64_t *dims, const void *data)
{
  Onnx__TensorProto *t = onnx_alloc (b, sizeof *t);
  const size_t size = qk_dtype_size (dtype);
  size_t count = 1;
  int i;

  if (t == NULL)
    return "";
  for (i = 0; i < ndim; i++)
    count *= (size_t) dims[i];
  if (count > MAX_BYTES / size || b->bytes > MAX_BYTES - count * size) {
    b->error = qk_error (-EFBIG, "onnx: more than 2 GB of weights");
    return "";
  }
  b->bytes += count * size;
  onnx__tensor_proto__init (t);
  t->name = onnx_name (b, "%s", name);
  t->has_data_type = 1;
  t->data_type = (int32_t) data_type (dtype);
  t->dims = onnx_alloc (b, ((size_t) ndim + 1) * sizeof *t->dims);
  t->raw_data.data = onnx_alloc (b, count * size + 1);
  if (b->error < 0)
    return "";
  if (ndim > 0)
    memcpy (t->dims, dims, (size_t) ndim * sizeof *dims);
  t->n_dims = (size_t) ndim;
  if (data != NULL)
    copy_little (t->raw_data.data, data, count, size);
  t->raw_data.len = count * size;
  t->has_raw_data = 1;
  append (b, (void ***) &b->graph.initializer, &b->graph.n_initializer, t);
  return b->error < 0 ? "" : t->name;
}

const char *
onnx_put_dims (struct onnx_build *b, const char *x, int ndim,
               const int64_t *dims, const char *out)
{
  const int64_t n = ndim;
  const char *in[2] = { x, "" };

  in[1]
    = onnx_constant (b, onnx_name (b, "%s/shape", out), QK_I64, 1, &n, dims);
  onnx_node (b, "Reshape", out, 2, in);
  return out;
}

const char *
onnx_scalar (struct onnx_build *b, const char *name, enum qk_dtype dtype,
             const void *data)
{
  return onnx_constant (b, name, dtype, 0, NULL, data);
}

/* ---- the model -------------------------------------------------------------------- */

Onnx__ValueInfoProto *
onnx_value_info (struct onnx_build *b, const char *name, const int64_t *dims,
                 int ndim)
{
  Onnx__ValueInfoProto *v = onnx_alloc (b, sizeof *v);
  Onnx__TypeProto *type = onnx_alloc (b, sizeof *type);
  Onnx__TypeProto__Tensor *tensor = onnx_alloc (b, sizeof *tensor);
  Onnx__TensorShapeProto *shape = onnx_alloc (b, sizeof *shape);
  Onnx__TensorShapeProto__Dimension *d
    = onnx_alloc (b, ((size_t) ndim + 1) * sizeof *d);
  int i;

  if (d == NULL)
    return NULL;
  onnx__value_info_proto__init (v);
  onnx__type_proto__init (type);
  onnx__type_proto__tensor__init (tensor);
  onnx__tensor_shape_proto__init (shape);
  v->name = onnx_name (b, "%s", name);
  v->type = type;
  type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  type->tensor_type = tensor;
  tensor->has_elem_type = 1;
  tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
  tensor->shape = shape;
  shape->dim = onnx_alloc (b, ((size_t) ndim + 1) * sizeof *shape->dim);
  if (b->error < 0)
    return NULL;
  for (i = 0; i <= ndim; i++) {
    onnx__tensor_shape_proto__dimension__init (&d[i]);
    if (i == 0) {
      d[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
      d[i].dim_param = onnx_name (b, "N");
    } else {
      d[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
      d[i].dim_value = dims[i - 1];
    }
    shape->dim[i] = &d[i];
  }
  shape->n_dim = (size_t) ndim + 1;
  return b->error < 0 ? NULL : v;
}

/* A protobuf-c buffer that writes to a file; the first error sticks. */
struct file_buffer {
  ProtobufCBuffer base;
  int fd, error;
  size_t used;
  uint8_t bytes[65536];
};

static void
flush (struct file_buffer *f, const uint8_t *p, size_t n)
{
  while (n > 0 && f->error == 0) {
    const ssize_t k = write (f->fd, p, n);

    if (k < 0 && errno == EINTR)
      continue;
    if (k <= 0) {
      f->error = k < 0 ? -errno : -EIO;
      return;
    }
    p += k;
    n -= (size_t) k;
  }
}

static void
buffer_append (ProtobufCBuffer *base, size_t n, const uint8_t *data)
{
  struct file_buffer *f = (struct file_buffer *) base;

  if (n > sizeof f->bytes - f->used) {
    flush (f, f->bytes, f->used);
    f->used = 0;
  }
  if (n > sizeof f->bytes)
    flush (f, data, n);
  else {
    memcpy (f->bytes + f->used, data, n);
    f->used += n;
  }
}

static int
write_model (const Onnx__ModelProto *m, int fd)
{
  struct file_buffer *f = calloc (1, sizeof *f);
  int r;

  if (f == NULL)
    return qk_oom ("onnx");
  f->base.append = buffer_append;
  f->fd = fd;
  onnx__model_proto__pack_to_buffer (m, &f->base);
  flush (f, f->bytes, f->used);
  r = f->error;
  free (f);
  return r < 0 ? qk_error (r, "cannot write: %s", strerror (-r)) : 0;
}

/* The version of each set of operators that the graph has in OPSET, which are
 * two at most; returns their number. */
static size_t
put_opsets (struct onnx_build *b, Onnx__OperatorSetIdProto *opset)
{
  size_t n = 1;

  onnx__operator_set_id_proto__init (&opset[0]);
  onnx__operator_set_id_proto__init (&opset[1]);
  opset[0].domain = onnx_name (b, "%s", "");
  opset[0].version = b->opset;
  opset[1].domain = onnx_name (b, "%s", ONNX_MICROSOFT);
  opset[1].version = 1;
  opset[0].has_version = opset[1].has_version = 1;
  for (size_t i = 0; i < b->graph.n_node; i++)
    if (b->graph.node[i]->domain != NULL)
      n = 2;
  return n;
}

int
onnx_build_write (struct onnx_build *b, int fd,
                  const struct qk_format_meta *meta, int n_meta)
{
  Onnx__OperatorSetIdProto opset[2];
  Onnx__OperatorSetIdProto *opsets[] = { &opset[0], &opset[1] };
  Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
  Onnx__StringStringEntryProto *e
    = onnx_alloc (b, ((size_t) n_meta + 1) * sizeof *e);
  Onnx__StringStringEntryProto **all
    = onnx_alloc (b, ((size_t) n_meta + 1) * sizeof *all);
  int i;

  if (b->error < 0)
    return b->error;
  for (i = 0; i < n_meta; i++) {
    onnx__string_string_entry_proto__init (&e[i]);
    e[i].key = onnx_name (b, "%s", meta[i].key);
    e[i].value = onnx_name (b, "%s", meta[i].value);
    all[i] = &e[i];
  }
  b->graph.name = onnx_name (b, "%s", "qatkit");
  m.has_ir_version = 1;
  m.ir_version = b->ir_version;
  m.n_opset_import = put_opsets (b, opset);
  m.opset_import = opsets;
  m.producer_name = onnx_name (b, "%s", PACKAGE_NAME);
  m.producer_version = onnx_name (b, "%s", PACKAGE_VERSION);
  m.graph = &b->graph;
  m.n_metadata_props = (size_t) n_meta;
  m.metadata_props = all;
  return b->error < 0 ? b->error : write_model (&m, fd);
}
