/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_network.c: any bytes as an ONNX file that holds a network.  What can be
 * built runs. */
#include "config.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <qatkit/model.h>

#include "exec/exec.h"
#include "graph/graph-priv.h"
#include "graph/limits.h"
/* the class, which everybody else gets from the plugin */
#include "onnx.c"
#include "replay.h"

/* Elements of all values together, and the bytes of parameters, that a run is
 * made for. */
#define MAX_ELEMENTS 200000
#define MAX_PARAMS 10000000

static void
demand (int ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "%s: %s\n", what, qk_error_message ());
  abort ();
}

/* The bytes as a file with a name. */
static int
put (const uint8_t *data, size_t size, char *path, size_t n)
{
  const int fd = memfd_create ("fuzz", MFD_CLOEXEC);

  if (fd < 0 || write (fd, data, size) != (ssize_t) size) {
    if (fd >= 0)
      close (fd);
    return -1;
  }
  snprintf (path, n, "/proc/self/fd/%d", fd);
  return fd;
}

static void
run (struct qk_graph *g)
{
  struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  const void *input[QK_GRAPH_MAX_INPUTS];
  struct qk_exec *ex;
  int i;

  for (i = 0; i < g->n_inputs; i++)
    input[i] = qk_alloc (
      sizeof (float) * (size_t) qk_shape_count (&g->value[g->input[i]].shape));
  if (qk_exec_new (g, &opt, &ex) == 0) {
    qk_exec_forward (ex, input, 1, 0);
    qk_exec_free (ex);
  }
  for (i = 0; i < g->n_inputs; i++)
    qk_free ((void *) (uintptr_t) input[i]);
}

static bool
is_small (const struct qk_graph *g)
{
  int64_t sum = 0;
  int i;

  for (i = 0; i < g->n_values && sum <= MAX_ELEMENTS; i++)
    sum += qk_shape_count (&g->value[i].shape);
  return sum <= MAX_ELEMENTS && qk_graph_macs (g) <= 100 * MAX_ELEMENTS;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static struct qk_context *ctx;
  struct qk_model_request req = { 0 };
  struct qk_config *cfg;
  struct qk_graph *g;
  char path[64], text[96];
  const int fd = put (data, size, path, sizeof path);
  int r;

  if (fd < 0)
    return 0;
  if (ctx == NULL)
    ctx = qk_context_new ();
  snprintf (text, sizeof text, "file=%s side=8", path);
  demand (qk_config_parse (options, text, "fuzz", &cfg) == 0, "options");
  demand (qk_graph_new (ctx, 1, &g) == 0, "graph");
  g->max_params = MAX_PARAMS;
  r = onnx_build (cfg, &req, g);
  if (r < 0)
    demand (strstr (qk_error_message (), path) != NULL,
            "error without the file's name");
  else if (qk_graph_finish (g) == 0 && qk_limit_work (g) == 0 && is_small (g))
    run (g);
  qk_graph_free (g);
  qk_config_free (cfg);
  close (fd);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "network");
}
#endif
