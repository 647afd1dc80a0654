/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped-u8s8-avx2.c: convolution in groups for avx2, 8 channels at
 * once. */
#include "config.h"

#include "../tmpl/vec256.h"

#define GROUPED_WORDS
#define GROUPED_NAME qk_grouped_u8s8__avx2
#include "../tmpl/grouped-u8s8.h"
