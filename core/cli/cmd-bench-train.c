/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-bench-train.c: bench --train: training steps, float and QAT. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "bench/train.h"
#include "cli/bench.h"
#include "report/table.h"

static const char *const part_name[QK_BENCH_PARTS]
  = { "forward", "backward", "optimizer", "step" };

/* Both kinds of steps with one number of threads. */
struct pair {
  int threads;
  int n; /* of t: one with --mode */
  struct qk_bench_trainer t[2];
  double peak, bandwidth; /* of so many cores; MAC/s, bytes/s; 0 unknown */
};

struct bench {
  struct qk_cli *cli;
  int64_t batch;
  int n;
  struct pair pair[QK_BENCH_LIST];
};

static const char *
mode_name (const struct qk_bench_trainer *t)
{
  return t->qat ? "qat" : "float";
}

static double
best (const struct qk_bench_trainer *t, int part)
{
  return qk_timing_best (&t->part[part]);
}

/* How many times as fast as with the first number of threads. */
static double
scaling (const struct bench *b, const struct pair *p, int i)
{
  return best (&b->pair[0].t[i], QK_BENCH_STEP)
         / best (&p->t[i], QK_BENCH_STEP);
}

/* ---- results -------------------------------------------------------- */

static void
share_cell (struct qk_table *t, double share)
{
  if (share > 0)
    qk_table_cell (t, "%.0f %%", 100 * share);
  else
    qk_table_cell (t, "-");
}

static double
ratio (double a, double b)
{
  return b > 0 ? a / b : 0;
}

static void
table_row (const struct bench *b, struct pair *p, int i, struct qk_table *t)
{
  struct qk_bench_trainer *x = &p->t[i];
  const double s = best (x, QK_BENCH_STEP);

  qk_table_cell (t, "%s", mode_name (x));
  qk_table_cell (t, "%d", p->threads);
  for (int k = 0; k < QK_BENCH_PARTS; k++)
    qk_table_cell (t, "%.1f", 1e3 * best (x, k));
  qk_table_cell (t, "%.1f", 1e3 * qk_timing_median (&x->part[QK_BENCH_STEP]));
  qk_table_cell (t, "%.1f", (double) b->batch / s);
  qk_table_cell (t, "%.1f", 1e-9 * x->macs / s);
  share_cell (t, ratio (x->macs / s, p->peak));
  qk_table_cell (t, "%.1f", 1e-9 * x->traffic / s);
  share_cell (t, ratio (x->traffic / s, p->bandwidth));
  if (x->peak > 0)
    qk_table_cell (t, "%.0f", (double) x->peak / 1048576);
  else
    qk_table_cell (t, "-");
  qk_table_cell (t, "%.2f", scaling (b, p, i));
}

static int
print_table (struct bench *b)
{
  static const char *const titles[]
    = { "step",    "threads",   "forward",   "backward", "optim.",
        "best ms", "median ms", "samples/s", "GMAC/s",   "of peak",
        "GB/s",    "of memory", "peak MiB",  "scaling" };
  struct qk_table *t;
  int i, j, r;

  if ((r = qk_table_new (titles, 14, &t)) < 0)
    return r;
  for (i = 0; i < b->n; i++)
    for (j = 0; j < b->pair[i].n; j++)
      table_row (b, &b->pair[i], j, t);
  r = qk_table_print (t, stdout);
  qk_table_free (t);
  for (i = 0; i < b->n; i++) {
    const struct pair *p = &b->pair[i];

    if (p->n == 2)
      printf ("%d threads: a QAT step takes %.2f of a float step\n",
              p->threads,
              best (&p->t[1], QK_BENCH_STEP) / best (&p->t[0], QK_BENCH_STEP));
  }
  return r;
}

static json_t *
step_to_json (const struct bench *b, struct pair *p, int i)
{
  struct qk_bench_trainer *x = &p->t[i];
  const double s = best (x, QK_BENCH_STEP);
  json_t *o
    = json_pack ("{s:s,s:i,s:I}", "mode", mode_name (x), "threads", p->threads,
                 "steps", (json_int_t) x->part[QK_BENCH_STEP].n);
  char key[64];

  for (int k = 0; k < QK_BENCH_PARTS; k++) {
    snprintf (key, sizeof key, "%s_ms", part_name[k]);
    qk_json_set (&o, key, qk_json_real (1e3 * best (x, k)));
    snprintf (key, sizeof key, "%s_median_ms", part_name[k]);
    qk_json_set (&o, key, qk_json_real (1e3 * qk_timing_median (&x->part[k])));
  }
  qk_json_set (&o, "samples_s", qk_json_real ((double) b->batch / s));
  qk_json_set (&o, "gmac_s", qk_json_real (1e-9 * x->macs / s));
  qk_json_set (&o, "gbyte_s", qk_json_real (1e-9 * x->traffic / s));
  qk_json_set (&o, "activation_bytes",
               json_integer ((json_int_t) x->activations));
  qk_json_set (&o, "scaling", qk_json_real (scaling (b, p, i)));
  if (x->peak > 0)
    qk_json_set (&o, "peak_bytes", json_integer ((json_int_t) x->peak));
  if (p->peak > 0) {
    qk_json_set (&o, "peak_gmac_s", qk_json_real (1e-9 * p->peak));
    qk_json_set (&o, "of_peak", qk_json_real (x->macs / s / p->peak));
  }
  if (p->bandwidth > 0) {
    qk_json_set (&o, "memory_gbyte_s", qk_json_real (1e-9 * p->bandwidth));
    qk_json_set (&o, "of_memory",
                 qk_json_real (x->traffic / s / p->bandwidth));
  }
  if (i == 1)
    qk_json_set (&o, "of_float_step",
                 qk_json_real (s / best (&p->t[0], QK_BENCH_STEP)));
  return o;
}

static int
print_json (FILE *f, struct bench *b)
{
  json_t *steps = json_array ();

  for (int i = 0; i < b->n; i++)
    for (int j = 0; j < b->pair[i].n; j++)
      qk_json_append (&steps, step_to_json (b, &b->pair[i], j));
  return qk_json_print (f, json_pack ("{s:o,s:I,s:o}", "model",
                                      qk_json_string (b->cli->arg[0]), "batch",
                                      (json_int_t) b->batch, "steps", steps));
}

/* ---- measuring ------------------------------------------------------ */

static int
measure (const struct qk_bench_settings *s, struct qk_settings *settings,
         const struct qk_data *d, struct bench *b)
{
  const char *mode = s->cli->bench.mode;
  const double peak = qk_bench_float_peak (
    s->cli->ctx, qk_config_string (settings->qat, "backend"));
  struct qk_batch data;
  int i, r;

  if ((r = qk_batches_start (d->batches, 0, 0)) < 0)
    return r;
  if ((r = qk_batches_next (d->batches, &data)) <= 0)
    return r < 0 ? r : qk_error (-ENODATA, "bench: no sample to train on");
  b->batch = data.n;
  for (i = 0; r >= 0 && i < s->threads.n; i++) {
    struct pair *p = &b->pair[b->n++];
    const struct qk_bench_train_options opt
      = { (int) s->threads.value[i], s->seconds, s->runs };

    p->threads = opt.threads;
    p->peak = peak * p->threads;
    p->n = mode == NULL ? 2 : 1;
    p->t[p->n - 1].qat = mode == NULL || strcmp (mode, "qat") == 0;
    r = qk_bench_train (settings, d, &data, p->t, p->n, &opt,
                        &s->cli->monitor);
    p->bandwidth = qk_bench_bandwidth (p->threads);
  }
  return r;
}

/* The configuration with one batch of --batch samples. */
static int
open_job (const struct qk_bench_settings *s, struct qk_settings **settings,
          struct qk_data **d)
{
  struct qk_ini *ini;
  char text[32];
  int r;

  if ((r = qk_bench_ini (s, &ini)) < 0)
    return r;
  if (s->batch.n > 0) {
    snprintf (text, sizeof text, "%ld", s->batch.value[0]);
    if ((r = qk_ini_set (ini, "data", "batch", text, "--batch")) < 0) {
      qk_ini_free (ini);
      return r;
    }
  }
  if ((r = qk_settings_new (s->cli->ctx, ini, settings)) < 0)
    return r;
  return qk_data_open (*settings, QK_DATA_TRAIN, d);
}

static int
check (const struct qk_bench_settings *s)
{
  struct qk_cli *cli = s->cli;
  const char *mode = cli->bench.mode;

  if (cli->bench.backends != NULL || cli->bench.layers)
    return qk_cli_usage (cli, "--%s does not go with --train",
                         cli->bench.layers ? "layers" : "backend");
  if (s->batch.n > 1)
    return qk_cli_usage (cli, "--train takes one --batch, got %d", s->batch.n);
  if (mode != NULL && strcmp (mode, "float") != 0 && strcmp (mode, "qat") != 0)
    return qk_cli_usage (cli, "--mode is '%s', expected float or qat", mode);
  if (!qk_bench_is_ini (cli->arg[0]) && qk_bench_is_file (cli->arg[0]))
    return qk_cli_usage (cli,
                         "--train takes a configuration or a model "
                         "plugin, got '%s'",
                         cli->arg[0]);
  return 0;
}

int
qk_bench_train_command (struct qk_bench_settings *s)
{
  struct bench b = { .cli = s->cli };
  struct qk_settings *settings = NULL;
  struct qk_data *d = NULL;
  FILE *json = NULL;
  int r = check (s);

  if (r != 0)
    return r;
  if ((r = qk_bench_json_open (s->cli, &json)) == 0
      && (r = open_job (s, &settings, &d)) == 0) {
    if (s->threads.n == 0)
      s->threads = (struct qk_bench_list){ 1, { settings->threads } };
    r = measure (s, settings, d, &b);
  }
  if (r >= 0 && json != NULL)
    r = print_json (json, &b);
  if (r >= 0 && json != stdout)
    r = print_table (&b);
  r = qk_bench_json_close (s->cli, json, r);
  r = r < 0 ? qk_cli_fail (s->cli, r) : QK_EXIT_OK;
  for (int i = 0; i < b.n; i++)
    for (int j = 0; j < b.pair[i].n; j++)
      qk_bench_trainer_clear (&b.pair[i].t[j]);
  qk_data_close (d);
  qk_settings_free (settings);
  return r;
}
