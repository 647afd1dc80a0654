/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* space_to_depth: x (N,H b,W b,C) -> y (N,H,W,C b b), blocks of b by b pixels
 * as channels.  Channel of y for pixel (i,j) of the block and channel c:
 * (i b + j) C + c with mode dcr, (c b + i) b + j with mode crd, which is
 * PyTorch's pixel_unshuffle. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "move/transposelayer.h"

struct space_to_depth {
  struct transposelayer base;
  int64_t block;
  bool crd;
};

static int
create (const struct qk_config *cfg, void **self)
{
  struct space_to_depth *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("space_to_depth");
  l->base.name = "space_to_depth";
  l->block = qk_config_int (cfg, "block");
  l->crd = strcmp (qk_config_string (cfg, "mode"), "crd") == 0;
  *self = l;
  return 0;
}

static int
infer (void *self, const struct qk_shape *in, int n_in, struct qk_shape *out)
{
  /* y (H,W,i,j,c) or (H,W,c,i,j) of x (H,i,W,j,c) */
  static const int dcr[] = { 0, 2, 1, 3, 4 }, crd[] = { 0, 2, 4, 1, 3 };
  struct space_to_depth *l = self;
  const int64_t b = l->block;
  char a[96];

  if (n_in != 1)
    return qk_error (-EINVAL, "space_to_depth: takes 1 input, got %d", n_in);
  if (in->ndim != 4 || in->dims[1] % b != 0 || in->dims[2] % b != 0)
    return qk_error (-EINVAL,
                     "space_to_depth: input is %s, expected (N,H,W,C) with H "
                     "and W multiples of %lld",
                     qk_shape_print (in, a, sizeof a), (long long) b);
  *out = (struct qk_shape){
    4, { in->dims[0], in->dims[1] / b, in->dims[2] / b, in->dims[3] * b * b }
  };
  const int64_t size[] = { out->dims[1], b, out->dims[2], b, in->dims[3] };

  return transposelayer_set (&l->base, 5, size, l->crd ? crd : dcr);
}

static const char *const modes[] = { "dcr", "crd", NULL };

static const struct qk_option options[]
  = { { .name = "block",
        .type = QK_OPT_INT,
        .def = "2",
        .min = 1,
        .max = 1024,
        .help = "Height and width of a block in pixels." },
      { .name = "mode",
        .type = QK_OPT_CHOICE,
        .def = "dcr",
        .choices = modes,
        .help = "Order of the channels: pixels of a block first, or (crd) "
                "channels first." },
      { .name = NULL } };

static const struct qk_layer_class space_to_depth = TRANSPOSELAYER_CLASS (
  "space_to_depth", "Blocks of pixels as channels", options);

QK_PLUGIN ("space_to_depth", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &space_to_depth.cls);
