/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peak-avxvnni.c: what a core could do at best at avxvnni. */
#include "config.h"

#include "../tmpl/vec256.h"
#include "../tmpl/dot-vnni.h"

#define PEAK_NAME qk_peak__avxvnni
#include "../tmpl/peak.h"
