/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* slice: every step-th element of each axis from start up to but without
 * end, as NumPy's x[:, start:end:step, …]: negative starts and ends count
 * from the end, what lies outside is clamped, steps may be negative. */
#include "config.h"

#include <stdlib.h>

#include "intlist/intlist.h"
#include "move/gatherlayer.h"

struct slice {
  struct gatherlayer base;
  int n; /* axes but the batch */
  int64_t start[QK_MAX_DIMS], end[QK_MAX_DIMS], step[QK_MAX_DIMS];
};

static int
slice_check (const struct gatherlayer *base, const struct qk_shape *in)
{
  const struct slice *l = (const struct slice *) base;
  char a[96];

  if (in->ndim - 1 == l->n)
    return 0;
  return qk_error (-EINVAL,
                   "slice: %d starts for the input %s, expected one for each "
                   "axis but the batch",
                   l->n, qk_shape_print (in, a, sizeof a));
}

static int64_t
clamp (int64_t x, int64_t lo, int64_t hi)
{
  return x < lo ? lo : x > hi ? hi : x;
}

/* Bound I of SIZE elements, counted from the front; LO and HI: the smallest
 * and the largest. */
static int64_t
bound (int64_t i, int64_t size, int64_t lo, int64_t hi)
{
  return clamp (i < 0 ? (i < -size ? lo : i + size) : i, lo, hi);
}

/* The first element along axis D, and how many there are. */
static int64_t
elements (const struct slice *l, int d, int64_t size, int64_t *first)
{
  const int64_t step = l->step[d - 1];
  const int64_t lo = step < 0 ? -1 : 0, hi = step < 0 ? size - 1 : size;
  const int64_t start = bound (l->start[d - 1], size, lo, hi);
  const int64_t end = bound (l->end[d - 1], size, lo, hi);

  *first = start;
  if (step > 0)
    return end > start ? (end - start - 1) / step + 1 : 0;
  return start > end ? (start - end - 1) / -step + 1 : 0;
}

static int64_t
slice_size (const struct gatherlayer *base, int d, int64_t size)
{
  int64_t first;

  return elements ((const struct slice *) base, d, size, &first);
}

static void
slice_places (const struct gatherlayer *base, int d, int64_t size, int64_t out,
              int32_t *place)
{
  const struct slice *l = (const struct slice *) base;
  int64_t first;

  elements (l, d, size, &first);
  for (int64_t i = 0; i < out; i++)
    place[i] = (int32_t) (first + i * l->step[d - 1]);
}

static const struct gatherlayer_kind slice_kind
  = { "slice", slice_check, slice_size, slice_places };

static int
read_options (struct slice *l, const struct qk_config *cfg)
{
  int ends, steps;

  l->n = intlist_read ("slice", cfg, "starts", l->start, QK_MAX_DIMS - 1);
  if (l->n < 0)
    return l->n;
  ends = intlist_read ("slice", cfg, "ends", l->end, QK_MAX_DIMS - 1);
  if (ends < 0)
    return ends;
  steps = intlist_read ("slice", cfg, "steps", l->step, QK_MAX_DIMS - 1);
  if (steps < 0)
    return steps;
  if (ends != l->n || (steps != l->n && steps != 0))
    return qk_error (-EINVAL,
                     "slice: %d starts, %d ends and %d steps, expected as "
                     "many of each",
                     l->n, ends, steps);
  for (int i = 0; i < l->n; i++) {
    l->step[i] = steps == 0 ? 1 : l->step[i];
    if (l->step[i] == 0)
      return qk_error (-EINVAL, "slice: step %d is 0", i);
    l->step[i] = clamp (l->step[i], -INT32_MAX, INT32_MAX);
  }
  return 0;
}

static int
create (const struct qk_config *cfg, void **self)
{
  struct slice *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("slice");
  l->base.kind = &slice_kind;
  if ((r = read_options (l, cfg)) < 0) {
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static void
destroy (void *self)
{
  gatherlayer_destroy (self);
}

static const struct qk_option options[]
  = { { .name = "starts",
        .type = QK_OPT_STRING,
        .help = "First element along each axis but the batch, \"0,-2,1\"; "
                "negative: from the end." },
      { .name = "ends",
        .type = QK_OPT_STRING,
        .help = "The element after the last along each axis; negative: from "
                "the end; beyond it: all." },
      { .name = "steps",
        .type = QK_OPT_STRING,
        .def = "",
        .help = "From one element to the next along each axis, negative: "
                "backwards; 1 where none are given." },
      { .name = NULL } };

static const struct qk_layer_class slice = GATHERLAYER_CLASS (
  "slice", "Parts of samples, every so many elements", options);

QK_PLUGIN ("slice", PACKAGE_VERSION, "LGPL-2.1-or-later", &slice.cls);
