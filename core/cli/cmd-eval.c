/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-eval.c: eval and predict: what uses a network. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "data/list.h"
#include "report/table.h"
#include "report/text.h"

/* ---- eval -------------------------------------------------------------------- */

/* The float network, fused; every key of the configuration is checked. */
static int
float_network (struct qk_run *run, struct qk_graph **out)
{
  struct qk_graph *g;
  int r;

  if ((r = qk_cli_float (run->s.settings, &run->s.eval->info, &g)) < 0)
    return r;
  r = qk_pass_fuse (g, out);
  qk_graph_free (g);
  return r;
}

/* All processes must have the same samples. */
static int
check_samples (struct qk_cli *cli, const struct qk_data *d)
{
  char *text = NULL;
  size_t size;
  int r;

  if (qk_comm_size (cli->monitor.comm) == 1)
    return 0;
  r = qk_samples_list (d->cls, d->self, &d->info, true, &text, &size);
  if (r == 0)
    r = qk_comm_check_text (cli->monitor.comm, "val samples", text, size);
  free (text);
  return r;
}

int
qk_cmd_eval (struct qk_cli *cli)
{
  struct qk_graph *g = NULL;
  struct qk_model *model = NULL;
  struct qk_settings *settings = NULL;
  struct qk_run run;
  enum qk_row row;
  int r, status;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "one configuration or model expected, got %d",
                         cli->n_args);
  memset (&run, 0, sizeof run);
  run.best_epoch = -1;
  run.s.m = &cli->monitor;
  if ((r = qk_cli_open (cli, cli->arg[0], &settings, &model)) < 0)
    goto end;
  run.s.settings = settings;
  if ((r = qk_cli_join (cli, settings)) < 0
      || (r = qk_data_open (settings, QK_DATA_EVAL, &run.s.eval)) < 0
      || (r = check_samples (cli, run.s.eval)) < 0)
    goto end;
  r = model == NULL ? float_network (&run, &g)
                    : qk_cli_check_keys (settings, &run.s.eval->info);
  if (r == 0 && model != NULL)
    r = qk_data_match (run.s.eval, model->target, model->n_targets);
  if (r < 0)
    goto end;
  row = model != NULL ? QK_ROW_INT8 : QK_ROW_FLOAT;
  if (r == 0)
    r = qk_settings_objective (settings, model != NULL ? model->graph : g,
                               &run.s.eval->info, &run.s.objective);
  if (r < 0)
    goto end;
  r = qk_session_evaluate (&run.s, model != NULL ? model->graph : g,
                           model != NULL ? "int8" : "float", -1,
                           &run.result[row]);
  if (r == 0 && qk_run_writes (&run))
    r = qk_cli_print_results (cli, &run);
end:
  status = r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  qk_session_clear (&run.s);
  qk_graph_free (g);
  qk_model_free (model);
  qk_cli_leave (cli, settings, r);
  return status;
}

/* ---- predict ------------------------------------------------------------------ */

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

  if (cli->n_args < 2)
    return qk_cli_usage (cli, "a model and at least one file expected");
  if (qk_cli_ends_with (cli->arg[0], ".ini"))
    return qk_cli_usage (cli,
                         "'%s' is a configuration, expected an int8 "
                         "model",
                         cli->arg[0]);
  memset (&p, 0, sizeof p);
  r = open_predictor (cli, &p);
  for (i = 1; i < cli->n_args && r >= 0; i++) {
    r = p.rd.cls->read_file (p.rd.self, p.rd.worker, cli->arg[i], p.input);
    if (r < 0) { /* name it and go on with the others */
      status = qk_cli_fail (cli, r);
      r = 0;
      continue;
    }
    r = qk_exec_forward (p.ex, (const void *const *) p.input, 1, 0);
    if (r == 0)
      r = print_prediction (cli, &p, cli->arg[i]);
  }
  if (r < 0)
    status = qk_cli_fail (cli, r);
  close_predictor (&p);
  return status;
}
