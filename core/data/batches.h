/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batches.h: samples of a dataset in batches, read ahead by threads.
 *
 * What is delivered depends on the dataset, seed, epoch and batch size only,
 * not on the number of threads.
 */
#ifndef QK_DATA_BATCHES_H
#define QK_DATA_BATCHES_H

#include "data/mix.h"
#include "qatkit/dataset.h"

/* Threads that read samples, at most. */
#define QK_MAX_READERS 256

/* Which samples were found undecodable. */
struct qk_bad_samples {
  uint8_t *bits; /* one a sample; for free */
  int64_t n;
};

/* What becomes of the samples that make no full batch at the end. */
enum qk_last_batch {
  QK_LAST_KEEP,  /* a smaller batch */
  QK_LAST_DROP,  /* left out of this epoch, unless there is no other batch */
  QK_LAST_MERGE, /* the batch before has them too */
};

struct qk_batches_options {
  struct qk_context *ctx;                 /* for the log */
  const struct qk_dataset_class *dataset; /* borrowed, as is self, */
  void *self;                             /* until qk_batches_free */
  int64_t batch;                          /* samples of a full batch */
  int threads;                            /* that read; at least 1 */
  int depth; /* batches being read or ready ahead of the one delivered,
                    at least 1; 0 = 3 */
  uint64_t seed;
  int part, parts; /* deliver the PART-th of PARTS pieces of every batch, in
                      the order of the samples; 0, 0: whole batches */
  bool together;   /* every part must have a sample of every batch */
  enum qk_last_batch last;
  bool shuffle; /* a new order each epoch; else 0, 1, 2, … */
  bool balance; /* as shuffle, all categories as often as each other */
  struct qk_mix_options mix; /* zeros: samples are not mixed */
  double max_bad; /* share of the dataset that may be undecodable, 0..1 */
  struct qk_bad_samples *bad; /* borrowed; shared by those that read the same
                                  samples, not at the same time; NULL: own */
};

/* One batch; lives until the next call of start, next or free. */
struct qk_batch {
  int64_t index; /* of the batch within the epoch, from 0 */
  int64_t n;     /* samples, at least 1; of parts that go TOGETHER also 0 */
  int64_t first; /* of them in the whole batch */
  /* by the dataset's inputs and targets: n samples of each */
  const void *const *input, *const *target;
  const int64_t *indices; /* n, within the dataset */
  /* Of mixed samples: how much of each is its own, 1 for all of it, and by
   * the dataset's targets those of what was mixed in; NULL where nothing is. */
  double own;
  const void *const *other;
};

struct qk_batches;

/* *OUT belongs to the caller: qk_batches_free.  -EINVAL for senseless
 * options or an empty dataset, -ENOMEM. */
int qk_batches_new (const struct qk_batches_options *options,
                    struct qk_batches **out);
void qk_batches_free (struct qk_batches *b); /* accepts NULL */

/* Begin EPOCH at its batch FIRST (0 unless resuming).  Reading starts in the
 * background; what was left of an epoch before is dropped. */
int qk_batches_start (struct qk_batches *b, int64_t epoch, int64_t first);

/* The next batch: 1 with *OUT filled, 0 when the epoch is over, or an error.
 * A sample that cannot be decoded is left out of its batch and named once
 * in the log; -EBADMSG when their share exceeds max_bad.  After an error the
 * epoch is over. */
int qk_batches_next (struct qk_batches *b, struct qk_batch *out);

/* Batches of a whole epoch.  Of parts that go TOGETHER, a last batch with
 * fewer samples than parts is left out. */
int64_t qk_batches_count (const struct qk_batches *b);
/* Samples of the largest batch, and of the last one, all parts together. */
int64_t qk_batches_largest (const struct qk_batches *b);
int64_t qk_batches_last (const struct qk_batches *b);

/* From now on category C of target T is delivered as MAP[C], an array for free
 * that B takes over.  Not while an epoch is being read. */
void qk_batches_map (struct qk_batches *b, int t, int32_t *map);

/* Borrowed, lives as long as B. */
const struct qk_dataset_info *qk_batches_info (const struct qk_batches *b);
/* Undecodable samples met so far, each counted once. */
int64_t qk_batches_bad (const struct qk_batches *b);

#endif /* QK_DATA_BATCHES_H */
