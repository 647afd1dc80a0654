/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vectors.c: what an int8 network computes of samples, in files called as those of
 * ONNX's own backend tests: test_data_set_S/input_I.pb and output_I.pb, a
 * TensorProto each. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "build.h"
#include "edit.h"
#include "onnx-priv.h"
#include "writer.h"

struct vectors {
  struct onnx_build b; /* has the tensors */
  const struct qk_network *net;
  const char *io;
  qk_format_put *put;
  void *cookie;
};

/* COUNT integers at X, on the grid of V, as who runs the file gives and gets them,
 * and their type; those of more than 8 bits are always given as reals. */
static void *
elements (struct vectors *vec, const struct qk_network_value *v, const void *x,
          size_t count, enum qk_dtype *dtype)
{
  const bool wide = qk_grid_is_wide (&v->q);
  const uint8_t *byte = x;
  const uint16_t *word = x;
  const bool real = strcmp (vec->io, "float") == 0;
  const int zero = strcmp (vec->io, "int8") == 0 ? 128 : 0;
  float *f = onnx_alloc (&vec->b, count * sizeof *f);
  uint8_t *q = (uint8_t *) f;

  *dtype = real ? QK_F32 : zero > 0 ? QK_I8 : QK_U8;
  for (size_t i = 0; f != NULL && i < count; i++)
    if (real)
      f[i] = qk_dequantize (wide ? word[i] : byte[i], v->q.scale,
                            v->q.zero_point);
    else
      q[i] = (uint8_t) (byte[i] - zero);
  return f;
}

/* The shape of one sample of V, with its batch at AXIS; returns the axes. */
static int
shape_of (const struct qk_network_value *v, int axis, int64_t *dims)
{
  const int n = v->shape.ndim;
  int64_t theirs[QK_MAX_DIMS];

  for (int d = 1; d < n; d++)
    theirs[onnx_axis (n, d) - 1] = v->shape.dims[d];
  for (int d = 0, from = 0; d < n; d++)
    dims[d] = d == axis ? 1 : theirs[from++];
  return n;
}

/* Sample S of value V, called NAME, into FILE. */
static int
put_tensor (struct vectors *vec, const struct qk_network_value *v, int s,
            const char *name, int axis, const char *file)
{
  const size_t count = (size_t) qk_shape_count (&v->shape);
  const size_t size
    = v->q.scale > 0 ? qk_dtype_size (qk_grid_dtype (&v->q)) : sizeof (float);
  const char *from = (const char *) v->vectors + (size_t) s * count * size;
  const void *x = from;
  enum qk_dtype dtype = QK_F32;
  const Onnx__TensorProto *t;
  int64_t dims[QK_MAX_DIMS];
  uint8_t *bytes;
  void *turned;
  int n, r;

  if (v->q.scale > 0)
    x = elements (vec, v, from, count, &dtype);
  turned = onnx_alloc (&vec->b, count * sizeof (float));
  if (x == NULL || turned == NULL)
    return vec->b.error;
  if (v->shape.ndim == 4) {
    onnx_to_oihw (x, turned, v->shape.dims, qk_dtype_size (dtype));
    x = turned;
  }
  n = shape_of (v, axis, dims);
  name = onnx_constant (&vec->b, name, dtype, n, dims, x);
  if ((t = onnx_find_constant (&vec->b, name)) == NULL
      || (bytes
          = onnx_alloc (&vec->b, onnx__tensor_proto__get_packed_size (t)))
           == NULL)
    return vec->b.error;
  r = vec->put (vec->cookie, file, bytes, onnx__tensor_proto__pack (t, bytes));
  onnx_build_clear (&vec->b);
  onnx_build_init (&vec->b);
  return r;
}

static int
put_sample (struct vectors *vec, int s)
{
  const struct qk_network *net = vec->net;
  char file[80];
  int r = 0;

  for (int i = 0; r == 0 && i < net->n_inputs; i++) {
    const struct qk_network_value *v = net->value[net->input[i]];

    snprintf (file, sizeof file, "test_data_set_%d/input_%d.pb", s, i);
    r = put_tensor (vec, v, s, v->name, 0, file);
  }
  for (int i = 0; r == 0 && i < net->n_outputs; i++) {
    const struct qk_network_output *o = &net->output[i];

    snprintf (file, sizeof file, "test_data_set_%d/output_%d.pb", s, i);
    r = put_tensor (vec, net->value[o->value], s, o->name, o->batch_axis,
                    file);
  }
  return r;
}

int
onnx_write_vectors (const struct qk_config *cfg, const struct qk_network *net,
                    qk_format_put *put, void *cookie)
{
  struct vectors vec = { .net = net,
                         .io = qk_config_string (cfg, "io"),
                         .put = put,
                         .cookie = cookie };
  int r = 0;

  if (net->n_vectors == 0)
    return qk_error (-EINVAL, "onnx: test vectors of no sample, expected one "
                              "or more");
  onnx_build_init (&vec.b);
  for (int s = 0; r == 0 && s < net->n_vectors; s++)
    r = put_sample (&vec, s);
  onnx_build_clear (&vec.b);
  return r;
}
