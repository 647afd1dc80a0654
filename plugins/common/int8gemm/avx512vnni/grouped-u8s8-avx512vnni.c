/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped-u8s8-avx512vnni.c: convolution in groups for avx512vnni, 16 channels at
 * once. */
#include "config.h"

#include "../tmpl/vec512.h"
#include "../tmpl/dot-vnni.h"

#define GROUPED_NAME qk_grouped_u8s8__avx512vnni
#include "../tmpl/grouped-u8s8.h"
