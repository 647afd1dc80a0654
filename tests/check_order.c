/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_order.c: the order of an epoch, shuffled and balanced, and samples
 * mixed with one another. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/mix.h"
#include "data/order.h"
#include "lib/ok.h"

/* ---- orders ------------------------------------------------------------------ */

/* 60 samples of category 0, 30 of 2, 7 of 5, every tenth of none. */
static int64_t
category (void *self, int64_t index)
{
  (void) self;
  if (index % 10 == 9)
    return QK_NO_CATEGORY;
  return index < 67 ? 0 : index < 100 ? 2 : 5;
}

static const struct qk_dataset_class unequal
  = { .cls = { .name = "unequal" }, .category = category };
static const struct qk_dataset_class silent = { .cls = { .name = "silent" } };

#define COUNT 108

START_TEST (balanced)
{
  struct qk_groups *g;
  struct qk_rng rng;

  OK (qk_groups_new (&unequal, NULL, COUNT, &g));
  for (uint64_t epoch = 0; epoch < 20; epoch++) {
    int64_t order[COUNT], again[COUNT];
    int of[6] = { 0 }, times[COUNT] = { 0 };

    qk_rng_seed (&rng, 1, epoch);
    qk_order_balance (g, order, COUNT, &rng);
    for (int i = 0; i < COUNT; i++) {
      ck_assert (order[i] >= 0 && order[i] < COUNT);
      ck_assert_int_ge (category (NULL, order[i]), 0);
      of[category (NULL, order[i])]++;
      times[order[i]]++;
    }
    ck_assert_int_eq (of[0], 36);
    ck_assert_int_eq (of[2], 36);
    ck_assert_int_eq (of[5], 36);
    for (int i = 0; i < COUNT; i++) {
      const int64_t c = category (NULL, i);
      /* 36 of 61, of 29, of 8 samples */
      const int least = c == 0 ? 0 : c == 2 ? 1 : c == 5 ? 4 : 0;

      if (c >= 0)
        ck_assert (times[i] >= least && times[i] <= least + 1);
    }
    /* the epoch says it all, not what was before */
    qk_rng_seed (&rng, 1, epoch);
    qk_order_balance (g, again, COUNT, &rng);
    ck_assert_mem_eq (order, again, sizeof order);
    qk_rng_seed (&rng, 1, epoch + 1);
    qk_order_balance (g, again, COUNT, &rng);
    ck_assert (memcmp (order, again, sizeof order) != 0);
  }
  qk_groups_free (g);
}
END_TEST

/* A number that the groups do not divide: nobody is short of more than one. */
START_TEST (balanced_rest)
{
  int64_t order[COUNT];
  struct qk_groups *g;
  struct qk_rng rng;
  int more[6] = { 0 };

  OK (qk_groups_new (&unequal, NULL, COUNT, &g));
  qk_rng_seed (&rng, 3, 3);
  for (int k = 0; k < 60; k++) {
    int of[6] = { 0 };

    qk_order_balance (g, order, 100, &rng);
    for (int i = 0; i < 100; i++)
      of[category (NULL, order[i])]++;
    for (int c = 0; c < 6; c++) {
      ck_assert (of[c] == 0 || of[c] == 33 || of[c] == 34);
      more[c] += of[c] == 34;
    }
  }
  ck_assert_int_eq (more[0] + more[2] + more[5], 60);
  ck_assert (more[0] > 5 && more[2] > 5 && more[5] > 5);
  qk_groups_free (g);
}
END_TEST

START_TEST (refused)
{
  struct qk_groups *g;

  ck_assert_int_eq (qk_groups_new (&silent, NULL, COUNT, &g), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "dataset silent"));
  /* sample 9 alone */
  ck_assert_int_eq (qk_groups_new (&unequal, NULL, 0, &g), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "no sample has"));
}
END_TEST

/* ---- mixing ------------------------------------------------------------------ */

/* Mean 1 / 2 and variance 1 / (4 (2 a + 1)) of Beta (a, a); the share of the
 * batches, and of the two ways. */
START_TEST (drawn)
{
  static const double alphas[] = { 0.2, 1, 4 };

  for (int k = 0; k < 3; k++) {
    const double a = alphas[k];
    const struct qk_mix_options o = { a, a, 0.75 };
    double sum = 0, squares = 0;
    int mixed = 0, pasted = 0;
    struct qk_rng rng;

    qk_rng_seed (&rng, 1, (uint64_t) k);
    for (int i = 0; i < 20000; i++) {
      struct qk_mix m;

      qk_mix_draw (&o, &rng, &m);
      ck_assert (m.own >= 0 && m.own <= 1);
      if (!m.mixed) {
        ck_assert_double_eq (m.own, 1);
        continue;
      }
      mixed++;
      pasted += m.paste;
      sum += m.own;
      squares += (m.own - 0.5) * (m.own - 0.5);
    }
    ck_assert_int_lt (abs (mixed - 15000), 300);
    ck_assert_int_lt (abs (pasted - mixed / 2), 300);
    ck_assert_double_eq_tol (sum / mixed, 0.5, 0.015);
    ck_assert_double_eq_tol (squares / mixed, 1 / (4 * (2 * a + 1)), 0.006);
  }
}
END_TEST

/* torchvision's RandomCutmix: half sides int (0.5 sqrt (1 - own) side) around
 * int (random side), cut off; what is left is the share. */
START_TEST (box)
{
  const struct qk_tensor_spec spec = { .shape = { 4, { 1, 20, 30, 2 } } };
  const struct qk_mix m = { true, true, 0.75, 0.95, 0.5 };
  static float x[20 * 30 * 2], other[20 * 30 * 2];
  struct qk_mix_box b;
  int n = 0;

  qk_mix_find_box (&m, 20, 30, &b);
  ck_assert_int_eq (b.top, 10 - 5);
  ck_assert_int_eq (b.bottom, 10 + 5);
  ck_assert_int_eq (b.left, 28 - 7);
  ck_assert_int_eq (b.right, 30);
  ck_assert_double_eq_tol (qk_mix_own (&m, &spec), 1 - 90.0 / 600, 1e-12);
  for (int i = 0; i < 20 * 30 * 2; i++)
    other[i] = 1;
  qk_mix_sample (&m, &spec, x, other);
  for (int i = 0; i < 20 * 30; i++) {
    const int row = i / 30, column = i % 30;
    const bool in = row >= 5 && row < 15 && column >= 21;

    ck_assert (x[2 * i] == (in ? 1 : 0) && x[2 * i + 1] == x[2 * i]);
    n += in;
  }
  ck_assert_int_eq (n, 90);
}
END_TEST

START_TEST (blended)
{
  const struct qk_tensor_spec spec = { .shape = { 2, { 1, 2 } } };
  const struct qk_mix m = { true, false, 0.25, 0, 0 };
  float x[] = { 4, -8 };
  const float other[] = { 8, 4 };

  ck_assert_double_eq (qk_mix_own (&m, &spec), 0.25);
  qk_mix_sample (&m, &spec, x, other);
  ck_assert_float_eq (x[0], 7);
  ck_assert_float_eq (x[1], 1);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("order");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_test (t, balanced);
  tcase_add_test (t, balanced_rest);
  tcase_add_test (t, refused);
  tcase_add_test (t, drawn);
  tcase_add_test (t, box);
  tcase_add_test (t, blended);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
