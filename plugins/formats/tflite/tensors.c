/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tensors.c: tensors of a network as TFLite has them, and the operators that
 * bring them to other grids, axes and bounds. */
#include "config.h"

#include <math.h>

#include "writer.h"

int
tflite_refuse (const struct qk_network_node *n, const char *why)
{
  const char *op
    = n->quantized ? qk_op_kind_name (n->op->kind) : "of real numbers";

  return qk_error (-ENOTSUP,
                   "node '%s': TFLite has no counterpart here for layer '%s' "
                   "(operator %s)%s%s",
                   n->name, n->layer, op, why != NULL ? ": " : "",
                   why != NULL ? why : "");
}

/* ---- tensors --------------------------------------------------------------- */

/* T gets grid Q, or becomes one of real numbers. */
static void
set_grid (struct writer *w, struct tfl_tensor *t, struct grid q)
{
  float *scale;

  t->type = q.scale > 0 ? TFL_INT8 : TFL_FLOAT32;
  if (t->type == TFL_FLOAT32
      || (scale = tfl_alloc (&w->m, sizeof *scale)) == NULL)
    return;
  *scale = q.scale;
  t->scale = scale;
  t->scales = 1;
  t->zero_point = q.zero_point - TFL_SHIFT;
}

int
put_tensor (struct writer *w, const char *name, const struct qk_shape *s,
            struct grid q)
{
  struct tfl_tensor t = { .name = name, .ndim = s->ndim };

  for (int i = 0; i < s->ndim; i++)
    t.dims[i] = (int32_t) s->dims[i];
  set_grid (w, &t, q);
  return tfl_add_tensor (&w->m, &t);
}

int
put_part (struct writer *w, const struct qk_network_node *n, const char *what,
          const struct qk_shape *s, struct grid q)
{
  return put_tensor (w, tfl_name (&w->m, "%s/%s", n->name, what), s, q);
}

int
put_int8 (struct writer *w, const char *name, int ndim, const int8_t *x,
          int count, struct grid q)
{
  struct tfl_tensor t
    = { .name = name, .ndim = ndim, .elements = (size_t) count };
  int8_t *copy = tfl_alloc (&w->m, (size_t) count);

  if (copy == NULL)
    return 0;
  memcpy (copy, x, (size_t) count);
  for (int i = 0; i < ndim; i++)
    t.dims[i] = i == ndim - 1 ? count : 1;
  set_grid (w, &t, q);
  t.data = copy;
  return tfl_add_tensor (&w->m, &t);
}

int
put_ints (struct writer *w, const struct qk_network_node *n, const char *what,
          const int32_t *x, int count)
{
  return tfl_add_ints (&w->m, tfl_name (&w->m, "%s/%s", n->name, what), x,
                       count);
}

int
put_value (struct writer *w, const struct qk_network_node *n)
{
  w->tensor[n->out] = put_tensor (w, n->name, &value_of (w, n->out)->shape,
                                  grid_of (w, n->out));
  return w->tensor[n->out];
}

/* ---- operators that change nothing, or the grid ---------------------------- */

int
put_unary (struct writer *w, enum tfl_operator op, int version, int in,
           int out)
{
  tfl_add_node (&w->m, op, version, 1, &in, out, NULL);
  return out;
}

int
put_regrid (struct writer *w, const struct qk_network_node *n,
            const char *what, int in, const struct qk_shape *s,
            struct grid from, struct grid to)
{
  if (from.scale == to.scale && from.zero_point == to.zero_point)
    return in;
  return put_unary (w, TFL_QUANTIZE, 1, in, put_part (w, n, what, s, to));
}

void
put_reshape_to (struct writer *w, int in, const struct qk_shape *s, int out)
{
  int32_t dims[QK_MAX_DIMS];
  int both[2] = { in, 0 };

  /* as many samples as there are */
  for (int i = 0; i < s->ndim; i++)
    dims[i] = i == 0 ? -1 : (int32_t) s->dims[i];
  if (w->m.error < 0)
    return;
  both[1] = tfl_add_ints (
    &w->m, tfl_name (&w->m, "%s/shape", w->m.tensor[out].name), dims, s->ndim);
  tfl_add_node (&w->m, TFL_RESHAPE, 1, 2, both, out, NULL);
}

int
put_reshape (struct writer *w, const struct qk_network_node *n,
             const char *what, int in, const struct qk_shape *s, struct grid q)
{
  const int out = put_part (w, n, what, s, q);

  put_reshape_to (w, in, s, out);
  return out;
}

struct qk_shape
row_shape (const struct qk_shape *s)
{
  struct qk_shape row = { 4, { s->dims[0], 1, 1, s->dims[s->ndim - 1] } };

  for (int i = 1; i < s->ndim - 1; i++)
    row.dims[2] *= s->dims[i];
  return row;
}

/* ---- bounds ---------------------------------------------------------------- */

/* The activation that keeps what lies on grid Q within LO..HI; *EXACT: whether
 * there is one. */
static enum tfl_activation
activation_for (struct grid q, int lo, int hi, bool *exact)
{
  const float six = (float) q.zero_point + roundf (6.0f / q.scale);

  *exact = true;
  if (lo == 0 && hi == 255)
    return TFL_NONE;
  if (lo == q.zero_point && hi == 255)
    return TFL_RELU;
  if (lo == q.zero_point && (float) hi == (six < 255.0f ? six : 255.0f))
    return TFL_RELU6;
  *exact = false;
  return TFL_NONE;
}

struct result
put_result (struct writer *w, const struct qk_network_node *n, bool fused)
{
  const struct grid q = grid_of (w, n->out);
  struct result r = { 0, TFL_NONE, false };
  bool exact = true;

  if (q.scale > 0)
    r.activation = activation_for (q, n->op->lo, n->op->hi, &exact);
  r.clamped = !exact || (!fused && r.activation != TFL_NONE);
  if (r.clamped)
    r.activation = TFL_NONE;
  r.tensor = r.clamped
               ? put_part (w, n, "free", &value_of (w, n->out)->shape, q)
               : put_value (w, n);
  return r;
}

int
put_bounded (struct writer *w, const char *name, int in,
             const struct qk_shape *s, struct grid q, int lo, int hi, int out)
{
  static const char *const what[] = { "lo", "hi" };
  const bool both = lo > 0 && hi < 255;
  int t = in;

  for (int i = 0; i < 2; i++) {
    const int8_t bound = (int8_t) ((i == 0 ? lo : hi) - TFL_SHIFT);
    int two[2] = { t, 0 };

    if (i == 0 ? lo == 0 : hi == 255)
      continue;
    two[1] = put_int8 (w, tfl_name (&w->m, "%s/%s", name, what[i]), 1, &bound,
                       1, q);
    t = both && i == 0
          ? put_tensor (w, tfl_name (&w->m, "%s/bounded", name), s, q)
          : out;
    tfl_add_node (&w->m, i == 0 ? TFL_MAXIMUM : TFL_MINIMUM, 2, 2, two, t,
                  NULL);
  }
  return t;
}

int
finish_result (struct writer *w, const struct qk_network_node *n,
               const struct result *r)
{
  if (r->clamped)
    put_bounded (w, n->name, r->tensor, &value_of (w, n->out)->shape,
                 grid_of (w, n->out), n->op->lo, n->op->hi, put_value (w, n));
  return 0;
}

int
put_simple (struct writer *w, const struct qk_network_node *n,
            enum tfl_operator op, int version, int in)
{
  const struct result r = put_result (w, n, false);

  put_unary (w, op, version, in, r.tensor);
  return finish_result (w, n, &r);
}
