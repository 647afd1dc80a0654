/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* arrays.c: predict with arrays out of files: what goes into a network and what
 * comes out of it, as numbers. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/outputs.h"

/* An array of float in the layout of ours: SAMPLES of them. */
struct array {
  float *data; /* owned */
  int64_t samples;
  bool single; /* the file has no axis for the batch */
};

struct arrays {
  struct qk_settings *settings;
  struct qk_model *model;
  struct qk_graph *own;     /* of a network file; owned */
  const struct qk_graph *g; /* that, or the model's */
  struct qk_exec *ex;
  struct array in[QK_GRAPH_MAX_INPUTS];
  struct qk_cli_outputs out;
  int64_t samples;
};

/* Whether PATH has the ending of a format of arrays. */
static bool
is_array_file (struct qk_cli *cli, const char *path)
{
  const struct qk_format_class *format;

  return qk_format_find (cli->ctx, path, NULL, &format) == 0;
}

bool
qk_cli_wants_arrays (struct qk_cli *cli)
{
  return cli->n_args >= 1
         && (cli->n_input > 0
             || (cli->output != NULL
                 && (cli->n_args < 2 || is_array_file (cli, cli->arg[1])))
             || qk_cli_network_of (cli, cli->arg[0]) != NULL);
}

/* ---- reading ------------------------------------------------------------------- */

static float
element (const struct qk_tensor *t, int64_t i)
{
  const unsigned char *p
    = (const unsigned char *) t->data + (size_t) i * qk_dtype_size (t->dtype);
  double d;
  float f;
  int64_t l;
  int32_t n;
  uint16_t u;

  switch (t->dtype) {
  case QK_F32:
    memcpy (&f, p, sizeof f);
    return f;
  case QK_F64:
    memcpy (&d, p, sizeof d);
    return (float) d;
  case QK_I32:
    memcpy (&n, p, sizeof n);
    return (float) n;
  case QK_I64:
    memcpy (&l, p, sizeof l);
    return (float) l;
  case QK_U8:
    return (float) *p;
  case QK_U16:
    memcpy (&u, p, sizeof u);
    return (float) u;
  case QK_I8:
    return (float) (int8_t) *p;
  case QK_NONE:
    break;
  }
  return 0;
}

/* Whether T is one sample, or a batch of them, of our SHAPE. */
static bool
count_samples (const struct qk_tensor *t, const struct qk_shape *shape,
               struct array *a)
{
  const struct qk_shape want = qk_cli_outside (shape);
  struct qk_shape rest;
  int i;

  a->single = qk_shape_equal (&t->shape, &want);
  a->samples = 1;
  if (a->single || t->shape.ndim != want.ndim + 1)
    return a->single;
  rest.ndim = want.ndim;
  for (i = 0; i < want.ndim; i++)
    rest.dims[i] = t->shape.dims[i + 1];
  a->samples = t->shape.dims[0];
  return a->samples > 0 && qk_shape_equal (&rest, &want);
}

static int
take_tensor (const struct qk_tensor *t, const struct qk_value *v,
             const char *path, struct array *a)
{
  const int64_t n = qk_shape_count (&v->shape);
  const struct qk_shape want = qk_cli_outside (&v->shape);
  char x[120], y[120];
  float *plain;
  int64_t i, k;

  if (!count_samples (t, &v->shape, a))
    return qk_error (-EINVAL,
                     "%s: has shape %s, expected samples of %s for input '%s'",
                     path, qk_shape_print (&t->shape, x, sizeof x),
                     qk_shape_print (&want, y, sizeof y), v->name);
  a->data = qk_alloc (sizeof *a->data * (size_t) (n * a->samples));
  plain = qk_alloc (sizeof *plain * (size_t) n); /* a sample */
  if (a->data == NULL || plain == NULL) {
    qk_free (plain);
    return qk_oom ("%s", path);
  }
  for (i = 0; i < a->samples; i++) {
    for (k = 0; k < n; k++)
      plain[k] = element (t, i * n + k);
    qk_cli_turn (&v->shape, plain, a->data + i * n, true);
  }
  qk_free (plain);
  return 0;
}

/* The tensor NAME of the file at PATH, or its only one. */
static int
read_array (struct qk_cli *cli, const char *path, const struct qk_value *v,
            struct array *a)
{
  struct qk_format_entry e;
  struct qk_tensorfile *f;
  int64_t at = 0;
  int r;

  if (a->data != NULL)
    return qk_error (-EINVAL, "%s: input '%s' is given twice", path, v->name);
  if ((r = qk_tensorfile_open (cli->ctx, path, NULL, &f)) < 0)
    return r;
  if (qk_tensorfile_count (f) != 1
      && (at = qk_tensorfile_find (f, v->name)) < 0)
    r = qk_error (-EINVAL,
                  "%s: has %lld arrays, expected one, or one called '%s'",
                  path, (long long) qk_tensorfile_count (f), v->name);
  if (r == 0 && (r = qk_tensorfile_entry (f, at, &e)) == 0)
    r = take_tensor (&e.tensor, v, path, a);
  qk_tensorfile_close (f);
  return r;
}

/* --input NAME=FILE */
static int
read_named (struct qk_cli *cli, struct arrays *p, const char *text)
{
  const char *end = strrchr (text, '=');
  int i;

  for (i = 0; end != NULL && i < p->g->n_inputs; i++) {
    const struct qk_value *v = &p->g->value[p->g->input[i]];

    if (strlen (v->name) == (size_t) (end - text)
        && strncmp (v->name, text, (size_t) (end - text)) == 0)
      return read_array (cli, end + 1, v, &p->in[i]);
  }
  return qk_error (-EINVAL,
                   "--input '%s': expected NAME=FILE, the name being that of "
                   "an input, such as '%s'",
                   text, p->g->value[p->g->input[0]].name);
}

static int
read_all (struct qk_cli *cli, struct arrays *p)
{
  const int files = cli->n_args - 1, n = p->g->n_inputs;
  int i, r = 0;

  for (i = 0; i < cli->n_input && r == 0; i++)
    r = read_named (cli, p, cli->input[i]);
  if (r == 0 && files > n)
    r = qk_error (-EINVAL, "%d files, but the network has %d input%s", files,
                  n, n == 1 ? "" : "s");
  for (i = 0; i < files && r == 0; i++)
    r = read_array (cli, cli->arg[i + 1], &p->g->value[p->g->input[i]],
                    &p->in[i]);
  for (i = 0; i < n && r == 0; i++) {
    const char *name = p->g->value[p->g->input[i]].name;

    if (p->in[i].data == NULL)
      r = qk_error (-EINVAL, "input '%s' is not given; --input %s=FILE", name,
                    name);
    else if (p->in[i].samples != p->in[0].samples)
      r = qk_error (-EINVAL, "input '%s' has %lld samples, '%s' has %lld",
                    name, (long long) p->in[i].samples,
                    p->g->value[p->g->input[0]].name,
                    (long long) p->in[0].samples);
  }
  p->samples = p->in[0].samples;
  p->out.single = p->in[0].single;
  return r;
}

/* ---- running -------------------------------------------------------------------- */

#define BATCH 16

/* A network whose file puts tensors on grids computes on these, averages of
 * integers among others, when it is fused. */
static int
use_grids (struct qk_graph **g)
{
  struct qk_graph *fused;
  int i, r;

  for (i = 0; i < (*g)->n_nodes; i++)
    if ((*g)->node[i].traits.role == QK_ROLE_GRID)
      break;
  if (i == (*g)->n_nodes)
    return 0;
  if ((r = qk_pass_fuse (*g, &fused)) < 0)
    return r;
  qk_graph_free (*g);
  *g = fused;
  return 0;
}

static int
open_network (struct qk_cli *cli, struct arrays *p)
{
  struct qk_exec_options opt;
  struct qk_graph *g;
  int r;

  if (qk_cli_network_of (cli, cli->arg[0]) != NULL) {
    if ((r = qk_cli_network (cli, cli->arg[0], &p->settings, &p->own)) < 0
        || (r = use_grids (&p->own)) < 0)
      return r;
    g = p->own;
  } else if ((r = qk_cli_open (cli, cli->arg[0], &p->settings, &p->model)) < 0)
    return r;
  else if (p->model == NULL)
    return qk_error (-EINVAL,
                     "%s: is a configuration, expected a model or a network",
                     cli->arg[0]);
  else
    g = p->model->graph;
  p->g = g;
  qk_settings_exec_options (p->settings, BATCH, false, &opt);
  return qk_exec_new (g, &opt, &p->ex);
}

static int
run (struct arrays *p)
{
  const void *input[QK_GRAPH_MAX_INPUTS];
  int64_t at, n;
  int i, r;

  p->out.g = p->g;
  for (at = 0; at < p->samples; at += n) {
    n = p->samples - at < BATCH ? p->samples - at : BATCH;
    for (i = 0; i < p->g->n_inputs; i++)
      input[i] = p->in[i].data
                 + at * qk_shape_count (&p->g->value[p->g->input[i]].shape);
    if ((r = qk_exec_forward (p->ex, input, n, 0)) < 0
        || (r = qk_cli_outputs_add (&p->out, p->ex, n)) < 0)
      return r;
  }
  return qk_cli_outputs_end (&p->out);
}

/* ---- writing --------------------------------------------------------------------- */

static void
print_result (const struct qk_format_entry *e)
{
  const int64_t count = qk_shape_count (&e->tensor.shape);
  const int64_t n = count < 8 ? count : 8;
  const float *x = e->tensor.data;
  char shape[120];
  int64_t i;

  printf ("%s %s:", e->name,
          qk_shape_print (&e->tensor.shape, shape, sizeof shape));
  for (i = 0; i < n; i++)
    printf (" %.6g", (double) x[i]);
  printf (n < count ? " ...\n" : "\n");
}

static int
write_results (struct qk_cli *cli, const struct arrays *p)
{
  struct qk_format_entry e;
  int i;

  if (cli->output != NULL)
    return qk_cli_outputs_write (cli, &p->out, cli->output);
  for (i = 0; i < p->g->n_outputs; i++) {
    qk_cli_outputs_entry (&p->out, i, &e);
    print_result (&e);
  }
  return 0;
}

int
qk_cli_predict_arrays (struct qk_cli *cli)
{
  struct arrays p;
  int i, r;

  memset (&p, 0, sizeof p);
  if ((r = open_network (cli, &p)) == 0 && (r = read_all (cli, &p)) == 0
      && (r = run (&p)) == 0)
    r = write_results (cli, &p);
  r = r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  qk_cli_outputs_clear (&p.out);
  for (i = 0; i < QK_GRAPH_MAX_INPUTS; i++)
    qk_free (p.in[i].data);
  qk_exec_free (p.ex);
  qk_graph_free (p.own);
  qk_model_free (p.model);
  qk_settings_free (p.settings);
  return r;
}
