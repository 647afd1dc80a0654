/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grids.c: what is on a grid of ours, as ONNX has it: QuantizeLinear, the
 * clamp and DequantizeLinear. */
#include "config.h"

#include <string.h>

#include "edit.h"
#include "writer.h"

const char *
node1 (struct writer *w, const char *op, const char *out, const char *in)
{
  onnx_node (&w->b, op, out, 1, &in);
  return out;
}

const char *
put_zero_point (struct writer *w, const char *prefix,
                const struct qk_qparams *q)
{
  const uint8_t byte = (uint8_t) q->zero_point;
  const uint16_t wide = (uint16_t) q->zero_point;

  return onnx_scalar (&w->b, onnx_name (&w->b, "%s/zero_point", prefix),
                      qk_grid_dtype (q),
                      qk_grid_is_wide (q) ? (const void *) &wide : &byte);
}

/* RAW, in units of UNIT, within LO..HI of the grid Q: for integers that ONNX
 * Runtime has no Clip of.  The ends lie on the grid, so that nothing else
 * changes. */
static const char *
put_real_clip (struct writer *w, const char *raw, const char *prefix,
               const struct qk_qparams *q, float unit, int lo, int hi)
{
  struct onnx_build *b = &w->b;
  const float low = (float) (lo - q->zero_point) * unit;
  const float high = (float) (hi - q->zero_point) * unit;
  const char *in[3] = { raw };

  in[1] = onnx_scalar (b, onnx_name (b, "%s/lo", prefix), QK_F32, &low);
  in[2] = onnx_scalar (b, onnx_name (b, "%s/hi", prefix), QK_F32, &high);
  raw = onnx_name (b, "%s/clipped", prefix);
  onnx_node (b, "Clip", raw, 3, in);
  return raw;
}

/* put_grid, where RAW is in units of the constant STEP, which is 1; NULL: of
 * Q's scale. */
static const char *
put_steps (struct writer *w, const char *raw, const char *prefix,
           const struct qk_qparams *q, const char *step, int lo, int hi,
           const char *out)
{
  struct onnx_build *b = &w->b;
  const bool wide = qk_grid_is_wide (q);
  const bool clips = lo > 0 || hi < qk_grid_most (q);
  const uint8_t low = (uint8_t) lo, high = (uint8_t) hi;
  const char *scale = onnx_name (b, "%s/scale", prefix), *in[3];

  if (clips && wide)
    raw
      = put_real_clip (w, raw, prefix, q, step != NULL ? 1 : q->scale, lo, hi);
  scale = onnx_scalar (b, scale, QK_F32, &q->scale);
  in[0] = raw;
  in[1] = step != NULL ? step : scale;
  in[2] = put_zero_point (w, prefix, q);
  raw = onnx_name (b, "%s/quantized", prefix);
  onnx_node (b, "QuantizeLinear", raw, 3, in);
  if (clips && !wide) {
    const char *clip[3] = { raw };

    clip[1] = onnx_scalar (b, onnx_name (b, "%s/lo", prefix), QK_U8, &low);
    clip[2] = onnx_scalar (b, onnx_name (b, "%s/hi", prefix), QK_U8, &high);
    raw = onnx_name (b, "%s/clipped", prefix);
    onnx_node (b, "Clip", raw, 3, clip);
  }
  in[0] = raw;
  in[1] = scale;
  onnx_node (b, "DequantizeLinear", out, 3, in);
  return out;
}

const char *
put_grid (struct writer *w, const char *raw, const char *prefix,
          const struct qk_qparams *q, int lo, int hi, const char *out)
{
  return put_steps (w, raw, prefix, q, NULL, lo, hi, out);
}

/* put_grid of RAW by a product with 1 / scale.  That is a node of constants, so
 * that the scale is in the file whatever reads the integers: 2 / (2 scale),
 * because ONNX Runtime makes a quotient of a product with 1 / scale. */
static const char *
put_by_inverse (struct writer *w, const char *raw, const char *prefix,
                const struct qk_qparams *q, int lo, int hi, const char *out)
{
  struct onnx_build *b = &w->b;
  const char *inverse = onnx_name (b, "%s/inverse", prefix);
  const char *steps = onnx_name (b, "%s/steps", prefix), *in[2];
  const float one = 1.0f, two = 2.0f, twice = 2.0f * q->scale;

  in[0] = onnx_scalar (b, onnx_name (b, "%s/two", prefix), QK_F32, &two);
  in[1] = onnx_scalar (b, onnx_name (b, "%s/twice", prefix), QK_F32, &twice);
  onnx_node (b, "Div", inverse, 2, in);
  in[0] = raw;
  in[1] = inverse;
  onnx_node (b, "Mul", steps, 2, in);
  return put_steps (
    w, steps, prefix, q,
    onnx_scalar (b, onnx_name (b, "%s/one", prefix), QK_F32, &one), lo, hi,
    out);
}

const char *
put_sample_grid (struct writer *w, const char *raw, const struct qk_qparams *q,
                 const char *out)
{
  return put_by_inverse (w, raw, raw, q, q->qmin, q->qmax, out);
}

const char *
put_rescaled (struct writer *w, const char *raw, const char *prefix,
              const struct qk_qparams *q, float from, float to)
{
  struct onnx_build *b = &w->b;
  const char *in[3] = { raw };

  in[1] = onnx_scalar (b, onnx_name (b, "%s/from", prefix), QK_F32, &from);
  in[2] = put_zero_point (w, prefix, q);
  in[0] = onnx_name (b, "%s/quantized", prefix);
  onnx_node (b, "QuantizeLinear", in[0], 3,
             (const char *const[]){ raw, in[1], in[2] });
  in[1] = onnx_scalar (b, onnx_name (b, "%s/to", prefix), QK_F32, &to);
  raw = onnx_name (b, "%s/rescaled", prefix);
  onnx_node (b, "DequantizeLinear", raw, 3, in);
  return raw;
}

const char *
put_reread (struct writer *w, const char *name, const char *out, float scale)
{
  const Onnx__NodeProto *d = onnx_find_maker (&w->b, name);
  const char *in[3];

  if (d == NULL || strcmp (d->op_type, "DequantizeLinear") != 0)
    return name;
  in[0] = d->input[0];
  in[1]
    = onnx_scalar (&w->b, onnx_name (&w->b, "%s/scale", out), QK_F32, &scale);
  in[2] = d->input[2];
  onnx_node (&w->b, "DequantizeLinear", out, 3, in);
  return out;
}

const char *
output_name (const struct writer *w, int value)
{
  int i;

  for (i = 0; i < w->net->n_outputs; i++)
    if (w->net->output[i].value == value)
      return w->net->output[i].name;
  return NULL;
}

/* Name under which the value of N is read after its last step. */
static const char *
final_name (struct writer *w, const struct qk_network_node *n,
            const char *what)
{
  const char *name = output_name (w, n->out);

  return name != NULL ? name : onnx_name (&w->b, "%s/%s", n->name, what);
}

void
finish_clamped (struct writer *w, const struct qk_network_node *n,
                const char *raw, int lo, int hi)
{
  w->name[n->out] = put_grid (w, raw, n->name, &value_of (w, n->out)->q, lo,
                              hi, final_name (w, n, "dequantized"));
}

const char *
raw_name (struct writer *w, const struct qk_network_node *n)
{
  return on_grid (w, n->out) ? onnx_name (&w->b, "%s/out", n->name)
                             : final_name (w, n, "out");
}

void
finish (struct writer *w, const struct qk_network_node *n, const char *raw)
{
  const struct qk_qparams *q = &value_of (w, n->out)->q;

  if (!on_grid (w, n->out))
    w->name[n->out] = raw;
  else if (n->quantized)
    finish_clamped (w, n, raw, 0, qk_grid_most (q));
  else /* a float node whose output was put on a grid */
    finish_clamped (w, n, raw, q->qmin, q->qmax);
}

int
finish_node (struct writer *w, const struct qk_network_node *n,
             const char *raw)
{
  if (n->quantized && on_grid (w, n->out))
    finish_clamped (w, n, raw, n->op->lo, n->op->hi);
  else
    finish (w, n, raw);
  return 0;
}

int
finish_in_steps (struct writer *w, const struct qk_network_node *n,
                 const char *raw)
{
  w->name[n->out]
    = put_by_inverse (w, raw, n->name, &value_of (w, n->out)->q, n->op->lo,
                      n->op->hi, final_name (w, n, "dequantized"));
  return 0;
}

const char *
put_dequantized (struct writer *w, const char *constant, const char *name,
                 const float *scale, int64_t k, int axis, enum qk_dtype dtype)
{
  struct onnx_build *b = &w->b;
  const char *in[3] = { constant };
  const char *out = onnx_name (b, "%s/dequantized", name);
  Onnx__NodeProto *n;

  in[1]
    = onnx_constant (b, onnx_name (b, "%s/scale", name), QK_F32, 1, &k, scale);
  in[2] = onnx_constant (b, onnx_name (b, "%s/zero_point", name), dtype, 1, &k,
                         NULL);
  n = onnx_node (b, "DequantizeLinear", out, 3, in);
  onnx_attr_int (b, n, "axis", axis);
  return out;
}

const char *
put_integers (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_qparams *q = &value_of (w, n->in[0])->q;

  return put_rescaled (w, w->name[n->in[0]],
                       onnx_name (&w->b, "%s/integers", n->name), q, q->scale,
                       1);
}

const char *
put_rounded (struct writer *w, const struct qk_network_node *n,
             const char *raw)
{
  const struct qk_qparams *q = &value_of (w, n->in[0])->q;

  raw = node1 (w, "Round", onnx_name (&w->b, "%s/round", n->name), raw);
  return put_rescaled (w, raw, onnx_name (&w->b, "%s/mean", n->name), q, 1,
                       q->scale);
}
