/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench_infer.c: what qatkit/infer.h costs beyond the executor, which "qatkit
 * bench" times: both in turns, a call of one sample each.
 *
 * Usage: bench_infer MODEL [RUNS] */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <qatkit/infer.h>

#include "exec/exec.h"
#include "model/modelfile.h"
#include "settings/settings.h"

#define MAX_RUNS 100000

static void
die_if (int ret)
{
  if (ret >= 0)
    return;
  fprintf (stderr, "bench_infer: %s\n", qk_error_message ());
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

/* Memory for one sample of T in float. */
static struct qk_infer_buffer
buffer (const struct qk_infer_tensor *t)
{
  const size_t size = (size_t) qk_shape_count (&t->spec.shape) * 4;
  const struct qk_infer_buffer b = { QK_F32, qk_alloc (size), size };

  if (b.data == NULL)
    die_if (qk_oom ("bench_infer"));
  return b;
}

static struct qk_exec *
open_executor (struct qk_context *ctx, const char *path, struct qk_model **m)
{
  struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  struct qk_exec *ex;

  die_if (qk_model_load (ctx, path, m));
  die_if (qk_settings_backend (ctx, "auto", &opt.backend));
  die_if (qk_exec_new ((*m)->graph, &opt, &ex));
  return ex;
}

int
main (int argc, char **argv)
{
  static double exec_ms[MAX_RUNS], infer_ms[MAX_RUNS];
  const int runs = argc > 2 ? atoi (argv[2]) : 1000;
  struct qk_context *ctx = qk_context_new ();
  struct qk_infer_session *s;
  struct qk_model *model;
  struct qk_infer *m;
  struct qk_exec *ex;

  if (argc < 2 || runs < 1 || runs > MAX_RUNS || ctx == NULL) {
    printf ("usage: bench_infer MODEL [RUNS]\n");
    return argc < 2 ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  ex = open_executor (ctx, argv[1], &model);
  die_if (qk_infer_open (argv[1], NULL, &m));
  die_if (qk_infer_session_new (m, NULL, &s));
  if (qk_infer_inputs (m) != 1 || qk_infer_outputs (m) != 1)
    die_if (qk_error (-EINVAL, "one input and one output expected"));

  const struct qk_infer_buffer in = buffer (qk_infer_input (m, 0));
  const struct qk_infer_buffer out = buffer (qk_infer_output (m, 0));
  const void *x = in.data;

  for (int i = -3; i < runs; i++) {
    const double a = now_ms ();
    double b, c;

    die_if (qk_exec_forward (ex, &x, 1, 0));
    b = now_ms ();
    die_if (qk_infer_run (s, &in, &out, 1));
    c = now_ms ();
    exec_ms[i < 0 ? 0 : i] = b - a;
    infer_ms[i < 0 ? 0 : i] = c - b;
  }
  qsort (exec_ms, (size_t) runs, sizeof *exec_ms, ascending);
  qsort (infer_ms, (size_t) runs, sizeof *infer_ms, ascending);
  printf ("%s, %s: executor best %.4f ms, median %.4f ms; infer.h best %.4f "
          "ms, median %.4f ms: %+.2f %%, %+.2f %%\n",
          argv[1], qk_infer_backend (s), exec_ms[0], exec_ms[runs / 2],
          infer_ms[0], infer_ms[runs / 2],
          100 * (infer_ms[0] / exec_ms[0] - 1),
          100 * (infer_ms[runs / 2] / exec_ms[runs / 2] - 1));
  qk_free (in.data);
  qk_free (out.data);
  qk_infer_session_free (s);
  qk_infer_close (m);
  qk_exec_free (ex);
  qk_model_free (model);
  qk_context_free (ctx);
  return EXIT_SUCCESS;
}
