/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_layers_int8.c: layers on u8 tensors.
 *
 * Layers that keep their input's grid are compared byte for byte with the
 * formulas of numeric.h, written down here once more; and everything that
 * lowers to an int8 op must give the same bytes on every exact backend. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "graph/op-priv.h"
#include "lib/context.h"
#include "lib/layer-cases.h"
#include "lib/ok.h"

/* scale, zero_point, qmin, qmax; 6 is 150.6 steps of the first and 100.4 of
 * the second, so that rounding goes either way. */
static const struct qk_qparams grids[] = {
  { 6.0f / 150.6f, 3, 0, 255 },
  { 6.0f / 100.4f, 117, 0, 255 },
  { 0.031f, 0, 0, 127 },
  { 0.7f, 64, 0, 127 },
};

#define N_GRIDS ((int) (sizeof grids / sizeof grids[0]))

static void
must (int err, const char *what)
{
  ck_assert_msg (err >= 0, "%s: %s", what, qk_error_message ());
}

/* ---- the formulas ------------------------------------------------------*/

static int
option (const struct layer_case *c, const char *key, int def)
{
  const char *s = c->options != NULL ? strstr (c->options, key) : NULL;

  return s != NULL ? atoi (s + strlen (key)) : def;
}

static float
real_option (const struct layer_case *c, const char *key, float def)
{
  const char *s = c->options != NULL ? strstr (c->options, key) : NULL;

  return s != NULL ? strtof (s + strlen (key), NULL) : def;
}

/* One direction: size of the window, steps, padding before and after. */
struct axis {
  int kernel, stride, dilation, before, after;
};

struct window {
  struct axis h, w;
  bool count_pad;
};

/* Bytes under a window; returns how many. */
static int
gather (const struct qk_tensor *x, const struct window *w, int64_t n,
        int64_t p, int64_t q, int64_t ch, uint8_t *out)
{
  const int64_t *d = x->shape.dims;
  int count = 0;

  for (int r = 0; r < w->h.kernel; r++)
    for (int s = 0; s < w->w.kernel; s++) {
      const int64_t y = p * w->h.stride - w->h.before + r * w->h.dilation;
      const int64_t z = q * w->w.stride - w->w.before + s * w->w.dilation;

      if (y >= 0 && y < d[1] && z >= 0 && z < d[2])
        out[count++]
          = ((uint8_t *) x->data)[((n * d[1] + y) * d[2] + z) * d[3] + ch];
    }
  return count;
}

/* Elements of a window that an average with padding divides by: those in the
 * sample and its padding. */
static int
padded_count (const struct qk_tensor *x, const struct window *w, int64_t p,
              int64_t q)
{
  const int64_t *d = x->shape.dims;
  int count = 0;

  for (int r = 0; r < w->h.kernel; r++)
    for (int s = 0; s < w->w.kernel; s++)
      count += p * w->h.stride + r < d[1] + w->h.before + w->h.after
               && q * w->w.stride + s < d[2] + w->w.before + w->w.after;
  return count;
}

static uint8_t
largest (const uint8_t *v, int count)
{
  uint8_t m = 0;

  for (int i = 0; i < count; i++)
    m = v[i] > m ? v[i] : m;
  return m;
}

/* The largest of 255 - V. */
static uint8_t
largest_of_rest (const uint8_t *v, int count)
{
  uint8_t m = 0;

  for (int i = 0; i < count; i++)
    m = 255 - v[i] > m ? (uint8_t) (255 - v[i]) : m;
  return m;
}

static uint8_t
mean (const uint8_t *v, int count, int divisor, const struct qk_qparams *q)
{
  int32_t sum = 0;

  for (int i = 0; i < count; i++)
    sum += v[i] - q->zero_point;
  return (uint8_t) qk_mean_quantized (sum, divisor, q->zero_point, q->qmin,
                                      q->qmax);
}

static void
pool_formula (const struct qk_tensor *x, const struct window *w, bool max,
              const struct qk_shape *out, uint8_t *y)
{
  const int64_t p = out->ndim == 4 ? out->dims[1] : 1;
  const int64_t q = out->ndim == 4 ? out->dims[2] : 1;
  const int64_t channels = x->shape.dims[3];
  uint8_t v[256];

  for (int64_t i = 0; i < qk_shape_count (out); i++) {
    const int64_t ch = i % channels, pixel = i / channels;
    const int count
      = gather (x, w, pixel / q / p, pixel / q % p, pixel % q, ch, v);

    y[i] = max ? largest (v, count)
               : mean (v, count,
                       w->count_pad
                         ? padded_count (x, w, pixel / q % p, pixel % q)
                         : count,
                       &x->q);
  }
}

static void
clamp_formula (const struct qk_tensor *x, float lo, float hi, uint8_t *y)
{
  int32_t qlo, qhi;

  qk_clamp_bounds (&x->q, lo, hi, &qlo, &qhi);
  for (int64_t i = 0; i < qk_shape_count (&x->shape); i++) {
    const int32_t v = ((uint8_t *) x->data)[i];

    y[i] = (uint8_t) (v < qlo ? qlo : v > qhi ? qhi : v);
  }
}

/* The integers of option KEY, "axes="; returns how many, DEF of them where it
 * is not given. */
static int
options_of (const struct layer_case *c, const char *key, int64_t *out, int n,
            int64_t def)
{
  const char *s = c->options != NULL ? strstr (c->options, key) : NULL;
  char *end;
  int count = 0;

  for (int i = 0; s == NULL && i < n; i++)
    out[i] = def;
  if (s == NULL)
    return n;
  for (s += strlen (key); count < QK_MAX_DIMS; s = end + 1) {
    out[count++] = strtoll (s, &end, 10);
    if (*end != ',')
      break;
  }
  return count;
}

/* The first element that Python's slice with START takes out of SIZE. */
static int64_t
slice_first (int64_t start, int64_t step, int64_t size)
{
  if (start < 0)
    start = start < -size ? -1 : start + size;
  if (step > 0)
    return start < 0 ? 0 : start;
  return start >= size ? size - 1 : start;
}

/* What stands at place I of an axis that was padded, found by walking. */
static int64_t
padded_place (const struct layer_case *c, int64_t i, int64_t size)
{
  const char *mode = strstr (c->options, "mode=");

  if (mode == NULL)
    return i < 0 || i >= size ? -1 : i;
  while (i < 0 || i >= size)
    if (strncmp (mode, "mode=edge", 9) == 0)
      i += i < 0 ? 1 : -1;
    else if (strncmp (mode, "mode=wrap", 9) == 0)
      i += i < 0 ? size : -size;
    else
      i = i < 0 ? -i : 2 * (size - 1) - i;
  return i;
}

/* Place of element I of axis D of the output in the input, of SIZE along that
 * axis; -1: what is filled in. */
static int64_t
place_of (const struct layer_case *c, int d, int64_t i, int64_t size)
{
  int64_t a[QK_MAX_DIMS], b[QK_MAX_DIMS];

  if (strcmp (c->layer, "slice") == 0) {
    const int n = options_of (c, "starts=", a, 0, 0);

    options_of (c, "steps=", b, n, 1);
    return slice_first (a[d - 1], b[d - 1], size) + i * b[d - 1];
  }
  if (strcmp (c->layer, "gather") == 0 && d == option (c, "axis=", 0)) {
    options_of (c, "indices=", a, 0, 0);
    return a[i];
  }
  if (strcmp (c->layer, "pad") == 0) {
    options_of (c, "before=", a, 0, 0);
    return padded_place (c, i - a[d - 1], size);
  }
  if (strcmp (c->layer, "tile") == 0 || strcmp (c->layer, "expand") == 0)
    return i % size;
  return i;
}

/* Blocks of pixels as channels, and back: where element AT of the output
 * stands in the input; the block's pixel is (i,j). */
static void
block_place (const struct layer_case *c, const struct qk_shape *in,
             const struct qk_shape *out, int64_t *at)
{
  const bool crd = strstr (c->options, "crd") != NULL;
  const bool depth = strcmp (c->layer, "depth_to_space") == 0;
  const int64_t b = option (c, "block=", 2), k = at[3];
  const int64_t channels = depth ? out->dims[3] : in->dims[3];
  const int64_t pixel = crd ? k % (b * b) : k / channels;
  const int64_t i = at[1] % b, j = at[2] % b;

  if (depth) {
    at[1] /= b;
    at[2] /= b;
    at[3] = crd ? (k * b + i) * b + j : (i * b + j) * channels + k;
  } else {
    at[1] = at[1] * b + pixel / b;
    at[2] = at[2] * b + pixel % b;
    at[3] = crd ? k / (b * b) : k % channels;
  }
}

/* The constant of gather and pad on the grid Q. */
static uint8_t
fill_of (const struct layer_case *c, const struct qk_qparams *q)
{
  const char *text = strstr (c->options, "fill=");

  if (text == NULL)
    text = strstr (c->options, "value=");
  return (uint8_t) qk_quantize (
    text != NULL ? strtof (strchr (text, '=') + 1, NULL) : 0.0f,
    1.0f / q->scale, q->zero_point, q->qmin, q->qmax);
}

/* Layers that only move bytes: y[i…] = x[place…]. */
static void
move_formula (const struct layer_case *c, const struct qk_tensor *x,
              const struct qk_shape *out, uint8_t *y)
{
  const bool permute = strcmp (c->layer, "permute") == 0;
  const bool blocks = strstr (c->layer, "_to_") != NULL;
  const uint8_t fill = fill_of (c, &x->q);
  int64_t axes[QK_MAX_DIMS];

  if (permute)
    options_of (c, "axes=", axes, 0, 0);
  for (int64_t i = 0; i < qk_shape_count (out); i++) {
    int64_t at[QK_MAX_DIMS], rest = i, from = 0;
    bool filled = false;

    for (int d = out->ndim - 1; d >= 0; rest /= out->dims[d--])
      at[permute ? axes[d] : d] = rest % out->dims[d];
    if (blocks)
      block_place (c, &x->shape, out, at);
    for (int d = 0; d < x->shape.ndim; d++) {
      const int64_t size = x->shape.dims[d];
      const int64_t p
        = permute || blocks || d == 0 ? at[d] : place_of (c, d, at[d], size);

      filled |= p < 0;
      from = from * size + p;
    }
    y[i] = filled ? fill : ((uint8_t *) x->data)[from];
  }
}

static bool
moves (const char *layer)
{
  static const char *const names[]
    = { "permute", "slice",  "gather",         "pad",
        "tile",    "expand", "depth_to_space", "space_to_depth" };

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp (layer, names[i]) == 0)
      return true;
  return false;
}

/* Where element O of OUT lies in SIZE, in double. */
static double
resize_place (const struct layer_case *c, int d, int64_t o, int64_t size,
              int64_t out)
{
  const char *scales = strstr (c->options, "scale=");
  double s = (double) out / (double) size, half;

  if (scales != NULL)
    s = strtod (d == 1 ? scales + 6 : strchr (scales, ',') + 1, NULL);
  half = ((double) o + 0.5) / s - 0.5;
  if (strstr (c->options, "asymmetric") != NULL)
    return (double) o / s;
  if (strstr (c->options, "align_corners") != NULL)
    return out == 1 ? 0 : (double) (o * (size - 1)) / (double) (out - 1);
  if (strstr (c->options, "symmetric") != NULL)
    return half + (double) size / 2 * (1 - (double) out / (s * (double) size));
  return half;
}

/* How much element K of SIZE counts at place X. */
static double
resize_share (const struct layer_case *c, double x, int64_t k, int64_t size)
{
  const bool cubic = strstr (c->options, "cubic") != NULL;
  double sum = 0;

  if (strstr (c->options, "mode=") == NULL) /* nearest */
    return k
           == (int64_t) fmin ((double) size - 1,
                              fmax (0, strstr (c->options, "floor") != NULL
                                         ? floor (x)
                                         : ceil (x - 0.5)));
  for (int64_t i = (int64_t) floor (x) - 1; i <= (int64_t) floor (x) + 2;
       i++) {
    const double t = fabs (x - (double) i);

    if ((i < 0 ? 0 : i >= size ? size - 1 : i) != k)
      continue;
    if (!cubic)
      sum += t < 1 ? 1 - t : 0;
    else
      sum += t <= 1  ? (1.25 * t - 2.25) * t * t + 1
             : t < 2 ? ((-0.75 * t + 3.75) * t - 6) * t + 3
                     : 0;
  }
  return sum;
}

/* Sums over all elements of an axis in double, which may lie on the other
 * side of a rounding, where they are near one, than the formula: the byte
 * that the layer gave then stands. */
static void
resize_formula (const struct layer_case *c, const struct qk_tensor *x,
                const struct qk_shape *out, const uint8_t *got, uint8_t *y)
{
  const int last = out->ndim - 1;
  const int64_t h = last == 3 ? x->shape.dims[1] : 1;
  const int64_t w = x->shape.dims[last - 1], ch = x->shape.dims[last];
  const int64_t p = last == 3 ? out->dims[1] : 1, q = out->dims[last - 1];

  for (int64_t i = 0; i < qk_shape_count (out); i++) {
    const int64_t n = i / ch / q / p;
    const double at_h
      = last == 3 ? resize_place (c, 1, i / ch / q % p, h, p) : 0;
    const double at_w = resize_place (c, last - 1, i / ch % q, w, q);
    double sum = 0;

    for (int64_t k = 0; k < h * w; k++)
      sum += (last == 3 ? resize_share (c, at_h, k / w, h) : 1)
             * resize_share (c, at_w, k % w, w)
             * (((uint8_t *) x->data)[(n * h * w + k) * ch + i % ch]
                - x->q.zero_point);
    y[i] = (uint8_t) fmin (x->q.qmax,
                           fmax (x->q.qmin, rint (sum) + x->q.zero_point));
    if (fabs (fabs (sum - floor (sum)) - 0.5) < 1e-4
        && abs ((int) got[i] - (int) y[i]) == 1)
      y[i] = got[i];
  }
}

/* Bits of the axes that the case names; all but the batch if none. */
static int
axes_of (const struct layer_case *c, int ndim)
{
  const char *s = strstr (c->options, "axes=");
  int axes = 0;

  if (s == NULL)
    return (1 << ndim) - 2;
  for (s += 5; *s >= '0' && *s <= '9'; s += 1 + (s[1] == ','))
    axes |= 1 << (*s - '0');
  return axes;
}

/* The output's element that element I of X goes to. */
static int64_t
reduced_to (const struct qk_shape *x, int axes, int64_t i)
{
  int64_t at = 0, step = 1;

  for (int d = x->ndim - 1; d >= 0; i /= x->dims[d], d--)
    if ((axes >> d & 1) == 0) {
      at += i % x->dims[d] * step;
      step *= x->dims[d];
    }
  return at;
}

static void
reduce_formula (const struct layer_case *c, const struct qk_tensor *x,
                const struct qk_shape *out, uint8_t *y)
{
  const int axes = axes_of (c, x->shape.ndim);
  uint8_t v[256];

  for (int64_t j = 0; j < qk_shape_count (out); j++) {
    int count = 0;

    for (int64_t i = 0; i < qk_shape_count (&x->shape); i++)
      if (reduced_to (&x->shape, axes, i) == j)
        v[count++] = ((uint8_t *) x->data)[i];
    y[j] = strstr (c->options, "op=max") ? largest (v, count)
           : strstr (c->options, "op=min")
             ? (uint8_t) (255 - largest_of_rest (v, count))
             : mean (v, count, count, &x->q);
  }
}

/* The option KEY, or else COMMON, or else DEF. */
static int
side (const struct layer_case *c, const char *key, const char *common, int def)
{
  return option (c, key, option (c, common, def));
}

static struct window
window_of (const struct layer_case *c)
{
  const int kh = side (c, "kernel_h=", "kernel=", 1);
  const int kw = side (c, "kernel_w=", "kernel=", 1);

  return (struct window){ { kh, side (c, "stride_h=", "stride=", kh),
                            side (c, "dilation_h=", "dilation=", 1),
                            side (c, "padding_top=", "padding=", 0),
                            side (c, "padding_bottom=", "padding=", 0) },
                          { kw, side (c, "stride_w=", "stride=", kw),
                            side (c, "dilation_w=", "dilation=", 1),
                            side (c, "padding_left=", "padding=", 0),
                            side (c, "padding_right=", "padding=", 0) },
                          c->options == NULL
                            || strstr (c->options, "count_pad=no") == NULL };
}

/* What the layer must give, which gave GOT; false for a layer this test does
 * not know. */
static bool
formula (const struct layer_case *c, const struct qk_tensor *x,
         const struct qk_shape *out, const uint8_t *got, uint8_t *y)
{
  struct window w = window_of (c);

  if (strcmp (c->layer, "relu") == 0)
    clamp_formula (x, 0.0f, INFINITY, y);
  else if (strcmp (c->layer, "relu6") == 0)
    clamp_formula (x, 0.0f, 6.0f, y);
  else if (strcmp (c->layer, "clip") == 0)
    clamp_formula (x, real_option (c, "min=", -INFINITY),
                   real_option (c, "max=", INFINITY), y);
  else if (strcmp (c->layer, "maxpool2d") == 0)
    pool_formula (x, &w, true, out, y);
  else if (strcmp (c->layer, "avgpool2d") == 0)
    pool_formula (x, &w, false, out, y);
  else if (strcmp (c->layer, "reduce") == 0)
    reduce_formula (c, x, out, y);
  else if (strcmp (c->layer, "global_avgpool") == 0) {
    w.h.kernel = (int) x->shape.dims[1];
    w.w.kernel = (int) x->shape.dims[2];
    pool_formula (x, &w, false, out, y);
  } else if (strcmp (c->layer, "resize") == 0)
    resize_formula (c, x, out, got, y);
  else if (moves (c->layer))
    move_formula (c, x, out, y);
  else if (strcmp (c->layer, "flatten") == 0
           || strcmp (c->layer, "reshape") == 0
           || strcmp (c->layer, "dropout") == 0)
    memcpy (y, x->data, harness_bytes (x));
  else
    return false;
  return true;
}

/* ---- forward on bytes ---------------------------------------------------*/

/* A case on u8 inputs of grid Q, filled. */
static void
open_u8 (const struct layer_case *c, const struct qk_qparams *q, int64_t n,
         unsigned flags, int threads, struct harness *h)
{
  struct harness_spec s = layer_case_spec (c, n, threads);
  struct qk_rng rng;

  for (int i = 0; i < c->n_in; i++)
    s.dtype[i] = QK_U8;
  s.q = *q;
  s.flags = flags;
  must (harness_new (ctx, &s, h), c->layer);
  qk_rng_seed (&rng, 11, (uint64_t) n);
  for (int i = 0; i < c->n_in; i++)
    harness_fill (&h->in[i], &rng, (float) q->qmin, (float) q->qmax);
  harness_fill (&h->dout, &rng, -1.0f, 1.0f);
  layer_case_fill_params (h, &rng);
}

/* Whether the case is of a layer that works on bytes without a weight. */
static bool
works_on_bytes (const struct layer_case *c)
{
  const struct harness_spec s = layer_case_spec (c, 0, 1);
  struct harness h;
  enum qk_role role;

  must (harness_new (ctx, &s, &h), c->layer);
  role = h.traits.role;
  if (role == QK_ROLE_SAME_GRID || role == QK_ROLE_CLAMP)
    ck_assert_msg (h.cls->quantized, "%s: quantized must be true", c->layer);
  harness_free (&h);
  return role == QK_ROLE_SAME_GRID || role == QK_ROLE_CLAMP;
}

static void
same_grid (const char *layer, const struct qk_qparams *a,
           const struct qk_qparams *b)
{
  ck_assert_msg (memcmp (&a->scale, &b->scale, sizeof a->scale) == 0
                   && a->zero_point == b->zero_point && a->qmin == b->qmin
                   && a->qmax == b->qmax,
                 "%s: the output's grid is not the input's", layer);
}

START_TEST (bytes_are_the_formulas)
{
  const struct layer_case *c = &layer_cases[_i];

  if (!works_on_bytes (c))
    return;
  for (int g = 0; g < N_GRIDS; g++) {
    struct harness h;
    uint8_t *want;

    open_u8 (c, &grids[g], 0, 0, 1, &h);
    want = malloc (harness_bytes (&h.out));
    must (harness_forward (&h), c->layer);
    ck_assert_msg (formula (c, &h.in[0], &h.out.shape, h.out.data, want),
                   "layer %s has no formula here", c->layer);
    same_grid (c->layer, &h.out.q, &grids[g]);
    for (size_t i = 0; i < harness_bytes (&h.out); i++)
      HOLDS (((uint8_t *) h.out.data)[i] == want[i],
             "%s (%s), grid %d: byte %zu is %d, the formula gives %d",
             c->layer, c->options != NULL ? c->options : "", g, i,
             ((uint8_t *) h.out.data)[i], want[i]);
    free (want);
    harness_free (&h);
  }
}
END_TEST

START_TEST (threads_give_the_same_bytes)
{
  const struct layer_case *c = &layer_cases[_i];
  struct harness one, three;
  const int64_t n = 40000 / (qk_shape_count (&c->in[0]) / c->in[0].dims[0]);

  if (!works_on_bytes (c))
    return;
  open_u8 (c, &grids[0], n, 0, 1, &one);
  open_u8 (c, &grids[0], n, 0, 3, &three);
  must (harness_forward (&one), c->layer);
  must (harness_forward (&three), c->layer);
  ck_assert_msg (
    memcmp (one.out.data, three.out.data, harness_bytes (&one.out)) == 0,
    "%s: 1 and 3 threads give other bytes", c->layer);
  harness_free (&one);
  harness_free (&three);
}
END_TEST

/* ---- backward with a u8 input --------------------------------------------*/

/* The gradient is that of the float layer on the dequantized input (the
 * grids used put no byte strictly between the last one below 6 and the
 * clamp's integer bound). */
START_TEST (gradients_on_bytes)
{
  const struct layer_case *c = &layer_cases[_i];
  const unsigned flags = QK_PASS_TRAIN;
  struct harness u8, f32;
  const struct harness_spec s = layer_case_spec (c, 0, 1);

  if (!works_on_bytes (c))
    return;
  open_u8 (c, &grids[0], 0, flags, 1, &u8);
  must (harness_new (ctx, &s, &f32), c->layer);
  for (int64_t i = 0; i < qk_shape_count (&u8.in[0].shape); i++)
    ((float *) f32.in[0].data)[i] = qk_dequantize (
      ((uint8_t *) u8.in[0].data)[i], grids[0].scale, grids[0].zero_point);
  memcpy (f32.dout.data, u8.dout.data, harness_bytes (&u8.dout));
  must (harness_forward (&u8), c->layer);
  must (harness_forward (&f32), c->layer);
  must (harness_backward (&u8), c->layer);
  must (harness_backward (&f32), c->layer);
  ck_assert_msg (
    memcmp (u8.din[0].data, f32.din[0].data, harness_bytes (&f32.din[0])) == 0,
    "%s: the gradient with a u8 input is another", c->layer);
  harness_free (&u8);
  harness_free (&f32);
}
END_TEST

/* Where 6 rounds down to its integer, that integer counts as clamped; where
 * the grid ends below 6, its last integer does not. */
START_TEST (relu6_at_its_bounds)
{
  const struct layer_case c
    = { .layer = "relu6", .n_in = 1, .in = { { 2, { 1, 5 } } } };
  const struct qk_qparams below = { 0.02f, 10, 0, 255 };
  const uint8_t x[2][5]
    = { { 117, 118, 216, 217, 218 }, { 10, 11, 100, 254, 255 } };
  const float want[2][5] = { { 0, 1, 1, 0, 0 }, { 0, 1, 1, 1, 1 } };

  for (int k = 0; k < 2; k++) {
    struct harness h;

    open_u8 (&c, k == 0 ? &grids[1] : &below, 0, QK_PASS_TRAIN, 1, &h);
    memcpy (h.in[0].data, x[k], 5);
    for (int i = 0; i < 5; i++)
      ((float *) h.dout.data)[i] = 1.0f;
    must (harness_forward (&h), "relu6");
    must (harness_backward (&h), "relu6");
    for (int i = 0; i < 5; i++)
      HOLDS (((float *) h.din[0].data)[i] == want[k][i],
             "grid %d, byte %d: %g", k, x[k][i],
             (double) ((float *) h.din[0].data)[i]);
    harness_free (&h);
  }
}
END_TEST

/* ---- dropout -------------------------------------------------------------*/

START_TEST (dropout_statistics)
{
  const int64_t n = 200000;
  const struct layer_case c = { .layer = "dropout",
                                .options = "p=0.3",
                                .n_in = 1,
                                .in = { { 2, { 1, n } } } };
  struct harness h, again;
  const uint8_t *x, *y;
  const float *dx, *dy;
  int64_t dropped = 0;

  open_u8 (&c, &grids[1], 0, QK_PASS_TRAIN, 1, &h);
  must (harness_forward (&h), "dropout");
  must (harness_backward (&h), "dropout");
  ck_assert (h.out.q.scale == grids[1].scale / (1.0f - 0.3f));
  ck_assert_int_eq (h.out.q.zero_point, grids[1].zero_point);
  x = h.in[0].data;
  y = h.out.data;
  dx = h.din[0].data;
  dy = h.dout.data;
  for (int64_t i = 0; i < n; i++) {
    /* a gradient tells what happened even to bytes equal to zero_point */
    const bool kept = dx[i] != 0.0f || dy[i] == 0.0f;

    HOLDS (y[i] == (kept ? x[i] : grids[1].zero_point), "byte %d is %d",
           (int) i, y[i]);
    HOLDS (dx[i] == (kept ? dy[i] * (1.0f / (1.0f - 0.3f)) : 0.0f),
           "gradient %d is %g", (int) i, (double) dx[i]);
    dropped += !kept;
  }
  /* four standard deviations of a binomial number */
  ck_assert (fabs ((double) dropped / (double) n - 0.3)
             < 4 * sqrt (0.3 * 0.7 / (double) n));
  open_u8 (&c, &grids[1], 0, QK_PASS_TRAIN, 1, &again);
  must (harness_forward (&again), "dropout");
  ck_assert (memcmp (again.out.data, y, (size_t) n) == 0);
  again.seed = 2;
  must (harness_forward (&again), "dropout");
  ck_assert (memcmp (again.out.data, y, (size_t) n) != 0);
  harness_free (&again);
  harness_free (&h);
}
END_TEST

/* ---- lowered ---------------------------------------------------------*/

/* Run the op on backend NAME; false where it does not run here or does not
 * promise these bytes. */
static bool
run_backend (const char *name, const struct qk_op *op,
             const struct qk_shape *in, const struct qk_tensor *x,
             struct qk_tensor *out)
{
  const struct qk_backend_class *b;
  const struct qk_class *cls;
  const void *data[QK_OP_MAX_INPUTS];
  void *self, *kernel, *scratch;
  struct qk_backend_caps caps;
  struct qk_config *cfg;
  size_t size;

  must (qk_context_class (ctx, QK_KIND_BACKEND, name, &cls), name);
  b = (const struct qk_backend_class *) (const void *) cls;
  if (b->probe (&caps) < 0 || !caps.exact)
    return false;
  must (qk_config_parse (cls->options, "", "test", &cfg), name);
  must (b->create (cfg, 2, &self), name);
  qk_config_free (cfg);
  must (b->supports (self, op, in, &out->shape), op->name);
  must (b->prepare (self, op, in, &out->shape, &kernel, &size), op->name);
  scratch = qk_alloc (size + 1);
  for (int i = 0; i < op->n_in; i++)
    data[i] = x[i].data;
  memset (out->data, 0xa5, harness_bytes (out));
  b->run (self, kernel, in[0].dims[0], data, out->data, scratch);
  qk_free (scratch);
  b->release (self, kernel);
  b->destroy (self);
  return true;
}

/* The layer's own answer in bytes: directly, or through float and
 * qk_quantize, as the library runs it. */
static void
layer_bytes (const struct layer_case *c, struct harness *h,
             const struct qk_qparams *q, struct qk_tensor *out)
{
  struct harness_spec s = layer_case_spec (c, 0, 1);
  const float inv = 1.0f / q->scale;
  struct harness f;

  if (h->cls->quantized) {
    must (harness_forward (h), c->layer);
    memcpy (out->data, h->out.data, harness_bytes (out));
    return;
  }
  s.flags = 0;
  must (harness_new (ctx, &s, &f), c->layer);
  for (int k = 0; k < c->n_in; k++)
    for (int64_t i = 0; i < qk_shape_count (&f.in[k].shape); i++)
      ((float *) f.in[k].data)[i]
        = qk_dequantize (((uint8_t *) h->in[k].data)[i], h->in[k].q.scale,
                         h->in[k].q.zero_point);
  must (harness_forward (&f), c->layer);
  for (int64_t i = 0; i < qk_shape_count (&f.out.shape); i++)
    ((uint8_t *) out->data)[i] = (uint8_t) qk_quantize (
      ((float *) f.out.data)[i], inv, q->zero_point, q->qmin, q->qmax);
  harness_free (&f);
}

/* Weighted layers have tests of their own with quantizers. */
static void
check_lowered (const struct layer_case *c, const struct qk_qparams *in_q,
               const struct qk_qparams *out_q)
{
  struct qk_op op
    = { .struct_size = sizeof op, .name = c->layer, .n_in = c->n_in };
  struct qk_shape in[QK_OP_MAX_INPUTS];
  struct qk_tensor want, got;
  struct qk_layer_io io;
  struct harness h;
  char **names;
  int tried = 0;

  open_u8 (c, in_q, 0, 0, 1, &h);
  for (int i = 1; i < c->n_in; i++)
    h.in[i].q = grids[i % N_GRIDS]; /* inputs need not share a grid */
  for (int i = 0; i < c->n_in; i++) {
    in[i] = h.in[i].shape;
    op.in_q[i] = h.in[i].q;
  }
  h.out.q = h.cls->quantized ? *in_q : *out_q;
  op.out_q = h.out.q;
  must (harness_tensor (&want, QK_U8, &h.out.shape), "memory");
  must (harness_tensor (&got, QK_U8, &h.out.shape), "memory");
  layer_bytes (c, &h, &h.out.q, &want);
  io = h.io;
  must (h.cls->lower (h.self, &io, &op), c->layer);
  must (qk_context_list (ctx, QK_KIND_BACKEND, &names), "backends");
  for (int k = 0; names[k] != NULL; k++) {
    if (!run_backend (names[k], &op, in, h.in, &got))
      continue;
    tried++;
    for (size_t i = 0; i < harness_bytes (&got); i++)
      HOLDS (((uint8_t *) got.data)[i] == ((uint8_t *) want.data)[i],
             "%s (%s): byte %zu is %d in training, %d on %s", c->layer,
             c->options != NULL ? c->options : "", i,
             ((uint8_t *) want.data)[i], ((uint8_t *) got.data)[i], names[k]);
  }
  ck_assert_int_ge (tried, 2);
  qk_names_free (names);
  qk_op_free_arrays (&op);
  harness_tensor_free (&want);
  harness_tensor_free (&got);
  harness_free (&h);
}

START_TEST (lowered_gives_the_same_bytes)
{
  const struct layer_case *c = &layer_cases[_i];
  const struct harness_spec s = layer_case_spec (c, 0, 1);
  struct harness h;
  bool lowers;

  must (harness_new (ctx, &s, &h), c->layer);
  lowers = h.cls->lower != NULL && h.traits.role != QK_ROLE_WEIGHTED;
  ck_assert_msg (h.cls->lower != NULL || h.traits.role == QK_ROLE_BATCHNORM,
                 "%s: does not lower to an int8 op", c->layer);
  harness_free (&h);
  for (int g = 0; g < N_GRIDS && lowers; g++)
    check_lowered (c, &grids[g], &grids[(g + 1) % N_GRIDS]);
}
END_TEST

/* ---- batch-norm on its own -------------------------------------------*/

/* What the float layer F, on the real numbers of U's bytes, lets through U's
 * output grid: its result, and in F's dout where that was not limited. */
static void
float_twin (struct harness *u, struct harness *f)
{
  const struct qk_qparams *in = &u->in[0].q, *out = &u->out.q;
  const int64_t n = qk_shape_count (&u->in[0].shape);

  for (int64_t i = 0; i < n; i++)
    ((float *) f->in[0].data)[i] = qk_dequantize (
      ((uint8_t *) u->in[0].data)[i], in->scale, in->zero_point);
  for (int i = 0; i < u->n_params; i++)
    memcpy (f->param[i].data, u->param[i].data, harness_bytes (&u->param[i]));
  must (harness_forward (f), "float");
  for (int64_t i = 0; i < n; i++)
    ((float *) f->dout.data)[i]
      = ((float *) u->dout.data)[i]
        * qk_ste_mask (((float *) f->out.data)[i], 1.0f / out->scale,
                       out->zero_point, out->qmin, out->qmax);
  must (harness_backward (f), "float");
}

static void
near (const struct layer_case *c, const char *what, const struct qk_tensor *a,
      const struct qk_tensor *b)
{
  for (int64_t i = 0; i < qk_shape_count (&a->shape); i++) {
    const double x = (double) ((float *) a->data)[i];
    const double y = (double) ((float *) b->data)[i];

    HOLDS (fabs (x - y) <= 1e-4 * fmax (1, fabs (y)),
           "%s: %s[%lld] is %g on bytes, %g in float", c->layer, what,
           (long long) i, x, y);
  }
}

/* Results within half a step (and what rounding the bias adds) of the float
 * layer's, and its gradients. */
START_TEST (batchnorm_on_bytes)
{
  const struct layer_case *c = &layer_cases[_i];
  const struct qk_qparams out = { 0.017f, 120, 0, 255 };
  const unsigned flags = c->flags | QK_PASS_TRAIN;
  struct harness_spec s = layer_case_spec (c, 0, 1);
  struct harness u, f;

  if (strcmp (c->layer, "batchnorm2d") != 0)
    return;
  open_u8 (c, &grids[1], 0, flags, 1, &u);
  must (harness_new (ctx, &s, &f), c->layer);
  u.out.q = out;
  float_twin (&u, &f);
  must (harness_forward (&u), c->layer);
  must (harness_backward (&u), c->layer);
  for (int64_t i = 0; i < qk_shape_count (&u.out.shape); i++) {
    const double y = (double) ((float *) f.out.data)[i];
    const double want = fmax (0, fmin (255, y / (double) out.scale + 120));

    HOLDS (fabs (((uint8_t *) u.out.data)[i] - want) <= 0.55,
           "byte %lld is %d, expected %g", (long long) i,
           ((uint8_t *) u.out.data)[i], want);
  }
  near (c, "dx", &u.din[0], &f.din[0]);
  near (c, "dweight", &u.dparam[QK_BN_GAMMA], &f.dparam[QK_BN_GAMMA]);
  near (c, "dbias", &u.dparam[QK_BN_BETA], &f.dparam[QK_BN_BETA]);
  near (c, "running_mean", &u.param[QK_BN_MEAN], &f.param[QK_BN_MEAN]);
  near (c, "running_var", &u.param[QK_BN_VAR], &f.param[QK_BN_VAR]);
  harness_free (&u);
  harness_free (&f);
}
END_TEST

/* Factors of 0 and summands that are large beside them. */
START_TEST (batchnorm_with_small_factors)
{
  const struct layer_case c
    = { .layer = "batchnorm2d", .n_in = 1, .in = { { 2, { 3, 4 } } } };
  const struct qk_qparams out = { 0.5f, 100, 0, 255 };
  const float gamma[4] = { 0.0f, 0.0f, 1e-9f, 1e-30f };
  const float beta[4] = { 0.0f, 30.2f, 40.3f, -30.0f };
  const uint8_t want[4] = { 100, 160, 181, 40 };
  struct qk_op op = { .struct_size = sizeof op, .name = "bn", .n_in = 1 };
  struct harness h;

  open_u8 (&c, &grids[0], 0, 0, 1, &h);
  h.out.q = out;
  memcpy (h.param[QK_BN_GAMMA].data, gamma, sizeof gamma);
  memcpy (h.param[QK_BN_BETA].data, beta, sizeof beta);
  must (harness_forward (&h), c.layer);
  for (int i = 0; i < 12; i++)
    ck_assert_int_eq (((uint8_t *) h.out.data)[i], want[i % 4]);
  op.in_q[0] = h.in[0].q;
  op.out_q = out;
  must (h.cls->lower (h.self, &h.io, &op), c.layer);
  must (qk_op_check_node (&op, &h.in[0].shape, &h.out.shape), c.layer);
  ck_assert_int_eq (op.weight[0], 0);
  ck_assert_int_lt (abs (op.weight[2]), 127);
  ck_assert_int_le (abs (op.bias[2]), 1 << 30);
  qk_op_free_arrays (&op);
  harness_free (&h);
}
END_TEST

/* ---- errors ----------------------------------------------------------*/

START_TEST (no_way_from_bytes_to_float)
{
  const struct layer_case *c = &layer_cases[_i];
  struct qk_tensor wide;
  struct harness h;

  if (!works_on_bytes (c))
    return;
  open_u8 (c, &grids[0], 0, 0, 1, &h);
  must (harness_tensor (&wide, QK_F32, &h.out.shape), "memory");
  h.io.out = &wide;
  ck_assert_int_eq (h.cls->forward (h.self, &h.io), -ENOTSUP);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "u8 to f32"));
  harness_tensor_free (&wide);
  harness_free (&h);
}
END_TEST

START_TEST (averages_stay_exact)
{
  const struct layer_case big = { .layer = "global_avgpool",
                                  .n_in = 1,
                                  .in = { { 4, { 1, 300, 300, 1 } } } };
  struct harness_spec s = layer_case_spec (&big, 0, 1);
  struct harness h;

  s.dtype[0] = QK_U8;
  s.q = grids[0];
  ck_assert_int_eq (harness_new (ctx, &s, &h), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "300 x 300"));
  harness_free (&h);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("layers-int8");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_add_loop_test (t, bytes_are_the_formulas, 0, n_layer_cases);
  tcase_add_loop_test (t, threads_give_the_same_bytes, 0, n_layer_cases);
  tcase_add_loop_test (t, gradients_on_bytes, 0, n_layer_cases);
  tcase_add_loop_test (t, lowered_gives_the_same_bytes, 0, n_layer_cases);
  tcase_add_loop_test (t, no_way_from_bytes_to_float, 0, n_layer_cases);
  tcase_add_loop_test (t, batchnorm_on_bytes, 0, n_layer_cases);
  tcase_add_test (t, batchnorm_with_small_factors);
  tcase_add_test (t, relu6_at_its_bounds);
  tcase_add_test (t, dropout_statistics);
  tcase_add_test (t, averages_stay_exact);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
