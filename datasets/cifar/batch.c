/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batch.c: pickles of CIFAR, read as the row of their instructions: what stands
 * behind a key is looked at, nothing is computed. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "picklecode/picklecode.h"

struct scan {
  const unsigned char *p, *end;
  const char *path;
};

static int
damaged (const struct scan *s)
{
  return qk_error (-EBADMSG,
                   "%s: not a pickled file of CIFAR, or damaged or cut short",
                   s->path);
}

static bool
next (struct scan *s, struct picklecode *out)
{
  return s->p < s->end
         && picklecode_next (&s->p, s->end, out) == PICKLECODE_OK;
}

/* The next that is not about the memo. */
static bool
next_object (struct scan *s, struct picklecode *out)
{
  do
    if (!next (s, out))
      return false;
  while (out->code == 'q' || out->code == 'r' || out->code == 'p'
         || out->code == 0x94 || out->code == 0x95);
  return true;
}

/* Numbers of the memo are none. */
static bool
is_number (const struct picklecode *c)
{
  return c->operand == PICKLECODE_NUMBER
         && strchr ("KMJIL\x8a\x8b", c->code) != NULL;
}

static bool
is_text (const struct picklecode *i, const char *text)
{
  return i->operand == PICKLECODE_TEXT && i->length == strlen (text)
         && memcmp (i->text, text, i->length) == 0;
}

/* Behind KEY; false: it is not there, or the file is damaged (*ERR). */
static bool
find_key (struct scan *s, const char *key, int *err)
{
  struct picklecode i;

  do
    if (!next (s, &i)) {
      *err = damaged (s);
      return false;
    }
  while (i.code != '.' && !is_text (&i, key));
  *err = i.code != '.' ? 0
                       : qk_error (-EBADMSG,
                                   "%s: there is no \"%s\" in it, expected "
                                   "a pickled file of CIFAR",
                                   s->path, key);
  return *err == 0;
}

static bool
is_any_text (const struct picklecode *c)
{
  return c->operand == PICKLECODE_TEXT;
}

/* The next element of the list that S stands in, of which each IS_ONE; false:
 * its end, or damage (*ERR). */
static bool
next_element (struct scan *s, bool (*is_one) (const struct picklecode *),
              struct picklecode *out, int *err)
{
  for (;;) {
    const unsigned char *before = s->p;

    if (!next_object (s, out)) {
      *err = damaged (s);
      return false;
    }
    if (is_one (out))
      return true;
    if (out->code == '(')
      continue;
    if (out->code != 'e'
        && out->code != 'a') { /* the next key, or another kind of value */
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
    if (out->code != '(') {
      s->p = before;
      return false;
    }
  }
}

/* Stand in the list under KEY. */
static int
enter_list (struct scan *s, const char *key)
{
  struct picklecode i;
  int err;

  if (!find_key (s, key, &err))
    return err;
  if (!next_object (s, &i))
    return damaged (s);
  return i.code == ']'
           ? 0
           : qk_error (-EBADMSG, "%s: \"%s\" is no list, expected one",
                       s->path, key);
}

static int
read_labels (struct scan s, const char *key, struct batch *out)
{
  struct picklecode i;
  int64_t n = 0;
  int err = enter_list (&s, key);

  if (err)
    return err;
  out->label = malloc ((size_t) out->count + 1);
  if (!out->label)
    return qk_oom ("%s", s.path);
  while (next_element (&s, is_number, &i, &err)) {
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
  struct picklecode i;
  int err;

  memset (out, 0, sizeof *out);
  if (!find_key (&s, "data", &err))
    return err;
  do /* the array is described before its bytes */
    if (!next (&s, &i) || i.code == '.')
      return damaged (&s);
  while (i.operand != PICKLECODE_TEXT || i.length < image);
  if (i.length % image != 0)
    return qk_error (-EBADMSG,
                     "%s: \"data\" is %zu bytes, expected a multiple of %zu",
                     path, i.length, image);
  out->pixels = (const uint8_t *) i.text;
  out->count = (int64_t) (i.length / image);
  return read_labels (start, key, out);
}

int
batch_names (const uint8_t *bytes, size_t size, const char *path,
             const char *key, struct text_lines *out)
{
  struct scan s = { bytes, bytes + size, path };
  struct picklecode i;
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
  while (next_element (&s, is_any_text, &i, &err)) {
    if (memchr (i.text, 0, i.length) || i.length == 0)
      return damaged (&s);
    out->line[out->n++] = memcpy (out->text + used, i.text, i.length);
    used += i.length;
    out->text[used++] = 0;
  }
  return err;
}
