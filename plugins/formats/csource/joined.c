/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* joined.c: functions of two tensors, and reductions along axes. */
#include "config.h"

#include <math.h>

#include "csource.h"

/* The step of S along axis D of OUT, which it is broadcast to; *STEP is that
 * of the axis, were it not. */
static int64_t
step_along (const struct qk_shape *s, const struct qk_shape *out, int d,
            int64_t *step)
{
  const int own = d - (out->ndim - s->ndim);
  int64_t result = 0;

  if (own < 1)
    return 0;
  result = s->dims[own] == 1 ? 0 : *step;
  *step *= s->dims[own];
  return result;
}

/* The axes FIRST..LAST-1 of OUT, and along them the steps of A and B of UNIT_A,
 * UNIT_B elements. */
static void
broadcast (const struct qk_shape *a, const struct qk_shape *b,
           const struct qk_shape *out, int last, int64_t unit_a,
           int64_t unit_b, struct axes *axes)
{
  int64_t step_a[QK_MAX_DIMS] = { 0 }, step_b[QK_MAX_DIMS] = { 0 };

  axes->tensors = 2;
  for (int d = last - 1; d >= 1; d--) {
    step_a[d] = step_along (a, out, d, &unit_a);
    step_b[d] = step_along (b, out, d, &unit_b);
  }
  for (int d = 1; d < last; d++)
    axes_add (axes, out->dims[d], step_a[d], step_b[d]);
  axes_finish (axes);
}

/* The scales over the output's in units of 2^-20, 0 if they are 2 or more. */
static void
quick_scales (const struct qk_op *op, int32_t times[3])
{
  const double a = (double) op->in_q[0].scale / (double) op->out_q.scale;
  const double b = (double) op->in_q[1].scale / (double) op->out_q.scale;
  const bool small = a < 2 && b < 2;

  times[0] = small ? (int32_t) rint (a * 1048576.0) : 0;
  times[1] = small ? (int32_t) rint (b * 1048576.0) : 0;
  times[2] = small ? (1 << 19) + (1 << 11) : 0;
}

int
csource_binary (struct writer *w, const struct qk_network_node *n)
{
  static const char *const names[QK_FUNCTIONS]
    = { "add", "subtract", "multiply", "divide", "larger", "smaller" };
  const struct qk_op *op = n->op;
  const struct qk_shape *out = &value_of (w, n->out)->shape;
  struct axes axes = { 0 };
  int32_t times[3];
  char a[48], b[48], y[48];

  if (op->function < 0 || op->function >= QK_FUNCTIONS)
    return csource_refuse (n, "of an unknown function");
  broadcast (&value_of (w, n->in[0])->shape, &value_of (w, n->in[1])->shape,
             out, out->ndim, 1, 1, &axes);
  axes_arrays (w, "axes", &axes);
  quick_scales (op, times);
  text_add (&w->parts,
            "\nstatic const struct binary layer%d = {\n"
            "  %d, %lld, %s_axessize%d, %s_axesa%d, %s_axesb%d,\n"
            "  %d, %d, 0x%x, 0x%x, 0x%x, %d, %d, %d,\n"
            "  %d, %d, %d\n};\n",
            w->layer, axes.n,
            (long long) (axes_count (&axes) / axes.size[axes.n - 1]), w->name,
            w->layer, w->name, w->layer, w->name, w->layer,
            op->in_q[0].zero_point, op->in_q[1].zero_point,
            bits_of (op->in_q[0].scale), bits_of (op->in_q[1].scale),
            bits_of (1.0f / op->out_q.scale), op->out_q.zero_point, op->lo,
            op->hi, times[0], times[1], times[2]);
  w->needed |= 1ull << (KERNEL_ADD + op->function);
  text_add (&w->steps, "    %s (&layer%d, %s, %s, %s);\n", names[op->function],
            w->layer, csource_address (w, n->in[0], a),
            csource_address (w, n->in[1], b), csource_address (w, n->out, y));
  return 0;
}

int
csource_matmul (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *a = &value_of (w, n->in[0])->shape;
  const struct qk_shape *b = &value_of (w, n->in[1])->shape;
  const struct qk_shape *y = &value_of (w, n->out)->shape;
  const int64_t m = y->dims[y->ndim - 2], p = y->dims[y->ndim - 1];
  const int64_t k = a->dims[a->ndim - (op->transpose_a ? 2 : 1)];
  const float multiplier = qk_product_multiplier (
    op->in_q[0].scale, op->in_q[1].scale, op->factor, op->out_q.scale);
  struct qk_shape la = *a, lb = *b, ly = *y;
  struct axes axes = { 0 };
  char in[48], in1[48], out[48];

  la.ndim -= 2, lb.ndim -= 2, ly.ndim -= 2;
  broadcast (&la, &lb, &ly, ly.ndim, m * k, k * p, &axes);
  axes_arrays (w, "axes", &axes);
  text_add (&w->parts,
            "\nstatic const struct matmul layer%d = {\n"
            "  %d, %lld, %s_axessize%d, %s_axesa%d, %s_axesb%d,\n"
            "  %lld, %lld, %lld, %lld, %lld, %lld, %lld, %d, %d, 0x%x,\n"
            "  %d, %d, %d\n};\n",
            w->layer, axes.n, (long long) axes_count (&axes), w->name,
            w->layer, w->name, w->layer, w->name, w->layer, (long long) m,
            (long long) p, (long long) k,
            (long long) (op->transpose_a ? 1 : k),
            (long long) (op->transpose_a ? m : 1),
            (long long) (op->transpose_b ? 1 : p),
            (long long) (op->transpose_b ? k : 1), op->in_q[0].zero_point,
            op->in_q[1].zero_point, bits_of (multiplier), op->out_q.zero_point,
            op->lo, op->hi);
  w->needed |= 1ull << KERNEL_MATMUL;
  text_add (&w->steps, "    matmul (&layer%d, %s, %s, %s);\n", w->layer,
            csource_address (w, n->in[0], in),
            csource_address (w, n->in[1], in1),
            csource_address (w, n->out, out));
  return 0;
}

int
csource_reduce (struct writer *w, const struct qk_network_node *n)
{
  static const char *const names[QK_REDUCTIONS]
    = { "mean", "sum", "largest", "smallest" };
  const struct qk_op *op = n->op;
  const struct qk_shape *s = &value_of (w, n->in[0])->shape;
  const bool keeps_grid = op->function == QK_MEAN;
  struct axes kept = { .tensors = 1 }, along = { .tensors = 1 };
  int64_t step = qk_shape_count (s);
  char in[48], out[48];

  for (int d = 1; d < s->ndim; d++) {
    step /= s->dims[d];
    axes_add (op->along >> d & 1 ? &along : &kept, s->dims[d], step, 0);
  }
  axes_finish (&kept);
  axes_finish (&along);
  axes_arrays (w, "kept", &kept);
  axes_arrays (w, "along", &along);
  text_add (&w->parts,
            "\nstatic const struct reduce layer%d = {\n"
            "  %d, %lld, %s_keptsize%d, %s_kepta%d,\n"
            "  %d, %lld, %s_alongsize%d, %s_alonga%d,\n"
            "  %d, 0x%x, %d, %d, %d\n};\n",
            w->layer, kept.n, (long long) axes_count (&kept), w->name,
            w->layer, w->name, w->layer, along.n,
            (long long) axes_count (&along), w->name, w->layer, w->name,
            w->layer, op->in_q[0].zero_point,
            bits_of (qk_multiplier (op->in_q[0].scale, 1.0f, op->out_q.scale)),
            keeps_grid ? op->in_q[0].zero_point : op->out_q.zero_point, op->lo,
            op->hi);
  w->needed |= 1ull << (KERNEL_MEAN + op->function);
  text_add (&w->steps, "    %s (&layer%d, %s, %s);\n", names[op->function],
            w->layer, csource_address (w, n->in[0], in),
            csource_address (w, n->out, out));
  return 0;
}
