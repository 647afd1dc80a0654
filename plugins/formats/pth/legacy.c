/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* legacy.c: what torch.save wrote before PyTorch 1.6, one after the other:
 *
 *   pickles of a magic number, the version 1001, facts of the machine, the
 *   object, the list of the storages' keys;
 *   of each storage in that order its number of elements, 8 bytes, and they.
 *
 * Both are little endian, whatever the facts of the machine say: PyTorch
 * turns them on machines of the other order. */
#include "config.h"

#include <string.h>

#include "legacy.h"

/* The magic number in the middle of its pickle. */
static const unsigned char magic[]
  = { 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };
#define MAGIC_WITHIN 32 /* bytes: protocols 4 and 5 have frames before it */

bool
legacy_begins (const void *head, size_t n)
{
  const unsigned char *p = head;

  return n > sizeof magic && p[0] == 0x80
         && memmem (p, n < MAGIC_WITHIN ? n : MAGIC_WITHIN, magic,
                    sizeof magic)
              != NULL;
}

/* Places of storages, as they are listed. */
struct places {
  struct pickle *pickle;
  const char *path;
  uint64_t next;
};

static int
place (void *cookie, const char *key, size_t length)
{
  struct places *p = cookie;
  struct pickle_storage *s = pickle_find_storage (p->pickle, key, length);
  uint64_t bytes;

  if (s == NULL || s->at != 0)
    return qk_error (-EBADMSG,
                     "%s: not a PyTorch file of weights, or damaged: a "
                     "storage that no object has",
                     p->path);
  if (__builtin_mul_overflow ((uint64_t) s->numel, s->type->size, &bytes)
      || __builtin_add_overflow (p->next, 8, &p->next)
      || __builtin_add_overflow (p->next, bytes, &bytes))
    return qk_error (-EBADMSG, "%s: damaged: the size of a storage", p->path);
  s->at = p->next;
  p->next = bytes;
  return 0;
}

int
legacy_layout (const void *head, size_t n, uint64_t size, const char *path,
               struct pickle *out)
{
  const unsigned char *p = head;
  struct places places = { out, path, 0 };
  size_t at = 0, used = 0;
  int r;

  memset (out, 0, sizeof *out);
  for (int i = 0; i < 3; i++) {
    if ((r = pickle_skip (p + at, n - at, path, &used)) < 0)
      return r;
    at += used;
  }
  if ((r = pickle_read (p + at, n - at, path, out)) < 0)
    return r;
  at += out->used;
  /* where storages begin is known after the keys; till then from 0 */
  if ((r = pickle_texts (p + at, n - at, path, place, &places, &used)) == 0) {
    at += used;
    for (int64_t i = 0; i < out->n_storages; i++)
      out->storage[i].at += out->storage[i].at != 0 ? at : 0;
    if (__builtin_add_overflow (places.next, at, &places.next)
        || places.next > size)
      r = qk_error (
        -EBADMSG, "%s: cut short: %llu bytes, its storages end at %llu", path,
        (unsigned long long) size, (unsigned long long) places.next);
  }
  if (r < 0)
    pickle_clear (out);
  return r;
}
