/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped-u8s8-avx512.c: convolution in groups for avx512, 16 channels at
 * once. */
#include "config.h"

#include "../tmpl/vec512.h"

#define GROUPED_WORDS
#define GROUPED_NAME qk_grouped_u8s8__avx512
#include "../tmpl/grouped-u8s8.h"
