/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_strategies.c: each way of computing a convolution that is right for a
 * shape, against the reference: the same bytes forward, gradients that are
 * equal but for rounding. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conv-rig.h"
#include "lib/ok.h"
#include "qatkit/cpu.h"

static const char *const forwards[] = { "depthwise", "integer", "matrix" };
static const char *const backwards[]
  = { "depthwise", "whole", "winograd", "grouped", "matrix" };
enum { FORWARDS = 3, BACKWARDS = 5 };

static int forward_used[FORWARDS], backward_used[BACKWARDS];

static void
compare_floats (const char *what, const struct qk_tensor *got,
                const struct qk_tensor *want, int64_t n)
{
  const float *a = got->data, *b = want->data;
  double most = 0.0;

  for (int64_t i = 0; i < n; i++)
    most = fabs ((double) b[i]) > most ? fabs ((double) b[i]) : most;
  for (int64_t i = 0; i < n; i++)
    HOLDS (fabs ((double) a[i] - (double) b[i]) <= 2e-5 * most + 1e-6,
           "%s %d: got %.9g, expected %.9g", what, (int) i, (double) a[i],
           (double) b[i]);
}

static void
run (struct rig *b, bool quantized)
{
  if (quantized)
    rig_observing (b, true, true);
  rig_forward (b, QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  rig_checked (b->cls->backward (b->self, &b->io));
}

/* FORWARD and BACKWARD on G; whether they are right for it. */
static bool
compare (const struct rig_given *g, const char *forward, const char *backward,
         bool quantized)
{
  struct rig a, b;
  bool usable;

  rig_open_with (&a, g, forward, backward, BN | RELU, 2, true, quantized, 9);
  rig_open_with (&b, g, "reference", "reference", BN | RELU, 2, true,
                 quantized, 9);
  usable = !a.unusable;
  if (usable) {
    run (&a, quantized);
    run (&b, quantized);
    if (quantized)
      ck_assert_mem_eq (a.out.data, b.out.data,
                        (size_t) qk_shape_count (&a.out_shape));
    else
      compare_floats ("y", &a.out, &b.out, qk_shape_count (&a.out_shape));
    compare_floats ("dx", &a.din, &b.din, qk_shape_count (&a.in_shape));
    for (int i = 0; i < a.io.n_params; i++)
      compare_floats ("dw", &a.dparam[i], &b.dparam[i],
                      qk_shape_count (&a.param[i].shape));
  }
  rig_close (&a);
  rig_close (&b);
  return usable;
}

static void
compare_all (const struct rig_given *g)
{
  for (int quantized = 0; quantized < 2; quantized++) {
    for (int i = 0; i < FORWARDS; i++)
      forward_used[i] += compare (g, forwards[i], "reference", quantized);
    for (int i = 0; i < BACKWARDS; i++)
      backward_used[i] += compare (g, "reference", backwards[i], quantized);
  }
}

START_TEST (strategies)
{
  for (int i = 0; i < RIG_GIVENS; i++)
    compare_all (&rig_givens[i]);
  for (int i = 0; i < RIG_WIDE; i++)
    compare_all (&rig_wide[i]);
  compare_all (&(struct rig_given){
    "conv2d", "out=32 kernel=3 padding=1", { 4, { 2, 17, 17, 16 } } });
  compare_all (&(struct rig_given){
    "conv2d", "out=48 kernel=3 padding_left=1", { 4, { 3, 9, 16, 32 } } });
  compare_all (&(struct rig_given){
    "conv2d", "out=32 kernel=3 padding=1 groups=8", { 4, { 2, 5, 7, 32 } } });
  compare_all (
    &(struct rig_given){ "conv2d",
                         "out=48 kernel=3 padding=1 stride=2 groups=6",
                         { 4, { 3, 9, 4, 48 } } });
  for (int i = 0; i < FORWARDS; i++)
    printf ("%s forward: %d times\n", forwards[i], forward_used[i]);
  for (int i = 0; i < BACKWARDS; i++)
    printf ("%s backward: %d times\n", backwards[i], backward_used[i]);
  /* these need nothing of the machine */
  HOLDS (forward_used[0] && forward_used[2] && backward_used[0]
           && backward_used[4],
         "depthwise or matrix was never right");
#if defined __x86_64__
  HOLDS (qk_cpu_current () < QK_CPU_AVX2 || backward_used[2],
         "winograd was never right");
  HOLDS (qk_cpu_current () < QK_CPU_AVX512 || backward_used[3],
         "grouped was never right");
#endif
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("strategies");
  TCase *t = tcase_create ("strategies");
  SRunner *r;
  int failed;

  tcase_add_test (t, strategies);
  tcase_set_timeout (t, 300);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_ENV);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
