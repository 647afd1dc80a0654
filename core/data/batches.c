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

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/called.h"
#include "batches.h"
#include "order.h"
#include "qatkit/tensor.h"

#define MAX_DEPTH 64

struct sample {
  int err;       /* of read */
  char *message; /* the sentence; NULL without memory for it */
};

struct slot {
  void **input, **target; /* by tensor: room for all samples */
  int64_t *indices;
  struct sample *samples;
  int64_t missing; /* samples not there yet */
};

struct worker {
  struct qk_batches *owner;
  void *state; /* of the dataset */
  pthread_t thread;
  bool running;
};

struct qk_batches {
  struct qk_batches_options opt;
  struct qk_dataset_info info;
  int64_t count; /* batches of an epoch */
  int64_t room;  /* samples of a slot */
  struct qk_bad_samples own_bad, *bad;
  int32_t *map[QK_DATASET_MAX_TENSORS]; /* of categories; NULL: as they are */

  pthread_mutex_t mutex;
  pthread_cond_t work;  /* there may be samples to take, or to stop */
  pthread_cond_t ready; /* a sample was put, or a worker went idle */
  struct worker *workers;
  struct slot *slots;
  int64_t *order;           /* samples of the epoch; NULL: as they are */
  struct qk_groups *groups; /* NULL: not balanced */
  void **before; /* by input: room for the sample mixed into the first */
  void **other;  /* by target: those of the samples mixed in */

  bool active; /* an epoch is being read */
  bool quit;
  int busy; /* workers reading a sample */
  int64_t epoch;
  int64_t taken;    /* samples of the epoch that workers have taken */
  int64_t next;     /* batch to deliver next */
  int64_t released; /* batches whose slots may be filled again */
};

/* ---- random streams --------------------------------------------------*/

/* Streams of one seed: the order of an epoch counts down from the largest
 * number, its samples count up. */
static void
seed_order (struct qk_rng *rng, const struct qk_batches *b)
{
  qk_rng_seed (rng, b->opt.seed, UINT64_MAX - (uint64_t) b->epoch);
}

static void
seed_sample (struct qk_rng *rng, uint64_t seed, int64_t epoch, int64_t index)
{
  qk_rng_seed (rng, seed, ((uint64_t) epoch << 40) + (uint64_t) index);
}

/* The numbers that batch BATCH is mixed by: beside those of samples. */
static void
seed_mix (struct qk_rng *rng, const struct qk_batches *b, int64_t batch)
{
  qk_rng_seed (rng, b->opt.seed,
               UINT64_C (1) << 63 | ((uint64_t) b->epoch << 40)
                 | (uint64_t) batch);
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

/* ---- slots -----------------------------------------------------------*/

static struct slot *
slot_of (struct qk_batches *b, int64_t batch)
{
  return &b->slots[batch % b->opt.depth];
}

/* Places of the epoch's order that batches are made of. */
static int64_t
places_used (const struct qk_batches *b)
{
  const int64_t full = b->count * b->opt.batch;

  return b->opt.last == QK_LAST_DROP && full < b->info.count ? full
                                                             : b->info.count;
}

/* The batch that PLACE of the epoch's order belongs to. */
static int64_t
batch_of (const struct qk_batches *b, int64_t place)
{
  const int64_t batch = place / b->opt.batch;

  return b->opt.last == QK_LAST_MERGE && batch >= b->count ? b->count - 1
                                                           : batch;
}

/* Samples of batch number BATCH; the last one may be smaller, or larger. */
static int64_t
batch_size (const struct qk_batches *b, int64_t batch)
{
  const int64_t left = places_used (b) - batch * b->opt.batch;

  if (b->opt.last == QK_LAST_MERGE && batch == b->count - 1)
    return left;
  return left < b->opt.batch ? left : b->opt.batch;
}

/* The samples of a batch of SIZE that are this part's: FIRST to END. */
static void
part_of (const struct qk_batches *b, int64_t size, int64_t *first,
         int64_t *end)
{
  *first = size * b->opt.part / b->opt.parts;
  *end = size * (b->opt.part + 1) / b->opt.parts;
}

/* How many samples of batch number BATCH are this part's. */
static int64_t
part_size (const struct qk_batches *b, int64_t batch)
{
  int64_t first, end;

  part_of (b, batch_size (b, batch), &first, &end);
  return end - first;
}

static void
slot_clear (struct slot *s, int64_t n)
{
  int64_t i;

  for (i = 0; s->samples && i < n; i++) {
    free (s->samples[i].message);
    s->samples[i].message = NULL;
    s->samples[i].err = 0;
  }
}

static void
free_tensors (void **t, int n)
{
  int i;

  for (i = 0; t != NULL && i < n; i++)
    qk_free (t[i]);
  free (t);
}

static void
slot_free (const struct qk_dataset_info *info, struct slot *s, int64_t n)
{
  slot_clear (s, n);
  free_tensors (s->input, info->n_inputs);
  free_tensors (s->target, info->n_targets);
  free (s->indices);
  free (s->samples);
}

/* Room for ROOM samples of each of the N tensors; NULL without memory. */
static void **
make_tensors (const struct qk_tensor_spec *spec, int n, int64_t room)
{
  void **t = calloc ((size_t) n + 1, sizeof *t);
  int i;

  for (i = 0; t != NULL && i < n; i++)
    if ((t[i] = qk_alloc ((size_t) room * qk_spec_bytes (&spec[i]))) == NULL) {
      free_tensors (t, n);
      return NULL;
    }
  return t;
}

static int
slot_init (const struct qk_dataset_info *info, struct slot *s, int64_t n)
{
  s->input = make_tensors (info->input, info->n_inputs, n);
  s->target = make_tensors (info->target, info->n_targets, n);
  s->indices = calloc ((size_t) n, sizeof *s->indices);
  s->samples = calloc ((size_t) n, sizeof *s->samples);
  if (!s->input || !s->target || !s->indices || !s->samples)
    return qk_oom ("batches of %lld samples", (long long) n);
  return 0;
}

/* ---- workers ---------------------------------------------------------*/

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
read_sample (struct worker *w, struct slot *s, int64_t at, int64_t index,
             int64_t epoch, int64_t stream)
{
  const struct qk_batches *b = w->owner;
  const struct qk_dataset_class *d = b->opt.dataset;
  void *input[QK_DATASET_MAX_TENSORS], *target[QK_DATASET_MAX_TENSORS];
  struct sample *sample = &s->samples[at];
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

/* The next sample at or after PLACE of the epoch's order that is this
 * part's. */
static int64_t
own_place (const struct qk_batches *b, int64_t place)
{
  int64_t batch, start, first, end;

  for (batch = batch_of (b, place); batch < b->count; batch++) {
    start = batch * b->opt.batch;
    part_of (b, batch_size (b, batch), &first, &end);
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
         && batch_of (b, b->taken) < b->released + b->opt.depth;
}

/* What of an epoch a worker has taken. */
struct taken {
  struct slot *slot;
  int64_t place, index; /* place in the epoch's order, number in the data */
  int64_t at, epoch;    /* place in the slot */
};

/* A balanced epoch has some samples several times, each with random numbers of
 * its own. */
static void
read_taken (struct worker *w, const struct taken *t)
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
  const int64_t place = b->taken, batch = batch_of (b, place);
  const int64_t start = batch * b->opt.batch;
  int64_t first, end;

  part_of (b, batch_size (b, batch), &first, &end);
  *t = (struct taken){ slot_of (b, batch), place, index_at (b, place),
                       place - start - first, b->epoch };
  b->taken = own_place (b, place + 1);
  if (!b->before || b->opt.parts == 1 || place != start + first)
    return false;
  *before = *t;
  before->place = first > 0 ? place - 1 : start + batch_size (b, batch) - 1;
  before->index = index_at (b, before->place);
  before->at = end - first;
  return true;
}

static void *
worker_main (void *arg)
{
  struct worker *w = arg;
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
start_thread (struct worker *w)
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

static int
start_workers (struct qk_batches *b)
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

/* No worker reads when this returns, and none starts to. */
static void
stop_epoch (struct qk_batches *b)
{
  pthread_mutex_lock (&b->mutex);
  b->active = false;
  while (b->busy > 0)
    pthread_cond_wait (&b->ready, &b->mutex);
  pthread_mutex_unlock (&b->mutex);
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
  b->before = make_tensors (b->info.input, b->info.n_inputs, 1);
  b->other = make_tensors (b->info.target, b->info.n_targets, b->room);
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
  if (b->opt.together && batch_size (b, b->count - 1) < b->opt.parts)
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
    err = slot_init (&b->info, &b->slots[i], b->room);
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
    err = start_workers (b);
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
    slot_free (&b->info, &b->slots[i], b->room);
  free (b->slots);
  free (b->workers);
  free (b->order);
  qk_groups_free (b->groups);
  free_tensors (b->before, b->info.n_inputs);
  free_tensors (b->other, b->info.n_targets);
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
  stop_epoch (b);
  pthread_mutex_lock (&b->mutex);
  b->epoch = epoch;
  if (b->order)
    make_order (b);
  b->next = b->released = first;
  b->taken
    = first < b->count ? own_place (b, first * b->opt.batch) : b->info.count;
  for (i = 0; i < b->opt.depth; i++) {
    slot_clear (&b->slots[i], b->room);
    if (first + i < b->count)
      slot_of (b, first + i)->missing = part_size (b, first + i);
  }
  b->active = true;
  pthread_cond_broadcast (&b->work);
  pthread_mutex_unlock (&b->mutex);
  return 0;
}

/* ---- delivery --------------------------------------------------------*/

/* Give the slot of the batch delivered last to the workers. */
static void
release_last (struct qk_batches *b)
{
  const int64_t coming = b->released + b->opt.depth;
  struct slot *s = slot_of (b, b->released);

  if (b->released == b->next)
    return;
  slot_clear (s, b->room);
  if (coming < b->count)
    s->missing = part_size (b, coming);
  b->released++;
  pthread_cond_broadcast (&b->work);
}

/* A sample could not be decoded. */
static int
note_bad (struct qk_batches *b, int64_t index, const char *message)
{
  uint8_t *bits = &b->bad->bits[index / 8];
  const uint8_t bit = (uint8_t) (1u << (index % 8));
  double share;

  if (*bits & bit)
    return 0;
  *bits |= bit;
  b->bad->n++;
  qk_log (b->opt.ctx, QK_LOG_WARNING, "sample left out: %s", message);
  share = (double) b->bad->n / (double) b->info.count;
  if (share > b->opt.max_bad)
    return qk_error (-EBADMSG,
                     "%lld of %lld samples (%.3g %%) cannot be decoded, "
                     "more than the %.3g %% allowed; the last: %s",
                     (long long) b->bad->n, (long long) b->info.count,
                     100.0 * share, 100.0 * b->opt.max_bad, message);
  return 0;
}

/* Sample FROM of a slot takes the place of sample TO. */
static void
move_sample (const struct qk_batches *b, struct slot *s, int64_t from,
             int64_t to)
{
  const struct qk_tensor_spec *spec[2] = { b->info.input, b->info.target };
  const int n[2] = { b->info.n_inputs, b->info.n_targets };
  void **tensor[2] = { s->input, s->target };
  int k, i;

  for (k = 0; k < 2; k++)
    for (i = 0; i < n[k]; i++) {
      const size_t size = qk_spec_bytes (&spec[k][i]);
      char *t = tensor[k][i];

      memcpy (t + (size_t) to * size, t + (size_t) from * size, size);
    }
  s->indices[to] = s->indices[from];
}

/* Move the good samples of a complete slot to its front; *N says how many
 * there are. */
static int
compact (struct qk_batches *b, struct slot *s, int64_t size, int64_t *n)
{
  int64_t i, good = 0;

  for (i = 0; i < size; i++) {
    const struct sample *sample = &s->samples[i];

    if (sample->err) {
      const char *message
        = sample->message ? sample->message : "no memory for the reason";
      const int err = sample->err == -EBADMSG
                        ? note_bad (b, s->indices[i], message)
                        : qk_error (sample->err, "%s", message);

      if (err)
        return err;
      continue;
    }
    if (good < i)
      move_sample (b, s, i, good);
    good++;
  }
  *n = good;
  return 0;
}

/* Wait for the next batch; its slot stays the caller's until release_last.
 * NULL at the end of the epoch. */
static struct slot *
await_batch (struct qk_batches *b)
{
  struct slot *s = NULL;

  pthread_mutex_lock (&b->mutex);
  if (b->active) {
    release_last (b);
    if (b->next < b->count) {
      s = slot_of (b, b->next);
      while (s->missing > 0)
        pthread_cond_wait (&b->ready, &b->mutex);
      b->next++;
    }
  }
  pthread_mutex_unlock (&b->mutex);
  return s;
}

/* Sample I of tensor T of a batch. */
static char *
sample_of (void *const *tensor, const struct qk_tensor_spec *spec, int t,
           int64_t i)
{
  return (char *) tensor[t] + (size_t) i * qk_spec_bytes (&spec[t]);
}

/* Mix the N samples of S, each with the one before it; LAST is the one before
 * the first, which is the first's partner.  From the end, so that each
 * partner is as it was read. */
static void
mix_samples (struct qk_batches *b, struct slot *s, const struct qk_mix *m,
             int64_t n, int64_t last)
{
  const struct qk_dataset_info *d = &b->info;

  for (int t = 0; t < d->n_inputs; t++) {
    memcpy (b->before[t], sample_of (s->input, d->input, t, last),
            qk_spec_bytes (&d->input[t]));
    for (int64_t i = n - 1; i >= 0; i--) {
      const void *other
        = i > 0 ? sample_of (s->input, d->input, t, i - 1) : b->before[t];

      qk_mix_sample (m, &d->input[t],
                     (void *) sample_of (s->input, d->input, t, i), other);
    }
  }
  for (int t = 0; t < d->n_targets; t++)
    for (int64_t i = 0; i < n; i++)
      memcpy (sample_of (b->other, d->target, t, i),
              sample_of (s->target, d->target, t, i > 0 ? i - 1 : last),
              qk_spec_bytes (&d->target[t]));
}

/* Mix the batch OUT, whose samples are those of S; SIZE of them were read.  Of
 * a part of the batch the sample before the first lies behind them, unless it
 * could not be read. */
static void
mix_batch (struct qk_batches *b, struct slot *s, int64_t size,
           struct qk_batch *out)
{
  struct qk_mix m;
  struct qk_rng rng;
  bool elsewhere;

  out->own = 1;
  out->other = NULL;
  if (!b->before || out->n == 0)
    return;
  seed_mix (&rng, b, out->index);
  qk_mix_draw (&b->opt.mix, &rng, &m);
  if (!m.mixed)
    return;
  elsewhere = b->opt.parts > 1 && s->samples[size].err == 0;
  mix_samples (b, s, &m, out->n, elsewhere ? size : out->n - 1);
  out->own = qk_mix_own (&m, &b->info.input[0]);
  out->other = (const void *const *) b->other;
}

int
qk_batches_next (struct qk_batches *b, struct qk_batch *out)
{
  struct slot *s;

  while ((s = await_batch (b))) {
    const int64_t batch = b->next - 1;
    const int64_t size = part_size (b, batch);
    const int err = compact (b, s, size, &out->n);
    int64_t end;

    if (err) {
      stop_epoch (b);
      return err;
    }
    if (out->n == 0 && !b->opt.together)
      continue; /* nothing but bad samples */
    out->index = batch;
    part_of (b, batch_size (b, batch), &out->first, &end);
    out->input = (const void *const *) s->input;
    out->target = (const void *const *) s->target;
    out->indices = s->indices;
    mix_batch (b, s, size, out);
    return 1;
  }
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
  return batch_size (b, b->count - 1);
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
