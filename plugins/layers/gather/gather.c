/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gather: the elements at constant indices along one axis, in that order and
 * as often as they are named; index -1 stands for a constant. */
#include "config.h"

#include <stdlib.h>

#include "intlist/intlist.h"
#include "move/gatherlayer.h"

struct picks {
  struct gatherlayer base;
  int axis;
  int n;
  int64_t *index;
};

static int
picks_check (const struct gatherlayer *base, const struct qk_shape *in)
{
  const struct picks *l = (const struct picks *) base;
  char a[96];

  if (l->axis >= in->ndim)
    return qk_error (-EINVAL, "gather: axis=%d of the input %s", l->axis,
                     qk_shape_print (in, a, sizeof a));
  for (int i = 0; i < l->n; i++)
    if (l->index[i] < -1 || l->index[i] >= in->dims[l->axis])
      return qk_error (-EINVAL,
                       "gather: entry %d of indices is %lld, expected -1 to "
                       "%lld",
                       i, (long long) l->index[i],
                       (long long) in->dims[l->axis] - 1);
  return 0;
}

static int64_t
picks_size (const struct gatherlayer *base, int d, int64_t size)
{
  const struct picks *l = (const struct picks *) base;

  return d == l->axis ? l->n : size;
}

static void
picks_places (const struct gatherlayer *base, int d, int64_t size, int64_t out,
              int32_t *place)
{
  const struct picks *l = (const struct picks *) base;

  (void) size;
  for (int64_t i = 0; i < out; i++)
    place[i] = (int32_t) (d == l->axis ? l->index[i] : i);
}

static const struct gatherlayer_kind picks_kind
  = { "gather", picks_check, picks_size, picks_places };

static int
create (const struct qk_config *cfg, void **self)
{
  struct picks *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("gather");
  l->base.kind = &picks_kind;
  l->base.fill = (float) qk_config_float (cfg, "fill");
  l->axis = (int) qk_config_int (cfg, "axis");
  if ((r = l->n = intlist_new ("gather", cfg, "indices", &l->index)) < 0) {
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static void
destroy (void *self)
{
  struct picks *l = self;

  if (l != NULL)
    free (l->index);
  gatherlayer_destroy (self);
}

static const struct qk_option options[]
  = { { .name = "axis",
        .type = QK_OPT_INT,
        .min = 1,
        .max = QK_MAX_DIMS - 1,
        .help = "Axis the indices are of, counted with the batch, which is "
                "0." },
      { .name = "indices",
        .type = QK_OPT_STRING,
        .help = "Indices along the axis, \"3,1,2,2\"; -1 stands for fill." },
      { .name = "fill",
        .type = QK_OPT_FLOAT,
        .def = "0",
        .help = "Number at index -1; on quantized tensors the nearest one of "
                "the grid." },
      { .name = NULL } };

static const struct qk_layer_class picks = GATHERLAYER_CLASS (
  "gather", "Elements at constant indices along an axis", options);

QK_PLUGIN ("gather", PACKAGE_VERSION, "LGPL-2.1-or-later", &picks.cls);
