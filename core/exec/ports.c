/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ports.c: runs with samples in and out of the caller's memory. */
#include "config.h"

#include <string.h>

#include "exec/exec-priv.h"

void
qk_copy_integers (enum qk_dtype type, const void *x, size_t count, void *to)
{
  const uint8_t *from = x;
  uint8_t *out = to;
  size_t i;

  if (type != QK_I8) {
    memcpy (out, from, count * qk_dtype_size (type));
    return;
  }
  for (i = 0; i < count; i++) /* minus 128, and plus, is the sign bit turned */
    out[i] = from[i] ^ 0x80;
}

void
qk_give_ports (struct qk_exec *ex)
{
  int i;

  for (i = 0; i < ex->g->n_outputs; i++) {
    const struct qk_exec_port *p = &ex->out[i];
    const struct qk_tensor *t = &ex->value[ex->g->output[i].value].t;
    const size_t size = qk_dtype_size (p->dtype);
    const size_t count = (size_t) qk_shape_count (&t->shape);
    char *to = (char *) p->data
               + (size_t) ex->before * (count / (size_t) ex->n) * size;

    if (t->dtype == QK_F32)
      memcpy (to, t->data, count * size);
    else if (p->dtype == QK_F32)
      qk_widen (t, (float *) (void *) to, ex->opt.threads);
    else
      qk_copy_integers (p->dtype, t->data, count, to);
  }
}

int
qk_exec_run (struct qk_exec *ex, const struct qk_exec_port *in,
             const struct qk_exec_port *out, int64_t n)
{
  const void *input[QK_GRAPH_MAX_INPUTS];
  int i, r;

  for (i = 0; i < ex->g->n_inputs; i++) {
    ex->in_type[i] = in[i].dtype;
    input[i] = in[i].data;
  }
  ex->out = out;
  r = qk_exec_forward (ex, input, n, 0);
  ex->out = NULL;
  for (i = 0; i < ex->g->n_inputs; i++)
    ex->in_type[i] = QK_F32;
  return r;
}
