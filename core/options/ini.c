/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ini.c: an INI document in memory: sections, keys, overrides. */
#include "config.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memtext.h"
#include "options/ini-priv.h"

struct qk_ini *
qk_ini_new (const char *path)
{
  struct qk_ini *ini = calloc (1, sizeof *ini);

  if (!ini)
    return NULL;
  ini->path = strdup (path);
  if (!ini->path) {
    free (ini);
    return NULL;
  }
  return ini;
}

static void
free_entry (struct qk_ini_entry *e)
{
  free (e->key);
  free (e->value);
  free (e->where);
  free (e->note);
}

static void
free_section (struct qk_ini_section *s)
{
  for (size_t i = 0; i < s->n; i++)
    free_entry (&s->entry[i]);
  free (s->entry);
  free (s->matched);
  free (s->name);
  free (s->where);
}

void
qk_ini_free (struct qk_ini *ini)
{
  if (!ini)
    return;
  for (size_t i = 0; i < ini->n; i++)
    free_section (&ini->section[i]);
  for (size_t i = 0; i < ini->n_known; i++) {
    free (ini->known[i].section);
    free (ini->known[i].key);
  }
  free (ini->section);
  free (ini->known);
  free (ini->path);
  free (ini);
}

/* ---- names ------------------------------------------------------------ */

char *
qk_ini_trim (char *s)
{
  size_t n;

  s += strspn (s, " \t\r\n");
  n = strlen (s);
  while (n > 0 && strchr (" \t\r\n", s[n - 1]))
    n--;
  s[n] = '\0';
  return s;
}

bool
qk_ini_has_control (const char *s)
{
  for (; *s; s++)
    if ((unsigned char) *s < 0x20 && *s != '\t')
      return true;
  return false;
}

int
qk_ini_tidy_section (char *name)
{
  const char *from = qk_ini_trim (name);
  char *to = name;

  while (*from) {
    const size_t space = strspn (from, " \t");

    if (space > 0) {
      *to++ = ' ';
      from += space;
    } else
      *to++ = *from++;
  }
  *to = '\0';
  if (!name[0])
    return qk_error (-EINVAL, "section name is empty");
  if (strchr (name, ';') || qk_ini_has_control (name))
    return qk_error (-EINVAL,
                     "section name [%s] has a character that cannot "
                     "be in it",
                     name);
  return 0;
}

int
qk_ini_tidy_key (char *key)
{
  char *start = qk_ini_trim (key);

  memmove (key, start, strlen (start) + 1);
  if (!key[0])
    return qk_error (-EINVAL, "key is empty");
  if (key[strcspn (key, " \t=:;#\"[]")] || qk_ini_has_control (key))
    return qk_error (-EINVAL, "key '%s' has a character that cannot be in it",
                     key);
  return 0;
}

/* ---- sections and keys ------------------------------------------------- */

struct qk_ini_section *
qk_ini_find_section (const struct qk_ini *ini, const char *name)
{
  for (size_t i = 0; i < ini->n; i++)
    if (strcmp (ini->section[i].name, name) == 0)
      return &ini->section[i];
  return NULL;
}

struct qk_ini_entry *
qk_ini_find_key (const struct qk_ini_section *section, const char *key)
{
  for (size_t i = 0; section && i < section->n; i++)
    if (strcmp (section->entry[i].key, key) == 0)
      return &section->entry[i];
  return NULL;
}

static int
count_entry (struct qk_ini *ini)
{
  if (ini->entries >= QK_INI_MAX_ENTRIES)
    return qk_error (-E2BIG, "more than %d sections and keys",
                     QK_INI_MAX_ENTRIES);
  ini->entries++;
  return 0;
}

int
qk_ini_add_section (struct qk_ini *ini, const char *name, const char *where,
                    struct qk_ini_section **out)
{
  struct qk_ini_section *grown, *s;
  int err;

  *out = qk_ini_find_section (ini, name);
  if (*out)
    return 0;
  err = count_entry (ini);
  if (err < 0)
    return err;
  grown = realloc (ini->section, (ini->n + 1) * sizeof *grown);
  if (!grown)
    return qk_oom ("settings");
  ini->section = grown;
  s = &grown[ini->n];
  memset (s, 0, sizeof *s);
  s->name = strdup (name);
  s->where = strdup (where);
  if (!s->name || !s->where) {
    free_section (s);
    return qk_oom ("settings");
  }
  ini->n++;
  *out = s;
  return 0;
}

int
qk_ini_add_key (struct qk_ini *ini, struct qk_ini_section *section,
                const char *key, const char *value, const char *where)
{
  struct qk_ini_entry *grown, e = { 0 };
  int err = count_entry (ini);

  if (err < 0)
    return err;
  grown = realloc (section->entry, (section->n + 1) * sizeof *grown);
  if (!grown)
    return qk_oom ("settings");
  section->entry = grown;
  e.key = strdup (key);
  e.value = strdup (value);
  e.where = strdup (where);
  if (!e.key || !e.value || !e.where) {
    free (e.key);
    free (e.value);
    free (e.where);
    return qk_oom ("settings");
  }
  grown[section->n++] = e;
  return 0;
}

/* Replace the value of an entry. */
static int
replace (struct qk_ini_entry *e, const char *value, const char *where)
{
  char *v = strdup (value), *w = strdup (where);

  if (!v || !w) {
    free (v);
    free (w);
    return qk_oom ("settings");
  }
  free (e->value);
  free (e->where);
  e->value = v;
  e->where = w;
  return 0;
}

/* Set with names that may be changed in place. */
static int
set_tidied (struct qk_ini *ini, char *section, char *key, const char *value,
            const char *where)
{
  struct qk_ini_section *s;
  struct qk_ini_entry *e;
  int err = qk_ini_tidy_section (section);

  if (err == 0)
    err = qk_ini_tidy_key (key);
  if (err == 0 && qk_ini_has_control (value))
    err = qk_error (-EINVAL,
                    "[%s] %s: value has a line break or another "
                    "control character",
                    section, key);
  if (err == 0)
    err = qk_ini_add_section (ini, section, where, &s);
  if (err < 0)
    return err;
  e = qk_ini_find_key (s, key);
  return e ? replace (e, value, where)
           : qk_ini_add_key (ini, s, key, value, where);
}

int
qk_ini_set (struct qk_ini *ini, const char *section, const char *key,
            const char *value, const char *where)
{
  char *s = strdup (section), *k = strdup (key);
  int err = -ENOMEM;

  if (!s || !k)
    qk_error (err, "out of memory");
  else
    err = set_tidied (ini, s, k, value, where);
  free (s);
  free (k);
  if (err < 0)
    qk_error_prefix (err, "%s: ", where);
  return err;
}

void
qk_ini_unset (struct qk_ini *ini, const char *section, const char *key)
{
  struct qk_ini_section *s = qk_ini_find_section (ini, section);
  struct qk_ini_entry *e = s ? qk_ini_find_key (s, key) : NULL;

  if (!e)
    return;
  free_entry (e);
  memmove (e, e + 1, (size_t) (s->entry + s->n - (e + 1)) * sizeof *e);
  s->n--;
  ini->entries--;
  if (s->n > 0)
    return;
  free_section (s);
  memmove (s, s + 1, (size_t) (ini->section + ini->n - (s + 1)) * sizeof *s);
  ini->n--;
  ini->entries--;
}

int
qk_ini_override (struct qk_ini *ini, const char *assignment)
{
  char *text = strdup (assignment), *equals, *split;
  int err;

  if (!text)
    return qk_oom ("-o %s", assignment);
  equals = strchr (text, '=');
  split = NULL;
  if (equals) {
    *equals = '\0';
    split = strrchr (text, ':');
    if (!split)
      split = strchr (text, '.');
  }
  if (!split)
    err = qk_error (-EINVAL, "expected section.key=value or "
                             "'section:key=value'");
  else {
    *split = '\0';
    err = set_tidied (ini, text, split + 1, qk_ini_trim (equals + 1), "-o");
  }
  if (err < 0)
    qk_error_prefix (err, "-o %s: ", assignment);
  free (text);
  return err;
}

/* ---- looking ----------------------------------------------------------- */

size_t
qk_ini_sections (const struct qk_ini *ini)
{
  return ini->n;
}

const char *
qk_ini_section (const struct qk_ini *ini, size_t i)
{
  return i < ini->n ? ini->section[i].name : NULL;
}

size_t
qk_ini_keys (const struct qk_ini *ini, size_t i)
{
  return i < ini->n ? ini->section[i].n : 0;
}

struct qk_ini_key
qk_ini_key (const struct qk_ini *ini, size_t i, size_t j)
{
  struct qk_ini_key key = { NULL, NULL, NULL };

  if (j < qk_ini_keys (ini, i)) {
    const struct qk_ini_entry *e = &ini->section[i].entry[j];

    key.key = e->key;
    key.value = e->value;
    key.where = e->where;
  }
  return key;
}

const char *
qk_ini_get (const struct qk_ini *ini, const char *section, const char *key)
{
  const struct qk_ini_entry *e
    = qk_ini_find_key (qk_ini_find_section (ini, section), key);

  return e ? e->value : NULL;
}

bool
qk_glob_match (const char *pattern, const char *name)
{
  return fnmatch (pattern, name, 0) == 0;
}

/* ---- text --------------------------------------------------------------- */

static bool
needs_quotes (const char *v)
{
  const size_t n = strlen (v);

  if (n == 0)
    return false;
  return strchr (" \t\";", v[0]) || strchr (" \t", v[n - 1])
         || strstr (v, " ;") || strstr (v, "\t;");
}

static void
write_value (FILE *f, const char *v)
{
  if (!needs_quotes (v)) {
    fputs (v, f);
    return;
  }
  putc ('"', f);
  for (; *v; v++) {
    if (*v == '"' || *v == '\\')
      putc ('\\', f);
    putc (*v, f);
  }
  putc ('"', f);
}

int
qk_ini_text (const struct qk_ini *ini, char **out)
{
  size_t size;
  FILE *f;

  *out = NULL;
  f = open_memstream (out, &size);
  if (!f)
    return qk_oom ("%s", ini->path);
  for (size_t i = 0; i < ini->n; i++) {
    const struct qk_ini_section *s = &ini->section[i];

    fprintf (f, "%s[%s]\n", i ? "\n" : "", s->name);
    for (size_t j = 0; j < s->n; j++) {
      fprintf (f, "%s = ", s->entry[j].key);
      write_value (f, s->entry[j].value);
      putc ('\n', f);
    }
  }
  return qk_close_text (f, out) ? 0 : qk_oom ("%s", ini->path);
}
