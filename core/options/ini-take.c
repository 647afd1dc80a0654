/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ini-take.c: configurations from sections, and what nobody took. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memtext.h"
#include "base/nearest.h"
#include "options/ini-priv.h"
#include "options/option-priv.h"

/* ---- what is known ------------------------------------------------------ */

static bool
is_known (const struct qk_ini *ini, const char *section, const char *key)
{
  for (size_t i = 0; i < ini->n_known; i++) {
    const struct qk_ini_known *k = &ini->known[i];

    if (strcmp (k->section, section) != 0)
      continue;
    if (!key || (k->key && strcmp (k->key, key) == 0))
      return true;
  }
  return false;
}

/* PREFIX and NAME together in KEY: a name of the section; NAME NULL: the
 * section itself. */
static int
add_known (struct qk_ini *ini, const char *section, const char *prefix,
           const char *name)
{
  struct qk_ini_known *grown, k = { NULL, NULL };
  char *key = NULL;

  if (name && asprintf (&key, "%s%s", prefix, name) < 0)
    return qk_oom ("%s", ini->path);
  if (is_known (ini, section, key)) {
    free (key);
    return 0;
  }
  k.key = key;
  k.section = strdup (section);
  grown = realloc (ini->known, (ini->n_known + 1) * sizeof *grown);
  if (grown)
    ini->known = grown;
  if (!grown || !k.section) {
    free (key);
    free (k.section);
    return qk_oom ("%s", ini->path);
  }
  grown[ini->n_known++] = k;
  return 0;
}

static int
add_known_table (struct qk_ini *ini, const char *section,
                 const struct qk_option *table, const char *prefix)
{
  int err = add_known (ini, section, "", NULL);

  for (const struct qk_option *row = table; row && row->name && err == 0;
       row++)
    err = add_known (ini, section, prefix, row->name);
  return err;
}

/* ---- taking -------------------------------------------------------------- */

/* The entry for option NAME in one section, marked as used; NULL if the
 * section has none. */
static struct qk_ini_entry *
use_entry (const struct qk_ini *ini, const char *section, const char *prefix,
           const char *name)
{
  const struct qk_ini_section *s = qk_ini_find_section (ini, section);
  const size_t len = strlen (prefix);

  for (size_t i = 0; s && i < s->n; i++) {
    struct qk_ini_entry *e = &s->entry[i];

    if (strncmp (e->key, prefix, len) == 0
        && strcmp (e->key + len, name) == 0) {
      e->used = true;
      return e;
    }
  }
  return NULL;
}

/* "[name] " to be freed. */
static char *
brackets (const char *section)
{
  char *text;

  return asprintf (&text, "[%s] ", section) < 0 ? NULL : text;
}

/* Fill ITEMS from the sections; returns how many. */
static size_t
collect (const struct qk_ini *ini, const char *const *sections,
         char *const *shown, size_t n, const struct qk_option *table,
         const char *prefix, struct qk_config_item *items)
{
  size_t used = 0;

  for (const struct qk_option *row = table; row && row->name; row++) {
    struct qk_config_item *item = &items[used];

    item->key = NULL;
    for (size_t i = 0; i < n; i++) {
      const struct qk_ini_entry *e
        = use_entry (ini, sections[i], prefix, row->name);

      if (!e)
        continue;
      item->key = row->name;
      item->value = e->value;
      item->where = e->where;
      item->section = shown[i];
    }
    used += item->key != NULL;
  }
  return used;
}

int
qk_ini_take_merged (struct qk_ini *ini, const char *const *sections, size_t n,
                    const struct qk_option *table, const char *prefix,
                    struct qk_config **out)
{
  struct qk_config_origin origin = { ini->path, "", prefix };
  struct qk_config_item *items = NULL;
  char **shown = calloc (n + 1, sizeof *shown);
  size_t rows = 1, used;
  int err = 0;

  *out = NULL;
  for (const struct qk_option *row = table; row && row->name; row++)
    rows++;
  items = calloc (rows, sizeof *items);
  if (!items || !shown)
    err = -ENOMEM;
  for (size_t i = 0; i < n && err == 0; i++) {
    shown[i] = brackets (sections[i]);
    err
      = shown[i] ? add_known_table (ini, sections[i], table, prefix) : -ENOMEM;
  }
  if (err < 0)
    qk_error (err, "%s: out of memory", ini->path);
  else {
    if (n > 0)
      origin.section = shown[0];
    used = collect (ini, sections, shown, n, table, prefix, items);
    err = qk_config_new (table, items, used, &origin, out);
  }
  for (size_t i = 0; shown && i < n; i++)
    free (shown[i]);
  free (shown);
  free (items);
  return err;
}

int
qk_ini_take (struct qk_ini *ini, const char *section,
             const struct qk_option *table, const char *prefix,
             struct qk_config **out)
{
  return qk_ini_take_merged (ini, &section, 1, table, prefix, out);
}

/* ---- patterns -------------------------------------------------------------- */

/* The next of the patterns in *AT, which commas and blanks separate, *N
 * characters; NULL after the last. */
static const char *
next_pattern (const char **at, size_t *n)
{
  const char *start = *at + strspn (*at, ", \t");

  *n = strcspn (start, ", \t");
  *at = start + *n;
  return *n > 0 ? start : NULL;
}

static int
glob_match (const char *pattern, size_t n, const char *name)
{
  char *copy = strndup (pattern, n);
  const int r = copy != NULL ? qk_glob_match (copy, name) : -ENOMEM;

  free (copy);
  return r;
}

/* How many patterns LIST holds. */
static size_t
count_patterns (const char *list)
{
  size_t n, count = 0;

  while (next_pattern (&list, &n) != NULL)
    count++;
  return count;
}

/* Whether one of the patterns LIST in the name of S matches NAME; -ENOMEM. */
static int
match_list (struct qk_ini_section *s, const char *list, const char *name)
{
  const char *at = list, *pattern;
  size_t n, i;
  int any = 0;

  if (s->matched == NULL
      && (s->matched = calloc (count_patterns (list) + 1, sizeof *s->matched))
           == NULL)
    return -ENOMEM;
  for (i = 0; (pattern = next_pattern (&at, &n)) != NULL; i++) {
    const int r = glob_match (pattern, n, name);

    if (r < 0)
      return r;
    if (r > 0) {
      s->matched[i] = true;
      any = 1;
    }
  }
  return any;
}

int
qk_ini_match (const struct qk_ini *ini, const char *base, const char *name,
              const char ***out)
{
  const size_t len = strlen (base);
  int n = 0;

  *out = malloc ((ini->n + 1) * sizeof **out);
  if (!*out)
    return qk_oom ("%s", ini->path);
  (*out)[n++] = base;
  for (size_t i = 0; i < ini->n; i++) {
    const char *s = ini->section[i].name;
    int r;

    if (strncmp (s, base, len) != 0 || s[len] != ' ')
      continue;
    if ((r = match_list (&ini->section[i], s + len + 1, name)) < 0) {
      free (*out);
      return qk_oom ("%s", ini->path);
    }
    if (r > 0)
      (*out)[n++] = s;
  }
  return n;
}

int
qk_ini_allow (struct qk_ini *ini, const char *section,
              const struct qk_option *table, const char *prefix)
{
  const int err = add_known_table (ini, section, table, prefix);

  for (const struct qk_option *row = table; row && row->name && err == 0;
       row++)
    use_entry (ini, section, prefix, row->name);
  return err;
}

/* ---- what nobody took ------------------------------------------------------ */

/* The pattern of a section like [qconfig PATTERN] or [train optimizer
 * PATTERN], where the one without it is known; NULL: it is none. */
static const char *
idle_pattern (const struct qk_ini *ini, const char *section)
{
  const char *pattern = NULL;

  for (size_t i = 0; i < ini->n_known; i++) {
    const size_t len = strlen (ini->known[i].section);

    if (strncmp (ini->known[i].section, section, len) == 0
        && section[len] == ' '
        && (pattern == NULL || section + len + 1 > pattern))
      pattern = section + len + 1;
  }
  return pattern;
}

/* The first pattern in the name of S that has matched nothing, of *N
 * characters; NULL: none. */
static const char *
idle_part (const struct qk_ini_section *s, const char *list, size_t *n)
{
  const char *pattern;

  for (size_t i = 0; (pattern = next_pattern (&list, n)) != NULL; i++)
    if (s->matched == NULL || !s->matched[i])
      return pattern;
  return NULL;
}

/* Whether one of the patterns LIST in the name of S has matched. */
static bool
any_matched (const struct qk_ini_section *s, const char *list)
{
  bool any = false;

  for (size_t i = 0; s->matched != NULL && i < count_patterns (list); i++)
    any = any || s->matched[i];
  return any;
}

/* Say of which pattern of section S, if it has any, nothing is known; whether
 * that is said. */
static bool
report_pattern (FILE *f, const struct qk_ini *ini,
                const struct qk_ini_section *s)
{
  const char *list = idle_pattern (ini, s->name), *pattern;
  size_t n;

  if (list == NULL || (pattern = idle_part (s, list, &n)) == NULL)
    return false;
  fprintf (f, "\n%s: section [%.60s%s]: the pattern '%.*s' matches nothing",
           s->where, s->name, strlen (s->name) > 60 ? "..." : "", (int) n,
           pattern);
  return true;
}

static void
report_section (FILE *f, const struct qk_ini *ini,
                const struct qk_ini_section *s)
{
  struct qk_nearest near;
  char hint[QK_HINT_SIZE];

  if (report_pattern (f, ini, s))
    return;
  qk_nearest_init (&near, s->name);
  for (size_t i = 0; i < ini->n_known; i++)
    qk_nearest_offer (&near, ini->known[i].section);
  fprintf (f, "\n%s: unknown section [%s]%s", s->where, s->name,
           qk_nearest_hint (&near, hint));
}

static void
report_key (FILE *f, const struct qk_ini *ini, const struct qk_ini_section *s,
            const struct qk_ini_entry *e)
{
  struct qk_nearest near;
  char hint[QK_HINT_SIZE];
  const char *elsewhere = NULL;

  qk_nearest_init (&near, e->key);
  for (size_t i = 0; i < ini->n_known; i++) {
    const struct qk_ini_known *k = &ini->known[i];

    if (!k->key || !k->key[0])
      continue;
    if (strcmp (k->section, s->name) == 0)
      qk_nearest_offer (&near, k->key);
    else if (!elsewhere && strcmp (k->key, e->key) == 0)
      elsewhere = k->section;
  }
  if (e->note) {
    fprintf (f, "\n%s: key '%s' in [%s] %s", e->where, e->key, s->name,
             e->note);
    return;
  }
  fprintf (f, "\n%s: unknown key '%s' in [%s]%s", e->where, e->key, s->name,
           qk_nearest_hint (&near, hint));
  if (!near.best && elsewhere)
    fprintf (f, " (it belongs to [%s])", elsewhere);
}

bool
qk_ini_is_unused (const struct qk_ini *ini, size_t section, size_t key)
{
  const struct qk_ini_section *s = &ini->section[section];

  return is_known (ini, s->name, NULL) && !s->entry[key].used
         && !is_known (ini, s->name, s->entry[key].key);
}

int
qk_ini_note (struct qk_ini *ini, size_t section, size_t key, const char *note)
{
  struct qk_ini_entry *e = &ini->section[section].entry[key];
  char *copy = strdup (note);

  if (!copy)
    return qk_oom ("%s", ini->path);
  free (e->note);
  e->note = copy;
  return 0;
}

/* One line, with a line break in front, for everything left; returns how
 * many. */
static int
report_unused (FILE *f, const struct qk_ini *ini)
{
  int n = 0;

  for (size_t i = 0; i < ini->n; i++) {
    const struct qk_ini_section *s = &ini->section[i];
    const char *list;

    if (!is_known (ini, s->name, NULL)) {
      report_section (f, ini, s);
      n++;
      continue;
    }
    list = idle_pattern (ini, s->name);
    n += list != NULL && any_matched (s, list) && report_pattern (f, ini, s);
    for (size_t j = 0; j < s->n; j++)
      if (qk_ini_is_unused (ini, i, j)) {
        report_key (f, ini, s, &s->entry[j]);
        n++;
      }
  }
  return n;
}

int
qk_ini_check_unused (const struct qk_ini *ini)
{
  char *text = NULL;
  size_t size = 0;
  FILE *f = open_memstream (&text, &size);
  int n, err = 0;

  if (!f)
    return qk_oom ("%s", ini->path);
  n = report_unused (f, ini);
  if (!qk_close_text (f, &text))
    err = qk_oom ("%s", ini->path);
  else if (n > 0)
    err = qk_error (-EINVAL, "%s", text + 1);
  free (text);
  return err;
}
