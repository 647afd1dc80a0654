/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* special.c: backward of windows for which there are gradients of our own: 3x3 of
 * stride 1 by Winograd's products, 3x3 in small groups. */
#include "config.h"

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "gemm/gradients.h"

static int
pass (const struct gradients *g, const struct conv_backward *bw, float *dw)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const struct qk_tensor *in = run->io->in;
  const struct gradient_input input = { .x = run->u8_in ? NULL : in->data,
                                        .bytes = run->u8_in ? in->data : NULL,
                                        .zero = run->z };
  float *scratch
    = (float *) (void *) ((char *) run->io->workspace + cv->plan.ws_back);
  const float *d = conv_whole_d (bw);
  struct qk_convback cb;

  conv_back_shape (cv, run->n, &cb);
  g->weights (&cb, run->threads, d, &input, dw, scratch);
  if (bw->dx)
    g->data (&cb, run->threads, d, run->wf, bw->dx, scratch);
  return 0;
}

static bool
usable (const struct gradients *g, const struct qk_conv *cv)
{
  struct qk_convback cb;

  if (conv_kind (cv) != CONV_GENERAL)
    return false;
  conv_back_shape (cv, cv->plan.batch, &cb);
  return g->suits (&cb);
}

static size_t
scratch (const struct gradients *g, const struct qk_conv *cv)
{
  struct qk_convback cb;

  conv_back_shape (cv, cv->plan.batch, &cb);
  return g->scratch (&cb, cv->plan.threads);
}

#define SPECIAL(kind)                                                         \
  static int kind##_pass (const struct conv_backward *bw, float *dw)          \
  {                                                                           \
    return pass (&kind##_gradients, bw, dw);                                  \
  }                                                                           \
  static bool kind##_usable (const struct qk_conv *cv, bool quantized)        \
  {                                                                           \
    (void) quantized;                                                         \
    return usable (&kind##_gradients, cv);                                    \
  }                                                                           \
  static size_t kind##_room (const struct qk_conv *cv)                        \
  {                                                                           \
    return scratch (&kind##_gradients, cv);                                   \
  }                                                                           \
  const struct conv_back conv_back_##kind = { .name = #kind,                  \
                                              .usable = kind##_usable,        \
                                              .whole = true,                  \
                                              .one_dw = true,                 \
                                              .scratch = kind##_room,         \
                                              .pass = kind##_pass }

SPECIAL (winograd);
SPECIAL (grouped);
