/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resize.c: images of another size.
 *
 * TFLite has three ways to say where element o of an axis lies in the input; with
 * the ratio r of the sizes, input by output,
 *   plain               o r
 *   half pixel centres  (o + 0.5) r - 0.5
 *   aligned corners     o (in - 1) / (out - 1)
 * A node is written where its places are those of one of them, on both axes. */
#include "config.h"

#include <math.h>

#include "writer.h"

enum way { PLAIN, HALF_PIXEL, ALIGNED, WAYS };

static float
ratio_of (enum way way, int64_t in, int64_t out)
{
  return way == ALIGNED && out > 1 ? (float) (in - 1) / (float) (out - 1)
                                   : (float) in / (float) out;
}

/* The operator OP from N's input to OUT. */
static void
put_resize (struct writer *w, const struct qk_network_node *n,
            enum tfl_operator op, enum way way, int out)
{
  const int64_t *to = value_of (w, n->out)->shape.dims;
  const int32_t size[2] = { (int32_t) to[1], (int32_t) to[2] };
  const bool linear = op == TFL_RESIZE_BILINEAR;
  const int first = linear ? 2 : 0; /* two fields are no longer in use */
  struct tfl_options options = { .type = linear ? TFL_RESIZE_BILINEAR_OPTIONS
                                                : TFL_RESIZE_NEAREST_OPTIONS };
  int both[2] = { tensor_of (w, n, 0), 0 };
  int version = way == HALF_PIXEL || (!linear && way == ALIGNED) ? 3 : 2;

  options.field[first] = tfl_byte (way == ALIGNED);
  options.field[first + 1] = tfl_byte (way == HALF_PIXEL);
  both[1] = put_ints (w, n, "size", size, 2);
  tfl_add_node (&w->m, op, version, 2, both, out, &options);
}

/* ---- the nearest element ---------------------------------------------------- */

static int64_t
nearest_place (enum way way, int64_t o, int64_t in, int64_t out)
{
  const float at = ((float) o + (way == HALF_PIXEL ? 0.5f : 0.0f))
                   * ratio_of (way, in, out);
  const int64_t place = (int64_t) (way == ALIGNED ? roundf (at) : floorf (at));

  return place < in - 1 ? place : in - 1;
}

static bool
is_nearest (enum way way, const int32_t *place, int64_t in, int64_t out)
{
  for (int64_t o = 0; o < out; o++)
    if (place[o] != nearest_place (way, o, in, out))
      return false;
  return true;
}

bool
tflite_put_nearest (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_shape *in = &input_of (w, n, 0)->shape;
  const struct qk_shape *out = &value_of (w, n->out)->shape;
  const int32_t *place = n->op->place;
  struct result r;

  if (strcmp (n->layer, "resize") != 0 || in->ndim != 4
      || in->dims[3] != out->dims[3])
    return false;
  for (enum way way = 0; way < WAYS; way++)
    if (is_nearest (way, place, in->dims[1], out->dims[1])
        && is_nearest (way, place + out->dims[1], in->dims[2], out->dims[2])) {
      r = put_result (w, n, false);
      put_resize (w, n, TFL_RESIZE_NEAREST_NEIGHBOR, way, r.tensor);
      finish_result (w, n, &r);
      return true;
    }
  return false;
}

/* ---- two elements ------------------------------------------------------------ */

/* Where element O of an axis lies, by two places and their shares. */
static float
linear_place (enum way way, int64_t o, int64_t in, int64_t out)
{
  const float half = way == HALF_PIXEL ? 0.5f : 0.0f;
  const float at = ((float) o + half) * ratio_of (way, in, out) - half;

  return fminf (fmaxf (at, 0.0f), (float) (in - 1));
}

static bool
is_linear (enum way way, const int32_t *place, const float *share, int64_t in,
           int64_t out)
{
  for (int64_t o = 0; o < out; o++) {
    const float at = (float) place[2 * o] * share[2 * o]
                     + (float) place[2 * o + 1] * share[2 * o + 1];

    if (fabsf (at - linear_place (way, o, in, out)) > 1e-4f * (float) in)
      return false;
  }
  return true;
}

int
tflite_put_resize (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *in = &input_of (w, n, 0)->shape;
  const int64_t *out = value_of (w, n->out)->shape.dims;
  struct result r;

  if (in->ndim != 4)
    return tflite_refuse (n, "its input is no image");
  if (op->taps != 2)
    return tflite_refuse (n, "by more than two elements along an axis");
  for (enum way way = 0; way < WAYS; way++)
    if (is_linear (way, op->place, op->share, in->dims[1], out[1])
        && is_linear (way, op->place + 2 * out[1], op->share + 2 * out[1],
                      in->dims[2], out[2])) {
      r = put_result (w, n, false);
      put_resize (w, n, TFL_RESIZE_BILINEAR, way, r.tensor);
      return finish_result (w, n, &r);
    }
  return tflite_refuse (n, "its elements lie at other places than TFLite's");
}
