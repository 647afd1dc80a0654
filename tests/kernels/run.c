/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run.c: a case on a backend, in guarded memory. */
#include "config.h"

#include "kernels/case.h"

#include <string.h>

int
case_run (const struct qk_backend_class *cls, void *self,
          const struct kernel_case *c, struct guard *out, bool at_end,
          bool *scratch_intact)
{
  const void *in[QK_OP_MAX_INPUTS];
  struct guard scratch;
  void *kernel;
  size_t size;
  int r = cls->supports (self, &c->op, c->in, &c->out);

  if (r == -ENOTSUP)
    return 1;
  if (r == 0)
    r = cls->prepare (self, &c->op, c->in, &c->out, &kernel, &size);
  if (r < 0)
    return r;
  for (int i = 0; i < c->op.n_in; i++)
    in[i] = c->data[i].data;
  if (guard_new (out, case_out_bytes (c, c->n), at_end) < 0
      || guard_new (&scratch, (size + 63) / 64 * 64, at_end) < 0)
    return -ENOMEM;
  /* what lies in scratch memory must not matter */
  memset (scratch.data, 0x5c, scratch.size);
  cls->run (self, kernel, c->n, in, out->data, scratch.data);
  *scratch_intact = guard_intact (&scratch);
  guard_free (&scratch);
  cls->release (self, kernel);
  return 0;
}
