/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-eval.c: eval and predict: what uses a network. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "report/table.h"
#include "report/text.h"

/* ---- eval -------------------------------------------------------------------- */

/* The float network, fused; every key of the configuration is checked. */
static int
float_network (struct qk_run *run, struct qk_graph **out)
{
  struct qk_graph *g;
  int r;

  if ((r = qk_cli_float (run->settings, &run->eval->info, &g)) < 0)
    return r;
  r = qk_pass_fuse (g, out);
  qk_graph_free (g);
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
  int r;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "one configuration or model expected, got %d",
                         cli->n_args);
  memset (&run, 0, sizeof run);
  run.best_epoch = -1;
  run.m = &cli->monitor;
  if ((r = qk_cli_open (cli, cli->arg[0], &settings, &model)) < 0)
    goto end;
  run.settings = settings;
  if ((r = qk_data_open (settings, QK_DATA_EVAL, &run.eval)) < 0)
    goto end;
  r = model == NULL ? float_network (&run, &g)
                    : qk_cli_check_keys (settings, &run.eval->info);
  if (r < 0)
    goto end;
  row = model != NULL ? QK_ROW_INT8 : QK_ROW_FLOAT;
  r = qk_run_evaluate (&run, model != NULL ? model->graph : g,
                       model != NULL ? "int8" : "float", &run.result[row]);
  if (r == 0)
    r = qk_cli_print_results (cli, &run);
end:
  r = r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  qk_data_close (run.eval);
  qk_graph_free (g);
  qk_model_free (model);
  qk_settings_free (settings);
  return r;
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

static const char *
class_name (const struct qk_model *m, int i)
{
  return i < m->classes ? m->class_names[i] : "?";
}

static int
print_prediction (struct qk_cli *cli, const struct qk_model *m,
                  const char *file, const float *logits, int n)
{
  float *p = malloc ((size_t) n * sizeof *p);
  const int k = n < 5 ? n : 5;
  json_t *classes;
  char name[256];
  int best[5], i, r = 0;

  if (p == NULL)
    return qk_oom ("predict");
  qk_softmax (logits, n, p);
  qk_top_k (logits, n, k, best);
  if (cli->json) {
    classes = json_array ();
    for (i = 0; i < k; i++)
      qk_json_append (&classes,
                      json_pack ("{s:o,s:o}", "class",
                                 qk_json_string (class_name (m, best[i])),
                                 "probability",
                                 qk_json_real ((double) p[best[i]])));
    r = qk_json_print_line (stdout, json_pack ("{s:o,s:o}", "file",
                                               qk_json_string (file),
                                               "classes", classes));
  } else {
    printf ("%s\n", file);
    for (i = 0; i < k; i++)
      printf ("  %6.2f %%  %s\n", 100.0 * (double) p[best[i]],
              qk_text_clean (class_name (m, best[i]), name, sizeof name));
  }
  free (p);
  return r;
}

int
qk_cmd_predict (struct qk_cli *cli)
{
  struct qk_exec_options opt;
  struct qk_model *model = NULL;
  struct qk_settings *settings = NULL;
  struct qk_exec *ex = NULL;
  struct reader rd;
  float *image = NULL;
  const float *logits;
  int i, r, status = QK_EXIT_OK;

  if (cli->n_args < 2)
    return qk_cli_usage (cli, "a model and at least one sample expected");
  memset (&rd, 0, sizeof rd);
  if (qk_cli_ends_with (cli->arg[0], ".ini"))
    return qk_cli_usage (cli,
                         "'%s' is a configuration, expected an int8 "
                         "model",
                         cli->arg[0]);
  if ((r = qk_cli_open (cli, cli->arg[0], &settings, &model)) < 0
      || (r = open_reader (settings, &rd)) < 0)
    goto end;
  rd.info.classes = model->classes;
  if ((r = qk_cli_check_keys (settings, &rd.info)) < 0)
    goto end;
  qk_settings_exec_options (settings, 1, false, &opt);
  if ((r = qk_exec_new (model->graph, &opt, &ex)) < 0
      || (r = qk_exec_check_data (ex, rd.info.height, rd.info.width,
                                  rd.info.channels, model->classes))
           < 0)
    goto end;
  image = qk_alloc (
    sizeof (float)
    * (size_t) (rd.info.height * rd.info.width * rd.info.channels));
  if (image == NULL) {
    r = qk_oom ("predict");
    goto end;
  }
  for (i = 1; i < cli->n_args && r >= 0; i++) {
    r = rd.cls->read_file (rd.self, rd.worker, cli->arg[i], image);
    if (r < 0) { /* name it and go on with the others */
      status = qk_cli_fail (cli, r);
      r = 0;
      continue;
    }
    if ((r = qk_exec_forward (ex, image, 1, 0, &logits)) == 0)
      r = print_prediction (cli, model, cli->arg[i], logits, model->classes);
  }
end:
  if (r < 0)
    status = qk_cli_fail (cli, r);
  qk_free (image);
  qk_exec_free (ex);
  close_reader (&rd);
  qk_model_free (model);
  qk_settings_free (settings);
  return status;
}
