/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weights.c: matches the tensors of a file with a network's parameters. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/weights.h"

/* What torch.nn.DataParallel puts before every name. */
#define PREFIX "module."
/* A counter of PyTorch's batch-norm that nothing computes with. */
#define IGNORED "num_batches_tracked"

static bool
is_ignored (const char *name)
{
  const size_t n = strlen (name), k = sizeof IGNORED - 1;

  return n >= k && strcmp (name + n - k, IGNORED) == 0
         && (n == k || name[n - k - 1] == '.');
}

/* Bytes of a prefix that all names of the file share and W does not have. */
static size_t
prefix_length (const struct qk_tensorfile *f, const struct qk_weight *w,
               size_t n)
{
  const size_t k = sizeof PREFIX - 1;
  int64_t i;

  for (i = 0; i < qk_tensorfile_count (f); i++)
    if (strncmp (qk_tensorfile_name (f, i), PREFIX, k) != 0)
      return 0;
  if (n > 0 && strncmp (w[0].name, PREFIX, k) == 0)
    return 0;
  return i > 0 ? k : 0;
}

static int64_t
find (const struct qk_tensorfile *f, const char *name, size_t prefix)
{
  int64_t i;
  char *full;

  if (prefix == 0)
    return qk_tensorfile_find (f, name);
  if (asprintf (&full, "%.*s%s", (int) prefix, PREFIX, name) < 0)
    return qk_oom ("%s", qk_tensorfile_path (f));
  i = qk_tensorfile_find (f, full);
  free (full);
  return i;
}

/* Whether tensor I of the file fits W; if not, say why on OUT. */
static bool
fits (const struct qk_tensorfile *f, int64_t i, const struct qk_weight *w,
      FILE *out)
{
  struct qk_format_entry e;
  struct qk_shape want;
  char a[128], b[128];

  if (qk_tensorfile_entry (f, i, &e) < 0
      || qk_layout_file_shape (w->layout, &w->tensor->shape, &want) < 0) {
    fprintf (out, "\n  unusable: %s (%s)", w->name, qk_error_message ());
    return false;
  }
  if (!qk_shape_equal (&want, &e.tensor.shape)) {
    fprintf (out, "\n  wrong shape: %s is %s, expected %s", w->name,
             qk_shape_print (&e.tensor.shape, a, sizeof a),
             qk_shape_print (&want, b, sizeof b));
    return false;
  }
  if (e.tensor.dtype != w->tensor->dtype
      && !(e.tensor.dtype == QK_F64 && w->tensor->dtype == QK_F32)) {
    fprintf (out, "\n  wrong type: %s is %s, expected %s", w->name,
             qk_dtype_name (e.tensor.dtype), qk_dtype_name (w->tensor->dtype));
    return false;
  }
  return true;
}

/* Look up every parameter (AT gets the tensors' numbers) and write what is
 * wrong to OUT.  Returns the number of faults. */
static long
match (const struct qk_tensorfile *f, const struct qk_weight *w, size_t n,
       int64_t *at, FILE *out)
{
  const size_t prefix = prefix_length (f, w, n);
  const int64_t count = qk_tensorfile_count (f);
  long faults = 0;
  bool *used;
  size_t k;
  int64_t i;

  used = calloc ((size_t) count + 1, sizeof *used);
  if (!used)
    return qk_oom ("%s", qk_tensorfile_path (f));
  for (k = 0; k < n; k++) {
    at[k] = find (f, w[k].name, prefix);
    if (at[k] == -ENOENT) {
      fprintf (out, "\n  missing: %s", w[k].name);
      faults++;
    } else if (at[k] < 0) {
      free (used);
      return (long) at[k];
    } else {
      used[at[k]] = true;
      faults += !fits (f, at[k], &w[k], out);
    }
  }
  for (i = 0; i < count; i++)
    if (!used[i] && !is_ignored (qk_tensorfile_name (f, i))) {
      fprintf (out, "\n  not of this network: %s",
               qk_tensorfile_name (f, i) + prefix);
      faults++;
    }
  free (used);
  return faults;
}

int
qk_weights_read (const struct qk_tensorfile *f, const struct qk_weight *w,
                 size_t n)
{
  char *text = NULL;
  int64_t *at;
  FILE *out;
  size_t size, k;
  long faults;
  int err = 0;

  at = calloc (n + 1, sizeof *at);
  out = open_memstream (&text, &size);
  if (!at || !out) {
    if (out)
      fclose (out);
    free (text);
    free (at);
    return qk_oom ("%s", qk_tensorfile_path (f));
  }
  faults = match (f, w, n, at, out);
  if (fclose (out) != 0)
    err = qk_oom ("%s", qk_tensorfile_path (f));
  else if (faults < 0)
    err = (int) faults;
  else if (faults > 0)
    err = qk_error (-EINVAL, "%s: %ld tensor%s not fit the network:%s",
                    qk_tensorfile_path (f), faults,
                    faults == 1 ? " does" : "s do", text);
  for (k = 0; err == 0 && k < n; k++)
    err = qk_tensorfile_read (f, at[k], w[k].tensor, w[k].layout);
  free (text);
  free (at);
  return err;
}

int
qk_weights_load (struct qk_context *ctx, const char *path, const char *format,
                 const struct qk_weight *w, size_t n)
{
  struct qk_tensorfile *f;
  int err = qk_tensorfile_open (ctx, path, format, &f);

  if (err < 0)
    return err;
  err = qk_weights_read (f, w, n);
  qk_tensorfile_close (f);
  return err;
}

/* W as the file shall have it.  *COPY, for qk_free, holds the data when they
 * had to be moved. */
static int
to_entry (const struct qk_weight *w, struct qk_format_entry *e, void **copy)
{
  const struct qk_tensor *t = w->tensor;
  const size_t size = qk_dtype_size (t->dtype);
  int err;

  *copy = NULL;
  e->name = w->name;
  e->tensor = *t;
  err = qk_layout_file_shape (w->layout, &t->shape, &e->tensor.shape);
  if (err < 0)
    return qk_error_prefix (err, "parameter \"%s\": ", w->name);
  if (w->layout == QK_LAYOUT_SAME)
    return 0;
  *copy = qk_alloc ((size_t) qk_shape_count (&t->shape) * size);
  if (!*copy)
    return qk_oom ("parameter \"%s\"", w->name);
  qk_layout_to_file (w->layout, &t->shape, size, t->data, *copy);
  e->tensor.data = *copy;
  return 0;
}

int
qk_weights_save (struct qk_context *ctx, const char *path, const char *format,
                 const struct qk_weight *w, size_t n,
                 const struct qk_format_meta *meta, int n_meta)
{
  struct qk_format_entry *entries;
  void **copy;
  size_t k;
  int err = 0;

  entries = calloc (n + 1, sizeof *entries);
  copy = calloc (n + 1, sizeof *copy);
  if (!entries || !copy)
    err = qk_oom ("%s", path);
  for (k = 0; err == 0 && k < n; k++)
    err = to_entry (&w[k], &entries[k], &copy[k]);
  if (err == 0)
    err = qk_tensorfile_write (ctx, path, format, entries, (int64_t) n, meta,
                               n_meta);
  for (k = 0; copy && k < n; k++)
    qk_free (copy[k]);
  free (copy);
  free (entries);
  return err;
}
