/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* broadcast.c: two tensors of different shapes, element by element. */
#include "config.h"

#include "broadcast.h"

#include <string.h>

/* Axis I, from the last one on, of a sample of S. */
static int64_t
axis_of (const struct qk_shape *s, int i)
{
  return i < s->ndim - 1 ? s->dims[s->ndim - 1 - i] : 1;
}

/* Put an axis of SIZE before those of P; EACH says which inputs go along. */
static void
put_axis (struct broadcast *p, int64_t size, const bool each[2])
{
  const bool join = p->axes > 0 && (p->step[0][0] != 0) == each[0]
                    && (p->step[1][0] != 0) == each[1];

  if (join)
    p->size[0] *= size;
  else {
    memmove (p->size + 1, p->size, (size_t) p->axes * sizeof *p->size);
    p->size[0] = size;
    for (int j = 0; j < 2; j++) {
      memmove (p->step[j] + 1, p->step[j],
               (size_t) p->axes * sizeof **p->step);
      p->step[j][0] = each[j] ? p->of[j] : 0;
    }
    p->axes++;
  }
  for (int j = 0; j < 2; j++)
    p->of[j] *= each[j] ? size : 1;
  p->count *= size;
}

void
broadcast_plan (const struct qk_shape *a, const struct qk_shape *b,
                struct broadcast *out)
{
  const int axes = (a->ndim > b->ndim ? a->ndim : b->ndim) - 1;

  memset (out, 0, sizeof *out);
  out->of[0] = out->of[1] = out->count = 1;
  for (int i = 0; i < axes; i++) {
    const int64_t x = axis_of (a, i), y = axis_of (b, i);
    const bool each[2] = { x != 1, y != 1 };

    if (x != 1 || y != 1)
      put_axis (out, x != 1 ? x : y, each);
  }
  if (out->axes == 0) {
    const bool both[2] = { true, true };

    put_axis (out, 1, both);
  }
}

void
broadcast_at (const struct broadcast *p, int64_t at, int64_t from[2],
              int64_t *run)
{
  const int last = p->axes - 1;

  *run = p->size[last] - at % p->size[last];
  from[0] = from[1] = 0;
  for (int i = last; i >= 0; i--) {
    const int64_t index = at % p->size[i];

    from[0] += index * p->step[0][i];
    from[1] += index * p->step[1][i];
    at /= p->size[i];
  }
}
