/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* window.h: the options of layers that slide a window over (N,H,W,C):
 *
 *   kernel, kernel_h, kernel_w         size of the window
 *   stride, stride_h, stride_w         its steps
 *   padding, padding_top, padding_left, padding_bottom, padding_right
 *                                      what stands around the sample
 *   dilation, dilation_h, dilation_w   distance of the window's elements
 *
 * where what is given for a side takes the place of what is given for all. */
#ifndef QATKIT_COMMON_WINDOW_H
#define QATKIT_COMMON_WINDOW_H

#include <qatkit/option.h>

struct window {
  int kernel_h, kernel_w, stride_h, stride_w;
  int top, left, bottom, right; /* padding */
  int dilation_h, dilation_w;
};

#define WINDOW_MAX 4096

#define WINDOW_INT(key, least, otherwise, text)                               \
  {                                                                           \
    .name = key, .type = QK_OPT_INT, .def = otherwise, .min = least,          \
    .max = WINDOW_MAX, .help = text                                           \
  }

/* Rows of an option table.  The default of KERNEL is a text; "0" stands for
 * none: the user has to give one. */
#define WINDOW_KERNEL(otherwise, least)                                       \
  WINDOW_INT ("kernel", least, otherwise,                                     \
              "Height and width of the window, in pixels."),                  \
    WINDOW_INT ("kernel_h", 1, "1",                                           \
                "Height of the window, in place of kernel."),                 \
    WINDOW_INT ("kernel_w", 1, "1",                                           \
                "Width of the window, in place of kernel.")
#define WINDOW_STRIDE(otherwise, least, text)                                 \
  WINDOW_INT ("stride", least, otherwise, text),                              \
    WINDOW_INT ("stride_h", 1, "1", "Step down, in place of stride."),        \
    WINDOW_INT ("stride_w", 1, "1", "Step across, in place of stride.")
#define WINDOW_PADDING(text)                                                  \
  WINDOW_INT ("padding", 0, "0", text),                                       \
    WINDOW_INT ("padding_top", 0, "0",                                        \
                "Padding above, in place of padding."),                       \
    WINDOW_INT ("padding_left", 0, "0",                                       \
                "Padding on the left, in place of padding."),                 \
    WINDOW_INT ("padding_bottom", 0, "0",                                     \
                "Padding below, in place of padding."),                       \
    WINDOW_INT ("padding_right", 0, "0",                                      \
                "Padding on the right, in place of padding.")
#define WINDOW_DILATION                                                       \
  WINDOW_INT ("dilation", 1, "1",                                             \
              "Distance of neighbouring window elements, in pixels."),        \
    WINDOW_INT ("dilation_h", 1, "1",                                         \
                "Distance down, in place of dilation."),                      \
    WINDOW_INT ("dilation_w", 1, "1",                                         \
                "Distance across, in place of dilation.")

/* The value of NAME if the user gave it, else that of COMMON. */
int window_side (const struct qk_config *cfg, const char *name,
                 const char *common);
/* Read the rows above, but for WINDOW_DILATION: 1. */
void window_read (const struct qk_config *cfg, struct window *out);
void window_read_dilation (const struct qk_config *cfg, struct window *out);

#endif /* QATKIT_COMMON_WINDOW_H */
