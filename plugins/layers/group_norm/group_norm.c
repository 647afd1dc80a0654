/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* group_norm.c: groups of a sample's channels, x (N,...,C); see common/normlayer/normlayer.h.
 * Wu and He, "Group normalization", 2018. */
#include "config.h"

#include <qatkit/layer.h>

#include "normlayer/normlayer.h"

static const struct qk_option options[]
  = { { "groups", QK_OPT_INT, NULL, 1, 1 << 24, NULL, "Groups of channels" },
      NORMLAYER_EPS ("1e-5"),
      NORMLAYER_AFFINE ("yes", "a factor and a summand for each channel"),
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct normlayer_kind kind = {
  .name = "group_norm", .per_sample = true, .centered = true, .least_dims = 2
};

static int
group_norm_create (const struct qk_config *cfg, void **self)
{
  return normlayer_create (&kind, cfg, qk_config_int (cfg, "groups"), self);
}

static const struct qk_layer_class group_norm = NORMLAYER_CLASS (
  group_norm, "Normalisation of groups of a sample's channels", options);

QK_PLUGIN ("group_norm", "1.0", "LGPL-2.1-or-later", &group_norm.cls);
