/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pointwise-neon.c: operations without weights for neon. */
#include "config.h"

#include "vec128.h"

#define ISA neon
#include "pointwise/template.h"
