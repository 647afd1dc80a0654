/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd-u8s8-avx2.c: qk_winograd_u8s8 for avx2. */
#include "config.h"

#include "../tmpl/vec256.h"
#include "../tmpl/dot16.h"

#define WINOGRAD(what) qk_winograd_##what##_u8s8__avx2
#define WINOGRAD_ROWS_1 12
#define WINOGRAD_ROWS_2 6
#define WINOGRAD_ROWS_3 0
#define WINOGRAD_ROWS_4 0
#include "../tmpl/winograd.h"
