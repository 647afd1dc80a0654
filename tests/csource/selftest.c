/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* selftest.c: the self-test of a network "net" on a board, and the
 * instructions that its layers take; PER is how many a tick stands for. */
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
    int layer;

    for (layer = 1; layer <= NET_LAYERS; layer++) {
      const uint64_t before = ticks ();

      (void) net_run_layer (arena, in, out, layer);
      print_number ((uint32_t) ((double) (ticks () - before) * PER));
      print (layer < NET_LAYERS ? " " : "\n");
    }
  }
#endif
  return failed;
}
