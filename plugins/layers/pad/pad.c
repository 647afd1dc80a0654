/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pad: elements added before and after each axis: a constant, the sample
 * mirrored at its first and last elements, these repeated, or the sample from
 * its other end on.  Negative numbers of elements are taken away instead. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "intlist/intlist.h"
#include "move/gatherlayer.h"

/* Elements added to an axis: keeps sums within 64 bits. */
#define MAX_PAD ((int64_t) 1 << 30)

enum mode { CONSTANT, REFLECT, EDGE, WRAP };

struct pad {
  struct gatherlayer base;
  enum mode mode;
  int n; /* axes but the batch */
  int64_t before[QK_MAX_DIMS], after[QK_MAX_DIMS];
};

static int
pad_check (const struct gatherlayer *base, const struct qk_shape *in)
{
  const struct pad *l = (const struct pad *) base;
  char a[96];

  if (in->ndim - 1 == l->n)
    return 0;
  return qk_error (-EINVAL,
                   "pad: %d numbers in before for the input %s, expected one "
                   "for each axis but the batch",
                   l->n, qk_shape_print (in, a, sizeof a));
}

static int64_t
pad_size (const struct gatherlayer *base, int d, int64_t size)
{
  const struct pad *l = (const struct pad *) base;

  return size + l->before[d - 1] + l->after[d - 1];
}

/* I within 0..N-1, going round. */
static int64_t
modulo (int64_t i, int64_t n)
{
  return (i % n + n) % n;
}

/* The element that stands at I, which may lie outside of SIZE; -1: none. */
static int64_t
element (enum mode mode, int64_t i, int64_t size)
{
  if (i >= 0 && i < size)
    return i;
  switch (mode) {
  case REFLECT: /* 0 1 2 1 0 1 2 …: a period of twice the steps */
    i = size > 1 ? modulo (i, 2 * (size - 1)) : 0;
    return i < size ? i : 2 * (size - 1) - i;
  case EDGE:
    return i < 0 ? 0 : size - 1;
  case WRAP:
    return modulo (i, size);
  default:
    return -1;
  }
}

static void
pad_places (const struct gatherlayer *base, int d, int64_t size, int64_t out,
            int32_t *place)
{
  const struct pad *l = (const struct pad *) base;

  for (int64_t i = 0; i < out; i++)
    place[i] = (int32_t) element (l->mode, i - l->before[d - 1], size);
}

static const struct gatherlayer_kind pad_kind
  = { "pad", pad_check, pad_size, pad_places };

static const char *const modes[] = { [CONSTANT] = "constant",
                                     [REFLECT] = "reflect",
                                     [EDGE] = "edge",
                                     [WRAP] = "wrap",
                                     NULL };

static int
read_options (struct pad *l, const struct qk_config *cfg)
{
  const char *mode = qk_config_string (cfg, "mode");
  int after;

  while (strcmp (modes[l->mode], mode) != 0)
    l->mode++;
  l->base.fill = (float) qk_config_float (cfg, "value");
  l->n = intlist_read ("pad", cfg, "before", l->before, QK_MAX_DIMS - 1);
  if (l->n < 0)
    return l->n;
  after = intlist_read ("pad", cfg, "after", l->after, QK_MAX_DIMS - 1);
  if (after < 0)
    return after;
  if (after != l->n)
    return qk_error (-EINVAL,
                     "pad: %d numbers in before and %d in after, expected as "
                     "many",
                     l->n, after);
  for (int i = 0; i < l->n; i++)
    if (l->before[i] < -MAX_PAD || l->before[i] > MAX_PAD
        || l->after[i] < -MAX_PAD || l->after[i] > MAX_PAD)
      return qk_error (-EINVAL,
                       "pad: %lld and %lld elements around axis %d, expected "
                       "%lld at most",
                       (long long) l->before[i], (long long) l->after[i],
                       i + 1, (long long) MAX_PAD);
  return 0;
}

static int
create (const struct qk_config *cfg, void **self)
{
  struct pad *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("pad");
  l->base.kind = &pad_kind;
  if ((r = read_options (l, cfg)) < 0) {
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
  = { { .name = "before",
        .type = QK_OPT_STRING,
        .help = "Elements added before each axis but the batch, \"1,1,0\"; "
                "negative: taken away." },
      { .name = "after",
        .type = QK_OPT_STRING,
        .help = "Elements added after each axis but the batch." },
      { .name = "mode",
        .type = QK_OPT_CHOICE,
        .def = "constant",
        .choices = modes,
        .help = "What they are: value, the sample mirrored at its ends, its "
                "first and last elements, or the sample from its other end "
                "on." },
      { .name = "value",
        .type = QK_OPT_FLOAT,
        .def = "0",
        .help = "Number of mode constant; on quantized tensors the nearest "
                "one of the grid." },
      { .name = NULL } };

static const struct qk_layer_class pad
  = GATHERLAYER_CLASS ("pad", "Elements added around samples", options);

QK_PLUGIN ("pad", PACKAGE_VERSION, "LGPL-2.1-or-later", &pad.cls);
