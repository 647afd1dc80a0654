/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coverage.c: each node with what it will be, the reason, and its share of the
 * work. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/json.h"
#include "base/memtext.h"
#include "run/coverage.h"
#include "passes/passes.h"
#include "quant/quantizer-priv.h"
#include "report/table.h"

/* Nodes of one reason that the sentence names; the others are counted. */
#define NAMED 3

const char *
qk_node_as_name (enum qk_node_as as)
{
  static const char *const names[]
    = { "float", "int8", "weights only", "activations only", "dynamic" };

  return (int) as >= 0 && (size_t) as < sizeof names / sizeof *names
           ? names[as]
           : "?";
}

double
qk_coverage_share (const struct qk_graph *g, int node)
{
  const int64_t all = qk_graph_macs (g);

  return all > 0 ? (double) g->node[node].traits.macs / (double) all : 0.0;
}

static const char *
reason_of (const struct qk_node *n)
{
  return n->skip_reason != NULL ? n->skip_reason : "";
}

/* The nodes that are FIRST's way and have its reason, as text. */
static void
print_group (FILE *f, const struct qk_graph *g, int first)
{
  const struct qk_node *n = &g->node[first];
  double share = 0.0;
  int i, count = 0;

  fprintf (f, "; %s: ", qk_node_as_name (n->as));
  for (i = first; i < g->n_nodes; i++) {
    if (g->node[i].as != n->as
        || strcmp (reason_of (&g->node[i]), reason_of (n)) != 0)
      continue;
    share += qk_coverage_share (g, i);
    if (count++ < NAMED)
      fprintf (f, "%s%s", count > 1 ? ", " : "", g->node[i].name);
  }
  if (count > NAMED)
    fprintf (f, " and %d more", count - NAMED);
  if (n->skip_reason != NULL)
    fprintf (f, " (%s; %.1f %%)", n->skip_reason, 100.0 * share);
  else
    fprintf (f, " (%.1f %%)", 100.0 * share);
}

static bool
is_first_of_its_kind (const struct qk_graph *g, int node)
{
  int i;

  for (i = 0; i < node; i++)
    if (g->node[i].as == g->node[node].as
        && strcmp (reason_of (&g->node[i]), reason_of (&g->node[node])) == 0)
      return false;
  return true;
}

char *
qk_coverage_sentence (const struct qk_graph *g)
{
  double share = 0.0;
  char *text = NULL;
  size_t size = 0;
  int i, count = 0;
  FILE *f = open_memstream (&text, &size);

  if (f == NULL)
    return NULL;
  for (i = 0; i < g->n_nodes; i++)
    if (g->node[i].as == QK_AS_INT8) {
      count++;
      share += qk_coverage_share (g, i);
    }
  fprintf (f, "%d node%s int8, %.1f %% of MACs", count, count == 1 ? "" : "s",
           100.0 * share);
  for (i = 0; i < g->n_nodes; i++)
    if (g->node[i].as != QK_AS_INT8 && is_first_of_its_kind (g, i))
      print_group (f, g, i);
  qk_close_text (f, &text);
  return text;
}

/* Bits of the weights and of the output's values; 0: float. */
static int
weight_bits (const struct qk_node *n)
{
  return n->weight_qz != NULL ? qk_quantizer_info (n->weight_qz)->bits : 0;
}

static int
value_bits (const struct qk_graph *g, const struct qk_node *n)
{
  struct qk_qparams *q;
  int bits = 0;

  if (n->as == QK_AS_DYNAMIC)
    return n->dynamic_bits;
  if (!g->value[n->out].on_grid
      || (q = calloc ((size_t) g->n_values + 1, sizeof *q)) == NULL)
    return 0;
  qk_value_grids (g, q);
  while (bits < 16 && q[n->out].qmax - q[n->out].qmin >= 1 << bits)
    bits++;
  free (q);
  return bits;
}

int
qk_coverage_report (const struct qk_graph *g, const char *what,
                    struct qk_monitor *m)
{
  char *text = qk_coverage_sentence (g);
  int i, r = 0;

  if (text == NULL)
    return qk_oom ("ledger");
  qk_log (g->ctx, QK_LOG_INFO, "%s: %s", what, text);
  free (text);
  for (i = 0; r == 0 && i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];

    qk_log (g->ctx, QK_LOG_DEBUG, "%s: %s (%s) %s, %.2f %% of MACs%s%s", what,
            n->name, n->layer_name, qk_node_as_name (n->as),
            100.0 * qk_coverage_share (g, i), *reason_of (n) ? ": " : "",
            reason_of (n));
    r = qk_monitor_event (
      m, "node", "s:stage", what, "s:node", n->name, "s:layer", n->layer_name,
      "s:as", qk_node_as_name (n->as), "s:reason", reason_of (n), "i:macs",
      n->traits.macs, "f:share", qk_coverage_share (g, i), "i:weight_bits",
      (int64_t) weight_bits (n), "i:value_bits", (int64_t) value_bits (g, n),
      NULL);
  }
  return r;
}

void
qk_coverage_raised (const struct qk_graph *g, const char *what)
{
  char *text = NULL;
  size_t size = 0;
  int i, count = 0;
  FILE *f = open_memstream (&text, &size);

  if (f == NULL)
    return; /* it is but a note */
  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_quantizer *qz = g->node[i].weight_qz;
    const long long n = qz != NULL ? (long long) qk_quantizer_raised (qz) : 0;

    if (n > 0 && count++ < NAMED)
      fprintf (f, "%s%s (%lld of %lld)", count > 1 ? ", " : "",
               g->node[i].name, n, (long long) qk_quantizer_channels (qz));
  }
  if (qk_close_text (f, &text) && count > 0)
    qk_log (g->ctx, QK_LOG_INFO,
            "%s: scales of weights raised so that biases fit into int32, the "
            "weights being zero or tiny beside them: %s%s",
            what, text, count > NAMED ? ", …" : "");
  free (text);
}

/* ---- printing --------------------------------------------------------------- */

static void
bits_cell (struct qk_table *t, int bits)
{
  if (bits > 0)
    qk_table_cell (t, "%d", bits);
  else
    qk_table_cell (t, "-");
}

static int
print_json (const struct qk_graph *g, FILE *out)
{
  json_t *list = json_array ();
  int i;

  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    json_t *o = json_pack (
      "{s:o,s:s,s:s,s:s,s:i,s:i,s:b,s:I,s:f}", "name",
      qk_json_string (n->name), "layer", n->layer_name, "as",
      qk_node_as_name (n->as), "reason", reason_of (n), "weight_bits",
      weight_bits (n), "value_bits", value_bits (g, n), "per_channel",
      n->weight_qz != NULL && qk_quantizer_channels (n->weight_qz) > 1, "macs",
      (json_int_t) n->traits.macs, "share", qk_coverage_share (g, i));

    qk_json_append (&list, o);
  }
  return qk_json_print (out, list);
}

int
qk_coverage_print (const struct qk_graph *g, bool json, FILE *out)
{
  static const char *const titles[]
    = { "node", "layer",   "as",    "weight bits", "activation bits",
        "MMAC", "share %", "reason" };
  struct qk_table *t;
  char *text;
  int i, r;

  if (json)
    return print_json (g, out);
  if ((r = qk_table_new (titles, 8, &t)) < 0)
    return r;
  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];

    qk_table_cell (t, "%s", n->name);
    qk_table_cell (t, "%s", n->layer_name);
    qk_table_cell (t, "%s", qk_node_as_name (n->as));
    bits_cell (t, weight_bits (n));
    bits_cell (t, value_bits (g, n));
    qk_table_cell (t, "%.3f", (double) n->traits.macs / 1e6);
    qk_table_cell (t, "%.2f", 100.0 * qk_coverage_share (g, i));
    qk_table_cell (t, "%s", reason_of (n));
  }
  r = qk_table_print (t, out);
  qk_table_free (t);
  if (r < 0)
    return r;
  if ((text = qk_coverage_sentence (g)) == NULL)
    return qk_oom ("ledger");
  fprintf (out, "%s\n", text);
  free (text);
  return 0;
}
