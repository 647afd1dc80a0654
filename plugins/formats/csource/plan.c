/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c: where values lie: in the arena, or in memory of the caller. */
#include "config.h"

#include <stdlib.h>

#include "csource.h"

int64_t
csource_bytes (const struct qk_network *net, int v)
{
  const struct qk_network_value *x = net->value[v];

  return qk_shape_count (&x->shape)
         * (int64_t) (x->q.scale > 0 ? 1 : sizeof (float));
}

/* ---- how far an output keeps behind its input ----------------------------- */

static int64_t
larger (int64_t a, int64_t b)
{
  return a > b ? a : b;
}

/* While row P of the output is written, rows of the input from FROM on are
 * still read. */
static int64_t
row_still_read (const struct qk_op *op, const struct window *n, int64_t p)
{
  int64_t from = p * n->stride_h - n->top;

  if (op->kind == QK_OP_CONV_TRANSPOSE2D)
    from = (p - (n->dilation_h * (n->r - 1) - n->top)) / n->stride_h - 1;
  from = larger (from, 0);
  return from < n->h ? from : n->h;
}

static int64_t
lead_of_window (const struct qk_op *op, const struct window *n, int64_t row)
{
  int64_t lead = 0;

  for (int64_t p = 0; p < n->p; p++)
    lead
      = larger (lead, (p + 1) * row - row_still_read (op, n, p) * n->w * n->c);
  return lead;
}

/* Pixels go by two or three, of which one is read while another is written. */
static int64_t
lead_of_rows (int64_t count, int64_t c, int64_t k)
{
  int64_t lead = 0;

  for (int64_t i = 0; i < count; i++) {
    const int64_t end = i + 3 < count ? i + 3 : count;

    lead = larger (lead, end * k - i * c);
  }
  return lead;
}

/* Bytes that the output of N has to begin before its input I, -1 where it may
 * not overlap it. */
static int64_t
lead_of (const struct qk_network *net, const struct qk_network_node *n, int i)
{
  const struct qk_op *op = n->op;
  const int64_t in = csource_bytes (net, n->in[i]);
  const int64_t out = csource_bytes (net, n->out);
  struct window win;

  switch (op->kind) {
  case QK_OP_TABLE:
  case QK_OP_CLAMP:
  case QK_OP_REQUANTIZE:
  case QK_OP_PRELU:
    return 0;
  case QK_OP_BINARY:
    return in == out ? 0 : -1;
  case QK_OP_CONV2D:
  case QK_OP_LINEAR:
  case QK_OP_CONV_TRANSPOSE2D:
  case QK_OP_MAXPOOL2D:
  case QK_OP_AVGPOOL2D:
    win = csource_window (net, n);
    if (op->kind != QK_OP_CONV_TRANSPOSE2D && csource_is_rows (&win)
        && op->kind != QK_OP_MAXPOOL2D && op->kind != QK_OP_AVGPOOL2D)
      return lead_of_rows (win.p * win.q, win.c, out / (win.p * win.q));
    return lead_of_window (op, &win, out / win.p);
  default:
    return -1;
  }
}

/* ---- spots ------------------------------------------------------------------ */

static int64_t
scratch_of (const struct qk_network *net, const struct qk_network_node *n)
{
  struct window win;
  int64_t depth, spread;

  if (n->op->kind != QK_OP_CONV2D && n->op->kind != QK_OP_LINEAR
      && n->op->kind != QK_OP_CONV_TRANSPOSE2D)
    return 0;
  win = csource_window (net, n);
  if (csource_is_depthwise (n->op, &win) && n->op->out_q.scale > 0)
    return csource_is_3x3 (&win) ? 3 * (3 + win.stride_w) * win.c : 0;
  depth = csource_depth (&win);
  /* two columns spread as halves of words, the columns themselves */
  spread = n->op->out_q.scale > 0 && win.p * win.q > 1 ? 4 * depth : 0;
  if (n->op->kind != QK_OP_CONV_TRANSPOSE2D && csource_is_rows (&win))
    return spread;
  return spread + 2 * depth;
}

static int
output_of (const struct qk_network *net, int v)
{
  for (int i = 0; i < net->n_outputs; i++)
    if (net->output[i].value == v)
      return i;
  return -1;
}

static int
add_buffer (struct plan *p, int64_t size, int step)
{
  p->buffer[p->n_buffers]
    = (struct buffer){ .size = size, .first = step, .last = step };
  return p->n_buffers++;
}

static void
read_at (struct plan *p, int v, int step)
{
  struct buffer *b;

  if (p->spot[v].where != IN_ARENA)
    return;
  b = &p->buffer[p->spot[v].index];
  b->last = step > b->last ? step : b->last;
}

static void
find_spots (const struct qk_network *net, struct plan *p)
{
  for (int v = 0; v < net->n_values; v++)
    p->spot[v] = (struct spot){ IN_CONSTANT, v };
  for (int i = 0; i < net->n_inputs; i++)
    p->spot[net->input[i]] = (struct spot){ IN_INPUT, i };
  for (int i = 0; i < net->n_nodes; i++) {
    const struct qk_network_node *n = net->node[i];
    const int output = output_of (net, n->out);
    const int64_t scratch = scratch_of (net, n);

    for (int j = 0; j < n->n_in; j++)
      read_at (p, n->in[j], i);
    if (output >= 0)
      p->spot[n->out] = (struct spot){ IN_OUTPUT, output };
    else if (n->op->kind == QK_OP_RESHAPE)
      p->spot[n->out] = p->spot[n->in[0]];
    else
      p->spot[n->out]
        = (struct spot){ IN_ARENA,
                         add_buffer (p, csource_bytes (net, n->out), i) };
    p->scratch[i] = scratch > 0 ? add_buffer (p, scratch, i) : -1;
  }
}

static void
find_overlaps (const struct qk_network *net, struct plan *p)
{
  for (int i = 0; i < net->n_nodes; i++) {
    const struct qk_network_node *n = net->node[i];
    const struct spot out = p->spot[n->out];

    for (int j = 0; j < n->n_in && out.where == IN_ARENA; j++) {
      const struct spot in = p->spot[n->in[j]];
      int64_t lead;

      if (in.where != IN_ARENA || in.index == out.index
          || p->buffer[in.index].last != i || (lead = lead_of (net, n, j)) < 0)
        continue;
      p->overlap[p->n_overlaps++]
        = (struct overlap){ in.index, out.index, lead };
    }
  }
}

int
plan_make (const struct qk_network *net, struct plan *p)
{
  const size_t nodes = (size_t) net->n_nodes + 1;
  size_t inputs = 1;

  for (int i = 0; i < net->n_nodes; i++)
    inputs += (size_t) net->node[i]->n_in;
  p->spot = calloc ((size_t) net->n_values + 1, sizeof *p->spot);
  p->buffer = calloc (2 * nodes, sizeof *p->buffer);
  p->scratch = calloc (nodes, sizeof *p->scratch);
  p->overlap = calloc (inputs, sizeof *p->overlap);
  if (p->spot == NULL || p->buffer == NULL || p->scratch == NULL
      || p->overlap == NULL)
    return qk_oom ("csource");
  find_spots (net, p);
  find_overlaps (net, p);
  p->arena
    = place_buffers (p->buffer, p->n_buffers, p->overlap, p->n_overlaps);
  return p->arena < 0 ? (int) p->arena : 0;
}

void
plan_clear (struct plan *p)
{
  free (p->spot);
  free (p->buffer);
  free (p->scratch);
  free (p->overlap);
  *p = (struct plan){ 0 };
}

int64_t
plan_live (const struct plan *p, int node)
{
  int64_t bytes = 0, at = 0;

  for (;;) { /* from place to place: the next stretch in use */
    int64_t first = INT64_MAX, end = 0;

    for (int i = 0; i < p->n_buffers; i++) {
      const struct buffer *b = &p->buffer[i];

      if (b->first > node || b->last < node || b->offset + b->size <= at)
        continue;
      if (b->offset < first)
        first = b->offset, end = b->offset + b->size;
    }
    if (end == 0)
      return bytes;
    first = larger (first, at);
    bytes += end - first;
    at = end;
  }
}

bool
plan_nothing_to_do (const struct qk_network *net, const struct plan *p,
                    int node)
{
  const struct qk_network_node *n = net->node[node];

  return n->op->kind == QK_OP_RESHAPE
         && p->spot[n->out].where == p->spot[n->in[0]].where
         && p->spot[n->out].index == p->spot[n->in[0]].index;
}
