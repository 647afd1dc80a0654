/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_joined.c: backends that run an addition together with the convolution
 * or linear layer before it give the bytes of the reference backend, which
 * runs one after the other; whatever way the products are made and divided
 * among threads. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/context.h>

#include "kernels/case.h"

#define MOST_THREADS 3

/* A product: C to K channels, SIDE x SIDE inputs, or a linear layer (SIDE 0),
 * of SAMPLES. */
struct shape {
  int c, k, side, window, stride, groups, samples;
};

static const struct shape shapes[] = {
  { 64, 256, 7, 1, 1, 1, 3 },  /* the input itself, several pieces */
  { 24, 37, 5, 1, 1, 1, 2 },   /* a last block that is not full */
  { 16, 48, 21, 3, 1, 1, 2 },  /* windows by a table, or copied */
  { 3, 32, 23, 3, 2, 1, 2 },   /* windows line by line */
  { 512, 512, 2, 1, 1, 1, 1 }, /* channels divided among threads */
  { 128, 192, 3, 3, 1, 1, 1 }, /* the same for windows */
  { 32, 64, 8, 3, 1, 4, 1 },   /* groups: one after the other */
  { 32, 32, 9, 3, 1, 32, 2 },  /* depthwise: likewise */
  { 200, 96, 0, 1, 1, 1, 5 },  /* linear */
  { 96, 64, -37, 1, 1, 1, 3 }, /* the same on 37 rows of a sample */
};

struct pair {
  struct qk_op product, add;
  struct qk_shape in, out;
  int64_t n;
  struct guard x, other;
  int8_t *weight;
  int32_t *bias;
  float *multiplier;
};

static void
fill (struct guard *g, int64_t size, struct qk_rng *r)
{
  ck_assert_int_eq (guard_new (g, (size_t) size, false), 0);
  for (int64_t i = 0; i < size; i++)
    g->data[i] = (uint8_t) qk_rng_below (r, 256);
}

static void
fill_weights (struct pair *p, const struct shape *s, struct qk_rng *r)
{
  const int64_t each = (int64_t) s->window * s->window * (s->c / s->groups);

  p->weight = malloc ((size_t) (s->k * each));
  p->bias = malloc ((size_t) s->k * sizeof *p->bias);
  p->multiplier = malloc ((size_t) s->k * sizeof *p->multiplier);
  ck_assert (p->weight != NULL && p->bias != NULL && p->multiplier != NULL);
  for (int64_t i = 0; i < s->k * each; i++)
    p->weight[i] = (int8_t) ((int) qk_rng_below (r, 255) - 127);
  for (int i = 0; i < s->k; i++) {
    p->bias[i] = (int32_t) qk_rng_below (r, 4000) - 2000;
    p->multiplier[i] = 0.01f / (float) each * (1 + qk_rng_float (r));
  }
  p->product.weight = p->weight;
  p->product.bias = p->bias;
  p->product.multiplier = p->multiplier;
}

static void
make (struct pair *p, const struct shape *s, uint64_t seed)
{
  const int pad = s->window / 2;
  const int q
    = s->side <= 0 ? 1 : (s->side + 2 * pad - s->window) / s->stride + 1;
  const struct qk_qparams in = { 0.02f, 7, 0, 255 };
  const struct qk_qparams middle = { 0.03f, 121, 0, 255 };
  const struct qk_qparams other = { 0.025f, 90, 0, 255 };
  const struct qk_qparams out = { 0.04f, 60, 0, 255 };
  struct qk_rng r;

  qk_rng_seed (&r, seed, 0);
  memset (p, 0, sizeof *p);
  p->n = s->samples;
  p->product = (struct qk_op){
    .struct_size = sizeof (struct qk_op),
    .kind = s->side <= 0 ? QK_OP_LINEAR : QK_OP_CONV2D,
    .name = "product",
    .n_in = 1,
    .in_q = { in },
    .out_q = middle,
    .lo = 0,
    .hi = 255,
    .kernel_h = s->window,
    .kernel_w = s->window,
    .stride_h = s->stride,
    .stride_w = s->stride,
    .pad_top = pad,
    .pad_left = pad,
    .pad_bottom = pad,
    .pad_right = pad,
    .dilation_h = 1,
    .dilation_w = 1,
    .groups = s->groups,
    .in_channels = s->c,
    .out_channels = s->k,
  };
  /* the product is either term */
  p->add = (struct qk_op){ .struct_size = sizeof (struct qk_op),
                           .kind = QK_OP_BINARY,
                           .function = (int) (seed / 2 % QK_FUNCTIONS),
                           .name = "add",
                           .n_in = 2,
                           .out_q = out,
                           .lo = 3,
                           .hi = 250 };
  p->add.in_q[seed % 2] = middle;
  p->add.in_q[1 - seed % 2] = other;
  if (s->side == 0) {
    p->in = (struct qk_shape){ 2, { s->samples, s->c } };
    p->out = (struct qk_shape){ 2, { s->samples, s->k } };
  } else if (s->side < 0) {
    p->in = (struct qk_shape){ 3, { s->samples, -s->side, s->c } };
    p->out = (struct qk_shape){ 3, { s->samples, -s->side, s->k } };
  } else {
    p->in = (struct qk_shape){ 4, { s->samples, s->side, s->side, s->c } };
    p->out = (struct qk_shape){ 4, { s->samples, q, q, s->k } };
  }
  fill_weights (p, s, &r);
  fill (&p->x, qk_shape_count (&p->in), &r);
  fill (&p->other, qk_shape_count (&p->out), &r);
}

static void
clear (struct pair *p)
{
  guard_free (&p->x);
  guard_free (&p->other);
  free (p->weight);
  free (p->bias);
  free (p->multiplier);
}

/* Run P on THREADS threads of CLS, JOINED or one after the other. */
static void
run (const struct qk_backend_class *cls, int threads, const struct pair *p,
     uint64_t seed, bool joined, struct guard *out)
{
  const struct qk_shape both[2] = { p->out, p->out };
  const size_t size = (size_t) qk_shape_count (&p->out);
  size_t room[2];
  void *self, *first, *second;
  struct guard middle, scratch;
  const void *x = p->x.data, *term[2];

  ck_assert_int_eq (cls->create (NULL, threads, &self), 0);
  ck_assert_int_eq (
    cls->prepare (self, &p->product, &p->in, &p->out, &first, &room[0]), 0);
  ck_assert_int_eq (
    cls->prepare (self, &p->add, both, &p->out, &second, &room[1]), 0);
  if (room[1] > room[0])
    room[0] = room[1];
  ck_assert_int_eq (guard_new (out, size, true), 0);
  ck_assert_int_eq (guard_new (&middle, size, true), 0);
  ck_assert_int_eq (guard_new (&scratch, (room[0] + 63) / 64 * 64, false), 0);
  memset (middle.data, 0x5c, size);
  term[seed % 2] = middle.data;
  term[1 - seed % 2] = p->other.data;
  if (joined)
    cls->run_joined (self, first, second, p->n, x, middle.data, term,
                     out->data, scratch.data);
  else {
    cls->run (self, first, p->n, &x, middle.data, scratch.data);
    cls->run (self, second, p->n, term, out->data, scratch.data);
  }
  ck_assert (guard_intact (&middle) && guard_intact (&scratch)
             && guard_intact (out));
  guard_free (&middle);
  guard_free (&scratch);
  cls->release (self, first);
  cls->release (self, second);
  cls->destroy (self);
}

static const struct qk_backend_class *
backend (struct qk_context *ctx, const char *name)
{
  const struct qk_class *c;

  ck_assert_int_eq (qk_context_class (ctx, QK_KIND_BACKEND, name, &c), 0);
  return (const struct qk_backend_class *) (const void *) c;
}

/* Whether CLS has the slot and runs here, exactly. */
static bool
can_join (const struct qk_backend_class *cls)
{
  struct qk_backend_caps caps;

  return cls->run_joined != NULL && cls->probe (&caps) == 0 && caps.exact;
}

START_TEST (joined)
{
  struct qk_context *ctx = qk_context_new ();
  const struct qk_backend_class *reference = backend (ctx, "reference");
  struct guard want, got;
  struct pair p;
  char **names;

  ck_assert_int_ge (qk_context_list (ctx, QK_KIND_BACKEND, &names), 0);
  for (uint64_t seed = 1; seed <= 2 * QK_FUNCTIONS; seed++) {
    make (&p, &shapes[_i], seed);
    run (reference, 1, &p, seed, false, &want);
    for (int i = 0; names[i] != NULL; i++) {
      const struct qk_backend_class *cls = backend (ctx, names[i]);

      for (int t = 1; t <= MOST_THREADS && can_join (cls); t++) {
        run (cls, t, &p, seed, true, &got);
        ck_assert_msg (memcmp (got.data, want.data, want.size) == 0,
                       "%s, %d threads, shape %d", names[i], t, _i);
        guard_free (&got);
      }
    }
    guard_free (&want);
    clear (&p);
  }
  qk_names_free (names);
  qk_context_free (ctx);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("joined");
  TCase *t = tcase_create ("joined");
  SRunner *runner;
  int failed;

  tcase_set_timeout (t, 120);
  tcase_add_loop_test (t, joined, 0, (int) (sizeof shapes / sizeof shapes[0]));
  suite_add_tcase (s, t);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_NORMAL);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
