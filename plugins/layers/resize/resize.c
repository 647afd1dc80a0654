/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resize: samples (N,H,W,C) or (N,L,C) of another height and width.
 *
 * Element o of an axis lies at a place of the input that coords says: with
 * the scale s (output by input),
 *   half_pixel            (o + 0.5) / s - 0.5
 *   pytorch_half_pixel    the same, 0 where the output has one element
 *   half_pixel_symmetric  the same, moved by what a fraction of an element
 *                         that s leaves over would move the centre
 *   asymmetric            o / s
 *   align_corners         o (in - 1) / (out - 1)
 * and is the nearest element, or a sum of those around: with linear of two,
 * as they are near, with cubic of four (Keys 1981, a = -0.75), along each
 * axis.  What lies outside is the first or last element.  As the Resize of
 * ONNX and PyTorch's interpolate; in float32 as these, since in nearest a
 * rounding may decide. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "intlist/intlist.h"
#include "move/gatherlayer.h"
#include "move/resample.h"

enum mode { NEAREST, LINEAR, CUBIC };

enum coords {
  HALF_PIXEL,
  ASYMMETRIC,
  ALIGN_CORNERS,
  PYTORCH_HALF_PIXEL,
  HALF_PIXEL_SYMMETRIC
};

enum nearest { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };

struct resize {
  struct gatherlayer base; /* nearest moves elements and nothing else */
  enum mode mode;
  enum coords coords;
  enum nearest nearest;
  int n; /* axes that change: the first after the batch */
  int64_t size[2];
  int n_scale;
  float scale[2];
  /* linear and cubic, from infer on */
  int taps;
  int64_t places;
  int32_t *place;
  float *share;
  struct resample plan;
};

static const char *const modes[] = { "nearest", "linear", "cubic", NULL };
static const char *const coords[]
  = { "half_pixel",         "asymmetric",           "align_corners",
      "pytorch_half_pixel", "half_pixel_symmetric", NULL };
static const char *const nearests[]
  = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL };

/* ---- places ------------------------------------------------------------ */

/* Where element O of OUT lies along axis D, counted with the batch, of SIZE
 * elements. */
static float
place_of (const struct resize *l, int d, int64_t o, int64_t size, int64_t out)
{
  const bool given = l->n_scale > 0;
  const float scale = given ? l->scale[d - 1] : (float) out / (float) size;
  /* PyTorch multiplies by what it computes, others divide by what they read */
  const float ratio = (float) size / (float) out;
  const float at = (float) o + 0.5f;
  float half = (given ? at / scale : at * ratio) - 0.5f;

  switch (l->coords) {
  case ASYMMETRIC:
    return given ? (float) o / scale : (float) o * ratio;
  case ALIGN_CORNERS:
    return out > 1 ? (float) (o * (size - 1)) / (float) (out - 1) : 0.0f;
  case PYTORCH_HALF_PIXEL:
    return out > 1 ? half : 0.0f;
  case HALF_PIXEL_SYMMETRIC:
    return half
           + (float) size / 2.0f
               * (1.0f - (float) out / (scale * (float) size));
  default:
    return half;
  }
}

static int64_t
clamp (int64_t i, int64_t size)
{
  return i < 0 ? 0 : i < size ? i : size - 1;
}

/* Rounded as the option nearest says; X is between -2^31 and 2^31. */
static int64_t
round_place (enum nearest how, float x)
{
  switch (how) {
  case ROUND_PREFER_FLOOR:
    return (int64_t) ceilf (x - 0.5f);
  case ROUND_PREFER_CEIL:
    return (int64_t) floorf (x + 0.5f);
  case FLOOR:
    return (int64_t) floorf (x);
  default:
    return (int64_t) ceilf (x);
  }
}

/* What lies outside by more than a few elements is the first or last one. */
static float
within (float x, int64_t size)
{
  x = x > -4.0f ? x : -4.0f;
  return x < (float) size + 4.0f ? x : (float) size + 4.0f;
}

static bool
changes (const struct resize *l, int d)
{
  return d <= l->n;
}

static void
nearest_places (const struct gatherlayer *base, int d, int64_t size,
                int64_t out, int32_t *place)
{
  const struct resize *l = (const struct resize *) base;

  for (int64_t i = 0; i < out; i++) {
    const float x = changes (l, d) ? place_of (l, d, i, size, out) : 0;

    place[i]
      = (int32_t) (changes (l, d)
                     ? clamp (round_place (l->nearest, within (x, size)), size)
                     : i);
  }
}

/* The two elements around X and their shares. */
static void
linear_taps (float x, int64_t size, int32_t *place, float *share)
{
  int64_t i;

  x = x > 0.0f ? x : 0.0f;
  x = x < (float) (size - 1) ? x : (float) (size - 1);
  i = (int64_t) floorf (x);
  place[0] = (int32_t) i;
  place[1] = (int32_t) clamp (i + 1, size);
  share[1] = x - (float) i;
  share[0] = 1.0f - share[1];
}

/* Keys' kernel at a distance of up to 1, and of 1 to 2. */
static float
near_share (float x)
{
  const float a = -0.75f;

  return ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
}

static float
far_share (float x)
{
  const float a = -0.75f;

  return ((a * x - 5.0f * a) * x + 8.0f * a) * x - 4.0f * a;
}

static void
cubic_taps (float x, int64_t size, int32_t *place, float *share)
{
  const float below = floorf (within (x, size));
  const float f = within (x, size) - below;

  for (int i = 0; i < 4; i++)
    place[i] = (int32_t) clamp ((int64_t) below + i - 1, size);
  share[0] = far_share (f + 1.0f);
  share[1] = near_share (f);
  share[2] = near_share (1.0f - f);
  share[3] = far_share (2.0f - f);
}

/* ---- shapes ------------------------------------------------------------ */

static int
check (const struct gatherlayer *base, const struct qk_shape *in)
{
  const struct resize *l = (const struct resize *) base;
  char a[96];

  if (in->ndim == l->n + 2)
    return 0;
  return qk_error (-EINVAL,
                   "resize: %d numbers in size for the input %s, expected "
                   "one for each axis but the batch and the channels",
                   l->n, qk_shape_print (in, a, sizeof a));
}

static int64_t
size_of (const struct gatherlayer *base, int d, int64_t size)
{
  const struct resize *l = (const struct resize *) base;

  return changes (l, d) ? l->size[d - 1] : size;
}

static const struct gatherlayer_kind resize_kind
  = { "resize", check, size_of, nearest_places };

/* The taps of all elements along the axes that change. */
static int
make_taps (struct resize *l, const struct qk_shape *in,
           const struct qk_shape *out)
{
  int64_t at = 0;

  free (l->place);
  free (l->share);
  l->taps = l->mode == LINEAR ? 2 : 4;
  l->places = 0;
  for (int d = 1; d <= l->n; d++)
    l->places += out->dims[d] * l->taps;
  l->place = malloc ((size_t) l->places * sizeof *l->place);
  l->share = malloc ((size_t) l->places * sizeof *l->share);
  if (l->place == NULL || l->share == NULL)
    return qk_oom ("resize");
  for (int d = 1; d <= l->n; d++)
    for (int64_t i = 0; i < out->dims[d]; i++, at += l->taps) {
      const int64_t size = in->dims[d];
      const float x = place_of (l, d, i, size, out->dims[d]);

      if (l->mode == LINEAR)
        linear_taps (x, size, l->place + at, l->share + at);
      else
        cubic_taps (x, size, l->place + at, l->share + at);
    }
  resample_plan (l->taps, l->place, l->share, in, out, &l->plan);
  return 0;
}

static int
resize_infer (void *self, const struct qk_shape *in, int n_in,
              struct qk_shape *out)
{
  struct resize *l = self;
  char a[96];
  int r;

  if (l->mode == NEAREST)
    return gatherlayer_infer (self, in, n_in, out);
  if (n_in != 1)
    return qk_error (-EINVAL, "resize: takes 1 input, got %d", n_in);
  if ((r = check (&l->base, in)) < 0)
    return r;
  *out = *in;
  for (int d = 1; d <= l->n; d++)
    if (in->dims[d] > INT32_MAX / 2)
      return qk_error (-EINVAL, "resize: the input %s is too large",
                       qk_shape_print (in, a, sizeof a));
    else
      out->dims[d] = l->size[d - 1];
  if (qk_shape_count (out) < 0)
    return qk_error (-EINVAL, "resize: the output %s is too large",
                     qk_shape_print (out, a, sizeof a));
  return make_taps (l, in, out);
}

/* ---- options ----------------------------------------------------------- */

static int
find (const char *const *names, const char *name)
{
  int i = 0;

  while (strcmp (names[i], name) != 0)
    i++;
  return i;
}

static int
read_options (struct resize *l, const struct qk_config *cfg)
{
  l->mode = (enum mode) find (modes, qk_config_string (cfg, "mode"));
  l->coords = (enum coords) find (coords, qk_config_string (cfg, "coords"));
  l->nearest
    = (enum nearest) find (nearests, qk_config_string (cfg, "nearest"));
  if ((l->n = intlist_read ("resize", cfg, "size", l->size, 2)) < 0)
    return l->n;
  for (int i = 0; i < l->n; i++)
    if (l->size[i] < 1 || l->size[i] > 1 << 20)
      return qk_error (-EINVAL,
                       "resize: entry %d of size is %lld, expected 1 to %d", i,
                       (long long) l->size[i], 1 << 20);
  l->n_scale = qk_config_floats (cfg, "scale", l->scale, 2);
  if (l->n < 1 || (l->n_scale != 0 && l->n_scale != l->n))
    return qk_error (-EINVAL,
                     "resize: %d numbers in size and %d in scale, expected "
                     "as many, 1 or 2",
                     l->n, l->n_scale);
  return 0;
}

static int
resize_create (const struct qk_config *cfg, void **self)
{
  struct resize *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("resize");
  l->base.kind = &resize_kind;
  if ((r = read_options (l, cfg)) < 0) {
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static void
resize_destroy (void *self)
{
  struct resize *l = self;

  if (l != NULL) {
    free (l->place);
    free (l->share);
  }
  gatherlayer_destroy (self);
}

static void
resize_describe (void *self, struct qk_layer_traits *out)
{
  const struct resize *l = self;

  gatherlayer_describe (self, out);
  if (l->mode != NEAREST)
    out->macs
      = l->plan.p * l->plan.q * l->plan.c * l->plan.rows * (l->plan.cols + 1);
}

/* ---- passes ------------------------------------------------------------ */

static int
resize_forward (void *self, struct qk_layer_io *io)
{
  const struct resize *l = self;
  const struct qk_tensor *in = &io->in[0];
  const int64_t n = in->shape.dims[0];

  if (l->mode == NEAREST)
    return gatherlayer_forward (self, io);
  if (in->dtype != io->out->dtype
      || (in->dtype != QK_U8 && in->dtype != QK_F32))
    return qk_error (-ENOTSUP, "resize: cannot go from %s to %s",
                     qk_dtype_name (in->dtype),
                     qk_dtype_name (io->out->dtype));
  io->out->q = in->q;
  if (in->dtype == QK_U8)
    resample_u8 (&l->plan, n, in->data, io->out->data, in->q.zero_point,
                 in->q.qmin, in->q.qmax, io->threads);
  else
    resample_f32 (&l->plan, n, in->data, io->out->data, io->threads);
  return 0;
}

static int
resize_backward (void *self, struct qk_layer_io *io)
{
  const struct resize *l = self;

  if (l->mode == NEAREST)
    return gatherlayer_backward (self, io);
  if (io->din[0].data != NULL)
    resample_add (&l->plan, io->dout->shape.dims[0], io->dout->data,
                  io->din[0].data, io->threads);
  return 0;
}

static int
resize_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct resize *l = self;
  int32_t *place;
  float *share;

  if (l->mode == NEAREST)
    return gatherlayer_lower (self, io, op);
  place = qk_alloc ((size_t) l->places * sizeof *place);
  share = qk_alloc ((size_t) l->places * sizeof *share);
  op->place = place;
  op->share = share;
  op->kind = QK_OP_RESIZE;
  if (place == NULL || share == NULL)
    return qk_oom ("resize");
  memcpy (place, l->place, (size_t) l->places * sizeof *place);
  memcpy (share, l->share, (size_t) l->places * sizeof *share);
  op->places = l->places;
  op->taps = l->taps;
  op->lo = io->in[0].q.qmin;
  op->hi = io->in[0].q.qmax;
  return 0;
}

static const struct qk_option options[]
  = { { .name = "size",
        .type = QK_OPT_STRING,
        .help = "Height and width of the output, \"14,14\"; of (N,L,C) its "
                "length." },
      { .name = "mode",
        .type = QK_OPT_CHOICE,
        .def = "nearest",
        .choices = modes,
        .help = "The nearest element, or a sum of two or four along each "
                "axis." },
      { .name = "coords",
        .type = QK_OPT_CHOICE,
        .def = "half_pixel",
        .choices = coords,
        .help = "Where elements of the output lie in the input; asymmetric "
                "is what PyTorch's mode nearest does." },
      { .name = "nearest",
        .type = QK_OPT_CHOICE,
        .def = "round_prefer_floor",
        .choices = nearests,
        .help = "How a place between elements is rounded with mode=nearest." },
      { .name = "scale",
        .type = QK_OPT_FLOATS,
        .def = "",
        .min = 1e-6,
        .max = 1e6,
        .help = "Output by input along each axis, where it is not the ratio "
                "of their sizes." },
      { .name = NULL } };

static const struct qk_layer_class resize = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "resize",
                   "Samples of another height and width", options),
  .create = resize_create,
  .destroy = resize_destroy,
  .infer = resize_infer,
  .describe = resize_describe,
  .setup = gatherlayer_setup,
  .forward = resize_forward,
  .backward = resize_backward,
  .quantized = true,
  .lower = resize_lower,
  .geometry = resize_lower,
};

QK_PLUGIN ("resize", PACKAGE_VERSION, "LGPL-2.1-or-later", &resize.cls);
