/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_kernels.c: every backend, at every CPU level it has here and with
 * one and two threads, against the reference backend: the same bytes.
 *
 * QATKIT_SEED   start of the random cases (printed; default 1)
 * QATKIT_CASES  cases of each operation (default 150)
 * QATKIT_KIND   only this operation, "conv2d"
 * Exit status 77 if no backend could be compared. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/context.h>

#include "kernels/case.h"

#define MOST_FAILURES 10
#define MOST_SUBJECTS 32

static const char *const backend_names[] = { "fbgemm", "qnnpack" };

/* Ascending; a backend says in its caps which one it reached. */
static const char *const levels[]
  = { "portable",   "avx2", "avxvnni", "avx512",
      "avx512vnni", "neon", "dotprod", "i8mm" };
static const int thread_counts[] = { 1, 2 };

#define COUNT(a) (sizeof (a) / sizeof (a)[0])

/* A backend at a level with a number of threads. */
struct subject {
  const struct qk_backend_class *cls;
  void *self;
  const char *level;
  int threads;
  long compared, unsupported;
};

struct state {
  const struct qk_backend_class *reference;
  void *reference_self;
  struct subject subject[MOST_SUBJECTS];
  size_t subjects;
  int skipped, failures;
};

static uint64_t
number_from (const char *variable, uint64_t otherwise)
{
  const char *text = getenv (variable);

  return text != NULL && text[0] != '\0' ? strtoull (text, NULL, 0)
                                         : otherwise;
}

static bool
has_caps (const struct qk_backend_class *cls, const char *level)
{
  struct qk_backend_caps caps;

  if (cls->probe (&caps) < 0) {
    printf ("skip: %s\n", qk_error_message ());
    return false;
  }
  if (strcmp (caps.cpu_level, level) != 0) {
    printf ("skip: %s at %s, this CPU lacks it\n", cls->cls.name, level);
    return false;
  }
  if (!caps.exact || caps.activation_bits < 7 || caps.activation_bits > 8) {
    printf ("FAIL: %s at %s: exact %d, %d bits\n", cls->cls.name, level,
            caps.exact, caps.activation_bits);
    exit (1);
  }
  return true;
}

/* The same class again under each cap, as a user's CPU would give it. */
static void
add_subjects (struct state *s, const struct qk_backend_class *cls)
{
  for (size_t l = 0; l < COUNT (levels); l++) {
    setenv ("QATKIT_CPU", levels[l], 1);
    if (!has_caps (cls, levels[l])) {
      s->skipped++;
      continue;
    }
    for (size_t t = 0; t < COUNT (thread_counts); t++) {
      struct subject *u = &s->subject[s->subjects++];

      *u = (struct subject){ .cls = cls,
                             .level = levels[l],
                             .threads = thread_counts[t] };
      if (cls->create (NULL, u->threads, &u->self) < 0) {
        printf ("FAIL: %s: %s\n", cls->cls.name, qk_error_message ());
        exit (1);
      }
    }
  }
  unsetenv ("QATKIT_CPU");
}

static void
fail (struct state *s, const struct subject *u, const struct kernel_case *c,
      uint64_t index, const char *what)
{
  printf ("FAIL: %s at %s, %d threads, case %llu: %s\n", u->cls->cls.name,
          u->level, u->threads, (unsigned long long) index, what);
  case_print (c);
  s->failures++;
}

static void
compare (struct state *s, const struct subject *u, const struct kernel_case *c,
         uint64_t index, const struct guard *want, const struct guard *got)
{
  char text[160];
  size_t different = 0, first = 0;

  for (size_t i = want->size; i-- > 0;)
    if (want->data[i] != got->data[i])
      different++, first = i;
  if (different == 0)
    return;
  snprintf (text, sizeof text,
            "%zu of %zu bytes differ, byte %zu is %d, "
            "expected %d",
            different, want->size, first, got->data[first], want->data[first]);
  fail (s, u, c, index, text);
}

static void
check_subject (struct state *s, struct subject *u, const struct kernel_case *c,
               uint64_t index, const struct guard *want)
{
  struct guard got;
  bool intact = true;
  const int r = case_run (u->cls, u->self, c, &got, index % 2, &intact);

  if (r < 0) {
    fail (s, u, c, index, qk_error_message ());
    return;
  }
  if (r > 0) {
    u->unsupported++;
    return;
  }
  u->compared++;
  compare (s, u, c, index, want, &got);
  if (!guard_intact (&got) || !intact)
    fail (s, u, c, index, "wrote outside its memory");
  for (int i = 0; i < c->op.n_in; i++)
    if (!guard_intact (&c->data[i]))
      fail (s, u, c, index, "wrote beside its input");
  guard_free (&got);
}

/* Case C, MADE or not, which is freed. */
static void
check_case (struct state *s, struct kernel_case *c, int made, uint64_t index)
{
  struct guard want;
  bool intact;

  if (made < 0
      || case_run (s->reference, s->reference_self, c, &want, false, &intact)
           != 0) {
    printf ("FAIL: reference, case %llu: %s\n", (unsigned long long) index,
            qk_error_message ());
    case_print (c);
    exit (1);
  }
  for (size_t i = 0; i < s->subjects; i++)
    check_subject (s, &s->subject[i], c, index, &want);
  guard_free (&want);
  case_free (c);
}

static void
check_kind (struct state *s, enum qk_op_kind kind)
{
  const uint64_t seed = number_from ("QATKIT_SEED", 1);
  const uint64_t cases = number_from ("QATKIT_CASES", 150);
  const char *only = getenv ("QATKIT_KIND");
  struct kernel_case c;

  if ((only != NULL && strcmp (only, qk_op_kind_name (kind)) != 0)
      || !case_exists (kind))
    return;
  for (uint64_t i = 0; i < cases && s->failures < MOST_FAILURES; i++)
    check_case (s, &c, case_new (&c, seed, (uint64_t) kind << 40 | i, kind),
                (uint64_t) kind << 40 | i);
}

/* NULL if there is no such backend in this build. */
static const struct qk_backend_class *
backend (struct qk_context *ctx, const char *name)
{
  const struct qk_class *cls;
  const int r = qk_context_class (ctx, QK_KIND_BACKEND, name, &cls);

  if (r < 0) {
    printf ("%s: %s\n", r == -ENOENT ? "skip" : "FAIL", qk_error_message ());
    if (r != -ENOENT)
      exit (1);
    return NULL;
  }
  return (const struct qk_backend_class *) cls;
}

static void
report (const struct state *s)
{
  for (size_t i = 0; i < s->subjects; i++) {
    const struct subject *u = &s->subject[i];

    printf ("%s at %s, %d threads: %ld compared, %ld not supported\n",
            u->cls->cls.name, u->level, u->threads, u->compared,
            u->unsupported);
  }
  printf ("seed %llu, %d levels skipped, %d failures\n",
          (unsigned long long) number_from ("QATKIT_SEED", 1), s->skipped,
          s->failures);
}

int
main (void)
{
  struct qk_context *ctx = qk_context_new ();
  struct kernel_case deepest;
  static struct state s;
  long compared = 0;

  if (ctx == NULL)
    return 1;
  setvbuf (stdout, NULL, _IOLBF, 0);
  s.reference = backend (ctx, "reference");
  if (s.reference == NULL
      || s.reference->create (NULL, 1, &s.reference_self) < 0)
    return 1;
  for (size_t i = 0; i < COUNT (backend_names); i++) {
    const struct qk_backend_class *cls = backend (ctx, backend_names[i]);

    if (cls != NULL)
      add_subjects (&s, cls);
  }
  for (int k = 1; qk_op_kind_name ((enum qk_op_kind) k) != NULL; k++)
    check_kind (&s, (enum qk_op_kind) k);
  check_case (&s, &deepest, case_deepest (&deepest), 0);
  report (&s);
  for (size_t i = 0; i < s.subjects; i++) {
    compared += s.subject[i].compared;
    s.subject[i].cls->destroy (s.subject[i].self);
  }
  s.reference->destroy (s.reference_self);
  qk_context_free (ctx);
  if (s.failures > 0)
    return 1;
  return compared > 0 ? 0 : 77;
}
