/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run.c: the instructions of a pickle, of protocols 0 to 5.  What they make
 * and a file of weights does not need is an object without contents. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* ---- operands ----------------------------------------------------------------*/

/* The N (<= 8) bytes of a little-endian number, as signed or unsigned. */
static int
take_number (struct machine *m, int n, bool is_signed, int64_t *out)
{
  uint64_t v = 0;
  int i;

  if (m->end - m->p < n)
    return machine_damaged (m, "cut short");
  for (i = 0; i < n; i++)
    v |= (uint64_t) m->p[i] << (8 * i);
  m->p += n;
  if (is_signed && n > 0 && n < 8 && v >> (8 * n - 1) & 1)
    v |= UINT64_MAX << (8 * n);
  *out = (int64_t) v;
  return 0;
}

static int
skip (struct machine *m, int64_t n)
{
  if (n < 0 || m->end - m->p < n)
    return machine_damaged (m, "cut short");
  m->p += n;
  return 0;
}

/* A line without its end. */
static int
take_line (struct machine *m, const char **text, size_t *n)
{
  const unsigned char *end = memchr (m->p, '\n', (size_t) (m->end - m->p));

  if (end == NULL)
    return machine_damaged (m, "cut short");
  *text = (const char *) m->p;
  *n = (size_t) (end - m->p);
  m->p = end + 1;
  return 0;
}

static int
push_nothing (struct machine *m)
{
  return machine_push_value (m, NOTHING, 0);
}

/* ---- numbers -----------------------------------------------------------------*/

static int
do_int (struct machine *m, int bytes, bool is_signed)
{
  int64_t v = 0;
  const int r = take_number (m, bytes, is_signed, &v);

  return r < 0 ? r : machine_push_value (m, INT, v);
}

/* What has more than 64 bits no tensor needs. */
static int
do_long (struct machine *m, int bytes)
{
  int64_t n = 0;
  int r = take_number (m, bytes, false, &n);

  if (r < 0)
    return r;
  if (n <= 8)
    return do_int (m, (int) n, true);
  return (r = skip (m, n)) < 0 ? r : push_nothing (m);
}

/* "12", "12L"; of an I also "00" and "01", which are truth values. */
static int
do_decimal (struct machine *m, bool may_be_bool)
{
  const char *text = NULL;
  char copy[24], *end;
  long long v;
  size_t n = 0;
  int r = take_line (m, &text, &n);

  if (r < 0)
    return r;
  if (may_be_bool && n == 2 && text[0] == '0')
    return machine_push_value (m, BOOL, text[1] == '1');
  if (n >= sizeof copy)
    return push_nothing (m);
  memcpy (copy, text, n);
  copy[n] = 0;
  errno = 0;
  v = strtoll (copy, &end, 10);
  if (end == copy || (*end != 0 && strcmp (end, "L") != 0))
    return machine_damaged (m, "a number");
  return errno != 0 ? push_nothing (m) : machine_push_value (m, INT, v);
}

/* A line of no interest. */
static int
do_line (struct machine *m)
{
  const char *text;
  size_t n;
  const int r = take_line (m, &text, &n);

  return r < 0 ? r : push_nothing (m);
}

/* ---- texts -------------------------------------------------------------------*/

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

static int
do_text (struct machine *m, int bytes)
{
  const unsigned char *text;
  int64_t n = 0;
  int r = take_number (m, bytes, false, &n);

  text = m->p;
  if (r < 0 || (r = skip (m, n)) < 0)
    return r;
  return push_text (m, (const char *) text, (size_t) n);
}

static int
do_bytes (struct machine *m, int bytes)
{
  int64_t n = 0;
  int r = take_number (m, bytes, false, &n);

  if (r < 0 || (r = skip (m, n)) < 0)
    return r;
  return push_nothing (m);
}

/* A line of text, QUOTED or not; no name has escapes. */
static int
do_text_line (struct machine *m, bool quoted)
{
  const char *text = NULL;
  size_t n = 0;
  const int r = take_line (m, &text, &n);

  if (r < 0)
    return r;
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

static int
do_memo (struct machine *m, int bytes, int (*what) (struct machine *, int64_t))
{
  int64_t i = 0;
  const int r = take_number (m, bytes, false, &i);

  return r < 0 ? r : what (m, i);
}

static int
do_memo_line (struct machine *m, int (*what) (struct machine *, int64_t))
{
  uint32_t number = 0;
  int r = do_decimal (m, false);

  if (r < 0 || (r = machine_pop (m, INT, &number)) < 0)
    return r;
  return what (m, machine_object (m, number)->value);
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
do_global (struct machine *m)
{
  const char *module = NULL, *name = NULL;
  size_t module_n = 0, name_n = 0;
  int r;

  if ((r = take_line (m, &module, &module_n)) < 0
      || (r = take_line (m, &name, &name_n)) < 0)
    return r;
  return machine_push_global (m, module, module_n, name, name_n);
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

/* A class, by name or below its arguments, and what is above the mark. */
static int
do_instance (struct machine *m, bool by_name)
{
  struct object *o = NULL;
  int r = 0;

  if (by_name && ((r = do_global (m)) < 0 || (r = drop (m)) < 0))
    return r;
  return (r = drop_marked (m)) < 0 ? r : machine_push (m, FOREIGN, &o);
}

static int
do_extension (struct machine *m, int bytes)
{
  struct object *o = NULL;
  const int r = skip (m, bytes);

  return r < 0 ? r : machine_push (m, FOREIGN, &o);
}

static int
do_frozen_set (struct machine *m)
{
  const int r = drop_marked (m);

  return r < 0 ? r : push_nothing (m);
}

/* ---- the instructions ----------------------------------------------------------*/

/* Those with operands in lines of text, which old protocols have. */
static int
step_text (struct machine *m, unsigned char op)
{
  switch (op) {
  case 'F':
  case 'P':
    return do_line (m);
  case 'I':
    return do_decimal (m, true);
  case 'L':
    return do_decimal (m, false);
  case 'S':
    return do_text_line (m, true);
  case 'V':
    return do_text_line (m, false);
  case 'g':
    return do_memo_line (m, get_memo);
  case 'p':
    return do_memo_line (m, put_memo);
  case 'i':
    return do_instance (m, true);
  default:
    return qk_error (-EBADMSG,
                     "%s: not a PyTorch file of weights, or damaged: 0x%02x "
                     "is no instruction of a pickle",
                     m->path, op);
  }
}

/* Numbers, texts and other things without parts. */
static int
step_value (struct machine *m, unsigned char op)
{
  switch (op) {
  case 'K':
    return do_int (m, 1, false);
  case 'M':
    return do_int (m, 2, false);
  case 'J':
    return do_int (m, 4, true);
  case 0x8a:
    return do_long (m, 1);
  case 0x8b:
    return do_long (m, 4);
  case 'X':
  case 'T':
    return do_text (m, 4);
  case 'U':
  case 0x8c:
    return do_text (m, 1);
  case 0x8d:
    return do_text (m, 8);
  case 'C':
    return do_bytes (m, 1);
  case 'B':
    return do_bytes (m, 4);
  case 0x8e:
  case 0x96:
    return do_bytes (m, 8);
  case 'G':
    return skip (m, 8) < 0 ? -EBADMSG : push_nothing (m);
  case 0x88:
    return machine_push_value (m, BOOL, 1);
  case 0x89:
    return machine_push_value (m, BOOL, 0);
  case 'N':
  case 0x8f: /* an empty set */
  case 0x97: /* a buffer from elsewhere */
    return push_nothing (m);
  case 0x82:
    return do_extension (m, 1);
  case 0x83:
    return do_extension (m, 2);
  case 0x84:
    return do_extension (m, 4);
  default:
    return step_text (m, op);
  }
}

/* Calls, classes and the memo. */
static int
step_object (struct machine *m, unsigned char op)
{
  switch (op) {
  case 'q':
    return do_memo (m, 1, put_memo);
  case 'r':
    return do_memo (m, 4, put_memo);
  case 0x94:
    return put_memo (m, (int64_t) m->memo.n);
  case 'h':
    return do_memo (m, 1, get_memo);
  case 'j':
    return do_memo (m, 4, get_memo);
  case 'c':
    return do_global (m);
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
    return do_instance (m, false);
  case 'b':
    return machine_build (m);
  default:
    return step_value (m, op);
  }
}

static int
step (struct machine *m, unsigned char op)
{
  switch (op) {
  case 0x80:
    return skip (m, 1); /* PROTO */
  case 0x95:
    return skip (m, 8); /* FRAME */
  case 0x98:
    return 0; /* read only */
  case '(':
    return machine_push_value (m, MARK, 0);
  case ')':
    return machine_make_tuple (m, 0, false);
  case 't':
    return do_mark_tuple (m);
  case 0x85:
  case 0x86:
  case 0x87:
    return machine_make_tuple (m, op - 0x84u, false);
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
    return step_object (m, op);
  }
}

int
machine_run (struct machine *m)
{
  while (m->p < m->end) {
    const unsigned char op = *m->p++;
    int r;

    if (op == '.')
      return 0;
    if ((r = step (m, op)) < 0)
      return r;
  }
  return machine_damaged (m, "its end is missing");
}
