/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_arena.c: buffers that live at the same time lie apart, in little more
 * memory than they need, and addresses stay with one of two threads. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/rng.h>

#include "exec/arena.h"
#include "lib/ok.h"

enum { NODES = 60, KIB = 1024 };

/* The buffers of a network of NODES layers whose tensors shrink: what is kept
 * from forward to backward, gradients, and scratch for all of the time. */
static void
add_network (struct qk_arena *a, struct qk_rng *rng)
{
  ck_assert_int_ge (qk_arena_add (a, 3000 * KIB, 0, 2 * NODES), 0);
  for (int i = 0; i < NODES; i++) {
    const size_t size
      = (size_t) (4000 / (i / 6 + 1)) * KIB * (qk_rng_below (rng, 3) + 1);

    ck_assert_int_ge (qk_arena_add (a, size / 4, i, 2 * NODES - i), 0);
    ck_assert_int_ge (qk_arena_add (a, size, 2 * NODES - i - 1, 2 * NODES - i),
                      0);
    ck_assert_int_ge (
      qk_arena_add (a, qk_rng_below (rng, 9000) + 1, 0, 2 * NODES - i), 0);
  }
}

static bool
together (const struct qk_buffer *a, const struct qk_buffer *b)
{
  return a->first <= b->last && b->first <= a->last;
}

/* Most bytes that live at one time. */
static size_t
needed (const struct qk_arena *a)
{
  size_t most = 0;

  for (int t = 0; t <= 2 * NODES; t++) {
    size_t sum = 0;

    for (int i = 0; i < a->n; i++)
      if (a->buffer[i].first <= t && t <= a->buffer[i].last)
        sum += a->buffer[i].size;
    most = sum > most ? sum : most;
  }
  return most;
}

/* Bytes from AT to END that lie in [FROM, TO). */
static size_t
common (size_t at, size_t end, size_t from, size_t to)
{
  at = at > from ? at : from;
  end = end < to ? end : to;
  return end > at ? end - at : 0;
}

/* Bytes that the first thread has in one buffer and the second in another,
 * over all pairs. */
static double
changes (const struct qk_arena *a)
{
  double sum = 0;

  for (int i = 0; i < a->n; i++)
    for (int j = 0; j < a->n; j++) {
      const struct qk_buffer *x = &a->buffer[i], *y = &a->buffer[j];

      if (!together (x, y))
        sum += (double) common (x->offset, x->offset + x->size / 2,
                                y->offset + y->size / 2, y->offset + y->size);
    }
  return sum;
}

static void
check_apart (const struct qk_arena *a)
{
  for (int i = 0; i < a->n; i++) {
    const struct qk_buffer *x = &a->buffer[i];

    ck_assert_uint_eq (x->offset % 64, 0);
    ck_assert_uint_le (x->offset + x->size, a->size);
    for (int j = 0; j < i; j++) {
      const struct qk_buffer *y = &a->buffer[j];

      if (together (x, y))
        ck_assert (x->offset + x->size <= y->offset
                   || y->offset + y->size <= x->offset);
    }
  }
}

/* Places the same network with and without middles. */
START_TEST (networks)
{
  struct qk_arena a[2] = { { .middles = false }, { .middles = true } };
  struct qk_rng rng;

  for (int i = 0; i < 2; i++) {
    qk_rng_seed (&rng, 11, (uint64_t) _i);
    add_network (&a[i], &rng);
    OK (qk_arena_build (&a[i], SIZE_MAX, "test"));
    check_apart (&a[i]);
    ck_assert_uint_ge (a[i].size, needed (&a[i]));
    ck_assert_msg ((double) a[i].size <= 1.1 * (double) needed (&a[i]),
                   "%zu bytes for %zu", a[i].size, needed (&a[i]));
  }
  ck_assert_msg (changes (&a[1]) < 0.5 * changes (&a[0]),
                 "%.0f bytes change hands, %.0f without middles",
                 changes (&a[1]), changes (&a[0]));
  qk_arena_clear (&a[0]);
  qk_arena_clear (&a[1]);
}
END_TEST

START_TEST (addresses)
{
  struct qk_arena a = { .middles = false };
  char *base;

  ck_assert_int_eq (qk_arena_add (&a, 100, 0, 3), 0);
  ck_assert_int_eq (qk_arena_add (&a, 0, 0, 3), 1);
  ck_assert_int_eq (qk_arena_add (&a, 30, 1, 1), 2);
  qk_arena_extend (&a, 2, 5);
  OK (qk_arena_build (&a, SIZE_MAX, "test"));
  base = qk_arena_at (&a, 0);
  ck_assert_ptr_nonnull (base);
  ck_assert_ptr_null (qk_arena_at (&a, 1));
  ck_assert_ptr_null (qk_arena_at (&a, -1));
  ck_assert_ptr_eq (qk_arena_at (&a, 2), base + 128);
  qk_arena_clear (&a);
}
END_TEST

START_TEST (too_much)
{
  struct qk_arena a = { .middles = false };

  ck_assert_int_eq (qk_arena_add (&a, SIZE_MAX / 2, 0, 3), -ENOMEM);
  ck_assert_int_eq (qk_arena_add (&a, (size_t) 5 << 20, 0, 3), 0);
  ck_assert_int_eq (qk_arena_build (&a, (size_t) 2 << 20, "tensors"), -ENOMEM);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "tensors: 5 MB"));
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "may take 2 MB"));
  qk_arena_clear (&a);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("arena");
  TCase *tc = tcase_create ("arena");
  SRunner *runner;
  int failed;

  tcase_add_loop_test (tc, networks, 0, 6);
  tcase_add_test (tc, addresses);
  tcase_add_test (tc, too_much);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
