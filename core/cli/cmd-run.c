/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-run.c: run, train, ptq, qat, compare: what trains and quantizes. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "report/table.h"
#include "train/tables.h"

static int
make_job (struct qk_cli *cli, struct qk_settings **out)
{
  struct qk_ini *ini;
  int r;

  if ((r = qk_cli_ini (cli, cli->n_args > 0 ? cli->arg[0] : NULL, &ini)) < 0
      || (r = qk_settings_new (cli->ctx, ini, out)) < 0)
    return r;
  return qk_cli_join (cli, *out);
}

static int
check_args (struct qk_cli *cli, int min)
{
  if (cli->n_args < min)
    return qk_cli_usage (cli, "no configuration file given");
  if (cli->n_args > 1)
    return qk_cli_usage (cli,
                         "one configuration file expected, '%s' is left "
                         "over",
                         cli->arg[1]);
  return QK_EXIT_OK;
}

/* enum qk_run_mode, as the command line has it. */
static unsigned
mode_of (const struct qk_cli *cli, unsigned parts)
{
  return (cli->resume ? QK_RUN_RESUME : 0u)
         | (cli->overwrite ? QK_RUN_OVERWRITE : 0u)
         | (parts & QK_PART_TRAIN ? QK_RUN_TRAINS : 0u)
         | (parts & (QK_PART_TRAIN | QK_PART_QAT) ? 0u : QK_RUN_LOOK);
}

/* Make a run, do PARTS, print the table. */
static int
go (struct qk_cli *cli, unsigned parts)
{
  struct qk_settings *settings = NULL;
  struct qk_run *run = NULL;
  int r, status;

  if ((r = make_job (cli, &settings)) < 0)
    goto end;
  if ((parts & QK_PART_PTQ) && (parts & QK_PART_QAT)
      && !qk_config_bool (settings->ptq, "enabled"))
    parts &= ~(unsigned) QK_PART_PTQ;
  r = qk_run_new (settings, &cli->monitor, mode_of (cli, parts), &run);
  if (r == 0)
    r = qk_run_go (run, parts);
  if (r == 0 && (parts & (QK_PART_TRAIN | QK_PART_QAT)))
    r = qk_run_finish (run);
  if (r == 0 && qk_run_writes (run))
    r = qk_cli_print_results (cli, run);
end:
  status = r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  qk_run_free (run);
  qk_cli_leave (cli, settings, r);
  return status;
}

int
qk_cmd_run (struct qk_cli *cli)
{
  const int r = check_args (cli, 0);

  return r ? r : go (cli, QK_PART_TRAIN | QK_PART_PTQ | QK_PART_QAT);
}

int
qk_cmd_train (struct qk_cli *cli)
{
  const int r = check_args (cli, 1);

  return r ? r : go (cli, QK_PART_TRAIN);
}

int
qk_cmd_ptq (struct qk_cli *cli)
{
  const int r = check_args (cli, 1);

  return r ? r : go (cli, QK_PART_PTQ);
}

int
qk_cmd_qat (struct qk_cli *cli)
{
  const int r = check_args (cli, 1);

  return r ? r : go (cli, QK_PART_QAT);
}

/* ---- compare --------------------------------------------------------------- */

/* One row of the comparison: PTQ with some keys changed. */
struct variant {
  const char *name;
  const char *set[5][3]; /* section, key, value */
};

#define PER_TENSOR                                                            \
  {                                                                           \
    "qconfig", "weight.per_channel", "no"                                     \
  }
#define PER_CHANNEL                                                           \
  {                                                                           \
    "qconfig", "weight.per_channel", "yes"                                    \
  }
#define STATIC                                                                \
  {                                                                           \
    "ptq", "mode", "static"                                                   \
  }
#define MINMAX                                                                \
  {                                                                           \
    "ptq", "activation.observer", "minmax"                                    \
  }
#define METHODS(list)                                                         \
  {                                                                           \
    "ptq", "methods", list                                                    \
  }

static const struct variant variants[] = {
  { "PTQ dynamic", { { "ptq", "mode", "dynamic" }, METHODS ("") } },
  { "PTQ per tensor, minmax", { STATIC, PER_TENSOR, METHODS (""), MINMAX } },
  { "PTQ per tensor", { STATIC, PER_TENSOR, METHODS ("") } },
  { "PTQ per tensor + equalize",
    { STATIC, PER_TENSOR, METHODS ("equalize") } },
  { "PTQ per tensor + equalize + bias correction",
    { STATIC, PER_TENSOR, METHODS ("equalize bias_correction") } },
  { "PTQ per channel, minmax", { STATIC, PER_CHANNEL, METHODS (""), MINMAX } },
  { "PTQ per channel", { STATIC, PER_CHANNEL, METHODS ("") } },
  { "PTQ per channel + bias correction",
    { STATIC, PER_CHANNEL, METHODS ("bias_correction") } },
  { "PTQ per channel + adaround",
    { STATIC, PER_CHANNEL, METHODS ("adaround") } },
};
#define N_VARIANTS (sizeof variants / sizeof *variants)

static int
variant_job (struct qk_cli *cli, const struct variant *v,
             struct qk_settings **out)
{
  struct qk_ini *ini;
  int i, r;

  if ((r = qk_cli_ini (cli, cli->arg[0], &ini)) < 0)
    return r;
  for (i = 0; i < 5 && v->set[i][0] != NULL; i++)
    if ((r = qk_ini_set (ini, v->set[i][0], v->set[i][1], v->set[i][2],
                         "compare"))
        < 0) {
      qk_ini_free (ini);
      return r;
    }
  return qk_settings_new (cli->ctx, ini, out);
}

/* Scores after PTQ of the float network G as variant V wants it.  SHARED has
 * the data, the objective and the calibration samples. */
static int
try_variant (struct qk_cli *cli, const struct variant *v,
             const struct qk_session *shared, const struct qk_graph *g,
             struct qk_result *out)
{
  struct qk_session s = *shared;
  struct qk_graph *int8 = NULL;
  bool analysis;
  int r;

  if ((r = variant_job (cli, v, &s.settings)) < 0)
    return r;
  r = qk_session_ptq (&s, g, &int8, &analysis);
  if (r == 0)
    r = qk_session_evaluate (&s, int8, v->name, -1, out);
  qk_graph_free (int8);
  qk_settings_free (s.settings);
  return r;
}

struct named_result {
  const char *name;
  const struct qk_result *result;
  const struct qk_tally *tally; /* whose tables are wanted; NULL: none */
};

static json_t *
row_to_json (const struct qk_objective *o, const struct named_result *row)
{
  const struct qk_scores *s = &row->result->scores;
  json_t *e = json_object ();
  int i;

  qk_json_set (&e, "network", qk_json_string (row->name));
  for (i = 0; i < o->n_scores; i++)
    qk_json_set (&e, o->score[i].name, qk_json_real (s->value[i]));
  qk_json_set (&e, "loss", qk_json_real (s->loss));
  qk_json_set (&e, "samples", json_integer ((json_int_t) s->n));
  qk_json_set (&e, "bytes", json_integer ((json_int_t) row->result->bytes));
  qk_json_set (&e, "samples_per_second", qk_json_real (qk_scores_speed (s)));
  if (row->tally != NULL)
    qk_json_set (&e, "tables", qk_tables_to_json (o, row->tally));
  return e;
}

static void
print_row (struct qk_table *t, const struct qk_objective *o,
           const struct named_result *row)
{
  const struct qk_scores *s = &row->result->scores;
  char text[32];
  int j;

  qk_table_cell (t, "%s", row->name);
  for (j = 0; j < o->n_scores; j++)
    if (o->score[j].title != NULL)
      qk_table_cell (
        t, "%s",
        qk_score_print (&o->score[j].spec, s->value[j], text, sizeof text));
  if (o->n_scores == 0)
    qk_table_cell (t, "%.4f", s->loss);
  qk_table_cell (t, "%.*f", row->result->bytes < 1000000 ? 4 : 2,
                 (double) row->result->bytes / 1e6);
  if (s->seconds > 0)
    qk_table_cell (t, "%.0f", qk_scores_speed (s));
  else
    qk_table_cell (t, "-");
}

static int
print_rows (struct qk_cli *cli, const struct qk_objective *o,
            const struct named_result *row, int n)
{
  const char *titles[QK_MAX_SCORES + 4];
  struct qk_table *t;
  int i, columns, r;

  if (cli->json) {
    json_t *list = json_array ();

    for (i = 0; i < n; i++)
      qk_json_append (&list, row_to_json (o, &row[i]));
    return qk_json_print (stdout, list);
  }
  titles[0] = "network";
  columns = 1 + qk_score_titles (o, titles + 1);
  titles[columns++] = "size MB";
  titles[columns++] = "samples/s";
  if ((r = qk_table_new (titles, columns, &t)) < 0)
    return r;
  for (i = 0; i < n; i++)
    print_row (t, o, &row[i]);
  r = qk_table_print (t, stdout);
  qk_table_free (t);
  for (i = 0; r == 0 && i < n; i++)
    if (row[i].tally != NULL)
      r = qk_tables_print (o, row[i].tally, stdout);
  return r;
}

/* A network from a file may be of PTQ or QAT: there is no run then. */
static const char *
row_name (const struct qk_run *run, int i)
{
  if (run->analysis && i == QK_ROW_PTQ)
    return "PTQ fake-quantized";
  return run->output == NULL && i == QK_ROW_INT8
           ? "int8"
           : qk_row_name ((enum qk_row) i);
}

static void
print_notes (const struct qk_run *run)
{
  const int64_t bad = run->s.settings->bad[0].n + run->s.settings->bad[1].n;
  if (bad > 0)
    printf ("%lld sample%s could not be decoded and %s left out\n",
            (long long) bad, bad == 1 ? "" : "s", bad == 1 ? "was" : "were");
  if (run->best_epoch >= 0)
    printf ("QAT: best %s network after epoch %lld\n",
            run->analysis ? "fake-quantized" : "int8",
            (long long) run->best_epoch + 1);
  if (run->output != NULL)
    printf ("files in %s\n", run->output);
}

int
qk_cli_print_results (struct qk_cli *cli, const struct qk_run *run)
{
  struct named_result row[QK_ROWS];
  int i, n = 0, r;

  for (i = 0; i < QK_ROWS; i++)
    if (run->result[i].valid && !(run->analysis && i == QK_ROW_INT8)) {
      row[n].name = row_name (run, i);
      row[n].tally = cli->tables ? &run->evaluated : NULL;
      row[n++].result = &run->result[i];
    }
  if ((r = print_rows (cli, run->s.objective, row, n)) == 0 && !cli->json)
    print_notes (run);
  return r;
}

int
qk_cmd_compare (struct qk_cli *cli)
{
  struct qk_result result[N_VARIANTS];
  struct named_result row[N_VARIANTS + 3] = { { NULL, NULL, NULL } };
  struct qk_graph *float_g = NULL;
  struct qk_settings *settings = NULL;
  struct qk_run *run = NULL;
  size_t i;
  int n = 0, r, status;

  if ((r = check_args (cli, 1)) != 0)
    return r;
  if ((r = make_job (cli, &settings)) < 0
      || (r = qk_run_new (settings, &cli->monitor,
                          mode_of (cli, QK_PART_TRAIN | QK_PART_QAT), &run))
           < 0
      || (r = qk_run_go (run, QK_PART_TRAIN)) < 0
      /* of this settings: those of the variants do not live long enough */
      || (r = qk_data_open (settings, QK_DATA_CALIBRATE, &run->s.calibrate))
           < 0
      || (r = qk_graph_copy (run->g, &float_g)) < 0)
    goto end;
  row[n].name = "float";
  row[n++].result = &run->result[QK_ROW_FLOAT];
  for (i = 0; i < N_VARIANTS; i++) {
    r = try_variant (cli, &variants[i], &run->s, float_g, &result[i]);
    if (r < 0)
      goto end;
    row[n].name = variants[i].name;
    row[n++].result = &result[i];
  }
  if ((r = qk_run_go (run, QK_PART_QAT)) < 0 || (r = qk_run_finish (run)) < 0)
    goto end;
  for (i = QK_ROW_QAT; i < QK_ROWS; i++)
    if (run->result[i].valid && !(run->analysis && i == QK_ROW_INT8)) {
      row[n].name = qk_row_name ((enum qk_row) i);
      row[n++].result = &run->result[i];
    }
  if (qk_run_writes (run)
      && (r = print_rows (cli, run->s.objective, row, n)) == 0 && !cli->json)
    print_notes (run);
end:
  status = r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  qk_graph_free (float_g);
  qk_run_free (run);
  qk_cli_leave (cli, settings, r);
  return status;
}
