/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* multiversion.h: hot loops compiled for several levels of x86; include
 * config.h before it.
 *
 * Put QK_MULTIVERSION before a function of plain C loops: the compiler makes
 * a copy of it for each level and the dynamic linker picks one.  With
 * -ffp-contract=off all copies give the same bits.  Sanitizers run before
 * the linker has picked, so configure leaves HAVE_TARGET_CLONES undefined
 * for them. */
#ifndef QATKIT_COMMON_MULTIVERSION_H
#define QATKIT_COMMON_MULTIVERSION_H

#ifdef HAVE_TARGET_CLONES
#define QK_MULTIVERSION                                                       \
  __attribute__ ((target_clones ("avx512f", "avx2", "default")))
#else
#define QK_MULTIVERSION
#endif

/* Before an innermost loop over channels: its steps are independent, make it
 * vector code whatever the optimization level (at -O2 gcc vectorises only
 * loops whose length it knows). */
#ifdef _OPENMP
#define QK_SIMD _Pragma ("omp simd")
#else
#define QK_SIMD
#endif

#endif /* QATKIT_COMMON_MULTIVERSION_H */
