/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* window.c: options of layers that slide a window over a sample. */
#include "config.h"

#include "window.h"

int
window_side (const struct qk_config *cfg, const char *name, const char *common)
{
  return (int) qk_config_int (cfg,
                              qk_config_given (cfg, name) ? name : common);
}

void
window_read (const struct qk_config *cfg, struct window *out)
{
  *out = (struct window){
    .kernel_h = window_side (cfg, "kernel_h", "kernel"),
    .kernel_w = window_side (cfg, "kernel_w", "kernel"),
    .stride_h = window_side (cfg, "stride_h", "stride"),
    .stride_w = window_side (cfg, "stride_w", "stride"),
    .top = window_side (cfg, "padding_top", "padding"),
    .left = window_side (cfg, "padding_left", "padding"),
    .bottom = window_side (cfg, "padding_bottom", "padding"),
    .right = window_side (cfg, "padding_right", "padding"),
    .dilation_h = 1,
    .dilation_w = 1,
  };
}

void
window_read_dilation (const struct qk_config *cfg, struct window *out)
{
  out->dilation_h = window_side (cfg, "dilation_h", "dilation");
  out->dilation_w = window_side (cfg, "dilation_w", "dilation");
}
