/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xnnpack.c: case CASE of cases.h RUNS times with XNNPACK, its convolution of int8
 * with weights per channel, as it chooses its kernels on this CPU, with one thread.
 *
 * Usage: xnnpack CASE RUNS; status 2 if there is no such case. */
#include <xnnpack.h>

#include "cases.h"

int
main (int argc, char **argv)
{
  const struct arm_case *q = argc == 3 ? arm_case_of (argv[1]) : NULL;
  xnn_operator_t op = NULL;
  uint32_t pad, kernel, stride;
  int64_t inputs, outputs;
  int8_t *x, *y, *w;
  int32_t *bias;
  float *scale;

  if (q == NULL)
    return 2;
  pad = (uint32_t) q->kernel / 2;
  kernel = (uint32_t) q->kernel, stride = (uint32_t) q->stride;
  inputs = (int64_t) q->size * q->size * q->c;
  outputs = arm_out_size (q) * arm_out_size (q) * q->k;
  x = malloc ((size_t) inputs + 64); /* which it may read beyond */
  y = malloc ((size_t) outputs + 64);
  w = malloc ((size_t) arm_weights (q));
  bias = calloc ((size_t) q->k, sizeof *bias);
  scale = malloc ((size_t) q->k * sizeof *scale);
  if (x == NULL || y == NULL || w == NULL || bias == NULL || scale == NULL)
    return EXIT_FAILURE;
  for (int64_t i = 0; i < inputs; i++)
    x[i] = (int8_t) (i * 7);
  for (int64_t i = 0; i < arm_weights (q); i++)
    w[i] = arm_weight (i);
  for (int i = 0; i < q->k; i++)
    scale[i] = 0.001f;
  if (xnn_initialize (NULL) != xnn_status_success
      || xnn_create_convolution2d_nhwc_qc8 (
           pad, pad, pad, pad, kernel, kernel, stride, stride, 1, 1,
           (uint32_t) q->groups, (size_t) (q->c / q->groups),
           (size_t) (q->k / q->groups), (size_t) q->c, (size_t) q->k, 3, 0.5f,
           scale, w, bias, -5, 0.7f, -128, 127, 0, &op)
           != xnn_status_success
      || xnn_setup_convolution2d_nhwc_qc8 (op, 1, (size_t) q->size,
                                           (size_t) q->size, x, y, NULL)
           != xnn_status_success)
    return EXIT_FAILURE;
  for (int runs = atoi (argv[2]); runs > 0; runs--)
    if (xnn_run_operator (op, NULL) != xnn_status_success)
      return EXIT_FAILURE;
  return EXIT_SUCCESS;
}
