/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* int8.c: the nodes of an int8 graph on a backend, or on the reference one
 * where the chosen backend cannot. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <qatkit/backend.h>

#include "base/called.h"
#include "exec/exec-priv.h"
#include "graph/op-priv.h"
#include "plugin/loader-priv.h"

/* The backend NAME; NULL: the one that runs what others cannot. */
static int
find_backend (struct qk_exec *ex, const char *name,
              const struct qk_backend_class **out)
{
  struct qk_context *ctx = ex->g->ctx;
  const struct qk_class *c = NULL;
  const int r
    = name != NULL
        ? qk_context_class (ctx, QK_KIND_BACKEND, name, &c)
        : qk_context_default (ctx, QK_KIND_BACKEND, QK_FOR_FALLBACK, &c);

  *out = (const struct qk_backend_class *) (const void *) c;
  return r;
}

static int
open_backend (struct qk_context *ctx, const struct qk_backend_class *cls,
              int threads, struct qk_exec_backend *b)
{
  const char *name = cls->cls.name;
  struct qk_config *cfg = NULL;
  int r;

  b->cls = cls;
  if ((r = QK_CALLED (&cls->cls, "probe", cls->probe (&b->caps))) < 0)
    return qk_error_prefix (r, "backend '%s': ", name);
  if ((r = qk_context_options (ctx, &cls->cls, &cfg)) < 0)
    return r;
  r = QK_CALLED (&cls->cls, "create", cls->create (cfg, threads, &b->self));
  qk_config_free (cfg);
  if (r < 0)
    return qk_error_prefix (r, "backend '%s': ", name);
  return 0;
}

/* Nodes that the chosen backend cannot run although others could, for one line
 * about all of them. */
struct fallbacks {
  const struct qk_backend_class *cls; /* what runs them */
  int nodes;
  double share;      /* of the multiply-accumulates */
  char example[400]; /* the first of them and why */
};

/* Node N, with MACS of all ALL, is left to the fallback; the reason is the last
 * error. */
static void
leave_node (struct qk_exec *ex, const struct qk_node *n, int64_t macs,
            int64_t all, struct fallbacks *told)
{
  const double share = all > 0 ? (double) macs / (double) all : 0;
  const bool dynamic = n->op.kind == QK_OP_LINEAR_DYNAMIC;

  /* the others are summed up in one line */
  qk_log (ex->g->ctx, dynamic ? QK_LOG_INFO : QK_LOG_DEBUG,
          "node '%s' (%s) runs on backend '%s': %s", n->name,
          qk_op_label (&n->op), told->cls->cls.name, qk_error_message ());
  ex->n_fallbacks++;
  ex->fallback_share += share;
  if (dynamic)
    return; /* no other backend has those: no surprise */
  if (told->nodes++ == 0)
    snprintf (told->example, sizeof told->example, "'%s' (%s): %s", n->name,
              qk_op_label (&n->op), qk_error_message ());
  told->share += share;
}

/* Whether backend B runs OP, as the slot supports. */
static int
supports (const struct qk_exec_backend *b, const struct qk_op *op,
          const struct qk_shape *in, const struct qk_shape *out)
{
  if (qk_op_is_wide (op) && !b->caps.wide)
    return qk_error (-ENOTSUP, "%s: values of more than 8 bits", op->name);
  return b->cls->supports (b->self, op, in, out);
}

static int
prepare_node (struct qk_exec *ex, int index, int64_t macs, size_t *scratch,
              struct fallbacks *told)
{
  const struct qk_node *n = &ex->g->node[index];
  struct qk_exec_node *en = &ex->node[index];
  const struct qk_value *out = &ex->g->value[n->out];
  const int64_t most = qk_node_batch (ex, index);
  struct qk_shape in_s[QK_OP_MAX_INPUTS];
  const struct qk_shape out_s = qk_value_shape (ex->g, n->out, most);
  int i, r;

  for (i = 0; i < n->n_in; i++)
    in_s[i] = qk_value_shape (ex->g, n->in[i], most);
  en->backend = 0;
  r = supports (&ex->backend[0], &n->op, in_s, &out_s);
  if (r == -ENOTSUP) {
    if (told->cls == NULL && (r = find_backend (ex, NULL, &told->cls)) < 0)
      return r;
    leave_node (ex, n, qk_op_macs (&n->op, in_s, &out->shape), macs, told);
    if (ex->backend[1].cls == NULL) {
      r = open_backend (ex->g->ctx, told->cls, ex->kernel_threads,
                        &ex->backend[1]);
      if (r < 0)
        return r;
    }
    en->backend = 1;
    r = supports (&ex->backend[1], &n->op, in_s, &out_s);
  }
  if (r < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  *scratch = 0;
  r = ex->backend[en->backend].cls->prepare (
    ex->backend[en->backend].self, &n->op, in_s, &out_s, &en->kernel, scratch);
  if (r < 0)
    return qk_error_prefix (r, "node '%s': ", n->name);
  return 0;
}

/* Input I is put on the network's grid by the backend too. */
static int
prepare_input (struct qk_exec *ex, int i)
{
  const struct qk_value *v = &ex->g->value[ex->g->input[i]];
  const struct qk_exec_backend *b = &ex->backend[0];
  const struct qk_shape s
    = qk_value_shape (ex->g, ex->g->input[i], qk_node_batch (ex, 0));
  size_t scratch = 0;
  struct qk_op op;
  int r;

  /* one that rounds in its own way would change all that follows */
  if (!v->on_grid || v->qz != NULL || !b->caps.exact)
    return 0;
  qk_op_init (&op);
  op.kind = QK_OP_QUANTIZE;
  op.name = v->name;
  op.n_in = 1;
  op.out_q = v->q;
  op.lo = v->q.qmin;
  op.hi = v->q.qmax;
  if ((r = supports (b, &op, &s, &s)) == -ENOTSUP)
    return 0;
  if (r == 0)
    r = b->cls->prepare (b->self, &op, &s, &s, &ex->input_kernel[i], &scratch);
  if (scratch > ex->input_scratch)
    ex->input_scratch = scratch;
  return r < 0 ? qk_error_prefix (r, "input '%s': ", v->name) : 0;
}

/* Whether node INDEX can go on to the next: a function of two tensors of one
 * shape, on the same backend, that alone reads its output. */
static bool
can_join (const struct qk_exec *ex, int index)
{
  const struct qk_graph *g = ex->g;
  const struct qk_node *n = &g->node[index], *next = n + 1;
  const struct qk_exec_node *en = &ex->node[index];

  return !ex->opt.keep_values && index + 1 < g->n_nodes
         && index + 1 != ex->tail && en->kernel != NULL && en[1].kernel != NULL
         && en->backend == en[1].backend
         && ex->backend[en->backend].cls->run_joined != NULL
         && (n->op.kind == QK_OP_CONV2D || n->op.kind == QK_OP_LINEAR)
         && n->op.out_q.scale != 0 && next->op.kind == QK_OP_BINARY
         && !qk_op_is_wide (&n->op) && !qk_op_is_wide (&next->op)
         && qk_shape_equal (&g->value[next->in[0]].shape,
                            &g->value[next->in[1]].shape)
         && (next->in[0] == n->out) != (next->in[1] == n->out)
         && g->value[n->out].n_consumers == 1 && !ex->value[n->out].inner;
}

int
qk_int8_prepare (struct qk_exec *ex)
{
  const struct qk_backend_class *cls;
  struct fallbacks told = { 0 };
  int64_t macs = 0;
  int i, r;

  if ((r = find_backend (ex, ex->opt.backend, &cls)) < 0)
    return r;
  find_backend (ex, NULL, &told.cls); /* an error only if it is needed */
  /* who has the threads?  A shared kernel may run in several at once */
  ex->kernel_threads
    = qk_slices_plan (ex, cls->shared && told.cls != NULL && told.cls->shared)
        ? 1
        : ex->opt.threads;
  if ((r = open_backend (ex->g->ctx, cls, ex->kernel_threads, &ex->backend[0]))
      < 0)
    return r;
  for (i = 0; i < ex->g->n_inputs; i++)
    if ((r = prepare_input (ex, i)) < 0)
      return r;
  for (i = 0; i < ex->g->n_nodes; i++) {
    const struct qk_node *n = &ex->g->node[i];

    if (n->lowered)
      macs += qk_op_macs (&n->op, &ex->g->value[n->in[0]].shape,
                          &ex->g->value[n->out].shape);
  }
  for (i = 0; i < ex->g->n_nodes; i++) {
    size_t scratch = 0;

    ex->node[i].backend = -1;
    if (!ex->g->node[i].lowered)
      continue;
    if ((r = prepare_node (ex, i, macs, &scratch, &told)) < 0)
      return r;
    ex->node[i].workspace_size = scratch;
  }
  if (told.nodes > 0)
    qk_log (ex->g->ctx, QK_LOG_WARNING,
            "backend '%s' leaves %d node%s, %.1f %% of the "
            "multiply-accumulates, to '%s'%s %s",
            cls->cls.name, told.nodes, told.nodes == 1 ? "" : "s",
            100 * told.share, told.cls->cls.name,
            told.nodes == 1 ? ":" : "; the first is", told.example);
  for (i = 0; i < ex->g->n_nodes; i++)
    ex->node[i].joined = can_join (ex, i);
  return 0;
}

void
qk_int8_release (struct qk_exec *ex)
{
  int i;

  for (i = 0; ex->node != NULL && i < ex->g->n_nodes; i++)
    if (ex->node[i].kernel != NULL) {
      const struct qk_exec_backend *b = &ex->backend[ex->node[i].backend];

      b->cls->release (b->self, ex->node[i].kernel);
    }
  for (i = 0; i < ex->g->n_inputs; i++)
    if (ex->input_kernel[i] != NULL)
      ex->backend[0].cls->release (ex->backend[0].self, ex->input_kernel[i]);
  for (i = 0; i < 2; i++)
    if (ex->backend[i].self != NULL)
      ex->backend[i].cls->destroy (ex->backend[i].self);
}

int
qk_int8_run (struct qk_exec *ex, int index)
{
  const struct qk_node *n = &ex->g->node[index];
  const struct qk_exec_backend *b = &ex->backend[ex->node[index].backend];
  const void *in[QK_OP_MAX_INPUTS];
  int i;

  for (i = 0; i < n->n_in; i++)
    in[i] = ex->value[n->in[i]].t.data;
  b->cls->run (b->self, ex->node[index].kernel, ex->n, in,
               ex->value[n->out].t.data,
               qk_arena_at (&ex->arena, ex->workspace));
  ex->value[n->out].t.q = ex->g->value[n->out].q;
  return 0;
}

void
qk_int8_run_joined (struct qk_exec *ex, int index)
{
  const struct qk_node *n = &ex->g->node[index], *next = n + 1;
  const struct qk_exec_node *en = &ex->node[index];
  const struct qk_exec_backend *b = &ex->backend[en->backend];
  const void *term[2]
    = { ex->value[next->in[0]].t.data, ex->value[next->in[1]].t.data };

  b->cls->run_joined (b->self, en->kernel, en[1].kernel, ex->n,
                      ex->value[n->in[0]].t.data, ex->value[n->out].t.data,
                      term, ex->value[next->out].t.data,
                      qk_arena_at (&ex->arena, ex->workspace));
  ex->value[next->out].t.q = ex->g->value[next->out].q;
}

int
qk_exec_facts (const struct qk_exec *ex, int node, char *text, size_t size)
{
  const struct qk_exec_node *en = &ex->node[node];
  const struct qk_exec_backend *b;

  text[0] = '\0';
  if (en->kernel == NULL)
    return 0;
  b = &ex->backend[en->backend];
  return b->cls->facts == NULL
           ? 0
           : b->cls->facts (b->self, en->kernel, text, size);
}

int
qk_exec_fallbacks (const struct qk_exec *ex, double *share)
{
  if (share != NULL)
    *share = ex->fallback_share;
  return ex->n_fallbacks;
}

const struct qk_backend_caps *
qk_exec_caps (const struct qk_exec *ex)
{
  return ex->backend[0].cls == NULL ? NULL : &ex->backend[0].caps;
}

const char *
qk_exec_node_backend (const struct qk_exec *ex, int node)
{
  const int i = ex->g->node[node].lowered ? ex->node[node].backend : -1;

  return i < 0 ? NULL : ex->backend[i].cls->cls.name;
}

int
qk_exec_peak (struct qk_exec *ex, double *macs_per_second)
{
  const struct qk_exec_backend *b = &ex->backend[0];

  *macs_per_second = 0;
  if (b->cls == NULL || b->cls->peak == NULL)
    return 0;
  return b->cls->peak (b->self, QK_I8, macs_per_second);
}
