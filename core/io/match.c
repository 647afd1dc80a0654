/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* match.c: names that differ by what stands before them. */
#include "config.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/match.h"
#include "qatkit/base.h"

/* What torch.compile puts around each module it compiles. */
#define COMPILED "_orig_mod"
/* Lines of one fault that a message shows, and endings that it counts. */
#define SHOWN 10
#define ENDINGS 4
/* Prefixes that are tried, of the file's and of the network's names. */
#define CANDIDATES 16

struct name {
  char *text; /* without COMPILED */
  int64_t i;
};

struct names {
  struct name *name;
  size_t n;
};

/* ---- names -----------------------------------------------------------------*/

/* TEXT without the components COMPILED. */
static char *
plain (const char *text)
{
  const size_t k = sizeof COMPILED - 1;
  char *copy = malloc (strlen (text) + 1), *to = copy;

  while (copy != NULL && *text != 0) {
    const size_t n = strcspn (text, ".") + 1;

    if (n == k + 1 && strncmp (text, COMPILED, k) == 0 && text[k] == '.') {
      text += n;
      continue;
    }
    memcpy (to, text, text[n - 1] == 0 ? n - 1 : n);
    to += text[n - 1] == 0 ? n - 1 : n;
    text += text[n - 1] == 0 ? n - 1 : n;
  }
  if (copy != NULL)
    *to = 0;
  return copy;
}

static void
names_clear (struct names *l)
{
  for (size_t i = 0; l->name != NULL && i < l->n; i++)
    free (l->name[i].text);
  free (l->name);
}

static int
names_new (const char *const *text, size_t n, struct names *out)
{
  out->n = n;
  out->name = calloc (n + 1, sizeof *out->name);
  for (size_t i = 0; out->name != NULL && i < n; i++) {
    out->name[i].i = (int64_t) i;
    if ((out->name[i].text = plain (text[i])) == NULL)
      return qk_oom ("names of tensors");
  }
  return out->name == NULL ? qk_oom ("names of tensors") : 0;
}

static int
compare (const void *a, const void *b)
{
  return strcmp (((const struct name *) a)->text,
                 ((const struct name *) b)->text);
}

/* ---- prefixes --------------------------------------------------------------*/

/* Beginnings of names that end in a dot; borrowed from them. */
struct prefixes {
  const char *text[CANDIDATES];
  size_t length[CANDIDATES];
  int n;
};

static void
add_prefix (struct prefixes *p, const char *text, size_t length)
{
  for (int i = 0; i < p->n; i++)
    if (p->length[i] == length && strncmp (p->text[i], text, length) == 0)
      return;
  if (p->n == CANDIDATES)
    return;
  p->text[p->n] = text;
  p->length[p->n++] = length;
}

/* None, and all that every name shares. */
static void
shared_prefixes (const struct names *l, struct prefixes *p)
{
  size_t length, i;

  add_prefix (p, "", 0);
  if (l->n == 0)
    return;
  length = strlen (l->name[0].text);
  for (i = 1; i < l->n; i++) {
    size_t k = 0;

    while (k < length && l->name[i].text[k] == l->name[0].text[k])
      k++;
    length = k;
  }
  for (i = 0; i < length; i++)
    if (l->name[0].text[i] == '.')
      add_prefix (p, l->name[0].text, i + 1);
}

/* What stands before NAME where names of the file end in it: others may have
 * been saved beside the network. */
static void
prefixes_of (const struct names *file, const char *name, struct prefixes *p)
{
  const size_t k = strlen (name);

  for (size_t i = 0; i < file->n; i++) {
    const char *text = file->name[i].text;
    const size_t n = strlen (text);

    if (n > k && text[n - k - 1] == '.' && strcmp (text + n - k, name) == 0)
      add_prefix (p, text, n - k);
  }
}

/* The number in the file of prefix P and NAME; -1: none.  ROOM holds both. */
static int64_t
find (const struct names *file, const char *p, size_t length, const char *name,
      char *room)
{
  const struct name key = { room, 0 };
  const struct name *found;

  memcpy (room, p, length);
  strcpy (room + length, name);
  found = bsearch (&key, file->name, file->n, sizeof key, compare);
  return found != NULL ? found->i : -1;
}

static int64_t
try_prefixes (const struct names *file, const char *p, size_t length,
              const struct names *net, size_t q, int64_t *at, char *room)
{
  int64_t found = 0;

  for (size_t k = 0; k < net->n; k++) {
    at[k] = find (file, p, length, net->name[k].text + q, room);
    found += at[k] >= 0;
  }
  return found;
}

static size_t
longest (const struct names *l)
{
  size_t most = 0;

  for (size_t i = 0; i < l->n; i++) {
    const size_t n = strlen (l->name[i].text);

    most = n > most ? n : most;
  }
  return most;
}

/* Try all pairs; the best, and of equal ones the first, is left in AT. */
static int64_t
best_prefixes (const struct names *file, const struct names *net, int64_t *at,
               struct qk_match *out)
{
  struct prefixes p = { .n = 0 }, q = { .n = 0 };
  char *room = malloc (longest (file) + longest (net) + 1);
  int64_t best = -1, found;
  int bi = 0, bj = 0;

  if (room == NULL)
    return qk_oom ("names of tensors");
  shared_prefixes (file, &p);
  shared_prefixes (net, &q);
  if (net->n > 0)
    prefixes_of (file, net->name[0].text, &p);
  for (int i = 0; i < p.n; i++)
    for (int j = 0; j < q.n && best < (int64_t) net->n; j++)
      if ((found = try_prefixes (file, p.text[i], p.length[i], net,
                                 q.length[j], at, room))
          > best) {
        best = found;
        bi = i;
        bj = j;
      }
  try_prefixes (file, p.text[bi], p.length[bi], net, q.length[bj], at, room);
  free (room);
  out->file = strndup (p.text[bi], p.length[bi]);
  out->network = strndup (q.text[bj], q.length[bj]);
  return out->file == NULL || out->network == NULL
           ? qk_oom ("names of tensors")
           : best;
}

int64_t
qk_match_names (const char *const *have, int64_t count,
                const char *const *want, size_t n, int64_t *at,
                struct qk_match *out)
{
  struct names file = { NULL, 0 }, net = { NULL, 0 };
  int64_t r;

  memset (out, 0, sizeof *out);
  if ((r = names_new (have, (size_t) count, &file)) == 0
      && (r = names_new (want, n, &net)) == 0) {
    qsort (file.name, file.n, sizeof *file.name, compare);
    r = best_prefixes (&file, &net, at, out);
  }
  names_clear (&file);
  names_clear (&net);
  if (r < 0)
    qk_match_clear (out);
  return r;
}

void
qk_match_clear (struct qk_match *m)
{
  free (m->file);
  free (m->network);
  memset (m, 0, sizeof *m);
}

/* ---- lists for messages -----------------------------------------------------*/

int
qk_name_list_add (struct qk_name_list *l, const char *fmt, ...)
{
  char **more = realloc (l->line, (l->n + 1) * sizeof *more);
  va_list args;
  int r;

  if (more == NULL)
    return qk_oom ("names of tensors");
  l->line = more;
  va_start (args, fmt);
  r = vasprintf (&l->line[l->n], fmt, args);
  va_end (args);
  if (r < 0)
    return qk_oom ("names of tensors");
  l->n++;
  return 0;
}

/* The last component of a line's name, and its length. */
static const char *
ending_of (const char *line, size_t *length)
{
  const char *end = line + strcspn (line, " "), *p = end;

  while (p > line && p[-1] != '.')
    p--;
  *length = (size_t) (end - p);
  return p;
}

/* "56 *.running_mean, …" of the lines that are not shown. */
static void
print_endings (const struct qk_name_list *l, FILE *out)
{
  const char *ending[ENDINGS];
  size_t length[ENDINGS], count[ENDINGS] = { 0 }, kinds = 0, others = 0;

  for (size_t i = SHOWN; i < l->n; i++) {
    size_t n, k = 0;
    const char *e = ending_of (l->line[i], &n);

    while (k < kinds && (length[k] != n || strncmp (ending[k], e, n) != 0))
      k++;
    if (k == ENDINGS) {
      others++;
      continue;
    }
    if (k == kinds) {
      kinds++;
      ending[k] = e;
      length[k] = n;
    }
    count[k]++;
  }
  for (size_t k = 0; k < kinds; k++)
    fprintf (out, "%s%zu *.%.*s", k > 0 ? ", " : "", count[k], (int) length[k],
             ending[k]);
  if (others > 0)
    fprintf (out, ", %zu others", others);
}

void
qk_name_list_print (const struct qk_name_list *l, FILE *out)
{
  for (size_t i = 0; i < l->n && i < SHOWN; i++)
    fprintf (out, "\n  %s: %s", l->what, l->line[i]);
  if (l->n <= SHOWN)
    return;
  fprintf (out, "\n  %s: %zu more (", l->what, l->n - SHOWN);
  print_endings (l, out);
  fprintf (out, ")");
}

void
qk_name_list_clear (struct qk_name_list *l)
{
  for (size_t i = 0; i < l->n; i++)
    free (l->line[i]);
  free (l->line);
  l->line = NULL;
  l->n = 0;
}
