/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpu.c: CPU levels by cpuid and xgetbv, capped by $QATKIT_CPU. */
#include "config.h"

#include "cpu.h"

#include <stdint.h>
#include "cpucap/cpucap.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* State the operating system saves: bits 1 and 2 are xmm and ymm, 5 to 7 the
 * masks and zmm. */
static uint32_t
saved_state (void)
{
  uint32_t a, b, c, d;

  if (!__get_cpuid (1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
    return 0;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return a;
}

int
qk_cpu_has (enum qk_cpu_level level)
{
  const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
  const uint32_t state = saved_state ();
  const int ymm = (state & 0x06) == 0x06, zmm = (state & 0xe6) == 0xe6;
  uint32_t a, b = 0, c = 0, d, a1 = 0, b1, c1, d1;

  if (!__get_cpuid_count (7, 0, &a, &b, &c, &d))
    return level == QK_CPU_PORTABLE;
  if (a >= 1)
    __get_cpuid_count (7, 1, &a1, &b1, &c1, &d1);
  switch (level) {
  case QK_CPU_PORTABLE:
    return 1;
  case QK_CPU_AVX2:
    return ymm && (b & 1u << 5);
  case QK_CPU_AVXVNNI:
    return ymm && (b & 1u << 5) && (a1 & 1u << 4);
  case QK_CPU_AVX512: /* F, DQ, BW, VL */
    return zmm && (b & 1u << 5) && (b & avx512) == avx512;
  case QK_CPU_AVX512VNNI:
    return zmm && (b & 1u << 5) && (b & avx512) == avx512 && (c & 1u << 11);
  default:
    return 0;
  }
}

int
qk_cpu_has_fma (void)
{
  uint32_t a, b, c, d;

  return qk_cpu_has (QK_CPU_AVX2) && __get_cpuid (1, &a, &b, &c, &d)
         && (c & bit_FMA);
}
#else
int
qk_cpu_has_fma (void)
{
  return 0;
}

int
qk_cpu_has (enum qk_cpu_level level)
{
  return level == QK_CPU_PORTABLE;
}
#endif

static const char *const level_name[QK_CPU_LEVELS] = {
  [QK_CPU_PORTABLE] = "portable",     [QK_CPU_AVX2] = "avx2",
  [QK_CPU_AVXVNNI] = "avxvnni",       [QK_CPU_AVX512] = "avx512",
  [QK_CPU_AVX512VNNI] = "avx512vnni",
};

const char *
qk_cpu_level_name (enum qk_cpu_level level)
{
  return level_name[level];
}

int
qk_cpu_best (enum qk_cpu_level *level)
{
  int l = cpucap (level_name, QK_CPU_LEVELS);

  if (l < 0)
    return l;
  while (!qk_cpu_has ((enum qk_cpu_level) l))
    l--;
  *level = (enum qk_cpu_level) l;
  return 0;
}
