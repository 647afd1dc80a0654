/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* slots.c: which samples a batch has, and the memory that holds them. */
#include "config.h"

#include <stdlib.h>

#include "batches-priv.h"
#include "qatkit/tensor.h"

struct qk_slot *
qk_slot_of (struct qk_batches *b, int64_t batch)
{
  return &b->slots[batch % b->opt.depth];
}

int64_t
qk_places_used (const struct qk_batches *b)
{
  const int64_t full = b->count * b->opt.batch;

  return b->opt.last == QK_LAST_DROP && full < b->info.count ? full
                                                             : b->info.count;
}

int64_t
qk_batch_of (const struct qk_batches *b, int64_t place)
{
  const int64_t batch = place / b->opt.batch;

  return b->opt.last == QK_LAST_MERGE && batch >= b->count ? b->count - 1
                                                           : batch;
}

int64_t
qk_batch_size (const struct qk_batches *b, int64_t batch)
{
  const int64_t left = qk_places_used (b) - batch * b->opt.batch;

  if (b->opt.last == QK_LAST_MERGE && batch == b->count - 1)
    return left;
  return left < b->opt.batch ? left : b->opt.batch;
}

void
qk_part_of (const struct qk_batches *b, int64_t size, int64_t *first,
            int64_t *end)
{
  *first = size * b->opt.part / b->opt.parts;
  *end = size * (b->opt.part + 1) / b->opt.parts;
}

int64_t
qk_part_size (const struct qk_batches *b, int64_t batch)
{
  int64_t first, end;

  qk_part_of (b, qk_batch_size (b, batch), &first, &end);
  return end - first;
}

void
qk_slot_clear (struct qk_slot *s, int64_t n)
{
  int64_t i;

  for (i = 0; s->samples && i < n; i++) {
    free (s->samples[i].message);
    s->samples[i].message = NULL;
    s->samples[i].err = 0;
  }
}

void
qk_free_tensors (void **t, int n)
{
  int i;

  for (i = 0; t != NULL && i < n; i++)
    qk_free (t[i]);
  free (t);
}

void
qk_slot_free (const struct qk_dataset_info *info, struct qk_slot *s, int64_t n)
{
  qk_slot_clear (s, n);
  qk_free_tensors (s->input, info->n_inputs);
  qk_free_tensors (s->target, info->n_targets);
  free (s->indices);
  free (s->samples);
}

void **
qk_make_tensors (const struct qk_tensor_spec *spec, int n, int64_t room)
{
  void **t = calloc ((size_t) n + 1, sizeof *t);
  int i;

  for (i = 0; t != NULL && i < n; i++)
    if ((t[i] = qk_alloc ((size_t) room * qk_spec_bytes (&spec[i]))) == NULL) {
      qk_free_tensors (t, n);
      return NULL;
    }
  return t;
}

int
qk_slot_init (const struct qk_dataset_info *info, struct qk_slot *s, int64_t n)
{
  s->input = qk_make_tensors (info->input, info->n_inputs, n);
  s->target = qk_make_tensors (info->target, info->n_targets, n);
  s->indices = calloc ((size_t) n, sizeof *s->indices);
  s->samples = calloc ((size_t) n, sizeof *s->samples);
  if (!s->input || !s->target || !s->indices || !s->samples)
    return qk_oom ("batches of %lld samples", (long long) n);
  return 0;
}
