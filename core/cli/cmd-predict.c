/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-predict.c: predict: what a network answers for single files. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/suffix.h"
#include "cli/outputs.h"
#include "report/text.h"

/* The dataset plugin a model was made with, for reading single files. */
struct reader {
  const struct qk_dataset_class *cls;
  void *self, *worker;
  struct qk_dataset_info info;
};

static int
open_reader (struct qk_settings *settings, struct reader *rd)
{
  struct qk_dataset_request req;
  int r;

  memset (&req, 0, sizeof req);
  req.ctx = settings->ctx;
  rd->cls = settings->dataset_class;
  if (rd->cls->read_file == NULL)
    return qk_error (-ENOTSUP, "dataset '%s' cannot read single samples",
                     rd->cls->cls.name);
  if ((r = rd->cls->open (settings->dataset_cfg, &req, &rd->self)) < 0
      || (r = rd->cls->info (rd->self, &rd->info)) < 0)
    return r;
  if (rd->cls->worker_new != NULL)
    return rd->cls->worker_new (rd->self, &rd->worker);
  return 0;
}

static void
close_reader (struct reader *rd)
{
  if (rd->worker != NULL && rd->cls->worker_free != NULL)
    rd->cls->worker_free (rd->worker);
  if (rd->self != NULL)
    rd->cls->close (rd->self);
}

/* Where answers go: a JSON array, or (NULL) lines on stdout. */
struct printer {
  json_t **list;
};

static int
print_answer (void *cookie, const char *text, double score)
{
  const struct printer *p = cookie;
  char clean[256];

  if (p->list != NULL)
    qk_json_append (p->list,
                    json_pack ("{s:o,s:o}", "answer", qk_json_string (text),
                               "score", qk_json_real (score)));
  else if (isnan (score))
    printf ("  %s\n", qk_text_clean (text, clean, sizeof clean));
  else
    printf ("  %6.2f %%  %s\n", 100.0 * score,
            qk_text_clean (text, clean, sizeof clean));
  return 0;
}

static json_t *
output_to_json (const struct qk_tensor *t)
{
  const int64_t n = qk_shape_count (&t->shape);
  const float *x = t->data;
  json_t *a = json_array ();

  for (int64_t i = 0; i < n; i++)
    qk_json_append (&a, qk_json_real ((double) x[i]));
  return a;
}

/* An output as it is: its first elements. */
static void
print_output (const char *name, const struct qk_tensor *t)
{
  const int64_t count = qk_shape_count (&t->shape);
  const int64_t n = count < 8 ? count : 8;
  const float *x = t->data;
  char shape[120];

  printf ("  %s %s:", name, qk_shape_print (&t->shape, shape, sizeof shape));
  for (int64_t i = 0; i < n; i++)
    printf (" %.6g", (double) x[i]);
  printf (n < count ? " ...\n" : "\n");
}

/* A model at work on single files. */
struct predictor {
  struct qk_settings *settings;
  struct qk_model *model;
  struct reader rd;
  struct qk_objective *o;
  struct qk_exec *ex;
  void *input[QK_DATASET_MAX_TENSORS];
  struct qk_cli_outputs out; /* with --output */
};

/* What metric M says of the outputs of the last call. */
static int
answer (const struct predictor *p, const struct qk_objective_metric *m,
        json_t **list)
{
  struct qk_tensor t[QK_GRAPH_MAX_INPUTS];
  struct qk_tensor_spec ref[QK_GRAPH_MAX_INPUTS];
  struct printer out = { list };
  int i;

  for (i = 0; i < m->c.n_out; i++)
    t[i] = *qk_exec_output (p->ex, m->c.out[i]);
  for (i = 0; i < m->c.n_ref; i++)
    ref[i] = *qk_objective_reference (p->o, m->c.ref[i]);
  return m->cls->answer (m->self, t, ref, 5, print_answer, &out);
}

/* What the outputs of the last call mean: in the words of the first metric
 * that has some, else as they are. */
static int
print_prediction (struct qk_cli *cli, const struct predictor *p,
                  const char *file)
{
  json_t *o = cli->json ? json_object () : NULL, *part = NULL;
  int i, m = 0, r = 0;

  while (m < p->o->n_metrics && p->o->metric[m].cls->answer == NULL)
    m++;
  if (cli->json)
    qk_json_set (&o, "file", qk_json_string (file));
  else
    printf ("%s\n", file);
  if (m < p->o->n_metrics) {
    part = cli->json ? json_array () : NULL;
    r = answer (p, &p->o->metric[m], cli->json ? &part : NULL);
  } else if (cli->json)
    part = json_object ();
  for (i = 0; m == p->o->n_metrics && i < p->o->n_outputs; i++)
    if (cli->json)
      qk_json_set (&part, p->o->output[i].name,
                   output_to_json (qk_exec_output (p->ex, i)));
    else
      print_output (p->o->output[i].name, qk_exec_output (p->ex, i));
  if (!cli->json)
    return r;
  qk_json_set (&o, m < p->o->n_metrics ? "answers" : "outputs", part);
  if (r == 0)
    return qk_json_print_line (stdout, o);
  json_decref (o);
  return r;
}

static int
open_predictor (struct qk_cli *cli, struct predictor *p)
{
  struct qk_exec_options opt;
  struct qk_dataset_info info;
  int i, r;

  if ((r = qk_cli_open (cli, cli->arg[0], &p->settings, &p->model)) < 0
      || (r = open_reader (p->settings, &p->rd)) < 0)
    return r;
  info = p->rd.info; /* what it was trained with knows the categories */
  info.target = p->model->target;
  info.n_targets = p->model->n_targets;
  if ((r = qk_cli_check_keys (p->settings, &info)) < 0
      || (r
          = qk_settings_objective (p->settings, p->model->graph, &info, &p->o))
           < 0)
    return r;
  p->out.g = p->model->graph;
  qk_settings_exec_options (p->settings, 1, false, &opt);
  if ((r = qk_exec_new (p->model->graph, &opt, &p->ex)) < 0
      || (r = qk_exec_check_data (p->ex, info.input, info.n_inputs)) < 0)
    return r;
  for (i = 0; i < info.n_inputs; i++)
    if ((p->input[i] = qk_alloc (qk_spec_bytes (&info.input[i]))) == NULL)
      return qk_oom ("predict");
  return 0;
}

static void
close_predictor (struct predictor *p)
{
  int i;

  qk_cli_outputs_clear (&p->out);
  for (i = 0; i < QK_DATASET_MAX_TENSORS; i++)
    qk_free (p->input[i]);
  qk_exec_free (p->ex);
  qk_objective_free (p->o);
  close_reader (&p->rd);
  qk_model_free (p->model);
  qk_settings_free (p->settings);
}

int
qk_cmd_predict (struct qk_cli *cli)
{
  struct predictor p;
  int i, r, status = QK_EXIT_OK;

  if (qk_cli_wants_arrays (cli))
    return qk_cli_predict_arrays (cli);
  if (cli->n_args < 2)
    return qk_cli_usage (cli, "a model and at least one file expected");
  if (qk_has_suffix (cli->arg[0], ".ini"))
    return qk_cli_usage (cli,
                         "'%s' is a configuration, expected an int8 "
                         "model",
                         cli->arg[0]);
  memset (&p, 0, sizeof p);
  r = open_predictor (cli, &p);
  for (i = 1; i < cli->n_args && r >= 0; i++) {
    r = p.rd.cls->read_file (p.rd.self, p.rd.worker, cli->arg[i], p.input);
    /* name it and go on with the others, unless arrays have a row for each */
    if (r < 0 && cli->output == NULL) {
      status = qk_cli_fail (cli, r);
      r = 0;
      continue;
    }
    if (r == 0)
      r = qk_exec_forward (p.ex, (const void *const *) p.input, 1, 0);
    if (r == 0)
      r = cli->output != NULL ? qk_cli_outputs_add (&p.out, p.ex, 1)
                              : print_prediction (cli, &p, cli->arg[i]);
  }
  if (r >= 0 && cli->output != NULL && (r = qk_cli_outputs_end (&p.out)) == 0)
    r = qk_cli_outputs_write (cli, &p.out, cli->output);
  if (r < 0)
    status = qk_cli_fail (cli, r);
  close_predictor (&p);
  return status;
}
