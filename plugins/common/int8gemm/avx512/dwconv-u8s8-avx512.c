/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-u8s8-avx512.c: depthwise convolution for avx512, 64 channels at
 * once. */
#include "config.h"

#include "../tmpl/vec512.h"
#include "../tmpl/dot-maddubs.h"

#define DWCONV_NAME qk_dwconv_u8s8__avx512
#include "../tmpl/dwconv-u8s8.h"
