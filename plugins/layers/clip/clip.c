/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clip: y = min (max (x, min), max).  x of any shape. */
#include "config.h"

#include <math.h>

#include <qatkit/layer.h>

#include "clamp/clamp.h"

/* The bound NAME, OTHERWISE where none is given. */
static float
bound (const struct qk_config *cfg, const char *name, float otherwise)
{
  return qk_config_given (cfg, name) ? (float) qk_config_float (cfg, name)
                                     : otherwise;
}

static int
clip_create (const struct qk_config *cfg, void **self)
{
  const float lo = bound (cfg, "min", -INFINITY);
  const float hi = bound (cfg, "max", INFINITY);

  if (lo > hi)
    return qk_error (-EINVAL, "clip: min is %g, expected at most max, %g",
                     (double) lo, (double) hi);
  return clamp_create ("clip", lo, hi, self);
}

static const struct qk_option options[]
  = { { .name = "min",
        .type = QK_OPT_FLOAT,
        .def = "0",
        .help = "The smallest number that stays; none if not given." },
      { .name = "max",
        .type = QK_OPT_FLOAT,
        .def = "0",
        .help = "The largest number that stays; none if not given." },
      { .name = NULL } };

static const struct qk_layer_class clip = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "clip",
                   "Limits numbers to a range", options),
  .create = clip_create,
  .destroy = clamp_destroy,
  .infer = clamp_infer,
  .describe = clamp_describe,
  .setup = clamp_setup,
  .forward = clamp_forward,
  .backward = clamp_backward,
  .quantized = true,
  .lower = clamp_lower,
};

QK_PLUGIN ("clip", PACKAGE_VERSION, "LGPL-2.1-or-later", &clip.cls);
