/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* avgpool2d: the average under a sliding window.
 *
 * x (N,H,W,C) -> y (N,P,Q,C); y = sum over the window of x / count, where
 * count is the number of the window's pixels that lie in the sample, or all
 * of them with count_pad.  dx += dy / count over the window.
 *
 * Options: kernel, kernel_h, kernel_w, stride, stride_h, stride_w, padding,
 * padding_top, padding_left, padding_bottom, padding_right, ceil, count_pad. */
#include "config.h"

#include <stdlib.h>

#include <qatkit/layer.h>

#include "pool/pool.h"

struct avgpool {
  struct pool_window window;
};

static int
avgpool2d_create (const struct qk_config *cfg, void **self)
{
  struct pool_window w;
  struct avgpool *l;
  const int err = pool_read ("avgpool2d", cfg, &w);

  if (err < 0)
    return err;
  w.count_pad = qk_config_bool (cfg, "count_pad");
  l = calloc (1, sizeof *l);
  if (l == NULL)
    return qk_oom ("avgpool2d");
  l->window = w;
  *self = l;
  return 0;
}

static void
avgpool2d_destroy (void *self)
{
  free (self);
}

static int
avgpool2d_infer (void *self, const struct qk_shape *in, int n_in,
                 struct qk_shape *out)
{
  const struct avgpool *l = self;

  return pool_infer ("avgpool2d", &l->window, in, n_in, out);
}

static void
avgpool2d_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_SAME_GRID;
  out->means = true;
}

static int
avgpool2d_setup (void *self, struct qk_layer_setup *s)
{
  const struct avgpool *l = self;

  s->keep_in = s->keep_out = false;
  if (!s->quantized_in)
    return 0;
  return pool_average_check ("avgpool2d", l->window.w.kernel_h,
                             l->window.w.kernel_w);
}

static int
avgpool2d_forward (void *self, struct qk_layer_io *io)
{
  const struct avgpool *l = self;

  return pool_average_forward ("avgpool2d", &l->window, io);
}

static int
avgpool2d_backward (void *self, struct qk_layer_io *io)
{
  const struct avgpool *l = self;

  pool_average_backward (&l->window, io);
  return 0;
}

static int
avgpool2d_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct avgpool *l = self;

  op->kind = QK_OP_AVGPOOL2D;
  pool_lower (&l->window, io, op);
  return pool_average_check ("avgpool2d", op->kernel_h, op->kernel_w);
}

static const struct qk_option options[]
  = { POOL_OPTIONS,
      { .name = "count_pad",
        .type = QK_OPT_BOOL,
        .def = "yes",
        .help = "Whether the padding counts, as zeros, in the average "
                "(count_include_pad in PyTorch)." },
      { .name = NULL } };

static const struct qk_layer_class avgpool2d = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "avgpool2d",
                   "Average under a sliding window", options),
  .create = avgpool2d_create,
  .destroy = avgpool2d_destroy,
  .infer = avgpool2d_infer,
  .describe = avgpool2d_describe,
  .setup = avgpool2d_setup,
  .forward = avgpool2d_forward,
  .backward = avgpool2d_backward,
  .quantized = true,
  .lower = avgpool2d_lower,
  .geometry = avgpool2d_lower,
};

QK_PLUGIN ("avgpool2d", PACKAGE_VERSION, "LGPL-2.1-or-later", &avgpool2d.cls);
