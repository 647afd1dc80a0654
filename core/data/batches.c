/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batches.c: samples of a dataset in batches, read ahead by threads.
 *
 * A ring of slots, one batch each.  Workers take single samples, in the
 * order of the epoch, and put them at their place in the slot of their
 * batch; the caller receives slots in order.  A slot is filled again when
 * the caller has moved on.  One mutex guards all bookkeeping: reading a
 * sample takes far longer than taking a number.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/called.h"
#include "batches-priv.h"
#include "qatkit/tensor.h"

#define MAX_DEPTH 64

/* ---- random streams --------------------------------------------------*/

/* Streams of one seed: the order of an epoch counts down from the largest
 * number, its samples count up (workers.c). */
static void
seed_order (struct qk_rng *rng, const struct qk_batches *b)
{
  qk_rng_seed (rng, b->opt.seed, UINT64_MAX - (uint64_t) b->epoch);
}

static void
make_order (struct qk_batches *b)
{
  struct qk_rng rng;

  seed_order (&rng, b);
  if (b->groups)
    qk_order_balance (b->groups, b->order, b->info.count, &rng);
  else
    qk_order_shuffle (b->order, b->info.count, &rng);
}

/* ---- life ------------------------------------------------------------*/

/* The largest sample of one tensor. */
#define MAX_ELEMENTS ((int64_t) 1 << 32)

static int
check_specs (const char *name, const struct qk_tensor_spec *s, int n,
             bool input)
{
  char text[160];
  int i;

  for (i = 0; i < n; i++) {
    const int64_t count = qk_shape_count (&s[i].shape);
    const bool type
      = s[i].dtype == QK_F32
        || (!input && (s[i].dtype == QK_I32 || s[i].dtype == QK_U8));

    if (!s[i].name)
      return qk_error (-EINVAL, "dataset %s: %s %d has no name", name,
                       input ? "input" : "target", i);
    for (int64_t c = 0; s[i].category && c < s[i].categories; c++)
      if (!s[i].category[c])
        return qk_error (
          -EINVAL, "dataset %s: category %lld of %s '%s' has no name", name,
          (long long) c, input ? "input" : "target", s[i].name);
    if (!type || s[i].shape.ndim < 1 || s[i].shape.ndim > QK_MAX_DIMS
        || s[i].shape.dims[0] != 1 || count < 1 || count > MAX_ELEMENTS)
      return qk_error (-EINVAL,
                       "dataset %s: %s %s, expected %s and a shape whose "
                       "first dimension is 1",
                       name, input ? "input" : "target",
                       qk_spec_print (&s[i], text, sizeof text),
                       input ? "f32" : "f32, i32 or u8");
  }
  return 0;
}

static int
check_options (const struct qk_batches_options *o,
               const struct qk_dataset_info *info)
{
  const char *name = o->dataset->cls.name;

  if (o->batch < 1 || o->batch > 1 << 20)
    return qk_error (-EINVAL, "batch size must be 1 to %d, got %lld", 1 << 20,
                     (long long) o->batch);
  if (o->threads < 1 || o->threads > QK_MAX_READERS)
    return qk_error (-EINVAL,
                     "threads that read samples must be 1 to %d, got %d",
                     QK_MAX_READERS, o->threads);
  if (o->depth < 0 || o->depth > MAX_DEPTH)
    return qk_error (-EINVAL, "batches read ahead must be 0 to %d, got %d",
                     MAX_DEPTH, o->depth);
  if (!(o->max_bad >= 0.0 && o->max_bad <= 1.0))
    return qk_error (-EINVAL, "share of bad samples must be 0 to 1, got %g",
                     o->max_bad);
  if (info->count < 1 || info->count >= INT64_C (1) << 40)
    return qk_error (-EINVAL, "dataset %s has %lld samples", name,
                     (long long) info->count);
  if (info->n_inputs < 1 || info->n_inputs > QK_DATASET_MAX_TENSORS
      || info->n_targets < 0 || info->n_targets > QK_DATASET_MAX_TENSORS)
    return qk_error (-EINVAL,
                     "dataset %s has %d inputs and %d targets, expected 1 to "
                     "%d and at most %d",
                     name, info->n_inputs, info->n_targets,
                     QK_DATASET_MAX_TENSORS, QK_DATASET_MAX_TENSORS);
  return check_specs (name, info->input, info->n_inputs, true) < 0
             || check_specs (name, info->target, info->n_targets, false) < 0
           ? -EINVAL
           : 0;
}

/* What mixing and balancing need. */
static int
prepare_epochs (struct qk_batches *b)
{
  int i;

  if (b->opt.balance) {
    const int err
      = qk_groups_new (b->opt.dataset, b->opt.self, b->info.count, &b->groups);

    if (err)
      return err;
  }
  if (!qk_mix_wanted (&b->opt.mix))
    return 0;
  for (i = 0; b->opt.mix.paste > 0 && i < b->info.n_inputs; i++)
    if (b->info.input[i].shape.ndim < 3) {
      char text[160];

      return qk_error (
        -EINVAL,
        "input %s of dataset %s has no two axes of which a part can be pasted",
        qk_spec_print (&b->info.input[i], text, sizeof text),
        b->opt.dataset->cls.name);
    }
  b->before = qk_make_tensors (b->info.input, b->info.n_inputs, 1);
  b->other = qk_make_tensors (b->info.target, b->info.n_targets, b->room);
  return b->before && b->other ? 0 : qk_oom ("mixed batches");
}

static int
make_buffers (struct qk_batches *b)
{
  int64_t batch;
  int i, err;

  if (b->opt.batch > b->info.count)
    b->opt.batch = b->info.count;
  if (b->opt.depth == 0)
    b->opt.depth = 3;
  if (b->opt.together && b->opt.batch < b->opt.parts)
    return qk_error (-EINVAL,
                     "a batch of %lld samples cannot be shared by "
                     "%d processes, expected at least one for each",
                     (long long) b->opt.batch, b->opt.parts);
  batch = b->opt.batch;

  b->count = b->opt.last == QK_LAST_KEEP ? (b->info.count + batch - 1) / batch
                                         : b->info.count / batch;
  if (b->opt.together && qk_batch_size (b, b->count - 1) < b->opt.parts)
    b->count--;
  b->room = (qk_batches_largest (b) + b->opt.parts - 1) / b->opt.parts
            + (b->opt.parts > 1 && qk_mix_wanted (&b->opt.mix) ? 1 : 0);
  b->bad = b->opt.bad != NULL ? b->opt.bad : &b->own_bad;
  if (!b->bad->bits)
    b->bad->bits = calloc ((size_t) (b->info.count / 8 + 1), 1);
  b->slots = calloc ((size_t) b->opt.depth, sizeof *b->slots);
  b->opt.shuffle = b->opt.shuffle || b->opt.balance;
  if (b->opt.shuffle)
    b->order = malloc ((size_t) b->info.count * sizeof *b->order);
  if (!b->bad->bits || !b->slots || (b->opt.shuffle && !b->order))
    return qk_oom ("a dataset of %lld samples", (long long) b->info.count);
  for (i = 0; i < b->opt.depth; i++) {
    err = qk_slot_init (&b->info, &b->slots[i], b->room);
    if (err)
      return err;
  }
  return prepare_epochs (b);
}

int
qk_batches_new (const struct qk_batches_options *options,
                struct qk_batches **out)
{
  struct qk_batches *b = calloc (1, sizeof *b);
  int err;

  if (!b)
    return qk_oom ("a batch loader");
  b->opt = *options;
  if (b->opt.parts < 1)
    b->opt.parts = 1;
  pthread_mutex_init (&b->mutex, NULL);
  pthread_cond_init (&b->work, NULL);
  pthread_cond_init (&b->ready, NULL);
  err = QK_CALLED (&options->dataset->cls, "info",
                   options->dataset->info (options->self, &b->info));
  if (err == 0)
    err = check_options (options, &b->info);
  if (err == 0)
    err = make_buffers (b);
  if (err == 0)
    err = qk_workers_start (b);
  if (err) {
    qk_batches_free (b);
    return err;
  }
  *out = b;
  return 0;
}

void
qk_batches_free (struct qk_batches *b)
{
  int i;

  if (!b)
    return;
  pthread_mutex_lock (&b->mutex);
  b->quit = true;
  pthread_cond_broadcast (&b->work);
  pthread_mutex_unlock (&b->mutex);
  for (i = 0; b->workers && i < b->opt.threads; i++) {
    if (b->workers[i].running)
      pthread_join (b->workers[i].thread, NULL);
    if (b->opt.dataset->worker_free)
      b->opt.dataset->worker_free (b->workers[i].state);
  }
  for (i = 0; b->slots && i < b->opt.depth; i++)
    qk_slot_free (&b->info, &b->slots[i], b->room);
  free (b->slots);
  free (b->workers);
  free (b->order);
  qk_groups_free (b->groups);
  qk_free_tensors (b->before, b->info.n_inputs);
  qk_free_tensors (b->other, b->info.n_targets);
  for (i = 0; i < QK_DATASET_MAX_TENSORS; i++)
    free (b->map[i]);
  free (b->own_bad.bits);
  pthread_cond_destroy (&b->ready);
  pthread_cond_destroy (&b->work);
  pthread_mutex_destroy (&b->mutex);
  free (b);
}

int
qk_batches_start (struct qk_batches *b, int64_t epoch, int64_t first)
{
  int64_t i;

  if (epoch < 0 || epoch >= 1 << 23)
    return qk_error (-EINVAL, "epoch must be 0 to %d, got %lld", (1 << 23) - 1,
                     (long long) epoch);
  if (first < 0 || first > b->count)
    return qk_error (-EINVAL, "cannot start at batch %lld of an epoch of %lld",
                     (long long) first, (long long) b->count);
  qk_workers_stop (b);
  pthread_mutex_lock (&b->mutex);
  b->epoch = epoch;
  if (b->order)
    make_order (b);
  b->next = b->released = first;
  b->taken = first < b->count ? qk_own_place (b, first * b->opt.batch)
                              : b->info.count;
  for (i = 0; i < b->opt.depth; i++) {
    qk_slot_clear (&b->slots[i], b->room);
    if (first + i < b->count)
      qk_slot_of (b, first + i)->missing = qk_part_size (b, first + i);
  }
  b->active = true;
  pthread_cond_broadcast (&b->work);
  pthread_mutex_unlock (&b->mutex);
  return 0;
}

int64_t
qk_batches_largest (const struct qk_batches *b)
{
  const int64_t last = qk_batches_last (b);

  return last > b->opt.batch ? last : b->opt.batch;
}

int64_t
qk_batches_last (const struct qk_batches *b)
{
  return qk_batch_size (b, b->count - 1);
}

void
qk_batches_map (struct qk_batches *b, int t, int32_t *map)
{
  free (b->map[t]);
  b->map[t] = map;
}

int64_t
qk_batches_count (const struct qk_batches *b)
{
  return b->count;
}

const struct qk_dataset_info *
qk_batches_info (const struct qk_batches *b)
{
  return &b->info;
}

int64_t
qk_batches_bad (const struct qk_batches *b)
{
  return b->bad->n;
}
