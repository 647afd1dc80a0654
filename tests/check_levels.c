/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_levels.c: the forward pass of training gives the same bytes at every
 * CPU level that this machine has as in portable C: a process for each, with
 * $QATKIT_CPU. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/conv-rig.h"
#include "lib/layer-cases.h"
#include "lib/ok.h"
#include "qatkit/cpu.h"

/* FNV-1a over SIZE bytes. */
static uint64_t
hash (uint64_t h, const void *data, size_t size)
{
  const uint8_t *x = data;

  for (size_t i = 0; i < size; i++)
    h = (h ^ x[i]) * 1099511628211u;
  return h;
}

/* What forward makes of G: the output, its grid, running statistics. */
static uint64_t
forward_hash (const struct rig_given *g, int what, int bits, uint64_t h)
{
  struct rig b;
  uint8_t *x;

  rig_open (&b, g, what, 2, true, true, 11);
  rig_observing (&b, true, true);
  if (bits == 7) {
    x = b.in.data;
    for (int64_t i = 0; i < qk_shape_count (&b.in_shape); i++)
      x[i] &= 127;
    b.in.q.qmax = 127;
    b.in.q.zero_point &= 127;
  }
  for (int step = 0; step < 2; step++) { /* batch, then stored statistics */
    rig_forward (&b,
                 step ? QK_PASS_TRAIN : QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
    h = hash (h, b.out.data, (size_t) qk_shape_count (&b.out_shape));
    h = hash (h, &b.out.q.scale, sizeof b.out.q.scale);
  }
  for (int i = 0; i < b.io.n_params; i++)
    h = hash (h, b.param[i].data,
              4 * (size_t) qk_shape_count (&b.param[i].shape));
  rig_close (&b);
  return h;
}

/* The bytes that layers without a weight make of bytes. */
static uint64_t
case_hash (struct qk_context *ctx, const struct layer_case *c, uint64_t h)
{
  struct harness_spec s = layer_case_spec (c, 0, 2);
  struct qk_rng rng;
  struct harness l;

  s.flags = 0;
  s.q = (struct qk_qparams){ 0.05f, 100, 0, 255 };
  for (int i = 0; i < c->n_in; i++)
    s.dtype[i] = QK_U8;
  OK (harness_new (ctx, &s, &l));
  if (l.cls->quantized && l.traits.role == QK_ROLE_OTHER) {
    qk_rng_seed (&rng, 5, 1);
    for (int i = 0; i < c->n_in; i++)
      harness_fill (&l.in[i], &rng, 0, 255);
    l.out.q = s.q;
    OK (harness_forward (&l));
    h = hash (h, l.out.data, harness_bytes (&l.out));
  }
  harness_free (&l);
  return h;
}

static uint64_t
all_hashes (void)
{
  struct qk_context *ctx = qk_context_new ();
  uint64_t h = 14695981039346656037u;

  for (int i = 0; i < n_layer_cases; i++)
    h = case_hash (ctx, &layer_cases[i], h);
  qk_context_free (ctx);

  for (int bits = 7; bits <= 8; bits++) {
    for (int i = 0; i < RIG_GIVENS; i++) {
      h = forward_hash (&rig_givens[i], BN | RELU6, bits, h);
      h = forward_hash (&rig_givens[i], PER_TENSOR, bits, h);
    }
    for (int i = 0; i < RIG_WIDE; i++)
      h = forward_hash (&rig_wide[i], BN | RELU, bits, h);
    for (int i = 0; i < RIG_LARGE; i++)
      h = forward_hash (&rig_large[i], BN | RELU, bits, h);
  }
  return h;
}

/* The same in a process of its own at LEVEL. */
static uint64_t
hashes_at (enum qk_cpu_level level)
{
  uint64_t h = 0;
  int pipes[2], status;
  pid_t child;

  ck_assert_int_eq (pipe (pipes), 0);
  child = fork ();
  ck_assert_int_ge (child, 0);
  if (child == 0) {
    setenv ("QATKIT_CPU", qk_cpu_level_name (level), 1);
    h = all_hashes ();
    _exit (write (pipes[1], &h, sizeof h) == sizeof h ? 0 : 1);
  }
  close (pipes[1]);
  ck_assert_int_eq (read (pipes[0], &h, sizeof h), sizeof h);
  close (pipes[0]);
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
  return h;
}

START_TEST (forward_bytes)
{
  const uint64_t want = hashes_at (QK_CPU_PORTABLE);

  for (int l = QK_CPU_PORTABLE + 1; l < QK_CPU_LEVELS; l++) {
    const enum qk_cpu_level level = (enum qk_cpu_level) l;

    if (!qk_cpu_has (level)) {
      printf ("%s: not here\n", qk_cpu_level_name (level));
      continue;
    }
    ck_assert_msg (hashes_at (level) == want, "%s differs from portable",
                   qk_cpu_level_name (level));
  }
}
END_TEST

/* A level that nobody knows is an error; one of another family is no limit. */
START_TEST (cap)
{
  enum qk_cpu_level level, best;

  unsetenv ("QATKIT_CPU");
  ck_assert_int_eq (qk_cpu_best (QK_CPU_X86, &best), 0);
  setenv ("QATKIT_CPU", "neon", 1);
  ck_assert_int_eq (qk_cpu_best (QK_CPU_X86, &level), 0);
  ck_assert_int_eq (level, best);
  setenv ("QATKIT_CPU", "portable", 1);
  ck_assert_int_eq (qk_cpu_best (QK_CPU_X86, &level), 0);
  ck_assert_int_eq (level, QK_CPU_PORTABLE);
  setenv ("QATKIT_CPU", "sse9", 1);
  ck_assert_int_eq (qk_cpu_best (QK_CPU_X86, &level), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "sse9"));
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("levels");
  TCase *t = tcase_create ("levels");
  SRunner *r;
  int failed;

  tcase_add_test (t, cap);
  tcase_add_test (t, forward_bytes);
  tcase_set_timeout (t, 300);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_ENV);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
