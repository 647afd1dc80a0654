/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peak-avx2.c: what a core could do at best at avx2. */
#include "config.h"

#include "../tmpl/vec256.h"
#include "../tmpl/dot-maddubs.h"

#define PEAK_NAME qk_peak__avx2
#include "../tmpl/peak.h"
