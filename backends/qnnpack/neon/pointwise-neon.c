/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pointwise-neon.c: operations without weights for neon. */
#include "config.h"

#include "vec128.h"

#define ISA neon
#define OWN_AVGPOOL /* in pool-neon.c */
#include "pointwise/template.h"
