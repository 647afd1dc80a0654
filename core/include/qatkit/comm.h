/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* comm.h: processes that train one network together, each on its part of
 * every batch.
 *
 * Every process holds the whole network.  What depends on the whole batch
 * (batch-norm statistics, ranges of values, gradients) is reduced over all
 * processes, so that N of them with a batch of B/N samples each compute what
 * one computes with B, up to the order in which floats are added.
 */
#ifndef QATKIT_COMM_H
#define QATKIT_COMM_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

enum qk_comm_op { QK_COMM_SUM = 1, QK_COMM_MIN = 2, QK_COMM_MAX = 3 };
enum qk_comm_type { QK_COMM_F32 = 1, QK_COMM_F64 = 2 };

/* All slots are called by one thread of each process, in the same order in
 * all processes, and give every process the same bytes.  They return 0 or a
 * negative error code; after an error nothing but destroy and abort is
 * called. */
struct qk_comm_class {
  struct qk_class cls;

  /* Join the other processes.  *RANK is 0 to *SIZE - 1.  *self belongs to
   * the library: destroy. */
  int (*create) (const struct qk_config *cfg, void **self, int *rank,
                 int *size);
  /* Leave in an orderly way, as all do.  Accepts NULL. */
  void (*destroy) (void *self);

  /* Element by element over all processes, in place. */
  int (*reduce) (void *self, enum qk_comm_op op, enum qk_comm_type type,
                 void *data, size_t count);

  /* Begin to sum COUNT floats over all processes, in place; DATA is borrowed
   * until wait, which ends all sums begun so far.  (optional, both or none;
   * default: reduce) */
  int (*start) (void *self, float *data, size_t count);
  int (*wait) (void *self);

  /* Bytes from all processes one after the other in the order of their
   * ranks.  OUT NULL: only tell each one's number in SIZES (SIZE of them);
   * else OUT has room for their sum.  */
  int (*gather) (void *self, const void *data, size_t bytes, size_t *sizes,
                 void *out);

  /* End all other processes at once, with exit status 1, because this one
   * cannot go on.  (optional; default: nothing) */
  void (*abort) (void *self);

  /* Whether a launcher started this process as one of several that this class
   * can join.  (optional; default: yes) */
  bool (*probe) (void);
};

/* The processes as layers see them; NULL counts as a single one. */
struct qk_comm;

QK_PUBLIC int qk_comm_rank (const struct qk_comm *c);
QK_PUBLIC int qk_comm_size (const struct qk_comm *c);

/* As the slot; nothing to do for a single process.  The error names the
 * plugin and this process. */
QK_PUBLIC int qk_comm_reduce (struct qk_comm *c, enum qk_comm_op op,
                              enum qk_comm_type type, void *data,
                              size_t count);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_COMM_H */
