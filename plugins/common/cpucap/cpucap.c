/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpucap.c: reads $QATKIT_CPU. */
#include "config.h"

#include "cpucap.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/base.h>

/* All levels of all backends, so that one setting does for x86 and ARM. */
static const char *const all[] = { "portable",   "avx2", "avxvnni", "avx512",
                                   "avx512vnni", "neon", "dotprod", "i8mm" };

int
cpucap (const char *const *names, int count)
{
  const char *cap = getenv ("QATKIT_CPU");

  if (cap == NULL || cap[0] == '\0')
    return count - 1;
  for (int i = 0; i < count; i++)
    if (strcmp (cap, names[i]) == 0)
      return i;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strcmp (cap, all[i]) == 0)
      return count - 1;
  return qk_error (-EINVAL,
                   "QATKIT_CPU is \"%s\", expected portable, avx2, "
                   "avxvnni, avx512 or avx512vnni (x86), neon, dotprod or "
                   "i8mm (ARM)",
                   cap);
}
