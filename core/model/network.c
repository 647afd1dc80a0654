/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.c: graphs as other programs' formats want them: what was fused is
 * apart again where it stayed in float. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic-file.h"
#include "graph/op-priv.h"
#include "io/tensorfile.h"
#include "model/network.h"
#include "options/ini.h"
#include "plugin/loader-priv.h"

struct qk_network_view {
  struct qk_network net;
  struct qk_graph *g; /* the graph apart; owns layers and names */
  struct qk_network_value *value;
  const struct qk_network_value **value_at;
  struct qk_network_node *node;
  const struct qk_network_node **node_at;
  struct qk_network_param *param;
  struct qk_network_output *output;
  struct qk_op *op; /* of nodes left in float, with what geometry gave */
  int *origin;      /* of each value, that of the graph it shows; -1: none */
};

/* ---- taking apart ---------------------------------------------------------- */

/* A node whose op is complete; its arrays stay those of FROM. */
static int
add_quantized (const struct qk_graph *from, const struct qk_node *n,
               const int *in, struct qk_graph *g)
{
  const struct qk_value *out = &from->value[n->out];
  int r;

  r = qk_graph_add_node (g, n->name, n->layer_name, n->options, in, n->n_in);
  if (r < 0)
    return r;
  return qk_graph_add_value (g, &out->shape, r);
}

/* A node in float, followed by what it had absorbed. */
static int
add_float (const struct qk_node *n, const int *in, struct qk_graph *g)
{
  int r, i;

  r = qk_graph_node (g, n->name, n->layer_name, in, n->n_in, "%s", n->options);
  for (i = 0; i < n->n_absorbed; i++)
    r = qk_graph_node (g, n->absorbed[i].name, n->absorbed[i].layer, &r, 1,
                       "%s", n->absorbed[i].options);
  return r;
}

/* ORIGIN[i] becomes the node of FROM that node i of the new graph is (NULL:
 * one in float), VALUE[i] the value of FROM that value i is (NULL: one that
 * fusing had removed); both have room for all. */
static int
take_apart (const struct qk_graph *from, struct qk_graph *g,
            const struct qk_node **origin, const struct qk_value **value)
{
  int *map = calloc ((size_t) from->n_values + 1, sizeof *map);
  int in[QK_OP_MAX_INPUTS], i, j, r;

  if (map == NULL)
    return qk_oom ("network");
  for (i = 0, r = 0; r >= 0 && i < from->n_values; i++)
    if (from->value[i].producer < 0
        && (r = map[i] = qk_graph_copy_source (from, i, g)) >= 0)
      value[r] = &from->value[i];
  for (i = 0; r >= 0 && i < from->n_nodes; i++) {
    const struct qk_node *n = &from->node[i];

    for (j = 0; j < n->n_in; j++)
      in[j] = map[n->in[j]];
    if (n->lowered)
      r = add_quantized (from, n, in, g);
    else
      r = add_float (n, in, g);
    if (r < 0)
      break;
    /* one value a node, in the same order */
    if (n->lowered)
      origin[g->n_nodes - 1] = n;
    g->node[g->n_nodes - 1].out = r;
    value[r] = &from->value[n->out];
    map[n->out] = r;
  }
  if (r >= 0)
    r = qk_graph_copy_outputs (from, map, g);
  free (map);
  return r < 0 ? r : 0;
}

/* The options of node N as its layer reads them; *OUT NULL where the layer is
 * not installed. */
static int
view_config (const struct qk_graph *g, const struct qk_node *n,
             const struct qk_config **out)
{
  const struct qk_class *c;
  struct qk_config *cfg = NULL;
  int r;

  *out = NULL;
  if (strchr (n->layer_name, '/') != NULL
      || qk_context_class (g->ctx, QK_KIND_LAYER, n->layer_name, &c) < 0)
    return 0;
  r = qk_config_parse (c->options, n->options, n->layer_name, &cfg);
  if (r < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  *out = cfg;
  return 0;
}

/* ---- the view ----------------------------------------------------------------- */

static int
view_params (const struct qk_graph *from, const struct qk_node *n,
             struct qk_network_param *p, const struct qk_graph *g)
{
  int i;

  for (i = 0; i < n->n_params; i++) {
    const struct qk_param *own = &g->param[n->param[i]];
    const struct qk_param *source = qk_graph_find_param (from, own->name);

    if (source == NULL)
      return qk_error (-EINVAL, "network: parameter '%s' is gone", own->name);
    p[i].name = own->name;
    p[i].spec = &own->spec;
    p[i].tensor = &source->value;
  }
  return 0;
}

static int
view_node (const struct qk_graph *from, const struct qk_graph *g, int index,
           const struct qk_node *origin, struct qk_network_param *param,
           struct qk_op *op, struct qk_network_node *v)
{
  const struct qk_node *n = &g->node[index];
  int r;

  v->name = n->name;
  v->layer = n->layer_name;
  if ((r = view_config (g, n, &v->config)) < 0)
    return r;
  v->n_in = n->n_in;
  v->in = n->in;
  v->out = n->out;
  v->quantized = origin != NULL;
  if (origin != NULL) {
    v->op = &origin->op;
    return 0;
  }
  qk_op_init (op);
  op->name = n->name;
  op->n_in = n->n_in;
  v->op = op;
  v->traits = n->traits;
  v->n_params = n->n_params;
  v->param = param;
  if ((r = view_params (from, n, param, g)) < 0)
    return r;
  return qk_graph_geometry (g, n, op);
}

static int
view_fill (struct qk_network_view *v, const struct qk_graph *from,
           const struct qk_node *const *origin,
           const struct qk_value *const *value)
{
  const struct qk_graph *g = v->g;
  int i, r, params = 0;

  v->value = calloc ((size_t) g->n_values + 1, sizeof *v->value);
  v->value_at = calloc ((size_t) g->n_values + 1, sizeof *v->value_at);
  v->node = calloc ((size_t) g->n_nodes + 1, sizeof *v->node);
  v->node_at = calloc ((size_t) g->n_nodes + 1, sizeof *v->node_at);
  v->op = calloc ((size_t) g->n_nodes + 1, sizeof *v->op);
  v->param = calloc ((size_t) g->n_params + 1, sizeof *v->param);
  v->output = calloc ((size_t) g->n_outputs + 1, sizeof *v->output);
  v->origin = calloc ((size_t) g->n_values + 1, sizeof *v->origin);
  if (v->output == NULL || v->origin == NULL || v->value == NULL
      || v->value_at == NULL || v->node == NULL || v->node_at == NULL
      || v->op == NULL || v->param == NULL)
    return qk_oom ("network");
  for (i = 0; i < g->n_values; i++) {
    v->value[i].shape = g->value[i].shape;
    v->value[i].name = g->value[i].name;
    v->value[i].constant = g->value[i].constant;
    if (value[i] != NULL && value[i]->on_grid)
      v->value[i].q = value[i]->q;
    v->origin[i] = value[i] != NULL ? (int) (value[i] - from->value) : -1;
    v->value_at[i] = &v->value[i];
  }
  for (i = 0; i < g->n_nodes; i++) {
    r = view_node (from, g, i, origin[i], v->param + params, &v->op[i],
                   &v->node[i]);
    if (r < 0)
      return r;
    params += v->node[i].n_params;
    v->node_at[i] = &v->node[i];
  }
  v->net.n_values = g->n_values;
  v->net.value = v->value_at;
  v->net.n_nodes = g->n_nodes;
  v->net.node = v->node_at;
  v->net.n_inputs = g->n_inputs;
  v->net.input = g->input;
  for (i = 0; i < g->n_outputs; i++)
    v->output[i]
      = (struct qk_network_output){ g->output[i].name, g->output[i].value,
                                    g->output[i].batch_axis };
  v->net.n_outputs = g->n_outputs;
  v->net.output = v->output;
  return 0;
}

int
qk_network_new (const struct qk_graph *g, const struct qk_model_info *info,
                struct qk_network_view **out)
{
  const size_t most = (size_t) g->n_nodes * (1 + QK_NODE_MAX_ABSORBED)
                      + (size_t) g->n_values + 2;
  const struct qk_node **origin = calloc (most, sizeof *origin);
  const struct qk_value **value = calloc (most, sizeof *value);
  struct qk_network_view *v = calloc (1, sizeof *v);
  int r;

  if (v == NULL || origin == NULL || value == NULL)
    r = qk_oom ("network");
  else if (g->stage == QK_STAGE_PREPARED)
    r = qk_error (-EINVAL, "network: a prepared graph has to be converted "
                           "first");
  else if ((r = qk_graph_new (g->ctx, 0, &v->g)) == 0
           && (r = take_apart (g, v->g, origin, value)) == 0)
    r = view_fill (v, g, origin, value);
  free (origin);
  free (value);
  if (r < 0) {
    qk_network_free (v);
    return r;
  }
  v->net.n_targets = info->n_targets;
  v->net.target = info->target;
  v->net.config = info->config != NULL ? info->config : "";
  v->net.checksum = info->checksum != NULL ? info->checksum : "";
  *out = v;
  return 0;
}

void
qk_network_free (struct qk_network_view *v)
{
  int i;

  if (v == NULL)
    return;
  free (v->value);
  free (v->value_at);
  for (i = 0; v->node != NULL && i < v->g->n_nodes; i++)
    qk_config_free ((struct qk_config *) v->node[i].config);
  for (i = 0; v->op != NULL && i < v->g->n_nodes; i++)
    qk_op_free_arrays (&v->op[i]);
  free (v->node);
  free (v->node_at);
  free (v->op);
  free (v->param);
  free (v->output);
  free (v->origin);
  qk_graph_free (v->g);
  free (v);
}

/* ---- writing ------------------------------------------------------------------- */

/* Whether the format CLS can have all values of G. */
static int
check_width (const struct qk_graph *g, const struct qk_format_class *cls)
{
  for (int i = 0; i < g->n_values && !cls->wide; i++)
    if (qk_value_dtype (g, i) == QK_U16)
      return qk_error (-ENOTSUP,
                       "'%s' has more than 8 bits, which format '%s' cannot "
                       "have here; activation.bits = 8 in [qconfig %s] would "
                       "do",
                       qk_value_name (g, i), cls->cls.name,
                       qk_value_name (g, i));
  return 0;
}

struct content {
  const struct qk_format_class *cls;
  struct qk_config *cfg;
  const struct qk_network *net;
};

static int
write_content (int fd, void *arg)
{
  const struct content *c = arg;

  return c->cls->write_network (c->cfg, fd, c->net);
}

static int
take_options (struct qk_context *ctx, const struct qk_class *cls,
              struct qk_ini *options, struct qk_config **out)
{
  int r;

  if (options == NULL)
    return qk_context_options (ctx, cls, out);
  r = qk_ini_take (options, QK_NETWORK_OPTIONS, cls->options, "", out);
  if (r < 0 || (r = qk_ini_check_unused (options)) == 0)
    return r;
  qk_config_free (*out);
  return r;
}

int
qk_network_write (const struct qk_graph *g, const struct qk_model_info *info,
                  const char *path, const char *format, struct qk_ini *options)
{
  struct qk_network_view *v;
  struct content c;
  int r;

  if ((r = qk_format_find (g->ctx, path, format, &c.cls)) < 0)
    return r;
  if (c.cls->write_network == NULL)
    return qk_error (-ENOTSUP, "%s: format '%s' cannot hold a network", path,
                     c.cls->cls.name);
  if ((r = check_width (g, c.cls)) < 0
      || (r = qk_network_new (g, info, &v)) < 0)
    return qk_error_prefix (r, "%s: ", path);
  c.net = &v->net;
  if ((r = take_options (g->ctx, &c.cls->cls, options, &c.cfg)) == 0) {
    r = qk_atomic_write (path, write_content, &c);
    qk_config_free (c.cfg);
  }
  qk_network_free (v);
  return r;
}

/* ---- files of a folder ---------------------------------------------------------- */

static int
make_folder (const char *path)
{
  if (mkdir (path, 0777) == 0 || errno == EEXIST)
    return 0;
  return qk_error (-errno, "cannot make the folder '%s': %s", path,
                   strerror (errno));
}

static int
put_file (void *cookie, const char *name, const void *data, size_t size)
{
  const char *folder = cookie;
  char *path, *slash;
  int r = 0;

  if (asprintf (&path, "%s/%s", folder, name) < 0)
    return qk_oom ("network");
  slash = strchr (path + strlen (folder) + 1, '/');
  if (slash != NULL) {
    *slash = 0;
    r = make_folder (path);
    *slash = '/';
  }
  if (r == 0)
    r = qk_atomic_write_data (path, data, size);
  free (path);
  return r;
}

static void
show_vectors (struct qk_network_view *v, const struct qk_vectors *vectors)
{
  v->net.n_vectors = vectors->n;
  for (int i = 0; i < v->net.n_values; i++)
    if (v->origin[i] >= 0)
      v->value[i].vectors = vectors->value[v->origin[i]];
}

int
qk_network_write_files (const struct qk_graph *g,
                        const struct qk_model_info *info,
                        const struct qk_vectors *vectors, const char *folder,
                        const char *format, const char *options)
{
  const struct qk_format_class *cls;
  struct qk_network_view *v;
  struct qk_config *cfg;
  int r;

  if ((r = qk_format_find (g->ctx, folder, format, &cls)) < 0)
    return r;
  if (cls->write_files == NULL)
    return qk_error (-ENOTSUP, "%s: format '%s' writes no folder", folder,
                     cls->cls.name);
  if ((r = check_width (g, cls)) < 0)
    return qk_error_prefix (r, "%s: ", folder);
  if ((r = qk_config_parse (cls->cls.options, options, format, &cfg)) < 0)
    return r;
  if ((r = qk_network_new (g, info, &v)) == 0) {
    if (vectors != NULL)
      show_vectors (v, vectors);
    if ((r = make_folder (folder)) == 0)
      r = cls->write_files (cfg, &v->net, put_file, (void *) folder);
    qk_network_free (v);
  }
  qk_config_free (cfg);
  return qk_error_prefix (r, "%s: ", folder);
}

int
qk_network_facts (const struct qk_graph *g, const struct qk_model_info *info,
                  const char *format, qk_format_fact *say, void *cookie)
{
  const struct qk_format_class *cls;
  struct qk_network_view *v;
  struct qk_config *cfg;
  int r;

  if ((r = qk_format_find (g->ctx, "", format, &cls)) < 0)
    return r;
  if (cls->facts == NULL)
    return qk_error (-ENOTSUP,
                     "format '%s' does not say what a network would need",
                     cls->cls.name);
  if ((r = check_width (g, cls)) < 0)
    return qk_error_prefix (r, "%s: ", format);
  if ((r = qk_config_parse (cls->cls.options, "", format, &cfg)) < 0)
    return r;
  if ((r = qk_network_new (g, info, &v)) == 0) {
    r = cls->facts (cfg, &v->net, say, cookie);
    qk_network_free (v);
  }
  qk_config_free (cfg);
  return qk_error_prefix (r, "%s: ", format);
}
