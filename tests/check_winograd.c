/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_winograd.c: windows of 3x3 by transforms (fbgemm) give the bytes of the
 * reference backend, at every CPU level, divided among threads in either way,
 * with sums up to the border of what they can tell apart; and beyond it they
 * are not used. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/context.h>

#include "kernels/case.h"

#define MOST_THREADS 3

/* Weights and inputs. */
enum fill { RANDOM, HIGHEST, LOWEST, TRAINED };

/* C to K channels, H x W outputs of SAMPLES. */
struct shape {
  int c, k, h, w;
  int top, left, bottom, right; /* padding */
  int samples;
  enum fill fill;
  bool suits;
};

static const struct shape shapes[] = {
  { 64, 64, 28, 28, 1, 1, 1, 1, 2, TRAINED, true },
  { 65, 71, 18, 23, 1, 1, 1, 1, 3, RANDOM, true }, /* nothing fits */
  { 96, 80, 11, 30, 0, 2, 1, 0, 2, RANDOM, true }, /* padding of all kinds */
  { 40, 130, 13, 12, 2, 0, 0, 2, 5, RANDOM, true },
  { 64, 96, 14, 13, 1, 1, 1, 1, 9, RANDOM, true },    /* smaller transforms */
  { 32, 64, 20, 4, 1, 1, 1, 1, 8, RANDOM, true },     /* a tile wide */
  { 48, 256, 12, 12, 0, 0, 0, 0, 9, TRAINED, true },  /* channels divided */
  { 115, 32, 16, 16, 0, 0, 0, 0, 1, HIGHEST, true },  /* 2^25 - 35957 */
  { 114, 32, 16, 16, 0, 0, 0, 0, 1, LOWEST, true },   /* 65792 - 2^25 */
  { 116, 32, 16, 16, 0, 0, 0, 0, 1, HIGHEST, false }, /* beyond 2^25 */
  { 115, 32, 16, 16, 0, 0, 0, 0, 1, LOWEST, false },
};

static int8_t
weight (struct qk_rng *r, enum fill fill)
{
  switch (fill) {
  case HIGHEST:
    return 127;
  case LOWEST:
    return -128;
  case TRAINED:
    return (int8_t) (qk_rng_normal (r) * 25);
  default:
    return (int8_t) ((int) qk_rng_below (r, 256) - 128);
  }
}

static void
make (struct kernel_case *c, const struct shape *s, uint64_t seed)
{
  const int64_t each = (int64_t) 9 * s->c;
  const int64_t h = s->h + 2 - s->top - s->bottom;
  const int64_t w = s->w + 2 - s->left - s->right;
  const bool extreme = s->fill == HIGHEST || s->fill == LOWEST;
  struct qk_rng r;

  qk_rng_seed (&r, seed, 0);
  memset (c, 0, sizeof *c);
  c->n = s->samples;
  c->in[0] = (struct qk_shape){ 4, { s->samples, h, w, s->c } };
  c->out = (struct qk_shape){ 4, { s->samples, s->h, s->w, s->k } };
  c->weight = malloc ((size_t) (s->k * each));
  c->bias = malloc ((size_t) s->k * sizeof *c->bias);
  c->multiplier = malloc ((size_t) s->k * sizeof *c->multiplier);
  ck_assert (c->weight != NULL && c->bias != NULL && c->multiplier != NULL);
  for (int64_t i = 0; i < s->k * each; i++)
    c->weight[i] = weight (&r, s->fill);
  for (int i = 0; i < s->k; i++) {
    c->bias[i] = (int32_t) qk_rng_below (&r, 4000) - 2000;
    /* the last bits of the largest sums count: the bias takes the rest */
    if (s->fill == HIGHEST)
      c->bias[i] -= (int32_t) (each * 127 * 255);
    if (s->fill == LOWEST)
      c->bias[i] += (int32_t) (each * 128 * 255);
    c->multiplier[i] = extreme
                         ? 0.03f * (1 + qk_rng_float (&r))
                         : 0.02f / (float) s->c * (1 + qk_rng_float (&r));
  }
  ck_assert_int_eq (
    guard_new (&c->data[0], (size_t) qk_shape_count (&c->in[0]), true), 0);
  for (size_t i = 0; i < c->data[0].size; i++)
    c->data[0].data[i] = extreme ? 255 : (uint8_t) qk_rng_below (&r, 256);
  c->op = (struct qk_op){
    .struct_size = sizeof (struct qk_op),
    .kind = QK_OP_CONV2D,
    .name = "conv",
    .n_in = 1,
    .in_q = { { 0.02f, extreme ? 0 : 7, 0, 255 } },
    .out_q = { 0.03f, 121, 0, 255 },
    .lo = 2,
    .hi = 251,
    .kernel_h = 3,
    .kernel_w = 3,
    .stride_h = 1,
    .stride_w = 1,
    .dilation_h = 1,
    .dilation_w = 1,
    .pad_top = s->top,
    .pad_left = s->left,
    .pad_bottom = s->bottom,
    .pad_right = s->right,
    .groups = 1,
    .in_channels = s->c,
    .out_channels = s->k,
    .weight = c->weight,
    .bias = c->bias,
    .multiplier = c->multiplier,
  };
}

static const struct qk_backend_class *
backend (struct qk_context *ctx, const char *name)
{
  const struct qk_class *c;

  ck_assert_int_eq (qk_context_class (ctx, QK_KIND_BACKEND, name, &c), 0);
  return (const struct qk_backend_class *) (const void *) c;
}

/* What CLS does with C by transforms, by its own account. */
static bool
is_transformed (const struct qk_backend_class *cls, void *self,
                const struct kernel_case *c)
{
  char text[256];
  void *kernel;
  size_t room;

  ck_assert_int_eq (
    cls->prepare (self, &c->op, c->in, &c->out, &kernel, &room), 0);
  ck_assert_int_eq (cls->facts (self, kernel, text, sizeof text), 0);
  cls->release (self, kernel);
  return strstr (text, "winograd=") != NULL;
}

static void
compare (const struct qk_backend_class *cls, int threads,
         const struct kernel_case *c, const struct shape *s,
         const struct guard *want, const char *level)
{
  struct guard got;
  bool intact;
  void *self;

  ck_assert_int_eq (cls->create (NULL, threads, &self), 0);
  ck_assert_msg (is_transformed (cls, self, c) == s->suits,
                 "%s, %d to %d channels", level, s->c, s->k);
  ck_assert_int_eq (case_run (cls, self, c, &got, true, &intact), 0);
  ck_assert (intact && guard_intact (&got));
  ck_assert_msg (memcmp (got.data, want->data, want->size) == 0,
                 "%s, %d threads, %d to %d channels", level, threads, s->c,
                 s->k);
  guard_free (&got);
  cls->destroy (self);
}

START_TEST (same_bytes)
{
  static const char *const levels[]
    = { "portable", "avx2", "avxvnni", "avx512", "avx512vnni" };
  struct qk_context *ctx = qk_context_new ();
  const struct qk_backend_class *reference = backend (ctx, "reference");
  const struct qk_backend_class *cls = backend (ctx, "fbgemm");
  const struct shape *s = &shapes[_i];
  struct qk_backend_caps caps;
  struct kernel_case c;
  struct guard want;
  bool intact;
  void *self;

  make (&c, s, (uint64_t) _i);
  ck_assert_int_eq (reference->create (NULL, 1, &self), 0);
  ck_assert_int_eq (case_run (reference, self, &c, &want, false, &intact), 0);
  reference->destroy (self);
  for (size_t l = 0; l < sizeof levels / sizeof levels[0]; l++) {
    setenv ("QATKIT_CPU", levels[l], 1);
    for (int t = 1; t <= MOST_THREADS && cls->probe (&caps) == 0
                    && strcmp (caps.cpu_level, levels[l]) == 0;
         t++)
      compare (cls, t, &c, s, &want, levels[l]);
  }
  guard_free (&want);
  case_free (&c);
  qk_context_free (ctx);
}
END_TEST

int
main (void)
{
  struct qk_context *ctx = qk_context_new ();
  const struct qk_class *c;
  struct qk_backend_caps caps;
  Suite *s = suite_create ("winograd");
  TCase *t = tcase_create ("winograd");
  SRunner *runner;
  int failed;

  if (qk_context_class (ctx, QK_KIND_BACKEND, "fbgemm", &c) < 0
      || ((const struct qk_backend_class *) (const void *) c)->probe (&caps)
           < 0) {
    printf ("skip: %s\n", qk_error_message ());
    return 77;
  }
  qk_context_free (ctx);
  tcase_set_timeout (t, 120);
  tcase_add_loop_test (t, same_bytes, 0,
                       (int) (sizeof shapes / sizeof shapes[0]));
  suite_add_tcase (s, t);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_NORMAL);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
