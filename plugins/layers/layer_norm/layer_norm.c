/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layer_norm.c: the channels at each place, x (N,...,C); see common/normlayer/normlayer.h.
 * Ba, Kiros and Hinton, "Layer normalization", 2016. */
#include "config.h"

#include <qatkit/layer.h>

#include "normlayer/normlayer.h"

static const struct qk_option options[]
  = { NORMLAYER_EPS ("1e-5"),
      NORMLAYER_AFFINE ("yes", "a factor and a summand for each channel"),
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct normlayer_kind kind
  = { .name = "layer_norm", .centered = true, .least_dims = 2 };

static int
layer_norm_create (const struct qk_config *cfg, void **self)
{
  return normlayer_create (&kind, cfg, 1, self);
}

static const struct qk_layer_class layer_norm = NORMLAYER_CLASS (
  layer_norm, "Layer normalisation over the last axis", options);

QK_PLUGIN ("layer_norm", "1.0", "LGPL-2.1-or-later", &layer_norm.cls);
