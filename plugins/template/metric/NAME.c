/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: which share of the outputs is right within a tolerance, and by how
 * much they are too large on average.
 *
 * y, t f32 of one shape, over all elements of all samples:
 *   within = share of |y - t| <= tolerance,  bias = mean of y - t
 *
 *   [metric]
 *   name = ./NAME.so
 *   tolerance = 0.05
 *
 *   [qat]
 *   best = within */
#include <math.h>
#include <stdlib.h>

#include <qatkit/metric.h>

struct NAME {
  double tolerance;
};

/* What is added up over samples. */
enum { WITHIN, ERROR, ELEMENTS, SUMS };

static const struct qk_option NAME_options[]
  = { { "tolerance", QK_OPT_FLOAT, "0.1", 0, 1e9, NULL,
        "Largest error that counts as right" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

/* When a configuration is read, once for each section [metric]. */
static int
NAME_create (const struct qk_config *cfg, void **self)
{
  struct NAME *m = malloc (sizeof *m);

  if (m == NULL)
    return qk_oom ("NAME");
  m->tolerance = qk_config_float (cfg, "tolerance");
  *self = m;
  return 0;
}

static void
NAME_destroy (void *self)
{
  free (self);
}

/* Once, before all that follows, as in a loss. */
static int
NAME_check (void *self, const struct qk_tensor_spec *out, int n_out,
            const struct qk_tensor_spec *ref, int n_ref)
{
  char a[160], b[160];

  (void) self;
  if (n_out != 1 || n_ref != 1)
    return qk_error (-EINVAL,
                     "NAME: %d outputs and %d references, expected one of "
                     "each",
                     n_out, n_ref);
  if (ref->dtype != QK_F32 || !qk_shape_equal (&out->shape, &ref->shape))
    return qk_error (-EINVAL, "NAME: output %s, target %s, expected the same",
                     qk_spec_print (out, a, sizeof a),
                     qk_spec_print (ref, b, sizeof b));
  return 0;
}

/* The scores: name, title of the column, larger is better, in percent, digits.
 * The best epoch is judged by the first unless [qat] best says another.  The
 * array is borrowed from self. */
static const struct qk_score_spec *
NAME_scores (void *self, int *n)
{
  static const struct qk_score_spec scores[]
    = { { "within", "within", true, true, 1 },
        { "bias", "bias", false, false, 4 } };

  (void) self;
  *n = 2;
  return scores;
}

/* How many doubles update adds to.  The library clears them, adds up those of
 * several processes and keeps them in checkpoints. */
static size_t
NAME_sums (void *self)
{
  (void) self;
  return SUMS;
}

/* Each batch, in training and evaluation: add it. */
static int
NAME_update (void *self, const struct qk_metric_io *io, double *sums)
{
  const struct NAME *m = self;
  const int64_t n = qk_shape_count (&io->out->shape);
  const float *y = io->out->data, *t = io->ref->data;

  for (int64_t i = 0; i < n; i++) {
    const double e = (double) y[i] - (double) t[i];

    sums[WITHIN] += fabs (e) <= m->tolerance;
    sums[ERROR] += e;
  }
  sums[ELEMENTS] += (double) n;
  return 0;
}

/* At the end: the scores, in the order above; a share is 0..1. */
static void
NAME_result (void *self, const double *sums, int64_t n, double *score)
{
  (void) self;
  (void) n; /* samples, of which each has several elements */
  score[0] = sums[WITHIN] / sums[ELEMENTS];
  score[1] = sums[ERROR] / sums[ELEMENTS];
}

static const struct qk_metric_class NAME_class = {
  .cls = QK_CLASS (struct qk_metric_class, QK_KIND_METRIC, "NAME",
                   "Share of outputs within a tolerance", NAME_options),
  .reference = QK_REFERENCE_TARGETS,
  .create = NAME_create,
  .destroy = NAME_destroy,
  .check = NAME_check,
  .scores = NAME_scores,
  .sums = NAME_sums,
  .update = NAME_update,
  .result = NAME_result,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
