/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: tensors as lines of text that any program can write:
 *   NAME SIZE,SIZE,... NUMBER NUMBER ...
 * "fc.weight 2,3 0.1 0.2 0.3 0.4 0.5 0.6"; all f32, row by row.
 *
 *   [model]
 *   weights = weights.txt
 *   format = ./NAME.so
 *
 *   [format NAME]
 *   strip = net. */
#define _POSIX_C_SOURCE 200809L /* getline, strdup */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/format.h>

struct NAME {
  struct qk_format_entry *entry; /* name and data of each are ours */
  int64_t n;
  const char *path, *strip; /* borrowed */
};

static const struct qk_option NAME_options[]
  = { { "strip", QK_OPT_STRING, "", 0, 0, NULL,
        "Beginning of names that is left out, as in \"net.\"" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static void
NAME_close (void *self)
{
  struct NAME *f = self;

  for (int64_t i = 0; f != NULL && i < f->n; i++) {
    free ((char *) f->entry[i].name);
    free (f->entry[i].tensor.data);
  }
  if (f != NULL)
    free (f->entry);
  free (f);
}

/* "2,3" into SHAPE; returns the number of elements, or -1. */
static int64_t
NAME_shape (char *text, struct qk_shape *shape)
{
  char *end = text;

  for (; shape->ndim < QK_MAX_DIMS && *text != '\0'; text = end + 1) {
    shape->dims[shape->ndim++] = strtoll (text, &end, 10);
    if (end == text || (*end != ',' && *end != '\0'))
      return -1;
    if (*end == '\0')
      break;
  }
  return *end == '\0' ? qk_shape_count (shape) : -1;
}

/* One line of the file, BYTES long, into an entry.  No more memory is spent
 * than such a line can fill: the file may come from anybody. */
static int
NAME_line (struct NAME *f, char *line, int64_t bytes)
{
  const size_t strip = strlen (f->strip);
  char *save = NULL, *name = strtok_r (line, " \n", &save), *word;
  struct qk_format_entry *e = &f->entry[f->n];
  int64_t count, i = 0;
  float *x;

  memset (e, 0, sizeof *e);
  word = name != NULL ? strtok_r (NULL, " \n", &save) : NULL;
  count = word != NULL ? NAME_shape (word, &e->tensor.shape) : -1;
  if (count < 0 || count > bytes)
    return qk_error (-EBADMSG, "%s: tensor %lld has no sensible shape",
                     f->path, (long long) f->n);
  if (strncmp (name, f->strip, strip) == 0)
    name += strip;
  e->name = strdup (name);
  e->tensor.data = x = malloc ((size_t) (count > 0 ? count : 1) * sizeof *x);
  e->tensor.dtype = QK_F32;
  f->n++; /* from here on close frees it */
  if (e->name == NULL || x == NULL)
    return qk_oom ("%s", f->path);
  while ((word = strtok_r (NULL, " \n", &save)) != NULL) {
    char *end;
    const float value = strtof (word, &end);

    if (i == count || *end != '\0')
      return qk_error (-EBADMSG, "%s: tensor \"%s\": '%s' is no number of it",
                       f->path, name, word);
    x[i++] = value;
  }
  if (i < count)
    return qk_error (-EBADMSG, "%s: tensor \"%s\" has %lld numbers, not %lld",
                     f->path, name, (long long) i, (long long) count);
  return 0;
}

/* Open a file, check all of it.  PATH and CFG live until close. */
static int
NAME_open (const struct qk_config *cfg, const char *path, void **self)
{
  struct NAME *f = calloc (1, sizeof *f);
  FILE *file = fopen (path, "r");
  struct qk_format_entry *grown;
  char *line = NULL;
  size_t size = 0;
  ssize_t n;
  int r = 0;

  if (f == NULL)
    r = qk_oom ("%s", path);
  else if (file == NULL)
    r = qk_error (-errno, "%s: cannot open: %s", path, strerror (errno));
  if (r == 0) {
    f->path = path;
    f->strip = qk_config_string (cfg, "strip");
  }
  while (r == 0 && (n = getline (&line, &size, file)) >= 0) {
    grown = realloc (f->entry, (size_t) (f->n + 1) * sizeof *grown);
    if (grown == NULL)
      r = qk_oom ("%s", path);
    else {
      f->entry = grown;
      r = NAME_line (f, line, n);
    }
  }
  free (line);
  if (file != NULL)
    fclose (file);
  if (r < 0)
    NAME_close (f);
  else
    *self = f;
  return r;
}

static int64_t
NAME_count (void *self)
{
  const struct NAME *f = self;

  return f->n;
}

/* Tensor I, 0 <= i < count, borrowed until close.  -ENOTSUP, with the name
 * filled in, for one whose kind of numbers is not supported. */
static int
NAME_entry (void *self, int64_t i, struct qk_format_entry *out)
{
  const struct NAME *f = self;

  *out = f->entry[i];
  return 0;
}

/* Text that the file holds under KEY; this format has no place for any. */
static const char *
NAME_metadata (void *self, const char *key)
{
  (void) self;
  (void) key;
  return NULL;
}

/* Endings by which a file is recognised where no format is named. */
static const char *const NAME_suffixes[] = { ".NAME", NULL };

/* write (tensors) and write_network (whole networks, for "qatkit export") are
 * optional: the format can be read only. */
static const struct qk_format_class NAME_class = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "NAME",
                   "Tensors as lines of text", NAME_options),
  .suffixes = NAME_suffixes,
  .open = NAME_open,
  .close = NAME_close,
  .count = NAME_count,
  .entry = NAME_entry,
  .metadata = NAME_metadata,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
