/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cosine_embedding: angles between vectors, as PyTorch's CosineEmbeddingLoss
 * of all pairs of a batch.
 *
 * x f32 (N,D), label i32 (N): the mean over pairs i < j, those with label -1
 * left out, of 1 - cos (x_i, x_j) where the labels are equal, and of
 * max (0, cos (x_i, x_j) - margin) where they are not.
 * With e = x / |x|, dcos / de_i = e_j. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/loss.h>

#include "embedding/embedding.h"

struct cosine {
  double margin;
};

static int
cosine_create (const struct qk_config *cfg, void **self)
{
  struct cosine *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("cosine_embedding");
  l->margin = qk_config_float (cfg, "margin");
  *self = l;
  return 0;
}

static void
cosine_destroy (void *self)
{
  free (self);
}

static int
cosine_check (void *self, const struct qk_tensor_spec *out, int n_out,
              const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return embedding_check ("cosine_embedding", out, n_out, ref, n_ref);
}

/* The sum over all pairs of the N rows E, and in G, unless it is NULL, its
 * gradient by them.  *PAIRS: how many there are. */
static double
sum_pairs (const struct cosine *l, const double *e, const int32_t *label,
           int64_t n, int64_t d, double *g, int64_t *pairs)
{
  double sum = 0;

  *pairs = 0;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) {
      const bool same = label[i] == label[j];
      double c = 0, slope;

      if (label[i] == QK_NO_CATEGORY || label[j] == QK_NO_CATEGORY)
        continue;
      for (int64_t k = 0; k < d; k++)
        c += e[i * d + k] * e[j * d + k];
      ++*pairs;
      sum += same ? 1 - c : fmax (0, c - l->margin);
      slope = same ? -1 : c > l->margin ? 1 : 0;
      for (int64_t k = 0; g != NULL && slope != 0 && k < d; k++) {
        g[i * d + k] += slope * e[j * d + k];
        g[j * d + k] += slope * e[i * d + k];
      }
    }
  return sum;
}

static int
cosine_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  const int64_t n = io->out->shape.dims[0], d = io->out->shape.dims[1];
  double *e, *length;
  int64_t pairs;
  const int r = embedding_rows ("cosine_embedding", io->out->data, n, d, true,
                                &e, &length);

  if (r < 0)
    return r;
  *loss = sum_pairs (self, e, io->ref->data, n, d, NULL, &pairs);
  if (pairs > 0)
    *loss /= (double) pairs;
  free (e);
  free (length);
  return 0;
}

static int
cosine_backward (void *self, const struct qk_loss_io *io)
{
  const int64_t n = io->out->shape.dims[0], d = io->out->shape.dims[1];
  double *e, *length, *g;
  int64_t pairs;
  int r;

  if (io->dout->data == NULL)
    return 0;
  if ((r = embedding_rows ("cosine_embedding", io->out->data, n, d, true, &e,
                           &length))
      < 0)
    return r;
  if ((g = calloc ((size_t) (n * d) + 1, sizeof *g)) == NULL)
    r = qk_oom ("cosine_embedding");
  else {
    sum_pairs (self, e, io->ref->data, n, d, g, &pairs);
    embedding_back (g, e, length, true, n, d,
                    io->scale / (double) (pairs > 0 ? pairs : 1),
                    io->dout->data);
  }
  free (g);
  free (e);
  free (length);
  return r;
}

static const struct qk_option options[]
  = { { "margin", QK_OPT_FLOAT, "0", -1, 1, NULL,
        "Cosine below which samples of different labels are far enough from "
        "each other" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct qk_loss_class cosine = {
  .cls = QK_CLASS (struct qk_loss_class, QK_KIND_LOSS, "cosine_embedding",
                   "Angles between embeddings of equal and different labels",
                   options),
  .create = cosine_create,
  .destroy = cosine_destroy,
  .check = cosine_check,
  .forward = cosine_forward,
  .backward = cosine_backward,
};

QK_PLUGIN ("cosine_embedding", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &cosine.cls);
