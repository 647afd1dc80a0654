/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-verify.c: the proof that what was trained is what is deployed. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "cli/cli.h"
#include "run/verify.h"
#include "report/table.h"

/* What is verified. */
struct subject {
  char *checkpoint, *model; /* paths; model may be NULL */
  struct qk_checkpoint *c;
  struct qk_run run; /* settings, eval and g only */
  struct qk_graph *int8;
  struct qk_model *file;
};

static int
find_files (struct qk_cli *cli, struct subject *s)
{
  const char *arg = cli->arg[0];
  struct stat st;
  int r = 0;

  if (stat (arg, &st) < 0)
    return qk_error (-errno, "cannot find '%s': %s", arg, strerror (errno));
  if (S_ISDIR (st.st_mode)) {
    r = asprintf (&s->checkpoint, "%s/best.safetensors", arg);
    if (r >= 0 && cli->model == NULL)
      r = asprintf (&s->model, "%s/model-int8.safetensors", arg);
  } else if ((s->checkpoint = strdup (arg)) == NULL)
    r = -1;
  if (cli->model != NULL && (s->model = strdup (cli->model)) == NULL)
    r = -1;
  return r < 0 ? qk_oom ("verify") : 0;
}

/* Both networks and the samples. */
static int
open_subject (struct qk_cli *cli, struct subject *s)
{
  int r;

  if ((r = find_files (cli, s)) < 0
      || (r = qk_run_open_best (cli->ctx, s->checkpoint, &s->c)) < 0
      || (r = qk_cli_restore (cli, s->c, &s->run)) < 0)
    return r;
  if (s->model == NULL)
    return qk_pass_convert (s->run.g, &s->int8);
  return qk_model_load (cli->ctx, s->model, &s->file);
}

static void
close_subject (struct subject *s)
{
  qk_checkpoint_close (s->c);
  qk_graph_free (s->int8);
  qk_model_free (s->file);
  qk_cli_close_run (&s->run);
  free (s->checkpoint);
  free (s->model);
}

static int
print_json (const char *backend, const struct qk_verify *v)
{
  json_t *nodes = json_array ();
  int i;

  for (i = 0; i < v->n; i++)
    qk_json_append (&nodes,
                    json_pack ("{s:o,s:I,s:I}", "name",
                               qk_json_string (v->node[i].name), "bytes",
                               (json_int_t) v->node[i].bytes, "differing",
                               (json_int_t) v->node[i].differing));
  return qk_json_print_line (
    stdout,
    json_pack ("{s:o,s:b,s:i,s:I,s:I,s:I,s:I,s:o}", "backend",
               qk_json_string (backend), "exact", v->exact, "fallbacks",
               v->fallbacks, "samples", (json_int_t) v->samples, "bytes",
               (json_int_t) v->bytes, "differing", (json_int_t) v->differing,
               "outputs_differing", (json_int_t) v->outputs_differing, "nodes",
               nodes));
}

static int
print_table (struct qk_cli *cli, const char *backend,
             const struct qk_verify *v)
{
  static const char *const titles[]
    = { "node", "layer", "as", "bytes", "differing" };
  struct qk_table *t;
  int i, r;

  if ((r = qk_table_new (titles, 5, &t)) < 0)
    return r;
  for (i = 0; i < v->n; i++) {
    if (cli->quiet && v->node[i].differing == 0)
      continue;
    qk_table_cell (t, "%s", v->node[i].name);
    qk_table_cell (t, "%s", v->node[i].layer);
    qk_table_cell (t, "%s", v->node[i].int8 ? "int8" : "float");
    qk_table_cell (t, "%lld", (long long) v->node[i].bytes);
    qk_table_cell (t, "%lld", (long long) v->node[i].differing);
  }
  if (!cli->quiet || v->differing > 0)
    r = qk_table_print (t, stdout);
  qk_table_free (t);
  printf ("%s: %lld differing bytes of %lld, %d nodes, %lld samples: %s\n",
          backend, (long long) v->differing, (long long) v->bytes, v->n,
          (long long) v->samples,
          v->differing == 0 && v->outputs_differing == 0
            ? "what was trained is what is deployed"
          : v->exact ? "NOT the same network"
                     : "this backend's arithmetic is its own");
  if (v->outputs_differing > 0)
    printf ("%s: %lld bytes of the outputs differ from that where not every "
            "value is kept\n",
            backend, (long long) v->outputs_differing);
  return r;
}

static int
verify_backend (struct qk_cli *cli, struct subject *s, const char *backend,
                bool *equal)
{
  struct qk_verify *v;
  int r;

  r = qk_verify_run (s->run.s.settings, s->run.g,
                     s->file != NULL ? s->file->graph : s->int8, backend,
                     s->run.s.eval, cli->limit, &cli->monitor, &v);
  if (r < 0)
    return qk_error_prefix (r, "backend '%s': ", backend);
  *equal = *equal
           && ((v->differing == 0 && v->outputs_differing == 0) || !v->exact);
  r = cli->json ? print_json (backend, v) : print_table (cli, backend, v);
  qk_verify_free (v);
  return r;
}

int
qk_cmd_verify (struct qk_cli *cli)
{
  struct subject s;
  char *list = NULL, *name, *save = NULL;
  const char *backend;
  bool equal = true;
  int r;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "one folder or checkpoint expected, got %d",
                         cli->n_args);
  memset (&s, 0, sizeof s);
  if ((r = open_subject (cli, &s)) < 0)
    goto end;
  list = strdup (cli->backend != NULL
                   ? cli->backend
                   : qk_config_string (s.run.s.settings->qat, "backend"));
  if (list == NULL)
    r = qk_oom ("verify");
  for (name = list ? strtok_r (list, ",", &save) : NULL;
       r >= 0 && name != NULL; name = strtok_r (NULL, ",", &save))
    if ((r = qk_settings_backend (cli->ctx, name, &backend)) == 0)
      r = verify_backend (cli, &s, backend, &equal);
end:
  r = r < 0 ? qk_cli_fail (cli, r) : equal ? QK_EXIT_OK : QK_EXIT_FAILURE;
  free (list);
  close_subject (&s);
  return r;
}
