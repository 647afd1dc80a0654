/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* global_avgpool: the average of every channel over the whole sample.
 *
 * x (N,H,W,C) -> y (N,C); y = sum over H and W of x / (H W);
 * dx = dy / (H W).  It keeps the input's grid. */
#include "config.h"

#include <stdlib.h>

#include <qatkit/layer.h>

#include "pool/pool.h"

struct global_avgpool {
  int64_t height, width; /* of the input, from infer */
};

static int
global_avgpool_create (const struct qk_config *cfg, void **self)
{
  struct global_avgpool *l = calloc (1, sizeof *l);

  (void) cfg;
  if (l == NULL)
    return qk_oom ("global_avgpool");
  *self = l;
  return 0;
}

static void
global_avgpool_destroy (void *self)
{
  free (self);
}

static int
global_avgpool_infer (void *self, const struct qk_shape *in, int n_in,
                      struct qk_shape *out)
{
  struct global_avgpool *l = self;
  char buf[80];

  if (n_in != 1)
    return qk_error (-EINVAL, "global_avgpool: takes 1 input, got %d", n_in);
  if (in->ndim != 4)
    return qk_error (-EINVAL,
                     "global_avgpool: input must be (N,H,W,C), got %s",
                     qk_shape_print (in, buf, sizeof buf));
  /* beyond 2^24 pixels their number is not exact in a float */
  if (in->dims[1] < 1 || in->dims[2] < 1
      || in->dims[1] > (1 << 24) / in->dims[2])
    return qk_error (-EINVAL, "global_avgpool: cannot average a sample of %s",
                     qk_shape_print (in, buf, sizeof buf));
  l->height = in->dims[1];
  l->width = in->dims[2];
  *out = (struct qk_shape){ 2, { in->dims[0], in->dims[3] } };
  return 0;
}

static void
global_avgpool_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_SAME_GRID;
  out->means = true;
}

static int
global_avgpool_setup (void *self, struct qk_layer_setup *s)
{
  const struct global_avgpool *l = self;

  s->keep_in = s->keep_out = false;
  if (!s->quantized_in)
    return 0;
  return pool_average_check ("global_avgpool", l->height, l->width);
}

/* The window that is the whole sample. */
static struct pool_window
global_avgpool_window (const struct global_avgpool *l)
{
  return (struct pool_window){ .w = { .kernel_h = (int) l->height,
                                      .kernel_w = (int) l->width,
                                      .stride_h = 1,
                                      .stride_w = 1,
                                      .dilation_h = 1,
                                      .dilation_w = 1 } };
}

static int
global_avgpool_forward (void *self, struct qk_layer_io *io)
{
  const struct pool_window w = global_avgpool_window (self);

  return pool_average_forward ("global_avgpool", &w, io);
}

static int
global_avgpool_backward (void *self, struct qk_layer_io *io)
{
  const struct pool_window w = global_avgpool_window (self);

  pool_average_backward (&w, io);
  return 0;
}

static int
global_avgpool_lower (void *self, const struct qk_layer_io *io,
                      struct qk_op *op)
{
  const struct pool_window w = global_avgpool_window (self);

  op->kind = QK_OP_AVGPOOL2D;
  pool_lower (&w, io, op);
  return pool_average_check ("global_avgpool", op->kernel_h, op->kernel_w);
}

static const struct qk_layer_class global_avgpool = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "global_avgpool",
                   "Average of every channel over the whole sample", NULL),
  .create = global_avgpool_create,
  .destroy = global_avgpool_destroy,
  .infer = global_avgpool_infer,
  .describe = global_avgpool_describe,
  .setup = global_avgpool_setup,
  .forward = global_avgpool_forward,
  .backward = global_avgpool_backward,
  .quantized = true,
  .lower = global_avgpool_lower,
  .geometry = global_avgpool_lower,
};

QK_PLUGIN ("global_avgpool", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &global_avgpool.cls);
