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
  QK_CPU_AVX2,     /* and FMA */
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

/* ---- loops --------------------------------------------------------------
 * Hot loops of plain C, compiled for several levels:
 *
 *   QK_LOOP (static, double_all, (float *x, size_t n), (x, n))
 *   {
 *     for (size_t i = 0; i < n; i++)
 *       x[i] *= 2;
 *   }
 *
 * defines double_all, which runs at qk_cpu_current ().  SCOPE is static or
 * empty; QK_LOOP_VALUE is for functions of another TYPE than void.  With
 * -ffp-contract=off all levels give the same bits. */
#if (defined __x86_64__ || defined __i386__) && defined __GNUC__
#define QK_LOOP_COPIES(type, result, name, params, args)                      \
  static inline __attribute__ ((always_inline)) type name##_body params;      \
  __attribute__ ((target ("avx512f,fma"))) static type name##_avx512 params   \
  {                                                                           \
    result name##_body args;                                                  \
  }                                                                           \
  __attribute__ ((target ("avx2,fma"))) static type name##_avx2 params        \
  {                                                                           \
    result name##_body args;                                                  \
  }                                                                           \
  static type name##_portable params { result name##_body args; }

#define QK_LOOP(scope, name, params, args)                                    \
  QK_LOOP_COPIES (void, , name, params, args)                                 \
  scope void name params                                                      \
  {                                                                           \
    const enum qk_cpu_level level_ = qk_cpu_current ();                       \
                                                                              \
    if (level_ >= QK_CPU_AVX512)                                              \
      name##_avx512 args;                                                     \
    else if (level_ >= QK_CPU_AVX2)                                           \
      name##_avx2 args;                                                       \
    else                                                                      \
      name##_portable args;                                                   \
  }                                                                           \
  static inline __attribute__ ((always_inline)) void name##_body params

#define QK_LOOP_VALUE(scope, type, name, params, args)                        \
  QK_LOOP_COPIES (type, return, name, params, args)                           \
  scope type name params                                                      \
  {                                                                           \
    const enum qk_cpu_level level_ = qk_cpu_current ();                       \
                                                                              \
    return level_ >= QK_CPU_AVX512 ? name##_avx512 args                       \
           : level_ >= QK_CPU_AVX2 ? name##_avx2 args                         \
                                   : name##_portable args;                    \
  }                                                                           \
  static inline __attribute__ ((always_inline)) type name##_body params
#else
#define QK_LOOP(scope, name, params, args) scope void name params
#define QK_LOOP_VALUE(scope, type, name, params, args) scope type name params
#endif

#endif /* QATKIT_CPU_H */
