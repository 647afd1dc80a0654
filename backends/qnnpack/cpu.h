/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpu.h: what this CPU can run. */
#ifndef QNNPACK_CPU_H
#define QNNPACK_CPU_H

/* Ascending; each level may use everything below it. */
enum q8_cpu_level {
  Q8_CPU_PORTABLE,
  Q8_CPU_NEON,    /* armv8.0: every 64-bit ARM */
  Q8_CPU_DOTPROD, /* armv8.2 with udot and sdot */
  Q8_CPU_I8MM,    /* armv8.2 with usdot and usmmla */
  Q8_CPU_LEVELS
};

/* "portable", "neon", …; static text. */
const char *q8_cpu_level_name (enum q8_cpu_level level);

/* *LEVEL: the highest this CPU has, not above $QATKIT_CPU if that is set.
 * -EINVAL if the variable names no level. */
int q8_cpu_best (enum q8_cpu_level *level);

#endif /* QNNPACK_CPU_H */
