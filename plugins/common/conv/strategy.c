/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* strategy.c: the ways of computing a convolution, the best first.  Which are
 * right for a shape and mode each says itself, beside its code. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"

static const struct conv_forward *const forwards[]
  = { &conv_forward_depthwise, &conv_forward_integer, &conv_forward_matrix,
      &conv_forward_reference };

static const struct conv_back *const backs[]
  = { &conv_back_depthwise, &conv_back_winograd, &conv_back_grouped,
      &conv_back_whole,     &conv_back_matrix,   &conv_back_reference };

/* Whether NAME is the strategy asked for; NULL asks for any. */
static bool
is_wanted (const char *wanted, const char *name)
{
  return wanted == NULL || strcmp (wanted, name) == 0;
}

int
conv_choose (const struct qk_conv *cv, bool quantized, struct qk_conv_plan *pl)
{
  for (size_t i = 0; !pl->forward && i < sizeof forwards / sizeof *forwards;
       i++)
    if (is_wanted (cv->use_forward, forwards[i]->name)
        && forwards[i]->usable (cv, quantized))
      pl->forward = forwards[i];
  for (size_t i = 0; !pl->back && i < sizeof backs / sizeof *backs; i++)
    if (is_wanted (cv->use_backward, backs[i]->name)
        && backs[i]->usable (cv, quantized))
      pl->back = backs[i];
  if (!pl->forward || !pl->back)
    return qk_error (-ENOTSUP, "%s: no strategy \"%s\" for this shape",
                     cv->who,
                     pl->forward ? cv->use_backward : cv->use_forward);
  return 0;
}
