/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* start.c: a program on a Cortex-M alone, in QEMU: the vector table, output
 * and the exit status by semihosting, and SysTick, which counts instructions
 * with -icount shift=0. */
#include <stdint.h>
#include <string.h>

#include "start.h"

extern uint32_t stack_end[], data_start[], data_end[], data_from[],
  bss_start[], bss_end[];

int main (void);
void start (void);
void fault (void);

static int32_t
semihosting (int32_t operation, const void *argument)
{
  register int32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;

  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

void
print (const char *text)
{
  semihosting (4, text); /* SYS_WRITE0 */
}

void
print_number (uint32_t n)
{
  char text[12];
  int at = 11;

  text[11] = 0;
  do
    text[--at] = (char) ('0' + n % 10);
  while ((n /= 10) > 0);
  print (text + at);
}

static void
finish (uint32_t status)
{
  const uint32_t block[2] = { 0x20026, status }; /* SYS_EXIT_EXTENDED */

  semihosting (0x20, block);
  for (;;)
    ;
}

#define SYST_CSR (*(volatile uint32_t *) 0xe000e010)
#define SYST_RVR (*(volatile uint32_t *) 0xe000e014)
#define SYST_CVR (*(volatile uint32_t *) 0xe000e018)
#define CPACR (*(volatile uint32_t *) 0xe000ed88)

static volatile uint32_t rounds;

/* Ticks, counted downwards and around every 2^24. */
static void
tick (void)
{
  rounds++;
}

uint64_t
ticks (void)
{
  uint32_t r, at;

  do {
    r = rounds;
    at = SYST_CVR;
  } while (r != rounds);
  return ((uint64_t) r << 24) + (0xffffff - at);
}

void
start (void)
{
  CPACR |= 0xf << 20; /* the unit for reals, and vectors */
  __asm__ volatile("dsb\n\tisb");
  memcpy (data_start, data_from,
          (size_t) ((char *) data_end - (char *) data_start));
  memset (bss_start, 0, (size_t) ((char *) bss_end - (char *) bss_start));
  SYST_RVR = 0xffffff;
  SYST_CVR = 0;
  SYST_CSR = 7;
  finish ((uint32_t) main ());
}

void
fault (void)
{
  print ("fault\n");
  finish (99);
}

__attribute__ ((section (".vectors"), used)) static const void *const vectors[]
  = { stack_end,
      (void *) start,
      (void *) fault,
      (void *) fault,
      (void *) fault,
      (void *) fault,
      (void *) fault,
      0,
      0,
      0,
      0,
      (void *) fault,
      (void *) fault,
      0,
      (void *) fault,
      (void *) tick };
