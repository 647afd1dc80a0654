/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_losses.c: what holds for every loss there is: its gradients are those
 * of its forward, it stays within its memory and what it is told, and results
 * repeat; what each loss computes; and losses at work in the executor.
 *
 * Derivatives: central differences with steps h = 1/32 and h/2 of the loss,
 * which is double, combined to fourth order (Richardson).  What is left of
 * the error is far below 1e-6, and gradients are rounded to float. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/loss.h>

#include "golden/layers.h"
#include "lib/context.h"
#include "lib/layer-harness.h"
#include "lib/network.h"
#include "lib/ok.h"

#define STEP 0.03125f
#define ABSOLUTE 1e-6
#define RELATIVE 2e-6
#define MOST 3
#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))

/* ---- cases --------------------------------------------------------------- */

enum reference {
  NUMBERS, /* f32 of the output's shape, never nearer to it than 0.1 */
  SHARES,  /* f32 of the output's shape, 0..1 */
  LABELS,  /* i32 without the last axis */
  SOME     /* likewise, every third one -1 */
};

static bool
is_f32 (enum reference r)
{
  return r == NUMBERS || r == SHARES;
}

struct loss_case {
  const char *loss, *options;
  enum reference reference;
  int n;
  struct qk_shape out[MOST];
};

#define IMAGE(n, h, w, c)                                                     \
  {                                                                           \
    4, { n, h, w, c }                                                         \
  }
#define VECTOR(n, c)                                                          \
  {                                                                           \
    2, { n, c }                                                               \
  }

/* Every option that changes the formula; several outputs; dense labels. */
static const struct loss_case cases[] = {
  { "softmax_cross_entropy", "", LABELS, 1, { VECTOR (5, 4) } },
  { "softmax_cross_entropy",
    "label_smoothing=0.2",
    LABELS,
    1,
    { VECTOR (3, 6) } },
  { "softmax_cross_entropy", "", SOME, 1, { VECTOR (7, 3) } },
  { "softmax_cross_entropy", "", LABELS, 1, { IMAGE (2, 3, 4, 5) } },
  { "softmax_cross_entropy",
    "label_smoothing=0.1",
    SOME,
    1,
    { IMAGE (2, 3, 4, 5) } },
  { "softmax_cross_entropy", "", SOME, 1, { { 3, { 2, 4, 3 } } } },
  { "mse", "", NUMBERS, 1, { VECTOR (4, 3) } },
  { "mse",
    "",
    NUMBERS,
    3,
    { VECTOR (2, 5), IMAGE (2, 2, 3, 2), { 1, { 2 } } } },
  { "mae", "", NUMBERS, 1, { IMAGE (2, 3, 3, 2) } },
  { "mae", "", NUMBERS, 2, { VECTOR (4, 3), { 1, { 4 } } } },
  { "distillation", "", NUMBERS, 1, { VECTOR (4, 5) } },
  { "distillation", "temperature=2.5", NUMBERS, 1, { VECTOR (4, 5) } },
  { "distillation",
    "temperature=1.5",
    NUMBERS,
    2,
    { VECTOR (2, 5), IMAGE (2, 2, 3, 4) } },
  { "distillation",
    "measure=mse",
    NUMBERS,
    2,
    { IMAGE (2, 2, 3, 2), VECTOR (2, 4) } },
  { "distillation",
    "measure=cosine",
    NUMBERS,
    2,
    { VECTOR (3, 5), IMAGE (3, 2, 2, 3) } },
  { "distillation",
    "measure=relative_mse",
    NUMBERS,
    2,
    { VECTOR (3, 5), IMAGE (3, 2, 2, 3) } },
  { "distillation",
    "measure=attention",
    NUMBERS,
    2,
    { { 3, { 3, 4, 2 } }, IMAGE (3, 2, 2, 3) } },
  { "softmax_cross_entropy",
    "class_weights=1,0.5,3,0",
    SOME,
    1,
    { VECTOR (7, 4) } },
  { "softmax_cross_entropy",
    "class_weights=1,0.5,3,2 label_smoothing=0.2",
    LABELS,
    1,
    { IMAGE (2, 2, 3, 4) } },
  { "bce", "", SHARES, 1, { VECTOR (4, 5) } },
  { "bce",
    "positive_weight=3",
    SHARES,
    2,
    { VECTOR (3, 5), IMAGE (3, 2, 2, 3) } },
  /* far from the targets only, and near them only: between, the second
   * derivative jumps */
  { "huber", "delta=0.05", NUMBERS, 1, { VECTOR (4, 3) } },
  { "huber", "delta=100", NUMBERS, 2, { VECTOR (4, 3), { 1, { 4 } } } },
  { "focal", "", LABELS, 1, { VECTOR (5, 4) } },
  { "focal", "gamma=0.5", SOME, 1, { IMAGE (2, 3, 2, 3) } },
  { "focal", "gamma=0", SOME, 1, { VECTOR (5, 4) } },
  { "dice", "", SOME, 1, { IMAGE (2, 3, 4, 3) } },
  { "dice", "smooth=0.1", LABELS, 1, { { 3, { 3, 6, 4 } } } },
  /* everything counts, or next to nothing: between, the slope jumps */
  { "cosine_embedding", "margin=-1", SOME, 1, { VECTOR (8, 3) } },
  { "cosine_embedding", "margin=1", LABELS, 1, { VECTOR (6, 4) } },
  { "triplet", "margin=9", SOME, 1, { VECTOR (7, 3) } },
  { "triplet", "margin=9 mining=all", LABELS, 1, { VECTOR (6, 3) } },
  { "triplet",
    "margin=99 mining=all normalize=no",
    SOME,
    1,
    { VECTOR (8, 3) } },
};

/* Whether it is a mean over pairs or triplets of samples, of any labels. */
static bool
of_pairs (const struct loss_case *c)
{
  return strcmp (c->loss, "triplet") == 0
         || strcmp (c->loss, "cosine_embedding") == 0;
}

/* ---- a loss with everything it works on ------------------------------------ */

struct rig {
  const struct qk_loss_class *cls;
  void *self;
  int n;
  struct qk_tensor out[MOST], ref[MOST], dout[MOST], saved;
  struct qk_loss_io io;
};

static const char *
case_name (const struct loss_case *c)
{
  static _Thread_local char buf[200];

  snprintf (buf, sizeof buf, "%s (%s) of %d", c->loss, c->options, c->n);
  return buf;
}

static void
make (struct rig *r, const char *loss, const char *options)
{
  const struct qk_class *c;
  struct qk_config *cfg;

  memset (r, 0, sizeof *r);
  OK (qk_context_class (ctx, QK_KIND_LOSS, loss, &c));
  OK (qk_config_parse (c->options, options, loss, &cfg));
  r->cls = (const struct qk_loss_class *) (const void *) c;
  if (r->cls->create != NULL)
    OK (r->cls->create (cfg, &r->self));
  qk_config_free (cfg);
}

/* T as it is declared: of one sample. */
static struct qk_tensor_spec
spec_of (const struct qk_tensor *t, const char *name)
{
  struct qk_tensor_spec s
    = { .name = name, .dtype = t->dtype, .shape = t->shape };

  s.shape.dims[0] = 1;
  return s;
}

/* Say what the tensors are like, and make room for what is kept. */
static int
declare (struct rig *r)
{
  struct qk_tensor_spec out[MOST], ref[MOST];
  size_t size = 0;
  int err, i;

  for (i = 0; i < r->n; i++) {
    out[i] = spec_of (&r->out[i], "out");
    ref[i] = spec_of (&r->ref[i], "ref");
  }
  if ((err = r->cls->check (r->self, out, r->n, ref, r->n)) < 0)
    return err;
  if (r->cls->saved != NULL)
    size = r->cls->saved (r->self, out, r->n, r->out[0].shape.dims[0]);
  if (size > 0) {
    const struct qk_shape s = { 1, { (int64_t) size } };

    OK (harness_tensor (&r->saved, QK_U8, &s));
  }
  r->io = (struct qk_loss_io){ .threads = 1,
                               .n_out = r->n,
                               .n_ref = r->n,
                               .out = r->out,
                               .ref = r->ref,
                               .saved = r->saved.data,
                               .scale = 1,
                               .dout = r->dout };
  return 0;
}

/* Add an output of SHAPE, and what it is compared with. */
static void
add (struct rig *r, const struct qk_shape *shape, enum reference reference)
{
  struct qk_shape s = *shape;

  OK (harness_tensor (&r->out[r->n], QK_F32, shape));
  OK (harness_tensor (&r->dout[r->n], QK_F32, shape));
  s.ndim -= !is_f32 (reference);
  OK (
    harness_tensor (&r->ref[r->n], is_f32 (reference) ? QK_F32 : QK_I32, &s));
  r->n++;
}

static void
fill (struct rig *r, enum reference reference)
{
  struct qk_rng rng;

  qk_rng_seed (&rng, 5, 1);
  for (int i = 0; i < r->n; i++) {
    const struct qk_shape *s = &r->out[i].shape;
    const int64_t n = qk_shape_count (&r->ref[i].shape);
    float *x = r->ref[i].data;
    int32_t *label = r->ref[i].data;

    harness_fill (&r->out[i], &rng, -2.0f, 2.0f);
    harness_fill (&r->ref[i], &rng, reference == NUMBERS ? -2.0f : 0.0f,
                  reference == NUMBERS  ? 2.0f
                  : reference == SHARES ? 1.0f
                                        : (float) (s->dims[s->ndim - 1] - 1));
    for (int64_t k = 0; reference == NUMBERS && k < n; k++) {
      const float far = ((const float *) r->out[i].data)[k];

      if (fabsf (x[k] - far) < 0.1f)
        x[k] = far + 0.2f;
    }
    for (int64_t k = 0; reference == SOME && k < n; k += 3)
      label[k] = QK_NO_CATEGORY;
  }
}

/* The case C with N samples (0: as in the table). */
static void
open_case (const struct loss_case *c, int64_t n, struct rig *r)
{
  make (r, c->loss, c->options);
  for (int i = 0; i < c->n; i++) {
    struct qk_shape s = c->out[i];

    if (n > 0)
      s.dims[0] = n;
    add (r, &s, c->reference);
  }
  OK (declare (r));
  fill (r, c->reference);
}

static void
clear (struct rig *r)
{
  for (int i = 0; i < MOST; i++) {
    harness_tensor_free (&r->out[i]);
    harness_tensor_free (&r->ref[i]);
    harness_tensor_free (&r->dout[i]);
  }
  harness_tensor_free (&r->saved);
  if (r->cls->destroy != NULL)
    r->cls->destroy (r->self);
}

static void
check_guards (const struct rig *r)
{
  for (int i = 0; i < r->n; i++) {
    OK (harness_tensor_check (&r->out[i], "an output"));
    OK (harness_tensor_check (&r->ref[i], "a reference"));
    OK (harness_tensor_check (&r->dout[i], "a gradient"));
  }
  OK (harness_tensor_check (&r->saved, "what is saved"));
}

static double
forward (struct rig *r)
{
  double loss = (double) NAN;

  harness_tensor_scribble (&r->saved);
  OK (r->cls->forward (r->self, &r->io, &loss));
  check_guards (r);
  return loss;
}

static void
backward (struct rig *r)
{
  for (int i = 0; i < r->n; i++)
    harness_tensor_scribble (&r->dout[i]);
  OK (r->cls->backward (r->self, &r->io));
  check_guards (r);
}

/* ---- every loss ------------------------------------------------------------ */

START_TEST (every_loss_has_a_case)
{
  char **names;
  int n = 0;

  ck_assert_int_ge (qk_context_list (ctx, QK_KIND_LOSS, &names), 0);
  for (; names[n] != NULL; n++) {
    int found = 0;

    for (int i = 0; i < COUNT (cases); i++)
      found += strcmp (cases[i].loss, names[n]) == 0;
    ck_assert_msg (found > 0, "loss %s has no case in check_losses.c",
                   names[n]);
  }
  ck_assert_int_ge (n, 4);
  qk_names_free (names);
}
END_TEST

/* (f (x + h) - f (x - h)) / 2h; the step is what x really moved. */
static double
difference (struct rig *r, float *x, float step)
{
  const float x0 = *x, hi = x0 + step, lo = x0 - step;
  double a, b;

  *x = hi;
  a = forward (r);
  *x = lo;
  b = forward (r);
  *x = x0;
  return (a - b) / ((double) hi - (double) lo);
}

START_TEST (gradients)
{
  const struct loss_case *c = &cases[_i];
  struct rig r;

  open_case (c, 0, &r);
  r.io.scale = 1.5;
  forward (&r);
  backward (&r);
  for (int i = 0; i < r.n; i++)
    for (int64_t k = 0; k < qk_shape_count (&r.out[i].shape); k++) {
      float *x = (float *) r.out[i].data + k;
      const double g = (double) ((const float *) r.dout[i].data)[k];
      const double d1 = difference (&r, x, STEP);
      const double d2 = difference (&r, x, STEP / 2);
      const double d = 1.5 * (4 * d2 - d1) / 3;

      HOLDS (fabs (g - d) <= ABSOLUTE + RELATIVE * fabs (d),
             "%s: gradient by output %d[%lld] is %.9g, differences give %.9g",
             case_name (c), i, (long long) k, g, d);
    }
  clear (&r);
}
END_TEST

/* Enough samples to make losses use threads. */
static int64_t
many (const struct loss_case *c)
{
  return 40000 * c->out[0].dims[0] / qk_shape_count (&c->out[0]) + 3;
}

START_TEST (threads_agree)
{
  const struct loss_case *c = &cases[_i];
  struct rig one, r;
  double loss;

  if (of_pairs (c)) /* one thread, and these would be 1e8 pairs */
    return;
  open_case (c, many (c), &one);
  loss = forward (&one);
  backward (&one);
  for (int threads = 1; threads <= 3; threads++) {
    open_case (c, many (c), &r);
    r.io.threads = threads;
    ck_assert_msg (forward (&r) == loss,
                   "%s: the loss differs with %d threads", case_name (c),
                   threads);
    backward (&r);
    for (int i = 0; i < r.n; i++)
      ck_assert_msg (
        memcmp (one.dout[i].data, r.dout[i].data, harness_bytes (&r.dout[i]))
          == 0,
        "%s: gradients differ with %d threads", case_name (c), threads);
    clear (&r);
  }
  clear (&one);
}
END_TEST

/* What is not wanted changes nothing: the loss alone, and gradients by some
 * outputs. */
START_TEST (parts_are_optional)
{
  const struct loss_case *c = &cases[_i];
  struct rig all, r;
  double loss;

  open_case (c, 0, &all);
  loss = forward (&all);
  backward (&all);
  for (int leave = 0; leave < c->n; leave++) {
    open_case (c, 0, &r);
    r.io.saved = NULL;
    ck_assert_msg (forward (&r) == loss, "%s: another loss without backward",
                   case_name (c));
    r.io.saved = r.saved.data;
    harness_tensor_free (&r.dout[leave]);
    forward (&r);
    backward (&r);
    for (int i = 0; i < c->n; i++)
      ck_assert_msg (i == leave
                       || memcmp (all.dout[i].data, r.dout[i].data,
                                  harness_bytes (&r.dout[i]))
                            == 0,
                     "%s: gradients change when one is not wanted",
                     case_name (c));
    clear (&r);
  }
  clear (&all);
}
END_TEST

/* The loss is the mean over samples: of two equal halves, that of one half.
 * With labels that do not count the mean is over those that do. */
START_TEST (means_over_samples)
{
  const struct loss_case *c = &cases[_i];
  const int64_t n = c->out[0].dims[0];
  struct rig r, twice;

  if (of_pairs (c))
    return;
  open_case (c, n, &r);
  open_case (c, 2 * n, &twice);
  for (int i = 0; i < c->n; i++)
    for (size_t half = 0; half < 2; half++) {
      const size_t out = harness_bytes (&r.out[i]);
      const size_t ref = harness_bytes (&r.ref[i]);

      memcpy ((char *) twice.out[i].data + half * out, r.out[i].data, out);
      memcpy ((char *) twice.ref[i].data + half * ref, r.ref[i].data, ref);
    }
  ck_assert_double_eq_tol (forward (&r), forward (&twice), 1e-12);
  clear (&twice);
  clear (&r);
}
END_TEST

/* Errors name the loss. */
static void
refused (struct rig *r, const char *loss, const char *sentence)
{
  ck_assert_int_eq (declare (r), -EINVAL);
  ck_assert_msg (strstr (qk_error_message (), loss) != NULL
                   && strstr (qk_error_message (), sentence) != NULL,
                 "%s: expected '%s', got '%s'", loss, sentence,
                 qk_error_message ());
}

START_TEST (references_are_checked)
{
  const struct loss_case *c = &cases[_i];
  const bool labels = !is_f32 (c->reference);
  struct qk_tensor_spec out[MOST], ref[MOST];
  struct rig r;

  open_case (c, 0, &r);
  for (int i = 0; i < r.n; i++) {
    out[i] = spec_of (&r.out[i], "out");
    ref[i] = spec_of (&r.ref[i], "ref");
  }
  ck_assert_int_eq (r.cls->check (r.self, out, r.n, ref, r.n - 1), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), c->loss));
  ck_assert_int_eq (r.cls->check (r.self, out, 0, ref, 0), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), c->loss));
  if (labels) {
    out[1] = out[0];
    ref[1] = ref[0];
    ck_assert_int_eq (r.cls->check (r.self, out, 2, ref, 2), -EINVAL);
    ref[0].categories = out[0].shape.dims[out[0].shape.ndim - 1] + 1;
    ck_assert_int_eq (r.cls->check (r.self, out, 1, ref, 1),
                      of_pairs (c) ? 0 : -EINVAL);
    ck_assert (of_pairs (c)
               || strstr (qk_error_message (), "categories") != NULL);
  }
  harness_tensor_free (&r.saved);
  r.ref[0].dtype = labels ? QK_F32 : QK_I32;
  refused (&r, c->loss, labels ? "i32" : "f32");
  r.ref[0].dtype = labels ? QK_I32 : QK_F32;
  r.ref[0].shape.ndim++;
  r.ref[0].shape.dims[r.ref[0].shape.ndim - 1] = 2;
  refused (&r, c->loss, "expected");
  r.ref[0].shape.ndim--;
  clear (&r);
}
END_TEST

/* ---- softmax_cross_entropy --------------------------------------------------- */

/* Both sides compute in float, in another order: TOL is relative to the
 * larger of 1 and the number. */
static void
near (const char *what, const float *x, const float *golden, int n, double tol)
{
  for (int i = 0; i < n; i++) {
    const double g = (double) golden[i];

    ck_assert_msg (fabs ((double) x[i] - g) <= tol * fmax (1.0, fabs (g)),
                   "%s[%d] is %.9g, expected %.9g", what, i, (double) x[i], g);
  }
}

static void
check_golden (const char *options, const float *loss, const float *grad)
{
  const struct qk_shape s = VECTOR (4, 5);
  struct rig r;
  float got;

  make (&r, "softmax_cross_entropy", options);
  add (&r, &s, LABELS);
  OK (declare (&r));
  memcpy (r.out[0].data, ce_logits, sizeof ce_logits);
  memcpy (r.ref[0].data, ce_labels, sizeof ce_labels);
  got = (float) forward (&r);
  backward (&r);
  near ("loss", &got, loss, 1, 1e-6);
  near ("gradient", r.dout[0].data, grad, 20, 1e-6);
  clear (&r);
}

START_TEST (cross_entropy_is_pytorchs)
{
  check_golden ("", ce_plain_loss, ce_plain_grad);
  check_golden ("label_smoothing=0.1", ce_smooth_loss, ce_smooth_grad);
}
END_TEST

/* Rows of label -1 are as if they were not there; dense labels are so many
 * rows. */
START_TEST (cross_entropy_leaves_out)
{
  const struct qk_shape few = VECTOR (4, 5), more = IMAGE (1, 2, 3, 5);
  struct rig a, b;

  make (&a, "softmax_cross_entropy", "label_smoothing=0.1");
  add (&a, &few, LABELS);
  OK (declare (&a));
  memcpy (a.out[0].data, ce_logits, sizeof ce_logits);
  memcpy (a.ref[0].data, ce_labels, sizeof ce_labels);
  make (&b, "softmax_cross_entropy", "label_smoothing=0.1");
  add (&b, &more, LABELS);
  OK (declare (&b));
  fill (&b, LABELS);
  /* rows 0 and 3 do not count */
  for (int i = 0; i < 6; i++)
    ((int32_t *) b.ref[0].data)[i] = QK_NO_CATEGORY;
  for (int i = 0; i < 4; i++) {
    const int at = i < 2 ? i + 1 : i + 2;

    memcpy ((float *) b.out[0].data + 5 * at, ce_logits + 5 * i,
            5 * sizeof (float));
    ((int32_t *) b.ref[0].data)[at] = ce_labels[i];
  }
  ck_assert_double_eq_tol (forward (&a), forward (&b), 1e-12);
  backward (&a);
  backward (&b);
  for (int i = 0; i < 6; i++) {
    const float *g = (const float *) b.dout[0].data + 5 * i;

    for (int k = 0; k < 5; k++)
      ck_assert (i % 3 == 0 ? g[k] == 0.0f
                            : g[k]
                                == ((const float *) a.dout[0]
                                      .data)[5 * (i < 3 ? i - 1 : i - 2) + k]);
  }
  /* none counts at all */
  for (int i = 0; i < 4; i++)
    ((int32_t *) a.ref[0].data)[i] = QK_NO_CATEGORY;
  ck_assert (forward (&a) == 0);
  backward (&a);
  for (int i = 0; i < 20; i++)
    ck_assert (((const float *) a.dout[0].data)[i] == 0.0f);
  clear (&a);
  clear (&b);
}
END_TEST

START_TEST (cross_entropy_of_bad_numbers)
{
  const struct qk_shape s = VECTOR (2, 3);
  struct rig r;
  double loss;
  float *z;
  int32_t *label;

  make (&r, "softmax_cross_entropy", "");
  add (&r, &s, LABELS);
  OK (declare (&r));
  z = r.out[0].data;
  label = r.ref[0].data;
  label[1] = 3;
  ck_assert_int_eq (r.cls->forward (r.self, &r.io, &loss), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "row 1 is 3"));
  label[1] = -2;
  ck_assert_int_eq (r.cls->forward (r.self, &r.io, &loss), -EINVAL);
  label[1] = 0;
  z[1] = NAN;
  ck_assert_int_eq (r.cls->forward (r.self, &r.io, &loss), -EDOM);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "nan"));
  z[1] = INFINITY;
  ck_assert_int_eq (r.cls->forward (r.self, &r.io, &loss), -EDOM);
  /* large logits do not overflow */
  for (int i = 0; i < 6; i++)
    z[i] = i % 3 == 0 ? 3e38f : -3e38f;
  ck_assert (forward (&r) == 0);
  clear (&r);
}
END_TEST

/* ---- PyTorch's ------------------------------------------------------------- */

struct golden_loss {
  const char *loss, *options;
  struct qk_shape shape;
  float z[36];
  bool f32;
  float t[20]; /* targets, or labels */
  double want;
  float gradient[36];
};
#include "golden/losses.h"

START_TEST (as_pytorch)
{
  const struct golden_loss *g = &golden_losses[_i];
  const int n = (int) qk_shape_count (&g->shape);
  struct rig r;

  make (&r, g->loss, g->options);
  add (&r, &g->shape, g->f32 ? NUMBERS : LABELS);
  OK (declare (&r));
  memcpy (r.out[0].data, g->z, (size_t) n * sizeof (float));
  for (int i = 0; i < (int) qk_shape_count (&r.ref[0].shape); i++)
    if (g->f32)
      ((float *) r.ref[0].data)[i] = g->t[i];
    else
      ((int32_t *) r.ref[0].data)[i] = (int32_t) g->t[i];
  ck_assert_double_eq_tol (forward (&r), g->want, 1e-6);
  backward (&r);
  near (g->loss, r.dout[0].data, g->gradient, n, 1e-6);
  clear (&r);
}
END_TEST

START_TEST (bad_options)
{
  const struct qk_shape s = VECTOR (2, 3);
  struct rig r;

  make (&r, "softmax_cross_entropy", "class_weights=1,2");
  add (&r, &s, LABELS);
  refused (&r, "softmax_cross_entropy",
           "2 class_weights, expected one for "
           "each of the 3 classes");
  clear (&r);
  make (&r, "bce", "");
  add (&r, &s, NUMBERS);
  OK (declare (&r));
  ((float *) r.ref[0].data)[4] = 2;
  ck_assert_int_eq (r.cls->forward (r.self, &r.io, &(double){ 0 }), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "target 4 is 2"));
  clear (&r);
}
END_TEST

/* ---- by hand ------------------------------------------------------------------ */

struct by_hand {
  const char *loss, *options;
  struct qk_shape shape;
  float z[8], t[8];
  double want;
  float gradient[8];
};

#define LN3 1.0986123f

static const struct by_hand by_hand[] = {
  { "mse",
    "",
    VECTOR (2, 2),
    { 1, 2, 3, 4 },
    { 2, 2, 5, 1 },
    14.0 / 4,
    { -0.5f, 0, -1, 1.5f } },
  { "mae",
    "",
    VECTOR (2, 2),
    { 1, 2, 3, 4 },
    { 2, 2, 5, 1 },
    6.0 / 4,
    { -0.25f, 0, -0.25f, 0.25f } },
  { "distillation",
    "measure=mse",
    VECTOR (1, 4),
    { 1, 2, 3, 4 },
    { 2, 2, 5, 1 },
    14.0 / 4,
    { -0.5f, 0, -1, 1.5f } },
  /* z = (3,4), (0,0): the angle to zero is a right one; t = (4,3), (1,1) */
  { "distillation",
    "measure=cosine",
    VECTOR (2, 2),
    { 3, 4, 0, 0 },
    { 4, 3, 1, 1 },
    (0.04 + 1) / 2,
    { -0.0224f, 0.0168f, 0, 0 } },
  /* by the size of t, of each sample; one of zeros does not count */
  { "distillation",
    "measure=relative_mse",
    VECTOR (3, 2),
    { 1, 2, 5, 5, 7, 7 },
    { 2, 2, 3, 4, 0, 0 },
    (1.0 / 8 + 5.0 / 25) / 3,
    { -2.0f / 24, 0, 4.0f / 75, 2.0f / 75, 0, 0 } },
  /* Q (z) = (9, 16) -> (9, 16) / sqrt (337), Q (t) = (2, 0) -> (1, 0); the map of
   * the second sample is 0, which no length changes */
  { "distillation",
    "measure=attention",
    { 3, { 2, 2, 2 } },
    { 3, 0, 0, 4, 0, 0, 0, 0 },
    { 1, 1, 0, 0, 1, 2, 3, 4 },
    (2 - 2 * 0.49026123963255896 + 1) / 2,
    { -0.24828265f, 0, 0, 0.18621198f, 0, 0, 0, 0 } },
  /* softmax (z / 2) = (1/4, 3/4), softmax (t / 2) = (1/2, 1/2);
   * 4 (ln 2 / 2 + ln (2/3) / 2) */
  { "distillation",
    "temperature=2",
    VECTOR (1, 2),
    { 0, 2 * LN3 },
    { 7, 7 },
    0.57536414490356185,
    { -0.5f, 0.5f } },
  { "distillation",
    "",
    VECTOR (2, 2),
    { 1, 3, -2, 5 },
    { 1, 3, -2, 5 },
    0,
    { 0, 0, 0, 0 } },
};

START_TEST (as_by_hand)
{
  const struct by_hand *b = &by_hand[_i];
  const int n = (int) qk_shape_count (&b->shape);
  struct rig r;

  make (&r, b->loss, b->options);
  add (&r, &b->shape, NUMBERS);
  OK (declare (&r));
  memcpy (r.out[0].data, b->z, (size_t) n * sizeof (float));
  memcpy (r.ref[0].data, b->t, (size_t) n * sizeof (float));
  ck_assert_double_eq_tol (forward (&r), b->want, 1e-7);
  backward (&r);
  near (b->loss, r.dout[0].data, b->gradient, n, 1e-6);
  /* outputs that are not finite */
  ((float *) r.out[0].data)[0] = INFINITY;
  ck_assert_int_eq (r.cls->forward (r.self, &r.io, &(double){ 0 }), -EDOM);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), b->loss));
  clear (&r);
}
END_TEST

/* Several outputs: the sum of their losses. */
START_TEST (outputs_add_up)
{
  const struct loss_case *c = &cases[_i];
  struct rig all, one;
  double sum = 0;

  if (c->n < 2)
    return;
  open_case (c, 0, &all);
  for (int i = 0; i < c->n; i++) {
    make (&one, c->loss, c->options);
    add (&one, &c->out[i], c->reference);
    OK (declare (&one));
    memcpy (one.out[0].data, all.out[i].data, harness_bytes (&all.out[i]));
    memcpy (one.ref[0].data, all.ref[i].data, harness_bytes (&all.ref[i]));
    sum += forward (&one);
    clear (&one);
  }
  ck_assert_double_eq_tol (forward (&all), sum, 1e-12);
  clear (&all);
}
END_TEST

/* ---- in the executor ------------------------------------------------------------ */

#define BATCH 3

/* Two inputs and a constant; the output "middle" is on the way to "end", which
 * is also called "again". */
static struct qk_graph *
network (void)
{
  static const float scale[] = { 0.5f, -1.25f, 2.0f, 0.75f };
  const struct qk_shape four = VECTOR (1, 4);
  const struct qk_tensor_spec a
    = { .name = "a", .dtype = QK_F32, .shape = VECTOR (1, 6) };
  const struct qk_tensor_spec b
    = { .name = "b", .dtype = QK_F32, .shape = VECTOR (1, 4) };
  struct qk_graph *g;
  int v, in[2], two[2];

  OK (qk_graph_new (ctx, 1, &g));
  in[0] = qk_graph_input (g, &a);
  in[1] = qk_graph_input (g, &b);
  two[1] = qk_graph_constant (g, "scale", &four, scale);
  v = qk_graph_node (g, "first", "linear", &in[0], 1, "out=4");
  two[0]
    = qk_graph_node (g, "scaled", "mul", (int[]){ v, two[1] }, 2, "%s", "");
  two[1] = in[1];
  v = qk_graph_node (g, "sum", "add", two, 2, "%s", "");
  OK (qk_graph_output (g, "middle", v));
  v = qk_graph_node (g, "last", "linear", &v, 1, "out=4");
  OK (qk_graph_output (g, "end", v));
  OK (qk_graph_output (g, "again", v));
  OK (qk_graph_finish (g));
  OK (network_fill (g));
  return g;
}

/* The loss and all gradients of the network with LOSSES, for samples of which
 * OWN is their own. */
static double
train_mixed (const struct qk_exec_loss *loss, int n, double own, float *out)
{
  const struct qk_exec_options opt = {
    .batch = BATCH, .threads = 2, .train = true, .n_losses = n, .loss = loss
  };
  float a[BATCH * 6], b[BATCH * 4], target[BATCH * 4], other[BATCH * 4];
  const void *const input[] = { a, b };
  const struct qk_tensor ref[]
    = { { QK_F32, VECTOR (BATCH, 4), target, { 0, 0, 0, 0 } },
        { QK_F32, VECTOR (BATCH, 4), other, { 0, 0, 0, 0 } } };
  struct qk_graph *g = network ();
  struct qk_exec *ex;
  double mean;
  size_t at = 0;

  network_between ("a", COUNT (a), -1, 1, a);
  network_between ("b", COUNT (b), -1, 1, b);
  network_between ("target", COUNT (target), -1, 1, target);
  network_between ("other", COUNT (other), -1, 1, other);
  OK (qk_exec_new (g, &opt, &ex));
  qk_exec_set_own (ex, own);
  OK (qk_exec_forward (ex, input, BATCH, QK_PASS_TRAIN));
  OK (qk_exec_backward (ex, ref, &mean));
  for (int i = 0; i < g->n_params; i++) {
    const size_t count = (size_t) qk_shape_count (&g->param[i].value.shape);

    memcpy (out + at, g->param[i].grad.data, count * sizeof (float));
    at += count;
  }
  ck_assert_uint_eq (at, 28 + 20);
  qk_exec_free (ex);
  qk_graph_free (g);
  return mean;
}

static double
train (const struct qk_exec_loss *loss, int n, float *out)
{
  return train_mixed (loss, n, 1, out);
}

/* Of mixed samples a loss counts twice, in shares; others as ever. */
START_TEST (losses_of_mixed)
{
  static const int out[] = { 1 }, target[] = { 0 }, other[] = { 1 };
  float one[48], two[48], whole[48], all[48];
  struct qk_exec_loss l[3];
  double want;

  for (int i = 0; i < 3; i++) {
    OK (network_loss (ctx, i == 2 ? "mae" : "mse", "", &l[i]));
    l[i].weight = 1.5;
    l[i].n_out = l[i].n_ref = 1;
    l[i].out = out;
    l[i].ref = i == 1 ? other : target;
  }
  want = 0.3 * train (&l[0], 1, one) + 0.7 * train (&l[1], 1, two)
         + train (&l[2], 1, whole);
  l[0].part = QK_PART_OWN;
  l[1].part = QK_PART_OTHER;
  ck_assert_double_eq_tol (train_mixed (l, 3, 0.3, all), want, 1e-12);
  for (int k = 0; k < 48; k++) {
    const float sum = 0.3f * one[k] + 0.7f * two[k] + whole[k];

    ck_assert_msg (fabsf (all[k] - sum) <= 1e-5f * (1 + fabsf (sum)),
                   "gradient %d is %g, expected %g", k, (double) all[k],
                   (double) sum);
  }
  for (int i = 0; i < 3; i++)
    network_loss_free (&l[i]);
}
END_TEST

/* Losses on the same output, on one value under two names, and on a value that
 * others are computed from: gradients are the weighted sums of those that
 * each gives alone. */
START_TEST (losses_add_up)
{
  static const int out[][2] = { { 0 }, { 1 }, { 1 }, { 2 }, { 1, 2 } };
  static const int ref[] = { 0, 0 };
  static const char *const names[] = { "mse", "mae", "mse", "mae", "mse" };
  static const double weight[] = { 0.5, 2, 1.25, 0.75, 3 };
  struct qk_exec_loss l[5];
  float alone[48], sum[48] = { 0 }, all[48];
  double mean = 0;

  for (int i = 0; i < 5; i++) {
    OK (network_loss (ctx, names[i], "", &l[i]));
    l[i].weight = weight[i];
    l[i].n_out = l[i].n_ref = i == 4 ? 2 : 1;
    l[i].out = out[i];
    l[i].ref = ref;
    mean += train (&l[i], 1, alone);
    for (int k = 0; k < 48; k++)
      sum[k] += alone[k];
  }
  ck_assert_double_eq_tol (train (l, 5, all), mean, 1e-12);
  for (int k = 0; k < 48; k++)
    ck_assert_msg (fabsf (all[k] - sum[k]) <= 1e-5f * (1 + fabsf (sum[k])),
                   "gradient %d is %g, expected %g", k, (double) all[k],
                   (double) sum[k]);
  for (int i = 0; i < 5; i++)
    network_loss_free (&l[i]);
}
END_TEST

/* A loss that is not finite names the layer; one that refuses its references
 * is named. */
START_TEST (failures_are_named)
{
  struct qk_exec_loss l;
  struct qk_exec_options opt
    = { .batch = BATCH, .threads = 1, .train = true, .n_losses = 1 };
  float a[BATCH * 6] = { 0 }, b[BATCH * 4] = { 0 };
  int32_t label[BATCH] = { 0, 1, 9 };
  const void *const input[] = { a, b };
  const struct qk_tensor ref
    = { QK_I32, { 1, { BATCH } }, label, { 0, 0, 0, 0 } };
  struct qk_graph *g = network ();
  struct qk_exec *ex;
  double mean;

  OK (network_loss (ctx, "softmax_cross_entropy", "", &l));
  l.name = "classes";
  opt.loss = &l;
  OK (qk_exec_new (g, &opt, &ex));
  OK (qk_exec_forward (ex, input, BATCH, QK_PASS_TRAIN));
  ck_assert_int_eq (qk_exec_backward (ex, &ref, &mean), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "loss 'classes'"));
  label[2] = QK_NO_CATEGORY;
  OK (qk_exec_backward (ex, &ref, &mean));
  b[2] = INFINITY;
  OK (qk_exec_forward (ex, input, BATCH, QK_PASS_TRAIN));
  ck_assert_int_eq (qk_exec_backward (ex, &ref, &mean), -EDOM);
  ck_assert_msg (strstr (qk_error_message (), "'b'") != NULL, "%s",
                 qk_error_message ());
  qk_exec_free (ex);
  qk_graph_free (g);
  network_loss_free (&l);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("losses");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_set_timeout (t, 120);
  tcase_add_test (t, every_loss_has_a_case);
  tcase_add_loop_test (t, gradients, 0, COUNT (cases));
  tcase_add_loop_test (t, threads_agree, 0, COUNT (cases));
  tcase_add_loop_test (t, parts_are_optional, 0, COUNT (cases));
  tcase_add_loop_test (t, means_over_samples, 0, COUNT (cases));
  tcase_add_loop_test (t, references_are_checked, 0, COUNT (cases));
  tcase_add_test (t, cross_entropy_is_pytorchs);
  tcase_add_test (t, cross_entropy_leaves_out);
  tcase_add_test (t, cross_entropy_of_bad_numbers);
  tcase_add_loop_test (t, as_by_hand, 0, COUNT (by_hand));
  tcase_add_loop_test (t, as_pytorch, 0, COUNT (golden_losses));
  tcase_add_test (t, bad_options);
  tcase_add_loop_test (t, outputs_add_up, 0, COUNT (cases));
  tcase_add_test (t, losses_add_up);
  tcase_add_test (t, losses_of_mixed);
  tcase_add_test (t, failures_are_named);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
