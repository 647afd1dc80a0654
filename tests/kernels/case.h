/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* case.h: random int8 operations, and memory that notices stray accesses. */
#ifndef KERNELS_CASE_H
#define KERNELS_CASE_H

#include <qatkit/backend.h>
#include <qatkit/rng.h>

/* ---- guarded memory ---------------------------------------------------- */

/* SIZE bytes between two inaccessible pages.  AT_END: they end where the
 * second page begins (and start anywhere); else they start where the first
 * one ends.  The gap at the other end holds a known pattern. */
struct guard {
  uint8_t *data;
  size_t size;
  uint8_t *map;
  size_t mapped;
};

/* 0, or -1 when out of memory. */
int guard_new (struct guard *g, size_t size, bool at_end);
/* Whether the pattern is intact. */
bool guard_intact (const struct guard *g);
void guard_free (struct guard *g);

/* ---- cases ------------------------------------------------------------- */

/* One operation with its data, all owned by it: case_free. */
struct kernel_case {
  struct qk_op op;
  struct qk_shape in[QK_OP_MAX_INPUTS], out;
  int64_t n; /* samples to run, <= dims[0] */
  struct guard data[QK_OP_MAX_INPUTS];
  int8_t *weight;
  int32_t *bias;
  float *multiplier;
  uint8_t table[256]; /* op.table: a case stays where it was made */
  int32_t order[2 * QK_MAX_DIMS], *place;
};

/* Whether there are cases of KIND, which qk_op_kind_name knows. */
bool case_exists (enum qk_op_kind kind);
/* Case number INDEX of SEED, of operation KIND.  0, or -1 when out of
 * memory. */
int case_new (struct kernel_case *c, uint64_t seed, uint64_t index,
              enum qk_op_kind kind);
/* The sum of bytes that lie at the end of their range, 80000 times the largest weight:
 * it fits int32, but not without its zero point; to an output of 16 bits.  0, or -1. */
int case_deepest (struct kernel_case *c);
void case_free (struct kernel_case *c);
/* Bytes of the output of N samples of the case. */
size_t case_out_bytes (const struct kernel_case *c, int64_t n);
/* One line that describes the case. */
void case_print (const struct kernel_case *c);

/* Prepare and run a case on SELF, an instance of CLS; *OUT receives the bytes
 * and belongs to the caller, *SCRATCH_INTACT whether nothing was written
 * beside scratch memory.  0, 1 if the operation is not supported, negative
 * errno. */
int case_run (const struct qk_backend_class *cls, void *self,
              const struct kernel_case *c, struct guard *out, bool at_end,
              bool *scratch_intact);

#endif /* KERNELS_CASE_H */
