/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ours.c: case CASE of cases.h RUNS times on the qnnpack backend, with one thread;
 * prints its name, multiply-accumulates and the CPU level.
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
fill (const struct arm_case *q, struct qk_op *op, uint8_t *x)
{
  const int64_t n = arm_weights (q);
  int8_t *w = bytes (n);
  int32_t *bias = bytes (q->k * 4);
  float *multiplier = bytes (q->k * 4);

  for (int64_t i = 0; i < (int64_t) q->size * q->size * q->c; i++)
    x[i] = (uint8_t) (i * 7);
  for (int64_t i = 0; i < n; i++)
    w[i] = arm_weight (i);
  for (int i = 0; i < q->k; i++)
    bias[i] = 0, multiplier[i] = 0.001f;
  op->weight = w;
  op->bias = bias;
  op->multiplier = multiplier;
}

static struct qk_op
op_of (const struct arm_case *q)
{
  struct qk_op op;

  qk_op_init (&op);
  op.kind = q->size == 1 ? QK_OP_LINEAR : QK_OP_CONV2D;
  op.name = q->name;
  op.n_in = 1;
  op.in_q[0] = (struct qk_qparams){ 0.5f, 131, 0, 255 };
  op.out_q = (struct qk_qparams){ 0.7f, 120, 0, 255 };
  op.hi = 255;
  op.kernel_h = op.kernel_w = q->kernel;
  op.stride_h = op.stride_w = q->stride;
  op.pad_top = op.pad_left = op.pad_bottom = op.pad_right = q->kernel / 2;
  op.dilation_h = op.dilation_w = 1;
  op.groups = q->groups;
  op.in_channels = q->c;
  op.out_channels = q->k;
  return op;
}

int
main (int argc, char **argv)
{
  const struct arm_case *q = argc == 3 ? arm_case_of (argv[1]) : NULL;
  const struct qk_backend_class *cls
    = (const struct qk_backend_class *) qnnpack_plugin ()->classes[0];
  struct qk_backend_caps caps;
  struct qk_shape in, out;
  const void *inputs[1];
  void *self, *kernel, *scratch, *y;
  struct qk_op op;
  size_t size;
  uint8_t *x;

  if (q == NULL)
    return 2;
  op = op_of (q);
  in = (struct qk_shape){ .ndim = 4, .dims = { 1, q->size, q->size, q->c } };
  out = (struct qk_shape){ .ndim = 4,
                           .dims
                           = { 1, arm_out_size (q), arm_out_size (q), q->k } };
  if (op.kind == QK_OP_LINEAR) {
    in = (struct qk_shape){ .ndim = 2, .dims = { 1, q->c } };
    out = (struct qk_shape){ .ndim = 2, .dims = { 1, q->k } };
  }
  inputs[0] = x = bytes (qk_shape_count (&in));
  y = bytes (qk_shape_count (&out));
  fill (q, &op, x);
  if (cls->probe (&caps) < 0 || cls->create (NULL, 1, &self) < 0
      || cls->supports (self, &op, &in, &out) < 0
      || cls->prepare (self, &op, &in, &out, &kernel, &size) < 0)
    return EXIT_FAILURE;
  scratch = bytes ((int64_t) size);
  for (int runs = atoi (argv[2]); runs > 0; runs--)
    cls->run (self, kernel, 1, inputs, y, scratch);
  printf ("%s: %lld %s\n", q->name, (long long) qk_op_macs (&op, &in, &out),
          caps.cpu_level);
  return EXIT_SUCCESS;
}
