/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-narrow-u8s8-avx512vnni.c: depthwise convolution for avx512vnni, 32
 * channels at once, for layers that have no more. */
#include "config.h"

#define DOT_EVEX 1
#include "../tmpl/vec256.h"
#include "../tmpl/dot-vnni.h"

#define DWCONV_NAME qk_dwconv_u8s8_narrow__avx512vnni
#include "../tmpl/dwconv-u8s8.h"
