/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pool.h: what the pooling layers share: a window that slides over a sample,
 * and the average over it. */
#ifndef QATKIT_COMMON_POOL_H
#define QATKIT_COMMON_POOL_H

#include <qatkit/layer.h>

#include "window/window.h"

/* Padding does not count, unless count_pad, which lets it count as 0 in
 * averages. */
struct pool_window {
  struct window w;
  bool count_pad;
  bool ceil; /* a last window where a step is left over */
};

/* Rows of an option table, see window.h: kernel or both of kernel_h and
 * kernel_w, and no stride where it is the kernel's size. */
#define POOL_OPTIONS                                                          \
  WINDOW_KERNEL ("0", 0),                                                     \
    WINDOW_STRIDE ("0", 0,                                                    \
                   "Pixels between windows; 0 takes the kernel's size."),     \
    WINDOW_PADDING ("Pixels added on each side, fewer than the window has."), \
  {                                                                           \
    .name = "ceil", .type = QK_OPT_BOOL, .def = "no",                         \
    .help = "Whether a last window may reach beyond the padding, so that no " \
            "element is left out (ceil_mode in PyTorch)."                     \
  }

/* Read POOL_OPTIONS (dilation 1, count_pad false).  NAME is the layer's, for
 * messages.  -EINVAL without a kernel. */
int pool_read (const char *name, const struct qk_config *cfg,
               struct pool_window *out);

/* in (N,H,W,C) -> out (N,P,Q,C),
 * P = (H + top + bottom - dilation (kernel - 1) - 1) / stride + 1, rounded up
 * with ceil if the last window then starts before the padding's end.
 * -EINVAL when the window does not fit or sees nothing but padding. */
int pool_infer (const char *name, const struct pool_window *w,
                const struct qk_shape *in, int n_in, struct qk_shape *out);

/* The rows or columns r0 <= r < r1 of a window (kernel K) that lie in the
 * sample; the window's first one is START (may be negative), SIZE is the
 * sample's height or width. */
void pool_clip (int64_t start, int k, int dilation, int64_t size, int *r0,
                int *r1);

/* Average: forward for f32 -> f32 and u8 -> u8 on the input's grid
 * (qk_mean_quantized); backward in f32 needs neither input nor output. */
int pool_average_forward (const char *name, const struct pool_window *w,
                          struct qk_layer_io *io);
void pool_average_backward (const struct pool_window *w,
                            struct qk_layer_io *io);
/* -EINVAL when the sum over KH x KW bytes is not exact in float32. */
int pool_average_check (const char *name, int64_t kh, int64_t kw);

/* Fill in everything of an int8 pooling op but its kind. */
void pool_lower (const struct pool_window *w, const struct qk_layer_io *io,
                 struct qk_op *op);

#endif /* QATKIT_COMMON_POOL_H */
