/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tensorfile.c: finds the plugin for a file and tensors in it by name. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/called.h"
#include "base/atomic-file.h"
#include "base/memtext.h"
#include "base/suffix.h"
#include "io/foreign.h"
#include "io/tensorfile.h"
#include "plugin/loader-priv.h"

/* More tensors than this no honest file has. */
#define MAX_ENTRIES 1000000

struct named {
  const char *name; /* owned by the plugin */
  int64_t number;   /* of the plugin's entry */
};

struct qk_tensorfile {
  const struct qk_format_class *cls;
  struct qk_config *cfg;
  void *self;
  char *path;
  int64_t n;
  const char **name;   /* in the plugin's order */
  struct named *index; /* sorted by name */
};

/* ---- formats ---------------------------------------------------------*/

static bool
claims (const struct qk_format_class *cls, const char *path)
{
  const char *const *s;

  for (s = cls->suffixes; s && *s; s++)
    if (qk_has_suffix (path, *s))
      return true;
  return false;
}

static int
format_by_name (struct qk_context *ctx, const char *name,
                const struct qk_format_class **out)
{
  const struct qk_class *cls;
  const int err = qk_context_class (ctx, QK_KIND_FORMAT, name, &cls);

  if (err == 0)
    *out = (const struct qk_format_class *) cls;
  return err;
}

/* What is looked for among the installed formats. */
struct wanted {
  const char *path;
  const void *head; /* NULL: by the ending */
  size_t n;
  FILE *known; /* gets all endings, for an error */
};

static bool
is_wanted (const struct wanted *w, const struct qk_format_class *cls)
{
  if (w->head == NULL)
    return claims (cls, w->path);
  return cls->recognize != NULL && cls->recognize (w->head, w->n);
}

/* The first installed format that is wanted; NULL in *OUT: none. */
static int
search_formats (struct qk_context *ctx, const struct wanted *w,
                const struct qk_format_class **out)
{
  char **names;
  size_t i;
  int err = qk_context_list (ctx, QK_KIND_FORMAT, &names);

  *out = NULL;
  if (err < 0)
    return err;
  for (i = 0; names[i] && !*out; i++) {
    const struct qk_format_class *cls = NULL;
    const char *const *s;

    err = format_by_name (ctx, names[i], &cls);
    if (err == -ENOMEM)
      break; /* another time it might be the one */
    if (err < 0) {
      err = 0;
      qk_log (ctx, QK_LOG_DEBUG, "format %s: %s", names[i],
              qk_error_message ());
      continue;
    }
    if (is_wanted (w, cls))
      *out = cls;
    for (s = cls->suffixes; w->known && s && *s; s++)
      fprintf (w->known, " %s", *s);
  }
  qk_names_free (names);
  return err == -ENOMEM ? err : 0;
}

/* The ending of PATH; NULL: it has none. */
static const char *
ending_of (const char *path)
{
  const char *base = strrchr (path, '/');
  const char *ending;

  base = base ? base + 1 : path;
  ending = strrchr (base, '.');
  return ending == base ? NULL : ending;
}

int
qk_format_find (struct qk_context *ctx, const char *path, const char *name,
                const struct qk_format_class **out)
{
  const char *ending = ending_of (path);
  struct wanted w = { .path = path };
  char *known = NULL;
  size_t size;
  int err;

  if (name)
    return format_by_name (ctx, name, out);
  if (!ending)
    return format_by_name (ctx, QK_FORMAT_DEFAULT, out);

  w.known = open_memstream (&known, &size);
  if (!w.known)
    return qk_oom ("%s", path);
  err = search_formats (ctx, &w, out);
  if (!qk_close_text (w.known, &known))
    return qk_oom ("%s", path);
  if (err == 0 && !*out)
    err = qk_error (-ENOENT,
                    "%s: no format is known for the ending \"%s\"; there "
                    "are:%s",
                    path, ending, size > 0 ? known : " none");
  free (known);
  return err;
}

/* The format to read PATH in: the one its ending names, unless what the file
 * begins with is of another one. */
static int
format_of_file (struct qk_context *ctx, const char *path, const char *name,
                const struct qk_format_class **out)
{
  const struct qk_format_class *named = NULL;
  char head[QK_HEAD_SIZE];
  const size_t n = qk_read_head (path, head);
  const char *foreign = qk_foreign (head, n);
  int err;

  err = name ? format_by_name (ctx, name, &named)
             : search_formats (ctx, &(struct wanted){ .path = path }, &named);
  if (err < 0)
    return err;
  *out = named;
  if (named && named->recognize && named->recognize (head, n))
    return 0;
  if (foreign)
    return qk_error (-EBADMSG, "%s: this is %s", path, foreign);
  if (name || (named && !named->recognize))
    return 0;
  err = search_formats (ctx, &(struct wanted){ .head = head, .n = n }, out);
  if (err < 0 || *out)
    return err;
  *out = named; /* it will say what is wrong */
  if (named)
    return 0;
  err = qk_format_find (ctx, path, NULL, out);
  return err == -ENOENT
           ? qk_error (err,
                       "%s; nor does it begin as a file of one of them: name "
                       "the format (model.format)",
                       qk_error_message ())
           : err;
}

/* ---- reading ---------------------------------------------------------*/

static int
compare_names (const void *a, const void *b)
{
  return strcmp (((const struct named *) a)->name,
                 ((const struct named *) b)->name);
}

static int
make_index (struct qk_tensorfile *f)
{
  struct qk_format_entry e;
  int64_t i;

  f->n = f->cls->count (f->self);
  if (f->n < 0)
    return (int) f->n;
  if (f->n > MAX_ENTRIES)
    return qk_error (-EBADMSG, "%s: %lld tensors, at most %d are possible",
                     f->path, (long long) f->n, MAX_ENTRIES);
  f->index = calloc ((size_t) f->n + 1, sizeof *f->index);
  f->name = calloc ((size_t) f->n + 1, sizeof *f->name);
  if (!f->index || !f->name)
    return qk_oom ("%s", f->path);
  for (i = 0; i < f->n; i++) {
    int err;

    memset (&e, 0, sizeof e);
    /* -ENOTSUP: there, but not for us; that matters when it is wanted */
    err = f->cls->entry (f->self, i, &e);
    if (err < 0 && !(err == -ENOTSUP && e.name))
      return err;
    f->name[i] = f->index[i].name = e.name;
    f->index[i].number = i;
  }
  qsort (f->index, (size_t) f->n, sizeof *f->index, compare_names);
  for (i = 1; i < f->n; i++)
    if (strcmp (f->index[i - 1].name, f->index[i].name) == 0)
      return qk_error (-EBADMSG, "%s: two tensors are called \"%s\"", f->path,
                       f->index[i].name);
  return 0;
}

/* What the bytes at DATA, or (NULL) the file at PATH hold, in CLS. */
static int
open_content (struct qk_context *ctx, const struct qk_format_class *cls,
              const char *path, const void *data, size_t size,
              struct qk_tensorfile **out)
{
  struct qk_tensorfile *f;
  int err;

  f = calloc (1, sizeof *f);
  if (!f || !(f->path = strdup (path))) {
    err = qk_oom ("%s", path);
    goto error;
  }
  f->cls = cls;
  err = qk_context_options (ctx, &f->cls->cls, &f->cfg);
  if (err < 0)
    goto error;
  err = data
          ? QK_CALLED (&cls->cls, "open_memory",
                       cls->open_memory (f->cfg, data, size, path, &f->self))
          : QK_CALLED (&cls->cls, "open", cls->open (f->cfg, path, &f->self));
  if (err < 0) {
    f->self = NULL;
    goto error;
  }
  err = make_index (f);
  if (err < 0)
    goto error;
  *out = f;
  return 0;

error:
  qk_tensorfile_close (f);
  return err;
}

int
qk_tensorfile_open (struct qk_context *ctx, const char *path,
                    const char *format, struct qk_tensorfile **out)
{
  const struct qk_format_class *cls = NULL;
  const int err = format_of_file (ctx, path, format, &cls);

  return err < 0 ? err : open_content (ctx, cls, path, NULL, 0, out);
}

int
qk_tensorfile_open_memory (struct qk_context *ctx, const char *name,
                           const void *data, size_t size,
                           struct qk_tensorfile **out)
{
  const struct qk_format_class *cls = NULL;
  const int err = format_by_name (ctx, QK_FORMAT_DEFAULT, &cls);

  if (err < 0)
    return err;
  if (!cls->open_memory)
    return qk_error (-ENOTSUP, "format '%s' cannot read from memory",
                     cls->cls.name);
  return open_content (ctx, cls, name, data, size, out);
}

void
qk_tensorfile_close (struct qk_tensorfile *f)
{
  if (!f)
    return;
  if (f->self)
    f->cls->close (f->self);
  qk_config_free (f->cfg);
  free (f->index);
  free (f->name);
  free (f->path);
  free (f);
}

const char *
qk_tensorfile_path (const struct qk_tensorfile *f)
{
  return f->path;
}

int64_t
qk_tensorfile_count (const struct qk_tensorfile *f)
{
  return f->n;
}

const char *
qk_tensorfile_name (const struct qk_tensorfile *f, int64_t i)
{
  return i >= 0 && i < f->n ? f->name[i] : NULL;
}

const char *
qk_tensorfile_metadata (const struct qk_tensorfile *f, const char *key)
{
  return f->cls->metadata ? f->cls->metadata (f->self, key) : NULL;
}

int64_t
qk_tensorfile_find (const struct qk_tensorfile *f, const char *name)
{
  const struct named key = { name, 0 };
  const struct named *found
    = bsearch (&key, f->index, (size_t) f->n, sizeof *f->index, compare_names);

  return found ? found->number : -ENOENT;
}

int
qk_tensorfile_entry (const struct qk_tensorfile *f, int64_t i,
                     struct qk_format_entry *out)
{
  memset (out, 0, sizeof *out);
  return f->cls->entry (f->self, i, out);
}

static void
round_f64 (const unsigned char *from, int64_t count, float *to)
{
  int64_t i;

  for (i = 0; i < count; i++) {
    double v; /* the file's data may not be aligned */

    memcpy (&v, from + 8 * i, sizeof v);
    to[i] = (float) v;
  }
}

/* f64 of the file into the f32 of DST. */
static int
read_rounded (const struct qk_tensorfile *f, const struct qk_format_entry *e,
              const struct qk_tensor *dst, enum qk_param_layout layout)
{
  const int64_t count = qk_shape_count (&dst->shape);
  float *tmp;

  if (layout == QK_LAYOUT_SAME) {
    round_f64 (e->tensor.data, count, dst->data);
    return 0;
  }
  tmp = qk_alloc ((size_t) count * sizeof *tmp);
  if (!tmp)
    return qk_oom ("%s: tensor \"%s\"", f->path, e->name);
  round_f64 (e->tensor.data, count, tmp);
  qk_layout_from_file (layout, &dst->shape, sizeof *tmp, tmp, dst->data);
  qk_free (tmp);
  return 0;
}

bool
qk_tensorfile_fits (const struct qk_shape *want, const struct qk_shape *have)
{
  struct qk_shape c = *have;

  while (want->ndim == 1 && c.ndim > 1 && c.dims[c.ndim - 1] == 1)
    c.ndim--;
  return qk_shape_equal (want, &c);
}

int
qk_tensorfile_read (const struct qk_tensorfile *f, int64_t i,
                    const struct qk_tensor *dst, enum qk_param_layout layout)
{
  struct qk_format_entry e;
  struct qk_shape want;
  char a[128], b[128];
  int err = qk_tensorfile_entry (f, i, &e);

  if (err < 0)
    return err;
  err = qk_layout_file_shape (layout, &dst->shape, &want);
  if (err < 0)
    return qk_error_prefix (err, "%s: tensor \"%s\": ", f->path, e.name);
  if (!qk_tensorfile_fits (&want, &e.tensor.shape))
    return qk_error (-EINVAL, "%s: tensor \"%s\" is %s, expected %s", f->path,
                     e.name, qk_shape_print (&e.tensor.shape, a, sizeof a),
                     qk_shape_print (&want, b, sizeof b));
  if (dst->dtype == QK_F32 && e.tensor.dtype == QK_F64)
    return read_rounded (f, &e, dst, layout);
  if (dst->dtype != e.tensor.dtype)
    return qk_error (-EINVAL, "%s: tensor \"%s\" is of type %s, expected %s",
                     f->path, e.name, qk_dtype_name (e.tensor.dtype),
                     qk_dtype_name (dst->dtype));
  qk_layout_from_file (layout, &dst->shape, qk_dtype_size (dst->dtype),
                       e.tensor.data, dst->data);
  return 0;
}

/* ---- layouts ---------------------------------------------------------*/

/* What a layout is, without the groups that it may name. */
static enum qk_param_layout
kind_of (enum qk_param_layout layout)
{
  return (enum qk_param_layout) ((int) layout & 0xff);
}

static int64_t
groups_of (enum qk_param_layout layout)
{
  return (int) layout >> 8 > 0 ? (int) layout >> 8 : 1;
}

int
qk_layout_file_shape (enum qk_param_layout layout, const struct qk_shape *ours,
                      struct qk_shape *theirs)
{
  const enum qk_param_layout kind = kind_of (layout);
  const int64_t groups = groups_of (layout);

  *theirs = *ours;
  if (kind == QK_LAYOUT_SAME)
    return 0;
  if (kind != QK_LAYOUT_OIHW && kind != QK_LAYOUT_IOHW_TURNED)
    return qk_error (-EINVAL, "unknown parameter layout %d", (int) layout);
  if (ours->ndim != 4)
    return qk_error (
      -EINVAL, "the layout (K,C,R,S) needs 4 dimensions, not %d", ours->ndim);
  theirs->dims[1] = ours->dims[3];
  theirs->dims[2] = ours->dims[1];
  theirs->dims[3] = ours->dims[2];
  if (kind == QK_LAYOUT_IOHW_TURNED) {
    theirs->dims[0] = ours->dims[3] * groups;
    theirs->dims[1] = ours->dims[0] / groups;
  }
  return 0;
}

/* Between ours, (K,R,S,C/groups), and theirs, (C,K/groups,R,S) with the window
 * backwards. */
static void
turn (const struct qk_shape *ours, int64_t groups, size_t size,
      const char *from, char *to, bool to_file)
{
  const int64_t k = ours->dims[0], c = ours->dims[3];
  const int64_t window = ours->dims[1] * ours->dims[2], kg = k / groups;

  for (int64_t i = 0; i < k; i++)
    for (int64_t w = 0; w < window; w++)
      for (int64_t j = 0; j < c; j++) {
        const int64_t in = i / kg * c + j; /* input channel */
        const size_t mine = (size_t) ((i * window + w) * c + j) * size;
        const size_t file
          = (size_t) ((in * kg + i % kg) * window + window - 1 - w) * size;

        if (to_file)
          memcpy (to + file, from + mine, size);
        else
          memcpy (to + mine, from + file, size);
      }
}

/* Each of N blocks is a ROWS x COLUMNS matrix of elements; transpose it. */
static void
transpose (int64_t n, int64_t rows, int64_t columns, size_t size,
           const void *from, void *to)
{
  const char *s = from;
  char *d = to;
  int64_t k, r, c;

  for (k = 0; k < n; k++)
    for (c = 0; c < columns; c++)
      for (r = 0; r < rows; r++, d += size)
        memcpy (d, s + (size_t) ((k * rows + r) * columns + c) * size, size);
}

void
qk_layout_from_file (enum qk_param_layout layout, const struct qk_shape *ours,
                     size_t size, const void *from, void *to)
{
  const int64_t count = qk_shape_count (ours);

  if (count <= 0)
    return;
  if (layout == QK_LAYOUT_OIHW) /* (K,C,RS) -> (K,RS,C) */
    transpose (ours->dims[0], ours->dims[3], ours->dims[1] * ours->dims[2],
               size, from, to);
  else if (kind_of (layout) == QK_LAYOUT_IOHW_TURNED)
    turn (ours, groups_of (layout), size, from, to, false);
  else
    memcpy (to, from, (size_t) count * size);
}

void
qk_layout_to_file (enum qk_param_layout layout, const struct qk_shape *ours,
                   size_t size, const void *from, void *to)
{
  const int64_t count = qk_shape_count (ours);

  if (count <= 0)
    return;
  if (layout == QK_LAYOUT_OIHW) /* (K,RS,C) -> (K,C,RS) */
    transpose (ours->dims[0], ours->dims[1] * ours->dims[2], ours->dims[3],
               size, from, to);
  else if (kind_of (layout) == QK_LAYOUT_IOHW_TURNED)
    turn (ours, groups_of (layout), size, from, to, true);
  else
    memcpy (to, from, (size_t) count * size);
}

/* ---- writing ---------------------------------------------------------*/

struct content {
  const struct qk_format_class *cls;
  struct qk_config *cfg;
  const struct qk_format_entry *entries;
  int64_t n;
  const struct qk_format_meta *meta;
  int n_meta;
};

static int
write_content (int fd, void *arg)
{
  const struct content *c = arg;

  return c->cls->write (c->cfg, fd, c->entries, c->n, c->meta, c->n_meta);
}

int
qk_tensorfile_write (struct qk_context *ctx, const char *path,
                     const char *format, const struct qk_format_entry *entries,
                     int64_t n, const struct qk_format_meta *meta, int n_meta)
{
  struct content c = { NULL, NULL, entries, n, meta, n_meta };
  int err = qk_format_find (ctx, path, format, &c.cls);

  if (err < 0)
    return err;
  if (!c.cls->write)
    return qk_error (-ENOTSUP, "%s: format %s can only be read", path,
                     c.cls->cls.name);
  if ((err = qk_context_options (ctx, &c.cls->cls, &c.cfg)) < 0)
    return err;
  err = qk_atomic_write (path, write_content, &c);
  qk_config_free (c.cfg);
  return err;
}
