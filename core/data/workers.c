/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* workers.c: threads that read samples into the slots of their batches. */
#include "config.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/called.h"
#include "batches-priv.h"
#include "qatkit/tensor.h"

/* Streams of the seed: samples of an epoch count up. */
static void
seed_sample (struct qk_rng *rng, uint64_t seed, int64_t epoch, int64_t index)
{
  qk_rng_seed (rng, seed, ((uint64_t) epoch << 40) + (uint64_t) index);
}

/* Where sample AT of each tensor of a batch is. */
static void
places (const struct qk_tensor_spec *spec, int n, void *const *all, int64_t at,
        void **one)
{
  int i;

  for (i = 0; i < n; i++)
    one[i] = (char *) all[i] + (size_t) at * qk_spec_bytes (&spec[i]);
}

/* An integer that stands for a category must be one. */
static int
check_categories (const struct qk_batches *b, int64_t index,
                  void *const *target)
{
  int i;

  for (i = 0; i < b->info.n_targets; i++) {
    const struct qk_tensor_spec *t = &b->info.target[i];
    const int64_t n = qk_shape_count (&t->shape);
    const int32_t *x = target[i];
    int64_t j;

    for (j = 0; t->dtype == QK_I32 && t->categories > 0 && j < n; j++)
      if (x[j] != QK_NO_CATEGORY && (x[j] < 0 || x[j] >= t->categories))
        return qk_error (-EINVAL,
                         "dataset %s: %s of sample %lld is %d, expected 0 to "
                         "%lld",
                         b->opt.dataset->cls.name, t->name, (long long) index,
                         (int) x[j], (long long) t->categories - 1);
  }
  return 0;
}

static void
map_categories (const struct qk_batches *b, void *const *target)
{
  int i;

  for (i = 0; i < b->info.n_targets; i++) {
    const int64_t n = qk_shape_count (&b->info.target[i].shape);
    int32_t *x = target[i];
    int64_t j;

    for (j = 0; b->map[i] != NULL && j < n; j++)
      if (x[j] != QK_NO_CATEGORY)
        x[j] = b->map[i][x[j]];
  }
}

/* Read sample INDEX into place AT of its slot; called without the mutex:
 * nobody else touches this place.  STREAM is that of its random numbers. */
static void
read_sample (struct qk_worker *w, struct qk_slot *s, int64_t at, int64_t index,
             int64_t epoch, int64_t stream)
{
  const struct qk_batches *b = w->owner;
  const struct qk_dataset_class *d = b->opt.dataset;
  void *input[QK_DATASET_MAX_TENSORS], *target[QK_DATASET_MAX_TENSORS];
  struct qk_read_sample *sample = &s->samples[at];
  struct qk_rng rng;
  int err;

  places (b->info.input, b->info.n_inputs, s->input, at, input);
  places (b->info.target, b->info.n_targets, s->target, at, target);
  seed_sample (&rng, b->opt.seed, epoch, stream);
  err
    = QK_CALLED (&d->cls, "read",
                 d->read (b->opt.self, w->state, index, &rng, input, target));
  if (err == 0)
    err = check_categories (b, index, target);
  if (err == 0)
    map_categories (b, target);
  s->indices[at] = index;
  sample->err = err < 0 ? err : 0;
  if (err < 0)
    sample->message = strdup (qk_error_message ());
}

int64_t
qk_own_place (const struct qk_batches *b, int64_t place)
{
  int64_t batch, start, first, end;

  for (batch = qk_batch_of (b, place); batch < b->count; batch++) {
    start = batch * b->opt.batch;
    qk_part_of (b, qk_batch_size (b, batch), &first, &end);
    if (place < start + first)
      place = start + first;
    if (place < start + end)
      return place;
  }
  return b->info.count;
}

/* Whether there is a sample to take and a slot for it. */
static bool
can_take (const struct qk_batches *b)
{
  return b->active && b->taken < b->info.count
         && qk_batch_of (b, b->taken) < b->released + b->opt.depth;
}

/* What of an epoch a worker has taken. */
struct taken {
  struct qk_slot *slot;
  int64_t place, index; /* place in the epoch's order, number in the data */
  int64_t at, epoch;    /* place in the slot */
};

/* A balanced epoch has some samples several times, each with random numbers of
 * its own. */
static void
read_taken (struct qk_worker *w, const struct taken *t)
{
  read_sample (w, t->slot, t->at, t->index, t->epoch,
               w->owner->groups ? t->place : t->index);
}

static int64_t
index_at (const struct qk_batches *b, int64_t place)
{
  return b->order ? b->order[place] : place;
}

/* Take the next sample; false where there is nothing to do with the sample
 * before it in the batch, else *BEFORE is that, for the place behind this
 * part's: the first sample of a part is mixed with one of another. */
static bool
take (struct qk_batches *b, struct taken *t, struct taken *before)
{
  const int64_t place = b->taken, batch = qk_batch_of (b, place);
  const int64_t start = batch * b->opt.batch;
  int64_t first, end;

  qk_part_of (b, qk_batch_size (b, batch), &first, &end);
  *t = (struct taken){ qk_slot_of (b, batch), place, index_at (b, place),
                       place - start - first, b->epoch };
  b->taken = qk_own_place (b, place + 1);
  if (!b->before || b->opt.parts == 1 || place != start + first)
    return false;
  *before = *t;
  before->place = first > 0 ? place - 1 : start + qk_batch_size (b, batch) - 1;
  before->index = index_at (b, before->place);
  before->at = end - first;
  return true;
}

static void *
worker_main (void *arg)
{
  struct qk_worker *w = arg;
  struct qk_batches *b = w->owner;

  pthread_mutex_lock (&b->mutex);
  for (;;) {
    struct taken t, before;
    bool both;

    while (!b->quit && !can_take (b))
      pthread_cond_wait (&b->work, &b->mutex);
    if (b->quit)
      break;
    both = take (b, &t, &before);
    b->busy++;
    pthread_mutex_unlock (&b->mutex);
    read_taken (w, &t);
    if (both)
      read_taken (w, &before);
    pthread_mutex_lock (&b->mutex);
    b->busy--;
    t.slot->missing--;
    if (t.slot->missing == 0 || b->busy == 0)
      pthread_cond_broadcast (&b->ready);
  }
  pthread_mutex_unlock (&b->mutex);
  return NULL;
}

/* Signals are the business of the program's own thread. */
static int
start_thread (struct qk_worker *w)
{
  sigset_t all, old;
  int err;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  err = pthread_create (&w->thread, NULL, worker_main, w);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  if (err)
    return qk_error (-err,
                     "cannot start a thread to read samples: %s; give fewer "
                     "([data] workers, or [run] threads where that is 0)",
                     strerror (err));
  w->running = true;
  return 0;
}

int
qk_workers_start (struct qk_batches *b)
{
  const struct qk_dataset_class *d = b->opt.dataset;
  int i, err;

  b->workers = calloc ((size_t) b->opt.threads, sizeof *b->workers);
  if (!b->workers)
    return qk_oom ("%d threads", b->opt.threads);
  for (i = 0; i < b->opt.threads; i++) {
    b->workers[i].owner = b;
    err
      = d->worker_new ? d->worker_new (b->opt.self, &b->workers[i].state) : 0;
    if (err == 0)
      err = start_thread (&b->workers[i]);
    if (err)
      return err;
  }
  return 0;
}

void
qk_workers_stop (struct qk_batches *b)
{
  pthread_mutex_lock (&b->mutex);
  b->active = false;
  while (b->busy > 0)
    pthread_cond_wait (&b->ready, &b->mutex);
  pthread_mutex_unlock (&b->mutex);
}
