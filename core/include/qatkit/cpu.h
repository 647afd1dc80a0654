/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpu.h: what this CPU can run: the one place where code for several CPU
 * levels, of training and of inference, asks which to use.
 *
 * $QATKIT_CPU names the highest level that may be used.  Results do not depend
 * on it, except for the rounding of gradients. */
#ifndef QATKIT_CPU_H
#define QATKIT_CPU_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Ascending within a family; each level may use everything below it in its
 * family, except that AVX512 does not need AVXVNNI. */
enum qk_cpu_level {
  QK_CPU_PORTABLE, /* of both families */
  QK_CPU_AVX2, /* and FMA */
  QK_CPU_AVXVNNI,
  QK_CPU_AVX512, /* F, DQ, BW and VL */
  QK_CPU_AVX512VNNI,
  QK_CPU_NEON,    /* armv8.0: every 64-bit ARM */
  QK_CPU_DOTPROD, /* armv8.2 with udot and sdot */
  QK_CPU_I8MM,    /* armv8.2 with usdot and usmmla */
  QK_CPU_LEVELS
};

enum qk_cpu_family { QK_CPU_X86, QK_CPU_ARM };

/* "portable", "avx2", …; static text. */
QK_PUBLIC const char *qk_cpu_level_name (enum qk_cpu_level level);

/* Whether CPU and operating system run code of LEVEL. */
QK_PUBLIC bool qk_cpu_has (enum qk_cpu_level level);

/* *LEVEL: the highest of FAMILY that this CPU has and $QATKIT_CPU allows;
 * PORTABLE on CPUs of another family.  A level of the other family in the
 * variable does not limit this one.  -EINVAL if it names no level. */
QK_PUBLIC int qk_cpu_best (enum qk_cpu_family family,
                           enum qk_cpu_level *level);

/* The same for the family that this CPU belongs to, found once in the life of
 * the process: for loops that ask each time they are called.  Where the
 * variable names no level it counts as unset. */
QK_PUBLIC enum qk_cpu_level qk_cpu_current (void);

#ifdef __cplusplus
}
#endif

#endif /* QATKIT_CPU_H */
