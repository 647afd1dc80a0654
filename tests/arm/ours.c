/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ours.c: case CASE of cases.h RUNS times on the qnnpack backend, with one thread;
 * prints its name, how many multiply-accumulates or elements, and the CPU level.
 *
 * Usage: ours CASE RUNS; status 2 if there is no such case. */
#include <stdio.h>

#include <qatkit/backend.h>
#include <qatkit/plugin.h>

#include "cases.h"

const struct qk_plugin *qnnpack_plugin (void);

static void *
bytes (int64_t n)
{
  void *p = aligned_alloc (64, (size_t) (n + 63) / 64 * 64 + 64);

  if (p == NULL)
    exit (EXIT_FAILURE);
  return p;
}

static void
fill (const struct arm_case *q, struct qk_op *op)
{
  const int64_t n = arm_weights (q);
  int8_t *w = bytes (n);
  int32_t *bias = bytes (q->k * 4);
  float *multiplier = bytes (q->k * 4);

  for (int64_t i = 0; i < n; i++)
    w[i] = arm_weight (i);
  for (int i = 0; i < q->k; i++)
    bias[i] = 0, multiplier[i] = 0.001f;
  op->weight = w;
  op->bias = bias;
  op->multiplier = multiplier;
}

/* Twice the size, places between pixels' middles, as the layer has them. */
static void
fill_places (const struct arm_case *q, struct qk_op *op)
{
  const int64_t out = arm_out_size (q);
  int32_t *place = bytes (4 * out * (int64_t) sizeof *place);
  float *share = bytes (4 * out * (int64_t) sizeof *share);

  for (int64_t i = 0; i < 2 * out; i++) {
    const float at = (float) (i % out) * 0.5f - 0.25f;
    const float x = at < 0 ? 0 : at;
    const int low = (int) x;

    place[2 * i] = low;
    place[2 * i + 1] = low + 1 < q->size ? low + 1 : low;
    share[2 * i + 1] = x - (float) low;
    share[2 * i] = 1.0f - share[2 * i + 1];
  }
  op->taps = 2;
  op->places = 4 * out;
  op->place = place;
  op->share = share;
}

static void
fill_order (const struct arm_case *q, struct qk_op *op)
{
  int32_t *order = bytes (6 * (int64_t) sizeof *order);

  order[0] = q->size * q->size, order[1] = 0;
  order[2] = q->groups, order[3] = 2;
  order[4] = q->c / q->groups, order[5] = 1;
  op->axes = 3;
  op->order = order;
}

static void
fill_table (struct qk_op *op)
{
  uint8_t *table = bytes (256);

  for (int i = 0; i < 256; i++)
    table[i] = (uint8_t) (255 - i);
  op->table = table;
}

static enum qk_op_kind
kind_of (const struct arm_case *q)
{
  static const enum qk_op_kind kinds[]
    = { [ARM_CONV] = QK_OP_CONV2D,       [ARM_DECONV] = QK_OP_CONV_TRANSPOSE2D,
        [ARM_ADD] = QK_OP_BINARY,        [ARM_MUL] = QK_OP_BINARY,
        [ARM_SCALE] = QK_OP_BINARY,      [ARM_MAXPOOL] = QK_OP_MAXPOOL2D,
        [ARM_AVGPOOL] = QK_OP_AVGPOOL2D, [ARM_GLOBAL] = QK_OP_AVGPOOL2D,
        [ARM_MEAN] = QK_OP_REDUCE,       [ARM_SIGMOID] = QK_OP_TABLE,
        [ARM_CLAMP] = QK_OP_CLAMP,       [ARM_CONCAT] = QK_OP_CONCAT,
        [ARM_QUANTIZE] = QK_OP_QUANTIZE, [ARM_DEQUANTIZE] = QK_OP_DEQUANTIZE,
        [ARM_RESIZE] = QK_OP_RESIZE,     [ARM_SHUFFLE] = QK_OP_TRANSPOSE,
        [ARM_SOFTMAX] = QK_OP_SOFTMAX };

  return q->kind == ARM_CONV && q->size == 1 ? QK_OP_LINEAR : kinds[q->kind];
}

/* Which operations keep the grid. */
static bool
keeps (const struct arm_case *q)
{
  return q->kind == ARM_MAXPOOL || q->kind == ARM_AVGPOOL
         || q->kind == ARM_GLOBAL || q->kind == ARM_MEAN
         || q->kind == ARM_CLAMP || q->kind == ARM_CONCAT
         || q->kind == ARM_RESIZE || q->kind == ARM_SHUFFLE;
}

static struct qk_op
op_of (const struct arm_case *q)
{
  struct qk_op op;

  qk_op_init (&op);
  op.kind = kind_of (q);
  op.name = q->name;
  op.n_in = op.kind == QK_OP_BINARY || op.kind == QK_OP_CONCAT ? 2 : 1;
  for (int i = 0; i < op.n_in; i++)
    op.in_q[i] = (struct qk_qparams){ 0.02347611f, 131, 0, 255 };
  op.out_q = (struct qk_qparams){ 0.03164873f, 120, 0, 255 };
  if (keeps (q))
    op.out_q = op.in_q[0];
  else if (op.n_in == 2)
    op.in_q[1].scale = 0.01812239f;
  op.hi = 255;
  if (q->kind == ARM_CLAMP)
    op.lo = 131, op.hi = 200;
  op.function = q->kind == ARM_MUL || q->kind == ARM_SCALE ? QK_MUL
                : q->kind == ARM_MEAN                      ? QK_MEAN
                : q->kind == ARM_SOFTMAX                   ? QK_SOFTMAX
                                                           : QK_ADD;
  op.along = q->kind == ARM_MEAN ? 6 : 0;
  op.axis = q->kind == ARM_SOFTMAX ? 1 : 0;
  op.kernel_h = op.kernel_w = q->kernel;
  op.stride_h = op.stride_w = q->stride;
  op.pad_top = op.pad_left = op.pad_bottom = op.pad_right = arm_pad (q);
  if (q->kind == ARM_DECONV)
    op.pad_bottom = op.pad_right = 0; /* output padding of 1 */
  op.dilation_h = op.dilation_w = 1;
  op.count_pad = true;
  op.groups = q->groups;
  op.in_channels = q->c;
  op.out_channels = q->k;
  if (q->kind == ARM_CONV || q->kind == ARM_DECONV)
    fill (q, &op);
  if (q->kind == ARM_RESIZE)
    fill_places (q, &op);
  if (q->kind == ARM_SHUFFLE)
    fill_order (q, &op);
  if (q->kind == ARM_SIGMOID)
    fill_table (&op);
  if (q->kind == ARM_DEQUANTIZE)
    op.out_q = (struct qk_qparams){ 0 };
  return op;
}

static void
shapes_of (const struct arm_case *q, struct qk_shape in[2],
           struct qk_shape *out)
{
  const int64_t size = arm_out_size (q);

  in[0]
    = (struct qk_shape){ .ndim = 4, .dims = { 1, q->size, q->size, q->c } };
  *out = (struct qk_shape){ .ndim = 4, .dims = { 1, size, size, q->k } };
  if (q->size == 1) {
    in[0] = (struct qk_shape){ .ndim = 2, .dims = { 1, q->c } };
    *out = (struct qk_shape){ .ndim = 2, .dims = { 1, q->k } };
  }
  in[1] = in[0];
  if (q->kind == ARM_SCALE)
    in[1].dims[1] = in[1].dims[2] = 1;
}

static bool
has_weights (const struct arm_case *q)
{
  return q->kind == ARM_CONV || q->kind == ARM_DECONV;
}

/* What a case is measured by: of the mean of whole images the inputs. */
static int64_t
units (const struct arm_case *q, const struct qk_op *op,
       const struct qk_shape *in, const struct qk_shape *out)
{
  if (has_weights (q))
    return qk_op_macs (op, in, out);
  return qk_shape_count (q->kind == ARM_GLOBAL || q->kind == ARM_MEAN ? in
                                                                      : out);
}

int
main (int argc, char **argv)
{
  const struct arm_case *q = argc == 3 ? arm_case_of (argv[1]) : NULL;
  const struct qk_backend_class *cls
    = (const struct qk_backend_class *) qnnpack_plugin ()->classes[0];
  struct qk_backend_caps caps;
  struct qk_shape in[2], out;
  const void *inputs[2];
  void *self, *kernel, *scratch, *y;
  struct qk_op op;
  size_t size;

  if (q == NULL)
    return 2;
  op = op_of (q);
  shapes_of (q, in, &out);
  for (int j = 0; j < 2; j++) {
    const int64_t n = qk_shape_count (&in[j]);
    uint8_t *x = bytes (4 * n); /* floats, perhaps */

    memset (x, 0, (size_t) (4 * n));
    for (int64_t i = 0; i < n; i++)
      x[i] = (uint8_t) (i * 7);
    inputs[j] = x;
  }
  y = bytes (4 * qk_shape_count (&out));
  if (cls->probe (&caps) < 0 || cls->create (NULL, 1, &self) < 0
      || cls->supports (self, &op, in, &out) < 0
      || cls->prepare (self, &op, in, &out, &kernel, &size) < 0)
    return EXIT_FAILURE;
  scratch = bytes ((int64_t) size);
  for (int runs = atoi (argv[2]); runs > 0; runs--)
    cls->run (self, kernel, 1, inputs, y, scratch);
  printf ("%s: %lld %s %s\n", q->name, (long long) units (q, &op, in, &out),
          has_weights (q) ? "multiply-accumulate" : "element", caps.cpu_level);
  return EXIT_SUCCESS;
}
