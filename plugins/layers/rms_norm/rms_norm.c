/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rms_norm.c: the channels at each place, x (N,...,C), without their mean; see common/normlayer/normlayer.h.
 * Zhang and Sennrich, "Root mean square layer normalization", 2019. */
#include "config.h"

#include <qatkit/layer.h>

#include "normlayer/normlayer.h"

static const struct qk_option options[]
  = { NORMLAYER_EPS ("1e-6"),
      NORMLAYER_AFFINE ("yes", "a factor for each channel"),
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct normlayer_kind kind
  = { .name = "rms_norm", .least_dims = 2 };

static int
rms_norm_create (const struct qk_config *cfg, void **self)
{
  return normlayer_create (&kind, cfg, 1, self);
}

static const struct qk_layer_class rms_norm = NORMLAYER_CLASS (
  rms_norm, "Root mean square normalisation over the last axis", options);

QK_PLUGIN ("rms_norm", "1.0", "LGPL-2.1-or-later", &rms_norm.cls);
