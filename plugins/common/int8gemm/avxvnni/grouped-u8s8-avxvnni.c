/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped-u8s8-avxvnni.c: convolution in groups for avxvnni, 8 channels at
 * once. */
#include "config.h"

#include "../tmpl/vec256.h"
#include "../tmpl/dot-vnni.h"

#define GROUPED_NAME qk_grouped_u8s8__avxvnni
#include "../tmpl/grouped-u8s8.h"
