/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* range.c: a range per channel, what observers of ranges have in common. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "range/range.h"

int
range_init (struct range *r, const struct qk_quant_info *info)
{
  r->channels = (size_t) info->channels;
  r->min = qk_alloc (r->channels * sizeof (float));
  r->max = qk_alloc (r->channels * sizeof (float));
  if (r->min == NULL || r->max == NULL) {
    range_clear (r);
    return qk_oom ("%zu ranges", r->channels);
  }
  for (size_t c = 0; c < r->channels; c++) {
    r->min[c] = INFINITY;
    r->max[c] = -INFINITY;
  }
  return 0;
}

void
range_clear (struct range *r)
{
  qk_free (r->min);
  qk_free (r->max);
  r->min = r->max = NULL;
}

bool
range_seen (const struct range *r)
{
  /* the channels are always seen together */
  return !(r->min[0] == INFINITY && r->max[0] == -INFINITY);
}

int
range_get (const struct range *r, float *min, float *max)
{
  if (!range_seen (r))
    return -ENODATA;
  memcpy (min, r->min, r->channels * sizeof (float));
  memcpy (max, r->max, r->channels * sizeof (float));
  return 0;
}

int
range_state (struct range *r, struct qk_state *st)
{
  const int e = qk_state_add (st, "min_val", QK_F32, r->min, r->channels);

  if (e < 0)
    return e;
  return qk_state_add (st, "max_val", QK_F32, r->max, r->channels);
}

void
range_widen (struct range *r, const float *min, const float *max)
{
  for (size_t c = 0; c < r->channels; c++) {
    r->min[c] = min[c] < r->min[c] ? min[c] : r->min[c];
    r->max[c] = max[c] > r->max[c] ? max[c] : r->max[c];
  }
}
