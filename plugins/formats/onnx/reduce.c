/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reduce.c: one number out of those along some axes, as a node of ONNX. */
#include "config.h"

#include "writer.h"

/* Whether what N leaves lies in another order there than its input does:
 * channels come last in a tensor of three axes or of more than four. */
static bool
reorders (const struct qk_network_node *n, const struct qk_shape *in,
          const struct qk_shape *out)
{
  if (in->ndim == out->ndim)
    return false;
  return out->ndim == 4
         || (in->ndim == 4 && out->ndim == 3 && (n->op->along >> 3 & 1) == 0);
}

/* The axes of ONNX's tensor that N's are; returns how many. */
static int
axes_of (const struct qk_network_node *n, int ndim, bool ours, int64_t *axes)
{
  int count = 0;

  for (int i = 1; i < ndim; i++)
    if (n->op->along >> i & 1)
      axes[count++] = ours ? i : onnx_axis (ndim, i);
  return count;
}

int
onnx_put_reduce (struct writer *w, const struct qk_network_node *n)
{
  static const char *const names[QK_REDUCTIONS]
    = { [QK_MEAN] = "ReduceMean",
        [QK_SUM] = "ReduceSum",
        [QK_LARGEST] = "ReduceMax",
        [QK_SMALLEST] = "ReduceMin" };
  const struct qk_shape *s = &value_of (w, n->in[0])->shape;
  const struct qk_shape *to = &value_of (w, n->out)->shape;
  const bool sum = n->op->function == QK_SUM; /* its axes are an input */
  const bool exact = n->quantized && n->op->function == QK_MEAN;
  const bool ours = reorders (n, s, to);
  const char *in[2] = { exact ? put_integers (w, n) : w->name[n->in[0]], "" };
  const bool turned = ours && to->ndim == 4;
  const char *raw = exact || turned ? onnx_name (&w->b, "%s/reduced", n->name)
                                    : raw_name (w, n);
  int64_t axes[QK_MAX_DIMS];
  const int64_t count = axes_of (n, s->ndim, ours, axes);
  Onnx__NodeProto *o;

  if (ours)
    in[0] = onnx_put_ours (w, in[0], s, onnx_name (&w->b, "%s/nhwc", n->name));
  if (sum)
    in[1] = onnx_constant (&w->b, onnx_name (&w->b, "%s/axes", n->name),
                           QK_I64, 1, &count, axes);
  o = onnx_node (&w->b, names[n->op->function], raw, sum ? 2 : 1, in);
  if (!sum)
    onnx_attr_ints (&w->b, o, "axes", axes, (int) count);
  onnx_attr_int (&w->b, o, "keepdims", to->ndim == s->ndim);
  if (exact)
    raw = put_rounded (w, n, raw);
  if (turned)
    raw = onnx_put_image (w, raw, to, raw_name (w, n));
  return finish_node (w, n, raw);
}
