/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* permute: the axes of samples in another order, axis i of y being axis
 * axes[i] of x; the batch, axis 0, stays where it is. */
#include "config.h"

#include <stdlib.h>

#include "intlist/intlist.h"
#include "move/transposelayer.h"

struct permute {
  struct transposelayer base;
  int n;
  int64_t axes[QK_MAX_DIMS];
};

/* Each of the N axes once, the batch first. */
static int
check_axes (const int64_t *axes, int n)
{
  unsigned seen = 0;

  for (int i = 0; i < n; i++) {
    if (axes[i] < 0 || axes[i] >= n || (seen & 1u << axes[i])
        || (i == 0) != (axes[i] == 0))
      return qk_error (-EINVAL,
                       "permute: entry %d of axes is %lld, expected 0 and "
                       "then each of 1 to %d once",
                       i, (long long) axes[i], n - 1);
    seen |= 1u << axes[i];
  }
  return 0;
}

static int
create (const struct qk_config *cfg, void **self)
{
  struct permute *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("permute");
  l->base.name = "permute";
  r = l->n = intlist_read ("permute", cfg, "axes", l->axes, QK_MAX_DIMS);
  if (r < 0 || (r = check_axes (l->axes, l->n)) < 0) {
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static int
infer (void *self, const struct qk_shape *in, int n_in, struct qk_shape *out)
{
  struct permute *l = self;
  int order[QK_MAX_DIMS];
  char a[96];

  if (n_in != 1)
    return qk_error (-EINVAL, "permute: takes 1 input, got %d", n_in);
  if (in->ndim != l->n || l->n < 2)
    return qk_error (-EINVAL, "permute: axes has %d entries for the input %s",
                     l->n, qk_shape_print (in, a, sizeof a));
  *out = *in;
  for (int i = 1; i < l->n; i++) {
    out->dims[i] = in->dims[l->axes[i]];
    order[i - 1] = (int) l->axes[i] - 1;
  }
  return transposelayer_set (&l->base, l->n - 1, in->dims + 1, order);
}

static const struct qk_option options[]
  = { { .name = "axes",
        .type = QK_OPT_STRING,
        .help
        = "Axis of the input that each axis of the output is, \"0,2,1\"; "
          "0, the batch, comes first." },
      { .name = NULL } };

static const struct qk_layer_class permute = TRANSPOSELAYER_CLASS (
  "permute", "The axes of samples in another order", options);

QK_PLUGIN ("permute", PACKAGE_VERSION, "LGPL-2.1-or-later", &permute.cls);
