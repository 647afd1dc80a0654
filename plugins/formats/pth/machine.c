/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* machine.c: the objects and the stack of a pickle that runs. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "machine.h"

void
machine_init (struct machine *m, const void *bytes, size_t size,
              const char *path)
{
  memset (m, 0, sizeof *m);
  m->p = bytes;
  m->end = m->p + size;
  m->path = path;
  m->object.size = sizeof (struct object);
  m->pair.size = sizeof (struct pair);
  m->tensor.size = sizeof (struct pickle_tensor);
  m->item.size = m->stack.size = m->memo.size = m->storage.size
    = sizeof (uint32_t);
}

void
machine_clear (struct machine *m)
{
  free (m->object.data);
  free (m->item.data);
  free (m->pair.data);
  free (m->stack.data);
  free (m->memo.data);
  free (m->tensor.data);
  free (m->storage.data);
}

int
machine_damaged (const struct machine *m, const char *what)
{
  return qk_error (-EBADMSG,
                   "%s: not a PyTorch file of weights, or damaged: %s",
                   m->path, what);
}

int64_t
machine_grow (struct machine *m, struct list *l)
{
  if (l->n == l->room) {
    const size_t room = l->room == 0 ? 64 : l->room * 2;
    void *p;

    if (l->n >= PICKLE_MAX_OBJECTS)
      return machine_damaged (m, "too many objects");
    p = realloc (l->data, room * l->size);
    if (p == NULL)
      return qk_oom ("%s", m->path);
    l->data = p;
    l->room = room;
  }
  memset ((char *) l->data + l->n * l->size, 0, l->size);
  return (int64_t) l->n++;
}

/* ---- the stack -------------------------------------------------------------*/

int
machine_push_number (struct machine *m, uint32_t object)
{
  const int64_t i = machine_grow (m, &m->stack);

  if (i < 0)
    return (int) i;
  AT (m->stack, uint32_t, i) = object;
  return 0;
}

int
machine_push (struct machine *m, enum kind kind, struct object **out)
{
  const int64_t i = machine_grow (m, &m->object);
  int r;

  if (i < 0)
    return (int) i;
  if ((r = machine_push_number (m, (uint32_t) i)) < 0)
    return r;
  *out = machine_object (m, (uint32_t) i);
  (*out)->kind = kind;
  return 0;
}

int
machine_push_value (struct machine *m, enum kind kind, int64_t value)
{
  struct object *o = NULL;
  const int r = machine_push (m, kind, &o);

  if (r == 0)
    o->value = value;
  return r;
}

int
machine_peek (struct machine *m, size_t depth, enum kind kind, uint32_t *out)
{
  if (depth >= m->stack.n)
    return machine_damaged (m, "its stack is empty");
  *out = AT (m->stack, uint32_t, m->stack.n - 1 - depth);
  if (kind != MARK && machine_object (m, *out)->kind != kind)
    return machine_damaged (m, "an object of another type");
  return 0;
}

int
machine_pop (struct machine *m, enum kind kind, uint32_t *out)
{
  const int r = machine_peek (m, 0, kind, out);

  if (r == 0)
    m->stack.n--;
  return r;
}

int
machine_above_mark (struct machine *m, size_t *n)
{
  for (*n = 0; *n < m->stack.n; ++*n)
    if (machine_object (m, AT (m->stack, uint32_t, m->stack.n - 1 - *n))->kind
        == MARK)
      return 0;
  return machine_damaged (m, "no mark on its stack");
}

/* ---- tuples, lists, dictionaries -------------------------------------------*/

int
machine_make_tuple (struct machine *m, size_t n, bool marked)
{
  const size_t first = m->item.n;
  struct object *o;
  size_t i;
  int64_t at;
  int r;

  if (n + marked > m->stack.n)
    return machine_damaged (m, "its stack is empty");
  for (i = 0; i < n; i++) {
    if ((at = machine_grow (m, &m->item)) < 0)
      return (int) at;
    AT (m->item, uint32_t, at) = AT (m->stack, uint32_t, m->stack.n - n + i);
  }
  m->stack.n -= n + marked;
  if ((r = machine_push (m, TUPLE, &o)) < 0)
    return r;
  o->first = (uint32_t) first;
  o->length = (uint32_t) n;
  return 0;
}

int
machine_add_pair (struct machine *m, uint32_t to, uint32_t key, uint32_t value)
{
  struct object *o = machine_object (m, to);
  int64_t i;

  if (m->pair.n == 0 && (i = machine_grow (m, &m->pair)) < 0)
    return (int) i; /* number 0 means none */
  if ((i = machine_grow (m, &m->pair)) < 0)
    return (int) i;
  AT (m->pair, struct pair, i).key = key;
  AT (m->pair, struct pair, i).value = value;
  if (o->first == 0)
    o->first = (uint32_t) i;
  else
    AT (m->pair, struct pair, o->last).next = (uint32_t) i;
  o->last = (uint32_t) i;
  return 0;
}

uint32_t
machine_member (const struct machine *m, const struct object *tuple,
                uint32_t i)
{
  return AT (m->item, uint32_t, tuple->first + i);
}

const struct object *
machine_element (const struct machine *m, const struct object *tuple,
                 uint32_t i, enum kind kind)
{
  const struct object *o;

  if (tuple->kind != TUPLE || i >= tuple->length)
    return NULL;
  o = machine_object (m, machine_member (m, tuple, i));
  return o->kind == kind ? o : NULL;
}
