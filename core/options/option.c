/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* option.c: checks keys and values against tables of options. */
#include "config.h"

#include <ctype.h>
#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/nearest.h"
#include "options/option-priv.h"

/* The value of one row. */
struct value {
  char *where; /* NULL: the default stands */
  char *text;  /* STRING, CHOICE, PATH */
  int64_t i;
  double f;
  bool b;
  float *floats;
  int n_floats;
};

struct qk_config {
  const struct qk_option *table; /* borrowed: constant data of a component */
  size_t n;
  struct value *value; /* n of them */
};

static size_t
table_length (const struct qk_option *table)
{
  size_t n = 0;

  while (table && table[n].name)
    n++;
  return n;
}

const struct qk_option *
qk_option_find (const struct qk_option *table, const char *name)
{
  for (const struct qk_option *row = table; row && row->name; row++)
    if (strcmp (row->name, name) == 0)
      return row;
  return NULL;
}

/* ---- what a row expects ---------------------------------------------- */

static void
expects_choice (const struct qk_option *row, char *buf, size_t size)
{
  size_t used = (size_t) snprintf (buf, size, "one of");

  for (size_t i = 0; row->choices && row->choices[i] && used < size; i++)
    used += (size_t) snprintf (buf + used, size - used, "%s %s", i ? "," : "",
                               row->choices[i]);
}

static void
expects_number (const struct qk_option *row, const char *what, char *buf,
                size_t size)
{
  if (row->min == row->max)
    snprintf (buf, size, "%s", what);
  else if (row->min <= -DBL_MAX)
    snprintf (buf, size, "%s <= %.10g", what, row->max);
  else if (row->max >= DBL_MAX)
    snprintf (buf, size, "%s >= %.10g", what, row->min);
  else
    snprintf (buf, size, "%s in %.10g..%.10g", what, row->min, row->max);
}

const char *
qk_option_expects (const struct qk_option *row, char *buf, size_t size)
{
  switch (row->type) {
  case QK_OPT_INT:
    expects_number (row, "an integer", buf, size);
    break;
  case QK_OPT_FLOAT:
    expects_number (row, "a number", buf, size);
    break;
  case QK_OPT_FLOATS:
    expects_number (row, "comma separated numbers, each", buf, size);
    break;
  case QK_OPT_BOOL:
    snprintf (buf, size, "yes or no");
    break;
  case QK_OPT_CHOICE:
    expects_choice (row, buf, size);
    break;
  case QK_OPT_PATH:
    snprintf (buf, size, "a file or folder name");
    break;
  case QK_OPT_STRING:
    snprintf (buf, size, "text");
    break;
  default:
    snprintf (buf, size, "a value of unknown type %d", (int) row->type);
  }
  return buf;
}

/* ---- conversions: 0 or a negative errno value without a sentence ------ */

static bool
in_range (const struct qk_option *row, double v)
{
  return row->min == row->max || (v >= row->min && v <= row->max);
}

/* A decimal number that ends at END, whatever the locale of the program. */
static int
parse_number (const char *s, const char **end, double *out)
{
  locale_t c;
  char *stop;

  if (!isdigit ((unsigned char) s[strspn (s, "+-.")]))
    return -EINVAL; /* "inf", "nan", spaces */
  if (strspn (s, "+-.0123456789eE") < strcspn (s, ", \t"))
    return -EINVAL; /* hexadecimal */
  c = newlocale (LC_ALL_MASK, "C", (locale_t) 0);
  if (c == (locale_t) 0)
    return -ENOMEM;
  *out = strtod_l (s, &stop, c);
  freelocale (c);
  *end = stop;
  return stop != s && isfinite (*out) ? 0 : -EINVAL;
}

static int
parse_int (const struct qk_option *row, const char *s, struct value *v)
{
  char *end;
  intmax_t i;

  if (!isdigit ((unsigned char) s[s[0] == '-' || s[0] == '+']))
    return -EINVAL;
  errno = 0;
  i = strtoimax (s, &end, 10);
  if (errno || *end || !in_range (row, (double) i))
    return -EINVAL;
  v->i = (int64_t) i;
  return 0;
}

static int
parse_float (const struct qk_option *row, const char *s, struct value *v)
{
  const char *end;
  const int err = parse_number (s, &end, &v->f);

  if (err < 0)
    return err;
  return *end == '\0' && in_range (row, v->f) ? 0 : -EINVAL;
}

static int
parse_bool (const char *s, struct value *v)
{
  static const char *const words[2][4]
    = { { "no", "false", "off", "0" }, { "yes", "true", "on", "1" } };

  for (int b = 0; b < 2; b++)
    for (int i = 0; i < 4; i++)
      if (strcasecmp (s, words[b][i]) == 0) {
        v->b = b;
        return 0;
      }
  return -EINVAL;
}

static int
parse_floats (const struct qk_option *row, const char *s, struct value *v)
{
  int n = 1;

  v->n_floats = 0;
  if (*s == '\0')
    return 0;
  for (const char *c = s; *c; c++)
    n += *c == ',';
  v->floats = calloc ((size_t) n, sizeof *v->floats);
  if (!v->floats)
    return -ENOMEM;
  for (int i = 0; i < n; i++) {
    double f;
    int err;

    s += strspn (s, " \t");
    err = parse_number (s, &s, &f);
    if (err < 0)
      return err;
    s += strspn (s, " \t");
    if (*s++ != (i + 1 < n ? ',' : '\0') || !in_range (row, f)
        || fabs (f) > FLT_MAX)
      return -EINVAL;
    v->floats[i] = (float) f;
  }
  v->n_floats = n;
  return 0;
}

static int
parse_choice (const struct qk_option *row, const char *s, struct value *v)
{
  for (size_t i = 0; row->choices && row->choices[i]; i++)
    if (strcmp (s, row->choices[i]) == 0) {
      v->text = strdup (s);
      return v->text ? 0 : -ENOMEM;
    }
  return -EINVAL;
}

static int
parse_path (const char *s, struct value *v)
{
  const char *home = "";

  if (s[0] == '~' && s[1] == '/') {
    home = getenv ("HOME");
    if (!home)
      return -ENOENT;
    s++;
  }
  v->text = malloc (strlen (home) + strlen (s) + 1);
  if (!v->text)
    return -ENOMEM;
  strcpy (stpcpy (v->text, home), s);
  return 0;
}

static int
parse_value (const struct qk_option *row, const char *s, struct value *v)
{
  switch (row->type) {
  case QK_OPT_INT:
    return parse_int (row, s, v);
  case QK_OPT_FLOAT:
    return parse_float (row, s, v);
  case QK_OPT_BOOL:
    return parse_bool (s, v);
  case QK_OPT_STRING:
    v->text = strdup (s);
    return v->text ? 0 : -ENOMEM;
  case QK_OPT_CHOICE:
    return parse_choice (row, s, v);
  case QK_OPT_PATH:
    return parse_path (s, v);
  case QK_OPT_FLOATS:
    return parse_floats (row, s, v);
  }
  return -EINVAL;
}

/* The sentence for a value that parse_value refused with ERR. */
static int
refuse_value (const struct qk_option *row, const char *s, int err)
{
  char expects[512], hint[QK_HINT_SIZE] = "";

  if (err == -ENOMEM)
    return qk_error (err, "%s: out of memory", row->name);
  if (err == -ENOENT)
    return qk_error (-EINVAL, "%s: cannot expand '%s', HOME is not set",
                     row->name, s);
  if (row->type == QK_OPT_CHOICE) {
    struct qk_nearest near;

    qk_nearest_init (&near, s);
    for (size_t i = 0; row->choices && row->choices[i]; i++)
      qk_nearest_offer (&near, row->choices[i]);
    qk_nearest_hint (&near, hint);
  }
  return qk_error (-EINVAL, "%s: expected %s, got '%s'%s", row->name,
                   qk_option_expects (row, expects, sizeof expects), s, hint);
}

static void
clear_value (struct value *v)
{
  free (v->where);
  free (v->text);
  free (v->floats);
  memset (v, 0, sizeof *v);
}

static int
set_value (const struct qk_option *row, const char *text, struct value *v)
{
  const int err = parse_value (row, text, v);

  if (err < 0) {
    clear_value (v);
    return refuse_value (row, text, err);
  }
  return 0;
}

/* ---- making a configuration ------------------------------------------ */

static int
unknown_key (const struct qk_option *table, const char *key)
{
  struct qk_nearest near;
  char hint[QK_HINT_SIZE];

  qk_nearest_init (&near, key);
  for (const struct qk_option *row = table; row && row->name; row++)
    qk_nearest_offer (&near, row->name);
  return qk_error (-EINVAL, "unknown option%s", qk_nearest_hint (&near, hint));
}

static int
take_item (struct qk_config *cfg, const struct qk_config_item *item,
           const struct qk_config_origin *origin)
{
  const char *section = item->section ? item->section : origin->section;
  const struct qk_option *row = qk_option_find (cfg->table, item->key);
  struct value *v;
  int err;

  if (!row) {
    err = unknown_key (cfg->table, item->key);
    return qk_error_prefix (err, "%s: %s%s%s: ", item->where, section,
                            origin->prefix, item->key);
  }
  v = &cfg->value[row - cfg->table];
  if (v->where)
    return qk_error (-EINVAL, "%s: %s%s%s: given twice, first at %s",
                     item->where, section, origin->prefix, item->key,
                     v->where);
  err = set_value (row, item->value, v);
  if (err < 0)
    return qk_error_prefix (err, "%s: %s%s", item->where, section,
                            origin->prefix);
  v->where = strdup (item->where);
  if (!v->where)
    return qk_oom ("%s", item->where);
  return 0;
}

static int
fill_defaults (struct qk_config *cfg, const struct qk_config_origin *origin)
{
  for (size_t i = 0; i < cfg->n; i++) {
    const struct qk_option *row = &cfg->table[i];
    int err;

    if (cfg->value[i].where)
      continue;
    if (!row->def)
      return qk_error (-EINVAL, "%s: %s%s%s is required but missing: %s",
                       origin->where, origin->section, origin->prefix,
                       row->name, row->help ? row->help : "no help");
    err = set_value (row, row->def, &cfg->value[i]);
    if (err < 0)
      return qk_error_prefix (err, "%s: default of %s%s", origin->where,
                              origin->section, origin->prefix);
  }
  return 0;
}

int
qk_config_new (const struct qk_option *table,
               const struct qk_config_item *items, size_t n,
               const struct qk_config_origin *origin, struct qk_config **out)
{
  struct qk_config *cfg = calloc (1, sizeof *cfg);
  int err = 0;

  *out = NULL;
  if (!cfg)
    return qk_oom ("%s", origin->where);
  cfg->table = table;
  cfg->n = table_length (table);
  cfg->value = calloc (cfg->n + 1, sizeof *cfg->value);
  if (!cfg->value) {
    err = qk_oom ("%s", origin->where);
    goto error;
  }
  for (size_t i = 0; i < n && err == 0; i++)
    err = take_item (cfg, &items[i], origin);
  if (err == 0)
    err = fill_defaults (cfg, origin);
  if (err < 0)
    goto error;
  *out = cfg;
  return 0;

error:
  qk_config_free (cfg);
  return err;
}

void
qk_config_free (struct qk_config *cfg)
{
  if (!cfg)
    return;
  for (size_t i = 0; cfg->value && i < cfg->n; i++)
    clear_value (&cfg->value[i]);
  free (cfg->value);
  free (cfg);
}

int
qk_option_check_table (const struct qk_option *table)
{
  for (const struct qk_option *row = table; row && row->name; row++) {
    struct value v = { 0 };
    int err;

    if (!row->name[0] || row->name[strcspn (row->name, "=:;#\"[] \t\n")])
      return qk_error (-EINVAL, "option '%s': bad name", row->name);
    if (qk_option_find (table, row->name) != row)
      return qk_error (-EINVAL, "option '%s': declared twice", row->name);
    if (row->type < QK_OPT_INT || row->type > QK_OPT_FLOATS)
      return qk_error (-EINVAL, "option '%s': unknown type %d", row->name,
                       (int) row->type);
    if (row->type == QK_OPT_CHOICE && (!row->choices || !row->choices[0]))
      return qk_error (-EINVAL, "option '%s': no choices", row->name);
    if (!(row->min <= row->max))
      return qk_error (-EINVAL, "option '%s': min %g > max %g", row->name,
                       row->min, row->max);
    /* A default in the home folder depends on the user: not checked. */
    if (!row->def || row->type == QK_OPT_PATH)
      continue;
    err = set_value (row, row->def, &v);
    clear_value (&v);
    if (err < 0)
      return qk_error_prefix (err, "default of option ");
  }
  return 0;
}

/* ---- whose fault it was ----------------------------------------------- */

static bool
is_of_name (char c)
{
  return isalnum ((unsigned char) c) || c == '_' || c == '-' || c == '.';
}

/* What follows WORD, not as a part of a longer one, in SENTENCE; NULL: it is
 * not there. */
static const char *
after_word (const char *sentence, const char *word)
{
  const size_t n = strlen (word);
  const char *at = sentence;

  if (n == 0)
    return strstr (sentence, "''");
  for (; (at = strstr (at, word)) != NULL; at++)
    if ((at == sentence || (!is_of_name (at[-1]) && at[-1] != '/'))
        && !is_of_name (at[n]))
      return at + n;
  return NULL;
}

/* Whether SENTENCE names KEY as one: "root (file.ini:3)", "root: …". */
static bool
names_key (const char *sentence, const char *key)
{
  const char *after;

  while ((after = after_word (sentence, key)) != NULL) {
    if (strncmp (after, " (", 2) == 0 || *after == ':' || *after == '=')
      return true;
    sentence = after;
  }
  return false;
}

/* Whether ERR may be that of opening a path. */
static bool
is_of_path (int err)
{
  static const int of_paths[]
    = { ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG, ENXIO };

  for (size_t i = 0; i < sizeof of_paths / sizeof *of_paths; i++)
    if (err == -of_paths[i])
      return true;
  return false;
}

int
qk_config_blame (const struct qk_config *cfg, const char *section, int err)
{
  const char *sentence = qk_error_message ();
  size_t longest = 0;
  const struct value *found = NULL;
  const char *key = NULL;

  for (size_t i = 0; cfg && i < cfg->n; i++) {
    const struct qk_option *row = &cfg->table[i];
    const struct value *v = &cfg->value[i];

    if (!v->where || !v->text
        || (row->type == QK_OPT_PATH ? !is_of_path (err)
                                     : row->type != QK_OPT_STRING))
      continue;
    if (names_key (sentence, row->name) && strstr (sentence, v->where) != NULL)
      return err;
    if (after_word (sentence, v->text) != NULL
        && (!found || strlen (v->text) > longest)) {
      found = v;
      key = row->name;
      longest = strlen (v->text);
    }
  }
  return found
           ? qk_error_prefix (err, "%s: [%s] %s: ", found->where, section, key)
           : err;
}

/* ---- "key=value key=value" ------------------------------------------- */

int
qk_unquote (const char **s, char *out)
{
  const char *c = *s + 1;

  for (; *c != '"'; c++) {
    if (*c == '\\' && (c[1] == '"' || c[1] == '\\'))
      c++;
    if (*c == '\0')
      return -EINVAL;
    *out++ = *c;
  }
  *out = '\0';
  *s = c + 1;
  return 0;
}

static const char *
skip_space (const char *s)
{
  return s + strspn (s, " \t\r\n");
}

/* Split one "key=value" off *S into POOL, which has room for all of *S;
 * returns the bytes used of POOL. */
static int
split_item (const char **s, char *pool, struct qk_config_item *item)
{
  const char *c = *s;
  const size_t key = strcspn (c, "= \t\r\n\"");
  size_t value;
  char *v = pool + key + 1;

  if (c[key] != '=' || key == 0)
    return qk_error (-EINVAL, "expected key=value, got '%.*s'",
                     (int) strcspn (c, " \t\r\n"), c);
  memcpy (pool, c, key);
  pool[key] = '\0';
  c += key + 1;
  if (*c == '"') {
    if (qk_unquote (&c, v) < 0)
      return qk_error (-EINVAL, "%s: closing quote is missing", pool);
    if (*c && *c == *skip_space (c))
      return qk_error (-EINVAL,
                       "%s: expected a space after the closing "
                       "quote, got '%.20s'",
                       pool, c);
  } else {
    value = strcspn (c, " \t\r\n");
    memcpy (v, c, value);
    v[value] = '\0';
    c += value;
  }
  item->key = pool;
  item->value = v;
  *s = c;
  return (int) (key + 1 + strlen (v) + 1);
}

int
qk_config_parse (const struct qk_option *table, const char *text,
                 const char *where, struct qk_config **out)
{
  enum { MAX_TEXT = 65536 };
  const struct qk_config_origin origin = { where, "", "" };
  struct qk_config_item *items = NULL;
  char *pool = NULL;
  size_t n = 0, used = 0, length = text ? strlen (text) : 0;
  int err;

  *out = NULL;
  if (length > MAX_TEXT)
    return qk_error (-EINVAL, "%s: options are longer than %d bytes", where,
                     (int) MAX_TEXT);
  /* An item has at least two characters and needs at most two more. */
  pool = malloc (2 * length + 2);
  items = calloc (length / 2 + 1, sizeof *items);
  if (!pool || !items) {
    err = qk_oom ("%s", where);
    goto out;
  }
  for (const char *s = skip_space (text ? text : ""); *s; s = skip_space (s)) {
    items[n].where = where;
    err = split_item (&s, pool + used, &items[n]);
    if (err < 0) {
      qk_error_prefix (err, "%s: ", where);
      goto out;
    }
    used += (size_t) err;
    n++;
  }
  err = qk_config_new (table, items, n, &origin, out);
out:
  free (items);
  free (pool);
  return err;
}

/* ---- getters --------------------------------------------------------- */

static const struct value *
find (const struct qk_config *cfg, const char *name, unsigned types)
{
  const struct qk_option *row;

  if (!cfg)
    return NULL;
  row = qk_option_find (cfg->table, name);
  if (!row || !(types >> row->type & 1))
    return NULL;
  return &cfg->value[row - cfg->table];
}

int64_t
qk_config_int (const struct qk_config *cfg, const char *name)
{
  const struct value *v = find (cfg, name, 1u << QK_OPT_INT);

  return v ? v->i : 0;
}

double
qk_config_float (const struct qk_config *cfg, const char *name)
{
  const struct value *v = find (cfg, name, 1u << QK_OPT_FLOAT);

  return v ? v->f : 0;
}

bool
qk_config_bool (const struct qk_config *cfg, const char *name)
{
  const struct value *v = find (cfg, name, 1u << QK_OPT_BOOL);

  return v ? v->b : false;
}

const char *
qk_config_string (const struct qk_config *cfg, const char *name)
{
  const struct value *v = find (
    cfg, name, 1u << QK_OPT_STRING | 1u << QK_OPT_CHOICE | 1u << QK_OPT_PATH);

  return v ? v->text : "";
}

int
qk_config_floats (const struct qk_config *cfg, const char *name, float *out,
                  int max)
{
  const struct value *v = find (cfg, name, 1u << QK_OPT_FLOATS);

  if (!v)
    return 0;
  for (int i = 0; i < v->n_floats && i < max; i++)
    out[i] = v->floats[i];
  return v->n_floats;
}

bool
qk_config_given (const struct qk_config *cfg, const char *name)
{
  const struct value *v = find (cfg, name, ~0u);

  return v && v->where;
}

const char *
qk_config_where (const struct qk_config *cfg, const char *name)
{
  const struct value *v = find (cfg, name, ~0u);

  if (!v)
    return "";
  return v->where ? v->where : "default";
}
