/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench_train.c: time of training steps of a whole network on random
 * pictures, float and QAT (batch statistics, observers on).
 *
 * Usage: bench_train [mode=float|qat|both] [model=NAME] [options="KEY=VALUE …"]
 *   [size=160] [batch=30] [classes=10] [threads=2] [steps=5]
 *
 * One line a mode: milliseconds (best, median) of a step and its parts. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <qatkit/rng.h>

#include "lib/network.h"

#define MAX_STEPS 1000

enum { FORWARD, BACKWARD, OPTIMIZER, STEP, PARTS };

struct bench {
  const char *mode, *model, *options;
  int size, batch, classes, threads, steps;
};

struct trainer {
  struct qk_graph *g;
  struct qk_exec *ex;
  struct qk_optimize *sgd;
};

static void
die_if (int ret)
{
  if (ret >= 0)
    return;
  fprintf (stderr, "bench_train: %s\n", qk_error_message ());
  exit (EXIT_FAILURE);
}

static double
now_ms (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return 1e3 * (double) t.tv_sec + 1e-6 * (double) t.tv_nsec;
}

static int
ascending (const void *a, const void *b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static void
open_trainer (struct qk_context *ctx, const struct bench *b, bool qat,
              struct trainer *t)
{
  const struct qk_exec_options opt = { .batch = b->batch,
                                       .threads = b->threads, .train = true,
                                       .loss = "softmax_cross_entropy" };
  struct qk_graph *g;

  die_if (network_build (ctx, b->model, b->options, b->size, b->classes, &g));
  if (qat)
    die_if (network_prepare (g, 7, &t->g));
  else
    die_if (qk_pass_fuse (g, &t->g));
  qk_graph_free (g);
  die_if (qk_exec_new (t->g, &opt, &t->ex));
  die_if (network_sgd (t->g, "lr=0.01 momentum=0.9 weight_decay=0.0001",
                       &t->sgd));
  qk_graph_set_observing (t->g, qat, qat);
}

static void
close_trainer (struct trainer *t)
{
  qk_optimize_free (t->sgd);
  qk_exec_free (t->ex);
  qk_graph_free (t->g);
}

static void
step (struct trainer *t, const struct bench *b, const float *x,
      const int32_t *labels, double ms[PARTS])
{
  const double t0 = now_ms ();
  double t1, t2;
  const float *y;
  float loss;

  die_if (qk_exec_forward (t->ex, x, b->batch,
                           QK_PASS_TRAIN | QK_PASS_BATCH_STATS, &y));
  t1 = now_ms ();
  die_if (qk_exec_backward (t->ex, labels, &loss));
  t2 = now_ms ();
  die_if (qk_optimize_step (t->sgd, MAX_STEPS, MAX_STEPS));
  ms[STEP] = now_ms () - t0;
  ms[FORWARD] = t1 - t0;
  ms[BACKWARD] = t2 - t1;
  ms[OPTIMIZER] = ms[STEP] - ms[FORWARD] - ms[BACKWARD];
}

static void
run_mode (struct qk_context *ctx, const struct bench *b, bool qat,
          const float *x, const int32_t *labels)
{
  static const char *const names[PARTS]
    = { "forward", "backward", "optimizer", "step" };
  static double ms[PARTS][MAX_STEPS];
  struct trainer t;
  struct rusage use;
  double one[PARTS], macs;

  open_trainer (ctx, b, qat, &t);
  step (&t, b, x, labels, one); /* memory is touched for the first time */
  for (int i = 0; i < b->steps; i++) {
    step (&t, b, x, labels, one);
    for (int j = 0; j < PARTS; j++)
      ms[j][i] = one[j];
  }
  printf ("%-5s", qat ? "qat" : "float");
  for (int j = 0; j < PARTS; j++) {
    qsort (ms[j], (size_t) b->steps, sizeof (double), ascending);
    printf ("  %s_ms %.1f %.1f", names[j], ms[j][0], ms[j][b->steps / 2]);
  }
  getrusage (RUSAGE_SELF, &use);
  /* forward, gradient of the input, gradient of the weight */
  macs = 3.0 * (double) qk_graph_macs (t.g) * b->batch;
  printf ("  images_s %.1f  gmac_s %.1f  arena_mib %zu  peak_mib %ld\n",
          1e3 * b->batch / ms[STEP][0], 1e-6 * macs / ms[STEP][0],
          qk_exec_memory (t.ex) >> 20, use.ru_maxrss >> 10);
  fflush (stdout);
  close_trainer (&t);
}

static int
number (const char *text, int lowest, int highest)
{
  const int n = atoi (text);

  if (n < lowest || n > highest) {
    fprintf (stderr, "bench_train: expected a number in %d..%d, got '%s'\n",
             lowest, highest, text);
    exit (2);
  }
  return n;
}

static void
parse (int argc, char **argv, struct bench *b)
{
  for (int i = 1; i < argc; i++) {
    const char *eq = strchr (argv[i], '=');
    const size_t n = eq != NULL ? (size_t) (eq - argv[i]) : 0;

#define IS(key) (n == sizeof (key) - 1 && memcmp (argv[i], key, n) == 0)
    if (IS ("mode"))
      b->mode = eq + 1;
    else if (IS ("model"))
      b->model = eq + 1;
    else if (IS ("options"))
      b->options = eq + 1;
    else if (IS ("size"))
      b->size = number (eq + 1, 1, 4096);
    else if (IS ("batch"))
      b->batch = number (eq + 1, 1, 65536);
    else if (IS ("classes"))
      b->classes = number (eq + 1, 1, 1000000);
    else if (IS ("threads"))
      b->threads = number (eq + 1, 1, 1024);
    else if (IS ("steps"))
      b->steps = number (eq + 1, 1, MAX_STEPS);
    else {
      fprintf (stderr, "bench_train: '%s' is none of mode= model= options= "
               "size= batch= classes= threads= steps=\n", argv[i]);
      exit (2);
    }
#undef IS
  }
}

int
main (int argc, char **argv)
{
  struct bench b = { .mode = "both", .model = "mobilenet_v2", .options = "",
                     .size = 160, .batch = 30, .classes = 10, .threads = 2,
                     .steps = 5 };
  struct qk_context *ctx = qk_context_new ();
  struct qk_rng rng;
  int32_t *labels;
  size_t n;
  float *x;

  parse (argc, argv, &b);
  n = (size_t) b.batch * (size_t) b.size * (size_t) b.size * 3;
  x = qk_alloc (n * sizeof *x);
  labels = qk_alloc ((size_t) b.batch * sizeof *labels);
  if (ctx == NULL || x == NULL || labels == NULL)
    die_if (qk_error (-ENOMEM, "out of memory"));
  qk_rng_seed (&rng, 1, 1);
  for (size_t i = 0; i < n; i++)
    x[i] = 4.0f * qk_rng_float (&rng) - 2.0f;
  for (int i = 0; i < b.batch; i++)
    labels[i] = (int32_t) (i * 7 % b.classes);
  if (strcmp (b.mode, "qat") != 0)
    run_mode (ctx, &b, false, x, labels);
  if (strcmp (b.mode, "float") != 0)
    run_mode (ctx, &b, true, x, labels);
  qk_free (labels);
  qk_free (x);
  qk_context_free (ctx);
  return EXIT_SUCCESS;
}
