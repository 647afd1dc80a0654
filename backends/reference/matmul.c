/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmul.c: products of two activations of the reference backend. */
#include "config.h"

#include "reference.h"

#include <qatkit/numeric.h>

/* Of a matrix in memory: elements from one row, and one column, to the next. */
struct steps {
  int64_t row, column;
};

/* The last two axes of S; turned: the other way round. */
static struct steps
steps_of (const struct qk_shape *s, bool turned)
{
  const int64_t width = s->dims[s->ndim - 1];

  return turned ? (struct steps){ 1, width } : (struct steps){ width, 1 };
}

/* sum (a[i] - za) (b[i] - zb) over N elements that lie STEP_A, STEP_B apart;
 * |sum| < 2^31, see QK_MATMUL_DEPTH */
static int32_t
dot (const uint8_t *a, int64_t step_a, int32_t za, const uint8_t *b,
     int64_t step_b, int32_t zb, int64_t n)
{
  int32_t sum = 0;

  for (int64_t i = 0; i < n; i++)
    sum += (a[i * step_a] - za) * (b[i * step_b] - zb);
  return sum;
}

/* a (N,…,M,K), b (N,…,K,P), y (N,…,M,P) */
void
reference_matmul (const struct reference_kernel *kn, int64_t n,
                  const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const struct qk_shape *a = &kn->in[0], *b = &kn->in[1], *y = &kn->out;
  const struct steps sa = steps_of (a, op->transpose_a);
  const struct steps sb = steps_of (b, op->transpose_b);
  const int64_t m = y->dims[y->ndim - 2], p = y->dims[y->ndim - 1];
  const int64_t k = a->dims[a->ndim - (op->transpose_a ? 2 : 1)];
  const int64_t each = kn->g.k / (m * p); /* products of a sample */
  const float multiplier = qk_product_multiplier (
    op->in_q[0].scale, op->in_q[1].scale, op->factor, op->out_q.scale);
  struct qk_shape la = *a, lb = *b, ly = *y;
  int64_t size_a, size_b;

  la.ndim -= 2, lb.ndim -= 2, ly.ndim -= 2;
  size_a = qk_shape_count (&la) / kn->g.batch;
  size_b = qk_shape_count (&lb) / kn->g.batch;
#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < n * kn->g.k; i++) {
    const int64_t row = i / p % m, column = i % p, product = i / (m * p);
    const int64_t sample = product / each, lead = product % each;
    const int64_t from_a = sample * size_a + reference_source (&la, &ly, lead);
    const int64_t from_b = sample * size_b + reference_source (&lb, &ly, lead);
    const int32_t acc
      = dot ((const uint8_t *) in[0] + from_a * m * k + row * sa.row,
             sa.column, op->in_q[0].zero_point,
             (const uint8_t *) in[1] + from_b * k * p + column * sb.column,
             sb.row, op->in_q[1].zero_point, k);

    ((uint8_t *) out)[i] = (uint8_t) qk_requantize (
      acc, multiplier, op->out_q.zero_point, op->lo, op->hi);
  }
}
