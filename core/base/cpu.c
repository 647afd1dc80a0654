/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpu.c: CPU levels by cpuid and xgetbv or AT_HWCAP, capped by $QATKIT_CPU. */
#include "config.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qatkit/cpu.h"

static const char *const level_name[QK_CPU_LEVELS] = {
  [QK_CPU_PORTABLE] = "portable",     [QK_CPU_AVX2] = "avx2",
  [QK_CPU_AVXVNNI] = "avxvnni",       [QK_CPU_AVX512] = "avx512",
  [QK_CPU_AVX512VNNI] = "avx512vnni", [QK_CPU_NEON] = "neon",
  [QK_CPU_DOTPROD] = "dotprod",       [QK_CPU_I8MM] = "i8mm",
};

/* First and last level of a family beside PORTABLE. */
static const enum qk_cpu_level family_first[] = { QK_CPU_AVX2, QK_CPU_NEON };
static const enum qk_cpu_level family_last[]
  = { QK_CPU_AVX512VNNI, QK_CPU_I8MM };

const char *
qk_cpu_level_name (enum qk_cpu_level level)
{
  return level_name[level];
}

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

#define FAMILY QK_CPU_X86

/* State the operating system saves: bits 1 and 2 are xmm and ymm, 5 to 7 the
 * masks and zmm.  *FMA: whether the CPU has that. */
static uint32_t
saved_state (bool *fma)
{
  uint32_t a, b, c, d;

  if (!__get_cpuid (1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
    return 0;
  *fma = c & bit_FMA;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return a;
}

bool
qk_cpu_has (enum qk_cpu_level level)
{
  const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
  bool avx2, fma = false;
  const uint32_t state = saved_state (&fma);
  const int ymm = (state & 0x06) == 0x06, zmm = (state & 0xe6) == 0xe6;
  uint32_t a, b = 0, c = 0, d, a1 = 0, b1, c1, d1;

  if (!__get_cpuid_count (7, 0, &a, &b, &c, &d))
    return level == QK_CPU_PORTABLE;
  if (a >= 1)
    __get_cpuid_count (7, 1, &a1, &b1, &c1, &d1);
  avx2 = ymm && fma && (b & 1u << 5);
  switch (level) {
  case QK_CPU_PORTABLE:
    return true;
  case QK_CPU_AVX2:
    return avx2;
  case QK_CPU_AVXVNNI:
    return avx2 && (a1 & 1u << 4);
  case QK_CPU_AVX512: /* F, DQ, BW, VL */
    return avx2 && zmm && (b & avx512) == avx512;
  case QK_CPU_AVX512VNNI:
    return avx2 && zmm && (b & avx512) == avx512 && (c & 1u << 11);
  default:
    return false;
  }
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

#define FAMILY QK_CPU_ARM

/* Bits of AT_HWCAP and AT_HWCAP2, of which old headers lack some. */
#define CAP_ASIMD (1ul << 1)
#define CAP_ASIMDDP (1ul << 20)
#define CAP2_I8MM (1ul << 13)

bool
qk_cpu_has (enum qk_cpu_level level)
{
  const unsigned long caps = getauxval (AT_HWCAP);
  const bool neon = caps & CAP_ASIMD, dotprod = neon && (caps & CAP_ASIMDDP);

  switch (level) {
  case QK_CPU_PORTABLE:
    return true;
  case QK_CPU_NEON:
    return neon;
  case QK_CPU_DOTPROD:
    return dotprod;
  case QK_CPU_I8MM:
    return dotprod && (getauxval (AT_HWCAP2) & CAP2_I8MM);
  default:
    return false;
  }
}
#else
#define FAMILY QK_CPU_X86

bool
qk_cpu_has (enum qk_cpu_level level)
{
  return level == QK_CPU_PORTABLE;
}
#endif

/* The highest level that $QATKIT_CPU allows in FAMILY. */
static int
highest_allowed (enum qk_cpu_family family, enum qk_cpu_level *level)
{
  const char *cap = getenv ("QATKIT_CPU");

  *level = family_last[family];
  if (cap == NULL || cap[0] == '\0')
    return 0;
  for (int i = 0; i < QK_CPU_LEVELS; i++) {
    if (strcmp (cap, level_name[i]) != 0)
      continue;
    if (i == QK_CPU_PORTABLE
        || (i >= (int) family_first[family] && i < (int) family_last[family]))
      *level = (enum qk_cpu_level) i;
    return 0;
  }
  return qk_error (-EINVAL,
                   "QATKIT_CPU is \"%s\", expected portable, avx2, "
                   "avxvnni, avx512 or avx512vnni (x86), neon, dotprod or "
                   "i8mm (ARM)",
                   cap);
}

static enum qk_cpu_level
highest_here (enum qk_cpu_family family, enum qk_cpu_level allowed)
{
  for (int i = (int) allowed; i >= (int) family_first[family]; i--)
    if (qk_cpu_has ((enum qk_cpu_level) i))
      return (enum qk_cpu_level) i;
  return QK_CPU_PORTABLE;
}

int
qk_cpu_best (enum qk_cpu_family family, enum qk_cpu_level *level)
{
  enum qk_cpu_level allowed;
  const int ret = highest_allowed (family, &allowed);

  if (ret == 0)
    *level = highest_here (family, allowed);
  return ret;
}

enum qk_cpu_level
qk_cpu_current (void)
{
  /* a constant of the process, kept because cpuid leaves a virtual machine;
   * 0: not yet known */
  static atomic_int known;
  int now = atomic_load_explicit (&known, memory_order_relaxed);
  enum qk_cpu_level level;

  if (now != 0)
    return (enum qk_cpu_level) (now - 1);
  if (qk_cpu_best (FAMILY, &level) < 0)
    level = highest_here (FAMILY, family_last[FAMILY]);
  atomic_store_explicit (&known, (int) level + 1, memory_order_relaxed);
  return level;
}
