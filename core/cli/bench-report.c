/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench-report.c: what bench measured of networks, as tables and as JSON. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/bench.h"
#include "graph/op-priv.h"
#include "report/table.h"

struct qk_bench_report {
  struct qk_cli *cli;
  const struct qk_bench_subject *b;
  struct qk_table *t; /* NULL: JSON goes to stdout instead */
  FILE *json;         /* NULL: none */
  json_t *results;    /* of the JSON, a row each; owned */
  bool any;           /* the table has rows */
  bool failed;
  double float_peak; /* MAC/s of a core, 0 if unknown */
  int threads; /* that BANDWIDTH, bytes/s, was measured with; 0: not yet */
  double bandwidth;
};

/* ---- where the JSON goes -------------------------------------------- */

int
qk_bench_json_open (struct qk_cli *cli, FILE **out)
{
  const char *path = cli->json_file;

  *out = NULL;
  if (path == NULL)
    return 0;
  *out = strcmp (path, "-") == 0 ? stdout : fopen (path, "w");
  return *out != NULL ? 0
                      : qk_error (-errno, "cannot write '%s': %s", path,
                                  strerror (errno));
}

int
qk_bench_json_close (struct qk_cli *cli, FILE *out, int r)
{
  bool bad;

  if (out == NULL)
    return r;
  bad = ferror (out) != 0 || fflush (out) != 0;
  if (out != stdout)
    bad = fclose (out) != 0 || bad;
  if (bad && r >= 0)
    r = qk_error (-EIO, "cannot write '%s'", cli->json_file);
  return r;
}

/* ---- beginning ------------------------------------------------------ */

/* The shapes of the inputs, without the batch axis. */
static json_t *
inputs_to_json (const struct qk_graph *g)
{
  json_t *inputs = json_array ();
  int i, j;

  for (i = 0; i < g->n_inputs; i++) {
    const struct qk_shape *s = &g->value[g->input[i]].shape;
    json_t *dims = json_array ();

    for (j = 1; j < s->ndim; j++)
      qk_json_append (&dims, json_integer ((json_int_t) s->dims[j]));
    qk_json_append (&inputs, dims);
  }
  return inputs;
}

static json_t *
head_to_json (const struct qk_bench_report *p)
{
  const struct qk_graph *g = p->b->int8;
  json_t *o = json_pack (
    "{s:o,s:o,s:I,s:I}", "model", qk_json_string (p->cli->arg[0]), "inputs",
    inputs_to_json (g), "macs", (json_int_t) qk_graph_macs (g), "bytes",
    (json_int_t) qk_graph_bytes (g));

  if (p->b->model != NULL)
    qk_json_set (&o, "open_ms", qk_json_real (1e3 * p->b->load));
  if (p->float_peak > 0)
    qk_json_set (&o, "float_peak_gmac_s", qk_json_real (1e-9 * p->float_peak));
  return o;
}

/* The first backend that can measure the float peak. */
static double
float_peak (const struct qk_bench_settings *s)
{
  double peak = 0;
  int i;

  for (i = 0; peak == 0 && i < s->n_names; i++)
    if (strcmp (s->name[i], QK_BENCH_FLOAT) != 0)
      peak = qk_bench_float_peak (s->cli->ctx, s->name[i]);
  return peak;
}

int
qk_bench_report_new (const struct qk_bench_settings *s,
                     const struct qk_bench_subject *b,
                     struct qk_bench_report **out)
{
  static const char *const titles[]
    = { "backend",   "level",  "threads", "batch",     "best ms", "median ms",
        "samples/s", "GMAC/s", "of peak", "memory MB", "pack ms", "fallback" };
  struct qk_bench_report *p = calloc (1, sizeof *p);
  int r;

  if (p == NULL)
    return qk_oom ("bench");
  *out = p;
  p->cli = s->cli;
  p->b = b;
  p->float_peak = float_peak (s);
  if ((r = qk_bench_json_open (s->cli, &p->json)) < 0)
    return r;
  if (p->json != stdout && (r = qk_table_new (titles, 12, &p->t)) < 0)
    return r;
  if (p->json != NULL)
    p->results = json_array ();
  return 0;
}

/* ---- node by node --------------------------------------------------- */

/* One node as measured; NODE -1 is the quantization of the sample. */
struct line {
  int node;
  const char *name, *op, *backend;
  enum qk_bench_group group;
  double macs, bytes, best, median; /* of the batch, seconds */
};

static struct line
node_line (const struct qk_bench_report *p, const struct qk_bench_row *row,
           int node)
{
  const struct qk_graph *g = row->c->g;
  const struct qk_node *n = node >= 0 ? &g->node[node] : NULL;
  struct qk_timing *t = &row->c->node[node + 1];
  struct line l = { .node = node,
                    .best = qk_timing_best (t),
                    .median = qk_timing_median (t) };

  /* float and int8 graphs have the same nodes */
  l.group = qk_bench_group (p->b->int8, node);
  l.name = n != NULL ? n->name : "input";
  l.op = n == NULL    ? "quantize"
         : n->lowered ? qk_op_label (&n->op)
                      : n->layer_name;
  l.backend = n != NULL ? qk_exec_node_backend (row->c->ex, node) : NULL;
  if (l.backend == NULL)
    l.backend = QK_BENCH_FLOAT;
  l.macs = n != NULL ? (double) n->traits.macs * (double) row->batch : 0;
  l.bytes = qk_bench_traffic (g, node, row->batch);
  return l;
}

/* Thousands of millions a second. */
static double
giga (double count, double seconds)
{
  return seconds > 0 ? 1e-9 * count / seconds : 0;
}

static double
row_peak (const struct qk_bench_report *p, const struct qk_bench_row *row)
{
  return row->threads * (row->c->name == NULL ? p->float_peak : row->c->peak);
}

/* Bytes a second that the row's threads copy, measured when first asked for. */
static double
bandwidth (struct qk_bench_report *p, const struct qk_bench_row *row)
{
  if (p->threads != row->threads)
    p->bandwidth = qk_bench_bandwidth (row->threads);
  p->threads = row->threads;
  return p->bandwidth;
}

/* GB/s and share of what the machine copies. */
static void
traffic_cells (struct qk_table *t, double bytes, double seconds, double memory)
{
  const double rate = giga (bytes, seconds);

  qk_table_cell (t, "%.1f", rate);
  if (memory > 0)
    qk_table_cell (t, "%.0f %%", 100 * rate / (1e-9 * memory));
  else
    qk_table_cell (t, "-");
}

/* GMAC/s and share of the peak, or dashes. */
static void
rate_cells (struct qk_table *t, double macs, double seconds, double peak)
{
  if (macs == 0) {
    qk_table_cell (t, "-");
    qk_table_cell (t, "-");
    return;
  }
  qk_table_cell (t, "%.1f", giga (macs, seconds));
  if (peak > 0)
    qk_table_cell (t, "%.0f %%", 100 * macs / seconds / peak);
  else
    qk_table_cell (t, "-");
}

static void
add_node (struct qk_table *t, struct qk_bench_report *p,
          const struct qk_bench_row *row, const struct line *l, double total)
{
  const struct qk_graph *g = row->c->g;
  char shape[80];

  qk_table_cell (t, "%s", l->name);
  qk_table_cell (t, "%s", l->op);
  qk_table_cell (t, "%s", qk_bench_group_name (l->group));
  qk_table_cell (
    t, "%s",
    qk_shape_print (
      &g->value[l->node < 0 ? g->input[0] : g->node[l->node].out].shape, shape,
      sizeof shape));
  qk_table_cell (t, "%.3f", 1e-6 * l->macs);
  qk_table_cell (t, "%.4f", 1e3 * l->best);
  qk_table_cell (t, "%.1f %%", 100 * l->best / total);
  rate_cells (t, l->macs, l->best, row_peak (p, row));
  traffic_cells (t, l->bytes, l->best, bandwidth (p, row));
  qk_table_cell (t, "%s",
                 strcmp (l->backend, row->name) == 0 ? "" : l->backend);
}

/* Sums by group. */
struct group {
  int nodes;
  double macs, bytes, best;
};

static double
sum_groups (const struct qk_bench_report *p, const struct qk_bench_row *row,
            struct group *sum)
{
  double total = 0;

  memset (sum, 0, QK_GROUPS * sizeof *sum);
  for (int i = -1; i < row->c->g->n_nodes; i++) {
    const struct line l = node_line (p, row, i);

    sum[l.group].nodes++;
    sum[l.group].macs += l.macs;
    sum[l.group].bytes += l.bytes;
    sum[l.group].best += l.best;
    total += l.best;
  }
  return total;
}

static int
print_groups (struct qk_bench_report *p, const struct qk_bench_row *row,
              const struct group *sum, double total)
{
  static const char *const titles[]
    = { "class",  "nodes",   "MMAC", "best ms",  "time",
        "GMAC/s", "of peak", "GB/s", "of memory" };
  struct qk_table *t;
  int r = qk_table_new (titles, 9, &t);

  if (r < 0)
    return r;
  for (int i = 0; i < QK_GROUPS; i++) {
    if (sum[i].nodes == 0)
      continue;
    qk_table_cell (t, "%s", qk_bench_group_name ((enum qk_bench_group) i));
    qk_table_cell (t, "%d", sum[i].nodes);
    qk_table_cell (t, "%.3f", 1e-6 * sum[i].macs);
    qk_table_cell (t, "%.4f", 1e3 * sum[i].best);
    qk_table_cell (t, "%.1f %%", 100 * sum[i].best / total);
    rate_cells (t, sum[i].macs, sum[i].best, row_peak (p, row));
    traffic_cells (t, sum[i].bytes, sum[i].best, bandwidth (p, row));
  }
  r = qk_table_print (t, stdout);
  qk_table_free (t);
  return r;
}

static int
print_nodes (struct qk_bench_report *p, const struct qk_bench_row *row)
{
  static const char *const titles[]
    = { "node", "op",     "class",   "output", "MMAC",      "best ms",
        "time", "GMAC/s", "of peak", "GB/s",   "of memory", "" };
  struct group sum[QK_GROUPS];
  const double total = sum_groups (p, row, sum);
  struct qk_table *t;
  int r = qk_table_new (titles, 12, &t);

  if (r < 0)
    return r;
  printf ("%s, %d threads, batch %ld, node by node:\n", row->name,
          row->threads, row->batch);
  for (int i = -1; i < row->c->g->n_nodes; i++) {
    const struct line l = node_line (p, row, i);

    add_node (t, p, row, &l, total);
  }
  r = qk_table_print (t, stdout);
  qk_table_free (t);
  printf ("\n");
  if (r == 0)
    r = print_groups (p, row, sum, total);
  printf ("\n");
  return r;
}

static void
nodes_to_json (struct qk_bench_report *p, const struct qk_bench_row *row,
               json_t **o)
{
  struct group sum[QK_GROUPS];
  const double total = sum_groups (p, row, sum);
  json_t *nodes = json_array (), *classes = json_array ();

  for (int i = -1; i < row->c->g->n_nodes; i++) {
    const struct line l = node_line (p, row, i);

    qk_json_append (
      &nodes, json_pack ("{s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "name",
                         qk_json_string (l.name), "op", qk_json_string (l.op),
                         "class", qk_bench_group_name (l.group), "backend",
                         qk_json_string (l.backend), "macs",
                         json_integer ((json_int_t) l.macs), "best_ms",
                         qk_json_real (1e3 * l.best), "median_ms",
                         qk_json_real (1e3 * l.median), "share",
                         qk_json_real (l.best / total), "gmac_s",
                         qk_json_real (giga (l.macs, l.best)), "gbyte_s",
                         qk_json_real (giga (l.bytes, l.best))));
  }
  for (int i = 0; i < QK_GROUPS; i++)
    if (sum[i].nodes > 0)
      qk_json_append (
        &classes,
        json_pack ("{s:s,s:i,s:o,s:o,s:o,s:o,s:o}", "class",
                   qk_bench_group_name ((enum qk_bench_group) i), "nodes",
                   sum[i].nodes, "macs",
                   json_integer ((json_int_t) sum[i].macs), "best_ms",
                   qk_json_real (1e3 * sum[i].best), "share",
                   qk_json_real (sum[i].best / total), "gmac_s",
                   qk_json_real (giga (sum[i].macs, sum[i].best)), "gbyte_s",
                   qk_json_real (giga (sum[i].bytes, sum[i].best))));
  qk_json_set (o, "memory_gbyte_s", qk_json_real (1e-9 * bandwidth (p, row)));
  qk_json_set (o, "nodes", nodes);
  qk_json_set (o, "classes", classes);
}

/* ---- rows ----------------------------------------------------------- */

static void
case_to_json (struct qk_bench_report *p, const struct qk_bench_row *row,
              json_t **o)
{
  const struct qk_bench_case *c = row->c;
  const struct qk_backend_caps *caps = qk_exec_caps (c->ex);
  const double best = qk_timing_best (&c->whole);
  const double macs = (double) (row->batch * qk_graph_macs (c->g));
  const double peak = row_peak (p, row);
  double share = 0;
  const int fallbacks = qk_exec_fallbacks (c->ex, &share);

  if (caps != NULL) {
    qk_json_set (
      o, "cpu_level",
      qk_json_string (caps->cpu_level != NULL ? caps->cpu_level : ""));
    qk_json_set (o, "exact", json_boolean (caps->exact));
  }
  qk_json_set (o, "runs", json_integer ((json_int_t) c->whole.n));
  qk_json_set (o, "best_ms", qk_json_real (1e3 * best));
  qk_json_set (o, "median_ms",
               qk_json_real (1e3 * qk_timing_median (&c->whole)));
  qk_json_set (o, "samples_s", qk_json_real ((double) row->batch / best));
  qk_json_set (o, "gmac_s", qk_json_real (giga (macs, best)));
  if (peak > 0) {
    qk_json_set (o, "core_peak_gmac_s",
                 qk_json_real (1e-9 * peak / row->threads));
    qk_json_set (o, "of_peak", qk_json_real (macs / best / peak));
  }
  qk_json_set (o, "activation_bytes",
               json_integer ((json_int_t) qk_exec_memory (c->ex)));
  qk_json_set (o, "pack_ms", qk_json_real (1e3 * c->pack));
  qk_json_set (o, "fallback_nodes", json_integer (fallbacks));
  qk_json_set (o, "fallback_share", qk_json_real (share));
  if (c->node != NULL)
    nodes_to_json (p, row, o);
}

static void
add_result (struct qk_bench_report *p, const struct qk_bench_row *row)
{
  json_t *o
    = json_pack ("{s:o,s:i,s:I}", "backend", qk_json_string (row->name),
                 "threads", row->threads, "batch", (json_int_t) row->batch);

  if (row->c != NULL)
    case_to_json (p, row, &o);
  else
    qk_json_set (&o, "error", qk_json_string (row->error));
  qk_json_append (&p->results, o);
}

static void
table_row (const struct qk_bench_report *p, const struct qk_bench_row *row)
{
  const struct qk_bench_case *c = row->c;
  const struct qk_backend_caps *caps = qk_exec_caps (c->ex);
  const double best = qk_timing_best (&c->whole);
  struct qk_table *t = p->t;
  double share = 0;
  const int fallbacks = qk_exec_fallbacks (c->ex, &share);

  qk_table_cell (t, "%s", row->name);
  qk_table_cell (
    t, "%s", caps != NULL && caps->cpu_level != NULL ? caps->cpu_level : "-");
  qk_table_cell (t, "%d", row->threads);
  qk_table_cell (t, "%ld", row->batch);
  qk_table_cell (t, "%.3f", 1e3 * best);
  qk_table_cell (t, "%.3f", 1e3 * qk_timing_median (&c->whole));
  qk_table_cell (t, "%.1f", (double) row->batch / best);
  rate_cells (t, (double) (row->batch * qk_graph_macs (c->g)), best,
              row_peak (p, row));
  qk_table_cell (t, "%.2f", 1e-6 * (double) qk_exec_memory (c->ex));
  qk_table_cell (t, "%.1f", 1e3 * c->pack);
  if (fallbacks > 0)
    qk_table_cell (t, "%d node%s, %.1f %% of MACs", fallbacks,
                   fallbacks == 1 ? "" : "s", 100 * share);
  else
    qk_table_cell (t, "-");
}

int
qk_bench_report_row (struct qk_bench_report *p, const struct qk_bench_row *row)
{
  int r = 0;

  p->failed = p->failed || row->c == NULL;
  if (p->json != NULL)
    add_result (p, row);
  if (p->t != NULL && row->c != NULL) {
    if (row->c->node != NULL)
      r = print_nodes (p, row);
    table_row (p, row);
    p->any = true;
  }
  return r;
}

int
qk_bench_report_end (struct qk_bench_report *p, bool *failed)
{
  int r = 0;

  *failed = p->failed;
  if (p->any)
    r = qk_table_print (p->t, stdout);
  if (r == 0 && p->json != NULL) {
    json_t *o = head_to_json (p);

    qk_json_set (&o, "results", p->results);
    p->results = NULL;
    r = qk_json_print (p->json, o);
  }
  r = qk_bench_json_close (p->cli, p->json, r);
  p->json = NULL;
  return r;
}

void
qk_bench_report_free (struct qk_bench_report *p)
{
  if (p == NULL)
    return;
  qk_bench_json_close (p->cli, p->json, 0);
  json_decref (p->results);
  qk_table_free (p->t);
  free (p);
}
