/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pointwise-avx512.c: operations without weights for avx512. */
#include "config.h"

#include "int8gemm/tmpl/vec512.h"

#include "../kernels.h"

#define ISA avx512
#include "pointwise/template.h"
