/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* build.c: dictionaries, storages and tensors from what Python would be called
 * with.  Nothing is called. */
#include "config.h"

#include <string.h>

#include "machine.h"

/* A FOREIGN object of the class, or by the function, number WHAT. */
static int
push_foreign (struct machine *m, uint32_t what)
{
  const struct object *from = machine_object (m, what);
  const char *text = from->kind == FOREIGN ? from->text : NULL;
  const uint32_t length = from->kind == FOREIGN ? from->length : 0;
  struct object *o = NULL;
  const int r = machine_push (m, FOREIGN, &o);

  if (r == 0) {
    o->text = text;
    o->length = length;
  }
  return r;
}

/* ---- storages ----------------------------------------------------------------*/

/* (key, offset, elements): a part of a storage. */
static int
take_view (struct machine *m, const struct object *id, struct object *s)
{
  const struct object *view = machine_element (m, id, 5, TUPLE);
  const struct object *offset, *n;

  if (view == NULL)
    return 0;
  offset = machine_element (m, view, 1, INT);
  n = machine_element (m, view, 2, INT);
  if (offset == NULL || n == NULL || offset->value < 0 || n->value < 0
      || offset->value > s->value || n->value > s->value - offset->value)
    return machine_damaged (m, "a part of a storage");
  s->offset = offset->value;
  return 0;
}

/* ("storage", class, key, place, elements[, view]); others, as the source of
 * a module, are foreign. */
int
machine_persistent (struct machine *m)
{
  const struct object *t, *word, *cls, *key, *n;
  struct object s = { .kind = STORAGE }, *o = NULL;
  uint32_t at = 0;
  int64_t i;
  int r;

  if ((r = machine_pop (m, MARK, &at)) < 0)
    return r;
  t = machine_object (m, at);
  word = machine_element (m, t, 0, TEXT);
  if (word == NULL || !text_is (word->text, word->length, "storage"))
    return machine_push (m, FOREIGN, &o);
  cls = machine_element (m, t, 1, TYPE);
  key = machine_element (m, t, 2, TEXT);
  n = machine_element (m, t, 4, INT);
  if (cls == NULL || key == NULL || n == NULL || n->value < 0
      || key->length == 0 || key->length > PICKLE_MAX_NAME)
    return machine_damaged (m, "a storage");
  s.type = cls->type;
  s.text = key->text;
  s.length = key->length;
  s.value = n->value;
  if ((r = take_view (m, t, &s)) < 0)
    return r;
  if ((i = machine_grow (m, &m->storage)) < 0)
    return (int) i;
  AT (m->storage, uint32_t, i) = (uint32_t) m->object.n;
  if ((r = machine_push (m, STORAGE, &o)) == 0)
    *o = s;
  return r;
}

/* ---- tensors -----------------------------------------------------------------*/

/* Sizes and strides; the last element must lie in the storage. */
static int
fill_sizes (struct machine *m, const struct object *size,
            const struct object *stride, struct pickle_tensor *t)
{
  int64_t last = t->offset, step;

  t->ndim = (int) size->length;
  t->count = 1;
  for (uint32_t i = 0; i < size->length; i++) {
    const struct object *d = machine_element (m, size, i, INT);
    const struct object *st = machine_element (m, stride, i, INT);

    if (d == NULL || st == NULL || d->value < 0 || st->value < 0
        || __builtin_mul_overflow (t->count, d->value, &t->count))
      return machine_damaged (m, "the size of a tensor");
    t->dims[i] = d->value;
    t->stride[i] = st->value;
    if (d->value > 0
        && (__builtin_mul_overflow (d->value - 1, st->value, &step)
            || __builtin_add_overflow (last, step, &last)))
      return machine_damaged (m, "the strides of a tensor");
  }
  if (t->count > 0 && (last >= t->numel || t->count > t->numel))
    return machine_damaged (m, "a tensor reaches beyond its storage");
  return 0;
}

/* (storage, offset, size, stride, …); TYPED: with the type as seventh.  Its
 * storage stays a number until pickle_read copies the key. */
static int
fill_tensor (struct machine *m, const struct object *args, bool typed,
             struct pickle_tensor *t, const struct object **storage)
{
  const struct object *s = machine_element (m, args, 0, STORAGE);
  const struct object *offset = machine_element (m, args, 1, INT);
  const struct object *size = machine_element (m, args, 2, TUPLE);
  const struct object *stride = machine_element (m, args, 3, TUPLE);
  const struct object *type = typed ? machine_element (m, args, 6, TYPE) : s;

  if (s == NULL || offset == NULL || size == NULL || stride == NULL
      || type == NULL || size->length != stride->length
      || size->length > PICKLE_MAX_DIMS || offset->value < 0
      || __builtin_add_overflow (offset->value, s->offset, &t->offset))
    return machine_damaged (m, "a tensor");
  t->type = type->type;
  t->numel = s->value;
  if (s->type->conversion == PICKLE_BYTES)
    t->numel /= (int64_t) t->type->size;
  *storage = s;
  return fill_sizes (m, size, stride, t);
}

static int
rebuild_tensor (struct machine *m, uint32_t args, bool typed)
{
  const struct object *a = machine_object (m, args), *storage = NULL;
  int64_t at;
  int r;

  /* of an array of NumPy's, or whatever a future PyTorch may have */
  if (machine_element (m, a, 0, STORAGE) == NULL)
    return push_foreign (m, args);
  if ((at = machine_grow (m, &m->tensor)) < 0)
    return (int) at;
  r = fill_tensor (m, a, typed, &AT (m->tensor, struct pickle_tensor, at),
                   &storage);
  if (r == 0 && (r = machine_push_value (m, TENSOR, at)) == 0)
    /* the object that holds the key */
    machine_object (m, (uint32_t) m->object.n - 1)->first
      = AT (m->item, uint32_t, machine_object (m, args)->first);
  return r;
}

/* ---- calls -------------------------------------------------------------------*/

/* The pairs in a list (Python 2 wrote ordered dictionaries so) into the
 * dictionary on top. */
static int
add_items (struct machine *m, const struct object *list)
{
  uint32_t dict = 0, next;
  int r = machine_peek (m, 0, DICT, &dict);

  for (uint32_t i = list->first; r == 0 && i != 0; i = next) {
    const struct object *p = machine_object (m, machine_pair (m, i)->value);

    next = machine_pair (m, i)->next;
    if (p->kind == TUPLE && p->length == 2)
      r = machine_add_pair (m, dict, AT (m->item, uint32_t, p->first),
                            AT (m->item, uint32_t, p->first + 1));
    else if (p->kind == LIST && p->first != 0
             && machine_pair (m, p->first)->next != 0)
      r = machine_add_pair (
        m, dict, machine_pair (m, p->first)->value,
        machine_pair (m, machine_pair (m, p->first)->next)->value);
    else
      r = machine_damaged (m, "the items of a dictionary");
  }
  return r;
}

static int
make_dict (struct machine *m, uint32_t args, uint32_t at)
{
  const int r = machine_push_value (m, DICT, 0);
  const struct object *list
    = machine_element (m, machine_object (m, args), at, LIST);

  return r < 0 || list == NULL ? r : add_items (m, list);
}

static int call (struct machine *m, int what, uint32_t args, bool again);

/* (function, class, arguments, attributes) */
static int
rebuild_subclass (struct machine *m, uint32_t args, bool again)
{
  const struct object *a = machine_object (m, args);
  const struct object *fn = machine_element (m, a, 0, CALLABLE);

  if (!again || fn == NULL || machine_element (m, a, 2, TUPLE) == NULL)
    return push_foreign (m, args);
  return call (m, (int) fn->value, AT (m->item, uint32_t, a->first + 2),
               false);
}

/* The result of a known function; AGAIN: it may name another one. */
static int
call (struct machine *m, int what, uint32_t args, bool again)
{
  const struct object *a = machine_object (m, args);
  const struct object *inner = machine_element (m, a, 0, TENSOR);

  switch (what) {
  case MAKE_DICT:
    return make_dict (m, args, 0);
  case MAKE_DEFAULT_DICT:
    return make_dict (m, args, 1);
  case MAKE_SIZE:
    if (machine_element (m, a, 0, TUPLE) == NULL)
      return push_foreign (m, args);
    return machine_push_number (m, AT (m->item, uint32_t, a->first));
  case REBUILD_TENSOR:
    return rebuild_tensor (m, args, false);
  case REBUILD_TYPED:
    return rebuild_tensor (m, args, true);
  case REBUILD_PARAMETER:
    return inner == NULL
             ? push_foreign (m, args)
             : machine_push_number (m, AT (m->item, uint32_t, a->first));
  default:
    return rebuild_subclass (m, args, again);
  }
}

int
machine_reduce (struct machine *m)
{
  uint32_t args = 0, callable = 0;
  int r;

  if ((r = machine_pop (m, MARK, &args)) < 0
      || (r = machine_pop (m, MARK, &callable)) < 0)
    return r;
  if (machine_object (m, callable)->kind != CALLABLE
      || machine_object (m, args)->kind != TUPLE)
    return push_foreign (m, callable);
  return call (m, (int) machine_object (m, callable)->value, args, true);
}

/* ---- attributes --------------------------------------------------------------*/

/* Attributes make a module of a foreign object; others do not matter. */
int
machine_build (struct machine *m)
{
  uint32_t state = 0, object = 0, i;
  int r;

  if ((r = machine_pop (m, MARK, &state)) < 0
      || (r = machine_peek (m, 0, MARK, &object)) < 0)
    return r;
  if (machine_object (m, object)->kind != FOREIGN
      || machine_object (m, state)->kind != DICT)
    return 0;
  for (i = machine_object (m, state)->first; i != 0;
       i = machine_pair (m, i)->next) {
    const struct object *k = machine_object (m, machine_pair (m, i)->key);

    if (k->kind == TEXT && text_is (k->text, k->length, "_modules"))
      machine_object (m, object)->kind = MODULE;
  }
  return 0;
}
