/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pick.c: which dictionary of what a script saved is the state dict: one under
 * a usual name; else the whole, if it has tensors; else the only one with
 * tensors that is not about training. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* Dictionaries within dictionaries that are looked into. */
#define MOST_DEEP 4

static const char *const usual[] = {
  "state_dict", "model_state_dict", "model_state", "model_dict",
  "model",      "net_state_dict",   "net_dict",    "network",
  "net",        "module",           "weights",     "params",
};

/* What keys of tensors that are no weights begin with. */
static const char *const training[]
  = { "optim", "sched", "lr_", "ema", "scaler", "amp", "rng", "loops" };

/* Of a search: the dictionaries with tensors, and a module, if any. */
struct found {
  const struct object *dict[2], *key[2];
  int n;
  const struct object *module;
};

static bool
has_tensors (const struct machine *m, const struct object *d)
{
  for (uint32_t i = d->first; i != 0; i = machine_pair (m, i)->next)
    if (machine_object (m, machine_pair (m, i)->value)->kind == TENSOR
        && machine_object (m, machine_pair (m, i)->key)->kind == TEXT)
      return true;
  return false;
}

/* The last value of KEY in D, which is the one that counts. */
static struct object *
value_of (const struct machine *m, const struct object *d, const char *key)
{
  struct object *last = NULL;

  for (uint32_t i = d->first; i != 0; i = machine_pair (m, i)->next) {
    const struct object *k = machine_object (m, machine_pair (m, i)->key);

    if (k->kind == TEXT && text_is (k->text, k->length, key))
      last = machine_object (m, machine_pair (m, i)->value);
  }
  return last;
}

static bool
is_of_training (const struct object *key)
{
  for (size_t i = 0; i < sizeof training / sizeof *training; i++)
    if (key->length >= strlen (training[i])
        && memcmp (key->text, training[i], strlen (training[i])) == 0)
      return true;
  return false;
}

static void look (const struct machine *m, struct object *d,
                  const struct object *key, int deep, struct found *f);

/* What lies under a usual name; whether there is something. */
static bool
look_by_name (const struct machine *m, const struct object *d, int deep,
              struct found *f)
{
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
    struct object *v = value_of (m, d, usual[i]);
    const int before = f->n;

    if (v == NULL || (v->kind != DICT && v->kind != MODULE))
      continue;
    look (m, v, NULL, deep + 1, f);
    if (f->n > before)
      return true;
  }
  return false;
}

static void
note (struct found *f, const struct object *d, const struct object *key)
{
  if (f->n < 2) {
    f->dict[f->n] = d;
    f->key[f->n] = key;
  }
  f->n++;
}

/* D, which lies under KEY (NULL: it does not matter), and what is in it.
 * Each is looked at once, whatever refers to it. */
static void
look (const struct machine *m, struct object *d, const struct object *key,
      int deep, struct found *f)
{
  if (d->seen || deep > MOST_DEEP)
    return;
  d->seen = true;
  if (d->kind == MODULE && f->module == NULL)
    f->module = d;
  if (d->kind != DICT || look_by_name (m, d, deep, f))
    return;
  if (has_tensors (m, d)) {
    note (f, d, key);
    return;
  }
  for (uint32_t i = d->first; i != 0; i = machine_pair (m, i)->next) {
    const struct object *k = machine_object (m, machine_pair (m, i)->key);

    if (k->kind == TEXT && !is_of_training (k))
      look (m, machine_object (m, machine_pair (m, i)->value),
            key != NULL ? key : k, deep + 1, f);
  }
}

/* What a script saved as a list or a tuple, such as (state dict, epoch). */
static void
look_in_row (const struct machine *m, const struct object *row,
             struct found *f)
{
  for (uint32_t i = row->kind == LIST ? row->first : 0; i != 0;
       i = machine_pair (m, i)->next)
    look (m, machine_object (m, machine_pair (m, i)->value), NULL, 1, f);
  for (uint32_t i = 0; row->kind == TUPLE && i < row->length; i++)
    look (m, machine_object (m, machine_member (m, row, i)), NULL, 1, f);
}

/* Where there is no other network: the average of its weights. */
static void
look_for_average (const struct machine *m, const struct object *top,
                  struct found *f)
{
  for (uint32_t i = top->kind == DICT ? top->first : 0; i != 0;
       i = machine_pair (m, i)->next) {
    const struct object *k = machine_object (m, machine_pair (m, i)->key);

    if (k->kind == TEXT && k->length >= 3 && memcmp (k->text, "ema", 3) == 0)
      look (m, machine_object (m, machine_pair (m, i)->value), k, 1, f);
  }
}

/* The text of an object that may be shown on a terminal, cut short. */
static const char *
shown (const struct object *o, char *buf, size_t size)
{
  size_t i;

  for (i = 0; o != NULL && o->text != NULL && i < o->length && i + 1 < size;
       i++)
    buf[i] = o->text[i] < 0x20 || o->text[i] == 0x7f ? '?' : o->text[i];
  buf[i] = 0;
  return buf;
}

int
machine_pick (struct machine *m, const struct object **out)
{
  struct found f = { .n = 0 };
  uint32_t top = 0;
  char a[80], b[80];
  const int r = machine_peek (m, 0, MARK, &top);

  if (r < 0)
    return r;
  look (m, machine_object (m, top), NULL, 0, &f);
  if (f.n == 0 && f.module == NULL)
    look_for_average (m, machine_object (m, top), &f);
  if (f.n == 0 && f.module == NULL)
    look_in_row (m, machine_object (m, top), &f);
  if (f.n == 1) {
    *out = f.dict[0];
    return 0;
  }
  if (f.n > 1)
    return qk_error (-EBADMSG,
                     "%s: holds %d dictionaries of tensors ('%s', '%s'%s): "
                     "save the one of the network alone",
                     m->path, f.n, shown (f.key[0], a, sizeof a),
                     shown (f.key[1], b, sizeof b), f.n > 2 ? ", …" : "");
  if (f.module != NULL)
    return qk_error (-EBADMSG,
                     "%s: holds a whole module (%s), which needs Python and "
                     "its source: save its state_dict() instead, with "
                     "torch.save (module.state_dict (), FILE)",
                     m->path, shown (f.module, a, sizeof a));
  return qk_error (-EBADMSG, "%s: holds no dictionary of tensors", m->path);
}
