/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_layers.c: what holds for every layer there is: its gradients are
 * those of its forward, it stays within its memory, it says truly what it
 * needs, and results repeat.
 *
 * Derivatives: central differences with steps h = 1/32 and h/2 of
 * L = sum dout * out, summed in double, combined to fourth order
 * (Richardson).  Forward is float32, so L is good to about 1e-6 and the
 * difference to about 1e-4; allowed: 1e-3 + 2e-3 |derivative|. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/context.h"
#include "lib/layer-cases.h"
#include "lib/ok.h"

#define STEP 0.03125f
#define ABSOLUTE 1e-3
#define RELATIVE 2e-3

static const char *
case_name (const struct layer_case *c)
{
  static _Thread_local char buf[200];

  snprintf (buf, sizeof buf, "%s (%s)%s%s", c->layer,
            c->options != NULL ? c->options : "",
            c->absorb != NULL ? " + " : "",
            c->absorb != NULL ? c->absorb : "");
  return buf;
}

static void
must (int err, const struct layer_case *c)
{
  ck_assert_msg (err >= 0, "%s: %s", case_name (c), qk_error_message ());
}

static void
make (const struct layer_case *c, int64_t n, int threads, struct harness *h)
{
  const struct harness_spec s = layer_case_spec (c, n, threads);

  must (harness_new (ctx, &s, h), c);
  layer_case_fill (c, h, 7);
}

/* ---- gradients ---------------------------------------------------------*/

/* Buffers are updated by forward; put them back so that every evaluation
 * sees the same network. */
static void
copy_buffers (struct harness *h, float *store, bool restore)
{
  for (int i = 0; i < h->n_params; i++) {
    const size_t n = (size_t) qk_shape_count (&h->param[i].shape);

    if ((h->spec[i].flags & QK_PARAM_BUFFER) == 0)
      continue;
    if (restore)
      memcpy (h->param[i].data, store, n * sizeof (float));
    else
      memcpy (store, h->param[i].data, n * sizeof (float));
    store += n;
  }
}

static double
objective (const struct layer_case *c, struct harness *h)
{
  const int64_t n = qk_shape_count (&h->out.shape);
  float buffers[64];
  double sum = 0;

  copy_buffers (h, buffers, false);
  must (harness_forward (h), c);
  copy_buffers (h, buffers, true);
  for (int64_t i = 0; i < n; i++)
    sum += (double) ((float *) h->dout.data)[i]
           * (double) ((float *) h->out.data)[i];
  return sum;
}

/* (f (x + h) - f (x - h)) / 2h; the step is what x really moved. */
static double
difference (const struct layer_case *c, struct harness *h, float *x,
            float step)
{
  const float x0 = *x, hi = x0 + step, lo = x0 - step;
  double a, b;

  *x = hi;
  a = objective (c, h);
  *x = lo;
  b = objective (c, h);
  *x = x0;
  return (a - b) / ((double) hi - (double) lo);
}

struct tally {
  int64_t compared, skipped;
};

static void
compare (const struct layer_case *c, struct harness *h, const char *what,
         const struct qk_tensor *x, const float *gradient, struct tally *tally)
{
  const int64_t n = qk_shape_count (&x->shape);

  for (int64_t i = 0; i < n; i++) {
    float *xi = (float *) x->data + i;
    const double d1 = difference (c, h, xi, STEP);
    const double d2 = difference (c, h, xi, STEP / 2);
    const double d = (4 * d2 - d1) / 3;
    const double allowed = ABSOLUTE + RELATIVE * fabs (d);

    /* a smooth function's two differences differ by O(h^2) only */
    if (c->kinks > 0 && fabs (d1 - d2) > 4 * allowed) {
      tally->skipped++;
      continue;
    }
    tally->compared++;
    HOLDS (fabs ((double) gradient[i] - d) <= allowed,
           "%s: gradient by %s[%lld] is %.6g, differences give %.6g",
           case_name (c), what, (long long) i, (double) gradient[i], d);
  }
}

/* Analytic gradients are read once, since every forward changes the state;
 * gradients of parameters are added to what was there. */
static void
check_gradients (const struct layer_case *c)
{
  struct tally tally = { 0, 0 };
  struct harness h;
  char what[32];

  make (c, 0, 1, &h);
  for (int i = 0; i < h.n_params; i++)
    for (int64_t k = 0;
         h.dparam[i].data != NULL && k < qk_shape_count (&h.dparam[i].shape);
         k++)
      ((float *) h.dparam[i].data)[k] = 0.25f;
  objective (c, &h);
  must (harness_backward (&h), c);
  for (int i = 0; i < h.io.n_in; i++) {
    snprintf (what, sizeof what, "in[%d]", i);
    if (h.din[i].data != NULL)
      compare (c, &h, what, &h.in[i], h.din[i].data, &tally);
  }
  for (int i = 0; i < h.n_params; i++)
    if (h.dparam[i].data != NULL) {
      float *g = h.dparam[i].data;

      for (int64_t k = 0; k < qk_shape_count (&h.dparam[i].shape); k++)
        g[k] -= 0.25f;
      compare (c, &h, h.spec[i].name, &h.param[i], g, &tally);
    }
  ck_assert_int_gt (tally.compared, 0);
  ck_assert_msg ((double) tally.skipped
                   <= c->kinks * (double) (tally.compared + tally.skipped),
                 "%s: %lld of %lld derivatives were on a kink", case_name (c),
                 (long long) tally.skipped,
                 (long long) (tally.compared + tally.skipped));
  harness_free (&h);
}

START_TEST (gradients) { check_gradients (&layer_cases[_i]); }
END_TEST

/* Every installed layer that can be trained is in the table. */
START_TEST (every_layer_has_a_case)
{
  char **names;
  int n = 0;

  ck_assert_int_ge (qk_context_list (ctx, QK_KIND_LAYER, &names), 0);
  for (; names[n] != NULL; n++) {
    int found = 0;

    for (int i = 0; i < n_layer_cases; i++)
      found += strcmp (layer_cases[i].layer, names[n]) == 0;
    ck_assert_msg (found > 0, "layer %s has no case in lib/layer-cases.c",
                   names[n]);
  }
  ck_assert_int_ge (n, 21);
  qk_names_free (names);
}
END_TEST

/* ---- repeating ---------------------------------------------------------*/

/* All results of one forward and backward, one after the other. */
static float *
results (const struct layer_case *c, int64_t n, int threads, bool no_din,
         size_t *count)
{
  struct harness h;
  float *all;
  size_t size, used = 0;

  make (c, n, threads, &h);
  for (int i = 0; i < h.io.n_in && no_din; i++)
    harness_tensor_free (&h.din[i]);
  must (harness_forward (&h), c);
  size = harness_bytes (&h.out) * 2;
  for (int i = 0; i < h.io.n_in; i++)
    size += harness_bytes (&h.in[i]);
  for (int i = 0; i < h.n_params; i++)
    size += 2 * harness_bytes (&h.param[i]);
  all = calloc (1, size);
  ck_assert_ptr_nonnull (all);
  must (harness_backward (&h), c);
#define APPEND(t)                                                             \
  if ((t).data != NULL) {                                                     \
    memcpy (all + used, (t).data, harness_bytes (&(t)));                      \
    used += harness_bytes (&(t)) / sizeof *all;                               \
  }
  for (int i = 0; i < h.n_params; i++) {
    APPEND (h.param[i]);
    APPEND (h.dparam[i]);
  }
  APPEND (h.out);
  for (int i = 0; i < h.io.n_in; i++)
    APPEND (h.din[i]);
#undef APPEND
  harness_free (&h);
  *count = used;
  return all;
}

/* Enough samples to make layers use threads. */
static int64_t
many (const struct layer_case *c)
{
  int64_t sample = qk_shape_count (&c->in[0]) / c->in[0].dims[0];

  return 40000 / sample + 3;
}

START_TEST (same_threads_same_bits)
{
  const struct layer_case *c = &layer_cases[_i];

  for (int threads = 1; threads <= 3; threads++) {
    size_t na, nb;
    float *a = results (c, many (c), threads, false, &na);
    float *b = results (c, many (c), threads, false, &nb);

    ck_assert_uint_eq (na, nb);
    ck_assert_msg (memcmp (a, b, na * sizeof *a) == 0,
                   "%s: two runs with %d threads differ", case_name (c),
                   threads);
    free (a);
    free (b);
  }
}
END_TEST

/* Only the order of sums may change with the number of threads. */
START_TEST (threads_agree)
{
  const struct layer_case *c = &layer_cases[_i];
  size_t n1, n3;
  float *a = results (c, many (c), 1, false, &n1);
  float *b = results (c, many (c), 3, false, &n3);

  ck_assert_uint_eq (n1, n3);
  for (size_t i = 0; i < n1; i++)
    HOLDS (fabs ((double) a[i] - (double) b[i])
             <= 1e-3 + 1e-4 * fabs ((double) a[i]),
           "%s: result %zu is %g with 1 thread, %g with 3", case_name (c), i,
           (double) a[i], (double) b[i]);
  free (a);
  free (b);
}
END_TEST

/* Where no gradient by the input is wanted, the others are the same. */
START_TEST (input_gradient_is_optional)
{
  const struct layer_case *c = &layer_cases[_i];
  size_t n_all, n_some;
  float *all = results (c, 0, 1, false, &n_all);
  float *some = results (c, 0, 1, true, &n_some);

  ck_assert_uint_lt (n_some, n_all);
  ck_assert_msg (memcmp (all, some, n_some * sizeof *all) == 0,
                 "%s: results change when no input gradient is wanted",
                 case_name (c));
  free (all);
  free (some);
}
END_TEST

/* The wrong number of inputs is an error with the layer's name in it. */
START_TEST (inputs_are_checked)
{
  const struct layer_case *c = &layer_cases[_i];
  struct harness_spec s = layer_case_spec (c, 0, 1);
  struct harness h;

  s.n_in = c->n_in == 1 ? 2 : 1;
  s.in[1] = s.in[0];
  ck_assert_int_lt (harness_new (ctx, &s, &h), 0);
  ck_assert_msg (strstr (qk_error_message (), c->layer) != NULL,
                 "%s: the error does not name the layer: %s", case_name (c),
                 qk_error_message ());
  harness_free (&h);
}
END_TEST

/* ---- errors of single layers --------------------------------------------*/

static void
expect_error (const char *layer, const char *options, struct qk_shape in,
              const char *sentence)
{
  const struct harness_spec s = {
    .layer = layer, .options = options, .threads = 1, .n_in = 1, .in = { in }
  };
  struct harness h;
  const int err = harness_new (ctx, &s, &h);

  ck_assert_msg (err < 0 && strstr (qk_error_message (), sentence) != NULL,
                 "%s %s: expected \"%s\", got %d \"%s\"", layer, options,
                 sentence, err, qk_error_message ());
  harness_free (&h);
}

START_TEST (bad_options_and_shapes)
{
  const struct qk_shape image = { 4, { 1, 4, 4, 3 } };
  const struct qk_shape vector = { 2, { 1, 4 } };
  const struct qk_shape scalar = { 1, { 4 } };

  expect_error ("maxpool2d", "kernel=2 padding_left=2", image,
                "along the width sees only padding");
  expect_error ("maxpool2d", "kernel_h=2", image, "no width");
  expect_error ("maxpool2d", "kernel_h=300 kernel_w=300 padding=299", image,
                "at most 65535");
  expect_error ("maxpool2d", "kernel=9", image, "9 pixels");
  expect_error ("maxpool2d", "kernel=2 padding=1 dilation=5", image,
                "only padding");
  expect_error ("maxpool2d", "stride=2", image, "kernel");
  expect_error ("maxpool2d", "kernel=2", vector, "(N,H,W,C)");
  expect_error ("avgpool2d", "kernel=0", image, "kernel");
  expect_error ("global_avgpool", "", vector, "(N,H,W,C)");
  expect_error ("batchnorm2d", "", scalar, "(N,…,C)");
  expect_error ("batchnorm2d", "eps=0", image, "eps");
  expect_error ("dropout", "p=1", image, "p");
  expect_error ("reduce", "axes=0", image, "axes are '0'");
  expect_error ("reduce", "axes=1,x", image, "axes are '1,x'");
  expect_error ("reduce", "axes=4", image, "(1,4,4,3)");
  expect_error ("prelu", "", scalar, "(N,…,C)");
  expect_error ("clip", "min=2 max=1", image, "min is 2");
}
END_TEST

/* One harness for the faults that show in forward. */
static void
open_layer (const char *layer, unsigned flags, struct qk_shape in,
            struct harness *h)
{
  const struct harness_spec s = {
    .layer = layer, .flags = flags, .threads = 1, .n_in = 1, .in = { in }
  };

  ck_assert_msg (harness_new (ctx, &s, h) == 0, "%s", qk_error_message ());
}

START_TEST (bad_numbers)
{
  struct harness h;
  const struct qk_shape one = { 2, { 1, 3 } };

  open_layer ("batchnorm2d", QK_PASS_TRAIN | QK_PASS_BATCH_STATS, one, &h);
  ck_assert_int_eq (harness_forward (&h), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "more than 1 value"));
  harness_free (&h);

  open_layer ("batchnorm2d", 0, one, &h);
  ((float *) h.param[3].data)[2] = -1.0f;
  ck_assert_int_eq (harness_forward (&h), -EDOM);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "running_var[2]"));
  harness_free (&h);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("layers");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_set_timeout (t, 120);
  tcase_add_test (t, every_layer_has_a_case);
  tcase_add_loop_test (t, gradients, 0, n_layer_cases);
  tcase_add_loop_test (t, same_threads_same_bits, 0, n_layer_cases);
  tcase_add_loop_test (t, threads_agree, 0, n_layer_cases);
  tcase_add_loop_test (t, input_gradient_is_optional, 0, n_layer_cases);
  tcase_add_loop_test (t, inputs_are_checked, 0, n_layer_cases);
  tcase_add_test (t, bad_options_and_shapes);
  tcase_add_test (t, bad_numbers);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
