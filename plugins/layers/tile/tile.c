/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tile: samples side by side with themselves, repeats[i] times along axis
 * i. */
#include "config.h"

#include <stdlib.h>

#include "intlist/intlist.h"
#include "move/gatherlayer.h"

/* Keeps sizes within 64 bits. */
#define MAX_REPEATS ((int64_t) 1 << 30)

struct tile {
  struct gatherlayer base;
  int n; /* axes but the batch */
  int64_t repeats[QK_MAX_DIMS];
};

static int
tile_check (const struct gatherlayer *base, const struct qk_shape *in)
{
  const struct tile *l = (const struct tile *) base;
  char a[96];

  if (in->ndim - 1 == l->n)
    return 0;
  return qk_error (-EINVAL,
                   "tile: %d repeats for the input %s, expected one for each "
                   "axis but the batch",
                   l->n, qk_shape_print (in, a, sizeof a));
}

static int64_t
tile_size (const struct gatherlayer *base, int d, int64_t size)
{
  return size * ((const struct tile *) base)->repeats[d - 1];
}

static void
tile_places (const struct gatherlayer *base, int d, int64_t size, int64_t out,
             int32_t *place)
{
  (void) base;
  (void) d;
  for (int64_t i = 0; i < out; i++)
    place[i] = (int32_t) (i % size);
}

static const struct gatherlayer_kind tile_kind
  = { "tile", tile_check, tile_size, tile_places };

static int
create (const struct qk_config *cfg, void **self)
{
  struct tile *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("tile");
  l->base.kind = &tile_kind;
  r = l->n
    = intlist_read ("tile", cfg, "repeats", l->repeats, QK_MAX_DIMS - 1);
  for (int i = 0; r >= 0 && i < l->n; i++)
    if (l->repeats[i] < 1 || l->repeats[i] > MAX_REPEATS)
      r = qk_error (-EINVAL,
                    "tile: entry %d of repeats is %lld, expected 1 to %lld", i,
                    (long long) l->repeats[i], (long long) MAX_REPEATS);
  if (r < 0) {
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static void
destroy (void *self)
{
  gatherlayer_destroy (self);
}

static const struct qk_option options[]
  = { { .name = "repeats",
        .type = QK_OPT_STRING,
        .help = "How often the sample stands along each axis but the batch, "
                "\"1,2,2\"." },
      { .name = NULL } };

static const struct qk_layer_class tile = GATHERLAYER_CLASS (
  "tile", "Samples side by side with themselves", options);

QK_PLUGIN ("tile", PACKAGE_VERSION, "LGPL-2.1-or-later", &tile.cls);
