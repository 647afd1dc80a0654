/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-u8s8-avx2.c: depthwise convolution for avx2, 32 channels at once. */
#include "config.h"

#include "../tmpl/vec256.h"
#include "../tmpl/dot-maddubs.h"

#define DWCONV_NAME qk_dwconv_u8s8__avx2
#include "../tmpl/dwconv-u8s8.h"
