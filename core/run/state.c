/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* state.c: a run to a checkpoint and back.  One function names every array,
 * for both directions. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"
#include "plugin/state-list.h"
#include "quant/quantizer-priv.h"

static int
lookup (void *cookie, const char *name, struct qk_state_array *found)
{
  const struct qk_tensorfile *f = cookie;
  const int64_t at = qk_tensorfile_find (f, name);
  struct qk_format_entry e;
  int r;

  if (at < 0)
    return (int) at;
  if ((r = qk_tensorfile_entry (f, at, &e)) < 0)
    return r;
  found->dtype = e.tensor.dtype;
  found->data = e.tensor.data;
  found->count = (size_t) qk_shape_count (&e.tensor.shape);
  return 0;
}

static void
start_loading (struct qk_state *st, struct qk_state_source *source,
               const struct qk_checkpoint *c)
{
  source->lookup = lookup;
  source->cookie = (void *) qk_checkpoint_file (c);
  qk_state_start (st, qk_state_source_load, source, true);
}

/* A result as numbers, for the file: valid, bytes, samples, loss, scores. */
#define RESULT_NUMBERS (4 + QK_MAX_SCORES)

static void
result_to_array (const struct qk_result *r, double *x)
{
  x[0] = r->valid;
  x[1] = (double) r->bytes;
  x[2] = (double) r->scores.n;
  x[3] = r->scores.loss;
  /* seconds differ from run to run, a checkpoint must not */
  memcpy (x + 4, r->scores.value, sizeof r->scores.value);
}

static void
result_from_array (const double *x, struct qk_result *r)
{
  memset (r, 0, sizeof *r);
  r->valid = x[0] != 0;
  r->bytes = (int64_t) x[1];
  r->scores.n = (int64_t) x[2];
  r->scores.loss = x[3];
  memcpy (r->scores.value, x + 4, sizeof r->scores.value);
}

/* Counts in a file are numbers that somebody may have bent. */
static int
check_counts (const double *x, size_t n)
{
  size_t i;

  for (i = 0; i < n; i++)
    if (!(x[i] >= 0 && x[i] < 9007199254740992.0)) /* 2^53 */
      return qk_error (-EBADMSG,
                       "a count of samples or bytes is %g, expected "
                       "0 to 2^53",
                       x[i]);
  return 0;
}

/* The results of the rows that there are. */
static int
visit_results (struct qk_run *run, struct qk_state *st)
{
  double x[QK_ROWS * RESULT_NUMBERS];
  int i, r;

  for (i = 0; i < QK_ROWS; i++)
    result_to_array (&run->result[i], x + i * RESULT_NUMBERS);
  r = qk_state_add (st, "run.results", QK_F64, x, sizeof x / sizeof *x);
  if (r < 0 || !st->loading)
    return r;
  for (i = 0; i < QK_ROWS; i++) {
    if ((r = check_counts (x + i * RESULT_NUMBERS, 3)) < 0)
      return r;
    result_from_array (x + i * RESULT_NUMBERS, &run->result[i]);
  }
  return 0;
}

/* What was added up of the epoch so far. */
static int
visit_tally (struct qk_run *run, struct qk_state *st)
{
  struct qk_tally *t = &run->pos.tally;
  double x[3] = { (double) t->n, t->loss, t->teacher };
  int r = qk_state_add (st, "run.tally", QK_F64, x, 3);

  if (r == 0 && run->s.objective->n_sums > 0)
    r = qk_state_add (st, "run.sums", QK_F64, t->sums,
                      run->s.objective->n_sums);
  if (r < 0 || !st->loading)
    return r;
  if ((r = check_counts (x, 1)) < 0)
    return r;
  t->n = (int64_t) x[0];
  t->loss = x[1];
  t->teacher = x[2] != 0;
  return 0;
}

/* Stage, epoch, batch, best epoch and steps of a file. */
static int
check_where (const int64_t where[5])
{
  static const char *const name[5]
    = { "stage", "epoch", "batch", "best epoch", "steps" };
  const int64_t least[5] = { 0, 0, 0, -1, 0 };
  const int64_t most[5]
    = { QK_RUN_DONE, 1000000, 1000000000, 1000000, QK_CHECKPOINT_MAX_NUMBER };
  int i;

  for (i = 0; i < 5; i++)
    if (where[i] < least[i] || where[i] > most[i])
      return qk_error (-EBADMSG, "%s is %lld, expected %lld to %lld", name[i],
                       (long long) where[i], (long long) least[i],
                       (long long) most[i]);
  return 0;
}

/* What run.where of a checkpoint says. */
static int
read_where (const struct qk_checkpoint *c, int64_t where[5])
{
  struct qk_state_source source;
  struct qk_state st;
  int r;

  memset (where, 0, 5 * sizeof *where);
  start_loading (&st, &source, c);
  if ((r = qk_state_add (&st, "run.where", QK_I64, where, 5)) == 0)
    r = check_where (where);
  return r < 0 ? qk_error_prefix (r, "%s: ", qk_checkpoint_path (c)) : 0;
}

int
qk_checkpoint_run_stage (const struct qk_checkpoint *c, int64_t *stage)
{
  int64_t where[5];
  const int r = read_where (c, where);

  *stage = where[0];
  return r;
}

/* The phase of the bits that the network has, where bits change. */
static int
visit_phase (const struct qk_settings *settings, struct qk_state *st,
             int *phase)
{
  int64_t x = *phase;
  int r;

  if (settings->n_phases == 1)
    return 0;
  if ((r = qk_state_add (st, "run.phase", QK_I64, &x, 1)) < 0 || !st->loading)
    return r;
  if (x < 0 || x >= settings->n_phases)
    return qk_error (-EBADMSG, "phase is %lld, expected 0 to %d",
                     (long long) x, settings->n_phases - 1);
  *phase = (int) x;
  return 0;
}

int
qk_checkpoint_run_phase (const struct qk_checkpoint *c,
                         const struct qk_settings *settings, int *phase)
{
  struct qk_state_source source;
  struct qk_state st;
  int r;

  *phase = 0;
  start_loading (&st, &source, c);
  r = visit_phase (settings, &st, phase);
  return r < 0 ? qk_error_prefix (r, "%s: ", qk_checkpoint_path (c)) : 0;
}

int
qk_checkpoint_run_steps (const struct qk_checkpoint *c, int64_t *steps)
{
  int64_t where[5];
  const int r = read_where (c, where);

  *steps = where[4];
  return r;
}

/* How the epochs have gone, where something watches them. */
static int
visit_watched (struct qk_run *run, struct qk_state *st)
{
  struct qk_watched *w = &run->watched;
  double x[2] = { w->best, (double) w->bad };
  int r;

  if (run->watch[0].patience == 0 && run->watch[1].patience == 0)
    return 0;
  r = qk_state_add (st, "run.watched", QK_F64, x, 2);
  if (r < 0 || !st->loading)
    return r;
  if ((r = check_counts (x + 1, 1)) < 0)
    return r;
  w->best = x[0];
  w->bad = (int64_t) x[1];
  return 0;
}

/* Where the run stands. */
static int
visit_position (struct qk_run *run, struct qk_state *st)
{
  int64_t where[5] = { run->stage, run->pos.epoch, run->pos.batch,
                       run->best_epoch, run->steps };
  int r;

  if ((r = qk_state_add (st, "run.where", QK_I64, where, 5)) < 0
      || (r = visit_tally (run, st)) < 0 || (r = visit_results (run, st)) < 0
      || (r = visit_watched (run, st)) < 0
      || (r = visit_phase (run->s.settings, st, &run->phase)) < 0)
    return r;
  if (!st->loading)
    return 0;
  if ((r = check_where (where)) < 0)
    return r;
  run->stage = where[0];
  run->pos.epoch = where[1];
  run->pos.batch = where[2];
  run->best_epoch = where[3];
  run->steps = where[4];
  return 0;
}

static int
visit_network (struct qk_graph *g, struct qk_graph *teacher,
               struct qk_state *st)
{
  struct qk_quantizer *qz;
  char name[QK_STATE_NAME_MAX];
  size_t mark;
  int i, r;

  for (i = 0; i < g->n_params; i++) {
    const struct qk_tensor *t = &g->param[i].value;

    snprintf (name, sizeof name, "param.%s", g->param[i].name);
    r = qk_state_add (st, name, QK_F32, t->data,
                      (size_t) qk_shape_count (&t->shape));
    if (r < 0)
      return r;
  }
  /* only while it trains: whoever reads best.safetensors needs no teacher */
  for (i = 0; teacher != NULL && i < teacher->n_params; i++) {
    const struct qk_tensor *t = &teacher->param[i].value;

    snprintf (name, sizeof name, "teacher.%s", teacher->param[i].name);
    r = qk_state_add (st, name, QK_F32, t->data,
                      (size_t) qk_shape_count (&t->shape));
    if (r < 0)
      return r;
  }
  for (i = 0; (qz = qk_graph_next_quantizer (g, &i)) != NULL;) {
    snprintf (name, sizeof name, "quant.%s.", qk_quantizer_info (qz)->name);
    if ((r = qk_state_push (st, name, &mark)) < 0)
      return r;
    r = qk_quantizer_state (qz, st);
    qk_state_pop (st, mark);
    if (r < 0)
      return r;
  }
  return 0;
}

/* The gradients that wait for the next step, within several batches of one. */
static int
visit_gathered (struct qk_optimize *o, struct qk_state *st)
{
  int64_t x[2] = { o->gathered, o->samples };
  char name[QK_STATE_NAME_MAX];
  int i, r;

  if (o->gradients.accumulate <= 1)
    return 0;
  if ((r = qk_state_add (st, "optimizer.gathered", QK_I64, x, 2)) < 0)
    return r;
  if (x[0] < 0 || x[0] >= o->gradients.accumulate || x[1] < 0
      || x[1] > INT32_MAX)
    return qk_error (-EBADMSG,
                     "optimizer.gathered is %lld batches of %lld samples, "
                     "expected less than %lld batches",
                     (long long) x[0], (long long) x[1],
                     (long long) o->gradients.accumulate);
  o->gathered = x[0];
  o->samples = x[1];
  for (i = 0, r = 0; r == 0 && o->gathered > 0 && i < o->n; i++) {
    snprintf (name, sizeof name, "gradient.%d.%s", i, o->trained[i].name);
    r = qk_state_add (st, name, QK_F32, o->trained[i].grad,
                      o->trained[i].count);
  }
  return r;
}

static int
visit_averages (struct qk_ema *e, struct qk_state *st)
{
  char name[QK_STATE_NAME_MAX];
  int i, r = 0;

  for (i = 0; e != NULL && r == 0 && i < e->n; i++) {
    snprintf (name, sizeof name, "ema.%d.%s", i, e->array[i].name);
    r = qk_state_add (st, name, QK_F32, e->array[i].mean, e->array[i].count);
  }
  return r;
}

/* Of one weight tensor; what a file says is checked. */
static int
visit_oscillating (struct qk_oscillating *w, struct qk_state *st)
{
  const size_t n = (size_t) w->count;
  const int32_t most = qk_quantizer_info (w->folded.node->weight_qz)->qmax;
  int r;

  if ((r = qk_state_add (st, "last", QK_I8, w->last, n)) < 0
      || (r = qk_state_add (st, "turn", QK_I8, w->turn, n)) < 0
      || (r = qk_state_add (st, "frozen", QK_I8, w->frozen, n)) < 0
      || (r = qk_state_add (st, "frequency", QK_F32, w->frequency, n)) < 0
      || (r = qk_state_add (st, "mean", QK_F32, w->mean, n)) < 0)
    return r;
  for (size_t i = 0; i < n; i++)
    if (w->last[i] < -most - 1 || w->last[i] > most || w->turn[i] < -1
        || w->turn[i] > 1 || !(w->frequency[i] >= 0.0f)
        || !isfinite (w->mean[i]))
      return qk_error (-EBADMSG,
                       "weight %zu of '%s' has integer %d, turn %d, frequency "
                       "%g and mean %g, which is not possible",
                       i, w->folded.param->name, w->last[i], w->turn[i],
                       (double) w->frequency[i], (double) w->mean[i]);
  return 0;
}

static int
visit_oscillation (struct qk_oscillation *o, struct qk_state *st)
{
  char name[QK_STATE_NAME_MAX];
  size_t mark;
  int i, r;

  if (o == NULL)
    return 0;
  r = qk_state_add (st, "oscillation.begun", QK_I32, &o->begun, 1);
  for (i = 0; r == 0 && i < o->n; i++) {
    snprintf (name, sizeof name, "oscillation.%s.",
              o->weight[i].folded.param->name);
    if ((r = qk_state_push (st, name, &mark)) < 0)
      return r;
    r = visit_oscillating (&o->weight[i], st);
    qk_state_pop (st, mark);
  }
  return r;
}

static int
visit_schedule (struct qk_optimize *o, struct qk_state *st)
{
  size_t mark;
  int r;

  if (o->schedule->state == NULL)
    return 0;
  if ((r = qk_state_push (st, "schedule.", &mark)) < 0)
    return r;
  r = o->schedule->state (o->schedule_self, st);
  qk_state_pop (st, mark);
  return r;
}

static int
visit_optimizer (struct qk_run *run, struct qk_state *st)
{
  struct qk_optimize *o = run->o;
  char name[QK_STATE_NAME_MAX];
  int i, j, r;

  if (o == NULL)
    return 0;
  if ((r = qk_state_add (st, "optimizer.steps", QK_I64, &o->t, 1)) < 0)
    return r;
  if (st->loading && (o->t < 0 || o->t > QK_CHECKPOINT_MAX_NUMBER)) {
    const int64_t steps = o->t;

    o->t = 0;
    return qk_error (-EBADMSG, "optimizer.steps is %lld, expected 0 to %d",
                     (long long) steps, QK_CHECKPOINT_MAX_NUMBER);
  }
  for (i = 0; i < o->n; i++)
    for (j = 0; j < o->part[o->trained[i].part].n_slots; j++) {
      snprintf (name, sizeof name, "optimizer.%d.%s.%d", i, o->trained[i].name,
                j);
      r = qk_state_add (st, name, QK_F32, o->trained[i].slot[j],
                        o->trained[i].count);
      if (r < 0)
        return r;
    }
  if ((r = visit_gathered (o, st)) < 0 || (r = visit_averages (o->ema, st)) < 0
      || (r = visit_oscillation (o->oscillation, st)) < 0)
    return r;
  return visit_schedule (o, st);
}

/* The list of arrays as entries of a file; views. */
static struct qk_format_entry *
list_entries (const struct qk_state_list *list)
{
  struct qk_format_entry *e = calloc (list->n + 1, sizeof *e);
  size_t i;

  for (i = 0; e != NULL && i < list->n; i++) {
    e[i].name = list->array[i].name;
    e[i].tensor.dtype = list->array[i].dtype;
    e[i].tensor.shape.ndim = 1;
    e[i].tensor.shape.dims[0] = (int64_t) list->array[i].count;
    e[i].tensor.data = list->array[i].data;
  }
  return e;
}

/* Collect the state, with G as the network, then write it to PATH or, with PATH
 * NULL, as the next of the run's checkpoints. */
static int
save (struct qk_run *run, struct qk_graph *g, const char *path)
{
  struct qk_state_list list = { NULL, 0 };
  struct qk_format_entry *e = NULL;
  struct qk_format_meta meta = { "qatkit.config", run->config };
  struct qk_state st;
  int r;

  qk_state_start (&st, qk_state_list_save, &list, false);
  if ((r = visit_position (run, &st)) < 0
      || (r = visit_network (g, run->s.teacher, &st)) < 0
      || (r = visit_optimizer (run, &st)) < 0)
    goto end;
  if ((e = list_entries (&list)) == NULL)
    r = qk_oom ("checkpoint");
  else if (path != NULL)
    r = qk_checkpoint_write (run->s.settings->ctx, path, e, (int64_t) list.n,
                             &meta, 1);
  else if (run->pos.batch > 0)
    r = qk_checkpoints_write_part (run->checkpoints, run->steps, e,
                                   (int64_t) list.n, &meta, 1);
  else
    r = qk_checkpoints_write (run->checkpoints, run->steps, e,
                              (int64_t) list.n, &meta, 1);
end:
  free (e);
  qk_state_list_clear (&list);
  return r;
}

/* Checkpoints of an earlier run in the folder go when the first one of this
 * run is safe, not before. */
int
qk_run_checkpoint (struct qk_run *run)
{
  int r = qk_run_writes (run) ? save (run, run->g, NULL) : 0;

  if (r == 0 && run->fresh) {
    if (qk_run_writes (run))
      r = qk_checkpoints_keep_only (run->checkpoints, run->steps);
    run->fresh = false;
  }
  return qk_run_written (run, r);
}

int
qk_run_save_state (struct qk_run *run, struct qk_graph *g, const char *file)
{
  char *path = qk_run_path (run, file);
  int r;

  if (path == NULL)
    return qk_oom ("checkpoint");
  r = qk_run_writes (run) ? save (run, g, path) : 0;
  free (path);
  return qk_run_written (run, r);
}

/* Keys that may differ between a run and its continuation. */
static bool
changes_nothing (const char *section, const char *key)
{
  static const char *const keys[][2] = {
    { "run", "output" },         { "run", "threads" },
    { "run", "comm" },           { "run", "keep" },
    { "run", "reporter" },       { "run", "max_minutes" },
    { "data", "workers" },       { "data", "eval_batch" },
    { "data", "root" },          { "checkpoint", "minutes" },
    { "checkpoint", "batches" },
  };
  size_t i;

  for (i = 0; i < sizeof keys / sizeof *keys; i++)
    if (strcmp (section, keys[i][0]) == 0 && strcmp (key, keys[i][1]) == 0)
      return true;
  return qk_run_is_search (section);
}

/* The first key of A that B does not have with this value. */
static bool
find_other (const struct qk_ini *a, const struct qk_ini *b,
            const char **section, const char **key)
{
  size_t i, j;

  for (i = 0; i < qk_ini_sections (a); i++)
    for (j = 0; j < qk_ini_keys (a, i); j++) {
      const struct qk_ini_key k = qk_ini_key (a, i, j);
      const char *value;

      *section = qk_ini_section (a, i);
      *key = k.key;
      value = qk_ini_get (b, *section, k.key);
      if ((value == NULL || strcmp (value, k.value) != 0)
          && !changes_nothing (*section, k.key))
        return true;
    }
  return false;
}

int
qk_run_check_config (const struct qk_run *run, const struct qk_checkpoint *c)
{
  const char *text = qk_checkpoint_text (c, "qatkit.config");
  const char *path = qk_checkpoint_path (c), *section, *key, *was, *is;
  struct qk_ini *ini;
  int r = 0;

  if (text == NULL)
    return qk_error (-EBADMSG, "%s: carries no configuration", path);
  if (strcmp (text, run->config) == 0)
    return 0;
  if ((r = qk_ini_parse (text, strlen (text), path, &ini)) < 0)
    return r;
  if (find_other (ini, run->s.settings->ini, &section, &key)
      || find_other (run->s.settings->ini, ini, &section, &key)) {
    was = qk_ini_get (ini, section, key);
    is = qk_ini_get (run->s.settings->ini, section, key);
    r = qk_error (-EINVAL,
                  "%s: was made with another configuration: [%s] %s was %s%s, "
                  "now %s%s; give the same file and options, or another "
                  "--output",
                  path, section, key, was ? "= " : "", was ? was : "not set",
                  is ? "= " : "", is ? is : "not set");
  }
  qk_ini_free (ini);
  return r;
}

int
qk_run_peek (struct qk_run *run, const struct qk_checkpoint *c)
{
  struct qk_state_source source;
  struct qk_state st;
  int r;

  start_loading (&st, &source, c);
  r = visit_position (run, &st);
  return r < 0 ? qk_error_prefix (r, "%s: ", qk_checkpoint_path (c)) : 0;
}

int
qk_run_copy_state (struct qk_graph *from, struct qk_graph *to)
{
  struct qk_state_list list = { NULL, 0 };
  struct qk_state_source source = { qk_state_list_lookup, &list };
  struct qk_state st;
  int r;

  qk_state_start (&st, qk_state_list_save, &list, false);
  if ((r = visit_network (from, NULL, &st)) == 0) {
    qk_state_start (&st, qk_state_source_load, &source, true);
    r = visit_network (to, NULL, &st);
  }
  qk_state_list_clear (&list);
  return r;
}

int
qk_restore_network (struct qk_graph *g, struct qk_graph *teacher,
                    const struct qk_checkpoint *c)
{
  struct qk_state_source source;
  struct qk_state st;
  int r;

  start_loading (&st, &source, c);
  r = visit_network (g, teacher, &st);
  return r < 0 ? qk_error_prefix (r, "%s: ", qk_checkpoint_path (c)) : 0;
}

int
qk_run_restore (struct qk_run *run, const struct qk_checkpoint *c)
{
  struct qk_state_source source;
  struct qk_state st;
  int r;

  start_loading (&st, &source, c);
  if ((r = visit_network (run->g, run->s.teacher, &st)) == 0
      && (r = visit_position (run, &st)) == 0)
    r = visit_optimizer (run, &st);
  return r < 0 ? qk_error_prefix (r, "%s: ", qk_checkpoint_path (c)) : 0;
}
