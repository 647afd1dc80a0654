/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json.c: JSON values whole or not at all, whatever bytes they are made of. */
#include "config.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "qatkit/base.h"

json_t *
qk_json_string (const char *text)
{
  char *valid;
  json_t *j = json_string (text);

  if (j != NULL || (valid = qk_utf8 (text)) == NULL)
    return j;
  j = json_string (valid);
  free (valid);
  return j;
}

json_t *
qk_json_real (double v)
{
  return isfinite (v) ? json_real (v) : json_null ();
}

static void
keep_or_drop (json_t **j, bool failed)
{
  if (!failed)
    return;
  json_decref (*j);
  *j = NULL;
}

void
qk_json_set (json_t **o, const char *key, json_t *value)
{
  keep_or_drop (o, json_object_set_new (*o, key, value) < 0);
}

void
qk_json_append (json_t **a, json_t *value)
{
  keep_or_drop (a, json_array_append_new (*a, value) < 0);
}

struct text {
  char *s;
  size_t len, room;
  bool failed; /* for good, whatever the caller makes of our answer */
};

static int
append (const char *piece, size_t n, void *data)
{
  struct text *t = data;

  if (!t->failed && t->room - t->len <= n) {
    const size_t room = 2 * t->room + n + 1;
    char *s = realloc (t->s, room);

    t->failed = s == NULL;
    if (s != NULL) {
      t->s = s;
      t->room = room;
    }
  }
  if (t->failed)
    return -1;
  memcpy (t->s + t->len, piece, n);
  t->len += n;
  t->s[t->len] = '\0';
  return 0;
}

char *
qk_json_text (const json_t *j, size_t flags)
{
  struct text t = { NULL, 0, 0, false };

  if (j == NULL || json_dump_callback (j, append, &t, flags) < 0 || t.failed) {
    free (t.s);
    return NULL;
  }
  return t.s;
}

/* Whether elements of J are printed on lines of their own. */
static bool
is_list (const json_t *j)
{
  return json_array_size (j) > 0 && json_is_object (json_array_get (j, 0));
}

static int print_value (FILE *out, const json_t *j, int depth);

static int
print_list (FILE *out, const json_t *j, int depth)
{
  size_t i;
  int r = 0;

  putc ('[', out);
  for (i = 0; r == 0 && i < json_array_size (j); i++) {
    fprintf (out, "%s\n%*s", i > 0 ? "," : "", depth + 1, "");
    r = print_value (out, json_array_get (j, i), depth + 1);
  }
  fprintf (out, "\n%*s]", depth, "");
  return r;
}

static int
print_plain (FILE *out, const json_t *j)
{
  char *text = qk_json_text (j, JSON_COMPACT | JSON_ENCODE_ANY
                                  | JSON_REAL_PRECISION (9));

  if (text == NULL)
    return qk_oom ("JSON");
  fputs (text, out);
  free (text);
  return 0;
}

static int
print_object (FILE *out, const json_t *j, int depth)
{
  const char *key, *comma = "";
  json_t *value;
  int r = 0;

  putc ('{', out);
  /* keys are ours, and plain */
  json_object_foreach ((json_t *) j, key, value)
  {
    if (r < 0)
      break;
    fprintf (out, "%s\"%s\":", comma, key);
    r = print_value (out, value, depth);
    comma = ",";
  }
  putc ('}', out);
  return r;
}

static int
print_value (FILE *out, const json_t *j, int depth)
{
  if (json_is_object (j))
    return print_object (out, j, depth);
  return is_list (j) ? print_list (out, j, depth) : print_plain (out, j);
}

static int
end_line (FILE *out, json_t *j, int r)
{
  if (r == 0)
    putc ('\n', out);
  json_decref (j);
  return r;
}

int
qk_json_print (FILE *out, json_t *j)
{
  return end_line (out, j,
                   j != NULL ? print_value (out, j, 0) : qk_oom ("JSON"));
}

int
qk_json_print_line (FILE *out, json_t *j)
{
  return end_line (out, j, print_plain (out, j));
}
