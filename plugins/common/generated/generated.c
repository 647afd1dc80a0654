/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* generated.c: splits and seeds of samples that are computed. */
#include "config.h"

#include <string.h>

#include "generated.h"

int
generated_open (struct generated *g, const char *name,
                const struct qk_config *cfg,
                const struct qk_dataset_request *req)
{
  g->seed = req->seed;
  g->count = 0;
  g->split = GENERATED_NONE;
  if (req->split == NULL)
    return 0;
  if (strcmp (req->split, "train") == 0)
    g->split = GENERATED_TRAIN;
  else if (strcmp (req->split, "val") == 0)
    g->split = GENERATED_VAL;
  else
    return qk_error (-EINVAL, "%s: no split '%s', only train and val", name,
                     req->split);
  g->count = qk_config_int (cfg, g->split == GENERATED_TRAIN ? "train_count"
                                                             : "val_count");
  return 0;
}

int
generated_begin (const struct generated *g, const char *name, int64_t index,
                 struct qk_rng *rng)
{
  if (index < 0 || index >= g->count)
    return qk_error (-EINVAL, "%s: no sample %lld, there are %lld", name,
                     (long long) index, (long long) g->count);
  qk_rng_seed (rng, g->seed, ((uint64_t) g->split << 40) + (uint64_t) index);
  return 0;
}
