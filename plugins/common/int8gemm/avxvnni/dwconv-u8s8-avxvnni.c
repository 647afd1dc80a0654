/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-u8s8-avxvnni.c: depthwise convolution for avxvnni, 32 channels at
 * once. */
#include "config.h"

#include "../tmpl/vec256.h"
#include "../tmpl/dot-vnni.h"

#define DWCONV_NAME qk_dwconv_u8s8__avxvnni
#include "../tmpl/dwconv-u8s8.h"
