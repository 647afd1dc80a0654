/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench_int8.c: a whole int8 network in the executor, samples to outputs:
 * time to load and pack it, activation memory, time of a batch.
 *
 * Usage: bench_int8 [file=MODEL] [model=NAME] [size=224] [classes=1000]
 *   [bits=8] [backend=fbgemm] [batch=1] [threads=1] [runs=50] [nodes=0]
 *
 * Without a file, the network of a model plugin with numbers from a hash,
 * quantized after one batch of random samples.  nodes=1 prints the best
 * time of every node.  QATKIT_CPU caps the CPU level. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/network.h"
#include "model/modelfile.h"

#define MAX_RUNS 100000
#define MAX_VALUES 4096

struct bench {
  const char *file, *model, *backend;
  int size, classes, bits, batch, threads, runs, nodes;
};

/* Times between the calls of the executor's hook. */
struct stopwatch {
  double last, best[MAX_VALUES];
};

static void
die_if (int ret)
{
  if (ret >= 0)
    return;
  fprintf (stderr, "bench_int8: %s\n", qk_error_message ());
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

static struct qk_graph *
make_network (struct qk_context *ctx, const struct bench *b)
{
  const struct qk_exec_options opt = { .batch = 2, .threads = b->threads };
  struct qk_graph *g, *prepared, *int8;
  float *x = network_samples (2, b->size);
  const float *logits;
  struct qk_exec *ex;

  if (x == NULL)
    die_if (qk_oom ("bench"));
  die_if (network_build (ctx, b->model, "", b->size, b->classes, &g));
  die_if (network_fill (g));
  die_if (network_prepare (g, b->bits, &prepared));
  qk_graph_set_observing (prepared, true, true);
  die_if (qk_exec_new (prepared, &opt, &ex));
  die_if (network_forward (ex, x, 2, QK_PASS_BATCH_STATS, &logits));
  qk_exec_free (ex);
  die_if (qk_pass_convert (prepared, &int8));
  qk_graph_free (prepared);
  qk_graph_free (g);
  qk_free (x);
  return int8;
}

static int
lap (void *cookie, int value, const struct qk_tensor *t)
{
  struct stopwatch *w = cookie;
  const double now = now_ms (), spent = now - w->last;

  (void) t;
  if (value < MAX_VALUES && (w->best[value] == 0 || spent < w->best[value]))
    w->best[value] = spent;
  w->last = now_ms ();
  return 0;
}

static void
print_nodes (struct qk_exec *ex, const struct qk_graph *g, const float *x,
             const struct bench *b)
{
  static struct stopwatch w;
  const float *logits;

  qk_exec_set_hook (ex, lap, &w);
  for (int i = 0; i < b->runs; i++) {
    w.last = now_ms ();
    die_if (network_forward (ex, x, b->batch, 0, &logits));
  }
  qk_exec_set_hook (ex, NULL, NULL);
  printf ("  %-28s %8.4f ms\n", "input", w.best[g->input[0]]);
  for (int i = 0; i < g->n_nodes && g->node[i].out < MAX_VALUES; i++) {
    const struct qk_node *n = &g->node[i];
    const double best = w.best[n->out];
    char shape[80];

    printf ("  %-28s %8.4f ms %7.1f GMAC/s  %s\n", n->name, best,
            (double) n->traits.macs * b->batch / best * 1e-6,
            qk_shape_print (&g->value[n->out].shape, shape, sizeof shape));
  }
}

static void
time_network (struct qk_graph *g, const struct bench *b, double loaded)
{
  static double ms[MAX_RUNS];
  const struct qk_exec_options opt
    = { .batch = b->batch, .threads = b->threads, .backend = b->backend };
  const int side = (int) g->value[g->input[0]].shape.dims[1];
  float *x = network_samples (b->batch, side);
  double start = now_ms ();
  const float *logits;
  struct qk_exec *ex;

  if (x == NULL)
    die_if (qk_oom ("bench"));
  die_if (qk_exec_new (g, &opt, &ex));
  printf ("%s %dx%d, %s, batch %d, %d threads: load %.1f ms, pack %.1f ms, "
          "%.2f MB of activations",
          b->file != NULL ? b->file : b->model, side, side, b->backend,
          b->batch, b->threads, loaded, now_ms () - start,
          (double) qk_exec_memory (ex) / 1e6);
  for (int i = -2; i < b->runs; i++) {
    start = now_ms ();
    die_if (network_forward (ex, x, b->batch, 0, &logits));
    ms[i < 0 ? 0 : i] = now_ms () - start;
  }
  qsort (ms, (size_t) b->runs, sizeof ms[0], ascending);
  printf (", best %.3f ms, median %.3f ms, %.1f samples/s, %.1f GMAC/s\n",
          ms[0], ms[b->runs / 2], 1e3 * b->batch / ms[0],
          (double) qk_graph_macs (g) * b->batch / ms[0] * 1e-6);
  if (b->nodes)
    print_nodes (ex, g, x, b);
  qk_exec_free (ex);
  qk_free (x);
}

static int
number (const char *text, int lowest, int highest)
{
  const int n = atoi (text);

  if (n < lowest || n > highest) {
    fprintf (stderr, "bench_int8: expected a number in %d..%d, got '%s'\n",
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
    if (IS ("file"))
      b->file = eq + 1;
    else if (IS ("model"))
      b->model = eq + 1;
    else if (IS ("backend"))
      b->backend = eq + 1;
    else if (IS ("size"))
      b->size = number (eq + 1, 1, 4096);
    else if (IS ("classes"))
      b->classes = number (eq + 1, 1, 1000000);
    else if (IS ("bits"))
      b->bits = number (eq + 1, 2, 8);
    else if (IS ("batch"))
      b->batch = number (eq + 1, 1, 65536);
    else if (IS ("threads"))
      b->threads = number (eq + 1, 1, 1024);
    else if (IS ("runs"))
      b->runs = number (eq + 1, 1, MAX_RUNS);
    else if (IS ("nodes"))
      b->nodes = number (eq + 1, 0, 1);
    else {
      fprintf (stderr,
               "bench_int8: '%s' is none of file= model= size= "
               "classes= bits= backend= batch= threads= runs= nodes=\n",
               argv[i]);
      exit (2);
    }
#undef IS
  }
}

int
main (int argc, char **argv)
{
  struct bench b = { .model = "mobilenet_v2",
                     .backend = "fbgemm",
                     .size = 224,
                     .classes = 1000,
                     .bits = 8,
                     .batch = 1,
                     .threads = 1,
                     .runs = 50 };
  struct qk_context *ctx = qk_context_new ();
  struct qk_model *m = NULL;
  struct qk_graph *g;
  double start;

  parse (argc, argv, &b);
  if (ctx == NULL)
    die_if (qk_oom ("bench"));
  start = now_ms ();
  if (b.file != NULL)
    die_if (qk_model_load (ctx, b.file, &m));
  g = m != NULL ? m->graph : make_network (ctx, &b);
  time_network (g, &b, m != NULL ? now_ms () - start : 0.0);
  if (m != NULL)
    qk_model_free (m);
  else
    qk_graph_free (g);
  qk_context_free (ctx);
  return EXIT_SUCCESS;
}
