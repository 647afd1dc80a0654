/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* error.c: the sentence that explains the last error of a thread. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/called.h"
#include "qatkit/base.h"

/* Long enough to list every tensor of a network by name; a sentence that is
 * longer still ends in "...". */
enum { ERROR_SIZE = 32768 };

static _Thread_local char error_text[ERROR_SIZE];

/* Names from untrusted files end up in sentences and sentences on terminals:
 * no byte may steer the terminal. */
static void
defuse (char *s)
{
  for (; *s; s++)
    if (((unsigned char) *s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f)
      *s = '?';
}

/* Replace the sentence by FMT followed by TAIL (which may lie in the old
 * sentence, as may the arguments). */
static void
record (const char *fmt, va_list args, const char *tail)
{
  char text[ERROR_SIZE];
  int n = vsnprintf (text, sizeof text, fmt, args);
  size_t used;

  if (n < 0)
    n = snprintf (text, sizeof text, "%s", fmt);
  used = (size_t) n < sizeof text ? (size_t) n : sizeof text;
  if (used < sizeof text) {
    const size_t len = strlen (tail), room = sizeof text - used - 1;
    const size_t take = len < room ? len : room;

    memcpy (text + used, tail, take);
    text[used + take] = '\0';
    used += len;
  }
  if (used >= sizeof text)
    memcpy (text + sizeof text - 4, "...", 4);
  defuse (text);
  strcpy (error_text, text);
}

int
qk_error (int err, const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  record (fmt, args, "");
  va_end (args);
  return err;
}

int
qk_error_prefix (int err, const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  record (fmt, args, error_text);
  va_end (args);
  return err;
}

int
qk_oom (const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  record (fmt, args, "");
  va_end (args);
  return qk_error_prefix (-ENOMEM, "out of memory: ");
}

void
qk_error_clear (void)
{
  error_text[0] = 0;
}

int
qk_error_blame (int err, const char *kind, const char *name, const char *slot)
{
  char reason[128];

  if (err >= 0 || err == -EINTR || error_text[0] != 0)
    return err;
  return qk_error (
    err, "%s '%s': its slot %s returned %d (%s) without a sentence", kind,
    name, slot, err, strerror_r (-err, reason, sizeof reason));
}

const char *
qk_error_message (void)
{
  return error_text;
}
