/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fold-product.c: products of constant matrices, as learnt queries of an
 * attention make them. */
#include "config.h"

#include "fold-priv.h"

/* Multiplications of one node that are made here, about a second of them; more
 * are left to the network. */
#define MOST_PRODUCTS 1e9

/* Rows, columns and what lies between them, of one product. */
struct sizes {
  int64_t m, k, n;
};

/* OUT (M,N) of A, element (i,k) of which is at i*AI + k*AK, and B likewise;
 * sums in double, as they are of any length. */
static void
product (const struct sizes *z, const float *a, int64_t ai, int64_t ak,
         const float *b, int64_t bk, int64_t bj, float *out)
{
  int64_t i, j, k;

  for (i = 0; i < z->m; i++)
    for (j = 0; j < z->n; j++) {
      double sum = 0;

      for (k = 0; k < z->k; k++)
        sum += (double) a[i * ai + k * ak] * (double) b[k * bk + j * bj];
      out[i * z->n + j] = (float) sum;
    }
}

int
fold_matmul (struct call *c)
{
  const struct onnx_const *a = c->in[0], *b = c->in[1];
  const int ma = a->shape.ndim - 2, mb = b->shape.ndim - 2;
  struct qk_shape la = a->shape, lb = b->shape, lead, s;
  int64_t sa[QK_MAX_DIMS], sb[QK_MAX_DIMS], count, i;
  struct sizes z;
  int r;

  if (!a->real || !b->real || ma < 0 || mb < 0
      || a->shape.dims[ma + 1] != b->shape.dims[mb])
    return LEAVE;
  z = (struct sizes){ a->shape.dims[ma], b->shape.dims[mb],
                      b->shape.dims[mb + 1] };
  la.ndim = ma;
  lb.ndim = mb;
  if (!fold_broadcast_shape (&la, &lb, &lead)
      || !fold_broadcast_steps (&la, &lead, sa)
      || !fold_broadcast_steps (&lb, &lead, sb) || lead.ndim + 2 > QK_MAX_DIMS)
    return LEAVE;
  count = qk_shape_count (&lead);
  s = lead;
  s.dims[s.ndim++] = z.m;
  s.dims[s.ndim++] = z.n;
  if (count < 0
      || (double) count * (double) z.m * (double) z.n * (double) z.k
           > MOST_PRODUCTS)
    return LEAVE;
  if ((r = fold_make (c, true, &s)) != 0)
    return r;
  c->out[0]->type = a->type;
  for (i = 0; i < count; i++)
    product (&z, a->f + fold_index (&lead, sa, i) * z.m * z.k, z.k, 1,
             b->f + fold_index (&lead, sb, i) * z.k * z.n, z.n, 1,
             c->out[0]->f + i * z.m * z.n);
  return 0;
}

int
fold_gemm (struct call *c)
{
  const struct onnx_const *a = c->in[0], *b = c->in[1], *bias = c->in[2];
  const float alpha = net_attr_float (c->nd, "alpha", 1);
  const float beta = net_attr_float (c->nd, "beta", 1);
  const bool ta = net_attr_int (c->nd, "transA", 0) != 0;
  const bool tb = net_attr_int (c->nd, "transB", 0) != 0;
  struct qk_shape s = { 2, { 0, 0 } };
  int64_t step[QK_MAX_DIMS], i;
  struct sizes z;
  int r;

  if (!a->real || !b->real || a->shape.ndim != 2 || b->shape.ndim != 2
      || (bias != NULL && !bias->real)
      || a->shape.dims[!ta] != b->shape.dims[tb])
    return LEAVE;
  z = (struct sizes){ a->shape.dims[ta], a->shape.dims[!ta],
                      b->shape.dims[!tb] };
  s.dims[0] = z.m;
  s.dims[1] = z.n;
  if ((double) z.m * (double) z.n * (double) z.k > MOST_PRODUCTS
      || (bias != NULL && !fold_broadcast_steps (&bias->shape, &s, step)))
    return LEAVE;
  if ((r = fold_make (c, true, &s)) != 0)
    return r;
  c->out[0]->type = a->type;
  product (&z, a->f, ta ? 1 : z.k, ta ? z.m : 1, b->f, tb ? 1 : z.n,
           tb ? z.k : 1, c->out[0]->f);
  for (i = 0; i < c->out[0]->n; i++)
    c->out[0]->f[i]
      = alpha * c->out[0]->f[i]
        + (bias != NULL ? beta * bias->f[fold_index (&s, step, i)] : 0.0f);
  return 0;
}
