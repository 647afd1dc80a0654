/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* start-riscv.c: a program on a RISC-V alone, QEMU's machine "virt": its
 * console, its way to end, and instructions, which it counts itself. */
#include <stdint.h>
#include <string.h>

#include "start.h"

extern char data_start[], data_end[], data_from[], bss_start[], bss_end[];

int main (void);
void begin (void);

#define CONSOLE (*(volatile uint8_t *) 0x10000000)
#define FINISHER (*(volatile uint32_t *) 0x100000)

void
print (const char *text)
{
  while (*text != 0)
    CONSOLE = (uint8_t) *text++;
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

uint64_t
ticks (void)
{
  unsigned long n;

  __asm__ volatile(".option push\n\t.option arch, +zicsr\n\t"
                   "csrr %0, minstret\n\t.option pop"
                   : "=r"(n));
  return n;
}

void
begin (void)
{
  int status;

  memcpy (data_start, data_from, (size_t) (data_end - data_start));
  memset (bss_start, 0, (size_t) (bss_end - bss_start));
  status = main ();
  FINISHER = status == 0 ? 0x5555 : (uint32_t) status << 16 | 0x3333;
  for (;;)
    ;
}

/* The first instructions: the unit for reals, if there is one, and a stack;
 * what goes wrong ends in status 99. */
__asm__(".pushsection .vectors, \"ax\"\n"
        ".option push\n"
        ".option arch, +zicsr\n"
        ".option norelax\n"
        ".globl start\n"
        "start:\n"
        "  la t0, trap\n"
        "  csrw mtvec, t0\n"
        "  li t0, 0x2000\n"
        "  csrs mstatus, t0\n"
        "  la sp, stack_end\n"
        "  call begin\n"
        ".align 2\n"
        "trap:\n"
        "  li t0, 0x100000\n"
        "  li t1, 0x633333\n"
        "  sw t1, 0(t0)\n"
        "  j trap\n"
        ".option pop\n"
        ".popsection\n");
