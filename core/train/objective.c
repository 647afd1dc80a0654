/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* objective.c: losses and metrics on outputs and references. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/called.h"
#include "train/objective.h"

int
qk_objective_new (const struct qk_graph *g,
                  const struct qk_tensor_spec *target, int n_targets,
                  struct qk_objective **out)
{
  struct qk_objective *o;
  int i;

  if (g->n_outputs > QK_GRAPH_MAX_INPUTS)
    return qk_error (-E2BIG,
                     "the network has %d outputs, at most %d can be "
                     "compared with something",
                     g->n_outputs, QK_GRAPH_MAX_INPUTS);
  if ((o = calloc (1, sizeof *o)) == NULL)
    return qk_oom ("objective");
  o->n_outputs = g->n_outputs;
  for (i = 0; i < g->n_outputs; i++) {
    o->output[i].name = g->output[i].name;
    o->output[i].dtype = QK_F32;
    o->output[i].shape = g->value[g->output[i].value].shape;
  }
  o->n_targets = n_targets;
  o->target = target;
  *out = o;
  return 0;
}

int
qk_objective_inner (struct qk_objective *o, const char *name,
                    const struct qk_shape *shape)
{
  struct qk_tensor_spec *spec = &o->output[o->n_outputs + o->n_inner];
  char *own;
  int i;

  for (i = 0; i < o->n_inner; i++)
    if (strcmp (o->inner[i], name) == 0)
      return o->n_outputs + i;
  if (o->n_inner == QK_OBJECTIVE_INNER)
    return qk_error (-E2BIG, "more than %d inner tensors", QK_OBJECTIVE_INNER);
  if ((own = strdup (name)) == NULL)
    return qk_oom ("tensor '%s'", name);
  o->inner[o->n_inner] = spec->name = own;
  spec->dtype = QK_F32;
  spec->shape = *shape;
  return o->n_outputs + o->n_inner++;
}

void
qk_objective_give (const struct qk_objective *o, struct qk_exec_options *opt)
{
  opt->n_inner = o->n_inner;
  opt->inner = o->inner;
}

/* How many outputs executors give for it. */
static int
all_outputs (const struct qk_objective *o)
{
  return o->n_outputs + o->n_inner;
}

void
qk_objective_free (struct qk_objective *o)
{
  int i;

  if (o == NULL)
    return;
  for (i = 0; i < o->n_inner; i++)
    free ((char *) o->inner[i]);
  for (i = 0; i < o->n_losses; i++) {
    if (o->loss[i].cls->destroy != NULL)
      o->loss[i].cls->destroy (o->loss[i].self);
    free (o->loss[i].name);
  }
  for (i = 0; i < o->n_metrics; i++)
    if (o->metric[i].cls->destroy != NULL)
      o->metric[i].cls->destroy (o->metric[i].self);
  for (i = 0; i < o->n_scores; i++) {
    free (o->score[i].name);
    free (o->score[i].title);
  }
  free (o);
}

const struct qk_tensor_spec *
qk_objective_reference (const struct qk_objective *o, int ref)
{
  return ref < o->n_targets ? &o->target[ref] : &o->output[ref - o->n_targets];
}

/* Specs of what C compares. */
static void
comparison_specs (const struct qk_objective *o, const struct qk_comparison *c,
                  struct qk_tensor_spec *out, struct qk_tensor_spec *ref)
{
  int i;

  for (i = 0; i < c->n_out; i++)
    out[i] = o->output[c->out[i]];
  for (i = 0; i < c->n_ref; i++)
    ref[i] = *qk_objective_reference (o, c->ref[i]);
}

int
qk_objective_add_loss (struct qk_objective *o, const struct qk_loss_class *cls,
                       const struct qk_config *cfg, const char *name,
                       double weight, unsigned during,
                       const struct qk_comparison *c)
{
  struct qk_tensor_spec out[QK_GRAPH_MAX_INPUTS], ref[QK_GRAPH_MAX_INPUTS];
  struct qk_objective_loss *l = &o->loss[o->n_losses];
  int i, r;

  if (o->n_losses == QK_OBJECTIVE_LOSSES)
    return qk_error (-E2BIG, "more than %d losses", QK_OBJECTIVE_LOSSES);
  l->cls = cls;
  l->weight = weight;
  l->during = during;
  l->c = *c;
  for (i = 0; i < c->n_ref; i++)
    l->other[i] = c->ref[i] + o->n_targets + QK_OBJECTIVE_OUTPUTS;
  if ((l->name = strdup (name)) == NULL)
    return qk_oom ("loss '%s'", name);
  comparison_specs (o, c, out, ref);
  l->self = NULL;
  r = cls->create != NULL
        ? QK_CALLED (&cls->cls, "create", cls->create (cfg, &l->self))
        : 0;
  if (r == 0)
    r = QK_CALLED (&cls->cls, "check",
                   cls->check (l->self, out, c->n_out, ref, c->n_ref));
  if (r < 0) {
    if (cls->destroy != NULL)
      cls->destroy (l->self);
    free (l->name);
    return r;
  }
  o->n_losses++;
  return 0;
}

/* PREFIX and TEXT with a dot or blank SEPARATOR between, and END; NULL without
 * memory. */
static char *
joined (const char *prefix, const char *separator, const char *text,
        const char *end)
{
  char *s;

  return asprintf (&s, "%s%s%s%s", prefix, *prefix ? separator : "", text, end)
             < 0
           ? NULL
           : s;
}

/* Its scores, called PREFIX and their names. */
static int
add_scores (struct qk_objective *o, struct qk_objective_metric *m,
            const char *prefix)
{
  int i, j;
  const struct qk_score_spec *spec = m->cls->scores (m->self, &m->n_scores);

  m->first = o->n_scores;
  if (m->n_scores < 0 || m->n_scores > QK_METRIC_MAX_SCORES
      || o->n_scores + m->n_scores > QK_MAX_SCORES)
    return qk_error (-E2BIG,
                     "metric '%s' has %d scores, with %d before it; "
                     "at most %d are possible, %d of one metric",
                     m->cls->cls.name, m->n_scores, o->n_scores, QK_MAX_SCORES,
                     QK_METRIC_MAX_SCORES);
  for (i = 0; i < m->n_scores; i++)
    if (spec == NULL || spec[i].name == NULL)
      return qk_error (-EINVAL, "metric '%s': score %d has no name",
                       m->cls->cls.name, i);
  for (i = 0; i < m->n_scores; i++) {
    struct qk_score *s = &o->score[o->n_scores];

    s->spec = spec[i];
    s->name = joined (prefix, ".", spec[i].name, "");
    s->title = spec[i].title == NULL ? NULL
                                     : joined (prefix, " ", spec[i].title,
                                               spec[i].percent ? " %" : "");
    o->n_scores++;
    if (s->name == NULL || (spec[i].title != NULL && s->title == NULL))
      return qk_oom ("metric '%s'", m->cls->cls.name);
    for (j = 0; j < o->n_scores - 1; j++)
      if (strcmp (o->score[j].name, s->name) == 0)
        return qk_error (-EEXIST,
                         "two metrics give a score '%s'; call one "
                         "[metric NAME]",
                         s->name);
  }
  return 0;
}

int
qk_objective_add_metric (struct qk_objective *o,
                         const struct qk_metric_class *cls,
                         const struct qk_config *cfg, const char *name,
                         const struct qk_comparison *c)
{
  struct qk_tensor_spec out[QK_GRAPH_MAX_INPUTS], ref[QK_GRAPH_MAX_INPUTS];
  struct qk_objective_metric *m = &o->metric[o->n_metrics];
  int r;

  if (o->n_metrics == QK_OBJECTIVE_METRICS)
    return qk_error (-E2BIG, "more than %d metrics", QK_OBJECTIVE_METRICS);
  memset (m, 0, sizeof *m);
  m->cls = cls;
  m->c = *c;
  comparison_specs (o, c, out, ref);
  r = cls->create != NULL
        ? QK_CALLED (&cls->cls, "create", cls->create (cfg, &m->self))
        : 0;
  if (r < 0
      || (r = QK_CALLED (&cls->cls, "check",
                         cls->check (m->self, out, c->n_out, ref, c->n_ref)))
           < 0
      || (r = add_scores (o, m, name)) < 0) {
    if (cls->destroy != NULL)
      cls->destroy (m->self);
    return r;
  }
  m->at = o->n_sums;
  m->n_sums = cls->sums (m->self);
  o->n_sums += m->n_sums;
  m->kept = cls->kept != NULL ? cls->kept (m->self) : 0;
  o->n_metrics++;
  return 0;
}

bool
qk_objective_needs_teacher (const struct qk_objective *o, unsigned during)
{
  int i;

  for (i = 0; during != 0 && i < o->n_losses; i++)
    if ((o->loss[i].during & during)
        && o->loss[i].cls->reference == QK_REFERENCE_TEACHER)
      return true;
  for (i = 0; during == 0 && i < o->n_metrics; i++)
    if (o->metric[i].cls->reference == QK_REFERENCE_TEACHER)
      return true;
  return false;
}

int
qk_objective_losses (const struct qk_objective *o, unsigned during, bool mixed,
                     struct qk_exec_loss *out)
{
  int i, n = 0;

  for (i = 0; i < o->n_losses; i++) {
    const struct qk_objective_loss *l = &o->loss[i];

    if (!(l->during & during))
      continue;
    out[n] = (struct qk_exec_loss){ l->name,   l->cls,     l->self,
                                    l->weight, l->c.n_out, l->c.n_ref,
                                    l->c.out,  l->c.ref,   QK_PART_WHOLE };
    n++;
    if (!mixed || l->cls->reference == QK_REFERENCE_TEACHER)
      continue;
    out[n - 1].part = QK_PART_OWN;
    out[n] = out[n - 1];
    out[n].part = QK_PART_OTHER;
    out[n++].ref = l->other;
  }
  return n;
}

void
qk_objective_references (const struct qk_objective *o,
                         const struct qk_batch *batch,
                         const struct qk_exec *teacher, struct qk_tensor *ref)
{
  int i;

  memset (ref, 0, sizeof *ref * (size_t) (o->n_targets + all_outputs (o)));
  for (i = 0; i < o->n_targets; i++) {
    ref[i].dtype = o->target[i].dtype;
    ref[i].shape = o->target[i].shape;
    ref[i].shape.dims[0] = batch->n;
    ref[i].data = (void *) batch->target[i];
  }
  for (i = 0; teacher != NULL && i < all_outputs (o); i++)
    ref[o->n_targets + i] = *qk_exec_output (teacher, i);
}

void
qk_objective_others (const struct qk_objective *o,
                     const struct qk_batch *batch, struct qk_tensor *ref)
{
  struct qk_tensor *other = ref + o->n_targets + QK_OBJECTIVE_OUTPUTS;
  int i;

  for (i = 0; i < o->n_targets; i++) {
    other[i] = ref[i];
    if (batch->other != NULL)
      other[i].data = (void *) batch->other[i];
  }
}

/* The tensors that C compares. */
static void
compared (const struct qk_comparison *c, const struct qk_exec *ex,
          const struct qk_tensor *all, struct qk_tensor *out,
          struct qk_tensor *ref)
{
  int i;

  for (i = 0; i < c->n_out; i++)
    out[i] = *qk_exec_output (ex, c->out[i]);
  for (i = 0; i < c->n_ref; i++)
    ref[i] = all[c->ref[i]];
}

int
qk_objective_loss_of (const struct qk_objective *o, unsigned during,
                      const struct qk_exec *ex, const struct qk_tensor *all,
                      bool teacher, int threads, double *loss)
{
  struct qk_tensor out[QK_GRAPH_MAX_INPUTS], ref[QK_GRAPH_MAX_INPUTS];
  int i, r, n = 0;
  double sum = 0;

  for (i = 0; i < o->n_losses; i++) {
    const struct qk_objective_loss *l = &o->loss[i];
    struct qk_loss_io io;
    double mean = 0;

    if (!(l->during & during)
        || (l->cls->reference == QK_REFERENCE_TEACHER && !teacher))
      continue;
    memset (&io, 0, sizeof io);
    compared (&l->c, ex, all, out, ref);
    io.threads = threads;
    io.n_out = l->c.n_out;
    io.n_ref = l->c.n_ref;
    io.out = out;
    io.ref = ref;
    if ((r = QK_CALLED (&l->cls->cls, "forward",
                        l->cls->forward (l->self, &io, &mean)))
        < 0)
      return qk_error_prefix (r, "loss '%s': ", l->name);
    sum += l->weight * mean;
    n++;
  }
  *loss = n > 0 ? sum : (double) NAN;
  return 0;
}

/* What M keeps of the N samples of a batch. */
static int
keep (const struct qk_objective_metric *m, const struct qk_metric_io *io,
      int64_t n, struct qk_kept *k)
{
  const size_t all = k->n + (size_t) n;
  int r;

  if (all > k->room) {
    const size_t room = all > 2 * k->room ? all : 2 * k->room;
    float *x = room > SIZE_MAX / sizeof *x / m->kept
                 ? NULL
                 : realloc (k->x, room * m->kept * sizeof *x);

    if (x == NULL)
      return qk_oom ("%zu numbers of each of %zu samples", m->kept, room);
    k->x = x;
    k->room = room;
  }
  r = QK_CALLED (&m->cls->cls, "keep",
                 m->cls->keep (m->self, io, k->x + k->n * m->kept));
  k->n = r < 0 ? k->n : all;
  return r;
}

int
qk_tally_add (struct qk_tally *t, const struct qk_objective *o,
              const struct qk_exec *ex, const struct qk_tensor *all,
              bool teacher, int64_t n, double loss)
{
  struct qk_tensor out[QK_GRAPH_MAX_INPUTS], ref[QK_GRAPH_MAX_INPUTS];
  int i, r;

  t->n += n;
  t->loss += loss * (double) n;
  t->teacher = teacher;
  for (i = 0; i < o->n_metrics; i++) {
    const struct qk_objective_metric *m = &o->metric[i];
    const struct qk_metric_io io = { m->c.n_out, m->c.n_ref, out, ref };

    if (m->cls->reference == QK_REFERENCE_TEACHER && !teacher)
      continue;
    compared (&m->c, ex, all, out, ref);
    if ((r = m->cls->update (m->self, &io, t->sums + m->at)) < 0
        || (m->kept > 0 && t->kept != NULL
            && (r = keep (m, &io, n, &t->kept[i])) < 0))
      return qk_error_prefix (r, "metric '%s': ", m->cls->cls.name);
  }
  return 0;
}
