/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* journal.c: trials that survive whatever ends the program. */
#include "config.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/atomic-file.h"
#include "base/json.h"
#include "tune/journal.h"

/* Larger ones were not written by us. */
#define MAX_SIZE (16 << 20)

struct qk_journal {
  char *path;
  int fd;
  const struct qk_objective *o;
  json_t *trials; /* array of the remembered ones */
};

static uint32_t
fingerprint (const char *config)
{
  return (uint32_t) crc32_z (0, (const unsigned char *) config,
                             strlen (config));
}

/* The whole file, to be freed; *N its size up to the last complete line. */
static int
read_lines (int fd, const char *path, char **out, size_t *n)
{
  struct stat st;
  ssize_t got = 0;
  char *text;

  if (fstat (fd, &st) < 0)
    return qk_error (-errno, "%s: %s", path, strerror (errno));
  if (st.st_size > MAX_SIZE)
    return qk_error (-EBADMSG,
                     "%s: %lld bytes, a journal of trials has at "
                     "most %d",
                     path, (long long) st.st_size, MAX_SIZE);
  if ((text = malloc ((size_t) st.st_size + 1)) == NULL)
    return qk_oom ("%s", path);
  *n = 0;
  while (*n < (size_t) st.st_size
         && (got = read (fd, text + *n, (size_t) st.st_size - *n)) > 0)
    *n += (size_t) got;
  if (got < 0) {
    free (text);
    return qk_error (-errno, "%s: %s", path, strerror (errno));
  }
  while (*n > 0 && text[*n - 1] != '\n')
    (*n)--;
  text[*n] = 0;
  *out = text;
  return 0;
}

/* What LINE says: SIZE bytes, perhaps after zeros, which power loss leaves
 * where something had been written; NULL for no JSON. */
static json_t *
parse_line (const char *line, size_t size)
{
  while (size > 0 && *line == 0) {
    line++;
    size--;
  }
  return size > 0 ? json_loadb (line, size, 0, NULL) : NULL;
}

/* The first line tells for which configuration the journal is; 1 if it tells
 * nothing. */
static int
check_head (const char *path, const json_t *head, uint32_t want)
{
  const json_t *crc = json_object_get (head, "config_crc32");

  if (!json_is_integer (crc))
    return 1;
  if ((uint32_t) json_integer_value (crc) != want)
    return qk_error (-EINVAL,
                     "%s was made with another configuration (CRC %08x, "
                     "now %08x); go on without --resume or with the old one",
                     path, (unsigned) json_integer_value (crc),
                     (unsigned) want);
  return 0;
}

/* A line after the first: a trial is remembered, anything else passed over. */
static int
take_trial (struct qk_journal *j, struct qk_context *ctx, json_t *t,
            int number)
{
  if (!json_is_object (t) || !json_is_array (json_object_get (t, "set"))) {
    json_decref (t);
    qk_log (ctx, QK_LOG_WARNING, "%s:%d: not a trial; passed over", j->path,
            number);
    return 0;
  }
  return json_array_append_new (j->trials, t) < 0 ? qk_oom ("%s", j->path) : 0;
}

/* The lines of TEXT, N bytes.  Without a head nobody knows what the trials
 * belong to: an error, unless there are none. */
static int
remember (struct qk_journal *j, struct qk_context *ctx, const char *text,
          size_t n, uint32_t want, bool *empty)
{
  const char *line = text, *const stop = text + n;
  bool headless = false;
  int r = 0, number = 0;

  while (r >= 0 && line < stop) {
    const char *end = memchr (line, '\n', (size_t) (stop - line));
    json_t *t = parse_line (line, (size_t) (end - line));

    if (number++ == 0) {
      r = check_head (j->path, t, want);
      headless = r > 0;
      json_decref (t);
    } else
      r = take_trial (j, ctx, t, number);
    line = end + 1;
  }
  if (r < 0)
    return r;
  if (headless && json_array_size (j->trials) > 0)
    return qk_error (-EBADMSG,
                     "%s: not a journal of trials: its first line is damaged; "
                     "remove it to begin anew",
                     j->path);
  *empty = n == 0 || headless;
  return 0;
}

/* What is there is remembered, and cut after its last complete line; whether
 * there was nothing of use. */
static int
load (struct qk_journal *j, struct qk_context *ctx, uint32_t want, bool *empty)
{
  size_t n = 0;
  char *text = NULL;
  int r = read_lines (j->fd, j->path, &text, &n);

  if (r == 0)
    r = remember (j, ctx, text, n, want, empty);
  if (r == 0
      && (ftruncate (j->fd, *empty ? 0 : (off_t) n) < 0
          || lseek (j->fd, 0, SEEK_END) < 0))
    r = qk_error (-errno, "%s: %s", j->path, strerror (errno));
  free (text);
  return r;
}

/* The first line, safe on the disk before there are trials. */
static int
begin (struct qk_journal *j, uint32_t config)
{
  char head[64];
  const int n = snprintf (head, sizeof head, "{\"config_crc32\": %lu}\n",
                          (unsigned long) config);
  int r = qk_write_all (j->fd, head, (size_t) n);

  if (r == 0 && fsync (j->fd) < 0 && errno != EINVAL)
    r = qk_error (-errno, "%s", strerror (errno));
  return r < 0 ? qk_error_prefix (r, "%s: ", j->path) : 0;
}

int
qk_journal_open (struct qk_context *ctx, const char *path, const char *config,
                 const struct qk_objective *o, bool resume,
                 struct qk_journal **out)
{
  struct qk_journal *j = calloc (1, sizeof *j);
  bool empty = true;
  int r = 0;

  if (j == NULL)
    return qk_oom ("journal");
  j->o = o;
  j->path = strdup (path);
  j->trials = json_array ();
  j->fd = open (
    path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (resume ? 0 : O_TRUNC),
    0666);
  if (j->fd < 0 && errno == ELOOP)
    r = qk_error (-ELOOP,
                  "%s: is a symbolic link, expected a file or nothing; remove "
                  "it",
                  path);
  else if (j->fd < 0)
    r = qk_error (-errno, "%s: %s", path, strerror (errno));
  else if (j->path == NULL || j->trials == NULL)
    r = qk_oom ("journal");
  if (r == 0)
    r = load (j, ctx, fingerprint (config), &empty);
  if (r == 0 && empty)
    r = begin (j, fingerprint (config));
  if (r < 0) {
    qk_journal_close (j);
    return r;
  }
  *out = j;
  return 0;
}

void
qk_journal_close (struct qk_journal *j)
{
  if (j == NULL)
    return;
  if (j->fd >= 0)
    close (j->fd);
  json_decref (j->trials);
  free (j->path);
  free (j);
}

static bool
same_settings (const json_t *e, const struct qk_trial *t)
{
  const json_t *set = json_object_get (e, "set");
  int i;

  if (json_is_true (json_object_get (e, "qat")) != t->qat
      || json_array_size (set) != (size_t) t->n_set)
    return false;
  for (i = 0; i < t->n_set; i++) {
    const char *s = json_string_value (json_array_get (set, (size_t) i));

    if (s == NULL || strcmp (s, t->set[i]) != 0)
      return false;
  }
  return true;
}

/* Whether all scores are there; one that was not known is null. */
static bool
scores_from_json (const struct qk_objective *o, const json_t *e,
                  struct qk_scores *s)
{
  int i;

  memset (s, 0, sizeof *s);
  for (i = 0; i <= o->n_scores; i++) {
    const json_t *x = json_object_get (
      e, qk_score_name (o, i < o->n_scores ? i : QK_SCORE_LOSS));
    const double v = json_is_number (x) ? json_number_value (x) : (double) NAN;

    if (x == NULL)
      return false;
    if (i < o->n_scores)
      s->value[i] = v;
    else
      s->loss = v;
  }
  return true;
}

static json_t *
scores_to_json (const struct qk_objective *o, const struct qk_scores *s)
{
  json_t *e = json_object ();
  int i;

  for (i = 0; i <= o->n_scores; i++) {
    const int score = i < o->n_scores ? i : QK_SCORE_LOSS;
    const double v = qk_scores_get (s, score);

    qk_json_set (&e, qk_score_name (o, score), qk_json_real (v));
  }
  return e;
}

bool
qk_journal_find (const struct qk_journal *j, struct qk_trial *t)
{
  size_t i;

  for (i = 0; i < json_array_size (j->trials); i++) {
    const json_t *e = json_array_get (j->trials, i);

    if (!same_settings (e, t)
        || !scores_from_json (j->o, json_object_get (e, "scores"), &t->scores))
      continue;
    t->bytes = json_integer_value (json_object_get (e, "bytes"));
    return t->done = t->remembered = true;
  }
  return false;
}

int
qk_journal_add (struct qk_journal *j, const struct qk_trial *t)
{
  json_t *set = json_array (), *e;
  char *line = NULL;
  int i, r = 0;

  for (i = 0; i < t->n_set; i++)
    qk_json_append (&set, qk_json_string (t->set[i]));
  e = json_pack ("{s:b, s:o, s:o, s:I, s:i, s:i}", "qat", t->qat, "set", set,
                 "scores", scores_to_json (j->o, &t->scores), "bytes",
                 (json_int_t) t->bytes, "weight_bits", t->weight_bits,
                 "float_layers", t->n_float);
  if (e != NULL)
    line = qk_json_text (e, JSON_COMPACT | JSON_REAL_PRECISION (17));
  if (line == NULL)
    r = qk_oom ("%s", j->path);
  if (r == 0
      && ((r = qk_write_all (j->fd, line, strlen (line))) < 0
          || (r = qk_write_all (j->fd, "\n", 1)) < 0))
    qk_error_prefix (r, "%s: ", j->path);
  if (r == 0 && fdatasync (j->fd) < 0 && errno != EINVAL)
    r = qk_error (-errno, "%s: %s", j->path, strerror (errno));
  free (line);
  json_decref (e);
  return r;
}
