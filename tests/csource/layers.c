/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layers.c: single layers with random numbers, of all sizes that the inner
 * loops tell apart, through the functions of generated C.  Prints a checksum
 * of what they compute, the same on every processor; with TIMED the
 * instructions for each multiply-accumulate of those in docs/microcontrollers.md.
 * kernels.h is made of plugins/formats/csource/kernels by
 * tests/test-csource-networks.sh. */
#include "kernels.h"

#ifdef QATKIT_BOARD
#include "start.h"
#else
#include <stdio.h>

static void
print (const char *text)
{
  fputs (text, stdout);
}

static void
print_number (uint32_t n)
{
  printf ("%lu", (unsigned long) n);
}
#endif

#define DEPTH 600
#define CHANNELS 70
#define PIXELS (26 * 26)

static uint8_t x[PIXELS * 64], y[PIXELS * 64 + 8],
  scratch[15 * 70 + 6 * DEPTH];
static int8_t weight[64 * DEPTH];
static int32_t bias[CHANNELS + 16];
static uint32_t multiplier[CHANNELS + 16];
static uint32_t state = 1, sum = 2166136261u;

static uint32_t
drawn (void)
{
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

static void
fill_bytes (void)
{
  int32_t i;

  for (i = 0; i < (int32_t) sizeof x; i++)
    x[i] = (uint8_t) drawn ();
  for (i = 0; i < (int32_t) sizeof weight; i++)
    weight[i] = (int8_t) drawn ();
}

/* For columns of DEPTH bytes: results about the middle of what a byte has; now
 * and then a multiplier of few bits, whose products are halves, or an extreme
 * one, but for PLAIN ones. */
static void
fill (int32_t depth, int32_t plain)
{
  int32_t i, e = 0;

  while (e < 6 && depth >> 2 * e > 0)
    e++;
  for (i = 0; i < CHANNELS + 16; i++) {
    bias[i] = (int32_t) (drawn () & 0xffff) - 0x8000;
    multiplier[i] = ((uint32_t) (127 - 8 - e - (int32_t) (drawn () % 3)) << 23)
                    | (!plain && drawn () % 4 == 0 ? 0 : drawn () & 0x7fffff);
    if (!plain && drawn () % 16 == 0)
      multiplier[i] = (drawn () % 160) << 23;
  }
  memset (y, 77, sizeof y);
}

static void
add_to_sum (int32_t n)
{
  int32_t i;

  for (i = 0; i < n + 8; i++) /* and what must not be written */
    sum = (sum ^ y[i]) * 16777619u;
}

static int32_t lo, hi, zp;

static void
draw_bounds (void)
{
  static const int32_t los[] = { 0, 0, 3, 128 },
                       his[] = { 255, 255, 200, 128 };
  const uint32_t i = drawn () % 4;

  lo = los[i];
  hi = his[i];
  zp = i == 2 ? 3 : (int32_t) (drawn () & 255);
}

static void
run_rows (int32_t pixels, int32_t depth, int32_t channels)
{
  struct weighted l = { weight, bias, multiplier, 0, 0, 0, 0, 0, 0 };

  l.depth = depth;
  l.channels = channels;
  l.wide = depth > 500;
  l.zp = zp;
  l.lo = lo;
  l.hi = hi;
  rows (&l, pixels, x, y, scratch);
}

/* GROUPS of C channels each to K each. */
static void
run_conv (int32_t size, int32_t kernel, int32_t c, int32_t k, int32_t groups)
{
  struct weighted l = { weight, bias, multiplier, 0, 0, 0, 0, 0, 0 };
  struct window n = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0 };

  l.depth = (kernel * kernel * c + 3) / 4 * 4;
  l.channels = k;
  l.zp = zp;
  l.lo = lo;
  l.hi = hi;
  n.h = n.w = n.p = n.q = size;
  n.c = c * groups;
  n.k = k * groups;
  n.groups = groups;
  n.r = n.s = kernel;
  n.top = n.left = kernel / 2;
  n.zp = 117;
  conv (&l, &n, x, y, scratch);
}

static void
run_depthwise (int32_t size, int32_t c, int32_t stride)
{
  struct depthwise l = { weight, bias, multiplier, 0, 0, 0, 0 };
  struct window n = { 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 1, 1, 1, 1, 0, 0 };

  l.zp = zp;
  l.lo = lo;
  l.hi = hi;
  n.h = n.w = size;
  n.p = n.q = (size - 1) / stride + 1;
  n.c = n.k = n.groups = c;
  n.stride_h = n.stride_w = stride;
  n.zp = 117;
  depthwise3 (&l, &n, x, y, scratch);
}

static void
run_all (void)
{
  int32_t i;

  for (i = 0; i < 150; i++) {
    const int32_t depth
      = i < 40 ? 4 * i + 4 : 4 + 4 * (int32_t) (drawn () % 50);
    const int32_t channels = 1 + (int32_t) (drawn () % 40);
    const int32_t pixels = 1 + (int32_t) (drawn () % 5);

    fill (depth, 0);
    draw_bounds ();
    run_rows (pixels, depth, channels);
    add_to_sum (pixels * channels);
  }
  fill (600, 0);
  draw_bounds ();
  run_rows (3, 600, 9);
  add_to_sum (27);
  for (i = 0; i < 40; i++) {
    const int32_t size = 3 + (int32_t) (drawn () % 4);
    const int32_t kernel = 1 + 2 * (int32_t) (drawn () % 2);
    const int32_t c = 1 + (int32_t) (drawn () % 12);
    const int32_t k = 1 + (int32_t) (drawn () % 12);
    const int32_t groups = 1 + (int32_t) (drawn () % 2);

    fill (kernel * kernel * c, 0);
    draw_bounds ();
    run_conv (size, kernel, c, k, groups);
    add_to_sum (size * size * k * groups);
  }
  for (i = 0; i < 40; i++) {
    const int32_t size = 3 + (int32_t) (drawn () % 4);
    const int32_t c = 1 + (int32_t) (drawn () % 40);
    const int32_t stride = 1 + (int32_t) (drawn () % 2);

    fill (9, 0);
    draw_bounds ();
    run_depthwise (size, c, stride);
    add_to_sum (((size - 1) / stride + 1) * ((size - 1) / stride + 1) * c);
  }
}

#ifdef TIMED
/* How many instructions a hundred ticks of the board stand for. */
#ifndef PER
#define PER 4000
#endif

static void
report (const char *name, uint64_t taken, uint64_t macs)
{
  const uint64_t hundredths = (taken * PER + macs / 2) / macs;

  print (name);
  print (": ");
  print_number ((uint32_t) (hundredths / 100));
  print (hundredths % 100 < 10 ? ".0" : ".");
  print_number ((uint32_t) (hundredths % 100));
  print ("\n");
}

#define TIME(name, depth, macs, call)                                         \
  do {                                                                        \
    uint64_t before;                                                          \
                                                                              \
    fill (depth, 1);                                                          \
    lo = 0, hi = 255, zp = 3;                                                 \
    before = ticks ();                                                        \
    call;                                                                     \
    report (name, ticks () - before, macs);                                   \
  } while (0)

static void
time_all (void)
{
  TIME ("conv 1x1 64 to 64", 64, 144 * 64 * 64, run_rows (144, 64, 64));
  TIME ("conv 3x3 32 to 32", 288, 144 * 288 * 32, run_conv (12, 3, 32, 32, 1));
  TIME ("conv 3x3 16 to 16", 144, 144 * 144 * 16, run_conv (12, 3, 16, 16, 1));
  TIME ("conv 3x3, 24x24, 3 to 16", 27, 576 * 27 * 16,
        run_conv (24, 3, 3, 16, 1));
  TIME ("depthwise 3x3, 64", 9, 144 * 9 * 64, run_depthwise (12, 64, 1));
  TIME ("linear 256 to 64", 256, 256 * 64, run_rows (1, 256, 64));
}
#endif

int
main (void)
{
  fill_bytes ();
  run_all ();
  print_number (sum);
  print ("\n");
#ifdef TIMED
  time_all ();
#endif
  return 0;
}
