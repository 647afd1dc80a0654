/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "picklecode.h"

/* How an operand is written; SIZE bytes are it, or its length. */
enum form {
  NONE,
  SKIPPED,
  UNSIGNED,
  SIGNED,
  SIZED,
  TEXT,
  LINE,
  DECIMAL,
  NAMES
};

static const struct {
  char form, size;
} forms[256] = {
  /* of no interest: protocol, frame, float */
  [0x80] = { SKIPPED, 1 },
  [0x95] = { SKIPPED, 8 },
  ['G'] = { SKIPPED, 8 },
  /* whole numbers; numbers of the memo and of extensions */
  ['K'] = { UNSIGNED, 1 },
  ['M'] = { UNSIGNED, 2 },
  ['J'] = { SIGNED, 4 },
  [0x8a] = { SIZED, 1 },
  [0x8b] = { SIZED, 4 },
  ['I'] = { DECIMAL, 0 },
  ['L'] = { DECIMAL, 0 },
  ['q'] = { UNSIGNED, 1 },
  ['r'] = { UNSIGNED, 4 },
  ['h'] = { UNSIGNED, 1 },
  ['j'] = { UNSIGNED, 4 },
  ['p'] = { DECIMAL, 0 },
  ['g'] = { DECIMAL, 0 },
  [0x82] = { UNSIGNED, 1 },
  [0x83] = { UNSIGNED, 2 },
  [0x84] = { UNSIGNED, 4 },
  /* text, bytes, and arrays of bytes */
  ['U'] = { TEXT, 1 },
  ['T'] = { TEXT, 4 },
  ['X'] = { TEXT, 4 },
  [0x8c] = { TEXT, 1 },
  [0x8d] = { TEXT, 8 },
  ['C'] = { TEXT, 1 },
  ['B'] = { TEXT, 4 },
  [0x8e] = { TEXT, 8 },
  [0x96] = { TEXT, 8 },
  ['S'] = { LINE, 0 },
  ['V'] = { LINE, 0 },
  ['F'] = { LINE, 0 },
  ['P'] = { LINE, 0 },
  /* classes by their names */
  ['c'] = { NAMES, 0 },
  ['i'] = { NAMES, 0 },
};

/* Those without an operand. */
static bool
is_bare (uint8_t code)
{
  static const char codes[]
    = "()t}]aesuld012NQRbo.\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"
      "\x97\x98";

  return code != 0 && strchr (codes, code) != NULL;
}

/* The N (<= 8) bytes of a little-endian number. */
static bool
take (const unsigned char **p, const unsigned char *end, int n, uint64_t *out)
{
  if (end - *p < n)
    return false;
  *out = 0;
  for (int i = 0; i < n; i++)
    *out |= (uint64_t) (*p)[i] << (8 * i);
  *p += n;
  return true;
}

/* The number V of N bytes in two's complement. */
static int64_t
with_sign (uint64_t v, int n)
{
  if (n > 0 && n < 8 && v >> (8 * n - 1) & 1)
    v |= UINT64_MAX << (8 * n);
  return (int64_t) v;
}

static bool
take_text (const unsigned char **p, const unsigned char *end, uint64_t n,
           struct picklecode *out)
{
  if (n > (uint64_t) (end - *p))
    return false;
  out->operand = PICKLECODE_TEXT;
  out->text = (const char *) *p;
  out->length = (size_t) n;
  *p += n;
  return true;
}

/* A line without its end. */
static bool
take_line (const unsigned char **p, const unsigned char *end,
           const char **text, size_t *n)
{
  const unsigned char *stop = memchr (*p, '\n', (size_t) (end - *p));

  if (stop == NULL)
    return false;
  *text = (const char *) *p;
  *n = (size_t) (stop - *p);
  *p = stop + 1;
  return true;
}

/* "12", "12L" */
static enum picklecode_fault
read_decimal (struct picklecode *c)
{
  char copy[24], *end;
  long long v;

  c->operand = PICKLECODE_HUGE;
  if (c->length >= sizeof copy)
    return PICKLECODE_OK;
  memcpy (copy, c->text, c->length);
  copy[c->length] = 0;
  errno = 0;
  v = strtoll (copy, &end, 10);
  if (end == copy || (*end != 0 && strcmp (end, "L") != 0))
    return PICKLECODE_NO_NUMBER;
  if (errno == 0) {
    c->operand = PICKLECODE_NUMBER;
    c->number = v;
  }
  return PICKLECODE_OK;
}

/* A whole number behind its length N. */
static bool
take_sized (const unsigned char **p, const unsigned char *end, uint64_t n,
            struct picklecode *out)
{
  uint64_t v = 0;

  if (n > 8) {
    const bool whole = take_text (p, end, n, out);

    out->operand = PICKLECODE_HUGE;
    return whole;
  }
  if (!take (p, end, (int) n, &v))
    return false;
  out->operand = PICKLECODE_NUMBER;
  out->number = with_sign (v, (int) n);
  return true;
}

enum picklecode_fault
picklecode_next (const unsigned char **p, const unsigned char *end,
                 struct picklecode *out)
{
  const uint8_t code = *(*p)++;
  const int form = forms[code].form, size = forms[code].size;
  bool whole = true;
  uint64_t n = 0;

  memset (out, 0, sizeof *out);
  out->code = code;
  if (form == NONE)
    return is_bare (code) ? PICKLECODE_OK : PICKLECODE_UNKNOWN;
  if (!take (p, end, size, &n))
    return PICKLECODE_CUT_SHORT;
  switch (form) {
  case UNSIGNED:
  case SIGNED:
    out->operand = PICKLECODE_NUMBER;
    out->number = form == SIGNED ? with_sign (n, size) : (int64_t) n;
    break;
  case SIZED:
    whole = take_sized (p, end, n, out);
    break;
  case TEXT:
    whole = take_text (p, end, n, out);
    break;
  case LINE:
  case DECIMAL:
    out->operand = PICKLECODE_LINE;
    whole = take_line (p, end, &out->text, &out->length);
    if (whole && form == DECIMAL)
      return read_decimal (out);
    break;
  case NAMES:
    out->operand = PICKLECODE_NAMES;
    whole = take_line (p, end, &out->text, &out->length)
            && take_line (p, end, &out->name, &out->name_length);
    break;
  default: /* SKIPPED */
    break;
  }
  return whole ? PICKLECODE_OK : PICKLECODE_CUT_SHORT;
}
