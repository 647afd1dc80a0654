/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run.c: the instructions of a pickle, of protocols 0 to 5.  What they make
 * and a file of weights does not need is an object without contents. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "picklecode/picklecode.h"

static int
push_nothing (struct machine *m)
{
  return machine_push_value (m, NOTHING, 0);
}

/* A whole number; what has more than 64 bits no tensor needs. */
static int
push_integer (struct machine *m, const struct picklecode *c)
{
  return c->operand == PICKLECODE_HUGE
           ? push_nothing (m)
           : machine_push_value (m, INT, c->number);
}

/* "00" and "01" of an I are truth values. */
static int
push_decimal (struct machine *m, const struct picklecode *c)
{
  return c->length == 2 && c->text[0] == '0'
           ? machine_push_value (m, BOOL, c->text[1] == '1')
           : push_integer (m, c);
}

static int
push_text (struct machine *m, const char *text, size_t n)
{
  struct object *o = NULL;
  const int r = machine_push (m, TEXT, &o);

  if (r == 0) {
    o->text = text;
    o->length = (uint32_t) n;
  }
  return r;
}

/* A line of text, QUOTED or not; no name has escapes. */
static int
push_line (struct machine *m, const struct picklecode *c, bool quoted)
{
  const char *text = c->text;
  const size_t n = c->length;

  if (memchr (text, '\\', n) != NULL)
    return push_nothing (m);
  if (!quoted)
    return push_text (m, text, n);
  if (n < 2 || (text[0] != '\'' && text[0] != '"') || text[n - 1] != text[0])
    return machine_damaged (m, "a text");
  return push_text (m, text + 1, n - 2);
}

/* ---- the memo ----------------------------------------------------------------*/

/* Picklers count from 0 or 1 on, and may leave numbers out. */
static int
put_memo (struct machine *m, int64_t i)
{
  uint32_t top = 0;
  int64_t at;
  int r = machine_peek (m, 0, MARK, &top);

  if (r < 0)
    return r;
  if (i < 0 || i >= PICKLE_MAX_OBJECTS)
    return machine_damaged (m, "too many objects");
  while (i >= (int64_t) m->memo.n)
    if ((at = machine_grow (m, &m->memo)) < 0)
      return (int) at;
  AT (m->memo, uint32_t, i) = top + 1; /* 0: none */
  return 0;
}

static int
get_memo (struct machine *m, int64_t i)
{
  if (i < 0 || i >= (int64_t) m->memo.n || AT (m->memo, uint32_t, i) == 0)
    return machine_damaged (m, "something that is not in the memo");
  return machine_push_number (m, AT (m->memo, uint32_t, i) - 1);
}

/* No memo has a number of more than 64 bits. */
static int64_t
memo_number (const struct picklecode *c)
{
  return c->operand == PICKLECODE_NUMBER ? c->number : -1;
}

/* ---- the stack ---------------------------------------------------------------*/

static int
drop (struct machine *m)
{
  uint32_t top;

  return machine_pop (m, MARK, &top);
}

/* Everything above the last mark, and the mark. */
static int
drop_marked (struct machine *m)
{
  size_t n = 0;
  const int r = machine_above_mark (m, &n);

  if (r == 0)
    m->stack.n -= n + 1;
  return r;
}

static int
duplicate (struct machine *m)
{
  uint32_t top = 0;
  const int r = machine_peek (m, 0, MARK, &top);

  return r < 0 ? r : machine_push_number (m, top);
}

static int
do_mark_tuple (struct machine *m)
{
  size_t n = 0;
  const int r = machine_above_mark (m, &n);

  return r < 0 ? r : machine_make_tuple (m, n, true);
}

/* ---- lists and dictionaries --------------------------------------------------*/

/* The N objects on top into the list below them and, with MARKED, a mark.  Of
 * foreign lists nothing is kept. */
static int
append (struct machine *m, size_t n, bool marked)
{
  uint32_t list = 0;
  int r = machine_peek (m, n + marked, MARK, &list);

  for (size_t i = 0; r == 0 && i < n; i++)
    if (machine_object (m, list)->kind == LIST)
      r = machine_add_pair (m, list, 0,
                            AT (m->stack, uint32_t, m->stack.n - n + i));
  if (r == 0)
    m->stack.n -= n + marked;
  return r;
}

/* The same with N / 2 keys and values.  What takes them is a dictionary, if
 * one that is derived. */
static int
set_items (struct machine *m, size_t n, bool marked)
{
  uint32_t dict = 0;
  int r;

  if ((r = machine_peek (m, n + marked, MARK, &dict)) < 0)
    return r;
  if (n % 2 != 0)
    return machine_damaged (m, "a key without its value");
  if (machine_object (m, dict)->kind == FOREIGN) {
    machine_object (m, dict)->kind = DICT;
    machine_object (m, dict)->first = 0;
  }
  if (machine_object (m, dict)->kind != DICT)
    return machine_damaged (m, "items for something that is no dictionary");
  for (size_t i = 0; r == 0 && i < n; i += 2) {
    const uint32_t *s = &AT (m->stack, uint32_t, m->stack.n - n + i);

    r = machine_add_pair (m, dict, s[0], s[1]);
  }
  if (r == 0)
    m->stack.n -= n + marked;
  return r;
}

static int
do_marked (struct machine *m,
           int (*what) (struct machine *, size_t n, bool marked))
{
  size_t n = 0;
  const int r = machine_above_mark (m, &n);

  return r < 0 ? r : what (m, n, true);
}

/* A list or dictionary from what is above the last mark. */
static int
collect (struct machine *m, enum kind kind,
         int (*what) (struct machine *, size_t n, bool marked))
{
  struct object *o = NULL;
  uint32_t made = 0;
  size_t n = 0, i;
  int r = machine_above_mark (m, &n);

  if (r < 0 || (r = machine_push (m, kind, &o)) < 0
      || (r = machine_pop (m, kind, &made)) < 0)
    return r;
  /* the new object takes the place of the mark */
  i = m->stack.n - n - 1;
  AT (m->stack, uint32_t, i) = made;
  return what (m, n, false);
}

/* ---- classes -----------------------------------------------------------------*/

static int
do_global (struct machine *m, const struct picklecode *c)
{
  return machine_push_global (m, c->text, c->length, c->name, c->name_length);
}

static int
do_stack_global (struct machine *m)
{
  uint32_t module = 0, name = 0;
  const struct object *a, *b;
  int r;

  if ((r = machine_pop (m, TEXT, &name)) < 0
      || (r = machine_pop (m, TEXT, &module)) < 0)
    return r;
  a = machine_object (m, module);
  b = machine_object (m, name);
  return machine_push_global (m, a->text, a->length, b->text, b->length);
}

/* Class, arguments, names of arguments -> object */
static int
do_new_extended (struct machine *m)
{
  const int r = drop (m);

  return r < 0 ? r : machine_reduce (m);
}

/* A class below its arguments, which are above the mark. */
static int
do_instance (struct machine *m)
{
  struct object *o = NULL;
  const int r = drop_marked (m);

  return r < 0 ? r : machine_push (m, FOREIGN, &o);
}

/* What another program knows by a number. */
static int
do_extension (struct machine *m)
{
  struct object *o = NULL;

  return machine_push (m, FOREIGN, &o);
}

static int
do_frozen_set (struct machine *m)
{
  const int r = drop_marked (m);

  return r < 0 ? r : push_nothing (m);
}

/* ---- the instructions ----------------------------------------------------------*/

/* Numbers, texts and other things without parts. */
static int
step_value (struct machine *m, const struct picklecode *c)
{
  switch (c->code) {
  case 'K':
  case 'M':
  case 'J':
  case 'L':
  case 0x8a:
  case 0x8b:
    return push_integer (m, c);
  case 'I':
    return push_decimal (m, c);
  case 'X':
  case 'T':
  case 'U':
  case 0x8c:
  case 0x8d:
    return push_text (m, c->text, c->length);
  case 'S':
    return push_line (m, c, true);
  case 'V':
    return push_line (m, c, false);
  case 0x88:
    return machine_push_value (m, BOOL, 1);
  case 0x89:
    return machine_push_value (m, BOOL, 0);
  case 0x82:
  case 0x83:
  case 0x84:
    return do_extension (m);
  default: /* None, bytes, numbers with a point, an empty set, a buffer from
              elsewhere, a persistent identifier in a line */
    return push_nothing (m);
  }
}

/* Calls, classes and the memo. */
static int
step_object (struct machine *m, const struct picklecode *c)
{
  switch (c->code) {
  case 'q':
  case 'r':
  case 'p':
    return put_memo (m, memo_number (c));
  case 0x94:
    return put_memo (m, (int64_t) m->memo.n);
  case 'h':
  case 'j':
  case 'g':
    return get_memo (m, memo_number (c));
  case 'c':
    return do_global (m, c);
  case 0x93:
    return do_stack_global (m);
  case 'Q':
    return machine_persistent (m);
  case 'R':
  case 0x81: /* an object of a class, without its constructor */
    return machine_reduce (m);
  case 0x92:
    return do_new_extended (m);
  case 'o':
  case 'i':
    return do_instance (m);
  case 'b':
    return machine_build (m);
  default:
    return step_value (m, c);
  }
}

static int
step (struct machine *m, const struct picklecode *c)
{
  switch (c->code) {
  case 0x80: /* the protocol */
  case 0x95: /* a frame */
  case 0x98: /* read only */
    return 0;
  case '(':
    return machine_push_value (m, MARK, 0);
  case ')':
    return machine_make_tuple (m, 0, false);
  case 't':
    return do_mark_tuple (m);
  case 0x85:
  case 0x86:
  case 0x87:
    return machine_make_tuple (m, c->code - 0x84u, false);
  case '}':
    return machine_push_value (m, DICT, 0);
  case ']':
    return machine_push_value (m, LIST, 0);
  case 'a':
    return append (m, 1, false);
  case 'e':
    return do_marked (m, append);
  case 's':
    return set_items (m, 2, false);
  case 'u':
    return do_marked (m, set_items);
  case 'l':
    return collect (m, LIST, append);
  case 'd':
    return collect (m, DICT, set_items);
  case '0':
    return drop (m);
  case '1':
  case 0x90: /* into a set */
    return drop_marked (m);
  case 0x91:
    return do_frozen_set (m);
  case '2':
    return duplicate (m);
  default:
    return step_object (m, c);
  }
}

static int
fault (const struct machine *m, enum picklecode_fault what, uint8_t code)
{
  if (what == PICKLECODE_UNKNOWN)
    return qk_error (-EBADMSG,
                     "%s: not a PyTorch file of weights, or damaged: 0x%02x "
                     "is no instruction of a pickle",
                     m->path, code);
  return machine_damaged (m, what == PICKLECODE_CUT_SHORT ? "cut short"
                                                          : "a number");
}

int
machine_run (struct machine *m)
{
  while (m->p < m->end) {
    struct picklecode c;
    const enum picklecode_fault what = picklecode_next (&m->p, m->end, &c);
    int r;

    if (what != PICKLECODE_OK)
      return fault (m, what, c.code);
    if (c.code == '.')
      return 0;
    if ((r = step (m, &c)) < 0)
      return r;
  }
  return machine_damaged (m, "its end is missing");
}
