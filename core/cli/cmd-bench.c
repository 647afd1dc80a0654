/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-bench.c: bench: latency of networks on int8 backends. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qatkit/dataset.h>

#include "base/suffix.h"
#include "cli/bench.h"
#include "model/modelfile.h"
#include "plugin/loader-priv.h"

/* ---- options -------------------------------------------------------- */

/* The whole number TEXT of OPTION; 0 if it is none in 1..MAX. */
static long
positive (const char *text, const char **end, long max)
{
  char *e;
  const long n = strtol (text, &e, 10);

  *end = e;
  return e == text || n < 1 || n > max ? 0 : n;
}

static int
take_number (struct qk_cli *cli, const char *option, const char *text,
             long max, long *out)
{
  const char *end;

  if (text == NULL)
    return 0;
  *out = positive (text, &end, max);
  if (*out > 0 && *end == 0)
    return 0;
  return qk_cli_usage (cli, "--%s is '%s', expected 1 to %ld", option, text,
                       max);
}

static int
take_list (struct qk_cli *cli, const char *option, const char *text, long max,
           struct qk_bench_list *out)
{
  const char *end = text;

  if (text == NULL)
    return 0;
  for (out->n = 0; out->n < QK_BENCH_LIST; end++) {
    if ((out->value[out->n] = positive (end, &end, max)) == 0)
      break;
    out->n++;
    if (*end == 0)
      return 0;
    if (*end != ',')
      break;
  }
  return qk_cli_usage (cli,
                       "--%s is '%s', expected up to %d numbers of 1 to "
                       "%ld with commas between",
                       option, text, QK_BENCH_LIST, max);
}

static int
take_seconds (struct qk_cli *cli, double *out)
{
  const char *text = cli->bench.seconds;
  char *end;

  if (text == NULL)
    return 0;
  *out = strtod (text, &end);
  if (end != text && *end == 0 && *out > 0 && *out <= 86400)
    return 0;
  return qk_cli_usage (cli,
                       "--seconds is '%s', expected more than 0 and at "
                       "most 86400",
                       text);
}

static int
take_options (struct qk_cli *cli, struct qk_bench_settings *s)
{
  int r;

  memset (s, 0, sizeof *s);
  s->cli = cli;
  s->seconds = 2;
  s->classes = 1000;
  if ((r = take_number (cli, "size", cli->bench.size, 4096, &s->size)) != 0
      || (r = take_number (cli, "classes", cli->bench.classes, 100000,
                           &s->classes))
           != 0
      || (r = take_number (cli, "runs", cli->bench.runs, 1000000, &s->runs))
           != 0
      || (r = take_seconds (cli, &s->seconds)) != 0
      || (r
          = take_list (cli, "threads", cli->bench.threads, 1024, &s->threads))
           != 0
      || (r = take_list (cli, "batch", cli->bench.batches, 65536, &s->batch))
           != 0)
    return r;
  if (cli->n_args != 1)
    return qk_cli_usage (cli, "one model or configuration expected, got %d",
                         cli->n_args);
  if (cli->bench.classes != NULL && cli->bench.size == NULL
      && qk_bench_is_file (cli->arg[0]))
    return qk_cli_usage (cli, "--classes is for random samples, give --size "
                              "too");
  return 0;
}

/* ---- where the network comes from ----------------------------------- */

bool
qk_bench_is_ini (const char *name)
{
  return qk_has_suffix (name, ".ini");
}

bool
qk_bench_is_file (const char *name)
{
  return strchr (name, '/') != NULL || strchr (name, '.') != NULL
         || access (name, F_OK) == 0;
}

/* Random samples in place of the configured ones, whose options then say
 * nothing. */
static int
random_samples (struct qk_cli *cli, struct qk_ini *ini, long size,
                long classes)
{
  const char *old = qk_ini_get (ini, "data", "dataset");
  const struct qk_class *c, *timing;
  char text[32];
  int r;

  if ((r = qk_context_default (cli->ctx, QK_KIND_DATASET, QK_FOR_TIMING,
                               &timing))
      < 0)
    return r;
  if (old != NULL && strcmp (old, timing->name) != 0) {
    if ((r = qk_context_class (cli->ctx, QK_KIND_DATASET, old, &c)) < 0
        || (r = qk_ini_allow (ini, "data", c->options, "")) < 0)
      return r;
  }
  if ((r = qk_ini_set (ini, "data", "dataset", timing->name, "--size")) < 0)
    return r;
  snprintf (text, sizeof text, "%ld", size);
  if ((r = qk_ini_set (ini, "data", "size", text, "--size")) < 0)
    return r;
  snprintf (text, sizeof text, "%ld", classes);
  return qk_ini_set (ini, "data", "classes", text, "--classes");
}

/* A network that is measured untrained needs little to calibrate. */
static int
few_samples (struct qk_ini *ini)
{
  int r;

  if ((r = qk_ini_set (ini, "data", "batch", "4", "bench")) < 0)
    return r;
  return qk_ini_set (ini, "ptq", "batches", "2", "bench");
}

int
qk_bench_ini (const struct qk_bench_settings *s, struct qk_ini **out)
{
  struct qk_cli *cli = s->cli;
  const char *name = cli->arg[0];
  const bool file = qk_bench_is_ini (name);
  const struct qk_class *c;
  struct qk_ini *ini;
  char *text;
  int r;

  if (!file && (r = qk_context_class (cli->ctx, QK_KIND_MODEL, name, &c)) < 0)
    return qk_error_prefix (r, "there is no file '%s' and ", name);
  if (file)
    r = qk_cli_ini (cli, name, &ini);
  else if (asprintf (&text, "[model]\narch = \"%s\"\n", name) < 0)
    return qk_oom ("bench");
  else {
    r = qk_cli_ini_text (cli, text, name, &ini);
    free (text);
  }
  if (r < 0)
    return r;
  if (!file || s->size > 0)
    r = random_samples (cli, ini, s->size > 0 ? s->size : 224, s->classes);
  if (r == 0 && (!file || s->size > 0) && !cli->bench.train)
    r = few_samples (ini);
  if (r < 0) {
    qk_ini_free (ini);
    return r;
  }
  *out = ini;
  return 0;
}

/* The first of the backends asked for that runs here decides how the network
 * is quantized. */
static int
choose_backend (const struct qk_bench_settings *s, struct qk_ini *ini)
{
  const struct qk_class *c;
  struct qk_backend_caps caps;
  int i;

  for (i = 0; i < s->n_names; i++) {
    if (strcmp (s->name[i], QK_BENCH_FLOAT) == 0
        || qk_context_class (s->cli->ctx, QK_KIND_BACKEND, s->name[i], &c) < 0
        || ((const struct qk_backend_class *) (const void *) c)->probe (&caps)
             < 0)
      continue;
    return qk_ini_set (ini, "qat", "backend", s->name[i], "--backend");
  }
  return 0;
}

/* Splits --backend, or takes the one of the configuration. */
static int
name_backends (struct qk_bench_settings *s, const struct qk_ini *ini)
{
  const char *list = s->cli->bench.backends;
  char *name, *save = NULL;
  int r;

  if (list == NULL)
    list = qk_ini_get (ini, "qat", "backend");
  s->names = strdup (list != NULL ? list : "auto");
  if (s->names == NULL)
    return qk_oom ("bench");
  for (name = strtok_r (s->names, ",", &save); name != NULL;
       name = strtok_r (NULL, ",", &save)) {
    if (s->n_names == QK_BENCH_LIST)
      return qk_error (-EINVAL,
                       "bench: --backend is '%s', expected at most %d names",
                       list, QK_BENCH_LIST);
    r = qk_settings_backend (s->cli->ctx, name, &s->name[s->n_names]);
    if (r < 0)
      return r;
    s->n_names++;
  }
  return s->n_names > 0
           ? 0
           : qk_error (-EINVAL,
                       "bench: --backend is '%s', expected names with commas "
                       "between",
                       list);
}

static bool
wants_float (const struct qk_bench_settings *s)
{
  int i;

  for (i = 0; i < s->n_names; i++)
    if (strcmp (s->name[i], QK_BENCH_FLOAT) == 0)
      return true;
  return false;
}

/* The float network of a model file's configuration; its weights, which the
 * file does not hold, are random. */
static int
rebuild_float (struct qk_cli *cli, struct qk_bench_subject *b,
               struct qk_ini *ini)
{
  struct qk_tensor_spec input[QK_GRAPH_MAX_INPUTS];
  const struct qk_dataset_info info = { .n_inputs = b->int8->n_inputs,
                                        .input = input,
                                        .n_targets = b->model->n_targets,
                                        .target = b->model->target };
  struct qk_graph *g;
  int i, r;

  memset (input, 0, sizeof input);
  for (i = 0; i < info.n_inputs; i++) {
    const struct qk_value *v = &b->int8->value[b->int8->input[i]];

    input[i].name = v->name;
    input[i].dtype = QK_F32;
    input[i].shape = v->shape;
  }

  if ((r = qk_settings_new (cli->ctx, ini, &b->settings)) < 0)
    return r;
  b->settings->max_params = qk_cli_max_params (cli->arg[0]);
  if ((r = qk_settings_build (b->settings, &info, QK_WEIGHTS_NONE, &g)) < 0)
    return r;
  r = qk_pass_fuse (g, &b->float_g);
  qk_graph_free (g);
  return r;
}

static int
open_model (struct qk_bench_settings *s, struct qk_bench_subject *b)
{
  struct qk_cli *cli = s->cli;
  const double start = qk_seconds ();
  struct qk_ini *ini;
  int r;

  if (s->size > 0)
    return qk_error (-EINVAL,
                     "%s: a model has its size, --size is for "
                     "configurations and model plugins",
                     cli->arg[0]);
  if ((r = qk_model_load (cli->ctx, cli->arg[0], &b->model)) < 0)
    return r;
  b->load = qk_seconds () - start;
  b->int8 = b->model->graph;
  if ((r = qk_cli_ini_text (cli, b->model->config, cli->arg[0], &ini)) < 0)
    return r;
  if ((r = name_backends (s, ini)) == 0 && wants_float (s))
    return rebuild_float (cli, b, ini);
  qk_ini_free (ini);
  return r;
}

static int
open_subject (struct qk_bench_settings *s, struct qk_bench_subject *b)
{
  struct qk_cli *cli = s->cli;
  struct qk_ini *ini;
  int r;

  memset (b, 0, sizeof *b);
  if (!qk_bench_is_ini (cli->arg[0]) && qk_bench_is_file (cli->arg[0]))
    return open_model (s, b);
  if ((r = qk_bench_ini (s, &ini)) < 0)
    return r;
  if ((r = name_backends (s, ini)) < 0 || (r = choose_backend (s, ini)) < 0) {
    qk_ini_free (ini);
    return r;
  }
  if ((r = qk_settings_new (cli->ctx, ini, &b->settings)) < 0)
    return r;
  return qk_bench_network (b->settings, 8, &cli->monitor, &b->float_g,
                           &b->int8);
}

static void
close_subject (struct qk_bench_subject *b)
{
  if (b->model == NULL)
    qk_graph_free (b->int8);
  qk_model_free (b->model);
  qk_graph_free (b->float_g);
  qk_settings_free (b->settings);
}

/* ---- measuring ------------------------------------------------------ */

/* Random samples for each input of a network. */
struct samples {
  int n;
  void *input[QK_GRAPH_MAX_INPUTS];
};

static void
samples_clear (struct samples *s)
{
  int i;

  for (i = 0; i < s->n; i++)
    qk_free (s->input[i]);
}

static int
samples_init (struct samples *s, const struct qk_graph *g, long n)
{
  struct qk_rng rng;
  int i;

  qk_rng_seed (&rng, 1, 1);
  s->n = g->n_inputs;
  memset (s->input, 0, sizeof s->input);
  for (i = 0; i < s->n; i++) {
    const int64_t count = n * qk_shape_count (&g->value[g->input[i]].shape);
    float *x = s->input[i] = qk_alloc ((size_t) count * sizeof *x);

    if (x == NULL)
      return qk_oom ("bench: %ld samples", n);
    for (int64_t j = 0; j < count; j++)
      x[j] = 4.0f * qk_rng_float (&rng) - 2.0f;
  }
  return 0;
}

/* Open the cases that can run; the sentences of the others are kept. */
static int
open_cases (const struct qk_bench_settings *s,
            const struct qk_bench_subject *b, int threads, long batch,
            struct qk_bench_case *c, struct qk_bench_row *row)
{
  int i, n = 0, r;

  for (i = 0; i < s->n_names; i++) {
    const bool in_float = strcmp (s->name[i], QK_BENCH_FLOAT) == 0;

    memset (&c[n], 0, sizeof c[n]);
    row[i] = (struct qk_bench_row){ s->name[i], threads, batch, NULL, NULL };
    c[n].name = in_float ? NULL : s->name[i];
    c[n].g = in_float ? b->float_g : b->int8;
    if ((r = qk_bench_open (&c[n], threads, batch)) == 0) {
      row[i].c = &c[n++];
      continue;
    }
    qk_bench_close (&c[n]);
    qk_cli_fail (s->cli, r);
    if ((row[i].error = strdup (qk_error_message ())) == NULL)
      return qk_oom ("bench");
  }
  return n;
}

/* All backends with one number of threads and one batch size. */
static int
measure (const struct qk_bench_settings *s, const struct qk_bench_subject *b,
         int threads, long batch, const struct samples *samples,
         struct qk_bench_report *report)
{
  const struct qk_bench_options opt
    = { batch, s->seconds, s->runs, s->cli->bench.layers };
  struct qk_bench_case c[QK_BENCH_LIST];
  struct qk_bench_row row[QK_BENCH_LIST];
  int i, n, r;

  memset (row, 0, sizeof row);
  r = n = open_cases (s, b, threads, batch, c, row);
  if (n > 0)
    r = qk_bench_measure (c, n, (const void *const *) samples->input, &opt,
                          &s->cli->monitor);
  for (i = 0; r >= 0 && i < s->n_names; i++)
    r = qk_bench_report_row (report, &row[i]);
  for (i = 0; i < s->n_names; i++) {
    if (row[i].c != NULL)
      qk_bench_close (row[i].c);
    free (row[i].error);
  }
  return r;
}

static int
measure_all (const struct qk_bench_settings *s,
             const struct qk_bench_subject *b, struct qk_bench_report *report)
{
  struct samples samples;
  long most = 1;
  int i, j, r;

  for (i = 0; i < s->batch.n; i++)
    most = s->batch.value[i] > most ? s->batch.value[i] : most;
  r = samples_init (&samples, b->int8, most);
  for (i = 0; r >= 0 && i < s->threads.n; i++)
    for (j = 0; r >= 0 && j < s->batch.n; j++)
      r = measure (s, b, (int) s->threads.value[i], s->batch.value[j],
                   &samples, report);
  samples_clear (&samples);
  return r;
}

static int
bench_infer (struct qk_bench_settings *s)
{
  struct qk_bench_subject b;
  struct qk_bench_report *report = NULL;
  bool failed = false;
  int r;

  if (s->threads.n == 0)
    s->threads = (struct qk_bench_list){ 1, { 1 } };
  if (s->batch.n == 0)
    s->batch = (struct qk_bench_list){ 1, { 1 } };
  if ((r = open_subject (s, &b)) == 0
      && (r = qk_bench_report_new (s, &b, &report)) == 0
      && (r = measure_all (s, &b, report)) >= 0)
    r = qk_bench_report_end (report, &failed);
  r = r < 0 ? qk_cli_fail (s->cli, r) : failed ? QK_EXIT_FAILURE : QK_EXIT_OK;
  qk_bench_report_free (report);
  close_subject (&b);
  free (s->names);
  return r;
}

int
qk_cmd_bench (struct qk_cli *cli)
{
  struct qk_bench_settings s;
  const int r = take_options (cli, &s);

  if (r != 0)
    return r;
  if (cli->bench.mode != NULL && !cli->bench.train)
    return qk_cli_usage (cli, "--mode is for --train");
  return cli->bench.train ? qk_bench_train_command (&s) : bench_infer (&s);
}
