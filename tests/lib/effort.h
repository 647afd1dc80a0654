/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* effort.h: fewer repetitions where a tool slows every step down a hundred
 * times, as valgrind does. */
#ifndef TESTS_LIB_EFFORT_H
#define TESTS_LIB_EFFORT_H

#include <stdlib.h>

/* ALL; with QATKIT_TEST_SHORT=1 FEW.  What is left out is more of the same,
 * never a path through the code. */
static inline int
effort (int all, int few)
{
  return getenv ("QATKIT_TEST_SHORT") != NULL ? few : all;
}

#endif /* TESTS_LIB_EFFORT_H */
