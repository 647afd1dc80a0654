/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scores.c: sums over samples, and the numbers networks are judged by. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/called.h"
#include "base/nearest.h"
#include "train/objective.h"

int
qk_tally_init (struct qk_tally *t, const struct qk_objective *o, bool whole)
{
  memset (t, 0, sizeof *t);
  t->sums = calloc (o->n_sums + 1, sizeof *t->sums);
  t->kept = whole ? calloc (QK_OBJECTIVE_METRICS, sizeof *t->kept) : NULL;
  if (t->sums != NULL && (t->kept != NULL || !whole))
    return 0;
  qk_tally_clear (t);
  return qk_oom ("metrics");
}

void
qk_tally_reset (struct qk_tally *t, const struct qk_objective *o)
{
  struct qk_kept *kept = t->kept;
  double *sums = t->sums;

  memset (sums, 0, o->n_sums * sizeof *sums);
  for (int i = 0; kept != NULL && i < QK_OBJECTIVE_METRICS; i++)
    kept[i].n = 0;
  memset (t, 0, sizeof *t);
  t->sums = sums;
  t->kept = kept;
}

void
qk_tally_clear (struct qk_tally *t)
{
  for (int i = 0; t->kept != NULL && i < QK_OBJECTIVE_METRICS; i++)
    free (t->kept[i].x);
  free (t->kept);
  free (t->sums);
  memset (t, 0, sizeof *t);
}

/* Let M add what it has to say of the samples of all processes; each does so
 * for a part of them.  K is empty afterwards. */
static int
join_kept (const struct qk_objective_metric *m, struct qk_kept *k,
           double *sums, struct qk_comm *comm, int threads)
{
  const int64_t rank = qk_comm_rank (comm), size = qk_comm_size (comm);
  float *all = k->x;
  size_t total = k->n * m->kept;
  struct qk_metric_whole whole;
  int r;

  if (size > 1 && (r = qk_comm_gather (comm, k->x, total, &all, &total)) < 0)
    return r;
  whole.n = (int64_t) (total / m->kept);
  whole.kept = all;
  whole.first = whole.n * rank / size;
  whole.count = whole.n * (rank + 1) / size - whole.first;
  whole.threads = threads;
  r = QK_CALLED (&m->cls->cls, "whole", m->cls->whole (m->self, &whole, sums));
  if (size > 1)
    qk_free (all);
  free (k->x);
  memset (k, 0, sizeof *k);
  return r < 0 ? qk_error_prefix (r, "metric '%s': ", m->cls->cls.name) : 0;
}

/* Whether M adds to the sums of T: where it needs a teacher, with one. */
static bool
has_seen (const struct qk_tally *t, const struct qk_objective_metric *m)
{
  return t->teacher || m->cls->reference != QK_REFERENCE_TEACHER;
}

static int
add_up (struct qk_tally *t, const struct qk_objective *o, struct qk_comm *comm)
{
  double sum[2] = { (double) t->n, t->loss };
  double most[2] = { t->seconds, t->waited };
  int r;

  if ((r = qk_comm_reduce (comm, QK_COMM_SUM, QK_COMM_F64, sum, 2)) < 0
      || (r = qk_comm_reduce (comm, QK_COMM_SUM, QK_COMM_F64, t->sums,
                              o->n_sums))
           < 0
      || (r = qk_comm_reduce (comm, QK_COMM_MAX, QK_COMM_F64, most, 2)) < 0)
    return r;
  t->n = (int64_t) sum[0];
  t->loss = sum[1];
  t->seconds = most[0];
  t->waited = most[1];
  return 0;
}

int
qk_tally_join (struct qk_tally *t, const struct qk_objective *o,
               struct qk_comm *comm, int threads)
{
  double teacher = t->teacher ? 1 : 0;
  int i, r;

  if ((r = qk_comm_reduce (comm, QK_COMM_MAX, QK_COMM_F64, &teacher, 1)) < 0)
    return r;
  t->teacher = teacher > 0;
  for (i = 0; t->kept != NULL && i < o->n_metrics; i++) {
    const struct qk_objective_metric *m = &o->metric[i];

    if (m->kept > 0 && has_seen (t, m)
        && (r = join_kept (m, &t->kept[i], t->sums + m->at, comm, threads))
             < 0)
      return r;
  }
  return qk_comm_size (comm) > 1 ? add_up (t, o, comm) : 0;
}

bool
qk_tally_knows (const struct qk_tally *t, const struct qk_objective *o, int m)
{
  return t->n > 0 && has_seen (t, &o->metric[m])
         && (o->metric[m].kept == 0 || t->kept != NULL);
}

void
qk_tally_scores (const struct qk_tally *t, const struct qk_objective *o,
                 struct qk_scores *out)
{
  int i;

  memset (out, 0, sizeof *out);
  out->n = t->n;
  out->seconds = t->seconds;
  out->waited = t->waited;
  out->loss = t->n > 0 ? t->loss / (double) t->n : (double) NAN;
  for (i = 0; i < o->n_scores; i++)
    out->value[i] = (double) NAN;
  for (i = 0; i < o->n_metrics; i++) {
    const struct qk_objective_metric *m = &o->metric[i];

    if (qk_tally_knows (t, o, i))
      m->cls->result (m->self, t->sums + m->at, t->n, out->value + m->first);
  }
}

double
qk_scores_speed (const struct qk_scores *s)
{
  return s->seconds > 0 ? (double) s->n / s->seconds : 0.0;
}

/* The loss as a number to judge by. */
static const struct qk_score_spec loss_spec
  = { .name = "loss", .title = "loss", .digits = 4 };

int
qk_objective_score (const struct qk_objective *o, const char *name)
{
  struct qk_nearest near;
  char hint[QK_HINT_SIZE], known[512] = "loss";
  int i;

  if (strcmp (name, loss_spec.name) == 0)
    return QK_SCORE_LOSS;
  qk_nearest_init (&near, name);
  for (i = 0; i < o->n_scores; i++) {
    const size_t used = strlen (known);

    if (strcmp (name, o->score[i].name) == 0)
      return i;
    qk_nearest_offer (&near, o->score[i].name);
    snprintf (known + used, sizeof known - used, ", %s", o->score[i].name);
  }
  return qk_error (-EINVAL, "no metric gives '%s'%s; known are %s", name,
                   qk_nearest_hint (&near, hint), known);
}

int
qk_objective_first_score (const struct qk_objective *o)
{
  return o->n_scores > 0 ? 0 : QK_SCORE_LOSS;
}

const char *
qk_score_name (const struct qk_objective *o, int score)
{
  return score == QK_SCORE_LOSS ? loss_spec.name : o->score[score].name;
}

const struct qk_score_spec *
qk_score_spec (const struct qk_objective *o, int score)
{
  return score == QK_SCORE_LOSS ? &loss_spec : &o->score[score].spec;
}

double
qk_scores_get (const struct qk_scores *s, int score)
{
  return score == QK_SCORE_LOSS ? s->loss : s->value[score];
}

const char *
qk_score_print (const struct qk_score_spec *spec, double value, char *buf,
                size_t size)
{
  if (isnan (value))
    snprintf (buf, size, "-");
  else
    snprintf (buf, size, "%.*f", spec->digits,
              spec->percent ? 100 * value : value);
  return buf;
}

int
qk_score_titles (const struct qk_objective *o, const char **title)
{
  int i, n = 0;

  for (i = 0; i < o->n_scores; i++)
    if (o->score[i].title != NULL)
      title[n++] = o->score[i].title;
  if (o->n_scores == 0)
    title[n++] = loss_spec.title;
  return n;
}

bool
qk_score_better (const struct qk_objective *o, int score,
                 const struct qk_scores *a, const struct qk_scores *b)
{
  const double x = qk_scores_get (a, score), y = qk_scores_get (b, score);

  if (isnan (x) || isnan (y))
    return isnan (y) && !isnan (x);
  return qk_score_spec (o, score)->larger_is_better ? x > y : x < y;
}

double
qk_seconds (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}
