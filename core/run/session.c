/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.c: data and objective of a configuration, and evaluating networks
 * with them. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "run/session.h"

/* WHAT and the first categories of A that B has not, in BUF; "" for none, or
 * where they have no names. */
static const char *
missing_names (const struct qk_tensor_spec *a, const struct qk_tensor_spec *b,
               const char *what, char *buf, size_t size)
{
  size_t used = 0;

  buf[0] = 0;
  for (int64_t i = 0; a->category != NULL && b->category != NULL
                      && i < a->categories && used < size;
       i++) {
    int64_t j = 0;

    while (j < b->categories && strcmp (a->category[i], b->category[j]) != 0)
      j++;
    if (j == b->categories)
      used += (size_t) snprintf (buf + used, size - used, "%s'%s'",
                                 used > 0 ? ", " : what, a->category[i]);
  }
  return buf;
}

/* Whether target I means the same in both splits: shape, and categories by
 * number. */
static int
check_same_target (const struct qk_tensor_spec *t,
                   const struct qk_tensor_spec *v)
{
  char a[160], b[160];
  int64_t i;

  if (t->dtype != v->dtype || !qk_shape_equal (&t->shape, &v->shape))
    return qk_error (-EINVAL,
                     "the training samples have target %s, those for "
                     "evaluation %s",
                     qk_spec_print (t, a, sizeof a),
                     qk_spec_print (v, b, sizeof b));
  if (t->categories != v->categories)
    return qk_error (-EINVAL,
                     "target '%s' has %lld categories in the training "
                     "samples, %lld in those for evaluation%s%s",
                     t->name, (long long) t->categories,
                     (long long) v->categories,
                     missing_names (t, v, "; the latter lack ", a, sizeof a),
                     missing_names (v, t, "; the former lack ", b, sizeof b));
  for (i = 0; t->category != NULL && v->category != NULL && i < t->categories;
       i++)
    if (strcmp (t->category[i], v->category[i]) != 0)
      return qk_error (-EINVAL,
                       "category %lld of target '%s' is '%s' in the training "
                       "samples, but '%s' in those for evaluation",
                       (long long) i, t->name, t->category[i], v->category[i]);
  return 0;
}

static int
keep_key (void *cookie, const char *key, const char *value)
{
  const struct qk_session *s = cookie;

  return qk_ini_set (s->settings->ini, "data", key, value,
                     "the training samples");
}

/* Make what the dataset found in the training samples part of the
 * configuration. */
static int
keep_found (struct qk_session *s)
{
  const struct qk_dataset_class *d = s->train->cls;
  const int r = d->found == NULL ? 0 : d->found (s->train->self, keep_key, s);

  return r < 0 ? r
               : qk_ini_allow (s->settings->ini, "data", d->cls.options, "");
}

int
qk_session_open_splits (struct qk_session *s)
{
  const struct qk_dataset_info *t, *v;
  int i, r;

  if ((r = qk_data_open (s->settings, QK_DATA_EVAL, &s->eval)) < 0
      || (r = qk_data_open (s->settings, QK_DATA_TRAIN, &s->train)) < 0)
    return r;
  t = &s->train->info;
  v = &s->eval->info;
  if (t->n_targets != v->n_targets)
    return qk_error (-EINVAL,
                     "the training samples have %d targets, those for "
                     "evaluation %d",
                     t->n_targets, v->n_targets);
  for (i = 0; i < t->n_targets; i++)
    if ((r = check_same_target (&t->target[i], &v->target[i])) < 0)
      return r;
  return keep_found (s);
}

/* Keep the float network G where losses of QAT, or metrics, compare with
 * it. */
int
qk_session_keep_teacher (struct qk_session *s, const struct qk_graph *g)
{
  const char *path = qk_config_string (s->settings->qat, "teacher");
  struct qk_graph *own;
  int r;

  if (s->teacher != NULL
      || !(qk_objective_needs_teacher (s->objective, QK_DURING_QAT)
           || qk_objective_needs_teacher (s->objective, 0)))
    return 0;
  if (*path == 0)
    return qk_pass_fuse (g, &s->teacher);
  if ((r = qk_graph_copy (g, &own)) < 0)
    return r;
  if ((r = qk_settings_load_weights (s->settings, own, path)) < 0)
    qk_settings_key_error (r, s->settings->qat, "qat", "teacher");
  else
    r = qk_pass_fuse (own, &s->teacher);
  qk_graph_free (own);
  return r;
}

/* An executor that only evaluates G. */
static int
open_evaluation (struct qk_session *s, struct qk_graph *g, struct qk_exec **ex)
{
  struct qk_exec_options opt;

  qk_settings_exec_options (s->settings, s->eval->batch, false, &opt);
  qk_objective_give (s->objective, &opt);
  return qk_exec_new (g, &opt, ex);
}

/* The network that metrics compare with, if they do: G itself while it is the
 * float one. */
static int
open_reference (struct qk_session *s, const struct qk_graph *g,
                struct qk_subject *u)
{
  if (!qk_objective_needs_teacher (s->objective, 0)
      && !qk_objective_needs_teacher (s->objective, u->during))
    return 0;
  if (g->stage == QK_STAGE_FLOAT) {
    u->teacher = u->ex;
    return 0;
  }
  return s->teacher == NULL ? 0 : open_evaluation (s, s->teacher, &u->teacher);
}

int
qk_session_evaluate (struct qk_session *s, struct qk_graph *g,
                     const char *label, int64_t epoch, struct qk_result *out)
{
  struct qk_subject u = { .o = s->objective,
                          .during = QK_DURING_QAT,
                          .take = s->take,
                          .cookie = s->cookie };
  struct qk_tally own = { .sums = NULL };
  struct qk_tally *tally = s->tally != NULL ? s->tally : &own;
  int r;

  memset (out, 0, sizeof *out);
  /* validation samples must not move the ranges */
  if (g->stage == QK_STAGE_PREPARED)
    qk_graph_set_observing (g, false, false);
  if (g->stage == QK_STAGE_FLOAT)
    u.during = QK_DURING_TRAIN;
  if ((r = open_evaluation (s, g, &u.ex)) == 0
      && (r = open_reference (s, g, &u)) == 0)
    r = qk_stage_evaluate (&u, s->eval->batches,
                           qk_config_int (s->settings->data, "eval_batches"),
                           label, s->m, tally, &out->scores);
  qk_tally_clear (&own);
  if (u.teacher != u.ex)
    qk_exec_free (u.teacher);
  qk_exec_free (u.ex);
  if (r < 0)
    return r;
  out->valid = true;
  out->bytes = qk_graph_bytes (g);
  r = qk_monitor_scores (s->m, "eval", s->objective, &out->scores, "s:network",
                         label, "i:epoch", epoch, "i:samples", out->scores.n,
                         "i:bytes", out->bytes, NULL);
  if (r < 0)
    return r;
  return qk_monitor_event (s->m, "timing", "s:what", label, "f:seconds",
                           out->scores.seconds, "f:samples_per_second",
                           qk_scores_speed (&out->scores), NULL);
}

void
qk_session_clear (struct qk_session *s)
{
  qk_objective_free (s->objective);
  qk_graph_free (s->teacher);
  qk_data_close (s->train);
  qk_data_close (s->calibrate);
  qk_data_close (s->eval);
  memset (s, 0, sizeof *s);
}
