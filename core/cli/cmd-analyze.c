/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-analyze.c: where accuracy is lost, on the terminal, as JSON, as a page
 * for the browser. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic-file.h"
#include "base/suffix.h"
#include "cli/cli.h"
#include "analyze/analyze.h"
#include "pages/html.h"
#include "report/table.h"

#define DEFAULT_SAMPLES 64
#define ROWS 20 /* of the table, unless --verbose */

/* What is analyzed, and where its files lie. */
struct subject {
  struct qk_settings *settings;
  struct qk_checkpoint *c;
  bool qat;
  char *checkpoint, *folder, *weights, *log; /* owned; may be NULL */
};

static int
join (const char *folder, const char *file, char **out)
{
  if (asprintf (out, "%s/%s", folder, file) >= 0)
    return 0;
  *out = NULL;
  return qk_oom ("analyze");
}

/* FILE in the folder if it is there. */
static int
find_beside (struct subject *s, const char *file, char **out)
{
  struct stat st;
  int r = join (s->folder, file, out);

  if (r == 0 && stat (*out, &st) < 0) {
    free (*out);
    *out = NULL;
  }
  return r;
}

/* The folder of a run, or one of its checkpoints. */
static int
find_checkpoint (const char *arg, struct subject *s)
{
  const char *slash = strrchr (arg, '/');
  struct stat st;
  int r;

  if (stat (arg, &st) < 0)
    return qk_error (-errno, "cannot find '%s': %s", arg, strerror (errno));
  if (S_ISDIR (st.st_mode)) {
    s->folder = strdup (arg);
    if ((r = join (arg, "best.safetensors", &s->checkpoint)) < 0)
      return r;
    if (stat (s->checkpoint, &st) < 0)
      return qk_error (-errno,
                       "'%s' is not there: '%s' is not the folder of "
                       "a run that did QAT; to analyze post-training "
                       "quantization, name the configuration",
                       s->checkpoint, arg);
  } else {
    s->checkpoint = strdup (arg);
    s->folder
      = slash == NULL ? strdup (".") : strndup (arg, (size_t) (slash - arg));
  }
  if (s->checkpoint == NULL || s->folder == NULL)
    return qk_oom ("analyze");
  if ((r = find_beside (s, "log.jsonl", &s->log)) < 0)
    return r;
  return find_beside (s, "weights.safetensors", &s->weights);
}

static int
open_subject (struct qk_cli *cli, struct subject *s)
{
  const char *arg = cli->arg[0];
  struct qk_ini *ini;
  int r;

  if (qk_has_suffix (arg, ".ini")) {
    if ((r = qk_cli_ini (cli, arg, &ini)) < 0
        || (r = qk_settings_new (cli->ctx, ini, &s->settings)) < 0)
      return r;
    s->folder = strdup (qk_config_string (s->settings->run, "output"));
    return s->folder != NULL ? 0 : qk_oom ("analyze");
  }
  s->qat = true;
  if ((r = find_checkpoint (arg, s)) < 0
      || (r = qk_run_open_best (cli->ctx, s->checkpoint, &s->c)) < 0
      || (r = qk_cli_ini_text (cli, qk_checkpoint_text (s->c, "qatkit.config"),
                               s->checkpoint, &ini))
           < 0
      || (r = qk_settings_new (cli->ctx, ini, &s->settings)) < 0)
    return r;
  s->settings->max_params = qk_cli_max_params (s->checkpoint);
  return 0;
}

static void
close_subject (struct subject *s)
{
  qk_checkpoint_close (s->c);
  qk_settings_free (s->settings);
  free (s->checkpoint);
  free (s->folder);
  free (s->weights);
  free (s->log);
}

/* ---- for people ---------------------------------------------------------------*/

static void
decibels (struct qk_table *t, bool there, double db)
{
  if (!there)
    qk_table_cell (t, "-");
  else if (isfinite (db))
    qk_table_cell (t, "%.1f", db);
  else
    qk_table_cell (t, "equal");
}

static int
print_networks (const struct qk_analysis *a)
{
  const char *titles[QK_MAX_SCORES + 6];
  struct qk_table *t;
  char text[32];
  int i, j, columns, r;

  titles[0] = "network";
  columns = 1;
  for (j = 0; j < a->n_scores; j++)
    if (a->scores[j].title != NULL)
      titles[columns++] = a->scores[j].title;
  titles[columns++] = "loss";
  titles[columns++] = "worse";
  titles[columns++] = "better";
  titles[columns++] = "outputs dB";
  if ((r = qk_table_new (titles, columns, &t)) < 0)
    return r;
  for (i = 0; i < QK_NETS; i++) {
    const struct qk_analyze_network *n = &a->net[i];

    if (!n->valid)
      continue;
    qk_table_cell (t, "%s", qk_analyze_net_name ((enum qk_analyze_net) i));
    for (j = 0; j < a->n_scores; j++)
      if (a->scores[j].title != NULL)
        qk_table_cell (t, "%s",
                       qk_score_print (&a->scores[j].spec, n->scores.value[j],
                                       text, sizeof text));
    qk_table_cell (t, "%.4f", n->scores.loss);
    qk_table_cell (t, "%lld", (long long) n->lost);
    qk_table_cell (t, "%lld", (long long) n->won);
    decibels (t, i != QK_NET_FLOAT, n->subset.sqnr);
  }
  r = qk_table_print (t, stdout);
  qk_table_free (t);
  return r;
}

static void
print_layer (struct qk_table *t, const struct qk_analyze_layer *l)
{
  qk_table_cell (t, "%s", l->name);
  qk_table_cell (t, "%.1f", 100 * l->share);
  decibels (t, l->alone.valid, l->alone.sqnr);
  decibels (t, l->rest.valid, l->rest.sqnr);
  decibels (t, true, l->sqnr_fake);
  decibels (t, true, l->sqnr_int8);
  if (l->has_value)
    qk_table_cell (t, "%.2f", 100 * l->clip);
  else
    qk_table_cell (t, "-");
  decibels (t, l->has_weight, l->weight_sqnr);
  if (l->has_weight)
    qk_table_cell (t, l->range_ratio < 1000 ? "%.4g" : "%.0f", l->range_ratio);
  else
    qk_table_cell (t, "-");
  if (l->has_bn)
    qk_table_cell (t, "%.3f", l->bn_mean);
  else
    qk_table_cell (t, "-");
  qk_table_cell (t, "%s",
                 l->has_weight && !l->per_channel && l->spare_bits >= 1
                   ? "per_channel"
                   : "");
}

static int
print_layers (struct qk_cli *cli, const struct qk_analysis *a)
{
  static const char *const titles[] = { "layer, worst first",
                                        "noise %",
                                        "alone",
                                        "without",
                                        "fake",
                                        "int8",
                                        "clip %",
                                        "weight",
                                        "ratio",
                                        "drift",
                                        "try" };
  const int n = cli->verbose || a->n <= ROWS ? a->n : ROWS;
  struct qk_table *t;
  int i, r;

  if ((r = qk_table_new (titles, 11, &t)) < 0)
    return r;
  for (i = 0; i < n; i++)
    print_layer (t, &a->layer[i]);
  r = qk_table_print (t, stdout);
  qk_table_free (t);
  printf (
    "alone, without, fake, int8 and weight in dB; see qatkit-analyze(1)\n");
  if (n < a->n)
    printf ("%d more: --verbose shows them\n", a->n - n);
  return r;
}

static int
print_analysis (struct qk_cli *cli, const struct qk_analysis *a)
{
  int i, r;

  if ((r = print_networks (a)) < 0)
    return r;
  printf ("\n");
  if ((r = print_layers (cli, a)) < 0)
    return r;
  printf ("\n%s\n", a->verdict);
  for (i = 0; i < a->n_advice; i++)
    printf ("- %s\n", a->advice[i]);
  return 0;
}

/* ---- the command ----------------------------------------------------------------*/

/* The page, where asked or in the folder.  Without Chart.js it is only missed
 * if it was asked for. */
static int
write_page (struct qk_cli *cli, const struct subject *s, const char *json)
{
  char *path = NULL;
  int r;

  if (cli->html == NULL && !qk_html_possible ()) {
    qk_log (cli->ctx, QK_LOG_INFO,
            "no report.html: that needs Chart.js "
            "(Debian: libjs-chart.js) when qatkit is built");
    return 0;
  }
  if (cli->html == NULL
      && ((r = qk_folder_make (s->folder)) < 0
          || (r = join (s->folder, "report.html", &path)) < 0))
    return r;
  if (path == NULL && (path = qk_cli_follow (cli->html)) == NULL)
    return -ENOENT;
  r = qk_html_write (QK_PAGE_ANALYSIS, json, path);
  if (r == 0)
    qk_log (cli->ctx, QK_LOG_INFO, "report in '%s'",
            cli->html != NULL ? cli->html : path);
  free (path);
  return r;
}

static int
report (struct qk_cli *cli, struct subject *s, const struct qk_analysis *a)
{
  const bool instead
    = cli->json_file != NULL && strcmp (cli->json_file, "-") == 0;
  char *json, *path = NULL;
  int r;

  if ((r = qk_analysis_json (a, s->log, &json)) < 0)
    return r;
  if (instead)
    fputs (json, stdout);
  else
    r = print_analysis (cli, a);
  if (r == 0 && cli->json_file != NULL && !instead)
    r = (path = qk_cli_follow (cli->json_file)) == NULL
          ? -ENOENT
          : qk_atomic_write_data (path, json, strlen (json));
  free (path);
  if (r == 0)
    r = write_page (cli, s, json);
  free (json);
  return r;
}

int
qk_cmd_analyze (struct qk_cli *cli)
{
  struct qk_analyze_options opt;
  struct qk_analysis *a = NULL;
  struct subject s;
  int r;

  if (cli->n_args != 1)
    return qk_cli_usage (cli,
                         "one configuration, folder or checkpoint "
                         "expected, got %d",
                         cli->n_args);
  memset (&s, 0, sizeof s);
  memset (&opt, 0, sizeof opt);
  if ((r = open_subject (cli, &s)) == 0) {
    opt.settings = s.settings;
    opt.m = &cli->monitor;
    opt.subject = cli->arg[0];
    opt.checkpoint = s.checkpoint;
    opt.weights = s.weights;
    opt.samples = cli->samples > 0 ? cli->samples : DEFAULT_SAMPLES;
    opt.batches = qk_config_int (s.settings->data, "eval_batches");
    r = qk_analyze (&opt, &a);
  }
  if (r == 0)
    r = report (cli, &s, a);
  r = r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  qk_analysis_free (a);
  close_subject (&s);
  return r;
}
