/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* product.c: exact product of uint8 and int8 matrices whose weights change
 * from step to step.
 *
 * Where pairs of products are summed in int16 and inputs have 7 bits, sums
 * run over two steps and start from the middle input: a lane has four weights
 * there, and 64 (|w0| + … + |w3|) leaves int16 only where all four are -128,
 * in which case a step at a time is taken.  Inputs of 8 bits are widened.  So
 * no weight has to be looked at twice, as certify.c of fbgemm does for weights
 * that stay. */
#include "config.h"

#include <string.h>

#include "int8gemm/product.h"

enum {
  CHAIN = 2,
  MIDDLE = 64,     /* of inputs of 7 bits */
  MOST_BLOCK = 64, /* rows of weights */
  ALIGN = 64
};

/* Ahead of a block; its arrays follow: bias and about (nr each), middles,
 * weights. */
struct head {
  int32_t chain;
  int32_t safe; /* no sum of CHAIN steps about MIDDLE leaves int16 */
  char rest[ALIGN - 2 * sizeof (int32_t)];
};

/* Where the arrays of a block of NR rows lie. */
struct block {
  struct head *head;
  int32_t *bias;   /* less what the zero point gives */
  int32_t *about;  /* MIDDLE times the weights of whole chains */
  int16_t *middle; /* [steps / CHAIN][nr][2]; NULL: not needed */
  int8_t *weight;  /* [steps][nr][4] */
  int vectors, nr, n;
};

static size_t
round_up (size_t size)
{
  return (size + ALIGN - 1) & ~(size_t) (ALIGN - 1);
}

int64_t
qk_product_depth (int64_t k)
{
  return (k + 3) & ~(int64_t) 3;
}

int
qk_product_block (const struct qk_kernels *kn)
{
  return kn->lanes * kn->max_vectors;
}

static size_t
middle_size (const struct qk_kernels *kn, int nr, int64_t steps)
{
  return kn->saturates
           ? round_up ((size_t) (steps / CHAIN * nr) * 2 * sizeof (int16_t))
           : 0;
}

/* How the first of LEFT rows are put into one block; the size of it. */
static size_t
block_shape (const struct qk_kernels *kn, int64_t left, int64_t steps,
             struct block *b)
{
  const int most = qk_product_block (kn);

  b->n = left < most ? (int) left : most;
  b->vectors = (b->n + kn->lanes - 1) / kn->lanes;
  b->nr = b->vectors * kn->lanes;
  return sizeof *b->head + 2 * round_up ((size_t) b->nr * sizeof *b->bias)
         + middle_size (kn, b->nr, steps)
         + round_up ((size_t) (steps * b->nr) * 4);
}

/* The same for a block that lies at AT. */
static size_t
block_at (const struct qk_kernels *kn, int64_t left, int64_t steps, char *at,
          struct block *b)
{
  const size_t whole = block_shape (kn, left, steps, b);
  size_t size = sizeof *b->head;

  b->head = (struct head *) (void *) at;
  b->bias = (int32_t *) (void *) (at + size);
  size += round_up ((size_t) b->nr * sizeof *b->bias);
  b->about = (int32_t *) (void *) (at + size);
  size += round_up ((size_t) b->nr * sizeof *b->about);
  b->middle = kn->saturates ? (int16_t *) (void *) (at + size) : NULL;
  size += middle_size (kn, b->nr, steps);
  b->weight = (int8_t *) (at + size);
  return whole;
}

size_t
qk_product_size (const struct qk_kernels *kn, int64_t n, int64_t k)
{
  const int64_t steps = qk_product_depth (k) / 4;
  struct block b;
  size_t size = 0;

  for (int64_t j = 0; j < n; j += b.n)
    size += block_shape (kn, n - j, steps, &b);
  return size;
}

/* Four weights of every row side by side, step by step. */
static void
fill (const struct block *b, int64_t k, const int8_t *w, int64_t ldw)
{
  int8_t *out = b->weight;

  for (int64_t i = 0; i < k; i += 4, out += (int64_t) b->nr * 4) {
    const size_t some = k - i < 4 ? (size_t) (k - i) : 4;

    if (b->n < b->nr || some < 4)
      memset (out, 0, (size_t) b->nr * 4);
    if (some == 4)
      for (int j = 0; j < b->n; j++)
        memcpy (out + 4 * j, w + j * ldw + i, 4);
    else
      for (int j = 0; j < b->n; j++)
        memcpy (out + 4 * j, w + j * ldw + i, some);
  }
}

/* The middles of one chain of LANES lanes, from its two steps; ABOUT gets a
 * lane's part.  Returns the smallest sum. */
static int
chain_middles (const int8_t *restrict w, int lanes, int16_t *restrict middle,
               int16_t *restrict sums)
{
  const int8_t *restrict next = w + 2 * lanes;
  int least = 0;

  for (int l = 0; l < lanes; l++) {
    const int s = w[2 * l] + w[2 * l + 1] + next[2 * l] + next[2 * l + 1];

    least = s < least ? s : least;
    sums[l] = (int16_t) s;
    middle[l] = (int16_t) (-MIDDLE * s);
  }
  return least;
}

static void
find_middles (const struct block *b, int64_t steps)
{
  const int lanes = 2 * b->nr;
  int16_t sums[2 * MOST_BLOCK];
  int least = 0;

  for (int64_t i = 0; i < steps / CHAIN; i++) {
    const int here = chain_middles (b->weight + i * CHAIN * b->nr * 4, lanes,
                                    b->middle + i * lanes, sums);

    least = here < least ? here : least;
    for (int j = 0; j < b->nr; j++)
      b->about[j] += MIDDLE * (sums[2 * j] + sums[2 * j + 1]);
  }
  b->head->safe = least > -4 * 128;
}

void
qk_product_pack (const struct qk_kernels *kn, int64_t n, int64_t k,
                 const int8_t *w, int64_t ldw, void *packed)
{
  const int64_t steps = qk_product_depth (k) / 4;
  char *at = packed;
  struct block b;

  for (int64_t j = 0; j < n; j += b.n) {
    at += block_at (kn, n - j, steps, at, &b);
    b.head->chain = 1;
    b.head->safe = true;
    memset (b.bias, 0, (size_t) b.nr * sizeof *b.bias);
    memset (b.about, 0, (size_t) b.nr * sizeof *b.about);
    fill (&b, k, w + j * ldw, ldw);
    if (b.middle)
      find_middles (&b, steps);
  }
}

/* What the sums of a block may be made of. */
static int
choose_chain (const struct qk_kernels *kn, const struct block *b,
              const struct qk_qparams *q)
{
  const int hi = q->qmax > q->zero_point ? q->qmax : q->zero_point;

  if (!kn->saturates)
    return 1;
  if (hi >= 2 * MIDDLE)
    return 0;
  return b->head->safe ? CHAIN : 1;
}

void
qk_product_range (const struct qk_kernels *kn, int64_t n, int64_t k,
                  const double *sum, const struct qk_qparams *q, void *packed)
{
  const int64_t steps = qk_product_depth (k) / 4;
  char *at = packed;
  struct block b;

  for (int64_t j = 0; j < n; j += b.n) {
    at += block_at (kn, n - j, steps, at, &b);
    b.head->chain = choose_chain (kn, &b, q);
    for (int i = 0; i < b.n; i++) {
      b.bias[i] = (int32_t) (-q->zero_point * sum[j + i]);
      if (b.head->chain == CHAIN)
        b.bias[i] = (int32_t) ((uint32_t) b.bias[i] + (uint32_t) b.about[i]);
    }
  }
}

void
qk_product (const struct qk_kernels *kn, int64_t m, int64_t n, int64_t k,
            const uint8_t *a, int64_t lda, const void *packed, bool to_float,
            void *c, int64_t ldc)
{
  static const float ones[MOST_BLOCK]
    = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
  const struct qk_output o
    = { .store = to_float ? QK_STORE_F32 : QK_STORE_I32, .pitch = 4 * ldc };
  const int64_t steps = qk_product_depth (k) / 4;
  char *at = (char *) packed;
  struct block b, next;

  if (n > 0)
    at += block_at (kn, n, steps, at, &b);
  for (int64_t j = 0; j < n; j += b.n, b = next) {
    const bool last = j + b.n >= n;
    struct qk_gemm_block g = { .weight = b.weight,
                               .bias = b.bias,
                               .multiplier = ones,
                               .n = b.n,
                               .vectors = b.vectors,
                               .chain = b.head->chain };

    next = b;
    if (!last)
      at += block_at (kn, n - j - b.n, steps, at, &next);
    g.next = last ? b.weight : next.weight;
    g.middle = g.chain == CHAIN ? b.middle : NULL;
    kn->gemm (a, lda, m, steps, &g, &o, (char *) c + 4 * j);
  }
}
