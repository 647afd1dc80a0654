/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* each.c: operators that take elements one by one. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "csource.h"

static void
put_table (struct writer *w, const struct qk_network_node *n,
           const uint8_t *table)
{
  char in[48], out[48];

  array_uint8 (w, "table", table, 256);
  w->needed |= 1ull << KERNEL_TABLE;
  text_add (&w->steps, "    table (%s_table%d, %lld, %s, %s);\n", w->name,
            w->layer, (long long) count_of (w, n->out),
            csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
}

/* Every byte on the grid Q as one on OP's output. */
static void
regrid (const struct qk_op *op, const struct qk_qparams *q, uint8_t table[256])
{
  const float inv = 1.0f / op->out_q.scale;

  for (int i = 0; i < 256; i++)
    table[i]
      = (uint8_t) qk_regrid (i, q, inv, op->out_q.zero_point, op->lo, op->hi);
}

static void
put_clamp (struct writer *w, const struct qk_network_node *n)
{
  char in[48], out[48];

  w->needed |= 1ull << KERNEL_CLAMP;
  text_add (&w->steps, "    clamp (%d, %d, %lld, %s, %s);\n", n->op->lo,
            n->op->hi, (long long) count_of (w, n->out),
            csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
}

static void
put_dequantize (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_qparams *q = &n->op->in_q[0];
  char in[48], out[48];

  w->needed |= 1ull << KERNEL_DEQUANTIZE;
  text_add (
    &w->steps, "    dequantize (%d, 0x%x, %lld, %s, %s);\n", q->zero_point,
    bits_of (q->scale), (long long) count_of (w, n->out),
    csource_address (w, n->in[0], in), csource_address (w, n->out, out));
}

static void
put_quantize (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_qparams *q = &n->op->out_q;
  char in[48], out[48];

  w->needed |= 1ull << KERNEL_QUANTIZE;
  text_add (&w->steps, "    quantize (0x%x, %d, %d, %d, %lld, %s, %s);\n",
            bits_of (1.0f / q->scale), q->zero_point, n->op->lo, n->op->hi,
            (long long) count_of (w, n->out),
            csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
}

static int
put_prelu (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const float above = qk_multiplier (op->in_q[0].scale, 1.0f, op->out_q.scale);
  uint32_t *below = calloc ((size_t) op->out_channels, sizeof *below);
  char in[48], out[48];

  if (below == NULL)
    return qk_oom ("csource");
  for (int64_t c = 0; c < op->out_channels; c++)
    below[c] = bits_of (op->multiplier[c]);
  array_bits (w, "below", below, op->out_channels);
  free (below);
  w->needed |= 1ull << KERNEL_PRELU;
  text_add (&w->steps,
            "    prelu (%d, 0x%x, %s_below%d, %d, %d, %d, %lld, %lld, %s, "
            "%s);\n",
            op->in_q[0].zero_point, bits_of (above), w->name, w->layer,
            op->out_q.zero_point, op->lo, op->hi,
            (long long) (count_of (w, n->out) / op->out_channels),
            (long long) op->out_channels, csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
  return 0;
}

/* Elements that lie side by side in the output: all from the axis on. */
static int64_t
width (const struct qk_op *op, const struct qk_shape *s)
{
  int64_t n = s->dims[s->ndim - 1];

  for (int d = op->axis; op->axis > 0 && d < s->ndim - 1; d++)
    n *= s->dims[d];
  return n;
}

static void
put_part (struct writer *w, const struct qk_network_node *n, int i,
          int64_t from, int64_t pitch)
{
  const int64_t c = width (n->op, &value_of (w, n->in[i])->shape);
  uint8_t table[256];
  char in[48], out[48], kind[32];
  bool same = true;

  regrid (n->op, &n->op->in_q[i], table);
  for (int j = 0; j < 256; j++)
    same = same && table[j] == j;
  csource_address (w, n->in[i], in);
  csource_address (w, n->out, out);
  w->needed |= 1ull << (same ? KERNEL_JOINED : KERNEL_JOINED_TABLE);
  text_add (&w->steps, "    %s (", same ? "joined" : "joined_table");
  if (!same) {
    snprintf (kind, sizeof kind, "regrid%dof", i + 1);
    array_uint8 (w, kind, table, 256);
    text_add (&w->steps, "%s_%s%d, ", w->name, kind, w->layer);
  }
  text_add (&w->steps, "%lld, %lld, %lld, %s, (uint8_t *) (%s) + %lld);\n",
            (long long) (count_of (w, n->in[i]) / c), (long long) c,
            (long long) pitch, in, out, (long long) from);
}

static void
put_concat (struct writer *w, const struct qk_network_node *n)
{
  int64_t pitch = 0, from = 0;

  for (int i = 0; i < n->n_in; i++)
    pitch += width (n->op, &value_of (w, n->in[i])->shape);
  for (int i = 0; i < n->n_in; i++) {
    put_part (w, n, i, from, pitch);
    from += width (n->op, &value_of (w, n->in[i])->shape);
  }
}

static void
put_reshape (struct writer *w, const struct qk_network_node *n)
{
  char in[48], out[48];

  if (!plan_nothing_to_do (w->net, &w->plan, w->layer - 1))
    text_add (&w->steps, "    memcpy (%s, %s, %lld);\n",
              csource_address (w, n->out, out),
              csource_address (w, n->in[0], in),
              (long long) csource_bytes (w->net, n->out));
}

int
csource_each (struct writer *w, const struct qk_network_node *n)
{
  uint8_t table[256];

  switch (n->op->kind) {
  case QK_OP_TABLE:
    put_table (w, n, n->op->table);
    return 0;
  case QK_OP_REQUANTIZE:
    regrid (n->op, &n->op->in_q[0], table);
    put_table (w, n, table);
    return 0;
  case QK_OP_CLAMP:
    put_clamp (w, n);
    return 0;
  case QK_OP_QUANTIZE:
    put_quantize (w, n);
    return 0;
  case QK_OP_DEQUANTIZE:
    put_dequantize (w, n);
    return 0;
  case QK_OP_PRELU:
    return put_prelu (w, n);
  case QK_OP_CONCAT:
    put_concat (w, n);
    return 0;
  default:
    put_reshape (w, n);
    return 0;
  }
}
