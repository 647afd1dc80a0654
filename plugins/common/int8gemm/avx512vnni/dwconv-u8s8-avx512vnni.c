/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-u8s8-avx512vnni.c: depthwise convolution for avx512vnni, 64
 * channels at once. */
#include "config.h"

#include "../tmpl/vec512.h"
#include "../tmpl/dot-vnni.h"

#define DWCONV_NAME qk_dwconv_u8s8__avx512vnni
#include "../tmpl/dwconv-u8s8.h"
