/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* generated.h: what datasets share whose samples are computed when they are
 * read: a sample depends on (seed, split, index) alone. */
#ifndef QK_GENERATED_H
#define QK_GENERATED_H

#include <qatkit/dataset.h>

enum generated_split {
  GENERATED_NONE = 0,
  GENERATED_TRAIN = 1,
  GENERATED_VAL = 2
};

struct generated {
  enum generated_split split;
  int64_t count; /* samples of the split */
  uint64_t seed;
};

/* The options train_count and val_count that generated_open reads. */
#define GENERATED_OPTIONS(train, val)                                         \
  { .name = "train_count",                                                    \
    .type = QK_OPT_INT,                                                       \
    .def = train,                                                             \
    .min = 1,                                                                 \
    .max = 1e9,                                                               \
    .help = "Samples of the training split" },                                \
  {                                                                           \
    .name = "val_count", .type = QK_OPT_INT, .def = val, .min = 1,            \
    .max = 1e9, .help = "Samples of the evaluation split"                     \
  }

/* Split, number of samples and seed for the dataset NAME; -EINVAL for a split
 * that is neither train nor val. */
int generated_open (struct generated *g, const char *name,
                    const struct qk_config *cfg,
                    const struct qk_dataset_request *req);

/* The random numbers that sample INDEX of the dataset NAME is made of; -EINVAL
 * where there is no such sample. */
int generated_begin (const struct generated *g, const char *name,
                     int64_t index, struct qk_rng *rng);

#endif /* QK_GENERATED_H */
