/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* start.h: what start.c gives a program. */
#ifndef START_H
#define START_H

#include <stdint.h>

void print (const char *text);
void print_number (uint32_t n);
uint64_t ticks (void); /* SysTick, of the processor's clock */

#endif /* START_H */
