/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peak-avx512vnni.c: what a core could do at best at avx512vnni. */
#include "config.h"

#include "../tmpl/vec512.h"
#include "../tmpl/dot-vnni.h"

#define PEAK_NAME qk_peak__avx512vnni
#include "../tmpl/peak.h"
