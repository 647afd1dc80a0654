/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_recall.c: recall@1 against a search through all pairs in double, for
 * samples in any batches, processes and threads. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/context.h>
#include <qatkit/metric.h>
#include <qatkit/rng.h>

#include "lib/context.h"
#include "lib/ok.h"

#define N 301
#define CATEGORIES 7

/* Samples of D numbers; some are equal, some have no label. */
struct samples {
  int64_t d;
  float x[N * 33];
  int32_t label[N];
};

static void
make_samples (struct samples *s, int64_t d, uint64_t seed)
{
  struct qk_rng rng;

  s->d = d;
  qk_rng_seed (&rng, seed, 1);
  for (int64_t i = 0; i < N; i++) {
    s->label[i] = (int32_t) (qk_rng_float (&rng) * (CATEGORIES + 0.5f)) - 1;
    for (int64_t k = 0; k < d; k++)
      s->x[i * d + k] = qk_rng_float (&rng) - 0.5f
                        + 0.1f * (float) (s->label[i] == k % CATEGORIES);
    if (i % 10 == 9) /* a copy of another one */
      memcpy (s->x + i * d, s->x + (i / 2) * d, sizeof *s->x * (size_t) d);
  }
}

/* Less is nearer; the numbers of equal pairs are equal. */
static double
distance (const struct samples *s, bool unit, int64_t i, int64_t j)
{
  const float *a = s->x + i * s->d, *b = s->x + j * s->d;
  double aa = 0, bb = 0, ab = 0, apart = 0;

  for (int64_t k = 0; k < s->d; k++) {
    const double x = (double) a[k], y = (double) b[k];

    aa += x * x;
    bb += y * y;
    ab += x * y;
    apart += (x - y) * (x - y);
  }
  return unit ? -ab / sqrt (aa * bb) : apart;
}

static double
by_force (const struct samples *s, bool unit)
{
  double right = 0, all = 0;

  for (int64_t i = 0; i < N; i++) {
    double best = (double) INFINITY, near = 0, same = 0;

    for (int64_t j = 0; s->label[i] >= 0 && j < N; j++) {
      double d;

      if (j == i || s->label[j] < 0)
        continue;
      d = distance (s, unit, i, j);
      near = d < best ? 0 : near;
      same = d < best ? 0 : same;
      best = d < best ? d : best;
      near += d == best;
      same += d == best && s->label[j] == s->label[i];
    }
    if (s->label[i] >= 0) {
      right += same / near;
      all++;
    }
  }
  return right / all;
}

static const struct qk_metric_class *
metric_of (const char *options, const struct samples *s, void **self)
{
  const struct qk_tensor_spec out
    = { .name = "x", .dtype = QK_F32, .shape = { 2, { 1, s->d } } };
  const struct qk_tensor_spec ref = { .name = "label",
                                      .dtype = QK_I32,
                                      .shape = { 1, { 1 } },
                                      .categories = CATEGORIES };
  const struct qk_metric_class *m;
  const struct qk_class *cls;
  struct qk_config *cfg;

  OK (qk_context_class (ctx, QK_KIND_METRIC, "recall", &cls));
  OK (qk_config_parse (cls->options, options, "recall", &cfg));
  m = (const struct qk_metric_class *) (const void *) cls;
  OK (m->create (cfg, self));
  OK (m->check (*self, &out, 1, &ref, 1));
  ck_assert_uint_eq (m->kept (*self), (size_t) s->d + 1);
  ck_assert_uint_eq (m->sums (*self), 2 + 2 * CATEGORIES);
  qk_config_free (cfg);
  return m;
}

/* What is kept of all samples, in batches of BATCH. */
static float *
keep_all (const struct qk_metric_class *m, void *self, struct samples *s,
          int64_t batch)
{
  float *kept = malloc (N * (size_t) (s->d + 1) * sizeof *kept);
  double sums[2 + 2 * CATEGORIES] = { 0 };

  ck_assert_ptr_nonnull (kept);
  for (int64_t i = 0; i < N; i += batch) {
    const int64_t n = N - i < batch ? N - i : batch;
    const struct qk_tensor out = { .dtype = QK_F32,
                                   .shape = { 2, { n, s->d } },
                                   .data = s->x + i * s->d };
    const struct qk_tensor ref
      = { .dtype = QK_I32, .shape = { 1, { n } }, .data = s->label + i };
    const struct qk_metric_io io = { 1, 1, &out, &ref };

    OK (m->update (self, &io, sums));
    OK (m->keep (self, &io, kept + i * (s->d + 1)));
  }
  return kept;
}

/* The sums of PARTS processes, each with THREADS. */
static void
search (const struct qk_metric_class *m, void *self, const float *kept,
        int64_t parts, int threads, double *sums)
{
  memset (sums, 0, (2 + 2 * CATEGORIES) * sizeof *sums);
  for (int64_t p = 0; p < parts; p++) {
    const int64_t first = N * p / parts;
    const struct qk_metric_whole whole
      = { N, kept, first, N * (p + 1) / parts - first, threads };

    OK (m->whole (self, &whole, sums));
  }
}

START_TEST (as_by_force)
{
  static const int64_t sizes[] = { 1, 2, 7, 8, 33 };
  static struct samples s;
  const bool unit = _i >= 5;
  double sums[2 + 2 * CATEGORIES], again[2 + 2 * CATEGORIES], score, want;
  const struct qk_metric_class *m;
  double cell[2], right = 0;
  float *kept;
  void *self;

  /* along one axis all directions are two */
  make_samples (&s, unit && _i == 5 ? 3 : sizes[_i % 5], 40 + (uint64_t) _i);
  m = metric_of (unit ? "distance=cosine" : "distance=euclidean", &s, &self);
  kept = keep_all (m, self, &s, 50);
  search (m, self, kept, 1, 1, sums);
  m->result (self, sums, N, &score);
  want = by_force (&s, unit);
  ck_assert_double_gt (want, 0.05);
  ck_assert_double_lt (want, 0.95);
  ck_assert_double_eq_tol (score, want, 1e-12);
  for (int64_t c = 0; c < m->table->rows (self); c++) {
    m->table->row (self, sums, c, cell);
    right += cell[0] * cell[1];
  }
  ck_assert_double_eq_tol (right, sums[0], 1e-9);

  /* other threads: the same bits; other parts: added in another order */
  search (m, self, kept, 1, 3, again);
  ck_assert_mem_eq (sums, again, sizeof sums);
  search (m, self, kept, 4, 2, again);
  for (int i = 0; i < 2 + 2 * CATEGORIES; i++)
    ck_assert_double_eq_tol (again[i], sums[i], 1e-9);
  free (kept);
  kept = keep_all (m, self, &s, 1);
  search (m, self, kept, 1, 1, again);
  ck_assert_mem_eq (sums, again, sizeof sums);
  free (kept);
  m->destroy (self);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("recall");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, set_up, tear_down);
  tcase_add_loop_test (t, as_by_force, 0, 10);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? 0 : 1;
}
