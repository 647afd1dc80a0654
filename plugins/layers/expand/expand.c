/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* expand: axes of size 1 repeated to a size, as broadcasting does. */
#include "config.h"

#include <stdlib.h>

#include "intlist/intlist.h"
#include "move/gatherlayer.h"

struct expand {
  struct gatherlayer base;
  int n; /* axes but the batch */
  int64_t dims[QK_MAX_DIMS];
};

static int
expand_check (const struct gatherlayer *base, const struct qk_shape *in)
{
  const struct expand *l = (const struct expand *) base;
  char a[96];

  if (in->ndim - 1 != l->n)
    return qk_error (-EINVAL,
                     "expand: %d dimensions in shape for the input %s, "
                     "expected one for each axis but the batch",
                     l->n, qk_shape_print (in, a, sizeof a));
  for (int d = 1; d <= l->n; d++)
    if (in->dims[d] != 1 && l->dims[d - 1] != in->dims[d]
        && l->dims[d - 1] != 1 && l->dims[d - 1] != -1)
      return qk_error (-EINVAL,
                       "expand: axis %d of the input %s cannot become %lld, "
                       "only what has size 1 is repeated",
                       d, qk_shape_print (in, a, sizeof a),
                       (long long) l->dims[d - 1]);
  return 0;
}

static int64_t
expand_size (const struct gatherlayer *base, int d, int64_t size)
{
  const int64_t wanted = ((const struct expand *) base)->dims[d - 1];

  return size != 1 || wanted == -1 ? size : wanted;
}

static void
expand_places (const struct gatherlayer *base, int d, int64_t size,
               int64_t out, int32_t *place)
{
  (void) base;
  (void) d;
  for (int64_t i = 0; i < out; i++)
    place[i] = (int32_t) (size == 1 ? 0 : i);
}

static const struct gatherlayer_kind expand_kind
  = { "expand", expand_check, expand_size, expand_places };

static int
create (const struct qk_config *cfg, void **self)
{
  struct expand *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("expand");
  l->base.kind = &expand_kind;
  r = l->n = intlist_read ("expand", cfg, "shape", l->dims, QK_MAX_DIMS - 1);
  for (int i = 0; r >= 0 && i < l->n; i++)
    if (l->dims[i] < -1 || l->dims[i] == 0)
      r = qk_error (-EINVAL,
                    "expand: dimension %d of shape is %lld, expected 1 or "
                    "more, or -1",
                    i, (long long) l->dims[i]);
  if (r < 0) {
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
  = { { .name = "shape",
        .type = QK_OPT_STRING,
        .help = "Dimensions of a sample without the batch, \"7,7,64\"; 1 and "
                "-1: that of the input." },
      { .name = NULL } };

static const struct qk_layer_class expand
  = GATHERLAYER_CLASS ("expand", "Axes of size 1 repeated to a size", options);

QK_PLUGIN ("expand", PACKAGE_VERSION, "LGPL-2.1-or-later", &expand.cls);
