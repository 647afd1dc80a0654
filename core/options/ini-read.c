/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ini-read.c: reads INI files line by line, driven by libinih.
 *
 * The libinih of distributions keeps at most 49 characters of a name and 199
 * of a line, takes an indented key for the continuation of the line before,
 * ends a section name at the first ']' and does not tell the line.  So it
 * drives the reading but never sees the text: our line reader keeps names
 * and value of the line at hand here and gives libinih a short line of the
 * same form; the handler takes the real ones. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>

#include "options/ini-priv.h"
#include "options/option-priv.h"

enum { MAX_FILE = 1 << 20 };

struct reader {
  struct qk_ini *ini;
  const char *next, *end; /* text not read yet */
  size_t line;            /* number of the line at hand */
  char *buffer;           /* the line at hand, cut into key and value */
  char *key, *value;
  char *unquoted; /* room for a value in quotes */
  char *section;  /* name of the section at hand; NULL: none yet */
  int err;
};

static int
fail (struct reader *r, int err)
{
  r->err = qk_error_prefix (err == -EINVAL ? -EBADMSG : err,
                            "%s:%zu: ", r->ini->path, r->line);
  return r->err;
}

/* "file.ini:12", to be freed. */
static char *
place (const struct reader *r)
{
  char *where;

  return asprintf (&where, "%s:%zu", r->ini->path, r->line) < 0 ? NULL : where;
}

/* Cut an inline comment off: ';' after a space.  BEFORE is the character in
 * front of the text. */
static void
cut_comment (char *s, char before)
{
  for (; *s; before = *s++)
    if (*s == ';' && (before == ' ' || before == '\t')) {
      *s = '\0';
      return;
    }
}

static int
lex_section (struct reader *r, char *s)
{
  struct qk_ini_section *made;
  char *where;
  size_t n;
  int err;

  cut_comment (s, '\0');
  s = qk_ini_trim (s);
  n = strlen (s);
  if (n < 2 || s[n - 1] != ']')
    return qk_error (-EINVAL, "expected '[section]', got '%.60s'", s);
  s[n - 1] = '\0';
  s++;
  err = qk_ini_tidy_section (s);
  if (err < 0)
    return err;
  where = place (r);
  free (r->section);
  r->section = strdup (s);
  if (!where || !r->section)
    err = qk_oom ("settings");
  else
    err = qk_ini_add_section (r->ini, s, where, &made);
  free (where);
  return err;
}

static int
lex_value (struct reader *r, char *s)
{
  const char *rest = s;

  r->value = r->unquoted;
  if (*s != '"') {
    cut_comment (s, s[-1]);
    r->value = qk_ini_trim (s);
    return 0;
  }
  if (qk_unquote (&rest, r->unquoted) < 0)
    return qk_error (-EINVAL, "%s: closing quote is missing", r->key);
  if (*rest == '\0')
    return 0;
  if (*rest != ' ' && *rest != '\t')
    return qk_error (-EINVAL, "%s: unexpected '%.40s' after the closing quote",
                     r->key, rest);
  rest += strspn (rest, " \t");
  if (*rest && *rest != ';')
    return qk_error (-EINVAL, "%s: unexpected '%.40s' after the closing quote",
                     r->key, rest);
  return 0;
}

static int
lex_key (struct reader *r, char *s)
{
  char *equals = strchr (s, '=');
  int err;

  if (!equals)
    return qk_error (-EINVAL,
                     "expected 'key = value' or '[section]', got "
                     "'%.60s'",
                     s);
  *equals = '\0';
  r->key = s;
  err = qk_ini_tidy_key (s);
  if (err < 0)
    return err;
  if (!r->section)
    return qk_error (-EINVAL, "key '%s' stands before the first [section]", s);
  err = lex_value (r, equals + 1 + strspn (equals + 1, " \t"));
  if (err == 0 && qk_ini_has_control (r->value))
    err = qk_error (-EINVAL, "%s: value has a control character", s);
  return err;
}

/* Take the next line off the text into the buffer. */
static int
next_line (struct reader *r)
{
  const size_t left = (size_t) (r->end - r->next);
  const char *newline = memchr (r->next, '\n', left);
  const size_t n = newline ? (size_t) (newline - r->next) : left;

  r->line++;
  if (memchr (r->next, '\0', n))
    return qk_error (-EINVAL, "zero byte: not a text file");
  memcpy (r->buffer, r->next, n);
  r->buffer[n] = '\0';
  r->next += n + (newline != NULL);
  return 0;
}

/* fgets for libinih: a short line of the same form as the next one. */
static char *
read_line (char *str, int size, void *stream)
{
  struct reader *r = stream;
  const char *form = "\n";
  char *s;

  if (r->err < 0 || r->next == r->end)
    return NULL;
  r->err = next_line (r);
  if (r->err == 0) {
    s = qk_ini_trim (r->buffer);
    if (*s == '[') {
      form = "[s]\n";
      r->err = lex_section (r, s);
    } else if (*s && *s != ';' && *s != '#') {
      form = "k=v\n";
      r->err = lex_key (r, s);
    }
  }
  if (r->err < 0) {
    fail (r, r->err);
    return NULL;
  }
  snprintf (str, (size_t) size, "%s", form);
  return str;
}

/* libinih found a key: the one at hand. */
static int
handle_key (void *user, const char *section, const char *name,
            const char *value)
{
  struct reader *r = user;
  struct qk_ini_section *s = qk_ini_find_section (r->ini, r->section);
  const struct qk_ini_entry *old = qk_ini_find_key (s, r->key);
  char *where;
  int err;

  (void) section;
  (void) name;
  (void) value;
  if (old) {
    fail (r, qk_error (-EINVAL, "[%s] %s: given twice, first at %s",
                       r->section, r->key, old->where));
    return 0;
  }
  where = place (r);
  if (where)
    err = qk_ini_add_key (r->ini, s, r->key, r->value, where);
  else
    err = qk_oom ("settings");
  free (where);
  if (err < 0)
    fail (r, err);
  return err == 0;
}

int
qk_ini_parse (const char *text, size_t n, const char *path,
              struct qk_ini **out)
{
  struct reader r = { .next = text, .end = text + n };
  int line;

  *out = NULL;
  if (n > MAX_FILE)
    return qk_error (-EFBIG, "%s: longer than %d bytes: not a configuration",
                     path, (int) MAX_FILE);
  if (n >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0)
    r.next += 3; /* the byte order mark of some editors */
  r.ini = qk_ini_new (path);
  r.buffer = malloc (n + 1);
  r.unquoted = malloc (n + 1);
  if (!r.ini || !r.buffer || !r.unquoted)
    r.err = qk_oom ("%s", path);
  else {
    line = ini_parse_stream (read_line, &r, handle_key, &r);
    if (line != 0 && r.err == 0)
      r.err = qk_error (-EBADMSG, "%s:%d: not understood", path, line);
  }
  free (r.buffer);
  free (r.unquoted);
  free (r.section);
  if (r.err < 0) {
    qk_ini_free (r.ini);
    return r.err;
  }
  *out = r.ini;
  return 0;
}

/* All of the file, at most MAX_FILE + 1 bytes, into BUFFER. */
static ssize_t
read_all (int fd, char *buffer)
{
  size_t used = 0;

  while (used <= MAX_FILE) {
    const ssize_t n = read (fd, buffer + used, (size_t) MAX_FILE + 1 - used);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -errno;
    if (n == 0)
      break;
    used += (size_t) n;
  }
  return (ssize_t) used;
}

int
qk_ini_read (const char *path, struct qk_ini **out)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC);
  char *buffer;
  ssize_t n;
  int err;

  *out = NULL;
  if (fd < 0)
    return qk_error (-errno, "%s: %s", path, strerror (errno));
  buffer = malloc ((size_t) MAX_FILE + 1);
  n = buffer ? read_all (fd, buffer) : -ENOMEM;
  close (fd);
  if (n < 0)
    err = qk_error ((int) n, "%s: %s", path, strerror ((int) -n));
  else
    err = qk_ini_parse (buffer, (size_t) n, path, out);
  free (buffer);
  return err;
}
