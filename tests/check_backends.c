/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_backends.c: whatever int8 backends are installed, against the
 * reference backend on the same random operations.  A backend that declares
 * itself exact gives the same bytes; the others are within one quantum (and
 * logits within a relative 1e-5), and their differing numbers are counted.
 *
 * QATKIT_SEED, QATKIT_CASES (default 40), QATKIT_KIND as in check_kernels. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/context.h>

#include "kernels/case.h"

#define MOST_FAILURES 10
#define MOST_QUANTA 1
#define MOST_ERROR 1e-5

struct subject {
  const struct qk_backend_class *cls;
  void *self;
  bool exact;
  long compared, unsupported, numbers, differing;
  int failures;
};

static uint64_t
number_from (const char *variable, uint64_t otherwise)
{
  const char *text = getenv (variable);

  return text != NULL && text[0] != '\0' ? strtoull (text, NULL, 0)
                                         : otherwise;
}

static bool
within (float x, double lo, double hi)
{
  return (double) x >= lo && (double) x <= hi; /* not NaN */
}

/* Scales and inputs as networks have them: what a library of its own rounding
 * does beyond is its own affair. */
static bool
is_usual (const struct kernel_case *c)
{
  const struct qk_op *op = &c->op;
  const bool weighted = op->kind == QK_OP_CONV2D || op->kind == QK_OP_LINEAR;

  for (int i = 0; i < op->n_in && op->kind != QK_OP_QUANTIZE; i++)
    if (!within (op->in_q[i].scale, 1e-3, 1))
      return false;
  if (op->out_q.scale != 0 && !within (op->out_q.scale, 1e-3, 1))
    return false;
  for (int64_t k = 0; weighted && k < op->out_channels; k++)
    if (!within (op->multiplier[k], 1e-9, 100))
      return false;
  if (op->kind == QK_OP_QUANTIZE)
    for (size_t i = 0; i < c->data[0].size / 4; i++)
      if (!within (((const float *) (const void *) c->data[0].data)[i], -1e4,
                   1e4))
        return false;
  return true;
}

static bool
is_f32 (const struct kernel_case *c)
{
  return c->op.kind == QK_OP_DEQUANTIZE || c->op.out_q.scale == 0;
}

/* How far GOT is from WANT, in what is allowed: 1 is the limit. */
static double
distance (const struct kernel_case *c, const uint8_t *want, const uint8_t *got,
          size_t i)
{
  float x, y;

  if (!is_f32 (c))
    return fabs ((double) want[i] - got[i]) / MOST_QUANTA;
  memcpy (&x, want + 4 * i, 4);
  memcpy (&y, got + 4 * i, 4);
  return fabs ((double) x - (double) y)
         / (MOST_ERROR * fmax (fabs ((double) x), 1e-6));
}

static void
compare (struct subject *u, const struct kernel_case *c,
         const struct guard *want, const struct guard *got)
{
  const size_t size = is_f32 (c) ? 4 : 1, n = want->size / size;
  double worst = 0;
  long differing = 0;

  for (size_t i = 0; i < n; i++)
    if (memcmp (want->data + i * size, got->data + i * size, size) != 0) {
      worst = fmax (worst, distance (c, want->data, got->data, i));
      differing++;
    }
  u->compared++;
  u->numbers += (long) n;
  u->differing += differing;
  if (differing == 0 || (!u->exact && worst <= 1))
    return;
  printf ("FAIL: %s: %ld of %zu numbers differ, by up to %.9g times what is "
          "allowed\n",
          u->cls->cls.name, differing, n, worst);
  case_print (c);
  u->failures++;
}

static void
check_case (struct subject *u, const struct subject *reference, uint64_t index,
            enum qk_op_kind kind)
{
  struct kernel_case c;
  struct guard want, got;
  bool intact = true;
  int r;

  if (case_new (&c, number_from ("QATKIT_SEED", 1), index, kind) < 0) {
    printf ("FAIL: out of memory\n");
    exit (1);
  }
  if (!u->exact && !is_usual (&c)) {
    case_free (&c);
    return;
  }
  r = case_run (reference->cls, reference->self, &c, &want, false, &intact);
  if (r == 0) {
    r = case_run (u->cls, u->self, &c, &got, index % 2, &intact);
    if (r == 0) {
      compare (u, &c, &want, &got);
      if (!guard_intact (&got) || !intact)
        r = -EFAULT;
      guard_free (&got);
    }
    guard_free (&want);
  }
  if (r > 0) {
    u->unsupported++;
  } else if (r < 0) {
    printf ("FAIL: %s: %s\n", u->cls->cls.name,
            r == -EFAULT ? "wrote outside its memory" : qk_error_message ());
    case_print (&c);
    u->failures++;
  }
  case_free (&c);
}

/* Whether NAME runs here: one that cannot says why. */
static bool
open_subject (struct qk_context *ctx, const char *name, struct subject *u)
{
  const struct qk_class *cls;
  struct qk_backend_caps caps;

  memset (u, 0, sizeof *u);
  if (qk_context_class (ctx, QK_KIND_BACKEND, name, &cls) < 0) {
    printf ("FAIL: %s\n", qk_error_message ());
    u->failures++;
    return false;
  }
  u->cls = (const struct qk_backend_class *) (const void *) cls;
  if (u->cls->probe (&caps) < 0) {
    printf ("skip: %s\n", qk_error_message ());
    u->failures += strstr (qk_error_message (), "use backend = ") == NULL;
    return false;
  }
  u->exact = caps.exact;
  if (u->cls->create (NULL, 2, &u->self) < 0) {
    printf ("FAIL: %s: %s\n", name, qk_error_message ());
    u->failures++;
    return false;
  }
  return true;
}

static int
check_backend (struct qk_context *ctx, const struct subject *reference,
               const char *name)
{
  const uint64_t cases = number_from ("QATKIT_CASES", 40);
  const char *only = getenv ("QATKIT_KIND");
  struct subject u;

  if (!open_subject (ctx, name, &u))
    return u.failures;
  for (int k = 1; qk_op_kind_name ((enum qk_op_kind) k) != NULL; k++) {
    const long before = u.compared, differing = u.differing;

    if ((only != NULL && strcmp (only, qk_op_kind_name ((enum qk_op_kind) k)))
        || !case_exists ((enum qk_op_kind) k))
      continue;
    for (uint64_t i = 0; i < cases && u.failures < MOST_FAILURES; i++)
      check_case (&u, reference, (uint64_t) k << 40 | i, (enum qk_op_kind) k);
    if (!u.exact)
      printf ("  %s %s: %ld compared, %ld numbers differ\n", name,
              qk_op_kind_name ((enum qk_op_kind) k), u.compared - before,
              u.differing - differing);
  }
  printf ("%s (%s): %ld compared, %ld not supported, %ld of %ld numbers "
          "differ, %d failures\n",
          name, u.exact ? "exact" : "its own way", u.compared, u.unsupported,
          u.differing, u.numbers, u.failures);
  u.cls->destroy (u.self);
  return u.failures + (u.compared == 0);
}

int
main (void)
{
  struct qk_context *ctx = qk_context_new ();
  struct subject reference;
  char **names = NULL;
  int failures = 0, tried = 0;

  setvbuf (stdout, NULL, _IOLBF, 0);
  if (ctx == NULL || !open_subject (ctx, "reference", &reference)
      || qk_context_list (ctx, QK_KIND_BACKEND, &names) < 0)
    return 1;
  for (int i = 0; names[i] != NULL; i++)
    if (strcmp (names[i], "reference") != 0) {
      failures += check_backend (ctx, &reference, names[i]);
      tried++;
    }
  qk_names_free (names);
  reference.cls->destroy (reference.self);
  qk_context_free (ctx);
  printf ("seed %llu, %d backends, %d failures\n",
          (unsigned long long) number_from ("QATKIT_SEED", 1), tried,
          failures);
  return failures > 0 || tried == 0;
}
