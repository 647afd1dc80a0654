/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* picklecode.h: the instructions of a pickle, of protocols 0 to 5, and what each
 * brings along.  Nothing is run.
 * https://github.com/python/cpython/blob/main/Lib/pickletools.py */
#ifndef QK_PICKLECODE_H
#define QK_PICKLECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The operand of an instruction. */
enum picklecode_operand {
  PICKLECODE_NOTHING, /* none, or one of no interest: a frame, a float */
  PICKLECODE_NUMBER,
  PICKLECODE_HUGE, /* a whole number of more than 64 bits */
  PICKLECODE_TEXT, /* text or bytes, behind its length */
  PICKLECODE_LINE, /* of text */
  PICKLECODE_NAMES /* two lines: a module, and a name in it */
};

struct picklecode {
  uint8_t code;
  enum picklecode_operand operand;
  int64_t number;
  const char *text; /* TEXT, LINE, NAMES: in the pickle, not ended by a zero */
  size_t length;
  const char *name; /* NAMES: the second line */
  size_t name_length;
};

enum picklecode_fault {
  PICKLECODE_OK,
  PICKLECODE_CUT_SHORT,
  PICKLECODE_UNKNOWN,  /* no instruction has that code */
  PICKLECODE_NO_NUMBER /* a line that should be one */
};

/* The instruction at *P < END, and *P behind it.  After a fault OUT has its
 * code alone. */
enum picklecode_fault picklecode_next (const unsigned char **p,
                                       const unsigned char *end,
                                       struct picklecode *out);

#endif /* QK_PICKLECODE_H */
