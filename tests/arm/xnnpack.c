/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xnnpack.c: case CASE of cases.h RUNS times with XNNPACK, its convolution of int8
 * with weights per channel and the like, as it chooses its kernels on this CPU, with
 * one thread.
 *
 * Usage: xnnpack CASE RUNS; status 2 if there is no such case, 3 if XNNPACK lacks
 * the operation. */
#include <xnnpack.h>

#include "cases.h"

/* An operator to be run, made for X, the second input Z and Y. */
struct bound {
  const struct arm_case *q;
  void *x, *z, *y;
  xnn_operator_t op[2];
  int ops;
};

static void *
bytes (int64_t n)
{
  void *p = calloc ((size_t) n + 64, 1); /* which it may read beyond */

  if (p == NULL)
    exit (EXIT_FAILURE);
  return p;
}

static bool
done (enum xnn_status a, enum xnn_status b)
{
  return a == xnn_status_success && b == xnn_status_success;
}

static bool
weighted (struct bound *b)
{
  const struct arm_case *q = b->q;
  const uint32_t pad = (uint32_t) arm_pad (q), kernel = (uint32_t) q->kernel;
  const uint32_t stride = (uint32_t) q->stride, groups = (uint32_t) q->groups;
  const size_t size = (size_t) q->size, c = (size_t) q->c, k = (size_t) q->k;
  int8_t *w = bytes (arm_weights (q));
  int32_t *bias = bytes (q->k * 4);
  float *scale = bytes (q->k * 4);
  enum xnn_status made;

  for (int64_t i = 0; i < arm_weights (q); i++)
    w[i] = arm_weight (i);
  for (int i = 0; i < q->k; i++)
    scale[i] = 0.001f;
  if (q->kind == ARM_DECONV) {
    made = xnn_create_deconvolution2d_nhwc_qs8 (
      pad, pad, pad, pad, kernel, kernel, stride, stride, 1, 1, groups,
      c / groups, k / groups, c, k, 3, 0.5f, 0.001f, w, bias, -5, 0.7f, -128,
      127, 0, b->op);
    return done (made, xnn_setup_deconvolution2d_nhwc_qs8 (
                         b->op[0], 1, size, size, stride - 1, stride - 1, b->x,
                         b->y, NULL));
  }
  made = xnn_create_convolution2d_nhwc_qc8 (
    pad, pad, pad, pad, kernel, kernel, stride, stride, 1, 1, groups,
    c / groups, k / groups, c, k, 3, 0.5f, scale, w, bias, -5, 0.7f, -128, 127,
    0, b->op);
  return done (made, xnn_setup_convolution2d_nhwc_qc8 (b->op[0], 1, size, size,
                                                       b->x, b->y, NULL));
}

static bool
binary (struct bound *b)
{
  const size_t size = (size_t) b->q->size, c = (size_t) b->q->c;
  const size_t one = b->q->kind == ARM_SCALE ? 1 : size;
  const size_t x[] = { 1, size, size, c }, z[] = { 1, one, one, c };
  enum xnn_status made;

  if (b->q->kind == ARM_ADD) {
    made = xnn_create_add_nd_qu8 (131, 0.02347611f, 131, 0.01812239f, 120,
                                  0.03164873f, 0, 255, 0, b->op);
    return done (made, xnn_setup_add_nd_qu8 (b->op[0], 4, x, 4, z, b->x, b->z,
                                             b->y, NULL));
  }
  made = xnn_create_multiply_nd_qu8 (131, 0.02347611f, 131, 0.01812239f, 120,
                                     0.03164873f, 0, 255, 0, b->op);
  return done (made, xnn_setup_multiply_nd_qu8 (b->op[0], 4, x, 4, z, b->x,
                                                b->z, b->y, NULL));
}

static bool
pooling (struct bound *b)
{
  const struct arm_case *q = b->q;
  const uint32_t pad = (uint32_t) arm_pad (q), kernel = (uint32_t) q->kernel;
  const uint32_t stride = (uint32_t) q->stride;
  const size_t size = (size_t) q->size, c = (size_t) q->c;
  enum xnn_status made;

  switch (q->kind) {
  case ARM_MAXPOOL:
    made = xnn_create_max_pooling2d_nhwc_u8 (pad, pad, pad, pad, kernel,
                                             kernel, stride, stride, 1, 1, c,
                                             c, c, 0, 255, 0, b->op);
    return done (made, xnn_setup_max_pooling2d_nhwc_u8 (
                         b->op[0], 1, size, size, b->x, b->y, NULL));
  case ARM_AVGPOOL:
    made = xnn_create_average_pooling2d_nhwc_qu8 (
      pad, pad, pad, pad, kernel, kernel, stride, stride, c, c, c, 131,
      0.02347611f, 131, 0.02347611f, 0, 255, 0, b->op);
    return done (made, xnn_setup_average_pooling2d_nhwc_qu8 (
                         b->op[0], 1, size, size, b->x, b->y, NULL));
  default:
    made = xnn_create_global_average_pooling_nwc_qu8 (
      c, c, c, 131, 0.02347611f, 131, 0.5f, 0, 255, 0, b->op);
    return done (made, xnn_setup_global_average_pooling_nwc_qu8 (
                         b->op[0], 1, size * size, b->x, b->y, NULL));
  }
}

/* Both parts of a result of twice as many channels. */
static bool
concat (struct bound *b, size_t pixels)
{
  const size_t c = (size_t) b->q->c, k = (size_t) b->q->k;

  b->ops = 2;
  return done (xnn_create_copy_nc_x8 (c, c, k, 0, b->op),
               xnn_create_copy_nc_x8 (c, c, k, 0, b->op + 1))
         && done (xnn_setup_copy_nc_x8 (b->op[0], pixels, b->x, b->y, NULL),
                  xnn_setup_copy_nc_x8 (b->op[1], pixels, b->z,
                                        (char *) b->y + c, NULL));
}

static bool
other (struct bound *b)
{
  const struct arm_case *q = b->q;
  const size_t size = (size_t) q->size, c = (size_t) q->c;
  const size_t groups = (size_t) q->groups, pixels = size * size;

  switch (q->kind) {
  case ARM_SIGMOID:
    return done (
      xnn_create_sigmoid_nc_qu8 (c, c, c, 131, 0.05f, 0, 1 / 256.0f, 0, 255, 0,
                                 b->op),
      xnn_setup_sigmoid_nc_qu8 (b->op[0], pixels, b->x, b->y, NULL));
  case ARM_CLAMP:
    return done (xnn_create_clamp_nc_u8 (c, c, c, 131, 200, 0, b->op),
                 xnn_setup_clamp_nc_u8 (b->op[0], pixels, b->x, b->y, NULL));
  case ARM_CONCAT:
    return concat (b, pixels);
  case ARM_QUANTIZE:
    return done (
      xnn_create_convert_nc_f32_qu8 (c, c, c, 0.7f, 120, 0, 255, 0, b->op),
      xnn_setup_convert_nc_f32_qu8 (b->op[0], pixels, b->x, b->y, NULL));
  case ARM_DEQUANTIZE:
    return done (
      xnn_create_convert_nc_qu8_f32 (c, c, c, 0.5f, 131, 0, b->op),
      xnn_setup_convert_nc_qu8_f32 (b->op[0], pixels, b->x, b->y, NULL));
  case ARM_RESIZE:
    return done (xnn_create_resize_bilinear2d_nhwc_u8 (c, c, c, 0, b->op),
                 xnn_setup_resize_bilinear2d_nhwc_u8 (b->op[0], 1, size, size,
                                                      2 * size, 2 * size, b->x,
                                                      b->y, NULL));
  case ARM_SHUFFLE:
    return done (
      xnn_create_channel_shuffle_nc_x8 (groups, c / groups, c, c, 0, b->op),
      xnn_setup_channel_shuffle_nc_x8 (b->op[0], pixels, b->x, b->y, NULL));
  default:
    return done (
      xnn_create_softmax_nc_qu8 (c, c, c, 0.5f, 0, 1 / 256.0f, 0, b->op),
      xnn_setup_softmax_nc_qu8 (b->op[0], pixels, b->x, b->y, NULL));
  }
}

static bool
bind (struct bound *b)
{
  switch (b->q->kind) {
  case ARM_CONV:
  case ARM_DECONV:
    return weighted (b);
  case ARM_ADD:
  case ARM_MUL:
  case ARM_SCALE:
    return binary (b);
  case ARM_MAXPOOL:
  case ARM_AVGPOOL:
  case ARM_GLOBAL:
  case ARM_MEAN:
    return pooling (b);
  default:
    return other (b);
  }
}

int
main (int argc, char **argv)
{
  struct bound b = { .q = argc == 3 ? arm_case_of (argv[1]) : NULL, .ops = 1 };
  int8_t *x;

  if (b.q == NULL)
    return 2;
  b.x = x = bytes (4 * arm_inputs (b.q)); /* floats, perhaps */
  b.z = bytes (arm_inputs (b.q));
  b.y = bytes (4 * arm_outputs (b.q));
  for (int64_t i = 0; i < arm_inputs (b.q); i++)
    x[i] = (int8_t) (i * 7);
  if (xnn_initialize (NULL) != xnn_status_success)
    return EXIT_FAILURE;
  if (!bind (&b))
    return 3;
  for (int runs = atoi (argv[2]); runs > 0; runs--)
    for (int i = 0; i < b.ops; i++)
      if (xnn_run_operator (b.op[i], NULL) != xnn_status_success)
        return EXIT_FAILURE;
  return EXIT_SUCCESS;
}
