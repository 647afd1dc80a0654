/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* deliver.c: batches for the caller: without the samples that could not be read,
 * and mixed with one another where that is asked for. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "batches-priv.h"
#include "qatkit/tensor.h"

/* The numbers that batch BATCH is mixed by: beside those of samples. */
static void
seed_mix (struct qk_rng *rng, const struct qk_batches *b, int64_t batch)
{
  qk_rng_seed (rng, b->opt.seed,
               UINT64_C (1) << 63 | ((uint64_t) b->epoch << 40)
                 | (uint64_t) batch);
}

/* Give the slot of the batch delivered last to the workers. */
static void
release_last (struct qk_batches *b)
{
  const int64_t coming = b->released + b->opt.depth;
  struct qk_slot *s = qk_slot_of (b, b->released);

  if (b->released == b->next)
    return;
  qk_slot_clear (s, b->room);
  if (coming < b->count)
    s->missing = qk_part_size (b, coming);
  b->released++;
  pthread_cond_broadcast (&b->work);
}

/* A sample could not be decoded. */
static int
note_bad (struct qk_batches *b, int64_t index, const char *message)
{
  uint8_t *bits = &b->bad->bits[index / 8];
  const uint8_t bit = (uint8_t) (1u << (index % 8));
  double share;

  if (*bits & bit)
    return 0;
  *bits |= bit;
  b->bad->n++;
  qk_log (b->opt.ctx, QK_LOG_WARNING, "sample left out: %s", message);
  share = (double) b->bad->n / (double) b->info.count;
  if (share > b->opt.max_bad)
    return qk_error (-EBADMSG,
                     "%lld of %lld samples (%.3g %%) cannot be decoded, "
                     "more than the %.3g %% allowed; the last: %s",
                     (long long) b->bad->n, (long long) b->info.count,
                     100.0 * share, 100.0 * b->opt.max_bad, message);
  return 0;
}

/* Sample FROM of a slot takes the place of sample TO. */
static void
move_sample (const struct qk_batches *b, struct qk_slot *s, int64_t from,
             int64_t to)
{
  const struct qk_tensor_spec *spec[2] = { b->info.input, b->info.target };
  const int n[2] = { b->info.n_inputs, b->info.n_targets };
  void **tensor[2] = { s->input, s->target };
  int k, i;

  for (k = 0; k < 2; k++)
    for (i = 0; i < n[k]; i++) {
      const size_t size = qk_spec_bytes (&spec[k][i]);
      char *t = tensor[k][i];

      memcpy (t + (size_t) to * size, t + (size_t) from * size, size);
    }
  s->indices[to] = s->indices[from];
}

/* Move the good samples of a complete slot to its front; *N says how many
 * there are. */
static int
compact (struct qk_batches *b, struct qk_slot *s, int64_t size, int64_t *n)
{
  int64_t i, good = 0;

  for (i = 0; i < size; i++) {
    const struct qk_read_sample *sample = &s->samples[i];

    if (sample->err) {
      const char *message
        = sample->message ? sample->message : "no memory for the reason";
      const int err = sample->err == -EBADMSG
                        ? note_bad (b, s->indices[i], message)
                        : qk_error (sample->err, "%s", message);

      if (err)
        return err;
      continue;
    }
    if (good < i)
      move_sample (b, s, i, good);
    good++;
  }
  *n = good;
  return 0;
}

/* Wait for the next batch; its slot stays the caller's until release_last.
 * NULL at the end of the epoch. */
static struct qk_slot *
await_batch (struct qk_batches *b)
{
  struct qk_slot *s = NULL;

  pthread_mutex_lock (&b->mutex);
  if (b->active) {
    release_last (b);
    if (b->next < b->count) {
      s = qk_slot_of (b, b->next);
      while (s->missing > 0)
        pthread_cond_wait (&b->ready, &b->mutex);
      b->next++;
    }
  }
  pthread_mutex_unlock (&b->mutex);
  return s;
}

/* Sample I of tensor T of a batch. */
static char *
sample_of (void *const *tensor, const struct qk_tensor_spec *spec, int t,
           int64_t i)
{
  return (char *) tensor[t] + (size_t) i * qk_spec_bytes (&spec[t]);
}

/* Mix the N samples of S, each with the one before it; LAST is the one before
 * the first, which is the first's partner.  From the end, so that each
 * partner is as it was read. */
static void
mix_samples (struct qk_batches *b, struct qk_slot *s, const struct qk_mix *m,
             int64_t n, int64_t last)
{
  const struct qk_dataset_info *d = &b->info;

  for (int t = 0; t < d->n_inputs; t++) {
    memcpy (b->before[t], sample_of (s->input, d->input, t, last),
            qk_spec_bytes (&d->input[t]));
    for (int64_t i = n - 1; i >= 0; i--) {
      const void *other
        = i > 0 ? sample_of (s->input, d->input, t, i - 1) : b->before[t];

      qk_mix_sample (m, &d->input[t],
                     (void *) sample_of (s->input, d->input, t, i), other);
    }
  }
  for (int t = 0; t < d->n_targets; t++)
    for (int64_t i = 0; i < n; i++)
      memcpy (sample_of (b->other, d->target, t, i),
              sample_of (s->target, d->target, t, i > 0 ? i - 1 : last),
              qk_spec_bytes (&d->target[t]));
}

/* Mix the batch OUT, whose samples are those of S; SIZE of them were read.  Of
 * a part of the batch the sample before the first lies behind them, unless it
 * could not be read. */
static void
mix_batch (struct qk_batches *b, struct qk_slot *s, int64_t size,
           struct qk_batch *out)
{
  struct qk_mix m;
  struct qk_rng rng;
  bool elsewhere;

  out->own = 1;
  out->other = NULL;
  if (!b->before || out->n == 0)
    return;
  seed_mix (&rng, b, out->index);
  qk_mix_draw (&b->opt.mix, &rng, &m);
  if (!m.mixed)
    return;
  elsewhere = b->opt.parts > 1 && s->samples[size].err == 0;
  mix_samples (b, s, &m, out->n, elsewhere ? size : out->n - 1);
  out->own = qk_mix_own (&m, &b->info.input[0]);
  out->other = (const void *const *) b->other;
}

int
qk_batches_next (struct qk_batches *b, struct qk_batch *out)
{
  struct qk_slot *s;

  while ((s = await_batch (b))) {
    const int64_t batch = b->next - 1;
    const int64_t size = qk_part_size (b, batch);
    const int err = compact (b, s, size, &out->n);
    int64_t end;

    if (err) {
      qk_workers_stop (b);
      return err;
    }
    if (out->n == 0 && !b->opt.together)
      continue; /* nothing but bad samples */
    out->index = batch;
    qk_part_of (b, qk_batch_size (b, batch), &out->first, &end);
    out->input = (const void *const *) s->input;
    out->target = (const void *const *) s->target;
    out->indices = s->indices;
    mix_batch (b, s, size, out);
    return 1;
  }
  return 0;
}
