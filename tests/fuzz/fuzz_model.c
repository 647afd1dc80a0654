/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_model.c: any bytes as an int8 model.  What starts with '{' is taken as
 * the graph's JSON, a NUL, and bytes for its arrays, so that the fuzzer need
 * not keep a tensor file in order; a graph that is accepted is run. */
#include "config.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exec/exec.h"
#include "graph/op-priv.h"
#include "model/json-graph.h"
#include "model/modelfile.h"
#include "replay.h"

/* Larger networks are slow, and show no more than small ones. */
#define MAX_COUNT 20000

struct bytes {
  const uint8_t *data;
  size_t size, at;
};

static uint8_t
next_byte (struct bytes *b)
{
  return b->size > 0 ? b->data[b->at++ % b->size] : 1;
}

/* Fill element I of an array of DTYPE; integers of four bytes are multiples
 * of FACTOR. */
static void
give_number (enum qk_dtype dtype, int factor, void *data, int64_t i,
             struct bytes *b)
{
  switch (dtype) {
  case QK_I32:
    ((int32_t *) data)[i] = (int8_t) next_byte (b) * factor;
    break;
  case QK_F32:
    ((float *) data)[i] = ldexpf (1.0f + (float) next_byte (b), -16);
    break;
  default:
    ((uint8_t *) data)[i] = next_byte (b);
  }
}

/* The arrays that a file would have for this op; false if too large. */
static bool
give_arrays (struct qk_op *op, struct bytes *b)
{
  const struct qk_op_array *a = qk_op_row (op->kind)->array;
  struct qk_shape s;

  if (op->kernel_h > 64 || op->kernel_w > 64 || op->in_channels > 4096
      || op->out_channels > 4096)
    return false;
  for (; a != NULL && a->name != NULL; a++) {
    int64_t n;
    void *data;

    a->shape (op, &s);
    n = qk_shape_count (&s);
    if (n < 1 || n > MAX_COUNT)
      return false;
    data = qk_alloc ((size_t) n * qk_dtype_size (a->dtype));
    if (data == NULL)
      abort ();
    *qk_op_array_at (op, a) = data;
    for (int64_t i = 0; i < n; i++)
      give_number (a->dtype, strcmp (a->name, "bias") == 0 ? 1000 : 1, data, i,
                   b);
  }
  return true;
}

/* The elements that a file would have for a constant. */
static void
give_constant (struct qk_value *v, struct bytes *b)
{
  const int64_t n = qk_shape_count (&v->shape);
  const enum qk_dtype dtype = v->on_grid ? QK_U8 : QK_F32;

  v->constant = qk_alloc ((size_t) n * qk_dtype_size (dtype));
  if (v->constant == NULL)
    abort ();
  for (int64_t i = 0; i < n; i++)
    give_number (dtype, 1, v->constant, i, b);
}

static bool
complete (struct qk_graph *g, struct bytes *b)
{
  struct qk_shape in[QK_OP_MAX_INPUTS];
  int64_t work = 0;
  int i, j;

  for (i = 0; i < g->n_values; i++)
    if (qk_shape_count (&g->value[i].shape) > MAX_COUNT)
      return false;
  for (i = 0; i < g->n_values; i++)
    if (g->value[i].producer < 0 && !qk_graph_is_input (g, i))
      give_constant (&g->value[i], b);
  for (i = 0; i < g->n_nodes; i++) {
    struct qk_node *n = &g->node[i];
    const struct qk_shape *out = &g->value[n->out].shape;

    if (!n->lowered)
      continue;
    for (j = 0; j < n->n_in; j++)
      in[j] = g->value[n->in[j]].shape;
    if (!give_arrays (&n->op, b) || qk_op_check_node (&n->op, in, out) < 0)
      return false;
    work += qk_shape_count (out) * (n->op.kernel_h + 1) * (n->op.kernel_w + 1);
    work += qk_op_macs (&n->op, in, out);
    if (work > 100 * MAX_COUNT)
      return false;
  }
  return true;
}

/* Numbers for each of N samples X. */
static float *
give_samples (int64_t n, struct bytes *b)
{
  float *x = qk_alloc ((size_t) n * sizeof *x);

  if (x == NULL)
    abort ();
  for (int64_t i = 0; i < n; i++)
    x[i] = (float) (int8_t) next_byte (b) / 50.0f;
  return x;
}

static void
execute (struct qk_graph *g, struct bytes *b)
{
  struct qk_exec_options opt;
  struct qk_exec *ex;
  void *input[QK_GRAPH_MAX_INPUTS];
  float sum = 0;

  memset (&opt, 0, sizeof opt);
  opt.batch = opt.threads = 1;
  opt.backend = next_byte (b) & 1 ? "fbgemm" : "reference";
  for (int i = 0; i < g->n_inputs; i++)
    input[i] = give_samples (qk_shape_count (&g->value[g->input[i]].shape), b);
  if (qk_exec_new (g, &opt, &ex) == 0) {
    if (qk_exec_forward (ex, (const void *const *) input, 1, 0) == 0)
      for (int k = 0; k < g->n_outputs; k++) {
        const struct qk_tensor *y = qk_exec_output (ex, k);

        for (int64_t i = 0; i < qk_shape_count (&y->shape); i++)
          sum += ((const float *) y->data)[i];
      }
    qk_exec_free (ex);
  }
  if (sum == 1.2345f)
    abort (); /* the outputs are really read */
  for (int i = 0; i < g->n_inputs; i++)
    qk_free (input[i]);
}

static struct qk_context *
open_context (void)
{
  struct qk_context *ctx = qk_context_new ();
  const struct qk_class *c;

  if (ctx && qk_context_class (ctx, QK_KIND_FORMAT, "safetensors", &c) == 0
      && qk_context_class (ctx, QK_KIND_BACKEND, "reference", &c) == 0
      && qk_context_class (ctx, QK_KIND_BACKEND, "fbgemm", &c) == 0)
    return ctx;
  fprintf (stderr, "%s\n", qk_error_message ());
  abort (); /* nothing would be tested */
}

static void
try_graph (struct qk_context *ctx, const uint8_t *data, size_t size)
{
  const uint8_t *end = memchr (data, 0, size);
  const size_t len = end ? (size_t) (end - data) : size;
  struct bytes b = { data + len, size - len, 0 };
  char *text = malloc (len + 1);
  struct qk_graph *g;

  if (!text)
    abort ();
  memcpy (text, data, len);
  text[len] = '\0';
  if (qk_graph_from_json (ctx, "fuzz", text, 4 * MAX_COUNT, &g) == 0) {
    if (complete (g, &b))
      execute (g, &b);
    qk_graph_free (g);
  }
  free (text);
}

static void
try_file (struct qk_context *ctx, const uint8_t *data, size_t size)
{
  const int fd = memfd_create ("fuzz", MFD_CLOEXEC);
  struct qk_model *m;
  char path[64];

  if (fd < 0 || write (fd, data, size) != (ssize_t) size)
    abort ();
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  if (qk_model_load (ctx, path, &m) == 0)
    qk_model_free (m);
  close (fd);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static struct qk_context *ctx;

  if (!ctx)
    ctx = open_context ();
  qk_context_set_log (ctx, NULL, NULL, QK_LOG_ERROR);
  if (size > 0 && data[0] == '{')
    try_graph (ctx, data, size);
  else
    try_file (ctx, data, size);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "model");
}
#endif
