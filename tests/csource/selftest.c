/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* selftest.c: the self-test of a network "net" on a board, and the
 * instructions that a run of it takes; PER is how many a tick stands for. */
#include "net.h"
#include "start.h"

#ifndef PER
#define PER 40
#endif

static uint32_t arena[(NET_ARENA_SIZE + 3) / 4];

int
main (void)
{
  const int failed = net_selftest (arena);

  print ("layer that differs: ");
  print_number ((uint32_t) failed);
  print ("\n");
#ifdef TIMED
  {
    static uint8_t x[NET_INPUT0_SIZE], y[NET_OUTPUT0_SIZE];
    const void *in[] = { x };
    void *out[] = { y };
    const uint64_t before = ticks ();

    net_run (arena, in, out);
    print ("instructions: ");
    print_number ((uint32_t) ((ticks () - before) * PER));
    print ("\n");
  }
#endif
  return failed;
}
