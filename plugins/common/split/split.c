/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* split.c: which samples are held out for evaluation. */
#include "config.h"

#include <string.h>

#include <qatkit/rng.h>

#include "split.h"

#define SHARE_SEED 0x73686172

bool
split_held_out (uint64_t key, double share)
{
  struct qk_rng rng;

  qk_rng_seed (&rng, SHARE_SEED, key);
  return qk_rng_double (&rng) < share;
}

/* FNV-1a */
uint64_t
split_key (const char *name)
{
  uint64_t h = UINT64_C (0xcbf29ce484222325);

  for (; *name; name++)
    h = (h ^ (unsigned char) *name) * UINT64_C (0x100000001b3);
  return h;
}

int
split_parse (const char *name, const char *who)
{
  if (name == NULL)
    return -1;
  if (strcmp (name, "train") == 0)
    return 0;
  if (strcmp (name, "val") == 0)
    return 1;
  return qk_error (-EINVAL, "%s: no split '%s', only train and val", who,
                   name);
}
