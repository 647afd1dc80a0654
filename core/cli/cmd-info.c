/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-info.c: inspect and plugins: what a file holds, what is installed. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/backend.h>

#include "base/json.h"
#include "base/nearest.h"
#include "base/suffix.h"
#include "cli/cli.h"
#include "exec/exec.h"
#include "graph/op-priv.h"
#include "io/checkpoints.h"
#include "run/coverage.h"
#include "model/modelfile.h"
#include "model/network.h"
#include "plugin/loader-priv.h"
#include "report/table.h"

/* ---- inspect ------------------------------------------------------------------ */

static void
print_grid (struct qk_table *t, const struct qk_value *v)
{
  if (!v->on_grid) {
    qk_table_cell (t, "float");
    qk_table_cell (t, "-");
    return;
  }
  qk_table_cell (t, "%.6g", (double) v->q.scale);
  qk_table_cell (t, "%d", v->q.zero_point);
}

/* What is said of a model besides. */
struct besides {
  struct qk_exec *ex; /* packed by BACKEND; NULL without one */
  const char *backend, *format;
  const struct qk_graph *g;
  char (*fact)[128], whole[128]; /* of each node and of the whole in FORMAT */
};

/* A node's cell of what the backend tells of it. */
static int
print_facts (struct qk_table *t, const struct qk_exec *ex, int node)
{
  char facts[256];
  int r;

  if (ex == NULL)
    return 0;
  if ((r = qk_exec_facts (ex, node, facts, sizeof facts)) < 0)
    return r;
  qk_table_cell (t, "%s", facts[0] != '\0' ? facts : "-");
  return 0;
}

static int
inspect_model (const struct qk_model *m, const struct besides *b)
{
  const char *titles[9]
    = { "node", "op", "output", "weights", "MMAC", "scale", "zero point" };
  const struct qk_graph *g = m->graph;
  struct qk_table *t;
  char shape[80];
  int i, r, columns = 7;

  if (b->ex != NULL)
    titles[columns++] = b->backend;
  if (b->format != NULL)
    titles[columns++] = b->format;
  if ((r = qk_table_new (titles, columns, &t)) < 0)
    return r;
  for (i = 0; i < g->n_values; i++) {
    const struct qk_value *v = &g->value[i];

    if (v->producer >= 0)
      continue;
    qk_table_cell (t, "%s", v->name);
    qk_table_cell (t, "%s", v->constant != NULL ? "constant" : "quantize");
    qk_table_cell (t, "%s", qk_shape_print (&v->shape, shape, sizeof shape));
    qk_table_cell (t, "-");
    qk_table_cell (t, "-");
    print_grid (t, v);
    for (int more = 7; more < columns; more++)
      qk_table_cell (t, "-");
  }
  for (i = 0; r == 0 && i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    const struct qk_value *v = &g->value[n->out];
    const int64_t weights = n->lowered ? qk_op_weight_count (&n->op) : 0;

    qk_table_cell (t, "%s", n->name);
    qk_table_cell (t, "%s", n->lowered ? qk_op_label (&n->op) : n->layer_name);
    qk_table_cell (t, "%s", qk_shape_print (&v->shape, shape, sizeof shape));
    if (weights > 0)
      qk_table_cell (t, "%lld", (long long) weights);
    else
      qk_table_cell (t, "-");
    if (n->traits.macs > 0)
      qk_table_cell (t, "%.3f", (double) n->traits.macs / 1e6);
    else
      qk_table_cell (t, "-");
    print_grid (t, v);
    r = print_facts (t, b->ex, i);
    if (b->format != NULL)
      qk_table_cell (t, "%s", b->fact[i][0] != '\0' ? b->fact[i] : "-");
  }
  if (r == 0)
    r = qk_table_print (t, stdout);
  qk_table_free (t);
  if (r < 0)
    return r;
  printf ("%d nodes, %d outputs, %.2f MB, %.1f MMAC a sample\n", g->n_nodes,
          g->n_outputs, (double) qk_graph_bytes (g) / 1e6,
          (double) qk_graph_macs (g) / 1e6);
  if (b->format != NULL)
    printf ("%s: %s\n", b->format, b->whole);
  for (i = 0; i < m->n_targets; i++)
    if (m->target[i].categories > 0)
      printf ("target '%s': %lld categories\n", m->target[i].name,
              (long long) m->target[i].categories);
  if (*m->checksum != 0)
    printf ("checksum %s: the file is as it was written\n", m->checksum);
  return r;
}

static int
inspect_json (const struct qk_model *m, const struct besides *b)
{
  char facts[256];
  const struct qk_graph *g = m->graph;
  json_t *nodes = json_array (), *targets = json_array ();
  char shape[80];
  int i;

  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    const struct qk_value *v = &g->value[n->out];

    json_t *o = json_pack (
      "{s:o,s:o,s:b,s:s,s:I}", "name", qk_json_string (n->name), "op",
      qk_json_string (n->lowered ? qk_op_label (&n->op) : n->layer_name),
      "int8", n->lowered, "output",
      qk_shape_print (&v->shape, shape, sizeof shape), "macs",
      (json_int_t) n->traits.macs);

    if (v->on_grid) {
      qk_json_set (&o, "scale", qk_json_real ((double) v->q.scale));
      qk_json_set (&o, "zero_point", json_integer (v->q.zero_point));
    }
    if (b->ex != NULL) {
      const int r = qk_exec_facts (b->ex, i, facts, sizeof facts);

      if (r < 0) {
        json_decref (o);
        json_decref (nodes);
        return r;
      }
      qk_json_set (&o, "backend", qk_json_string (facts));
    }
    if (b->format != NULL)
      qk_json_set (&o, "format", qk_json_string (b->fact[i]));
    qk_json_append (&nodes, o);
  }
  for (i = 0; i < m->n_targets; i++)
    qk_json_append (
      &targets,
      json_pack ("{s:o,s:I}", "name", qk_json_string (m->target[i].name),
                 "categories", (json_int_t) m->target[i].categories));
  return qk_json_print (
    stdout, json_pack ("{s:o,s:I,s:I,s:s?,s:s?,s:o}", "targets", targets,
                       "bytes", (json_int_t) qk_graph_bytes (g), "macs",
                       (json_int_t) qk_graph_macs (g), "checksum",
                       *m->checksum != 0 ? m->checksum : NULL, "format",
                       b->format != NULL ? b->whole : NULL, "nodes", nodes));
}

static void
take_fact (void *cookie, const char *node, const char *text)
{
  struct besides *b = cookie;

  if (node == NULL)
    snprintf (b->whole, sizeof b->whole, "%s", text);
  for (int i = 0; node != NULL && i < b->g->n_nodes; i++)
    if (strcmp (b->g->node[i].name, node) == 0)
      snprintf (b->fact[i], sizeof b->fact[i], "%s", text);
}

static int
find_facts (const struct qk_model *m, struct besides *b)
{
  const struct qk_model_info info
    = { m->n_targets, m->target, m->config, m->checksum };

  b->fact = calloc ((size_t) m->graph->n_nodes + 1, sizeof *b->fact);
  if (b->fact == NULL)
    return qk_oom ("inspect");
  return qk_network_facts (m->graph, &info, b->format, take_fact, b);
}

/* A model's file; with --backend also what that backend makes of it, with
 * --format what it would need in that format. */
static int
inspect_file (struct qk_cli *cli, const struct qk_model *m)
{
  struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  struct besides b = { .format = cli->format, .g = m->graph };
  int r = 0;

  if (cli->backend != NULL
      && (r = qk_settings_backend (cli->ctx, cli->backend, &opt.backend)) == 0)
    r = qk_exec_new (m->graph, &opt, &b.ex);
  b.backend = opt.backend;
  if (r == 0 && b.format != NULL)
    r = find_facts (m, &b);
  if (r == 0)
    r = cli->json ? inspect_json (m, &b) : inspect_model (m, &b);
  qk_exec_free (b.ex);
  free (b.fact);
  return r;
}

/* Any other tensor file: the list of its tensors. */
static int
inspect_tensors (struct qk_cli *cli, const char *path)
{
  static const char *const titles[] = { "tensor", "type", "shape" };
  struct qk_tensorfile *f;
  struct qk_format_entry e;
  struct qk_table *t;
  int64_t i, count = 0;
  char shape[80];
  int r;

  if ((r = qk_tensorfile_open (cli->ctx, path, NULL, &f)) < 0)
    return r;
  if ((r = qk_checkpoint_check (f)) < 0
      || (r = qk_table_new (titles, 3, &t)) < 0) {
    qk_tensorfile_close (f);
    return r;
  }
  for (i = 0; r == 0 && i < qk_tensorfile_count (f); i++) {
    if ((r = qk_tensorfile_entry (f, i, &e)) < 0)
      break;
    qk_shape_print (&e.tensor.shape, shape, sizeof shape);
    if (cli->json)
      r = qk_json_print (stdout, json_pack ("{s:o,s:s,s:s}", "tensor",
                                            qk_json_string (e.name), "type",
                                            qk_dtype_name (e.tensor.dtype),
                                            "shape", shape));
    qk_table_cell (t, "%s", e.name);
    qk_table_cell (t, "%s", qk_dtype_name (e.tensor.dtype));
    qk_table_cell (t, "%s", shape);
    count += qk_shape_count (&e.tensor.shape);
  }
  if (r == 0 && !cli->json) {
    r = qk_table_print (t, stdout);
    printf ("%lld tensors, %lld elements\n",
            (long long) qk_tensorfile_count (f), (long long) count);
  }
  qk_table_free (t);
  qk_tensorfile_close (f);
  return r;
}

/* What a configuration makes of each node, before anything is trained: for
 * QAT, or for PTQ where there is no QAT. */
static int
inspect_config (struct qk_cli *cli, const char *path)
{
  struct qk_graph *g = NULL, *prepared = NULL;
  struct qk_data *data = NULL;
  struct qk_settings *settings = NULL;
  struct qk_ini *ini;
  int r;

  if ((r = qk_cli_ini (cli, path, &ini)) < 0
      || (r = qk_settings_new (cli->ctx, ini, &settings)) < 0)
    return r;
  if ((r = qk_data_open (settings, QK_DATA_EVAL, &data)) < 0
      || (r = qk_settings_build (settings, &data->info, QK_WEIGHTS_NONE, &g))
           < 0
      || (r = qk_settings_check (settings, g, &data->info)) < 0
      || (r = qk_settings_prepare (
            settings, g, qk_config_int (settings->qat, "epochs") == 0,
            &prepared))
           < 0)
    goto end;
  r = qk_coverage_print (prepared, cli->json, stdout);
end:
  qk_graph_free (prepared);
  qk_graph_free (g);
  qk_data_close (data);
  qk_settings_free (settings);
  return r;
}

/* The same of the network in the file PATH, for PTQ. */
static int
inspect_network (struct qk_cli *cli, const char *path)
{
  struct qk_graph *g = NULL, *prepared = NULL;
  struct qk_settings *settings = NULL;
  int r;

  if ((r = qk_cli_network (cli, path, &settings, &g)) == 0
      && (r = qk_settings_prepare (settings, g, true, &prepared)) == 0)
    r = qk_coverage_print (prepared, cli->json, stdout);
  qk_graph_free (prepared);
  qk_graph_free (g);
  qk_settings_free (settings);
  return r;
}

int
qk_cmd_inspect (struct qk_cli *cli)
{
  struct qk_tensorfile *f;
  struct qk_model *m = NULL;
  bool model = false;
  int r;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "one file expected, got %d", cli->n_args);
  if (qk_cli_network_of (cli, cli->arg[0]) != NULL) {
    r = inspect_network (cli, cli->arg[0]);
    return r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  }
  if (qk_has_suffix (cli->arg[0], ".ini")) {
    r = inspect_config (cli, cli->arg[0]);
    return r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  }
  if ((r = qk_tensorfile_open (cli->ctx, cli->arg[0], NULL, &f)) < 0)
    return qk_cli_fail (cli, r);
  model = qk_tensorfile_metadata (f, "qatkit.model") != NULL;
  qk_tensorfile_close (f);
  if (!model)
    r = inspect_tensors (cli, cli->arg[0]);
  else if ((r = qk_model_load (cli->ctx, cli->arg[0], &m)) == 0)
    r = inspect_file (cli, m);
  qk_model_free (m);
  return r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
}

/* ---- plugins ------------------------------------------------------------------- */

static const char *
type_name (enum qk_option_type type)
{
  static const char *const names[] = {
    [QK_OPT_INT] = "integer",    [QK_OPT_FLOAT] = "number",
    [QK_OPT_BOOL] = "yes/no",    [QK_OPT_STRING] = "text",
    [QK_OPT_CHOICE] = "one of",  [QK_OPT_PATH] = "path",
    [QK_OPT_FLOATS] = "numbers",
  };

  return names[type];
}

static json_t *
options_to_json (const struct qk_option *o)
{
  json_t *list = json_array ();

  for (; o != NULL && o->name != NULL; o++) {
    json_t *j = json_pack ("{s:s,s:s,s:o}", "name", o->name, "type",
                           type_name (o->type), "help",
                           qk_json_string (o->help != NULL ? o->help : ""));

    if (o->def != NULL)
      qk_json_set (&j, "default", qk_json_string (o->def));
    qk_json_append (&list, j);
  }
  return list;
}

static void
print_options (const struct qk_option *o)
{
  const char *const *c;

  for (; o != NULL && o->name != NULL; o++) {
    printf ("  %s = %s\n      %s", o->name,
            o->def == NULL ? "(required)"
            : *o->def      ? o->def
                           : "\"\"",
            type_name (o->type));
    for (c = o->type == QK_OPT_CHOICE ? o->choices : NULL;
         c != NULL && *c != NULL; c++)
      printf (" %s", *c);
    if (o->min < o->max && o->type != QK_OPT_CHOICE)
      printf (" %.10g..%.10g", o->min, o->max);
    printf ("; %s\n", o->help ? o->help : "");
  }
}

static int
show_class_json (const struct qk_class *c, const struct qk_plugin *p,
                 const char *path, const char *level)
{
  json_t *o = json_pack (
    "{s:s,s:o,s:o,s:o,s:o,s:i,s:o}", "kind", qk_kind_name (c->kind), "name",
    qk_json_string (c->name), "description", qk_json_string (c->description),
    "version", qk_json_string (p->version), "licence",
    qk_json_string (p->licence), "abi", p->abi_major, "file",
    qk_json_string (path));

  if (level != NULL)
    qk_json_set (&o, "cpu_level", qk_json_string (level));
  qk_json_set (&o, "options", options_to_json (c->options));
  return qk_json_print_line (stdout, o);
}

/* What a model plugin tells besides. */
static void
print_notes (const struct qk_class *c)
{
  const struct qk_model_class *m
    = (const struct qk_model_class *) (const void *) c;
  const char *line;
  int i;

  if (c->kind != QK_KIND_MODEL || m->note == NULL)
    return;
  for (i = 0; (line = m->note (i)) != NULL; i++)
    printf (i == 0 ? "operators:\n  %s\n" : "  %s\n", line);
}

static int
show_class (struct qk_cli *cli, const struct qk_class *c)
{
  const char *path = NULL;
  const struct qk_plugin *p = qk_context_plugin_of (cli->ctx, c, &path);
  const char *level = NULL;
  struct qk_backend_caps caps;

  if (c->kind == QK_KIND_BACKEND) {
    const struct qk_backend_class *b
      = (const struct qk_backend_class *) (const void *) c;

    memset (&caps, 0, sizeof caps);
    level = b->probe (&caps) == 0 ? caps.cpu_level : qk_error_message ();
  }
  if (cli->json)
    return show_class_json (c, p, path, level);
  printf ("%s %s: %s\n", qk_kind_name (c->kind), c->name, c->description);
  printf ("file=%s\nversion=%s\nlicence=%s\nabi=%d\n", path, p->version,
          p->licence, p->abi_major);
  if (level != NULL)
    printf ("cpu_level=%s\n", level);
  if (c->options != NULL && c->options->name != NULL)
    printf ("options:\n");
  print_options (c->options);
  print_notes (c);
  return 0;
}

/* A plugin file, of whatever kind it is. */
static int
show_path (struct qk_cli *cli, const char *path)
{
  const struct qk_class *c;
  enum qk_kind kind;
  int r = qk_context_kind_of (path, &kind);

  if (r == 0)
    r = qk_context_class (cli->ctx, kind, path, &c);
  return r == 0 ? show_class (cli, c) : r;
}

static int
not_installed (struct qk_cli *cli, const char *name)
{
  const char *slash = strchr (name, '/');
  const char *plain = slash ? slash + 1 : name;
  struct qk_nearest near;
  char hint[QK_HINT_SIZE];
  char **list[QK_KIND_LAST + 1];
  int kind, i;

  memset (list, 0, sizeof list);
  qk_nearest_init (&near, plain);
  for (kind = QK_KIND_LAYER; kind <= QK_KIND_LAST; kind++)
    if (qk_context_list (cli->ctx, (enum qk_kind) kind, &list[kind]) == 0)
      for (i = 0; list[kind][i] != NULL; i++)
        qk_nearest_offer (&near, list[kind][i]);
  qk_nearest_hint (&near, hint);
  for (kind = QK_KIND_LAYER; kind <= QK_KIND_LAST; kind++)
    qk_names_free (list[kind]);
  return qk_error (-ENOENT,
                   "no plugin '%s' is installed%s; "
                   "'qatkit plugins' lists all",
                   name, hint);
}

/* "kind/name" or a name that may exist in several kinds. */
static int
show_named (struct qk_cli *cli, const char *name)
{
  const char *slash = strchr (name, '/');
  const struct qk_class *c;
  int kind, r = -ENOENT, found = 0;

  if (slash != NULL && (name[0] == '/' || name[0] == '.'))
    return show_path (cli, name);
  for (kind = QK_KIND_LAYER; kind <= QK_KIND_LAST; kind++) {
    const char *folder = qk_kind_folder ((enum qk_kind) kind);
    const char *single = qk_kind_name ((enum qk_kind) kind);
    const size_t n = slash ? (size_t) (slash - name) : 0;
    char **list;
    int i;

    if (slash != NULL
        && !(strlen (folder) == n && strncmp (folder, name, n) == 0)
        && !(strlen (single) == n && strncmp (single, name, n) == 0))
      continue;
    if ((r = qk_context_list (cli->ctx, (enum qk_kind) kind, &list)) < 0)
      return r;
    for (i = 0; list[i] != NULL; i++)
      if (strcmp (list[i], slash ? slash + 1 : name) == 0) {
        r = qk_context_class (cli->ctx, (enum qk_kind) kind, list[i], &c);
        if (r < 0)
          break;
        if (found++ > 0 && !cli->json)
          printf ("\n");
        show_class (cli, c);
      }
    qk_names_free (list);
    if (r < 0)
      return r;
  }
  return found > 0 ? 0 : not_installed (cli, name);
}

static int
list_all (struct qk_cli *cli)
{
  const struct qk_class *c;
  int kind, r, bad = 0;

  for (kind = QK_KIND_LAYER; kind <= QK_KIND_LAST; kind++) {
    char **list;
    int i;

    if ((r = qk_context_list (cli->ctx, (enum qk_kind) kind, &list)) < 0)
      return r;
    for (i = 0; list[i] != NULL; i++) {
      if (i == 0 && !cli->json)
        printf ("%s\n", qk_kind_folder ((enum qk_kind) kind));
      r = qk_context_class (cli->ctx, (enum qk_kind) kind, list[i], &c);
      if (r < 0) {
        bad = -ENOEXEC;
        if (cli->json)
          fprintf (stderr, "qatkit: %s\n", qk_error_message ());
        else
          printf ("  %-22s cannot be loaded: %s\n", list[i],
                  qk_error_message ());
      } else if (cli->json)
        show_class (cli, c);
      else
        printf ("  %-22s %s\n", list[i], c->description);
    }
    qk_names_free (list);
  }
  return bad == 0 ? 0 : qk_error (bad, "not every plugin can be loaded");
}

int
qk_cmd_plugins (struct qk_cli *cli)
{
  int r;

  if (cli->n_args > 1)
    return qk_cli_usage (cli, "at most one name expected, got %d",
                         cli->n_args);
  r = cli->n_args == 0 ? list_all (cli) : show_named (cli, cli->arg[0]);
  return r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
}
