/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jsonl.c: writes every event as one line of JSON.
 *
 *   {"event":"epoch","epoch":3,"loss":0.25}
 *
 * into log.jsonl; what tells of the clock goes to timing.jsonl, with "time"
 * in seconds since 1970, so that two equal runs write equal logs.  Numbers
 * that are NaN or infinite, which JSON does not know, are null.  Each line is
 * handed to the system before event returns, so a killed run leaves all of
 * its lines.
 */
#include "config.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <qatkit/reporter.h>

static const struct qk_option options[]
  = { { "file", QK_OPT_STRING, "log.jsonl", 0, 0, NULL,
        "Name of the file in the folder of the run" },
      { "timing", QK_OPT_STRING, "timing.jsonl", 0, 0, NULL,
        "Name of the file for timings" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

struct jsonl_file {
  char *path;
  int fd;
  bool torn; /* the file ends in the middle of a line */
};

struct jsonl {
  struct jsonl_file log, timing;
};

static void
jsonl_destroy (void *self)
{
  struct jsonl *j = self;

  if (!j)
    return;
  if (j->log.fd >= 0)
    close (j->log.fd);
  if (j->timing.fd >= 0)
    close (j->timing.fd);
  free (j->log.path);
  free (j->timing.path);
  free (j);
}

/* Whether the last byte is not a newline: a run was killed while writing. */
static bool
ends_torn (int fd)
{
  const off_t size = lseek (fd, 0, SEEK_END);
  char last;

  return size > 0 && pread (fd, &last, 1, size - 1) == 1 && last != '\n';
}

static int
open_file (struct jsonl_file *f, const struct qk_config *cfg,
           const char *option, const struct qk_reporter_request *req)
{
  const char *name = qk_config_string (cfg, option);
  int err;

  if (!name[0] || strchr (name, '/'))
    return qk_error (-EINVAL,
                     "jsonl: %s must be the name of a file in the "
                     "folder of the run, got \"%s\"",
                     option, name);
  if (asprintf (&f->path, "%s/%s", req->dir, name) < 0) {
    f->path = NULL;
    return qk_oom ("jsonl");
  }
  f->fd = open (f->path,
                O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW
                  | (req->resume ? 0 : O_TRUNC),
                0666);
  if (f->fd < 0 && errno == ELOOP)
    return qk_error (-ELOOP,
                     "jsonl: %s: is a symbolic link, expected a file "
                     "or nothing; remove it",
                     f->path);
  if (f->fd < 0) {
    err = -errno;
    return qk_error (err, "jsonl: %s: cannot open: %s", f->path,
                     strerror (-err));
  }
  f->torn = ends_torn (f->fd);
  return 0;
}

static int
jsonl_create (const struct qk_config *cfg,
              const struct qk_reporter_request *req, void **self)
{
  struct jsonl *j = calloc (1, sizeof *j);
  int err;

  if (!j)
    return qk_oom ("jsonl");
  j->log.fd = j->timing.fd = -1;
  if ((err = open_file (&j->log, cfg, "file", req)) < 0
      || (err = open_file (&j->timing, cfg, "timing", req)) < 0) {
    jsonl_destroy (j);
    return err;
  }
  *self = j;
  return 0;
}

/* The fewest digits that keep the value of V, at least 15. */
static size_t
digits_of (double v)
{
  char text[40];
  int digits = 15;

  while (digits < 17) {
    snprintf (text, sizeof text, "%.*g", digits, v);
    if (strtod (text, NULL) >= v && strtod (text, NULL) <= v)
      break;
    digits++;
  }
  return (size_t) digits;
}

/* V with as few digits as keep its value; to be freed. */
static char *
dump_real (double v)
{
  json_t *number = json_real (v);
  char *text
    = number == NULL
        ? NULL
        : json_dumps (number,
                      JSON_ENCODE_ANY | JSON_REAL_PRECISION (digits_of (v)));

  json_decref (number);
  return text;
}

/* TEXT as a JSON value, also where a file's name is no UTF-8. */
static json_t *
string_of (const char *text)
{
  json_t *value = json_string (text);
  char *valid;

  if (value || !(valid = qk_utf8 (text)))
    return value;
  value = json_string (valid);
  free (valid);
  return value;
}

/* The field's value as JSON; to be freed; NULL when out of memory. */
static char *
dump_value (const struct qk_field *f)
{
  json_t *value;
  char *text;

  if (f->type == QK_FIELD_FLOAT && isfinite (f->f))
    return dump_real (f->f);
  if (f->type == QK_FIELD_INT)
    value = json_integer (f->i);
  else if (f->type == QK_FIELD_STRING && f->s)
    value = string_of (f->s);
  else
    value = json_null ();
  text = json_dumps (value, JSON_ENCODE_ANY);
  json_decref (value);
  return text;
}

static int
print_pair (FILE *out, const char *key, const struct qk_field *value)
{
  const struct qk_field k = { .type = QK_FIELD_STRING, .s = key };
  char *key_text = dump_value (&k), *text = dump_value (value);
  const bool ok
    = key_text && text && fprintf (out, ",%s:%s", key_text, text) >= 0;

  free (key_text);
  free (text);
  return ok ? 0 : qk_oom ("jsonl");
}

static int
print_event (FILE *out, const struct qk_event *ev)
{
  const struct qk_field name = { .type = QK_FIELD_STRING, .s = ev->name };
  char *text = dump_value (&name);
  struct timespec now;
  int i, err = 0;

  if (!text)
    return qk_oom ("jsonl");
  fprintf (out, "{\"event\":%s", text);
  if (ev->timing) {
    clock_gettime (CLOCK_REALTIME, &now);
    fprintf (out, ",\"time\":%lld.%03ld", (long long) now.tv_sec,
             now.tv_nsec / 1000000);
  }
  free (text);
  for (i = 0; err == 0 && i < ev->n; i++) {
    const char *key = ev->field[i].key;

    if (strcmp (key, "event") == 0 || strcmp (key, "time") == 0)
      err = qk_error (-EINVAL,
                      "jsonl: a field of event %s cannot be called "
                      "\"%s\"",
                      ev->name, key);
    else
      err = print_pair (out, key, &ev->field[i]);
  }
  fputs ("}\n", out);
  return err;
}

/* A line that could only be written in part is closed by the next event. */
static int
write_line (struct jsonl_file *j, const char *line, size_t size)
{
  size_t at = 0;

  while (at < size) {
    const ssize_t n = write (j->fd, line + at, size - at);
    const int err = -errno;

    if (n < 0 && err == -EINTR)
      continue;
    if (n < 0)
      return qk_error (err, "jsonl: %s: cannot write: %s", j->path,
                       strerror (-err));
    at += (size_t) n;
    j->torn = line[at - 1] != '\n';
  }
  return 0;
}

static int
jsonl_event (void *self, const struct qk_event *ev)
{
  struct jsonl_file *j = ev->timing ? &((struct jsonl *) self)->timing
                                    : &((struct jsonl *) self)->log;
  char *line = NULL;
  size_t size;
  FILE *out;
  int err;

  out = open_memstream (&line, &size);
  if (!out)
    return qk_oom ("jsonl");
  if (j->torn)
    putc ('\n', out);
  err = print_event (out, ev);
  if ((fclose (out) != 0 || line == NULL) && err == 0)
    err = qk_oom ("jsonl");
  if (err == 0)
    err = write_line (j, line, size);
  free (line);
  return err;
}

static const struct qk_reporter_class jsonl = {
  .cls = QK_CLASS_DEFAULT (struct qk_reporter_class, QK_KIND_REPORTER, "jsonl",
                           "Writes every event as one line of JSON", options,
                           100, 0, ""),
  .create = jsonl_create,
  .destroy = jsonl_destroy,
  .event = jsonl_event,
};

QK_PLUGIN ("jsonl", PACKAGE_VERSION, "LGPL-2.1-or-later", &jsonl.cls);
