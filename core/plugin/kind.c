/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kind.c: names and required slots of the kinds of plugins. */
#include "config.h"

#include <string.h>

#include "plugin/loader-priv.h"
#include "qatkit/qatkit.h"

/* Slots are pointers, of data or functions: POSIX makes both the same size
 * and NULL the same bits. */
struct slot {
  const char *name;
  size_t offset;
};

struct kind {
  const char *name;
  const char *folder;
  size_t size;
  struct slot required[8]; /* up to one without a name */
  struct slot one_of[2];   /* at least one of the two, if named */
  struct slot pair[2];     /* both or none, if named */
  struct slot group[4];    /* all or none, up to one without a name */
  struct slot data[2];     /* members that are no functions */
  size_t self_size; /* where a class says that the library makes instances,
                     * so that create and destroy may be missing; 0: none */
};

#define SLOT(type, slot)                                                      \
  {                                                                           \
#slot, offsetof(struct type, slot)                                        \
  }

static const struct kind kinds[QK_KIND_LAST + 1] = {
  [QK_KIND_LAYER]
  = { "layer", "layers", sizeof (struct qk_layer_class),
      .required
      = { SLOT (qk_layer_class, create), SLOT (qk_layer_class, destroy),
          SLOT (qk_layer_class, infer), SLOT (qk_layer_class, forward) },
      .data = { SLOT (qk_layer_class, quantized) } },
  [QK_KIND_MODEL] = { "model", "models", sizeof (struct qk_model_class),
                      .required = { SLOT (qk_model_class, build) },
                      .data = { SLOT (qk_model_class, suffixes) } },
  [QK_KIND_OBSERVER]
  = { "observer", "observers", sizeof (struct qk_observer_class),
      .required
      = { SLOT (qk_observer_class, create), SLOT (qk_observer_class, destroy),
          SLOT (qk_observer_class, range) },
      .one_of = { SLOT (qk_observer_class, update),
                  SLOT (qk_observer_class, update_range) },
      .data = { SLOT (qk_observer_class, self_size),
                SLOT (qk_observer_class, channel_size) },
      .self_size = offsetof (struct qk_observer_class, self_size) },
  [QK_KIND_FAKEQUANT]
  = { "fakequant", "fakequant", sizeof (struct qk_fakequant_class),
      .required = { SLOT (qk_fakequant_class, create),
                    SLOT (qk_fakequant_class, destroy) },
      .data = { SLOT (qk_fakequant_class, self_size),
                SLOT (qk_fakequant_class, channel_size) },
      .self_size = offsetof (struct qk_fakequant_class, self_size) },
  [QK_KIND_OPTIMIZER]
  = { "optimizer", "optimizers", sizeof (struct qk_optimizer_class),
      .required
      = { SLOT (qk_optimizer_class, create),
          SLOT (qk_optimizer_class, destroy), SLOT (qk_optimizer_class, slots),
          SLOT (qk_optimizer_class, step) },
      .data = { SLOT (qk_optimizer_class, elementwise) } },
  [QK_KIND_SCHEDULE]
  = { "schedule", "schedules", sizeof (struct qk_schedule_class),
      .required
      = { SLOT (qk_schedule_class, create), SLOT (qk_schedule_class, destroy),
          SLOT (qk_schedule_class, factor) } },
  [QK_KIND_FORMAT]
  = { "format", "formats", sizeof (struct qk_format_class),
      .required
      = { SLOT (qk_format_class, suffixes), SLOT (qk_format_class, open),
          SLOT (qk_format_class, close), SLOT (qk_format_class, count),
          SLOT (qk_format_class, entry), SLOT (qk_format_class, metadata) },
      .data
      = { SLOT (qk_format_class, suffixes), SLOT (qk_format_class, wide) } },
  [QK_KIND_REPORTER]
  = { "reporter", "reporters", sizeof (struct qk_reporter_class),
      .required
      = { SLOT (qk_reporter_class, create), SLOT (qk_reporter_class, destroy),
          SLOT (qk_reporter_class, event) } },
  [QK_KIND_DATASET]
  = { "dataset", "datasets", sizeof (struct qk_dataset_class),
      .required
      = { SLOT (qk_dataset_class, open), SLOT (qk_dataset_class, close),
          SLOT (qk_dataset_class, info), SLOT (qk_dataset_class, read) },
      .pair = { SLOT (qk_dataset_class, worker_new),
                SLOT (qk_dataset_class, worker_free) } },
  [QK_KIND_BACKEND]
  = { "backend", "backends", sizeof (struct qk_backend_class),
      .required
      = { SLOT (qk_backend_class, probe), SLOT (qk_backend_class, create),
          SLOT (qk_backend_class, destroy), SLOT (qk_backend_class, supports),
          SLOT (qk_backend_class, prepare), SLOT (qk_backend_class, release),
          SLOT (qk_backend_class, run) },
      .pair = { SLOT (qk_backend_class, convback_data),
                SLOT (qk_backend_class, convback_weights) },
      .data = { SLOT (qk_backend_class, shared) } },
  [QK_KIND_COMM]
  = { "comm", "comm", sizeof (struct qk_comm_class),
      .required
      = { SLOT (qk_comm_class, create), SLOT (qk_comm_class, destroy),
          SLOT (qk_comm_class, reduce), SLOT (qk_comm_class, gather) },
      .pair = { SLOT (qk_comm_class, start), SLOT (qk_comm_class, wait) } },
  [QK_KIND_LOSS]
  = { "loss", "losses", sizeof (struct qk_loss_class),
      .required = { SLOT (qk_loss_class, check), SLOT (qk_loss_class, forward),
                    SLOT (qk_loss_class, backward) },
      .pair = { SLOT (qk_loss_class, create), SLOT (qk_loss_class, destroy) },
      .data = { SLOT (qk_loss_class, reference) } },
  [QK_KIND_METRIC]
  = { "metric", "metrics", sizeof (struct qk_metric_class),
      .required
      = { SLOT (qk_metric_class, check), SLOT (qk_metric_class, scores),
          SLOT (qk_metric_class, sums), SLOT (qk_metric_class, update),
          SLOT (qk_metric_class, result) },
      .pair
      = { SLOT (qk_metric_class, create), SLOT (qk_metric_class, destroy) },
      .group = { SLOT (qk_metric_class, kept), SLOT (qk_metric_class, keep),
                 SLOT (qk_metric_class, whole) },
      .data
      = { SLOT (qk_metric_class, reference), SLOT (qk_metric_class, table) } },
  [QK_KIND_PTQ]
  = { "ptq", "ptq", sizeof (struct qk_ptq_class),
      .required
      = { SLOT (qk_ptq_class, create), SLOT (qk_ptq_class, destroy) },
      .one_of = { SLOT (qk_ptq_class, before), SLOT (qk_ptq_class, after) } },
  [QK_KIND_SOLVER] = { "solver", "solvers", sizeof (struct qk_solver_class),
                       .required = { SLOT (qk_solver_class, create),
                                     SLOT (qk_solver_class, destroy),
                                     SLOT (qk_solver_class, solve) } },
};

static const struct kind *
find (enum qk_kind kind)
{
  if ((int) kind < 1 || (int) kind > (int) QK_KIND_LAST)
    return NULL;
  return &kinds[kind];
}

const char *
qk_kind_folder (enum qk_kind kind)
{
  const struct kind *k = find (kind);

  return k ? k->folder : NULL;
}

const char *
qk_kind_name (enum qk_kind kind)
{
  const struct kind *k = find (kind);

  return k ? k->name : NULL;
}

size_t
qk_kind_class_size (enum qk_kind kind)
{
  const struct kind *k = find (kind);

  return k ? k->size : 0;
}

static void *
pointer_at (const struct qk_class *cls, size_t offset)
{
  void *p;

  memcpy (&p, (const char *) cls + offset, sizeof p);
  return p;
}

static bool
filled (const struct qk_class *cls, const struct slot *slot)
{
  return pointer_at (cls, slot->offset) != NULL;
}

/* Whether the library makes the instances; *ERR where it cannot. */
static bool
makes_itself (const struct kind *k, const struct qk_class *cls, int *err)
{
  size_t size = 0;

  if (k->self_size > 0)
    memcpy (&size, (const char *) cls + k->self_size, sizeof size);
  if (size > 0 && size < sizeof (void *))
    *err = qk_error (-ENOEXEC,
                     "%s class has self_size %zu, expected 0 or at "
                     "least %zu, for the pointer it begins with",
                     k->name, size, sizeof (void *));
  return size > 0;
}

/* A struct_size that is too large takes what lies behind for slots. */
static int
check_code (const struct kind *k, const struct qk_class *cls)
{
  for (size_t at = sizeof *cls; at < k->size; at += sizeof (void *)) {
    const void *p = pointer_at (cls, at);

    if (at == k->data[0].offset || at == k->data[1].offset || !p)
      continue;
    if (!qk_is_code (p))
      return qk_error (-ENOEXEC,
                       "%s class of struct_size %zu has no function "
                       "at byte %zu, where one belongs",
                       k->name, cls->struct_size, at);
  }
  return 0;
}

int
qk_kind_check_class (const struct qk_class *cls)
{
  const struct kind *k = find (cls->kind);
  bool made;
  int err = 0;

  if (!k)
    return qk_error (-ENOEXEC, "class of unknown kind %d", (int) cls->kind);
  made = makes_itself (k, cls, &err);
  if (err == 0)
    err = check_code (k, cls);
  if (err < 0)
    return err;
  for (const struct slot *s = k->required; s->name; s++)
    if (!filled (cls, s)
        && !(made
             && (strcmp (s->name, "create") == 0
                 || strcmp (s->name, "destroy") == 0)))
      return qk_error (-ENOEXEC, "%s class lacks required slot '%s'", k->name,
                       s->name);
  if (k->one_of[0].name && !filled (cls, &k->one_of[0])
      && !filled (cls, &k->one_of[1]))
    return qk_error (-ENOEXEC,
                     "%s class lacks both slots '%s' and '%s', one "
                     "is required",
                     k->name, k->one_of[0].name, k->one_of[1].name);
  if (k->pair[0].name
      && filled (cls, &k->pair[0]) != filled (cls, &k->pair[1]))
    return qk_error (-ENOEXEC,
                     "%s class has one of the slots '%s' and '%s', "
                     "both or none are required",
                     k->name, k->pair[0].name, k->pair[1].name);
  for (const struct slot *s = k->group; s->name; s++)
    if (filled (cls, s) != filled (cls, k->group))
      return qk_error (-ENOEXEC,
                       "%s class has %s slot '%s', but %s slot '%s': all "
                       "that belong together or none are required",
                       k->name, filled (cls, s) ? "a" : "no", s->name,
                       filled (cls, k->group) ? "a" : "no", k->group->name);
  return 0;
}
