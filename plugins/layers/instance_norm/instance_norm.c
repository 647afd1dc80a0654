/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* instance_norm.c: each of a sample's channels, x (N,...,C); see common/normlayer/normlayer.h.
 * Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016. */
#include "config.h"

#include <qatkit/layer.h>

#include "normlayer/normlayer.h"

static const struct qk_option options[]
  = { NORMLAYER_EPS ("1e-5"),
      NORMLAYER_AFFINE ("no", "a factor and a summand for each channel"),
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct normlayer_kind kind = { .name = "instance_norm",
                                            .per_sample = true,
                                            .centered = true,
                                            .least_dims = 3,
                                            .each_alone = true };

static int
instance_norm_create (const struct qk_config *cfg, void **self)
{
  return normlayer_create (&kind, cfg, 1, self);
}

static const struct qk_layer_class instance_norm = NORMLAYER_CLASS (
  instance_norm, "Normalisation of each of a sample's channels", options);

QK_PLUGIN ("instance_norm", "1.0", "LGPL-2.1-or-later", &instance_norm.cls);
