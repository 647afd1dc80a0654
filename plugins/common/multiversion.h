/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* multiversion.h: hot loops compiled for several CPU levels (QK_LOOP), and
 * vector code in each of them. */
#ifndef QATKIT_COMMON_MULTIVERSION_H
#define QATKIT_COMMON_MULTIVERSION_H

#include <qatkit/cpu.h>

/* Before an innermost loop over channels: its steps are independent, make it
 * vector code whatever the optimization level (at -O2 gcc vectorises only
 * loops whose length it knows). */
#ifdef _OPENMP
#define QK_SIMD _Pragma ("omp simd")
#else
#define QK_SIMD
#endif

#endif /* QATKIT_COMMON_MULTIVERSION_H */
