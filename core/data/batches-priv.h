/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batches-priv.h: between the files that batches are made by. */
#ifndef QK_DATA_BATCHES_PRIV_H
#define QK_DATA_BATCHES_PRIV_H

#include <pthread.h>

#include "batches.h"
#include "order.h"

struct qk_read_sample {
  int err;       /* of read */
  char *message; /* the sentence; NULL without memory for it */
};

struct qk_slot {
  void **input, **target; /* by tensor: room for all samples */
  int64_t *indices;
  struct qk_read_sample *samples;
  int64_t missing; /* samples not there yet */
};

struct qk_worker {
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
  struct qk_worker *workers;
  struct qk_slot *slots;
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

/* ---- slots.c --------------------------------------------------------------- */

/* The slot that batch number BATCH goes to. */
struct qk_slot *qk_slot_of (struct qk_batches *b, int64_t batch);
/* Places of the epoch's order that batches are made of. */
int64_t qk_places_used (const struct qk_batches *b);
/* The batch that PLACE of the epoch's order belongs to. */
int64_t qk_batch_of (const struct qk_batches *b, int64_t place);
/* Samples of batch number BATCH; the last one may be smaller, or larger. */
int64_t qk_batch_size (const struct qk_batches *b, int64_t batch);
/* The samples of a batch of SIZE that are this part's: FIRST to END. */
void qk_part_of (const struct qk_batches *b, int64_t size, int64_t *first,
                 int64_t *end);
/* How many samples of batch number BATCH are this part's. */
int64_t qk_part_size (const struct qk_batches *b, int64_t batch);

/* Room for N samples in a slot of zeros. */
int qk_slot_init (const struct qk_dataset_info *info, struct qk_slot *s,
                  int64_t n);
/* Forget what the N samples that S has room for said when they were read. */
void qk_slot_clear (struct qk_slot *s, int64_t n);
void qk_slot_free (const struct qk_dataset_info *info, struct qk_slot *s,
                   int64_t n);
/* Room for ROOM samples of each of the N tensors; NULL without memory. */
void **qk_make_tensors (const struct qk_tensor_spec *spec, int n,
                        int64_t room);
void qk_free_tensors (void **t, int n); /* accepts NULL */

/* ---- workers.c ------------------------------------------------------------- */

/* Start the threads. */
int qk_workers_start (struct qk_batches *b);
/* No worker reads when this returns, and none starts to. */
void qk_workers_stop (struct qk_batches *b);
/* The next sample at or after PLACE of the epoch's order that is this
 * part's. */
int64_t qk_own_place (const struct qk_batches *b, int64_t place);

#endif /* QK_DATA_BATCHES_PRIV_H */
