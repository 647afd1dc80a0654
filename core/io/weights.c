/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weights.c: matches the tensors of a file with a network's parameters. */
#include "config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memtext.h"
#include "io/match.h"
#include "io/weights.h"

/* A counter of PyTorch's batch-norm that nothing computes with. */
#define IGNORED "num_batches_tracked"

/* What does not fit, by kind. */
enum fault { MISSING, FOREIGN, SHAPE, TYPE, UNUSABLE, FAULTS };

struct faults {
  struct qk_name_list list[FAULTS];
  size_t last; /* wrong shapes of the last layer, but for its outputs right */
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

/* Whether shapes differ in their first axis alone. */
static bool
is_other_count (const struct qk_shape *a, const struct qk_shape *b)
{
  struct qk_shape c = *a;

  c.dims[0] = b->dims[0];
  return a->ndim > 0 && qk_shape_equal (&c, b);
}

/* Whether tensor I of the file fits W; if not, say why in F.  *OTHER: it is
 * another number of outputs. */
static int
check_fit (const struct qk_tensorfile *f, int64_t i, const struct qk_weight *w,
           struct faults *to, bool *other)
{
  struct qk_format_entry e;
  struct qk_shape want;
  char a[128], b[128];

  if (qk_tensorfile_entry (f, i, &e) < 0
      || qk_layout_file_shape (w->layout, &w->tensor->shape, &want) < 0)
    return qk_name_list_add (&to->list[UNUSABLE], "%s (%s)", w->name,
                             qk_error_message ());
  *other = !qk_tensorfile_fits (&want, &e.tensor.shape)
           && is_other_count (&want, &e.tensor.shape);
  if (!qk_tensorfile_fits (&want, &e.tensor.shape))
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

static bool
is_skipped (const struct qk_weights_anew *anew, const char *name)
{
  return anew != NULL && anew->skip != NULL
         && qk_patterns_match (anew->skip, name);
}

/* The name of tensor I without what stands before all names. */
static const char *
plain_name (const struct qk_tensorfile *f, int64_t i,
            const struct qk_match *match)
{
  const char *name = qk_tensorfile_name (f, i);
  const size_t k = match->file != NULL ? strlen (match->file) : 0;

  return k > 0 && strncmp (name, match->file, k) == 0 ? name + k : name;
}

/* The tensors of the file that no parameter takes. */
static int
check_rest (const struct qk_tensorfile *f, const int64_t *at, size_t n,
            const struct qk_weights_anew *anew, struct faults *to)
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
    if (!used[i] && !is_ignored (qk_tensorfile_name (f, i))
        && !is_skipped (anew, plain_name (f, i, &to->match)))
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

/* Look up parameter K; what is wrong goes to TO. */
static int
match_one (const struct qk_tensorfile *f, const struct qk_weight *w, size_t k,
           const struct qk_weights_anew *anew, int64_t at, struct faults *to)
{
  bool other = false;
  int r;

  if (anew != NULL)
    anew->anew[k] = is_skipped (anew, w[k].name);
  if (anew != NULL && anew->anew[k])
    return 0;
  if (at < 0)
    return qk_name_list_add (&to->list[MISSING], "%s", w[k].name);
  r = check_fit (f, at, &w[k], to, &other);
  if (r == 0 && other && anew != NULL && anew->last != NULL && anew->last[k]) {
    anew->anew[k] = true;
    to->last++;
  }
  return r;
}

/* Look up every parameter; what is wrong goes to TO. */
static int
match (const struct qk_tensorfile *f, const struct qk_weight *w, size_t n,
       const struct qk_weights_anew *anew, int64_t *at, struct faults *to)
{
  int r = find_names (f, w, n, at, to);

  for (size_t k = 0; r == 0 && k < n; k++)
    r = match_one (f, w, k, anew, at[k], to);
  return r < 0 ? r : check_rest (f, at, n, anew, to);
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
                  "classes of the dataset) that of these weights?  A run with "
                  "float training (train.epochs) starts such a last layer "
                  "anew, and model.weights.skip leaves out what it names.");
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
  if (!qk_close_text (out, &text))
    r = qk_oom ("%s", qk_tensorfile_path (f));
  else
    r = qk_error (-EINVAL, "%s: %zu tensor%s not fit the network:%s",
                  qk_tensorfile_path (f), n, n == 1 ? " does" : "s do", text);
  free (text);
  return r;
}

/* What the option KEY of W's layer is; false where it has none. */
static bool
option_of (const struct qk_weight *w, const char *key, double *out)
{
  const struct qk_option *o = w->known;
  struct qk_config *cfg;

  while (o != NULL && o->name != NULL && strcmp (o->name, key) != 0)
    o++;
  if (o == NULL || o->name == NULL || o->type != QK_OPT_FLOAT
      || qk_config_parse (w->known, w->options, "options", &cfg) < 0)
    return false;
  *out = qk_config_float (cfg, key);
  qk_config_free (cfg);
  return true;
}

/* The option that the file says W's layer must have, if it says one. */
static int
check_option (const struct qk_tensorfile *f, const char *name,
              const struct qk_weight *w)
{
  const char *said, *equals;
  char *key;
  double want, is;

  if (asprintf (&key, "option %s", name) < 0)
    return qk_oom ("%s", qk_tensorfile_path (f));
  said = qk_tensorfile_metadata (f, key);
  free (key);
  if (said == NULL || (equals = strchr (said, '=')) == NULL)
    return 0;
  if ((key = strndup (said, (size_t) (equals - said))) == NULL)
    return qk_oom ("%s", qk_tensorfile_path (f));
  want = strtod (equals + 1, NULL);
  if (!option_of (w, key, &is))
    is = NAN;
  free (key);
  if (fabs (is - want) <= 1e-6 * fabs (want))
    return 0;
  if (isnan (is))
    return qk_error (
      -EINVAL,
      "%s: tensor \"%s\" belongs to a layer with %s, which that "
      "of this network does not have: take the whole network "
      "from its file",
      qk_tensorfile_path (f), name, said);
  return qk_error (-EINVAL,
                   "%s: tensor \"%s\" belongs to a layer with %s, expected "
                   "%g, which this network has: take the whole network from "
                   "its file",
                   qk_tensorfile_path (f), name, said, is);
}

int
qk_weights_read (const struct qk_tensorfile *f, const struct qk_weight *w,
                 size_t n, const struct qk_weights_anew *anew)
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
  err = match (f, w, n, anew, at, &to);
  if (err == 0 && count_faults (&to) > to.last)
    err = fault_error (f, &to);
  for (size_t k = 0; err == 0 && k < n; k++)
    if (anew == NULL || !anew->anew[k])
      err = check_option (f, qk_tensorfile_name (f, at[k]), &w[k]);
  for (size_t k = 0; err == 0 && k < n; k++)
    if (anew == NULL || !anew->anew[k])
      err = qk_tensorfile_read (f, at[k], w[k].tensor, w[k].layout);
  for (int i = 0; i < FAULTS; i++)
    qk_name_list_clear (&to.list[i]);
  qk_match_clear (&to.match);
  free (at);
  return err;
}

int
qk_weights_load (struct qk_context *ctx, const char *path, const char *format,
                 const struct qk_weight *w, size_t n,
                 const struct qk_weights_anew *anew)
{
  struct qk_tensorfile *f;
  int err = qk_tensorfile_open (ctx, path, format, &f);

  if (err < 0)
    return err;
  err = qk_weights_read (f, w, n, anew);
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
