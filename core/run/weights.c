/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weights.c: the float network's parameters from files: all of them, or, for
 * own classes, all but some that start anew. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memtext.h"
#include "io/checkpoints.h"
#include "io/weights.h"
#include "passes/passes.h"
#include "run/run.h"
#include "run/session.h"

/* ---- the last layer ----------------------------------------------------------*/

/* The layer with parameters that VALUE comes from, where one thing after the
 * other was done to it since; NULL: none. */
static const struct qk_node *
last_layer (const struct qk_graph *g, int value)
{
  const struct qk_node *n;

  while (g->value[value].producer >= 0) {
    n = &g->node[g->value[value].producer];
    if (n->n_params > 0)
      return n;
    if (n->n_in != 1)
      return NULL;
    value = n->in[0];
  }
  return NULL;
}

/* LAST[i]: whether parameter I is one of the layers that outputs come from. */
static void
mark_last (const struct qk_graph *g, bool *last)
{
  for (int i = 0; i < g->n_outputs; i++) {
    const struct qk_node *n = last_layer (g, g->output[i].value);

    for (int j = 0; n != NULL && j < n->n_params; j++)
      last[n->param[j]] = true;
  }
}

/* ---- loading -----------------------------------------------------------------*/

/* Say what of PATH was loaded, where that is not all. */
static int
tell_anew (struct qk_settings *settings, const struct qk_graph *g,
           const char *path)
{
  char *names = NULL, a[128];
  size_t size;
  FILE *out = open_memstream (&names, &size);
  int n = 0;

  if (out == NULL)
    return qk_oom ("weights");
  for (int i = 0; i < g->n_params; i++)
    if (g->param[i].anew && n++ < 6)
      fprintf (out, "%s%s %s", n > 1 ? ", " : "",
               qk_param_file_name (&g->param[i]),
               qk_shape_print (&g->param[i].value.shape, a, sizeof a));
  if (n > 6)
    fprintf (out, " and %d more", n - 6);
  if (!qk_close_text (out, &names))
    return qk_oom ("weights");
  if (n > 0)
    qk_log (settings->ctx, QK_LOG_INFO,
            "%s: %d tensors loaded; %s start%s anew", path, g->n_params - n,
            names, n == 1 ? "s" : "");
  free (names);
  return 0;
}

static int
check_skip (struct qk_settings *settings, const struct qk_patterns *skip)
{
  const char *idle = qk_patterns_idle (skip);

  return idle == NULL
           ? 0
           : qk_error (-EINVAL,
                       "%s: weights.skip: the pattern '%s' matches "
                       "no parameter",
                       qk_config_where (settings->model, "weights.skip"),
                       idle);
}

/* Fill all parameters of G from PATH if that is a checkpoint, which has them under
 * the names they have here, with the quantizers of another training beside
 * them: 1.  0: it is none. */
static int
load_checkpoint (struct qk_settings *settings, struct qk_graph *g,
                 const char *path)
{
  const char *skip = qk_config_string (settings->model, "weights.skip");
  struct qk_checkpoint *c;
  int r = qk_checkpoint_find (settings->ctx, path, &c);

  if (r <= 0)
    return r;
  if (*skip != 0)
    r = qk_error (-EINVAL,
                  "'%s' is a checkpoint, of which all parameters are taken, "
                  "expected a file of weights where there is weights.skip",
                  path);
  else
    r = qk_restore_network (g, NULL, c);
  qk_checkpoint_close (c);
  return r < 0 ? r : 1;
}

/* Fill the parameters of G from PATH but for what ANEW says; NULL: all. */
static int
load (struct qk_settings *settings, struct qk_graph *g, const char *path,
      const struct qk_weights_anew *anew)
{
  const char *format = qk_config_string (settings->model, "format");
  struct qk_weight *w;
  int i, r = *format == 0 ? load_checkpoint (settings, g, path) : 0;

  if (r < 0)
    return r;
  if (r == 1)
    return qk_graph_check_params (g);
  w = calloc ((size_t) g->n_params + 1, sizeof *w);
  if (w == NULL)
    return qk_oom ("weights");
  for (i = 0; i < g->n_params; i++) {
    w[i].name = qk_param_file_name (&g->param[i]);
    w[i].tensor = &g->param[i].value;
    w[i].layout = g->param[i].spec.layout;
  }
  for (i = 0; i < g->n_nodes; i++)
    for (int j = 0; j < g->node[i].n_params; j++) {
      w[g->node[i].param[j]].known = g->node[i].layer->cls.options;
      w[g->node[i].param[j]].options = g->node[i].options;
    }
  r = qk_weights_load (settings->ctx, path, *format == 0 ? NULL : format, w,
                       (size_t) g->n_params, anew);
  free (w);
  if (r == 0 && (r = qk_graph_check_params (g)) < 0)
    qk_error_prefix (r, "%s: ", path);
  return r < 0 ? r : 0;
}

int
qk_settings_load_weights (struct qk_settings *settings, struct qk_graph *g,
                          const char *path)
{
  return load (settings, g, path, NULL);
}

int
qk_settings_start_weights (struct qk_settings *settings, struct qk_graph *g,
                           bool trains)
{
  const char *path = qk_config_string (settings->model, "weights");
  const char *where = qk_config_where (settings->model, "weights.skip");
  bool *mark = calloc (2 * (size_t) g->n_params + 1, sizeof *mark);
  bool *anew = mark + g->n_params;
  struct qk_patterns skip;
  int i, r;

  if (mark == NULL)
    return qk_oom ("weights");
  r = qk_patterns_parse (qk_config_string (settings->model, "weights.skip"),
                         where, &skip);
  if (r == 0) {
    const struct qk_weights_anew a = { &skip, trains ? mark : NULL, anew };

    mark_last (g, mark);
    r = load (settings, g, path, &a);
  }
  if (r == 0)
    r = check_skip (settings, &skip);
  for (i = 0; r == 0 && i < g->n_params; i++)
    g->param[i].anew = anew[i];
  if (r == 0)
    r = tell_anew (settings, g, path);
  qk_patterns_clear (&skip);
  free (mark);
  return r;
}
