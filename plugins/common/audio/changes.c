/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* changes.c: noise added to sounds, and parts of features masked. */
#include "config.h"

#include <math.h>

#include "audio/changes.h"

int
audio_changes_configure (struct audio_changes *c, const char *name,
                         const struct qk_config *cfg)
{
  float snr[3] = { 0, 0, 0 };
  const int n = qk_config_floats (cfg, "noise_snr", snr, 3);

  if (n != 2 || snr[0] > snr[1])
    return qk_error (-EINVAL,
                     "%s: noise_snr (%s) must be 2 numbers, the smaller one "
                     "first, got %d",
                     name, qk_config_where (cfg, "noise_snr"), n);
  c->noise = qk_config_float (cfg, "noise");
  c->snr[0] = (double) snr[0];
  c->snr[1] = (double) snr[1];
  c->time.most = qk_config_int (cfg, "time_mask");
  c->time.count = qk_config_int (cfg, "time_masks");
  c->time.share = qk_config_float (cfg, "time_mask_share");
  c->frequency.most = qk_config_int (cfg, "frequency_mask");
  c->frequency.count = qk_config_int (cfg, "frequency_masks");
  c->frequency.share = 1;
  return 0;
}

/* ---- noise ------------------------------------------------------------- */

double
audio_noise_factor (double sound, double noise, double snr)
{
  const double is = 10 * (log10 (sound) - log10 (noise));

  return pow (10, (is - snr) / 20);
}

/* The noise is drawn twice from the same numbers, so that none is kept. */
void
audio_add_noise (const struct audio_changes *c, float *x, int64_t n,
                 struct qk_rng *rng)
{
  struct qk_rng again;
  double sound = 0, noise = 0, snr, factor;

  if (!(c->noise > 0) || !(qk_rng_double (rng) < c->noise))
    return;
  snr = c->snr[0] + (c->snr[1] - c->snr[0]) * qk_rng_double (rng);
  again = *rng;
  for (int64_t i = 0; i < n; i++) {
    const double e = qk_rng_normal (rng);

    sound += (double) x[i] * (double) x[i];
    noise += e * e;
  }
  if (!(sound > 0) || !(noise > 0))
    return;
  factor = audio_noise_factor (sound, noise, snr);
  for (int64_t i = 0; i < n; i++)
    x[i] += (float) (factor * qk_rng_normal (&again));
}

/* ---- masks ------------------------------------------------------------- */

void
audio_mask_range (int64_t most, int64_t size, double u, double v,
                  int64_t *first, int64_t *end)
{
  const double length = u * (double) most;

  *first = (int64_t) (v * ((double) size - length));
  *end = *first + (int64_t) length;
  *end = *end < size ? *end : size;
  *first = *first < 0 ? 0 : *first;
}

/* One mask of an axis of SIZE, STEP elements from one to the next, each RUN
 * elements, BLOCKS times. */
struct axis {
  int64_t size, step, run, blocks, block;
};

static void
mask_axis (const struct audio_masks *m, const struct axis *a, float *x,
           struct qk_rng *rng)
{
  int64_t most = m->most;

  if (m->share < 1 && most > (int64_t) ((double) a->size * m->share))
    most = (int64_t) ((double) a->size * m->share);
  for (int64_t i = 0; most > 0 && i < m->count; i++) {
    const double u = qk_rng_double (rng), v = qk_rng_double (rng);
    int64_t first, end;

    audio_mask_range (most, a->size, u, v, &first, &end);
    for (int64_t b = 0; b < a->blocks; b++)
      for (int64_t k = first; k < end; k++)
        for (int64_t j = 0; j < a->run; j++)
          x[b * a->block + k * a->step + j] = 0;
  }
}

void
audio_mask (const struct audio_changes *c, float *features, int64_t frames,
            int64_t numbers, struct qk_rng *rng)
{
  const struct axis time = { frames, numbers, numbers, 1, 0 };
  const struct axis frequency = { numbers, 1, 1, frames, numbers };

  mask_axis (&c->time, &time, features, rng);
  mask_axis (&c->frequency, &frequency, features, rng);
}
