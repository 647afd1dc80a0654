/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_batches.c: batches do not depend on threads, epochs can be entered
 * and left anywhere, bad samples are left out and errors arrive. */
#include "config.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "data/batches.h"
#include "qatkit/context.h"

#define COUNT 103
#define PIXELS (2 * 3)
#define BYTES 5

/* ---- a dataset made for this test ------------------------------------*/

struct fake {
  int bad_every;  /* samples with index % bad_every == 1 are bad */
  int64_t broken; /* this one gives -EIO; -1: none */
  bool wrong_label;
  bool no_worker; /* worker_new fails */
  pthread_mutex_t mutex;
  int workers, reads;
};

static int
fake_info (void *self, struct qk_dataset_info *out)
{
  static const char *const names[] = { "a", "b", "c" };
  static const struct qk_tensor_spec input[]
    = { { "image", QK_F32, { 4, { 1, 2, 3, 1 } }, 0, NULL },
        { "double", QK_F32, { 1, { 1 } }, 0, NULL } };
  static const struct qk_tensor_spec target[]
    = { { "label", QK_I32, { 1, { 1 } }, 3, names },
        { "bytes", QK_U8, { 2, { 1, BYTES } }, 0, NULL } };

  (void) self;
  out->count = COUNT;
  out->n_inputs = 2;
  out->input = input;
  out->n_targets = 2;
  out->target = target;
  return 0;
}

static int
fake_worker_new (void *self, void **worker)
{
  struct fake *f = self;

  if (f->no_worker && f->workers == 1)
    return qk_error (-ENOMEM, "fake: no more workers");
  f->workers++;
  *worker = malloc (1);
  return 0;
}

static void
fake_worker_free (void *worker)
{
  free (worker);
}

static int
fake_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
           void *const *input, void *const *target)
{
  struct fake *f = self;
  float *image = input[0];
  int i;

  ck_assert_ptr_nonnull (worker);
  pthread_mutex_lock (&f->mutex);
  f->reads++;
  pthread_mutex_unlock (&f->mutex);
  if (index % 5 == 0) /* threads overtake each other */
  {
    const struct timespec nap = { 0, 300000 };

    nanosleep (&nap, NULL);
  }
  if (index == f->broken)
    return qk_error (-EIO, "fake: sample %d is on a broken disk", (int) index);
  if (f->bad_every && index % f->bad_every == 1)
    return qk_error (-EBADMSG, "fake: sample %d is no sample", (int) index);
  image[0] = (float) index;
  for (i = 1; i < PIXELS; i++)
    image[i] = qk_rng_float (rng);
  *(float *) input[1] = 2 * (float) index;
  *(int32_t *) target[0] = f->wrong_label ? 3 : (int32_t) (index % 3);
  memset (target[1], (int) index, BYTES);
  return 0;
}

static const struct qk_dataset_class fake_class = {
  .cls = { sizeof (struct qk_dataset_class), QK_KIND_DATASET, "fake",
           "for tests", NULL, 0, 0, NULL },
  .info = fake_info,
  .worker_new = fake_worker_new,
  .worker_free = fake_worker_free,
  .read = fake_read,
};

static struct fake fake;
static struct qk_context *ctx;
static int warnings;
static char last_warning[256];

static void
on_log (void *cookie, enum qk_log_level level, const char *message)
{
  (void) cookie;
  if (level == QK_LOG_WARNING)
    warnings++;
  snprintf (last_warning, sizeof last_warning, "%s", message);
}

static void
setup (void)
{
  memset (&fake, 0, sizeof fake);
  pthread_mutex_init (&fake.mutex, NULL);
  fake.broken = -1;
  warnings = 0;
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  qk_context_set_log (ctx, on_log, NULL, QK_LOG_INFO);
}

static void
teardown (void)
{
  qk_context_free (ctx);
  pthread_mutex_destroy (&fake.mutex);
}

static struct qk_batches_options
options (void)
{
  const struct qk_batches_options o = { .ctx = ctx,
                                        .dataset = &fake_class,
                                        .self = &fake,
                                        .batch = 10,
                                        .threads = 4,
                                        .seed = 42,
                                        .shuffle = true,
                                        .max_bad = 0.01 };

  return o;
}

static struct qk_batches *
make (const struct qk_batches_options *o)
{
  struct qk_batches *b = NULL;

  ck_assert_msg (qk_batches_new (o, &b) == 0, "%s", qk_error_message ());
  return b;
}

/* ---- what an epoch delivered -----------------------------------------*/

struct record {
  int64_t n, batches;
  int64_t sizes[COUNT];
  int64_t indices[COUNT];
  int32_t labels[COUNT];
  uint8_t bytes[COUNT][BYTES];
  float images[COUNT][PIXELS], doubles[COUNT];
  double own[COUNT];
  int32_t others[COUNT]; /* labels; -9: not mixed */
};

static struct record first_record, second_record;

/* Append what B still delivers, at most MOST batches. */
static void
collect (struct qk_batches *b, struct record *r, int most)
{
  struct qk_batch batch;
  int got = 1;

  while (most-- > 0 && (got = qk_batches_next (b, &batch)) == 1) {
    ck_assert_int_le (r->n + batch.n, COUNT);
    memcpy (r->indices + r->n, batch.indices,
            (size_t) batch.n * sizeof *batch.indices);
    memcpy (r->labels + r->n, batch.target[0],
            (size_t) batch.n * sizeof *r->labels);
    memcpy (r->bytes + r->n, batch.target[1],
            (size_t) batch.n * sizeof r->bytes[0]);
    memcpy (r->images + r->n, batch.input[0],
            (size_t) batch.n * sizeof r->images[0]);
    memcpy (r->doubles + r->n, batch.input[1],
            (size_t) batch.n * sizeof *r->doubles);
    for (int64_t i = 0; i < batch.n; i++) {
      r->own[r->n + i] = batch.own;
      r->others[r->n + i]
        = batch.other != NULL ? ((const int32_t *) batch.other[0])[i] : -9;
    }
    r->n += batch.n;
    r->sizes[r->batches++] = batch.n;
  }
  ck_assert_msg (got >= 0, "%s", qk_error_message ());
}

static void
run (const struct qk_batches_options *o, int64_t epoch, struct record *r)
{
  struct qk_batches *b = make (o);

  memset (r, 0, sizeof *r);
  ck_assert_int_eq (qk_batches_start (b, epoch, 0), 0);
  collect (b, r, COUNT);
  qk_batches_free (b);
}

/* Sample I of R has all its tensors. */
static void
check_sample (const struct record *r, int64_t i)
{
  const int64_t index = r->indices[i];

  ck_assert_int_eq (r->labels[i], index % 3);
  ck_assert ((int64_t) r->images[i][0] == index);
  ck_assert ((int64_t) r->doubles[i] == 2 * index);
  for (int k = 0; k < BYTES; k++)
    ck_assert_int_eq (r->bytes[i][k], index);
}

START_TEST (test_complete)
{
  struct qk_batches_options o = options ();
  struct record *r = &first_record;
  bool seen[COUNT] = { false };
  int i;

  run (&o, 0, r);
  ck_assert_int_eq (r->n, COUNT);
  ck_assert_int_eq (r->batches, 11);
  for (i = 0; i < 10; i++)
    ck_assert_int_eq (r->sizes[i], 10);
  ck_assert_int_eq (r->sizes[10], 3);
  for (i = 0; i < COUNT; i++) {
    ck_assert (!seen[r->indices[i]]);
    seen[r->indices[i]] = true;
    check_sample (r, i);
  }
}
END_TEST

START_TEST (test_threads)
{
  static const int threads[] = { 1, 2, 3, 8 };
  struct qk_batches_options o = options ();

  o.threads = 1;
  o.depth = 1;
  run (&o, 3, &first_record);
  o.threads = threads[_i];
  o.depth = 1 + _i;
  run (&o, 3, &second_record);
  ck_assert_mem_eq (&first_record, &second_record, sizeof first_record);
}
END_TEST

START_TEST (test_epochs_differ)
{
  struct qk_batches_options o = options ();
  int64_t i, place = 0;

  run (&o, 0, &first_record);
  run (&o, 1, &second_record);
  ck_assert (memcmp (first_record.indices, second_record.indices,
                     sizeof first_record.indices));
  /* the same sample is augmented anew */
  while (second_record.indices[place] != first_record.indices[0])
    place++;
  ck_assert (first_record.images[0][1] != second_record.images[place][1]);

  o.seed = 43;
  run (&o, 0, &second_record);
  ck_assert (memcmp (first_record.indices, second_record.indices,
                     sizeof first_record.indices));

  o.shuffle = false;
  run (&o, 5, &first_record);
  for (i = 0; i < COUNT; i++)
    ck_assert_int_eq (first_record.indices[i], i);
}
END_TEST

/* Leaving an epoch after some batches and entering it there again gives the
 * same as going through it. */
START_TEST (test_resume)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b;

  run (&o, 7, &first_record);
  memset (&second_record, 0, sizeof second_record);
  b = make (&o);
  ck_assert_int_eq (qk_batches_start (b, 7, 0), 0);
  collect (b, &second_record, _i);
  /* something else in between */
  ck_assert_int_eq (qk_batches_start (b, 8, 2), 0);
  qk_batches_free (b);
  b = make (&o);
  ck_assert_int_eq (qk_batches_start (b, 7, _i), 0);
  collect (b, &second_record, COUNT);
  qk_batches_free (b);
  ck_assert_mem_eq (&first_record, &second_record, sizeof first_record);
}
END_TEST

/* One loader through many epochs, each left early. */
START_TEST (test_restart)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b = make (&o);
  int epoch;

  for (epoch = 0; epoch < 40; epoch++) {
    struct qk_batches_options once = o;
    const int most = epoch % 12;
    struct qk_batches *other = make (&once);

    memset (&first_record, 0, sizeof first_record);
    memset (&second_record, 0, sizeof second_record);
    ck_assert_int_eq (qk_batches_start (b, epoch, 0), 0);
    collect (b, &first_record, most);
    ck_assert_int_eq (qk_batches_start (other, epoch, 0), 0);
    collect (other, &second_record, most);
    ck_assert_mem_eq (&first_record, &second_record, sizeof first_record);
    qk_batches_free (other);
  }
  qk_batches_free (b);
}
END_TEST

START_TEST (test_bad_left_out)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b;
  int64_t i;

  fake.bad_every = 20; /* 1, 21, 41, 61, 81, 101 */
  o.max_bad = 0.06;
  o.threads = 1 + _i;
  b = make (&o);
  memset (&first_record, 0, sizeof first_record);
  ck_assert_int_eq (qk_batches_start (b, 0, 0), 0);
  collect (b, &first_record, COUNT);
  ck_assert_int_eq (first_record.n, COUNT - 6);
  ck_assert_int_eq (qk_batches_bad (b), 6);
  ck_assert_int_eq (warnings, 6);
  ck_assert_ptr_nonnull (strstr (last_warning, "is no sample"));
  for (i = 0; i < first_record.n; i++) {
    ck_assert (first_record.indices[i] % 20 != 1);
    check_sample (&first_record, i);
  }
  /* named and counted once */
  memset (&first_record, 0, sizeof first_record);
  ck_assert_int_eq (qk_batches_start (b, 1, 0), 0);
  collect (b, &first_record, COUNT);
  ck_assert_int_eq (first_record.n, COUNT - 6);
  ck_assert_int_eq (warnings, 6);
  ck_assert_int_eq (qk_batches_bad (b), 6);
  qk_batches_free (b);
}
END_TEST

START_TEST (test_too_many_bad)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b;
  struct qk_batch batch;
  int got;

  fake.bad_every = 20;
  o.max_bad = 0.05;
  b = make (&o);
  ck_assert_int_eq (qk_batches_start (b, 0, 0), 0);
  while ((got = qk_batches_next (b, &batch)) == 1)
    ;
  ck_assert_int_eq (got, -EBADMSG);
  ck_assert_msg (strstr (qk_error_message (), "6 of 103 samples (5.83 %)")
                   != NULL,
                 "%s", qk_error_message ());
  ck_assert_int_eq (qk_batches_next (b, &batch), 0);
  qk_batches_free (b);
}
END_TEST

/* A batch of nothing but bad samples is not delivered. */
START_TEST (test_all_bad)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b;
  struct qk_batch batch;

  o.max_bad = 1;
  o.batch = 1;
  o.shuffle = false;
  fake.bad_every = 2;
  b = make (&o);
  memset (&first_record, 0, sizeof first_record);
  ck_assert_int_eq (qk_batches_start (b, 0, 0), 0);
  collect (b, &first_record, COUNT);
  ck_assert_int_eq (first_record.n, 52);
  ck_assert_int_eq (first_record.batches, 52);
  ck_assert_int_eq (qk_batches_next (b, &batch), 0);
  qk_batches_free (b);
}
END_TEST

/* Errors in a worker arrive in the caller's thread, message and all, at the
 * batch they belong to. */
START_TEST (test_error)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b;
  struct qk_batch batch;
  int i;

  fake.broken = 55;
  o.shuffle = false;
  b = make (&o);
  ck_assert_int_eq (qk_batches_start (b, 0, 0), 0);
  for (i = 0; i < 5; i++)
    ck_assert_int_eq (qk_batches_next (b, &batch), 1);
  qk_error (-1, "something else");
  ck_assert_int_eq (qk_batches_next (b, &batch), -EIO);
  ck_assert_str_eq (qk_error_message (),
                    "fake: sample 55 is on a broken disk");
  ck_assert_int_eq (qk_batches_next (b, &batch), 0);
  /* another epoch can be tried */
  fake.broken = -1;
  ck_assert_int_eq (qk_batches_start (b, 0, 5), 0);
  ck_assert_int_eq (qk_batches_next (b, &batch), 1);
  ck_assert_int_eq (batch.index, 5);
  ck_assert_int_eq (batch.indices[5], 55);
  qk_batches_free (b);
}
END_TEST

START_TEST (test_refused)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b = NULL;
  struct qk_batch batch;

  o.batch = 0;
  ck_assert_int_eq (qk_batches_new (&o, &b), -EINVAL);
  o = options ();
  o.threads = 0;
  ck_assert_int_eq (qk_batches_new (&o, &b), -EINVAL);
  o = options ();
  o.max_bad = 1.5;
  ck_assert_int_eq (qk_batches_new (&o, &b), -EINVAL);
  o = options ();
  fake.no_worker = true;
  ck_assert_int_eq (qk_batches_new (&o, &b), -ENOMEM);
  fake.no_worker = false;
  fake.wrong_label = true;
  b = make (&o);
  ck_assert_int_eq (qk_batches_next (b, &batch), 0); /* not started */
  ck_assert_int_eq (qk_batches_start (b, 0, 12), -EINVAL);
  ck_assert_int_eq (qk_batches_start (b, -1, 0), -EINVAL);
  ck_assert_int_eq (qk_batches_start (b, 0, 0), 0);
  ck_assert_int_eq (qk_batches_next (b, &batch), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "label of sample "));
  ck_assert_ptr_nonnull (
    strstr (qk_error_message (), "is 3, expected 0 to 2"));
  qk_batches_free (b);
  qk_batches_free (NULL);
}
END_TEST

/* The readers are ahead, but not further than asked. */
START_TEST (test_ahead)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b;
  struct qk_batch batch;
  int i, reads = 0;

  o.depth = 2;
  b = make (&o);
  ck_assert_int_eq (qk_batches_start (b, 0, 0), 0);
  ck_assert_int_eq (qk_batches_next (b, &batch), 1);
  for (i = 0; i < 2000 && reads < 20; i++) {
    const struct timespec nap = { 0, 1000000 };

    nanosleep (&nap, NULL);
    pthread_mutex_lock (&fake.mutex);
    reads = fake.reads;
    pthread_mutex_unlock (&fake.mutex);
  }
  ck_assert_int_eq (reads, 20);
  usleep (20000);
  pthread_mutex_lock (&fake.mutex);
  reads = fake.reads;
  pthread_mutex_unlock (&fake.mutex);
  ck_assert_int_eq (reads, 20);
  qk_batches_free (b);
}
END_TEST

/* Parts of batches, put side by side, are the batches. */
static void
check_parts (int parts, bool together, double mixup)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b[4];
  struct qk_batch batch;
  const int64_t count = together && parts > 3 ? 10 : 11;
  int64_t i, at = 0;
  int p;

  o.mix = (struct qk_mix_options){ mixup, 0, 1 };
  run (&o, 2, &first_record);
  o.parts = parts;
  o.together = together;
  for (p = 0; p < parts; p++) {
    o.part = p;
    o.threads = 1 + p;
    b[p] = make (&o);
    ck_assert_int_eq (qk_batches_count (b[p]), count);
    ck_assert_int_eq (qk_batches_start (b[p], 2, 0), 0);
  }
  for (i = 0; i < count; i++) {
    const int64_t start = at;

    for (p = 0; p < parts; p++) {
      if (first_record.sizes[i] * (p + 1) / parts
          == first_record.sizes[i] * p / parts)
        continue; /* an empty part is passed over */
      ck_assert_int_eq (qk_batches_next (b[p], &batch), 1);
      ck_assert_int_eq (batch.index, i);
      ck_assert_int_eq (batch.first, at - start);
      ck_assert_mem_eq (batch.indices, first_record.indices + at,
                        (size_t) batch.n * sizeof *batch.indices);
      ck_assert_mem_eq (batch.input[0], first_record.images[at],
                        (size_t) batch.n * sizeof first_record.images[0]);
      ck_assert_mem_eq (batch.target[0], first_record.labels + at,
                        (size_t) batch.n * sizeof *first_record.labels);
      ck_assert_mem_eq (batch.target[1], first_record.bytes[at],
                        (size_t) batch.n * sizeof first_record.bytes[0]);
      ck_assert_double_eq (batch.own, first_record.own[at]);
      if (mixup > 0)
        ck_assert_mem_eq (batch.other[0], first_record.others + at,
                          (size_t) batch.n * sizeof *first_record.others);
      at += batch.n;
    }
    ck_assert_int_eq (at - start, first_record.sizes[i]);
  }
  for (p = 0; p < parts; p++) {
    ck_assert_int_eq (qk_batches_next (b[p], &batch), 0);
    qk_batches_free (b[p]);
  }
}

START_TEST (test_parts)
{
  check_parts (2 + _i % 3, _i % 6 >= 3, _i >= 6 ? 0.4 : 0);
}
END_TEST

/* Each sample is mixed with the one before it, the first of a batch with its
 * last, in shares that differ from batch to batch; targets are told. */
START_TEST (test_mixed)
{
  struct qk_batches_options o = options ();
  int64_t at = 0;
  double least = 1, most = 0;

  o.threads = 1 + _i;
  run (&o, 3, &first_record);
  for (int64_t i = 0; i < COUNT; i++)
    ck_assert (first_record.own[i] == 1 && first_record.others[i] == -9);
  o.mix = (struct qk_mix_options){ 1, 0, 1 };
  run (&o, 3, &second_record);
  ck_assert_mem_eq (second_record.indices, first_record.indices,
                    sizeof first_record.indices);
  ck_assert_mem_eq (second_record.labels, first_record.labels,
                    sizeof first_record.labels);
  for (int64_t i = 0; i < first_record.batches; i++) {
    const int64_t n = first_record.sizes[i];

    for (int64_t k = 0; k < n; k++) {
      const int64_t me = at + k, other = at + (k + n - 1) % n;
      const double own = second_record.own[me];

      ck_assert_double_eq (own, second_record.own[at]);
      ck_assert_int_eq (second_record.others[me], first_record.labels[other]);
      for (int j = 0; j < PIXELS; j++)
        ck_assert_float_eq_tol (second_record.images[me][j],
                                own * (double) first_record.images[me][j]
                                  + (1 - own)
                                      * (double) first_record.images[other][j],
                                1e-4);
      ck_assert_float_eq_tol (second_record.doubles[me],
                              own * (double) first_record.doubles[me]
                                + (1 - own)
                                    * (double) first_record.doubles[other],
                              1e-4);
    }
    least = second_record.own[at] < least ? second_record.own[at] : least;
    most = second_record.own[at] > most ? second_record.own[at] : most;
    at += n;
  }
  ck_assert (least < 0.3 && most > 0.7);
  /* one of its inputs has no area */
  o.mix = (struct qk_mix_options){ 0, 1, 1 };
  {
    struct qk_batches *b;

    ck_assert_int_eq (qk_batches_new (&o, &b), -EINVAL);
    ck_assert_ptr_nonnull (strstr (qk_error_message (), "input double"));
  }
}
END_TEST

static int64_t
fake_category (void *self, int64_t index)
{
  (void) self;
  return index < 10 ? 0 : index < 20 ? 1 : 2;
}

/* As many of the ten, the ten and the 83; the same ones again differ. */
START_TEST (test_balanced)
{
  struct qk_dataset_class equal = fake_class;
  struct qk_batches_options o = options ();
  int of[3] = { 0, 0, 0 }, pairs = 0;
  struct qk_batches *b;

  o.dataset = &equal;
  o.balance = true;
  ck_assert_int_eq (qk_batches_new (&o, &b), -EINVAL);
  equal.category = fake_category;
  o.threads = 1;
  run (&o, 3, &first_record);
  o.threads = 3;
  run (&o, 3, &second_record);
  ck_assert_mem_eq (&first_record, &second_record, sizeof first_record);
  for (int i = 0; i < COUNT; i++) {
    of[fake_category (NULL, first_record.indices[i])]++;
    for (int k = 0; k < i; k++)
      if (first_record.indices[i] == first_record.indices[k]) {
        ck_assert (first_record.images[i][1] != first_record.images[k][1]);
        pairs++;
      }
  }
  for (int c = 0; c < 3; c++)
    ck_assert (of[c] == COUNT / 3 || of[c] == COUNT / 3 + 1);
  ck_assert_int_gt (pairs, 50);
}
END_TEST

/* Who goes together needs a sample for each. */
START_TEST (test_too_many_parts)
{
  struct qk_batches_options o = options ();
  struct qk_batches *b;

  o.batch = 3;
  o.parts = 4;
  o.together = true;
  ck_assert_int_eq (qk_batches_new (&o, &b), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "3 samples"));
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("batches");
  TCase *tc = tcase_create ("batches");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_complete);
  tcase_add_loop_test (tc, test_threads, 0, 4);
  tcase_add_test (tc, test_epochs_differ);
  tcase_add_loop_test (tc, test_resume, 0, 12);
  tcase_add_test (tc, test_restart);
  tcase_add_loop_test (tc, test_bad_left_out, 0, 4);
  tcase_add_test (tc, test_too_many_bad);
  tcase_add_test (tc, test_all_bad);
  tcase_add_test (tc, test_error);
  tcase_add_test (tc, test_refused);
  tcase_add_test (tc, test_ahead);
  tcase_add_loop_test (tc, test_parts, 0, 12);
  tcase_add_loop_test (tc, test_mixed, 0, 3);
  tcase_add_test (tc, test_balanced);
  tcase_add_test (tc, test_too_many_parts);
  suite_add_tcase (s, tc);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? 0 : 1;
}
