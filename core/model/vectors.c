/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vectors.c: what an int8 network computes of some samples. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "exec/exec.h"
#include "model/network.h"

struct collector {
  const struct qk_graph *g;
  struct qk_vectors *v;
  int sample;
};

static size_t
bytes_of (const struct qk_graph *g, int value)
{
  return (size_t) qk_shape_count (&g->value[value].shape)
         * qk_dtype_size (qk_value_dtype (g, value));
}

static int
take_value (void *cookie, int value, const struct qk_tensor *t)
{
  const struct collector *c = cookie;
  const size_t size = bytes_of (c->g, value);

  memcpy ((char *) c->v->value[value] + (size_t) c->sample * size, t->data,
          size);
  return 0;
}

int
qk_vectors_run (struct qk_graph *g, const void *const *const *input, int n,
                struct qk_vectors *out)
{
  struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  struct collector c = { g, out, 0 };
  struct qk_exec *ex;
  int r;

  *out = (struct qk_vectors){ n, calloc ((size_t) g->n_values + 1,
                                         sizeof *out->value) };
  if (out->value == NULL)
    return qk_oom ("test vectors");
  for (int i = 0; i < g->n_values; i++)
    if ((out->value[i] = calloc ((size_t) n, bytes_of (g, i))) == NULL)
      return qk_oom ("test vectors");
  if ((r = qk_exec_new (g, &opt, &ex)) < 0)
    return r;
  qk_exec_set_hook (ex, take_value, &c);
  for (; c.sample < n && r >= 0; c.sample++)
    r = qk_exec_forward (ex, input[c.sample], 1, 0);
  qk_exec_free (ex);
  return r;
}

void
qk_vectors_clear (const struct qk_graph *g, struct qk_vectors *v)
{
  for (int i = 0; v->value != NULL && i < g->n_values; i++)
    free (v->value[i]);
  free (v->value);
  *v = (struct qk_vectors){ 0 };
}
