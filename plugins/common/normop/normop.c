/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* normop.c: softmax and normalisations as operations of int8 networks. */
#include "config.h"

#include "normop.h"

#include "lrn/lrn.h"
#include "norm/norm.h"
#include "numbers/numbers.h"
#include "softmax/softmax.h"

#define LEAST_WORK 8192 /* elements that are worth a thread */

/* The results of parts, rows or blocks, FIRST to END - 1; SCRATCH is the
 * thread's. */
typedef void (*parts_fn) (const struct normop *k, const uint8_t *x,
                          int64_t first, int64_t end, void *y, void *scratch);

struct normop {
  struct qk_op op; /* its arrays are the model's */
  int threads;
  int64_t elements; /* of a sample */
  int64_t parts;    /* of a sample */
  size_t each;      /* bytes of scratch memory of a thread */
  parts_fn run;
  union {
    struct softmax softmax;
    struct norm norm;
    struct lrn lrn;
  };
};

bool
normop_knows (enum qk_op_kind kind)
{
  return kind == QK_OP_SOFTMAX || kind == QK_OP_NORM || kind == QK_OP_LRN;
}

static void
run_softmax (const struct normop *k, const uint8_t *x, int64_t first,
             int64_t end, void *y, void *scratch)
{
  (void) scratch;
  if (k->op.out_q.scale == 0)
    softmax_real_rows (&k->softmax, x, first, end, y);
  else
    softmax_byte_rows (&k->softmax, x, first, end, &k->op.out_q, k->op.lo,
                       k->op.hi, y);
}

static size_t
statistics_size (const struct norm *n)
{
  return ((size_t) n->groups * sizeof (struct qk_norm) + 63) & ~(size_t) 63;
}

static void
norm_block (const struct normop *k, const uint8_t *x, int64_t i, void *y,
            void *scratch)
{
  const struct norm *n = &k->norm;
  const int64_t at = i * n->rows * n->channels;
  struct qk_norm *statistics = scratch;

  scratch = (char *) scratch + statistics_size (n);
  norm_of_bytes (n, x + at, &k->op.in_q[0], scratch, statistics);
  norm_bytes (n, x + at, &k->op.in_q[0], statistics, k->op.gamma, k->op.beta,
              &k->op.out_q, k->op.lo, k->op.hi, scratch, (uint8_t *) y + at);
}

static void
run_norm (const struct normop *k, const uint8_t *x, int64_t first, int64_t end,
          void *y, void *scratch)
{
  for (int64_t i = first; i < end; i++)
    norm_block (k, x, i, y, scratch);
}

static void
lrn_row (const struct normop *k, const uint8_t *x, int64_t i, void *y,
         void *scratch)
{
  const struct lrn *l = &k->lrn;
  int32_t *sum = scratch;
  float *real = (float *) scratch + l->channels;

  x += i * l->channels;
  lrn_sums (l, x, &k->op.in_q[0], sum);
  lrn_real_row (l, x, &k->op.in_q[0], sum, real);
  numbers_to_bytes (real, l->channels, &k->op.out_q, k->op.lo, k->op.hi,
                    (uint8_t *) y + i * l->channels);
}

static void
run_lrn (const struct normop *k, const uint8_t *x, int64_t first, int64_t end,
         void *y, void *scratch)
{
  for (int64_t i = first; i < end; i++)
    lrn_row (k, x, i, y, scratch);
}

static void
plan (struct normop *k, const struct qk_shape *in)
{
  const struct qk_op *op = &k->op;
  const int64_t c = in->dims[in->ndim - 1];

  if (op->kind == QK_OP_SOFTMAX) {
    softmax_plan (in, op->axis, op->function, &k->softmax);
    softmax_set_scale (&k->softmax, op->in_q[0].scale);
    k->parts = k->elements / k->softmax.length;
    k->run = run_softmax;
  } else if (op->kind == QK_OP_NORM) {
    norm_plan (in, op->per_sample, op->groups, op->centered, op->eps,
               &k->norm);
    k->parts = k->norm.blocks;
    k->each = statistics_size (&k->norm) + norm_scratch (&k->norm);
    k->run = run_norm;
  } else {
    k->lrn = (struct lrn){ c, op->size, op->alpha / (float) op->size,
                           op->power, op->offset };
    k->parts = k->elements / c;
    k->each = ((size_t) c * 8 + 63) & ~(size_t) 63;
    k->run = run_lrn;
  }
}

int
normop_new (const struct qk_op *op, const struct int8op_geometry *g,
            const struct qk_shape *in, int threads, struct normop **out,
            size_t *scratch)
{
  struct normop *k = qk_alloc (sizeof *k);

  if (k == NULL)
    return qk_oom ("%s", op->name);
  qk_op_copy (&k->op, op);
  k->threads = threads;
  k->elements = g->k;
  plan (k, in);
  *scratch = (size_t) threads * k->each;
  *out = k;
  return 0;
}

void
normop_run (const struct normop *k, int64_t n, const uint8_t *x, void *y,
            void *scratch)
{
  const int64_t parts = n * k->parts;
  const int64_t most = n * k->elements / LEAST_WORK + 1;
  int threads = k->threads < most ? k->threads : (int) most;

  threads = threads < parts ? threads : (int) parts;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++)
    k->run (k, x, parts * t / threads, parts * (t + 1) / threads, y,
            (char *) scratch + (size_t) t * k->each);
}
