/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pointwise-avx2.c: operations without weights for avx2. */
#include "config.h"

#include "int8gemm/tmpl/vec256.h"

#include "../kernels.h"

#define ISA avx2
#include "pointwise/template.h"
