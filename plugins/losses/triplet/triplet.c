/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* triplet: distances between vectors, those of equal labels smaller than those
 * of different ones by a margin.
 * Schroff et al. 2015, https://arxiv.org/abs/1503.03832; Hermans et al. 2017,
 * https://arxiv.org/abs/1703.07737
 *
 * x f32 (N,D), label i32 (N), those of -1 left out; e = x, or x / |x|;
 * d_ij = |e_i - e_j|.  Mining
 * - hard: the mean over samples a, that have another of their label and one of
 *   a different one, of max (0, margin + max d_ap - min d_an), p of the same
 *   label, n of another;
 * - all: the mean over all triplets a, p, n of max (0, margin + d_ap - d_an).
 * dd_ij / de_i = (e_i - e_j) / d_ij, 0 where d_ij is. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/loss.h>

#include "embedding/embedding.h"

struct triplet {
  double margin;
  bool all, unit;
};

static int
triplet_create (const struct qk_config *cfg, void **self)
{
  struct triplet *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("triplet");
  l->margin = qk_config_float (cfg, "margin");
  l->all = strcmp (qk_config_string (cfg, "mining"), "all") == 0;
  l->unit = qk_config_bool (cfg, "normalize");
  *self = l;
  return 0;
}

static void
triplet_destroy (void *self)
{
  free (self);
}

static int
triplet_check (void *self, const struct qk_tensor_spec *out, int n_out,
               const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return embedding_check ("triplet", out, n_out, ref, n_ref);
}

/* A batch at work. */
struct batch {
  int64_t n, d;
  const int32_t *label;
  double *e, *length, *distance; /* owned; distance (n,n) */
  double *g;                     /* gradient by distances (n,n), or NULL */
  double sum;
  int64_t terms;
};

static void
batch_free (struct batch *b)
{
  free (b->e);
  free (b->length);
  free (b->distance);
  free (b->g);
}

static int
batch_new (const struct triplet *l, const struct qk_loss_io *io, bool slopes,
           struct batch *b)
{
  size_t square;
  int r;

  memset (b, 0, sizeof *b);
  b->n = io->out->shape.dims[0];
  b->d = io->out->shape.dims[1];
  b->label = io->ref->data;
  square = (size_t) (b->n * b->n) + 1;
  if ((r = embedding_rows ("triplet", io->out->data, b->n, b->d, l->unit,
                           &b->e, &b->length))
      < 0)
    return r;
  b->distance = malloc (square * sizeof *b->distance);
  b->g = slopes ? calloc (square, sizeof *b->g) : NULL;
  if (b->distance == NULL || (slopes && b->g == NULL)) {
    batch_free (b);
    return qk_oom ("triplet");
  }
  for (int64_t i = 0; i < b->n; i++)
    for (int64_t j = 0; j < b->n; j++) {
      double sum = 0;

      for (int64_t k = 0; k < b->d; k++) {
        const double x = b->e[i * b->d + k] - b->e[j * b->d + k];

        sum += x * x;
      }
      b->distance[i * b->n + j] = sqrt (sum);
    }
  return 0;
}

/* One triplet: A, P of its label, N of another. */
static void
term (const struct triplet *l, struct batch *b, int64_t a, int64_t p,
      int64_t n)
{
  const double x
    = l->margin + b->distance[a * b->n + p] - b->distance[a * b->n + n];

  b->terms++;
  if (x <= 0)
    return;
  b->sum += x;
  if (b->g != NULL) {
    b->g[a * b->n + p] += 1;
    b->g[a * b->n + n] -= 1;
  }
}

/* The farthest of A's label and the nearest of another. */
static void
hardest (const struct triplet *l, struct batch *b, int64_t a)
{
  const double *distance = b->distance + a * b->n;
  int64_t p = -1, n = -1;

  for (int64_t i = 0; i < b->n; i++) {
    if (i == a || b->label[i] == QK_NO_CATEGORY)
      continue;
    if (b->label[i] == b->label[a] && (p < 0 || distance[i] > distance[p]))
      p = i;
    if (b->label[i] != b->label[a] && (n < 0 || distance[i] < distance[n]))
      n = i;
  }
  if (p >= 0 && n >= 0)
    term (l, b, a, p, n);
}

static void
every (const struct triplet *l, struct batch *b, int64_t a)
{
  for (int64_t p = 0; p < b->n; p++)
    for (int64_t n = 0; p != a && b->label[p] == b->label[a] && n < b->n; n++)
      if (b->label[n] != b->label[a] && b->label[n] != QK_NO_CATEGORY)
        term (l, b, a, p, n);
}

static void
sum_triplets (const struct triplet *l, struct batch *b)
{
  for (int64_t a = 0; a < b->n; a++) {
    if (b->label[a] == QK_NO_CATEGORY)
      continue;
    if (l->all)
      every (l, b, a);
    else
      hardest (l, b, a);
  }
}

static int
triplet_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  struct batch b;
  const int r = batch_new (self, io, false, &b);

  if (r < 0)
    return r;
  sum_triplets (self, &b);
  *loss = b.terms > 0 ? b.sum / (double) b.terms : 0;
  batch_free (&b);
  return 0;
}

static int
triplet_backward (void *self, const struct qk_loss_io *io)
{
  const struct triplet *l = self;
  struct batch b;
  double *g;
  int r;

  if (io->dout->data == NULL)
    return 0;
  if ((r = batch_new (l, io, true, &b)) < 0)
    return r;
  if ((g = calloc ((size_t) (b.n * b.d) + 1, sizeof *g)) == NULL) {
    batch_free (&b);
    return qk_oom ("triplet");
  }
  sum_triplets (l, &b);
  for (int64_t i = 0; i < b.n; i++)
    for (int64_t j = 0; j < b.n; j++) {
      const double slope = b.g[i * b.n + j], d = b.distance[i * b.n + j];

      for (int64_t k = 0; slope != 0 && d > 0 && k < b.d; k++) {
        const double x = slope * (b.e[i * b.d + k] - b.e[j * b.d + k]) / d;

        g[i * b.d + k] += x;
        g[j * b.d + k] -= x;
      }
    }
  embedding_back (g, b.e, b.length, l->unit, b.n, b.d,
                  io->scale / (double) (b.terms > 0 ? b.terms : 1),
                  io->dout->data);
  free (g);
  batch_free (&b);
  return 0;
}

static const char *const minings[] = { "hard", "all", NULL };

static const struct qk_option options[]
  = { { "margin", QK_OPT_FLOAT, "0.3", 0, 1e6, NULL,
        "How much nearer those of the same label must be" },
      { "mining", QK_OPT_CHOICE, "hard", 0, 0, minings,
        "Triplets of a batch: for each sample the farthest of its label and "
        "the nearest of another, or all" },
      { "normalize", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "Whether vectors are divided by their length" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct qk_loss_class triplet = {
  .cls = QK_CLASS (struct qk_loss_class, QK_KIND_LOSS, "triplet",
                   "Distances between embeddings of equal and different "
                   "labels",
                   options),
  .create = triplet_create,
  .destroy = triplet_destroy,
  .check = triplet_check,
  .forward = triplet_forward,
  .backward = triplet_backward,
};

QK_PLUGIN ("triplet", PACKAGE_VERSION, "LGPL-2.1-or-later", &triplet.cls);
