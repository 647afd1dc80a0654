/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* model.c: a TFLite model in memory. */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>

#include "blocks/blocks.h"
#include "model.h"

void
tfl_clear (struct tfl_model *m)
{
  blocks_free (&m->blocks);
  free (m->tensor);
  free (m->node);
  *m = (struct tfl_model){ 0 };
}

void *
tfl_alloc (struct tfl_model *m, size_t size)
{
  void *p = m->error < 0 ? NULL : blocks_alloc (&m->blocks, size);

  if (p == NULL && m->error == 0)
    m->error = qk_oom ("tflite");
  return p;
}

const char *
tfl_name (struct tfl_model *m, const char *fmt, ...)
{
  const char *s = NULL;
  va_list args;

  va_start (args, fmt);
  if (m->error == 0 && (s = blocks_text (&m->blocks, fmt, args)) == NULL)
    m->error = qk_oom ("tflite");
  va_end (args);
  return s != NULL ? s : "";
}

/* Room for one more in ARRAY, which has N elements of SIZE bytes and grows by
 * doubling; its address then, or NULL. */
static void *
room_for_one (struct tfl_model *m, void *array, int n, size_t size)
{
  void *p = array;

  if (m->error < 0)
    return NULL;
  if (n == 0 || (n >= 16 && (n & (n - 1)) == 0)) {
    p = realloc (array, (n == 0 ? 16 : 2 * (size_t) n) * size);
    if (p == NULL)
      m->error = qk_oom ("tflite");
  }
  return p;
}

int
tfl_add_tensor (struct tfl_model *m, const struct tfl_tensor *t)
{
  struct tfl_tensor *all
    = room_for_one (m, m->tensor, m->n_tensors, sizeof *all);

  if (all == NULL)
    return 0;
  m->tensor = all;
  all[m->n_tensors] = *t;
  return m->n_tensors++;
}

int
tfl_add_ints (struct tfl_model *m, const char *name, const int32_t *x, int n)
{
  int32_t *copy = tfl_alloc (m, (size_t) n * sizeof *copy);
  const struct tfl_tensor t = { .name = name,
                                .type = TFL_INT32,
                                .ndim = 1,
                                .dims = { n },
                                .data = copy,
                                .elements = (size_t) n };

  if (copy == NULL)
    return 0;
  memcpy (copy, x, (size_t) n * sizeof *copy);
  return tfl_add_tensor (m, &t);
}

void
tfl_add_node (struct tfl_model *m, enum tfl_operator op, int version, int n_in,
              const int *in, int out, const struct tfl_options *options)
{
  struct tfl_node *all = room_for_one (m, m->node, m->n_nodes, sizeof *all);
  struct tfl_node *n;

  if (all == NULL)
    return;
  m->node = all;
  n = &all[m->n_nodes++];
  *n = (struct tfl_node){
    .op = op, .version = version, .n_in = n_in, .out = out
  };
  memcpy (n->in, in, (size_t) n_in * sizeof *in);
  if (options != NULL)
    n->options = *options;
}
