/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recall: recall@1 of embeddings, the share of the samples whose nearest
 * neighbour among all others of the evaluation has their label.
 * Song et al. 2016, https://arxiv.org/abs/1511.06452
 *
 * x f32 (N,D), label i32 (N), those of -1 left out; near is what has the
 * smallest |x_i - x_j|, or the largest cosine: the smallest |e_i - e_j| of
 * e = x / |x|, as |e_i - e_j|^2 = 2 - 2 cos.  Where several are equally near,
 * which int8 networks bring about, it is the share of them that has the label,
 * so that the order of the samples does not matter.
 *
 * Kept of each sample: its D numbers and the bits of its label.  Sums: right,
 * samples; then both for each category. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/cpu.h>
#include <qatkit/metric.h>

#include "embedding/embedding.h"

#define LANES 8  /* sums next to each other, in a fixed order */
#define BLOCK 16 /* samples that search together, so that rows stay in cache */

struct recall {
  bool unit;
  /* set by check */
  int64_t d, categories;
};

static const char *const distances[] = { "cosine", "euclidean", NULL };

static const struct qk_option options[]
  = { { "distance", QK_OPT_CHOICE, "cosine", 0, 0, distances,
        "What near means; euclidean for networks that are trained so, as with "
        "triplet's normalize = no" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
recall_create (const struct qk_config *cfg, void **self)
{
  struct recall *m = calloc (1, sizeof *m);

  if (m == NULL)
    return qk_oom ("recall");
  m->unit = strcmp (qk_config_string (cfg, "distance"), "cosine") == 0;
  *self = m;
  return 0;
}

static void
recall_destroy (void *self)
{
  free (self);
}

static int
recall_check (void *self, const struct qk_tensor_spec *out, int n_out,
              const struct qk_tensor_spec *ref, int n_ref)
{
  struct recall *m = self;
  const int r = embedding_check ("recall", out, n_out, ref, n_ref);

  if (r < 0)
    return r;
  m->d = out->shape.dims[1];
  m->categories = ref->categories;
  return 0;
}

static const struct qk_score_spec *
recall_scores (void *self, int *n)
{
  static const struct qk_score_spec score
    = { "recall_at_1", "recall@1", true, true, 2 };

  (void) self;
  *n = 1;
  return &score;
}

static size_t
recall_sums (void *self)
{
  const struct recall *m = self;

  return 2 + 2 * (size_t) m->categories;
}

static size_t
recall_kept (void *self)
{
  const struct recall *m = self;

  return (size_t) m->d + 1;
}

/* What can be wrong with a batch. */
static int
recall_update (void *self, const struct qk_metric_io *io, double *sums)
{
  const struct recall *m = self;
  const int32_t *label = io->ref->data;

  (void) sums;
  for (int64_t i = 0; i < io->ref->shape.dims[0]; i++)
    if (label[i] != QK_NO_CATEGORY
        && (label[i] < 0 || (m->categories > 0 && label[i] >= m->categories)))
      return qk_error (
        -EINVAL, "recall: a label is %d, expected 0 to %lld", (int) label[i],
        m->categories > 0 ? (long long) m->categories - 1 : INT32_MAX);
  return 0;
}

static int
recall_keep (void *self, const struct qk_metric_io *io, float *x)
{
  const struct recall *m = self;
  const int32_t *label = io->ref->data;
  const int64_t n = io->out->shape.dims[0];
  double *rows, *length;
  const int r = embedding_rows ("recall", io->out->data, n, m->d, m->unit,
                                &rows, &length);

  if (r < 0)
    return r;
  for (int64_t i = 0; i < n; i++) {
    for (int64_t k = 0; k < m->d; k++)
      *x++ = (float) rows[i * m->d + k];
    memcpy (x++, &label[i], sizeof *label);
  }
  free (rows);
  free (length);
  return 0;
}

/* |a - b|^2; that of b and a is the same to the last bit. */
QK_LOOP_VALUE (static, double, apart,
               (const float *a, const float *b, int64_t d), (a, b, d))
{
  double sum[LANES] = { 0 }, all = 0;
  int64_t i, j;

  for (i = 0; i + LANES <= d; i += LANES)
    for (j = 0; j < LANES; j++) {
      const double x = (double) a[i + j] - (double) b[i + j];

      sum[j] += x * x;
    }
  for (j = 0; i + j < d; j++) {
    const double x = (double) a[i + j] - (double) b[i + j];

    sum[j] += x * x;
  }
  for (j = 0; j < LANES; j++)
    all += sum[j];
  return all;
}

static int32_t
label_of (const struct recall *m, const struct qk_metric_whole *all, int64_t i)
{
  int32_t label;

  memcpy (&label, all->kept + i * (m->d + 1) + m->d, sizeof label);
  return label;
}

/* Those nearest to a sample so far. */
struct nearest {
  double distance;
  int64_t n, same; /* how many, and with its label */
};

/* FOUND: of each of the samples FIRST to END its nearest others, none of a
 * sample that does not count. */
static void
search (const struct recall *m, const struct qk_metric_whole *all,
        int64_t first, int64_t end, struct nearest *found)
{
  for (int64_t j = 0; j < all->n; j++) {
    const int32_t label = label_of (m, all, j);

    for (int64_t i = first; label != QK_NO_CATEGORY && i < end; i++) {
      struct nearest *f = &found[i - first];
      const int32_t own = label_of (m, all, i);
      double d;

      if (i == j || own == QK_NO_CATEGORY)
        continue;
      d = apart (all->kept + i * (m->d + 1), all->kept + j * (m->d + 1), m->d);
      if (f->n == 0 || d < f->distance)
        *f = (struct nearest){ .distance = d };
      if (d == f->distance) {
        f->n++;
        f->same += label == own;
      }
    }
  }
}

static int
recall_whole (void *self, const struct qk_metric_whole *all, double *sums)
{
  const struct recall *m = self;
  const int64_t end = all->first + all->count;
  struct nearest *found = calloc ((size_t) all->count + 1, sizeof *found);

  if (found == NULL)
    return qk_oom ("recall: %lld samples", (long long) all->count);
#pragma omp parallel for schedule(dynamic) num_threads(all->threads)
  for (int64_t i = all->first; i < end; i += BLOCK)
    search (m, all, i, i + BLOCK < end ? i + BLOCK : end,
            found + (i - all->first));
  for (int64_t i = 0; i < all->count; i++) {
    const double right = (double) found[i].same / (double) found[i].n;
    const int32_t label = label_of (m, all, all->first + i);

    if (found[i].n == 0)
      continue;
    sums[0] += right;
    sums[1]++;
    if (m->categories > 0) {
      sums[2 + 2 * label] += right;
      sums[3 + 2 * label]++;
    }
  }
  free (found);
  return 0;
}

static void
recall_result (void *self, const double *sums, int64_t n, double *score)
{
  (void) self;
  (void) n; /* those without a label do not count */
  *score = sums[1] > 0 ? sums[0] / sums[1] : (double) NAN;
}

/* ---- by category ------------------------------------------------------------ */

static int64_t
recall_rows (void *self)
{
  const struct recall *m = self;

  return m->categories;
}

static const struct qk_score_spec *
recall_columns (void *self, int *n)
{
  static const struct qk_score_spec columns[]
    = { { "samples", "samples", true, false, 0 },
        { "recall_at_1", "recall@1", true, true, 2 } };

  (void) self;
  *n = 2;
  return columns;
}

static void
recall_row (void *self, const double *sums, int64_t row, double *cell)
{
  const double *own = sums + 2 + 2 * row;

  (void) self;
  cell[0] = own[1];
  cell[1] = own[1] > 0 ? own[0] / own[1] : (double) NAN;
}

static const struct qk_metric_table table
  = { .rows = recall_rows, .columns = recall_columns, .row = recall_row };

static const struct qk_metric_class recall = {
  .cls = QK_CLASS (struct qk_metric_class, QK_KIND_METRIC, "recall",
                   "recall@1 of embeddings: whether the nearest other sample "
                   "has the same label",
                   options),
  .create = recall_create,
  .destroy = recall_destroy,
  .check = recall_check,
  .scores = recall_scores,
  .sums = recall_sums,
  .update = recall_update,
  .result = recall_result,
  .table = &table,
  .kept = recall_kept,
  .keep = recall_keep,
  .whole = recall_whole,
};

QK_PLUGIN ("recall", PACKAGE_VERSION, "LGPL-2.1-or-later", &recall.cls);
