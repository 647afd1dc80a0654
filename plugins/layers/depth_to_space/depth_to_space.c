/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* depth_to_space: x (N,H,W,C b b) -> y (N,H b,W b,C), channels as blocks of b
 * by b pixels.  Channel of x for pixel (i,j) of the block and channel c:
 * (i b + j) C + c with mode dcr, (c b + i) b + j with mode crd, which is
 * PyTorch's pixel_shuffle (Shi et al. 2016, arXiv:1609.05158). */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "move/transposelayer.h"

struct depth_to_space {
  struct transposelayer base;
  int64_t block;
  bool crd;
};

static int
create (const struct qk_config *cfg, void **self)
{
  struct depth_to_space *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("depth_to_space");
  l->base.name = "depth_to_space";
  l->block = qk_config_int (cfg, "block");
  l->crd = strcmp (qk_config_string (cfg, "mode"), "crd") == 0;
  *self = l;
  return 0;
}

static int
infer (void *self, const struct qk_shape *in, int n_in, struct qk_shape *out)
{
  /* y (H,i,W,j,c) of x (H,W,i,j,c) or (H,W,c,i,j) */
  static const int dcr[] = { 0, 2, 1, 3, 4 }, crd[] = { 0, 3, 1, 4, 2 };
  struct depth_to_space *l = self;
  const int64_t b = l->block;
  char a[96];

  if (n_in != 1)
    return qk_error (-EINVAL, "depth_to_space: takes 1 input, got %d", n_in);
  if (in->ndim != 4 || in->dims[3] % (b * b) != 0)
    return qk_error (-EINVAL,
                     "depth_to_space: input is %s, expected (N,H,W,C) with C "
                     "a multiple of %lld",
                     qk_shape_print (in, a, sizeof a), (long long) (b * b));
  *out = (struct qk_shape){
    4, { in->dims[0], in->dims[1] * b, in->dims[2] * b, in->dims[3] / b / b }
  };
  const int64_t by_block[] = { in->dims[1], in->dims[2], b, b, out->dims[3] };
  const int64_t by_channel[]
    = { in->dims[1], in->dims[2], out->dims[3], b, b };

  return transposelayer_set (&l->base, 5, l->crd ? by_channel : by_block,
                             l->crd ? crd : dcr);
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

static const struct qk_layer_class depth_to_space = TRANSPOSELAYER_CLASS (
  "depth_to_space", "Channels as blocks of pixels", options);

QK_PLUGIN ("depth_to_space", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &depth_to_space.cls);
