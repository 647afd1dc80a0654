/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.h: what settings stand for: samples, the network, and the network
 * prepared for quantization. */
#ifndef QK_RUN_SESSION_H
#define QK_RUN_SESSION_H

#include "data/batches.h"
#include "exec/exec.h"
#include "passes/passes.h"
#include "settings/settings.h"

/* Whether the float graph G can be prepared for PTQ and for QAT, and no
 * section, key or pattern of the configuration is left that nobody knows. */
int qk_settings_check (struct qk_settings *settings, const struct qk_graph *g);

/* The float network for samples as INFO says, weights loaded from
 * [model] weights if that is given and WITH_WEIGHTS is true. */
int qk_settings_build (struct qk_settings *settings,
                       const struct qk_dataset_info *info, bool with_weights,
                       struct qk_graph **out);

/* Fill the parameters of G from PATH, in [model] format. */
int qk_settings_load_weights (struct qk_settings *settings, struct qk_graph *g,
                              const char *path);

/* Fuse and prepare a float graph for QAT, or for PTQ. */
int qk_settings_prepare (struct qk_settings *settings,
                         const struct qk_graph *g, bool ptq,
                         struct qk_graph **out);

/* One split of the dataset, opened and batched. */
struct qk_data {
  const struct qk_dataset_class *cls;
  void *self;
  struct qk_dataset_info info;
  struct qk_batches *batches;
  int64_t batch;
};

enum qk_data_use {
  QK_DATA_TRAIN,     /* train split, augmented, shuffled */
  QK_DATA_CALIBRATE, /* train split, shuffled, prepared as for evaluation */
  QK_DATA_EVAL,      /* val split, in order */
  QK_DATA_SUBSET     /* val split, shuffled: its first samples are a sample */
};

int qk_data_open (struct qk_settings *settings, enum qk_data_use use,
                  struct qk_data **out);
void qk_data_close (struct qk_data *d); /* accepts NULL */

/* Executor options for this settings. */
void qk_settings_exec_options (const struct qk_settings *settings,
                               int64_t batch, bool train,
                               struct qk_exec_options *out);

#endif /* QK_RUN_SESSION_H */
