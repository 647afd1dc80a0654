/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd-u8s8-avx512vnni.c: qk_winograd_u8s8 for avx512vnni. */
#include "config.h"

#include "../tmpl/vec512.h"
#define DOT_VNNI 1
#include "../tmpl/dot16.h"

#define WINOGRAD(what) qk_winograd_##what##_u8s8__avx512vnni
#define WINOGRAD_ROWS_1 12
#define WINOGRAD_ROWS_2 12
#define WINOGRAD_ROWS_3 8
#define WINOGRAD_ROWS_4 6
#include "../tmpl/winograd.h"
