/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpu.c: CPU levels by what the kernel says of the CPU (AT_HWCAP). */
#include "config.h"

#include "cpu.h"

#include "cpucap/cpucap.h"

static const char *const level_name[Q8_CPU_LEVELS] = {
  [Q8_CPU_PORTABLE] = "portable",
  [Q8_CPU_NEON] = "neon",
  [Q8_CPU_DOTPROD] = "dotprod",
  [Q8_CPU_I8MM] = "i8mm",
};

const char *
q8_cpu_level_name (enum q8_cpu_level level)
{
  return level_name[level];
}

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

/* Bits of AT_HWCAP and AT_HWCAP2, of which old headers lack some. */
#define CAP_ASIMD (1ul << 1)
#define CAP_ASIMDDP (1ul << 20)
#define CAP2_I8MM (1ul << 13)

static enum q8_cpu_level
highest (void)
{
  const unsigned long caps = getauxval (AT_HWCAP);

  if (!(caps & CAP_ASIMD))
    return Q8_CPU_PORTABLE;
  if (!(caps & CAP_ASIMDDP))
    return Q8_CPU_NEON;
  return getauxval (AT_HWCAP2) & CAP2_I8MM ? Q8_CPU_I8MM : Q8_CPU_DOTPROD;
}
#else
static enum q8_cpu_level
highest (void)
{
  return Q8_CPU_PORTABLE;
}
#endif

int
q8_cpu_best (enum q8_cpu_level *level)
{
  const int cap = cpucap (level_name, Q8_CPU_LEVELS);
  const int here = (int) highest ();

  if (cap < 0)
    return cap;
  *level = (enum q8_cpu_level) (cap < here ? cap : here);
  return 0;
}
