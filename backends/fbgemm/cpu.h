/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpu.h: what this CPU can run. */
#ifndef FBGEMM_CPU_H
#define FBGEMM_CPU_H

/* Ascending; each level may use everything below it, except that AVX512
 * does not need AVXVNNI. */
enum qk_cpu_level {
  QK_CPU_PORTABLE,
  QK_CPU_AVX2,
  QK_CPU_AVXVNNI,
  QK_CPU_AVX512,
  QK_CPU_AVX512VNNI,
  QK_CPU_LEVELS
};

/* "portable", "avx2", …; static text. */
const char *qk_cpu_level_name (enum qk_cpu_level level);

/* Whether CPU and operating system run code of LEVEL. */
int qk_cpu_has (enum qk_cpu_level level);
/* Whether float products can be added as they are made; never of PORTABLE. */
int qk_cpu_has_fma (void);

/* *LEVEL: the highest this CPU has, not above $QATKIT_CPU if that is set.
 * -EINVAL if the variable names no level. */
int qk_cpu_best (enum qk_cpu_level *level);

#endif /* FBGEMM_CPU_H */
