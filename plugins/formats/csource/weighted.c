/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weighted.c: convolutions and linear layers.
 *
 * sum (x - z) w = sum x w - z sum w: the second part goes into the bias, all
 * of it modulo 2^32 as the sums are.  Where a window leaves the input, x is
 * z. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "csource.h"

struct window
csource_window (const struct qk_network *net, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *in = &net->value[n->in[0]]->shape;
  const struct qk_shape *out = &net->value[n->out]->shape;
  struct window w = { 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1 };

  w.c = in->dims[in->ndim - 1];
  w.k = out->dims[out->ndim - 1];
  if (op->kind == QK_OP_LINEAR || in->ndim != 4) {
    w.w = w.q = qk_shape_count (in) / w.c;
    w.groups = op->kind == QK_OP_LINEAR ? 1 : op->groups;
    return w;
  }
  w.h = in->dims[1];
  w.w = in->dims[2];
  w.p = out->ndim == 4 ? out->dims[1] : 1;
  w.q = out->ndim == 4 ? out->dims[2] : 1;
  w.r = op->kernel_h;
  w.s = op->kernel_w;
  w.stride_h = op->stride_h;
  w.stride_w = op->stride_w;
  w.top = op->pad_top;
  w.left = op->pad_left;
  w.dilation_h = op->dilation_h;
  w.dilation_w = op->dilation_w;
  if (op->kind == QK_OP_CONV2D || op->kind == QK_OP_CONV_TRANSPOSE2D)
    w.groups = op->groups;
  return w;
}

bool
csource_is_rows (const struct window *n)
{
  return n->r == 1 && n->s == 1 && n->stride_h == 1 && n->stride_w == 1
         && n->top == 0 && n->left == 0 && n->p == n->h && n->q == n->w
         && n->groups == 1 && n->c % 4 == 0;
}

bool
csource_is_depthwise (const struct qk_op *op, const struct window *n)
{
  return op->kind == QK_OP_CONV2D && n->groups > 1 && n->groups == n->c
         && n->k == n->c;
}

bool
csource_is_3x3 (const struct window *n)
{
  return n->r == 3 && n->s == 3 && n->dilation_h == 1 && n->dilation_w == 1
         && n->stride_w <= 2 && n->q >= 2;
}

int64_t
csource_depth (const struct window *n)
{
  return (n->r * n->s * (n->c / n->groups) + 3) / 4 * 4;
}

/* ---- arrays ----------------------------------------------------------------- */

/* The bias of channel K of OP, whose weights are the N bytes from W on. */
static int32_t
whole_bias (const struct qk_op *op, int64_t k, const int8_t *w, int64_t n)
{
  int64_t sum = op->bias != NULL ? op->bias[k] : 0;

  for (int64_t i = 0; i < n; i++)
    sum -= (int64_t) op->in_q[0].zero_point * w[i];
  return (int32_t) (uint32_t) (uint64_t) sum;
}

struct packed {
  int64_t blocks; /* of two channels, of all groups */
  int8_t *weight;
  int32_t *bias;
  uint32_t *multiplier;
};

static void
packed_clear (struct packed *p)
{
  free (p->weight);
  free (p->bias);
  free (p->multiplier);
}

/* Channel K of its group's COLUMN bytes to half I of block B. */
static void
pack_channel (const struct qk_op *op, int64_t k, int64_t column, int64_t depth,
              struct packed *p, int64_t b, int i)
{
  const int8_t *from = op->weight + k * column;
  int8_t *to = p->weight + 2 * b * depth;

  for (int64_t d = 0; d < column; d++) {
    const int64_t turn = d / 16 * 16;
    const int64_t width = depth - turn < 16 ? depth - turn : 16;

    to[2 * turn + i * width + d % 16] = from[d];
  }
  p->bias[2 * b + i] = whole_bias (op, k, from, column);
  p->multiplier[2 * b + i] = bits_of (op->multiplier[k]);
}

static int
pack (const struct qk_op *op, const struct window *n, struct packed *p)
{
  const int64_t column = n->r * n->s * (n->c / n->groups);
  const int64_t depth = csource_depth (n), kg = n->k / n->groups;
  const int64_t each = (kg + 1) / 2;

  p->blocks = each * n->groups;
  p->weight = calloc ((size_t) p->blocks, (size_t) (2 * depth));
  p->bias = calloc ((size_t) p->blocks, 2 * sizeof *p->bias);
  p->multiplier = calloc ((size_t) p->blocks, 2 * sizeof *p->multiplier);
  if (p->weight == NULL || p->bias == NULL || p->multiplier == NULL)
    return qk_oom ("csource");
  for (int64_t k = 0; k < n->k; k++)
    pack_channel (op, k, column, depth, p, k / kg * each + k % kg / 2,
                  (int) (k % kg % 2));
  return 0;
}

/* ---- layers ------------------------------------------------------------------- */

static void
put_window (struct writer *w, const struct window *n, int32_t zp)
{
  w->needed |= 1ull << KERNEL_WINDOW;
  text_add (&w->parts,
            "\nstatic const struct window window%d = {\n"
            "  %lld, %lld, %lld, %lld, %lld, %lld, %d, %d,\n"
            "  %d, %d, %d, %d, %d, %d, %d, %d\n};\n",
            w->layer, (long long) n->h, (long long) n->w, (long long) n->c,
            (long long) n->p, (long long) n->q, (long long) n->k, n->r, n->s,
            n->stride_h, n->stride_w, n->top, n->left, n->dilation_h,
            n->dilation_w, n->groups, zp);
}

static void
put_call (struct writer *w, const struct qk_network_node *n,
          const struct window *win, const char *function)
{
  char in[48], out[48];

  text_add (&w->steps, "    %s (&layer%d, ", function, w->layer);
  if (csource_is_rows (win) && n->op->kind != QK_OP_CONV_TRANSPOSE2D)
    text_add (&w->steps, "%lld, ", (long long) (win->p * win->q));
  else
    text_add (&w->steps, "&window%d, ", w->layer);
  text_add (&w->steps, "%s, %s", csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
  if (w->plan.scratch[w->layer - 1] >= 0)
    text_add (
      &w->steps, ", arena + %lld",
      (long long) w->plan.buffer[w->plan.scratch[w->layer - 1]].offset);
  else if (strcmp (function, "rows") == 0)
    text_add (&w->steps, ", NULL");
  text_add (&w->steps, ");\n");
}

/* Whether a sum of OP's, of COLUMN products, could have more than 24 bits. */
static bool
is_wide (const struct qk_op *op, int64_t column)
{
  bool wide = false;

  for (int64_t k = 0; k < op->out_channels; k++) {
    int64_t most = op->bias != NULL ? llabs ((long long) op->bias[k]) : 0;

    for (int64_t i = 0; i < column; i++)
      most += 255 * llabs ((long long) op->weight[k * column + i]);
    wide = wide || most >= 1 << 24;
  }
  return wide;
}

static void
put_bounds (struct writer *w, const struct qk_op *op, int64_t column)
{
  text_add (&w->parts, "%d, %d, %d, %d\n};\n", is_wide (op, column),
            op->out_q.zero_point, op->lo, op->hi);
}

/* The weights of a depthwise layer; windows of 3x3 have those of eight channels
 * under the same tap side by side, and zeros where there are fewer. */
static int
put_taps (struct writer *w, const struct qk_op *op, const struct window *win)
{
  const int64_t taps = win->r * win->s;
  const int64_t n = (win->c + 7) / 8 * 8 * taps;
  int8_t *weight;

  if (!csource_is_3x3 (win)) {
    array_int8 (w, "weight", op->weight, win->c * taps);
    return 0;
  }
  if ((weight = calloc ((size_t) n, 1)) == NULL)
    return qk_oom ("csource");
  for (int64_t c = 0; c < win->c; c++)
    for (int64_t t = 0; t < taps; t++)
      weight[(c / 8 * taps + t) * 8 + c % 8] = op->weight[c * taps + t];
  array_int8 (w, "weight", weight, n);
  free (weight);
  return 0;
}

static int
put_depthwise (struct writer *w, const struct qk_network_node *n,
               const struct window *win)
{
  const struct qk_op *op = n->op;
  const int64_t taps = win->r * win->s;
  int32_t *bias = calloc ((size_t) win->c, sizeof *bias);
  uint32_t *bits = calloc ((size_t) win->c, sizeof *bits);
  int r;

  if (bias == NULL || bits == NULL) {
    free (bias);
    free (bits);
    return qk_oom ("csource");
  }
  for (int64_t c = 0; c < win->c; c++) {
    bias[c] = whole_bias (op, c, op->weight + c * taps, taps);
    bits[c] = bits_of (op->multiplier[c]);
  }
  r = put_taps (w, op, win);
  array_int32 (w, "bias", bias, win->c);
  array_bits (w, "multiplier", bits, win->c);
  free (bias);
  free (bits);
  if (r < 0)
    return r;
  put_window (w, win, op->in_q[0].zero_point);
  text_add (&w->parts,
            "\nstatic const struct depthwise layer%d = {\n"
            "  %s_weight%d, %s_bias%d, %s_multiplier%d, ",
            w->layer, w->name, w->layer, w->name, w->layer, w->name, w->layer);
  put_bounds (w, op, taps);
  put_call (w, n, win, csource_is_3x3 (win) ? "depthwise3" : "depthwise");
  w->needed |= 1ull << (csource_is_3x3 (win) ? KERNEL_DEPTHWISE_3
                                             : KERNEL_DEPTHWISE_ANY);
  return 0;
}

/* The function for OP, whose output is on a grid or not. */
static const char *
choose (struct writer *w, const struct qk_op *op, const struct window *n)
{
  const bool real = op->out_q.scale == 0;
  static const struct {
    enum kernel kernel;
    const char *name;
  } functions[3][2]
    = { { { KERNEL_CONV, "conv" }, { KERNEL_CONV_REAL, "conv_real" } },
        { { KERNEL_TRANSPOSED, "conv_transposed" },
          { KERNEL_TRANSPOSED_REAL, "conv_transposed_real" } },
        { { KERNEL_ROWS, "rows" }, { KERNEL_ROWS_REAL, "rows_real" } } };
  const int i = op->kind == QK_OP_CONV_TRANSPOSE2D ? 1
                : csource_is_rows (n)              ? 2
                                                   : 0;

  w->needed |= 1ull << functions[i][real].kernel;
  return functions[i][real].name;
}

static int
check_multipliers (const struct qk_network_node *n)
{
  for (int64_t k = 0; k < n->op->out_channels; k++)
    if (!isfinite (n->op->multiplier[k]))
      return csource_refuse (n, "with a multiplier that is no number");
  return 0;
}

int
csource_weighted (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct window win = csource_window (w->net, n);
  struct packed p = { 0 };
  int r;

  if ((r = check_multipliers (n)) < 0)
    return r;
  if (csource_is_depthwise (op, &win) && op->out_q.scale > 0)
    return put_depthwise (w, n, &win);
  if ((r = pack (op, &win, &p)) == 0) {
    array_int8 (w, "weight", p.weight, 2 * p.blocks * csource_depth (&win));
    array_int32 (w, "bias", p.bias, 2 * p.blocks);
    array_bits (w, "multiplier", p.multiplier, 2 * p.blocks);
    text_add (&w->parts,
              "\nstatic const struct weighted layer%d = {\n"
              "  %s_weight%d, %s_bias%d, %s_multiplier%d, %lld, %lld, ",
              w->layer, w->name, w->layer, w->name, w->layer, w->name,
              w->layer, (long long) csource_depth (&win),
              (long long) (win.k / win.groups));
    put_bounds (w, op, win.r * win.s * (win.c / win.groups));
    if (op->kind == QK_OP_CONV_TRANSPOSE2D || !csource_is_rows (&win))
      put_window (w, &win, op->in_q[0].zero_point);
    put_call (w, n, &win, choose (w, op, &win));
  }
  packed_clear (&p);
  return r;
}

int
csource_pool (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct window win = csource_window (w->net, n);
  char in[48], out[48];

  put_window (w, &win, op->in_q[0].zero_point);
  csource_address (w, n->in[0], in);
  csource_address (w, n->out, out);
  if (op->kind == QK_OP_MAXPOOL2D) {
    w->needed |= 1ull << KERNEL_MAXPOOL;
    text_add (&w->steps, "    maxpool (&window%d, %d, %d, %s, %s);\n",
              w->layer, op->lo, op->hi, in, out);
    return 0;
  }
  w->needed |= 1ull << KERNEL_AVGPOOL;
  text_add (
    &w->steps, "    avgpool (&window%d, %lld, %lld, %d, %d, %s, %s);\n",
    w->layer,
    (long long) (op->count_pad ? op->pad_top + win.h + op->pad_bottom : 0),
    (long long) (op->count_pad ? op->pad_left + win.w + op->pad_right : 0),
    op->lo, op->hi, in, out);
  return 0;
}
