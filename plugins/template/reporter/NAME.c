/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: writes one kind of event into a CSV file, one a line, for
 * spreadsheets.  The first event gives the columns.
 *
 *   [run]
 *   reporter = jsonl,./NAME.so
 *
 *   [reporter NAME]
 *   event = eval */
#define _POSIX_C_SOURCE 200809L /* strdup */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/reporter.h>

struct NAME {
  FILE *file;
  char *event;
  char **column; /* names, n of them */
  int n;
  bool titled; /* the file has its line of titles */
};

static const struct qk_option NAME_options[]
  = { { "event", QK_OPT_STRING, "epoch", 0, 0, NULL,
        "Event that is written: epoch, eval, timing" },
      { "file", QK_OPT_STRING, "NAME.csv", 0, 0, NULL,
        "Name of the file in the folder of the run" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

/* At the end of the run, also of one that fails. */
static void
NAME_destroy (void *self)
{
  struct NAME *r = self;

  if (r == NULL)
    return;
  for (int i = 0; i < r->n; i++)
    free (r->column[i]);
  free (r->column);
  free (r->event);
  if (r->file != NULL)
    fclose (r->file);
  free (r);
}

/* When a run begins or goes on; in the first process only.  req->dir is the
 * folder of the run; with req->resume what was written before is kept. */
static int
NAME_create (const struct qk_config *cfg,
             const struct qk_reporter_request *req, void **self)
{
  const char *name = qk_config_string (cfg, "file");
  char path[4096];
  struct NAME *r;
  int err;

  if (*name == '\0' || strchr (name, '/') != NULL)
    return qk_error (-EINVAL, "NAME: file must be a name without '/', got %s",
                     name);
  if (snprintf (path, sizeof path, "%s/%s", req->dir, name)
      >= (int) sizeof path)
    return qk_error (-EINVAL, "NAME: the name is too long: %s", req->dir);
  r = calloc (1, sizeof *r);
  if (r == NULL
      || (r->event = strdup (qk_config_string (cfg, "event"))) == NULL) {
    free (r);
    return qk_oom ("NAME");
  }
  r->file = fopen (path, req->resume ? "a" : "w");
  if (r->file == NULL) {
    err = -errno;
    NAME_destroy (r);
    return qk_error (err, "NAME: cannot write %s: %s", path, strerror (-err));
  }
  r->titled = fseek (r->file, 0, SEEK_END) == 0 && ftell (r->file) > 0;
  *self = r;
  return 0;
}

/* Take the columns from the first event. */
static int
NAME_title (struct NAME *r, const struct qk_event *ev)
{
  r->column = calloc ((size_t) ev->n + 1, sizeof *r->column);
  if (r->column == NULL)
    return qk_oom ("NAME");
  for (; r->n < ev->n; r->n++) {
    r->column[r->n] = strdup (ev->field[r->n].key);
    if (r->column[r->n] == NULL)
      return qk_oom ("NAME");
    if (!r->titled)
      fprintf (r->file, "%s%s", r->n > 0 ? "," : "", r->column[r->n]);
  }
  if (!r->titled)
    fputc ('\n', r->file);
  return 0;
}

static void
NAME_print (FILE *f, const struct qk_field *field)
{
  if (field->type == QK_FIELD_INT)
    fprintf (f, "%" PRId64, field->i);
  else if (field->type == QK_FIELD_FLOAT)
    fprintf (f, "%.9g", field->f);
  else
    fprintf (f, "%s", field->s);
}

/* Something happened: ev->name with n fields, borrowed for the call.  ev->timing
 * marks what the clock says and is different in every run.  From the thread
 * that trains: be quick. */
static int
NAME_event (void *self, const struct qk_event *ev)
{
  struct NAME *r = self;
  int err;

  if (strcmp (ev->name, r->event) != 0)
    return 0;
  if (r->column == NULL && (err = NAME_title (r, ev)) < 0)
    return err;
  for (int i = 0; i < r->n; i++) {
    if (i > 0)
      fputc (',', r->file);
    for (int k = 0; k < ev->n; k++)
      if (strcmp (ev->field[k].key, r->column[i]) == 0)
        NAME_print (r->file, &ev->field[k]);
  }
  fputc ('\n', r->file);
  /* so that a killed run leaves its lines */
  return fflush (r->file) == 0
           ? 0
           : qk_error (-errno, "NAME: cannot write: %s", strerror (errno));
}

static const struct qk_reporter_class NAME_class = {
  .cls = QK_CLASS (struct qk_reporter_class, QK_KIND_REPORTER, "NAME",
                   "One kind of event as CSV", NAME_options),
  .create = NAME_create,
  .destroy = NAME_destroy,
  .event = NAME_event,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
