/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_layers_golden.c: layers against numbers from PyTorch. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden/layers.h"
#include "lib/context.h"
#include "lib/layer-harness.h"

static void
open_layer (const char *layer, const char *options, unsigned flags,
            struct qk_shape in, struct harness *h)
{
  const struct harness_spec s = { .layer = layer,
                                  .options = options,
                                  .flags = flags,
                                  .threads = 1,
                                  .n_in = 1,
                                  .in = { in } };

  ck_assert_msg (harness_new (ctx, &s, h) == 0, "%s", qk_error_message ());
}

static void
load (const struct qk_tensor *t, const void *data, size_t size)
{
  ck_assert_uint_eq (harness_bytes (t), size);
  memcpy (t->data, data, size);
}

/* Both sides compute in float, in another order: TOL is relative to the
 * larger of 1 and the number. */
static void
near (const char *what, const struct qk_tensor *t, const float *golden,
      size_t size, double tol)
{
  const float *x = t->data;

  ck_assert_msg (harness_bytes (t) == size, "%s: another size", what);
  for (size_t i = 0; i < size / sizeof *golden; i++) {
    const double g = (double) golden[i];

    ck_assert_msg (fabs ((double) x[i] - g) <= tol * fmax (1.0, fabs (g)),
                   "%s[%zu] is %.9g, PyTorch has %.9g", what, i, (double) x[i],
                   g);
  }
}

#define LOAD(t, array) load (&(t), array, sizeof (array))
#define NEAR(t, array, tol) near (#array, &(t), array, sizeof (array), tol)

/* ---- batch-norm -------------------------------------------------------*/

static const float bn_weight[3] = { 1.5f, 0.5f, -0.75f };
static const float bn_bias[3] = { 0.25f, -1.0f, 0.0f };

static void
clear_gradients (struct harness *h)
{
  for (int i = 0; i < h->n_params; i++)
    if (h->dparam[i].data != NULL)
      memset (h->dparam[i].data, 0, harness_bytes (&h->dparam[i]));
}

/* The second channel has mean 100 and deviation 3: sums of squares would
 * lose it; the allowance is for PyTorch's own float arithmetic. */
START_TEST (batchnorm_trains_like_pytorch)
{
  struct harness h;

  open_layer ("batchnorm2d", NULL, QK_PASS_TRAIN | QK_PASS_BATCH_STATS,
              (struct qk_shape){ 4, { 2, 2, 3, 3 } }, &h);
  LOAD (h.param[0], bn_weight);
  LOAD (h.param[1], bn_bias);

  LOAD (h.in[0], bn0_x);
  LOAD (h.dout, bn0_dy);
  ck_assert_int_eq (harness_forward (&h), 0);
  ck_assert_int_eq (harness_backward (&h), 0);
  NEAR (h.out, bn0_y, 1e-5);
  NEAR (h.din[0], bn0_dx, 1e-4);
  NEAR (h.dparam[0], bn0_dweight, 1e-4);
  NEAR (h.dparam[1], bn0_dbias, 1e-5);
  NEAR (h.param[2], bn0_running_mean, 1e-6);
  NEAR (h.param[3], bn0_running_var, 1e-5);

  clear_gradients (&h);
  LOAD (h.in[0], bn1_x);
  LOAD (h.dout, bn1_dy);
  ck_assert_int_eq (harness_forward (&h), 0);
  ck_assert_int_eq (harness_backward (&h), 0);
  NEAR (h.out, bn1_y, 1e-5);
  NEAR (h.din[0], bn1_dx, 1e-4);
  NEAR (h.dparam[0], bn1_dweight, 1e-4);
  NEAR (h.dparam[1], bn1_dbias, 1e-5);
  NEAR (h.param[2], bn1_running_mean, 1e-6);
  NEAR (h.param[3], bn1_running_var, 1e-5);

  /* evaluation with the statistics learnt */
  h.io.flags = 0;
  ck_assert_int_eq (harness_forward (&h), 0);
  NEAR (h.out, bn_eval_y, 1e-5);
  NEAR (h.param[2], bn1_running_mean, 1e-6);
  harness_free (&h);
}
END_TEST

/* Mean 10^4, deviation 1, in many rows: sums of squares in float would give
 * nonsense.  Exact: x takes 9999 and 10001 equally often. */
START_TEST (batchnorm_is_numerically_safe)
{
  const struct qk_shape shape = { 4, { 4, 64, 64, 2 } };
  const int64_t n = 4 * 64 * 64;
  struct harness h;
  float *x, *y;

  open_layer ("batchnorm2d", NULL, QK_PASS_TRAIN | QK_PASS_BATCH_STATS, shape,
              &h);
  x = h.in[0].data;
  y = h.out.data;
  for (int64_t i = 0; i < 2 * n; i++)
    x[i] = i / 2 % 2 == 0 ? 9999.0f : 10001.0f;
  ck_assert_int_eq (harness_forward (&h), 0);
  for (int64_t i = 0; i < 2 * n; i++)
    ck_assert (fabsf (y[i] - (i / 2 % 2 == 0 ? -1.0f : 1.0f)) < 1e-4f);
  for (int c = 0; c < 2; c++)
    ck_assert (fabs ((double) ((float *) h.param[3].data)[c]
                     - (0.9 + 0.1 * (double) n / (double) (n - 1)))
               < 1e-6);
  harness_free (&h);
}
END_TEST

/* ---- pooling ----------------------------------------------------------*/

static void
check_pool (const char *layer, const char *options, const float *y,
            const float *dy, size_t size, const float *dx)
{
  struct harness h;

  open_layer (layer, options, QK_PASS_TRAIN,
              (struct qk_shape){ 4, { 2, 5, 6, 3 } }, &h);
  LOAD (h.in[0], pool_x);
  load (&h.dout, dy, size);
  ck_assert_int_eq (harness_forward (&h), 0);
  ck_assert_int_eq (harness_backward (&h), 0);
  near (layer, &h.out, y, size, 1e-6);
  near (layer, &h.din[0], dx, sizeof pool_x, 1e-6);
  harness_free (&h);
}

START_TEST (pooling_is_pytorchs)
{
  check_pool ("maxpool2d", "kernel=3 stride=2 padding=1", pool_max_y,
              pool_max_dy, sizeof pool_max_dy, pool_max_dx);
  check_pool ("maxpool2d", "kernel=2 stride=1 padding=1 dilation=3",
              pool_max_dilated_y, pool_max_dilated_dy,
              sizeof pool_max_dilated_dy, pool_max_dilated_dx);
  check_pool ("avgpool2d", "kernel=3 stride=2 padding=1", pool_avg_y,
              pool_avg_dy, sizeof pool_avg_dy, pool_avg_dx);
  check_pool ("avgpool2d", "kernel=3 stride=2 padding=1 count_pad=no",
              pool_avg_inside_y, pool_avg_inside_dy, sizeof pool_avg_inside_dy,
              pool_avg_inside_dx);
  check_pool ("global_avgpool", NULL, pool_global_y, pool_global_dy,
              sizeof pool_global_dy, pool_global_dx);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("layers-golden");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_add_test (t, batchnorm_trains_like_pytorch);
  tcase_add_test (t, batchnorm_is_numerically_safe);
  tcase_add_test (t, pooling_is_pytorchs);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
