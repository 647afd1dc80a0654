/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weights.c: matches the tensors of a file with a network's parameters. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/match.h"
#include "io/weights.h"

/* A counter of PyTorch's batch-norm that nothing computes with. */
#define IGNORED "num_batches_tracked"

/* What does not fit, by kind. */
enum fault { MISSING, FOREIGN, SHAPE, TYPE, UNUSABLE, FAULTS };

struct faults {
  struct qk_name_list list[FAULTS];
  int64_t found; /* names of the network that the file has */
  size_t n;      /* of the network */
  struct qk_match match;
};

static bool
is_ignored (const char *name)
{
  const size_t n = strlen (name), k = sizeof IGNORED - 1;

  return n >= k && strcmp (name + n - k, IGNORED) == 0
         && (n == k || name[n - k - 1] == '.');
}

/* Whether tensor I of the file fits W; if not, say why in F. */
static int
check_fit (const struct qk_tensorfile *f, int64_t i, const struct qk_weight *w,
           struct faults *to)
{
  struct qk_format_entry e;
  struct qk_shape want;
  char a[128], b[128];

  if (qk_tensorfile_entry (f, i, &e) < 0
      || qk_layout_file_shape (w->layout, &w->tensor->shape, &want) < 0)
    return qk_name_list_add (&to->list[UNUSABLE], "%s (%s)", w->name,
                             qk_error_message ());
  if (!qk_shape_equal (&want, &e.tensor.shape))
    return qk_name_list_add (&to->list[SHAPE], "%s is %s, expected %s",
                             w->name,
                             qk_shape_print (&e.tensor.shape, a, sizeof a),
                             qk_shape_print (&want, b, sizeof b));
  if (e.tensor.dtype != w->tensor->dtype
      && !(e.tensor.dtype == QK_F64 && w->tensor->dtype == QK_F32))
    return qk_name_list_add (&to->list[TYPE], "%s is %s, expected %s", w->name,
                             qk_dtype_name (e.tensor.dtype),
                             qk_dtype_name (w->tensor->dtype));
  return 0;
}

/* The tensors of the file that no parameter takes. */
static int
check_rest (const struct qk_tensorfile *f, const int64_t *at, size_t n,
            struct faults *to)
{
  const int64_t count = qk_tensorfile_count (f);
  bool *used = calloc ((size_t) count + 1, sizeof *used);
  int r = 0;

  if (!used)
    return qk_oom ("%s", qk_tensorfile_path (f));
  for (size_t k = 0; k < n; k++)
    if (at[k] >= 0)
      used[at[k]] = true;
  for (int64_t i = 0; r == 0 && i < count; i++)
    if (!used[i] && !is_ignored (qk_tensorfile_name (f, i)))
      r = qk_name_list_add (&to->list[FOREIGN], "%s",
                            qk_tensorfile_name (f, i));
  free (used);
  return r;
}

/* AT gets the numbers of the tensors. */
static int
find_names (const struct qk_tensorfile *f, const struct qk_weight *w, size_t n,
            int64_t *at, struct faults *to)
{
  const int64_t count = qk_tensorfile_count (f);
  const char **have = calloc ((size_t) count + n + 1, sizeof *have);
  const char **want = have + count;

  if (!have)
    return qk_oom ("%s", qk_tensorfile_path (f));
  for (int64_t i = 0; i < count; i++)
    have[i] = qk_tensorfile_name (f, i);
  for (size_t k = 0; k < n; k++)
    want[k] = w[k].name;
  to->n = n;
  to->found = qk_match_names (have, count, want, n, at, &to->match);
  free (have);
  return to->found < 0 ? (int) to->found : 0;
}

/* Look up every parameter; what is wrong goes to TO. */
static int
match (const struct qk_tensorfile *f, const struct qk_weight *w, size_t n,
       int64_t *at, struct faults *to)
{
  int r = find_names (f, w, n, at, to);

  for (size_t k = 0; r == 0 && k < n; k++)
    if (at[k] < 0)
      r = qk_name_list_add (&to->list[MISSING], "%s", w[k].name);
    else
      r = check_fit (f, at[k], &w[k], to);
  return r < 0 ? r : check_rest (f, at, n, to);
}

/* ---- the sentence -----------------------------------------------------------*/

static size_t
count_faults (const struct faults *f)
{
  size_t n = 0;

  for (int i = 0; i < FAULTS; i++)
    n += f->list[i].n;
  return n;
}

/* Whether some line of L ends in TEXT. */
static bool
has_ending (const struct qk_name_list *l, const char *text)
{
  const size_t k = strlen (text);

  for (size_t i = 0; i < l->n; i++) {
    const size_t n = strlen (l->line[i]);

    if (n >= k && strcmp (l->line[i] + n - k, text) == 0)
      return true;
  }
  return false;
}

/* What the faults together point to. */
static void
print_hints (const struct qk_tensorfile *f, const struct faults *to, FILE *out)
{
  bool statistics = false;

  for (int64_t i = 0; i < qk_tensorfile_count (f); i++) {
    const char *name = qk_tensorfile_name (f, i);
    const size_t n = strlen (name);

    statistics |= n >= 12 && strcmp (name + n - 12, ".running_var") == 0;
  }
  if (to->found == 0 && to->n > 0)
    fprintf (out, "\n  None of the network's names is in the file: another "
                  "network (model.arch), or another naming of its layers.");
  else if (*to->match.file || *to->match.network)
    fprintf (out,
             "\n  Compared without \"%s\" before the file's names and \"%s\" "
             "before the network's.",
             to->match.file, to->match.network);
  if (to->found > 0 && !statistics
      && has_ending (&to->list[MISSING], ".running_var"))
    fprintf (out, "\n  The file has no statistics of batch-norm: they were "
                  "folded into its weights; take a file from before that, or "
                  "the whole network as ONNX.");
  if (to->list[SHAPE].n > 0 && to->list[SHAPE].n <= 2
      && count_faults (to) == to->list[SHAPE].n)
    fprintf (out, "\n  Everything else fits.  Is the number of outputs (of "
                  "classes of the dataset) that of these weights?");
}

static int
fault_error (const struct qk_tensorfile *f, const struct faults *to)
{
  const size_t n = count_faults (to);
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream (&text, &size);
  int r;

  if (!out)
    return qk_oom ("%s", qk_tensorfile_path (f));
  for (int i = 0; i < FAULTS; i++)
    qk_name_list_print (&to->list[i], out);
  print_hints (f, to, out);
  if (fclose (out) != 0)
    r = qk_oom ("%s", qk_tensorfile_path (f));
  else
    r = qk_error (-EINVAL, "%s: %zu tensor%s not fit the network:%s",
                  qk_tensorfile_path (f), n, n == 1 ? " does" : "s do", text);
  free (text);
  return r;
}

int
qk_weights_read (const struct qk_tensorfile *f, const struct qk_weight *w,
                 size_t n)
{
  struct faults to = { .list = { { .what = "missing" },
                                 { .what = "not of this network" },
                                 { .what = "wrong shape" },
                                 { .what = "wrong type" },
                                 { .what = "unusable" } } };
  int64_t *at = calloc (n + 1, sizeof *at);
  int err;

  if (!at)
    return qk_oom ("%s", qk_tensorfile_path (f));
  err = match (f, w, n, at, &to);
  if (err == 0 && count_faults (&to) > 0)
    err = fault_error (f, &to);
  for (size_t k = 0; err == 0 && k < n; k++)
    err = qk_tensorfile_read (f, at[k], w[k].tensor, w[k].layout);
  for (int i = 0; i < FAULTS; i++)
    qk_name_list_clear (&to.list[i]);
  qk_match_clear (&to.match);
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
