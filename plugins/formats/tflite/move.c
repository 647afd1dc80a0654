/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* move.c: operators that move elements, and those that make one of many. */
#include "config.h"

#include "writer.h"

/* Axes that TFLite's TRANSPOSE has kernels for. */
#define MOST_AXES 5

int
tflite_put_reshape (struct writer *w, const struct qk_network_node *n)
{
  const struct result r = put_result (w, n, false);

  put_reshape_to (w, tensor_of (w, n, 0), &value_of (w, n->out)->shape,
                  r.tensor);
  return finish_result (w, n, &r);
}

/* ---- axes in another order ---------------------------------------------------- */

/* Axes in another order, of which those that stay side by side are one. */
struct turn {
  int n;
  int64_t size[QK_MAX_DIMS + 1];  /* before */
  int32_t order[QK_MAX_DIMS + 1]; /* axis i afterwards is this one before */
};

static struct turn
turn_of (const struct qk_op *op)
{
  int first[QK_MAX_DIMS + 1], from[QK_MAX_DIMS + 1] = { 0 };
  int64_t size[QK_MAX_DIMS + 1] = { 1 }, joined[QK_MAX_DIMS + 1];
  struct turn t = { 0 };

  /* with the batch, which stays the first */
  for (int i = 0; i < op->axes; i++) {
    size[1 + i] = op->order[2 * i];
    from[1 + i] = op->order[2 * i + 1] + 1;
  }
  for (int i = 0; i <= op->axes; i++) {
    if (i == 0 || from[i] != from[i - 1] + 1) {
      first[t.n] = from[i];
      joined[t.n++] = 1;
    }
    joined[t.n - 1] *= size[from[i]];
  }
  for (int i = 0; i < t.n; i++) {
    for (int j = 0; j < t.n; j++)
      t.order[i] += first[j] < first[i];
    t.size[t.order[i]] = joined[i];
  }
  return t;
}

int
tflite_put_transpose (struct writer *w, const struct qk_network_node *n)
{
  const struct turn t = turn_of (n->op);
  const struct grid q = grid_of (w, n->in[0]);
  const struct result r = put_result (w, n, false);
  struct qk_shape split = { t.n, { 1 } }, turned = split;
  int both[2], out;

  if (t.n > MOST_AXES)
    return tflite_refuse (n, "it moves more than 5 axes");
  for (int i = 0; i < t.n; i++) {
    split.dims[i] = t.size[i];
    turned.dims[i] = t.size[t.order[i]];
  }
  both[0] = put_reshape (w, n, "split", tensor_of (w, n, 0), &split, q);
  both[1] = put_ints (w, n, "order", t.order, t.n);
  out = put_part (w, n, "turned", &turned, q);
  tfl_add_node (&w->m, TFL_TRANSPOSE, t.n > 4 ? 4 : 2, 2, both, out, NULL);
  put_reshape_to (w, out, &value_of (w, n->out)->shape, r.tensor);
  return finish_result (w, n, &r);
}

/* ---- elements by their places --------------------------------------------------- */

/* How an axis of a gather gets its elements. */
enum choice {
  AS_IT_IS,
  PADDED, /* all of the input's, between others */
  CHOSEN, /* any of the input's */
  MIXED   /* some of the input's, and others */
};

/* The SIZE places P along an axis of IN elements. */
static enum choice
choice_of (const int32_t *p, int64_t size, int64_t in, int32_t *before)
{
  int64_t first = 0, fills = 0;
  bool row = true;

  while (first < size && p[first] < 0)
    first++;
  for (int64_t i = 0; i < size; i++)
    fills += p[i] < 0;
  for (int64_t i = 0; i < in && row; i++)
    row = first + i < size && p[first + i] == i;
  *before = (int32_t) first;
  if (row && fills == size - in)
    return fills > 0 ? PADDED : AS_IT_IS;
  return fills > 0 ? MIXED : CHOSEN;
}

/* IN with the elements PLACE along AXIS of S, whose size there becomes SIZE. */
static int
put_chosen (struct writer *w, const struct qk_network_node *n, int in,
            struct qk_shape *s, int axis, const int32_t *place, int64_t size)
{
  struct tfl_options options = { TFL_GATHER_OPTIONS, { tfl_int (axis) } };
  int both[2] = { in, 0 }, out;

  s->dims[axis] = size;
  both[1]
    = put_ints (w, n, tfl_name (&w->m, "places%d", axis), place, (int) size);
  out = put_part (w, n, tfl_name (&w->m, "chosen%d", axis), s,
                  grid_of (w, n->in[0]));
  tfl_add_node (&w->m, TFL_GATHER, 2, 2, both, out, &options);
  return out;
}

int
tflite_put_gather (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *to = &value_of (w, n->out)->shape;
  struct qk_shape s = input_of (w, n, 0)->shape;
  int32_t before[QK_MAX_DIMS] = { 0 }, after[QK_MAX_DIMS] = { 0 };
  const int32_t *place = op->place;
  int t = tensor_of (w, n, 0), padded = 0;
  struct result r;

  if (tflite_put_nearest (w, n))
    return 0;
  for (int i = 1; i < to->ndim; place += to->dims[i++]) {
    const enum choice how
      = choice_of (place, to->dims[i], s.dims[i], &before[i]);

    if (how == MIXED)
      return tflite_refuse (n, "cuts and pads the same axis");
    if (how == PADDED) {
      after[i] = (int32_t) (to->dims[i] - s.dims[i]) - before[i];
      padded++;
    } else
      before[i] = 0;
    if (how == CHOSEN)
      t = put_chosen (w, n, t, &s, i, place, to->dims[i]);
  }
  r = put_result (w, n, false);
  if (padded > 0)
    tflite_put_pad (w, n, t, to->ndim, before, after, grid_of (w, n->in[0]),
                    op->fill, r.tensor);
  else
    put_reshape_to (w, t, to, r.tensor);
  return finish_result (w, n, &r);
}

/* ---- one of many ------------------------------------------------------------------ */

int
tflite_put_reduce (struct writer *w, const struct qk_network_node *n)
{
  static const enum tfl_operator names[QK_REDUCTIONS]
    = { [QK_MEAN] = TFL_MEAN,
        [QK_LARGEST] = TFL_REDUCE_MAX,
        [QK_SMALLEST] = TFL_REDUCE_MIN };
  const struct qk_op *op = n->op;
  const int ndim = input_of (w, n, 0)->shape.ndim;
  struct tfl_options options = { .type = TFL_REDUCER_OPTIONS };
  int32_t axis[QK_MAX_DIMS];
  int both[2] = { tensor_of (w, n, 0), 0 }, axes = 0;
  struct result r;

  if (op->function == QK_MEAN && ndim == 4 && op->along == (1 << 1 | 1 << 2))
    return tflite_put_whole (w, n);
  /* its kernels let sums that leave the grid wrap around */
  if (op->function == QK_SUM)
    return tflite_refuse (n, "its sums of integers do not saturate");
  r = put_result (w, n, false);
  for (int i = 1; i < ndim; i++)
    if (op->along >> i & 1)
      axis[axes++] = i;
  both[1] = put_ints (w, n, "axes", axis, axes);
  options.field[0] = tfl_byte (value_of (w, n->out)->shape.ndim == ndim);
  tfl_add_node (&w->m, names[op->function], 2, 2, both, r.tensor, &options);
  return finish_result (w, n, &r);
}
