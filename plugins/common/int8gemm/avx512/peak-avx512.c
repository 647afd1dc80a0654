/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peak-avx512.c: what a core could do at best at avx512. */
#include "config.h"

#include "../tmpl/vec512.h"
#include "../tmpl/dot-maddubs.h"

#define PEAK_NAME qk_peak__avx512
#include "../tmpl/peak.h"
