/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pickle.c: from the bytes of a pickle to a list of tensors. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "machine.h"

static int
copy_text (const struct machine *m, const struct object *o, char **out)
{
  if (memchr (o->text, 0, o->length) != NULL)
    return machine_damaged (m, "a zero byte in a name");
  *out = strndup (o->text, o->length);
  return *out == NULL ? qk_oom ("%s", m->path) : 0;
}

static int
copy_name (const struct machine *m, const struct object *key, char **out)
{
  uint32_t i;

  if (key->length == 0 || key->length > PICKLE_MAX_NAME)
    return machine_damaged (m, "the name of a tensor");
  for (i = 0; i < key->length; i++) {
    const unsigned char c = (unsigned char) key->text[i];

    if (c < 0x20 || c == 0x7f
        || (c == 0xc2 && i + 1 < key->length
            && (unsigned char) key->text[i + 1] >= 0x80
            && (unsigned char) key->text[i + 1] <= 0x9f))
      return machine_damaged (m,
                              "a control character in the name of a tensor");
  }
  return copy_text (m, key, out);
}

/* The tensors of dictionary D into OUT. */
static int
collect (struct machine *m, const struct object *d, struct pickle *out)
{
  uint32_t i;
  int r;

  /* at most one tensor a pair */
  out->tensor = calloc (m->pair.n + 1, sizeof *out->tensor);
  if (out->tensor == NULL)
    return qk_oom ("%s", m->path);
  for (i = d->first; i != 0; i = machine_pair (m, i)->next) {
    const struct object *k = machine_object (m, machine_pair (m, i)->key);
    const struct object *v = machine_object (m, machine_pair (m, i)->value);
    struct pickle_tensor *t = &out->tensor[out->n];

    if (v->kind != TENSOR || k->kind != TEXT)
      continue;
    *t = AT (m->tensor, struct pickle_tensor, v->value);
    out->n++;
    if ((r = copy_text (m, machine_object (m, v->first), &t->storage)) < 0
        || (r = copy_name (m, k, &t->name)) < 0)
      return r;
  }
  return 0;
}

static int
compare_keys (const void *a, const void *b)
{
  return strcmp (((const struct pickle_storage *) a)->key,
                 ((const struct pickle_storage *) b)->key);
}

/* Every storage once, by key. */
static int
collect_storages (struct machine *m, struct pickle *out)
{
  struct pickle_storage *s = calloc (m->storage.n + 1, sizeof *out->storage);
  int64_t kept = 0;
  int r;

  if ((out->storage = s) == NULL)
    return qk_oom ("%s", m->path);
  for (size_t i = 0; i < m->storage.n; i++) {
    const struct object *o = machine_object (m, AT (m->storage, uint32_t, i));

    s[i].type = o->type;
    s[i].numel = o->value;
    if ((r = copy_text (m, o, &s[i].key)) < 0)
      return r;
    out->n_storages++;
  }
  qsort (s, (size_t) out->n_storages, sizeof *s, compare_keys);
  for (int64_t i = 0; i < out->n_storages; i++)
    if (kept > 0 && strcmp (s[kept - 1].key, s[i].key) == 0) {
      const bool same
        = s[kept - 1].type == s[i].type && s[kept - 1].numel == s[i].numel;

      free (s[i].key);
      s[i].key = NULL;
      if (!same)
        return machine_damaged (m, "two storages of one name");
    } else {
      const struct pickle_storage moved = s[i];

      s[i].key = NULL;
      s[kept++] = moved;
    }
  out->n_storages = kept;
  return 0;
}

static int
start (struct machine *m, const void *bytes, size_t size, const char *path)
{
  machine_init (m, bytes, size, path);
  return machine_run (m);
}

int
pickle_read (const void *bytes, size_t size, const char *path,
             struct pickle *out)
{
  const struct object *d = NULL;
  struct machine m;
  int r;

  memset (out, 0, sizeof *out);
  if ((r = start (&m, bytes, size, path)) == 0
      && (r = machine_pick (&m, &d)) == 0 && (r = collect (&m, d, out)) == 0)
    r = collect_storages (&m, out);
  out->used = (size_t) (m.p - (const unsigned char *) bytes);
  machine_clear (&m);
  if (r < 0)
    pickle_clear (out);
  return r;
}

void
pickle_clear (struct pickle *p)
{
  int64_t i;

  for (i = 0; i < p->n; i++) {
    free (p->tensor[i].name);
    free (p->tensor[i].storage);
  }
  for (i = 0; i < p->n_storages; i++)
    free (p->storage[i].key);
  free (p->tensor);
  free (p->storage);
  memset (p, 0, sizeof *p);
}

struct pickle_storage *
pickle_find_storage (const struct pickle *p, const char *key, size_t length)
{
  int64_t low = 0, high = p->n_storages;

  if (memchr (key, 0, length) != NULL)
    return NULL;
  while (low < high) {
    const int64_t i = low + (high - low) / 2;
    int c = strncmp (p->storage[i].key, key, length);

    if (c == 0)
      c = p->storage[i].key[length] != 0;
    if (c == 0)
      return &p->storage[i];
    if (c < 0)
      low = i + 1;
    else
      high = i;
  }
  return NULL;
}

int
pickle_skip (const void *bytes, size_t size, const char *path, size_t *used)
{
  struct machine m;
  const int r = start (&m, bytes, size, path);

  *used = (size_t) (m.p - (const unsigned char *) bytes);
  machine_clear (&m);
  return r;
}

int
pickle_texts (const void *bytes, size_t size, const char *path,
              int (*fn) (void *cookie, const char *text, size_t length),
              void *cookie, size_t *used)
{
  struct machine m;
  uint32_t list = 0, i;
  int r = start (&m, bytes, size, path);

  if (r == 0)
    r = machine_peek (&m, 0, LIST, &list);
  for (i = r == 0 ? machine_object (&m, list)->first : 0; r == 0 && i != 0;
       i = machine_pair (&m, i)->next) {
    const struct object *o = machine_object (&m, machine_pair (&m, i)->value);

    r = o->kind != TEXT ? machine_damaged (&m, "a list of storages")
                        : fn (cookie, o->text, o->length);
  }
  *used = (size_t) (m.p - (const unsigned char *) bytes);
  machine_clear (&m);
  return r;
}
