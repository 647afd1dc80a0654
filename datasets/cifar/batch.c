/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batch.c: pickles of CIFAR, read as the row of their instructions: what stands
 * behind a key is looked at, nothing is computed.
 * https://github.com/python/cpython/blob/main/Lib/pickletools.py */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"

struct scan {
  const uint8_t *p, *end;
  const char *path;
};

/* What an instruction means here. */
enum token {
  T_TEXT,   /* text or bytes */
  T_NUMBER, /* whole */
  T_MARK,
  T_LIST,   /* an empty one */
  T_APPEND, /* one or several elements to a list */
  T_OTHER,
  T_STOP
};

/* An instruction, and what it brings along. */
struct instruction {
  enum token token;
  const uint8_t *text; /* T_TEXT: LENGTH bytes */
  size_t length;
  int64_t number;
};

/* Instructions with a fixed number of bytes behind them. */
static const struct form {
  uint8_t code, bytes;
  enum token token;
} forms[] = { { 0x80, 1, T_OTHER }, { 0x95, 8, T_OTHER }, { 'q', 1, T_OTHER },
              { 'r', 4, T_OTHER },  { 0x94, 0, T_OTHER }, { 'h', 1, T_OTHER },
              { 'j', 4, T_OTHER },  { 'G', 8, T_OTHER },  { 'K', 1, T_NUMBER },
              { 'M', 2, T_NUMBER }, { 'J', 4, T_NUMBER }, { '(', 0, T_MARK },
              { ']', 0, T_LIST },   { 'e', 0, T_APPEND }, { 'a', 0, T_APPEND },
              { '}', 0, T_OTHER },  { ')', 0, T_OTHER },  { 't', 0, T_OTHER },
              { 'l', 0, T_OTHER },  { 'd', 0, T_OTHER },  { 'R', 0, T_OTHER },
              { 'b', 0, T_OTHER },  { 'u', 0, T_OTHER },  { 's', 0, T_OTHER },
              { 'N', 0, T_OTHER },  { '0', 0, T_OTHER },  { '1', 0, T_OTHER },
              { '2', 0, T_OTHER },  { 0x85, 0, T_OTHER }, { 0x86, 0, T_OTHER },
              { 0x87, 0, T_OTHER }, { 0x88, 0, T_OTHER }, { 0x89, 0, T_OTHER },
              { 0x93, 0, T_OTHER }, { 0x97, 0, T_OTHER }, { 0x98, 0, T_OTHER },
              { '.', 0, T_STOP } };

/* Instructions with a text of a length that stands before it. */
static const struct {
  uint8_t code, bytes; /* of the length */
} texts[] = { { 'U', 1 }, { 'T', 4 }, { 'X', 4 },  { 0x8c, 1 }, { 0x8d, 8 },
              { 'C', 1 }, { 'B', 4 }, { 0x8e, 8 }, { 0x96, 8 } };

static int
damaged (const struct scan *s)
{
  return qk_error (-EBADMSG,
                   "%s: not a pickled file of CIFAR, or damaged or cut short",
                   s->path);
}

/* The little-endian number of N bytes. */
static bool
take (struct scan *s, int n, uint64_t *out)
{
  if (s->end - s->p < n)
    return false;
  *out = 0;
  for (int i = 0; i < n; i++)
    *out |= (uint64_t) s->p[i] << (8 * i);
  s->p += n;
  return true;
}

/* A line of protocol 0, or the name of a module or a class. */
static bool
skip_line (struct scan *s)
{
  const uint8_t *end = memchr (s->p, '\n', (size_t) (s->end - s->p));

  if (end != NULL)
    s->p = end + 1;
  return end != NULL;
}

static bool
next (struct scan *s, struct instruction *out)
{
  uint64_t n = 0;
  uint8_t code;
  size_t i;

  if (s->p == s->end)
    return false;
  code = *s->p++;
  for (i = 0; i < sizeof forms / sizeof *forms; i++)
    if (forms[i].code == code) {
      out->token = forms[i].token;
      if (!take (s, forms[i].bytes, &n))
        return false;
      out->number = code == 'J' ? (int64_t) (int32_t) n : (int64_t) n;
      return true;
    }
  for (i = 0; i < sizeof texts / sizeof *texts; i++)
    if (texts[i].code == code) {
      if (!take (s, texts[i].bytes, &n) || n > (uint64_t) (s->end - s->p))
        return false;
      out->token = T_TEXT;
      out->text = s->p;
      out->length = (size_t) n;
      s->p += n;
      return true;
    }
  out->token = T_OTHER;
  return code == 'c' && skip_line (s) && skip_line (s);
}

/* The next that is not about the memo. */
static bool
next_object (struct scan *s, struct instruction *out)
{
  uint8_t code;

  do {
    if (s->p == s->end)
      return false;
    code = *s->p;
    if (!next (s, out))
      return false;
  } while (code == 'q' || code == 'r' || code == 0x94 || code == 0x95);
  return true;
}

static bool
is_text (const struct instruction *i, const char *text)
{
  return i->token == T_TEXT && i->length == strlen (text)
         && memcmp (i->text, text, i->length) == 0;
}

/* Behind KEY; false: it is not there, or the file is damaged (*ERR). */
static bool
find_key (struct scan *s, const char *key, int *err)
{
  struct instruction i;

  do
    if (!next (s, &i)) {
      *err = damaged (s);
      return false;
    }
  while (i.token != T_STOP && !is_text (&i, key));
  *err = i.token != T_STOP
           ? 0
           : qk_error (-EBADMSG,
                       "%s: there is no \"%s\" in it, expected "
                       "a pickled file of CIFAR",
                       s->path, key);
  return *err == 0;
}

/* The next element of TOKEN of the list that S stands in; false: its end, or
 * damage (*ERR). */
static bool
next_element (struct scan *s, enum token token, struct instruction *out,
              int *err)
{
  for (;;) {
    const uint8_t *before = s->p;

    if (!next_object (s, out)) {
      *err = damaged (s);
      return false;
    }
    if (out->token == token)
      return true;
    if (out->token == T_MARK)
      continue;
    if (out->token != T_APPEND) { /* the next key, or another kind of value */
      s->p = before;
      return false;
    }
    /* long lists are made a part at a time, each behind a mark of its own, and
     * a list of one element without */
    before = s->p;
    if (!next_object (s, out)) {
      *err = damaged (s);
      return false;
    }
    if (out->token != T_MARK) {
      s->p = before;
      return false;
    }
  }
}

/* Stand in the list under KEY. */
static int
enter_list (struct scan *s, const char *key)
{
  struct instruction i;
  int err;

  if (!find_key (s, key, &err))
    return err;
  if (!next_object (s, &i))
    return damaged (s);
  return i.token == T_LIST
           ? 0
           : qk_error (-EBADMSG, "%s: \"%s\" is no list, expected one",
                       s->path, key);
}

static int
read_labels (struct scan s, const char *key, struct batch *out)
{
  struct instruction i;
  int64_t n = 0;
  int err = enter_list (&s, key);

  if (err)
    return err;
  out->label = malloc ((size_t) out->count + 1);
  if (!out->label)
    return qk_oom ("%s", s.path);
  while (next_element (&s, T_NUMBER, &i, &err)) {
    if (n < out->count)
      out->label[n]
        = i.number >= 0 && i.number < 255 ? (uint8_t) i.number : 255;
    n++;
  }
  return err == 0 && n != out->count
           ? qk_error (-EBADMSG, "%s: %lld images and %lld labels", s.path,
                       (long long) out->count, (long long) n)
           : err;
}

int
batch_read (const uint8_t *bytes, size_t size, const char *path,
            const char *key, size_t image, struct batch *out)
{
  const struct scan start = { bytes, bytes + size, path };
  struct scan s = start;
  struct instruction i;
  int err;

  memset (out, 0, sizeof *out);
  if (!find_key (&s, "data", &err))
    return err;
  do /* the array is described before its bytes */
    if (!next (&s, &i) || i.token == T_STOP)
      return damaged (&s);
  while (i.token != T_TEXT || i.length < image);
  if (i.length % image != 0)
    return qk_error (-EBADMSG,
                     "%s: \"data\" is %zu bytes, expected a multiple of %zu",
                     path, i.length, image);
  out->pixels = i.text;
  out->count = (int64_t) (i.length / image);
  return read_labels (start, key, out);
}

int
batch_names (const uint8_t *bytes, size_t size, const char *path,
             const char *key, struct text_lines *out)
{
  struct scan s = { bytes, bytes + size, path };
  struct instruction i;
  size_t used = 0;
  int err;

  memset (out, 0, sizeof *out);
  if ((err = enter_list (&s, key)) < 0)
    return err;
  /* each text has an instruction of two bytes at least */
  out->text = malloc (size + 1);
  out->line = malloc (sizeof *out->line * (size / 2 + 1));
  if (!out->text || !out->line)
    return qk_oom ("%s", path);
  while (next_element (&s, T_TEXT, &i, &err)) {
    if (memchr (i.text, 0, i.length) || i.length == 0)
      return damaged (&s);
    out->line[out->n++] = memcpy (out->text + used, i.text, i.length);
    used += i.length;
    out->text[used++] = 0;
  }
  return err;
}
