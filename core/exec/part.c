/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* part.c: runs some nodes of a graph on values that are known already. */
#include "config.h"

#include <string.h>

#include "base/threads.h"
#include "exec/exec-priv.h"

/* Put a value where its readers look for it: the buffers of all values that are
 * read from some node on are apart from each other. */
static int
place (struct qk_exec *ex, const struct qk_exec_given *given)
{
  struct qk_tensor *t = &ex->value[given->value].t;
  void *room = qk_arena_at (&ex->arena, ex->value[given->value].data);
  const enum qk_dtype expected = qk_value_dtype (ex->g, given->value);

  if (given->t.dtype != expected || given->t.shape.dims[0] != ex->n)
    return qk_error (
      -EINVAL,
      "value '%s': given as %lld samples of %s, expected %lld of "
      "%s",
      qk_value_name (ex->g, given->value), (long long) given->t.shape.dims[0],
      qk_dtype_name (given->t.dtype), (long long) ex->n,
      qk_dtype_name (expected));
  *t = given->t;
  if (room == NULL) /* an input in float, read where it is */
    return 0;
  memcpy (room, given->t.data,
          (size_t) qk_shape_count (&t->shape) * qk_dtype_size (t->dtype));
  t->data = room;
  return 0;
}

int
qk_exec_forward_part (struct qk_exec *ex, const struct qk_exec_given *given,
                      int n_given, int first, int last, int64_t n)
{
  int before, i, r;

  if (ex->g->stage == QK_STAGE_INT8 || n < 1 || n > ex->batch || first < 0
      || first > last || last > ex->g->n_nodes)
    return qk_error (-EINVAL,
                     "nodes %d to %d of %d cannot run by themselves on %lld "
                     "samples",
                     first, last - 1, ex->g->n_nodes, (long long) n);
  ex->n = n;
  ex->flags = 0;
  before = qk_threads_limit (ex->opt.threads);
  r = qk_forward_constants (ex);
  for (i = 0; r == 0 && i < n_given; i++)
    r = place (ex, &given[i]);
  if (r == 0)
    r = qk_forward_nodes (ex, first, last);
  qk_threads_limit (before);
  return r;
}
