/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmul.c: which matrices a product of two tensors multiplies. */
#include "config.h"

#include "matmul.h"

void
matmul_plan (const struct qk_shape *a, const struct qk_shape *b, bool ta,
             bool tb, struct matmul *out)
{
  struct qk_shape lead[2] = { *a, *b };

  out->ta = ta;
  out->tb = tb;
  out->m = a->dims[a->ndim - (ta ? 1 : 2)];
  out->k = a->dims[a->ndim - (ta ? 2 : 1)];
  out->p = b->dims[b->ndim - (tb ? 2 : 1)];
  lead[0].ndim -= 2;
  lead[1].ndim -= 2;
  broadcast_plan (&lead[0], &lead[1], &out->lead);
  out->products = out->lead.count;
  out->of[0] = out->lead.of[0];
  out->of[1] = out->lead.of[1];
}

void
matmul_at (const struct matmul *mm, int64_t i, int64_t from[2])
{
  int64_t run;

  broadcast_at (&mm->lead, i % mm->products, from, &run);
  from[0] += i / mm->products * mm->of[0];
  from[1] += i / mm->products * mm->of[1];
}
