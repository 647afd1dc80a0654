/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_activations_golden.c: activations, functions of two tensors and
 * pooling in ceil mode against numbers from PyTorch. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden/activations.h"
#include "lib/context.h"
#include "lib/layer-harness.h"

static void
load (const struct qk_tensor *t, const float *data, size_t size)
{
  ck_assert_uint_eq (harness_bytes (t), size);
  memcpy (t->data, data, size);
}

/* TOL is relative to the larger of 1 and the number. */
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

static void
run (const struct harness_spec *s, const float *const *x, const size_t *x_size,
     const float *dy, size_t size, struct harness *h)
{
  ck_assert_msg (harness_new (ctx, s, h) == 0, "%s", qk_error_message ());
  for (int i = 0; i < s->n_in; i++)
    load (&h->in[i], x[i], x_size[i]);
  load (&h->dout, dy, size);
  ck_assert_int_eq (harness_forward (h), 0);
  ck_assert_int_eq (harness_backward (h), 0);
}

/* ---- one tensor -------------------------------------------------------- */

struct unary {
  const char *layer, *options;
  const float *y, *dx;
  bool positive;
};

#define UNARY(layer, options, name)                                           \
  {                                                                           \
    layer, options, name##_y, name##_dx, false                                \
  }
#define POSITIVE(layer, options, name)                                        \
  {                                                                           \
    layer, options, name##_y, name##_dx, true                                 \
  }

static const struct unary unaries[]
  = { UNARY ("hardswish", NULL, hardswish),
      UNARY ("hardsigmoid", NULL, hardsigmoid),
      UNARY ("sigmoid", NULL, sigmoid),
      UNARY ("silu", NULL, silu),
      UNARY ("tanh", NULL, tanh),
      UNARY ("gelu", NULL, gelu),
      UNARY ("gelu", "approximate=tanh", gelu_tanh),
      UNARY ("elu", "alpha=0.7", elu),
      UNARY ("leaky_relu", "negative_slope=0.2", leaky_relu),
      UNARY ("neg", NULL, neg),
      UNARY ("abs", NULL, abs),
      UNARY ("square", NULL, square),
      UNARY ("softplus", NULL, softplus),
      UNARY ("softplus", "beta=2 threshold=6", softplus_options),
      UNARY ("softsign", NULL, softsign),
      UNARY ("mish", NULL, mish),
      UNARY ("selu", NULL, selu),
      UNARY ("celu", "alpha=0.7", celu),
      UNARY ("thresholded_relu", "alpha=1", thresholded_relu),
      UNARY ("sign", NULL, sign),
      UNARY ("floor", NULL, floor),
      UNARY ("ceil", NULL, ceil),
      UNARY ("round", NULL, round),
      UNARY ("erf", NULL, erf),
      UNARY ("sin", NULL, sin),
      UNARY ("cos", NULL, cos),
      UNARY ("pow", "exponent=3", cube),
      UNARY ("affine", "scale=-1.5 offset=0.25", line),
      UNARY ("clip", "min=-1.5 max=2.4", clip),
      UNARY ("hardsigmoid", "alpha=0.21 beta=0.4", hardsigmoid_options),
      POSITIVE ("exp", NULL, exp),
      POSITIVE ("log", NULL, log),
      POSITIVE ("sqrt", NULL, sqrt),
      POSITIVE ("rsqrt", NULL, rsqrt),
      POSITIVE ("reciprocal", NULL, reciprocal),
      POSITIVE ("pow", "exponent=-0.7", pow) };

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))

START_TEST (activations_are_pytorchs)
{
  const struct unary *u = &unaries[_i];
  const struct harness_spec s = { .layer = u->layer,
                                  .options = u->options,
                                  .flags = QK_PASS_TRAIN,
                                  .threads = 1,
                                  .n_in = 1,
                                  .in = { { 2, { 4, 10 } } } };
  const float *const x[] = { u->positive ? positive_x : unary_x };
  const size_t size[] = { sizeof unary_x };
  struct harness h;

  run (&s, x, size, unary_dy, sizeof unary_dy, &h);
  near (u->layer, &h.out, u->y, sizeof unary_x, 5e-7);
  near (u->layer, &h.din[0], u->dx, sizeof unary_x, 1e-6);
  harness_free (&h);
}
END_TEST

/* ---- two tensors ------------------------------------------------------- */

static void
check_binary (const char *layer, const float *y, const float *da,
              const float *db)
{
  const struct harness_spec s
    = { .layer = layer,
        .flags = QK_PASS_TRAIN,
        .threads = 1,
        .n_in = 2,
        .in = { { 4, { 2, 2, 3, 4 } }, { 4, { 2, 1, 1, 4 } } } };
  const float *const x[] = { binary_a, binary_b };
  const size_t size[] = { sizeof binary_a, sizeof binary_b };
  struct harness h;

  run (&s, x, size, binary_dy, sizeof binary_dy, &h);
  near (layer, &h.out, y, sizeof binary_dy, 1e-7);
  near (layer, &h.din[0], da, sizeof binary_a, 1e-7);
  near (layer, &h.din[1], db, sizeof binary_b, 1e-6);
  harness_free (&h);
}

START_TEST (broadcasting_is_pytorchs)
{
  check_binary ("add", add_y, add_da, add_db);
  check_binary ("sub", sub_y, sub_da, sub_db);
  check_binary ("mul", mul_y, mul_da, mul_db);
  check_binary ("div", div_y, div_da, div_db);
  check_binary ("max", max_y, max_da, max_db);
  check_binary ("min", min_y, min_da, min_db);
}
END_TEST

/* ---- slopes, and along axes ----------------------------------------- */

static void
check_prelu (const char *options, const float *w, const float *y,
             const float *dx, const float *dw, size_t bytes)
{
  const struct harness_spec s = { .layer = "prelu",
                                  .options = options,
                                  .flags = QK_PASS_TRAIN,
                                  .threads = 1,
                                  .n_in = 1,
                                  .in = { { 4, { 2, 2, 3, 4 } } } };
  struct harness h;

  ck_assert_msg (harness_new (ctx, &s, &h) == 0, "%s", qk_error_message ());
  load (&h.in[0], binary_a, sizeof binary_a);
  load (&h.dout, binary_dy, sizeof binary_dy);
  load (&h.param[0], w, bytes);
  ck_assert_int_eq (harness_forward (&h), 0);
  ck_assert_int_eq (harness_backward (&h), 0);
  near ("prelu", &h.out, y, sizeof binary_a, 1e-7);
  near ("prelu dx", &h.din[0], dx, sizeof binary_a, 1e-7);
  near ("prelu dweight", &h.dparam[0], dw, bytes, 1e-6);
  harness_free (&h);
}

START_TEST (slopes_are_pytorchs)
{
  check_prelu ("", prelu_w, prelu_y, prelu_dx, prelu_dw, sizeof prelu_w);
  check_prelu ("channels=yes", prelu_channels_w, prelu_channels_y,
               prelu_channels_dx, prelu_channels_dw, sizeof prelu_channels_w);
}
END_TEST

/* The gradients are the first of binary_dy. */
static void
check_reduce (const char *options, const float *y, size_t bytes,
              const float *dx)
{
  const struct harness_spec s = { .layer = "reduce",
                                  .options = options,
                                  .flags = QK_PASS_TRAIN,
                                  .threads = 1,
                                  .n_in = 1,
                                  .in = { { 4, { 2, 2, 3, 4 } } } };
  const float *const x[] = { reduce_x };
  const size_t size[] = { sizeof reduce_x };
  struct harness h;

  run (&s, x, size, binary_dy, bytes, &h);
  near (options, &h.out, y, bytes, 1e-6);
  near (options, &h.din[0], dx, sizeof reduce_x, 1e-6);
  harness_free (&h);
}

START_TEST (reductions_are_pytorchs)
{
  check_reduce ("op=mean axes=1,2", reduce_mean_y, sizeof reduce_mean_y,
                reduce_mean_dx);
  check_reduce ("op=sum axes=1,3 keep=no", reduce_sum_y, sizeof reduce_sum_y,
                reduce_sum_dx);
  check_reduce ("op=max axes=2,3", reduce_largest_y, sizeof reduce_largest_y,
                reduce_largest_dx);
  check_reduce ("op=min keep=no", reduce_smallest_y, sizeof reduce_smallest_y,
                reduce_smallest_dx);
}
END_TEST

/* ---- ceil mode --------------------------------------------------------- */

static void
check_pool (const char *layer, const char *options, const float *y,
            const float *dy, size_t bytes, const float *dx)
{
  const struct harness_spec s = { .layer = layer,
                                  .options = options,
                                  .flags = QK_PASS_TRAIN,
                                  .threads = 1,
                                  .n_in = 1,
                                  .in = { { 4, { 1, 6, 8, 2 } } } };
  const float *const x[] = { ceil_x };
  const size_t size[] = { sizeof ceil_x };
  struct harness h;

  run (&s, x, size, dy, bytes, &h);
  near (layer, &h.out, y, bytes, 1e-6);
  near (layer, &h.din[0], dx, sizeof ceil_x, 1e-6);
  harness_free (&h);
}

START_TEST (ceil_mode_is_pytorchs)
{
  check_pool ("maxpool2d", "kernel=3 stride=2 ceil=yes", ceil_max_y,
              ceil_max_dy, sizeof ceil_max_dy, ceil_max_dx);
  check_pool ("avgpool2d", "kernel=3 stride=2 padding=1 ceil=yes", ceil_avg_y,
              ceil_avg_dy, sizeof ceil_avg_dy, ceil_avg_dx);
  check_pool ("avgpool2d", "kernel=3 stride=2 padding=1 ceil=yes count_pad=no",
              ceil_avg_inside_y, ceil_avg_inside_dy, sizeof ceil_avg_inside_dy,
              ceil_avg_inside_dx);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("activations-golden");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_add_loop_test (t, activations_are_pytorchs, 0, COUNT (unaries));
  tcase_add_test (t, broadcasting_is_pytorchs);
  tcase_add_test (t, slopes_are_pytorchs);
  tcase_add_test (t, reductions_are_pytorchs);
  tcase_add_test (t, ceil_mode_is_pytorchs);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
