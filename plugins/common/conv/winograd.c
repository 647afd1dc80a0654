/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.c: backward of 3x3 windows of stride 1 by Winograd's products. */
#include "config.h"

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "gemm/winograd.h"

static int
winograd_pass (const struct conv_backward *bw, float *dw)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const struct qk_tensor *in = run->io->in;
  const struct winograd_input input = { .x = run->u8_in ? NULL : in->data,
                                        .bytes = run->u8_in ? in->data : NULL,
                                        .zero = run->z };
  float *scratch
    = (float *) (void *) ((char *) run->io->workspace + cv->plan.ws_back);
  const float *d = conv_whole_d (bw);
  struct qk_convback cb;

  conv_back_shape (cv, run->n, &cb);
  winograd_weights (&cb, run->threads, d, &input, dw, scratch);
  if (bw->dx)
    winograd_data (&cb, run->threads, d, run->wf, bw->dx, scratch);
  return 0;
}

static bool
winograd_usable (const struct qk_conv *cv, bool quantized)
{
  struct qk_convback cb;

  (void) quantized;
  conv_back_shape (cv, cv->plan.batch, &cb);
  return winograd_suits (&cb);
}

static size_t
winograd_room (const struct qk_conv *cv)
{
  struct qk_convback cb;

  conv_back_shape (cv, cv->plan.batch, &cb);
  return winograd_scratch (&cb, cv->plan.threads);
}

const struct conv_back conv_back_winograd = {
  .name = "winograd",
  .usable = winograd_usable,
  .whole = true,
  .one_dw = true,
  .scratch = winograd_room,
  .pass = winograd_pass,
};
